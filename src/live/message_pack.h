// MessagePack reading with bounds: what a client sends, as a JSON tree.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string_view>

#include "base/status.h"

namespace kalam::live {

/// Decodes one MessagePack value that fills `bytes`. Errors: InvalidInput (cut off, trailing bytes,
/// deeper than 32 levels, keys that are not strings). Never reads outside `bytes` and never
/// allocates more than a small multiple of their size.
Result<nlohmann::json> DecodeMessagePack(std::string_view bytes);

}  // namespace kalam::live

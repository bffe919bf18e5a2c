// MessagePack reading with bounds: what a client sends, as a JSON tree.
#pragma once

#include <cstddef>
#include <nlohmann/json_fwd.hpp>
#include <string_view>

#include "base/status.h"

namespace kalam::live {

/// A message has a dozen values; the tree of a megabyte of brackets takes sixty.
inline constexpr size_t kMessageValuesMax = 1'000;

/// Decodes one MessagePack value that fills `bytes`. Errors: InvalidInput (cut off, trailing bytes,
/// deeper than 32 levels, more values than kMessageValuesMax, keys that are not strings). Never
/// reads outside `bytes` and never allocates more than a small multiple of their size.
Result<nlohmann::json> DecodeMessagePack(std::string_view bytes);

}  // namespace kalam::live

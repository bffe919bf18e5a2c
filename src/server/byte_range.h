// The Range header (RFC 9110, 14): which part of a file a client wants.
#pragma once

#include <cstdint>
#include <string_view>

namespace kalam::server {

struct ByteRange {
  enum class Kind : uint8_t {
    kWhole,          // no range, or one that is not understood: the whole file
    kPart,           // `begin` up to, not including, `end`
    kUnsatisfiable,  // 416
  };
  Kind kind = Kind::kWhole;
  int64_t begin = 0;
  int64_t end = 0;
};

/// `header` empty: none. Several ranges are answered with the whole, which is allowed.
ByteRange ParseByteRange(std::string_view header, int64_t size);

}  // namespace kalam::server

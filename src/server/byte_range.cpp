// See byte_range.h.
#include "server/byte_range.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "server/http_message.h"

namespace kalam::server {
namespace {

std::optional<int64_t> Number(std::string_view text) {
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || text.front() == '-' || end != text.data() + text.size()) return std::nullopt;
  if (error == std::errc::result_out_of_range) return INT64_MAX;
  return error == std::errc() ? std::optional(number) : std::nullopt;
}

}  // namespace

ByteRange ParseByteRange(std::string_view header, int64_t size) {
  constexpr std::string_view kUnit = "bytes=";
  const ByteRange whole{ByteRange::Kind::kWhole, 0, size};
  if (header.size() <= kUnit.size() || !EqualsIgnoringCase(header.substr(0, kUnit.size()), kUnit))
    return whole;
  header.remove_prefix(kUnit.size());
  const size_t dash = header.find('-');
  if (dash == std::string_view::npos || header.find(',') != std::string_view::npos) return whole;
  const std::string_view first = header.substr(0, dash), last = header.substr(dash + 1);
  ByteRange range{ByteRange::Kind::kPart, 0, size};
  if (first.empty()) {
    const auto suffix = Number(last);
    if (!suffix) return whole;
    range.begin = size - std::min(*suffix, size);
    if (*suffix == 0) range.kind = ByteRange::Kind::kUnsatisfiable;
  } else {
    const auto begin = Number(first);
    const auto end = last.empty() ? std::optional<int64_t>(size - 1) : Number(last);
    if (!begin || !end || (!last.empty() && *end < *begin)) return whole;
    range.begin = *begin;
    range.end = std::min(*end, size - 1) + 1;
  }
  if (range.begin >= size) range.kind = ByteRange::Kind::kUnsatisfiable;
  return range;
}

}  // namespace kalam::server

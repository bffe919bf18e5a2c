// Joining ranges of keys by table, and finding keys in them.
#include "storage/key_spans.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "types/row_codec.h"

namespace kalam::storage {
namespace {

constexpr size_t kTableBytes = 4;

bool EndsBefore(std::string_view end, std::string_view begin) {
  return !end.empty() && end < begin;
}

bool BelongTogether(const ScanRange& a, const ScanRange& b) {
  const auto table_of = [](const ScanRange& range) {
    return std::string_view(range.lower).substr(0, kTableBytes);
  };
  const bool is_same_table = !a.lower.empty() && table_of(a) == table_of(b);
  return is_same_table || (!EndsBefore(a.upper, b.lower) && !EndsBefore(b.upper, a.lower));
}

ScanRange Joined(ScanRange a, ScanRange b) {
  const bool has_end = !a.upper.empty() && !b.upper.empty();
  return {std::min(std::move(a.lower), std::move(b.lower)),
          has_end ? std::max(std::move(a.upper), std::move(b.upper)) : std::string()};
}

bool GetText(std::string_view* bytes, std::string_view* text) {
  uint64_t size = 0;
  if (!GetVarint(bytes, &size) || size > bytes->size()) return false;
  *text = bytes->substr(0, size);
  bytes->remove_prefix(size);
  return true;
}

}  // namespace

void KeySpans::Add(std::string_view begin, std::string_view end) {
  ScanRange added{std::string(begin), std::string(end)};
  // What it grows by may reach others.
  for (auto met = spans_.begin(); met != spans_.end();) {
    if (!BelongTogether(*met, added)) {
      ++met;
      continue;
    }
    added = Joined(std::move(*met), std::move(added));
    spans_.erase(met);
    met = spans_.begin();
  }
  const auto place = std::find_if(spans_.begin(), spans_.end(), [&added](const ScanRange& span) {
    return span.lower > added.lower;
  });
  spans_.insert(place, std::move(added));
}

void KeySpans::Add(const KeySpans& other) {
  for (const ScanRange& span : other.spans_) Add(span.lower, span.upper);
}

void KeySpans::AddOverlapping(const KeySpans& other, const ScanRange& range) {
  for (const ScanRange& span : other.spans_) {
    const bool is_before = !span.upper.empty() && span.upper <= range.lower;
    const bool is_behind = !range.upper.empty() && range.upper <= span.lower;
    if (!is_before && !is_behind) Add(span.lower, span.upper);
  }
}

bool KeySpans::Contains(std::string_view key) const {
  return std::any_of(spans_.begin(), spans_.end(), [key](const ScanRange& span) {
    return span.lower <= key && (span.upper.empty() || key < span.upper);
  });
}

std::string KeySpans::Encode() const {
  std::string bytes;
  for (const ScanRange& span : spans_) {
    for (const std::string* text : {&span.lower, &span.upper}) {
      PutVarint(&bytes, text->size());
      bytes += *text;
    }
  }
  return bytes;
}

std::optional<KeySpans> KeySpans::Decode(std::string_view bytes) {
  KeySpans spans;
  while (!bytes.empty()) {
    std::string_view begin, end;
    if (!GetText(&bytes, &begin) || !GetText(&bytes, &end)) return std::nullopt;
    spans.Add(begin, end);
  }
  return spans;
}

}  // namespace kalam::storage

// Stretches of keys, kept few: at most one of each table.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "storage/store.h"

namespace kalam::storage {

/// Disjoint ranges of keys in order. Ranges that begin within one table become one, with what lies
/// between them: a thousand of them are found and kept as cheaply as one.
class KeySpans {
 public:
  /// From `begin` (inside) to `end` (not inside; empty: no end).
  void Add(std::string_view begin, std::string_view end);
  void Add(const KeySpans& other);
  /// Adds those of `other` that share a key with `range`.
  void AddOverlapping(const KeySpans& other, const ScanRange& range);

  bool Contains(std::string_view key) const;
  bool empty() const { return spans_.empty(); }
  const std::vector<ScanRange>& spans() const { return spans_; }

  /// [length of begin: varint][begin][length of end: varint][end] for each.
  std::string Encode() const;
  /// nullopt when `bytes` were not made by Encode.
  static std::optional<KeySpans> Decode(std::string_view bytes);

 private:
  std::vector<ScanRange> spans_;
};

}  // namespace kalam::storage

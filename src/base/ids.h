// Identifiers as types, so that two of them cannot be swapped.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <string>

namespace kalam {

/// A table, for ever: ids are never reused, also after DROP TABLE. 0 is no table.
struct TableId {
  uint32_t value = 0;
  auto operator<=>(const TableId&) const = default;
};

/// The position of one row change in its group's order: `(milliseconds since 2024-01-01 UTC) << 22
/// | counter`. Strictly increasing in commit order (docs/adr/0003-commit-path.md). 0 is "no row" or
/// "from the beginning".
struct Seq {
  int64_t value = 0;
  auto operator<=>(const Seq&) const = default;
};

/// Milliseconds between the Unix epoch and the epoch of `_seq` and of DEFAULT SNOWFLAKE_ID()
/// (2024-01-01T00:00:00Z).
inline constexpr int64_t kSeqEpochMs = 1'704'067'200'000;
/// Low bits of a Seq that count within a millisecond.
inline constexpr int kSeqCounterBits = 22;

}  // namespace kalam

template <>
struct std::hash<kalam::TableId> {
  size_t operator()(kalam::TableId id) const noexcept { return std::hash<uint32_t>()(id.value); }
};
template <>
struct std::hash<kalam::Seq> {
  size_t operator()(kalam::Seq seq) const noexcept { return std::hash<int64_t>()(seq.value); }
};

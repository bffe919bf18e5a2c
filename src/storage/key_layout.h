// Keys of rows, order and changes: [table: 4 bytes BE][bucket: 1 byte][scope: escaped text][...]
//
// Example: table 7, user "ann" (bucket 0x3c), primary key BIGINT 1 in `rows`:
//   00 00 00 07 | 3c | 61 6e 6e 00 01 | 80 00 00 00 00 00 00 01
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/ids.h"

namespace kalam::storage {

/// The slice of a table that a statement may see: one user's rows of a USER or STREAM table, or all
/// of a SHARED one (empty user). The bucket is part of the scope and never computed
/// differently: xxh64(user, seed 0) mod 256, 0 for shared.
class Scope {
 public:
  static Scope Shared() { return Scope(); }
  static Scope OfUser(std::string_view user_id);
  bool is_shared() const { return user_id_.empty(); }
  const std::string& user_id() const { return user_id_; }
  uint8_t bucket() const { return bucket_; }
  bool operator==(const Scope& other) const { return user_id_ == other.user_id_; }

 private:
  std::string user_id_;
  uint8_t bucket_ = 0;
};

/// The common prefix of all keys of one scope of one table, in all three key spaces.
std::string ScopePrefix(TableId table, const Scope& scope);
/// `encoded_pk`: by EncodeKey.
std::string RowKey(TableId table, const Scope& scope, std::string_view encoded_pk);
/// For both kOrder and kChanges.
std::string SeqKey(TableId table, const Scope& scope, Seq seq);
std::string TablePrefix(TableId table);

struct ParsedKey {
  TableId table;
  uint8_t bucket = 0;
  std::string user_id;
  std::string_view rest;  // encoded primary key, or the 8 bytes of the Seq
};
/// False when `key` is not of this layout.
[[nodiscard]] bool ParseKey(std::string_view key, ParsedKey* parsed);
/// The Seq at the end of a key of kOrder or kChanges.
[[nodiscard]] bool SeqOfKey(std::string_view key, Seq* seq);

}  // namespace kalam::storage

template <>
struct std::hash<kalam::storage::Scope> {
  size_t operator()(const kalam::storage::Scope& scope) const noexcept {
    return std::hash<std::string>()(scope.user_id());
  }
};

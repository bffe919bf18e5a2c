// Building and reading keys of rows, order and changes.
#include "storage/key_layout.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "types/key_codec.h"

namespace kalam::storage {
namespace {

constexpr size_t kTableBytes = 4;
constexpr size_t kSeqBytes = 8;

void AppendScopePrefix(TableId table, const Scope& scope, std::string* out) {
  EncodeBigEndian32(table.value, out);
  out->push_back(static_cast<char>(scope.bucket()));
  EncodeKeyText(scope.user_id(), out);
}

}  // namespace

Scope Scope::OfUser(std::string_view user_id) {
  if (user_id.empty()) return Shared();
  Scope scope;
  scope.user_id_ = user_id;
  scope.bucket_ = static_cast<uint8_t>(XXH64(user_id.data(), user_id.size(), 0));
  return scope;
}

std::string ScopePrefix(TableId table, const Scope& scope) {
  std::string key;
  key.reserve(kTableBytes + 1 + scope.user_id().size() + 2);
  AppendScopePrefix(table, scope, &key);
  return key;
}

std::string RowKey(TableId table, const Scope& scope, std::string_view encoded_pk) {
  std::string key;
  key.reserve(kTableBytes + 1 + scope.user_id().size() + 2 + encoded_pk.size());
  AppendScopePrefix(table, scope, &key);
  key.append(encoded_pk);
  return key;
}

std::string SeqKey(TableId table, const Scope& scope, Seq seq) {
  std::string key;
  key.reserve(kTableBytes + 1 + scope.user_id().size() + 2 + kSeqBytes);
  AppendScopePrefix(table, scope, &key);
  EncodeBigEndian64(static_cast<uint64_t>(seq.value), &key);
  return key;
}

std::string TablePrefix(TableId table) {
  std::string key;
  EncodeBigEndian32(table.value, &key);
  return key;
}

bool ParseKey(std::string_view key, ParsedKey* parsed) {
  if (key.size() < kTableBytes + 1) return false;
  parsed->table = TableId{DecodeBigEndian32(key.data())};
  parsed->bucket = static_cast<uint8_t>(key[kTableBytes]);
  key.remove_prefix(kTableBytes + 1);
  parsed->user_id.clear();
  if (!DecodeKeyText(&key, &parsed->user_id)) return false;
  parsed->rest = key;
  return true;
}

bool SeqOfKey(std::string_view key, Seq* seq) {
  if (key.size() < kTableBytes + 1 + kSeqBytes) return false;
  seq->value = static_cast<int64_t>(DecodeBigEndian64(key.data() + key.size() - kSeqBytes));
  return true;
}

}  // namespace kalam::storage

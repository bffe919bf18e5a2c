// The records of what restores have undone.
#include "tables/lost_history.h"

#include <optional>
#include <string>
#include <string_view>

#include "types/key_codec.h"

namespace kalam::tables {
namespace {

using storage::Family;

constexpr std::string_view kLostPrefix = "retention/lost/";

std::string KeyOf(TableId table) {
  std::string key(kLostPrefix);
  EncodeBigEndian32(table.value, &key);
  return key;
}

void Append(LostHistory lost, std::string* value) {
  PutVarint(value, static_cast<uint64_t>(lost.after.value));
  PutVarint(value, static_cast<uint64_t>(lost.before.value));
}

Result<bool> IsLost(storage::Store& store, TableId table, Seq cursor) {
  KALAM_ASSIGN_OR_RETURN(const std::optional<std::string> value,
                         store.Get(Family::kSystem, KeyOf(table)));
  if (!value) return false;
  const auto at = static_cast<uint64_t>(cursor.value);
  for (std::string_view rest = *value; !rest.empty();) {
    uint64_t after = 0, before = 0;
    if (!GetVarint(&rest, &after) || !GetVarint(&rest, &before))
      return Status(ErrorKind::Corruption, "the record of a restore cannot be decoded");
    if (at > after && at < before) return true;
  }
  return false;
}

}  // namespace

Seq FirstSeqOf(int64_t time_us) {
  const int64_t ms = time_us / 1000 - kSeqEpochMs;
  return {ms > 0 && ms <= (INT64_MAX >> kSeqCounterBits) ? ms << kSeqCounterBits : 0};
}

Result<catalog::RecordWrites> NoteLostHistory(storage::Store& store, TableId table,
                                              LostHistory lost) {
  KALAM_ASSIGN_OR_RETURN(std::optional<std::string> known,
                         store.Get(Family::kSystem, KeyOf(table)));
  std::string value = known ? std::move(*known) : std::string();
  Append(lost, &value);
  return catalog::RecordWrites{{Family::kSystem, KeyOf(table), std::move(value)}};
}

catalog::RecordWrite SetLostHistory(TableId table, LostHistory lost) {
  std::string value;
  Append(lost, &value);
  return {Family::kSystem, KeyOf(table), std::move(value)};
}

catalog::RecordWrite ForgetLostHistory(TableId table) {
  return {Family::kSystem, KeyOf(table), std::nullopt};
}

Result<bool> IsOfLostHistory(storage::Store& store, TableId table, Seq cursor) {
  KALAM_ASSIGN_OR_RETURN(const bool everywhere, IsLost(store, TableId{}, cursor));
  if (everywhere) return true;
  return IsLost(store, table, cursor);
}

}  // namespace kalam::tables

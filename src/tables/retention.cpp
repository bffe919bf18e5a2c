// Retention records, purges, and the filter that compaction asks.
#include "tables/retention.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "replication/records.h"
#include "tables/lost_history.h"
#include "tables/table_reader.h"
#include "types/key_codec.h"
#include "types/row_codec.h"

namespace kalam::tables {
namespace {

using storage::Durability;
using storage::Family;
using storage::Iterator;
using storage::ParsedKey;

constexpr std::string_view kFloorPrefix = "retention/floor/";
constexpr std::string_view kExpiredPrefix = "retention/expired/";
constexpr std::string_view kPurgedPrefix = "retention/purged/";
constexpr std::string_view kStampPrefix = "retention/stamp/";
constexpr int64_t kUsPerMinute = 60'000'000;
constexpr size_t kTableBytes = 4;

std::string TableKey(std::string_view prefix, TableId table) {
  std::string key(prefix);
  EncodeBigEndian32(table.value, &key);
  return key;
}

std::string StampKey(int64_t time_us) {
  std::string key(kStampPrefix);
  EncodeBigEndian64(static_cast<uint64_t>(time_us / kUsPerMinute), &key);
  return key;
}

std::string EncodeSeq(Seq seq) {
  std::string value;
  PutVarint(&value, static_cast<uint64_t>(seq.value));
  return value;
}

Result<Seq> DecodeSeq(std::string_view value) {
  uint64_t number = 0;
  if (!GetVarint(&value, &number) || !value.empty() || number > INT64_MAX) {
    return Status(ErrorKind::Corruption, "a retention record cannot be decoded");
  }
  return Seq{static_cast<int64_t>(number)};
}

Result<Seq> ReadSeq(storage::Store& store, std::string_view key,
                    const storage::SnapshotPtr& snapshot) {
  KALAM_ASSIGN_OR_RETURN(std::optional<std::string> value,
                         store.Get(Family::kSystem, key, snapshot));
  if (!value) return Seq{0};
  return DecodeSeq(*value);
}

storage::ScanRange RangeOf(std::string_view prefix) {
  return {std::string(prefix), PrefixEnd(prefix)};
}

/// The bytes that the keys of `key`'s scope begin with; nullopt when `key` is malformed.
std::optional<std::string> ScopePrefixOf(std::string_view key) {
  ParsedKey parsed;
  if (!storage::ParseKey(key, &parsed)) return std::nullopt;
  return std::string(key.substr(0, key.size() - parsed.rest.size()));
}

std::string KeyAt(const std::string& scope_prefix, Seq seq) {
  std::string key = scope_prefix;
  EncodeBigEndian64(static_cast<uint64_t>(seq.value), &key);
  return key;
}

Status MalformedKey() {
  return Status(ErrorKind::Corruption, "a key of a table's changes is malformed");
}

std::string PurgedKey(std::string_view scope_prefix) {
  return std::string(kPurgedPrefix).append(scope_prefix);
}

/// The record that raises the scope's purged maximum to `seq`; nothing when it is as high already.
Status RaisePurged(storage::Store& store, std::string_view scope_prefix, Seq seq,
                   const storage::SnapshotPtr& snapshot, catalog::RecordWrites* writes) {
  std::string key = PurgedKey(scope_prefix);
  KALAM_ASSIGN_OR_RETURN(Seq known, ReadSeq(store, key, snapshot));
  if (known < seq) writes->push_back({Family::kSystem, std::move(key), EncodeSeq(seq)});
  return Status::Ok();
}

/// Calls `visit` with the prefix of every scope of `table` that has changes behind `after`; the
/// iterator stands on the scope's first one. Until `visit` says false.
template <typename Visit>
Status ForEachScope(storage::Store& store, TableId table, Seq after, const Visit& visit) {
  std::unique_ptr<Iterator> iterator =
      store.NewIterator(Family::kChanges, RangeOf(storage::TablePrefix(table)));
  iterator->SeekToFirst();
  while (iterator->Valid()) {
    const std::optional<std::string> prefix = ScopePrefixOf(iterator->key());
    if (!prefix) return MalformedKey();
    const std::string begin = KeyAt(*prefix, {after.value + 1});
    if (iterator->key() < begin) iterator->Seek(begin);
    if (!iterator->Valid()) break;
    if (iterator->key().starts_with(*prefix)) {
      KALAM_ASSIGN_OR_RETURN(const bool goes_on, visit(*prefix, *iterator));
      if (!goes_on) return Status::Ok();
    }
    iterator->Seek(PrefixEnd(*prefix));
  }
  return iterator->status();
}

/// The seq of the first record that lives, and of the last that does not; counts rows up to
/// `counted_up_to`.
struct ExpiredWalk {
  Seq first_living{INT64_MAX};
  Seq last_expired;
  int64_t row_count = 0;
};
Result<ExpiredWalk> WalkExpired(storage::Store& store, TableId table, int64_t now_us, Seq after,
                                Seq counted_up_to) {
  ExpiredWalk walk;
  KALAM_RETURN_IF_ERROR(ForEachScope(
      store, table, after, [&](const std::string& prefix, Iterator& at) -> Result<bool> {
        for (; at.Valid() && at.key().starts_with(prefix); at.Next()) {
          KALAM_ASSIGN_OR_RETURN(const replication::ChangeRecord record,
                                 replication::DecodeChangeRecord(at.value()));
          Seq seq;
          if (!storage::SeqOfKey(at.key(), &seq)) return MalformedKey();
          if (record.expire_at_us > now_us) {
            walk.first_living = std::min(walk.first_living, seq);
            break;
          }
          walk.last_expired = std::max(walk.last_expired, seq);
          if (record.op != replication::ChangeOp::kDelete && seq <= counted_up_to) ++walk.row_count;
        }
        return true;
      }));
  return walk;
}

}  // namespace

Result<Seq> ReadFloor(storage::Store& store, TableId table, const storage::SnapshotPtr& snapshot) {
  return ReadSeq(store, TableKey(kFloorPrefix, table), snapshot);
}

catalog::RecordWrites RaiseFloor(TableId table, Seq floor) {
  return {{Family::kSystem, TableKey(kFloorPrefix, table), EncodeSeq(floor)}};
}

Result<Seq> ReadPurgedTombstone(storage::Store& store, TableId table, const storage::Scope& scope,
                                const storage::SnapshotPtr& snapshot) {
  return ReadSeq(store, PurgedKey(storage::ScopePrefix(table, scope)), snapshot);
}

Result<catalog::RecordWrites> RaisePurgedTombstone(storage::Store& store, TableId table,
                                                   const storage::Scope& scope, Seq newest) {
  catalog::RecordWrites writes;
  KALAM_RETURN_IF_ERROR(
      RaisePurged(store, storage::ScopePrefix(table, scope), newest, nullptr, &writes));
  return writes;
}

catalog::RecordWrites StampSeq(int64_t now_us, Seq published) {
  return {{Family::kSystem, StampKey(now_us), EncodeSeq(published)}};
}

Result<Seq> SeqAtTime(storage::Store& store, int64_t time_us) {
  std::unique_ptr<Iterator> iterator = store.NewIterator(Family::kSystem, RangeOf(kStampPrefix));
  // The stamp of a minute may have been taken at its end: only whole minutes before `time_us`
  // count.
  iterator->SeekForPrev(StampKey(time_us - kUsPerMinute));
  if (!iterator->Valid()) {
    KALAM_RETURN_IF_ERROR(iterator->status());
    return Seq{0};
  }
  return DecodeSeq(iterator->value());
}

Result<catalog::RecordWrites> ForgetTable(storage::Store& store, TableId table) {
  catalog::RecordWrites writes;
  writes.push_back({Family::kSystem, TableKey(kFloorPrefix, table), std::nullopt});
  writes.push_back({Family::kSystem, TableKey(kExpiredPrefix, table), std::nullopt});
  writes.push_back(ForgetLostHistory(table));
  const std::string purged = std::string(kPurgedPrefix) + storage::TablePrefix(table);
  auto iterator = store.NewIterator(Family::kSystem, RangeOf(purged));
  for (iterator->Seek(purged); iterator->Valid(); iterator->Next()) {
    writes.push_back({Family::kSystem, std::string(iterator->key()), std::nullopt});
  }
  KALAM_RETURN_IF_ERROR(iterator->status());
  return writes;
}

Result<catalog::RecordWrites> DropStampsBefore(storage::Store& store, int64_t time_us) {
  constexpr size_t kStampsMax = 10'000;
  catalog::RecordWrites writes;
  std::unique_ptr<Iterator> iterator = store.NewIterator(Family::kSystem, RangeOf(kStampPrefix));
  std::string end = StampKey(time_us);
  iterator->SeekToFirst();
  while (iterator->Valid() && iterator->key() < end && writes.size() < kStampsMax) {
    std::string key(iterator->key());
    iterator->Next();
    // The last one before the limit still answers for the time up to it.
    if (!iterator->Valid() || iterator->key() >= end) break;
    writes.push_back({Family::kSystem, std::move(key), std::nullopt});
  }
  KALAM_RETURN_IF_ERROR(iterator->status());
  return writes;
}

Result<int64_t> CountScopesWithChanges(storage::Store& store, TableId table, Seq after, Seq up_to) {
  int64_t scope_count = 0;
  KALAM_RETURN_IF_ERROR(
      ForEachScope(store, table, after, [&](const std::string&, Iterator& at) -> Result<bool> {
        Seq first;
        if (!storage::SeqOfKey(at.key(), &first)) return MalformedKey();
        if (first <= up_to) ++scope_count;
        return true;
      }));
  return scope_count;
}

Result<TombstonePurge> PrepareTombstonePurge(TableReader& reader, const replication::View& view,
                                             const catalog::TablePtr& table, Seq up_to,
                                             size_t count_max, std::string_view resume_after) {
  storage::Store& store = reader.store();
  TombstonePurge purge;
  auto command = std::make_shared<replication::Command>();
  command->view_seq = view.seq;
  std::unique_ptr<Iterator> iterator =
      store.NewIterator(Family::kOrder, RangeOf(storage::TablePrefix(table->id)), view.snapshot);
  if (resume_after.empty()) {
    iterator->SeekToFirst();
  } else {
    iterator->Seek(resume_after);
  }
  std::string scope_prefix;
  Seq scope_newest;
  auto finish_scope = [&] {
    if (scope_newest.value == 0) return Status::Ok();
    return RaisePurged(store, scope_prefix, std::exchange(scope_newest, {}), view.snapshot,
                       &command->records);
  };
  while (iterator->Valid()) {
    ParsedKey parsed;
    Seq seq;
    if (!storage::ParseKey(iterator->key(), &parsed) || !storage::SeqOfKey(iterator->key(), &seq)) {
      return MalformedKey();
    }
    if (!iterator->key().starts_with(scope_prefix) || scope_prefix.empty()) {
      KALAM_RETURN_IF_ERROR(finish_scope());
      scope_prefix = iterator->key().substr(0, iterator->key().size() - parsed.rest.size());
    }
    if (seq > up_to) {
      iterator->Seek(PrefixEnd(scope_prefix));
      continue;
    }
    KALAM_ASSIGN_OR_RETURN(replication::OrderRecord order,
                           replication::DecodeOrderRecord(iterator->value()));
    if (order.tombstone) {
      if (command->rows.size() >= count_max) {
        purge.resume_after = iterator->key();
        break;
      }
      const ReadScope scope{table, storage::Scope::OfUser(parsed.user_id), view, nullptr};
      KALAM_ASSIGN_OR_RETURN(const std::optional<StoredRow> cold,
                             reader.GetCold(scope, order.encoded_pk));
      if (cold) {
        iterator->Next();
        continue;
      }
      replication::RowMutation& row = command->rows.emplace_back();
      row.table = table->id;
      row.scope = scope.scope;
      row.encoded_pk = order.encoded_pk;
      row.op = replication::ChangeOp::kDelete;
      row.schema_version = table->schema_version;
      row.read_seq = seq;
      row.read_was_tombstone = true;
      row.forgets_version = true;
      scope_newest = seq;
    }
    iterator->Next();
  }
  KALAM_RETURN_IF_ERROR(iterator->status());
  KALAM_RETURN_IF_ERROR(finish_scope());
  purge.tombstone_count = static_cast<int64_t>(command->rows.size());
  if (purge.tombstone_count > 0) purge.command = std::move(command);
  return purge;
}

Result<Seq> ReadExpired(storage::Store& store, TableId table,
                        const storage::SnapshotPtr& snapshot) {
  return ReadSeq(store, TableKey(kExpiredPrefix, table), snapshot);
}

catalog::RecordWrites RaiseExpired(TableId table, Seq up_to) {
  return {{Family::kSystem, TableKey(kExpiredPrefix, table), EncodeSeq(up_to)}};
}

Result<ExpiredRows> FindExpiredRows(storage::Store& store, TableId table, int64_t now_us,
                                    Seq published) {
  KALAM_ASSIGN_OR_RETURN(const Seq known, ReadExpired(store, table));
  KALAM_ASSIGN_OR_RETURN(ExpiredWalk walk,
                         WalkExpired(store, table, now_us, known, Seq{INT64_MAX}));
  const Seq up_to = std::min({published, Seq{walk.first_living.value - 1}, walk.last_expired});
  if (up_to <= known) return ExpiredRows{known, 0};
  // After TTL_SECONDS was changed some may expire before older ones of other scopes.
  if (walk.last_expired > up_to) {
    KALAM_ASSIGN_OR_RETURN(walk, WalkExpired(store, table, now_us, known, up_to));
  }
  return ExpiredRows{up_to, walk.row_count};
}

Result<bool> HasExpiredRows(storage::Store& store, TableId table, int64_t now_us) {
  KALAM_ASSIGN_OR_RETURN(const Seq known, ReadExpired(store, table));
  bool has_expired = false;
  KALAM_RETURN_IF_ERROR(
      ForEachScope(store, table, known, [&](const std::string&, Iterator& at) -> Result<bool> {
        KALAM_ASSIGN_OR_RETURN(const replication::ChangeRecord record,
                               replication::DecodeChangeRecord(at.value()));
        has_expired = record.expire_at_us <= now_us;
        return !has_expired;
      }));
  return has_expired;
}

ChangeRetention::ChangeRetention(const Clock& clock)
    : clock_(clock), floors_(std::make_shared<const Floors>()) {}

Status ChangeRetention::Load(storage::Store& store) {
  Floors floors;
  std::unique_ptr<Iterator> iterator = store.NewIterator(Family::kSystem, RangeOf(kFloorPrefix));
  for (iterator->SeekToFirst(); iterator->Valid(); iterator->Next()) {
    std::string_view table = iterator->key().substr(kFloorPrefix.size());
    if (table.size() != kTableBytes) return MalformedKey();
    KALAM_ASSIGN_OR_RETURN(Seq floor, DecodeSeq(iterator->value()));
    floors[DecodeBigEndian32(table.data())] = floor.value;
  }
  KALAM_RETURN_IF_ERROR(iterator->status());
  std::lock_guard lock(write_mutex_);
  Replace(std::move(floors));
  return Status::Ok();
}

void ChangeRetention::Replace(Floors floors) {
  floors_.store(std::make_shared<const Floors>(std::move(floors)));
}

void ChangeRetention::Raise(TableId table, Seq floor) {
  std::lock_guard lock(write_mutex_);
  Floors floors = *floors_.load();
  int64_t& known = floors[table.value];
  known = std::max(known, floor.value);
  Replace(std::move(floors));
}

void ChangeRetention::Forget(TableId table) {
  std::lock_guard lock(write_mutex_);
  Floors floors = *floors_.load();
  floors.erase(table.value);
  Replace(std::move(floors));
}

bool ChangeRetention::ShouldDrop(std::string_view key, std::string_view value) const {
  Result<replication::ChangeRecord> record = replication::DecodeChangeRecord(value);
  if (!record.ok()) return false;  // left in place for the reader that names the table
  if (record->is_stream) return record->expire_at_us <= clock_.NowUs();
  Seq seq;
  if (key.size() < kTableBytes || !storage::SeqOfKey(key, &seq)) return false;
  std::shared_ptr<const Floors> floors = floors_.load();
  auto floor = floors->find(DecodeBigEndian32(key.data()));
  return floor != floors->end() && seq.value <= floor->second;
}

}  // namespace kalam::tables

// Retention records, purges, and the filter that compaction asks.
#include "tables/retention.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "replication/records.h"
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
constexpr std::string_view kPurgedPrefix = "retention/purged/";
constexpr std::string_view kStampPrefix = "retention/stamp/";
constexpr int64_t kUsPerMinute = 60'000'000;
constexpr size_t kTableBytes = 4;

std::string FloorKey(TableId table) {
  std::string key(kFloorPrefix);
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

/// Calls `visit` with the prefix of every scope of `table` that has changes; the iterator stands on
/// the scope's first one.
template <typename Visit>
Status ForEachScope(storage::Store& store, TableId table, const Visit& visit) {
  std::unique_ptr<Iterator> iterator =
      store.NewIterator(Family::kChanges, RangeOf(storage::TablePrefix(table)));
  iterator->SeekToFirst();
  while (iterator->Valid()) {
    std::optional<std::string> prefix = ScopePrefixOf(iterator->key());
    if (!prefix) return MalformedKey();
    KALAM_RETURN_IF_ERROR(visit(*prefix, *iterator));
    iterator->Seek(PrefixEnd(*prefix));
  }
  return iterator->status();
}

}  // namespace

Result<Seq> ReadFloor(storage::Store& store, TableId table, const storage::SnapshotPtr& snapshot) {
  return ReadSeq(store, FloorKey(table), snapshot);
}

catalog::RecordWrites RaiseFloor(TableId table, Seq floor) {
  return {{Family::kSystem, FloorKey(table), EncodeSeq(floor)}};
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
  writes.push_back({Family::kSystem, FloorKey(table), std::nullopt});
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

Result<int64_t> PurgeChanges(storage::Store& store, TableId table) {
  KALAM_ASSIGN_OR_RETURN(Seq floor, ReadFloor(store, table));
  int64_t scope_count = 0;
  if (floor.value <= 0) return scope_count;
  KALAM_RETURN_IF_ERROR(
      ForEachScope(store, table, [&](const std::string& prefix, Iterator& at) -> Status {
        Seq first;
        if (!storage::SeqOfKey(at.key(), &first)) return MalformedKey();
        if (first > floor) return Status::Ok();
        ++scope_count;
        storage::WriteBatch batch;
        batch.DeleteRange(Family::kChanges, prefix, KeyAt(prefix, {floor.value + 1}));
        // Not durable at once: after a crash the records are there again and go the next time.
        return store.Write(std::move(batch), Durability::kOs);
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

Result<int64_t> EvictExpiredStreamRows(storage::Store& store, const catalog::TableDefinition& table,
                                       int64_t now_us) {
  int64_t evicted = 0;
  KALAM_RETURN_IF_ERROR(
      ForEachScope(store, table.id, [&](const std::string& prefix, Iterator& at) -> Status {
        std::string end;  // just behind the last expired record
        for (; at.Valid() && at.key().starts_with(prefix); at.Next()) {
          KALAM_ASSIGN_OR_RETURN(replication::ChangeRecord record,
                                 replication::DecodeChangeRecord(at.value()));
          if (record.expire_at_us > now_us) break;
          if (record.op != replication::ChangeOp::kDelete) ++evicted;
          end = at.key();
          end.push_back('\0');
        }
        if (end.empty()) return Status::Ok();
        storage::WriteBatch batch;
        batch.DeleteRange(Family::kChanges, prefix, end);
        return store.Write(std::move(batch), Durability::kOs);
      }));
  return evicted;
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

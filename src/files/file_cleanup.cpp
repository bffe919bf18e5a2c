// Removal of files that no row refers to: cut short or failed uploads, released references, dropped
// tables and columns.
#include <algorithm>

#include "base/log.h"
#include "files/file_store.h"
#include "tables/file_records.h"
#include "types/key_codec.h"
#include "types/row_codec.h"

namespace kalam::files {
namespace {

using storage::Family;

constexpr int64_t kSecondUs = 1'000'000;
// Records of one command.
constexpr size_t kBatchRecords = 256;
// Release records handled in one round; the others wait for the next.
constexpr size_t kReleasedPerRound = 2000;
constexpr int64_t kStorageRetrySeconds = 30;
constexpr std::string_view kLogTarget = "files";
// [table] -> the schema version, as a varint, whose dropped columns have been released.
constexpr std::string_view kFollowedPrefix = "file/followed/";

// A key below one of the prefixes of tables/file_records.h, taken apart.
struct FileKey {
  std::string_view scope_prefix;
  TableId table;
  int64_t id = 0;
  std::string_view rest;  // what follows the id
};

bool ParseFileKey(std::string_view prefix, std::string_view key, FileKey* parsed) {
  if (!key.starts_with(prefix)) return false;
  key.remove_prefix(prefix.size());
  storage::ParsedKey scope;
  if (!storage::ParseKey(key, &scope) || scope.rest.size() < 8) return false;
  parsed->scope_prefix = key.substr(0, key.size() - scope.rest.size());
  parsed->table = scope.table;
  parsed->id = static_cast<int64_t>(DecodeBigEndian64(scope.rest.data()));
  parsed->rest = scope.rest.substr(8);
  return true;
}

storage::ScanRange RangeOf(std::string_view prefix) {
  return {std::string(prefix), PrefixEnd(prefix)};
}

std::string TableRange(std::string_view prefix, TableId table) {
  return std::string(prefix) + storage::TablePrefix(table);
}

}  // namespace

void FileStore::OnCommitted(const replication::CommittedBatch& batch) {
  if (batch.catalog_changed) {
    catalog_changed_.store(true);
    due_.store(true);
  }
  if (!batch.dropped_tables.empty()) {
    const std::lock_guard lock(mutex_);
    changed_tables_.insert(batch.dropped_tables.begin(), batch.dropped_tables.end());
    due_.store(true);
  }
  for (const auto& command : batch.commands) {
    for (const catalog::RecordWrite& write : command->records) {
      if (write.value && write.key.starts_with(tables::kFileReleasedPrefix)) {
        released_.store(true);
        due_.store(true);
        return;
      }
    }
  }
}

void FileStore::Tick() {
  const std::unique_lock lock(tick_mutex_, std::try_to_lock);
  if (!lock.owns_lock() || closed_) return;
  const int64_t now_us = services_.clock.NowUs();
  const bool released_due = next_released_us_ != 0 && now_us >= next_released_us_;
  const bool retry_due = retry_steady_us_ != 0 && services_.clock.SteadyUs() >= retry_steady_us_;
  if (!due_.exchange(false) && !released_due && !retry_due) return;
  retry_steady_us_ = 0;
  const Status status = RemoveUnreferenced();
  if (status.ok()) return;
  // Everything is recorded: the next round finds it again.
  Log(LogLevel::kWarn, kLogTarget,
      "removal of files failed, tried again later: " + status.message());
  released_.store(true);
  retry_steady_us_ = services_.clock.SteadyUs() + kStorageRetrySeconds * kSecondUs;
}

void FileStore::Close() {
  const std::lock_guard lock(tick_mutex_);
  if (std::exchange(closed_, true)) return;
  services_.group.RemoveObserver(observer_);
}

Status FileStore::RemoveUnreferenced() {
  if (!leftovers_found_) {
    KALAM_RETURN_IF_ERROR(FindLeftovers());
    leftovers_found_ = true;
  }
  Status status = RemoveSettled();
  if (Status next = FollowTables(); status.ok()) status = std::move(next);
  if (Status next = RemoveReleased(); status.ok()) status = std::move(next);
  return status;
}

// What an earlier run of the server did not finish.
Status FileStore::FindLeftovers() {
  size_t count = 0;
  {
    const auto pending =
        services_.store.NewIterator(Family::kSystem, RangeOf(tables::kFilePendingPrefix), nullptr);
    const std::lock_guard lock(mutex_);
    for (pending->SeekToFirst(); pending->Valid(); pending->Next()) {
      std::string_view key = pending->key();
      key.remove_prefix(tables::kFilePendingPrefix.size());
      if (key.size() != 8) continue;
      const auto id = static_cast<int64_t>(DecodeBigEndian64(key.data()));
      if (active_.contains(id)) continue;
      settled_.push_back(id);
      ++count;
    }
    KALAM_RETURN_IF_ERROR(pending->status());
  }
  if (count > 0) {
    Log(LogLevel::kInfo, kLogTarget,
        std::to_string(count) + " uploaded file(s) without a row are removed");
  }
  return {};
}

// The tables that have files: one look per table.
Status FileStore::FindTables(std::set<TableId>* tables) {
  auto entries =
      services_.store.NewIterator(Family::kSystem, RangeOf(tables::kFileEntryPrefix), nullptr);
  entries->SeekToFirst();
  while (entries->Valid()) {
    FileKey key;
    if (!ParseFileKey(tables::kFileEntryPrefix, entries->key(), &key)) {
      entries->Next();
      continue;
    }
    tables->insert(key.table);
    entries->Seek(PrefixEnd(TableRange(tables::kFileEntryPrefix, key.table)));
  }
  return entries->status();
}

// Deletes the object and appends the removal of its record.
Status FileStore::RemoveFile(std::string_view scope_prefix, int64_t id,
                             catalog::RecordWrites* records) {
  const std::string entry_key = tables::FileEntryKey(scope_prefix, id);
  KALAM_ASSIGN_OR_RETURN(const auto value, services_.store.Get(Family::kSystem, entry_key));
  if (!value) return {};
  KALAM_ASSIGN_OR_RETURN(const FileEntry entry, DecodeFileEntry(*value));
  const auto storage = services_.find_storage(entry.storage_id);
  if (storage.ok()) {
    KALAM_RETURN_IF_ERROR((*storage)->Delete(entry.path));
  } else if (!storage.status().Is(ErrorKind::NotFound)) {
    return storage.status();
  }
  removed_.Add();
  records->push_back({Family::kSystem, entry_key, std::nullopt});
  return {};
}

Status FileStore::RemoveSettled() {
  std::vector<int64_t> settled;
  {
    const std::lock_guard lock(mutex_);
    settled.swap(settled_);
  }
  const auto is_pending = [this](int64_t id) -> Result<std::optional<std::string>> {
    return services_.store.Get(Family::kSystem, tables::FilePendingKey(id));
  };
  std::vector<int64_t> doubtful;
  for (const int64_t id : settled) {
    const auto scope = is_pending(id);
    if (!scope.ok() || scope->has_value()) doubtful.push_back(id);
  }
  if (doubtful.empty()) return {};
  // A request that was given up may have a command on its way. Once a later one is durable, that
  // one is as well.
  Status status =
      Commit({{Family::kSystem, std::string(tables::kFilePendingPrefix), std::nullopt}});
  catalog::RecordWrites records;
  std::vector<int64_t> kept;
  for (const int64_t id : doubtful) {
    Status removed = status;
    if (removed.ok()) {
      const auto scope = is_pending(id);
      if (scope.ok() && !scope->has_value()) continue;
      removed = scope.ok() ? RemoveFile(**scope, id, &records) : scope.status();
    }
    if (removed.ok()) {
      records.push_back({Family::kSystem, tables::FilePendingKey(id), std::nullopt});
    } else {
      status = std::move(removed);
      kept.push_back(id);
    }
  }
  if (!records.empty()) {
    if (Status committed = Commit(std::move(records)); status.ok()) status = std::move(committed);
  }
  const std::lock_guard lock(mutex_);
  settled_.insert(settled_.end(), kept.begin(), kept.end());
  return status;
}

Status FileStore::RemoveReleased() {
  const bool old_enough = next_released_us_ != 0 && services_.clock.NowUs() >= next_released_us_;
  if (!released_.exchange(false) && !old_enough) return {};
  next_released_us_ = 0;
  const int64_t old_us = services_.clock.NowUs() - limits_.deletion_delay_seconds * kSecondUs;
  catalog::RecordWrites records;
  Status status;
  size_t handled = 0;
  auto releases =
      services_.store.NewIterator(Family::kSystem, RangeOf(tables::kFileReleasedPrefix), nullptr);
  for (releases->SeekToFirst(); releases->Valid(); releases->Next()) {
    FileKey key;
    std::string_view value = releases->value();
    uint64_t released_us = 0;
    if (!ParseFileKey(tables::kFileReleasedPrefix, releases->key(), &key) ||
        !GetVarint(&value, &released_us)) {
      continue;
    }
    if (static_cast<int64_t>(released_us) > old_us) {
      const int64_t due_us =
          static_cast<int64_t>(released_us) + limits_.deletion_delay_seconds * kSecondUs;
      if (next_released_us_ == 0 || due_us < next_released_us_) next_released_us_ = due_us;
      continue;
    }
    if (++handled > kReleasedPerRound) {
      released_.store(true);
      due_.store(true);
      break;
    }
    if (!HasReference(key.scope_prefix, key.id)) {
      if (Status removed = RemoveFile(key.scope_prefix, key.id, &records); !removed.ok()) {
        status = std::move(removed);
        continue;
      }
    }
    records.push_back({Family::kSystem, std::string(releases->key()), std::nullopt});
    if (records.size() >= kBatchRecords) {
      KALAM_RETURN_IF_ERROR(Commit(std::exchange(records, {})));
    }
  }
  KALAM_RETURN_IF_ERROR(releases->status());
  if (!records.empty()) KALAM_RETURN_IF_ERROR(Commit(std::move(records)));
  return status;
}

Status FileStore::FollowTables() {
  std::set<TableId> changed;
  {
    const std::lock_guard lock(mutex_);
    changed.swap(changed_tables_);
  }
  if (catalog_changed_.exchange(false)) KALAM_RETURN_IF_ERROR(FindTables(&changed));
  Status status;
  for (const TableId id : changed) {
    Status followed;
    if (services_.catalog.CurrentSchemaVersion(id) == 0) {
      followed = ForgetTable(id);
    } else {
      const auto table = services_.catalog.FindTable(id);
      followed = !table.ok()         ? table.status()
                 : *table == nullptr ? ForgetTable(id)
                                     : ReleaseDroppedColumns(**table);
    }
    if (followed.ok()) continue;
    status = std::move(followed);
    const std::lock_guard lock(mutex_);
    changed_tables_.insert(id);
  }
  return status;
}

Status FileStore::ForgetTable(TableId table) {
  Status status;
  catalog::RecordWrites records;
  const auto entries = services_.store.NewIterator(
      Family::kSystem, RangeOf(TableRange(tables::kFileEntryPrefix, table)), nullptr);
  for (entries->SeekToFirst(); entries->Valid(); entries->Next()) {
    FileKey key;
    if (!ParseFileKey(tables::kFileEntryPrefix, entries->key(), &key)) continue;
    if (Status removed = RemoveFile(key.scope_prefix, key.id, &records); !removed.ok()) {
      status = std::move(removed);
    }
    if (records.size() >= kBatchRecords) {
      KALAM_RETURN_IF_ERROR(Commit(std::exchange(records, {})));
    }
  }
  KALAM_RETURN_IF_ERROR(entries->status());
  for (const std::string_view prefix :
       {tables::kFileReferencePrefix, tables::kFileReleasedPrefix, tables::kFileFolderPrefix}) {
    const auto others =
        services_.store.NewIterator(Family::kSystem, RangeOf(TableRange(prefix, table)), nullptr);
    for (others->SeekToFirst(); others->Valid(); others->Next()) {
      records.push_back({Family::kSystem, std::string(others->key()), std::nullopt});
      if (records.size() >= kBatchRecords) {
        KALAM_RETURN_IF_ERROR(Commit(std::exchange(records, {})));
      }
    }
    KALAM_RETURN_IF_ERROR(others->status());
  }
  if (!records.empty()) KALAM_RETURN_IF_ERROR(Commit(std::move(records)));
  return status;
}

// Rows that are written later no longer have the column, so nobody else would release its files.
Status FileStore::ReleaseDroppedColumns(const catalog::TableDefinition& table) {
  const std::string version_key = TableRange(kFollowedPrefix, table.id);
  std::string version;
  PutVarint(&version, table.schema_version);
  KALAM_ASSIGN_OR_RETURN(const auto followed, services_.store.Get(Family::kSystem, version_key));
  if (followed == version) return {};
  std::vector<uint32_t> columns;
  for (const uint32_t position : tables::FilePositions(table)) {
    columns.push_back(table.layout().cells[position].column_id);
  }
  catalog::RecordWrites records;
  const auto references = services_.store.NewIterator(
      Family::kSystem, RangeOf(TableRange(tables::kFileReferencePrefix, table.id)), nullptr);
  for (references->SeekToFirst(); references->Valid(); references->Next()) {
    FileKey key;
    if (!ParseFileKey(tables::kFileReferencePrefix, references->key(), &key) ||
        key.rest.size() < 4) {
      continue;
    }
    const uint32_t column = DecodeBigEndian32(key.rest.data());
    if (std::find(columns.begin(), columns.end(), column) != columns.end()) continue;
    std::string time;
    PutVarint(&time, static_cast<uint64_t>(services_.clock.NowUs()));
    uint64_t nonce = 0;
    FillRandom(&nonce, sizeof nonce);
    records.push_back({Family::kSystem, std::string(references->key()), std::nullopt});
    records.push_back({Family::kSystem, tables::FileReleasedKey(key.scope_prefix, key.id, nonce),
                       std::move(time)});
    if (records.size() >= kBatchRecords) {
      KALAM_RETURN_IF_ERROR(Commit(std::exchange(records, {})));
    }
  }
  KALAM_RETURN_IF_ERROR(references->status());
  records.push_back({Family::kSystem, version_key, std::move(version)});
  return Commit(std::move(records));
}

}  // namespace kalam::files

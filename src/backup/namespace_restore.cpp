// A restore into a running server: rows and files first, under ids and names that are nobody's,
// then one command.
#include "backup/namespace_restore.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "backup/backup_listing.h"
#include "backup/fetch_file.h"
#include "backup/local_files.h"
#include "base/optional_charge.h"
#include "catalog/record_codec.h"
#include "catalog/storage_folder.h"
#include "files/file_entry.h"
#include "segments/segment_rebuild.h"
#include "segments/segment_record.h"
#include "tables/file_records.h"
#include "tiering/folders.h"
#include "types/key_codec.h"

namespace kalam::backup {
namespace {

using storage::Family;

constexpr size_t kCommandBytes = 1 << 20;
constexpr size_t kDefinitionsMax = 256;
// Until the namespace is committed, or taken back: {"tables":[ids],"objects":[[storage, path]]}.
constexpr std::string_view kPendingPrefix = "restore/pending/";
// An empty record: the job has committed its namespace.
constexpr std::string_view kDonePrefix = "restore/done/";

Status Commit(replication::ReplicationGroup& group, catalog::RecordWrites records,
              std::vector<TableId> dropped_tables = {}) {
  auto command = std::make_shared<replication::Command>();
  command->records = std::move(records);
  command->dropped_tables = std::move(dropped_tables);
  return replication::ProposeAndWait(group, std::move(command)).status;
}

MemoryAccount& AccountOr(MemoryAccount* account, MemoryAccount& otherwise) {
  return account == nullptr ? otherwise : *account;
}

class Restorer {
 public:
  Restorer(const RestoreServices& services, std::string folder, std::string job_id,
           const Work& work)
      : services_(services),
        folder_(std::move(folder)),
        job_id_(std::move(job_id)),
        work_(work),
        charge_(ChargeIfAny(work.memory)) {}

  Result<PreparedNamespace> Run(const std::string& namespace_id) {
    MemoryAccount own("restore", nullptr);
    KALAM_ASSIGN_OR_RETURN(staged_, OpenSmallStore(folder_ + "/rocksdb", work_.memory));
    KALAM_ASSIGN_OR_RETURN(
        const auto catalog,
        catalog::Catalog::Open(*staged_, AccountOr(work_.memory, own), kDefinitionsMax));
    KALAM_ASSIGN_OR_RETURN(const NamespaceDefinitions definitions,
                           ReadDefinitions(*catalog, namespace_id));
    prepared_.namespace_id = namespace_id;
    KALAM_RETURN_IF_ERROR(TakeDefinitions(definitions));
    for (const Table& table : tables_) KALAM_RETURN_IF_ERROR(DropPrepared(table.old_id));
    for (Table& table : tables_) KALAM_RETURN_IF_ERROR(PlanObjects(table));
    KALAM_RETURN_IF_ERROR(CheckClock());
    KALAM_RETURN_IF_ERROR(RecordPending());
    work_.Reached("restore.planned");
    KALAM_RETURN_IF_ERROR(PutObjects());
    for (const Table& table : tables_) KALAM_RETURN_IF_ERROR(WriteRows(table));
    for (const Table& table : tables_) KALAM_RETURN_IF_ERROR(AddSideRecords(table));
    prepared_.records.push_back(
        {Family::kSystem, std::string(kPendingPrefix) + job_id_, std::nullopt});
    prepared_.records.push_back({Family::kSystem, std::string(kDonePrefix) + job_id_, ""});
    work_.Reached("restore.prepared");
    return std::move(prepared_);
  }

 private:
  struct Table {
    TableId old_id, id;
    catalog::TablePtr definition;  // the newest, with the new id
    catalog::StorageRecord storage_record;
    std::map<std::string, std::string, std::less<>> segment_paths;  // old -> new
    std::map<std::string, uint64_t, std::less<>> next_batches;      // by new folder
  };
  struct Transfer {
    std::string local_file, storage_id, path;
  };

  Status CheckCancelled() const {
    return work_.is_cancelled() ? Status(ErrorKind::Cancelled, "The restore was cancelled")
                                : Status::Ok();
  }

  Status TakeDefinitions(const NamespaceDefinitions& definitions) {
    catalog::Catalog& catalog = services_.catalog;
    const auto add = [this](catalog::RecordWrites writes) {
      std::move(writes.begin(), writes.end(), std::back_inserter(prepared_.records));
    };
    add(catalog.PutNamespace(definitions.definition));
    for (const auto& versions : definitions.tables) {
      Table table;
      table.old_id = versions.back()->id;
      table.id = catalog.AllocateTableId();
      for (const catalog::TablePtr& version : versions) {
        auto definition = std::make_shared<catalog::TableDefinition>(*version);
        definition->id = table.id;
        add(catalog.PutTable(*definition));
        table.definition = std::move(definition);
      }
      const std::string& storage_id = table.definition->options.storage_id;
      KALAM_ASSIGN_OR_RETURN(auto record, catalog.FindStorage(storage_id));
      if (!record) {
        return Status(ErrorKind::NotFound,
                      fmt::format("Storage '{}' not found; the table {} of the backup needs it",
                                  storage_id, table.definition->QualifiedName()));
      }
      table.storage_record = *std::move(record);
      prepared_.tables.push_back(table.id);
      tables_.push_back(std::move(table));
    }
    for (const catalog::ViewDefinition& view : definitions.views) add(catalog.PutView(view));
    return {};
  }

  /// A flush that was under way has marked files to come, which are none of the new table's: they
  /// must not be removed in its name.
  Status DropPrepared(TableId table) {
    KALAM_ASSIGN_OR_RETURN(const auto prepared, segments::ListPrepared(*staged_, table));
    storage::WriteBatch batch;
    for (const segments::PreparedSegment& segment : prepared) {
      for (const catalog::RecordWrite& write : segments::ForgetPrepared(segment))
        batch.Delete(write.family, write.key);
    }
    return staged_->Write(std::move(batch), storage::Durability::kOs);
  }

  void AddTransfer(Transfer transfer) {
    Charge(sizeof(transfer) + transfer.local_file.size() + transfer.storage_id.size() +
           transfer.path.size());
    transfers_.push_back(std::move(transfer));
  }
  void Charge(size_t bytes) { charge_.Resize(charge_.bytes() + static_cast<int64_t>(bytes)); }

  void Note(Seq seq) { prepared_.newest = std::max(prepared_.newest, seq); }

  /// The first file of the table in a folder where others lie and, until the table has its name,
  /// more may come: the numbers of its id are nobody's, and those behind them neither.
  static uint64_t FirstBatch(TableId id, const std::vector<segments::FoundBatch>& there) {
    uint64_t series = id.value;
    if (!there.empty())
      series = std::max(series, there.back().batch / segments::kBatchesOfSeries + 1);
    return series * segments::kBatchesOfSeries;
  }

  /// Where the segments of the table go: behind all files that lie in their folders.
  Status PlanObjects(Table& table) {
    KALAM_ASSIGN_OR_RETURN(const auto storage,
                           services_.storage_of(table.storage_record.storage_id));
    KALAM_ASSIGN_OR_RETURN(const auto segments, segments::ListSegments(*staged_, table.old_id));
    for (const segments::SegmentRecord& segment : segments) {
      Note(segment.max_seq);
      const std::string folder =
          tiering::FolderOf(*table.definition, segment.place, table.storage_record);
      auto next = table.next_batches.find(folder);
      if (next == table.next_batches.end()) {
        KALAM_ASSIGN_OR_RETURN(const auto there, segments::FindBatches(*storage, folder));
        next = table.next_batches.emplace(folder, FirstBatch(table.id, there)).first;
      }
      const std::string path = segments::BatchPath(folder, next->second++);
      table.segment_paths.emplace(segment.path, path);
      AddTransfer({folder_ + "/" + PathInBackup({segment.storage_id, segment.path}),
                   table.storage_record.storage_id, path});
    }
    for (const RecordSpace& space : {kRowSpaces[1], kRowSpaces[2]}) {
      const auto note = [&](std::string_view rest, std::string_view) {
        Seq seq;
        if (storage::SeqOfKey(KeyIn(space, table.old_id, rest), &seq)) Note(seq);
        return Status::Ok();
      };
      KALAM_RETURN_IF_ERROR(ForEachRecord(*staged_, nullptr, space, table.old_id, note));
    }
    return ForEachRecord(
        *staged_, nullptr, {Family::kSystem, tables::kFileEntryPrefix}, table.old_id,
        [&](std::string_view rest, std::string_view value) -> Status {
          KALAM_ASSIGN_OR_RETURN(const auto entry, files::DecodeFileEntry(value));
          AddTransfer({folder_ + "/" + PathInBackup({entry.storage_id, entry.path}),
                       table.storage_record.storage_id, FilePath(table, rest, entry)});
          return Status::Ok();
        });
  }

  /// Files get names of their own: those of a table that had the name before go with it.
  static std::string FilePath(const Table& table, std::string_view rest,
                              const files::FileEntry& entry) {
    storage::ParsedKey key;
    const std::string whole = KeyIn({Family::kRows, ""}, table.id, rest);
    const std::string user_id = storage::ParseKey(whole, &key) ? key.user_id : "";
    return fmt::format("{}/{}/r{}-{}",
                       catalog::ScopeFolder(table.storage_record, *table.definition, user_id),
                       entry.reference.sub, table.id.value, entry.stored_name);
  }

  /// Rows of the backup must not be newer than those that will be written.
  Status CheckClock() const {
    const int64_t newest_ms = (prepared_.newest.value >> kSeqCounterBits) + kSeqEpochMs;
    if (newest_ms <= services_.clock.NowUs() / 1000) return {};
    return Status(ErrorKind::InvalidOperation,
                  "the clock of this server is behind the newest row of the backup; set it");
  }

  Status RecordPending() {
    nlohmann::json pending = {{"tables", nlohmann::json::array()},
                              {"objects", nlohmann::json::array()}};
    for (const Table& table : tables_) pending["tables"].push_back(table.id.value);
    for (const Transfer& transfer : transfers_) {
      pending["objects"].push_back({transfer.storage_id, transfer.path});
    }
    catalog::RecordWrites records = {
        {Family::kSystem, std::string(kPendingPrefix) + job_id_,
         pending.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)}};
    // The ids are taken for good: after a restart nobody else may get them, because taking the
    // restore back deletes what lies under them.
    std::lock_guard lock(services_.ddl_mutex);
    if (!tables_.empty()) {
      for (catalog::RecordWrite& write : services_.catalog.PutTable(*tables_.back().definition)) {
        if (write.key == catalog::kNextTableIdKey) records.push_back(std::move(write));
      }
    }
    return Commit(services_.group, std::move(records));
  }

  Status PutObjects() {
    for (const Transfer& transfer : transfers_) {
      KALAM_RETURN_IF_ERROR(CheckCancelled());
      KALAM_ASSIGN_OR_RETURN(const auto storage, services_.storage_of(transfer.storage_id));
      KALAM_RETURN_IF_ERROR(storage->PutFile(transfer.local_file, transfer.path));
      ++prepared_.file_count;
      work_.Report(
          fmt::format("{} of {} files are in place", prepared_.file_count, transfers_.size()));
      work_.Reached("restore.put");
    }
    return {};
  }

  Status WriteRows(const Table& table) {
    const MemoryCharge batch = ChargeIfAny(work_.memory, kCommandBytes);
    catalog::RecordWrites writes;
    size_t bytes = 0;
    const auto flush = [&]() -> Status {
      KALAM_RETURN_IF_ERROR(CheckCancelled());
      if (writes.empty()) return {};
      bytes = 0;
      return Commit(services_.group, std::exchange(writes, {}));
    };
    for (const RecordSpace& space : kRowSpaces) {
      KALAM_RETURN_IF_ERROR(
          ForEachRecord(*staged_, nullptr, space, table.old_id,
                        [&](std::string_view rest, std::string_view value) -> Status {
                          KALAM_ASSIGN_OR_RETURN(auto write, Translate(table, space, rest, value));
                          bytes += write.key.size() + value.size();
                          writes.push_back(std::move(write));
                          return bytes < kCommandBytes ? Status::Ok() : flush();
                        }));
    }
    KALAM_RETURN_IF_ERROR(flush());
    work_.Reached("restore.rows");
    return {};
  }

  /// The record under the new id; records of segments also with the places of their files.
  Result<catalog::RecordWrite> Translate(const Table& table, const RecordSpace& space,
                                         std::string_view rest, std::string_view value) const {
    catalog::RecordWrite write{space.family, KeyIn(space, table.id, rest), std::string(value)};
    if (space.family != Family::kSegments || rest.empty()) return write;
    const std::string old_key = KeyIn(space, table.old_id, rest);
    if (rest[0] == 's') {
      KALAM_ASSIGN_OR_RETURN(auto record, segments::DecodeRecord(old_key, value));
      record.table = table.id;
      record.storage_id = table.storage_record.storage_id;
      record.path = table.segment_paths.find(record.path)->second;
      // No hot copies are left out by a finished flush; those of an unfinished one came along.
      write.key = segments::RecordKey(record);
      write.value = segments::EncodeRecord(record);
    } else if (rest[0] == 'f') {
      KALAM_ASSIGN_OR_RETURN(auto folder, segments::DecodeFolder(old_key, value));
      folder.table = table.id;
      folder.storage_id = table.storage_record.storage_id;
      folder.folder = tiering::FolderOf(*table.definition, folder.place, table.storage_record);
      const auto next = table.next_batches.find(folder.folder);
      folder.next_batch =
          next != table.next_batches.end() ? next->second : FirstBatch(table.id, {});
      write.key = segments::FolderKey(table.id, folder.place);
      write.value = segments::EncodeFolder(folder);
    }
    return write;
  }

  Status AddSideRecords(const Table& table) {
    for (const RecordSpace& space : kSideSpaces) {
      KALAM_RETURN_IF_ERROR(
          ForEachRecord(*staged_, nullptr, space, table.old_id,
                        [&](std::string_view rest, std::string_view value) -> Status {
                          std::string bytes(value);
                          if (space.prefix == tables::kFileEntryPrefix) {
                            KALAM_ASSIGN_OR_RETURN(auto entry, files::DecodeFileEntry(value));
                            entry.path = FilePath(table, rest, entry);
                            entry.storage_id = table.storage_record.storage_id;
                            bytes = files::EncodeFileEntry(entry);
                          }
                          Charge(sizeof(catalog::RecordWrite) + rest.size() + bytes.size());
                          prepared_.records.push_back(
                              {space.family, KeyIn(space, table.id, rest), std::move(bytes)});
                          return {};
                        }));
    }
    return {};
  }

  const RestoreServices& services_;
  const std::string folder_, job_id_;
  const Work& work_;
  std::unique_ptr<storage::Store> staged_;
  std::vector<Table> tables_;
  std::vector<Transfer> transfers_;
  PreparedNamespace prepared_;
  MemoryCharge charge_;  // of transfers and records
};

Status UndoOne(const RestoreServices& services, std::string_view key, std::string_view value) {
  std::vector<TableId> tables;
  std::vector<std::pair<std::string, std::string>> objects;
  try {
    const auto pending = nlohmann::json::parse(value);
    pending.at("objects").get_to(objects);
    for (const auto& id : pending.at("tables")) tables.push_back(TableId{id.get<uint32_t>()});
  } catch (const nlohmann::json::exception& error) {
    return Status(ErrorKind::Corruption,
                  fmt::format("the record {} of a restore cannot be read: {}", key, error.what()));
  }
  for (const auto& [storage_id, path] : objects) {
    KALAM_ASSIGN_OR_RETURN(const auto storage, services.storage_of(storage_id));
    KALAM_RETURN_IF_ERROR(storage->Delete(path));
  }
  return Commit(services.group, {{Family::kSystem, std::string(key), std::nullopt}}, tables);
}

Result<BackupListing> ReadListing(objects::ObjectStorage& source, const std::string& prefix) {
  auto text = source.Read(prefix + std::string(kListingName), 0, -1);
  if (text.status().Is(ErrorKind::NotFound)) {
    return Status(ErrorKind::NotFound, "there is no backup (no backup.json)");
  }
  KALAM_RETURN_IF_ERROR(text.status());
  return DecodeListing(*text);
}

}  // namespace

Status FetchNamespace(objects::ObjectStorage& source, const std::string& prefix,
                      const std::string& namespace_id, const std::string& folder,
                      const Work& work) {
  KALAM_RETURN_IF_ERROR(RemoveAll(folder));
  KALAM_ASSIGN_OR_RETURN(const BackupListing listing, ReadListing(source, prefix));
  if (!listing.namespace_id.empty() && listing.namespace_id != namespace_id) {
    return Status(ErrorKind::NotFound, fmt::format("this is a backup of the namespace '{}' alone",
                                                   listing.namespace_id));
  }
  const MemoryCharge listing_charge = ChargeIfAny(work.memory, MemoryOf(listing));
  std::map<std::string_view, const BackupFile*> by_path;
  for (const BackupFile& file : listing.files) {
    by_path.emplace(file.path, &file);
    if (!file.path.starts_with("rocksdb/")) continue;
    KALAM_RETURN_IF_ERROR(FetchFile(source, prefix, file, folder, work));
  }
  if (!Exists(folder + "/rocksdb/CURRENT")) {
    return Status(ErrorKind::Corruption, "the backup holds no database");
  }
  MemoryAccount own("restore", nullptr);
  KALAM_ASSIGN_OR_RETURN(const auto staged, OpenSmallStore(folder + "/rocksdb", work.memory));
  KALAM_ASSIGN_OR_RETURN(
      const auto catalog,
      catalog::Catalog::Open(*staged, AccountOr(work.memory, own), kDefinitionsMax));
  KALAM_ASSIGN_OR_RETURN(const NamespaceDefinitions definitions,
                         ReadDefinitions(*catalog, namespace_id));
  KALAM_ASSIGN_OR_RETURN(const auto objects,
                         ListNamedObjects(*staged, nullptr, definitions.TableIds()));
  for (const NamedObject& object : objects) {
    const auto file = by_path.find(PathInBackup(object));
    if (file == by_path.end()) {
      return Status(ErrorKind::Corruption,
                    fmt::format("the backup lacks the file '{}'", PathInBackup(object)));
    }
    KALAM_RETURN_IF_ERROR(FetchFile(source, prefix, *file->second, folder, work));
  }
  work.Reached("restore.verified");
  return {};
}

Result<PreparedNamespace> PrepareNamespace(const RestoreServices& services,
                                           const std::string& namespace_id,
                                           const std::string& folder, const std::string& job_id,
                                           const Work& work) {
  KALAM_ASSIGN_OR_RETURN(const auto done,
                         services.store.Get(Family::kSystem, std::string(kDonePrefix) + job_id));
  if (done) {
    PreparedNamespace prepared;
    prepared.was_done = true;
    return prepared;
  }
  return Restorer(services, folder, job_id, work).Run(namespace_id);
}

Result<std::vector<StagedObject>> ListStagedObjects(const std::string& staging,
                                                    MemoryAccount* memory) {
  std::vector<StagedObject> objects;
  KALAM_ASSIGN_OR_RETURN(const auto files, ListFiles(staging + "/objects"));
  if (files.empty()) return objects;
  // A copy: opening a store changes its files.
  const std::string copy = staging + ".opened";
  KALAM_RETURN_IF_ERROR(RemoveAll(copy));
  KALAM_ASSIGN_OR_RETURN(const auto store_files, ListFiles(staging + "/rocksdb"));
  for (const std::string& file : store_files) {
    KALAM_RETURN_IF_ERROR(CopyFile(staging + "/rocksdb/" + file, copy + "/" + file).status());
  }
  const Status listed = [&]() -> Status {
    MemoryAccount own("restore", nullptr);
    KALAM_ASSIGN_OR_RETURN(const auto store, OpenSmallStore(copy, memory));
    KALAM_ASSIGN_OR_RETURN(const auto catalog,
                           catalog::Catalog::Open(*store, AccountOr(memory, own), kDefinitionsMax));
    for (const std::string& file : files) {
      const size_t slash = file.find('/');
      const std::string id = file.substr(0, slash);
      KALAM_ASSIGN_OR_RETURN(auto record, catalog->FindStorage(id));
      if (!record || slash == file.npos) {
        return Status(ErrorKind::Corruption, fmt::format("the backup lacks the storage '{}'", id));
      }
      objects.push_back({*std::move(record), staging + "/objects/" + file, file.substr(slash + 1)});
    }
    return {};
  }();
  KALAM_RETURN_IF_ERROR(RemoveAll(copy));
  KALAM_RETURN_IF_ERROR(listed);
  return objects;
}

Status UndoRestores(const RestoreServices& services) {
  const std::string prefix(kPendingPrefix);
  const auto pending = services.store.NewIterator(Family::kSystem, {prefix, PrefixEnd(prefix)});
  for (pending->SeekToFirst(); pending->Valid(); pending->Next()) {
    KALAM_RETURN_IF_ERROR(UndoOne(services, pending->key(), pending->value()));
  }
  return pending->status();
}

}  // namespace kalam::backup

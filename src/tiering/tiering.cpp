// The doors of the cold tier: each takes the table's lock, gathers what belongs to it, and works.
#include "tiering/tiering.h"

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <map>
#include <mutex>
#include <set>
#include <utility>

#include "base/log.h"
#include "base/optional_charge.h"
#include "tiering/compaction.h"
#include "tiering/flush.h"
#include "tiering/folders.h"
#include "tiering/leftovers.h"
#include "tiering/manifest.h"
#include "tiering/rebuild.h"
#include "tiering/table_commit.h"
#include "tiering/table_locks.h"
#include "tiering/unfinished_evictions.h"
#include "types/key_codec.h"

namespace kalam::tiering {
namespace {

// Files of one pass over the retired ones, and about what one of them takes.
constexpr size_t kRetiredBatch = 1000;
constexpr int64_t kRetiredFileBytes = 256;
// Of one flush: from so many on, what it leaves in the store is worth some work.
constexpr int64_t kManyRows = 16'384;

/// From the first key of the scopes to the last, in all key spaces; of all scopes when none is
/// named.
storage::ScanRange KeysOf(TableId table, const std::vector<storage::Scope>& scopes) {
  std::string first = storage::TablePrefix(table), last = first;
  for (const storage::Scope& scope : scopes) {
    const std::string prefix = storage::ScopePrefix(table, scope);
    if (&scope == &scopes.front() || prefix < first) first = prefix;
    if (&scope == &scopes.front() || prefix > last) last = prefix;
  }
  return {first, PrefixEnd(last)};
}

class TieringImpl final : public Tiering {
 public:
  TieringImpl(const TieringServices& services, const TieringOptions& options)
      : services_(services),
        options_(options),
        counts_(services.store, services.catalog, services.clock, options.flush_defaults,
                options.account),
        old_tombstones_(services.store, services.catalog),
        unfinished_evictions_(services.store),
        observer_(services.group.AddObserver(
            [this](const std::shared_ptr<const replication::CommittedBatch>& batch) {
              counts_.OnCommitted(*batch);
              if (!batch->changes.empty()) writes_.fetch_add(1, std::memory_order_relaxed);
            })) {}
  ~TieringImpl() override { services_.group.RemoveObserver(observer_); }

  HotRowCounts& counts() override { return counts_; }
  Status CheckCanWrite() const override { return services_.engine.CheckAvailable(); }

  Status TakeIn(const std::vector<TableId>& tables) override {
    for (const TableId table : tables) {
      KALAM_RETURN_IF_ERROR(counts_.CountAnew(table));
      old_tombstones_.Note(table);
      unfinished_evictions_.Note(table);
    }
    return Status::Ok();
  }

  Result<bool> HasHotRows(TableId table) override {
    const std::string prefix = storage::TablePrefix(table);
    auto iterator =
        services_.store.NewIterator(storage::Family::kRows, {prefix, PrefixEnd(prefix)});
    iterator->SeekToFirst();
    const bool found = iterator->Valid();
    KALAM_RETURN_IF_ERROR(iterator->status());
    return found;
  }

  Result<FlushOutcome> Flush(TableId id, const Work& work) override {
    KALAM_ASSIGN_OR_RETURN(std::optional<WorkedTable> worked, Gather(id, work));
    if (!worked) return FlushOutcome{.table_found = false};
    KALAM_ASSIGN_OR_RETURN(const auto held, locks_.Take(PlaceOf(*worked), worked->work.cancelled));
    Result<FlushOutcome> outcome = FlushLocked(id, *worked);
    unfinished_evictions_.Note(id);
    if (!outcome.ok() && IsDropped(id)) return FlushOutcome{.table_found = false};
    return outcome;
  }

  Result<CompactionOutcome> Compact(TableId id, Seq tombstones_up_to, const Work& work) override {
    KALAM_ASSIGN_OR_RETURN(std::optional<WorkedTable> worked, Gather(id, work));
    if (!worked) return CompactionOutcome{.table_found = false};
    KALAM_ASSIGN_OR_RETURN(const auto held, locks_.Take(PlaceOf(*worked), worked->work.cancelled));
    Result<CompactionOutcome> outcome = CompactLocked(*worked, tombstones_up_to);
    unfinished_evictions_.Note(id);
    if (!outcome.ok() && IsDropped(id)) return CompactionOutcome{.table_found = false};
    // One that dropped nothing would drop nothing again.
    if (!outcome.ok() || outcome->dropped_row_count > 0) old_tombstones_.Note(id);
    return outcome;
  }

  Result<RebuildOutcome> Rebuild(TableId id, const Work& work) override {
    KALAM_ASSIGN_OR_RETURN(std::optional<WorkedTable> worked, Gather(id, work));
    if (!worked) return RebuildOutcome{.table_found = false};
    KALAM_ASSIGN_OR_RETURN(const auto held, locks_.Take(PlaceOf(*worked), worked->work.cancelled));
    KALAM_RETURN_IF_ERROR(RemovePrepared(services_, *worked));
    Result<RebuildOutcome> outcome = RebuildTable(services_, *worked);
    if (!outcome.ok() && IsDropped(id)) return RebuildOutcome{.table_found = false};
    return outcome;
  }

  Result<std::vector<ManifestProblem>> CheckManifests(const std::string& storage_id) override;
  Status WriteManifests(TableId id) override;

  Result<std::vector<TableId>> TakeWithOldTombstones(const DroppableTombstones& up_to) override {
    return old_tombstones_.TakeDue(up_to);
  }

  Result<std::vector<TableId>> TakeWithUnfinishedEvictions() override {
    return unfinished_evictions_.Take();
  }

  Result<bool> FinishEvictions(TableId id, const Work& work) override {
    KALAM_ASSIGN_OR_RETURN(std::optional<WorkedTable> worked, Gather(id, work));
    if (!worked) return false;
    KALAM_ASSIGN_OR_RETURN(const auto held, locks_.Take(PlaceOf(*worked), worked->work.cancelled));
    Status finished = tiering::FinishEvictions(services_, *worked);
    if (finished.ok()) finished = RemovePrepared(services_, *worked);
    unfinished_evictions_.Note(id);
    if (!finished.ok() && IsDropped(id)) return false;
    KALAM_RETURN_IF_ERROR(finished);
    return true;
  }

  Seq PurgeLimit(TableId id) override {
    std::lock_guard lock(flushing_mutex_);
    const auto flushing = flushing_.find(id.value);
    return flushing == flushing_.end() ? Seq{INT64_MAX} : flushing->second;
  }

  Result<int64_t> DeleteRetired(const Work& work) override;
  Result<bool> HasRetired() override {
    KALAM_ASSIGN_OR_RETURN(const auto files,
                           segments::ListRetired(services_.store, GraceBegin(), kRetiredBatch));
    return std::any_of(files.begin(), files.end(),
                       [this](const auto& file) { return MayDelete(file); });
  }
  Result<TableFiles> PrepareDrop(const catalog::TableDefinition& table) override;
  Result<int64_t> CleanUpDropped(const DroppedTable& table, const Work& work) override;
  Result<std::vector<ManifestRow>> ListManifests() override;

 private:
  /// Says for as long as it lives that a flush of the table reads what was published by then.
  class Flushing {
   public:
    Flushing(TieringImpl& tiering, TableId id) : tiering_(tiering), id_(id) {
      std::lock_guard lock(tiering_.flushing_mutex_);
      seq_ = tiering_.services_.group.published_seq();
      tiering_.flushing_[id_.value] = seq_;
    }
    Flushing(const Flushing&) = delete;
    Flushing& operator=(const Flushing&) = delete;
    ~Flushing() {
      std::lock_guard lock(tiering_.flushing_mutex_);
      tiering_.flushing_.erase(id_.value);
    }
    Seq seq() const { return seq_; }

   private:
    TieringImpl& tiering_;
    const TableId id_;
    Seq seq_;
  };

  int64_t GraceBegin() const {
    return services_.clock.NowUs() - options_.retired_grace_seconds * 1'000'000;
  }
  /// Files of dropped tables go with their own cleanup: a table of the same name may have taken the
  /// path.
  bool MayDelete(const segments::RetiredFile& file) const {
    return !IsDropped(file.table) && !services_.segments.IsPinned(file.table, file.segment_id);
  }
  bool IsDropped(TableId id) const { return services_.catalog.CurrentSchemaVersion(id) == 0; }
  static std::string PlaceName(std::string_view storage_id, std::string_view ns,
                               std::string_view name) {
    return std::string(storage_id) + "/" + std::string(ns) + "/" + std::string(name);
  }
  static std::string PlaceOf(const WorkedTable& worked) {
    return PlaceName(worked.storage_record.storage_id, worked.table->namespace_id,
                     worked.table->name);
  }

  Result<std::optional<WorkedTable>> Gather(TableId id, const Work& work);
  /// What every flush and every compaction begins with.
  Status FinishEarlierWork(const WorkedTable& worked);
  Result<FlushOutcome> FlushLocked(TableId id, WorkedTable& worked);
  Result<FlushOutcome> FlushUpTo(Seq up_to, TableId id, WorkedTable& worked);
  void SinkForgotten(const storage::ScanRange& keys, int64_t row_count);
  Result<CompactionOutcome> CompactLocked(const WorkedTable& worked, Seq tombstones_up_to);
  Result<std::set<std::string>> PathsOfSuccessor(const DroppedTable& dropped, bool* exists);
  Status DeleteLeftManifests(const std::set<std::string>& deleted, objects::ObjectStorage& storage);
  Status Propose(std::shared_ptr<replication::Command> command) {
    return replication::ProposeAndWait(services_.group, std::move(command)).status;
  }

  const TieringServices services_;
  const TieringOptions options_;
  HotRowCounts counts_;
  OldTombstones old_tombstones_;
  UnfinishedEvictions unfinished_evictions_;
  TableLocks locks_;
  std::atomic<uint64_t> writes_{0};  // commits with changes; evictions have none
  std::mutex flushing_mutex_;
  std::map<uint32_t, Seq> flushing_;  // guarded by flushing_mutex_; one flush a table at a time
  const int observer_;
};

/// nullopt when the table is gone.
Result<std::optional<WorkedTable>> TieringImpl::Gather(TableId id, const Work& work) {
  KALAM_ASSIGN_OR_RETURN(catalog::TablePtr table, services_.catalog.FindTable(id));
  if (table == nullptr || IsDropped(id)) return std::optional<WorkedTable>();
  if (table->type != catalog::TableType::kUser && table->type != catalog::TableType::kShared) {
    return Status(ErrorKind::InvalidOperation,
                  "rows of " + table->QualifiedName() + " are never moved to cold storage");
  }
  KALAM_ASSIGN_OR_RETURN(auto record, services_.catalog.FindStorage(table->options.storage_id));
  if (!record) {
    return Status(ErrorKind::NotFound, "Storage '" + table->options.storage_id + "' not found");
  }
  KALAM_ASSIGN_OR_RETURN(auto storage, services_.storage_of(record->storage_id));
  WorkedTable worked{.table = std::move(table),
                     .storage_record = *std::move(record),
                     .storage = std::move(storage),
                     .temp_directory = options_.temp_directory,
                     .work = work,
                     .fail_point = options_.fail_point,
                     .writes = &writes_,
                     .engine_bytes = services_.engine_bytes};
  worked.work.cancelled = [this, id, cancelled = work.cancelled] {
    return (cancelled && cancelled()) || IsDropped(id);
  };
  return std::optional<WorkedTable>(std::move(worked));
}

Status TieringImpl::FinishEarlierWork(const WorkedTable& worked) {
  // Before a file is replaced or deleted because no record names it.
  KALAM_RETURN_IF_ERROR(SettleOutcomes(services_.group));
  KALAM_RETURN_IF_ERROR(tiering::FinishEvictions(services_, worked));
  KALAM_RETURN_IF_ERROR(RemovePrepared(services_, worked));
  if (!worked.work.is_repeated) return Status::Ok();
  RenewManifests(services_, worked);
  return RemoveOrphans(services_, worked);
}

Result<FlushOutcome> TieringImpl::FlushLocked(TableId id, WorkedTable& worked) {
  KALAM_RETURN_IF_ERROR(FinishEarlierWork(worked));
  const Flushing flushing(*this, id);  // before the view: it sees every tombstone up to there
  counts_.FlushBegins(id, worked.work.scopes, flushing.seq());
  Result<FlushOutcome> outcome = FlushUpTo(flushing.seq(), id, worked);
  SinkForgotten(KeysOf(id, worked.work.scopes), outcome.ok() ? outcome->row_count : 0);
  // Behind that: it may count what is left.
  counts_.FlushEnded(id, outcome.ok() ? std::optional(outcome->row_count) : std::nullopt);
  KALAM_RETURN_IF_ERROR(outcome.status());
  if (!outcome->table_found) return outcome;
  if (outcome->row_count > 0) old_tombstones_.Note(id);
  KALAM_ASSIGN_OR_RETURN(outcome->wants_compaction,
                         WantsCompaction(services_.store, id, options_.small_segments_max));
  return outcome;
}

/// Scans walk over what was forgotten until it has met its rows in a compaction; also what a flush
/// has left that failed, or was killed.
void TieringImpl::SinkForgotten(const storage::ScanRange& keys, int64_t row_count) {
  for (const storage::Family family : {storage::Family::kRows, storage::Family::kOrder}) {
    if (row_count < kManyRows && !services_.store.HasDeletedRanges(family, keys)) continue;
    const Status sunk = services_.store.SinkDeletions(family, keys);
    if (sunk.ok()) continue;
    Log(LogLevel::kWarn, "tiering", "rows that were moved still lie in the store's files",
        {{"error", sunk.ToString()}});
  }
}

Result<FlushOutcome> TieringImpl::FlushUpTo(Seq up_to, TableId id, WorkedTable& worked) {
  replication::View view = services_.group.TakeView();
  // What came between is counted as hot.
  view.seq = up_to;
  // Not before the view: every row of it must have a version that the definition knows.
  KALAM_ASSIGN_OR_RETURN(worked.table, services_.catalog.FindTable(id));
  if (worked.table == nullptr) return FlushOutcome{.table_found = false};
  return FlushView(services_, worked, std::move(view));
}

Result<CompactionOutcome> TieringImpl::CompactLocked(const WorkedTable& worked,
                                                     Seq tombstones_up_to) {
  KALAM_RETURN_IF_ERROR(FinishEarlierWork(worked));
  return CompactTable(
      services_, worked,
      {.scope = worked.work.compaction_scope, .small_segments_max = options_.small_segments_max},
      tombstones_up_to);
}

Result<int64_t> TieringImpl::DeleteRetired(const Work& work) {
  KALAM_ASSIGN_OR_RETURN(const auto files,
                         segments::ListRetired(services_.store, GraceBegin(), kRetiredBatch));
  const MemoryCharge charge =
      ChargeIfAny(work.memory, static_cast<int64_t>(files.size()) * kRetiredFileBytes);
  int64_t deleted = 0;
  for (const segments::RetiredFile& file : files) {
    if (work.cancelled && work.cancelled()) return Status(ErrorKind::Cancelled, "stopped");
    if (!MayDelete(file)) continue;
    KALAM_ASSIGN_OR_RETURN(const auto storage, services_.storage_of(file.storage_id));
    KALAM_RETURN_IF_ERROR(storage->Delete(file.path));
    if (options_.fail_point) options_.fail_point("cleanup.deleted");
    auto command = std::make_shared<replication::Command>();
    command->records = {segments::ForgetRetired(file)};
    KALAM_RETURN_IF_ERROR(Propose(std::move(command)));
    ++deleted;
  }
  return deleted;
}

Result<TableFiles> TieringImpl::PrepareDrop(const catalog::TableDefinition& table) {
  TableFiles files;
  KALAM_ASSIGN_OR_RETURN(const auto record,
                         services_.catalog.FindStorage(table.options.storage_id));
  if (record) files.folder_prefix = TableFolderPrefix(table, *record);
  KALAM_ASSIGN_OR_RETURN(files.writes, segments::RetireFilesOfTable(services_.store, table.id,
                                                                    services_.clock.NowUs()));
  return files;
}

/// Paths of the segments of the table that has the dropped one's name now.
Result<std::set<std::string>> TieringImpl::PathsOfSuccessor(const DroppedTable& dropped,
                                                            bool* exists) {
  std::set<std::string> paths;
  KALAM_ASSIGN_OR_RETURN(const auto table,
                         services_.catalog.FindTable(dropped.namespace_id, dropped.name));
  *exists = table != nullptr && table->options.storage_id == dropped.storage_id;
  if (!*exists) return paths;
  KALAM_ASSIGN_OR_RETURN(const auto segments, segments::ListSegments(services_.store, table->id));
  for (const segments::SegmentRecord& segment : segments) paths.insert(segment.path);
  return paths;
}

/// Manifests are not in the index: those go that nothing lies beside any more.
Status TieringImpl::DeleteLeftManifests(const std::set<std::string>& deleted,
                                        objects::ObjectStorage& storage) {
  std::set<std::string> folders;
  for (const std::string& path : deleted) {
    const size_t slash = path.rfind('/');
    if (slash != path.npos) folders.insert(path.substr(0, slash + 1));
  }
  for (const std::string& folder : folders) {
    const std::string manifest = folder + std::string(kManifestFile);
    bool has_manifest = false, has_others = false;
    KALAM_RETURN_IF_ERROR(storage.List(folder, [&](const objects::ObjectEntry& entry) {
      (entry.path == manifest ? has_manifest : has_others) = true;
      return !has_others;
    }));
    if (has_manifest && !has_others) KALAM_RETURN_IF_ERROR(storage.Delete(manifest));
  }
  return Status::Ok();
}

Result<int64_t> TieringImpl::CleanUpDropped(const DroppedTable& table, const Work& work) {
  KALAM_ASSIGN_OR_RETURN(
      const auto held,
      locks_.Take(PlaceName(table.storage_id, table.namespace_id, table.name), work.cancelled));
  bool has_successor = false;
  KALAM_ASSIGN_OR_RETURN(const auto kept, PathsOfSuccessor(table, &has_successor));
  KALAM_ASSIGN_OR_RETURN(auto retired, segments::ListRetired(services_.store, INT64_MAX, SIZE_MAX));
  std::erase_if(retired, [&](const auto& file) { return file.table != table.id; });
  std::set<std::string> doomed;
  for (const segments::RetiredFile& file : retired) doomed.insert(file.path);
  KALAM_ASSIGN_OR_RETURN(const auto record, services_.catalog.FindStorage(table.storage_id));
  int64_t deleted = 0;
  if (record) {
    KALAM_ASSIGN_OR_RETURN(const auto storage, services_.storage_of(table.storage_id));
    // Everything below the folder is the table's own, unless it has a successor.
    if (!table.folder_prefix.empty() && !has_successor) {
      KALAM_RETURN_IF_ERROR(
          storage->List(table.folder_prefix, [&](const objects::ObjectEntry& entry) {
            doomed.insert(entry.path);
            return true;
          }));
    }
    for (const std::string& path : doomed) {
      if (work.cancelled && work.cancelled()) return Status(ErrorKind::Cancelled, "stopped");
      if (kept.contains(path)) continue;
      KALAM_RETURN_IF_ERROR(storage->Delete(path));
      if (options_.fail_point) options_.fail_point("cleanup.dropped");
      ++deleted;
    }
    KALAM_RETURN_IF_ERROR(DeleteLeftManifests(doomed, *storage));
  }
  auto command = std::make_shared<replication::Command>();
  for (const segments::RetiredFile& file : retired)
    command->records.push_back(segments::ForgetRetired(file));
  if (!command->records.empty()) KALAM_RETURN_IF_ERROR(Propose(std::move(command)));
  return deleted;
}

Result<std::vector<ManifestProblem>> TieringImpl::CheckManifests(const std::string& storage_id) {
  std::vector<ManifestProblem> problems;
  KALAM_ASSIGN_OR_RETURN(const auto storage, services_.storage_of(storage_id));
  KALAM_ASSIGN_OR_RETURN(const auto folders, segments::ListFolders(services_.store, std::nullopt));
  for (const segments::FolderRecord& folder : folders) {
    if (folder.storage_id != storage_id || IsDropped(folder.table)) continue;
    KALAM_ASSIGN_OR_RETURN(const auto table, services_.catalog.FindTable(folder.table));
    if (table == nullptr) continue;
    const auto held = locks_.TryTake(PlaceName(storage_id, table->namespace_id, table->name));
    if (!held) continue;
    KALAM_ASSIGN_OR_RETURN(std::string problem,
                           FindManifestProblem(services_, *table, folder.place, *storage));
    if (problem.empty()) continue;
    problems.push_back({table->QualifiedName(), folder.folder + "/" + std::string(kManifestFile),
                        std::move(problem)});
  }
  return problems;
}

Status TieringImpl::WriteManifests(TableId id) {
  KALAM_ASSIGN_OR_RETURN(const std::optional<WorkedTable> worked, Gather(id, {}));
  if (!worked) return Status::Ok();
  KALAM_ASSIGN_OR_RETURN(const auto held, locks_.Take(PlaceOf(*worked), worked->work.cancelled));
  KALAM_ASSIGN_OR_RETURN(const auto folders, segments::ListFolders(services_.store, id));
  for (const segments::FolderRecord& folder : folders) {
    KALAM_RETURN_IF_ERROR(WriteManifest(services_, *worked->table, folder.place, *worked->storage));
  }
  return Status::Ok();
}

Result<std::vector<ManifestRow>> TieringImpl::ListManifests() {
  std::vector<ManifestRow> manifests;
  KALAM_ASSIGN_OR_RETURN(const auto folders, segments::ListFolders(services_.store, std::nullopt));
  for (const segments::FolderRecord& folder : folders) {
    KALAM_ASSIGN_OR_RETURN(const auto table, services_.catalog.FindTable(folder.table));
    if (table == nullptr) continue;
    KALAM_ASSIGN_OR_RETURN(auto manifest, ReadManifest(services_, *table, folder.place));
    if (!manifest) continue;
    manifests.push_back({ManifestCacheKey(*table, folder.place), table->namespace_id, table->name,
                         ManifestScope(folder.place), std::move(manifest->etag),
                         folder.updated_at_us, std::move(manifest->json)});
  }
  return manifests;
}

}  // namespace

Result<std::unique_ptr<Tiering>> OpenTiering(const TieringServices& services,
                                             const TieringOptions& options) {
  std::error_code error;
  std::filesystem::remove_all(options.temp_directory, error);
  std::filesystem::create_directories(options.temp_directory, error);
  if (error) {
    return Status(ErrorKind::StorageIo,
                  "the folder " + options.temp_directory + " cannot be made: " + error.message());
  }
  return std::unique_ptr<Tiering>(std::make_unique<TieringImpl>(services, options));
}

}  // namespace kalam::tiering

// The steps of a flush. A crash after any of them loses and doubles nothing: before the commit
// there is a file that nobody knows, after it a row may be hot and cold at once, with one `_seq`.
#include "tiering/flush.h"

#include <fmt/format.h>

#include <future>
#include <set>
#include <utility>

#include "base/log.h"
#include "tiering/eviction.h"
#include "tiering/folders.h"
#include "tiering/forget_scope.h"
#include "tiering/row_feed.h"

namespace kalam::tiering {
namespace {

// As long as a table has so few folders of scopes, each gets its own, however small.
constexpr size_t kOwnFoldersMax = 16;
// Of a scope: for fewer, naming each row costs less than what reads pay for a deleted range.
constexpr int64_t kForgottenAtOnceMin = 1024;

EvictionServices EvictionServicesOf(const TieringServices& services, const WorkedTable& worked) {
  return {services.store, services.catalog, services.group, *worked.writes};
}

class ViewFlush {
 public:
  ViewFlush(const TieringServices& services, const WorkedTable& worked, replication::View view)
      : services_(services), worked_(worked), view_(std::move(view)) {}

  Result<FlushOutcome> Run() {
    const TableId id = worked_.table->id;
    const bool shares = MayShareSegments(*worked_.table, worked_.storage_record);
    // Without sharing every scope is one of its own, found one after the other.
    const size_t scopes_max = shares ? kOwnFoldersMax + 1 : SIZE_MAX;
    KALAM_ASSIGN_OR_RETURN(ScopeSet scopes,
                           ListHotScopes(services_.store, view_.snapshot, id, scopes_max));
    bool gives_folders = true;
    if (shares) {
      KALAM_ASSIGN_OR_RETURN(gives_folders, FoldersStayFew(scopes));
    }
    if (!gives_folders) {
      scopes.clear();
      const auto feed =
          FeedSmallHotScopes(services_.store, view_, id, LargeScope(), &large_scopes_);
      KALAM_RETURN_IF_ERROR(FlushPlace(segments::SegmentPlace::Many(), *feed));
      scopes = std::exchange(large_scopes_, {});
    }
    for (const std::string& prefix : scopes) {
      storage::Scope scope;
      if (!ParseScope(prefix, &scope))
        return Status(ErrorKind::Corruption, "a key of a row cannot be read");
      const auto feed = FeedHotScope(services_.store, view_, id, scope);
      KALAM_RETURN_IF_ERROR(FlushPlace(segments::SegmentPlace::OfScope(scope), *feed));
    }
    return outcome_;
  }

 private:
  /// Whether the folders of users stay few when each of these scopes has one. Small flushes of
  /// other users each time would give a folder to everybody in the end.
  Result<bool> FoldersStayFew(const ScopeSet& scopes) const {
    size_t count = scopes.size();
    if (count > kOwnFoldersMax) return false;
    KALAM_ASSIGN_OR_RETURN(
        const std::vector<segments::FolderRecord> folders,
        segments::ListFolders(services_.store, worked_.table->id, view_.snapshot));
    for (const segments::FolderRecord& folder : folders) {
      if (folder.place.many) continue;
      if (!scopes.contains(segments::SegmentKeyPrefix(folder.place.scope))) ++count;
    }
    return count <= kOwnFoldersMax;
  }

  Status FlushPlace(const segments::SegmentPlace& place, RowFeed& feed) {
    FeedCursor cursor(feed);
    KALAM_RETURN_IF_ERROR(cursor.Start());
    if (cursor.at_end()) return Status::Ok();
    const SegmentTarget target = worked_.TargetAt(place, "flush");
    Status status = FlushSegment(target, cursor);
    while (status.ok()) {
      // While a snapshot shows them, rows that were forgotten pass through every compaction.
      view_.snapshot = services_.group.TakeView().snapshot;
      status = cursor.Renew(view_.snapshot);
      if (!status.ok() || cursor.at_end()) break;
      status = FlushSegment(target, cursor);
    }
    const Status evicted = FinishEviction();
    KALAM_RETURN_IF_ERROR(status);
    KALAM_RETURN_IF_ERROR(evicted);
    KALAM_RETURN_IF_ERROR(EvictScope());
    const Status written = WriteManifest(services_, *worked_.table, place, *worked_.storage);
    if (!written.ok()) {
      // A copy for others; the next flush writes it again.
      Log(LogLevel::kWarn, "tiering", "a manifest could not be written",
          {{"table", worked_.table->QualifiedName()}, {"error", written.ToString()}});
    }
    worked_.Reached("flush.manifest");
    return Status::Ok();
  }

  Status FlushSegment(const SegmentTarget& target, FeedCursor& cursor) {
    KALAM_ASSIGN_OR_RETURN(auto change,
                           segments::SegmentChange::Begin(services_.store, worked_.table->id));
    KALAM_RETURN_IF_ERROR(WriteSegment(services_.engine, target, cursor, /*evicting=*/true,
                                       services_.clock.NowUs(), &change));
    const segments::SegmentRecord segment = change.added().back();
    KALAM_RETURN_IF_ERROR(CommitSegments(services_, worked_, &change));
    worked_.Reached("flush.committed");
    if (target.place.many) {
      KALAM_RETURN_IF_ERROR(FinishEviction());
      // The committer forgets rows of this segment while the next one is written.
      eviction_ = std::async(std::launch::async, [this, segment, others = large_scopes_] {
        return Evict(segment, others);
      });
    } else {
      of_scope_.push_back(segment);
    }
    outcome_.row_count += segment.row_count;
    ++outcome_.file_count;
    if (worked_.work.report) {
      worked_.work.report(
          fmt::format("{} rows in {} files so far", outcome_.row_count, outcome_.file_count));
    }
    return Status::Ok();
  }

  /// Waits for the eviction under way, if any.
  Status FinishEviction() {
    if (!eviction_.valid()) return Status::Ok();
    KALAM_RETURN_IF_ERROR(eviction_.get());
    worked_.Reached("flush.evicted");
    return Status::Ok();
  }

  /// Forgets what the segments of the scope under way hold: at once where that pays.
  Status EvictScope() {
    const std::vector<segments::SegmentRecord> segments = std::exchange(of_scope_, {});
    int64_t row_count = 0;
    for (const segments::SegmentRecord& segment : segments) row_count += segment.row_count;
    bool done = false;
    if (row_count >= kForgottenAtOnceMin) {
      KALAM_ASSIGN_OR_RETURN(
          done, ForgetScope(EvictionServicesOf(services_, worked_), segments, view_.seq,
                            [this] { worked_.Reached("flush.evicting"); }));
      if (done) {
        outcome_.forgot_ranges = true;
        worked_.Reached("flush.evicted");
      }
    }
    for (const segments::SegmentRecord& segment : segments) {
      if (done) break;
      KALAM_RETURN_IF_ERROR(Evict(segment, {}));
      worked_.Reached("flush.evicted");
    }
    return Status::Ok();
  }

  Status Evict(const segments::SegmentRecord& segment, const ScopeSet& other_scopes) const {
    const auto cancelled = [this, calls = 0]() mutable {
      if (++calls == 2) worked_.Reached("flush.evicting");
      return worked_.work.cancelled && worked_.work.cancelled();
    };
    KALAM_ASSIGN_OR_RETURN(const EvictionOutcome evicted,
                           EvictWritten(EvictionServicesOf(services_, worked_), segment, view_.seq,
                                        other_scopes, cancelled));
    if (!evicted.complete) return Status::Ok();
    auto command = std::make_shared<replication::Command>();
    command->records = {segments::ClearEvicting(segment)};
    return replication::ProposeAndWait(services_.group, std::move(command)).status;
  }

  const TieringServices& services_;
  const WorkedTable& worked_;
  replication::View view_;  // the snapshot is that of the segment under way, the `_seq` stays
  ScopeSet large_scopes_;   // met, and left out, while small ones are flushed
  std::vector<segments::SegmentRecord> of_scope_;  // of the scope under way, still hot as well
  FlushOutcome outcome_;
  std::future<Status> eviction_;  // of the last committed one of many scopes; its end is waited for
};

/// Paths that records of the table name, also of files that wait to be deleted.
Result<std::set<std::string>> NamedPaths(storage::Store& store, TableId table) {
  std::set<std::string> paths;
  KALAM_ASSIGN_OR_RETURN(const auto segments, segments::ListSegments(store, table));
  for (const segments::SegmentRecord& segment : segments) paths.insert(segment.path);
  KALAM_ASSIGN_OR_RETURN(const auto retired, segments::ListRetired(store, INT64_MAX, SIZE_MAX));
  for (const segments::RetiredFile& file : retired) {
    if (file.table == table) paths.insert(file.path);
  }
  return paths;
}

}  // namespace

SegmentTarget WorkedTable::TargetAt(const segments::SegmentPlace& place,
                                    std::string_view job) const {
  return {.table = table,
          .place = place,
          .storage_id = storage_record.storage_id,
          .folder = FolderOf(*table, place, storage_record),
          .storage = storage.get(),
          .local_path = fmt::format("{}/{}-{}.parquet", temp_directory, job, table->id.value),
          .cancelled = work.cancelled,
          .fail_point = fail_point,
          .job = std::string(job)};
}

Status CommitSegments(const TieringServices& services, const WorkedTable& worked,
                      segments::SegmentChange* change) {
  const TableId id = worked.table->id;
  services.segments.NoteTable(id);
  auto command = std::make_shared<replication::Command>();
  command->records = change->Take();
  KALAM_RETURN_IF_ERROR(replication::ProposeAndWait(services.group, std::move(command)).status);
  if (services.catalog.CurrentSchemaVersion(id) != 0) return Status::Ok();
  // The DROP came first and could not know of these records.
  auto undo = std::make_shared<replication::Command>();
  undo->dropped_tables = {id};
  KALAM_RETURN_IF_ERROR(replication::ProposeAndWait(services.group, std::move(undo)).status);
  return Status(ErrorKind::NotFound, "the table was dropped");
}

Status FinishEvictions(const TieringServices& services, const WorkedTable& worked) {
  if (!services.segments.MayHaveSegments(worked.table->id)) return Status::Ok();
  KALAM_ASSIGN_OR_RETURN(const auto segments,
                         segments::ListSegments(services.store, worked.table->id));
  for (const segments::SegmentRecord& segment : segments) {
    if (!segment.evicting) continue;
    KALAM_ASSIGN_OR_RETURN(const EvictionOutcome evicted,
                           EvictHeld(EvictionServicesOf(services, worked), services.segments,
                                     worked.table, segment, worked.work.cancelled));
    if (!evicted.complete) continue;
    auto command = std::make_shared<replication::Command>();
    command->records = {segments::ClearEvicting(segment)};
    KALAM_RETURN_IF_ERROR(replication::ProposeAndWait(services.group, std::move(command)).status);
  }
  return Status::Ok();
}

Status RemoveOrphans(const TieringServices& services, const WorkedTable& worked) {
  const std::string prefix = TableFolderPrefix(*worked.table, worked.storage_record);
  if (prefix.empty()) return Status::Ok();
  KALAM_ASSIGN_OR_RETURN(const auto named, NamedPaths(services.store, worked.table->id));
  std::vector<std::string> orphans;
  KALAM_RETURN_IF_ERROR(worked.storage->List(prefix, [&](const objects::ObjectEntry& entry) {
    const std::string name = entry.path.substr(entry.path.rfind('/') + 1);
    const bool is_segment = name.starts_with("batch-") && name.ends_with(".parquet");
    if (is_segment && !named.contains(entry.path)) orphans.push_back(entry.path);
    return true;
  }));
  for (const std::string& path : orphans) {
    KALAM_RETURN_IF_ERROR(worked.storage->Delete(path));
    Log(LogLevel::kInfo, "tiering", "a file that no segment names was removed", {{"path", path}});
  }
  return Status::Ok();
}

Result<FlushOutcome> FlushView(const TieringServices& services, const WorkedTable& worked,
                               replication::View view) {
  return ViewFlush(services, worked, std::move(view)).Run();
}

}  // namespace kalam::tiering

// The steps of a flush. A crash after any of them loses and doubles nothing. Of one scope: before
// the one command that counts there are prepared segments, which no reader sees and the next work
// on the table removes; after it there is nothing left to do. Of many scopes, and where rows change
// faster than that command is made: before the commit there is a file that nobody knows, after it a
// row may be hot and cold at once, with one `_seq`.
#include "tiering/flush.h"

#include <fmt/format.h>

#include <functional>
#include <future>
#include <utility>

#include "base/log.h"
#include "base/optional_charge.h"
#include "tiering/eviction.h"
#include "tiering/folders.h"
#include "tiering/leftovers.h"
#include "tiering/row_feed.h"
#include "tiering/scope_commit.h"
#include "tiering/table_commit.h"

namespace kalam::tiering {
namespace {

// As long as a table has so few folders of scopes, each gets its own, however small.
constexpr size_t kOwnFoldersMax = 16;

EvictionServices EvictionServicesOf(const TieringServices& services, const WorkedTable& worked) {
  return {services.store, services.catalog, services.group, *worked.writes};
}

class ViewFlush {
 public:
  ViewFlush(const TieringServices& services, const WorkedTable& worked, replication::View view)
      : services_(services), worked_(worked), view_(std::move(view)) {
    for (const storage::Scope& scope : worked.work.scopes)
      listed_scopes_.insert(segments::SegmentKeyPrefix(scope));
  }

  Result<FlushOutcome> Run() {
    const TableId id = worked_.table->id;
    const bool shares = MayShareSegments(*worked_.table, worked_.storage_record);
    // Without sharing every scope is one of its own, found one after the other.
    const size_t scopes_max = shares ? kOwnFoldersMax + 1 : SIZE_MAX;
    ScopeSet scopes = listed_scopes_;
    if (scopes.empty()) {
      KALAM_ASSIGN_OR_RETURN(scopes,
                             ListHotScopes(services_.store, view_.snapshot, id, scopes_max));
    }
    bool gives_folders = true;
    if (shares) {
      KALAM_ASSIGN_OR_RETURN(gives_folders, FoldersStayFew(scopes));
    }
    if (!gives_folders) {
      scopes.clear();
      const auto feed = FeedSmallHotScopes(services_.store, view_, id, LargeScope(), &large_scopes_,
                                           listed_scopes_.empty() ? nullptr : &listed_scopes_,
                                           worked_.work.memory);
      KALAM_RETURN_IF_ERROR(FlushPlace(segments::SegmentPlace::Many(), *feed));
      scopes = std::exchange(large_scopes_, {});
    }
    const MemoryCharge scopes_charge = ChargeIfAny(worked_.work.memory, MemoryOf(scopes));
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
    FeedCursor cursor(feed, worked_.work.memory);
    KALAM_RETURN_IF_ERROR(cursor.Start());
    if (cursor.at_end()) return Status::Ok();
    // Long before anybody can find a row gone from the store.
    services_.segments.NoteTable(worked_.table->id);
    KALAM_RETURN_IF_ERROR(place.many ? FlushMany(cursor) : FlushScope(place, cursor));
    const Status written =
        WriteManifest(services_, *worked_.table, place, *worked_.storage, worked_.work.memory);
    if (!written.ok()) {
      // A copy for others; the next flush writes it again.
      Log(LogLevel::kWarn, "tiering", "a manifest could not be written",
          {{"table", worked_.table->QualifiedName()}, {"error", written.ToString()}});
    }
    worked_.Reached("flush.manifest");
    return Status::Ok();
  }

  /// Calls `write` for one segment after another, each on a snapshot of its own.
  Status ForEachSegment(FeedCursor& cursor, const std::function<Status()>& write) {
    Status status = write();
    while (status.ok()) {
      // While a snapshot shows them, rows that were forgotten pass through every compaction.
      view_.snapshot = services_.group.TakeView().snapshot;
      status = cursor.Renew(view_.snapshot);
      if (!status.ok() || cursor.at_end()) break;
      status = write();
    }
    return status;
  }

  /// One scope: its segments come to be, and its hot rows go, by one command at the end.
  Status FlushScope(const segments::SegmentPlace& place, FeedCursor& cursor) {
    KALAM_ASSIGN_OR_RETURN(
        auto change,
        segments::SegmentChange::Begin(services_.store, worked_.table->id, worked_.work.memory));
    SegmentTarget target = worked_.TargetAt(place, "flush");
    target.prepare = [this](catalog::RecordWrites parts) { return CommitParts(std::move(parts)); };
    Status status = ForEachSegment(cursor, [&]() -> Status {
      KALAM_RETURN_IF_ERROR(WriteSegment(services_.engine, target, cursor, /*evicting=*/false,
                                         services_.clock.NowUs(), &change));
      Report(change);
      return Status::Ok();
    });
    if (status.ok()) status = CommitWritten(&change);
    if (status.ok()) return status;
    // Files of whole scopes are too much to be left until somebody comes by.
    const Status removed = RemovePrepared(services_, worked_);
    if (!removed.ok()) {
      Log(LogLevel::kWarn, "tiering", "what a flush has left is removed by the next one",
          {{"table", worked_.table->QualifiedName()}, {"error", removed.ToString()}});
    }
    return status;
  }

  Status CommitParts(catalog::RecordWrites parts) const {
    auto command = std::make_shared<replication::Command>();
    command->records = std::move(parts);
    return CommitForTable(services_.catalog, services_.group, worked_.table->id,
                          std::move(command));
  }

  Status CommitWritten(segments::SegmentChange* change) {
    KALAM_ASSIGN_OR_RETURN(const ScopeCommit commit,
                           CommitScope(EvictionServicesOf(services_, worked_), *change, view_.seq,
                                       [this] { worked_.Reached("flush.committing"); }));
    if (commit == ScopeCommit::kTooManyChanges) return CommitThenEvict(change);
    worked_.Reached("flush.committed");
    Count(*change);
    return Status::Ok();
  }

  /// Where too much changed meanwhile for one command: rows are hot and cold for a while.
  Status CommitThenEvict(segments::SegmentChange* change) {
    change->MarkEvicting();
    KALAM_RETURN_IF_ERROR(CommitSegments(services_, worked_, change));
    worked_.Reached("flush.committed");
    Count(*change);
    for (const segments::SegmentRecord& segment : change->added()) {
      KALAM_RETURN_IF_ERROR(Evict(segment, {}));
      worked_.Reached("flush.evicted");
    }
    return Status::Ok();
  }

  /// Scopes that share segments: one command with the rows of thousands of users would hold up
  /// every writer behind it, so each segment is committed, and then its hot copies go.
  Status FlushMany(FeedCursor& cursor) {
    const SegmentTarget target = worked_.TargetAt(segments::SegmentPlace::Many(), "flush");
    const Status status =
        ForEachSegment(cursor, [&]() -> Status { return FlushSegmentOfMany(target, cursor); });
    const Status evicted = FinishEviction();
    KALAM_RETURN_IF_ERROR(status);
    return evicted;
  }

  Status FlushSegmentOfMany(const SegmentTarget& target, FeedCursor& cursor) {
    KALAM_ASSIGN_OR_RETURN(
        auto change,
        segments::SegmentChange::Begin(services_.store, worked_.table->id, worked_.work.memory));
    KALAM_RETURN_IF_ERROR(WriteSegment(services_.engine, target, cursor, /*evicting=*/true,
                                       services_.clock.NowUs(), &change));
    const Status committed = CommitSegments(services_, worked_, &change);
    if (committed.Is(ErrorKind::NotFound)) RemoveWritten(worked_, change);
    KALAM_RETURN_IF_ERROR(committed);
    worked_.Reached("flush.committed");
    KALAM_RETURN_IF_ERROR(FinishEviction());
    // The committer forgets rows of this segment while the next one is written.
    eviction_ =
        std::async(std::launch::async, [this, segment = change.added().back(),
                                        others = large_scopes_] { return Evict(segment, others); });
    Report(change);
    Count(change);
    return Status::Ok();
  }

  static int64_t RowsOf(const segments::SegmentChange& change) {
    int64_t row_count = 0;
    for (const segments::SegmentRecord& segment : change.added()) row_count += segment.row_count;
    return row_count;
  }
  void Count(const segments::SegmentChange& change) {
    outcome_.row_count += RowsOf(change);
    outcome_.file_count += static_cast<int64_t>(change.added().size());
  }
  /// Says how far the work is, with the segments of a change that is not counted yet.
  void Report(const segments::SegmentChange& change) const {
    if (!worked_.work.report) return;
    worked_.work.report(
        fmt::format("{} rows in {} files so far", outcome_.row_count + RowsOf(change),
                    outcome_.file_count + static_cast<int64_t>(change.added().size())));
  }

  /// Waits for the eviction under way, if any.
  Status FinishEviction() {
    if (!eviction_.valid()) return Status::Ok();
    KALAM_RETURN_IF_ERROR(eviction_.get());
    worked_.Reached("flush.evicted");
    return Status::Ok();
  }

  Status Evict(const segments::SegmentRecord& segment, const ScopeSet& other_scopes) const {
    const auto cancelled = [this, calls = 0]() mutable {
      if (++calls == 2) worked_.Reached("flush.evicting");
      return worked_.work.cancelled && worked_.work.cancelled();
    };
    KALAM_ASSIGN_OR_RETURN(const EvictionOutcome evicted,
                           EvictWritten(EvictionServicesOf(services_, worked_), segment, view_.seq,
                                        {listed_scopes_, other_scopes}, cancelled));
    if (!evicted.complete) return Status::Ok();
    auto command = std::make_shared<replication::Command>();
    command->records = {segments::ClearEvicting(segment)};
    return replication::ProposeAndWait(services_.group, std::move(command)).status;
  }

  const TieringServices& services_;
  const WorkedTable& worked_;
  replication::View view_;  // the snapshot is that of the segment under way, the `_seq` stays
  ScopeSet listed_scopes_;  // those to flush; empty: all
  ScopeSet large_scopes_;   // met, and left out, while small ones are flushed
  FlushOutcome outcome_;
  std::future<Status> eviction_;  // of the last committed one of many scopes; its end is waited for
};

}  // namespace

SegmentTarget WorkedTable::TargetAt(const segments::SegmentPlace& place,
                                    std::string_view job) const {
  return {.table = table,
          .place = place,
          .storage_id = storage_record.storage_id,
          .folder = FolderOf(*table, place, storage_record),
          .storage = storage.get(),
          .local_path = fmt::format("{}/{}-{}.parquet", temp_directory, job, table->id.value),
          .engine_bytes = engine_bytes,
          .memory = work.memory,
          .cancelled = work.cancelled,
          .fail_point = fail_point,
          .job = std::string(job)};
}

Status CommitSegments(const TieringServices& services, const WorkedTable& worked,
                      segments::SegmentChange* change) {
  services.segments.NoteTable(worked.table->id);
  auto command = std::make_shared<replication::Command>();
  command->records = change->Take();
  return CommitForTable(services.catalog, services.group, worked.table->id, std::move(command));
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

Result<FlushOutcome> FlushView(const TieringServices& services, const WorkedTable& worked,
                               replication::View view) {
  return ViewFlush(services, worked, std::move(view)).Run();
}

}  // namespace kalam::tiering

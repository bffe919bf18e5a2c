// What maintenance jobs do. Each may run twice, after a crash or a retry, and then finds less to
// do.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/log.h"
#include "base/optional_charge.h"
#include "jobs/change_log_size.h"
#include "jobs/maintenance.h"
#include "storage/key_layout.h"
#include "tables/table_writer.h"
#include "types/key_codec.h"

namespace kalam::jobs {
namespace {

constexpr int64_t kSecondUs = 1'000'000;
// Rows or tombstones of one command.
constexpr size_t kBatchRows = 1000;
// About what a key of a small record holds outside of its string.
constexpr size_t kKeyBytes = 48;
// How often a command is prepared again because rows were written meanwhile, before the job is
// retried later.
constexpr int kConflictRoundsMax = 16;

Status Stopped() { return Status(ErrorKind::Cancelled, "the job was stopped"); }

nlohmann::json ParametersOf(const JobRecord& job) {
  auto parameters = nlohmann::json::parse(job.parameters_json, nullptr, false);
  return parameters.is_object() ? parameters : nlohmann::json::object();
}

/// `ns:t`, as messages of jobs write it.
std::string MessageName(const nlohmann::json& parameters) {
  std::string name = parameters.value("table_id", std::string("?"));
  if (const size_t dot = name.find('.'); dot != name.npos) name[dot] = ':';
  return name;
}

}  // namespace

Maintenance::Maintenance(Dependencies dependencies, const MaintenanceOptions& options)
    : dependencies_(dependencies),
      options_(options),
      observer_(dependencies.group.AddObserver(
          [this](const std::shared_ptr<const replication::CommittedBatch>& batch) {
            buffers_.OnCommitted(*batch);
          })),
      next_eviction_steady_us_(dependencies.clock.SteadyUs() +
                               options.stream_eviction_interval_seconds * kSecondUs),
      next_sweep_steady_us_(dependencies.clock.SteadyUs() + 60 * kSecondUs) {
  // What was written after the last stamp of an earlier run is stamped by this one.
  if (const auto newest = tables::SeqAtTime(dependencies_.store, INT64_MAX); newest.ok())
    stamped_ = *newest;
  using Method = Result<JobOutcome> (Maintenance::*)(const JobRecord&, const JobCancelled&);
  const auto bind = [this](JobType type, Method method) {
    dependencies_.queue.SetExecutor(
        type, [this, method](const JobRecord& job, const JobCancelled& cancelled) {
          return (this->*method)(job, cancelled);
        });
  };
  bind(JobType::kCleanup, &Maintenance::Cleanup);
  bind(JobType::kStreamEviction, &Maintenance::EvictStream);
  bind(JobType::kRetention, &Maintenance::Retain);
  bind(JobType::kUserCleanup, &Maintenance::CleanUpUser);
  bind(JobType::kJobCleanup, &Maintenance::CleanUpJobs);
}

Maintenance::~Maintenance() { dependencies_.group.RemoveObserver(observer_); }

Status Maintenance::Propose(std::shared_ptr<const replication::Command> command) {
  return replication::ProposeAndWait(dependencies_.group, std::move(command)).status;
}

Status Maintenance::CommitRecords(catalog::RecordWrites records) {
  if (records.empty()) return Status::Ok();
  auto command = std::make_shared<replication::Command>();
  command->records = std::move(records);
  return Propose(std::move(command));
}

/// The rows went with the DROP itself, as one range deletion a family: what is left is to give the
/// space back.
Result<JobOutcome> Maintenance::Cleanup(const JobRecord& job, const JobCancelled& cancelled) {
  const nlohmann::json parameters = ParametersOf(job);
  const TableId id{parameters.value("internal_id", 0u)};
  if (id.value == 0) return Status(ErrorKind::InvalidOperation, "the job names no table");
  if (dependencies_.catalog.CurrentSchemaVersion(id) != 0) {
    return Status(ErrorKind::InvalidOperation, "the table was not dropped");
  }
  if (dependencies_.change_retention) dependencies_.change_retention->Forget(id);
  KALAM_ASSIGN_OR_RETURN(catalog::RecordWrites retention,
                         tables::ForgetTable(dependencies_.store, id));
  KALAM_RETURN_IF_ERROR(CommitRecords(std::move(retention)));
  const std::string prefix = storage::TablePrefix(id);
  // Of exactly the ranges that were deleted: nobody reads there, but until then their places are
  // looked at by every scan of the family.
  for (const storage::Family family : {storage::Family::kRows, storage::Family::kOrder,
                                       storage::Family::kChanges, storage::Family::kSegments}) {
    if (cancelled()) return Stopped();
    KALAM_RETURN_IF_ERROR(dependencies_.store.CompactRange(family, {prefix, PrefixEnd(prefix)}));
  }
  if (dependencies_.clean_up_files)
    KALAM_RETURN_IF_ERROR(dependencies_.clean_up_files(job, cancelled));
  return JobOutcome{
      false, "Cleaned up table " + MessageName(parameters) + " successfully - space given back"};
}

Result<int64_t> Maintenance::TrimBuffers(const catalog::TableDefinition& table,
                                         const JobCancelled& cancelled) {
  int64_t evicted = 0;
  for (const std::string& scope : buffers_.TakeDue(table.id)) {
    if (cancelled()) return Stopped();
    if (table.options.max_buffer == 0) continue;
    KALAM_ASSIGN_OR_RETURN(const int64_t rows,
                           tables::TrimStream(dependencies_.store, scope, table.options.max_buffer,
                                              dependencies_.clock.NowUs()));
    evicted += rows;
  }
  return evicted;
}

Result<JobOutcome> Maintenance::EvictStream(const JobRecord& job, const JobCancelled& cancelled) {
  const nlohmann::json parameters = ParametersOf(job);
  const std::string name = MessageName(parameters);
  KALAM_ASSIGN_OR_RETURN(
      const catalog::TablePtr table,
      dependencies_.catalog.FindTable(TableId{parameters.value("internal_id", 0u)}));
  if (!table) return JobOutcome{true, "Table " + name + " not found (table may have been dropped)"};
  const Seq published = dependencies_.group.published_seq();
  KALAM_ASSIGN_OR_RETURN(const tables::ExpiredRows expired,
                         tables::FindExpiredRows(dependencies_.store, table->id,
                                                 dependencies_.clock.NowUs(), published));
  const int64_t evicted = expired.row_count;
  KALAM_ASSIGN_OR_RETURN(const Seq known, tables::ReadExpired(dependencies_.store, table->id));
  if (expired.up_to > known)
    KALAM_RETURN_IF_ERROR(CommitRecords(tables::RaiseExpired(table->id, expired.up_to)));
  KALAM_ASSIGN_OR_RETURN(const int64_t beyond, TrimBuffers(*table, cancelled));
  if (beyond > 0) {
    return JobOutcome{false, "Evicted " + std::to_string(evicted) + " expired rows and " +
                                 std::to_string(beyond) + " beyond the buffer from " + name +
                                 " (ttl: " + std::to_string(table->options.ttl_seconds) +
                                 "s, max_buffer: " + std::to_string(table->options.max_buffer) +
                                 ")"};
  }
  if (evicted == 0) return JobOutcome{false, "No expired rows found in " + name};
  return JobOutcome{false, "Evicted " + std::to_string(evicted) + " expired rows from " + name +
                               " (ttl: " + std::to_string(table->options.ttl_seconds) + "s)"};
}

Result<Seq> Maintenance::FloorOf(TableId table, Seq by_age) {
  if (options_.change_log_bytes_max <= 0) return by_age;
  KALAM_ASSIGN_OR_RETURN(const Seq by_bytes,
                         FloorForBytes(dependencies_.store, table, options_.change_log_bytes_max,
                                       dependencies_.group.published_seq()));
  return std::max(by_age, by_bytes);
}

Result<JobOutcome> Maintenance::Retain(const JobRecord&, const JobCancelled& cancelled) {
  // A damaged file must not keep everything else.
  if (const auto sunk = dependencies_.store.SinkLeftDeletions(); !sunk.ok()) {
    Log(LogLevel::kWarn, "jobs", "deleted ranges are left in the store",
        {{"error", sunk.status().ToString()}});
  }
  const int64_t now_us = dependencies_.clock.NowUs();
  const int64_t keep_from_us = now_us - options_.change_retention_seconds * kSecondUs;
  KALAM_ASSIGN_OR_RETURN(const Seq by_age, tables::SeqAtTime(dependencies_.store, keep_from_us));
  KALAM_ASSIGN_OR_RETURN(const auto tables, dependencies_.catalog.ListTables(""));
  int64_t tombstones = 0;
  int64_t scopes = 0;
  int64_t oldest_needed_us = keep_from_us;
  for (const catalog::TablePtr& table : tables) {
    if (cancelled()) return Stopped();
    if (table->type == catalog::TableType::kStream) continue;
    KALAM_ASSIGN_OR_RETURN(const Seq current, tables::ReadFloor(dependencies_.store, table->id));
    KALAM_ASSIGN_OR_RETURN(const Seq floor, FloorOf(table->id, by_age));
    if (floor > current) {
      KALAM_RETURN_IF_ERROR(CommitRecords(tables::RaiseFloor(table->id, floor)));
      if (dependencies_.change_retention) dependencies_.change_retention->Raise(table->id, floor);
      KALAM_ASSIGN_OR_RETURN(
          const int64_t trimmed,
          tables::CountScopesWithChanges(dependencies_.store, table->id, current, floor));
      scopes += trimmed;
    }
    // Only a compaction gives the space back, and only then the log counts as smaller; what went by
    // age may lie there, too.
    if (options_.change_log_bytes_max > 0 &&
        ChangeLogBytes(dependencies_.store, table->id) > options_.change_log_bytes_max) {
      const std::string prefix = storage::TablePrefix(table->id);
      KALAM_RETURN_IF_ERROR(
          dependencies_.store.CompactRange(storage::Family::kChanges, {prefix, PrefixEnd(prefix)}));
    }
    KALAM_ASSIGN_OR_RETURN(const int64_t forgotten, PurgeTombstones(table, now_us, cancelled));
    tombstones += forgotten;
    oldest_needed_us =
        std::min(oldest_needed_us,
                 now_us - int64_t{table->options.deleted_retention_hours} * 3600 * kSecondUs);
  }
  KALAM_ASSIGN_OR_RETURN(catalog::RecordWrites stamps,
                         tables::DropStampsBefore(dependencies_.store, oldest_needed_us));
  const MemoryCharge charge =
      ChargeIfAny(dependencies_.queue.account(JobType::kRetention),
                  static_cast<int64_t>(stamps.size() * (sizeof(catalog::RecordWrite) + kKeyBytes)));
  KALAM_RETURN_IF_ERROR(CommitRecords(std::move(stamps)));
  return JobOutcome{false, "Retention completed: changes of " + std::to_string(scopes) +
                               " scope(s) and " + std::to_string(tombstones) +
                               " tombstone(s) removed"};
}

Result<bool> Maintenance::HasOtherSegmentsSince(const catalog::TablePtr& table,
                                                const replication::View& view) const {
  const auto version_in = [&](const replication::View& of) {
    return dependencies_.reader.SegmentsVersion({table, storage::Scope::Shared(), of, nullptr});
  };
  KALAM_ASSIGN_OR_RETURN(const uint64_t in_view, version_in(view));
  KALAM_ASSIGN_OR_RETURN(const uint64_t newest, version_in({view.seq, nullptr}));
  return in_view != newest;
}

Result<int64_t> Maintenance::PurgeTombstones(const catalog::TablePtr& table, int64_t now_us,
                                             const JobCancelled& cancelled) {
  const int64_t before_us =
      now_us - int64_t{table->options.deleted_retention_hours} * 3600 * kSecondUs;
  KALAM_ASSIGN_OR_RETURN(const Seq up_to, tables::SeqAtTime(dependencies_.store, before_us));
  if (up_to.value == 0) return int64_t{0};
  int64_t removed = 0;
  std::string resume_after;
  int conflicts = 0;
  for (;;) {
    if (cancelled()) return Stopped();
    const replication::View view = dependencies_.group.TakeView();
    const Seq limit =
        dependencies_.purge_limit ? dependencies_.purge_limit(table->id) : Seq{INT64_MAX};
    // A flush that has ended since limits nothing any more, and may have brought a row that one of
    // the view's tombstones hides.
    KALAM_ASSIGN_OR_RETURN(const bool is_stale, HasOtherSegmentsSince(table, view));
    if (is_stale) continue;
    KALAM_ASSIGN_OR_RETURN(
        tables::TombstonePurge purge,
        tables::PrepareTombstonePurge(dependencies_.reader, view, table, std::min(up_to, limit),
                                      kBatchRows, resume_after));
    if (purge.command) {
      Status status = Propose(purge.command);
      if (status.Is(ErrorKind::Conflict) && ++conflicts < kConflictRoundsMax) continue;
      KALAM_RETURN_IF_ERROR(status);
      removed += purge.tombstone_count;
    }
    resume_after = std::move(purge.resume_after);
    if (resume_after.empty()) return removed;
  }
}

Result<int64_t> Maintenance::DeleteRowsOf(const catalog::TablePtr& table,
                                          const std::string& user_id,
                                          const JobCancelled& cancelled) {
  int64_t deleted = 0;
  int conflicts = 0;
  for (;;) {
    if (cancelled()) return Stopped();
    tables::ReadScope scope{table, tables::ScopeFor(*table, user_id),
                            dependencies_.group.TakeView(), nullptr};
    tables::TableWriter writer(dependencies_.reader);
    size_t count = 0;
    MemoryCharge charge = ChargeIfAny(dependencies_.queue.account(JobType::kUserCleanup));
    {
      KALAM_ASSIGN_OR_RETURN(auto scan, dependencies_.reader.OpenScan(scope, {}));
      while (count < kBatchRows) {
        KALAM_ASSIGN_OR_RETURN(const bool found, scan->Next());
        if (!found) break;
        charge.Resize(charge.bytes() +
                      static_cast<int64_t>(sizeof(replication::RowMutation) +
                                           2 * (scan->encoded_pk().size() + scan->row().size())));
        KALAM_RETURN_IF_ERROR(writer.Delete(scope, tables::CopyOf(*scan)));
        ++count;
      }
    }
    if (count == 0) return deleted;
    Status status = Propose(writer.Finish(scope.view.seq));
    if (status.Is(ErrorKind::Conflict) && ++conflicts < kConflictRoundsMax) continue;
    KALAM_RETURN_IF_ERROR(status);
    deleted += static_cast<int64_t>(count);
  }
}

/// Deletes the rows of a dropped user in every USER table, then the record; rows of STREAM tables
/// expire by themselves.
Result<JobOutcome> Maintenance::CleanUpUser(const JobRecord& job, const JobCancelled& cancelled) {
  const std::string user_id = ParametersOf(job).value("user_id", std::string());
  KALAM_ASSIGN_OR_RETURN(const auto user, dependencies_.catalog.FindUser(user_id));
  if (!user || !user->deleted_at_us)
    return JobOutcome{true, "User '" + user_id + "' is not dropped"};
  KALAM_ASSIGN_OR_RETURN(const auto tables, dependencies_.catalog.ListTables(""));
  int64_t deleted = 0;
  for (const catalog::TablePtr& table : tables) {
    if (table->type != catalog::TableType::kUser) continue;
    KALAM_ASSIGN_OR_RETURN(const int64_t count, DeleteRowsOf(table, user_id, cancelled));
    deleted += count;
  }
  KALAM_RETURN_IF_ERROR(CommitRecords(dependencies_.catalog.DropUser(user_id)));
  return JobOutcome{
      false, "Cleaned up user '" + user_id + "': " + std::to_string(deleted) + " row(s) deleted"};
}

Result<JobOutcome> Maintenance::CleanUpJobs(const JobRecord&, const JobCancelled&) {
  const int64_t before_us =
      dependencies_.clock.NowUs() - options_.job_retention_seconds * kSecondUs;
  KALAM_ASSIGN_OR_RETURN(const int64_t removed, dependencies_.queue.RemoveFinished(before_us));
  return JobOutcome{false, "Removed " + std::to_string(removed) + " finished job(s)"};
}

}  // namespace kalam::jobs

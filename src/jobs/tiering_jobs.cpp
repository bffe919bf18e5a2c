// Jobs of the cold tier.
#include "jobs/tiering_jobs.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <ctime>
#include <nlohmann/json.hpp>

#include "base/log.h"
#include "tables/retention.h"

namespace kalam::jobs {
namespace {

constexpr std::string_view kTarget = "tiering";
constexpr int64_t kSecondUs = 1'000'000;
constexpr int64_t kHourUs = 3600 * kSecondUs;
constexpr std::string_view kSmallSegments = "small_segments";
constexpr std::string_view kOldTombstones = "old_tombstones";
constexpr std::string_view kRebuilds = "rebuild";
constexpr std::string_view kEvictions = "evictions";
constexpr std::string_view kUsers = "users";

nlohmann::json ParametersOf(const JobRecord& job) {
  auto parameters = nlohmann::json::parse(job.parameters_json, nullptr, false);
  return parameters.is_object() ? parameters : nlohmann::json::object();
}

std::string TypeTitle(catalog::TableType type) {
  std::string title(catalog::TableTypeName(type));
  title.front() = static_cast<char>(title.front() - 'a' + 'A');
  return title;
}

/// `ns:t`, as messages of jobs write it.
std::string MessageName(const nlohmann::json& parameters) {
  std::string name = parameters.value("table_id", std::string("?"));
  if (const size_t dot = name.find('.'); dot != name.npos) name[dot] = ':';
  return name;
}

JobOutcome NotFound(const nlohmann::json& parameters) {
  return {true, "Table " + MessageName(parameters) + " not found (table may have been dropped)"};
}

std::string FlushKey(const catalog::TableDefinition& table) {
  return "flush-" + table.namespace_id + "-" + table.name;
}

std::string ScheduledKey(const catalog::TableDefinition& table) {
  return "FL:" + table.namespace_id + ":" + table.name + ":";
}
/// Behind the scheduled key of a flush of some users: it is no flush of the table.
constexpr std::string_view kOfUsers = ":users";

/// The scopes that a flush is of; empty: all of the table.
std::vector<storage::Scope> ScopesOf(const nlohmann::json& parameters) {
  std::vector<storage::Scope> scopes;
  const auto users = parameters.find(kUsers);
  if (users == parameters.end() || !users->is_array()) return scopes;
  for (const nlohmann::json& user : *users) {
    if (user.is_string()) scopes.push_back(storage::Scope::OfUser(user.get<std::string>()));
  }
  return scopes;
}

std::string HourOf(int64_t now_us) {
  const auto seconds = static_cast<std::time_t>(now_us / kSecondUs);
  return fmt::format("{:%Y-%m-%d-%H}", fmt::gmtime(seconds));
}

void Warn(std::string_view what, const Status& status) {
  if (status.ok() || status.Is(ErrorKind::IdempotentConflict) || status.Is(ErrorKind::ShuttingDown))
    return;
  Log(LogLevel::kWarn, kTarget, what, {{"error", status.ToString()}});
}

tiering::Work WorkOf(JobQueue& queue, const JobRecord& job, const JobCancelled& cancelled) {
  tiering::Work work;
  work.cancelled = cancelled;
  work.report = [&queue, id = job.job_id](std::string message) {
    queue.Report(id, std::move(message));
  };
  work.memory = queue.account(job.type);
  // An earlier run, or one that a crash has cut off, may have left files.
  work.is_repeated = job.retry_count > 0 || !job.message.empty();
  return work;
}

}  // namespace

TieringJobs::TieringJobs(Dependencies dependencies, const TieringJobsOptions& options)
    : dependencies_(dependencies),
      options_(options),
      next_tombstones_steady_us_(dependencies.clock.SteadyUs() +
                                 options.sweep_interval_seconds * kSecondUs) {
  using Method = Result<JobOutcome> (TieringJobs::*)(const JobRecord&, const JobCancelled&);
  const auto bind = [this](JobType type, Method method) {
    dependencies_.queue.SetExecutor(
        type, [this, method](const JobRecord& job, const JobCancelled& cancelled) {
          return (this->*method)(job, cancelled);
        });
  };
  bind(JobType::kFlush, &TieringJobs::Flush);
  bind(JobType::kCompact, &TieringJobs::Compact);
  bind(JobType::kManifestEviction, &TieringJobs::DeleteRetired);
  if (const Status can_write = dependencies_.tiering.CheckCanWrite(); !can_write.ok()) {
    Log(LogLevel::kWarn, kTarget, "rows stay hot: no flush and no compaction is scheduled",
        {{"reason", can_write.message()}});
  }
}

void TieringJobs::Tick() {
  const int64_t steady_us = dependencies_.clock.SteadyUs();
  if (options_.check_interval_seconds > 0 && steady_us >= next_check_steady_us_) {
    next_check_steady_us_ = steady_us + options_.check_interval_seconds * kSecondUs;
    QueueDueFlushes();
  }
  if (steady_us >= next_sweep_steady_us_) {
    next_sweep_steady_us_ = steady_us + options_.sweep_interval_seconds * kSecondUs;
    QueueRetiredDeletion();
  }
  if (steady_us >= next_tombstones_steady_us_) {
    next_tombstones_steady_us_ = steady_us + options_.tombstone_interval_seconds * kSecondUs;
    QueueTombstoneCompactions();
  }
  if (steady_us >= next_evictions_steady_us_) {
    next_evictions_steady_us_ = steady_us + options_.eviction_interval_seconds * kSecondUs;
    QueueEvictions();
  }
}

Status TieringJobs::LoadCounts() {
  const std::lock_guard lock(load_mutex_);
  if (loaded_) return Status::Ok();
  KALAM_RETURN_IF_ERROR(dependencies_.tiering.counts().Load());
  loaded_ = true;
  return Status::Ok();
}

void TieringJobs::QueueDueFlushes() {
  if (!dependencies_.tiering.CheckCanWrite().ok()) return;
  tiering::HotRowCounts& counts = dependencies_.tiering.counts();
  Warn("the hot rows could not be counted", LoadCounts());
  const auto is_busy = [this](TableId id) {
    const auto table = dependencies_.catalog.FindTable(id);
    return table.ok() && *table != nullptr &&
           (HasActiveFlush(**table) || HasActiveFlushOfUsers(**table));
  };
  for (const tiering::DueFlush& due : counts.TakeDue(is_busy)) {
    const auto table = dependencies_.catalog.FindTable(due.table);
    if (!table.ok() || *table == nullptr) continue;
    std::string key = ScheduledKey(**table) + HourOf(dependencies_.clock.NowUs());
    if (!due.scopes.empty()) key += kOfUsers;
    const Status queued = Submit(JobType::kFlush, **table, std::move(key), due.scopes).status();
    Warn("a flush was not queued", queued);
    if (!queued.ok()) counts.FlushFailed(due.table);
  }
}

void TieringJobs::QueueRetiredDeletion() {
  const Result<bool> found = dependencies_.tiering.HasRetired();
  Warn("replaced files could not be looked for", found.status());
  if (!found.ok() || !*found) return;
  Warn("the deletion of replaced files was not queued",
       dependencies_.queue.Submit(JobType::kManifestEviction, "{}", "ME").status());
}

void TieringJobs::QueueTombstoneCompactions() {
  if (!dependencies_.tiering.CheckCanWrite().ok()) return;
  const auto due = dependencies_.tiering.TakeWithOldTombstones(
      [this](const catalog::TableDefinition& table) { return DroppableTombstones(table); });
  Warn("old tombstones could not be looked for", due.status());
  if (!due.ok()) return;
  for (const TableId id : *due) {
    const auto table = dependencies_.catalog.FindTable(id);
    if (!table.ok() || *table == nullptr) continue;
    const std::string key = "CT:" + (*table)->namespace_id + ":" + (*table)->name;
    Warn("a compaction was not queued", Submit(JobType::kCompact, **table, key).status());
  }
}

/// What a flush has left hot that is cold as well: it costs space and the work of merging until it
/// goes. Flushes of the table finish it too.
void TieringJobs::QueueEvictions() {
  const auto unfinished = dependencies_.tiering.TakeWithUnfinishedEvictions();
  Warn("evictions to finish could not be looked for", unfinished.status());
  if (!unfinished.ok()) return;
  for (const TableId id : *unfinished) {
    const auto table = dependencies_.catalog.FindTable(id);
    if (!table.ok() || *table == nullptr || HasActiveFlush(**table) ||
        HasActiveFlushOfUsers(**table)) {
      continue;
    }
    const std::string key = "FE:" + (*table)->namespace_id + ":" + (*table)->name;
    Warn("the end of an eviction was not queued", Submit(JobType::kFlush, **table, key).status());
  }
}

/// What is older than the table's retention.
Result<Seq> TieringJobs::DroppableTombstones(const catalog::TableDefinition& table) const {
  // Times are known to the minute only, which must not keep what nobody wants.
  if (table.options.deleted_retention_hours == 0) return Seq{INT64_MAX};
  const int64_t before_us =
      dependencies_.clock.NowUs() - int64_t{table.options.deleted_retention_hours} * kHourUs;
  return tables::SeqAtTime(dependencies_.store, before_us);
}

bool TieringJobs::HasActiveFlush(const catalog::TableDefinition& table) const {
  return dependencies_.queue.HasActive(FlushKey(table)) || HasScheduled(table, "");
}

bool TieringJobs::HasActiveFlushOfUsers(const catalog::TableDefinition& table) const {
  return HasScheduled(table, kOfUsers);
}

bool TieringJobs::HasScheduled(const catalog::TableDefinition& table, std::string_view of) const {
  const int64_t now_us = dependencies_.clock.NowUs();
  // One of the hour before may still run.
  for (const int64_t hour_us : {now_us, now_us - kHourUs}) {
    if (dependencies_.queue.HasActive(ScheduledKey(table) + HourOf(hour_us) + std::string(of)))
      return true;
  }
  return false;
}

Result<JobRecord> TieringJobs::Submit(JobType type, const catalog::TableDefinition& table,
                                      std::string key, const std::vector<storage::Scope>& scopes) {
  nlohmann::json parameters = {{"table_id", table.QualifiedName()},
                               {"table_type", TypeTitle(table.type)},
                               {"internal_id", table.id.value}};
  if (type == JobType::kFlush && table.options.flush_policy.row_limit > 0)
    parameters["flush_threshold"] = table.options.flush_policy.row_limit;
  if (type == JobType::kCompact) parameters[std::string(kSmallSegments)] = key.starts_with("CO:");
  if (key.starts_with("CT:")) parameters[std::string(kOldTombstones)] = true;
  if (key.starts_with("FE:")) parameters[std::string(kEvictions)] = true;
  if (key.starts_with(kRebuilds)) parameters[std::string(kRebuilds)] = true;
  for (const storage::Scope& scope : scopes)
    parameters[std::string(kUsers)].push_back(scope.user_id());
  return dependencies_.queue.Submit(
      type, parameters.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace),
      std::move(key));
}

Result<JobRecord> TieringJobs::QueueFlush(const catalog::TableDefinition& table) {
  KALAM_RETURN_IF_ERROR(dependencies_.tiering.CheckCanWrite());
  if (HasActiveFlush(table)) {
    return Status(ErrorKind::IdempotentConflict, "Job with idempotency key '" + FlushKey(table) +
                                                     "' is already running or queued");
  }
  return Submit(JobType::kFlush, table, FlushKey(table));
}

Result<JobRecord> TieringJobs::QueueCompaction(const catalog::TableDefinition& table) {
  KALAM_RETURN_IF_ERROR(dependencies_.tiering.CheckCanWrite());
  return Submit(JobType::kCompact, table, "compact-" + table.namespace_id + "-" + table.name);
}

Result<JobRecord> TieringJobs::QueueRebuild(const catalog::TableDefinition& table) {
  return Submit(JobType::kCompact, table,
                std::string(kRebuilds) + "-" + table.namespace_id + "-" + table.name);
}

size_t TieringJobs::FlushLargest(size_t count_max, int64_t row_count_min) {
  if (!dependencies_.tiering.CheckCanWrite().ok()) return 0;
  Warn("the hot rows could not be counted", LoadCounts());
  size_t queued = 0;
  for (const auto& [id, row_count] : dependencies_.tiering.counts().Largest(count_max)) {
    if (row_count < row_count_min) break;
    const auto table = dependencies_.catalog.FindTable(id);
    if (!table.ok() || *table == nullptr) continue;
    if (QueueFlush(**table).ok()) ++queued;
  }
  return queued;
}

Result<JobOutcome> TieringJobs::FinishEvictions(const JobRecord& job,
                                                const JobCancelled& cancelled) {
  const nlohmann::json parameters = ParametersOf(job);
  KALAM_ASSIGN_OR_RETURN(const bool found, dependencies_.tiering.FinishEvictions(
                                               TableId{parameters.value("internal_id", 0u)},
                                               WorkOf(dependencies_.queue, job, cancelled)));
  if (!found) return NotFound(parameters);
  return JobOutcome{false, "Hot copies of rows that " + MessageName(parameters) +
                               " has in segments were removed"};
}

Result<JobOutcome> TieringJobs::Flush(const JobRecord& job, const JobCancelled& cancelled) {
  const nlohmann::json parameters = ParametersOf(job);
  if (parameters.value(std::string(kEvictions), false)) return FinishEvictions(job, cancelled);
  const TableId id{parameters.value("internal_id", 0u)};
  tiering::Work work = WorkOf(dependencies_.queue, job, cancelled);
  work.scopes = ScopesOf(parameters);
  Result<tiering::FlushOutcome> flushed = dependencies_.tiering.Flush(id, work);
  if (!flushed.ok()) {
    dependencies_.tiering.counts().FlushFailed(id);
    return flushed.status();
  }
  if (!flushed->table_found) return NotFound(parameters);
  if (flushed->wants_compaction) {
    if (const auto table = dependencies_.catalog.FindTable(id); table.ok() && *table != nullptr) {
      const std::string key = "CO:" + (*table)->namespace_id + ":" + (*table)->name;
      Warn("a compaction was not queued", Submit(JobType::kCompact, **table, key).status());
    }
  }
  if (flushed_ && flushed->row_count > 0) {
    if (const auto table = dependencies_.catalog.FindTable(id); table.ok() && *table != nullptr)
      flushed_(**table);
  }
  return JobOutcome{
      false, fmt::format("Flushed {} successfully ({} rows, {} files)", MessageName(parameters),
                         flushed->row_count, flushed->file_count)};
}

Result<JobOutcome> TieringJobs::Rebuild(const JobRecord& job, const JobCancelled& cancelled) {
  const nlohmann::json parameters = ParametersOf(job);
  KALAM_ASSIGN_OR_RETURN(
      const tiering::RebuildOutcome rebuilt,
      dependencies_.tiering.Rebuild(TableId{parameters.value("internal_id", 0u)},
                                    WorkOf(dependencies_.queue, job, cancelled)));
  if (!rebuilt.table_found) return NotFound(parameters);
  std::string message = fmt::format(
      "Rebuild completed for {} ({} segments with {} rows found again, {} damaged files left out, "
      "{} manifests written)",
      MessageName(parameters), rebuilt.segment_count, rebuilt.row_count, rebuilt.damaged_count,
      rebuilt.manifest_count);
  if (!rebuilt.problems.empty())
    message += fmt::format(". Found: {}", fmt::join(rebuilt.problems, "; "));
  return JobOutcome{false, std::move(message)};
}

Result<JobOutcome> TieringJobs::Compact(const JobRecord& job, const JobCancelled& cancelled) {
  const nlohmann::json parameters = ParametersOf(job);
  if (parameters.value(std::string(kRebuilds), false)) return Rebuild(job, cancelled);
  const TableId id{parameters.value("internal_id", 0u)};
  KALAM_ASSIGN_OR_RETURN(const catalog::TablePtr table, dependencies_.catalog.FindTable(id));
  if (table == nullptr) return NotFound(parameters);
  KALAM_ASSIGN_OR_RETURN(const Seq tombstones_up_to, DroppableTombstones(*table));
  tiering::Work work = WorkOf(dependencies_.queue, job, cancelled);
  if (parameters.value(std::string(kSmallSegments), false))
    work.compaction_scope = tiering::CompactionScope::kSmallSegments;
  if (parameters.value(std::string(kOldTombstones), false))
    work.compaction_scope = tiering::CompactionScope::kOldTombstones;
  KALAM_ASSIGN_OR_RETURN(const tiering::CompactionOutcome compacted,
                         dependencies_.tiering.Compact(id, tombstones_up_to, work));
  if (!compacted.table_found) return NotFound(parameters);
  return JobOutcome{false, fmt::format("Compaction completed for {} ({} segments before, {} after, "
                                       "{} old versions dropped)",
                                       MessageName(parameters), compacted.segments_before,
                                       compacted.segments_after, compacted.dropped_row_count)};
}

Result<JobOutcome> TieringJobs::DeleteRetired(const JobRecord& job, const JobCancelled& cancelled) {
  KALAM_ASSIGN_OR_RETURN(const int64_t deleted, dependencies_.tiering.DeleteRetired(
                                                    WorkOf(dependencies_.queue, job, cancelled)));
  return JobOutcome{false, fmt::format("Deleted {} replaced file(s)", deleted)};
}

Status TieringJobs::CleanUpDropped(const JobRecord& job, const JobCancelled& cancelled) {
  const nlohmann::json parameters = ParametersOf(job);
  const auto storage = parameters.find("storage");
  if (storage == parameters.end() || !storage->is_object()) return Status::Ok();
  const std::string name = parameters.value("table_id", std::string());
  const size_t dot = name.find('.');
  if (dot == name.npos) return Status::Ok();
  const tiering::DroppedTable dropped{
      .id = TableId{parameters.value("internal_id", 0u)},
      .namespace_id = name.substr(0, dot),
      .name = name.substr(dot + 1),
      .storage_id = storage->value("storage_id", std::string()),
      .folder_prefix = storage->value("relative_path_template", std::string())};
  return dependencies_.tiering.CleanUpDropped(dropped, WorkOf(dependencies_.queue, job, cancelled))
      .status();
}

}  // namespace kalam::jobs

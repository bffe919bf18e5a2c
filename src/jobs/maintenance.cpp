// When maintenance jobs are due.
#include "jobs/maintenance.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/log.h"
#include "jobs/change_log_size.h"

namespace kalam::jobs {
namespace {

constexpr std::string_view kTarget = "jobs";
constexpr int64_t kSecondUs = 1'000'000;
constexpr int64_t kHourUs = 3600 * kSecondUs;

void Warn(std::string_view what, const Status& status) {
  if (status.ok() || status.Is(ErrorKind::IdempotentConflict) || status.Is(ErrorKind::ShuttingDown))
    return;
  Log(LogLevel::kWarn, kTarget, what, {{"error", status.ToString()}});
}

std::string TypeTitle(catalog::TableType type) {
  std::string title(catalog::TableTypeName(type));
  title.front() = static_cast<char>(title.front() - 'a' + 'A');
  return title;
}

}  // namespace

void Maintenance::Tick() {
  const int64_t steady_us = dependencies_.clock.SteadyUs();
  const int64_t now_us = dependencies_.clock.NowUs();
  if (steady_us >= next_stamp_steady_us_) {
    next_stamp_steady_us_ = steady_us + 60 * kSecondUs;
    StampSeq(now_us);
    QueueByteRetention(now_us);
  }
  if (steady_us >= next_eviction_steady_us_) {
    next_eviction_steady_us_ = steady_us + options_.stream_eviction_interval_seconds * kSecondUs;
    QueueStreamEvictions(now_us);
  }
  if (steady_us >= next_sweep_steady_us_) {
    next_sweep_steady_us_ = steady_us + options_.sweep_interval_seconds * kSecondUs;
    Sweep(now_us);
  }
}

void Maintenance::StampSeq(int64_t now_us) {
  const Seq published = dependencies_.group.published_seq();
  if (published == stamped_) return;
  const Status status = CommitRecords(tables::StampSeq(now_us, published));
  if (status.ok()) stamped_ = published;
  Warn("the time of the newest change was not noted", status);
}

void Maintenance::QueueByteRetention(int64_t now_us) {
  if (options_.change_log_bytes_max <= 0) return;
  // All change logs together are an upper bound of each, and cheap to ask for.
  const int64_t all = dependencies_.store.ApproximateBytes(
      storage::Family::kChanges, {std::string(4, '\0'), std::string(5, '\xff')});
  if (all <= options_.change_log_bytes_max) return;
  const auto tables = dependencies_.catalog.ListTables("");
  if (!tables.ok()) return;
  for (const catalog::TablePtr& table : *tables) {
    if (table->type == catalog::TableType::kStream ||
        ChangeLogBytes(dependencies_.store, table->id) <= options_.change_log_bytes_max) {
      continue;
    }
    const nlohmann::json parameters = {
        {"retention_hours", options_.change_retention_seconds / 3600},
        {"bytes_max", options_.change_log_bytes_max}};
    Warn("retention was not queued", dependencies_.queue
                                         .Submit(JobType::kRetention, parameters.dump(),
                                                 "RB:" + std::to_string(now_us / (60 * kSecondUs)))
                                         .status());
    return;
  }
}

void Maintenance::QueueStreamEvictions(int64_t now_us) {
  const auto listed = dependencies_.catalog.ListStreamTables();
  const std::vector<TableId> over = buffers_.TablesWithDue();
  for (const TableId id : listed) {
    const bool is_over = std::find(over.begin(), over.end(), id) != over.end();
    if (!is_over) {
      const Result<bool> expired = tables::HasExpiredRows(dependencies_.store, id, now_us);
      if (!expired.ok()) Warn("a stream table could not be looked at", expired.status());
      if (!expired.ok() || !*expired) continue;
    }
    const auto table = dependencies_.catalog.FindTable(id);
    if (!table.ok() || !*table) continue;
    const std::string name = (*table)->QualifiedName();
    const nlohmann::json parameters = {{"table_id", name},
                                       {"table_type", TypeTitle((*table)->type)},
                                       {"ttl_seconds", (*table)->options.ttl_seconds},
                                       {"internal_id", id.value}};
    Warn("a stream eviction was not queued",
         dependencies_.queue
             .Submit(JobType::kStreamEviction, parameters.dump(),
                     "SE:" + name + ":" + std::to_string(now_us / kHourUs))
             .status());
  }
}

void Maintenance::Sweep(int64_t now_us) {
  const std::string hour = std::to_string(now_us / kHourUs);
  const Result<Seq> floor = tables::SeqAtTime(
      dependencies_.store, now_us - options_.change_retention_seconds * kSecondUs);
  const bool has_left_ranges = dependencies_.store.properties().deleted_range_places > 0;
  if (has_left_ranges || (floor.ok() && floor->value > 0)) {
    const nlohmann::json parameters = {
        {"retention_hours", options_.change_retention_seconds / 3600}};
    Warn("retention was not queued",
         dependencies_.queue.Submit(JobType::kRetention, parameters.dump(), "RT:" + hour).status());
  }
  if (const auto users = dependencies_.catalog.ListUsers(); users.ok()) {
    const int64_t before_us = now_us - options_.user_grace_seconds * kSecondUs;
    for (const catalog::UserRecord& user : *users) {
      if (!user.deleted_at_us || *user.deleted_at_us >= before_us) continue;
      const nlohmann::json parameters = {
          {"user_id", user.user_id}, {"username", user.user_id}, {"cascade", true}};
      const std::string text =
          parameters.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
      Warn("the cleanup of a user was not queued",
           dependencies_.queue.Submit(JobType::kUserCleanup, text, "UC:" + user.user_id).status());
    }
  }
  if (const Result<bool> old = dependencies_.queue.HasFinishedBefore(
          now_us - options_.job_retention_seconds * kSecondUs);
      old.ok() && *old) {
    const nlohmann::json parameters = {{"retention_days", options_.job_retention_seconds / 86'400}};
    Warn(
        "the cleanup of jobs was not queued",
        dependencies_.queue.Submit(JobType::kJobCleanup, parameters.dump(), "JC:" + hour).status());
  }
}

}  // namespace kalam::jobs

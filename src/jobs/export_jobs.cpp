// Executor of user_export jobs.
#include "jobs/export_jobs.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <filesystem>
#include <nlohmann/json.hpp>

namespace kalam::jobs {
namespace {

constexpr int64_t kSecondUs = 1'000'000;
constexpr int64_t kSweepIntervalUs = 3600 * kSecondUs;

struct Parameters {
  std::string user_id, export_id;
};

Parameters ParametersOf(const JobRecord& job) {
  const auto json = nlohmann::json::parse(job.parameters_json, nullptr, false);
  if (!json.is_object()) return {};
  return {.user_id = json.value("user_id", ""), .export_id = json.value("export_id", "")};
}

/// What of a user id may stand in the name of a file that people download.
std::string PlainName(std::string_view user_id) {
  std::string name;
  for (const char c : user_id.substr(0, 64)) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '_' || c == '-';
    name += plain ? c : '_';
  }
  return name;
}

}  // namespace

ExportJobs::ExportJobs(Dependencies dependencies) : dependencies_(std::move(dependencies)) {
  dependencies_.queue.SetExecutor(JobType::kUserExport,
                                  [this](const JobRecord& job, const JobCancelled& cancelled) {
                                    return Export(job, cancelled);
                                  });
}

Result<JobRecord> ExportJobs::QueueExport(std::string_view user_id) {
  const auto now = fmt::gmtime(static_cast<std::time_t>(dependencies_.clock.NowUs() / kSecondUs));
  const std::string export_id = fmt::format("export-{}-{:%Y%m%d-%H%M%S}", PlainName(user_id), now);
  const nlohmann::json parameters = {{"user_id", user_id}, {"export_id", export_id}};
  return dependencies_.queue.Submit(
      JobType::kUserExport,
      parameters.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace),
      fmt::format("user_export:{}:{:%Y%m%d}", user_id, now));
}

Result<std::vector<ExportRow>> ExportJobs::List(std::string_view user_id) const {
  KALAM_ASSIGN_OR_RETURN(std::vector<JobRecord> jobs, dependencies_.queue.List());
  std::vector<ExportRow> rows;
  for (JobRecord& job : jobs) {
    if (job.type != JobType::kUserExport) continue;
    const Parameters parameters = ParametersOf(job);
    if (parameters.user_id != user_id) continue;
    std::error_code ignored;
    const bool has_archive =
        job.status == JobStatus::kCompleted &&
        std::filesystem::exists(
            exports::ExportPath(dependencies_.data_directory, user_id, parameters.export_id),
            ignored);
    rows.push_back({std::move(job), parameters.export_id, has_archive});
  }
  std::reverse(rows.begin(), rows.end());
  return rows;
}

void ExportJobs::Tick() {
  const int64_t steady_us = dependencies_.clock.SteadyUs();
  if (steady_us < next_sweep_steady_us_) return;
  next_sweep_steady_us_ = steady_us + kSweepIntervalUs;
  exports::RemoveOldExports(dependencies_.data_directory, dependencies_.retention_seconds);
}

Result<JobOutcome> ExportJobs::Export(const JobRecord& job, const JobCancelled& cancelled) {
  const Parameters parameters = ParametersOf(job);
  const std::string path =
      exports::ExportPath(dependencies_.data_directory, parameters.user_id, parameters.export_id);
  KALAM_ASSIGN_OR_RETURN(
      const exports::ExportSummary summary,
      exports::ExportUser(
          dependencies_.services,
          {.user_id = parameters.user_id,
           .archive_path = path,
           .work_folder = dependencies_.data_directory + "/tmp/export-" + job.job_id,
           .cancelled = cancelled,
           .report = [this, id = job.job_id](std::string message) {
             dependencies_.queue.Report(id, std::move(message));
           }}));
  if (summary.user_table_count == 0) return JobOutcome{true, "No user tables found to export"};
  if (summary.table_count == 0) {
    return JobOutcome{true, "No data found for this user in any table"};
  }
  return JobOutcome{false, fmt::format("Exported {} Parquet files ({} bytes) to {}",
                                       summary.table_count, summary.archive_bytes, path)};
}

}  // namespace kalam::jobs

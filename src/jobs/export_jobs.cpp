// Executor of user_export jobs.
#include "jobs/export_jobs.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "exports/scope_archive.h"

namespace kalam::jobs {
namespace {

constexpr int64_t kSecondUs = 1'000'000;
constexpr int64_t kSweepIntervalUs = 3600 * kSecondUs;

struct Parameters {
  std::string user_id, export_id;
  std::string namespace_id;  // empty: what the user has
  std::vector<std::string> users;
  bool is_schema_only = false;
};

Parameters ParametersOf(const JobRecord& job) {
  const auto json = nlohmann::json::parse(job.parameters_json, nullptr, false);
  if (!json.is_object()) return {};
  Parameters parameters{.user_id = json.value("user_id", ""),
                        .export_id = json.value("export_id", ""),
                        .namespace_id = json.value("namespace_id", ""),
                        .users = {},
                        .is_schema_only = json.value("schema_only", false)};
  const auto users = json.find("users");
  if (users == json.end() || !users->is_array()) return parameters;
  for (const auto& user : *users) {
    if (user.is_string()) parameters.users.push_back(user.get<std::string>());
  }
  return parameters;
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
  KALAM_RETURN_IF_ERROR(dependencies_.services.engine.CheckAvailable());
  const auto now = fmt::gmtime(static_cast<std::time_t>(dependencies_.clock.NowUs() / kSecondUs));
  const std::string export_id = fmt::format("export-{}-{:%Y%m%d-%H%M%S}", PlainName(user_id), now);
  const nlohmann::json parameters = {{"user_id", user_id}, {"export_id", export_id}};
  return dependencies_.queue.Submit(
      JobType::kUserExport,
      parameters.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace),
      fmt::format("user_export:{}:{:%Y%m%d}", user_id, now));
}

Result<JobRecord> ExportJobs::QueueNamespaceExport(std::string_view user_id,
                                                   const std::string& namespace_id,
                                                   const std::vector<std::string>& users,
                                                   bool is_schema_only) {
  if (!is_schema_only) KALAM_RETURN_IF_ERROR(dependencies_.services.engine.CheckAvailable());
  const int64_t now_us = dependencies_.clock.NowUs();
  const auto now = fmt::gmtime(static_cast<std::time_t>(now_us / kSecondUs));
  const std::string export_id = fmt::format("namespace-{}-{:%Y%m%d-%H%M%S}-{:06}",
                                            PlainName(namespace_id), now, now_us % kSecondUs);
  const nlohmann::json parameters = {{"user_id", user_id},
                                     {"export_id", export_id},
                                     {"namespace_id", namespace_id},
                                     {"users", users},
                                     {"schema_only", is_schema_only}};
  return dependencies_.queue.Submit(
      JobType::kUserExport,
      parameters.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace),
      fmt::format("namespace_export:{}:{}", user_id, namespace_id));
}

std::string ExportJobs::DownloadPath(const JobRecord& job) {
  const Parameters parameters = ParametersOf(job);
  return fmt::format("/v1/exports/{}/{}", exports::PathPart(parameters.user_id),
                     parameters.export_id);
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
  if (!parameters.namespace_id.empty()) return ExportNamespace(job, cancelled);
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
           .report =
               [this, id = job.job_id](std::string message) {
                 dependencies_.queue.Report(id, std::move(message));
               },
           .memory = dependencies_.queue.account(job.type)}));
  if (summary.user_table_count == 0) return JobOutcome{true, "No user tables found to export"};
  if (summary.table_count == 0) {
    return JobOutcome{true, "No data found for this user in any table"};
  }
  return JobOutcome{false, fmt::format("Exported {} Parquet files ({} bytes) to {}",
                                       summary.table_count, summary.archive_bytes, path)};
}

Result<JobOutcome> ExportJobs::ExportNamespace(const JobRecord& job,
                                               const JobCancelled& cancelled) {
  const Parameters parameters = ParametersOf(job);
  std::vector<exports::ExportedIndex> indexes;
  if (dependencies_.indexes) {
    KALAM_ASSIGN_OR_RETURN(indexes, dependencies_.indexes(parameters.namespace_id));
  }
  KALAM_ASSIGN_OR_RETURN(
      const exports::NamespaceExportSummary summary,
      exports::ExportNamespace(
          dependencies_.services,
          {.namespace_id = parameters.namespace_id,
           .users = parameters.users,
           .indexes = std::move(indexes),
           .is_schema_only = parameters.is_schema_only,
           .archive_path = exports::ExportPath(dependencies_.data_directory, parameters.user_id,
                                               parameters.export_id),
           .work_folder = dependencies_.data_directory + "/tmp/export-" + job.job_id,
           .cancelled = cancelled,
           .report =
               [this, id = job.job_id](std::string message) {
                 dependencies_.queue.Report(id, std::move(message));
               },
           .memory = dependencies_.queue.account(job.type)}));
  return JobOutcome{
      false, fmt::format("Exported {} rows of {} tables and {} files ({} bytes)", summary.row_count,
                         summary.table_count, summary.file_count, summary.archive_bytes)};
}

}  // namespace kalam::jobs

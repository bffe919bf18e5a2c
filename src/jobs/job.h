// What a job is: one piece of background work that survives a restart, as system.jobs shows it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"

namespace kalam::jobs {

/// Values are on disk: never renumber.
enum class JobType : uint8_t {
  kFlush = 1,
  kVectorIndex = 2,
  kCompact = 3,
  kCleanup = 4,
  kJobCleanup = 5,
  kBackup = 6,
  kRestore = 7,
  kRetention = 8,
  kStreamEviction = 9,
  kUserCleanup = 10,
  kTopicCleanup = 11,
  kManifestEviction = 12,
  kTopicRetention = 13,
  kUserExport = 14,
};
/// "flush", "stream_eviction", ...
std::string_view JobTypeName(JobType type);
/// The two letters that begin the ids of its jobs: "FL", "SE", ...
std::string_view JobIdPrefix(JobType type);

/// Values are on disk: never renumber.
enum class JobStatus : uint8_t {
  kNew = 0,
  kQueued = 1,
  kRunning = 2,
  kRetrying = 3,
  kCompleted = 4,
  kFailed = 5,
  kCancelled = 6,
  kSkipped = 7,
};
/// "new", "queued", ...
std::string_view JobStatusName(JobStatus status);
/// True until it is completed, failed, cancelled or skipped.
inline bool IsActive(JobStatus status) { return status <= JobStatus::kRetrying; }

struct JobRecord {
  std::string job_id;  // `CL-` and 12 hexadecimal digits
  JobType type = JobType::kCleanup;
  JobStatus status = JobStatus::kQueued;
  std::string parameters_json;
  std::string message;          // of the result; empty: NULL
  std::string exception_trace;  // of the last failure; empty: NULL
  std::string idempotency_key;  // at most one active job has it; empty: none
  int32_t retry_count = 0;
  int32_t max_retries = 3;
  int64_t created_at_us = 0;
  int64_t updated_at_us = 0;
  std::optional<int64_t> started_at_us;
  std::optional<int64_t> finished_at_us;
  int64_t not_before_us = 0;  // of a retry
};

std::string EncodeJob(const JobRecord& job);
/// Errors: Corruption.
Result<JobRecord> DecodeJob(std::string_view bytes);
/// In the kSystem family.
inline constexpr std::string_view kJobPrefix = "job/";
std::string JobKey(std::string_view job_id);

}  // namespace kalam::jobs

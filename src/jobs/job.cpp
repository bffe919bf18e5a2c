// Names of job types and statuses, and the bytes of job records.
#include "jobs/job.h"

#include <array>

#include "catalog/field_codec.h"

namespace kalam::jobs {
namespace {

struct TypeName {
  std::string_view name;
  std::string_view prefix;
};
// Index: the value of JobType; 0 is no type.
constexpr std::array<TypeName, 15> kTypeNames = {{
    {"unknown", "UN"},
    {"flush", "FL"},
    {"vector_index", "VI"},
    {"compact", "CO"},
    {"cleanup", "CL"},
    {"job_cleanup", "JC"},
    {"backup", "BK"},
    {"restore", "RS"},
    {"retention", "RT"},
    {"stream_eviction", "SE"},
    {"user_cleanup", "UC"},
    {"topic_cleanup", "TC"},
    {"manifest_eviction", "ME"},
    {"topic_retention", "TR"},
    {"user_export", "UE"},
}};
constexpr std::array<std::string_view, 8> kStatusNames = {
    "new", "queued", "running", "retrying", "completed", "failed", "cancelled", "skipped"};

}  // namespace

std::string_view JobTypeName(JobType type) { return kTypeNames[static_cast<size_t>(type)].name; }
std::string_view JobIdPrefix(JobType type) { return kTypeNames[static_cast<size_t>(type)].prefix; }
std::string_view JobStatusName(JobStatus status) {
  return kStatusNames[static_cast<size_t>(status)];
}

std::string JobKey(std::string_view job_id) { return std::string(kJobPrefix).append(job_id); }

std::string EncodeJob(const JobRecord& job) {
  catalog::FieldWriter out;
  out.Text(job.job_id);
  out.Number(static_cast<uint64_t>(job.type));
  out.Number(static_cast<uint64_t>(job.status));
  out.Text(job.parameters_json);
  out.Text(job.message);
  out.Text(job.exception_trace);
  out.Text(job.idempotency_key);
  out.Signed(job.retry_count);
  out.Signed(job.max_retries);
  out.Signed(job.created_at_us);
  out.Signed(job.updated_at_us);
  out.OptionalTime(job.started_at_us);
  out.OptionalTime(job.finished_at_us);
  out.Signed(job.not_before_us);
  return out.Take();
}

Result<JobRecord> DecodeJob(std::string_view bytes) {
  catalog::FieldReader in(bytes);
  JobRecord job;
  job.job_id = in.Text();
  job.type = in.Enum<JobType>(kTypeNames.size() - 1);
  job.status = in.Enum<JobStatus>(kStatusNames.size() - 1);
  job.parameters_json = in.Text();
  job.message = in.Text();
  job.exception_trace = in.Text();
  job.idempotency_key = in.Text();
  job.retry_count = static_cast<int32_t>(in.Signed());
  job.max_retries = static_cast<int32_t>(in.Signed());
  job.created_at_us = in.Signed();
  job.updated_at_us = in.Signed();
  job.started_at_us = in.OptionalTime();
  job.finished_at_us = in.OptionalTime();
  job.not_before_us = in.Signed();
  if (!in.ok()) return Status(ErrorKind::Corruption, "a job record cannot be read");
  return job;
}

}  // namespace kalam::jobs

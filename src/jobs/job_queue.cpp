// The queue of jobs: active ones in memory, all of them as records; every change of status is a
// command.
#include "jobs/job_queue.h"

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <tuple>
#include <unordered_map>

#include "base/id_generators.h"
#include "base/log.h"
#include "base/optional_charge.h"
#include "base/thread_priority.h"
#include "base/turn_clock.h"
#include "types/key_codec.h"

namespace kalam::jobs {
namespace {

constexpr std::string_view kTarget = "jobs";

bool MayPass(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::Busy:
    case ErrorKind::ReadOnly:
    case ErrorKind::StorageIo:
    case ErrorKind::Conflict:
    case ErrorKind::StaleSchema:
    case ErrorKind::OutcomeUnknown:
    case ErrorKind::MemoryExceeded:
    case ErrorKind::MemoryPressure:
      return true;
    default:
      return false;
  }
}

/// Whether jobs of this type may run beside each other: those that take turns by table.
bool RunsBesideItsLike(JobType type) {
  return type == JobType::kFlush || type == JobType::kCompact;
}

/// Whether a job makes no sense any more once its record comes out of a backup.
bool IsOfFormerLife(JobType type) {
  return type == JobType::kBackup || type == JobType::kRestore || type == JobType::kUserExport;
}

/// Files must not go while they are copied, nor between their return and the record that names
/// them; nor while an export, which may take longer than any statement, has a view on them.
bool Disturbs(JobType type, JobType other) {
  const bool deletes_files = type == JobType::kCleanup || type == JobType::kManifestEviction;
  return deletes_files &&
         (other == JobType::kBackup || other == JobType::kRestore || other == JobType::kUserExport);
}

/// Whether nobody would ask again for what a failed job has left.
bool IsRetriedUntilDone(JobType type) { return type == JobType::kCleanup; }

constexpr int64_t kPauseMaxUs = int64_t{10} * 60 * 1'000'000;

/// Doubled with every retry.
int64_t PauseUs(int64_t first_ms, int32_t retry_count) {
  int64_t pause_us = std::min(first_ms * 1000, kPauseMaxUs);
  for (; retry_count > 0 && pause_us < kPauseMaxUs; --retry_count) pause_us *= 2;
  return std::min(pause_us, kPauseMaxUs);
}

bool FinishedBefore(const JobRecord& job, int64_t before_us) {
  return !IsActive(job.status) && job.finished_at_us.value_or(job.updated_at_us) < before_us;
}

/// A job that waits or runs, in memory.
constexpr int64_t kActiveJobBytes = 512;

/// A finished job that is about to be removed.
constexpr int64_t kFinishedJobBytes = 128;

/// Of the thread of a run: the pages of its stack, at most 40 KiB in flushes and compactions, and
/// what the allocator keeps for it.
constexpr int64_t kThreadBytes = 64 << 10;

/// A job under way; shared by the queue and the thread that runs it.
struct RunningJob {
  JobType type = JobType::kCleanup;
  std::atomic<bool> cancelled{false};
  std::atomic<bool> ended{false};
  std::thread thread;  // none when Tick runs it itself
};

}  // namespace

struct JobQueue::Rep {
  storage::Store& store;
  replication::ReplicationGroup& group;
  const Clock& clock;
  const Options options;
  std::map<JobType, JobExecutor> executors;

  std::mutex tick_mutex;     // held by the one Tick that runs
  std::mutex threads_mutex;  // guards `threads`
  std::vector<std::shared_ptr<RunningJob>> threads;
  mutable std::mutex mutex;  // guards the rest
  std::unordered_map<std::string, JobRecord> active;
  std::unordered_map<std::string, std::shared_ptr<RunningJob>> running;  // by job id
  JobCounts finished;  // totals of finished jobs; `queued` and `running` unused
  MemoryCharge records;
  std::atomic<bool> closing{false};

  Rep(storage::Store& s, replication::ReplicationGroup& g, const Clock& c, const Options& o)
      : store(s), group(g), clock(c), options(o) {
    records = ChargeIfAny(o.account);
  }

  MemoryAccount* AccountOf(JobType type) const {
    return options.account == nullptr ? nullptr : &options.account->Child(JobTypeName(type));
  }

  // After `active` has changed.
  void Recount() { records.Resize(static_cast<int64_t>(active.size()) * kActiveJobBytes); }

  Status Commit(catalog::RecordWrites writes) {
    auto command = std::make_shared<replication::Command>();
    command->records = std::move(writes);
    return replication::ProposeAndWait(group, std::move(command)).status;
  }

  template <typename Visit>
  Status ForEach(Visit visit) const {
    auto iterator = store.NewIterator(storage::Family::kSystem,
                                      {std::string(kJobPrefix), PrefixEnd(kJobPrefix)});
    for (iterator->Seek(kJobPrefix); iterator->Valid(); iterator->Next()) {
      KALAM_ASSIGN_OR_RETURN(JobRecord job, DecodeJob(iterator->value()));
      visit(std::move(job));
    }
    return iterator->status();
  }

  Status Load();
  std::optional<JobRecord> TakeDue(std::shared_ptr<RunningJob>* taken);
  void Tick();
  void Start();
  void JoinEnded();
  void Run(JobRecord job, RunningJob& run);
  void Settle(JobRecord job, const Result<JobOutcome>& outcome);
};

Status JobQueue::Rep::Load() {
  std::vector<JobRecord> left;
  KALAM_RETURN_IF_ERROR(ForEach([&](JobRecord job) {
    if (IsActive(job.status)) {
      left.push_back(std::move(job));
      return;
    }
    ++finished.total;
    if (job.status == JobStatus::kFailed) ++finished.failed;
  }));
  catalog::RecordWrites writes;
  for (JobRecord& job : left) {
    if (options.was_restored && IsOfFormerLife(job.type)) {
      job.status = JobStatus::kCancelled;
      job.message = "The database was restored from a backup that was taken while this job ran";
      job.finished_at_us = job.updated_at_us = clock.NowUs();
      writes.push_back(Write(job));
      ++finished.total;
      continue;
    }
    if (job.status == JobStatus::kRunning) {
      job.status = JobStatus::kQueued;
      job.message = "Node restarted";
      job.updated_at_us = clock.NowUs();
      writes.push_back(Write(job));
    }
    active.emplace(job.job_id, job);
    Recount();
  }
  return writes.empty() ? Status::Ok() : Commit(std::move(writes));
}

/// Marks the oldest due job as running, in memory; Run makes it durable.
std::optional<JobRecord> JobQueue::Rep::TakeDue(std::shared_ptr<RunningJob>* taken) {
  std::lock_guard lock(mutex);
  const auto most = static_cast<size_t>(std::max(options.max_concurrent, 1));
  if (running.size() >= most) return std::nullopt;
  const auto must_wait = [this](const JobRecord& job) {
    return std::any_of(running.begin(), running.end(), [&](const auto& entry) {
      const JobType other = entry.second->type;
      return (other == job.type && !RunsBesideItsLike(job.type)) || Disturbs(job.type, other) ||
             Disturbs(other, job.type);
    });
  };
  const int64_t now_us = clock.NowUs();
  JobRecord* oldest = nullptr;
  for (auto& [id, job] : active) {
    if (job.status == JobStatus::kRunning || job.not_before_us > now_us || must_wait(job)) continue;
    if (!oldest || job.created_at_us < oldest->created_at_us) oldest = &job;
  }
  if (!oldest) return std::nullopt;
  oldest->status = JobStatus::kRunning;
  oldest->updated_at_us = now_us;
  if (!oldest->started_at_us) oldest->started_at_us = now_us;
  *taken = std::make_shared<RunningJob>();
  (*taken)->type = oldest->type;
  running.emplace(oldest->job_id, *taken);
  return *oldest;
}

void JobQueue::Rep::Tick() {
  std::unique_lock ticking(tick_mutex, std::try_to_lock);
  if (!ticking.owns_lock()) return;
  JoinEnded();
  Start();
}

/// Starts what is due, as far as the number of threads allows.
void JobQueue::Rep::Start() {
  while (!closing) {
    std::shared_ptr<RunningJob> run;
    std::optional<JobRecord> job = TakeDue(&run);
    if (!job) return;
    if (options.max_concurrent == 0) {
      Run(*std::move(job), *run);
      continue;
    }
    std::lock_guard lock(threads_mutex);
    run->thread = std::thread([this, run, taken = *std::move(job)]() mutable {
      pthread_setname_np(pthread_self(), "job");
      const RunningTurnClock turns(options.turn_clock);
      RunBehindOthers();
      Run(std::move(taken), *run);
      Tick();  // the place is free for the next one
      run->ended = true;
    });
    threads.push_back(std::move(run));
  }
}

void JobQueue::Rep::JoinEnded() {
  std::lock_guard lock(threads_mutex);
  std::erase_if(threads, [](const std::shared_ptr<RunningJob>& run) {
    if (!run->ended) return false;
    run->thread.join();
    return true;
  });
}

void JobQueue::Rep::Run(JobRecord job, RunningJob& run) {
  Result<JobOutcome> outcome =
      Status(ErrorKind::NotAvailable,
             "this server cannot run jobs of type '" + std::string(JobTypeName(job.type)) + "'");
  Status marked;
  {
    // A kill may have come since the job was taken: its record must not be overwritten.
    const std::lock_guard lock(mutex);
    if (!active.contains(job.job_id)) {
      running.erase(job.job_id);
      return;
    }
    marked = Commit({Write(job)});
  }
  if (!marked.ok()) {
    outcome = std::move(marked);
  } else if (auto executor = executors.find(job.type); executor != executors.end()) {
    const MemoryCharge thread = ChargeIfAny(AccountOf(job.type), kThreadBytes);
    outcome = executor->second(job, [&] { return run.cancelled.load() || closing.load(); });
  }
  Settle(std::move(job), outcome);
}

void JobQueue::Rep::Settle(JobRecord job, const Result<JobOutcome>& outcome) {
  std::lock_guard lock(mutex);
  running.erase(job.job_id);
  auto found = active.find(job.job_id);
  if (found == active.end()) return;  // killed meanwhile: its record says so
  const int64_t now_us = clock.NowUs();
  job.updated_at_us = now_us;
  if (closing && !outcome.ok()) {
    job.status = JobStatus::kQueued;  // the next start goes on with it
  } else if (outcome.ok()) {
    job.status = outcome->skipped ? JobStatus::kSkipped : JobStatus::kCompleted;
    job.message = outcome->message;
  } else if (MayPass(outcome.status().kind()) &&
             (job.retry_count < job.max_retries || IsRetriedUntilDone(job.type))) {
    job.status = JobStatus::kRetrying;
    job.exception_trace = outcome.status().ToString();
    job.not_before_us = now_us + PauseUs(options.retry_backoff_ms, job.retry_count);
    ++job.retry_count;
  } else {
    job.status = JobStatus::kFailed;
    job.message =
        MayPass(outcome.status().kind()) ? "Max retries exceeded" : outcome.status().ToString();
    job.exception_trace = outcome.status().ToString();
  }
  if (!IsActive(job.status)) job.finished_at_us = now_us;
  Status written = Commit({Write(job)});
  if (!written.ok()) {
    Log(LogLevel::kWarn, kTarget, "the end of a job could not be recorded; it will run again",
        {{"job_id", job.job_id}, {"error", written.ToString()}});
    found->second.status = JobStatus::kRetrying;
    found->second.not_before_us = now_us + options.retry_backoff_ms * 1000;
    return;
  }
  if (outcome.ok()) {
    Log(LogLevel::kInfo, kTarget, "job settled",
        {{"job_id", job.job_id}, {"status", JobStatusName(job.status)}, {"message", job.message}});
  } else {
    Log(closing ? LogLevel::kInfo : LogLevel::kWarn, kTarget, "a job did not succeed",
        {{"job_id", job.job_id},
         {"type", JobTypeName(job.type)},
         {"status", JobStatusName(job.status)},
         {"error", outcome.status().ToString()}});
  }
  if (IsActive(job.status)) {
    found->second = std::move(job);
    return;
  }
  ++finished.total;
  if (job.status == JobStatus::kFailed) ++finished.failed;
  active.erase(found);
  Recount();
}

JobQueue::JobQueue(std::unique_ptr<Rep> rep) : rep_(std::move(rep)) {}
JobQueue::~JobQueue() { Close(); }

Result<std::unique_ptr<JobQueue>> JobQueue::Open(storage::Store& store,
                                                 replication::ReplicationGroup& group,
                                                 const Clock& clock, const Options& options) {
  auto rep = std::make_unique<Rep>(store, group, clock, options);
  KALAM_RETURN_IF_ERROR(rep->Load());
  return std::make_unique<JobQueue>(std::move(rep));
}

MemoryAccount* JobQueue::account(JobType type) const { return rep_->AccountOf(type); }

void JobQueue::SetExecutor(JobType type, JobExecutor executor) {
  rep_->executors[type] = std::move(executor);
}

Result<JobRecord> JobQueue::Prepare(JobType type, std::string parameters_json,
                                    std::string idempotency_key) const {
  if (rep_->closing) return Status(ErrorKind::ShuttingDown, "the server is shutting down");
  if (HasActive(idempotency_key)) {
    return Status(ErrorKind::IdempotentConflict, "Job with idempotency key '" + idempotency_key +
                                                     "' is already running or queued");
  }
  JobRecord job;
  job.job_id = std::string(JobIdPrefix(type)) + "-" + RandomHex(12);
  job.type = type;
  job.parameters_json = std::move(parameters_json);
  job.idempotency_key = std::move(idempotency_key);
  job.max_retries = rep_->options.max_retries;
  job.created_at_us = job.updated_at_us = rep_->clock.NowUs();
  return job;
}

catalog::RecordWrite JobQueue::Write(const JobRecord& job) {
  return {storage::Family::kSystem, JobKey(job.job_id), EncodeJob(job)};
}

void JobQueue::Activate(const JobRecord& job) {
  {
    std::lock_guard lock(rep_->mutex);
    rep_->active.emplace(job.job_id, job);
    rep_->Recount();
  }
  if (rep_->options.max_concurrent > 0) rep_->Tick();
}

Result<JobRecord> JobQueue::Submit(JobType type, std::string parameters_json,
                                   std::string idempotency_key) {
  KALAM_ASSIGN_OR_RETURN(JobRecord job,
                         Prepare(type, std::move(parameters_json), std::move(idempotency_key)));
  KALAM_RETURN_IF_ERROR(rep_->Commit({Write(job)}));
  Activate(job);
  return job;
}

bool JobQueue::HasActive(std::string_view idempotency_key) const {
  if (idempotency_key.empty()) return false;
  std::lock_guard lock(rep_->mutex);
  return std::any_of(rep_->active.begin(), rep_->active.end(), [&](const auto& entry) {
    return entry.second.idempotency_key == idempotency_key;
  });
}

Status JobQueue::Kill(std::string_view job_id) {
  std::lock_guard lock(rep_->mutex);
  auto found = rep_->active.find(std::string(job_id));
  if (found == rep_->active.end()) {
    KALAM_ASSIGN_OR_RETURN(auto bytes, rep_->store.Get(storage::Family::kSystem, JobKey(job_id)));
    if (!bytes) {
      return Status(ErrorKind::NotFound, "Job '" + std::string(job_id) + "' not found");
    }
    KALAM_ASSIGN_OR_RETURN(JobRecord job, DecodeJob(*bytes));
    return Status(ErrorKind::InvalidOperation, "Job '" + std::string(job_id) + "' is already " +
                                                   std::string(JobStatusName(job.status)) +
                                                   " and cannot be cancelled");
  }
  JobRecord job = found->second;
  job.status = JobStatus::kCancelled;
  job.message = "cancelled";
  job.updated_at_us = rep_->clock.NowUs();
  job.finished_at_us = job.updated_at_us;
  KALAM_RETURN_IF_ERROR(rep_->Commit({Write(job)}));
  if (auto run = rep_->running.find(job.job_id); run != rep_->running.end())
    run->second->cancelled = true;
  rep_->active.erase(found);
  rep_->Recount();
  ++rep_->finished.total;
  return Status::Ok();
}

void JobQueue::Tick() { rep_->Tick(); }

void JobQueue::Report(std::string_view job_id, std::string message) {
  std::lock_guard lock(rep_->mutex);
  auto found = rep_->active.find(std::string(job_id));
  if (found == rep_->active.end()) return;
  found->second.message = std::move(message);
  found->second.updated_at_us = rep_->clock.NowUs();
}

Result<std::vector<JobRecord>> JobQueue::List() const {
  std::vector<JobRecord> jobs;
  KALAM_RETURN_IF_ERROR(rep_->ForEach([&](JobRecord job) { jobs.push_back(std::move(job)); }));
  {
    std::lock_guard lock(rep_->mutex);
    for (JobRecord& job : jobs) {
      auto found = rep_->active.find(job.job_id);
      if (found == rep_->active.end() || found->second.status != JobStatus::kRunning) continue;
      if (!IsActive(job.status)) continue;
      job.message = found->second.message;
      job.updated_at_us = found->second.updated_at_us;
    }
  }
  std::sort(jobs.begin(), jobs.end(), [](const JobRecord& a, const JobRecord& b) {
    return std::tie(a.created_at_us, a.job_id) < std::tie(b.created_at_us, b.job_id);
  });
  return jobs;
}

JobCounts JobQueue::counts() const {
  std::lock_guard lock(rep_->mutex);
  JobCounts counts = rep_->finished;
  counts.total += static_cast<int64_t>(rep_->active.size());
  for (const auto& [id, job] : rep_->active) {
    ++(job.status == JobStatus::kRunning ? counts.running : counts.queued);
  }
  return counts;
}

Result<int64_t> JobQueue::RemoveFinished(int64_t before_us) {
  catalog::RecordWrites writes;
  MemoryCharge charge = ChargeIfAny(rep_->AccountOf(JobType::kJobCleanup));
  int64_t failed = 0;
  KALAM_RETURN_IF_ERROR(rep_->ForEach([&](const JobRecord& job) {
    if (!FinishedBefore(job, before_us)) return;
    if (job.status == JobStatus::kFailed) ++failed;
    writes.push_back({storage::Family::kSystem, JobKey(job.job_id), std::nullopt});
    charge.Resize(charge.bytes() + kFinishedJobBytes);
  }));
  const auto removed = static_cast<int64_t>(writes.size());
  if (removed == 0) return removed;
  KALAM_RETURN_IF_ERROR(rep_->Commit(std::move(writes)));
  std::lock_guard lock(rep_->mutex);
  rep_->finished.total -= removed;
  rep_->finished.failed -= failed;
  return removed;
}

Result<bool> JobQueue::HasFinishedBefore(int64_t before_us) const {
  {
    std::lock_guard lock(rep_->mutex);
    if (rep_->finished.total == 0) return false;
  }
  bool found = false;
  KALAM_RETURN_IF_ERROR(rep_->ForEach(
      [&](const JobRecord& job) { found = found || FinishedBefore(job, before_us); }));
  return found;
}

void JobQueue::Close() {
  rep_->closing = true;
  std::lock_guard running(rep_->tick_mutex);
  std::vector<std::shared_ptr<RunningJob>> threads;
  {
    std::lock_guard lock(rep_->threads_mutex);
    threads.swap(rep_->threads);
  }
  for (const std::shared_ptr<RunningJob>& run : threads) run->thread.join();
}

}  // namespace kalam::jobs

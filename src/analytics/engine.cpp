// The host side of the analytical engine: loads the plugin, opens and closes the instance, bounds
// and counts its statements.
#include "analytics/engine.h"

#include <malloc.h>
#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>

#include "analytics/plugin_library.h"
#include "analytics/pool_memory.h"
#include "analytics/statement_slots.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/thread_priority.h"

namespace kalam::analytics {
namespace {

constexpr int64_t kRowGroupRowsMax = 16'384;
constexpr int64_t kBuffersOfGroup = 6;
constexpr int64_t kWriterPollUs = 5'000;
constexpr bool kBuiltIn = KALAM_WITH_ANALYTICS;

struct Core;

struct OpenInstance {
  explicit OpenInstance(const EngineOptions& options)
      : memory(options.account, options.memory_limit_bytes) {}
  PoolMemory memory;
  std::unique_ptr<Instance> engine;  // goes before its memory
};

/// A result under way. Between two calls of Next it may be dropped by the idle timer.
struct OpenResult {
  std::mutex mutex;
  std::shared_ptr<OpenInstance> instance;  // guarded by mutex
  std::unique_ptr<RowStream> rows;         // guarded by mutex; goes before the instance
  int64_t last_used_us = 0;                // guarded by mutex

  void Drop() {
    rows.reset();
    instance.reset();
  }
};

/// Everything that streams share with the engine and may outlive it with.
struct Core {
  explicit Core(const EngineOptions& engine_options)
      : options(engine_options),
        slots(std::max(1, options.concurrent_statements_max), options.waiting_statements_max),
        writer_slots(1, options.waiting_statements_max) {}

  Result<std::shared_ptr<OpenInstance>> InstanceForUse();
  void CloseInstance();
  /// After what PoolMemory::TryBegin or Begin began.
  void NoteUse(OpenInstance& used, const Status& outcome);
  /// For files, whose rows leave the memory: waits a moment for room, then begins within what there
  /// is. Errors: Timeout, Cancelled.
  Status BeginWriting(OpenInstance& used, const ParquetFile& file);
  void DropIdleResults(int64_t now_us);

  const EngineOptions options;
  StatementSlots slots;
  StatementSlots writer_slots;  // of WriteParquet, so that a long statement holds up no flush
  std::mutex mutex;
  std::optional<PluginLibrary> library;            // guarded by mutex
  std::shared_ptr<OpenInstance> instance;          // guarded by mutex
  std::atomic<bool> loaded{false};                 // there is one, or there will be in a moment
  std::vector<std::weak_ptr<OpenResult>> results;  // guarded by mutex
  int64_t last_used_us = 0;                        // guarded by mutex
};

void Count(Metrics* metrics, std::string_view name) {
  if (metrics != nullptr) metrics->counter(name).Add();
}

/// The engine makes its folder for spilled rows, but not the folders above.
Status MakeSpillDirectory(const std::string& path) {
  if (path.empty()) return Status::Ok();
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (!error) return Status::Ok();
  return Status(
      ErrorKind::StorageIo,
      "the folder " + path +
          " for the analytical engine's temporary files cannot be made: " + error.message());
}

/// The engine's own threads inherit what the one that opens it is: they help statements, but never
/// at the cost of those who serve connections and commit.
Result<std::unique_ptr<Instance>> OpenBehindOthers(const PluginLibrary& library,
                                                   const InstanceOptions& options) {
  Result<std::unique_ptr<Instance>> opened = Status(ErrorKind::Internal, "not opened");
  std::thread([&] {
    pthread_setname_np(pthread_self(), "engine");
    RunBehindOthers();
    opened = library.OpenInstance(options);
  }).join();
  return opened;
}

Status ShortOfMemory() {
  return Status(ErrorKind::MemoryPressure,
                "The server is short of memory and takes no complex statements for a moment; try "
                "again");
}

Result<std::shared_ptr<OpenInstance>> Core::InstanceForUse() {
  const std::lock_guard lock(mutex);
  last_used_us = SystemClock().SteadyUs();
  if (instance != nullptr && !instance->engine->lost()) return instance;
  instance.reset();
  loaded = false;
  if (!library) {
    KALAM_ASSIGN_OR_RETURN(library, PluginLibrary::Load(options.plugin_directory));
  }
  KALAM_RETURN_IF_ERROR(MakeSpillDirectory(options.temp_directory));
  const int64_t begin_us = SystemClock().SteadyUs();
  InstanceOptions instance_options;
  instance_options.memory_limit_bytes = options.memory_limit_bytes;
  instance_options.threads = std::max(1, options.threads);
  instance_options.temp_directory = options.temp_directory;
  instance_options.temp_bytes_max = options.temp_bytes_max;
  instance_options.next_snowflake_id = options.next_snowflake_id;
  const auto opening = std::make_shared<OpenInstance>(options);
  instance_options.reach_pool_bytes = [memory = &opening->memory](int64_t bytes) {
    return memory->Reach(bytes);
  };
  loaded = true;
  Result<std::unique_ptr<Instance>> opened = OpenBehindOthers(*library, instance_options);
  loaded = opened.ok();
  if (opened.status().Is(ErrorKind::MemoryExceeded)) return ShortOfMemory();
  KALAM_ASSIGN_OR_RETURN(opening->engine, std::move(opened));
  opening->memory.Settle(*opening->engine);
  instance = opening;
  Count(options.metrics, "analytics_opened_total");
  Log(LogLevel::kDebug, "analytics", "engine opened",
      {{"took_us", SystemClock().SteadyUs() - begin_us}});
  return instance;
}

Status Core::BeginWriting(OpenInstance& used, const ParquetFile& file) {
  const int64_t begin_us = SystemClock().SteadyUs();
  while (!used.memory.TryBegin()) {
    const int64_t now_us = SystemClock().SteadyUs();
    if (file.deadline_steady_us != 0 && now_us >= file.deadline_steady_us)
      return Status(ErrorKind::Timeout, "the file waited for memory until its time was over");
    if (file.cancelled && file.cancelled())
      return Status(ErrorKind::Cancelled, "the file was cancelled");
    if (now_us - begin_us >= options.file_patience_ms * 1000) {
      used.memory.Begin();
      break;
    }
    std::this_thread::sleep_for(std::chrono::microseconds(kWriterPollUs));
  }
  return Status::Ok();
}

void Core::CloseInstance() {
  std::shared_ptr<OpenInstance> closing;
  {
    const std::lock_guard lock(mutex);
    closing = std::move(instance);
    instance.reset();
    loaded = false;
  }
  if (closing == nullptr) return;
  closing.reset();
  malloc_trim(0);  // what the instance allocated outside its pool goes back to the system
}

void Core::NoteUse(OpenInstance& used, const Status& outcome) {
  if (!outcome.ok()) Count(options.metrics, "analytics_failures_total");
  used.memory.End(*used.engine);
  const std::lock_guard lock(mutex);
  last_used_us = SystemClock().SteadyUs();
  if (instance.get() != &used || !used.engine->lost()) return;
  Count(options.metrics, "analytics_lost_total");
  Log(LogLevel::kError, "analytics", "the engine failed and will be opened anew",
      {{"error", outcome.message()}});
  instance.reset();
  loaded = false;
}

void Core::DropIdleResults(int64_t now_us) {
  std::vector<std::shared_ptr<OpenResult>> open;
  {
    const std::lock_guard lock(mutex);
    std::erase_if(results, [](const auto& result) { return result.expired(); });
    for (const auto& result : results) {
      if (auto held = result.lock()) open.push_back(std::move(held));
    }
  }
  for (const auto& result : open) {
    const std::unique_lock lock(result->mutex, std::try_to_lock);  // locked: somebody is pulling it
    if (!lock || result->rows == nullptr) continue;
    if (now_us - result->last_used_us >= options.stream_idle_seconds * 1'000'000) result->Drop();
  }
}

/// Holds a slot while it computes and none while its reader is busy elsewhere.
class EngineStream : public RowStream {
 public:
  EngineStream(std::shared_ptr<Core> core, std::shared_ptr<OpenResult> result, ResultSchema schema,
               int64_t deadline_steady_us, std::function<bool()> cancelled)
      : core_(std::move(core)),
        result_(std::move(result)),
        schema_(std::move(schema)),
        deadline_steady_us_(deadline_steady_us),
        cancelled_(std::move(cancelled)) {}

  const ResultSchema& schema() const override { return schema_; }
  bool needs_worker() const override { return true; }

  Result<bool> Next(RowSink& sink, size_t chunk_bytes) override {
    if (ended_) return false;
    KALAM_ASSIGN_OR_RETURN(const auto slot, core_->slots.Acquire(deadline_steady_us_, cancelled_));
    const std::lock_guard lock(result_->mutex);
    if (result_->rows == nullptr) {
      return Status(ErrorKind::Timeout, "the result was not read for " +
                                            std::to_string(core_->options.stream_idle_seconds) +
                                            " seconds");
    }
    // It was admitted when it began, and its client has rows already.
    result_->instance->memory.Begin();
    Result<bool> more = result_->rows->Next(sink, chunk_bytes);
    ended_ = !more.ok() || !*more;
    if (ended_) result_->rows.reset();  // first: what it held is not charged any more
    core_->NoteUse(*result_->instance, more.status());
    result_->last_used_us = SystemClock().SteadyUs();
    if (ended_) result_->Drop();
    return more;
  }

 private:
  const std::shared_ptr<Core> core_;
  const std::shared_ptr<OpenResult> result_;
  const ResultSchema schema_;
  const int64_t deadline_steady_us_;
  const std::function<bool()> cancelled_;
  bool ended_ = false;
};

/// What the callers of WriteParquet promise.
Status CheckFile(const ParquetFile& file) {
  if (file.source == nullptr || file.source->part_count() != 1) {
    return Status(ErrorKind::Internal, "a Parquet file is written from a source of one part");
  }
  if (file.field_ids.size() != file.source->columns().size()) {
    return Status(ErrorKind::Internal, "a Parquet file needs one field id a column");
  }
  if (file.row_group_rows <= 0) return Status(ErrorKind::Internal, "row groups have rows");
  return Status::Ok();
}

class PluginEngine : public Engine {
 public:
  explicit PluginEngine(const EngineOptions& options) : core_(std::make_shared<Core>(options)) {}
  ~PluginEngine() override { core_->CloseInstance(); }

  Status CheckAvailable() const override {
    return PluginLibrary::CheckIsThere(core_->options.plugin_directory);
  }

  Result<std::unique_ptr<RowStream>> Execute(EngineQuery query) override {
    if (core_->options.admit) KALAM_RETURN_IF_ERROR(core_->options.admit());
    const int64_t deadline_us = query.deadline_steady_us;
    const std::function<bool()> cancelled = query.cancelled;
    KALAM_ASSIGN_OR_RETURN(const auto slot, core_->slots.Acquire(deadline_us, cancelled));
    KALAM_ASSIGN_OR_RETURN(const auto instance, core_->InstanceForUse());
    if (!instance->memory.TryBegin()) return ShortOfMemory();
    Count(core_->options.metrics, "analytics_statements_total");
    Result<std::unique_ptr<RowStream>> rows = instance->engine->Execute(std::move(query));
    core_->NoteUse(*instance, rows.status());
    if (!rows.ok()) return std::move(rows).status();

    auto result = std::make_shared<OpenResult>();
    result->instance = instance;
    result->rows = std::move(rows).value();
    result->last_used_us = SystemClock().SteadyUs();
    ResultSchema schema = result->rows->schema();
    {
      const std::lock_guard lock(core_->mutex);
      std::erase_if(core_->results, [](const auto& open) { return open.expired(); });
      core_->results.push_back(result);
    }
    return std::unique_ptr<RowStream>(std::make_unique<EngineStream>(
        core_, std::move(result), std::move(schema), deadline_us, cancelled));
  }

  Result<std::string> Explain(EngineQuery query) override {
    KALAM_ASSIGN_OR_RETURN(const auto slot,
                           core_->slots.Acquire(query.deadline_steady_us, query.cancelled));
    KALAM_ASSIGN_OR_RETURN(const auto instance, core_->InstanceForUse());
    instance->memory.Begin();
    Result<std::string> plan = instance->engine->Explain(std::move(query));
    core_->NoteUse(*instance, plan.status());
    return plan;
  }

  Result<ParquetFileSummary> WriteParquet(const ParquetFile& file) override {
    KALAM_RETURN_IF_ERROR(CheckFile(file));
    KALAM_ASSIGN_OR_RETURN(const auto slot,
                           core_->writer_slots.Acquire(file.deadline_steady_us, file.cancelled));
    KALAM_ASSIGN_OR_RETURN(const auto instance, core_->InstanceForUse());
    KALAM_RETURN_IF_ERROR(core_->BeginWriting(*instance, file));
    Result<ParquetFileSummary> written = instance->engine->WriteParquet(file);
    core_->NoteUse(*instance, written.status());
    // Smaller groups need less, whoever has the rest.
    if (written.status().Is(ErrorKind::MemoryPressure))
      written = Status(ErrorKind::MemoryExceeded, written.status().message());
    std::error_code error;
    if (written.ok()) {
      written->size_bytes =
          static_cast<int64_t>(std::filesystem::file_size(file.local_path, error));
      if (!error) return written;
      written = Status(ErrorKind::StorageIo,
                       "the file " + file.local_path + " cannot be read: " + error.message());
    }
    std::filesystem::remove(file.local_path, error);
    return written;
  }

  bool loaded() const override { return core_->loaded.load(std::memory_order_relaxed); }

  void RefreshAccount() override {
    const std::unique_lock lock(core_->mutex, std::try_to_lock);
    if (!lock.owns_lock() || core_->instance == nullptr) return;
    core_->instance->memory.Settle(*core_->instance->engine);
  }

  void CloseIfIdle(int64_t now_steady_us) override {
    core_->DropIdleResults(now_steady_us);
    {
      const std::lock_guard lock(core_->mutex);
      if (core_->instance == nullptr) return;
      // A use count above ours is a statement or a stream.
      if (core_->instance.use_count() > 1) return;
      if (now_steady_us - core_->last_used_us < core_->options.idle_close_seconds * 1'000'000)
        return;
    }
    core_->CloseInstance();
    Count(core_->options.metrics, "analytics_idle_closed_total");
  }

  void CloseIfUnused() override {
    {
      const std::lock_guard lock(core_->mutex);
      if (core_->instance == nullptr || core_->instance.use_count() > 1) return;
    }
    core_->CloseInstance();
    Count(core_->options.metrics, "analytics_shed_total");
  }

  void Close() override { core_->CloseInstance(); }

 private:
  const std::shared_ptr<Core> core_;
};

class DisabledEngine : public Engine {
 public:
  explicit DisabledEngine(std::string_view reason) : reason_(reason) {}
  Status CheckAvailable() const override { return Refusal(); }
  Result<std::unique_ptr<RowStream>> Execute(EngineQuery) override { return Refusal(); }
  Result<std::string> Explain(EngineQuery) override { return Refusal(); }
  Result<ParquetFileSummary> WriteParquet(const ParquetFile&) override { return Refusal(); }
  bool loaded() const override { return false; }
  void CloseIfIdle(int64_t) override {}
  void CloseIfUnused() override {}
  void Close() override {}

 private:
  Status Refusal() const {
    return Status(ErrorKind::NotAvailable,
                  "This needs the analytical engine, which " + std::string(reason_));
  }
  const std::string_view reason_;
};

}  // namespace

int64_t RowGroupRowsWithin(int64_t memory_limit_bytes, int64_t row_bytes) {
  // A column of a group is put together in a buffer that doubles as it grows, beside the rows
  // themselves and their compressed form.
  const int64_t group_bytes = std::max<int64_t>(memory_limit_bytes, 0) / kBuffersOfGroup;
  int64_t rows = kRowGroupRowsMax;
  while (rows > 1 && rows * std::max<int64_t>(row_bytes, 1) > group_bytes) rows /= 2;
  return rows;
}

std::unique_ptr<Engine> MakeEngine(const EngineOptions& options) {
  if constexpr (!kBuiltIn) {
    return std::make_unique<DisabledEngine>("this server was built without (KALAM_WITH_ANALYTICS)");
  } else {
    if (!options.enabled)
      return std::make_unique<DisabledEngine>("is switched off ([analytics] enabled)");
    return std::make_unique<PluginEngine>(options);
  }
}

}  // namespace kalam::analytics

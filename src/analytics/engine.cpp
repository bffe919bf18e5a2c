// The host side of the analytical engine: loads the plugin, opens and closes the instance, bounds
// and counts its statements.
#include "analytics/engine.h"

#include <malloc.h>
#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>

#include "analytics/plugin_library.h"
#include "analytics/statement_slots.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/thread_priority.h"

namespace kalam::analytics {
namespace {

constexpr int64_t kRowGroupRowsMax = 16'384;
constexpr int64_t kBuffersOfGroup = 6;
constexpr bool kBuiltIn = KALAM_WITH_ANALYTICS;

struct Core;

/// A result under way. Between two calls of Next it may be dropped by the idle timer.
struct OpenResult {
  std::mutex mutex;
  std::shared_ptr<Instance> instance;  // guarded by mutex
  std::unique_ptr<RowStream> rows;     // guarded by mutex; goes before the instance
  int64_t last_used_us = 0;            // guarded by mutex

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

  Result<std::shared_ptr<Instance>> InstanceForUse();
  void CloseInstance();
  void NoteUse(const Instance& used, const Status& outcome);
  /// Before something is computed: keeps room for it. NoteUse ends it. Errors: MemoryPressure, when
  /// it asks and there is none.
  Status BeginComputing(bool asks);
  int64_t HeldBytes() const;
  void DropIdleResults(int64_t now_us);

  const EngineOptions options;
  StatementSlots slots;
  StatementSlots writer_slots;  // of WriteParquet, so that a long statement holds up no flush
  std::mutex mutex;
  std::optional<PluginLibrary> library;            // guarded by mutex
  std::shared_ptr<Instance> instance;              // guarded by mutex
  std::atomic<bool> loaded{false};                 // there is one, or there will be in a moment
  std::vector<std::weak_ptr<OpenResult>> results;  // guarded by mutex
  MemoryCharge charge;                             // guarded by mutex
  int computing_count = 0;                         // guarded by mutex
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

Result<std::shared_ptr<Instance>> Core::InstanceForUse() {
  const std::lock_guard lock(mutex);
  last_used_us = SystemClock().SteadyUs();
  if (instance != nullptr && !instance->lost()) return instance;
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
  loaded = true;
  Result<std::unique_ptr<Instance>> opened = OpenBehindOthers(*library, instance_options);
  loaded = opened.ok();
  KALAM_ASSIGN_OR_RETURN(instance, std::move(opened));
  Count(options.metrics, "analytics_opened_total");
  Log(LogLevel::kDebug, "analytics", "engine opened",
      {{"took_us", SystemClock().SteadyUs() - begin_us}});
  if (options.account != nullptr) charge = MemoryCharge(*options.account, instance->used_bytes());
  return instance;
}

/// Under the mutex. What is computed may come to the limit, and nobody is asked on the way: half of
/// it is kept from others.
int64_t Core::HeldBytes() const {
  const int64_t used = instance == nullptr ? 0 : instance->used_bytes();
  return computing_count == 0 ? used : std::max(used, options.memory_limit_bytes / 2);
}

Status Core::BeginComputing(bool asks) {
  const std::lock_guard lock(mutex);
  ++computing_count;
  if (options.account == nullptr) return Status::Ok();
  if (!asks) {
    charge.Resize(HeldBytes());
    return Status::Ok();
  }
  if (charge.TryResize(HeldBytes())) return Status::Ok();
  --computing_count;
  return Status(ErrorKind::MemoryPressure,
                "The server is short of memory and takes no complex statements for a moment; try "
                "again");
}

void Core::CloseInstance() {
  std::shared_ptr<Instance> closing;
  {
    const std::lock_guard lock(mutex);
    closing = std::move(instance);
    instance.reset();
    loaded = false;
    charge.Reset();
  }
  if (closing == nullptr) return;
  closing.reset();
  malloc_trim(0);  // what the instance allocated outside its pool goes back to the system
}

void Core::NoteUse(const Instance& used, const Status& outcome) {
  if (!outcome.ok()) Count(options.metrics, "analytics_failures_total");
  const std::lock_guard lock(mutex);
  last_used_us = SystemClock().SteadyUs();
  --computing_count;
  if (instance.get() != &used) return;
  if (instance->lost()) {
    Count(options.metrics, "analytics_lost_total");
    Log(LogLevel::kError, "analytics", "the engine failed and will be opened anew",
        {{"error", outcome.message()}});
    instance.reset();
    loaded = false;
    charge.Reset();
    return;
  }
  if (options.account != nullptr) charge.Resize(HeldBytes());
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
    KALAM_RETURN_IF_ERROR(core_->BeginComputing(/*asks=*/false));
    Result<bool> more = result_->rows->Next(sink, chunk_bytes);
    core_->NoteUse(*result_->instance, more.status());
    result_->last_used_us = SystemClock().SteadyUs();
    if (!more.ok() || !*more) {
      result_->Drop();
      ended_ = true;
    }
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
    KALAM_RETURN_IF_ERROR(core_->BeginComputing(/*asks=*/true));
    Count(core_->options.metrics, "analytics_statements_total");
    Result<std::unique_ptr<RowStream>> rows = instance->Execute(std::move(query));
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
    KALAM_RETURN_IF_ERROR(core_->BeginComputing(/*asks=*/false));
    Result<std::string> plan = instance->Explain(std::move(query));
    core_->NoteUse(*instance, plan.status());
    return plan;
  }

  Result<ParquetFileSummary> WriteParquet(const ParquetFile& file) override {
    KALAM_RETURN_IF_ERROR(CheckFile(file));
    KALAM_ASSIGN_OR_RETURN(const auto slot,
                           core_->writer_slots.Acquire(file.deadline_steady_us, file.cancelled));
    KALAM_ASSIGN_OR_RETURN(const auto instance, core_->InstanceForUse());
    KALAM_RETURN_IF_ERROR(core_->BeginComputing(/*asks=*/false));
    Result<ParquetFileSummary> written = instance->WriteParquet(file);
    core_->NoteUse(*instance, written.status());
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
    if (core_->options.account != nullptr) core_->charge.Resize(core_->HeldBytes());
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

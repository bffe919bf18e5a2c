// Shares of the memory budget.
#include "server/memory_plan.h"

#include <fmt/format.h>

#include <algorithm>

#include "server/limits.h"

namespace kalam::server {
namespace {

constexpr int64_t kKilobyte = 1 << 10;
constexpr int64_t kMegabyte = 1 << 20;
// When neither machine nor cgroup tells its size.
constexpr int64_t kUnknownMachineBytes = 1024 * kMegabyte;

struct Share {
  int64_t divisor;  // of the budget
  int64_t minimum;
  int64_t maximum;
  int64_t Of(int64_t budget) const { return std::clamp(budget / divisor, minimum, maximum); }
};

// The upper bounds are where more memory stops helping a server of this kind: its working set is
// small, and what is not cached here is in the page cache of the system.
constexpr Share kReserve = {16, kMegabyte, 8 * kMegabyte};
// Memtables that are written out stand beside those that are filled, and nobody is asked.
constexpr int64_t kMemtableReserveMax = 3 * kMegabyte;
constexpr Share kBlockCache = {16, 512 * kKilobyte, 16 * kMegabyte};
constexpr Share kWriteBuffers = {8, kMegabyte, 8 * kMegabyte};
constexpr Share kEngine = {4, 16 * kMegabyte, 256 * kMegabyte};
constexpr Share kStatement = {4, 4 * kMegabyte, 64 * kMegabyte};
constexpr Share kBatchResult = {8, 2 * kMegabyte, 64 * kMegabyte};
constexpr Share kSockets = {8, 2 * kMegabyte, 64 * kMegabyte};
constexpr Share kRead = {32, 512 * kKilobyte, 16 * kMegabyte};
constexpr Share kVectors = {4, 4 * kMegabyte, 256 * kMegabyte};
constexpr Share kCommitPending = {8, 2 * kMegabyte, 64 * kMegabyte};
constexpr Share kRequestBodies = {4, 4 * kMegabyte, kArrivingBodiesBytesMax};
constexpr Share kChangeTail = {32, 512 * kKilobyte, 8 * kMegabyte};
constexpr Share kPlanCache = {16, 512 * kKilobyte, 4 * kMegabyte};
constexpr Share kSnapshotBatch = {64, 256 * kKilobyte, 4 * kMegabyte};

// What the owner of a size cannot do without. Of the smallest budget the server takes 3 MB to be
// there, 3 for caches and memtables, 8 for the engine's joins and files; tests/e2e/
// smallest_budget_test.py asks for everything else.
constexpr int64_t kBudgetMin = 16 * kMegabyte;
constexpr int64_t kBlockCacheMin = 64 * kKilobyte;
constexpr int64_t kWriteBuffersMin = kMegabyte;
constexpr int64_t kEngineMin = 8 * kMegabyte;  // of one thread: a join needs as much
constexpr int64_t kStatementMin = kMegabyte;
constexpr int64_t kVectorsMin = kMegabyte;
constexpr int64_t kBytesPerWorker = 4 * kMegabyte;
// Statements together, in eighths of the budget: one may take a quarter, and what others hold
// beside the accounts (the heap's gaps, compactions) must find room.
constexpr int64_t kStatementsEighths = 3;

// The configured size, or `otherwise` when it is left to the server. `why` nothing less will do.
Result<int64_t> Configured(const Settings& settings, const char* name, int64_t minimum,
                           int64_t otherwise, std::string_view why = "") {
  const int64_t bytes = settings.number(name);
  if (bytes == 0) return otherwise;
  if (bytes >= minimum) return bytes;
  return Status(ErrorKind::Config,
                fmt::format("{} must be 0 or at least {} bytes{}", name, minimum, why));
}

}  // namespace

Result<MemoryPlan> PlanMemory(const Settings& settings, const MachineMemory& machine) {
  MemoryPlan plan;
  const bool in_group = machine.cgroup_bytes > 0 && (machine.machine_bytes == 0 ||
                                                     machine.cgroup_bytes < machine.machine_bytes);
  const int64_t memory = in_group                    ? machine.cgroup_bytes
                         : machine.machine_bytes > 0 ? machine.machine_bytes
                                                     : kUnknownMachineBytes;
  KALAM_ASSIGN_OR_RETURN(
      plan.budget_bytes,
      Configured(settings, "memory.budget", kBudgetMin, std::max(memory / 4, kBudgetMin),
                 ": a server with less cannot do everything that it can be asked for"));
  plan.budget_source = settings.number("memory.budget") > 0 ? "memory.budget"
                       : in_group                           ? "cgroup"
                                                            : "machine";
  const int64_t budget = plan.budget_bytes;
  const int64_t warning_percent = settings.number("memory.warning_percent");
  const int64_t critical_percent = settings.number("memory.critical_percent");
  if (warning_percent >= critical_percent) {
    return Status(ErrorKind::Config,
                  "memory.warning_percent must be smaller than memory.critical_percent");
  }
  plan.warning_bytes = budget / 100 * warning_percent;
  plan.critical_bytes = budget / 100 * critical_percent;
  KALAM_ASSIGN_OR_RETURN(plan.block_cache_bytes,
                         Configured(settings, "storage.rocksdb.block_cache_size", kBlockCacheMin,
                                    kBlockCache.Of(budget)));
  KALAM_ASSIGN_OR_RETURN(plan.write_buffer_bytes,
                         Configured(settings, "storage.rocksdb.write_buffer_size", kWriteBuffersMin,
                                    kWriteBuffers.Of(budget)));
  KALAM_ASSIGN_OR_RETURN(plan.engine_bytes,
                         Configured(settings, "analytics.memory_limit", kEngineMin,
                                    std::min(kEngine.Of(budget), budget / 2)));
  KALAM_ASSIGN_OR_RETURN(plan.statement_bytes,
                         Configured(settings, "execution.statement_memory_limit", kStatementMin,
                                    kStatement.Of(budget)));
  plan.statements_bytes = std::max(budget / 8 * kStatementsEighths, plan.statement_bytes);
  plan.reserve_bytes =
      std::max(kReserve.Of(budget), std::min(2 * plan.write_buffer_bytes, kMemtableReserveMax));
  plan.batch_result_bytes = kBatchResult.Of(budget);
  plan.socket_bytes = kSockets.Of(budget);
  plan.read_bytes = kRead.Of(budget);
  KALAM_ASSIGN_OR_RETURN(plan.vector_bytes, Configured(settings, "vectors.memory_limit",
                                                       kVectorsMin, kVectors.Of(budget)));
  plan.commit_pending_bytes = kCommitPending.Of(budget);
  plan.request_bodies_bytes = kRequestBodies.Of(budget);
  plan.change_tail_bytes = static_cast<size_t>(kChangeTail.Of(budget));
  plan.worker_threads_max = static_cast<size_t>(budget / kBytesPerWorker);
  plan.large_subscriptions_bytes = budget / 2;
  plan.plan_cache_bytes = kPlanCache.Of(budget);
  plan.snapshot_batch_bytes = static_cast<size_t>(kSnapshotBatch.Of(budget));
  return plan;
}

}  // namespace kalam::server

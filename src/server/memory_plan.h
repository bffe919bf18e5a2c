// The memory budget of the process and how it is divided where the configuration does not say.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "base/process_memory.h"
#include "base/status.h"
#include "server/settings.h"

namespace kalam::server {

/// All in bytes.
struct MemoryPlan {
  int64_t budget_bytes = 0;
  std::string budget_source;   // "memory.budget", "cgroup" or "machine"
  int64_t warning_bytes = 0;   // from here on caches shrink
  int64_t critical_bytes = 0;  // from here on work is refused
  int64_t reserve_bytes = 0;   // left free by those who ask, for those who do not
  int64_t block_cache_bytes = 0;
  int64_t write_buffer_bytes = 0;
  int64_t engine_bytes = 0;
  int64_t statement_bytes = 0;   // of one
  int64_t statements_bytes = 0;  // of all together
  int64_t batch_result_bytes = 0;
  int64_t socket_bytes = 0;  // that clients have not taken yet
  int64_t read_bytes = 0;    // that were read before their turn came
  int64_t vector_bytes = 0;
  int64_t commit_pending_bytes = 0;
  int64_t request_bodies_bytes = 0;
  int64_t plan_cache_bytes = 0;
  int64_t large_subscriptions_bytes = 0;  // large ones are refused beyond it
  size_t worker_threads_max = 0;          // each has a scan or a large text in its hands
  size_t change_tail_bytes = 0;           // of all cores together
  size_t snapshot_batch_bytes = 0;        // of a live query's initial rows
};

/// What the settings leave at 0 gets a share of the budget; a budget of 0 is a quarter of the
/// machine or of its cgroup, whichever is smaller. Errors: Config (a size below what its owner can
/// work with).
Result<MemoryPlan> PlanMemory(const Settings& settings, const MachineMemory& machine);

}  // namespace kalam::server

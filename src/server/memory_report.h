// Where every megabyte is, as rows, as JSON and as metrics.
#pragma once

#include <string>
#include <vector>

#include "base/memory_account.h"
#include "server/memory_guard.h"
#include "server/memory_plan.h"
#include "statements/sql_request.h"
#include "storage/store.h"

namespace kalam::server {

struct MemoryReportSources {
  const MemoryAccount& root;
  const MemoryPlan& plan;
  const MemoryGuard& guard;
  const storage::Store& store;
};

/// What system.memory shows below the accounts: the budget, the process, the allocator, the kernel,
/// RocksDB's options. Looks at every socket: not for hot paths.
std::vector<statements::MemoryFact> MemoryFacts(const MemoryReportSources& sources);

/// The body of GET /v1/api/metrics/memory (docs/operations.md, "Memory").
std::string MemoryJson(const MemoryReportSources& sources);

/// The body of GET /metrics, in the text format 0.0.4 of Prometheus: `stats` whose value is a
/// number under `kalamdb_<name>`, and the accounts.
std::string PrometheusText(const std::vector<statements::StatSample>& stats,
                           const MemoryReportSources& sources);

}  // namespace kalam::server

// The groups of measurements; each starts from a fresh server and adds its lines to the report.
#pragma once

#include "suite/environment.h"
#include "suite/report.h"

namespace kalam::bench {

struct SuiteOptions {
  std::string binary;
  std::string config_file;
};

/// Idle memory and CPU, memory of 1,000 tables, the engine not loaded.
Status RunIdle(const SuiteOptions& options, Report& report);
/// Latency of echo, health, point SELECT, INSERT, UPDATE, DELETE, multi-row INSERT; rates with 64
/// clients.
Status RunStatements(const SuiteOptions& options, Report& report);
/// Sending an INSERT to its notification; one change to 1,000 sockets.
Status RunNotifications(const SuiteOptions& options, Report& report);
/// Private memory of idle WebSockets and of further subscriptions.
Status RunConnections(const SuiteOptions& options, Report& report);
/// DELETE by a filter against the SELECT; GROUP BY against an iteration.
Status RunScans(const SuiteOptions& options, Report& report);

/// Notifications a second to a thousand sockets; lateness at half of the target's load.
Status RunDeliveries(const SuiteOptions& options, Report& report);
/// A thousand changes a second to a hundred subscribers: nothing lost, memory flat.
Status RunSteady(const SuiteOptions& options, Report& report);
/// Private memory of a further table and of a further user with rows.
Status RunItems(const SuiteOptions& options, Report& report);
/// Ten thousand users who watch and write.
Status RunUsers(const SuiteOptions& options, Report& report);
/// Five thousand clients that resume at once.
Status RunStorm(const SuiteOptions& options, Report& report);
/// A budget of 64 MB under tables, connections, subscriptions, writes and grouping; a minute, or
/// KALAM_BENCH_BUDGET_SECONDS.
Status RunBudget(const SuiteOptions& options, Report& report);
/// What is left of the memory of analytics, writes, connections and tables once all are gone;
/// KALAM_BENCH_HEAVY_ROUNDS of it, then KALAM_BENCH_IDLE_SECONDS of quiet.
Status RunHeavyHour(const SuiteOptions& options, Report& report);
/// Flush rate, its effect on writers, bytes of segments, reads of cold rows by key, and aggregates
/// against the engine on the same files.
Status RunCold(const SuiteOptions& options, Report& report);
/// Ten million rows (or KALAM_BENCH_ROWS) under a budget of 128 MB: loaded, flushed, queried.
Status RunManyRows(const SuiteOptions& options, Report& report);

/// The vector index against exact search, without a server around it: recall, time and memory at
/// 100,000 vectors (or KALAM_BENCH_VECTORS) of 384 dimensions.
Status RunVectors(const SuiteOptions& options, Report& report);

}  // namespace kalam::bench

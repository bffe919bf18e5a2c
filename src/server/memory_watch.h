// Ties the memory guard to what it measures and moves: the store, the caches, the engine and the
// live hubs.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "analytics/engine.h"
#include "base/clock.h"
#include "catalog/catalog.h"
#include "query/query_engine.h"
#include "server/listener.h"
#include "server/memory_guard.h"
#include "server/memory_plan.h"
#include "server/memory_report.h"
#include "server/page_room.h"
#include "storage/store.h"

namespace kalam::server {

/// Everything must outlive it, or be open until the last round has ended.
class MemoryWatch {
 public:
  struct Parts {
    const MemoryPlan& plan;
    MemoryAccount& memory;
    storage::Store& store;
    catalog::Catalog& catalog;
    query::QueryEngine& query;
    analytics::Engine& engine;
    const std::vector<Core*>& cores;
    const Clock& clock;
    Metrics& metrics;
    /// Queues flushes to cold storage of the tables with the most hot rows.
    std::function<size_t(size_t count_max, int64_t row_count_min)> flush_largest;
    /// Drops graphs of vector indexes that nobody asks; may be empty.
    std::function<void()> forget_vector_graphs = {};
    /// Drops what is kept of cold files; may be empty.
    std::function<void()> release_segments = {};
  };
  /// From here on large charges of `parts.memory` are asked of the pages as well.
  explicit MemoryWatch(const Parts& parts);
  MemoryWatch(const MemoryWatch&) = delete;
  MemoryWatch& operator=(const MemoryWatch&) = delete;
  ~MemoryWatch();

  MemoryGuard& guard() { return guard_; }
  /// True when Round has something to do; cheap, any thread.
  bool NeedsRound();
  /// On a worker, one at a time.
  void Round() { guard_.Round(); }
  /// Grows with whatever clients have asked for or were sent.
  int64_t activity() const;
  /// Nobody has asked for anything for a while: empties the caches and writes the memtables out, so
  /// that what a busy time has filled goes back to the system. On a worker.
  void Rest();
  /// With the accounts brought up to date. Any thread.
  MemoryReportSources ReportSources();

 private:
  int64_t AnonymousBytes() const;
  int64_t AnonymousBytesBesideOpenEngine() const;
  MemoryReading Read();
  void ShrinkCaches(bool small);
  void ForgetWhatIsCached();
  void WriteOutMemtables(int64_t bytes_min);
  void MoveRowsToColdStorage(int64_t now_us);
  void BoundTails(size_t bytes);

  const Parts parts_;
  // Of Round.
  int64_t caches_cleared_us_;
  int64_t memtables_flushed_us_;
  int64_t rows_moved_us_;
  MemoryGuard guard_;
  PageRoom room_;
};

}  // namespace kalam::server

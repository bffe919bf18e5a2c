// One in-process DuckDB that can do nothing but compute over the sources of a statement.
#pragma once

#include <atomic>
#include <duckdb/main/connection.hpp>
#include <duckdb/main/database.hpp>
#include <memory>
#include <string>

#include "analytics/plugin/asking_pool.h"
#include "analytics/plugin/query_state.h"
#include "analytics/plugin/watchdog.h"
#include "analytics/plugin_interface.h"

namespace kalam::analytics {

/// When it ends, what the library's allocator kept for later goes back to the system.
class HeapReturn {
 public:
  explicit HeapReturn(bool is_due) : is_due_(is_due) {}
  HeapReturn(const HeapReturn&) = delete;
  HeapReturn& operator=(const HeapReturn&) = delete;
  ~HeapReturn();

 private:
  const bool is_due_;
};

class DuckDbInstance : public Instance {
 public:
  static Result<std::unique_ptr<Instance>> Open(const InstanceOptions& options);
  /// For Open, which makes the instance safe; throws the engine's exceptions.
  DuckDbInstance(const InstanceOptions& options, duckdb::DBConfig* config,
                 duckdb::shared_ptr<AskingPool> pool);

  Result<std::unique_ptr<RowStream>> Execute(EngineQuery query) override;
  Result<std::string> Explain(EngineQuery query) override;
  Result<ParquetFileSummary> WriteParquet(const ParquetFile& file) override;
  int64_t used_bytes() const override { return pool_->held_bytes(); }
  bool lost() const override { return lost_.load(); }

  /// What to tell of `error`: a failure of ours beneath it, the watchdog's verdict, or its own
  /// text: when the pool was refused memory meanwhile, MemoryPressure. Notes a lost instance.
  Status Failure(const duckdb::ErrorData& error, const QueryState& state,
                 const Watchdog::Watch& watch);
  Watchdog& watchdog() { return watchdog_; }
  /// With little memory nothing is kept for the next statement.
  bool returns_heap() const { return returns_heap_; }

 private:
  const bool returns_heap_;
  const HeapReturn heap_return_{true};  // goes behind the database
  const duckdb::shared_ptr<AskingPool> pool_;
  duckdb::DuckDB database_;
  std::atomic<bool> lost_{false};
  Watchdog watchdog_;
};

}  // namespace kalam::analytics

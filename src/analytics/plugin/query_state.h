// What one running statement may see of the server, reachable from the engine's callbacks through
// its connection.
#pragma once

#include <duckdb/main/client_context.hpp>
#include <duckdb/main/client_context_state.hpp>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "analytics/plugin/private_files.h"
#include "base/status.h"
#include "tables/scan_source.h"

namespace kalam::analytics {

/// Lives in the client context of the statement's own connection; plans and catalogs hold nothing
/// of it. Thread-safety: `sources` is constant; the rest locks.
class QueryState : public duckdb::ClientContextState {
 public:
  static constexpr const char* kKey = "kalam_query";

  explicit QueryState(std::vector<std::shared_ptr<tables::ScanSource>> scan_sources)
      : sources(std::move(scan_sources)) {}
  ~QueryState() override;

  /// The state of the statement that runs on `context`. Throws when there is none.
  static QueryState& Of(duckdb::ClientContext& context);

  /// Keeps the first failure of ours, whose kind would be lost on its way through the engine, and
  /// throws it.
  [[noreturn]] void Fail(Status failure);
  /// The failure kept by Fail; ok when there was none.
  Status failure() const;

  /// By result column: the column of a source that it shows; set when the statement is planned.
  void set_origins(std::vector<std::optional<ResultColumn>> origins) {
    const std::lock_guard lock(mutex_);
    origins_ = std::move(origins);
  }
  std::vector<std::optional<ResultColumn>> origins() const {
    const std::lock_guard lock(mutex_);
    return origins_;
  }

  /// Lets the statement open `name`, which begins with kPrivateScheme, and no other statement.
  void Grant(const std::string& name, PrivateFile file);
  /// Null when the statement may not open `name`.
  std::shared_ptr<const PrivateFile> Granted(const std::string& name) const;

  /// Counts `bytes` of ours against the engine's limit until the statement has ended; false when
  /// they do not fit. It is not for scans to give back: the engine's threads may destroy them after
  /// the statement's context.
  bool ReserveMemory(duckdb::ClientContext& context, int64_t bytes);
  /// Gives `bytes` back before the end; by threads that the statement waits for.
  void ReturnMemory(int64_t bytes);

  const std::vector<std::shared_ptr<tables::ScanSource>> sources;
  /// Not 0: no chunk of a scan reaches beyond a multiple of so many rows, because the engine ends
  /// row groups of files at chunks only. Set before the statement runs.
  int64_t group_rows = 0;
  /// AskingPool::refused_count when the statement began.
  int64_t refused_before = 0;
  /// Only the plan is wanted: it tells how many cold files each scan would read.
  bool explains = false;

 private:
  mutable std::mutex mutex_;
  duckdb::BufferManager* buffers_ = nullptr;                         // guarded by mutex_
  int64_t reserved_bytes_ = 0;                                       // guarded by mutex_
  Status failure_;                                                   // guarded by mutex_
  std::vector<std::optional<ResultColumn>> origins_;                 // guarded by mutex_
  std::map<std::string, std::shared_ptr<const PrivateFile>> files_;  // guarded by mutex_
};

}  // namespace kalam::analytics

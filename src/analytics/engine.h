// The analytical engine behind an interface: loaded on first use, closed when idle, fed only with
// ScanSources.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/memory_account.h"
#include "base/metrics.h"
#include "base/status.h"
#include "tables/scan_source.h"
#include "types/row_stream.h"

namespace kalam::analytics {

struct EngineOptions {
  bool enabled = true;
  /// Folder of libkalam_analytics.so; empty: beside the executable.
  std::string plugin_directory;
  int64_t memory_limit_bytes = 64 << 20;
  int threads = 2;
  std::string temp_directory;  // spill; empty: none
  int64_t temp_bytes_max = 1 << 30;
  int64_t idle_close_seconds = 60;
  /// Statements that compute at the same time; more wait in line until their deadline.
  int concurrent_statements_max = 1;
  /// Statements in line beyond which a new one is refused (Busy).
  int waiting_statements_max = 64;
  /// A result that nobody has pulled for so long is dropped by CloseIfIdle, so that it pins no view
  /// of the data.
  int64_t stream_idle_seconds = 60;
  /// What WriteParquet waits for others to give memory back, before it makes do with what there is.
  int64_t file_patience_ms = 2000;
  /// SNOWFLAKE_ID(): one source of ids for the process. Empty: NotAvailable inside the engine.
  std::function<int64_t()> next_snowflake_id;
  /// Asked before each statement; what is not ok is its answer. Empty: all are admitted.
  std::function<Status()> admit;
  MemoryAccount* account = nullptr;
  Metrics* metrics = nullptr;
};

/// A statement that our binder has checked. `sql` is deparsed from our tree in the engine's
/// dialect; every table in it is written `kalam_scan(<index>)`, an index into `sources`.
struct EngineQuery {
  std::string sql;
  std::vector<std::shared_ptr<tables::ScanSource>> sources;
  std::vector<Value> parameters;  // $1..
  /// Names and types that the binder promises; the engine's own types are converted to them.
  ResultSchema schema;
  /// When set, the engine decides types itself and `schema` gives names only (kinds kNull).
  bool infer_types = true;
  int64_t deadline_steady_us = 0;   // 0: none
  std::function<bool()> cancelled;  // polled; may be empty
};

/// A Parquet file to be written from a source, in the order in which its only part gives the rows.
struct ParquetFile {
  std::string local_path;  // is replaced if it exists; removed again on an error
  /// One part; its columns become the columns of the file, by name.
  std::shared_ptr<tables::ScanSource> source;
  /// Parquet field ids, one a column.
  std::vector<int32_t> field_ids;
  /// Every group but the last has exactly so many rows. They are all in memory while the group is
  /// put together: see RowGroupRowsWithin.
  int64_t row_group_rows = 16384;
  int compression_level = 1;                                  // of zstd
  std::vector<std::pair<std::string, std::string>> metadata;  // of the file; keys differ
  int64_t deadline_steady_us = 0;                             // 0: none
  std::function<bool()> cancelled;                            // polled; may be empty
};
struct ParquetFileSummary {
  int64_t row_count = 0;
  int64_t size_bytes = 0;
};

/// Thread-safety: all methods may be called from any worker thread; Execute, Explain,
/// WriteParquet and the stream's Next block. Memory: what the engine's buffers may hold is charged
/// to the account while the instance is open, and they ask it before they hold more.
class Engine {
 public:
  virtual ~Engine() = default;
  /// Ok when statements and files can be asked for; else the NotAvailable that they would end with.
  /// Loads nothing and does not wait: work that is not for a client asks it before it is planned.
  virtual Status CheckAvailable() const = 0;
  /// Runs the statement; rows are produced as the stream is pulled. The stream may outlive the
  /// Engine. While it computes, half of the engine's memory is charged at least. Errors:
  /// MemoryPressure (there is no room for that, or later none for what it needs beyond),
  /// NotAvailable (built or configured without it, or the plugin cannot be loaded: says which
  /// file), Busy (the line is full), Execution (with the engine's text), MemoryExceeded, Timeout,
  /// Cancelled. After an Internal error the instance is opened anew by the next statement.
  virtual Result<std::unique_ptr<RowStream>> Execute(EngineQuery query) = 0;
  /// The engine's plan as text, for EXPLAIN.
  virtual Result<std::string> Explain(EngineQuery query) = 0;
  /// Writes `file` and makes it durable. Does not wait for statements: files wait for each other,
  /// and for memory for a moment. Errors: as Execute, but MemoryExceeded for MemoryPressure as
  /// well; StorageIo (the file cannot be written: the disk is full). After an error there is no
  /// file.
  virtual Result<ParquetFileSummary> WriteParquet(const ParquetFile& file) = 0;
  /// Also while it is being opened. Takes no lock: charges ask it.
  virtual bool loaded() const = 0;
  /// Charges what a statement under way has come to; for whoever watches over memory. Does not
  /// wait.
  virtual void RefreshAccount() {}
  /// Drops results that nobody pulls, and closes the instance if nobody has used it for the idle
  /// time; called by a timer.
  virtual void CloseIfIdle(int64_t now_steady_us) = 0;
  /// Closes the instance at once unless a statement or a stream uses it; memory is short.
  virtual void CloseIfUnused() = 0;
  /// Drops the instance; streams that are still open keep theirs until they end.
  virtual void Close() = 0;
};

/// 16384, or the greatest power of two below it at which WriteParquet stays within the engine's
/// memory, for rows whose widest column takes `row_bytes`. Rows that are wider where they stand
/// together can still end in MemoryExceeded: write the file again with smaller groups.
int64_t RowGroupRowsWithin(int64_t memory_limit_bytes, int64_t row_bytes);

std::unique_ptr<Engine> MakeEngine(const EngineOptions& options);

}  // namespace kalam::analytics

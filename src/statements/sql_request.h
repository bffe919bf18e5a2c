// One SQL request from text to results: splitting, role checks, transactions, EXECUTE AS, DDL,
// audit.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "auth/auth.h"
#include "base/memory_account.h"
#include "base/metrics.h"
#include "base/turn_clock.h"
#include "catalog/catalog.h"
#include "query/query_engine.h"
#include "replication/group.h"
#include "types/row_stream.h"

namespace kalam::tables {
class ChangeRetention;
}

namespace kalam::objects {
class StorageSet;
}
namespace kalam::vectors {
class VectorIndexes;
}
namespace kalam::files {
class FileStore;
class StagingArea;
}  // namespace kalam::files

namespace kalam::analytics {
class Engine;
}
namespace kalam::segments {
class SegmentStore;
}
namespace kalam::tiering {
class Tiering;
}
namespace kalam::statements {

struct RequestInput {
  std::string sql;
  std::vector<Value> parameters;
  std::string namespace_id = "default";
  catalog::Caller caller;
  std::string client_address;
  std::function<bool()> cancelled;  // the client went away; may be empty
  /// The files of a multipart request; null for others. Whatever is not stored goes with it.
  std::shared_ptr<files::StagingArea> staging;
};

/// One entry of `results`. A row result carries `rows`; a command carries `message`.
struct StatementResult {
  MemoryCharge memory;  // what `rows` hold, when they are kept in memory
  std::unique_ptr<RowStream> rows;
  int64_t row_count = 0;
  std::optional<std::string> message;
  std::string as_user;
};

struct RequestError {
  Status status;
  std::string code;     // wire code; HTTP status comes from the kind, or `http_status` if set
  std::string message;  // redacted for callers below dba
  std::string details;  // the statement's text, for dba and system only
  int http_status = 400;
};

/// A request in progress. Drive it with Advance until it is finished. Not thread-safe, but may move
/// between threads.
class SqlRequest {
 public:
  enum class Step : uint8_t {
    kFinished,     // results() or error() hold the answer
    kNeedsWorker,  // call Advance again on a worker thread
    kWaiting,      // a commit is on its way: `wake` will be called once, then call Advance again
  };
  virtual ~SqlRequest() = default;
  /// `wake` may be called on any thread.
  virtual Step Advance(bool on_worker, const std::function<void()>& wake) = 0;
  virtual const RequestError* error() const = 0;
  /// In answer order (batch rules of sql.md 0). A single row result is a live stream: pull it, then
  /// destroy the request.
  virtual std::vector<StatementResult>& results() = 0;
  /// True when the stream of the single result must be pulled on a worker.
  virtual bool rows_need_worker() const = 0;
  /// The rows of the single result, pulled off a worker, are more than a turn's work or answered
  /// NotInMemory. True: the result is forgotten, call Advance again on a worker thread. False: go
  /// on pulling, these rows may read the disk.
  virtual bool RunAgain() = 0;
  /// The rows of the single result failed while they were pulled: what the caller may be told.
  virtual RequestError FailRows(Status status) = 0;
  /// Called after the last row: slow-query log, metrics.
  virtual void Finish(int64_t rows_sent) = 0;
};

/// One row of system.settings.
struct ShownSetting {
  std::string name, value, description, category;
};

/// A line of system.memory that is no account: what the system, the allocator and RocksDB say.
struct MemoryFact {
  std::string account;
  int64_t used_bytes = 0;
  std::optional<int64_t> limit_bytes;
  std::string detail;  // may be empty
};

/// A name and its value, as system.stats lists them.
struct StatSample {
  std::string name;
  std::string value;
  bool only_grows = false;
  std::string_view help = {};  // static; empty where the name says it all
};

/// What `statements` needs from the running server.
struct StatementServices {
  storage::Store& store;
  catalog::Catalog& catalog;
  replication::ReplicationGroup& group;
  query::QueryEngine& query;
  auth::Authenticator& auth;
  const Clock& clock;
  MemoryAccount& memory;
  Metrics& metrics;
  std::function<std::string()> websocket_url;  // for SUBSCRIBE TO
  std::function<bool(std::string_view live_id)> kill_live_query;
  std::function<std::shared_ptr<const RowBuffer>(const ResultSchema&)>
      read_live;                                        // rows of system.live
  std::function<std::vector<ShownSetting>()> settings;  // rows of system.settings
  std::string data_directory;
  std::string log_directory;
  /// Folders of tables in the storage `local`, written when the server starts for the first time.
  std::string shared_tables_template = "{namespace}/{tableName}";
  std::string user_tables_template = "{namespace}/{tableName}/{userId}";
  std::string node_api_address;
  tables::ChangeRetention* change_retention =
      nullptr;                              // what the store asks at compaction; may be null
  objects::StorageSet* storages = nullptr;  // null: statements about storages are not available
  files::FileStore* files = nullptr;        // null: uploads are not available
  tiering::Tiering* tiering = nullptr;      // null: rows are not moved to cold storage
  vectors::VectorIndexes* vector_indexes = nullptr;            // may be null
  std::vector<std::string> allowed_directories = {};           // storage.allowed_directories
  std::function<std::vector<MemoryFact>()> memory_facts = {};  // may be empty
  analytics::Engine* engine = nullptr;         // null: exports have no Parquet files
  segments::SegmentStore* segments = nullptr;  // null: a namespace cannot be restored
  TurnClock* turn_clock = nullptr;             // runs while jobs do; may be null
  /// Of backups and restores, for tests that end the process at a step; may be empty.
  std::function<void(std::string_view step)> fail_point = {};
  /// The data was restored from a backup since the server ran last.
  bool was_restored = false;
};

struct StatementLimits {
  int64_t statement_timeout_ms = 30'000;
  int64_t transaction_timeout_seconds = 300;
  size_t transaction_bytes_max = 100u << 20;
  int64_t slow_query_ms = 1200;
  int64_t statement_memory_bytes = 64 << 20;
  int64_t statements_memory_bytes = 0;  // of all together; 0: no bound
  size_t batch_result_bytes_max = 64u << 20;
  int64_t change_retention_seconds =
      7 * 86'400;  // how long a client may be away and still resume from the log
  int64_t flush_check_interval_seconds = 10;     // between looks at flush policies; 0: never
  int64_t replaced_files_interval_seconds = 60;  // between looks for files that may be deleted
  /// Jobs at the same time, each on a thread of its own; 0: Tick runs them itself.
  int jobs_max_concurrent = 0;
  int64_t job_retention_seconds = 7 * 86'400;  // finished jobs stay in system.jobs
  int64_t user_grace_seconds = 30 * 86'400;    // between DROP USER and the end of the user's rows
  int64_t stream_eviction_interval_seconds = 60;
  bool sample_stats = true;                      // into dba.stats
  int64_t stats_retention_seconds = 7 * 86'400;  // 0: for ever
  int64_t change_log_bytes_max = 0;              // of one table; 0: no bound
};

/// The statement processor, one for the server. Thread-safety: Start may be called from any thread.
class StatementProcessor {
 public:
  static Result<std::unique_ptr<StatementProcessor>> Make(StatementServices services,
                                                          const StatementLimits& limits);
  virtual ~StatementProcessor() = default;
  virtual std::unique_ptr<SqlRequest> Start(RequestInput input) = 0;
  /// Creates root, the storage `local`, namespaces and dba tables at first start; resumes jobs.
  /// Blocks.
  virtual Status Bootstrap(const std::string& root_password_hash) = 0;
  /// One line of system.audit_log. Durable when it returns; worker threads only.
  virtual Status Audit(const catalog::Caller& actor, std::string_view action,
                       std::string_view target, std::optional<std::string> details,
                       std::string_view client_address,
                       std::optional<std::string> subject_user_id) = 0;
  /// Background work that is due (jobs, evictions, dba.stats); called by a timer about once a
  /// second, on a worker.
  virtual void Tick() = 0;
  /// The rows of system.stats. Reads the catalog: worker threads only.
  virtual std::vector<StatSample> Stats() = 0;
  /// Queues flushes to cold storage of at most so many tables, those with the most hot rows and at
  /// least `row_count_min` of them; returns how many. Worker threads only.
  virtual size_t FlushLargest(size_t count_max, int64_t row_count_min) = 0;
  virtual void Close() = 0;
};

}  // namespace kalam::statements

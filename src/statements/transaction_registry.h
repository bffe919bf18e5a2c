// The open transactions of all requests, as system.transactions shows them.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <vector>

namespace kalam::statements {

/// One open explicit transaction. Sizes are as of the request's last statement.
struct OpenTransaction {
  std::string transaction_id;
  std::string owner_id;  // `sql-req-<request id>`
  std::string origin = "SqlBatch";
  std::string state = "open_read";  // open_read, open_write, committing
  int64_t started_us = 0;
  int64_t last_used_us = 0;
  int64_t write_count = 0;
  int64_t write_bytes = 0;
  int64_t touched_tables_count = 0;
  int64_t snapshot_seq = 0;
};

/// Thread-safety: all methods may be called from any thread.
class TransactionRegistry {
 public:
  /// Adds a transaction or replaces what is known of it.
  void Put(const OpenTransaction& transaction);
  void Remove(const std::string& transaction_id);
  /// All open transactions, by id.
  std::vector<OpenTransaction> List() const;

 private:
  mutable std::mutex mutex_;
  std::map<std::string, OpenTransaction> open_;  // guarded by mutex_
};

}  // namespace kalam::statements

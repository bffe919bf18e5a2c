// A whole database in this process, without a network: what the SQL tests talk to.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/status.h"

namespace kalam::sqltest {

/// The answer to one text of SQL.
struct Answer {
  std::vector<std::string> types;  // of the last row result
  std::vector<std::string> rows;   // of the last row result, as README.md writes them
};

/// Where the rows of tables lie when a record of a file runs.
enum class Tier : uint8_t {
  kHot,        // in the store
  kMixed,      // those of before the last record or the one before it: in segments
  kCold,       // all in segments
  kCompacted,  // all in segments, which were merged, and old tombstones dropped
  kRestarted,  // as mixed, in a database that was closed and opened again since
};

struct DatabaseOptions {
  std::string directory;         // made anew
  std::string plugin_directory;  // of the analytical engine
  bool native_selects = true;
};

/// Not thread-safe.
class Database {
 public:
  static Result<std::unique_ptr<Database>> Open(const DatabaseOptions& options);
  virtual ~Database() = default;
  /// Runs `sql` as `user` (root: role dba, others: role user) in the namespace `t`. Errors carry
  /// the client's text.
  virtual Result<Answer> Run(const std::string& sql, const std::string& user) = 0;
  /// Moves rows to where `tier` wants them before the next record.
  virtual Status MoveRows(Tier tier) = 0;
  /// How many rows MoveRows has moved so far, tombstones included.
  virtual int64_t moved_row_count() const = 0;
};

}  // namespace kalam::sqltest

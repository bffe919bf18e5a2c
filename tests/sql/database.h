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
};

}  // namespace kalam::sqltest

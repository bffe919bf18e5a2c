// Reads the files of tests/sql/cases.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"

namespace kalam::sqltest {

enum class RecordKind { kStatement, kQuery, kError, kUser };

/// One record of a file.
struct Record {
  RecordKind kind = RecordKind::kStatement;
  int line = 0;
  std::string sql;                    // the user's name for kUser
  bool sorted = false;                // compare rows in any order
  std::vector<std::string> types;     // expected types of a query; empty: not checked
  std::vector<std::string> expected;  // rows, or parts of the error
  bool native = true, engine = true;  // in which runs it takes part
};

/// Errors: InvalidInput, naming file and line.
Result<std::vector<Record>> ReadCaseFile(const std::string& path);

}  // namespace kalam::sqltest

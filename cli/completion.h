// What Tab offers: keywords, types, meta-commands, namespaces, tables, columns.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "session.h"

namespace kalam::cli {

class Completion {
 public:
  /// Asks the server for names; keeps the old ones when it does not answer.
  void Refresh(Session& session);
  /// The completions of the word at the end of `line`, sorted.
  std::vector<std::string> For(const std::string& line) const;

 private:
  std::vector<std::string> namespaces_;
  std::map<std::string, std::vector<std::string>> columns_by_table_;  // key: namespace.table
};

}  // namespace kalam::cli

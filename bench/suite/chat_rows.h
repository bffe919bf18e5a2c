// The chat history as rows of one shared table, repeated under new users.
#pragma once

#include <cstdint>
#include <string>

#include "messages.h"
#include "suite/environment.h"

namespace kalam::bench {

class ChatRows {
 public:
  /// Reads examples/chat. Errors: StorageIo, InvalidInput.
  static Result<ChatRows> Load();

  /// Rows of one copy of the history.
  int64_t size() const { return static_cast<int64_t>(history_.messages.size()); }
  /// `CREATE SHARED TABLE name (message_id BIGINT PRIMARY KEY, ...)`.
  static std::string CreateTable(const std::string& name);
  /// Inserts the rows of `copies` copies after the first `first_copy` ones. Row n of copy c has the
  /// message_id c * size() + n.
  Status Insert(Environment& environment, const std::string& table, int first_copy,
                int copies) const;
  /// `(message_id, user_id, ...)` of one row, as in VALUES.
  void AppendRow(int copy, int64_t row, int64_t message_id, std::string* sql) const;

 private:
  explicit ChatRows(demo::History history) : history_(std::move(history)) {}
  demo::History history_;
};

}  // namespace kalam::bench

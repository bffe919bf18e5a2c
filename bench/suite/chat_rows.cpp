// The chat history as rows of a table.
#include "suite/chat_rows.h"

#include <fmt/format.h>

#include <utility>

namespace kalam::bench {
namespace {

constexpr int64_t kRowsEachStatement = 1000;

void AppendText(const std::string& text, std::string* sql) {
  *sql += ",'";
  for (const char c : text) {
    if (c == '\'') *sql += '\'';
    *sql += c;
  }
  *sql += '\'';
}

}  // namespace

Result<ChatRows> ChatRows::Load() {
  KALAM_ASSIGN_OR_RETURN(demo::History history,
                         demo::LoadHistory("examples/chat/star_messages.jsonl.gz"));
  return ChatRows(std::move(history));
}

std::string ChatRows::CreateTable(const std::string& name) {
  return "CREATE SHARED TABLE " + name +
         " (message_id BIGINT PRIMARY KEY, user_id TEXT NOT NULL, conversation_id TEXT NOT NULL, "
         "turn INT NOT NULL, role TEXT NOT NULL, content TEXT NOT NULL, domain TEXT, service TEXT, "
         "created_at TIMESTAMP, assistant_id TEXT)";
}

void ChatRows::AppendRow(int copy, int64_t row, int64_t message_id, std::string* sql) const {
  const demo::Message& message = history_.messages[static_cast<size_t>(row)];
  *sql +=
      fmt::format("({},'{}{}','{}-{}',{}", message_id, copy == 0 ? "" : fmt::format("{}-", copy),
                  message.user_id, message.conversation_id, copy, message.turn);
  for (const std::string* text : {&message.role, &message.content, &message.domain,
                                  &message.service, &message.created_at, &message.assistant_id}) {
    if (text->empty()) {
      *sql += ",NULL";
    } else {
      AppendText(*text, sql);
    }
  }
  *sql += ')';
}

Status ChatRows::Insert(Environment& environment, const std::string& table, int first_copy,
                        int copies) const {
  std::string sql;
  for (int copy = first_copy; copy < first_copy + copies; ++copy) {
    for (int64_t begin = 0; begin < size(); begin += kRowsEachStatement) {
      sql = "INSERT INTO " + table +
            " (message_id, user_id, conversation_id, turn, role, content, domain, service, "
            "created_at, assistant_id) VALUES ";
      for (int64_t row = begin; row < std::min(begin + kRowsEachStatement, size()); ++row) {
        if (row > begin) sql += ',';
        AppendRow(copy, row, copy * size() + row, &sql);
      }
      KALAM_RETURN_IF_ERROR(environment.Admin(sql).status());
    }
  }
  return {};
}

}  // namespace kalam::bench

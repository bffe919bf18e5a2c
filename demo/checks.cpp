// The demonstration's questions and what the answers must be.
#include "checks.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "load/http_client.h"

namespace kalam::demo {
namespace {

using Rows = std::vector<std::vector<std::string>>;

std::string CellText(const nlohmann::json& cell) {
  if (cell.is_null()) return "NULL";
  return cell.is_string() ? cell.get<std::string>() : cell.dump();
}

Result<Rows> Ask(load::HttpClient& client, const std::string& token, const std::string& sql) {
  KALAM_ASSIGN_OR_RETURN(const load::HttpResponse response,
                         client.SendOk(load::MakeSql(token, sql)));
  Rows rows;
  try {
    const nlohmann::json answer = nlohmann::json::parse(response.body);
    for (const nlohmann::json& row : answer.at("results").at(0).at("rows")) {
      std::vector<std::string> cells;
      for (const nlohmann::json& cell : row) cells.push_back(CellText(cell));
      rows.push_back(std::move(cells));
    }
  } catch (const nlohmann::json::exception& error) {
    return Status(ErrorKind::InvalidInput, fmt::format("unexpected answer ({}): {}", error.what(),
                                                       response.body.substr(0, 300)));
  }
  return rows;
}

std::string TextOf(const Rows& rows) {
  std::string text;
  for (const auto& row : rows) text += "      " + fmt::format("{}", fmt::join(row, "  ")) + "\n";
  return text;
}

Status Compare(const std::string& question, const std::string& sql, const Rows& answer,
               const Rows& expected) {
  fmt::print("  {}\n    {}\n{}", question, sql, TextOf(answer));
  if (answer == expected) return {};
  return Status(ErrorKind::Execution,
                fmt::format("{}: the file says\n{}", question, TextOf(expected)));
}

struct Conversation {
  std::string user_id, domain;
  int64_t messages = 0;
};

std::map<std::string, Conversation> ConversationsOf(const History& history) {
  std::map<std::string, Conversation> conversations;
  for (const Message& message : history.messages) {
    Conversation& conversation = conversations[message.conversation_id];
    conversation.user_id = message.user_id;
    conversation.domain = message.domain.empty() ? "none" : message.domain;
    ++conversation.messages;
  }
  return conversations;
}

// Largest count first, then by name.
Rows TopRows(const std::map<std::string, int64_t>& counts, size_t limit) {
  std::vector<std::pair<std::string, int64_t>> sorted(counts.begin(), counts.end());
  std::sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) {
    return a.second != b.second ? a.second > b.second : a.first < b.first;
  });
  Rows rows;
  for (size_t i = 0; i < std::min(limit, sorted.size()); ++i) {
    rows.push_back({sorted[i].first, std::to_string(sorted[i].second)});
  }
  return rows;
}

}  // namespace

Status FillConversations(load::ServerProcess& server, const History& history) {
  KALAM_ASSIGN_OR_RETURN(load::HttpClient client, load::HttpClient::Connect(server.port()));
  const std::string token = server.Token("root", "system");
  std::string values;
  size_t rows = 0;
  const auto flush = [&]() -> Status {
    if (rows == 0) return {};
    const std::string sql =
        "INSERT INTO chat.conversations (conversation_id, user_id, domain, messages) VALUES " +
        values;
    values.clear();
    rows = 0;
    return client.SendOk(load::MakeSql(token, sql)).status();
  };
  for (const auto& [id, conversation] : ConversationsOf(history)) {
    values += fmt::format("{}('{}', '{}', '{}', {})", rows == 0 ? "" : ", ", id,
                          conversation.user_id, conversation.domain, conversation.messages);
    if (++rows == 500) KALAM_RETURN_IF_ERROR(flush());
  }
  return flush();
}

Status CheckAnswers(load::ServerProcess& server, const History& history) {
  KALAM_ASSIGN_OR_RETURN(load::HttpClient client, load::HttpClient::Connect(server.port()));
  std::map<std::string, int64_t> by_user;
  for (const Message& message : history.messages) ++by_user[message.user_id];
  const Rows busiest = TopRows(by_user, 5);
  const std::string user = busiest[0][0];
  const std::string root_token = server.Token("root", "system");
  const std::string user_token = server.Token(user, "user");

  std::string sql =
      "SELECT user_id, sum(messages) AS total FROM chat.conversations GROUP BY user_id ORDER BY "
      "total DESC, user_id LIMIT 5";
  KALAM_ASSIGN_OR_RETURN(const Rows busiest_answer, Ask(client, root_token, sql));
  KALAM_RETURN_IF_ERROR(Compare("The busiest users", sql, busiest_answer, busiest));

  std::map<std::string, int64_t> by_hour, by_domain;
  const std::map<std::string, Conversation> conversations = ConversationsOf(history);
  for (const size_t index : history.by_user.at(user)) {
    const Message& message = history.messages[index];
    ++by_hour[message.created_at.substr(11, 2)];
    ++by_domain[conversations.at(message.conversation_id).domain];
  }
  sql =
      "SELECT lpad(CAST(extract(hour FROM created_at) AS TEXT), 2, '0') AS hour, count(*) AS "
      "messages FROM chat.messages "
      "GROUP BY 1 ORDER BY messages DESC, hour LIMIT 5";
  KALAM_ASSIGN_OR_RETURN(const Rows hours, Ask(client, user_token, sql));
  KALAM_RETURN_IF_ERROR(Compare("Messages of " + user + " by hour of the day, as that user", sql,
                                hours, TopRows(by_hour, 5)));

  sql =
      "SELECT c.domain, count(*) AS messages FROM chat.messages m JOIN chat.conversations c "
      "ON c.conversation_id = m.conversation_id GROUP BY c.domain ORDER BY messages DESC, c.domain "
      "LIMIT 5";
  KALAM_ASSIGN_OR_RETURN(const Rows domains, Ask(client, user_token, sql));
  KALAM_RETURN_IF_ERROR(Compare("The same messages by domain: own rows joined with a shared table",
                                sql, domains, TopRows(by_domain, 5)));

  sql = "SELECT count(*) FROM chat.messages";
  for (const auto& [id, count] : by_user) {
    KALAM_ASSIGN_OR_RETURN(const Rows own, Ask(client, server.Token(id, "user"), sql));
    if (own != Rows{{std::to_string(count)}}) {
      return Status(ErrorKind::Execution,
                    fmt::format("{} sees {} messages instead of {}", id, TextOf(own), count));
    }
  }
  fmt::print(
      "  Each of the {} users counts exactly their own messages with the same statement\n    {}\n",
      by_user.size(), sql);
  return {};
}

}  // namespace kalam::demo

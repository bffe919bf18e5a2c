// The commands that begin with a backslash.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/clock.h"
#include "line_editor.h"
#include "shell.h"
#include "subscription.h"

namespace kalam::cli {
namespace {

using Json = nlohmann::json;

constexpr char kHelp[] = R"(Statements end with ; or with an empty line. Commands:

  \quit, \q                      leave
  \help, \?                      this text
  \info, \session                connection, server, session
  \history, \h                   choose from what was typed (also: arrow up on an empty line)
  \health                        is the server well
  \dt, \tables                   tables
  \d, \describe [ns.]table       columns of a table
  \as USER SQL                   run a statement as another user
  \format table|json|csv         how results are shown
  \x [on|off|auto]               a row as a list of its columns; auto: when the table is too wide
  \refresh-tables, \refresh      ask the server for names again (completion)
  \stats, \metrics               the server's figures
  \sessions                      sessions of PostgreSQL clients
  \flush                         move hot rows to cold storage
  \subscribe, \watch, \live SELECT ... [OPTIONS (last_rows=N, batch_size=N, from=N)]
                                 show live changes; Ctrl+C or q comes back
  \unsubscribe, \unwatch          how a subscription ends
  \consume TOPIC                 read a topic (not available yet)
  \show-credentials, \credentials
  \update-credentials USER PASSWORD
  \delete-credentials
  \cluster list [groups] | snapshot | purge N | trigger-election | transfer-leader N | rebalance | stepdown | clear | join ID RPC API
)";

std::string SqlText(const std::string& text) {
  std::string quoted = "'";
  for (const char c : text) quoted += c == '\'' ? std::string("''") : std::string(1, c);
  return quoted + "'";
}

std::string TextField(const Json& json, const char* name) {
  const auto found = json.find(name);
  if (found == json.end() || found->is_null()) return "-";
  return found->is_string() ? found->get<std::string>() : found->dump();
}

void InfoLine(const char* label, const std::string& value) {
  fmt::print("  {:<21}{}\n", std::string(label) + ":", value);
}

}  // namespace

void Shell::Help() const { fmt::print("{}", kHelp); }

void Shell::Info() {
  fmt::print("Connection\n");
  InfoLine("Server", session_.endpoint().Url());
  InfoLine("User", session_.user());
  if (!session_.role().empty()) InfoLine("Role", session_.role());
  fmt::print("Server\n");
  const Result<client::HttpReply> health = session_.Get("/v1/api/healthcheck");
  const Json body = health.ok() ? Json::parse(health->body, nullptr, false) : Json();
  if (body.is_object() && body.contains("status")) {
    InfoLine("Status", TextField(body, "status"));
    InfoLine("Version", TextField(body, "version"));
    InfoLine("API version", TextField(body, "api_version"));
    InfoLine("Build date", TextField(body, "build_date"));
  } else {
    InfoLine("Status", "not shown to other machines");
  }
  fmt::print("Cluster\n");
  const std::string cluster = ClusterId();
  InfoLine("Cluster", cluster.empty() ? "not shown to other machines" : cluster);
  fmt::print("CLI Config\n");
  InfoLine("Credentials", store_.path());
  InfoLine("Format", style_.format == OutputFormat::kTable  ? "table"
                     : style_.format == OutputFormat::kJson ? "json"
                                                            : "csv");
  InfoLine("Color", style_.color ? "on" : "off");
  fmt::print("History\n");
  InfoLine("File", KalamDirectory() + "/history");
  if (editor_ != nullptr) InfoLine("Entries", std::to_string(editor_->history().size()));
  fmt::print("Session\n");
  InfoLine("Statements", std::to_string(statements_run_));
  InfoLine("Open for", fmt::format("{} s", (SystemClock().SteadyUs() - started_us_) / 1'000'000));
}

std::string Shell::ClusterId() {
  const Result<client::HttpReply> reply = session_.Get("/v1/api/cluster/health");
  const Json body = reply.ok() ? Json::parse(reply->body, nullptr, false) : Json();
  return body.is_object() && body.contains("cluster_id") ? TextField(body, "cluster_id") : "";
}

void Shell::ShowHistory() {
  if (editor_ == nullptr || editor_->ChooseNext()) return;
  for (const std::string& entry : editor_->history()) fmt::print("{}\n", entry);
}

bool Shell::Health() {
  const Result<client::HttpReply> reply = session_.Get("/v1/api/cluster/health");
  const Json body = reply.ok() ? Json::parse(reply->body, nullptr, false) : Json();
  if (!body.is_object() || !body.contains("status")) {
    fmt::print(stderr, "Error: {}\n",
               reply.ok() ? "the server tells its health on its own machine only"
                          : reply.status().message());
    return false;
  }
  const std::string status = TextField(body, "status");
  const std::string mark =
      status == "healthy" ? Paint(style_, Color::kGreen, "✓") : Paint(style_, Color::kRed, "✗");
  if (!body.value("is_cluster_mode", false)) {
    fmt::print("{} Server is {} (version {}, node {})\n", mark, status, TextField(body, "version"),
               TextField(body, "node_id"));
    return status == "healthy";
  }
  fmt::print(
      "{} Cluster health: {}\n  Cluster: {} | Nodes: {} total\n  Meta term: {} | Groups: {}/{}\n",
      mark, status, TextField(body, "cluster_id"), body.value("nodes", Json::array()).size(),
      TextField(body, "current_term"), TextField(body, "groups_leading"),
      TextField(body, "total_groups"));
  for (const Json& node : body.value("nodes", Json::array())) {
    fmt::print("  Node {}: {} | {} | {}{}{}\n", TextField(node, "node_id"), TextField(node, "role"),
               TextField(node, "status"), TextField(node, "api_addr"),
               node.value("is_leader", false) ? " [LEADER]" : "",
               node.value("is_self", false) ? " (connected)" : "");
  }
  return status == "healthy";
}

bool Shell::SetListRows(const std::string& arguments) {
  if (arguments == "on" || (arguments.empty() && style_.list_rows != ListRows::kAlways)) {
    style_.list_rows = ListRows::kAlways;
    fmt::print("Rows are shown as lists\n");
  } else if (arguments == "off" || arguments.empty()) {
    style_.list_rows = ListRows::kNever;
    fmt::print("Rows are shown as tables\n");
  } else if (arguments == "auto") {
    style_.list_rows = ListRows::kWhenCut;
    fmt::print("Rows are shown as lists when the table is too wide\n");
  } else {
    return fmt::print(stderr, "Usage: \\x [on|off|auto]\n"), false;
  }
  return true;
}

bool Shell::Cluster(const std::string& arguments) {
  std::string action = arguments;
  for (const auto& [from, to] : {std::pair<std::string, std::string>{"--upto ", "UPTO "},
                                 {"trigger-election", "TRIGGER ELECTION"},
                                 {"transfer-leader", "TRANSFER LEADER"},
                                 {"step-down", "STEPDOWN"}}) {
    if (const size_t at = action.find(from); at != std::string::npos)
      action.replace(at, from.size(), to);
  }
  if (action.empty() || action == "list" || action == "ls") {
    return Query(
        "SELECT node_id, role, status, api_addr, rpc_addr, is_self, is_leader, groups_leading, "
        "total_groups, version "
        "FROM system.cluster ORDER BY node_id");
  }
  if (action == "list groups") {
    return Query(
        "SELECT group_id, group_type, state, current_leader, snapshot, last_applied, current_term "
        "FROM "
        "system.cluster_groups ORDER BY group_id");
  }
  return Query("CLUSTER " + action);
}

bool Shell::Credential(const std::string& command, const std::string& arguments) {
  if (command == "\\delete-credentials") {
    const Result<bool> deleted = store_.Delete(options_.instance);
    fmt::print("{}\n", deleted.ok()
                           ? (*deleted ? "Credentials deleted" : "There are no stored credentials")
                           : "Error: " + deleted.status().message());
    return deleted.ok();
  }
  if (command == "\\update-credentials") {
    std::istringstream words(arguments);
    std::string user, password;
    words >> user >> password;
    if (password.empty()) {
      fmt::print(stderr, "Usage: \\update-credentials USER PASSWORD\n");
      return false;
    }
    Status status = session_.Login(user, password);
    if (status.ok()) status = session_.SaveCredentials();
    fmt::print("{}\n", status.ok() ? "Credentials updated" : "Error: " + status.message());
    return status.ok();
  }
  const auto stored = store_.Load();
  if (!stored.ok() || stored->count(options_.instance) == 0) {
    fmt::print("There are no stored credentials for the instance '{}'\n", options_.instance);
    return stored.ok();
  }
  const Credentials& entry = stored->at(options_.instance);
  InfoLine("Instance", options_.instance);
  InfoLine("Server", entry.server_url);
  InfoLine("User", entry.user);
  InfoLine("Token", "[redacted]");
  InfoLine("Expires", entry.expires_at);
  return true;
}

bool Shell::ExecuteMeta(const std::string& line, Next* next) {
  const size_t space = line.find_first_of(" \t\n");
  std::string command = line.substr(0, space);
  std::string arguments =
      space == std::string::npos ? "" : line.substr(line.find_first_not_of(" \t\n", space));
  while (!arguments.empty() && (arguments.back() == ';' || arguments.back() == ' '))
    arguments.pop_back();
  while (!command.empty() && command.back() == ';') command.pop_back();

  if (command == "\\quit" || command == "\\q") {
    *next = Next::kQuit;
    return true;
  }
  if (command == "\\help" || command == "\\?") return Help(), true;
  if (command == "\\info" || command == "\\session") return Info(), true;
  if (command == "\\health") return Health();
  if (command == "\\history" || command == "\\h") return ShowHistory(), true;
  if (command == "\\unsubscribe" || command == "\\unwatch") {
    fmt::print("A subscription ends with Ctrl+C or q where it is shown.\n");
    return true;
  }
  if (command == "\\consume") {
    return fmt::print(stderr, "Error: Topics are not available yet\n"), false;
  }
  if (command == "\\dt" || command == "\\tables") {
    return Query(
        "SELECT namespace_id AS namespace, table_name, table_type FROM system.tables ORDER BY "
        "namespace_id, table_name");
  }
  if (command == "\\d" || command == "\\describe") {
    if (arguments.empty()) return fmt::print(stderr, "Usage: \\d [namespace.]table\n"), false;
    const size_t dot = arguments.find('.');
    std::string table = dot == std::string::npos ? arguments : arguments.substr(dot + 1);
    std::string where = "table_name = " + SqlText(table);
    if (dot != std::string::npos)
      where += " AND table_schema = " + SqlText(arguments.substr(0, dot));
    return Query(
        "SELECT table_schema AS namespace, table_name, column_name, data_type, is_nullable, "
        "column_default, "
        "ordinal_position AS position FROM information_schema.columns WHERE " +
        where + " ORDER BY table_schema, ordinal_position");
  }
  if (command == "\\as") {
    const size_t gap = arguments.find(' ');
    if (gap == std::string::npos) return fmt::print(stderr, "Usage: \\as USER SQL\n"), false;
    return Query("EXECUTE AS USER " + SqlText(arguments.substr(0, gap)) + " (" +
                 arguments.substr(gap + 1) + ")");
  }
  if (command == "\\format") {
    const Result<OutputFormat> format = ParseOutputFormat(arguments);
    if (!format.ok()) return fmt::print(stderr, "Error: {}\n", format.status().message()), false;
    style_.format = *format;
    fmt::print("Output format set to: {}\n", arguments);
    return true;
  }
  if (command == "\\x") return SetListRows(arguments);
  if (command == "\\refresh-tables" || command == "\\refresh") {
    completion_.Refresh(session_);
    fmt::print("Names refreshed\n");
    return true;
  }
  if (command == "\\stats" || command == "\\metrics") {
    return Query(
        "SELECT metric_name, metric_value FROM system.stats ORDER BY metric_name LIMIT 5000");
  }
  if (command == "\\sessions") return Query("SELECT * FROM system.sessions");
  if (command == "\\flush") return Query("STORAGE FLUSH ALL");
  if (command == "\\subscribe" || command == "\\watch" || command == "\\live") {
    Result<SubscriptionRequest> request = ParseSubscription(arguments);
    Status status = request.status();
    if (status.ok()) {
      request->timeout_s = options_.subscription_timeout_s;
      status = RunSubscription(session_, configuration_, std::move(*request), style_);
    }
    if (!status.ok())
      fmt::print(stderr, "{}\n", Paint(style_, Color::kRed, "Error: " + status.message()));
    return status.ok();
  }
  if (command.find("credentials") != std::string::npos) return Credential(command, arguments);
  if (command == "\\cluster") return Cluster(arguments);
  fmt::print(stderr, "Unknown command: {}. \\help shows the commands.\n", command);
  return false;
}

}  // namespace kalam::cli

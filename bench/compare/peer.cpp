// Requests to a server under measurement.
#include "compare/peer.h"

#include <fmt/format.h>

#include <chrono>
#include <cstdlib>
#include <thread>

#include "load/server_process.h"

namespace kalam::bench {
namespace {

constexpr int kTimeoutMs = 120'000;
// Connections that were not used for so long are made anew: a server closes what is idle for a
// minute or so, and another benchmark, or the other server, may take longer than that.
constexpr int64_t kIdleNs = 10'000'000'000;

Status Check(const load::HttpResponse& response) {
  if (response.status == 200) return {};
  const bool absent = response.body.find("NOT_AVAILABLE") != std::string::npos;
  const auto message = load::FieldText(response.body, "message");
  return Status(
      absent ? ErrorKind::NotAvailable : ErrorKind::Execution,
      message ? std::string(*message)
              : "HTTP " + std::to_string(response.status) + ": " + response.body.substr(0, 400));
}

}  // namespace

Result<std::string> Peer::LogIn(const std::string& user, const std::string& password) const {
  KALAM_ASSIGN_OR_RETURN(load::HttpClient client, load::HttpClient::Connect(options_.endpoint));
  const std::string request = load::MakePost(
      "/v1/api/auth/login", "",
      "{\"user\":" + load::JsonString(user) + ",\"username\":" + load::JsonString(user) +
          ",\"password\":" + load::JsonString(password) + "}");
  KALAM_ASSIGN_OR_RETURN(const load::HttpResponse answer, client.SendOk(request, kTimeoutMs));
  const auto token = load::FieldText(answer.body, "access_token");
  if (!token) return Status(ErrorKind::Execution, "no access_token in the answer of login");
  return std::string(*token);
}

Result<std::unique_ptr<Peer>> Peer::Connect(Options options) {
  std::unique_ptr<Peer> peer(new Peer(std::move(options)));  // NOLINT: the constructor is private
  KALAM_RETURN_IF_ERROR(peer->Grow(1));
  peer->token_ = peer->options_.token;
  if (peer->token_.empty()) {
    KALAM_ASSIGN_OR_RETURN(peer->token_, peer->LogIn(peer->options_.user, peer->options_.password));
  }
  KALAM_RETURN_IF_ERROR(
      peer->Sql("CREATE NAMESPACE IF NOT EXISTS " + peer->options_.namespace_id).status());
  return peer;
}

std::string Peer::Table(std::string_view name) const {
  return options_.namespace_id + "." + std::string(name);
}

Status Peer::Grow(size_t connections) {
  const int64_t now_ns = load::SteadyNs();
  if (now_ns - used_ns_ > kIdleNs) clients_.clear();
  used_ns_ = now_ns;
  while (clients_.size() < connections) {
    KALAM_ASSIGN_OR_RETURN(load::HttpClient client, load::HttpClient::Connect(options_.endpoint));
    clients_.push_back(std::move(client));
  }
  return {};
}

Result<std::string> Peer::Sql(std::string_view sql, std::string_view params_json) {
  KALAM_RETURN_IF_ERROR(Grow(1));
  KALAM_ASSIGN_OR_RETURN(load::HttpResponse response,
                         clients_[0].Send(load::MakeSql(token_, sql, params_json), kTimeoutMs));
  KALAM_RETURN_IF_ERROR(Check(response));
  return std::move(response.body);
}

Result<std::string> Peer::Cell(std::string_view sql) {
  KALAM_ASSIGN_OR_RETURN(const std::string body, Sql(sql));
  const size_t rows = body.find("\"rows\":[[");
  if (rows == std::string::npos)
    return Status(ErrorKind::Execution, "no row: " + body.substr(0, 300));
  size_t begin = rows + 9;
  const size_t end = body.find_first_of(",]", begin);
  std::string cell = body.substr(begin, end - begin);
  if (cell.size() >= 2 && cell.front() == '"') cell = cell.substr(1, cell.size() - 2);
  return cell;
}

Status Peer::Parallel(const std::vector<std::string>& statements) {
  KALAM_RETURN_IF_ERROR(Begin(statements));
  return Finish(statements.size());
}

Status Peer::Begin(const std::vector<std::string>& statements) {
  KALAM_RETURN_IF_ERROR(Grow(statements.size()));
  for (size_t i = 0; i < statements.size(); ++i) {
    KALAM_RETURN_IF_ERROR(clients_[i].socket().SendAll(load::MakeSql(token_, statements[i])));
  }
  return {};
}

Status Peer::Finish(size_t statement_count) {
  Status first;
  for (size_t i = 0; i < statement_count; ++i) {
    KALAM_ASSIGN_OR_RETURN(load::HttpResponse response, clients_[i].Send({}, kTimeoutMs));
    Status status = Check(response);
    if (first.ok()) first = std::move(status);
  }
  return first;
}

Result<int> Peer::Pipeline(const std::vector<std::string>& statements, int connections) {
  const auto lanes = static_cast<size_t>(connections);
  KALAM_RETURN_IF_ERROR(Grow(lanes));
  int failures = 0;
  for (size_t i = 0; i < statements.size() + lanes; ++i) {
    load::HttpClient& lane = clients_[i % lanes];
    if (i >= lanes && i - lanes < statements.size()) {
      KALAM_ASSIGN_OR_RETURN(load::HttpResponse response, lane.Send({}, kTimeoutMs));
      if (!Check(response).ok()) ++failures;
    }
    if (i < statements.size()) {
      KALAM_RETURN_IF_ERROR(lane.socket().SendAll(load::MakeSql(token_, statements[i])));
    }
  }
  return failures;
}

Result<load::WebSocketClient> Peer::OpenSocket() const {
  return load::WebSocketClient::Open(options_.endpoint, token_);
}

Status Peer::LoginAndQuery(const std::string& sql) {
  KALAM_ASSIGN_OR_RETURN(const std::string token, LogIn(options_.user, options_.password));
  KALAM_ASSIGN_OR_RETURN(load::HttpClient client, load::HttpClient::Connect(options_.endpoint));
  return client.SendOk(load::MakeSql(token, sql), kTimeoutMs).status();
}

Result<double> Peer::TimeColdStart(const std::string& sql) {
  if (!options_.restart)
    return Status(ErrorKind::NotAvailable, "give --start COMMAND for a server on this machine");
  clients_.clear();
  KALAM_ASSIGN_OR_RETURN(options_.endpoint, options_.restart());
  const std::string request = load::MakeSql(token_, sql);
  const int64_t begin_ns = load::SteadyNs();
  while (true) {
    const int64_t now_ns = load::SteadyNs();
    Result<load::HttpClient> client = load::HttpClient::Connect(options_.endpoint);
    if (client.ok() && client->SendOk(request, kTimeoutMs).ok()) {
      const double microseconds = static_cast<double>(load::SteadyNs() - begin_ns) / 1000.0;
      clients_.push_back(std::move(*client));
      return microseconds;
    }
    if (now_ns - begin_ns > int64_t{kTimeoutMs} * 1'000'000)
      return Status(ErrorKind::Timeout, "the server did not come back");
    std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
}

Peer::Memory Peer::MeasureMemory() {
  if (const auto pid = load::FindListener(options_.endpoint)) {
    const load::ProcessMemory memory = load::MeasureProcess(*pid);
    if (memory.rss_bytes > 0) return {memory.rss_bytes, memory.private_bytes};
  }
  Memory memory;
  const Result<std::string> rss =
      Cell("SELECT metric_value FROM system.stats WHERE metric_name = 'memory_rss_bytes'");
  if (rss.ok()) memory.rss_bytes = strtoll(rss->c_str(), nullptr, 10);
  return memory;
}

std::string ToText(const Peer::Memory& memory) {
  const auto megabytes = [](int64_t bytes) {
    return fmt::format("{:.1f} MB", static_cast<double>(bytes) / (1 << 20));
  };
  std::string text =
      memory.rss_bytes < 0 ? "memory unknown" : megabytes(memory.rss_bytes) + " resident";
  if (memory.private_bytes >= 0) text += ", " + megabytes(memory.private_bytes) + " private";
  return text;
}

}  // namespace kalam::bench

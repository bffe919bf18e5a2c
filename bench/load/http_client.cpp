// HTTP for load generators.
#include "load/http_client.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <charconv>

#include "types/convert.h"

namespace kalam::load {
namespace {

constexpr std::string_view kHeaderEnd = "\r\n\r\n";

// The value of a header, matched without regard to case; empty when absent.
std::string_view HeaderValue(std::string_view head, std::string_view lower_name) {
  size_t at = 0;
  while ((at = head.find("\r\n", at)) != std::string_view::npos) {
    at += 2;
    const std::string_view line = head.substr(at, head.find("\r\n", at) - at);
    if (line.size() <= lower_name.size() || line[lower_name.size()] != ':') continue;
    bool same = true;
    for (size_t i = 0; i < lower_name.size(); ++i) same = same && (line[i] | 0x20) == lower_name[i];
    if (!same) continue;
    std::string_view value = line.substr(lower_name.size() + 1);
    while (!value.empty() && value.front() == ' ') value.remove_prefix(1);
    return value;
  }
  return {};
}

// Decodes a chunked body from `at` on; false when its end has not come yet.
bool TakeChunks(std::string_view buffer, size_t at, std::string* body, size_t* end) {
  while (true) {
    const size_t line_end = buffer.find("\r\n", at);
    if (line_end == std::string_view::npos) return false;
    size_t size = 0;
    std::from_chars(buffer.data() + at, buffer.data() + line_end, size, 16);
    at = line_end + 2;
    if (buffer.size() < at + size + 2) return false;
    if (size == 0) {
      *end = at + 2;
      return true;
    }
    body->append(buffer.substr(at, size));
    at += size + 2;
  }
}

std::string PostHead(std::string_view path, std::string_view token) {
  std::string head = "POST " + std::string(path) + " HTTP/1.1\r\nHost: 127.0.0.1\r\n";
  if (!token.empty()) head += "Authorization: Bearer " + std::string(token) + "\r\n";
  return head + "Content-Type: application/json\r\nContent-Length: ";
}

}  // namespace

std::string MakeGet(std::string_view path) {
  return "GET " + std::string(path) + " HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
}

std::string MakePost(std::string_view path, std::string_view token, std::string_view json) {
  return PostHead(path, token) + std::to_string(json.size()).append(kHeaderEnd).append(json);
}

std::string JsonString(std::string_view text) {
  std::string json;
  AppendJsonString(text, &json);
  return json;
}

std::string MakeSql(std::string_view token, std::string_view sql, std::string_view params_json) {
  std::string json = "{\"sql\":" + JsonString(sql);
  if (!params_json.empty()) json += ",\"params\":" + std::string(params_json);
  return MakePost("/v1/api/sql", token, json + "}");
}

SqlRequest::SqlRequest(std::string_view token, std::string_view sql)
    : head_(PostHead("/v1/api/sql", token)),
      body_("{\"sql\":" + JsonString(sql) + ",\"params\":") {}

std::string SqlRequest::With(std::string_view params_json) const {
  std::string request;
  request.reserve(head_.size() + body_.size() + params_json.size() + 16);
  request.append(head_).append(std::to_string(body_.size() + params_json.size() + 1));
  return request.append(kHeaderEnd).append(body_).append(params_json).append("}");
}

bool TakeResponse(std::string* buffer, HttpResponse* response) {
  const size_t head_end = buffer->find(kHeaderEnd);
  if (head_end == std::string::npos || buffer->size() < 12) return false;
  const std::string_view head(buffer->data(), head_end + 2);
  response->status = 0;
  std::from_chars(buffer->data() + 9, buffer->data() + 12, response->status);
  const size_t body_begin = head_end + kHeaderEnd.size();
  size_t end = body_begin;
  response->body.clear();
  if (HeaderValue(head, "transfer-encoding") == "chunked") {
    if (!TakeChunks(*buffer, body_begin, &response->body, &end)) return false;
  } else {
    const std::string_view length = HeaderValue(head, "content-length");
    size_t size = 0;
    std::from_chars(length.data(), length.data() + length.size(), size);
    if (buffer->size() < body_begin + size) return false;
    response->body.assign(*buffer, body_begin, size);
    end = body_begin + size;
  }
  buffer->erase(0, end);
  return true;
}

Result<HttpClient> HttpClient::Connect(const Endpoint& endpoint) {
  HttpClient client;
  KALAM_ASSIGN_OR_RETURN(client.socket_, Socket::Connect(endpoint));
  return client;
}

Result<HttpResponse> HttpClient::Send(std::string_view request, int timeout_ms) {
  KALAM_RETURN_IF_ERROR(socket_.SendAll(request));
  HttpResponse response;
  while (!TakeResponse(&buffer_, &response))
    KALAM_RETURN_IF_ERROR(socket_.Receive(&buffer_, timeout_ms));
  return response;
}

Result<HttpResponse> HttpClient::SendOk(std::string_view request, int timeout_ms) {
  KALAM_ASSIGN_OR_RETURN(HttpResponse response, Send(request, timeout_ms));
  if (response.status != 200) {
    return Status(ErrorKind::Execution,
                  "HTTP " + std::to_string(response.status) + ": " + response.body.substr(0, 500));
  }
  return response;
}

Result<LoopResult> RunClosedLoop(const Endpoint& endpoint, int connections, double seconds,
                                 const std::function<std::string(int connection, int64_t n)>& next,
                                 double lead_in_seconds) {
  struct Connection {
    Socket socket;
    std::string buffer;
    int64_t sent = 0;
    int64_t sent_ns = 0;
  };
  std::vector<Connection> clients(static_cast<size_t>(connections));
  const Socket poller(epoll_create1(EPOLL_CLOEXEC));
  for (int i = 0; i < connections; ++i) {
    Connection& client = clients[static_cast<size_t>(i)];
    KALAM_ASSIGN_OR_RETURN(client.socket, Socket::Connect(endpoint));
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u32 = static_cast<uint32_t>(i);
    epoll_ctl(poller.fd(), EPOLL_CTL_ADD, client.socket.fd(), &event);
  }
  LoopResult result;
  int64_t begin_ns = SteadyNs() + static_cast<int64_t>(lead_in_seconds * 1e9);
  const int64_t end_ns = begin_ns + static_cast<int64_t>(seconds * 1e9);
  bool counts = false;
  const auto send_next = [&](int i) {
    Connection& client = clients[static_cast<size_t>(i)];
    const std::string request = next(i, client.sent++);
    client.sent_ns = SteadyNs();
    return client.socket.SendAll(request);
  };
  for (int i = 0; i < connections; ++i) KALAM_RETURN_IF_ERROR(send_next(i));
  std::array<epoll_event, 256> events{};
  HttpResponse response;
  for (int64_t now_ns = SteadyNs(); now_ns < end_ns; now_ns = SteadyNs()) {
    if (!counts && now_ns >= begin_ns) {
      counts = true;
      begin_ns = now_ns;
    }
    const int ready = epoll_wait(poller.fd(), events.data(), static_cast<int>(events.size()), 1000);
    for (int e = 0; e < ready; ++e) {
      const int i = static_cast<int>(events[static_cast<size_t>(e)].data.u32);
      Connection& client = clients[static_cast<size_t>(i)];
      KALAM_RETURN_IF_ERROR(client.socket.Receive(&client.buffer, -1));
      if (!TakeResponse(&client.buffer, &response)) continue;
      if (counts) {
        result.latencies_ns.push_back(SteadyNs() - client.sent_ns);
        ++result.requests;
      }
      if (response.status != 200 && result.failures++ == 0)
        result.first_failure = response.body.substr(0, 300);
      KALAM_RETURN_IF_ERROR(send_next(i));
    }
  }
  result.seconds = static_cast<double>(SteadyNs() - begin_ns) / 1e9;
  return result;
}

}  // namespace kalam::load

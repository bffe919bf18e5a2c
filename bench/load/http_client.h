// HTTP for load generators: prepared requests, keep-alive connections, and a closed loop over many
// of them.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "load/socket.h"

namespace kalam::load {

struct HttpResponse {
  int status = 0;
  std::string body;
};

/// The bytes of a request. `token` empty: without Authorization.
std::string MakeGet(std::string_view path);
std::string MakePost(std::string_view path, std::string_view token, std::string_view json);
/// POST /v1/api/sql with the statement as a JSON string; `params_json` empty or an array.
std::string MakeSql(std::string_view token, std::string_view sql,
                    std::string_view params_json = {});
std::string JsonString(std::string_view text);

/// MakeSql for a statement that is sent again and again with other parameters.
class SqlRequest {
 public:
  SqlRequest(std::string_view token, std::string_view sql);
  std::string With(std::string_view params_json) const;

 private:
  std::string head_;  // up to the length of the body
  std::string body_;  // up to the parameters
};

/// Takes one whole response off the front of `buffer`; false when it is not complete yet.
bool TakeResponse(std::string* buffer, HttpResponse* response);

/// One keep-alive connection, one request at a time.
class HttpClient {
 public:
  static Result<HttpClient> Connect(const Endpoint& endpoint);
  Result<HttpResponse> Send(std::string_view request, int timeout_ms = 30'000);
  /// Sends and fails unless the answer is 200.
  Result<HttpResponse> SendOk(std::string_view request, int timeout_ms = 30'000);
  Socket& socket() { return socket_; }

 private:
  Socket socket_;
  std::string buffer_;
};

struct LoopResult {
  int64_t requests = 0;
  int64_t failures = 0;  // answers other than 200
  double seconds = 0;
  std::vector<int64_t> latencies_ns;
  std::string first_failure;
  double rate() const { return seconds > 0 ? static_cast<double>(requests) / seconds : 0; }
};

/// `connections` clients, each sending its next request as soon as the last one was answered, for
/// `seconds`, on one thread. `next(connection, n)` makes the n-th request of a connection. Nothing
/// is counted in the `lead_in_seconds` before.
Result<LoopResult> RunClosedLoop(const Endpoint& endpoint, int connections, double seconds,
                                 const std::function<std::string(int connection, int64_t n)>& next,
                                 double lead_in_seconds = 0);

}  // namespace kalam::load

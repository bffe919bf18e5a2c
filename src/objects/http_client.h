// One HTTP request and its answer, over connections that are kept.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/status.h"

namespace kalam::objects {

/// What a request carries: bytes, or a part of an open file.
struct HttpBody {
  std::string_view bytes;
  int fd = -1;  // >= 0: `size` bytes from `offset` of this file instead
  int64_t offset = 0;
  int64_t size = 0;

  static HttpBody Of(std::string_view bytes) {
    return {.bytes = bytes, .size = static_cast<int64_t>(bytes.size())};
  }
};

struct HttpRequest {
  std::string method = "GET";
  std::string url;  // percent-encoded; may hold a credential, so no message repeats it
  std::vector<std::pair<std::string, std::string>> headers;
  HttpBody body;
};

struct HttpResponse {
  int status = 0;
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;
  const std::string& header(const std::string& lower_name) const;
};

/// A transfer that ended without an answer.
struct HttpFailure {
  bool may_pass = true;  // trying again makes sense
  std::string reason;    // "Couldn't connect to server (127.0.0.1:9000)"
};

struct HttpOptions {
  int64_t connect_timeout_ms = 5'000;
  int64_t request_timeout_ms = 60'000;
  std::function<bool()> stopping;  // may be empty; asked about once a second
};

/// Thread-safety: any thread; a request blocks its thread until it is answered, has timed out, or
/// `stopping` says true.
class HttpClient {
  struct Rep;

 public:
  explicit HttpClient(HttpOptions options);
  ~HttpClient();

  /// Any answer of the server is a success, whatever its status. Follows no redirect.
  std::variant<HttpResponse, HttpFailure> Send(const HttpRequest& request);

 private:
  const std::unique_ptr<Rep> rep_;
};

}  // namespace kalam::objects

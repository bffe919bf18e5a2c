// HTTP through libcurl: one easy handle a request, handles (and their connections) kept for the
// next.
#include "objects/http_client.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <mutex>

#include "objects/curl_library.h"

namespace kalam::objects {
namespace {

constexpr size_t kIdleHandlesMax = 8;

struct HandleCloser {
  void operator()(CURL* handle) const { Curl().easy_cleanup(handle); }
};
using Handle = std::unique_ptr<CURL, HandleCloser>;

struct ListCloser {
  void operator()(curl_slist* list) const { Curl().slist_free_all(list); }
};
using HeaderList = std::unique_ptr<curl_slist, ListCloser>;

// What the callbacks of one transfer work on.
struct Transfer {
  const HttpBody& body;
  const std::function<bool()>& stopping;
  int64_t sent = 0;
  HttpResponse response;
};

size_t OnBody(char* bytes, size_t, size_t count, void* context) {
  static_cast<Transfer*>(context)->response.body.append(bytes, count);
  return count;
}

size_t OnHeader(char* bytes, size_t, size_t count, void* context) {
  HttpResponse& response = static_cast<Transfer*>(context)->response;
  std::string_view line(bytes, count);
  if (line.starts_with("HTTP/")) response.headers.clear();  // after a 100 Continue
  const size_t colon = line.find(':');
  if (colon == line.npos) return count;
  std::string name(line.substr(0, colon));
  std::transform(name.begin(), name.end(), name.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  std::string_view value = line.substr(colon + 1);
  const size_t begin = value.find_first_not_of(" \t");
  const size_t end = value.find_last_not_of(" \t\r\n");
  value = begin == value.npos ? "" : value.substr(begin, end - begin + 1);
  response.headers[std::move(name)] = value;
  return count;
}

size_t OnRead(char* buffer, size_t, size_t room, void* context) {
  auto& transfer = *static_cast<Transfer*>(context);
  const HttpBody& body = transfer.body;
  const auto wanted =
      static_cast<size_t>(std::min<int64_t>(static_cast<int64_t>(room), body.size - transfer.sent));
  if (wanted == 0) return 0;
  if (body.fd < 0) {
    body.bytes.substr(static_cast<size_t>(transfer.sent), wanted).copy(buffer, wanted);
    transfer.sent += static_cast<int64_t>(wanted);
    return wanted;
  }
  while (true) {
    const ssize_t count = pread(body.fd, buffer, wanted, body.offset + transfer.sent);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return CURL_READFUNC_ABORT;
    transfer.sent += count;
    return static_cast<size_t>(count);
  }
}

int OnSeek(void* context, curl_off_t offset, int origin) {
  if (origin != SEEK_SET) return CURL_SEEKFUNC_CANTSEEK;
  static_cast<Transfer*>(context)->sent = offset;
  return CURL_SEEKFUNC_OK;
}

int OnProgress(void* context, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  const auto& stopping = static_cast<Transfer*>(context)->stopping;
  return stopping && stopping() ? 1 : 0;
}

// Host and port, without what may be a credential.
std::string Peer(const std::string& url) {
  const size_t scheme = url.find("://");
  const size_t begin = scheme == url.npos ? 0 : scheme + 3;
  return url.substr(begin, std::min(url.find_first_of("/?", begin), url.size()) - begin);
}

bool MayPass(CURLcode code) {
  switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_CONNECT:
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_PARTIAL_FILE:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
      return true;
    default:
      return false;
  }
}

void SetMethod(CURL* handle, const HttpRequest& request, Transfer* transfer) {
  if (request.method == "HEAD") {
    Curl().easy_setopt(handle, CURLOPT_NOBODY, 1L);
    return;
  }
  if (request.method == "GET") return;
  Curl().easy_setopt(handle, CURLOPT_CUSTOMREQUEST, request.method.c_str());
  if (request.method == "DELETE") return;
  Curl().easy_setopt(handle, CURLOPT_UPLOAD, 1L);
  Curl().easy_setopt(handle, CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(request.body.size));
  Curl().easy_setopt(handle, CURLOPT_READFUNCTION, OnRead);
  Curl().easy_setopt(handle, CURLOPT_READDATA, transfer);
  Curl().easy_setopt(handle, CURLOPT_SEEKFUNCTION, OnSeek);
  Curl().easy_setopt(handle, CURLOPT_SEEKDATA, transfer);
}

}  // namespace

const std::string& HttpResponse::header(const std::string& lower_name) const {
  static const std::string kNone;
  const auto found = headers.find(lower_name);
  return found == headers.end() ? kNone : found->second;
}

struct HttpClient::Rep {
  explicit Rep(HttpOptions given) : options(std::move(given)) {}

  Handle Take() {
    const std::lock_guard lock(mutex);
    if (idle.empty()) return Handle(Curl().easy_init());
    Handle handle = std::move(idle.back());
    idle.pop_back();
    return handle;
  }
  void Return(Handle handle) {
    Curl().easy_reset(handle.get());
    const std::lock_guard lock(mutex);
    if (idle.size() < kIdleHandlesMax) idle.push_back(std::move(handle));
  }

  const HttpOptions options;
  std::mutex mutex;
  std::vector<Handle> idle;  // guarded by mutex
};

HttpClient::HttpClient(HttpOptions options) : rep_(std::make_unique<Rep>(std::move(options))) {}

HttpClient::~HttpClient() = default;

std::variant<HttpResponse, HttpFailure> HttpClient::Send(const HttpRequest& request) {
  if (Status loaded = LoadCurl(); !loaded.ok()) {
    return HttpFailure{.may_pass = false, .reason = std::string(loaded.message())};
  }
  Handle handle = rep_->Take();
  if (handle == nullptr) return HttpFailure{.may_pass = true, .reason = "out of memory"};
  CURL* curl = handle.get();
  Transfer transfer{.body = request.body, .stopping = rep_->options.stopping, .response = {}};

  HeaderList headers;
  const auto add = [&headers](const std::string& line) {
    curl_slist* longer = Curl().slist_append(headers.get(), line.c_str());
    if (longer == nullptr) return;
    (void)headers.release();
    headers.reset(longer);
  };
  // A header without a value is written with a semicolon.
  for (const auto& [name, value] : request.headers) {
    add(value.empty() ? name + ";" : fmt::format("{}: {}", name, value));
  }
  add("Expect:");  // nobody answers it in time

  Curl().easy_setopt(curl, CURLOPT_URL, request.url.c_str());
  Curl().easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);
  Curl().easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  Curl().easy_setopt(curl, CURLOPT_HTTPHEADER, headers.get());
  Curl().easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  Curl().easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, long{rep_->options.connect_timeout_ms});
  Curl().easy_setopt(curl, CURLOPT_TIMEOUT_MS, long{rep_->options.request_timeout_ms});
  Curl().easy_setopt(curl, CURLOPT_WRITEFUNCTION, OnBody);
  Curl().easy_setopt(curl, CURLOPT_WRITEDATA, &transfer);
  Curl().easy_setopt(curl, CURLOPT_HEADERFUNCTION, OnHeader);
  Curl().easy_setopt(curl, CURLOPT_HEADERDATA, &transfer);
  Curl().easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
  Curl().easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, OnProgress);
  Curl().easy_setopt(curl, CURLOPT_XFERINFODATA, &transfer);
  SetMethod(curl, request, &transfer);

  const CURLcode code = Curl().easy_perform(curl);
  long status = 0;
  Curl().easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
  rep_->Return(std::move(handle));
  if (code == CURLE_OK) {
    transfer.response.status = static_cast<int>(status);
    return std::move(transfer.response);
  }
  if (code == CURLE_ABORTED_BY_CALLBACK && request.body.fd < 0) {
    return HttpFailure{.may_pass = false, .reason = "the server is shutting down"};
  }
  return HttpFailure{
      .may_pass = MayPass(code),
      .reason = fmt::format("{} ({})", Curl().easy_strerror(code), Peer(request.url))};
}

}  // namespace kalam::objects

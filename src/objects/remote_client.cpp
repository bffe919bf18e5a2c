// Retries and the texts of failures.
#include "objects/remote_client.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <random>
#include <thread>

#include "base/clock.h"
#include "base/log.h"

namespace kalam::objects {
namespace {

constexpr int64_t kFirstBackoffMs = 100;
constexpr int64_t kBackoffMaxMs = 5'000;
constexpr int64_t kImpatientMs = 15'000;
constexpr int64_t kPollMs = 50;  // how soon a wait notices that the server stops
constexpr size_t kErrorCodeBytesMax = 64;

bool IsPassing(int status) { return status >= 500 || status == 429 || status == 408; }

// Where the code of S3 (`<Code>`), of Azure (a header) or of OAuth (`"error"`) stands.
std::string RawErrorCode(const HttpResponse& response) {
  if (const std::string& code = response.header("x-ms-error-code"); !code.empty()) return code;
  for (const auto& [open, close] : {std::pair<std::string_view, char>{"<Code>", '<'},
                                    std::pair<std::string_view, char>{"\"error\":\"", '"'},
                                    std::pair<std::string_view, char>{"\"error\": \"", '"'}}) {
    const size_t begin = response.body.find(open);
    if (begin == std::string::npos) continue;
    const size_t from = begin + open.size();
    return response.body.substr(from, response.body.find(close, from) - from);
  }
  return "";
}

}  // namespace

std::string ErrorCodeOf(const HttpResponse& response) {
  // A word; anything else could be a sentence that repeats what was sent.
  std::string code = RawErrorCode(response);
  const bool is_word =
      code.size() <= kErrorCodeBytesMax && std::all_of(code.begin(), code.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               c == '_' || c == '.';
      });
  return is_word ? code : "";
}

RemoteClient::RemoteClient(std::string storage_id, const StorageEnvironment& environment)
    : storage_id_(std::move(storage_id)),
      environment_(environment),
      http_({.connect_timeout_ms = environment.connect_timeout_ms,
             .request_timeout_ms = environment.request_timeout_ms,
             .stopping = environment.stopping}) {}

void RemoteClient::Count(const char* name) const {
  if (environment_.metrics != nullptr) environment_.metrics->counter(name).Add();
}

Status RemoteClient::NoSuchObject(const std::string& path) const {
  return Status(ErrorKind::NotFound,
                fmt::format("Storage '{}' has no object '{}'", storage_id_, path));
}

Status RemoteClient::Refused(std::string_view action, const HttpResponse& response) const {
  const std::string code = ErrorCodeOf(response);
  std::string answer = fmt::format("HTTP {}{}{}", response.status, code.empty() ? "" : " ", code);
  if (response.status == 401 || response.status == 403) {
    answer += "; its credentials are wrong or lack the right";
  } else if (response.status >= 300 && response.status < 400) {
    const std::string& region = response.header("x-amz-bucket-region");
    answer +=
        region.empty() ? "; check endpoint and region" : "; the bucket is in region " + region;
  }
  return Status(ErrorKind::StorageIo,
                fmt::format("Storage '{}' refused to {}: {}", storage_id_, action, answer));
}

// Full jitter: anything up to the backoff, so that many who failed together do not come back
// together. False when the time is over or the server stops.
bool RemoteClient::Wait(int attempt, int64_t give_up_at_ms) const {
  thread_local std::minstd_rand random{std::random_device{}()};
  const int64_t ceiling = std::min(kBackoffMaxMs, kFirstBackoffMs << std::min(attempt - 1, 10));
  int64_t rest = std::uniform_int_distribution<int64_t>(ceiling / 4, ceiling)(random);
  if (SystemClock().SteadyUs() / 1000 + rest > give_up_at_ms) return false;
  while (rest > 0) {
    if (environment_.stopping && environment_.stopping()) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(std::min(rest, kPollMs)));
    rest -= kPollMs;
  }
  return true;
}

Result<HttpResponse> RemoteClient::Send(std::string_view action,
                                        const std::function<Result<HttpRequest>()>& make_request) {
  const int64_t begun_ms = SystemClock().SteadyUs() / 1000;
  const bool is_impatient = begun_ms < impatient_until_ms_.load(std::memory_order_relaxed);
  const int64_t give_up_at_ms = is_impatient ? begun_ms : begun_ms + environment_.retry_for_ms;
  for (int attempt = 1;; ++attempt) {
    if (environment_.stopping && environment_.stopping()) {
      return Status(ErrorKind::StorageIo,
                    fmt::format("Storage '{}' was not asked to {}: the server is shutting down",
                                storage_id_, action));
    }
    KALAM_ASSIGN_OR_RETURN(const HttpRequest request, make_request());
    Count("storage_requests");
    auto outcome = http_.Send(request);
    std::string reason;
    bool may_pass = true;
    if (auto* response = std::get_if<HttpResponse>(&outcome)) {
      if (!IsPassing(response->status)) {
        impatient_until_ms_.store(0, std::memory_order_relaxed);
        return std::move(*response);
      }
      const std::string code = ErrorCodeOf(*response);
      reason = fmt::format("HTTP {}{}{}", response->status, code.empty() ? "" : " ", code);
    } else {
      const auto& failure = std::get<HttpFailure>(outcome);
      reason = failure.reason;
      may_pass = failure.may_pass;
    }
    Count("storage_request_failures");
    if (!may_pass || !Wait(attempt, give_up_at_ms)) {
      const int64_t now_ms = SystemClock().SteadyUs() / 1000;
      if (may_pass) impatient_until_ms_.store(now_ms + kImpatientMs, std::memory_order_relaxed);
      const double seconds = static_cast<double>(now_ms - begun_ms) / 1000.0;
      return Status(
          ErrorKind::StorageIo,
          fmt::format("Storage '{}' did not {}: {}; tried {} in {:.1f} s", storage_id_, action,
                      reason, attempt == 1 ? "once" : fmt::format("{} times", attempt), seconds));
    }
    Count("storage_retries");
    Log(LogLevel::kDebug, "objects", "a request to a storage is repeated",
        {{"storage", storage_id_}, {"attempt", attempt}, {"reason", reason}});
  }
}

}  // namespace kalam::objects

// Requests to an object store with patience: repeated with backoff while it makes sense, and errors
// that name the storage and never a credential.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "objects/http_client.h"
#include "objects/storage_settings.h"

namespace kalam::objects {

/// Thread-safety: any thread.
class RemoteClient {
 public:
  RemoteClient(std::string storage_id, const StorageEnvironment& environment);

  /// Sends what `make_request` gives (asked again for every attempt: signatures carry the time),
  /// until the answer is below 500 and neither 408 nor 429, or the time for repeating is over.
  /// After a request that failed in the end the next ones are tried once each until one is
  /// answered, or none was sent for 15 seconds: not everybody waits for a storage that is down.
  /// `action` is what the message says was tried ("read chat/t/batch-0.parquet"). Errors:
  /// StorageIo, those of `make_request`.
  Result<HttpResponse> Send(std::string_view action,
                            const std::function<Result<HttpRequest>()>& make_request);

  /// The failure that an unexpected answer means. Errors: always StorageIo.
  Status Refused(std::string_view action, const HttpResponse& response) const;
  Status NoSuchObject(const std::string& path) const;
  const std::string& storage_id() const { return storage_id_; }

 private:
  bool Wait(int attempt, int64_t waited_until_ms) const;
  void Count(const char* name) const;

  const std::string storage_id_;
  const StorageEnvironment environment_;
  HttpClient http_;
  /// Until then a request is tried once: the one before failed in the end. 0: it answers.
  std::atomic<int64_t> impatient_until_ms_{0};
};

/// The error code in the answer of an S3 or Azure server ("NoSuchKey"); empty when there is none.
std::string ErrorCodeOf(const HttpResponse& response);

}  // namespace kalam::objects

// Ended sessions and spent refresh tokens: kept on disk until no token of theirs could be valid any
// more.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <unordered_map>

#include "auth/auth.h"

namespace kalam::auth {

/// Records of kSystem: `auth/ended/<session id>` and `auth/spent/<token id>`, value `<since us>
/// <expires s>` as text. Thread-safety: any thread; the writing calls block on a durable write.
class SessionStore {
 public:
  /// Reads what is on disk. Errors: StorageIo.
  Status Load(storage::Store& store, int64_t now_s);
  SessionStore(RecordWriter write_records) : write_records_(std::move(write_records)) {}

  bool IsEnded(const std::string& session_id) const;
  Status End(const std::string& session_id, int64_t now_us, int64_t expires_s);
  /// Since when the refresh token is spent, in microseconds; 0 when it is not.
  int64_t SpentSinceUs(const std::string& token_id) const;
  Status Spend(const std::string& token_id, int64_t now_us, int64_t expires_s);

 private:
  struct Entry {
    int64_t since_us;
    int64_t expires_s;
  };
  using Entries = std::unordered_map<std::string, Entry>;
  Status Write(const char* prefix, Entries* entries, const std::string& id, Entry entry);

  const RecordWriter write_records_;
  mutable std::mutex mutex_;
  Entries ended_;  // guarded by mutex_
  Entries spent_;  // guarded by mutex_
};

}  // namespace kalam::auth

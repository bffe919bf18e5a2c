// Failed logins by user and address: what is locked, for how long.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>

namespace kalam::auth {

/// Locks the pair of user and address after `failures_max` failures in a row; tells when enough
/// addresses are locked that the user should be locked as a whole. Bounded: the oldest entry goes
/// when `entries_max` is reached. Thread-safety: any thread.
class LoginAttempts {
 public:
  LoginAttempts(int failures_max, int64_t lock_us, size_t entries_max = 10'000)
      : failures_max_(failures_max), lock_us_(lock_us), entries_max_(entries_max) {}

  /// Microseconds until the pair is free again; 0 when it is.
  int64_t LockedForUs(const std::string& user, const std::string& address, int64_t now_us);

  /// Counts one failure. True when at least kAddressesToLockUser addresses are locked for this user
  /// now.
  bool AddFailure(const std::string& user, const std::string& address, int64_t now_us);
  void Clear(const std::string& user, const std::string& address);

  static constexpr int kAddressesToLockUser = 3;

 private:
  struct Entry {
    int failures = 0;
    int64_t last_us = 0;
    int64_t locked_until_us = 0;
  };
  void EvictOldest();

  const int failures_max_;
  const int64_t lock_us_;
  const size_t entries_max_;
  std::mutex mutex_;
  std::map<std::pair<std::string, std::string>, Entry>
      entries_;  // guarded by mutex_; key: user, address
};

}  // namespace kalam::auth

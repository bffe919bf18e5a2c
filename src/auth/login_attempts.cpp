// Failed logins by user and address.
#include "auth/login_attempts.h"

#include <algorithm>

namespace kalam::auth {

int64_t LoginAttempts::LockedForUs(const std::string& user, const std::string& address,
                                   int64_t now_us) {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find({user, address});
  return found == entries_.end() ? 0 : std::max<int64_t>(0, found->second.locked_until_us - now_us);
}

bool LoginAttempts::AddFailure(const std::string& user, const std::string& address,
                               int64_t now_us) {
  const std::lock_guard lock(mutex_);
  if (entries_.size() >= entries_max_) EvictOldest();
  Entry& entry = entries_[{user, address}];
  // An entry whose lock has run out, or that slept for a whole lock time, starts over.
  if (entry.last_us + lock_us_ < now_us) entry = Entry();
  entry.last_us = now_us;
  if (++entry.failures < failures_max_) return false;
  entry.locked_until_us = now_us + lock_us_;
  int locked_addresses = 0;
  for (auto other = entries_.lower_bound({user, {}});
       other != entries_.end() && other->first.first == user; ++other) {
    if (other->second.locked_until_us > now_us) ++locked_addresses;
  }
  return locked_addresses >= kAddressesToLockUser;
}

void LoginAttempts::Clear(const std::string& user, const std::string& address) {
  const std::lock_guard lock(mutex_);
  entries_.erase({user, address});
}

void LoginAttempts::EvictOldest() {
  const auto oldest = std::min_element(
      entries_.begin(), entries_.end(),
      [](const auto& a, const auto& b) { return a.second.last_us < b.second.last_us; });
  if (oldest != entries_.end()) entries_.erase(oldest);
}

}  // namespace kalam::auth

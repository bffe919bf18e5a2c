// Token buckets, violations and bans.
#include "server/rate_limiter.h"

#include <algorithm>

namespace kalam::server {

namespace {
// Violations that lead to a ban, and the longest ban as a multiple of ban_seconds (spec of the
// original server).
constexpr double kViolationsForBan = 10;
constexpr double kBanFactorMax = 6;
constexpr int64_t kSecondUs = 1'000'000;
}  // namespace

bool TokenBucket::Take(int64_t per_second, int64_t now_us) {
  if (per_second <= 0) return true;
  const auto rate = static_cast<double>(per_second);
  if (refilled_at_us_ == 0) {
    tokens_ = rate;
  } else {
    const double elapsed_s =
        static_cast<double>(std::max<int64_t>(now_us - refilled_at_us_, 0)) / kSecondUs;
    tokens_ = std::min(rate, tokens_ + elapsed_s * rate);
  }
  refilled_at_us_ = std::max<int64_t>(now_us, 1);
  if (tokens_ < 1) return false;
  tokens_ -= 1;
  return true;
}

RateLimiter::AddressEntry* RateLimiter::Touch(const IpAddress& address, int64_t now_us) {
  if (const auto found = address_index_.find(address); found != address_index_.end()) {
    addresses_.splice(addresses_.begin(), addresses_, found->second);
    addresses_.front().used_at_us = now_us;
    return &addresses_.front();
  }
  // Room is made from the end; entries that hold something move to the front, a few at a time.
  for (int looked = 0; looked < 8 && !addresses_.empty(); ++looked) {
    const AddressEntry& last = addresses_.back();
    const bool idle = now_us - last.used_at_us > limits_.entry_idle_seconds * kSecondUs;
    if (addresses_.size() < limits_.entries_max && !idle) break;
    if (last.connections > 0 || last.banned_until_us > now_us) {
      addresses_.splice(addresses_.begin(), addresses_, std::prev(addresses_.end()));
      continue;
    }
    address_index_.erase(last.address);
    addresses_.pop_back();
  }
  addresses_.emplace_front();
  addresses_.front().address = address;
  addresses_.front().used_at_us = now_us;
  address_index_.emplace(address, addresses_.begin());
  return &addresses_.front();
}

RateVerdict RateLimiter::CheckRequest(const IpAddress& address, int64_t now_us) {
  if (!limits_.protection) return RateVerdict::kAllowed;
  std::lock_guard lock(mutex_);
  AddressEntry& entry = *Touch(address, now_us);
  if (entry.banned_until_us > now_us) return RateVerdict::kBanned;
  if (entry.requests.Take(limits_.requests_per_address, now_us)) return RateVerdict::kAllowed;
  const double faded = static_cast<double>(now_us - entry.violated_at_us) /
                       (static_cast<double>(limits_.ban_seconds) * kSecondUs);
  entry.violations = std::max(0.0, entry.violations - faded) + 1;
  entry.violated_at_us = now_us;
  if (entry.violations >= kViolationsForBan) {
    const double factor = std::min(entry.violations / kViolationsForBan, kBanFactorMax);
    entry.banned_until_us =
        now_us +
        static_cast<int64_t>(static_cast<double>(limits_.ban_seconds) * factor) * kSecondUs;
  }
  return RateVerdict::kTooMany;
}

bool RateLimiter::CheckAuthentication(const IpAddress& address, int64_t now_us) {
  if (!limits_.protection) return true;
  std::lock_guard lock(mutex_);
  return Touch(address, now_us)->authentications.Take(limits_.authentications_per_address, now_us);
}

bool RateLimiter::AcquireConnection(const IpAddress& address, int64_t now_us, int64_t* open) {
  std::lock_guard lock(mutex_);
  AddressEntry& entry = *Touch(address, now_us);
  *open = entry.connections;
  if (limits_.protection && limits_.connections_per_address > 0 &&
      entry.connections >= limits_.connections_per_address) {
    return false;
  }
  ++entry.connections;
  return true;
}

void RateLimiter::ReleaseConnection(const IpAddress& address) {
  std::lock_guard lock(mutex_);
  if (const auto found = address_index_.find(address); found != address_index_.end()) {
    --found->second->connections;
  }
}

bool RateLimiter::CheckQuery(std::string_view user_id, int64_t now_us) {
  if (limits_.queries_per_user <= 0) return true;
  std::lock_guard lock(mutex_);
  auto found = user_index_.find(user_id);
  if (found == user_index_.end()) {
    if (users_.size() >= limits_.entries_max) {
      user_index_.erase(users_.back().user_id);
      users_.pop_back();
    }
    users_.emplace_front();
    users_.front().user_id = user_id;
    found = user_index_.emplace(users_.front().user_id, users_.begin()).first;
  } else {
    users_.splice(users_.begin(), users_, found->second);
  }
  found->second->used_at_us = now_us;
  return found->second->queries.Take(limits_.queries_per_user, now_us);
}

size_t RateLimiter::address_count() const {
  std::lock_guard lock(mutex_);
  return addresses_.size();
}

}  // namespace kalam::server

// Counts per address and per user: token buckets, bans that fade, connections.
#pragma once

#include <cstdint>
#include <list>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

#include "server/address.h"

namespace kalam::server {

/// Tokens that refill with time; a bucket holds one second's worth. A value, 16 bytes.
class TokenBucket {
 public:
  /// Takes a token if there is one. `per_second` 0 sets no limit.
  bool Take(int64_t per_second, int64_t now_us);

 private:
  int64_t refilled_at_us_ = 0;  // 0: full
  double tokens_ = 0;
};

struct RateLimits {
  int64_t requests_per_address = 200;
  int64_t authentications_per_address = 20;
  int64_t connections_per_address = 100;
  int64_t queries_per_user = 100;
  int64_t ban_seconds = 300;
  bool protection = true;
  size_t entries_max = 1000;
  int64_t entry_idle_seconds = 600;
};

/// Why a request is not served, or kAllowed.
enum class RateVerdict : uint8_t { kAllowed, kTooMany, kBanned };

/// Addresses that are exempt (loopback, trusted proxies) must not be asked about. Entries are
/// bounded: the longest unused one makes room, unless it holds a ban or open connections.
/// Thread-safety: any thread.
class RateLimiter {
 public:
  explicit RateLimiter(const RateLimits& limits) : limits_(limits) {}

  /// A request from `address`; a refusal counts as a violation, ten of them ban it.
  RateVerdict CheckRequest(const IpAddress& address, int64_t now_us);
  /// A password login or a failed credential from `address`.
  bool CheckAuthentication(const IpAddress& address, int64_t now_us);
  /// A new connection; false when the address has too many. Every true must be given back with
  /// ReleaseConnection.
  bool AcquireConnection(const IpAddress& address, int64_t now_us, int64_t* open);
  void ReleaseConnection(const IpAddress& address);
  /// A SQL request of a user.
  bool CheckQuery(std::string_view user_id, int64_t now_us);

  const RateLimits& limits() const { return limits_; }
  size_t address_count() const;

 private:
  struct AddressEntry {
    IpAddress address;
    TokenBucket requests;
    TokenBucket authentications;
    int64_t connections = 0;
    int64_t used_at_us = 0;
    int64_t banned_until_us = 0;
    double violations = 0;  // as of violated_at_us; fades by one in each ban time
    int64_t violated_at_us = 0;
  };
  struct UserEntry {
    std::string user_id;
    TokenBucket queries;
    int64_t used_at_us = 0;
  };
  AddressEntry* Touch(const IpAddress& address, int64_t now_us);

  const RateLimits limits_;
  mutable std::mutex mutex_;
  // Most recently used first.  Guarded by mutex_.
  std::list<AddressEntry> addresses_;
  std::unordered_map<IpAddress, std::list<AddressEntry>::iterator, IpAddressHash> address_index_;
  std::list<UserEntry> users_;
  std::unordered_map<std::string_view, std::list<UserEntry>::iterator> user_index_;
};

}  // namespace kalam::server

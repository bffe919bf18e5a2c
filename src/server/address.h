// Network addresses of clients: comparison, loopback, CIDR ranges.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

struct sockaddr;

namespace kalam::server {

/// An IP address; IPv4 is kept as its IPv6-mapped form. A value.
struct IpAddress {
  std::array<uint8_t, 16> bytes{};
  bool operator==(const IpAddress&) const = default;

  /// nullopt for other families.
  static std::optional<IpAddress> FromSocket(const sockaddr* address);
  static std::optional<IpAddress> Parse(std::string_view text);
  /// Exactly 127.0.0.1 and ::1.
  bool is_loopback() const;
  std::string ToString() const;
};

struct IpAddressHash {
  size_t operator()(const IpAddress& address) const;
};

/// A set of addresses and CIDR ranges.
class IpRanges {
 public:
  /// Errors: Config, naming the entry that is neither an address nor a range.
  static Result<IpRanges> Parse(const std::vector<std::string>& entries);
  bool Contains(const IpAddress& address) const;

 private:
  struct Range {
    IpAddress base;
    int prefix_bits = 128;
  };
  std::vector<Range> ranges_;
};

/// The client behind a request: the socket's peer, or what a trusted peer (loopback or in
/// `trusted`) says in the first entry of X-Forwarded-For, else in X-Real-IP. Header values that
/// name a loopback address are ignored.
IpAddress ClientAddress(const IpAddress& peer, std::optional<std::string_view> forwarded_for,
                        std::optional<std::string_view> real_ip, const IpRanges& trusted);

}  // namespace kalam::server

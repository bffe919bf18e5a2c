// Parsing and matching of addresses.
#include "server/address.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <charconv>
#include <cstring>
#include <functional>

namespace kalam::server {
namespace {

constexpr std::array<uint8_t, 12> kMappedPrefix = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

bool IsMapped(const IpAddress& address) {
  return std::memcmp(address.bytes.data(), kMappedPrefix.data(), kMappedPrefix.size()) == 0;
}

IpAddress Mapped(const void* v4) {
  IpAddress address;
  std::memcpy(address.bytes.data(), kMappedPrefix.data(), kMappedPrefix.size());
  std::memcpy(address.bytes.data() + 12, v4, 4);
  return address;
}

std::string_view Trim(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

}  // namespace

std::optional<IpAddress> IpAddress::FromSocket(const sockaddr* address) {
  if (address->sa_family == AF_INET) {
    return Mapped(&reinterpret_cast<const sockaddr_in*>(address)->sin_addr);
  }
  if (address->sa_family != AF_INET6) return std::nullopt;
  IpAddress result;
  std::memcpy(result.bytes.data(), &reinterpret_cast<const sockaddr_in6*>(address)->sin6_addr, 16);
  return result;
}

std::optional<IpAddress> IpAddress::Parse(std::string_view text) {
  const std::string terminated(Trim(text));
  in_addr v4;
  if (inet_pton(AF_INET, terminated.c_str(), &v4) == 1) return Mapped(&v4);
  IpAddress address;
  if (inet_pton(AF_INET6, terminated.c_str(), address.bytes.data()) == 1) return address;
  return std::nullopt;
}

bool IpAddress::is_loopback() const {
  if (IsMapped(*this))
    return bytes[12] == 127 && bytes[13] == 0 && bytes[14] == 0 && bytes[15] == 1;
  IpAddress six;
  six.bytes[15] = 1;
  return *this == six;
}

std::string IpAddress::ToString() const {
  char text[INET6_ADDRSTRLEN];
  if (IsMapped(*this)) return inet_ntop(AF_INET, bytes.data() + 12, text, sizeof text);
  return inet_ntop(AF_INET6, bytes.data(), text, sizeof text);
}

size_t IpAddressHash::operator()(const IpAddress& address) const {
  return std::hash<std::string_view>()(
      {reinterpret_cast<const char*>(address.bytes.data()), address.bytes.size()});
}

Result<IpRanges> IpRanges::Parse(const std::vector<std::string>& entries) {
  IpRanges ranges;
  for (const std::string& entry : entries) {
    const size_t slash = entry.find('/');
    const std::optional<IpAddress> base =
        IpAddress::Parse(std::string_view(entry).substr(0, slash));
    int bits = 128;
    bool good = base.has_value();
    if (good && slash != std::string::npos) {
      const char* end = entry.data() + entry.size();
      const auto [stop, error] = std::from_chars(entry.data() + slash + 1, end, bits);
      const int most = IsMapped(*base) ? 32 : 128;
      good = error == std::errc() && stop == end && bits >= 0 && bits <= most;
      if (IsMapped(*base)) bits += 96;
    }
    if (!good) {
      return Status(ErrorKind::Config, fmt::format("not an address or a CIDR range: {}", entry));
    }
    ranges.ranges_.push_back({*base, bits});
  }
  return ranges;
}

bool IpRanges::Contains(const IpAddress& address) const {
  for (const Range& range : ranges_) {
    const int whole = range.prefix_bits / 8;
    const int rest = range.prefix_bits % 8;
    if (std::memcmp(address.bytes.data(), range.base.bytes.data(), static_cast<size_t>(whole)) != 0)
      continue;
    if (rest == 0) return true;
    const int mask = 0xff << (8 - rest);
    const auto at = static_cast<size_t>(whole);
    if ((address.bytes[at] & mask) == (range.base.bytes[at] & mask)) return true;
  }
  return false;
}

IpAddress ClientAddress(const IpAddress& peer, std::optional<std::string_view> forwarded_for,
                        std::optional<std::string_view> real_ip, const IpRanges& trusted) {
  if (!forwarded_for && !real_ip) return peer;
  if (!peer.is_loopback() && !trusted.Contains(peer)) return peer;
  for (const std::optional<std::string_view>& header : {forwarded_for, real_ip}) {
    if (!header) continue;
    const std::optional<IpAddress> named = IpAddress::Parse(header->substr(0, header->find(',')));
    if (named && !named->is_loopback()) return *named;
  }
  return peer;
}

}  // namespace kalam::server

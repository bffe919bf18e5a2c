// Tests of limits per address and user, and of addresses themselves.
#include "server/rate_limiter.h"

#include <gtest/gtest.h>

#include "server/address.h"

namespace kalam::server {
namespace {

constexpr int64_t kSecond = 1'000'000;

IpAddress Address(std::string_view text) { return *IpAddress::Parse(text); }

TEST(TokenBucket, RefillsWithTime) {
  TokenBucket bucket;
  int64_t now = 5 * kSecond;
  EXPECT_TRUE(bucket.Take(2, now));
  EXPECT_TRUE(bucket.Take(2, now));
  EXPECT_FALSE(bucket.Take(2, now));
  now += kSecond / 2;
  EXPECT_TRUE(bucket.Take(2, now));
  EXPECT_FALSE(bucket.Take(2, now));
  now += 100 * kSecond;  // never more than one second's worth
  EXPECT_TRUE(bucket.Take(2, now));
  EXPECT_TRUE(bucket.Take(2, now));
  EXPECT_FALSE(bucket.Take(2, now));
  EXPECT_TRUE(bucket.Take(0, now));  // no limit
}

TEST(RateLimiter, TenViolationsBanAndTheBanEnds) {
  RateLimiter limiter({.requests_per_address = 1, .ban_seconds = 30});
  const IpAddress address = Address("10.0.0.1");
  int64_t now = kSecond;
  EXPECT_EQ(limiter.CheckRequest(address, now), RateVerdict::kAllowed);
  for (int i = 0; i < 10; ++i)
    EXPECT_EQ(limiter.CheckRequest(address, now), RateVerdict::kTooMany) << i;
  now += 2 * kSecond;
  EXPECT_EQ(limiter.CheckRequest(address, now), RateVerdict::kBanned);
  EXPECT_EQ(limiter.CheckRequest(Address("10.0.0.2"), now), RateVerdict::kAllowed);
  now += 30 * kSecond;
  EXPECT_EQ(limiter.CheckRequest(address, now), RateVerdict::kAllowed);
}

TEST(RateLimiter, ViolationsFade) {
  RateLimiter limiter({.requests_per_address = 1, .ban_seconds = 10});
  const IpAddress address = Address("10.0.0.1");
  int64_t now = kSecond;
  // One violation every twenty seconds never adds up to a ban.
  for (int i = 0; i < 40; ++i) {
    EXPECT_EQ(limiter.CheckRequest(address, now), RateVerdict::kAllowed);
    EXPECT_EQ(limiter.CheckRequest(address, now), RateVerdict::kTooMany);
    now += 20 * kSecond;
  }
}

TEST(RateLimiter, CountsConnections) {
  RateLimiter limiter({.connections_per_address = 2});
  const IpAddress address = Address("10.0.0.1");
  int64_t open = 0;
  EXPECT_TRUE(limiter.AcquireConnection(address, 1, &open));
  EXPECT_TRUE(limiter.AcquireConnection(address, 1, &open));
  EXPECT_FALSE(limiter.AcquireConnection(address, 1, &open));
  EXPECT_EQ(open, 2);
  limiter.ReleaseConnection(address);
  EXPECT_TRUE(limiter.AcquireConnection(address, 1, &open));
}

TEST(RateLimiter, StaysBoundedAndKeepsBans) {
  RateLimiter limiter({.requests_per_address = 1, .ban_seconds = 300, .entries_max = 20});
  const IpAddress bad = Address("10.9.9.9");
  for (int i = 0; i < 12; ++i) (void)limiter.CheckRequest(bad, kSecond);
  for (int i = 0; i < 5000; ++i) {
    (void)limiter.CheckRequest(
        Address("10.1." + std::to_string(i / 250) + "." + std::to_string(i % 250)), 2 * kSecond);
  }
  EXPECT_LE(limiter.address_count(), 21u);
  EXPECT_EQ(limiter.CheckRequest(bad, 3 * kSecond), RateVerdict::kBanned);
}

TEST(RateLimiter, CountsQueriesPerUser) {
  RateLimiter limiter({.queries_per_user = 2, .entries_max = 16});
  EXPECT_TRUE(limiter.CheckQuery("ann", kSecond));
  EXPECT_TRUE(limiter.CheckQuery("ann", kSecond));
  EXPECT_FALSE(limiter.CheckQuery("ann", kSecond));
  EXPECT_TRUE(limiter.CheckQuery("bob", kSecond));
  for (int i = 0; i < 100; ++i)
    EXPECT_TRUE(limiter.CheckQuery("user" + std::to_string(i), kSecond));
}

TEST(IpRanges, MatchesAddressesAndRanges) {
  const auto ranges = IpRanges::Parse({"10.0.0.0/8", "192.168.1.7", "fd00::/9"});
  ASSERT_TRUE(ranges.ok());
  EXPECT_TRUE(ranges->Contains(Address("10.255.0.1")));
  EXPECT_FALSE(ranges->Contains(Address("11.0.0.1")));
  EXPECT_TRUE(ranges->Contains(Address("192.168.1.7")));
  EXPECT_FALSE(ranges->Contains(Address("192.168.1.8")));
  EXPECT_TRUE(ranges->Contains(Address("fd7f::1")));
  EXPECT_FALSE(ranges->Contains(Address("fd80::1")));
  for (const char* wrong : {"10.0.0.0/33", "x", "10.0.0.0/", "10.0.0.0/8x"})
    EXPECT_FALSE(IpRanges::Parse({wrong}).ok());
}

TEST(ClientAddress, TrustsOnlyProxies) {
  const IpRanges trusted = *IpRanges::Parse({"10.0.0.0/8"});
  const IpAddress proxy = Address("10.0.0.1"), stranger = Address("8.8.8.8"),
                  client = Address("9.9.9.9");
  EXPECT_EQ(ClientAddress(proxy, "9.9.9.9, 10.0.0.1", std::nullopt, trusted), client);
  EXPECT_EQ(ClientAddress(proxy, std::nullopt, "9.9.9.9", trusted), client);
  EXPECT_EQ(ClientAddress(stranger, "9.9.9.9", std::nullopt, trusted), stranger);
  EXPECT_EQ(ClientAddress(proxy, "127.0.0.1", std::nullopt, trusted),
            proxy);  // nobody may claim to be local
  EXPECT_EQ(ClientAddress(Address("127.0.0.1"), "9.9.9.9", std::nullopt, trusted), client);
  EXPECT_EQ(ClientAddress(proxy, "nonsense", std::nullopt, trusted), proxy);
}

}  // namespace
}  // namespace kalam::server

// Identifier generators behind SNOWFLAKE_ID(), UUID_V7(), ULID() and our own ids.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <string>

#include "base/clock.h"

namespace kalam {

/// Unique, increasing 63-bit ids: `(ms since epoch) << 22 | node (10 bits) << 12 | counter (12
/// bits)`. A clock that goes back never repeats an id: time stands still until it has caught up.
/// Thread-safety: any thread.
class SnowflakeGenerator {
 public:
  /// `epoch_ms` is added to the Unix epoch (kSeqEpochMs for defaults, 0 for the SQL function); node
  /// 0..1023.
  SnowflakeGenerator(const Clock& clock, int64_t epoch_ms, uint32_t node);
  int64_t Next();

 private:
  const Clock& clock_;
  const int64_t epoch_ms_;
  const uint32_t node_;
  std::atomic<int64_t> last_{0};  // (ms << 12) | counter
};

/// Fills `bytes` from the kernel's random source.
void FillRandom(void* bytes, size_t size);
/// `digits` random hexadecimal digits in lower case.
std::string RandomHex(size_t digits);

/// RFC 9562 version 7, 16 bytes in network order; increasing within a process.
std::array<uint8_t, 16> NewUuidV7(const Clock& clock);
/// RFC 9562 version 7 as 8-4-4-4-12 lower case.
std::string NewUuidV7Text(const Clock& clock);
/// 26 characters of Crockford base32 (github.com/ulid/spec); increasing within a process.
std::string NewUlid(const Clock& clock);

}  // namespace kalam

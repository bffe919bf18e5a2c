// Snowflake ids, UUID version 7 and ULID, all increasing within the process.
#include "base/id_generators.h"

#include <sys/random.h>

#include <algorithm>
#include <cerrno>
#include <mutex>

#include "base/check.h"

namespace kalam {
namespace {

/// Moves `last` to the greater of `wanted` and its successor, and returns the new value.
int64_t NextAtLeast(std::atomic<int64_t>& last, int64_t wanted) {
  int64_t seen = last.load(std::memory_order_relaxed);
  int64_t next;
  do {
    next = std::max(wanted, seen + 1);
  } while (!last.compare_exchange_weak(seen, next, std::memory_order_relaxed));
  return next;
}

void PutTime48(uint64_t ms, uint8_t* out) {
  for (int i = 0; i < 6; ++i) out[i] = static_cast<uint8_t>(ms >> (40 - 8 * i));
}

/// The 80 random bits of the last ULID, to be counted up within a millisecond.
struct UlidState {
  std::mutex mutex;
  uint64_t ms = 0;                    // guarded by mutex
  std::array<uint8_t, 10> entropy{};  // guarded by mutex
};

/// Adds one; false when all bits were set.
bool Increment(std::array<uint8_t, 10>& bytes) {
  for (size_t i = bytes.size(); i-- > 0;) {
    if (++bytes[i] != 0) return true;
  }
  return false;
}

}  // namespace

SnowflakeGenerator::SnowflakeGenerator(const Clock& clock, int64_t epoch_ms, uint32_t node)
    : clock_(clock), epoch_ms_(epoch_ms), node_(node & 0x3FF) {}

int64_t SnowflakeGenerator::Next() {
  int64_t ms = clock_.NowUs() / 1'000 - epoch_ms_;
  int64_t tick = NextAtLeast(last_, std::max<int64_t>(ms, 0) << 12);
  return (tick >> 12) << 22 | static_cast<int64_t>(node_) << 12 | (tick & 0xFFF);
}

void FillRandom(void* bytes, size_t size) {
  auto* out = static_cast<uint8_t*>(bytes);
  while (size > 0) {
    ssize_t got = getrandom(out, size, 0);
    if (got < 0) {
      KALAM_CHECK(errno == EINTR);
      continue;
    }
    out += got;
    size -= static_cast<size_t>(got);
  }
}

std::string RandomHex(size_t digits) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text(digits, '0');
  FillRandom(text.data(), text.size());
  for (char& c : text) c = kDigits[static_cast<uint8_t>(c) & 0xF];
  return text;
}

std::array<uint8_t, 16> NewUuidV7(const Clock& clock) {
  // RFC 9562, 6.2, method 3: the 12 bits after the version are the fraction of the millisecond,
  // counted up where two ids would share it.
  static std::atomic<int64_t> last{0};
  int64_t us = clock.NowUs();
  int64_t tick = NextAtLeast(last, (us / 1'000) << 12 | (us % 1'000) * 4096 / 1'000);
  std::array<uint8_t, 16> uuid;
  PutTime48(static_cast<uint64_t>(tick >> 12), uuid.data());
  uuid[6] = static_cast<uint8_t>(0x70 | (tick >> 8 & 0x0F));
  uuid[7] = static_cast<uint8_t>(tick);
  FillRandom(uuid.data() + 8, 8);
  uuid[8] = static_cast<uint8_t>((uuid[8] & 0x3F) | 0x80);
  return uuid;
}

std::string NewUuidV7Text(const Clock& clock) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::array<uint8_t, 16> uuid = NewUuidV7(clock);
  std::string text;
  text.reserve(36);
  for (size_t i = 0; i < uuid.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    text += kDigits[uuid[i] >> 4];
    text += kDigits[uuid[i] & 0xF];
  }
  return text;
}

std::string NewUlid(const Clock& clock) {
  static UlidState state;
  static constexpr char kDigits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
  std::array<uint8_t, 16> bytes;
  {
    std::lock_guard lock(state.mutex);
    auto ms = static_cast<uint64_t>(std::max<int64_t>(clock.NowUs() / 1'000, 0));
    if (ms > state.ms) {
      state.ms = ms;
      FillRandom(state.entropy.data(), state.entropy.size());
    } else if (!Increment(state.entropy)) {
      ++state.ms;
    }
    PutTime48(state.ms, bytes.data());
    std::copy(state.entropy.begin(), state.entropy.end(), bytes.begin() + 6);
  }
  // 128 bits are 26 digits of 5 bits with two zero bits in front.
  unsigned __int128 number = 0;
  for (uint8_t byte : bytes) number = number << 8 | byte;
  std::string text(26, '0');
  for (size_t i = text.size(); i-- > 0; number >>= 5) {
    text[i] = kDigits[static_cast<size_t>(number & 0x1F)];
  }
  return text;
}

}  // namespace kalam

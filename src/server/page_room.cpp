// Measuring pages, and trimming before saying no.
#include "server/page_room.h"

#include <utility>

namespace kalam::server {
namespace {

constexpr int64_t kTrimIntervalUs = 10'000;

}  // namespace

PageRoom::PageRoom(int64_t budget_bytes, Actions actions)
    : budget_bytes_(budget_bytes),
      actions_(std::move(actions)),
      next_trim_us_(actions_.steady_us()) {}

bool PageRoom::Has(int64_t bytes) {
  if (Fits(bytes)) return true;
  const int64_t now_us = actions_.steady_us();
  int64_t due_us = next_trim_us_.load(std::memory_order_relaxed);
  if (now_us < due_us || !next_trim_us_.compare_exchange_strong(due_us, now_us + kTrimIntervalUs))
    return false;
  actions_.trim();
  return Fits(bytes);
}

}  // namespace kalam::server

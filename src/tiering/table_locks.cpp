// Waiting for a place.
#include "tiering/table_locks.h"

#include <chrono>

namespace kalam::tiering {
namespace {

// How often one that waits looks whether it was cancelled.
constexpr auto kPoll = std::chrono::milliseconds(100);

}  // namespace

Result<TableLocks::Held> TableLocks::Take(const std::string& place,
                                          const std::function<bool()>& cancelled) {
  std::unique_lock lock(mutex_);
  while (taken_.contains(place)) {
    if (cancelled && cancelled()) return Status(ErrorKind::Cancelled, "the job was stopped");
    released_.wait_for(lock, kPoll);
  }
  taken_.insert(place);
  return Held(*this, place);
}

std::optional<TableLocks::Held> TableLocks::TryTake(const std::string& place) {
  const std::lock_guard lock(mutex_);
  if (!taken_.insert(place).second) return std::nullopt;
  return Held(*this, place);
}

void TableLocks::Release(const std::string& place) {
  {
    const std::lock_guard lock(mutex_);
    taken_.erase(place);
  }
  released_.notify_all();
}

}  // namespace kalam::tiering

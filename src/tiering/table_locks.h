// One piece of work on the files of a table at a time.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <set>
#include <string>

#include "base/status.h"

namespace kalam::tiering {

/// Thread-safety: all methods may be called from any thread.
class TableLocks {
 public:
  /// Held while the work goes on.
  class Held {
   public:
    Held(TableLocks& locks, std::string place) : locks_(&locks), place_(std::move(place)) {}
    Held(Held&& other) noexcept : locks_(other.locks_), place_(std::move(other.place_)) {
      other.locks_ = nullptr;
    }
    Held& operator=(Held&&) = delete;
    ~Held() {
      if (locks_ != nullptr) locks_->Release(place_);
    }

   private:
    TableLocks* locks_;
    std::string place_;
  };

  /// Waits for the place, the name of a table with its storage: a table that was dropped and its
  /// successor of the same name share one. Errors: Cancelled.
  Result<Held> Take(const std::string& place, const std::function<bool()>& cancelled);
  /// nullopt when somebody has it.
  std::optional<Held> TryTake(const std::string& place);

 private:
  void Release(const std::string& place);

  std::mutex mutex_;
  std::condition_variable released_;
  std::set<std::string> taken_;  // guarded by mutex_
};

}  // namespace kalam::tiering

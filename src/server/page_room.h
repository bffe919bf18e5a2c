// Whether the pages of the process leave room in the budget: asked before something large is taken.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>

#include "base/memory_account.h"

namespace kalam::server {

/// The guard looks once a second; a burst of large statements is over by then. What it has freed
/// may still be pages of the heap, and what libraries hold is in no account: whoever wants much
/// memory at once is measured against the pages themselves. Thread-safety: any thread.
class PageRoom final : public MemoryRoom {
 public:
  struct Actions {
    std::function<int64_t()> anonymous_bytes;  // that count against the budget
    std::function<void()> trim;                // gives free pages of the heap back
    std::function<int64_t()> steady_us;
  };
  PageRoom(int64_t budget_bytes, Actions actions);

  /// False when so many bytes more would pass the budget, also after a trim. Trims take
  /// milliseconds of whoever asks, so there are few of them in a second.
  bool Has(int64_t bytes) override;

 private:
  bool Fits(int64_t bytes) const { return actions_.anonymous_bytes() + bytes <= budget_bytes_; }

  const int64_t budget_bytes_;
  const Actions actions_;
  std::atomic<int64_t> next_trim_us_;
};

}  // namespace kalam::server

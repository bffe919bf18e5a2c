// Bounds how many statements compute in the engine at once; the others wait in line.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>

#include "base/status.h"

namespace kalam::analytics {

/// A counting gate. Thread-safety: any thread.
class StatementSlots {
 public:
  StatementSlots(int slots, int waiting_max) : free_(slots), waiting_max_(waiting_max) {}
  StatementSlots(const StatementSlots&) = delete;
  StatementSlots& operator=(const StatementSlots&) = delete;

  /// The right to compute, given back when it goes. Must not outlive the gate.
  class Slot {
   public:
    explicit Slot(StatementSlots* slots) : slots_(slots) {}
    Slot(Slot&& other) noexcept : slots_(other.slots_) { other.slots_ = nullptr; }
    Slot& operator=(Slot&&) = delete;
    ~Slot() {
      if (slots_ != nullptr) slots_->Release();
    }

   private:
    StatementSlots* slots_;
  };

  /// Waits for a slot. `deadline_steady_us` 0: for ever. Errors: Busy (too many wait already),
  /// Timeout, Cancelled.
  Result<Slot> Acquire(int64_t deadline_steady_us, const std::function<bool()>& cancelled);

 private:
  void Release();

  std::mutex mutex_;
  std::condition_variable freed_;
  int free_;         // guarded by mutex_
  int waiting_ = 0;  // guarded by mutex_
  const int waiting_max_;
};

}  // namespace kalam::analytics

// Keeps the process inside its memory budget: watches accounts and pages, and sheds in a fixed
// order.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string_view>

#include "base/metrics.h"
#include "base/status.h"

namespace kalam::server {

enum class MemoryLevel : uint8_t { kNormal, kWarning, kCritical };
std::string_view MemoryLevelName(MemoryLevel level);

/// What is done when memory runs short, in the order in which it is done. Also in
/// docs/operations.md: keep the order.
enum class ShedStep : uint8_t {
  kCloseEngine,        // warning: the analytical engine, when nobody uses it
  kShrinkCaches,       // warning: block cache, plans, definitions, memtables
  kReleaseTails,       // warning: recent changes; lagging subscribers read the log
  kRefuseStatements,   // critical: statements of the analytical engine
  kRefuseConnections,  // critical: new connections and subscriptions
};
inline constexpr size_t kShedStepCount = 5;
std::string_view ShedStepName(ShedStep step);

/// Two measures of the same thing: what owners have charged, and what the system sees.
struct MemoryReading {
  int64_t accounted_bytes = 0;
  /// Pages that no file backs, without the allowance for an engine that is open.
  int64_t anonymous_bytes = 0;
  int64_t used_bytes() const {
    return accounted_bytes > anonymous_bytes ? accounted_bytes : anonymous_bytes;
  }
};

/// One per process. Thread-safety: Round by one thread at a time; everything else from any thread.
class MemoryGuard {
 public:
  struct Limits {
    int64_t budget_bytes = 0;
    int64_t warning_bytes = 0;
    int64_t critical_bytes = 0;
  };
  /// What the guard moves. May block; called by Round.
  struct Actions {
    std::function<MemoryReading()> read;
    std::function<void()> close_engine;
    /// True: as small as they work; false: as configured.
    std::function<void(bool small)> shrink_caches;
    /// True: keep none; false: as configured.
    std::function<void(bool released)> release_tails;
    /// Gives free pages of the heap back.
    std::function<void()> trim;
  };
  MemoryGuard(const Limits& limits, Actions actions, Metrics& metrics);

  /// Looks, and sheds or restores; about once a second. One step after the other until what is used
  /// is below the warning level again; statements are refused only when all caches were not enough,
  /// connections only when that was not enough either, a round later.
  void Round();

  MemoryLevel level() const { return level_.load(std::memory_order_relaxed); }
  /// True while the step is in force. (The engine is closed again and again.)
  bool sheds(ShedStep step) const {
    return in_force_[static_cast<size_t>(step)].load(std::memory_order_relaxed);
  }
  const Limits& limits() const { return limits_; }

  /// Ok, or MemoryPressure: the caller tries again later.
  Status AdmitStatement();
  Status AdmitConnection();

 private:
  MemoryLevel LevelOf(const MemoryReading& reading) const;
  MemoryLevel Look();
  /// Brings a step in force and does it.
  void Shed(ShedStep step, const MemoryReading& reading);
  void Restore(ShedStep step);
  void Do(ShedStep step, bool on);
  Status Refusal(std::string_view what) const;

  const Limits limits_;
  const Actions actions_;
  Gauge& level_gauge_;
  Counter& statements_refused_;
  Counter& connections_refused_;
  std::array<Counter*, kShedStepCount> sheds_;
  std::atomic<MemoryLevel> level_{MemoryLevel::kNormal};
  std::array<std::atomic<bool>, kShedStepCount> in_force_{};
  MemoryReading last_;   // of Round
  int calm_rounds_ = 0;  // of Round
};

}  // namespace kalam::server

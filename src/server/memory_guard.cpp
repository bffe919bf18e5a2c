// The order of shedding.
#include "server/memory_guard.h"

#include <fmt/format.h>

#include "base/log.h"

namespace kalam::server {
namespace {

// Below a level by this share of the budget it counts as left: what is used moves by a little all
// the time.
constexpr int64_t kLeavePercent = 5;
// Rounds without pressure before caches may grow again.
constexpr int kCalmRoundsBeforeGrowth = 5;

constexpr ShedStep kCacheSteps[] = {ShedStep::kCloseEngine, ShedStep::kShrinkCaches,
                                    ShedStep::kReleaseTails};

}  // namespace

std::string_view MemoryLevelName(MemoryLevel level) {
  switch (level) {
    case MemoryLevel::kNormal:
      return "normal";
    case MemoryLevel::kWarning:
      return "warning";
    case MemoryLevel::kCritical:
      return "critical";
  }
  return "normal";
}

std::string_view ShedStepName(ShedStep step) {
  switch (step) {
    case ShedStep::kCloseEngine:
      return "close_engine";
    case ShedStep::kShrinkCaches:
      return "shrink_caches";
    case ShedStep::kReleaseTails:
      return "release_tails";
    case ShedStep::kRefuseStatements:
      return "refuse_statements";
    case ShedStep::kRefuseConnections:
      return "refuse_connections";
  }
  return "";
}

MemoryGuard::MemoryGuard(const Limits& limits, Actions actions, Metrics& metrics)
    : limits_(limits),
      actions_(std::move(actions)),
      level_gauge_(metrics.gauge("memory_level")),
      statements_refused_(metrics.counter("memory_statements_refused")),
      connections_refused_(metrics.counter("memory_connections_refused")) {
  for (size_t i = 0; i < kShedStepCount; ++i) {
    sheds_[i] =
        &metrics.counter(fmt::format("memory_shed_{}", ShedStepName(static_cast<ShedStep>(i))));
  }
}

MemoryLevel MemoryGuard::LevelOf(const MemoryReading& reading) const {
  const int64_t used = reading.used_bytes();
  const int64_t margin = limits_.budget_bytes / 100 * kLeavePercent;
  const MemoryLevel now = level();
  const int64_t critical = limits_.critical_bytes - (now == MemoryLevel::kCritical ? margin : 0);
  const int64_t warning = limits_.warning_bytes - (now != MemoryLevel::kNormal ? margin : 0);
  if (used >= critical) return MemoryLevel::kCritical;
  return used >= warning ? MemoryLevel::kWarning : MemoryLevel::kNormal;
}

MemoryLevel MemoryGuard::Look() {
  last_ = actions_.read();
  const MemoryLevel before = level();
  const MemoryLevel now = LevelOf(last_);
  if (now == before) return now;
  level_.store(now, std::memory_order_relaxed);
  level_gauge_.Set(static_cast<int64_t>(now));
  Log(now > before ? LogLevel::kWarn : LogLevel::kInfo, "server.memory", "the memory level changed",
      {{"from", MemoryLevelName(before)},
       {"to", MemoryLevelName(now)},
       {"accounted_bytes", last_.accounted_bytes},
       {"anonymous_bytes", last_.anonymous_bytes},
       {"budget_bytes", limits_.budget_bytes}});
  return now;
}

void MemoryGuard::Round() {
  MemoryLevel now = Look();
  if (now == MemoryLevel::kNormal) {
    Restore(ShedStep::kRefuseConnections);
    Restore(ShedStep::kRefuseStatements);
    if (++calm_rounds_ < kCalmRoundsBeforeGrowth) return;
    Restore(ShedStep::kReleaseTails);
    Restore(ShedStep::kShrinkCaches);
    Restore(ShedStep::kCloseEngine);
    return;
  }
  calm_rounds_ = 0;
  for (const ShedStep step : kCacheSteps) {
    Shed(step, last_);
    actions_.trim();
    now = Look();
    if (now == MemoryLevel::kNormal) return;
  }
  if (now != MemoryLevel::kCritical) {
    Restore(ShedStep::kRefuseConnections);
    Restore(ShedStep::kRefuseStatements);
    return;
  }
  if (!sheds(ShedStep::kRefuseStatements)) {
    Shed(ShedStep::kRefuseStatements, last_);
  } else {
    Shed(ShedStep::kRefuseConnections, last_);
  }
}

void MemoryGuard::Shed(ShedStep step, const MemoryReading& reading) {
  const bool was = in_force_[static_cast<size_t>(step)].exchange(true);
  if (!was) {
    sheds_[static_cast<size_t>(step)]->Add();
    Log(LogLevel::kWarn, "server.memory", "memory is short",
        {{"step", ShedStepName(step)},
         {"level", MemoryLevelName(level())},
         {"accounted_bytes", reading.accounted_bytes},
         {"anonymous_bytes", reading.anonymous_bytes},
         {"budget_bytes", limits_.budget_bytes}});
  }
  Do(step, true);
}

void MemoryGuard::Restore(ShedStep step) {
  if (!in_force_[static_cast<size_t>(step)].exchange(false)) return;
  Log(LogLevel::kInfo, "server.memory", "memory suffices again", {{"step", ShedStepName(step)}});
  Do(step, false);
}

void MemoryGuard::Do(ShedStep step, bool on) {
  switch (step) {
    case ShedStep::kCloseEngine:
      if (on) actions_.close_engine();
      break;
    case ShedStep::kShrinkCaches:
      actions_.shrink_caches(on);
      break;
    case ShedStep::kReleaseTails:
      actions_.release_tails(on);
      break;
    case ShedStep::kRefuseStatements:
    case ShedStep::kRefuseConnections:
      break;
  }
}

Status MemoryGuard::Refusal(std::string_view what) const {
  return Status(
      ErrorKind::MemoryPressure,
      fmt::format("The server is short of memory and takes no {} for a moment; try again", what));
}

Status MemoryGuard::AdmitStatement() {
  if (!sheds(ShedStep::kRefuseStatements)) return Status::Ok();
  statements_refused_.Add();
  return Refusal("complex statements");
}

Status MemoryGuard::AdmitConnection() {
  if (!sheds(ShedStep::kRefuseConnections)) return Status::Ok();
  connections_refused_.Add();
  return Refusal("further connections and subscriptions");
}

}  // namespace kalam::server

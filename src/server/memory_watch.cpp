// What the guard reads and what its steps do.
#include "server/memory_watch.h"

#include <algorithm>

#include "base/log.h"
#include "base/process_memory.h"
#include "live/live_hub.h"

namespace kalam::server {
namespace {

// What an open engine holds outside of its own accounting: 6.3 MB once it is open (relocated data
// of its library, stacks, its catalog), and beside its pool up to 21 MB while it joins 100,000 rows
// within a limit of 16 MiB, most of it for moments.
constexpr int64_t kEngineAllowanceBytes = 16 << 20;
// Of that, what it holds before it computes anything.
constexpr int64_t kOpenEngineBytes = 6 << 20;
// Whoever was granted memory a moment ago has not touched its pages yet, and blocks of the cache may
// have taken the place of a memtable whose pages are still the heap's.
constexpr int64_t kUntouchedBytes = 2 << 20;
// The block cache while memory is short.
constexpr int64_t kSmallBlockCacheBytes = 512 << 10;
// Plans, definitions and columns of cold files are forgotten at most so often: what is used comes
// back at once.
constexpr int64_t kCacheClearIntervalUs = 10'000'000;
// Memtables are written out while memory is short when they hold at least so much, at most so
// often: many small files would cost more than they free.
constexpr int64_t kFlushedMemtableBytesMin = 1 << 20;
constexpr int64_t kMemtableFlushIntervalUs = 30'000'000;
// The same for a server at rest, where a small file costs nobody anything.
constexpr int64_t kRestingMemtableBytesMin = 512 << 10;
// The largest hot table goes to cold storage while the store holds more than the budget, at most so
// often: its blocks, indexes and compactions are what the caches are filled with.
constexpr int64_t kFlushedRowsMin = 10'000;
constexpr int64_t kTableFlushIntervalUs = 60'000'000;

}  // namespace

MemoryWatch::MemoryWatch(const Parts& parts)
    : parts_(parts),
      caches_cleared_us_(parts.clock.SteadyUs() - kCacheClearIntervalUs),
      memtables_flushed_us_(parts.clock.SteadyUs()),
      rows_moved_us_(parts.clock.SteadyUs()),
      guard_({parts.plan.budget_bytes, parts.plan.warning_bytes, parts.plan.critical_bytes},
             {.read = [this] { return Read(); },
              .close_engine = [this] { parts_.engine.CloseIfUnused(); },
              .shrink_caches = [this](bool small) { ShrinkCaches(small); },
              .release_tails =
                  [this](bool released) {
                    BoundTails(released ? 0
                                        : parts_.plan.change_tail_bytes /
                                              std::max<size_t>(parts_.cores.size(), 1));
                  },
              .trim = [] { TrimAllocator(); }},
             parts.metrics),
      room_(parts.plan.budget_bytes - kUntouchedBytes,
            {.anonymous_bytes = [this] { return AnonymousBytesBesideOpenEngine(); },
             .trim = [] { TrimAllocator(); },
             .steady_us = [this] { return parts_.clock.SteadyUs(); }}) {
  parts.memory.set_room(&room_);
}

MemoryWatch::~MemoryWatch() { parts_.memory.set_room(nullptr); }

bool MemoryWatch::NeedsRound() {
  return guard_.level() != MemoryLevel::kNormal || guard_.sheds(ShedStep::kCloseEngine) ||
         Read().used_bytes() >= parts_.plan.warning_bytes;
}

MemoryReading MemoryWatch::Read() {
  parts_.store.RefreshAccounts();
  parts_.engine.RefreshAccount();
  return {.accounted_bytes = parts_.memory.used_bytes(), .anonymous_bytes = AnonymousBytes()};
}

// Whoever asks for much is not granted what the engine has been allowed and does not use yet.
int64_t MemoryWatch::AnonymousBytesBesideOpenEngine() const {
  return ReadProcessMemory().anonymous_bytes - (parts_.engine.loaded() ? kOpenEngineBytes : 0);
}

int64_t MemoryWatch::AnonymousBytes() const {
  return ReadProcessMemory().anonymous_bytes - (parts_.engine.loaded() ? kEngineAllowanceBytes : 0);
}

void MemoryWatch::ShrinkCaches(bool small) {
  const int64_t configured = parts_.plan.block_cache_bytes;
  parts_.store.SetBlockCacheCapacity(small ? std::min(configured, kSmallBlockCacheBytes)
                                           : configured);
  const int64_t now_us = parts_.clock.SteadyUs();
  if (!small || now_us < caches_cleared_us_ + kCacheClearIntervalUs) return;
  caches_cleared_us_ = now_us;
  ForgetWhatIsCached();
  if (parts_.forget_vector_graphs) parts_.forget_vector_graphs();
  if (now_us - memtables_flushed_us_ >= kMemtableFlushIntervalUs) {
    memtables_flushed_us_ = now_us;
    WriteOutMemtables(kFlushedMemtableBytesMin);
  }
  MoveRowsToColdStorage(now_us);
}

int64_t MemoryWatch::activity() const {
  int64_t sum = 0;
  for (const char* name :
       {"http_requests", "live_deliveries", "live_snapshot_batches", "live_catch_up_reads"})
    sum += parts_.metrics.counter(name).value();
  return sum;
}

void MemoryWatch::Rest() {
  ForgetWhatIsCached();
  WriteOutMemtables(kRestingMemtableBytesMin);
  parts_.store.SetBlockCacheCapacity(0);
  if (!guard_.sheds(ShedStep::kShrinkCaches))
    parts_.store.SetBlockCacheCapacity(parts_.plan.block_cache_bytes);
  TrimAllocator();
}

void MemoryWatch::ForgetWhatIsCached() {
  parts_.query.ClearPlanCache();
  parts_.catalog.ForgetCachedDefinitions();
  if (parts_.release_segments) parts_.release_segments();
}

void MemoryWatch::WriteOutMemtables(int64_t bytes_min) {
  if (parts_.store.properties().memtable_bytes < bytes_min) return;
  if (const Status status = parts_.store.FlushMemtables(); !status.ok()) {
    Log(LogLevel::kWarn, "server.memory", "memtables were not written out",
        {{"error", status.ToString()}});
  }
}

// Not while it is critical: writing a segment takes memory before it gives any back.
void MemoryWatch::MoveRowsToColdStorage(int64_t now_us) {
  if (guard_.level() == MemoryLevel::kCritical || now_us - rows_moved_us_ < kTableFlushIntervalUs ||
      parts_.store.properties().live_data_bytes < parts_.plan.budget_bytes) {
    return;
  }
  rows_moved_us_ = now_us;
  if (parts_.flush_largest(1, kFlushedRowsMin) > 0)
    Log(LogLevel::kInfo, "server.memory", "the largest table goes to cold storage");
}

void MemoryWatch::BoundTails(size_t bytes) {
  for (Core* core : parts_.cores) {
    if (core->context().hub == nullptr) continue;
    core->loop().Post([core, bytes] { core->context().hub->SetTailBytes(bytes); });
  }
}

MemoryReportSources MemoryWatch::ReportSources() {
  parts_.store.RefreshAccounts();
  return {.root = parts_.memory, .plan = parts_.plan, .guard = guard_, .store = parts_.store};
}

}  // namespace kalam::server

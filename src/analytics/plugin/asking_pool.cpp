// Stands before every reservation of the engine's pool.
#include "analytics/plugin/asking_pool.h"

#include <algorithm>
#include <utility>

namespace kalam::analytics {
namespace {

/// Counted for as long as it lives.
class Arriving {
 public:
  Arriving(std::atomic<int64_t>* sum, int64_t bytes)
      : sum_(sum), bytes_(bytes), all_bytes_(sum->fetch_add(bytes) + bytes) {}
  Arriving(const Arriving&) = delete;
  Arriving& operator=(const Arriving&) = delete;
  ~Arriving() { sum_->fetch_sub(bytes_); }
  int64_t all_bytes() const { return all_bytes_; }

 private:
  std::atomic<int64_t>* const sum_;
  const int64_t bytes_;
  const int64_t all_bytes_;
};

}  // namespace

AskingPool::AskingPool(int64_t limit_bytes, duckdb::idx_t flush_threshold_bytes,
                       std::function<int64_t(int64_t)> reach)
    : BufferPool(static_cast<duckdb::idx_t>(limit_bytes), false, flush_threshold_bytes),
      limit_bytes_(limit_bytes),
      reach_(std::move(reach)) {}

int64_t AskingPool::held_bytes() const {
  // In this order: what arrives meanwhile is counted twice rather than not at all.
  const int64_t arriving = arriving_bytes_.load();
  return arriving + static_cast<int64_t>(GetUsedMemory());
}

AskingPool::EvictionResult AskingPool::EvictBlocks(duckdb::MemoryTag tag,
                                                   duckdb::idx_t extra_memory,
                                                   duckdb::idx_t memory_limit,
                                                   duckdb::unique_ptr<duckdb::FileBuffer>* buffer) {
  if (!reach_) return BufferPool::EvictBlocks(tag, extra_memory, memory_limit, buffer);
  const Arriving arriving(&arriving_bytes_, static_cast<int64_t>(extra_memory));
  const auto used = static_cast<int64_t>(memory_usage.GetUsedMemory(MemoryUsageCaches::NO_FLUSH));
  const int64_t needed = std::min(used + arriving.all_bytes(), limit_bytes_);
  const int64_t granted = reach_(needed);
  if (granted < needed) refused_count_.fetch_add(1, std::memory_order_relaxed);
  return BufferPool::EvictBlocks(
      tag, extra_memory, std::min(memory_limit, static_cast<duckdb::idx_t>(granted)), buffer);
}

}  // namespace kalam::analytics

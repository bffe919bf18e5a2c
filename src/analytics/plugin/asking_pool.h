// The engine's buffer pool, which asks the server before it holds more than it was granted.
#pragma once

#include <atomic>
#include <cstdint>
#include <duckdb/storage/buffer/buffer_pool.hpp>
#include <functional>

namespace kalam::analytics {

/// Where no more is granted it does what it does at its limit: evicts what can go to disk, or fails
/// the statement.
class AskingPool : public duckdb::BufferPool {
 public:
  /// `reach`: InstanceOptions::reach_pool_bytes.
  AskingPool(int64_t limit_bytes, duckdb::idx_t flush_threshold_bytes,
             std::function<int64_t(int64_t)> reach);

  /// With what is being taken at the moment.
  int64_t held_bytes() const;
  /// How often there was no room for more.
  int64_t refused_count() const { return refused_count_.load(std::memory_order_relaxed); }

 protected:
  EvictionResult EvictBlocks(duckdb::MemoryTag tag, duckdb::idx_t extra_memory,
                             duckdb::idx_t memory_limit,
                             duckdb::unique_ptr<duckdb::FileBuffer>* buffer) override;

 private:
  const int64_t limit_bytes_;
  const std::function<int64_t(int64_t)> reach_;  // may be empty
  // Asked for and not yet in the pool's own count: the host never settles for less.
  std::atomic<int64_t> arriving_bytes_{0};
  std::atomic<int64_t> refused_count_{0};
};

}  // namespace kalam::analytics

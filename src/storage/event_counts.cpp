// The few of RocksDB's tickers that are shown, and the events that have no ticker.
#include "storage/event_counts.h"

#include <fmt/format.h>
#include <rocksdb/db.h>
#include <rocksdb/listener.h>
#include <rocksdb/statistics.h>
#include <sched.h>

#include <array>
#include <atomic>

namespace kalam::storage {
namespace {

/// What is counted is an event, a byte, or a microsecond that is shown as a part of a second.
enum class Unit : uint8_t { kOne, kMicrosecond };

struct Shown {
  uint32_t ticker;
  const char* name;
  const char* help;
  Unit unit = Unit::kOne;
};

// Events, numbered behind RocksDB's own tickers.
constexpr uint32_t kCompactions = rocksdb::TICKER_ENUM_MAX;
constexpr uint32_t kCompactionMicroseconds = rocksdb::TICKER_ENUM_MAX + 1;
constexpr uint32_t kFlushes = rocksdb::TICKER_ENUM_MAX + 2;
constexpr uint32_t kBackgroundErrors = rocksdb::TICKER_ENUM_MAX + 3;
constexpr uint32_t kWriteStops = rocksdb::TICKER_ENUM_MAX + 4;
constexpr uint32_t kTickerEnd = rocksdb::TICKER_ENUM_MAX + 5;

constexpr Shown kShown[] = {
    {rocksdb::BLOCK_CACHE_HIT, "block_cache_hits_total", "Blocks found in the block cache."},
    {rocksdb::BLOCK_CACHE_MISS, "block_cache_misses_total",
     "Blocks that had to be read from a file."},
    {rocksdb::BLOCK_CACHE_BYTES_READ, "block_cache_read_bytes_total",
     "Bytes of the blocks found in the block cache."},
    {rocksdb::BLOCK_CACHE_BYTES_WRITE, "block_cache_added_bytes_total",
     "Bytes of the blocks put into the block cache."},
    {rocksdb::BLOOM_FILTER_USEFUL, "bloom_filter_useful_total",
     "Files that a bloom filter spared a read of a key."},
    {rocksdb::BLOOM_FILTER_FULL_POSITIVE, "bloom_filter_positives_total",
     "Files that a bloom filter let a read of a key through to."},
    {rocksdb::BLOOM_FILTER_FULL_TRUE_POSITIVE, "bloom_filter_true_positives_total",
     "Those of them that had the key."},
    {rocksdb::MEMTABLE_HIT, "memtable_hits_total", "Reads of a key that a memtable answered."},
    {rocksdb::MEMTABLE_MISS, "memtable_misses_total", "Reads of a key that went on to files."},
    {rocksdb::NUMBER_KEYS_READ, "keys_read_total", "Keys asked for one by one."},
    {rocksdb::NUMBER_KEYS_WRITTEN, "keys_written_total", "Keys written, deletions included."},
    {rocksdb::NUMBER_DB_SEEK, "seeks_total", "Positions sought by scans."},
    {rocksdb::BYTES_READ, "read_bytes_total", "Bytes of the values read one by one."},
    {rocksdb::ITER_BYTES_READ, "scanned_bytes_total", "Bytes of the keys and values of scans."},
    {rocksdb::BYTES_WRITTEN, "written_bytes_total", "Bytes written by commits."},
    {rocksdb::WAL_FILE_SYNCED, "wal_syncs_total", "Syncs of the write-ahead log."},
    {rocksdb::WAL_FILE_BYTES, "wal_written_bytes_total", "Bytes written to the log."},
    {kFlushes, "flushes_total", "Memtables written out as files."},
    {rocksdb::FLUSH_WRITE_BYTES, "flush_written_bytes_total",
     "Bytes of files written from memtables."},
    {kCompactions, "compactions_total", "Compactions that ended."},
    {kCompactionMicroseconds, "compaction_seconds_total", "Time spent in compactions.",
     Unit::kMicrosecond},
    {rocksdb::COMPACT_READ_BYTES, "compaction_read_bytes_total", "Bytes read by compactions."},
    {rocksdb::COMPACT_WRITE_BYTES, "compaction_written_bytes_total",
     "Bytes written by compactions."},
    {rocksdb::STALL_MICROS, "stall_seconds_total",
     "Time that writes waited because flushes or compactions were behind.", Unit::kMicrosecond},
    {kWriteStops, "write_stops_total",
     "How often writes of a family were stopped for flushes or compactions."},
    {kBackgroundErrors, "background_errors_total",
     "Failed flushes and compactions, and failed writes of the log."},
};
constexpr size_t kShownCount = std::size(kShown);
constexpr uint8_t kNotShown = 0xff;
static_assert(kShownCount < kNotShown);

constexpr std::array<uint8_t, kTickerEnd> MakeSlots() {
  std::array<uint8_t, kTickerEnd> slots{};
  for (uint8_t& slot : slots) slot = kNotShown;
  for (size_t i = 0; i < kShownCount; ++i) slots[kShown[i].ticker] = static_cast<uint8_t>(i);
  return slots;
}
constexpr std::array<uint8_t, kTickerEnd> kSlots = MakeSlots();

// Threads on different cores rarely share a line: a point read counts six things.
constexpr size_t kShards = 8;

class Counts {
 public:
  void Add(uint32_t ticker, uint64_t count) {
    if (ticker >= kTickerEnd || kSlots[ticker] == kNotShown) return;
    const auto shard = static_cast<unsigned>(sched_getcpu()) % kShards;
    shards_[shard].values[kSlots[ticker]].fetch_add(count, std::memory_order_relaxed);
  }
  uint64_t Sum(size_t slot) const {
    uint64_t sum = 0;
    for (const Shard& shard : shards_) sum += shard.values[slot].load(std::memory_order_relaxed);
    return sum;
  }

 private:
  struct alignas(64) Shard {
    std::array<std::atomic<uint64_t>, kShownCount> values{};
  };
  std::array<Shard, kShards> shards_;
};

class TickerCounts final : public rocksdb::Statistics {
 public:
  explicit TickerCounts(std::shared_ptr<Counts> counts) : counts_(std::move(counts)) {
    // No clock is read for what nobody keeps.
    set_stats_level(rocksdb::StatsLevel::kExceptHistogramOrTimers);
  }
  const char* Name() const override { return "kalam.counts"; }
  void recordTick(uint32_t ticker, uint64_t count) override { counts_->Add(ticker, count); }
  uint64_t getTickerCount(uint32_t ticker) const override {
    if (ticker >= kTickerEnd || kSlots[ticker] == kNotShown) return 0;
    return counts_->Sum(kSlots[ticker]);
  }
  // Nothing is ever set back.
  void setTickerCount(uint32_t, uint64_t) override {}
  uint64_t getAndResetTickerCount(uint32_t ticker) override { return getTickerCount(ticker); }
  bool HistEnabledForType(uint32_t) const override { return false; }
  void histogramData(uint32_t, rocksdb::HistogramData*) const override {}
  void recordInHistogram(uint32_t, uint64_t) override {}
  void reportTimeToHistogram(uint32_t, uint64_t) override {}

 private:
  const std::shared_ptr<Counts> counts_;
};

class EventCounter final : public rocksdb::EventListener {
 public:
  explicit EventCounter(std::shared_ptr<Counts> counts) : counts_(std::move(counts)) {}
  void OnFlushCompleted(rocksdb::DB*, const rocksdb::FlushJobInfo&) override {
    counts_->Add(kFlushes, 1);
  }
  void OnCompactionCompleted(rocksdb::DB*, const rocksdb::CompactionJobInfo& info) override {
    counts_->Add(kCompactions, 1);
    counts_->Add(kCompactionMicroseconds, info.stats.elapsed_micros);
  }
  void OnStallConditionsChanged(const rocksdb::WriteStallInfo& info) override {
    if (info.condition.cur == rocksdb::WriteStallCondition::kStopped) counts_->Add(kWriteStops, 1);
  }
  void OnBackgroundError(rocksdb::BackgroundErrorReason, rocksdb::Status*) override {
    counts_->Add(kBackgroundErrors, 1);
  }

 private:
  const std::shared_ptr<Counts> counts_;
};

std::string Text(uint64_t value, Unit unit) {
  if (unit == Unit::kOne) return std::to_string(value);
  return fmt::format("{}.{:06}", value / 1'000'000, value % 1'000'000);
}

}  // namespace

struct EventCounts::Rep {
  std::shared_ptr<Counts> counts = std::make_shared<Counts>();
  std::shared_ptr<TickerCounts> statistics = std::make_shared<TickerCounts>(counts);
  std::shared_ptr<EventCounter> listener = std::make_shared<EventCounter>(counts);
};

EventCounts::EventCounts() : rep_(std::make_shared<Rep>()) {}

std::shared_ptr<rocksdb::Statistics> EventCounts::statistics() const { return rep_->statistics; }

std::shared_ptr<rocksdb::EventListener> EventCounts::listener() const { return rep_->listener; }

std::vector<StoreCount> EventCounts::Read() const {
  std::vector<StoreCount> counts;
  counts.reserve(kShownCount);
  for (size_t i = 0; i < kShownCount; ++i) {
    counts.push_back({kShown[i].name, kShown[i].help, Text(rep_->counts->Sum(i), kShown[i].unit)});
  }
  return counts;
}

}  // namespace kalam::storage

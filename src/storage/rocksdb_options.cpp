// How RocksDB is tuned: a small, bounded memory and one writer.
#include <rocksdb/compaction_filter.h>
#include <rocksdb/env.h>
#include <rocksdb/file_system.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/listener.h>
#include <rocksdb/statistics.h>
#include <rocksdb/table.h>
#include <rocksdb/utilities/table_properties_collectors.h>

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <new>
#include <utility>

#include "base/log.h"
#include "base/thread_priority.h"
#include "storage/late_log.h"
#include "storage/manifest_mark.h"
#include "storage/prepared_log.h"
#include "storage/rocksdb_internal.h"

namespace kalam::storage {
namespace {

constexpr int64_t kOneShardBelowBytes = 64 << 20;
constexpr size_t kArenaBlockBytes = 64 << 10;
// Families that are written all the time have blocks that the C library maps one by one where the
// free end of its heap is too short: they leave few and large holes when a memtable goes. 32 bytes
// less, so that their own head fits into the last page.
constexpr size_t kMappedArenaBlockBytes = (264 << 10) - 32;
constexpr size_t kMappedArenaFromBytes = 1 << 20;
// Blocks end before a page does: the five bytes that follow one in its file are read with it.
constexpr size_t kBlockTrailerBytes = 5;
constexpr size_t kFileBufferBytes = 128 << 10;
constexpr uint64_t kBytesPerSync = 1 << 20;
constexpr size_t kFamilyBufferBytesMin = 64 << 10;
// Of a memtable: about ten bits for each of its rows.
constexpr double kMemtableBloomShare = 0.01;
constexpr uint64_t kTargetFileBytes = 16 << 20;
// While the filter of a file is made, every key of the file has eight bytes in memory, and small
// rows are compressed to fifteen: a file of 16 MB takes 9 MB. Deeper levels may have larger files.
constexpr uint64_t kTargetFilteredFileBytes = 4 << 20;
constexpr int kFilteredFileGrowth = 2;
constexpr uint64_t kLevelBaseBytes = 64 << 20;
constexpr uint64_t kSecondsPerDay = 86'400;
// A file with so many tombstones in a row of entries is full of them.
constexpr size_t kTombstoneWindow = 8192;
constexpr size_t kTombstonesOfWindow = 4096;

/// Sends RocksDB's warnings and errors to the log of the process; there is no LOG file.
class LogForwarder final : public rocksdb::Logger {
 public:
  LogForwarder() : Logger(rocksdb::InfoLogLevel::WARN_LEVEL) {}
  using Logger::Logv;
  void LogHeader(const char*, va_list) override {}
  void Logv(const char* format, va_list arguments) override {
    Logv(rocksdb::InfoLogLevel::WARN_LEVEL, format, arguments);
  }
  void Logv(rocksdb::InfoLogLevel level, const char* format, va_list arguments) override {
    if (level < rocksdb::InfoLogLevel::WARN_LEVEL) return;
    char text[1024];
    int size = std::vsnprintf(text, sizeof(text), format, arguments);
    if (size < 0) return;
    std::string_view line(text, std::min<size_t>(static_cast<size_t>(size), sizeof(text) - 1));
    bool error = level >= rocksdb::InfoLogLevel::ERROR_LEVEL;
    // That a memtable waits for the disk is how a small budget works, and that files are kept while
    // a copy is made how a backup does: not a reason to wake anybody.
    const auto says = [line](std::string_view text) { return line.find(text) != line.npos; };
    bool expected = says("Stopping writes") || says("Stalling writes") || says("File Deletions");
    Log(error      ? LogLevel::kError
        : expected ? LogLevel::kDebug
                   : LogLevel::kWarn,
        "storage.rocksdb", line);
  }
};

/// Keeps the rest of the database alive when a compaction meets a corrupt file: reads of that file
/// answer with an error, everything else goes on. RocksDB would refuse all writes from then on.
class CorruptionFence final : public rocksdb::EventListener {
 public:
  void OnBackgroundError(rocksdb::BackgroundErrorReason reason, rocksdb::Status* error) override {
    if (reason != rocksdb::BackgroundErrorReason::kCompaction || !error->IsCorruption()) return;
    Log(LogLevel::kError, "storage", "a compaction met a corrupt file and was given up",
        {{"error", error->ToString()}});
    *error = rocksdb::Status::OK();
  }
};

/// Compactions are interrupted by whoever wakes up, but keep their share: when they fall behind,
/// because others use the machine, RocksDB stops all writers.
class CompactionsTakeLongTurns final : public rocksdb::EventListener {
 public:
  void OnCompactionBegin(rocksdb::DB*, const rocksdb::CompactionJobInfo&) override {
    thread_local bool is_set = false;
    if (!std::exchange(is_set, true)) TakeLongTurns();
  }
};

class ChangeFilter final : public rocksdb::CompactionFilter {
 public:
  explicit ChangeFilter(ChangeDropFilter drop) : drop_(std::move(drop)) {}
  const char* Name() const override { return "kalam.changes"; }
  bool Filter(int, const rocksdb::Slice& key, const rocksdb::Slice& value, std::string*,
              bool*) const override {
    return drop_({key.data(), key.size()}, {value.data(), value.size()});
  }

 private:
  const ChangeDropFilter drop_;
};

/// A record may have had its time before it ever reaches a file.
class ChangeFilters final : public rocksdb::CompactionFilterFactory {
 public:
  explicit ChangeFilters(ChangeDropFilter drop) : drop_(std::move(drop)) {}
  const char* Name() const override { return "kalam.changes"; }
  bool ShouldFilterTableFileCreation(rocksdb::TableFileCreationReason reason) const override {
    return reason == rocksdb::TableFileCreationReason::kFlush ||
           reason == rocksdb::TableFileCreationReason::kCompaction;
  }
  std::unique_ptr<rocksdb::CompactionFilter> CreateCompactionFilter(
      const rocksdb::CompactionFilter::Context&) override {
    return std::make_unique<ChangeFilter>(drop_);
  }

 private:
  const ChangeDropFilter drop_;
};

/// Cached blocks live in pages of their own: what else the heap holds cannot settle between them.
class BlockAllocator final : public rocksdb::MemoryAllocator {
 public:
  explicit BlockAllocator(std::shared_ptr<PageHeap> pages) : pages_(std::move(pages)) {}
  const char* Name() const override { return "kalam.blocks"; }
  void* Allocate(size_t size) override {
    void* block = pages_->Allocate(size);
    if (block == nullptr) throw std::bad_alloc();  // as without an allocator of our own
    return block;
  }
  void Deallocate(void* block) override { pages_->Deallocate(block); }
  size_t UsableSize(void*, size_t size) const override { return PageHeap::TakenBytes(size); }

 private:
  const std::shared_ptr<PageHeap> pages_;
};

rocksdb::CompressionType CompressionOf(std::string_view name) {
  if (name == "none") return rocksdb::kNoCompression;
  if (name == "snappy") return rocksdb::kSnappyCompression;
  return name == "zstd" ? rocksdb::kZSTD : rocksdb::kLZ4Compression;
}

/// Sixteenths of the write buffers after which the memtable of a family is written out on its own
/// account.
size_t BufferShare(Family family) {
  switch (family) {
    case Family::kChanges:
      return 8;
    case Family::kRows:
      return 4;
    case Family::kOrder:
    case Family::kTopics:
      return 2;
    default:
      return 1;
  }
}

rocksdb::ColumnFamilyOptions FamilyOptions(Family family, const StoreOptions& options,
                                           const Tuning& tuning) {
  rocksdb::BlockBasedTableOptions table;
  table.block_cache = tuning.cache;
  table.format_version = 5;
  table.cache_index_and_filter_blocks = true;
  table.cache_usage_options.options_overrides.insert(
      {rocksdb::CacheEntryRole::kBlockBasedTableReader,
       {.charged = rocksdb::CacheEntryRoleOptions::Decision::kEnabled}});
  table.block_size = (family == Family::kRows || family == Family::kCatalog ? 4 << 10 : 16 << 10) -
                     kBlockTrailerBytes;
  if (family == Family::kRows && options.bloom_bits > 0) {
    table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(options.bloom_bits));
    table.whole_key_filtering = true;
  }
  rocksdb::ColumnFamilyOptions family_options;
  family_options.target_file_size_base = kTargetFileBytes;
  if (table.filter_policy) {
    family_options.target_file_size_base = kTargetFilteredFileBytes;
    family_options.target_file_size_multiplier = kFilteredFileGrowth;
  }
  if (family == Family::kRows) {
    // An INSERT looks for its key and nearly never finds it.
    family_options.memtable_whole_key_filtering = true;
    family_options.memtable_prefix_bloom_size_ratio = kMemtableBloomShare;
  }
  family_options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  family_options.write_buffer_size =
      std::max(static_cast<size_t>(options.write_buffer_total_bytes) * BufferShare(family) / 16,
               kFamilyBufferBytesMin);
  family_options.arena_block_size = family_options.write_buffer_size < kMappedArenaFromBytes
                                        ? kArenaBlockBytes
                                        : kMappedArenaBlockBytes;
  // One memtable fills while one is written out; a third would have to wait, which is how the disk
  // slows the committer.
  family_options.max_write_buffer_number = 2;
  family_options.max_bytes_for_level_base = kLevelBaseBytes;
  family_options.level_compaction_dynamic_level_bytes = true;
  family_options.compression = CompressionOf(options.compression);
  // The change log stays; what is in other families is written again or leaves for cold storage,
  // and nine tenths of its compactions would be the work of zstd.
  if (family == Family::kChanges && options.compression != "none")
    family_options.bottommost_compression = rocksdb::kZSTD;
  family_options.table_properties_collector_factories.push_back(
      RangeDeletions::MakeCollectorFactory());
  if (family == Family::kRows || family == Family::kOrder) {
    // Rows that moved to cold storage leave as many tombstones, which every scan walks over until
    // they have met their rows: files that are full of them go down at once.
    family_options.table_properties_collector_factories.push_back(
        rocksdb::NewCompactOnDeletionCollectorFactory(kTombstoneWindow, kTombstonesOfWindow));
  }
  if (family == Family::kChanges && options.drop_change) {
    family_options.compaction_filter_factory = std::make_shared<ChangeFilters>(options.drop_change);
    family_options.periodic_compaction_seconds = kSecondsPerDay;
  }
  return family_options;
}

rocksdb::DBOptions DatabaseOptions(const StoreOptions& options, const Tuning& tuning) {
  rocksdb::DBOptions database;
  database.create_if_missing = true;
  database.create_missing_column_families = true;
  if (tuning.env) database.env = tuning.env.get();
  database.info_log = std::make_shared<LogForwarder>();
  database.info_log_level = rocksdb::InfoLogLevel::WARN_LEVEL;
  database.statistics = tuning.counts.statistics();
  // Counts an error before the fence takes it away.
  database.listeners.push_back(tuning.counts.listener());
  database.listeners.push_back(std::make_shared<CorruptionFence>());
  database.listeners.push_back(std::make_shared<CompactionsTakeLongTurns>());
  database.listeners.push_back(tuning.range_deletions->MakeListener());
  database.write_buffer_manager = tuning.write_buffers;
  database.max_open_files = options.max_open_files;
  database.max_file_opening_threads = 1;
  database.max_background_jobs = options.max_background_jobs;
  database.max_total_wal_size = static_cast<uint64_t>(options.write_buffer_total_bytes) * 4;
  database.writable_file_max_buffer_size = kFileBufferBytes;
  // A large file that is written back all at once holds up the next sync of the log.
  database.bytes_per_sync = kBytesPerSync;
  database.allow_concurrent_memtable_write = false;
  database.enable_write_thread_adaptive_yield = false;
  database.stats_dump_period_sec = 0;
  database.stats_persist_period_sec = 0;
  database.skip_stats_update_on_db_open = true;
  // Everything is in the log anyway: neither start nor stop waits for memtables to be written out.
  database.avoid_flush_during_recovery = true;
  database.avoid_flush_during_shutdown = true;
  // The end of the log is the first record that is not whole. CheckLogs refuses the ones where that
  // would lose something.
  database.wal_recovery_mode = rocksdb::WALRecoveryMode::kPointInTimeRecovery;
  return database;
}

}  // namespace

Tuning MakeTuning(const StoreOptions& options) {
  Tuning tuning;
  int64_t cache_bytes = options.block_cache_bytes + options.write_buffer_total_bytes;
  rocksdb::LRUCacheOptions cache;
  cache.capacity = static_cast<size_t>(cache_bytes);
  cache.num_shard_bits = cache_bytes < kOneShardBelowBytes ? 0 : 3;
  cache.strict_capacity_limit = false;
  tuning.block_pages = std::make_shared<PageHeap>();
  cache.memory_allocator = std::make_shared<BlockAllocator>(tuning.block_pages);
  tuning.cache = rocksdb::NewLRUCache(cache);
  tuning.write_buffers = std::make_shared<rocksdb::WriteBufferManager>(
      static_cast<size_t>(options.write_buffer_total_bytes), tuning.cache, /*allow_stall=*/false);
  std::shared_ptr<rocksdb::FileSystem> files =
      options.file_system != nullptr
          ? std::static_pointer_cast<rocksdb::FileSystem>(options.file_system)
          : rocksdb::FileSystem::Default();
  if (options.prepare_log) files = MakePreparedLogFileSystem(std::move(files));
  files = MakeManifestMarkFileSystem(MakeLateLogFileSystem(std::move(files)));
  tuning.env = rocksdb::NewCompositeEnv(files);
  tuning.range_deletions = std::make_shared<RangeDeletions>();
  tuning.options = DatabaseOptions(options, tuning);
  rocksdb::ColumnFamilyOptions unused;
  unused.arena_block_size = kArenaBlockBytes;
  unused.write_buffer_size = kFamilyBufferBytesMin;
  tuning.families.emplace_back(rocksdb::kDefaultColumnFamilyName, unused);
  for (int i = 0; i < kFamilyCount; ++i) {
    tuning.families.emplace_back(std::string(kFamilyNames[static_cast<size_t>(i)]),
                                 FamilyOptions(static_cast<Family>(i), options, tuning));
  }
  return tuning;
}

Status ToStatus(const rocksdb::Status& status, std::string_view context) {
  if (status.ok()) return Status::Ok();
  if (status.IsIncomplete()) return Status(ErrorKind::NotInMemory, std::string(context));
  std::string text = std::string(context) + ": " + status.ToString();
  if (status.IsNoSpace()) {
    return Status(ErrorKind::OutcomeUnknown,
                  "The disk is full; the server is read-only until there is room. " + text);
  }
  if (status.IsCorruption()) return Status(ErrorKind::Corruption, std::move(text));
  return Status(ErrorKind::StorageIo, std::move(text));
}

}  // namespace kalam::storage

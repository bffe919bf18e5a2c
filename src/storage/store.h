// The one RocksDB instance: a fixed set of column families, atomic batches, snapshots and
// iterators.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/memory_account.h"
#include "base/status.h"

namespace kalam::storage {

/// What lives where. The numbers are not on disk, the names are ("catalog", "rows", ...): never
/// rename.
enum class Family : uint8_t {
  kCatalog,  // namespaces, tables and their versions, views, users, storages, counters, format
             // version
  kSystem,   // jobs, audit log, retention records: grows with use, not with the schema
  kRows,  // [table][bucket][scope][primary key] -> the current version of the row, or its tombstone
  kOrder,     // [table][bucket][scope][_seq] -> the row of kRows that is current at that _seq
  kChanges,   // [table][bucket][scope][_seq] -> change record; the rows of STREAM tables
  kTopics,    // messages and cursors
  kSegments,  // [table]... -> the index of its cold segments; see segments/segment_record.h
  kLog,       // the replication log of a cluster
};
inline constexpr int kFamilyCount = 8;

/// A consistent view of all families. Copies share it; it is given back when the last copy goes.
class Snapshot;
using SnapshotPtr = std::shared_ptr<const Snapshot>;
/// True for what Store::OnlyInMemory gave; false for null.
bool IsOnlyInMemory(const SnapshotPtr& snapshot);

/// Writes that take effect together or not at all. Not thread-safe.
class WriteBatch {
 public:
  WriteBatch();
  ~WriteBatch();
  WriteBatch(WriteBatch&&) noexcept;
  WriteBatch& operator=(WriteBatch&&) noexcept;
  void Put(Family family, std::string_view key, std::string_view value);
  void Delete(Family family, std::string_view key);
  /// For keys that were put exactly once since the last delete (`order`).
  void SingleDelete(Family family, std::string_view key);
  /// Deletes `begin` (inside) to `end` (not inside).
  void DeleteRange(Family family, std::string_view begin, std::string_view end);
  void Clear();
  size_t byte_size() const;
  bool empty() const;

 private:
  friend class Store;
  struct Rep;
  std::unique_ptr<Rep> rep_;
};

/// Ordered access to one family. Starts unpositioned. Not thread-safe; must be destroyed before its
/// Store.
class Iterator {
 public:
  virtual ~Iterator() = default;
  virtual bool Valid() const = 0;
  virtual void Seek(std::string_view key) = 0;         // first key >= key
  virtual void SeekForPrev(std::string_view key) = 0;  // last key <= key
  virtual void SeekToFirst() = 0;
  virtual void SeekToLast() = 0;
  virtual void Next() = 0;
  virtual void Prev() = 0;
  /// Valid until the iterator moves.
  virtual std::string_view key() const = 0;
  virtual std::string_view value() const = 0;
  /// Not ok when iteration ended because of an error; check when Valid() turned false.
  virtual Status status() const = 0;
};

/// Bounds of a scan: `lower` inside, `upper` not inside; empty means none.
struct ScanRange {
  std::string lower;
  std::string upper;
};

enum class Durability : uint8_t {
  kFsync,  // returns when the bytes are on the disk
  kOs,     // returns when the operating system has them: survives kill -9, not power loss
};

/// Decides which change records flushes and compactions may drop. Must be fast, thread-safe and
/// never block. `key` is a key of kChanges.
using ChangeDropFilter = std::function<bool(std::string_view key, std::string_view value)>;

struct StoreOptions {
  std::string path;
  int64_t block_cache_bytes = 4 << 20;
  int64_t write_buffer_total_bytes = 8 << 20;
  int max_open_files = 512;
  int max_background_jobs = 2;
  int bloom_bits = 10;               // per key; 0: no filters
  std::string compression = "lz4";   // "none", "snappy", "lz4" or "zstd"
  MemoryAccount* account = nullptr;  // children "block_cache", "memtables"; may be null
  ChangeDropFilter drop_change;      // may be empty
  /// Log files grow ahead of what is written (prepared_log.h): for those who sync every write.
  bool prepare_log = true;
  /// Test seam: wraps the file system (tests/support/forgetful_file_system.h). A
  /// rocksdb::FileSystem, or null.
  std::shared_ptr<void> file_system;
};

/// Disk state that the committer and `system.stats` look at.
struct StoreProperties {
  int64_t estimated_key_count = 0;
  int64_t live_data_bytes = 0;
  int64_t sst_bytes = 0;
  int64_t memtable_bytes = 0;
  int64_t active_memtable_entries = 0;
  int64_t immutable_memtable_entries = 0;
  int64_t active_memtable_bytes = 0;
  int64_t block_cache_bytes = 0;
  int64_t table_reader_bytes = 0;
  int64_t pending_compaction_bytes = 0;
  int64_t deleted_range_places = 0;  // files and memtables that hold deletions of ranges
};

/// Something that RocksDB has done since the store was opened; only grows.
struct StoreCount {
  std::string_view name;  // as Prometheus wants a counter named; static, as is `help`
  std::string_view help;
  std::string value;
};

/// Thread-safety: all methods may be called from any thread.
class Store {
 public:
  /// Opens or creates. Checks the format version (kFormatVersion): a newer one is refused with a
  /// message that says so. Errors: StorageIo (lock held by another process, no permission),
  /// Corruption (names the file and what to do), Config.
  static Result<std::unique_ptr<Store>> Open(const StoreOptions& options);
  ~Store();

  SnapshotPtr TakeSnapshot();
  /// The same view for readers that must not wait for the disk: what is neither in a memtable nor
  /// in the block cache answers NotInMemory.
  SnapshotPtr OnlyInMemory(SnapshotPtr snapshot);

  /// The value, or nullopt. `snapshot` null reads the newest state. Errors: StorageIo, Corruption.
  Result<std::optional<std::string>> Get(Family family, std::string_view key,
                                         const SnapshotPtr& snapshot = nullptr);
  /// Like Get into a caller's buffer; false when there is no such key.
  Result<bool> GetInto(Family family, std::string_view key, const SnapshotPtr& snapshot,
                       std::string* value);
  /// An iterator over `range`; keeps `snapshot` alive. It is fastest, and looks at nothing but
  /// its own keys, where no range was deleted a moment ago.
  std::unique_ptr<Iterator> NewIterator(Family family, ScanRange range,
                                        const SnapshotPtr& snapshot = nullptr);

  /// Applies the batch atomically. Errors: ReadOnly (the disk is nearly full; nothing was written);
  /// OutcomeUnknown (it ran full while writing; call Resume); StorageIo (outcome unknown as well;
  /// the log may be damaged, only a restart helps).
  Status Write(WriteBatch&& batch, Durability durability);

  /// Tries to leave the read-only state that a full disk caused; ok when writes work again.
  Status Resume();

  /// Cost: some tens of microseconds; for reports, not for every write.
  StoreProperties properties() const;
  /// Cache hits, bytes of compactions, syncs and the like; cheap.
  std::vector<StoreCount> counts() const;
  /// The options in effect, as "name=value name=value", for reports.
  std::string DescribeOptions() const;
  /// Bytes of blocks, indexes and filters in the block cache.
  int64_t block_cache_bytes() const;
  /// Memory of blocks, cached or being read, in pages of their own (base/page_heap.h): a little
  /// more than the cache is charged with, and not in the figures of the C library's allocator.
  int64_t block_page_bytes() const;
  /// Brings the accounts up to date at once; writes do so, and every few hundred reads.
  void RefreshAccounts();
  /// Writes memtables of all families out, so that old log files can go.
  Status FlushMemtables();
  /// Asks for a compaction of a range in the background of the caller (blocks).
  Status CompactRange(Family family, const ScanRange& range);
  /// Writes out what memory holds of a range and takes its deletions down to what they delete, in
  /// one compaction instead of several that each meet a part (blocks).
  Status SinkDeletions(Family family, const ScanRange& range);
  /// Whether ranges were deleted beside or within `range` that have not met all they delete: scans
  /// are slower there. Cheap.
  bool HasDeletedRanges(Family family, const ScanRange& range) const;
  /// SinkDeletions wherever there are any; whoever deletes a range does so, and this is for what
  /// an interruption has left. Returns the number of stretches of keys.
  Result<int64_t> SinkLeftDeletions();
  /// A rough count of the bytes that a range (both bounds given) takes in files and in memory; 0
  /// when it cannot be told.
  int64_t ApproximateBytes(Family family, const ScanRange& range) const;
  /// Gives back caches and memtables beyond need; called by memory shedding.
  void SetBlockCacheCapacity(int64_t bytes);

 private:
  struct Rep;
  std::unique_ptr<Rep> rep_;

 public:
  /// For Open: nobody else can name a Rep.
  explicit Store(std::unique_ptr<Rep> rep);
};

/// Version of the layout on disk; a server refuses a directory written by a newer one.
inline constexpr int kFormatVersion = 1;
/// Where it is recorded, as decimal text in kCatalog; below every printable key.
inline constexpr std::string_view kFormatVersionKey =
    "\x01"
    "format_version";

}  // namespace kalam::storage

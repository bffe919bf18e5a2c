// Store over RocksDB: opening with its checks, reads, atomic writes, accounts.
#include "storage/store.h"

#include <fmt/format.h>
#include <rocksdb/env.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/table.h>
#include <rocksdb/utilities/checkpoint.h>
#include <rocksdb/wal_filter.h>
#include <rocksdb/write_batch.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <filesystem>
#include <mutex>
#include <system_error>
#include <utility>

#include "storage/checkpoint.h"
#include "storage/log_check.h"
#include "storage/manifest_mark.h"
#include "storage/readers_internal.h"
#include "storage/rocksdb_internal.h"
#include "storage/write_batch_rep.h"

namespace kalam::storage {
namespace {

/// The free space is looked at after so many bytes.
constexpr int64_t kSpaceCheckBytes = 1 << 20;
/// Reads fill the block cache without telling anybody; the accounts are brought up to date every so
/// many.
constexpr uint32_t kReadsPerRefresh = 256;
/// In the family `default`: keeps a memtable in use.
constexpr char kInUseKey[] = "in_use";

/// Of the first operation of a batch that was written: RocksDB notes it at its front.
uint64_t SequenceOf(const rocksdb::WriteBatch& written) {
  uint64_t sequence = 0;
  for (size_t i = 8; i-- > 0;) {
    sequence = sequence << 8 | static_cast<unsigned char>(written.Data()[i]);
  }
  return sequence;
}

std::string_view NameOf(rocksdb::CompressionType compression) {
  switch (compression) {
    case rocksdb::kNoCompression:
      return "none";
    case rocksdb::kSnappyCompression:
      return "snappy";
    case rocksdb::kLZ4Compression:
      return "lz4";
    case rocksdb::kZSTD:
      return "zstd";
    default:
      return "unknown";
  }
}

/// RocksDB calls a filter "bloomfilter:<bits of a key>:...".
std::string BloomBitsOf(const rocksdb::FilterPolicy* filter) {
  if (filter == nullptr) return "0";
  const std::string name = filter->GetId();
  const size_t begin = name.find(':') + 1;
  return name.substr(begin, name.find(':', begin) - begin);
}

/// What the open database works with, in the words of the settings.
std::string DescribeOptions(const rocksdb::DB& database, rocksdb::ColumnFamilyHandle* rows) {
  const rocksdb::Options options = database.GetOptions(rows);
  const size_t write_buffer_bytes = options.write_buffer_manager->buffer_size();
  const auto* table = options.table_factory->GetOptions<rocksdb::BlockBasedTableOptions>();
  return fmt::format(
      "block_cache_size={} write_buffer_size={} bloom_bits={} max_open_files={} "
      "max_background_jobs={} compression={}",
      table->block_cache->GetCapacity() - write_buffer_bytes, write_buffer_bytes,
      BloomBitsOf(table->filter_policy.get()), options.max_open_files, options.max_background_jobs,
      NameOf(options.compression));
}

std::unique_ptr<MemoryCharge> ChargeChild(MemoryAccount* account, std::string_view name) {
  if (account == nullptr) return nullptr;
  return std::make_unique<MemoryCharge>(account->Child(name), 0);
}

}  // namespace

struct Store::Rep {
  Tuning tuning;
  int64_t block_cache_bytes = 0;
  int64_t write_buffer_total_bytes = 0;
  std::string description;
  DeletedRanges ranges_in_log;
  std::unique_ptr<rocksdb::WalFilter> log_reader;  // the database keeps pointing at it
  std::unique_ptr<rocksdb::DB> database;
  std::array<rocksdb::ColumnFamilyHandle*, kFamilyCount> families{};
  std::vector<rocksdb::ColumnFamilyHandle*>
      handles;  // `default` and the families, given back at the end

  std::string path;
  std::atomic<int64_t> unchecked_bytes{
      kSpaceCheckBytes};  // written since the free space was looked at

  std::atomic<uint32_t> reads{0};
  std::atomic<uint64_t> hidden_keys{0};  // that scans have passed over
  std::mutex accounts_mutex;
  std::unique_ptr<MemoryCharge> cache_charge;     // guarded by accounts_mutex
  std::unique_ptr<MemoryCharge> memtable_charge;  // guarded by accounts_mutex

  ~Rep() {
    if (!database) return;
    for (auto* handle : handles) database->DestroyColumnFamilyHandle(handle);
    database->Close().PermitUncheckedError();
  }
  rocksdb::ColumnFamilyHandle* Handle(Family family) const {
    return families[static_cast<size_t>(family)];
  }
  Status OpenDatabase(const StoreOptions& options);
  Status CheckFormat();
  /// ReadOnly when writing `bytes` would leave less than the reserve.
  Status CheckSpace(int64_t bytes);
  /// Sees to it that a memtable holds something: only then does RocksDB start a new log when it
  /// recovers from a full disk, and the log that could not be written stays unusable.
  Status KeepMemtableInUse();
  int64_t BlockCacheBytes() const;
  void RefreshAccounts();
  void CountRead() {
    if (reads.fetch_add(1, std::memory_order_relaxed) % kReadsPerRefresh == 0) RefreshAccounts();
  }
  int64_t Property(const std::string& name) const;
};

namespace {

Status CheckKnownFamilies(const rocksdb::DBOptions& options, const std::string& path) {
  std::vector<std::string> names;
  // A directory without a database lists nothing and is about to be made.
  if (!rocksdb::DB::ListColumnFamilies(options, path, &names).ok()) return Status::Ok();
  for (const std::string& name : names) {
    bool known = name == rocksdb::kDefaultColumnFamilyName ||
                 std::find(kFamilyNames.begin(), kFamilyNames.end(), name) != kFamilyNames.end();
    if (known) continue;
    return Status(
        ErrorKind::Config,
        fmt::format("the data directory '{}' was written by a newer version of KalamDB (it has "
                    "the unknown column family '{}'); start that version",
                    path, name));
  }
  return Status::Ok();
}

Status OpenError(const rocksdb::Status& status, const std::string& path) {
  std::string text = status.ToString();
  // For a missing table file RocksDB names the old suffix that it tried last.
  for (size_t at; (at = text.find(".ldb")) != std::string::npos;) text.replace(at, 4, ".sst");
  if (status.IsIOError() && text.find("lock ") != std::string::npos) {
    return Status(
        ErrorKind::StorageIo,
        fmt::format("the data directory '{}' is in use by another process; stop it or choose "
                    "another directory ({})",
                    path, text));
  }
  if (status.IsCorruption()) {
    return Status(
        ErrorKind::Corruption,
        fmt::format("the data directory '{}' cannot be opened: {}. Nothing was changed; restore "
                    "the named file or the whole directory from a backup",
                    path, text));
  }
  return ToStatus(status, fmt::format("cannot open the data directory '{}'", path));
}

}  // namespace

Status Store::Rep::OpenDatabase(const StoreOptions& options) {
  if (options.file_system == nullptr) {
    std::error_code error;
    // It holds what nobody else may read: rows, password hashes, credentials of storages.
    if (std::filesystem::create_directories(options.path, error))
      std::filesystem::permissions(options.path, std::filesystem::perms::owner_all, error);
    if (error) {
      return Status(ErrorKind::StorageIo, fmt::format("cannot create the data directory '{}': {}",
                                                      options.path, error.message()));
    }
  }
  path = options.path;
  tuning = MakeTuning(options);
  block_cache_bytes = options.block_cache_bytes;
  write_buffer_total_bytes = options.write_buffer_total_bytes;
  KALAM_RETURN_IF_ERROR(CheckManifest(*tuning.options.env, options.path));
  KALAM_RETURN_IF_ERROR(CheckKnownFamilies(tuning.options, options.path));
  KALAM_RETURN_IF_ERROR(CheckLogs(tuning, options.path));
  RangeDeletions& range_deletions = *tuning.range_deletions;
  log_reader = range_deletions.MakeLogReader(&ranges_in_log);
  tuning.options.wal_filter = log_reader.get();
  rocksdb::DB* opened = nullptr;
  rocksdb::Status status =
      rocksdb::DB::Open(tuning.options, options.path, tuning.families, &handles, &opened);
  database.reset(opened);
  if (!status.ok()) return OpenError(status, options.path);
  for (int i = 0; i < kFamilyCount; ++i) {
    auto* handle = handles[static_cast<size_t>(i) + 1];
    families[static_cast<size_t>(i)] = handle;
    if (handle->GetID() != FamilyNumber(static_cast<Family>(i))) {
      return Status(
          ErrorKind::Corruption,
          fmt::format("the data directory '{}' numbers its column family '{}' as {}; it was not "
                      "made by KalamDB, choose another directory",
                      options.path, handle->GetName(), handle->GetID()));
    }
  }
  KALAM_RETURN_IF_ERROR(CheckFormat());
  KALAM_RETURN_IF_ERROR(range_deletions.Load(*database, {families.begin(), families.end()}));
  range_deletions.EndWrite(range_deletions.BeginWrite(std::exchange(ranges_in_log, {})),
                           database->GetLatestSequenceNumber());
  description = storage::DescribeOptions(*database, Handle(Family::kRows));
  return KeepMemtableInUse();
}

Status Store::Rep::KeepMemtableInUse() {
  return ToStatus(database->Put({}, handles[0], kInUseKey, ""), "cannot write");
}

Status Store::Rep::CheckSpace(int64_t bytes) {
  if (unchecked_bytes.fetch_add(bytes, std::memory_order_relaxed) + bytes < kSpaceCheckBytes) {
    return Status::Ok();
  }
  uint64_t free_bytes = 0;
  // A file system that cannot tell is asked by writing.
  if (!tuning.options.env->GetFreeSpace(path, &free_bytes).ok()) return Status::Ok();
  // Room for writing out what is in memory, without which nothing could ever be deleted again.
  int64_t reserve_bytes = write_buffer_total_bytes + kSpaceCheckBytes;
  if (static_cast<int64_t>(std::min<uint64_t>(free_bytes, INT64_MAX)) < reserve_bytes + bytes) {
    unchecked_bytes = kSpaceCheckBytes;
    return Status(
        ErrorKind::ReadOnly,
        fmt::format(
            "The disk is full ({} bytes are free on '{}', {} are kept in reserve); the server is "
            "read-only until there is room",
            free_bytes, path, reserve_bytes));
  }
  unchecked_bytes = 0;
  return Status::Ok();
}

Status Store::Rep::CheckFormat() {
  std::string text;
  rocksdb::Status status = database->Get({}, Handle(Family::kCatalog), kFormatVersionKey, &text);
  if (status.IsNotFound()) {
    rocksdb::WriteOptions durable;
    durable.sync = true;
    return ToStatus(database->Put(durable, Handle(Family::kCatalog), kFormatVersionKey,
                                  std::to_string(kFormatVersion)),
                    "cannot write the format version");
  }
  if (!status.ok()) return ToStatus(status, "cannot read the format version");
  int version = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), version);
  if (error != std::errc() || end != text.data() + text.size() || version < 1) {
    return Status(
        ErrorKind::Corruption,
        fmt::format("the data directory '{}' has an unreadable format version; restore it from "
                    "a backup",
                    path));
  }
  if (version > kFormatVersion) {
    return Status(
        ErrorKind::Config,
        fmt::format("the data directory '{}' has format version {}, this server reads up to {}; "
                    "start the newer version of KalamDB that wrote it",
                    path, version, kFormatVersion));
  }
  return Status::Ok();
}

int64_t Store::Rep::Property(const std::string& name) const {
  int64_t sum = 0;
  for (auto* family : families) {
    uint64_t value = 0;
    if (database->GetIntProperty(family, name, &value)) sum += static_cast<int64_t>(value);
  }
  return sum;
}

int64_t Store::Rep::BlockCacheBytes() const {
  auto used = static_cast<int64_t>(tuning.cache->GetUsage());
  auto memtables = static_cast<int64_t>(tuning.write_buffers->dummy_entries_in_cache_usage());
  return std::max<int64_t>(used - memtables, 0);
}

void Store::Rep::RefreshAccounts() {
  std::lock_guard lock(accounts_mutex);
  // The one that shrinks goes first: what a memtable gives back blocks may take, and both together
  // are never more than they were.
  const auto memtable_bytes = static_cast<int64_t>(tuning.write_buffers->memory_usage());
  const bool shrinks = memtable_charge && memtable_bytes < memtable_charge->bytes();
  if (shrinks) memtable_charge->Resize(memtable_bytes);
  if (cache_charge) cache_charge->Resize(BlockCacheBytes());
  if (memtable_charge && !shrinks) memtable_charge->Resize(memtable_bytes);
}

Store::Store(std::unique_ptr<Rep> rep) : rep_(std::move(rep)) {}
Store::~Store() = default;

Result<std::unique_ptr<Store>> Store::Open(const StoreOptions& options) {
  auto rep = std::make_unique<Rep>();
  KALAM_RETURN_IF_ERROR(rep->OpenDatabase(options));
  rep->cache_charge = ChargeChild(options.account, "block_cache");
  rep->memtable_charge = ChargeChild(options.account, "memtables");
  auto store = std::make_unique<Store>(std::move(rep));
  store->RefreshAccounts();
  return store;
}

SnapshotPtr Store::TakeSnapshot() { return std::make_shared<const Snapshot>(*rep_->database); }

SnapshotPtr Store::OnlyInMemory(SnapshotPtr snapshot) {
  return std::make_shared<const Snapshot>(std::move(snapshot));
}

Result<std::optional<std::string>> Store::Get(Family family, std::string_view key,
                                              const SnapshotPtr& snapshot) {
  std::string value;
  KALAM_ASSIGN_OR_RETURN(bool found, GetInto(family, key, snapshot, &value));
  if (!found) return std::optional<std::string>();
  return std::optional<std::string>(std::move(value));
}

Result<bool> Store::GetInto(Family family, std::string_view key, const SnapshotPtr& snapshot,
                            std::string* value) {
  rep_->CountRead();
  rocksdb::PinnableSlice read(value);
  const rocksdb::Status status =
      ReadValue(*rep_->database, ReadOptionsFor(snapshot), rep_->Handle(family), key, &read);
  if (status.ok()) {
    if (read.IsPinned()) value->assign(read.data(), read.size());
    return true;
  }
  if (status.IsNotFound()) return false;
  return ToStatus(status, "cannot read");
}

std::unique_ptr<Iterator> Store::NewIterator(Family family, ScanRange range,
                                             const SnapshotPtr& snapshot) {
  rep_->CountRead();
  const RangeDeletions& deletions = *rep_->tuning.range_deletions;
  const uint64_t writes = deletions.write_count();
  KeySpans hidden = deletions.HiddenIn(family, range);
  if (hidden.empty()) {
    auto iterator = MakeIterator(*rep_->database, rep_->Handle(family), range, snapshot);
    // Without a snapshot it also sees what was written since the question.
    if (snapshot != nullptr || deletions.write_count() == writes) return iterator;
  }
  // Keys are asked about in the very view that the iterator has.
  const SnapshotPtr view = snapshot != nullptr ? snapshot : TakeSnapshot();
  hidden = deletions.HiddenIn(family, range);
  return MakeIteratorBesideHidden(*rep_->database, rep_->Handle(family), std::move(range), view,
                                  std::move(hidden), &rep_->hidden_keys);
}

Status Store::Write(WriteBatch&& batch, Durability durability) {
  if (batch.empty()) return Status::Ok();
  KALAM_RETURN_IF_ERROR(rep_->CheckSpace(static_cast<int64_t>(batch.byte_size())));
  std::string bytes = std::move(batch.rep_->bytes);
  uint32_t count = batch.rep_->count;
  const DeletedRanges deleted_ranges = std::move(batch.rep_->deleted_ranges);
  batch.Clear();
  for (size_t i = 0; i < 4; ++i) bytes[8 + i] = static_cast<char>(count >> (8 * i));
  rocksdb::WriteBatch raw(std::move(bytes));
  rocksdb::WriteOptions options;
  options.sync = durability == Durability::kFsync;
  RangeDeletions& range_deletions = *rep_->tuning.range_deletions;
  const uint64_t write = range_deletions.BeginWrite(deleted_ranges);
  Status status = ToStatus(rep_->database->Write(options, &raw), "cannot write");
  // What failed may be in a memtable all the same.
  if (write != 0) {
    range_deletions.EndWrite(
        write, status.ok() ? SequenceOf(raw) : rep_->database->GetLatestSequenceNumber());
  }
  rep_->RefreshAccounts();
  return status;
}

Status Store::Resume() {
  KALAM_RETURN_IF_ERROR(rep_->CheckSpace(kSpaceCheckBytes));
  return ToStatus(rep_->database->Resume(), "cannot resume writing");
}

StoreProperties Store::properties() const {
  StoreProperties properties;
  properties.estimated_key_count = rep_->Property(rocksdb::DB::Properties::kEstimateNumKeys);
  properties.live_data_bytes = rep_->Property(rocksdb::DB::Properties::kEstimateLiveDataSize);
  properties.sst_bytes = rep_->Property(rocksdb::DB::Properties::kTotalSstFilesSize);
  properties.memtable_bytes = rep_->Property(rocksdb::DB::Properties::kSizeAllMemTables);
  properties.active_memtable_entries =
      rep_->Property(rocksdb::DB::Properties::kNumEntriesActiveMemTable);
  properties.immutable_memtable_entries =
      rep_->Property(rocksdb::DB::Properties::kNumEntriesImmMemTables);
  properties.active_memtable_bytes =
      rep_->Property(rocksdb::DB::Properties::kCurSizeActiveMemTable);
  properties.block_cache_bytes = block_cache_bytes();
  properties.table_reader_bytes = rep_->Property(rocksdb::DB::Properties::kEstimateTableReadersMem);
  properties.pending_compaction_bytes =
      rep_->Property(rocksdb::DB::Properties::kEstimatePendingCompactionBytes);
  for (int i = 0; i < kFamilyCount; ++i)
    properties.deleted_range_places += rep_->tuning.range_deletions->count(static_cast<Family>(i));
  return properties;
}

std::vector<StoreCount> Store::counts() const {
  std::vector<StoreCount> counts = rep_->tuning.counts.Read();
  counts.push_back({"hidden_keys_total",
                    "Keys that scans passed over because a deleted range hides them.",
                    std::to_string(rep_->hidden_keys.load(std::memory_order_relaxed))});
  return counts;
}

std::string Store::DescribeOptions() const { return rep_->description; }

int64_t Store::block_cache_bytes() const { return rep_->BlockCacheBytes(); }

int64_t Store::block_page_bytes() const { return rep_->tuning.block_pages->held_bytes(); }

void Store::RefreshAccounts() { rep_->RefreshAccounts(); }

Status Store::FlushMemtables() {
  rocksdb::FlushOptions options;
  options.allow_write_stall = true;
  std::vector<rocksdb::ColumnFamilyHandle*> families(rep_->families.begin(), rep_->families.end());
  const uint64_t up_to = rep_->database->GetLatestSequenceNumber();
  KALAM_RETURN_IF_ERROR(
      ToStatus(rep_->database->Flush(options, families), "cannot write out memtables"));
  for (int i = 0; i < kFamilyCount; ++i)
    rep_->tuning.range_deletions->WrittenOut(static_cast<Family>(i), up_to);
  return rep_->KeepMemtableInUse();
}

int64_t Store::ApproximateBytes(Family family, const ScanRange& range) const {
  rocksdb::SizeApproximationOptions options;
  options.include_memtables = true;
  rocksdb::Range raw(range.lower, range.upper);
  uint64_t size = 0;
  rocksdb::Status status =
      rep_->database->GetApproximateSizes(options, rep_->Handle(family), &raw, 1, &size);
  return status.ok() ? static_cast<int64_t>(size) : 0;
}

Status Store::CompactRange(Family family, const ScanRange& range) {
  rocksdb::CompactRangeOptions options;
  options.exclusive_manual_compaction = false;
  options.bottommost_level_compaction = rocksdb::BottommostLevelCompaction::kForceOptimized;
  rocksdb::Slice lower(range.lower);
  rocksdb::Slice upper(range.upper);
  return ToStatus(rep_->database->CompactRange(options, rep_->Handle(family),
                                               range.lower.empty() ? nullptr : &lower,
                                               range.upper.empty() ? nullptr : &upper),
                  "cannot compact");
}

Status Store::SinkDeletions(Family family, const ScanRange& range) {
  // All of memory, not the range alone: nobody else can tell that nothing is left there.
  rocksdb::FlushOptions flush;
  flush.allow_write_stall = true;
  const uint64_t up_to = rep_->database->GetLatestSequenceNumber();
  KALAM_RETURN_IF_ERROR(
      ToStatus(rep_->database->Flush(flush, rep_->Handle(family)), "cannot write out a memtable"));
  rep_->tuning.range_deletions->WrittenOut(family, up_to);
  rocksdb::CompactRangeOptions options;
  options.exclusive_manual_compaction = false;
  options.bottommost_level_compaction = rocksdb::BottommostLevelCompaction::kSkip;
  rocksdb::Slice lower(range.lower);
  rocksdb::Slice upper(range.upper);
  KALAM_RETURN_IF_ERROR(
      ToStatus(rep_->database->CompactRange(options, rep_->Handle(family), &lower,
                                            range.upper.empty() ? nullptr : &upper),
               "cannot compact"));
  // A file that meets no other moves down as it is, deletions and all.
  const KeySpans left = rep_->tuning.range_deletions->LeftIn(*rep_->database, family, range);
  for (const ScanRange& span : left.spans()) KALAM_RETURN_IF_ERROR(CompactRange(family, span));
  return Status::Ok();
}

bool Store::HasDeletedRanges(Family family, const ScanRange& range) const {
  return !rep_->tuning.range_deletions->HiddenIn(family, range).empty();
}

Result<int64_t> Store::SinkLeftDeletions() {
  int64_t stretches = 0;
  for (int i = 0; i < kFamilyCount; ++i) {
    const auto family = static_cast<Family>(i);
    const KeySpans left = rep_->tuning.range_deletions->HiddenIn(family, {});
    for (const ScanRange& span : left.spans()) {
      KALAM_RETURN_IF_ERROR(SinkDeletions(family, span));
      ++stretches;
    }
  }
  return stretches;
}

void Store::SetBlockCacheCapacity(int64_t bytes) {
  // The memtables are charged to the same cache. As configured there is room for all of them, and
  // blocks may have what they do not use; when memory is short they may not.
  const bool shrunk = bytes < rep_->block_cache_bytes;
  const int64_t memtables =
      shrunk ? static_cast<int64_t>(rep_->tuning.write_buffers->dummy_entries_in_cache_usage())
             : rep_->write_buffer_total_bytes;
  rep_->tuning.cache->SetCapacity(static_cast<size_t>(bytes + memtables));
}

Status WriteCheckpoint(Store& store, const std::string& folder) {
  rocksdb::DB& database = store.TakeSnapshot()->database();
  rocksdb::Checkpoint* made = nullptr;
  rocksdb::Status status = rocksdb::Checkpoint::Create(&database, &made);
  const std::unique_ptr<rocksdb::Checkpoint> checkpoint(made);
  // Without a bound on the log memtables are written out first: the next checkpoint shares those
  // files, and hardly any log is copied.
  if (status.ok()) status = checkpoint->CreateCheckpoint(folder, /*log_size_for_flush=*/0);
  if (status.ok()) status = database.Put({}, kInUseKey, "");
  return ToStatus(status, "cannot copy the database to '" + folder + "'");
}

}  // namespace kalam::storage

// Iterators that RocksDB gives no deletions of ranges to (range_deletions.h says why).
#include <string>
#include <utility>

#include "storage/readers_internal.h"
#include "storage/rocksdb_internal.h"

namespace kalam::storage {
namespace {

/// Keys that a reader of memory only asks about, at a microsecond or so each.
constexpr int kAskedInMemoryMax = 512;

std::string_view ToView(const rocksdb::Slice& slice) { return {slice.data(), slice.size()}; }

class BoundedIterator final : public Iterator {
 public:
  BoundedIterator(rocksdb::DB& database, rocksdb::ColumnFamilyHandle* family, ScanRange range,
                  SnapshotPtr snapshot)
      : range_(std::move(range)),
        snapshot_(std::move(snapshot)),
        lower_(range_.lower),
        upper_(range_.upper) {
    rocksdb::ReadOptions options = ReadOptionsFor(snapshot_);
    options.ignore_range_deletions = true;
    if (!range_.lower.empty()) options.iterate_lower_bound = &lower_;
    if (!range_.upper.empty()) options.iterate_upper_bound = &upper_;
    raw_.reset(database.NewIterator(options, family));
  }
  bool Valid() const override { return raw_->Valid(); }
  void Seek(std::string_view key) override { raw_->Seek(key); }
  void SeekForPrev(std::string_view key) override { raw_->SeekForPrev(key); }
  void SeekToFirst() override { raw_->SeekToFirst(); }
  void SeekToLast() override { raw_->SeekToLast(); }
  void Next() override { raw_->Next(); }
  void Prev() override { raw_->Prev(); }
  std::string_view key() const override { return ToView(raw_->key()); }
  std::string_view value() const override { return ToView(raw_->value()); }
  Status status() const override { return ToStatus(raw_->status(), "cannot read on"); }

 private:
  // RocksDB keeps pointers to the bounds: they must neither move nor go before the iterator does.
  const ScanRange range_;
  const SnapshotPtr snapshot_;
  const rocksdb::Slice lower_;
  const rocksdb::Slice upper_;
  std::unique_ptr<rocksdb::Iterator> raw_;
};

/// Leaves out what is hidden.
class SiftingIterator final : public Iterator {
 public:
  SiftingIterator(rocksdb::DB& database, rocksdb::ColumnFamilyHandle* family, ScanRange range,
                  const SnapshotPtr& snapshot, KeySpans hidden, std::atomic<uint64_t>* hidden_keys)
      : database_(database),
        family_(family),
        options_(ReadOptionsFor(snapshot)),
        in_memory_(IsOnlyInMemory(snapshot)),
        hidden_(std::move(hidden)),
        hidden_keys_(*hidden_keys),
        all_(database, family, std::move(range), snapshot) {}
  bool Valid() const override { return status_.ok() && all_.Valid(); }
  void Seek(std::string_view key) override {
    all_.Seek(key);
    Sift(&SiftingIterator::Forwards);
  }
  void SeekForPrev(std::string_view key) override {
    all_.SeekForPrev(key);
    Sift(&SiftingIterator::Backwards);
  }
  void SeekToFirst() override {
    all_.SeekToFirst();
    Sift(&SiftingIterator::Forwards);
  }
  void SeekToLast() override {
    all_.SeekToLast();
    Sift(&SiftingIterator::Backwards);
  }
  void Next() override {
    all_.Next();
    Sift(&SiftingIterator::Forwards);
  }
  void Prev() override {
    all_.Prev();
    Sift(&SiftingIterator::Backwards);
  }
  std::string_view key() const override { return all_.key(); }
  std::string_view value() const override { return all_.value(); }
  Status status() const override { return status_.ok() ? all_.status() : status_; }

 private:
  void Forwards() { all_.Next(); }
  void Backwards() { all_.Prev(); }

  void Sift(void (SiftingIterator::*step)()) {
    status_ = Status::Ok();
    uint64_t passed = 0;
    for (; all_.Valid() && IsHidden(); (this->*step)()) ++passed;
    if (passed > 0) hidden_keys_.fetch_add(passed, std::memory_order_relaxed);
  }

  /// False as well when it cannot be told; `status_` says so.
  bool IsHidden() {
    if (!hidden_.Contains(all_.key())) return false;
    if (in_memory_ && ++asked_in_memory_ > kAskedInMemoryMax) {
      status_ = Status(ErrorKind::NotInMemory, "many rows were deleted a moment ago");
      return false;
    }
    rocksdb::PinnableSlice value;
    const rocksdb::Status found = ReadValue(database_, options_, family_, all_.key(), &value);
    if (found.IsNotFound()) return true;
    if (!found.ok()) status_ = ToStatus(found, "cannot read on");
    return false;
  }

  rocksdb::DB& database_;
  rocksdb::ColumnFamilyHandle* const family_;
  const rocksdb::ReadOptions options_;  // of the snapshot, which `all_` keeps
  const bool in_memory_;
  const KeySpans hidden_;
  std::atomic<uint64_t>& hidden_keys_;
  int asked_in_memory_ = 0;
  BoundedIterator all_;
  Status status_;
};

}  // namespace

bool IsOnlyInMemory(const SnapshotPtr& snapshot) {
  return snapshot != nullptr && snapshot->only_in_memory();
}

rocksdb::ReadOptions ReadOptionsFor(const SnapshotPtr& snapshot) {
  rocksdb::ReadOptions options;
  if (snapshot) options.snapshot = snapshot->raw();
  if (IsOnlyInMemory(snapshot)) options.read_tier = rocksdb::kBlockCacheTier;
  return options;
}

rocksdb::Status ReadValue(rocksdb::DB& database, const rocksdb::ReadOptions& options,
                          rocksdb::ColumnFamilyHandle* family, std::string_view key,
                          rocksdb::PinnableSlice* value) {
  rocksdb::Status status = database.Get(options, family, key, value);
  if (status.ok() && value->empty() && options.read_tier == rocksdb::kBlockCacheTier)
    return rocksdb::Status::Incomplete("a file is not open");
  return status;
}

std::unique_ptr<Iterator> MakeIterator(rocksdb::DB& database, rocksdb::ColumnFamilyHandle* family,
                                       ScanRange range, SnapshotPtr snapshot) {
  return std::make_unique<BoundedIterator>(database, family, std::move(range), std::move(snapshot));
}

std::unique_ptr<Iterator> MakeIteratorBesideHidden(rocksdb::DB& database,
                                                   rocksdb::ColumnFamilyHandle* family,
                                                   ScanRange range, SnapshotPtr snapshot,
                                                   KeySpans hidden,
                                                   std::atomic<uint64_t>* hidden_keys) {
  if (hidden.empty()) return MakeIterator(database, family, std::move(range), std::move(snapshot));
  return std::make_unique<SiftingIterator>(database, family, std::move(range), snapshot,
                                           std::move(hidden), hidden_keys);
}

}  // namespace kalam::storage

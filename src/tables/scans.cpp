// Scans over what is stored. Each holds one iterator and, for order entries, reads the row they
// point at.
#include "tables/scans.h"

#include <algorithm>
#include <utility>

#include "types/key_codec.h"

namespace kalam::tables {
namespace {

using replication::ChangeOp;
using replication::ChangeRecord;
using replication::OrderRecord;
using replication::RowRecord;
using storage::Family;
using storage::Iterator;
using storage::ScanRange;

constexpr size_t kSeqBytes = 8;

Status MalformedRecord() {
  return Status(ErrorKind::Corruption, "a key of a table's rows is malformed");
}

/// Walks the keys of a range forwards or backwards.
class Walker {
 public:
  Walker(storage::Store& store, Family family, ScanRange range, bool descending,
         const storage::SnapshotPtr& snapshot)
      : descending_(descending) {
    // A resume position may lie at the end of the range; the store wants no bounds in reverse.
    if (!range.upper.empty() && range.lower >= range.upper) return;
    iterator_ = store.NewIterator(family, std::move(range), snapshot);
  }

  Result<bool> Next() {
    if (!iterator_) return false;
    if (!started_) {
      started_ = true;
      descending_ ? iterator_->SeekToLast() : iterator_->SeekToFirst();
    } else if (descending_) {
      iterator_->Prev();
    } else {
      iterator_->Next();
    }
    if (iterator_->Valid()) return true;
    KALAM_RETURN_IF_ERROR(iterator_->status());
    iterator_.reset();
    return false;
  }
  std::string_view key() const { return iterator_->key(); }
  std::string_view value() const { return iterator_->value(); }

 private:
  const bool descending_;
  std::unique_ptr<Iterator> iterator_;
  bool started_ = false;
};

/// Bounds within the keys that begin with `prefix`. `after` is a resume position relative to it, or
/// empty.
ScanRange RangeWithin(const std::string& prefix, std::string_view lower, std::string_view upper,
                      std::string_view after, bool descending) {
  ScanRange range;
  range.lower = prefix;
  range.lower.append(lower);
  range.upper = upper.empty() ? PrefixEnd(prefix) : prefix + std::string(upper);
  if (after.empty()) return range;
  std::string position = prefix + std::string(after);
  if (descending) {
    range.upper = std::min(range.upper, position);
  } else {
    position.push_back('\0');  // the smallest key behind the position
    range.lower = std::max(range.lower, position);
  }
  return range;
}

std::string SeqBound(Seq seq) {
  std::string bound;
  EncodeBigEndian64(static_cast<uint64_t>(seq.value), &bound);
  return bound;
}

ScanRange SeqRange(const ScanRequest& request, const std::string& prefix) {
  const ScanOptions& options = request.options;
  std::string lower = options.seq_after.value > 0 ? SeqBound({options.seq_after.value + 1}) : "";
  std::string upper = options.seq_up_to.value > 0 ? SeqBound({options.seq_up_to.value + 1}) : "";
  return RangeWithin(prefix, lower, upper, request.resume_after, options.descending);
}

class KeyScan final : public RowScan {
 public:
  KeyScan(storage::Store& store, const ScanRequest& request, const std::string& prefix)
      : include_deleted_(request.options.include_deleted),
        prefix_size_(prefix.size()),
        walker_(store, Family::kRows,
                RangeWithin(prefix, request.options.key_lower, request.options.key_upper,
                            request.resume_after, request.options.descending),
                request.options.descending, request.scope.view.snapshot) {}

  Result<bool> Next() override {
    for (;;) {
      KALAM_ASSIGN_OR_RETURN(bool more, walker_.Next());
      if (!more) return false;
      KALAM_ASSIGN_OR_RETURN(record_, replication::DecodeRowRecord(walker_.value()));
      if (!record_.tombstone || include_deleted_) return true;
    }
  }
  std::string_view encoded_pk() const override { return walker_.key().substr(prefix_size_); }
  Seq seq() const override { return record_.seq; }
  bool deleted() const override { return record_.tombstone; }
  uint32_t schema_version() const override { return record_.schema_version; }
  std::string_view row() const override { return record_.row; }
  std::string Position() const override { return std::string(encoded_pk()); }

 private:
  const bool include_deleted_;
  const size_t prefix_size_;
  Walker walker_;
  RowRecord record_;
};

/// Walks order entries; `_seq` is in their key.
class OrderScan : public RowScan {
 public:
  OrderScan(storage::Store& store, const ScanRequest& request, const std::string& prefix)
      : include_deleted_(request.options.include_deleted),
        prefix_size_(prefix.size()),
        walker_(store, Family::kOrder, SeqRange(request, prefix), request.options.descending,
                request.scope.view.snapshot) {}

  Result<bool> Next() override {
    for (;;) {
      KALAM_ASSIGN_OR_RETURN(bool more, walker_.Next());
      if (!more) return false;
      KALAM_ASSIGN_OR_RETURN(order_, replication::DecodeOrderRecord(walker_.value()));
      if (order_.tombstone && !include_deleted_) continue;
      if (walker_.key().size() != prefix_size_ + kSeqBytes ||
          !storage::SeqOfKey(walker_.key(), &seq_)) {
        return MalformedRecord();
      }
      return true;
    }
  }
  std::string_view encoded_pk() const override { return order_.encoded_pk; }
  Seq seq() const override { return seq_; }
  bool deleted() const override { return order_.tombstone; }
  uint32_t schema_version() const override { return 0; }
  std::string_view row() const override { return {}; }
  std::string Position() const override { return SeqBound(seq_); }

 private:
  const bool include_deleted_;
  const size_t prefix_size_;
  Walker walker_;
  OrderRecord order_;
  Seq seq_;
};

/// Order entries and the rows they point at.
class SeqScan final : public RowScan {
 public:
  SeqScan(storage::Store& store, const ScanRequest& request, const std::string& prefix)
      : store_(store),
        snapshot_(request.scope.view.snapshot),
        prefix_size_(prefix.size()),
        row_key_(prefix),
        order_(store, request, prefix) {}

  Result<bool> Next() override {
    for (;;) {
      KALAM_ASSIGN_OR_RETURN(bool more, order_.Next());
      if (!more) return false;
      row_key_.resize(prefix_size_);
      row_key_.append(order_.encoded_pk());
      KALAM_ASSIGN_OR_RETURN(bool found,
                             store_.GetInto(Family::kRows, row_key_, snapshot_, &value_));
      if (!found) continue;
      KALAM_ASSIGN_OR_RETURN(record_, replication::DecodeRowRecord(value_));
      // Without a snapshot the row may have moved on since; then its new entry comes later.
      if (record_.seq == order_.seq()) return true;
    }
  }
  std::string_view encoded_pk() const override { return order_.encoded_pk(); }
  Seq seq() const override { return record_.seq; }
  bool deleted() const override { return record_.tombstone; }
  uint32_t schema_version() const override { return record_.schema_version; }
  std::string_view row() const override { return record_.row; }
  std::string Position() const override { return order_.Position(); }

 private:
  storage::Store& store_;
  const storage::SnapshotPtr snapshot_;
  const size_t prefix_size_;
  std::string row_key_;
  OrderScan order_;
  std::string value_;
  RowRecord record_;
};

class StreamScan final : public RowScan {
 public:
  StreamScan(storage::Store& store, const ScanRequest& request, const std::string& prefix)
      : key_lower_(request.options.key_lower),
        key_upper_(request.options.key_upper),
        now_us_(request.now_us),
        prefix_size_(prefix.size()),
        walker_(store, Family::kChanges, SeqRange(request, prefix), request.options.descending,
                request.scope.view.snapshot) {}

  Result<bool> Next() override {
    for (;;) {
      KALAM_ASSIGN_OR_RETURN(bool more, walker_.Next());
      if (!more) return false;
      KALAM_ASSIGN_OR_RETURN(record_, replication::DecodeChangeRecord(walker_.value()));
      if (record_.op == ChangeOp::kDelete || record_.expire_at_us <= now_us_) continue;
      if (record_.encoded_pk < key_lower_) continue;
      if (!key_upper_.empty() && record_.encoded_pk >= key_upper_) continue;
      if (walker_.key().size() != prefix_size_ + kSeqBytes ||
          !storage::SeqOfKey(walker_.key(), &seq_)) {
        return MalformedRecord();
      }
      return true;
    }
  }
  std::string_view encoded_pk() const override { return record_.encoded_pk; }
  Seq seq() const override { return seq_; }
  bool deleted() const override { return false; }
  uint32_t schema_version() const override { return record_.schema_version; }
  std::string_view row() const override { return record_.row; }
  std::string Position() const override { return SeqBound(seq_); }

 private:
  const std::string key_lower_, key_upper_;
  const int64_t now_us_;
  const size_t prefix_size_;
  Walker walker_;
  ChangeRecord record_;
  Seq seq_;
};

template <typename Scan>
std::unique_ptr<RowScan> Open(storage::Store& store, const ScanRequest& request) {
  return std::make_unique<Scan>(store, request,
                                storage::ScopePrefix(request.scope.table->id, request.scope.scope));
}

}  // namespace

std::unique_ptr<RowScan> OpenKeyScan(storage::Store& store, const ScanRequest& request) {
  return Open<KeyScan>(store, request);
}
std::unique_ptr<RowScan> OpenSeqScan(storage::Store& store, const ScanRequest& request) {
  return Open<SeqScan>(store, request);
}
std::unique_ptr<RowScan> OpenOrderScan(storage::Store& store, const ScanRequest& request) {
  return Open<OrderScan>(store, request);
}
std::unique_ptr<RowScan> OpenStreamScan(storage::Store& store, const ScanRequest& request) {
  return Open<StreamScan>(store, request);
}

}  // namespace kalam::tables

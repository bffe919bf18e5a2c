// Hot and cold rows as one scan. The store's version of a key is never older than a segment's: it
// hides every cold one, also while a row that moves is in both.
#include <optional>
#include <utility>

#include "segments/cold_rows.h"
#include "tables/scans.h"
#include "types/key_codec.h"

namespace kalam::tables {
namespace {

using segments::ColdScan;
using storage::Family;

constexpr size_t kSeqBytes = 8;

/// The current row of whichever of two scans stands at the next one.
class MergedScan : public RowScan {
 public:
  MergedScan(std::unique_ptr<RowScan> hot, std::unique_ptr<ColdScan> cold,
             const ScanOptions& options)
      : hot_(std::move(hot)),
        cold_(std::move(cold)),
        descending_(options.descending),
        include_deleted_(options.include_deleted) {}

  std::string_view encoded_pk() const override {
    return at_cold_ ? cold_->encoded_pk() : hot_->encoded_pk();
  }
  Seq seq() const override { return at_cold_ ? cold_->seq() : hot_->seq(); }
  bool deleted() const override { return at_cold_ ? cold_->deleted() : hot_->deleted(); }
  uint32_t schema_version() const override {
    return at_cold_ ? cold_->schema_version() : hot_->schema_version();
  }
  std::string_view row() const override { return at_cold_ ? cold_->row() : hot_->row(); }
  bool cold() const override { return at_cold_; }

 protected:
  /// A scan that stands on a row which has not been given out, has given it out, or is at its end.
  enum class Side : uint8_t { kWaiting, kTaken, kAtEnd };

  template <typename Scan>
  static Status Fill(Scan& scan, Side* side) {
    if (*side != Side::kTaken) return Status::Ok();
    KALAM_ASSIGN_OR_RETURN(bool more, scan.Next());
    *side = more ? Side::kWaiting : Side::kAtEnd;
    return Status::Ok();
  }

  const std::unique_ptr<RowScan> hot_;
  const std::unique_ptr<ColdScan> cold_;
  const bool descending_;
  const bool include_deleted_;
  Side hot_side_ = Side::kTaken;
  Side cold_side_ = Side::kTaken;
  bool at_cold_ = false;
};

/// `hot` gives tombstones too: they hide cold rows.
class MergedKeyScan final : public MergedScan {
 public:
  using MergedScan::MergedScan;

  Result<bool> Next() override {
    for (;;) {
      KALAM_RETURN_IF_ERROR(Fill(*hot_, &hot_side_));
      KALAM_RETURN_IF_ERROR(Fill(*cold_, &cold_side_));
      if (hot_side_ == Side::kAtEnd && cold_side_ == Side::kAtEnd) return false;
      int order = hot_side_ == Side::kAtEnd    ? 1
                  : cold_side_ == Side::kAtEnd ? -1
                                               : hot_->encoded_pk().compare(cold_->encoded_pk());
      if (descending_ && hot_side_ != Side::kAtEnd && cold_side_ != Side::kAtEnd) order = -order;
      if (order >= 0) cold_side_ = Side::kTaken;
      if (order <= 0) hot_side_ = Side::kTaken;
      at_cold_ = order > 0;
      if (include_deleted_ || !deleted()) return true;
    }
  }
  std::string Position() const override { return std::string(encoded_pk()); }
};

class MergedSeqScan final : public MergedScan {
 public:
  MergedSeqScan(std::unique_ptr<RowScan> hot, std::unique_ptr<ColdScan> cold, storage::Store& store,
                const ScanRequest& request)
      : MergedScan(std::move(hot), std::move(cold), request.options),
        store_(store),
        snapshot_(request.scope.view.snapshot),
        row_key_(storage::ScopePrefix(request.scope.table->id, request.scope.scope)),
        prefix_size_(row_key_.size()) {}

  Result<bool> Next() override {
    KALAM_RETURN_IF_ERROR(Fill(*hot_, &hot_side_));
    KALAM_RETURN_IF_ERROR(FillCold());
    if (hot_side_ == Side::kAtEnd && cold_side_ == Side::kAtEnd) return false;
    at_cold_ = hot_side_ == Side::kAtEnd ||
               (cold_side_ == Side::kWaiting &&
                (descending_ ? cold_->seq() > hot_->seq() : cold_->seq() < hot_->seq()));
    (at_cold_ ? cold_side_ : hot_side_) = Side::kTaken;
    return true;
  }
  std::string Position() const override {
    std::string position;
    EncodeBigEndian64(static_cast<uint64_t>(seq().value), &position);
    return position;
  }

 private:
  /// Moves on to a cold row that is not hidden.
  Status FillCold() {
    while (cold_side_ == Side::kTaken) {
      KALAM_RETURN_IF_ERROR(Fill(*cold_, &cold_side_));
      if (cold_side_ == Side::kAtEnd) break;
      bool hidden = cold_->deleted() && !include_deleted_;
      if (!hidden) {
        row_key_.resize(prefix_size_);
        row_key_.append(cold_->encoded_pk());
        KALAM_ASSIGN_OR_RETURN(hidden, store_.GetInto(Family::kRows, row_key_, snapshot_, &value_));
      }
      if (hidden) cold_side_ = Side::kTaken;
    }
    return Status::Ok();
  }

  storage::Store& store_;
  const storage::SnapshotPtr snapshot_;
  std::string row_key_;
  const size_t prefix_size_;
  std::string value_;
};

/// The bounds of the request behind its position; nullopt when nothing can lie there.
std::optional<segments::ColdKeyRange> KeyRangeOf(const ScanRequest& request) {
  const ScanOptions& options = request.options;
  segments::ColdKeyRange range{options.key_lower, options.key_upper, options.descending};
  if (!request.resume_after.empty()) {
    std::string position(request.resume_after);
    if (options.descending) {
      if (range.upper.empty() || position < range.upper) range.upper = std::move(position);
    } else {
      position.push_back('\0');  // the smallest key behind the position
      if (range.lower < position) range.lower = std::move(position);
    }
  }
  if (!range.upper.empty() && range.lower >= range.upper) return std::nullopt;
  return range;
}

std::optional<segments::ColdSeqRange> SeqRangeOf(const ScanRequest& request) {
  const ScanOptions& options = request.options;
  segments::ColdSeqRange range{options.seq_after, options.seq_up_to, options.descending};
  if (request.resume_after.size() == kSeqBytes) {
    Seq position{static_cast<int64_t>(DecodeBigEndian64(request.resume_after.data()))};
    if (!options.descending) {
      range.after = std::max(range.after, position);
    } else {
      if (position.value <= 1) return std::nullopt;
      Seq before{position.value - 1};
      range.up_to = range.up_to.value == 0 ? before : std::min(range.up_to, before);
    }
  }
  if (range.up_to.value != 0 && range.after >= range.up_to) return std::nullopt;
  return range;
}

}  // namespace

Result<std::unique_ptr<RowScan>> OpenMergedKeyScan(storage::Store& store,
                                                   segments::ColdRows& cold_rows,
                                                   const ScanRequest& request) {
  std::optional<segments::ColdKeyRange> range = KeyRangeOf(request);
  if (!range) return OpenKeyScan(store, request);
  KALAM_ASSIGN_OR_RETURN(std::unique_ptr<ColdScan> cold,
                         cold_rows.OpenKeyScan(request.scope.table, request.scope.scope, *range,
                                               request.scope.view.snapshot));
  ScanOptions hot_options = request.options;
  hot_options.include_deleted = true;
  ScanRequest hot{request.scope, hot_options, request.resume_after, request.now_us};
  return std::unique_ptr<RowScan>(
      std::make_unique<MergedKeyScan>(OpenKeyScan(store, hot), std::move(cold), request.options));
}

Result<std::unique_ptr<RowScan>> OpenMergedSeqScan(storage::Store& store,
                                                   segments::ColdRows& cold_rows,
                                                   const ScanRequest& request, SeqRows rows) {
  std::unique_ptr<RowScan> hot =
      rows == SeqRows::kWhole ? OpenSeqScan(store, request) : OpenOrderScan(store, request);
  std::optional<segments::ColdSeqRange> range = SeqRangeOf(request);
  if (!range) return hot;
  KALAM_ASSIGN_OR_RETURN(std::unique_ptr<ColdScan> cold,
                         cold_rows.OpenSeqScan(request.scope.table, request.scope.scope, *range,
                                               request.scope.view.snapshot));
  return std::unique_ptr<RowScan>(
      std::make_unique<MergedSeqScan>(std::move(hot), std::move(cold), store, request));
}

}  // namespace kalam::tables

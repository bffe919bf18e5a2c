// Staged rows of a transaction laid over what is stored (read-your-writes).
//
// A statement may stage rows while it scans: an overlay shows only what was staged before it was
// opened, and finds its place again by key after every step, so that the writer may add and remove
// rows meanwhile.
#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "tables/scans.h"
#include "types/key_codec.h"

namespace kalam::tables {
namespace {

using replication::ChangeOp;

/// The parts of RowScan that answer from a staged row or from the base, whichever is current.
class OverlayScan : public RowScan {
 public:
  OverlayScan(std::unique_ptr<RowScan> base, const StagedRows& staged, const ScanRequest& request)
      : base_(std::move(base)),
        staged_(staged.FindScope(request.scope.table->id, request.scope.scope)),
        ordinal_end_(staged.next_ordinal()),
        options_(request.options) {}

  std::string_view encoded_pk() const override {
    return current_ ? std::string_view(current_->encoded_pk) : base_->encoded_pk();
  }
  Seq seq() const override { return current_ ? current_->seq : base_->seq(); }
  bool deleted() const override { return current_ ? current_->deleted : base_->deleted(); }
  uint32_t schema_version() const override {
    return current_ ? current_->schema_version : base_->schema_version();
  }
  std::string_view row() const override {
    return current_ ? std::string_view(current_->row) : base_->row();
  }
  bool cold() const override { return !current_ && base_->cold(); }

 protected:
  /// The staged version that counts for this scan, or null.
  const StagedRow* FindStaged(std::string_view key) const {
    if (staged_ == nullptr) return nullptr;
    auto found = staged_->rows.find(key);
    if (found == staged_->rows.end() || found->second.ordinal >= ordinal_end_) return nullptr;
    return &found->second;
  }
  bool Shows(const StagedRow& row) const {
    return !row.current.deleted || options_.include_deleted;
  }

  const std::unique_ptr<RowScan> base_;
  const StagedScope* const staged_;  // null when nothing is staged in this scope
  const uint64_t ordinal_end_;
  const ScanOptions options_;
  /// A copy: the writer may drop the staged row while the caller looks at it.
  std::optional<StoredRow> current_;
};

class OverlayByKeyScan final : public OverlayScan {
 public:
  OverlayByKeyScan(std::unique_ptr<RowScan> base, const StagedRows& staged,
                   const ScanRequest& request)
      : OverlayScan(std::move(base), staged, request), passed_(request.resume_after) {}

  Result<bool> Next() override {
    for (;;) {
      if (!base_ready_ && !base_done_) {
        KALAM_ASSIGN_OR_RETURN(bool more, base_->Next());
        base_done_ = !more;
        base_ready_ = more;
      }
      const StagedRow* staged = NextStaged();
      if (!base_ready_ && staged == nullptr) return false;
      bool take_staged = staged != nullptr &&
                         (!base_ready_ || !Before(base_->encoded_pk(), staged->current.encoded_pk));
      if (!take_staged) {
        base_ready_ = false;
        current_.reset();
        passed_ = base_->encoded_pk();
        return true;
      }
      if (base_ready_ && base_->encoded_pk() == staged->current.encoded_pk) base_ready_ = false;
      passed_ = staged->current.encoded_pk;
      if (!Shows(*staged)) continue;
      current_ = staged->current;
      return true;
    }
  }
  std::string Position() const override { return passed_; }

 private:
  bool Before(std::string_view a, std::string_view b) const {
    return options_.descending ? b < a : a < b;
  }

  /// The first staged row behind `passed_` and within the bounds.
  const StagedRow* NextStaged() const {
    if (staged_ == nullptr) return nullptr;
    const auto& rows = staged_->rows;
    if (options_.descending) {
      auto at = !passed_.empty()              ? rows.lower_bound(passed_)
                : !options_.key_upper.empty() ? rows.lower_bound(options_.key_upper)
                                              : rows.end();
      while (at != rows.begin()) {
        --at;
        if (at->first < options_.key_lower) return nullptr;
        if (at->second.ordinal < ordinal_end_) return &at->second;
      }
      return nullptr;
    }
    auto at = passed_.empty() ? rows.lower_bound(options_.key_lower) : rows.upper_bound(passed_);
    for (; at != rows.end(); ++at) {
      if (!options_.key_upper.empty() && at->first >= options_.key_upper) return nullptr;
      if (at->second.ordinal < ordinal_end_) return &at->second;
    }
    return nullptr;
  }

  bool base_ready_ = false;  // the base stands on a row that has not been given out
  bool base_done_ = false;
  std::string passed_;  // the last key given out, or where the scan resumes
};

/// A position among staged rows: longer than a `_seq`, so that the two cannot be mistaken.
constexpr char kStagedPosition = 'S';
constexpr size_t kStagedPositionBytes = 9;

std::optional<uint64_t> StagedOrdinal(std::string_view position) {
  if (!IsStagedPosition(position)) return std::nullopt;
  return DecodeBigEndian64(position.data() + 1);
}

class OverlayBySeqScan final : public OverlayScan {
 public:
  OverlayBySeqScan(std::unique_ptr<RowScan> base, const StagedRows& staged,
                   const ScanRequest& request)
      : OverlayScan(std::move(base), staged, request) {
    std::optional<uint64_t> resumed = StagedOrdinal(request.resume_after);
    bool base_resumed = !request.resume_after.empty() && !resumed;
    // Going up, staged rows come last: a position among them means that the base is finished. Going
    // down, they come first.
    base_done_ = resumed.has_value() && !options_.descending;
    if (staged_ == nullptr || (options_.descending && base_resumed)) return;
    for (const auto& [key, row] : staged_->rows) {
      if (staged_->is_stream && row.op == ChangeOp::kDelete) {
        deleted_stream_seqs_.push_back(row.base_seq);
        continue;
      }
      if (!InBounds(row.current.seq)) continue;
      if (resumed && (options_.descending ? row.ordinal >= *resumed : row.ordinal <= *resumed)) {
        continue;
      }
      waiting_.push_back({row.ordinal, key});
    }
    std::sort(waiting_.begin(), waiting_.end());
    if (options_.descending) std::reverse(waiting_.begin(), waiting_.end());
    std::sort(deleted_stream_seqs_.begin(), deleted_stream_seqs_.end());
  }

  Result<bool> Next() override {
    if (options_.descending) {
      if (NextWaiting()) return true;
      return NextOfBase();
    }
    KALAM_ASSIGN_OR_RETURN(bool more, NextOfBase());
    return more || NextWaiting();
  }

  std::string Position() const override {
    if (!current_) return base_->Position();
    std::string position(1, kStagedPosition);
    EncodeBigEndian64(current_ordinal_, &position);
    return position;
  }

 private:
  bool InBounds(Seq seq) const {
    return seq > options_.seq_after && (options_.seq_up_to.value == 0 || seq <= options_.seq_up_to);
  }

  Result<bool> NextOfBase() {
    current_.reset();
    while (!base_done_) {
      KALAM_ASSIGN_OR_RETURN(bool more, base_->Next());
      if (!more) {
        base_done_ = true;
        break;
      }
      if (staged_ != nullptr && staged_->is_stream) {
        if (!std::binary_search(deleted_stream_seqs_.begin(), deleted_stream_seqs_.end(),
                                base_->seq())) {
          return true;
        }
      } else if (FindStaged(base_->encoded_pk()) == nullptr) {
        return true;
      }
    }
    return false;
  }

  bool NextWaiting() {
    while (next_waiting_ < waiting_.size()) {
      const auto& [ordinal, key] = waiting_[next_waiting_++];
      const StagedRow* row = FindStaged(key);
      if (row == nullptr || row->ordinal != ordinal || !Shows(*row)) continue;
      current_ = row->current;
      current_ordinal_ = ordinal;
      return true;
    }
    return false;
  }

  std::vector<std::pair<uint64_t, std::string>> waiting_;  // ordinals and keys, in the scan's order
  std::vector<Seq> deleted_stream_seqs_;
  size_t next_waiting_ = 0;
  uint64_t current_ordinal_ = 0;
  bool base_done_ = false;
};

}  // namespace

bool IsStagedPosition(std::string_view position) {
  return position.size() == kStagedPositionBytes && position[0] == kStagedPosition;
}

std::unique_ptr<RowScan> OverlayByKey(std::unique_ptr<RowScan> base, const StagedRows& staged,
                                      const ScanRequest& request) {
  return std::make_unique<OverlayByKeyScan>(std::move(base), staged, request);
}
std::unique_ptr<RowScan> OverlayBySeq(std::unique_ptr<RowScan> base, const StagedRows& staged,
                                      const ScanRequest& request) {
  return std::make_unique<OverlayBySeqScan>(std::move(base), staged, request);
}

}  // namespace kalam::tables

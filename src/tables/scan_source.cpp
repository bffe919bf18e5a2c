// Sources of rows for the analytical engine: a table's scope split into parts by key, and rows in
// memory.
#include "tables/scan_source.h"

#include <algorithm>
#include <mutex>
#include <optional>
#include <utility>

#include "storage/store.h"
#include "tables/cold_extent.h"
#include "tables/cold_files.h"
#include "tables/table_reader.h"
#include "types/convert.h"
#include "types/key_codec.h"

namespace kalam::tables {
namespace {

using storage::Family;
using storage::Iterator;

constexpr int64_t kPartBytes = 512 << 10;
constexpr int64_t kPartCountMax = 64;
constexpr int64_t kColdRowsPerPart = 65536;
/// What a segment of many scopes is taken to hold of one of them.
constexpr int64_t kRowsInSharedSegment = 500;
constexpr int kSampleRows = 8;
constexpr int kSplitDepthMax = 48;

/// A range of encoded primary keys; empty bounds are open.
struct KeyRange {
  std::string lower;
  std::string upper;

  void RaiseLower(std::string bound) { lower = std::max(lower, std::move(bound)); }
  void CutUpper(std::string bound) {
    if (upper.empty() || bound < upper) upper = std::move(bound);
  }
  bool empty() const { return !upper.empty() && lower >= upper; }
};

/// Narrows `range` by a comparison with the key column. A value that the key's type cannot hold
/// exactly narrows nothing.
void Narrow(const ScanHint& hint, const DataType& key_type, KeyRange* range) {
  Datum value = hint.value.datum();
  if (value.is_null) return;
  Arena arena;
  Result<Datum> exact = Cast(value, key_type, &arena);
  if (!exact.ok()) return;
  Result<int> order = CompareValues(*exact, value);
  if (!order.ok() || *order != 0) return;
  std::string key;
  EncodeKey(*exact, &key);
  std::string behind = key + '\0';
  switch (hint.op) {
    case ScanHint::Op::kEqual:
      range->RaiseLower(std::move(key));
      range->CutUpper(std::move(behind));
      break;
    case ScanHint::Op::kLess:
      range->CutUpper(std::move(key));
      break;
    case ScanHint::Op::kLessEqual:
      range->CutUpper(std::move(behind));
      break;
    case ScanHint::Op::kGreater:
      range->RaiseLower(std::move(behind));
      break;
    case ScanHint::Op::kGreaterEqual:
      range->RaiseLower(std::move(key));
      break;
  }
}

/// The key halfway between two, by the eight bytes behind their common front; nullopt when there is
/// none between.
std::optional<std::string> Midpoint(std::string_view low, std::string_view high) {
  size_t common = 0;
  while (common < low.size() && common < high.size() && low[common] == high[common]) ++common;
  auto digits = [common](std::string_view key) {
    std::string bytes(key.substr(common, 8));
    bytes.resize(8, '\0');
    return DecodeBigEndian64(bytes.data());
  };
  uint64_t low_digits = digits(low);
  uint64_t high_digits = digits(high);
  uint64_t middle = low_digits + (high_digits - low_digits) / 2;
  if (high_digits <= low_digits || middle == low_digits) return std::nullopt;
  std::string key(low.substr(0, common));
  EncodeBigEndian64(middle, &key);
  return key;
}

/// Splits the rows of a scope into ranges of about equal bytes: halves the key range until the
/// pieces are small, then puts neighbours together. Skewed keys only make the pieces uneven.
class Splitter {
 public:
  Splitter(storage::Store& store, std::string prefix, int64_t bytes)
      : store_(store),
        prefix_(std::move(prefix)),
        total_bytes_(bytes),
        part_bytes_(std::max(kPartBytes, bytes / kPartCountMax)) {}

  /// Boundaries between the parts, ascending.
  std::vector<std::string> Split(const std::string& first, const std::string& last) {
    Halve(first, last, total_bytes_, 0);
    std::vector<std::string> boundaries;
    int64_t gathered = 0;
    for (Piece& piece : pieces_) {
      gathered += piece.bytes;
      if (gathered < part_bytes_ || &piece == &pieces_.back()) continue;
      boundaries.push_back(std::move(piece.upper));
      gathered = 0;
    }
    return boundaries;
  }

 private:
  struct Piece {
    std::string upper;
    int64_t bytes;
  };

  void Halve(const std::string& low, const std::string& high, int64_t bytes, int depth) {
    std::optional<std::string> middle;
    if (bytes >= part_bytes_ && depth < kSplitDepthMax) middle = Midpoint(low, high);
    if (!middle) {
      pieces_.push_back({high, bytes});
      return;
    }
    int64_t left_bytes = store_.ApproximateBytes(Family::kRows, {prefix_ + low, prefix_ + *middle});
    left_bytes = std::clamp<int64_t>(left_bytes, 0, bytes);
    Halve(low, *middle, left_bytes, depth + 1);
    Halve(*middle, high, bytes - left_bytes, depth + 1);
  }

  storage::Store& store_;
  const std::string prefix_;
  const int64_t total_bytes_;
  const int64_t part_bytes_;
  std::vector<Piece> pieces_;
};

class EmptyPart final : public ScanPart {
 public:
  Result<bool> Next() override { return false; }
  std::span<const Datum> cells() const override { return {}; }
};

class TablePart final : public ScanPart {
 public:
  TablePart(const catalog::TablePtr& table, std::unique_ptr<RowScan> scan,
            std::span<const uint32_t> columns)
      : scan_(std::move(scan)),
        columns_(columns.begin(), columns.end()),
        // Rows may be counted without a cell; an empty set would decode all.
        decoder_(table, columns.empty() ? ColumnSet{SeqColumn(*table)} : columns_),
        cells_(columns.size()) {}

  Result<bool> Next() override {
    KALAM_ASSIGN_OR_RETURN(bool more, scan_->Next());
    if (!more) return false;
    KALAM_RETURN_IF_ERROR(
        decoder_.Decode(scan_->schema_version(), scan_->row(), scan_->seq(), scan_->deleted()));
    std::span<const Datum> decoded = decoder_.cells();
    for (size_t i = 0; i < columns_.size(); ++i) cells_[i] = decoded[columns_[i]];
    return true;
  }
  std::span<const Datum> cells() const override { return cells_; }

 private:
  static uint32_t SeqColumn(const catalog::TableDefinition& table) {
    return static_cast<uint32_t>(table.FindColumn(catalog::kSeqColumn).value_or(0));
  }

  const std::unique_ptr<RowScan> scan_;
  const ColumnSet columns_;
  RowDecoder decoder_;
  std::vector<Datum> cells_;
};

class TableSource final : public ScanSource {
 public:
  TableSource(TableReader& reader, ReadScope scope, bool include_deleted)
      : reader_(reader), scope_(std::move(scope)), include_deleted_(include_deleted) {
    for (const catalog::ColumnDefinition& column : *scope_.table->columns) {
      columns_.push_back({column.name, column.type, column.primary_key, column.primary_key,
                          !column.nullable || column.primary_key});
    }
  }

  const ResultSchema& columns() const override { return columns_; }
  int64_t estimated_rows() const override {
    Measure();
    return estimated_rows_;
  }
  size_t part_count() const override {
    Measure();
    return boundaries_.size() + 1;
  }

  Result<std::unique_ptr<ScanPart>> OpenPart(size_t part, std::span<const uint32_t> columns,
                                             std::span<const ScanHint> hints) override {
    Measure();
    KeyRange range = KeysWithin(hints);
    if (part > 0) range.RaiseLower(boundaries_[part - 1]);
    if (part < boundaries_.size()) range.CutUpper(boundaries_[part]);
    if (range.empty()) return std::unique_ptr<ScanPart>(std::make_unique<EmptyPart>());
    ScanOptions options;
    options.include_deleted = include_deleted_;
    options.key_lower = std::move(range.lower);
    options.key_upper = std::move(range.upper);
    KALAM_ASSIGN_OR_RETURN(std::unique_ptr<RowScan> scan, reader_.OpenScan(scope_, options));
    return std::unique_ptr<ScanPart>(
        std::make_unique<TablePart>(scope_.table, std::move(scan), columns));
  }

  Result<std::shared_ptr<ColdFiles>> OpenColdFiles(std::span<const ScanHint> hints) override {
    const KeyRange range = KeysWithin(hints);
    // The cold half gives no tombstones.
    if (include_deleted_ || range.empty()) return std::shared_ptr<ColdFiles>();
    return OpenTableColdFiles(reader_, scope_, range.lower, range.upper, hints);
  }

 private:
  KeyRange KeysWithin(std::span<const ScanHint> hints) const {
    KeyRange range;
    const std::optional<size_t> key = scope_.table->PrimaryKey();
    for (const ScanHint& hint : hints) {
      if (key && hint.column == *key) Narrow(hint, columns_[*key].type, &range);
    }
    return range;
  }

  /// Sizes up the scope on first use: a source that is only planned with costs nothing.
  void Measure() const {
    std::call_once(measured_, [this] {
      if (scope_.table->type == catalog::TableType::kStream) {
        estimated_rows_ = Sample(Family::kChanges, nullptr, nullptr);
      } else {
        std::string first, last;
        estimated_rows_ = Sample(Family::kRows, &first, &last);
        boundaries_ = Splitter(reader_.store(), Prefix(), bytes_).Split(first, last);
        AddCold();
      }
    });
  }

  /// Counts cold rows and cuts them as well; what cannot be read counts as nothing here, too.
  void AddCold() const {
    Result<ColdExtent> extent = MeasureCold(reader_, scope_, kColdRowsPerPart);
    if (!extent.ok() || extent->segment_count == 0) return;
    estimated_rows_ += extent->row_count + extent->shared_segment_count * kRowsInSharedSegment;
    std::vector<std::string> all;
    std::merge(boundaries_.begin(), boundaries_.end(), extent->cuts.begin(), extent->cuts.end(),
               std::back_inserter(all));
    all.erase(std::unique(all.begin(), all.end()), all.end());
    const size_t step = all.size() / kPartCountMax + 1;
    boundaries_.clear();
    for (size_t i = step - 1; i < all.size(); i += step) boundaries_.push_back(std::move(all[i]));
  }

  std::string Prefix() const { return storage::ScopePrefix(scope_.table->id, scope_.scope); }

  /// A rough number of rows, from the size of the first few; also the first and the last key within
  /// the scope. What cannot be read counts as nothing here: the scan itself will tell.
  int64_t Sample(Family family, std::string* first, std::string* last) const {
    std::string prefix = Prefix();
    storage::ScanRange range{prefix, PrefixEnd(prefix)};
    bytes_ = reader_.store().ApproximateBytes(family, range);
    std::unique_ptr<Iterator> iterator =
        reader_.store().NewIterator(family, range, scope_.view.snapshot);
    int64_t sampled_bytes = 0;
    int64_t sampled_rows = 0;
    for (iterator->SeekToFirst(); iterator->Valid() && sampled_rows < kSampleRows;
         iterator->Next()) {
      if (sampled_rows == 0 && first != nullptr) *first = iterator->key().substr(prefix.size());
      sampled_bytes += static_cast<int64_t>(iterator->key().size() + iterator->value().size());
      ++sampled_rows;
    }
    if (sampled_rows < kSampleRows) return sampled_rows;
    if (last != nullptr) {
      iterator->SeekToLast();
      if (iterator->Valid()) *last = iterator->key().substr(prefix.size());
    }
    return std::max(sampled_rows, bytes_ * sampled_rows / std::max<int64_t>(sampled_bytes, 1));
  }

  TableReader& reader_;
  const ReadScope scope_;
  const bool include_deleted_;
  ResultSchema columns_;
  mutable std::once_flag measured_;
  mutable int64_t estimated_rows_ = 0;  // set under measured_, as the next two
  mutable int64_t bytes_ = 0;
  mutable std::vector<std::string> boundaries_;
};

class BufferPart final : public ScanPart {
 public:
  BufferPart(std::shared_ptr<const RowBuffer> buffer, std::span<const uint32_t> columns)
      : buffer_(std::move(buffer)),
        columns_(columns.begin(), columns.end()),
        cells_(columns.size()) {}

  Result<bool> Next() override {
    if (next_ >= buffer_->rows().size()) return false;
    const std::vector<Value>& row = buffer_->rows()[next_++];
    for (size_t i = 0; i < columns_.size(); ++i) cells_[i] = row[columns_[i]].datum();
    return true;
  }
  std::span<const Datum> cells() const override { return cells_; }

 private:
  const std::shared_ptr<const RowBuffer> buffer_;
  const std::vector<uint32_t> columns_;
  std::vector<Datum> cells_;
  size_t next_ = 0;
};

class BufferSource final : public ScanSource {
 public:
  explicit BufferSource(std::shared_ptr<const RowBuffer> buffer) : buffer_(std::move(buffer)) {}
  const ResultSchema& columns() const override { return buffer_->schema(); }
  int64_t estimated_rows() const override { return static_cast<int64_t>(buffer_->row_count()); }
  size_t part_count() const override { return 1; }
  Result<std::unique_ptr<ScanPart>> OpenPart(size_t, std::span<const uint32_t> columns,
                                             std::span<const ScanHint>) override {
    return std::unique_ptr<ScanPart>(std::make_unique<BufferPart>(buffer_, columns));
  }

 private:
  const std::shared_ptr<const RowBuffer> buffer_;
};

}  // namespace

std::shared_ptr<ScanSource> MakeTableSource(TableReader& reader, ReadScope scope,
                                            bool include_deleted) {
  return std::make_shared<TableSource>(reader, std::move(scope), include_deleted);
}

std::shared_ptr<ScanSource> MakeBufferSource(std::shared_ptr<const RowBuffer> buffer) {
  return std::make_shared<BufferSource>(std::move(buffer));
}

}  // namespace kalam::tables

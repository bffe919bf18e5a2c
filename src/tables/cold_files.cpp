// A table's scope as cold files and hot rows, for an engine that reads Parquet by itself.
#include "tables/cold_files.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "segments/chunk_statistics.h"
#include "segments/cold_rows.h"
#include "tables/cold_extent.h"
#include "types/convert.h"
#include "types/key_codec.h"

namespace kalam::tables {
namespace {

using segments::RawSegment;
using segments::SegmentRecord;

/// Hot keys that are looked for in a run of cold rows at a time: what they take is not accounted.
constexpr size_t kHotKeysAtOnce = 8192;

int32_t FieldId(const catalog::ColumnDefinition& column) {
  if (column.name == catalog::kSeqColumn) return segments::kSeqFieldId;
  if (column.name == catalog::kDeletedColumn) return segments::kDeletedFieldId;
  return static_cast<int32_t>(column.column_id);
}

/// True when the engine reads a value of the type `written` as RowDecoder casts it.
bool IsReadAlike(const DataType& written, const DataType& now) {
  if (written == now) return true;
  if (written.is_text() && now.is_text()) return true;
  const auto width = [](TypeKind kind) {
    return kind == TypeKind::kSmallInt ? 2 : kind == TypeKind::kInt ? 4 : 8;
  };
  return written.is_integer() && now.is_integer() && width(written.kind) <= width(now.kind);
}

bool IsReadAlike(const catalog::TableDefinition& table, uint32_t schema_version) {
  if (schema_version == 0 || schema_version > table.layouts->size()) return false;
  const RowLayout& layout = (*table.layouts)[schema_version - 1];
  return std::all_of(table.columns->begin(), table.columns->end(), [&layout](const auto& column) {
    const auto cell =
        std::find_if(layout.cells.begin(), layout.cells.end(),
                     [&column](const auto& each) { return each.column_id == column.column_id; });
    return cell == layout.cells.end() || IsReadAlike(cell->type, column.type);
  });
}

ColdFile FileOf(RawSegment segment) {
  const SegmentRecord& record = segment.record;
  ColdFile file;
  file.name = std::to_string(record.table.value) + "/" + std::to_string(record.segment_id) + "/" +
              record.path;
  file.local_path = std::move(segment.local_path);
  file.read = std::move(segment.read);
  file.check = std::move(segment.check);
  file.size_bytes = record.size_bytes;
  file.row_count = record.row_count;
  file.tombstone_count = record.tombstone_count;
  file.many_scopes = record.place.many;
  file.min_pk = record.min_pk;
  file.max_pk = record.max_pk;
  file.min_seq = record.min_seq;
  file.max_seq = record.max_seq;
  file.pin = std::move(segment.pin);
  return file;
}

class TableColdFiles final : public ColdFiles {
 public:
  TableColdFiles(TableReader& reader, const ReadScope& scope, std::vector<ColdFile> files,
                 std::vector<SegmentRecord> records, size_t file_count_total, ScanOptions range,
                 std::span<const ScanHint> hints)
      : reader_(reader),
        hot_reader_(reader.store(), reader.clock()),
        scope_(scope),
        hot_(MakeTableSource(hot_reader_, scope_, false)),
        files_(std::move(files)),
        records_(std::move(records)),
        file_count_total_(file_count_total),
        range_(std::move(range)),
        hints_(hints.begin(), hints.end()),
        user_id_(scope.scope.user_id()) {
    for (const catalog::ColumnDefinition& column : *scope_.table->columns) {
      field_ids_.push_back(FieldId(column));
      absent_values_.push_back(AbsentValue(column));
    }
  }

  const std::vector<ColdFile>& files() const override { return files_; }
  size_t file_count_total() const override { return file_count_total_; }
  Result<std::string> DescribePruning() const override {
    // The engine looks at the statistics of row groups by itself.
    segments::FileStatistics statistics;
    uint64_t read_segment_id = 0;
    const auto may_hold_rows = [&](const SegmentRecord& segment, size_t group) -> Result<bool> {
      if (hints_.empty()) return true;
      if (segment.segment_id != read_segment_id) {
        KALAM_ASSIGN_OR_RETURN(statistics, StatisticsOf(segment));
        read_segment_id = segment.segment_id;
      }
      return std::all_of(hints_.begin(), hints_.end(),
                         [&](const ScanHint& hint) { return MayHold(statistics, group, hint); });
    };
    KALAM_ASSIGN_OR_RETURN(const ColdPruning pruning,
                           PruneCold(reader_, scope_, {&range_, 1}, may_hold_rows));
    return pruning.ToString();
  }
  const std::vector<int32_t>& field_ids() const override { return field_ids_; }
  const std::vector<Value>& absent_values() const override { return absent_values_; }
  uint32_t key_column() const override {
    return static_cast<uint32_t>(scope_.table->PrimaryKey().value_or(0));
  }
  uint32_t seq_column() const override { return Find(catalog::kSeqColumn); }
  uint32_t deleted_column() const override { return Find(catalog::kDeletedColumn); }
  int32_t user_field_id() const override { return segments::kUserFieldId; }
  const std::string& user_id() const override { return user_id_; }

  Result<bool> MayBeHidden(size_t file) override {
    ScanOptions options;
    options.include_deleted = true;
    options.key_lower = records_[file].min_pk;
    options.key_upper = records_[file].max_pk + '\0';
    KALAM_ASSIGN_OR_RETURN(const std::unique_ptr<RowScan> scan,
                           hot_reader_.OpenScan(scope_, options));
    return scan->Next();
  }
  Result<HiddenRows> FindHiddenRows(size_t file, int64_t row) override {
    KALAM_ASSIGN_OR_RETURN(const auto keys,
                           reader_.cold_rows()->OpenKeys(scope_.table, scope_.scope, records_[file],
                                                         scope_.view.snapshot));
    KALAM_ASSIGN_OR_RETURN(const segments::SegmentKeys::Run run, keys->RunOf(row));
    HiddenRows hidden{run.row_begin, run.row_end, {}};
    if (!run.has_scope) return hidden;
    ScanOptions options;
    options.include_deleted = true;
    options.key_lower = run.key_lower;
    options.key_upper = run.key_upper;
    KALAM_ASSIGN_OR_RETURN(std::unique_ptr<RowScan> scan, hot_reader_.OpenScan(scope_, options));
    std::vector<std::string> hot_keys;
    bool more = true;
    while (more) {
      hot_keys.clear();
      while (hot_keys.size() < kHotKeysAtOnce) {
        KALAM_ASSIGN_OR_RETURN(more, scan->Next());
        if (!more) break;
        hot_keys.emplace_back(scan->encoded_pk());
      }
      if (hot_keys.empty()) break;
      KALAM_ASSIGN_OR_RETURN(const std::vector<uint32_t> rows, keys->Find(run, hot_keys));
      hidden.rows.insert(hidden.rows.end(), rows.begin(), rows.end());
    }
    return hidden;
  }
  size_t hot_part_count() const override { return hot_->part_count(); }
  Result<std::unique_ptr<ScanPart>> OpenHotPart(size_t part, std::span<const uint32_t> columns,
                                                std::span<const ScanHint> hints) override {
    return hot_->OpenPart(part, columns, hints);
  }

 private:
  Result<segments::FileStatistics> StatisticsOf(const SegmentRecord& segment) const {
    for (size_t i = 0; i < records_.size(); ++i) {
      if (records_[i].segment_id == segment.segment_id)
        return segments::ReadStatistics(segment, files_[i].read);
    }
    return segments::FileStatistics();
  }
  /// Whether the bounds of a column leave room for the hint. A column that the file lacks is left
  /// to the engine.
  bool MayHold(const segments::FileStatistics& statistics, size_t group,
               const ScanHint& hint) const {
    const segments::ChunkStatistics* bounds = statistics.Find(group, field_ids_[hint.column]);
    if (bounds == nullptr || hint.value.is_null()) return true;
    const DataType& type = (*scope_.table->columns)[hint.column].type;
    const std::optional<Value> min = bounds->MinOf(type), max = bounds->MaxOf(type);
    // What cannot be compared rules nothing out.
    const auto order = [&](const std::optional<Value>& bound) -> std::optional<int> {
      if (!bound) return std::nullopt;
      const Result<int> compared = CompareValues(bound->datum(), hint.value.datum());
      return compared.ok() ? std::optional(*compared) : std::nullopt;
    };
    const std::optional<int> least = order(min), greatest = order(max);
    switch (hint.op) {
      case ScanHint::Op::kEqual:
        return least.value_or(0) <= 0 && greatest.value_or(0) >= 0;
      case ScanHint::Op::kLess:
        return least.value_or(-1) < 0;
      case ScanHint::Op::kLessEqual:
        return least.value_or(0) <= 0;
      case ScanHint::Op::kGreater:
        return greatest.value_or(1) > 0;
      case ScanHint::Op::kGreaterEqual:
        return greatest.value_or(0) >= 0;
    }
    return true;
  }
  uint32_t Find(std::string_view name) const {
    return static_cast<uint32_t>(scope_.table->FindColumn(name).value_or(0));
  }

  const TableReader& reader_;
  TableReader hot_reader_;  // knows of no segments
  const ReadScope scope_;
  const std::shared_ptr<ScanSource> hot_;
  const std::vector<ColdFile> files_;
  const std::vector<SegmentRecord> records_;  // of the files
  const size_t file_count_total_;
  const ScanOptions range_;  // of keys that the files were chosen by
  const std::vector<ScanHint> hints_;
  const std::string user_id_;
  std::vector<int32_t> field_ids_;
  std::vector<Value> absent_values_;
};

}  // namespace

Result<std::shared_ptr<ColdFiles>> OpenTableColdFiles(TableReader& reader, const ReadScope& scope,
                                                      const std::string& key_lower,
                                                      const std::string& key_upper,
                                                      std::span<const ScanHint> hints) {
  const catalog::TableDefinition& table = *scope.table;
  std::shared_ptr<ColdFiles> none;
  if (!reader.MayHaveColdRows(table) || !table.PrimaryKey()) return none;
  KALAM_ASSIGN_OR_RETURN(
      std::vector<RawSegment> segments,
      reader.cold_rows()->RawSegments(scope.table, scope.scope, scope.view.snapshot));
  if (segments.empty()) return none;
  const std::string lower = segments::SegmentKey(scope.scope, key_lower);
  const std::string upper = key_upper.empty() ? PrefixEnd(segments::SegmentKeyPrefix(scope.scope))
                                              : segments::SegmentKey(scope.scope, key_upper);
  const size_t total = segments.size();
  std::vector<ColdFile> files;
  std::vector<SegmentRecord> records;
  for (RawSegment& segment : segments) {
    if (!IsReadAlike(table, segment.record.schema_version)) return none;
    if (segment.record.max_key < lower || segment.record.min_key >= upper) continue;
    records.push_back(segment.record);
    files.push_back(FileOf(std::move(segment)));
  }
  ScanOptions range;
  range.key_lower = key_lower;
  range.key_upper = key_upper;
  return std::shared_ptr<ColdFiles>(std::make_shared<TableColdFiles>(
      reader, scope, std::move(files), std::move(records), total, std::move(range), hints));
}

}  // namespace kalam::tables

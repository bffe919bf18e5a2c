// Runs of keys by row group, and the search for many keys in one of them.
#include "segments/segment_keys.h"

#include <algorithm>
#include <utility>

#include "segments/number_keys.h"
#include "segments/segment_cache_keys.h"

namespace kalam::segments {
namespace {

class FileKeys : public SegmentKeys {
 public:
  FileKeys(SegmentReader& reader, SegmentFilePtr file, const storage::Scope& scope)
      : reader_(reader), file_(std::move(file)), prefix_(SegmentKeyPrefix(scope)) {}

  Result<Run> RunOf(int64_t row) const override {
    Run run;
    for (; run.index < file_->groups.size(); ++run.index) {
      run.row_end = run.row_begin + file_->groups[run.index].row_count;
      if (row < run.row_end) break;
      run.row_begin = run.row_end;
    }
    if (row < 0 || run.index == file_->groups.size()) {
      return Status(ErrorKind::InvalidOperation, "a segment does not have such a row");
    }
    const bool is_last = run.index + 1 == file_->groups.size();
    // Behind the run: where the next one begins, or just behind the last key of all.
    const std::string behind =
        is_last ? file_->record.max_key + '\0' : file_->groups[run.index + 1].first_key;
    const std::string& first = file_->groups[run.index].first_key;
    run.has_scope = behind > prefix_ && (first < prefix_ || first.starts_with(prefix_));
    if (!run.has_scope) return run;
    if (first.starts_with(prefix_)) run.key_lower = first.substr(prefix_.size());
    if (behind.starts_with(prefix_)) run.key_upper = behind.substr(prefix_.size());
    return run;
  }

  Result<std::vector<uint32_t>> Find(const Run& run,
                                     std::span<const std::string> encoded_pks) const override {
    return reader_.FindRows(file_, run.index, prefix_, encoded_pks);
  }

 private:
  SegmentReader& reader_;
  const SegmentFilePtr file_;
  const std::string prefix_;
};

}  // namespace

Result<std::vector<uint32_t>> SegmentReader::FindRows(const SegmentFilePtr& file, size_t group,
                                                      const std::string& scope_prefix,
                                                      std::span<const std::string> encoded_pks) {
  std::vector<uint32_t> rows;
  const std::string cache_key = KeysCacheKey(file->record, group);
  std::shared_ptr<const PackedNumbers> packed;
  GroupColumns columns;
  KALAM_RETURN_IF_ERROR(CheckFence(file->record.table, file->record.segment_id));
  if (HasNumberKeys(*file)) packed = cache_.Find<PackedNumbers>(cache_key);
  if (packed == nullptr) {
    KALAM_ASSIGN_OR_RETURN(columns, Read(file, group, ColumnChoice::kKey, false));
    if (HasNumberKeys(*file)) {
      packed = PackKeys(*file, *columns.columns[file->columns.KeyColumns().front()]);
      if (packed != nullptr) cache_.Put(cache_key, packed, packed->memory_bytes());
    }
  }
  const TypeKind kind = file->columns.cells[file->columns.pk_cell].type.kind;
  size_t begin = 0;
  std::string key;
  for (const std::string& encoded_pk : encoded_pks) {
    std::optional<size_t> row;
    if (packed != nullptr) {
      row = FindKey(*packed, kind, encoded_pk, begin);
    } else {
      key.assign(scope_prefix).append(encoded_pk);
      begin = columns.LowerBound(key, begin);
      if (begin == columns.row_count()) break;
      std::string found;
      columns.Key(begin, &found);
      if (found == key) row = begin;
    }
    if (!row) continue;
    rows.push_back(static_cast<uint32_t>(*row));
    begin = *row;
  }
  return rows;
}

std::unique_ptr<SegmentKeys> MakeSegmentKeys(SegmentReader& reader, SegmentFilePtr file,
                                             const storage::Scope& scope) {
  return std::make_unique<FileKeys>(reader, std::move(file), scope);
}

}  // namespace kalam::segments

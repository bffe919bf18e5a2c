// Reading one row of a segment: its place by the key columns alone, then its own values and no
// others.
#include <algorithm>
#include <cstring>
#include <numeric>

#include "segments/bloom_filter.h"
#include "segments/number_keys.h"
#include "segments/parquet_cell.h"
#include "segments/segment_cache_keys.h"
#include "segments/segment_file.h"

namespace kalam::segments {
namespace {

/// So many rows of one group in a row, and the whole of it is read: about where that costs as much
/// as it saves.
constexpr uint32_t kAskedAgain = 4;

/// A key as its column has it, as a column of one row.
DecodedColumnPtr KeyCell(ParquetType stored, int64_t number) {
  const uint32_t width = stored == ParquetType::kInt32 ? sizeof(int32_t) : sizeof(int64_t);
  std::vector<char> heap(width);
  std::memcpy(heap.data(), &number, width);  // little-endian: the low bytes come first
  return std::make_shared<DecodedColumn>(width, std::move(heap), std::vector<uint32_t>(),
                                         std::vector<bool>(), 1);
}

bool IsChosen(const RowLayout::Cell& cell, const CellChoice& choice) {
  return choice.all || std::find(choice.column_ids.begin(), choice.column_ids.end(),
                                 cell.column_id) != choice.column_ids.end();
}

std::vector<uint32_t> ColumnsOf(const SegmentFile& file, const CellChoice& choice) {
  std::vector<uint32_t> columns;
  for (size_t i = 0; i < file.layout.cells.size(); ++i) {
    if (IsChosen(file.layout.cells[i], choice)) columns.push_back(file.columns.cells[i].column);
  }
  // A file without tombstones has nothing else in that column.
  if (file.record.tombstone_count > 0) columns.push_back(file.columns.deleted_column);
  if (choice.seq) columns.push_back(file.columns.seq_column);
  return columns;
}

}  // namespace

/// The search for one row, and what is known of it so far.
struct SegmentReader::RowSearch {
  GroupColumns keys;  // what the key is found by
  std::string_view segment_key;
  std::optional<size_t> row;  // nullopt: the group does not have it
  DecodedColumnPtr key;       // of that row alone, when it was found without the column
};

Seq RowCells::seq() const {
  const Cell& cell = cells[file->columns.seq_column];
  return cell.column == nullptr ? Seq{} : Seq{cell.column->number<int64_t>(cell.row)};
}

bool RowCells::deleted() const {
  const Cell& cell = cells[file->columns.deleted_column];
  return cell.column != nullptr && cell.column->number<uint8_t>(cell.row) != 0;
}

void RowCells::EncodeTo(std::string* out) const {
  std::vector<Datum> values;
  for (const SegmentColumns::Cell& cell : file->columns.cells) {
    const Cell& found = cells[cell.column];
    values.push_back(found.column == nullptr ? Datum::Null(cell.type.kind)
                                             : CellValue(cell, *found.column, found.row));
  }
  EncodeRow(file->layout, values, out);
}

/// Looks into the cache for what tells where the row is.
bool SegmentReader::FindKept(RowSearch* search) {
  GroupColumns& keys = search->keys;
  const SegmentFile& file = *keys.file;
  const SegmentColumns::Cell& pk = file.columns.cells[file.columns.pk_cell];
  if (HasNumberKeys(file)) {
    const auto packed = cache_.Find<PackedNumbers>(KeysCacheKey(file.record, keys.group));
    if (packed != nullptr) {
      const size_t scope_bytes = SegmentKeyPrefix(file.record.place.scope).size();
      search->row = FindKey(*packed, pk.type.kind, search->segment_key.substr(scope_bytes));
      if (search->row) search->key = KeyCell(pk.stored, packed->At(*search->row));
      return true;
    }
  }
  bool complete = true;
  for (uint32_t column : file.columns.KeyColumns()) {
    keys.columns[column] =
        cache_.Find<DecodedColumn>(ColumnCacheKey(file.record, keys.group, column));
    complete &= keys.columns[column] != nullptr;
  }
  if (complete) search->row = keys.Find(search->segment_key);
  return complete;
}

Status SegmentReader::FindInChunks(const ChunkBytes& chunks, Decompressor& decompressor,
                                   RowSearch* search) {
  GroupColumns& keys = search->keys;
  const SegmentFile& file = *keys.file;
  for (uint32_t column : file.columns.KeyColumns()) {
    if (keys.columns[column] != nullptr) continue;
    const ParquetChunk& chunk = file.footer.row_groups[keys.group].chunks[column];
    KALAM_ASSIGN_OR_RETURN(keys.columns[column],
                           DecodeColumn(file, keys.group, column, chunks.Of(chunk), decompressor));
    const DecodedColumn& decoded = *keys.columns[column];
    if (HasNumberKeys(file)) {
      if (auto packed = PackKeys(file, decoded)) {
        cache_.Put(KeysCacheKey(file.record, keys.group), packed, packed->memory_bytes());
        continue;
      }
    }
    cache_.Put(ColumnCacheKey(file.record, keys.group, column), keys.columns[column],
               decoded.memory_bytes());
  }
  search->row = keys.Find(search->segment_key);
  return Status::Ok();
}

Result<bool> SegmentReader::IsAskedAgain(const SegmentFile& file, size_t group, bool at_once) {
  const uint64_t name = BloomHash(KeysCacheKey(file.record, group));
  if (at_once && last_group_.load(std::memory_order_relaxed) == name &&
      group_asked_.load(std::memory_order_relaxed) + 1 == kAskedAgain) {
    return Status(ErrorKind::NotInMemory, "a row group is to be read");
  }
  if (last_group_.exchange(name, std::memory_order_relaxed) != name) {
    group_asked_.store(1, std::memory_order_relaxed);
    return false;
  }
  return group_asked_.fetch_add(1, std::memory_order_relaxed) + 1 == kAskedAgain;
}

bool SegmentReader::IsLocal(const SegmentRecord& record) const {
  const auto storage = storage_of_(record.storage_id);
  return storage.ok() && !(*storage)->LocalPath(record.path).empty();
}

Result<std::optional<RowCells>> SegmentReader::FindCells(const SegmentFilePtr& file, size_t group,
                                                         std::string_view segment_key,
                                                         const CellChoice& choice) {
  RowSearch search{.keys = {file, group, {}}, .segment_key = segment_key};
  search.keys.columns.resize(file->footer.columns.size());
  const bool is_found_in_cache = FindKept(&search);
  if (is_found_in_cache && !search.row) return std::optional<RowCells>();
  RowCells row{file, {}};
  row.cells.resize(file->footer.columns.size());
  const std::vector<uint32_t> wanted = ColumnsOf(*file, choice);
  std::vector<uint32_t> missing, to_read;
  const uint32_t key_column = file->columns.cells[file->columns.pk_cell].column;
  for (uint32_t column : wanted) {
    DecodedColumnPtr& kept = row.cells[column].column;
    if (column == key_column) kept = search.key;
    if (kept != nullptr) continue;
    kept = cache_.Find<DecodedColumn>(ColumnCacheKey(file->record, group, column));
    if (kept == nullptr) missing.push_back(column);
  }
  to_read = missing;
  if (!is_found_in_cache) {
    for (uint32_t column : file->columns.KeyColumns()) {
      const bool is_there = search.keys.columns[column] != nullptr ||
                            std::find(to_read.begin(), to_read.end(), column) != to_read.end();
      if (!is_there) to_read.push_back(column);
    }
  }
  // Whoever comes to a row group first learns of damage in any part of it.
  CellChoice reading = choice;
  std::atomic<bool>& is_sound = file->sound_groups[group];
  if (!is_sound.load(std::memory_order_acquire)) {
    reading.all = true;
    to_read.resize(file->footer.columns.size());
    std::iota(to_read.begin(), to_read.end(), 0);
  }
  ChunkBytes chunks;
  Decompressor decompressor;
  if (!to_read.empty()) {
    KALAM_ASSIGN_OR_RETURN(chunks, ReadChunks(*file, group, to_read, reading));
    if (reading.all) is_sound.store(true, std::memory_order_release);
  }
  if (!is_found_in_cache) {
    KALAM_RETURN_IF_ERROR(FindInChunks(chunks, decompressor, &search));
    if (!search.row) return std::optional<RowCells>();
  }
  const ParquetRowGroup& written = file->footer.row_groups[group];
  for (uint32_t column : wanted) {
    RowCells::Cell& cell = row.cells[column];
    if (cell.column != nullptr && cell.column == search.key) continue;
    if (cell.column == nullptr) cell.column = search.keys.columns[column];
    if (cell.column != nullptr) {
      cell.row = *search.row;
      continue;
    }
    const ParquetColumn& shape = file->footer.columns[column];
    auto value =
        DecodeCell(shape, written.chunks[column], chunks.Of(written.chunks[column]),
                   written.row_count, file->columns.ListLength(column), *search.row, decompressor);
    if (!value.ok()) return std::move(value).status().WithContext("its column " + shape.name);
    if (!file->columns.MayBeNull(column) && (*value)->has_nulls()) {
      return Status(ErrorKind::Corruption, "its column " + shape.name + " has a NULL");
    }
    cell.column = std::move(*value);
  }
  return std::optional<RowCells>(std::move(row));
}

Result<std::optional<RowCells>> SegmentReader::ReadRow(const SegmentFilePtr& file, size_t group,
                                                       std::string_view segment_key,
                                                       const CellChoice& choice) {
  KALAM_RETURN_IF_ERROR(CheckFence(file->record.table, file->record.segment_id));
  KALAM_ASSIGN_OR_RETURN(const bool asked_again, IsAskedAgain(*file, group, choice.at_once));
  if (asked_again) {
    // The rows that come next are found in the cache, if it has room.
    KALAM_RETURN_IF_ERROR(Read(file, group, ColumnChoice::kAll, true).status());
  }
  auto row = FindCells(file, group, segment_key, choice);
  if (row.status().Is(ErrorKind::Corruption)) {
    return Fence(file->record, file->table_name, row.status());
  }
  return row;
}

}  // namespace kalam::segments

// Opening, checking, decoding and fencing of segments.
#include "segments/segment_file.h"

#include <algorithm>
#include <optional>

#include "base/log.h"
#include "segments/bloom_filter.h"
#include "segments/checked_ranges.h"
#include "segments/checksum.h"
#include "segments/parquet_chunk.h"
#include "segments/segment_cache_keys.h"

namespace kalam::segments {
namespace {

using storage::Family;

constexpr int64_t kVerifyBytes = 1 << 20;
/// A request to a local file costs about as much as copying so many bytes.
constexpr int64_t kLocalGapBytes = 16 << 10;
/// What a thread that must not wait reads of a file for one row: decoding it takes a fraction of a
/// millisecond.
constexpr int64_t kAtOnceBytesMax = 256 << 10;

std::vector<uint32_t> ChosenColumns(const SegmentFile& file, ColumnChoice choice) {
  const SegmentColumns& columns = file.columns;
  std::vector<uint32_t> chosen;
  if (choice != ColumnChoice::kSeq) chosen = columns.KeyColumns();
  if (choice == ColumnChoice::kAll) {
    chosen.clear();
    for (const SegmentColumns::Cell& cell : columns.cells) chosen.push_back(cell.column);
    if (columns.user_column) chosen.push_back(*columns.user_column);
    chosen.push_back(columns.deleted_column);
  }
  if (choice != ColumnChoice::kKey) chosen.push_back(columns.seq_column);
  std::sort(chosen.begin(), chosen.end());
  return chosen;
}

/// In a key, around a user id that needs no escape: the bucket before it, the end mark behind it.
constexpr size_t kScopeBytes = 3;

/// Whether `key` is of the scope of `user`: most rows have the user of the row before. False when
/// it would take an unescaping to tell.
bool BeginsWithScopeOf(std::string_view user, std::string_view key) {
  return key.size() > kScopeBytes + user.size() && key.substr(1, user.size()) == user &&
         key[1 + user.size()] == 0 && key[2 + user.size()] == 1 &&
         user.find('\0') == std::string_view::npos;
}

Status CheckGroups(const SegmentFile& file) {
  if (file.groups.size() != file.footer.row_groups.size()) {
    return Status(ErrorKind::Corruption, "its footer has other row groups than its record");
  }
  for (size_t i = 0; i < file.groups.size(); ++i) {
    if (file.groups[i].row_count != file.footer.row_groups[i].row_count ||
        file.groups[i].chunk_checksums.size() != file.footer.columns.size()) {
      return Status(ErrorKind::Corruption, "its footer has other row groups than its record");
    }
  }
  return Status::Ok();
}

}  // namespace

size_t SegmentFile::GroupOf(std::string_view key) const {
  const auto after = std::upper_bound(
      groups.begin(), groups.end(), key,
      [](std::string_view wanted, const RowGroup& group) { return wanted < group.first_key; });
  return after == groups.begin() ? 0 : static_cast<size_t>(after - groups.begin()) - 1;
}

size_t SegmentFile::memory_bytes() const {
  size_t bytes = sizeof *this + footer.memory_bytes() + record.path.size() +
                 2 * record.max_key.size() + columns.cells.size() * sizeof(SegmentColumns::Cell) +
                 layout.cells.size() * sizeof(RowLayout::Cell);
  bytes += sound_groups.size();
  for (const RowGroup& group : groups) {
    bytes += sizeof group + group.first_key.capacity() +
             group.chunk_checksums.capacity() * sizeof(uint64_t);
  }
  return bytes;
}

Seq GroupColumns::seq(size_t row) const {
  return Seq{columns[file->columns.seq_column]->number<int64_t>(row)};
}

bool GroupColumns::deleted(size_t row) const {
  return columns[file->columns.deleted_column]->number<uint8_t>(row) != 0;
}

void GroupColumns::Key(size_t row, std::string* key) const {
  const SegmentColumns& shape = file->columns;
  const SegmentColumns::Cell& pk = shape.cells[shape.pk_cell];
  if (!shape.user_column) {
    const storage::Scope& scope = file->record.place.scope;
    key->clear();
    key->push_back(static_cast<char>(scope.bucket()));
    EncodeKeyText(scope.user_id(), key);
  } else if (const std::string_view user = columns[*shape.user_column]->bytes(row);
             BeginsWithScopeOf(user, *key)) {
    key->resize(kScopeBytes + user.size());
  } else {
    *key = SegmentKeyPrefix(storage::Scope::OfUser(user));
  }
  EncodeKey(CellValue(pk, *columns[pk.column], row), key);
}

std::optional<size_t> GroupColumns::Find(std::string_view key) const {
  const size_t row = LowerBound(key);
  if (row == row_count()) return std::nullopt;
  std::string found;
  Key(row, &found);
  if (found != key) return std::nullopt;
  return row;
}

size_t GroupColumns::LowerBound(std::string_view key, size_t begin) const {
  size_t end = row_count();
  std::string probe;
  while (begin < end) {
    const size_t middle = begin + (end - begin) / 2;
    Key(middle, &probe);
    if (probe < key) {
      begin = middle + 1;
    } else {
      end = middle;
    }
  }
  return begin;
}

void GroupColumns::EncodeRowAt(size_t row, std::vector<Datum>* scratch, std::string* out) const {
  scratch->clear();
  for (const SegmentColumns::Cell& cell : file->columns.cells) {
    scratch->push_back(CellValue(cell, *columns[cell.column], row));
  }
  EncodeRow(file->layout, *scratch, out);
}

size_t GroupColumns::memory_bytes() const {
  size_t bytes = 0;
  for (const auto& column : columns) bytes += column == nullptr ? 0 : column->memory_bytes();
  return bytes;
}

SegmentReader::SegmentReader(storage::Store& store, StorageLookup storage_of,
                             const SegmentStoreOptions& options)
    : store_(store),
      storage_of_(std::move(storage_of)),
      cache_(options.cache_bytes,
             options.account == nullptr ? nullptr : &options.account->Child("cache"),
             options.metrics) {
  if (options.account != nullptr) scan_account_ = &options.account->Child("scans");
  if (options.metrics != nullptr) {
    bytes_read_ = &options.metrics->counter("segment_bytes_read");
    fenced_gauge_ = &options.metrics->gauge("segments_fenced");
  }
}

Status SegmentReader::CheckFence(TableId table, uint64_t segment_id) const {
  if (!any_fenced_.load(std::memory_order_acquire)) return Status::Ok();
  std::lock_guard lock(fence_mutex_);
  const auto found = fenced_.find({table.value, segment_id});
  if (found == fenced_.end()) return Status::Ok();
  return Status(ErrorKind::Corruption, found->second);
}

Status SegmentReader::Fence(const SegmentRecord& record, std::string_view table_name,
                            const Status& cause) {
  const std::string message = "segment " + record.path + " of table " + std::string(table_name) +
                              " in storage " + record.storage_id + ": " + cause.message() +
                              "; restore the file from a backup and restart";
  std::lock_guard lock(fence_mutex_);
  const bool is_new =
      fenced_.emplace(SegmentName(record.table.value, record.segment_id), message).second;
  any_fenced_.store(true, std::memory_order_release);
  if (is_new) {
    if (fenced_gauge_ != nullptr) fenced_gauge_->Set(static_cast<int64_t>(fenced_.size()));
    Log(LogLevel::kError, "segments", "a segment is damaged; its rows cannot be read",
        {{"table", table_name}, {"path", record.path}, {"cause", cause.message()}});
  }
  return Status(ErrorKind::Corruption, message);
}

Result<std::string> SegmentReader::ReadBytes(const SegmentRecord& record, int64_t offset,
                                             int64_t size, bool at_once) {
  auto storage = storage_of_(record.storage_id);
  if (!storage.ok()) {
    // The caller asked for rows: for it nothing was "not found".
    return Status(ErrorKind::StorageIo,
                  "segment " + record.path + " cannot be read: " + storage.status().message());
  }
  if (at_once) {
    std::optional<std::string> bytes = (*storage)->ReadAtOnce(record.path, offset, size);
    if (!bytes) return Status(ErrorKind::NotInMemory, "a segment lies on a disk");
    if (bytes_read_ != nullptr) bytes_read_->Add(size);
    return *std::move(bytes);
  }
  Result<std::string> bytes = (*storage)->Read(record.path, offset, size);
  if (!bytes.ok() && bytes.status().Is(ErrorKind::NotFound)) {
    return Status(ErrorKind::StorageIo,
                  "segment " + record.path + " is missing from storage " + record.storage_id);
  }
  if (!bytes.ok()) return bytes;
  if (bytes_read_ != nullptr) bytes_read_->Add(static_cast<int64_t>(bytes->size()));
  if (static_cast<int64_t>(bytes->size()) != size) {
    return Status(ErrorKind::Corruption, "the file is shorter than it was");
  }
  return bytes;
}

Status SegmentReader::CheckRaw(const catalog::TableDefinition& table, const SegmentRecord& record,
                               const storage::SnapshotPtr& snapshot, int64_t offset, int64_t size) {
  const auto read = [&](int64_t from, int64_t length) { return ReadBytes(record, from, length); };
  const auto check = [&]() -> Status {
    std::string key = ChecksCacheKey(record);
    std::shared_ptr<const CheckedRanges> ranges = cache_.Find<CheckedRanges>(key);
    if (ranges == nullptr) {
      KALAM_ASSIGN_OR_RETURN(const auto groups, ReadRowGroups(store_, record, snapshot));
      KALAM_ASSIGN_OR_RETURN(ranges, CheckedRanges::Open(record, groups, read));
      cache_.Put(std::move(key), ranges, ranges->memory_bytes());
    }
    return ranges->Check(offset, size, read);
  };
  KALAM_RETURN_IF_ERROR(CheckFence(record.table, record.segment_id));
  Status status = check();
  if (!status.Is(ErrorKind::Corruption)) return status;
  return Fence(record, table.QualifiedName(), status);
}

Result<RawSegment> SegmentReader::Raw(const catalog::TablePtr& table, SegmentRecord record,
                                      const storage::SnapshotPtr& snapshot) {
  KALAM_ASSIGN_OR_RETURN(auto storage, storage_of_(record.storage_id));
  RawSegment raw;
  raw.local_path = storage->LocalPath(record.path);
  raw.read = [this, record](int64_t offset, int64_t size) {
    return ReadBytes(record, offset, size);
  };
  raw.check = [this, table, record, snapshot](int64_t offset, int64_t size) {
    return CheckRaw(*table, record, snapshot, offset, size);
  };
  raw.pin = Pin(record.table, record.segment_id);
  raw.record = std::move(record);
  return raw;
}

Result<SegmentFilePtr> SegmentReader::OpenFile(const catalog::TablePtr& table,
                                               const SegmentRecord& record,
                                               const storage::SnapshotPtr& snapshot) {
  auto file = std::make_shared<SegmentFile>();
  file->record = record;
  file->table_name = table->QualifiedName();
  KALAM_ASSIGN_OR_RETURN(file->groups, ReadRowGroups(store_, record, snapshot));
  const auto read_footer = [&]() -> Status {
    const int64_t offset = record.size_bytes - kParquetTailBytes - record.footer_bytes;
    KALAM_ASSIGN_OR_RETURN(std::string bytes, ReadBytes(record, offset, record.footer_bytes));
    if (ChecksumOf(bytes) != record.footer_checksum) {
      return Status(ErrorKind::Corruption, "its footer does not match its checksum");
    }
    KALAM_ASSIGN_OR_RETURN(file->footer, ParseParquetFooter(bytes, record.size_bytes));
    KALAM_ASSIGN_OR_RETURN(
        file->columns, MapColumns(*table, record.schema_version, record.place.many, file->footer));
    return CheckGroups(*file);
  };
  Status status = read_footer();
  if (status.Is(ErrorKind::Corruption)) return Fence(record, file->table_name, status);
  KALAM_RETURN_IF_ERROR(std::move(status));
  file->layout = (*table->layouts)[record.schema_version - 1];
  file->sound_groups = std::vector<std::atomic<bool>>(file->groups.size());
  return SegmentFilePtr(std::move(file));
}

Result<SegmentFilePtr> SegmentReader::FindOpen(const SegmentRecord& record) {
  KALAM_RETURN_IF_ERROR(CheckFence(record.table, record.segment_id));
  return cache_.Find<SegmentFile>(FileCacheKey(record));
}

Result<SegmentFilePtr> SegmentReader::Open(const catalog::TablePtr& table,
                                           const SegmentRecord& record,
                                           const storage::SnapshotPtr& snapshot) {
  KALAM_RETURN_IF_ERROR(CheckFence(record.table, record.segment_id));
  std::string key = FileCacheKey(record);
  if (SegmentFilePtr cached = cache_.Find<SegmentFile>(key)) return cached;
  if (record.schema_version > table->layouts->size()) {
    return Status(ErrorKind::StaleSchema,
                  "a segment of " + table->QualifiedName() + " was written with another version");
  }
  KALAM_ASSIGN_OR_RETURN(SegmentFilePtr file, OpenFile(table, record, snapshot));
  cache_.Put(std::move(key), file, file->memory_bytes());
  return file;
}

std::string_view SegmentReader::ChunkBytes::Of(const ParquetChunk& chunk) const {
  const auto after =
      std::upper_bound(ranges.begin(), ranges.end(), chunk.offset,
                       [](int64_t offset, const Range& range) { return offset < range.begin; });
  const Range& range = *std::prev(after);
  return std::string_view(range.bytes)
      .substr(static_cast<size_t>(chunk.offset - range.begin), static_cast<size_t>(chunk.size));
}

Result<SegmentReader::ChunkBytes> SegmentReader::ReadChunks(const SegmentFile& file, size_t group,
                                                            std::span<const uint32_t> columns,
                                                            const CellChoice& choice) {
  const std::vector<ParquetChunk>& written = file.footer.row_groups[group].chunks;
  std::vector<std::pair<int64_t, int64_t>> spans;
  for (uint32_t column : columns) {
    spans.emplace_back(written[column].offset, written[column].offset + written[column].size);
  }
  std::sort(spans.begin(), spans.end());
  const int64_t gap_bytes_max =
      choice.all || !IsLocal(file.record) ? file.record.size_bytes : kLocalGapBytes;
  std::vector<std::pair<int64_t, int64_t>> requests;
  int64_t size = 0;
  for (size_t i = 0; i < spans.size();) {
    auto [begin, end] = spans[i];
    for (++i; i < spans.size() && spans[i].first <= end + gap_bytes_max; ++i) {
      end = std::max(end, spans[i].second);
    }
    requests.emplace_back(begin, end);
    size += end - begin;
  }
  if (choice.at_once && size > kAtOnceBytesMax) {
    return Status(ErrorKind::NotInMemory, "a row takes much reading");
  }
  ChunkBytes chunks;
  for (const auto& [begin, end] : requests) {
    KALAM_ASSIGN_OR_RETURN(std::string bytes,
                           ReadBytes(file.record, begin, end - begin, choice.at_once));
    chunks.ranges.push_back({begin, std::move(bytes)});
  }
  for (uint32_t column : columns) {
    if (ChecksumOf(chunks.Of(written[column])) != file.groups[group].chunk_checksums[column]) {
      return Status(ErrorKind::Corruption, "its column " + file.footer.columns[column].name +
                                               " does not match its checksum");
    }
  }
  return chunks;
}

Result<DecodedColumnPtr> SegmentReader::DecodeColumn(const SegmentFile& file, size_t group,
                                                     uint32_t column, std::string_view chunk,
                                                     Decompressor& decompressor) {
  const ParquetRowGroup& written = file.footer.row_groups[group];
  const ParquetColumn& shape = file.footer.columns[column];
  auto decoded = DecodeChunk(shape, written.chunks[column], chunk, written.row_count,
                             file.columns.ListLength(column), decompressor);
  if (!decoded.ok()) return std::move(decoded).status().WithContext("its column " + shape.name);
  if (!file.columns.MayBeNull(column) && (*decoded)->has_nulls()) {
    return Status(ErrorKind::Corruption, "its column " + shape.name + " has a NULL");
  }
  return decoded;
}

Status SegmentReader::ReadMissing(const SegmentFile& file, size_t group,
                                  std::span<const uint32_t> missing, bool keep, GroupColumns* out) {
  // One request for all: the columns of a row group lie side by side.
  KALAM_ASSIGN_OR_RETURN(const ChunkBytes chunks, ReadChunks(file, group, missing, CellChoice()));
  Decompressor decompressor;
  for (uint32_t column : missing) {
    const ParquetChunk& chunk = file.footer.row_groups[group].chunks[column];
    KALAM_ASSIGN_OR_RETURN(out->columns[column],
                           DecodeColumn(file, group, column, chunks.Of(chunk), decompressor));
    if (keep) {
      cache_.Put(ColumnCacheKey(file.record, group, column), out->columns[column],
                 out->columns[column]->memory_bytes());
    }
  }
  return Status::Ok();
}

Result<GroupColumns> SegmentReader::Read(const SegmentFilePtr& file, size_t group,
                                         ColumnChoice choice, bool keep) {
  KALAM_RETURN_IF_ERROR(CheckFence(file->record.table, file->record.segment_id));
  GroupColumns columns{file, group, {}};
  columns.columns.resize(file->footer.columns.size());
  std::vector<uint32_t> missing;
  for (uint32_t column : ChosenColumns(*file, choice)) {
    columns.columns[column] =
        cache_.Find<DecodedColumn>(ColumnCacheKey(file->record, group, column));
    if (columns.columns[column] == nullptr) missing.push_back(column);
  }
  if (missing.empty()) return columns;
  Status status = ReadMissing(*file, group, missing, keep, &columns);
  if (status.Is(ErrorKind::Corruption)) return Fence(file->record, file->table_name, status);
  KALAM_RETURN_IF_ERROR(std::move(status));
  return columns;
}

Result<bool> SegmentReader::MayContain(const SegmentRecord& record, std::string_view segment_key,
                                       const storage::SnapshotPtr& snapshot) {
  const uint64_t hash = BloomHash(segment_key);
  const uint32_t block = BloomBlockOf(hash, BloomBlockCount(record.row_count));
  std::string bits;
  KALAM_ASSIGN_OR_RETURN(
      bool found,
      store_.GetInto(Family::kSegments, BloomBlockKey(record.table, record.segment_id, block),
                     snapshot, &bits));
  return !found || BloomBlockMayContain(bits, hash);
}

Status SegmentReader::Verify(const SegmentRecord& record) {
  FileChecksum checksum;
  const auto read = [&]() -> Status {
    for (int64_t offset = 0; offset < record.size_bytes; offset += kVerifyBytes) {
      KALAM_ASSIGN_OR_RETURN(
          std::string bytes,
          ReadBytes(record, offset, std::min(kVerifyBytes, record.size_bytes - offset)));
      checksum.Add(bytes);
    }
    if (checksum.Finish() == record.checksum) return Status::Ok();
    return Status(ErrorKind::Corruption, "the file does not match its checksum");
  };
  Status status = read();
  if (!status.Is(ErrorKind::Corruption)) return status;
  return Fence(record, std::to_string(record.table.value), status);
}

std::shared_ptr<const void> SegmentReader::Pin(TableId table, uint64_t segment_id) {
  const SegmentName name(table.value, segment_id);
  std::lock_guard lock(pins_->mutex);
  ++pins_->counts[name];
  const auto release = [pins = pins_, name](const void*) {
    std::lock_guard release_lock(pins->mutex);
    if (--pins->counts[name] == 0) pins->counts.erase(name);
  };
  return std::shared_ptr<const void>(pins_.get(), release);
}

bool SegmentReader::IsPinned(TableId table, uint64_t segment_id) const {
  std::lock_guard lock(pins_->mutex);
  return pins_->counts.contains({table.value, segment_id});
}

}  // namespace kalam::segments

// Bookkeeping while a segment is written, its checks when it is finished, and the writes of a
// change.
#include "segments/segment_builder.h"

#include <algorithm>
#include <bit>
#include <fstream>
#include <map>
#include <optional>
#include <utility>

#include "base/check.h"
#include "base/optional_charge.h"
#include "segments/bloom_filter.h"
#include "segments/checksum.h"
#include "segments/parquet_chunk.h"
#include "segments/parquet_footer.h"
#include "segments/segment_columns.h"
#include "segments/segment_file.h"

namespace kalam::segments {
namespace {

using storage::Family;

constexpr int64_t kReadBytes = 1 << 20;
constexpr uint64_t kDigestFactor = 0x9E3779B97F4A7C15u;

/// Tells one run of rows from another.
uint64_t AddToDigest(uint64_t digest, uint64_t key_hash, Seq seq, bool deleted) {
  digest = (digest + key_hash) * kDigestFactor;
  return (digest + (static_cast<uint64_t>(seq.value) << 1) + (deleted ? 1 : 0)) * kDigestFactor;
}

/// A finished file, on the local disk or in a storage.
class FinishedFile {
 public:
  virtual ~FinishedFile() = default;
  virtual int64_t size() const = 0;
  /// Exactly `size` bytes.
  virtual Result<std::string> Read(int64_t offset, int64_t size) = 0;

  Result<std::string> Checksum() {
    FileChecksum checksum;
    for (int64_t offset = 0; offset < size(); offset += kReadBytes) {
      KALAM_ASSIGN_OR_RETURN(std::string bytes,
                             Read(offset, std::min(kReadBytes, size() - offset)));
      checksum.Add(bytes);
    }
    return checksum.Finish();
  }
};

class LocalFile : public FinishedFile {
 public:
  explicit LocalFile(const std::string& path)
      : path_(path), stream_(path, std::ios::binary | std::ios::ate) {
    if (stream_) size_ = static_cast<int64_t>(stream_.tellg());
  }
  int64_t size() const override { return size_; }
  Result<std::string> Read(int64_t offset, int64_t size) override {
    std::string bytes(static_cast<size_t>(size), '\0');
    stream_.seekg(offset);
    stream_.read(bytes.data(), size);
    if (!stream_) {
      return Status(ErrorKind::StorageIo, "cannot read the file that was just written: " + path_);
    }
    return bytes;
  }

 private:
  std::string path_;
  std::ifstream stream_;
  int64_t size_ = 0;
};

class StoredFile : public FinishedFile {
 public:
  StoredFile(objects::ObjectStorage& storage, const std::string& path, int64_t size)
      : storage_(storage), path_(path), size_(size) {}
  int64_t size() const override { return size_; }
  Result<std::string> Read(int64_t offset, int64_t size) override {
    KALAM_ASSIGN_OR_RETURN(std::string bytes, storage_.Read(path_, offset, size));
    if (static_cast<int64_t>(bytes.size()) != size) {
      return Status(ErrorKind::StorageIo, path_ + " became shorter while it was read");
    }
    return bytes;
  }

 private:
  objects::ObjectStorage& storage_;
  const std::string path_;
  const int64_t size_;
};

Status NotWhatWasAsked(std::string_view what) {
  return Status(
      ErrorKind::Corruption,
      "the segment that was just written is not what was asked for: " + std::string(what));
}

}  // namespace

int64_t RowGroupRowsFor(int64_t row_bytes_average) {
  // One row decompresses its group's pages up to it, and a group is put together in memory when it
  // is written; many groups cost bytes, and time where all of them are read.
  constexpr int64_t kGroupBytes = 1 << 20;
  constexpr int64_t kRowsMin = 16;
  const int64_t rows = kGroupBytes / std::max<int64_t>(1, row_bytes_average);
  return std::clamp(static_cast<int64_t>(std::bit_floor(static_cast<uint64_t>(rows))), kRowsMin,
                    kRowGroupRows);
}

struct SegmentBuilder::Rep {
  SegmentBuilderOptions options;
  SegmentRecord record;
  std::vector<RowGroup> groups;
  std::vector<uint64_t> digests;  // of the rows, one a group
  std::vector<uint64_t> hashes;
  Decompressor decompressor;
  MemoryCharge rows_charge;         // of what is noted of rows and groups
  MemoryCharge finish_charge;       // of what is read of the finished file
  int64_t footer_charge_bytes = 0;  // of its footer, as long as it is looked through
  int64_t group_bytes = 0;          // of keys and checksums

  /// When a group begins, and when what is held of rows is about to grow.
  void NoteRow(bool begins_group) {
    if (begins_group) {
      group_bytes += static_cast<int64_t>(groups.back().first_key.size() +
                                          options.table->columns->size() * sizeof(uint64_t));
    }
    rows_charge.Resize(
        static_cast<int64_t>(2 * hashes.size() * sizeof(uint64_t) +
                             groups.capacity() * (sizeof(RowGroup) + sizeof(uint64_t))) +
        group_bytes);
  }

  Result<BuiltSegment> Finish(FinishedFile& file);
  Status CheckGroup(FinishedFile& file, const std::shared_ptr<const SegmentFile>& written,
                    size_t index);
};

SegmentBuilder::SegmentBuilder(SegmentBuilderOptions options) : rep_(std::make_unique<Rep>()) {
  rep_->options = std::move(options);
  rep_->rows_charge = ChargeIfAny(rep_->options.memory);
  rep_->finish_charge = ChargeIfAny(rep_->options.memory);
  rep_->record.table = rep_->options.table->id;
  rep_->record.place = rep_->options.place;
  const uint32_t given = rep_->options.schema_version;
  rep_->record.schema_version = given == 0 ? rep_->options.table->schema_version : given;
}
SegmentBuilder::~SegmentBuilder() = default;
SegmentBuilder::SegmentBuilder(SegmentBuilder&&) noexcept = default;
SegmentBuilder& SegmentBuilder::operator=(SegmentBuilder&&) noexcept = default;

int64_t SegmentBuilder::row_count() const { return rep_->record.row_count; }

Status SegmentBuilder::Add(const storage::Scope& scope, std::string_view encoded_pk, Seq seq,
                           bool deleted) {
  SegmentRecord& record = rep_->record;
  if (!record.place.many && !(scope == record.place.scope)) {
    return Status(ErrorKind::InvalidOperation, "a row of another scope in a segment of one scope");
  }
  std::string key = SegmentKey(scope, encoded_pk);
  if (record.row_count > 0 && key <= record.max_key) {
    return Status(ErrorKind::InvalidOperation, "rows of a segment are not in the order of keys");
  }
  const bool begins_group = record.row_count % rep_->options.row_group_rows == 0;
  if (begins_group) {
    rep_->groups.push_back({key, 0, seq, seq, {}});
    rep_->digests.push_back(0);
  }
  RowGroup& group = rep_->groups.back();
  ++group.row_count;
  group.min_seq = std::min(group.min_seq, seq);
  group.max_seq = std::max(group.max_seq, seq);
  rep_->hashes.push_back(BloomHash(key));
  if (begins_group || rep_->hashes.size() == rep_->hashes.capacity()) rep_->NoteRow(begins_group);
  rep_->digests.back() = AddToDigest(rep_->digests.back(), rep_->hashes.back(), seq, deleted);

  const bool first = record.row_count == 0;
  if (first) record.min_key = key;
  if (first || encoded_pk < record.min_pk) record.min_pk = encoded_pk;
  if (first || encoded_pk > record.max_pk) record.max_pk = encoded_pk;
  record.min_seq = first ? seq : std::min(record.min_seq, seq);
  record.max_seq = first ? seq : std::max(record.max_seq, seq);
  record.max_key = std::move(key);
  ++record.row_count;
  record.tombstone_count += deleted ? 1 : 0;
  return Status::Ok();
}

/// Hot rows are given up for this file, so all of it is decoded before, and every key compared.
Status SegmentBuilder::Rep::CheckGroup(FinishedFile& file,
                                       const std::shared_ptr<const SegmentFile>& written,
                                       size_t index) {
  const ParquetFooter& footer = written->footer;
  const SegmentColumns& shape = written->columns;
  const ParquetRowGroup& chunks = footer.row_groups[index];
  RowGroup& group = groups[index];
  if (chunks.row_count != group.row_count) return NotWhatWasAsked("a row group has other rows");
  GroupColumns columns{written, index, {}};
  columns.columns.resize(footer.columns.size());
  group.chunk_checksums.clear();
  int64_t kept_bytes = footer_charge_bytes;
  for (uint32_t i = 0; i < chunks.chunks.size(); ++i) {
    const ParquetChunk& chunk = chunks.chunks[i];
    finish_charge.Resize(kept_bytes + chunk.size);
    KALAM_ASSIGN_OR_RETURN(std::string bytes, file.Read(chunk.offset, chunk.size));
    group.chunk_checksums.push_back(ChecksumOf(bytes));
    auto decoded = DecodeChunk(footer.columns[i], chunk, bytes, chunks.row_count,
                               shape.ListLength(i), decompressor);
    if (!decoded.ok()) {
      return NotWhatWasAsked("column " + footer.columns[i].name + ": " +
                             decoded.status().message());
    }
    const auto decoded_bytes = static_cast<int64_t>((*decoded)->memory_bytes());
    finish_charge.Resize(kept_bytes + chunk.size + decoded_bytes);
    const bool identifies = i == shape.cells[shape.pk_cell].column || i == shape.seq_column ||
                            i == shape.deleted_column || i == shape.user_column;
    if (!identifies) continue;
    if ((*decoded)->has_nulls()) return NotWhatWasAsked("a row has no key");
    kept_bytes += decoded_bytes;
    columns.columns[i] = std::move(*decoded);
  }
  uint64_t digest = 0;
  std::string key;
  for (size_t row = 0; row < columns.row_count(); ++row) {
    columns.Key(row, &key);
    digest = AddToDigest(digest, BloomHash(key), columns.seq(row), columns.deleted(row));
  }
  return digest == digests[index] ? Status::Ok() : NotWhatWasAsked("its rows are others");
}

Result<BuiltSegment> SegmentBuilder::Rep::Finish(FinishedFile& file) {
  if (groups.empty()) return Status(ErrorKind::InvalidOperation, "a segment without rows");
  record.size_bytes = file.size();
  if (file.size() <= kParquetTailBytes) return NotWhatWasAsked("the file is too short");
  KALAM_ASSIGN_OR_RETURN(std::string tail,
                         file.Read(file.size() - kParquetTailBytes, kParquetTailBytes));
  KALAM_ASSIGN_OR_RETURN(record.footer_bytes, ParquetFooterSize(tail, file.size()));
  KALAM_ASSIGN_OR_RETURN(
      std::string footer_bytes,
      file.Read(file.size() - kParquetTailBytes - record.footer_bytes, record.footer_bytes));
  // As read, and as it is understood; the groups are there twice.
  footer_charge_bytes = 2 * record.footer_bytes + group_bytes;
  record.footer_checksum = ChecksumOf(footer_bytes);
  auto written = std::make_shared<SegmentFile>();
  KALAM_ASSIGN_OR_RETURN(written->footer, ParseParquetFooter(footer_bytes, file.size()));
  if (written->footer.row_groups.size() != groups.size()) {
    return NotWhatWasAsked("it has another number of row groups");
  }
  KALAM_ASSIGN_OR_RETURN(written->columns, MapColumns(*options.table, record.schema_version,
                                                      record.place.many, written->footer));
  written->record.place = record.place;
  written->groups = groups;
  for (size_t i = 0; i < groups.size(); ++i) {
    KALAM_RETURN_IF_ERROR(CheckGroup(file, written, i));
  }
  finish_charge.Resize(footer_charge_bytes + std::min(kReadBytes, file.size()));
  const int64_t filters_offset = written->footer.filters_offset();
  KALAM_ASSIGN_OR_RETURN(const std::string filters,
                         file.Read(filters_offset, record.size_bytes - kParquetTailBytes -
                                                       record.footer_bytes - filters_offset));
  record.filters_checksum = ChecksumOf(filters);
  KALAM_ASSIGN_OR_RETURN(record.checksum, file.Checksum());
  BuiltSegment built;
  built.record = std::move(record);
  built.row_groups = std::move(groups);
  finish_charge.Resize(
      footer_charge_bytes +
      static_cast<int64_t>(BloomBlockCount(built.record.row_count) * kBloomBlockBytes));
  built.bloom_blocks = BuildBloomBlocks(hashes);
  return built;
}

Result<BuiltSegment> SegmentBuilder::Finish(const std::string& local_path) {
  LocalFile file(local_path);
  if (file.size() == 0) {
    return Status(ErrorKind::StorageIo,
                  "cannot read the file that was just written: " + local_path);
  }
  return rep_->Finish(file);
}

Result<BuiltSegment> SegmentBuilder::Finish(objects::ObjectStorage& storage,
                                            const std::string& path) {
  KALAM_ASSIGN_OR_RETURN(objects::ObjectEntry entry, storage.Stat(path));
  StoredFile file(storage, path, entry.size_bytes);
  return rep_->Finish(file);
}

struct SegmentChange::Rep {
  storage::Store* store = nullptr;
  TableId table;
  TableSegmentsHead head;
  std::map<std::string, FolderRecord> folders;  // by key; those that change
  std::vector<SegmentRecord> added;
  catalog::RecordWrites writes;  // but for what RecordsTo gives
  MemoryCharge charge;           // of both
  bool empty = true;

  /// Numbers a segment and takes it in; gives its row groups and Bloom blocks.
  catalog::RecordWrites Number(BuiltSegment segment, FolderRecord* folder, uint64_t batch,
                               int64_t now_us);
  void Put(BuiltSegment segment, FolderRecord* folder, uint64_t batch, int64_t now_us) {
    for (catalog::RecordWrite& write : Number(std::move(segment), folder, batch, now_us))
      Keep(std::move(write));
  }
  void Put(std::string key, std::string value) {
    Keep({Family::kSegments, std::move(key), std::move(value)});
  }
  void Erase(std::string key) { Keep({Family::kSegments, std::move(key), std::nullopt}); }
  void Keep(catalog::RecordWrite write) {
    Charge(sizeof write + write.key.size() + (write.value ? write.value->size() : 0));
    writes.push_back(std::move(write));
  }
  void Charge(size_t bytes) { charge.Resize(charge.bytes() + static_cast<int64_t>(bytes)); }
  /// Appends what names the segments.
  void RecordsTo(catalog::RecordWrites* all) const;
  void TouchFolder(const SegmentPlace& place, int64_t now_us) {
    const auto found = folders.find(FolderKey(table, place));
    if (found == folders.end()) return;
    if (found->second.created_at_us == 0) found->second.created_at_us = now_us;
    found->second.updated_at_us = now_us;
  }
};

SegmentChange::SegmentChange(std::unique_ptr<Rep> rep) : rep_(std::move(rep)) {}
SegmentChange::~SegmentChange() = default;
SegmentChange::SegmentChange(SegmentChange&&) noexcept = default;
SegmentChange& SegmentChange::operator=(SegmentChange&&) noexcept = default;

Result<SegmentChange> SegmentChange::Begin(storage::Store& store, TableId table,
                                           MemoryAccount* memory) {
  auto rep = std::make_unique<Rep>();
  rep->charge = ChargeIfAny(memory);
  rep->store = &store;
  rep->table = table;
  KALAM_ASSIGN_OR_RETURN(rep->head, ReadHead(store, table));
  ++rep->head.version;
  return SegmentChange(std::move(rep));
}

Status SegmentChange::OpenFolder(const SegmentPlace& place, const std::string& storage_id,
                                 const std::string& folder) {
  const std::string key = FolderKey(rep_->table, place);
  auto found = rep_->folders.find(key);
  if (found == rep_->folders.end()) {
    KALAM_ASSIGN_OR_RETURN(auto known, ReadFolder(*rep_->store, rep_->table, place));
    if (!known) known = FolderRecord{rep_->table, place, storage_id, folder, 0, 0, 0, 0};
    ++known->manifest_version;
    found = rep_->folders.emplace(key, std::move(*known)).first;
  }
  if (found->second.storage_id == storage_id && found->second.folder == folder) {
    return Status::Ok();
  }
  return Status(ErrorKind::InvalidOperation,
                "segments of one scope lie in one folder: " + found->second.folder +
                    " of storage " + found->second.storage_id);
}

Result<std::string> SegmentChange::NextPath(const SegmentPlace& place,
                                            const std::string& storage_id,
                                            const std::string& folder) {
  KALAM_RETURN_IF_ERROR(OpenFolder(place, storage_id, folder));
  return BatchPath(folder, rep_->folders.at(FolderKey(rep_->table, place)).next_batch);
}

void SegmentChange::SkipPath(const SegmentPlace& place) {
  const auto folder = rep_->folders.find(FolderKey(rep_->table, place));
  KALAM_CHECK(folder != rep_->folders.end());  // NextPath comes first
  ++folder->second.next_batch;
}

void SegmentChange::Add(BuiltSegment segment, bool evicting, int64_t now_us) {
  const auto folder = rep_->folders.find(FolderKey(rep_->table, segment.record.place));
  KALAM_CHECK(folder != rep_->folders.end());  // NextPath comes first
  segment.record.evicting = evicting;
  rep_->Put(std::move(segment), &folder->second, folder->second.next_batch, now_us);
}

catalog::RecordWrites SegmentChange::Prepare(BuiltSegment segment, int64_t now_us) {
  const auto folder = rep_->folders.find(FolderKey(rep_->table, segment.record.place));
  KALAM_CHECK(folder != rep_->folders.end());  // NextPath comes first
  const auto block_count = static_cast<uint32_t>(segment.bloom_blocks.size());
  catalog::RecordWrites parts =
      rep_->Number(std::move(segment), &folder->second, folder->second.next_batch, now_us);
  const SegmentRecord& record = rep_->added.back();
  const PreparedSegment prepared{record.table, record.segment_id, record.storage_id, record.path,
                                 block_count};
  parts.push_back(
      {Family::kSegments, PreparedKey(record.table, record.segment_id), EncodePrepared(prepared)});
  // The version says which segments exist, and stays.
  const TableSegmentsHead head{rep_->head.version - 1, rep_->head.next_segment_id};
  parts.push_back({Family::kSegments, HeadKey(rep_->table), EncodeHead(head)});
  rep_->Erase(PreparedKey(record.table, record.segment_id));
  return parts;
}

void SegmentChange::MarkEvicting() {
  for (SegmentRecord& record : rep_->added) record.evicting = true;
}

Status SegmentChange::Adopt(BuiltSegment segment, const std::string& storage_id,
                            const std::string& folder, uint64_t batch, int64_t now_us) {
  KALAM_RETURN_IF_ERROR(OpenFolder(segment.record.place, storage_id, folder));
  FolderRecord& record = rep_->folders.at(FolderKey(rep_->table, segment.record.place));
  rep_->Put(std::move(segment), &record, batch, now_us);
  return Status::Ok();
}

catalog::RecordWrites SegmentChange::Rep::Number(BuiltSegment segment, FolderRecord* folder,
                                                 uint64_t batch, int64_t now_us) {
  SegmentRecord& record = segment.record;
  record.segment_id = head.next_segment_id++;
  record.storage_id = folder->storage_id;
  record.path = BatchPath(folder->folder, batch);
  record.created_at_us = now_us;
  folder->next_batch = std::max(folder->next_batch, batch + 1);
  TouchFolder(record.place, now_us);
  catalog::RecordWrites parts;
  parts.push_back({Family::kSegments, RowGroupsKey(record.table, record.segment_id),
                   EncodeRowGroups(segment.row_groups)});
  for (uint32_t block = 0; block < segment.bloom_blocks.size(); ++block) {
    parts.push_back({Family::kSegments, BloomBlockKey(record.table, record.segment_id, block),
                     std::move(segment.bloom_blocks[block])});
  }
  Charge(sizeof record + record.path.size() + record.min_key.size() + record.max_key.size() +
         record.min_pk.size() + record.max_pk.size());
  added.push_back(std::move(record));
  empty = false;
  return parts;
}

void SegmentChange::Rep::RecordsTo(catalog::RecordWrites* all) const {
  for (const SegmentRecord& record : added)
    all->push_back({Family::kSegments, RecordKey(record), EncodeRecord(record)});
  for (const auto& [key, folder] : folders)
    all->push_back({Family::kSegments, key, EncodeFolder(folder)});
  all->push_back({Family::kSegments, HeadKey(table), EncodeHead(head)});
}

Status SegmentChange::Retire(const SegmentRecord& record, int64_t now_us) {
  const std::string folder_key = FolderKey(rep_->table, record.place);
  if (!rep_->folders.contains(folder_key)) {
    KALAM_ASSIGN_OR_RETURN(auto known, ReadFolder(*rep_->store, rep_->table, record.place));
    if (known) {
      ++known->manifest_version;
      rep_->folders.emplace(folder_key, std::move(*known));
    }
  }
  rep_->TouchFolder(record.place, now_us);
  rep_->Erase(RecordKey(record));
  rep_->Erase(RowGroupsKey(record.table, record.segment_id));
  const uint32_t blocks = BloomBlockCount(record.row_count);
  for (uint32_t block = 0; block < blocks; ++block) {
    rep_->Erase(BloomBlockKey(record.table, record.segment_id, block));
  }
  const RetiredFile file{now_us, record.table, record.segment_id, record.storage_id, record.path};
  rep_->Put(RetiredKey(file), EncodeRetired(file));
  rep_->empty = false;
  return Status::Ok();
}

bool SegmentChange::empty() const { return rep_->empty; }
const std::vector<SegmentRecord>& SegmentChange::added() const { return rep_->added; }
uint64_t SegmentChange::version() const { return rep_->head.version; }

catalog::RecordWrites SegmentChange::Writes() const {
  catalog::RecordWrites all = rep_->writes;
  rep_->RecordsTo(&all);
  return all;
}

catalog::RecordWrites SegmentChange::Take() {
  rep_->RecordsTo(&rep_->writes);
  rep_->charge.Resize(0);  // whoever proposes them charges them
  return std::move(rep_->writes);
}

}  // namespace kalam::segments

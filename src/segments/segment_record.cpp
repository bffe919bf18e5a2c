// Keys, bytes and listings of the records of cold segments.
#include "segments/segment_record.h"

#include <limits>
#include <utility>

#include "catalog/field_codec.h"
#include "types/key_codec.h"

namespace kalam::segments {
namespace {

using catalog::FieldReader;
using catalog::FieldWriter;
using storage::Family;

constexpr size_t kTableBytes = 4;
constexpr size_t kChecksumBytes = 16;
constexpr char kHeadTag = 'v';
constexpr char kFolderTag = 'f';
constexpr char kRecordTag = 's';
constexpr char kRowGroupsTag = 'g';
constexpr char kBloomTag = 'b';
constexpr char kPreparedTag = 'p';
constexpr char kRetiredTag = 'r';
constexpr char kManyPlace = 0;
constexpr char kScopePlace = 1;

Status BadRecord(std::string_view what) {
  return Status(ErrorKind::Corruption, std::string("the ") + std::string(what) +
                                           " in the index of segments cannot be decoded; restore "
                                           "the data directory from a backup");
}

std::string TaggedKey(TableId table, char tag) {
  std::string key = storage::TablePrefix(table);
  key.push_back(tag);
  return key;
}

void AppendPlace(const SegmentPlace& place, std::string* out) {
  out->push_back(place.many ? kManyPlace : kScopePlace);
  if (!place.many) out->append(SegmentKeyPrefix(place.scope));
}

/// Reads a place from the front of `in` and drops it.
bool ReadPlace(std::string_view* in, SegmentPlace* place) {
  if (in->empty()) return false;
  const char tag = in->front();
  in->remove_prefix(1);
  if (tag == kManyPlace) {
    *place = SegmentPlace::Many();
    return true;
  }
  std::string_view rest;
  if (tag != kScopePlace || !ParseSegmentKey(*in, &place->scope, &rest)) return false;
  place->many = false;
  *in = rest;
  return true;
}

/// Reads `[table] tag` from the front of a key.
bool ReadTableAndTag(std::string_view* key, char tag, TableId* table) {
  if (key->size() < kTableBytes + 1 || (*key)[kTableBytes] != tag) return false;
  table->value = DecodeBigEndian32(key->data());
  key->remove_prefix(kTableBytes + 1);
  return true;
}

/// Visits every entry whose key begins with `prefix`.
template <typename Visit>
Status VisitPrefix(storage::Store& store, const std::string& prefix,
                   const storage::SnapshotPtr& snapshot, Visit visit) {
  auto iterator = store.NewIterator(Family::kSegments, {prefix, PrefixEnd(prefix)}, snapshot);
  for (iterator->SeekToFirst(); iterator->Valid(); iterator->Next()) {
    KALAM_ASSIGN_OR_RETURN(bool more, visit(iterator->key(), iterator->value()));
    if (!more) return Status::Ok();
  }
  return iterator->status();
}

Result<std::vector<SegmentRecord>> ListRecords(storage::Store& store, const std::string& prefix,
                                               const storage::SnapshotPtr& snapshot) {
  std::vector<SegmentRecord> records;
  KALAM_RETURN_IF_ERROR(
      VisitPrefix(store, prefix, snapshot,
                  [&records](std::string_view key, std::string_view value) -> Result<bool> {
                    KALAM_ASSIGN_OR_RETURN(SegmentRecord record, DecodeRecord(key, value));
                    records.push_back(std::move(record));
                    return true;
                  }));
  return records;
}

std::string PlacePrefix(TableId table, const SegmentPlace& place) {
  std::string prefix = TaggedKey(table, kRecordTag);
  AppendPlace(place, &prefix);
  return prefix;
}

}  // namespace

std::string SegmentRecord::FileName() const {
  return path.substr(path.rfind('/') + 1);  // npos + 1 is 0: the whole path
}

std::string BatchPath(const std::string& folder, uint64_t batch) {
  return folder + "/batch-" + std::to_string(batch) + ".parquet";
}

std::string SegmentKeyPrefix(const storage::Scope& scope) { return SegmentKey(scope, {}); }

std::string SegmentKey(const storage::Scope& scope, std::string_view encoded_pk) {
  std::string key;
  key.reserve(scope.user_id().size() + encoded_pk.size() + 3);
  key.push_back(static_cast<char>(scope.bucket()));
  EncodeKeyText(scope.user_id(), &key);
  key.append(encoded_pk);
  return key;
}

bool ParseSegmentKey(std::string_view key, storage::Scope* scope, std::string_view* encoded_pk) {
  if (key.empty()) return false;
  const auto bucket = static_cast<uint8_t>(key.front());
  key.remove_prefix(1);
  std::string user;
  if (!DecodeKeyText(&key, &user)) return false;
  *scope = storage::Scope::OfUser(user);
  *encoded_pk = key;
  return scope->bucket() == bucket;
}

std::string HeadKey(TableId table) { return TaggedKey(table, kHeadTag); }

std::string RecordKey(const SegmentRecord& record) {
  std::string key = PlacePrefix(record.table, record.place);
  EncodeBigEndian64(record.segment_id, &key);
  return key;
}

std::string RowGroupsKey(TableId table, uint64_t segment_id) {
  std::string key = TaggedKey(table, kRowGroupsTag);
  EncodeBigEndian64(segment_id, &key);
  return key;
}

std::string BloomBlockKey(TableId table, uint64_t segment_id, uint32_t block) {
  std::string key = TaggedKey(table, kBloomTag);
  EncodeBigEndian64(segment_id, &key);
  EncodeBigEndian32(block, &key);
  return key;
}

std::string FolderKey(TableId table, const SegmentPlace& place) {
  std::string key = TaggedKey(table, kFolderTag);
  AppendPlace(place, &key);
  return key;
}

std::string PreparedKey(TableId table, uint64_t segment_id) {
  std::string key = TaggedKey(table, kPreparedTag);
  EncodeBigEndian64(segment_id, &key);
  return key;
}

std::string RetiredKey(const RetiredFile& file) {
  std::string key = TaggedKey(TableId{0}, kRetiredTag);
  EncodeBigEndian64(static_cast<uint64_t>(file.retired_at_us), &key);
  EncodeBigEndian32(file.table.value, &key);
  EncodeBigEndian64(file.segment_id, &key);
  return key;
}

std::string EncodeHead(const TableSegmentsHead& head) {
  FieldWriter writer;
  writer.Number(head.version);
  writer.Number(head.next_segment_id);
  return writer.Take();
}

std::string EncodeRecord(const SegmentRecord& record) {
  FieldWriter writer;
  writer.Text(record.storage_id);
  writer.Text(record.path);
  writer.Text(record.min_key);
  writer.Text(record.max_key);
  writer.Text(record.min_pk);
  writer.Text(record.max_pk);
  writer.Signed(record.min_seq.value);
  writer.Signed(record.max_seq.value);
  writer.Signed(record.row_count);
  writer.Signed(record.tombstone_count);
  writer.Signed(record.size_bytes);
  writer.Signed(record.footer_bytes);
  writer.Number(record.footer_checksum);
  writer.Text(record.checksum);
  writer.Number(record.schema_version);
  writer.Signed(record.created_at_us);
  writer.Number(record.evicting ? 1 : 0);
  if (record.filters_checksum) writer.Number(*record.filters_checksum);
  return writer.Take();
}

std::string EncodeRowGroups(const std::vector<RowGroup>& groups) {
  FieldWriter writer;
  writer.Number(groups.size());
  for (const RowGroup& group : groups) {
    writer.Text(group.first_key);
    writer.Signed(group.row_count);
    writer.Signed(group.min_seq.value);
    writer.Signed(group.max_seq.value);
    writer.Number(group.chunk_checksums.size());
    for (uint64_t checksum : group.chunk_checksums) writer.Number(checksum);
  }
  return writer.Take();
}

std::string EncodeFolder(const FolderRecord& folder) {
  FieldWriter writer;
  writer.Text(folder.storage_id);
  writer.Text(folder.folder);
  writer.Number(folder.manifest_version);
  writer.Number(folder.next_batch);
  writer.Signed(folder.created_at_us);
  writer.Signed(folder.updated_at_us);
  return writer.Take();
}

std::string EncodePrepared(const PreparedSegment& segment) {
  FieldWriter writer;
  writer.Text(segment.storage_id);
  writer.Text(segment.path);
  writer.Number(segment.bloom_block_count);
  return writer.Take();
}

std::string EncodeRetired(const RetiredFile& file) {
  FieldWriter writer;
  writer.Text(file.storage_id);
  writer.Text(file.path);
  return writer.Take();
}

Result<TableSegmentsHead> DecodeHead(std::string_view bytes) {
  FieldReader reader(bytes);
  TableSegmentsHead head;
  head.version = reader.Number();
  head.next_segment_id = reader.Number();
  if (!reader.ok()) return BadRecord("head of a table");
  return head;
}

Result<SegmentRecord> DecodeRecord(std::string_view key, std::string_view bytes) {
  SegmentRecord record;
  if (!ReadTableAndTag(&key, kRecordTag, &record.table) || !ReadPlace(&key, &record.place) ||
      key.size() != sizeof(uint64_t)) {
    return BadRecord("key of a segment");
  }
  record.segment_id = DecodeBigEndian64(key.data());
  FieldReader reader(bytes);
  record.storage_id = reader.Text();
  record.path = reader.Text();
  record.min_key = reader.Text();
  record.max_key = reader.Text();
  record.min_pk = reader.Text();
  record.max_pk = reader.Text();
  record.min_seq.value = reader.Signed();
  record.max_seq.value = reader.Signed();
  record.row_count = reader.Signed();
  record.tombstone_count = reader.Signed();
  record.size_bytes = reader.Signed();
  record.footer_bytes = reader.Signed();
  record.footer_checksum = reader.Number();
  record.checksum = reader.Text();
  record.schema_version = reader.Enum<uint32_t>(UINT32_MAX);
  record.created_at_us = reader.Signed();
  record.evicting = reader.Number() != 0;
  if (!reader.AtEnd()) record.filters_checksum = reader.Number();
  const bool sound = reader.ok() && record.row_count > 0 && record.size_bytes > 0 &&
                     record.footer_bytes > 0 && record.footer_bytes < record.size_bytes &&
                     record.checksum.size() == kChecksumBytes && record.schema_version > 0;
  if (!sound) return BadRecord("record of segment " + record.path);
  return record;
}

Result<std::vector<RowGroup>> DecodeRowGroups(std::string_view bytes) {
  FieldReader reader(bytes);
  std::vector<RowGroup> groups(reader.Count());
  for (RowGroup& group : groups) {
    group.first_key = reader.Text();
    group.row_count = reader.Signed();
    group.min_seq.value = reader.Signed();
    group.max_seq.value = reader.Signed();
    group.chunk_checksums.resize(reader.Count());
    for (uint64_t& checksum : group.chunk_checksums) checksum = reader.Number();
    if (!reader.ok() || group.row_count <= 0 ||
        group.row_count > std::numeric_limits<int32_t>::max()) {
      return BadRecord("list of row groups");
    }
  }
  if (!reader.ok() || groups.empty()) return BadRecord("list of row groups");
  return groups;
}

Result<FolderRecord> DecodeFolder(std::string_view key, std::string_view bytes) {
  FolderRecord folder;
  if (!ReadTableAndTag(&key, kFolderTag, &folder.table) || !ReadPlace(&key, &folder.place) ||
      !key.empty()) {
    return BadRecord("key of a folder");
  }
  FieldReader reader(bytes);
  folder.storage_id = reader.Text();
  folder.folder = reader.Text();
  folder.manifest_version = reader.Number();
  folder.next_batch = reader.Number();
  folder.created_at_us = reader.Signed();
  folder.updated_at_us = reader.Signed();
  if (!reader.ok()) return BadRecord("record of a folder");
  return folder;
}

Result<PreparedSegment> DecodePrepared(std::string_view key, std::string_view bytes) {
  PreparedSegment segment;
  if (!ReadTableAndTag(&key, kPreparedTag, &segment.table) || key.size() != sizeof(uint64_t))
    return BadRecord("key of a prepared segment");
  segment.segment_id = DecodeBigEndian64(key.data());
  FieldReader reader(bytes);
  segment.storage_id = reader.Text();
  segment.path = reader.Text();
  segment.bloom_block_count = reader.Enum<uint32_t>(UINT32_MAX);
  if (!reader.ok()) return BadRecord("mark of a prepared segment");
  return segment;
}

Result<RetiredFile> DecodeRetired(std::string_view key, std::string_view bytes) {
  RetiredFile file;
  TableId none;
  if (!ReadTableAndTag(&key, kRetiredTag, &none) ||
      key.size() != 2 * sizeof(uint64_t) + kTableBytes) {
    return BadRecord("key of a retired file");
  }
  file.retired_at_us = static_cast<int64_t>(DecodeBigEndian64(key.data()));
  file.table.value = DecodeBigEndian32(key.data() + sizeof(uint64_t));
  file.segment_id = DecodeBigEndian64(key.data() + sizeof(uint64_t) + kTableBytes);
  FieldReader reader(bytes);
  file.storage_id = reader.Text();
  file.path = reader.Text();
  if (!reader.ok()) return BadRecord("record of a retired file");
  return file;
}

Result<TableSegmentsHead> ReadHead(storage::Store& store, TableId table,
                                   const storage::SnapshotPtr& snapshot) {
  KALAM_ASSIGN_OR_RETURN(auto value, store.Get(Family::kSegments, HeadKey(table), snapshot));
  if (!value) return TableSegmentsHead();
  return DecodeHead(*value);
}

Result<std::vector<SegmentRecord>> ListSegments(storage::Store& store, TableId table,
                                                const storage::SnapshotPtr& snapshot) {
  return ListRecords(store, TaggedKey(table, kRecordTag), snapshot);
}

Result<std::vector<SegmentRecord>> ListSegments(storage::Store& store, TableId table,
                                                const SegmentPlace& place,
                                                const storage::SnapshotPtr& snapshot) {
  return ListRecords(store, PlacePrefix(table, place), snapshot);
}

Result<std::vector<SegmentRecord>> ListSegmentsOfScope(storage::Store& store, TableId table,
                                                       const storage::Scope& scope,
                                                       const storage::SnapshotPtr& snapshot) {
  KALAM_ASSIGN_OR_RETURN(std::vector<SegmentRecord> records,
                         ListSegments(store, table, SegmentPlace::OfScope(scope), snapshot));
  if (scope.is_shared()) return records;
  const std::string begin = SegmentKeyPrefix(scope);
  const std::string end = PrefixEnd(begin);
  KALAM_ASSIGN_OR_RETURN(std::vector<SegmentRecord> many,
                         ListSegments(store, table, SegmentPlace::Many(), snapshot));
  for (SegmentRecord& record : many) {
    const bool reaches = record.max_key >= begin && (end.empty() || record.min_key < end);
    if (reaches) records.push_back(std::move(record));
  }
  return records;
}

Result<std::vector<RowGroup>> ReadRowGroups(storage::Store& store, const SegmentRecord& record,
                                            const storage::SnapshotPtr& snapshot) {
  KALAM_ASSIGN_OR_RETURN(
      auto value,
      store.Get(Family::kSegments, RowGroupsKey(record.table, record.segment_id), snapshot));
  if (!value) return BadRecord("list of row groups of segment " + record.path);
  return DecodeRowGroups(*value);
}

Result<std::optional<FolderRecord>> ReadFolder(storage::Store& store, TableId table,
                                               const SegmentPlace& place,
                                               const storage::SnapshotPtr& snapshot) {
  const std::string key = FolderKey(table, place);
  KALAM_ASSIGN_OR_RETURN(auto value, store.Get(Family::kSegments, key, snapshot));
  if (!value) return std::optional<FolderRecord>();
  KALAM_ASSIGN_OR_RETURN(FolderRecord folder, DecodeFolder(key, *value));
  return std::optional<FolderRecord>(std::move(folder));
}

Result<std::vector<FolderRecord>> ListFolders(storage::Store& store, std::optional<TableId> table,
                                              const storage::SnapshotPtr& snapshot) {
  std::vector<TableId> tables;
  if (table) {
    tables.push_back(*table);
  } else {
    KALAM_ASSIGN_OR_RETURN(tables, ListTablesWithSegments(store));
  }
  std::vector<FolderRecord> folders;
  for (TableId id : tables) {
    KALAM_RETURN_IF_ERROR(
        VisitPrefix(store, TaggedKey(id, kFolderTag), snapshot,
                    [&folders](std::string_view key, std::string_view value) -> Result<bool> {
                      KALAM_ASSIGN_OR_RETURN(FolderRecord folder, DecodeFolder(key, value));
                      folders.push_back(std::move(folder));
                      return true;
                    }));
  }
  return folders;
}

Result<std::vector<TableId>> ListTablesWithSegments(storage::Store& store) {
  std::vector<TableId> tables;
  auto iterator = store.NewIterator(Family::kSegments, {storage::TablePrefix(TableId{1}), {}});
  iterator->SeekToFirst();
  while (iterator->Valid() && iterator->key().size() > kTableBytes) {
    const TableId table{DecodeBigEndian32(iterator->key().data())};
    tables.push_back(table);
    if (table.value == UINT32_MAX) break;
    iterator->Seek(storage::TablePrefix(TableId{table.value + 1}));
  }
  KALAM_RETURN_IF_ERROR(iterator->status());
  return tables;
}

Result<std::vector<PreparedSegment>> ListPrepared(storage::Store& store, TableId table) {
  std::vector<PreparedSegment> prepared;
  KALAM_RETURN_IF_ERROR(
      VisitPrefix(store, TaggedKey(table, kPreparedTag), nullptr,
                  [&prepared](std::string_view key, std::string_view value) -> Result<bool> {
                    KALAM_ASSIGN_OR_RETURN(PreparedSegment segment, DecodePrepared(key, value));
                    prepared.push_back(std::move(segment));
                    return true;
                  }));
  return prepared;
}

Result<std::vector<RetiredFile>> ListRetired(storage::Store& store, int64_t before_us,
                                             size_t count_max) {
  std::vector<RetiredFile> files;
  KALAM_RETURN_IF_ERROR(
      VisitPrefix(store, TaggedKey(TableId{0}, kRetiredTag), nullptr,
                  [&](std::string_view key, std::string_view value) -> Result<bool> {
                    if (files.size() == count_max) return false;
                    KALAM_ASSIGN_OR_RETURN(RetiredFile file, DecodeRetired(key, value));
                    if (file.retired_at_us >= before_us) return false;
                    files.push_back(std::move(file));
                    return true;
                  }));
  return files;
}

catalog::RecordWrite ClearEvicting(SegmentRecord record) {
  record.evicting = false;
  return {Family::kSegments, RecordKey(record), EncodeRecord(record)};
}

catalog::RecordWrites ForgetPrepared(const PreparedSegment& segment) {
  catalog::RecordWrites writes;
  const auto erase = [&writes](std::string key) {
    writes.push_back({Family::kSegments, std::move(key), std::nullopt});
  };
  erase(RowGroupsKey(segment.table, segment.segment_id));
  for (uint32_t block = 0; block < segment.bloom_block_count; ++block)
    erase(BloomBlockKey(segment.table, segment.segment_id, block));
  erase(PreparedKey(segment.table, segment.segment_id));
  return writes;
}

catalog::RecordWrite ForgetRetired(const RetiredFile& file) {
  return {Family::kSegments, RetiredKey(file), std::nullopt};
}

Result<catalog::RecordWrites> RetireFilesOfTable(storage::Store& store, TableId table,
                                                 int64_t now_us) {
  KALAM_ASSIGN_OR_RETURN(std::vector<SegmentRecord> records, ListSegments(store, table));
  KALAM_ASSIGN_OR_RETURN(std::vector<PreparedSegment> prepared, ListPrepared(store, table));
  catalog::RecordWrites writes;
  const auto retire = [&](auto& segment) {
    const RetiredFile file{now_us, table, segment.segment_id, std::move(segment.storage_id),
                           std::move(segment.path)};
    writes.push_back({Family::kSegments, RetiredKey(file), EncodeRetired(file)});
  };
  for (SegmentRecord& record : records) retire(record);
  for (PreparedSegment& segment : prepared) retire(segment);
  return writes;
}

}  // namespace kalam::segments

// Records of definitions and snapshots.
#include "vectors/scope_index.h"

#include "catalog/field_codec.h"
#include "types/key_codec.h"

namespace kalam::vectors {
namespace {

Status Unreadable(std::string_view what) {
  return Status(ErrorKind::Corruption,
                "the record of a vector " + std::string(what) + " cannot be decoded");
}

}  // namespace

std::string ColumnKey(TableId table, uint32_t column_id) {
  std::string key;
  EncodeBigEndian32(table.value, &key);
  EncodeBigEndian32(column_id, &key);
  return key;
}

std::string EncodeDefinition(const IndexDefinition& definition) {
  catalog::FieldWriter writer;
  writer.Number(static_cast<uint64_t>(definition.metric));
  writer.Signed(definition.created_at_us);
  if (!definition.name.empty()) writer.Text(definition.name);
  return writer.Take();
}

Result<IndexDefinition> DecodeDefinition(std::string_view key, std::string_view value) {
  if (key.size() != 8) return Unreadable("index");
  catalog::FieldReader reader(value);
  IndexDefinition definition;
  definition.table = TableId{DecodeBigEndian32(key.data())};
  definition.column_id = DecodeBigEndian32(key.data() + 4);
  const uint64_t metric = reader.Number();
  definition.created_at_us = reader.Signed();
  if (reader.ok() && !reader.AtEnd()) definition.name = reader.Text();
  if (!reader.ok() || metric > static_cast<uint64_t>(Metric::kDot)) return Unreadable("index");
  definition.metric = static_cast<Metric>(metric);
  return definition;
}

std::string EncodeSnapshotRecord(const SnapshotRecord& record) {
  catalog::FieldWriter writer;
  writer.Number(record.version);
  writer.Text(record.storage_id);
  writer.Text(record.path);
  writer.Signed(record.last_applied.value);
  writer.Signed(record.written_at_us);
  return writer.Take();
}

Result<SnapshotRecord> DecodeSnapshotRecord(std::string_view value) {
  catalog::FieldReader reader(value);
  SnapshotRecord record;
  record.version = reader.Number();
  record.storage_id = reader.Text();
  record.path = reader.Text();
  record.last_applied = Seq{reader.Signed()};
  record.written_at_us = reader.Signed();
  if (!reader.ok()) return Unreadable("snapshot");
  return record;
}

}  // namespace kalam::vectors

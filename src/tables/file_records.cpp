// See file_records.h.
#include "tables/file_records.h"

#include <algorithm>

#include "base/id_generators.h"
#include "storage/key_layout.h"
#include "types/file_reference.h"
#include "types/key_codec.h"
#include "types/row_codec.h"

namespace kalam::tables {
namespace {

using storage::Family;

std::string Key(std::string_view kind, std::string_view scope_prefix, int64_t id) {
  std::string key(kind);
  key += scope_prefix;
  EncodeBigEndian64(static_cast<uint64_t>(id), &key);
  return key;
}

std::optional<int64_t> IdIn(const Datum& cell) {
  return cell.is_null ? std::nullopt : FileIdOf(cell.text());
}

}  // namespace

std::string FileEntryKey(std::string_view scope_prefix, int64_t id) {
  return Key(kFileEntryPrefix, scope_prefix, id);
}

std::string FileReferencesKey(std::string_view scope_prefix, int64_t id) {
  return Key(kFileReferencePrefix, scope_prefix, id);
}

std::string FileReferenceKey(std::string_view scope_prefix, int64_t id, uint32_t column_id,
                             std::string_view encoded_pk) {
  std::string key = FileReferencesKey(scope_prefix, id);
  EncodeBigEndian32(column_id, &key);
  key += encoded_pk;
  return key;
}

std::string FileReleasedKey(std::string_view scope_prefix, int64_t id, uint64_t nonce) {
  std::string key = Key(kFileReleasedPrefix, scope_prefix, id);
  EncodeBigEndian64(nonce, &key);
  return key;
}

std::string FilePendingKey(int64_t id) { return Key(kFilePendingPrefix, {}, id); }

std::vector<uint32_t> FilePositions(const catalog::TableDefinition& table) {
  std::vector<uint32_t> positions;
  const std::vector<RowLayout::Cell>& cells = table.layout().cells;
  for (uint32_t i = 0; i < cells.size(); ++i) {
    if (cells[i].type.kind == TypeKind::kFile) positions.push_back(i);
  }
  return positions;
}

Status AppendFileRecords(const catalog::TableDefinition& table,
                         const std::vector<uint32_t>& file_positions,
                         const replication::RowMutation& mutation, int64_t now_us,
                         catalog::RecordWrites* records) {
  const RowLayout& layout = table.layout();
  const std::string scope = storage::ScopePrefix(mutation.table, mutation.scope);
  const auto is_file = [&](uint32_t position) {
    return std::find(file_positions.begin(), file_positions.end(), position) !=
           file_positions.end();
  };
  if (!mutation.old_cells.empty()) {
    KALAM_ASSIGN_OR_RETURN(const std::vector<SparseCell> old,
                           DecodeSparseRow(layout, mutation.old_cells));
    for (const SparseCell& cell : old) {
      if (!is_file(cell.position)) continue;
      const std::optional<int64_t> id = IdIn(cell.value);
      if (!id) continue;
      const uint32_t column_id = layout.cells[cell.position].column_id;
      records->push_back({Family::kSystem,
                          FileReferenceKey(scope, *id, column_id, mutation.encoded_pk),
                          std::nullopt});
      // The nonce tells releases apart, so that whoever handles one never takes another with it.
      uint64_t nonce = 0;
      FillRandom(&nonce, sizeof nonce);
      std::string time;
      PutVarint(&time, static_cast<uint64_t>(now_us));
      records->push_back({Family::kSystem, FileReleasedKey(scope, *id, nonce), std::move(time)});
    }
  }
  if (mutation.op == replication::ChangeOp::kDelete) return Status::Ok();
  std::vector<Datum> cells;
  KALAM_RETURN_IF_ERROR(DecodeRow(layout, mutation.row, &cells));
  for (const uint32_t position : file_positions) {
    const std::optional<int64_t> id = IdIn(cells[position]);
    if (!id) continue;
    const uint32_t column_id = layout.cells[position].column_id;
    records->push_back({Family::kSystem,
                        FileReferenceKey(scope, *id, column_id, mutation.encoded_pk),
                        std::string()});
    records->push_back({Family::kSystem, FilePendingKey(*id), std::nullopt});
  }
  return Status::Ok();
}

}  // namespace kalam::tables

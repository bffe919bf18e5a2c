// Bookkeeping of staged rows.
#include "tables/staged_rows.h"

#include <algorithm>
#include <utility>

#include "types/key_codec.h"

namespace kalam::tables {

StagedScope& StagedRows::ScopeOf(const catalog::TableDefinition& table,
                                 const storage::Scope& scope) {
  for (const std::unique_ptr<StagedScope>& staged : scopes_) {
    if (staged->table == table.id && staged->scope == scope) return *staged;
  }
  auto staged = std::make_unique<StagedScope>();
  staged->table = table.id;
  staged->scope = scope;
  staged->is_stream = table.type == catalog::TableType::kStream;
  staged->max_buffer = table.options.max_buffer;
  scopes_.push_back(std::move(staged));
  return *scopes_.back();
}

const StagedScope* StagedRows::FindScope(TableId table, const storage::Scope& scope) const {
  for (const std::unique_ptr<StagedScope>& staged : scopes_) {
    if (staged->table == table && staged->scope == scope) return staged.get();
  }
  return nullptr;
}

const StagedRow* StagedRows::Find(TableId table, const storage::Scope& scope,
                                  std::string_view key) const {
  const StagedScope* staged = FindScope(table, scope);
  if (staged == nullptr) return nullptr;
  auto found = staged->rows.find(key);
  return found == staged->rows.end() ? nullptr : &found->second;
}

StagedRow& StagedRows::Add(StagedScope& staged, std::string key, StagedRow row, Seq view_seq) {
  row.ordinal = next_ordinal_++;
  row.current.seq = Seq{view_seq.value + 1 + static_cast<int64_t>(row.ordinal)};
  if (key.empty() && staged.is_stream) EncodeBigEndian64(row.ordinal, &key);
  ++row_count_;
  byte_size_ += BytesOf(row);
  return staged.rows.insert_or_assign(std::move(key), std::move(row)).first->second;
}

void StagedRows::Recount(const StagedRow& row, size_t old_bytes) {
  byte_size_ += BytesOf(row) - old_bytes;
}

void StagedRows::Remove(StagedScope& staged, std::string_view key) {
  auto found = staged.rows.find(key);
  if (found == staged.rows.end()) return;
  byte_size_ -= BytesOf(found->second);
  --row_count_;
  staged.rows.erase(found);
}

size_t StagedRows::BytesOf(const StagedRow& row) {
  constexpr size_t kNodeBytes = 64;
  return sizeof(StagedRow) + kNodeBytes + 2 * row.current.encoded_pk.size() +
         row.current.row.size() + row.old_cells.size() + row.base_row.size();
}

std::vector<replication::RowMutation> StagedRows::TakeMutations() {
  std::vector<std::pair<const StagedScope*, StagedRow*>> ordered;
  ordered.reserve(row_count_);
  for (const std::unique_ptr<StagedScope>& staged : scopes_) {
    for (auto& [key, row] : staged->rows) ordered.emplace_back(staged.get(), &row);
  }
  std::sort(ordered.begin(), ordered.end(),
            [](const auto& a, const auto& b) { return a.second->ordinal < b.second->ordinal; });
  std::vector<replication::RowMutation> mutations;
  mutations.reserve(ordered.size());
  for (auto [staged, row] : ordered) {
    replication::RowMutation& mutation = mutations.emplace_back();
    mutation.table = staged->table;
    mutation.scope = staged->scope;
    mutation.encoded_pk = std::move(row->current.encoded_pk);
    mutation.op = row->op;
    mutation.schema_version = row->current.schema_version;
    mutation.read_seq = row->base_seq;
    mutation.read_was_tombstone = row->base_was_tombstone;
    mutation.read_was_cold = row->base_was_cold;
    mutation.segments_version = row->segments_version;
    mutation.row = std::move(row->current.row);
    mutation.old_cells = std::move(row->old_cells);
    mutation.is_stream = staged->is_stream;
    mutation.max_buffer = staged->max_buffer;
    mutation.expire_at_us = row->expire_at_us;
  }
  scopes_.clear();
  row_count_ = 0;
  byte_size_ = 0;
  return mutations;
}

size_t StagedRows::table_count() const {
  std::vector<TableId> tables;
  for (const std::unique_ptr<StagedScope>& staged : scopes_) {
    if (!staged->rows.empty()) tables.push_back(staged->table);
  }
  std::sort(tables.begin(), tables.end());
  return static_cast<size_t>(std::unique(tables.begin(), tables.end()) - tables.begin());
}

}  // namespace kalam::tables

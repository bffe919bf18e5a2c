// The net effect of a writer on every key that it touched, before it becomes a command.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "replication/command.h"
#include "tables/table_reader.h"

namespace kalam::tables {

/// One key: what the view had and what it becomes.
struct StagedRow {
  uint64_t ordinal = 0;  // order of first touch: the order in which rows take their `_seq`
  uint32_t statement = 0;
  catalog::TablePtr table;  // the version that `current` is encoded with
  StoredRow current;        // as readers of the same transaction see it; its `_seq` is provisional
  replication::ChangeOp op = replication::ChangeOp::kInsert;
  std::string old_cells;
  int64_t expire_at_us = 0;

  // The version in the view.
  Seq base_seq;
  bool base_was_tombstone = false;
  bool base_was_cold = false;
  uint64_t segments_version = 0;  // of the view, when the store had no version of the key there
  uint32_t base_schema_version = 0;
  std::string base_row;  // empty unless the key was live
};

/// The staged rows of one scope of one table.
struct StagedScope {
  TableId table;
  storage::Scope scope;
  bool is_stream = false;
  uint32_t max_buffer = 0;
  /// By encoded primary key. In a STREAM table, where keys need not be unique: inserted rows by
  /// their ordinal, deleted ones by a key that the writer makes of their `_seq`.
  std::map<std::string, StagedRow, std::less<>> rows;
};

/// All that a writer has staged. Not thread-safe.
class StagedRows {
 public:
  StagedScope& ScopeOf(const catalog::TableDefinition& table, const storage::Scope& scope);
  const StagedScope* FindScope(TableId table, const storage::Scope& scope) const;
  const StagedRow* Find(TableId table, const storage::Scope& scope, std::string_view key) const;

  /// Puts a new key in (empty: a STREAM row's ordinal); `row.ordinal` and the provisional `_seq`
  /// are set here.
  StagedRow& Add(StagedScope& staged, std::string key, StagedRow row, Seq view_seq);
  /// Says that `row` has been changed in place; `old_bytes` is what BytesOf gave before.
  void Recount(const StagedRow& row, size_t old_bytes);
  /// Forgets a key: its changes cancelled each other out.
  void Remove(StagedScope& staged, std::string_view key);
  static size_t BytesOf(const StagedRow& row);

  /// Moves everything into mutations, ordered by first touch; nothing is staged afterwards.
  std::vector<replication::RowMutation> TakeMutations();

  /// Rows that are added from now on have this ordinal or a greater one.
  uint64_t next_ordinal() const { return next_ordinal_; }
  size_t row_count() const { return row_count_; }
  size_t byte_size() const { return byte_size_; }
  size_t table_count() const;

 private:
  std::vector<std::unique_ptr<StagedScope>> scopes_;
  uint64_t next_ordinal_ = 0;
  size_t row_count_ = 0;
  size_t byte_size_ = 0;
};

}  // namespace kalam::tables

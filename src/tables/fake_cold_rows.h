// A cold tier for tests: rows kept as records in kSegments, so that what it shows follows the
// snapshot as real segments do.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "catalog/catalog.h"
#include "replication/group.h"
#include "replication/records.h"
#include "segments/cold_rows.h"
#include "types/key_codec.h"

namespace kalam::tables {

class FakeColdRows final : public segments::ColdRows {
 public:
  explicit FakeColdRows(storage::Store& store) : store_(store) {}

  enum class Eviction : uint8_t { kDone, kPending };  // pending: rows stay hot as well
  /// Moves those rows of a scope that are hot, tombstones too, as a flush does.
  void Flush(replication::ReplicationGroup& group, const catalog::TablePtr& table,
             const storage::Scope& scope, const std::vector<std::string>& encoded_pks,
             Eviction eviction) {
    NoteSegments();
    const replication::View view = group.TakeView();
    auto flush = std::make_shared<replication::Command>();
    auto forget = std::make_shared<replication::Command>();
    forget->view_seq = view.seq;
    for (const std::string& encoded_pk : encoded_pks) {
      auto value = store_.Get(storage::Family::kRows, storage::RowKey(table->id, scope, encoded_pk),
                              view.snapshot);
      ASSERT_TRUE(value.ok());
      if (!*value) continue;
      auto record = replication::DecodeRowRecord(**value);
      ASSERT_TRUE(record.ok());
      replication::RowMutation& row = forget->rows.emplace_back();
      row.table = table->id;
      row.scope = scope;
      row.encoded_pk = encoded_pk;
      row.op = replication::ChangeOp::kDelete;
      row.schema_version = table->schema_version;
      row.read_seq = record->seq;
      row.read_was_tombstone = record->tombstone;
      row.forgets_version = true;
      flush->records.push_back({storage::Family::kSegments,
                                ScopePrefix(table->id, scope).append(encoded_pk),
                                std::move(**value)});
    }
    flush->records.push_back({storage::Family::kSegments, VersionKey(table->id),
                              std::to_string(*SegmentsVersion(table->id, nullptr) + 1)});
    ASSERT_TRUE(replication::ProposeAndWait(group, flush).status.ok());
    if (eviction == Eviction::kPending || forget->rows.empty()) return;
    ASSERT_TRUE(replication::ProposeAndWait(group, forget).status.ok());
  }
  /// Before the first segment is committed.
  void NoteSegments() { may_have_segments_ = true; }

  bool MayHaveSegments(TableId) const override { return may_have_segments_; }
  Result<uint64_t> SegmentsVersion(TableId table, const storage::SnapshotPtr& snapshot) override {
    KALAM_ASSIGN_OR_RETURN(auto value,
                           store_.Get(storage::Family::kSegments, VersionKey(table), snapshot));
    return value ? std::stoull(*value) : uint64_t{0};
  }
  Result<std::optional<segments::ColdRow>> Get(const catalog::TablePtr& table,
                                               const storage::Scope& scope,
                                               std::string_view encoded_pk,
                                               const storage::SnapshotPtr& snapshot,
                                               std::span<const uint32_t> /*wanted*/) override {
    std::string key = ScopePrefix(table->id, scope).append(encoded_pk);
    KALAM_ASSIGN_OR_RETURN(auto value, store_.Get(storage::Family::kSegments, key, snapshot));
    if (!value) return std::optional<segments::ColdRow>();
    if (storage::IsOnlyInMemory(snapshot)) return Status(ErrorKind::NotInMemory, "a file");
    KALAM_ASSIGN_OR_RETURN(segments::ColdRow row, Decode(encoded_pk, *value));
    return std::optional<segments::ColdRow>(std::move(row));
  }
  Result<std::unique_ptr<segments::ColdScan>> OpenKeyScan(
      const catalog::TablePtr& table, const storage::Scope& scope,
      const segments::ColdKeyRange& range, const storage::SnapshotPtr& snapshot) override {
    KALAM_ASSIGN_OR_RETURN(auto rows, ReadScopeRows(table->id, scope, snapshot));
    std::erase_if(rows, [&](const segments::ColdRow& row) {
      return row.encoded_pk < range.lower ||
             (!range.upper.empty() && row.encoded_pk >= range.upper);
    });
    return ScanOf(std::move(rows), range.descending);
  }
  Result<std::unique_ptr<segments::ColdScan>> OpenSeqScan(
      const catalog::TablePtr& table, const storage::Scope& scope,
      const segments::ColdSeqRange& range, const storage::SnapshotPtr& snapshot) override {
    KALAM_ASSIGN_OR_RETURN(auto rows, ReadScopeRows(table->id, scope, snapshot));
    std::erase_if(rows, [&](const segments::ColdRow& row) {
      return row.seq <= range.after || (range.up_to.value != 0 && row.seq > range.up_to);
    });
    std::sort(rows.begin(), rows.end(),
              [](const segments::ColdRow& a, const segments::ColdRow& b) { return a.seq < b.seq; });
    return ScanOf(std::move(rows), range.descending);
  }

 private:
  class Scan final : public segments::ColdScan {
   public:
    explicit Scan(std::vector<segments::ColdRow> rows) : rows_(std::move(rows)) {}
    Result<bool> Next() override { return next_++ < rows_.size(); }
    std::string_view encoded_pk() const override { return current().encoded_pk; }
    Seq seq() const override { return current().seq; }
    bool deleted() const override { return current().deleted; }
    uint32_t schema_version() const override { return current().schema_version; }
    std::string_view row() const override { return current().row; }

   private:
    const segments::ColdRow& current() const { return rows_.at(next_ - 1); }
    const std::vector<segments::ColdRow> rows_;
    size_t next_ = 0;
  };

  static std::string VersionKey(TableId table) { return storage::TablePrefix(table) + "v"; }
  static std::string ScopePrefix(TableId table, const storage::Scope& scope) {
    std::string prefix = storage::ScopePrefix(table, scope);
    return prefix.insert(storage::TablePrefix(table).size(), "r");
  }
  static Result<segments::ColdRow> Decode(std::string_view encoded_pk, std::string_view value) {
    KALAM_ASSIGN_OR_RETURN(replication::RowRecord record, replication::DecodeRowRecord(value));
    return segments::ColdRow{std::string(encoded_pk), record.seq, record.tombstone,
                             record.schema_version, std::string(record.row)};
  }
  Result<std::vector<segments::ColdRow>> ReadScopeRows(TableId table, const storage::Scope& scope,
                                                       const storage::SnapshotPtr& snapshot) {
    std::vector<segments::ColdRow> rows;
    std::string prefix = ScopePrefix(table, scope);
    auto iterator =
        store_.NewIterator(storage::Family::kSegments, {prefix, PrefixEnd(prefix)}, snapshot);
    for (iterator->SeekToFirst(); iterator->Valid(); iterator->Next()) {
      KALAM_ASSIGN_OR_RETURN(segments::ColdRow row,
                             Decode(iterator->key().substr(prefix.size()), iterator->value()));
      rows.push_back(std::move(row));
    }
    KALAM_RETURN_IF_ERROR(iterator->status());
    return rows;
  }
  static std::unique_ptr<segments::ColdScan> ScanOf(std::vector<segments::ColdRow> rows,
                                                    bool descending) {
    if (descending) std::reverse(rows.begin(), rows.end());
    return std::make_unique<Scan>(std::move(rows));
  }

  storage::Store& store_;
  std::atomic<bool> may_have_segments_ = false;
};

}  // namespace kalam::tables

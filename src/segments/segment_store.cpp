// Cold rows: which segments a read needs, and what it does with them.
#include "segments/segment_store.h"

#include <shared_mutex>
#include <unordered_set>
#include <utility>

#include "segments/merge_scan.h"
#include "segments/segment_keys.h"
#include "segments/segment_lookup.h"
#include "segments/seq_scan.h"
#include "types/key_codec.h"

namespace kalam::segments {
namespace {

class SegmentStoreOverFiles : public SegmentStore {
 public:
  SegmentStoreOverFiles(storage::Store& store, StorageLookup storage_of,
                        const SegmentStoreOptions& options)
      : store_(store), reader_(store, std::move(storage_of), options) {}

  bool MayHaveSegments(TableId table) const override {
    std::shared_lock lock(tables_mutex_);
    return tables_.contains(table.value);
  }
  void NoteTable(TableId table) override {
    std::unique_lock lock(tables_mutex_);
    tables_.insert(table.value);
  }
  Result<uint64_t> SegmentsVersion(TableId table, const storage::SnapshotPtr& snapshot) override {
    if (!MayHaveSegments(table)) return uint64_t{0};
    KALAM_ASSIGN_OR_RETURN(TableSegmentsHead head, ReadHead(store_, table, snapshot));
    return head.version;
  }

  Result<std::optional<ColdRow>> Get(const catalog::TablePtr& table, const storage::Scope& scope,
                                     std::string_view encoded_pk,
                                     const storage::SnapshotPtr& snapshot,
                                     std::span<const uint32_t> wanted) override;
  Result<std::unique_ptr<ColdScan>> OpenKeyScan(const catalog::TablePtr& table,
                                                const storage::Scope& scope,
                                                const ColdKeyRange& range,
                                                const storage::SnapshotPtr& snapshot) override;
  Result<std::unique_ptr<ColdScan>> OpenSeqScan(const catalog::TablePtr& table,
                                                const storage::Scope& scope,
                                                const ColdSeqRange& range,
                                                const storage::SnapshotPtr& snapshot) override;
  Result<std::vector<RawSegment>> RawSegments(const catalog::TablePtr& table,
                                              const storage::Scope& scope,
                                              const storage::SnapshotPtr& snapshot) override {
    std::vector<RawSegment> raw;
    const storage::SnapshotPtr view = Held(snapshot);
    KALAM_ASSIGN_OR_RETURN(auto records, ListSegmentsOfScope(store_, table->id, scope, view));
    for (SegmentRecord& record : records) {
      KALAM_ASSIGN_OR_RETURN(RawSegment segment, reader_.Raw(table, std::move(record), view));
      raw.push_back(std::move(segment));
    }
    return raw;
  }
  Result<std::unique_ptr<SegmentKeys>> OpenKeys(const catalog::TablePtr& table,
                                                const storage::Scope& scope,
                                                const SegmentRecord& record,
                                                const storage::SnapshotPtr& snapshot) override {
    KALAM_ASSIGN_OR_RETURN(SegmentFilePtr file, reader_.Open(table, record, Held(snapshot)));
    return MakeSegmentKeys(reader_, std::move(file), scope);
  }
  Result<std::unique_ptr<SegmentMerge>> OpenMerge(const catalog::TablePtr& table,
                                                  const std::vector<SegmentRecord>& records,
                                                  const storage::SnapshotPtr& snapshot) override {
    return MakeMergeScan(reader_, table, records, {}, Held(snapshot));
  }

  std::shared_ptr<const void> Pin(const SegmentRecord& record) override {
    return reader_.Pin(record.table, record.segment_id);
  }
  bool IsPinned(TableId table, uint64_t segment_id) const override {
    return reader_.IsPinned(table, segment_id);
  }
  Status Verify(const SegmentRecord& record) override { return reader_.Verify(record); }
  Status CheckFence(TableId table, uint64_t segment_id) const override {
    return reader_.CheckFence(table, segment_id);
  }
  void ReleaseMemory() override { reader_.cache().Clear(); }

 private:
  /// Records are read in several steps, which must see one state.
  storage::SnapshotPtr Held(const storage::SnapshotPtr& snapshot) {
    return snapshot == nullptr ? store_.TakeSnapshot() : snapshot;
  }

  storage::Store& store_;
  SegmentReader reader_;
  mutable std::shared_mutex tables_mutex_;
  std::unordered_set<uint32_t> tables_;  // guarded by tables_mutex_
};

CellChoice ChoiceOf(const catalog::TableDefinition& table, std::span<const uint32_t> wanted) {
  CellChoice choice;
  choice.all = wanted.empty();
  choice.seq = wanted.empty();
  for (uint32_t index : wanted) {
    if (index >= table.columns->size()) continue;
    const catalog::ColumnDefinition& column = (*table.columns)[index];
    if (column.name == catalog::kSeqColumn) choice.seq = true;
    choice.column_ids.push_back(column.column_id);
  }
  return choice;
}

Result<std::optional<ColdRow>> SegmentStoreOverFiles::Get(const catalog::TablePtr& table,
                                                          const storage::Scope& scope,
                                                          std::string_view encoded_pk,
                                                          const storage::SnapshotPtr& snapshot,
                                                          std::span<const uint32_t> wanted) {
  if (!MayHaveSegments(table->id)) return std::optional<ColdRow>();
  const storage::SnapshotPtr view = Held(snapshot);
  KALAM_ASSIGN_OR_RETURN(ScopeSegments segments,
                         FindScopeSegments(store_, reader_.cache(), table->id, scope, view));
  KALAM_ASSIGN_OR_RETURN(auto found,
                         FindNewest(reader_, table, segments, SegmentKey(scope, encoded_pk),
                                    ChoiceOf(*table, wanted), view));
  if (!found) return std::optional<ColdRow>();
  ColdRow row;
  row.encoded_pk = encoded_pk;
  row.seq = found->seq();
  row.deleted = found->deleted();
  row.schema_version = found->file->record.schema_version;
  found->EncodeTo(&row.row);
  return std::optional<ColdRow>(std::move(row));
}

Result<std::unique_ptr<ColdScan>> SegmentStoreOverFiles::OpenKeyScan(
    const catalog::TablePtr& table, const storage::Scope& scope, const ColdKeyRange& range,
    const storage::SnapshotPtr& snapshot) {
  const storage::SnapshotPtr view = Held(snapshot);
  SegmentKeyRange keys;
  keys.lower = SegmentKey(scope, range.lower);
  keys.upper =
      range.upper.empty() ? PrefixEnd(SegmentKeyPrefix(scope)) : SegmentKey(scope, range.upper);
  keys.descending = range.descending;
  std::vector<SegmentRecord> records;
  if (MayHaveSegments(table->id)) {
    KALAM_ASSIGN_OR_RETURN(ScopeSegments segments,
                           FindScopeSegments(store_, reader_.cache(), table->id, scope, view));
    segments.ForEachIn(keys.lower, keys.upper,
                       [&records](const SegmentRecord& record) { records.push_back(record); });
  }
  return std::unique_ptr<ColdScan>(
      MakeMergeScan(reader_, table, std::move(records), std::move(keys), view));
}

Result<std::unique_ptr<ColdScan>> SegmentStoreOverFiles::OpenSeqScan(
    const catalog::TablePtr& table, const storage::Scope& scope, const ColdSeqRange& range,
    const storage::SnapshotPtr& snapshot) {
  const storage::SnapshotPtr view = Held(snapshot);
  ScopeSegments segments;
  if (MayHaveSegments(table->id)) {
    KALAM_ASSIGN_OR_RETURN(segments,
                           FindScopeSegments(store_, reader_.cache(), table->id, scope, view));
  }
  return MakeSeqScan(reader_, table, scope, std::move(segments), range, view);
}

}  // namespace

Result<std::unique_ptr<SegmentStore>> OpenSegmentStore(storage::Store& store,
                                                       StorageLookup storage_of,
                                                       const SegmentStoreOptions& options) {
  auto segments = std::make_unique<SegmentStoreOverFiles>(store, std::move(storage_of), options);
  KALAM_ASSIGN_OR_RETURN(std::vector<TableId> tables, ListTablesWithSegments(store));
  for (TableId table : tables) segments->NoteTable(table);
  return std::unique_ptr<SegmentStore>(std::move(segments));
}

}  // namespace kalam::segments

// Finding near rows, and what is known of indexes; the background is in index_builder.cpp.
#include "vectors/vector_indexes.h"

#include <algorithm>

#include "vectors/index_builder.h"

namespace kalam::vectors {
namespace {

// Rows above the graph that a search still takes as they are.
constexpr size_t kTailRowsMax = 2000;
// From here on the background brings the graph up to date.
constexpr size_t kTailRowsWanted = 200;

// Keys of rows above `applied`; false when there are too many.
Result<bool> AppendTail(tables::TableReader& reader, const tables::ReadScope& scope, Seq applied,
                        std::vector<std::string>* keys, size_t* count) {
  tables::ScanOptions options;
  options.order = tables::ScanOrder::kBySeq;
  options.seq_after = applied;
  KALAM_ASSIGN_OR_RETURN(const auto scan, reader.OpenScan(scope, options));
  while (true) {
    KALAM_ASSIGN_OR_RETURN(const bool found, scan->Next());
    if (!found) return true;
    if (++*count > kTailRowsMax) return false;
    keys->emplace_back(scan->encoded_pk());
  }
}

}  // namespace

Result<std::unique_ptr<VectorIndexes>> VectorIndexes::Open(Services services, IndexLimits limits) {
  auto builder = std::make_unique<Builder>(std::move(services), std::move(limits));
  KALAM_RETURN_IF_ERROR(builder->Load());
  return std::make_unique<VectorIndexes>(std::move(builder));
}

VectorIndexes::VectorIndexes(std::unique_ptr<Builder> builder) : builder_(std::move(builder)) {}
VectorIndexes::~VectorIndexes() { Close(); }

std::optional<IndexDefinition> VectorIndexes::Find(TableId table, uint32_t column_id) const {
  return builder_->Find(table, column_id);
}

catalog::RecordWrite VectorIndexes::Put(const IndexDefinition& definition) {
  return {storage::Family::kSystem,
          std::string(kIndexPrefix) + ColumnKey(definition.table, definition.column_id),
          EncodeDefinition(definition)};
}

catalog::RecordWrite VectorIndexes::Drop(TableId table, uint32_t column_id) {
  return {storage::Family::kSystem, std::string(kIndexPrefix) + ColumnKey(table, column_id),
          std::nullopt};
}

Result<std::optional<NearestRows>> VectorIndexes::FindNearest(const NearestRequest& request) {
  const auto compare_all = [] { return std::optional<NearestRows>(); };
  const tables::ReadScope& scope = request.scope;
  if (scope.transaction != nullptr || request.count == 0) return compare_all();
  const auto definition = builder_->Find(scope.table->id, request.column_id);
  if (!definition || definition->metric != request.metric) return compare_all();
  const auto index = builder_->Scope(*definition, scope.scope.user_id());
  if (index == nullptr) return compare_all();
  index->used_at_us.store(builder_->services.clock.NowUs(), std::memory_order_relaxed);
  NearestRows rows;
  Seq applied;
  {
    const std::shared_lock lock(index->mutex);
    if (!index->ready || index->graph->dimension() != request.query.size()) {
      if (!index->ready) builder_->Want(*index);
      return compare_all();
    }
    applied = index->applied;
    rows.keys = index->graph->Search(request.query, request.count);
    rows.is_everything = rows.keys.size() >= index->graph->count();
  }
  size_t tail_count = 0;
  KALAM_ASSIGN_OR_RETURN(const bool fits, AppendTail(builder_->services.reader, scope, applied,
                                                     &rows.keys, &tail_count));
  if (tail_count > kTailRowsWanted) builder_->Want(*index);
  if (!fits) return compare_all();
  std::sort(rows.keys.begin(), rows.keys.end());
  rows.keys.erase(std::unique(rows.keys.begin(), rows.keys.end()), rows.keys.end());
  return std::optional<NearestRows>(std::move(rows));
}

void VectorIndexes::Tick() { builder_->Tick(); }
Status VectorIndexes::CatchUp() { return builder_->Work(); }
std::vector<IndexState> VectorIndexes::List() const { return builder_->List(); }
std::vector<IndexDefinition> VectorIndexes::Definitions() const { return builder_->Definitions(); }
Result<std::vector<IndexState>> VectorIndexes::Describe(TableId table,
                                                        const std::string& user_id) const {
  return builder_->Describe(table, user_id);
}
Result<size_t> VectorIndexes::WriteSnapshots(TableId table,
                                             const std::function<bool()>& cancelled) {
  return builder_->WriteSnapshots(table, cancelled);
}
void VectorIndexes::SetSnapshotWritten(std::function<void(TableId)> snapshot_written) {
  builder_->snapshot_written = std::move(snapshot_written);
}
void VectorIndexes::ForgetUnused() { builder_->ForgetUnused(); }

void VectorIndexes::Close() { builder_->Close(); }

}  // namespace kalam::vectors

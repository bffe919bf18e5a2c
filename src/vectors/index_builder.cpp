// See index_builder.h.
#include "vectors/index_builder.h"

#include <algorithm>
#include <cstring>
#include <set>
#include <utility>

#include "base/log.h"
#include "types/key_codec.h"
#include "vectors/vector_snapshot.h"

namespace kalam::vectors {
namespace {

using storage::Family;

constexpr std::string_view kLogTarget = "vectors";
constexpr size_t kScopesMax = 20'000;
// Rows that one look at the table takes, and those that one hold of a scope's lock adds.
constexpr size_t kRowsPerScan = 4096;
constexpr size_t kRowsPerLock = 32;
constexpr int64_t kSmallRestUs = 15'000'000;
constexpr int64_t kLargeRestUs = 600'000'000;
// A graph that nobody has asked for so long goes first when memory is short.
constexpr int64_t kUnusedUs = 60'000'000;
// A snapshot is written anew when so many rows changed, or an eighth of all.
constexpr size_t kSnapshotChangesMin = 1000;
constexpr size_t kRemovedMin = 1000;
constexpr int kConflictRoundsMax = 8;

std::vector<float> FloatsOf(std::string_view bytes) {
  std::vector<float> floats(bytes.size() / sizeof(float));
  std::memcpy(floats.data(), bytes.data(), floats.size() * sizeof(float));
  return floats;
}

std::optional<size_t> ColumnById(const catalog::TableDefinition& table, uint32_t column_id) {
  for (size_t i = 0; i < table.columns->size(); ++i) {
    const catalog::ColumnDefinition& column = (*table.columns)[i];
    if (column.column_id == column_id && column.type.kind == TypeKind::kEmbedding) return i;
  }
  return std::nullopt;
}

}  // namespace

VectorIndexes::Builder::Builder(Services builder_services, IndexLimits builder_limits)
    : services(std::move(builder_services)),
      limits(std::move(builder_limits)),
      account_(services.memory.Child("vector_indexes")) {
  observer_ = services.group.AddObserver([this](const auto& batch) { OnCommitted(*batch); });
}

VectorIndexes::Builder::~Builder() { Close(); }

Status VectorIndexes::Builder::Load() {
  const std::string prefix(kIndexPrefix);
  const auto records =
      services.store.NewIterator(Family::kSystem, {prefix, PrefixEnd(prefix)}, nullptr);
  const std::lock_guard lock(mutex_);
  for (records->SeekToFirst(); records->Valid(); records->Next()) {
    const std::string key(records->key().substr(prefix.size()));
    KALAM_ASSIGN_OR_RETURN(definitions_[key], DecodeDefinition(key, records->value()));
  }
  return records->status();
}

void VectorIndexes::Builder::OnCommitted(const replication::CommittedBatch& batch) {
  if (batch.catalog_changed) {
    catalog_changed_.store(true);
    due_.store(true);
  }
  for (const auto& command : batch.commands) {
    for (const catalog::RecordWrite& write : command->records) {
      if (!write.key.starts_with(kIndexPrefix)) continue;
      const std::string key = write.key.substr(kIndexPrefix.size());
      const std::lock_guard lock(mutex_);
      definitions_.erase(key);
      if (write.value) {
        if (auto definition = DecodeDefinition(key, *write.value); definition.ok())
          definitions_[key] = *definition;
      }
      catalog_changed_.store(true);
      due_.store(true);
    }
  }
}

std::optional<IndexDefinition> VectorIndexes::Builder::Find(TableId table,
                                                            uint32_t column_id) const {
  const std::lock_guard lock(mutex_);
  if (definitions_.empty()) return std::nullopt;
  const auto found = definitions_.find(ColumnKey(table, column_id));
  return found == definitions_.end() ? std::nullopt : std::optional(found->second);
}

std::shared_ptr<ScopeIndex> VectorIndexes::Builder::Scope(const IndexDefinition& definition,
                                                          const std::string& user_id) {
  const std::string key = ColumnKey(definition.table, definition.column_id) + user_id;
  const std::lock_guard lock(mutex_);
  auto& index = scopes_[key];
  if (index != nullptr && index->definition.metric == definition.metric &&
      index->definition.created_at_us == definition.created_at_us) {
    return index;
  }
  if (scopes_.size() > kScopesMax) {
    // The background forgets scopes without a graph; until then new ones are compared whole.
    scopes_.erase(key);
    due_.store(true);
    return nullptr;
  }
  index = std::make_shared<ScopeIndex>(definition, user_id);
  return index;
}

void VectorIndexes::Builder::Want(ScopeIndex& index) {
  if (services.clock.NowUs() < index.rests_until_us.load(std::memory_order_relaxed)) return;
  if (!index.wanted.exchange(true)) due_.store(true);
}

void VectorIndexes::Builder::Tick() {
  if (!due_.load() || stopping_.load() || running_.exchange(true)) return;
  const auto work = [this] {
    if (const Status status = Work(); !status.ok()) {
      Log(LogLevel::kWarn, kLogTarget, "vector indexes: " + status.message());
    }
    running_.store(false);
  };
  if (services.run_on_worker) {
    services.run_on_worker(work);
  } else {
    work();
  }
}

void VectorIndexes::Builder::Close() {
  if (stopping_.exchange(true)) return;
  services.group.RemoveObserver(observer_);
  const std::lock_guard lock(work_mutex_);  // waits for the round under way
}

std::vector<std::shared_ptr<ScopeIndex>> VectorIndexes::Builder::Scopes() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::shared_ptr<ScopeIndex>> scopes;
  for (const auto& [key, index] : scopes_) scopes.push_back(index);
  return scopes;
}

Status VectorIndexes::Builder::Work() {
  std::set<uint32_t> written;
  Status status;
  {
    const std::lock_guard lock(work_mutex_);
    saved_.clear();
    status = WorkLocked();
    written.swap(saved_);
  }
  // Not under the lock: whoever is told may wait for a table on which there is work.
  for (const uint32_t table : written) {
    if (snapshot_written) snapshot_written(TableId{table});
  }
  return status;
}

Status VectorIndexes::Builder::WorkLocked() {
  if (stopping_.load()) return {};
  due_.store(false);
  Status status;
  if (catalog_changed_.exchange(false)) status = ForgetDropped();
  for (const std::shared_ptr<ScopeIndex>& index : Scopes()) {
    if (stopping_.load()) break;
    if (!index->wanted.load()) continue;
    if (Status built = Build(*index, Reason::kWanted); !built.ok()) status = std::move(built);
  }
  const std::lock_guard map_lock(mutex_);
  if (scopes_.size() > kScopesMax / 2) {
    std::erase_if(scopes_, [](const auto& entry) {
      return entry.second.use_count() == 1 && entry.second->charge.bytes() == 0;
    });
  }
  return status;
}

tables::ReadScope VectorIndexes::Builder::ReadScopeOf(const ScopeIndex& index,
                                                      const catalog::TablePtr& table) const {
  return {table, tables::ScopeFor(*table, index.user_id), services.group.TakeView(), nullptr};
}

Status VectorIndexes::Builder::Build(ScopeIndex& index, Reason reason) {
  index.wanted.store(false);
  KALAM_ASSIGN_OR_RETURN(const catalog::TablePtr table,
                         services.catalog.FindTable(index.definition.table));
  if (table == nullptr) return {};
  const auto column = ColumnById(*table, index.definition.column_id);
  if (!column) return {};
  Status status = TryBuild(index, table, *column, reason);
  if (status.ok()) return status;
  DropGraph(index);
  index.rests_until_us.store(services.clock.NowUs() + kLargeRestUs);
  return std::move(status).WithContext(table->QualifiedName() + "." +
                                       (*table->columns)[*column].name);
}

Status VectorIndexes::Builder::TryBuild(ScopeIndex& index, const catalog::TablePtr& table,
                                        size_t column, Reason reason) {
  const size_t dimension = (*table->columns)[column].type.dimension;
  // The snapshot of a small SHARED table is for whoever reads the storage; here its rows are
  // compared whole.
  bool is_large = true;
  if (index.graph == nullptr) {
    KALAM_ASSIGN_OR_RETURN(is_large, IsLargeEnough(index, table));
    const bool writes_small =
        reason == Reason::kSnapshot && table->type == catalog::TableType::kShared;
    if (!is_large && !writes_small) {
      index.rests_until_us.store(services.clock.NowUs() + kSmallRestUs);
      return {};
    }
  }
  if (index.graph == nullptr && !std::exchange(index.snapshot_tried, true)) {
    const Status loaded = LoadSnapshot(index, *table, dimension);
    index.snapshot_damaged = !loaded.ok();
    if (!loaded.ok()) Log(LogLevel::kWarn, kLogTarget, loaded.message() + "; it is built anew");
  }
  // What updates and deletions left behind outweighs the rest: it is made anew from the rows.
  if (index.graph != nullptr && index.graph->removed_count() > index.graph->count() + kRemovedMin) {
    DropGraph(index);
    index.snapshot_tried = true;
    index.snapshot_damaged = true;
  }
  if (index.graph == nullptr) {
    KALAM_ASSIGN_OR_RETURN(auto graph, VectorGraph::Make(dimension, index.definition.metric));
    const std::lock_guard lock(index.mutex);
    index.graph = std::move(graph);
    index.applied = Seq{};
  }
  while (true) {
    if (stopping_.load()) return {};
    if (!ChargeFor(index)) {
      return Status(ErrorKind::MemoryExceeded,
                    "the vector index does not fit into vectors.memory_limit; rows are compared "
                    "one by one");
    }
    KALAM_ASSIGN_OR_RETURN(const bool more, ApplyNext(index, table, column));
    if (!more) break;
  }
  {
    const std::lock_guard lock(index.mutex);
    const size_t count = index.graph->count();
    if (index.calibrated_count == 0 || count > 2 * index.calibrated_count) {
      index.graph->Calibrate();
      index.calibrated_count = std::max<size_t>(count, 1);
    } else {
      index.graph->PrepareSearch();
    }
    index.ready = is_large;
  }
  const size_t threshold =
      reason == Reason::kSnapshot ? 1 : std::max(kSnapshotChangesMin, index.graph->count() / 8);
  Status saved;
  const bool is_known = index.snapshot && !index.snapshot_damaged;
  if (is_known ? index.changes_since_snapshot >= threshold : index.graph->count() > 0) {
    saved = SaveSnapshot(index, *table, (*table->columns)[column].name);
  }
  if (!is_large) DropGraph(index);
  return saved;
}

std::vector<IndexDefinition> VectorIndexes::Builder::Definitions() const {
  const std::lock_guard lock(mutex_);
  std::vector<IndexDefinition> definitions;
  for (const auto& [key, definition] : definitions_) definitions.push_back(definition);
  return definitions;
}

// The scopes whose snapshots are kept up: the only one of a SHARED table, and the users that have a
// graph or a snapshot.
std::vector<std::shared_ptr<ScopeIndex>> VectorIndexes::Builder::ScopesOf(
    const IndexDefinition& definition) {
  const std::string column = ColumnKey(definition.table, definition.column_id);
  std::set<std::string> users;
  const auto table = services.catalog.FindTable(definition.table);
  if (!table.ok() || *table == nullptr) return {};
  if (!(*table)->is_scoped_by_user()) {
    users.insert("");
  } else {
    const std::string prefix = std::string(kSnapshotPrefix) + column;
    const auto records =
        services.store.NewIterator(Family::kSystem, {prefix, PrefixEnd(prefix)}, nullptr);
    for (records->SeekToFirst(); records->Valid(); records->Next())
      users.emplace(records->key().substr(prefix.size()));
    for (const auto& index : Scopes()) {
      if (index->definition.table == definition.table &&
          index->definition.column_id == definition.column_id) {
        users.insert(index->user_id);
      }
    }
  }
  std::vector<std::shared_ptr<ScopeIndex>> scopes;
  for (const std::string& user : users) {
    if (auto index = Scope(definition, user); index != nullptr) scopes.push_back(std::move(index));
  }
  return scopes;
}

// Whether a graph pays: counted without reading rows into memory.
Result<bool> VectorIndexes::Builder::IsLargeEnough(const ScopeIndex& index,
                                                   const catalog::TablePtr& table) {
  KALAM_ASSIGN_OR_RETURN(const auto scan, services.reader.OpenScan(ReadScopeOf(index, table), {}));
  for (size_t count = 0; count < limits.exact_rows_max; ++count) {
    KALAM_ASSIGN_OR_RETURN(const bool found, scan->Next());
    if (!found) return false;
  }
  return true;
}

Result<bool> VectorIndexes::Builder::ApplyNext(ScopeIndex& index, const catalog::TablePtr& table,
                                               size_t column) {
  struct Entry {
    std::string key;
    std::optional<std::vector<float>> vector;
  };
  const tables::ReadScope scope = ReadScopeOf(index, table);
  tables::ScanOptions options;
  options.order = tables::ScanOrder::kBySeq;
  options.include_deleted = true;
  options.seq_after = index.applied;
  options.seq_up_to = scope.view.seq;
  KALAM_ASSIGN_OR_RETURN(const auto scan, services.reader.OpenScan(scope, options));
  tables::RowDecoder decoder(table, {static_cast<uint32_t>(column)});
  std::vector<Entry> entries;
  Seq reached = index.applied;
  const auto flush = [&]() -> Status {
    const std::lock_guard lock(index.mutex);
    for (const Entry& entry : entries) {
      if (!entry.vector) {
        index.graph->Remove(entry.key);
      } else {
        KALAM_RETURN_IF_ERROR(index.graph->Add(entry.key, *entry.vector));
      }
    }
    index.changes_since_snapshot += entries.size();
    index.applied = reached;
    entries.clear();
    return {};
  };
  for (size_t count = 0; count < kRowsPerScan && !stopping_.load(); ++count) {
    KALAM_ASSIGN_OR_RETURN(const bool found, scan->Next());
    if (!found) {
      reached = std::max(reached, scope.view.seq);
      KALAM_RETURN_IF_ERROR(flush());
      return false;
    }
    Entry& entry = entries.emplace_back();
    entry.key = scan->encoded_pk();
    reached = scan->seq();
    if (!scan->deleted()) {
      KALAM_RETURN_IF_ERROR(
          decoder.Decode(scan->schema_version(), scan->row(), scan->seq(), false));
      const Datum& cell = decoder.cells()[column];
      if (!cell.is_null) entry.vector = FloatsOf(cell.text());
      // A row from before a MODIFY of the dimension.
      if (entry.vector && entry.vector->size() != index.graph->dimension()) entry.vector.reset();
    }
    if (entries.size() >= kRowsPerLock) KALAM_RETURN_IF_ERROR(flush());
  }
  KALAM_RETURN_IF_ERROR(flush());
  return true;
}

// The least used graphs make room; their snapshots stay.
bool VectorIndexes::Builder::ChargeFor(ScopeIndex& index) {
  // What the next scan may add, with the growth that comes in steps of a half.
  const int64_t wanted = index.graph->byte_size() * 3 / 2;
  if (index.charge.bytes() == 0) index.charge = MemoryCharge(account_, 0);
  while (account_.used_bytes() - index.charge.bytes() + wanted > limits.memory_bytes_max ||
         !index.charge.TryResize(wanted)) {
    std::shared_ptr<ScopeIndex> least;
    for (const std::shared_ptr<ScopeIndex>& other : Scopes()) {
      if (other.get() == &index || other->charge.bytes() == 0) continue;
      if (least == nullptr || other->used_at_us.load() < least->used_at_us.load()) least = other;
    }
    if (least == nullptr) return false;
    DropGraph(*least);
  }
  return true;
}

void VectorIndexes::Builder::ForgetUnused() {
  const std::unique_lock lock(work_mutex_, std::try_to_lock);
  if (!lock.owns_lock()) return;
  const int64_t before_us = services.clock.NowUs() - kUnusedUs;
  for (const std::shared_ptr<ScopeIndex>& index : Scopes()) {
    if (index->charge.bytes() == 0 || index->used_at_us.load() > before_us) continue;
    DropGraph(*index);
    index->rests_until_us.store(services.clock.NowUs() + kSmallRestUs);
  }
}

void VectorIndexes::Builder::DropGraph(ScopeIndex& index) {
  const std::lock_guard lock(index.mutex);
  index.ready = false;
  index.graph.reset();
  index.applied = Seq{};
  index.snapshot_tried = false;
  index.calibrated_count = 0;
  index.changes_since_snapshot = 0;
  index.charge.Reset();
}

Status VectorIndexes::Builder::Commit(catalog::RecordWrites records) {
  auto command = std::make_shared<replication::Command>();
  command->records = std::move(records);
  Status status;
  for (int round = 0; round < kConflictRoundsMax; ++round) {
    status = replication::ProposeAndWait(services.group, command).status;
    if (!status.Is(ErrorKind::Conflict)) break;
  }
  return status;
}

// Definitions of tables and columns that are gone, graphs and snapshots of definitions that are.
// New ones of SHARED tables are built at once, those of USER tables when a user asks.
Status VectorIndexes::Builder::ForgetDropped() {
  std::map<std::string, IndexDefinition> definitions;
  {
    const std::lock_guard lock(mutex_);
    definitions = definitions_;
  }
  for (const auto& [key, definition] : definitions) {
    KALAM_ASSIGN_OR_RETURN(const catalog::TablePtr table,
                           services.catalog.FindTable(definition.table));
    if (table == nullptr || !ColumnById(*table, definition.column_id)) {
      KALAM_RETURN_IF_ERROR(Commit({VectorIndexes::Drop(definition.table, definition.column_id)}));
    } else if (table->type == catalog::TableType::kShared) {
      if (const auto index = Scope(definition, ""); index != nullptr) Want(*index);
    }
  }
  std::vector<std::shared_ptr<ScopeIndex>> dropped;
  {
    const std::lock_guard lock(mutex_);
    definitions = definitions_;
    std::erase_if(scopes_, [&](const auto& entry) {
      const bool gone = !definitions.contains(entry.first.substr(0, 8));
      if (gone) dropped.push_back(entry.second);
      return gone;
    });
  }
  for (const std::shared_ptr<ScopeIndex>& index : dropped) DropGraph(*index);
  const std::string prefix(kSnapshotPrefix);
  const auto records =
      services.store.NewIterator(Family::kSystem, {prefix, PrefixEnd(prefix)}, nullptr);
  for (records->SeekToFirst(); records->Valid(); records->Next()) {
    const std::string key(records->key());
    if (definitions.contains(key.substr(prefix.size(), 8))) continue;
    KALAM_RETURN_IF_ERROR(RemoveSnapshot(key, records->value()));
  }
  return records->status();
}

// The background writes the record; it is what others may read.
void VectorIndexes::Builder::FillState(const std::string& key, IndexState* state) const {
  const auto value = services.store.Get(Family::kSystem, std::string(kSnapshotPrefix) + key);
  if (!value.ok() || !*value) return;
  const auto record = DecodeSnapshotRecord(**value);
  if (!record.ok()) return;
  state->snapshot_path = record->path;
  state->snapshot_version = record->version;
  state->updated_at_us = record->written_at_us;
  state->last_applied = record->last_applied;
}

Result<std::vector<IndexState>> VectorIndexes::Builder::Describe(TableId table,
                                                                 const std::string& user_id) const {
  std::vector<IndexState> states;
  for (const IndexDefinition& definition : Definitions()) {
    if (definition.table != table) continue;
    IndexState state;
    state.definition = definition;
    state.user_id = user_id;
    FillState(ColumnKey(table, definition.column_id) + user_id, &state);
    states.push_back(std::move(state));
  }
  return states;
}

std::vector<IndexState> VectorIndexes::Builder::List() const {
  std::vector<IndexState> states;
  for (const std::shared_ptr<ScopeIndex>& index : Scopes()) {
    IndexState state;
    state.definition = index->definition;
    state.user_id = index->user_id;
    FillState(ColumnKey(index->definition.table, index->definition.column_id) + index->user_id,
              &state);
    const std::shared_lock lock(index->mutex);
    state.last_applied = index->applied;
    state.is_ready = index->ready;
    state.vector_count = index->graph == nullptr ? 0 : index->graph->count();
    states.push_back(std::move(state));
  }
  return states;
}

}  // namespace kalam::vectors

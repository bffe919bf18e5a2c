// What subscriptions share: compiled queries, projections, watched tables; and what DDL does to
// them.
#include <algorithm>

#include "live/hub.h"
#include "types/convert.h"
#include "types/key_codec.h"

namespace kalam::live {
namespace {

/// Memory of a shape, a projection and their table entries, on top of the compiled query.
constexpr int64_t kShapeBytes = 512;
/// A watched table with its decoders.
constexpr int64_t kWatchBytes = 2048;

/// The constant of `column = constant` in the form that the column's cells take as keys, or nullopt
/// when equal bytes would not mean equal values (then the subscription is looked at for every row
/// of its scope).
std::optional<std::string> IndexableKey(const catalog::TableDefinition& table,
                                        const query::EqualityKey& key) {
  if (key.value.is_null() || key.column >= table.columns->size()) return std::nullopt;
  const catalog::ColumnDefinition& column = (*table.columns)[key.column];
  if (column.name == catalog::kSeqColumn || column.name == catalog::kDeletedColumn)
    return std::nullopt;
  Datum constant = key.value.datum();
  // A text column compared with a number has many spellings of one value.
  if (column.type.is_bytes_like() && constant.kind != column.type.kind &&
      !(column.type.is_text() && constant.kind == TypeKind::kText) &&
      column.type.kind != TypeKind::kUuid) {
    return std::nullopt;
  }
  Arena arena;
  if (constant.kind != column.type.kind || column.type.kind == TypeKind::kDecimal ||
      column.type.kind == TypeKind::kFloat) {
    const Result<Datum> coerced = CoerceForWrite(constant, column.type, &arena);
    if (!coerced.ok() || coerced->is_null) return std::nullopt;
    const Result<int> order = CompareValues(*coerced, constant);
    if (!order.ok() || *order != 0) return std::nullopt;
    constant = *coerced;
  }
  std::string encoded;
  EncodeKey(constant, &encoded);
  return encoded;
}

}  // namespace

void Hub::Attach(Subscription* subscription, std::shared_ptr<const query::LiveQuery> query,
                 std::string_view id, std::string_view sql, std::string_view options) {
  std::string key;
  subscription->shape = AcquireShape(std::move(query), sql, &key);
  subscription->SetTexts(id, key, sql, options);
  index_.Insert(subscription);
  auto& columns = subscription->shape->watch->key_columns;
  const int column = subscription->shape->key_column;
  const auto found = std::find_if(columns.begin(), columns.end(),
                                  [column](const auto& held) { return held.column == column; });
  if (found != columns.end()) {
    ++found->use_count;
  } else {
    columns.push_back({column, 1});
  }
  subscription_bytes_ += subscription->memory_bytes();
  UpdateCharge();
}

void Hub::Detach(Subscription* subscription) {
  index_.Remove(subscription);
  QueryShape* shape = subscription->shape;
  auto& columns = shape->watch->key_columns;
  const auto found = std::find_if(columns.begin(), columns.end(), [shape](const auto& held) {
    return held.column == shape->key_column;
  });
  if (--found->use_count == 0) columns.erase(found);
  subscription_bytes_ -= subscription->memory_bytes();
  subscription->shape = nullptr;
  ReleaseShape(shape);
  UpdateCharge();
}

QueryShape* Hub::AcquireShape(std::shared_ptr<const query::LiveQuery> query, std::string_view sql,
                              std::string* key) {
  const catalog::TablePtr& table = query->table();
  int key_column = RowFilter::kNoKey;
  if (query->equality_key()) {
    if (std::optional<std::string> encoded = IndexableKey(*table, *query->equality_key())) {
      key_column = static_cast<int>(query->equality_key()->column);
      *key = std::move(*encoded);
    }
  }
  // Without an indexable constant the whole filter belongs to this text alone.
  const bool shared =
      !query->shape_key().empty() && (key_column != RowFilter::kNoKey || !query->equality_key());
  std::string shape_key;
  if (shared) {
    shape_key = std::to_string(table->id.value) + "." + std::to_string(table->schema_version) +
                "." + std::to_string(key_column) + " " + query->shape_key();
    if (const auto found = shapes_.find(shape_key); found != shapes_.end()) {
      ++found->second->use_count;
      return found->second.get();
    }
  }
  auto owned = std::make_unique<QueryShape>();
  QueryShape* shape = owned.get();
  shape->watch = AcquireWatch(table);
  shape->sql = sql;
  shape->key_column = key_column;
  shape->use_count = 1;
  const auto projection =
      projections_.try_emplace(std::to_string(table->id.value) + " " + query->projection_key())
          .first;
  projection->second.table_key = &projection->first;
  ++projection->second.use_count;
  shape->projection = &projection->second;
  subscription_bytes_ += kShapeBytes + static_cast<int64_t>(query->byte_size() + 2 * sql.size());
  shape->query = std::move(query);
  if (shared) {
    const auto placed = shapes_.emplace(std::move(shape_key), std::move(owned)).first;
    shape->table_key = &placed->first;
  } else {
    unshared_shapes_.emplace(shape, std::move(owned));
  }
  return shape;
}

void Hub::ReleaseShape(QueryShape* shape) {
  if (--shape->use_count > 0) return;
  subscription_bytes_ -=
      kShapeBytes + static_cast<int64_t>(shape->query->byte_size() + 2 * shape->sql.size());
  if (--shape->projection->use_count == 0) {
    projections_.erase(projections_.find(*shape->projection->table_key));
  }
  TableWatch* watch = shape->watch;
  if (shape->table_key != nullptr) {
    shapes_.erase(shapes_.find(*shape->table_key));
  } else {
    unshared_shapes_.erase(shape);
  }
  ReleaseWatch(watch);
}

TableWatch* Hub::AcquireWatch(const catalog::TablePtr& table) {
  std::unique_ptr<TableWatch>& watch = watches_[table->id];
  if (watch == nullptr) {
    watch = std::make_unique<TableWatch>(table);
    watch->since = head_;
    subscription_bytes_ += kWatchBytes;
  } else if (watch->image->table()->schema_version < table->schema_version) {
    watch->image = std::make_unique<ChangeImage>(table);
  }
  ++watch->use_count;
  return watch.get();
}

void Hub::ReleaseWatch(TableWatch* watch) {
  if (--watch->use_count > 0) return;
  subscription_bytes_ -= kWatchBytes;
  watches_.erase(watch->image->table()->id);
}

void Hub::UpdateCharge() { charge_.Resize(subscription_bytes_ + index_.memory_bytes()); }

void Hub::OnCatalogChanged(const replication::CommittedBatch& batch) {
  std::vector<TableId> stale;
  for (const auto& [id, watch] : watches_) {
    const uint32_t newest_of_batch = [&] {
      uint32_t newest = 0;
      for (const auto& change : batch.changes) {
        if (change.mutation->table == id)
          newest = std::max(newest, change.mutation->schema_version);
      }
      return newest;
    }();
    const bool named = std::find(batch.dropped_tables.begin(), batch.dropped_tables.end(), id) !=
                       batch.dropped_tables.end();
    const uint32_t known = watch->image->table()->schema_version;
    if (named || newest_of_batch > known ||
        (batch.catalog_changed && dependencies_.catalog.CurrentSchemaVersion(id) != known)) {
      stale.push_back(id);
    }
  }
  for (TableId id : stale) RefreshTable(id);
}

void Hub::RefreshStaleTables() {
  std::vector<TableId> stale;
  for (const auto& [id, watch] : watches_) {
    if (dependencies_.catalog.CurrentSchemaVersion(id) != watch->image->table()->schema_version)
      stale.push_back(id);
  }
  for (TableId id : stale) RefreshTable(id);
}

void Hub::RefreshTable(TableId id) {
  const auto found = watches_.find(id);
  if (found == watches_.end()) return;
  TableWatch* watch = found->second.get();
  const bool dropped = dependencies_.catalog.CurrentSchemaVersion(id) == 0;
  std::vector<Subscription*> concerned;
  for (const auto& [connection_id, connection] : connections_) {
    for (Subscription* at = connection->first.get(); at != nullptr;
         at = at->next_in_connection.get()) {
      if (!at->ending && at->shape->watch == watch) concerned.push_back(at);
    }
  }
  ++watch
        ->use_count;  // stays, with what it knows of the tail, while its subscriptions change shape
  for (Subscription* subscription : concerned) {
    if (dropped) {
      EndWithError(subscription, "NOT_FOUND",
                   "Table not found: " + watch->image->table()->QualifiedName() + " was dropped");
    } else {
      Recompile(subscription);
    }
  }
  ReleaseWatch(watch);
}

void Hub::Recompile(Subscription* subscription) {
  const std::string sql = subscription->Sql();
  auto query = query::CompileLiveQuery(sql, dependencies_.catalog,
                                       subscription->connection->subscriber->caller(),
                                       dependencies_.clock.NowUs(), statements_account_);
  if (!query.ok()) {
    EndWithError(subscription, SubscribeErrorCode(query.status()), query.status().ToString());
    return;
  }
  const std::string id(subscription->id());
  const std::string options(subscription->options());
  Detach(subscription);
  Attach(subscription, std::move(query).value(), id, sql, options);
}

}  // namespace kalam::live

// From names in a statement to tables and columns.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "catalog/catalog.h"
#include "query/expression.h"
#include "sql/ast.h"

namespace kalam::query {

/// A name with its namespace filled in.
struct FullName {
  std::string namespace_id;
  std::string name;
};

/// Splits `[[kalam.]namespace.]table`. Errors: TableNotFound for another catalog than `kalam`.
Result<FullName> ResolveName(const sql::TableName& name, std::string_view default_namespace);

/// The table of that name, also under the old names of system tables (`system.system_users`); null
/// when there is none.
Result<catalog::TablePtr> FindTableByName(const catalog::Catalog& catalog, const FullName& name);
/// Like FindTableByName; TableNotFound with position when there is none.
Result<catalog::TablePtr> RequireTable(const catalog::Catalog& catalog, const sql::TableName& name,
                                       std::string_view default_namespace);
Status TableNotFound(const FullName& name, int position);

/// The columns of one table under its name or alias; slot = index of the column.
class TableScope : public ColumnScope {
 public:
  TableScope(catalog::TablePtr table, std::string alias)
      : table_(std::move(table)), alias_(std::move(alias)) {}
  Result<ColumnSlot> Resolve(const sql::Expr& column) const override;
  /// Whether the parts before the column's name (none, alias, table, ns.table, kalam.ns.table) mean
  /// this table.
  bool Qualifies(const std::vector<std::string>& parts, size_t qualifier_count) const;
  const catalog::TablePtr& table() const { return table_; }

 private:
  const catalog::TablePtr table_;
  const std::string alias_;
};

/// Of ON CONFLICT DO UPDATE: the existing row's columns, and behind them those of `excluded`.
class ConflictScope final : public TableScope {
 public:
  using TableScope::TableScope;
  Result<ColumnSlot> Resolve(const sql::Expr& column) const override;
};

/// "No field named ...": the error of an unknown column.
Status UnknownColumn(const sql::Expr& column, const catalog::TableDefinition* table);

}  // namespace kalam::query

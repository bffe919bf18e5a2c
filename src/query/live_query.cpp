// Compiling subscriptions: the shapes that are allowed, the filter, and the parts that
// subscriptions can share.
#include "query/live_query.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>

#include "query/execution.h"
#include "query/names.h"
#include "query/nodes.h"
#include "query/tree_walk.h"
#include "sql/parser.h"

namespace kalam::query {

namespace {

using sql::Expr;
using sql::ExprKind;

Status NotSupported(std::string_view clause) {
  return Status(ErrorKind::InvalidSql,
                fmt::format("Subscription query does not support {}. Only SELECT ... FROM ... "
                            "[WHERE ...] is supported.",
                            clause));
}

Status CheckShape(const sql::Query& query) {
  if (!query.with.empty()) return NotSupported("WITH");
  if (query.set_operation != sql::SetOperation::kNone)
    return NotSupported("UNION, INTERSECT or EXCEPT");
  if (!query.values.empty()) return NotSupported("VALUES");
  if (query.distinct || !query.distinct_on.empty()) return NotSupported("DISTINCT");
  if (!query.group_by.empty()) return NotSupported("GROUP BY");
  if (query.having != nullptr) return NotSupported("HAVING");
  if (!query.windows.empty()) return NotSupported("WINDOW");
  if (!query.order_by.empty()) return NotSupported("ORDER BY");
  if (query.limit != nullptr) return NotSupported("LIMIT");
  if (query.offset != nullptr) return NotSupported("OFFSET");
  if (query.from == nullptr) return NotSupported("a SELECT without FROM");
  switch (query.from->kind) {
    case sql::FromKind::kTable:
      break;
    case sql::FromKind::kJoin:
      return NotSupported(query.from->join == sql::JoinKind::kCross ? "multiple tables" : "JOIN");
    case sql::FromKind::kSubquery:
      return NotSupported("subqueries in FROM");
    case sql::FromKind::kFunction:
      return NotSupported("functions in FROM");
  }
  if (query.from->table.parts.size() < 2) {
    return Status(ErrorKind::InvalidSql,
                  "Subscription query must name its table as namespace.table");
  }
  return {};
}

/// Values that differ from row to row make a filter mean nothing.
Status CheckFilter(const Expr& filter) {
  constexpr std::array<std::string_view, 4> kVolatile = {"snowflake_id", "uuid_v7", "ulid",
                                                         "random"};
  std::string found;
  bool subquery = false, parameter = false;
  ForEachExpr(filter, [&](const Expr& expr) {
    if (expr.kind == ExprKind::kFunction &&
        std::find(kVolatile.begin(), kVolatile.end(), expr.name) != kVolatile.end()) {
      found = expr.name;
    }
    subquery |= expr.subquery != nullptr;
    parameter |= expr.kind == ExprKind::kParameter;
  });
  if (subquery) return NotSupported("subqueries");
  if (parameter) return NotSupported("parameters");
  if (!found.empty()) return NotSupported(fmt::format("{}()", found));
  return {};
}

void CollectConjuncts(const Expr& expr, std::vector<const Expr*>* conjuncts) {
  if (expr.kind == ExprKind::kBinary && expr.op == "and") {
    for (const sql::ExprPtr& side : expr.args) CollectConjuncts(*side, conjuncts);
    return;
  }
  conjuncts->push_back(&expr);
}

/// The constant as a cell of the column, if cells that equal it are exactly the cells with these
/// bytes.
std::optional<Value> AsCell(const Datum& value, const DataType& column) {
  if (value.is_null) return std::nullopt;
  if (column.is_integer() && DataType::Of(value.kind).is_integer()) {
    const bool fits = column.kind == TypeKind::kBigInt ||
                      (column.kind == TypeKind::kInt && value.i == int32_t(value.i)) ||
                      (column.kind == TypeKind::kSmallInt && value.i == int16_t(value.i));
    if (!fits) return std::nullopt;
    return Value(Datum::OfInt(column.kind, value.i));
  }
  constexpr std::array<TypeKind, 7> kByBytes = {
      TypeKind::kBoolean, TypeKind::kText, TypeKind::kTimestamp, TypeKind::kDateTime,
      TypeKind::kDate,    TypeKind::kTime, TypeKind::kUuid};
  if (value.kind != column.kind) return std::nullopt;
  if (std::find(kByBytes.begin(), kByBytes.end(), column.kind) == kByBytes.end())
    return std::nullopt;
  return Value(value);
}

class CompiledLiveQuery final : public LiveQuery {
 public:
  const catalog::TablePtr& table() const override { return table_; }
  const ResultSchema& schema() const override { return schema_; }
  const std::vector<uint32_t>& projection() const override { return projection_; }
  const std::vector<uint32_t>& filter_columns() const override { return filter_columns_; }
  bool has_filter() const override { return key_node_ != nullptr || !rest_.empty(); }
  const std::optional<EqualityKey>& equality_key() const override { return equality_key_; }
  const std::string& projection_key() const override { return projection_key_; }
  const std::string& shape_key() const override { return shape_key_; }
  size_t byte_size() const override { return byte_size_; }

  bool Matches(std::span<const Datum> cells) const override {
    Arena arena;
    EvalContext context{cells, constants_, &statement_, &arena};
    return (key_node_ == nullptr || Passes(*key_node_, context)) && RestPasses(context);
  }

  bool MatchesRest(std::span<const Datum> cells) const override {
    Arena arena;
    EvalContext context{cells, constants_, &statement_, &arena};
    return RestPasses(context);
  }

  Status Compile(const sql::Query& query, const catalog::Catalog& catalog,
                 const catalog::Caller& caller, int64_t now_us) {
    KALAM_RETURN_IF_ERROR(CheckShape(query));
    statement_ = {caller.user_id, std::string(catalog::RoleName(caller.role)), now_us, nullptr};
    KALAM_RETURN_IF_ERROR(BindTable(query, catalog, caller));
    const TableScope scope(table_, query.from->alias);
    KALAM_RETURN_IF_ERROR(BindProjection(query, scope));
    shape_key_ = projection_key_;
    if (query.where != nullptr) KALAM_RETURN_IF_ERROR(CompileFilter(*query.where, scope));
    for (const std::string* text : {&projection_key_, &shape_key_}) byte_size_ += text->capacity();
    byte_size_ += sizeof(*this) + projection_.capacity() * sizeof(uint32_t) +
                  schema_.capacity() * sizeof(ResultColumn) + pool_.byte_size() +
                  constants_.capacity() * sizeof(Datum);
    return {};
  }

 private:
  static bool Passes(const Node& condition, EvalContext& context) {
    const Result<bool> passes = IsTrue(condition, context);
    return passes.ok() && *passes;
  }

  bool RestPasses(EvalContext& context) const {
    return std::all_of(rest_.begin(), rest_.end(),
                       [&](const NodePtr& node) { return Passes(*node, context); });
  }

  Status BindTable(const sql::Query& query, const catalog::Catalog& catalog,
                   const catalog::Caller& caller) {
    const sql::FromItem& from = *query.from;
    KALAM_ASSIGN_OR_RETURN(const FullName name, ResolveName(from.table, {}));
    KALAM_ASSIGN_OR_RETURN(table_, FindTableByName(catalog, name));
    if (table_ == nullptr) {
      KALAM_ASSIGN_OR_RETURN(const auto view, catalog.FindView(name.namespace_id, name.name));
      if (view.has_value()) return NotSupported("views");
      return TableNotFound(name, from.table.position);
    }
    KALAM_RETURN_IF_ERROR(CheckReadAccess(*table_, caller));
    if (table_->type == catalog::TableType::kSystem || table_->type == catalog::TableType::kView) {
      return NotSupported("system tables");
    }
    if (!from.column_aliases.empty()) return NotSupported("column aliases in FROM");
    return {};
  }

  void AddColumn(uint32_t index, bool is_sent) {
    const catalog::ColumnDefinition& column = (*table_->columns)[index];
    schema_.push_back(
        {column.name, column.type, column.primary_key, column.primary_key, !column.nullable});
    if (is_sent) projection_.push_back(index);
  }

  static bool IsSystemColumn(std::string_view name) {
    return name == catalog::kSeqColumn || name == catalog::kDeletedColumn;
  }

  Status BindProjection(const sql::Query& query, const TableScope& scope) {
    // The definition's identity is part of the key: a table of the same name made anew encodes
    // other bodies.
    projection_key_ =
        fmt::format("{}#{}.{}:", table_->QualifiedName(), table_->id.value, table_->schema_version);
    if (query.items.size() == 1 && query.items[0].expr->kind == ExprKind::kStar) {
      const Expr& star = *query.items[0].expr;
      if (!scope.Qualifies(star.name_parts, star.name_parts.size()))
        return UnknownColumn(star, table_.get());
      for (uint32_t i = 0; i < table_->columns->size(); ++i)
        AddColumn(i, !IsSystemColumn((*table_->columns)[i].name));
      projection_key_ += '*';
      return {};
    }
    for (const sql::SelectItem& item : query.items) {
      if (item.expr->kind == ExprKind::kStar) return NotSupported("* beside other columns");
      if (item.expr->kind != ExprKind::kColumn)
        return NotSupported("expressions in the select list");
      KALAM_ASSIGN_OR_RETURN(const ColumnSlot column, scope.Resolve(*item.expr));
      const std::string& name = (*table_->columns)[column.slot].name;
      if (IsSystemColumn(name)) {
        return Status(ErrorKind::InvalidSql,
                      "Subscription query cannot project system columns '_seq' or '_deleted'.");
      }
      if (!item.alias.empty() && item.alias != name) return NotSupported("aliases of columns");
      if (std::find(projection_.begin(), projection_.end(), column.slot) != projection_.end())
        continue;
      AddColumn(column.slot, true);
      projection_key_ += fmt::format("{},", column.slot);
    }
    return {};
  }

  /// Takes `column = constant` out of the conjuncts where the constant can be looked up by.
  Status ChooseKey(std::vector<NodePtr>* nodes, size_t* chosen) {
    EvalContext context{{}, constants_, &statement_, &arena_};
    for (size_t i = 0; i < nodes->size(); ++i) {
      const auto* compare = dynamic_cast<const CompareNode*>((*nodes)[i].get());
      if (compare == nullptr || compare->op() != CompareOp::kEqual) continue;
      for (const auto& [side, other] : {std::pair{&compare->left(), &compare->right()},
                                        std::pair{&compare->right(), &compare->left()}}) {
        const ColumnNode* column = AsColumn(*side);
        if (column == nullptr || !other->is_statement_constant()) continue;
        Datum value;
        KALAM_RETURN_IF_ERROR(other->Evaluate(context, &value));
        std::optional<Value> cell = AsCell(value, column->type());
        if (!cell.has_value() || IsSystemColumn((*table_->columns)[column->slot()].name)) continue;
        equality_key_ = EqualityKey{column->slot(), std::move(*cell)};
        *chosen = i;
        return {};
      }
    }
    return {};
  }

  Status CompileFilter(const Expr& filter, const TableScope& scope) {
    KALAM_RETURN_IF_ERROR(CheckFilter(filter));
    CompileState state;
    state.columns = &scope;
    state.constants = &pool_;
    std::vector<const Expr*> conjuncts;
    CollectConjuncts(filter, &conjuncts);
    std::vector<NodePtr> nodes;
    for (const Expr* conjunct : conjuncts) {
      Result<NodePtr> node = CompileCondition(*conjunct, &state);
      if (!node.ok()) {
        if (state.engine_reason.empty()) return std::move(node).status();
        return Status(ErrorKind::NotAvailable,
                      fmt::format("{} cannot be evaluated in a subscription's filter",
                                  state.engine_reason))
            .WithPosition(conjunct->position);
      }
      nodes.push_back(std::move(*node));
    }
    filter_columns_ = state.columns_used;
    std::sort(filter_columns_.begin(), filter_columns_.end());
    KALAM_RETURN_IF_ERROR(pool_.Bind({}, &arena_, &constants_));
    size_t chosen = nodes.size();
    KALAM_RETURN_IF_ERROR(ChooseKey(&nodes, &chosen));
    if (equality_key_.has_value()) shape_key_ += fmt::format("|key {}", equality_key_->column);
    bool depends_on_caller = false;
    for (size_t i = 0; i < nodes.size(); ++i) {
      if (i == chosen) {
        key_node_ = std::move(nodes[i]);
        continue;
      }
      shape_key_ += "|" + sql::ToText(*conjuncts[i]);
      ForEachExpr(*conjuncts[i], [&](const Expr& expr) {
        depends_on_caller |= expr.kind == ExprKind::kCurrentUser ||
                             expr.kind == ExprKind::kCurrentRole ||
                             (expr.kind == ExprKind::kFunction && expr.args.empty());
      });
      rest_.push_back(std::move(nodes[i]));
    }
    if (depends_on_caller) {
      shape_key_ +=
          fmt::format("|caller {} {} {}", statement_.user_id, statement_.role, statement_.now_us);
    }
    return {};
  }

  catalog::TablePtr table_;
  ResultSchema schema_;
  std::vector<uint32_t> projection_, filter_columns_;
  std::optional<EqualityKey> equality_key_;
  std::string projection_key_, shape_key_;
  StatementValues statement_;
  ConstantPool pool_;
  Arena arena_;
  std::vector<Datum> constants_;
  NodePtr key_node_;
  std::vector<NodePtr> rest_;
  size_t byte_size_ = 0;
};

}  // namespace

Result<std::shared_ptr<const LiveQuery>> CompileLiveQuery(std::string_view text,
                                                          const catalog::Catalog& catalog,
                                                          const catalog::Caller& caller,
                                                          int64_t now_us, MemoryAccount& memory) {
  KALAM_ASSIGN_OR_RETURN(const auto statements, sql::SplitStatements(text));
  if (statements.size() != 1) {
    return Status(ErrorKind::InvalidSql,
                  "Subscription query must be exactly one SELECT statement.");
  }
  KALAM_ASSIGN_OR_RETURN(sql::Statement statement, sql::ParseWithin(memory, statements[0].text));
  const auto* query = std::get_if<sql::QueryPtr>(&statement.body);
  if (query == nullptr) {
    return Status(ErrorKind::InvalidSql, "Subscription query must be a SELECT statement.");
  }
  auto compiled = std::make_shared<CompiledLiveQuery>();
  KALAM_RETURN_IF_ERROR(compiled->Compile(**query, catalog, caller, now_us));
  return std::shared_ptr<const LiveQuery>(std::move(compiled));
}

}  // namespace kalam::query

// Planning INSERT, UPDATE and DELETE.
#include <fmt/core.h>

#include <algorithm>

#include "query/names.h"
#include "query/plan.h"

namespace kalam::query {

namespace {

using catalog::TableType;
using sql::Expr;
using sql::ExprKind;

Status CheckWritable(const catalog::TableDefinition& table, const catalog::Caller& caller,
                     std::string_view verb) {
  if (table.type == TableType::kSystem || table.type == TableType::kView) {
    return Status(ErrorKind::InvalidOperation,
                  fmt::format("Cannot {} system table '{}'", verb, table.QualifiedName()));
  }
  return CheckWriteAccess(table, caller);
}

/// The table to change. Views are named as such.
Result<catalog::TablePtr> TargetTable(const sql::TableName& name, const PlanInput& input,
                                      std::string_view verb) {
  Result<catalog::TablePtr> table =
      RequireTable(input.catalog, name, input.context.default_namespace);
  if (!table.ok()) {
    KALAM_ASSIGN_OR_RETURN(const FullName full_name,
                           ResolveName(name, input.context.default_namespace));
    KALAM_ASSIGN_OR_RETURN(const auto view,
                           input.catalog.FindView(full_name.namespace_id, full_name.name));
    if (!view.has_value()) return std::move(table).status();
    return Status(ErrorKind::InvalidOperation, fmt::format("Cannot {} view '{}.{}'", verb,
                                                           full_name.namespace_id, full_name.name));
  }
  KALAM_RETURN_IF_ERROR(CheckWritable(**table, input.context.caller, verb));
  return table;
}

bool IsSystemColumn(const catalog::ColumnDefinition& column) {
  return column.name.starts_with('_');
}

Result<size_t> WritableColumn(const catalog::TableDefinition& table, const std::string& name,
                              int position) {
  const std::optional<size_t> index = table.FindColumn(name);
  if (!index.has_value()) {
    return Status(ErrorKind::InvalidOperation, fmt::format("Column '{}' does not exist", name))
        .WithPosition(position);
  }
  if (IsSystemColumn((*table.columns)[*index])) {
    return Status(ErrorKind::InvalidOperation,
                  fmt::format("Column '{}' is a system column and cannot be written", name))
        .WithPosition(position);
  }
  return *index;
}

CompileState StateFor(const PlanInput& input, ConstantPool* constants, const ColumnScope* columns) {
  CompileState state;
  state.parameter_types = input.parameter_types;
  state.constants = constants;
  state.columns = columns;
  return state;
}

/// Compiles `expr`; `*engine_reason` is set when only the engine can.
Result<NodePtr> CompileOrEngine(const Expr& expr, bool condition, CompileState* state,
                                std::string* engine_reason) {
  Result<NodePtr> node = condition ? CompileCondition(expr, state) : Compile(expr, state);
  if (!node.ok()) *engine_reason = state->engine_reason;
  return node;
}

Result<std::optional<ReturningPlan>> PlanReturning(const std::vector<sql::SelectItem>& items,
                                                   const TableScope& scope, const PlanInput& input,
                                                   ConstantPool* constants) {
  if (items.empty()) return std::optional<ReturningPlan>();
  ReturningPlan plan;
  CompileState state = StateFor(input, constants, &scope);
  const auto& columns = *scope.table()->columns;
  const auto add = [&](NodePtr node, std::string name) {
    ResultColumn column;
    column.name = std::move(name);
    column.type =
        node->type().kind == TypeKind::kNull ? DataType::Of(TypeKind::kText) : node->type();
    if (const ColumnNode* source = AsColumn(*node)) {
      column.primary_key = column.unique = columns[source->slot()].primary_key;
      column.not_null = !columns[source->slot()].nullable;
    }
    plan.schema.push_back(std::move(column));
    plan.outputs.push_back(std::move(node));
  };
  for (const sql::SelectItem& item : items) {
    if (item.expr->kind == ExprKind::kStar) {
      // `_seq` and `_deleted` get their values when the statement commits: they cannot be returned
      // before.
      for (uint32_t i = 0; i < columns.size(); ++i) {
        if (!IsSystemColumn(columns[i]))
          add(std::make_unique<ColumnNode>(ColumnSlot{i, columns[i].type}), columns[i].name);
      }
      continue;
    }
    KALAM_ASSIGN_OR_RETURN(NodePtr node, Compile(*item.expr, &state));
    add(std::move(node), item.alias.empty() ? sql::ResultName(*item.expr) : item.alias);
  }
  for (const uint32_t slot : state.columns_used) {
    if (!IsSystemColumn(columns[slot])) continue;
    return Status(
        ErrorKind::InvalidOperation,
        fmt::format("RETURNING cannot give '{}': it gets its value when the statement commits",
                    columns[slot].name));
  }
  return std::optional<ReturningPlan>(std::move(plan));
}

class InsertPlanner {
 public:
  InsertPlanner(sql::InsertStatement& statement, const PlanInput& input)
      : statement_(statement), input_(input) {}

  Result<PlanPtr> Run() {
    KALAM_ASSIGN_OR_RETURN(plan_.table, TargetTable(statement_.table, input_, "insert"));
    KALAM_RETURN_IF_ERROR(PlanColumns());
    auto plan = std::make_shared<Plan>();
    plan->kind = PlanKind::kInsert;
    if (statement_.default_values) {
      plan_.rows.emplace_back();
      plan_.columns.clear();
    } else {
      bool done = false;
      KALAM_RETURN_IF_ERROR(PlanValues(&done));
      if (!done) KALAM_RETURN_IF_ERROR(PlanSource());
    }
    KALAM_RETURN_IF_ERROR(PlanConflict());
    const TableScope scope(plan_.table, statement_.alias);
    KALAM_ASSIGN_OR_RETURN(plan_.returning,
                           PlanReturning(statement_.returning, scope, input_, &plan_.constants));
    plan->needs_worker = plan_.source != nullptr && plan_.source->needs_worker;
    plan->body = std::move(plan_);
    return PlanPtr(std::move(plan));
  }

 private:
  Status PlanColumns() {
    if (statement_.columns.empty()) {
      for (size_t i = 0; i < plan_.table->columns->size(); ++i) {
        if (!IsSystemColumn((*plan_.table->columns)[i])) plan_.columns.push_back(i);
      }
      return {};
    }
    for (const std::string& name : statement_.columns) {
      KALAM_ASSIGN_OR_RETURN(const size_t column,
                             WritableColumn(*plan_.table, name, statement_.table.position));
      if (std::find(plan_.columns.begin(), plan_.columns.end(), column) != plan_.columns.end()) {
        return Status(ErrorKind::InvalidSql,
                      fmt::format("column '{}' specified more than once", name));
      }
      plan_.columns.push_back(column);
    }
    return {};
  }

  Status CheckWidth(size_t width) const {
    if (width > plan_.columns.size()) {
      return Status(ErrorKind::InvalidSql,
                    fmt::format("INSERT has more expressions than target columns: {} for {}", width,
                                plan_.columns.size()));
    }
    if (width < plan_.columns.size() && !statement_.columns.empty()) {
      return Status(ErrorKind::InvalidSql,
                    fmt::format("INSERT has more target columns than expressions: {} for {}",
                                plan_.columns.size(), width));
    }
    return {};
  }

  /// VALUES lists of natively computable expressions; `*done` stays false when the source is a
  /// query.
  Status PlanValues(bool* done) {
    const sql::Query& source = *statement_.source;
    const bool is_plain = !source.values.empty() && source.with.empty() &&
                          source.order_by.empty() && source.limit == nullptr &&
                          source.offset == nullptr && statement_.with.empty();
    if (!is_plain) return {};
    CompileState state = StateFor(input_, &plan_.constants, nullptr);
    for (const auto& row : source.values) {
      KALAM_RETURN_IF_ERROR(CheckWidth(row.size()));
      std::vector<InsertCell> cells;
      for (const sql::ExprPtr& expr : row) {
        InsertCell cell;
        if (input_.is_values_insert && expr->kind == ExprKind::kParameter &&
            expr->parameter_index > input_.caller_parameter_count) {
          cell.lifted_cell = expr->parameter_index - input_.caller_parameter_count - 1;
        } else if (expr->kind != ExprKind::kDefault) {
          std::string engine_reason;
          Result<NodePtr> node = CompileOrEngine(*expr, false, &state, &engine_reason);
          if (!node.ok()) {
            if (engine_reason.empty()) return std::move(node).status();
            plan_.rows.clear();
            return {};
          }
          cell.value = std::move(*node);
        }
        cells.push_back(std::move(cell));
      }
      plan_.rows.push_back(std::move(cells));
    }
    // Rows may be of different widths only if the shorter ones leave the last columns to their
    // defaults.
    const size_t width = plan_.rows[0].size();
    for (const auto& row : plan_.rows) {
      if (row.size() != width)
        return Status(ErrorKind::InvalidSql, "VALUES lists must all be the same length");
    }
    plan_.columns.resize(width);
    plan_.is_values_insert = input_.is_values_insert;
    *done = true;
    return {};
  }

  Status PlanSource() {
    sql::QueryPtr source = std::move(statement_.source);
    for (sql::CommonTable& common : statement_.with) source->with.push_back(std::move(common));
    KALAM_ASSIGN_OR_RETURN(plan_.source, PlanSelect(std::move(source), input_));
    if (const auto* native = std::get_if<SelectPlan>(&plan_.source->body)) {
      KALAM_RETURN_IF_ERROR(CheckWidth(native->schema.size()));
    }
    return {};
  }

  Status PlanConflict() {
    if (statement_.on_conflict == nullptr) return {};
    const sql::OnConflict& conflict = *statement_.on_conflict;
    const std::optional<size_t> primary_key = plan_.table->PrimaryKey();
    if (plan_.table->type == TableType::kStream || !primary_key.has_value()) {
      return Status(ErrorKind::InvalidOperation, "ON CONFLICT is not supported for STREAM tables");
    }
    const std::string& key = (*plan_.table->columns)[*primary_key].name;
    if (conflict.target_columns.size() > 1 ||
        (!conflict.target_columns.empty() && conflict.target_columns[0] != key)) {
      return Status(ErrorKind::InvalidOperation,
                    fmt::format("ON CONFLICT can only name the primary key column '{}'", key));
    }
    plan_.has_conflict_clause = true;
    if (!conflict.do_update) return {};
    const ConflictScope scope(plan_.table, statement_.alias);
    CompileState state = StateFor(input_, &plan_.constants, &scope);
    for (const sql::Assignment& assignment : conflict.assignments) {
      ColumnAssignment planned;
      KALAM_ASSIGN_OR_RETURN(planned.column,
                             WritableColumn(*plan_.table, assignment.column, assignment.position));
      if (planned.column == *primary_key) {
        return Status(ErrorKind::InvalidOperation,
                      fmt::format("UPDATE cannot modify primary key column '{}'", key));
      }
      if (assignment.value->kind != ExprKind::kDefault) {
        KALAM_ASSIGN_OR_RETURN(planned.value, Compile(*assignment.value, &state));
      }
      plan_.conflict_assignments.push_back(std::move(planned));
    }
    if (conflict.where != nullptr) {
      KALAM_ASSIGN_OR_RETURN(plan_.conflict_filter, CompileCondition(*conflict.where, &state));
    }
    return {};
  }

  sql::InsertStatement& statement_;
  const PlanInput& input_;
  InsertPlan plan_;
};

sql::ExprPtr ColumnOf(const std::string& table, const std::string& column) {
  auto expr = std::make_unique<Expr>();
  expr->kind = ExprKind::kColumn;
  expr->name_parts = {table, column};
  return expr;
}

/// The parts that UPDATE and DELETE share.
struct ChangeStatement {
  const sql::TableName& table;
  const std::string& alias;
  std::unique_ptr<sql::FromItem>& from;
  sql::ExprPtr& where;
  const std::vector<sql::SelectItem>& returning;
  std::vector<sql::CommonTable>& with;
};

class ChangePlanner {
 public:
  ChangePlanner(ChangeStatement statement, const PlanInput& input)
      : statement_(statement), input_(input) {}

  Result<PlanPtr> Run(PlanKind kind, std::vector<sql::Assignment>* assignments) {
    const bool is_update = kind == PlanKind::kUpdate;
    KALAM_ASSIGN_OR_RETURN(plan_.table,
                           TargetTable(statement_.table, input_, is_update ? "update" : "delete"));
    if (statement_.where == nullptr) {
      return Status(ErrorKind::InvalidOperation,
                    fmt::format("{} requires a WHERE clause", is_update ? "UPDATE" : "DELETE"));
    }
    if (is_update && plan_.table->type == TableType::kStream) {
      return Status(ErrorKind::InvalidOperation, "UPDATE not supported for STREAM tables");
    }
    const TableScope scope(plan_.table, statement_.alias);
    if (is_update) KALAM_RETURN_IF_ERROR(ResolveTargets(*assignments));
    std::string engine_reason;
    Status native = PlanNatively(scope, assignments, &engine_reason);
    if (!native.ok()) {
      if (engine_reason.empty()) return native;
      KALAM_RETURN_IF_ERROR(PlanWithEngine(assignments));
    }
    KALAM_ASSIGN_OR_RETURN(plan_.returning,
                           PlanReturning(statement_.returning, scope, input_, &plan_.constants));
    auto plan = std::make_shared<Plan>();
    plan->kind = kind;
    plan->needs_worker = plan_.source != nullptr || plan_.path.kind != PathKind::kKeys;
    plan->body = std::move(plan_);
    return PlanPtr(std::move(plan));
  }

 private:
  Status ResolveTargets(const std::vector<sql::Assignment>& assignments) {
    for (const sql::Assignment& assignment : assignments) {
      ColumnAssignment planned;
      KALAM_ASSIGN_OR_RETURN(planned.column,
                             WritableColumn(*plan_.table, assignment.column, assignment.position));
      if (planned.column == plan_.table->PrimaryKey()) {
        return Status(
                   ErrorKind::InvalidOperation,
                   fmt::format("UPDATE cannot modify primary key column '{}'", assignment.column))
            .WithPosition(assignment.position);
      }
      const bool repeated = std::any_of(
          plan_.assignments.begin(), plan_.assignments.end(),
          [&](const ColumnAssignment& other) { return other.column == planned.column; });
      if (repeated) {
        return Status(ErrorKind::InvalidSql,
                      fmt::format("multiple assignments to same column '{}'", assignment.column))
            .WithPosition(assignment.position);
      }
      plan_.assignments.push_back(std::move(planned));
    }
    return {};
  }

  Status PlanNatively(const TableScope& scope, std::vector<sql::Assignment>* assignments,
                      std::string* engine_reason) {
    if (statement_.from != nullptr || !statement_.with.empty()) {
      *engine_reason = "other tables";
      return Status(ErrorKind::NotAvailable, "not natively");
    }
    CompileState state = StateFor(input_, &plan_.constants, &scope);
    KALAM_ASSIGN_OR_RETURN(plan_.filter,
                           CompileOrEngine(*statement_.where, true, &state, engine_reason));
    plan_.filter_columns = state.columns_used;
    for (size_t i = 0; i < plan_.assignments.size(); ++i) {
      const Expr& value = *(*assignments)[i].value;
      if (value.kind == ExprKind::kDefault) continue;
      KALAM_ASSIGN_OR_RETURN(plan_.assignments[i].value,
                             CompileOrEngine(value, false, &state, engine_reason));
    }
    plan_.path = ChoosePath(*plan_.table, plan_.filter.get());
    return {};
  }

  /// A SELECT of the key and the new values; what it gives is then written key by key.
  Status PlanWithEngine(std::vector<sql::Assignment>* assignments) {
    const std::optional<size_t> primary_key = plan_.table->PrimaryKey();
    if (!primary_key.has_value()) {
      return Status(ErrorKind::InvalidOperation, "this statement needs a table with a primary key");
    }
    const std::string& alias =
        statement_.alias.empty() ? statement_.table.parts.back() : statement_.alias;
    plan_.filter.reset();
    auto query = std::make_unique<sql::Query>();
    query->with = std::move(statement_.with);
    query->items.push_back({ColumnOf(alias, (*plan_.table->columns)[*primary_key].name), "key"});
    for (size_t i = 0; i < plan_.assignments.size(); ++i) {
      plan_.assignments[i].value.reset();
      sql::ExprPtr& value = (*assignments)[i].value;
      if (value->kind == ExprKind::kDefault) continue;
      plan_.assignments[i].source_column = static_cast<int>(query->items.size());
      query->items.push_back({std::move(value), fmt::format("value_{}", i)});
    }
    auto target = std::make_unique<sql::FromItem>();
    target->table = statement_.table;
    target->alias = alias;
    if (statement_.from != nullptr) {
      auto join = std::make_unique<sql::FromItem>();
      join->kind = sql::FromKind::kJoin;
      join->join = sql::JoinKind::kCross;
      join->left = std::move(target);
      join->right = std::move(statement_.from);
      target = std::move(join);
    }
    query->from = std::move(target);
    query->where = std::move(statement_.where);
    KALAM_ASSIGN_OR_RETURN(plan_.source, PlanSelect(std::move(query), input_));
    return {};
  }

  const ChangeStatement statement_;
  const PlanInput& input_;
  ChangePlan plan_;
};

}  // namespace

Result<PlanPtr> PlanInsert(sql::InsertStatement& statement, const PlanInput& input) {
  return InsertPlanner(statement, input).Run();
}

Result<PlanPtr> PlanUpdate(sql::UpdateStatement& statement, const PlanInput& input) {
  const ChangeStatement change{statement.table, statement.alias,     statement.from,
                               statement.where, statement.returning, statement.with};
  return ChangePlanner(change, input).Run(PlanKind::kUpdate, &statement.assignments);
}

Result<PlanPtr> PlanDelete(sql::DeleteStatement& statement, const PlanInput& input) {
  const ChangeStatement change{statement.table, statement.alias,     statement.using_items,
                               statement.where, statement.returning, statement.with};
  return ChangePlanner(change, input).Run(PlanKind::kDelete, nullptr);
}

}  // namespace kalam::query

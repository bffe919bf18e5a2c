// INSERT, UPDATE and DELETE of GrammarTree.
#include <pg_query/pg_query.pb-c.h>

#include "sql/grammar_tree.h"

namespace kalam::sql {

Result<Statement> GrammarTree::BuildStatement(const PgQuery__Node& node) {
  Statement statement;
  statement.parameter_count = rewritten_.parameter_count;
  switch (node.node_case) {
    case PG_QUERY__NODE__NODE_SELECT_STMT: {
      statement.kind = StatementKind::kSelect;
      KALAM_ASSIGN_OR_RETURN(QueryPtr query, BuildQuery(*node.select_stmt));
      statement.body = std::move(query);
      return statement;
    }
    case PG_QUERY__NODE__NODE_INSERT_STMT: {
      statement.kind = StatementKind::kInsert;
      KALAM_ASSIGN_OR_RETURN(std::unique_ptr<InsertStatement> insert,
                             BuildInsert(*node.insert_stmt));
      statement.body = std::move(insert);
      return statement;
    }
    case PG_QUERY__NODE__NODE_UPDATE_STMT: {
      statement.kind = StatementKind::kUpdate;
      KALAM_ASSIGN_OR_RETURN(std::unique_ptr<UpdateStatement> update,
                             BuildUpdate(*node.update_stmt));
      statement.body = std::move(update);
      return statement;
    }
    case PG_QUERY__NODE__NODE_DELETE_STMT: {
      statement.kind = StatementKind::kDelete;
      KALAM_ASSIGN_OR_RETURN(std::unique_ptr<DeleteStatement> deletion,
                             BuildDelete(*node.delete_stmt));
      statement.body = std::move(deletion);
      return statement;
    }
    default:
      return Unsupported("statement", -1);
  }
}

Result<std::unique_ptr<InsertStatement>> GrammarTree::BuildInsert(
    const PgQuery__InsertStmt& insert) {
  auto statement = std::make_unique<InsertStatement>();
  bool recursive = false;
  if (insert.override > PG_QUERY__OVERRIDING_KIND__OVERRIDING_NOT_SET)
    return Unsupported("clause: OVERRIDING", -1);
  KALAM_RETURN_IF_ERROR(BuildWith(insert.with_clause, &statement->with, &recursive));
  if (recursive) return Unsupported("clause: WITH RECURSIVE of an INSERT", -1);
  KALAM_RETURN_IF_ERROR(BuildTarget(*insert.relation, &statement->table, &statement->alias));
  for (size_t i = 0; i < insert.n_cols; ++i) {
    const PgQuery__ResTarget& column = *insert.cols[i]->res_target;
    if (column.n_indirection > 0) return Unsupported("subscript or field", column.location);
    statement->columns.emplace_back(column.name);
  }
  statement->default_values = insert.select_stmt == nullptr;
  if (insert.select_stmt != nullptr) {
    default_allowed_ = true;
    Result<QueryPtr> source = BuildSubquery(insert.select_stmt);
    default_allowed_ = false;
    KALAM_ASSIGN_OR_RETURN(statement->source, std::move(source));
  }
  if (insert.on_conflict_clause != nullptr) {
    KALAM_ASSIGN_OR_RETURN(statement->on_conflict, BuildOnConflict(*insert.on_conflict_clause));
  }
  KALAM_RETURN_IF_ERROR(
      BuildTargets(insert.returning_list, insert.n_returning_list, &statement->returning));
  return statement;
}

Result<std::unique_ptr<OnConflict>> GrammarTree::BuildOnConflict(
    const PgQuery__OnConflictClause& clause) {
  auto conflict = std::make_unique<OnConflict>();
  if (clause.infer != nullptr) {
    if (clause.infer->conname != nullptr && clause.infer->conname[0] != '\0') {
      return Unsupported("clause: ON CONFLICT ON CONSTRAINT", clause.location);
    }
    if (clause.infer->where_clause != nullptr) {
      return Unsupported("clause: ON CONFLICT (...) WHERE", clause.location);
    }
    for (size_t i = 0; i < clause.infer->n_index_elems; ++i) {
      const PgQuery__IndexElem& element = *clause.infer->index_elems[i]->index_elem;
      if (element.name == nullptr || element.name[0] == '\0') {
        return Unsupported("expression in ON CONFLICT (...)", clause.location);
      }
      conflict->target_columns.emplace_back(element.name);
    }
  }
  conflict->do_update = clause.action == PG_QUERY__ON_CONFLICT_ACTION__ONCONFLICT_UPDATE;
  KALAM_RETURN_IF_ERROR(
      BuildAssignments(clause.target_list, clause.n_target_list, &conflict->assignments));
  KALAM_ASSIGN_OR_RETURN(conflict->where, BuildOptional(clause.where_clause));
  return conflict;
}

Status GrammarTree::BuildAssignments(Nodes nodes, size_t count,
                                     std::vector<Assignment>* assignments) {
  for (size_t i = 0; i < count; ++i) {
    const PgQuery__ResTarget& target = *nodes[i]->res_target;
    if (target.n_indirection > 0) return Unsupported("subscript or field", target.location);
    Assignment assignment;
    assignment.column = target.name;
    assignment.position = Position(target.location);
    default_allowed_ = true;
    Result<ExprPtr> value = BuildAssignedValue(target);
    default_allowed_ = false;
    KALAM_ASSIGN_OR_RETURN(assignment.value, std::move(value));
    assignments->push_back(std::move(assignment));
  }
  return {};
}

// The value of `c = expr`, or this column's part of `(a, b) = (x, y)`.
Result<ExprPtr> GrammarTree::BuildAssignedValue(const PgQuery__ResTarget& target) {
  if (target.val == nullptr || target.val->node_case != PG_QUERY__NODE__NODE_MULTI_ASSIGN_REF) {
    return BuildExpr(target.val);
  }
  const PgQuery__MultiAssignRef& part = *target.val->multi_assign_ref;
  if (part.source == nullptr || part.source->node_case != PG_QUERY__NODE__NODE_ROW_EXPR) {
    return Unsupported("assignment: (...) = (SELECT ...)", target.location);
  }
  const PgQuery__RowExpr& row = *part.source->row_expr;
  if (static_cast<int>(row.n_args) != part.ncolumns || part.colno < 1 ||
      part.colno > part.ncolumns) {
    return Status(ErrorKind::InvalidSql, "number of columns does not match number of values")
        .WithPosition(Position(target.location));
  }
  return BuildExpr(row.args[part.colno - 1]);
}

Result<std::unique_ptr<UpdateStatement>> GrammarTree::BuildUpdate(
    const PgQuery__UpdateStmt& update) {
  auto statement = std::make_unique<UpdateStatement>();
  bool recursive = false;
  KALAM_RETURN_IF_ERROR(BuildWith(update.with_clause, &statement->with, &recursive));
  if (recursive) return Unsupported("clause: WITH RECURSIVE of an UPDATE", -1);
  KALAM_RETURN_IF_ERROR(BuildTarget(*update.relation, &statement->table, &statement->alias));
  KALAM_RETURN_IF_ERROR(
      BuildAssignments(update.target_list, update.n_target_list, &statement->assignments));
  KALAM_ASSIGN_OR_RETURN(statement->from, BuildFromList(update.from_clause, update.n_from_clause));
  if (update.where_clause != nullptr &&
      update.where_clause->node_case == PG_QUERY__NODE__NODE_CURRENT_OF_EXPR) {
    return Unsupported("clause: WHERE CURRENT OF", -1);
  }
  KALAM_ASSIGN_OR_RETURN(statement->where, BuildOptional(update.where_clause));
  KALAM_RETURN_IF_ERROR(
      BuildTargets(update.returning_list, update.n_returning_list, &statement->returning));
  return statement;
}

Result<std::unique_ptr<DeleteStatement>> GrammarTree::BuildDelete(
    const PgQuery__DeleteStmt& deletion) {
  auto statement = std::make_unique<DeleteStatement>();
  bool recursive = false;
  KALAM_RETURN_IF_ERROR(BuildWith(deletion.with_clause, &statement->with, &recursive));
  if (recursive) return Unsupported("clause: WITH RECURSIVE of a DELETE", -1);
  KALAM_RETURN_IF_ERROR(BuildTarget(*deletion.relation, &statement->table, &statement->alias));
  KALAM_ASSIGN_OR_RETURN(statement->using_items,
                         BuildFromList(deletion.using_clause, deletion.n_using_clause));
  KALAM_ASSIGN_OR_RETURN(statement->where, BuildOptional(deletion.where_clause));
  KALAM_RETURN_IF_ERROR(
      BuildTargets(deletion.returning_list, deletion.n_returning_list, &statement->returning));
  return statement;
}

}  // namespace kalam::sql

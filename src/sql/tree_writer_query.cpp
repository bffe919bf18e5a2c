// The clauses of queries as text, and the canonical texts and names that ast.h declares.
#include "sql/tree_writer.h"

namespace kalam::sql {
namespace {

std::string_view JoinText(const FromItem& item) {
  switch (item.join) {
    case JoinKind::kInner:
      return " JOIN ";
    case JoinKind::kLeft:
      return " LEFT JOIN ";
    case JoinKind::kRight:
      return " RIGHT JOIN ";
    case JoinKind::kFull:
      return " FULL JOIN ";
    case JoinKind::kCross:
      return " CROSS JOIN ";
  }
  return " JOIN ";
}

std::string_view SetOperationText(SetOperation operation) {
  switch (operation) {
    case SetOperation::kUnion:
      return " UNION ";
    case SetOperation::kUnionAll:
      return " UNION ALL ";
    case SetOperation::kIntersect:
      return " INTERSECT ";
    case SetOperation::kIntersectAll:
      return " INTERSECT ALL ";
    case SetOperation::kExcept:
      return " EXCEPT ";
    case SetOperation::kExceptAll:
      return " EXCEPT ALL ";
    case SetOperation::kNone:
      break;
  }
  return "";
}

// Names of result columns: no qualifiers.
class ResultNameWriter : public TreeWriter {
 protected:
  Status WriteColumn(const Expr& expr) override {
    return expr.name_parts.empty() ? Status() : WriteName(expr.name_parts.back());
  }
};

}  // namespace

Status TreeWriter::WriteOrderItem(const OrderItem& item) {
  KALAM_RETURN_IF_ERROR(WriteExpr(*item.expr));
  if (item.descending) WriteText(" DESC");
  if (item.nulls_first) WriteText(*item.nulls_first ? " NULLS FIRST" : " NULLS LAST");
  return {};
}

Status TreeWriter::WriteOrderBy(const std::vector<OrderItem>& items) {
  WriteText("ORDER BY ");
  bool first = true;
  for (const OrderItem& item : items) {
    if (!first) WriteText(", ");
    first = false;
    KALAM_RETURN_IF_ERROR(WriteOrderItem(item));
  }
  return {};
}

Status TreeWriter::WriteSubquery(const Query& query) {
  out_.push_back('(');
  KALAM_RETURN_IF_ERROR(WriteQuery(query));
  out_.push_back(')');
  return {};
}

Status TreeWriter::WriteAlias(const FromItem& item) {
  if (item.alias.empty()) return {};
  WriteText(" AS ");
  KALAM_RETURN_IF_ERROR(WriteName(item.alias));
  if (item.column_aliases.empty()) return {};
  out_.push_back('(');
  KALAM_RETURN_IF_ERROR(WriteNames(item.column_aliases));
  out_.push_back(')');
  return {};
}

Status TreeWriter::WriteTable(const FromItem& item) {
  bool first = true;
  for (const std::string& part : item.table.parts) {
    if (!first) out_.push_back('.');
    first = false;
    KALAM_RETURN_IF_ERROR(WriteName(part));
  }
  return WriteAlias(item);
}

Status TreeWriter::WriteTableFunction(const FromItem& item) {
  KALAM_RETURN_IF_ERROR(WriteExpr(*item.function));
  return WriteAlias(item);
}

Status TreeWriter::WriteFrom(const FromItem& item) {
  if (item.lateral) WriteText("LATERAL ");
  switch (item.kind) {
    case FromKind::kTable:
      return WriteTable(item);
    case FromKind::kFunction:
      return WriteTableFunction(item);
    case FromKind::kSubquery:
      KALAM_RETURN_IF_ERROR(WriteSubquery(*item.subquery));
      return WriteAlias(item);
    case FromKind::kJoin:
      return WriteJoin(item);
  }
  return {};
}

Status TreeWriter::WriteJoin(const FromItem& item) {
  if (!item.alias.empty()) out_.push_back('(');
  KALAM_RETURN_IF_ERROR(WriteFrom(*item.left));
  if (item.natural) WriteText(" NATURAL");
  WriteText(JoinText(item));
  const bool nested = item.right->kind == FromKind::kJoin && item.right->alias.empty();
  if (nested) out_.push_back('(');
  KALAM_RETURN_IF_ERROR(WriteFrom(*item.right));
  if (nested) out_.push_back(')');
  if (item.on) {
    WriteText(" ON ");
    KALAM_RETURN_IF_ERROR(WriteExpr(*item.on));
  } else if (!item.using_columns.empty()) {
    WriteText(" USING (");
    KALAM_RETURN_IF_ERROR(WriteNames(item.using_columns));
    out_.push_back(')');
  }
  if (item.alias.empty()) return {};
  out_.push_back(')');
  return WriteAlias(item);
}

Status TreeWriter::WriteSelectItem(const SelectItem& item) {
  KALAM_RETURN_IF_ERROR(WriteExpr(*item.expr));
  if (item.alias.empty()) return {};
  WriteText(" AS ");
  return WriteName(item.alias);
}

// An expression, or a set of groups; sets are in brackets that a row has not got in both engines.
Status TreeWriter::WriteGroup(const Expr& group) {
  const bool is_set = group.kind == ExprKind::kFunction &&
                      (group.name == kRollup || group.name == kCube || group.name == kGroupingSets);
  if (!is_set && group.kind != ExprKind::kRow) return WriteCount(group);
  if (is_set) WriteText(group.name);
  WriteText("(");
  std::string_view comma;
  for (const ExprPtr& member : group.args) {
    WriteText(comma);
    comma = ", ";
    KALAM_RETURN_IF_ERROR(WriteGroup(*member));
  }
  WriteText(")");
  return {};
}

Status TreeWriter::WriteValues(const Query& query) {
  WriteText("VALUES ");
  bool first = true;
  for (const std::vector<ExprPtr>& row : query.values) {
    WriteText(first ? "(" : ", (");
    first = false;
    KALAM_RETURN_IF_ERROR(WriteArguments(row));
    out_.push_back(')');
  }
  return {};
}

Status TreeWriter::WriteSelect(const Query& query) {
  WriteText("SELECT ");
  if (!query.distinct_on.empty()) {
    WriteText("DISTINCT ON (");
    KALAM_RETURN_IF_ERROR(WriteArguments(query.distinct_on));
    WriteText(") ");
  } else if (query.distinct) {
    WriteText("DISTINCT ");
  }
  bool first = true;
  for (const SelectItem& item : query.items) {
    if (!first) WriteText(", ");
    first = false;
    KALAM_RETURN_IF_ERROR(WriteSelectItem(item));
  }
  if (query.from) {
    WriteText(" FROM ");
    KALAM_RETURN_IF_ERROR(WriteFrom(*query.from));
  }
  if (query.where) {
    WriteText(" WHERE ");
    KALAM_RETURN_IF_ERROR(WriteExpr(*query.where));
  }
  if (!query.group_by.empty()) {
    std::string_view comma = " GROUP BY ";
    for (const ExprPtr& group : query.group_by) {
      WriteText(comma);
      comma = ", ";
      KALAM_RETURN_IF_ERROR(WriteGroup(*group));
    }
  }
  if (query.having) {
    WriteText(" HAVING ");
    KALAM_RETURN_IF_ERROR(WriteExpr(*query.having));
  }
  std::string_view separator = " WINDOW ";
  for (const auto& [name, window] : query.windows) {
    WriteText(separator);
    separator = ", ";
    KALAM_RETURN_IF_ERROR(WriteName(name));
    WriteText(" AS ");
    KALAM_RETURN_IF_ERROR(WriteWindow(window));
  }
  return {};
}

Status TreeWriter::WriteSetOperand(const Query& query) {
  const bool parenthesise = query.set_operation != SetOperation::kNone || !query.order_by.empty() ||
                            query.limit || query.offset || !query.with.empty();
  return parenthesise ? WriteSubquery(query) : WriteQuery(query);
}

Status TreeWriter::WriteQuery(const Query& query) {
  std::string_view separator = query.recursive ? "WITH RECURSIVE " : "WITH ";
  for (const CommonTable& table : query.with) {
    WriteText(separator);
    separator = ", ";
    KALAM_RETURN_IF_ERROR(WriteName(table.name));
    if (!table.column_names.empty()) {
      out_.push_back('(');
      KALAM_RETURN_IF_ERROR(WriteNames(table.column_names));
      out_.push_back(')');
    }
    WriteText(" AS ");
    KALAM_RETURN_IF_ERROR(WriteSubquery(*table.query));
  }
  if (!query.with.empty()) out_.push_back(' ');
  if (query.set_operation != SetOperation::kNone) {
    KALAM_RETURN_IF_ERROR(WriteSetOperand(*query.left));
    WriteText(SetOperationText(query.set_operation));
    KALAM_RETURN_IF_ERROR(WriteSetOperand(*query.right));
  } else if (!query.values.empty()) {
    KALAM_RETURN_IF_ERROR(WriteValues(query));
  } else {
    KALAM_RETURN_IF_ERROR(WriteSelect(query));
  }
  if (!query.order_by.empty()) {
    out_.push_back(' ');
    KALAM_RETURN_IF_ERROR(WriteOrderBy(query.order_by));
  }
  if (query.limit) {
    WriteText(" LIMIT ");
    KALAM_RETURN_IF_ERROR(WriteCount(*query.limit));
  }
  if (query.offset) {
    WriteText(" OFFSET ");
    KALAM_RETURN_IF_ERROR(WriteCount(*query.offset));
  }
  return {};
}

std::string ToText(const Expr& expr) {
  TreeWriter writer;
  Status status = writer.WriteExpr(expr);
  return status.ok() ? writer.Take() : std::string("?");
}

std::string ToText(const Query& query) {
  TreeWriter writer;
  Status status = writer.WriteQuery(query);
  return status.ok() ? writer.Take() : std::string("?");
}

std::string ResultName(const Expr& expr) {
  // A column's own name stands for itself, without quotes.
  if (expr.kind == ExprKind::kColumn && !expr.name_parts.empty()) return expr.name_parts.back();
  ResultNameWriter writer;
  Status status = writer.WriteExpr(expr);
  return status.ok() ? writer.Take() : std::string("?column?");
}

}  // namespace kalam::sql

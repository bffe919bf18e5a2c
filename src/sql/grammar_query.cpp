// Queries of GrammarTree: SELECT, VALUES, set operations, FROM, WITH, windows.
#include <pg_query/pg_query.pb-c.h>

#include "sql/grammar_tree.h"
#include "sql/tree_writer.h"

namespace kalam::sql {
namespace {

// A FROM list is a chain of cross joins in our tree; this bounds its depth.
constexpr size_t kFromItemsMax = 256;

// Bits of WindowDef.frame_options (PostgreSQL's nodes/parsenodes.h).
constexpr int kFrameNonDefault = 0x00001;
constexpr int kFrameRange = 0x00002;
constexpr int kFrameRows = 0x00004;
constexpr int kFrameBetween = 0x00010;
constexpr int kFrameStartUnboundedPreceding = 0x00020;
constexpr int kFrameEndUnboundedFollowing = 0x00100;
constexpr int kFrameStartCurrentRow = 0x00200;
constexpr int kFrameEndCurrentRow = 0x00400;
constexpr int kFrameStartOffsetPreceding = 0x00800;
constexpr int kFrameEndOffsetPreceding = 0x01000;
constexpr int kFrameStartOffsetFollowing = 0x02000;
constexpr int kFrameEndOffsetFollowing = 0x04000;
constexpr int kFrameExcludes = 0x38000;

std::vector<std::string> Strings(PgQuery__Node* const* nodes, size_t count) {
  std::vector<std::string> strings;
  for (size_t i = 0; i < count; ++i) {
    if (nodes[i]->node_case == PG_QUERY__NODE__NODE_STRING)
      strings.emplace_back(nodes[i]->string->sval);
  }
  return strings;
}

std::string TextOf(const char* text) { return text == nullptr ? std::string() : std::string(text); }

bool IsNullConstant(const PgQuery__Node* node) {
  return node != nullptr && node->node_case == PG_QUERY__NODE__NODE_A_CONST &&
         node->a_const->isnull;
}

}  // namespace

Result<QueryPtr> GrammarTree::BuildSubquery(const PgQuery__Node* node) {
  if (node == nullptr || node->node_case != PG_QUERY__NODE__NODE_SELECT_STMT) {
    return Unsupported("subquery: only SELECT and VALUES may stand here", -1);
  }
  return BuildQuery(*node->select_stmt);
}

Result<QueryPtr> GrammarTree::BuildQuery(const PgQuery__SelectStmt& select) {
  if (depth_ >= 4 * kNestingDepthMax) {
    return Status(ErrorKind::InvalidSql, "statement is nested too deeply (maximum 512)");
  }
  ++depth_;
  auto query = std::make_unique<Query>();
  const bool default_allowed =
      std::exchange(default_allowed_, default_allowed_ && select.n_values_lists > 0);
  Status status = BuildSelectBody(select, query.get());
  default_allowed_ = default_allowed;
  --depth_;
  if (!status.ok()) return status;
  return query;
}

Status GrammarTree::BuildSelectBody(const PgQuery__SelectStmt& select, Query* query) {
  if (select.into_clause != nullptr) return Unsupported("clause: SELECT INTO", -1);
  if (select.n_locking_clause > 0) return Unsupported("clause: FOR UPDATE and FOR SHARE", -1);
  if (select.group_distinct) return Unsupported("clause: GROUP BY DISTINCT", -1);
  if (select.limit_option == PG_QUERY__LIMIT_OPTION__LIMIT_OPTION_WITH_TIES) {
    return Unsupported("clause: WITH TIES", -1);
  }
  KALAM_RETURN_IF_ERROR(BuildWith(select.with_clause, &query->with, &query->recursive));
  if (select.larg != nullptr && select.rarg != nullptr) {
    KALAM_RETURN_IF_ERROR(BuildSetOperation(select, query));
  }
  for (size_t i = 0; i < select.n_values_lists; ++i) {
    const PgQuery__Node& row = *select.values_lists[i];
    if (row.node_case != PG_QUERY__NODE__NODE_LIST) return Unsupported("VALUES list", -1);
    KALAM_RETURN_IF_ERROR(
        BuildExprs(row.list->items, row.list->n_items, &query->values.emplace_back()));
    if (query->values.back().size() != query->values.front().size()) {
      return Status(ErrorKind::InvalidSql, "VALUES lists must all be the same length")
          .WithPosition(query->values.back().empty() ? -1 : query->values.back()[0]->position);
    }
  }
  if (select.n_distinct_clause > 0) {
    // DISTINCT without ON is a list of one nothing.
    query->distinct = select.distinct_clause[0]->node_case == PG_QUERY__NODE__NODE__NOT_SET;
    if (!query->distinct) {
      KALAM_RETURN_IF_ERROR(
          BuildExprs(select.distinct_clause, select.n_distinct_clause, &query->distinct_on));
    }
  }
  KALAM_RETURN_IF_ERROR(BuildTargets(select.target_list, select.n_target_list, &query->items));
  KALAM_ASSIGN_OR_RETURN(query->from, BuildFromList(select.from_clause, select.n_from_clause));
  KALAM_ASSIGN_OR_RETURN(query->where, BuildOptional(select.where_clause));
  KALAM_RETURN_IF_ERROR(BuildExprs(select.group_clause, select.n_group_clause, &query->group_by));
  KALAM_ASSIGN_OR_RETURN(query->having, BuildOptional(select.having_clause));
  for (size_t i = 0; i < select.n_window_clause; ++i) {
    const PgQuery__WindowDef& window = *select.window_clause[i]->window_def;
    KALAM_ASSIGN_OR_RETURN(WindowSpec spec, BuildWindow(window));
    query->windows.emplace_back(TextOf(window.name), std::move(spec));
  }
  KALAM_RETURN_IF_ERROR(BuildOrderBy(select.sort_clause, select.n_sort_clause, &query->order_by));
  if (!IsNullConstant(select.limit_count)) {
    KALAM_ASSIGN_OR_RETURN(query->limit, BuildOptional(select.limit_count));
  }
  KALAM_ASSIGN_OR_RETURN(query->offset, BuildOptional(select.limit_offset));
  const bool is_empty_list =
      query->set_operation == SetOperation::kNone && query->values.empty() && query->items.empty();
  if (is_empty_list) return Unsupported("SELECT without columns", -1);
  return {};
}

Status GrammarTree::BuildSetOperation(const PgQuery__SelectStmt& select, Query* query) {
  switch (select.op) {
    case PG_QUERY__SET_OPERATION__SETOP_UNION:
      query->set_operation = select.all ? SetOperation::kUnionAll : SetOperation::kUnion;
      break;
    case PG_QUERY__SET_OPERATION__SETOP_INTERSECT:
      query->set_operation = select.all ? SetOperation::kIntersectAll : SetOperation::kIntersect;
      break;
    case PG_QUERY__SET_OPERATION__SETOP_EXCEPT:
      query->set_operation = select.all ? SetOperation::kExceptAll : SetOperation::kExcept;
      break;
    default:
      return Unsupported("set operation", -1);
  }
  KALAM_ASSIGN_OR_RETURN(query->left, BuildQuery(*select.larg));
  KALAM_ASSIGN_OR_RETURN(query->right, BuildQuery(*select.rarg));
  return {};
}

Status GrammarTree::BuildWith(const PgQuery__WithClause* with, std::vector<CommonTable>* tables,
                              bool* recursive) {
  if (with == nullptr) return {};
  *recursive = with->recursive != 0;
  for (size_t i = 0; i < with->n_ctes; ++i) {
    const PgQuery__CommonTableExpr& cte = *with->ctes[i]->common_table_expr;
    if (cte.search_clause != nullptr || cte.cycle_clause != nullptr) {
      return Unsupported("clause: SEARCH and CYCLE", cte.location);
    }
    if (cte.ctequery == nullptr || cte.ctequery->node_case != PG_QUERY__NODE__NODE_SELECT_STMT) {
      return Unsupported("statement in WITH: only SELECT may stand there", cte.location);
    }
    CommonTable table;
    table.name = TextOf(cte.ctename);
    table.column_names = Strings(cte.aliascolnames, cte.n_aliascolnames);
    KALAM_ASSIGN_OR_RETURN(table.query, BuildQuery(*cte.ctequery->select_stmt));
    tables->push_back(std::move(table));
  }
  return {};
}

Status GrammarTree::BuildTargets(Nodes nodes, size_t count, std::vector<SelectItem>* items) {
  for (size_t i = 0; i < count; ++i) {
    if (nodes[i]->node_case != PG_QUERY__NODE__NODE_RES_TARGET)
      return Unsupported("column list", -1);
    const PgQuery__ResTarget& target = *nodes[i]->res_target;
    if (target.n_indirection > 0) return Unsupported("subscript or field", target.location);
    SelectItem item;
    item.alias = TextOf(target.name);
    KALAM_ASSIGN_OR_RETURN(item.expr, BuildExpr(target.val));
    if (item.expr->position < 0) item.expr->position = Position(target.location);
    items->push_back(std::move(item));
  }
  return {};
}

void GrammarTree::ReadAlias(const PgQuery__Alias* alias, FromItem* item) {
  if (alias == nullptr) return;
  item->alias = TextOf(alias->aliasname);
  item->column_aliases = Strings(alias->colnames, alias->n_colnames);
}

Status GrammarTree::BuildTarget(const PgQuery__RangeVar& range, TableName* table,
                                std::string* alias) {
  if (range.inh == 0) return Unsupported("clause: ONLY", range.location);
  for (const char* part : {range.catalogname, range.schemaname, range.relname}) {
    if (part != nullptr && part[0] != '\0') table->parts.emplace_back(part);
  }
  table->position = Position(range.location);
  if (range.alias != nullptr) *alias = TextOf(range.alias->aliasname);
  return {};
}

Result<std::unique_ptr<FromItem>> GrammarTree::BuildFromList(Nodes nodes, size_t count) {
  std::unique_ptr<FromItem> list;
  if (count > kFromItemsMax) return Unsupported("number of tables in FROM (maximum 256)", -1);
  for (size_t i = 0; i < count; ++i) {
    KALAM_ASSIGN_OR_RETURN(std::unique_ptr<FromItem> item, BuildFromItem(*nodes[i]));
    if (list == nullptr) {
      list = std::move(item);
      continue;
    }
    auto join = std::make_unique<FromItem>();
    join->kind = FromKind::kJoin;
    join->join = JoinKind::kCross;
    join->position = item->position;
    join->left = std::move(list);
    join->right = std::move(item);
    list = std::move(join);
  }
  return list;
}

Result<std::unique_ptr<FromItem>> GrammarTree::BuildFromItem(const PgQuery__Node& node) {
  auto item = std::make_unique<FromItem>();
  switch (node.node_case) {
    case PG_QUERY__NODE__NODE_RANGE_VAR:
      KALAM_RETURN_IF_ERROR(BuildTarget(*node.range_var, &item->table, &item->alias));
      ReadAlias(node.range_var->alias, item.get());
      item->position = item->table.position;
      return item;
    case PG_QUERY__NODE__NODE_RANGE_SUBSELECT: {
      item->kind = FromKind::kSubquery;
      item->lateral = node.range_subselect->lateral != 0;
      KALAM_ASSIGN_OR_RETURN(item->subquery, BuildSubquery(node.range_subselect->subquery));
      ReadAlias(node.range_subselect->alias, item.get());
      return item;
    }
    case PG_QUERY__NODE__NODE_JOIN_EXPR:
      return BuildJoin(*node.join_expr);
    case PG_QUERY__NODE__NODE_RANGE_FUNCTION:
      return BuildRangeFunction(*node.range_function);
    case PG_QUERY__NODE__NODE_RANGE_TABLE_SAMPLE:
      return Unsupported("clause: TABLESAMPLE", -1);
    default:
      return Unsupported("item in FROM", -1);
  }
}

Result<std::unique_ptr<FromItem>> GrammarTree::BuildRangeFunction(
    const PgQuery__RangeFunction& function) {
  // functions is a list of pairs (call, column definitions).
  const PgQuery__Node* pair = function.n_functions == 1 ? function.functions[0] : nullptr;
  const bool is_call = pair != nullptr && pair->node_case == PG_QUERY__NODE__NODE_LIST &&
                       pair->list->n_items > 0 &&
                       pair->list->items[0]->node_case == PG_QUERY__NODE__NODE_FUNC_CALL;
  if (!is_call || function.ordinality || function.is_rowsfrom || function.n_coldeflist > 0) {
    return Unsupported("function in FROM", -1);
  }
  auto item = std::make_unique<FromItem>();
  item->kind = FromKind::kFunction;
  item->lateral = function.lateral != 0;
  KALAM_ASSIGN_OR_RETURN(item->function, BuildFunction(*pair->list->items[0]->func_call));
  item->position = item->function->position;
  ReadAlias(function.alias, item.get());
  return item;
}

Result<std::unique_ptr<FromItem>> GrammarTree::BuildJoin(const PgQuery__JoinExpr& join) {
  auto item = std::make_unique<FromItem>();
  item->kind = FromKind::kJoin;
  switch (join.jointype) {
    case PG_QUERY__JOIN_TYPE__JOIN_INNER:
      item->join = JoinKind::kInner;
      break;
    case PG_QUERY__JOIN_TYPE__JOIN_LEFT:
      item->join = JoinKind::kLeft;
      break;
    case PG_QUERY__JOIN_TYPE__JOIN_RIGHT:
      item->join = JoinKind::kRight;
      break;
    case PG_QUERY__JOIN_TYPE__JOIN_FULL:
      item->join = JoinKind::kFull;
      break;
    default:
      return Unsupported("kind of join", -1);
  }
  if (join.join_using_alias != nullptr) return Unsupported("clause: JOIN ... USING (...) AS", -1);
  if (join.larg == nullptr || join.rarg == nullptr) return Unsupported("join", -1);
  item->natural = join.is_natural != 0;
  item->using_columns = Strings(join.using_clause, join.n_using_clause);
  if (join.jointype == PG_QUERY__JOIN_TYPE__JOIN_INNER && !item->natural &&
      item->using_columns.empty() && join.quals == nullptr) {
    item->join = JoinKind::kCross;
  }
  KALAM_ASSIGN_OR_RETURN(item->left, BuildFromItem(*join.larg));
  KALAM_ASSIGN_OR_RETURN(item->right, BuildFromItem(*join.rarg));
  KALAM_ASSIGN_OR_RETURN(item->on, BuildOptional(join.quals));
  item->position = item->right->position;
  ReadAlias(join.alias, item.get());
  return item;
}

Status GrammarTree::BuildOrderBy(Nodes nodes, size_t count, std::vector<OrderItem>* items) {
  for (size_t i = 0; i < count; ++i) {
    if (nodes[i]->node_case != PG_QUERY__NODE__NODE_SORT_BY)
      return Unsupported("ORDER BY item", -1);
    const PgQuery__SortBy& sort = *nodes[i]->sort_by;
    if (sort.sortby_dir == PG_QUERY__SORT_BY_DIR__SORTBY_USING) {
      return Unsupported("clause: ORDER BY ... USING", sort.location);
    }
    OrderItem item;
    KALAM_ASSIGN_OR_RETURN(item.expr, BuildExpr(sort.node));
    item.descending = sort.sortby_dir == PG_QUERY__SORT_BY_DIR__SORTBY_DESC;
    if (sort.sortby_nulls == PG_QUERY__SORT_BY_NULLS__SORTBY_NULLS_FIRST) item.nulls_first = true;
    if (sort.sortby_nulls == PG_QUERY__SORT_BY_NULLS__SORTBY_NULLS_LAST) item.nulls_first = false;
    items->push_back(std::move(item));
  }
  return {};
}

Result<WindowSpec> GrammarTree::BuildWindow(const PgQuery__WindowDef& window) {
  WindowSpec spec;
  spec.reference_name = TextOf(window.refname);
  KALAM_RETURN_IF_ERROR(
      BuildExprs(window.partition_clause, window.n_partition_clause, &spec.partition_by));
  KALAM_RETURN_IF_ERROR(BuildOrderBy(window.order_clause, window.n_order_clause, &spec.order_by));
  KALAM_ASSIGN_OR_RETURN(spec.frame, BuildFrame(window));
  return spec;
}

Result<std::string> GrammarTree::FrameOffset(const PgQuery__Node* node) {
  KALAM_ASSIGN_OR_RETURN(ExprPtr offset, BuildExpr(node));
  if (offset->kind != ExprKind::kLiteral) {
    return Status(ErrorKind::InvalidSql, "Unsupported window frame: its offsets must be literals")
        .WithPosition(offset->position);
  }
  return ToText(*offset);
}

Result<std::string> GrammarTree::BuildFrame(const PgQuery__WindowDef& window) {
  const int bits = window.frame_options;
  if ((bits & kFrameNonDefault) == 0) return std::string();
  if ((bits & kFrameExcludes) != 0) return Unsupported("window frame: EXCLUDE", window.location);
  std::string frame =
      (bits & kFrameRows) != 0 ? "ROWS " : ((bits & kFrameRange) != 0 ? "RANGE " : "GROUPS ");
  frame += "BETWEEN ";
  if ((bits & kFrameStartUnboundedPreceding) != 0) {
    frame += "UNBOUNDED PRECEDING";
  } else if ((bits & kFrameStartCurrentRow) != 0) {
    frame += "CURRENT ROW";
  } else if ((bits & (kFrameStartOffsetPreceding | kFrameStartOffsetFollowing)) != 0) {
    KALAM_ASSIGN_OR_RETURN(std::string offset, FrameOffset(window.start_offset));
    frame += offset + ((bits & kFrameStartOffsetPreceding) != 0 ? " PRECEDING" : " FOLLOWING");
  } else {
    return Unsupported("window frame", window.location);
  }
  frame += " AND ";
  if ((bits & kFrameBetween) == 0 || (bits & kFrameEndCurrentRow) != 0)
    return frame + "CURRENT ROW";
  if ((bits & kFrameEndUnboundedFollowing) != 0) return frame + "UNBOUNDED FOLLOWING";
  if ((bits & (kFrameEndOffsetPreceding | kFrameEndOffsetFollowing)) == 0) {
    return Unsupported("window frame", window.location);
  }
  KALAM_ASSIGN_OR_RETURN(std::string offset, FrameOffset(window.end_offset));
  return frame + offset + ((bits & kFrameEndOffsetPreceding) != 0 ? " PRECEDING" : " FOLLOWING");
}

// A function of that name, which only GROUP BY writes; () is a row of nothing.
Result<ExprPtr> GrammarTree::BuildGroupingSet(const PgQuery__GroupingSet& set) {
  ExprPtr expr = Make(ExprKind::kFunction, set.location);
  switch (set.kind) {
    case PG_QUERY__GROUPING_SET_KIND__GROUPING_SET_EMPTY:
      expr->kind = ExprKind::kRow;
      return expr;
    case PG_QUERY__GROUPING_SET_KIND__GROUPING_SET_ROLLUP:
      expr->name = kRollup;
      break;
    case PG_QUERY__GROUPING_SET_KIND__GROUPING_SET_CUBE:
      expr->name = kCube;
      break;
    case PG_QUERY__GROUPING_SET_KIND__GROUPING_SET_SETS:
      expr->name = kGroupingSets;
      break;
    default:
      return Unsupported("grouping", set.location);
  }
  KALAM_RETURN_IF_ERROR(BuildExprs(set.content, set.n_content, &expr->args));
  return expr;
}

}  // namespace kalam::sql

// Builds our tree from the tree of PostgreSQL's grammar, refusing everything that ours does not
// represent.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "sql/ast.h"
#include "sql/rewrite.h"
#include "sql/statement.h"

// The grammar's messages (pg_query.pb-c.h), named here so that the big header stays out of this
// one.
struct PgQuery__Node;
struct PgQuery__SelectStmt;
struct PgQuery__InsertStmt;
struct PgQuery__UpdateStmt;
struct PgQuery__DeleteStmt;
struct PgQuery__WithClause;
struct PgQuery__RangeVar;
struct PgQuery__Alias;
struct PgQuery__JoinExpr;
struct PgQuery__RangeFunction;
struct PgQuery__ResTarget;
struct PgQuery__AExpr;
struct PgQuery__AIndirection;
struct PgQuery__CollateClause;
struct PgQuery__GroupingSet;
struct PgQuery__AConst;
struct PgQuery__BoolExpr;
struct PgQuery__FuncCall;
struct PgQuery__TypeCast;
struct PgQuery__TypeName;
struct PgQuery__SubLink;
struct PgQuery__CaseExpr;
struct PgQuery__ColumnRef;
struct PgQuery__SQLValueFunction;
struct PgQuery__String;
struct PgQuery__WindowDef;
struct PgQuery__OnConflictClause;

namespace kalam::sql {

/// The node as a string; nullptr when it is none.
const PgQuery__String* StringOf(const PgQuery__Node* node);

/// One use builds one statement. Positions in errors and trees are offsets in the source. Not
/// thread-safe.
class GrammarTree {
 public:
  explicit GrammarTree(const RewrittenSql& rewritten) : rewritten_(rewritten) {}

  /// SELECT, INSERT, UPDATE or DELETE. Errors: InvalidSql "Unsupported ..." with a position.
  Result<Statement> BuildStatement(const PgQuery__Node& node);
  Result<ExprPtr> BuildExpr(const PgQuery__Node* node);

 private:
  using Nodes = PgQuery__Node* const*;

  // Statements and clauses (grammar_statement.cpp, grammar_query.cpp).
  Result<QueryPtr> BuildQuery(const PgQuery__SelectStmt& select);
  Status BuildSelectBody(const PgQuery__SelectStmt& select, Query* query);
  Status BuildSetOperation(const PgQuery__SelectStmt& select, Query* query);
  Result<QueryPtr> BuildSubquery(const PgQuery__Node* node);
  Result<std::unique_ptr<InsertStatement>> BuildInsert(const PgQuery__InsertStmt& insert);
  Result<std::unique_ptr<UpdateStatement>> BuildUpdate(const PgQuery__UpdateStmt& update);
  Result<std::unique_ptr<DeleteStatement>> BuildDelete(const PgQuery__DeleteStmt& statement);
  Result<std::unique_ptr<OnConflict>> BuildOnConflict(const PgQuery__OnConflictClause& clause);
  Status BuildWith(const PgQuery__WithClause* with, std::vector<CommonTable>* tables,
                   bool* recursive);
  Status BuildTargets(Nodes nodes, size_t count, std::vector<SelectItem>* items);
  Status BuildAssignments(Nodes nodes, size_t count, std::vector<Assignment>* assignments);
  Result<ExprPtr> BuildAssignedValue(const PgQuery__ResTarget& target);
  Result<std::unique_ptr<FromItem>> BuildFromList(Nodes nodes, size_t count);
  Result<std::unique_ptr<FromItem>> BuildFromItem(const PgQuery__Node& node);
  Result<std::unique_ptr<FromItem>> BuildJoin(const PgQuery__JoinExpr& join);
  Result<std::unique_ptr<FromItem>> BuildRangeFunction(const PgQuery__RangeFunction& function);
  Status BuildTarget(const PgQuery__RangeVar& range, TableName* table, std::string* alias);
  Status BuildOrderBy(Nodes nodes, size_t count, std::vector<OrderItem>* items);
  Result<WindowSpec> BuildWindow(const PgQuery__WindowDef& window);
  Result<std::string> BuildFrame(const PgQuery__WindowDef& window);
  Result<std::string> FrameOffset(const PgQuery__Node* node);
  void ReadAlias(const PgQuery__Alias* alias, FromItem* item);

  // Expressions (grammar_expression.cpp).
  Result<ExprPtr> BuildBareExpr(const PgQuery__Node& node);
  Status BuildExprs(Nodes nodes, size_t count, std::vector<ExprPtr>* exprs);
  Result<ExprPtr> BuildOptional(const PgQuery__Node* node);
  Result<ExprPtr> BuildCollation(const PgQuery__CollateClause& clause);
  Result<ExprPtr> BuildGroupingSet(const PgQuery__GroupingSet& set);
  Result<ExprPtr> BuildSubscript(const PgQuery__AIndirection& indirection);
  Result<ExprPtr> BuildColumn(const PgQuery__ColumnRef& column);
  Result<ExprPtr> BuildConstant(const PgQuery__AConst& constant);
  Result<ExprPtr> BuildOperation(const PgQuery__AExpr& operation);
  Result<ExprPtr> BuildPattern(const PgQuery__AExpr& operation, const char* op, bool negated);
  Result<ExprPtr> BuildList(const PgQuery__AExpr& operation, ExprKind kind, bool negated);
  Result<ExprPtr> BuildBoolean(const PgQuery__BoolExpr& boolean);
  Result<ExprPtr> BuildFunction(const PgQuery__FuncCall& call);
  Result<ExprPtr> BuildCast(const PgQuery__TypeCast& cast);
  Result<DataType> BuildType(const PgQuery__TypeName& type);
  Result<ExprPtr> BuildSublink(const PgQuery__SubLink& link);
  Result<ExprPtr> BuildCase(const PgQuery__CaseExpr& expr);
  Result<ExprPtr> BuildValueFunction(const PgQuery__SQLValueFunction& function);
  Result<std::string> OperatorName(Nodes names, size_t count, int location);

  ExprPtr Make(ExprKind kind, int location) const;
  int Position(int location) const { return location < 0 ? -1 : rewritten_.SourceOffset(location); }
  Status Unsupported(std::string_view what, int location) const;

  const RewrittenSql& rewritten_;
  int depth_ = 0;
  bool default_allowed_ = false;  // inside VALUES of an INSERT and SET
};

}  // namespace kalam::sql

// The syntax tree: everything that standard SQL may say here. What it cannot represent is refused
// by the parser.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "types/data_type.h"
#include "types/value.h"

namespace kalam::sql {

struct Expr;
struct Query;
using ExprPtr = std::unique_ptr<Expr>;
using QueryPtr = std::unique_ptr<Query>;

enum class ExprKind : uint8_t {
  kLiteral,    // value
  kParameter,  // parameter_index (1-based)
  kColumn,     // name_parts: [[catalog.]schema.]table.]column, folded unless quoted
  kStar,       // name_parts: [table.]*  (empty: bare *)
  kUnary,      // op: "-", "+", "not", "~"; args[0]
  kBinary,     // op:
            // "+","-","*","/","%","^","||","=","<>","<","<=",">",">=","and","or","like","ilike","not
            // like",
            //     "not ilike","similar
            //     to","~","~*","!~","!~*","->","->>","#>","#>>","?","@>","<@","&","|","#",
            //     "<<",">>","is distinct from","is not distinct from"; args[0], args[1]; args[2]:
            //     ESCAPE
  kIsNull,       // args[0]; negated
  kBooleanTest,  // args[0] IS [NOT] op: "true","false","unknown"; negated
  kIn,           // args[0] IN (args[1..]); negated
  kBetween,      // args[0] BETWEEN args[1] AND args[2]; negated
  kFunction,  // name (folded, without schema), args; distinct, star (count(*)), filter, order_by,
              // over
  kCase,      // operand optional; args: when, then, when, then, ...; else_expr
  kCast,      // args[0] AS type
  kExists,    // subquery
  kScalarSubquery,  // subquery
  kInSubquery,      // args[0] IN (subquery); negated
  kQuantified,      // args[0] op ANY|ALL (subquery, or args[1] an array); name: "any" | "all"
  kArray,           // ARRAY[args...]
  kRow,             // ROW(args...) or (a, b)
  kDefault,         // DEFAULT in VALUES and SET
  kCurrentUser,     // CURRENT_USER, CURRENT_USER(), CURRENT_USER_ID()
  kCurrentRole,     // CURRENT_ROLE, CURRENT_ROLE()
  kExtract,         // EXTRACT(name FROM args[0])
};

struct OrderItem {
  ExprPtr expr;
  bool descending = false;
  std::optional<bool>
      nulls_first;  // unset: PostgreSQL's default (last ascending, first descending)
};

struct WindowSpec {
  std::string reference_name;  // OVER w, or (w ...)
  std::vector<ExprPtr> partition_by;
  std::vector<OrderItem> order_by;
  /// The frame as canonical SQL text: "ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW"; empty:
  /// default. Offsets are literals.
  std::string frame;
};

struct Expr {
  ExprKind kind = ExprKind::kLiteral;
  int position = -1;  // byte offset in the statement's text
  std::string op;
  std::string name;
  std::vector<std::string> name_parts;
  Value value;
  int parameter_index = 0;
  bool negated = false;
  bool distinct = false;
  bool star = false;
  DataType type;  // kCast
  std::vector<ExprPtr> args;
  ExprPtr operand, else_expr, filter;
  std::vector<OrderItem> order_by;  // inside an aggregate's parentheses
  std::unique_ptr<WindowSpec> over;
  QueryPtr subquery;
};

struct TableName {
  std::vector<std::string> parts;  // [[catalog.]namespace.]table, folded unless quoted
  int position = -1;
};

enum class JoinKind : uint8_t { kInner, kLeft, kRight, kFull, kCross };
enum class FromKind : uint8_t { kTable, kSubquery, kJoin, kFunction };

struct FromItem {
  FromKind kind = FromKind::kTable;
  int position = -1;
  TableName table;    // kTable
  QueryPtr subquery;  // kSubquery
  bool lateral = false;
  ExprPtr function;                  // kFunction: generate_series, unnest, range, vector_search
  JoinKind join = JoinKind::kInner;  // kJoin
  bool natural = false;
  std::unique_ptr<FromItem> left, right;
  ExprPtr on;
  std::vector<std::string> using_columns;
  std::string alias;
  std::vector<std::string> column_aliases;
};

struct SelectItem {
  ExprPtr expr;
  std::string alias;  // empty: named by the expression (docs/sql.md, "Names of columns")
};

struct CommonTable {
  std::string name;
  std::vector<std::string> column_names;
  QueryPtr query;
};

enum class SetOperation : uint8_t {
  kNone,
  kUnion,
  kUnionAll,
  kIntersect,
  kIntersectAll,
  kExcept,
  kExceptAll
};

// Sets of groups in GROUP BY.
inline constexpr std::string_view kRollup = "rollup";
inline constexpr std::string_view kCube = "cube";
inline constexpr std::string_view kGroupingSets = "grouping sets";

/// SELECT, VALUES or a set operation over two queries.
struct Query {
  std::vector<CommonTable> with;
  bool recursive = false;
  SetOperation set_operation = SetOperation::kNone;
  QueryPtr left, right;                      // set operation
  std::vector<std::vector<ExprPtr>> values;  // VALUES (...), (...)
  bool distinct = false;
  std::vector<ExprPtr> distinct_on;
  std::vector<SelectItem> items;
  std::unique_ptr<FromItem> from;  // several items in FROM are cross joins
  ExprPtr where, having;
  // Plain expressions, 1-based positions, and sets of groups: functions named as below, over
  // expressions, rows and sets.
  std::vector<ExprPtr> group_by;
  std::vector<std::pair<std::string, WindowSpec>> windows;
  std::vector<OrderItem> order_by;
  ExprPtr limit, offset;
};

struct Assignment {
  std::string column;
  int position = -1;
  ExprPtr value;
};

struct OnConflict {
  std::vector<std::string> target_columns;  // may be empty
  bool do_update = false;
  std::vector<Assignment> assignments;  // may refer to excluded.<column>
  ExprPtr where;
};

struct InsertStatement {
  TableName table;
  std::string alias;
  std::vector<std::string> columns;  // empty: all but the system columns
  QueryPtr source;                   // VALUES or a query; null with default_values
  bool default_values = false;
  std::unique_ptr<OnConflict> on_conflict;
  std::vector<SelectItem> returning;
  std::vector<CommonTable> with;
};

struct UpdateStatement {
  TableName table;
  std::string alias;
  std::vector<Assignment> assignments;
  std::unique_ptr<FromItem> from;
  ExprPtr where;
  std::vector<SelectItem> returning;
  std::vector<CommonTable> with;
};

struct DeleteStatement {
  TableName table;
  std::string alias;
  std::unique_ptr<FromItem> using_items;
  ExprPtr where;
  std::vector<SelectItem> returning;
  std::vector<CommonTable> with;
};

/// A deep copy.
ExprPtr Clone(const Expr& expr);
QueryPtr Clone(const Query& query);
/// Canonical text of an expression, in our dialect: for EXPLAIN, names of result columns, SHOW.
std::string ToText(const Expr& expr);
std::string ToText(const Query& query);
/// The name of a result column without an alias: the column's own name, or the expression's text
/// with functions in lower case and no qualifiers (decision 3): `count(*)`, `sum(amount)`.
std::string ResultName(const Expr& expr);

}  // namespace kalam::sql

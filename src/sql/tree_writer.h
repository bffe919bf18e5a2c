// Writes trees as text: the base of the canonical text (names of columns, EXPLAIN) and of the
// engine's dialect.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "sql/ast.h"

namespace kalam::sql {

/// One writer writes one text. The virtual functions are what dialects differ in. Not thread-safe.
class TreeWriter {
 public:
  virtual ~TreeWriter() = default;

  /// Parenthesised when the expression binds weaker than `precedence_min`.
  Status WriteExpr(const Expr& expr, int precedence_min = 0);
  Status WriteQuery(const Query& query);
  std::string Take() { return std::move(out_); }

 protected:
  virtual Status WriteName(std::string_view name);
  virtual Status WriteColumn(const Expr& expr);
  virtual Status WriteLiteral(const Value& value);
  virtual Status WriteFunction(const Expr& expr);
  virtual Status WriteUnary(const Expr& expr);
  virtual Status WriteBinary(const Expr& expr);
  virtual Status WriteCast(const Expr& expr);
  virtual Status WriteExtract(const Expr& expr);
  /// CURRENT_USER and CURRENT_ROLE.
  virtual Status WriteIdentity(const Expr& expr);
  virtual Status WriteTable(const FromItem& item);
  virtual Status WriteTableFunction(const FromItem& item);
  virtual Status WriteOrderItem(const OrderItem& item);
  virtual Status WriteSelectItem(const SelectItem& item);
  virtual Status WriteArray(const Expr& expr);
  virtual Status WriteValues(const Query& query);
  virtual Status WriteDefault(const Expr& expr);
  /// x IS [NOT] TRUE, FALSE, UNKNOWN.
  virtual Status WriteTest(const Expr& expr);
  /// What IN and BETWEEN compare, and what LIMIT, OFFSET and GROUP BY count.
  virtual Status WriteInOperand(const Expr& expr) { return WriteExpr(expr, kPredicateOperand); }
  virtual Status WriteCount(const Expr& expr) { return WriteExpr(expr, kCounted); }
  /// Everything in parentheses, whatever its precedence.
  virtual bool always_parenthesises() const { return false; }

  Status WriteArguments(const std::vector<ExprPtr>& args, size_t begin = 0);
  Status WriteFunctionTail(const Expr& expr);
  Status WriteOrderBy(const std::vector<OrderItem>& items);
  Status WriteWindow(const WindowSpec& window);
  Status WriteNames(const std::vector<std::string>& names);
  Status WriteAlias(const FromItem& item);
  void WriteText(std::string_view text) { out_.append(text); }
  void WriteQuoted(std::string_view text);

  static constexpr int kPredicateOperand = 7;  // binds stronger than IN, BETWEEN and LIKE
  static constexpr int kCounted = 0;

 private:
  Status WriteBare(const Expr& expr);
  Status WritePredicate(const Expr& expr);
  Status WriteCase(const Expr& expr);
  Status WriteSubquery(const Query& query);
  Status WriteFrom(const FromItem& item);
  Status WriteJoin(const FromItem& item);
  Status WriteSelect(const Query& query);
  Status WriteGroup(const Expr& group);
  Status WriteSetOperand(const Query& query);

  std::string out_;
};

}  // namespace kalam::sql

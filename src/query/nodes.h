// The nodes that the compiler looks into again, and the factories of the others.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "query/expression.h"
#include "query/like.h"

namespace kalam::query {

/// A literal or parameter: its value comes from EvalContext::constants.
class ConstantNode final : public Node {
 public:
  ConstantNode(uint32_t slot, const DataType& type) : slot_(slot) {
    type_ = type;
    is_statement_constant_ = true;
  }
  Status Evaluate(EvalContext& context, Datum* out) const override {
    *out = context.constants[slot_];
    return {};
  }
  uint32_t slot() const { return slot_; }

 private:
  const uint32_t slot_;
};

class ColumnNode final : public Node {
 public:
  explicit ColumnNode(const ColumnSlot& column) : slot_(column.slot) { type_ = column.type; }
  Status Evaluate(EvalContext& context, Datum* out) const override {
    *out = context.cells[slot_];
    return {};
  }
  uint32_t slot() const { return slot_; }

 private:
  const uint32_t slot_;
};

/// Evaluates `node` and casts the result to `type` where it is of another one.
Status EvaluateAs(const Node& node, const DataType& type, EvalContext& context, Datum* out);
/// CAST, with intervals, which the type layer's Cast does not know.
Result<Datum> CastDatum(const Datum& value, const DataType& type, Arena* arena);

inline const ConstantNode* AsConstant(const NodePtr& node) {
  return dynamic_cast<const ConstantNode*>(node.get());
}
inline const ColumnNode* AsColumn(const Node& node) {
  return dynamic_cast<const ColumnNode*>(&node);
}

enum class CompareOp : uint8_t { kEqual, kNotEqual, kLess, kLessEqual, kGreater, kGreaterEqual };

/// A comparison whose operands are of comparable types. Public so that access paths can be read off
/// the compiled filter.
class CompareNode final : public Node {
 public:
  CompareNode(CompareOp op, NodePtr left, NodePtr right);
  Status Evaluate(EvalContext& context, Datum* out) const override;
  CompareOp op() const { return op_; }
  const Node& left() const { return *left_; }
  const Node& right() const { return *right_; }

 private:
  const CompareOp op_;
  const NodePtr left_, right_;
};

/// AND and OR over any number of operands.
class JunctionNode final : public Node {
 public:
  JunctionNode(bool is_and, std::vector<NodePtr> operands);
  Status Evaluate(EvalContext& context, Datum* out) const override;
  bool is_and() const { return is_and_; }
  const std::vector<NodePtr>& operands() const { return operands_; }

 private:
  const bool is_and_;
  const std::vector<NodePtr> operands_;
};

/// IN over a list of values.
class InListNode final : public Node {
 public:
  InListNode(NodePtr subject, std::vector<NodePtr> candidates, bool negated);
  Status Evaluate(EvalContext& context, Datum* out) const override;
  const Node& subject() const { return *subject_; }
  const std::vector<NodePtr>& candidates() const { return candidates_; }
  bool negated() const { return negated_; }

 private:
  const NodePtr subject_;
  const std::vector<NodePtr> candidates_;
  const bool negated_;
};

/// LIKE and ILIKE. `escape` may be null.
class LikeNode final : public Node {
 public:
  LikeNode(NodePtr subject, NodePtr pattern, NodePtr escape, bool ignore_case, bool negated);
  Status Evaluate(EvalContext& context, Datum* out) const override;
  const Node& subject() const { return *subject_; }
  /// True when whatever matches begins with a text that is the same for the whole statement.
  bool has_constant_prefix() const;
  /// That text, which may be empty; nullopt when nothing can match.
  Result<std::optional<std::string>> ConstantPrefix(EvalContext& context) const;

 private:
  /// False: the answer is NULL.
  Result<bool> EvaluatePattern(EvalContext& context, Datum* pattern, LikeOptions* options) const;

  const NodePtr subject_, pattern_, escape_;
  const bool ignore_case_, negated_;
};

// Factories of operators.cpp. `position` is for messages.
Result<NodePtr> MakeComparison(CompareOp op, NodePtr left, NodePtr right, CompileState* state,
                               int position);
/// Makes both operands comparable by casting constants; errors when the types do not fit.
Status UnifyForComparison(NodePtr* left, NodePtr* right, std::string_view op, CompileState* state,
                          int position);
NodePtr MakeJunction(bool is_and, std::vector<NodePtr> operands);
NodePtr MakeNot(NodePtr operand);
NodePtr MakeIsNull(NodePtr operand, bool negated);
/// IS [NOT] TRUE / FALSE / UNKNOWN; `wanted` is 1, 0 or -1 for unknown.
NodePtr MakeBooleanTest(NodePtr operand, int wanted, bool negated);
Result<NodePtr> MakeDistinctTest(NodePtr left, NodePtr right, bool negated, CompileState* state,
                                 int position);
NodePtr MakeConcat(NodePtr left, NodePtr right);
NodePtr MakeLike(NodePtr subject, NodePtr pattern, NodePtr escape, bool ignore_case, bool negated);

// Factories of arithmetic.cpp.
/// `op` is one of + - * / % ^ & | # << >>.
Result<NodePtr> MakeArithmetic(std::string_view op, NodePtr left, NodePtr right,
                               CompileState* state, int position);
Result<NodePtr> MakeNegation(NodePtr operand, CompileState* state, int position);
Result<NodePtr> MakeBitwiseNot(NodePtr operand, int position);

// Factories of conditional.cpp.
NodePtr MakeCase(std::vector<NodePtr> branches, NodePtr otherwise, const DataType& type);
NodePtr MakeCoalesce(std::vector<NodePtr> arguments, const DataType& type);
NodePtr MakeNullIf(NodePtr left, NodePtr right);
NodePtr MakeExtreme(std::vector<NodePtr> arguments, const DataType& type, bool greatest);

}  // namespace kalam::query

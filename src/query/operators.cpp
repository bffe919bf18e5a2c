// Comparison, logic, LIKE and concatenation with SQL's three-valued logic.
#include <fmt/core.h>

#include "query/datum_order.h"
#include "query/like.h"
#include "query/nodes.h"
#include "query/type_rules.h"
#include "types/convert.h"

namespace kalam::query {

namespace {

bool Holds(CompareOp op, int order) {
  switch (op) {
    case CompareOp::kEqual:
      return order == 0;
    case CompareOp::kNotEqual:
      return order != 0;
    case CompareOp::kLess:
      return order < 0;
    case CompareOp::kLessEqual:
      return order <= 0;
    case CompareOp::kGreater:
      return order > 0;
    case CompareOp::kGreaterEqual:
      return order >= 0;
  }
  return false;
}

std::string_view CompareOpText(CompareOp op) {
  constexpr std::string_view kTexts[] = {"=", "<>", "<", "<=", ">", ">="};
  return kTexts[static_cast<size_t>(op)];
}

class NotNode final : public Node {
 public:
  explicit NotNode(NodePtr operand) : operand_(std::move(operand)) {
    type_ = BooleanType();
    is_statement_constant_ = operand_->is_statement_constant();
  }
  Status Evaluate(EvalContext& context, Datum* out) const override {
    Datum value;
    KALAM_RETURN_IF_ERROR(operand_->Evaluate(context, &value));
    *out = value.is_null ? Datum::Null(TypeKind::kBoolean) : Datum::Boolean(!value.boolean());
    return {};
  }

 private:
  const NodePtr operand_;
};

class IsNullNode final : public Node {
 public:
  IsNullNode(NodePtr operand, bool negated) : operand_(std::move(operand)), negated_(negated) {
    type_ = BooleanType();
    is_statement_constant_ = operand_->is_statement_constant();
  }
  Status Evaluate(EvalContext& context, Datum* out) const override {
    Datum value;
    KALAM_RETURN_IF_ERROR(operand_->Evaluate(context, &value));
    *out = Datum::Boolean(value.is_null != negated_);
    return {};
  }

 private:
  const NodePtr operand_;
  const bool negated_;
};

class BooleanTestNode final : public Node {
 public:
  BooleanTestNode(NodePtr operand, int wanted, bool negated)
      : operand_(std::move(operand)), wanted_(wanted), negated_(negated) {
    type_ = BooleanType();
    is_statement_constant_ = operand_->is_statement_constant();
  }
  Status Evaluate(EvalContext& context, Datum* out) const override {
    Datum value;
    KALAM_RETURN_IF_ERROR(operand_->Evaluate(context, &value));
    const int state = value.is_null ? -1 : value.boolean() ? 1 : 0;
    *out = Datum::Boolean((state == wanted_) != negated_);
    return {};
  }

 private:
  const NodePtr operand_;
  const int wanted_;
  const bool negated_;
};

/// IS [NOT] DISTINCT FROM: a comparison in which NULL is a value like any other.
class DistinctTestNode final : public Node {
 public:
  DistinctTestNode(NodePtr left, NodePtr right, bool negated)
      : left_(std::move(left)), right_(std::move(right)), negated_(negated) {
    type_ = BooleanType();
    is_statement_constant_ = left_->is_statement_constant() && right_->is_statement_constant();
  }
  Status Evaluate(EvalContext& context, Datum* out) const override {
    Datum a, b;
    KALAM_RETURN_IF_ERROR(left_->Evaluate(context, &a));
    KALAM_RETURN_IF_ERROR(right_->Evaluate(context, &b));
    bool distinct = a.is_null != b.is_null;
    if (!a.is_null && !b.is_null) {
      int order = 0;
      KALAM_RETURN_IF_ERROR(CompareDatums(a, b, &order));
      distinct = order != 0;
    }
    *out = Datum::Boolean(distinct != negated_);
    return {};
  }

 private:
  const NodePtr left_, right_;
  const bool negated_;
};

class ConcatNode final : public Node {
 public:
  ConcatNode(NodePtr left, NodePtr right) : left_(std::move(left)), right_(std::move(right)) {
    type_ = TextType();
    is_statement_constant_ = left_->is_statement_constant() && right_->is_statement_constant();
  }
  Status Evaluate(EvalContext& context, Datum* out) const override {
    Datum a, b;
    KALAM_RETURN_IF_ERROR(EvaluateAs(*left_, TextType(), context, &a));
    KALAM_RETURN_IF_ERROR(EvaluateAs(*right_, TextType(), context, &b));
    if (a.is_null || b.is_null) {
      *out = Datum::Null(TypeKind::kText);
      return {};
    }
    const size_t size = static_cast<size_t>(a.size) + b.size;
    char* bytes = context.arena->Allocate(size);
    if (a.size > 0) std::memcpy(bytes, a.data, a.size);
    if (b.size > 0) std::memcpy(bytes + a.size, b.data, b.size);
    *out = Datum::Text({bytes, size});
    return {};
  }

 private:
  const NodePtr left_, right_;
};

}  // namespace

LikeNode::LikeNode(NodePtr subject, NodePtr pattern, NodePtr escape, bool ignore_case, bool negated)
    : subject_(std::move(subject)),
      pattern_(std::move(pattern)),
      escape_(std::move(escape)),
      ignore_case_(ignore_case),
      negated_(negated) {
  type_ = BooleanType();
  is_statement_constant_ = subject_->is_statement_constant() && pattern_->is_statement_constant() &&
                           (escape_ == nullptr || escape_->is_statement_constant());
}

bool LikeNode::has_constant_prefix() const {
  return !negated_ && !ignore_case_ && pattern_->is_statement_constant() &&
         (escape_ == nullptr || escape_->is_statement_constant());
}

Result<bool> LikeNode::EvaluatePattern(EvalContext& context, Datum* pattern,
                                       LikeOptions* options) const {
  KALAM_RETURN_IF_ERROR(EvaluateAs(*pattern_, TextType(), context, pattern));
  options->ignore_case = ignore_case_;
  if (escape_ == nullptr) return !pattern->is_null;
  Datum escape;
  KALAM_RETURN_IF_ERROR(EvaluateAs(*escape_, TextType(), context, &escape));
  if (escape.is_null) return false;
  KALAM_RETURN_IF_ERROR(ParseLikeEscape(escape.text(), options));
  return !pattern->is_null;
}

Result<std::optional<std::string>> LikeNode::ConstantPrefix(EvalContext& context) const {
  Datum pattern;
  LikeOptions options;
  KALAM_ASSIGN_OR_RETURN(const bool may_match, EvaluatePattern(context, &pattern, &options));
  if (!may_match) return std::optional<std::string>();
  return std::optional<std::string>(LikePrefix(pattern.text(), options));
}

Status LikeNode::Evaluate(EvalContext& context, Datum* out) const {
  *out = Datum::Null(TypeKind::kBoolean);
  Datum subject, pattern;
  LikeOptions options;
  KALAM_RETURN_IF_ERROR(EvaluateAs(*subject_, TextType(), context, &subject));
  KALAM_ASSIGN_OR_RETURN(const bool is_known, EvaluatePattern(context, &pattern, &options));
  if (!is_known || subject.is_null) return {};
  bool matches = false;
  KALAM_RETURN_IF_ERROR(MatchLike(subject.text(), pattern.text(), options, &matches));
  *out = Datum::Boolean(matches != negated_);
  return {};
}

CompareNode::CompareNode(CompareOp op, NodePtr left, NodePtr right)
    : op_(op), left_(std::move(left)), right_(std::move(right)) {
  type_ = BooleanType();
  is_statement_constant_ = left_->is_statement_constant() && right_->is_statement_constant();
}

Status CompareNode::Evaluate(EvalContext& context, Datum* out) const {
  Datum a, b;
  KALAM_RETURN_IF_ERROR(left_->Evaluate(context, &a));
  KALAM_RETURN_IF_ERROR(right_->Evaluate(context, &b));
  if (a.is_null || b.is_null) {
    *out = Datum::Null(TypeKind::kBoolean);
    return {};
  }
  int order = 0;
  KALAM_RETURN_IF_ERROR(CompareDatums(a, b, &order));
  *out = Datum::Boolean(Holds(op_, order));
  return {};
}

JunctionNode::JunctionNode(bool is_and, std::vector<NodePtr> operands)
    : is_and_(is_and), operands_(std::move(operands)) {
  type_ = BooleanType();
  is_statement_constant_ = true;
  for (const NodePtr& operand : operands_)
    is_statement_constant_ &= operand->is_statement_constant();
}

Status JunctionNode::Evaluate(EvalContext& context, Datum* out) const {
  bool saw_null = false;
  for (const NodePtr& operand : operands_) {
    Datum value;
    KALAM_RETURN_IF_ERROR(operand->Evaluate(context, &value));
    if (value.is_null) {
      saw_null = true;
    } else if (value.boolean() != is_and_) {
      *out = Datum::Boolean(!is_and_);
      return {};
    }
  }
  *out = saw_null ? Datum::Null(TypeKind::kBoolean) : Datum::Boolean(is_and_);
  return {};
}

InListNode::InListNode(NodePtr subject, std::vector<NodePtr> candidates, bool negated)
    : subject_(std::move(subject)), candidates_(std::move(candidates)), negated_(negated) {
  type_ = BooleanType();
  is_statement_constant_ = subject_->is_statement_constant();
  for (const NodePtr& candidate : candidates_)
    is_statement_constant_ &= candidate->is_statement_constant();
}

Status InListNode::Evaluate(EvalContext& context, Datum* out) const {
  *out = Datum::Null(TypeKind::kBoolean);
  Datum subject;
  KALAM_RETURN_IF_ERROR(subject_->Evaluate(context, &subject));
  if (subject.is_null) return {};
  bool saw_null = false;
  for (const NodePtr& candidate : candidates_) {
    Datum value;
    KALAM_RETURN_IF_ERROR(candidate->Evaluate(context, &value));
    if (value.is_null) {
      saw_null = true;
      continue;
    }
    int order = 0;
    KALAM_RETURN_IF_ERROR(CompareDatums(subject, value, &order));
    if (order == 0) {
      *out = Datum::Boolean(!negated_);
      return {};
    }
  }
  if (!saw_null) *out = Datum::Boolean(negated_);
  return {};
}

Status UnifyForComparison(NodePtr* left, NodePtr* right, std::string_view op, CompileState* state,
                          int position) {
  // The first pass asks what the right side has to become, the second swaps the roles.
  NodePtr* sides[2][2] = {{left, right}, {right, left}};
  for (auto& [fixed, movable] : sides) {
    const ConstantNode* constant = AsConstant(*movable);
    if (constant == nullptr || AsConstant(*fixed) != nullptr) continue;
    const DataType& wanted = (*fixed)->type();
    const DataType& given = constant->type();
    // Text against a decimal stays text: the comparison parses it exactly, a cast would have to
    // choose a scale.
    if (given.is_text() && !wanted.is_text() && wanted.kind != TypeKind::kDecimal &&
        wanted.kind != TypeKind::kNull) {
      *movable = CastTo(std::move(*movable), wanted.is_integer() ? BigIntType() : wanted,
                        state->constants);
      return {};
    }
    if (given.is_text() && wanted.kind == TypeKind::kDecimal) return {};
    if (!given.is_text() && wanted.is_text() && given.kind != TypeKind::kNull) {
      *movable = CastTo(std::move(*movable), TextType(), state->constants);
      return {};
    }
    if (given.is_integer() && (wanted.is_temporal() || wanted.kind == TypeKind::kBoolean)) {
      *movable = CastTo(std::move(*movable), wanted, state->constants);
      return {};
    }
  }
  const bool both_constant = AsConstant(*left) != nullptr && AsConstant(*right) != nullptr;
  if (both_constant && (*left)->type().is_text() != (*right)->type().is_text()) {
    NodePtr* text = (*left)->type().is_text() ? left : right;
    const NodePtr& other = text == left ? *right : *left;
    if (other->type().kind != TypeKind::kNull)
      *text = CastTo(std::move(*text), other->type(), state->constants);
    return {};
  }
  if (AreComparable((*left)->type(), (*right)->type())) return {};
  return Status(ErrorKind::InvalidOperation,
                fmt::format("operator does not exist: {} {} {}; cast one side",
                            TypeNameForMessage((*left)->type()), op,
                            TypeNameForMessage((*right)->type())))
      .WithPosition(position);
}

Result<NodePtr> MakeComparison(CompareOp op, NodePtr left, NodePtr right, CompileState* state,
                               int position) {
  KALAM_RETURN_IF_ERROR(UnifyForComparison(&left, &right, CompareOpText(op), state, position));
  return NodePtr(std::make_unique<CompareNode>(op, std::move(left), std::move(right)));
}

NodePtr MakeJunction(bool is_and, std::vector<NodePtr> operands) {
  return std::make_unique<JunctionNode>(is_and, std::move(operands));
}

NodePtr MakeNot(NodePtr operand) { return std::make_unique<NotNode>(std::move(operand)); }

NodePtr MakeIsNull(NodePtr operand, bool negated) {
  return std::make_unique<IsNullNode>(std::move(operand), negated);
}

NodePtr MakeBooleanTest(NodePtr operand, int wanted, bool negated) {
  return std::make_unique<BooleanTestNode>(std::move(operand), wanted, negated);
}

Result<NodePtr> MakeDistinctTest(NodePtr left, NodePtr right, bool negated, CompileState* state,
                                 int position) {
  KALAM_RETURN_IF_ERROR(UnifyForComparison(&left, &right, "IS DISTINCT FROM", state, position));
  return NodePtr(std::make_unique<DistinctTestNode>(std::move(left), std::move(right), negated));
}

NodePtr MakeConcat(NodePtr left, NodePtr right) {
  return std::make_unique<ConcatNode>(std::move(left), std::move(right));
}

NodePtr MakeLike(NodePtr subject, NodePtr pattern, NodePtr escape, bool ignore_case, bool negated) {
  return std::make_unique<LikeNode>(std::move(subject), std::move(pattern), std::move(escape),
                                    ignore_case, negated);
}

}  // namespace kalam::query

// CASE, COALESCE, NULLIF, GREATEST and LEAST: expressions that do not evaluate all of their
// arguments.
#include "query/datum_order.h"
#include "query/nodes.h"
#include "query/type_rules.h"

namespace kalam::query {

namespace {

bool AllConstant(const std::vector<NodePtr>& nodes) {
  for (const NodePtr& node : nodes) {
    if (!node->is_statement_constant()) return false;
  }
  return true;
}

/// branches: condition, value, condition, value, ... The conditions of a simple CASE are
/// comparisons already.
class CaseNode final : public Node {
 public:
  CaseNode(std::vector<NodePtr> branches, NodePtr otherwise, const DataType& type)
      : branches_(std::move(branches)), otherwise_(std::move(otherwise)) {
    type_ = type;
    is_statement_constant_ =
        AllConstant(branches_) && (otherwise_ == nullptr || otherwise_->is_statement_constant());
  }
  Status Evaluate(EvalContext& context, Datum* out) const override {
    for (size_t i = 0; i + 1 < branches_.size(); i += 2) {
      Datum condition;
      KALAM_RETURN_IF_ERROR(branches_[i]->Evaluate(context, &condition));
      if (!condition.is_null && condition.boolean())
        return EvaluateAs(*branches_[i + 1], type_, context, out);
    }
    if (otherwise_ != nullptr) return EvaluateAs(*otherwise_, type_, context, out);
    *out = Datum::Null(type_.kind);
    return {};
  }

 private:
  const std::vector<NodePtr> branches_;
  const NodePtr otherwise_;
};

class CoalesceNode final : public Node {
 public:
  CoalesceNode(std::vector<NodePtr> arguments, const DataType& type)
      : arguments_(std::move(arguments)) {
    type_ = type;
    is_statement_constant_ = AllConstant(arguments_);
  }
  Status Evaluate(EvalContext& context, Datum* out) const override {
    for (const NodePtr& argument : arguments_) {
      KALAM_RETURN_IF_ERROR(EvaluateAs(*argument, type_, context, out));
      if (!out->is_null) return {};
    }
    *out = Datum::Null(type_.kind);
    return {};
  }

 private:
  const std::vector<NodePtr> arguments_;
};

class NullIfNode final : public Node {
 public:
  NullIfNode(NodePtr left, NodePtr right) : left_(std::move(left)), right_(std::move(right)) {
    type_ = left_->type();
    is_statement_constant_ = left_->is_statement_constant() && right_->is_statement_constant();
  }
  Status Evaluate(EvalContext& context, Datum* out) const override {
    Datum other;
    KALAM_RETURN_IF_ERROR(left_->Evaluate(context, out));
    KALAM_RETURN_IF_ERROR(right_->Evaluate(context, &other));
    if (out->is_null || other.is_null) return {};
    int order = 0;
    KALAM_RETURN_IF_ERROR(CompareDatums(*out, other, &order));
    if (order == 0) *out = Datum::Null(type_.kind);
    return {};
  }

 private:
  const NodePtr left_, right_;
};

/// GREATEST and LEAST; NULL arguments do not count.
class ExtremeNode final : public Node {
 public:
  ExtremeNode(std::vector<NodePtr> arguments, const DataType& type, bool greatest)
      : arguments_(std::move(arguments)), greatest_(greatest) {
    type_ = type;
    is_statement_constant_ = AllConstant(arguments_);
  }
  Status Evaluate(EvalContext& context, Datum* out) const override {
    *out = Datum::Null(type_.kind);
    for (const NodePtr& argument : arguments_) {
      Datum value;
      KALAM_RETURN_IF_ERROR(EvaluateAs(*argument, type_, context, &value));
      if (value.is_null) continue;
      int order = greatest_ ? 1 : -1;
      if (!out->is_null) KALAM_RETURN_IF_ERROR(CompareDatums(value, *out, &order));
      if (greatest_ ? order > 0 : order < 0) *out = value;
    }
    return {};
  }

 private:
  const std::vector<NodePtr> arguments_;
  const bool greatest_;
};

}  // namespace

NodePtr MakeCase(std::vector<NodePtr> branches, NodePtr otherwise, const DataType& type) {
  return std::make_unique<CaseNode>(std::move(branches), std::move(otherwise), type);
}

NodePtr MakeCoalesce(std::vector<NodePtr> arguments, const DataType& type) {
  return std::make_unique<CoalesceNode>(std::move(arguments), type);
}

NodePtr MakeNullIf(NodePtr left, NodePtr right) {
  return std::make_unique<NullIfNode>(std::move(left), std::move(right));
}

NodePtr MakeExtreme(std::vector<NodePtr> arguments, const DataType& type, bool greatest) {
  return std::make_unique<ExtremeNode>(std::move(arguments), type, greatest);
}

}  // namespace kalam::query

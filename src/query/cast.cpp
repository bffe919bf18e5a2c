// Casts of values, of expressions, and of the constants of a statement.
#include <fmt/core.h>

#include "query/nodes.h"
#include "types/convert.h"
#include "types/datetime.h"

namespace kalam::query {
namespace {

class CastNode final : public Node {
 public:
  CastNode(NodePtr operand, const DataType& type) : operand_(std::move(operand)) {
    type_ = type;
    is_statement_constant_ = operand_->is_statement_constant();
  }
  Status Evaluate(EvalContext& context, Datum* out) const override {
    Datum value;
    KALAM_RETURN_IF_ERROR(operand_->Evaluate(context, &value));
    if (value.is_null) {
      *out = Datum::Null(type_.kind);
      return {};
    }
    KALAM_ASSIGN_OR_RETURN(*out, CastDatum(value, type_, context.arena));
    return {};
  }

 private:
  const NodePtr operand_;
};

}  // namespace

DataType TypeOfValue(const Value& value) {
  DataType type = DataType::Of(value.kind());
  if (value.kind() == TypeKind::kDecimal) type = DataType::Decimal(38, value.datum().scale);
  return type;
}

Result<Datum> CastDatum(const Datum& value, const DataType& type, Arena* arena) {
  if (value.is_null) return Datum::Null(type.kind);
  if (type.kind == TypeKind::kNull) return value;
  if (type.kind == TypeKind::kInterval) {
    if (value.kind == TypeKind::kInterval) return value;
    if (!DataType::Of(value.kind).is_text()) {
      return Status(ErrorKind::Execution, "only text can be cast to an interval");
    }
    KALAM_ASSIGN_OR_RETURN(const Datum::Interval interval, ParseInterval(value.text()));
    return Datum::OfInterval(interval.months, interval.days, interval.us);
  }
  return Cast(value, type, arena);
}

Status EvaluateAs(const Node& node, const DataType& type, EvalContext& context, Datum* out) {
  KALAM_RETURN_IF_ERROR(node.Evaluate(context, out));
  if (out->is_null) {
    out->kind = type.kind;
    return {};
  }
  if (out->kind == type.kind && (type.kind != TypeKind::kDecimal || out->scale == type.scale))
    return {};
  if (type.kind == TypeKind::kNull) return {};
  if (type.is_integer() && DataType::Of(out->kind).is_integer() && type.kind == TypeKind::kBigInt) {
    out->kind = type.kind;
    return {};
  }
  if (type.is_text() && DataType::Of(out->kind).is_text()) {
    out->kind = type.kind;
    return {};
  }
  KALAM_ASSIGN_OR_RETURN(*out, CastDatum(*out, type, context.arena));
  return {};
}

NodePtr CastTo(NodePtr node, const DataType& type, ConstantPool* constants) {
  if (node->type() == type) return node;
  // A constant that was cast before keeps its first cast: '1.5'::text::double is not '1.5'::double.
  if (const ConstantNode* constant = AsConstant(node)) {
    ConstantPool::Slot& slot = constants->slot(constant->slot());
    if (slot.target.kind == TypeKind::kNull) {
      slot.target = type;
      return std::make_unique<ConstantNode>(constant->slot(), type);
    }
  }
  return std::make_unique<CastNode>(std::move(node), type);
}

Status ConstantPool::Bind(std::span<const Value> parameters, Arena* arena,
                          std::vector<Datum>* constants) const {
  constants->clear();
  constants->reserve(slots_.size());
  for (const Slot& slot : slots_) {
    const size_t index = static_cast<size_t>(slot.parameter_index);
    if (index > parameters.size()) {
      return Status(
          ErrorKind::ParameterBinding,
          fmt::format("parameter ${} has no value: {} were given", index, parameters.size()));
    }
    const Datum value = index == 0 ? slot.literal.datum() : parameters[index - 1].datum();
    if (slot.target.kind == TypeKind::kNull ||
        (value.kind == slot.target.kind && value.kind != TypeKind::kDecimal)) {
      constants->push_back(value);
      continue;
    }
    KALAM_ASSIGN_OR_RETURN(const Datum cast, CastDatum(value, slot.target, arena));
    constants->push_back(cast);
  }
  return {};
}

size_t ConstantPool::byte_size() const {
  size_t bytes = slots_.capacity() * sizeof(Slot);
  for (const Slot& slot : slots_) bytes += slot.literal.heap_bytes();
  return bytes;
}

}  // namespace kalam::query

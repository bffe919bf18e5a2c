// Choosing and binding access paths.
#include "query/access_path.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "query/datum_order.h"
#include "types/convert.h"
#include "types/key_codec.h"

namespace kalam::query {

namespace {

/// `column op constant`, whichever side the column stands on.
struct Restriction {
  uint32_t column;
  CompareOp op;
  const Node* value;
};

CompareOp Mirrored(CompareOp op) {
  switch (op) {
    case CompareOp::kLess:
      return CompareOp::kGreater;
    case CompareOp::kLessEqual:
      return CompareOp::kGreaterEqual;
    case CompareOp::kGreater:
      return CompareOp::kLess;
    case CompareOp::kGreaterEqual:
      return CompareOp::kLessEqual;
    default:
      return op;
  }
}

std::optional<Restriction> AsRestriction(const Node& node) {
  const auto* compare = dynamic_cast<const CompareNode*>(&node);
  if (compare == nullptr || compare->op() == CompareOp::kNotEqual) return std::nullopt;
  const ColumnNode* left = AsColumn(compare->left());
  const ColumnNode* right = AsColumn(compare->right());
  if (left != nullptr && compare->right().is_statement_constant()) {
    return Restriction{left->slot(), compare->op(), &compare->right()};
  }
  if (right != nullptr && compare->left().is_statement_constant()) {
    return Restriction{right->slot(), Mirrored(compare->op()), &compare->left()};
  }
  return std::nullopt;
}

void CollectConjuncts(const Node* filter, std::vector<const Node*>* conjuncts) {
  if (filter == nullptr) return;
  const auto* junction = dynamic_cast<const JunctionNode*>(filter);
  if (junction == nullptr || !junction->is_and()) {
    conjuncts->push_back(filter);
    return;
  }
  for (const NodePtr& operand : junction->operands()) CollectConjuncts(operand.get(), conjuncts);
}

void AddBound(const Restriction& restriction, AccessPath* path) {
  const bool is_lower =
      restriction.op == CompareOp::kGreater || restriction.op == CompareOp::kGreaterEqual;
  const bool is_upper =
      restriction.op == CompareOp::kLess || restriction.op == CompareOp::kLessEqual;
  const bool is_equal = restriction.op == CompareOp::kEqual;
  if ((is_lower || is_equal) && path->lower == nullptr) {
    path->lower = restriction.value;
    path->lower_inside = restriction.op != CompareOp::kGreater;
  }
  if ((is_upper || is_equal) && path->upper == nullptr) {
    path->upper = restriction.value;
    path->upper_inside = restriction.op != CompareOp::kLess;
  }
}

enum class KeyFit : uint8_t {
  kExact,     // the key stands for the value
  kNoMatch,   // no key of this type equals the value
  kUnusable,  // the value says nothing about key order here
};

/// The value as a key of `type`.
KeyFit FitKey(const Datum& value, const DataType& type, Datum* key) {
  if (value.is_null) return KeyFit::kNoMatch;
  const DataType given = DataType::Of(value.kind);
  if (type.is_integer() && given.is_integer()) {
    const int64_t bits = type.kind == TypeKind::kSmallInt ? 16
                         : type.kind == TypeKind::kInt    ? 32
                                                          : 64;
    const int64_t limit =
        bits == 64 ? std::numeric_limits<int64_t>::max() : (int64_t{1} << (bits - 1)) - 1;
    if (value.i > limit || value.i < -limit - 1) return KeyFit::kNoMatch;
    *key = Datum::OfInt(type.kind, value.i);
    return KeyFit::kExact;
  }
  if (type.kind == TypeKind::kDouble && (given.is_integer() || value.kind == TypeKind::kFloat)) {
    *key = Datum::Double(given.is_integer() ? static_cast<double>(value.i) : value.d);
    return KeyFit::kExact;
  }
  if (type.is_text() && given.is_text()) {
    *key = Datum::Bytes(type.kind, value.text());
    return KeyFit::kExact;
  }
  if (type.kind == value.kind && type.kind != TypeKind::kDecimal && type.kind != TypeKind::kFloat) {
    *key = value;
    return KeyFit::kExact;
  }
  return KeyFit::kUnusable;
}

Status BindKeys(const AccessPath& path, const DataType& type, EvalContext& context,
                BoundPath* bound, bool* usable) {
  bound->is_keys = true;
  for (const Node* node : path.keys) {
    Datum value, key;
    KALAM_RETURN_IF_ERROR(node->Evaluate(context, &value));
    const KeyFit fit = FitKey(value, type, &key);
    if (fit == KeyFit::kUnusable) {
      *usable = false;
      return {};
    }
    if (fit == KeyFit::kNoMatch) continue;
    std::string encoded;
    EncodeKey(key, &encoded);
    bound->keys.push_back(std::move(encoded));
  }
  std::sort(bound->keys.begin(), bound->keys.end());
  bound->keys.erase(std::unique(bound->keys.begin(), bound->keys.end()), bound->keys.end());
  bound->is_empty = bound->keys.empty();
  return {};
}

/// The bytes at which a half-open range begins or ends; `past` puts the key itself before them.
/// Empty: no bound.
Status BindKeyBound(const Node* node, bool past, const DataType& type, EvalContext& context,
                    BoundPath* bound, std::string* edge) {
  if (node == nullptr) return {};
  Datum value, key;
  KALAM_RETURN_IF_ERROR(node->Evaluate(context, &value));
  if (value.is_null) {
    bound->is_empty = true;
    return {};
  }
  if (FitKey(value, type, &key) != KeyFit::kExact) return {};
  EncodeKey(key, edge);
  // No encoded key is a prefix of another, so a zero byte behind one comes before every greater
  // key.
  if (past) edge->push_back('\0');
  return {};
}

/// Narrows the range to the keys that begin as the pattern does.
Status BindLikePrefix(const LikeNode& like, EvalContext& context, BoundPath* bound) {
  KALAM_ASSIGN_OR_RETURN(const std::optional<std::string> prefix, like.ConstantPrefix(context));
  if (!prefix.has_value()) bound->is_empty = true;
  if (!prefix.has_value() || prefix->empty()) return {};
  std::string first;
  EncodeKeyTextPrefix(*prefix, &first);
  std::string last = PrefixEnd(first);
  std::string& lower = bound->scan.key_lower;
  std::string& upper = bound->scan.key_upper;
  if (lower < first) lower = std::move(first);
  if (!last.empty() && (upper.empty() || last < upper)) upper = std::move(last);
  return {};
}

Status BindSeqBounds(const AccessPath& path, EvalContext& context, BoundPath* bound) {
  bound->scan.order = tables::ScanOrder::kBySeq;
  Datum value;
  if (path.lower != nullptr) {
    KALAM_RETURN_IF_ERROR(path.lower->Evaluate(context, &value));
    if (value.is_null) bound->is_empty = true;
    if (DataType::Of(value.kind).is_integer() && value.i > 0) {
      bound->scan.seq_after = Seq{path.lower_inside ? value.i - 1 : value.i};
    }
  }
  if (path.upper != nullptr) {
    KALAM_RETURN_IF_ERROR(path.upper->Evaluate(context, &value));
    if (value.is_null) bound->is_empty = true;
    if (DataType::Of(value.kind).is_integer()) {
      const int64_t last = path.upper_inside ? value.i : value.i - (value.i > INT64_MIN ? 1 : 0);
      if (last <= 0) bound->is_empty = true;
      bound->scan.seq_up_to = Seq{std::max<int64_t>(last, 0)};
    }
  }
  return {};
}

}  // namespace

AccessPath ChoosePath(const catalog::TableDefinition& table, const Node* filter) {
  AccessPath by_key, by_seq;
  std::vector<const Node*> conjuncts;
  CollectConjuncts(filter, &conjuncts);
  const bool has_keys =
      table.type == catalog::TableType::kUser || table.type == catalog::TableType::kShared;
  const std::optional<size_t> primary_key = has_keys ? table.PrimaryKey() : std::nullopt;
  const std::optional<size_t> seq = table.FindColumn(catalog::kSeqColumn);
  for (const Node* conjunct : conjuncts) {
    if (const auto* in = dynamic_cast<const InListNode*>(conjunct);
        in != nullptr && !in->negated()) {
      const ColumnNode* column = AsColumn(in->subject());
      const bool constants =
          std::all_of(in->candidates().begin(), in->candidates().end(),
                      [](const NodePtr& node) { return node->is_statement_constant(); });
      if (column != nullptr && column->slot() == primary_key && constants && by_key.keys.empty()) {
        for (const NodePtr& candidate : in->candidates()) by_key.keys.push_back(candidate.get());
      }
      continue;
    }
    if (const auto* like = dynamic_cast<const LikeNode*>(conjunct);
        like != nullptr && like->has_constant_prefix()) {
      const ColumnNode* column = AsColumn(like->subject());
      if (column != nullptr && column->slot() == primary_key && column->type().is_text())
        by_key.like = like;
      continue;
    }
    const auto restriction = AsRestriction(*conjunct);
    if (!restriction.has_value()) continue;
    if (restriction->column == primary_key) {
      if (restriction->op == CompareOp::kEqual) {
        by_key.keys.assign(1, restriction->value);
      } else {
        AddBound(*restriction, &by_key);
      }
    } else if (restriction->column == seq) {
      AddBound(*restriction, &by_seq);
    }
  }
  if (!by_key.keys.empty()) {
    by_key.kind = PathKind::kKeys;
    by_key.covers_filter = conjuncts.size() == 1;
    return by_key;
  }
  if (by_key.lower != nullptr || by_key.upper != nullptr || by_key.like != nullptr) {
    by_key.kind = PathKind::kKeyRange;
    return by_key;
  }
  const bool is_system =
      table.type == catalog::TableType::kSystem || table.type == catalog::TableType::kView;
  if (!is_system && (by_seq.lower != nullptr || by_seq.upper != nullptr)) {
    by_seq.kind = PathKind::kSeqRange;
    return by_seq;
  }
  return {};
}

Result<BoundPath> BindPath(const AccessPath& path, const catalog::TableDefinition& table,
                           EvalContext& context) {
  BoundPath bound;
  const std::optional<size_t> primary_key = table.PrimaryKey();
  if (path.kind == PathKind::kKeys && primary_key.has_value()) {
    bool usable = true;
    KALAM_RETURN_IF_ERROR(
        BindKeys(path, (*table.columns)[*primary_key].type, context, &bound, &usable));
    bound.covers_filter = path.covers_filter;
    if (usable) return bound;
    return BoundPath{};
  }
  if (path.kind == PathKind::kKeyRange && primary_key.has_value()) {
    const DataType& type = (*table.columns)[*primary_key].type;
    KALAM_RETURN_IF_ERROR(
        BindKeyBound(path.lower, !path.lower_inside, type, context, &bound, &bound.scan.key_lower));
    KALAM_RETURN_IF_ERROR(
        BindKeyBound(path.upper, path.upper_inside, type, context, &bound, &bound.scan.key_upper));
    if (path.like != nullptr) KALAM_RETURN_IF_ERROR(BindLikePrefix(*path.like, context, &bound));
    if (!bound.scan.key_upper.empty() && bound.scan.key_lower >= bound.scan.key_upper)
      bound.is_empty = true;
  } else if (path.kind == PathKind::kSeqRange) {
    KALAM_RETURN_IF_ERROR(BindSeqBounds(path, context, &bound));
  }
  return bound;
}

std::string_view PathName(PathKind kind) {
  switch (kind) {
    case PathKind::kFullScan:
      return "full scan of the scope";
    case PathKind::kKeys:
      return "primary key lookup";
    case PathKind::kKeyRange:
      return "primary key range scan";
    case PathKind::kSeqRange:
      return "_seq range scan";
  }
  return "";
}

}  // namespace kalam::query

// The typing of expressions: which common type two operands meet at, and what a literal becomes
// beside a column.
#pragma once

#include <optional>
#include <string>

#include "types/data_type.h"

namespace kalam::query {

/// The type in which values of `a` and `b` can stand together (CASE, COALESCE, IN, arithmetic);
/// nullopt when there is none. kNull gives way to anything; integers widen, integer + decimal is a
/// decimal, anything with DOUBLE is a DOUBLE.
std::optional<DataType> CommonType(const DataType& a, const DataType& b);

/// Whether a comparison between these two needs no cast at all.
bool AreComparable(const DataType& a, const DataType& b);

/// Lower-case names as PostgreSQL writes them in its messages: "bigint", "text".
std::string TypeNameForMessage(const DataType& type);

inline DataType TextType() { return DataType::Of(TypeKind::kText); }
inline DataType BigIntType() { return DataType::Of(TypeKind::kBigInt); }
inline DataType DoubleType() { return DataType::Of(TypeKind::kDouble); }
inline DataType BooleanType() { return DataType::Of(TypeKind::kBoolean); }
inline DataType TimestampType() { return DataType::Of(TypeKind::kTimestamp); }

}  // namespace kalam::query

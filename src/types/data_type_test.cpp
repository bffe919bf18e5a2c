// Spellings of types, their canonical names and their wire form.
#include "types/data_type.h"

#include <gtest/gtest.h>

namespace kalam {
namespace {

TypeSpelling Spell(std::string name, int64_t first = -1, int64_t second = -1) {
  return {std::move(name), {first, second}, false};
}

TEST(DataType, SpellingsMapToTheirKind) {
  EXPECT_EQ(DataTypeFromSql(Spell("Character  Varying", 20))->kind, TypeKind::kText);
  EXPECT_EQ(DataTypeFromSql(Spell("pg_catalog.int8"))->kind, TypeKind::kBigInt);
  EXPECT_EQ(DataTypeFromSql(Spell("DOUBLE PRECISION"))->kind, TypeKind::kDouble);
  EXPECT_EQ(DataTypeFromSql(Spell("float", 24))->kind, TypeKind::kFloat);
  EXPECT_EQ(DataTypeFromSql(Spell("timestamp with time zone"))->kind, TypeKind::kTimestamp);
  EXPECT_EQ(DataTypeFromSql(Spell("longtext"))->kind, TypeKind::kText);
  EXPECT_EQ(DataTypeFromSql(Spell("JSONB"))->kind, TypeKind::kJson);
  TypeSpelling array = Spell("int4");
  array.is_array = true;
  EXPECT_EQ(DataTypeFromSql(array)->kind, TypeKind::kText);
}

TEST(DataType, DecimalModifiers) {
  EXPECT_EQ(*DataTypeFromSql(Spell("numeric")), DataType::Decimal(38, 10));
  EXPECT_EQ(*DataTypeFromSql(Spell("decimal", 12)), DataType::Decimal(12, 0));
  EXPECT_EQ(*DataTypeFromSql(Spell("decimal", 10, 2)), DataType::Decimal(10, 2));
  EXPECT_EQ(DataTypeFromSql(Spell("decimal", 39)).status().message(),
            "DECIMAL precision must be between 1 and 38, got 39");
  EXPECT_EQ(DataTypeFromSql(Spell("decimal", 5, 6)).status().message(),
            "DECIMAL scale (6) cannot exceed precision (5)");
}

TEST(DataType, EmbeddingDimension) {
  EXPECT_EQ(*DataTypeFromSql(Spell("embedding", 384)), DataType::Embedding(384));
  EXPECT_EQ(DataTypeFromSql(Spell("embedding")).status().message(),
            "EMBEDDING type requires exactly one dimension parameter, e.g., EMBEDDING(384)");
  EXPECT_EQ(DataTypeFromSql(Spell("embedding", 0)).status().message(),
            "EMBEDDING dimension must be at least 1");
  EXPECT_EQ(DataTypeFromSql(Spell("embedding", 9000)).status().message(),
            "EMBEDDING dimension must be at most 8192 (found 9000)");
}

TEST(DataType, UnsupportedTypesSaySo) {
  EXPECT_EQ(DataTypeFromSql(Spell("tinyint")).status().message(), "Unsupported Arrow type: Int8");
  EXPECT_EQ(DataTypeFromSql(Spell("INTERVAL")).status().message(),
            "Unsupported data type: INTERVAL");
  EXPECT_EQ(DataTypeFromSql(Spell("geometry")).status().message(),
            "Unsupported custom data type 'geometry'");
}

TEST(DataType, NamesAndWireForm) {
  EXPECT_EQ(SqlName(DataType::Decimal(10, 2)), "DECIMAL(10, 2)");
  EXPECT_EQ(SqlName(DataType::Embedding(3)), "EMBEDDING(3)");
  EXPECT_EQ(WireJson(DataType::Of(TypeKind::kBigInt)), "\"BigInt\"");
  EXPECT_EQ(WireJson(DataType::Decimal(10, 2)), R"({"Decimal":{"precision":10,"scale":2}})");
  EXPECT_EQ(WireJson(DataType::Embedding(3)), R"({"Embedding":3})");
}

TEST(DataType, SerialNames) {
  EXPECT_TRUE(IsSerialTypeName("BigSerial"));
  EXPECT_FALSE(IsSerialTypeName("bigint"));
}

}  // namespace
}  // namespace kalam

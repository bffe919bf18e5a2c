// Rows read back as they were written, and no byte sequence makes the decoder read outside of it.
#include "types/row_codec.h"

#include <gtest/gtest.h>

#include <random>

namespace kalam {
namespace {

constexpr TypeKind kKinds[] = {TypeKind::kBoolean,   TypeKind::kInt,      TypeKind::kBigInt,
                               TypeKind::kDouble,    TypeKind::kFloat,    TypeKind::kText,
                               TypeKind::kDate,      TypeKind::kDateTime, TypeKind::kTime,
                               TypeKind::kJson,      TypeKind::kBytes,    TypeKind::kUuid,
                               TypeKind::kDecimal,   TypeKind::kFile,     TypeKind::kSmallInt,
                               TypeKind::kTimestamp, TypeKind::kEmbedding};

DataType TypeOf(TypeKind kind) {
  if (kind == TypeKind::kDecimal) return DataType::Decimal(20, 3);
  if (kind == TypeKind::kEmbedding) return DataType::Embedding(3);
  return DataType::Of(kind);
}

RowLayout RandomLayout(std::mt19937_64& random) {
  RowLayout layout;
  size_t count = random() % 20;
  for (uint32_t i = 0; i < count; ++i) {
    layout.cells.push_back({i + 1, TypeOf(kKinds[random() % std::size(kKinds)])});
  }
  return layout;
}

Value RandomCell(const DataType& type, std::mt19937_64& random) {
  if (random() % 5 == 0) return Value::Null(type.kind);
  std::string bytes(random() % 300, ' ');
  for (char& byte : bytes) byte = static_cast<char>(random());
  switch (type.kind) {
    case TypeKind::kBoolean:
      return Value::Boolean(random() % 2);
    case TypeKind::kSmallInt:
      return Value(Datum::OfInt(type.kind, static_cast<int16_t>(random())));
    case TypeKind::kInt:
    case TypeKind::kDate:
      return Value(Datum::OfInt(type.kind, static_cast<int32_t>(random())));
    case TypeKind::kDouble:
      return Value::Double(static_cast<double>(random()));
    case TypeKind::kFloat: {
      Datum datum = Datum::Double(static_cast<float>(random() % 1000) / 7);
      datum.d = static_cast<float>(datum.d);
      datum.kind = TypeKind::kFloat;
      return Value(datum);
    }
    case TypeKind::kDecimal:
      return Value(Datum::Decimal(static_cast<__int128>(random()) * -7, type.scale));
    case TypeKind::kUuid:
      bytes.resize(16);
      return Value(Datum::Bytes(type.kind, bytes));
    case TypeKind::kEmbedding:
      bytes.resize(12);
      return Value(Datum::Bytes(type.kind, bytes));
    default:
      break;
  }
  if (type.is_bytes_like()) return Value(Datum::Bytes(type.kind, bytes));
  return Value(Datum::OfInt(type.kind, static_cast<int64_t>(random())));
}

TEST(RowCodec, KnownBytes) {
  using namespace std::string_literals;
  RowLayout layout{{{1, DataType::Of(TypeKind::kBigInt)},
                    {2, DataType::Of(TypeKind::kText)},
                    {3, DataType::Of(TypeKind::kBoolean)}}};
  std::string row;
  EncodeRow(layout, std::vector<Datum>{Datum::BigInt(258), Datum::Null(), Datum::Boolean(true)},
            &row);
  EXPECT_EQ(row, "\x03\x02\x02\x01\0\0\0\0\0\0\x01"s);
}

TEST(RowCodec, RandomRowsReadBack) {
  std::mt19937_64 random(11);
  for (int round = 0; round < 3000; ++round) {
    RowLayout layout = RandomLayout(random);
    std::vector<Value> values;
    std::vector<Datum> cells;
    for (const RowLayout::Cell& cell : layout.cells)
      values.push_back(RandomCell(cell.type, random));
    for (const Value& value : values) cells.push_back(value.datum());
    std::string row;
    EncodeRow(layout, cells, &row);
    std::vector<Datum> back(3, Datum::Decimal(-1, 9));  // leftovers of another row must not show
    ASSERT_TRUE(DecodeRow(layout, row, &back).ok());
    ASSERT_EQ(back.size(), cells.size());
    for (size_t i = 0; i < cells.size(); ++i) {
      EXPECT_TRUE(Value(back[i]) == values[i]) << SqlName(layout.cells[i].type);
    }
    size_t prefix = cells.empty() ? 0 : random() % cells.size();
    std::vector<Datum> front;
    ASSERT_TRUE(DecodeRowPrefix(layout, row, prefix, &front).ok());
    for (size_t i = 0; i < prefix; ++i) EXPECT_TRUE(Value(front[i]) == values[i]);
  }
}

TEST(RowCodec, SparseRowsReadBack) {
  RowLayout layout{{{1, DataType::Of(TypeKind::kBigInt)}, {2, DataType::Of(TypeKind::kText)}}};
  std::string bytes;
  EncodeSparseRow(layout, std::vector<uint32_t>{1, 0},
                  std::vector<Datum>{Datum::Text("old"), Datum::Null()}, &bytes);
  Result<std::vector<SparseCell>> back = DecodeSparseRow(layout, bytes);
  ASSERT_TRUE(back.ok());
  ASSERT_EQ(back->size(), 2u);
  EXPECT_EQ((*back)[0].position, 1u);
  EXPECT_EQ((*back)[0].value.text(), "old");
  EXPECT_TRUE((*back)[1].value.is_null);
  EXPECT_TRUE(DecodeSparseRow(layout, "")->empty());
}

TEST(RowCodec, ArbitraryBytesNeverReadOutOfBounds) {
  std::mt19937_64 random(12);
  for (int round = 0; round < 30'000; ++round) {
    RowLayout layout = RandomLayout(random);
    std::vector<Value> values;
    std::vector<Datum> cells;
    for (const RowLayout::Cell& cell : layout.cells)
      values.push_back(RandomCell(cell.type, random));
    for (const Value& value : values) cells.push_back(value.datum());
    std::string row;
    EncodeRow(layout, cells, &row);
    for (size_t change = random() % 4; change > 0; --change) {
      row[random() % row.size()] = static_cast<char>(random());
    }
    row.resize(random() % 3 ? random() % (row.size() + 1) : row.size());
    std::vector<char> exact(row.begin(), row.end());
    std::string_view bytes(exact.data(), exact.size());
    std::vector<Datum> back;
    Status status = DecodeRow(layout, bytes, &back);
    if (!status.ok()) {
      EXPECT_TRUE(status.Is(ErrorKind::Corruption));
      continue;
    }
    for (const Datum& cell : back) {
      if (cell.is_null || !DataType::Of(cell.kind).is_bytes_like()) continue;
      EXPECT_GE(cell.data, bytes.data());
      EXPECT_LE(cell.data + cell.size, bytes.data() + bytes.size());
    }
    (void)DecodeSparseRow(layout, bytes).ok();
  }
}

TEST(RowCodec, VarintsReadBackAndRefuseOverlongForms) {
  for (uint64_t value :
       {uint64_t{0}, uint64_t{127}, uint64_t{128}, uint64_t{1} << 35, UINT64_MAX}) {
    std::string out;
    PutVarint(&out, value);
    std::string_view in = out;
    uint64_t back = 1;
    ASSERT_TRUE(GetVarint(&in, &back));
    EXPECT_EQ(back, value);
    EXPECT_TRUE(in.empty());
    in = std::string_view(out).substr(0, out.size() - 1);
    EXPECT_FALSE(GetVarint(&in, &back));
  }
  std::string over = std::string(9, '\xff') + "\x02";
  std::string_view in = over;
  uint64_t value = 0;
  EXPECT_FALSE(GetVarint(&in, &value));
}

}  // namespace
}  // namespace kalam

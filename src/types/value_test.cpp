// Values own their bytes wherever they go; arenas keep what they gave out; buffers stream what they
// took.
#include "types/value.h"

#include <gtest/gtest.h>

#include "types/row_stream.h"

namespace kalam {
namespace {

TEST(Value, OwnsItsBytesAfterCopyAndMove) {
  std::string source = "short";
  Value value = Value::Text(source);
  source = "other";
  Value copy = value;
  Value moved = std::move(value);
  EXPECT_EQ(copy.datum().text(), "short");
  EXPECT_EQ(moved.datum().text(), "short");
  EXPECT_EQ(copy, moved);
}

TEST(Value, EqualityIsOfKindNullnessAndBytes) {
  EXPECT_FALSE(Value::BigInt(1) == Value::Double(1));
  EXPECT_TRUE(Value::Null(TypeKind::kText) == Value::Null(TypeKind::kText));
  EXPECT_FALSE(Value::Null(TypeKind::kText) == Value::Text(""));
  EXPECT_FALSE(Value(Datum::Decimal(10, 1)) == Value(Datum::Decimal(10, 2)));
  EXPECT_TRUE(Value(Datum::OfInterval(1, 2, 3)) == Value(Datum::OfInterval(1, 2, 3)));
}

TEST(Arena, KeepsEarlierBytesWhileGrowing) {
  Arena arena;
  std::vector<std::string_view> views;
  for (int i = 0; i < 2000; ++i) views.push_back(arena.Copy(std::to_string(i)));
  std::string_view big = arena.Copy(std::string(200'000, 'x'));
  for (int i = 0; i < 2000; ++i) EXPECT_EQ(views[i], std::to_string(i));
  EXPECT_EQ(big.size(), 200'000u);
  arena.Reset();
  EXPECT_LE(arena.reserved_bytes(), 512u);
  EXPECT_EQ(arena.Copy("again"), "again");
}

TEST(RowBuffer, StreamsInChunksAndEnds) {
  auto buffer = std::make_shared<RowBuffer>(
      ResultSchema{{.name = "a", .type = DataType::Of(TypeKind::kText)}});
  for (int i = 0; i < 5; ++i) buffer->Append({Value::Text(std::string(100, 'a' + i))});
  std::unique_ptr<RowStream> stream = OpenStream(buffer);
  RowBuffer first(stream->schema());
  Result<bool> more = stream->Next(first, 250);
  ASSERT_TRUE(more.ok());
  EXPECT_TRUE(*more);
  EXPECT_GE(first.row_count(), 1u);
  EXPECT_LT(first.row_count(), 5u);
  RowBuffer rest(stream->schema());
  more = stream->Next(rest, 1 << 20);
  ASSERT_TRUE(more.ok());
  EXPECT_FALSE(*more);
  EXPECT_EQ(first.row_count() + rest.row_count(), 5u);
  EXPECT_EQ(rest.rows().back()[0].datum().text(), std::string(100, 'e'));
}

}  // namespace
}  // namespace kalam

// Records of rows, order and changes: their bytes, and that no bytes break the decoder.
#include "replication/records.h"

#include <gtest/gtest.h>

#include <random>

namespace kalam::replication {
namespace {

TEST(RecordsTest, RowRecordBytes) {
  std::string bytes;
  EncodeRowRecord({.tombstone = true, .seq = Seq{300}, .schema_version = 2, .row = "row"}, &bytes);
  EXPECT_EQ(bytes, std::string("\x01\xac\x02\x02row", 7));
  auto record = DecodeRowRecord(bytes);
  ASSERT_TRUE(record.ok());
  EXPECT_TRUE(record->tombstone);
  EXPECT_EQ(record->seq, Seq{300});
  EXPECT_EQ(record->schema_version, 2u);
  EXPECT_EQ(record->row, "row");
}

TEST(RecordsTest, OrderRecordBytes) {
  std::string bytes;
  EncodeOrderRecord({.tombstone = false, .encoded_pk = "pk"}, &bytes);
  EXPECT_EQ(bytes, std::string("\0pk", 3));
  auto record = DecodeOrderRecord(bytes);
  ASSERT_TRUE(record.ok());
  EXPECT_FALSE(record->tombstone);
  EXPECT_EQ(record->encoded_pk, "pk");
}

TEST(RecordsTest, ChangeRecordBytes) {
  std::string bytes;
  EncodeChangeRecord({.op = ChangeOp::kUpdate,
                      .is_stream = true,
                      .schema_version = 1,
                      .previous_seq = Seq{5},
                      .commit_time_us = 128,
                      .expire_at_us = 7,
                      .encoded_pk = "k",
                      .row = "new",
                      .old_cells = "old"},
                     &bytes);
  EXPECT_EQ(bytes, std::string("\x02\x01\x01\x05\x80\x01\x07\x01k\x03newold", 16));
  auto record = DecodeChangeRecord(bytes);
  ASSERT_TRUE(record.ok());
  EXPECT_EQ(record->op, ChangeOp::kUpdate);
  EXPECT_TRUE(record->is_stream);
  EXPECT_EQ(record->previous_seq, Seq{5});
  EXPECT_EQ(record->commit_time_us, 128);
  EXPECT_EQ(record->expire_at_us, 7);
  EXPECT_EQ(record->encoded_pk, "k");
  EXPECT_EQ(record->row, "new");
  EXPECT_EQ(record->old_cells, "old");
}

TEST(RecordsTest, EmptyAndUnknownAreCorrupt) {
  EXPECT_TRUE(DecodeRowRecord("").status().Is(ErrorKind::Corruption));
  EXPECT_TRUE(DecodeOrderRecord("").status().Is(ErrorKind::Corruption));
  EXPECT_TRUE(DecodeChangeRecord("").status().Is(ErrorKind::Corruption));
  EXPECT_TRUE(
      DecodeChangeRecord(std::string("\x04\0\0\0\0\0\0\0", 8)).status().Is(ErrorKind::Corruption));
}

TEST(RecordsTest, DecodersStayInsideAnyBytes) {
  std::mt19937_64 random(7);
  for (int round = 0; round < 50'000; ++round) {
    std::string bytes(random() % 24, '\0');
    for (char& c : bytes) c = static_cast<char>(random());
    if (!bytes.empty() && round % 2 == 0) bytes[0] = static_cast<char>(1 + random() % 3);
    auto inside = [&bytes](std::string_view view) {
      return view.empty() || (view.data() >= bytes.data() &&
                              view.data() + view.size() <= bytes.data() + bytes.size());
    };
    if (auto row = DecodeRowRecord(bytes); row.ok()) {
      ASSERT_TRUE(inside(row->row));
    }
    if (auto change = DecodeChangeRecord(bytes); change.ok()) {
      ASSERT_TRUE(inside(change->encoded_pk) && inside(change->row) && inside(change->old_cells));
    }
  }
}

}  // namespace
}  // namespace kalam::replication

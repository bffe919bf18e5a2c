// A file of the engine that writes segments, with a column of every type, read back by hand-made
// values.
#include <fmt/format.h>

#include "segments/chunk_statistics.h"
#include "segments/segments_test_bench.h"
#include "types/convert.h"

namespace kalam::segments {
namespace {

using Kind = TypeKind;

constexpr int64_t kRows = 2100;
constexpr int64_t kMoment = 1'700'000'000'000'000;
constexpr int64_t kDay = 19'723;  // 2024-01-01

/// The table that the fixture belongs to (testdata/make_fixtures.py).
catalog::TablePtr AllTypesTable() {
  const std::vector<std::pair<std::string, DataType>> user_columns{
      {"id", DataType::Of(Kind::kBigInt)},        {"flag", DataType::Of(Kind::kBoolean)},
      {"small", DataType::Of(Kind::kSmallInt)},   {"number", DataType::Of(Kind::kInt)},
      {"ratio", DataType::Of(Kind::kFloat)},      {"precise", DataType::Of(Kind::kDouble)},
      {"name", DataType::Of(Kind::kText)},        {"word", DataType::Of(Kind::kText)},
      {"bytes", DataType::Of(Kind::kBytes)},      {"tiny_money", DataType::Decimal(4, 2)},
      {"money", DataType::Decimal(18, 2)},        {"huge_money", DataType::Decimal(38, 4)},
      {"moment", DataType::Of(Kind::kTimestamp)}, {"day", DataType::Of(Kind::kDate)},
      {"hour", DataType::Of(Kind::kTime)},        {"uuid", DataType::Of(Kind::kUuid)},
      {"json", DataType::Of(Kind::kJson)},        {"vector", DataType::Embedding(3)}};
  auto table = std::make_shared<catalog::TableDefinition>(*ItemsTable(catalog::TableType::kShared));
  std::vector<catalog::ColumnDefinition> columns;
  for (const auto& [name, type] : user_columns) {
    columns.push_back({.column_id = static_cast<uint32_t>(columns.size() + 1),
                       .name = name,
                       .type = type,
                       .primary_key = columns.empty()});
  }
  table->layouts = std::make_shared<const std::vector<RowLayout>>(1, catalog::LayoutOf(columns));
  table->columns =
      std::make_shared<const std::vector<catalog::ColumnDefinition>>(std::move(columns));
  return table;
}

/// What row `i` of the fixture holds, as text; the bytes of vectors as they are.
std::vector<std::string> ExpectedCells(int64_t i) {
  const auto money = [](int64_t cents) {
    return fmt::format("{}.{:02}", cents / 100, cents % 100);
  };
  const std::string vector =
      RawBytes(static_cast<float>(i)) + RawBytes(0.5f) + RawBytes(static_cast<float>(-i));
  return {std::to_string(i),
          i % 2 == 0 ? "true" : "false",
          std::to_string(i % 200 - 100),
          i % 10 == 3 ? "NULL" : std::to_string(i * 3 - 1000),
          fmt::format("{:.2f}", static_cast<double>(i % 256) / 4),
          fmt::format("{:.3f}", static_cast<double>(i % 256) / 8),
          i % 7 == 0 ? "NULL" : "name " + std::to_string(i),
          "word" + std::to_string(i % 5),
          "b" + std::to_string(i),
          money(i),
          money(i),
          fmt::format("{}.0000", i % 256 - 100),
          std::to_string(kMoment + i),
          std::to_string(kDay + i),
          std::to_string(i * 1'000'000),
          fmt::format("00000000-0000-4000-8000-{:012x}", i),
          fmt::format("{{\"n\":{}}}", i),
          i % 4 == 1 ? "NULL" : vector};
}

std::string CellText(const Datum& cell) {
  if (cell.is_null) return "NULL";
  switch (cell.kind) {
    case Kind::kFloat:
      return fmt::format("{:.2f}", cell.d);
    case Kind::kDouble:
      return fmt::format("{:.3f}", cell.d);
    case Kind::kBytes:
    case Kind::kEmbedding:
      return std::string(cell.text());
    case Kind::kTimestamp:
    case Kind::kDate:
    case Kind::kTime:
      return std::to_string(cell.i);
    default:
      return ToText(cell);
  }
}

class FixtureTest : public SegmentsTest {
 protected:
  FixtureTest() : all_types_(AllTypesTable()) {
    const std::string path = std::string(KALAM_SEGMENTS_TESTDATA) + "/all_types.parquet";
    SegmentBuilder builder({all_types_, SegmentPlace::OfScope({}), 2048});
    for (int64_t i = 0; i < kRows; ++i) {
      EXPECT_TRUE(builder.Add({}, KeyOf(i), Seq{i + 5000}, i % 50 == 49).ok());
    }
    auto built = builder.Finish(path);
    EXPECT_TRUE(built.ok()) << built.status().ToString();
    auto change = SegmentChange::Begin(*store_, all_types_->id);
    auto object = change->NextPath(SegmentPlace::OfScope({}), "local", "app/items");
    EXPECT_TRUE(storage_->PutFile(path, *object).ok());
    change->Add(std::move(*built), false, 1);
    record_ = change->added().front();
    segments_->NoteTable(all_types_->id);
    Apply(change->Take());
  }
  const catalog::TablePtr all_types_;
  SegmentRecord record_;
};

TEST_F(FixtureTest, EveryTypeComesBack) {
  auto scan = segments_->OpenKeyScan(all_types_, {}, {}, nullptr);
  ASSERT_TRUE(scan.ok());
  std::vector<Datum> cells;
  for (int64_t i = 0; i < kRows; ++i) {
    auto more = (*scan)->Next();
    ASSERT_TRUE(more.ok()) << more.status().ToString();
    ASSERT_TRUE(*more);
    EXPECT_EQ((*scan)->encoded_pk(), KeyOf(i));
    EXPECT_EQ((*scan)->seq().value, i + 5000);
    EXPECT_EQ((*scan)->deleted(), i % 50 == 49);
    ASSERT_TRUE(DecodeRow(all_types_->layout(), (*scan)->row(), &cells).ok());
    const std::vector<std::string> expected = ExpectedCells(i);
    for (size_t c = 0; c < expected.size(); ++c) {
      ASSERT_EQ(CellText(cells[c]), expected[c])
          << "row " << i << ", column " << (*all_types_->columns)[c].name;
    }
  }
  EXPECT_FALSE(*(*scan)->Next());
}

TEST_F(FixtureTest, TheFooterTellsTheBoundsOfItsRowGroups) {
  const auto read = [this](int64_t offset, int64_t size) {
    return storage_->Read(record_.path, offset, size);
  };
  const auto statistics = ReadStatistics(record_, read);
  ASSERT_TRUE(statistics.ok()) << statistics.status().ToString();
  ASSERT_EQ(statistics->row_groups.size(), 2u);
  const auto bounds = [&](size_t group, const std::string& name) -> std::string {
    for (const catalog::ColumnDefinition& column : *all_types_->columns) {
      if (column.name != name) continue;
      const ChunkStatistics* chunk =
          statistics->Find(group, static_cast<int32_t>(column.column_id));
      if (chunk == nullptr) return "no such column";
      const auto min = chunk->MinOf(column.type), max = chunk->MaxOf(column.type);
      return (min ? CellText(min->datum()) : "?") + ".." + (max ? CellText(max->datum()) : "?");
    }
    return "no such name";
  };
  EXPECT_EQ(bounds(0, "id"), "0..2047");
  EXPECT_EQ(bounds(1, "id"), "2048..2099");
  EXPECT_EQ(bounds(0, "moment"), std::to_string(kMoment) + ".." + std::to_string(kMoment + 2047));
  EXPECT_EQ(bounds(1, "day"), std::to_string(kDay + 2048) + ".." + std::to_string(kDay + 2099));
  EXPECT_EQ(bounds(0, "small"), "-100..99");
  EXPECT_EQ(bounds(1, "precise"), "0.000..6.375");
  EXPECT_EQ(bounds(1, "word"), "word0..word4");
  EXPECT_EQ(bounds(1, "name"), "name 2048..name 2099");
  // The order of these is not told, or is another one.
  EXPECT_EQ(bounds(0, "uuid"), "?..?");
  EXPECT_EQ(bounds(0, "money"), "?..?");
  EXPECT_EQ(statistics->Find(0, 99), nullptr);
  EXPECT_EQ(statistics->Find(2, 1), nullptr);

  storage_->objects_[record_.path][static_cast<size_t>(record_.size_bytes) - 20] ^= 1;
  EXPECT_TRUE(ReadStatistics(record_, read).status().Is(ErrorKind::Corruption));
}

TEST_F(FixtureTest, ARowOfAnyGroupIsFound) {
  for (const int64_t id : {int64_t{0}, int64_t{2047}, int64_t{2048}, kRows - 1}) {
    auto row = segments_->Get(all_types_, {}, KeyOf(id), nullptr);
    ASSERT_TRUE(row.ok()) << row.status().ToString();
    ASSERT_TRUE(row->has_value()) << id;
    EXPECT_EQ((*row)->seq.value, id + 5000);
  }
  EXPECT_FALSE(segments_->Get(all_types_, {}, KeyOf(kRows), nullptr)->has_value());
  EXPECT_FALSE(segments_->Get(all_types_, {}, KeyOf(-1), nullptr)->has_value());
}

TEST_F(FixtureTest, AnOldDefinitionIsToldSoAndFencesNothing) {
  auto old = std::make_shared<catalog::TableDefinition>(*all_types_);
  old->layouts = std::make_shared<const std::vector<RowLayout>>();
  EXPECT_TRUE(segments_->Get(old, {}, KeyOf(1), nullptr).status().Is(ErrorKind::StaleSchema));
  EXPECT_TRUE(segments_->Get(all_types_, {}, KeyOf(1), nullptr)->has_value());
}

TEST_F(FixtureTest, ASchemaThatIsAnotherIsCorruption) {
  auto other = std::make_shared<catalog::TableDefinition>(*all_types_);
  auto columns = *all_types_->columns;
  columns[6].type = DataType::Of(Kind::kDouble);
  other->layouts = std::make_shared<const std::vector<RowLayout>>(1, catalog::LayoutOf(columns));
  auto row = segments_->Get(other, {}, KeyOf(1), nullptr);
  ASSERT_TRUE(row.status().Is(ErrorKind::Corruption)) << row.status().ToString();
  EXPECT_NE(row.status().message().find("column name is not written as a DOUBLE"),
            std::string::npos)
      << row.status().ToString();
}

TEST_F(FixtureTest, WhatIsHeldWhileASegmentIsMadeIsCharged) {
  MemoryAccount held("flush", nullptr);
  {
    SegmentBuilder builder({.table = all_types_,
                            .place = SegmentPlace::OfScope({}),
                            .row_group_rows = 2048,
                            .memory = &held});
    for (int64_t i = 0; i < kRows; ++i)
      ASSERT_TRUE(builder.Add({}, KeyOf(i), Seq{i + 5000}, i % 50 == 49).ok());
    // A hash for each row.
    EXPECT_GE(held.used_bytes(), kRows * 8);
    EXPECT_LE(held.used_bytes(), 4 * kRows * 8);
    const int64_t of_rows = held.used_bytes();
    const std::string path = std::string(KALAM_SEGMENTS_TESTDATA) + "/all_types.parquet";
    auto built = builder.Finish(path);
    ASSERT_TRUE(built.ok());
    EXPECT_GE(held.peak_bytes(), of_rows + built->record.size_bytes) << "the file is read";
    const int64_t before = held.used_bytes();
    auto change = SegmentChange::Begin(*store_, all_types_->id, &held);
    ASSERT_TRUE(change->NextPath(SegmentPlace::OfScope({}), "local", "app/items").ok());
    change->Add(std::move(*built), false, 1);
    EXPECT_GE(held.used_bytes(), before + 4096) << "a block of its filter";
    change->Take();
    EXPECT_EQ(held.used_bytes(), before);
  }
  EXPECT_EQ(held.used_bytes(), 0);
}

}  // namespace
}  // namespace kalam::segments

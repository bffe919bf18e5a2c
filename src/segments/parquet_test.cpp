// The reader of Parquet files over all forms that it knows, and over files that are damaged.
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "segments/parquet_cell.h"
#include "segments/parquet_chunk.h"
#include "segments/parquet_footer.h"
#include "segments/parquet_test_writer.h"

namespace kalam::segments {
namespace {

using Cells = std::vector<std::optional<std::string>>;

template <typename T>
std::string Raw(T value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof value);
}

Result<ParquetFooter> FooterOf(const std::string& file) {
  if (file.size() < static_cast<size_t>(kParquetTailBytes)) {
    return Status(ErrorKind::Corruption, "short");
  }
  const auto size = static_cast<int64_t>(file.size());
  KALAM_ASSIGN_OR_RETURN(
      int64_t footer_size,
      ParquetFooterSize(std::string_view(file).substr(file.size() - kParquetTailBytes), size));
  return ParseParquetFooter(
      std::string_view(file).substr(static_cast<size_t>(size - kParquetTailBytes - footer_size),
                                    static_cast<size_t>(footer_size)),
      size);
}

using Cell = Cells::value_type;

/// The one cell of a column of one row.
Cell OnlyCell(const DecodedColumn& column) {
  if (column.row_count() != 1) return "not one row";
  if (column.is_null(0)) return std::nullopt;
  return std::string(column.bytes(0));
}

/// The cells of a column over all row groups. One of `alone_every` is decoded alone as well, and
/// has to be the same.
Result<Cells> ReadColumn(const std::string& file, size_t column, uint32_t list_length,
                         size_t alone_every = 1) {
  KALAM_ASSIGN_OR_RETURN(ParquetFooter footer, FooterOf(file));
  if (column >= footer.columns.size()) return Status(ErrorKind::Corruption, "no such column");
  Cells cells;
  Decompressor decompressor;
  for (const ParquetRowGroup& group : footer.row_groups) {
    const ParquetChunk& chunk = group.chunks[column];
    const std::string_view bytes = std::string_view(file).substr(static_cast<size_t>(chunk.offset),
                                                                 static_cast<size_t>(chunk.size));
    const ParquetColumn& shape = footer.columns[column];
    auto decoded = DecodeChunk(shape, chunk, bytes, group.row_count, list_length, decompressor);
    const auto row_count = static_cast<size_t>(group.row_count);
    if (!decoded.ok()) {
      // What is damaged elsewhere does not matter to a cell.
      for (const size_t row : {size_t{0}, row_count / 2, row_count - 1}) {
        const auto alone =
            DecodeCell(shape, chunk, bytes, group.row_count, list_length, row, decompressor);
        if (!alone.ok() && !alone.status().Is(ErrorKind::Corruption)) return alone.status();
      }
      return decoded.status();
    }
    for (size_t row = 0; row < row_count; ++row) {
      cells.push_back((*decoded)->is_null(row) ? Cell() : Cell((*decoded)->bytes(row)));
      if (row % alone_every != 0) continue;
      const auto alone =
          DecodeCell(shape, chunk, bytes, group.row_count, list_length, row, decompressor);
      if (!alone.ok()) return Status(ErrorKind::Internal, alone.status().message());
      if (OnlyCell(**alone) != cells.back()) return Status(ErrorKind::Internal, "cells differ");
    }
  }
  return cells;
}

std::vector<TestColumn> AllForms(size_t rows) {
  std::vector<TestColumn> columns{
      {.name = "flag", .field_id = 1, .type = ParquetType::kBoolean},
      {.name = "small", .field_id = 2, .type = ParquetType::kInt32, .has_dictionary = true},
      {.name = "big", .field_id = 3, .type = ParquetType::kInt64},
      {.name = "ratio", .field_id = 4, .type = ParquetType::kFloat},
      {.name = "precise", .field_id = 5, .type = ParquetType::kDouble},
      {.name = "text", .field_id = 6, .type = ParquetType::kByteArray},
      {.name = "word", .field_id = 7, .type = ParquetType::kByteArray, .has_dictionary = true},
      {.name = "uuid", .field_id = 8, .type = ParquetType::kFixed, .width = 16},
      {.name = "vector", .field_id = 9, .type = ParquetType::kFloat, .is_list = true},
      {.name = "code",
       .field_id = 10,
       .type = ParquetType::kFixed,
       .width = 3,
       .has_dictionary = true},
  };
  for (size_t i = 0; i < rows; ++i) {
    const auto number = static_cast<int64_t>(i);
    columns[0].cells.emplace_back(std::string(1, static_cast<char>(i % 3 == 0)));
    columns[1].cells.emplace_back(Raw(static_cast<int32_t>(i % 7) - 3));
    columns[2].cells.emplace_back(Raw(number * 1'000'000'007 - 5));
    columns[3].cells.emplace_back(Raw(static_cast<float>(i) / 8));
    columns[4].cells.emplace_back(Raw(std::sqrt(static_cast<double>(i))));
    columns[5].cells.emplace_back(std::string(i % 40, static_cast<char>('a' + i % 26)));
    columns[6].cells.emplace_back(i % 5 == 0 ? "" : "word" + std::to_string(i % 11));
    columns[7].cells.emplace_back(std::string(16, static_cast<char>(i)));
    columns[8].cells.emplace_back(Raw(static_cast<float>(i)) + Raw(1.5f) + Raw(-2.0f));
    columns[9].cells.emplace_back(std::string(3, static_cast<char>('0' + i % 9)));
    // Every column has its NULLs elsewhere; the first has none, the third nothing else.
    for (size_t c = 1; c < columns.size(); ++c) {
      if (c == 2 ? i >= 64 : (i + c) % (c + 2) == 0) columns[c].cells.back() = std::nullopt;
    }
  }
  return columns;
}

class ParquetFormTest : public testing::TestWithParam<std::tuple<bool, bool, size_t>> {
 protected:
  TestFileOptions Options() const {
    TestFileOptions options;
    std::tie(options.second_version, options.compressed, options.page_rows) = GetParam();
    options.row_group_rows = 128;
    return options;
  }
};

TEST_P(ParquetFormTest, CellsComeBackAsTheyWereWritten) {
  const std::vector<TestColumn> columns = AllForms(300);
  const std::string file = TestFileWriter(Options()).Write(columns);
  auto footer = FooterOf(file);
  ASSERT_TRUE(footer.ok()) << footer.status().ToString();
  EXPECT_EQ(footer->row_count, 300);
  ASSERT_EQ(footer->row_groups.size(), 3u);
  EXPECT_EQ(footer->row_groups[2].row_count, 300 - 256);
  ASSERT_EQ(footer->columns.size(), columns.size());
  for (size_t i = 0; i < columns.size(); ++i) {
    EXPECT_EQ(footer->columns[i].name, columns[i].name);
    EXPECT_EQ(footer->columns[i].field_id, columns[i].field_id);
    auto cells = ReadColumn(file, i, columns[i].is_list ? 3 : 0);
    ASSERT_TRUE(cells.ok()) << columns[i].name << ": " << cells.status().ToString();
    EXPECT_TRUE(*cells == columns[i].cells) << columns[i].name;
  }
}

TEST_P(ParquetFormTest, AListOfAnotherLengthIsCorruption) {
  const std::vector<TestColumn> columns = AllForms(50);
  const std::string file = TestFileWriter(Options()).Write(columns);
  EXPECT_TRUE(ReadColumn(file, 8, 2).status().Is(ErrorKind::Corruption));
  EXPECT_TRUE(ReadColumn(file, 8, 4).status().Is(ErrorKind::Corruption));
}

TEST_P(ParquetFormTest, DamagedFilesAreCorruptionOrOtherValuesNeverACrash) {
  const std::vector<TestColumn> columns = AllForms(150);
  const std::string file = TestFileWriter(Options()).Write(columns);
  std::mt19937 random(20250807);
  int refused = 0;
  constexpr int kRounds = 1500;
  for (int round = 0; round < kRounds; ++round) {
    std::string damaged = file;
    const int flips = 1 + static_cast<int>(random() % 3);
    for (int i = 0; i < flips; ++i) {
      // Half of them in the footer, which says where everything is.
      const size_t range = round % 2 == 0 ? damaged.size() : damaged.size() / 4;
      damaged[damaged.size() - 1 - random() % range] ^= static_cast<char>(1u << (random() % 8));
    }
    if (round % 5 == 0) damaged.resize(random() % damaged.size());
    bool is_refused = false;
    for (size_t i = 0; i < columns.size(); ++i) {
      auto cells = ReadColumn(damaged, i, columns[i].is_list ? 3 : 0, 50);
      if (cells.ok()) continue;
      ASSERT_TRUE(cells.status().Is(ErrorKind::Corruption)) << cells.status().ToString();
      is_refused = true;
    }
    refused += is_refused ? 1 : 0;
  }
  EXPECT_GT(refused, kRounds / 5);  // without checksums some bits are simply other values
}

INSTANTIATE_TEST_SUITE_P(Forms, ParquetFormTest,
                         testing::Combine(testing::Bool(), testing::Bool(),
                                          testing::Values(size_t{50}, size_t{100'000})));

TEST(ParquetTest, NoPrefixOfAFileIsAFile) {
  const std::string file = TestFileWriter({.row_group_rows = 16}).Write(AllForms(40));
  for (size_t size = 0; size < file.size(); ++size) {
    EXPECT_TRUE(FooterOf(file.substr(0, size)).status().Is(ErrorKind::Corruption)) << size;
  }
}

}  // namespace
}  // namespace kalam::segments

// Rows read through later versions of their table.
#include "tables/row.h"

#include <gtest/gtest.h>

#include "tables/tables_test_bench.h"

namespace kalam::tables {
namespace {

/// BenchTable after ADD note TEXT, ADD price DECIMAL(10,2) NOT NULL, DROP name, MODIFY amount TEXT,
/// RENAME id TO key.
catalog::TablePtr LaterVersion() {
  catalog::TableDefinition table = BenchTable({9}, catalog::TableType::kShared);
  std::vector<catalog::ColumnDefinition> columns = *table.columns;
  columns[0].name = "key";
  columns[2].type = DataType::Of(TypeKind::kText);
  columns.erase(columns.begin() + 1);
  columns.push_back({.column_id = 6, .name = "note", .type = DataType::Of(TypeKind::kText)});
  columns.push_back(
      {.column_id = 7, .name = "price", .type = DataType::Decimal(10, 2), .nullable = false});
  columns.push_back(
      {.column_id = 8, .name = "vector", .type = DataType::Embedding(2), .nullable = false});
  std::vector<RowLayout> layouts = *table.layouts;
  layouts.push_back(catalog::LayoutOf(columns));
  table.schema_version = 2;
  table.layouts = std::make_shared<const std::vector<RowLayout>>(std::move(layouts));
  table.columns =
      std::make_shared<const std::vector<catalog::ColumnDefinition>>(std::move(columns));
  return std::make_shared<const catalog::TableDefinition>(std::move(table));
}

std::string FirstVersionRow(std::string_view name) {
  catalog::TableDefinition table = BenchTable({9}, catalog::TableType::kShared);
  std::vector<Datum> cells = Cells(5, name, 42);
  cells.resize(3);
  std::string row;
  EncodeRow(table.layout(), cells, &row);
  return row;
}

TEST(RowDecoder, ReadsOldRowsAsTheCurrentColumns) {
  RowDecoder decoder(LaterVersion());
  std::string row = FirstVersionRow("gone");
  ASSERT_TRUE(decoder.Decode(1, row, {77}, true).ok());
  std::span<const Datum> cells = decoder.cells();
  EXPECT_EQ(cells[0].i, 5);
  EXPECT_EQ(cells[1].text(), "42");  // the type was changed
  EXPECT_EQ(cells[2].i, 77);
  EXPECT_TRUE(cells[3].boolean());
  EXPECT_TRUE(cells[4].is_null);        // added, nullable
  EXPECT_EQ(ToText(cells[5]), "0.00");  // added, NOT NULL
  EXPECT_EQ(ToText(cells[6]), "[0,0]");
}

TEST(RowDecoder, DecodesOnlyWhatIsWanted) {
  catalog::TablePtr table = std::make_shared<const catalog::TableDefinition>(
      BenchTable({9}, catalog::TableType::kShared));
  RowDecoder decoder(table, {0});
  std::string row = FirstVersionRow("x");
  // The cells behind the wanted one may be unreadable: nobody looks at them.
  row.resize(row.size() - 4);
  ASSERT_TRUE(decoder.Decode(1, row, {1}, false).ok());
  EXPECT_EQ(decoder.cells()[0].i, 5);
  RowDecoder all(table);
  EXPECT_TRUE(all.Decode(1, row, {1}, false).Is(ErrorKind::Corruption));
}

TEST(RowDecoder, RefusesVersionsItDoesNotKnow) {
  RowDecoder decoder(LaterVersion());
  EXPECT_TRUE(decoder.Decode(3, "", {1}, false).Is(ErrorKind::StaleSchema));
  EXPECT_TRUE(decoder.Decode(0, "", {1}, false).Is(ErrorKind::StaleSchema));
}

}  // namespace
}  // namespace kalam::tables

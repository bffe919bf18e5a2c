// Parts cover every row exactly once, hints only narrow, and buffers give what they hold.
#include "tables/scan_source.h"

#include <gmock/gmock.h>

#include <random>

#include "tables/tables_test_bench.h"

namespace kalam::tables {
namespace {

using catalog::TableType;
using testing::ElementsAre;

std::vector<int64_t> Ids(ScanSource& source, std::vector<ScanHint> hints = {}) {
  std::vector<int64_t> ids;
  const uint32_t id_column = 0;
  for (size_t part = 0; part < source.part_count(); ++part) {
    auto opened = source.OpenPart(part, {&id_column, 1}, hints);
    EXPECT_TRUE(opened.ok());
    while (*(*opened)->Next()) ids.push_back((*opened)->cells()[0].i);
  }
  return ids;
}

class ScanSourceTest : public TablesTest {
 protected:
  void Fill(const catalog::TablePtr& table, const std::vector<int64_t>& ids, size_t name_bytes) {
    // Random letters, so that compression does not make the table tiny.
    std::mt19937_64 random(72);
    std::string name(name_bytes, 'n');
    ReadScope scope = ScopeNow(table);
    TableWriter writer(*reader_);
    for (int64_t id : ids) {
      if (name_bytes > 2) {
        for (char& letter : name) letter = static_cast<char>('!' + random() % 90);
      }
      ASSERT_TRUE(writer.Insert(scope, Cells(id, name, id)).ok());
    }
    Commit(writer.Finish(scope.view.seq));
  }
  catalog::TablePtr table_ = MakeTable(BenchTable({1}, TableType::kShared));
};

TEST_F(ScanSourceTest, PartsCoverEveryRowOnce) {
  std::mt19937_64 random(71);
  std::vector<int64_t> ids;
  for (int i = 0; i < 10'000; ++i) {
    ids.push_back(static_cast<int64_t>(random() >> (random() % 60)));
  }
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  Fill(table_, ids, 300);
  for (bool flushed : {false, true}) {
    if (flushed) {
      ASSERT_TRUE(database_.store->FlushMemtables().ok());
    }
    auto source = MakeTableSource(*reader_, ScopeNow(table_), false);
    EXPECT_GT(source->part_count(), 1u);
    EXPECT_EQ(Ids(*source), ids);
    EXPECT_GT(source->estimated_rows(), static_cast<int64_t>(ids.size()) / 10);
    EXPECT_LT(source->estimated_rows(), static_cast<int64_t>(ids.size()) * 10);
  }
}

TEST_F(ScanSourceTest, StagedRowsBelongToSomePart) {
  std::vector<int64_t> ids;
  for (int64_t id = 100; id < 8'100; ++id) ids.push_back(id);
  Fill(table_, ids, 300);
  ReadScope scope = ScopeNow(table_);
  Transaction transaction("t", scope.view, *reader_, 1 << 20, 0);
  for (int64_t id : {1, 50, 9'000, 100'000}) {
    ASSERT_TRUE(transaction.writer().Insert(scope, Cells(id, "s", 1)).ok());
    ids.push_back(id);
  }
  std::sort(ids.begin(), ids.end());
  scope.transaction = &transaction;
  auto source = MakeTableSource(*reader_, scope, false);
  EXPECT_EQ(Ids(*source), ids);
}

TEST_F(ScanSourceTest, HintsNarrowTheKeyRange) {
  Fill(table_, {1, 2, 3, 4, 5}, 1);
  auto source = MakeTableSource(*reader_, ScopeNow(table_), false);
  using Op = ScanHint::Op;
  auto with = [&](Op op, Value value) { return Ids(*source, {{0, op, std::move(value)}}); };
  EXPECT_THAT(with(Op::kEqual, Value::BigInt(3)), ElementsAre(3));
  EXPECT_THAT(with(Op::kEqual, Value::Double(3)), ElementsAre(3));
  EXPECT_THAT(with(Op::kLess, Value::BigInt(3)), ElementsAre(1, 2));
  EXPECT_THAT(with(Op::kLessEqual, Value::BigInt(3)), ElementsAre(1, 2, 3));
  EXPECT_THAT(with(Op::kGreater, Value::BigInt(3)), ElementsAre(4, 5));
  EXPECT_THAT(with(Op::kGreaterEqual, Value::BigInt(3)), ElementsAre(3, 4, 5));
  // What the key's type cannot hold exactly narrows nothing: the engine checks every row anyway.
  EXPECT_EQ(with(Op::kLess, Value::Double(2.5)).size(), 5u);
  EXPECT_EQ(with(Op::kEqual, Value::Text("x")).size(), 5u);
  EXPECT_EQ(with(Op::kEqual, Value::Null()).size(), 5u);
  EXPECT_TRUE(Ids(*source, {{0, Op::kLess, Value::BigInt(2)}, {0, Op::kGreater, Value::BigInt(4)}})
                  .empty());
  EXPECT_EQ(Ids(*source, {{2, Op::kEqual, Value::BigInt(3)}}).size(), 5u);
}

TEST_F(ScanSourceTest, CellsComeInTheOrderAskedFor) {
  Fill(table_, {7}, 2);
  auto source = MakeTableSource(*reader_, ScopeNow(table_), false);
  ASSERT_EQ(source->columns().size(), 5u);
  EXPECT_TRUE(source->columns()[0].primary_key);
  const std::vector<uint32_t> columns = {2, 0, 1};
  auto part = source->OpenPart(0, columns, {});
  ASSERT_TRUE(*(*part)->Next());
  EXPECT_EQ((*part)->cells()[0].i, 7);
  EXPECT_EQ((*part)->cells()[2].text(), "nn");
  EXPECT_FALSE(*(*part)->Next());
  auto counting = source->OpenPart(0, {}, {});
  EXPECT_TRUE(*(*counting)->Next());
  EXPECT_FALSE(*(*counting)->Next());
}

TEST_F(ScanSourceTest, StreamsAndBuffers) {
  catalog::TablePtr stream = MakeTable(BenchTable({2}, TableType::kStream));
  Insert(stream, 1, "a", 1);
  Insert(stream, 2, "b", 2);
  auto source = MakeTableSource(*reader_, ScopeNow(stream), false);
  EXPECT_EQ(source->part_count(), 1u);
  EXPECT_THAT(Ids(*source), ElementsAre(1, 2));

  auto buffer = std::make_shared<RowBuffer>(
      ResultSchema{{.name = "id", .type = DataType::Of(TypeKind::kBigInt)}});
  buffer->Append({Value::BigInt(5)});
  buffer->Append({Value::BigInt(6)});
  EXPECT_THAT(Ids(*MakeBufferSource(buffer)), ElementsAre(5, 6));
}

}  // namespace
}  // namespace kalam::tables

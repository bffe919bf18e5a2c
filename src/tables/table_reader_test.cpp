// Scans in both orders and directions, resumed anywhere, with and without staged rows; checked
// against a model.
#include "tables/table_reader.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <random>

#include "tables/tables_test_bench.h"

namespace kalam::tables {
namespace {

using catalog::TableType;
using testing::ElementsAre;

class TableReaderTest : public TablesTest {
 protected:
  catalog::TablePtr table_ = MakeTable(BenchTable({1}, TableType::kUser));
};

TEST_F(TableReaderTest, ScansByKeyAndBySeq) {
  for (int64_t id : {3, 1, 2}) Insert(table_, id, "n", id);
  Update(table_, 3, "m", 3);
  Delete(table_, 1);
  ReadScope scope = ScopeNow(table_);
  ScanOptions options;
  EXPECT_THAT(Scan(scope, options), ElementsAre("2:n:2", "3:m:3"));
  options.include_deleted = true;
  EXPECT_THAT(Scan(scope, options), ElementsAre("-1:n:1", "2:n:2", "3:m:3"));
  options.descending = true;
  EXPECT_THAT(Scan(scope, options), ElementsAre("3:m:3", "2:n:2", "-1:n:1"));
  options.order = ScanOrder::kBySeq;
  EXPECT_THAT(Scan(scope, options), ElementsAre("-1:n:1", "3:m:3", "2:n:2"));
  options.descending = false;
  options.include_deleted = false;
  EXPECT_THAT(Scan(scope, options), ElementsAre("2:n:2", "3:m:3"));
}

TEST_F(TableReaderTest, BoundsAreHalfOpen) {
  std::vector<Seq> seqs;
  for (int64_t id = 1; id <= 5; ++id) seqs.push_back(Insert(table_, id, "n", id));
  ReadScope scope = ScopeNow(table_);
  ScanOptions options;
  options.key_lower = KeyOf(2);
  options.key_upper = KeyOf(4);
  EXPECT_THAT(Scan(scope, options), ElementsAre("2:n:2", "3:n:3"));
  options.key_lower = KeyOf(4);
  EXPECT_TRUE(Scan(scope, options).empty());
  ScanOptions by_seq;
  by_seq.order = ScanOrder::kBySeq;
  by_seq.seq_after = seqs[1];
  by_seq.seq_up_to = seqs[3];
  EXPECT_THAT(Scan(scope, by_seq), ElementsAre("3:n:3", "4:n:4"));
}

TEST_F(TableReaderTest, AViewDoesNotMove) {
  Insert(table_, 1, "a", 1);
  ReadScope scope = ScopeNow(table_);
  Update(table_, 1, "b", 2);
  Insert(table_, 2, "c", 3);
  EXPECT_THAT(Scan(scope, {}), ElementsAre("1:a:1"));
  EXPECT_EQ(Show(table_, Get(scope, 1)), "1:a:1");
  ScanOptions by_seq;
  by_seq.order = ScanOrder::kBySeq;
  EXPECT_THAT(Scan(scope, by_seq), ElementsAre("1:a:1"));
}

TEST_F(TableReaderTest, SeqBeforeLastCountsLiveRows) {
  std::vector<Seq> seqs;
  for (int64_t id = 1; id <= 5; ++id) seqs.push_back(Insert(table_, id, "n", id));
  Delete(table_, 5);
  ReadScope scope = ScopeNow(table_);
  EXPECT_EQ(*reader_->SeqBeforeLast(scope, 2), Seq{seqs[2].value - 1});
  EXPECT_EQ(*reader_->SeqBeforeLast(scope, 4), Seq{seqs[0].value - 1});
  EXPECT_EQ(*reader_->SeqBeforeLast(scope, 5), Seq{0});
  EXPECT_EQ(*reader_->SeqBeforeLast(scope, 0), scope.view.seq);
  EXPECT_EQ(*reader_->SeqBeforeLast(ScopeNow(table_, "nobody"), 1), Seq{0});
}

TEST_F(TableReaderTest, ACorruptRowIsAnError) {
  Insert(table_, 1, "a", 1);
  storage::WriteBatch batch;
  batch.Put(storage::Family::kRows,
            storage::RowKey(table_->id, storage::Scope::OfUser("ann"), KeyOf(2)), "");
  ASSERT_TRUE(database_.store->Write(std::move(batch), storage::Durability::kOs).ok());
  ReadScope scope = ScopeNow(table_);
  EXPECT_TRUE(reader_->Get(scope, KeyOf(2), false).status().Is(ErrorKind::Corruption));
  auto scan = reader_->OpenScan(scope, {});
  EXPECT_TRUE((*scan)->Next().ok());
  EXPECT_TRUE((*scan)->Next().status().Is(ErrorKind::Corruption));
}

TEST_F(TableReaderTest, AStatementDoesNotSeeTheRowsItStages) {
  for (int64_t id = 1; id <= 3; ++id) Insert(table_, id, "n", id);
  ReadScope scope = ScopeNow(table_);
  Transaction transaction("t", scope.view, *reader_, 1 << 20, 0);
  ReadScope overlaid = scope;
  overlaid.transaction = &transaction;
  ASSERT_TRUE(transaction.writer().Insert(scope, Cells(2000, "staged", 0)).ok());
  auto scan = reader_->OpenScan(overlaid, {});
  int64_t seen = 0;
  while (*(*scan)->Next()) {
    // INSERT INTO t SELECT id + 1000 FROM t, row by row.
    ASSERT_LT(++seen, 10);
    ASSERT_TRUE(transaction.writer().Insert(scope, Cells(1000 + seen, "copy", seen)).ok());
  }
  EXPECT_EQ(seen, 4);
  // A DELETE that drops the staged row it stands on.
  scan = reader_->OpenScan(overlaid, {});
  std::vector<std::string> names;
  while (*(*scan)->Next()) {
    StoredRow row = CopyOf(**scan);
    ASSERT_TRUE(transaction.writer().Delete(overlaid, row).ok());
    names.push_back(Show(table_, row));
  }
  EXPECT_EQ(names.size(), 8u);
  EXPECT_TRUE(Scan(overlaid, {}).empty());
}

/// What a scan over base and staged rows must give, kept in plain containers.
struct ModelRow {
  int64_t id;
  std::string text;
  int64_t order;  // by `_seq`
  bool deleted;
};

TEST_F(TableReaderTest, StagedRowsLieOverStoredOnesInEveryOrder) {
  std::mt19937_64 random(61);
  for (int round = 0; round < 15; ++round) {
    std::string user = "user" + std::to_string(round);
    std::map<int64_t, ModelRow> model;
    int64_t order = 0;
    {
      ReadScope scope = ScopeNow(table_, user);
      TableWriter writer(*reader_);
      for (int i = 0; i < 12; ++i) {
        int64_t id = static_cast<int64_t>(random() % 40);
        if (model.contains(id)) continue;
        ASSERT_TRUE(writer.Insert(scope, Cells(id, "base", i)).ok());
        model[id] = {id, std::to_string(id) + ":base:" + std::to_string(i), order++, false};
      }
      Commit(writer.Finish(scope.view.seq));
    }
    ReadScope scope = ScopeNow(table_, user);
    Transaction transaction("t", scope.view, *reader_, 1 << 20, 0);
    scope.transaction = &transaction;
    std::map<int64_t, int64_t> touch_order;  // of staged keys that are still staged
    const std::map<int64_t, ModelRow> base = model;
    for (int i = 0; i < 25; ++i) {
      int64_t id = static_cast<int64_t>(random() % 40);
      std::optional<StoredRow> current = Get(scope, id);
      if (!current) {
        ASSERT_TRUE(transaction.writer().Insert(scope, Cells(id, "staged", 100 + i)).ok());
      } else if (random() % 2) {
        ASSERT_TRUE(*transaction.writer().Update(scope, *current, Cells(id, "staged", 100 + i)));
      } else {
        ASSERT_TRUE(transaction.writer().Delete(scope, *current).ok());
        if (!base.contains(id)) {
          model.erase(id);
          touch_order.erase(id);
          continue;
        }
      }
      if (!touch_order.contains(id)) touch_order[id] = 1000 + order++;
      bool deleted = !Get(scope, id).has_value();
      const ModelRow* before = base.contains(id) ? &base.at(id) : nullptr;
      std::string text =
          deleted ? "-" + before->text : std::to_string(id) + ":staged:" + std::to_string(100 + i);
      model[id] = {id, text, touch_order[id], deleted};
    }
    for (bool include_deleted : {false, true}) {
      for (bool descending : {false, true}) {
        for (ScanOrder scan_order : {ScanOrder::kByKey, ScanOrder::kBySeq}) {
          std::vector<ModelRow> rows;
          for (const auto& [id, row] : model) {
            bool in_bounds = scan_order == ScanOrder::kBySeq || (id >= 5 && id < 35);
            if (in_bounds && (include_deleted || !row.deleted)) rows.push_back(row);
          }
          if (scan_order == ScanOrder::kBySeq) {
            std::sort(rows.begin(), rows.end(),
                      [](const ModelRow& a, const ModelRow& b) { return a.order < b.order; });
          }
          if (descending) std::reverse(rows.begin(), rows.end());
          std::vector<std::string> expected;
          for (const ModelRow& row : rows) expected.push_back(row.text);
          ScanOptions options;
          options.order = scan_order;
          options.descending = descending;
          options.include_deleted = include_deleted;
          if (scan_order == ScanOrder::kByKey) {
            options.key_lower = KeyOf(5);
            options.key_upper = KeyOf(35);
          }
          EXPECT_EQ(Scan(scope, options), expected);
          EXPECT_EQ(Scan(scope, options, 1), expected) << "resumed after every row";
          EXPECT_EQ(Scan(scope, options, 3), expected) << "resumed after every third row";
        }
      }
    }
  }
}

}  // namespace
}  // namespace kalam::tables

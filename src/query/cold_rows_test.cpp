// Statements over tables whose rows lie in segments: the same answers, and who computes them.
#include "query/query_fixture.h"
#include "segments/segment_record.h"
#include "tables/fake_cold_rows.h"

namespace kalam::query {
namespace {

class ColdQueryTest : public QueryTest {
 protected:
  void SetUp() override {
    QueryTest::SetUp();
    cold_rows_.emplace(*store_);
    MakeEngine({}, &*cold_rows_);
  }

  void Flush(const std::vector<int64_t>& ids) {
    std::vector<std::string> keys;
    for (int64_t id : ids) EncodeKey(Datum::BigInt(id), &keys.emplace_back());
    cold_rows_->Flush(*group_, notes_, storage::Scope::OfUser("ann"), keys,
                      tables::FakeColdRows::Eviction::kDone);
  }
  /// The record of a segment of ann's; its rows are not there.
  void AddSegmentRecord(uint64_t id, int64_t first, int64_t last, int64_t row_count) {
    const auto key = [](int64_t number) {
      std::string encoded;
      EncodeKey(Datum::BigInt(number), &encoded);
      return segments::SegmentKey(storage::Scope::OfUser("ann"), encoded);
    };
    segments::SegmentRecord record;
    record.table = notes_->id;
    record.segment_id = id;
    record.place = segments::SegmentPlace::OfScope(storage::Scope::OfUser("ann"));
    record.min_key = key(first);
    record.max_key = key(last);
    record.min_seq = {1};
    record.max_seq = {1000};
    record.row_count = row_count;
    record.schema_version = 1;
    record.size_bytes = 100;
    record.footer_bytes = 10;
    record.checksum = std::string(16, 'x');
    cold_rows_->NoteSegments();
    // Two row groups, cut in the middle of the keys.
    const std::vector<segments::RowGroup> groups{
        {record.min_key, row_count / 2, {1}, {1000}, {}},
        {key((first + last) / 2), row_count - row_count / 2, {1}, {1000}, {}}};
    Propose(
        {{storage::Family::kSegments, segments::RecordKey(record), segments::EncodeRecord(record)},
         {storage::Family::kSegments, segments::RowGroupsKey(record.table, id),
          segments::EncodeRowGroups(groups)}});
  }
  bool NeedsWorkerFor(std::string_view text) {
    return NeedsWorker(*engine_->Prepare(text, {}, Context()));
  }

  std::optional<tables::FakeColdRows> cold_rows_;
};

TEST_F(ColdQueryTest, StatementsDoNotSeeWhereRowsLie) {
  Run("INSERT INTO notes (id, name, score) VALUES (1, 'a', 10), (2, 'b', 20), (3, 'c', 30), "
      "(4, 'd', 40)");
  Flush({1, 3, 4});
  EXPECT_EQ(Run("UPDATE notes SET name = 'C' WHERE id = 3"), (Lines{"1"}));
  EXPECT_EQ(Run("SELECT id, name FROM notes"), (Lines{"1|a", "2|b", "3|C", "4|d"}));
  EXPECT_EQ(Run("SELECT id FROM notes ORDER BY id DESC LIMIT 2"), (Lines{"4", "3"}));
  EXPECT_EQ(Run("SELECT id FROM notes WHERE id IN (1, 2, 9)"), (Lines{"1", "2"}));
  EXPECT_EQ(Run("SELECT id FROM notes WHERE id > 1 AND id < 4"), (Lines{"2", "3"}));
  EXPECT_EQ(Run("SELECT id FROM notes ORDER BY _seq DESC LIMIT 3"), (Lines{"3", "4", "2"}));
  EXPECT_EQ(Run("SELECT count(*), sum(score) FROM notes WHERE name <> 'b'"), (Lines{"3|80"}));
  EXPECT_TRUE(Run("INSERT INTO notes (id, name) VALUES (4, 'x')")[0].starts_with("error"));
  EXPECT_EQ(Run("INSERT INTO notes (id, name) VALUES (4, 'x') ON CONFLICT (id) DO UPDATE SET "
                "name = excluded.name RETURNING id, name, score"),
            (Lines{"4|x|40"}));
  EXPECT_EQ(Run("DELETE FROM notes WHERE score < 25"), (Lines{"2"}));
  EXPECT_EQ(Run("SELECT id FROM notes"), (Lines{"3", "4"}));
  EXPECT_EQ(Run("SELECT id FROM notes WHERE _deleted = true"), (Lines{"1", "2"}));
  Flush({1, 2, 3, 4});
  EXPECT_EQ(Run("SELECT id FROM notes"), (Lines{"3", "4"}));
  EXPECT_EQ(Run("SELECT id FROM notes WHERE _deleted = true"), (Lines{"1", "2"}));
  EXPECT_EQ(Run("INSERT INTO notes (id, name) VALUES (1, 'again')"), (Lines{"1"}));
  EXPECT_EQ(Run("SELECT id, name FROM notes WHERE id < 4"), (Lines{"1|again", "3|C"}));
}

TEST_F(ColdQueryTest, ScansOfATableWithSegmentsAreRunOnAWorker) {
  EXPECT_FALSE(NeedsWorkerFor("SELECT * FROM notes LIMIT 1"));
  cold_rows_->NoteSegments();
  EXPECT_TRUE(NeedsWorkerFor("SELECT * FROM notes LIMIT 1"));
  EXPECT_FALSE(NeedsWorkerFor("SELECT * FROM notes WHERE id = 1"));
  EXPECT_FALSE(NeedsWorkerFor("INSERT INTO notes (id) VALUES (1)"));
  EXPECT_FALSE(NeedsWorkerFor("UPDATE notes SET name = 'a' WHERE id = 1"));
  EXPECT_FALSE(NeedsWorkerFor("SELECT 1"));
}

TEST_F(ColdQueryTest, AStatementThatReadsMemoryOnlyNeverOpensASegment) {
  Run("INSERT INTO notes (id, name) VALUES (1, 'a'), (2, 'b')");
  Flush({1});
  StatementContext in_memory = Context();
  in_memory.only_in_memory = true;
  const auto bound = engine_->Prepare("SELECT name FROM notes WHERE id = 1", {}, in_memory);
  ASSERT_TRUE(bound.ok());
  auto stream = engine_->OpenSelect(*bound, in_memory);
  ASSERT_TRUE(stream.ok());
  RowBuffer buffer((*stream)->schema());
  EXPECT_EQ((*stream)->Next(buffer, SIZE_MAX).status().kind(), ErrorKind::NotInMemory);
  for (const char* text : {"UPDATE notes SET name = 'c' WHERE id = 1",
                           "INSERT INTO notes (id, name) VALUES (1, 'c')"}) {
    const auto change = engine_->Prepare(text, {}, in_memory);
    ASSERT_TRUE(change.ok()) << text;
    EXPECT_EQ(engine_->EvaluateDml(*change, in_memory).status().kind(), ErrorKind::NotInMemory)
        << text;
  }
  // What is hot, and what is nowhere, needs no file.
  EXPECT_EQ(RunAs(in_memory, "SELECT name FROM notes WHERE id IN (2, 3)"), (Lines{"b"}));
  EXPECT_EQ(RunAs(in_memory, "INSERT INTO notes (id, name) VALUES (3, 'c')"), (Lines{"1"}));
  EXPECT_EQ(Run("SELECT name FROM notes WHERE id < 4"), (Lines{"a", "b", "c"}));
}

TEST_F(ColdQueryTest, ScansOfManyColdRowsGoToTheEngine) {
  Run("INSERT INTO notes (id, name, score) VALUES (1, 'a', 10), (2, 'b', 20)");
  AddSegmentRecord(1, 1, 60'000, 30'000);
  EXPECT_NE(Explain("SELECT count(*) FROM notes").find("native"), std::string::npos);
  AddSegmentRecord(2, 60'001, 99'000, 30'000);
  for (const char* text : {"SELECT count(*) FROM notes", "SELECT * FROM notes WHERE score > 3",
                           "SELECT * FROM notes ORDER BY score LIMIT 3"}) {
    EXPECT_NE(Explain(text).find("AnalyticalEngine: 60000 rows are in segments"), std::string::npos)
        << Explain(text);
  }
  for (const char* text :
       {"SELECT * FROM notes", "SELECT * FROM notes ORDER BY id DESC LIMIT 3",
        "SELECT * FROM notes WHERE id > 5", "SELECT * FROM notes WHERE _seq > 5"}) {
    EXPECT_NE(Explain(text).find("NativeScan"), std::string::npos) << text;
  }
  // The shape is the same for somebody who has no such rows.
  auto other = engine_->Explain("SELECT count(*) FROM notes", {}, Context("bob"), false, false);
  ASSERT_TRUE(other.ok());
  EXPECT_NE((*other)->rows()[1][1].datum().text().find("NativeScan"), std::string::npos);
  // No engine: natively all the same.
  EXPECT_EQ(Run("SELECT count(*), sum(score) FROM notes"), (Lines{"2|30"}));
  EXPECT_EQ(analytics_.source_count, 1u);
  auto answer = std::make_shared<RowBuffer>(ResultSchema(1));
  answer->Append({Value::BigInt(7)});
  analytics_.answer = answer;
  EXPECT_EQ(Run("SELECT count(*) FROM notes WHERE score > 1").size(), 1u);
  EXPECT_NE(analytics_.last_sql.find("kalam_scan(0)"), std::string::npos);
}

TEST_F(ColdQueryTest, ExplainTellsWhichSegmentsAReadLooksInto) {
  AddSegmentRecord(1, 1, 100, 100);
  AddSegmentRecord(2, 101, 200, 100);
  AddSegmentRecord(3, 150, 300, 100);
  EXPECT_NE(Explain("SELECT * FROM notes WHERE id = 50")
                .find("Segments: considered=1, pruned=2; row groups: considered=2, pruned=4"),
            std::string::npos);
  EXPECT_NE(Explain("SELECT * FROM notes WHERE id IN (160, 301)").find("considered=2, pruned=1"),
            std::string::npos);
  EXPECT_NE(Explain("SELECT * FROM notes WHERE id > 100").find("considered=2, pruned=1"),
            std::string::npos);
  EXPECT_NE(Explain("SELECT * FROM notes WHERE id = 20").find("row groups: considered=1, pruned=5"),
            std::string::npos);
  EXPECT_NE(Explain("SELECT * FROM notes WHERE id = 999").find("considered=0, pruned=3"),
            std::string::npos);
  EXPECT_EQ(Explain("SELECT * FROM shared WHERE id = 1").find("considered=1"), std::string::npos);
}

}  // namespace
}  // namespace kalam::query

// The newest rows of a stream's scope, and when a scope is due.
#include "tables/stream_buffers.h"

#include <gmock/gmock.h>

#include "tables/tables_test_bench.h"

namespace kalam::tables {
namespace {

using catalog::TableType;
using testing::ElementsAre;
using testing::IsEmpty;

class StreamBuffersTest : public TablesTest {
 protected:
  StreamBuffersTest()
      : observer_(group_->AddObserver(
            [this](const std::shared_ptr<const replication::CommittedBatch>& batch) {
              buffers_.OnCommitted(*batch);
            })) {}
  ~StreamBuffersTest() override { group_->RemoveObserver(observer_); }

  catalog::TablePtr MakeStream(uint32_t max_buffer) {
    catalog::TableDefinition table = BenchTable({2}, TableType::kStream);
    table.options.max_buffer = max_buffer;
    return MakeTable(table);
  }
  void InsertRange(const catalog::TablePtr& table, int64_t begin, int64_t end) {
    for (int64_t id = begin; id < end; ++id) Insert(table, id, "x", 0);
  }
  std::string PrefixOf(const catalog::TablePtr& table, std::string_view user) {
    return storage::ScopePrefix(table->id, ScopeFor(*table, user));
  }
  std::vector<std::string> Rows(const catalog::TablePtr& table, std::string_view user = "ann") {
    return Scan(ScopeNow(table, user), {});
  }

  StreamBuffers buffers_;
  const int observer_;
};

TEST_F(StreamBuffersTest, ReadersSeeTheNewestRowsAlone) {
  const catalog::TablePtr stream = MakeStream(3);
  InsertRange(stream, 1, 4);
  EXPECT_THAT(Rows(stream), ElementsAre("1:x:0", "2:x:0", "3:x:0"));
  Insert(stream, 9, "of bob", 0, "bob");
  InsertRange(stream, 4, 6);
  EXPECT_THAT(Rows(stream), ElementsAre("3:x:0", "4:x:0", "5:x:0"));
  EXPECT_THAT(Rows(stream, "bob"), ElementsAre("9:of bob:0"));
  ScanOptions descending;
  descending.descending = true;
  EXPECT_THAT(Scan(ScopeNow(stream), descending, 1), ElementsAre("5:x:0", "4:x:0", "3:x:0"));
  EXPECT_FALSE(Get(ScopeNow(stream), 2));
  EXPECT_TRUE(Get(ScopeNow(stream), 3));
  // What was not trimmed yet comes back when a newer row is deleted.
  Delete(stream, 5);
  EXPECT_THAT(Rows(stream), ElementsAre("2:x:0", "3:x:0", "4:x:0"));
}

TEST_F(StreamBuffersTest, AViewKeepsWhatWasNewestThen) {
  const catalog::TablePtr stream = MakeStream(2);
  InsertRange(stream, 1, 3);
  const ReadScope before = ScopeNow(stream);
  InsertRange(stream, 3, 5);
  EXPECT_THAT(Scan(before, {}), ElementsAre("1:x:0", "2:x:0"));
  EXPECT_THAT(Rows(stream), ElementsAre("3:x:0", "4:x:0"));
}

TEST_F(StreamBuffersTest, TrimmingDeletesTheOldestAndNothingElse) {
  const catalog::TablePtr stream = MakeStream(3);
  InsertRange(stream, 1, 8);
  Insert(stream, 9, "of bob", 0, "bob");
  const std::string ann = PrefixOf(stream, "ann");
  EXPECT_EQ(*TrimStream(*database_.store, ann, 3, clock_.NowUs()), 4);
  EXPECT_EQ(database_.Count(storage::Family::kChanges, stream->id), 4);
  EXPECT_EQ(*TrimStream(*database_.store, ann, 3, clock_.NowUs()), 0);
  EXPECT_EQ(*TrimStream(*database_.store, PrefixOf(stream, "bob"), 1, clock_.NowUs()), 0);
  EXPECT_THAT(Rows(stream), ElementsAre("5:x:0", "6:x:0", "7:x:0"));
  EXPECT_EQ(*TrimStream(*database_.store, ann, 1, clock_.NowUs()), 2);
  EXPECT_EQ(database_.store->properties().deleted_range_places, 0) << "nobody is held up by it";
  EXPECT_EQ(*TrimStream(*database_.store, PrefixOf(stream, "nobody"), 1, clock_.NowUs()), 0);
  // Expired rows are the business of the other eviction.
  InsertRange(stream, 10, 12);
  clock_.AdvanceUs(61'000'000);
  Insert(stream, 12, "x", 0);
  EXPECT_EQ(*TrimStream(*database_.store, ann, 1, clock_.NowUs()), 0);
  EXPECT_THAT(Rows(stream), ElementsAre("12:x:0"));
}

TEST_F(StreamBuffersTest, MoreRowsThanGoAtOnceGoInPieces) {
  const catalog::TablePtr stream = MakeStream(2);
  InsertRange(stream, 1, 2404);
  const std::string ann = PrefixOf(stream, "ann");
  EXPECT_EQ(*TrimStream(*database_.store, ann, 2, clock_.NowUs()), 2401);
  EXPECT_EQ(database_.Count(storage::Family::kChanges, stream->id), 2);
  EXPECT_THAT(Rows(stream), ElementsAre("2402:x:0", "2403:x:0"));
}

TEST_F(StreamBuffersTest, AScopeIsDueAtItsFirstWriteAndAfterAnEighthOfItsBuffer) {
  const catalog::TablePtr stream = MakeStream(16);
  EXPECT_THAT(buffers_.TablesWithDue(), IsEmpty());
  Insert(stream, 1, "x", 0);
  EXPECT_THAT(buffers_.TablesWithDue(), ElementsAre(stream->id));
  EXPECT_THAT(buffers_.TakeDue(stream->id), ElementsAre(PrefixOf(stream, "ann")));
  EXPECT_THAT(buffers_.TablesWithDue(), IsEmpty());
  InsertRange(stream, 2, 4);
  EXPECT_THAT(buffers_.TakeDue(stream->id), IsEmpty());
  Insert(stream, 4, "x", 0);
  EXPECT_THAT(buffers_.TakeDue(stream->id), ElementsAre(PrefixOf(stream, "ann")));
  EXPECT_THAT(buffers_.TakeDue(stream->id), IsEmpty());
  // A dropped table is nobody's business, nor is one without a buffer.
  InsertRange(stream, 5, 9);
  auto drop = std::make_shared<replication::Command>();
  drop->dropped_tables = {stream->id};
  Commit(drop);
  EXPECT_THAT(buffers_.TablesWithDue(), IsEmpty());
  catalog::TableDefinition plain = BenchTable({3}, TableType::kStream);
  Insert(MakeTable(plain), 1, "x", 0);
  EXPECT_THAT(buffers_.TablesWithDue(), IsEmpty());
}

TEST_F(StreamBuffersTest, MoreScopesThanAreCountedAreTrimmedAtTheirNextWrite) {
  const catalog::TablePtr stream = MakeStream(800);
  replication::RowMutation row;
  row.table = stream->id;
  row.is_stream = true;
  row.max_buffer = 800;
  const auto write = [&](int user) {
    row.scope = storage::Scope::OfUser("u" + std::to_string(user));
    replication::CommittedBatch batch;
    batch.changes.push_back({&row, Seq{1}});
    buffers_.OnCommitted(batch);
  };
  for (int user = 0; user < static_cast<int>(StreamBuffers::kScopesMax); ++user) write(user);
  EXPECT_EQ(buffers_.TakeDue(stream->id).size(), StreamBuffers::kScopesMax);
  write(1);
  EXPECT_THAT(buffers_.TakeDue(stream->id), testing::SizeIs(1)) << "it was forgotten with the rest";
}

}  // namespace
}  // namespace kalam::tables

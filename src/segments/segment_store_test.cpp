// Cold rows over segments: which version is given out, in which order, and what damage does.
#include <map>
#include <random>

#include "segments/segments_test_bench.h"

namespace kalam::segments {
namespace {

const SegmentPlace kAnn = SegmentPlace::OfScope(ScopeOf("ann"));
const SegmentPlace kMany = SegmentPlace::Many();

class SegmentStoreTest : public SegmentsTest {};

TEST_F(SegmentStoreTest, ATableWithoutSegmentsCostsNothing) {
  EXPECT_FALSE(segments_->MayHaveSegments(table_->id));
  EXPECT_EQ(*segments_->SegmentsVersion(table_->id, nullptr), 0u);
  EXPECT_EQ(Show("ann", 1), "none");
  EXPECT_TRUE(Drain("ann", segments_->OpenKeyScan(table_, ScopeOf("ann"), {}, nullptr)).empty());
  EXPECT_TRUE(Drain("ann", segments_->OpenSeqScan(table_, ScopeOf("ann"), {}, nullptr)).empty());
}

TEST_F(SegmentStoreTest, GetGivesTheNewestVersionOfItsScope) {
  AddSegment(kAnn, {{"ann", 1, "old", 10}, {"ann", 2, "two", 11}, {"ann", 5, "NULL", 12}});
  AddSegment(kMany, {{"ann", 1, "new", 20}, {"bob", 1, "bobs", 21}, {"carl", 9, "carls", 22}});
  AddSegment(kAnn, {{"ann", 2, "gone", 30, true}, {"ann", 7, "seven", 31}});
  EXPECT_EQ(Show("ann", 1), "new@20");
  EXPECT_EQ(Show("ann", 2), "-gone@30");
  EXPECT_EQ(Show("ann", 5), "NULL@12");
  EXPECT_EQ(Show("ann", 7), "seven@31");
  EXPECT_EQ(Show("ann", 9), "none");
  EXPECT_EQ(Show("bob", 1), "bobs@21");
  EXPECT_EQ(Show("bob", 2), "none");
  EXPECT_EQ(Show("carl", 9), "carls@22");
  EXPECT_EQ(*segments_->SegmentsVersion(table_->id, nullptr), 3u);
  EXPECT_EQ((*Get("ann", 1))->schema_version, 1u);
}

TEST_F(SegmentStoreTest, TheStoreIsReadOnASnapshot) {
  const SegmentRecord first = AddSegment(kAnn, {{"ann", 1, "old", 10}, {"ann", 2, "two", 11}});
  const storage::SnapshotPtr before = store_->TakeSnapshot();
  AddSegment(kAnn, {{"ann", 1, "new", 20}});
  auto change = SegmentChange::Begin(*store_, table_->id);
  ASSERT_TRUE(change.ok());
  ASSERT_TRUE(change->Retire(first, 50).ok());
  Apply(change->Take());
  EXPECT_EQ(Show("ann", 1, before), "old@10");
  EXPECT_EQ(Show("ann", 2, before), "two@11");
  EXPECT_EQ(Show("ann", 1), "new@20");
  EXPECT_EQ(Show("ann", 2), "none");
  EXPECT_EQ(*segments_->SegmentsVersion(table_->id, before), 1u);
  EXPECT_EQ(*segments_->SegmentsVersion(table_->id, nullptr), 3u);
  auto retired = ListRetired(*store_, 51, 10);
  ASSERT_TRUE(retired.ok());
  ASSERT_EQ(retired->size(), 1u);
  EXPECT_EQ(retired->front().path, "app/items/ann/batch-0.parquet");
}

TEST_F(SegmentStoreTest, AReaderOfMemoryOnlyLearnsWhatNoSegmentHas) {
  AddSegment(kAnn, {{"ann", 10, "ten", 10}, {"ann", 20, "twenty", 11}});
  const storage::SnapshotPtr in_memory = store_->OnlyInMemory(store_->TakeSnapshot());
  EXPECT_EQ(Show("ann", 5, in_memory), "none");
  EXPECT_EQ(Show("ann", 21, in_memory), "none");
  EXPECT_EQ(Get("ann", 10, in_memory).status().kind(), ErrorKind::NotInMemory);
  EXPECT_EQ(Show("ann", 10), "ten@10");
}

TEST_F(SegmentStoreTest, SegmentsAreKnownAgainAfterARestart) {
  AddSegment(kMany, {{"ann", 1, "one", 10}});
  OpenSegments(2 << 20);
  EXPECT_TRUE(segments_->MayHaveSegments(table_->id));
  EXPECT_FALSE(segments_->MayHaveSegments(TableId{8}));
  EXPECT_EQ(Show("ann", 1), "one@10");
}

TEST_F(SegmentStoreTest, PathsAndIdsAreNotUsedTwice) {
  const SegmentRecord first = AddSegment(kAnn, {{"ann", 1, "a", 1}});
  const SegmentRecord second = AddSegment(kAnn, {{"ann", 2, "a", 2}});
  EXPECT_EQ(second.path, "app/items/ann/batch-1.parquet");
  auto change = SegmentChange::Begin(*store_, table_->id);
  ASSERT_TRUE(change->Retire(first, 9).ok());
  ASSERT_TRUE(change->Retire(second, 9).ok());
  Apply(change->Take());
  const SegmentRecord third = AddSegment(kAnn, {{"ann", 3, "a", 3}});
  EXPECT_EQ(third.path, "app/items/ann/batch-2.parquet");
  EXPECT_EQ(third.segment_id, 3u);
  const auto folder = ReadFolder(*store_, table_->id, kAnn);
  ASSERT_TRUE(folder.ok() && folder->has_value());
  EXPECT_EQ((*folder)->manifest_version, 4u);
  auto elsewhere = SegmentChange::Begin(*store_, table_->id);
  EXPECT_TRUE(
      elsewhere->NextPath(kAnn, "local", "other/folder").status().Is(ErrorKind::InvalidOperation));
}

TEST_F(SegmentStoreTest, PreparedSegmentsAreNobodysUntilTheirChangeIsCommitted) {
  const std::vector<TestRow> first_rows{{"ann", 1, "one", 10}}, second_rows{{"ann", 2, "two", 11}};
  auto change = SegmentChange::Begin(*store_, table_->id);
  ASSERT_TRUE(change.ok());
  for (const auto& rows : {first_rows, second_rows}) {
    const std::string file = FileOf(rows, false, 16384);
    auto built = Build(kAnn, rows, file, 16384);
    ASSERT_TRUE(built.ok());
    const auto path = change->NextPath(kAnn, "local", "app/items/ann");
    ASSERT_TRUE(path.ok());
    Apply(change->Prepare(std::move(*built), 5));
    ASSERT_TRUE(storage_->Put(*path, file).ok());
  }
  segments_->NoteTable(table_->id);
  EXPECT_EQ(Show("ann", 1), "none");
  EXPECT_EQ(*segments_->SegmentsVersion(table_->id, nullptr), 0u);
  EXPECT_EQ(ReadHead(*store_, table_->id)->next_segment_id, 3u) << "ids are used up";
  const auto prepared = ListPrepared(*store_, table_->id);
  ASSERT_TRUE(prepared.ok());
  ASSERT_EQ(prepared->size(), 2u);
  EXPECT_EQ(prepared->back().segment_id, 2u);
  EXPECT_EQ(prepared->back().storage_id, "local");
  EXPECT_EQ(prepared->back().path, "app/items/ann/batch-1.parquet");

  Apply(change->Writes());
  EXPECT_EQ(Show("ann", 1), "one@10");
  EXPECT_EQ(Show("ann", 2), "two@11");
  EXPECT_EQ(*segments_->SegmentsVersion(table_->id, nullptr), 1u);
  EXPECT_TRUE(ListPrepared(*store_, table_->id)->empty());
  EXPECT_EQ(AddSegment(kAnn, {{"ann", 3, "a", 12}}).path, "app/items/ann/batch-2.parquet");
}

TEST_F(SegmentStoreTest, OfForgottenPreparedSegmentsOnlyTheIdStays) {
  const std::vector<TestRow> rows{{"ann", 1, "one", 10}};
  auto change = SegmentChange::Begin(*store_, table_->id);
  auto built = Build(kAnn, rows, FileOf(rows, false, 16384), 16384);
  ASSERT_TRUE(change.ok() && built.ok());
  ASSERT_TRUE(change->NextPath(kAnn, "local", "app/items/ann").ok());
  Apply(change->Prepare(std::move(*built), 5));
  const auto prepared = ListPrepared(*store_, table_->id);
  ASSERT_TRUE(prepared.ok() && prepared->size() == 1);
  Apply(ForgetPrepared(prepared->front()));
  auto left = store_->NewIterator(storage::Family::kSegments, {});
  left->SeekToFirst();
  ASSERT_TRUE(left->Valid());
  EXPECT_EQ(left->key(), HeadKey(table_->id));
  left->Next();
  EXPECT_FALSE(left->Valid());
  const SegmentRecord next = AddSegment(kAnn, {{"ann", 3, "a", 12}});
  EXPECT_EQ(next.segment_id, 2u);
  EXPECT_EQ(next.path, "app/items/ann/batch-0.parquet");
}

TEST_F(SegmentStoreTest, TheCacheStaysWithinItsBound) {
  std::vector<TestRow> rows;
  for (int64_t i = 0; i < 8192; ++i) rows.push_back({"ann", i, std::to_string(i * i), i + 1});
  AddSegment(kAnn, rows, 512);
  OpenSegments(40'000);
  for (int64_t i = 0; i < 8192; i += 100) {
    EXPECT_EQ(Show("ann", i), std::to_string(i * i) + "@" + std::to_string(i + 1));
    EXPECT_LE(account_.used_bytes(), 40'000);
  }
  OpenSegments(0);
  EXPECT_EQ(Show("ann", 100), "10000@101");
}

TEST_F(SegmentStoreTest, AMergeGivesTheNewestVersionsOfChosenSegments) {
  std::vector<SegmentRecord> chosen{
      AddSegment(kMany, {{"ann", 1, "a1", 1}, {"bob", 1, "b1", 2}, {"bob", 2, "b2", 3}}),
      AddSegment(kMany, {{"bob", 1, "b1 again", 9, true}, {"carl", 4, "c4", 8}})};
  AddSegment(kMany, {{"ann", 1, "not chosen", 20}});
  auto merge = segments_->OpenMerge(table_, chosen, nullptr);
  ASSERT_TRUE(merge.ok());
  std::vector<TestRow> rows;
  for (;;) {
    auto more = (*merge)->Next();
    ASSERT_TRUE(more.ok()) << more.status().ToString();
    if (!*more) break;
    rows.push_back(RowOf((*merge)->scope().user_id(), (*merge)->encoded_pk(), (*merge)->seq(),
                         (*merge)->deleted(), (*merge)->row()));
  }
  std::vector<TestRow> expected{{"ann", 1, "a1", 1},
                                {"bob", 1, "b1 again", 9, true},
                                {"bob", 2, "b2", 3},
                                {"carl", 4, "c4", 8}};
  Sort(&expected);
  EXPECT_EQ(rows, expected);
}

TEST_F(SegmentStoreTest, AScanPinsWhatItReads) {
  const SegmentRecord record = AddSegment(kAnn, {{"ann", 1, "a1", 1}});
  auto scan = segments_->OpenKeyScan(table_, ScopeOf("ann"), {}, nullptr);
  ASSERT_TRUE((*scan)->Next().ok());
  EXPECT_TRUE(segments_->IsPinned(table_->id, record.segment_id));
  auto pin = segments_->Pin(record);
  scan->reset();
  EXPECT_TRUE(segments_->IsPinned(table_->id, record.segment_id));
  pin.reset();
  EXPECT_FALSE(segments_->IsPinned(table_->id, record.segment_id));
}

TEST_F(SegmentStoreTest, ADamagedSegmentIsFencedAndNamedOthersStayReadable) {
  std::vector<TestRow> rows;
  for (int64_t i = 0; i < 1000; ++i) rows.push_back({"ann", i, "x" + std::to_string(i), i + 1});
  const SegmentRecord damaged = AddSegment(kAnn, rows, 100);
  AddSegment(kAnn, {{"ann", 5000, "other", 5000}});
  ASSERT_TRUE(segments_->Verify(damaged).ok());
  std::string& bytes = storage_->objects_[damaged.path];
  const std::string sound = bytes;
  std::mt19937 random(77);
  for (int round = 0; round < 60; ++round) {
    OpenSegments(2 << 20);
    bytes = sound;
    // Not the magic at both ends: nobody reads it.
    const size_t at = 4 + random() % (bytes.size() - 12);
    bytes[at] ^= static_cast<char>(1u << (random() % 8));
    std::vector<TestRow> seen;
    Status status;
    auto scan = segments_->OpenKeyScan(table_, ScopeOf("ann"), {.upper = KeyOf(4000)}, nullptr);
    ASSERT_TRUE(scan.ok());
    for (;;) {
      Result<bool> more = (*scan)->Next();
      status = more.status();
      if (!more.ok() || !*more) break;
      seen.push_back(
          RowOf("ann", (*scan)->encoded_pk(), (*scan)->seq(), (*scan)->deleted(), (*scan)->row()));
    }
    ASSERT_TRUE(status.Is(ErrorKind::Corruption)) << at << ": " << status.ToString();
    EXPECT_NE(status.message().find("app/items/ann/batch-0.parquet"), std::string::npos);
    EXPECT_NE(status.message().find("app.items"), std::string::npos);
    // What came before the damage was right.
    EXPECT_TRUE(std::equal(seen.begin(), seen.end(), rows.begin()));
    EXPECT_TRUE(Get("ann", 1).status().Is(ErrorKind::Corruption));
    EXPECT_TRUE(segments_->CheckFence(table_->id, damaged.segment_id).Is(ErrorKind::Corruption));
    EXPECT_EQ(metrics_.gauge("segments_fenced").value(), 1);
    EXPECT_EQ(Show("ann", 5000), "other@5000");
    EXPECT_TRUE(segments_->Verify(damaged).Is(ErrorKind::Corruption));
  }
}

TEST_F(SegmentStoreTest, AReaderOfRawBytesIsToldOfDamage) {
  std::vector<TestRow> rows;
  for (int64_t i = 0; i < 1000; ++i) rows.push_back({"ann", i, "x" + std::to_string(i), i + 1});
  const SegmentRecord record = AddSegment(kAnn, rows, 100);
  const auto check_all = [&]() -> Status {
    KALAM_ASSIGN_OR_RETURN(auto raw, segments_->RawSegments(table_, ScopeOf("ann"), nullptr));
    EXPECT_EQ(raw.size(), 1u);
    return raw.front().check(0, record.size_bytes);
  };
  EXPECT_TRUE(check_all().ok());
  // Every chunk is compared once.
  const int64_t read_before = storage_->bytes_read_;
  EXPECT_TRUE(check_all().ok());
  EXPECT_EQ(storage_->bytes_read_, read_before);
  std::string& bytes = storage_->objects_[record.path];
  const std::string sound = bytes;
  std::mt19937 random(78);
  for (int round = 0; round < 60; ++round) {
    OpenSegments(2 << 20);
    bytes = sound;
    bytes[4 + random() % (bytes.size() - 12)] ^= static_cast<char>(1u << (random() % 8));
    const Status status = check_all();
    ASSERT_TRUE(status.Is(ErrorKind::Corruption)) << status.ToString();
    EXPECT_NE(status.message().find("app/items/ann/batch-0.parquet of table app.items"),
              std::string::npos);
    EXPECT_TRUE(segments_->CheckFence(table_->id, record.segment_id).Is(ErrorKind::Corruption));
  }
  OpenSegments(2 << 20);
  bytes = sound.substr(0, sound.size() / 2);
  EXPECT_TRUE(check_all().Is(ErrorKind::Corruption));
}

/// A file with bytes of filters before its footer, as the engine puts them.
std::string WithFilters(std::string file, std::string_view filters) {
  uint32_t footer_size = 0;
  const size_t tail = file.size() - kParquetTailBytes;
  std::memcpy(&footer_size, file.data() + tail, sizeof footer_size);
  return file.insert(tail - footer_size, filters);
}

TEST_F(SegmentStoreTest, FiltersInAFileAreComparedForAReaderOfRawBytes) {
  std::vector<TestRow> rows;
  for (int64_t i = 0; i < 300; ++i) rows.push_back({"ann", i, "x" + std::to_string(i), i + 1});
  const std::string filters(64, 'f');
  SegmentRecord record = AddFile(kAnn, rows, WithFilters(FileOf(rows, false, 100), filters), 100);
  const auto filters_offset =
      record.size_bytes - kParquetTailBytes - record.footer_bytes - int64_t{64};
  std::string& bytes = storage_->objects_[record.path];
  ASSERT_EQ(bytes.substr(static_cast<size_t>(filters_offset), 64), filters);
  const auto check = [&]() -> Status {
    OpenSegments(2 << 20);
    KALAM_ASSIGN_OR_RETURN(auto raw, segments_->RawSegments(table_, ScopeOf("ann"), nullptr));
    // What comes before them does not ask for them.
    EXPECT_TRUE(raw.front().check(0, filters_offset).ok());
    return raw.front().check(filters_offset + 10, 20);
  };
  ASSERT_TRUE(record.filters_checksum.has_value());
  EXPECT_TRUE(check().ok());
  const auto damaged_at = static_cast<size_t>(filters_offset) + 63;
  bytes[damaged_at] ^= 4;
  EXPECT_TRUE(check().Is(ErrorKind::Corruption));
  // A record that does not know them: the checksum of the file speaks.
  record.filters_checksum.reset();
  Apply({{storage::Family::kSegments, RecordKey(record), EncodeRecord(record)}});
  EXPECT_TRUE(check().Is(ErrorKind::Corruption));
  bytes[damaged_at] ^= 4;
  EXPECT_TRUE(check().ok());
}

TEST_F(SegmentStoreTest, ACheckOfAPartReadsThatPartAlone) {
  std::vector<TestRow> rows;
  for (int64_t i = 0; i < 1000; ++i) rows.push_back({"ann", i, "x" + std::to_string(i), i + 1});
  const SegmentRecord record = AddSegment(kAnn, rows, 100);
  std::string& bytes = storage_->objects_[record.path];
  const int64_t middle = (record.size_bytes - record.footer_bytes) / 2;
  bytes[static_cast<size_t>(middle)] ^= 1;
  OpenSegments(2 << 20);
  auto raw = segments_->RawSegments(table_, ScopeOf("ann"), nullptr);
  ASSERT_TRUE(raw.ok());
  const int64_t read_before = storage_->bytes_read_;
  EXPECT_TRUE(raw->front().check(4, 10).ok());
  EXPECT_LT(storage_->bytes_read_ - read_before, record.footer_bytes + middle);
  EXPECT_TRUE(raw->front().check(middle, 1).Is(ErrorKind::Corruption));
}

TEST_F(SegmentStoreTest, AMissingOrShortFileIsAnErrorThatNamesIt) {
  const SegmentRecord record = AddSegment(kAnn, {{"ann", 1, "a1", 1}});
  const std::string bytes = storage_->objects_[record.path];
  storage_->objects_.erase(record.path);
  auto row = Get("ann", 1);
  EXPECT_TRUE(row.status().Is(ErrorKind::StorageIo)) << row.status().ToString();
  EXPECT_NE(row.status().message().find(record.path), std::string::npos);
  // The storage may have been away: it is asked again.
  storage_->objects_[record.path] = bytes;
  EXPECT_EQ(Show("ann", 1), "a1@1");
  OpenSegments(2 << 20);
  storage_->objects_[record.path] = bytes.substr(0, bytes.size() - 20);
  EXPECT_TRUE(Get("ann", 1).status().Is(ErrorKind::Corruption));
}

TEST_F(SegmentStoreTest, ABuilderRefusesWhatAFileDoesNotHold) {
  const std::vector<TestRow> rows{{"ann", 1, "a", 1}, {"ann", 2, "b", 2}};
  const std::string file = FileOf(rows, false, 100);
  EXPECT_TRUE(Build(kAnn, rows, file, 100).ok());
  auto other_seq = rows;
  other_seq[1].seq = 3;
  EXPECT_TRUE(Build(kAnn, other_seq, file, 100).status().Is(ErrorKind::Corruption));
  auto other_key = rows;
  other_key[1].id = 3;
  EXPECT_TRUE(Build(kAnn, other_key, file, 100).status().Is(ErrorKind::Corruption));
  auto other_state = rows;
  other_state[0].deleted = true;
  EXPECT_TRUE(Build(kAnn, other_state, file, 100).status().Is(ErrorKind::Corruption));
  std::string damaged = file;
  damaged[60] ^= 1;
  EXPECT_TRUE(Build(kAnn, rows, damaged, 100).status().Is(ErrorKind::Corruption));
  auto fewer = rows;
  fewer.pop_back();
  EXPECT_TRUE(Build(kAnn, fewer, file, 100).status().Is(ErrorKind::Corruption));
  EXPECT_TRUE(Build(kAnn, rows, file, 1).status().Is(ErrorKind::Corruption));
  EXPECT_TRUE(Build(kAnn, rows, file.substr(0, 40), 100).status().Is(ErrorKind::Corruption));
  EXPECT_TRUE(Build(kAnn, rows, "", 100).status().Is(ErrorKind::StorageIo));
  EXPECT_TRUE(Build(kAnn, {rows[1], rows[0]}, file, 100).status().Is(ErrorKind::InvalidOperation));
  EXPECT_TRUE(
      Build(kAnn, {{"bob", 1, "a", 1}}, file, 100).status().Is(ErrorKind::InvalidOperation));
}

TEST(RowGroupRowsTest, WideRowsGetSmallGroups) {
  EXPECT_EQ(RowGroupRowsFor(100), 8192);
  EXPECT_EQ(RowGroupRowsFor(0), 8192);
  EXPECT_EQ(RowGroupRowsFor(200), 4096);
  EXPECT_EQ(RowGroupRowsFor(1000), 1024);
  EXPECT_EQ(RowGroupRowsFor(6000), 128);
  EXPECT_EQ(RowGroupRowsFor(32 << 10), 32);
  EXPECT_EQ(RowGroupRowsFor(100 << 20), 16);
}

/// Random segments of three users, against a map of all versions.
class SegmentScanPropertyTest : public SegmentsTest, public testing::WithParamInterface<int> {
 protected:
  void MakeSegments(std::mt19937& random) {
    int64_t seq = 0;
    const int segment_count = 2 + static_cast<int>(random() % 5);
    for (int i = 0; i < segment_count; ++i) {
      const bool many = random() % 2 == 0;
      std::map<std::pair<std::string, int64_t>, TestRow> rows;
      const size_t count = 1 + random() % 400;
      for (size_t n = 0; n < count; ++n) {
        const std::string user = many ? kUsers[random() % 3] : "ann";
        const int64_t id = static_cast<int64_t>(random() % 500) - 250;
        rows[{user, id}] = {user, id, "v" + std::to_string(random() % 1000), 0, random() % 9 == 0};
      }
      std::vector<TestRow> list;
      for (auto& [key, row] : rows) list.push_back(row);
      // Seqs in an order that has nothing to do with that of the keys.
      std::shuffle(list.begin(), list.end(), random);
      for (TestRow& row : list) {
        row.seq = ++seq;
        newest_[row.user][row.id] = row;
      }
      AddSegment(many ? kMany : kAnn, list, 1 + random() % 90);
    }
    seq_max_ = seq;
  }
  static inline const std::string kUsers[3] = {"ann", "bob", "carl"};
  std::map<std::string, std::map<int64_t, TestRow>> newest_;
  int64_t seq_max_ = 0;
};

TEST_P(SegmentScanPropertyTest, ScansAgreeWithAMapOfAllVersions) {
  std::mt19937 random(static_cast<uint32_t>(GetParam()));
  MakeSegments(random);
  OpenSegments(static_cast<int64_t>(random() % 3) * 50'000);
  for (int round = 0; round < 40; ++round) {
    const std::string& user = kUsers[random() % 3];
    const auto& rows = newest_[user];
    const int64_t id = static_cast<int64_t>(random() % 500) - 250;
    const auto found = rows.find(id);
    EXPECT_EQ(Show(user, id), found == rows.end()
                                  ? "none"
                                  : (found->second.deleted ? "-" : "") + found->second.name + "@" +
                                        std::to_string(found->second.seq));

    ColdKeyRange keys;
    const int64_t low = static_cast<int64_t>(random() % 600) - 300;
    const int64_t high = low + static_cast<int64_t>(random() % 300);
    if (random() % 4 != 0) keys.lower = KeyOf(low);
    if (random() % 4 != 0) keys.upper = KeyOf(high);
    keys.descending = random() % 2 == 0;
    std::vector<TestRow> expected;
    for (const auto& [key, row] : rows) {
      if ((keys.lower.empty() || key >= low) && (keys.upper.empty() || key < high)) {
        expected.push_back(row);
      }
    }
    if (keys.descending) std::reverse(expected.begin(), expected.end());
    EXPECT_EQ(Drain(user, segments_->OpenKeyScan(table_, ScopeOf(user), keys, nullptr)), expected);

    ColdSeqRange seqs;
    seqs.after = Seq{static_cast<int64_t>(random() % static_cast<uint64_t>(seq_max_ + 1))};
    if (random() % 3 == 0) seqs.after = Seq{};
    if (random() % 2 == 0) {
      seqs.up_to = Seq{seqs.after.value + 1 + static_cast<int64_t>(random() % 300)};
    }
    seqs.descending = random() % 2 == 0;
    expected.clear();
    for (const auto& [key, row] : rows) {
      if (row.seq > seqs.after.value && (seqs.up_to.value == 0 || row.seq <= seqs.up_to.value)) {
        expected.push_back(row);
      }
    }
    std::sort(expected.begin(), expected.end(), [&](const TestRow& a, const TestRow& b) {
      return seqs.descending ? a.seq > b.seq : a.seq < b.seq;
    });
    EXPECT_EQ(Drain(user, segments_->OpenSeqScan(table_, ScopeOf(user), seqs, nullptr)), expected);
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, SegmentScanPropertyTest, testing::Range(1, 13));

TEST_F(SegmentStoreTest, ALongSeqScanGoesOnBehindItsWindow) {
  // More rows than the first windows hold, over keys that run against the order of `_seq`.
  std::vector<TestRow> first, second;
  constexpr int64_t kRows = 12'000;
  for (int64_t i = 0; i < kRows; ++i) {
    (i % 2 == 0 ? first : second).push_back({"ann", i, "n", (i * 7919) % 12'007 + 1});
  }
  AddSegment(kAnn, first, 512);
  AddSegment(kAnn, second, 512);
  for (const bool descending : {false, true}) {
    const auto rows = Drain(
        "ann", segments_->OpenSeqScan(table_, ScopeOf("ann"), {.descending = descending}, nullptr));
    ASSERT_EQ(rows.size(), static_cast<size_t>(kRows));
    for (size_t i = 1; i < rows.size(); ++i) {
      ASSERT_TRUE(descending ? rows[i].seq < rows[i - 1].seq : rows[i].seq > rows[i - 1].seq) << i;
    }
  }
}

}  // namespace
}  // namespace kalam::segments

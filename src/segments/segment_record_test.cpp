// Records of cold segments: their bytes, their order in the store, and the Bloom filter beside
// them.
#include "segments/segment_record.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "segments/bloom_filter.h"
#include "types/key_codec.h"

namespace kalam::segments {
namespace {

using storage::Family;
using storage::Scope;

std::string Pk(int64_t value) {
  std::string key;
  EncodeKey(Datum::BigInt(value), &key);
  return key;
}

SegmentRecord Record(uint64_t id, SegmentPlace place, std::string min_key, std::string max_key) {
  SegmentRecord record;
  record.table = TableId{7};
  record.segment_id = id;
  record.place = std::move(place);
  record.storage_id = "local";
  record.path = "app/items/batch-" + std::to_string(id) + ".parquet";
  record.min_key = std::move(min_key);
  record.max_key = std::move(max_key);
  record.min_pk = Pk(1);
  record.max_pk = Pk(9);
  record.min_seq = Seq{100};
  record.max_seq = Seq{200};
  record.row_count = 9;
  record.tombstone_count = 2;
  record.size_bytes = 5000;
  record.footer_bytes = 700;
  record.footer_checksum = 0xFEDCBA9876543210u;
  record.filters_checksum = 0x0123456789ABCDEFu;
  record.checksum = std::string(16, 'c');
  record.schema_version = 3;
  record.created_at_us = 1'700'000'000'000'000;
  record.evicting = true;
  return record;
}

class SegmentRecordTest : public testing::Test {
 protected:
  SegmentRecordTest() {
    char pattern[] = "/tmp/kalam-segments-XXXXXX";
    directory_ = mkdtemp(pattern);
    storage::StoreOptions options;
    options.path = directory_ + "/store";
    auto opened = storage::Store::Open(options);
    EXPECT_TRUE(opened.ok());
    store_ = std::move(opened).value();
  }
  ~SegmentRecordTest() override {
    store_.reset();
    std::filesystem::remove_all(directory_);
  }
  void Put(const SegmentRecord& record) { Put(RecordKey(record), EncodeRecord(record)); }
  void Put(const std::string& key, const std::string& value) {
    storage::WriteBatch batch;
    batch.Put(Family::kSegments, key, value);
    EXPECT_TRUE(store_->Write(std::move(batch), storage::Durability::kOs).ok());
  }
  static std::vector<uint64_t> Ids(const Result<std::vector<SegmentRecord>>& records) {
    EXPECT_TRUE(records.ok()) << records.status().ToString();
    std::vector<uint64_t> ids;
    if (records.ok()) {
      for (const SegmentRecord& record : *records) ids.push_back(record.segment_id);
    }
    return ids;
  }

  std::string directory_;
  std::unique_ptr<storage::Store> store_;
};

TEST_F(SegmentRecordTest, ARecordComesBackAsItWas) {
  const Scope ann = Scope::OfUser("ann");
  const SegmentRecord written =
      Record(5, SegmentPlace::OfScope(ann), SegmentKey(ann, Pk(1)), SegmentKey(ann, Pk(9)));
  auto read = DecodeRecord(RecordKey(written), EncodeRecord(written));
  ASSERT_TRUE(read.ok()) << read.status().ToString();
  EXPECT_EQ(read->table.value, 7u);
  EXPECT_EQ(read->segment_id, 5u);
  EXPECT_EQ(read->place, written.place);
  EXPECT_EQ(read->path, "app/items/batch-5.parquet");
  EXPECT_EQ(read->FileName(), "batch-5.parquet");
  EXPECT_EQ(read->min_key, written.min_key);
  EXPECT_EQ(read->max_pk, written.max_pk);
  EXPECT_EQ(read->max_seq.value, 200);
  EXPECT_EQ(read->tombstone_count, 2);
  EXPECT_EQ(read->footer_checksum, 0xFEDCBA9876543210u);
  EXPECT_EQ(read->filters_checksum, 0x0123456789ABCDEFu);
  EXPECT_EQ(read->schema_version, 3u);
  EXPECT_TRUE(read->evicting);
}

TEST_F(SegmentRecordTest, EveryShortenedRecordIsCorruption) {
  const SegmentRecord written = Record(5, SegmentPlace::Many(), "a", "b");
  const std::string bytes = EncodeRecord(written);
  SegmentRecord older = written;
  older.filters_checksum.reset();
  const size_t older_size = EncodeRecord(older).size();
  for (size_t size = 0; size < bytes.size(); ++size) {
    const auto read = DecodeRecord(RecordKey(written), bytes.substr(0, size));
    if (size == older_size) {
      // What records were before they knew of filters.
      ASSERT_TRUE(read.ok()) << read.status().ToString();
      EXPECT_FALSE(read->filters_checksum.has_value());
      continue;
    }
    EXPECT_TRUE(read.status().Is(ErrorKind::Corruption)) << size;
  }
  const std::string groups = EncodeRowGroups({{"a", 10, Seq{1}, Seq{2}, {1, 2}}});
  for (size_t size = 0; size < groups.size(); ++size) {
    EXPECT_TRUE(DecodeRowGroups(groups.substr(0, size)).status().Is(ErrorKind::Corruption)) << size;
  }
}

TEST_F(SegmentRecordTest, EveryShortenedMarkOfAPreparedSegmentIsCorruption) {
  const std::string key = PreparedKey(TableId{7}, 300);
  const std::string bytes = EncodePrepared({TableId{7}, 300, "cold", "app/batch-1.parquet", 40});
  for (size_t size = 0; size < bytes.size(); ++size)
    EXPECT_TRUE(DecodePrepared(key, bytes.substr(0, size)).status().Is(ErrorKind::Corruption))
        << size;
  EXPECT_TRUE(DecodePrepared(key.substr(1), bytes).status().Is(ErrorKind::Corruption));
  const auto read = DecodePrepared(key, bytes);
  ASSERT_TRUE(read.ok()) << read.status().ToString();
  EXPECT_EQ(read->table, TableId{7});
  EXPECT_EQ(read->segment_id, 300u);
  EXPECT_EQ(read->storage_id, "cold");
  EXPECT_EQ(read->path, "app/batch-1.parquet");
  EXPECT_EQ(read->bloom_block_count, 40u);
}

TEST_F(SegmentRecordTest, AScopeSeesItsOwnSegmentsAndThoseThatReachOverIt) {
  const Scope ann = Scope::OfUser("ann"), bob = Scope::OfUser("bob");
  Put(Record(1, SegmentPlace::OfScope(ann), SegmentKey(ann, Pk(1)), SegmentKey(ann, Pk(5))));
  Put(Record(2, SegmentPlace::OfScope(bob), SegmentKey(bob, Pk(1)), SegmentKey(bob, Pk(5))));
  Put(Record(3, SegmentPlace::Many(), std::string(1, '\0'), std::string(20, '\xFF')));
  // Only ann's rows 3 to 4.
  Put(Record(4, SegmentPlace::Many(), SegmentKey(ann, Pk(3)), SegmentKey(ann, Pk(4))));
  Put(Record(260, SegmentPlace::OfScope(ann), SegmentKey(ann, Pk(6)), SegmentKey(ann, Pk(9))));
  EXPECT_EQ(Ids(ListSegmentsOfScope(*store_, TableId{7}, ann)),
            (std::vector<uint64_t>{1, 260, 3, 4}));
  EXPECT_EQ(Ids(ListSegmentsOfScope(*store_, TableId{7}, bob)), (std::vector<uint64_t>{2, 3}));
  EXPECT_EQ(Ids(ListSegmentsOfScope(*store_, TableId{8}, bob)), (std::vector<uint64_t>{}));
  EXPECT_EQ(Ids(ListSegments(*store_, TableId{7}, SegmentPlace::Many())),
            (std::vector<uint64_t>{3, 4}));
  EXPECT_EQ(Ids(ListSegments(*store_, TableId{7})).size(), 5u);
}

TEST_F(SegmentRecordTest, ASnapshotShowsTheSegmentsOfItsTime) {
  const Scope ann = Scope::OfUser("ann");
  Put(Record(1, SegmentPlace::OfScope(ann), "a", "b"));
  Put(HeadKey(TableId{7}), EncodeHead({1, 2}));
  const storage::SnapshotPtr before = store_->TakeSnapshot();
  Put(Record(2, SegmentPlace::OfScope(ann), "a", "b"));
  Put(HeadKey(TableId{7}), EncodeHead({2, 3}));
  EXPECT_EQ(Ids(ListSegmentsOfScope(*store_, TableId{7}, ann, before)).size(), 1u);
  EXPECT_EQ(ReadHead(*store_, TableId{7}, before)->version, 1u);
  EXPECT_EQ(ReadHead(*store_, TableId{7})->version, 2u);
  EXPECT_EQ(ReadHead(*store_, TableId{8})->version, 0u);
}

TEST_F(SegmentRecordTest, ADroppedTablesFilesOutliveItsRecords) {
  Put(Record(1, SegmentPlace::Many(), "a", "b"));
  Put(Record(2, SegmentPlace::Many(), "a", "b"));
  Put(PreparedKey(TableId{7}, 3),
      EncodePrepared({TableId{7}, 3, "local", "app/items/batch-3.parquet", 1}));
  auto writes = RetireFilesOfTable(*store_, TableId{7}, 5000);
  ASSERT_TRUE(writes.ok());
  ASSERT_EQ(writes->size(), 3u);
  for (const catalog::RecordWrite& write : *writes) Put(write.key, *write.value);
  Put(RecordKey(Record(9, SegmentPlace::Many(), "a", "b")), "x");
  EXPECT_TRUE(ListRetired(*store_, 5000, 10)->empty());  // not before its time
  auto retired = ListRetired(*store_, 5001, 10);
  ASSERT_TRUE(retired.ok());
  ASSERT_EQ(retired->size(), 3u);
  EXPECT_EQ((*retired)[2].path, "app/items/batch-3.parquet");
  EXPECT_EQ((*retired)[1].segment_id, 2u);
  EXPECT_EQ((*retired)[1].table.value, 7u);
  EXPECT_EQ((*retired)[1].path, "app/items/batch-2.parquet");
  EXPECT_EQ(ListRetired(*store_, 5001, 1)->size(), 1u);
  EXPECT_EQ(ForgetRetired((*retired)[0]).key, (*writes)[0].key);
  EXPECT_EQ(ListTablesWithSegments(*store_)->size(), 1u);  // retired files are no table's
}

TEST(BloomFilterTest, EveryKeyIsFoundAndFewOthersAre) {
  constexpr int64_t kKeys = 50'000;
  std::vector<uint64_t> hashes;
  for (int64_t i = 0; i < kKeys; ++i) hashes.push_back(BloomHash(Pk(i * 3)));
  const std::vector<std::string> blocks = BuildBloomBlocks(hashes);
  const auto count = static_cast<uint32_t>(blocks.size());
  EXPECT_EQ(count, BloomBlockCount(kKeys));
  EXPECT_EQ(count, 16u);  // 500,000 bits in blocks of 32,768
  int64_t false_positives = 0;
  for (int64_t i = 0; i < kKeys; ++i) {
    const uint64_t present = BloomHash(Pk(i * 3)), absent = BloomHash(Pk(i * 3 + 1));
    ASSERT_TRUE(BloomBlockMayContain(blocks[BloomBlockOf(present, count)], present)) << i;
    false_positives += BloomBlockMayContain(blocks[BloomBlockOf(absent, count)], absent) ? 1 : 0;
  }
  EXPECT_LT(false_positives, kKeys / 50);  // 1 % expected
  EXPECT_TRUE(BloomBlockMayContain("not a block", 1));
}

}  // namespace
}  // namespace kalam::segments

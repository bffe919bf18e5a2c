// One row of a segment: the same whatever is decoded for it, and no more read than it takes.
#include <map>
#include <random>

#include "segments/segments_test_bench.h"

namespace kalam::segments {
namespace {

const SegmentPlace kAnn = SegmentPlace::OfScope(ScopeOf("ann"));
const SegmentPlace kMany = SegmentPlace::Many();

class SegmentRowTest : public SegmentsTest {
 protected:
  /// The cells of id and name that a reader of `wanted` gets, "-" in front of a tombstone.
  std::string ShowCells(int64_t id, std::vector<uint32_t> wanted, Seq* seq = nullptr) {
    auto row = segments_->Get(table_, ScopeOf("ann"), KeyOf(id), nullptr, wanted);
    if (!row.ok()) return row.status().ToString();
    if (!*row) return "none";
    std::vector<Datum> cells;
    EXPECT_TRUE(DecodeRow(table_->layout(), (*row)->row, &cells).ok());
    if (seq != nullptr) *seq = (*row)->seq;
    return ((*row)->deleted ? "-" : "") + (cells[0].is_null ? "?" : std::to_string(cells[0].i)) +
           "," + (cells[1].is_null ? "?" : std::string(cells[1].text()));
  }
  static std::vector<TestRow> ManyRows(int64_t count) {
    std::vector<TestRow> rows;
    for (int64_t i = 0; i < count; ++i) {
      rows.push_back({"ann", i, "a name that takes some bytes " + std::to_string(i * 7919), i + 1});
    }
    return rows;
  }
};

TEST_F(SegmentRowTest, AReadTakesBytesOfOneGroupAndThoseOfItsColumnsAlone) {
  const SegmentRecord record = AddSegment(kAnn, ManyRows(4096), 256);
  EXPECT_EQ(Show("ann", 700), "a name that takes some bytes 5543300@701");
  EXPECT_EQ(storage_->reads_, 2);  // the footer and a row group
  EXPECT_LT(storage_->bytes_read_ - record.footer_bytes, record.size_bytes / 8);
  // Where keys are is known now.
  EXPECT_EQ(ShowCells(701, {0}), "701,?");
  EXPECT_EQ(storage_->reads_, 2);
  EXPECT_EQ(Show("ann", 5000), "none");
  EXPECT_EQ(storage_->reads_, 2);
  EXPECT_EQ(ShowCells(701, {1}), "?,a name that takes some bytes 5551219");
  EXPECT_EQ(storage_->reads_, 3);
}

TEST_F(SegmentRowTest, AGroupThatIsAskedAgainIsKeptWhole) {
  AddSegment(kAnn, ManyRows(4096), 256);
  for (int64_t id = 512; id < 516; ++id) Show("ann", id);
  const int64_t reads = storage_->reads_;
  for (int64_t id = 512; id < 768; ++id) {
    EXPECT_EQ(Show("ann", id), "a name that takes some bytes " + std::to_string(id * 7919) + "@" +
                                   std::to_string(id + 1));
  }
  EXPECT_EQ(storage_->reads_, reads);
  EXPECT_EQ(ShowCells(600, {2}), "?,?");
  EXPECT_EQ(storage_->reads_, reads);
  segments_->ReleaseMemory();
  EXPECT_EQ(account_.used_bytes(), 0);
  EXPECT_EQ(ShowCells(600, {1}), "?,a name that takes some bytes 4751400");
  EXPECT_EQ(storage_->reads_, reads + 2);
}

TEST_F(SegmentRowTest, SeqIsExactWhenItIsWantedAndWhereItDecides) {
  // The second segment lies within the time of the first one.
  AddSegment(kAnn, {{"ann", 1, "old", 10}, {"ann", 2, "two", 50}, {"ann", 4, "newest", 60}});
  AddSegment(kAnn, {{"ann", 1, "new", 20}, {"ann", 2, "older", 30}, {"ann", 4, "gone", 40, true}});
  AddSegment(kAnn, {{"ann", 1, "newer still", 90, true}, {"ann", 7, "seven", 91}});
  EXPECT_EQ(ShowCells(1, {1}), "-?,newer still");
  EXPECT_EQ(ShowCells(2, {1}), "?,two");
  EXPECT_EQ(ShowCells(2, {0}), "2,?");
  EXPECT_EQ(ShowCells(4, {1}), "?,newest");
  Seq seq;
  EXPECT_EQ(ShowCells(7, {2}, &seq), "?,?");
  EXPECT_EQ(seq.value, 91);
  EXPECT_EQ(ShowCells(4, {3}, &seq), "?,?");
  EXPECT_EQ(ShowCells(3, {1}), "none");
}

TEST_F(SegmentRowTest, WideRowsAndNullsStandWhereTheyWerePut) {
  std::vector<TestRow> rows;
  for (int64_t i = 0; i < 60; ++i) {
    // Over 128 KB, so that a page takes several blocks of zstd.
    std::string name(static_cast<size_t>(i * 997 % 9000), static_cast<char>('a' + i % 26));
    for (size_t at = 0; at < name.size(); ++at)
      name[at] = static_cast<char>(name[at] ^ (at * i % 7));
    rows.push_back({"ann", i * 2, i % 7 == 3 ? "NULL" : name, i + 1});
  }
  AddSegment(kAnn, rows, 40);
  OpenSegments(0);
  for (const TestRow& row : rows) {
    EXPECT_EQ(Show("ann", row.id), row.name + "@" + std::to_string(row.seq));
    EXPECT_EQ(Show("ann", row.id + 1), "none");
  }
}

TEST_F(SegmentRowTest, DamageInTheGroupOfARowIsFenced) {
  const SegmentRecord record = AddSegment(kAnn, ManyRows(1000), 100);
  std::string& bytes = storage_->objects_[record.path];
  const std::string sound = bytes;
  std::mt19937 random(79);
  int refused = 0;
  for (int round = 0; round < 200; ++round) {
    OpenSegments(2 << 20);
    bytes = sound;
    bytes[4 + random() % (bytes.size() - 12)] ^= static_cast<char>(1u << (random() % 8));
    const int64_t id = static_cast<int64_t>(random() % 1000);
    const std::string name = "a name that takes some bytes " + std::to_string(id * 7919);
    const std::string shown = ShowCells(id, {1});
    if (shown == "?," + name) continue;
    ++refused;
    EXPECT_NE(shown.find("app/items/ann/batch-0.parquet"), std::string::npos) << shown;
    EXPECT_TRUE(segments_->CheckFence(table_->id, record.segment_id).Is(ErrorKind::Corruption));
  }
  EXPECT_GT(refused, 10);
}

/// Random segments of three users in groups and pages of random sizes, every key asked for.
class SegmentRowPropertyTest : public SegmentRowTest, public testing::WithParamInterface<int> {};

TEST_P(SegmentRowPropertyTest, EveryKeyIsFoundAndNoOther) {
  std::mt19937 random(static_cast<uint32_t>(GetParam()));
  const std::string users[3] = {"ann", "bob", "carl"};
  std::map<std::string, std::map<int64_t, TestRow>> newest;
  int64_t seq = 0;
  const int64_t spread = GetParam() % 2 == 0 ? 1 : 1'000'003;  // keys that pack well, and others
  for (int i = 0; i < 4; ++i) {
    const bool many = random() % 2 == 0;
    std::map<std::pair<std::string, int64_t>, TestRow> rows;
    const size_t count = 1 + random() % 300;
    for (size_t n = 0; n < count; ++n) {
      const std::string user = many ? users[random() % 3] : "ann";
      const int64_t id = (static_cast<int64_t>(random() % 400) - 200) * spread;
      const std::string name = random() % 6 == 0 ? "NULL" : "v" + std::to_string(random() % 1000);
      rows[{user, id}] = {user, id, name, 0, random() % 9 == 0};
    }
    std::vector<TestRow> list;
    for (auto& [key, row] : rows) list.push_back(row);
    std::shuffle(list.begin(), list.end(), random);
    for (TestRow& row : list) {
      row.seq = ++seq;
      newest[row.user][row.id] = row;
    }
    AddSegment(many ? kMany : kAnn, list, 1 + random() % 90, 1 + random() % 40);
  }
  OpenSegments(static_cast<int64_t>(random() % 3) * 20'000);
  for (const std::string& user : users) {
    for (int64_t id = -203; id < 203; ++id) {
      const auto found = newest[user].find(id * spread);
      const std::string shown = Show(user, id * spread);
      if (found == newest[user].end()) {
        EXPECT_EQ(shown, "none") << user << " " << id;
        continue;
      }
      const TestRow& row = found->second;
      EXPECT_EQ(shown, (row.deleted ? "-" : "") + row.name + "@" + std::to_string(row.seq));
      if (user != "ann") continue;
      const std::string name = row.name == "NULL" ? "?" : row.name;
      EXPECT_EQ(ShowCells(row.id, {1}), (row.deleted ? "-?," : "?,") + name);
      EXPECT_EQ(ShowCells(row.id, {0}), (row.deleted ? "-" : "") + std::to_string(row.id) + ",?");
    }
  }
}

TEST_P(SegmentRowPropertyTest, KeysStandWhereTheirRowsAre) {
  std::mt19937 random(static_cast<uint32_t>(GetParam()) + 1000);
  const std::string users[4] = {"ann", "bob", "carl", "dora"};
  const int64_t spread = GetParam() % 2 == 0 ? 1 : 1'000'003;
  const bool many = GetParam() % 3 == 0;
  std::vector<TestRow> rows;
  for (const std::string& user : users) {
    if (user == "carl" || (!many && user != "ann")) continue;
    for (int64_t id = -200; id < 200; ++id) {
      if (random() % 3 == 0) continue;
      rows.push_back({user, id * spread, "name", static_cast<int64_t>(rows.size() + 1)});
    }
  }
  const SegmentRecord record =
      AddSegment(many ? kMany : kAnn, rows, 1 + random() % 90, 1 + random() % 40);
  Sort(&rows);
  OpenSegments(static_cast<int64_t>(random() % 3) * 20'000);
  for (const std::string& user : users) {
    auto keys = segments_->OpenKeys(table_, ScopeOf(user), record, nullptr);
    ASSERT_TRUE(keys.ok()) << keys.status().ToString();
    EXPECT_FALSE((*keys)->RunOf(record.row_count).ok());
    EXPECT_FALSE((*keys)->RunOf(-1).ok());
    for (int64_t row = 0; row < record.row_count;) {
      const auto run = (*keys)->RunOf(row);
      ASSERT_TRUE(run.ok());
      ASSERT_EQ(run->row_begin, row);
      ASSERT_GT(run->row_end, row);
      // Every third key that there might be.
      std::vector<std::string> asked;
      std::vector<uint32_t> expected;
      for (int64_t id = -203; id < 203; id += 3) {
        const std::string key = KeyOf(id * spread);
        if (!run->has_scope || key < run->key_lower ||
            (!run->key_upper.empty() && key >= run->key_upper)) {
          continue;
        }
        asked.push_back(key);
      }
      for (; row < run->row_end; ++row) {
        const TestRow& each = rows[static_cast<size_t>(row)];
        if (each.user != user) continue;
        EXPECT_TRUE(run->has_scope);
        const bool is_asked = (each.id / spread + 203) % 3 == 0;
        EXPECT_EQ(is_asked, std::binary_search(asked.begin(), asked.end(), KeyOf(each.id)));
        if (is_asked) expected.push_back(static_cast<uint32_t>(row - run->row_begin));
      }
      const auto found = (*keys)->Find(*run, asked);
      ASSERT_TRUE(found.ok()) << found.status().ToString();
      EXPECT_EQ(*found, expected) << user;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, SegmentRowPropertyTest, testing::Range(1, 13));

}  // namespace
}  // namespace kalam::segments

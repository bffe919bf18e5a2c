// Sources that offer their cold rows as Parquet files: whatever the mix of hot and cold, the engine
// finds the rows that a merge row by row finds.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <set>

#include "analytics/engine.h"
#include "analytics/test_sources.h"
#include "base/clock.h"
#include "base/id_generators.h"
#include "types/key_codec.h"

namespace kalam::analytics {
namespace {

using testing::HasSubstr;

/// Columns of the source. Files of the first schema version have `grp` as INT and neither `note`
/// nor `level`.
enum Place : uint32_t { kId, kGrp, kBody, kNote, kLevel, kSeq, kDeleted };

ResultSchema SourceColumns() {
  return {Column("id", DataType::Of(TypeKind::kBigInt)),
          Column("grp", DataType::Of(TypeKind::kBigInt)),
          Column("body", DataType::Of(TypeKind::kText)),
          Column("note", DataType::Of(TypeKind::kText)),
          Column("level", DataType::Of(TypeKind::kInt)),
          Column("_seq", DataType::Of(TypeKind::kBigInt)),
          Column("_deleted", DataType::Of(TypeKind::kBoolean))};
}
const std::vector<int32_t> kFieldIds = {1, 2, 3, 4, 5, 0x7FFF0001, 0x7FFF0002};
constexpr int32_t kUserFieldId = 0x7FFF0003;
constexpr int64_t kGroupRows = 64;

struct Row {
  std::string user;
  int64_t id = 0;
  int64_t grp = 0;
  std::string body;
  std::optional<std::string> note;
  int64_t level = 0;
  int64_t seq = 0;
  bool deleted = false;

  std::vector<Value> Cells() const {
    return {Value::BigInt(id),
            deleted ? Value::Null(TypeKind::kBigInt) : Value::BigInt(grp),
            deleted ? Value::Null(TypeKind::kText) : Value::Text(body),
            note && !deleted ? Value::Text(*note) : Value::Null(TypeKind::kText),
            Value(Datum::OfInt(TypeKind::kInt, level)),
            Value::BigInt(seq),
            Value::Boolean(deleted)};
  }
};

std::string EncodedId(int64_t id) {
  std::string key;
  EncodeKey(Datum::BigInt(id), &key);
  return key;
}

/// Hot and cold rows of all users, seen as one user.
struct World {
  std::map<std::pair<std::string, int64_t>, Row> hot;
  std::vector<std::vector<Row>> file_rows;  // as visible under the newest schema
  std::vector<tables::ColdFile> files;
  std::string user = "anna";
  mutable std::atomic<int> hot_parts_opened{0}, merged_parts_opened{0}, runs_asked{0};

  std::vector<Row> Visible(bool hot_only) const {
    std::map<int64_t, Row> newest;
    if (!hot_only) {
      for (const auto& rows : file_rows) {
        for (const Row& row : rows) {
          if (row.user != user) continue;
          auto [at, added] = newest.emplace(row.id, row);
          if (!added && at->second.seq < row.seq) at->second = row;
        }
      }
    }
    for (const auto& [key, row] : hot) {
      if (key.first == user) newest[row.id] = row;
    }
    std::vector<Row> rows;
    for (const auto& [id, row] : newest) {
      if (!row.deleted) rows.push_back(row);
    }
    return rows;
  }
};

std::unique_ptr<tables::ScanPart> PartOf(const std::vector<Row>& rows,
                                         std::span<const uint32_t> columns,
                                         std::shared_ptr<tables::ScanSource>* keeper) {
  std::vector<std::vector<Value>> cells;
  for (const Row& row : rows) cells.push_back(row.Cells());
  *keeper = SourceOfRows(SourceColumns(), std::move(cells));
  return std::move((*keeper)->OpenPart(0, columns, {})).value();
}

/// Keeps the source of a part alive with it.
class OwnedPart final : public tables::ScanPart {
 public:
  OwnedPart(const std::vector<Row>& rows, std::span<const uint32_t> columns)
      : part_(PartOf(rows, columns, &source_)) {}
  Result<bool> Next() override { return part_->Next(); }
  std::span<const Datum> cells() const override { return part_->cells(); }

 private:
  std::shared_ptr<tables::ScanSource> source_;
  std::unique_ptr<tables::ScanPart> part_;
};

class WorldFiles final : public tables::ColdFiles {
 public:
  explicit WorldFiles(const World& world) : world_(world) {
    for (size_t i = 0; i < kFieldIds.size(); ++i) absent_.push_back(Value::Null());
    absent_[kLevel] = Value(Datum::OfInt(TypeKind::kInt, 0));
  }
  const std::vector<tables::ColdFile>& files() const override { return world_.files; }
  size_t file_count_total() const override { return world_.files.size(); }
  const std::vector<int32_t>& field_ids() const override { return kFieldIds; }
  const std::vector<Value>& absent_values() const override { return absent_; }
  uint32_t key_column() const override { return kId; }
  uint32_t seq_column() const override { return kSeq; }
  uint32_t deleted_column() const override { return kDeleted; }
  int32_t user_field_id() const override { return kUserFieldId; }
  const std::string& user_id() const override { return world_.user; }
  Result<bool> MayBeHidden(size_t file) override {
    const tables::ColdFile& of = world_.files[file];
    return std::any_of(world_.hot.begin(), world_.hot.end(), [&](const auto& hot) {
      const std::string key = EncodedId(hot.first.second);
      return hot.first.first == world_.user && key >= of.min_pk && key <= of.max_pk;
    });
  }
  Result<tables::HiddenRows> FindHiddenRows(size_t file, int64_t row) override {
    const std::vector<Row>& rows = world_.file_rows[file];
    tables::HiddenRows hidden;
    hidden.row_begin = row / kGroupRows * kGroupRows;
    hidden.row_end = std::min<int64_t>(hidden.row_begin + kGroupRows, std::ssize(rows));
    for (int64_t at = hidden.row_begin; at < hidden.row_end; ++at) {
      const Row& each = rows[static_cast<size_t>(at)];
      if (each.user == world_.user && world_.hot.contains({each.user, each.id})) {
        hidden.rows.push_back(static_cast<uint32_t>(at - hidden.row_begin));
      }
    }
    ++world_.runs_asked;
    return hidden;
  }
  size_t hot_part_count() const override { return 1; }
  Result<std::unique_ptr<tables::ScanPart>> OpenHotPart(
      size_t, std::span<const uint32_t> columns, std::span<const tables::ScanHint>) override {
    ++world_.hot_parts_opened;
    return std::unique_ptr<tables::ScanPart>(
        std::make_unique<OwnedPart>(world_.Visible(true), columns));
  }

 private:
  const World& world_;
  std::vector<Value> absent_;
};

class WorldSource final : public tables::ScanSource {
 public:
  WorldSource(const World& world, bool offers_files) : world_(world), offers_files_(offers_files) {}
  const ResultSchema& columns() const override { return columns_; }
  int64_t estimated_rows() const override { return 1'000; }
  size_t part_count() const override { return 1; }
  Result<std::unique_ptr<tables::ScanPart>> OpenPart(size_t, std::span<const uint32_t> columns,
                                                     std::span<const tables::ScanHint>) override {
    ++world_.merged_parts_opened;
    return std::unique_ptr<tables::ScanPart>(
        std::make_unique<OwnedPart>(world_.Visible(false), columns));
  }
  Result<std::shared_ptr<tables::ColdFiles>> OpenColdFiles(
      std::span<const tables::ScanHint>) override {
    if (!offers_files_) return std::shared_ptr<tables::ColdFiles>();
    return std::shared_ptr<tables::ColdFiles>(std::make_shared<WorldFiles>(world_));
  }

 private:
  const World& world_;
  const bool offers_files_;
  const ResultSchema columns_ = SourceColumns();
};

class ColdFilesTest : public testing::Test {
 protected:
  ColdFilesTest() {
    directory_ = testing::TempDir() + "/kalam_cold_" + RandomHex(8) +
                 testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(directory_);
    std::filesystem::create_directories(directory_);
    EngineOptions options;
    options.plugin_directory = KALAM_PLUGIN_DIRECTORY;
    engine_ = MakeEngine(options);
  }
  ~ColdFilesTest() override { std::filesystem::remove_all(directory_); }

  /// Writes rows, sorted by user and key, as the next file.
  void AddFile(World& world, std::vector<Row> rows, int schema_version, bool many, bool remote) {
    std::sort(rows.begin(), rows.end(), [](const Row& a, const Row& b) {
      return std::tie(a.user, a.id) < std::tie(b.user, b.id);
    });
    ParquetFile file;
    file.local_path = directory_ + "/" + std::to_string(++file_number_) + ".parquet";
    file.row_group_rows = kGroupRows;
    std::vector<uint32_t> places = {kId, kGrp, kBody, kNote, kLevel, kSeq, kDeleted};
    if (schema_version == 1) places = {kId, kGrp, kBody, kSeq, kDeleted};
    ResultSchema schema;
    for (const uint32_t place : places) {
      schema.push_back(SourceColumns()[place]);
      schema.back().name += "_at_that_time";
      file.field_ids.push_back(kFieldIds[place]);
    }
    if (schema_version == 1) schema[1].type = DataType::Of(TypeKind::kInt);
    if (many) {
      schema.push_back(Column("_userid", DataType::Of(TypeKind::kText)));
      file.field_ids.push_back(kUserFieldId);
    }
    std::vector<std::vector<Value>> cells;
    tables::ColdFile cold;
    for (Row& row : rows) {
      if (schema_version == 1) {
        row.note.reset();
        row.level = 0;
      }
      cells.emplace_back();
      const std::vector<Value> all = row.Cells();
      for (const uint32_t place : places) cells.back().push_back(all[place]);
      if (schema_version == 1 && !row.deleted) {
        cells.back()[1] = Value(Datum::OfInt(TypeKind::kInt, row.grp));
      } else if (schema_version == 1) {
        cells.back()[1] = Value::Null(TypeKind::kInt);
      }
      if (many) cells.back().push_back(Value::Text(row.user));
      const std::string key = EncodedId(row.id);
      if (cold.max_pk.empty() || key < cold.min_pk) cold.min_pk = key;
      cold.max_pk = std::max(cold.max_pk, key);
      if (cold.row_count == 0 || row.seq < cold.min_seq.value) cold.min_seq.value = row.seq;
      cold.max_seq.value = std::max(cold.max_seq.value, row.seq);
      ++cold.row_count;
      cold.tombstone_count += row.deleted ? 1 : 0;
    }
    file.source = SourceOfRows(schema, std::move(cells));
    const auto written = engine_->WriteParquet(file);
    ASSERT_TRUE(written.ok()) << written.status().ToString();
    cold.name = file.local_path.substr(1);
    cold.size_bytes = written->size_bytes;
    cold.many_scopes = many;
    if (remote) {
      cold.read = [path = file.local_path](int64_t offset, int64_t length) -> Result<std::string> {
        std::ifstream in(path, std::ios::binary);
        std::string bytes(static_cast<size_t>(length), '\0');
        in.seekg(offset).read(bytes.data(), length);
        return bytes;
      };
    } else {
      cold.local_path = file.local_path;
    }
    world.files.push_back(std::move(cold));
    world.file_rows.push_back(std::move(rows));
  }

  std::string Run(const World& world, bool offers_files, const std::string& sql) {
    EngineQuery query;
    query.sql = sql;
    query.sources = {std::make_shared<WorldSource>(world, offers_files)};
    auto stream = engine_->Execute(std::move(query));
    if (!stream.ok()) return "error: " + stream.status().ToString();
    TextSink sink;
    while (true) {
      const Result<bool> more = (*stream)->Next(sink, sink.text.size() + 65'536);
      if (!more.ok()) return "error: " + more.status().ToString();
      if (!*more) return sink.text;
    }
  }

  std::string directory_;
  int file_number_ = 0;  // a name is never used twice
  std::unique_ptr<Engine> engine_;
};

Row MakeRow(std::mt19937& random, const std::string& user, int64_t id, int64_t seq) {
  Row row;
  row.user = user;
  row.id = id;
  row.seq = seq;
  row.grp = random() % 5;
  row.body = std::string(random() % 30, static_cast<char>('a' + random() % 26));
  if (random() % 2 == 0) row.note = "note " + std::to_string(random() % 10);
  row.level = random() % 3;
  row.deleted = random() % 6 == 0;
  return row;
}

TEST_F(ColdFilesTest, FindsWhatAMergeRowByRowFinds) {
  const char* const kStatements[] = {
      "SELECT count(*) FROM kalam_scan(0) AS t",
      "SELECT * FROM kalam_scan(0) AS t ORDER BY id",
      "SELECT grp, count(*), kalam_bigint(sum(id)), min(body), max(note) FROM kalam_scan(0) AS t "
      "GROUP BY grp ORDER BY grp",
      "SELECT id, note FROM kalam_scan(0) AS t WHERE id >= 40 AND id < 120 ORDER BY id DESC",
      "SELECT count(*) FROM kalam_scan(0) AS t WHERE id = 77",
      "SELECT count(*), count(note) FROM kalam_scan(0) AS t WHERE grp = 3",
      "SELECT id FROM kalam_scan(0) AS t WHERE note = 'note 3' ORDER BY id",
      "SELECT id FROM kalam_scan(0) AS t WHERE note IS NULL ORDER BY id LIMIT 5",
      "SELECT count(*) FROM kalam_scan(0) AS t WHERE level > 0",
      "SELECT max(_seq) FROM kalam_scan(0) AS t",
      "SELECT count(*) FROM kalam_scan(0) AS t WHERE _deleted",
      "SELECT a.id FROM kalam_scan(0) AS a JOIN kalam_scan(0) AS b ON a.id = b.id + 1 WHERE "
      "b.grp < 2 ORDER BY a.id",
  };
  for (uint32_t seed = 1; seed <= 40; ++seed) {
    std::mt19937 random(seed);
    World world;
    int64_t seq = 1;
    const bool many = seed % 2 == 0;
    const std::vector<std::string> users =
        many ? std::vector<std::string>{"anna", "bert", "carla"} : std::vector<std::string>{"anna"};
    const size_t file_count = random() % 5;
    for (size_t file = 0; file < file_count; ++file) {
      // Ranges that sometimes overlap, `_seq`s that sometimes grow from file to file.
      const int64_t first_id = seed % 3 == 0 ? static_cast<int64_t>(file) * 200 : 0;
      const bool of_many = many && random() % 4 != 0;
      std::vector<Row> rows;
      for (const std::string& user : users) {
        if (!of_many && user != world.user) continue;
        for (int64_t id = first_id; id < first_id + 200; ++id) {
          if (random() % 3 != 0) continue;
          rows.push_back(
              MakeRow(random, user, id, seed % 5 == 0 ? static_cast<int64_t>(random()) : ++seq));
        }
      }
      AddFile(world, std::move(rows), 1 + static_cast<int>(random() % 2), of_many,
              random() % 2 == 0);
    }
    for (const std::string& user : users) {
      for (int64_t id = 0; id < 400; ++id) {
        if (random() % 8 == 0) world.hot[{user, id}] = MakeRow(random, user, id, ++seq);
      }
    }
    for (const char* sql : kStatements) {
      EXPECT_EQ(Run(world, true, sql), Run(world, false, sql)) << "seed " << seed << ": " << sql;
    }
    ASSERT_FALSE(HasFailure()) << "seed " << seed;
  }
}

TEST_F(ColdFilesTest, ReadsFilesAndNotMergedRows) {
  World world;
  std::mt19937 random(1);
  std::vector<Row> rows;
  for (int64_t id = 0; id < 1'000; ++id) {
    rows.push_back(MakeRow(random, "anna", id, id + 1));
    rows.back().deleted = false;
  }
  AddFile(world, rows, 2, false, false);
  world.hot[{"anna", 2'000}] = rows[0];
  world.hot[{"anna", 2'000}].id = 2'000;
  EXPECT_EQ(Run(world, true, "SELECT count(*) FROM kalam_scan(0) AS t"), "1001\n");
  EXPECT_EQ(world.merged_parts_opened.load(), 0);
  EXPECT_GT(world.hot_parts_opened.load(), 0);
  EngineQuery query;
  query.sql = "SELECT grp, count(*) FROM kalam_scan(0) AS t WHERE id > 5 GROUP BY grp";
  query.sources = {std::make_shared<WorldSource>(world, true)};
  const auto plan = engine_->Explain(std::move(query));
  ASSERT_TRUE(plan.ok()) << plan.status().ToString();
  EXPECT_THAT(*plan, HasSubstr("1 of 1"));
}

TEST_F(ColdFilesTest, EveryRowGroupThatIsReadIsAskedForOnce) {
  World world;
  std::mt19937 random(1);
  std::vector<Row> rows;
  for (int64_t id = 0; id < 10 * kGroupRows; ++id) {
    rows.push_back(MakeRow(random, "anna", id, id + 1));
    rows.back().deleted = false;
  }
  AddFile(world, rows, 2, false, false);
  // The ends of the file, both sides of a border between groups, and a whole group.
  std::vector<int64_t> hidden = {0, kGroupRows - 1, kGroupRows, 10 * kGroupRows - 1};
  for (int64_t id = 3 * kGroupRows; id < 4 * kGroupRows; ++id) hidden.push_back(id);
  for (const int64_t id : hidden) {
    world.hot[{"anna", id}] = rows[static_cast<size_t>(id)];
    world.hot[{"anna", id}].deleted = true;
  }
  EXPECT_EQ(Run(world, true, "SELECT count(*) FROM kalam_scan(0) AS t"),
            std::to_string(10 * kGroupRows - std::ssize(hidden)) + "\n");
  EXPECT_EQ(world.runs_asked.load(), 10);
  world.runs_asked = 0;
  const std::string ids =
      "SELECT count(*), min(id), max(id) FROM kalam_scan(0) AS t WHERE id >= 65 AND id < 120";
  EXPECT_EQ(Run(world, true, ids), Run(world, false, ids));
  EXPECT_EQ(world.runs_asked.load(), 1);
}

TEST_F(ColdFilesTest, FilesBesideAllHotRowsAreNotAskedFor) {
  World world;
  std::vector<Row> first, second;
  for (int64_t id = 0; id < 2 * kGroupRows; ++id)
    first.push_back({.user = "anna", .id = id, .seq = id});
  for (int64_t id = 1000; id < 1000 + 2 * kGroupRows; ++id)
    second.push_back({.user = "anna", .id = id, .seq = id});
  AddFile(world, first, 2, false, false);
  AddFile(world, second, 2, false, false);
  const std::string ids = "SELECT count(*), min(id), max(id) FROM kalam_scan(0) AS t";
  const auto hide = [&world](int64_t id) {
    world.hot[{"anna", id}] = {.user = "anna", .id = id, .seq = 5000, .deleted = true};
  };
  hide(999);
  EXPECT_EQ(Run(world, true, ids), Run(world, false, ids));
  EXPECT_EQ(world.runs_asked.load(), 0);
  hide(1000);
  EXPECT_EQ(Run(world, true, ids), Run(world, false, ids));
  EXPECT_EQ(world.runs_asked.load(), 2) << "the groups of the second file";
}

TEST_F(ColdFilesTest, TooManyVersionsAreMergedRowByRow) {
  World world;
  std::mt19937 random(1);
  std::vector<Row> rows;
  for (const int64_t id : {0, 1'000'000}) {
    rows.push_back(MakeRow(random, "anna", id, id + 1));
    rows.back().deleted = false;
  }
  AddFile(world, rows, 2, false, false);
  for (Row& row : rows) row.seq += 2'000'000;
  AddFile(world, rows, 2, false, false);
  EXPECT_EQ(Run(world, true, "SELECT count(*) FROM kalam_scan(0) AS t"), "2\n");
  EXPECT_GT(world.hot_parts_opened.load(), 0);
  world.hot_parts_opened = 0;
  world.files.back().row_count = 500'001;  // as far as its record says
  EXPECT_EQ(Run(world, true, "SELECT count(*) FROM kalam_scan(0) AS t"), "2\n");
  EXPECT_EQ(world.hot_parts_opened.load(), 0);
}

TEST_F(ColdFilesTest, AFileThatCannotBeReadIsNamed) {
  World world;
  std::mt19937 random(1);
  AddFile(world, {MakeRow(random, "anna", 1, 1)}, 2, false, false);
  std::filesystem::remove(world.files[0].local_path);
  EXPECT_THAT(Run(world, true, "SELECT count(body) FROM kalam_scan(0) AS t"),
              HasSubstr("error: Storage error: the file " + world.files[0].name));
  world.files[0].read = [](int64_t, int64_t) -> Result<std::string> {
    return Status(ErrorKind::StorageIo, "the folder is away");
  };
  EXPECT_EQ(Run(world, true, "SELECT count(body) FROM kalam_scan(0) AS t"),
            "error: Storage error: the folder is away");
  AddFile(world, {MakeRow(random, "anna", 9, 2)}, 2, false, true);
  world.files.erase(world.files.begin());
  world.file_rows.erase(world.file_rows.begin());
  world.files[0].read = [](int64_t, int64_t) -> Result<std::string> {
    return Status(ErrorKind::StorageIo, "the bucket does not answer");
  };
  EXPECT_EQ(Run(world, true, "SELECT count(body) FROM kalam_scan(0) AS t"),
            "error: Storage error: the bucket does not answer");
  // Not the bytes that were promised: an error, after which the engine works on.
  world.files[0].read = [](int64_t, int64_t length) -> Result<std::string> {
    return std::string(static_cast<size_t>(length), 'x');
  };
  EXPECT_THAT(Run(world, true, "SELECT count(body) FROM kalam_scan(0) AS t"), HasSubstr("error: "));
  EXPECT_EQ(Run(World(), true, "SELECT 1"), "1\n");
}

}  // namespace
}  // namespace kalam::analytics

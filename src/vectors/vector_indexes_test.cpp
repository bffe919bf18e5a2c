// Indexes over a real table: built in the background, right at every moment, back after a restart.
#include "vectors/vector_indexes.h"

#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>

#include "base/id_generators.h"
#include "objects/object_storage.h"
#include "tables/tables_test_bench.h"

namespace kalam::vectors {
namespace {

using tables::KeyOf;
using tables::TableWriter;

constexpr size_t kDimension = 8;
using Vector = std::vector<float>;

class FolderStorage : public objects::ObjectStorage {
 public:
  explicit FolderStorage(std::string base) : base_(std::move(base)) {}
  Status PutFile(const std::string& local_file, const std::string& path) override {
    std::filesystem::create_directories(std::filesystem::path(LocalPath(path)).parent_path());
    std::filesystem::rename(local_file, LocalPath(path));
    return {};
  }
  Status Put(const std::string&, std::string_view) override { return {}; }
  Result<std::string> Read(const std::string& path, int64_t offset, int64_t length) override {
    std::ifstream file(LocalPath(path), std::ios::binary);
    if (!file) return Status(ErrorKind::NotFound, path);
    const std::string all(std::istreambuf_iterator<char>(file), {});
    return all.substr(static_cast<size_t>(offset), static_cast<size_t>(length));
  }
  Result<objects::ObjectEntry> Stat(const std::string& path) override {
    return objects::ObjectEntry{.path = path};
  }
  Status List(const std::string&,
              const std::function<bool(const objects::ObjectEntry&)>&) override {
    return {};
  }
  Status Delete(const std::string& path) override {
    std::filesystem::remove(LocalPath(path));
    return {};
  }
  std::string LocalPath(const std::string& path) const override { return base_ + "/" + path; }

 private:
  const std::string base_;
};

class VectorIndexesTest : public tables::TablesTest {
 protected:
  VectorIndexesTest()
      : folder_(std::filesystem::temp_directory_path() / ("kalam-vectors-" + RandomHex(12))) {
    catalog::TableDefinition table = tables::BenchTable(TableId{7}, catalog::TableType::kUser);
    std::vector<catalog::ColumnDefinition> columns = *table.columns;
    columns[1].type = DataType::Embedding(kDimension);
    table.layouts = std::make_shared<const std::vector<RowLayout>>(1, catalog::LayoutOf(columns));
    table.columns = std::make_shared<const std::vector<catalog::ColumnDefinition>>(columns);
    Records(database_.catalog->PutStorage({.storage_id = "local"}));
    table_ = MakeTable(table);
    storage_ = std::make_shared<FolderStorage>((folder_ / "storage").string());
    limits_.exact_rows_max = 20;
    limits_.scratch_folder = (folder_ / "tmp").string();
    OpenIndexes();
  }
  ~VectorIndexesTest() override {
    indexes_.reset();
    std::filesystem::remove_all(folder_);
  }

  void OpenIndexes() {
    indexes_.reset();
    auto opened = VectorIndexes::Open(
        {.store = *database_.store,
         .catalog = *database_.catalog,
         .group = *group_,
         .reader = *reader_,
         .clock = clock_,
         .memory = memory_,
         .metrics = metrics_,
         .find_storage =
             [this](std::string_view) -> Result<std::shared_ptr<objects::ObjectStorage>> {
           return std::shared_ptr<objects::ObjectStorage>(storage_);
         }},
        limits_);
    ASSERT_TRUE(opened.ok());
    indexes_ = std::move(*opened);
  }

  void Records(catalog::RecordWrites records) {
    auto command = std::make_shared<replication::Command>();
    command->records = std::move(records);
    Commit(command);
  }
  void CreateIndex(Metric metric = Metric::kL2) {
    Records({VectorIndexes::Put({table_->id, 2, metric, clock_.NowUs()})});
  }
  // The vector of a row: far from all others in one direction.
  static Vector VectorOf(int64_t id) {
    Vector vector(kDimension, 0.0f);
    vector[0] = static_cast<float>(id);
    vector[1] = static_cast<float>(id % 7);
    return vector;
  }
  static std::vector<Datum> RowOf(int64_t id, const Vector* vector) {
    std::vector<Datum> cells = tables::Cells(id, "", 1);
    cells[1] = vector == nullptr ? Datum::Null()
                                 : Datum::Bytes(TypeKind::kEmbedding,
                                                {reinterpret_cast<const char*>(vector->data()),
                                                 vector->size() * sizeof(float)});
    return cells;
  }
  void InsertVectors(int64_t begin, int64_t end, std::string_view user = "ann") {
    const tables::ReadScope scope = ScopeNow(table_, user);
    TableWriter writer(*reader_);
    std::vector<Vector> vectors;
    for (int64_t id = begin; id < end; ++id) {
      const Vector vector = VectorOf(id);
      ASSERT_TRUE(writer.Insert(scope, RowOf(id, &vector)).ok());
    }
    Commit(writer.Finish(scope.view.seq));
  }
  std::optional<NearestRows> Nearest(const Vector& query, size_t count,
                                     std::string_view user = "ann", Metric metric = Metric::kL2) {
    auto rows = indexes_->FindNearest({ScopeNow(table_, user), 2, metric, query, count});
    EXPECT_TRUE(rows.ok());
    return std::move(*rows);
  }
  // Asks, so that the background knows what is wanted, and lets it work.
  void Build(std::string_view user = "ann") {
    EXPECT_FALSE(Nearest(VectorOf(0), 1, user));
    const Status status = indexes_->CatchUp();
    ASSERT_TRUE(status.ok()) << status.message();
  }
  static bool Has(const NearestRows& rows, int64_t id) {
    return std::binary_search(rows.keys.begin(), rows.keys.end(), KeyOf(id));
  }
  std::vector<std::string> Snapshots() const {
    std::vector<std::string> names;
    std::error_code error;
    for (const auto& entry :
         std::filesystem::recursive_directory_iterator(folder_ / "storage", error)) {
      if (entry.is_regular_file()) names.push_back(entry.path().filename().string());
    }
    return names;
  }

  const std::filesystem::path folder_;
  Metrics metrics_;
  MemoryAccount memory_{"test", nullptr};
  IndexLimits limits_;
  std::shared_ptr<FolderStorage> storage_;
  catalog::TablePtr table_;
  std::unique_ptr<VectorIndexes> indexes_;
};

TEST_F(VectorIndexesTest, WithoutAnIndexAllRowsAreCompared) {
  InsertVectors(0, 100);
  EXPECT_FALSE(Nearest(VectorOf(5), 3));
  ASSERT_TRUE(indexes_->CatchUp().ok());
  EXPECT_FALSE(Nearest(VectorOf(5), 3));
}

TEST_F(VectorIndexesTest, SmallScopesAreComparedWhole) {
  CreateIndex();
  InsertVectors(0, 19);
  Build();
  EXPECT_FALSE(Nearest(VectorOf(5), 3));
  EXPECT_TRUE(Snapshots().empty());
}

TEST_F(VectorIndexesTest, GivesTheNearestOfItsScopeAlone) {
  CreateIndex();
  InsertVectors(0, 100);
  InsertVectors(1000, 1100, "bob");
  Build();
  const auto rows = Nearest(VectorOf(50), 3);
  ASSERT_TRUE(rows);
  EXPECT_EQ(rows->keys.size(), 3u);
  EXPECT_TRUE(Has(*rows, 50));
  EXPECT_FALSE(rows->is_everything);
  EXPECT_TRUE(Nearest(VectorOf(1), 100)->is_everything);
  EXPECT_FALSE(Nearest(VectorOf(50), 3, "ann", Metric::kCosine));
  EXPECT_FALSE(Nearest(Vector{1, 2}, 3));
  EXPECT_FALSE(Nearest(VectorOf(1000), 3, "bob"));  // asked for the first time
}

TEST_F(VectorIndexesTest, RowsAboveTheGraphAreCandidates) {
  CreateIndex();
  InsertVectors(0, 100);
  Build();
  InsertVectors(500, 510);
  const auto rows = Nearest(VectorOf(505), 1);
  ASSERT_TRUE(rows);
  EXPECT_EQ(rows->keys.size(), 11u);
  for (int64_t id = 500; id < 510; ++id) EXPECT_TRUE(Has(*rows, id));
}

TEST_F(VectorIndexesTest, FollowsUpdatesAndDeletes) {
  CreateIndex();
  InsertVectors(0, 300);
  Build();
  Delete(table_, 50);
  {
    const tables::ReadScope scope = ScopeNow(table_);
    TableWriter writer(*reader_);
    const Vector vector = VectorOf(9000);
    const auto old_row = Get(scope, 10).value();
    ASSERT_TRUE(writer.Update(scope, old_row, RowOf(10, &vector)).ok());
    const auto null_row = Get(scope, 11).value();
    ASSERT_TRUE(writer.Update(scope, null_row, RowOf(11, nullptr)).ok());
    Commit(writer.Finish(scope.view.seq));
  }
  InsertVectors(300, 600);
  EXPECT_TRUE(Nearest(VectorOf(0), 1));  // far behind: the background is asked to follow
  ASSERT_TRUE(indexes_->CatchUp().ok());
  const auto state = indexes_->List().at(0);
  EXPECT_TRUE(state.is_ready);
  EXPECT_EQ(state.vector_count, 598u);
  EXPECT_EQ(state.last_applied, group_->published_seq());
  EXPECT_FALSE(Has(*Nearest(VectorOf(50), 1), 50));
  EXPECT_TRUE(Has(*Nearest(VectorOf(9000), 1), 10));
  EXPECT_EQ(Nearest(VectorOf(9000), 1)->keys.size(), 1u);
  EXPECT_FALSE(Has(*Nearest(VectorOf(11), 1), 11));
}

TEST_F(VectorIndexesTest, ComesBackFromItsSnapshot) {
  CreateIndex();
  InsertVectors(0, 300);
  Build();
  EXPECT_EQ(Snapshots(), std::vector<std::string>{"vec-name-snapshot-1.vix"});
  OpenIndexes();
  InsertVectors(300, 310);
  Build();
  const auto state = indexes_->List().at(0);
  EXPECT_EQ(state.snapshot_version, 1u);
  EXPECT_EQ(state.vector_count, 310u);
  EXPECT_TRUE(Has(*Nearest(VectorOf(305), 1), 305));
}

TEST_F(VectorIndexesTest, ADamagedSnapshotIsBuiltAnew) {
  CreateIndex();
  InsertVectors(0, 300);
  Build();
  const std::string path = (folder_ / "storage/app/items7/ann/vec-name-snapshot-1.vix").string();
  {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(200);
    file.put('\x55');
    file.put('\x55');
  }
  OpenIndexes();
  Build();
  EXPECT_TRUE(Has(*Nearest(VectorOf(200), 1), 200));
  // The next snapshot has taken the damaged one's place.
  EXPECT_EQ(Snapshots(), std::vector<std::string>{"vec-name-snapshot-2.vix"});
}

TEST_F(VectorIndexesTest, DroppingTakesGraphAndSnapshotAway) {
  CreateIndex();
  InsertVectors(0, 300);
  Build();
  EXPECT_GT(memory_.used_bytes(), 0);
  Records({VectorIndexes::Drop(table_->id, 2)});
  EXPECT_FALSE(Nearest(VectorOf(0), 1));
  ASSERT_TRUE(indexes_->CatchUp().ok());
  EXPECT_TRUE(Snapshots().empty());
  EXPECT_EQ(memory_.used_bytes(), 0);
  EXPECT_FALSE(indexes_->Find(table_->id, 2));
}

TEST_F(VectorIndexesTest, TheLeastUsedGraphMakesRoom) {
  CreateIndex();
  InsertVectors(0, 300);
  InsertVectors(0, 300, "bob");
  Build();
  Build("bob");
  // Loaded, a graph takes what its vectors need; two of them do not fit.
  limits_.memory_bytes_max = memory_.used_bytes() / 4;
  OpenIndexes();
  Build();
  clock_.AdvanceUs(1'000'000);
  Build("bob");
  EXPECT_TRUE(Nearest(VectorOf(5), 1, "bob"));
  EXPECT_FALSE(Nearest(VectorOf(5), 1));
  EXPECT_LE(memory_.used_bytes(), limits_.memory_bytes_max);
}

TEST_F(VectorIndexesTest, TheBudgetOfTheServerCounts) {
  CreateIndex();
  InsertVectors(0, 300);
  memory_.set_limit_bytes(memory_.used_bytes() + 1000);
  EXPECT_FALSE(Nearest(VectorOf(0), 1));
  EXPECT_TRUE(indexes_->CatchUp().Is(ErrorKind::MemoryExceeded));
  EXPECT_LE(memory_.used_bytes(), memory_.limit_bytes());
  memory_.set_limit_bytes(0);
}

TEST_F(VectorIndexesTest, GraphsThatNobodyAsksGoWhenMemoryIsShort) {
  CreateIndex();
  InsertVectors(0, 300);
  Build();
  EXPECT_TRUE(Nearest(VectorOf(5), 1));
  indexes_->ForgetUnused();
  EXPECT_GT(memory_.used_bytes(), 0) << "it was asked a moment ago";
  clock_.AdvanceUs(61'000'000);
  indexes_->ForgetUnused();
  EXPECT_EQ(memory_.used_bytes(), 0);
  // It comes back when somebody asks again.
  clock_.AdvanceUs(16'000'000);
  EXPECT_FALSE(Nearest(VectorOf(5), 1));
  Build();
  EXPECT_TRUE(Nearest(VectorOf(5), 1));
}

TEST_F(VectorIndexesTest, WhatDoesNotFitIsComparedWhole) {
  limits_.memory_bytes_max = 1000;
  OpenIndexes();
  CreateIndex();
  InsertVectors(0, 300);
  EXPECT_FALSE(Nearest(VectorOf(0), 1));
  EXPECT_TRUE(indexes_->CatchUp().Is(ErrorKind::MemoryExceeded));
  EXPECT_FALSE(Nearest(VectorOf(0), 1));
  EXPECT_EQ(memory_.used_bytes(), 0);
}

}  // namespace
}  // namespace kalam::vectors

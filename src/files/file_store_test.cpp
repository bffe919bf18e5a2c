// The life of stored files: pending, referred to, released, removed; over a real store and folder.
#include "files/file_store.h"

#include <filesystem>
#include <fstream>

#include "tables/file_records.h"
#include "tables/tables_test_bench.h"

namespace kalam::files {
namespace {

using storage::Family;
using tables::KeyOf;
using tables::StoredRow;
using tables::TableWriter;

// A folder that can be told not to answer.
class FolderStorage : public objects::ObjectStorage {
 public:
  explicit FolderStorage(std::string base) : base_(std::move(base)) {}
  Status PutFile(const std::string& local_file, const std::string& path) override {
    if (fails) return Status(ErrorKind::StorageIo, "does not answer");
    std::filesystem::create_directories(std::filesystem::path(LocalPath(path)).parent_path());
    std::filesystem::rename(local_file, LocalPath(path));
    return {};
  }
  Status Put(const std::string&, std::string_view) override { return {}; }
  Result<std::string> Read(const std::string& path, int64_t offset, int64_t length) override {
    std::ifstream file(LocalPath(path));
    if (!file) return Status(ErrorKind::NotFound, path);
    const std::string all(std::istreambuf_iterator<char>(file), {});
    return all.substr(static_cast<size_t>(offset),
                      length < 0 ? std::string::npos : static_cast<size_t>(length));
  }
  Result<objects::ObjectEntry> Stat(const std::string& path) override {
    return objects::ObjectEntry{.path = path};
  }
  Status List(const std::string&,
              const std::function<bool(const objects::ObjectEntry&)>&) override {
    return {};
  }
  Status Delete(const std::string& path) override {
    if (fails) return Status(ErrorKind::StorageIo, "does not answer");
    std::filesystem::remove(LocalPath(path));
    return {};
  }
  std::string LocalPath(const std::string& path) const override { return base_ + "/" + path; }

  bool fails = false;

 private:
  const std::string base_;
};

class FileStoreTest : public tables::TablesTest {
 protected:
  FileStoreTest()
      : folder_(std::filesystem::temp_directory_path() / ("kalam-files-" + RandomHex(12))) {
    catalog::TableDefinition table = tables::BenchTable(TableId{7}, catalog::TableType::kUser);
    std::vector<catalog::ColumnDefinition> columns = *table.columns;
    columns[1].type = DataType::Of(TypeKind::kFile);
    table.layouts = std::make_shared<const std::vector<RowLayout>>(1, catalog::LayoutOf(columns));
    table.columns = std::make_shared<const std::vector<catalog::ColumnDefinition>>(columns);
    auto command = std::make_shared<replication::Command>();
    command->records = database_.catalog->PutStorage({.storage_id = "local"});
    Commit(command);
    table_ = MakeTable(table);
    storage_ = std::make_shared<FolderStorage>((folder_ / "storage").string());
    limits_.staging_path = (folder_ / "tmp").string();
    limits_.files_per_folder_max = 2;
    OpenFiles();
  }
  ~FileStoreTest() override {
    files_.reset();
    std::filesystem::remove_all(folder_);
  }

  void OpenFiles() {
    files_.reset();
    auto opened = FileStore::Open(
        {.store = *database_.store,
         .catalog = *database_.catalog,
         .group = *group_,
         .clock = clock_,
         .metrics = metrics_,
         .find_storage =
             [this](std::string_view) -> Result<std::shared_ptr<objects::ObjectStorage>> {
           return std::shared_ptr<objects::ObjectStorage>(storage_);
         }},
        limits_);
    ASSERT_TRUE(opened.ok());
    files_ = std::move(*opened);
  }

  FileScope Target(std::string_view user = "ann") const {
    return {table_, storage::Scope::OfUser(user)};
  }
  std::unique_ptr<Upload> Store(std::string_view content) {
    auto area = files_->OpenStaging("ann");
    EXPECT_TRUE(area->Begin("x", "a.txt", "").ok());
    EXPECT_TRUE(area->Append(content).ok());
    EXPECT_TRUE(area->End().ok());
    auto upload = files_->Store(Target(), {area->Find("x")});
    EXPECT_TRUE(upload.ok()) << upload.status().ToString();
    return upload.ok() ? std::move(*upload) : nullptr;
  }
  static std::vector<Datum> RowOf(int64_t id, const std::string& file) {
    std::vector<Datum> cells = tables::Cells(id, file, 1);
    cells[1] = Datum::Bytes(TypeKind::kFile, file);
    return cells;
  }
  void InsertRow(int64_t id, const std::string& file) {
    const tables::ReadScope scope = ScopeNow(table_);
    TableWriter writer(*reader_);
    ASSERT_TRUE(writer.Insert(scope, RowOf(id, file)).ok());
    Commit(writer.Finish(scope.view.seq));
  }
  std::optional<FileEntry> Find(const FileReference& reference, std::string_view user = "ann") {
    auto found =
        files_->Find(Target(user), reference.sub, StoredName(reference.id, reference.name));
    EXPECT_TRUE(found.ok());
    return *found;
  }
  size_t FilesOnDisk() const {
    size_t count = 0;
    std::error_code error;
    for (const auto& entry :
         std::filesystem::recursive_directory_iterator(folder_ / "storage", error))
      count += entry.is_regular_file() ? 1 : 0;
    return count;
  }
  size_t Records() {
    size_t count = 0;
    const auto scan = database_.store->NewIterator(Family::kSystem, {"file/", "file0"});
    for (scan->SeekToFirst(); scan->Valid(); scan->Next())
      count += scan->key().starts_with(tables::kFileFolderPrefix) ||
                       scan->key().starts_with("file/followed/")
                   ? 0
                   : 1;
    return count;
  }
  void AfterTheDelay() {
    files_->Tick();
    clock_.AdvanceUs(6'000'000);
    files_->Tick();
  }

  const std::filesystem::path folder_;
  Metrics metrics_;
  FileLimits limits_;
  std::shared_ptr<FolderStorage> storage_;
  catalog::TablePtr table_;
  std::unique_ptr<FileStore> files_;
};

TEST_F(FileStoreTest, IsFoundOnceARowRefersToItAndOnlyInItsScope) {
  auto upload = Store("hello");
  const FileReference reference = upload->references.at("x");
  EXPECT_EQ(reference.size_bytes, 5);
  EXPECT_EQ(reference.sub, "f0001");
  EXPECT_FALSE(Find(reference));
  InsertRow(1, FormatFileReference(reference));
  upload.reset();
  AfterTheDelay();
  const auto entry = Find(reference);
  ASSERT_TRUE(entry);
  EXPECT_EQ(entry->path, "app/items7/ann/f0001/" + std::to_string(reference.id) + "-a.txt");
  EXPECT_EQ(*files_->Read(*entry, 1, 3), "ell");
  EXPECT_FALSE(Find(reference, "bob"));
  EXPECT_TRUE(files_->Find(Target(), "f0001", std::to_string(reference.id))->has_value());
  EXPECT_FALSE(files_->Find(Target(), "f0002", std::to_string(reference.id))->has_value());
  EXPECT_FALSE(
      files_->Find(Target(), "f0001", std::to_string(reference.id) + "-b.txt")->has_value());
}

TEST_F(FileStoreTest, GoesWhenTheStatementFails) {
  auto upload = Store("hello");
  files_->Tick();
  EXPECT_EQ(FilesOnDisk(), 1u);
  upload.reset();
  files_->Tick();
  EXPECT_EQ(FilesOnDisk(), 0u);
  EXPECT_EQ(Records(), 0u);
}

TEST_F(FileStoreTest, GoesAtTheNextStartWhenTheServerDiedBeforeTheCommit) {
  auto upload = Store("hello");
  // A second store over the same records is what a restarted server sees.
  Metrics metrics;
  auto restarted = FileStore::Open(
      {.store = *database_.store,
       .catalog = *database_.catalog,
       .group = *group_,
       .clock = clock_,
       .metrics = metrics,
       .find_storage = [this](std::string_view) -> Result<std::shared_ptr<objects::ObjectStorage>> {
         return std::shared_ptr<objects::ObjectStorage>(storage_);
       }},
      limits_);
  ASSERT_TRUE(restarted.ok());
  (*restarted)->Tick();
  EXPECT_EQ(FilesOnDisk(), 0u);
  EXPECT_EQ(Records(), 0u);
}

TEST_F(FileStoreTest, GoesAfterADelayWhenItsLastRowGoes) {
  auto upload = Store("hello");
  const FileReference reference = upload->references.at("x");
  InsertRow(1, FormatFileReference(reference));
  InsertRow(2, FormatFileReference(reference));
  upload.reset();
  Delete(table_, 1);
  AfterTheDelay();
  EXPECT_EQ(FilesOnDisk(), 1u);
  EXPECT_TRUE(Find(reference));
  Delete(table_, 2);
  EXPECT_FALSE(Find(reference));
  files_->Tick();
  EXPECT_EQ(FilesOnDisk(), 1u);
  AfterTheDelay();
  EXPECT_EQ(FilesOnDisk(), 0u);
  EXPECT_EQ(Records(), 0u);
}

TEST_F(FileStoreTest, ABrokenStorageIsTriedAgain) {
  auto upload = Store("hello");
  upload.reset();
  storage_->fails = true;
  files_->Tick();
  EXPECT_EQ(FilesOnDisk(), 1u);
  storage_->fails = false;
  files_->Tick();
  EXPECT_EQ(FilesOnDisk(), 1u);  // not at once
  clock_.AdvanceUs(31'000'000);
  files_->Tick();
  EXPECT_EQ(FilesOnDisk(), 0u);
}

TEST_F(FileStoreTest, FoldersFillUpAndTheNextBegins) {
  for (const char* sub : {"f0001", "f0001", "f0002", "f0002", "f0003"}) {
    auto upload = Store("x");
    EXPECT_EQ(upload->references.at("x").sub, sub);
  }
  const auto count = files_->Folder(Target().table->id, Target().scope);
  ASSERT_TRUE(count.ok());
  EXPECT_EQ(count->folder_number, 3);
  EXPECT_EQ(count->file_count, 1);
}

TEST_F(FileStoreTest, ADroppedTableTakesItsFilesWithIt) {
  auto upload = Store("hello");
  InsertRow(1, FormatFileReference(upload->references.at("x")));
  upload.reset();
  files_->Tick();
  auto drop = std::make_shared<replication::Command>();
  drop->records = database_.catalog->DropTable(*table_);
  drop->dropped_tables = {table_->id};
  Commit(drop);
  files_->Tick();
  EXPECT_EQ(FilesOnDisk(), 0u);
  EXPECT_EQ(Records(), 0u);
}

TEST_F(FileStoreTest, ADroppedColumnReleasesItsFiles) {
  auto upload = Store("hello");
  InsertRow(1, FormatFileReference(upload->references.at("x")));
  upload.reset();
  AfterTheDelay();
  EXPECT_EQ(FilesOnDisk(), 1u);
  catalog::TableDefinition next = *table_;
  std::vector<catalog::ColumnDefinition> columns = *next.columns;
  columns.erase(columns.begin() + 1);
  std::vector<RowLayout> layouts = *next.layouts;
  layouts.push_back(catalog::LayoutOf(columns));
  next.schema_version = 2;
  next.columns = std::make_shared<const std::vector<catalog::ColumnDefinition>>(columns);
  next.layouts = std::make_shared<const std::vector<RowLayout>>(layouts);
  auto alter = std::make_shared<replication::Command>();
  alter->records = database_.catalog->PutTable(next);
  Commit(alter);
  AfterTheDelay();
  EXPECT_EQ(FilesOnDisk(), 0u);
  EXPECT_EQ(Records(), 0u);
}

}  // namespace
}  // namespace kalam::files

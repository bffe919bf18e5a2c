// Objects as files: what is special about folders.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <utime.h>

#include <filesystem>
#include <fstream>

#include "base/id_generators.h"
#include "objects/storage_settings.h"

namespace kalam::objects {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

class FileStorageTest : public testing::Test {
 protected:
  void TearDown() override { fs::remove_all(base_); }
  std::unique_ptr<ObjectStorage> Open(BaseFolder folder) {
    auto storage = OpenObjectStorage(
        {.storage_id = "disk", .type = "filesystem", .base_directory = base_}, {}, folder);
    EXPECT_TRUE(storage.ok()) << storage.status().ToString();
    return std::move(*storage);
  }
  const std::string base_ = testing::TempDir() + "/kalam-files-" + RandomHex(8);
};

TEST_F(FileStorageTest, AMissingFolderIsAnErrorAndNotAnEmptyStorage) {
  auto storage = Open(BaseFolder::kMustExist);
  const auto visit = [](const ObjectEntry&) { return true; };
  EXPECT_TRUE(storage->List("", visit).Is(ErrorKind::StorageIo));
  EXPECT_TRUE(storage->Stat("a").status().Is(ErrorKind::StorageIo));
  EXPECT_TRUE(storage->Read("a", 0, 1).status().Is(ErrorKind::StorageIo));
  EXPECT_TRUE(storage->Delete("a").Is(ErrorKind::StorageIo));
  const Status put = storage->Put("a", "x");
  EXPECT_TRUE(put.Is(ErrorKind::StorageIo));
  EXPECT_THAT(put.ToString(), HasSubstr("Storage 'disk'"));
  EXPECT_FALSE(fs::exists(base_));
}

TEST_F(FileStorageTest, PutFileTakesTheFileOverAndLeavesNoTemporary) {
  auto storage = Open(BaseFolder::kCreate);
  const std::string local = base_ + "-local";
  std::ofstream(local) << "rows";
  ASSERT_TRUE(storage->PutFile(local, "chat/t/batch-0.parquet").ok());
  EXPECT_FALSE(fs::exists(local));
  int files = 0;
  for (const auto& entry : fs::recursive_directory_iterator(base_))
    files += entry.is_regular_file();
  EXPECT_EQ(files, 1);
}

TEST_F(FileStorageTest, WhatIsReadAtOnceIsWhatIsThere) {
  auto storage = Open(BaseFolder::kCreate);
  ASSERT_TRUE(storage->Put("chat/t/a", "0123456789").ok());
  ASSERT_TRUE(storage->Read("chat/t/a", 0, -1).ok());
  // A kernel or a file system that cannot promise not to wait says nothing.
  for (const auto& [offset, length] : {std::pair(0, 10), std::pair(3, 4), std::pair(9, 1)}) {
    const auto bytes = storage->ReadAtOnce("chat/t/a", offset, length);
    if (bytes) EXPECT_EQ(*bytes, std::string("0123456789").substr(offset, length));
  }
  EXPECT_FALSE(storage->ReadAtOnce("chat/t/a", 5, 10));
  EXPECT_FALSE(storage->ReadAtOnce("chat/t/b", 0, 1));
  EXPECT_FALSE(storage->ReadAtOnce("../t/a", 0, 1));
  EXPECT_FALSE(storage->ReadAtOnce("chat/t", 0, 1));
}

TEST_F(FileStorageTest, CopiesFromAnotherFileSystem) {
  auto storage = Open(BaseFolder::kCreate);
  const std::string local = "/dev/shm/kalam-" + RandomHex(8);
  std::ofstream(local) << std::string(3 << 20, 'z');
  ASSERT_TRUE(storage->PutFile(local, "a/b").ok());
  EXPECT_EQ(storage->Stat("a/b")->size_bytes, 3 << 20);
  fs::remove(local);
}

TEST_F(FileStorageTest, ADeleteRemovesTheFoldersThatItEmptied) {
  auto storage = Open(BaseFolder::kCreate);
  ASSERT_TRUE(storage->Put("chat/t/u1/batch-0", "x").ok());
  ASSERT_TRUE(storage->Put("chat/t/u2/batch-0", "x").ok());
  ASSERT_TRUE(storage->Delete("chat/t/u1/batch-0").ok());
  EXPECT_FALSE(fs::exists(base_ + "/chat/t/u1"));
  ASSERT_TRUE(storage->Delete("chat/t/u2/batch-0").ok());
  EXPECT_FALSE(fs::exists(base_ + "/chat"));
  EXPECT_TRUE(fs::exists(base_));
  // A folder is no object.
  ASSERT_TRUE(storage->Put("a/b", "x").ok());
  EXPECT_TRUE(storage->Delete("a").ok());
  EXPECT_TRUE(storage->Read("a", 0, -1).status().Is(ErrorKind::NotFound));
  EXPECT_TRUE(storage->Stat("a").status().Is(ErrorKind::NotFound));
  EXPECT_TRUE(storage->Stat("a/b").ok());
}

TEST_F(FileStorageTest, LeftTemporariesAreHiddenAndGoAfterADay) {
  auto storage = Open(BaseFolder::kCreate);
  const std::string fresh = base_ + "/.kalamdb-tmp-1", stale = base_ + "/.kalamdb-tmp-2";
  std::ofstream(fresh) << "x";
  std::ofstream(stale) << "x";
  const utimbuf long_ago{.actime = 1'000'000'000, .modtime = 1'000'000'000};
  ASSERT_EQ(utime(stale.c_str(), &long_ago), 0);
  int seen = 0;
  ASSERT_TRUE(storage->List("", [&seen](const ObjectEntry&) { return ++seen > 0; }).ok());
  EXPECT_EQ(seen, 0);
  EXPECT_TRUE(fs::exists(fresh));
  EXPECT_FALSE(fs::exists(stale));
}

TEST(OpenStorageTest, SettingsThatCannotBe) {
  const auto error = [](const std::string& type, const std::string& base) {
    return OpenObjectStorage({.storage_id = "s", .type = type, .base_directory = base}, {},
                             BaseFolder::kCreate)
        .status();
  };
  EXPECT_EQ(error("floppy", "/tmp").ToString(),
            "Invalid operation: Invalid storage type 'floppy'. Must be 'filesystem', 's3', 'gcs', "
            "or 'azure'");
  EXPECT_TRUE(error("filesystem", "").Is(ErrorKind::InvalidOperation));
  EXPECT_TRUE(error("filesystem", "/proc/none/x").Is(ErrorKind::StorageIo));
}

}  // namespace
}  // namespace kalam::objects

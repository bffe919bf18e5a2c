// A log file that cannot be created when the memtables of several families are full.
#include <gtest/gtest.h>

#include <climits>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>

#include "base/log.h"
#include "forgetful_file_system.h"
#include "storage/store.h"

namespace kalam::storage {
namespace {

using testing_support::ForgetfulFileSystem;

class DiskFailureLogCreationTest : public testing::Test {
 protected:
  DiskFailureLogCreationTest() {
    // What RocksDB warns of is what these tests are about.
    EXPECT_TRUE(OpenLog({.level = LogLevel::kError, .to_console = false}).ok());
    std::string pattern = testing::TempDir() + "kalam_log_XXXXXX";
    directory_ = mkdtemp(pattern.data());
    files_ = std::make_shared<ForgetfulFileSystem>(directory_ + "/attic", 1);
    options_.path = directory_ + "/db";
    options_.write_buffer_total_bytes = 1 << 20;
    options_.file_system = files_;
    std::filesystem::create_directories(options_.path);
    Open();
    // Larger than the buffers of both families: their memtables change before the next write.
    WriteBatch batch;
    batch.Put(Family::kSystem, "large", kLarge);
    batch.Put(Family::kCatalog, "large", kLarge);
    EXPECT_TRUE(store_->Write(std::move(batch), Durability::kFsync).ok());
  }
  ~DiskFailureLogCreationTest() override {
    store_.reset();
    CloseLog();
    std::filesystem::remove_all(directory_);
  }
  void Open() {
    auto opened = Store::Open(options_);
    ASSERT_TRUE(opened.ok()) << opened.status().ToString();
    store_ = std::move(opened).value();
  }
  Status Put(std::string_view key) {
    WriteBatch batch;
    batch.Put(Family::kSystem, key, "small");
    return store_->Write(std::move(batch), Durability::kFsync);
  }
  std::string Get(Family family, std::string_view key) {
    auto value = store_->Get(family, key);
    return value.ok() ? value->value_or("") : value.status().ToString();
  }

  const std::string kLarge = std::string(100'000, 'x');
  std::string directory_;
  std::shared_ptr<ForgetfulFileSystem> files_;
  StoreOptions options_;
  std::unique_ptr<Store> store_;
};

TEST_F(DiskFailureLogCreationTest, FailsTheWriteAndTheStoreClosesAllTheSame) {
  files_->FailCreations(".log", INT_MAX);
  EXPECT_TRUE(Put("key").Is(ErrorKind::StorageIo));
  store_.reset();
  files_->LosePower();
  Open();
  EXPECT_EQ(Get(Family::kSystem, "large"), kLarge);
  EXPECT_EQ(Get(Family::kCatalog, "large"), kLarge);
  EXPECT_EQ(Get(Family::kSystem, "key"), "");
}

TEST_F(DiskFailureLogCreationTest, LogThatTheWriteCanCreateIsDurable) {
  files_->FailCreations(".log", 1);
  EXPECT_TRUE(Put("key").ok());
  store_.reset();
  files_->LosePower();
  Open();
  EXPECT_EQ(Get(Family::kSystem, "key"), "small");
  EXPECT_EQ(Get(Family::kCatalog, "large"), kLarge);
}

}  // namespace
}  // namespace kalam::storage

// A disk that is full, fails to sync, or is slow: what the group answers and what can be seen
// meanwhile.
#include <gtest/gtest.h>

#include <future>

#include "base/log.h"
#include "forgetful_file_system.h"
#include "replication/group_test_bench.h"

namespace kalam::replication {
namespace {

using testing_support::ForgetfulFileSystem;

class DiskFailureTest : public testing::Test {
 protected:
  DiskFailureTest() {
    // What RocksDB warns of is what these tests are about.
    EXPECT_TRUE(OpenLog({.level = LogLevel::kError, .to_console = false}).ok());
    std::string pattern = testing::TempDir() + "kalam_disk_XXXXXX";
    directory_ = mkdtemp(pattern.data());
    file_system_ = std::make_shared<ForgetfulFileSystem>(directory_ + "/attic", 1);
    database_.Close();
    database_.store_options.file_system = file_system_;
    database_.Open();
    group_options_.full_disk_probe_interval_us = 2'000;
    group_options_.on_storage_failure = [this](const Status& status) {
      failure_.set_value(status);
    };
    OpenGroup();
    EXPECT_TRUE(CreateTestTable(database_, *group_).ok());
  }
  ~DiskFailureTest() override {
    CloseLog();
    group_.reset();
    database_.Close();
    std::filesystem::remove_all(directory_);
  }
  void OpenGroup() {
    auto opened = OpenStandaloneGroup(*database_.store, *database_.catalog, group_options_);
    ASSERT_TRUE(opened.ok()) << opened.status().ToString();
    group_ = std::move(opened).value();
  }
  Status Insert(int64_t key, size_t size = 100) {
    return ProposeAndWait(*group_,
                          TestCommand(group_->published_seq(),
                                      TestRow(key, ChangeOp::kInsert, {}, std::string(size, 'x'))))
        .status;
  }

  std::string directory_;
  std::shared_ptr<ForgetfulFileSystem> file_system_;
  TestDatabase database_;
  StandaloneOptions group_options_;
  std::promise<Status> failure_;
  std::unique_ptr<ReplicationGroup> group_;
};

TEST_F(DiskFailureTest, NothingIsVisibleOrAcknowledgedBeforeTheSync) {
  ASSERT_TRUE(Insert(1).ok());
  Seq before = group_->published_seq();
  std::promise<void> reached;
  std::promise<void> release;
  std::shared_future<void> released = release.get_future().share();
  std::atomic<bool> first{true};
  file_system_->SetBeforeSync([&](const std::string& path) {
    if (!path.ends_with(".log") || !first.exchange(false)) return;
    reached.set_value();
    released.wait();
  });
  std::promise<Status> done;
  ASSERT_EQ(group_
                ->Propose(TestCommand(before, TestRow(2, ChangeOp::kInsert, {}, "x")),
                          [&done](const CommitResult& result) { done.set_value(result.status); })
                .outcome,
            ProposeOutcome::kAppended);
  reached.get_future().wait();
  // The bytes are in the file, the sync is not done.
  EXPECT_EQ(group_->published_seq(), before);
  EXPECT_EQ(database_.Read(2), std::nullopt);
  std::future<Status> answer = done.get_future();
  EXPECT_EQ(answer.wait_for(std::chrono::seconds(0)), std::future_status::timeout);
  release.set_value();
  EXPECT_TRUE(answer.get().ok());
  EXPECT_TRUE(database_.Read(2).has_value());
  EXPECT_GT(group_->published_seq(), before);
  file_system_->SetBeforeSync(nullptr);
}

TEST_F(DiskFailureTest, OneSyncCommitsEverythingThatWaited) {
  std::promise<void> reached;
  std::promise<void> release;
  std::shared_future<void> released = release.get_future().share();
  std::atomic<bool> first{true};
  file_system_->SetBeforeSync([&](const std::string&) {
    if (!first.exchange(false)) return;
    reached.set_value();
    released.wait();
  });
  std::atomic<int> done{0};
  auto propose = [&](int64_t key) {
    group_->Propose(TestCommand(group_->published_seq(), TestRow(key, ChangeOp::kInsert, {}, "x")),
                    [&done](const CommitResult& result) { done += result.status.ok(); });
  };
  propose(1);
  reached.get_future().wait();
  for (int64_t key = 2; key <= 65; ++key) propose(key);
  uint64_t before = file_system_->sync_count();
  release.set_value();
  group_->Close();
  EXPECT_EQ(done, 65);
  EXPECT_EQ(file_system_->sync_count() - before, 2u);
  file_system_->SetBeforeSync(nullptr);
}

TEST_F(DiskFailureTest, NearlyFullDiskRefusesBeforeAnythingIsWritten) {
  // Larger than what may be written between two looks at the free space.
  file_system_->SetFreeBytes(4 << 20);
  Status status = Insert(1, 2 << 20);
  EXPECT_TRUE(status.Is(ErrorKind::ReadOnly)) << status.ToString();
  EXPECT_TRUE(Insert(2).Is(ErrorKind::ReadOnly));
  file_system_->SetFreeBytes(64 << 20);
  while (!(status = Insert(3)).ok()) {
    ASSERT_TRUE(status.Is(ErrorKind::ReadOnly)) << status.ToString();
    std::this_thread::yield();
  }
  EXPECT_EQ(database_.Read(1), std::nullopt);
}

TEST_F(DiskFailureTest, DiskThatRunsFullIsReadOnlyUntilThereIsRoom) {
  ASSERT_TRUE(Insert(1).ok());
  file_system_->SetFreeBytes(10'000, /*told=*/false);
  Status status = Insert(2, 50'000);
  EXPECT_TRUE(status.Is(ErrorKind::OutcomeUnknown)) << status.ToString();
  EXPECT_TRUE(Insert(3).Is(ErrorKind::ReadOnly));
  EXPECT_TRUE(database_.Read(1).has_value());
  file_system_->SetFreeBytes(-1);
  while (!(status = Insert(4)).ok()) {
    ASSERT_TRUE(status.Is(ErrorKind::ReadOnly) || status.Is(ErrorKind::OutcomeUnknown))
        << status.ToString();
    std::this_thread::yield();
  }
  ASSERT_TRUE(Insert(5, 50'000).ok());
  Seq published = group_->published_seq();
  group_.reset();
  database_.Close();
  database_.Open();
  OpenGroup();
  for (int64_t key : {1, 4, 5}) EXPECT_TRUE(database_.Read(key).has_value()) << key;
  EXPECT_EQ(database_.Read(3), std::nullopt);
  EXPECT_GE(group_->published_seq(), published);
}

TEST_F(DiskFailureTest, DiskThatRunsFullAtTheFirstWriteRecoversToo) {
  // Memtables are empty then: nothing but the log can be at fault.
  group_.reset();
  ASSERT_TRUE(database_.store->FlushMemtables().ok());
  database_.Close();
  database_.Open();
  OpenGroup();
  file_system_->SetFreeBytes(10, /*told=*/false);
  EXPECT_FALSE(Insert(1).ok());
  file_system_->SetFreeBytes(-1);
  Status status;
  while (!(status = Insert(2)).ok()) {
    ASSERT_TRUE(status.Is(ErrorKind::ReadOnly) || status.Is(ErrorKind::OutcomeUnknown))
        << status.ToString();
    std::this_thread::yield();
  }
  group_.reset();
  database_.Close();
  database_.Open();
  OpenGroup();
  EXPECT_TRUE(database_.Read(2).has_value());
}

TEST_F(DiskFailureTest, FailedSyncIsFatalAndAnsweredAsUnknown) {
  ASSERT_TRUE(Insert(1).ok());
  file_system_->FailSyncs(true);
  EXPECT_TRUE(Insert(2).Is(ErrorKind::OutcomeUnknown));
  std::future<Status> failure = failure_.get_future();
  EXPECT_TRUE(failure.get().Is(ErrorKind::StorageIo));
  file_system_->FailSyncs(false);
  // Whatever the disk says later: this process takes no more writes.
  EXPECT_TRUE(Insert(3).Is(ErrorKind::StorageIo));
}

using DiskFailureDeathTest = DiskFailureTest;

TEST_F(DiskFailureDeathTest, FailedSyncEndsTheProcessWithItsCode) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        group_.reset();
        group_options_.on_storage_failure = nullptr;
        CloseLog();
        OpenGroup();
        file_system_->FailSyncs(true);
        Insert(2).ok();
      },
      testing::ExitedWithCode(kExitStorageFailure), "a durable write failed");
}

}  // namespace
}  // namespace kalam::replication

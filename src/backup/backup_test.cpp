// Backups over folders: what is copied and reused, what damage and cancelling leave, and a swap
// that is cut off at every step.
#include "backup/backup.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>

#include "objects/file_storage.h"

namespace kalam::backup {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

using Files = std::map<std::string, std::string>;

void WriteFile(const fs::path& path, std::string_view bytes) {
  fs::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << bytes;
}

Files ReadAll(const fs::path& folder) {
  Files files;
  if (!fs::exists(folder)) return files;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (!entry.is_regular_file()) continue;
    std::ifstream in(entry.path(), std::ios::binary);
    files[entry.path().lexically_relative(folder).string()] =
        std::string((std::istreambuf_iterator<char>(in)), {});
  }
  return files;
}

class BackupTest : public testing::Test {
 protected:
  BackupTest() {
    std::string pattern = testing::TempDir() + "kalam_backup_XXXXXX";
    folder_ = mkdtemp(pattern.data());
    fs::create_directories(data());
    auto target = objects::OpenFileStorage({.storage_id = "backup",
                                            .type = "filesystem",
                                            .base_directory = backup(),
                                            .config_json = "",
                                            .credentials_json = ""},
                                           objects::BaseFolder::kCreate);
    EXPECT_TRUE(target.ok()) << target.status().ToString();
    target_ = std::move(target).value();
  }
  ~BackupTest() override { fs::remove_all(folder_); }

  std::string data() const { return folder_ + "/data"; }
  std::string backup() const { return folder_ + "/backup"; }

  Result<BackupResult> Take(const Files& files, const Work& work = {}) {
    return TakeBackup(*target_, "",
                      {.data_directory = data(),
                       .backup_id = "BK-1",
                       .namespace_id = "",
                       .now_ms = 1,
                       .gather =
                           [&](const std::string& folder) {
                             for (const auto& [path, bytes] : files)
                               WriteFile(folder + "/" + path, bytes);
                             return Result<std::vector<LateFile>>(late_files_);
                           },
                       .work = work});
  }
  Result<BackupResult> Stage(const Work& work = {}) {
    return StageRestore(*target_, "", data(), {}, work);
  }
  void WriteData(const Files& files) {
    for (const auto& [path, bytes] : files) WriteFile(data() + "/" + path, bytes);
  }
  Files RestoredData() const {
    Files files;
    for (const std::string part : {"rocksdb", "storage"}) {
      for (const auto& [path, bytes] : ReadAll(data() + "/" + part))
        files[part + "/" + path] = bytes;
    }
    return files;
  }

  std::string folder_;
  std::unique_ptr<objects::ObjectStorage> target_;
  std::vector<LateFile> late_files_;
};

const Files kFirst = {{"rocksdb/CURRENT", "MANIFEST-1"},
                      {"rocksdb/000001.sst", "first table"},
                      {"storage/app/t/batch-0.parquet", "rows"}};
const Files kOther = {{"rocksdb/CURRENT", "MANIFEST-9"}, {"rocksdb/000009.sst", "something else"}};

TEST_F(BackupTest, ComesBackAsItWas) {
  auto taken = Take(kFirst);
  ASSERT_TRUE(taken.ok()) << taken.status().ToString();
  EXPECT_EQ(taken->file_count, 3);
  EXPECT_EQ(taken->bytes, 25);
  EXPECT_EQ(taken->reused_file_count, 0);
  WriteData(kOther);
  ASSERT_TRUE(Stage().ok());
  EXPECT_EQ(RestoredData(), kOther) << "nothing changes before the next start";
  auto activation = ActivateRestore(data(), {});
  ASSERT_TRUE(activation.ok()) << activation.status().ToString();
  EXPECT_TRUE(activation->restored);
  EXPECT_EQ(RestoredData(), kFirst);
  EXPECT_EQ(ReadAll(data() + "/restore/previous"), kOther);
  EXPECT_FALSE(fs::exists(data() + "/tmp/backup-BK-1"));
}

TEST_F(BackupTest, IsKnownAsRestoredUntilTheJobsAreSettled) {
  ASSERT_TRUE(Take(kFirst).ok());
  ASSERT_TRUE(Stage().ok());
  ASSERT_TRUE(ActivateRestore(data(), {}).ok());
  EXPECT_TRUE(ActivateRestore(data(), {})->restored);
  ASSERT_TRUE(FinishActivation(data()).ok());
  EXPECT_FALSE(ActivateRestore(data(), {})->restored);
}

TEST_F(BackupTest, UnchangedFilesAreUsedAgainAndOldOnesGo) {
  ASSERT_TRUE(Take(kFirst).ok());
  Files second = kFirst;
  second["rocksdb/CURRENT"] = "MANIFEST-2";
  second["rocksdb/000002.sst"] = "second table";
  second.erase("rocksdb/000001.sst");
  auto taken = Take(second);
  ASSERT_TRUE(taken.ok()) << taken.status().ToString();
  EXPECT_EQ(taken->file_count, 3);
  EXPECT_EQ(taken->reused_file_count, 1);
  Files there = ReadAll(backup());
  EXPECT_EQ(there.count("rocksdb/000001.sst"), 0u);
  EXPECT_EQ(there.count("rocksdb/CURRENT"), 0u) << "the second one has a name of its own";
  ASSERT_TRUE(Stage().ok());
  ASSERT_TRUE(ActivateRestore(data(), {}).ok());
  EXPECT_EQ(RestoredData(), second);
}

TEST_F(BackupTest, ObjectsOfOtherStoragesAreFetchedOnceAndPlacedBeforeTheRestoreCounts) {
  auto opened = objects::OpenFileStorage({.storage_id = "far",
                                          .type = "filesystem",
                                          .base_directory = folder_ + "/far",
                                          .config_json = "",
                                          .credentials_json = ""},
                                         objects::BaseFolder::kCreate);
  ASSERT_TRUE(opened.ok());
  const std::shared_ptr<objects::ObjectStorage> far = std::move(opened).value();
  ASSERT_TRUE(far->Put("app/t/batch-0.parquet", "far rows").ok());
  late_files_ = {{"objects/far/app/t/batch-0.parquet", far, "app/t/batch-0.parquet"}};
  ASSERT_TRUE(Take(kFirst).ok());
  EXPECT_EQ(ReadAll(backup())["objects/far/app/t/batch-0.parquet"], "far rows");
  auto again = Take(kFirst);
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(again->reused_file_count, 4);
  std::string placed;
  const auto place = [&](const std::string& staging) {
    EXPECT_FALSE(fs::exists(data() + "/restore/ready.json"));
    placed = ReadAll(staging)["objects/far/app/t/batch-0.parquet"];
    return Status::Ok();
  };
  ASSERT_TRUE(StageRestore(*target_, "", data(), place, {}).ok());
  EXPECT_EQ(placed, "far rows");
  const auto fail = [](const std::string&) { return Status(ErrorKind::StorageIo, "no"); };
  EXPECT_FALSE(StageRestore(*target_, "", data(), fail, {}).ok());
  EXPECT_FALSE(ActivateRestore(data(), {})->restored);
}

TEST_F(BackupTest, SharesNoBytesWithTheDatabase) {
  WriteData({{"storage/app/t/batch-0.parquet", "rows"}});
  BackupOptions options;
  options.data_directory = data();
  options.backup_id = "BK-1";
  options.gather = [&](const std::string& work) {
    EXPECT_TRUE(LinkLocalStorage(data(), work + "/storage").ok());
    return Result<std::vector<LateFile>>(std::vector<LateFile>());
  };
  auto taken = TakeBackup(*target_, "", options);
  ASSERT_TRUE(taken.ok()) << taken.status().ToString();
  WriteData({{"storage/app/t/batch-0.parquet", "rosw"}});
  EXPECT_EQ(ReadAll(backup())["storage/app/t/batch-0.parquet"], "rows");
}

TEST_F(BackupTest, APlaceWithFilesOfOthersIsRefused) {
  WriteFile(backup() + "/storage/holiday.jpg", "a beach");
  const Status refused = Take(kFirst).status();
  EXPECT_TRUE(refused.Is(ErrorKind::InvalidOperation)) << refused.ToString();
  EXPECT_EQ(ReadAll(backup()), (Files{{"storage/holiday.jpg", "a beach"}}));
  // What stands beside a backup stays.
  fs::remove(backup() + "/storage/holiday.jpg");
  WriteFile(backup() + "/notes.txt", "about the backup");
  ASSERT_TRUE(Take(kFirst).ok());
  ASSERT_TRUE(Take(kOther).ok());
  EXPECT_EQ(ReadAll(backup())["notes.txt"], "about the backup");
}

TEST_F(BackupTest, WhatARestoreHoldsIsCharged) {
  Files files = kFirst;
  files["rocksdb/000009.sst"] = std::string(300'000, 'x');
  ASSERT_TRUE(Take(files).ok());
  MemoryAccount jobs("jobs", nullptr);
  Work work;
  work.memory = &jobs;
  ASSERT_TRUE(Stage(work).ok());
  EXPECT_GE(jobs.peak_bytes(), 300'000);
  EXPECT_LT(jobs.peak_bytes(), 2'000'000);
  EXPECT_EQ(jobs.used_bytes(), 0);
}

TEST_F(BackupTest, TheFirstOneMayBeCutOffToo) {
  Work work;
  work.fail_point = [](std::string_view reached) {
    if (reached == "backup.copied") _exit(86);
  };
  EXPECT_EXIT((void)Take(kOther, work), testing::ExitedWithCode(86), "");
  EXPECT_TRUE(Stage().status().Is(ErrorKind::NotFound));
  ASSERT_TRUE(Take(kFirst).ok());
  Files there = ReadAll(backup());
  there.erase("backup.json");
  EXPECT_EQ(there, kFirst);
}

TEST_F(BackupTest, OneThatCouldNotEvenGatherLeavesThePlaceEmpty) {
  BackupOptions options;
  options.data_directory = data();
  options.backup_id = "BK-1";
  options.gather = [&](const std::string&) {
    return Result<std::vector<LateFile>>(Status(ErrorKind::Cancelled, "killed"));
  };
  EXPECT_TRUE(TakeBackup(*target_, "", options).status().Is(ErrorKind::Cancelled));
  EXPECT_EQ(ReadAll(backup()), Files{});
}

TEST_F(BackupTest, AFailureAfterOneThatWasCutOffLeavesThePlaceToTheNext) {
  Work cut_off;
  cut_off.fail_point = [](std::string_view reached) {
    if (reached == "backup.copied") _exit(86);
  };
  EXPECT_EXIT((void)Take(kOther, cut_off), testing::ExitedWithCode(86), "");
  Work cancelled;
  cancelled.cancelled = [] { return true; };
  EXPECT_TRUE(Take(kFirst, cancelled).status().Is(ErrorKind::Cancelled));
  // Files of the first one are still there: without its mark they would count as a stranger's.
  const Status taken = Take(kFirst).status();
  ASSERT_TRUE(taken.ok()) << taken.ToString();
  Files there = ReadAll(backup());
  there.erase("backup.json");
  EXPECT_EQ(there, kFirst);
}

TEST_F(BackupTest, ACancelledOneLeavesTheEarlierOne) {
  ASSERT_TRUE(Take(kFirst).ok());
  const Files before = ReadAll(backup());
  int polls = 0;
  Work work;
  work.cancelled = [&] { return ++polls > 1; };
  Files second = kFirst;
  second["rocksdb/000003.sst"] = "third table";
  second["rocksdb/000004.sst"] = "fourth table";
  EXPECT_TRUE(Take(second, work).status().Is(ErrorKind::Cancelled));
  EXPECT_EQ(ReadAll(backup()), before);
  EXPECT_FALSE(fs::exists(data() + "/tmp/backup-BK-1"));
}

TEST_F(BackupTest, OneThatWasCutOffLeavesTheEarlierOneAndIsTidiedUpByTheNext) {
  ASSERT_TRUE(Take(kFirst).ok());
  for (const char* step : {"backup.gathered", "backup.copied", "backup.synced"}) {
    Files second = kFirst;
    second["rocksdb/000003.sst"] = step;
    Work work;
    work.fail_point = [step](std::string_view reached) {
      if (reached == step) _exit(86);
    };
    EXPECT_EXIT((void)Take(second, work), testing::ExitedWithCode(86), "") << step;
    ASSERT_TRUE(Stage().ok()) << step;
  }
  ASSERT_TRUE(RemoveWorkFolders(data()).ok());
  EXPECT_TRUE(fs::is_empty(data() + "/tmp"));
  ASSERT_TRUE(Take(kFirst).ok());
  Files there = ReadAll(backup());
  there.erase("backup.json");
  EXPECT_EQ(there, kFirst);
}

TEST_F(BackupTest, AFlippedBitIsNamedAndNothingIsStaged) {
  ASSERT_TRUE(Take(kFirst).ok());
  WriteData(kOther);
  WriteFile(backup() + "/rocksdb/000001.sst", "first tabme");
  const Status status = Stage().status();
  EXPECT_TRUE(status.Is(ErrorKind::Corruption));
  EXPECT_THAT(status.message(), HasSubstr("rocksdb/000001.sst"));
  fs::remove(backup() + "/rocksdb/000001.sst");
  EXPECT_THAT(Stage().status().message(), HasSubstr("lacks the file 'rocksdb/000001.sst'"));
  auto activation = ActivateRestore(data(), {});
  ASSERT_TRUE(activation.ok());
  EXPECT_FALSE(activation->restored);
  EXPECT_EQ(RestoredData(), kOther);
}

TEST_F(BackupTest, DamageAfterStagingIsFoundAndTheDataStays) {
  ASSERT_TRUE(Take(kFirst).ok());
  WriteData(kOther);
  ASSERT_TRUE(Stage().ok());
  WriteFile(data() + "/restore/staging/rocksdb/000001.sst", "first tabme");
  auto activation = ActivateRestore(data(), {});
  ASSERT_TRUE(activation.ok()) << activation.status().ToString();
  EXPECT_FALSE(activation->restored);
  EXPECT_THAT(activation->message, HasSubstr("rocksdb/000001.sst"));
  EXPECT_EQ(RestoredData(), kOther);
  EXPECT_EQ(ActivateRestore(data(), {})->message, "") << "it is told once";
}

TEST_F(BackupTest, DamagedAndForeignListingsAreRefused) {
  EXPECT_TRUE(Stage().status().Is(ErrorKind::NotFound));
  for (const char* text :
       {"", "[]", "{\"format\":1}", "{\"format\":1,\"files\":[3]}",
        "{\"format\":1,\"files\":[{\"path\":\"rocksdb/../../x\",\"stored\":\"a\",\"size\":1,"
        "\"sha256\":\"00\"}]}",
        "{\"format\":1,\"files\":[{\"path\":\"jwt_secret\",\"stored\":\"jwt_secret\",\"size\":1,"
        "\"sha256\":\"00\"}]}"}) {
    WriteFile(backup() + "/backup.json", text);
    EXPECT_TRUE(Stage().status().Is(ErrorKind::Corruption)) << text;
  }
  WriteFile(backup() + "/backup.json", "{\"format\":2,\"files\":[]}");
  EXPECT_TRUE(Stage().status().Is(ErrorKind::NotAvailable));
  EXPECT_FALSE(fs::exists(data() + "/restore/ready.json"));
}

TEST_F(BackupTest, ASwapThatIsCutOffIsFinishedByTheNextStart) {
  for (const char* step : {"restore.swapping", "restore.moved_aside", "restore.moved_in",
                           "restore.activated", "restore.moved_aside:1", "restore.moved_in:1"}) {
    fs::remove_all(data());
    fs::remove_all(backup());
    fs::create_directories(backup());
    ASSERT_TRUE(Take(kFirst).ok());
    WriteData(kOther);
    WriteData({{"storage/app/u/batch-3.parquet", "other rows"}});
    const Files before = RestoredData();
    ASSERT_TRUE(Stage().ok());
    const std::string text = step;
    int left = text.ends_with(":1") ? 1 : 0;
    const auto end = [&](std::string_view reached) {
      if (reached == text.substr(0, text.find(':')) && left-- == 0) _exit(86);
    };
    EXPECT_EXIT((void)ActivateRestore(data(), end), testing::ExitedWithCode(86), "") << step;
    auto activation = ActivateRestore(data(), {});
    ASSERT_TRUE(activation.ok()) << step << ": " << activation.status().ToString();
    EXPECT_TRUE(activation->restored) << step;
    EXPECT_EQ(RestoredData(), kFirst) << step;
    EXPECT_EQ(ReadAll(data() + "/restore/previous"), before) << step;
  }
}

}  // namespace
}  // namespace kalam::backup

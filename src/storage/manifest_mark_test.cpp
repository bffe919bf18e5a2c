// What a power failure may leave at the end of a manifest is forgiven; damage is not.
#include "storage/manifest_mark.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "storage/checkpoint.h"
#include "storage/store.h"

namespace kalam::storage {
namespace {

using testing::HasSubstr;

std::string ReadAll(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream bytes;
  bytes << file.rdbuf();
  return bytes.str();
}

void WriteAll(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

/// A record of ten bytes as long as it says, with a wrong checksum.
std::string RecordWithWrongBytes() { return std::string("\1\2\3\4\x0a\0\1", 7) + "xxxxxxxxxx"; }

class ManifestMarkTest : public testing::Test {
 protected:
  ManifestMarkTest() {
    std::string pattern = testing::TempDir() + "kalam_manifest_XXXXXX";
    directory_ = mkdtemp(pattern.data());
    options_.path = directory_ + "/db";
  }
  ~ManifestMarkTest() override {
    store_.reset();
    std::filesystem::remove_all(directory_);
  }
  Status Open() {
    store_.reset();
    auto opened = Store::Open(options_);
    if (opened.ok()) store_ = std::move(opened).value();
    return opened.status();
  }
  /// A closed database with a row in a table file, of which the manifest knows.
  void Make(const std::string& other_key = "other") {
    ASSERT_EQ(Open().ToString(), Status::Ok().ToString());
    WriteBatch batch;
    batch.Put(Family::kRows, "key", std::string(1'000, 'x'));
    batch.Put(Family::kRows, other_key, "");
    ASSERT_TRUE(store_->Write(std::move(batch), Durability::kFsync).ok());
    ASSERT_TRUE(store_->FlushMemtables().ok());
    store_.reset();
  }
  bool HasRow() {
    auto value = store_->Get(Family::kRows, "key");
    return value.ok() && *value == std::string(1'000, 'x');
  }
  /// The one that CURRENT names.
  std::string Manifest() const {
    std::string name = ReadAll(options_.path + "/CURRENT");
    return options_.path + "/" + name.substr(0, name.size() - 1);
  }
  std::string Mark() const { return Manifest() + ".synced"; }

  std::string directory_;
  StoreOptions options_;
  std::unique_ptr<Store> store_;
};

TEST_F(ManifestMarkTest, EndThatWasNeverSyncedIsCutOff) {
  const std::string first_of_two = std::string("\0\0\0\0\xff\x7f\2", 7);
  for (const std::string& tail : {RecordWithWrongBytes(), std::string(70'000, 'x'),
                                  std::string(5, '\1'), first_of_two + std::string(40'000, '\0'),
                                  RecordWithWrongBytes() + std::string(40'000, 1)}) {
    Make();
    WriteAll(Manifest(), ReadAll(Manifest()) + tail);
    // Half a note: the power went while it was written.
    WriteAll(Mark(), ReadAll(Mark()) + "\x10\x20\x30");
    ASSERT_EQ(Open().ToString(), Status::Ok().ToString());
    EXPECT_TRUE(HasRow());
    store_.reset();
    // The next start works like any other.
    ASSERT_EQ(Open().ToString(), Status::Ok().ToString());
    EXPECT_TRUE(HasRow());
    store_.reset();
  }
}

TEST_F(ManifestMarkTest, WholeRecordsBehindTheNoteStay) {
  Make();
  // As if the power had gone before the last note was written.
  const std::string notes = ReadAll(Mark());
  ASSERT_EQ(notes.size() % 12, 0u);
  WriteAll(Mark(), notes.substr(0, notes.size() - 12));
  WriteAll(Manifest(), ReadAll(Manifest()) + RecordWithWrongBytes());
  ASSERT_EQ(Open().ToString(), Status::Ok().ToString());
  EXPECT_TRUE(HasRow());
}

TEST_F(ManifestMarkTest, WithoutANoteRocksDbJudges) {
  Make();
  std::filesystem::remove(Mark());
  ASSERT_EQ(Open().ToString(), Status::Ok().ToString());
  store_.reset();
  std::filesystem::remove(Mark());
  WriteAll(Manifest(), ReadAll(Manifest()) + RecordWithWrongBytes());
  Status status = Open();
  EXPECT_EQ(status.kind(), ErrorKind::Corruption);
  EXPECT_THAT(status.message(), HasSubstr("checksum mismatch"));
  EXPECT_THAT(status.message(), HasSubstr(Manifest()));
}

TEST_F(ManifestMarkTest, DamageOfWhatWasSyncedIsRefusedAndNamed) {
  Make();
  const std::string whole = ReadAll(Manifest());
  std::string middle = whole;
  middle[whole.size() / 2] ^= 0x40;
  std::string last = whole;
  last.replace(last.size() - 6, 6, 6, '\0');
  // RocksDB alone would take this one for what a power failure leaves.
  const std::string shorter = whole.substr(0, whole.size() - 1);
  const std::string zeros = shorter.substr(0, shorter.size() - 60) + std::string(61, '\0');
  for (const std::string& damaged :
       {middle, last, shorter, zeros, middle + RecordWithWrongBytes(), std::string()}) {
    WriteAll(Manifest(), damaged);
    for (int i = 0; i < 2; ++i) {
      Status status = Open();
      ASSERT_EQ(status.kind(), ErrorKind::Corruption) << status.ToString();
      EXPECT_THAT(status.message(), HasSubstr(Manifest()));
      EXPECT_THAT(status.message(), HasSubstr("truncate -s "));
      EXPECT_EQ(ReadAll(Manifest()), damaged) << "nothing is changed";
    }
  }
  WriteAll(Manifest(), whole);
  ASSERT_EQ(Open().ToString(), Status::Ok().ToString());
  EXPECT_TRUE(HasRow());
}

TEST_F(ManifestMarkTest, RecordMaySpanSeveralBlocks) {
  // The manifest names the greatest key of each file.
  Make(std::string(100'000, 'z'));
  const std::string whole = ReadAll(Manifest());
  ASSERT_GT(whole.size(), 100'000u);
  for (size_t at : {33'000u, 70'000u, 100'000u}) {
    std::string damaged = whole;
    damaged[at] ^= 0x40;
    WriteAll(Manifest(), damaged);
    EXPECT_EQ(Open().kind(), ErrorKind::Corruption);
  }
  WriteAll(Manifest(), whole + RecordWithWrongBytes());
  ASSERT_EQ(Open().ToString(), Status::Ok().ToString());
  EXPECT_TRUE(HasRow());
}

TEST_F(ManifestMarkTest, ManifestOfARunningServerIsLeftAlone) {
  ASSERT_EQ(Open().ToString(), Status::Ok().ToString());
  const std::string bytes = ReadAll(Manifest()) + RecordWithWrongBytes();
  WriteAll(Manifest(), bytes);
  auto second = Store::Open(options_);
  EXPECT_EQ(second.status().kind(), ErrorKind::StorageIo);
  EXPECT_THAT(second.status().message(), HasSubstr("in use by another process"));
  EXPECT_EQ(ReadAll(Manifest()), bytes);
}

TEST_F(ManifestMarkTest, MarksGoWithTheirManifests) {
  for (int i = 0; i < 3; ++i) Make();
  ASSERT_EQ(Open().ToString(), Status::Ok().ToString());
  ASSERT_TRUE(WriteCheckpoint(*store_, directory_ + "/copy").ok());
  store_.reset();
  for (const std::string& path : {options_.path, directory_ + "/copy"}) {
    options_.path = path;
    ASSERT_EQ(Open().ToString(), Status::Ok().ToString());
    EXPECT_TRUE(HasRow());
    store_.reset();
    int marks = 0;
    for (const auto& entry : std::filesystem::directory_iterator(path)) {
      marks += entry.path().string().ends_with(".synced");
    }
    EXPECT_EQ(marks, 1);
    EXPECT_TRUE(std::filesystem::exists(Mark()));
  }
}

}  // namespace
}  // namespace kalam::storage

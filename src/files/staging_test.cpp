// Staged files: checksums, limits, and that nothing stays behind.
#include "files/staging.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "base/id_generators.h"

namespace kalam::files {
namespace {

class StagingTest : public testing::Test {
 protected:
  StagingTest() {
    limits_.staging_path =
        (std::filesystem::temp_directory_path() / ("kalam-staging-" + RandomHex(12))).string();
    limits_.file_bytes_max = 10;
    limits_.files_per_request_max = 2;
  }
  ~StagingTest() override { std::filesystem::remove_all(limits_.staging_path); }

  std::unique_ptr<StagingArea> Open() { return std::make_unique<StagingArea>(limits_, "a/b"); }
  size_t FolderCount() const {
    size_t count = 0;
    for (const auto& entry : std::filesystem::directory_iterator(limits_.staging_path))
      count += entry.exists() ? 1 : 0;
    return count;
  }

  FileLimits limits_;
};

TEST_F(StagingTest, TellsSizeTypeAndChecksum) {
  const auto area = Open();
  ASSERT_TRUE(area->Begin("x", "C:\\docs\\hello.txt", "image/png").ok());
  ASSERT_TRUE(area->Append("hel").ok());
  ASSERT_TRUE(area->Append("lo").ok());
  ASSERT_TRUE(area->End().ok());
  const StagedFile* file = area->Find("x");
  ASSERT_NE(file, nullptr);
  EXPECT_EQ(file->name, "hello.txt");
  EXPECT_EQ(file->mime, "text/plain");
  EXPECT_EQ(file->size_bytes, 5);
  EXPECT_EQ(file->sha256, "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
  std::ifstream content(file->path);
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(content), {}), "hello");
  EXPECT_EQ(area->Find("y"), nullptr);
}

TEST_F(StagingTest, HonoursEachLimit) {
  const auto area = Open();
  ASSERT_TRUE(area->Begin("x", "a", "").ok());
  ASSERT_TRUE(area->Append("0123456789").ok());
  EXPECT_TRUE(area->Append("0").Is(ErrorKind::FileTooLarge));
  ASSERT_TRUE(area->End().ok());
  EXPECT_TRUE(area->Begin("x", "a", "").Is(ErrorKind::InvalidInput));
  EXPECT_TRUE(area->Begin("", "a", "").Is(ErrorKind::InvalidInput));
  ASSERT_TRUE(area->Begin("y", "a", "").ok());
  ASSERT_TRUE(area->End().ok());
  EXPECT_TRUE(area->Begin("z", "a", "").Is(ErrorKind::TooManyFiles));
}

TEST_F(StagingTest, RefusesTypesThatAreNotAllowed) {
  limits_.allowed_mime_types = {"image/*"};
  const auto area = Open();
  ASSERT_TRUE(area->Begin("x", "a.txt", "image/png").ok());
  EXPECT_TRUE(area->End().Is(ErrorKind::InvalidMimeType));
}

TEST_F(StagingTest, LeavesNothingBehind) {
  {
    const auto area = Open();
    ASSERT_TRUE(area->Begin("x", "a", "").ok());
    EXPECT_EQ(FolderCount(), 1u);
  }
  EXPECT_EQ(FolderCount(), 0u);
  std::filesystem::create_directories(limits_.staging_path + "/upload-0-ann");
  std::filesystem::create_directories(limits_.staging_path + "/analytics");
  ASSERT_TRUE(RemoveStagedLeftovers(limits_).ok());
  EXPECT_EQ(FolderCount(), 1u);
}

}  // namespace
}  // namespace kalam::files

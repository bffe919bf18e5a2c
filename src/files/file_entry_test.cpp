// Stored names, folders and records of files.
#include "files/file_entry.h"

#include <gtest/gtest.h>

namespace kalam::files {
namespace {

TEST(FileEntryTest, StoredNamesAreIdStemAndExtension) {
  EXPECT_EQ(StoredName(7, "My Photo (1).JPG"), "7-my-photo-1.jpg");
  EXPECT_EQ(StoredName(7, "archive.tar.gz"), "7-archive-tar.gz");
  EXPECT_EQ(StoredName(7, "README"), "7-readme.bin");
  EXPECT_EQ(StoredName(7, ".env"), "7.env");
  EXPECT_EQ(StoredName(7, "???.png"), "7.png");
  EXPECT_EQ(StoredName(7, "a.p-g"), "7-a.bin");
  EXPECT_EQ(StoredName(7, "a.abcdefghijk"), "7-a.bin");
  EXPECT_EQ(StoredName(7, ""), "7.bin");
  EXPECT_EQ(StoredName(7, std::string(80, 'x') + ".txt"), "7-" + std::string(50, 'x') + ".txt");
}

TEST(FileEntryTest, FoldersGoOnBeyondFourDigits) {
  EXPECT_EQ(FolderName(1), "f0001");
  EXPECT_EQ(FolderName(9999), "f9999");
  EXPECT_EQ(FolderName(10000), "f10000");
}

TEST(FileEntryTest, FindsTheIdInNames) {
  EXPECT_EQ(IdOfStoredName("77-a.png"), 77);
  EXPECT_EQ(IdOfStoredName("77.png"), 77);
  EXPECT_EQ(IdOfStoredName("77"), 77);
  for (const char* name : {"", "a", "-7", "0", "77x", "99999999999999999999", " 77"})
    EXPECT_EQ(IdOfStoredName(name), 0) << name;
}

TEST(FileEntryTest, RecordsComeBackAndDamageIsSeen) {
  FileEntry entry;
  entry.reference = {.id = 77,
                     .sub = "f0001",
                     .name = "a.png",
                     .size_bytes = 5,
                     .mime = "image/png",
                     .sha256 = "00ff"};
  entry.stored_name = "77-a.png";
  entry.storage_id = "local";
  entry.path = "app/docs/f0001/77-a.png";
  entry.created_at_us = 1'750'000'000'000'000;
  const std::string bytes = EncodeFileEntry(entry);
  const auto decoded = DecodeFileEntry(bytes);
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(decoded->reference, entry.reference);
  EXPECT_EQ(decoded->path, entry.path);
  EXPECT_EQ(decoded->storage_id, "local");
  for (size_t size = 0; size < bytes.size(); ++size)
    EXPECT_FALSE(DecodeFileEntry(std::string_view(bytes).substr(0, size)).ok()) << size;
  EXPECT_FALSE(DecodeFileEntry(bytes + "x").ok());
}

}  // namespace
}  // namespace kalam::files

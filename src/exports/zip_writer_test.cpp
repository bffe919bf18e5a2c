// Archives as another program reads them.
#include "exports/zip_writer.h"

#include <gtest/gtest.h>
#include <minizip/unzip.h>

#include <filesystem>
#include <fstream>
#include <map>

namespace kalam::exports {
namespace {

std::map<std::string, std::string> ReadArchive(const std::string& path) {
  std::map<std::string, std::string> entries;
  const unzFile file = unzOpen64(path.c_str());
  EXPECT_NE(file, nullptr);
  if (file == nullptr) return entries;
  for (int at = unzGoToFirstFile(file); at == UNZ_OK; at = unzGoToNextFile(file)) {
    char name[256];
    unz_file_info64 facts;
    EXPECT_EQ(unzGetCurrentFileInfo64(file, &facts, name, sizeof name, nullptr, 0, nullptr, 0),
              UNZ_OK);
    EXPECT_EQ(unzOpenCurrentFile(file), UNZ_OK);
    std::string bytes(facts.uncompressed_size, '\0');
    EXPECT_EQ(unzReadCurrentFile(file, bytes.data(), static_cast<unsigned>(bytes.size())),
              static_cast<int>(bytes.size()));
    EXPECT_EQ(unzCloseCurrentFile(file), UNZ_OK) << "the checksum of " << name;
    entries[name] = bytes;
  }
  unzClose(file);
  return entries;
}

class ZipWriterTest : public testing::Test {
 protected:
  ZipWriterTest() {
    std::string pattern = testing::TempDir() + "kalam_zip_XXXXXX";
    folder_ = mkdtemp(pattern.data());
  }
  ~ZipWriterTest() override { std::filesystem::remove_all(folder_); }
  std::string folder_;
};

TEST_F(ZipWriterTest, HoldsWhatWasPutIntoIt) {
  const std::string path = folder_ + "/ann/x.zip";
  std::ofstream(folder_ + "/local", std::ios::binary) << std::string(300000, 'l');
  auto zip = ZipWriter::Create(path);
  ASSERT_TRUE(zip.ok()) << zip.status().ToString();
  ASSERT_TRUE((*zip)->BeginEntry("app/t/rows.csv", ZipWriter::Compression::kDeflate).ok());
  ASSERT_TRUE((*zip)->Write("id,body\r\n").ok());
  ASSERT_TRUE((*zip)->Write(std::string(500000, 'x')).ok());
  ASSERT_TRUE(
      (*zip)
          ->AddFile("app/ü/batch-0.parquet", folder_ + "/local", ZipWriter::Compression::kStore)
          .ok());
  ASSERT_TRUE((*zip)->BeginEntry("empty", ZipWriter::Compression::kStore).ok());
  EXPECT_FALSE(std::filesystem::exists(path)) << "not before it is whole";
  const Result<int64_t> size = (*zip)->Close();
  ASSERT_TRUE(size.ok());
  EXPECT_EQ(*size, static_cast<int64_t>(std::filesystem::file_size(path)));
  const std::map<std::string, std::string> expected = {
      {"app/t/rows.csv", "id,body\r\n" + std::string(500000, 'x')},
      {"app/ü/batch-0.parquet", std::string(300000, 'l')},
      {"empty", ""}};
  EXPECT_EQ(ReadArchive(path), expected);
}

TEST_F(ZipWriterTest, WithoutCloseThereIsNothing) {
  const std::string path = folder_ + "/x.zip";
  {
    auto zip = ZipWriter::Create(path);
    ASSERT_TRUE(zip.ok());
    ASSERT_TRUE((*zip)->BeginEntry("a", ZipWriter::Compression::kDeflate).ok());
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder_));
}

TEST_F(ZipWriterTest, AFileThatIsNotThereIsAnError) {
  auto zip = ZipWriter::Create(folder_ + "/x.zip");
  ASSERT_TRUE(zip.ok());
  EXPECT_TRUE((*zip)
                  ->AddFile("a", folder_ + "/nothing", ZipWriter::Compression::kStore)
                  .Is(ErrorKind::StorageIo));
}

TEST_F(ZipWriterTest, AFolderThatCannotBeMadeIsAnError) {
  std::ofstream(folder_ + "/file") << "x";
  EXPECT_TRUE(ZipWriter::Create(folder_ + "/file/x.zip").status().Is(ErrorKind::StorageIo));
}

}  // namespace
TEST_F(ZipWriterTest, WhatItHoldsIsCharged) {
  MemoryAccount held("user_export", nullptr);
  auto zip = ZipWriter::Create(folder_ + "/x.zip", &held).value();
  const int64_t idle = held.used_bytes();
  EXPECT_GE(idle, 64 << 10) << "the library's buffer";
  ASSERT_TRUE(zip->BeginEntry("a", ZipWriter::Compression::kDeflate).ok());
  EXPECT_GE(held.used_bytes(), idle + (256 << 10)) << "the compressor";
  ASSERT_TRUE(zip->BeginEntry("b", ZipWriter::Compression::kStore).ok());
  EXPECT_GT(held.used_bytes(), idle) << "two names";
  EXPECT_LT(held.used_bytes(), idle + 1024);
  zip.reset();
  EXPECT_EQ(held.used_bytes(), 0) << "also of an archive that is given up";
}

}  // namespace kalam::exports

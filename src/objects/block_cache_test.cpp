// The cache of blocks: what is asked for twice is read once, and nothing that was replaced is seen.
#include "objects/block_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <map>

#include "base/id_generators.h"

namespace kalam::objects {
namespace {

// Objects in memory that count what is read.
class CountingStorage : public ObjectStorage {
 public:
  Status PutFile(const std::string&, const std::string&) override { return Status::Ok(); }
  Status Put(const std::string& path, std::string_view bytes) override {
    objects[path] = bytes;
    return {};
  }
  Result<std::string> Read(const std::string& path, int64_t offset, int64_t length) override {
    ++reads;
    const std::string& object = objects[path];
    if (offset >= static_cast<int64_t>(object.size())) return std::string();
    return object.substr(static_cast<size_t>(offset),
                         length < 0 ? std::string::npos : static_cast<size_t>(length));
  }
  Result<ObjectEntry> Stat(const std::string&) override { return ObjectEntry{}; }
  Status List(const std::string&, const std::function<bool(const ObjectEntry&)>&) override {
    return {};
  }
  Status Delete(const std::string& path) override {
    objects.erase(path);
    return {};
  }
  std::string LocalPath(const std::string&) const override { return ""; }

  std::map<std::string, std::string> objects;
  int reads = 0;
};

class BlockCacheTest : public testing::Test {
 protected:
  void Open(int64_t blocks_max) {
    cache_ = *BlockCache::Open({.directory = directory_,
                                .bytes_max = blocks_max * kCacheBlockBytes,
                                .metrics = &metrics_});
    storage_ = MakeCachedStorage(far_, cache_, "far");
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }
  std::string Bytes(int64_t size) {
    std::string bytes(static_cast<size_t>(size), '\0');
    for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i * 7 + i / 251);
    return bytes;
  }
  int64_t FileCount() { return std::distance(std::filesystem::directory_iterator(directory_), {}); }

  const std::string directory_ = testing::TempDir() + "/kalam-cache-" + RandomHex(8);
  Metrics metrics_;
  const std::shared_ptr<CountingStorage> far_ = std::make_shared<CountingStorage>();
  std::shared_ptr<BlockCache> cache_;
  std::unique_ptr<ObjectStorage> storage_;
};

TEST_F(BlockCacheTest, RangesAreReadOnce) {
  Open(16);
  const std::string bytes = Bytes(3 * kCacheBlockBytes + 1000);
  far_->objects["a"] = bytes;
  EXPECT_EQ(*storage_->Read("a", 10, 20), bytes.substr(10, 20));
  EXPECT_EQ(*storage_->Read("a", 5000, 100), bytes.substr(5000, 100));
  EXPECT_EQ(far_->reads, 1);
  // Over the border of a block, to the end, and behind it.
  EXPECT_EQ(*storage_->Read("a", kCacheBlockBytes - 5, 10), bytes.substr(kCacheBlockBytes - 5, 10));
  EXPECT_EQ(far_->reads, 2);
  EXPECT_EQ(*storage_->Read("a", 100, 4 * kCacheBlockBytes), bytes.substr(100));
  EXPECT_EQ(far_->reads, 3);
  EXPECT_EQ(*storage_->Read("a", 3 * kCacheBlockBytes + 990, 500), bytes.substr(bytes.size() - 10));
  EXPECT_EQ(*storage_->Read("a", 3 * kCacheBlockBytes + 2000, 500), "");
  EXPECT_EQ(far_->reads, 3);
  EXPECT_EQ(FileCount(), 4);
  EXPECT_EQ(metrics_.gauge("storage_cache_bytes").value(), static_cast<int64_t>(bytes.size()));
}

TEST_F(BlockCacheTest, AReplacedOrDeletedObjectIsForgotten) {
  Open(16);
  ASSERT_TRUE(storage_->Put("a", "first").ok());
  EXPECT_EQ(*storage_->Read("a", 0, 5), "first");
  ASSERT_TRUE(storage_->Put("a", "other").ok());
  EXPECT_EQ(*storage_->Read("a", 0, 5), "other");
  ASSERT_TRUE(storage_->Delete("a").ok());
  EXPECT_EQ(*storage_->Read("a", 0, 5), "");
  // What was fetched before a replacement is not kept after it.
  const uint64_t before = cache_->generation();
  cache_->Forget("far\nb");
  cache_->Put("far\nb", 0, "stale", before);
  EXPECT_FALSE(cache_->Get("far\nb", 0).has_value());
}

TEST_F(BlockCacheTest, TheLeastRecentlyUsedGoFirst) {
  Open(2);
  for (const char* name : {"a", "b", "c"}) far_->objects[name] = Bytes(kCacheBlockBytes);
  (void)storage_->Read("a", 0, 1);
  (void)storage_->Read("b", 0, 1);
  (void)storage_->Read("a", 0, 1);
  (void)storage_->Read("c", 0, 1);  // b goes
  EXPECT_EQ(far_->reads, 3);
  EXPECT_EQ(FileCount(), 2);
  (void)storage_->Read("a", 0, 1);
  EXPECT_EQ(far_->reads, 3);
  (void)storage_->Read("b", 0, 1);
  EXPECT_EQ(far_->reads, 4);
}

TEST_F(BlockCacheTest, ALostFileIsAMissAndALeftOneIsRemoved) {
  Open(4);
  far_->objects["a"] = "bytes";
  (void)storage_->Read("a", 0, 5);
  for (const auto& entry : std::filesystem::directory_iterator(directory_)) {
    std::filesystem::remove(entry);
  }
  EXPECT_EQ(*storage_->Read("a", 0, 5), "bytes");
  EXPECT_EQ(far_->reads, 2);
  std::filesystem::create_directories(directory_ + "/left");
  Open(4);
  EXPECT_EQ(FileCount(), 0);
}

TEST_F(BlockCacheTest, ReadsUpToTheEndGoPastIt) {
  Open(4);
  far_->objects["manifest.json"] = "{}";
  EXPECT_EQ(*storage_->Read("manifest.json", 0, -1), "{}");
  far_->objects["manifest.json"] = "{1}";
  EXPECT_EQ(*storage_->Read("manifest.json", 0, -1), "{1}");
  EXPECT_EQ(far_->reads, 2);
}

}  // namespace
}  // namespace kalam::objects

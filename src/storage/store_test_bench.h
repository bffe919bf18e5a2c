// What tests of a store share: one in a folder of its own that can be closed, damaged and opened.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "storage/store.h"

namespace kalam::storage {

class StoreTest : public testing::Test {
 protected:
  StoreTest() {
    std::string pattern = testing::TempDir() + "kalam_store_XXXXXX";
    directory_ = mkdtemp(pattern.data());
    options_.path = directory_ + "/db";
  }
  ~StoreTest() override {
    store_.reset();
    std::filesystem::remove_all(directory_);
  }
  void Reopen() {
    store_.reset();
    auto opened = Store::Open(options_);
    ASSERT_TRUE(opened.ok()) << opened.status().ToString();
    store_ = std::move(opened).value();
  }
  Status OpenFails() {
    store_.reset();
    auto opened = Store::Open(options_);
    if (opened.ok()) store_ = std::move(opened).value();
    return opened.status();
  }
  void Put(Family family, std::string_view key, std::string_view value) {
    WriteBatch batch;
    batch.Put(family, key, value);
    ASSERT_TRUE(store_->Write(std::move(batch), Durability::kFsync).ok());
  }
  std::optional<std::string> Get(Family family, std::string_view key,
                                 const SnapshotPtr& snapshot = nullptr) {
    auto value = store_->Get(family, key, snapshot);
    EXPECT_TRUE(value.ok()) << value.status().ToString();
    return value.ok() ? *value : std::nullopt;
  }
  std::vector<std::string> Keys(Family family, ScanRange range,
                                const SnapshotPtr& snapshot = nullptr) {
    std::vector<std::string> keys;
    auto iterator = store_->NewIterator(family, std::move(range), snapshot);
    for (iterator->SeekToFirst(); iterator->Valid(); iterator->Next()) {
      keys.emplace_back(iterator->key());
    }
    EXPECT_TRUE(iterator->status().ok());
    return keys;
  }
  /// The biggest file of that kind in the directory.
  std::string BiggestFile(std::string_view suffix) const {
    std::string biggest;
    uintmax_t size = 0;
    for (const auto& entry : std::filesystem::directory_iterator(options_.path)) {
      if (entry.path().string().ends_with(suffix) && entry.file_size() >= size) {
        biggest = entry.path();
        size = entry.file_size();
      }
    }
    return biggest;
  }
  static void FlipByte(const std::string& path, std::streamoff offset) {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(offset);
    char byte = static_cast<char>(file.get());
    file.seekp(offset);
    file.put(static_cast<char>(byte ^ 0x40));
  }

  std::string directory_;
  StoreOptions options_;
  std::unique_ptr<Store> store_;
};

}  // namespace kalam::storage

// Storages by id: opened on demand, and anew when their settings change.
#include "objects/storage_set.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "base/id_generators.h"

namespace kalam::objects {
namespace {

TEST(StorageSetTest, OpensWhatTheSettingsSayNow) {
  const std::string base = testing::TempDir() + "/kalam-set-" + RandomHex(8);
  std::filesystem::create_directories(base + "/one");
  std::filesystem::create_directories(base + "/two");
  std::optional<StorageSettings> settings =
      StorageSettings{.storage_id = "s", .type = "filesystem", .base_directory = base + "/one"};
  StorageSet storages([&settings](std::string_view) { return settings; }, {}, nullptr);

  const auto first = storages.Find("s");
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(storages.Find("s")->get(), first->get());
  ASSERT_TRUE((*first)->Put("a", "1").ok());

  settings->base_directory = base + "/two";
  const auto second = storages.Find("s");
  ASSERT_TRUE(second.ok());
  EXPECT_TRUE((*second)->Stat("a").status().Is(ErrorKind::NotFound));
  // Who held the storage keeps it.
  EXPECT_TRUE((*first)->Stat("a").ok());

  settings.reset();
  const auto gone = storages.Find("s");
  EXPECT_EQ(gone.status().ToString(), "Not found: Storage 's' not found");
  std::filesystem::remove_all(base);
}

}  // namespace
}  // namespace kalam::objects

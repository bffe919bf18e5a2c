// What every storage must do, run over each kind: a folder always, remote ones when
// KALAM_TEST_STORAGES (a JSON array of their settings) names servers that somebody started.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>

#include "base/id_generators.h"
#include "objects/storage_settings.h"

namespace kalam::objects {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

struct Candidate {
  std::string name;
  StorageSettings settings;
};

std::string TextOf(const nlohmann::json& json, const char* key) {
  const auto found = json.find(key);
  if (found == json.end()) return "";
  return found->is_string() ? found->get<std::string>() : found->dump();
}

std::vector<Candidate> Candidates() {
  std::vector<Candidate> list;
  list.push_back({"filesystem",
                  {.storage_id = "files",
                   .type = "filesystem",
                   .base_directory = testing::TempDir() + "/kalam-objects-" + RandomHex(8)}});
  const char* remote = std::getenv("KALAM_TEST_STORAGES");
  if (remote == nullptr) return list;
  list.clear();
  for (const auto& entry : nlohmann::json::parse(remote)) {
    list.push_back({TextOf(entry, "name"),
                    {.storage_id = TextOf(entry, "name"),
                     .type = TextOf(entry, "type"),
                     .base_directory = TextOf(entry, "base_directory"),
                     .config_json = TextOf(entry, "config"),
                     .credentials_json = TextOf(entry, "credentials")}});
  }
  return list;
}

class ConformanceTest : public testing::TestWithParam<Candidate> {
 protected:
  void SetUp() override {
    StorageEnvironment environment;
    environment.multipart_bytes = 5 << 20;
    environment.list_page_max = 10;
    auto opened = OpenObjectStorage(GetParam().settings, environment, BaseFolder::kCreate);
    ASSERT_TRUE(opened.ok()) << opened.status().ToString();
    storage_ = std::move(*opened);
    local_ = testing::TempDir() + "/kalam-local-" + RandomHex(8);
    std::filesystem::create_directories(local_);
  }
  void TearDown() override {
    std::filesystem::remove_all(local_);
    if (storage_ == nullptr) return;
    for (const std::string& path : Paths(root_)) EXPECT_TRUE(storage_->Delete(path).ok());
    std::error_code ignored;  // the folder of the next test as well, when it is empty
    std::filesystem::remove(GetParam().settings.base_directory, ignored);
  }

  std::string LocalFile(const std::string& bytes) {
    const std::string file = local_ + "/" + RandomHex(8);
    std::ofstream(file, std::ios::binary) << bytes;
    return file;
  }
  std::vector<std::string> Paths(const std::string& prefix) {
    std::vector<std::string> paths;
    const Status listed = storage_->List(prefix, [&paths](const ObjectEntry& entry) {
      paths.push_back(entry.path);
      return true;
    });
    EXPECT_TRUE(listed.ok()) << listed.ToString();
    return paths;
  }
  std::string ReadAll(const std::string& path) {
    auto bytes = storage_->Read(path, 0, -1);
    EXPECT_TRUE(bytes.ok()) << bytes.status().ToString();
    return bytes.ok() ? *bytes : "";
  }

  // Each test works below a folder of its own, so that servers may be shared.
  const std::string root_ = "t" + RandomHex(8) + "/";
  std::string local_;
  std::unique_ptr<ObjectStorage> storage_;
};

TEST_P(ConformanceTest, WhatIsPutIsRead) {
  const std::string path = root_ + "chat/messages/batch-0.parquet";
  ASSERT_TRUE(storage_->Put(path, "hello storage").ok());
  EXPECT_EQ(ReadAll(path), "hello storage");
  const auto found = storage_->Stat(path);
  ASSERT_TRUE(found.ok()) << found.status().ToString();
  EXPECT_EQ(found->path, path);
  EXPECT_EQ(found->size_bytes, 13);
  // In this century, in microseconds.
  EXPECT_GT(found->modified_at_us, int64_t{946'684'800} * 1'000'000);
}

TEST_P(ConformanceTest, APutReplacesTheWholeObject) {
  const std::string path = root_ + "manifest.json";
  ASSERT_TRUE(storage_->Put(path, "the first and longer text").ok());
  ASSERT_TRUE(storage_->Put(path, "second").ok());
  EXPECT_EQ(ReadAll(path), "second");
  EXPECT_EQ(storage_->Stat(path)->size_bytes, 6);
  ASSERT_TRUE(storage_->Put(path, "").ok());
  EXPECT_EQ(ReadAll(path), "");
}

TEST_P(ConformanceTest, ReadsRanges) {
  const std::string path = root_ + "letters";
  ASSERT_TRUE(storage_->Put(path, "abcdefghij").ok());
  EXPECT_EQ(*storage_->Read(path, 0, 3), "abc");
  EXPECT_EQ(*storage_->Read(path, 4, 2), "ef");
  EXPECT_EQ(*storage_->Read(path, 8, 10), "ij");
  EXPECT_EQ(*storage_->Read(path, 7, -1), "hij");
  EXPECT_EQ(*storage_->Read(path, 10, 5), "");
  EXPECT_EQ(*storage_->Read(path, 99, -1), "");
  EXPECT_EQ(*storage_->Read(path, 3, 0), "");
  EXPECT_TRUE(storage_->Read(path, -1, 2).status().Is(ErrorKind::InvalidOperation));
}

TEST_P(ConformanceTest, WhatIsMissingIsNotFound) {
  EXPECT_TRUE(storage_->Read(root_ + "none", 0, -1).status().Is(ErrorKind::NotFound));
  EXPECT_TRUE(storage_->Read(root_ + "none", 5, 0).status().Is(ErrorKind::NotFound));
  EXPECT_TRUE(storage_->Stat(root_ + "none").status().Is(ErrorKind::NotFound));
  EXPECT_TRUE(storage_->Delete(root_ + "none").ok());
  EXPECT_THAT(Paths(root_ + "none"), IsEmpty());
}

TEST_P(ConformanceTest, PutsSmallAndLargeFiles) {
  ASSERT_TRUE(storage_->PutFile(LocalFile("small"), root_ + "a/small").ok());
  EXPECT_EQ(ReadAll(root_ + "a/small"), "small");
  ASSERT_TRUE(storage_->PutFile(LocalFile(""), root_ + "a/empty").ok());
  EXPECT_EQ(ReadAll(root_ + "a/empty"), "");
  // Three parts, the last of one byte.
  std::string large(2 * (5 << 20) + 1, '\0');
  for (size_t i = 0; i < large.size(); ++i) large[i] = static_cast<char>((i * 31 + i / 997) % 251);
  const Status put = storage_->PutFile(LocalFile(large), root_ + "a/large");
  ASSERT_TRUE(put.ok()) << put.ToString();
  EXPECT_EQ(storage_->Stat(root_ + "a/large")->size_bytes, static_cast<int64_t>(large.size()));
  EXPECT_TRUE(ReadAll(root_ + "a/large") == large);
  EXPECT_EQ(*storage_->Read(root_ + "a/large", 5 << 20, 100), large.substr(5 << 20, 100));
  EXPECT_THAT(Paths(root_ + "a/l"), ElementsAre(root_ + "a/large"));
  EXPECT_TRUE(storage_->PutFile(local_ + "/absent", root_ + "x").Is(ErrorKind::StorageIo));
}

TEST_P(ConformanceTest, ListsByPrefix) {
  for (const char* name : {"u1/batch-0", "u1/batch-1", "u10/batch-0", "u2/f0001/x", "v"}) {
    ASSERT_TRUE(storage_->Put(root_ + name, "1").ok());
  }
  EXPECT_THAT(Paths(root_ + "u1"), UnorderedElementsAre(root_ + "u1/batch-0", root_ + "u1/batch-1",
                                                        root_ + "u10/batch-0"));
  EXPECT_THAT(Paths(root_ + "u1/"),
              UnorderedElementsAre(root_ + "u1/batch-0", root_ + "u1/batch-1"));
  EXPECT_THAT(Paths(root_ + "u2/f"), ElementsAre(root_ + "u2/f0001/x"));
  EXPECT_EQ(Paths(root_).size(), 5u);
  EXPECT_THAT(Paths(root_ + "w"), IsEmpty());
  int seen = 0;
  ASSERT_TRUE(storage_->List(root_, [&seen](const ObjectEntry&) { return ++seen < 2; }).ok());
  EXPECT_EQ(seen, 2);
}

TEST_P(ConformanceTest, ListsPageByPage) {
  std::set<std::string> expected;
  for (int i = 0; i < 23; ++i) {
    const std::string path = root_ + "page/" + std::to_string(i);
    ASSERT_TRUE(storage_->Put(path, "x").ok());
    expected.insert(path);
  }
  const std::vector<std::string> paths = Paths(root_ + "page/");
  EXPECT_EQ(paths.size(), expected.size());
  EXPECT_EQ(std::set<std::string>(paths.begin(), paths.end()), expected);
}

TEST_P(ConformanceTest, DeletedIsGone) {
  const std::string path = root_ + "chat/t/batch-0.parquet";
  ASSERT_TRUE(storage_->Put(path, "x").ok());
  ASSERT_TRUE(storage_->Put(root_ + "chat/t/batch-1.parquet", "y").ok());
  ASSERT_TRUE(storage_->Delete(path).ok());
  EXPECT_TRUE(storage_->Stat(path).status().Is(ErrorKind::NotFound));
  EXPECT_THAT(Paths(root_), ElementsAre(root_ + "chat/t/batch-1.parquet"));
  EXPECT_TRUE(storage_->Delete(path).ok());
}

TEST_P(ConformanceTest, NamesWithSpecialCharacters) {
  // What user ids and file names may hold; each has once broken somebody's signing or quoting.
  for (const char* name : {"a b", "plus+plus", "per%20cent", "ümläut/日本", "q?x=1&y=2", "h#ash",
                           "co:lon@at", "quo'te\"s", "<xml>&amp;", "tilde~!$()*,;=[]^`{|}"}) {
    const std::string path = root_ + "names/" + name;
    const Status put = storage_->Put(path, name);
    ASSERT_TRUE(put.ok()) << name << ": " << put.ToString();
    EXPECT_EQ(ReadAll(path), name);
    EXPECT_THAT(Paths(path), ElementsAre(path));
    ASSERT_TRUE(storage_->Delete(path).ok()) << name;
    EXPECT_TRUE(storage_->Stat(path).status().Is(ErrorKind::NotFound)) << name;
  }
}

TEST_P(ConformanceTest, RefusesPathsThatLeaveTheStorage) {
  for (const std::string& path : std::vector<std::string>{
           "", "/etc/passwd", "a//b", "a/../b", "..", "../x", "a/./b", "a/", std::string("a\0b", 3),
           "a\nb", "a\\b", ".kalamdb-tmp-1", "x/" + std::string(256, 'a'), std::string(901, 'a')}) {
    EXPECT_TRUE(storage_->Put(path, "x").Is(ErrorKind::InvalidOperation)) << path;
    EXPECT_TRUE(storage_->PutFile(LocalFile("x"), path).Is(ErrorKind::InvalidOperation)) << path;
    EXPECT_TRUE(storage_->Read(path, 0, 1).status().Is(ErrorKind::InvalidOperation)) << path;
    EXPECT_TRUE(storage_->Stat(path).status().Is(ErrorKind::InvalidOperation)) << path;
    EXPECT_TRUE(storage_->Delete(path).Is(ErrorKind::InvalidOperation)) << path;
  }
  for (const char* prefix : {"/", "/etc", "..", "../", "a/../b", "a//"}) {
    EXPECT_TRUE(storage_->List(prefix, [](const ObjectEntry&) { return true; })
                    .Is(ErrorKind::InvalidOperation))
        << prefix;
  }
}

TEST_P(ConformanceTest, ManyThreadsAtOnce) {
  std::vector<std::thread> threads;
  std::atomic<int> failures{0};
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([this, t, &failures] {
      for (int i = 0; i < 20; ++i) {
        const std::string path = root_ + "threads/" + std::to_string(t) + "/" + std::to_string(i);
        const std::string body = path + std::string(1000, 'x');
        if (!storage_->Put(path, body).ok()) ++failures;
        const auto read = storage_->Read(path, 0, -1);
        if (!read.ok() || *read != body) ++failures;
        // Empties and makes folders under the feet of the other threads.
        if (i % 2 == 0 && !storage_->Delete(path).ok()) ++failures;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failures.load(), 0);
  EXPECT_EQ(Paths(root_ + "threads/").size(), 40u);
}

TEST_P(ConformanceTest, LocalPathsOfFoldersOnly) {
  const std::string path = root_ + "a";
  ASSERT_TRUE(storage_->Put(path, "abc").ok());
  const std::string local = storage_->LocalPath(path);
  if (GetParam().settings.type != "filesystem") {
    EXPECT_EQ(local, "");
    return;
  }
  std::ifstream file(local);
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(file), {}), "abc");
}

INSTANTIATE_TEST_SUITE_P(Storages, ConformanceTest, testing::ValuesIn(Candidates()),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace kalam::objects

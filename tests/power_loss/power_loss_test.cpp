// Pulls the plug at random moments and checks that every acknowledged row is there afterwards.
//
// Strategy: several threads write through the standalone group over a file system that forgets
// whatever was not synced. After a random number of file operations the power goes; the database is
// closed, the forgetting happens, the database is opened again and compared with what was
// acknowledged; then the next round goes on with the same directory. Invariants: an acknowledged
// write is there with exactly its `_seq`; one that was not acknowledged is there as a whole or not
// at all; order and change entries agree with the rows; numbers never repeat. The same rounds
// without fsync must lose something, or the test could not find a loss.
#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <mutex>
#include <random>
#include <set>
#include <thread>

#include "base/log.h"
#include "forgetful_file_system.h"
#include "replication/group_test_bench.h"

namespace kalam::replication {
namespace {

using testing_support::ForgetfulFileSystem;

constexpr int kThreads = 4;
constexpr int64_t kRowsOfACommand = 3;

/// Writes until the power goes and knows what was acknowledged.
class Workload {
 public:
  Workload(std::string directory, uint64_t seed, storage::Durability durability)
      : random_(seed), durability_(durability) {
    file_system_ = std::make_shared<ForgetfulFileSystem>(directory + "/attic", seed);
    options_.path = directory + "/db";
    options_.file_system = file_system_;
    // Small buffers, so that rounds also hit memtables being written out, compactions and changes
    // of the log file.
    options_.write_buffer_total_bytes = 1 << 20;
    std::filesystem::create_directories(options_.path);
  }

  void Round(bool verify) {
    // In some rounds small buffers, so that the power also goes while memtables are written out,
    // files are compacted and the log changes. Not in all: RocksDB waits a second after each of
    // these that failed.
    options_.write_buffer_total_bytes = random_() % 4 == 0 ? 1 << 20 : 8 << 20;
    auto opened = storage::Store::Open(options_);
    ASSERT_TRUE(opened.ok()) << opened.status().ToString();
    auto store = std::move(opened).value();
    MemoryAccount account("root", nullptr);
    auto catalog = catalog::Catalog::Open(*store, account, 16);
    ASSERT_TRUE(catalog.ok()) << catalog.status().ToString();
    StandaloneOptions options;
    options.durability = durability_;
    options.on_storage_failure = [](const Status&) {};
    auto group = OpenStandaloneGroup(*store, **catalog, options);
    ASSERT_TRUE(group.ok()) << group.status().ToString();
    if (verify) {
      Verify(*store, (*group)->published_seq());
    } else {
      CountLost(*store);
    }
    if (testing::Test::HasFatalFailure()) return;
    if ((*catalog)->CurrentSchemaVersion(kTestTable) == 0) {
      auto create = std::make_shared<Command>();
      create->records = (*catalog)->PutTable(TestTable(kTestTable, 1));
      ASSERT_TRUE(ProposeAndWait(**group, create).status.ok());
    }
    file_system_->CutPowerAfter(random_() % 400);
    std::vector<std::thread> threads;
    for (int i = 0; i < kThreads; ++i) threads.emplace_back([&] { WriteUntilDark(**group); });
    for (auto& thread : threads) thread.join();
    (*group)->Close();
    group->reset();
    catalog->reset();
    store.reset();
    file_system_->LosePower();
  }

  int64_t acknowledged() const { return static_cast<int64_t>(acknowledged_.size()); }
  int64_t lost() const { return lost_; }

 private:
  /// Every command inserts three rows of one random size.
  void WriteUntilDark(ReplicationGroup& group) {
    while (file_system_->has_power()) {
      auto command = std::make_shared<Command>();
      command->view_seq = group.published_seq();
      int64_t first_key = 0;
      size_t size = 0;
      {
        std::lock_guard lock(mutex_);
        first_key = next_key_;
        next_key_ += kRowsOfACommand;
        size = random_() % 8 == 0 ? 20'000 : random_() % 300;
      }
      for (int64_t key = first_key; key < first_key + kRowsOfACommand; ++key) {
        command->rows.push_back(TestRow(key, ChangeOp::kInsert, {}, std::string(size, 'x')));
      }
      CommitResult result = ProposeAndWait(group, command);
      if (!result.status.ok()) continue;
      std::lock_guard lock(mutex_);
      acknowledged_[first_key] = result.seq_begin;
    }
  }

  static std::optional<Seq> SeqOf(storage::Store& store, int64_t key) {
    auto value = store.Get(storage::Family::kRows,
                           storage::RowKey(kTestTable, storage::Scope::Shared(), TestKey(key)));
    EXPECT_TRUE(value.ok()) << value.status().ToString();
    if (!value.ok() || !*value) return std::nullopt;
    auto record = DecodeRowRecord(**value);
    EXPECT_TRUE(record.ok());
    return record->seq;
  }

  static std::set<int64_t> SeqsIn(storage::Store& store, storage::Family family) {
    std::set<int64_t> seqs;
    std::string prefix = storage::TablePrefix(kTestTable);
    auto iterator = store.NewIterator(family, {prefix, PrefixEnd(prefix)});
    for (iterator->SeekToFirst(); iterator->Valid(); iterator->Next()) {
      Seq seq;
      EXPECT_TRUE(storage::SeqOfKey(iterator->key(), &seq));
      EXPECT_TRUE(seqs.insert(seq.value).second);
    }
    EXPECT_TRUE(iterator->status().ok());
    return seqs;
  }

  void Verify(storage::Store& store, Seq published) {
    std::set<int64_t> row_seqs;
    for (int64_t key = 0; key < next_key_; key += kRowsOfACommand) {
      std::optional<Seq> first = SeqOf(store, key);
      auto acknowledged = acknowledged_.find(key);
      if (acknowledged != acknowledged_.end()) {
        ASSERT_TRUE(first.has_value()) << "acknowledged row " << key << " is lost";
        ASSERT_EQ(*first, acknowledged->second);
      }
      for (int64_t i = 1; i < kRowsOfACommand; ++i) {
        std::optional<Seq> other = SeqOf(store, key + i);
        ASSERT_EQ(other.has_value(), first.has_value()) << "half a command: " << key;
        if (other) ASSERT_EQ(other->value, first->value + i);
      }
      if (!first) continue;
      ASSERT_LE(first->value + kRowsOfACommand - 1, published.value);
      for (int64_t i = 0; i < kRowsOfACommand; ++i) {
        ASSERT_TRUE(row_seqs.insert(first->value + i).second) << "a number was given twice";
      }
    }
    ASSERT_EQ(SeqsIn(store, storage::Family::kOrder), row_seqs);
    ASSERT_EQ(SeqsIn(store, storage::Family::kChanges), row_seqs);
  }

  void CountLost(storage::Store& store) {
    for (auto it = acknowledged_.begin(); it != acknowledged_.end();) {
      bool there = SeqOf(store, it->first).has_value();
      lost_ += there ? 0 : 1;
      it = there ? std::next(it) : acknowledged_.erase(it);
    }
  }

  std::mt19937_64 random_;
  const storage::Durability durability_;
  std::shared_ptr<ForgetfulFileSystem> file_system_;
  storage::StoreOptions options_;
  std::mutex mutex_;
  std::map<int64_t, Seq> acknowledged_;  // by first key of the command
  int64_t next_key_ = 0;
  int64_t lost_ = 0;
};

class PowerLossTest : public testing::Test {
 protected:
  PowerLossTest() {
    // What RocksDB warns of is what these tests are about.
    EXPECT_TRUE(OpenLog({.level = LogLevel::kError, .to_console = false}).ok());
    std::string pattern = testing::TempDir() + "kalam_power_XXXXXX";
    directory_ = mkdtemp(pattern.data());
  }
  ~PowerLossTest() override {
    CloseLog();
    std::filesystem::remove_all(directory_);
  }

  std::string directory_;
};

TEST_F(PowerLossTest, EveryAcknowledgedRowIsThereAfterwards) {
  for (uint64_t seed = 1; seed <= 2; ++seed) {
    Workload workload(directory_ + "/" + std::to_string(seed), seed, storage::Durability::kFsync);
    for (int round = 0; round < 25; ++round) {
      workload.Round(/*verify=*/true);
      ASSERT_FALSE(HasFailure()) << "seed " << seed << ", round " << round;
    }
    EXPECT_GT(workload.acknowledged(), 100);
  }
}

TEST_F(PowerLossTest, WithoutFsyncRowsAreLostAndThisTestSeesIt) {
  Workload workload(directory_, 1, storage::Durability::kOs);
  for (int round = 0; round < 20 && workload.lost() == 0; ++round) {
    workload.Round(/*verify=*/false);
    ASSERT_FALSE(HasFailure()) << "round " << round;
  }
  EXPECT_GT(workload.lost(), 0);
}

}  // namespace
}  // namespace kalam::replication

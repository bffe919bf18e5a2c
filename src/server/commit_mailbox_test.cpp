// Tests of the mailbox between committer and core.
#include "server/commit_mailbox.h"

#include <gtest/gtest.h>

namespace kalam::server {
namespace {

CommitMailbox::Batch BatchAt(int64_t seq) {
  auto batch = std::make_shared<replication::CommittedBatch>();
  batch->published_seq = Seq{seq};
  return batch;
}

TEST(CommitMailbox, WakesOnceForManyAndKeepsTheOrder) {
  MemoryAccount account("queue", nullptr);
  int wakes = 0;
  CommitMailbox mailbox([&wakes] { ++wakes; }, {10, 1 << 20}, account);
  mailbox.SetListening(true);
  for (int64_t seq = 1; seq <= 3; ++seq) mailbox.Put(BatchAt(seq));
  EXPECT_EQ(wakes, 1);
  bool overrun = true;
  const auto batches = mailbox.Take(&overrun);
  ASSERT_EQ(batches.size(), 3u);
  EXPECT_EQ(batches[0]->published_seq.value, 1);
  EXPECT_EQ(batches[2]->published_seq.value, 3);
  EXPECT_FALSE(overrun);
  mailbox.Put(BatchAt(4));
  EXPECT_EQ(wakes, 2);
}

TEST(CommitMailbox, KeepsTheNewestWhileNobodyListens) {
  MemoryAccount account("queue", nullptr);
  int wakes = 0;
  CommitMailbox mailbox([&wakes] { ++wakes; }, {10, 1 << 20}, account);
  for (int64_t seq = 1; seq <= 100; ++seq) mailbox.Put(BatchAt(seq));
  EXPECT_EQ(wakes, 0);
  mailbox.SetListening(true);
  bool overrun = true;
  const auto batches = mailbox.Take(&overrun);
  ASSERT_EQ(batches.size(), 1u);
  EXPECT_EQ(batches[0]->published_seq.value, 100);
  EXPECT_FALSE(overrun);
}

TEST(CommitMailbox, HoldsNoChangesWhileNobodyListens) {
  MemoryAccount account("queue", nullptr);
  CommitMailbox mailbox([] {}, {10, 1 << 20}, account);
  auto command = std::make_shared<replication::Command>();
  const std::weak_ptr<replication::Command> held = command;
  auto batch = std::make_shared<replication::CommittedBatch>();
  batch->published_seq = Seq{7};
  batch->dropped_tables = {TableId{3}};
  batch->catalog_changed = true;
  batch->commands.push_back(std::move(command));
  mailbox.Put(std::move(batch));
  EXPECT_TRUE(held.expired());
  mailbox.SetListening(true);
  bool overrun = true;
  const auto batches = mailbox.Take(&overrun);
  ASSERT_EQ(batches.size(), 1u);
  EXPECT_EQ(batches[0]->published_seq.value, 7);
  EXPECT_EQ(batches[0]->dropped_tables, std::vector<TableId>{TableId{3}});
  EXPECT_TRUE(batches[0]->catalog_changed);
}

TEST(CommitMailbox, SaysWhenItDropped) {
  MemoryAccount account("queue", nullptr);
  CommitMailbox mailbox([] {}, {3, 1 << 20}, account);
  mailbox.SetListening(true);
  for (int64_t seq = 1; seq <= 5; ++seq) mailbox.Put(BatchAt(seq));
  bool overrun = false;
  const auto batches = mailbox.Take(&overrun);
  EXPECT_TRUE(overrun);
  EXPECT_EQ(batches.back()->published_seq.value, 5);
  EXPECT_LE(batches.size(), 3u);
}

TEST(CommitMailbox, IsBoundedInBytesAndCharged) {
  MemoryAccount account("queue", nullptr);
  const auto bytes = static_cast<int64_t>(BatchAt(1)->byte_size());
  {
    CommitMailbox mailbox([] {}, {100, static_cast<size_t>(bytes * 5 / 2)}, account);
    mailbox.SetListening(true);
    mailbox.Put(BatchAt(1));
    mailbox.Put(BatchAt(2));
    EXPECT_EQ(account.used_bytes(), 2 * bytes);
    mailbox.Put(BatchAt(3));
    EXPECT_EQ(account.used_bytes(), bytes);
    bool overrun = false;
    EXPECT_EQ(mailbox.Take(&overrun).size(), 1u);
    EXPECT_TRUE(overrun);
    EXPECT_EQ(account.used_bytes(), 0);
    mailbox.Put(BatchAt(4));
  }
  EXPECT_EQ(account.used_bytes(), 0);
}

}  // namespace
}  // namespace kalam::server

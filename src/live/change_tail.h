// The newest committed batches, kept in memory so that a subscriber that falls behind for a moment
// needs no read.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>

#include "base/memory_account.h"
#include "replication/command.h"

namespace kalam::live {

/// Batches in commit order, bounded by bytes. Not thread-safe.
class ChangeTail {
 public:
  /// Holds every change after `begin`.
  ChangeTail(MemoryAccount& account, size_t bytes_max, Seq begin);

  void Push(std::shared_ptr<const replication::CommittedBatch> batch);
  /// Forgets the oldest batches until no more than so much is held.
  void TrimTo(size_t bytes);
  /// Forgets everything; from now on it holds the changes after `begin`.
  void Clear(Seq begin);

  /// Complete for cursors that are not below it.
  Seq begin() const { return begin_; }
  size_t byte_size() const { return bytes_; }
  size_t bytes_max() const { return bytes_max_; }
  /// In effect from the next Push on.
  void set_bytes_max(size_t bytes) { bytes_max_ = bytes; }

  /// Walks the changes after a `_seq`, oldest first. Stays valid until the tail changes.
  class Cursor {
   public:
    const replication::CommittedChange* Next();

   private:
    friend class ChangeTail;
    const std::deque<std::shared_ptr<const replication::CommittedBatch>>* batches_ = nullptr;
    size_t batch_ = 0;
    size_t change_ = 0;
  };
  Cursor After(Seq seq) const;

 private:
  MemoryCharge charge_;
  size_t bytes_max_;
  Seq begin_;
  size_t bytes_ = 0;
  std::deque<std::shared_ptr<const replication::CommittedBatch>> batches_;
};

}  // namespace kalam::live

// Which rows were written since a view: a fixed table of published writes and the exact set of
// pending ones.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>
#include <vector>

#include "base/ids.h"
#include "replication/command.h"

namespace kalam::replication {

/// 64 bits of a row's key; two rows share one with a probability that no test will ever see.
uint64_t HashOfRow(const RowMutation& row);

/// A set of hashes that is filled, asked and emptied as a whole. Not thread-safe.
class HashSet {
 public:
  /// False when it was there already.
  bool Insert(uint64_t hash);
  bool Contains(uint64_t hash) const;
  void Clear();
  size_t size() const { return size_; }

 private:
  void Grow();

  std::vector<uint64_t> slots_;  // 0 is empty; the hash 0 is stored as 1
  size_t size_ = 0;
};

/// Published writes are remembered by `hash mod slots -> last _seq` in 64 KB: a slot that is not
/// newer than a view proves that the row is not either; a newer one leaves a doubt that reading the
/// row settles. Pending writes are known exactly, because a doubt about them could not be settled
/// by reading, and a large command meets every slot. Not thread-safe: the group's append mutex
/// guards it.
class ConflictTable {
 public:
  /// `last` is the newest `_seq` on disk: views older than the start are always in doubt.
  explicit ConflictTable(Seq last);

  enum class Verdict : uint8_t {
    kClear,     // not written since
    kDoubt,     // perhaps written since: read the row
    kWriting,   // written by a command that is being written out
    kAppended,  // written by a command that waits to be written out
  };
  Verdict Check(uint64_t hash, Seq view) const;

  /// The rows of an appended command.
  void Append(std::span<const uint64_t> hashes);
  /// All appended commands are now being written out.
  void BeginWrite();
  /// As BeginWrite when only some are: moves `hashes` over, `rest` stay appended.
  void BeginWrite(std::span<const uint64_t> rest);
  /// A row of the commands being written is published. Call EndWrite after the last.
  void Publish(uint64_t hash, Seq seq);
  void EndWrite();
  /// Everything that is not published is given up.
  void DropPending();

 private:
  static constexpr size_t kSlotCount = (64 << 10) / sizeof(Seq);

  struct Free {
    void operator()(int64_t* slots) const { std::free(slots); }
  };

  const Seq last_;
  /// How far beyond `last_` the newest `_seq` of a slot is: nothing is written until rows are, so
  /// that a server nobody writes to does not hold the pages.
  const std::unique_ptr<int64_t[], Free> slots_;
  HashSet appended_;
  HashSet writing_;
};

}  // namespace kalam::replication

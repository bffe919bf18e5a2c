// A heap of whole pages, for what comes and goes in large pieces: empty pages go back to the
// system.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

namespace kalam {

/// Every piece has its pages for itself, so that each one that is freed gives back all of its
/// memory, whatever lives beside it. A general heap cannot: something small that stays keeps the
/// page. What it costs is the rest of each piece's last page. A few free pages are kept for the
/// next pieces. Only pieces below half a page come from the general heap.
///
/// Thread-safety: any thread. All pieces must have been freed when it is destroyed.
class PageHeap {
 public:
  static constexpr size_t kPageBytes = 4096;
  /// Pieces from here have pages of their own.
  static constexpr size_t kPieceBytesMin = kPageBytes / 2;
  /// Larger ones are mapped one by one: rare enough for two system calls.
  static constexpr size_t kRunBytesMax = 64 * kPageBytes;
  /// Free pages that are kept: so many, or this part of those in use, whatever is more.
  static constexpr size_t kIdlePagesMin = 16;
  static constexpr size_t kIdleDivisor = 16;

  PageHeap();
  ~PageHeap();
  PageHeap(const PageHeap&) = delete;
  PageHeap& operator=(const PageHeap&) = delete;

  /// Memory for `size` bytes, aligned for anything, like malloc; null when there is none.
  void* Allocate(size_t size);
  /// `piece` comes from Allocate or is null.
  void Deallocate(void* piece);
  /// What a piece of `size` bytes takes.
  static size_t TakenBytes(size_t size);

  /// Pages in use and free ones that are kept, in bytes; what comes from the general heap is not in
  /// it.
  int64_t held_bytes() const;

 private:
  class Chunk;

  /// The chunk that `piece` lies in, or null.
  Chunk* ChunkOf(const void* piece);
  Chunk* AddChunk();
  void* AllocateRun(size_t pages);
  void* AllocateMapped(size_t pages);
  /// Gives idle pages back when there are more than shall be kept.
  void ReleaseExcess();

  mutable std::mutex mutex_;
  // By address. Low ones are filled first, so that high ones become empty.
  std::vector<std::unique_ptr<Chunk>> chunks_;  // guarded by mutex_
  std::map<const void*, size_t> mapped_pages_;  // guarded by mutex_: of large pieces
  size_t used_pages_ = 0;                       // guarded by mutex_: large pieces included
  size_t idle_pages_ = 0;                       // guarded by mutex_: free, not given back
};

}  // namespace kalam

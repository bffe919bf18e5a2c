// PageHeap over chunks of a megabyte: a state for every page, first fit.
#include "base/page_heap.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <utility>

#include "base/check.h"

namespace kalam {
namespace {

constexpr size_t kChunkPages = 256;
constexpr size_t kChunkBytes = kChunkPages * PageHeap::kPageBytes;

/// Null when the system has no memory.
void* Map(size_t bytes) {
  void* mapped = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) return nullptr;
  // A huge page would bring back what was given back one by one.
  madvise(mapped, bytes, MADV_NOHUGEPAGE);
  return mapped;
}

size_t PagesFor(size_t size) { return (size + PageHeap::kPageBytes - 1) / PageHeap::kPageBytes; }

}  // namespace

/// Address space of a megabyte. Guarded by the mutex of its heap.
class PageHeap::Chunk {
 public:
  /// Takes over a mapping of kChunkBytes.
  explicit Chunk(std::byte* begin) : begin_(begin) {}
  ~Chunk() { munmap(begin_, kChunkBytes); }
  Chunk(const Chunk&) = delete;
  Chunk& operator=(const Chunk&) = delete;

  const std::byte* begin() const { return begin_; }
  bool contains(const void* piece) const {
    const auto* at = static_cast<const std::byte*>(piece);
    return !std::less<>()(at, begin_) && std::less<>()(at, begin_ + kChunkBytes);
  }
  bool empty() const { return used_pages_ == 0; }
  size_t idle_pages() const { return idle_pages_; }

  /// The first free run of `pages`; null when there is none.
  std::byte* Take(size_t pages) {
    if (pages > fits_at_most_) return nullptr;
    size_t begin = 0, length = 0;
    for (size_t i = 0; i < kChunkPages; ++i) {
      if (states_[i] == State::kUsed) {
        length = 0;
        begin = i + 1;
      } else if (++length == pages) {
        Use(begin, pages);
        return begin_ + begin * kPageBytes;
      }
    }
    fits_at_most_ = pages - 1;
    return nullptr;
  }

  /// Frees the run that begins at `piece`; returns its pages.
  size_t Free(const void* piece) {
    const size_t begin =
        static_cast<size_t>(static_cast<const std::byte*>(piece) - begin_) / kPageBytes;
    const size_t pages = std::exchange(lengths_[begin], 0);
    KALAM_CHECK(pages > 0);
    std::fill_n(states_.begin() + static_cast<ptrdiff_t>(begin), pages, State::kIdle);
    used_pages_ -= pages;
    idle_pages_ += pages;
    fits_at_most_ = kChunkPages;
    return pages;
  }

  /// Gives all idle pages back to the system.
  void ReleaseIdle() {
    for (size_t i = 0; i < kChunkPages; ++i) {
      if (states_[i] != State::kIdle) continue;
      size_t end = i;
      while (end < kChunkPages && states_[end] == State::kIdle) states_[end++] = State::kAbsent;
      madvise(begin_ + i * kPageBytes, (end - i) * kPageBytes, MADV_DONTNEED);
      i = end;
    }
    idle_pages_ = 0;
  }

 private:
  enum class State : uint8_t {
    kAbsent,  // never used or given back: no memory behind it
    kIdle,    // free, with memory
    kUsed,
  };

  void Use(size_t begin, size_t pages) {
    for (size_t i = begin; i < begin + pages; ++i) {
      if (states_[i] == State::kIdle) --idle_pages_;
      states_[i] = State::kUsed;
    }
    used_pages_ += pages;
    lengths_[begin] = static_cast<uint16_t>(pages);
  }

  std::byte* const begin_;
  std::array<State, kChunkPages> states_{};
  std::array<uint16_t, kChunkPages> lengths_{};  // by first page of a run in use
  size_t used_pages_ = 0;
  size_t idle_pages_ = 0;
  size_t fits_at_most_ = kChunkPages;  // longer runs are not worth looking for
};

PageHeap::PageHeap() = default;
PageHeap::~PageHeap() { KALAM_DCHECK(used_pages_ == 0); }

size_t PageHeap::TakenBytes(size_t size) {
  return size < kPieceBytesMin ? size : PagesFor(size) * kPageBytes;
}

void* PageHeap::Allocate(size_t size) {
  if (size < kPieceBytesMin) return std::malloc(size);
  std::lock_guard lock(mutex_);
  return size <= kRunBytesMax ? AllocateRun(PagesFor(size)) : AllocateMapped(PagesFor(size));
}

void* PageHeap::AllocateRun(size_t pages) {
  const auto take = [this, pages](Chunk& chunk) {
    const size_t idle_before = chunk.idle_pages();
    std::byte* piece = chunk.Take(pages);
    if (piece == nullptr) return piece;
    used_pages_ += pages;
    idle_pages_ -= idle_before - chunk.idle_pages();
    return piece;
  };
  for (const std::unique_ptr<Chunk>& chunk : chunks_) {
    if (std::byte* piece = take(*chunk)) return piece;
  }
  Chunk* chunk = AddChunk();
  return chunk != nullptr ? take(*chunk) : nullptr;
}

// glibc would map such a piece as well, but only when the free end of a heap is too short for it.
void* PageHeap::AllocateMapped(size_t pages) {
  void* piece = Map(pages * kPageBytes);
  if (piece == nullptr) return nullptr;
  mapped_pages_.emplace(piece, pages);
  used_pages_ += pages;
  return piece;
}

void PageHeap::Deallocate(void* piece) {
  if (piece == nullptr) return;
  {
    std::lock_guard lock(mutex_);
    if (Chunk* chunk = ChunkOf(piece)) {
      const size_t pages = chunk->Free(piece);
      used_pages_ -= pages;
      idle_pages_ += pages;
      ReleaseExcess();
      return;
    }
    if (const auto mapped = mapped_pages_.find(piece); mapped != mapped_pages_.end()) {
      munmap(piece, mapped->second * kPageBytes);
      used_pages_ -= mapped->second;
      mapped_pages_.erase(mapped);
      ReleaseExcess();
      return;
    }
  }
  std::free(piece);
}

PageHeap::Chunk* PageHeap::ChunkOf(const void* piece) {
  const auto after = std::upper_bound(
      chunks_.begin(), chunks_.end(), static_cast<const std::byte*>(piece),
      [](const std::byte* at, const auto& chunk) { return std::less<>()(at, chunk->begin()); });
  if (after == chunks_.begin()) return nullptr;
  Chunk* chunk = std::prev(after)->get();
  return chunk->contains(piece) ? chunk : nullptr;
}

PageHeap::Chunk* PageHeap::AddChunk() {
  void* mapped = Map(kChunkBytes);
  if (mapped == nullptr) return nullptr;
  auto chunk = std::make_unique<Chunk>(static_cast<std::byte*>(mapped));
  const auto after = std::upper_bound(
      chunks_.begin(), chunks_.end(), chunk,
      [](const auto& a, const auto& b) { return std::less<>()(a->begin(), b->begin()); });
  return chunks_.insert(after, std::move(chunk))->get();
}

void PageHeap::ReleaseExcess() {
  const size_t bound = std::max(kIdlePagesMin, used_pages_ / kIdleDivisor);
  if (idle_pages_ <= bound) return;
  // Half of them, so that the next piece that is freed does not come here again.
  const size_t keep = bound / 2;
  for (size_t i = chunks_.size(); i-- > 0 && idle_pages_ > keep;) {
    idle_pages_ -= chunks_[i]->idle_pages();
    if (chunks_[i]->empty()) {
      chunks_.erase(chunks_.begin() + static_cast<ptrdiff_t>(i));
    } else if (chunks_[i]->idle_pages() > 0) {
      chunks_[i]->ReleaseIdle();
    }
  }
}

int64_t PageHeap::held_bytes() const {
  std::lock_guard lock(mutex_);
  return static_cast<int64_t>((used_pages_ + idle_pages_) * kPageBytes);
}

}  // namespace kalam

// Tests of PageHeap: pieces do not overlap, what is freed goes back, threads.
#include "base/page_heap.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstring>
#include <map>
#include <random>
#include <thread>
#include <vector>

namespace kalam {
namespace {

constexpr size_t kPage = PageHeap::kPageBytes;

/// Pages of a piece that have memory behind them, as the kernel says.
size_t PresentPages(void* piece, size_t pages) {
  std::vector<unsigned char> present(pages);
  if (mincore(piece, pages * kPage, present.data()) != 0) return 0;
  size_t count = 0;
  for (const unsigned char page : present) count += page & 1;
  return count;
}

TEST(PageHeapTest, APieceTakesWholePages) {
  EXPECT_EQ(PageHeap::TakenBytes(100), 100u);
  EXPECT_EQ(PageHeap::TakenBytes(kPage / 2), kPage);
  EXPECT_EQ(PageHeap::TakenBytes(kPage), kPage);
  EXPECT_EQ(PageHeap::TakenBytes(kPage + 1), 2 * kPage);
  PageHeap heap;
  void* piece = heap.Allocate(kPage + 1);
  EXPECT_EQ(heap.held_bytes(), static_cast<int64_t>(2 * kPage));
  heap.Deallocate(piece);
}

TEST(PageHeapTest, SmallPiecesComeFromTheGeneralHeap) {
  PageHeap heap;
  void* small = heap.Allocate(100);
  std::memset(small, 1, 100);
  EXPECT_EQ(heap.held_bytes(), 0);
  heap.Deallocate(small);
  heap.Deallocate(nullptr);
}

TEST(PageHeapTest, ALargePieceIsNotKept) {
  PageHeap heap;
  const size_t size = PageHeap::kRunBytesMax + 1;
  void* large = heap.Allocate(size);
  std::memset(large, 1, size);
  EXPECT_EQ(heap.held_bytes(), static_cast<int64_t>(65 * kPage));
  heap.Deallocate(large);
  EXPECT_EQ(heap.held_bytes(), 0);
}

TEST(PageHeapTest, PiecesKeepWhatWasWrittenToThem) {
  PageHeap heap;
  std::mt19937 random(7);
  std::map<void*, std::pair<size_t, unsigned char>> pieces;
  size_t bytes = 0;
  for (int step = 0; step < 5'000; ++step) {
    if (pieces.size() < 300 || random() % 2 == 0) {
      // Most of them take few pages, some more than a chunk's longest run.
      const size_t size =
          kPage / 2 + (random() % 8 == 0 ? random() % (70 * kPage) : random() % (4 * kPage));
      void* piece = heap.Allocate(size);
      ASSERT_NE(piece, nullptr);
      const auto mark = static_cast<unsigned char>(random());
      std::memset(piece, mark, size);
      ASSERT_TRUE(pieces.emplace(piece, std::pair(size, mark)).second);
      bytes += PageHeap::TakenBytes(size);
    } else {
      const auto victim =
          std::next(pieces.begin(), static_cast<ptrdiff_t>(random() % pieces.size()));
      const auto [size, mark] = victim->second;
      const auto* content = static_cast<const unsigned char*>(victim->first);
      ASSERT_EQ(content[0], mark);
      ASSERT_EQ(std::memcmp(content, content + 1, size - 1), 0);
      heap.Deallocate(victim->first);
      bytes -= PageHeap::TakenBytes(size);
      pieces.erase(victim);
    }
    const auto used = static_cast<int64_t>(bytes);
    ASSERT_GE(heap.held_bytes(), used);
    ASSERT_LE(heap.held_bytes(),
              used + std::max<int64_t>(PageHeap::kIdlePagesMin * kPage,
                                       used / static_cast<int64_t>(PageHeap::kIdleDivisor)));
  }
  for (const auto& [piece, written] : pieces) heap.Deallocate(piece);
  EXPECT_LE(heap.held_bytes(), static_cast<int64_t>(PageHeap::kIdlePagesMin * kPage));
}

TEST(PageHeapTest, FreedPagesBetweenOthersGoBackToTheSystem) {
  PageHeap heap;
  std::vector<void*> pieces;
  for (int i = 0; i < 200; ++i) {
    pieces.push_back(heap.Allocate(kPage));
    std::memset(pieces.back(), 1, kPage);
  }
  // Every second one stays.
  size_t present = 0;
  for (size_t i = 0; i < pieces.size(); i += 2) heap.Deallocate(pieces[i]);
  for (size_t i = 0; i < pieces.size(); i += 2) present += PresentPages(pieces[i], 1);
  EXPECT_LE(present, PageHeap::kIdlePagesMin);
  for (size_t i = 1; i < pieces.size(); i += 2) {
    EXPECT_EQ(PresentPages(pieces[i], 1), 1u);
    heap.Deallocate(pieces[i]);
  }
}

TEST(PageHeapTest, ThreadsTakeAndFree) {
  PageHeap heap;
  std::vector<std::thread> threads;
  for (unsigned char t = 0; t < 4; ++t) {
    threads.emplace_back([&heap, t] {
      std::mt19937 random(t);
      std::vector<std::pair<unsigned char*, size_t>> pieces;
      for (int i = 0; i < 2'000; ++i) {
        const size_t size = kPage / 2 + random() % (5 * kPage);
        auto* piece = static_cast<unsigned char*>(heap.Allocate(size));
        std::memset(piece, t, size);
        pieces.emplace_back(piece, size);
        if (pieces.size() < 50) continue;
        const auto [oldest, bytes] = pieces.front();
        EXPECT_EQ(oldest[0], t);
        EXPECT_EQ(oldest[bytes - 1], t);
        heap.Deallocate(oldest);
        pieces.erase(pieces.begin());
      }
      for (const auto& [piece, size] : pieces) heap.Deallocate(piece);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_LE(heap.held_bytes(), static_cast<int64_t>(PageHeap::kIdlePagesMin * kPage));
}

}  // namespace
}  // namespace kalam

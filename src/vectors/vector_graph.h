// The graph that finds near vectors without looking at all of them: HNSW over vectors in 16 bits.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "vectors/packed_vector.h"

namespace kalam::vectors {

/// Vectors by key. Keeps a vector as 16-bit numbers with a scale of its own: half of the
/// memory, at the price of approximate distances; whoever asks compares the rows' own vectors
/// afterwards. Source: Malkov and Yashunin, "Efficient and robust approximate nearest neighbor
/// search using Hierarchical Navigable Small World graphs", 2016; hnswlib. Thread-safety: Search
/// from any number of threads while nobody changes it.
class VectorGraph {
  struct Rep;

 public:
  explicit VectorGraph(std::unique_ptr<Rep> rep);
  ~VectorGraph();
  static Result<std::unique_ptr<VectorGraph>> Make(size_t dimension, Metric metric);

  /// Adds or replaces. Vectors with a number that is not finite are left out (removed). Errors:
  /// MemoryExceeded.
  Status Add(std::string_view key, std::span<const float> vector);
  void Remove(std::string_view key);

  /// The keys of about the `count` nearest vectors, best first; fewer when there are fewer.
  std::vector<std::string> Search(std::span<const float> query, size_t count) const;
  /// The same by looking at every vector.
  std::vector<std::string> SearchAll(std::span<const float> query, size_t count) const;
  /// Tries searches for vectors of its own and beside them, and chooses how widely Search looks, so
  /// that it finds at least 98 of 100 true neighbours; where no width does, Search looks at all
  /// from then on. Cost: some tens of searches.
  void Calibrate();
  /// Notes where searches begin, so that they reach every part of the graph. Cost: one look at
  /// every link. After many additions.
  void PrepareSearch();
  /// True when Search follows the graph: it is large enough, and finds enough that way.
  bool follows_graph() const;

  size_t dimension() const;
  Metric metric() const;
  size_t count() const;
  /// Entries that Remove left behind; they cost memory until the graph is made anew.
  size_t removed_count() const;
  int64_t byte_size() const;

  /// The keys in their inner order, then the graph in `path`; Load wants both. Errors: StorageIo.
  Status Save(const std::string& path) const;
  std::vector<std::string> Keys() const;
  /// Errors: Corruption, StorageIo, MemoryExceeded.
  static Result<std::unique_ptr<VectorGraph>> Load(const std::string& path, size_t dimension,
                                                   Metric metric, std::vector<std::string> keys);

 private:
  std::unique_ptr<Rep> rep_;
};

}  // namespace kalam::vectors

// Recall and speed of the vector index at full size: 100,000 vectors of 384 dimensions against
// exact search, for vectors in clusters (as embeddings are) and for noise (the worst there is).
//
//   vector_recall [count] [dimension]
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "vectors/vector_graph.h"

namespace {

using kalam::vectors::Metric;
using kalam::vectors::VectorGraph;
using Vector = std::vector<float>;

constexpr size_t kQueries = 100;
constexpr size_t kNeighbours = 10;

double Seconds(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

// 1 - cosine, in floats: the exact answer that recall is held against.
float Distance(const Vector& a, const Vector& b) {
  float dot = 0, a_square = 0, b_square = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    dot += a[i] * b[i];
    a_square += a[i] * a[i];
    b_square += b[i] * b[i];
  }
  return 1 - dot / std::sqrt(a_square * b_square);
}

std::vector<size_t> Nearest(const std::vector<Vector>& vectors, const std::vector<size_t>& among,
                            const Vector& query) {
  std::vector<std::pair<float, size_t>> distances;
  for (const size_t i : among) distances.emplace_back(Distance(vectors[i], query), i);
  const size_t kept = std::min(kNeighbours, distances.size());
  std::partial_sort(distances.begin(), distances.begin() + static_cast<long>(kept),
                    distances.end());
  std::vector<size_t> nearest;
  for (size_t i = 0; i < kept; ++i) nearest.push_back(distances[i].second);
  return nearest;
}

bool Measure(std::string_view name, size_t count, size_t dimension, bool clustered) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  std::vector<Vector> centers(count / 200 + 1, Vector(dimension));
  for (Vector& center : centers) {
    for (float& x : center) x = normal(random);
  }
  std::vector<Vector> vectors(count + kQueries, Vector(dimension));
  for (Vector& vector : vectors) {
    const Vector& center = centers[random() % centers.size()];
    for (size_t d = 0; d < dimension; ++d)
      vector[d] = clustered ? center[d] + 0.7f * normal(random) : normal(random);
  }
  auto made = VectorGraph::Make(dimension, Metric::kCosine);
  if (!made.ok()) return false;
  VectorGraph& graph = **made;
  auto begin = std::chrono::steady_clock::now();
  for (size_t i = 0; i < count; ++i) {
    if (!graph.Add(std::to_string(i), vectors[i]).ok()) return false;
  }
  const double build_s = Seconds(begin);
  begin = std::chrono::steady_clock::now();
  graph.Calibrate();
  const double calibrate_s = Seconds(begin);

  std::vector<size_t> all(count);
  for (size_t i = 0; i < count; ++i) all[i] = i;
  size_t found = 0;
  double search_s = 0, exact_s = 0;
  for (size_t q = count; q < count + kQueries; ++q) {
    begin = std::chrono::steady_clock::now();
    const std::vector<size_t> exact = Nearest(vectors, all, vectors[q]);
    exact_s += Seconds(begin);
    begin = std::chrono::steady_clock::now();
    std::vector<size_t> candidates;
    for (const std::string& key : graph.Search(vectors[q], std::max<size_t>(64, 4 * kNeighbours)))
      candidates.push_back(std::stoul(key));
    const std::vector<size_t> got = Nearest(vectors, candidates, vectors[q]);
    search_s += Seconds(begin);
    for (const size_t i : exact) found += std::find(got.begin(), got.end(), i) != got.end() ? 1 : 0;
  }
  const double recall = static_cast<double>(found) / (kQueries * kNeighbours);
  fmt::print(
      "{:<9} {} x {}: recall@{} {:.3f}, search {:.2f} ms, exact {:.2f} ms, build {:.1f} s, "
      "calibration {:.2f} s, {} MiB, {}\n",
      name, count, dimension, kNeighbours, recall, search_s * 1000 / kQueries,
      exact_s * 1000 / kQueries, build_s, calibrate_s, graph.byte_size() >> 20,
      graph.follows_graph() ? "follows the graph" : "looks at all 8-bit vectors");
  return recall >= 0.95;
}

}  // namespace

int main(int argc, char** argv) {
  const size_t count = argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 100'000;
  const size_t dimension = argc > 2 ? std::strtoul(argv[2], nullptr, 10) : 384;
  const bool clustered = Measure("clusters", count, dimension, true);
  const bool noise = Measure("noise", count, dimension, false);
  return clustered && noise ? 0 : 1;
}

// Recall, time and memory of the vector index, for data as embeddings are, for noise, and for what
// rounding and clusters make hard.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <functional>
#include <random>

#include "suite/suites.h"
#include "vectors/vector_graph.h"

namespace kalam::bench {
namespace {

using vectors::Metric;
using vectors::VectorGraph;
using Vector = std::vector<float>;
using Near = std::pair<float, size_t>;

constexpr size_t kQueries = 200;
constexpr size_t kNeighbours = 10;
constexpr size_t kCandidates = 64;  // as a statement with LIMIT 10 asks for
constexpr double kRecallMin = 0.95;

struct DataSet {
  const char* name;
  size_t count;
  size_t dimension;
  Metric metric;
  double search_ms_max;
  std::vector<Vector> vectors;  // queries behind `count`
};

double SecondsSince(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

float Distance(const Vector& a, const Vector& b, Metric metric) {
  float dot = 0, a_square = 0, b_square = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    dot += a[i] * b[i];
    a_square += a[i] * a[i];
    b_square += b[i] * b[i];
  }
  return metric == Metric::kL2 ? a_square + b_square - 2 * dot
                               : 1 - dot / std::sqrt(a_square * b_square);
}

// The nearest of `among` by the vectors themselves, best first.
std::vector<Near> Nearest(const DataSet& set, const std::vector<size_t>& among,
                          const Vector& query) {
  std::vector<Near> distances;
  for (const size_t i : among)
    distances.emplace_back(Distance(set.vectors[i], query, set.metric), i);
  const size_t kept = std::min(kNeighbours, distances.size());
  std::partial_sort(distances.begin(), distances.begin() + static_cast<ptrdiff_t>(kept),
                    distances.end());
  distances.resize(kept);
  return distances;
}

// Around centers of very different sizes that share a direction, as embeddings of texts do.
void FillAsTexts(DataSet* set) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  Vector common(set->dimension);
  for (float& x : common) x = normal(random);
  std::vector<Vector> centers(set->count / 100 + 1, Vector(set->dimension));
  for (Vector& center : centers) {
    for (size_t d = 0; d < center.size(); ++d) center[d] = common[d] + normal(random);
  }
  for (size_t i = 0; i < set->count + kQueries; ++i) {
    // A few centers have most of the vectors.
    const double place = std::uniform_real_distribution<double>(0, 1)(random);
    const Vector& center = centers[static_cast<size_t>(place * place * place *
                                                       static_cast<double>(centers.size() - 1))];
    Vector vector(set->dimension);
    for (size_t d = 0; d < vector.size(); ++d) vector[d] = center[d] + 0.6f * normal(random);
    set->vectors.push_back(std::move(vector));
  }
}

void FillWithNoise(DataSet* set) {
  std::mt19937 random(2);
  std::normal_distribution<float> normal;
  for (size_t i = 0; i < set->count + kQueries; ++i) {
    Vector vector(set->dimension);
    for (float& x : vector) x = normal(random);
    set->vectors.push_back(std::move(vector));
  }
}

// Clusters far from zero and from each other, entered one after another.
void FillFarApart(DataSet* set) {
  constexpr size_t kCluster = 400;
  std::mt19937 random(3);
  std::normal_distribution<float> normal;
  std::vector<Vector> centers(set->count / kCluster + 1, Vector(set->dimension));
  for (Vector& center : centers) {
    for (float& x : center) x = normal(random) * 20;
  }
  for (size_t i = 0; i < set->count + kQueries; ++i) {
    Vector vector = centers[i < set->count ? i / kCluster : random() % centers.size()];
    for (float& x : vector) x += normal(random);
    set->vectors.push_back(std::move(vector));
  }
}

Status Measure(const DataSet& set, Report& report) {
  KALAM_ASSIGN_OR_RETURN(const auto graph, VectorGraph::Make(set.dimension, set.metric));
  auto begin = std::chrono::steady_clock::now();
  for (size_t i = 0; i < set.count; ++i) {
    KALAM_RETURN_IF_ERROR(graph->Add(std::to_string(i), set.vectors[i]));
  }
  const double build_s = SecondsSince(begin);
  begin = std::chrono::steady_clock::now();
  graph->Calibrate();
  const double calibration_s = SecondsSince(begin);

  std::vector<size_t> all(set.count);
  for (size_t i = 0; i < set.count; ++i) all[i] = i;
  size_t found = 0;
  std::vector<double> search_ms, exact_ms;
  for (size_t q = set.count; q < set.vectors.size(); ++q) {
    const Vector& query = set.vectors[q];
    begin = std::chrono::steady_clock::now();
    const std::vector<Near> exact = Nearest(set, all, query);
    exact_ms.push_back(SecondsSince(begin) * 1000);
    begin = std::chrono::steady_clock::now();
    std::vector<size_t> candidates;
    for (const std::string& key : graph->Search(query, kCandidates))
      candidates.push_back(std::stoul(key));
    const std::vector<Near> got = Nearest(set, candidates, query);
    search_ms.push_back(SecondsSince(begin) * 1000);
    for (const Near& near : exact) {
      found += std::any_of(got.begin(), got.end(),
                           [&](const Near& other) { return other.second == near.second; });
    }
  }
  const std::string name = fmt::format("{} {:L} x {}", set.name, set.count, set.dimension);
  report.Add({name + ": recall@10", "", static_cast<double>(found) / (kQueries * kNeighbours),
              kRecallMin, true,
              graph->follows_graph() ? "follows the graph" : "looks at all 16-bit vectors"});
  report.Add({name + ": search p50", "ms", Percentile(search_ms, 50), set.search_ms_max, false,
              fmt::format("p99 {:.2f}; all vectors {:.2f}", Percentile(search_ms, 99),
                          Percentile(exact_ms, 50))});
  const auto count = static_cast<double>(set.count);
  report.Add({name + ": memory of a vector", "B", static_cast<double>(graph->byte_size()) / count,
              static_cast<double>(2 * set.dimension) * 1.5 + 600, false,
              fmt::format("{} MiB together, as accounted", graph->byte_size() >> 20)});
  report.Add({name + ": adding a vector", "us", build_s * 1e6 / count, 5000, false,
              fmt::format("{:.0f} s together, calibration {:.1f} s", build_s, calibration_s)});
  return {};
}

}  // namespace

Status RunVectors(const SuiteOptions&, Report& report) {
  const char* asked = std::getenv("KALAM_BENCH_VECTORS");
  const size_t count = asked != nullptr ? std::strtoul(asked, nullptr, 10) : 100'000;
  const std::pair<DataSet, void (*)(DataSet*)> sets[] = {
      {{"texts", count, 384, Metric::kCosine, 10, {}}, FillAsTexts},
      {{"noise", count, 384, Metric::kCosine, 50, {}}, FillWithNoise},
      {{"far apart", count / 5, 24, Metric::kL2, 10, {}}, FillFarApart}};
  for (const auto& [empty, fill] : sets) {
    DataSet set = empty;
    fill(&set);
    KALAM_RETURN_IF_ERROR(Measure(set, report));
  }
  return {};
}

}  // namespace kalam::bench

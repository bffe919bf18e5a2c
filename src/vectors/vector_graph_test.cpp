// The graph: nearest keys, replacement, removal, recall with a fixed seed, and files.
#include "vectors/vector_graph.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>
#include <random>

#include "base/id_generators.h"

namespace kalam::vectors {
namespace {

using Vector = std::vector<float>;

std::unique_ptr<VectorGraph> Make(size_t dimension, Metric metric) {
  return std::move(VectorGraph::Make(dimension, metric)).value();
}

TEST(VectorGraphTest, FindsTheNearestByEachMetric) {
  const auto cosine = Make(2, Metric::kCosine);
  const auto l2 = Make(2, Metric::kL2);
  const auto dot = Make(2, Metric::kDot);
  for (VectorGraph* graph : {cosine.get(), l2.get(), dot.get()}) {
    ASSERT_TRUE(graph->Add("right", Vector{1, 0}).ok());
    ASSERT_TRUE(graph->Add("far right", Vector{10, 1}).ok());
    ASSERT_TRUE(graph->Add("up", Vector{0, 1}).ok());
  }
  const Vector query = {2, 0};
  EXPECT_EQ(cosine->Search(query, 3), (std::vector<std::string>{"right", "far right", "up"}));
  EXPECT_EQ(l2->Search(query, 3), (std::vector<std::string>{"right", "up", "far right"}));
  EXPECT_EQ(dot->Search(query, 1), (std::vector<std::string>{"far right"}));
  EXPECT_EQ(l2->SearchAll(query, 2), (std::vector<std::string>{"right", "up"}));
}

TEST(VectorGraphTest, ReplacesAndRemoves) {
  const auto graph = Make(2, Metric::kL2);
  ASSERT_TRUE(graph->Add("a", Vector{0, 0}).ok());
  ASSERT_TRUE(graph->Add("b", Vector{5, 5}).ok());
  ASSERT_TRUE(graph->Add("a", Vector{9, 9}).ok());
  EXPECT_EQ(graph->Search(Vector{0, 0}, 1), std::vector<std::string>{"b"});
  graph->Remove("b");
  graph->Remove("b");
  graph->Remove("never there");
  EXPECT_EQ(graph->count(), 1u);
  EXPECT_EQ(graph->removed_count(), 2u);  // the old place of `a`, and `b`
  EXPECT_EQ(graph->Search(Vector{0, 0}, 2), std::vector<std::string>{"a"});
  EXPECT_EQ(graph->SearchAll(Vector{0, 0}, 2), std::vector<std::string>{"a"});
  ASSERT_TRUE(graph->Add("b", Vector{1, 1}).ok());
  EXPECT_EQ(graph->count(), 2u);
  EXPECT_EQ(graph->Search(Vector{0, 0}, 1), std::vector<std::string>{"b"});
}

TEST(VectorGraphTest, LeavesOutWhatHasNoDistance) {
  const auto graph = Make(2, Metric::kCosine);
  ASSERT_TRUE(graph->Add("a", Vector{1, 0}).ok());
  ASSERT_TRUE(graph->Add("zero", Vector{0, 0}).ok());
  ASSERT_TRUE(graph->Add("nan", Vector{std::nanf(""), 0}).ok());
  ASSERT_TRUE(graph->Add("a", Vector{std::numeric_limits<float>::infinity(), 0}).ok());
  EXPECT_EQ(graph->Search(Vector{1, 0}, 5), std::vector<std::string>{"zero"});
}

TEST(VectorGraphTest, AnEmptyGraphFindsNothing) {
  const auto graph = Make(3, Metric::kL2);
  EXPECT_TRUE(graph->Search(Vector{0, 0, 0}, 5).empty());
  graph->Calibrate();
  EXPECT_EQ(graph->count(), 0u);
}

// Of how many true neighbours, in 1,000, a statement hears that asks for ten: vectors half in
// clusters and half spread evenly, queries of the same kind.
size_t RecallOf(size_t count, size_t dimension, bool* follows_graph) {
  constexpr size_t kQueries = 40, kNeighbours = 10;
  std::mt19937 random(42);
  std::normal_distribution<float> normal;
  std::vector<Vector> vectors;
  Vector center(dimension);
  for (size_t i = 0; i < count + kQueries; ++i) {
    if (i % 100 == 0) {
      for (float& x : center) x = normal(random) * 4;
    }
    Vector vector(dimension);
    for (size_t d = 0; d < dimension; ++d)
      vector[d] = normal(random) + (i % 2 == 0 ? center[d] : 0);
    vectors.push_back(std::move(vector));
  }
  std::shuffle(vectors.begin(), vectors.end(), random);
  const auto graph = Make(dimension, Metric::kL2);
  for (size_t i = 0; i < count; ++i) EXPECT_TRUE(graph->Add(std::to_string(i), vectors[i]).ok());
  graph->Calibrate();
  *follows_graph = graph->follows_graph();
  size_t found = 0;
  for (size_t q = count; q < count + kQueries; ++q) {
    std::vector<std::pair<float, std::string>> exact;
    for (size_t i = 0; i < count; ++i) {
      float distance = 0;
      for (size_t d = 0; d < dimension; ++d)
        distance += (vectors[i][d] - vectors[q][d]) * (vectors[i][d] - vectors[q][d]);
      exact.emplace_back(distance, std::to_string(i));
    }
    std::partial_sort(exact.begin(), exact.begin() + kNeighbours, exact.end());
    // As a statement does: more candidates than wanted, compared exactly afterwards.
    const auto candidates = graph->Search(vectors[q], 64);
    for (size_t i = 0; i < kNeighbours; ++i)
      found += std::find(candidates.begin(), candidates.end(), exact[i].second) != candidates.end();
  }
  return found * 1000 / (kQueries * kNeighbours);
}

TEST(VectorGraphTest, RecallOfFewVectors) {
  bool follows_graph = false;
  EXPECT_GE(RecallOf(3000, 48, &follows_graph), 950u);
  EXPECT_FALSE(follows_graph);
}

TEST(VectorGraphTest, RecallOfManyVectors) {
  bool follows_graph = false;
  EXPECT_GE(RecallOf(10'500, 8, &follows_graph), 950u);
  EXPECT_TRUE(follows_graph);
  EXPECT_GE(RecallOf(10'500, 24, &follows_graph), 950u);
  EXPECT_TRUE(follows_graph);
}

// Clusters far from zero and from each other, entered one after another: whoever rounds coarsely
// mixes up neighbours, and whoever follows links alone ends in the wrong cluster.
TEST(VectorGraphTest, RecallOfClustersFarApart) {
  constexpr size_t kCount = 10'800, kDimension = 24, kCluster = 400, kQueries = 27;
  std::mt19937 random(5);
  std::normal_distribution<float> normal;
  std::vector<Vector> vectors;
  Vector center(kDimension);
  for (size_t i = 0; i < kCount; ++i) {
    if (i % kCluster == 0) {
      for (float& x : center) x = normal(random) * 20;
    }
    Vector vector = center;
    for (float& x : vector) x += normal(random);
    vectors.push_back(std::move(vector));
  }
  const auto graph = Make(kDimension, Metric::kL2);
  for (size_t i = 0; i < kCount; ++i) ASSERT_TRUE(graph->Add(std::to_string(i), vectors[i]).ok());
  graph->Calibrate();
  size_t found = 0;
  for (size_t q = 0; q < kQueries; ++q) {
    Vector query = vectors[q * kCluster];  // one of every cluster
    for (float& x : query) x += normal(random) / 2;
    std::vector<std::pair<float, std::string>> exact;
    for (size_t i = 0; i < kCount; ++i) {
      float distance = 0;
      for (size_t d = 0; d < kDimension; ++d)
        distance += (vectors[i][d] - query[d]) * (vectors[i][d] - query[d]);
      exact.emplace_back(distance, std::to_string(i));
    }
    std::partial_sort(exact.begin(), exact.begin() + 10, exact.end());
    const auto candidates = graph->Search(query, 64);
    for (size_t i = 0; i < 10; ++i)
      found += std::find(candidates.begin(), candidates.end(), exact[i].second) != candidates.end();
  }
  EXPECT_GE(found * 1000 / (kQueries * 10), 950u);
}

TEST(VectorGraphTest, ComesBackFromAFile) {
  const std::string path =
      (std::filesystem::temp_directory_path() / ("kalam-graph-" + RandomHex(12))).string();
  const auto graph = Make(2, Metric::kL2);
  ASSERT_TRUE(graph->Add("a", Vector{0, 0}).ok());
  ASSERT_TRUE(graph->Add("b", Vector{5, 5}).ok());
  ASSERT_TRUE(graph->Add("c", Vector{6, 6}).ok());
  graph->Remove("b");
  ASSERT_TRUE(graph->Save(path).ok());
  auto loaded = VectorGraph::Load(path, 2, Metric::kL2, graph->Keys());
  ASSERT_TRUE(loaded.ok());
  EXPECT_EQ((*loaded)->count(), 2u);
  EXPECT_EQ((*loaded)->Search(Vector{5, 5}, 1), std::vector<std::string>{"c"});
  ASSERT_TRUE((*loaded)->Add("d", Vector{5, 4}).ok());
  EXPECT_EQ((*loaded)->Search(Vector{5, 5}, 1), std::vector<std::string>{"d"});
  EXPECT_FALSE(VectorGraph::Load(path, 30, Metric::kL2, graph->Keys()).ok());
  EXPECT_FALSE(VectorGraph::Load(path, 2, Metric::kL2, {"a"}).ok());
  std::filesystem::remove(path);
  EXPECT_FALSE(VectorGraph::Load(path, 2, Metric::kL2, graph->Keys()).ok());
}

}  // namespace
}  // namespace kalam::vectors

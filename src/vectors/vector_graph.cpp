// hnswlib behind VectorGraph; the only file that knows it.
#include "vectors/vector_graph.h"

// Its prefetches read the entry behind the last link of a full list.
#define NO_MANUAL_VECTORIZATION
#include <hnswlib/hnswlib.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <unordered_map>

namespace kalam::vectors {
namespace {

constexpr size_t kLinks = 16;
constexpr size_t kWidthAtBuild = 120;
constexpr size_t kFirstCapacity = 1024;
// Fewer vectors are looked at one by one: about a millisecond, and nothing is missed.
constexpr size_t kFollowedFrom = 10'000;
constexpr size_t kWidthSteps[] = {64, 128, 256, 512, 1024};
constexpr size_t kDefaultWidth = 128;
constexpr size_t kUnlinkedMax = 1000;
constexpr size_t kCalibrationQueries = 24;
constexpr size_t kCalibrationNeighbours = 10;
constexpr double kCalibrationRecall = 0.98;
// Per entry beside its data: hnswlib's lock, level, label map and upper links; our keys and map.
constexpr int64_t kEntryOverheadBytes = 220;

// What stands before the 8-bit numbers of a vector.
struct Head {
  float scale = 0;   // number = 8-bit number * scale
  float square = 0;  // of the length
};

struct Shape {
  size_t dimension = 0;
  Metric metric = Metric::kCosine;
};

// hnswlib puts links, vector and label of an entry one behind the other and
// reads the links as numbers: padded, they stay aligned.
constexpr size_t kLinksBytes = 2 * kLinks * sizeof(hnswlib::tableint) + sizeof(hnswlib::tableint);
size_t PaddedSize(size_t dimension) {
  const size_t size = sizeof(Head) + dimension;
  const size_t entry = kLinksBytes + size + sizeof(hnswlib::labeltype);
  return size + (8 - entry % 8) % 8;
}

const int8_t* NumbersOf(const void* vector) {
  return reinterpret_cast<const int8_t*>(static_cast<const char*>(vector) + sizeof(Head));
}

Head HeadOf(const void* vector) {
  Head head;
  std::memcpy(&head, vector, sizeof head);
  return head;
}

float DistanceOf(const void* a, const void* b, const void* parameter) {
  const Shape& shape = *static_cast<const Shape*>(parameter);
  const int8_t* left = NumbersOf(a);
  const int8_t* right = NumbersOf(b);
  int32_t product = 0;
  for (size_t i = 0; i < shape.dimension; ++i) {
    product += static_cast<int16_t>(left[i]) * static_cast<int16_t>(right[i]);
  }
  const Head left_head = HeadOf(a), right_head = HeadOf(b);
  const float dot = static_cast<float>(product) * left_head.scale * right_head.scale;
  if (shape.metric == Metric::kL2) return left_head.square + right_head.square - 2 * dot;
  return 1 - dot;
}

// Of cosine the direction alone is kept.
std::string Encode(std::span<const float> vector, Metric metric) {
  double square = 0;
  for (const float number : vector) square += double{number} * number;
  const double length = metric == Metric::kCosine ? std::sqrt(square) : 1;
  float largest = 0;
  for (const float number : vector) largest = std::max(largest, std::abs(number));
  const bool zero = largest == 0 || length == 0;
  Head head;
  head.scale = zero ? 0 : static_cast<float>(largest / length / 127);
  head.square = static_cast<float>(metric == Metric::kCosine ? (zero ? 0 : 1) : square);
  std::string encoded(PaddedSize(vector.size()), '\0');
  std::memcpy(encoded.data(), &head, sizeof head);
  for (size_t i = 0; i < vector.size() && !zero; ++i) {
    encoded[sizeof head + i] = static_cast<char>(std::lround(vector[i] / largest * 127));
  }
  return encoded;
}

class Space : public hnswlib::SpaceInterface<float> {
 public:
  explicit Space(Shape shape) : shape_(shape) {}
  size_t get_data_size() override { return PaddedSize(shape_.dimension); }
  hnswlib::DISTFUNC<float> get_dist_func() override { return DistanceOf; }
  void* get_dist_func_param() override { return &shape_; }
  const Shape& shape() const { return shape_; }

 private:
  Shape shape_;
};

using Graph = hnswlib::HierarchicalNSW<float>;

}  // namespace

struct VectorGraph::Rep {
  explicit Rep(Shape shape) : space(shape) {}

  Space space;
  std::unique_ptr<Graph> graph;
  std::vector<std::string> keys;  // by label
  std::vector<bool> removed;      // by label
  std::unordered_map<std::string, size_t> labels;
  size_t removed_count = 0;
  bool follows_graph = true;
  std::vector<hnswlib::tableint> unlinked;  // entries that no link leads to

  size_t capacity() const { return graph->max_elements_; }
  std::string_view DataOf(size_t label) const {
    const auto id = graph->label_lookup_.at(label);
    return {graph->getDataByInternalId(id), graph->data_size_};
  }
  std::vector<std::string> Named(std::vector<std::pair<float, hnswlib::labeltype>>* nearest) const {
    std::sort(nearest->begin(), nearest->end());
    std::vector<std::string> names;
    names.reserve(nearest->size());
    for (const auto& [distance, label] : *nearest) names.push_back(keys[label]);
    return names;
  }
  std::vector<std::string> SearchGraph(const void* query, size_t count) const {
    auto found = graph->searchKnn(query, count);
    std::vector<std::pair<float, hnswlib::labeltype>> nearest;
    for (; !found.empty(); found.pop()) nearest.push_back(found.top());
    for (const hnswlib::tableint id : unlinked) {
      const hnswlib::labeltype label = graph->getExternalLabel(id);
      const auto same = [label](const auto& entry) { return entry.second == label; };
      if (removed[label] || std::any_of(nearest.begin(), nearest.end(), same)) continue;
      nearest.emplace_back(DistanceOf(query, graph->getDataByInternalId(id), &space.shape()),
                           label);
    }
    std::sort(nearest.begin(), nearest.end());
    if (nearest.size() > count) nearest.resize(count);
    return Named(&nearest);
  }
  std::vector<std::string> SearchAll(const void* query, size_t count) const {
    std::vector<std::pair<float, hnswlib::labeltype>> heap;  // the worst on top
    for (size_t i = 0; i < graph->cur_element_count && count > 0; ++i) {
      const auto id = static_cast<hnswlib::tableint>(i);
      const hnswlib::labeltype label = graph->getExternalLabel(id);
      if (removed[label]) continue;
      const float distance = DistanceOf(query, graph->getDataByInternalId(id), &space.shape());
      if (heap.size() == count && distance >= heap.front().first) continue;
      if (heap.size() == count) {
        std::pop_heap(heap.begin(), heap.end());
        heap.pop_back();
      }
      heap.emplace_back(distance, label);
      std::push_heap(heap.begin(), heap.end());
    }
    return Named(&heap);
  }
};

std::string_view MetricName(Metric metric) {
  switch (metric) {
    case Metric::kCosine:
      return "cosine";
    case Metric::kL2:
      return "l2";
    case Metric::kDot:
      return "dot";
  }
  return "";
}

std::string_view MetricTitle(Metric metric) {
  switch (metric) {
    case Metric::kCosine:
      return "Cosine";
    case Metric::kL2:
      return "L2";
    case Metric::kDot:
      return "Dot";
  }
  return "";
}

VectorGraph::VectorGraph(std::unique_ptr<Rep> rep) : rep_(std::move(rep)) {}
VectorGraph::~VectorGraph() = default;

Result<std::unique_ptr<VectorGraph>> VectorGraph::Make(size_t dimension, Metric metric) {
  try {
    auto rep = std::make_unique<Rep>(Shape{dimension, metric});
    rep->graph = std::make_unique<Graph>(&rep->space, kFirstCapacity, kLinks, kWidthAtBuild);
    rep->graph->setEf(kDefaultWidth);
    return std::make_unique<VectorGraph>(std::move(rep));
  } catch (const std::exception& error) {
    return Status(ErrorKind::MemoryExceeded, std::string("vector index: ") + error.what());
  }
}

Status VectorGraph::Add(std::string_view key, std::span<const float> vector) {
  if (!std::all_of(vector.begin(), vector.end(), [](float x) { return std::isfinite(x); })) {
    Remove(key);
    return {};
  }
  Rep& rep = *rep_;
  try {
    const std::string encoded = Encode(vector, rep.space.shape().metric);
    if (const auto known = rep.labels.find(std::string(key)); known != rep.labels.end()) {
      if (!rep.removed[known->second] && rep.DataOf(known->second) == encoded) return {};
      // Moved within the graph, it might be linked to its old place alone: it
      // enters anew.
      Remove(key);
      rep.labels.erase(known);
    }
    const size_t label = rep.keys.size();
    if (label >= rep.capacity()) rep.graph->resizeIndex(rep.capacity() + rep.capacity() / 2);
    rep.graph->addPoint(encoded.data(), label);
    rep.keys.emplace_back(key);
    rep.removed.push_back(false);
    rep.labels.emplace(key, label);
    return {};
  } catch (const std::exception& error) {
    return Status(ErrorKind::MemoryExceeded, std::string("vector index: ") + error.what());
  }
}

void VectorGraph::Remove(std::string_view key) {
  Rep& rep = *rep_;
  const auto found = rep.labels.find(std::string(key));
  if (found == rep.labels.end() || rep.removed[found->second]) return;
  try {
    rep.graph->markDelete(found->second);
  } catch (const std::exception&) {
    return;  // it was never linked
  }
  rep.removed[found->second] = true;
  ++rep.removed_count;
  rep.keys[found->second].clear();
}

std::vector<std::string> VectorGraph::Search(std::span<const float> query, size_t count) const {
  if (!follows_graph()) return SearchAll(query, count);
  const std::string encoded = Encode(query, metric());
  try {
    return rep_->SearchGraph(encoded.data(), count);
  } catch (const std::exception&) {
    return rep_->SearchAll(encoded.data(), count);
  }
}

std::vector<std::string> VectorGraph::SearchAll(std::span<const float> query, size_t count) const {
  return rep_->SearchAll(Encode(query, metric()).data(), count);
}

// Links are few, and an entry far from all others may lose its last one to
// entries that came later.
void VectorGraph::FindUnlinked() {
  Rep& rep = *rep_;
  const size_t entries = rep.graph->cur_element_count;
  std::vector<bool> linked(entries, false);
  for (size_t i = 0; i < entries; ++i) {
    auto* list = rep.graph->get_linklist0(static_cast<hnswlib::tableint>(i));
    const size_t links = rep.graph->getListCount(list);
    for (size_t at = 1; at <= links; ++at) linked[list[at]] = true;
  }
  rep.unlinked.clear();
  for (size_t i = 0; i < entries && rep.unlinked.size() < kUnlinkedMax; ++i) {
    if (!linked[i]) rep.unlinked.push_back(static_cast<hnswlib::tableint>(i));
  }
}

void VectorGraph::Calibrate() {
  FindUnlinked();
  Rep& rep = *rep_;
  const size_t entries = rep.graph->cur_element_count;
  if (entries <= kCalibrationQueries) return;
  std::vector<std::string> queries;
  std::vector<std::vector<std::string>> truths;
  for (size_t i = 0; i < kCalibrationQueries; ++i) {
    const auto id = static_cast<hnswlib::tableint>(i * entries / kCalibrationQueries);
    queries.emplace_back(rep.graph->getDataByInternalId(id), rep.space.get_data_size());
    truths.push_back(rep.SearchAll(queries.back().data(), kCalibrationNeighbours));
  }
  rep.follows_graph = false;
  for (const size_t width : kWidthSteps) {
    rep.graph->setEf(width);
    size_t found = 0, wanted = 0;
    for (size_t i = 0; i < queries.size(); ++i) {
      const auto near = rep.SearchGraph(queries[i].data(), kCalibrationNeighbours);
      wanted += truths[i].size();
      for (const std::string& key : truths[i]) {
        found += std::find(near.begin(), near.end(), key) != near.end() ? 1 : 0;
      }
    }
    if (static_cast<double>(found) < kCalibrationRecall * static_cast<double>(wanted)) continue;
    // More than its own vectors need: others lie less well in the graph.
    rep.graph->setEf(4 * width);
    rep.follows_graph = true;
    return;
  }
}

bool VectorGraph::follows_graph() const { return rep_->follows_graph && count() >= kFollowedFrom; }
size_t VectorGraph::dimension() const { return rep_->space.shape().dimension; }
Metric VectorGraph::metric() const { return rep_->space.shape().metric; }
size_t VectorGraph::count() const { return rep_->keys.size() - rep_->removed_count; }
size_t VectorGraph::removed_count() const { return rep_->removed_count; }

int64_t VectorGraph::byte_size() const {
  const auto entry = static_cast<int64_t>(rep_->graph->size_data_per_element_);
  return static_cast<int64_t>(rep_->capacity()) * (entry + kEntryOverheadBytes);
}

Status VectorGraph::Save(const std::string& path) const {
  try {
    rep_->graph->saveIndex(path);
    return {};
  } catch (const std::exception& error) {
    return Status(ErrorKind::StorageIo, "cannot write " + path + ": " + error.what());
  }
}

std::vector<std::string> VectorGraph::Keys() const { return rep_->keys; }

Result<std::unique_ptr<VectorGraph>> VectorGraph::Load(const std::string& path, size_t dimension,
                                                       Metric metric,
                                                       std::vector<std::string> keys) {
  try {
    auto rep = std::make_unique<Rep>(Shape{dimension, metric});
    rep->graph = std::make_unique<Graph>(&rep->space, path, false, keys.size() + keys.size() / 4);
    Graph& graph = *rep->graph;
    const bool fits = graph.cur_element_count == keys.size() &&
                      graph.label_offset_ == graph.offsetData_ + rep->space.get_data_size();
    if (!fits) return Status(ErrorKind::Corruption, "the graph does not fit its keys");
    rep->removed.resize(keys.size());
    for (size_t i = 0; i < graph.cur_element_count; ++i) {
      const auto id = static_cast<hnswlib::tableint>(i);
      const hnswlib::labeltype label = graph.getExternalLabel(id);
      if (label >= keys.size()) return Status(ErrorKind::Corruption, "a label has no key");
      rep->removed[label] = graph.isMarkedDeleted(id);
      rep->removed_count += rep->removed[label] ? 1 : 0;
    }
    for (size_t label = 0; label < keys.size(); ++label) {
      if (!rep->removed[label]) rep->labels.emplace(keys[label], label);
    }
    rep->keys = std::move(keys);
    graph.setEf(kDefaultWidth);
    return std::make_unique<VectorGraph>(std::move(rep));
  } catch (const std::exception& error) {
    return Status(ErrorKind::Corruption, std::string("vector index: ") + error.what());
  }
}

}  // namespace kalam::vectors

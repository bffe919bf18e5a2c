// hnswlib behind VectorGraph; the only file that knows it.
#include "vectors/vector_graph.h"

// Its prefetches read the entry behind the last link of a full list.
#define NO_MANUAL_VECTORIZATION
#include <hnswlib/hnswlib.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <unordered_map>
#include <utility>

namespace kalam::vectors {
namespace {

constexpr size_t kLinks = 16;
constexpr size_t kWidthAtBuild = 120;
constexpr size_t kFirstCapacity = 1024;
// Fewer vectors are looked at one by one: about a millisecond, and nothing is missed.
constexpr size_t kFollowedFrom = 10'000;
constexpr size_t kWidthSteps[] = {64, 128, 256, 512, 1024};
constexpr size_t kDefaultWidth = 128;
constexpr size_t kWidthReserve = 2;
// Entries from which searches begin: the nearest of at most so many on an upper level.
constexpr size_t kTopsMax = 1024;
constexpr size_t kEntries = 16;
constexpr size_t kUpperWidth = 48;
constexpr size_t kCalibrationQueries = 24;
constexpr size_t kCalibrationNeighbours = 10;
constexpr double kCalibrationRecall = 0.98;
// Per entry beside its data: hnswlib's lock, level, label map and upper links; our keys and map.
constexpr int64_t kEntryOverheadBytes = 220;

// hnswlib puts links, vector and label of an entry one behind the other and
// reads the links as numbers: padded, they stay aligned.
constexpr size_t kLinksBytes = 2 * kLinks * sizeof(hnswlib::tableint) + sizeof(hnswlib::tableint);
size_t PaddedBytes(size_t dimension) {
  const size_t size = PackedBytes(dimension);
  const size_t entry = kLinksBytes + size + sizeof(hnswlib::labeltype);
  return size + (8 - entry % 8) % 8;
}

using Graph = hnswlib::HierarchicalNSW<float>;
using Entry = hnswlib::tableint;
using Near = std::pair<float, Entry>;

// Marks of one search, from hnswlib's pool.
class VisitedEntries {
 public:
  explicit VisitedEntries(const Graph& graph)
      : pool_(*graph.visited_list_pool_), list_(pool_.getFreeVisitedList()) {}
  VisitedEntries(const VisitedEntries&) = delete;
  VisitedEntries& operator=(const VisitedEntries&) = delete;
  ~VisitedEntries() { pool_.releaseVisitedList(list_); }
  // True the first time.
  bool IsNew(Entry id) const { return std::exchange(list_->mass[id], list_->curV) != list_->curV; }

 private:
  hnswlib::VisitedListPool& pool_;
  hnswlib::VisitedList* const list_;
};

class Space : public hnswlib::SpaceInterface<float> {
 public:
  explicit Space(VectorShape shape) : shape_(shape) {}
  size_t get_data_size() override { return PaddedBytes(shape_.dimension); }
  hnswlib::DISTFUNC<float> get_dist_func() override { return PackedDistance; }
  void* get_dist_func_param() override { return &shape_; }
  const VectorShape& shape() const { return shape_; }

 private:
  VectorShape shape_;
};

}  // namespace

struct VectorGraph::Rep {
  explicit Rep(VectorShape shape) : space(shape) {}

  Space space;
  std::unique_ptr<Graph> graph;
  std::vector<std::string> keys;  // by label
  std::vector<bool> removed;      // by label
  std::unordered_map<std::string, size_t> labels;
  size_t removed_count = 0;
  bool follows_graph = true;
  size_t width = kDefaultWidth;  // of searches
  // Where searches begin: all entries of one upper level, and one of every part of the lowest level
  // that no path from there reaches.
  int top_level = 0;
  std::vector<Entry> tops;
  std::vector<Entry> roots;

  size_t capacity() const { return graph->max_elements_; }
  std::string_view DataOf(size_t label) const {
    const auto id = graph->label_lookup_.at(label);
    return {graph->getDataByInternalId(id), graph->data_size_};
  }
  Entry EntryOf(const std::string& key) const { return graph->label_lookup_.at(labels.at(key)); }
  std::string Pack(std::span<const float> vector) const {
    std::string packed = PackVector(vector, space.shape().metric);
    packed.resize(graph->data_size_, '\0');
    return packed;
  }
  // About the numbers that were added.
  std::vector<float> VectorOf(Entry id) const {
    return UnpackVector(graph->getDataByInternalId(id), space.shape().dimension);
  }
  std::vector<std::string> Named(std::vector<std::pair<float, hnswlib::labeltype>>* nearest) const {
    std::sort(nearest->begin(), nearest->end());
    std::vector<std::string> names;
    names.reserve(nearest->size());
    for (const auto& [distance, label] : *nearest) names.push_back(keys[label]);
    return names;
  }
  float DistanceTo(const void* query, Entry id) const {
    return PackedDistance(query, graph->getDataByInternalId(id), &space.shape());
  }
  // The nearest of `ids`, best first.
  std::vector<Near> NearestOf(const void* query, const std::vector<Entry>& ids,
                              size_t count) const {
    std::vector<Near> nearest;
    nearest.reserve(ids.size());
    for (const Entry id : ids) nearest.emplace_back(DistanceTo(query, id), id);
    const size_t kept = std::min(count, nearest.size());
    std::partial_sort(nearest.begin(), nearest.begin() + static_cast<ptrdiff_t>(kept),
                      nearest.end());
    nearest.resize(kept);
    return nearest;
  }
  std::vector<Near> SearchLayer(const void* query, const std::vector<Near>& entries, size_t width,
                                int level) const;
  std::vector<std::string> SearchGraph(const void* query, size_t count) const;
  std::vector<std::string> SearchAll(const void* query, size_t count) const {
    std::vector<std::pair<float, hnswlib::labeltype>> heap;  // the worst on top
    for (size_t i = 0; i < graph->cur_element_count && count > 0; ++i) {
      const auto id = static_cast<hnswlib::tableint>(i);
      const hnswlib::labeltype label = graph->getExternalLabel(id);
      if (removed[label]) continue;
      const float distance = PackedDistance(query, graph->getDataByInternalId(id), &space.shape());
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

// As hnswlib searches a level, but from several entries. Clusters are hardly linked with each
// other: from one entry alone a search may end in the wrong one.
std::vector<Near> VectorGraph::Rep::SearchLayer(const void* query, const std::vector<Near>& entries,
                                                size_t wide, int level) const {
  const VisitedEntries visited(*graph);
  std::vector<Near> candidates;  // a heap, the nearest on top
  std::vector<Near> found;       // a heap, the farthest on top
  const auto take = [&](const Near& near) {
    candidates.push_back(near);
    std::push_heap(candidates.begin(), candidates.end(), std::greater<>());
    // What is removed leads on, and is no answer.
    if (level == 0 && graph->isMarkedDeleted(near.second)) return;
    found.push_back(near);
    std::push_heap(found.begin(), found.end());
    if (found.size() <= wide) return;
    std::pop_heap(found.begin(), found.end());
    found.pop_back();
  };
  for (const Near& entry : entries) {
    if (visited.IsNew(entry.second)) take(entry);
  }
  while (!candidates.empty()) {
    std::pop_heap(candidates.begin(), candidates.end(), std::greater<>());
    const Near nearest = candidates.back();
    candidates.pop_back();
    if (found.size() >= wide && nearest.first > found.front().first) break;
    auto* links = level == 0 ? graph->get_linklist0(nearest.second)
                             : graph->get_linklist(nearest.second, level);
    const size_t count = graph->getListCount(links);
    for (size_t i = 1; i <= count; ++i) {
      const Entry id = links[i];
      if (!visited.IsNew(id)) continue;
      const float distance = DistanceTo(query, id);
      if (found.size() < wide || distance < found.front().first) take({distance, id});
    }
  }
  std::sort_heap(found.begin(), found.end());
  return found;
}

std::vector<std::string> VectorGraph::Rep::SearchGraph(const void* query, size_t count) const {
  if (graph->cur_element_count == 0 || count == 0) return {};
  const bool prepared = !tops.empty();
  std::vector<Near> entries =
      NearestOf(query, prepared ? tops : std::vector<Entry>{graph->enterpoint_node_}, kEntries);
  for (int level = prepared ? top_level : graph->maxlevel_; level > 0; --level) {
    entries = SearchLayer(query, entries, kUpperWidth, level);
  }
  const std::vector<Near> apart = NearestOf(query, roots, kEntries);
  entries.insert(entries.end(), apart.begin(), apart.end());
  const std::vector<Near> found = SearchLayer(query, entries, std::max(width, count), 0);
  std::vector<std::string> names;
  names.reserve(std::min(count, found.size()));
  for (size_t i = 0; i < found.size() && i < count; ++i) {
    names.push_back(keys[graph->getExternalLabel(found[i].second)]);
  }
  return names;
}

VectorGraph::VectorGraph(std::unique_ptr<Rep> rep) : rep_(std::move(rep)) {}
VectorGraph::~VectorGraph() = default;

Result<std::unique_ptr<VectorGraph>> VectorGraph::Make(size_t dimension, Metric metric) {
  try {
    auto rep = std::make_unique<Rep>(VectorShape{dimension, metric});
    rep->graph = std::make_unique<Graph>(&rep->space, kFirstCapacity, kLinks, kWidthAtBuild);
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
    const std::string packed = rep.Pack(vector);
    if (const auto known = rep.labels.find(std::string(key)); known != rep.labels.end()) {
      if (!rep.removed[known->second] && rep.DataOf(known->second) == packed) return {};
      // Moved within the graph, it might be linked to its old place alone: it
      // enters anew.
      Remove(key);
      rep.labels.erase(known);
    }
    const size_t label = rep.keys.size();
    if (label >= rep.capacity()) rep.graph->resizeIndex(rep.capacity() + rep.capacity() / 2);
    rep.graph->addPoint(packed.data(), label);
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
  const std::string packed = rep_->Pack(query);
  try {
    return rep_->SearchGraph(packed.data(), count);
  } catch (const std::exception&) {
    return rep_->SearchAll(packed.data(), count);
  }
}

std::vector<std::string> VectorGraph::SearchAll(std::span<const float> query, size_t count) const {
  return rep_->SearchAll(rep_->Pack(query).data(), count);
}

// Links are few, and prefer what is near: an entry, or a whole cluster, may lose its last link from
// outside to entries that came later.
void VectorGraph::PrepareSearch() {
  Rep& rep = *rep_;
  const size_t entries = rep.graph->cur_element_count;
  rep.tops.clear();
  rep.roots.clear();
  if (entries == 0) return;
  for (rep.top_level = 1;; ++rep.top_level) {
    for (size_t i = 0; i < entries && rep.tops.size() <= kTopsMax; ++i) {
      if (rep.graph->element_levels_[i] >= rep.top_level) rep.tops.push_back(static_cast<Entry>(i));
    }
    if (rep.tops.size() <= kTopsMax) break;
    rep.tops.clear();
  }
  if (rep.tops.empty()) rep.top_level = 0;
  std::vector<bool> reached(entries, false);
  std::vector<Entry> open;
  const auto reach_from = [&](Entry first) {
    reached[first] = true;
    open.push_back(first);
    while (!open.empty()) {
      auto* links = rep.graph->get_linklist0(open.back());
      open.pop_back();
      const size_t count = rep.graph->getListCount(links);
      for (size_t at = 1; at <= count; ++at) {
        if (reached[links[at]]) continue;
        reached[links[at]] = true;
        open.push_back(links[at]);
      }
    }
  };
  reach_from(rep.graph->enterpoint_node_);
  for (size_t i = 0; i < entries; ++i) {
    if (reached[i]) continue;
    rep.roots.push_back(static_cast<Entry>(i));
    reach_from(static_cast<Entry>(i));
  }
}

void VectorGraph::Calibrate() {
  PrepareSearch();
  Rep& rep = *rep_;
  const size_t entries = rep.graph->cur_element_count;
  if (entries <= kCalibrationQueries) return;
  // Half of the queries are vectors of its own, half lie beside one, as far as its neighbours are
  // apart: what is asked for later is no entry either.
  std::vector<std::string> queries;
  std::vector<std::vector<std::string>> truths;
  for (size_t i = 0; i < kCalibrationQueries; ++i) {
    const auto id = static_cast<Entry>(i * entries / kCalibrationQueries);
    queries.emplace_back(rep.graph->getDataByInternalId(id), rep.space.get_data_size());
    truths.push_back(rep.SearchAll(queries.back().data(), kCalibrationNeighbours));
    const std::vector<std::string>& near = truths.back();
    if (near.size() < kCalibrationNeighbours) continue;
    std::vector<float> beside = rep.VectorOf(id);
    const std::vector<float> first = rep.VectorOf(rep.EntryOf(near[near.size() / 2]));
    const std::vector<float> second = rep.VectorOf(rep.EntryOf(near.back()));
    for (size_t d = 0; d < beside.size(); ++d) beside[d] += first[d] - second[d];
    queries.push_back(rep.Pack(beside));
    truths.push_back(rep.SearchAll(queries.back().data(), kCalibrationNeighbours));
  }
  rep.follows_graph = false;
  for (const size_t width : kWidthSteps) {
    rep.width = width;
    size_t found = 0, wanted = 0;
    for (size_t i = 0; i < queries.size(); ++i) {
      const auto near = rep.SearchGraph(queries[i].data(), kCalibrationNeighbours);
      wanted += truths[i].size();
      for (const std::string& key : truths[i]) {
        found += std::find(near.begin(), near.end(), key) != near.end() ? 1 : 0;
      }
    }
    if (static_cast<double>(found) < kCalibrationRecall * static_cast<double>(wanted)) continue;
    rep.width = kWidthReserve * width;
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
    auto rep = std::make_unique<Rep>(VectorShape{dimension, metric});
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
    return std::make_unique<VectorGraph>(std::move(rep));
  } catch (const std::exception& error) {
    return Status(ErrorKind::Corruption, std::string("vector index: ") + error.what());
  }
}

}  // namespace kalam::vectors

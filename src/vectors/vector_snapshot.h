// Vector indexes as files in the storage, so that a restart does not build them again.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/ids.h"
#include "base/status.h"
#include "objects/object_storage.h"
#include "vectors/vector_graph.h"

namespace kalam::vectors {

/// What stands before the graph in a snapshot.
struct SnapshotHead {
  std::string table;  // `namespace.name`, for whoever looks at the file
  std::string column;
  int64_t generated_at_us = 0;
  Seq last_applied;  // every row up to it is in
};

/// Writes `graph` through files beginning with `scratch` to `path` of the storage. Errors:
/// StorageIo.
Status WriteSnapshot(const SnapshotHead& head, const VectorGraph& graph, const std::string& scratch,
                     objects::ObjectStorage& storage, const std::string& path);

struct LoadedSnapshot {
  SnapshotHead head;
  std::unique_ptr<VectorGraph> graph;
};
/// Errors: NotFound; Corruption (checksum, or another dimension or metric than expected);
/// StorageIo.
Result<LoadedSnapshot> ReadSnapshot(objects::ObjectStorage& storage, const std::string& path,
                                    const std::string& scratch, size_t dimension, Metric metric);

}  // namespace kalam::vectors

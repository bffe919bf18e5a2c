// How the rows of a scan are reached: the key or key range that a filter implies.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "catalog/schema.h"
#include "query/nodes.h"
#include "tables/table_reader.h"

namespace kalam::query {

enum class PathKind : uint8_t {
  kFullScan,  // all rows of the scope in key order
  kKeys,      // primary key = constant, or IN (constants): one Get each
  kKeyRange,  // bounds on the primary key
  kSeqRange,  // bounds on `_seq`
};

/// Chosen when a statement is planned; the nodes belong to the plan's filter. The filter is
/// evaluated on every row that comes, so a path may be wider than the filter but never narrower.
struct AccessPath {
  PathKind kind = PathKind::kFullScan;
  std::vector<const Node*> keys;                  // kKeys
  const Node *lower = nullptr, *upper = nullptr;  // kKeyRange, kSeqRange
  bool lower_inside = false, upper_inside = false;
  const LikeNode* like = nullptr;  // kKeyRange: keys with the constant prefix of its pattern
  /// The filter says nothing but which keys: rows found by key need not be tested again.
  bool covers_filter = false;
};

/// Reads the best path off a compiled filter (null: none).
AccessPath ChoosePath(const catalog::TableDefinition& table, const Node* filter);

/// A path with this execution's values: what a row source needs.
struct BoundPath {
  bool is_empty = false;  // nothing can match
  bool is_keys = false;
  bool covers_filter = false;
  std::vector<std::string> keys;  // encoded, ascending, without repetition
  tables::ScanOptions scan;
};
Result<BoundPath> BindPath(const AccessPath& path, const catalog::TableDefinition& table,
                           EvalContext& context);

/// "primary key lookup", "key range scan", ... for EXPLAIN.
std::string_view PathName(PathKind kind);

}  // namespace kalam::query

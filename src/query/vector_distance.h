// Vectors as little-endian float32 runs, and the distance between two of them.
#pragma once

#include <optional>
#include <string_view>

#include "base/status.h"
#include "query/expression.h"
#include "vectors/vector_graph.h"

namespace kalam::query {

/// The floats of an EMBEDDING, or of a JSON array in a text. Errors: Execution with the texts of
/// COSINE_DISTANCE.
Status ReadVector(const Datum& value, EvalContext& context, std::string_view* floats);
/// Cosine: 1 - cosine; 1 when either is all zeros. L2: the Euclidean distance. Dot: the inner
/// product, which is greater for nearer ones. Errors: Execution (dimension mismatch).
Status VectorDistanceOf(vectors::Metric metric, std::string_view row, std::string_view query,
                        double* distance);
/// The metric of `cosine_distance`, `l2_distance` or `inner_product`; nullopt for other functions.
std::optional<vectors::Metric> MetricOfDistance(std::string_view function);
/// "COSINE_DISTANCE", "L2_DISTANCE", "INNER_PRODUCT".
std::string_view DistanceName(vectors::Metric metric);

}  // namespace kalam::query

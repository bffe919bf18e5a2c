// Vectors as little-endian float32 runs, and the distance between two of them.
#pragma once

#include <string_view>

#include "base/status.h"
#include "types/value.h"

namespace kalam::query {

/// The floats of an EMBEDDING, or of a JSON array in a text. Errors: Execution with the texts of
/// COSINE_DISTANCE.
Status ReadVector(const Datum& value, Arena* arena, std::string_view* floats);
/// 1 - cosine; 1 when either is all zeros. Errors: Execution (dimension mismatch).
Status CosineDistanceOf(std::string_view row, std::string_view query, double* distance);

}  // namespace kalam::query

// Vectors in 16 bits a number, and the distance of two of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace kalam::vectors {

/// Values are on disk: never renumber.
enum class Metric : uint8_t { kCosine = 0, kL2 = 1, kDot = 2 };
/// "cosine", "l2", "dot".
std::string_view MetricName(Metric metric);
/// "Cosine", "L2", "Dot", as messages show them.
std::string_view MetricTitle(Metric metric);

struct VectorShape {
  size_t dimension = 0;
  Metric metric = Metric::kCosine;
};

/// What PackVector gives for so many numbers.
size_t PackedBytes(size_t dimension);
/// Whole numbers of at most 8191 with a scale of their own: half of the memory of floats, and
/// approximate. Of cosine the direction alone is kept.
std::string PackVector(std::span<const float> vector, Metric metric);
/// About the numbers that were packed.
std::vector<float> UnpackVector(const void* packed, size_t dimension);

/// The distance by the metric, less for nearer ones (of L2 its square). `shape`: a VectorShape, as
/// hnswlib hands it to the function.
float PackedDistance(const void* left, const void* right, const void* shape);

}  // namespace kalam::vectors

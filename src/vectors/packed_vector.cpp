// Rounding to 16 bits, and the inner loop of everything that looks for near vectors.
#include "vectors/packed_vector.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace kalam::vectors {
namespace {

// A vector's numbers are kept as whole numbers of at most this size. In 8 bits, vectors that lie
// far from zero and near to each other would be rounded onto each other; and the sums of so many
// products as ProductOf adds at once still fit into 32 bits.
constexpr float kLargestNumber = 8191;
constexpr size_t kProductsAtOnce = 128;

// What stands before the numbers of a vector.
struct Head {
  float scale = 0;   // what is meant = number * scale
  float square = 0;  // of the length
};

const int16_t* NumbersOf(const void* vector) {
  return reinterpret_cast<const int16_t*>(static_cast<const char*>(vector) + sizeof(Head));
}

Head HeadOf(const void* vector) {
  Head head;
  std::memcpy(&head, vector, sizeof head);
  return head;
}

int32_t ProductOf(const int16_t* left, const int16_t* right, size_t count) {
  int32_t product = 0;
  for (size_t i = 0; i < count; ++i) product += int32_t{left[i]} * int32_t{right[i]};
  return product;
}

}  // namespace

float PackedDistance(const void* a, const void* b, const void* parameter) {
  const VectorShape& shape = *static_cast<const VectorShape*>(parameter);
  const int16_t* left = NumbersOf(a);
  const int16_t* right = NumbersOf(b);
  double product = 0;
  size_t at = 0;
  for (; at + kProductsAtOnce <= shape.dimension; at += kProductsAtOnce) {
    product += ProductOf(left + at, right + at, kProductsAtOnce);
  }
  product += ProductOf(left + at, right + at, shape.dimension - at);
  const Head left_head = HeadOf(a), right_head = HeadOf(b);
  const double dot = product * left_head.scale * right_head.scale;
  if (shape.metric == Metric::kL2) {
    return static_cast<float>(double{left_head.square} + right_head.square - 2 * dot);
  }
  return static_cast<float>(1 - dot);
}

std::string PackVector(std::span<const float> vector, Metric metric) {
  double square = 0;
  for (const float number : vector) square += double{number} * number;
  const double length = metric == Metric::kCosine ? std::sqrt(square) : 1;
  float largest = 0;
  for (const float number : vector) largest = std::max(largest, std::abs(number));
  const bool zero = largest == 0 || length == 0;
  Head head;
  head.scale = zero ? 0 : static_cast<float>(largest / length / kLargestNumber);
  head.square = static_cast<float>(metric == Metric::kCosine ? (zero ? 0 : 1) : square);
  std::string packed(PackedBytes(vector.size()), '\0');
  std::memcpy(packed.data(), &head, sizeof head);
  for (size_t i = 0; i < vector.size() && !zero; ++i) {
    const auto number = static_cast<int16_t>(std::lround(vector[i] / largest * kLargestNumber));
    std::memcpy(packed.data() + sizeof head + i * sizeof number, &number, sizeof number);
  }
  return packed;
}

size_t PackedBytes(size_t dimension) { return sizeof(Head) + dimension * sizeof(int16_t); }

std::vector<float> UnpackVector(const void* packed, size_t dimension) {
  const float scale = HeadOf(packed).scale;
  std::vector<float> vector(dimension);
  for (size_t d = 0; d < dimension; ++d)
    vector[d] = static_cast<float>(NumbersOf(packed)[d]) * scale;
  return vector;
}

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

}  // namespace kalam::vectors

// COSINE_DISTANCE, L2_DISTANCE, INNER_PRODUCT.
#include "query/vector_distance.h"

#include <fmt/core.h>
#include <simdjson.h>

#include <cmath>
#include <vector>

namespace kalam::query {

namespace {

Status ParseFailure(std::string_view reason) {
  return Status(ErrorKind::Execution,
                fmt::format("COSINE_DISTANCE() failed to parse JSON query vector: {}", reason));
}

Status ParseVector(std::string_view text, Arena* arena, std::string_view* floats) {
  try {
    simdjson::dom::parser parser;
    simdjson::dom::array array;
    if (const auto error = parser.parse(text.data(), text.size()).get(array);
        error != simdjson::SUCCESS) {
      return ParseFailure(simdjson::error_message(error));
    }
    std::vector<float> numbers;
    for (const simdjson::dom::element item : array) {
      double number = 0;
      if (item.get(number) != simdjson::SUCCESS) return ParseFailure("an element is not a number");
      numbers.push_back(static_cast<float>(number));
    }
    *floats = arena->Copy(
        {reinterpret_cast<const char*>(numbers.data()), numbers.size() * sizeof(float)});
    return {};
  } catch (const std::exception& error) {
    return ParseFailure(error.what());
  }
}

float FloatAt(std::string_view floats, size_t index) {
  float number = 0;
  std::memcpy(&number, floats.data() + index * sizeof(float), sizeof(float));
  return number;
}

}  // namespace

Status ReadVector(const Datum& value, EvalContext& context, std::string_view* floats) {
  if (value.kind == TypeKind::kEmbedding) {
    *floats = value.text();
  } else if (!DataType::Of(value.kind).is_text()) {
    return Status(ErrorKind::Execution,
                  "COSINE_DISTANCE() expects an EMBEDDING and a JSON array of numbers");
  } else if (context.vector_text == nullptr) {
    KALAM_RETURN_IF_ERROR(ParseVector(value.text(), context.arena, floats));
  } else {
    VectorText& last = *context.vector_text;
    if (last.floats.empty() || last.text != value.text()) {
      KALAM_RETURN_IF_ERROR(ParseVector(value.text(), context.arena, floats));
      last.text = value.text();
      last.floats = *floats;
    }
    *floats = last.floats;
  }
  if (floats->empty())
    return Status(ErrorKind::Execution, "COSINE_DISTANCE() query vector cannot be empty");
  return {};
}

Status VectorDistanceOf(vectors::Metric metric, std::string_view row, std::string_view query,
                        double* distance) {
  if (row.size() != query.size()) {
    return Status(
        ErrorKind::Execution,
        fmt::format("{}() dimension mismatch: row has {}, query has {}", DistanceName(metric),
                    row.size() / sizeof(float), query.size() / sizeof(float)));
  }
  double dot = 0, row_square = 0, query_square = 0, difference = 0;
  for (size_t i = 0; i < row.size() / sizeof(float); ++i) {
    const double a = FloatAt(row, i), b = FloatAt(query, i);
    dot += a * b;
    row_square += a * a;
    query_square += b * b;
    difference += (a - b) * (a - b);
  }
  switch (metric) {
    case vectors::Metric::kCosine:
      *distance = row_square == 0 || query_square == 0
                      ? 1.0
                      : 1.0 - dot / (std::sqrt(row_square) * std::sqrt(query_square));
      break;
    case vectors::Metric::kL2:
      *distance = std::sqrt(difference);
      break;
    case vectors::Metric::kDot:
      *distance = dot;
      break;
  }
  return {};
}

std::optional<vectors::Metric> MetricOfDistance(std::string_view function) {
  if (function == "cosine_distance") return vectors::Metric::kCosine;
  if (function == "l2_distance") return vectors::Metric::kL2;
  if (function == "inner_product") return vectors::Metric::kDot;
  return std::nullopt;
}

std::string_view DistanceName(vectors::Metric metric) {
  switch (metric) {
    case vectors::Metric::kCosine:
      return "COSINE_DISTANCE";
    case vectors::Metric::kL2:
      return "L2_DISTANCE";
    case vectors::Metric::kDot:
      return "INNER_PRODUCT";
  }
  return "";
}

}  // namespace kalam::query

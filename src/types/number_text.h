// The texts of numbers, written without allocating: shared by casts and by the JSON of cells.
#pragma once

#include <cstdint>
#include <string>

namespace kalam {

/// Appends the decimal digits of `value`.
void AppendInteger(int64_t value, std::string* out);
/// Appends the shortest text that reads back as `value`, in PostgreSQL's notation: `0.1`, `1e+20`, `NaN`, `-Infinity`.
void AppendDouble(double value, std::string* out);
/// The same for a value of single precision.
void AppendFloat(float value, std::string* out);

}  // namespace kalam

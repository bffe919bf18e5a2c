// Conversions between types: the write coercions and casts (spec: sql.md 3.2), text forms, and order and equality of values.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"
#include "types/value.h"

namespace kalam {

/// Converts `value` for storing into a column of `type` (sql.md 3.2): NULL stays NULL, integers are range-checked, floats
/// truncate toward zero, text is parsed, integers become raw microseconds or days, decimals are rescaled.
/// Results that need memory live in `arena`. Errors: Execution; the caller adds the column's name.
Result<Datum> CoerceForWrite(const Datum& value, const DataType& type, Arena* arena);

/// CAST(value AS type) with PostgreSQL's rules: like CoerceForWrite, but float to integer rounds half to even and text to
/// boolean accepts t/f/yes/no/on/off/1/0.
Result<Datum> Cast(const Datum& value, const DataType& type, Arena* arena);

/// The text of a value as CAST(value AS TEXT) gives it. NULL is not allowed.
std::string ToText(const Datum& value);

/// Compares two non-NULL values of comparable kinds: numbers across types exactly, text byte-wise, temporal kinds with each
/// other, a text against a number/date/time/uuid/boolean by parsing the text. Errors: Execution when not comparable.
Result<int> CompareValues(const Datum& a, const Datum& b);

/// Appends the cell's JSON (spec: wire.md 1.9): BIGINT and DECIMAL as strings, timestamps as numbers of microseconds, bytes
/// and embeddings as arrays of numbers, UUID in lower case; NaN and infinities as null. Shared by HTTP and WebSocket.
void AppendCellJson(const Datum& cell, const DataType& type, std::string* out);
/// Appends `text` as a JSON string with quotes; invalid UTF-8 becomes U+FFFD.
void AppendJsonString(std::string_view text, std::string* out);

}  // namespace kalam

// Names and values as they stand in SQL.
#pragma once

#include <string>
#include <string_view>

#include "types/value.h"

namespace kalam::cli {

/// A text literal.
std::string Quoted(std::string_view text);
/// A name in double quotes.
std::string QuotedName(std::string_view name);
/// A value as a literal that gives the same value in a column of its type.
std::string SqlLiteral(const Datum& value);

}  // namespace kalam::cli

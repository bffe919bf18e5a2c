// The engine's errors as Statuses of ours.
#include "analytics/plugin/engine_error.h"

#include <array>
#include <string_view>
#include <utility>

namespace kalam::analytics {
namespace {

using duckdb::ExceptionType;

ErrorKind KindOf(ExceptionType type) {
  switch (type) {
    case ExceptionType::OUT_OF_MEMORY:
      return ErrorKind::MemoryExceeded;
    case ExceptionType::INTERRUPT:
      return ErrorKind::Cancelled;
    case ExceptionType::INTERNAL:
    case ExceptionType::FATAL:
      return ErrorKind::Internal;
    case ExceptionType::PARSER:
    case ExceptionType::SYNTAX:
      return ErrorKind::InvalidSql;
    case ExceptionType::BINDER:
    case ExceptionType::CATALOG:
      return ErrorKind::InvalidOperation;
    case ExceptionType::PERMISSION:
      return ErrorKind::PermissionDenied;
    default:
      return ErrorKind::Execution;
  }
}

/// The engine's words for what PostgreSQL and our own plans say otherwise, by what the text
/// contains.
constexpr std::array<std::pair<std::string_view, std::string_view>, 6> kWords = {{
    {"of INT16 (", "smallint out of range"},
    {"of INT32 (", "integer out of range"},
    {"of INT64 (", "bigint out of range"},
    {"of INT128 (", "numeric value out of range"},
    {"destination type INT64", "bigint out of range"},
    {"More than one row returned by a subquery",
     "more than one row returned by a subquery used as an expression"},
}};

std::string CleanText(std::string_view text) {
  for (const auto& [part, words] : kWords) {
    if (text.find(part) != std::string_view::npos) return std::string(words);
  }
  // Positions point into a text that the user has not written; traces are for the log.
  for (const std::string_view tail :
       {"\n\nLINE ", "\nLINE ", "\n\nStack Trace", "\nStack Trace", "\n\tCandidate functions"}) {
    text = text.substr(0, text.find(tail));
  }
  std::string clean(text);
  for (char& c : clean) {
    if (c == '\n') c = ' ';
  }
  return clean;
}

}  // namespace

Status StatusOf(const duckdb::ErrorData& error) {
  const ErrorKind kind = KindOf(error.Type());
  std::string text = CleanText(error.RawMessage());
  if (kind == ErrorKind::MemoryExceeded) {
    text = "the statement needs more memory than [analytics] memory_limit allows (" + text + ")";
  }
  return Status(kind, std::move(text));
}

bool LosesInstance(const duckdb::ErrorData& error) {
  return error.Type() == ExceptionType::INTERNAL || error.Type() == ExceptionType::FATAL;
}

}  // namespace kalam::analytics

// See sql_request_error.h.
#include "statements/sql_request_error.h"

#include "sql/parser.h"

namespace kalam::statements {
namespace {

std::string Lower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
  }
  return lower;
}

// A NotFound that tells whether a table exists.
bool SpeaksOfTables(std::string_view message) {
  const std::string lower = Lower(message);
  auto has = [&](std::string_view part) { return lower.find(part) != std::string::npos; };
  return (has("table") && has("not found")) || (has("relation") && has("does not exist")) ||
         has("unknown table");
}

bool MustRedact(const Status& status) {
  if (TraitsOf(status.kind()).redact) return true;
  return status.Is(ErrorKind::NotFound) && SpeaksOfTables(status.message());
}

std::string_view PublicSentence(std::string_view code) {
  if (code == "SQL_EXECUTION_ERROR") return "SQL statement failed";
  if (code == "TABLE_NOT_FOUND") return "Requested table is not available";
  return "SQL request failed";
}

}  // namespace

RequestError MakeRequestError(Status status, catalog::Role role, const ErrorPlace& place) {
  const ErrorTraits& traits = TraitsOf(status.kind());
  RequestError error;
  error.code = traits.wire_code;
  error.http_status = traits.http_status;
  const bool sees_all = catalog::IsAdmin(role);
  if (!sees_all && MustRedact(status)) {
    error.message = PublicSentence(error.code);
    error.status = Status(status.kind(), error.message);
    return error;
  }
  error.message = status.ToString();
  if (status.position() >= 0) {
    error.message += " (at character " + std::to_string(status.position() + 1) + ")";
  }
  if (place.statement_number > 0) {
    error.message =
        "Statement " + std::to_string(place.statement_number) + " failed: " + error.message;
  }
  if (sees_all && !place.source.empty()) error.details = sql::MaskSecrets(place.source);
  error.status = std::move(status);
  return error;
}

}  // namespace kalam::statements

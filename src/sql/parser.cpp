// Sends a statement to the grammar it belongs to. Declared in parser.h.
#include "sql/parser.h"

#include "sql/grammar.h"

namespace kalam::sql {

Result<Statement> ParseStatement(std::string_view text) {
  switch (ClassifyStatement(text)) {
    case StatementKind::kSelect:
    case StatementKind::kInsert:
    case StatementKind::kUpdate:
    case StatementKind::kDelete:
      return ParseStandard(text);
    default:
      return Status(ErrorKind::NotAvailable, "This kind of statement is not available yet");
  }
}

}  // namespace kalam::sql

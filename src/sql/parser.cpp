// Sends a statement to the grammar it belongs to. Declared in parser.h.
#include "sql/parser.h"

#include "sql/grammar.h"
#include "sql/kalam_statements.h"

namespace kalam::sql {
namespace {

Result<Statement> ParseKalam(TokenCursor& cursor, StatementKind kind) {
  switch (kind) {
    case StatementKind::kCreateNamespace:
    case StatementKind::kAlterNamespace:
    case StatementKind::kDropNamespace:
    case StatementKind::kUseNamespace:
      return ParseNamespaceStatement(cursor, kind);
    case StatementKind::kCreateTable:
      return ParseCreateTable(cursor);
    case StatementKind::kAlterTable:
      return ParseAlterTable(cursor);
    case StatementKind::kDropTable:
      return ParseDropTable(cursor);
    case StatementKind::kCreateView:
    case StatementKind::kDropView:
      return ParseViewStatement(cursor, kind);
    case StatementKind::kShow:
      return ParseShow(cursor);
    case StatementKind::kSet:
      return ParseSet(cursor);
    case StatementKind::kCreateUser:
    case StatementKind::kAlterUser:
    case StatementKind::kDropUser:
      return ParseUserStatement(cursor, kind);
    case StatementKind::kTransaction:
      return ParseTransaction(cursor);
    case StatementKind::kKill:
      return ParseKill(cursor);
    case StatementKind::kSubscribe:
      return ParseSubscribe(cursor);
    case StatementKind::kStorage:
      return ParseStorage(cursor);
    case StatementKind::kExplain:
      return ParseExplain(cursor);
    default:
      return ParseOther(cursor);
  }
}

}  // namespace

Result<Statement> ParseStatement(std::string_view text) {
  const StatementKind kind = ClassifyStatement(text);
  switch (kind) {
    case StatementKind::kSelect:
    case StatementKind::kInsert:
    case StatementKind::kUpdate:
    case StatementKind::kDelete:
      return ParseStandard(text);
    case StatementKind::kExecuteAs:
      return ParseExecuteAs(text);
    default:
      break;
  }
  KALAM_ASSIGN_OR_RETURN(TokenCursor cursor, TokenCursor::Open(text));
  return ParseKalam(cursor, kind);
}

}  // namespace kalam::sql

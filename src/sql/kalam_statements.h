// The parsers of our own statements, one function a family, by recursive descent over the tokens
// (docs/sql.md, "Statements").
#pragma once

#include <string_view>

#include "base/status.h"
#include "sql/statement.h"
#include "sql/token_cursor.h"

namespace kalam::sql {

// Each takes a cursor at the statement's first token and the text it came from.
// Errors: InvalidSql with a position and, where the documents name one, its text.
Result<Statement> ParseNamespaceStatement(TokenCursor& cursor, StatementKind kind);
Result<Statement> ParseCreateTable(TokenCursor& cursor);
Result<Statement> ParseAlterTable(TokenCursor& cursor);
Result<Statement> ParseDropTable(TokenCursor& cursor);
Result<Statement> ParseViewStatement(TokenCursor& cursor, StatementKind kind);
Result<Statement> ParseShow(TokenCursor& cursor);
Result<Statement> ParseSet(TokenCursor& cursor);
Result<Statement> ParseUserStatement(TokenCursor& cursor, StatementKind kind);
Result<Statement> ParseTransaction(TokenCursor& cursor);
Result<Statement> ParseKill(TokenCursor& cursor);
Result<Statement> ParseSubscribe(TokenCursor& cursor);
Result<Statement> ParseStorage(TokenCursor& cursor);
Result<Statement> ParseExplain(TokenCursor& cursor);
Result<Statement> ParseExecuteAs(std::string_view text);
/// The families that are kept as words; everything else goes to the standard grammar, which names
/// what is not supported.
Result<Statement> ParseOther(TokenCursor& cursor);

/// One column with its type and constraints, as in CREATE TABLE and ALTER TABLE ADD.
Result<ColumnSpec> ParseColumn(TokenCursor& cursor);
Result<TypeSpelling> ParseTypeSpelling(TokenCursor& cursor);
/// The text of a DEFAULT expression: up to the next `,`, `)` or constraint.
Result<std::string> ParseDefaultText(TokenCursor& cursor);

/// Parses the part of `text` that begins at `offset`, with positions counted in `text`.
Result<Statement> ParseInner(std::string_view text, std::string_view inner);

template <typename Body>
Statement MakeStatement(StatementKind kind, Body body) {
  Statement statement;
  statement.kind = kind;
  statement.body = std::move(body);
  return statement;
}

}  // namespace kalam::sql

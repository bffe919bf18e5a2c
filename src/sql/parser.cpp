// Sends a statement to the grammar it belongs to. Declared in parser.h.
#include "sql/parser.h"

#include "sql/grammar.h"
#include "sql/kalam_statements.h"
#include "sql/lexer.h"
#include "sql/rewrite.h"

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

// Smaller texts are not worth charging: at most a megabyte for each that is being read.
constexpr size_t kUnchargedTextBytes = 2 << 10;
// Copies of the text, and of its strings in every tree.
constexpr int64_t kBytesPerTextByte = 5;
// The most of forty shapes of statements, by the bytes that malloc gave: `a LIKE b ESCAPE c OR ...`
// takes 623 a token, `-a, -a, ...` 497 with its commas, a list of numbers 236.
constexpr int64_t kBytesPerComma = 256;
constexpr int64_t kBytesPerConstant = 420;
constexpr int64_t kBytesPerOtherToken = 640;

/// Literals and parameters.
bool IsConstant(TokenKind kind) {
  switch (kind) {
    case TokenKind::kString:
    case TokenKind::kEscapeString:
    case TokenKind::kDollarString:
    case TokenKind::kBitString:
    case TokenKind::kInteger:
    case TokenKind::kNumber:
    case TokenKind::kParameter:
    case TokenKind::kQuestion:
      return true;
    default:
      return false;
  }
}

int64_t BytesOf(const Token& token, std::string_view text) {
  if (IsConstant(token.kind)) return kBytesPerConstant;
  return text == "," ? kBytesPerComma : kBytesPerOtherToken;
}

}  // namespace

int64_t ParseBytes(std::string_view text) {
  if (text.size() <= kUnchargedTextBytes) return 0;
  int64_t bytes = static_cast<int64_t>(text.size()) * kBytesPerTextByte;
  Lexer lexer(text);
  int tokens = 0;
  for (Token token = lexer.Next(); token.kind != TokenKind::kEnd; token = lexer.Next()) {
    // What the grammar would refuse it is not given.
    if (token.kind == TokenKind::kError || ++tokens > kTokensMax) break;
    bytes += BytesOf(token, lexer.TextOf(token));
  }
  return bytes;
}

size_t CountLiterals(std::string_view text) {
  size_t count = 0;
  Lexer lexer(text);
  for (Token token = lexer.Next(); token.kind != TokenKind::kEnd && token.kind != TokenKind::kError;
       token = lexer.Next()) {
    count += IsConstant(token.kind) ? 1 : 0;
  }
  return count;
}

Result<Statement> ParseWithin(MemoryAccount& memory, std::string_view text) {
  MemoryCharge charge(memory, 0);
  if (!charge.TryResize(ParseBytes(text))) {
    return Status(ErrorKind::MemoryPressure,
                  "The server is short of memory and cannot read so large a statement now; try "
                  "again");
  }
  return ParseStatement(text);
}

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

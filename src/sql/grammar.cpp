// See grammar.h.
#include "sql/grammar.h"

#include <pg_query.h>
#include <pg_query/pg_query.pb-c.h>

#include <memory>

#include "sql/grammar_tree.h"
#include "sql/lexer.h"
#include "sql/parser.h"
#include "sql/rewrite.h"

namespace kalam::sql {
namespace {

struct FreeUnpacked {
  void operator()(PgQuery__ParseResult* result) const {
    pg_query__parse_result__free_unpacked(result, nullptr);
  }
};

struct FreeParsed {
  void operator()(PgQueryProtobufParseResult* result) const {
    pg_query_free_protobuf_parse_result(*result);
  }
};

Status GrammarError(const PgQueryError& error, const RewrittenSql& rewritten) {
  std::string message = error.message != nullptr ? error.message : "syntax error";
  int position = error.cursorpos > 0 ? rewritten.SourceOffsetOfCharacter(error.cursorpos) : -1;
  return Status(ErrorKind::InvalidSql, std::move(message)).WithPosition(position);
}

// The first words in upper case: "CREATE INDEX", "TRUNCATE".
std::string StatementType(std::string_view text) {
  Lexer lexer(text);
  std::string type;
  for (int count = 0; count < 2; ++count) {
    Token token = lexer.Next();
    if (token.kind != TokenKind::kWord) break;
    std::string lower;
    AppendLower(lexer.TextOf(token), &lower);
    const bool takes_object = lower == "create" || lower == "drop" || lower == "alter";
    if (!type.empty()) type.push_back(' ');
    for (char c : lower) type.push_back(c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c);
    if (!takes_object) break;
  }
  return type;
}

bool IsOurs(const PgQuery__Node& node) {
  switch (node.node_case) {
    case PG_QUERY__NODE__NODE_SELECT_STMT:
    case PG_QUERY__NODE__NODE_INSERT_STMT:
    case PG_QUERY__NODE__NODE_UPDATE_STMT:
    case PG_QUERY__NODE__NODE_DELETE_STMT:
      return true;
    default:
      return false;
  }
}

using UnpackedResult = std::unique_ptr<PgQuery__ParseResult, FreeUnpacked>;

Result<UnpackedResult> RunGrammar(const RewrittenSql& rewritten) {
  PgQueryProtobufParseResult parsed = pg_query_parse_protobuf(rewritten.text.c_str());
  std::unique_ptr<PgQueryProtobufParseResult, FreeParsed> owner(&parsed);
  if (parsed.error != nullptr) return GrammarError(*parsed.error, rewritten);
  UnpackedResult result(pg_query__parse_result__unpack(
      nullptr, parsed.parse_tree.len, reinterpret_cast<const uint8_t*>(parsed.parse_tree.data)));
  if (result == nullptr) return Status(ErrorKind::InvalidSql, "the statement could not be read");
  return result;
}

}  // namespace

Result<Statement> ParseStandard(std::string_view text) {
  KALAM_ASSIGN_OR_RETURN(RewrittenSql rewritten, RewriteForGrammar(text));
  KALAM_ASSIGN_OR_RETURN(UnpackedResult result, RunGrammar(rewritten));
  if (result->n_stmts == 0 || result->stmts[0]->stmt == nullptr) {
    return Status(ErrorKind::InvalidSql, "empty statement").WithPosition(0);
  }
  if (result->n_stmts > 1) {
    return Status(ErrorKind::InvalidSql, "only one statement may stand here")
        .WithPosition(rewritten.SourceOffset(result->stmts[1]->stmt_location));
  }
  const PgQuery__Node& node = *result->stmts[0]->stmt;
  if (!IsOurs(node)) {
    return Status(ErrorKind::InvalidSql, "Unsupported statement type: " + StatementType(text))
        .WithPosition(0);
  }
  return GrammarTree(rewritten).BuildStatement(node);
}

Result<ExprPtr> ParseExpression(std::string_view text) {
  static constexpr std::string_view kPrefix = "SELECT ";
  std::string query(kPrefix);
  query.append(text);
  Result<Statement> statement = ParseStandard(query);
  if (!statement.ok()) {
    Status status = std::move(statement).status();
    int position = status.position() - static_cast<int>(kPrefix.size());
    return Status(status.kind(), status.message()).WithPosition(position < 0 ? -1 : position);
  }
  auto* body = std::get_if<QueryPtr>(&statement->body);
  const bool is_one_expression =
      body != nullptr && (*body)->items.size() == 1 && (*body)->items[0].alias.empty() &&
      (*body)->from == nullptr && (*body)->where == nullptr && (*body)->order_by.empty() &&
      (*body)->limit == nullptr && (*body)->set_operation == SetOperation::kNone;
  if (!is_one_expression)
    return Status(ErrorKind::InvalidSql, "a single expression is expected").WithPosition(0);
  return std::move((*body)->items[0].expr);
}

}  // namespace kalam::sql

// From text to statements: splitting, classifying, lifting literals, parsing.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/memory_account.h"
#include "base/status.h"
#include "sql/statement.h"
#include "types/value.h"

namespace kalam::sql {

inline constexpr size_t kSqlBytesMax = 1 << 20;

/// One statement of a batch: its text without comments around it and without the `;`.
struct StatementText {
  std::string_view text;
  int offset = 0;  // in the batch's text
};

/// Splits at `;` outside quotes, comments and dollar quotes; empty pieces are dropped; EXECUTE AS
/// USER '..' ( .. ) is one. Errors: TooLarge as InvalidSql ("SQL query too long: N bytes (maximum
/// 1048576 bytes)"), BatchParse (unterminated quote or comment, with position), EmptySql ("No SQL
/// statements provided").
Result<std::vector<StatementText>> SplitStatements(std::string_view batch);

/// What the first words say, before any parsing (sql.md 1, "Classification"); decides role checks
/// for malformed statements too.
StatementKind ClassifyStatement(std::string_view text);

/// A statement with its literals lifted out: the plan cache's key and the values.
struct LiftedStatement {
  /// The token text with literals replaced by `$n`, comments and extra blanks removed, unquoted
  /// words folded, `?` markers numbered. Parameters of the caller keep their numbers; lifted
  /// literals follow after the highest of them. The key does not tell the kinds of the literals: a
  /// plan that depends on them must be cached under key and kinds.
  std::string key;
  std::vector<Value> literals;     // value of $(caller_parameter_count + 1 + i)
  int caller_parameter_count = 0;  // the highest $n in the text
  /// Set for `INSERT INTO t [(cols)] VALUES (..), (..) [ON CONFLICT ..] [RETURNING ..]` (also with
  /// one row) whose cells are literals, NULL, TRUE, FALSE or parameters, or in every row the same
  /// DEFAULT or call without arguments (NOW(), ...). The key then holds one row only:
  /// `$(caller_parameter_count + 1 + i)` for the cells with values, the calls as text. `literals`
  /// holds the cells with values of all rows, row by row, and nothing else (behind VALUES nothing
  /// is lifted).
  bool is_values_insert = false;
  int values_row_count = 0;
  int values_row_width =
      0;  // cells with values in a row: literals.size() == values_row_count * values_row_width
  /// The cells of `literals` that are a caller's parameter: index in `literals` (NULL there),
  /// number of the parameter.
  std::vector<std::pair<int, int>> parameter_cells;
};
/// Never fails on valid SQL; InvalidSql only for unterminated tokens and for `?` mixed with `$n`.
/// What changes the meaning of a plan stays in: everything in select lists and RETURNING (it names
/// columns), in GROUP BY and ORDER BY, JSON paths, type modifiers, typed literals (INTERVAL '..',
/// TIMESTAMP '..'), window frames, ESCAPE, arguments of table functions, the unit of date_trunc.
/// LIMIT and OFFSET numbers are lifted. For SELECT, INSERT, UPDATE and DELETE.
Result<LiftedStatement> LiftLiterals(std::string_view text);

/// Parses one statement, standard or Kalam. `$n` becomes kParameter. Also parses the key of a
/// LiftedStatement. Errors: InvalidSql with position and PostgreSQL's message, or the spec's texts
/// for Kalam statements; "Unsupported statement type: X" for standard statements that this server
/// does not have.
Result<Statement> ParseStatement(std::string_view text);
/// The most that ParseStatement holds for this text, its tree included: by tokens, because those
/// become nodes, of three trees at once (the grammar's, its message, ours). 0 for texts that are
/// not worth charging. Cost: one walk over the tokens.
int64_t ParseBytes(std::string_view text);
/// How many literals and parameters the text has, before an unterminated one at the most: each
/// becomes a Value when the text is lifted, however short it is. Cost: one walk over the tokens.
size_t CountLiterals(std::string_view text);
/// ParseStatement that asks `memory` for them first and gives them back at the end. Errors:
/// MemoryPressure as well.
Result<Statement> ParseWithin(MemoryAccount& memory, std::string_view text);

/// The envelope of EXECUTE AS USER only: `inner` stays null, the inner text is not parsed.
/// Errors: InvalidInput with the texts of docs/sql.md.
Result<ExecuteAs> ParseExecuteAsEnvelope(std::string_view text);

/// A stand-alone expression (DEFAULT texts).
Result<ExprPtr> ParseExpression(std::string_view text);

/// Masks the literals that are secrets (PASSWORD '..', CREDENTIALS '..', tokens) for logs and the
/// audit trail.
std::string MaskSecrets(std::string_view text);

}  // namespace kalam::sql

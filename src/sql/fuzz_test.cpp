// Seeded fuzz of everything that reads SQL text.
// Strategy: token soup, and valid statements with tokens dropped, doubled, swapped and bytes
// changed. Invariants: nothing crashes; positions of errors lie in the text; what parses can be
// copied and written, and what was written parses again to the same text; a lifted statement parses
// if the statement does, and says the same with its literals put back.
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "sql/engine_dialect.h"
#include "sql/lexer.h"
#include "sql/parser.h"

namespace kalam::sql {
namespace {

constexpr int kEventsMax = 60000;

const char* const kPieces[] = {
    "SELECT",
    "FROM",
    "WHERE",
    "GROUP BY",
    "ORDER BY",
    "LIMIT",
    "INSERT INTO",
    "VALUES",
    "UPDATE",
    "SET",
    "DELETE",
    "JOIN",
    "ON",
    "USING",
    "AND",
    "OR",
    "NOT",
    "NULL",
    "IS",
    "IN",
    "BETWEEN",
    "LIKE",
    "ESCAPE",
    "CASE",
    "WHEN",
    "THEN",
    "END",
    "CAST",
    "AS",
    "INT",
    "TEXT",
    "timestamp",
    "interval",
    "(",
    ")",
    "[",
    "]",
    ",",
    ".",
    ";",
    "*",
    "+",
    "-",
    "/",
    "%",
    "||",
    "=",
    "<>",
    "->",
    "->>",
    "?",
    "::",
    "$1",
    "$2",
    "$$x$$",
    "'a'",
    "E'\\x'",
    "\"q\"",
    "`b`",
    "1",
    "2.5",
    "1e9",
    ".",
    "a",
    "b",
    "t",
    "user",
    "current_user",
    "ns",
    "count",
    "now()",
    "WITH",
    "UNION",
    "ALL",
    "EXISTS",
    "--x\n",
    "/*y*/",
    "RETURNING",
    "ON CONFLICT",
    "DO NOTHING",
    "OVER",
    "CREATE",
    "TABLE",
    "USER",
    "DROP",
    "ALTER",
    "NAMESPACE",
    "EXECUTE AS USER",
    "SUBSCRIBE TO",
    "OPTIONS",
    "STORAGE",
    "EXPLAIN",
    "BEGIN",
    "'",
    "\"",
    "/*",
    "$q$",
    "12ab",
    "\xC3",
    "DEFAULT",
    "PRIMARY KEY",
    "NOT NULL",
    "SHOW",
    "DESCRIBE",
    "KILL",
    "JOB",
    "WINDOW",
    "ROWS",
    "PRECEDING",
};

const char* const kValid[] = {
    "SELECT a, count(*) FROM ns.t AS x WHERE a = 1 AND b LIKE 'x%' GROUP BY a HAVING count(*) > 2 "
    "ORDER BY 1 LIMIT 5",
    "INSERT INTO t (a, b, c) VALUES (1, 'x', now()), (2, NULL, DEFAULT) ON CONFLICT (a) DO UPDATE "
    "SET b = excluded.b",
    "UPDATE t SET a = a + 1, b = $1 WHERE c IN (1, 2, 3) AND doc ->> 'k' = 'v' RETURNING *",
    "SELECT a - 1, 'x' FROM t WHERE b = -5 AND c - -2 > 1.5 AND d -> 'k' ->> 0 = 'v' AND e IN (-1, "
    "'y') ORDER BY a + 2, 1 LIMIT 3 OFFSET 4",
    "SELECT x FROM (SELECT y, 7 FROM t WHERE z = 8) AS s WHERE w IS DISTINCT FROM 9 AND "
    "date_trunc('day', v) > interval '1 day' AND u::decimal(5, 2) = 6 AND q LIKE 'a' ESCAPE '!'",
    "DELETE FROM t WHERE a BETWEEN 1 AND 2 OR NOT b IS NULL",
    "WITH x AS (SELECT 1 AS n UNION ALL SELECT 2) SELECT sum(n) OVER (PARTITION BY n ORDER BY n) "
    "FROM x JOIN y USING (n)",
    "SELECT CASE WHEN a > 1 THEN 'x' ELSE b::text END FROM t LEFT JOIN u ON t.id = u.id WHERE "
    "EXISTS (SELECT 1 FROM v)",
    "CREATE USER TABLE a.b (id BIGINT PRIMARY KEY, c TEXT DEFAULT 'x' NOT NULL) WITH (TYPE = "
    "'USER', TTL_SECONDS = 5)",
    "ALTER TABLE a.b ADD COLUMN c DECIMAL(10, 2) NOT NULL DEFAULT 5",
    "EXECUTE AS USER 'bob' (INSERT INTO t VALUES (1, 'x'))",
    "SUBSCRIBE TO a.b WHERE c = 'd' OPTIONS (last_rows = 5, from = 7)",
    "CREATE USER 'x' WITH PASSWORD 'y' ROLE user EMAIL 'z'",
    "STORAGE FLUSH ALL IN NAMESPACE x",
    "EXPLAIN ANALYZE SELECT * FROM generate_series(1, 10) AS g(x)",
    "CREATE STORAGE s TYPE 'filesystem' PATH '/x' CREDENTIALS '{}'",
};

class Fuzzer {
 public:
  explicit Fuzzer(uint64_t seed) : random_(seed) {}

  std::string Soup() {
    std::string text;
    for (size_t count = Pick(24) + 1; count > 0; --count) {
      text += kPieces[Pick(std::size(kPieces))];
      if (Pick(5) != 0) text += ' ';
    }
    return text;
  }

  std::string Mutant() {
    std::string text = kValid[Pick(std::size(kValid))];
    for (size_t count = Pick(4) + 1; count > 0 && !text.empty(); --count) {
      const size_t at = Pick(text.size());
      const size_t length = Pick(8) + 1;
      switch (Pick(6)) {
        case 0:
          text.erase(at, length);
          break;
        case 1:
          text.insert(at, text.substr(Pick(text.size()), length));
          break;
        case 2:
          text[at] = static_cast<char>(Pick(256));
          break;
        case 3:
          text.insert(at, kPieces[Pick(std::size(kPieces))]);
          break;
        case 4:
          text.insert(at, " ");
          break;
        default:
          text.resize(at);
          break;
      }
    }
    return text;
  }

 private:
  size_t Pick(size_t count) { return static_cast<size_t>(random_() % count); }
  std::mt19937_64 random_;
};

void CheckPosition(const Status& status, std::string_view text) {
  EXPECT_LE(status.position(), static_cast<int>(text.size())) << text;
  EXPECT_FALSE(status.message().empty()) << text;
}

void CheckQuery(const Query& query, std::string_view text) {
  const std::string written = ToText(*Clone(query));
  Result<Statement> again = ParseStatement(written);
  ASSERT_TRUE(again.ok()) << text << "\nwritten: " << written << "\n" << again.status().ToString();
  EXPECT_EQ(ToText(*std::get<QueryPtr>(again->body)), written) << text;
  EngineNames names;
  names.table = [](const TableName&) -> Result<std::string> {
    return std::string("kalam_scan(0)");
  };
  (void)WriteEngineSql(query, names).ok();
}

// The text of a lifted query with its literals put back.
std::string WithLiterals(const Query& key, const LiftedStatement& lifted) {
  const std::string text = ToText(key);
  std::string out;
  size_t copied = 0;
  Lexer lexer(text);
  for (Token token = lexer.Next(); token.kind != TokenKind::kEnd; token = lexer.Next()) {
    if (token.kind != TokenKind::kParameter) continue;
    const int number = std::stoi(std::string(lexer.TextOf(token).substr(1)));
    if (number <= lifted.caller_parameter_count) continue;
    Expr literal;
    literal.value =
        lifted.literals[static_cast<size_t>(number - lifted.caller_parameter_count - 1)];
    out.append(text, copied, static_cast<size_t>(token.begin) - copied).append(ToText(literal));
    copied = static_cast<size_t>(token.end);
  }
  return out.append(text, copied);
}

void CheckText(const std::string& text) {
  (void)ClassifyStatement(text);
  (void)MaskSecrets(text);
  Result<std::vector<StatementText>> pieces = SplitStatements(text);
  if (!pieces.ok()) {
    CheckPosition(pieces.status(), text);
    EXPECT_FALSE(LiftLiterals(text).ok() && ParseStatement(text).ok()) << text;
    return;
  }
  for (const StatementText& piece : *pieces) {
    Result<Statement> parsed = ParseStatement(piece.text);
    if (!parsed.ok()) CheckPosition(parsed.status(), piece.text);
    const StatementKind kind = ClassifyStatement(piece.text);
    const bool is_standard = kind == StatementKind::kSelect || kind == StatementKind::kInsert ||
                             kind == StatementKind::kUpdate || kind == StatementKind::kDelete;
    if (!is_standard) continue;
    Result<LiftedStatement> lifted = LiftLiterals(piece.text);
    if (lifted.ok()) {
      Result<Statement> key = ParseStatement(lifted->key);
      if (parsed.ok()) {
        ASSERT_TRUE(key.ok()) << piece.text << "\nkey: " << lifted->key << "\n"
                              << key.status().ToString();
        auto* query = std::get_if<QueryPtr>(&parsed->body);
        if (query != nullptr) {
          const std::string put_back = WithLiterals(*std::get<QueryPtr>(key->body), *lifted);
          // The grammar folds `- -2`; with its number lifted it stays a double negation.
          if (put_back.find("--") == std::string::npos) {
            EXPECT_EQ(put_back, ToText(**query)) << piece.text << "\nkey: " << lifted->key;
          }
        }
      }
    }
    if (!parsed.ok()) continue;
    if (auto* query = std::get_if<QueryPtr>(&parsed->body)) CheckQuery(**query, piece.text);
  }
}

TEST(SqlFuzzTest, NoTextBreaksTheParser) {
  Fuzzer fuzzer(20'261'121);
  for (int event = 0; event < kEventsMax && !::testing::Test::HasFailure(); ++event) {
    const std::string text = event % 3 == 0 ? fuzzer.Soup() : fuzzer.Mutant();
    SCOPED_TRACE("event " + std::to_string(event));
    CheckText(text);
  }
}

}  // namespace
}  // namespace kalam::sql

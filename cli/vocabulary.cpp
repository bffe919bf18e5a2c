// See vocabulary.h.
#include "vocabulary.h"

#include <algorithm>
#include <cctype>
#include <set>
#include <string>

namespace kalam::cli {
namespace {

constexpr const char* kKeywords[] = {"SELECT",
                                     "FROM",
                                     "WHERE",
                                     "GROUP BY",
                                     "HAVING",
                                     "ORDER BY",
                                     "ASC",
                                     "DESC",
                                     "NULLS FIRST",
                                     "NULLS LAST",
                                     "LIMIT",
                                     "OFFSET",
                                     "INSERT INTO",
                                     "VALUES",
                                     "UPDATE",
                                     "SET",
                                     "DELETE FROM",
                                     "CREATE",
                                     "TABLE",
                                     "NAMESPACE",
                                     "VIEW",
                                     "USER",
                                     "SHARED",
                                     "STREAM",
                                     "ALTER",
                                     "ADD COLUMN",
                                     "DROP",
                                     "RENAME COLUMN",
                                     "INDEX",
                                     "USING",
                                     "SHOW",
                                     "NAMESPACES",
                                     "TABLES",
                                     "STORAGE",
                                     "STORAGES",
                                     "FLUSH",
                                     "COMPACT",
                                     "DESCRIBE",
                                     "EXPLAIN",
                                     "ANALYZE",
                                     "JOIN",
                                     "LEFT",
                                     "RIGHT",
                                     "FULL",
                                     "INNER",
                                     "CROSS",
                                     "ON",
                                     "AS",
                                     "AND",
                                     "OR",
                                     "NOT",
                                     "NULL",
                                     "TRUE",
                                     "FALSE",
                                     "IS",
                                     "IN",
                                     "LIKE",
                                     "ILIKE",
                                     "BETWEEN",
                                     "EXISTS",
                                     "CASE",
                                     "WHEN",
                                     "THEN",
                                     "ELSE",
                                     "END",
                                     "DISTINCT",
                                     "UNION",
                                     "EXCEPT",
                                     "INTERSECT",
                                     "ALL",
                                     "WITH",
                                     "OVER",
                                     "PARTITION BY",
                                     "PRIMARY KEY",
                                     "DEFAULT",
                                     "IF EXISTS",
                                     "IF NOT EXISTS",
                                     "RETURNING",
                                     "ON CONFLICT",
                                     "DO NOTHING",
                                     "DO UPDATE",
                                     "BEGIN",
                                     "COMMIT",
                                     "ROLLBACK",
                                     "EXECUTE AS USER",
                                     "SUBSCRIBE TO",
                                     "OPTIONS",
                                     "KILL JOB",
                                     "KILL LIVE QUERY",
                                     "BACKUP DATABASE",
                                     "RESTORE DATABASE",
                                     "EXPORT USER DATA",
                                     "PASSWORD",
                                     "ROLE",
                                     "USE"};

constexpr const char* kFunctions[] = {"COUNT",        "SUM",          "AVG",
                                      "MIN",          "MAX",          "COALESCE",
                                      "NOW()",        "CURRENT_USER", "SNOWFLAKE_ID()",
                                      "UUID_V7()",    "ULID()",       "COSINE_DISTANCE",
                                      "VECTOR_SEARCH"};

constexpr const char* kTypes[] = {"BOOLEAN",   "SMALLINT", "INT",     "INTEGER", "BIGINT",
                                  "DOUBLE",    "FLOAT",    "TEXT",    "VARCHAR", "TIMESTAMP",
                                  "DATETIME",  "DATE",     "TIME",    "JSON",    "BYTES",
                                  "EMBEDDING", "UUID",     "DECIMAL", "NUMERIC", "FILE"};

constexpr const char* kMetaCommands[] = {"\\quit",
                                         "\\help",
                                         "\\info",
                                         "\\session",
                                         "\\history",
                                         "\\health",
                                         "\\dt",
                                         "\\tables",
                                         "\\d",
                                         "\\describe",
                                         "\\as",
                                         "\\format",
                                         "\\x",
                                         "\\refresh-tables",
                                         "\\stats",
                                         "\\metrics",
                                         "\\sessions",
                                         "\\flush",
                                         "\\subscribe",
                                         "\\watch",
                                         "\\live",
                                         "\\unsubscribe",
                                         "\\consume",
                                         "\\show-credentials",
                                         "\\update-credentials",
                                         "\\delete-credentials",
                                         "\\cluster"};

std::string Upper(std::string_view word) {
  std::string upper(word);
  std::transform(upper.begin(), upper.end(), upper.begin(),
                 [](unsigned char c) { return std::toupper(c); });
  return upper;
}

// The single words of phrases.
std::set<std::string> WordsOf(std::span<const char* const> phrases) {
  std::set<std::string> words;
  for (const std::string phrase : phrases) {
    for (size_t begin = 0; begin < phrase.size();) {
      const size_t end = std::min(phrase.find(' ', begin), phrase.size());
      words.insert(phrase.substr(begin, end - begin));
      begin = end + 1;
    }
  }
  return words;
}

}  // namespace

std::span<const char* const> Keywords() { return kKeywords; }
std::span<const char* const> FunctionNames() { return kFunctions; }
std::span<const char* const> TypeNames() { return kTypes; }
std::span<const char* const> MetaCommands() { return kMetaCommands; }

bool IsKeyword(std::string_view word) {
  static const std::set<std::string> words = WordsOf(kKeywords);
  return words.contains(Upper(word));
}

bool IsTypeName(std::string_view word) {
  static const std::set<std::string> words = WordsOf(kTypes);
  return words.contains(Upper(word));
}

}  // namespace kalam::cli

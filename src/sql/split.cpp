// What can be said of a text before any parsing: its statements, their kinds, their secrets.
// Declared in parser.h.
#include <array>

#include "sql/lexer.h"
#include "sql/parser.h"

namespace kalam::sql {
namespace {

Status LexicalError(const Lexer& lexer, const Token& token) {
  return Status(ErrorKind::BatchParse, std::string("Failed to parse SQL batch: ") + lexer.error())
      .WithPosition(token.begin);
}

// The first words of a statement, lower case; anything that is no word or number is skipped.
class FirstWords {
 public:
  explicit FirstWords(std::string_view text) {
    Lexer lexer(text);
    while (count_ < words_.size()) {
      Token token = lexer.Next();
      if (token.kind == TokenKind::kEnd || token.kind == TokenKind::kError) break;
      if (token.kind != TokenKind::kWord && token.kind != TokenKind::kInteger) continue;
      AppendLower(lexer.TextOf(token), &words_[count_++]);
    }
  }
  std::string_view operator[](size_t index) const { return words_[index]; }
  bool Is(size_t index, std::string_view word) const { return words_[index] == word; }
  /// CREATE USER TABLE and the like: where TABLE stands, or 0.
  size_t TableWord() const {
    if (Is(1, "table")) return 1;
    const bool has_type = Is(1, "user") || Is(1, "shared") || Is(1, "stream");
    return has_type && Is(2, "table") ? 2 : 0;
  }

 private:
  std::array<std::string, 4> words_;
  size_t count_ = 0;
};

// The statement behind WITH: the first SELECT, INSERT, ... outside parentheses.
StatementKind ClassifyWith(std::string_view text) {
  Lexer lexer(text);
  int depth = 0;
  for (Token token = lexer.Next(); token.kind != TokenKind::kEnd && token.kind != TokenKind::kError;
       token = lexer.Next()) {
    std::string_view word = lexer.TextOf(token);
    if (word == "(") ++depth;
    if (word == ")") --depth;
    if (depth > 0 || token.kind != TokenKind::kWord) continue;
    if (EqualsLower(word, "insert")) return StatementKind::kInsert;
    if (EqualsLower(word, "update")) return StatementKind::kUpdate;
    if (EqualsLower(word, "delete")) return StatementKind::kDelete;
    if (EqualsLower(word, "select") || EqualsLower(word, "values")) break;
  }
  return StatementKind::kSelect;
}

StatementKind ClassifyCreate(const FirstWords& words) {
  if (words.TableWord() != 0) return StatementKind::kCreateTable;
  if (words.Is(1, "namespace")) return StatementKind::kCreateNamespace;
  if (words.Is(1, "user")) return StatementKind::kCreateUser;
  if (words.Is(1, "storage")) return StatementKind::kStorage;
  if (words.Is(1, "index") || (words.Is(1, "vector") && words.Is(2, "index"))) {
    return StatementKind::kAlterTable;
  }
  const bool is_view = words.Is(1, "view") ||
                       (words.Is(1, "materialized") && words.Is(2, "view")) ||
                       (words.Is(1, "or") && words.Is(2, "replace") && words.Is(3, "view"));
  return is_view ? StatementKind::kCreateView : StatementKind::kOther;
}

StatementKind ClassifyAlter(const FirstWords& words) {
  if (words.TableWord() != 0) return StatementKind::kAlterTable;
  if (words.Is(1, "namespace")) return StatementKind::kAlterNamespace;
  if (words.Is(1, "user")) return StatementKind::kAlterUser;
  return words.Is(1, "storage") ? StatementKind::kStorage : StatementKind::kOther;
}

StatementKind ClassifyDrop(const FirstWords& words) {
  if (words.TableWord() != 0) return StatementKind::kDropTable;
  if (words.Is(1, "namespace")) return StatementKind::kDropNamespace;
  if (words.Is(1, "user")) return StatementKind::kDropUser;
  if (words.Is(1, "view")) return StatementKind::kDropView;
  if (words.Is(1, "index") || (words.Is(1, "vector") && words.Is(2, "index"))) {
    return StatementKind::kAlterTable;
  }
  return words.Is(1, "storage") ? StatementKind::kStorage : StatementKind::kOther;
}

bool NamesSecret(std::string_view word) {
  std::string lower;
  AppendLower(word, &lower);
  if (lower == "config") return true;  // of a storage: may hold keys
  for (std::string_view part : {"password", "credential", "secret", "token", "oauth"}) {
    if (lower.find(part) != std::string::npos) return true;
  }
  return false;
}

}  // namespace

Result<std::vector<StatementText>> SplitStatements(std::string_view batch) {
  if (batch.size() > kSqlBytesMax) {
    return Status(ErrorKind::InvalidSql, "SQL query too long: " + std::to_string(batch.size()) +
                                             " bytes (maximum 1048576 bytes)");
  }
  std::vector<StatementText> statements;
  Lexer lexer(batch);
  int begin = -1;
  int end = 0;
  int word_index = 0;
  int depth = 0;
  bool is_envelope = false;
  auto finish = [&] {
    if (begin < 0) return;
    statements.push_back(
        {batch.substr(static_cast<size_t>(begin), static_cast<size_t>(end - begin)), begin});
    begin = -1;
    word_index = 0;
    depth = 0;
    is_envelope = false;
  };
  for (Token token = lexer.Next(); token.kind != TokenKind::kEnd; token = lexer.Next()) {
    if (token.kind == TokenKind::kError) return LexicalError(lexer, token);
    std::string_view text = lexer.TextOf(token);
    if (token.kind == TokenKind::kPunctuation) {
      // The statement inside EXECUTE AS USER '..' ( .. ) belongs to it, whatever it contains.
      if (text == ";" && !(is_envelope && depth > 0)) {
        finish();
        continue;
      }
      if (text == "(") ++depth;
      if (text == ")") --depth;
    } else if (token.kind == TokenKind::kWord && word_index < 2) {
      if (word_index == 0) is_envelope = EqualsLower(text, "execute");
      if (word_index == 1) is_envelope = is_envelope && EqualsLower(text, "as");
      ++word_index;
    }
    if (begin < 0) begin = token.begin;
    end = token.end;
  }
  finish();
  if (statements.empty()) return Status(ErrorKind::EmptySql, "No SQL statements provided");
  return statements;
}

StatementKind ClassifyStatement(std::string_view text) {
  // The common statements need no more than their first word.
  Lexer lexer(text);
  Token first = lexer.Next();
  while (first.kind == TokenKind::kPunctuation || first.kind == TokenKind::kOperator)
    first = lexer.Next();
  std::string_view word = lexer.TextOf(first);
  if (EqualsLower(word, "select") || EqualsLower(word, "values")) return StatementKind::kSelect;
  if (EqualsLower(word, "insert")) return StatementKind::kInsert;
  if (EqualsLower(word, "update")) return StatementKind::kUpdate;
  if (EqualsLower(word, "delete")) return StatementKind::kDelete;
  if (EqualsLower(word, "with")) return ClassifyWith(text);
  FirstWords words(text);
  if (words.Is(0, "create")) return ClassifyCreate(words);
  if (words.Is(0, "alter")) return ClassifyAlter(words);
  if (words.Is(0, "drop")) return ClassifyDrop(words);
  if (words.Is(0, "show") || words.Is(0, "describe") || words.Is(0, "desc"))
    return StatementKind::kShow;
  if (words.Is(0, "use")) return StatementKind::kUseNamespace;
  if (words.Is(0, "set"))
    return words.Is(1, "namespace") ? StatementKind::kUseNamespace : StatementKind::kSet;
  if (words.Is(0, "begin") || words.Is(0, "commit") || words.Is(0, "rollback"))
    return StatementKind::kTransaction;
  if (words.Is(0, "start") && words.Is(1, "transaction")) return StatementKind::kTransaction;
  if (words.Is(0, "kill")) return StatementKind::kKill;
  if (words.Is(0, "subscribe")) return StatementKind::kSubscribe;
  if (words.Is(0, "storage")) return StatementKind::kStorage;
  if (words.Is(0, "explain")) return StatementKind::kExplain;
  if (words.Is(0, "execute") && words.Is(1, "as")) return StatementKind::kExecuteAs;
  return StatementKind::kOther;
}

std::string MaskSecrets(std::string_view text) {
  std::string masked;
  Lexer lexer(text);
  size_t copied = 0;
  bool secret_follows = false;
  for (Token token = lexer.Next(); token.kind != TokenKind::kEnd; token = lexer.Next()) {
    switch (token.kind) {
      case TokenKind::kError:
        if (!secret_follows) break;
        masked.append(text.substr(copied, static_cast<size_t>(token.begin) - copied))
            .append("'***'");
        return masked;
      case TokenKind::kString:
      case TokenKind::kEscapeString:
      case TokenKind::kDollarString:
        if (secret_follows) {
          masked.append(text.substr(copied, static_cast<size_t>(token.begin) - copied))
              .append("'***'");
          copied = static_cast<size_t>(token.end);
        }
        secret_follows = false;
        break;
      case TokenKind::kWord:
      case TokenKind::kQuotedName:
        secret_follows = NamesSecret(lexer.TextOf(token));
        break;
      case TokenKind::kOperator:
        secret_follows =
            secret_follows && (lexer.TextOf(token) == "=" || lexer.TextOf(token) == "=>");
        break;
      default:
        secret_follows = false;
        break;
    }
    if (token.kind == TokenKind::kError) break;
  }
  masked.append(text.substr(copied));
  return masked;
}

}  // namespace kalam::sql

// See rewrite.h.
#include "sql/rewrite.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "sql/lexer.h"

namespace kalam::sql {
namespace {

Status SyntaxError(std::string message, int position) {
  return Status(ErrorKind::InvalidSql, std::move(message)).WithPosition(position);
}

// Bounds the depth of the tree that the grammar will build: parentheses and CASE open a level, and
// within a level every operator, join or set operation may add one more step to a chain. `,`, AND
// and OR end chains of operators (their lists are flat), but not chains of joins and set
// operations.
class DepthGuard {
 public:
  bool Step(const Token& token, std::string_view text) {
    const bool after_dot = std::exchange(after_dot_, text == ".");
    switch (token.kind) {
      case TokenKind::kPunctuation:
        if (text == "(" || text == "[") return Open(false);
        if (text == ")" || text == "]") CloseParenthesis();
        if (text == ",") Reset();
        return true;
      case TokenKind::kOperator:
      case TokenKind::kQuestion:
        return Count();
      case TokenKind::kWord:
        return after_dot || Word(text);
      default:
        return true;
    }
  }

 private:
  struct Level {
    bool is_case = false;
    int chain = 0;   // operators since the last `,`, AND or OR
    int sticky = 0;  // joins and set operations
    int open_betweens = 0;
  };

  bool Word(std::string_view text) {
    if (EqualsLower(text, "and") && levels_.back().open_betweens > 0) {
      --levels_.back().open_betweens;
      return true;
    }
    if (EqualsLower(text, "and") || EqualsLower(text, "or")) {
      Reset();
      return true;
    }
    if (EqualsLower(text, "case")) return Open(true);
    if (EqualsLower(text, "end")) {
      if (levels_.back().is_case) Close();
      return true;
    }
    for (std::string_view sticky : {"select", "values", "join"}) {
      if (!EqualsLower(text, sticky)) continue;
      ++levels_.back().sticky;
      return ++total_ <= kNestingDepthMax;
    }
    if (EqualsLower(text, "between")) ++levels_.back().open_betweens;
    for (std::string_view chained : {"not", "is", "isnull", "notnull", "like", "ilike", "similar",
                                     "in", "between", "collate", "at", "explain", "overlaps"}) {
      if (EqualsLower(text, chained)) return Count();
    }
    return true;
  }
  bool Open(bool is_case) {
    levels_.push_back({is_case});
    return ++total_ <= kNestingDepthMax;
  }
  void Close() {
    total_ -= levels_.back().chain + levels_.back().sticky + 1;
    levels_.pop_back();
  }
  void CloseParenthesis() {
    while (levels_.size() > 1 && levels_.back().is_case) Close();
    if (levels_.size() > 1) Close();
  }
  bool Count() {
    ++levels_.back().chain;
    return ++total_ <= kNestingDepthMax;
  }
  void Reset() {
    total_ -= levels_.back().chain;
    levels_.back().chain = 0;
  }

  std::vector<Level> levels_ = {Level{}};
  int total_ = 0;
  bool after_dot_ = false;
};

class Rewriter {
 public:
  explicit Rewriter(std::string_view source) : lexer_(source) {
    out_.text.reserve(source.size() + 16);
  }

  Result<RewrittenSql> Run() {
    if (size_t nul = lexer_.text().find('\0'); nul != std::string_view::npos) {
      return SyntaxError("a NUL byte is not allowed in SQL text", static_cast<int>(nul));
    }
    for (Token token = lexer_.Next(); token.kind != TokenKind::kEnd;) {
      KALAM_RETURN_IF_ERROR(Check(token));
      Token next = lexer_.Next();
      KALAM_RETURN_IF_ERROR(Rewrite(token, &next));
      token = next;
    }
    if (question_count_ > 0 && out_.parameter_count > 0) {
      return SyntaxError("? and $n parameters cannot be mixed", first_question_);
    }
    out_.parameter_count = std::max(out_.parameter_count, question_count_);
    return std::move(out_);
  }

 private:
  Status Check(const Token& token) {
    if (token.kind == TokenKind::kError) return SyntaxError(lexer_.error(), token.begin);
    if (token.kind == TokenKind::kJunkNumber) {
      return SyntaxError("trailing junk after numeric literal at or near \"" +
                             std::string(lexer_.TextOf(token)) + "\"",
                         token.begin);
    }
    if (token.kind == TokenKind::kBacktickName) {
      return SyntaxError("syntax error at or near \"`\": names are quoted with \"", token.begin);
    }
    if (!guard_.Step(token, lexer_.TextOf(token))) {
      return SyntaxError("statement is nested too deeply (maximum 512)", token.begin);
    }
    if (++token_count_ > kTokensMax) {
      return SyntaxError("statement is too complex (maximum 200000 tokens)", token.begin);
    }
    return {};
  }

  // Emits `token`; `next` is the one behind it and may be moved on.
  Status Rewrite(const Token& token, Token* next) {
    std::string_view text = lexer_.TextOf(token);
    const bool after_dot = previous_ == TokenKind::kPunctuation && previous_text_ == ".";
    switch (token.kind) {
      case TokenKind::kWord:
        if (!after_dot && RewriteUserWord(token, text, next)) return {};
        break;
      case TokenKind::kPunctuation:
        if (text == "," && next->kind == TokenKind::kPunctuation && lexer_.TextOf(*next) == ")")
          return {};
        break;
      case TokenKind::kParameter:
        KALAM_RETURN_IF_ERROR(NoteParameter(token, text));
        break;
      case TokenKind::kQuestion:
        if (OperandExpected()) {
          if (question_count_++ == 0) first_question_ = token.begin;
          Emit(token, "$" + std::to_string(question_count_));
          previous_ = TokenKind::kParameter;
          return {};
        }
        break;
      default:
        break;
    }
    Emit(token, text);
    return {};
  }

  bool RewriteUserWord(const Token& token, std::string_view text, Token* next) {
    if (text.size() < 4 || text.size() > 15) return false;
    if (EqualsLower(text, "user")) {
      Emit(token, "\"user\"");
      previous_ = TokenKind::kQuotedName;
      return true;
    }
    const bool is_user_id = EqualsLower(text, "current_user_id");
    const bool is_user = EqualsLower(text, "current_user");
    if (!is_user_id && !is_user && !EqualsLower(text, "current_role")) return false;
    if (next->kind != TokenKind::kPunctuation || lexer_.TextOf(*next) != "(") return false;
    Token close = lexer_.Next();
    if (close.kind != TokenKind::kPunctuation || lexer_.TextOf(close) != ")") {
      lexer_.Seek(next->end);
      return false;
    }
    Emit(token, is_user_id ? "current_user" : text);
    *next = lexer_.Next();
    return true;
  }

  Status NoteParameter(const Token& token, std::string_view text) {
    int number = 0;
    auto [end, error] = std::from_chars(text.data() + 1, text.data() + text.size(), number);
    if (error != std::errc() || number < 1 || number > 1'000'000) {
      return SyntaxError("there is no parameter " + std::string(text), token.begin);
    }
    out_.parameter_count = std::max(out_.parameter_count, number);
    return {};
  }

  bool OperandExpected() const {
    switch (previous_) {
      case TokenKind::kEnd:
      case TokenKind::kOperator:
      case TokenKind::kQuestion:
        return true;
      case TokenKind::kPunctuation:
        return previous_text_ != ")" && previous_text_ != "]";
      case TokenKind::kWord:
        return ExpectsOperand(previous_text_);
      default:
        return false;
    }
  }

  void Emit(const Token& token, std::string_view text) {
    if (!out_.text.empty()) out_.text.push_back(' ');
    out_.offsets.emplace_back(static_cast<int>(out_.text.size()), token.begin);
    out_.text.append(text);
    previous_ = token.kind;
    previous_text_ = lexer_.TextOf(token);
  }

  Lexer lexer_;
  RewrittenSql out_;
  DepthGuard guard_;
  TokenKind previous_ = TokenKind::kEnd;
  std::string_view previous_text_;
  int question_count_ = 0;
  int first_question_ = -1;
  int token_count_ = 0;
};

}  // namespace

int RewrittenSql::SourceOffset(int offset) const {
  auto after =
      std::upper_bound(offsets.begin(), offsets.end(), offset,
                       [](int at, const std::pair<int, int>& entry) { return at < entry.first; });
  if (after == offsets.begin()) return 0;
  --after;
  return after->second + (offset - after->first);
}

int RewrittenSql::SourceOffsetOfCharacter(int character) const {
  int seen = 0;
  size_t offset = 0;
  while (offset < text.size()) {
    if ((static_cast<uint8_t>(text[offset]) & 0xC0) != 0x80 && ++seen == character) break;
    ++offset;
  }
  return SourceOffset(static_cast<int>(offset));
}

Result<RewrittenSql> RewriteForGrammar(std::string_view source) { return Rewriter(source).Run(); }

}  // namespace kalam::sql

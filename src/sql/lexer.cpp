// See lexer.h. One pass over bytes with a table of character classes: this runs for every
// statement.
#include "sql/lexer.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>

#include "types/decimal.h"

namespace kalam::sql {
namespace {

enum CharClass : uint8_t {
  kOtherByte,
  kBlank,
  kWordStart,
  kDigit,
  kOperatorByte,
  kPunctuationByte
};

constexpr std::array<uint8_t, 256> MakeClasses() {
  std::array<uint8_t, 256> classes{};
  for (int c = 0; c < 256; ++c) {
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c >= 128)
      classes[c] = kWordStart;
    if (c >= '0' && c <= '9') classes[c] = kDigit;
  }
  for (char c : {' ', '\t', '\n', '\r', '\f', '\v'}) classes[static_cast<uint8_t>(c)] = kBlank;
  for (char c : {'+', '-', '*', '/', '<', '>', '=', '~', '!', '@', '#', '%', '^', '&', '|'}) {
    classes[static_cast<uint8_t>(c)] = kOperatorByte;
  }
  for (char c : {'(', ')', '[', ']', ',', ';', '.', ':'})
    classes[static_cast<uint8_t>(c)] = kPunctuationByte;
  return classes;
}
constexpr std::array<uint8_t, 256> kClasses = MakeClasses();

uint8_t ClassOf(char c) { return kClasses[static_cast<uint8_t>(c)]; }
bool IsWordByte(char c) { return ClassOf(c) == kWordStart || ClassOf(c) == kDigit || c == '$'; }
bool IsDigit(char c) { return c >= '0' && c <= '9'; }
char LowerOf(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

// Longest first where one is the start of another.
constexpr std::string_view kOperators[] = {"->>", "#>>", "!~*", "!~~", "->", "#>", "<>",
                                           "!=",  "<=",  ">=",  "||",  "@>", "<@", "<<",
                                           ">>",  "~*",  "!~",  "~~",  "=>", "&&"};

void AppendUtf8(uint32_t code, std::string* out) {
  if (code < 0x80) {
    out->push_back(static_cast<char>(code));
  } else if (code < 0x800) {
    out->push_back(static_cast<char>(0xC0 | (code >> 6)));
    out->push_back(static_cast<char>(0x80 | (code & 0x3F)));
  } else if (code < 0x10000) {
    out->push_back(static_cast<char>(0xE0 | (code >> 12)));
    out->push_back(static_cast<char>(0x80 | ((code >> 6) & 0x3F)));
    out->push_back(static_cast<char>(0x80 | (code & 0x3F)));
  } else {
    out->push_back(static_cast<char>(0xF0 | ((code >> 18) & 0x07)));
    out->push_back(static_cast<char>(0x80 | ((code >> 12) & 0x3F)));
    out->push_back(static_cast<char>(0x80 | ((code >> 6) & 0x3F)));
    out->push_back(static_cast<char>(0x80 | (code & 0x3F)));
  }
}

// Reads up to `digits_max` digits of `base` at *at; returns how many there were.
int ReadDigits(std::string_view body, size_t* at, int base, int digits_max, uint32_t* code) {
  int count = 0;
  *code = 0;
  while (count < digits_max && *at < body.size()) {
    char c = LowerOf(body[*at]);
    int digit = IsDigit(c) ? c - '0' : (c >= 'a' && c <= 'f' ? c - 'a' + 10 : 99);
    if (digit >= base) break;
    *code = *code * static_cast<uint32_t>(base) + static_cast<uint32_t>(digit);
    ++*at;
    ++count;
  }
  return count;
}

// Appends what the escape at body[*at] (behind the backslash) stands for.
void AppendEscape(std::string_view body, size_t* at, std::string* out) {
  char c = body[*at];
  uint32_t code = 0;
  ++*at;
  switch (c) {
    case 'n':
      out->push_back('\n');
      return;
    case 't':
      out->push_back('\t');
      return;
    case 'r':
      out->push_back('\r');
      return;
    case 'b':
      out->push_back('\b');
      return;
    case 'f':
      out->push_back('\f');
      return;
    case 'u':
    case 'U':
      if (ReadDigits(body, at, 16, c == 'u' ? 4 : 8, &code) > 0) AppendUtf8(code, out);
      return;
    case 'x':
      out->push_back(ReadDigits(body, at, 16, 2, &code) > 0 ? static_cast<char>(code) : 'x');
      return;
    default:
      break;
  }
  if (c >= '0' && c <= '7') {
    --*at;
    ReadDigits(body, at, 8, 3, &code);
    out->push_back(static_cast<char>(code));
    return;
  }
  out->push_back(c);
}

}  // namespace

void AppendLower(std::string_view word, std::string* out) {
  size_t begin = out->size();
  out->append(word);
  for (size_t i = begin; i < out->size(); ++i) (*out)[i] = LowerOf((*out)[i]);
}

bool EqualsLower(std::string_view word, std::string_view lower) {
  if (word.size() != lower.size()) return false;
  for (size_t i = 0; i < word.size(); ++i) {
    if (LowerOf(word[i]) != lower[i]) return false;
  }
  return true;
}

bool Lexer::SkipBlanks() {
  while (position_ < text_.size()) {
    char c = text_[position_];
    if (ClassOf(c) == kBlank) {
      ++position_;
    } else if (c == '-' && position_ + 1 < text_.size() && text_[position_ + 1] == '-') {
      size_t end = text_.find('\n', position_);
      position_ = end == std::string_view::npos ? text_.size() : end + 1;
    } else if (c == '/' && position_ + 1 < text_.size() && text_[position_ + 1] == '*') {
      size_t end = text_.find("*/", position_ + 2);
      if (end == std::string_view::npos) return false;
      position_ = end + 2;
    } else {
      break;
    }
  }
  return true;
}

Token Lexer::Fail(size_t begin, const char* error) {
  error_ = error;
  position_ = text_.size();
  return {TokenKind::kError, static_cast<int>(begin), static_cast<int>(text_.size())};
}

Token Lexer::Quoted(TokenKind kind, size_t begin, size_t open, char quote, bool backslashes) {
  size_t at = open + 1;
  while (at < text_.size()) {
    if (text_[at] == quote) {
      if (at + 1 < text_.size() && text_[at + 1] == quote) {
        at += 2;
        continue;
      }
      position_ = at + 1;
      return {kind, static_cast<int>(begin), static_cast<int>(at + 1)};
    }
    at += backslashes && text_[at] == '\\' ? 2 : 1;
  }
  return Fail(begin,
              quote == '\'' ? "unterminated quoted string" : "unterminated quoted identifier");
}

Token Lexer::DollarQuoted(size_t begin) {
  size_t at = begin + 1;
  while (at < text_.size() && text_[at] != '$' && IsWordByte(text_[at])) ++at;
  if (at >= text_.size() || text_[at] != '$') {
    position_ = begin + 1;
    return {TokenKind::kOperator, static_cast<int>(begin), static_cast<int>(begin + 1)};
  }
  std::string_view tag = text_.substr(begin, at + 1 - begin);
  size_t end = text_.find(tag, at + 1);
  if (end == std::string_view::npos) return Fail(begin, "unterminated dollar-quoted string");
  position_ = end + tag.size();
  return {TokenKind::kDollarString, static_cast<int>(begin), static_cast<int>(position_)};
}

Token Lexer::Number(size_t begin) {
  size_t at = begin;
  TokenKind kind = TokenKind::kInteger;
  while (at < text_.size() && IsDigit(text_[at])) ++at;
  if (at < text_.size() && text_[at] == '.' && !(at + 1 < text_.size() && text_[at + 1] == '.')) {
    kind = TokenKind::kNumber;
    ++at;
    while (at < text_.size() && IsDigit(text_[at])) ++at;
  }
  if (at < text_.size() && (text_[at] == 'e' || text_[at] == 'E')) {
    size_t digits = at + 1;
    if (digits < text_.size() && (text_[digits] == '+' || text_[digits] == '-')) ++digits;
    if (digits < text_.size() && IsDigit(text_[digits])) {
      kind = TokenKind::kNumber;
      at = digits;
      while (at < text_.size() && IsDigit(text_[at])) ++at;
    }
  }
  if (at < text_.size() && ClassOf(text_[at]) == kWordStart) {
    kind = TokenKind::kJunkNumber;
    while (at < text_.size() && IsWordByte(text_[at])) ++at;
  }
  position_ = at;
  return {kind, static_cast<int>(begin), static_cast<int>(at)};
}

Token Lexer::Operator(size_t begin) {
  std::string_view rest = text_.substr(begin, 3);
  size_t size = 1;
  if (rest.size() > 1 && ClassOf(rest[1]) == kOperatorByte) {
    for (std::string_view candidate : kOperators) {
      if (rest.substr(0, candidate.size()) == candidate) {
        size = candidate.size();
        break;
      }
    }
  }
  position_ = begin + size;
  return {TokenKind::kOperator, static_cast<int>(begin), static_cast<int>(position_)};
}

Token Lexer::Next() {
  if (!SkipBlanks()) return Fail(position_, "unterminated comment");
  size_t begin = position_;
  if (begin >= text_.size())
    return {TokenKind::kEnd, static_cast<int>(begin), static_cast<int>(begin)};
  char c = text_[begin];
  char next = begin + 1 < text_.size() ? text_[begin + 1] : '\0';
  switch (ClassOf(c)) {
    case kWordStart: {
      if (next == '\'') {
        if (c == 'e' || c == 'E')
          return Quoted(TokenKind::kEscapeString, begin, begin + 1, '\'', true);
        if (c == 'x' || c == 'X' || c == 'b' || c == 'B') {
          return Quoted(TokenKind::kBitString, begin, begin + 1, '\'', false);
        }
      }
      size_t at = begin + 1;
      while (at < text_.size() && IsWordByte(text_[at])) ++at;
      position_ = at;
      return {TokenKind::kWord, static_cast<int>(begin), static_cast<int>(at)};
    }
    case kDigit:
      return Number(begin);
    case kOperatorByte:
      return Operator(begin);
    case kPunctuationByte:
      if (c == '.' && IsDigit(next)) return Number(begin);
      position_ = begin + (c == ':' && (next == ':' || next == '=') ? 2 : 1);
      return {position_ == begin + 2 ? TokenKind::kOperator : TokenKind::kPunctuation,
              static_cast<int>(begin), static_cast<int>(position_)};
    default:
      break;
  }
  if (c == '\'') return Quoted(TokenKind::kString, begin, begin, '\'', false);
  if (c == '"') return Quoted(TokenKind::kQuotedName, begin, begin, '"', false);
  if (c == '`') return Quoted(TokenKind::kBacktickName, begin, begin, '`', false);
  if (c == '?') {
    bool is_pair = next == '|' || next == '&';
    position_ = begin + (is_pair ? 2 : 1);
    return {is_pair ? TokenKind::kOperator : TokenKind::kQuestion, static_cast<int>(begin),
            static_cast<int>(position_)};
  }
  if (c == '$') {
    if (!IsDigit(next)) return DollarQuoted(begin);
    size_t at = begin + 1;
    while (at < text_.size() && IsDigit(text_[at])) ++at;
    position_ = at;
    return {TokenKind::kParameter, static_cast<int>(begin), static_cast<int>(at)};
  }
  position_ = begin + 1;
  return {TokenKind::kOperator, static_cast<int>(begin), static_cast<int>(begin + 1)};
}

std::string Unquote(TokenKind kind, std::string_view token) {
  if (kind == TokenKind::kDollarString) {
    size_t tag = token.find('$', 1) + 1;
    return std::string(token.substr(tag, token.size() - 2 * tag));
  }
  const bool escapes = kind == TokenKind::kEscapeString;
  std::string_view body = escapes ? token.substr(2) : token.substr(1);
  body.remove_suffix(1);
  char quote = token.back();
  if (!escapes && body.find(quote) == std::string_view::npos) return std::string(body);
  std::string out;
  out.reserve(body.size());
  for (size_t at = 0; at < body.size();) {
    if (escapes && body[at] == '\\' && at + 1 < body.size()) {
      ++at;
      AppendEscape(body, &at, &out);
      continue;
    }
    if (body[at] == quote) ++at;  // the second of a doubled quote follows
    if (at < body.size()) out.push_back(body[at++]);
  }
  return out;
}

Value NumberValue(std::string_view token, bool negative) {
  std::string signed_text;
  if (negative) {
    signed_text.reserve(token.size() + 1);
    signed_text.append("-").append(token);
    token = signed_text;
  }
  int64_t integer = 0;
  auto [end, error] = std::from_chars(token.data(), token.data() + token.size(), integer);
  if (error == std::errc() && end == token.data() + token.size()) return Value::BigInt(integer);
  const bool has_exponent = token.find_first_of("eE") != std::string_view::npos;
  if (!has_exponent) {
    size_t leading = token.find_first_not_of("-0.");
    auto significant = leading == std::string_view::npos
                           ? 0
                           : std::count_if(token.begin() + static_cast<std::ptrdiff_t>(leading),
                                           token.end(), IsDigit);
    if (significant > 15) {
      Result<DecimalValue> decimal = ParseDecimal(token);
      if (decimal.ok()) return Value(Datum::Decimal(decimal->unscaled, decimal->scale));
    }
  }
  return Value::Double(std::strtod(std::string(token).c_str(), nullptr));
}

bool ExpectsOperand(std::string_view word) {
  char lower[10];
  if (word.size() < 2 || word.size() > sizeof(lower)) return false;
  for (size_t i = 0; i < word.size(); ++i) lower[i] = LowerOf(word[i]);
  std::string_view w(lower, word.size());
  switch (w[0]) {
    case 'a':
      return w == "and" || w == "all" || w == "any";
    case 'b':
      return w == "by" || w == "between";
    case 'c':
      return w == "case";
    case 'd':
      return w == "distinct";
    case 'e':
      return w == "else" || w == "escape";
    case 'f':
      return w == "from" || w == "for" || w == "first";
    case 'h':
      return w == "having";
    case 'i':
      return w == "in" || w == "ilike";
    case 'l':
      return w == "like" || w == "limit";
    case 'n':
      return w == "not" || w == "next";
    case 'o':
      return w == "or" || w == "on" || w == "offset";
    case 'r':
      return w == "returning";
    case 's':
      return w == "select" || w == "some";
    case 't':
      return w == "then" || w == "to";
    case 'w':
      return w == "where" || w == "when";
    default:
      return false;
  }
}

}  // namespace kalam::sql

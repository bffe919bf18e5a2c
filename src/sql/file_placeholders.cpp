// See file_placeholders.h.
#include "sql/file_placeholders.h"

#include "sql/lexer.h"

namespace kalam::sql {
namespace {

// Whether `file` stands before some parenthesis; nearly always answered without a lexer.
bool MayHavePlaceholder(std::string_view text) {
  for (size_t at = text.find('('); at != std::string_view::npos; at = text.find('(', at + 1)) {
    size_t end = at;
    while (end > 0 && (text[end - 1] == ' ' || text[end - 1] == '\t' || text[end - 1] == '\n' ||
                       text[end - 1] == '\r')) {
      --end;
    }
    if (end >= 4 && EqualsLower(text.substr(end - 4, 4), "file")) return true;
    // A comment between the two would be strange, but legal.
    if (end >= 2 && text.substr(end - 2, 2) == "*/") return true;
  }
  return false;
}

enum class Form : uint8_t { kName, kNameAndType };

// Reads calls from the tokens of a text.
class Finder {
 public:
  Finder(std::string_view text, Form form) : lexer_(text), form_(form) {}

  std::vector<FilePlaceholder> Run() {
    std::vector<FilePlaceholder> placeholders;
    Advance();
    while (token_.kind != TokenKind::kEnd && token_.kind != TokenKind::kError) {
      FilePlaceholder placeholder;
      if (Accept(&placeholder)) placeholders.push_back(std::move(placeholder));
    }
    return placeholders;
  }

 private:
  void Advance() {
    previous_ = token_;
    token_ = lexer_.Next();
  }
  bool Is(const Token& token, std::string_view mark) const {
    return token.kind == TokenKind::kPunctuation && lexer_.TextOf(token) == mark;
  }
  bool AcceptMark(std::string_view mark) {
    if (!Is(token_, mark)) return false;
    Advance();
    return true;
  }
  bool AcceptText(std::string* text) {
    if (token_.kind != TokenKind::kString && token_.kind != TokenKind::kQuotedName) return false;
    *text = Unquote(token_.kind, lexer_.TextOf(token_));
    Advance();
    return true;
  }

  // Takes at least one token; true when it was a whole placeholder.
  bool Accept(FilePlaceholder* placeholder) {
    // `schema.file(...)` is somebody's function.
    const bool word = token_.kind == TokenKind::kWord &&
                      EqualsLower(lexer_.TextOf(token_), "file") && !Is(previous_, ".");
    placeholder->begin = token_.begin;
    Advance();
    if (!word || !AcceptMark("(") || !AcceptText(&placeholder->name)) return false;
    if (form_ == Form::kNameAndType && AcceptMark(",") && !AcceptText(&placeholder->media_type))
      return false;
    placeholder->end = token_.end;
    return AcceptMark(")");
  }

  Lexer lexer_;
  const Form form_;
  Token previous_, token_;
};

}  // namespace

std::vector<FilePlaceholder> FindFilePlaceholders(std::string_view text) {
  if (!MayHavePlaceholder(text)) return {};
  return Finder(text, Form::kName).Run();
}

std::vector<FilePlaceholder> FindLocalFiles(std::string_view text) {
  if (!MayHavePlaceholder(text)) return {};
  return Finder(text, Form::kNameAndType).Run();
}

std::string ReplaceFilePlaceholders(std::string_view text,
                                    const std::vector<FilePlaceholder>& placeholders,
                                    const std::vector<std::string>& values) {
  std::string replaced;
  size_t at = 0;
  for (size_t i = 0; i < placeholders.size(); ++i) {
    const auto begin = static_cast<size_t>(placeholders[i].begin);
    replaced += text.substr(at, begin - at);
    replaced += '\'';
    for (const char c : values[i]) {
      if (c == '\'') replaced += '\'';
      replaced += c;
    }
    replaced += '\'';
    at = static_cast<size_t>(placeholders[i].end);
  }
  replaced += text.substr(at);
  return replaced;
}

}  // namespace kalam::sql

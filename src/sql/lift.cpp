// LiftLiterals of parser.h: one pass over the tokens of every statement, so it allocates little and
// looks nothing up.
#include <algorithm>
#include <charconv>
#include <utility>

#include "sql/lexer.h"
#include "sql/parser.h"

namespace kalam::sql {
namespace {

bool IsString(TokenKind kind) {
  return kind == TokenKind::kString || kind == TokenKind::kEscapeString ||
         kind == TokenKind::kDollarString;
}
bool IsNumber(TokenKind kind) { return kind == TokenKind::kInteger || kind == TokenKind::kNumber; }

Value StringValue(const Lexer& lexer, const Token& token) {
  std::string_view text = lexer.TextOf(token);
  if (token.kind == TokenKind::kString) {
    std::string_view body = text.substr(1, text.size() - 2);
    if (body.find('\'') == std::string_view::npos) return Value::Text(body);
  }
  return Value::Text(Unquote(token.kind, text));
}

// Functions whose arguments shape the plan.
bool KeepsArguments(std::string_view lower) {
  return lower == "vector_search" || lower == "generate_series" || lower == "range" ||
         lower == "unnest" || lower == "date_trunc" || lower == "date_part" ||
         lower == "date_bin" || lower == "extract";
}

// Says at every token whether an operand is expected there.
class OperandTracker {
 public:
  bool expected() const { return expected_; }
  void Note(TokenKind kind, std::string_view text) {
    switch (kind) {
      case TokenKind::kOperator:
        expected_ = text != "::";
        break;
      case TokenKind::kQuestion:
        expected_ = true;
        break;
      case TokenKind::kPunctuation:
        expected_ = text != ")" && text != "]" && text != "." && text != ":";
        break;
      case TokenKind::kWord:
        expected_ = ExpectsOperand(text);
        break;
      default:
        expected_ = false;
        break;
    }
  }
  void NoteOperand() { expected_ = false; }

 private:
  bool expected_ = true;
};

class Lifter {
 public:
  explicit Lifter(std::string_view text) : lexer_(text) { out_.key.reserve(text.size() + 24); }

  Result<LiftedStatement> Run() {
    KALAM_RETURN_IF_ERROR(CountParameters());
    for (Token token = lexer_.Next(); token.kind != TokenKind::kEnd; token = lexer_.Next()) {
      if (token.kind == TokenKind::kError) return LexicalError(token);
      Handle(token);
    }
    return std::move(out_);
  }

 private:
  // What one pair of parentheses may lift.
  struct Level {
    bool base = true;  // what the surroundings allow
    bool lift = true;  // what the current clause allows
    bool in_select_list = false;
  };
  enum class TypeState : uint8_t { kNone, kExpected, kNamed };

  Status LexicalError(const Token& token) const {
    return Status(ErrorKind::InvalidSql, lexer_.error()).WithPosition(token.begin);
  }

  // Literals are numbered behind the caller's parameters, so these are counted first; most texts
  // have none.
  Status CountParameters() {
    if (lexer_.text().find_first_of("$?") == std::string_view::npos) return {};
    OperandTracker tracker;
    int questions = 0;
    int highest = 0;
    for (Token token = lexer_.Next(); token.kind != TokenKind::kEnd; token = lexer_.Next()) {
      if (token.kind == TokenKind::kError) return LexicalError(token);
      std::string_view text = lexer_.TextOf(token);
      if (token.kind == TokenKind::kParameter) highest = std::max(highest, ParameterNumber(text));
      if (token.kind == TokenKind::kQuestion && tracker.expected()) {
        ++questions;
        tracker.NoteOperand();
        continue;
      }
      tracker.Note(token.kind, text);
    }
    lexer_.Seek(0);
    if (questions > 0 && highest > 0)
      return Status(ErrorKind::InvalidSql, "? and $n parameters cannot be mixed");
    out_.caller_parameter_count = std::max(questions, highest);
    return {};
  }

  static int ParameterNumber(std::string_view text) {
    int number = 0;
    std::from_chars(text.data() + 1, text.data() + text.size(), number);
    return number;
  }

  void Separate() {
    if (!out_.key.empty()) out_.key.push_back(' ');
  }
  void Emit(std::string_view text) {
    Separate();
    out_.key.append(text);
  }
  void EmitPlaceholder(int number) {
    char digits[12];
    auto [end, error] = std::to_chars(digits, digits + sizeof(digits), number);
    Separate();
    out_.key.push_back('$');
    out_.key.append(digits, end);
  }
  int NextNumber() const {
    return out_.caller_parameter_count + static_cast<int>(out_.literals.size()) + 1;
  }

  bool may_lift() const {
    return tracker_.expected() && levels_.back().lift && !after_path_operator_ &&
           !after_fixed_word_ && !frozen_;
  }

  void Lift(Value value) {
    EmitPlaceholder(NextNumber());
    out_.literals.push_back(std::move(value));
    tracker_.NoteOperand();
    after_path_operator_ = false;
    after_fixed_word_ = false;
  }

  void Handle(const Token& token) {
    std::string_view text = lexer_.TextOf(token);
    if (IsString(token.kind) && may_lift()) return Lift(StringValue(lexer_, token));
    if (IsNumber(token.kind) && may_lift()) return Lift(NumberValue(text, false));
    // `between` may also be a column: `between - 5`.
    const bool after_between = std::exchange(after_between_, false);
    const bool is_sign = token.kind == TokenKind::kOperator && text == "-" && !after_between;
    if (is_sign && may_lift() && LiftNegative()) return;
    if (token.kind == TokenKind::kQuestion && tracker_.expected()) {
      EmitPlaceholder(++question_count_);
      tracker_.NoteOperand();
      return;
    }
    after_path_operator_ = token.kind == TokenKind::kOperator &&
                           (text == "->" || text == "->>" || text == "#>" || text == "#>>");
    after_fixed_word_ = false;
    switch (token.kind) {
      case TokenKind::kWord:
        HandleWord(token, text);
        return;
      case TokenKind::kPunctuation:
        HandlePunctuation(text);
        break;
      case TokenKind::kOperator:
        type_state_ = text == "::" ? TypeState::kExpected : TypeState::kNone;
        break;
      default:
        type_state_ = TypeState::kNone;
        break;
    }
    if (token.kind != TokenKind::kPunctuation) after_dot_ = false;
    Emit(text);
    tracker_.Note(token.kind, text);
  }

  bool LiftNegative() {
    Token next = lexer_.Next();
    if (IsNumber(next.kind)) {
      Lift(NumberValue(lexer_.TextOf(next), true));
      return true;
    }
    lexer_.Seek(next.begin);
    return false;
  }

  void HandleWord(const Token& token, std::string_view text) {
    Separate();
    size_t begin = out_.key.size();
    AppendLower(text, &out_.key);
    std::string_view word(out_.key.data() + begin, text.size());
    const bool after_dot = after_dot_;
    after_dot_ = false;
    after_keeping_function_ = !after_dot && KeepsArguments(word);
    if (type_state_ == TypeState::kExpected) {
      type_state_ = TypeState::kNamed;
    } else if (word == "as" && !after_dot) {
      type_state_ = TypeState::kExpected;
    } else if (type_state_ == TypeState::kNamed && !IsTypeWord(word)) {
      type_state_ = TypeState::kNone;
    }
    tracker_.Note(token.kind, word);
    if (after_dot) {
      tracker_.NoteOperand();
    } else {
      NoteClause(word, token);
    }
  }

  // The further words of a type's name: DOUBLE PRECISION, CHARACTER VARYING(10).
  static bool IsTypeWord(std::string_view word) { return word == "precision" || word == "varying"; }

  void NoteClause(std::string_view word, const Token& token) {
    Level& level = levels_.back();
    const bool is_distinct = word == "distinct";
    switch (word[0]) {
      case 'b':
        after_fixed_word_ = word == "by";
        after_between_ = word == "between";
        break;
      case 'e':
        after_fixed_word_ = word == "escape";
        if (word == "except") level.lift = level.base;
        break;
      case 'f':
        after_fixed_word_ = word == "first";
        if (word == "from" && level.in_select_list && !after_distinct_) {
          level.in_select_list = false;
          level.lift = level.base;
        }
        break;
      case 'g':
        if (word == "group" || word == "groups") level.lift = false;
        break;
      case 'h':
        if (word == "having") level.lift = level.base;
        break;
      case 'i':
        if (word == "insert" && statement_ == StatementState::kStart)
          statement_ = StatementState::kInsert;
        if (word == "intersect") level.lift = level.base;
        break;
      case 'l':
        if (word == "limit") level.lift = level.base;
        break;
      case 'n':
        after_fixed_word_ = word == "next";
        break;
      case 'o':
        if (word == "order") level.lift = false;
        if (word == "offset") level.lift = level.base;
        break;
      case 'r':
        if (word == "returning" || word == "rows" || word == "range") level.lift = false;
        break;
      case 's':
        if (word == "select") {
          level.in_select_list = true;
          level.lift = false;
        }
        break;
      case 'u':
        if (word == "union") level.lift = level.base;
        break;
      case 'v':
        if (word == "values" && statement_ == StatementState::kInsert && levels_.size() == 1) {
          CollapseRows(token);
          return;
        }
        break;
      case 'w':
        if (word == "where") level.lift = level.base;
        break;
      default:
        break;
    }
    after_distinct_ = is_distinct;
    if (statement_ == StatementState::kStart || word == "select" || word == "with") {
      statement_ = word == "insert" ? StatementState::kInsert : StatementState::kOther;
    }
  }

  void HandlePunctuation(std::string_view text) {
    if (text == "(") {
      Level level;
      level.base =
          levels_.back().lift && !after_keeping_function_ && type_state_ != TypeState::kNamed;
      level.lift = level.base;
      levels_.push_back(level);
    } else if (text == ")" && levels_.size() > 1) {
      levels_.pop_back();
    }
    after_dot_ = text == ".";
    after_keeping_function_ = false;
    if (text != ".") type_state_ = TypeState::kNone;
  }

  // One cell of a VALUES row: with a value of its own, or a call or DEFAULT that is the same in
  // every row.
  struct Cell {
    bool has_value = true;
    std::string call;
    bool operator==(const Cell&) const = default;
  };

  // Tries to read all rows behind VALUES; otherwise leaves everything as it was.
  void CollapseRows(const Token& values) {
    const int questions = question_count_;
    std::vector<Cell> shape;
    Token after;
    if (ReadRows(&shape, &after)) {
      out_.is_values_insert = true;
      out_.values_row_width = 0;
      Emit("(");
      for (size_t i = 0; i < shape.size(); ++i) {
        if (i > 0) Emit(",");
        if (shape[i].has_value) {
          EmitPlaceholder(out_.caller_parameter_count + ++out_.values_row_width);
        } else {
          Emit(shape[i].call);
        }
      }
      Emit(")");
      frozen_ = true;
      lexer_.Seek(after.begin);
    } else {
      out_.literals.clear();
      out_.parameter_cells.clear();
      out_.values_row_count = 0;
      question_count_ = questions;
      lexer_.Seek(values.end);
    }
    statement_ = StatementState::kOther;
  }

  bool ReadRows(std::vector<Cell>* shape, Token* after) {
    std::vector<Cell> row;
    for (;;) {
      if (!IsPunctuation(lexer_.Next(), "(")) return false;
      row.clear();
      if (!ReadRow(&row)) return false;
      if (out_.values_row_count++ == 0) {
        *shape = row;
      } else if (row != *shape) {
        return false;
      }
      *after = lexer_.Next();
      if (!IsPunctuation(*after, ",")) break;
    }
    if (after->kind == TokenKind::kEnd) return true;
    std::string_view word = lexer_.TextOf(*after);
    return after->kind == TokenKind::kWord &&
           (EqualsLower(word, "on") || EqualsLower(word, "returning"));
  }

  bool ReadRow(std::vector<Cell>* row) {
    Token token = lexer_.Next();
    for (;;) {
      if (!ReadCell(&token, &row->emplace_back())) return false;
      if (IsPunctuation(token, ")")) return true;
      if (!IsPunctuation(token, ",")) return false;
      token = lexer_.Next();
      if (IsPunctuation(token, ")")) return true;  // a trailing comma
    }
  }

  // Reads the cell that begins at *token and leaves the token behind it there.
  bool ReadCell(Token* token, Cell* cell) {
    std::string_view text = lexer_.TextOf(*token);
    bool negative = false;
    if (token->kind == TokenKind::kOperator && text == "-") {
      negative = true;
      *token = lexer_.Next();
      text = lexer_.TextOf(*token);
      if (!IsNumber(token->kind)) return false;
    }
    switch (token->kind) {
      case TokenKind::kInteger:
      case TokenKind::kNumber:
        out_.literals.push_back(NumberValue(text, negative));
        break;
      case TokenKind::kString:
      case TokenKind::kEscapeString:
      case TokenKind::kDollarString:
        out_.literals.push_back(StringValue(lexer_, *token));
        break;
      case TokenKind::kParameter:
        AddParameter(ParameterNumber(text));
        break;
      case TokenKind::kQuestion:
        AddParameter(++question_count_);
        break;
      case TokenKind::kWord:
        return ReadWordCell(token, cell, text);
      default:
        return false;
    }
    *token = lexer_.Next();
    return true;
  }

  void AddParameter(int number) {
    out_.parameter_cells.emplace_back(static_cast<int>(out_.literals.size()), number);
    out_.literals.push_back(Value::Null());
  }

  bool ReadWordCell(Token* token, Cell* cell, std::string_view word) {
    *token = lexer_.Next();
    if (EqualsLower(word, "null")) {
      out_.literals.push_back(Value::Null());
      return true;
    }
    if (EqualsLower(word, "true") || EqualsLower(word, "false")) {
      out_.literals.push_back(Value::Boolean(EqualsLower(word, "true")));
      return true;
    }
    cell->has_value = false;
    AppendLower(word, &cell->call);
    if (IsPunctuation(*token, "(")) {
      if (!IsPunctuation(lexer_.Next(), ")")) return false;
      cell->call.append(" ( )");
      *token = lexer_.Next();
      return true;
    }
    return cell->call == "default" || cell->call.compare(0, 8, "current_") == 0;
  }

  bool IsPunctuation(const Token& token, std::string_view text) const {
    return token.kind == TokenKind::kPunctuation && lexer_.TextOf(token) == text;
  }

  enum class StatementState : uint8_t { kStart, kInsert, kOther };

  Lexer lexer_;
  LiftedStatement out_;
  OperandTracker tracker_;
  std::vector<Level> levels_ = {Level{}};
  StatementState statement_ = StatementState::kStart;
  TypeState type_state_ = TypeState::kNone;
  bool after_path_operator_ = false;
  bool after_fixed_word_ = false;  // BY, ESCAPE, FIRST, NEXT: the literal behind stays
  bool after_between_ = false;
  bool after_distinct_ = false;  // IS DISTINCT FROM does not end a select list
  bool after_dot_ = false;
  bool after_keeping_function_ = false;
  bool frozen_ = false;  // behind the rows of a values insert
  int question_count_ = 0;
};

}  // namespace

Result<LiftedStatement> LiftLiterals(std::string_view text) { return Lifter(text).Run(); }

}  // namespace kalam::sql

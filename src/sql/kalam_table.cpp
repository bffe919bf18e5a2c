// CREATE, ALTER and DROP TABLE, views, and the columns in them.
#include "sql/kalam_statements.h"
#include "sql/parser.h"

namespace kalam::sql {
namespace {

std::string Upper(std::string_view text) {
  std::string upper(text);
  for (char& c : upper) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 32);
  }
  return upper;
}

// The USER, SHARED or STREAM before TABLE, in upper case.
std::string AcceptTypeKeyword(TokenCursor& cursor) {
  for (std::string_view word : {"user", "shared", "stream"}) {
    if (cursor.AcceptWord(word)) return Upper(word);
  }
  return {};
}

bool BeginsConstraint(const TokenCursor& cursor) {
  for (std::string_view word :
       {"primary", "not", "null", "unique", "default", "check", "references", "auto_increment",
        "generated", "constraint", "collate"}) {
    if (cursor.PeekWord(word)) return true;
  }
  return cursor.PeekWord("auto") && cursor.PeekWord("increment", 1);
}

Status CheckColumnName(const std::string& name, int position) {
  bool is_plain = !name.empty();
  for (char c : name) {
    is_plain = is_plain && ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                            (c >= '0' && c <= '9') || c == '_');
  }
  if (is_plain) return {};
  return Status(ErrorKind::InvalidSql,
                "Invalid column name '" + name +
                    "'. Only alphanumeric characters and underscores are allowed.")
      .WithPosition(position);
}

// One constraint of a column, if one follows.
Result<bool> ParseConstraint(TokenCursor& cursor, ColumnSpec* column) {
  if (cursor.AcceptWord("constraint")) {
    KALAM_ASSIGN_OR_RETURN([[maybe_unused]] std::string name, cursor.RawName());
  }
  if (cursor.AcceptWords({"primary", "key"})) {
    column->primary_key = true;
    return true;
  }
  if (cursor.AcceptWords({"not", "null"})) {
    column->nullable = false;
    return true;
  }
  if (cursor.AcceptWord("null")) {
    column->nullable = true;
    return true;
  }
  if (cursor.AcceptWord("unique")) return true;
  if (cursor.AcceptWord("auto_increment") || cursor.AcceptWords({"auto", "increment"})) {
    column->auto_increment = true;
    return true;
  }
  if (cursor.AcceptWord("default")) {
    KALAM_ASSIGN_OR_RETURN(column->default_text, ParseDefaultText(cursor));
    return true;
  }
  if (cursor.AcceptWord("generated")) {
    if (!cursor.AcceptWord("always")) {
      KALAM_RETURN_IF_ERROR(cursor.ExpectWord("by"));
      KALAM_RETURN_IF_ERROR(cursor.ExpectWord("default"));
    }
    KALAM_RETURN_IF_ERROR(cursor.ExpectWord("as"));
    KALAM_RETURN_IF_ERROR(cursor.ExpectWord("identity"));
    if (cursor.AcceptPunctuation("(")) KALAM_RETURN_IF_ERROR(cursor.SkipParentheses());
    column->auto_increment = true;
    return true;
  }
  if (cursor.AcceptWord("check")) {
    KALAM_RETURN_IF_ERROR(cursor.ExpectPunctuation("("));
    KALAM_RETURN_IF_ERROR(cursor.SkipParentheses());
    return true;
  }
  if (cursor.AcceptWord("references")) {
    KALAM_ASSIGN_OR_RETURN([[maybe_unused]] QualifiedName table, cursor.Qualified());
    if (cursor.AcceptPunctuation("(")) KALAM_RETURN_IF_ERROR(cursor.SkipParentheses());
    return true;
  }
  if (cursor.AcceptWord("collate")) {
    KALAM_ASSIGN_OR_RETURN([[maybe_unused]] std::string name, cursor.RawName());
    return true;
  }
  return false;
}

// PRIMARY KEY (..), UNIQUE (..), CHECK (..), FOREIGN KEY ..: true if one was read. Only the primary
// key matters.
Result<bool> ParseTableConstraint(TokenCursor& cursor, CreateTable* table) {
  if (cursor.PeekWord("constraint")) {
    cursor.Skip();
    KALAM_ASSIGN_OR_RETURN([[maybe_unused]] std::string name, cursor.RawName());
  }
  if (cursor.AcceptWords({"primary", "key"})) {
    if (!table->primary_key_columns.empty())
      return cursor.Error("Multiple PRIMARY KEY definitions found");
    KALAM_RETURN_IF_ERROR(cursor.ExpectPunctuation("("));
    do {
      KALAM_ASSIGN_OR_RETURN(std::string name, cursor.RawName());
      table->primary_key_columns.push_back(std::move(name));
    } while (cursor.AcceptPunctuation(","));
    KALAM_RETURN_IF_ERROR(cursor.ExpectPunctuation(")"));
    return true;
  }
  const bool has_list =
      (cursor.PeekWord("unique") || cursor.PeekWord("check")) && cursor.PeekPunctuation("(", 1);
  if (has_list) {
    cursor.Skip();
    cursor.Skip();
    KALAM_RETURN_IF_ERROR(cursor.SkipParentheses());
    return true;
  }
  if (cursor.AcceptWords({"foreign", "key"})) {
    KALAM_RETURN_IF_ERROR(cursor.ExpectPunctuation("("));
    KALAM_RETURN_IF_ERROR(cursor.SkipParentheses());
    while (!cursor.AtEnd() && !cursor.PeekPunctuation(",") && !cursor.PeekPunctuation(")")) {
      const bool opens = cursor.AcceptPunctuation("(");
      if (opens) KALAM_RETURN_IF_ERROR(cursor.SkipParentheses());
      if (!opens) cursor.Skip();
    }
    return true;
  }
  return false;
}

Status ParseTableElements(TokenCursor& cursor, CreateTable* table) {
  KALAM_RETURN_IF_ERROR(cursor.ExpectPunctuation("("));
  while (!cursor.PeekPunctuation(")")) {
    KALAM_ASSIGN_OR_RETURN(bool is_constraint, ParseTableConstraint(cursor, table));
    if (!is_constraint) {
      KALAM_ASSIGN_OR_RETURN(ColumnSpec column, ParseColumn(cursor));
      table->columns.push_back(std::move(column));
    }
    if (!cursor.AcceptPunctuation(",")) break;
  }
  return cursor.ExpectPunctuation(")");
}

Status ParseTableOptions(TokenCursor& cursor, CreateTable* table) {
  KALAM_RETURN_IF_ERROR(cursor.ExpectPunctuation("("));
  while (!cursor.PeekPunctuation(")")) {
    std::string key;
    if (cursor.PeekText()) {
      KALAM_ASSIGN_OR_RETURN(key, cursor.Text());
    } else {
      KALAM_ASSIGN_OR_RETURN(key, cursor.RawName());
    }
    if (!cursor.AcceptOperator("=")) return cursor.SyntaxError();
    KALAM_ASSIGN_OR_RETURN(std::string value, cursor.Scalar());
    table->options.emplace_back(Upper(key), std::move(value));
    if (!cursor.AcceptPunctuation(",")) break;
  }
  return cursor.ExpectPunctuation(")");
}

Status ParseTableBody(TokenCursor& cursor, CreateTable* table) {
  KALAM_RETURN_IF_ERROR(cursor.ExpectWord("create"));
  table->type_keyword = AcceptTypeKeyword(cursor);
  KALAM_RETURN_IF_ERROR(cursor.ExpectWord("table"));
  table->if_not_exists = cursor.AcceptWords({"if", "not", "exists"});
  KALAM_ASSIGN_OR_RETURN(table->table, cursor.Qualified());
  KALAM_RETURN_IF_ERROR(ParseTableElements(cursor, table));
  if (cursor.AcceptWord("using")) {
    KALAM_ASSIGN_OR_RETURN([[maybe_unused]] std::string method, cursor.RawName());
  }
  if (cursor.AcceptWord("with")) KALAM_RETURN_IF_ERROR(ParseTableOptions(cursor, table));
  return cursor.ExpectEnd();
}

Status UnsupportedAlter(const TokenCursor& cursor) {
  return cursor.Error("Unsupported ALTER TABLE operation");
}

Status ParseAlterColumn(TokenCursor& cursor, AlterTable* alter) {
  using Operation = AlterTable::Operation;
  cursor.AcceptWord("column");
  KALAM_ASSIGN_OR_RETURN(alter->column.name, cursor.RawName());
  if (cursor.AcceptWords({"set", "not", "null"})) {
    alter->operation = Operation::kSetNotNull;
  } else if (cursor.AcceptWords({"drop", "not", "null"})) {
    alter->operation = Operation::kDropNotNull;
  } else if (cursor.AcceptWords({"set", "default"})) {
    alter->operation = Operation::kSetDefault;
    KALAM_ASSIGN_OR_RETURN(alter->default_text, ParseDefaultText(cursor));
  } else if (cursor.AcceptWords({"drop", "default"})) {
    alter->operation = Operation::kDropDefault;
  } else {
    return UnsupportedAlter(cursor);
  }
  return {};
}

// [USING metric]
Status ParseMetric(TokenCursor& cursor, AlterTable* alter) {
  if (!cursor.AcceptWord("using")) return {};
  KALAM_ASSIGN_OR_RETURN(std::string metric, cursor.RawName());
  alter->metric = Upper(metric);
  if (alter->metric != "COSINE" && alter->metric != "L2" && alter->metric != "DOT") {
    return cursor.Error("Unsupported vector metric '" + metric + "'. Supported: COSINE, L2, DOT");
  }
  return {};
}

Status ParseIndexOperation(TokenCursor& cursor, AlterTable* alter,
                           AlterTable::Operation operation) {
  alter->operation = operation;
  KALAM_ASSIGN_OR_RETURN(alter->column.name, cursor.RawName());
  return operation == AlterTable::Operation::kDropVectorIndex ? Status()
                                                              : ParseMetric(cursor, alter);
}

// CREATE [VECTOR] INDEX [IF NOT EXISTS] [name] ON table [USING metric] (column) [USING metric], and
// DROP [VECTOR] INDEX [IF EXISTS] [namespace.]name. The cursor stands on the first word.
Result<Statement> ParseIndexStatement(TokenCursor& cursor) {
  AlterTable alter;
  alter.is_standalone = true;
  const bool create = cursor.PeekWord("create");
  alter.operation =
      create ? AlterTable::Operation::kCreateVectorIndex : AlterTable::Operation::kDropVectorIndex;
  cursor.Skip();
  cursor.AcceptWord("vector");
  KALAM_RETURN_IF_ERROR(cursor.ExpectWord("index"));
  if (create) {
    alter.if_not_exists = cursor.AcceptWords({"if", "not", "exists"});
    if (!cursor.PeekWord("on")) {
      KALAM_ASSIGN_OR_RETURN(alter.index_name, cursor.Name());
    }
    KALAM_RETURN_IF_ERROR(cursor.ExpectWord("on"));
    KALAM_ASSIGN_OR_RETURN(alter.table, cursor.Qualified());
    KALAM_RETURN_IF_ERROR(ParseMetric(cursor, &alter));
    KALAM_RETURN_IF_ERROR(cursor.ExpectPunctuation("("));
    KALAM_ASSIGN_OR_RETURN(alter.column.name, cursor.RawName());
    if (cursor.PeekPunctuation(",")) {
      return cursor.Error("An index is of one column; primary keys have theirs already");
    }
    KALAM_RETURN_IF_ERROR(cursor.ExpectPunctuation(")"));
    if (alter.metric.empty()) KALAM_RETURN_IF_ERROR(ParseMetric(cursor, &alter));
  } else {
    alter.if_exists = cursor.AcceptWords({"if", "exists"});
    KALAM_ASSIGN_OR_RETURN(QualifiedName name, cursor.Qualified());
    alter.table.namespace_id = std::move(name.namespace_id);
    alter.index_name = std::move(name.name);
  }
  KALAM_RETURN_IF_ERROR(cursor.ExpectEnd());
  return MakeStatement(StatementKind::kAlterTable, std::move(alter));
}

Status ParseAlterSet(TokenCursor& cursor, AlterTable* alter) {
  alter->operation = AlterTable::Operation::kSetAccessLevel;
  std::string level;
  if (cursor.AcceptWords({"access", "level"})) {
    KALAM_ASSIGN_OR_RETURN(level, cursor.Scalar());
  } else if (cursor.AcceptWords({"max_buffer"})) {
    cursor.AcceptOperator("=");
    alter->operation = AlterTable::Operation::kSetMaxBuffer;
    KALAM_ASSIGN_OR_RETURN(alter->max_buffer, cursor.Scalar());
    return {};
  } else if (cursor.AcceptWord("tblproperties")) {
    KALAM_RETURN_IF_ERROR(cursor.ExpectPunctuation("("));
    if (cursor.AcceptWord("max_buffer")) {
      if (!cursor.AcceptOperator("=")) return cursor.SyntaxError();
      alter->operation = AlterTable::Operation::kSetMaxBuffer;
      KALAM_ASSIGN_OR_RETURN(alter->max_buffer, cursor.Scalar());
      return cursor.ExpectPunctuation(")");
    }
    KALAM_RETURN_IF_ERROR(cursor.ExpectWord("access_level"));
    if (!cursor.AcceptOperator("=")) return cursor.SyntaxError();
    KALAM_ASSIGN_OR_RETURN(level, cursor.Scalar());
    KALAM_RETURN_IF_ERROR(cursor.ExpectPunctuation(")"));
  } else {
    return UnsupportedAlter(cursor);
  }
  alter->access_level = Upper(level);
  return {};
}

Status ParseAlterOperation(TokenCursor& cursor, AlterTable* alter) {
  using Operation = AlterTable::Operation;
  for (std::string_view word : {"constraint", "primary", "unique", "check", "foreign"}) {
    if (cursor.PeekWord(word, 1)) return UnsupportedAlter(cursor);
  }
  if (cursor.AcceptWord("add")) {
    cursor.AcceptWord("column");
    alter->operation = Operation::kAddColumn;
    KALAM_ASSIGN_OR_RETURN(alter->column, ParseColumn(cursor));
    return {};
  }
  if (cursor.AcceptWord("modify")) {
    cursor.AcceptWord("column");
    alter->operation = Operation::kModifyColumn;
    KALAM_ASSIGN_OR_RETURN(alter->column, ParseColumn(cursor));
    return {};
  }
  if (cursor.AcceptWords({"create", "vector", "index"}) ||
      cursor.AcceptWords({"create", "index"})) {
    return ParseIndexOperation(cursor, alter, Operation::kCreateVectorIndex);
  }
  if (cursor.AcceptWords({"drop", "vector", "index"}) || cursor.AcceptWords({"drop", "index"})) {
    return ParseIndexOperation(cursor, alter, Operation::kDropVectorIndex);
  }
  if (cursor.AcceptWord("drop")) {
    cursor.AcceptWord("column");
    alter->operation = Operation::kDropColumn;
    KALAM_ASSIGN_OR_RETURN(alter->column.name, cursor.RawName());
    return {};
  }
  if (cursor.AcceptWord("alter")) return ParseAlterColumn(cursor, alter);
  if (cursor.AcceptWord("rename")) {
    if (cursor.PeekWord("to") && !cursor.PeekWord("to", 1)) return UnsupportedAlter(cursor);
    cursor.AcceptWord("column");
    alter->operation = Operation::kRenameColumn;
    KALAM_ASSIGN_OR_RETURN(alter->column.name, cursor.RawName());
    KALAM_RETURN_IF_ERROR(cursor.ExpectWord("to"));
    KALAM_ASSIGN_OR_RETURN(alter->new_name, cursor.RawName());
    return {};
  }
  if (cursor.AcceptWord("set")) return ParseAlterSet(cursor, alter);
  return UnsupportedAlter(cursor);
}

}  // namespace

Result<TypeSpelling> ParseTypeSpelling(TokenCursor& cursor) {
  TypeSpelling type;
  KALAM_ASSIGN_OR_RETURN(std::string name, cursor.Name());
  type.name = std::move(name);
  for (std::string_view word : {"precision", "varying", "unsigned"}) {
    if (cursor.AcceptWord(word)) type.name.append(" ").append(word);
  }
  if (cursor.AcceptPunctuation("(")) {
    const bool is_number = cursor.token().kind == TokenKind::kInteger;
    for (int64_t& modifier : type.modifiers) {
      if (!is_number) break;
      KALAM_ASSIGN_OR_RETURN(modifier, cursor.Integer());
      if (!cursor.AcceptPunctuation(",")) break;
    }
    // ENUM('a', 'b') and the like: what it lists does not matter, its values are text.
    if (is_number) {
      KALAM_RETURN_IF_ERROR(cursor.ExpectPunctuation(")"));
    } else {
      KALAM_RETURN_IF_ERROR(cursor.SkipParentheses());
    }
  }
  if (cursor.AcceptWords({"with", "time", "zone"})) type.name.append(" with time zone");
  if (cursor.AcceptWords({"without", "time", "zone"})) type.name.append(" without time zone");
  while (cursor.AcceptPunctuation("[")) {
    if (cursor.token().kind == TokenKind::kInteger) cursor.Skip();
    KALAM_RETURN_IF_ERROR(cursor.ExpectPunctuation("]"));
    type.is_array = true;
  }
  return type;
}

Result<std::string> ParseDefaultText(TokenCursor& cursor) {
  const int begin = cursor.token().begin;
  int end = begin;
  int depth = 0;
  for (bool first = true; !cursor.AtEnd(); first = false) {
    if (depth == 0 && (cursor.PeekPunctuation(",") || cursor.PeekPunctuation(")"))) break;
    if (depth == 0 && !first && BeginsConstraint(cursor)) break;
    if (cursor.PeekPunctuation("(")) ++depth;
    if (cursor.PeekPunctuation(")")) --depth;
    end = cursor.token().end;
    cursor.Skip();
  }
  if (end == begin) return cursor.SyntaxError();
  return std::string(
      cursor.source().substr(static_cast<size_t>(begin), static_cast<size_t>(end - begin)));
}

Result<ColumnSpec> ParseColumn(TokenCursor& cursor) {
  ColumnSpec column;
  column.position = cursor.token().begin;
  const TokenKind kind = cursor.token().kind;
  if (kind == TokenKind::kJunkNumber || kind == TokenKind::kInteger) {
    column.name = cursor.text();
    cursor.Skip();
  } else {
    KALAM_ASSIGN_OR_RETURN(column.name, cursor.RawName());
  }
  KALAM_RETURN_IF_ERROR(CheckColumnName(column.name, column.position));
  KALAM_ASSIGN_OR_RETURN(column.type, ParseTypeSpelling(cursor));
  column.auto_increment = IsSerialTypeName(column.type.name);
  for (;;) {
    KALAM_ASSIGN_OR_RETURN(bool is_constraint, ParseConstraint(cursor, &column));
    if (!is_constraint) return column;
  }
}

Result<Statement> ParseCreateTable(TokenCursor& cursor) {
  CreateTable table;
  Status status = ParseTableBody(cursor, &table);
  if (!status.ok()) return std::move(status).WithContext("Invalid CREATE TABLE statement");
  return MakeStatement(StatementKind::kCreateTable, std::move(table));
}

Result<Statement> ParseAlterTable(TokenCursor& cursor) {
  if (!cursor.PeekWord("alter")) return ParseIndexStatement(cursor);
  AlterTable alter;
  cursor.Skip();
  AcceptTypeKeyword(cursor);
  KALAM_RETURN_IF_ERROR(cursor.ExpectWord("table"));
  KALAM_ASSIGN_OR_RETURN(alter.table, cursor.Qualified());
  KALAM_RETURN_IF_ERROR(ParseAlterOperation(cursor, &alter));
  if (cursor.PeekPunctuation(",")) {
    return cursor.Error("Only one ALTER TABLE operation is supported per statement");
  }
  if (!cursor.AtEnd()) return UnsupportedAlter(cursor);
  return MakeStatement(StatementKind::kAlterTable, std::move(alter));
}

Result<Statement> ParseDropTable(TokenCursor& cursor) {
  DropTable drop;
  cursor.Skip();
  drop.type_keyword = AcceptTypeKeyword(cursor);
  KALAM_RETURN_IF_ERROR(cursor.ExpectWord("table"));
  drop.if_exists = cursor.AcceptWords({"if", "exists"});
  KALAM_ASSIGN_OR_RETURN(drop.table, cursor.Qualified());
  KALAM_RETURN_IF_ERROR(cursor.ExpectEnd());
  return MakeStatement(StatementKind::kDropTable, std::move(drop));
}

Result<Statement> ParseViewStatement(TokenCursor& cursor, StatementKind kind) {
  cursor.Skip();
  if (kind == StatementKind::kDropView) {
    DropView drop;
    KALAM_RETURN_IF_ERROR(cursor.ExpectWord("view"));
    drop.if_exists = cursor.AcceptWords({"if", "exists"});
    KALAM_ASSIGN_OR_RETURN(drop.view, cursor.Qualified());
    KALAM_RETURN_IF_ERROR(cursor.ExpectEnd());
    return MakeStatement(kind, std::move(drop));
  }
  CreateView view;
  view.or_replace = cursor.AcceptWords({"or", "replace"});
  if (cursor.PeekWord("materialized"))
    return cursor.Error("MATERIALIZED VIEWS are not supported yet");
  KALAM_RETURN_IF_ERROR(cursor.ExpectWord("view"));
  KALAM_ASSIGN_OR_RETURN(view.view, cursor.Qualified());
  if (cursor.AcceptPunctuation("(")) {
    do {
      KALAM_ASSIGN_OR_RETURN(std::string name, cursor.Name());
      view.column_names.push_back(std::move(name));
    } while (cursor.AcceptPunctuation(","));
    KALAM_RETURN_IF_ERROR(cursor.ExpectPunctuation(")"));
  }
  KALAM_RETURN_IF_ERROR(cursor.ExpectWord("as"));
  view.query_text = cursor.Rest();
  KALAM_ASSIGN_OR_RETURN(Statement inner, ParseInner(cursor.source(), cursor.Rest()));
  auto* query = std::get_if<QueryPtr>(&inner.body);
  if (query == nullptr) return cursor.Error("a view is made of a SELECT");
  if (inner.parameter_count > 0) return cursor.Error("a view cannot have parameters");
  view.query = std::move(*query);
  return MakeStatement(kind, std::move(view));
}

}  // namespace kalam::sql

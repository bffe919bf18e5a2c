// Statements that hold other text: EXPLAIN, EXECUTE AS USER, SUBSCRIBE TO, and the families kept as
// words.
#include "sql/grammar.h"
#include "sql/kalam_statements.h"
#include "sql/parser.h"

namespace kalam::sql {
namespace {

constexpr std::string_view kSelectAll = "SELECT * FROM ";

std::string Upper(std::string_view text) {
  std::string upper(text);
  for (char& c : upper) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 32);
  }
  return upper;
}

Status InvalidEnvelope(std::string message, int position = -1) {
  return Status(ErrorKind::InvalidInput, "EXECUTE AS USER " + std::move(message))
      .WithPosition(position);
}

// The index of the `OPTIONS (` that ends a subscription, counted from the cursor; 0 when there is
// none.
size_t FindOptions(const TokenCursor& cursor) {
  size_t found = 0;
  int depth = 0;
  for (size_t ahead = 0; cursor.token(ahead).kind != TokenKind::kEnd; ++ahead) {
    if (cursor.PeekPunctuation("(", ahead)) ++depth;
    if (cursor.PeekPunctuation(")", ahead)) --depth;
    const bool begins = depth == 0 && ahead > 0 && cursor.PeekWord("options", ahead) &&
                        cursor.PeekPunctuation("(", ahead + 1);
    if (begins) found = ahead;
  }
  return found;
}

Status ParseSubscribeOptions(TokenCursor& cursor, SubscribeStatement* subscribe) {
  KALAM_RETURN_IF_ERROR(cursor.ExpectWord("options"));
  KALAM_RETURN_IF_ERROR(cursor.ExpectPunctuation("("));
  while (!cursor.PeekPunctuation(")")) {
    const int position = cursor.token().begin;
    KALAM_ASSIGN_OR_RETURN(std::string key, cursor.Name());
    if (key == "from_seq_id") key = "from";
    if (key != "last_rows" && key != "batch_size" && key != "from") {
      return Status(ErrorKind::InvalidSql, "Unknown subscription option: '" + key +
                                               "'. Valid options are: last_rows, batch_size, from")
          .WithPosition(position);
    }
    if (!cursor.AcceptOperator("=")) return cursor.SyntaxError();
    KALAM_ASSIGN_OR_RETURN(int64_t value, cursor.Integer());
    if (value < 0)
      return Status(ErrorKind::InvalidSql, "'" + key + "' cannot be negative")
          .WithPosition(position);
    subscribe->options.emplace_back(std::move(key), value);
    if (!cursor.AcceptPunctuation(",")) break;
  }
  KALAM_RETURN_IF_ERROR(cursor.ExpectPunctuation(")"));
  return cursor.ExpectEnd();
}

// The one table of `SELECT .. FROM t`, when it is that simple; other shapes are refused when the
// query is compiled.
void ReadTable(const Query& query, SubscribeStatement* subscribe) {
  if (query.from == nullptr || query.from->kind != FromKind::kTable) return;
  const std::vector<std::string>& parts = query.from->table.parts;
  subscribe->table.name = parts.back();
  if (parts.size() > 1) subscribe->table.namespace_id = parts[parts.size() - 2];
  subscribe->table_position = query.from->table.position;
}

bool IsStandard(StatementKind kind) {
  return kind == StatementKind::kSelect || kind == StatementKind::kInsert ||
         kind == StatementKind::kUpdate || kind == StatementKind::kDelete;
}

// The feature whose words these are; empty when it is none of ours.
std::string_view FeatureOf(const TokenCursor& cursor) {
  const bool is_ddl = cursor.PeekWord("create") || cursor.PeekWord("alter") ||
                      cursor.PeekWord("drop") || cursor.PeekWord("clear");
  if (is_ddl) return cursor.PeekWord("topic", 1) ? "topics" : "";
  if (cursor.PeekWord("consume") || cursor.PeekWord("ack")) return "topics";
  if (cursor.PeekWord("backup")) return "backup";
  if (cursor.PeekWord("restore")) return "restore";
  if (cursor.PeekWord("export") && cursor.PeekWord("user", 1) && cursor.PeekWord("data", 2))
    return "export";
  if (cursor.PeekWord("export") && cursor.PeekWord("namespace", 1)) return "export";
  if (cursor.PeekWord("cluster")) return "cluster";
  return "";
}

Status CheckClusterCommand(const TokenCursor& cursor) {
  if (cursor.PeekWord("list", 1) || cursor.PeekWord("ls", 1) || cursor.PeekWord("status", 1)) {
    const std::string command = Upper(cursor.text(1));
    return cursor.Error(
        "CLUSTER " + command +
        " is a CLI-only command. Use \\cluster list in kalam, or query system.cluster and "
        "system.cluster_groups directly.");
  }
  if (cursor.PeekWord("leave", 1)) return cursor.Error("CLUSTER LEAVE is not supported yet");
  return {};
}

}  // namespace

Result<Statement> ParseInner(std::string_view text, std::string_view inner) {
  // Blanks in place of what stands before keep the positions right.
  std::string padded(static_cast<size_t>(inner.data() - text.data()), ' ');
  padded.append(inner);
  return ParseStatement(padded);
}

Result<Statement> ParseExplain(TokenCursor& cursor) {
  Explain explain;
  cursor.Skip();
  explain.analyze = cursor.AcceptWord("analyze");
  explain.verbose = cursor.AcceptWord("verbose");
  std::string_view rest = cursor.Rest();
  if (!IsStandard(ClassifyStatement(rest))) {
    return cursor.AtEnd() ? cursor.SyntaxError()
                          : cursor.Error("EXPLAIN takes a SELECT, INSERT, UPDATE or DELETE");
  }
  explain.inner_text = rest;
  explain.inner_offset = cursor.token().begin;
  KALAM_ASSIGN_OR_RETURN(Statement inner, ParseInner(cursor.source(), rest));
  const int parameter_count = inner.parameter_count;
  explain.inner = std::make_unique<Statement>(std::move(inner));
  Statement statement = MakeStatement(StatementKind::kExplain, std::move(explain));
  statement.parameter_count = parameter_count;
  return statement;
}

Result<ExecuteAs> ParseExecuteAsEnvelope(std::string_view text) {
  Result<TokenCursor> opened = TokenCursor::Open(text);
  if (!opened.ok()) return InvalidEnvelope("cannot be read: " + opened.status().message());
  TokenCursor& cursor = *opened;
  ExecuteAs envelope;
  if (!cursor.AcceptWords({"execute", "as", "user"}))
    return InvalidEnvelope("expects EXECUTE AS USER 'id' (statement)");
  if (cursor.PeekPunctuation("("))
    return InvalidEnvelope("username cannot be empty", cursor.token().begin);
  Result<std::string> user_id = cursor.Id();
  if (!user_id.ok() || user_id->empty())
    return InvalidEnvelope("username cannot be empty", cursor.token().begin);
  envelope.user_id = std::move(*user_id);
  if (!cursor.AcceptPunctuation("(")) {
    return InvalidEnvelope("must wrap SQL in parentheses", cursor.token().begin);
  }
  const Token first = cursor.token();
  Token last = first;
  for (int depth = 1;; cursor.Skip()) {
    if (cursor.AtEnd()) return InvalidEnvelope("missing closing ')'", cursor.token().begin);
    if (cursor.PeekPunctuation("(")) ++depth;
    if (cursor.PeekPunctuation(")") && --depth == 0) break;
    last = cursor.token();
  }
  if (cursor.token().begin == first.begin) {
    return InvalidEnvelope("requires a non-empty inner SQL statement", first.begin);
  }
  cursor.Skip();
  if (!cursor.AtEnd())
    return InvalidEnvelope("must contain exactly one wrapped SQL statement", cursor.token().begin);
  std::string_view inner =
      text.substr(static_cast<size_t>(first.begin), static_cast<size_t>(last.end - first.begin));
  Result<std::vector<StatementText>> statements = SplitStatements(inner);
  if (!statements.ok())
    return InvalidEnvelope("requires a non-empty inner SQL statement", first.begin);
  if (statements->size() > 1)
    return InvalidEnvelope("can only wrap a single SQL statement", first.begin);
  if (ClassifyStatement(inner) == StatementKind::kExecuteAs)
    return InvalidEnvelope("cannot be nested", first.begin);
  envelope.inner_text = (*statements)[0].text;
  envelope.inner_offset = first.begin + (*statements)[0].offset;
  return envelope;
}

Result<Statement> ParseExecuteAs(std::string_view text) {
  KALAM_ASSIGN_OR_RETURN(ExecuteAs envelope, ParseExecuteAsEnvelope(text));
  KALAM_ASSIGN_OR_RETURN(Statement inner,
                         ParseInner(text, text.substr(static_cast<size_t>(envelope.inner_offset),
                                                      envelope.inner_text.size())));
  const int parameter_count = inner.parameter_count;
  envelope.inner = std::make_unique<Statement>(std::move(inner));
  Statement statement = MakeStatement(StatementKind::kExecuteAs, std::move(envelope));
  statement.parameter_count = parameter_count;
  return statement;
}

Result<Statement> ParseSubscribe(TokenCursor& cursor) {
  SubscribeStatement subscribe;
  cursor.Skip();
  KALAM_RETURN_IF_ERROR(cursor.ExpectWord("to"));
  const size_t options = FindOptions(cursor);
  std::string_view source = cursor.Rest();
  if (options > 0) {
    const int length = cursor.token(options - 1).end - cursor.token().begin;
    source = source.substr(0, static_cast<size_t>(length));
  }
  if (source.empty()) return cursor.SyntaxError();
  const bool is_select = cursor.PeekWord("select") || cursor.PeekWord("with");
  subscribe.select_text = is_select ? std::string(source) : std::string(kSelectAll).append(source);
  Result<Statement> parsed =
      is_select ? ParseInner(cursor.source(), source) : ParseStatement(subscribe.select_text);
  if (!parsed.ok() && !is_select && parsed.status().position() >= 0) {
    // Its position counts from the SELECT that was put in front.
    Status status = std::move(parsed).status();
    const int position =
        status.position() - static_cast<int>(kSelectAll.size()) + cursor.token().begin;
    return std::move(status).WithPosition(std::max(position, 0));
  }
  KALAM_ASSIGN_OR_RETURN(Statement select, std::move(parsed));
  auto* query = std::get_if<QueryPtr>(&select.body);
  if (query == nullptr) return cursor.Error("a subscription is made of a SELECT");
  ReadTable(**query, &subscribe);
  // The position of a SELECT that stood in the statement counts from the statement's begin.
  if (is_select && subscribe.table_position >= 0) {
    subscribe.table_position -= static_cast<int>(source.data() - cursor.source().data());
  }
  if (options > 0) {
    for (size_t i = 0; i < options; ++i) cursor.Skip();
    KALAM_RETURN_IF_ERROR(ParseSubscribeOptions(cursor, &subscribe));
  }
  return MakeStatement(StatementKind::kSubscribe, std::move(subscribe));
}

Result<Statement> ParseOther(TokenCursor& cursor) {
  const std::string_view feature = FeatureOf(cursor);
  if (feature.empty()) {
    KALAM_ASSIGN_OR_RETURN(Statement statement, ParseStandard(cursor.source()));
    return cursor.Error("Unsupported statement type: " + Upper(cursor.text()));
  }
  if (feature == "cluster") KALAM_RETURN_IF_ERROR(CheckClusterCommand(cursor));
  if (feature == "export" && cursor.PeekWord("user", 1) &&
      cursor.token(3).kind != TokenKind::kEnd) {
    for (int skipped = 0; skipped < 3; ++skipped) cursor.Skip();
    return cursor.SyntaxError();
  }
  OtherStatement other;
  other.feature = feature;
  other.text = cursor.source();
  for (; !cursor.AtEnd(); cursor.Skip()) {
    other.words.push_back(cursor.token().kind == TokenKind::kWord ? Upper(cursor.text())
                                                                  : std::string(cursor.text()));
  }
  // `PURGE --upto n`: what looks like a comment is a flag here.
  if (size_t flag = other.text.find("--"); feature == "cluster" && flag != std::string::npos) {
    std::string rest = other.text.substr(flag + 2);
    for (size_t begin = 0; begin < rest.size();) {
      size_t end = std::min(rest.find_first_of(" \t\r\n", begin), rest.size());
      if (end > begin) other.words.push_back(Upper(rest.substr(begin, end - begin)));
      begin = end + 1;
    }
  }
  return MakeStatement(StatementKind::kOther, std::move(other));
}

}  // namespace kalam::sql

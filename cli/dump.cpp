// Statements that make a namespace again, and running them.
#include "dump.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>
#include <vector>

#include "shell.h"
#include "sql/parser.h"
#include "types/datetime.h"

namespace kalam::cli {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kRowsPerPage = 1000;
constexpr size_t kInsertBytesMax = 128 << 10;
constexpr size_t kRowsPerInsertMax = 500;
constexpr int64_t kDefaultRetentionHours = 168;

std::string Quoted(std::string_view text) {
  std::string quoted = "'";
  for (const char c : text) {
    if (c == '\'') quoted += '\'';
    quoted += c;
  }
  return quoted + "'";
}

/// A name as it can stand in a statement.
std::string Name(std::string_view name) {
  std::string quoted = "\"";
  for (const char c : name) {
    if (c == '"') quoted += '"';
    quoted += c;
  }
  return quoted + "\"";
}

std::string TypeName(const Json& type) {
  if (type.is_string()) return type.get<std::string>();
  if (type.is_object() && !type.empty()) return type.begin().key();
  return "";
}

struct Rows {
  std::vector<std::string> names;
  std::vector<Json> types;
  Json rows = Json::array();

  size_t Index(std::string_view name) const {
    return static_cast<size_t>(std::find(names.begin(), names.end(), name) - names.begin());
  }
};

/// The rows of a statement as the server wrote them.
Result<Rows> Ask(Session& session, const std::string& sql) {
  KALAM_ASSIGN_OR_RETURN(const Answer answer, session.Run(sql));
  if (!answer.ok) {
    return Status(ErrorKind::InvalidInput,
                  fmt::format("{}: {}\n  {}", answer.error_code, answer.error_message, sql));
  }
  const Json body = Json::parse(answer.raw, nullptr, false);
  Rows found;
  if (!body.is_object() || !body.contains("results") || body["results"].empty()) return found;
  const Json& result = body["results"].back();
  if (!result.contains("schema") || !result.contains("rows")) return found;
  for (const Json& column : result["schema"]) {
    found.names.push_back(column.value("name", std::string()));
    found.types.push_back(column.value("data_type", Json()));
  }
  found.rows = result["rows"];
  return found;
}

std::string Text(const Json& cell) { return cell.is_string() ? cell.get<std::string>() : ""; }

struct Column {
  std::string name, type, default_text;
  bool is_nullable = true, is_primary_key = false;
};

struct Table {
  std::string name, type;
  Json options;
  std::vector<Column> columns;

  const Column* primary_key() const {
    const auto found = std::find_if(columns.begin(), columns.end(),
                                    [](const Column& column) { return column.is_primary_key; });
    return found == columns.end() ? nullptr : &*found;
  }
};

/// The options of CREATE TABLE that make the table what it is.
std::string WithClause(const Table& table) {
  std::string type = table.type;
  for (char& c : type) c = static_cast<char>(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
  std::string clause = "TYPE = " + Quoted(type);
  const Json& options = table.options;
  if (const std::string storage = options.value("storage_id", std::string());
      !storage.empty() && storage != "local") {
    clause += ", STORAGE_ID = " + Quoted(storage);
  }
  if (options.contains("flush_policy") && options["flush_policy"].is_object()) {
    const Json& policy = options["flush_policy"];
    std::string text;
    if (policy.contains("row_limit")) text = "rows:" + policy["row_limit"].dump();
    if (policy.contains("interval_seconds")) {
      text += (text.empty() ? "interval:" : ",interval:") + policy["interval_seconds"].dump();
    }
    if (!text.empty()) clause += ", FLUSH_POLICY = " + Quoted(text);
  }
  const int64_t retention = options.value("deleted_retention_hours", kDefaultRetentionHours);
  if (retention != kDefaultRetentionHours && table.type != "stream") {
    clause += fmt::format(", DELETED_RETENTION_HOURS = {}", retention);
  }
  if (const int64_t ttl = options.value("ttl_seconds", int64_t{0}); ttl > 0) {
    clause += fmt::format(", TTL_SECONDS = {}", ttl);
  }
  if (const int64_t rows = options.value("max_buffer", int64_t{0}); rows > 0) {
    clause += fmt::format(", MAX_BUFFER = {}", rows);
  }
  if (const std::string access = options.value("access_level", std::string()); !access.empty()) {
    clause += ", ACCESS_LEVEL = " + Quoted(access);
  }
  return clause;
}

class Dumper {
 public:
  Dumper(Session& session, const DumpOptions& options, std::FILE* output)
      : session_(session), options_(options), output_(output) {}

  Status Run() {
    KALAM_RETURN_IF_ERROR(FindTables());
    KALAM_RETURN_IF_ERROR(FindUsers());
    KALAM_RETURN_IF_ERROR(Put(fmt::format(
        "-- The namespace {} of {}.\nCREATE NAMESPACE IF NOT EXISTS {};\n", options_.namespace_id,
        session_.endpoint().Url(), Name(options_.namespace_id))));
    for (const Table& table : tables_) KALAM_RETURN_IF_ERROR(PutTable(table));
    if (!options_.schema_only) {
      for (const Table& table : tables_) KALAM_RETURN_IF_ERROR(PutRows(table));
    }
    KALAM_RETURN_IF_ERROR(PutViews());
    if (std::fflush(output_) == 0) return {};
    return Status(ErrorKind::StorageIo, std::string("Cannot write: ") + std::strerror(errno));
  }

 private:
  Status Put(std::string_view text) {
    if (std::fwrite(text.data(), 1, text.size(), output_) == text.size()) return {};
    return Status(ErrorKind::StorageIo, std::string("Cannot write: ") + std::strerror(errno));
  }
  std::string Qualified(const Table& table) const {
    return Name(options_.namespace_id) + "." + Name(table.name);
  }

  Status FindTables() {
    KALAM_ASSIGN_OR_RETURN(const Rows there, Ask(session_,
                                                 "SELECT namespace_id FROM system.namespaces WHERE "
                                                 "namespace_id = " +
                                                     Quoted(options_.namespace_id)));
    if (there.rows.empty()) {
      return Status(ErrorKind::NotFound, "Namespace '" + options_.namespace_id + "' not found");
    }
    KALAM_ASSIGN_OR_RETURN(const Rows tables,
                           Ask(session_,
                               "SELECT table_name, table_type, options FROM system.tables WHERE "
                               "namespace_id = " +
                                   Quoted(options_.namespace_id) + " ORDER BY table_name"));
    for (const Json& row : tables.rows) {
      Table table{.name = Text(row[0]),
                  .type = Text(row[1]),
                  .options = Json::parse(Text(row[2]), nullptr, false),
                  .columns = {}};
      if (!table.options.is_object()) table.options = Json::object();
      KALAM_RETURN_IF_ERROR(FindColumns(&table));
      tables_.push_back(std::move(table));
    }
    return {};
  }

  Status FindColumns(Table* table) {
    KALAM_ASSIGN_OR_RETURN(const Rows found, Ask(session_, "DESCRIBE TABLE " + Qualified(*table)));
    const size_t name = found.Index("column_name"), type = found.Index("data_type"),
                 nullable = found.Index("is_nullable"), key = found.Index("is_primary_key"),
                 text = found.Index("column_default");
    for (const Json& row : found.rows) {
      if (row.size() <= std::max({name, type, nullable, key, text})) {
        return Status(ErrorKind::InvalidInput, "DESCRIBE TABLE answers in a way that is unknown");
      }
      if (Text(row[name]).starts_with("_")) continue;  // the server's own
      table->columns.push_back({.name = Text(row[name]),
                                .type = Text(row[type]),
                                .default_text = Text(row[text]),
                                .is_nullable = row[nullable] == true,
                                .is_primary_key = row[key] == true});
    }
    return {};
  }

  Status FindUsers() {
    KALAM_ASSIGN_OR_RETURN(const Rows found,
                           Ask(session_, "SELECT user_id FROM system.users ORDER BY user_id"));
    for (const Json& row : found.rows) users_.insert(Text(row[0]));
    for (size_t begin = 0; begin < options_.users.size();) {
      const size_t end = std::min(options_.users.find(',', begin), options_.users.size());
      if (end > begin) users_.insert(options_.users.substr(begin, end - begin));
      begin = end + 1;
    }
    return {};
  }

  Status PutTable(const Table& table) {
    std::string columns;
    for (const Column& column : table.columns) {
      columns +=
          fmt::format("{}  {} {}", columns.empty() ? "" : ",\n", Name(column.name), column.type);
      if (column.is_primary_key) columns += " PRIMARY KEY";
      if (!column.is_nullable && !column.is_primary_key) columns += " NOT NULL";
      if (!column.default_text.empty()) columns += " DEFAULT " + column.default_text;
    }
    return Put(fmt::format("CREATE TABLE {} (\n{}\n) WITH ({});\n", Qualified(table), columns,
                           WithClause(table)));
  }

  Status PutRows(const Table& table) {
    // Rows of streams are gone before long.
    if (table.type == "stream" || table.primary_key() == nullptr) return {};
    if (table.type != "user") return PutRowsOf(table, "");
    for (const std::string& user : users_) KALAM_RETURN_IF_ERROR(PutRowsOf(table, user));
    return {};
  }

  /// `statement` as that user; as ourselves when empty.
  static std::string As(const std::string& user, const std::string& statement) {
    return user.empty() ? statement : "EXECUTE AS USER " + Quoted(user) + " (" + statement + ")";
  }

  Status PutRowsOf(const Table& table, const std::string& user) {
    std::string names, selected;
    size_t key = 0;
    for (size_t i = 0; i < table.columns.size(); ++i) {
      const Column& column = table.columns[i];
      const std::string name = Name(column.name);
      names += (i > 0 ? ", " : "") + name;
      // JSON has no way to write what is not a number.
      const bool may_be_infinite = column.type == "DOUBLE" || column.type == "FLOAT";
      selected +=
          (i > 0 ? ", " : "") + (may_be_infinite ? "CAST(" + name + " AS TEXT) AS " + name : name);
      if (column.is_primary_key) key = i;
    }
    const std::string key_name = Name(table.columns[key].name);
    const std::string insert = fmt::format("INSERT INTO {} ({}) VALUES", Qualified(table), names);
    std::string after;
    while (true) {
      const std::string where = after.empty() ? "" : fmt::format(" WHERE {} > {}", key_name, after);
      KALAM_ASSIGN_OR_RETURN(
          const Rows page,
          Ask(session_, As(user, fmt::format("SELECT {} FROM {}{} ORDER BY {} LIMIT {}", selected,
                                             Qualified(table), where, key_name, kRowsPerPage))));
      if (page.rows.empty()) return {};
      KALAM_RETURN_IF_ERROR(PutInserts(page, insert, user));
      after = SqlLiteral(page.rows.back()[key], page.types[key]);
    }
  }

  Status PutInserts(const Rows& page, const std::string& insert, const std::string& user) {
    std::string values;
    size_t count = 0;
    const auto put = [&] {
      const std::string statement = As(user, insert + values) + ";\n";
      values.clear();
      count = 0;
      return Put(statement);
    };
    for (const Json& row : page.rows) {
      std::string cells;
      for (size_t i = 0; i < row.size(); ++i) {
        cells += (i > 0 ? ", " : "") + SqlLiteral(row[i], page.types[i]);
      }
      values += fmt::format("{}\n  ({})", count > 0 ? "," : "", cells);
      if (++count == kRowsPerInsertMax || values.size() > kInsertBytesMax) {
        KALAM_RETURN_IF_ERROR(put());
      }
    }
    return count > 0 ? put() : Status::Ok();
  }

  Status PutViews() {
    KALAM_ASSIGN_OR_RETURN(const Rows views,
                           Ask(session_,
                               "SELECT table_name, definition FROM information_schema.views WHERE "
                               "table_schema = " +
                                   Quoted(options_.namespace_id) + " ORDER BY table_name"));
    if (views.rows.empty()) return {};
    // Their unqualified names are of this namespace.
    KALAM_RETURN_IF_ERROR(Put("USE " + Name(options_.namespace_id) + ";\n"));
    for (const Json& row : views.rows) {
      KALAM_RETURN_IF_ERROR(
          Put(fmt::format("CREATE VIEW {}.{} AS {};\n", Name(options_.namespace_id),
                          Name(Text(row[0])), Text(row[1]))));
    }
    return {};
  }

  Session& session_;
  const DumpOptions& options_;
  std::FILE* const output_;
  std::vector<Table> tables_;
  std::set<std::string> users_;
};

/// The statements of a dump, one after the other.
class Loader {
 public:
  explicit Loader(Session& session) : session_(session) {}

  Status Add(const std::string& text) {
    const Result<std::vector<sql::StatementText>> pieces = sql::SplitStatements(text);
    if (pieces.status().Is(ErrorKind::EmptySql)) return {};
    KALAM_RETURN_IF_ERROR(pieces.status());
    for (const sql::StatementText& piece : *pieces) KALAM_RETURN_IF_ERROR(Run(piece.text));
    return {};
  }
  int64_t count() const { return count_; }

 private:
  Status Run(std::string_view statement) {
    ++count_;
    if (sql::ClassifyStatement(statement) == sql::StatementKind::kUseNamespace) {
      use_ = std::string(statement) + ";\n";
      return {};
    }
    KALAM_ASSIGN_OR_RETURN(const Answer answer, session_.Run(use_ + std::string(statement)));
    if (answer.ok) return {};
    return Status(ErrorKind::InvalidInput,
                  fmt::format("Statement {} failed, those before it have run: {}: {}\n  {}", count_,
                              answer.error_code, answer.error_message, statement.substr(0, 200)));
  }

  Session& session_;
  std::string use_;  // holds within a request only, so it goes with every statement
  int64_t count_ = 0;
};

std::string BytesLiteral(const Json& bytes) {
  std::string literal = "X'";
  for (const Json& byte : bytes) literal += fmt::format("{:02x}", byte.get<unsigned>() & 0xff);
  return literal + "'";
}

}  // namespace

std::string SqlLiteral(const Json& cell, const Json& type) {
  const std::string name = TypeName(type);
  if (cell.is_null()) return "NULL";
  if (cell.is_boolean()) return cell.get<bool>() ? "TRUE" : "FALSE";
  if (cell.is_array() && name == "Bytes") return BytesLiteral(cell);
  if (cell.is_array() || cell.is_object()) return Quoted(cell.dump());
  if (cell.is_number_integer()) {
    const auto number = cell.get<int64_t>();
    if (name == "Timestamp" || name == "DateTime") return Quoted(FormatTimestamp(number));
    if (name == "Date") return Quoted(FormatTimestamp(number * 86'400'000'000).substr(0, 10));
    if (name == "Time") return Quoted(FormatTime(number));
    return cell.dump();
  }
  if (cell.is_number()) return cell.dump();
  const std::string text = cell.get<std::string>();
  // 64-bit integers and decimals come as texts.
  if (name == "BigInt" || name == "Decimal") return text;
  return Quoted(text);
}

Status Dump(Session& session, const DumpOptions& options, std::FILE* output) {
  try {
    return Dumper(session, options, output).Run();
  } catch (const Json::exception& error) {
    return Status(ErrorKind::InvalidInput,
                  std::string("Unexpected answer of the server: ") + error.what());
  }
}

Result<int64_t> Load(Session& session, std::istream& input) {
  Loader loader(session);
  std::string statements, line;
  while (std::getline(input, line)) {
    if (statements.empty() && (line.empty() || line.starts_with("--"))) continue;
    statements += line + "\n";
    if (!line.ends_with(';') || !IsComplete(statements)) continue;
    KALAM_RETURN_IF_ERROR(loader.Add(statements));
    statements.clear();
  }
  if (!statements.empty()) KALAM_RETURN_IF_ERROR(loader.Add(statements));
  return loader.count();
}

}  // namespace kalam::cli

// Asking a server of its tables, and statements that fill one.
#include "remote_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "sql_text.h"

namespace kalam::cli {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kInsertBytesMax = 128 << 10;
constexpr size_t kRowsPerInsertMax = 500;
// As many as a server takes with one request.
constexpr size_t kFilesPerInsertMax = 20;

std::string Text(const Json& cell) { return cell.is_string() ? cell.get<std::string>() : ""; }

/// `DECIMAL(12, 3)` taken apart.
TypeSpelling SpellingOf(const std::string& type) {
  TypeSpelling spelling;
  const size_t open = type.find('(');
  spelling.name = type.substr(0, open);
  if (open == type.npos) return spelling;
  const char* at = type.data() + open + 1;
  const char* const end = type.data() + type.size();
  for (int64_t& modifier : spelling.modifiers) {
    while (at < end && (*at == ' ' || *at == ',')) ++at;
    at = std::from_chars(at, end, modifier).ptr;
  }
  return spelling;
}

/// Puts rows together to statements.
class InsertWriter {
 public:
  InsertWriter(const InsertTarget& target, const std::function<Status(const std::string&)>& visit)
      : target_(target), visit_(visit) {
    for (const NamedType& column : target.columns)
      names_ += (names_.empty() ? "" : ", ") + QuotedName(column.name);
  }

  Status Add(std::span<const Datum> cells) {
    const auto is_file = [&](const Datum& cell) {
      return cell.kind == TypeKind::kFile && !cell.is_null && target_.file_expression;
    };
    const auto files = static_cast<size_t>(std::count_if(cells.begin(), cells.end(), is_file));
    // Before the files of this row are laid out: a statement that is done takes its files along.
    if (file_count_ + files > kFilesPerInsertMax) KALAM_RETURN_IF_ERROR(Finish());
    std::string row;
    for (const Datum& cell : cells) {
      if (!row.empty()) row += ", ";
      if (is_file(cell)) {
        KALAM_ASSIGN_OR_RETURN(const std::string file, target_.file_expression(cell.text()));
        row += file;
      } else {
        row += SqlLiteral(cell);
      }
    }
    values_ += (row_count_ > 0 ? ",\n  (" : "\n  (") + row + ")";
    ++row_count_;
    file_count_ += files;
    return row_count_ == kRowsPerInsertMax || values_.size() > kInsertBytesMax ? Finish()
                                                                               : Status::Ok();
  }

  Status Finish() {
    if (row_count_ == 0) return {};
    std::string insert =
        fmt::format("INSERT INTO {} ({}) VALUES{}", target_.qualified, names_, values_);
    if (!target_.user.empty())
      insert = "EXECUTE AS USER " + Quoted(target_.user) + " (" + insert + ")";
    values_.clear();
    row_count_ = file_count_ = 0;
    return visit_(insert);
  }

 private:
  const InsertTarget& target_;
  const std::function<Status(const std::string&)>& visit_;
  std::string names_, values_;
  size_t row_count_ = 0, file_count_ = 0;
};

}  // namespace

size_t RemoteRows::Index(std::string_view name) const {
  return static_cast<size_t>(std::find(names.begin(), names.end(), name) - names.begin());
}

Result<RemoteRows> Ask(Session& session, const std::string& sql) {
  KALAM_ASSIGN_OR_RETURN(const Answer answer, session.Run(sql));
  if (!answer.ok) {
    return Status(ErrorKind::InvalidInput,
                  fmt::format("{}: {}\n  {}", answer.error_code, answer.error_message, sql));
  }
  const Json body = Json::parse(answer.raw, nullptr, false);
  RemoteRows found;
  if (!body.is_object() || !body.contains("results") || body["results"].empty()) return found;
  const Json& result = body["results"].back();
  if (!result.contains("schema") || !result.contains("rows")) return found;
  for (const Json& column : result["schema"])
    found.names.push_back(column.value("name", std::string()));
  found.rows = result["rows"];
  return found;
}

Result<std::vector<RemoteColumn>> DescribeTable(Session& session, const std::string& qualified) {
  KALAM_ASSIGN_OR_RETURN(const RemoteRows found, Ask(session, "DESCRIBE TABLE " + qualified));
  const size_t name = found.Index("column_name"), type = found.Index("data_type"),
               nullable = found.Index("is_nullable"), key = found.Index("is_primary_key"),
               text = found.Index("column_default");
  std::vector<RemoteColumn> columns;
  for (const Json& row : found.rows) {
    if (row.size() <= std::max({name, type, nullable, key, text})) {
      return Status(ErrorKind::InvalidInput, "DESCRIBE TABLE answers in a way that is unknown");
    }
    if (Text(row[name]).starts_with("_")) continue;  // the server's own
    columns.push_back({.name = Text(row[name]),
                       .type = Text(row[type]),
                       .default_text = Text(row[text]),
                       .is_nullable = row[nullable] == true,
                       .is_primary_key = row[key] == true});
  }
  return columns;
}

Result<std::vector<NamedType>> TypesOf(const std::vector<RemoteColumn>& columns) {
  std::vector<NamedType> types;
  for (const RemoteColumn& column : columns) {
    const Result<DataType> type = DataTypeFromSql(SpellingOf(column.type));
    if (!type.ok()) {
      return Status(ErrorKind::InvalidInput,
                    fmt::format("The column {} has an unknown type: {}", column.name, column.type));
    }
    types.push_back({column.name, *type});
  }
  return types;
}

Status ForEachInsert(const std::string& parquet_path, const InsertTarget& target,
                     const std::function<Status(const std::string& statement)>& visit) {
  InsertWriter writer(target, visit);
  KALAM_RETURN_IF_ERROR(
      ForEachParquetRow(parquet_path, target.columns,
                        [&](std::span<const Datum> cells) { return writer.Add(cells); }));
  return writer.Finish();
}

}  // namespace kalam::cli

// A namespace as statements, or as an archive.
#include "dump.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <map>
#include <nlohmann/json.hpp>
#include <vector>

#include "namespace_archive.h"
#include "remote_table.h"
#include "sql_text.h"

namespace kalam::cli {
namespace {

using Json = nlohmann::ordered_json;

constexpr int64_t kDefaultRetentionHours = 168;

std::string Text(const Json& cell) { return cell.is_string() ? cell.get<std::string>() : ""; }

struct Table {
  std::string name, type;
  Json options;
  std::vector<RemoteColumn> columns;
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

/// What the namespace is made of, but for rows.
class Outline {
 public:
  Outline(Session& session, const std::string& namespace_id)
      : session_(session), namespace_id_(namespace_id) {}

  /// Errors: NotFound.
  Status Find() {
    KALAM_ASSIGN_OR_RETURN(
        const RemoteRows there,
        Ask(session_, "SELECT namespace_id FROM system.namespaces WHERE namespace_id = " +
                          Quoted(namespace_id_)));
    if (there.rows.empty())
      return Status(ErrorKind::NotFound, "Namespace '" + namespace_id_ + "' not found");
    KALAM_ASSIGN_OR_RETURN(
        const RemoteRows tables,
        Ask(session_,
            "SELECT table_name, table_type, options, version FROM system.tables WHERE "
            "namespace_id = " +
                Quoted(namespace_id_) + " ORDER BY table_name"));
    for (const Json& row : tables.rows) {
      Table table{.name = Text(row[0]),
                  .type = Text(row[1]),
                  .options = Json::parse(Text(row[2]), nullptr, false),
                  .columns = {}};
      if (!table.options.is_object()) table.options = Json::object();
      KALAM_ASSIGN_OR_RETURN(table.columns, DescribeTable(session_, Qualified(table.name)));
      versions_[table.name] =
          row[3].is_string() ? std::stoll(row[3].get<std::string>()) : row[3].get<int64_t>();
      tables_.push_back(std::move(table));
    }
    return {};
  }

  const std::map<std::string, int64_t>& versions() const { return versions_; }
  std::string Qualified(const std::string& table) const {
    return QuotedName(namespace_id_) + "." + QuotedName(table);
  }
  const Table* FindTable(const std::string& name) const {
    for (const Table& table : tables_) {
      if (table.name == name) return &table;
    }
    return nullptr;
  }

  /// What comes before the rows.
  std::string SchemaText() const {
    std::string text =
        fmt::format("-- The namespace {} of {}.\nCREATE NAMESPACE IF NOT EXISTS {};\n",
                    namespace_id_, session_.endpoint().Url(), QuotedName(namespace_id_));
    for (const Table& table : tables_) text += TableText(table);
    return text;
  }

  /// What comes behind them: indexes, which then need not follow every row, and views.
  Result<std::string> AfterText(const std::vector<ArchivedIndex>& indexes) const {
    std::string text;
    for (const ArchivedIndex& index : indexes) {
      text += fmt::format("CREATE INDEX{} ON {} ({}) USING {};\n",
                          index.name.empty() ? "" : " " + QuotedName(index.name),
                          Qualified(index.table), QuotedName(index.column), index.metric);
    }
    KALAM_ASSIGN_OR_RETURN(const RemoteRows views,
                           Ask(session_,
                               "SELECT table_name, definition FROM information_schema.views WHERE "
                               "table_schema = " +
                                   Quoted(namespace_id_) + " ORDER BY table_name"));
    if (views.rows.empty()) return text;
    // Their unqualified names are of this namespace.
    text += "USE " + QuotedName(namespace_id_) + ";\n";
    for (const Json& row : views.rows)
      text += fmt::format("CREATE VIEW {} AS {};\n", Qualified(Text(row[0])), Text(row[1]));
    return text;
  }

 private:
  std::string TableText(const Table& table) const {
    std::string columns;
    for (const RemoteColumn& column : table.columns) {
      columns += fmt::format("{}  {} {}", columns.empty() ? "" : ",\n", QuotedName(column.name),
                             column.type);
      if (column.is_primary_key) columns += " PRIMARY KEY";
      if (!column.is_nullable && !column.is_primary_key) columns += " NOT NULL";
      if (!column.default_text.empty()) columns += " DEFAULT " + column.default_text;
    }
    return fmt::format("CREATE TABLE {} (\n{}\n) WITH ({});\n", Qualified(table.name), columns,
                       WithClause(table));
  }

  Session& session_;
  const std::string& namespace_id_;
  std::vector<Table> tables_;
  std::map<std::string, int64_t> versions_;
};

/// The archive at `path`, which must be of the definitions that `outline` found before: nobody
/// changed them meanwhile.
Result<NamespaceArchive> FetchArchive(Session& session, const DumpOptions& options,
                                      const Outline& outline, const std::string& path) {
  KALAM_RETURN_IF_ERROR(FetchNamespaceArchive(session,
                                              {.namespace_id = options.namespace_id,
                                               .users = options.users,
                                               .schema_only = options.schema_only},
                                              path));
  KALAM_ASSIGN_OR_RETURN(NamespaceArchive archive, NamespaceArchive::Open(path));
  if (archive.table_versions() == outline.versions()) return archive;
  return Status(ErrorKind::InvalidInput,
                "Somebody changed the tables of the namespace meanwhile; try again");
}

Status Put(std::string_view text, std::FILE* output) {
  if (std::fwrite(text.data(), 1, text.size(), output) == text.size()) return {};
  return Status(ErrorKind::StorageIo, std::string("Cannot write: ") + std::strerror(errno));
}

Status PutRows(const NamespaceArchive& archive, const Outline& outline, const std::string& folder,
               std::FILE* output) {
  const std::string rows = folder + "/rows.parquet";
  for (const ArchivedScope& scope : archive.scopes()) {
    const Table* const table = outline.FindTable(scope.table);
    if (table == nullptr) continue;
    KALAM_RETURN_IF_ERROR(archive.zip().Extract(scope.entry, rows));
    InsertTarget target{.qualified = outline.Qualified(scope.table),
                        .user = scope.user,
                        .columns = {},
                        .file_expression = {}};
    KALAM_ASSIGN_OR_RETURN(target.columns, TypesOf(table->columns));
    KALAM_RETURN_IF_ERROR(ForEachInsert(rows, target, [&](const std::string& statement) {
      return Put(statement + ";\n", output);
    }));
  }
  return {};
}

Status DumpSqlText(Session& session, const DumpOptions& options, std::FILE* output) {
  Outline outline(session, options.namespace_id);
  KALAM_RETURN_IF_ERROR(outline.Find());
  KALAM_ASSIGN_OR_RETURN(const auto folder, ScratchFolder::Make());
  KALAM_ASSIGN_OR_RETURN(const NamespaceArchive archive,
                         FetchArchive(session, options, outline, folder->path() + "/archive.zip"));
  KALAM_RETURN_IF_ERROR(Put(outline.SchemaText(), output));
  KALAM_RETURN_IF_ERROR(PutRows(archive, outline, folder->path(), output));
  KALAM_ASSIGN_OR_RETURN(const std::string after, outline.AfterText(archive.indexes()));
  KALAM_RETURN_IF_ERROR(Put(after, output));
  if (std::fflush(output) == 0) return {};
  return Status(ErrorKind::StorageIo, std::string("Cannot write: ") + std::strerror(errno));
}

Status DumpArchiveFile(Session& session, const DumpOptions& options, const std::string& path) {
  Outline outline(session, options.namespace_id);
  KALAM_RETURN_IF_ERROR(outline.Find());
  KALAM_ASSIGN_OR_RETURN(const NamespaceArchive archive,
                         FetchArchive(session, options, outline, path));
  KALAM_RETURN_IF_ERROR(AddToZip(path, kSchemaEntry, outline.SchemaText()));
  KALAM_ASSIGN_OR_RETURN(const std::string after, outline.AfterText(archive.indexes()));
  return AddToZip(path, kAfterEntry, after);
}

/// Turns what the JSON library throws at an answer of another form into an error.
template <typename Work>
Status Guarded(const Work& work) {
  try {
    return work();
  } catch (const std::exception& error) {
    return Status(ErrorKind::InvalidInput,
                  std::string("Unexpected answer of the server: ") + error.what());
  }
}

}  // namespace

Status Dump(Session& session, const DumpOptions& options, std::FILE* output) {
  return Guarded([&] { return DumpSqlText(session, options, output); });
}

Status DumpArchive(Session& session, const DumpOptions& options, const std::string& path) {
  return Guarded([&] { return DumpArchiveFile(session, options, path); });
}

}  // namespace kalam::cli

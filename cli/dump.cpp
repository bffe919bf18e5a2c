// A namespace as statements, or as an archive.
#include "dump.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string_view>
#include <vector>

#include "file_folder.h"
#include "namespace_archive.h"
#include "remote_table.h"
#include "sql_text.h"

namespace kalam::cli {
namespace {

namespace fs = std::filesystem;
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

/// Whether `text` holds the name as a word of its own, in letters of any case.
bool HasWord(std::string_view text, std::string_view name) {
  const auto is_of_word = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_';
  };
  const auto are_equal = [](char a, char b) {
    return std::tolower(static_cast<unsigned char>(a)) == b;
  };
  for (auto begin = text.begin();;) {
    begin = std::search(begin, text.end(), name.begin(), name.end(), are_equal);
    if (begin == text.end()) return false;
    const auto end = begin + static_cast<ptrdiff_t>(name.size());
    const bool begins = begin == text.begin() || !is_of_word(*(begin - 1));
    if (begins && (end == text.end() || !is_of_word(*end))) return true;
    ++begin;
  }
}

/// Views by name, each behind those that it reads.
std::vector<std::string> InOrderOfUse(const std::map<std::string, std::string>& definitions) {
  std::vector<std::string> names;
  std::set<std::string> seen;
  const std::function<void(const std::string&)> add = [&](const std::string& name) {
    if (!seen.insert(name).second) return;
    for (const auto& [other, ignored] : definitions) {
      if (HasWord(definitions.at(name), other)) add(other);
    }
    names.push_back(name);
  };
  for (const auto& [name, ignored] : definitions) add(name);
  return names;
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
                               "SELECT table_name, definition, default_namespace FROM "
                               "information_schema.views WHERE table_schema = " +
                                   Quoted(namespace_id_) + " ORDER BY table_name"));
    std::map<std::string, std::string> definitions, namespaces;
    for (const Json& row : views.rows) {
      definitions.emplace(Text(row[0]), Text(row[1]));
      const std::string of_names = Text(row[2]);
      namespaces.emplace(Text(row[0]), of_names.empty() ? namespace_id_ : of_names);
    }
    for (const std::string& name : InOrderOfUse(definitions)) {
      // What their unqualified names are of.
      text += fmt::format("USE {};\nCREATE VIEW {} AS {};\n", QuotedName(namespaces.at(name)),
                          Qualified(name), definitions.at(name));
    }
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

Status CannotWrite() {
  return Status(ErrorKind::StorageIo, std::string("Cannot write: ") + std::strerror(errno));
}

Status Put(std::string_view text, std::FILE* output) {
  return std::fwrite(text.data(), 1, text.size(), output) == text.size() ? Status::Ok()
                                                                         : CannotWrite();
}

/// `files`: null writes the references of files as they are.
Status PutRows(const NamespaceArchive& archive, const Outline& outline, FileFolder* files,
               const std::string& scratch, std::FILE* output) {
  const std::string rows = scratch + "/rows.parquet";
  for (const ArchivedScope& scope : archive.scopes()) {
    const Table* const table = outline.FindTable(scope.table);
    if (table == nullptr) continue;
    KALAM_RETURN_IF_ERROR(archive.zip().Extract(scope.entry, rows));
    InsertTarget target{.qualified = outline.Qualified(scope.table),
                        .user = scope.user,
                        .columns = {},
                        .file_expression = {}};
    if (files != nullptr) {
      target.file_expression = [files](std::string_view cell) { return files->ExpressionOf(cell); };
    }
    KALAM_ASSIGN_OR_RETURN(target.columns, TypesOf(table->columns));
    KALAM_RETURN_IF_ERROR(ForEachInsert(rows, target, [&](const std::string& statement) {
      return Put(statement + ";\n", output);
    }));
  }
  return {};
}

/// What a dump in SQL is written from.
class SqlDump {
 public:
  SqlDump(Session& session, const DumpOptions& options)
      : session_(session), options_(options), outline_(session, options.namespace_id) {}

  Status Fetch() {
    KALAM_RETURN_IF_ERROR(outline_.Find());
    KALAM_ASSIGN_OR_RETURN(scratch_, ScratchFolder::Make());
    KALAM_ASSIGN_OR_RETURN(
        archive_, FetchArchive(session_, options_, outline_, scratch_->path() + "/archive.zip"));
    return {};
  }
  const NamespaceArchive& archive() const { return *archive_; }
  Status Write(FileFolder* files, std::FILE* output) {
    KALAM_RETURN_IF_ERROR(Put(outline_.SchemaText(), output));
    KALAM_RETURN_IF_ERROR(PutRows(*archive_, outline_, files, scratch_->path(), output));
    KALAM_ASSIGN_OR_RETURN(const std::string after, outline_.AfterText(archive_->indexes()));
    KALAM_RETURN_IF_ERROR(Put(after, output));
    return std::fflush(output) == 0 ? Status::Ok() : CannotWrite();
  }

 private:
  Session& session_;
  const DumpOptions& options_;
  Outline outline_;
  std::unique_ptr<ScratchFolder> scratch_;
  std::optional<NamespaceArchive> archive_;
};

/// What is written beside its place until it is whole.
class Draft {
 public:
  explicit Draft(std::string place) : place_(std::move(place)), path_(place_ + ".new") {}
  Draft(const Draft&) = delete;
  Draft& operator=(const Draft&) = delete;
  ~Draft() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  const std::string& path() const { return path_; }
  const std::string& place() const { return place_; }
  /// Takes the place of a file.
  Status Publish() const {
    if (std::rename(path_.c_str(), place_.c_str()) == 0) return {};
    return Status(ErrorKind::StorageIo, "Cannot write the file " + place_);
  }
  /// Takes the place of a folder; without one of its own there is none.
  Status PublishFolder() const {
    std::error_code error;
    fs::remove_all(place_, error);
    if (!error && fs::exists(path_, error)) fs::rename(path_, place_, error);
    if (!error) return {};
    return Status(ErrorKind::StorageIo,
                  "Cannot write the folder " + place_ + ": " + error.message());
  }

 private:
  const std::string place_, path_;
};

Result<int64_t> DumpSqlFile(Session& session, const DumpOptions& options, const std::string& path) {
  SqlDump dump(session, options);
  KALAM_RETURN_IF_ERROR(dump.Fetch());
  const Draft text(path), folder(path + ".files");
  std::error_code ignored;
  const bool has_folder = fs::exists(fs::symlink_status(folder.place(), ignored));
  const bool is_replaced = has_folder && IsFileFolder(folder.place());
  if (has_folder && !is_replaced && dump.archive().file_count() > 0) {
    return Status(ErrorKind::InvalidInput,
                  "The files of this dump belong to " + folder.place() +
                      ", where something else lies; give another name with -o");
  }
  fs::remove_all(folder.path(), ignored);
  FileFolder files(dump.archive(), folder.path(), fs::path(folder.place()).filename().string());
  std::FILE* file = std::fopen(text.path().c_str(), "wb");
  if (file == nullptr) return Status(ErrorKind::InvalidInput, "Cannot write the file " + path);
  const Status written = dump.Write(&files, file);
  const bool is_closed = std::fclose(file) == 0;
  KALAM_RETURN_IF_ERROR(written);
  if (!is_closed) return CannotWrite();
  if (!has_folder || is_replaced) KALAM_RETURN_IF_ERROR(folder.PublishFolder());
  KALAM_RETURN_IF_ERROR(text.Publish());
  return files.missing_count();
}

Status DumpArchiveFile(Session& session, const DumpOptions& options, const std::string& path) {
  Outline outline(session, options.namespace_id);
  KALAM_RETURN_IF_ERROR(outline.Find());
  const Draft draft(path);
  KALAM_ASSIGN_OR_RETURN(const NamespaceArchive archive,
                         FetchArchive(session, options, outline, draft.path()));
  KALAM_RETURN_IF_ERROR(ZipArchive::Append(draft.path(), kSchemaEntry, outline.SchemaText()));
  KALAM_ASSIGN_OR_RETURN(const std::string after, outline.AfterText(archive.indexes()));
  KALAM_RETURN_IF_ERROR(ZipArchive::Append(draft.path(), kAfterEntry, after));
  return draft.Publish();
}

/// Turns what the JSON library throws at an answer of another form into an error.
template <typename Work>
auto Guarded(const Work& work) -> decltype(work()) {
  try {
    return work();
  } catch (const std::exception& error) {
    return Status(ErrorKind::InvalidInput,
                  std::string("Unexpected answer of the server: ") + error.what());
  }
}

}  // namespace

Result<int64_t> Dump(Session& session, const DumpOptions& options, std::FILE* output) {
  return Guarded([&]() -> Result<int64_t> {
    SqlDump dump(session, options);
    KALAM_RETURN_IF_ERROR(dump.Fetch());
    KALAM_RETURN_IF_ERROR(dump.Write(nullptr, output));
    return dump.archive().file_count();
  });
}

Result<int64_t> DumpFile(Session& session, const DumpOptions& options, const std::string& path) {
  return Guarded([&] { return DumpSqlFile(session, options, path); });
}

Status DumpArchive(Session& session, const DumpOptions& options, const std::string& path) {
  return Guarded([&] { return DumpArchiveFile(session, options, path); });
}

}  // namespace kalam::cli

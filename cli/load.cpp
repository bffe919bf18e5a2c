// Running statements, and putting the rows of an archive into tables.
#include "load.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>
#include <vector>

#include "namespace_archive.h"
#include "remote_table.h"
#include "shell.h"
#include "sql/parser.h"
#include "sql_text.h"
#include "types/file_reference.h"

namespace kalam::cli {
namespace {

namespace fs = std::filesystem;

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

 private:
  Session& session_;
  std::string use_;  // holds within a request only, so it goes with every statement
  int64_t count_ = 0;
};

Status RunAll(Loader& loader, std::istream& input) {
  std::string statements, line;
  while (std::getline(input, line)) {
    if (statements.empty() && (line.empty() || line.starts_with("--"))) continue;
    statements += line + "\n";
    if (!line.ends_with(';') || !IsComplete(statements)) continue;
    KALAM_RETURN_IF_ERROR(loader.Add(statements));
    statements.clear();
  }
  if (!statements.empty()) KALAM_RETURN_IF_ERROR(loader.Add(statements));
  return {};
}

/// The rows of an archive, scope by scope.
class ArchiveLoader {
 public:
  ArchiveLoader(Session& session, const NamespaceArchive& archive, std::string folder)
      : session_(session), archive_(archive), folder_(std::move(folder)), loader_(session) {}

  Result<int64_t> Run() {
    KALAM_RETURN_IF_ERROR(RunEntry(kSchemaEntry));
    for (const ArchivedScope& scope : archive_.scopes()) KALAM_RETURN_IF_ERROR(LoadScope(scope));
    KALAM_RETURN_IF_ERROR(RunEntry(kAfterEntry));
    return loader_.count();
  }

 private:
  Status RunEntry(const std::string& name) {
    KALAM_ASSIGN_OR_RETURN(const std::string text, archive_.zip().Read(name));
    std::istringstream statements(text);
    return RunAll(loader_, statements);
  }

  Status LoadScope(const ArchivedScope& scope) {
    const std::string rows = folder_ + "/rows.parquet";
    KALAM_RETURN_IF_ERROR(archive_.zip().Extract(scope.entry, rows));
    InsertTarget target{
        .qualified = QuotedName(archive_.namespace_id()) + "." + QuotedName(scope.table),
        .user = scope.user,
        .columns = {},
        .file_expression = [this](std::string_view cell) { return FileExpression(cell); }};
    auto known = columns_.find(scope.table);
    if (known == columns_.end()) {
      KALAM_ASSIGN_OR_RETURN(const auto columns, DescribeTable(session_, target.qualified));
      KALAM_ASSIGN_OR_RETURN(auto types, TypesOf(columns));
      known = columns_.emplace(scope.table, std::move(types)).first;
    }
    target.columns = known->second;
    return ForEachInsert(rows, target, [&](const std::string& statement) {
      const Status loaded = loader_.Run(statement);
      std::error_code ignored;
      fs::remove_all(folder_ + "/files", ignored);
      return loaded;
    });
  }

  /// `file('path', 'type')` for the shell's upload; a file that the archive lacks leaves its
  /// reference as it was.
  Result<std::string> FileExpression(std::string_view cell) {
    const std::optional<int64_t> id = FileIdOf(cell);
    const std::optional<std::string> entry = id ? archive_.FindFile(*id) : std::nullopt;
    if (!entry) return Quoted(cell);
    const auto reference = nlohmann::json::parse(cell, nullptr, false);
    const auto text = [&](const char* name) {
      const auto found = reference.find(name);
      return found != reference.end() && found->is_string() ? found->get<std::string>()
                                                            : std::string();
    };
    std::string name = text("name");
    std::replace(name.begin(), name.end(), '/', '_');
    if (name.empty() || name == "." || name == "..") name = "file";
    const std::string folder = fmt::format("{}/files/{}", folder_, *id);
    std::error_code error;
    fs::create_directories(folder, error);
    if (error) return Status(ErrorKind::StorageIo, "Cannot make the folder " + folder);
    const std::string path = folder + "/" + name;
    KALAM_RETURN_IF_ERROR(archive_.zip().Extract(*entry, path));
    const std::string type = text("mime");
    return "file(" + Quoted(path) + (type.empty() ? "" : ", " + Quoted(type)) + ")";
  }

  Session& session_;
  const NamespaceArchive& archive_;
  const std::string folder_;
  Loader loader_;
  std::map<std::string, std::vector<NamedType>> columns_;  // by table
};

}  // namespace

Result<int64_t> Load(Session& session, std::istream& input) {
  Loader loader(session);
  KALAM_RETURN_IF_ERROR(RunAll(loader, input));
  return loader.count();
}

Result<int64_t> LoadArchive(Session& session, const std::string& path) {
  KALAM_ASSIGN_OR_RETURN(const NamespaceArchive archive, NamespaceArchive::Open(path));
  KALAM_ASSIGN_OR_RETURN(const auto folder, ScratchFolder::Make());
  try {
    return ArchiveLoader(session, archive, folder->path()).Run();
  } catch (const std::exception& error) {
    return Status(ErrorKind::InvalidInput,
                  std::string("Unexpected answer of the server: ") + error.what());
  }
}

bool IsArchive(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string begin(4, '\0');
  file.read(begin.data(), static_cast<std::streamsize>(begin.size()));
  return file && begin == "PK\x03\x04";
}

}  // namespace kalam::cli

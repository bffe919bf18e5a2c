// Running statements, and putting the rows of an archive into tables.
#include "load.h"

#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <vector>

#include "file_folder.h"
#include "namespace_archive.h"
#include "remote_table.h"
#include "shell.h"
#include "sql/parser.h"
#include "sql_text.h"

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
      : session_(session),
        archive_(archive),
        folder_(std::move(folder)),
        files_(archive, folder_ + "/files", folder_ + "/files"),
        loader_(session) {}

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
        .file_expression = [this](std::string_view cell) { return files_.ExpressionOf(cell); }};
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

  Session& session_;
  const NamespaceArchive& archive_;
  const std::string folder_;
  FileFolder files_;
  Loader loader_;
  std::map<std::string, std::vector<NamedType>> columns_;  // by table
};

/// Its files are uploaded with their rows.
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

/// Whether the file begins as a zip archive does.
bool IsArchive(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string begin(4, '\0');
  file.read(begin.data(), static_cast<std::streamsize>(begin.size()));
  return file && begin == "PK\x03\x04";
}

}  // namespace

Result<int64_t> Load(Session& session, std::istream& input) {
  Loader loader(session);
  KALAM_RETURN_IF_ERROR(RunAll(loader, input));
  return loader.count();
}

Result<int64_t> LoadFile(Session& session, const std::string& path) {
  if (IsArchive(path)) return LoadArchive(session, path);
  std::ifstream file(path);
  if (!file) return Status(ErrorKind::InvalidInput, "Cannot read the file " + path);
  // The files of FILE columns lie beside it.
  session.SetFileFolder(fs::path(path).parent_path().string());
  return Load(session, file);
}

}  // namespace kalam::cli

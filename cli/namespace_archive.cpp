// Archives of namespaces.
#include "namespace_archive.h"

#include <fmt/format.h>

#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <thread>

#include "remote_table.h"
#include "sql_text.h"

namespace kalam::cli {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kFormat = 1;
constexpr auto kPoll = std::chrono::milliseconds(100);
constexpr std::string_view kJob = "Job ID: ", kDownload = ". Download: ";
constexpr std::string_view kRows = "rows/", kFiles = "files/", kParquet = ".parquet";

/// %XX back to what it stands for.
std::string Decoded(std::string_view part) {
  std::string text;
  for (size_t i = 0; i < part.size(); ++i) {
    unsigned code = 0;
    if (part[i] == '%' && i + 2 < part.size() &&
        std::from_chars(part.data() + i + 1, part.data() + i + 3, code, 16).ec == std::errc()) {
      text += static_cast<char>(code);
      i += 2;
    } else {
      text += part[i];
    }
  }
  return text;
}

Status WaitForJob(Session& session, const std::string& job) {
  const std::string question =
      "SELECT status, message, exception_trace FROM system.jobs WHERE job_id = " + Quoted(job);
  for (;;) {
    KALAM_ASSIGN_OR_RETURN(const RemoteRows rows, Ask(session, question));
    if (rows.rows.size() != 1)
      return Status(ErrorKind::InvalidInput, "The export " + job + " is gone");
    const auto text = [&](size_t i) {
      return rows.rows[0][i].is_string() ? rows.rows[0][i].get<std::string>() : std::string();
    };
    const std::string status = text(0);
    if (status == "completed") return {};
    if (status == "failed" || status == "cancelled" || status == "skipped") {
      return Status(ErrorKind::InvalidInput,
                    fmt::format("The export {} {}: {}", job, status, text(1)));
    }
    std::this_thread::sleep_for(kPoll);
  }
}

}  // namespace

Status FetchNamespaceArchive(Session& session, const ExportOptions& options,
                             const std::string& path) {
  std::string statement = "EXPORT NAMESPACE " + QuotedName(options.namespace_id);
  if (options.schema_only) statement += " SCHEMA ONLY";
  if (!options.users.empty()) statement += " FOR USERS " + Quoted(options.users);
  KALAM_ASSIGN_OR_RETURN(const Answer answer, session.Run(statement));
  if (!answer.ok) {
    return Status(ErrorKind::InvalidInput,
                  fmt::format("{}: {}", answer.error_code, answer.error_message));
  }
  const std::string message = answer.results.empty() ? "" : answer.results[0].message;
  const size_t job = message.find(kJob), download = message.find(kDownload);
  if (job == message.npos || download == message.npos || download < job) {
    return Status(ErrorKind::InvalidInput,
                  "The server answers in a way that is unknown: " + message);
  }
  const size_t job_begin = job + kJob.size();
  KALAM_RETURN_IF_ERROR(WaitForJob(session, message.substr(job_begin, download - job_begin)));
  std::FILE* const file = std::fopen(path.c_str(), "wb");
  if (file == nullptr) return Status(ErrorKind::InvalidInput, "Cannot write the file " + path);
  const Status downloaded = session.Download(message.substr(download + kDownload.size()), file);
  const bool closed = std::fclose(file) == 0;
  KALAM_RETURN_IF_ERROR(downloaded);
  return closed ? Status::Ok() : Status(ErrorKind::StorageIo, "Cannot write the file " + path);
}

Result<NamespaceArchive> NamespaceArchive::Open(const std::string& path) {
  NamespaceArchive archive;
  KALAM_ASSIGN_OR_RETURN(archive.zip_, ZipArchive::Open(path));
  KALAM_ASSIGN_OR_RETURN(const std::string text, archive.zip_->Read("export.json"));
  const Status unknown(ErrorKind::InvalidInput,
                       "'" + path + "' is no archive of a namespace that this shell understands");
  try {
    const auto json = nlohmann::json::parse(text);
    if (json.at("format") != kFormat) return unknown;
    json.at("namespace").get_to(archive.namespace_id_);
    json.at("tables").get_to(archive.table_versions_);
    for (const auto& index : json.at("indexes")) {
      archive.indexes_.push_back(
          {index.at("table").get<std::string>(), index.at("column").get<std::string>(),
           index.at("metric").get<std::string>(), index.at("name").get<std::string>()});
    }
  } catch (const nlohmann::json::exception&) {
    return unknown;
  }
  for (const std::string& name : archive.zip_->names()) {
    const std::string_view entry = name;
    if (entry.starts_with(kRows) && entry.ends_with(kParquet)) {
      const std::string_view scope =
          entry.substr(kRows.size(), entry.size() - kRows.size() - kParquet.size());
      const size_t slash = scope.find('/');
      archive.scopes_.push_back(
          {name, std::string(scope.substr(0, slash)),
           slash == scope.npos ? std::string() : Decoded(scope.substr(slash + 1))});
    } else if (entry.starts_with(kFiles)) {
      const std::string_view file = entry.substr(entry.rfind('/') + 1);
      int64_t id = 0;
      if (std::from_chars(file.data(), file.data() + file.size(), id).ec == std::errc())
        archive.files_.emplace(id, name);
    }
  }
  return archive;
}

std::optional<std::string> NamespaceArchive::FindFile(int64_t id) const {
  const auto found = files_.find(id);
  return found == files_.end() ? std::nullopt : std::optional(found->second);
}

Result<std::unique_ptr<ScratchFolder>> ScratchFolder::Make() {
  std::error_code error;
  std::string pattern = (fs::temp_directory_path(error) / "kalam-XXXXXX").string();
  if (error || mkdtemp(pattern.data()) == nullptr) {
    return Status(ErrorKind::StorageIo, "Cannot make a folder for temporary files");
  }
  return std::make_unique<ScratchFolder>(std::move(pattern));
}

ScratchFolder::~ScratchFolder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

}  // namespace kalam::cli

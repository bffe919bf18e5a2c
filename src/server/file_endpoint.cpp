// Downloads of files: who may have which, and what the browser is told about it.
#include "server/file_endpoint.h"

#include <fmt/format.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/log.h"
#include "catalog/users.h"
#include "files/file_store.h"
#include "files/mime_type.h"
#include "query/query_engine.h"
#include "server/byte_range.h"
#include "server/http_session.h"
#include "server/limits.h"
#include "server/piece_download.h"
#include "server/request_authentication.h"
#include "statements/sql_request_plan.h"
#include "tables/table_reader.h"

namespace kalam::server {
namespace {

constexpr int64_t kSecondUs = 1'000'000;

// What the path and the query name.
struct FilePath {
  std::string namespace_id, table, sub, name;
  std::optional<std::string> user_id;
};

Status Invalid(std::string_view message) {
  return Status(ErrorKind::InvalidInput, std::string(message));
}

bool IsFolderName(std::string_view sub) {
  return sub.size() >= 5 && sub.size() <= 11 && sub[0] == 'f' &&
         std::all_of(sub.begin() + 1, sub.end(), [](char c) { return c >= '0' && c <= '9'; });
}

Result<FilePath> ParsePath(const HttpRequest& request) {
  std::string_view rest = request.path();
  rest.remove_prefix(rest.starts_with("/api/") ? std::string_view("/api/v1/files/").size()
                                               : std::string_view("/v1/files/").size());
  std::array<std::string, 4> parts;
  for (size_t i = 0; i < parts.size(); ++i) {
    const size_t slash = rest.find('/');
    if ((slash == std::string_view::npos) != (i + 1 == parts.size())) {
      return Invalid("The path must be /v1/files/{namespace}/{table}/{sub}/{name}");
    }
    parts[i] = PercentDecode(rest.substr(0, slash), /*form=*/false);
    if (slash != std::string_view::npos) rest.remove_prefix(slash + 1);
    const std::string& part = parts[i];
    if (part.empty() || part.find("..") != std::string::npos ||
        part.find_first_of(std::string_view("/\\\0", 3)) != std::string::npos) {
      return Invalid("The path holds characters that no file has");
    }
  }
  if (!IsFolderName(parts[2])) return Invalid("The folder must be 'f' and at least four digits");
  FilePath path;
  path.namespace_id = catalog::FoldName(parts[0]);
  path.table = catalog::FoldName(parts[1]);
  path.sub = std::move(parts[2]);
  path.name = std::move(parts[3]);
  path.user_id = request.query("user_id");
  return path;
}

// The scope that the caller may read from. Null table: there is no such table.
Result<files::FileScope> ScopeOf(const ServerContext& server, const catalog::Caller& caller,
                                 const FilePath& path) {
  KALAM_ASSIGN_OR_RETURN(const catalog::TablePtr table,
                         server.catalog->FindTable(path.namespace_id, path.table));
  if (table == nullptr) return files::FileScope{};
  if (table->type != catalog::TableType::kUser && table->type != catalog::TableType::kShared) {
    return Invalid("Stream and system tables have no files");
  }
  std::string user_id = caller.user_id;
  if (path.user_id) {
    if (table->type == catalog::TableType::kShared) {
      return Invalid("user_id is only for USER tables");
    }
    if (!catalog::UserIdProblem(*path.user_id, /*allow_reserved=*/true).empty()) {
      return Invalid("user_id is not a user id");
    }
    const Status allowed = statements::CheckExecuteAs(*server.catalog, caller, *path.user_id);
    if (!allowed.ok()) {
      return Status(ErrorKind::PermissionDenied, "you may not read files of that user");
    }
    user_id = *path.user_id;
  }
  KALAM_RETURN_IF_ERROR(query::CheckReadAccess(*table, caller));
  return files::FileScope{table, tables::ScopeFor(*table, user_id)};
}

std::string HttpTime(int64_t time_us) {
  const time_t seconds = time_us / kSecondUs;
  tm parts;
  gmtime_r(&seconds, &parts);
  char text[40];
  return std::string(text, strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &parts));
}

// filename for everybody in ASCII, filename* with all of it (RFC 6266).
std::string Disposition(std::string_view kind, std::string_view name) {
  std::string plain, encoded;
  bool differs = false;
  for (const char c : name) {
    const auto byte = static_cast<unsigned char>(c);
    const bool ascii = byte >= 0x20 && byte < 0x7f && c != '"' && c != '\\';
    plain += ascii ? c : '_';
    differs = differs || !ascii;
    const bool unreserved = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                            (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' || c == '~';
    if (unreserved) {
      encoded += c;
    } else {
      fmt::format_to(std::back_inserter(encoded), "%{:02X}", byte);
    }
  }
  return differs ? fmt::format("{}; filename=\"{}\"; filename*=UTF-8''{}", kind, plain, encoded)
                 : fmt::format("{}; filename=\"{}\"", kind, plain);
}

bool HasTag(std::string_view list, std::string_view tag) {
  while (!list.empty()) {
    const size_t comma = std::min(list.find(','), list.size());
    std::string_view entry = list.substr(0, comma);
    list.remove_prefix(std::min(comma + 1, list.size()));
    while (entry.starts_with(' ')) entry.remove_prefix(1);
    while (entry.ends_with(' ')) entry.remove_suffix(1);
    if (entry.starts_with("W/")) entry.remove_prefix(2);
    if (entry == tag || entry == "*") return true;
  }
  return false;
}

class FileDownload : public PieceDownload {
 public:
  FileDownload(HttpSession& session, catalog::Caller caller, FilePath path, int64_t started_us)
      : PieceDownload(session),
        server_(session.server()),
        caller_(std::move(caller)),
        path_(std::move(path)),
        started_us_(started_us) {}

 private:
  void Look() override {
    Result<files::FileScope> scope = ScopeOf(server_, caller_, path_);
    if (!scope.ok()) {
      status_ = std::move(scope).status();
    } else if (scope->table != nullptr) {
      has_table_ = true;
      auto found = server_.files->Find(*scope, path_.sub, path_.name);
      if (found.ok()) {
        entry_ = std::move(*found);
      } else {
        status_ = std::move(found).status();
      }
    }
  }

  Result<std::string> Read(int64_t offset, int64_t size) override {
    return server_.files->Read(*entry_, offset, size);
  }

  void Refuse(HttpSession& session, const Status& status) override {
    const ErrorTraits& traits = TraitsOf(status.kind());
    // As statements that read cold rows: what a storage says is for those who run the server.
    const bool tells = traits.http_status < 500 || catalog::IsAdmin(caller_.role);
    session.Respond({.status = traits.http_status,
                     .body = SqlErrorBody(traits.wire_code,
                                          tells ? status.ToString() : "The file cannot be read", "",
                                          TookMs(session, started_us_))});
    if (traits.http_status < 500) return;
    Log(LogLevel::kWarn, "files", "a file could not be read",
        {{"table", path_.namespace_id + "." + path_.table},
         {"file", path_.sub + "/" + path_.name},
         {"error", status.ToString()}});
  }

  void Begin(HttpSession& session) override {
    if (!status_.ok()) {
      Refuse(session, status_);
      return;
    }
    if (!entry_) {
      session.Respond({.status = 404,
                       .body = has_table_ ? R"({"error":"File not found","code":"FILE_NOT_FOUND"})"
                                          : R"({"error":"Table not found"})"});
      return;
    }
    const HttpRequest& request = session.request();
    const FileReference& file = entry_->reference;
    const std::string tag = fmt::format("\"{}\"", file.sha256);
    std::string headers = fmt::format(
        "ETag: {}\r\nLast-Modified: {}\r\nAccept-Ranges: bytes\r\nCache-Control: private, "
        "no-cache\r\nX-Content-Type-Options: nosniff\r\n",
        tag, HttpTime(entry_->created_at_us));
    if (HasTag(request.header("if-none-match").value_or(""), tag)) {
      session.Respond({.status = 304, .headers = std::move(headers)});
      return;
    }
    const std::string_view condition = request.header("if-range").value_or(tag);
    const ByteRange range = ParseByteRange(
        condition == tag ? request.header("range").value_or("") : "", file.size_bytes);
    if (range.kind == ByteRange::Kind::kUnsatisfiable) {
      session.Respond({.status = 416,
                       .body = ErrorBody("RANGE_NOT_SATISFIABLE", "The file ends before the range"),
                       .headers = fmt::format("Content-Range: bytes */{}\r\n", file.size_bytes)});
      return;
    }
    const bool in_place = files::MayShowInline(file.mime);
    headers += fmt::format("Content-Disposition: {}\r\n",
                           Disposition(in_place ? "inline" : "attachment", file.name));
    if (!in_place) headers += "Content-Security-Policy: default-src 'none'; sandbox\r\n";
    const bool part = range.kind == ByteRange::Kind::kPart;
    if (part) {
      headers += fmt::format("Content-Range: bytes {}-{}/{}\r\n", range.begin, range.end - 1,
                             file.size_bytes);
    }
    SendBytes(session, part ? 206 : 200, file.mime, headers, range.begin, range.end);
  }

  ServerContext& server_;
  const catalog::Caller caller_;
  const FilePath path_;
  const int64_t started_us_;
  Status status_;
  bool has_table_ = false;
  std::optional<files::FileEntry> entry_;
};

}  // namespace

void AnswerFile(HttpSession& session) {
  const int64_t started_us = session.server().clock.SteadyUs();
  std::optional<auth::Principal> principal = AuthenticateBearer(session, started_us);
  if (!principal) return;
  Result<FilePath> path = ParsePath(session.request());
  if (!path.ok()) {
    session.Respond({.status = 400,
                     .body = SqlErrorBody("INVALID_INPUT", path.status().ToString(), "",
                                          TookMs(session, started_us))});
    return;
  }
  auto download = std::make_shared<FileDownload>(session, std::move(principal->caller),
                                                 std::move(*path), started_us);
  session.SetExchange(download);
  download->Start();
}

}  // namespace kalam::server

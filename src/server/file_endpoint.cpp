// Downloads: who may have which file, then its bytes piece by piece, as fast as the client takes
// them.
#include "server/file_endpoint.h"

#include <fmt/format.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <utility>

#include "catalog/users.h"
#include "files/file_store.h"
#include "files/mime_type.h"
#include "query/query_engine.h"
#include "server/byte_range.h"
#include "server/http_session.h"
#include "server/limits.h"
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

// One download. A worker looks up and reads, the core sends; never both at once.
class FileDownload : public Exchange, public std::enable_shared_from_this<FileDownload> {
 public:
  FileDownload(HttpSession& session, catalog::Caller caller, FilePath path, int64_t started_us)
      : server_(session.server()),
        loop_(session.core().loop),
        reply_(session.Later()),
        caller_(std::move(caller)),
        path_(std::move(path)),
        started_us_(started_us) {}

  void Start() { OnWorker(&FileDownload::Look); }
  void OnWritable() override {
    if (std::exchange(held_back_, false)) OnWorker(&FileDownload::ReadPiece);
  }
  void OnAbandoned() override { abandoned_.store(true, std::memory_order_relaxed); }

 private:
  void OnWorker(void (FileDownload::*work)()) {
    if (server_.workers.Submit([self = shared_from_this(), work] { ((*self).*work)(); })) return;
    HttpSession* session = reply_.Find();
    if (session == nullptr) return;
    if (begun_) {
      session->AbortAnswer();
      return;
    }
    session->Respond({.status = 503,
                      .body = ErrorBody("SERVER_BUSY", "The server is busy; try again"),
                      .headers = "Retry-After: 1\r\n"});
  }
  void OnCore(void (FileDownload::*answer)(HttpSession& session)) {
    loop_.Post([self = shared_from_this(), answer] {
      if (HttpSession* session = self->reply_.Find(); session != nullptr)
        ((*self).*answer)(*session);
    });
  }

  // On a worker.
  void Look() {
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
    OnCore(&FileDownload::Begin);
  }

  void ReadPiece() {
    if (abandoned_.load(std::memory_order_relaxed)) return;
    auto bytes = server_.files->Read(*entry_, at_, std::min(end_ - at_, kDownloadPieceBytes));
    // A file that is shorter than it was cannot be completed.
    if (bytes.ok() && bytes->empty())
      bytes = Status(ErrorKind::Corruption, "the file is cut short");
    if (bytes.ok()) {
      piece_ = std::move(*bytes);
    } else {
      status_ = std::move(bytes).status();
    }
    OnCore(&FileDownload::SendPiece);
  }

  // On the core.
  void Begin(HttpSession& session) {
    if (!status_.ok()) {
      const ErrorTraits& traits = TraitsOf(status_.kind());
      const bool tells = traits.http_status < 500;
      session.Respond({.status = traits.http_status,
                       .body = SqlErrorBody(traits.wire_code,
                                            tells ? status_.ToString() : "The file cannot be read",
                                            "", TookMs(session, started_us_))});
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
    at_ = range.begin;
    end_ = range.end;
    const bool part = range.kind == ByteRange::Kind::kPart;
    if (part) {
      headers += fmt::format("Content-Range: bytes {}-{}/{}\r\n", at_, end_ - 1, file.size_bytes);
    }
    begun_ = true;
    const bool only_head = request.method() == "HEAD";
    session.BeginSized(part ? 206 : 200, file.mime, headers, end_ - at_);
    if (only_head || at_ == end_) {
      session.EndSized();
      return;
    }
    OnWorker(&FileDownload::ReadPiece);
  }

  void SendPiece(HttpSession& session) {
    if (!status_.ok()) {
      session.AbortAnswer();
      return;
    }
    at_ += static_cast<int64_t>(piece_.size());
    session.SendPiece(std::exchange(piece_, {}));
    if (at_ >= end_) {
      session.EndSized();
    } else if (session.connection().writable()) {
      OnWorker(&FileDownload::ReadPiece);
    } else {
      held_back_ = true;
    }
  }

  ServerContext& server_;
  EventLoop& loop_;
  const Reply reply_;
  const catalog::Caller caller_;
  const FilePath path_;
  const int64_t started_us_;
  Status status_;
  bool has_table_ = false;
  std::optional<files::FileEntry> entry_;
  int64_t at_ = 0;
  int64_t end_ = 0;
  std::string piece_;
  bool begun_ = false;
  bool held_back_ = false;
  std::atomic<bool> abandoned_{false};
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

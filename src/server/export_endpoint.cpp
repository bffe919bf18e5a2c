// Downloads of archives: whose they are, then their bytes piece by piece, as fast as the client
// takes them.
#include "server/export_endpoint.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <utility>

#include "catalog/role.h"
#include "catalog/users.h"
#include "exports/user_export.h"
#include "server/http_session.h"
#include "server/limits.h"
#include "server/request_authentication.h"

namespace kalam::server {
namespace {

constexpr std::string_view kPrefix = "/v1/exports/";
constexpr size_t kExportIdBytesMax = 128;

// What the path names.
struct ExportName {
  std::string user_id, export_id;
};

bool IsPlain(std::string_view id) {
  return !id.empty() && id.size() <= kExportIdBytesMax &&
         std::all_of(id.begin(), id.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '_' || c == '-';
         });
}

std::optional<ExportName> ParsePath(std::string_view path) {
  path.remove_prefix(kPrefix.size());
  const size_t slash = path.find('/');
  if (slash == path.npos) return std::nullopt;
  ExportName name{.user_id = PercentDecode(path.substr(0, slash), /*form=*/false),
                  .export_id = PercentDecode(path.substr(slash + 1), /*form=*/false)};
  if (!catalog::UserIdProblem(name.user_id, /*allow_reserved=*/true).empty()) return std::nullopt;
  if (!IsPlain(name.export_id)) return std::nullopt;
  return name;
}

// One download. A worker opens and reads, the core sends; never both at once.
class ExportDownload : public Exchange, public std::enable_shared_from_this<ExportDownload> {
 public:
  ExportDownload(HttpSession& session, std::string path, std::string file_name)
      : server_(session.server()),
        loop_(session.core().loop),
        reply_(session.Later()),
        path_(std::move(path)),
        file_name_(std::move(file_name)) {}
  ~ExportDownload() override {
    if (fd_ >= 0) close(fd_);
  }

  void Start() { OnWorker(&ExportDownload::Open); }
  void OnWritable() override {
    if (std::exchange(held_back_, false)) OnWorker(&ExportDownload::ReadPiece);
  }
  void OnAbandoned() override { abandoned_.store(true, std::memory_order_relaxed); }

 private:
  void OnWorker(void (ExportDownload::*work)()) {
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
  void OnCore(void (ExportDownload::*answer)(HttpSession& session)) {
    loop_.Post([self = shared_from_this(), answer] {
      if (HttpSession* session = self->reply_.Find(); session != nullptr)
        ((*self).*answer)(*session);
    });
  }

  // On a worker.
  void Open() {
    fd_ = open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    struct stat facts = {};
    if (fd_ >= 0 && fstat(fd_, &facts) == 0 && S_ISREG(facts.st_mode)) size_ = facts.st_size;
    OnCore(&ExportDownload::Begin);
  }
  void ReadPiece() {
    if (abandoned_.load(std::memory_order_relaxed)) return;
    piece_.resize(static_cast<size_t>(std::min(size_ - at_, kDownloadPieceBytes)));
    ssize_t count = 0;
    do {
      count = pread(fd_, piece_.data(), piece_.size(), at_);
    } while (count < 0 && errno == EINTR);
    // A file that is shorter than it was cannot be completed.
    piece_.resize(static_cast<size_t>(std::max<ssize_t>(count, 0)));
    OnCore(&ExportDownload::SendPiece);
  }

  // On the core.
  void Begin(HttpSession& session) {
    if (size_ < 0) {
      session.Respond(
          {.status = 404, .body = R"({"error":"Export not found","code":"EXPORT_NOT_FOUND"})"});
      return;
    }
    begun_ = true;
    session.BeginSized(
        200, "application/zip",
        fmt::format("Content-Disposition: attachment; filename=\"{}\"\r\nCache-Control: private, "
                    "no-store\r\nX-Content-Type-Options: nosniff\r\n",
                    file_name_),
        size_);
    if (session.request().method() == "HEAD" || size_ == 0) {
      session.EndSized();
      return;
    }
    OnWorker(&ExportDownload::ReadPiece);
  }
  void SendPiece(HttpSession& session) {
    if (piece_.empty()) {
      session.AbortAnswer();
      return;
    }
    at_ += static_cast<int64_t>(piece_.size());
    session.SendPiece(std::exchange(piece_, {}));
    if (at_ >= size_) {
      session.EndSized();
    } else if (session.connection().writable()) {
      OnWorker(&ExportDownload::ReadPiece);
    } else {
      held_back_ = true;
    }
  }

  ServerContext& server_;
  EventLoop& loop_;
  const Reply reply_;
  const std::string path_;
  const std::string file_name_;
  int fd_ = -1;
  int64_t size_ = -1;  // there is none
  int64_t at_ = 0;
  std::string piece_;
  bool begun_ = false;
  bool held_back_ = false;
  std::atomic<bool> abandoned_{false};
};

}  // namespace

void AnswerExport(HttpSession& session) {
  const int64_t started_us = session.server().clock.SteadyUs();
  const std::optional<auth::Principal> principal = AuthenticateBearer(session, started_us);
  if (!principal) return;
  const auto refuse = [&](int http_status, std::string_view code, std::string_view message) {
    session.Respond({.status = http_status,
                     .body = SqlErrorBody(code, message, "", TookMs(session, started_us))});
  };
  const std::optional<ExportName> name = ParsePath(session.request().path());
  if (!name) {
    refuse(400, "INVALID_INPUT", "The path must be /v1/exports/{user}/{export id}");
    return;
  }
  const catalog::Caller& caller = principal->caller;
  if (caller.user_id != name->user_id && !catalog::IsAdmin(caller.role)) {
    refuse(403, "PERMISSION_DENIED", "Permission denied: exports are for the user they are of");
    return;
  }
  auto download = std::make_shared<ExportDownload>(
      session, exports::ExportPath(session.server().data_directory, name->user_id, name->export_id),
      name->export_id + ".zip");
  session.SetExchange(download);
  download->Start();
}

}  // namespace kalam::server

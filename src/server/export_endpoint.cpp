// Downloads of archives: whose they are.
#include "server/export_endpoint.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <utility>

#include "base/file_descriptor.h"
#include "catalog/role.h"
#include "catalog/users.h"
#include "exports/user_export.h"
#include "server/http_session.h"
#include "server/piece_download.h"
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

class ExportDownload : public PieceDownload {
 public:
  ExportDownload(HttpSession& session, std::string path, std::string file_name)
      : PieceDownload(session), path_(std::move(path)), file_name_(std::move(file_name)) {}

 private:
  void Look() override {
    file_.emplace(open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    struct stat facts = {};
    if (file_->get() >= 0 && fstat(file_->get(), &facts) == 0 && S_ISREG(facts.st_mode))
      size_ = facts.st_size;
  }
  Result<std::string> Read(int64_t offset, int64_t size) override {
    std::string bytes(static_cast<size_t>(size), '\0');
    ssize_t count = 0;
    do {
      count = pread(file_->get(), bytes.data(), bytes.size(), offset);
    } while (count < 0 && errno == EINTR);
    bytes.resize(static_cast<size_t>(std::max<ssize_t>(count, 0)));
    return bytes;
  }
  void Refuse(HttpSession& session, const Status& status) override {
    session.Respond({.status = 500,
                     .body = ErrorBody(TraitsOf(status.kind()).wire_code,
                                       "The export cannot be read; ask for another one")});
  }
  void Begin(HttpSession& session) override {
    if (size_ < 0) {
      session.Respond(
          {.status = 404, .body = R"({"error":"Export not found","code":"EXPORT_NOT_FOUND"})"});
      return;
    }
    SendBytes(session, 200, "application/zip",
              fmt::format("Content-Disposition: attachment; filename=\"{}\"\r\nCache-Control: "
                          "private, no-store\r\nX-Content-Type-Options: nosniff\r\n",
                          file_name_),
              0, size_);
  }

  const std::string path_;
  const std::string file_name_;
  std::optional<FileDescriptor> file_;
  int64_t size_ = -1;  // there is none
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

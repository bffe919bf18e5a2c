// See upload.h.
#include "server/upload.h"

#include <fmt/format.h>

#include <atomic>
#include <utility>

#include "files/file_store.h"
#include "server/http_session.h"
#include "server/limits.h"
#include "server/multipart.h"

namespace kalam::server {
namespace {

// What the parts of a form become. Used by one worker at a time.
class Form : public FormReceiver {
 public:
  /// Texts are charged to `account` while they arrive.
  Form(std::unique_ptr<files::StagingArea> staging, size_t parameter_bytes_max,
       MemoryAccount& account)
      : parameter_bytes_max_(parameter_bytes_max),
        text_charge_(account, 0),
        staging(std::move(staging)) {}

  Status OnPart(const FormPart& part) override {
    if (part.name.starts_with("file:")) {
      kind_ = Kind::kFile;
      return staging->Begin(std::string_view(part.name).substr(5), part.file_name,
                            part.content_type);
    }
    kind_ = Kind::kOther;
    if (part.name == "sql") {
      has_sql = true;
      kind_ = Kind::kSql;
    } else if (part.name == "params") {
      kind_ = Kind::kParameters;
    } else if (part.name == "namespace_id") {
      kind_ = Kind::kNamespace;
    }
    return {};
  }

  Status OnContent(std::string_view bytes) override {
    switch (kind_) {
      case Kind::kFile:
        return staging->Append(bytes);
      case Kind::kSql:
        KALAM_RETURN_IF_ERROR(Append(bytes, &sql));
        if (sql.size() <= kSqlBytesMax) return {};
        return Status(ErrorKind::InvalidSql,
                      fmt::format("SQL query too long: at most {} bytes", kSqlBytesMax));
      case Kind::kParameters:
        KALAM_RETURN_IF_ERROR(Append(bytes, &parameters));
        if (parameters.size() <= parameter_bytes_max_) return {};
        return Status(ErrorKind::InvalidParameter,
                      fmt::format("'params' has more than {} bytes", parameter_bytes_max_));
      case Kind::kNamespace:
        namespace_id += bytes;
        if (namespace_id.size() <= kNamespaceBytesMax) return {};
        return Status(ErrorKind::InvalidInput, "'namespace_id' is too long");
      case Kind::kOther:
        return {};
    }
    return {};
  }

  Status OnPartEnd() override { return kind_ == Kind::kFile ? staging->End() : Status(); }

 private:
  enum class Kind : uint8_t { kOther, kSql, kParameters, kNamespace, kFile };
  static constexpr size_t kNamespaceBytesMax = 256;

  Status Append(std::string_view bytes, std::string* text) {
    // A string doubles when it grows.
    const size_t held = 2 * (sql.size() + parameters.size() + bytes.size());
    if (!text_charge_.TryResize(static_cast<int64_t>(held)))
      return Status(ErrorKind::Busy, "Too many large requests at once; try again");
    *text += bytes;
    return {};
  }

  const size_t parameter_bytes_max_;
  Kind kind_ = Kind::kOther;
  MemoryCharge text_charge_;

 public:
  std::string sql, parameters, namespace_id;
  bool has_sql = false;
  std::unique_ptr<files::StagingArea> staging;
};

// One form on its way. The core collects bytes, a worker reads them; `working_` tells whose turn it
// is, so neither needs a lock.
class FormUpload : public Exchange, public std::enable_shared_from_this<FormUpload> {
 public:
  FormUpload(HttpSession& session, MultipartReader reader, const std::string& user_id,
             FormReady ready)
      : server_(session.server()),
        loop_(session.core().loop),
        reply_(session.Later()),
        reader_(std::move(reader)),
        form_(server_.files->OpenStaging(user_id), server_.options.http.body_bytes_max,
              server_.connection_memory.request_bodies),
        charge_(server_.connection_memory.request_bodies,
                2 * static_cast<int64_t>(kUploadBufferBytes)),
        ready_(std::move(ready)) {}

  // A form that was cut short leaves files, and removing them is disk work.
  ~FormUpload() override {
    if (form_.staging == nullptr) return;
    server_.workers.SubmitAlways(
        [staging = std::shared_ptr<files::StagingArea>(std::move(form_.staging))] {});
  }

  void OnBody(std::string bytes, bool whole) override {
    waiting_ += bytes;
    whole_ = whole_ || whole;
    Pump();
  }
  void OnAbandoned() override { abandoned_.store(true, std::memory_order_relaxed); }

 private:
  // On the core.
  void Pump() {
    HttpSession* session = reply_.Find();
    if (session == nullptr) return;
    if (working_) {
      if (waiting_.size() >= kUploadBufferBytes && !whole_) session->PauseBody();
      return;
    }
    if (waiting_.size() < kUploadBufferBytes / 4 && !whole_) return;
    working_ = true;
    const bool last = whole_;
    const bool accepted =
        server_.workers.Submit([self = shared_from_this(), bytes = std::exchange(waiting_, {}),
                                last] { self->Work(bytes, last); });
    if (accepted) return;
    Status busy(ErrorKind::Busy, "The server is busy; try again");
    Ready(*session, std::move(busy));
  }

  // On a worker. After an error the rest of the form is read and thrown away, so that the client
  // has sent everything when it gets the answer.
  void Work(std::string_view bytes, bool last) {
    if (!abandoned_.load(std::memory_order_relaxed)) {
      if (status_.ok()) status_ = reader_.Feed(bytes, form_);
      if (last && status_.ok()) status_ = reader_.Finish();
      if (last && status_.ok() && !form_.has_sql)
        status_ = Status(ErrorKind::EmptySql, "The form has no part 'sql'");
      if (!status_.ok()) form_.staging.reset();
    }
    loop_.Post([self = shared_from_this(), last] { self->OnWorked(last); });
  }

  // On the core.
  void OnWorked(bool last) {
    working_ = false;
    HttpSession* session = reply_.Find();
    if (session == nullptr) return;
    if (!last) {
      Pump();
      session->ResumeBody();
      return;
    }
    if (!status_.ok()) {
      Ready(*session, std::move(status_));
      return;
    }
    ReceivedForm form;
    form.body.sql = std::move(form_.sql);
    if (!form_.namespace_id.empty()) form.body.namespace_id = std::move(form_.namespace_id);
    form.staging = std::move(form_.staging);
    if (!form_.parameters.empty()) {
      auto parameters = session->core().reader->ReadParameters(form_.parameters);
      if (!parameters.ok()) {
        Ready(*session, std::move(parameters).status());
        return;
      }
      form.body.parameters = std::move(*parameters);
    }
    Ready(*session, std::move(form));
  }

  void Ready(HttpSession& session, Result<ReceivedForm> form) {
    const std::shared_ptr<FormUpload> self = shared_from_this();  // the answer lets go of it
    std::exchange(ready_, nullptr)(session, std::move(form));
  }

  ServerContext& server_;
  EventLoop& loop_;
  const Reply reply_;
  MultipartReader reader_;
  Form form_;
  const MemoryCharge charge_;
  FormReady ready_;
  Status status_;
  std::string waiting_;
  bool whole_ = false;
  bool working_ = false;
  std::atomic<bool> abandoned_{false};
};

}  // namespace

bool IsUpload(const HttpRequest& request) {
  constexpr std::string_view kType = "multipart/form-data";
  const std::string_view type = request.header("content-type").value_or("");
  return request.method() == "POST" && request.path() == "/v1/api/sql" &&
         type.size() >= kType.size() && EqualsIgnoringCase(type.substr(0, kType.size()), kType);
}

void ReceiveUpload(HttpSession& session, const std::string& user_id, FormReady ready) {
  ServerContext& server = session.server();
  const auto charge = 2 * static_cast<int64_t>(kUploadBufferBytes);
  const bool has_room = server.connection_memory.request_bodies.TryCharge(charge);
  if (has_room)
    server.connection_memory.request_bodies.Release(charge);  // the upload charges it for itself
  if (!has_room) {
    ready(session, Status(ErrorKind::Busy, "Too many large requests at once; try again"));
    return;
  }
  auto reader = MultipartReader::Make(session.request().header("content-type").value_or(""));
  if (!reader.ok()) {
    ready(session, std::move(reader).status());
    return;
  }
  session.SetExchange(
      std::make_shared<FormUpload>(session, std::move(*reader), user_id, std::move(ready)));
}

}  // namespace kalam::server

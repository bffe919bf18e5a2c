// Drives a SQL request from its body to its streamed answer, between the core and the workers.
#include "server/sql_endpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <optional>
#include <utility>

#include "server/http_session.h"
#include "server/limits.h"
#include "server/request_authentication.h"
#include "server/request_reader.h"
#include "server/sql_answer.h"
#include "server/upload.h"
#include "statements/sql_request.h"

namespace kalam::server {
namespace {

using statements::SqlRequest;

// What a client that does not read makes a streamed answer hold: the chunk after which the
// connection is not writable, on top of what just left it writable.
constexpr size_t kStreamRoomBytes = kOutputHighWaterBytes + kStreamChunkBytes;

// What sheds load or counts says when to come back.
std::string RetryAfter(int http_status) {
  return http_status == 503 || http_status == 429 ? "Retry-After: 1\r\n" : "";
}

// One request on its way. It is touched by one thread at a time: the core, or the worker it was
// handed to; only `cancelled_` and `tickets_` are shared.
class SqlRun : public Exchange, public std::enable_shared_from_this<SqlRun> {
 public:
  SqlRun(HttpSession& session, int64_t started_us)
      : server_(session.server()),
        loop_(session.core().loop),
        reply_(session.Later()),
        started_us_(started_us) {}

  /// `charge`: of the input, which lives as long as the run.
  void Start(statements::RequestInput input, MemoryCharge charge) {
    input_charge_ = std::move(charge);
    input.cancelled = [run = weak_from_this()] {
      const std::shared_ptr<SqlRun> alive = run.lock();
      return alive == nullptr || alive->cancelled_.load(std::memory_order_relaxed);
    };
    request_ = server_.statements->Start(std::move(input));
    Drive(false);
  }

  void OnWritable() override {
    if (std::exchange(held_back_, false)) Continue();
  }
  void OnAbandoned() override { cancelled_.store(true, std::memory_order_relaxed); }

 private:
  double took_ms() const {
    return static_cast<double>(server_.clock.SteadyUs() - started_us_) / 1000.0;
  }

  // Runs the request until it waits, wants a worker, or is finished.
  void Drive(bool on_worker) {
    while (true) {
      const SqlRequest::Step step =
          request_->Advance(on_worker, [self = shared_from_this()] { self->Wake(); });
      if (step == SqlRequest::Step::kFinished) {
        OnFinished(on_worker);
        return;
      }
      if (step == SqlRequest::Step::kNeedsWorker) {
        if (on_worker) continue;
        HandToWorker([](SqlRun& run) { run.Drive(true); });
        return;
      }
      // The wake may have come while Advance was still returning: whoever is second goes on.
      if (tickets_.fetch_add(1, std::memory_order_acq_rel) == 0) return;
      tickets_.store(0, std::memory_order_relaxed);
    }
  }

  // Any thread.
  void Wake() {
    if (tickets_.fetch_add(1, std::memory_order_acq_rel) == 0) return;
    tickets_.store(0, std::memory_order_relaxed);
    loop_.Post([self = shared_from_this()] { self->Drive(false); });
  }

  void HandToWorker(void (*work)(SqlRun& run)) {
    server_.statements_to_workers.Add();
    if (server_.workers.Submit([self = shared_from_this(), work] { work(*self); })) return;
    Refuse(503, "SERVER_BUSY", "The server is busy; try again");
  }

  void OnFinished(bool on_worker) {
    if (request_->error() != nullptr) {
      OnCore(on_worker, [](SqlRun& run, HttpSession& session) { run.AnswerError(session); });
      return;
    }
    bool needs_worker = request_->rows_need_worker();
    for (const statements::StatementResult& result : request_->results()) {
      needs_worker = needs_worker || (result.rows != nullptr && result.rows->needs_worker());
    }
    rows_on_worker_ = needs_worker || on_worker;
    if (needs_worker && !on_worker) {
      HandToWorker([](SqlRun& run) { run.Encode(true); });
      return;
    }
    Encode(on_worker);
  }

  // Writes results until the end or until a chunk is full, then has it sent.
  void Encode(bool on_worker) {
    std::vector<statements::StatementResult>& results = request_->results();
    const bool single = results.size() == 1 && results[0].rows != nullptr;
    while (result_index_ < results.size()) {
      statements::StatementResult& result = results[result_index_];
      if (result.rows == nullptr) {
        writer_.Command(result.row_count, result.message, result.as_user);
        ++result_index_;
        continue;
      }
      if (!std::exchange(rows_begun_, true)) writer_.BeginRows(result.rows->schema());
      Result<bool> more = result.rows->Next(writer_, chunk_bytes_);
      // Nothing was sent yet: what needs the disk or more than a turn begins anew on a worker.
      const bool too_much = more.ok() ? *more : more.status().Is(ErrorKind::NotInMemory);
      if (too_much && !begun_ && !on_worker && request_->RunAgain()) {
        writer_ = SqlAnswerWriter();
        rows_begun_ = false;
        HandToWorker([](SqlRun& run) { run.Drive(true); });
        return;
      }
      if (!more.ok()) {
        failure_ = request_->FailRows(std::move(more).status());
        as_user_ = result.as_user;
        break;
      }
      if (*more) {
        if (writer_.buffered_bytes() >= chunk_bytes_) break;
        continue;
      }
      rows_sent_ += writer_.row_count();
      writer_.EndRows(result.as_user, result.message ? *result.message : result.rows->notice());
      rows_begun_ = false;
      ++result_index_;
      // Rows that were kept for this are not needed any more.
      result.rows.reset();
      result.memory.Reset();
      if (writer_.buffered_bytes() >= chunk_bytes_) break;
    }
    done_ = failure_.has_value() || result_index_ == results.size();
    if (done_ && !failure_.has_value()) writer_.FinishWithSuccess(took_ms(), single);
    if (done_) request_->Finish(rows_sent_);
    OnCore(on_worker, [](SqlRun& run, HttpSession& session) { run.Emit(session); });
  }

  // Sends what has been written. On the core.
  void Emit(HttpSession& session) {
    if (failure_.has_value() && !begun_) {
      Answer(session, *failure_);
      return;
    }
    if (failure_.has_value()) {
      // The status line is gone: the error stands at the end of the body.
      writer_.FinishWithError(failure_->code, failure_->message, failure_->details, as_user_,
                              took_ms());
    }
    if (!begun_ && !IsSmall() && !MayStream()) {
      Refuse(503, "MEMORY_PRESSURE",
             "The server is short of memory and sends no further large answers for a moment; try "
             "again");
      return;
    }
    if (done_ && !begun_) {
      session.Respond({.body = writer_.Take()});
      return;
    }
    if (!std::exchange(begun_, true)) session.BeginChunked("application/json");
    sent_bytes_ += writer_.buffered_bytes();
    session.SendChunk(writer_.Take());
    KeepRoom(session.connection().unsent_bytes());
    if (done_) {
      session.EndChunked();
    } else if (session.connection().writable()) {
      // A turn for the others between two chunks.
      loop_.Post([self = shared_from_this()] { self->Continue(); });
    } else {
      held_back_ = true;
    }
  }

  // A whole answer that need not ask for room; less of it while others do not read theirs.
  bool IsSmall() const {
    const MemoryAccount& sockets = server_.connection_memory.write;
    const bool is_calm = sockets.used_bytes() < sockets.limit_bytes() / 2;
    return done_ && writer_.buffered_bytes() <= (is_calm ? kStreamRoomBytes : kUnaskedAnswerBytes);
  }

  // Whether what this answer may leave in the socket's buffer finds room beside what others have
  // not read; it is kept until the answer is done. A row may be larger than a chunk.
  bool MayStream() {
    room_ = MemoryCharge(server_.connection_memory.write, 0);
    const size_t more_bytes = done_ ? 0 : kStreamChunkBytes;
    room_bytes_ = std::max(done_ ? 0 : kStreamRoomBytes, writer_.buffered_bytes() + more_bytes);
    if (room_.TryResize(static_cast<int64_t>(room_bytes_))) return true;
    server_.answers_refused.Add();
    return false;
  }

  // What waits in the socket's buffer is charged there; the rest is kept for what comes next.
  void KeepRoom(size_t unsent_bytes) {
    const MemoryAccount& sockets = server_.connection_memory.write;
    const bool is_trusted = rows_on_worker_ && sent_bytes_ >= kTrustedAfterBytes &&
                            sockets.used_bytes() < sockets.limit_bytes() / 2;
    const auto left = [unsent_bytes](size_t bytes) {
      return static_cast<int64_t>(bytes - std::min(bytes, unsent_bytes));
    };
    if (is_trusted && room_.TryResize(left(kOutputHighWaterBytes + kLargeStreamChunkBytes))) {
      chunk_bytes_ = kLargeStreamChunkBytes;
      return;
    }
    chunk_bytes_ = kStreamChunkBytes;
    room_.Resize(left(room_bytes_));
  }

  void Continue() {
    if (cancelled_.load(std::memory_order_relaxed)) return;
    if (rows_on_worker_) {
      HandToWorker([](SqlRun& run) { run.Encode(true); });
    } else {
      Encode(false);
    }
  }

  void AnswerError(HttpSession& session) { Answer(session, *request_->error()); }

  void Answer(HttpSession& session, const statements::RequestError& error) {
    session.Respond({.status = error.http_status,
                     .body = SqlErrorBody(error.code, error.message, error.details, took_ms()),
                     .headers = RetryAfter(error.http_status)});
  }

  void Refuse(int status, std::string_view code, std::string_view message) {
    HttpSession* session = reply_.Find();
    if (session == nullptr) return;
    if (begun_) {
      session->AbortAnswer();
      return;
    }
    session->Respond({.status = status,
                      .body = SqlErrorBody(code, message, "", took_ms()),
                      .headers = "Retry-After: 1\r\n"});
  }

  // Runs `answer` on the core if somebody still waits for it.
  void OnCore(bool on_worker, void (*answer)(SqlRun& run, HttpSession& session)) {
    if (!on_worker) {
      if (HttpSession* session = reply_.Find(); session != nullptr) answer(*this, *session);
      return;
    }
    loop_.Post([self = shared_from_this(), answer] {
      if (HttpSession* session = self->reply_.Find(); session != nullptr) answer(*self, *session);
    });
  }

  ServerContext& server_;
  EventLoop& loop_;
  const Reply reply_;
  const int64_t started_us_;
  std::unique_ptr<SqlRequest> request_;
  std::atomic<bool> cancelled_{false};
  std::atomic<int> tickets_{0};
  SqlAnswerWriter writer_;
  MemoryCharge input_charge_;
  MemoryCharge room_;
  size_t room_bytes_ = kStreamRoomBytes;
  size_t chunk_bytes_ = kStreamChunkBytes;
  size_t sent_bytes_ = 0;
  size_t result_index_ = 0;
  int64_t rows_sent_ = 0;
  std::optional<statements::RequestError> failure_;  // of the rows
  std::string as_user_;
  bool rows_begun_ = false;
  bool rows_on_worker_ = false;
  bool done_ = false;
  bool begun_ = false;
  bool held_back_ = false;
};

bool IsJson(std::string_view content_type) {
  const std::string_view media = content_type.substr(0, content_type.find(';'));
  std::string_view trimmed = media;
  while (trimmed.ends_with(' ')) trimmed.remove_suffix(1);
  return EqualsIgnoringCase(trimmed, "application/json") ||
         (trimmed.size() > 5 && EqualsIgnoringCase(trimmed.substr(trimmed.size() - 5), "+json"));
}

Result<SqlRequestBody> ReadBody(HttpSession& session) {
  const std::string_view content_type = session.request().header("content-type").value_or("");
  if (!IsJson(content_type)) {
    return Status(ErrorKind::InvalidInput,
                  "The Content-Type must be application/json or multipart/form-data");
  }
  return session.core().reader->ReadSql(session.request().body());
}

void RefuseSql(HttpSession& session, int64_t started_us, const Status& status) {
  const ErrorTraits& traits = TraitsOf(status.kind());
  const bool later = traits.http_status == 429 || traits.http_status == 503;
  session.Respond(
      {.status = traits.http_status,
       .body = SqlErrorBody(traits.wire_code, status.ToString(), "", TookMs(session, started_us)),
       .headers = later ? "Retry-After: 1\r\n" : ""});
}

// What the text and the parameters of a request hold until it is answered: as they came, and as
// the statements have them.
int64_t HeldBytes(const statements::RequestInput& input) {
  size_t bytes = input.sql.size();
  for (const Value& value : input.parameters) bytes += sizeof(Value) + value.heap_bytes();
  return 2 * static_cast<int64_t>(bytes);
}

void RunSql(HttpSession& session, int64_t started_us, catalog::Caller caller, ReceivedForm form) {
  if (form.body.sql.size() > kSqlBytesMax) {
    session.Respond(
        {.status = 400,
         .body = SqlErrorBody("INVALID_SQL",
                              fmt::format("SQL query too long: {} bytes (maximum {} bytes)",
                                          form.body.sql.size(), kSqlBytesMax),
                              "", TookMs(session, started_us))});
    return;
  }
  statements::RequestInput input;
  input.sql = std::move(form.body.sql);
  input.parameters = std::move(form.body.parameters);
  input.namespace_id = std::move(form.body.namespace_id);
  input.client_address = session.client().ToString();
  input.caller = std::move(caller);
  input.staging = std::move(form.staging);
  MemoryCharge charge(session.server().connection_memory.request_bodies, 0);
  const int64_t bytes = HeldBytes(input);
  if (bytes > kUncountedBodyBytes && !charge.TryResize(bytes)) {
    RefuseSql(session, started_us,
              Status(ErrorKind::Busy, "Too many large requests at once; try again"));
    return;
  }
  auto run = std::make_shared<SqlRun>(session, started_us);
  session.SetExchange(run);
  run->Start(std::move(input), std::move(charge));
}

}  // namespace

void AnswerSql(HttpSession& session) {
  ServerContext& server = session.server();
  const int64_t started_us = server.clock.SteadyUs();
  std::optional<auth::Principal> principal = AuthenticateBearer(session, started_us);
  if (!principal) return;
  if (!server.rates.CheckQuery(principal->caller.user_id, started_us)) {
    RefuseSql(session, started_us,
              Status(ErrorKind::RateLimited, "Too many queries per second; try again later"));
    return;
  }
  if (IsUpload(session.request())) {
    const std::string user_id = principal->caller.user_id;
    ReceiveUpload(session, user_id,
                  [started_us, caller = std::move(principal->caller)](
                      HttpSession& waiting, Result<ReceivedForm> form) mutable {
                    if (!form.ok()) {
                      RefuseSql(waiting, started_us, form.status());
                      return;
                    }
                    RunSql(waiting, started_us, std::move(caller), std::move(*form));
                  });
    return;
  }
  Result<SqlRequestBody> body = ReadBody(session);
  if (!body.ok()) {
    RefuseSql(session, started_us, body.status());
    return;
  }
  session.DropBody();
  RunSql(session, started_us, std::move(principal->caller), {.body = std::move(*body)});
}

}  // namespace kalam::server

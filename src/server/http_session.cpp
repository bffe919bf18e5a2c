// The life of a request: parsed, let in, routed, answered.
#include "server/http_session.h"

#include <fmt/format.h>
#include <time.h>

#include "base/log.h"
#include "server/limits.h"
#include "server/request_reader.h"
#include "server/routes.h"

namespace kalam::server {

namespace {
constexpr std::string_view kNoHttp2 = "HTTP/2 is not offered here; use HTTP/1.1 over this port";
static_assert(kNoHttp2.size() + 8 == 0x3f);  // the length in the GOAWAY frame below
}  // namespace

CoreContext::CoreContext(ServerContext& server_context, EventLoop& event_loop)
    : server(server_context),
      loop(event_loop),
      reader(std::make_unique<RequestReader>(server_context.connection_memory.request_bodies)) {}

CoreContext::~CoreContext() = default;

std::string_view CoreContext::Date() {
  if (date_at_s_ != loop.now_s()) {
    date_at_s_ = loop.now_s();
    const time_t now = time(nullptr);
    tm parts;
    gmtime_r(&now, &parts);
    char text[40];
    date_.assign(text, strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &parts));
  }
  return date_;
}

void Reply::Run(std::function<void(HttpSession&)> function) const {
  loop_->Post([reply = *this, function = std::move(function)] {
    if (HttpSession* session = reply.Find(); session != nullptr) function(*session);
  });
}

HttpSession* Reply::Find() const {
  const std::shared_ptr<Connection> connection = connection_.lock();
  if (connection == nullptr || !connection->open()) return nullptr;
  auto* session = dynamic_cast<HttpSession*>(connection->protocol());
  const bool waiting =
      session != nullptr && session->in_flight_ && session->exchange_number_ == exchange_number_;
  return waiting ? session : nullptr;
}

HttpSession::HttpSession(Connection& connection, CoreContext& core)
    : connection_(connection),
      core_(core),
      parser_(core.server.options.http),
      client_(connection.peer()) {
  connection_.SetDeadline(core_.server.options.keep_alive_s);
}

bool HttpSession::secure() {
  if (connection_.secure()) return true;
  const auto proto = request().header("x-forwarded-proto");
  const IpAddress& peer = connection_.peer();
  return proto && EqualsIgnoringCase(*proto, "https") &&
         (peer.is_loopback() || server().trusted_proxies.Contains(peer));
}

size_t HttpSession::OnBytes(std::span<char> bytes) {
  const size_t used = parser_.Feed({bytes.data(), bytes.size()});
  const bool has_head = parser_.state() == HttpRequestParser::State::kBody ||
                        parser_.state() == HttpRequestParser::State::kComplete;
  if (has_head && parser_.streams_body()) {
    OnStreamedBody();
    return used;
  }
  switch (parser_.state()) {
    case HttpRequestParser::State::kHead:
      if (used == bytes.size()) break;
      if (!MayWaitForHead(bytes.size() - used)) return bytes.size();
      connection_.SetDeadline(server().options.request_s);
      break;
    case HttpRequestParser::State::kBody:
      if (!ChargeBody()) return bytes.size();
      if (parser_.TakeExpectContinue()) connection_.Send("HTTP/1.1 100 Continue\r\n\r\n");
      connection_.SetDeadline(server().options.request_s);
      break;
    case HttpRequestParser::State::kComplete:
      Dispatch();
      break;
    case HttpRequestParser::State::kRefused:
      RefuseRequest();
      return bytes.size();
    case HttpRequestParser::State::kHttp2:
      // RFC 9113: our preface (empty SETTINGS), then GOAWAY with HTTP_1_1_REQUIRED and the reason
      // in its debug text.
      connection_.Send({std::string_view("\0\0\0\4\0\0\0\0\0", 9),
                        std::string_view("\0\0\x3f\7\0\0\0\0\0\0\0\0\0\0\0\0\x0d", 17), kNoHttp2});
      connection_.CloseGracefully(server().options.disconnect_s);
      return bytes.size();
  }
  return used;
}

// The request is answered by whoever takes its body; that begins with the head, so that nobody
// sends much before he is known.
void HttpSession::OnStreamedBody() {
  const bool whole = parser_.state() == HttpRequestParser::State::kComplete;
  if (!in_flight_) {
    Dispatch();
    if (!in_flight_ || connection_.protocol() != this) return;
    if (parser_.TakeExpectContinue()) connection_.Send("HTTP/1.1 100 Continue\r\n\r\n");
  }
  if (whole) {
    connection_.PauseReading();
  } else {
    connection_.SetDeadline(server().options.request_s);
  }
  std::string bytes = parser_.TakeBody();
  if (const std::shared_ptr<Exchange> exchange = exchange_; exchange != nullptr)
    exchange->OnBody(std::move(bytes), whole);
}

void HttpSession::PauseBody() {
  body_paused_ = true;
  connection_.PauseReading();
}

void HttpSession::ResumeBody() {
  if (!std::exchange(body_paused_, false)) return;
  connection_.SetDeadline(server().options.request_s);
  connection_.ResumeReading();
}

// A connection whose request has not come whole cannot carry another one.
bool HttpSession::keeps_alive() {
  return request().keep_alive() && parser_.state() != HttpRequestParser::State::kBody;
}

// Bodies that are still arriving, of all connections together, have one bound: senders are not
// known yet.
bool HttpSession::ChargeBody() {
  const auto held = static_cast<int64_t>(request().body().capacity());
  if (held < kUncountedBodyBytes || held == body_charge_) return true;
  if (server().connection_memory.request_bodies.TryCharge(held - body_charge_)) {
    body_charge_ = held;
    return true;
  }
  RefuseUnread("Too many large requests at once; try again");
  return false;
}

// The front of a head waits with the connection. While others fill what there is for that, only a
// short one does.
bool HttpSession::MayWaitForHead(size_t bytes) {
  const MemoryAccount& read = server().connection_memory.read;
  const bool is_full = read.limit_bytes() > 0 && read.used_bytes() > read.limit_bytes();
  if (!is_full || bytes <= static_cast<size_t>(kSmallReadBytes)) return true;
  RefuseUnread("Too many unfinished requests at once; try again");
  return false;
}

void HttpSession::RefuseUnread(std::string_view why) {
  in_flight_ = true;
  parser_.RefuseKeepAlive();
  Respond({.status = 503, .body = ErrorBody("SERVER_BUSY", why), .headers = "Retry-After: 1\r\n"});
}

void HttpSession::DropBody() {
  if (body_charge_ == 0) return;
  parser_.TakeBody();
  ReleaseBody();
}

void HttpSession::ReleaseBody() {
  if (body_charge_ > 0)
    server().connection_memory.request_bodies.Release(std::exchange(body_charge_, 0));
}

void HttpSession::RefuseRequest() {
  const HttpRefusal& refusal = parser_.refusal();
  in_flight_ = true;
  parser_.RefuseKeepAlive();
  std::string body = ErrorBody(refusal.code, refusal.message);
  if (!refusal.details.empty()) {
    body.pop_back();
    body += "," + refusal.details + "}";
  }
  Respond({.status = refusal.status, .body = std::move(body)});
}

void HttpSession::Dispatch() {
  in_flight_ = true;
  ++exchange_number_;
  server().requests.Add();
  const IpAddress& peer = connection_.peer();
  client_ = ClientAddress(peer, request().header("x-forwarded-for"), request().header("x-real-ip"),
                          server().trusted_proxies);
  // A proxy stands for many clients; only what it names is counted, and nothing when it names
  // nobody.
  client_exempt_ = client_.is_loopback() || server().trusted_proxies.Contains(client_);
  if (request().method() == "OPTIONS" && request().header("origin") &&
      request().header("access-control-request-method")) {
    AnswerPreflight();
  } else if (CheckLimits()) {
    RouteRequest(*this);
  }
  const bool whole = parser_.state() == HttpRequestParser::State::kComplete;
  if (in_flight_ && whole && connection_.protocol() == this) connection_.PauseReading();
}

bool HttpSession::CheckLimits() {
  if (client_exempt_) return true;
  const RateVerdict verdict = server().rates.CheckRequest(client_, server().clock.SteadyUs());
  if (verdict == RateVerdict::kAllowed) return true;
  const bool banned = verdict == RateVerdict::kBanned;
  const int64_t retry_s = banned ? server().rates.limits().ban_seconds : 1;
  std::string body =
      ErrorBody(banned ? "IP_BANNED" : "RATE_LIMIT_EXCEEDED",
                banned ? "This address is refused for a while after too many requests"
                       : "Too many requests from this address");
  body.pop_back();
  body += fmt::format(",\"retry_after_seconds\":{}}}", retry_s);
  Respond(
      {.status = 429,
       .body = std::move(body),
       .headers = fmt::format("Retry-After: {}\r\nX-RateLimit-Reset: {}\r\n", retry_s, retry_s)});
  return false;
}

void HttpSession::AnswerPreflight() {
  const std::string_view origin = *request().header("origin");
  if (!server().cors.Allows(origin)) {
    RespondError(403, "ORIGIN_NOT_ALLOWED", "This origin may not call the server");
    return;
  }
  Respond({.status = 200, .headers = server().cors.PreflightHeaders()});
}

std::string HttpSession::Head(int status, std::string_view content_type, std::string_view more) {
  std::string head;
  head.reserve(256);
  fmt::format_to(std::back_inserter(head), "HTTP/1.1 {} {}\r\nDate: {}\r\n", status,
                 ReasonOf(status), core_.Date());
  if (!content_type.empty())
    fmt::format_to(std::back_inserter(head), "Content-Type: {}\r\n", content_type);
  if (const auto origin = request().header("origin")) head += server().cors.AnswerHeaders(*origin);
  if (!keeps_alive()) {
    head += "Connection: close\r\n";
  } else if (request().http_1_0()) {
    head += "Connection: keep-alive\r\n";
  }
  head += more;
  return head;
}

void HttpSession::Respond(HttpResponse response) {
  const bool no_body = response.status == 204 || response.status == 304 || response.status == 101;
  std::string head =
      Head(response.status, no_body || response.body.empty() ? "" : response.content_type,
           response.headers);
  if (!no_body)
    fmt::format_to(std::back_inserter(head), "Content-Length: {}\r\n", response.body.size());
  head += "\r\n";
  const bool only_head = no_body || request().method() == "HEAD";
  connection_.Send({head, only_head ? std::string_view() : std::string_view(response.body)});
  FinishAnswer();
}

void HttpSession::RespondError(int status, std::string_view code, std::string_view message) {
  Respond({.status = status, .body = ErrorBody(code, message)});
}

void HttpSession::BeginSized(int status, std::string_view content_type, std::string_view headers,
                             int64_t length) {
  std::string head = Head(status, content_type, headers);
  fmt::format_to(std::back_inserter(head), "Content-Length: {}\r\n\r\n", length);
  connection_.Send(head);
}

void HttpSession::BeginChunked(std::string_view content_type) {
  chunked_ = !request().http_1_0();
  if (!chunked_) parser_.RefuseKeepAlive();
  std::string head =
      Head(200, content_type, chunked_ ? "Transfer-Encoding: chunked\r\n\r\n" : "\r\n");
  connection_.Send(head);
}

void HttpSession::SendChunk(std::string_view bytes) {
  if (bytes.empty()) return;
  if (chunked_) {
    char size[20];
    const auto end = fmt::format_to(size, "{:x}\r\n", bytes.size());
    connection_.Send({std::string_view(size, static_cast<size_t>(end - size)), bytes, "\r\n"});
  } else {
    connection_.Send(bytes);
  }
}

void HttpSession::EndChunked() {
  if (chunked_) connection_.Send("0\r\n\r\n");
  FinishAnswer();
}

void HttpSession::FinishAnswer() {
  in_flight_ = false;
  exchange_.reset();
  ReleaseBody();
  body_paused_ = false;
  const bool keep = keeps_alive() && !server().stopping.load(std::memory_order_relaxed);
  parser_.Next();
  if (!keep) {
    connection_.CloseGracefully(server().options.disconnect_s);
    return;
  }
  connection_.SetDeadline(server().options.keep_alive_s);
  if (connection_.unsent_bytes() == 0) {
    connection_.ResumeReading();
    return;
  }
  // A client that asks on without reading is heard again when it has taken its answer.
  draining_ = true;
  connection_.PauseReading();
  connection_.NotifyWhenDrained();
}

Reply HttpSession::Later() {
  Reply reply;
  reply.loop_ = &core_.loop;
  reply.connection_ = connection_.weak_from_this();
  reply.exchange_number_ = exchange_number_;
  return reply;
}

void HttpSession::OnWritable() {
  if (std::exchange(draining_, false)) {
    connection_.ResumeReading();
    return;
  }
  if (const std::shared_ptr<Exchange> exchange = exchange_; exchange != nullptr)
    exchange->OnWritable();
}

void HttpSession::OnPeerGone() {
  if (const std::shared_ptr<Exchange> exchange = exchange_; exchange != nullptr)
    exchange->OnAbandoned();
}

void HttpSession::OnDeadline() {
  const bool arriving =
      in_flight_ && !body_paused_ && parser_.state() == HttpRequestParser::State::kBody;
  if (in_flight_ && !arriving) {
    connection_.SetDeadline(server().options.keep_alive_s);
  } else if (arriving) {
    OnPeerGone();
    RespondError(408, "REQUEST_TIMEOUT", "The request did not arrive in time");
  } else if (parser_.state() == HttpRequestParser::State::kBody || connection_.has_unparsed()) {
    in_flight_ = true;
    parser_.RefuseKeepAlive();
    RespondError(408, "REQUEST_TIMEOUT", "The request did not arrive in time");
  } else {
    connection_.CloseGracefully(server().options.disconnect_s);
  }
}

void HttpSession::OnShutdown() {
  // Nothing has been asked, so nothing is lost by not lingering.
  if (!in_flight_) connection_.Close();
}

void HttpSession::OnClosed() {
  ReleaseBody();
  if (const std::shared_ptr<Exchange> exchange = std::move(exchange_); exchange != nullptr) {
    exchange->OnAbandoned();
  }
}

}  // namespace kalam::server

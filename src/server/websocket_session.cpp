// The WebSocket session.
#include "server/websocket_session.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/log.h"
#include "server/http_session.h"
#include "server/limits.h"

namespace kalam::server {
namespace {

// A token may be used this long past its end (clocks differ); the same leeway as for requests.
constexpr int64_t kExpiryLeewaySeconds = 60;

bool LooksGzipped(std::string_view bytes) {
  return bytes.size() > 2 && bytes[0] == '\x1f' && bytes[1] == '\x8b';
}

void RespondText(HttpSession& session, int status, std::string_view text) {
  session.Respond(
      {.status = status, .body = std::string(text), .content_type = "text/plain; charset=utf-8"});
}

}  // namespace

void UpgradeToWebSocket(HttpSession& session) {
  HttpRequest& request = session.request();
  ServerContext& server = session.server();
  const auto key = request.header("sec-websocket-key");
  if (!request.header_has_token("connection", "upgrade") ||
      !request.header_has_token("upgrade", "websocket")) {
    session.Respond({.status = 426,
                     .body = ErrorBody("UPGRADE_REQUIRED",
                                       "This path speaks WebSocket; send an upgrade request"),
                     .headers = "Upgrade: websocket\r\n"});
    return;
  }
  if (request.header("sec-websocket-version").value_or("") != "13") {
    session.Respond(
        {.status = 426,
         .body = ErrorBody("UPGRADE_REQUIRED", "Only version 13 of WebSocket is supported"),
         .headers = "Sec-WebSocket-Version: 13\r\n"});
    return;
  }
  if (!key || key->size() != 24) {
    session.RespondError(400, "BAD_REQUEST", "Sec-WebSocket-Key is missing or malformed");
    return;
  }
  const std::string_view problem =
      server.cors.WebSocketProblem(request.header("origin").value_or(""));
  if (!problem.empty()) {
    RespondText(session, 403, problem);
    return;
  }
  if (server.stopping.load() || session.core().hub == nullptr ||
      server.websocket_count.load(std::memory_order_relaxed) >= kWebSocketsMax) {
    RespondText(session, 503, "Server is shutting down");
    return;
  }
  Connection& connection = session.connection();
  CoreContext& core = session.core();
  const auto authorization = request.header("authorization");
  const bool has_token = authorization && authorization->size() > 7 &&
                         EqualsIgnoringCase(authorization->substr(0, 7), "bearer ");
  const std::string token(has_token ? authorization->substr(7) : "");
  const bool may_compress = request.query("compress").value_or("") != "false";
  live::WireFormat format;
  format.gzip = may_compress;
  if (has_token) {
    format.msgpack = request.query("serialization").value_or("") == "msgpack";
    if (request.query("compression").value_or("") == "none") format.gzip = false;
  }
  connection.Send(
      {"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
       "Sec-WebSocket-Accept: ",
       WebSocketAccept(*key), "\r\n\r\n"});
  auto socket =
      std::make_unique<WebSocketSession>(connection, core, session.client(), format, may_compress);
  WebSocketSession& opened = *socket;
  // From here on `session` only waits to be destroyed.
  connection.Replace(std::move(socket));
  if (has_token) opened.AuthenticateFromHeader(token);
}

WebSocketSession::WebSocketSession(Connection& connection, CoreContext& core,
                                   const IpAddress& client, const live::WireFormat& format,
                                   bool may_compress)
    : connection_(connection),
      core_(core),
      frames_(std::min(core.server.options.websocket_message_bytes_max,
                       kUnauthenticatedMessageBytesMax)),
      format_(format),
      may_compress_(may_compress),
      client_exempt_(client.is_loopback() || core.server.trusted_proxies.Contains(client)),
      opened_at_s_(core.loop.now_s()),
      heard_at_s_(core.loop.now_s()),
      client_(client) {
  connection_.set_high_water_bytes(kLiveOutputHighWaterBytes);
  core_.server.websocket_count.fetch_add(1, std::memory_order_relaxed);
  core_.server.websockets.Add(1);
  ArmDeadline();
}

WebSocketSession::~WebSocketSession() {
  OnClosed();
  core_.server.connection_memory.request_bodies.Release(message_charge_);
  core_.server.websocket_count.fetch_sub(1, std::memory_order_relaxed);
  core_.server.websockets.Add(-1);
}

void WebSocketSession::OnClosed() {
  if (connection_id_ == 0) return;
  core_.hub->RemoveConnection(std::exchange(connection_id_, 0));
  if (--core_.follower_count == 0) core_.set_following(false);
}

void WebSocketSession::AuthenticateFromHeader(std::string_view token) { Authenticate(token); }

size_t WebSocketSession::OnBytes(std::span<char> bytes) {
  if (closing_) return bytes.size();
  heard_at_s_ = core_.loop.now_s();
  pinged_at_s_ = 0;
  size_t taken = 0;
  const bool was_writable = writable();
  const size_t unsent_before = connection_.unsent_bytes();
  switch (frames_.Read(bytes, &taken)) {
    case FrameReader::Event::kNeedMore:
    case FrameReader::Event::kPong:
      break;
    case FrameReader::Event::kMessage:
      OnMessage(frames_.payload(), frames_.is_text());
      break;
    case FrameReader::Event::kPing:
      AnswerPing(frames_.payload());
      break;
    case FrameReader::Event::kClose:
      CloseWith(frames_.close_code(), "");
      return bytes.size();
    case FrameReader::Event::kTooLarge:
      SendError("protocol", "MESSAGE_TOO_LARGE",
                fmt::format("Message too large; at most {} bytes are allowed",
                            core_.server.options.websocket_message_bytes_max));
      break;
    case FrameReader::Event::kBroken:
      CloseWith(frames_.close_code(), frames_.payload());
      return bytes.size();
  }
  frames_.Release();
  if (!ChargeMessage()) {
    frames_.Abandon();
    ChargeMessage();
    CloseWith(CloseCode::kTryAgainLater, "Too many large messages at once; try again");
    return bytes.size();
  }
  if (!was_writable && connection_.unsent_bytes() > unsent_before)
    unread_answer_bytes_ += static_cast<uint32_t>(connection_.unsent_bytes() - unsent_before);
  HoldBackIfFlooding();
  return taken;
}

// Messages that are still arriving have one bound with the bodies of requests. A string doubles
// when it grows.
bool WebSocketSession::ChargeMessage() {
  const auto held = static_cast<uint32_t>(2 * frames_.held_bytes());
  if (held == message_charge_) return true;
  MemoryAccount& account = core_.server.connection_memory.request_bodies;
  const int64_t more = int64_t{held} - message_charge_;
  // Small ones need not ask.
  if (held < kUncountedBodyBytes) {
    account.Charge(more);
  } else if (!account.TryCharge(more)) {
    return false;
  }
  message_charge_ = held;
  return true;
}

// Of the pings of a client that does not read only the newest is answered, once it does.
void WebSocketSession::AnswerPing(std::string_view payload) {
  if (writable()) {
    connection_.Send({MakeFrameHead(FrameOpcode::kPong, payload.size()).view(), payload});
    return;
  }
  unanswered_ping_ = std::make_unique<std::string>(payload);
}

// Who asks (pings, errors) without taking the answers is not read any further: at once before
// sign-in, later when these answers have become many; changes and rows wait for the socket by
// themselves.
void WebSocketSession::HoldBackIfFlooding() {
  const bool floods = authenticated() ? unread_answer_bytes_ > kUnreadAnswerBytesMax
                                      : connection_.unsent_bytes() > 0;
  if (closing_ || !floods) return;
  held_back_ = true;
  connection_.PauseReading();
  connection_.NotifyWhenDrained();
}

void WebSocketSession::OnMessage(std::string_view payload, bool text) {
  const ServerContext& server = core_.server;
  if (!messages_.Take(server.options.websocket_messages_per_s, server.clock.SteadyUs())) {
    SendError("rate_limit", "RATE_LIMIT_EXCEEDED", "Too many messages");
    return;
  }
  if (!text && !format_.msgpack) {
    SendError("protocol", "UNSUPPORTED_DATA", "Binary messages need the msgpack serialization");
    return;
  }
  std::string inflated;
  if (!text && LooksGzipped(payload)) {
    auto plain = live::Gunzip(payload, server.options.websocket_message_bytes_max);
    if (!plain.ok()) {
      SendError("protocol",
                plain.status().Is(ErrorKind::TooLarge) ? "MESSAGE_TOO_LARGE" : "UNSUPPORTED_DATA",
                plain.status().message());
      return;
    }
    inflated = std::move(*plain);
    payload = inflated;
  }
  auto message = live::DecodeClientMessage(payload, !text);
  if (!message.ok()) {
    if (!text) {
      SendError("protocol", "UNSUPPORTED_DATA", message.status().message());
    } else {
      CloseWith(CloseCode::kInternalError, message.status().message());
    }
    return;
  }
  OnClientMessage(std::move(*message));
}

void WebSocketSession::OnClientMessage(live::ClientMessage message) {
  using Type = live::ClientMessage::Type;
  if (message.type == Type::kPing) return;
  if (message.type == Type::kAuthenticate) {
    if (authenticated()) {
      SendText(live::EncodeAuthSuccess(caller_.user_id, catalog::RoleName(caller_.role), format_));
      return;
    }
    if (message.protocol) format_ = *message.protocol;
    if (!may_compress_) format_.gzip = false;
    if (message.method != "jwt") {
      SendText(live::EncodeAuthError("Only the method 'jwt' is supported"));
      CloseWith(CloseCode::kPolicy, "Authentication failed");
      return;
    }
    Authenticate(message.token);
    return;
  }
  if (!authenticated()) {
    if (message.type == Type::kSubscribe)
      SendError("subscribe", "AUTH_REQUIRED", "Authentication required");
    return;
  }
  switch (message.type) {
    case Type::kSubscribe:
      // A snapshot shows what was acknowledged before it was asked for.
      core_.take_commits();
      core_.hub->Subscribe(connection_id_, std::move(message.subscription_id),
                           std::move(message.sql), message.options);
      break;
    case Type::kNextBatch:
      core_.hub->NextBatch(connection_id_, message.subscription_id, message.last_seq);
      break;
    case Type::kUnsubscribe:
      core_.hub->Unsubscribe(connection_id_, message.subscription_id);
      break;
    case Type::kAuthenticate:
    case Type::kPing:
      break;
  }
}

void WebSocketSession::Authenticate(std::string_view token) {
  ServerContext& server = core_.server;
  auth::AuthOutcome outcome = server.authenticator->VerifyToken(token, auth::TokenUse::kAccess);
  if (outcome.failure != auth::AuthFailure::kNone) {
    std::string text = outcome.message.empty() ? "Authentication failed" : outcome.message;
    // Only failures count: a valid token may reconnect as often as it likes.
    if (!client_exempt_ && !server.rates.CheckAuthentication(client_, server.clock.SteadyUs())) {
      text = "Too many authentication attempts";
    }
    SendText(live::EncodeAuthError(text));
    CloseWith(CloseCode::kPolicy, "Authentication failed");
    return;
  }
  caller_ = std::move(outcome.principal.caller);
  session_id_ = std::move(outcome.principal.session_id);
  token_expires_s_ = outcome.principal.expires_at_s;
  frames_.set_message_bytes_max(server.options.websocket_message_bytes_max);
  // Before the hub takes a subscription it must stand at the newest commit.
  if (core_.follower_count++ == 0) core_.set_following(true);
  connection_id_ = core_.hub->AddConnection(*this);
  SendText(live::EncodeAuthSuccess(caller_.user_id, catalog::RoleName(caller_.role), format_));
  ArmDeadline();
}

void WebSocketSession::Send(live::OutgoingMessage message) {
  const FrameHead head =
      MakeFrameHead(message.binary ? FrameOpcode::kBinary : FrameOpcode::kText, message.size());
  connection_.Send({head.view(), message.head,
                    message.body ? std::string_view(*message.body) : std::string_view(),
                    message.tail});
}

void WebSocketSession::SendText(std::string_view text) {
  connection_.Send({MakeFrameHead(FrameOpcode::kText, text.size()).view(), text});
}

void WebSocketSession::SendError(std::string_view subscription_id, std::string_view code,
                                 std::string_view message) {
  Send(live::EncodeError(format_, subscription_id, code, message));
}

void WebSocketSession::CloseWith(CloseCode code, std::string_view reason) {
  if (std::exchange(closing_, true)) return;
  OnClosed();
  connection_.Send(MakeCloseFrame(code, reason));
  connection_.CloseGracefully(core_.server.options.disconnect_s);
}

void WebSocketSession::OnWritable() {
  if (const auto ping = std::exchange(unanswered_ping_, nullptr); ping && !closing_)
    AnswerPing(*ping);
  unread_answer_bytes_ = 0;
  if (std::exchange(held_back_, false)) connection_.ResumeReading();
  const EventLoop::Gathering gathering(core_.loop);
  if (connection_id_ != 0) core_.hub->OnWritable(connection_id_);
}

// A ping that went out late, because this thread was kept from its work, leaves as much time for
// the answer as any other.
int64_t WebSocketSession::silence_ends_s() const {
  const SessionOptions& options = core_.server.options;
  return std::max<int64_t>(
      heard_at_s_ + options.websocket_silence_s,
      pinged_at_s_ + options.websocket_silence_s - options.websocket_heartbeat_s);
}

// The nearest of: authentication due, ping due, silence too long, token at its end.
void WebSocketSession::ArmDeadline() {
  const SessionOptions& options = core_.server.options;
  const int64_t now_s = core_.loop.now_s();
  int64_t in_s = pinged_at_s_ != 0 ? silence_ends_s() - now_s
                                   : heard_at_s_ + options.websocket_heartbeat_s - now_s;
  if (!authenticated()) {
    in_s = std::min(in_s, opened_at_s_ + options.websocket_authentication_s - now_s);
  } else {
    in_s = std::min(
        in_s, token_expires_s_ + kExpiryLeewaySeconds - core_.server.clock.NowUs() / 1'000'000);
  }
  connection_.SetDeadline(std::max<int64_t>(in_s, 1));
}

void WebSocketSession::OnDeadline() {
  if (closing_) return;
  const SessionOptions& options = core_.server.options;
  const int64_t now_s = core_.loop.now_s();
  if (!authenticated() && now_s >= opened_at_s_ + options.websocket_authentication_s) {
    SendText(live::EncodeAuthError(
        fmt::format("Authentication timeout - no auth message received within {} seconds",
                    options.websocket_authentication_s)));
    CloseWith(CloseCode::kPolicy, "Authentication timeout");
    return;
  }
  if (authenticated() &&
      core_.server.clock.NowUs() / 1'000'000 >= token_expires_s_ + kExpiryLeewaySeconds) {
    CloseWith(CloseCode::kSessionEnded, "Token expired");
    return;
  }
  // What lies in the socket was said, even when nobody has got round to reading it.
  if (pinged_at_s_ != 0 && now_s >= silence_ends_s() && !connection_.has_unread()) {
    CloseWith(CloseCode::kNormal, "Heartbeat timeout");
    return;
  }
  if (pinged_at_s_ == 0 && now_s >= heard_at_s_ + options.websocket_heartbeat_s) {
    pinged_at_s_ = core_.loop.now_s();
    connection_.Send(MakeFrameHead(FrameOpcode::kPing, 0).view());
  }
  ArmDeadline();
}

void WebSocketSession::OnShutdown() { CloseWith(CloseCode::kGoingAway, "Server shutting down"); }

void WebSocketSession::OnRevoked(std::string_view user_id, std::string_view session_id) {
  if (!authenticated()) return;
  if (!user_id.empty() && user_id != caller_.user_id) return;
  if (!session_id.empty() && session_id != session_id_) return;
  CloseWith(CloseCode::kSessionEnded, session_id.empty() ? "Credentials changed" : "Signed out");
}

}  // namespace kalam::server

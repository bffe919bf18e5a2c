// A WebSocket: upgrade, authentication, heartbeat, and the way between the socket and its core's
// live hub.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "auth/auth.h"
#include "live/live_hub.h"
#include "server/connection.h"
#include "server/rate_limiter.h"
#include "server/server_context.h"
#include "server/websocket_frame.h"

namespace kalam::server {

class HttpSession;

/// Answers GET /v1/ws: refuses it, or turns the connection into a WebSocket.
void UpgradeToWebSocket(HttpSession& session);

/// Owned by its connection. Holds no buffer while idle.
class WebSocketSession : public Protocol, public live::Subscriber {
 public:
  WebSocketSession(Connection& connection, CoreContext& core, const IpAddress& client,
                   const live::WireFormat& format, bool may_compress);
  ~WebSocketSession() override;

  /// Authenticates with a token that came with the upgrade.
  void AuthenticateFromHeader(std::string_view token);

  size_t OnBytes(std::span<char> bytes) override;
  void OnWritable() override;
  void OnDeadline() override;
  void OnShutdown() override;
  void OnRevoked(std::string_view user_id, std::string_view session_id) override;
  void OnClosed() override;

  void Send(live::OutgoingMessage message) override;
  bool writable() const override { return connection_.writable(); }
  const live::WireFormat& format() const override { return format_; }
  const catalog::Caller& caller() const override { return caller_; }

 private:
  void OnMessage(std::string_view payload, bool text);
  void OnClientMessage(live::ClientMessage message);
  void Authenticate(std::string_view token);
  void SendText(std::string_view text);
  void SendError(std::string_view subscription_id, std::string_view code, std::string_view message);
  void CloseWith(CloseCode code, std::string_view reason);
  void ArmDeadline();
  void AnswerPing(std::string_view payload);
  /// False when a message that is arriving finds no room.
  bool ChargeMessage();
  void HoldBackIfFlooding();
  /// When the client must have said something, in the loop's seconds.
  int64_t silence_ends_s() const;
  bool authenticated() const { return connection_id_ != 0; }

  Connection& connection_;
  CoreContext& core_;
  FrameReader frames_;
  live::WireFormat format_;
  const bool may_compress_;
  bool closing_ = false;
  bool held_back_ = false;
  uint32_t message_charge_ = 0;       // of a message that is still arriving
  uint32_t unread_answer_bytes_ = 0;  // sent while the socket was full
  const bool client_exempt_;
  const uint32_t opened_at_s_;
  uint32_t heard_at_s_;
  uint32_t pinged_at_s_ = 0;              // 0: not since something was heard
  int64_t token_expires_s_ = 0;           // Unix seconds
  live::ConnectionId connection_id_ = 0;  // 0: not authenticated
  catalog::Caller caller_;
  std::string session_id_;
  TokenBucket messages_;
  std::unique_ptr<std::string> unanswered_ping_;
  const IpAddress client_;
};

}  // namespace kalam::server

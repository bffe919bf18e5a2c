// HTTP on one connection: requests in order, one at a time, answers whole or in chunks.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "server/connection.h"
#include "server/http_message.h"
#include "server/server_context.h"

namespace kalam::server {

class HttpSession;

struct HttpResponse {
  int status = 200;
  std::string body;
  std::string_view content_type = "application/json";
  std::string headers;  // further lines, each ending in CR LF
};

/// A request that is answered later and wants to hear of its connection meanwhile.
class Exchange {
 public:
  virtual ~Exchange() = default;
  virtual void OnWritable() {}
  /// The next piece of a streamed body; `whole` with the last one.
  virtual void OnBody(std::string /*bytes*/, bool /*whole*/) {}
  /// The client is gone or the server stops waiting: stop the work, nobody reads the answer.
  virtual void OnAbandoned() = 0;
};

/// Finds the way back to a session from other threads; does nothing when the request is no longer
/// waiting.
class Reply {
 public:
  /// Runs `function` on the session's core. Any thread.
  void Run(std::function<void(HttpSession&)> function) const;
  /// The session, if the request still waits for its answer; on the session's core only.
  HttpSession* Find() const;

 private:
  friend class HttpSession;
  EventLoop* loop_ = nullptr;
  std::weak_ptr<Connection> connection_;
  uint64_t exchange_number_ = 0;
};

class HttpSession : public Protocol {
 public:
  HttpSession(Connection& connection, CoreContext& core);

  HttpRequest& request() { return parser_.request(); }
  CoreContext& core() { return core_; }
  ServerContext& server() { return core_.server; }
  Connection& connection() { return connection_; }
  /// The client behind trusted proxies, and whether it is exempt from limits per address.
  const IpAddress& client() const { return client_; }
  bool client_is_exempt() const { return client_exempt_; }
  /// True when the request came over https (also through a trusted proxy that says so).
  bool secure();

  /// Answers the request at hand.
  void Respond(HttpResponse response);
  void RespondError(int status, std::string_view code, std::string_view message);

  // An answer of unknown length: Begin, chunks, End. HTTP/1.0 clients get it until the connection
  // closes.
  void BeginChunked(std::string_view content_type);
  void SendChunk(std::string_view bytes);
  void EndChunked();
  // An answer of known length: Begin, pieces that add up to it, End. Of HEAD only the head is sent.
  void BeginSized(int status, std::string_view content_type, std::string_view headers,
                  int64_t length);
  void SendPiece(std::string_view bytes) { connection_.Send(bytes); }
  void EndSized() { FinishAnswer(); }
  /// Breaks the connection: the client must not take what it has for the whole.
  void AbortAnswer() { connection_.Close(); }

  /// Holds a streamed body back, and lets it come again.
  void PauseBody();
  void ResumeBody();

  /// A way back for work that answers later.
  Reply Later();
  /// For whoever has read the body of the request: a large one is given up before the answer.
  void DropBody();
  void SetExchange(std::shared_ptr<Exchange> exchange) { exchange_ = std::move(exchange); }

  size_t OnBytes(std::span<char> bytes) override;
  void OnWritable() override;
  void OnPeerGone() override;
  void OnDeadline() override;
  void OnShutdown() override;
  void OnClosed() override;

 private:
  friend class Reply;
  void Dispatch();
  void OnStreamedBody();
  bool keeps_alive();
  bool CheckLimits();
  bool ChargeBody();
  bool MayWaitForHead(size_t bytes);
  void RefuseUnread(std::string_view why);
  void ReleaseBody();
  void RefuseRequest();
  void FinishAnswer();
  std::string Head(int status, std::string_view content_type, std::string_view more);
  void AnswerPreflight();

  Connection& connection_;
  CoreContext& core_;
  HttpRequestParser parser_;
  IpAddress client_;
  bool client_exempt_ = false;
  bool in_flight_ = false;
  bool chunked_ = false;
  bool draining_ = false;
  bool body_paused_ = false;
  int64_t body_charge_ = 0;
  uint64_t exchange_number_ = 0;
  std::shared_ptr<Exchange> exchange_;
};

}  // namespace kalam::server

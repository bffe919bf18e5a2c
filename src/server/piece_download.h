// Sends something large piece by piece, as fast as the client takes it.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/memory_account.h"
#include "base/status.h"
#include "server/http_session.h"

namespace kalam::server {

/// One download: a worker looks it up and reads, the core answers and sends; never both at once.
/// Memory: one piece of kDownloadPieceBytes (a small one when sockets hold much), for which room is
/// asked before it begins: 503 MEMORY_PRESSURE.
class PieceDownload : public Exchange, public std::enable_shared_from_this<PieceDownload> {
 public:
  /// The session must have this as its exchange.
  void Start();
  void OnWritable() final;
  void OnAbandoned() final { abandoned_.store(true, std::memory_order_relaxed); }

 protected:
  explicit PieceDownload(HttpSession& session);

  /// On a worker: finds out what there is to send.
  virtual void Look() = 0;
  /// On the core, after Look: refuses, or calls SendBytes.
  virtual void Begin(HttpSession& session) = 0;
  /// On a worker: up to `size` bytes from `offset` on. An error, or no bytes, is told by Refuse
  /// where it is the first piece; later it cuts the answer off, so that the client sees that it is
  /// not whole.
  virtual Result<std::string> Read(int64_t offset, int64_t size) = 0;
  /// On the core: answers that not even the first piece could be read.
  virtual void Refuse(HttpSession& session, const Status& status) = 0;

  /// Answers with the bytes from `begin` to `end` (not inside), beginning when the first of them
  /// are there; with the head alone where the client asked for no more. `headers` as
  /// HttpSession::BeginSized.
  void SendBytes(HttpSession& session, int status, std::string_view content_type,
                 std::string_view headers, int64_t begin, int64_t end);

 private:
  /// False when not even small pieces find room beside what other clients have not read.
  bool FindRoom(HttpSession& session);
  void OnWorker(void (PieceDownload::*work)());
  void OnCore(void (PieceDownload::*answer)(HttpSession& session));
  void LookUp();
  void ReadPiece();
  void BeginAnswer(HttpSession& session);
  void SendPiece(HttpSession& session);

  WorkerPool& workers_;
  EventLoop& loop_;
  const Reply reply_;
  int64_t at_ = 0;
  int64_t end_ = 0;
  int64_t piece_bytes_ = 0;
  MemoryCharge room_;
  std::string piece_;  // empty: it could not be read
  Status unread_;      // why
  int head_status_ = 0;
  std::string content_type_, headers_;  // until the answer has begun
  bool begun_ = false;
  bool held_back_ = false;
  std::atomic<bool> abandoned_{false};
};

}  // namespace kalam::server

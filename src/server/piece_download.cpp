// The way of a download between a worker and its core.
#include "server/piece_download.h"

#include <algorithm>
#include <utility>

#include "server/event_loop.h"
#include "server/limits.h"
#include "server/server_context.h"
#include "server/worker_pool.h"

namespace kalam::server {

PieceDownload::PieceDownload(HttpSession& session)
    : workers_(session.server().workers), loop_(session.core().loop), reply_(session.Later()) {}

void PieceDownload::Start() { OnWorker(&PieceDownload::LookUp); }

void PieceDownload::OnWritable() {
  if (std::exchange(held_back_, false)) OnWorker(&PieceDownload::ReadPiece);
}

void PieceDownload::OnWorker(void (PieceDownload::*work)()) {
  if (workers_.Submit([self = shared_from_this(), work] { ((*self).*work)(); })) return;
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

void PieceDownload::OnCore(void (PieceDownload::*answer)(HttpSession& session)) {
  loop_.Post([self = shared_from_this(), answer] {
    if (HttpSession* session = self->reply_.Find(); session != nullptr) ((*self).*answer)(*session);
  });
}

void PieceDownload::LookUp() {
  Look();
  OnCore(&PieceDownload::Begin);
}

void PieceDownload::SendBytes(HttpSession& session, int status, std::string_view content_type,
                              std::string_view headers, int64_t begin, int64_t end) {
  const bool only_head = session.request().method() == "HEAD";
  if (!only_head && begin < end && !FindRoom(session)) {
    session.Respond({.status = 503,
                     .body = ErrorBody("MEMORY_PRESSURE",
                                       "The server is short of memory and sends no further files "
                                       "for a moment; try again"),
                     .headers = "Retry-After: 1\r\n"});
    return;
  }
  at_ = begin;
  end_ = end;
  head_status_ = status;
  content_type_ = content_type;
  headers_ = headers;
  if (only_head || begin == end) {
    BeginAnswer(session);
    session.EndSized();
    return;
  }
  OnWorker(&PieceDownload::ReadPiece);
}

void PieceDownload::BeginAnswer(HttpSession& session) {
  begun_ = true;
  session.BeginSized(head_status_, std::exchange(content_type_, {}), std::exchange(headers_, {}),
                     end_ - at_);
}

// A client that does not read holds a piece, on top of what just left its socket writable.
bool PieceDownload::FindRoom(HttpSession& session) {
  room_ = MemoryCharge(session.server().connection_memory.write, 0);
  for (const int64_t bytes : {kDownloadPieceBytes, kSmallDownloadPieceBytes}) {
    piece_bytes_ = bytes;
    if (room_.TryResize(bytes + static_cast<int64_t>(kOutputHighWaterBytes))) return true;
  }
  session.server().answers_refused.Add();
  return false;
}

void PieceDownload::ReadPiece() {
  if (abandoned_.load(std::memory_order_relaxed)) return;
  Result<std::string> bytes = Read(at_, std::min(end_ - at_, piece_bytes_));
  if (bytes.ok()) {
    piece_ = *std::move(bytes);
  } else {
    unread_ = std::move(bytes).status();
  }
  OnCore(&PieceDownload::SendPiece);
}

void PieceDownload::SendPiece(HttpSession& session) {
  if (piece_.empty()) {
    if (unread_.ok()) unread_ = Status(ErrorKind::StorageIo, "it is shorter than it was");
    if (begun_) {
      session.AbortAnswer();
    } else {
      Refuse(session, unread_);
    }
    return;
  }
  if (!begun_) BeginAnswer(session);
  at_ += static_cast<int64_t>(piece_.size());
  session.SendPiece(std::exchange(piece_, {}));
  // What waits in the socket's buffer is charged there.
  const int64_t room = piece_bytes_ + static_cast<int64_t>(kOutputHighWaterBytes);
  room_.Resize(room - std::min(static_cast<int64_t>(session.connection().unsent_bytes()), room));
  if (at_ >= end_) {
    session.EndSized();
  } else if (session.connection().writable()) {
    OnWorker(&PieceDownload::ReadPiece);
  } else {
    held_back_ = true;
  }
}

}  // namespace kalam::server

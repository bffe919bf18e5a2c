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
  at_ = begin;
  end_ = end;
  begun_ = true;
  const bool only_head = session.request().method() == "HEAD";
  session.BeginSized(status, content_type, headers, end - begin);
  if (only_head || begin == end) {
    session.EndSized();
    return;
  }
  OnWorker(&PieceDownload::ReadPiece);
}

void PieceDownload::ReadPiece() {
  if (abandoned_.load(std::memory_order_relaxed)) return;
  Result<std::string> bytes = Read(at_, std::min(end_ - at_, kDownloadPieceBytes));
  if (bytes.ok()) piece_ = *std::move(bytes);
  OnCore(&PieceDownload::SendPiece);
}

void PieceDownload::SendPiece(HttpSession& session) {
  if (piece_.empty()) {
    session.AbortAnswer();
    return;
  }
  at_ += static_cast<int64_t>(piece_.size());
  session.SendPiece(std::exchange(piece_, {}));
  if (at_ >= end_) {
    session.EndSized();
  } else if (session.connection().writable()) {
    OnWorker(&PieceDownload::ReadPiece);
  } else {
    held_back_ = true;
  }
}

}  // namespace kalam::server

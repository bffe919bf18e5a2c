// Reading, writing and closing of one socket.
#include "server/connection.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <utility>

#include "server/limits.h"

namespace kalam::server {

namespace {
// Pieces of one gathered write: a frame's head and the parts of a live message, with room.
constexpr size_t kSendPiecesMax = 8;
// Behind what a full socket leaves unsent, for the pings that still follow.
constexpr size_t kKeptRoomBytes = 256;

// What a string holds outside of itself.
uint32_t HeapBytes(const std::string& text) {
  return text.capacity() > std::string().capacity() ? static_cast<uint32_t>(text.capacity()) : 0;
}

void ChargeAs(MemoryAccount& account, uint32_t bytes, uint32_t* charged) {
  if (bytes == *charged) return;
  account.Charge(static_cast<int64_t>(bytes) - *charged);
  *charged = bytes;
}
}  // namespace

Connection::Connection(EventLoop& loop, int fd, const IpAddress& peer,
                       std::unique_ptr<TlsStream> tls, ConnectionOwner& owner)
    : loop_(loop),
      fd_(fd),
      high_water_(kOutputHighWaterBytes),
      peer_(peer),
      tls_(std::move(tls)),
      owner_(owner) {}

Connection::~Connection() {
  std::string().swap(unparsed_);
  std::string().swap(unsent_);
  ChargeBuffers();
  if (fd_ >= 0) close(fd_);
}

void Connection::ChargeBuffers() {
  ChargeAs(owner_.connection_accounts().read, HeapBytes(unparsed_), &read_charge_);
  ChargeAs(owner_.connection_accounts().write, HeapBytes(unsent_), &write_charge_);
}

void Connection::Start(std::unique_ptr<Protocol> protocol) {
  protocol_ = std::move(protocol);
  if (!loop_.Watch(fd_, *this).ok()) Close();
}

void Connection::Replace(std::unique_ptr<Protocol> protocol) {
  std::shared_ptr<Protocol> old = std::exchange(protocol_, std::move(protocol));
  loop_.Later([old] {});
}

void Connection::OnEvents(uint32_t events) {
  if (fd_ < 0) return;
  const std::shared_ptr<Connection> self = shared_from_this();
  if ((events & (EPOLLERR | EPOLLHUP)) != 0) {
    Close();
    return;
  }
  if ((events & EPOLLRDHUP) != 0 && !peer_closed_) {
    peer_closed_ = true;
    if (protocol_ != nullptr) protocol_->OnPeerGone();
  }
  if ((events & EPOLLOUT) != 0 && unsent_bytes() > 0) Flush();
  if ((events & (EPOLLIN | EPOLLRDHUP)) != 0) {
    readable_ = true;
    Read();
  }
}

// What a client sends before its last answer is taken waits in our memory: the more others wait
// there, the less is read at once, and the rest stays in the kernel's buffer.
size_t Connection::ReadBytes() const {
  const MemoryAccount& read = owner_.connection_accounts().read;
  const int64_t left = (read.limit_bytes() - read.used_bytes()) / kReadersOfWhatIsLeft;
  return static_cast<size_t>(std::clamp(left, kSmallReadBytes, int64_t{kReadBufferBytes}));
}

void Connection::Read() {
  for (int turn = 0; turn < kReadsPerTurnMax; ++turn) {
    if (!readable_ || paused_ || fd_ < 0) return;
    const std::span<char> buffer = loop_.read_buffer().first(ReadBytes());
    const ssize_t got = recv(fd_, buffer.data(), buffer.size(), 0);
    if (got < 0) {
      if (errno == EINTR) continue;
      readable_ = false;
      if (errno != EAGAIN && errno != EWOULDBLOCK) Close();
      return;
    }
    if (got == 0) {
      readable_ = false;
      peer_closed_ = true;
      // Nobody reads what is still to be said once the client has closed both ways; a half-closed
      // one gets its answer.
      if (unsent_bytes() == 0) {
        Close();
      } else {
        CloseGracefully(kHalfClosedGraceSeconds);
      }
      return;
    }
    // A read that does not fill the buffer has emptied the socket: with edge-triggered events the
    // next bytes wake us again.
    if (static_cast<size_t>(got) < buffer.size() && !peer_closed_) readable_ = false;
    Receive(buffer.first(static_cast<size_t>(got)));
  }
  if (readable_ && !paused_ && fd_ >= 0) ScheduleRead();
}

void Connection::ScheduleRead() {
  if (std::exchange(read_scheduled_, true)) return;
  loop_.Post([self = shared_from_this()] {
    self->read_scheduled_ = false;
    self->Read();
  });
}

void Connection::Receive(std::span<char> bytes) {
  if (tls_ == nullptr) {
    Deliver(bytes);
    return;
  }
  std::string plain, answer;
  const bool good = tls_->Receive({bytes.data(), bytes.size()}, &plain, &answer);
  const std::string_view reply = answer;
  if (!answer.empty()) SendRaw({&reply, 1});
  if (!plain.empty() && fd_ >= 0) Deliver(plain);
  if (!good) CloseGracefully(1);
}

// Gives bytes to the protocol, also to one that replaces it on the way; returns how many were
// taken.
size_t Connection::Offer(std::span<char> bytes) {
  size_t used = 0;
  while (fd_ >= 0 && !paused_ && used < bytes.size()) {
    const Protocol* before = protocol_.get();
    const size_t taken = protocol_->OnBytes(bytes.subspan(used));
    used += taken;
    if (taken == 0 && protocol_.get() == before) break;
  }
  return used;
}

void Connection::Deliver(std::span<char> bytes) {
  if (closing_) return;
  delivering_ = true;
  // The protocol may close the connection on the way, so what it reads is not ours to free
  // meanwhile.
  std::string kept = std::move(unparsed_);
  std::string().swap(unparsed_);
  size_t used = 0;
  if (kept.empty()) {
    used = Offer(bytes);
    if (used < bytes.size()) kept.assign(bytes.data() + used, bytes.size() - used);
  } else {
    kept.append(bytes.data(), bytes.size());
    used = Offer(kept);
    kept.erase(0, used);
  }
  if (!kept.empty() && fd_ >= 0 && !closing_) unparsed_ = std::move(kept);
  ChargeBuffers();
  delivering_ = false;
}

bool Connection::has_unread() const {
  int bytes = 0;
  return fd_ >= 0 && !paused_ && ioctl(fd_, FIONREAD, &bytes) == 0 && bytes > 0;
}

void Connection::ResumeReading() {
  if (!std::exchange(paused_, false) || delivering_ || fd_ < 0) return;
  const std::shared_ptr<Connection> self = shared_from_this();
  if (!unparsed_.empty()) Deliver({});
  if (readable_ && !paused_) ScheduleRead();
}

void Connection::Send(std::initializer_list<std::string_view> pieces) {
  if (fd_ < 0) return;
  if (tls_ == nullptr) {
    SendRaw({pieces.begin(), pieces.size()});
    return;
  }
  // One record for all pieces: a record costs its frame and, on the other side, a read.
  std::string plain, sealed;
  for (const std::string_view piece : pieces) plain += piece;
  if (!tls_->Send(plain, &sealed)) {
    loop_.Later([self = shared_from_this()] { self->Close(); });
    return;
  }
  const std::string_view whole = sealed;
  SendRaw({&whole, 1});
}

bool Connection::Gather(std::span<const std::string_view> pieces) {
  size_t bytes = 0;
  for (const std::string_view piece : pieces) bytes += piece.size();
  // Behind what the socket has not taken, bytes wait anyhow.
  if (unsent_bytes() > 0 && !gathered_) return false;
  if (unsent_bytes() + bytes > kGatheredSocketBytesMax) {
    if (gathered_) OnGathered();
    return false;
  }
  for (const std::string_view piece : pieces) Keep(piece);
  ChargeBuffers();
  loop_.Gathered(std::exchange(gathered_, true) ? nullptr : shared_from_this(), bytes);
  return true;
}

void Connection::OnGathered() {
  if (!std::exchange(gathered_, false) || fd_ < 0) return;
  const bool sound = SendKept();
  // Closing here, or telling the protocol, would pull it from under its own caller.
  if (!sound || closing_ || was_full_) loop_.Later([self = shared_from_this()] { self->Flush(); });
}

bool Connection::writable() {
  if (unsent_bytes() == 0) return true;
  const MemoryAccount& sockets = owner_.connection_accounts().write;
  const bool is_calm = sockets.used_bytes() <= sockets.limit_bytes() / 2;
  if (unsent_bytes() < (is_calm ? high_water_ : high_water_ / kShortHighWaterDivisor)) return true;
  // By the lower mark nobody may have noticed.
  was_full_ = true;
  return false;
}

void Connection::SendRaw(std::span<const std::string_view> pieces) {
  if (loop_.gathering() && Gather(pieces)) return;
  size_t sent_bytes = 0;
  if (unsent_bytes() == 0) {
    std::array<iovec, kSendPiecesMax> vectors;
    size_t count = 0;
    for (const std::string_view piece : pieces.first(std::min(pieces.size(), kSendPiecesMax))) {
      if (!piece.empty()) vectors[count++] = {const_cast<char*>(piece.data()), piece.size()};
    }
    if (count == 0) return;
    msghdr message{};
    message.msg_iov = vectors.data();
    message.msg_iovlen = count;
    ssize_t sent = 0;
    do {
      sent = sendmsg(fd_, &message, MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    if (sent < 0 && errno != EAGAIN && errno != EWOULDBLOCK) {
      // Closing here would pull the protocol from under its own caller.
      loop_.Later([self = shared_from_this()] { self->Close(); });
      closing_ = true;
      return;
    }
    sent_bytes = sent > 0 ? static_cast<size_t>(sent) : 0;
  }
  // What is kept is kept exactly: a buffer that doubles for the last two bytes costs as much again.
  size_t left_bytes = 0;
  for (const std::string_view piece : pieces) left_bytes += piece.size();
  left_bytes -= sent_bytes;
  if (left_bytes > 0) unsent_.reserve(unsent_.size() + left_bytes);
  for (const std::string_view piece : pieces) {
    const size_t skipped = std::min(sent_bytes, piece.size());
    sent_bytes -= skipped;
    Keep(piece.substr(skipped));
  }
  // The same bound as writable(): at exactly the mark, nobody would ever be told to go on.
  if (unsent_bytes() >= high_water_ && !std::exchange(was_full_, true)) FitKept();
  ChargeBuffers();
  if (unsent_bytes() > kOutputBytesMax) {
    loop_.Later([self = shared_from_this()] { self->Close(); });
  }
}

void Connection::Keep(std::string_view bytes) {
  if (bytes.empty()) return;
  if (unsent_begin_ > 0 && unsent_begin_ >= unsent_.size() / 2) {
    unsent_.erase(0, unsent_begin_);
    unsent_begin_ = 0;
  }
  unsent_.append(bytes);
}

// A string grows by doubling, and who does not read may keep us waiting for long.
void Connection::FitKept() {
  std::string fitting;
  fitting.reserve(unsent_bytes() + kKeptRoomBytes);
  fitting.assign(unsent_, unsent_begin_);
  unsent_.swap(fitting);
  unsent_begin_ = 0;
}

bool Connection::SendKept() {
  while (unsent_bytes() > 0) {
    const ssize_t sent = send(fd_, unsent_.data() + unsent_begin_, unsent_bytes(), MSG_NOSIGNAL);
    if (sent < 0) {
      if (errno == EINTR) continue;
      return errno == EAGAIN || errno == EWOULDBLOCK;
    }
    unsent_begin_ += static_cast<uint32_t>(sent);
  }
  // An assignment of an empty string would keep the buffer.
  std::string().swap(unsent_);
  unsent_begin_ = 0;
  ChargeBuffers();
  return true;
}

void Connection::Flush() {
  if (fd_ < 0) return;
  if (!SendKept()) {
    Close();
    return;
  }
  if (unsent_bytes() == 0 && closing_) {
    shutdown(fd_, SHUT_WR);
    if (peer_closed_) Close();
    return;
  }
  if (was_full_ && unsent_bytes() < high_water_ / 4) {
    was_full_ = false;
    if (protocol_ != nullptr) protocol_->OnWritable();
  }
}

void Connection::CloseGracefully(int64_t grace_seconds) {
  if (fd_ < 0) return;
  closing_ = true;
  paused_ = false;
  loop_.Arm(*this, grace_seconds);
  std::string().swap(unparsed_);
  ChargeBuffers();
  if (unsent_bytes() > 0) return;
  if (peer_closed_) {
    loop_.Later([self = shared_from_this()] { self->Close(); });
    return;
  }
  shutdown(fd_, SHUT_WR);
  if (readable_) ScheduleRead();
}

void Connection::Close() {
  if (fd_ < 0) return;
  const std::shared_ptr<Connection> self = shared_from_this();
  close(fd_);
  fd_ = -1;
  loop_.Disarm(*this);
  if (protocol_ != nullptr) protocol_->OnClosed();
  std::string().swap(unparsed_);
  std::string().swap(unsent_);
  unsent_begin_ = 0;
  ChargeBuffers();
  owner_.OnConnectionClosed(*this);
  loop_.Later([self] {});
}

void Connection::OnDeadline() {
  const std::shared_ptr<Connection> self = shared_from_this();
  if (closing_) {
    Close();
  } else if (protocol_ != nullptr) {
    protocol_->OnDeadline();
  }
}

}  // namespace kalam::server

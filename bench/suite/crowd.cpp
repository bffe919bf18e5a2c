// One poller over all sockets and connections.
#include "suite/crowd.h"

#include <sys/epoll.h>

#include <array>
#include <utility>

namespace kalam::bench {
namespace {

constexpr int kSubscribeMs = 60'000;
constexpr int64_t kSecondNs = 1'000'000'000;
constexpr int64_t kAwaitNs = 100'000'000;
constexpr int64_t kRoundNs = 1'000'000;
constexpr uint32_t kConnectionTag = 1u << 31;  // or a socket

}  // namespace

Crowd::Crowd(Environment& environment, Callbacks callbacks)
    : environment_(environment),
      callbacks_(std::move(callbacks)),
      poller_(epoll_create1(EPOLL_CLOEXEC)) {}

void Crowd::Watch(int fd, uint32_t tag) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u32 = tag;
  epoll_ctl(poller_.fd(), EPOLL_CTL_ADD, fd, &event);
}

Status Crowd::AddSocket(const std::string& token, std::span<const Subscription> subscriptions) {
  KALAM_ASSIGN_OR_RETURN(load::WebSocketClient socket,
                         load::WebSocketClient::Open(environment_.port(), token));
  for (const Subscription& subscription : subscriptions) {
    KALAM_RETURN_IF_ERROR(socket.Subscribe(subscription.id, subscription.sql, ""));
    KALAM_ASSIGN_OR_RETURN(const std::string answer, socket.Receive(kSubscribeMs));
    if (answer.find("subscription_ack") == std::string::npos)
      return Status(ErrorKind::Execution, answer);
  }
  Watch(socket.socket().fd(), static_cast<uint32_t>(sockets_.size()));
  sockets_.push_back(std::move(socket));
  return {};
}

Status Crowd::PingAll() {
  for (load::WebSocketClient& socket : sockets_)
    KALAM_RETURN_IF_ERROR(socket.Send("{\"type\":\"ping\"}"));
  return {};
}

Status Crowd::AddWriters(int count) {
  for (int i = 0; i < count; ++i) KALAM_RETURN_IF_ERROR(AddConnection().status());
  writer_count_ = connections_.size();
  return {};
}

Result<size_t> Crowd::AddConnection() {
  KALAM_ASSIGN_OR_RETURN(load::HttpClient client, load::HttpClient::Connect(environment_.port()));
  Watch(client.socket().fd(), kConnectionTag | static_cast<uint32_t>(connections_.size()));
  connections_.push_back({std::move(client), {}, false});
  return connections_.size() - 1;
}

Status Crowd::Send(size_t connection, const Statement& statement) {
  connections_[connection].is_busy = true;
  return connections_[connection].client.socket().SendAll(
      load::MakeSql(statement.token, statement.sql, statement.parameters));
}

Status Crowd::WriteUntil(int64_t sent) {
  for (size_t tried = 0; tried < writer_count_ && sent_ < sent; ++tried) {
    next_writer_ = (next_writer_ + 1) % writer_count_;
    if (is_busy(next_writer_)) continue;
    KALAM_RETURN_IF_ERROR(Send(next_writer_, callbacks_.insert(sent_)));
    ++sent_;
  }
  return {};
}

Result<double> Crowd::WriteSteadily(const SteadyLoad& load) {
  const int64_t begin_ns = load::SteadyNs(), first = sent_;
  const int64_t duration_ns = load.seconds * kSecondNs;
  int64_t elapsed_ns = 0;
  while ((elapsed_ns = load::SteadyNs() - begin_ns) < duration_ns ||
         sent_ - first < load.inserts_min) {
    if (load.meanwhile) KALAM_RETURN_IF_ERROR(load.meanwhile(elapsed_ns));
    KALAM_RETURN_IF_ERROR(WriteUntil(first + elapsed_ns * load.inserts_per_second / kSecondNs));
    KALAM_RETURN_IF_ERROR(TakeEvents(kRoundNs));
  }
  return static_cast<double>(sent_ - first) * kSecondNs / static_cast<double>(elapsed_ns);
}

Status Crowd::TakeEvents(int64_t wait_ns) {
  std::array<epoll_event, 512> events{};
  const timespec wait{wait_ns / kSecondNs, wait_ns % kSecondNs};
  const int ready =
      epoll_pwait2(poller_.fd(), events.data(), static_cast<int>(events.size()), &wait, nullptr);
  for (int e = 0; e < ready; ++e) {
    const uint32_t tag = events[static_cast<size_t>(e)].data.u32;
    KALAM_RETURN_IF_ERROR((tag & kConnectionTag) != 0 ? TakeAnswer(tag & ~kConnectionTag)
                                                      : TakeMessages(tag));
  }
  return {};
}

Status Crowd::TakeMessages(size_t socket) {
  messages_.clear();
  KALAM_RETURN_IF_ERROR(sockets_[socket].ReadAvailable(&messages_));
  delivered_ += static_cast<int64_t>(messages_.size());
  return callbacks_.received && !messages_.empty() ? callbacks_.received(socket, messages_)
                                                   : Status::Ok();
}

Status Crowd::TakeAnswer(size_t connection) {
  Connection& answered = connections_[connection];
  KALAM_RETURN_IF_ERROR(answered.client.socket().Receive(&answered.buffer, -1));
  load::HttpResponse response;
  if (!load::TakeResponse(&answered.buffer, &response)) return {};
  answered.is_busy = false;
  if (callbacks_.answered) return callbacks_.answered(connection, response);
  return response.status == 200 ? Status::Ok()
                                : Status(ErrorKind::Execution, response.body.substr(0, 300));
}

Status Crowd::Await(int64_t delivered, int timeout_ms) {
  const int64_t until_ns = load::SteadyNs() + int64_t{timeout_ms} * 1'000'000;
  while (delivered_ < delivered && load::SteadyNs() < until_ns)
    KALAM_RETURN_IF_ERROR(TakeEvents(kAwaitNs));
  return {};
}

}  // namespace kalam::bench

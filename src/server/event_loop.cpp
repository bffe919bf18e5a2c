// The loop over epoll, edge-triggered: one registration for a connection's life, no re-arming calls
// per request.
#include "server/event_loop.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <utility>

#include "server/limits.h"

namespace kalam::server {

namespace {

int64_t SteadyMs() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<int64_t>(now.tv_sec) * 1000 + now.tv_nsec / 1'000'000;
}

// Starts at a positive second so that 0 can mean "not armed".
uint32_t SteadySeconds() { return static_cast<uint32_t>(SteadyMs() / 1000) + 1; }

}  // namespace

Deadline::~Deadline() { Unlink(); }

void Deadline::Unlink() {
  if (next_ == nullptr) return;
  previous_->next_ = next_;
  next_->previous_ = previous_;
  previous_ = next_ = nullptr;
}

struct EventLoop::Slot : Deadline {
  void OnDeadline() override {}
};

EventLoop::EventLoop(size_t index) : index_(index), slots_(std::make_unique<Slot[]>(kSlots)) {
  for (uint32_t i = 0; i < kSlots; ++i) {
    Deadline& head = slots_[i];
    head.previous_ = head.next_ = &head;
  }
  now_s_ = advanced_s_ = SteadySeconds();
}

Result<std::unique_ptr<EventLoop>> EventLoop::Make(size_t index) {
  auto loop = std::make_unique<EventLoop>(index);
  loop->epoll_fd_ = epoll_create1(EPOLL_CLOEXEC);
  loop->wake_fd_ = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (loop->epoll_fd_ < 0 || loop->wake_fd_ < 0) {
    return Status(ErrorKind::StorageIo,
                  std::string("cannot create an event loop: ") + strerror(errno));
  }
  loop->read_buffer_.resize(kReadBufferBytes);
  epoll_event event{};
  event.events = EPOLLIN | EPOLLET;
  event.data.ptr = nullptr;
  epoll_ctl(loop->epoll_fd_, EPOLL_CTL_ADD, loop->wake_fd_, &event);
  return loop;
}

EventLoop::~EventLoop() {
  later_.clear();
  gathered_.clear();
  posted_.clear();
  // Owners may outlive the loop: take every list apart so that their destructors touch nothing of
  // ours.
  for (uint32_t i = 0; i < kSlots; ++i) {
    Deadline& head = slots_[i];
    while (head.next_ != &head) head.next_->Unlink();
    head.previous_ = head.next_ = nullptr;
  }
  if (epoll_fd_ >= 0) close(epoll_fd_);
  if (wake_fd_ >= 0) close(wake_fd_);
}

Status EventLoop::Watch(int fd, Watcher& watcher) {
  epoll_event event{};
  event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
  event.data.ptr = &watcher;
  if (epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, fd, &event) != 0) {
    return Status(ErrorKind::StorageIo, std::string("epoll_ctl: ") + strerror(errno));
  }
  return Status::Ok();
}

void EventLoop::Later(std::function<void()> function) { later_.push_back(std::move(function)); }

void EventLoop::Gathered(std::shared_ptr<Watcher> watcher, size_t bytes) {
  if (watcher != nullptr) gathered_.push_back(std::move(watcher));
  gathered_bytes_ += bytes;
  if (gathered_bytes_ >= kGatheredBytesMax) SendGathered();
}

void EventLoop::SendGathered() {
  gathered_bytes_ = 0;
  for (const std::shared_ptr<Watcher>& watcher : std::exchange(gathered_, {}))
    watcher->OnGathered();
}

void EventLoop::Post(std::function<void()> function) {
  bool wake = false;
  {
    std::lock_guard lock(posted_mutex_);
    posted_.push_back(std::move(function));
    wake = !std::exchange(posted_wake_, true);
  }
  if (wake) {
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = write(wake_fd_, &one, sizeof one);
  }
}

void EventLoop::PostGathering(std::function<void()> function) {
  Post([this, function = std::move(function)] {
    const Gathering gathering(*this);
    function();
  });
}

void EventLoop::Stop() {
  stopping_.store(true, std::memory_order_release);
  Post([] {});
}

void EventLoop::RunPosted() {
  std::vector<std::function<void()>> functions;
  {
    std::lock_guard lock(posted_mutex_);
    functions.swap(posted_);
    posted_wake_ = false;
  }
  for (std::function<void()>& function : functions) function();
  // Gives the vector's memory back for the next turn unless something was posted meanwhile.
  functions.clear();
  std::lock_guard lock(posted_mutex_);
  if (posted_.empty() && functions.capacity() <= 1024) posted_.swap(functions);
}

void EventLoop::Arm(Deadline& deadline, int64_t seconds_from_now) {
  const uint32_t due_s =
      now_s_ + static_cast<uint32_t>(std::clamp<int64_t>(seconds_from_now, 1, 1 << 30));
  const bool linked = deadline.next_ != nullptr;
  // A later time needs no move: the slot finds out when its turn comes.
  if (linked && deadline.due_s_ != 0 && due_s >= deadline.due_s_) {
    deadline.due_s_ = due_s;
    return;
  }
  deadline.Unlink();
  deadline.due_s_ = due_s;
  const uint32_t slot_s = std::min(due_s, now_s_ + kSlots - 1);
  if (next_slot_s_ == 0 || slot_s < next_slot_s_) next_slot_s_ = slot_s;
  Deadline& head = slots_[slot_s % kSlots];
  deadline.previous_ = head.previous_;
  deadline.next_ = &head;
  head.previous_->next_ = &deadline;
  head.previous_ = &deadline;
}

void EventLoop::Advance() {
  now_s_ = SteadySeconds();
  uint32_t turns = 0;
  for (; advanced_s_ != now_s_ && turns < kSlots; ++turns) {
    ++advanced_s_;
    Deadline& head = slots_[advanced_s_ % kSlots];
    Deadline* deadline = head.next_;
    while (deadline != &head) {
      Deadline* current = deadline;
      deadline = deadline->next_;
      const uint32_t due_s = current->due_s_;
      if (due_s > now_s_) {
        // Moved later meanwhile: to its slot of now.
        if (std::min(due_s, now_s_ + kSlots - 1) % kSlots == advanced_s_ % kSlots) continue;
        current->Unlink();
        current->due_s_ = 0;
        Arm(*current, due_s - now_s_);
        continue;
      }
      current->Unlink();
      if (due_s == 0) continue;
      current->due_s_ = 0;
      current->OnDeadline();
      // The callback may have destroyed or moved the neighbour: start over, the list is short or
      // done.
      deadline = head.next_;
    }
  }
  advanced_s_ = now_s_;
  next_slot_s_ = 0;
  for (uint32_t ahead = 1; ahead < kSlots && next_slot_s_ == 0; ++ahead) {
    const Deadline& head = slots_[(now_s_ + ahead) % kSlots];
    if (head.next_ != &head) next_slot_s_ = now_s_ + ahead;
  }
}

int EventLoop::WaitMs() const {
  // Sleeps until the second in which the next non-empty slot is due; for ever when nothing is
  // armed.
  if (next_slot_s_ == 0) return -1;
  const int64_t due_ms = (static_cast<int64_t>(next_slot_s_) - 1) * 1000;
  return static_cast<int>(std::clamp<int64_t>(due_ms - SteadyMs() + 1, 0, 128'000));
}

void EventLoop::Run() {
  std::array<epoll_event, 128> events;
  while (true) {
    const bool stopping = stopping_.load(std::memory_order_acquire);
    const int count = epoll_wait(epoll_fd_, events.data(), static_cast<int>(events.size()),
                                 stopping ? 0 : WaitMs());
    const uint32_t before_s = now_s_;
    now_s_ = SteadySeconds();
    bool woken = stopping;
    for (int i = 0; i < count; ++i) {
      if (events[i].data.ptr == nullptr) {
        uint64_t value;
        [[maybe_unused]] const ssize_t got = read(wake_fd_, &value, sizeof value);
        woken = true;
      } else {
        static_cast<Watcher*>(events[i].data.ptr)->OnEvents(events[i].events);
      }
    }
    if (woken) RunPosted();
    if (now_s_ != before_s || count <= 0) Advance();
    while (!later_.empty()) {
      std::vector<std::function<void()>> later;
      later.swap(later_);
      for (std::function<void()>& function : later) function();
    }
    if (stopping) {
      std::lock_guard lock(posted_mutex_);
      if (posted_.empty()) return;
    }
  }
}

}  // namespace kalam::server

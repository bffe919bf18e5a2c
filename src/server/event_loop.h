// One core's event loop: sockets, posted functions and coarse timers, all on one thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "base/status.h"

namespace kalam::server {

/// A deadline in a loop's timer wheel, embedded in its owner. One second of resolution.
class Deadline {
 public:
  Deadline() = default;
  Deadline(const Deadline&) = delete;
  Deadline& operator=(const Deadline&) = delete;
  virtual ~Deadline();

 protected:
  /// The time has come; the deadline is no longer armed.
  virtual void OnDeadline() = 0;

 private:
  friend class EventLoop;
  void Unlink();
  Deadline* previous_ = nullptr;
  Deadline* next_ = nullptr;
  uint32_t due_s_ = 0;  // steady seconds of the loop; 0: not armed
};

/// Not thread-safe but for Post and Stop: everything else runs on the loop's thread (or before
/// Run).
class EventLoop {
 public:
  /// Told about a watched descriptor. Must outlive the watch; the loop never owns it.
  class Watcher {
   public:
    virtual ~Watcher() = default;
    /// `events`: EPOLLIN, EPOLLOUT, EPOLLRDHUP, EPOLLHUP, EPOLLERR. Edge-triggered.
    virtual void OnEvents(uint32_t events) = 0;
    /// What was gathered for it is to be sent now; see Gathering.
    virtual void OnGathered() {}
  };

  /// While one is alive, what connections are given to send waits, so that several messages for one
  /// socket leave with one system call; the end of the outermost one, or kGatheredBytesMax of
  /// waiting bytes, sends it. For turns that write to many sockets more than once: a message that
  /// comes alone leaves sooner, and without a copy, outside of it. On the loop's thread.
  class Gathering {
   public:
    explicit Gathering(EventLoop& loop) : loop_(loop) { ++loop_.gathering_depth_; }
    Gathering(const Gathering&) = delete;
    Gathering& operator=(const Gathering&) = delete;
    ~Gathering() {
      if (--loop_.gathering_depth_ == 0) loop_.SendGathered();
    }

   private:
    EventLoop& loop_;
  };
  bool gathering() const { return gathering_depth_ > 0; }
  /// Only while gathering() is true. `bytes` wait at `watcher`; null: at one that waits already.
  void Gathered(std::shared_ptr<Watcher> watcher, size_t bytes);

  static Result<std::unique_ptr<EventLoop>> Make(size_t index);
  explicit EventLoop(size_t index);  // use Make
  ~EventLoop();

  /// Serves until Stop. Functions posted before Stop are run.
  void Run();
  /// Any thread.
  void Stop();
  /// Runs `function` on the loop's thread, in order. Any thread. After the loop has ended it is
  /// destroyed unrun.
  void Post(std::function<void()> function);
  /// As Post, for work that sends much: within a Gathering.
  void PostGathering(std::function<void()> function);

  /// Watches `fd` for input, output and hang-up until it is closed.
  Status Watch(int fd, Watcher& watcher);
  /// Runs `function` after the events at hand: for destroying what is still on the stack.
  void Later(std::function<void()> function);

  /// Arms or moves a deadline; moving it later costs nothing until the old time comes.
  void Arm(Deadline& deadline, int64_t seconds_from_now);
  void Disarm(Deadline& deadline) { deadline.due_s_ = 0; }

  /// Shared by all reads of the loop; what is in it must be used or copied before the next read.
  std::span<char> read_buffer() { return read_buffer_; }
  size_t index() const { return index_; }
  /// Steady seconds, moved once per turn.
  uint32_t now_s() const { return now_s_; }

 private:
  void RunPosted();
  void Advance();
  void SendGathered();
  int WaitMs() const;

  static constexpr uint32_t kSlots = 128;

  const size_t index_;
  int epoll_fd_ = -1;
  int wake_fd_ = -1;
  std::vector<char> read_buffer_;
  std::vector<std::function<void()>> later_;
  int gathering_depth_ = 0;
  size_t gathered_bytes_ = 0;
  std::vector<std::shared_ptr<Watcher>> gathered_;

  // A ring of doubly linked lists; slot = second of firing modulo kSlots. Heads are Deadlines that
  // never fire.
  struct Slot;
  std::unique_ptr<Slot[]> slots_;
  uint32_t now_s_ = 0;
  uint32_t advanced_s_ = 0;
  uint32_t next_slot_s_ = 0;  // no slot before it holds anything; 0: all are empty

  std::atomic<bool> stopping_{false};
  std::mutex posted_mutex_;
  std::vector<std::function<void()>> posted_;  // guarded by posted_mutex_
  bool posted_wake_ = false;  // guarded by posted_mutex_: the wake descriptor is already signalled
};

}  // namespace kalam::server

// Ten thousand signed-in users, a subscription each, each writing once a second: memory, and
// nothing lost.
#include <fmt/format.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>

#include "suite/memory_trend.h"
#include "suite/suites.h"

namespace kalam::bench {
namespace {

constexpr int kUsers = 10'000;
constexpr int kTables = 100;
constexpr int kWriters = 64;
constexpr int kWarmUpSeconds = 15, kSeconds = 45;
// Until write buffers have been filled and given back more than once, however slow the machine is.
constexpr int64_t kWarmUpWrites = 150'000;
constexpr int kWaitMs = 30'000;
constexpr double kMegabyte = 1 << 20;
constexpr int64_t kSecondNs = 1'000'000'000;

class Users {
 public:
  explicit Users(Environment& environment)
      : environment_(environment), poller_(epoll_create1(EPOLL_CLOEXEC)) {}

  Status Open() {
    for (int t = 0; t < kTables; ++t) {
      KALAM_RETURN_IF_ERROR(environment_
                                .Admin(fmt::format("CREATE USER TABLE crowd.t{} (id BIGINT PRIMARY "
                                                   "KEY, body TEXT)",
                                                   t))
                                .status());
    }
    for (int i = 0; i < kUsers; ++i) {
      KALAM_ASSIGN_OR_RETURN(std::string token, environment_.AddUser(fmt::format("user_{:05}", i)));
      KALAM_ASSIGN_OR_RETURN(load::WebSocketClient socket,
                             load::WebSocketClient::Open(environment_.port(), token));
      KALAM_RETURN_IF_ERROR(
          socket.Subscribe("own", fmt::format("SELECT * FROM crowd.t{}", i % kTables), ""));
      KALAM_ASSIGN_OR_RETURN(const std::string answer, socket.Receive(kWaitMs));
      if (answer.find("subscription_ack") == std::string::npos)
        return Status(ErrorKind::Execution, answer);
      Watch(socket.socket().fd(), static_cast<uint32_t>(i));
      sockets_.push_back(std::move(socket));
      tokens_.push_back(std::move(token));
      // Whoever came first must not fall silent for longer than the server allows.
      if (i % 500 != 0) continue;
      for (load::WebSocketClient& open : sockets_)
        KALAM_RETURN_IF_ERROR(open.Send("{\"type\":\"ping\"}"));
    }
    for (int i = 0; i < kWriters; ++i) {
      KALAM_ASSIGN_OR_RETURN(load::HttpClient client,
                             load::HttpClient::Connect(environment_.port()));
      Watch(client.socket().fd(), static_cast<uint32_t>(kUsers + i));
      writers_.push_back({std::move(client), {}, false});
    }
    return {};
  }

  /// Everybody writes once a second, until so much time has passed and so much was written; returns
  /// how many a second really were written. Samples the server's memory every second.
  Result<double> Write(int seconds, int64_t count) {
    samples_.clear();
    const int64_t begin_ns = load::SteadyNs();
    const int64_t first = sent_;
    int64_t now_ns = begin_ns;
    while ((now_ns = load::SteadyNs()) < begin_ns + int64_t{seconds} * kSecondNs ||
           sent_ - first < count) {
      if (now_ns >= begin_ns + static_cast<int64_t>(samples_.size()) * kSecondNs) {
        samples_.push_back(
            {static_cast<double>(now_ns - begin_ns) / kSecondNs,
             static_cast<double>(environment_.server().memory().private_bytes) / kMegabyte});
      }
      const int64_t due = first + (now_ns - begin_ns) * kUsers / kSecondNs;
      for (size_t i = 0; i < writers_.size() && sent_ < due; ++i) {
        if (!writers_[i].busy) KALAM_RETURN_IF_ERROR(SendOne(i));
      }
      KALAM_RETURN_IF_ERROR(TakeEvents(1));
    }
    return static_cast<double>(sent_ - first) * kSecondNs / static_cast<double>(now_ns - begin_ns);
  }
  const std::vector<MemorySample>& samples() const { return samples_; }

  Status Drain() {
    const int64_t until_ns = load::SteadyNs() + int64_t{kWaitMs} * 1'000'000;
    while (delivered_ < sent_ && load::SteadyNs() < until_ns)
      KALAM_RETURN_IF_ERROR(TakeEvents(100));
    if (delivered_ == sent_) return {};
    return Status(ErrorKind::Execution,
                  fmt::format("{} of {} notifications arrived", delivered_, sent_));
  }

 private:
  struct Writer {
    load::HttpClient client;
    std::string buffer;
    bool busy;
  };

  void Watch(int fd, uint32_t tag) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u32 = tag;
    epoll_ctl(poller_.fd(), EPOLL_CTL_ADD, fd, &event);
  }

  Status SendOne(size_t writer) {
    const auto user = static_cast<size_t>(sent_) % static_cast<size_t>(kUsers);
    writers_[writer].busy = true;
    return writers_[writer].client.socket().SendAll(load::MakeSql(
        tokens_[user],
        fmt::format("INSERT INTO crowd.t{} (id, body) VALUES ($1, $2)", user % kTables),
        fmt::format("[{},\"a line that somebody wrote\"]", sent_++)));
  }

  Status TakeEvents(int wait_ms) {
    std::array<epoll_event, 512> events{};
    const int ready =
        epoll_wait(poller_.fd(), events.data(), static_cast<int>(events.size()), wait_ms);
    for (int e = 0; e < ready; ++e) {
      const size_t index = events[static_cast<size_t>(e)].data.u32;
      if (index < static_cast<size_t>(kUsers)) {
        messages_.clear();
        KALAM_RETURN_IF_ERROR(sockets_[index].ReadAvailable(&messages_));
        delivered_ += static_cast<int64_t>(messages_.size());
        continue;
      }
      Writer& writer = writers_[index - kUsers];
      KALAM_RETURN_IF_ERROR(writer.client.socket().Receive(&writer.buffer, -1));
      load::HttpResponse response;
      if (!load::TakeResponse(&writer.buffer, &response)) continue;
      if (response.status != 200) return Status(ErrorKind::Execution, response.body.substr(0, 300));
      writer.busy = false;
    }
    return {};
  }

  Environment& environment_;
  load::Socket poller_;
  std::vector<load::WebSocketClient> sockets_;
  std::vector<std::string> tokens_;
  std::vector<Writer> writers_;
  std::vector<std::string> messages_;
  std::vector<MemorySample> samples_;
  int64_t sent_ = 0, delivered_ = 0;
};

}  // namespace

Status RunUsers(const SuiteOptions& options, Report& report) {
  load::RaiseFileLimit();
  const int64_t kernel_before = load::KernelTcpBytes();
  KALAM_ASSIGN_OR_RETURN(auto environment, Environment::Start(options.binary, options.config_file));
  KALAM_RETURN_IF_ERROR(environment->Admin("CREATE NAMESPACE crowd").status());
  Users users(*environment);
  KALAM_RETURN_IF_ERROR(users.Open());
  KALAM_RETURN_IF_ERROR(users.Write(kWarmUpSeconds, kWarmUpWrites).status());
  const char* seconds = getenv("KALAM_BENCH_USERS_SECONDS");
  KALAM_ASSIGN_OR_RETURN(const double rate,
                         users.Write(seconds != nullptr ? atoi(seconds) : kSeconds, 0));
  const int64_t kernel_bytes = load::KernelTcpBytes() - kernel_before;
  KALAM_RETURN_IF_ERROR(users.Drain());
  const std::vector<MemorySample>& samples = users.samples();
  const auto [low, high] = std::minmax_element(
      samples.begin(), samples.end(),
      [](const MemorySample& a, const MemorySample& b) { return a.megabytes < b.megabytes; });
  PrintTrend(samples, "s", 1);
  report.Add({"10,000 users writing once a second: private", "MB", high->megabytes, 256, false,
              fmt::format("{:.0f} INSERTs a second, every change delivered; kernel sockets +{} KB",
                          rate, kernel_bytes / 1024)});
  const MemoryTrend trend = FitTrend(samples);
  report.Add(
      {"growth after warm-up, what is certain of it", "MB/min",
       std::max(0.0, trend.slope - trend.half_width) * 60, 0, false,
       fmt::format("slope {:+.2f} +-{:.2f} MB a minute (95 %); write buffers fill and are "
                   "given back: {:.1f} to {:.1f} MB",
                   trend.slope * 60, trend.half_width * 60, low->megabytes, high->megabytes)});
  return {};
}

}  // namespace kalam::bench

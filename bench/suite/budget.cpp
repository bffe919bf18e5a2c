// A server with a budget of 64 MB under everything at once: it stays inside, loses nothing, and
// refuses little.
#include <fmt/format.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "suite/suites.h"

namespace kalam::bench {
namespace {

constexpr int kTables = 1000, kConnections = 2000, kSubscriptionsEach = 5;
constexpr int kWriters = 32, kWritesPerSecond = 2000;
constexpr int kWaitMs = 60'000;
constexpr double kMegabyte = 1 << 20;
constexpr char kGroupLimit[] = "100663296";  // 96 MB

/// A control group with 96 MB for the server; nothing where groups are not to be had.
class MemoryGroup {
 public:
  explicit MemoryGroup(pid_t pid) {
    const std::string path = "/sys/fs/cgroup/kalam-bench-" + std::to_string(getpid());
    std::error_code error;
    std::ofstream("/sys/fs/cgroup/cgroup.subtree_control") << "+memory";
    if (!std::filesystem::create_directory(path, error)) return;
    std::ofstream(path + "/memory.max") << kGroupLimit;
    std::ofstream(path + "/cgroup.procs") << pid;
    std::ifstream limit(path + "/memory.max");
    std::string text;
    limit >> text;
    held_ = text == kGroupLimit;
    path_ = path;
  }
  ~MemoryGroup() {
    // The group goes with its last process, which ends after this.
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove(path_, ignored);
  }
  MemoryGroup(const MemoryGroup&) = delete;
  MemoryGroup& operator=(const MemoryGroup&) = delete;
  bool held() const { return held_; }

 private:
  std::string path_;
  bool held_ = false;
};

class Load {
 public:
  explicit Load(Environment& environment)
      : environment_(environment), poller_(epoll_create1(EPOLL_CLOEXEC)) {}

  Status Open() {
    KALAM_RETURN_IF_ERROR(environment_.Admin("CREATE NAMESPACE budget").status());
    for (int t = 0; t < kTables; ++t) {
      KALAM_RETURN_IF_ERROR(
          environment_
              .Admin(fmt::format("CREATE SHARED TABLE budget.t{} (id BIGINT PRIMARY "
                                 "KEY, room INT, body TEXT)",
                                 t))
              .status());
    }
    for (int i = 0; i < kConnections; ++i) {
      KALAM_ASSIGN_OR_RETURN(
          load::WebSocketClient socket,
          load::WebSocketClient::Open(environment_.port(), environment_.root_token()));
      for (int n = 0; n < kSubscriptionsEach; ++n) {
        // Each change of table t reaches the ten subscriptions on it.
        KALAM_RETURN_IF_ERROR(socket.Subscribe(
            fmt::format("subscription-{:012}", n),
            fmt::format("SELECT * FROM budget.t{}", (i * kSubscriptionsEach + n) % kTables), ""));
        KALAM_ASSIGN_OR_RETURN(const std::string answer, socket.Receive(kWaitMs));
        if (answer.find("subscription_ack") == std::string::npos)
          return Status(ErrorKind::Execution, answer);
      }
      Watch(socket.socket().fd(), static_cast<uint32_t>(i));
      sockets_.push_back(std::move(socket));
      // Whoever came first must not fall silent for longer than the server allows.
      if (i % 200 != 0) continue;
      for (load::WebSocketClient& open : sockets_)
        KALAM_RETURN_IF_ERROR(open.Send("{\"type\":\"ping\"}"));
    }
    for (int i = 0; i < kWriters + 1; ++i) {
      KALAM_ASSIGN_OR_RETURN(load::HttpClient client,
                             load::HttpClient::Connect(environment_.port()));
      Watch(client.socket().fd(), static_cast<uint32_t>(kConnections + i));
      clients_.push_back({std::move(client), {}, false});
    }
    return {};
  }

  Status Run(int seconds) {
    const int64_t begin_ns = load::SteadyNs();
    int64_t now_ns;
    while ((now_ns = load::SteadyNs() - begin_ns) < int64_t{seconds} * 1'000'000'000) {
      const int64_t due = now_ns * kWritesPerSecond / 1'000'000'000;
      for (size_t i = 0; i < kWriters && sent_ < due; ++i) {
        if (!clients_[i].busy) KALAM_RETURN_IF_ERROR(SendInsert(clients_[i]));
      }
      if (!clients_[kWriters].busy && now_ns / 1'000'000'000 > groupings_) {
        ++groupings_;
        clients_[kWriters].busy = true;
        KALAM_RETURN_IF_ERROR(clients_[kWriters].client.socket().SendAll(load::MakeSql(
            environment_.root_token(),
            fmt::format("SELECT room, COUNT(*), MAX(body) FROM budget.t{} GROUP BY room",
                        groupings_ % kTables))));
      }
      KALAM_RETURN_IF_ERROR(TakeEvents(1));
      const auto memory = environment_.server().memory();
      peak_rss_ = std::max(peak_rss_, memory.rss_bytes);
    }
    const int64_t until_ns = load::SteadyNs() + int64_t{kWaitMs} * 1'000'000;
    while (delivered_ < Expected() && load::SteadyNs() < until_ns)
      KALAM_RETURN_IF_ERROR(TakeEvents(100));
    return {};
  }

  int64_t Expected() const {
    return sent_ * (int64_t{kConnections} * kSubscriptionsEach / kTables);
  }
  int64_t sent() const { return sent_; }
  int64_t delivered() const { return delivered_; }
  int64_t failed_writes() const { return failed_writes_; }
  double grouping_success_percent() const {
    return groupings_ == 0 ? 0
                           : 100.0 * static_cast<double>(groupings_ - failed_groupings_) /
                                 static_cast<double>(groupings_);
  }
  int64_t groupings() const { return groupings_; }
  int64_t peak_rss() const { return peak_rss_; }
  const std::string& first_refusal() const { return first_refusal_; }

 private:
  struct Client {
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

  Status SendInsert(Client& client) {
    client.busy = true;
    const int64_t id = sent_++;
    return client.client.socket().SendAll(load::MakeSql(
        environment_.root_token(),
        fmt::format("INSERT INTO budget.t{} (id, room, body) VALUES ($1, $2, $3)", id % kTables),
        fmt::format("[{},{},\"a line that somebody wrote\"]", id, id / kTables % 7)));
  }

  Status TakeEvents(int wait_ms) {
    std::array<epoll_event, 512> events{};
    const int ready =
        epoll_wait(poller_.fd(), events.data(), static_cast<int>(events.size()), wait_ms);
    for (int e = 0; e < ready; ++e) {
      const size_t index = events[static_cast<size_t>(e)].data.u32;
      if (index < static_cast<size_t>(kConnections)) {
        messages_.clear();
        KALAM_RETURN_IF_ERROR(sockets_[index].ReadAvailable(&messages_));
        delivered_ += static_cast<int64_t>(messages_.size());
        continue;
      }
      const size_t number = index - kConnections;
      Client& client = clients_[number];
      KALAM_RETURN_IF_ERROR(client.client.socket().Receive(&client.buffer, -1));
      load::HttpResponse response;
      if (!load::TakeResponse(&client.buffer, &response)) continue;
      client.busy = false;
      if (response.status == 200) continue;
      ++(number == kWriters ? failed_groupings_ : failed_writes_);
      if (first_refusal_.empty()) first_refusal_ = response.body.substr(0, 200);
    }
    return {};
  }

  Environment& environment_;
  load::Socket poller_;
  std::vector<load::WebSocketClient> sockets_;
  std::vector<Client> clients_;
  std::vector<std::string> messages_;
  std::string first_refusal_;
  int64_t sent_ = 0, delivered_ = 0, groupings_ = 0, failed_groupings_ = 0, failed_writes_ = 0;
  int64_t peak_rss_ = 0;
};

}  // namespace

Status RunBudget(const SuiteOptions& options, Report& report) {
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  const char* asked = std::getenv("KALAM_BENCH_BUDGET_SECONDS");
  const int seconds = asked != nullptr ? std::max(1, std::atoi(asked)) : 60;
  load::TemporaryDirectory directory("kalam-bench-budget");
  const std::string config = directory.path() + "/server.toml";
  {
    std::ifstream base(options.config_file);
    std::ofstream(config) << base.rdbuf() << "\n[memory]\nbudget = \"64MB\"\n";
  }
  KALAM_ASSIGN_OR_RETURN(auto environment, Environment::Start(options.binary, config));
  const MemoryGroup group(environment->server().pid());
  Load load(*environment);
  KALAM_RETURN_IF_ERROR(load.Open());
  KALAM_RETURN_IF_ERROR(load.Run(seconds));
  const std::string note =
      fmt::format("{} s{}{}", seconds, group.held() ? ", in a control group of 96 MB" : "",
                  load.first_refusal().empty() ? "" : "; first refusal: " + load.first_refusal());
  report.Add({"budget of 64 MB: peak resident memory", "MB",
              static_cast<double>(load.peak_rss()) / kMegabyte, 96, false, note});
  report.Add({"budget of 64 MB: lost notifications", "",
              static_cast<double>(load.Expected() - load.delivered()), 0, false,
              fmt::format("{} writes, {} notifications", load.sent(), load.delivered())});
  report.Add({"budget of 64 MB: failed writes", "", static_cast<double>(load.failed_writes()), 0});
  report.Add({"budget of 64 MB: GROUP BYs that succeed", "%", load.grouping_success_percent(), 95,
              true, fmt::format("of {}", load.groupings())});
  return {};
}

}  // namespace kalam::bench

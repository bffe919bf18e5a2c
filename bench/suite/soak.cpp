// The soak: steady chat traffic, memory sampled, its slope with a confidence interval, and a plot.
#include "suite/soak.h"

#include <fmt/format.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <deque>
#include <optional>

#include "suite/cache_fill.h"
#include "suite/environment.h"
#include "suite/memory_trend.h"
#include "suite/report.h"

namespace kalam::bench {

const char kSoakUsage[] =
    "       kalam-bench soak [--minutes N] [--users N] [--rate N] [--server PATH] [--config "
    "FILE]\n";

namespace {

constexpr int kWaitMs = 20'000;
constexpr int kLanes = 16;
constexpr double kSettlingSeconds = 300;
// The day begins with a rush, half as long as the settling time: it fills what has a bound, which
// the steady rate would take a quarter of an hour to do.
constexpr double kRushShare = 0.5;
constexpr double kRushRates = 6;
constexpr double kMegabyte = 1 << 20;

struct SoakOptions {
  int minutes = 30, users = 1000, messages_per_second = 333;
  std::string binary, config_file = "bench/load.toml";
};

/// One user: a subscription to own messages, and which message should come next.
struct Watcher {
  load::WebSocketClient socket;
  std::string token;
  int sent = 0;
  int received = 0;
};

class Soak {
 public:
  Soak(const SoakOptions& options, Environment& environment, CacheFill caches)
      : options_(options),
        environment_(environment),
        caches_(caches),
        poller_(epoll_create1(EPOLL_CLOEXEC)) {}

  Status Open();
  Status Run();
  /// Prints plot and slope; true when nothing grew.
  bool Report() const;

 private:
  bool Grows(const std::vector<MemorySample>& samples, std::string_view name) const;
  struct Lane {
    load::HttpClient client;
    bool busy = false;
    std::string buffer;
  };
  Status SendDue(double now_s);
  Status TakeEvents(int wait_ms);
  Status TakeSample(double now_s);
  /// Seconds that do not count: what fills, fills meanwhile.
  double SettlingSeconds() const { return std::min(kSettlingSeconds, options_.minutes * 60.0 / 6); }

  const SoakOptions& options_;
  Environment& environment_;
  CacheFill caches_;
  load::Socket poller_;
  std::vector<Watcher> watchers_;
  std::vector<Lane> lanes_;
  size_t next_lane_ = 0;
  std::vector<MemorySample> samples_;
  std::vector<MemorySample> uncached_samples_;  // without block cache and memtables
  std::optional<double> full_s_;                // when the caches were
  int64_t sent_ = 0, answered_ = 0, received_ = 0;
};

Status Soak::Open() {
  load::RaiseFileLimit();
  KALAM_RETURN_IF_ERROR(environment_.Admin("CREATE NAMESPACE chat").status());
  KALAM_RETURN_IF_ERROR(
      environment_
          .Admin("CREATE USER TABLE chat.messages (id BIGINT PRIMARY KEY, room INT, body TEXT)")
          .status());
  for (int i = 0; i < options_.users; ++i) {
    KALAM_ASSIGN_OR_RETURN(std::string token, environment_.AddUser(fmt::format("user_{:04}", i)));
    KALAM_ASSIGN_OR_RETURN(load::WebSocketClient socket,
                           load::WebSocketClient::Open(environment_.port(), token));
    KALAM_RETURN_IF_ERROR(socket.Subscribe("messages", "SELECT * FROM chat.messages", ""));
    KALAM_ASSIGN_OR_RETURN(const std::string answer, socket.Receive(kWaitMs));
    if (answer.find("subscription_ack") == std::string::npos)
      return Status(ErrorKind::Execution, answer);
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u32 = static_cast<uint32_t>(i);
    epoll_ctl(poller_.fd(), EPOLL_CTL_ADD, socket.socket().fd(), &event);
    watchers_.push_back({std::move(socket), std::move(token)});
  }
  for (int i = 0; i < kLanes; ++i) {
    KALAM_ASSIGN_OR_RETURN(load::HttpClient client, load::HttpClient::Connect(environment_.port()));
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u32 = static_cast<uint32_t>(options_.users + i);
    epoll_ctl(poller_.fd(), EPOLL_CTL_ADD, client.socket().fd(), &event);
    lanes_.push_back({std::move(client), false, {}});
  }
  return {};
}

// The lanes take turns: the server closes a connection that sends nothing for a minute and a
// quarter.
Status Soak::SendDue(double now_s) {
  const double rushed_s = std::min(now_s, SettlingSeconds() * kRushShare);
  const auto due =
      static_cast<int64_t>((now_s + rushed_s * (kRushRates - 1)) * options_.messages_per_second);
  for (size_t tried = 0; tried < lanes_.size(); ++tried) {
    if (sent_ >= due) return {};
    Lane& lane = lanes_[next_lane_];
    next_lane_ = (next_lane_ + 1) % lanes_.size();
    if (lane.busy) continue;
    Watcher& watcher = watchers_[static_cast<size_t>(sent_) % watchers_.size()];
    lane.busy = true;
    KALAM_RETURN_IF_ERROR(lane.client.socket().SendAll(load::MakeSql(
        watcher.token, "INSERT INTO chat.messages (id, room, body) VALUES ($1, $2, $3)",
        fmt::format("[{},{},\"message {} of a chat that goes on and on\"]", watcher.sent,
                    watcher.sent % 10, watcher.sent))));
    ++watcher.sent;
    ++sent_;
  }
  return {};
}

Status Soak::TakeEvents(int wait_ms) {
  std::array<epoll_event, 256> events{};
  std::vector<std::string> messages;
  const int ready =
      epoll_wait(poller_.fd(), events.data(), static_cast<int>(events.size()), wait_ms);
  for (int e = 0; e < ready; ++e) {
    const size_t index = events[static_cast<size_t>(e)].data.u32;
    if (index >= watchers_.size()) {
      Lane& lane = lanes_[index - watchers_.size()];
      KALAM_RETURN_IF_ERROR(lane.client.socket().Receive(&lane.buffer, -1));
      load::HttpResponse response;
      if (!load::TakeResponse(&lane.buffer, &response)) continue;
      if (response.status != 200) return Status(ErrorKind::Execution, response.body.substr(0, 300));
      lane.busy = false;
      ++answered_;
      continue;
    }
    Watcher& watcher = watchers_[index];
    messages.clear();
    KALAM_RETURN_IF_ERROR(watcher.socket.ReadAvailable(&messages));
    for (const std::string& message : messages) {
      const auto id = load::FieldText(message, "id");
      const size_t rows = message.find("\"rows\"");
      if (rows == std::string::npos || !id) continue;
      const auto key = load::FieldText(std::string_view(message).substr(rows), "id");
      if (!key || *key != std::to_string(watcher.received))
        return Status(ErrorKind::Execution, fmt::format("user {} expected message {}: {}", index,
                                                        watcher.received, message));
      ++watcher.received;
      ++received_;
    }
  }
  return {};
}

Status Soak::TakeSample(double now_s) {
  KALAM_ASSIGN_OR_RETURN(const bool full, caches_.IsFull());
  if (full && !full_s_) full_s_ = now_s;
  const double megabytes =
      static_cast<double>(environment_.server().memory().private_bytes) / kMegabyte;
  samples_.push_back({now_s, megabytes});
  uncached_samples_.push_back(
      {now_s, megabytes - static_cast<double>(caches_.held_bytes()) / kMegabyte});
  if (isatty(STDOUT_FILENO)) {
    fmt::print("\r\x1b[K{:5.1f} min  {:7.2f} MB private  {} sent  {} delivered", now_s / 60,
               megabytes, sent_, received_);
    std::fflush(stdout);
  }
  return {};
}

Status Soak::Run() {
  const int64_t begin_ns = load::SteadyNs();
  const double end_s = options_.minutes * 60.0;
  const double every_s = std::max(1.0, end_s / 1800);
  double next_sample_s = 0, now_s = 0;
  while ((now_s = static_cast<double>(load::SteadyNs() - begin_ns) / 1e9) < end_s) {
    if (now_s >= next_sample_s) {
      KALAM_RETURN_IF_ERROR(TakeSample(now_s));
      next_sample_s += every_s;
    }
    KALAM_RETURN_IF_ERROR(SendDue(now_s));
    KALAM_RETURN_IF_ERROR(TakeEvents(1));
  }
  const int64_t drain_until_ns = load::SteadyNs() + int64_t{kWaitMs} * 1'000'000;
  while ((answered_ < sent_ || received_ < sent_) && load::SteadyNs() < drain_until_ns)
    KALAM_RETURN_IF_ERROR(TakeEvents(100));
  if (received_ == sent_ && answered_ == sent_) return {};
  return Status(ErrorKind::Execution,
                fmt::format("{} sent, {} answered, {} delivered", sent_, answered_, received_));
}

// What comes after the settling time; prints the line through it.
bool Soak::Grows(const std::vector<MemorySample>& samples, std::string_view name) const {
  const double settled_s = SettlingSeconds();
  std::vector<MemorySample> settled;
  for (const MemorySample& sample : samples) {
    if (sample.x >= settled_s) settled.push_back(sample);
  }
  const MemoryTrend trend = FitTrend(settled);
  const auto [low, high] = std::minmax_element(
      settled.begin(), settled.end(),
      [](const MemorySample& a, const MemorySample& b) { return a.megabytes < b.megabytes; });
  fmt::print(
      "{} after the first {:.1f} minutes: {:+.4f} MB a minute, +-{:.4f} (95 %, of {} samples)",
      name, settled_s / 60, trend.slope * 60, trend.half_width * 60, settled.size());
  if (low != settled.end()) fmt::print(", {:.1f} to {:.1f} MB", low->megabytes, high->megabytes);
  fmt::print(": {}\n", trend.grows() ? "GROWING" : "not growing");
  return trend.grows();
}

bool Soak::Report() const {
  fmt::print("\n");
  PrintTrend(samples_, "min", 60);
  if (full_s_) {
    fmt::print("block cache and memtables were full ({:.0f} MB) after {:.1f} minutes\n",
               static_cast<double>(caches_.bound_bytes()) / kMegabyte, *full_s_ / 60);
  } else {
    fmt::print("block cache and memtables were never full: {:.1f} of {:.1f} MB at the end\n",
               static_cast<double>(caches_.held_bytes()) / kMegabyte,
               static_cast<double>(caches_.bound_bytes()) / kMegabyte);
  }
  fmt::print("{} messages sent, every one answered and delivered once and in order\n", sent_);
  Grows(uncached_samples_, "private memory without block cache and memtables");
  return !Grows(samples_, "private memory");
}

Result<SoakOptions> ParseArguments(const std::vector<std::string>& arguments,
                                   const std::string& server_binary) {
  SoakOptions options;
  options.binary = server_binary;
  for (size_t i = 0; i + 1 < arguments.size(); i += 2) {
    const std::string& name = arguments[i];
    const std::string& value = arguments[i + 1];
    int* number = name == "--minutes" ? &options.minutes
                  : name == "--users" ? &options.users
                  : name == "--rate"  ? &options.messages_per_second
                                      : nullptr;
    if (number != nullptr) {
      const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), *number);
      if (error != std::errc() || *end != '\0' || *number <= 0)
        return Status(ErrorKind::InvalidOperation, name + " needs a number above 0");
    } else if (name == "--server") {
      options.binary = value;
    } else if (name == "--config") {
      options.config_file = value;
    } else {
      return Status(ErrorKind::InvalidOperation, "there is no option " + name);
    }
  }
  if (arguments.size() % 2 != 0)
    return Status(ErrorKind::InvalidOperation, arguments.back() + " needs a value");
  return options;
}

Status RunOn(const SoakOptions& options, bool* flat) {
  KALAM_ASSIGN_OR_RETURN(auto environment, Environment::Start(options.binary, options.config_file));
  KALAM_ASSIGN_OR_RETURN(const CacheFill caches, CacheFill::Of(*environment));
  Soak soak(options, *environment, caches);
  KALAM_RETURN_IF_ERROR(soak.Open());
  KALAM_RETURN_IF_ERROR(soak.Run());
  *flat = soak.Report();
  return {};
}

}  // namespace

int RunSoak(const std::vector<std::string>& arguments, const std::string& server_binary) {
  const Result<SoakOptions> options = ParseArguments(arguments, server_binary);
  if (!options.ok()) {
    fmt::print(stderr, "{}\n{}", options.status().message(), kSoakUsage);
    return 2;
  }
  bool flat = false;
  const Status status = RunOn(*options, &flat);
  if (!status.ok()) {
    fmt::print(stderr, "\n{}\n", status.ToString());
    return status.Is(ErrorKind::Execution) ? 1 : 2;
  }
  return flat ? 0 : 1;
}

}  // namespace kalam::bench

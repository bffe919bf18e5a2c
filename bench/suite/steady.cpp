// A thousand changes a second to a hundred subscribers each: nothing is lost, and memory stays
// where it is.
#include <fmt/format.h>
#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>

#include "suite/memory_trend.h"
#include "suite/suites.h"

namespace kalam::bench {
namespace {

constexpr int kSubscribers = 100;
constexpr int kChangesPerSecond = 1000;
constexpr int kWriters = 8;
constexpr int kWarmUpSeconds = 30, kSeconds = 60;
constexpr int kWaitMs = 30'000;
constexpr double kMegabyte = 1 << 20;
constexpr int64_t kSecondNs = 1'000'000'000;

class Readers {
 public:
  explicit Readers(Environment& environment)
      : environment_(environment), poller_(epoll_create1(EPOLL_CLOEXEC)) {}

  Status Open() {
    for (int i = 0; i < kSubscribers; ++i) {
      KALAM_ASSIGN_OR_RETURN(
          load::WebSocketClient socket,
          load::WebSocketClient::Open(environment_.port(), environment_.root_token()));
      KALAM_RETURN_IF_ERROR(socket.Subscribe("all", "SELECT * FROM steady.news", ""));
      KALAM_ASSIGN_OR_RETURN(const std::string answer, socket.Receive(kWaitMs));
      if (answer.find("subscription_ack") == std::string::npos)
        return Status(ErrorKind::Execution, answer);
      Watch(socket.socket().fd(), static_cast<uint32_t>(i));
      readers_.push_back({std::move(socket)});
    }
    for (int i = 0; i < kWriters; ++i) {
      KALAM_ASSIGN_OR_RETURN(load::HttpClient client,
                             load::HttpClient::Connect(environment_.port()));
      Watch(client.socket().fd(), static_cast<uint32_t>(kSubscribers + i));
      writers_.push_back({std::move(client), {}, false});
    }
    return {};
  }

  /// A second samples the server's memory once; returns how many changes a second really were
  /// written.
  Result<double> Write(int seconds) {
    samples_.clear();
    const int64_t begin_ns = load::SteadyNs();
    const int64_t first = sent_, end_ns = begin_ns + seconds * kSecondNs;
    int64_t now_ns = begin_ns;
    for (; now_ns < end_ns; now_ns = load::SteadyNs()) {
      if (now_ns >= begin_ns + static_cast<int64_t>(samples_.size()) * kSecondNs) {
        samples_.push_back(
            {static_cast<double>(now_ns - begin_ns) / kSecondNs,
             static_cast<double>(environment_.server().memory().private_bytes) / kMegabyte});
      }
      const int64_t due = first + (now_ns - begin_ns) * kChangesPerSecond / kSecondNs;
      // In turn: the server closes a connection that sends nothing for a minute and a quarter.
      for (size_t tried = 0; tried < writers_.size() && sent_ < due; ++tried) {
        next_writer_ = (next_writer_ + 1) % writers_.size();
        if (!writers_[next_writer_].busy) KALAM_RETURN_IF_ERROR(SendOne(next_writer_));
      }
      KALAM_RETURN_IF_ERROR(TakeEvents(1));
    }
    return static_cast<double>(sent_ - first) * kSecondNs / static_cast<double>(now_ns - begin_ns);
  }
  const std::vector<MemorySample>& samples() const { return samples_; }
  int64_t sent() const { return sent_; }

  /// How many of all notifications did not come within the time.
  Result<int64_t> Missing() {
    const int64_t until_ns = load::SteadyNs() + int64_t{kWaitMs} * 1'000'000;
    while (delivered_ < sent_ * kSubscribers && load::SteadyNs() < until_ns)
      KALAM_RETURN_IF_ERROR(TakeEvents(100));
    return sent_ * kSubscribers - delivered_;
  }

 private:
  struct Reader {
    load::WebSocketClient socket;
    int64_t last_seq = 0;
  };
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
    writers_[writer].busy = true;
    return writers_[writer].client.socket().SendAll(load::MakeSql(
        environment_.root_token(), "INSERT INTO steady.news (id, body) VALUES ($1, $2)",
        fmt::format("[{},\"some news for everybody who watches\"]", sent_++)));
  }

  // Every change once and in order: what comes twice would hide what is missing.
  Status Count(Reader& reader, const std::string& message) {
    const auto text = load::FieldText(message, "_seq");
    int64_t seq = 0;
    if (text) std::from_chars(text->data(), text->data() + text->size(), seq);
    if (seq <= reader.last_seq) return Status(ErrorKind::Execution, "out of order: " + message);
    reader.last_seq = seq;
    ++delivered_;
    return {};
  }

  Status TakeEvents(int wait_ms) {
    std::array<epoll_event, 128> events{};
    const int ready =
        epoll_wait(poller_.fd(), events.data(), static_cast<int>(events.size()), wait_ms);
    for (int e = 0; e < ready; ++e) {
      const size_t index = events[static_cast<size_t>(e)].data.u32;
      if (index < static_cast<size_t>(kSubscribers)) {
        messages_.clear();
        KALAM_RETURN_IF_ERROR(readers_[index].socket.ReadAvailable(&messages_));
        for (const std::string& message : messages_)
          KALAM_RETURN_IF_ERROR(Count(readers_[index], message));
        continue;
      }
      Writer& writer = writers_[index - kSubscribers];
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
  std::vector<Reader> readers_;
  std::vector<Writer> writers_;
  size_t next_writer_ = 0;
  std::vector<std::string> messages_;
  std::vector<MemorySample> samples_;
  int64_t sent_ = 0, delivered_ = 0;
};

}  // namespace

Status RunSteady(const SuiteOptions& options, Report& report) {
  KALAM_ASSIGN_OR_RETURN(auto environment, Environment::Start(options.binary, options.config_file));
  KALAM_RETURN_IF_ERROR(environment->Admin("CREATE NAMESPACE steady").status());
  KALAM_RETURN_IF_ERROR(
      environment->Admin("CREATE SHARED TABLE steady.news (id BIGINT PRIMARY KEY, body TEXT)")
          .status());
  Readers readers(*environment);
  KALAM_RETURN_IF_ERROR(readers.Open());
  KALAM_RETURN_IF_ERROR(readers.Write(kWarmUpSeconds).status());
  const char* wanted = getenv("KALAM_BENCH_STEADY_SECONDS");
  const int seconds = wanted != nullptr ? atoi(wanted) : kSeconds;
  KALAM_ASSIGN_OR_RETURN(const double rate, readers.Write(seconds));
  const std::vector<MemorySample> samples = readers.samples();
  KALAM_ASSIGN_OR_RETURN(const int64_t missing, readers.Missing());
  const auto [low, high] = std::minmax_element(
      samples.begin(), samples.end(),
      [](const MemorySample& a, const MemorySample& b) { return a.megabytes < b.megabytes; });
  PrintTrend(samples, "s", 1);
  report.Add({"1,000 changes/s to 100 subscribers: changes", "/s", rate, kChangesPerSecond * 0.99,
              true, fmt::format("for {} s after {} s", seconds, kWarmUpSeconds)});
  report.Add({"lost notifications of them", "", static_cast<double>(missing), 0, false,
              fmt::format("of {}, each once and in order", readers.sent() * kSubscribers)});
  const MemoryTrend trend = FitTrend(samples);
  report.Add(
      {"growth meanwhile, what is certain of it", "MB/min",
       std::max(0.0, trend.slope - trend.half_width) * 60, 0, false,
       fmt::format("slope {:+.2f} +-{:.2f} MB a minute (95 %); {:.1f} to {:.1f} MB private",
                   trend.slope * 60, trend.half_width * 60, low->megabytes, high->megabytes)});
  return {};
}

}  // namespace kalam::bench

// The interleaved run of one benchmark, and its line and JSON.
#include "compare/runner.h"

#include <fmt/format.h>
#include <unistd.h>

#include "types/convert.h"

namespace kalam::bench {
namespace {

constexpr int kWarmUps = 5;
constexpr int kBarWidth = 24;

class ProgressBar {
 public:
  explicit ProgressBar(std::string name) : name_(std::move(name)), shown_(isatty(STDOUT_FILENO)) {}
  ~ProgressBar() {
    if (shown_) fmt::print("\r\x1b[K");
  }
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;
  void Show(std::string_view phase, int done, int total) {
    if (!shown_) return;
    const int filled = total > 0 ? done * kBarWidth / total : 0;
    fmt::print("\r\x1b[K{:<28} [{}{}] {} {}/{}", name_,
               std::string(static_cast<size_t>(filled), '#'),
               std::string(static_cast<size_t>(kBarWidth - filled), '.'), phase, done, total);
    std::fflush(stdout);
  }

 private:
  const std::string name_;
  const bool shown_;
};

std::string Reason(const Status& status) {
  const char* prefix = status.Is(ErrorKind::NotAvailable) ? "not available: " : "failed: ";
  return prefix + std::string(status.message());
}

Result<double> TimeIteration(const Benchmark& benchmark, Peer& peer, int number) {
  if (benchmark.measure) return benchmark.measure(peer, number);
  const int64_t begin_ns = load::SteadyNs();
  KALAM_RETURN_IF_ERROR(benchmark.run(peer, number));
  return static_cast<double>(load::SteadyNs() - begin_ns) / 1000.0;
}

std::string Milliseconds(double microseconds) { return fmt::format("{:.3f}", microseconds / 1000); }

}  // namespace

Outcome RunBenchmark(const Benchmark& benchmark, std::vector<std::unique_ptr<Peer>>& peers) {
  Outcome outcome{benchmark.name, benchmark.category, benchmark.shape, {}, {}, {}};
  outcome.microseconds.resize(peers.size());
  outcome.errors.resize(peers.size());
  outcome.notes.resize(peers.size());
  ProgressBar bar(benchmark.name);
  const auto note = [&](size_t peer, const Status& status) {
    if (!status.ok() && outcome.errors[peer].empty()) outcome.errors[peer] = Reason(status);
  };
  for (size_t peer = 0; peer < peers.size(); ++peer) {
    bar.Show("preparing", static_cast<int>(peer), static_cast<int>(peers.size()));
    if (benchmark.set_up) note(peer, benchmark.set_up(*peers[peer]));
  }
  const int warm_ups = benchmark.iterations == 1 ? 1 : kWarmUps;
  for (int step = 0; step < warm_ups + benchmark.iterations; ++step) {
    const bool timed = step >= warm_ups;
    bar.Show(timed ? "running" : "warming up", step, warm_ups + benchmark.iterations);
    const int number = timed ? step - warm_ups : kFirstWarmUp + step;
    for (size_t turn = 0; turn < peers.size(); ++turn) {
      const size_t peer = (turn + static_cast<size_t>(step)) % peers.size();
      if (!outcome.ok(peer)) continue;
      const Result<double> microseconds = TimeIteration(benchmark, *peers[peer], number);
      note(peer, microseconds.status());
      std::vector<std::string> notes = peers[peer]->TakeNotes();
      if (timed) outcome.notes[peer] = std::move(notes);
      if (timed && microseconds.ok()) outcome.microseconds[peer].push_back(*microseconds);
    }
  }
  for (size_t peer = 0; peer < peers.size(); ++peer) {
    if (benchmark.tear_down) note(peer, benchmark.tear_down(*peers[peer]));
    (void)peers[peer]->TakeNotes();
  }
  return outcome;
}

void PrintOutcomeHeader(const std::vector<std::unique_ptr<Peer>>& peers) {
  fmt::print("{:<26}", "milliseconds");
  for (const auto& peer : peers) fmt::print(" | {:<34}", peer->label());
  fmt::print("{}\n{:<26}", peers.size() == 2 ? " |" : "", "");
  for (size_t i = 0; i < peers.size(); ++i)
    fmt::print(" | {:>10} {:>10} {:>12}", "p50", "p99", "per second");
  fmt::print("{}\n", peers.size() == 2 ? " | times faster [95 %]" : "");
}

void PrintOutcome(const Outcome& outcome, const std::vector<std::unique_ptr<Peer>>& peers) {
  fmt::print("{:<26}", outcome.name);
  bool complete = true;
  for (size_t peer = 0; peer < outcome.errors.size(); ++peer) {
    if (!outcome.ok(peer)) {
      fmt::print(" | {:<34}", outcome.errors[peer].substr(0, 34));
      complete = false;
      continue;
    }
    const Summary summary = Summarize(outcome.microseconds[peer]);
    fmt::print(" | {:>10} {:>10} {:>12.1f}", Milliseconds(summary.median_us),
               Milliseconds(summary.p99_us), summary.operations_per_second);
  }
  if (complete && outcome.errors.size() == 2) {
    const Ratio ratio = CompareMedians(outcome.microseconds[0], outcome.microseconds[1]);
    fmt::print(" | {:.2f} [{:.2f}, {:.2f}]", ratio.value, ratio.low, ratio.high);
  }
  fmt::print("\n");
  for (const std::string& error : outcome.errors) {
    if (error.size() > 34) fmt::print("    {}\n", error);
  }
  for (size_t peer = 0; peer < outcome.notes.size(); ++peer) {
    for (const std::string& note : outcome.notes[peer])
      fmt::print("    {}{}\n", outcome.notes.size() > 1 ? peers[peer]->label() + ": " : "", note);
  }
  std::fflush(stdout);
}

std::string OutcomesJson(const std::vector<Outcome>& outcomes,
                         const std::vector<std::unique_ptr<Peer>>& peers) {
  std::string json = "[";
  for (const Outcome& outcome : outcomes) {
    for (size_t peer = 0; peer < peers.size(); ++peer) {
      const Summary s = Summarize(outcome.microseconds[peer]);
      json += json.size() > 1 ? ",\n " : "\n ";
      json += "{\"server\":";
      AppendJsonString(peers[peer]->label(), &json);
      json += fmt::format(
          ",\"name\":\"{}\",\"category\":\"{}\",\"iterations\":{},\"total_us\":{:.1f},\"mean_us\":{"
          ":.1f},"
          "\"median_us\":{:.1f},\"p95_us\":{:.1f},\"p99_us\":{:.1f},\"min_us\":{:.1f},\"max_us\":{:"
          ".1f},"
          "\"stddev_us\":{:.1f},\"ops_per_sec\":{:.2f},\"success\":{},\"error\":",
          outcome.name, outcome.category, s.iterations, s.total_us, s.mean_us, s.median_us,
          s.p95_us, s.p99_us, s.min_us, s.max_us, s.standard_deviation_us, s.operations_per_second,
          outcome.ok(peer));
      if (outcome.ok(peer)) {
        json += "null";
      } else {
        AppendJsonString(outcome.errors[peer], &json);
      }
      if (peer == 1 && outcome.ok(0) && outcome.ok(1)) {
        const Ratio ratio = CompareMedians(outcome.microseconds[0], outcome.microseconds[1]);
        json += fmt::format(",\"ratio\":{:.4f},\"ratio_low\":{:.4f},\"ratio_high\":{:.4f}",
                            ratio.value, ratio.low, ratio.high);
      }
      json += ",\"notes\":[";
      for (size_t note = 0; note < outcome.notes[peer].size(); ++note) {
        json += note > 0 ? "," : "";
        AppendJsonString(outcome.notes[peer][note], &json);
      }
      json += "]}";
    }
  }
  return json + "\n]\n";
}

}  // namespace kalam::bench

// A thousand changes a second to a hundred subscribers each: nothing is lost, and memory stays
// where it is.
#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cstdlib>

#include "suite/crowd.h"
#include "suite/memory_trend.h"
#include "suite/suites.h"

namespace kalam::bench {
namespace {

constexpr int kSubscribers = 100;
constexpr int kChangesPerSecond = 1000;
constexpr int kWriters = 8;
constexpr int kWarmUpSeconds = 30, kSeconds = 60;
constexpr int kWaitMs = 30'000;

/// Every change once and in order: what comes twice would hide what is missing.
class Order {
 public:
  Status Check(size_t subscriber, const std::vector<std::string>& messages) {
    for (const std::string& message : messages) {
      const auto text = load::FieldText(message, "_seq");
      int64_t seq = 0;
      if (text) std::from_chars(text->data(), text->data() + text->size(), seq);
      if (seq <= last_seqs_[subscriber])
        return Status(ErrorKind::Execution, "out of order: " + message);
      last_seqs_[subscriber] = seq;
    }
    return {};
  }

 private:
  std::array<int64_t, kSubscribers> last_seqs_{};
};

}  // namespace

Status RunSteady(const SuiteOptions& options, Report& report) {
  KALAM_ASSIGN_OR_RETURN(auto environment, Environment::Start(options.binary, options.config_file));
  KALAM_RETURN_IF_ERROR(environment->Admin("CREATE NAMESPACE steady").status());
  KALAM_RETURN_IF_ERROR(
      environment->Admin("CREATE SHARED TABLE steady.news (id BIGINT PRIMARY KEY, body TEXT)")
          .status());
  Order order;
  const std::string& token = environment->root_token();
  Crowd crowd(*environment,
              {.insert =
                   [&](int64_t number) {
                     return Statement{
                         token, "INSERT INTO steady.news (id, body) VALUES ($1, $2)",
                         fmt::format("[{},\"some news for everybody who watches\"]", number)};
                   },
               .received = [&](size_t socket,
                               const auto& messages) { return order.Check(socket, messages); }});
  const Subscription all{"all", "SELECT * FROM steady.news"};
  for (int i = 0; i < kSubscribers; ++i) KALAM_RETURN_IF_ERROR(crowd.AddSocket(token, {&all, 1}));
  KALAM_RETURN_IF_ERROR(crowd.AddWriters(kWriters));
  KALAM_RETURN_IF_ERROR(
      crowd.WriteSteadily({.inserts_per_second = kChangesPerSecond, .seconds = kWarmUpSeconds})
          .status());
  const char* wanted = getenv("KALAM_BENCH_STEADY_SECONDS");
  const int seconds = wanted != nullptr ? atoi(wanted) : kSeconds;
  MemorySampler sampler(environment->server());
  KALAM_ASSIGN_OR_RETURN(const double rate,
                         crowd.WriteSteadily({.inserts_per_second = kChangesPerSecond,
                                              .seconds = seconds,
                                              .meanwhile = [&](int64_t elapsed_ns) {
                                                sampler.SampleAt(elapsed_ns);
                                                return Status::Ok();
                                              }}));
  const int64_t expected = crowd.sent() * kSubscribers;
  KALAM_RETURN_IF_ERROR(crowd.Await(expected, kWaitMs));
  report.Add({"1,000 changes/s to 100 subscribers: changes", "/s", rate, kChangesPerSecond * 0.99,
              true, fmt::format("for {} s after {} s", seconds, kWarmUpSeconds)});
  report.Add({"lost notifications of them", "", static_cast<double>(expected - crowd.delivered()),
              0, false, fmt::format("of {}, each once and in order", expected)});
  AddGrowth("growth meanwhile, what is certain of it", sampler.samples(), &report);
  return {};
}

}  // namespace kalam::bench

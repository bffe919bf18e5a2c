// Gathering and writing the report of memory.
#include "server/memory_report.h"

#include <fmt/format.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <exception>
#include <functional>
#include <optional>

#include "base/log.h"
#include "base/process_memory.h"
#include "types/convert.h"

namespace kalam::server {
namespace {

constexpr ShedStep kSteps[] = {ShedStep::kCloseEngine, ShedStep::kShrinkCaches,
                               ShedStep::kReleaseTails, ShedStep::kRefuseStatements,
                               ShedStep::kRefuseConnections};

std::string SheddingSteps(const MemoryGuard& guard, std::string_view quote) {
  std::string steps;
  for (const ShedStep step : kSteps) {
    if (!guard.sheds(step)) continue;
    if (!steps.empty()) steps += ',';
    steps.append(quote).append(ShedStepName(step)).append(quote);
  }
  return steps;
}

void AppendAccount(const MemoryAccount& account, std::string* out) {
  *out += "{\"name\":";
  AppendJsonString(account.name(), out);
  fmt::format_to(std::back_inserter(*out),
                 ",\"used_bytes\":{},\"peak_bytes\":{},\"limit_bytes\":", account.used_bytes(),
                 account.peak_bytes());
  *out += account.limit_bytes() > 0 ? std::to_string(account.limit_bytes()) : "null";
  *out += ",\"children\":[";
  bool first = true;
  for (const MemoryAccount* child : account.children()) {
    if (!std::exchange(first, false)) *out += ',';
    AppendAccount(*child, out);
  }
  *out += "]}";
}

void ForEachAccount(const MemoryAccount& account, const std::string& prefix,
                    const std::function<void(const std::string&, const MemoryAccount&)>& visit) {
  const std::string path = prefix.empty() ? account.name() : prefix + "." + account.name();
  visit(path, account);
  for (const MemoryAccount* child : account.children()) ForEachAccount(*child, path, visit);
}

std::optional<double> NumberOf(const std::string& text) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(number))
    return std::nullopt;
  return number;
}

prometheus::ClientMetric GaugeMetric(double value) {
  prometheus::ClientMetric metric;
  metric.gauge.value = value;
  return metric;
}

prometheus::MetricFamily AccountFamily(const MemoryAccount& root, const char* name,
                                       const char* help, int64_t (MemoryAccount::*value)() const) {
  prometheus::MetricFamily family{name, help, prometheus::MetricType::Gauge, {}};
  ForEachAccount(root, "", [&](const std::string& path, const MemoryAccount& account) {
    prometheus::ClientMetric metric = GaugeMetric(static_cast<double>((account.*value)()));
    metric.label.push_back({"account", path});
    family.metric.push_back(std::move(metric));
  });
  return family;
}

}  // namespace

std::vector<statements::MemoryFact> MemoryFacts(const MemoryReportSources& sources) {
  const ProcessMemory process = ReadProcessMemory();
  const AllocatorMemory allocator = ReadAllocatorMemory();
  const int64_t accounted = sources.root.used_bytes();
  std::string shedding = SheddingSteps(sources.guard, "");
  return {
      {"budget", accounted, sources.plan.budget_bytes,
       fmt::format("level={} from={} shedding={}", MemoryLevelName(sources.guard.level()),
                   sources.plan.budget_source, shedding.empty() ? "nothing" : shedding)},
      {"process.resident", process.resident_bytes, std::nullopt, "text and libraries included"},
      {"process.anonymous", process.anonymous_bytes, std::nullopt, "pages that no file backs"},
      {"allocator_slack", std::max<int64_t>(process.anonymous_bytes - accounted, 0), std::nullopt,
       "anonymous pages that no account holds"},
      {"allocator.in_use", allocator.in_use_bytes, std::nullopt, std::string(AllocatorName())},
      {"allocator.free", allocator.free_bytes, std::nullopt, "not yet given back"},
      {"allocator.block_pages", sources.store.block_page_bytes(), std::nullopt,
       "of RocksDB's blocks, beside the allocator's heap"},
      {"kernel.sockets", ReadKernelSocketBytes(), std::nullopt, "buffers outside of the process"},
      {"rocksdb.table_readers", sources.store.properties().table_reader_bytes, std::nullopt,
       "within server.block_cache"},
      {"rocksdb.options", 0, std::nullopt, sources.store.DescribeOptions()},
  };
}

std::string MemoryJson(const MemoryReportSources& sources) {
  std::string out = fmt::format(
      R"({{"level":"{}","shedding":[{}],"budget_bytes":{},"budget_source":"{}","warning_bytes":{},)"
      R"("critical_bytes":{},"accounts":)",
      MemoryLevelName(sources.guard.level()), SheddingSteps(sources.guard, "\""),
      sources.plan.budget_bytes, sources.plan.budget_source, sources.plan.warning_bytes,
      sources.plan.critical_bytes);
  AppendAccount(sources.root, &out);
  out += ",\"facts\":[";
  bool first = true;
  for (const statements::MemoryFact& fact : MemoryFacts(sources)) {
    if (!std::exchange(first, false)) out += ',';
    out += "{\"name\":";
    AppendJsonString(fact.account, &out);
    fmt::format_to(std::back_inserter(out), ",\"used_bytes\":{},\"limit_bytes\":", fact.used_bytes);
    out += fact.limit_bytes ? std::to_string(*fact.limit_bytes) : "null";
    out += ",\"detail\":";
    AppendJsonString(fact.detail, &out);
    out += '}';
  }
  return out + "]}";
}

std::string PrometheusText(const std::vector<statements::StatSample>& stats,
                           const MemoryReportSources& sources) {
  try {
    std::vector<prometheus::MetricFamily> families;
    for (const statements::StatSample& stat : stats) {
      const std::optional<double> number = NumberOf(stat.value);
      if (!number) continue;
      prometheus::MetricFamily family{
          "kalamdb_" + stat.name,
          stat.help.empty() ? "As in system.stats." : std::string(stat.help),
          prometheus::MetricType::Gauge,
          {}};
      if (stat.only_grows) {
        family.type = prometheus::MetricType::Counter;
        prometheus::ClientMetric metric;
        metric.counter.value = *number;
        family.metric.push_back(std::move(metric));
      } else {
        family.metric.push_back(GaugeMetric(*number));
      }
      families.push_back(std::move(family));
    }
    families.push_back(AccountFamily(sources.root, "kalamdb_memory_account_used_bytes",
                                     "Bytes charged to an account and those below it.",
                                     &MemoryAccount::used_bytes));
    families.push_back(AccountFamily(sources.root, "kalamdb_memory_account_peak_bytes",
                                     "The most that was ever charged.",
                                     &MemoryAccount::peak_bytes));
    prometheus::MetricFamily facts{"kalamdb_memory_fact_bytes",
                                   "What the system, the allocator and RocksDB say.",
                                   prometheus::MetricType::Gauge,
                                   {}};
    for (const statements::MemoryFact& fact : MemoryFacts(sources)) {
      if (fact.account == "rocksdb.options" || fact.account == "budget") continue;
      prometheus::ClientMetric metric = GaugeMetric(static_cast<double>(fact.used_bytes));
      metric.label.push_back({"name", fact.account});
      facts.metric.push_back(std::move(metric));
    }
    families.push_back(std::move(facts));
    families.push_back({"kalamdb_memory_budget_bytes",
                        "The memory budget.",
                        prometheus::MetricType::Gauge,
                        {GaugeMetric(static_cast<double>(sources.plan.budget_bytes))}});
    return prometheus::TextSerializer().Serialize(families);
  } catch (const std::exception& failure) {
    Log(LogLevel::kError, "server.metrics", "the metrics cannot be written",
        {{"reason", failure.what()}});
    return {};
  }
}

}  // namespace kalam::server

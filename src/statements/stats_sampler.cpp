// Sampling and pruning of dba.stats, through the same writes as anybody's rows.
#include "statements/stats_sampler.h"

#include <charconv>
#include <cmath>

#include "base/log.h"
#include "types/key_codec.h"

namespace kalam::statements {
namespace {

constexpr int64_t kSecondUs = 1'000'000;
constexpr int64_t kSampleIntervalUs = 30 * kSecondUs;
constexpr int64_t kFullIntervalUs = 600 * kSecondUs;
constexpr int64_t kPruneIntervalUs = 3600 * kSecondUs;
constexpr int kPruneBatch = 1000;
constexpr std::string_view kNodeId = "1";

std::optional<double> NumberOf(const std::string& text) {
  double number = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(number))
    return std::nullopt;
  return number;
}

std::string_view UnitOf(std::string_view name) {
  if (name.ends_with("_mb")) return "MB";
  if (name.ends_with("_bytes") || name.ends_with("_bytes_peak")) return "bytes";
  if (name.ends_with("_percent")) return "percent";
  if (name.ends_with("_seconds")) return "seconds";
  return "count";
}

/// Thirteen digits of milliseconds, so that ids order by time.
std::string TimePart(int64_t now_us) {
  std::string digits = std::to_string(now_us / 1000);
  if (digits.size() < 13) digits.insert(0, 13 - digits.size(), '0');
  return digits;
}

Status Propose(replication::ReplicationGroup& group,
               std::shared_ptr<const replication::Command> command) {
  if (!command) return Status::Ok();
  return replication::ProposeAndWait(group, std::move(command)).status;
}

}  // namespace

StatsSampler::StatsSampler(const SystemSources& sources, const SamplerOptions& options)
    : sources_(sources),
      options_(options),
      next_sample_steady_us_(sources.started_steady_us + kSecondUs),
      next_prune_steady_us_(sources.started_steady_us + 60 * kSecondUs) {}

void StatsSampler::Tick() {
  if (!options_.is_enabled) return;
  const int64_t steady_us = sources_.services.clock.SteadyUs();
  const int64_t now_us = sources_.services.clock.NowUs();
  if (steady_us >= next_sample_steady_us_) {
    next_sample_steady_us_ = steady_us + kSampleIntervalUs;
    if (steady_us >= next_full_steady_us_) {
      last_values_.clear();
      next_full_steady_us_ = steady_us + kFullIntervalUs;
    }
    if (Status status = Sample(now_us); !status.ok()) {
      Log(LogLevel::kWarn, "stats", "dba.stats was not sampled", {{"error", status.ToString()}});
    }
  }
  if (options_.retention_seconds > 0 && steady_us >= next_prune_steady_us_) {
    const Result<bool> more = Prune(now_us);
    next_prune_steady_us_ = steady_us + (more.ok() && *more ? kSecondUs : kPruneIntervalUs);
  }
}

Status StatsSampler::Sample(int64_t now_us) {
  const StatementServices& services = sources_.services;
  KALAM_ASSIGN_OR_RETURN(const catalog::TablePtr table, services.catalog.FindTable("dba", "stats"));
  if (!table || table->columns->size() < 6) return Status::Ok();
  tables::ReadScope scope{table, storage::Scope::Shared(), services.group.TakeView(), nullptr};
  tables::TableWriter writer(services.query.reader());
  const std::string id_prefix = TimePart(now_us) + ":" + std::string(kNodeId) + ":";
  std::vector<Datum> cells(table->columns->size());
  for (StatSample& sample : CollectStats(sources_)) {
    const std::optional<double> number = NumberOf(sample.value);
    std::string& last = last_values_[sample.name];
    if (!number || last == sample.value) continue;
    last = sample.value;
    const std::string id = id_prefix + sample.name;
    cells[0] = Datum::Text(id);
    cells[1] = Datum::Text(kNodeId);
    cells[2] = Datum::Text(sample.name);
    cells[3] = Datum::Double(*number);
    cells[4] = Datum::Text(UnitOf(sample.name));
    cells[5] = Datum::OfInt(TypeKind::kTimestamp, now_us);
    KALAM_RETURN_IF_ERROR(writer.Insert(scope, cells));
  }
  return Propose(services.group, writer.Finish(scope.view.seq));
}

Result<bool> StatsSampler::Prune(int64_t now_us) {
  const StatementServices& services = sources_.services;
  KALAM_ASSIGN_OR_RETURN(const catalog::TablePtr table, services.catalog.FindTable("dba", "stats"));
  if (!table) return false;
  tables::ReadScope scope{table, storage::Scope::Shared(), services.group.TakeView(), nullptr};
  tables::TableWriter writer(services.query.reader());
  tables::ScanOptions options;
  EncodeKey(Datum::Text(TimePart(now_us - options_.retention_seconds * kSecondUs)),
            &options.key_upper);
  int removed = 0;
  {
    KALAM_ASSIGN_OR_RETURN(auto scan, services.query.reader().OpenScan(scope, options));
    while (removed < kPruneBatch) {
      KALAM_ASSIGN_OR_RETURN(const bool found, scan->Next());
      if (!found) break;
      KALAM_RETURN_IF_ERROR(writer.Delete(scope, tables::CopyOf(*scan)));
      ++removed;
    }
  }
  KALAM_RETURN_IF_ERROR(Propose(services.group, writer.Finish(scope.view.seq)));
  return removed == kPruneBatch;
}

}  // namespace kalam::statements

// The metrics of system.stats: the process, RocksDB, the catalog, jobs, and whatever the server
// registered.
#include <algorithm>
#include <map>

#include "base/build_facts.h"
#include "base/process_memory.h"
#include "statements/process_facts.h"
#include "statements/system_tables.h"

namespace kalam::statements {
namespace {

constexpr int64_t kMegabyte = 1 << 20;

/// Values by name; the first value given to a name stays.
class Samples {
 public:
  void Text(std::string_view name, std::string value, bool only_grows = false,
            std::string_view help = {}) {
    values_.try_emplace(std::string(name), Sample{std::move(value), only_grows, help});
  }
  void Number(std::string_view name, int64_t value) { Text(name, std::to_string(value)); }
  /// `<name>_bytes` and `<name>_mb`.
  void Bytes(std::string_view name, int64_t bytes) {
    Number(std::string(name) + "_bytes", bytes);
    Number(std::string(name) + "_mb", bytes / kMegabyte);
  }
  std::string Find(const std::string& name) const {
    auto found = values_.find(name);
    return found == values_.end() ? std::string() : found->second.value;
  }
  std::vector<StatSample> Take() && {
    std::vector<StatSample> list;
    list.reserve(values_.size());
    for (auto& [name, sample] : values_)
      list.push_back({name, std::move(sample.value), sample.only_grows, sample.help});
    return list;
  }

 private:
  struct Sample {
    std::string value;
    bool only_grows = false;
    std::string_view help;
  };
  std::map<std::string, Sample> values_;
};

/// Share of one core used since the process started, in hundredths of a percent's precision.
std::string CpuPercent(int64_t cpu_us, int64_t uptime_us) {
  const int64_t hundredths = uptime_us > 0 ? cpu_us * 10'000 / uptime_us : 0;
  std::string fraction = std::to_string(hundredths % 100);
  if (fraction.size() < 2) fraction.insert(0, "0");
  return std::to_string(hundredths / 100) + "." + fraction;
}

void AddProcess(const SystemSources& sources, Samples* out) {
  const ProcessFacts facts = ReadProcessFacts();
  const int64_t uptime_us = sources.services.clock.SteadyUs() - sources.started_steady_us;
  out->Number("server_uptime_seconds", uptime_us / 1'000'000);
  out->Text("server_uptime_human", HumanDuration(uptime_us / 1'000'000));
  out->Bytes("memory_usage", facts.rss_bytes);
  out->Text("memory_usage_source", "rss");
  out->Bytes("memory_rss", facts.rss_bytes);
  out->Bytes("memory_private", facts.private_bytes);
  out->Bytes("memory_physical_footprint", facts.private_bytes);
  out->Bytes("memory_virtual", facts.virtual_bytes);
  const int64_t accounted = sources.services.memory.used_bytes();
  out->Bytes("memory_accounted", accounted);
  out->Bytes("memory_rss_gap", std::max<int64_t>(facts.rss_bytes - accounted, 0));
  out->Text("cpu_usage_percent", CpuPercent(facts.cpu_us, uptime_us));
  out->Number("system_total_memory_mb", facts.machine_memory_bytes / kMegabyte);
  out->Number("system_used_memory_mb", facts.machine_used_bytes / kMegabyte);
  out->Number("thread_count", facts.thread_count);
  out->Number("pid", facts.pid);
  out->Text("allocator_name", std::string(AllocatorName()));
  out->Number("cpu_logical_cores", facts.logical_cores);
  out->Number("cpu_physical_cores", facts.logical_cores);
  const OpenFiles files = CountOpenFiles();
  out->Number("open_files_total", files.total);
  out->Number("open_files_regular", files.regular);
  out->Number("open_files_directories", files.directories);
  out->Number("open_files_kqueue", 0);
  out->Number("open_files_unix", files.sockets_unix);
  out->Number("open_files_ipv4", files.sockets_ip);
  out->Number("open_files_other", files.other);
}

void AddStorage(const SystemSources& sources, Samples* out) {
  const storage::StoreProperties properties = sources.services.store.properties();
  out->Text("storage_backend", "rocksdb");
  out->Number("storage_partition_count", storage::kFamilyCount);
  out->Number("rocksdb_physical_cf_count",
              storage::kFamilyCount + 1);  // and RocksDB's own default family
  out->Number("rocksdb_estimate_num_keys", properties.estimated_key_count);
  out->Number("rocksdb_estimate_live_data_size_bytes", properties.live_data_bytes);
  out->Number("rocksdb_active_memtable_entries", properties.active_memtable_entries);
  out->Number("rocksdb_immutable_memtable_entries", properties.immutable_memtable_entries);
  out->Number("rocksdb_active_memtable_size_bytes", properties.active_memtable_bytes);
  out->Number("rocksdb_live_sst_files_size_bytes", properties.sst_bytes);
  out->Number("rocksdb_total_sst_files_size_bytes", properties.sst_bytes);
  out->Number("rocksdb_memtables_size_bytes", properties.memtable_bytes);
  out->Number("rocksdb_block_cache_bytes", properties.block_cache_bytes);
  out->Number("rocksdb_table_reader_bytes", properties.table_reader_bytes);
  out->Number("rocksdb_pending_compaction_bytes", properties.pending_compaction_bytes);
  out->Number("rocksdb_deleted_range_places", properties.deleted_range_places);
  for (storage::StoreCount& count : sources.services.store.counts())
    out->Text("rocksdb_" + std::string(count.name), std::move(count.value), true, count.help);
}

void AddCatalog(const SystemSources& sources, Samples* out) {
  const StatementServices& services = sources.services;
  if (auto users = services.catalog.ListUsers(); users.ok()) {
    const auto live =
        std::count_if(users->begin(), users->end(),
                      [](const catalog::UserRecord& user) { return !user.deleted_at_us; });
    out->Number("total_users", live);
  }
  if (auto storages = services.catalog.ListStorages(); storages.ok()) {
    out->Number("total_storages", static_cast<int64_t>(storages->size()));
  }
  out->Number("total_namespaces", static_cast<int64_t>(services.catalog.namespace_count()));
  out->Number("total_tables", static_cast<int64_t>(services.catalog.table_count()));
  const catalog::RegistryStats registry = services.catalog.registry_stats();
  out->Number("schema_cache_size", registry.definitions_cached);
  out->Number("schema_cache_total_entries", registry.definitions_cached);
  out->Number("schema_registry_size", static_cast<int64_t>(services.catalog.table_count()));
  out->Number("schema_shapes_shared", registry.shapes_shared);
  // A name is in memory once, however many plans, subscriptions and definitions know its table.
  out->Number(
      "string_interner_unique_strings",
      static_cast<int64_t>(services.catalog.namespace_count() + services.catalog.table_count()));
  out->Text("schema_cache_hits", std::to_string(registry.hits), true);
  out->Text("schema_cache_misses", std::to_string(registry.misses), true);
  const query::PlanCacheStats plans = services.query.plan_cache_stats();
  out->Number("plan_cache_size", plans.entries);
  out->Number("plan_cache_hits", plans.hits);
  out->Number("plan_cache_misses", plans.misses);
  out->Number("plan_cache_bytes", plans.bytes);
  const jobs::JobCounts jobs = sources.jobs.counts();
  out->Number("total_jobs", jobs.total);
  out->Number("jobs_running", jobs.running);
  out->Number("jobs_queued", jobs.queued);
  out->Number("jobs_failed", jobs.failed);
  out->Number("open_transactions", static_cast<int64_t>(sources.transactions.List().size()));
}

/// Names of the original whose source here has another name, and those of features that this
/// release does not have.
void AddAliases(Samples* out) {
  const auto copy = [out](std::string_view name, const std::string& source) {
    const std::string value = out->Find(source);
    out->Text(name, value.empty() ? "0" : value);
  };
  copy("active_subscriptions", "live_subscriptions");
  copy("active_subscriptions_peak", "live_subscriptions_peak");
  copy("total_live_queries", "live_subscriptions");
  copy("active_connections", "active_connections");
  copy("active_connections_peak", "active_connections_peak");
  copy("websocket_sessions", "websocket_sessions");
  copy("websocket_sessions_peak", "websocket_sessions_peak");
  for (std::string_view name :
       {"topic_cache_topic_count", "topic_cache_table_route_count", "topic_cache_total_routes"}) {
    out->Number(name, 0);
  }
}

/// Limits that are settings.
void AddSettings(const SystemSources& sources, Samples* out) {
  std::map<std::string, std::string> settings;
  if (sources.services.settings) {
    for (ShownSetting& setting : sources.services.settings())
      settings.emplace(std::move(setting.name), std::move(setting.value));
  }
  const auto add = [&](std::string_view name, const char* setting, const char* otherwise) {
    auto found = settings.find(setting);
    out->Text(name, found == settings.end() || found->second.empty() ? otherwise : found->second);
  };
  const std::string cores = out->Find("cpu_logical_cores");
  add("server_workers_configured", "server.workers", "0");
  const std::string configured = out->Find("server_workers_configured");
  out->Text("server_workers_effective",
            configured == "0" || configured == "auto" ? cores : configured);
  add("max_connections", "performance.max_connections", "0");
  add("max_connections_configured", "performance.max_connections", "0");
  add("connection_backlog", "performance.backlog", "0");
  add("worker_max_blocking_threads", "performance.worker_max_blocking_threads", "0");
  add("datafusion_query_parallelism", "analytics.threads", "0");
  add("datafusion_max_partitions", "analytics.threads", "0");
  out->Number("datafusion_memory_limit_mb",
              sources.services.memory.Child("analytical_engine").limit_bytes() / kMegabyte);
  for (std::string_view name : {"cluster_id", "cluster_rpc_addr"}) out->Text(name, "standalone");
  out->Text("cluster_api_addr", sources.services.node_api_address);
  out->Number("user_shards", 1);
  out->Number("shared_shards", 1);
  out->Number("raft_group_count", 0);
}

}  // namespace

std::vector<StatSample> CollectStats(const SystemSources& sources) {
  Samples out;
  AddProcess(sources, &out);
  AddStorage(sources, &out);
  AddCatalog(sources, &out);
  for (Metrics::Sample& sample : sources.services.metrics.Read())
    out.Text(sample.name, std::move(sample.value), sample.only_grows);
  AddAliases(&out);
  AddSettings(sources, &out);
  out.Number("node_id", 1);
  out.Text("server_version", std::string(ThisBuild().version));
  out.Text("server_build_date", std::string(ThisBuild().date));
  out.Text("server_git_branch", std::string(ThisBuild().branch));
  out.Text("server_git_commit", std::string(ThisBuild().commit));
  out.Text("cluster_mode", "false");
  return std::move(out).Take();
}

Status ReadStats(const SystemSources& sources, const catalog::Caller&, RowBuffer* rows) {
  for (const StatSample& sample : CollectStats(sources)) {
    rows->Append({TextCell(sample.name), TextCell(sample.value)});
  }
  return Status::Ok();
}

}  // namespace kalam::statements

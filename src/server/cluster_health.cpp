// What a single node says of itself: version, uptime, memory.
#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>

#include "base/build_facts.h"
#include "server/server_context.h"
#include "types/convert.h"

namespace kalam::server {

namespace {

int64_t ResidentMegabytes() {
  long pages = 0, resident = 0;
  FILE* file = std::fopen("/proc/self/statm", "r");
  if (file == nullptr) return 0;
  const int got = std::fscanf(file, "%ld %ld", &pages, &resident);
  std::fclose(file);
  return got == 2 ? resident * sysconf(_SC_PAGESIZE) >> 20 : 0;
}

std::string HumanTime(int64_t seconds) {
  if (seconds < 60) return fmt::format("{}s", seconds);
  if (seconds < 3600) return fmt::format("{}m {}s", seconds / 60, seconds % 60);
  if (seconds < 86400) return fmt::format("{}h {}m", seconds / 3600, seconds % 3600 / 60);
  return fmt::format("{}d {}h", seconds / 86400, seconds % 86400 / 3600);
}

}  // namespace

std::string ClusterHealthBody(const ServerContext& server) {
  char name[256] = "";
  gethostname(name, sizeof name - 1);
  std::string hostname, address;
  AppendJsonString(name, &hostname);
  AppendJsonString(server.api_address, &address);
  const int64_t uptime_s = (server.clock.SteadyUs() - server.started_steady_us) / 1'000'000;
  return fmt::format(
      R"({{"status":"healthy","version":"{}","build_date":"{}","is_cluster_mode":false,"cluster_id":"standalone",)"
      R"("node_id":1,"is_leader":true,"total_groups":1,"groups_leading":1,"current_term":1,"last_applied":null,)"
      R"("millis_since_quorum_ack":null,"nodes":[{{"node_id":1,"role":"leader","status":"active","api_addr":{},)"
      R"("is_self":true,"is_leader":true,"replication_lag":null,"catchup_progress_pct":null,"hostname":{},)"
      R"("memory_usage_mb":{},"cpu_usage_percent":null,"uptime_seconds":{},"uptime_human":"{}"}}]}})",
      ThisBuild().version, ThisBuild().date, address, hostname, ResidentMegabytes(), uptime_s,
      HumanTime(uptime_s));
}

}  // namespace kalam::server

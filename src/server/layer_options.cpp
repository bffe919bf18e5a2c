// Settings, one by one, into the options of the layers that they are about.
#include "server/layer_options.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "server/build_features.h"

namespace kalam::server {
namespace {

constexpr int64_t kEngineThreadBytes = 8 << 20;

}  // namespace

storage::Durability DurabilityOf(const Settings& settings) {
  return settings.text("storage.durability") == "os" ? storage::Durability::kOs
                                                     : storage::Durability::kFsync;
}

storage::StoreOptions StoreOptionsFrom(const Settings& settings, const MemoryPlan& plan,
                                       MemoryAccount* memory) {
  storage::StoreOptions options;
  options.path = settings.text("storage.data_path") + "/rocksdb";
  options.block_cache_bytes = plan.block_cache_bytes;
  options.write_buffer_total_bytes = plan.write_buffer_bytes;
  options.bloom_bits = static_cast<int>(settings.number("storage.rocksdb.bloom_bits"));
  options.compression = settings.text("storage.rocksdb.compression");
  options.max_open_files = static_cast<int>(settings.number("storage.rocksdb.max_open_files"));
  options.max_background_jobs =
      static_cast<int>(settings.number("storage.rocksdb.max_background_jobs"));
  options.prepare_log = DurabilityOf(settings) == storage::Durability::kFsync;
  options.account = memory;
  return options;
}

auth::AuthOptions AuthOptionsFrom(const Settings& settings, std::string secret) {
  auth::AuthOptions options;
  options.jwt_secret = std::move(secret);
  options.trusted_issuers = settings.list("auth.jwt_trusted_issuers");
  options.access_token_seconds = settings.number("auth.jwt_expiry_hours") * 3600;
  options.refresh_token_seconds = options.access_token_seconds * 7;
  options.bcrypt_cost = static_cast<int>(settings.number("auth.bcrypt_cost"));
  options.enforce_password_complexity = settings.flag("auth.enforce_password_complexity");
  options.hashing_threads = static_cast<int>(settings.number("auth.hashing_threads"));
  return options;
}

analytics::EngineOptions EngineOptionsFrom(const Settings& settings, const MemoryPlan& plan,
                                           SnowflakeGenerator& ids, MemoryAccount* memory,
                                           Metrics* metrics) {
  analytics::EngineOptions options;
  options.enabled = settings.flag("analytics.enabled");
  options.plugin_directory = settings.text("analytics.plugin_directory");
  options.memory_limit_bytes = plan.engine_bytes;
  // Each thread has tables of its own: two of them cannot join within what one can.
  options.threads = static_cast<int>(std::clamp<int64_t>(plan.engine_bytes / kEngineThreadBytes, 1,
                                                         settings.number("analytics.threads")));
  options.temp_bytes_max = settings.number("analytics.temp_bytes_max");
  if (options.temp_bytes_max > 0)
    options.temp_directory = settings.text("storage.data_path") + "/tmp/analytics";
  options.idle_close_seconds = settings.number("analytics.idle_close_seconds");
  options.next_snowflake_id = [&ids] { return ids.Next(); };
  options.account = memory;
  options.metrics = metrics;
  return options;
}

query::QueryLimits QueryLimitsFrom(const Settings& settings) {
  query::QueryLimits limits;
  limits.default_query_limit = settings.number("limits.default_query_limit");
  limits.max_query_limit = settings.number("limits.max_query_limit");
  limits.plan_cache_entries =
      static_cast<size_t>(settings.number("execution.sql_plan_cache_max_entries"));
  limits.plan_cache_ttl_seconds = settings.number("execution.sql_plan_cache_ttl_seconds");
  limits.parameters_max = static_cast<size_t>(settings.number("execution.max_parameters"));
  limits.parameter_bytes_max =
      static_cast<size_t>(settings.number("execution.max_parameter_size_bytes"));
  return limits;
}

statements::StatementLimits StatementLimitsFrom(const Settings& settings, const MemoryPlan& plan) {
  statements::StatementLimits limits;
  limits.statement_timeout_ms = settings.number("execution.handler_timeout_seconds") * 1000;
  limits.transaction_timeout_seconds = settings.number("transaction_timeout_secs");
  limits.transaction_bytes_max =
      static_cast<size_t>(settings.number("max_transaction_buffer_bytes"));
  limits.slow_query_ms = settings.number("logging.slow_query_threshold_ms");
  limits.statement_memory_bytes = plan.statement_bytes;
  limits.statements_memory_bytes = plan.statements_bytes;
  limits.batch_result_bytes_max = static_cast<size_t>(plan.batch_result_bytes);
  limits.change_log_bytes_max = settings.number("changes.bytes_max");
  limits.change_retention_seconds = settings.number("changes.retention_hours") * 3600;
  limits.job_retention_seconds = settings.number("jobs.retention_days") * 86'400;
  limits.user_grace_seconds =
      settings.number("user_management.deletion_grace_period_days") * 86'400;
  limits.stream_eviction_interval_seconds = settings.number("stream.eviction_interval_seconds");
  limits.sample_stats = settings.flag("retention.enable_dba_stats");
  limits.stats_retention_seconds = settings.number("retention.dba_stats_retention_days") * 86'400;
  limits.flush_check_interval_seconds = settings.number("flush.check_interval_seconds");
  limits.replaced_files_interval_seconds = std::min(
      limits.replaced_files_interval_seconds, settings.number("flush.replaced_file_grace_seconds"));
  limits.jobs_max_concurrent = static_cast<int>(settings.number("jobs.max_concurrent"));
  return limits;
}

Result<std::string> SecretFor(const Settings& settings) {
  const std::string& configured = settings.text("auth.jwt_secret");
  if (!configured.empty()) return configured;
  return auth::LoadOrCreateSecret(settings.text("storage.data_path") + "/jwt_secret");
}

std::string WebSocketUrl(const Settings& settings, const ServerContext& server) {
  if (!kWithWebSocket) return {};
  std::string origin = settings.text("server.public_origin");
  if (origin.empty()) {
    const bool tls = !settings.text("server.tls.cert").empty();
    origin = fmt::format("{}://{}", tls ? "https" : "http", server.api_address);
  }
  while (origin.ends_with('/')) origin.pop_back();
  // http -> ws, https -> wss
  return (origin.starts_with("http") ? "ws" + origin.substr(4) : origin) + "/v1/ws";
}

tiering::TieringOptions TieringOptionsFrom(const Settings& settings, const FailPoint& fail_point) {
  tiering::TieringOptions options;
  options.flush_defaults = {
      .row_limit = static_cast<uint32_t>(settings.number("flush.default_row_limit")),
      .interval_seconds = static_cast<uint32_t>(settings.number("flush.default_time_interval")),
      .table_row_limit = static_cast<uint32_t>(settings.number("flush.table_row_limit"))};
  options.temp_directory = settings.text("storage.data_path") + "/tmp/segments";
  // Twice as long as anything that holds a view may take.
  const int64_t statement_seconds = settings.number("execution.handler_timeout_seconds");
  options.retired_grace_seconds =
      std::max({settings.number("flush.replaced_file_grace_seconds"),
                2 * settings.number("transaction_timeout_secs"),
                statement_seconds > 0 ? 2 * statement_seconds : options.retired_grace_seconds});
  options.fail_point = fail_point;
  return options;
}

}  // namespace kalam::server

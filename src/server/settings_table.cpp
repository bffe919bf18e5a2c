// The table of configuration keys.
#include "server/settings_table.h"

#include <algorithm>
#include <array>
#include <limits>
#include <vector>

namespace kalam::server {
namespace {

constexpr int64_t kAny = std::numeric_limits<int64_t>::max();

constexpr SettingKey Flag(std::string_view name, bool value, std::string_view help,
                          std::string_view environment = {}) {
  return {name, SettingType::kBoolean, value ? "true" : "false", 0,     1,
          {},   environment,           SettingStatus::kActive,   false, help};
}
constexpr SettingKey Number(std::string_view name, std::string_view value, int64_t minimum,
                            int64_t maximum, std::string_view help,
                            std::string_view environment = {}) {
  return {name,        SettingType::kInteger,  value, minimum, maximum, {},
          environment, SettingStatus::kActive, false, help};
}
constexpr SettingKey Bytes(std::string_view name, std::string_view value, int64_t minimum,
                           std::string_view help) {
  return {name, SettingType::kBytes,    value, minimum, kAny, {},
          {},   SettingStatus::kActive, false, help};
}
constexpr SettingKey Text(std::string_view name, std::string_view value, std::string_view help,
                          std::string_view environment = {}) {
  return {name,        SettingType::kText,     value, 0,   0, {},
          environment, SettingStatus::kActive, false, help};
}
constexpr SettingKey Choice(std::string_view name, std::string_view value, std::string_view choices,
                            std::string_view help, std::string_view environment = {}) {
  return {name,        SettingType::kText,     value, 0,   0, choices,
          environment, SettingStatus::kActive, false, help};
}
constexpr SettingKey Secret(std::string_view name, std::string_view help,
                            std::string_view environment) {
  return {name, SettingType::kText, {}, 0, 0, {}, environment, SettingStatus::kActive, true, help};
}
constexpr SettingKey List(std::string_view name, std::string_view value, std::string_view help,
                          std::string_view environment = {}) {
  return {name,        SettingType::kTextList, value, 0,   0, {},
          environment, SettingStatus::kActive, false, help};
}
constexpr SettingKey Retired(std::string_view name, std::string_view help,
                             std::string_view environment = {}) {
  return {name,        SettingType::kText,      {},    0,   0, {},
          environment, SettingStatus::kRetired, false, help};
}

constexpr std::string_view kNoTracing = "trace export is not offered";
constexpr std::string_view kNoCluster =
    "clusters are not offered yet; the server runs as a single node";
constexpr std::string_view kNoOidc = "sign-in through other providers is not offered yet";

constexpr SettingKey kKeys[] = {
    Number("transaction_timeout_secs", "300", 1, 86400,
           "Seconds after which an open transaction is rolled back."),
    Bytes("max_transaction_buffer_bytes", "104857600", 1 << 16,
          "Largest amount of changes that one transaction may stage."),

    Text("server.host", "127.0.0.1", "Address to listen on.", "SERVER_HOST"),
    Number("server.port", "8080", 0, 65535, "Port to listen on; 0 takes a free one.",
           "SERVER_PORT"),
    Text("server.public_origin", "",
         "Origin under which clients reach the server, e.g. https://db.example.org; used in the "
         "WebSocket URL of SUBSCRIBE TO.",
         "SERVER_PUBLIC_ORIGIN"),
    Number("server.workers", "0", 0, 256, "Threads that serve connections; 0 takes min(cores, 4).",
           "SERVER_WORKERS"),
    Text("server.tls.cert", "",
         "Certificate chain in PEM; with server.tls.key the listener speaks TLS."),
    Text("server.tls.key", "", "Private key in PEM for server.tls.cert."),
    Retired("server.api_version", "there is one version of the protocol"),
    Retired("server.enable_http2",
            "HTTP/2 is not offered; its preface is answered with a clear refusal"),
    Retired("server.ui_path", "the admin UI is not part of this server yet"),

    Text("storage.data_path", "./data",
         "Folder of the database; relative to the working directory.", "DATA_DIR"),
    Choice(
        "storage.durability", "fsync", "fsync|os",
        "When a write is acknowledged: fsync = on the disk (survives power loss), os = handed to "
        "the operating system (survives a killed process)."),
    Text("storage.shared_tables_template", "{namespace}/{tableName}",
         "Folder of a SHARED table in the storage `local`; used at first start."),
    Text("storage.user_tables_template", "{namespace}/{tableName}/{userId}",
         "Folder of a USER table in the storage `local`; used at first start."),
    Bytes("storage.remote_cache_size", "268435456", 0,
          "Disk space for blocks read from remote storages, in cache/objects of the data "
          "directory; 0 caches nothing."),
    List("storage.allowed_directories", "",
         "Folders below which CREATE STORAGE and BACKUP may use folders of this machine; empty "
         "allows all but the folders of the system."),
    Bytes("storage.rocksdb.block_cache_size", "0", 0,
          "Bytes of the block cache; 0 takes a sixteenth of memory.budget, 512 KiB to 16 MiB."),
    Bytes("storage.rocksdb.write_buffer_size", "0", 0,
          "Bytes of all memtables together; 0 takes an eighth of memory.budget, 1 to 8 MiB."),
    Number("storage.rocksdb.bloom_bits", "10", 0, 32,
           "Bits per key of the filters that spare reads of absent rows; 0 writes none."),
    Choice("storage.rocksdb.compression", "lz4", "none|snappy|lz4|zstd",
           "Compression of table files; the lowest level of the change log always takes zstd "
           "unless it is none."),
    Number("storage.rocksdb.max_background_jobs", "2", 1, 64,
           "Flushes and compactions at the same time."),
    Number("storage.rocksdb.max_open_files", "512", 64, 1 << 20, "Table files kept open."),
    Retired("storage.rocksdb.sync_writes", "storage.durability replaces it"),
    Retired("storage.rocksdb.disable_wal", "storage.durability replaces it"),
    Retired("storage.rocksdb.compact_on_startup", "compaction is automatic"),
    Retired("storage.rocksdb.cf_profiles.{system_meta,system_index,hot_data,hot_index,raft}.write_"
            "buffer_size",
            "storage.rocksdb.write_buffer_size bounds all memtables together"),
    Retired("storage.rocksdb.cf_profiles.{system_meta,system_index,hot_data,hot_index,raft}.max_"
            "write_buffers",
            "storage.rocksdb.write_buffer_size bounds all memtables together"),
    Number("storage.remote_timeouts.connect", "5", 1, 3600,
           "Seconds within which a remote storage must accept a connection."),
    Number("storage.remote_timeouts.request", "30", 1, 3600,
           "Seconds that one request to a remote storage may take."),
    Number("storage.remote_timeouts.retry", "15", 0, 3600,
           "Seconds for which a failed request to a remote storage is repeated; 0 tries once."),
    Retired("storage.remote_timeouts.{request_timeout_secs,connect_timeout_secs}",
            "storage.remote_timeouts.request and .connect replace them"),

    Bytes("memory.budget", "0", 0,
          "Bytes that everything in memory may take together; 0 takes a quarter of the machine or "
          "of its cgroup, whichever is smaller. At least 16 MiB."),
    Number("memory.warning_percent", "75", 10, 99,
           "Share of the budget from which on caches shrink and the idle engine is closed."),
    Number("memory.critical_percent", "90", 11, 100,
           "Share of the budget from which on complex statements, then new connections are "
           "refused."),
    Number(
        "memory.rest_after_seconds", "60", 0, 86400,
        "Seconds without any request after which caches are emptied and memtables written out; 0 "
        "keeps them."),

    Flag("analytics.enabled", true,
         "Whether the analytical engine may be loaded: for joins, grouping and other complex "
         "queries, and to write Parquet. Without it rows stay in hot storage."),
    Bytes("analytics.memory_limit", "0", 0,
          "Memory limit of the analytical engine; 0 takes a quarter of memory.budget, 16 to 256 "
          "MiB, and at most half of it. At least 8 MiB."),
    Number("analytics.idle_close_seconds", "60", 1, 86400,
           "The engine is unloaded after this time without a query."),
    Number("analytics.threads", "2", 1, 64,
           "Threads of the analytical engine; at most one for each 8 MiB of its memory."),
    Bytes("analytics.temp_bytes_max", "1073741824", 0,
          "Bytes that the engine may spill to <data>/tmp; 0 forbids spilling."),
    Text("analytics.plugin_directory", "",
         "Folder of libkalam_analytics.so; empty looks beside the executable."),

    Number("changes.retention_hours", "168", 1, 24 * 366,
           "How long changes stay available for subscribers that reconnect."),
    Bytes(
        "changes.bytes_max", "1073741824", 0,
        "Bytes that the changes of one table may take on disk; beyond them the oldest go earlier. "
        "0 sets no limit."),

    Number(
        "limits.default_query_limit", "0", 0, kAny,
        "Rows that a SELECT without LIMIT returns at most; 0 sets no limit. A cut is told in the "
        "answer's message."),
    Number("limits.max_query_limit", "0", 0, kAny,
           "Rows that any SELECT returns at most; 0 sets no limit. A cut is told in the answer's "
           "message."),
    Retired("limits.max_message_size", "security.max_ws_message_size is the one that counts"),

    Choice("logging.level", "info", "error|warn|info|debug|trace",
           "Least severe level that is logged.", "LOG_LEVEL"),
    Text("logging.logs_path", "",
         "Folder of server.log (server.jsonl) and slow.log; empty means <data>/logs.", "LOGS_DIR"),
    Flag("logging.log_to_console", true, "Also log to standard error.", "LOG_TO_CONSOLE"),
    Choice("logging.format", "compact", "compact|pretty|json", "Form of the log lines."),
    {"logging.targets",
     SettingType::kTextMap,
     {},
     0,
     0,
     {},
     {},
     SettingStatus::kActive,
     false,
     "Levels by part of the server, e.g. { \"server.http\" = \"debug\" }."},
    Number("logging.slow_query_threshold_ms", "1200", 0, kAny,
           "Statements that take longer are written to slow.log; 0 logs every statement."),
    Retired("logging.otlp.enabled", kNoTracing, "OTLP_ENABLED"),
    Retired("logging.otlp.endpoint", kNoTracing, "OTLP_ENDPOINT"),
    Retired("logging.otlp.protocol", kNoTracing, "OTLP_PROTOCOL"),
    Retired("logging.otlp.service_name", kNoTracing, "OTLP_SERVICE_NAME"),
    Retired("logging.otlp.timeout_ms", kNoTracing, "OTLP_TIMEOUT_MS"),

    Number("performance.keepalive_timeout", "75", 1, 86400,
           "Seconds after which an idle HTTP connection is closed."),
    Number(
        "performance.client_request_timeout", "5", 1, 3600,
        "Seconds within which the head of a request must arrive, and within which a body must make "
        "progress."),
    Number("performance.client_disconnect_timeout", "2", 1, 3600,
           "Seconds that a closing connection gets to take the rest of an answer."),
    Number("performance.max_connections", "25000", 1, 1000000, "Connections per serving thread."),
    Number("performance.backlog", "4096", 1, 65535, "Length of the queue of the listening socket."),
    Number("performance.max_header_size", "16384", 1024, 1 << 20, "Bytes of a request's head."),
    Number("performance.worker_max_blocking_threads", "8", 1, 256,
           "Threads for statements that may take long; started when needed, and at most one for "
           "each 4 MiB of memory.budget."),
    Retired("performance.request_timeout",
            "execution.handler_timeout_seconds is the one that counts"),
    Retired("performance.tokio_worker_threads", "server.workers replaces it",
            "TOKIO_WORKER_THREADS"),

    Number("execution.handler_timeout_seconds", "30", 0, 86400,
           "Seconds that one statement may run; 0 sets no limit."),
    Bytes("execution.statement_memory_limit", "0", 0,
          "Memory that one statement may use outside the analytical engine; 0 takes a quarter of "
          "memory.budget, 4 to 64 MiB."),
    Number("execution.max_parameters", "32767", 0, 32767, "Parameters of one statement."),
    Bytes("execution.max_parameter_size_bytes", "524288", 16, "Bytes of one parameter."),
    Number("execution.sql_plan_cache_max_entries", "200", 0, 1 << 20, "Plans that are kept."),
    Number("execution.sql_plan_cache_ttl_seconds", "900", 1, 86400 * 7,
           "Seconds after which an unused plan is dropped."),

    Retired("datafusion.memory_limit", "analytics.memory_limit replaces it"),
    Retired("datafusion.query_parallelism", "analytics.threads replaces it"),
    Retired("datafusion.max_partitions", "analytics.threads replaces it"),
    Retired("datafusion.batch_size", "the engine chooses"),

    Number("flush.default_row_limit", "100000", 0, 999'999'999,
           "Hot rows at which a table without a FLUSH_POLICY is flushed to cold storage, as "
           "'rows:N' of a policy says it: of a USER table those of one user; 0: never."),
    Number("flush.table_row_limit", "100000", 0, 999'999'999,
           "Hot rows of all users at which a USER table is flushed as a whole, however few each of "
           "them has; its row limit instead where that is greater; 0: never."),
    Number(
        "flush.default_time_interval", "0", 0, 86400 * 366,
        "Seconds after which the rows of a table without a FLUSH_POLICY are flushed, however few; "
        "0: never."),
    Number("flush.check_interval_seconds", "10", 0, 86400,
           "Seconds between looks at the flush policies; 0: rows are flushed by command only."),
    Number("flush.replaced_file_grace_seconds", "900", 1, 86400 * 366,
           "Seconds that a file which a compaction has replaced stays for statements that began "
           "before. At least twice execution.handler_timeout_seconds (900 without such a limit) "
           "and twice transaction_timeout_secs, whatever is written here."),
    Retired("flush.flush_batch_size", "a flush reads in bounded memory by itself"),
    Retired("manifest_cache.{eviction_interval_seconds,max_entries,eviction_ttl_days,user_table_"
            "weight_factor}",
            "manifests are read from the index of segments"),
    Retired("retention.default_deleted_retention_hours",
            "the table option DELETED_RETENTION_HOURS counts"),
    Flag("retention.enable_dba_stats", true,
         "Whether the numbers of system.stats are sampled into dba.stats every 30 seconds."),
    Number("retention.dba_stats_retention_days", "7", 0, 36500,
           "Days that samples stay in dba.stats; 0 keeps them for ever."),
    Retired("stream.default_ttl_seconds", "a STREAM table names its TTL_SECONDS"),
    Retired("stream.default_max_buffer", "a STREAM table names its MAX_BUFFER"),
    Number("stream.eviction_interval_seconds", "60", 1, 86400,
           "Seconds between two looks for expired rows of STREAM tables; they are invisible from "
           "the moment they expire."),
    Retired("topics.{visibility_timeout_secs,visibility_timeout_seconds}",
            "topics are not offered yet", "TOPIC_VISIBILITY_TIMEOUT_SECS,VISIBILITY_TIMEOUT_SECS"),

    Number("websocket.client_timeout_secs", "60", 2, 86400,
           "Seconds of silence after which a WebSocket is closed.",
           "WEBSOCKET_CLIENT_TIMEOUT_SECS"),
    Number("websocket.auth_timeout_secs", "10", 1, 3600,
           "Seconds within which a WebSocket must authenticate.", "WEBSOCKET_AUTH_TIMEOUT_SECS"),
    Number("websocket.heartbeat_interval_secs", "15", 1, 3600,
           "Seconds of silence after which the server sends a ping.",
           "WEBSOCKET_HEARTBEAT_INTERVAL_SECS"),

    Number("rate_limit.max_queries_per_sec", "100", 0, kAny,
           "SQL requests per user and second; 0 sets no limit."),
    Number("rate_limit.max_messages_per_sec", "50", 0, kAny,
           "Messages per WebSocket and second; 0 sets no limit."),
    Number("rate_limit.max_subscriptions_per_user", "10", 1, kAny, "Live queries of one user."),
    Number("rate_limit.max_auth_requests_per_ip_per_sec", "20", 0, kAny,
           "Password logins and failed credentials per address and second; 0 sets no limit.",
           "RATE_LIMIT_AUTH_REQUESTS_PER_IP_PER_SEC"),
    Number("rate_limit.max_connections_per_ip", "100", 0, kAny,
           "Open connections per address; 0 sets no limit."),
    Number("rate_limit.max_requests_per_ip_per_sec", "200", 0, kAny,
           "Requests per address and second; 0 sets no limit."),
    Bytes("rate_limit.request_body_limit_bytes", "10485760", 1024, "Largest request body."),
    Number(
        "rate_limit.ban_duration_seconds", "300", 1, 86400,
        "How long an address is refused after ten violations; a violation is forgotten after the "
        "same time."),
    Flag("rate_limit.enable_connection_protection", true,
         "Whether the limits per address hold. Loopback and trusted proxies are always exempt."),
    Number("rate_limit.cache_max_entries", "1000", 16, 1 << 24,
           "Addresses and users that are counted."),
    Number("rate_limit.cache_ttl_seconds", "600", 1, 86400,
           "Seconds after which an idle count is dropped."),

    Secret("auth.root_password", "Password of root, set at first start only.", "ROOT_PASSWORD"),
    Secret(
        "auth.jwt_secret",
        "Secret that signs tokens, at least 32 characters; empty takes <data>/jwt_secret, which is "
        "created at first start.",
        "JWT_SECRET"),
    List("auth.jwt_trusted_issuers", "",
         "Further issuers whose tokens, signed with the same secret, are accepted.",
         "JWT_TRUSTED_ISSUERS"),
    Number("auth.jwt_expiry_hours", "24", 1, 24 * 366,
           "Life of an access token; refresh tokens live seven times as long.", "JWT_EXPIRY_HOURS"),
    Flag("auth.cookie_secure", true, "Mark cookies Secure when the request came over https.",
         "COOKIE_SECURE"),
    Flag("auth.allow_remote_setup", false, "Whether /v1/api/auth/setup is open to other machines.",
         "ALLOW_REMOTE_SETUP"),
    Number("auth.bcrypt_cost", "12", 4, 31, "Cost of password hashes; each step doubles the time."),
    Flag("auth.enforce_password_complexity", false,
         "Whether passwords need upper and lower case, a digit and another character."),
    Number("auth.hashing_threads", "1", 1, 16, "Threads that hash passwords; started when needed."),
    Retired("auth.{min_password_length,max_password_length}",
            "auth.enforce_password_complexity asks for 8 to 72 bytes"),
    Retired("auth.pg_auth_token", "the PostgreSQL bridge is not offered yet", "PG_AUTH_TOKEN"),
    Retired("auth.{disable_common_password_check,auto_create_users_from_provider}",
            "it never had an effect"),
    Retired("oauth.{enabled,auto_provision,default_role}", kNoOidc),
    Retired("oauth.providers.{google,github,azure,firebase}.{enabled,issuer,jwks_uri,client_id,"
            "client_secret,tenant}",
            kNoOidc),
    Number("user_management.deletion_grace_period_days", "30", 0, 36500,
           "Days between DROP USER and the removal of the user's rows."),
    Retired("user_management.cleanup_job_schedule", "a job looks for dropped users every hour"),

    Retired("shutdown.flush.timeout", "the server stops within five seconds"),
    Number("jobs.max_concurrent", "2", 1, 1000,
           "Jobs that run at the same time, each on a thread of its own."),
    Number("jobs.retention_days", "7", 1, 36500, "Days that finished jobs stay in system.jobs."),
    Retired("jobs.{max_retries,retry_backoff_ms,wal_cleanup_interval_seconds}",
            "it never had an effect"),

    List(
        "security.cors.allowed_origins", "",
        "Origins that browsers may call from; empty or * allows any on loopback. Required on other "
        "addresses.",
        "SECURITY_CORS_ALLOWED_ORIGINS"),
    List("security.cors.allowed_methods", "GET,POST,PUT,DELETE,PATCH,OPTIONS",
         "Methods allowed to browsers."),
    List("security.cors.allowed_headers",
         "Authorization,Content-Type,Accept,Origin,X-Requested-With",
         "Request headers allowed to browsers."),
    List("security.cors.expose_headers", "", "Response headers shown to scripts."),
    Flag("security.cors.allow_credentials", true,
         "Whether browsers may send cookies; in effect only when allowed_origins names origins."),
    Number("security.cors.max_age", "3600", 0, 86400 * 30,
           "Seconds that a browser remembers the answer of OPTIONS."),
    Retired("security.cors.allow_private_network", "it never had an effect"),
    List("security.trusted_proxy_ranges", "",
         "Addresses or CIDR ranges whose X-Forwarded-For and X-Real-IP count.",
         "SECURITY_TRUSTED_PROXY_RANGES,TRUSTED_PROXY_RANGES"),
    Bytes("security.max_ws_message_size", "1048576", 1024, "Largest WebSocket message."),
    Flag("security.strict_ws_origin_check", false, "Refuse WebSockets without an Origin header."),
    Retired("security.max_request_body_size",
            "rate_limit.request_body_limit_bytes is the one that counts"),

    Bytes("vectors.memory_limit", "0", 0,
          "Memory of vector indexes together; what does not fit is compared row by row. 0 takes a "
          "quarter of memory.budget, 4 to 256 MiB."),

    Bytes("files.max_size_bytes", "26214400", 1, "Largest file of an upload."),
    Number("files.max_files_per_request", "20", 1, 1000, "Most files of one request."),
    Number("files.max_files_per_folder", "5000", 1, 1'000'000,
           "Files in one folder of a scope; then the next folder begins."),
    Text("files.staging_path", "",
         "Where uploads lie until their statement runs; <data>/tmp when empty. Best on the file "
         "system of the storage."),
    List("files.allowed_mime_types", "",
         "Media types that may be uploaded, exact or like image/*; empty allows all."),
    Number("files.deletion_delay_seconds", "5", 0, 86400,
           "How long a file stays after the last row that refers to it went."),

    Retired("rpc_tls.enabled", kNoCluster, "RPC_TLS_ENABLED"),
    Retired("rpc_tls.ca_cert", kNoCluster, "RPC_TLS_CA_CERT"),
    Retired("rpc_tls.server_cert", kNoCluster, "RPC_TLS_SERVER_CERT"),
    Retired("rpc_tls.server_key", kNoCluster, "RPC_TLS_SERVER_KEY"),
    Retired("rpc_tls.require_client_cert", kNoCluster, "RPC_TLS_REQUIRE_CLIENT_CERT"),
    Retired("cluster.cluster_id", kNoCluster, "CLUSTER_ID"),
    Retired("cluster.node_id", kNoCluster, "NODE_ID,CLUSTER_NODE_ID"),
    Retired("cluster.rpc_addr", kNoCluster, "CLUSTER_RPC_ADDR"),
    Retired("cluster.api_addr", kNoCluster, "CLUSTER_API_ADDR"),
    Retired("cluster.peers", kNoCluster, "CLUSTER_PEERS"),
    Retired(
        "cluster.{user_shards,shared_shards,heartbeat_interval_ms,election_timeout_ms,snapshot_"
        "policy,"
        "max_snapshots_to_keep,replication_timeout_ms,reconnect_interval_ms,peer_wait_max_retries,"
        "peer_wait_initial_delay_ms,peer_wait_max_delay_ms,min_replication_nodes,snapshot_"
        "threshold}",
        kNoCluster),
};

}  // namespace

std::span<const SettingKey> SettingKeys() { return kKeys; }

std::string_view SectionOf(std::string_view name) {
  const size_t dot = name.find('.');
  return dot == std::string_view::npos ? std::string_view() : name.substr(0, dot);
}

namespace {

// Matches `name` against `pattern`, trying each word of the first {a,b} group.
bool PatternMatches(std::string_view pattern, std::string_view name) {
  const size_t open = pattern.find('{');
  if (open == std::string_view::npos) return pattern == name;
  if (name.substr(0, open) != pattern.substr(0, open)) return false;
  const size_t close = pattern.find('}', open);
  std::string_view words = pattern.substr(open + 1, close - open - 1);
  const std::string_view rest_pattern = pattern.substr(close + 1);
  while (!words.empty()) {
    const size_t comma = std::min(words.find(','), words.size());
    const std::string_view word = words.substr(0, comma);
    if (name.substr(open).starts_with(word) &&
        PatternMatches(rest_pattern, name.substr(open + word.size()))) {
      return true;
    }
    words.remove_prefix(std::min(comma + 1, words.size()));
  }
  return false;
}

}  // namespace

bool NameMatches(const SettingKey& key, std::string_view name) {
  // An active text may hold braces in its default, never in its name.
  return PatternMatches(key.name, name);
}

}  // namespace kalam::server

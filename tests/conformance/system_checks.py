"""What the server tells about itself: system tables and views, information_schema, settings, jobs, statistics."""
import json
import time

# Every object with its columns, in order.
COLUMNS = {
    "users": "user_id password_hash role email auth_type auth_data storage_mode storage_id failed_login_attempts locked_until "
             "last_login_at created_at updated_at last_seen deleted_at",
    "namespaces": "namespace_id name created_at options table_count",
    "schemas": "table_id table_name namespace_id table_type created_at schema_version columns table_comment updated_at options "
               "access_level is_latest storage_id use_user_storage",
    "storages": "storage_id storage_name description storage_type base_directory credentials config_json shared_tables_template "
                "user_tables_template created_at updated_at",
    "jobs": "job_id job_type status leader_status parameters message exception_trace idempotency_key queue priority retry_count "
            "max_retries memory_used cpu_used created_at updated_at started_at finished_at node_id leader_node_id",
    "job_nodes": "job_id node_id status error_message created_at started_at finished_at updated_at",
    "audit_log": "audit_id timestamp actor_user_id action target details ip_address subject_user_id",
    "manifest": "cache_key namespace_id table_name scope etag last_refreshed last_accessed in_memory sync_state manifest_json",
    "topics": "topic_id name alias partitions retention_seconds retention_max_bytes routes created_at updated_at",
    "topic_offsets": "topic_id group_id partition_id last_acked_offset updated_at",
    "tables": "namespace_id table_name table_type storage_id version options comment updated_at created_at",
    "columns": "namespace_id table_name version column_id column_name comment data_type default_value ordinal nullable primary_key "
               "primary_key_pos",
    "stats": "metric_name metric_value",
    "settings": "name value description category",
    "server_logs": "timestamp level thread target line message",
    "live": "live_id connection_id subscription_id namespace_id table_name user_id query options status created_at last_update "
            "changes node_id last_ping_at",
    "sessions": "session_id backend_pid current_schema state transaction_id transaction_state transaction_has_writes client_addr "
                "transport opened_at last_seen_at last_method",
    "transactions": "transaction_id owner_id origin state age_ms idle_ms write_count write_bytes touched_tables_count "
                    "snapshot_commit_seq",
    "cluster": "cluster_id node_id role status rpc_addr api_addr is_self is_leader groups_leading total_groups current_term "
               "last_applied_log leader_last_log_index snapshot_index catchup_progress_pct replication_lag hostname version "
               "memory_mb memory_usage_mb cpu_usage_percent uptime_seconds uptime_human os arch",
    "cluster_groups": "group_id cluster_id node_id group_type current_term vote last_log_index last_applied snapshot purged "
                      "committed state current_leader millis_since_quorum_ack",
    "datatypes": "arrow_type kalam_type sql_name description",
    "describe": "column_name ordinal_position column_id data_type is_nullable is_primary_key column_default column_comment "
                "schema_version",
}

STATS = """server_uptime_seconds server_uptime_human memory_usage_bytes memory_usage_mb memory_usage_source memory_rss_bytes
memory_rss_mb memory_virtual_bytes memory_virtual_mb memory_rss_gap_bytes memory_rss_gap_mb cpu_usage_percent
system_total_memory_mb system_used_memory_mb thread_count pid allocator_name cpu_logical_cores cpu_physical_cores
server_workers_configured server_workers_effective max_connections connection_backlog worker_max_blocking_threads
datafusion_query_parallelism datafusion_max_partitions datafusion_memory_limit_mb open_files_total open_files_regular
open_files_directories open_files_kqueue open_files_unix open_files_ipv4 open_files_other total_users total_namespaces
total_tables storage_partition_count rocksdb_physical_cf_count rocksdb_estimate_num_keys rocksdb_estimate_live_data_size_bytes
rocksdb_active_memtable_entries rocksdb_immutable_memtable_entries rocksdb_active_memtable_size_bytes
rocksdb_live_sst_files_size_bytes rocksdb_total_sst_files_size_bytes rocksdb_memtables_size_bytes
rocksdb_pending_compaction_bytes total_jobs jobs_running jobs_queued jobs_failed total_storages total_live_queries
active_connections active_connections_peak max_connections_configured active_subscriptions active_subscriptions_peak
websocket_sessions websocket_sessions_peak schema_cache_size schema_registry_size schema_cache_total_entries plan_cache_size
topic_cache_topic_count topic_cache_table_route_count topic_cache_total_routes string_interner_unique_strings node_id
server_version server_build_date server_git_branch server_git_commit cluster_mode""".split()

SETTINGS = """server.host server.port server.workers server.enable_http2 server.public_origin server.api_version storage.data_path
storage.rocksdb.block_cache_size datafusion.memory_limit datafusion.batch_size datafusion.query_parallelism
datafusion.max_partitions limits.max_message_size limits.max_query_limit limits.default_query_limit logging.level logging.format
logging.logs_path flush.default_row_limit flush.default_time_interval flush.check_interval_seconds manifest_cache.max_entries
manifest_cache.eviction_ttl_days retention.default_deleted_retention_hours stream.default_ttl_seconds stream.default_max_buffer
stream.eviction_interval_seconds websocket.client_timeout_secs websocket.heartbeat_interval_secs rate_limit.max_queries_per_sec
rate_limit.max_messages_per_sec rate_limit.max_subscriptions_per_user rate_limit.max_auth_requests_per_ip_per_sec
rate_limit.max_connections_per_ip rate_limit.max_requests_per_ip_per_sec rate_limit.request_body_limit_bytes
rate_limit.ban_duration_seconds rate_limit.enable_connection_protection rate_limit.cache_max_entries rate_limit.cache_ttl_seconds
auth.bcrypt_cost auth.min_password_length jobs.max_concurrent jobs.max_retries jobs.wal_cleanup_interval_seconds
execution.handler_timeout_seconds execution.max_parameters security.max_request_body_size security.max_ws_message_size
shutdown.flush.timeout""".split() + [f"storage.rocksdb.cf_profiles.{family}.{key}" for family in (
    "system_meta", "system_index", "hot_data", "hot_index", "raft") for key in ("write_buffer_size", "max_write_buffers")]


def test_system_objects_have_their_columns(world):
    for name, columns in COLUMNS.items():
        result = world.root.result(f"SELECT * FROM system.{name}")
        assert [c["name"] for c in result["schema"]] == columns.split(), (name, [c["name"] for c in result["schema"]])
    world.root.error("SELECT * FROM system.table_schemas")
    for alias in ("users", "namespaces", "schemas", "storages", "jobs", "job_nodes", "audit_log", "topics", "topic_offsets", "tables",
                  "columns"):
        world.root.rows(f"SELECT * FROM system.system_{alias} LIMIT 1")
    world.root.rows("SELECT * FROM system.manifest_cache")


def test_information_schema_lists_tables_and_columns(world):
    root, table = world.root, world.table("SHARED")
    space = table.split(".")[0]
    tables = root.objects(f"SELECT table_catalog, table_schema, table_name, table_type FROM information_schema.tables "
                          f"WHERE table_schema = '{space}'")
    assert [(t["table_catalog"], t["table_name"]) for t in tables] == [("kalam", "t")], tables
    columns = root.objects("SELECT column_name, ordinal_position, is_nullable, data_type FROM information_schema.columns "
                           f"WHERE table_schema = '{space}' ORDER BY ordinal_position")
    assert [(c["column_name"], c["is_nullable"]) for c in columns] == [
        ("id", "NO"), ("body", "YES"), ("_seq", "NO"), ("_deleted", "NO")], columns
    for name in ("users", "topics", "topic_offsets"):
        assert int(root.value("SELECT count(*) FROM information_schema.columns WHERE table_catalog = 'kalam' AND "
                              f"table_schema = 'system' AND table_name = '{name}'")) > 4, name
    for name in ("schemata", "views", "routines", "parameters", "df_settings"):
        root.rows(f"SELECT * FROM information_schema.{name}")
    assert [space] in root.rows("SELECT schema_name FROM information_schema.schemata")


def test_statistics_have_every_name_that_clients_read(world):
    rows = dict(world.root.rows("SELECT metric_name, metric_value FROM system.stats ORDER BY metric_name LIMIT 5000"))
    assert not [name for name in STATS if name not in rows], [name for name in STATS if name not in rows]
    assert all(isinstance(value, str) for value in rows.values())
    assert int(rows["pid"]) == world.server.process.pid and float(rows["memory_usage_mb"]) > 1
    assert int(rows["total_users"]) >= 1 and int(rows["total_namespaces"]) >= 2 and rows["cluster_mode"] == "false"
    # Where the build comes from is known, not a placeholder.
    assert all(rows[name] and "unknown" not in rows[name] for name in ("server_build_date", "server_version")), rows
    only = world.root.rows("SELECT metric_name FROM system.stats WHERE metric_name IN ('pid', 'total_jobs') ORDER BY metric_name")
    assert only == [["pid"], ["total_jobs"]], only


def test_settings_tell_what_is_in_force(world):
    rows = {r["name"]: r for r in world.root.objects("SELECT * FROM system.settings")}
    assert not [name for name in SETTINGS if name not in rows], [name for name in SETTINGS if name not in rows]
    assert all(r["category"] == (name.split(".")[0] if "." in name else "general") and r["description"]
               for name, r in rows.items())
    assert rows["auth.bcrypt_cost"]["value"] == "4" and rows["rate_limit.max_queries_per_sec"]["value"] == "0"
    assert not [name for name in rows if "secret" in name and rows[name]["value"] not in ("", "***", "[redacted]", "(set)", "(none)")]


def test_a_server_of_its_own_is_a_cluster_of_one(world):
    nodes = world.root.objects("SELECT * FROM system.cluster")
    assert len(nodes) == 1 and nodes[0]["is_self"] is True and nodes[0]["is_leader"] is True, nodes
    assert (nodes[0]["role"], nodes[0]["status"]) == ("leader", "active"), nodes
    assert world.root.rows("SELECT is_leader FROM system.cluster WHERE is_self = true LIMIT 1") == [[True]]
    groups = {r["group_type"] for r in world.root.objects("SELECT * FROM system.cluster_groups")}
    assert groups == {"meta", "user_data", "shared_data"}, groups
    health = world.server.request("GET", "/v1/api/cluster/health")[2]
    assert {"status", "version", "build_date", "cluster_id", "is_cluster_mode", "is_leader", "node_id", "total_groups",
            "groups_leading", "current_term", "last_applied", "millis_since_quorum_ack", "nodes"} <= set(health), health
    assert "CLI-only command" in world.root.error("CLUSTER LIST", code="INVALID_SQL")


def test_storages_begin_with_the_local_one(world):
    rows = world.user().objects("SHOW STORAGES")
    assert rows[0]["storage_id"] == "local" and rows[0]["storage_type"] == "filesystem", rows
    assert "{namespace}" in rows[0]["shared_tables_template"] and "{userId}" in rows[0]["user_tables_template"]
    assert 1.6e15 < rows[0]["created_at"] <= rows[0]["updated_at"] < time.time() * 1e6 + 1e6


def test_the_first_user_and_what_always_exists(world):
    row = world.root.objects("SELECT * FROM system.users WHERE user_id = 'root'")[0]
    assert (row["role"], row["auth_type"], row["email"]) == ("system", "Internal", "root@localhost"), row
    assert row["password_hash"][:4] in ("$2b$", "$2y$"), row
    names = {r[0] for r in world.root.rows("SELECT namespace_id FROM system.namespaces")}
    assert {"system", "default", "dba"} <= names, names
    assert world.root.rows("SELECT table_name FROM system.schemas WHERE namespace_id = 'dba' ORDER BY table_name") == [
        ["notifications"], ["stats"]]
    assert [c["name"] for c in world.root.result("SELECT * FROM dba.notifications")["schema"]] == [
        "id", "user_id", "title", "body", "is_read", "created_at", "updated_at", "_seq", "_deleted"]
    deadline = time.monotonic() + 10
    while not (samples := world.root.objects("SELECT * FROM dba.stats LIMIT 5")):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert len(samples[0]["id"].split(":")[0]) == 13 and samples[0]["metric_unit"], samples


def test_data_types_are_listed(world):
    rows = world.root.objects("SELECT * FROM system.datatypes")
    assert len(rows) == 29, len(rows)
    kinds = {r["arrow_type"]: (r["kalam_type"], r["sql_name"]) for r in rows}
    assert kinds["Boolean"] == ("Boolean", "BOOLEAN") and kinds["Int64"][0] == "BigInt" and kinds["Utf8"][0] == "Text", kinds


def test_what_administrators_did_is_kept(world):
    root, table = world.root, world.table("SHARED")
    root.message(f"ALTER TABLE {table} ADD COLUMN extra INT")
    root.message(f"ALTER TABLE {table} SET ACCESS LEVEL PUBLIC")
    root.rows(f"DESCRIBE TABLE {table}")
    root.message(f"DROP TABLE {table}")
    rows = root.objects(f"SELECT * FROM system.audit_log WHERE target = '{table}' ORDER BY timestamp")
    actions = [(r["action"], r["details"]) for r in rows]
    assert actions[0][0] == "CREATE_TABLE" and "Type: shared" in actions[0][1].replace("Shared", "shared"), actions
    assert "ADD COLUMN extra" in actions[1][1] and "New Version: 2" in actions[1][1], actions
    assert "SET ACCESS LEVEL Public" in actions[2][1], actions
    assert [a for a, _ in actions[3:]] == ["DESCRIBE", "DROP_TABLE"], actions
    assert all(r["audit_id"].startswith("audit_") and r["actor_user_id"] == "root" for r in rows)
    dba, user = world.user("dba"), world.user()
    logins = root.rows(f"SELECT actor_user_id FROM system.audit_log WHERE action = 'LOGIN' AND target IN ('user:{dba.user}', "
                       f"'user:{user.user}')")
    assert logins == [[dba.user]], logins


def test_a_job_that_is_not_there_cannot_be_killed(world):
    assert "not found" in world.root.error("KILL JOB 'CL-000000000000'").lower()
    table = world.table("SHARED")
    job = world.root.message(f"DROP TABLE {table}").rsplit(" ", 1)[1]
    deadline = time.monotonic() + 10
    while world.root.value(f"SELECT status FROM system.jobs WHERE job_id = '{job}'") != "completed":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    world.root.error(f"KILL JOB '{job}'")
    row = world.root.objects(f"SELECT * FROM system.jobs WHERE job_id = '{job}'")[0]
    assert row["job_type"] == "cleanup" and row["max_retries"] == 3 and row["message"].startswith("Cleaned up table"), row
    nodes = world.root.objects(f"SELECT * FROM system.job_nodes WHERE job_id = '{job}'")
    assert [n["status"] for n in nodes] == ["completed"], nodes


def test_numbers_of_a_table(world):
    root, table = world.root, world.table("USER")
    root.message(f"INSERT INTO {table} (id) VALUES (1), (2)")
    result = root.result(f"SHOW STATS FOR TABLE {table}")
    assert [c["name"] for c in result["schema"]] == ["table_name", "namespace", "schema_version", "logical_rows",
                                                     "flushed_segments", "active_streams", "memory_bytes"]
    assert result["rows"][0][:2] == ["t", table.split(".")[0]] and len(result["rows"]) == 1, result
    columns = root.value(f"SELECT columns FROM system.schemas WHERE table_id = '{table.replace('.', ':')}'")
    assert json.loads(columns)[0]["column_name"] == "id"
    defaults = root.objects(f"SELECT * FROM system.columns WHERE namespace_id = '{table.split('.')[0]}' ORDER BY ordinal")
    assert [(d["column_name"], d["data_type"], d["primary_key"]) for d in defaults][:2] == [
        ("id", "BIGINT", True), ("body", "TEXT", False)], defaults

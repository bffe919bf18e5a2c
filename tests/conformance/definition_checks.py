"""Namespaces, tables and their changes: what DDL answers, refuses, and leaves behind."""
import json
import time


def test_a_changed_table_answers_at_once_and_keeps_its_rows(world):
    root, table = world.root, world.table("SHARED", "id BIGINT PRIMARY KEY, name TEXT")
    root.message(f"INSERT INTO {table} (id, name) VALUES (1, 'a'), (2, 'b'), (3, 'c')")
    assert root.value(f"SELECT count(*) FROM {table}") == "3"
    message = root.message(f"ALTER TABLE {table} ADD COLUMN age INT")
    assert message == f"Table {table} altered successfully: ADD COLUMN age INT (version 2)", message
    names = [c["name"] for c in root.result(f"SELECT * FROM {table}")["schema"]]
    assert names == ["id", "name", "_seq", "_deleted", "age"], names
    assert root.rows(f"SELECT age FROM {table}") == [[None]] * 3
    root.message(f"INSERT INTO {table} (id, name, age) VALUES (4, 'd', 40), (5, 'e', 50)")
    assert root.value(f"SELECT count(*) FROM {table}") == "5"
    root.message(f"ALTER TABLE {table} DROP COLUMN name")
    root.message(f"INSERT INTO {table} (id, age) VALUES (6, 60)")
    assert root.value(f"SELECT count(*) FROM {table}") == "6"
    assert "name" not in [c["name"] for c in root.result(f"SELECT * FROM {table}")["schema"]]
    assert root.rows(f"SELECT age FROM {table} ORDER BY id") == [[None], [None], [None], [40], [50], [60]]


def test_a_dropped_column_does_not_come_back_with_its_values(world):
    root, table = world.root, world.table("SHARED", "id BIGINT PRIMARY KEY, note TEXT")
    root.message(f"INSERT INTO {table} (id, note) VALUES (1, 'old')")
    root.message(f"ALTER TABLE {table} DROP COLUMN note")
    root.message(f"ALTER TABLE {table} ADD COLUMN note TEXT")
    assert root.rows(f"SELECT note FROM {table}") == [[None]]
    root.message(f"UPDATE {table} SET note = 'new' WHERE id = 1")
    root.message(f"ALTER TABLE {table} RENAME COLUMN note TO remark")
    assert root.rows(f"SELECT remark FROM {table}") == [["new"]]


def test_every_kind_of_alter_does_what_it_says(world):
    root, table = world.root, world.table("SHARED", "id BIGINT PRIMARY KEY, name TEXT")
    root.message(f"INSERT INTO {table} (id, name) VALUES (1, 'a')")
    root.message(f"ALTER TABLE {table} ADD COLUMN score INT DEFAULT 7")
    root.message(f"INSERT INTO {table} (id, name) VALUES (2, 'b')")
    assert root.rows(f"SELECT score FROM {table} ORDER BY id") == [[None], [7]]
    root.message(f"ALTER TABLE {table} MODIFY COLUMN name TEXT NOT NULL")
    assert "cannot be NULL" in root.error(f"INSERT INTO {table} (id, name) VALUES (3, NULL)")
    root.message(f"ALTER TABLE {table} ALTER COLUMN name DROP NOT NULL")
    root.message(f"INSERT INTO {table} (id, name) VALUES (3, NULL)")
    root.message(f"ALTER TABLE {table} ALTER COLUMN score SET DEFAULT 9")
    root.message(f"INSERT INTO {table} (id) VALUES (4)")
    assert root.value(f"SELECT score FROM {table} WHERE id = 4") == 9
    root.message(f"ALTER TABLE {table} ALTER COLUMN score DROP DEFAULT")
    assert "SET ACCESS LEVEL Public" in root.message(f"ALTER TABLE {table} SET ACCESS LEVEL PUBLIC")
    space, name = table.split(".")
    options = root.value(f"SELECT options FROM system.schemas WHERE namespace_id = '{space}' "
                         f"AND table_name = '{name}' AND is_latest = true")
    assert json.loads(options)["access_level"].lower() == "public", options
    assert "altered" in root.message(f"ALTER TABLE {table} SET TBLPROPERTIES (ACCESS_LEVEL = 'DBA')")
    unchanged = root.message(f"ALTER TABLE {table} SET TBLPROPERTIES (ACCESS_LEVEL = 'DBA')")
    assert "unchanged" in unchanged and "no changes needed" in unchanged, unchanged


def test_system_columns_and_keys_are_protected(world):
    root, table = world.root, world.table("SHARED", "id BIGINT PRIMARY KEY, name TEXT")
    for column in ("_seq", "_deleted", "_updated"):
        root.error(f"ALTER TABLE {table} DROP COLUMN {column}")
        assert "reserved" in root.error(f"ALTER TABLE {table} ADD COLUMN {column} TEXT")
        assert "reserved" in root.error(f"ALTER TABLE {table} RENAME COLUMN name TO {column}")
    assert "Column 'name' already exists" in root.error(f"ALTER TABLE {table} ADD COLUMN NAME TEXT")
    assert "Column 'nothing' does not exist" in root.error(f"ALTER TABLE {table} DROP COLUMN nothing")
    assert "PRIMARY KEY" in root.error(f"ALTER TABLE {table} ALTER COLUMN id DROP NOT NULL")
    assert "only one" in root.error(f"ALTER TABLE {table} ADD COLUMN a INT, ADD COLUMN b INT").lower()
    root.error(f"ALTER TABLE {table} RENAME TO other")
    missing = root.error("ALTER TABLE default.nothing ADD COLUMN a INT")
    assert missing == "Not found: Table 'nothing' not found in namespace 'default'", missing


def test_not_null_without_default_on_a_filled_table_is_refused_or_reads_zero(world):
    root, table = world.root, world.table("SHARED", "id BIGINT PRIMARY KEY")
    root.message(f"INSERT INTO {table} (id) VALUES (1)")
    status, answer = root.answer(f"ALTER TABLE {table} ADD COLUMN n INT NOT NULL")
    if status == 200:
        assert root.rows(f"SELECT n FROM {table}") == [[0]]
    else:
        text = answer["error"]["message"].lower()
        assert "not null" in text or "default" in text, text


TYPES = [
    ("a_bool BOOLEAN", "BOOLEAN", "Boolean"), ("a_small SMALLINT", "SMALLINT", "SmallInt"), ("an_int INT", "INT", "Int"),
    ("a_big BIGINT", "BIGINT", "BigInt"), ("a_float FLOAT", "FLOAT", "Float"), ("a_double DOUBLE", "DOUBLE", "Double"),
    ("a_text TEXT", "TEXT", "Text"), ("a_stamp TIMESTAMP", "TIMESTAMP", "Timestamp"),
    ("a_datetime DATETIME", "DATETIME", "DateTime"), ("a_date DATE", "DATE", "Date"), ("a_time TIME", "TIME", "Time"),
    ("a_json JSON", "JSON", "Json"), ("a_bytes BYTES", "BYTES", "Bytes"),
    ("a_vector EMBEDDING(3)", "EMBEDDING(3)", {"Embedding": 3}), ("a_uuid UUID", "UUID", "Uuid"),
    ("a_decimal DECIMAL(10, 2)", "DECIMAL(10, 2)", {"Decimal": {"precision": 10, "scale": 2}}),
    ("a_file FILE", "FILE", "File")]


def test_all_types_are_kept_in_results_and_in_the_catalog(world):
    root = world.root
    table = world.table("USER", "id TEXT PRIMARY KEY, " + ", ".join(c for c, _, _ in TYPES))
    schema = root.result(f"SELECT * FROM {table}")["schema"]
    found = {c["name"]: c["data_type"] for c in schema}
    for column, _, data_type in TYPES:
        assert found[column.split()[0]] == data_type, (column, found)
    assert found["_seq"] == "BigInt" and found["_deleted"] == "Boolean"
    assert schema[0]["flags"] == ["pk", "nn", "uq"] and "flags" not in schema[1], schema[:2]
    space, name = table.split(".")
    described = {row["column_name"]: row for row in root.objects(f"DESCRIBE TABLE {table}")}
    for column, sql_name, _ in TYPES:
        assert described[column.split()[0]]["data_type"] == sql_name, described[column.split()[0]]
    assert described["id"]["is_primary_key"] is True and described["id"]["is_nullable"] is False
    columns = json.loads(root.value(
        f"SELECT columns FROM system.schemas WHERE namespace_id = '{space}' AND table_name = '{name}'"))
    assert [c["column_id"] for c in columns] == list(range(1, len(TYPES) + 4)), columns
    assert {c["column_name"]: c["data_type"] for c in columns}["a_decimal"] == {"Decimal": {"precision": 10, "scale": 2}}


def test_other_spellings_of_types(world):
    root = world.root
    table = world.table("SHARED", "id SERIAL PRIMARY KEY, a INT4, b VARCHAR(10), c STRING, d NUMERIC, e JSONB, f BLOB, "
                                  "g DOUBLE PRECISION, h REAL, i TIMESTAMP WITH TIME ZONE, j DECIMAL(5), k BOOL, l INT8")
    types = {r["column_name"]: r["data_type"] for r in root.objects(f"DESCRIBE TABLE {table}")}
    # SERIAL is a snowflake number, which an INT could not hold.
    assert types == {"id": "BIGINT", "a": "INT", "b": "TEXT", "c": "TEXT", "d": "DECIMAL(38, 10)", "e": "JSON", "f": "BYTES",
                     "g": "DOUBLE", "h": "FLOAT", "i": "TIMESTAMP", "j": "DECIMAL(5, 0)", "k": "BOOLEAN", "l": "BIGINT",
                     "_seq": "BIGINT", "_deleted": "BOOLEAN"}, types
    space = table.split(".")[0]
    for column, text in (("v EMBEDDING", "exactly one dimension"), ("v EMBEDDING(0)", "at least 1"),
                         ("v EMBEDDING(8193)", "at most 8192 (found 8193)"),
                         ("d DECIMAL(39, 2)", "between 1 and 38, got 39"), ("d DECIMAL(3, 4)", "cannot exceed precision (3)"),
                         ("i INTERVAL", "nsupported"), ("x NO_SUCH_TYPE", "nsupported")):
        message = root.error(f"CREATE TABLE {space}.bad (id INT PRIMARY KEY, {column})")
        assert text in message, (column, message)


def test_versions_of_a_table_are_listed_and_leave_with_it(world):
    root, table = world.root, world.table("SHARED")
    space, name = table.split(".")
    root.message(f"ALTER TABLE {table} ADD COLUMN a INT")
    root.message(f"ALTER TABLE {table} ADD COLUMN b INT")
    history = f"SELECT schema_version, is_latest FROM system.schemas WHERE namespace_id = '{space}' ORDER BY schema_version"
    assert root.rows(history) == [[1, False], [2, False], [3, True]], root.rows(history)
    assert root.message(f"DROP TABLE {table}").startswith(f"Table {table} dropped successfully. Cleanup job: CL-")
    assert root.rows(history) == []


def test_a_dropped_table_is_gone_cleaned_up_and_may_come_back_empty(world):
    root, table = world.root, world.table("USER")
    root.message(f"INSERT INTO {table} (id) VALUES (1)")
    job = root.message(f"DROP TABLE {table}").rsplit(" ", 1)[1]
    message = root.error(f"SELECT * FROM {table}")
    assert "not found" in message or "does not exist" in message, message
    deadline = time.monotonic() + 10
    while (status := root.value(f"SELECT status FROM system.jobs WHERE job_id = '{job}'")) != "completed":
        assert status in ("new", "queued", "running") and time.monotonic() < deadline, status
        time.sleep(0.05)
    assert root.message(f"DROP TABLE IF EXISTS {table}") == f"Table {table} does not exist (skipped)"
    space, name = table.split(".")
    assert root.error(f"DROP TABLE {table}") == f"Not found: Table '{name}' not found in namespace '{space}'"
    root.message(f"CREATE TABLE {table} (id BIGINT PRIMARY KEY) WITH (TYPE = 'USER')")
    assert root.rows(f"SELECT * FROM {table}") == []


def test_names_are_checked(world):
    root = world.root
    for name in ("system", "sys", "root", "kalamdb", "KALAM", "information_schema", "pg_catalog", "main"):
        assert "reserved" in root.error(f"CREATE NAMESPACE {name}").lower(), name
    for name, text in (("_x", "underscore"), ("n" * 65, "too long"), ('"a b"', "spaces"), ('"1x"', "number"),
                       ("select", "keyword"), ('"a-b"', "invalid characters")):
        assert text in root.error(f"CREATE NAMESPACE {name}"), name
    root.error("CREATE NAMESPACE 1x")
    space = world.namespace()
    for column in ("_id", "_seq", "_anything"):
        message = root.error(f"CREATE TABLE {space}.t (id INT PRIMARY KEY, {column} TEXT)")
        assert "reserved" in message, message
    root.message(f"CREATE TABLE {space}.t (id INT PRIMARY KEY, firstName TEXT, user_id TEXT, timestamp TIMESTAMP, "
                 "value INT, key TEXT, user TEXT, type TEXT, status TEXT, name TEXT, date DATE)")
    message = root.error(f"CREATE TABLE {space}.two (id INT PRIMARY KEY, Name TEXT, name TEXT)")
    assert "Duplicate column name 'name'" in message and "case-insensitive" in message, message


def test_a_missing_namespace_is_named(world):
    root = world.root
    for kind, options in (("USER", ""), ("SHARED", ""), ("STREAM", ", TTL_SECONDS = 10")):
        name = world.name("later")
        create = f"CREATE TABLE {name}.t (id INT PRIMARY KEY) WITH (TYPE = '{kind}'{options})"
        message = root.error(create)
        assert f"Create it first with CREATE NAMESPACE {name}" in message, message
        assert root.message(f"CREATE NAMESPACE {name}") == f"Namespace '{name}' created successfully"
        assert f"table {name}.t created successfully" in root.message(create)


def test_namespaces_come_and_go(world):
    root, name = world.root, world.name("coming")
    root.message(f"CREATE NAMESPACE {name}")
    assert root.error(f"CREATE NAMESPACE {name}") == f"Already exists: Namespace '{name}' already exists"
    assert root.message(f"CREATE NAMESPACE IF NOT EXISTS {name}") == f"Namespace '{name}' already exists"
    assert root.message(f"ALTER NAMESPACE {name} SET OPTIONS (a = 1, b = 'x')") == f"Namespace '{name}' altered successfully"
    options = json.loads(root.value(f"SELECT options FROM system.namespaces WHERE namespace_id = '{name}'"))
    assert options["a"] == 1 and options["b"] == "x", options
    assert [name] in [[r["namespace_id"]] for r in root.objects("SHOW NAMESPACES")]
    assert root.message(f"USE {name}") == f"Namespace switched to '{name}'"
    assert root.error("USE nowhere_at_all") == "Not found: Namespace 'nowhere_at_all' does not exist"
    root.message(f"CREATE TABLE {name}.t (id INT PRIMARY KEY)")
    assert root.message(f"DROP NAMESPACE {name} CASCADE") == f"Namespace '{name}' dropped successfully"
    assert root.error(f"DROP NAMESPACE {name}") == f"Not found: Namespace '{name}' not found"
    assert root.message(f"DROP NAMESPACE IF EXISTS {name}") == f"Namespace '{name}' does not exist"
    assert root.rows(f"SELECT * FROM system.schemas WHERE namespace_id = '{name}'") == []
    dropped = f"SELECT count(*) FROM system.audit_log WHERE action = 'DROP_TABLE' AND target = '{name}.t'"
    assert root.value(dropped) == "1"


def test_options_of_tables_are_checked(world):
    root, space = world.root, world.namespace()

    def refused(columns, options, text, kind="TABLE"):
        message = root.error(f"CREATE {kind} {space}.bad ({columns}) WITH ({options})")
        assert text in message, (options, message)

    key = "id INT PRIMARY KEY"
    refused(key, "TYPE = 'OTHER'", "Invalid TYPE option 'OTHER'. Supported: USER, SHARED, STREAM")
    refused(key, "TYPE = 'SHARED'", "Conflicting table type definitions", "USER TABLE")
    refused(key, "TYPE = 'STREAM'", "STREAM tables must specify 'TTL_SECONDS'")
    refused(key, "TYPE = 'USER', TTL_SECONDS = 5", "TTL_SECONDS is only supported for STREAM tables")
    refused(key, "TYPE = 'USER', ACCESS_LEVEL = 'PUBLIC'", "ACCESS_LEVEL is only supported for SHARED tables")
    refused(key, "COLOUR = 'red'", "Unknown table option 'COLOUR'")
    refused(key, "STORAGE_ID = 'nowhere'", "Storage 'nowhere' does not exist")
    refused(key, "USE_USER_STORAGE = true", "USE_USER_STORAGE is only supported for USER tables")
    refused(key, "FLUSH_POLICY = 'rows:0'", "Row limit must be greater than 0")
    refused(key, "FLUSH_POLICY = 'rows:1000000'", "Row limit must be less than 1,000,000")
    refused(key, "FLUSH_POLICY = 'interval:0'", "Interval must be greater than 0")
    refused(key, "FLUSH_POLICY = 'interval:86400'", "Interval must be less than 86400 seconds (24 hours)")
    refused(key, "FLUSH_POLICY = 'size:1'", "Unknown FLUSH_POLICY key 'size'")
    refused("id INT", "TYPE = 'SHARED'", "Shared tables require a PRIMARY KEY column")
    refused("id INT", "TYPE = 'USER'", "User tables require a PRIMARY KEY column")
    refused("a INT, b INT, PRIMARY KEY (a, b)", "TYPE = 'USER'", "Composite PRIMARY KEYs are not supported yet")
    refused("a INT PRIMARY KEY, b INT PRIMARY KEY", "TYPE = 'USER'", "Multiple PRIMARY KEY definitions found")
    refused("a INT, PRIMARY KEY (z)", "TYPE = 'USER'", "PRIMARY KEY column 'z' not found in column list")
    # A policy for flushing is accepted, and means nothing, for streams.
    root.message(f"CREATE STREAM TABLE {space}.s (id INT) WITH (TTL_SECONDS = 60, FLUSH_POLICY = 'rows:5,interval:10')")
    row = root.objects(f"SELECT options FROM system.schemas WHERE namespace_id = '{space}' AND table_name = 's'")[0]
    options = json.loads(row["options"])
    assert options["table_type"] == "STREAM" and options["ttl_seconds"] == 60, options
    root.message(f"CREATE TABLE {space}.p (id INT PRIMARY KEY) WITH (TYPE='SHARED', FLUSH_POLICY='rows:5,interval:10', "
                 "ACCESS_LEVEL='RESTRICTED')")
    row = root.objects("SELECT options, access_level, storage_id, table_type FROM system.schemas WHERE "
                       f"namespace_id = '{space}' AND table_name = 'p'")[0]
    options = json.loads(row["options"])
    assert options["flush_policy"]["type"] == "combined" and options["flush_policy"]["row_limit"] == 5, options
    assert (row["access_level"], row["storage_id"], row["table_type"]) == ("restricted", "local", "shared"), row


def test_tables_of_the_system_cannot_be_defined(world):
    root = world.root
    assert "Cannot create system table 'system.t'" in root.error("CREATE TABLE system.t (id INT PRIMARY KEY)")
    assert "Cannot drop system table 'system.users'" in root.error("DROP TABLE system.users")
    assert "Cannot alter system table 'system.users'" in root.error("ALTER TABLE system.users ADD COLUMN x INT")
    for statement in ("INSERT INTO system.users (user_id) VALUES ('x')", "DELETE FROM system.users WHERE user_id = 'root'",
                      "UPDATE system.jobs SET status = 'x' WHERE job_id = 'y'"):
        assert "system table" in root.error(statement), statement


def test_views_stay_and_show_each_caller_their_own(world):
    root, table, ann = world.root, world.table("USER"), world.user()
    view = table + "_view"
    assert root.message(f"CREATE VIEW {view} AS SELECT id, body FROM {table} WHERE id > 1") == \
        f"View {view} created successfully"
    root.message(f"INSERT INTO {table} (id, body) VALUES (1, 'r1'), (2, 'r2')")
    ann.message(f"INSERT INTO {table} (id, body) VALUES (2, 'a2'), (3, 'a3')")
    assert root.rows(f"SELECT * FROM {view}") == [["2", "r2"]]
    assert ann.rows(f"SELECT * FROM {view} ORDER BY id") == [["2", "a2"], ["3", "a3"]]
    assert "already exists" in root.error(f"CREATE VIEW {view} AS SELECT 1")
    root.message(f"CREATE OR REPLACE VIEW {view} (n) AS SELECT id + 1 FROM {table}")
    assert root.rows(f"SELECT n FROM {view} ORDER BY n") == [["2"], ["3"]]
    ann.denied(f"CREATE VIEW {view}2 AS SELECT 1")
    assert "MATERIALIZED" in root.error(f"CREATE MATERIALIZED VIEW {view}3 AS SELECT 1").upper()
    root.message(f"CREATE VIEW {view}_twice AS SELECT * FROM {view}")
    root.message(f"CREATE OR REPLACE VIEW {view} AS SELECT * FROM {view}_twice")
    assert "is defined by itself" in root.error(f"SELECT * FROM {view}")
    root.message(f"CREATE OR REPLACE VIEW {view} AS SELECT * FROM {table}")
    one, refused = view, ""
    for step in range(12):  # each names the one before twice
        status, answer = root.answer(f"CREATE VIEW {view}_{step} AS SELECT a.* FROM {one} a JOIN {one} b ON a.id = b.id")
        refused = refused or (answer["error"]["message"] if status != 200 else "")
        one = f"{view}_{step}"
        if refused:
            break
    assert "more than 256 views" in refused, refused
    root.message(f"DROP TABLE {table}")
    assert table in root.error(f"SELECT * FROM {view}")
    root.message(f"DROP VIEW {view}")
    root.error(f"SELECT * FROM {view}")


def test_statements_nobody_supports_are_named(world):
    root, table = world.root, world.table("SHARED")
    for statement in (f"TRUNCATE {table}", "GRANT ALL ON x TO y", "SAVEPOINT s", f"VACUUM {table}", f"COPY {table} FROM STDIN"):
        root.error(statement, code="INVALID_SQL")
    # Indexes are of vectors; keys have theirs already.
    assert "'body' is not EMBEDDING" in root.error(f"CREATE INDEX i ON {table} (body)")
    assert "i" in root.error(f"DROP INDEX {table.split('.')[0]}.i")
    root.error("THIS IS NOT SQL", code="INVALID_SQL")

"""Storages, flushing, files and vectors: where things lie, what stays the same whether rows are hot or cold, and who may fetch what."""
import glob
import json
import os
import time
import uuid

PNG = b"\x89PNG\r\n\x1a\n" + b"pixels"


def until(condition, what, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.1)


def finished(session, message):
    """Waits for the job that a message names; its row."""
    job = message.rsplit(" ", 1)[1]
    until(lambda: session.value(f"SELECT status FROM system.jobs WHERE job_id = '{job}'") in ("completed", "failed"), message)
    row = session.objects(f"SELECT * FROM system.jobs WHERE job_id = '{job}'")[0]
    assert row["status"] == "completed", row
    return row


def flush(session, table):
    return finished(session, session.message(f"STORAGE FLUSH TABLE {table}"))


def upload(session, sql, files, status=200):
    boundary = "b" + uuid.uuid4().hex
    body = b""
    for name, content in [("sql", sql.encode())] + list(files.items()):
        file_name = f'; filename="{name}.png"' if name != "sql" else ""
        part = name if name == "sql" else f"file:{name}"
        body += f'--{boundary}\r\nContent-Disposition: form-data; name="{part}"{file_name}\r\n\r\n'.encode() + content + b"\r\n"
    got, _, answer = session.server.request("POST", "/v1/api/sql", body + f"--{boundary}--\r\n".encode(), {
        "Authorization": "Bearer " + session.token, "Content-Type": f"multipart/form-data; boundary={boundary}"})
    assert got == status, (sql, got, answer)
    return answer


def download(session, table, reference, query=""):
    space, name = table.split(".")
    stem = reference["name"].rsplit(".", 1)[0]
    path = f"/v1/files/{space}/{name}/{reference['sub']}/{reference['id']}-{stem}.png{query}"
    status, _, body = session.server.request("GET", path, headers={"Authorization": "Bearer " + session.token}, raw=True)
    return status, body


def stored_files(world, space):
    found = []
    for folder, _, names in os.walk(os.path.join(world.server.directory, "storage", space)):
        found += [name for name in names if os.path.basename(folder).startswith("f0")]
    return found


def test_the_local_storage_is_shown_to_everybody(world):
    for session in (world.root, world.user()):
        local = [row for row in session.objects("SHOW STORAGES") if row["storage_id"] == "local"]
        assert len(local) == 1 and local[0]["storage_type"] == "filesystem", local
        assert local[0]["created_at"] > 1_600_000_000_000_000, local


def test_a_storage_check_tells_health(world):
    row = world.root.objects("STORAGE CHECK local")[0]
    assert row["status"] == "healthy" and row["readable"] and row["writable"] and row["listable"] and row["deletable"], row
    assert row["total_bytes"] is None and abs(row["tested_at"] / 1e6 - time.time()) < 60, row
    extended = world.root.objects("STORAGE CHECK local EXTENDED")[0]
    assert int(extended["total_bytes"]) >= int(extended["used_bytes"]) > 0, extended
    assert "not found" in world.root.error("STORAGE CHECK nowhere").lower()
    world.user().denied("STORAGE CHECK local")


def test_templates_decide_where_files_lie(world):
    space, storage = world.namespace(), world.name("disk")
    base = os.path.join(world.server.directory, storage)
    world.root.message(f"CREATE STORAGE {storage} TYPE filesystem PATH '{base}' SHARED_TABLES_TEMPLATE 'ns_{{namespace}}/table_{{tableName}}' "
                       "USER_TABLES_TEMPLATE 'ns_{namespace}/user_{tableName}/of_{userId}'")
    world.root.message(f"CREATE SHARED TABLE {space}.s (id BIGINT PRIMARY KEY) WITH (STORAGE_ID = '{storage}')")
    world.root.message(f"CREATE USER TABLE {space}.u (id BIGINT PRIMARY KEY) WITH (STORAGE_ID = '{storage}')")
    for name in ("s", "u"):
        world.root.message(f"INSERT INTO {space}.{name} VALUES (1)")
        flush(world.root, f"{space}.{name}")
    for folder in (f"ns_{space}/table_s", f"ns_{space}/user_u/of_root"):
        names = os.listdir(os.path.join(base, folder))
        assert "manifest.json" in names and any(name.endswith(".parquet") for name in names), (folder, names)
    assert "2 table(s) still using it" in world.root.error(f"DROP STORAGE {storage}")
    for name in ("s", "u"):
        finished(world.root, world.root.message(f"DROP TABLE {space}.{name}"))
    assert not os.path.exists(os.path.join(base, f"ns_{space}")), "folders of dropped tables are left"
    world.root.message(f"DROP STORAGE {storage}")


def test_bad_storages_are_refused(world):
    name = world.name("disk")
    path = os.path.join(world.server.directory, name)
    create = f"CREATE STORAGE {name} TYPE filesystem PATH '{path}'"
    assert "appear before" in world.root.error(f"{create} SHARED_TABLES_TEMPLATE '{{tableName}}/{{namespace}}'")
    assert "{userId} is required" in world.root.error(f"{create} USER_TABLES_TEMPLATE '{{namespace}}/{{tableName}}'")
    assert "Invalid storage type 'tape'" in world.root.error(f"CREATE STORAGE {name} TYPE tape PATH '{path}'")
    world.root.message(create)
    assert "already exists" in world.root.error(create)
    world.user().denied(f"DROP STORAGE {name}")
    world.root.message(f"DROP STORAGE {name}")
    assert "does not exist (skipped)" in world.root.message(f"DROP STORAGE IF EXISTS {name}")


def test_a_manifest_names_what_a_flush_wrote(world):
    table = world.table("SHARED")
    space = table.split(".")[0]
    manifest = f"SELECT manifest_json FROM system.manifest WHERE namespace_id = '{space}'"
    assert world.root.rows(manifest) == []
    world.root.message(f"INSERT INTO {table} VALUES (1, 'a'), (2, 'b')")
    job = flush(world.root, table)
    assert job["job_type"] == "flush" and json.loads(job["parameters"])["table_id"] == table, job
    told = json.loads(world.root.value(manifest))
    assert told["table_id"] == table and told["user_id"] is None and len(told["segments"]) == 1, told
    segment = told["segments"][0]
    assert segment["row_count"] == 2 and segment["min_seq"] <= segment["max_seq"] and segment["status"] == "committed", segment
    folder = os.path.join(world.server.directory, "storage", space, "t")
    assert os.path.getsize(os.path.join(folder, segment["path"])) == segment["size_bytes"]
    with open(os.path.join(folder, "manifest.json"), encoding="utf-8") as file:
        assert json.load(file)["segments"] == told["segments"]
    world.root.message(f"INSERT INTO {table} VALUES (3, 'c')")
    flush(world.root, table)
    assert len(json.loads(world.root.value(manifest))["segments"]) == 2
    assert "skipped: no pending writes" in world.root.message(f"STORAGE FLUSH TABLE {table}")


def test_cold_rows_behave_as_hot_ones(world):
    for kind in ("SHARED", "USER"):
        table = world.table(kind, "id BIGINT PRIMARY KEY, body TEXT, price DECIMAL(10, 2), at TIMESTAMP")
        world.root.message(f"INSERT INTO {table} VALUES (1, 'a', 1.10, '2024-01-01 00:00:00'), (2, NULL, 2.20, NULL)")
        before = world.root.rows(f"SELECT * FROM {table} ORDER BY id")
        flush(world.root, table)
        assert world.root.rows(f"SELECT * FROM {table} ORDER BY id") == before
        message = world.root.error(f"INSERT INTO {table} (id) VALUES (1)")
        assert "already exists" in message or "primary key" in message, message
        assert world.root.result(f"UPDATE {table} SET body = 'x' WHERE id = 1")["row_count"] == 1
        assert world.root.result(f"DELETE FROM {table} WHERE id = 2")["row_count"] == 1
        world.root.message(f"INSERT INTO {table} (id, body) VALUES (3, 'hot')")
        wanted = [["1", "x"], ["3", "hot"]]
        assert world.root.rows(f"SELECT id, body FROM {table} ORDER BY id") == wanted
        flush(world.root, table)
        assert world.root.rows(f"SELECT id, body FROM {table} ORDER BY id") == wanted
        world.root.message(f"INSERT INTO {table} (id, body) VALUES (2, 'again')")
        assert world.root.value(f"SELECT COUNT(*) FROM {table}") == "3"


def test_compaction_says_that_it_is_done(world):
    table = world.table("SHARED")
    for key in (1, 2):
        world.root.message(f"INSERT INTO {table} VALUES ({key}, 'a')")
        flush(world.root, table)
    job = finished(world.root, world.root.message(f"STORAGE COMPACT TABLE {table}"))
    assert "Compaction completed" in job["message"], job
    assert len(world.root.rows(f"SELECT * FROM {table}")) == 2
    assert "No compactable tables found" in str(world.root.answer(f"STORAGE COMPACT ALL IN {world.namespace()}"))


def test_added_and_dropped_columns_of_cold_rows(world):
    table = world.table("SHARED")
    world.root.message(f"INSERT INTO {table} VALUES (1, 'old')")
    flush(world.root, table)
    world.root.message(f"ALTER TABLE {table} ADD COLUMN extra TEXT")
    world.root.message(f"INSERT INTO {table} VALUES (2, 'new', 'x')")
    flush(world.root, table)
    assert world.root.rows(f"SELECT id, extra FROM {table} ORDER BY id") == [["1", None], ["2", "x"]]
    world.root.message(f"ALTER TABLE {table} DROP COLUMN body")
    world.root.message(f"ALTER TABLE {table} ADD COLUMN body TEXT")
    assert world.root.rows(f"SELECT id, body FROM {table} ORDER BY id") == [["1", None], ["2", None]]


def test_files_are_uploaded_read_replaced_and_guarded(world):
    space = world.namespace()
    table = f"{space}.docs"
    world.root.message(f"CREATE USER TABLE {table} (id BIGINT PRIMARY KEY, a FILE)")
    ann, bob, service = world.user(), world.user(), world.user("service")
    upload(ann, f"INSERT INTO {table} (id, a) VALUES (1, FILE(\"first\"))", {"first": PNG})
    reference = json.loads(ann.value(f"SELECT a FROM {table} WHERE id = 1"))
    assert reference["size"] == len(PNG) and reference["mime"] == "image/png" and len(reference["sha256"]) == 64, reference
    assert download(ann, table, reference) == (200, PNG)
    assert download(bob, table, reference)[0] == 404  # bob has no such file of his own
    assert download(bob, table, reference, f"?user_id={ann.user}")[0] == 403
    assert download(world.root, table, reference, f"?user_id={ann.user}") == (200, PNG)
    assert download(service, table, reference, f"?user_id={ann.user}") == (200, PNG)
    upload(ann, f"UPDATE {table} SET a = FILE('second') WHERE id = 1", {"second": PNG + b"2"})
    replaced = json.loads(ann.value(f"SELECT a FROM {table} WHERE id = 1"))
    assert replaced["id"] != reference["id"] and download(ann, table, replaced) == (200, PNG + b"2")
    assert download(ann, table, reference)[0] == 404
    until(lambda: len(stored_files(world, space)) == 1, "the replaced file is still there")
    # What fails leaves nothing behind.
    upload(ann, f"INSERT INTO {table} (id, a) VALUES (1, FILE('x'))", {"x": PNG}, status=400)
    until(lambda: len(stored_files(world, space)) == 1, "the file of a failed statement is still there")
    flush(world.root, table)
    assert download(ann, table, replaced)[0] == 200
    ann.message(f"DELETE FROM {table} WHERE id = 1")
    until(lambda: stored_files(world, space) == [], "the file of a deleted row is still there")


def test_files_of_shared_tables_go_by_the_access_level(world):
    space = world.namespace()
    for level, expected in (("PUBLIC", 200), ("PRIVATE", 403)):
        table = f"{space}.{level.lower()}_docs"
        world.root.message(f"CREATE SHARED TABLE {table} (id BIGINT PRIMARY KEY, a FILE) WITH (ACCESS_LEVEL = '{level}')")
        upload(world.root, f"INSERT INTO {table} (id, a) VALUES (1, FILE('x'))", {"x": PNG})
        reference = json.loads(world.root.value(f"SELECT a FROM {table}"))
        assert download(world.user(), table, reference)[0] == expected
        assert download(world.root, table, reference, "?user_id=x")[0] == 400


def test_vectors_are_found_over_hot_and_cold_rows(world):
    table = world.table("SHARED", "id BIGINT PRIMARY KEY, doc TEXT, a EMBEDDING(3), b EMBEDDING(3), c EMBEDDING(2)")
    space = table.split(".")[0]
    for column, metric in (("a", "COSINE"), ("b", "L2"), ("c", "DOT")):
        message = world.root.message(f"ALTER TABLE {table} CREATE INDEX {column} USING {metric}")
        assert message == f"Vector index enabled on {table}.{column} ({metric if metric == 'L2' else metric.title()})", message

    def insert(key, vector):
        world.root.message(f"INSERT INTO {table} VALUES ({key}, 'd{key}', '{vector}', '{vector}', '[1, {key}]')")

    def nearest(count):
        rows = world.root.rows(f"SELECT id FROM {table} ORDER BY COSINE_DISTANCE(a, '[1, 0, 0]') LIMIT {count}")
        return [int(row[0]) for row in rows]

    def snapshots():
        return sorted(os.path.basename(path) for path in
                      glob.glob(os.path.join(world.server.directory, "storage", space, "t", "*.vix")))

    for key, vector in ((1, "[1, 0, 0]"), (2, "[1, 0.2, 0]"), (3, "[1, 1, 0]"), (4, "[-1, 0, 0]")):
        insert(key, vector)
    assert nearest(4) == [1, 2, 3, 4]
    flush(world.root, table)
    until(lambda: snapshots() == [f"vec-{column}-snapshot-1.vix" for column in "abc"], "a flush wrote no snapshots")
    insert(5, "[1, 0.1, 0]")
    world.root.message(f"DELETE FROM {table} WHERE id = 2")
    assert nearest(3) == [1, 5, 3]
    flush(world.root, table)
    until(lambda: snapshots() == [f"vec-{column}-snapshot-2.vix" for column in "abc"], "a flush wrote no new snapshots")
    assert nearest(3) == [1, 5, 3]
    told = json.loads(world.root.value(f"SELECT manifest_json FROM system.manifest WHERE namespace_id = '{space}'"))
    assert told["vector_indexes"]["b"]["metric"] == "l2" and told["vector_indexes"]["b"]["snapshot_version"] == 2, told
    assert "is not EMBEDDING" in world.root.error(f"ALTER TABLE {table} CREATE INDEX doc")
    assert world.root.message(f"ALTER TABLE {table} DROP INDEX a") == f"Vector index disabled on {table}.a"
    assert nearest(2) == [1, 5]

"""Rows move to cold storage and nobody who queries can tell: flush, compaction, restart, drop."""
import asyncio
import json
import os
import re
import time

from server_process import UNLIMITED, LiveClient, ServerProcess, run_tests

CONFIG = UNLIMITED + "[flush]\ncheck_interval_seconds = 1\n"


def wait_for_jobs(server, token, text, seconds=60):
    """Waits for the jobs that an answer names; their records."""
    ids = re.findall(r"[A-Z]{2}-[0-9a-f]{12}", text)
    deadline = time.monotonic() + seconds
    records = []
    for job_id in ids:
        while True:
            status, message, trace = server.rows(
                token, f"SELECT status, message, exception_trace FROM system.jobs WHERE job_id = '{job_id}'")[0]
            if status in ("completed", "skipped"):
                records.append((status, message))
                break
            assert status not in ("failed", "cancelled"), (job_id, status, message, trace)
            assert time.monotonic() < deadline, (job_id, status, message)
            time.sleep(0.02)
    return records


def run_job(server, token, statement):
    message = server.sql(token, statement)["results"][0]["message"]
    assert "Job ID" in message, message
    return wait_for_jobs(server, token, message)


def parquet_files(server):
    return sorted(os.path.join(folder, name) for folder, _, names in os.walk(server.directory) for name in names
                  if name.endswith(".parquet"))


QUERIES = [
    "SELECT * FROM app.messages ORDER BY id",
    "SELECT id, body, _seq, _deleted FROM app.messages ORDER BY id",
    "SELECT * FROM app.messages WHERE id = 17",
    "SELECT * FROM app.messages WHERE id = 100017",
    "SELECT id FROM app.messages WHERE id >= 40 AND id < 60 ORDER BY id",
    "SELECT id FROM app.messages WHERE id > 90 ORDER BY id DESC LIMIT 5",
    "SELECT COUNT(*) FROM app.messages",
    "SELECT room, COUNT(*), SUM(size), MIN(body), MAX(id) FROM app.messages GROUP BY room ORDER BY room",
    "SELECT id FROM app.messages WHERE body LIKE '%7' ORDER BY id",
    "SELECT m.id, r.title FROM app.messages m JOIN app.rooms r ON m.room = r.room WHERE m.id < 30 ORDER BY m.id",
    "SELECT id, ROW_NUMBER() OVER (PARTITION BY room ORDER BY id) AS n FROM app.messages ORDER BY id LIMIT 20",
    "SELECT id FROM app.messages WHERE _deleted = true ORDER BY id",
    "SELECT room FROM app.messages WHERE size IS NULL ORDER BY id",
    "SELECT * FROM app.rooms ORDER BY room",
    "SELECT id, amount, at, day, flag, ratio FROM app.typed ORDER BY id",
]


def fill(server, token):
    server.sql(token, "CREATE NAMESPACE app")
    server.sql(token, "CREATE SHARED TABLE app.messages (id BIGINT PRIMARY KEY, room TEXT NOT NULL, body TEXT, size INT)")
    server.sql(token, "CREATE SHARED TABLE app.rooms (room TEXT PRIMARY KEY, title TEXT)")
    server.sql(token, "CREATE SHARED TABLE app.typed (id TEXT PRIMARY KEY, amount DECIMAL(12,2), at TIMESTAMP, day DATE, "
                      "flag BOOLEAN, ratio DOUBLE, small SMALLINT, big BIGINT, blob BYTES, doc JSON, u UUID)")
    values = ", ".join(f"({i}, 'room{i % 7}', 'body {i}', {'NULL' if i % 11 == 0 else i * 3})" for i in range(1, 121))
    server.sql(token, f"INSERT INTO app.messages (id, room, body, size) VALUES {values}")
    server.sql(token, "INSERT INTO app.rooms VALUES " + ", ".join(f"('room{i}', 'Room {i}')" for i in range(7)))
    server.sql(token, "INSERT INTO app.typed (id, amount, at, day, flag, ratio, small, big, doc, u) VALUES "
                      "('a', 12345.67, '2026-01-02 03:04:05', '2026-02-03', true, 0.1, -7, 9007199254740993, '{\"k\":1}', "
                      "'6f1d9c7e-7a43-4c5f-9f0b-0123456789ab'), ('b', -0.01, NULL, NULL, false, -1e300, 7, -1, NULL, NULL), "
                      "('ü', NULL, '1969-12-31 23:59:59.999999', '1900-01-01', NULL, NULL, NULL, NULL, '[]', NULL)")


def answers(server, token):
    return {query: server.rows(token, query) for query in QUERIES}


def compare(before, after, when):
    for query, rows in before.items():
        assert after[query] == rows, f"{when}: {query}\n before {rows[:3]} ({len(rows)})\n after  {after[query][:3]} ({len(after[query])})"


def test_answers_do_not_depend_on_where_rows_lie():
    with ServerProcess(UNLIMITED) as server:
        token = server.login()
        fill(server, token)
        server.sql(token, "DELETE FROM app.messages WHERE id = 3")
        server.sql(token, "UPDATE app.messages SET body = 'edited 7' WHERE id = 7")
        before = answers(server, token)

        (status, message), = run_job(server, token, "STORAGE FLUSH TABLE app.messages")
        assert message == "Flushed app:messages successfully (120 rows, 1 files)", message
        compare(before, answers(server, token), "after the first flush")
        run_job(server, token, "STORAGE FLUSH ALL IN app")
        compare(before, answers(server, token), "after all are flushed")
        assert len(parquet_files(server)) == 3, parquet_files(server)
        text = server.sql(token, "STORAGE FLUSH TABLE app.messages")["results"][0]["message"]
        assert text == "Storage flush skipped: no pending writes for table 'app.messages'", text

        # A key that is cold is taken; one that was deleted is free.
        error = server.sql(token, "INSERT INTO app.messages (id, room) VALUES (17, 'x')", expect=400)["error"]
        assert "already exists" in error["message"], error
        server.sql(token, "INSERT INTO app.messages (id, room, body, size) VALUES (3, 'room3', 'again', 1)")
        assert server.sql(token, "UPDATE app.messages SET body = 'changed 20' WHERE id = 20")["results"][0]["row_count"] == 1
        assert server.sql(token, "UPDATE app.messages SET size = size + 1 WHERE room = 'room5'")["results"][0]["row_count"] in (15, 17)
        assert server.sql(token, "DELETE FROM app.messages WHERE id = 30")["results"][0]["row_count"] == 1
        assert server.sql(token, "DELETE FROM app.messages WHERE id IN (31, 32, 9999)")["results"][0]["row_count"] == 2
        assert server.rows(token, "SELECT COUNT(*) FROM app.messages") == [["117"]]
        assert server.rows(token, "SELECT id FROM app.messages WHERE id = 30") == []
        assert server.rows(token, "SELECT body FROM app.messages WHERE id = 20") == [["changed 20"]]
        mixed = answers(server, token)

        run_job(server, token, "STORAGE FLUSH TABLE app.messages")
        compare(mixed, answers(server, token), "after the second flush")
        server.sql(token, "INSERT INTO app.messages (id, room, body) VALUES (500, 'room1', 'hot')")
        mixed = answers(server, token)
        (status, message), = run_job(server, token, "STORAGE COMPACT TABLE app.messages")
        assert message.startswith("Compaction completed for app:messages"), message
        assert "2 segments before, 1 after" in message, message
        compare(mixed, answers(server, token), "after the compaction")
        code, _ = server.stop()
        assert code == 0
        server.start()
        token = server.login()
        compare(mixed, answers(server, token), "after a restart")
        run_job(server, token, "STORAGE FLUSH ALL IN app")
        compare(mixed, answers(server, token), "after the last flush")


def test_explain_tells_what_the_engine_leaves_out():
    with ServerProcess(UNLIMITED) as server:
        token = server.login()
        server.sql(token, "CREATE NAMESPACE app")
        server.sql(token, "CREATE SHARED TABLE app.log (id BIGINT PRIMARY KEY, at TIMESTAMP, level TEXT, cost DOUBLE)")
        rows = 20000  # three row groups
        for begin in range(0, rows, 2500):
            server.sql(token, "INSERT INTO app.log (id, at, level, cost) VALUES " + ", ".join(
                f"({i}, '2024-01-01 0{i // 2500}:00:00', 'level {i // 10000}', {i / 4})" for i in range(begin, begin + 2500)))
        run_job(server, token, "STORAGE FLUSH TABLE app.log")

        def left_out(where):
            plan = server.rows(token, f"EXPLAIN SELECT level, COUNT(*) FROM app.log WHERE {where} GROUP BY level")
            text = next(row[1] for row in plan if row[0] == "engine_plan")
            flat = "".join(character for character in text if character.isalnum() or character in "=,;:")
            assert "Segments:considered=1,pruned=0" in flat, text
            return int(flat.split("rowgroups:considered=")[1].split("pruned=")[1].split("P")[0])

        for where, groups in (("id < 100", 2), ("at >= '2024-01-01 07:00:00'", 2), ("at < '2024-01-01 02:00:00'", 2),
                              ("level = 'level 0'", 1), ("cost > 4999", 2), ("cost >= 0", 0), ("level = 'none'", 3),
                              ("id < 100 AND at > '2024-01-01 06:00:00'", 3)):
            assert left_out(where) == groups, (where, left_out(where))
        # The same, whichever way the rows are left out.
        assert server.rows(token, "SELECT level, COUNT(*) FROM app.log WHERE cost > 4999 GROUP BY level") == [["level 1", "3"]]


def test_schema_changes_reach_cold_rows():
    with ServerProcess(UNLIMITED) as server:
        token = server.login()
        fill(server, token)
        run_job(server, token, "STORAGE FLUSH TABLE app.rooms")
        server.sql(token, "ALTER TABLE app.rooms ADD COLUMN topic TEXT")
        assert server.rows(token, "SELECT room, title, topic FROM app.rooms WHERE room = 'room1'") == [["room1", "Room 1", None]]
        server.sql(token, "UPDATE app.rooms SET topic = 'cats' WHERE room = 'room1'")
        server.sql(token, "ALTER TABLE app.rooms RENAME COLUMN title TO name")
        run_job(server, token, "STORAGE FLUSH TABLE app.rooms")
        run_job(server, token, "STORAGE COMPACT TABLE app.rooms")
        assert server.rows(token, "SELECT room, name, topic FROM app.rooms WHERE room < 'room2' ORDER BY room") == [
            ["room0", "Room 0", None], ["room1", "Room 1", "cats"]]
        server.sql(token, "ALTER TABLE app.rooms DROP COLUMN topic")
        server.sql(token, "ALTER TABLE app.rooms ADD COLUMN topic TEXT")
        assert server.rows(token, "SELECT topic FROM app.rooms WHERE room = 'room1'") == [[None]]


def test_users_see_their_own_rows_and_small_ones_share_a_file():
    with ServerProcess(UNLIMITED) as server:
        token = server.login()
        server.sql(token, "CREATE NAMESPACE app")
        server.sql(token, "CREATE USER TABLE app.notes (id BIGINT PRIMARY KEY, body TEXT)")
        users = [f"user{i}" for i in range(40)]
        for number, user in enumerate(users):
            server.sql(token, f"EXECUTE AS USER '{user}' (INSERT INTO app.notes (id, body) VALUES (1, 'of {user}'), (2, '{number}'))")
        run_job(server, token, "STORAGE FLUSH TABLE app.notes")
        files = parquet_files(server)
        assert len(files) == 1 and "/app/notes/_many/batch-0.parquet" in files[0], files
        for user in users[:5] + users[-2:]:
            rows = server.rows(token, f"EXECUTE AS USER '{user}' (SELECT body FROM app.notes ORDER BY id)")
            assert rows == [[f"of {user}"], [user[4:]]], (user, rows)
        server.sql(token, "EXECUTE AS USER 'user3' (UPDATE app.notes SET body = 'new' WHERE id = 1)")
        assert server.rows(token, "EXECUTE AS USER 'user3' (SELECT body FROM app.notes WHERE id = 1)") == [["new"]]
        assert server.rows(token, "EXECUTE AS USER 'user4' (SELECT COUNT(*) FROM app.notes)") == [["2"]]
        # Few scopes get folders of their own, where tools look for them.
        run_job(server, token, "STORAGE FLUSH TABLE app.notes")
        assert any(file.endswith("/app/notes/user3/batch-0.parquet") for file in parquet_files(server))
        manifests = server.rows(token, "SELECT scope, manifest_json FROM system.manifest WHERE table_name = 'notes' ORDER BY scope")
        assert [row[0] for row in manifests] == ["_many", "user3"], manifests
        run_job(server, token, "STORAGE COMPACT TABLE app.notes")
        assert server.rows(token, "EXECUTE AS USER 'user3' (SELECT body FROM app.notes ORDER BY id)") == [["new"], ["3"]]


def test_small_flushes_do_not_end_in_a_folder_for_everybody():
    with ServerProcess(UNLIMITED) as server:
        token = server.login()
        server.sql(token, "CREATE NAMESPACE app")
        server.sql(token, "CREATE USER TABLE app.notes (id BIGINT PRIMARY KEY, body TEXT)")
        users = [f"user{i}" for i in range(30)]
        for first in range(0, len(users), 6):
            for user in users[first:first + 6]:
                server.sql(token, f"EXECUTE AS USER '{user}' (INSERT INTO app.notes (id, body) VALUES (1, 'of {user}'))")
            run_job(server, token, "STORAGE FLUSH TABLE app.notes")
        # Two flushes of six users fit into sixteen folders; the other three share one.
        folders = sorted(os.path.basename(os.path.dirname(file)) for file in parquet_files(server))
        assert folders == ["_many"] * 3 + sorted(users[:12]), folders
        # Who has a folder goes on in it while they are few.
        server.sql(token, "EXECUTE AS USER 'user2' (INSERT INTO app.notes (id, body) VALUES (2, 'more'))")
        run_job(server, token, "STORAGE FLUSH TABLE app.notes")
        assert any(file.endswith("/app/notes/user2/batch-1.parquet") for file in parquet_files(server)), parquet_files(server)
        for user in users:
            rows = server.rows(token, f"EXECUTE AS USER '{user}' (SELECT body FROM app.notes WHERE id = 1)")
            assert rows == [[f"of {user}"]], (user, rows)


def test_manifest_files_and_drop():
    with ServerProcess(UNLIMITED) as server:
        token = server.login()
        fill(server, token)
        run_job(server, token, "STORAGE FLUSH ALL IN app")
        folder = os.path.dirname([file for file in parquet_files(server) if "/messages/" in file][0])
        with open(os.path.join(folder, "manifest.json"), encoding="utf-8") as file:
            manifest = json.load(file)
        assert manifest["table_id"] == "app.messages" and manifest["user_id"] is None
        segment, = manifest["segments"]
        assert segment["row_count"] == 120 and segment["path"] == "batch-0.parquet", segment
        assert segment["column_stats"]["1"] == {"min": {"Int64": "1"}, "max": {"Int64": "120"}, "null_count": 0}
        assert segment["size_bytes"] == os.path.getsize(os.path.join(folder, "batch-0.parquet"))
        shown = server.rows(token, "SELECT manifest_json FROM system.manifest WHERE table_name = 'messages'")
        assert shown and "batch-0.parquet" in str(shown[0][0])
        assert server.sql(token, "SHOW MANIFEST")["results"][0]["rows"]
        nodes = server.rows(token, "SELECT status FROM system.job_nodes n WHERE job_id LIKE 'FL-%'")
        assert nodes and all(row == ["completed"] for row in nodes), nodes
        message = server.sql(token, "DROP TABLE app.messages")["results"][0]["message"]
        wait_for_jobs(server, token, message)
        assert not [file for file in parquet_files(server) if "/messages/" in file]
        assert not os.path.exists(os.path.join(folder, "manifest.json"))
        # A table of the same name begins empty.
        server.sql(token, "CREATE SHARED TABLE app.messages (id BIGINT PRIMARY KEY, room TEXT)")
        assert server.rows(token, "SELECT COUNT(*) FROM app.messages") == [["0"]]
        server.sql(token, "INSERT INTO app.messages VALUES (1, 'r')")
        run_job(server, token, "STORAGE FLUSH TABLE app.messages")
        assert server.rows(token, "SELECT room FROM app.messages WHERE id = 1") == [["r"]]


def test_segments_whose_rows_are_all_deleted_go_with_their_files():
    with ServerProcess(UNLIMITED) as server:
        token = server.login()
        server.sql(token, "CREATE NAMESPACE app")
        for table, hours in (("kept", 168), ("gone", 0)):
            server.sql(token, f"CREATE SHARED TABLE app.{table} (id BIGINT PRIMARY KEY) WITH (DELETED_RETENTION_HOURS = {hours})")
            for first in (0, 100):
                server.sql(token, f"INSERT INTO app.{table} VALUES " + ", ".join(f"({i})" for i in range(first, first + 100)))
                run_job(server, token, f"STORAGE FLUSH TABLE app.{table}")
            server.sql(token, f"DELETE FROM app.{table} WHERE id >= 0")
            run_job(server, token, f"STORAGE FLUSH TABLE app.{table}")
            run_job(server, token, f"STORAGE COMPACT TABLE app.{table}")

        def segments(table):
            rows = server.rows(token, f"SELECT manifest_json FROM system.manifest WHERE table_name = '{table}'")
            return [segment for row in rows for segment in json.loads(row[0])["segments"]]

        # Within their retention deleted rows can be looked at.
        assert [(segment["row_count"], segment["tombstone_count"]) for segment in segments("kept")] == [(200, 200)]
        assert server.rows(token, "SELECT COUNT(*) FROM app.kept WHERE _deleted = true") == [["200"]]
        assert segments("gone") == []
        assert server.rows(token, "SELECT COUNT(*) FROM app.gone WHERE _deleted = true") == [["0"]]
        # The files go after their grace, which is at least twice what a statement may take; nothing is asked of this server.
        server.stop()
        with open(server.config_path, "w", encoding="utf-8") as config:
            config.write("transaction_timeout_secs = 1\n[execution]\nhandler_timeout_seconds = 1\n"
                         "[flush]\nreplaced_file_grace_seconds = 1\n")
        server.start()
        deadline = time.monotonic() + 60
        while [file for file in parquet_files(server) if "/gone/" in file]:
            assert time.monotonic() < deadline, parquet_files(server)
            time.sleep(0.1)
        server.stop()
        with open(server.config_path, "w", encoding="utf-8") as config:
            config.write(UNLIMITED)
        server.start()
        token = server.login()
        for table in ("kept", "gone"):
            assert server.rows(token, f"SELECT id FROM app.{table}") == []
            server.sql(token, f"INSERT INTO app.{table} VALUES (7)")
            run_job(server, token, f"STORAGE FLUSH TABLE app.{table}")
            assert server.rows(token, f"SELECT id FROM app.{table}") == [["7"]]


def test_policies_and_refusals():
    with ServerProcess(CONFIG) as server:
        token = server.login()
        server.sql(token, "CREATE NAMESPACE app")
        server.sql(token, "CREATE SHARED TABLE app.small (id BIGINT PRIMARY KEY) WITH (FLUSH_POLICY = 'rows:50')")
        server.sql(token, "CREATE SHARED TABLE app.timed (id BIGINT PRIMARY KEY) WITH (FLUSH_POLICY = 'interval:1')")
        server.sql(token, "CREATE STREAM TABLE app.events (id BIGINT) WITH (TTL_SECONDS = 60)")
        server.sql(token, "INSERT INTO app.small VALUES " + ", ".join(f"({i})" for i in range(49)))
        server.sql(token, "INSERT INTO app.timed VALUES (1)")

        def flushes(table):
            return server.rows(token, "SELECT status FROM system.jobs WHERE job_type = 'flush' AND "
                                      f"idempotency_key LIKE 'FL:app:{table}:%'")

        deadline = time.monotonic() + 30
        while ["completed"] not in flushes("timed"):
            assert time.monotonic() < deadline, "the interval did not flush"
            time.sleep(0.05)
        assert flushes("small") == [], "below its limit"
        server.sql(token, "INSERT INTO app.small VALUES (49)")
        while ["completed"] not in flushes("small"):
            assert time.monotonic() < deadline, "the row limit did not flush"
            time.sleep(0.05)
        assert server.rows(token, "SELECT COUNT(*), MAX(id) FROM app.small") == [["50", "49"]]
        for statement, text in [
                ("STORAGE FLUSH TABLE app.events", "STORAGE FLUSH TABLE is not supported for STREAM tables"),
                ("STORAGE COMPACT TABLE app.events", "STORAGE COMPACT TABLE is not supported for STREAM tables"),
                ("STORAGE FLUSH TABLE app.nothing", "Table app.nothing not found"),
                ("STORAGE FLUSH TABLE small", "Table name must be qualified")]:
            status, _, answer = server.request("POST", "/v1/api/sql", {"sql": statement}, {
                "Authorization": f"Bearer {token}", "Content-Type": "application/json"})
            assert status >= 400 and text in answer["error"]["message"], (statement, answer)


def test_a_storage_that_fails_leaves_everything_hot():
    with ServerProcess(UNLIMITED) as server:
        token = server.login()
        fill(server, token)
        # A file where the folder should be: nothing can be put there.
        folder = os.path.join(server.directory, "storage", "app")
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, "messages"), "w", encoding="utf-8"):
            pass
        message = server.sql(token, "STORAGE FLUSH TABLE app.messages")["results"][0]["message"]
        job_id = message.split("Job ID: ")[1]

        def job():
            return server.rows(token, "SELECT status, retry_count, exception_trace FROM system.jobs "
                                      f"WHERE job_id = '{job_id}'")[0]

        deadline = time.monotonic() + 30
        while job()[0] != "retrying":
            assert job()[0] in ("queued", "running", "retrying"), job()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert job()[2], "the reason is told"
        text = server.sql(token, "STORAGE FLUSH TABLE app.messages")["results"][0]["message"]
        assert text == ("Storage flush skipped: a flush is already queued or running for table 'app.messages'"), text
        assert server.rows(token, "SELECT COUNT(*) FROM app.messages") == [["120"]]
        assert parquet_files(server) == []
        assert server.sql(token, f"KILL JOB '{job_id}'")["results"][0]["message"] == f"Job {job_id} killed: cancelled"
        assert job()[0] == "cancelled"
        os.remove(os.path.join(folder, "messages"))
        run_job(server, token, "STORAGE FLUSH TABLE app.messages")
        assert server.rows(token, "SELECT COUNT(*) FROM app.messages") == [["120"]]
        assert len(parquet_files(server)) == 1


async def test_live_queries_read_cold_rows():
    with ServerProcess(UNLIMITED) as server:
        token = server.login()
        fill(server, token)
        run_job(server, token, "STORAGE FLUSH TABLE app.messages")
        server.sql(token, "UPDATE app.messages SET body = 'hot now' WHERE id = 5")
        client = await LiveClient.connect(server, token)
        await client.subscribe("all", "SELECT * FROM app.messages", {"batch_size": 50})
        rows, seqs = [], []
        while True:
            message = await client.receive()
            if message["type"] not in ("subscription_ack", "initial_data_batch"):
                continue
            for row in message.get("rows", []):
                rows.append(row["id"])
                seqs.append(int(row["_seq"]))
            control = message.get("batch_control", {})
            if message["type"] == "initial_data_batch" and control.get("status") == "ready":
                break
            if message["type"] == "initial_data_batch" and control.get("has_more"):
                await client.send({"type": "next_batch", "subscription_id": "all",
                                   "last_seq_id": control.get("last_seq_id")})
        assert sorted(int(i) for i in rows) == list(range(1, 121)), (len(rows), rows[:5])
        # A deletion of a cold row tells its old values.
        server.sql(token, "DELETE FROM app.messages WHERE id = 12")
        change = await client.receive()
        assert change["change_type"] == "delete", change
        assert int(change["old_values"][0]["id"]) == 12 and change["old_values"][0]["body"] == "body 12", change
        await client.close()


if __name__ == "__main__":
    run_tests(globals())

"""One namespace comes back into a server that works: out of a backup of it or of everything, in one moment, or not at all."""
import json
import os
import shutil
import threading
import time

from backup_world import (EXIT_AT_STEP, Elsewhere, answers, fill, newest_job, run_job, start_job,
                          start_job_that_ends_the_server, wait_for_cleanups, wait_for_job)
from files_test import upload
from flush_test import run_job as run_job_of_tables
from server_process import UNLIMITED, LiveClient, ServerProcess, run_tests


def add_files(server, token):
    server.sql(token, "CREATE SHARED TABLE app.docs (id BIGINT PRIMARY KEY, a FILE, place EMBEDDING(2)) WITH (ACCESS_LEVEL = 'PUBLIC')")
    upload(server, token, "INSERT INTO app.docs (id, a, place) VALUES (1, FILE('x'), '[1,2]')", [("x", b"first", "a.txt", "text/plain")])
    upload(server, token, "INSERT INTO app.docs (id, a) VALUES (2, FILE('x'))", [("x", b"second", "b.txt", "text/plain")])
    run_job_of_tables(server, token, "STORAGE FLUSH TABLE app.docs")


def read_file(server, token, row):
    cell = json.loads(server.rows(token, f"SELECT a FROM app.docs WHERE id = {row}")[0][0])
    status, _, content = server.request("GET", f"/v1/files/app/docs/{cell['sub']}/{cell['id']}",
                                        headers={"Authorization": f"Bearer {token}"}, raw=True)
    assert status == 200, (status, content)
    return content


def test_a_namespace_comes_back_while_the_server_works():
    for whole in (False, True):
        with ServerProcess(UNLIMITED) as server, Elsewhere() as place:
            token = server.login()
            fill(server, token)
            add_files(server, token)
            server.sql(token, "CREATE NAMESPACE other")
            server.sql(token, "CREATE SHARED TABLE other.kept (id BIGINT PRIMARY KEY)")
            server.sql(token, "INSERT INTO other.kept (id) VALUES (1)")
            expected = answers(server)
            run_job(server, token, f"BACKUP DATABASE {'' if whole else 'IN app '}TO '{place}'")
            # Everything in it changes: hot, cold, dropped, made anew.
            server.sql(token, "DELETE FROM app.rooms WHERE id < 300")
            server.sql(token, "DROP TABLE app.notes")
            server.sql(token, "CREATE USER TABLE app.notes (id BIGINT PRIMARY KEY, other TEXT)")
            server.sql(token, "INSERT INTO app.notes (id, other) VALUES (1, 'not in the backup')")
            server.sql(token, "CREATE SHARED TABLE app.new_one (id BIGINT PRIMARY KEY)")
            server.sql(token, "DROP VIEW app.big")
            upload(server, token, "UPDATE app.docs SET a = FILE('x') WHERE id = 1", [("x", b"changed", "c.txt", "text/plain")])
            run_job_of_tables(server, token, "STORAGE FLUSH TABLE app.rooms")
            server.sql(token, "INSERT INTO other.kept (id) VALUES (2)")
            message = run_job(server, token, f"RESTORE DATABASE IN app FROM '{place}'")
            assert message.startswith("Namespace 'app' restored from"), message
            assert answers(server) == expected
            assert read_file(server, token, 1) == b"first" and read_file(server, token, 2) == b"second"
            assert server.rows(token, "SELECT id FROM other.kept ORDER BY id") == [["1"], ["2"]]
            server.sql(token, "SELECT * FROM app.new_one", expect=400)
            # What the old tables had goes, and takes nothing of the new ones along.
            wait_for_cleanups(server, token)
            # It goes on from there: writes over hot and cold rows, flush, compaction, restart.
            server.sql(token, "UPDATE app.rooms SET size = -1 WHERE id = 50")
            server.sql(token, "UPDATE app.rooms SET size = 150 WHERE id = 50")
            server.sql(token, "INSERT INTO app.rooms (id, title, size) VALUES (20, 'double', 0)", expect=400)
            again = {query: rows for query, rows in answers(server).items() if "_seq" not in query and "*" not in str(query)}
            assert again == {query: expected[query] for query in again}
            run_job_of_tables(server, token, "STORAGE FLUSH TABLE app.rooms")
            run_job_of_tables(server, token, "STORAGE COMPACT TABLE app.rooms")
            server.stop()
            server.start()
            token = server.login()
            later = {query: rows for query, rows in answers(server).items() if "_seq" not in query and "*" not in str(query)}
            assert later == again
            assert read_file(server, token, 1) == b"first"
            leftovers = server.rows(token, "SELECT COUNT(*) FROM system.tables WHERE namespace_id = 'app'")
            assert leftovers == [["4"]], leftovers


def test_a_namespace_comes_into_another_server_and_live_queries_see_it():
    with ServerProcess(UNLIMITED) as server, Elsewhere() as place:
        token = server.login()
        fill(server, token)
        expected = answers(server)
        run_job(server, token, f"BACKUP DATABASE IN app TO '{place}'")
        names = os.listdir(place)
        with ServerProcess(UNLIMITED + "[retention]\nenable_dba_stats = false\n") as other:
            token = other.login()
            run_job(other, token, f"RESTORE DATABASE IN app FROM '{place}'")
            # Users are not of a namespace.
            assert other.rows(token, "SELECT COUNT(*) FROM system.users WHERE user_id = 'ann'") == [["0"]]
            for user in ("ann", "bob"):
                other.sql(token, f"CREATE USER {user} WITH PASSWORD '{user}-password-1' ROLE user")
            assert answers(other) == expected, names

            import asyncio

            async def subscribe():
                client = await LiveClient.connect(other, other.login("ann", "ann-password-1"))
                acknowledged = await client.subscribe("s", "SELECT id, body FROM app.notes", {})
                assert acknowledged["type"] == "subscription_ack", acknowledged
                first = await client.receive()
                assert len(first["rows"]) == 50, first
                await client.close()

            asyncio.run(subscribe())
            status, message, trace = wait_for_job(other, token, start_job(other, token, f"RESTORE DATABASE FROM '{place}'"))
            assert status == "failed" and "RESTORE DATABASE IN app" in trace, (status, message, trace)
            status, message, trace = wait_for_job(other, token, start_job(other, token, f"RESTORE DATABASE IN elsewhere FROM '{place}'"))
            assert status == "failed" and "namespace 'app' alone" in trace, (status, message, trace)


def test_files_of_a_restored_table_can_be_taken_into_an_index_again():
    with ServerProcess(UNLIMITED) as server, Elsewhere() as place:
        token = server.login()
        fill(server, token)
        run_job_of_tables(server, token, "STORAGE FLUSH ALL IN app")
        expected = answers(server)
        run_job(server, token, f"BACKUP DATABASE IN app TO '{place}'")
        for _ in range(2):
            run_job(server, token, f"RESTORE DATABASE IN app FROM '{place}'")
        wait_for_cleanups(server, token)
        assert server.rows(token, "STORAGE CHECK local EXTENDED")[0][1] == "healthy"
        with ServerProcess(UNLIMITED) as other:
            token = other.login()
            other.sql(token, "CREATE NAMESPACE app")
            other.sql(token, "CREATE SHARED TABLE app.first (id BIGINT PRIMARY KEY)")  # the others get other ids
            other.sql(token, "CREATE SHARED TABLE app.rooms (id BIGINT PRIMARY KEY, title TEXT, size INT)")
            other.sql(token, "CREATE USER TABLE app.notes (id BIGINT PRIMARY KEY, body TEXT)")
            shutil.copytree(os.path.join(server.directory, "storage"), os.path.join(other.directory, "storage"), dirs_exist_ok=True)
            for table in ("rooms", "notes"):
                message = run_job(other, token, f"STORAGE REBUILD TABLE app.{table}")
                assert "0 damaged" in message and "Found" not in message, message
            for user in ("ann", "bob"):
                other.sql(token, f"CREATE USER {user} WITH PASSWORD '{user}-password-1' ROLE user")
                own = other.login(user, f"{user}-password-1")
                query = "SELECT * FROM app.notes ORDER BY id"
                assert other.rows(own, query) == expected[(user, query)]
            for query, rows in expected.items():
                if isinstance(query, str) and "app.rooms" in query:
                    assert other.rows(token, query) == rows, query
            # Files of a dropped table that wait for their deletion are not taken into the next one of its name.
            other.sql(token, "DROP TABLE app.rooms")
            other.sql(token, "CREATE SHARED TABLE app.rooms (id BIGINT PRIMARY KEY, title TEXT, size INT)")
            message = run_job(other, token, "STORAGE REBUILD TABLE app.rooms")
            assert "0 segments" in message, message
            assert other.rows(token, "SELECT COUNT(*) FROM app.rooms") == [["0"]]


def test_flush_policies_see_the_rows_that_came_back():
    with Elsewhere() as place:
        with ServerProcess(UNLIMITED + "[flush]\ncheck_interval_seconds = 0\n") as server:
            token = server.login()
            server.sql(token, "CREATE NAMESPACE app")
            server.sql(token, "CREATE SHARED TABLE app.rooms (id BIGINT PRIMARY KEY) WITH (FLUSH_POLICY = 'rows:20')")
            server.sql(token, "INSERT INTO app.rooms (id) VALUES " + ", ".join(f"({i})" for i in range(20)))
            run_job(server, token, f"BACKUP DATABASE IN app TO '{place}'")
        with ServerProcess(UNLIMITED + "[flush]\ncheck_interval_seconds = 1\n") as server:
            token = server.login()
            run_job(server, token, f"RESTORE DATABASE IN app FROM '{place}'")
            # Nobody writes and nobody restarts: the rows are due because they are there. A flush in the last moments of the
            # restore may find none of them yet.
            deadline = time.monotonic() + 30
            flushed = "SELECT message FROM system.jobs WHERE job_type = 'flush' AND status = 'completed'"
            while not any("20 rows" in message for message, in server.rows(token, flushed)):
                assert time.monotonic() < deadline, server.rows(token, flushed)
                time.sleep(0.05)
            assert server.rows(token, "SELECT COUNT(*) FROM app.rooms") == [["20"]]


def test_a_flipped_bit_leaves_the_namespace_as_it_is():
    with ServerProcess(UNLIMITED) as server, Elsewhere() as place:
        token = server.login()
        fill(server, token)
        run_job(server, token, f"BACKUP DATABASE IN app TO '{place}'")
        with open(os.path.join(place, "backup.json"), encoding="utf-8") as file:
            listed = json.load(file)["files"]
        server.sql(token, "DELETE FROM app.rooms WHERE id = 100")
        before = answers(server)
        for wanted in (".sst", ".parquet"):
            victim = next(entry["stored"] for entry in listed if entry["path"].endswith(wanted))
            path = os.path.join(place, victim)
            with open(path, "r+b") as file:
                file.seek(100)
                byte = file.read(1)[0]
                file.seek(100)
                file.write(bytes([byte ^ 1]))
            status, message, trace = wait_for_job(server, token, start_job(server, token, f"RESTORE DATABASE IN app FROM '{place}'"))
            assert status == "failed" and victim in trace, (status, message, trace)
            assert answers(server) == before
            with open(path, "r+b") as file:
                file.seek(100)
                file.write(bytes([byte]))


def test_no_step_of_a_restore_can_be_cut_off_with_harm():
    with ServerProcess(UNLIMITED) as server, Elsewhere() as place:
        token = server.login()
        fill(server, token)
        expected = answers(server)
        run_job(server, token, f"BACKUP DATABASE TO '{place}'")
        for step in ("restore.fetched:1", "restore.verified", "restore.planned", "restore.put", "restore.rows", "restore.prepared",
                     "restore.committed"):
            token = server.login()
            server.sql(token, "INSERT INTO app.rooms (id, title, size) VALUES (5000, 'after the backup', 0)")
            with_more = answers(server)
            server.stop()
            server.environment["KALAMDB_END_AT"] = step
            server.start()
            start_job_that_ends_the_server(server, server.login(), f"RESTORE DATABASE IN app FROM '{place}'")
            assert server.process.wait(60) == EXIT_AT_STEP, step
            # Without jobs that run, what is there is the old or the new namespace, whole.
            server.environment["KALAMDB_END_AT"] = "restore.fetched"
            server.start()
            try:
                found = answers(server)
                assert found == (expected if step == "restore.committed" else with_more), step
            except (ConnectionError, OSError):
                pass  # the job was faster
            except Exception as error:  # noqa: BLE001 - http.client names several for a lost connection
                if type(error).__module__ != "http.client":
                    raise
            server.process.kill()
            server.process.wait()
            server.environment.pop("KALAMDB_END_AT")
            server.start()
            token = server.login()
            status = wait_for_job(server, token, newest_job(server, token, "restore"))
            assert status[0] == "completed", (step, status)
            assert answers(server) == expected, step
            files = [name for folder, _, names in os.walk(os.path.join(server.directory, "storage")) for name in names
                     if name.endswith(".parquet")]
            deadline = time.monotonic() + 60
            while len(files) > 3 and time.monotonic() < deadline:
                time.sleep(0.1)
                files = [name for folder, _, names in os.walk(os.path.join(server.directory, "storage")) for name in names
                         if name.endswith(".parquet")]
            assert len(files) == 3, (step, files)


def test_a_killed_restore_leaves_nothing():
    with ServerProcess(UNLIMITED) as server, Elsewhere() as place:
        token = server.login()
        fill(server, token)
        run_job(server, token, f"BACKUP DATABASE TO '{place}'")
        before = answers(server)
        job = start_job(server, token, f"RESTORE DATABASE IN app FROM '{place}'")
        status, _, answer = server.request("POST", "/v1/api/sql", {"sql": f"KILL JOB '{job}'"}, {
            "Authorization": f"Bearer {token}", "Content-Type": "application/json"})
        ended = wait_for_job(server, token, job)
        assert ended[0] == ("cancelled" if status == 200 else "completed"), (status, answer, ended)
        assert answers(server) == before
        nodes = server.rows(token, f"SELECT status FROM system.job_nodes WHERE job_id = '{job}'")
        assert nodes == [[ended[0]]], nodes


def test_writers_of_other_namespaces_go_on():
    with ServerProcess(UNLIMITED) as server, Elsewhere() as place:
        token = server.login()
        fill(server, token)
        server.sql(token, "CREATE NAMESPACE other")
        server.sql(token, "CREATE SHARED TABLE other.kept (id BIGINT PRIMARY KEY)")
        run_job(server, token, f"BACKUP DATABASE IN app TO '{place}'")
        expected = answers(server)
        stopping, written, failures = [], [], []

        def write():
            i = 0
            while not stopping:
                i += 1
                try:
                    server.sql(token, f"INSERT INTO other.kept (id) VALUES ({i})")
                    written.append(i)
                except Exception as error:  # noqa: BLE001 - told by the test
                    failures.append(error)
                    return

        writer = threading.Thread(target=write)
        writer.start()
        for _ in range(3):
            run_job(server, token, f"RESTORE DATABASE IN app FROM '{place}'")
            assert answers(server) == expected
        stopping.append(True)
        writer.join(30)
        assert not failures, failures
        assert server.rows(token, "SELECT COUNT(*) FROM other.kept") == [[str(len(written))]]


if __name__ == "__main__":
    run_tests(globals())

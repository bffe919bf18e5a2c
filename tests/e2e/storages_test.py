"""Storages end to end: rows flushed to an S3 server and to Azurite and read back; a storage that is down; secrets in no log."""
import json
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "object_stores"))
from files_test import get, upload  # noqa: E402
from server_process import UNLIMITED, ServerProcess, run_tests  # noqa: E402
from stores import AzureServer, S3Server  # noqa: E402

# What answers at all may take its time on a busy machine; what fails is not tried for long.
CONFIG = UNLIMITED + "[storage.remote_timeouts]\nconnect = 60\nrequest = 60\nretry = 1\n"
UNCACHED = CONFIG.replace("[storage.remote_timeouts]", "[storage]\nremote_cache_size = 0\n[storage.remote_timeouts]")
NO_PROXY = {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}


def create(server, token, candidate):
    text = f"CREATE STORAGE {candidate['name']} TYPE {candidate['type']} BASE_DIRECTORY '{candidate['base_directory']}'"
    for clause in ("config", "credentials"):
        text += f" {clause.upper()} '{json.dumps(candidate[clause])}'"
    return server.sql(token, text)


def wait_for_job(server, token, message):
    job = message.split("Job ID: ")[1]
    for _ in range(3600):
        status = server.rows(token, f"SELECT status, exception_trace FROM system.jobs WHERE job_id = '{job}'")[0]
        if status[0] in ("completed", "failed", "cancelled", "skipped"):
            assert status[0] == "completed", status
            return
        time.sleep(0.05)
    raise AssertionError("the job does not end")


def flush_and_read(server, token, storage):
    table = f"cold.t_{storage}"
    server.sql(token, f"CREATE SHARED TABLE {table} (id BIGINT PRIMARY KEY, body TEXT) WITH (STORAGE_ID = '{storage}')")
    values = ", ".join(f"({i}, 'row {i}')" for i in range(200))
    server.sql(token, f"INSERT INTO {table} (id, body) VALUES {values}")
    wait_for_job(server, token, server.sql(token, f"STORAGE FLUSH TABLE {table}")["results"][0]["message"])
    assert server.rows(token, f"SELECT body FROM {table} WHERE id = 77") == [["row 77"]]
    assert server.rows(token, f"SELECT COUNT(*) FROM {table}") in ([["200"]], [[200]])
    return table


def test_rows_in_object_stores():
    with S3Server() as s3, AzureServer() as azure, ServerProcess(CONFIG, NO_PROXY) as server:
        token = server.login()
        server.sql(token, "CREATE NAMESPACE cold")
        for candidate in (s3.candidates()[0], s3.candidates()[3], azure.candidates()[0]):
            create(server, token, candidate)
            checked = server.rows(token, f"STORAGE CHECK {candidate['name']}")[0]
            assert checked[1] == "healthy", checked
            flush_and_read(server, token, candidate["name"])
        # Credentials that are given in CONFIG are credentials all the same.
        first = s3.candidates()[0]
        create(server, token, {**first, "name": "careless", "config": {**first["config"], **first["credentials"]}, "credentials": {}})
        assert server.rows(token, "STORAGE CHECK careless")[0][1] == "healthy"
        shown = json.dumps(server.sql(token, "SHOW STORAGES"))
        logged = "".join(server.log)
        for secret in (s3.keys["secret_access_key"], "BEGIN PRIVATE KEY", "Eby8vdM02xNOcqFlq"):
            assert secret not in shown and secret not in logged
        assert "***" in shown


def test_a_storage_that_is_down():
    with ServerProcess(CONFIG, NO_PROXY) as server:
        token = server.login()
        server.sql(token, "CREATE NAMESPACE cold")
        with S3Server() as s3:
            create(server, token, s3.candidates()[0])
        begin = time.monotonic()
        checked = server.rows(token, "STORAGE CHECK s3")[0]
        assert checked[1] == "unreachable", checked
        assert "Storage 's3' did not write" in checked[9], checked
        refused = create_refused(server, token, s3.candidates()[1])
        assert "Storage connectivity check failed for 's3_session'" in refused, refused
        assert time.monotonic() - begin < 55  # less than one request may take
        # Rows stay hot and are read as ever.
        server.sql(token, "CREATE SHARED TABLE cold.t (id BIGINT PRIMARY KEY) WITH (STORAGE_ID = 's3')")
        server.sql(token, "INSERT INTO cold.t (id) VALUES (1)")
        server.sql(token, "STORAGE FLUSH TABLE cold.t")
        assert server.rows(token, "SELECT COUNT(*) FROM cold.t") in ([["1"]], [[1]])
        code, seconds = server.stop(60)
        assert code == 0 and seconds < 30, (code, seconds)


def refused(server, token, statement):
    answer = server.sql(token, statement, expect=500)
    assert answer["error"]["code"] == "STORAGE_IO", answer
    return answer["error"]["message"]


def cold_reads(table):
    """One that needs a row, one that needs a column, natively and by the engine."""
    return [f"SELECT body FROM {table} WHERE id = 150", f"SELECT MAX(body) FROM {table}",
            f"SELECT body, COUNT(*) FROM {table} GROUP BY body", f"DELETE FROM {table} WHERE id = 150"]


def test_cold_rows_of_a_storage_that_is_down():
    with ServerProcess(UNCACHED, NO_PROXY) as server:
        token = server.login()
        server.sql(token, "CREATE NAMESPACE cold")
        folder = os.path.join(server.temporary.name, "disk")
        server.sql(token, f"CREATE STORAGE disk TYPE filesystem PATH '{folder}'")
        with S3Server() as s3:
            create(server, token, s3.candidates()[0])
            for storage in ("disk", "s3"):
                server.sql(token, f"INSERT INTO {flush_and_read(server, token, storage)} (id, body) VALUES (1000, 'hot')")
        os.rename(folder, folder + "-away")
        server.stop()
        server.start()
        token = server.login()
        for statement in cold_reads("cold.t_disk"):
            assert f"Storage 'disk' cannot reach its folder {folder}" in refused(server, token, statement), statement
        begin = time.monotonic()
        for statement in cold_reads("cold.t_s3"):
            assert "Storage 's3' did not read 'cold/t_s3/batch-0.parquet'" in refused(server, token, statement), statement
        # After the first one nobody waits for it any more.
        assert "tried once" in refused(server, token, "SELECT body FROM cold.t_s3 WHERE id = 150")
        assert time.monotonic() - begin < 55
        for storage in ("disk", "s3"):
            assert server.rows(token, f"SELECT body FROM cold.t_{storage} WHERE id = 1000") == [["hot"]]
            server.sql(token, f"INSERT INTO cold.t_{storage} (id, body) VALUES (1001, 'new')")
        os.rename(folder + "-away", folder)
        assert server.rows(token, "SELECT COUNT(*) FROM cold.t_disk") == [["202"]]
        assert server.rows(token, "SELECT MAX(body) FROM cold.t_disk") == [["row 99"]]


def test_files_of_a_storage_that_is_down():
    with ServerProcess(UNCACHED, NO_PROXY) as server:
        root = server.login()
        server.sql(root, "CREATE NAMESPACE cold")
        server.sql(root, "CREATE USER ann WITH PASSWORD 'password-ann' ROLE 'user'")
        ann = server.login("ann", "password-ann")
        with S3Server() as s3:
            create(server, root, s3.candidates()[0])
            server.sql(root, "CREATE SHARED TABLE cold.docs (id BIGINT PRIMARY KEY, a FILE) WITH (STORAGE_ID = 's3', ACCESS_LEVEL = 'PUBLIC')")
            upload(server, root, "INSERT INTO cold.docs VALUES (1, FILE('x'))", [("x", b"content", "a.txt", "text/plain")])
            reference = json.loads(server.rows(root, "SELECT a FROM cold.docs")[0][0])
            path = f"/v1/files/cold/docs/{reference['sub']}/{reference['id']}"
            status, _, content = get(server, ann, path, {"Range": "bytes=3-"})
            assert (status, content) == (206, b"tent")
        for headers in ({}, {"Range": "bytes=3-"}):
            status, answer, content = get(server, root, path, headers)
            error = json.loads(content)["error"]
            assert (status, error["code"]) == (500, "STORAGE_IO") and "Storage 's3' did not read" in error["message"], content
            assert answer.getheader("ETag") is None
        # Where it lies concerns those who run the server.
        status, _, content = get(server, ann, path)
        error = json.loads(content)["error"]
        assert (status, error["code"], error["message"]) == (500, "STORAGE_IO", "The file cannot be read"), content
        # What is known without the storage is answered as ever.
        assert get(server, ann, path, method="HEAD")[1].getheader("Content-Length") == "7"
        assert get(server, ann, path, {"If-None-Match": "*"})[0] == 304
        answer = upload(server, root, "INSERT INTO cold.docs VALUES (2, FILE('x'))", [("x", b"content", "a.txt", "text/plain")], expect=500)
        assert answer["error"]["code"] == "STORAGE_IO", answer
        assert server.rows(root, "SELECT id FROM cold.docs") == [["1"]]


def test_a_dropped_storage_leaves_no_files_of_dropped_tables():
    with ServerProcess(CONFIG, NO_PROXY) as server:
        token = server.login()
        server.sql(token, "CREATE NAMESPACE cold")
        folder = os.path.join(server.temporary.name, "disk")
        server.sql(token, f"CREATE STORAGE disk TYPE filesystem PATH '{folder}'")
        flush_and_read(server, token, "disk")
        assert os.listdir(os.path.join(folder, "cold", "t_disk"))
        server.sql(token, "DROP TABLE cold.t_disk; DROP STORAGE disk")
        assert [names for _, _, names in os.walk(folder) if names] == []
        with S3Server() as s3:
            create(server, token, s3.candidates()[0])
            flush_and_read(server, token, "s3")
        message = server.sql(token, "DROP TABLE cold.t_s3")["results"][0]["message"]
        answer = server.sql(token, "DROP STORAGE s3", expect=400)
        assert "the files of 1 dropped table(s) are still to be removed" in answer["error"]["message"], answer
        server.sql(token, f"KILL JOB '{message.split('Cleanup job: ')[1]}'")
        server.sql(token, "DROP STORAGE s3")


def create_refused(server, token, candidate):
    text = f"CREATE STORAGE {candidate['name']} TYPE s3 BASE_DIRECTORY '{candidate['base_directory']}'"
    for clause in ("config", "credentials"):
        text += f" {clause.upper()} '{json.dumps(candidate[clause])}'"
    answer = server.sql(token, text, expect=400)
    assert candidate["credentials"]["secret_access_key"] not in json.dumps(answer), answer
    return answer["error"]["message"]


if __name__ == "__main__":
    run_tests(globals())

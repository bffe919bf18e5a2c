"""EXPORT USER DATA: one's own rows and files as a zip, opened by others' software, and for nobody else."""
import csv
import io
import json
import os
import sys
import tempfile
import time
import zipfile

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "parquet"))
from backup_world import wait_for_job  # noqa: E402
from files_test import upload  # noqa: E402
from flush_test import run_job as run_job_of_tables  # noqa: E402
from parquet import read_parquet  # noqa: E402
from server_process import UNLIMITED, ServerProcess, run_tests  # noqa: E402


def export(server, token):
    """Runs an export to its end: what SHOW EXPORT says of it."""
    message = server.sql(token, "EXPORT USER DATA")["results"][0]["message"]
    assert message.startswith("User data export started. Job ID: UE-"), message
    assert message.endswith(". Use SHOW EXPORT to check status and get the download link."), message
    job_id = message.split("Job ID: ")[1].split(".")[0]
    deadline = time.monotonic() + 60
    while True:
        found = [row for row in server.rows(token, "SHOW EXPORT") if row[0] == job_id]
        assert len(found) == 1, found
        if found[0][1] not in ("queued", "running", "retrying"):
            return found[0]
        assert time.monotonic() < deadline, found
        time.sleep(0.02)


def download(server, token, url):
    path = url.split(f"127.0.0.1:{server.port}")[1]
    return server.request("GET", path, headers={"Authorization": f"Bearer {token}"}, raw=True)


def fill(server, root):
    server.sql(root, "CREATE NAMESPACE app")
    server.sql(root, "CREATE USER TABLE app.notes (id BIGINT PRIMARY KEY, body TEXT, at TIMESTAMP, price DECIMAL(10,2), "
                     "ok BOOLEAN, doc JSON, picture FILE)")
    server.sql(root, "CREATE USER TABLE app.empty (id BIGINT PRIMARY KEY)")
    server.sql(root, "CREATE SHARED TABLE app.everybody (id BIGINT PRIMARY KEY) WITH (ACCESS_LEVEL = 'PUBLIC')")
    server.sql(root, "INSERT INTO app.everybody (id) VALUES (1)")
    tokens = {}
    for user in ("ann", "bob", "new"):
        server.sql(root, f"CREATE USER {user} WITH PASSWORD '{user}-password-1' ROLE user")
        tokens[user] = server.login(user, f"{user}-password-1")
    for user in ("ann", "bob"):
        server.sql(tokens[user], "INSERT INTO app.notes (id, body, at, price, ok, doc) VALUES "
                                 f"(1, '{user} says \"hi\", twice', '2026-01-02 03:04:05', 12.30, true, '{{\"a\":1}}'), "
                                 f"(2, '', NULL, NULL, false, NULL), (3, NULL, NULL, -0.01, NULL, '[]'), (4, 'gone', NULL, 1, NULL, NULL)")
        upload(server, tokens[user], "UPDATE app.notes SET picture = FILE('p') WHERE id = 1",
               [("p", b"a picture of " + user.encode(), "me.txt", "text/plain")])
    # Cold, cold and deleted, cold and changed, hot.
    run_job_of_tables(server, root, "STORAGE FLUSH TABLE app.notes")
    server.sql(tokens["ann"], "DELETE FROM app.notes WHERE id = 4")
    server.sql(tokens["ann"], "UPDATE app.notes SET body = 'changed' WHERE id = 3")
    server.sql(tokens["ann"], "INSERT INTO app.notes (id, body) VALUES (5, 'zwölf\nlines')")
    return tokens


def test_an_export_holds_ones_own_rows_and_nobody_elses():
    with ServerProcess(UNLIMITED) as server:
        tokens = fill(server, server.login())
        job_id, status, _, message, url = export(server, tokens["ann"])
        assert status == "completed" and message.startswith("Exported 1 Parquet files ("), (status, message)
        code, answer, content = download(server, tokens["ann"], url)
        assert code == 200 and answer.getheader("Content-Type") == "application/zip", (code, content[:200])
        name = url.rsplit("/", 1)[1]
        assert name.startswith("export-ann-"), name
        assert answer.getheader("Content-Disposition") == f'attachment; filename="{name}.zip"'
        assert content[:2] == b"PK"
        archive = zipfile.ZipFile(io.BytesIO(content))
        assert archive.testzip() is None
        names = sorted(archive.namelist())
        assert names[0] == "app/notes/batch-0.parquet" and names[2] == "app/notes/rows.csv" and len(names) == 3, names
        assert names[1].startswith("app/notes/files/f0001/"), names
        assert archive.read(names[1]) == b"a picture of ann"

        shown = server.rows(tokens["ann"], "SELECT id, body, at, price, ok, doc, picture, _seq FROM app.notes ORDER BY id")
        assert [row[0] for row in shown] == ["1", "2", "3", "5"], shown
        with tempfile.TemporaryDirectory() as folder:
            found = read_parquet(archive.extract(names[0], folder))
        assert found["columns"] == ["id", "body", "at", "price", "ok", "doc", "picture", "_seq"], found["columns"]
        assert [row["id"] for row in found["rows"]] == ["1", "2", "3", "5"], found["rows"]
        for row, expected in zip(found["rows"], shown):
            assert row["body"] == expected[1] and row["ok"] == expected[4] and row["_seq"] == expected[7], (row, expected)
        assert found["rows"][0]["at"].startswith("2026-01-02T03:04:05"), found["rows"][0]
        assert abs(float(found["rows"][0]["price"]) - 12.30) < 1e-9, found["rows"][0]

        rows = list(csv.DictReader(io.StringIO(archive.read("app/notes/rows.csv").decode(), newline="")))
        assert [row["id"] for row in rows] == ["1", "2", "3", "5"], rows
        assert rows[0]["body"] == 'ann says "hi", twice' and rows[3]["body"] == "zwölf\nlines", rows
        assert rows[0]["price"] == "12.30" and rows[2]["price"] == "-0.01" and rows[1]["price"] == "", rows
        assert json.loads(rows[0]["doc"]) == {"a": 1}, rows[0]
        text = archive.read("app/notes/rows.csv").decode()
        assert '\r\n2,"",,' in text and "\r\n3,changed,,-0.01," in text, text


def test_exports_are_for_their_users():
    with ServerProcess(UNLIMITED) as server:
        root = server.login()
        tokens = fill(server, root)
        url = export(server, tokens["ann"])[4]
        assert server.rows(tokens["bob"], "SHOW EXPORT") == []
        code, _, content = download(server, tokens["bob"], url)
        assert code == 403 and json.loads(content)["error"]["code"] == "PERMISSION_DENIED", (code, content)
        assert download(server, root, url)[0] == 200, "an administrator may have it"
        assert server.request("GET", "/v1/exports/ann/x", raw=True)[0] == 401
        for path, expected, said in (("/v1/exports/ann/export-ann-20000101-000000", 404, b"EXPORT_NOT_FOUND"),
                                     ("/v1/exports/ann/..%2Fbob", 400, b"INVALID_INPUT"),
                                     ("/v1/exports/ann/a/b", 400, b"INVALID_INPUT"),
                                     ("/v1/exports/ann%2F..%2Fbob/x", 400, b"INVALID_INPUT"),
                                     ("/v1/exports/ann", 400, b"INVALID_INPUT"),
                                     ("/v1/exports/ann/%00", 400, b"INVALID_INPUT"),
                                     ("/v1/exports/../jwt_secret", 400, b"INVALID_INPUT")):
            code, _, content = server.request("GET", path, headers={"Authorization": f"Bearer {tokens['ann']}"}, raw=True)
            assert code == expected and said in content, (path, code, content)
        code, _, content = server.request("HEAD", url.split(f":{server.port}")[1],
                                          headers={"Authorization": f"Bearer {tokens['ann']}"}, raw=True)
        assert code == 200 and content == b""


def test_without_rows_there_is_nothing_to_download():
    with ServerProcess(UNLIMITED) as server:
        root = server.login()
        server.sql(root, "CREATE USER ann WITH PASSWORD 'ann-password-1' ROLE user")
        ann = server.login("ann", "ann-password-1")
        assert server.rows(ann, "SHOW EXPORT") == []
        server.sql(root, "CREATE NAMESPACE app")
        _, status, _, message, url = export(server, ann)
        assert (status, message, url) == ("skipped", "No user tables found to export", ""), (status, message, url)
        server.sql(root, "CREATE USER TABLE app.notes (id BIGINT PRIMARY KEY)")
        _, status, _, message, url = export(server, ann)
        assert (status, message, url) == ("skipped", "No data found for this user in any table", ""), (status, message, url)
        assert len(server.rows(ann, "SHOW EXPORT")) == 2
        server.sql(ann, "EXPORT USER DATA now", expect=400)
        # Somebody else's rows, as an administrator may have them.
        server.sql(root, "EXECUTE AS USER 'ann' (INSERT INTO app.notes (id) VALUES (1))")
        assert export(server, ann)[1] == "completed"


def test_a_restart_finishes_an_export():
    with ServerProcess(UNLIMITED) as server:
        root = server.login()
        tokens = fill(server, root)
        message = server.sql(tokens["ann"], "EXPORT USER DATA")["results"][0]["message"]
        server.process.kill()
        server.process.wait()
        server.start()
        status, message, trace = wait_for_job(server, server.login(), message.split("Job ID: ")[1].split(".")[0])
        assert status == "completed", (status, message, trace)
        ann = server.login("ann", "ann-password-1")
        rows = server.rows(ann, "SHOW EXPORT")
        assert len(rows) == 1 and download(server, ann, rows[0][4])[0] == 200, rows


if __name__ == "__main__":
    run_tests(globals())

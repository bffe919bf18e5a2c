"""FILE columns over sockets: uploads with all their limits, downloads with ranges, and that no file outlives its rows."""
import hashlib
import http.client
import json
import os
import socket
import subprocess
import time
import uuid

from server_process import BINARIES, LiveClient, ServerProcess, UNLIMITED, run_tests

PNG = b"\x89PNG\r\n\x1a\n" + b"pixels"


def form(parts):
    """`parts`: (name, content) or (name, content, file name, content type)."""
    boundary = "b" + uuid.uuid4().hex
    body = b""
    for part in parts:
        name, content = part[0], part[1]
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"'
        if len(part) > 2:
            head += f'; filename="{part[2]}"\r\nContent-Type: {part[3]}'
        body += head.encode() + b"\r\n\r\n" + (content if isinstance(content, bytes) else content.encode()) + b"\r\n"
    return body + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


def upload(server, token, sql, files=(), params=None, expect=200, namespace=None):
    parts = [("sql", sql)]
    if params is not None:
        parts.append(("params", json.dumps(params)))
    if namespace:
        parts.append(("namespace_id", namespace))
    parts += [("file:" + name, content, file_name, mime) for name, content, file_name, mime in files]
    body, content_type = form(parts)
    status, _, answer = server.request("POST", "/v1/api/sql", body, {
        "Authorization": f"Bearer {token}", "Content-Type": content_type})
    assert status == expect, (sql, status, answer)
    return answer


def code(answer):
    return answer["error"]["code"]


def get(server, token, path, headers=None, method="GET"):
    wanted = {"Authorization": f"Bearer {token}"} if token else {}
    wanted.update(headers or {})
    return server.request(method, path, headers=wanted, raw=True)


def url(reference, table="docs", query="", prefix="/v1/files"):
    reference = json.loads(reference)
    return f"{prefix}/app/{table}/{reference['sub']}/{reference['id']}{query}"


def stored(server):
    found = []
    for folder, _, names in os.walk(os.path.join(server.directory, "storage")):
        found += [os.path.join(folder, name) for name in names if os.path.basename(folder).startswith("f0")]
    return found


def staged(server):
    folder = os.path.join(server.directory, "tmp")
    return [name for name in os.listdir(folder) if name.startswith("upload-")] if os.path.isdir(folder) else []


def wait_for(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


def prepare(server):
    root = server.login()
    server.sql(root, "CREATE NAMESPACE app")
    server.sql(root, "CREATE USER TABLE app.docs (id BIGINT PRIMARY KEY, name TEXT, a FILE, b FILE)")
    server.sql(root, "CREATE SHARED TABLE app.shared (id BIGINT PRIMARY KEY, a FILE) WITH (ACCESS_LEVEL='PUBLIC')")
    server.sql(root, "CREATE SHARED TABLE app.hidden (id BIGINT PRIMARY KEY, a FILE)")
    server.sql(root, "CREATE STREAM TABLE app.events (id BIGINT, a FILE) WITH (TTL_SECONDS=60)")
    server.sql(root, "CREATE USER ann WITH PASSWORD 'password-ann' ROLE 'user'")
    server.sql(root, "CREATE USER bob WITH PASSWORD 'password-bob' ROLE 'user'")
    return root, server.login("ann", "password-ann"), server.login("bob", "password-bob")


QUICK = UNLIMITED + "[files]\ndeletion_delay_seconds = 0\n"


def test_upload_and_download():
    with ServerProcess(QUICK) as server:
        root, ann, _ = prepare(server)
        answer = upload(server, ann, "INSERT INTO app.docs (id, name, a, b) VALUES ($1, $2, FILE('x'), FILE(\"y\"))",
                        [("x", PNG, "My Photo.PNG", "text/html"), ("y", b"<p>hi</p>", "page.html", "image/png")],
                        params=[1, "first"])
        assert answer["results"][0]["message"] == "Inserted 1 row(s)", answer
        result = server.sql(ann, "SELECT a, b FROM app.docs WHERE id = 1")["results"][0]
        assert [column["data_type"] for column in result["schema"]] == ["File", "File"], result
        a, b = (json.loads(cell) for cell in result["rows"][0])
        assert list(a) == ["id", "sub", "name", "size", "mime", "sha256"], a
        assert a["sub"] == "f0001" and a["name"] == "My Photo.PNG" and a["size"] == len(PNG), a
        assert a["mime"] == "image/png" and b["mime"] == "text/html", (a, b)
        assert a["sha256"] == hashlib.sha256(PNG).hexdigest()
        # Where engine-independent tools look for it.
        path = os.path.join(server.directory, "storage", "app", "docs", "ann", "f0001", a["id"] + "-my-photo.png")
        assert open(path, "rb").read() == PNG
        assert staged(server) == []
        for target in (f"/v1/files/app/docs/f0001/{a['id']}-my-photo.png", f"/api/v1/files/app/docs/f0001/{a['id']}"):
            status, answer, content = get(server, ann, target)
            assert (status, content) == (200, PNG), (status, content)
            assert answer.getheader("Content-Type") == "image/png"
            assert answer.getheader("Content-Disposition") == 'inline; filename="My Photo.PNG"'
            assert answer.getheader("X-Content-Type-Options") == "nosniff"
            assert answer.getheader("Accept-Ranges") == "bytes"
        status, answer, _ = get(server, ann, f"/v1/files/app/docs/f0001/{b['id']}")
        assert status == 200 and answer.getheader("Content-Disposition").startswith("attachment"), answer.getheaders()
        status, answer, content = get(server, ann, f"/v1/files/app/docs/f0001/{a['id']}", method="HEAD")
        assert status == 200 and content == b"" and answer.getheader("Content-Length") == str(len(PNG))
        # A shared table, and a file of nothing.
        upload(server, root, "INSERT INTO shared VALUES (1, FILE('x'))", [("x", b"", "empty.txt", "")], namespace="app")
        reference = server.rows(root, "SELECT a FROM app.shared")[0][0]
        assert get(server, ann, url(reference, "shared"))[::2] == (200, b"")


def test_ranges_and_tags():
    with ServerProcess(QUICK) as server:
        _, ann, _ = prepare(server)
        content = bytes(range(256)) * 4096  # 1 MiB
        upload(server, ann, "INSERT INTO app.docs (id, a) VALUES (1, FILE('x'))", [("x", content, "data.bin", "")])
        path = url(server.rows(ann, "SELECT a FROM app.docs")[0][0])
        status, answer, body = get(server, ann, path)
        assert (status, body) == (200, content)
        tag = answer.getheader("ETag")
        assert tag == '"' + hashlib.sha256(content).hexdigest() + '"'
        for header, begin, end in (("bytes=0-9", 0, 10), ("bytes=1048570-", 1048570, 1048576),
                                   ("bytes=-5", 1048571, 1048576), ("bytes=1000-600000", 1000, 600001)):
            status, answer, body = get(server, ann, path, {"Range": header})
            assert (status, body) == (206, content[begin:end]), (header, status, len(body))
            assert answer.getheader("Content-Range") == f"bytes {begin}-{end - 1}/1048576"
        status, answer, _ = get(server, ann, path, {"Range": "bytes=1048576-"})
        assert status == 416 and answer.getheader("Content-Range") == "bytes */1048576"
        status, answer, body = get(server, ann, path, {"If-None-Match": f'"x", {tag}'})
        assert (status, body) == (304, b"") and answer.getheader("ETag") == tag
        assert get(server, ann, path, {"Range": "bytes=0-9", "If-Range": '"other"'})[0] == 200
        assert get(server, ann, path, {"Range": "bytes=0-9", "If-Range": tag})[0] == 206


def test_limits_and_errors():
    config = QUICK + "max_size_bytes = 1000\nmax_files_per_request = 2\nallowed_mime_types = [\"image/*\", \"text/plain\"]\n"
    with ServerProcess(config) as server:
        root, ann, _ = prepare(server)
        insert = "INSERT INTO app.docs (id, a) VALUES (1, FILE('x'))"
        small = ("x", PNG, "a.png", "image/png")
        upload(server, ann, insert, [("x", b"t" * 1000, "a.txt", "")])
        server.sql(ann, "DELETE FROM app.docs WHERE id = 1")
        cases = [
            (insert, [("x", b"t" * 1001, "a.txt", "")], "FILE_TOO_LARGE"),
            (insert, [small, ("y", PNG, "a.png", ""), ("z", PNG, "a.png", "")], "TOO_MANY_FILES"),
            (insert, [("x", b"<p>", "a.html", "image/png")], "INVALID_MIME_TYPE"),
            (insert, [("x", b"MZ", "a.png", "image/png")], "INVALID_MIME_TYPE"),
            (insert, [("y", PNG, "a.png", "")], "MISSING_FILE"),
            (insert, [small, small], "INVALID_INPUT"),
            ("INSERT INTO app.nothing (id, a) VALUES (1, FILE('x'))", [small], "TABLE_NOT_FOUND"),
            ("INSERT INTO app.events (id, a) VALUES (1, FILE('x'))", [small], "INVALID_INPUT"),
            ("SELECT FILE('x')", [small], "INVALID_INPUT"),
            (insert + "; SELECT 1", [small], "INVALID_INPUT"),
            ("INSERT INTO app.docs (id, a, b, c) VALUES (1, FILE('x'), 1, 2)", [small], "SQL_EXECUTION_ERROR"),
            ("", [small], "EMPTY_SQL"),
        ]
        for sql, files, expected in cases:
            assert code(upload(server, ann, sql, files, expect=400)) == expected, (sql, expected)
        assert code(upload(server, ann, "INSERT INTO app.hidden VALUES (1, FILE('x'))", [small], expect=403)) \
            == "PERMISSION_DENIED"
        answer = server.sql(ann, insert, expect=400)
        assert code(answer) == "INVALID_INPUT" and "multipart/form-data" in answer["error"]["message"], answer
        body, content_type = form([small])
        headers = {"Content-Type": content_type}
        assert server.request("POST", "/v1/api/sql", body, headers)[0] == 401
        headers["Authorization"] = f"Bearer {ann}"
        assert code(server.request("POST", "/v1/api/sql", form([("file:x",) + small[1:]])[0].replace(b"--b", b"--c"),
                                   headers)[2]) == "INVALID_INPUT"
        # A connection that refused an upload goes on with the next request.
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
        for _ in range(2):
            body, content_type = form([("sql", insert), ("file:x", b"t" * 5000, "a.txt", "")])
            connection.request("POST", "/v1/api/sql", body, {
                "Authorization": f"Bearer {ann}", "Content-Type": content_type})
            answer = connection.getresponse()
            assert answer.status == 400 and b"FILE_TOO_LARGE" in answer.read()
        connection.close()
        # Beyond all that a request may ever send.
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
        connection.putrequest("POST", "/v1/api/sql")
        for name, value in (("Authorization", f"Bearer {ann}"), ("Content-Type", content_type),
                            ("Content-Length", str(1 << 30))):
            connection.putheader(name, value)
        connection.endheaders()
        assert connection.getresponse().status == 413
        connection.close()
        assert server.rows(ann, "SELECT * FROM app.docs") == []
        wait_for(lambda: stored(server) == [] and staged(server) == [])


def test_downloads_are_guarded():
    with ServerProcess(QUICK) as server:
        root, ann, bob = prepare(server)
        upload(server, ann, "INSERT INTO app.docs (id, a) VALUES (1, FILE('x'))", [("x", PNG, "a.png", "")])
        reference = server.rows(ann, "SELECT a FROM app.docs")[0][0]
        path = url(reference)
        assert get(server, None, path)[0] == 401
        assert get(server, bob, path)[0] == 404
        status, _, body = get(server, bob, path + "?user_id=ann")
        assert status == 403 and code(json.loads(body)) == "PERMISSION_DENIED", body
        assert get(server, ann, path + "?user_id=ann")[0] == 200
        assert get(server, root, path + "?user_id=ann")[0] == 200
        assert get(server, root, path)[0] == 404
        assert get(server, ann, path + "?user_id=a/b")[0] == 400
        # A reference that somebody writes by hand opens nothing that is not his.
        server.sql(bob, "INSERT INTO app.docs (id, a) VALUES (1, $1)", [reference])
        assert get(server, bob, path)[0] == 404
        upload(server, root, "INSERT INTO app.hidden VALUES (1, FILE('x'))", [("x", PNG, "a.png", "")])
        hidden = url(server.rows(root, "SELECT a FROM app.hidden")[0][0], "hidden")
        assert get(server, ann, hidden)[0] == 403
        assert get(server, root, hidden + "?user_id=ann")[0] == 400
        for bad in ("/v1/files/app/docs/f0001/..%2fx", "/v1/files/app/docs/f1/1", "/v1/files/app/docs/x0001/1",
                    "/v1/files/app/docs/f0001", "/v1/files/app/docs/f0001/a/b", "/v1/files/app/docs/f0001/a%00b",
                    "/v1/files/app/docs/f0001/a%5cb", "/v1/files/app/events/f0001/1", "/v1/files/system/users/f0001/1"):
            status, _, body = get(server, ann, bad)
            assert status == 400 and code(json.loads(body)) == "INVALID_INPUT", (bad, status, body)
        assert get(server, ann, "/v1/files/app/nothing/f0001/1")[0] == 404
        status, _, body = get(server, ann, "/v1/files/app/docs/f0001/1")
        assert status == 404 and json.loads(body)["code"] == "FILE_NOT_FOUND"


def test_files_go_with_their_rows():
    with ServerProcess(QUICK) as server:
        root, ann, _ = prepare(server)

        def put(sql, content, expect=200):
            return upload(server, ann, sql, [("x", content, "a.txt", "")], expect=expect)

        def cell(row):
            return server.rows(ann, f"SELECT a FROM app.docs WHERE id = {row}")[0][0]

        put("INSERT INTO app.docs (id, a) VALUES (1, FILE('x'))", b"one")
        first = cell(1)
        put("UPDATE app.docs SET a = FILE('x') WHERE id = 1", b"two")
        assert get(server, ann, url(first))[0] == 404
        assert get(server, ann, url(cell(1)))[2] == b"two"
        wait_for(lambda: len(stored(server)) == 1)
        # Two rows share it; the last one takes it along.
        server.sql(ann, "INSERT INTO app.docs (id, a) VALUES (2, $1)", [cell(1)])
        second = cell(1)
        server.sql(ann, "DELETE FROM app.docs WHERE id = 1")
        time.sleep(2.5)
        assert get(server, ann, url(second))[2] == b"two"
        server.sql(ann, "DELETE FROM app.docs WHERE id = 2")
        assert get(server, ann, url(second))[0] == 404
        wait_for(lambda: stored(server) == [])
        # Statements that write nothing keep nothing.
        put("UPDATE app.docs SET a = FILE('x') WHERE id = 77", b"nobody")
        put("INSERT INTO app.docs (id, a) VALUES (3, FILE('x'))", b"three")
        put("INSERT INTO app.docs (id, a) VALUES (3, FILE('x'))", b"again", expect=400)
        put("INSERT INTO app.docs (id, a) VALUES (3, FILE('x')) ON CONFLICT (id) DO NOTHING", b"again")
        wait_for(lambda: len(stored(server)) == 1)
        # A transaction that is rolled back had a file from an earlier statement only.
        server.sql(ann, "BEGIN; DELETE FROM app.docs WHERE id = 3; ROLLBACK")
        assert get(server, ann, url(cell(3)))[2] == b"three"
        upload(server, root, "EXECUTE AS USER 'ann' (INSERT INTO app.docs (id, a) VALUES (4, FILE('x')))",
               [("x", b"four", "a.txt", "")])
        assert get(server, ann, url(cell(4)))[2] == b"four"
        server.sql(root, "ALTER TABLE app.docs DROP COLUMN a")
        wait_for(lambda: stored(server) == [])
        upload(server, ann, "INSERT INTO app.docs (id, b) VALUES (5, FILE('x'))", [("x", b"5", "a.txt", "")])
        server.sql(root, "DROP TABLE app.docs")
        wait_for(lambda: stored(server) == [])


def test_files_of_cold_rows():
    with ServerProcess(QUICK) as server:
        root, ann, _ = prepare(server)

        def flush():
            message = server.sql(root, "STORAGE FLUSH TABLE app.docs")["results"][0]["message"]
            job = message.rsplit(" ", 1)[1]
            wait_for(lambda: server.rows(root, f"SELECT status FROM system.jobs WHERE job_id = '{job}'") == [["completed"]])

        def files_in_storage():
            with open(os.path.join(server.directory, "storage", "app", "docs", "ann", "manifest.json"), encoding="utf-8") as file:
                return json.load(file)["files"]

        def files_by_the_server():
            rows = server.rows(root, "SELECT manifest_json FROM system.manifest WHERE table_name = 'docs' AND scope = 'ann'")
            return json.loads(rows[0][0])["files"]

        for row in (1, 2, 3):
            upload(server, ann, f"INSERT INTO app.docs (id, a) VALUES ({row}, FILE('x'))", [("x", b"old", "a.txt", "")])
        flush()
        assert files_in_storage() == {"subfolder": 1, "count": 3} == files_by_the_server()
        references = [cell for cell, in server.rows(ann, "SELECT a FROM app.docs ORDER BY id")]
        assert [get(server, ann, url(reference))[2] for reference in references] == [b"old"] * 3
        server.sql(ann, "DELETE FROM app.docs WHERE id = 1")
        upload(server, ann, "UPDATE app.docs SET a = FILE('x') WHERE id = 2", [("x", b"new", "a.txt", "")])
        # The copy follows with the next work on the table, and is no less sound until then.
        assert files_by_the_server() == {"subfolder": 1, "count": 4}
        assert server.rows(root, "STORAGE CHECK local EXTENDED")[0][1] == "healthy"
        flush()
        assert files_in_storage() == {"subfolder": 1, "count": 4}
        assert [get(server, ann, url(reference))[0] for reference in references] == [404, 404, 200]
        wait_for(lambda: len(stored(server)) == 2)


async def test_live_queries_show_the_reference():
    with ServerProcess(QUICK) as server:
        _, ann, _ = prepare(server)
        client = await LiveClient.connect(server, ann)
        await client.subscribe("s", "SELECT * FROM app.docs")
        upload(server, ann, "INSERT INTO app.docs (id, a) VALUES (1, FILE('x'))", [("x", PNG, "a.png", "")])
        message = await client.receive()
        row = message["rows"][0]
        cell = row["a"] if isinstance(row, dict) else next(value for value in row if "sha256" in str(value))
        assert json.loads(cell)["mime"] == "image/png", message
        await client.close()


def test_the_shell_uploads_local_files():
    with ServerProcess(QUICK) as server:
        _, ann, _ = prepare(server)
        path = os.path.join(server.temporary.name, "my picture.png")
        with open(path, "wb") as file:
            file.write(PNG)
        command = [os.path.join(BINARIES, "kalam"), "-u", f"http://127.0.0.1:{server.port}", "--token", ann, "-c"]
        done = subprocess.run(command + [f"INSERT INTO app.docs (id, a) VALUES (1, file('{path}', 'image/png'))"],
                              capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, done
        reference = server.rows(ann, "SELECT a FROM app.docs")[0][0]
        assert json.loads(reference)["name"] == "my picture.png" and get(server, ann, url(reference))[2] == PNG
        done = subprocess.run(command + ["INSERT INTO app.docs (id, a) VALUES (2, file('/no/such/file'))"],
                              capture_output=True, text=True, timeout=30)
        assert done.returncode == 1 and "/no/such/file" in done.stderr, done


def test_memory_does_not_grow_with_the_file():
    config = QUICK + "max_size_bytes = 209715200\n"
    with ServerProcess(config) as server:
        _, ann, _ = prepare(server)

        def resident():
            for line in open(f"/proc/{server.process.pid}/status", encoding="utf-8"):
                if line.startswith("VmHWM"):
                    return int(line.split()[1])

        before = resident()
        boundary = "boundary"
        size = 150 << 20
        head = (f'--{boundary}\r\nContent-Disposition: form-data; name="sql"\r\n\r\n'
                "INSERT INTO app.docs (id, a) VALUES (1, FILE('x'))\r\n"
                f'--{boundary}\r\nContent-Disposition: form-data; name="file:x"; filename="big.bin"\r\n\r\n').encode()
        tail = f"\r\n--{boundary}--\r\n".encode()
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        connection.putrequest("POST", "/v1/api/sql")
        connection.putheader("Authorization", f"Bearer {ann}")
        connection.putheader("Content-Type", f"multipart/form-data; boundary={boundary}")
        connection.putheader("Content-Length", str(len(head) + size + len(tail)))
        connection.endheaders()
        connection.send(head)
        piece = os.urandom(1 << 20)
        for _ in range(size >> 20):
            connection.send(piece)
        connection.send(tail)
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        answer.read()
        connection.close()
        status, _, content = get(server, ann, url(server.rows(ann, "SELECT a FROM app.docs")[0][0]))
        assert status == 200 and content == piece * (size >> 20)
        grown = resident() - before
        print(f"        150 MiB up and down: {grown} KiB more at the peak")
        assert grown < 40 << 10, grown


def test_a_crash_before_the_commit_leaves_no_orphan():
    with ServerProcess(QUICK) as server:
        root, ann, _ = prepare(server)
        upload(server, ann, "INSERT INTO app.docs (id, a) VALUES (1, FILE('x'))", [("x", b"kept", "a.txt", "")])
        # Uploads that are killed at many points of their way; some get through.
        for attempt in range(12):
            body, content_type = form([("sql", f"INSERT INTO app.docs (id, a) VALUES ({attempt + 2}, FILE('x'))"),
                                       ("file:x", b"y" * 3_000_000, "a.txt", "")])
            head = (f"POST /v1/api/sql HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ann}\r\n"
                    f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n").encode()
            with socket.create_connection(("127.0.0.1", server.port)) as client:
                cut = len(body) if attempt % 3 else len(body) // 2
                client.sendall(head + body[:cut])
                time.sleep(0.02 * (attempt // 2))
                server.process.kill()
                server.process.wait()
            server.start()
            assert staged(server) == []
        rows = server.rows(ann, "SELECT id, a FROM app.docs ORDER BY id")
        print(f"        {len(rows) - 1} of 12 uploads were committed")
        wait_for(lambda: len(stored(server)) == len(rows))
        for row, reference in rows:
            expected = b"kept" if row == "1" else b"y" * 3_000_000
            assert get(server, ann, url(reference))[2] == expected


if __name__ == "__main__":
    run_tests(globals())

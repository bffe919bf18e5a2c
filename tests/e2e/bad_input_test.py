"""What must not bring the server down: crowds that never sign in, mutated requests, a full disk, damaged files."""
import asyncio
import json
import os
import random
import resource
import signal
import socket
import time

from server_process import FAST, UNLIMITED, LiveClient, ServerProcess, SmallDisk, run_tests

JSON = {"Content-Type": "application/json"}


def private_bytes(server):
    with open(f"/proc/{server.process.pid}/smaps_rollup", encoding="ascii") as file:
        return sum(int(line.split()[1]) * 1024 for line in file if line.startswith("Private_Dirty"))


def wait_until(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def open_sockets(server):
    with open("/proc/net/tcp", encoding="ascii") as file:
        wanted = f"0100007F:{server.port:04X}"
        return sum(1 for line in file if line.split()[1] == wanted and line.split()[3] == "01")


def test_ten_thousand_connections_that_never_sign_in():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    count = min(10000, hard - 500)
    config = FAST + ("[websocket]\nauth_timeout_secs = 5\n[performance]\nclient_request_timeout = 5\n"
                     "keepalive_timeout = 5\n")
    with ServerProcess(config) as server:
        root = server.login()
        server.sql(root, "SELECT 1")
        before = private_bytes(server)
        upgrade = (b"GET /v1/ws HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                   b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
        crowd = []
        for number in range(count):
            connection = socket.create_connection(("127.0.0.1", server.port), timeout=20)
            # A third says nothing, a third begins a request, a third opens a WebSocket.
            if number % 3:
                connection.sendall(upgrade if number % 3 == 1 else upgrade[:30])
            crowd.append(connection)
        grown = private_bytes(server) - before
        assert grown < count * 4096 + (8 << 20), f"{grown} bytes for {count} connections"
        begin = time.monotonic()
        assert server.sql(root, "SELECT 1")["status"] == "success"
        assert time.monotonic() - begin < 2
        # All are closed by the server, without anybody's help.
        wait_until(lambda: open_sockets(server) < 10, 30)
        for connection in crowd:
            connection.close()
        assert server.sql(root, "SELECT 1")["status"] == "success"


def mutated(random_source, text):
    data = bytearray(text.encode())
    for _ in range(random_source.randrange(1, 6)):
        at = random_source.randrange(len(data))
        choice = random_source.randrange(3)
        if choice == 0:
            data[at] = random_source.randrange(256)
        elif choice == 1:
            del data[at:at + random_source.randrange(1, 5)]
        else:
            data[at:at] = random_source.choice([b"\0", b"\xff", b"'", b'"', b"((((", b";", b"--", b"\\u0000", b"$1", b"/*", b"{"])
        data = data or bytearray(b"x")
    return bytes(data)


def test_mutated_requests_are_answered():
    source = random.Random(20261121)
    with ServerProcess(UNLIMITED) as server:
        root = server.login()
        server.sql(root, "CREATE NAMESPACE bad")
        server.sql(root, "CREATE TABLE bad.t (id BIGINT PRIMARY KEY, body TEXT, j JSON) WITH (TYPE = 'USER')")
        statements = ["SELECT id, j->>'a', count(*) OVER () FROM bad.t WHERE body LIKE 'a%' AND id BETWEEN 1 AND 5 ORDER BY 1 LIMIT 3",
                      "INSERT INTO bad.t (id, body, j) VALUES (SNOWFLAKE_ID(), 'x''y', '{\"a\": [1, 2]}') ON CONFLICT DO NOTHING",
                      "CREATE TABLE bad.u (id INT PRIMARY KEY, v EMBEDDING(3), d DECIMAL(10,2) DEFAULT 1.5) WITH (TYPE='USER')",
                      "BEGIN; UPDATE bad.t SET body = upper(body) WHERE id = 1; DELETE FROM bad.t WHERE id IN (1, 2); COMMIT",
                      "EXECUTE AS USER 'ann' (SELECT * FROM bad.t)", "ALTER TABLE bad.t ADD COLUMN c TEXT DEFAULT 'x'",
                      "SUBSCRIBE TO bad.t WHERE id > 5 OPTIONS (last_rows = 5)", "SHOW TABLES IN NAMESPACE bad",
                      "WITH a AS (SELECT body, sum(id) AS s FROM bad.t GROUP BY body) SELECT * FROM a JOIN bad.t USING (body)"]
        seen = {}
        for turn in range(600):
            if turn % 3 == 0:
                body = mutated(source, json.dumps({"sql": source.choice(statements), "params": [1, "x", None]}))
            else:
                text = mutated(source, source.choice(statements)).decode("utf-8", "replace")
                body = json.dumps({"sql": text, "namespace_id": "bad"})
            status, _, content = server.request("POST", "/v1/api/sql", body, dict(JSON, Authorization="Bearer " + root),
                                                raw=True)
            assert status in (200, 400, 403), (status, body, content[:300])
            assert json.loads(content)["status"] in ("success", "error"), body
            seen[status] = seen.get(status, 0) + 1
        assert seen.get(400, 0) > 100, seen
        for _ in range(100):
            status, _, _ = server.request("POST", "/v1/api/auth/login", mutated(source, '{"user":"root","password":"x"}'), raw=True)
            assert status in (400, 401), status
            token = mutated(source, root).decode("latin-1").replace("\r", "").replace("\n", "").replace("\0", "")
            status, _, _ = server.request("GET", "/v1/api/auth/me", headers={"Authorization": "Bearer " + token}, raw=True)
            assert status in (400, 401) or token == root, (status, token)
        assert server.process.poll() is None and server.request("GET", "/health")[0] == 200


async def test_mutated_messages_end_their_own_socket_at_most():
    import websockets
    source = random.Random(7)
    with ServerProcess(UNLIMITED) as server:
        token = server.login()
        server.sql(token, "CREATE NAMESPACE bad")
        server.sql(token, "CREATE TABLE bad.t (id BIGINT PRIMARY KEY, body TEXT) WITH (TYPE = 'USER')")
        witness = await LiveClient.connect(server, token)
        await witness.subscribe("w", "SELECT * FROM bad.t")
        messages = [{"type": "subscribe", "subscription": {"id": "s", "sql": "SELECT * FROM bad.t WHERE id > 5 AND body LIKE 'x%'",
                                                           "options": {"batch_size": 5, "from": "17"}}},
                    {"type": "next_batch", "subscription_id": "s", "last_seq_id": 17},
                    {"type": "unsubscribe", "subscription_id": "s"}, {"type": "authenticate", "method": "jwt", "token": "x"}]
        for _ in range(40):
            client = await LiveClient.connect(server, token)
            try:
                for _ in range(10):
                    data = mutated(source, json.dumps(source.choice(messages)))
                    await client.socket.send(data if source.random() < 0.3 else data.decode("utf-8", "replace"))
            except websockets.ConnectionClosed:
                pass
            await client.close()
        server.sql(token, "INSERT INTO bad.t (id, body) VALUES (1, 'still there')")
        assert (await witness.receive())["rows"][0]["body"] == "still there"
        await witness.close()


def test_a_client_that_does_not_read_its_rows_holds_nothing_up():
    with ServerProcess(UNLIMITED) as server:
        root = server.login()
        server.sql(root, "CREATE NAMESPACE big")
        server.sql(root, "CREATE TABLE big.t (id BIGINT PRIMARY KEY, body TEXT) WITH (TYPE='USER')")
        for begin in range(0, 20000, 1000):
            values = ", ".join(f"({i}, '{'x' * 500}')" for i in range(begin, begin + 1000))
            server.sql(root, f"INSERT INTO big.t (id, body) VALUES {values}")
        before = private_bytes(server)
        text = json.dumps({"sql": "SELECT * FROM big.t"})
        request = (f"POST /v1/api/sql HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {root}\r\n"
                   f"Content-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n{text}").encode()
        lazy = []
        for _ in range(20):  # 20 answers of 10 MB each
            connection = socket.socket()
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect(("127.0.0.1", server.port))
            connection.sendall(request)
            lazy.append(connection)
        for _ in range(20):
            begin = time.monotonic()
            assert server.rows(root, "SELECT body FROM big.t WHERE id = 7")
            assert time.monotonic() - begin < 2
        grown = private_bytes(server) - before
        assert grown < 40 << 20, grown
        for connection in lazy:
            connection.close()


def test_a_full_disk_makes_the_server_read_only_until_there_is_room():
    with SmallDisk(96) as disk:
        with ServerProcess(UNLIMITED, directory=os.path.join(disk.folder, "data")) as server:
            root = server.login()
            server.sql(root, "CREATE NAMESPACE cramped")
            server.sql(root, "CREATE TABLE cramped.t (id BIGINT PRIMARY KEY, body TEXT) WITH (TYPE='USER')")
            acknowledged = 0
            ballast = os.path.join(disk.folder, "ballast")
            if disk.mounted:
                room = os.statvfs(disk.folder)
                with open(ballast, "wb") as file:
                    file.write(b"x" * max(0, room.f_bavail * room.f_frsize - (24 << 20)))
            else:
                size = 4 << 20
                resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (size, size))
            codes = set()
            for begin in range(0, 200):
                body = {"sql": f"INSERT INTO cramped.t (id, body) VALUES ({begin}, '{'x' * 500000}')"}
                status, _, answer = server.request("POST", "/v1/api/sql", body, dict(JSON, Authorization="Bearer " + root))
                if status == 200:
                    acknowledged += 1
                else:
                    codes.add((status, answer["error"]["code"]))
                    break
            assert codes, "the disk never became full"
            if not disk.mounted:
                return
            assert codes <= {(503, "STORAGE_READ_ONLY"), (503, "OUTCOME_UNKNOWN")}, codes
            # What was acknowledged can be read; what is written is refused; the process lives.
            count = int(server.rows(root, "SELECT count(*) FROM cramped.t")[0][0])
            assert acknowledged <= count <= acknowledged + 1, (acknowledged, count)
            assert server.request("GET", "/health")[0] == 200
            os.unlink(ballast)

            def writes_again():
                body = {"sql": "INSERT INTO cramped.t (id, body) VALUES (9999, 'room')"}
                status, _, _ = server.request("POST", "/v1/api/sql", body, dict(JSON, Authorization="Bearer " + root))
                return status == 200

            wait_until(writes_again, 30)
            code, _ = server.stop()
            assert code == 0
            server.start()
            root = server.login()
            again = int(server.rows(root, "SELECT count(*) FROM cramped.t")[0][0])
            assert again == count + 1, (again, count)


def table_files(server):
    folder = os.path.join(server.directory, "rocksdb")
    return sorted((os.path.join(folder, name) for name in os.listdir(folder) if name.endswith(".sst")), key=os.path.getsize)


async def snapshot_failure(server, token, sql):
    """The error in which a snapshot ends."""
    client = await LiveClient.connect(server, token)
    message = await client.subscribe("s", sql, {"batch_size": 1000})
    while message["type"] != "error":
        if message["type"] == "initial_data_batch":
            assert message["batch_control"]["has_more"], "the snapshot came whole"
            await client.send({"type": "next_batch", "subscription_id": "s", "last_seq_id": message["batch_control"]["last_seq_id"]})
        message = await client.receive()
    await client.close()
    return message


def test_a_damaged_table_file_is_told_and_the_rest_lives():
    with ServerProcess(UNLIMITED) as server:
        root = server.login()
        server.sql(root, "CREATE NAMESPACE torn")
        for name in ("small", "large"):
            server.sql(root, f"CREATE TABLE torn.{name} (id BIGINT PRIMARY KEY, body TEXT) WITH (TYPE='SHARED')")
        source = random.Random(3)
        server.sql(root, "INSERT INTO torn.small (id, body) VALUES (1, 'fine')")
        for begin in range(0, 30000, 1000):  # beyond the memtables, so that files are written
            values = ", ".join(f"({i}, '{source.randbytes(200).hex()}')" for i in range(begin, begin + 1000))
            server.sql(root, f"INSERT INTO torn.large (id, body) VALUES {values}")
        assert server.stop(20)[0] == 0
        victims = [path for path in table_files(server) if os.path.getsize(path) > 1 << 20]
        assert victims, table_files(server)
        for victim in victims:
            with open(victim, "r+b") as file:  # the blocks in the middle; its index and footer stay
                for at in range(os.path.getsize(victim) // 3, os.path.getsize(victim) * 2 // 3, 1000):
                    file.seek(at)
                    file.write(b"\xde\xad\xbe\xef")
        server.start()
        root = server.login()
        failed = 0
        for statement in ("SELECT count(*), min(body) FROM torn.large", "SELECT * FROM torn.large"):
            status, _, content = server.request("POST", "/v1/api/sql", {"sql": statement},
                                                dict(JSON, Authorization="Bearer " + root), raw=True)
            failed += b"DATA_CORRUPTED" in content
        assert failed, content[-300:]
        assert b".sst" in content
        server.sql(root, "CREATE USER 'sam' WITH PASSWORD 'sam-password-1' ROLE 'service'")
        sam = server.login("sam", "sam-password-1")
        _, _, content = server.request("POST", "/v1/api/sql", {"sql": "SELECT * FROM torn.large"},
                                       dict(JSON, Authorization="Bearer " + sam), raw=True)
        assert b"DATA_CORRUPTED" in content and b".sst" not in content, content[-300:]
        failure = asyncio.run(snapshot_failure(server, sam, "SELECT * FROM torn.large"))
        assert failure["message"] == "The rows cannot be read now", failure
        assert server.rows(root, "SELECT body FROM torn.small") == [["fine"]]
        server.sql(root, "INSERT INTO torn.small (id, body) VALUES (2, 'goes on')")
        server.sql(root, "CREATE TABLE torn.fresh (id INT PRIMARY KEY)")
        assert server.stop(20)[0] == 0
        # Without its end the file cannot be opened at all: the server says which one and does not start.
        with open(victim, "r+b") as file:
            file.truncate(os.path.getsize(victim) // 2)
        server.wait = False
        server.start()
        text = server.process.stderr.read()
        assert server.process.wait(20) == 5, text
        assert os.path.basename(victim) in text, text


async def test_sigterm_with_everybody_connected():
    with ServerProcess(UNLIMITED) as server:
        root = server.login()
        server.sql(root, "CREATE NAMESPACE busy")
        server.sql(root, "CREATE TABLE busy.t (id BIGINT PRIMARY KEY, body TEXT) WITH (TYPE='USER')")
        server.sql(root, "INSERT INTO busy.t (id, body) VALUES " + ", ".join(f"({i}, 'x')" for i in range(2000)))
        watchers = [await LiveClient.connect(server, root) for _ in range(5)]
        for number, watcher in enumerate(watchers):
            await watcher.subscribe(f"s{number}", "SELECT * FROM busy.t")
        heavy = json.dumps({"sql": "SELECT count(*) FROM busy.t a, busy.t b, busy.t c WHERE a.body = b.body AND a.id + b.id + c.id < 0"})
        busy = []
        for _ in range(3):
            connection = socket.create_connection(("127.0.0.1", server.port))
            connection.sendall((f"POST /v1/api/sql HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {root}\r\n"
                                f"Content-Type: application/json\r\nContent-Length: {len(heavy)}\r\n\r\n{heavy}").encode())
            busy.append(connection)
        wait_until(lambda: int(server.rows(root, "SELECT metric_value FROM system.stats WHERE metric_name = 'active_connections'")[0][0])
                   >= 8)
        server.process.send_signal(signal.SIGTERM)
        begin = time.monotonic()
        code = server.process.wait(10)
        assert code == 0 and time.monotonic() - begin < 5, (code, time.monotonic() - begin)
        for connection in busy:
            connection.close()


if __name__ == "__main__":
    run_tests(globals())

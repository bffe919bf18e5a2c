"""The smallest budget that the configuration takes holds whatever the server is asked for, and the work is done."""
import http.client
import json
import os
import socket
import threading
import time

from backup_world import run_job as run_one_job
from export_test import export
from files_test import form, upload
from flush_test import run_job
from memory_test import Kept, anonymous_bytes, large_statement
from server_process import UNLIMITED, ServerProcess, run_tests
from unread_test import deaf_websocket, frame

BUDGET = 16 << 20
# What docs/operations.md says of the analytical engine while it is open.
ENGINE_ALLOWANCE = 16 << 20
LATER = {"MEMORY_PRESSURE", "SERVER_BUSY"}


def start(more=""):
    return ServerProcess(UNLIMITED + f"max_subscriptions_per_user = 100000\n[memory]\nbudget = {BUDGET}\n" + more)


class Watch:
    """Takes the most anonymous memory while it lasts, and compares."""

    def __init__(self, server, token, what, engine_is_open=False):
        self.server, self.what = server, what
        self.allowed = BUDGET * 1.1 + (ENGINE_ALLOWANCE if engine_is_open else 0)
        # New connections may be refused meanwhile.
        self.kept = Kept(server, token)
        self.kept.request("GET", "/health")
        self.peak, self.ended = 0, threading.Event()
        self.watcher = threading.Thread(target=self.look)

    def __enter__(self):
        self.watcher.start()
        return self

    def look(self):
        while not self.ended.wait(0.005):
            self.peak = max(self.peak, anonymous_bytes(self.server))

    def __exit__(self, failure, *_):
        self.ended.set()
        self.watcher.join()
        if failure is not None:
            return
        root = json.loads(self.kept.request("GET", "/v1/api/metrics/memory")[2])["accounts"]
        print(f"        {self.what}: anonymous peak {self.peak / (1 << 20):.1f} of {self.allowed / (1 << 20):.1f} MiB, "
              f"accounts {root['peak_bytes'] / (1 << 20):.1f}", flush=True)
        assert self.peak <= self.allowed and root["peak_bytes"] <= BUDGET, (self.peak, root)


def insert(server, token, table, begin, end, width):
    for first in range(begin, end, 100):
        server.sql(token, f"INSERT INTO app.{table} (id, room, body) VALUES " + ", ".join(
            f"({i}, {i % 7}, '{i:08}{os.urandom((width - 8) // 2).hex()}')" for i in range(first, min(first + 100, end))))


def fill(server, root, rows=2000, kind="SHARED", more=""):
    server.sql(root, "CREATE NAMESPACE app")
    server.sql(root, f"CREATE {kind} TABLE app.big (id BIGINT PRIMARY KEY, room INT, body TEXT{more})")
    insert(server, root, "big", 0, rows, 1000)


def code_of(answer):
    status, head, body = answer
    assert status != 503 or head.getheader("Retry-After"), (status, head.getheaders())
    if status == 200:
        return "OK"
    return body["error"]["code"] if isinstance(body["error"], dict) else body["error"]


def ask_at_once(server, root, lanes, turns, statement):
    """How often each code was the answer."""
    answers, lock = {}, threading.Lock()

    def ask(lane):
        for turn in range(turns):
            try:
                code = code_of(Kept(server, root).sql(statement(lane, turn)))
            except (ConnectionError, http.client.HTTPException):
                code = "SERVER_BUSY"  # turned away before it could ask
            with lock:
                answers[code] = answers.get(code, 0) + 1

    threads = [threading.Thread(target=ask, args=(lane,)) for lane in range(lanes)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(f"        {answers}", flush=True)
    return answers


def patiently(server, root, statement):
    """The answer's code once the server does not say that it is short of memory for a moment."""
    deadline = time.monotonic() + 20
    while (code := code_of(Kept(server, root).sql(statement))) in LATER:
        assert time.monotonic() < deadline, (code, statement[:80])
        time.sleep(0.1)
    return code


def is_well(server, root):
    """Simple work goes on, and what large work took comes back."""
    kept = Kept(server, root)
    assert kept.sql("SELECT id FROM app.big WHERE id = 7")[2]["results"][0]["rows"] == [["7"]]
    assert kept.sql("INSERT INTO app.big (id, room, body) VALUES (1000001, 1, 'x')")[0] == 200
    deadline = time.monotonic() + 20
    while True:
        report = json.loads(kept.request("GET", "/v1/api/metrics/memory")[2])
        held = {account["name"]: account["used_bytes"] for account in report["accounts"]["children"]}
        if held["statements"] == held["results"] == held.get("jobs", 0) == 0:
            return
        assert time.monotonic() < deadline, held
        time.sleep(0.05)


def pipeline(server, root, sql, count):
    """Clients that ask on and on without reading; as much as the sockets take."""
    body = json.dumps({"sql": sql})
    request = (f"POST /v1/api/sql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAuthorization: Bearer {root}\r\n"
               f"Content-Length: {len(body)}\r\n\r\n{body}").encode()
    clients = []
    for _ in range(count):
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", server.port))
        client.settimeout(0.2)
        try:
            client.sendall(request * (1 + (1 << 20) // len(request)))
        except OSError:
            pass
        clients.append(client)
    return clients


def test_pipelines_that_nobody_reads():
    for what, sql in (("points", "SELECT body FROM app.big WHERE id = 7"), ("large answers", "SELECT * FROM app.big"),
                      ("batches", "SELECT body FROM app.big WHERE id < 100; SELECT 1"),
                      ("large requests", f"SELECT '{'x' * 20_000}' FROM app.big WHERE id = 7")):
        with start() as server:
            root = server.login()
            fill(server, root)
            with Watch(server, root, f"100 pipelines of {what}") as watch:
                clients = pipeline(server, root, sql, 100)
                time.sleep(1)
                connections = next(account for account in json.loads(
                    watch.kept.request("GET", "/v1/api/metrics/memory")[2])["accounts"]["children"]
                    if account["name"] == "connections")
                read = next(account for account in connections["children"] if account["name"] == "read")
                # What waits for its turn stays in the kernel for the most part.
                assert 0 < read["peak_bytes"] <= read["limit_bytes"] + (500 << 10), read
            for client in clients:
                client.close()
            is_well(server, root)


def test_heads_that_never_end():
    with start() as server:
        root = server.login()
        fill(server, root, 100)
        with Watch(server, root, "400 unfinished heads"):
            clients = []
            for _ in range(400):
                client = socket.create_connection(("127.0.0.1", server.port))
                client.sendall(b"GET /health HTTP/1.1\r\nX-Long: " + b"x" * 12_000)
                clients.append(client)
            time.sleep(0.5)
        answers = []
        for client in clients:
            client.settimeout(0.01)
            try:
                answers.append(client.recv(12))
            except TimeoutError:
                answers.append(b"")
            client.close()
        # The first of them may go on, the others are told.
        assert set(answers) == {b"", b"HTTP/1.1 503"}, set(answers)
        is_well(server, root)


def test_large_statements():
    with start() as server:
        root = server.login()
        fill(server, root)
        server.sql(root, "CREATE SHARED TABLE app.copies (id BIGINT PRIMARY KEY DEFAULT SNOWFLAKE_ID(), body TEXT)")
        with Watch(server, root, "45 large statements, 15 at once"):
            answers = ask_at_once(server, root, 15, 3, lambda lane, turn: large_statement(lane + turn))
        assert set(answers) <= LATER | {"OK", "MEMORY_LIMIT_EXCEEDED", "CONFLICT"}, answers
        is_well(server, root)
        # By themselves all but the texts are larger than a statement may ever be here, and say so; a part of each is taken.
        assert [patiently(server, root, large_statement(number)) for number in range(5)] == ["MEMORY_LIMIT_EXCEEDED"] * 4 + ["OK"]
        for part in ("SELECT * FROM app.big WHERE id < 1000; SELECT 1", "SELECT * FROM app.big",
                     f"SELECT id FROM app.big WHERE id IN ({', '.join(str(n) for n in range(5000))})",
                     "UPDATE app.big SET room = room + 1 WHERE id < 1000",
                     "SELECT id, body FROM app.big WHERE id < 1000 ORDER BY body DESC, room",
                     f"BEGIN; {'; '.join(['INSERT INTO app.copies (body) VALUES (' + repr('y' * 50_000) + ')'] * 8)}; COMMIT"):
            assert patiently(server, root, part) == "OK", part[:80]


def test_batches():
    statements = ["SELECT * FROM app.big; SELECT 1", "SELECT 1;" * 2000, "SELECT body FROM app.big WHERE id < 200;" * 5]
    with start() as server:
        root = server.login()
        fill(server, root)
        with Watch(server, root, "36 batches, 12 at once"):
            answers = ask_at_once(server, root, 12, 3, lambda lane, turn: statements[(lane + turn) % 3])
        assert answers.get("OK", 0) > 0 and set(answers) <= LATER | {"OK", "MEMORY_LIMIT_EXCEEDED"}, answers
        is_well(server, root)


def test_uploads():
    content = os.urandom(4 << 20)
    with start() as server:
        root = server.login()
        fill(server, root, 100, more=", f FILE")
        answers, lock = {}, threading.Lock()

        def send(lane):
            for turn in range(3):
                body, content_type = form([("sql", f"UPDATE app.big SET f = FILE('a') WHERE id = {lane * 3 + turn}"),
                                           ("file:a", content, "a.bin", "a/b")])
                try:
                    code = code_of(server.request("POST", "/v1/api/sql", body, {
                        "Authorization": f"Bearer {root}", "Content-Type": content_type}))
                except OSError:
                    code = "SERVER_BUSY"  # said before the body was read
                with lock:
                    answers[code] = answers.get(code, 0) + 1

        threads = [threading.Thread(target=send, args=(lane,)) for lane in range(20)]
        with Watch(server, root, "60 uploads of 4 MiB, 20 at once"):
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        print(f"        {answers}", flush=True)
        assert answers.get("OK", 0) > 0 and set(answers) <= LATER | {"OK"}, answers
        is_well(server, root)


def test_exports():
    with start() as server:
        root = server.login()
        fill(server, root, 12_000, kind="USER", more=", f FILE")
        upload(server, root, "UPDATE app.big SET f = FILE('p') WHERE id = 1", [("p", os.urandom(4 << 20), "me.bin", "a/b")])
        with Watch(server, root, "an export of 12,000 rows and a file", engine_is_open=True):
            assert export(server, root)[1] == "completed"
        is_well(server, root)


def test_backups():
    with start() as server:
        root = server.login()
        fill(server, root, 8000)
        place = f"{server.temporary.name}/all"
        with Watch(server, root, "a backup"):
            run_one_job(server, root, f"BACKUP DATABASE TO '{place}'")
        with Watch(server, root, "a restore of a namespace"):
            run_one_job(server, root, f"RESTORE DATABASE IN app FROM '{place}'")
        is_well(server, root)


GROUPS = "SELECT room, COUNT(*), MAX(body) FROM app.big GROUP BY room"
JOINS = "SELECT a.room, COUNT(*), MAX(b.body) FROM app.big a JOIN app.big b ON a.id = b.id GROUP BY a.room"


def test_cold_storage_and_the_engine():
    with start("[flush]\ncheck_interval_seconds = 0\n") as server:
        root = server.login()
        fill(server, root, 8000)
        with Watch(server, root, "GROUP BY and joins of hot rows", engine_is_open=True):
            assert ask_at_once(server, root, 1, 6, lambda _, turn: (GROUPS, JOINS)[turn % 2]) == {"OK": 6}
        with Watch(server, root, "a flush", engine_is_open=True):
            run_job(server, root, "STORAGE FLUSH TABLE app.big")
        insert(server, root, "big", 10_000, 18_000, 600)
        with Watch(server, root, "another one, and a compaction", engine_is_open=True):
            run_job(server, root, "STORAGE FLUSH TABLE app.big")
            run_job(server, root, "STORAGE COMPACT TABLE app.big")
        with Watch(server, root, "cold reads, 8 at once", engine_is_open=True):
            points = ask_at_once(server, root, 8, 100,
                                 lambda lane, turn: f"SELECT body FROM app.big WHERE id = {(lane * 977 + turn * 31) % 8000}")
            scans = ask_at_once(server, root, 8, 2, lambda lane, turn: "SELECT * FROM app.big")
        assert points == {"OK": 800} and scans.get("OK", 0) > 0 and set(scans) <= LATER | {"OK"}, (points, scans)
        with Watch(server, root, "GROUP BY of cold rows", engine_is_open=True):
            answers = ask_at_once(server, root, 1, 6, lambda _, turn: GROUPS)
        assert answers == {"OK": 6}, answers
        is_well(server, root)


def test_websockets_that_nobody_reads():
    with start() as server:
        root = server.login()
        fill(server, root)
        with Watch(server, root, "500 WebSockets with subscriptions"):
            clients = [deaf_websocket(server, root) for _ in range(500)]
            for number, client in enumerate(clients):
                client.sendall(frame({"type": "subscribe", "subscription": {
                    "id": "all", "sql": f"SELECT * FROM app.big WHERE room = {number % 7}"}}))
            time.sleep(1)
            # Who writes is not refused because others do not read.
            insert(server, root, "big", 3000, 5000, 400)
        for client in clients:
            client.close()
        is_well(server, root)


if __name__ == "__main__":
    run_tests(globals())

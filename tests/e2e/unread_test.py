"""Clients that ask for much and read nothing, all at once: the budget holds, and everybody else is served."""
import base64
import json
import os
import re
import socket
import struct
import time
import uuid

from server_process import UNLIMITED, ServerProcess, run_tests

BUDGET = 48 << 20


def start():
    return ServerProcess(UNLIMITED + f"max_subscriptions_per_user = 100000\n[memory]\nbudget = {BUDGET}\n")


def anonymous_bytes(server):
    with open(f"/proc/{server.process.pid}/status", encoding="utf-8") as file:
        return int(re.search(r"RssAnon:\s+(\d+) kB", file.read()).group(1)) << 10


def peak_while(server, seconds):
    peak, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        peak = max(peak, anonymous_bytes(server))
        time.sleep(0.02)
    return peak


def accounts(server):
    status, _, report = server.request("GET", "/v1/api/metrics/memory")
    assert status == 200, report
    return report["accounts"]


def deaf(server, request):
    """A connection that has asked and never reads; its own buffer is small."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", server.port))
    client.sendall(request)
    return client


def frame(message):
    payload = json.dumps(message).encode()
    size = len(payload)
    head = bytes([0x80 | size]) if size < 126 else bytes([0x80 | 126]) + struct.pack(">H", size)
    return b"\x81" + head + b"\0\0\0\0" + payload


def deaf_websocket(server, token):
    """Signed in."""
    key = base64.b64encode(os.urandom(16)).decode()
    client = deaf(server, f"GET /v1/ws?compress=false HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                          f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
    client.settimeout(10)
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += client.recv(4096)
    assert b" 101 " in answer, answer
    return client


def fill(server, root, rows):
    server.sql(root, "CREATE NAMESPACE app")
    server.sql(root, "CREATE TABLE app.big (id BIGINT PRIMARY KEY, body TEXT) WITH (TYPE='SHARED')")
    for begin in range(0, rows, 200):
        server.sql(root, "INSERT INTO app.big VALUES " + ", ".join(f"({i}, '{i:08}{'x' * 1000}')" for i in range(begin, begin + 200)))


def test_subscribers_that_never_read_their_snapshots():
    """Before batches shrank, each of them held as much as one batch may have: 100 held 75 MB."""
    with start() as server:
        root = server.login()
        fill(server, root, 4000)
        clients = [deaf_websocket(server, root) for _ in range(100)]
        for client in clients:
            client.sendall(frame({"type": "subscribe", "subscription": {
                "id": "all", "sql": "SELECT * FROM app.big", "options": {"batch_size": 4000}}}))
        peak = peak_while(server, 4)
        report = accounts(server)
        print(f"        anonymous peak {peak >> 20} MiB, accounts {report['peak_bytes'] >> 20} of {BUDGET >> 20}", flush=True)
        assert report["peak_bytes"] <= BUDGET and peak <= BUDGET * 1.1, (report["peak_bytes"], peak)
        assert server.rows(root, "SELECT COUNT(*) FROM app.big WHERE id = 7") is not None
        for client in clients:
            client.close()


def pieces_of_a_large_answer(server, token):
    """The sizes of its chunks."""
    body = json.dumps({"sql": "SELECT * FROM app.big"})
    client = socket.create_connection(("127.0.0.1", server.port))
    client.settimeout(20)
    client.sendall(f"POST /v1/api/sql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nConnection: close\r\n"
                   f"Authorization: Bearer {token}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
    answer = b""
    while piece := client.recv(1 << 20):
        answer += piece
    head, _, rest = answer.partition(b"\r\n\r\n")
    assert b" 200 " in head.split(b"\r\n")[0] and b"chunked" in head, head
    sizes = []
    while True:
        line, _, rest = rest.partition(b"\r\n")
        size = int(line, 16)
        if size == 0:
            return sizes
        sizes.append(size)
        rest = rest[size + 2:]


def test_who_reads_gets_larger_pieces_while_sockets_hold_little():
    with start() as server:
        root = server.login()
        fill(server, root, 4000)
        sizes = pieces_of_a_large_answer(server, root)
        assert max(sizes[:10]) < 64 << 10, sizes[:20]
        assert max(sizes) > 120 << 10 and max(sizes) < 160 << 10, sizes
        # Others who do not read fill more than half of what sockets may hold.
        body = json.dumps({"sql": "SELECT * FROM app.big"})
        request = (f"POST /v1/api/sql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                   f"Authorization: Bearer {root}\r\nContent-Length: {len(body)}\r\n\r\n{body}").encode()
        clients = [deaf(server, request) for _ in range(70)]

        def held():
            report = next(a for a in accounts(server)["children"] if a["name"] == "connections")
            return next(a for a in report["children"] if a["name"] == "write")

        deadline = time.monotonic() + 10
        while held()["used_bytes"] < held()["limit_bytes"] * 0.6:
            assert time.monotonic() < deadline, held()
            time.sleep(0.05)
        sizes = pieces_of_a_large_answer(server, root)
        assert max(sizes) < 64 << 10, sizes
        for client in clients:
            client.close()


def test_downloads_that_nobody_reads():
    with start() as server:
        root = server.login()
        server.sql(root, "CREATE NAMESPACE app")
        server.sql(root, "CREATE TABLE app.docs (id BIGINT PRIMARY KEY, f FILE) WITH (TYPE='SHARED')")
        boundary = "b" + uuid.uuid4().hex
        body = (f'--{boundary}\r\nContent-Disposition: form-data; name="sql"\r\n\r\n'
                f"INSERT INTO app.docs VALUES (1, FILE('a'))\r\n--{boundary}\r\n"
                f'Content-Disposition: form-data; name="file:a"; filename="a.bin"\r\n'
                f"Content-Type: application/octet-stream\r\n\r\n").encode() + os.urandom(2 << 20) + f"\r\n--{boundary}--\r\n".encode()
        status, _, answer = server.request("POST", "/v1/api/sql", body, {
            "Authorization": f"Bearer {root}", "Content-Type": f"multipart/form-data; boundary={boundary}"})
        assert status == 200, answer
        reference = json.loads(server.rows(root, "SELECT f FROM app.docs")[0][0])
        path = f"/v1/files/app/docs/{reference['sub']}/{reference['id']}"
        request = f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {root}\r\n\r\n".encode()
        clients = [deaf(server, request) for _ in range(200)]
        time.sleep(2)
        report = accounts(server)
        held = next(a for a in next(a for a in report["children"] if a["name"] == "connections")["children"] if a["name"] == "write")
        print(f"        sockets hold {held['used_bytes'] >> 10} KiB, at most {held['peak_bytes'] >> 10} of {held['limit_bytes'] >> 10}", flush=True)
        # Without asking it would be 22 MB.
        assert held["peak_bytes"] <= held["limit_bytes"] * 1.1, held
        for client in clients:
            client.close()
        # Whoever reads gets his file again, whole.
        deadline = time.monotonic() + 10
        while True:
            status, _, content = server.request("GET", path, headers={"Authorization": f"Bearer {root}"}, raw=True)
            if status == 200 or time.monotonic() > deadline:
                break
            assert status == 503, (status, content)
            time.sleep(0.1)
        assert status == 200 and len(content) == 2 << 20, (status, len(content))


def test_whoever_asks_on_without_reading_is_not_heard_any_more():
    with start() as server:
        root = server.login()
        client = deaf_websocket(server, root)
        client.settimeout(2)
        wrong = frame({"type": "subscribe", "subscription": {"id": "wrong", "sql": "SELECT * FROM app.nothing_of_that_name"}}) * 100
        sent = 0
        try:
            while sent < 64 << 20:
                sent += client.send(wrong)
        except TimeoutError:
            pass
        report = accounts(server)
        held = next(a for a in next(a for a in report["children"] if a["name"] == "connections")["children"] if a["name"] == "write")
        print(f"        took {sent >> 10} KiB of questions, holds {held['used_bytes'] >> 10} KiB of answers", flush=True)
        # It was four megabytes for each such client.
        assert sent < 64 << 20 and held["used_bytes"] < 200 << 10, (sent, held)
        client.close()


if __name__ == "__main__":
    run_tests(globals())

"""Requests that never end, or are nothing but brackets: what they hold is asked for and given back."""
import json
import socket
import threading
import time
import uuid

from server_process import UNLIMITED, ServerProcess, run_tests
from unread_test import BUDGET, accounts, anonymous_bytes, deaf_websocket, peak_while, start


def bodies(server):
    connections = next(a for a in accounts(server)["children"] if a["name"] == "connections")
    return next(a for a in connections["children"] if a["name"] == "request_bodies")


def until_given_back(server):
    deadline = time.monotonic() + 10
    while bodies(server)["used_bytes"] > 0:
        assert time.monotonic() < deadline, bodies(server)
        time.sleep(0.05)


def what_arrives_is_bounded(server, clients):
    """Ends the clients, who are in the middle of sending."""
    peak = peak_while(server, 1)
    held = bodies(server)
    print(f"        anonymous peak {peak >> 20} MiB, bodies {held['peak_bytes'] >> 10} of {held['limit_bytes'] >> 10} KiB", flush=True)
    assert 0 < held["peak_bytes"] <= held["limit_bytes"] and peak < BUDGET, (held, peak)
    for client in clients:
        client.close()
    until_given_back(server)


def send_what_is_taken(client, content):
    client.settimeout(2)
    try:
        client.sendall(content)
    except OSError:
        pass  # turned away


def test_messages_of_websockets_that_never_end():
    with start() as server:
        root = server.login()
        clients = [deaf_websocket(server, root) for _ in range(100)]
        begun = frame_begun(1_000_000, 990_000)
        for client in clients:
            send_what_is_taken(client, begun)
        what_arrives_is_bounded(server, clients)
        # A large message that comes in pieces is taken as ever, and nothing of it stays.
        client = deaf_websocket(server, root)
        client.settimeout(10)
        whole = frame_begun(500_000, 500_000)
        client.sendall(whole[:300_000])
        time.sleep(0.2)
        assert bodies(server)["used_bytes"] > 500_000
        client.sendall(whole[300_000:])
        answer = b""
        while b"Invalid message" not in answer:
            answer += client.recv(4096)
        until_given_back(server)
        client.close()


def frame_begun(size, sent):
    """The front of a text frame of `size` bytes."""
    return b"\x81" + bytes([0x80 | 127]) + size.to_bytes(8, "big") + b"\0\0\0\0" + b"y" * sent


def test_forms_whose_parameters_never_end():
    with start() as server:
        root = server.login()
        boundary = "b" + uuid.uuid4().hex
        begun = (f'--{boundary}\r\nContent-Disposition: form-data; name="sql"\r\n\r\nSELECT 1\r\n--{boundary}\r\n'
                 f'Content-Disposition: form-data; name="params"\r\n\r\n["').encode() + b"x" * 2_000_000
        clients = []
        for _ in range(24):
            client = socket.create_connection(("127.0.0.1", server.port))
            send_what_is_taken(client, (
                f"POST /v1/api/sql HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {root}\r\nContent-Length: 5000000\r\n"
                f"Content-Type: multipart/form-data; boundary={boundary}\r\n\r\n").encode() + begun)
            clients.append(client)
        what_arrives_is_bounded(server, clients)


def test_bodies_of_brackets():
    with start() as server:
        root = server.login()
        small = anonymous_bytes(server)
        many = '{"sql":"SELECT 1","params":[' + "[]," * 1_200_000 + "0]}"
        for path, headers in (("/v1/api/sql", {"Authorization": f"Bearer {root}"}), ("/v1/api/auth/login", {})):
            status, _, answer = server.request("POST", path, many.encode(), {**headers, "Content-Type": "application/json"})
            assert status in (400, 503), (path, status, answer)
        # Reading them would take 35 MB.
        peak = peak_while(server, 0.2)
        print(f"        anonymous memory {small >> 20} MiB before, {peak >> 20} after", flush=True)
        assert peak < small + (16 << 20), (small, peak)
        # As many parameters as a statement may have are no such thing.
        marks = ", ".join(f"${n + 1}" for n in range(30_000))
        status, _, answer = server.request("POST", "/v1/api/sql", json.dumps(
            {"sql": f"SELECT 1 WHERE 5 IN ({marks})", "params": list(range(30_000))}).encode(),
            {"Authorization": f"Bearer {root}", "Content-Type": "application/json"})
        assert status == 200 or answer["error"]["code"] == "MEMORY_LIMIT_EXCEEDED", answer
        until_given_back(server)


def test_batches_of_very_many_statements():
    """A megabyte of the smallest statements was forty megabytes of plans before the first of them ran."""
    with start() as server:
        root = server.login()
        answers = {}

        def ask():
            status, _, answer = server.request("POST", "/v1/api/sql", json.dumps({"sql": "SELECT 1;" * 110_000}).encode(),
                                               {"Authorization": f"Bearer {root}", "Content-Type": "application/json"})
            code = answer["error"] if isinstance(answer["error"], str) else answer["error"]["code"]
            answers[code] = answers.get(code, 0) + 1
            assert status in (400, 503), (status, answer)

        askers = [threading.Thread(target=ask) for _ in range(8)]
        for asker in askers:
            asker.start()
        peak = peak_while(server, 2)
        for asker in askers:
            asker.join()
        print(f"        anonymous peak {peak >> 20} MiB; {answers}", flush=True)
        assert answers.get("MEMORY_LIMIT_EXCEEDED", 0) > 0, answers
        assert peak < BUDGET, peak
        results = server.sql(root, "SELECT 1;" * 1000)["results"]
        assert len(results) == 1000 and results[999]["rows"] == [["1"]], results[999]


def test_plans_keep_to_their_share():
    with ServerProcess(UNLIMITED + "[memory]\nbudget = \"16MiB\"\n") as server:
        root = server.login()
        server.sql(root, "CREATE NAMESPACE app")
        server.sql(root, "CREATE TABLE app.items (id BIGINT PRIMARY KEY, a INT) WITH (TYPE='SHARED')")
        for columns in range(200):
            server.sql(root, "SELECT " + ", ".join(["a"] * (200 + columns)) + " FROM app.items")
        plans = next(account for account in accounts(server)["children"] if account["name"] == "plan_cache")
        assert (1 << 19) < plans["peak_bytes"] <= plans["limit_bytes"] == 1 << 20, plans


if __name__ == "__main__":
    run_tests(globals())

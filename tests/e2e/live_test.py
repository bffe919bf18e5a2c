"""WebSockets over real sockets: sign-in, subscriptions, resume, limits, expiry, and clients that behave badly."""
import asyncio
import base64
import hashlib
import hmac
import json
import os
import socket
import struct
import time

from server_process import FAST, UNLIMITED, LiveClient, ServerProcess, run_tests, websockets


def prepare(server):
    root = server.login()
    server.sql(root, "CREATE NAMESPACE chat")
    server.sql(root, "CREATE TABLE chat.msgs (id BIGINT PRIMARY KEY, room INT, body TEXT) WITH (TYPE='USER')")
    return root


def mint(server, user, role, seconds):
    """A token signed with the data directory's secret, as an application mints them."""
    with open(os.path.join(server.directory, "jwt_secret"), encoding="ascii") as file:
        secret = file.read().strip()
    now = int(time.time())
    claims = {"sub": user, "iss": "kalamdb", "iat": now + 1, "exp": now + seconds, "role": role, "token_type": "access"}

    def part(value):
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")

    signed = part({"alg": "HS256", "typ": "JWT"}) + b"." + part(claims)
    mac = hmac.new(secret.encode(), signed, hashlib.sha256).digest()
    return (signed + b"." + base64.urlsafe_b64encode(mac).rstrip(b"=")).decode()


async def closed_with(socket, seconds=15):
    """Reads until the server closes; returns the code and the messages before it."""
    messages = []
    try:
        while True:
            messages.append(await asyncio.wait_for(socket.recv(), seconds))
    except websockets.ConnectionClosed as closed:
        return closed.code, messages


async def test_snapshot_changes_and_batches():
    with ServerProcess(UNLIMITED) as server:
        root = prepare(server)
        for i in range(1, 4):
            server.sql(root, f"INSERT INTO chat.msgs VALUES ({i}, 7, 'm{i}')")
        server.sql(root, "INSERT INTO chat.msgs VALUES (9, 8, 'other room')")
        live = await LiveClient.connect(server, root)
        ack = await live.subscribe("s1", "SELECT * FROM chat.msgs WHERE room = 7", {"batch_size": 2})
        assert ack["type"] == "subscription_ack" and ack["total_rows"] == 0 and ack["batch_control"]["last_seq_id"] is None
        assert [c["name"] for c in ack["schema"]] == ["id", "room", "body", "_seq", "_deleted"]
        first = await live.receive()
        assert first["type"] == "initial_data_batch" and [r["id"] for r in first["rows"]] == ["1", "2"], first
        assert first["batch_control"]["has_more"] is True and first["batch_control"]["status"] == "loading"
        await live.send({"type": "next_batch", "subscription_id": "s1"})
        second = await live.receive()
        assert [r["id"] for r in second["rows"]] == ["3"] and second["batch_control"]["status"] == "ready"

        server.sql(root, "INSERT INTO chat.msgs VALUES (4, 7, 'new'), (10, 8, 'not for us')")
        change = await live.receive()
        assert change["change_type"] == "insert" and change["rows"][0]["id"] == "4" and "old_values" not in change
        server.sql(root, "UPDATE chat.msgs SET body = 'edited' WHERE id = 4")
        change = await live.receive()
        assert change["change_type"] == "update" and change["rows"][0]["body"] == "edited", change
        assert change["old_values"][0]["body"] == "new"
        server.sql(root, "UPDATE chat.msgs SET room = 8 WHERE id = 4")  # leaves the filter
        assert (await live.receive())["change_type"] == "delete"
        server.sql(root, "UPDATE chat.msgs SET room = 7 WHERE id = 9")  # enters it
        assert (await live.receive())["change_type"] == "insert"
        server.sql(root, "DELETE FROM chat.msgs WHERE id = 1")
        change = await live.receive()
        assert change["change_type"] == "delete" and change["old_values"][0]["id"] == "1" and "rows" not in change
        assert await live.quiet()
        live_rows = server.rows(root, "SELECT subscription_id, user_id, status, changes FROM system.live")
        assert len(live_rows) == 1 and live_rows[0][0] == "s1" and live_rows[0][1] == "root", live_rows
        await live.send({"type": "unsubscribe", "subscription_id": "s1"})
        server.sql(root, "INSERT INTO chat.msgs VALUES (5, 7, 'unseen')")
        assert await live.quiet()
        await live.close()


async def test_resume_reports_what_was_missed():
    with ServerProcess(UNLIMITED) as server:
        root = prepare(server)
        server.sql(root, "INSERT INTO chat.msgs VALUES (1, 7, 'a'), (2, 7, 'b')")
        live = await LiveClient.connect(server, root)
        await live.subscribe("s1", "SELECT * FROM chat.msgs", {})
        batch = await live.receive()
        cursor = batch["batch_control"]["last_seq_id"]
        await live.close()
        server.sql(root, "DELETE FROM chat.msgs WHERE id = 1")
        server.sql(root, "UPDATE chat.msgs SET body = 'c' WHERE id = 2")
        server.sql(root, "INSERT INTO chat.msgs VALUES (3, 7, 'd')")
        live = await LiveClient.connect(server, root)
        ack = await live.subscribe("s1", "SELECT * FROM chat.msgs", {"from": str(cursor)})
        assert ack["type"] == "subscription_ack"
        batch = await live.receive()
        assert batch["rows"] == [] and batch["batch_control"]["status"] == "ready", batch
        kinds = []
        seqs = []
        for _ in range(3):
            change = await live.receive()
            kinds.append(change["change_type"])
            seqs.append(int((change.get("rows") or change["old_values"])[0]["_seq"]))
        assert kinds == ["delete", "update", "insert"] and seqs == sorted(seqs) and seqs[0] > int(cursor), (kinds, seqs)
        await live.close()


async def test_rows_of_others_never_arrive():
    with ServerProcess(UNLIMITED) as server:
        root = prepare(server)
        for name in ("ann", "bob"):
            server.sql(root, f"CREATE USER '{name}' WITH PASSWORD '{name}-password-1' ROLE 'user'")
        tokens = {name: server.login(name, f"{name}-password-1") for name in ("ann", "bob")}
        clients = {name: await LiveClient.connect(server, tokens[name]) for name in tokens}
        for client in clients.values():
            assert (await client.subscribe("s", "SELECT * FROM chat.msgs"))["type"] == "subscription_ack"
        server.sql(tokens["ann"], "INSERT INTO chat.msgs VALUES (1, 1, 'for ann')")
        assert (await clients["ann"].receive())["rows"][0]["body"] == "for ann"
        assert await clients["bob"].quiet()
        answer = await clients["bob"].subscribe("x", "SELECT * FROM chat.nothing")
        assert answer["type"] == "error" and answer["code"] == "NOT_FOUND" and answer["subscription_id"] == "x", answer
        answer = await clients["bob"].subscribe("y", "SELECT nonsense FROM")
        assert answer["type"] == "error" and answer["code"] == "INVALID_SQL", answer
        # Changing a password ends what the old tokens opened.
        server.sql(root, "ALTER USER 'bob' SET PASSWORD 'bob-password-2'")
        code, _ = await closed_with(clients["bob"].socket)
        assert code == 4401, code
        server.sql(root, "DROP USER 'ann'")
        code, _ = await closed_with(clients["ann"].socket)
        assert code == 4401, code


async def test_sign_in_by_header_and_its_refusals():
    config = UNLIMITED + "[websocket]\nauth_timeout_secs = 1\nheartbeat_interval_secs = 1\nclient_timeout_secs = 3\n"
    with ServerProcess(config) as server:
        root = prepare(server)
        headers = {"Authorization": "Bearer " + root}
        async with websockets.connect(server.url(), extra_headers=headers) as socket:
            assert json.loads(await socket.recv())["type"] == "auth_success"
        async with websockets.connect(server.url("/v1/ws?serialization=msgpack"), extra_headers=headers) as socket:
            first = await socket.recv()
            assert isinstance(first, str) and json.loads(first)["protocol"]["serialization"] == "msgpack"
        async with websockets.connect(server.url(), extra_headers={"Authorization": "Bearer wrong"}) as socket:
            code, messages = await closed_with(socket)
            assert code == 1008 and json.loads(messages[0])["type"] == "auth_error"
        async with websockets.connect(server.url()) as socket:  # says nothing
            code, messages = await closed_with(socket)
            assert code == 1008 and "timeout" in json.loads(messages[0])["message"]
        async with websockets.connect(server.url()) as socket:
            await socket.send(json.dumps({"type": "subscribe", "subscription": {"id": "a", "sql": "SELECT 1"}}))
            answer = json.loads(await socket.recv())
            assert answer["code"] == "AUTH_REQUIRED" and answer["subscription_id"] == "subscribe"
            await socket.send("no json")
            assert (await closed_with(socket))[0] == 1011
        # A token that ends while the socket is open (with the leeway of a minute already used up).
        live = await LiveClient.connect(server, mint(server, "root", "system", -58))
        code, _ = await closed_with(live.socket)
        assert code == 4401, code
        # A client that answers pings stays; the library does that by itself.
        live = await LiveClient.connect(server, root)
        await asyncio.sleep(4)
        await live.subscribe("s", "SELECT * FROM chat.msgs")
        await live.close()


async def test_messages_beyond_the_limits():
    config = FAST + "[rate_limit]\nmax_messages_per_sec = 5\nmax_subscriptions_per_user = 2\n[security]\nmax_ws_message_size = 2048\n"
    with ServerProcess(config) as server:
        root = prepare(server)
        live = await LiveClient.connect(server, root)
        await live.send({"type": "ping", "filler": "x" * 4000})
        answer = await live.receive()
        assert answer["code"] == "MESSAGE_TOO_LARGE" and answer["subscription_id"] == "protocol", answer
        await live.socket.send(b"\x01\x02")
        assert (await live.receive())["code"] == "UNSUPPORTED_DATA"
        for name in ("a", "b"):
            assert (await live.subscribe(name, "SELECT * FROM chat.msgs"))["type"] == "subscription_ack"
        answer = await live.subscribe("c", "SELECT * FROM chat.msgs")
        assert answer["code"] == "SUBSCRIPTION_LIMIT_EXCEEDED", answer
        for _ in range(8):
            await live.send({"type": "ping"})
        assert (await live.receive())["code"] == "RATE_LIMIT_EXCEEDED"
        await live.close()
    with ServerProcess(FAST + '[security.cors]\nallowed_origins = ["https://app.example"]\n') as server:
        try:
            await websockets.connect(server.url(), origin="https://evil.example")
            raise AssertionError("a foreign origin was let in")
        except websockets.InvalidStatusCode as refused:
            assert refused.status_code == 403


async def test_a_reader_that_stops_costs_no_memory_and_loses_nothing():
    with ServerProcess(UNLIMITED) as server:
        root = prepare(server)
        slow = await LiveClient.connect(server, root)
        await slow.subscribe("s", "SELECT * FROM chat.msgs")
        slow.socket.transport.pause_reading()
        body = "x" * 1000
        count = 6000
        for begin in range(0, count, 500):
            values = ", ".join(f"({i}, 1, '{body}')" for i in range(begin, begin + 500))
            await asyncio.get_running_loop().run_in_executor(None, server.sql, root, f"INSERT INTO chat.msgs VALUES {values}")
        slow.socket.transport.resume_reading()
        for i in range(count):
            change = await slow.receive()
            assert change["rows"][0]["id"] == str(i), (i, change["rows"][0]["id"])
        await slow.close()


def segments_received(client):
    """How many pieces the kernel was given for this socket: tcpi_data_segs_in of struct tcp_info."""
    facts = client.socket.transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 160)
    return struct.unpack_from("=I", facts, 152)[0]


async def test_several_changes_leave_with_one_write():
    with ServerProcess(UNLIMITED) as server:
        root = prepare(server)
        clients = [await LiveClient.connect(server, root) for _ in range(3)]
        for client in clients:
            assert (await client.subscribe("s", "SELECT * FROM chat.msgs"))["type"] == "subscription_ack"
        before = [segments_received(client) for client in clients]
        server.sql(root, "INSERT INTO chat.msgs VALUES " + ", ".join(f"({i}, 1, 'x')" for i in range(20)))
        for client, segments in zip(clients, before):
            ids = [int(row["id"]) for _ in range(20) for row in (await client.receive())["rows"]]
            assert ids == list(range(20)), ids
            # Twenty frames are more than what one write may hold back for a socket, but not by much.
            assert segments_received(client) - segments <= 3, segments_received(client) - segments
        # What comes alone, and what is larger than may wait, arrives as well, in order.
        for number in (20, 21):
            server.sql(root, f"INSERT INTO chat.msgs VALUES ({number}, 1, 'x')")
        server.sql(root, "INSERT INTO chat.msgs VALUES (22, 1, 'x'), (23, 1, $1), (24, 1, 'x')", ["y" * 100_000])
        for client in clients:
            ids = [int((await client.receive())["rows"][0]["id"]) for _ in range(5)]
            assert ids == list(range(20, 25)), ids


async def test_kill_and_shutdown():
    with ServerProcess(UNLIMITED) as server:
        root = prepare(server)
        live = await LiveClient.connect(server, root)
        await live.subscribe("s", "SELECT * FROM chat.msgs")
        live_id = server.rows(root, "SELECT live_id FROM system.live")[0][0]
        answer = server.sql(root, f"KILL LIVE QUERY '{live_id}'")["results"][0]
        assert answer["message"] == f"Live query killed: {live_id}", answer
        assert server.rows(root, "SELECT live_id FROM system.live") == []
        clients = [await LiveClient.connect(server, root) for _ in range(20)]
        waiting = [asyncio.ensure_future(closed_with(client.socket)) for client in clients]
        await asyncio.sleep(0.1)
        code, seconds = await asyncio.get_running_loop().run_in_executor(None, server.stop)
        assert code == 0 and seconds < 5, (code, seconds)
        assert [(await each)[0] for each in waiting] == [1001] * 20


async def test_after_a_restart_the_resume_goes_on():
    with ServerProcess(UNLIMITED) as server:
        root = prepare(server)
        server.sql(root, "INSERT INTO chat.msgs VALUES (1, 7, 'a')")
        live = await LiveClient.connect(server, root)
        await live.subscribe("s1", "SELECT * FROM chat.msgs", {})
        cursor = (await live.receive())["batch_control"]["last_seq_id"]
        server.sql(root, "INSERT INTO chat.msgs VALUES (2, 7, 'b')")
        server.process.kill()
        server.process.wait()
        server.start()
        root = server.login()
        live = await LiveClient.connect(server, root)
        await live.subscribe("s1", "SELECT * FROM chat.msgs", {"from": cursor})
        assert (await live.receive())["batch_control"]["status"] == "ready"
        assert (await live.receive())["rows"][0]["id"] == "2"
        await live.close()


if __name__ == "__main__":
    run_tests(globals())

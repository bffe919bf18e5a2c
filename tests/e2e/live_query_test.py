"""Live queries against the real server: snapshots, changes, slow readers, resumes, restarts, formats, endings.

    live_query_test.py <folder of the binaries>
"""

import asyncio
import gzip
import json
import struct

from server_process import FAST, ServerProcess, run_tests, websockets

CONFIG = FAST + """
[rate_limit]
max_queries_per_sec = 1000000
max_messages_per_sec = 1000000
max_subscriptions_per_user = 50
"""
SETUP = """CREATE NAMESPACE app;
CREATE TABLE app.items (id BIGINT PRIMARY KEY, room INT, body TEXT) WITH (TYPE = 'SHARED', ACCESS_LEVEL = 'public');
CREATE TABLE app.notes (id BIGINT PRIMARY KEY, body TEXT) WITH (TYPE = 'USER')"""


def unpack(data, at=0):
    """A MessagePack value and where it ends."""
    tag = data[at]
    at += 1

    def number(form):
        size = struct.calcsize(form)
        return struct.unpack(">" + form, data[at:at + size])[0], at + size

    def text(size, begin):
        return data[begin:begin + size].decode(), begin + size

    def array(count, begin):
        values = []
        for _ in range(count):
            value, begin = unpack(data, begin)
            values.append(value)
        return values, begin

    def mapping(count, begin):
        values, begin = array(2 * count, begin)
        return dict(zip(values[::2], values[1::2])), begin

    if tag <= 0x7f:
        return tag, at
    if tag <= 0x8f:
        return mapping(tag & 15, at)
    if tag <= 0x9f:
        return array(tag & 15, at)
    if tag <= 0xbf:
        return text(tag & 31, at)
    if tag >= 0xe0:
        return tag - 256, at
    if tag in (0xc0, 0xc2, 0xc3):
        return {0xc0: None, 0xc2: False, 0xc3: True}[tag], at
    forms = {0xcb: "d", 0xcc: "B", 0xcd: "H", 0xce: "I", 0xcf: "Q", 0xd0: "b", 0xd1: "h", 0xd2: "i", 0xd3: "q"}
    if tag in forms:
        return number(forms[tag])
    sized = {0xd9: ("B", text), 0xda: ("H", text), 0xdb: ("I", text), 0xdc: ("H", array), 0xdd: ("I", array),
             0xde: ("H", mapping), 0xdf: ("I", mapping)}
    form, read = sized[tag]
    count, at = number(form)
    return read(count, at)


class Live:
    """A socket that is signed in."""

    @classmethod
    async def open(cls, server, token, query="", **options):
        live = cls()
        live.socket = await websockets.connect(server.url("/v1/ws" + query), compression=None,
                                               extra_headers={"Authorization": "Bearer " + token}, max_size=None,
                                               ping_interval=None, **options)
        first = await live.socket.recv()
        assert isinstance(first, str) and json.loads(first)["type"] == "auth_success", first
        live.binary_count = 0
        return live

    async def send(self, **message):
        await self.socket.send(json.dumps(message))

    async def subscribe(self, id, sql, options="absent"):
        subscription = {"id": id, "sql": sql}
        if options != "absent":
            subscription["options"] = options
        await self.send(type="subscribe", subscription=subscription)

    async def receive(self, timeout=10):
        data = await asyncio.wait_for(self.socket.recv(), timeout)
        if isinstance(data, str):
            return json.loads(data)
        self.binary_count += 1
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
        if data[:1] == b"{":
            return json.loads(data)
        value, end = unpack(data)
        assert end == len(data)
        return value

    async def silence(self, seconds=0.3):
        try:
            message = await self.receive(seconds)
        except asyncio.TimeoutError:
            return
        raise AssertionError(f"unexpected {message}")

    async def snapshot(self, id):
        """Acknowledgement and all batches; the rows."""
        ack = await self.receive()
        assert ack["type"] == "subscription_ack", ack
        assert ack["batch_control"]["last_seq_id"] is None
        rows, number = [], 0
        while True:
            batch = await self.receive()
            assert batch["type"] == "initial_data_batch", batch
            assert batch["batch_control"]["batch_num"] == number
            rows += batch["rows"]
            if not batch["batch_control"]["has_more"]:
                assert batch["batch_control"]["status"] == "ready"
                return ack, rows
            number += 1
            await self.send(type="next_batch", subscription_id=id, last_seq_id=batch["batch_control"]["last_seq_id"])

    async def close(self):
        await self.socket.close()


def seq_of(change):
    rows = change.get("rows") or change["old_values"]
    return int(rows[0]["_seq"])


def with_server(test):
    def start():
        with ServerProcess(CONFIG) as server:
            token = server.login()
            server.sql(token, SETUP)
            asyncio.run(test(server, token))
    return start


def insert_many(server, token, first, count, room=1, body="x"):
    for begin in range(first, first + count, 500):
        values = ", ".join(f"({i}, {room}, '{body}')" for i in range(begin, min(begin + 500, first + count)))
        server.sql(token, f"INSERT INTO app.items (id, room, body) VALUES {values}")


@with_server
async def test_every_kind_of_change(server, token):
    live = await Live.open(server, token)
    await live.subscribe("all", "SELECT * FROM app.items")
    ack = await live.receive()
    assert ack["batch_control"] == {"batch_num": 0, "has_more": False, "status": "ready", "last_seq_id": None}
    assert [column["name"] for column in ack["schema"]] == ["id", "room", "body", "_seq", "_deleted"], ack["schema"]
    await live.subscribe("seven", "SELECT id, body FROM app.items WHERE room = 7")
    await live.receive()
    server.sql(token, "INSERT INTO app.items VALUES (1, 6, 'a')")
    change = await live.receive()
    assert change["change_type"] == "insert" and change["rows"][0]["body"] == "a", change
    first = change["rows"][0]["_seq"]
    assert isinstance(first, str) and change["rows"][0]["_deleted"] is False
    await live.silence()
    server.sql(token, "UPDATE app.items SET room = 7 WHERE id = 1")
    both = {message["subscription_id"]: message for message in [await live.receive(), await live.receive()]}
    assert both["all"]["old_values"] == [{"id": "1", "room": 6, "_seq": first}], both["all"]
    assert both["all"]["rows"][0]["body"] == "a"
    assert both["seven"]["change_type"] == "insert", both["seven"]
    server.sql(token, "UPDATE app.items SET room = NULL WHERE id = 1")
    both = {message["subscription_id"]: message for message in [await live.receive(), await live.receive()]}
    assert both["all"]["rows"][0]["room"] is None
    assert both["seven"]["change_type"] == "delete" and both["seven"]["old_values"][0]["_deleted"] is True
    server.sql(token, "DELETE FROM app.items WHERE id = 1")
    change = await live.receive()
    assert change["change_type"] == "delete" and change["old_values"][0]["body"] == "a", change
    await live.send(type="unsubscribe", subscription_id="all")
    server.sql(token, "INSERT INTO app.items VALUES (2, 1, 'b')")
    await live.silence()
    await live.close()


@with_server
async def test_five_thousand_rows_in_batches(server, token):
    insert_many(server, token, 0, 5000)
    live = await Live.open(server, token)
    await live.subscribe("s", "SELECT * FROM app.items WHERE room = 1", {"batch_size": 1000})
    ack, rows = await live.snapshot("s")
    assert ack["batch_control"]["status"] == "loading"
    assert sorted(int(row["id"]) for row in rows) == list(range(5000))
    seqs = [int(row["_seq"]) for row in rows]
    assert seqs == sorted(set(seqs))
    assert live.binary_count >= 5, "large batches are compressed"
    await live.subscribe("newest", "SELECT id FROM app.items", {"last_rows": 3})
    _, rows = await live.snapshot("newest")
    assert [int(row["_seq"]) for row in rows] == seqs[-3:]
    await live.close()


@with_server
async def test_a_reader_that_pauses_misses_nothing(server, token):
    insert_many(server, token, 0, 250, room=0)
    live = await Live.open(server, token, max_queue=4, read_limit=4096)
    await live.subscribe("s", "SELECT * FROM app.items")
    await live.receive()
    padding = "p" * 300

    def write():
        for room in range(1, 41):
            server.sql(token, f"UPDATE app.items SET room = {room}, body = '{room} {padding}' WHERE id >= 0")

    await asyncio.get_running_loop().run_in_executor(None, write)
    last = 0
    for room in range(1, 41):
        ids = set()
        for _ in range(250):
            change = await live.receive()
            assert change["rows"][0]["room"] == room, f"expected {room}, got {change['rows'][0]['room']}"
            assert seq_of(change) > last
            last = seq_of(change)
            ids.add(change["rows"][0]["id"])
        assert len(ids) == 250
    await live.silence()
    await live.close()


@with_server
async def test_resume_after_a_disconnect_and_a_restart(server, token):
    insert_many(server, token, 0, 10)
    live = await Live.open(server, token)
    await live.subscribe("s", "SELECT * FROM app.items", {})
    _, rows = await live.snapshot("s")
    seen = max(int(row["_seq"]) for row in rows)
    await live.close()
    server.sql(token, "UPDATE app.items SET body = 'while away' WHERE id = 3")
    server.sql(token, "DELETE FROM app.items WHERE id = 4")
    for restart in (False, True):
        if restart:
            server.stop()
            server.start()
        live = await Live.open(server, token)
        await live.subscribe("s", "SELECT * FROM app.items", {"from": str(seen)})
        ack, rows = await live.snapshot("s")
        assert rows == [] and ack["batch_control"]["status"] == "ready"
        update, delete = await live.receive(), await live.receive()
        assert update["change_type"] == "update" and update["rows"][0]["id"] == "3"
        assert delete["change_type"] == "delete" and delete["old_values"][0]["id"] == "4"
        await live.silence()
        await live.close()
    live = await Live.open(server, token)
    await live.subscribe("s", "SELECT * FROM app.items", {"from": seq_of(delete)})
    await live.snapshot("s")
    server.sql(token, "INSERT INTO app.items VALUES (100, 1, 'after')")
    assert (await live.receive())["rows"][0]["id"] == "100"
    await live.close()


@with_server
async def test_users_see_their_own_rows_only(server, token):
    for user in ("ann", "bob"):
        server.sql(token, f"CREATE USER '{user}' WITH PASSWORD 'password-{user}' ROLE 'user'")
    ann, bob = server.login("ann", "password-ann"), server.login("bob", "password-bob")
    server.sql(ann, "INSERT INTO app.notes VALUES (1, 'of ann')")
    live = await Live.open(server, bob)
    await live.subscribe("s", "SELECT * FROM app.notes", {})
    _, rows = await live.snapshot("s")
    assert rows == []
    server.sql(ann, "UPDATE app.notes SET body = 'still of ann' WHERE id = 1")
    server.sql(token, "INSERT INTO app.notes VALUES (1, 'of root')")
    await live.silence()
    server.sql(token, "EXECUTE AS USER 'bob' (INSERT INTO app.notes VALUES (1, 'of bob'))")
    assert (await live.receive())["rows"][0]["body"] == "of bob"
    await live.subscribe("system", "SELECT * FROM system.users")
    assert (await live.receive())["code"] in ("UNAUTHORIZED", "INVALID_SQL")
    await live.close()


@with_server
async def test_message_pack_from_the_url(server, token):
    live = await Live.open(server, token, "?serialization=msgpack")
    await live.subscribe("s", "SELECT * FROM app.items", {})
    ack, rows = await live.snapshot("s")
    assert ack["schema"][0]["data_type"] == "BigInt" and rows == []
    server.sql(token, "INSERT INTO app.items VALUES (9007199254740993, 5, '" + "long " * 400 + "')")
    change = await live.receive()
    assert change["rows"][0]["id"] == "9007199254740993" and change["rows"][0]["room"] == 5
    assert live.binary_count == 3
    await live.close()


@with_server
async def test_in_band_authentication(server, token):
    socket = await websockets.connect(server.url(), compression=None)
    await socket.send(json.dumps({"type": "subscribe", "subscription": {"id": "s", "sql": "SELECT * FROM app.items"}}))
    assert json.loads(await socket.recv())["code"] == "AUTH_REQUIRED"
    await socket.send(json.dumps({"type": "authenticate", "method": "jwt", "token": token}))
    success = json.loads(await socket.recv())
    assert success["type"] == "auth_success" and success["user"] == "root" and success["role"] == "system"
    assert success["protocol"] == {"serialization": "json", "compression": "gzip"}
    await socket.close()
    socket = await websockets.connect(server.url(), compression=None)
    await socket.send(json.dumps({"type": "authenticate", "method": "jwt", "token": "nonsense"}))
    assert json.loads(await socket.recv())["type"] == "auth_error"
    try:
        await socket.recv()
        raise AssertionError("the socket stays open")
    except websockets.ConnectionClosed as closed:
        assert closed.code == 1008, closed


@with_server
async def test_drop_alter_kill_and_limits(server, token):
    live = await Live.open(server, token)
    await live.subscribe("s", "SELECT * FROM app.items WHERE room = 1")
    await live.receive()
    server.sql(token, "ALTER TABLE app.items ADD COLUMN score INT")
    server.sql(token, "INSERT INTO app.items (id, room, body, score) VALUES (1, 1, 'a', 5)")
    assert (await live.receive())["rows"][0]["score"] == 5
    records = server.rows(token, "SELECT live_id, subscription_id, query FROM system.live")
    assert [record[2] for record in records] == ["SELECT * FROM app.items WHERE room = 1"], records
    server.sql(token, f"KILL LIVE QUERY '{records[0][0]}'")
    assert (await live.receive())["type"] == "error"
    assert server.rows(token, "SELECT live_id FROM system.live") == []
    await live.subscribe("s", "SELECT * FROM app.items")
    await live.receive()
    server.sql(token, "DROP TABLE app.items")
    error = await live.receive()
    assert error["type"] == "error" and error["code"] == "NOT_FOUND" and error["subscription_id"] == "s"
    for number in range(50):
        await live.subscribe(f"n{number}", "SELECT * FROM app.notes")
        assert (await live.receive())["type"] == "subscription_ack"
    await live.subscribe("one too many", "SELECT * FROM app.notes")
    assert (await live.receive())["code"] == "SUBSCRIPTION_LIMIT_EXCEEDED"
    for sql, code in (("SELECT * FROM app.notes ORDER BY id", "INVALID_SQL"), ("SELECT * FROM app.gone", "NOT_FOUND"),
                      ("nonsense", "INVALID_SQL")):
        await live.subscribe("n0", sql)
        answer = await live.receive()
        assert answer["code"] == code, (sql, answer)
    await live.close()


@with_server
async def test_a_transaction_is_seen_whole_or_not_at_all(server, token):
    live = await Live.open(server, token)
    await live.subscribe("s", "SELECT * FROM app.items")
    await live.receive()
    server.sql(token, "BEGIN; INSERT INTO app.items VALUES (1, 1, 'a'); INSERT INTO app.items VALUES (2, 1, 'b'); ROLLBACK")
    await live.silence()
    server.sql(token, "BEGIN; INSERT INTO app.items VALUES (1, 1, 'a'); UPDATE app.items SET body = 'c' WHERE id = 1; "
                      "INSERT INTO app.items VALUES (2, 1, 'b'); COMMIT")
    changes = [await live.receive(), await live.receive()]
    assert {change["rows"][0]["id"]: change["rows"][0]["body"] for change in changes} == {"1": "c", "2": "b"}
    await live.silence()
    await live.close()


if __name__ == "__main__":
    run_tests(globals())

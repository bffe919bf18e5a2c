"""Subscribers that stop reading, fall silent, or come back late: little memory, every change once and in order, others
notice nothing. KALAM_SLOW_CHANGES=1000000 makes it the full size; the figures are printed.

    slow_consumer_test.py <folder of the binaries>
"""
import json
import os
import select
import signal
import socket
import struct
import threading
import time

from server_process import UNLIMITED, ServerProcess, run_tests

CHANGES = int(os.environ.get("KALAM_SLOW_CHANGES", "20000"))
STALLED = int(os.environ.get("KALAM_SLOW_SUBSCRIBERS", "256"))
BATCH = 100
# A million rows would go to cold storage, and what the engine holds that writes them is no subscriber's.
CONFIG = (UNLIMITED + "max_subscriptions_per_user = 10000\n[websocket]\nclient_timeout_secs = 4\nheartbeat_interval_secs = 2\n"
          "[flush]\ndefault_row_limit = 0\n")
BODY = "a line of a conversation that somebody follows"


class Closed(Exception):
    """The server ended the socket; `code` and `reason` are those of its close frame, None when it sent none."""

    def __init__(self, code=None, reason=None):
        super().__init__(code, reason)
        self.code = code


class RawSubscriber:
    """A WebSocket that reads when it is told to and not before."""

    def __init__(self, server, token, receive_buffer=None):
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(120)
        self.socket.connect(("127.0.0.1", server.port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.sendall((
            "GET /v1/ws?compress=false HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
            f"Authorization: Bearer {token}\r\n\r\n").encode())
        self.buffer, self.pongs = b"", []
        while b"\r\n\r\n" not in self.buffer:
            self.fill()
        head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        assert head.startswith(b"HTTP/1.1 101"), head
        assert self.receive()["type"] == "auth_success"

    def fill(self):
        try:
            piece = self.socket.recv(1 << 18)
        except ConnectionResetError:
            piece = b""
        if not piece:
            raise Closed
        self.buffer += piece

    def frames(self, wait=True):
        """The messages that are complete; waits for the first."""
        found = []
        while True:
            at = 0
            while len(self.buffer) - at >= 2:
                opcode, size, begin = self.buffer[at] & 15, self.buffer[at + 1] & 127, at + 2
                if size == 126:
                    if len(self.buffer) < begin + 2:
                        break
                    size, begin = struct.unpack_from(">H", self.buffer, begin)[0], begin + 2
                elif size == 127:
                    if len(self.buffer) < begin + 8:
                        break
                    size, begin = struct.unpack_from(">Q", self.buffer, begin)[0], begin + 8
                if len(self.buffer) < begin + size:
                    break
                payload, at = self.buffer[begin:begin + size], begin + size
                if opcode == 8:
                    if found:
                        at = begin - 2 if size < 126 else begin - 4
                        break
                    raise Closed(struct.unpack(">H", payload[:2])[0], payload[2:].decode())
                if opcode == 9:
                    self.frame(10, payload)
                elif opcode == 10:
                    self.pongs.append(payload)
                elif opcode in (1, 2):
                    found.append(payload)
            self.buffer = self.buffer[at:]
            if found or not wait:
                return found
            self.fill()

    def receive(self):
        """One message; further ones that came along stay for `frames`."""
        messages = self.frames()
        assert len(messages) == 1, messages
        return json.loads(messages[0])

    def frame(self, opcode, payload):
        head = bytes([0x80 | opcode])
        head += bytes([0x80 | len(payload)]) if len(payload) < 126 else struct.pack(">BH", 0xfe, len(payload))
        self.socket.sendall(head + b"\0\0\0\0" + payload)

    def ping(self):
        self.frame(9, b"")

    def subscribe(self, sql, options=None):
        subscription = {"id": "s", "sql": sql}
        if options is not None:
            subscription["options"] = options
        self.frame(1, json.dumps({"type": "subscribe", "subscription": subscription}).encode())

    def close(self):
        self.socket.close()


class Heartbeat:
    """Pings for subscribers every second, whatever the test is busy with meanwhile."""

    def __init__(self):
        self.subscribers, self.ended = [], threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()

    def _run(self):
        while not self.ended.wait(1):
            for subscriber in list(self.subscribers):
                try:
                    subscriber.ping()
                except OSError:
                    # It was closed here, or by the server: whoever reads it finds out.
                    self.subscribers.remove(subscriber)


class Reader:
    """Takes the changes of one subscriber and holds them against what was written: kind and id, in order."""

    def __init__(self, subscriber):
        self.subscriber = subscriber
        self.got = []
        self.last_seq = 0

    def take(self, message):
        message = json.loads(message)
        if message["type"] != "change":
            assert message["type"] in ("subscription_ack", "initial_data_batch"), message
            assert not message.get("rows"), message
            return
        row = (message.get("rows") or message["old_values"])[0]
        seq = int(row["_seq"])
        assert seq > self.last_seq, (self.last_seq, message)
        self.last_seq = seq
        self.got.append((message["change_type"], int(row["id"])))

    def read(self, count):
        while len(self.got) < count:
            for message in self.subscriber.frames():
                self.take(message)


class Writer:
    """Writes batches of inserts, an update and a delete, and remembers them in order."""

    def __init__(self, server, token):
        self.server, self.token, self.next_id, self.written, self.seconds = server, token, 0, [], []

    def write(self, changes, between=lambda: None):
        until = len(self.written) + changes
        while len(self.written) < until:
            first = self.next_id
            self.next_id += BATCH - 2
            ids = range(first, self.next_id)
            begin = time.monotonic()
            self.server.sql(self.token, "INSERT INTO app.events (id, body) VALUES " +
                            ",".join(f"({i}, '{BODY}')" for i in ids) +
                            f"; UPDATE app.events SET body = 'changed' WHERE id = {first};"
                            f" DELETE FROM app.events WHERE id = {first + 1}")
            self.seconds.append(time.monotonic() - begin)
            self.written += [("insert", i) for i in ids] + [("update", first), ("delete", first + 1)]
            between()


def accounts(server):
    """Kilobytes of every account, by its path below the server's."""
    kilobytes = {}

    def visit(account, path):
        for child in account["children"]:
            kilobytes[path + child["name"]] = child["used_bytes"] / 1024
            visit(child, path + child["name"] + ".")

    visit(server.request("GET", "/v1/api/metrics/memory")[2]["accounts"], "")
    return kilobytes


def private_kilobytes(server):
    with open(f"/proc/{server.process.pid}/smaps_rollup", encoding="ascii") as rollup:
        return int(next(line for line in rollup if line.startswith("Private_Dirty")).split()[1])


class Looks:
    """Looks at the memory of a server while something happens: all that is private but block cache and write buffers, which
    fill with whatever passes and have bounds of their own, and what the accounts say that subscribers cost."""

    SUBSCRIBERS = ("connections.sessions", "connections.read", "connections.write", "subscriptions", "change_tail", "resumes")

    def __init__(self, server):
        self.server, self.private, self.charged = server, [], []

    def look(self):
        private, held = private_kilobytes(self.server), accounts(self.server)
        self.private.append(private - held["block_cache"] - held["memtables"])
        self.charged.append(sum(held[name] for name in self.SUBSCRIBERS))

    @staticmethod
    def settled(kilobytes):
        """The mean of the second half: compactions and freed write buffers come and go within seconds."""
        half = kilobytes[len(kilobytes) // 2:]
        return sum(half) / len(half)


def prepare(server, options=""):
    root = server.login()
    server.sql(root, "CREATE NAMESPACE app; CREATE TABLE app.events (id BIGINT PRIMARY KEY, body TEXT) "
                     f"WITH (TYPE = 'SHARED', ACCESS_LEVEL = 'public'{options})")
    return root


def percentiles(seconds):
    """p50 and p99 of some durations, as text in milliseconds; forgets them."""
    ordered = sorted(seconds)
    seconds.clear()
    return f"p50 {ordered[len(ordered) // 2] * 1e3:.2f} ms, p99 {ordered[len(ordered) * 99 // 100] * 1e3:.2f} ms"


def test_who_stops_reading_costs_little_and_gets_everything():
    with ServerProcess(CONFIG) as server, Heartbeat() as heartbeat:
        root = prepare(server)
        writer = Writer(server, root)
        other = Reader(RawSubscriber(server, root))
        other.subscriber.subscribe("SELECT * FROM app.events")
        heartbeat.subscribers.append(other.subscriber)
        lags = []

        def write(changes, looks):
            """Writes, while `other` reads all the time; how long each batch of its changes took from commit on."""

            def keep_up():
                begin = time.monotonic()
                other.read(len(writer.written))
                lags.append(time.monotonic() - begin)
                if len(lags) % 20 == 0:
                    looks.look()

            writer.write(changes, keep_up)
            looks.look()

        # The same writes without them are what they are compared with.
        without, with_them = Looks(server), Looks(server)
        write(max(CHANGES // 2, 20000), without)
        before = percentiles(writer.seconds), percentiles(lags)
        begin = len(writer.written)
        slow = []
        for _ in range(STALLED):
            stalled = RawSubscriber(server, root, receive_buffer=4096)
            stalled.subscribe("SELECT * FROM app.events")
            assert stalled.receive()["type"] == "subscription_ack"
            slow.append(stalled)
            heartbeat.subscribers.append(stalled)
        write(CHANGES, with_them)
        kernel = next(line for line in open("/proc/net/sockstat", encoding="ascii") if line.startswith("TCP")).split()[-1]
        private = [Looks.settled(looks.private) for looks in (without, with_them)]
        each = (private[1] - private[0]) / STALLED
        charged = max(with_them.charged) / STALLED
        print(f"        {CHANGES} changes past {STALLED} subscribers that do not read: private memory without block cache and write "
              f"buffers {private[0]:.0f} -> {private[1]:.0f} KB (at most {max(without.private):.0f} and {max(with_them.private):.0f}), "
              f"{each:.1f} KB each, of it in accounts {charged:.1f}; kernel sockets {int(kernel) * 4} KB")
        print(f"        a batch of {BATCH} is committed after {percentiles(writer.seconds)} (before: {before[0]}), "
              f"and somebody else has it {percentiles(lags)} later (before: {before[1]})")
        assert each < 64 and charged < 40, (each, charged)
        assert other.got == writer.written
        # None of them was given up meanwhile.
        assert server.rows(root, "SELECT COUNT(*) FROM system.live") == [[str(STALLED + 1)]]
        expected = writer.written[begin:]
        while len(slow) > 1:
            slow.pop().close()
        started = time.monotonic()
        late = Reader(slow[0])
        late.read(len(expected))
        assert late.got == expected
        print(f"        one of them reads again: {len(expected)} changes in {time.monotonic() - started:.2f} s")
        # And it is level again: the next change comes like everybody's.
        write(BATCH, with_them)
        late.read(len(expected) + BATCH)
        assert late.got == writer.written[begin:]


def test_whose_pings_were_not_read_in_time_stays():
    clients = 400
    with ServerProcess(CONFIG) as server, Heartbeat() as heartbeat:
        root = prepare(server)
        writer = Writer(server, root)
        subscribers = [RawSubscriber(server, root) for _ in range(clients)]
        for subscriber in subscribers:
            subscriber.subscribe("SELECT * FROM app.events")
            assert subscriber.receive()["type"] == "subscription_ack"
        # Half of them ping, the others only answer the server's pings; and then the server is kept from its work for longer
        # than anybody may be silent.
        heartbeat.subscribers += subscribers[::2]
        for subscriber in subscribers:
            subscriber.ping()
        server.process.send_signal(signal.SIGSTOP)
        time.sleep(6)
        server.process.send_signal(signal.SIGCONT)
        by_socket = {subscriber.socket: subscriber for subscriber in subscribers}
        until = time.monotonic() + 5
        while time.monotonic() < until:
            for readable in select.select(list(by_socket), [], [], 0.1)[0]:
                by_socket[readable].fill()
                by_socket[readable].frames(wait=False)
        writer.write(BATCH)
        for subscriber in subscribers:
            reader = Reader(subscriber)
            reader.read(BATCH)
            assert reader.got == writer.written


def test_who_falls_silent_is_closed_and_resumes():
    with ServerProcess(CONFIG) as server:
        root = prepare(server)
        writer = Writer(server, root)
        reader = Reader(RawSubscriber(server, root, receive_buffer=4096))
        reader.subscriber.subscribe("SELECT * FROM app.events")
        writer.write(200)
        reader.read(200)
        heard, count = time.monotonic(), 200
        writer.write(CHANGES // 2)
        # Nothing is read and nothing sent: after the client timeout the server gives up on it.
        while server.rows(root, "SELECT COUNT(*) FROM system.live")[0][0] != "0":
            assert time.monotonic() - heard < 60, "a silent subscriber was not closed"
            time.sleep(0.1)
        silent = time.monotonic() - heard
        assert silent > 3, silent
        try:
            while True:
                for message in reader.subscriber.frames():
                    reader.take(message)
        except Closed as closed:
            code = closed.code
        count = len(reader.got)
        assert reader.got == writer.written[:count] and count < len(writer.written)
        writer.write(CHANGES // 2)
        reader.subscriber = RawSubscriber(server, root)
        reader.subscriber.subscribe("SELECT * FROM app.events", {"from": str(reader.last_seq)})
        reader.read(len(writer.written))
        assert reader.got == writer.written
        print(f"        closed after {silent:.1f} s of silence (code {code}), {len(writer.written) - count} changes after the resume")


def test_pings_of_who_does_not_read_cost_little():
    clients, pings, size = 16, 20000, 100
    with ServerProcess(CONFIG) as server:
        root = prepare(server)
        Writer(server, root).write(20000)
        before = private_kilobytes(server)
        subscribers = [RawSubscriber(server, root, receive_buffer=4096) for _ in range(clients)]
        for subscriber in subscribers:
            for first in range(0, pings, 100):
                subscriber.socket.sendall(b"".join(bytes([0x89, 0x80 | size]) + b"\0\0\0\0" + b"%0*d" % (size, number)
                                                   for number in range(first, first + 100)))
            # What comes behind the pings shows when the server has read them.
            subscriber.subscribe("SELECT * FROM app.events")
        deadline = time.monotonic() + 60
        while server.rows(root, "SELECT COUNT(*) FROM system.live")[0][0] != str(clients):
            assert time.monotonic() < deadline, "the pings were not read"
            time.sleep(0.1)
        grown = private_kilobytes(server) - before
        for subscriber in subscribers:
            while not subscriber.pongs or int(subscriber.pongs[-1]) != pings - 1:
                subscriber.frames(wait=False)
                if not subscriber.pongs or int(subscriber.pongs[-1]) != pings - 1:
                    subscriber.fill()
        answered = max(len(subscriber.pongs) for subscriber in subscribers)
        print(f"        {clients} clients sent {pings} pings each and read nothing: {grown} KB; at most {answered} were answered, "
              "the last always")
        assert grown < clients * 64 + 2048, grown
        assert answered < pings // 2, answered


def messages_until(subscriber, done):
    """All messages up to the first for which `done` holds, and those that came along with it."""
    messages = []
    while not any(done(message) for message in messages):
        messages += [json.loads(message) for message in subscriber.frames()]
    return messages


class Retired:
    """A server whose change logs have been cut: two users with two tables each, and cursors from before the cut. Tombstones
    go by the minute, so what becomes of them is looked at later: `start` is called before the other tests of this file."""

    FILLER = range(1000, 4000, 500)

    def start(self):
        self.server = ServerProcess(CONFIG)
        self.server.start()
        root = prepare(self.server)
        for user in ("ann", "bob"):
            self.server.sql(root, f"CREATE USER '{user}' WITH PASSWORD '{user}-password-1' ROLE 'user'")
        self.server.sql(root, "CREATE TABLE app.kept (id BIGINT PRIMARY KEY, body TEXT) WITH (TYPE = 'USER');"
                              "CREATE TABLE app.short (id BIGINT PRIMARY KEY, body TEXT) "
                              "WITH (TYPE = 'USER', DELETED_RETENTION_HOURS = 0)")
        self.sign_in()
        scopes = [(user, table) for user in self.users for table in ("kept", "short")]
        for user, table in scopes:
            self.sql(user, f"INSERT INTO app.{table} VALUES (1, 'first'), (2, 'second'), (3, 'third')")
        self.cursors = {(user, table): self.server.rows(self.users[user], f"SELECT MAX(_seq) FROM app.{table}")[0][0]
                        for user, table in scopes}
        for user, table in scopes:
            self.sql(user, f"UPDATE app.{table} SET body = 'once' WHERE id = 1; "
                           f"UPDATE app.{table} SET body = 'twice' WHERE id = 1; INSERT INTO app.{table} VALUES (4, 'fourth')")
            if user == "ann":
                self.sql(user, f"DELETE FROM app.{table} WHERE id = 2")
            self.fill(user, table)
        # From now on a log may hold next to nothing; that is looked at when the server starts.
        with open(self.server.config_path, "w", encoding="utf-8") as file:
            file.write(CONFIG + "[changes]\nbytes_max = \"4KB\"\n")
        self.restart()
        self.minute = time.time() // 60

    def sign_in(self):
        self.users = {user: self.server.login(user, f"{user}-password-1") for user in ("ann", "bob")}

    def sql(self, user, text):
        self.server.sql(self.users[user], text)

    def fill(self, user, table):
        """Enough that the log must be cut behind everything before it."""
        for first in self.FILLER:
            self.sql(user, f"INSERT INTO app.{table} VALUES " + ",".join(
                f"({i}, '{BODY} {i * 7919}')" for i in range(first, first + 500)) + " ON CONFLICT (id) DO UPDATE SET body = 'filled'")

    def restart(self):
        """Starts the server anew, and waits for the job that cuts."""
        count = "SELECT status, message FROM system.jobs WHERE job_type = 'retention'"
        before = len(self.server.rows(self.server.login(), count))
        self.server.stop()
        self.server.start()
        root = self.server.login()
        deadline = time.monotonic() + 60
        while True:
            jobs = self.server.rows(root, count)
            if len(jobs) > before and all(job[0] == "completed" for job in jobs):
                break
            assert time.monotonic() < deadline, jobs
            time.sleep(0.1)
        self.sign_in()
        return [job[1] for job in jobs]

    def resume(self, user, table, told):
        """A subscriber that comes back to the rows below the filler."""
        subscriber = RawSubscriber(self.server, self.users[user])
        subscriber.subscribe(f"SELECT * FROM app.{table} WHERE id < 1000",
                             {"from": self.cursors[user, table], **({"reports_cursor_too_old": True} if told else {})})
        return subscriber

    def changes(self, user, table, told, count):
        """Acknowledgement, empty batch, and the first changes after it as (kind, id)."""
        messages = []
        subscriber = self.resume(user, table, told)
        while len(messages) < count + 2:
            messages += [json.loads(message) for message in subscriber.frames()]
        subscriber.close()
        assert [message["type"] for message in messages[:3]] == ["subscription_ack", "initial_data_batch", "change"], messages
        assert messages[1]["rows"] == [], messages[1]
        rows = [(message["change_type"], (message.get("rows") or message["old_values"])[0]) for message in messages[2:]]
        seqs = [int(row["_seq"]) for _, row in rows]
        assert seqs == sorted(seqs) and seqs[0] > int(self.cursors[user, table]), seqs
        return [(kind, int(row["id"])) for kind, row in rows][:count]

    def stop(self):
        self.server.__exit__(None)


RETIRED = Retired()


def test_late_comers_get_the_state_unless_a_delete_was_lost():
    try:
        state = [("insert", 1), ("insert", 4)]
        for told in (False, True):
            for table in ("kept", "short"):
                assert RETIRED.changes("bob", table, told, 2) == state
            # On a busy machine the tombstone of the other table has gone by now.
            assert RETIRED.changes("ann", "kept", told, 3) == state + [("delete", 2)]
        # In the next minute at the latest it is old enough to go.
        while time.time() // 60 == RETIRED.minute:
            time.sleep(0.2)
        for table in ("kept", "short"):
            RETIRED.fill("bob", table)
        print(f"        {RETIRED.restart()[-1]}")
        for told in (False, True):
            assert RETIRED.changes("ann", "kept", told, 3) == state + [("delete", 2)]
            # A delete is lost per user: nothing of bob's is.
            for table in ("kept", "short"):
                assert RETIRED.changes("bob", table, told, 2) == state
        # Who can be told is told, everybody else starts over with the current rows.
        told = messages_until(RETIRED.resume("ann", "short", True), lambda message: True)
        assert [(message["type"], message["code"]) for message in told] == [("error", "CURSOR_TOO_OLD")], told
        fresh = messages_until(RETIRED.resume("ann", "short", False), lambda message: message["type"] == "initial_data_batch")
        assert [message["type"] for message in fresh] == ["subscription_ack", "initial_data_batch"], fresh
        assert [int(row["id"]) for row in fresh[1]["rows"]] == [3, 1, 4], fresh
    finally:
        RETIRED.stop()


if __name__ == "__main__":
    RETIRED.start()
    run_tests(globals())

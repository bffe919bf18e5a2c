"""Kills the server with SIGKILL under load, many times, and checks that nothing acknowledged is lost or doubled.

Several clients insert rows over HTTP into a shared and into a user table and count up a row of their own; a subscriber
follows the shared table over a WebSocket and resumes from the last `_seq` that it saw. The server is killed at a random
moment of every round and started again on the same directory. Then, every time:
- every acknowledged row is there, exactly once, and nothing is there that was never sent;
- a counter stands between its acknowledged and its sent increments;
and at the end the subscriber has seen every row of the table exactly once, in ascending `_seq`.

    crash_test.py <folder of the binaries> [rounds] [seed]
"""

import asyncio
import base64
import hashlib
import hmac
import http.client
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time

import websockets

from server_process import take_port

ROUNDS = int(sys.argv[2]) if len(sys.argv) > 2 else 52
SEED = int(sys.argv[3]) if len(sys.argv) > 3 else 1
WRITERS = 6
SECRET = os.urandom(32).hex()
CONFIG = """
[rate_limit]
max_queries_per_sec = 100000000
max_messages_per_sec = 100000000
[logging]
level = "warn"
"""


def mint_token(user, role):
    def encode(raw):
        return base64.urlsafe_b64encode(raw).rstrip(b"=")

    now = int(time.time())
    claims = {"sub": user, "iss": "kalamdb", "role": role, "token_type": "access", "iat": now - 5, "exp": now + 86400}
    signed = encode(b'{"alg":"HS256","typ":"JWT"}') + b"." + encode(json.dumps(claims).encode())
    return (signed + b"." + encode(hmac.new(SECRET.encode(), signed, hashlib.sha256).digest())).decode()


TOKEN = mint_token("root", "system")


class Server:
    """The real binary on a directory that outlives it."""

    def __init__(self, binary, directory):
        self.binary, self.directory, self.process = binary, directory, None
        self.port, self.taken_port = take_port()
        with open(f"{directory}/server.toml", "w") as config:
            config.write(CONFIG)

    def start(self):
        environment = dict(os.environ, KALAMDB_JWT_SECRET=SECRET, KALAMDB_LOGS_DIR=f"{self.directory}/logs")
        self.output = open(f"{self.directory}/server.out", "ab")
        self.process = subprocess.Popen(
            [self.binary, "--config", f"{self.directory}/server.toml", "--host", "127.0.0.1", "--port", str(self.port),
             "--data-dir", f"{self.directory}/data"],
            env=environment, stdout=self.output, stderr=self.output)
        deadline = time.monotonic() + 30
        while True:
            assert self.process.poll() is None, f"the server ended with code {self.process.returncode}: {self.tail()}"
            assert time.monotonic() < deadline, f"the server does not answer: {self.tail()}"
            try:
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
                connection.request("GET", "/health")
                if connection.getresponse().status == 200:
                    return
            except OSError:
                time.sleep(0.005)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.output.close()

    def tail(self):
        with open(f"{self.directory}/server.out", errors="replace") as output:
            return output.read()[-2000:]


class Client:
    """One keep-alive connection for SQL. Any failure of the transport closes it and is raised as OSError."""

    def __init__(self, port):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)

    def sql(self, text, params=None):
        body = {"sql": text}
        if params is not None:
            body["params"] = params
        try:
            self.connection.request("POST", "/v1/api/sql", json.dumps(body),
                                    {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"})
            answer = json.loads(self.connection.getresponse().read())
        except (http.client.HTTPException, ValueError) as error:
            raise OSError(str(error)) from error
        return answer

    def rows(self, text):
        answer = self.sql(text)
        assert answer["status"] == "success", answer
        return answer["results"][0]["rows"]


class Ledger:
    """What the clients know: ids and increments, acknowledged or of unknown outcome."""

    def __init__(self):
        self.lock = threading.Lock()
        self.acknowledged, self.sent = set(), set()
        self.increments_acknowledged, self.increments_sent = [0] * WRITERS, [0] * WRITERS

    def verify(self, port, table):
        client = Client(port)
        found = [int(row[0]) for row in client.rows(f"SELECT id FROM {table}")]
        assert len(found) == len(set(found)), f"{table}: a row is there twice"
        with self.lock:
            lost = self.acknowledged - set(found)
            never_sent = set(found) - self.sent
        assert not lost, f"{table}: {len(lost)} acknowledged rows are lost, such as {sorted(lost)[:5]}"
        assert not never_sent, f"{table}: rows that nobody sent: {sorted(never_sent)[:5]}"
        count = int(client.rows(f"SELECT COUNT(*) FROM {table}")[0][0])
        assert count == len(found), f"{table}: COUNT(*) is {count}, there are {len(found)} rows"
        return set(found)

    def verify_counters(self, port):
        for writer, value in Client(port).rows("SELECT id, n FROM crash.counters"):
            low, high = self.increments_acknowledged[int(writer)], self.increments_sent[int(writer)]
            assert low <= int(value) <= high, f"counter {writer} is {value}, must be {low}..{high}"


def write(writer, server, events, notes, going, stop):
    """Inserts and increments until told to stop; waits while the server is down."""
    number = 0
    while not stop.is_set():
        if not going.wait(0.2):
            continue
        try:
            client = Client(server.port)
            while going.is_set() and not stop.is_set():
                number += 1
                row = writer * 10_000_000 + number
                ledger, table = (events, "crash.events") if number % 3 else (notes, "crash.notes")
                with ledger.lock:
                    ledger.sent.add(row)
                answer = client.sql(f"INSERT INTO {table} (id, body) VALUES ($1, $2)", [row, f"row {row}"])
                if answer["status"] == "success":
                    with ledger.lock:
                        ledger.acknowledged.add(row)
                if number % 5 == 0:
                    events.increments_sent[writer] += 1
                    answer = client.sql(f"UPDATE crash.counters SET n = n + 1 WHERE id = {writer}")
                    if answer["status"] == "success":
                        events.increments_acknowledged[writer] += 1
        except OSError:
            time.sleep(0.01)


class Subscriber:
    """Follows crash.events; after each loss of the connection it resumes from its last `_seq`."""

    def __init__(self, server, seed):
        self.server, self.random = server, random.Random(seed)
        self.cursor, self.seen, self.problems, self.resumes = 0, {}, [], 0
        self.stop = threading.Event()
        self.thread = threading.Thread(target=lambda: asyncio.run(self.run()))
        self.thread.start()

    async def run(self):
        while not self.stop.is_set():
            try:
                async with websockets.connect(
                        f"ws://127.0.0.1:{self.server.port}/v1/ws?compress=false", open_timeout=5, close_timeout=1,
                        extra_headers={"Authorization": f"Bearer {TOKEN}"}) as socket_:
                    await self.follow(socket_)
            except (OSError, websockets.exceptions.WebSocketException, asyncio.TimeoutError):
                await asyncio.sleep(0.02)

    async def follow(self, socket_):
        await socket_.send(json.dumps({"type": "subscribe", "subscription": {
            "id": "events", "sql": "SELECT * FROM crash.events", "options": {"from": str(self.cursor)}}}))
        self.resumes += 1
        while not self.stop.is_set():
            try:
                message = json.loads(await asyncio.wait_for(socket_.recv(), 0.2))
            except asyncio.TimeoutError:
                continue
            if message["type"] == "error":
                self.problems.append(message)
                return
            if message["type"] == "initial_data_batch" and message["batch_control"]["has_more"]:
                await socket_.send(json.dumps({"type": "next_batch", "subscription_id": "events",
                                               "last_seq_id": message["batch_control"]["last_seq_id"]}))
            for row in message.get("rows") or []:
                self.take(message, row)

    def take(self, message, row):
        seq, row_id = int(row["_seq"]), int(row["id"])
        if seq <= self.cursor:
            self.problems.append(f"_seq {seq} after {self.cursor}")
        if message.get("change_type") not in (None, "insert"):
            self.problems.append(f"an insert of {row_id} came as {message['change_type']}")
        self.cursor = max(self.cursor, seq)
        self.seen[row_id] = self.seen.get(row_id, 0) + 1


def set_up(server):
    client = Client(server.port)
    for statement in ("CREATE NAMESPACE crash",
                      "CREATE SHARED TABLE crash.events (id BIGINT PRIMARY KEY, body TEXT)",
                      "CREATE USER TABLE crash.notes (id BIGINT PRIMARY KEY, body TEXT)",
                      "CREATE SHARED TABLE crash.counters (id BIGINT PRIMARY KEY, n BIGINT)"):
        answer = client.sql(statement)
        assert answer["status"] == "success", (statement, answer)
    for writer in range(WRITERS):
        answer = client.sql(f"INSERT INTO crash.counters (id, n) VALUES ({writer}, 0)")
        assert answer["status"] == "success", answer


def check_subscriber(subscriber, present):
    deadline = time.monotonic() + 30
    while set(subscriber.seen) != present and time.monotonic() < deadline and not subscriber.problems:
        time.sleep(0.05)
    subscriber.stop.set()
    subscriber.thread.join()
    assert not subscriber.problems, subscriber.problems[:5]
    seen = set(subscriber.seen)
    assert not present - seen, f"{len(present - seen)} rows were never told, such as {sorted(present - seen)[:5]}"
    assert not seen - present, f"{len(seen - present)} rows were told that are not there: {sorted(seen - present)[:5]}"
    twice = [row for row, times in subscriber.seen.items() if times > 1]
    assert not twice, f"{len(twice)} rows were told more than once, such as {sorted(twice)[:5]}"


def main():
    chance = random.Random(SEED)
    events, notes = Ledger(), Ledger()
    going, stop = threading.Event(), threading.Event()
    with tempfile.TemporaryDirectory(prefix="kalam_crash_") as directory:
        server = Server(os.path.join(sys.argv[1], "kalamdb-server"), directory)
        server.start()
        set_up(server)
        subscriber = Subscriber(server, SEED)
        writers = [threading.Thread(target=write, args=(writer, server, events, notes, going, stop))
                   for writer in range(WRITERS)]
        for thread in writers:
            thread.start()
        try:
            for _ in range(ROUNDS):
                going.set()
                time.sleep(chance.uniform(0.02, 0.4))
                server.kill()
                going.clear()
                server.start()
                events.verify(server.port, "crash.events")
                notes.verify(server.port, "crash.notes")
            stop.set()
            going.set()
            for thread in writers:
                thread.join()
            events.verify_counters(server.port)
            notes.verify(server.port, "crash.notes")
            check_subscriber(subscriber, events.verify(server.port, "crash.events"))
        except BaseException:
            print(server.tail(), file=sys.stderr)
            raise
        finally:
            stop.set()
            going.set()
            subscriber.stop.set()
            subscriber.thread.join()
            for thread in writers:
                thread.join()
            server.kill()
    acknowledged = len(events.acknowledged) + len(notes.acknowledged)
    assert acknowledged > 2 * ROUNDS, f"only {acknowledged} rows were written: the test tried too little"
    assert subscriber.resumes > ROUNDS // 2, f"only {subscriber.resumes} subscriptions: the test tried too little"
    print(f"{ROUNDS} kills, {acknowledged} acknowledged rows, "
          f"{sum(events.increments_acknowledged)} increments, {subscriber.resumes} subscriptions: nothing lost, nothing twice")


if __name__ == "__main__":
    main()

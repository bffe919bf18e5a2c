"""Writers, transactions and subscribers meet rows that move to segments and back all the time."""
import asyncio
import random
import threading
import time

from server_process import UNLIMITED, LiveClient, ServerProcess, run_tests

KEYS = 24
WRITERS = 4
SECONDS = 6


def begin(server):
    token = server.login()
    server.sql(token, "CREATE NAMESPACE app")
    server.sql(token, "CREATE SHARED TABLE app.counters (id BIGINT PRIMARY KEY, n BIGINT NOT NULL, note TEXT)")
    server.sql(token, "INSERT INTO app.counters (id, n, note) VALUES " +
               ", ".join(f"({i}, 0, 'begin')" for i in range(KEYS)))
    return token


class Mover:
    """Flushes, and compacts now and then, until it is told to stop."""

    def __init__(self, server, token):
        self.server, self.token = server, token
        self.done = threading.Event()
        self.flushed_twice = threading.Event()
        self.error = None
        self.thread = threading.Thread(target=self.run)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        self.thread.join()
        if self.error is not None:
            raise self.error

    def run(self):
        round_number = 0
        try:
            while not self.done.is_set():
                round_number += 1
                kind = "COMPACT" if round_number % 3 == 0 else "FLUSH"
                status, _, answer = self.server.request(
                    "POST", "/v1/api/sql", {"sql": f"STORAGE {kind} TABLE app.counters"},
                    {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"})
                # While a job of the table runs, another one is refused.
                assert status == 200 or "already" in str(answer), answer
                if not self.flushed_twice.is_set():
                    flushes = numbers(self.server, self.token, "SELECT COUNT(*) FROM system.jobs WHERE job_type = 'flush' AND status = 'completed'")
                    if flushes[0][0] >= 2:
                        self.flushed_twice.set()
                time.sleep(0.03)
        except Exception as error:  # told to the test's own thread
            self.error = error


def in_threads(work, count):
    errors = []

    def guarded(number):
        try:
            work(number)
        except Exception as error:  # told to the test's own thread
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def numbers(server, token, sql):
    """The rows of a query whose columns are all integers; BIGINTs are texts in JSON."""
    return [[int(cell) for cell in row] for row in server.rows(token, sql)]


def test_no_increment_is_lost_and_no_row_comes_back():
    with ServerProcess(UNLIMITED) as server:
        token = begin(server)
        increments = [[0] * KEYS for _ in range(WRITERS)]
        deadline = time.monotonic() + SECONDS

        def write(number):
            choose = random.Random(number)
            while time.monotonic() < deadline or not (mover.flushed_twice.is_set() or mover.error):
                key = choose.randrange(KEYS)
                if choose.random() < 0.2:
                    # A key of this writer's own: gone and back again, or there once.
                    own = 1000 * (number + 1) + choose.randrange(5)
                    server.sql(token, f"DELETE FROM app.counters WHERE id = {own}")
                    assert server.rows(token, f"SELECT id FROM app.counters WHERE id = {own}") == []
                    if choose.random() < 0.5:
                        server.sql(token, f"INSERT INTO app.counters (id, n) VALUES ({own}, 1)")
                        server.sql(token, f"INSERT INTO app.counters (id, n) VALUES ({own}, 2)", expect=400)
                    continue
                server.sql(token, f"UPDATE app.counters SET n = n + 1, note = 'by {number}' WHERE id = {key}")
                increments[number][key] += 1

        with Mover(server, token) as mover:
            in_threads(write, WRITERS)
        expected = [[key, sum(increments[number][key] for number in range(WRITERS))] for key in range(KEYS)]
        assert sum(n for _, n in expected) > 50, expected
        for when in ("at once", "after a restart"):
            rows = numbers(server, token, f"SELECT id, n FROM app.counters WHERE id < {KEYS} ORDER BY id")
            assert rows == expected, (when, rows, expected)
            by_seq = numbers(server, token, "SELECT id FROM app.counters ORDER BY _seq")
            by_key = numbers(server, token, "SELECT id FROM app.counters ORDER BY id")
            assert sorted(by_seq) == by_key, when
            total = numbers(server, token, f"SELECT SUM(n), COUNT(*) FROM app.counters WHERE id < {KEYS}")
            assert total == [[sum(n for _, n in expected), KEYS]], (when, total)
            server.stop(20)
            server.start()
            token = server.login()


def test_transactions_change_cold_rows_as_a_whole():
    with ServerProcess(UNLIMITED) as server:
        token = begin(server)
        deadline = time.monotonic() + SECONDS / 2

        def move(number):
            choose = random.Random(number)
            while time.monotonic() < deadline:
                source, target = choose.sample(range(KEYS), 2)
                server.sql(token, f"BEGIN; UPDATE app.counters SET n = n - 1 WHERE id = {source}; "
                                  f"UPDATE app.counters SET n = n + 1 WHERE id = {target}; COMMIT")

        with Mover(server, token):
            in_threads(move, 2)
            assert numbers(server, token, "SELECT SUM(n), COUNT(*) FROM app.counters") == [[0, KEYS]]
        assert numbers(server, token, "SELECT SUM(n), COUNT(*) FROM app.counters") == [[0, KEYS]]


async def test_a_subscriber_sees_every_change_once():
    with ServerProcess(UNLIMITED) as server:
        token = begin(server)
        client = await LiveClient.connect(server, token)
        state, seqs = {}, []

        async def drain(quiet):
            while True:
                try:
                    message = await client.receive(quiet)
                except asyncio.TimeoutError:
                    return
                if message["type"] == "initial_data_batch":
                    for row in message["rows"]:
                        state[int(row["id"])] = int(row["n"])
                elif message["type"] == "change":
                    for row in message.get("rows") or []:
                        seqs.append(int(row["_seq"]))
                        state[int(row["id"])] = int(row["n"])
                    if message["change_type"] == "delete":
                        for row in message["old_values"]:
                            state.pop(int(row["id"]), None)

        loop = asyncio.get_running_loop()
        with Mover(server, token):
            await asyncio.sleep(0.5)
            await client.subscribe("all", "SELECT * FROM app.counters", {})

            def write():
                deadline = time.monotonic() + SECONDS / 2
                choose = random.Random(5)
                while time.monotonic() < deadline:
                    key = choose.randrange(KEYS)
                    server.sql(token, f"UPDATE app.counters SET n = n + 1 WHERE id = {key}")

            writing = loop.run_in_executor(None, write)
            while not writing.done():
                await drain(0.2)
            await writing
        await drain(1)
        rows = numbers(server, token, "SELECT id, n FROM app.counters ORDER BY id")
        assert [[key, state[key]] for key in sorted(state)] == rows
        assert len(seqs) == len(set(seqs)) and seqs == sorted(seqs)
        await client.close()


if __name__ == "__main__":
    run_tests(globals())

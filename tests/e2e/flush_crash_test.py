"""Ends the server at every named step of flush and compaction while clients write, and checks that no row is lost or
doubled and that deleted rows stay deleted.

The server ends itself, without any cleanup, when it passes the step that KALAMDB_END_AT names. After each end it is started
again on the same directory; what clients were told must hold at once, after the next flush and after a compaction.
"""
import http.client
import os
import random
import threading
import time

from server_process import UNLIMITED, ServerProcess, run_tests

EXIT_AT_STEP = 86
WRITERS = 3
FLUSH_STEPS = ["flush.written", "flush.prepared", "flush.put", "flush.committing", "flush.committed", "flush.manifest"]
# Hot copies go in steps of their own only where scopes share segments, and where all rows change all the time.
EVICTION_STEPS = ["flush.evicting", "flush.evicted"]
COMPACTION_STEPS = ["compact.written", "compact.put", "compact.committed", "compact.manifest"]


class SharedTable:
    """All writers write into one scope."""
    create = "CREATE SHARED TABLE app.t (id BIGINT PRIMARY KEY, body TEXT)"
    scopes = [None]
    steps = FLUSH_STEPS + COMPACTION_STEPS

    @staticmethod
    def of(_, statement):
        return statement


class UserTable:
    """Each writer is a user with a small scope; the first rows are root's, a large one. With the others there are enough
    scopes for segments of many."""
    create = "CREATE USER TABLE app.t (id BIGINT PRIMARY KEY, body TEXT)"
    scopes = [None] + list(range(20))
    steps = FLUSH_STEPS + EVICTION_STEPS + COMPACTION_STEPS

    @staticmethod
    def of(scope, statement):
        return statement if scope is None else f"EXECUTE AS USER 'user{scope}' ({statement})"


class Writer(threading.Thread):
    """Owns a range of keys and knows what each must be: a value, nothing, or one of two after a lost answer."""

    def __init__(self, table, number, states):
        super().__init__(daemon=True)
        self.table, self.number, self.states = table, number, states
        self.random = random.Random(number)
        self.server = self.token = None
        self.stopping = False

    def say(self, statement):
        return self.server.sql(self.token, self.table.of(self.number, statement))

    def run(self):
        while not self.stopping:
            key = self.number * 100000 + self.random.randrange(400)
            state = self.states.setdefault(key, {None})
            value = f"v{self.random.randrange(10 ** 9)}"
            known = len(state) == 1
            old = next(iter(state)) if known else None
            try:
                if not known:
                    rows = self.say(f"SELECT body FROM app.t WHERE id = {key}")["results"][0]["rows"]
                    found = rows[0][0] if rows else None
                    assert found in state and len(rows) <= 1, (key, found, state)
                    self.states[key] = {found}
                elif old is None:
                    self.states[key] = {None, value}
                    self.say(f"INSERT INTO app.t (id, body) VALUES ({key}, '{value}')")
                    self.states[key] = {value}
                elif self.random.random() < 0.4:
                    self.states[key] = {old, None}
                    self.say(f"DELETE FROM app.t WHERE id = {key}")
                    self.states[key] = {None}
                else:
                    self.states[key] = {old, value}
                    self.say(f"UPDATE app.t SET body = '{value}' WHERE id = {key}")
                    self.states[key] = {value}
            except (ConnectionError, OSError, EOFError) as error:
                self.error = error
                return
            except Exception as error:  # noqa: BLE001 - http.client names several for a lost connection
                if type(error).__module__ == "http.client":
                    return
                self.failure = error
                return


# Of root's rows, what statements of the mass writer change in turn: more than one command of a flush takes out, and some that stay.
MASSES = [(9000000, 9002600), (9000800, 9003000)]


class MassWriter(threading.Thread):
    """Gives most of root's rows one new value, and then others: each statement changes all of its rows or none."""

    def __init__(self, states):
        super().__init__(daemon=True)
        self.states = states
        self.server = self.token = self.failure = None
        self.stopping = False

    def run(self):
        number = 0
        while not self.stopping:
            begin, end = MASSES[number % 2]
            number += 1
            value = f"mass {id(self)} {number}"
            old = {key: self.states[key] for key in range(begin, end)}
            self.states.update({key: state | {value} for key, state in old.items()})
            try:
                self.server.sql(self.token, f"UPDATE app.t SET body = '{value}' WHERE id >= {begin} AND id < {end}")
            except (ConnectionError, OSError, EOFError, http.client.HTTPException, ValueError):
                return
            except Exception as error:  # noqa: BLE001 - told at the end
                self.failure = error
                return
            self.states.update({key: {value} for key in old})


def scope_of(key):
    return None if key >= 9000000 else key // 100000


def check(server, token, table, states, when):
    found = {}
    for scope in table.scopes:
        rows = server.rows(token, table.of(scope, "SELECT id, body FROM app.t"))
        for key, body in rows:
            key = int(key)
            assert key not in found, f"{when}: {key} twice"
            assert len(table.scopes) == 1 or scope_of(key) == scope, f"{when}: {key} is another user's than {scope}"
            found[key] = body
        assert server.rows(token, table.of(scope, "SELECT COUNT(*) FROM app.t")) == [[str(len(rows))]], when
        grouped = server.rows(token, table.of(scope, "SELECT id % 2, COUNT(DISTINCT id) FROM app.t GROUP BY id % 2"))
        assert sum(int(row[1]) for row in grouped) == len(rows), (when, grouped, len(rows))
    for key, state in states.items():
        assert found.get(key) in state, f"{when}: {key} is {found.get(key)!r}, must be one of {state}"
        states[key] = {found.get(key)}
    assert set(found) <= set(states), f"{when}: rows that nobody wrote"
    for key in list(states)[:40]:
        rows = server.rows(token, table.of(scope_of(key), f"SELECT body FROM app.t WHERE id = {key}"))
        assert [row[0] for row in rows] == ([found[key]] if key in found else []), (when, key, rows)


def run_job(server, token, statement, seconds=60):
    deadline = time.monotonic() + seconds
    while True:
        status, _, answer = server.request("POST", "/v1/api/sql", {"sql": statement}, {
            "Authorization": f"Bearer {token}", "Content-Type": "application/json"})
        if status == 200:
            break
        # The job that the end of the server interrupted is run again by itself.
        assert "is already running or queued" in answer["error"]["message"], (statement, answer)
        assert time.monotonic() < deadline, (statement, answer)
        time.sleep(0.05)
    message = answer["results"][0]["message"]
    if "Job ID" not in message:
        return
    job_id = message.split("Job ID: ")[1].strip()
    while True:
        rows = server.rows(token, f"SELECT status, exception_trace FROM system.jobs WHERE job_id = '{job_id}'")
        if rows[0][0] in ("completed", "skipped"):
            return
        assert rows[0][0] not in ("failed", "cancelled"), (statement, rows)
        assert time.monotonic() < deadline, (statement, rows)
        time.sleep(0.02)


def end_at(server, table, step, states, writers=None):
    """Writes and works until the server has ended at `step`."""
    server.environment["KALAMDB_END_AT"] = step
    server.start()
    writers = writers or [Writer(table, number, states) for number in range(WRITERS)]
    started = []
    try:
        token = server.login()
        for writer in writers:
            writer.server, writer.token, writer.failure = server, token, None
            started.append(writer)
            writer.start()
        deadline = time.monotonic() + 60
        statement = "STORAGE COMPACT TABLE app.t" if step.startswith("compact") else "STORAGE FLUSH TABLE app.t"
        while server.process.poll() is None:
            assert time.monotonic() < deadline, f"{step} was never passed"
            try:
                if step.startswith("compact"):
                    run_job(server, token, "STORAGE FLUSH TABLE app.t")
                run_job(server, token, statement)
            except AssertionError:
                raise
            except Exception:  # noqa: BLE001 - the server went away
                server.process.wait(10)
    finally:
        for writer in started:
            writer.stopping = True
        for writer in started:
            writer.join(30)
    assert server.process.returncode == EXIT_AT_STEP, server.process.returncode
    for writer in writers:
        assert writer.failure is None, repr(writer.failure)


def no_step_loses_or_doubles_a_row(table):
    states = {}
    with ServerProcess(UNLIMITED) as server:
        token = server.login()
        server.sql(token, "CREATE NAMESPACE app")
        server.sql(token, table.create)
        # Enough rows that an eviction takes several commands.
        for begin in range(0, 3000, 500):
            server.sql(token, "INSERT INTO app.t (id, body) VALUES " + ", ".join(
                f"({9000000 + i}, 'first {i}')" for i in range(begin, begin + 500)))
        states.update({9000000 + i: {f"first {i}"} for i in range(3000)})
        for scope in table.scopes[1 + WRITERS:]:
            server.sql(token, f"CREATE USER 'user{scope}' WITH INTERNAL ROLE user")
            server.sql(token, table.of(scope, f"INSERT INTO app.t (id, body) VALUES ({scope * 100000}, 'one'), ({scope * 100000 + 1}, 'two')"))
            states.update({scope * 100000: {"one"}, scope * 100000 + 1: {"two"}})
        for scope in table.scopes[1:1 + WRITERS]:
            server.sql(token, f"CREATE USER 'user{scope}' WITH INTERNAL ROLE user")
        server.stop()
        for step in table.steps:
            end_at(server, table, step, states)
            server.environment.pop("KALAMDB_END_AT")
            server.start()
            token = server.login()
            check(server, token, table, states, f"after {step}")
            run_job(server, token, "STORAGE FLUSH TABLE app.t")
            check(server, token, table, states, f"after {step} and a flush")
            if step.startswith("compact") or step == "flush.evicting":
                run_job(server, token, "STORAGE COMPACT TABLE app.t")
                check(server, token, table, states, f"after {step} and a compaction")
            # Something is hot again when the next step comes.
            server.sql(token, "UPDATE app.t SET body = 'again' WHERE id >= 9000000 AND id < 9001500")
            states.update({9000000 + i: {"again"} for i in range(1500) if states[9000000 + i] != {None}})
            for scope in table.scopes[1 + WRITERS:]:
                server.sql(token, table.of(scope, f"UPDATE app.t SET body = '{step}' WHERE id = {scope * 100000}"))
                states[scope * 100000] = {step}
            code, _ = server.stop()
            assert code == 0, code


def test_no_step_loses_or_doubles_a_row():
    no_step_loses_or_doubles_a_row(SharedTable)


def test_no_step_loses_or_doubles_a_row_of_users():
    no_step_loses_or_doubles_a_row(UserTable)


def test_no_step_tears_a_change_of_many_rows_apart():
    states = {}
    with ServerProcess(UNLIMITED) as server:
        token = server.login()
        server.sql(token, "CREATE NAMESPACE app")
        server.sql(token, SharedTable.create)
        for begin in range(0, 3000, 500):
            server.sql(token, "INSERT INTO app.t (id, body) VALUES " + ", ".join(
                f"({9000000 + i}, 'first')" for i in range(begin, begin + 500)))
        states.update({9000000 + i: {"first"} for i in range(3000)})
        server.stop()
        for step in ["flush.committed"] + EVICTION_STEPS:
            end_at(server, SharedTable, step, states, [MassWriter(states)])
            server.environment.pop("KALAMDB_END_AT")
            server.start()
            token = server.login()
            check(server, token, SharedTable, states, f"after {step}")
            for begin, end in ((9000000, 9000800), (9000800, 9002600), (9002600, 9003000)):
                assert len({value for key in range(begin, end) for value in states[key]}) == 1, f"after {step}: torn apart"
            run_job(server, token, "STORAGE FLUSH TABLE app.t")
            check(server, token, SharedTable, states, f"after {step} and a flush")
            code, _ = server.stop()
            assert code == 0, code


def test_a_flush_that_was_cut_off_leaves_no_files_and_its_one_command_no_hot_rows():
    with ServerProcess(UNLIMITED) as server:
        token = server.login()
        server.sql(token, "CREATE NAMESPACE app")
        server.stop()
        for step in FLUSH_STEPS:
            for row_count in (300, 1500) if step.startswith("flush.commit") else (1500,):
                table = f"app.of_{step.split('.')[1]}_{row_count}"
                server.environment["KALAMDB_END_AT"] = step
                server.start()
                token = server.login()
                server.sql(token, f"CREATE SHARED TABLE {table} (id BIGINT PRIMARY KEY, body TEXT)")
                server.sql(token, f"INSERT INTO {table} (id, body) VALUES " + ", ".join(f"({i}, '{step}')" for i in range(row_count)))
                try:
                    server.sql(token, f"STORAGE FLUSH TABLE {table}")
                except (ConnectionError, OSError, http.client.HTTPException):
                    pass  # the server may be gone before it can answer
                assert server.process.wait(60) == EXIT_AT_STEP
                server.environment.pop("KALAMDB_END_AT")
                server.start()
                token = server.login()
                assert server.rows(token, f"SELECT COUNT(*), COUNT(DISTINCT id) FROM {table}") == [[str(row_count)] * 2], step
                if step in ("flush.committed", "flush.manifest"):
                    answer = server.sql(token, f"STORAGE FLUSH TABLE {table}")["results"][0]["message"]
                    assert "no pending writes" in answer, (step, answer)
                # The job that was cut off runs again by itself.
                wait_for(lambda: server.rows(token, "SELECT COUNT(*) FROM system.jobs WHERE status IN "
                                                    "('new', 'queued', 'running', 'retrying')") == [["0"]])
                assert segment_files(server, table) == ["batch-0.parquet"], (step, row_count, segment_files(server, table))
                assert server.rows(token, f"SELECT COUNT(*), COUNT(DISTINCT id) FROM {table}") == [[str(row_count)] * 2], step
                server.stop()


def segment_files(server, table="app.t"):
    folder = os.path.join(server.directory, "storage", *table.split("."))
    return sorted(name for name in os.listdir(folder) if name.endswith(".parquet")) if os.path.isdir(folder) else []


def wait_for(condition, seconds=120):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def configure(server, text):
    with open(server.config_path, "w", encoding="utf-8") as file:
        file.write(text)


# The grace is at least twice what a statement may take. Nothing is asked of a server that has so little time for an answer.
SHORT_GRACE = ("transaction_timeout_secs = 1\n[execution]\nhandler_timeout_seconds = 1\n"
               "[flush]\nreplaced_file_grace_seconds = 1\n")


def with_two_replaced_files(server):
    """Two segments that a compaction has made one; returns the rows."""
    token = server.login()
    server.sql(token, "CREATE NAMESPACE app")
    server.sql(token, "CREATE SHARED TABLE app.t (id BIGINT PRIMARY KEY, body TEXT)")
    for body in ("first", "second"):
        server.sql(token, "INSERT INTO app.t (id, body) VALUES " + ", ".join(f"({i}, '{body}')" for i in range(2, 300))
                   if body == "first" else "UPDATE app.t SET body = 'second' WHERE id < 100")
        run_job(server, token, "STORAGE FLUSH TABLE app.t")
    run_job(server, token, "STORAGE COMPACT TABLE app.t")
    assert segment_files(server) == ["batch-0.parquet", "batch-1.parquet", "batch-2.parquet"], segment_files(server)
    return server.rows(token, "SELECT id, body FROM app.t ORDER BY id")


def test_an_end_between_a_replaced_file_and_its_record():
    with ServerProcess(UNLIMITED) as server:
        rows = with_two_replaced_files(server)
        server.stop()
        for _ in range(2):
            configure(server, SHORT_GRACE)
            server.environment["KALAMDB_END_AT"] = "cleanup.deleted"
            server.start()
            assert server.process.wait(120) == EXIT_AT_STEP
            server.environment.pop("KALAMDB_END_AT")
            # The first file is gone while its record is there; the second end finds it so.
            assert len(segment_files(server)) == 2, segment_files(server)
            configure(server, UNLIMITED)
            server.start()
            token = server.login()
            assert server.rows(token, "SELECT id, body FROM app.t ORDER BY id") == rows
            assert server.rows(token, "STORAGE CHECK local EXTENDED")[0][1] == "healthy"
            server.stop()
        configure(server, SHORT_GRACE)
        server.start()
        wait_for(lambda: segment_files(server) == ["batch-2.parquet"])
        server.stop()
        configure(server, UNLIMITED)
        server.start()
        token = server.login()
        assert server.rows(token, "SELECT id, body FROM app.t ORDER BY id") == rows
        run_job(server, token, "STORAGE COMPACT TABLE app.t")
        assert server.rows(token, "SELECT id, body FROM app.t ORDER BY id") == rows


def test_an_end_while_the_files_of_a_dropped_table_go():
    with ServerProcess(UNLIMITED) as server:
        with_two_replaced_files(server)
        server.stop()
        server.environment["KALAMDB_END_AT"] = "cleanup.dropped"
        server.start()
        try:
            server.sql(server.login(), "DROP TABLE app.t")
        except (ConnectionError, OSError, http.client.HTTPException):
            pass  # the server may be gone before it can answer
        assert server.process.wait(60) == EXIT_AT_STEP
        server.environment.pop("KALAMDB_END_AT")
        assert len(segment_files(server)) == 2, segment_files(server)
        server.start()
        token = server.login()
        # A table of that name is another one, whatever is left of the first.
        server.sql(token, "CREATE SHARED TABLE app.t (id BIGINT PRIMARY KEY, body TEXT)")
        server.sql(token, "INSERT INTO app.t (id, body) VALUES (1, 'of the second')")
        run_job(server, token, "STORAGE FLUSH TABLE app.t")
        wait_for(lambda: server.rows(token, "SELECT status FROM system.jobs WHERE job_type = 'cleanup'") == [["completed"]])
        assert server.rows(token, "SELECT id, body FROM app.t") == [["1", "of the second"]]
        server.sql(token, "DROP TABLE app.t")
        wait_for(lambda: segment_files(server) == [] and not os.path.exists(os.path.join(server.directory, "storage", "app", "t", "manifest.json")))


if __name__ == "__main__":
    run_tests(globals())

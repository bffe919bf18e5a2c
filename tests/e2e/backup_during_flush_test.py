"""Backups that are taken while a flush stands at one of its steps, and restores while one does: whatever comes back has each row
once, goes on from there, and names every file that lies about.

The server waits at the step that KALAMDB_HOLD_AT names for as long as the test keeps a pipe open (`Held`)."""
import contextlib
import json
import os
import select
import signal
import subprocess

from backup_world import Elsewhere, run_job, start_job, wait_for_cleanups, wait_for_job
from flush_crash_test import wait_for
from flush_test import run_job as run_job_of_tables, wait_for_jobs
from server_process import UNLIMITED, ServerProcess, run_tests

USERS = [f"user{i}" for i in range(18)]
CONFIG = UNLIMITED + "[flush]\ncheck_interval_seconds = 0\n"


class Held:
    """A server that is to wait at `step`; `with` stands for the time in which it does."""

    def __init__(self, server, step):
        self.pipe = os.path.join(server.temporary.name, "held")
        os.mkfifo(self.pipe)
        server.environment.update(KALAMDB_HOLD_AT=step, KALAMDB_HOLD_PIPE=self.pipe)
        self.step, self.end = step, None

    def watch(self):
        """From here on the step is waited at."""
        self.end = os.open(self.pipe, os.O_RDONLY | os.O_NONBLOCK)

    def __enter__(self):
        ready, _, _ = select.select([self.end], [], [], 60)
        assert ready and os.read(self.end, 1) == b"!", f"{self.step} was never passed"
        return self

    def __exit__(self, *_):
        self.go_on()

    def go_on(self):
        if self.end is not None:
            os.close(self.end)
        self.end = None


def insert(server, token, ids, body):
    server.sql(token, "INSERT INTO app.t (id, body) VALUES " + ", ".join(f"({i}, '{body} {i}')" for i in ids))


class LargeScope:
    """One scope, which moves by one command, in two segments: rows get so wide that one cannot hold them. Some rows are
    cold before, and some of those have newer versions."""
    create = "CREATE SHARED TABLE app.t (id BIGINT PRIMARY KEY, body TEXT)"
    scopes = [None]
    folder = ""
    # What the first flush passes is counted; the second one is held with one segment put and another prepared, or put as well.
    steps = ("flush.prepared:2", "flush.put:2")

    @staticmethod
    def of(_, statement):
        return statement

    @classmethod
    def fill(cls, server, token):
        insert(server, token, range(1, 301), "cold")
        run_job_of_tables(server, token, "STORAGE FLUSH TABLE app.t")
        server.sql(token, "UPDATE app.t SET body = 'newer' WHERE id <= 50")
        server.sql(token, "DELETE FROM app.t WHERE id > 290 AND id <= 300")
        insert(server, token, range(1000, 2500), "hot")
        for begin in range(10000, 10096, 8):
            insert(server, token, range(begin, begin + 8), "wide" * 25000)

    @classmethod
    def change(cls, server, token):
        """What comes while the flush is held: it stays hot."""
        server.sql(token, "UPDATE app.t SET body = 'changed meanwhile' WHERE id >= 2400 AND id < 2450")
        server.sql(token, "DELETE FROM app.t WHERE id >= 2450 AND id < 2460")
        insert(server, token, range(3000, 3010), "new meanwhile")


class SmallScopes:
    """Users who share segments: their records come first, and their hot rows go after them. Some rows are cold before."""
    create = "CREATE USER TABLE app.t (id BIGINT PRIMARY KEY, body TEXT)"
    scopes = USERS
    folder = "_many"
    # A file that nobody names; a record beside all of the hot rows, and beside most of them.
    steps = ("flush.put", "flush.committed", "flush.evicting")

    @staticmethod
    def of(user, statement):
        return f"EXECUTE AS USER '{user}' ({statement})"

    @classmethod
    def fill(cls, server, token):
        for user in USERS:
            server.sql(token, f"CREATE USER '{user}' WITH INTERNAL ROLE user")
            server.sql(token, cls.of(user, "INSERT INTO app.t (id, body) VALUES " + ", ".join(f"({i}, '{user} {i}')" for i in range(10))))
        run_job_of_tables(server, token, "STORAGE FLUSH TABLE app.t")
        for user in USERS:
            server.sql(token, cls.of(user, "INSERT INTO app.t (id, body) VALUES " + ", ".join(f"({i}, '{user} {i}')" for i in range(10, 80))))
            server.sql(token, cls.of(user, "UPDATE app.t SET body = 'newer' WHERE id < 5"))
            server.sql(token, cls.of(user, "DELETE FROM app.t WHERE id = 9"))

    @classmethod
    def change(cls, server, token):
        for user in USERS[::3]:
            server.sql(token, cls.of(user, "UPDATE app.t SET body = 'changed meanwhile' WHERE id = 40"))
            server.sql(token, cls.of(user, "DELETE FROM app.t WHERE id = 41"))
            server.sql(token, cls.of(user, "INSERT INTO app.t (id, body) VALUES (100, 'new meanwhile')"))


def contents(server, token, table):
    """Every row, read natively, by the engine and by its key; no key is there twice."""
    found = {}
    for scope in table.scopes:
        rows = server.rows(token, table.of(scope, "SELECT id, SUBSTRING(body, 1, 40), LENGTH(body), _seq FROM app.t ORDER BY id"))
        keys = [row[0] for row in rows]
        assert len(set(keys)) == len(keys), (scope, "a row twice")
        counted = server.rows(token, table.of(scope, "SELECT COUNT(*), COUNT(DISTINCT id), SUM(LENGTH(body)) FROM app.t WHERE id % 1 = 0"))
        assert [int(cell) for cell in counted[0]] == [len(rows), len(rows), sum(int(row[2]) for row in rows)], (scope, counted, len(rows))
        for key in keys[::97] + keys[-1:]:
            assert len(server.rows(token, table.of(scope, f"SELECT id FROM app.t WHERE id = {key}"))) == 1, (scope, key)
        found[scope] = rows
    return found


def totals(server, token, table):
    """One statement a scope: also while a restore may come between two of them."""
    return [server.rows(token, table.of(scope, "SELECT COUNT(*), SUM(LENGTH(body)) FROM app.t WHERE id % 1 = 0")) for scope in table.scopes]


def files_of(server):
    return sorted(name for _, _, names in os.walk(os.path.join(server.directory, "storage", "app")) for name in names
                  if name.endswith(".parquet"))


def listed_files(server, token):
    manifests = server.rows(token, "SELECT manifest_json FROM system.manifest WHERE namespace_id = 'app'")
    return sorted(segment["path"] for row in manifests for segment in json.loads(row[0])["segments"])


def prepared_keys(server):
    """How many marks of prepared segments lie in the store: keys of four bytes for the table and a 'p'."""
    # The store must not change while somebody else reads it.
    server.process.send_signal(signal.SIGSTOP)
    told = subprocess.run(["ldb", f"--db={os.path.join(server.directory, 'rocksdb')}", "--column_family=segments", "--hex", "--no_value",
                           "scan"], capture_output=True, text=True, timeout=60)
    server.process.send_signal(signal.SIGCONT)
    assert told.returncode == 0, told.stderr
    keys = [line.strip()[2:] for line in told.stdout.splitlines() if line.startswith("0x")]
    assert any(key[8:10] == b"s".hex().upper() for key in keys), told.stdout[:1000]
    return sum(key[8:10] == b"p".hex().upper() for key in keys)


def check_that_it_goes_on(server, table, expected):
    """What came back is as it was, now and after each kind of work on the table; nothing is left over."""
    token = server.login()
    assert contents(server, token, table) == expected
    wait_for(lambda: server.rows(token, "SELECT COUNT(*) FROM system.jobs WHERE status IN ('new', 'queued', 'running', 'retrying')") == [["0"]])
    wait_for_cleanups(server, token)
    server.sql(token, "STORAGE FLUSH TABLE app.t")
    wait_for(lambda: server.rows(token, "SELECT COUNT(*) FROM system.jobs WHERE status IN ('new', 'queued', 'running', 'retrying')") == [["0"]])
    assert contents(server, token, table) == expected
    # Nothing is hot twice, or hot and cold.
    answer = server.sql(token, "STORAGE FLUSH TABLE app.t")["results"][0]["message"]
    assert "no pending writes" in answer, answer
    assert files_of(server) == listed_files(server, token) != [], (files_of(server), listed_files(server, token))
    # It takes further rows.
    for scope in table.scopes[:2]:
        server.sql(token, table.of(scope, "INSERT INTO app.t (id, body) VALUES (900000, 'later')"))
        server.sql(token, table.of(scope, "UPDATE app.t SET body = 'later' WHERE id = 30"))
    later = contents(server, token, table)
    assert [len(rows) for rows in later.values()] == [len(rows) + (scope in table.scopes[:2]) for scope, rows in expected.items()]
    run_job_of_tables(server, token, "STORAGE FLUSH TABLE app.t")
    assert contents(server, token, table) == later
    checked = server.rows(token, "STORAGE CHECK local EXTENDED")
    assert checked[0][1] == "healthy", checked
    run_job_of_tables(server, token, "STORAGE COMPACT TABLE app.t")
    assert contents(server, token, table) == later
    assert prepared_keys(server) == 0
    server.stop()
    server.start()
    assert contents(server, server.login(), table) == later


def fill(server, table):
    token = server.login()
    server.sql(token, "CREATE NAMESPACE app")
    server.sql(token, table.create)
    table.fill(server, token)
    return token


@contextlib.contextmanager
def server_to_hold(step):
    server = ServerProcess(CONFIG)
    held = Held(server, step)
    with server:
        try:
            yield server, held
        finally:
            held.go_on()


def start_flush(server, token, held):
    held.watch()
    server.sql(token, "STORAGE FLUSH TABLE app.t")


def wait_for_flush(server, token):
    wait_for(lambda: server.rows(token, "SELECT COUNT(*) FROM system.jobs WHERE job_type = 'flush' AND status IN "
                                        "('new', 'queued', 'running', 'retrying')") == [["0"]])


def backups_in_the_middle_come_back(table):
    for step in table.steps:
        with server_to_hold(step) as (server, held), Elsewhere() as of_app, Elsewhere() as of_all:
            token = fill(server, table)
            start_flush(server, token, held)
            with held:
                table.change(server, token)
                expected = contents(server, token, table)
                run_job(server, token, f"BACKUP DATABASE IN app TO '{of_app}'")
                run_job(server, token, f"BACKUP DATABASE TO '{of_all}'")
            wait_for_flush(server, token)
            assert contents(server, token, table) == expected, step
            # Into the server that goes on, from either backup.
            for place in (of_app, of_all):
                run_job(server, token, f"RESTORE DATABASE IN app FROM '{place}'")
                assert prepared_keys(server) == 0, (step, "what no flush of this table has prepared")
                check_that_it_goes_on(server, table, expected)
                token = server.login()
            # Into empty ones.
            with ServerProcess(CONFIG) as other:
                token = other.login()
                for scope in table.scopes:
                    if scope is not None:
                        other.sql(token, f"CREATE USER '{scope}' WITH INTERNAL ROLE user")
                run_job(other, token, f"RESTORE DATABASE IN app FROM '{of_app}'")
                assert prepared_keys(other) == 0, (step, "what no flush of this server has prepared")
                check_that_it_goes_on(other, table, expected)
            with ServerProcess(CONFIG) as other:
                run_job(other, other.login(), f"RESTORE DATABASE FROM '{of_all}'")
                other.stop()
                other.start()
                check_that_it_goes_on(other, table, expected)


def test_a_backup_between_the_steps_of_one_large_scope_comes_back():
    backups_in_the_middle_come_back(LargeScope)


def test_a_backup_between_the_steps_of_shared_segments_comes_back():
    backups_in_the_middle_come_back(SmallScopes)


def restores_beside_a_held_flush(table, step):
    """The flush of the old table ends, in vain, when the new one has its files."""
    with server_to_hold(step) as (server, held), Elsewhere() as place:
        token = fill(server, table)
        start_flush(server, token, held)
        with held:
            expected, sums = contents(server, token, table), totals(server, token, table)
            run_job(server, token, f"BACKUP DATABASE IN app TO '{place}'")
            table.change(server, token)
            assert totals(server, token, table) != sums
            job = start_job(server, token, f"RESTORE DATABASE IN app FROM '{place}'")
            wait_for(lambda: totals(server, token, table) == sums)
            assert contents(server, token, table) == expected
        assert wait_for_job(server, token, job)[0] == "completed"
        check_that_it_goes_on(server, table, expected)


def test_a_restore_while_a_flush_of_the_old_table_is_under_way():
    for table in (LargeScope, SmallScopes):
        for step in table.steps:
            restores_beside_a_held_flush(table, step)


def flush_at_the_second_attempt(server, token, table):
    """A job that is repeated removes the files of its table that nobody names."""
    in_the_way = os.path.join(server.directory, "storage", "app", "t", table.folder, "batch-1.parquet")
    os.mkdir(in_the_way)
    answer = server.sql(token, "STORAGE FLUSH TABLE app.t")["results"][0]["message"]
    wait_for(lambda: server.rows(token, "SELECT COUNT(*) FROM system.jobs WHERE job_type = 'flush' AND status = 'retrying'") == [["1"]])
    os.rmdir(in_the_way)
    wait_for_jobs(server, token, answer)


def test_a_flush_of_the_old_table_while_a_restore_is_under_way():
    for table in (LargeScope, SmallScopes):
        with server_to_hold("restore.prepared") as (server, held), Elsewhere() as place:
            token = fill(server, table)
            expected = contents(server, token, table)
            run_job(server, token, f"BACKUP DATABASE IN app TO '{place}'")
            table.change(server, token)
            held.watch()
            job = start_job(server, token, f"RESTORE DATABASE IN app FROM '{place}'")
            with held:
                flush_at_the_second_attempt(server, token, table)
            assert wait_for_job(server, token, job)[0] == "completed"
            check_that_it_goes_on(server, table, expected)


def test_a_restore_that_is_taken_back_leaves_what_was_flushed_meanwhile():
    for table in (LargeScope, SmallScopes):
        with server_to_hold("restore.prepared") as (server, held), Elsewhere() as place:
            token = fill(server, table)
            run_job(server, token, f"BACKUP DATABASE IN app TO '{place}'")
            table.change(server, token)
            expected = contents(server, token, table)
            held.watch()
            job = start_job(server, token, f"RESTORE DATABASE IN app FROM '{place}'")
            with held:
                run_job_of_tables(server, token, "STORAGE FLUSH TABLE app.t")
                server.sql(token, f"KILL JOB '{job}'")
            assert wait_for_job(server, token, job)[0] == "cancelled"
            check_that_it_goes_on(server, table, expected)


if __name__ == "__main__":
    run_tests(globals())

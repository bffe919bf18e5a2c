"""FLUSH_POLICY of a USER table counts the rows of each user: who reaches it is flushed, and nobody else; all together at the
table's bound."""
import json
import os
import time

from flush_test import parquet_files, run_job
from server_process import UNLIMITED, ServerProcess, run_tests

EXIT_AT_STEP = 86


def config(table_row_limit=100000, check_interval_seconds=1):
    return UNLIMITED + (f"[flush]\ncheck_interval_seconds = {check_interval_seconds}\n"
                        f"table_row_limit = {table_row_limit}\n")


class World:
    """A table app.notes, and one whose every row is due at once: when that has been flushed, the policies were looked at."""

    def __init__(self, server):
        self.server = server
        self.next_id = 0
        self.rows = {}  # by user
        self.token = server.login()

    def create(self, policy, options=""):
        self.server.sql(self.token, "CREATE NAMESPACE app")
        self.server.sql(self.token, f"CREATE USER TABLE app.notes (id BIGINT PRIMARY KEY, body TEXT) WITH (FLUSH_POLICY = '{policy}'{options})")
        self.server.sql(self.token, "CREATE SHARED TABLE app.tick (id BIGINT PRIMARY KEY) WITH (FLUSH_POLICY = 'rows:1')")

    def insert_text(self, user, count):
        ids = range(self.next_id, self.next_id + count)
        self.next_id += count
        self.rows[user] = self.rows.get(user, 0) + count
        values = ", ".join(f"({i}, '{user} {i}')" for i in ids)
        return f"EXECUTE AS USER '{user}' (INSERT INTO app.notes (id, body) VALUES {values})"

    def write(self, user, count):
        self.server.sql(self.token, self.insert_text(user, count))

    def restart(self, text=None, kill=False):
        if kill:
            self.server.process.kill()
            self.server.process.wait()
        else:
            self.server.stop()
        if text is not None:
            with open(self.server.config_path, "w", encoding="utf-8") as file:
                file.write(text)
        self.server.start()
        self.token = self.server.login()

    def write_unseen(self, counts, kill=False):
        """Rows of several users while nobody looks at the policies."""
        self.restart(config(check_interval_seconds=0))
        for user, count in counts.items():
            self.write(user, count)
        self.restart(config(), kill)

    def jobs(self, table="notes"):
        """Flush jobs of the table, oldest first, as dicts; what has begun is waited for."""
        deadline = time.monotonic() + 60
        while True:
            rows = self.server.rows(self.token, "SELECT status, message, idempotency_key, parameters FROM system.jobs WHERE "
                                    f"job_type = 'flush' AND idempotency_key LIKE '%app%{table}%' ORDER BY created_at")
            if all(row[0] in ("completed", "skipped") for row in rows):
                break
            assert not [row for row in rows if row[0] in ("failed", "cancelled")], rows
            assert time.monotonic() < deadline, rows
            time.sleep(0.02)
        return [{"message": row[1], "key": row[2],
                 "parameters": json.loads(row[3]) if isinstance(row[3], str) else row[3]} for row in rows]

    def look(self):
        """Returns when the policies have been looked at since the call; the jobs of app.notes, which are done."""
        ticks = len(self.jobs("tick"))
        self.server.sql(self.token, f"INSERT INTO app.tick VALUES ({self.next_id})")
        self.next_id += 1
        deadline = time.monotonic() + 60
        while len(self.jobs("tick")) == ticks:
            assert time.monotonic() < deadline, "nobody looks at the policies"
            time.sleep(0.02)
        return self.jobs()

    def files(self):
        """Of app.notes, by folder."""
        return sorted(os.path.relpath(path, self.server.directory).split("/notes/")[1] for path in parquet_files(self.server)
                      if "/notes/" in path)

    def check(self):
        for user, count in self.rows.items():
            rows = self.server.rows(self.token, f"EXECUTE AS USER '{user}' (SELECT COUNT(*), COUNT(DISTINCT id) FROM app.notes "
                                                f"WHERE body LIKE '{user} %')")
            assert rows == [[str(count), str(count)]], (user, rows, count)

    def hot_rows(self):
        """Moves everything to cold storage; how many rows that were."""
        (_, message), = run_job(self.server, self.token, "STORAGE FLUSH TABLE app.notes")
        return int(message.split("(")[1].split(" ")[0])


def test_the_user_who_reaches_the_limit_is_flushed_and_nobody_else():
    with ServerProcess(config()) as server:
        world = World(server)
        world.create("rows:20")
        world.write("ann", 19)
        world.write("bob", 19)
        world.write("eve", 3)
        assert world.look() == [], "41 rows, but nobody has 20"
        assert world.files() == []
        world.write("bob", 1)
        job, = world.look()
        assert job["message"] == "Flushed app:notes successfully (20 rows, 1 files)", job
        assert job["parameters"]["users"] == ["bob"], job
        assert job["parameters"]["table_id"] == "app.notes" and job["parameters"]["flush_threshold"] == 20, job
        assert job["key"].startswith("FL:app:notes:"), job
        assert world.files() == ["bob/batch-0.parquet"], world.files()
        # The count of bob begins again.
        world.write("bob", 19)
        assert len(world.look()) == 1
        world.write("bob", 1)
        assert world.look()[1]["message"] == "Flushed app:notes successfully (20 rows, 1 files)"
        assert world.files() == ["bob/batch-0.parquet", "bob/batch-1.parquet"], world.files()
        # Two who are due at one look share a job.
        world.write_unseen({"ann": 1, "eve": 17})
        job = world.look()[2]
        assert sorted(job["parameters"]["users"]) == ["ann", "eve"], job
        assert job["message"] == "Flushed app:notes successfully (40 rows, 2 files)", job
        assert world.files() == ["ann/batch-0.parquet", "bob/batch-0.parquet", "bob/batch-1.parquet", "eve/batch-0.parquet"]
        world.check()
        # A row that changes is hot again.
        server.sql(world.token, "EXECUTE AS USER 'bob' (UPDATE app.notes SET body = concat(body, ' changed') WHERE body IS NOT NULL)")
        job = world.look()[3]
        assert job["parameters"]["users"] == ["bob"] and "(40 rows, 1 files)" in job["message"], job
        world.check()
        text = server.sql(world.token, "STORAGE FLUSH TABLE app.notes")["results"][0]["message"]
        assert text == "Storage flush skipped: no pending writes for table 'app.notes'", text


def test_counts_come_back_with_a_restart():
    with ServerProcess(config()) as server:
        world = World(server)
        world.create("rows:20")
        world.write("ann", 19)
        world.write("bob", 18)
        world.write("eve", 1)
        assert world.look() == []
        for kill in (False, True):
            world.restart(kill=kill)
            assert world.look() == []
        world.write("bob", 1)
        assert world.look() == [], "19 rows"
        world.write("ann", 1)
        job, = world.look()
        assert job["parameters"]["users"] == ["ann"] and "(20 rows, 1 files)" in job["message"], job
        assert world.files() == ["ann/batch-0.parquet"], world.files()
        world.write("bob", 1)
        assert world.look()[1]["parameters"]["users"] == ["bob"]
        world.check()
        assert world.hot_rows() == 1


def test_who_reached_the_limit_before_the_end_is_flushed_after_the_start():
    with ServerProcess(config()) as server:
        world = World(server)
        world.create("rows:20")
        world.write_unseen({"ann": 25, "bob": 19}, kill=True)
        job, = world.look()
        assert job["parameters"]["users"] == ["ann"] and "(25 rows, 1 files)" in job["message"], job
        world.check()


def test_a_flush_of_users_that_was_cut_off_goes_on_with_them():
    for step in ("flush.written", "flush.put", "flush.committed"):
        with ServerProcess(config()) as server:
            world = World(server)
            world.create("rows:20")
            world.write("ann", 19)
            assert world.look() == []
            server.stop()
            server.environment["KALAMDB_END_AT"] = step
            server.start()
            world.token = server.login()
            world.write("bob", 20)
            assert server.process.wait(60) == EXIT_AT_STEP
            server.environment.pop("KALAMDB_END_AT")
            server.start()
            world.token = server.login()
            job, = world.look()
            assert job["parameters"]["users"] == ["bob"], (step, job)
            world.check()
            assert world.files() == ["bob/batch-0.parquet"], (step, world.files())
            assert world.hot_rows() == 19, step
            world.check()


def test_all_users_are_flushed_at_the_bound_of_the_table():
    with ServerProcess(config(table_row_limit=100)) as server:
        world = World(server)
        world.create("rows:20")
        users = [f"user{number}" for number in range(33)]
        for user in users:
            world.write(user, 3)
        assert world.look() == [], "99 rows"
        world.write("ann", 1)
        job, = world.look()
        assert "users" not in job["parameters"], job
        assert job["message"] == "Flushed app:notes successfully (100 rows, 1 files)", job
        assert world.files() == ["_many/batch-0.parquet"], world.files()
        # Who has reached the limit goes alone, also when there are many rows by that.
        for user in users[:10]:
            world.write(user, 1)
        world.write("ann", 90)
        last = world.look()[-1]
        assert last["parameters"]["users"] == ["ann"] and "(90 rows, 1 files)" in last["message"], last
        world.check()
        assert world.hot_rows() == 10


def test_users_who_share_a_file_leave_those_between_them_hot():
    with ServerProcess(config()) as server:
        world = World(server)
        world.create("rows:10")
        due, others = [f"due{number}" for number in range(30)], [f"other{number}" for number in range(60)]
        for user in others:
            world.write(user, 3)
        world.write_unseen({user: 10 for user in due})
        job, = world.look()
        assert sorted(job["parameters"]["users"]) == sorted(due), job
        assert job["message"] == "Flushed app:notes successfully (300 rows, 1 files)", job
        assert world.files() == ["_many/batch-0.parquet"], world.files()
        world.check()
        world.restart(kill=True)
        world.check()
        assert world.hot_rows() == 180, "and none of those who were due"
        world.check()


def test_a_flush_of_the_table_takes_all():
    with ServerProcess(config()) as server:
        world = World(server)
        world.create("rows:20,interval:86000")
        world.write("ann", 5)
        world.write("bob", 7)
        assert world.hot_rows() == 12
        world.check()
        world.write("ann", 19)
        assert world.look()[1:] == [], "the count begins again"
        world.write("ann", 1)
        assert world.look()[1]["parameters"]["users"] == ["ann"]


if __name__ == "__main__":
    run_tests(globals())

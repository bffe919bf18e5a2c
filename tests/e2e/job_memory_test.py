"""What jobs hold while they run: charged under their types, and given back however they end."""
import time

from backup_world import refused_job, run_job as run_one_job, start_job, wait_for_job
from export_test import export
from files_test import upload
from flush_test import run_job
from memory_test import memory
from server_process import UNLIMITED, ServerProcess, run_tests

CONFIG = UNLIMITED + "[flush]\ncheck_interval_seconds = 0\n"


def jobs(server):
    """Accounts of types of jobs, by name."""
    prefix = "server.jobs."
    found = {path[len(prefix):]: account for path, account in memory(server)["by_path"].items() if path.startswith(prefix)}
    return {"flush": {"used_bytes": 0}, **found}


def until_given_back(server, what):
    deadline = time.monotonic() + 20
    while memory(server)["by_path"]["server.jobs"]["used_bytes"] > 0:
        assert time.monotonic() < deadline, (what, jobs(server))
        time.sleep(0.02)


def held(server, job_type, least):
    until_given_back(server, job_type)
    peak = jobs(server)[job_type]["peak_bytes"]
    print(f"        {job_type}: at most {peak >> 10} KiB", flush=True)
    assert least <= peak <= 8 << 20, (job_type, peak)


def is_active(server, token, job):
    return server.rows(token, f"SELECT status FROM system.jobs WHERE job_id = '{job}'")[0][0] in ("new", "queued", "running")


def insert(server, token, table, begin, end):
    for first in range(begin, end, 1000):
        server.sql(token, f"INSERT INTO app.{table} (id, body) VALUES " + ", ".join(
            f"({i}, 'row {i} {'x' * 100}')" for i in range(first, min(first + 1000, end))))


def test_jobs_hold_what_their_accounts_say():
    rows = 20_000
    with ServerProcess(CONFIG) as server:
        root = server.login()
        server.sql(root, "CREATE NAMESPACE app")
        server.sql(root, "CREATE SHARED TABLE app.all_of_it (id BIGINT PRIMARY KEY, body TEXT)")
        server.sql(root, "CREATE USER TABLE app.mine (id BIGINT PRIMARY KEY, body TEXT, f FILE)")
        insert(server, root, "all_of_it", 0, rows)
        insert(server, root, "mine", 0, 2000)
        upload(server, root, "UPDATE app.mine SET f = FILE('p') WHERE id = 1", [("p", b"x" * 500_000, "p.bin", "a/b")])
        # A hash of each row, 64 rows ahead, and the file as it is checked.
        run_job(server, root, "STORAGE FLUSH TABLE app.all_of_it")
        held(server, "flush", 8 * rows + 64 * 100)
        insert(server, root, "all_of_it", rows, 2 * rows)
        run_job(server, root, "STORAGE FLUSH TABLE app.all_of_it")
        run_job(server, root, "STORAGE COMPACT TABLE app.all_of_it")
        held(server, "compact", 8 * 2 * rows)
        assert export(server, root)[1] == "completed"
        held(server, "user_export", (256 << 10) + (256 << 10))
        place = f"{server.temporary.name}/backup"
        run_one_job(server, root, f"BACKUP DATABASE TO '{place}'")
        held(server, "backup", 256 << 10)
        run_one_job(server, root, f"RESTORE DATABASE IN app FROM '{place}'")
        held(server, "restore", 1 << 20)
        shown = {row[0]: int(row[1]) for row in server.rows(root, "SELECT account, used_bytes FROM system.memory")}
        assert shown["server.jobs.flush"] == shown["server.jobs.restore"] == 0, shown


def test_jobs_that_fail_or_are_killed_give_it_back_too():
    with ServerProcess(CONFIG) as server:
        root = server.login()
        server.sql(root, "CREATE NAMESPACE app")
        server.sql(root, "CREATE SHARED TABLE app.items (id BIGINT PRIMARY KEY, body TEXT)")
        refused_job(server, root, f"RESTORE DATABASE FROM '{server.temporary.name}'")  # no backup lies there
        held(server, "restore", 1)
        killed = 0
        for turn in range(5):
            insert(server, root, "items", turn * 20_000, (turn + 1) * 20_000)
            job = start_job(server, root, "STORAGE FLUSH TABLE app.items")
            deadline = time.monotonic() + 20
            while jobs(server)["flush"]["used_bytes"] <= 64 << 10 and is_active(server, root, job):
                assert time.monotonic() < deadline
            server.request("POST", "/v1/api/sql", {"sql": f"KILL JOB '{job}'"}, {
                "Authorization": f"Bearer {root}", "Content-Type": "application/json"})  # may be at its end
            killed += wait_for_job(server, root, job)[0] == "cancelled"
            held(server, "flush", 1)
        print(f"        {killed} of 5 were killed on their way", flush=True)
        assert killed > 0


if __name__ == "__main__":
    run_tests(globals())

"""What tests of backups share: a database with everything in it, what it answers, and jobs to their end."""
import http.client
import os
import tempfile
import threading
import time

from flush_test import run_job as run_job_of_tables

EXIT_AT_STEP = 86


def start_job(server, token, statement):
    message = server.sql(token, statement)["results"][0]["message"]
    return message.split("Job ID: ")[1].split(".")[0].strip()


def wait_for_job(server, token, job_id, seconds=180):
    """How the job ended: status, message, trace."""
    deadline = time.monotonic() + seconds
    while True:
        rows = server.rows(token, f"SELECT status, message, exception_trace FROM system.jobs WHERE job_id = '{job_id}'")
        if rows and rows[0][0] in ("completed", "failed", "cancelled", "skipped"):
            return rows[0]
        assert time.monotonic() < deadline, rows
        time.sleep(0.02)


def start_job_that_ends_the_server(server, token, statement):
    """The server may be gone before it can answer."""
    try:
        start_job(server, token, statement)
    except (ConnectionError, http.client.HTTPException):
        pass


def newest_job(server, token, job_type):
    return server.rows(token, f"SELECT job_id FROM system.jobs WHERE job_type = '{job_type}' ORDER BY created_at DESC LIMIT 1")[0][0]


def run_job(server, token, statement):
    status, message, trace = wait_for_job(server, token, start_job(server, token, statement))
    assert status == "completed", (statement, status, message, trace)
    return message


def refused_job(server, token, statement):
    """What a job says that must fail."""
    status, message, trace = wait_for_job(server, token, start_job(server, token, statement))
    assert status == "failed", (statement, status, message, trace)
    return trace or message


def wait_for_cleanups(server, token):
    deadline = time.monotonic() + 180
    while server.rows(token, "SELECT COUNT(*) FROM system.jobs WHERE job_type = 'cleanup' AND status <> 'completed'") != [["0"]]:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def files_below(folder):
    found = {}
    for at, _, names in os.walk(folder):
        for name in names:
            with open(os.path.join(at, name), "rb") as file:
                found[os.path.relpath(os.path.join(at, name), folder)] = file.read()
    return found


def fill(server, token):
    """Hot rows, cold rows, rows that are both, tombstones, users with rows of their own, a stream and a view."""
    server.sql(token, "CREATE NAMESPACE app")
    server.sql(token, "CREATE SHARED TABLE app.rooms (id BIGINT PRIMARY KEY, title TEXT, size INT)")
    server.sql(token, "CREATE USER TABLE app.notes (id BIGINT PRIMARY KEY, body TEXT)")
    server.sql(token, "CREATE STREAM TABLE app.typing (id BIGINT PRIMARY KEY, who TEXT) WITH (TTL_SECONDS = 86400)")
    server.sql(token, "CREATE VIEW app.big AS SELECT id, title FROM app.rooms WHERE size > 500")
    server.sql(token, "INSERT INTO app.rooms (id, title, size) VALUES " + ", ".join(
        f"({i}, 'room {i}', {i * 3})" for i in range(1, 401)))
    for user in ("ann", "bob"):
        server.sql(token, f"CREATE USER {user} WITH PASSWORD '{user}-password-1' ROLE user")
        own = server.login(user, f"{user}-password-1")
        server.sql(own, "INSERT INTO app.notes (id, body) VALUES " + ", ".join(
            f"({i}, '{user} writes {i}')" for i in range(1, 51)))
        server.sql(own, f"INSERT INTO app.typing (id, who) VALUES (1, '{user}')")
    run_job_of_tables(server, token, "STORAGE FLUSH TABLE app.rooms")
    run_job_of_tables(server, token, "STORAGE FLUSH TABLE app.notes")
    server.sql(token, "DELETE FROM app.rooms WHERE id <= 10")
    server.sql(token, "UPDATE app.rooms SET title = 'renamed' WHERE id > 390")
    server.sql(token, "INSERT INTO app.rooms (id, title, size) VALUES (1000, 'late', 1000)")


QUERIES = ["SELECT * FROM app.rooms ORDER BY id", "SELECT id, _seq FROM app.rooms ORDER BY id",
           "SELECT * FROM app.big ORDER BY id", "SELECT COUNT(*), SUM(size) FROM app.rooms",
           "SELECT id FROM app.rooms WHERE id = 5", "SELECT title FROM app.rooms WHERE id = 395"]
USER_QUERIES = ["SELECT * FROM app.notes ORDER BY id", "SELECT id, who FROM app.typing"]


def answers(server):
    token = server.login()
    found = {query: server.rows(token, query) for query in QUERIES}
    for user in ("ann", "bob"):
        own = server.login(user, f"{user}-password-1")
        found.update({(user, query): server.rows(own, query) for query in USER_QUERIES})
    return found


class Elsewhere:
    """A folder for a backup, outside of every data directory."""

    def __enter__(self):
        self.temporary = tempfile.TemporaryDirectory(prefix="kalam-backup-")
        return os.path.join(self.temporary.name, "backup")

    def __exit__(self, *_):
        self.temporary.cleanup()


class Writer(threading.Thread):
    """Writes pairs of rows in one transaction, of which a consistent copy has both or none."""

    def __init__(self, server, token):
        super().__init__(daemon=True)
        self.server, self.token = server, token
        self.stopping, self.count, self.failure = False, 0, None

    def run(self):
        try:
            while not self.stopping:
                i = self.count + 1
                self.server.sql(self.token, f"BEGIN; INSERT INTO app.left_rows (id) VALUES ({i}); "
                                            f"INSERT INTO app.right_rows (id) VALUES ({i}); COMMIT;")
                self.count = i
        except Exception as error:  # noqa: BLE001 - told by the test
            self.failure = error

"""STREAM tables over sockets: rows live as long as TTL_SECONDS says, across restarts and crashes, and leave no bytes behind."""
import signal
import time

from server_process import LiveClient, ServerProcess, UNLIMITED, run_tests

QUICK = UNLIMITED + "[stream]\neviction_interval_seconds = 1\n"


def wait_for(condition, what, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.05)


def prepare(server):
    root = server.login()
    server.sql(root, "CREATE NAMESPACE app")
    server.sql(root, "CREATE STREAM TABLE app.typing (id BIGINT, room TEXT) WITH (TTL_SECONDS = 2)")
    server.sql(root, "CREATE STREAM TABLE app.events (id BIGINT, room TEXT) WITH (TTL_SECONDS = 600)")
    return root


def keys(server, token, table):
    return sorted(int(row[0]) for row in server.rows(token, f"SELECT id FROM {table}"))


def test_rows_expire_and_are_removed():
    with ServerProcess(QUICK) as server:
        root = prepare(server)
        server.sql(root, "INSERT INTO app.events VALUES (1, 'lobby')")
        values = ", ".join(f"({key}, 'lobby')" for key in range(500))
        server.sql(root, f"INSERT INTO app.typing VALUES {values}")
        assert len(keys(server, root, "app.typing")) == 500
        assert server.rows(root, "SELECT COUNT(*) FROM app.typing WHERE id < 10") == [["10"]]
        wait_for(lambda: keys(server, root, "app.typing") == [], "expired rows are shown")
        evicted = "SELECT message FROM system.jobs WHERE job_type = 'stream_eviction' AND status = 'completed'"
        wait_for(lambda: any("Evicted 500 expired rows from app:typing (ttl: 2s)" in row[0] for row in server.rows(root, evicted)),
                 "no job removed them")
        assert keys(server, root, "app.events") == [1]
        server.sql(root, "INSERT INTO app.typing VALUES (1000, 'lobby')")
        assert keys(server, root, "app.typing") == [1000]


def test_rows_survive_a_restart_and_a_crash_until_they_expire():
    with ServerProcess(QUICK) as server:
        root = prepare(server)
        server.sql(root, "INSERT INTO app.events VALUES (1, 'a'), (2, 'b')")
        server.sql(root, "INSERT INTO app.typing VALUES (1, 'a')")
        server.stop()
        server.start()
        root = server.login()
        assert keys(server, root, "app.events") == [1, 2]
        server.sql(root, "INSERT INTO app.events VALUES (3, 'c')")
        server.sql(root, "DELETE FROM app.events WHERE id = 1")
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
        server.start()
        root = server.login()
        assert keys(server, root, "app.events") == [2, 3]
        wait_for(lambda: keys(server, root, "app.typing") == [], "a row outlived its time over a restart")


async def test_users_have_streams_of_their_own_and_subscribers_see_what_arrives():
    with ServerProcess(QUICK) as server:
        root = prepare(server)
        server.sql(root, "CREATE USER ann WITH PASSWORD 'password-ann' ROLE 'user'")
        ann = server.login("ann", "password-ann")
        client = await LiveClient.connect(server, ann)
        await client.subscribe("s", "SELECT * FROM app.typing")
        server.sql(root, "INSERT INTO app.typing VALUES (1, 'of root')")
        server.sql(ann, "INSERT INTO app.typing VALUES (2, 'of ann')")
        change = await client.receive()
        assert change["change_type"] == "insert" and change["rows"][0]["room"] == "of ann", change
        # Expiry is no deletion: nobody is told.
        wait_for(lambda: keys(server, ann, "app.typing") == [], "expired rows are shown")
        await client.quiet()
        await client.close()


if __name__ == "__main__":
    run_tests(globals())

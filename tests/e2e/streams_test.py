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


def test_a_buffer_keeps_the_newest_rows_of_each_user():
    with ServerProcess(QUICK) as server:
        root = prepare(server)
        server.sql(root, "CREATE STREAM TABLE app.recent (id BIGINT, room TEXT) WITH (TTL_SECONDS = 600, MAX_BUFFER = 100)")
        server.sql(root, "CREATE USER ann WITH PASSWORD 'password-ann' ROLE 'user'")
        ann = server.login("ann", "password-ann")
        server.sql(ann, "INSERT INTO app.recent VALUES (1, 'of ann')")
        for begin in range(0, 1000, 250):
            server.sql(root, "INSERT INTO app.recent VALUES " + ", ".join(f"({key}, 'lobby')" for key in range(begin, begin + 250)))
            # At once, whenever the older ones are removed.
            assert keys(server, root, "app.recent") == list(range(begin + 150, begin + 250))
        assert server.rows(root, "SELECT COUNT(*), MIN(id) FROM app.recent WHERE room = 'lobby'") == [["100", "900"]]
        assert server.rows(root, "SELECT COUNT(*) FROM app.recent GROUP BY room") == [["100"]]
        assert server.rows(root, "SELECT id FROM app.recent ORDER BY id LIMIT 1") == [["900"]]
        assert server.rows(root, "SELECT id FROM app.recent WHERE id = 899") == []
        evicted = "SELECT message FROM system.jobs WHERE job_type = 'stream_eviction' AND status = 'completed'"

        def count_evicted():
            return sum(int(row[0].split(" and ")[1].split()[0]) for row in server.rows(root, evicted) if "app:recent" in row[0])

        wait_for(lambda: count_evicted() == 900, "what is beyond the buffer was not removed")
        assert keys(server, ann, "app.recent") == [1]
        for how in ("stop", "kill"):
            server.sql(root, "INSERT INTO app.recent VALUES " + ", ".join(f"({key}, 'lobby')" for key in range(2000, 2050)))
            newest = [key for key in keys(server, root, "app.recent")]
            assert len(newest) == 100
            if how == "stop":
                server.stop()
            else:
                server.process.send_signal(signal.SIGKILL)
                server.process.wait()
            server.start()
            root = server.login()
            assert keys(server, root, "app.recent") == newest
        server.sql(root, "ALTER TABLE app.recent SET MAX_BUFFER 10")
        assert len(keys(server, root, "app.recent")) == 10
        server.sql(root, "ALTER STREAM TABLE app.recent SET TBLPROPERTIES (MAX_BUFFER = 20)")
        options = server.rows(root, "SELECT options FROM system.tables WHERE table_name = 'recent'")[0][0]
        assert '"max_buffer":20' in str(options).replace(" ", "").replace("'", '"'), options
        server.stop()
        server.start()
        root = server.login()
        server.sql(root, "INSERT INTO app.recent VALUES " + ", ".join(f"({key}, 'lobby')" for key in range(3000, 3100)))
        assert keys(server, root, "app.recent") == list(range(3080, 3100))
        server.sql(root, "ALTER TABLE app.recent SET MAX_BUFFER NONE")
        for statement in ("CREATE SHARED TABLE app.x (id BIGINT PRIMARY KEY) WITH (MAX_BUFFER = 5)",
                          "CREATE STREAM TABLE app.x (id BIGINT) WITH (TTL_SECONDS = 5, MAX_BUFFER = 0)",
                          "CREATE STREAM TABLE app.x (id BIGINT) WITH (TTL_SECONDS = 5, MAX_BUFFER = 'many')",
                          "ALTER TABLE app.recent SET MAX_BUFFER 0", "ALTER TABLE app.recent SET MAX_BUFFER 10000000"):
            assert "MAX_BUFFER" in server.sql(root, statement, expect=400)["error"]["message"], statement


def metric(server, name):
    status, _, text = server.request("GET", "/metrics", raw=True)
    assert status == 200, text
    return next(int(float(line.split()[1])) for line in text.decode().split("\n") if line.startswith(f"kalamdb_{name} "))


def test_what_expires_or_is_dropped_is_in_nobodys_way():
    with ServerProcess(QUICK) as server:
        root = prepare(server)
        server.sql(root, "CREATE STREAM TABLE app.blink (id BIGINT, room TEXT) WITH (TTL_SECONDS = 1)")
        server.sql(root, "CREATE STREAM TABLE app.recent (id BIGINT, room TEXT) WITH (TTL_SECONDS = 600, MAX_BUFFER = 50)")
        for name in ("notes", "doomed"):
            server.sql(root, f"CREATE TABLE app.{name} (id BIGINT PRIMARY KEY, body TEXT) WITH (TYPE='SHARED')")
            server.sql(root, f"INSERT INTO app.{name} VALUES " + ", ".join(f"({key}, 'x')" for key in range(300)))
        server.sql(root, "INSERT INTO app.events VALUES (1, 'a'), (2, 'b')")
        evicted = "SELECT message FROM system.jobs WHERE job_type = 'stream_eviction' AND status = 'completed'"

        def look():
            """Scans of others see everything, and cores do them by themselves."""
            before = metric(server, "statements_to_workers_total")
            assert keys(server, root, "app.notes LIMIT 100") == list(range(100))
            assert keys(server, root, "app.events LIMIT 100") == [1, 2]
            assert keys(server, root, "app.recent LIMIT 100") == list(range(written - 50, written))
            assert metric(server, "statements_to_workers_total") == before

        written = 0

        def write():
            nonlocal written
            for table in ("blink", "recent"):
                values = ", ".join(f"({key}, 'lobby')" for key in range(written, written + 100))
                server.sql(root, f"INSERT INTO app.{table} VALUES {values}")
            written += 100

        def evictions_of(table):
            return sum(f"rows from app:{table}" in row[0] or f"buffer from app:{table}" in row[0] for row in server.rows(root, evicted))

        def seen():
            write()
            look()
            assert metric(server, "rocksdb_deleted_range_places") == 0
            return evictions_of("blink") >= 3 and evictions_of("recent") >= 3

        wait_for(seen, "nothing was evicted")
        assert max(keys(server, root, "app.blink")) == written - 1
        server.sql(root, "DROP TABLE app.doomed")
        # Its cleanup takes the ranges down to what they delete, and writes out what others have in memory.
        cleaned = "SELECT COUNT(*) FROM system.jobs WHERE job_type = 'cleanup' AND status = 'completed'"
        wait_for(lambda: server.rows(root, cleaned) == [["1"]], "a dropped table was not cleaned up")
        wait_for(lambda: metric(server, "rocksdb_deleted_range_places") == 0, "a dropped table left ranges behind")
        for table in ("notes", "events", "recent"):
            keys(server, root, f"app.{table} LIMIT 100")
        look()
        assert metric(server, "rocksdb_hidden_keys_total") == 0, "somebody walked over the rows of another table"


async def test_subscribers_see_all_that_arrives_also_beyond_the_buffer():
    with ServerProcess(QUICK) as server:
        root = prepare(server)
        server.sql(root, "CREATE STREAM TABLE app.recent (id BIGINT) WITH (TTL_SECONDS = 600, MAX_BUFFER = 2)")
        server.sql(root, "INSERT INTO app.recent VALUES (1), (2), (3)")
        client = await LiveClient.connect(server, root)
        await client.subscribe("s", "SELECT id FROM app.recent", {})
        first = await client.receive()
        assert sorted(int(row["id"]) for row in first["rows"]) == [2, 3], first
        server.sql(root, "INSERT INTO app.recent VALUES (4), (5), (6)")
        seen = []
        while len(seen) < 3:
            seen += [int(row["id"]) for row in (await client.receive())["rows"]]
        assert seen == [4, 5, 6], seen
        await client.close()


if __name__ == "__main__":
    run_tests(globals())

"""Vector indexes over sockets: the nearest rows are right before, while and after the index is built, and after a restart."""
import json
import math
import os
import random
import time

from flush_test import run_job
from server_process import ServerProcess, UNLIMITED, run_tests

DIMENSION = 12
COUNT = 2500


def vector(generator):
    return [round(generator.gauss(0, 1), 4) for _ in range(DIMENSION)]


def text(numbers):
    return json.dumps(numbers)


def cosine(a, b):
    product = sum(x * y for x, y in zip(a, b))
    return 1 - product / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))


def l2(a, b):
    return math.sqrt(sum((x - y) ** 2 for x, y in zip(a, b)))


def fill(server, token, table, vectors, begin=0):
    rows = list(enumerate(vectors, begin))
    for at in range(0, len(rows), 250):
        values = ", ".join(f"({key}, {key % 5}, '{text(numbers)}')" for key, numbers in rows[at:at + 250])
        server.sql(token, f"INSERT INTO {table} (id, kind, v) VALUES {values}")


def snapshots(server):
    found = []
    for _, _, names in os.walk(os.path.join(server.directory, "storage")):
        found += [name for name in names if name.endswith(".vix")]
    return sorted(found)


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.1)


def nearest(server, token, table, query, count, where="", function="COSINE_DISTANCE", order="ASC"):
    return [int(row[0]) for row in server.rows(
        token, f"SELECT id FROM {table} {where} ORDER BY {function}(v, '{text(query)}') {order} LIMIT {count}")]


def check(server, token, table, vectors, queries, keep=lambda key: True, where="", distance=cosine,
          function="COSINE_DISTANCE"):
    found = 0
    for query in queries:
        exact = sorted((key for key in vectors if keep(key)), key=lambda key: distance(vectors[key], query))[:10]
        got = nearest(server, token, table, query, 10, where, function)
        assert len(got) == 10 and all(keep(key) for key in got), got
        # What comes is in exact order.
        distances = [distance(vectors[key], query) for key in got]
        assert distances == sorted(distances) or max(abs(a - b) for a, b in zip(distances, sorted(distances))) < 1e-5
        found += len(set(exact) & set(got))
    assert found >= 0.95 * 10 * len(queries), found


def test_the_nearest_rows_with_and_without_an_index():
    generator = random.Random(7)
    with ServerProcess(UNLIMITED) as server:
        root = server.login()
        server.sql(root, "CREATE NAMESPACE app")
        server.sql(root, "CREATE SHARED TABLE app.docs (id BIGINT PRIMARY KEY, kind INT, v EMBEDDING(12))")
        vectors = {key: vector(generator) for key in range(COUNT)}
        fill(server, root, "app.docs", list(vectors.values()))
        queries = [vector(generator) for _ in range(15)]
        check(server, root, "app.docs", vectors, queries)
        explain = f"EXPLAIN SELECT id FROM app.docs ORDER BY COSINE_DISTANCE(v, '{text(queries[0])}') LIMIT 5"
        assert "VectorIndex" not in str(server.rows(root, explain))

        answer = server.sql(root, "ALTER TABLE app.docs CREATE INDEX v USING COSINE")["results"][0]
        assert answer["message"] == "Vector index enabled on app.docs.v (Cosine)", answer
        plan = str(server.rows(root, explain))
        assert "VectorIndex: candidates by cosine on v" in plan and "access=rows of the candidates" in plan, plan
        assert "the candidates of the index are read" in plan, plan
        check(server, root, "app.docs", vectors, queries)  # while it is built
        wait_for(lambda: snapshots(server) == ["vec-v-snapshot-1.vix"])
        check(server, root, "app.docs", vectors, queries)
        check(server, root, "app.docs", vectors, queries, lambda key: key % 5 == 3, "WHERE kind = 3")
        check(server, root, "app.docs", vectors, queries[:3], lambda key: key < 40, "WHERE id < 40 AND kind >= 0")

        # Rows that come and go are seen at once.
        query = queries[0]
        best = nearest(server, root, "app.docs", query, 3)
        server.sql(root, f"DELETE FROM app.docs WHERE id = {best[0]}")
        server.sql(root, f"UPDATE app.docs SET v = '{text([-x for x in query])}' WHERE id = {best[1]}")
        server.sql(root, f"INSERT INTO app.docs (id, kind, v) VALUES (90001, 0, '{text(query)}'), (90002, 0, NULL)")
        assert nearest(server, root, "app.docs", query, 2) == [90001, best[2]]
        del vectors[best[0]]
        vectors[best[1]], vectors[90001] = [-x for x in query], query
        check(server, root, "app.docs", vectors, queries)
        rows = server.rows(root, f"SELECT id, COSINE_DISTANCE(v, '{text(query)}') AS d FROM app.docs ORDER BY d LIMIT 1")
        assert rows[0][0] == "90001" and abs(rows[0][1]) < 1e-6, rows
        # As many as there are: rows without a vector stand last.
        assert nearest(server, root, "app.docs", query, 10_000)[-1] == 90002

        # A restart loads what was built.
        server.stop(20)
        server.start()
        root = server.login()
        check(server, root, "app.docs", vectors, queries)
        time.sleep(3)
        check(server, root, "app.docs", vectors, queries)
        assert len(snapshots(server)) == 1

        answer = server.sql(root, "ALTER TABLE app.docs DROP INDEX v")["results"][0]
        assert answer["message"] == "Vector index disabled on app.docs.v", answer
        check(server, root, "app.docs", vectors, queries)
        wait_for(lambda: snapshots(server) == [])


def test_users_and_metrics():
    generator = random.Random(8)
    with ServerProcess(UNLIMITED) as server:
        root = server.login()
        server.sql(root, "CREATE NAMESPACE app")
        server.sql(root, "CREATE USER TABLE app.notes (id BIGINT PRIMARY KEY, kind INT, v EMBEDDING(12))")
        server.sql(root, "ALTER TABLE app.notes CREATE VECTOR INDEX v USING L2")
        server.sql(root, "CREATE USER ann WITH PASSWORD 'password-ann' ROLE 'user'")
        server.sql(root, "CREATE USER bob WITH PASSWORD 'password-bob' ROLE 'user'")
        ann, bob = server.login("ann", "password-ann"), server.login("bob", "password-bob")
        vectors = {key: vector(generator) for key in range(COUNT)}
        others = {key: vector(generator) for key in range(100, 150)}
        fill(server, ann, "app.notes", list(vectors.values()))
        fill(server, bob, "app.notes", list(others.values()), 100)
        queries = [vector(generator) for _ in range(10)]
        for _ in range(2):
            check(server, ann, "app.notes", vectors, queries, distance=l2, function="L2_DISTANCE")
            check(server, bob, "app.notes", others, queries, distance=l2, function="L2_DISTANCE")
            wait_for(lambda: len(snapshots(server)) == 1)
        # Another metric than the index has: compared row by row.
        check(server, ann, "app.notes", vectors, queries)
        server.sql(root, "ALTER TABLE app.notes CREATE INDEX v USING DOT")

        def product(a, b):
            return -sum(x * y for x, y in zip(a, b))

        for _ in range(2):
            for query in queries:
                exact = sorted(vectors, key=lambda key: product(vectors[key], query))[:5]
                got = nearest(server, ann, "app.notes", query, 5, "", "INNER_PRODUCT", "DESC")
                assert len(set(exact) & set(got)) >= 4, (exact, got)
            time.sleep(2.5)
        server.sql(root, "DROP TABLE app.notes")
        wait_for(lambda: snapshots(server) == [])


def test_cold_rows_are_indexed():
    generator = random.Random(3)
    with ServerProcess(UNLIMITED) as server:
        root = server.login()
        server.sql(root, "CREATE NAMESPACE app")
        server.sql(root, "CREATE SHARED TABLE app.docs (id BIGINT PRIMARY KEY, kind INT, v EMBEDDING(12))")
        vectors = {key: vector(generator) for key in range(COUNT)}
        fill(server, root, "app.docs", list(vectors.values()))

        run_job(server, root, "STORAGE FLUSH TABLE app.docs")
        server.sql(root, "ALTER TABLE app.docs CREATE INDEX v")
        queries = [vector(generator) for _ in range(8)]
        check(server, root, "app.docs", vectors, queries)
        wait_for(lambda: snapshots(server) == ["vec-v-snapshot-1.vix"])
        # No flush wrote this one: the manifest beside it names it all the same.
        manifest = os.path.join(server.directory, "storage", "app", "docs", "manifest.json")

        def snapshot_path():
            with open(manifest, encoding="utf-8") as file:
                return json.load(file)["vector_indexes"].get("v", {}).get("snapshot_path")

        wait_for(lambda: snapshot_path() == "app/docs/vec-v-snapshot-1.vix")
        check(server, root, "app.docs", vectors, queries)
        best = nearest(server, root, "app.docs", queries[0], 2)
        server.sql(root, f"DELETE FROM app.docs WHERE id = {best[0]}")
        assert nearest(server, root, "app.docs", queries[0], 1) == best[1:]
        run_job(server, root, "STORAGE FLUSH TABLE app.docs")
        del vectors[best[0]]
        check(server, root, "app.docs", vectors, queries)


def test_named_indexes_and_their_state():
    with ServerProcess(UNLIMITED) as server:
        root = server.login()
        server.sql(root, "CREATE NAMESPACE app")
        server.sql(root, "CREATE SHARED TABLE app.docs (id BIGINT PRIMARY KEY, kind INT, v EMBEDDING(12), w EMBEDDING(2))")
        generator = random.Random(9)
        vectors = {key: vector(generator) for key in range(40)}
        fill(server, root, "app.docs", list(vectors.values()))

        def state(column):
            manifest = json.loads(server.rows(root, "SELECT manifest_json FROM system.manifest WHERE table_name = 'docs'")[0][0])
            return manifest["vector_indexes"].get(column)

        def state_in_storage(column):
            with open(os.path.join(server.directory, "storage", "app", "docs", "manifest.json"), encoding="utf-8") as file:
                return json.load(file)["vector_indexes"].get(column)

        answer = server.sql(root, "CREATE INDEX near ON app.docs (v) USING L2")["results"][0]
        assert answer["message"] == "Vector index enabled on app.docs.v (L2)", answer
        for again in ("near ON app.docs USING L2 (v)", "near ON app.docs (v)", "other ON app.docs (v)", "near ON app.docs (w)"):
            answer = server.sql(root, "CREATE VECTOR INDEX IF NOT EXISTS " + again)["results"][0]["message"]
            assert "already" in answer and answer.endswith("(skipped)"), answer
        # Without USING an index is of COSINE; one that is there stays what it is.
        for statement, metric in (("ALTER TABLE app.docs CREATE INDEX v", "v (L2)"), ("CREATE INDEX ON app.docs (w)", "w (Cosine)"),
                                  ("ALTER TABLE app.docs CREATE INDEX v USING DOT", "v (Dot)"), ("ALTER TABLE app.docs CREATE INDEX v", "v (Dot)"),
                                  ("ALTER TABLE app.docs CREATE INDEX v USING L2", "v (L2)")):
            answer = server.sql(root, statement)["results"][0]["message"]
            assert answer == "Vector index enabled on app.docs." + metric, (statement, answer)
        for taken in ("CREATE INDEX near ON app.docs (w)", "CREATE INDEX other ON app.docs (v)"):
            assert "already" in server.sql(root, taken, expect=400)["error"]["message"]
        # A flush is followed by a job that writes snapshots, of few rows too.
        run_job(server, root, "STORAGE FLUSH TABLE app.docs")
        wait_for(lambda: snapshots(server) == ["vec-v-snapshot-1.vix"])
        wait_for(lambda: state_in_storage("v") == state("v"))
        jobs = server.rows(root, "SELECT status, parameters FROM system.jobs WHERE job_type = 'vector_index'")
        assert len(jobs) == 1 and "app.docs" in str(jobs), jobs
        wait_for(lambda: state("v")["state"] == "active")
        shown = state("v")
        assert (shown["metric"], shown["dimensions"], shown["snapshot_version"]) == ("l2", 12, 1), shown
        assert shown["snapshot_path"].endswith("vec-v-snapshot-1.vix") and shown["last_applied_seq"] > 0, shown
        assert state("w")["metric"] == "cosine" and state("w")["state"] == "syncing", state("w")  # nothing in it yet
        extra = vector(generator)
        server.sql(root, f"INSERT INTO app.docs (id, kind, v, w) VALUES (50, 0, '{text(extra)}', '[1, 2]')")
        run_job(server, root, "STORAGE FLUSH TABLE app.docs")
        wait_for(lambda: snapshots(server) == ["vec-v-snapshot-2.vix", "vec-w-snapshot-1.vix"])
        wait_for(lambda: state_in_storage("w") == state("w") and state_in_storage("v")["snapshot_version"] == 2)
        vectors[50] = extra
        check(server, root, "app.docs", vectors, [vector(generator) for _ in range(3)], distance=l2, function="L2_DISTANCE")

        assert "not found" in server.sql(root, "DROP INDEX app.nothing", expect=400)["error"]["message"].lower()
        server.sql(root, "DROP INDEX IF EXISTS app.nothing")
        server.sql(root, "DROP INDEX app.near")
        server.sql(root, "DROP INDEX app.docs_w_idx")
        wait_for(lambda: snapshots(server) == [])
        assert state("v") is None
        wait_for(lambda: state_in_storage("v") is None and state_in_storage("w") is None)


def test_vector_search():
    with ServerProcess(UNLIMITED) as server:
        root = server.login()
        server.sql(root, "CREATE NAMESPACE app")
        server.sql(root, "CREATE SHARED TABLE app.docs (id BIGINT PRIMARY KEY, name TEXT, v EMBEDDING(2)) WITH (ACCESS_LEVEL='PUBLIC')")
        server.sql(root, "CREATE USER TABLE app.notes (id BIGINT PRIMARY KEY, v EMBEDDING(2))")
        server.sql(root, "CREATE STREAM TABLE app.events (id BIGINT, v EMBEDDING(2)) WITH (TTL_SECONDS=60)")
        server.sql(root, "CREATE USER ann WITH PASSWORD 'password-ann' ROLE 'user'")
        ann = server.login("ann", "password-ann")
        server.sql(root, "INSERT INTO app.docs VALUES (1, 'a', '[1,0]'), (2, 'b', '[1,1]'), (3, 'c', '[0,1]'), (4, 'd', NULL)")
        server.sql(root, "INSERT INTO app.notes VALUES (1, '[1,0]')")
        find = "SELECT row_id, score FROM vector_search('app.docs', 'v', '[2,0]', 2)"
        assert server.rows(root, find) == []  # no index
        server.sql(root, "CREATE INDEX ON app.docs (v)")
        rows = server.rows(ann, find)
        assert [row[0] for row in rows] == ["1", "2"] and abs(rows[0][1] - 1) < 1e-6 and abs(rows[1][1] - 0.7071) < 1e-3, rows
        joined = ("SELECT d.name FROM vector_search('app.docs', 'v', '[0,1]') s JOIN app.docs d ON CAST(d.id AS TEXT) = s.row_id "
                  "ORDER BY s.score DESC")
        assert server.rows(ann, joined) == [["c"], ["b"], ["a"]]
        server.sql(root, "ALTER TABLE app.docs CREATE INDEX v USING L2")
        assert server.rows(root, find)[0] == ["1", -1.0]
        server.sql(root, "CREATE INDEX ON app.notes (v) USING DOT")
        assert server.rows(root, "SELECT * FROM vector_search('app.notes', 'v', '[3,0]')") == [["1", 3.0]]
        assert server.rows(ann, "SELECT * FROM vector_search('app.notes', 'v', '[3,0]')") == []

        def refused(arguments, part):
            message = server.sql(root, f"SELECT * FROM vector_search({arguments})", expect=400)["error"]["message"]
            assert part in message, message

        refused("'app.docs', 'v'", "expects 3 or 4 literal arguments")
        refused("'app.docs', 'v', id", "expects 3 or 4 literal arguments")
        refused("'docs', 'v', '[1,0]'", "must be in 'namespace.table' format, got 'docs'")
        refused("'app.docs', 'v', '[1,0]', 0", "top_k must be > 0")
        refused("'app.docs', 'v', '[]'", "cannot be empty")
        refused("'app.docs', 'v', '[1,2,3]'", "dimensions mismatch: query has 3, index has 2")
        refused("'app.events', 'v', '[1,0]'", "supports only user/shared tables, got Stream")


def test_errors():
    with ServerProcess(UNLIMITED) as server:
        root = server.login()
        server.sql(root, "CREATE NAMESPACE app")
        server.sql(root, "CREATE SHARED TABLE app.docs (id BIGINT PRIMARY KEY, name TEXT, v EMBEDDING(3))")
        server.sql(root, "CREATE STREAM TABLE app.events (id BIGINT, v EMBEDDING(3)) WITH (TTL_SECONDS=60)")

        def refused(sql, *parts):
            message = server.sql(root, sql, expect=400)["error"]["message"]
            assert all(part in message for part in parts), message

        refused("ALTER TABLE app.docs CREATE INDEX name", "Column 'name' is not EMBEDDING")
        refused("ALTER TABLE app.docs CREATE INDEX nothing", "Column 'nothing' does not exist")
        refused("ALTER TABLE app.docs CREATE INDEX v USING HAMMING", "COSINE, L2, DOT")
        refused("ALTER TABLE app.events CREATE INDEX v", "USER and SHARED")
        server.sql(root, "ALTER TABLE app.docs CREATE INDEX v")
        server.sql(root, "ALTER TABLE app.docs CREATE INDEX v")
        server.sql(root, "INSERT INTO app.docs VALUES (1, 'a', '[1,0,0]'), (2, 'b', NULL)")
        refused("INSERT INTO app.docs VALUES (3, 'c', '[1,0]')", "dimension mismatch", "expected 3, got 2")
        refused("SELECT id FROM app.docs ORDER BY COSINE_DISTANCE(v, '[1,0]') LIMIT 1",
                "COSINE_DISTANCE() dimension mismatch: row has 3, query has 2")
        refused("SELECT id FROM app.docs ORDER BY COSINE_DISTANCE(v, NULL) LIMIT 1", "query vector cannot be NULL")
        refused("SELECT id FROM app.docs ORDER BY COSINE_DISTANCE(v, 'x') LIMIT 1", "failed to parse JSON query vector")
        rows = server.rows(root, "SELECT id FROM app.docs ORDER BY COSINE_DISTANCE(v, '[1,0,0]') LIMIT 5")
        assert rows == [["1"], ["2"]], rows


if __name__ == "__main__":
    run_tests(globals())

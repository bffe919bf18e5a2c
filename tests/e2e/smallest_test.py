"""Servers without optional parts: each says what it lacks, refuses it clearly, and does the rest."""
import os
import re
import subprocess
import time

from flush_test import run_job
from server_process import BINARIES, UNLIMITED, ServerProcess, run_tests

PROGRAM = "kalamdb-server-smallest"
LEFT_OUT = {"analytics": "the analytical engine", "websocket": "WebSockets and live queries", "tls": "TLS"}
JOINED = "SELECT a.room, COUNT(*) FROM app.items a JOIN app.items b ON a.id = b.id GROUP BY a.room ORDER BY a.room"


def test_it_says_what_it_lacks():
    shown = subprocess.run([f"{BINARIES}/{PROGRAM}", "--version"], capture_output=True, text=True, check=True).stdout
    assert "built without: the analytical engine, WebSockets and live queries, TLS" in shown, shown
    for left_out, words in LEFT_OUT.items():
        shown = subprocess.run([f"{BINARIES}/kalamdb-server-without-{left_out}", "--version"], capture_output=True, text=True, check=True).stdout
        assert f"built without: {words}\n" in shown, shown
    shown = subprocess.run([f"{BINARIES}/kalamdb-server", "--version"], capture_output=True, text=True, check=True).stdout
    assert "without" not in shown, shown


def test_it_serves_and_refuses_clearly():
    with ServerProcess(UNLIMITED, program=PROGRAM) as server:
        root = server.login()
        server.sql(root, "CREATE NAMESPACE app")
        server.sql(root, "CREATE TABLE app.items (id BIGINT PRIMARY KEY, room INT) WITH (TYPE='SHARED')")
        server.sql(root, "INSERT INTO app.items VALUES (1, 7), (2, 8)")
        assert server.rows(root, "SELECT room FROM app.items WHERE id = 2") == [[8]]
        error = server.sql(root, JOINED, expect=400)["error"]
        assert error["code"] == "NOT_AVAILABLE" and "built without" in error["message"], error
        status, _, body = server.request("GET", "/v1/ws")
        assert status == 400 and body["error"] == "NOT_AVAILABLE" and "built without" in body["message"], body
        error = server.sql(root, "SUBSCRIBE TO app.items", expect=400)["error"]
        assert error["code"] == "NOT_AVAILABLE", error
        assert server.rows(root, "SELECT live_id FROM system.live") == []
        assert server.request("GET", "/metrics", raw=True)[0] == 200


def test_one_part_left_out_leaves_the_others():
    for left_out in LEFT_OUT:
        with ServerProcess(UNLIMITED, program=f"kalamdb-server-without-{left_out}") as server:
            root = server.login()
            server.sql(root, "CREATE NAMESPACE app")
            server.sql(root, "CREATE TABLE app.items (id BIGINT PRIMARY KEY, room INT) WITH (TYPE='SHARED')")
            server.sql(root, "INSERT INTO app.items VALUES (1, 7), (2, 8)")
            if left_out == "analytics":
                assert server.sql(root, JOINED, expect=400)["error"]["code"] == "NOT_AVAILABLE"
            else:
                assert server.rows(root, JOINED) == [[7, "1"], [8, "1"]], left_out
            body = server.request("GET", "/v1/ws")[2]
            assert ("built without" in body["message"]) == (left_out == "websocket"), (left_out, body)


def completed(server, token, job_type):
    return server.rows(token, f"SELECT COUNT(*) FROM system.jobs WHERE job_type = '{job_type}' AND status = 'completed'")[0][0]


def test_nothing_is_scheduled_that_needs_the_engine():
    eager = UNLIMITED + "[flush]\ncheck_interval_seconds = 1\n[stream]\neviction_interval_seconds = 1\n"
    off = eager + "[analytics]\nenabled = false\n"
    for program, config, why in ((PROGRAM, eager, "built without"), ("kalamdb-server", off, "switched off")):
        with ServerProcess(config, program=program) as server:
            root = server.login()
            with open(os.path.join(server.directory, "logs", "server.log"), encoding="utf-8") as file:
                logged = [line for line in file if "rows stay hot" in line]
            assert len(logged) == 1 and "WARN" in logged[0] and why in logged[0], logged
            server.sql(root, "CREATE NAMESPACE app")
            server.sql(root, "CREATE TABLE app.items (id BIGINT PRIMARY KEY) WITH (TYPE='SHARED', FLUSH_POLICY='rows:2')")
            server.sql(root, "CREATE STREAM TABLE app.last (id BIGINT PRIMARY KEY) WITH (TTL_SECONDS = 600, MAX_BUFFER = 1)")
            server.sql(root, "INSERT INTO app.items VALUES (1), (2), (3)")
            # Flushes are looked for at least as often as streams are evicted, by the same clock and in the same round.
            for round_ in range(1, 4):
                server.sql(root, f"INSERT INTO app.last VALUES ({2 * round_}), ({2 * round_ + 1})")
                deadline = time.monotonic() + 20
                while int(completed(server, root, "stream_eviction")) < round_:
                    assert time.monotonic() < deadline, server.rows(root, "SELECT * FROM system.jobs")
                    time.sleep(0.05)
            for statement in ("STORAGE FLUSH TABLE app.items", "STORAGE FLUSH ALL IN app", "STORAGE COMPACT TABLE app.items",
                              "STORAGE COMPACT ALL IN app", "EXPORT USER DATA", "EXPORT NAMESPACE app"):
                error = server.sql(root, statement, expect=400)["error"]
                assert error["code"] == "NOT_AVAILABLE" and why in error["message"], (statement, error)
            left = server.rows(root, "SELECT job_type, status FROM system.jobs WHERE job_type != 'stream_eviction'")
            assert left == [], left
            # Definitions alone are no Parquet.
            run_job(server, root, "EXPORT NAMESPACE app SCHEMA ONLY")


def test_a_certificate_is_refused_at_start():
    for program in (PROGRAM, "kalamdb-server-without-tls"):
        with ServerProcess("[server.tls]\ncert = \"c.pem\"\nkey = \"k.pem\"\n", program=program, wait=False) as server:
            code = server.process.wait(10)
            text = server.process.stderr.read()
            assert code == 2 and "built without TLS" in text, (code, text)


def memory_kilobytes(server):
    os.sync()  # pages of a program that was just linked count as changed until they are written
    with open(f"/proc/{server.process.pid}/smaps_rollup", encoding="ascii") as file:
        text = file.read()
    return [int(re.search(name + r":\s+(\d+)", text).group(1)) for name in ("Private_Dirty", "Rss")]


def test_how_small_it_is():
    with ServerProcess(UNLIMITED, program=PROGRAM) as server:
        deadline = time.monotonic() + 20
        while True:
            private, resident = memory_kilobytes(server)
            small = private <= 2560 and resident <= 12 << 10
            if time.monotonic() > deadline or (small and time.monotonic() > deadline - 14):
                break
            time.sleep(1)
        server.rows(server.login(), "SELECT 1")
        in_use = memory_kilobytes(server)
        print(f"        private {private} kB, resident {resident} kB; after the first sign-in {in_use[0]} and {in_use[1]} kB",
              flush=True)
        # Debug builds are larger.
        assert small or os.path.basename(BINARIES) != "release", (private, resident)


if __name__ == "__main__":
    run_tests(globals())

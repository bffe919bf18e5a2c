"""What happens to cold rows when files are damaged, lost or cannot be written: it is told, and the rest stays as it was."""
import json
import os
import re
import shutil
import time

from server_process import UNLIMITED, ServerProcess, SmallDisk, run_tests

CONFIG = UNLIMITED + "[flush]\ncheck_interval_seconds = 0\n"
ENGINE_QUERY = "SELECT body, COUNT(*) FROM app.t WHERE id >= {} AND id < {} GROUP BY body HAVING COUNT(*) > 0 ORDER BY body LIMIT 3"


def job_state(server, token, job_id):
    return server.rows(token, f"SELECT status, message, exception_trace FROM system.jobs WHERE job_id = '{job_id}'")[0]


def start_job(server, token, statement):
    return re.search(r"[A-Z]{2}-[0-9a-f]{12}", server.sql(token, statement)["results"][0]["message"]).group()


def wait_for(server, token, job_id, states, seconds=60):
    deadline = time.monotonic() + seconds
    while True:
        state = job_state(server, token, job_id)
        if state[0] in states:
            return state
        assert state[0] in ("new", "queued", "running", "retrying"), state
        assert time.monotonic() < deadline, state
        time.sleep(0.02)


def run_job(server, token, statement):
    return wait_for(server, token, start_job(server, token, statement), ("completed", "skipped"))


def insert(server, token, begin, end, table="app.t"):
    for first in range(begin, end, 500):
        server.sql(token, f"INSERT INTO {table} (id, body) VALUES " + ", ".join(
            f"({i}, 'body {i} {i * 7919 % 1000003}')" for i in range(first, first + 500)))


def files(server):
    folder = os.path.join(server.directory, "storage", "app", "t")
    return [os.path.join(folder, f"batch-{n}.parquet") for n in range(2)]


def refused(server, token, statement):
    status, _, answer = server.request("POST", "/v1/api/sql", {"sql": statement}, {
        "Authorization": f"Bearer {token}", "Content-Type": "application/json"}, raw=True)
    assert b"DATA_CORRUPTED" in answer, (statement, status, answer[-300:])
    return answer.decode()


def two_segments(server):
    token = server.login()
    server.sql(token, "CREATE NAMESPACE app")
    server.sql(token, "CREATE SHARED TABLE app.t (id BIGINT PRIMARY KEY, body TEXT)")
    for begin in (0, 3000):
        insert(server, token, begin, begin + 3000)
        run_job(server, token, "STORAGE FLUSH TABLE app.t")
    return token


def check_damage(server, first_statement):
    token = server.login()
    answer = refused(server, token, first_statement)
    assert "app/t/batch-0.parquet" in answer, answer
    # From then on nobody reads it, and everything else is there.
    refused(server, token, "SELECT body FROM app.t WHERE id = 5")
    assert server.rows(token, "SELECT COUNT(*) FROM app.t WHERE id >= 3000") == [["3000"]]
    assert len(server.rows(token, ENGINE_QUERY.format(3000, 6000))) == 3
    assert server.rows(token, "SELECT body FROM app.t WHERE id = 5000") == [[f"body 5000 {5000 * 7919 % 1000003}"]]
    server.sql(token, "INSERT INTO app.t (id, body) VALUES (9000, 'goes on')")


def test_damage_is_found_by_whoever_reads_first():
    with ServerProcess(CONFIG) as server:
        two_segments(server)
        victim = files(server)[0]
        with open(victim, "rb") as file:
            sound = file.read()
        engine = ENGINE_QUERY.format(0, 6000)
        natively = "SELECT id FROM app.t WHERE id = 5"
        damages = [(sound[:at] + bytes([sound[at] ^ 4]) + sound[at + 1:], statement)
                   for at in (300, len(sound) // 2, len(sound) - 40) for statement in (engine, natively)]
        damages += [(sound[:len(sound) // 2], engine), (sound[:len(sound) // 2], natively), (sound[:-1], engine)]
        for damaged, statement in damages:
            server.stop(20)
            with open(victim, "wb") as file:
                file.write(damaged)
            server.start()
            # A native read of one row looks at its own row group alone, which is all of this file.
            check_damage(server, statement)
            token = server.login()
            server.sql(token, "DELETE FROM app.t WHERE id = 9000")
        server.stop(20)
        with open(victim, "wb") as file:
            file.write(sound)
        server.start()
        token = server.login()
        assert server.rows(token, "SELECT COUNT(*) FROM app.t") == [["6000"]]


def test_damage_of_the_filters_in_a_file_is_found():
    with ServerProcess(CONFIG) as server:
        token = server.login()
        server.sql(token, "CREATE NAMESPACE app")
        server.sql(token, "CREATE SHARED TABLE app.t (id BIGINT PRIMARY KEY, room TEXT)")
        server.sql(token, "INSERT INTO app.t (id, room) VALUES " + ", ".join(f"({i}, 'room {i % 9}')" for i in range(5000)))
        run_job(server, token, "STORAGE FLUSH TABLE app.t")
        # The engine asks the filters for a value that the column could have.
        query = "SELECT room, COUNT(*) FROM app.t WHERE room = 'room 4' GROUP BY room"
        assert server.rows(token, query) == [["room 4", "556"]]
        victim = files(server)[0]
        with open(victim, "rb") as file:
            sound = file.read()
        footer = len(sound) - 8 - int.from_bytes(sound[-8:-4], "little")
        # They lie before the footer; without any bit set they would rule out every value.
        for damaged in (sound[:footer - 32] + bytes(32) + sound[footer:], sound[:footer - 3] + b"\xff" + sound[footer - 2:]):
            assert damaged != sound
            server.stop(20)
            with open(victim, "wb") as file:
                file.write(damaged)
            server.start()
            answer = refused(server, server.login(), query)
            assert "app/t/batch-0.parquet" in answer and "filters" in answer, answer
        server.stop(20)
        with open(victim, "wb") as file:
            file.write(sound)
        server.start()
        assert server.rows(server.login(), query) == [["room 4", "556"]]


def test_lost_manifests_and_records_are_made_again_from_the_files():
    with ServerProcess(CONFIG) as server:
        token = two_segments(server)
        server.sql(token, "CREATE USER TABLE app.u (id BIGINT PRIMARY KEY, body TEXT)")
        for user in ["dr.who@x.org", "_many"] + [f"user{n}" for n in range(20)]:
            server.sql(token, f"CREATE USER '{user}' WITH INTERNAL ROLE user")
            server.sql(token, f"EXECUTE AS USER '{user}' (INSERT INTO app.u (id, body) VALUES (1, 'of {user}'), (2, 'x'))")
        run_job(server, token, "STORAGE FLUSH TABLE app.u")
        server.sql(token, "EXECUTE AS USER 'dr.who@x.org' (INSERT INTO app.u (id, body) VALUES (3, 'later'))")
        run_job(server, token, "STORAGE FLUSH TABLE app.u")
        server.sql(token, "DELETE FROM app.t WHERE id = 17")
        run_job(server, token, "STORAGE FLUSH TABLE app.t")
        storage = os.path.join(server.directory, "storage")
        manifest = os.path.join(storage, "app", "t", "manifest.json")
        with open(manifest, encoding="utf-8") as file:
            before = json.load(file)
        os.unlink(manifest)
        run_job(server, token, "STORAGE REBUILD TABLE app.t")
        with open(manifest, encoding="utf-8") as file:
            after = json.load(file)
        assert after["segments"] == before["segments"] and len(after["segments"]) == 3, (before, after)
        assert server.rows(token, "SELECT COUNT(*) FROM app.t") == [["5999"]]
        count = server.rows(token, "SELECT COUNT(*), SUM(id), MIN(body) FROM app.t")
        server.stop(20)
        # Another server, which has the files and the definitions alone.
        with ServerProcess(CONFIG) as other:
            token = other.login()
            other.sql(token, "CREATE NAMESPACE app")
            other.sql(token, "CREATE SHARED TABLE app.t (id BIGINT PRIMARY KEY, body TEXT)")
            other.sql(token, "CREATE USER TABLE app.u (id BIGINT PRIMARY KEY, body TEXT)")
            shutil.copytree(storage, os.path.join(other.directory, "storage"), dirs_exist_ok=True)
            spoilt = os.path.join(other.directory, "storage", "app", "t", "batch-7.parquet")
            with open(spoilt, "wb") as file:
                file.write(b"PAR1 nothing PAR1")
            _, message, _ = run_job(other, token, "STORAGE REBUILD TABLE app.t")
            assert "3 segments" in message and "1 damaged" in message, message
            run_job(other, token, "STORAGE REBUILD TABLE app.u")
            assert other.rows(token, "SELECT COUNT(*), SUM(id), MIN(body) FROM app.t") == count
            assert other.rows(token, "SELECT body FROM app.t WHERE id = 17") == []
            assert other.rows(token, "SELECT body FROM app.t WHERE id = 18") == [[f"body 18 {18 * 7919}"]]
            for user, rows in (("dr.who@x.org", "3"), ("_many", "2"), ("user7", "2")):
                other.sql(token, f"CREATE USER '{user}' WITH INTERNAL ROLE user")
                assert other.rows(token, f"EXECUTE AS USER '{user}' (SELECT COUNT(*) FROM app.u)") == [[rows]], user
                assert other.rows(token, f"EXECUTE AS USER '{user}' (SELECT body FROM app.u WHERE id = 1)") == [[f"of {user}"]]
            # It is a table like any other: a second rebuild finds nothing, and rows change and move.
            _, message, _ = run_job(other, token, "STORAGE REBUILD TABLE app.t")
            assert "0 segments" in message, message
            other.sql(token, "UPDATE app.t SET body = 'new' WHERE id = 18")
            run_job(other, token, "STORAGE FLUSH TABLE app.t")
            run_job(other, token, "STORAGE COMPACT TABLE app.t")
            assert other.rows(token, "SELECT body FROM app.t WHERE id IN (17, 18, 19) ORDER BY id") == [
                ["new"], [f"body 19 {19 * 7919}"]]


def damages(sound):
    """A manifest with one bit flipped here and there, cut off, emptied, and lost."""
    flipped = [sound[:at] + bytes([sound[at] ^ 4]) + sound[at + 1:] for at in (3, len(sound) // 2, len(sound) - 10)]
    return flipped + [sound[:len(sound) // 2], sound[:-1], b"", None]


def test_a_damaged_manifest_is_named_and_written_again_and_rows_stay_readable():
    with ServerProcess(CONFIG) as server:
        token = two_segments(server)
        manifest = os.path.join(server.directory, "storage", "app", "t", "manifest.json")
        with open(manifest, "rb") as file:
            sound = file.read()
        checked = server.rows(token, "STORAGE CHECK local EXTENDED")[0]
        assert checked[1] == "healthy" and checked[9] is None, checked
        for damaged in damages(sound):
            if damaged is None:
                os.unlink(manifest)
            else:
                with open(manifest, "wb") as file:
                    file.write(damaged)
            checked = server.rows(token, "STORAGE CHECK local EXTENDED")[0]
            assert checked[1] == "degraded" and all(checked[2:6]), checked
            assert "app/t/manifest.json" in checked[9] and "STORAGE REBUILD TABLE app.t" in checked[9], checked
            assert server.rows(token, "STORAGE CHECK local")[0][1] == "healthy"
            assert server.rows(token, "SELECT COUNT(*) FROM app.t") == [["6000"]]
            assert server.rows(token, "SELECT body FROM app.t WHERE id = 5") == [[f"body 5 {5 * 7919}"]]
            _, message, _ = run_job(server, token, "STORAGE REBUILD TABLE app.t")
            assert "Found: app/t/manifest.json " in message, message
            with open(manifest, "rb") as file:
                assert file.read() == sound
            assert server.rows(token, "STORAGE CHECK local EXTENDED")[0][1] == "healthy"
        _, message, _ = run_job(server, token, "STORAGE REBUILD TABLE app.t")
        assert "Found" not in message, message
        # A flush writes over whatever lies there.
        with open(manifest, "wb") as file:
            file.write(sound[:40])
        insert(server, token, 6000, 6500)
        run_job(server, token, "STORAGE FLUSH TABLE app.t")
        assert server.rows(token, "STORAGE CHECK local EXTENDED")[0][1] == "healthy"


def copied_to_another_server(storage, spoil):
    """What STORAGE REBUILD of app.t says on a server that has the files alone, and the rows that it has then."""
    with ServerProcess(CONFIG) as other:
        token = other.login()
        other.sql(token, "CREATE NAMESPACE app")
        other.sql(token, "CREATE SHARED TABLE app.t (id BIGINT PRIMARY KEY, body TEXT)")
        shutil.copytree(storage, os.path.join(other.directory, "storage"), dirs_exist_ok=True)
        spoil(os.path.join(other.directory, "storage", "app", "t"))
        _, message, _ = run_job(other, token, "STORAGE REBUILD TABLE app.t")
        found = other.rows(token, "SELECT COUNT(*), SUM(id) FROM app.t")[0]
        checked = other.rows(token, "STORAGE CHECK local EXTENDED")[0]
        assert checked[1] == "healthy", checked
        return message, found


def test_a_folder_without_records_is_read_by_its_manifest_if_that_is_sound():
    with ServerProcess(CONFIG) as server:
        token = two_segments(server)
        storage = os.path.join(server.directory, "storage")
        whole = server.rows(token, "SELECT COUNT(*), SUM(id) FROM app.t")[0]
        message, found = copied_to_another_server(storage, lambda folder: None)
        assert found == whole and "2 segments" in message and "Found" not in message, message

        def change_manifest(change):
            def spoil(folder):
                path = os.path.join(folder, "manifest.json")
                with open(path, "rb") as file:
                    damaged = change(file.read())
                if damaged is None:
                    os.unlink(path)
                else:
                    with open(path, "wb") as file:
                        file.write(damaged)
            return spoil

        with open(os.path.join(storage, "app", "t", "manifest.json"), "rb") as file:
            sound = file.read()
        for damaged in damages(sound):
            message, found = copied_to_another_server(storage, change_manifest(lambda _, bytes_=damaged: bytes_))
            assert found == whole and "Found: app/t/manifest.json" in message, (message, found)
        # Lost, cut off and changed segments are told from each other; the other one is taken.
        one = [["3000", str(sum(range(3000, 6000)))], [3000, sum(range(3000, 6000))]]
        message, found = copied_to_another_server(storage, lambda folder: os.unlink(os.path.join(folder, "batch-0.parquet")))
        assert found in one and "app/t/batch-0.parquet is missing" in message and "1 damaged" in message, (message, found)
        # A sound file of the table, but not the one that was written there.
        message, found = copied_to_another_server(storage, lambda folder: shutil.copy(
            os.path.join(folder, "batch-1.parquet"), os.path.join(folder, "batch-0.parquet")))
        assert found in one and "batch-0.parquet" in message and "does not match its checksum" in message, (message, found)
        # A file that a compaction has replaced and that nobody has deleted yet holds rows that are deleted.
        server.sql(token, "DELETE FROM app.t WHERE id < 1000")
        run_job(server, token, "STORAGE FLUSH TABLE app.t")
        run_job(server, token, "STORAGE COMPACT TABLE app.t")
        assert len(os.listdir(os.path.join(storage, "app", "t"))) > 3
        message, found = copied_to_another_server(storage, lambda folder: None)
        assert found[0] in ("5000", 5000) and "1 segments" in message, (message, found)


def test_a_full_disk_leaves_everything_as_it_was():
    with SmallDisk(8) as disk, ServerProcess(CONFIG) as server:
        if not disk.mounted:
            return
        token = server.login()
        server.sql(token, "CREATE NAMESPACE app")
        server.sql(token, f"CREATE STORAGE small TYPE filesystem PATH '{disk.folder}/cold'")
        server.sql(token, "CREATE SHARED TABLE app.t (id BIGINT PRIMARY KEY, body TEXT) WITH (STORAGE_ID = 'small')")
        for begin in (0, 10000):
            insert(server, token, begin, begin + 10000)
            run_job(server, token, "STORAGE FLUSH TABLE app.t")
        insert(server, token, 20000, 30000)
        expected = server.rows(token, "SELECT COUNT(*), SUM(id), MIN(body), MAX(body) FROM app.t")
        ballast = os.path.join(disk.folder, "ballast")

        def fill():
            room = os.statvfs(disk.folder)
            with open(ballast, "wb") as file:
                file.write(b"x" * max(0, room.f_bavail * room.f_frsize - 20000))

        for statement in ("STORAGE FLUSH TABLE app.t", "STORAGE COMPACT TABLE app.t"):
            fill()
            before = sorted(os.listdir(os.path.join(disk.folder, "cold", "app", "t")))
            job = start_job(server, token, statement)
            wait_for(server, token, job, ("failed", "retrying"))
            assert sorted(os.listdir(os.path.join(disk.folder, "cold", "app", "t"))) == before
            assert os.listdir(os.path.join(server.directory, "tmp", "segments")) == []
            assert server.rows(token, "SELECT COUNT(*), SUM(id), MIN(body), MAX(body) FROM app.t") == expected
            assert server.rows(token, "SELECT COUNT(*) FROM app.t WHERE id IN (5, 10005, 20005)") == [["3"]]
            os.unlink(ballast)
            # The job that failed is tried again by itself, or somebody asks again.
            wait_for(server, token, job, ("completed", "failed"))
            if job_state(server, token, job)[0] == "failed":
                run_job(server, token, statement)
            assert server.rows(token, "SELECT COUNT(*), SUM(id), MIN(body), MAX(body) FROM app.t") == expected


if __name__ == "__main__":
    run_tests(globals())

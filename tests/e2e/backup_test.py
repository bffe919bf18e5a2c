"""Backups of the running server and their way back: consistent while writes go on, checked, all or nothing."""
import json
import os
import time

from backup_world import (EXIT_AT_STEP, Elsewhere, Writer, answers, files_below, fill, newest_job, refused_job, run_job, start_job,
                          start_job_that_ends_the_server, wait_for_job)
from flush_test import run_job as run_job_of_tables
from server_process import UNLIMITED, LiveClient, ServerProcess, SmallDisk, run_tests


def test_a_backup_while_writes_go_on_is_one_moment():
    with ServerProcess(UNLIMITED) as server, Elsewhere() as place:
        token = server.login()
        server.sql(token, "CREATE NAMESPACE app")
        server.sql(token, "CREATE SHARED TABLE app.left_rows (id BIGINT PRIMARY KEY)")
        server.sql(token, "CREATE SHARED TABLE app.right_rows (id BIGINT PRIMARY KEY)")
        writer = Writer(server, token)
        writer.start()
        while writer.count < 20:
            assert writer.failure is None, writer.failure
            time.sleep(0.01)
        run_job_of_tables(server, token, "STORAGE FLUSH TABLE app.left_rows")
        before = writer.count
        message = run_job(server, token, f"BACKUP DATABASE TO '{place}'")
        after = writer.count
        assert message.startswith(f"Backup completed: '{place}' ("), message
        run_job(server, token, f"RESTORE DATABASE FROM '{place}'")
        writer.stopping = True
        writer.join(30)
        assert writer.failure is None, writer.failure
        server.stop()
        server.start()
        token = server.login()
        left = [int(row[0]) for row in server.rows(token, "SELECT id FROM app.left_rows ORDER BY id")]
        right = [int(row[0]) for row in server.rows(token, "SELECT id FROM app.right_rows ORDER BY id")]
        assert left == right == list(range(1, len(left) + 1)), (len(left), len(right))
        assert before <= len(left) <= after + 1, (before, len(left), after)
        # The backup job of the copy does not run again, and rows are written as before.
        rows = server.rows(token, "SELECT status FROM system.jobs WHERE job_type = 'backup'")
        assert rows == [["cancelled"]], rows
        server.sql(token, "INSERT INTO app.left_rows (id) VALUES (1000000)")


def test_an_empty_server_becomes_the_one_that_was_backed_up():
    with ServerProcess(UNLIMITED) as server, Elsewhere() as place:
        fill(server, server.login())
        expected = answers(server)
        run_job(server, server.login(), f"BACKUP DATABASE TO '{place}'")
        assert {"backup.json", "rocksdb", "storage"} <= set(os.listdir(place)), os.listdir(place)
        with ServerProcess(UNLIMITED) as other:
            token = other.login()
            message = run_job(other, token, f"RESTORE DATABASE FROM '{place}'")
            assert message.startswith(f"Restore staged from '{place}'") and "Restart server" in message, message
            assert other.rows(token, "SELECT COUNT(*) FROM system.namespaces WHERE namespace_id = 'app'") == [["0"]]
            other.stop()
            other.start()
            assert answers(other) == expected
            # It goes on from there: writes, flushes, another start.
            token = other.login()
            other.sql(token, "UPDATE app.rooms SET size = 0 WHERE id = 20")
            run_job_of_tables(other, token, "STORAGE FLUSH TABLE app.rooms")
            other.stop()
            other.start()
            token = other.login()
            assert other.rows(token, "SELECT size FROM app.rooms WHERE id = 20") == [[0]]
            assert other.rows(token, "SELECT COUNT(*) FROM app.rooms") == [["391"]]


def test_what_came_after_the_backup_is_gone_after_the_restore():
    with ServerProcess(UNLIMITED) as server, Elsewhere() as place:
        token = server.login()
        fill(server, token)
        expected = answers(server)
        run_job(server, token, f"BACKUP DATABASE TO '{place}'")
        server.sql(token, "DELETE FROM app.rooms WHERE id < 300")
        server.sql(token, "DROP TABLE app.notes")
        run_job_of_tables(server, token, "STORAGE FLUSH TABLE app.rooms")
        run_job(server, token, f"RESTORE DATABASE FROM '{place}'")
        server.stop()
        server.start()
        assert answers(server) == expected


async def resumed(server, token, cursor, told):
    """What a client is sent that comes back with a cursor: types, kinds, codes and ids, until it has row 4 or is refused."""
    client = await LiveClient.connect(server, token)
    seen = [await client.subscribe("s", "SELECT * FROM app.items", {"from": cursor, **({"reports_cursor_too_old": True} if told else {})})]
    while seen[-1]["type"] != "error" and "4" not in [row["id"] for row in seen[-1].get("rows") or []]:
        seen.append(await client.receive())
    await client.close()
    return [(message.get("code") or message.get("change_type") or message["type"], [row["id"] for row in message.get("rows") or []])
            for message in seen]


async def test_who_saw_more_than_was_restored_begins_anew():
    for scope in ("", " IN app"):
        with ServerProcess(UNLIMITED) as server, Elsewhere() as place:
            token = server.login()
            server.sql(token, "CREATE NAMESPACE app; CREATE SHARED TABLE app.items (id BIGINT PRIMARY KEY, body TEXT)")
            server.sql(token, "INSERT INTO app.items VALUES (1, 'kept')")
            run_job(server, token, f"BACKUP DATABASE TO '{place}'")
            cursors = [server.rows(token, "SELECT MAX(_seq) FROM app.items")[0][0]]
            for lost in (2, 3):
                server.sql(token, f"INSERT INTO app.items VALUES ({lost}, 'lost')")
                cursors.append(server.rows(token, "SELECT MAX(_seq) FROM app.items")[0][0])
            run_job(server, token, f"RESTORE DATABASE{scope} FROM '{place}'")
            for _ in range(2):
                server.stop()
                server.start()
                token = server.login()
            server.sql(token, "INSERT INTO app.items VALUES (4, 'new')")
            resumes = [("subscription_ack", []), ("initial_data_batch", []), ("insert", ["4"])]
            found = await resumed(server, token, cursors[0], True)
            assert found == resumes, (scope, found)
            for cursor in cursors[1:]:
                assert await resumed(server, token, cursor, True) == [("CURSOR_TOO_OLD", [])], scope
                assert await resumed(server, token, cursor, False) == [("subscription_ack", []), ("initial_data_batch", ["1", "4"])], scope
            # Who has been told of the new row goes on from there.
            newest = server.rows(token, "SELECT MAX(_seq) FROM app.items")[0][0]
            server.sql(token, "DELETE FROM app.items WHERE id = 4; INSERT INTO app.items VALUES (4, 'again')")
            assert await resumed(server, token, newest, True) == [("subscription_ack", []), ("initial_data_batch", []), ("delete", []),
                                                                  ("insert", ["4"])], scope


def test_objects_of_other_storages_come_along_and_a_storage_can_hold_the_backup():
    with ServerProcess(UNLIMITED) as server, Elsewhere() as place:
        token = server.login()
        far, vault = place + "-far", place + "-vault"
        server.sql(token, f"CREATE STORAGE far TYPE filesystem PATH '{far}'")
        server.sql(token, f"CREATE STORAGE vault TYPE filesystem PATH '{vault}'")
        fill(server, token)
        server.sql(token, "CREATE SHARED TABLE app.cold (id BIGINT PRIMARY KEY, body TEXT) WITH (STORAGE_ID = 'far')")
        server.sql(token, "INSERT INTO app.cold (id, body) VALUES (1, 'one'), (2, 'two')")
        run_job_of_tables(server, token, "STORAGE FLUSH TABLE app.cold")
        query = "SELECT id, body, _seq FROM app.cold ORDER BY id"
        expected, cold = answers(server), server.rows(token, query)
        run_job(server, token, "BACKUP DATABASE TO STORAGE vault 'daily/main'")
        again = run_job(server, token, "BACKUP DATABASE TO STORAGE vault 'daily/main'")
        assert any(name.startswith("daily/main/objects/far/app/cold/") for name in files_below(vault)), files_below(vault).keys()
        assert int(again.split(" files, ")[1].split()[0]) > 4, again
        # The namespace alone, while the server runs; its rows go back to the same storage under other names.
        server.sql(token, "DELETE FROM app.cold WHERE id = 1")
        run_job(server, token, "RESTORE DATABASE IN app FROM STORAGE vault 'daily/main'")
        assert answers(server) == expected and server.rows(token, query) == cold
        # Everything, on a machine where the objects are gone.
        for name in files_below(far):
            os.unlink(os.path.join(far, name))
        run_job(server, token, "RESTORE DATABASE FROM STORAGE vault 'daily/main'")
        server.stop()
        server.start()
        assert answers(server) == expected and server.rows(server.login(), query) == cold
        # An object with other bytes in its place refuses the restore and is named.
        path = os.path.join(far, next(name for name in files_below(far) if name.endswith("batch-0.parquet")))
        with open(path, "r+b") as file:
            file.write(b"XXXX")
        token = server.login()
        status, message, _ = wait_for_job(server, token, start_job(server, token, "RESTORE DATABASE FROM STORAGE vault 'daily/main'"))
        assert status == "failed" and "app/cold/batch-0.parquet" in message, (status, message)


def test_the_second_backup_copies_only_what_is_new():
    with ServerProcess(UNLIMITED) as server, Elsewhere() as place:
        token = server.login()
        fill(server, token)
        run_job(server, token, f"BACKUP DATABASE TO '{place}'")
        times = {name: os.stat(os.path.join(place, name)).st_mtime_ns for name in files_below(place)}
        server.sql(token, "INSERT INTO app.rooms (id, title, size) VALUES (2000, 'new', 1)")
        message = run_job(server, token, f"BACKUP DATABASE TO '{place}'")
        assert int(message.split(" files, ")[1].split()[0]) > 3, message
        kept = [name for name in times if name.endswith((".parquet", ".sst"))]
        assert len(kept) > 3, kept
        for name in kept:
            path = os.path.join(place, name)
            # Files of the store may be merged away meanwhile; what is there was not written again.
            if name.endswith(".parquet") or os.path.exists(path):
                assert os.stat(path).st_mtime_ns == times[name], name
        expected = answers(server)
        server.sql(token, "DELETE FROM app.rooms WHERE id = 2000")
        run_job(server, token, f"RESTORE DATABASE FROM '{place}'")
        server.stop()
        server.start()
        assert answers(server) == expected


def test_a_flipped_bit_is_named_and_nothing_changes():
    with ServerProcess(UNLIMITED) as server, Elsewhere() as place:
        token = server.login()
        fill(server, token)
        run_job(server, token, f"BACKUP DATABASE TO '{place}'")
        with open(os.path.join(place, "backup.json"), encoding="utf-8") as file:
            listed = json.load(file)["files"]
        for wanted in (".sst", ".parquet"):
            victim = next(entry["stored"] for entry in listed if entry["path"].endswith(wanted))
            path = os.path.join(place, victim)
            with open(path, "r+b") as file:
                file.seek(os.path.getsize(path) // 2)
                byte = file.read(1)[0]
                file.seek(-1, os.SEEK_CUR)
                file.write(bytes([byte ^ 0x10]))
            before = answers(server)
            status, message, trace = wait_for_job(server, token, start_job(
                server, token, f"RESTORE DATABASE FROM '{place}'"))
            assert status == "failed" and victim in trace, (status, message, trace)
            assert not os.path.exists(os.path.join(server.directory, "restore", "ready.json"))
            server.stop()
            server.start()
            token = server.login()
            assert answers(server) == before
            with open(path, "r+b") as file:
                file.seek(os.path.getsize(path) // 2)
                file.write(bytes([byte]))
        run_job(server, token, f"RESTORE DATABASE FROM '{place}'")


def test_a_damaged_segment_does_not_take_the_place_of_a_good_copy():
    with ServerProcess(UNLIMITED) as server, Elsewhere() as place:
        token = server.login()
        fill(server, token)
        expected = answers(server)
        run_job(server, token, f"BACKUP DATABASE TO '{place}'")
        before = files_below(place)
        segment = os.path.join(server.directory, "storage", "app", "rooms", "batch-0.parquet")
        with open(segment, "rb") as file:
            whole = file.read()
        middle = len(whole) // 2
        flipped = whole[:middle] + bytes([whole[middle] ^ 0x10]) + whole[middle + 1:]
        for content in (flipped, whole[:middle], None):
            if content is None:
                os.unlink(segment)
            else:
                with open(segment, "wb") as file:
                    file.write(content)
            error = refused_job(server, token, f"BACKUP DATABASE TO '{place}'")
            assert "segment app/rooms/batch-0.parquet of table app.rooms in storage local" in error, error
            assert files_below(place) == before
            refused_job(server, token, f"BACKUP DATABASE IN app TO '{place}-app'")
            assert not os.path.exists(f"{place}-app/backup.json")
        # The copy brings it back.
        with open(segment, "wb") as file:
            file.write(before["storage/app/rooms/batch-0.parquet"])
        server.stop()
        server.start()
        assert answers(server) == expected
        assert "unchanged since the last backup" in run_job(server, server.login(), f"BACKUP DATABASE TO '{place}'")


def test_bad_places_are_refused():
    with ServerProcess(UNLIMITED) as server, Elsewhere() as place:
        token = server.login()
        for path in ("", "/etc/backup", "/root/x", "/var/log/x", "../x", "/tmp/../etc/x", server.directory + "/storage"):
            answer = server.sql(token, f"BACKUP DATABASE TO '{path}'", expect=400)
            assert "Path '" in answer["error"]["message"], answer
        server.sql(token, "BACKUP DATABASE TO /tmp/unquoted", expect=400)
        answer = server.sql(token, f"RESTORE DATABASE FROM '{place}'", expect=400)
        assert answer["error"]["message"] == f"Not found: Backup directory '{place}' not found", answer
        with open(place, "w", encoding="utf-8") as file:
            file.write("no folder")
        answer = server.sql(token, f"RESTORE DATABASE FROM '{place}'", expect=400)
        assert f"'{place}' is not a directory" in answer["error"]["message"], answer
        answer = server.sql(token, "BACKUP DATABASE TO STORAGE nothing 'x'", expect=400)
        assert "Storage 'nothing' not found" in answer["error"]["message"], answer
        server.sql(token, "BACKUP DATABASE TO STORAGE local 'x'", expect=400)
        server.sql(token, "CREATE USER ann WITH PASSWORD 'ann-password-1' ROLE user")
        own = server.login("ann", "ann-password-1")
        for statement in (f"BACKUP DATABASE TO '{place}'", f"RESTORE DATABASE FROM '{place}'"):
            answer = server.sql(own, statement, expect=403)
            assert answer["error"]["code"] == "PERMISSION_DENIED", answer


def test_a_full_disk_leaves_the_earlier_backup_and_the_database():
    with SmallDisk(6) as small:
        if not small.mounted:
            return
        place = os.path.join(small.folder, "backup")
        with ServerProcess(UNLIMITED) as server:
            token = server.login()
            fill(server, token)
            run_job(server, token, f"BACKUP DATABASE TO '{place}'")
            before = files_below(small.folder)
            server.sql(token, "CREATE SHARED TABLE app.bulk (id BIGINT PRIMARY KEY, body TEXT)")
            for i in range(10):
                body = os.urandom(450000).hex()
                server.sql(token, f"INSERT INTO app.bulk (id, body) VALUES ({i}, '{body}')")
            expected = answers(server)
            job = start_job(server, token, f"BACKUP DATABASE TO '{place}'")
            status, message, trace = wait_for_job(server, token, job)
            assert status == "failed" and "annot write" in trace, (status, message, trace)
            assert files_below(small.folder) == before
            assert answers(server) == expected
            run_job(server, token, f"RESTORE DATABASE FROM '{place}'")


def test_no_step_of_a_backup_or_a_restore_can_be_cut_off_with_harm():
    with ServerProcess(UNLIMITED) as server, Elsewhere() as place:
        fill(server, server.login())
        expected = answers(server)
        run_job(server, server.login(), f"BACKUP DATABASE TO '{place}'")
        for step in ("backup.gathered", "backup.copied:3", "backup.synced", "backup.listed", "restore.fetched:2",
                     "restore.verified", "restore.staged", "restore.swapping", "restore.moved_aside",
                     "restore.moved_in", "restore.moved_aside:1", "restore.moved_in:1", "restore.activated"):
            server.stop()
            server.environment["KALAMDB_END_AT"] = step
            server.start()
            token = server.login()
            restores = step.startswith("restore")
            server.sql(token, "INSERT INTO app.rooms (id, title, size) VALUES (5000, 'after the backup', 0)")
            with_more = answers(server)
            activates = restores and step.split(":")[0] not in ("restore.fetched", "restore.verified", "restore.staged")
            if not activates:
                start_job_that_ends_the_server(server, token, f"RESTORE DATABASE FROM '{place}'" if restores
                                               else f"BACKUP DATABASE TO '{place}'")
            else:
                run_job(server, token, f"RESTORE DATABASE FROM '{place}'")
                server.stop()
                server.wait = False
                server.start()
                server.wait = True
            code = server.process.wait(60)
            assert code == EXIT_AT_STEP, (step, code)
            server.process.stderr.close()
            server.environment.pop("KALAMDB_END_AT")
            server.start()
            restored = activates or step == "restore.staged"
            assert answers(server) == (expected if restored else with_more), step
            token = server.login()
            if not restored:
                # The job that the end interrupted runs again by itself.
                job = newest_job(server, token, "restore" if restores else "backup")
                assert wait_for_job(server, token, job)[0] == "completed", step
                server.sql(token, "DELETE FROM app.rooms WHERE id = 5000")
            if restores and not restored:
                server.stop()
                server.start()
                assert answers(server) == expected, step
            if not restores:
                # Whichever backup is there now, it is whole, and it is brought back to go on from the same rows.
                server.sql(token, "DELETE FROM app.rooms WHERE id = 5000")
                run_job(server, token, f"BACKUP DATABASE TO '{place}'")
                expected = answers(server)
            leftovers = [name for name in os.listdir(os.path.join(server.directory, "tmp")) if name.startswith("backup-")]
            assert not leftovers, leftovers


if __name__ == "__main__":
    run_tests(globals())

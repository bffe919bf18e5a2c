"""Backups in object stores, of rows in object stores: taken, checked, brought back, and what happens when the store goes away meanwhile."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "object_stores"))
from backup_world import answers, fill, refused_job, run_job, start_job, wait_for_job  # noqa: E402
from flush_test import run_job as run_job_of_tables  # noqa: E402
from server_process import ServerProcess, run_tests  # noqa: E402
from storages_test import CONFIG, NO_PROXY, create  # noqa: E402
from stores import AzureServer, S3Server  # noqa: E402

COLD = "SELECT id, body, _seq FROM app.cold ORDER BY id"
PLACE = "STORAGE vault 'nightly/main'"


def vault(candidate):
    return {**candidate, "name": "vault"}


def with_cold_rows(server, s3):
    """Rows in an object store beside those on the disk; returns all answers."""
    token = server.login()
    create(server, token, {**s3.candidates()[0], "name": "far", "base_directory": "s3://second/far"})
    fill(server, token)
    server.sql(token, "CREATE SHARED TABLE app.cold (id BIGINT PRIMARY KEY, body TEXT) WITH (STORAGE_ID = 'far')")
    server.sql(token, "INSERT INTO app.cold (id, body) VALUES " + ", ".join(f"({i}, 'far away {i}')" for i in range(1, 301)))
    run_job_of_tables(server, token, "STORAGE FLUSH TABLE app.cold")
    return token, all_answers(server)


def all_answers(server):
    return {**answers(server), COLD: server.rows(server.login(), COLD)}


def reused(message):
    return int(message.split(" files, ")[1].split()[0])


def files(message):
    return int(message.split(" MB in ")[1].split()[0])


def test_a_backup_in_every_kind_of_store_comes_back():
    with S3Server() as s3, AzureServer() as azure:
        for candidate in (s3.candidates()[0], s3.candidates()[2], s3.candidates()[3], azure.candidates()[0]):
            with ServerProcess(CONFIG, NO_PROXY) as server:
                token, _ = with_cold_rows(server, s3)
                create(server, token, vault(candidate))
                run_job(server, token, f"BACKUP DATABASE TO {PLACE}")
                # The second one copies what is new.
                server.sql(token, "INSERT INTO app.rooms (id, title, size) VALUES (2000, 'new', 1)")
                expected = all_answers(server)
                message = run_job(server, token, f"BACKUP DATABASE TO {PLACE}")
                # The segments of three tables at least; files of the store itself come and go.
                assert 3 <= reused(message) < files(message), message
                # One namespace, while the server works.
                server.sql(token, "DELETE FROM app.rooms WHERE id > 100")
                server.sql(token, "DROP TABLE app.cold")
                run_job(server, token, f"RESTORE DATABASE IN app FROM {PLACE}")
                assert all_answers(server) == expected, candidate["name"]
                # Everything, into this server and into an empty one.
                server.sql(token, "DELETE FROM app.rooms WHERE id > 100")
                run_job(server, token, f"RESTORE DATABASE FROM {PLACE}")
                server.stop()
                server.start()
                assert all_answers(server) == expected, candidate["name"]
                server.stop()
                with ServerProcess(CONFIG, NO_PROXY) as other:
                    # On a machine of its own, also without the objects that the tables had.
                    s3.lose("second/far/")
                    token = other.login()
                    create(other, token, vault(candidate))
                    run_job(other, token, f"RESTORE DATABASE FROM {PLACE}")
                    other.stop()
                    other.start()
                    assert all_answers(other) == expected, candidate["name"]
                    s3.lose("second/far/")


def test_a_backup_of_another_server_under_the_same_names_is_not_read_from_the_cache():
    """Stores of two servers look alike: files of the second backup have the names of the first one's."""
    with S3Server() as s3, ServerProcess(CONFIG, NO_PROXY) as reader:
        token = reader.login()
        create(reader, token, vault(s3.candidates()[0]))
        for body in ("first", "second"):
            with ServerProcess(CONFIG, NO_PROXY) as server:
                owner = server.login()
                create(server, owner, vault(s3.candidates()[0]))
                server.sql(owner, "CREATE NAMESPACE app")
                server.sql(owner, "CREATE SHARED TABLE app.t (id BIGINT PRIMARY KEY, body TEXT)")
                server.sql(owner, f"INSERT INTO app.t (id, body) VALUES (1, '{body}')")
                run_job_of_tables(server, owner, "STORAGE FLUSH TABLE app.t")
                run_job(server, owner, f"BACKUP DATABASE IN app TO {PLACE}")
            run_job(reader, token, f"RESTORE DATABASE IN app FROM {PLACE}")
            assert reader.rows(token, "SELECT body FROM app.t") == [[body]]
            s3.lose("kalam/")


def test_changed_and_lost_objects_of_a_backup_are_named():
    with S3Server() as s3, ServerProcess(CONFIG, NO_PROXY) as server:
        token, expected = with_cold_rows(server, s3)
        create(server, token, vault(s3.candidates()[0]))
        run_job(server, token, f"BACKUP DATABASE TO {PLACE}")
        names = s3.names("kalam/some/prefix/nightly/main/")
        assert "kalam/some/prefix/nightly/main/backup.json" in names, names
        for ending in (".sst", "app/rooms/batch-0.parquet", "far/app/cold/batch-0.parquet"):
            victim = next(name for name in names if name.endswith(ending))
            for statement in ("RESTORE DATABASE", "RESTORE DATABASE IN app"):
                s3.flip(victim)
                told = refused_job(server, token, f"{statement} FROM {PLACE}")
                s3.flip(victim)
                assert victim.split("nightly/main/")[1] in told and "checksum" in told, told
                assert all_answers(server) == expected
        assert not os.path.exists(os.path.join(server.directory, "restore", "ready.json"))
        # A backup that is taken over a damaged one does not use the damaged file again, once its size tells.
        victim = next(name for name in names if name.endswith("app/rooms/batch-0.parquet"))
        s3.lose(victim)
        told = refused_job(server, token, f"RESTORE DATABASE IN app FROM {PLACE}")
        assert victim.split("nightly/main/")[1] in told and "lacks" in told, told
        run_job(server, token, f"BACKUP DATABASE TO {PLACE}")
        run_job(server, token, f"RESTORE DATABASE IN app FROM {PLACE}")
        assert all_answers(server) == expected


def test_a_store_that_goes_away_in_the_middle_leaves_nothing_half_done():
    with S3Server() as s3, ServerProcess(CONFIG, NO_PROXY) as server:
        token, _ = with_cold_rows(server, s3)
        create(server, token, vault(s3.candidates()[0]))
        # Before there is any backup: none appears.
        s3.fail_next([0] * 12 + [503] * 10000)
        told = refused_job(server, token, f"BACKUP DATABASE TO {PLACE}")
        assert "Storage 'vault'" in told or "Storage 'far'" in told, told
        s3.fail_next([])
        told = refused_job(server, token, f"RESTORE DATABASE FROM {PLACE}")
        assert "there is no backup" in told, told
        run_job(server, token, f"BACKUP DATABASE TO {PLACE}")
        expected = all_answers(server)
        server.sql(token, "INSERT INTO app.rooms (id, title, size) VALUES (3000, 'after the backup', 1)")
        now = all_answers(server)
        after = 14
        s3.fail_next([0] * after + ["reset"] * 10000)
        refused_job(server, token, f"BACKUP DATABASE TO {PLACE}")
        # The one before is there, whole; a store that fails now changes nothing here.
        for statement in ("RESTORE DATABASE", "RESTORE DATABASE IN app"):
            s3.fail_next([0] * after + [503] * 10000)
            told = refused_job(server, token, f"{statement} FROM {PLACE}")
            assert "Storage 'vault'" in told or "Storage 'far'" in told, told
        s3.fail_next([])
        assert all_answers(server) == now
        assert not os.path.exists(os.path.join(server.directory, "restore", "ready.json"))
        leftovers = [name for name in os.listdir(os.path.join(server.directory, "tmp")) if name.startswith(("backup-", "restore-"))]
        assert not leftovers, leftovers
        assert server.rows(token, "SELECT COUNT(*) FROM system.tables WHERE namespace_id = 'app'") == [["4"]]
        run_job(server, token, f"RESTORE DATABASE IN app FROM {PLACE}")
        assert all_answers(server) == expected
        # What the failed ones have left in the store goes with the next backup.
        run_job(server, token, f"BACKUP DATABASE TO {PLACE}")
        run_job(server, token, f"BACKUP DATABASE TO {PLACE}")
        listed = run_job(server, token, f"BACKUP DATABASE TO {PLACE}")
        assert len(s3.names("kalam/some/prefix/nightly/main/")) == files(listed) + 1, (listed, s3.names("kalam/"))


def test_a_server_that_stops_does_not_wait_for_a_backup_to_a_store_that_hangs():
    with S3Server() as s3, ServerProcess(CONFIG, NO_PROXY) as server:
        token, expected = with_cold_rows(server, s3)
        create(server, token, vault(s3.candidates()[0]))
        s3.fail_next([0] * 3 + ["hang"] * 1000)
        job = start_job(server, token, f"BACKUP DATABASE TO {PLACE}")
        code, seconds = server.stop(60)
        assert code == 0 and seconds < 30, (code, seconds)
        s3.fail_next([])
        server.start()
        token = server.login()
        status, message, trace = wait_for_job(server, token, job)
        assert status in ("completed", "failed"), (status, message, trace)
        assert all_answers(server) == expected


if __name__ == "__main__":
    run_tests(globals())

"""Backups, restores and exports: the words, the jobs, who may, and what comes of them."""
import os
import tempfile
import time


def job_of(world, job_id, seconds=60):
    """The record of a job that has ended."""
    deadline = time.monotonic() + seconds
    while True:
        rows = world.root.objects(f"SELECT * FROM system.jobs WHERE job_id = '{job_id}'")
        assert len(rows) == 1, rows
        if rows[0]["status"] in ("completed", "failed", "cancelled", "skipped"):
            return rows[0]
        assert time.monotonic() < deadline, rows
        time.sleep(0.02)


def test_a_backup_is_a_job_that_leaves_a_copy_of_the_store(world):
    with tempfile.TemporaryDirectory(prefix="kalam-conformance-") as folder:
        place = os.path.join(folder, "backup")
        message = world.root.message(f"BACKUP DATABASE TO '{place}'")
        assert message.startswith(f"Database backup started to '{place}'. Job ID: BK-"), message
        job = job_of(world, message.split("Job ID: ")[1])
        assert (job["status"], job["job_type"]) == ("completed", "backup"), job
        assert job["message"].startswith(f"Backup completed: '{place}' (") and " MB" in job["message"], job
        assert place in str(job["parameters"]) and job["idempotency_key"].startswith(f"backup:{place}:"), job
        assert job["finished_at"] >= job["started_at"] >= job["created_at"], job
        assert os.path.isdir(os.path.join(place, "rocksdb"))
        assert world.root.rows(f"SELECT status FROM system.job_nodes WHERE job_id = '{job['job_id']}'") == [["completed"]]
        audit = world.root.rows(f"SELECT action, target FROM system.audit_log WHERE target = '{place}'")
        assert audit == [["BACKUP_DATABASE", place]], audit


def test_a_restore_is_a_job_that_ends_and_says_what_is_next(world):
    with tempfile.TemporaryDirectory(prefix="kalam-conformance-") as folder:
        space = world.namespace()
        world.root.message(f"CREATE TABLE {space}.t (id BIGINT PRIMARY KEY) WITH (TYPE = 'SHARED')")
        world.root.message(f"INSERT INTO {space}.t (id) VALUES (1)")
        job_of(world, world.root.message(f"BACKUP DATABASE IN {space} TO '{folder}/backup'").split("Job ID: ")[1])
        world.root.message(f"INSERT INTO {space}.t (id) VALUES (2)")
        message = world.root.message(f"RESTORE DATABASE IN {space} FROM '{folder}/backup'")
        job = job_of(world, message.split("Job ID: ")[1])
        assert (job["status"], job["job_type"]) == ("completed", "restore"), job
        assert world.root.rows(f"SELECT id FROM {space}.t") == [["1"]]


def test_a_backup_that_is_missing_is_an_error(world):
    message = world.root.error("RESTORE DATABASE FROM '/tmp/kalam-there-is-no-such-backup'")
    assert message == "Not found: Backup directory '/tmp/kalam-there-is-no-such-backup' not found", message
    with tempfile.TemporaryDirectory(prefix="kalam-conformance-") as folder:
        job = job_of(world, world.root.message(f"RESTORE DATABASE FROM '{folder}'").split("Job ID: ")[1].split(".")[0])
        assert job["status"] == "failed" and "no backup" in job["message"], job


def test_backups_are_for_administrators(world):
    for role in ("user", "service"):
        session = world.user(role)
        session.denied("BACKUP DATABASE TO '/tmp/x'")
        session.denied("RESTORE DATABASE FROM '/tmp/x'")
    with tempfile.TemporaryDirectory(prefix="kalam-conformance-") as folder:
        dba = world.user("dba")
        assert job_of(world, dba.message(f"BACKUP DATABASE TO '{folder}/b'").split("Job ID: ")[1])["status"] == "completed"


def test_folders_of_the_system_are_refused(world):
    for path in ("", "/etc/x", "/root/x", "/var/log/x", "/tmp/../etc", "../x"):
        world.root.error(f"BACKUP DATABASE TO '{path}'")
    world.root.error("BACKUP DATABASE TO /tmp/unquoted", code="INVALID_SQL")
    world.root.error("BACKUP DATABASE", code="INVALID_SQL")


def test_a_finished_job_cannot_be_killed(world):
    with tempfile.TemporaryDirectory(prefix="kalam-conformance-") as folder:
        job_id = world.root.message(f"BACKUP DATABASE TO '{folder}/b'").split("Job ID: ")[1]
        job_of(world, job_id)
        assert "is already completed" in world.root.error(f"KILL JOB '{job_id}'")


def test_an_export_is_for_its_user(world):
    table = world.table("USER")
    ann, bob = world.user(), world.user()
    assert ann.rows("SHOW EXPORT") == []
    assert [c["name"] for c in ann.result("SHOW EXPORT")["schema"]] == ["job_id", "status", "created_at", "message", "download_url"]
    ann.message(f"INSERT INTO {table} (id, body) VALUES (1, 'mine')")
    message = ann.message("EXPORT USER DATA")
    assert message.startswith("User data export started. Job ID: UE-") and "SHOW EXPORT" in message, message
    job = job_of(world, message.split("Job ID: ")[1].split(".")[0])
    assert (job["status"], job["job_type"]) == ("completed", "user_export"), job
    rows = ann.objects("SHOW EXPORT")
    assert len(rows) == 1 and rows[0]["job_id"] == job["job_id"] and rows[0]["status"] == "completed", rows
    path = "/v1/exports/" + rows[0]["download_url"].split("/v1/exports/")[1]
    assert path.startswith(f"/v1/exports/{ann.user}/export-{ann.user}-"), path
    status, answer, content = world.server.request("GET", path, headers={"Authorization": "Bearer " + ann.token}, raw=True)
    assert status == 200 and content[:2] == b"PK" and answer.getheader("Content-Type") == "application/zip"
    assert "attachment" in answer.getheader("Content-Disposition")
    assert world.server.request("GET", path, headers={"Authorization": "Bearer " + bob.token}, raw=True)[0] == 403
    assert world.server.request("GET", path, headers={"Authorization": "Bearer " + world.root.token}, raw=True)[0] == 200
    assert world.server.request("GET", path, raw=True)[0] == 401
    assert bob.rows("SHOW EXPORT") == []
    ann.error("EXPORT USER DATA everything", code="INVALID_SQL")

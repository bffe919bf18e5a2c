"""`kalam dump` and `kalam load`: a namespace comes over to another server with equal answers, as SQL and as an archive."""
import json
import os
import tempfile
import time
import zipfile

from backup_world import Writer
from files_test import upload
from flush_test import run_job
from server_process import UNLIMITED, ServerProcess, run_tests
from shell_test import Shell

TYPES = ("id BIGINT PRIMARY KEY, small SMALLINT, whole INT, ratio FLOAT, exact DOUBLE, price DECIMAL(12, 3), ok BOOLEAN DEFAULT TRUE, "
         "body TEXT NOT NULL DEFAULT 'it''s', doc JSON, at TIMESTAMP, day DATE, clock TIME, wall DATETIME, uid UUID, raw BYTES, "
         "place EMBEDDING(3)")
QUERIES = ["SELECT {columns} FROM app.types ORDER BY id", "SELECT \"user\", \"rank\", later FROM app.named ORDER BY \"user\"", "SELECT COUNT(*) FROM app.many",
           "SELECT SUM(id), MIN(body), MAX(body) FROM app.many", "SELECT id, body FROM app.few ORDER BY id", "SELECT id FROM app.big_ones ORDER BY id",
           "SELECT id FROM app.a_few ORDER BY id", "SELECT id FROM app.borrowed"]
COLUMNS = ", ".join(column.split()[0] for column in TYPES.replace("DECIMAL(12, 3)", "DECIMAL").split(", "))


def fill_library(server, token):
    server.sql(token, "CREATE NAMESPACE lib")
    server.sql(token, "CREATE SHARED TABLE lib.many (id BIGINT PRIMARY KEY)")
    server.sql(token, "INSERT INTO lib.many VALUES (-5)")


def fill(server, token):
    fill_library(server, token)
    server.sql(token, "CREATE NAMESPACE app")
    server.sql(token, f"CREATE SHARED TABLE app.types ({TYPES}) WITH (ACCESS_LEVEL = 'PUBLIC', FLUSH_POLICY = 'rows:100,interval:60')")
    server.sql(token, "INSERT INTO app.types VALUES (9007199254740993, -7, 8, 0.1, 1e300, -12.300, false, 'quote '' and\nline; -- no comment', "
                      "'{\"a\": [1, \"x''y\"]}', '2026-01-02 03:04:05.123456', '1969-12-31', '23:59:59.5', '1900-01-01 00:00:00', "
                      "'6f1d9c7e-7a43-4c5f-9f0b-0123456789ab', X'00ff27', '[0.25, -1, 3e-5]')")
    server.sql(token, "INSERT INTO app.types (id, exact, ratio, doc) VALUES (-1, 'Infinity', 'NaN', '[]'), (2, -0.0, NULL, NULL)")
    server.sql(token, "CREATE SHARED TABLE app.named (\"user\" TEXT PRIMARY KEY, \"rank\" INT)")
    server.sql(token, "INSERT INTO app.named (\"user\", \"rank\") VALUES ('', 1), ('o''hara', 2), ('ü', NULL)")
    server.sql(token, "ALTER TABLE app.named ADD COLUMN later INT DEFAULT 7")
    server.sql(token, "CREATE SHARED TABLE app.indexed (id BIGINT PRIMARY KEY, place EMBEDDING(2)) WITH (ACCESS_LEVEL = 'PUBLIC')")
    server.sql(token, "INSERT INTO app.indexed (id, place) VALUES (1, '[1, 0.5]'), (2, NULL), (3, '[-1e-7, 3e10]')")
    server.sql(token, "CREATE SHARED TABLE app.many (id BIGINT PRIMARY KEY, body TEXT)")
    for begin in range(0, 3000, 500):
        server.sql(token, "INSERT INTO app.many (id, body) VALUES " + ", ".join(f"({i}, 'body {i}')" for i in range(begin, begin + 500)))
    run_job(server, token, "STORAGE FLUSH TABLE app.many")
    server.sql(token, "DELETE FROM app.many WHERE id < 10")
    server.sql(token, "CREATE USER TABLE app.few (id BIGINT PRIMARY KEY, body TEXT)")
    server.sql(token, "CREATE STREAM TABLE app.typing (id BIGINT PRIMARY KEY) WITH (TTL_SECONDS = 100)")
    server.sql(token, "USE app; CREATE VIEW big_ones AS SELECT id FROM many WHERE id > 2990")
    # Its unqualified names are of another namespace; this one has a table of that name too.
    server.sql(token, "USE lib; CREATE VIEW app.borrowed AS SELECT id FROM many")
    # Read from one that has a later name.
    server.sql(token, "USE app; CREATE VIEW a_few AS SELECT id FROM Big_Ones WHERE id < 2995")
    server.sql(token, "CREATE USER TABLE app.docs (id BIGINT PRIMARY KEY, a FILE, b FILE, note TEXT)")
    server.sql(token, "CREATE INDEX near ON app.types (place) USING L2")
    server.sql(token, "ALTER TABLE app.indexed CREATE INDEX place USING COSINE")
    for user in ("ann", "bob"):
        server.sql(token, f"CREATE USER {user} WITH PASSWORD '{user}-password-1' ROLE user")
        server.sql(server.login(user, f"{user}-password-1"), f"INSERT INTO app.few (id, body) VALUES (1, '{user} one'), (2, '{user} two')")
    server.sql(token, "EXECUTE AS USER 'minted' (INSERT INTO app.few (id, body) VALUES (1, 'of nobody'))")


FILES = {1: ("a", b"first\n\x00\xff" * 1000, "it's a name.bin", "application/octet-stream"), 2: ("b", b"", "empty.txt", "text/plain")}


def add_files(server, token):
    for user in ("ann", "minted"):
        for row, (column, content, name, mime) in FILES.items():
            upload(server, token, f"EXECUTE AS USER '{user}' (INSERT INTO app.docs (id, {column}, note) VALUES ({row}, FILE('x'), 'of {user}'))",
                   [("x", content + user.encode(), name, mime)])
    values = ", ".join(f"({row}, FILE('x'), NULL)" for row in range(10, 11))
    upload(server, token, f"INSERT INTO app.docs (id, a, note) VALUES {values}", [("x", b"of root", "r.txt", "text/plain")])
    run_job(server, token, "STORAGE FLUSH TABLE app.docs")


def files_of(server, token, user):
    """What the files of a user's rows hold."""
    found = {}
    for row, a, b, note in server.rows(token, f"EXECUTE AS USER '{user}' (SELECT id, a, b, note FROM app.docs ORDER BY id)"):
        for name, cell in (("a", a), ("b", b)):
            if cell is None:
                continue
            cell = json.loads(cell)
            status, _, content = server.request("GET", f"/v1/files/app/docs/{cell['sub']}/{cell['id']}?user_id={user}",
                                                headers={"Authorization": f"Bearer {token}"}, raw=True)
            found[(row, name, note)] = (status, content, cell["name"], cell["mime"], cell["sha256"])
    return found


def indexes(server, token):
    """Their names are free to be given again only when they are gone."""
    plans = [server.rows(token, f"EXPLAIN SELECT id FROM app.{table} ORDER BY {distance}(place, '{vector}') LIMIT 1")
             for table, distance, vector in (("types", "L2_DISTANCE", "[1,2,3]"), ("indexed", "COSINE_DISTANCE", "[1,2]"))]
    return [["vector" in json.dumps(plan).lower() for plan in plans]] + [
        server.sql(token, f"CREATE INDEX {name} ON app.types (place)", expect=400)["error"]["message"] for name in ("near", "indexed_place_idx")]


def answers(server, token):
    found = {query: server.rows(token, query.format(columns=COLUMNS)) for query in QUERIES}
    found["places"] = server.rows(token, "SELECT id, place FROM app.indexed ORDER BY id")
    found["indexes"] = indexes(server, token)
    found["text"] = server.rows(token, "SELECT id, CAST(exact AS TEXT), CAST(ratio AS TEXT) FROM app.types ORDER BY id")
    for user in ("ann", "bob", "minted"):
        rows = server.rows(token, f"EXECUTE AS USER '{user}' (SELECT id, body FROM app.few ORDER BY id)")
        found[user] = rows
    found["tables"] = server.rows(token, "SELECT table_name, table_type, storage_id, options FROM system.tables "
                                         "WHERE namespace_id = 'app' ORDER BY table_name")
    found["columns"] = server.rows(token, "SELECT table_name, column_name, data_type, default_value, nullable, primary_key FROM system.columns "
                                          "WHERE namespace_id = 'app' AND column_name NOT LIKE '\\_%' ORDER BY table_name, column_name")
    return found


def compare(found, expected):
    for key, rows in expected.items():
        assert found[key] == rows, (key, found[key], rows)


def test_a_namespace_moves_to_another_server():
    with ServerProcess(UNLIMITED) as server, tempfile.TemporaryDirectory() as folder:
        token = server.login()
        fill(server, token)
        expected = answers(server, token)
        assert expected["minted"] == [["1", "of nobody"]], expected["minted"]
        path = os.path.join(folder, "app.sql")
        dumped = Shell(server).run("dump", "app", "-o", path, "--users", "minted")
        assert dumped.returncode == 0, dumped
        assert os.listdir(folder) == ["app.sql"]
        printed = Shell(server).run("dump", "app", "--users=minted")
        with open(path, encoding="utf-8") as file:
            assert printed.stdout == file.read()
        with ServerProcess(UNLIMITED) as other:
            fill_library(other, other.login())
            shell = Shell(other)
            loaded = shell.run("load", path)
            assert loaded.returncode == 0 and "statements loaded" in loaded.stdout, loaded
            compare(answers(other, other.login()), expected)
            again = shell.run("load", path)
            assert again.returncode == 1 and "Statement 2 failed" in again.stderr, again
            compare(answers(other, other.login()), expected)


def check_archive(path):
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        assert {"schema.sql", "after.sql", "export.json", "rows/types.parquet", "rows/docs/ann.parquet"} <= set(names), names
        assert archive.read("rows/many.parquet")[:4] == b"PAR1"
        assert any(name.startswith("files/docs/minted/f0001/") for name in names), names
        dates = {entry.filename: entry.date_time for entry in archive.infolist()}
        assert dates["schema.sql"] == dates["after.sql"] == dates["export.json"] and dates["schema.sql"][0] > 2020, dates


def test_files_move_too():
    with ServerProcess(UNLIMITED) as server, tempfile.TemporaryDirectory() as folder:
        token = server.login()
        fill(server, token)
        add_files(server, token)
        expected = answers(server, token)
        files = {user: files_of(server, token, user) for user in ("ann", "minted", "root")}
        assert files["ann"][("1", "a", "of ann")][:3] == (200, FILES[1][1] + b"ann", FILES[1][2]), files["ann"].keys()
        made = {"app.sql": ["app.sql", "app.sql.files"], "app.zip": ["app.zip"]}
        for name, entries in made.items():
            path = os.path.join(folder, name, name)
            os.mkdir(os.path.dirname(path))
            dump = ["dump", "app", "-o", path, "--users", "minted"] + (["--format", "parquet"] if name == "app.zip" else [])
            for _ in range(2):  # over itself as well
                dumped = Shell(server).run(*dump)
                assert dumped.returncode == 0 and not dumped.stderr, dumped
                assert sorted(os.listdir(os.path.dirname(path))) == entries
            with ServerProcess(UNLIMITED) as other:
                fill_library(other, other.login())
                shell = Shell(other)
                loaded = shell.run("load", path)
                assert loaded.returncode == 0 and "statements loaded" in loaded.stdout, loaded
                token = other.login()
                compare(answers(other, token), expected)
                for user, found in files.items():
                    assert files_of(other, token, user) == found, (name, user)
                again = shell.run("load", path)
                assert again.returncode == 1 and "Statement 2 failed" in again.stderr, again
        check_archive(os.path.join(folder, "app.zip", "app.zip"))


def test_a_dump_without_its_files_is_told():
    with ServerProcess(UNLIMITED) as server, tempfile.TemporaryDirectory() as folder:
        token = server.login()
        server.sql(token, "CREATE NAMESPACE app")
        server.sql(token, "CREATE SHARED TABLE app.docs (id BIGINT PRIMARY KEY, a FILE)")
        upload(server, token, "INSERT INTO app.docs (id, a) VALUES (1, FILE('x'))", [("x", b"content", "c.txt", "text/plain")])
        shell = Shell(server)
        printed = shell.run("dump", "app")
        assert printed.returncode == 0 and "Warning: this dump lacks 1 file(s)" in printed.stderr, printed
        assert '"name":"c.txt"' in printed.stdout.replace(" ", "") and "file(" not in printed.stdout, printed.stdout
        # What is no dump's folder stays.
        path = os.path.join(folder, "app.sql")
        os.makedirs(path + ".files/mine")
        refused = shell.run("dump", "app", "-o", path)
        assert refused.returncode == 1 and "something else lies" in refused.stderr, refused
        assert os.listdir(folder) == ["app.sql.files"] and os.path.isdir(path + ".files/mine")
        os.rmdir(path + ".files/mine")
        assert shell.run("dump", "app", "-o", path).returncode == 0
        with ServerProcess(UNLIMITED) as other:
            fill_library(other, other.login())
            for root, _, names in os.walk(path + ".files"):
                for name in names:
                    os.remove(os.path.join(root, name))
            lost = Shell(other).run("load", path)
            assert lost.returncode == 1 and "c.txt" in lost.stderr, lost
        # One that has no files any more leaves none of the earlier behind.
        server.sql(token, "DROP TABLE app.docs")
        assert shell.run("dump", "app", "-o", path).returncode == 0
        assert os.listdir(folder) == ["app.sql"]


def test_a_damaged_archive_is_told():
    with ServerProcess(UNLIMITED) as server, tempfile.TemporaryDirectory() as folder:
        token = server.login()
        fill(server, token)
        path = os.path.join(folder, "app.zip")
        assert Shell(server).run("dump", "app", "--format", "parquet", "-o", path).returncode == 0
        # A byte that changed on the way is told, and so is a file that is no dump.
        with open(path, "r+b") as file:
            file.seek(200)
            byte = file.read(1)[0]
            file.seek(200)
            file.write(bytes([byte ^ 1]))
        with ServerProcess(UNLIMITED) as other:
            fill_library(other, other.login())
            spoilt = Shell(other).run("load", path)
            assert spoilt.returncode == 1 and "damaged" in spoilt.stderr, spoilt
            with zipfile.ZipFile(os.path.join(folder, "other.zip"), "w") as archive:
                archive.writestr("readme.txt", "nothing")
            assert Shell(other).run("load", os.path.join(folder, "other.zip")).returncode == 1


def test_a_dump_is_of_one_moment():
    with ServerProcess(UNLIMITED) as server, tempfile.TemporaryDirectory() as folder:
        token = server.login()
        server.sql(token, "CREATE NAMESPACE app")
        server.sql(token, "CREATE SHARED TABLE app.left_rows (id BIGINT PRIMARY KEY)")
        server.sql(token, "CREATE SHARED TABLE app.right_rows (id BIGINT PRIMARY KEY)")
        writer = Writer(server, token)
        writer.start()
        while writer.count < 50:
            assert writer.failure is None, writer.failure
            time.sleep(0.01)
        paths = [os.path.join(folder, name) for name in ("app.sql", "app.zip")]
        for path in paths:
            dumped = Shell(server).run("dump", "app", "-o", path, *(["--format", "parquet"] if path.endswith("zip") else []))
            assert dumped.returncode == 0, dumped
        writer.stopping = True
        writer.join(30)
        assert writer.failure is None, writer.failure
        for path in paths:
            with ServerProcess(UNLIMITED) as other:
                fill_library(other, other.login())
                assert Shell(other).run("load", path).returncode == 0
                token = other.login()
                left, right = (other.rows(token, f"SELECT COUNT(*), SUM(id) FROM app.{side}_rows") for side in ("left", "right"))
                assert left == right and int(left[0][0]) >= 50, (left, right)


def test_the_schema_alone_and_mistakes():
    with ServerProcess(UNLIMITED) as server, tempfile.TemporaryDirectory() as folder:
        token = server.login()
        fill(server, token)
        shell = Shell(server)
        schema = shell.run("dump", "app", "--schema-only")
        assert schema.returncode == 0 and "INSERT" not in schema.stdout and "CREATE TABLE \"app\".\"many\"" in schema.stdout, schema
        assert "CREATE INDEX \"near\"" in schema.stdout, schema
        assert shell.run("dump", "app", "--format", "parquet").returncode == 1
        assert shell.run("dump", "app", "--format", "csv").returncode != 0
        # Rows of all users are for administrators.
        refused = server.sql(server.login("ann", "ann-password-1"), "EXPORT NAMESPACE app", expect=403)
        assert refused["error"]["code"] == "PERMISSION_DENIED", refused
        server.sql(token, "EXPORT NAMESPACE nothing", expect=400)
        server.sql(token, "EXPORT NAMESPACE app now", expect=400)
        missing = shell.run("dump", "nothing", "-o", os.path.join(folder, "x.sql"))
        assert missing.returncode == 1 and "Namespace 'nothing' not found" in missing.stderr and not os.listdir(folder), missing
        assert shell.run("load", os.path.join(folder, "nothing.sql")).returncode == 1
        assert shell.run("dump").returncode == 1
        read = shell.run("load", "-", input="CREATE NAMESPACE other;\nCREATE TABLE other.t (id INT PRIMARY KEY);\n")
        assert read.returncode == 0 and "2 statements loaded" in read.stdout, read


if __name__ == "__main__":
    run_tests(globals())

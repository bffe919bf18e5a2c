"""`kalam dump` and `kalam load`: a namespace comes over to another server with equal answers."""
import os
import tempfile

from flush_test import run_job
from server_process import UNLIMITED, ServerProcess, run_tests
from shell_test import Shell

TYPES = ("id BIGINT PRIMARY KEY, small SMALLINT, whole INT, ratio FLOAT, exact DOUBLE, price DECIMAL(12, 3), ok BOOLEAN DEFAULT TRUE, "
         "body TEXT NOT NULL DEFAULT 'it''s', doc JSON, at TIMESTAMP, day DATE, clock TIME, wall DATETIME, uid UUID, raw BYTES, "
         "place EMBEDDING(3)")
QUERIES = ["SELECT {columns} FROM app.types ORDER BY id", "SELECT \"user\", \"rank\", later FROM app.named ORDER BY \"user\"", "SELECT COUNT(*) FROM app.many",
           "SELECT SUM(id), MIN(body), MAX(body) FROM app.many", "SELECT id, body FROM app.few ORDER BY id", "SELECT id FROM app.big_ones ORDER BY id"]
COLUMNS = ", ".join(column.split()[0] for column in TYPES.replace("DECIMAL(12, 3)", "DECIMAL").split(", "))


def fill(server, token):
    server.sql(token, "CREATE NAMESPACE app")
    server.sql(token, f"CREATE SHARED TABLE app.types ({TYPES}) WITH (ACCESS_LEVEL = 'PUBLIC', FLUSH_POLICY = 'rows:100,interval:60')")
    server.sql(token, "INSERT INTO app.types VALUES (9007199254740993, -7, 8, 0.1, 1e300, -12.300, false, 'quote '' and\nline; -- no comment', "
                      "'{\"a\": [1, \"x''y\"]}', '2026-01-02 03:04:05.123456', '1969-12-31', '23:59:59.5', '1900-01-01 00:00:00', "
                      "'6f1d9c7e-7a43-4c5f-9f0b-0123456789ab', X'00ff27', '[0.25, -1, 3e-5]')")
    server.sql(token, "INSERT INTO app.types (id, exact, ratio, doc) VALUES (-1, 'Infinity', 'NaN', '[]'), (2, -0.0, NULL, NULL)")
    server.sql(token, "CREATE SHARED TABLE app.named (\"user\" TEXT PRIMARY KEY, \"rank\" INT)")
    server.sql(token, "INSERT INTO app.named (\"user\", \"rank\") VALUES ('', 1), ('o''hara', 2), ('ü', NULL)")
    server.sql(token, "ALTER TABLE app.named ADD COLUMN later INT DEFAULT 7")
    server.sql(token, "CREATE SHARED TABLE app.many (id BIGINT PRIMARY KEY, body TEXT)")
    for begin in range(0, 3000, 500):
        server.sql(token, "INSERT INTO app.many (id, body) VALUES " + ", ".join(f"({i}, 'body {i}')" for i in range(begin, begin + 500)))
    run_job(server, token, "STORAGE FLUSH TABLE app.many")
    server.sql(token, "DELETE FROM app.many WHERE id < 10")
    server.sql(token, "CREATE USER TABLE app.few (id BIGINT PRIMARY KEY, body TEXT)")
    server.sql(token, "CREATE STREAM TABLE app.typing (id BIGINT PRIMARY KEY) WITH (TTL_SECONDS = 100)")
    server.sql(token, "USE app; CREATE VIEW big_ones AS SELECT id FROM many WHERE id > 2990")
    for user in ("ann", "bob"):
        server.sql(token, f"CREATE USER {user} WITH PASSWORD '{user}-password-1' ROLE user")
        server.sql(server.login(user, f"{user}-password-1"), f"INSERT INTO app.few (id, body) VALUES (1, '{user} one'), (2, '{user} two')")
    server.sql(token, "EXECUTE AS USER 'minted' (INSERT INTO app.few (id, body) VALUES (1, 'of nobody'))")


def answers(server, token):
    found = {query: server.rows(token, query.format(columns=COLUMNS)) for query in QUERIES}
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
            shell = Shell(other)
            loaded = shell.run("load", path)
            assert loaded.returncode == 0 and "statements loaded" in loaded.stdout, loaded
            compare(answers(other, other.login()), expected)
            again = shell.run("load", path)
            assert again.returncode == 1 and "Statement 2 failed" in again.stderr, again
            compare(answers(other, other.login()), expected)


def test_the_schema_alone_and_mistakes():
    with ServerProcess(UNLIMITED) as server, tempfile.TemporaryDirectory() as folder:
        token = server.login()
        fill(server, token)
        shell = Shell(server)
        schema = shell.run("dump", "app", "--schema-only")
        assert schema.returncode == 0 and "INSERT" not in schema.stdout and "CREATE TABLE \"app\".\"many\"" in schema.stdout, schema
        missing = shell.run("dump", "nothing", "-o", os.path.join(folder, "x.sql"))
        assert missing.returncode == 1 and "Namespace 'nothing' not found" in missing.stderr and not os.listdir(folder), missing
        assert shell.run("load", os.path.join(folder, "nothing.sql")).returncode == 1
        assert shell.run("dump").returncode == 1
        read = shell.run("load", "-", input="CREATE NAMESPACE other;\nCREATE TABLE other.t (id INT PRIMARY KEY);\n")
        assert read.returncode == 0 and "2 statements loaded" in read.stdout, read


if __name__ == "__main__":
    run_tests(globals())

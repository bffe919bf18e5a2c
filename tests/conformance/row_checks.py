"""Writing rows: counts, defaults, keys, types, parameters, and what each kind of table does with a deleted row."""
import re
import uuid


def test_many_rows_at_once_and_their_counts(world):
    root, table = world.root, world.table("USER", "id BIGINT PRIMARY KEY, kind TEXT, n INT")
    values = ", ".join(f"({i}, '{'even' if i % 2 == 0 else 'odd'}', {i})" for i in range(1, 21))
    result = root.result(f"INSERT INTO {table} (id, kind, n) VALUES {values}")
    assert result == {"row_count": 20, "message": "Inserted 20 row(s)", "as_user": "root"}, result
    assert root.message(f"UPDATE {table} SET n = n + 100 WHERE kind = 'even'") == "Updated 10 row(s)"
    assert root.message(f"UPDATE {table} SET n = n WHERE kind = 'even'") == "Updated 0 row(s)"
    assert root.message(f"UPDATE {table} SET n = 0 WHERE id = 999") == "Updated 0 row(s)"
    assert root.message(f"DELETE FROM {table} WHERE n > 110 OR id = 1") == "Deleted 6 row(s)"
    assert root.message(f"DELETE FROM {table} WHERE id = 1") == "Deleted 0 row(s)"
    assert root.rows(f"SELECT count(*), sum(n), min(n), max(n), avg(n), count(DISTINCT kind) FROM {table}") == \
        [["14", str(102 + 104 + 106 + 108 + 110 + sum(range(3, 20, 2))), 3, 110, (530 + 99) / 14, "2"]]
    assert "UPDATE requires a WHERE clause" in root.error(f"UPDATE {table} SET n = 1")
    assert "DELETE requires a WHERE clause" in root.error(f"DELETE FROM {table}")
    assert "UPDATE cannot modify primary key column 'id'" in root.error(f"UPDATE {table} SET id = 5 WHERE id = 5")


def test_a_deleted_row_is_a_tombstone_except_in_streams(world):
    root = world.root
    for kind in ("USER", "SHARED"):
        table = world.table(kind)
        root.message(f"INSERT INTO {table} (id, body) VALUES (1, 'one'), (2, 'two')")
        assert root.message(f"DELETE FROM {table} WHERE id = 1") == "Deleted 1 row(s)"
        assert root.rows(f"SELECT id FROM {table}") == [["2"]]
        assert root.rows(f"SELECT id, body, _deleted FROM {table} WHERE _deleted = true") == [["1", "one", True]]
        root.message(f"INSERT INTO {table} (id, body) VALUES (1, 'again')")
        assert root.rows(f"SELECT body FROM {table} WHERE id = 1") == [["again"]]
        assert root.rows(f"SELECT body FROM {table} WHERE _deleted = true") == []
    table = world.table("STREAM", options="TTL_SECONDS = 600")
    root.message(f"INSERT INTO {table} (id, body) VALUES (1, 'one'), (2, 'two')")
    assert "UPDATE not supported for STREAM tables" in root.error(f"UPDATE {table} SET body = 'x' WHERE id = 1")
    assert root.message(f"DELETE FROM {table} WHERE id = 1") == "Deleted 1 row(s)"
    assert root.rows(f"SELECT id FROM {table}") == [["2"]]
    assert root.rows(f"SELECT id FROM {table} WHERE _deleted = true") == []


def test_keys_are_unique_per_user_and_per_shared_table(world):
    root, ann = world.root, world.user()
    table = world.table("USER")
    root.message(f"INSERT INTO {table} (id) VALUES (1)")
    ann.message(f"INSERT INTO {table} (id) VALUES (1)")
    message = root.error(f"INSERT INTO {table} (id) VALUES (2), (1)")
    assert "Primary key violation: value '1' already exists in column 'id'" in message, message
    assert root.value(f"SELECT count(*) FROM {table}") == "1"
    message = ann.error(f"INSERT INTO {table} (id) VALUES (5), (5)")
    assert "Primary key violation: value '5' appears multiple times in the insert batch for column 'id'" in message, message
    for column, one in (("k TEXT", "'x'"), ("k UUID", "'6BA7B810-9DAD-11D1-80B4-00C04FD430C8'"), ("k DECIMAL(6,2)", "1.5"),
                        ("k DATE", "'2024-01-02'"), ("k BOOLEAN", "true"), ("k DOUBLE", "0.5"), ("k BYTES", "'ab'")):
        keyed = world.table("SHARED", f"{column} PRIMARY KEY, n INT")
        root.message(f"INSERT INTO {keyed} (k, n) VALUES ({one}, 1)")
        assert "rimary key violation" in root.error(f"INSERT INTO {keyed} (k, n) VALUES ({one}, 2)"), column
        assert root.message(f"UPDATE {keyed} SET n = 3 WHERE k = {one}") == "Updated 1 row(s)", column
    assert "cannot be NULL" in root.error(f"INSERT INTO {table} (id) VALUES (NULL)")


def test_defaults_of_identity_and_time(world):
    root, ann = world.root, world.user()
    table = world.table("USER", "id BIGINT PRIMARY KEY DEFAULT SNOWFLAKE_ID(), u UUID DEFAULT UUID_V7(), t TEXT DEFAULT UUID_V7(), "
                                "l TEXT DEFAULT ULID(), who TEXT DEFAULT CURRENT_USER, at TIMESTAMP DEFAULT NOW(), "
                                "n INT DEFAULT 5, word TEXT DEFAULT 'hi', yes BOOLEAN DEFAULT true, part DOUBLE DEFAULT 1.5")
    ann.message(f"INSERT INTO {table} (n) VALUES (1), (2)")
    ann.message(f"INSERT INTO {table} (word) VALUES ($1)", ["there"])
    rows = ann.objects(f"SELECT * FROM {table} ORDER BY id")
    assert len(rows) == 3 and len({r["id"] for r in rows} | {r["u"] for r in rows} | {r["l"] for r in rows}) == 9, rows
    for row in rows:
        assert int(row["id"]) > 0 and row["who"] == ann.user and row["yes"] is True and row["part"] == 1.5, row
        assert re.fullmatch("[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", row["u"]), row
        assert uuid.UUID(row["t"]).version == 7 and re.fullmatch("[0-9A-HJKMNP-TV-Z]{26}", row["l"]), row
        assert abs((int(row["id"]) >> 22) + 1704067200000 - row["at"] / 1000) < 60000, row
    assert [(r["n"], r["word"]) for r in rows] == [(1, "hi"), (2, "hi"), (5, "there")], rows
    assert rows[0]["at"] == rows[1]["at"] <= rows[2]["at"]
    for spelling in ("id BIGINT AUTO_INCREMENT PRIMARY KEY", "id BIGINT PRIMARY KEY auto increment", "id BIGSERIAL PRIMARY KEY",
                     "id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY"):
        auto = world.table("SHARED", spelling + ", n INT")
        root.message(f"INSERT INTO {auto} (n) VALUES (1), (2)")
        assert len({r[0] for r in root.rows(f"SELECT id FROM {auto}")}) == 2, spelling


def test_omitted_and_null_values(world):
    root, table = world.root, world.table("SHARED", "id BIGINT PRIMARY KEY, n INT NOT NULL, s TEXT NOT NULL, b BOOLEAN NOT NULL, x TEXT")
    root.message(f"INSERT INTO {table} (id) VALUES (1)")
    assert root.rows(f"SELECT n, s, b, x FROM {table}") == [[0, "", False, None]]
    message = root.error(f"INSERT INTO {table} (id, n) VALUES (2, NULL)")
    assert "NOT NULL constraint violation: column 'n' cannot be NULL" in message, message
    assert "cannot be NULL" in root.error(f"UPDATE {table} SET s = NULL WHERE id = 1")
    root.message(f"UPDATE {table} SET x = 'set' WHERE id = 1")
    assert root.message(f"UPDATE {table} SET x = NULL WHERE id = 1") == "Updated 1 row(s)"
    assert root.message(f"UPDATE {table} SET x = NULL WHERE id = 1") == "Updated 0 row(s)"
    assert root.rows(f"SELECT x FROM {table} WHERE x IS NULL") == [[None]]
    assert "Column 'nothing' does not exist" in root.error(f"INSERT INTO {table} (id, nothing) VALUES (3, 1)")
    root.error(f"INSERT INTO {table} (id, _seq) VALUES (3, 1)")
    root.error(f"UPDATE {table} SET _deleted = true WHERE id = 1")


ALL = [  # column, what is written, what is read, then the same for an update
    ("a BOOLEAN", "true", True, "false", False), ("b SMALLINT", "-32768", -32768, "32767", 32767),
    ("c INT", "2147483647", 2147483647, "-1", -1), ("d BIGINT", "9223372036854775807", "9223372036854775807", "'42'", "42"),
    ("e FLOAT", "0.5", 0.5, "'2.25'", 2.25), ("f DOUBLE", "1e300", 1e300, "3", 3.0),
    ("g TEXT", "'a''b é'", "a'b é", "17", "17"), ("h TIMESTAMP", "'2023-01-01 12:00:00'", 1672574400000000,
                                                   "'2023-01-01T12:00:00+02:00'", 1672567200000000),
    ("i DATETIME", "'2023-01-01'", 1672531200000000, "1000000", 1000000),
    ("j DATE", "'1970-01-11'", 10, "'2000-03-01'", 11017), ("k TIME", "'01:00:00.5'", 3600500000, "'00:00:01'", 1000000),
    ("l JSON", "'{\"a\": [1]}'", '{"a": [1]}', "'not json'", "not json"),
    ("m BYTES", "'hé'", [104, 195, 169], "''", []),
    ("n EMBEDDING(2)", "'[0.5, -1]'", [0.5, -1], "'[1, 2]'", [1, 2]),
    ("o UUID", "'6BA7B8109DAD11D180B400C04FD430C8'", "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
     "'{00000000-0000-0000-0000-000000000001}'", "00000000-0000-0000-0000-000000000001"),
    ("p DECIMAL(20,4)", "1234567890123456.7891", "1234567890123456.7891", "-0.5", "-0.5000"),
    ("q FILE", "'{\"id\":\"1\"}'", '{"id":"1"}', "NULL", None)]


def test_all_types_are_written_read_and_changed(world):
    root = world.root
    names = ", ".join(c.split()[0] for c, *_ in ALL)
    for kind in ("USER", "SHARED", "STREAM"):
        table = world.table(kind, "id BIGINT PRIMARY KEY, " + ", ".join(c for c, *_ in ALL),
                            "TTL_SECONDS = 600" if kind == "STREAM" else "")
        root.message(f"INSERT INTO {table} (id, {names}) VALUES (1, {', '.join(w for _, w, *_ in ALL)})")
        read = root.rows(f"SELECT {names} FROM {table}")[0]
        for (column, written, expected, *_), cell in zip(ALL, read):
            assert cell == expected and isinstance(cell, type(expected)) or cell == expected == [0.5, -1], (column, written, cell)
        if kind == "STREAM":
            continue
        changes = ", ".join(f"{c.split()[0]} = {w}" for c, _, _, w, _ in ALL)
        assert root.message(f"UPDATE {table} SET {changes} WHERE id = 1") == "Updated 1 row(s)"
        read = root.rows(f"SELECT {names} FROM {table}")[0]
        assert read == [expected for *_, expected in ALL], read


def test_values_that_do_not_fit_are_refused(world):
    root = world.root
    table = world.table("SHARED", "id BIGINT PRIMARY KEY, " + ", ".join(c for c, *_ in ALL))
    for column, literal in (("b", "40000"), ("c", "3000000000"), ("d", "9223372036854775808"), ("c", "'x'"), ("a", "'maybe'"),
                            ("h", "'yesterday-ish'"), ("j", "'2023-13-01'"), ("k", "'25:00'"), ("o", "'short'"),
                            ("n", "'[1]'"), ("n", "'x'"), ("p", "12345678901234567890123"), ("b", "$1"), ("d", "1e30")):
        params = [99999] if literal == "$1" else None
        message = root.error(f"INSERT INTO {table} (id, {column}) VALUES (1, {literal})", params)
        assert f"'{column}'" in message or "out of range" in message or "invalid" in message.lower(), (column, literal, message)
    assert "Embedding dimension mismatch for column 'n': expected 2, got 1" in root.error(
        f"INSERT INTO {table} (id, n) VALUES (1, '[1]')")
    assert "Invalid UUID literal 'short' for column 'o'" in root.error(f"INSERT INTO {table} (id, o) VALUES (1, 'short')")
    assert root.value(f"SELECT count(*) FROM {table}") == "0"
    # Fractions are cut off, numbers become text, text becomes numbers.
    root.message(f"INSERT INTO {table} (id, c, g) VALUES (1, 2.9, 1.5), (2, -2.9, true)")
    assert root.rows(f"SELECT c, g FROM {table} ORDER BY id") == [[2, "1.5"], [-2, "true"]]


def test_parameters(world):
    root, table = world.root, world.table("USER", "id BIGINT PRIMARY KEY, s TEXT, n INT, f DOUBLE, b BOOLEAN, j JSON, at TIMESTAMP")
    root.message(f"INSERT INTO {table} (id, s, n, f, b, j, at) VALUES ($1, $2, $3, $4, $5, $6, $7)",
                 ["9007199254740993", "it's", 7, 1.25, True, '{"k": 1}', "2026-01-01T00:00:00"])
    root.message(f"INSERT INTO {table} (id, s) VALUES ($1, $2)", [2, None])
    assert root.rows(f"SELECT * FROM {table} WHERE id = $1", [9007199254740993])[0][:7] == \
        ["9007199254740993", "it's", 7, 1.25, True, '{"k": 1}', 1767225600000000]
    assert root.message(f"UPDATE {table} SET s = $1, n = $2 WHERE id = $3", ["new", 8, 2]) == "Updated 1 row(s)"
    assert root.rows(f"SELECT s FROM {table} WHERE s LIKE $1 ORDER BY id ASC LIMIT $2 OFFSET $3", ["%e%", 5, 0]) == [["new"]]
    assert root.rows(f"SELECT {table}.s FROM {table} WHERE {table}.at = $1", ["2026-01-01T00:00:00.000Z"]) == [["it's"]]
    assert root.message(f"DELETE FROM {table} WHERE id = $1", [2]) == "Deleted 1 row(s)"
    assert "parameter" in root.error("SELECT $1, $2", [1]).lower()
    root.error("SELECT $1", [{"a": 1}], code="INVALID_PARAMETER")
    root.error("SELECT 1; SELECT $1", [1], code="PARAMS_WITH_BATCH")
    message = root.error("SELECT $1", ["x" * 524289])
    assert "size" in message or "512" in message, message
    message = root.error("SELECT 1", [1] * 32768)
    assert "parameter" in message.lower() and re.search("limit|maximum|exceeded", message), message


def test_wide_rows(world):
    root = world.root
    columns = [f"c{i} {'TEXT' if i % 2 else 'INT'}" for i in range(120)]
    table = world.table("USER", "id BIGINT PRIMARY KEY, " + ", ".join(columns))
    names = ", ".join(c.split()[0] for c in columns)
    root.message(f"INSERT INTO {table} (id, {names}) VALUES (1, " +
                 ", ".join(f"'text {i}'" if i % 2 else str(i) for i in range(120)) + ")")
    row = root.objects(f"SELECT * FROM {table}")[0]
    assert row["c118"] == 118 and row["c119"] == "text 119" and len(row) == 123, row
    assert root.message(f"UPDATE {table} SET c0 = 1000, c119 = 'changed' WHERE id = 1") == "Updated 1 row(s)"
    row = root.objects(f"SELECT * FROM {table}")[0]
    assert row["c0"] == 1000 and row["c119"] == "changed" and row["c117"] == "text 117", row
    root.message(f"DELETE FROM {table} WHERE id = 1")
    assert root.rows(f"SELECT id FROM {table}") == []


def test_integers_beyond_doubles_are_exact_texts(world):
    root, table = world.root, world.table("SHARED", "id BIGINT PRIMARY KEY, n BIGINT")
    numbers = [9007199254740993, -9223372036854775808, 9223372036854775807]
    for i, number in enumerate(numbers):
        root.message(f"INSERT INTO {table} (id, n) VALUES ({i}, {number})")
    assert root.rows(f"SELECT n FROM {table} ORDER BY id") == [[str(n)] for n in numbers]
    assert root.rows(f"SELECT id FROM {table} WHERE n = 9007199254740993") == [["0"]]
    assert root.value(f"SELECT n - 1 FROM {table} WHERE id = 0") == "9007199254740992"
    assert root.result(f"SELECT count(*) FROM {table}")["schema"][0]["data_type"] == "BigInt"


def test_seq_grows_with_every_change(world):
    root, table = world.root, world.table("SHARED")
    seen = 0
    for statement in (f"INSERT INTO {table} (id, body) VALUES (1, 'a')", f"UPDATE {table} SET body = 'b' WHERE id = 1",
                      f"UPDATE {table} SET body = 'c' WHERE id = 1"):
        root.message(statement)
        now = int(root.value(f"SELECT _seq FROM {table}"))
        assert now > seen, (now, seen)
        seen = now
    root.message(f"INSERT INTO {table} (id, body) VALUES (2, 'x')")
    assert root.rows(f"SELECT id FROM {table} WHERE _seq > {seen}") == [["2"]]
    root.error(f"SELECT _commit_seq FROM {table}")


def test_rows_come_back_from_writes(world):
    root, table = world.root, world.table("SHARED", "id BIGINT PRIMARY KEY, n INT")
    assert root.rows(f"INSERT INTO {table} (id, n) VALUES (1, 10), (2, 20) RETURNING id, n + 1") == [["1", "11"], ["2", "21"]]
    assert root.rows(f"UPDATE {table} SET n = n * 2 WHERE id = 2 RETURNING n") == [[40]]
    result = root.result(f"INSERT INTO {table} (id, n) VALUES (1, 5) ON CONFLICT (id) DO NOTHING")
    assert result["row_count"] == 0, result
    result = root.result(f"INSERT INTO {table} (id, n) VALUES (1, 5), (3, 30) ON CONFLICT (id) DO UPDATE SET n = excluded.n")
    assert result["row_count"] == 2, result
    assert root.rows(f"DELETE FROM {table} WHERE n > 10 RETURNING id") == [["2"], ["3"]]
    assert root.rows(f"SELECT id, n FROM {table}") == [["1", 5]]


def test_batches_sum_their_writes_and_stop_at_the_first_failure(world):
    root, table = world.root, world.table("SHARED")
    results = root.results(f"INSERT INTO {table} (id) VALUES (1); SELECT count(*) FROM {table}; INSERT INTO {table} (id) VALUES (2), (3);"
                           f"UPDATE {table} SET body = 'x' WHERE id > 1; DELETE FROM {table} WHERE id = 99; -- the end; really\n;")
    assert [r.get("message") for r in results] == [None, "Inserted 3 row(s)", "Updated 2 row(s)"], results
    assert results[0]["rows"] == [["1"]]
    message = root.error(f"INSERT INTO {table} (id) VALUES (4); INSERT INTO {table} (id) VALUES (4); INSERT INTO {table} (id) VALUES (5)")
    assert message.startswith("Statement 2 failed: ") and "rimary key violation" in message, message
    assert root.value(f"SELECT count(*) FROM {table}") == "4"
    # What cannot even be understood keeps all of it from running.
    root.error(f"INSERT INTO {table} (id) VALUES (6); NONSENSE")
    assert root.value(f"SELECT count(*) FROM {table}") == "4"
    assert root.rows("SELECT 'a;b' /* ; */ AS \"x;y\"") == [["a;b"]]
    root.error(" ; ;; -- nothing\n", code="EMPTY_SQL")


def test_plans_follow_the_tables(world):
    root, table = world.root, world.table("SHARED", "id BIGINT PRIMARY KEY")
    for i in range(6):
        root.message(f"INSERT INTO {table} (id) VALUES ({i})")
        root.message(f"ALTER TABLE {table} ADD COLUMN c{i} INT")
        root.message(f"UPDATE {table} SET c{i} = {i} WHERE id = {i}")
        assert root.value(f"SELECT c{i} FROM {table} WHERE id = {i}") == i
    root.message(f"DROP TABLE {table}")
    root.message(f"CREATE TABLE {table} (id TEXT PRIMARY KEY) WITH (TYPE = 'USER')")
    root.message(f"INSERT INTO {table} (id) VALUES ('text')")
    assert root.rows(f"SELECT id FROM {table}") == [["text"]]

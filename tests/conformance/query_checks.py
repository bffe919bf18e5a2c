"""Reading: operators on JSON, filters, functions, EXPLAIN, paging, and many readers at once."""
import json
import re
import threading
import time

DOCUMENT = {"a": {"b": {"c": "deep"}}, "items": [10, {"x": True}, "s"], "n": 5, "f": 1.5, "t": True, "z": None, "s": "it's"}


def test_members_of_json(world):
    root, table = world.root, world.table("SHARED", "id BIGINT PRIMARY KEY, doc JSON")
    root.message(f"INSERT INTO {table} (id, doc) VALUES (1, $1)", [json.dumps(DOCUMENT)])
    root.message(f"INSERT INTO {table} (id, doc) VALUES (2, 'broken {{')")

    def value(expression):
        return root.value(f"SELECT {expression} FROM {table} WHERE id = 1")

    assert json.loads(value("doc -> 'a'")) == DOCUMENT["a"]
    assert value("doc -> 's'") == '"it\'s"' and value("doc ->> 's'") == "it's"
    assert value("doc->'a'->'b'->>'c'") == "deep" and value("doc->'items'->0") == "10"
    assert value("doc->'items'->1->>'x'") == "true" and value("doc->>'n'") == "5" and value("doc->>'z'") is None
    assert value("doc ? 'a'") is True and value("doc ? 'q'") is False
    assert value("doc -> 'q' -> 'r'") is None
    assert value("json_get_str(doc, 'a', 'b', 'c')") == "deep" and value("json_get_int(doc, 'n')") == "5"
    assert value("json_get_float(doc, 'f')") == 1.5 and value("json_get_bool(doc, 't')") is True
    assert value("json_get_int(doc, 's')") is None and value("json_get_str(doc, 'items', 2)") == "s"
    assert value("json_length(doc)") == "7" and value("json_length(doc, 'items')") == "3"
    assert value("json_contains(doc, 'a', 'b')") is True
    assert sorted(json.loads(value("json_object_keys(doc)"))) == sorted(DOCUMENT)
    assert value("json_as_text(doc, 's')") == "it's" and json.loads(value("json_get_json(doc, 'items')")) == DOCUMENT["items"]
    assert root.rows(f"SELECT doc -> 'a', doc ? 'a' FROM {table} WHERE id = 2")[0][0] is None
    assert root.rows(f"SELECT id FROM {table} WHERE doc->>'n' = '5'") == [["1"]]
    assert root.rows(f"SELECT id FROM {table} WHERE doc->'a'->'b'->>'c' LIKE 'de%' AND doc ? 'items'") == [["1"]]
    assert value("'a -> b ? c'") == "a -> b ? c"
    big = {"k": "x" * 65536, "end": 1}
    root.message(f"UPDATE {table} SET doc = $1 WHERE id = 2", [json.dumps(big)])
    assert root.value(f"SELECT doc->>'end' FROM {table} WHERE id = 2") == "1"
    assert len(root.value(f"SELECT doc->>'k' FROM {table} WHERE id = 2")) == 65536


def test_filters_are_exact_on_every_kind_of_table(world):
    root = world.root
    for kind, options in (("USER", ""), ("SHARED", ""), ("STREAM", "TTL_SECONDS = 600")):
        table = world.table(kind, "id BIGINT PRIMARY KEY, n INT, s TEXT", options)
        root.message(f"INSERT INTO {table} (id, n, s) VALUES " + ", ".join(
            f"({i}, {'NULL' if i % 10 == 0 else i % 7}, 'row {i}')" for i in range(100)))

        def ids(where):
            return [int(r[0]) for r in root.rows(f"SELECT id FROM {table} WHERE {where} ORDER BY id")]

        def expected(test):
            return [i for i in range(100) if test(i, None if i % 10 == 0 else i % 7)]

        assert ids("n = 3") == expected(lambda i, n: n == 3)
        assert ids("n <> 3") == expected(lambda i, n: n is not None and n != 3)
        assert ids("n IS NULL") == expected(lambda i, n: n is None)
        assert ids("NOT (n > 3)") == expected(lambda i, n: n is not None and n <= 3)
        assert ids("n BETWEEN 2 AND 4 AND id >= 50") == expected(lambda i, n: n is not None and 2 <= n <= 4 and i >= 50)
        assert ids("id IN (3, 5, 500) OR s = 'row 7'") == [3, 5, 7]
        assert ids("s LIKE 'row 1%'") == [1] + list(range(10, 20))
        assert ids("s NOT LIKE '%1%' AND id < 12") == [0, 2, 3, 4, 5, 6, 7, 8, 9]
        assert ids("s ILIKE 'ROW 9_' AND n IN (1, 2)") == expected(lambda i, n: 90 <= i and n in (1, 2))
        assert ids("id > 10 AND id < 13") == [11, 12]
        assert ids("id = 5 AND id = 6") == []
        assert ids("id IN (SELECT max(id) FROM " + table + ")") == [99]
    assert root.rows("SELECT user_id FROM system.users WHERE user_id = 'root' AND role = 'system'") == [["root"]]
    assert root.rows("SELECT count(*) FROM system.users WHERE user_id = 'nobody at all'") == [["0"]]


def test_queries_across_tables(world):
    root, ann = world.root, world.user()
    table = world.table("USER", "id BIGINT PRIMARY KEY, room TEXT, n INT")
    rooms = world.table("SHARED", "name TEXT PRIMARY KEY, topic TEXT", "ACCESS_LEVEL = 'PUBLIC'")
    root.message(f"INSERT INTO {rooms} (name, topic) VALUES ('a', 'apples'), ('b', 'books'), ('c', 'cats')")
    ann.message(f"INSERT INTO {table} (id, room, n) VALUES (1, 'a', 1), (2, 'a', 2), (3, 'b', 3)")
    root.message(f"INSERT INTO {table} (id, room, n) VALUES (1, 'c', 1000)")
    assert ann.rows(f"SELECT r.topic, sum(m.n) FROM {table} m JOIN {rooms} r ON m.room = r.name GROUP BY r.topic "
                    "ORDER BY 1") == [["apples", "3"], ["books", "3"]]
    assert ann.rows(f"SELECT x.id, y.id FROM {table} x JOIN {table} y ON x.n < y.n WHERE x.room = y.room") == [["1", "2"]]
    assert ann.rows(f"WITH t AS (SELECT room, count(*) AS c FROM {table} GROUP BY room HAVING count(*) > 1) "
                    "SELECT room FROM t") == [["a"]]
    assert ann.rows(f"SELECT name FROM {rooms} EXCEPT SELECT room FROM {table}") == [["c"]]
    assert ann.rows(f"SELECT room FROM {table} UNION SELECT name FROM {rooms} ORDER BY 1") == [["a"], ["b"], ["c"]]
    assert ann.rows(f"SELECT (SELECT max(n) FROM {table}), q.c FROM (SELECT count(*) AS c FROM {rooms}) q") == [[3, "3"]]
    assert ann.rows(f"SELECT id, row_number() OVER (PARTITION BY room ORDER BY n DESC) AS k FROM {table} ORDER BY id") == \
        [["1", "2"], ["2", "1"], ["3", "1"]]
    assert ann.rows(f"SELECT CASE WHEN n > 1 THEN 'many' ELSE 'one' END FROM {table} ORDER BY id") == [["one"], ["many"], ["many"]]
    assert ann.rows(f"SELECT DISTINCT room FROM {table} ORDER BY room") == [["a"], ["b"]]
    assert ann.message(f"INSERT INTO {table} (id, room, n) SELECT id + 10, room, n FROM {table}") == "Inserted 3 row(s)"
    # Rows come in key order when nobody asked for another.
    assert [r[0] for r in ann.rows(f"SELECT id FROM {table}")] == ["1", "2", "3", "11", "12", "13"]


def test_functions_of_identity(world):
    ann, service = world.user(), world.user("service")
    assert ann.rows("SELECT CURRENT_USER, CURRENT_USER(), CURRENT_USER_ID(), CURRENT_ROLE, CURRENT_ROLE()") == \
        [[ann.user, ann.user, ann.user, "user", "user"]]
    assert service.value("SELECT current_role") == "service"
    row = ann.rows("SELECT SNOWFLAKE_ID(), UUID_V7(), ULID(), SNOWFLAKE_ID()")[0]
    assert row[0] != row[3] and int(row[3]) > 0 and re.fullmatch("[0-9a-f-]{36}", row[1]) and len(row[2]) == 26, row
    now = ann.result("SELECT NOW() AS a, CURRENT_TIMESTAMP AS b")
    assert now["rows"][0][0] == now["rows"][0][1] and abs(now["rows"][0][0] / 1e6 - time.time()) < 60, now
    assert now["schema"][0]["data_type"] == "Timestamp"
    assert "no arguments" in ann.error("SELECT SNOWFLAKE_ID(1)")
    table = world.table("USER", "id BIGINT PRIMARY KEY, who TEXT")
    ann.message(f"INSERT INTO {table} (id, who) VALUES (SNOWFLAKE_ID(), CURRENT_USER()), (SNOWFLAKE_ID(), 'other')")
    assert ann.rows(f"SELECT who FROM {table} WHERE who = CURRENT_USER") == [[ann.user]]
    assert ann.rows("SELECT COSINE_DISTANCE('[1.0, 0.0]', '[0.0, 1.0]')") in ([[1]], [[1.0]])


def test_explain_names_the_engine_and_is_for_administrators(world):
    root, ann = world.root, world.user()
    table = world.table("SHARED", options="ACCESS_LEVEL = 'PUBLIC'")
    native = json.dumps(root.rows(f"EXPLAIN SELECT * FROM {table} WHERE id = 1"))
    assert "native" in native and table in native, native
    engine = json.dumps(root.rows(f"EXPLAIN SELECT body, count(*) FROM {table} GROUP BY body"))
    assert engine != native and table in engine, engine
    root.message(f"INSERT INTO {table} (id) VALUES (1), (2), (3)")
    plan = dict(root.rows(f"EXPLAIN SELECT * FROM {table}"))
    assert plan["estimate"] == f"{table}: about 3 row(s) in reach, all of them are read", plan
    texts = world.table("SHARED", "id TEXT PRIMARY KEY")
    plan = dict(root.rows(f"EXPLAIN SELECT * FROM {texts} WHERE id LIKE 'ab%'"))
    assert "primary key range scan" in plan["physical_plan"], plan
    assert len(root.rows(f"EXPLAIN ANALYZE SELECT * FROM {table}")) >= 1
    assert len(root.rows(f"EXPLAIN VERBOSE SELECT * FROM {table}")) >= 1
    assert len(root.rows("EXPLAIN SELECT * FROM system.users")) >= 1
    for statement in (f"EXPLAIN SELECT * FROM {table}", f"SHOW COLUMNS FROM {table}", "SHOW ALL", "SET x = 1", f"DESC {table}"):
        assert "Admin privileges (DBA or System role) required" in ann.denied(statement), statement
    assert root.rows(f"SHOW COLUMNS FROM {table}") and root.rows("SHOW ALL")
    assert [r[0] for r in root.rows(f"DESCRIBE {table}")][:2] == ["id", "body"]
    status, _ = root.answer("SET datafusion.execution.batch_size TO 1024")
    assert status == 200


def test_pages(world):
    root, table = world.root, world.table("SHARED", "id BIGINT PRIMARY KEY")
    root.message(f"INSERT INTO {table} (id) VALUES " + ", ".join(f"({i})" for i in range(2500)))
    assert len(root.rows(f"SELECT id FROM {table}")) == 2500
    assert [r[0] for r in root.rows(f"SELECT id FROM {table} ORDER BY id LIMIT 3 OFFSET 100")] == ["100", "101", "102"]
    assert [r[0] for r in root.rows(f"SELECT id FROM {table} ORDER BY id DESC LIMIT 2")] == ["2499", "2498"]
    assert root.rows(f"SELECT id FROM {table} LIMIT 0") == []
    assert root.rows(f"SELECT id FROM {table} LIMIT 5 OFFSET 9999") == []


def test_many_readers_at_once(world):
    root, table = world.root, world.table("SHARED")
    root.message(f"INSERT INTO {table} (id, body) VALUES " + ", ".join(f"({i}, 'b')" for i in range(200)))
    wrong = []

    def read():
        for _ in range(5):
            if len(root.rows(f"SELECT * FROM {table}")) != 200:
                wrong.append(1)

    threads = [threading.Thread(target=read) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_how_long_it_took(world):
    _, answer = world.root.answer("SELECT 1")
    assert 0 <= answer["took"] < 10000 and round(answer["took"], 3) == answer["took"], answer


def test_computed_columns_have_names_and_types(world):
    root, table = world.root, world.table("SHARED", "id BIGINT PRIMARY KEY, n INT, d DECIMAL(10,2)")
    root.message(f"INSERT INTO {table} (id, n, d) VALUES (1, 7, 1.25), (2, 2, 0.75)")
    result = root.result(f"SELECT count(*), SUM(n), avg(n), n / 2 AS half FROM {table} GROUP BY n ORDER BY n")
    assert [c["name"] for c in result["schema"]] == ["count(*)", "sum(n)", "avg(n)", "half"], result["schema"]
    assert result["rows"] == [["1", "2", 2.0, "1"], ["1", "7", 7.0, "3"]], result["rows"]
    assert root.rows(f"SELECT sum(d), min(d), max(d) FROM {table}") == [["2.00", "0.75", "1.25"]]
    assert "division by zero" in root.error("SELECT 1 / 0")
    assert root.answer("SELECT 1 / 0")[1]["error"]["details"] == "SELECT 1 / 0"
    assert root.rows("SELECT NULL = NULL, NULL IS NULL, 1 = NULL, coalesce(NULL, 5), nullif(1, 1)") == [[None, True, None, "5", None]]
    assert root.rows("SELECT round(2.345, 2), round(2.5), round(-2.5)") in ([[2.35, 3.0, -3.0]], [[2.35, 3, -3]],
                                                                            [["2.35", "3", "-3"]])
    assert root.rows("SELECT TIMESTAMP '2024-01-01 00:00:00', 'a' || 'b', 1::TEXT, CAST('5' AS INT)") == \
        [[1704067200000000, "ab", "1", 5]]
    assert root.rows(f"SELECT n FROM {table} WHERE d = 1.25") == [[7]]

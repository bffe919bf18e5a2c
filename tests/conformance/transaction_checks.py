"""Transactions inside one request: all or nothing, their own reads, and what they refuse."""
import re
import threading


def test_a_committed_batch_is_there_and_a_rolled_back_one_is_not(world):
    root, table = world.root, world.table("USER")
    results = root.results(f"BEGIN; INSERT INTO {table} (id, body) VALUES (1, 'a'), (2, 'b'); UPDATE {table} SET body = 'c' WHERE id = 2;"
                           f"SELECT body FROM {table} ORDER BY id; COMMIT;")
    assert results[1]["rows"] == [["a"], ["c"]], results
    assert re.fullmatch(r"Transaction started \([0-9a-f-]{36}\)", results[0]["message"]), results
    assert results[2]["message"] == results[0]["message"].replace("started", "committed"), results
    assert [r["message"] for r in results[3:]] == ["Inserted 2 row(s)", "Updated 1 row(s)"], results
    results = root.results(f"START TRANSACTION; DELETE FROM {table} WHERE id = 1; INSERT INTO {table} (id) VALUES (3); ROLLBACK")
    assert "Transaction rolled back (" in results[1]["message"], results
    assert root.rows(f"SELECT id FROM {table}") == [["1"], ["2"]]
    root.results(f"BEGIN; INSERT INTO {table} (id) VALUES (3); COMMIT; BEGIN; INSERT INTO {table} (id) VALUES (4); ROLLBACK;"
                 f"BEGIN; INSERT INTO {table} (id) VALUES (5); COMMIT")
    assert root.rows(f"SELECT id FROM {table}") == [["1"], ["2"], ["3"], ["5"]]


def test_failures_undo_everything(world):
    root, table = world.root, world.table("USER")
    root.message(f"INSERT INTO {table} (id) VALUES (1)")
    message = root.error(f"BEGIN; INSERT INTO {table} (id) VALUES (2); INSERT INTO {table} (id) VALUES (1); COMMIT")
    assert "rimary key violation" in message, message
    root.error(f"BEGIN; INSERT INTO {table} (id) VALUES (3); SELECT nothing FROM {table}; COMMIT")
    message = root.error(f"BEGIN; INSERT INTO {table} (id) VALUES (4)")
    assert message == "Request completed with an open explicit transaction; rolled back automatically", message
    assert root.rows(f"SELECT id FROM {table}") == [["1"]]
    assert "SqlBatch" not in [r[0] for r in root.rows("SELECT origin FROM system.transactions")]


def test_misuse_is_named(world):
    root, table = world.root, world.table("USER")
    message = root.error("BEGIN; BEGIN; COMMIT")
    assert "already has an active transaction" in message and "Conflict: " in message, message
    for word in ("COMMIT", "ROLLBACK"):
        message = root.error(word)
        assert f"{word} requires an active explicit SQL transaction" in message, message
    space = table.split(".")[0]
    for statement in (f"CREATE TABLE {space}.x (id INT PRIMARY KEY)", f"DROP TABLE {table}", "CREATE NAMESPACE inside",
                      f"ALTER TABLE {table} ADD COLUMN a INT", f"CREATE VIEW {space}.v AS SELECT 1"):
        assert "DDL is not allowed inside explicit transaction" in root.error(f"BEGIN; {statement}; COMMIT"), statement
    shared = world.table("SHARED")
    message = root.error(f"BEGIN; INSERT INTO {table} (id) VALUES (1); INSERT INTO {shared} (id) VALUES (1); COMMIT")
    assert "cannot access table" in message and "already bound to" in message, message
    message = root.error(f"BEGIN; SELECT * FROM {shared}; INSERT INTO {table} (id) VALUES (1); COMMIT")
    assert "cannot access table" in message, message
    assert root.rows(f"SELECT * FROM {table}") == [] and root.rows(f"SELECT * FROM {shared}") == []


def test_a_stream_takes_an_insert_of_a_transaction(world):
    root, table = world.root, world.table("STREAM", options="TTL_SECONDS = 600")
    root.results(f"BEGIN; INSERT INTO {table} (id, body) VALUES (1, 'x'); COMMIT")
    assert root.rows(f"SELECT body FROM {table}") == [["x"]]
    root.results(f"BEGIN; INSERT INTO {table} (id) VALUES (2); ROLLBACK")
    assert root.rows(f"SELECT body FROM {table}") == [["x"]]


def test_concurrent_writers_lose_nothing(world):
    root, table = world.root, world.table("SHARED", "id BIGINT PRIMARY KEY, n INT")
    root.message(f"INSERT INTO {table} (id, n) VALUES (1, 0)")
    outcomes = []

    def work(number):
        for _ in range(10):
            root.message(f"UPDATE {table} SET n = n + 1 WHERE id = 1")
        outcomes.append(root.answer(f"INSERT INTO {table} (id, n) VALUES (2, {number})")[0])

    threads = [threading.Thread(target=work, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert root.value(f"SELECT n FROM {table} WHERE id = 1") == 160
    assert sorted(outcomes) == [200] + [400] * 15, outcomes

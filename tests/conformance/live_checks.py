"""Live queries: snapshot, batches, changes with their old values, resume, and everything that is refused."""
import asyncio
import json


async def changes(client, count):
    """The next `count` changes: (kind, row, old values)."""
    found = []
    while len(found) < count:
        message = await client.receive()
        assert message["type"] == "change", message
        found += [(message["change_type"], (message.get("rows") or [None])[0], (message.get("old_values") or [None])[0])]
    return found


async def snapshot(client, name, sql, options):
    """Subscribes and reads all batches: the acknowledgement, the rows, the batch controls."""
    acknowledged = await client.subscribe(name, sql, options)
    assert acknowledged["type"] == "subscription_ack", acknowledged
    rows, controls = [], []
    while True:
        batch = await client.receive()
        assert batch["type"] == "initial_data_batch" and batch["subscription_id"] == name, batch
        rows += batch["rows"]
        controls.append(batch["batch_control"])
        if not batch["batch_control"]["has_more"]:
            return acknowledged, rows, controls
        await client.send({"type": "next_batch", "subscription_id": name, "last_seq_id": controls[-1]["last_seq_id"]})


async def test_snapshot_then_inserts_updates_and_deletes(world):
    for kind in ("USER", "SHARED"):
        ann = world.user("service")
        table = world.table(kind, "id BIGINT PRIMARY KEY, a TEXT, b TEXT")
        ann.message(f"INSERT INTO {table} (id, a, b) VALUES (1, 'one', 'x')")
        client = await ann.live()
        acknowledged, rows, controls = await snapshot(client, "s", f"SELECT * FROM {table}", {})
        assert acknowledged["total_rows"] == 0 and [c["name"] for c in acknowledged["schema"]] == ["id", "a", "b", "_seq", "_deleted"]
        assert [(r["id"], r["a"], r["_deleted"]) for r in rows] == [("1", "one", False)] and rows[0]["_seq"].isdigit(), rows
        assert controls[0]["status"] == "ready" and controls[0]["batch_num"] == 0, controls
        ann.message(f"INSERT INTO {table} (id, a) VALUES (2, 'two')")
        ann.message(f"UPDATE {table} SET a = 'zwei' WHERE id = 2")
        ann.message(f"DELETE FROM {table} WHERE id = 1")
        insert, update, delete = await changes(client, 3)
        assert insert[0] == "insert" and insert[1]["a"] == "two" and insert[1]["b"] is None and insert[2] is None, insert
        assert update[0] == "update" and update[1]["a"] == "zwei" and update[1]["id"] == "2", update
        assert update[2]["a"] == "two" and update[2]["id"] == "2" and "b" not in update[2], update
        assert int(update[1]["_seq"]) > int(update[2]["_seq"]) == int(insert[1]["_seq"]), update
        assert delete[0] == "delete" and delete[1] is None and delete[2]["id"] == "1" and delete[2]["_deleted"] is True, delete
        await client.close()


async def test_streams_deliver_what_arrives(world):
    ann, bob = world.user(), world.user()
    table = world.table("STREAM", options="TTL_SECONDS = 600")
    client = await ann.live()
    await snapshot(client, "s", f"SELECT * FROM {table}", {})
    bob.message(f"INSERT INTO {table} (id, body) VALUES (1, 'not hers')")
    for i in range(3):
        ann.message(f"INSERT INTO {table} (id, body) VALUES ({i}, 'typing')")
    found = await changes(client, 3)
    assert [(k, r["id"], r["body"]) for k, r, _ in found] == [("insert", str(i), "typing") for i in range(3)], found
    assert "_deleted" not in found[0][1], found
    await client.close()


async def test_batches_are_numbered_and_the_last_one_is_ready(world):
    ann, table = world.user(), world.table("USER")
    client = await ann.live()
    _, rows, controls = await snapshot(client, "empty", f"SELECT * FROM {table}", {"batch_size": 10})
    assert rows == [] and [(c["batch_num"], c["status"]) for c in controls] == [(0, "ready")], controls
    await client.close()
    client = await ann.live()
    ann.message(f"INSERT INTO {table} (id) VALUES " + ", ".join(f"({i})" for i in range(25)))
    _, rows, controls = await snapshot(client, "s", f"SELECT * FROM {table}", {"batch_size": 10})
    assert [int(r["id"]) for r in rows] == list(range(25))
    assert [(c["batch_num"], c["has_more"], c["status"]) for c in controls] == [
        (0, True, "loading"), (1, True, "loading_batch"), (2, False, "ready")], controls
    _, rows, controls = await snapshot(client, "last", f"SELECT id FROM {table}", {"last_rows": 3})
    assert [r["id"] for r in rows] == ["22", "23", "24"] and controls[0]["has_more"] is False, rows
    assert (await client.subscribe("none", f"SELECT * FROM {table}"))["batch_control"]["status"] == "ready"
    assert await client.quiet(0.1)
    await client.close()


async def test_filters_and_projections_hold_for_changes_too(world):
    ann, table = world.user(), world.table("USER", "id BIGINT PRIMARY KEY, room TEXT, n INT")
    client = await ann.live()
    acknowledged, rows, _ = await snapshot(
        client, "s", f"SELECT id, room FROM {table} WHERE room LIKE 'a%' AND (n > 5 OR n IS NULL)", {})
    assert [c["name"] for c in acknowledged["schema"]] == ["id", "room"] and rows == []
    ann.message(f"INSERT INTO {table} (id, room, n) VALUES (1, 'b', 9), (2, 'a', 1), (3, 'abc', 9), (4, 'a', NULL)")
    found = await changes(client, 2)
    assert [(k, r["id"]) for k, r, _ in found] == [("insert", "3"), ("insert", "4")], found
    assert set(found[0][1]) == {"id", "room", "_seq", "_deleted"}, found
    ann.message(f"UPDATE {table} SET n = 6 WHERE id = 2")
    ann.message(f"UPDATE {table} SET room = 'z' WHERE id = 3")
    found = await changes(client, 2)
    assert [(k, (r or o)["id"]) for k, r, o in found] == [("insert", "2"), ("delete", "3")], found
    await client.close()
    mine = await ann.live()
    _, rows, _ = await snapshot(mine, "m", f"SELECT * FROM {table} WHERE room <> CURRENT_USER()", {})
    assert len(rows) == 4, rows
    await mine.close()


async def test_resume_replays_only_what_is_new(world):
    ann, table = world.user(), world.table("USER")
    ann.message(f"INSERT INTO {table} (id, body) VALUES (1, 'old'), (2, 'old')")
    client = await ann.live()
    _, rows, _ = await snapshot(client, "s", f"SELECT * FROM {table}", {})
    last = max(int(r["_seq"]) for r in rows)
    await client.close()
    ann.message(f"INSERT INTO {table} (id, body) VALUES (3, 'new')")
    ann.message(f"DELETE FROM {table} WHERE id = 1")
    for value in (last, str(last)):
        client = await ann.live()
        acknowledged, rows, _ = await snapshot(client, "s", f"SELECT * FROM {table}", {"from": value})
        assert rows == [] and acknowledged["batch_control"]["last_seq_id"] is None, (acknowledged, rows)
        found = await changes(client, 2)
        assert [(k, (r or o)["id"]) for k, r, o in found] == [("insert", "3"), ("delete", "1")], found
        assert await client.quiet(0.1)
        await client.close()


async def test_several_subscriptions_survive_reconnects(world):
    ann = world.user()
    tables = [world.table("USER") for _ in range(3)]
    seen = {table: 0 for table in tables}
    for turn in range(3):
        client = await ann.live()
        for table in tables:
            await client.subscribe(table, f"SELECT * FROM {table}", {"from": seen[table]} if turn else {})
            await client.receive()
        for table in tables:
            ann.message(f"INSERT INTO {table} (id) VALUES ({turn})")
        for _ in tables:
            message = await client.receive()
            assert message["change_type"] == "insert" and message["rows"][0]["id"] == str(turn), message
            seen[message["subscription_id"]] = int(message["rows"][0]["_seq"])
        await client.close()


async def test_big_integers_are_texts_in_changes(world):
    ann, table = world.user(), world.table("USER", "id BIGINT PRIMARY KEY, n BIGINT")
    client = await ann.live()
    await snapshot(client, "s", f"SELECT * FROM {table}", {})
    ann.message(f"INSERT INTO {table} (id, n) VALUES (9007199254740993, -9223372036854775808)")
    (_, row, _), = await changes(client, 1)
    assert row["id"] == "9007199254740993" and row["n"] == "-9223372036854775808", row
    await client.close()


async def test_changes_of_a_transaction_come_after_its_commit_and_only_then(world):
    ann, table = world.user(), world.table("USER")
    client = await ann.live()
    await snapshot(client, "s", f"SELECT * FROM {table}", {})
    ann.results(f"BEGIN; INSERT INTO {table} (id) VALUES (1); ROLLBACK")
    ann.error(f"BEGIN; INSERT INTO {table} (id) VALUES (2); INSERT INTO {table} (id) VALUES (2); COMMIT")
    ann.results(f"BEGIN; INSERT INTO {table} (id) VALUES (3); INSERT INTO {table} (id) VALUES (4); COMMIT")
    assert [r["id"] for _, r, _ in await changes(client, 2)] == ["3", "4"]
    await client.close()


async def test_subscriptions_are_listed_and_leave_when_closed(world):
    ann, table = world.user(), world.table("USER")
    listed = (f"SELECT subscription_id, status, table_name, query FROM system.live WHERE user_id = '{ann.user}' "
              "ORDER BY subscription_id")
    client = await ann.live()
    await snapshot(client, "one", f"SELECT * FROM {table}", {})
    await snapshot(client, "two", f"SELECT * FROM {table} WHERE id > 5", {})
    rows = world.root.rows(listed)
    assert [r[:3] for r in rows] == [["one", "active", "t"], ["two", "active", "t"]] and "id > 5" in rows[1][3], rows
    await client.send({"type": "unsubscribe", "subscription_id": "one"})
    await client.send({"type": "unsubscribe", "subscription_id": "never there"})
    for _ in range(100):
        if [r[0] for r in world.root.rows(listed)] == ["two"]:
            break
        await asyncio.sleep(0.05)
    assert [r[0] for r in world.root.rows(listed)] == ["two"]
    ann.message(f"INSERT INTO {table} (id) VALUES (9)")
    assert (await client.receive())["subscription_id"] == "two"
    live_id = world.root.value(f"SELECT live_id FROM system.live WHERE user_id = '{ann.user}'")
    ann.denied(f"KILL LIVE QUERY '{live_id}'")
    assert world.root.message(f"KILL LIVE QUERY '{live_id}'") == f"Live query killed: {live_id}"
    assert (await client.receive())["type"] == "error"
    await snapshot(client, "three", f"SELECT * FROM {table}", {})
    await client.close()
    for _ in range(100):
        if not world.root.rows(listed):
            break
        await asyncio.sleep(0.05)
    assert world.root.rows(listed) == []


async def test_slots_are_limited_per_user_and_become_free(world):
    ann, table = world.user(), world.table("USER")
    limit = int(world.root.value("SELECT value FROM system.settings WHERE name = 'rate_limit.max_subscriptions_per_user'"))
    client = await ann.live()
    for turn in range(2):
        for i in range(limit):
            assert (await client.subscribe(f"s{i}", f"SELECT * FROM {table}"))["type"] == "subscription_ack"
        refused = await client.subscribe("more", f"SELECT * FROM {table}")
        assert refused["code"] == "SUBSCRIPTION_LIMIT_EXCEEDED", refused
        for i in range(limit):
            await client.send({"type": "unsubscribe", "subscription_id": f"s{i}"})
    await client.close()


async def test_what_cannot_be_subscribed_to(world):
    ann = world.user()
    table, private = world.table("USER"), world.table("SHARED")
    client = await ann.live()
    for sql, code in ((f"SELECT * FROM {table} ORDER BY id", "INVALID_SQL"), (f"SELECT * FROM {table} LIMIT 1", "INVALID_SQL"),
                      (f"SELECT count(*) FROM {table}", "INVALID_SQL"), (f"SELECT DISTINCT id FROM {table}", "INVALID_SQL"),
                      (f"SELECT id FROM {table} GROUP BY id", "INVALID_SQL"), (f"WITH x AS (SELECT 1) SELECT * FROM {table}", "INVALID_SQL"),
                      (f"SELECT * FROM {table} a JOIN {table} b ON a.id = b.id", "INVALID_SQL"),
                      (f"SELECT * FROM (SELECT * FROM {table}) q", "INVALID_SQL"),
                      (f"SELECT * FROM {table}; SELECT 1", "INVALID_SQL"), (f"SELECT _seq FROM {table}", "INVALID_SQL"),
                      (f"SELECT * FROM {table} UNION SELECT * FROM {table}", "INVALID_SQL"), ("SELEC", "INVALID_SQL"),
                      (f"SELECT nothing FROM {table}", "INVALID_SQL"), (f"SELECT id + 1 FROM {table}", "INVALID_SQL"),
                      (f"INSERT INTO {table} (id) VALUES (1)", "INVALID_SQL"), ("SELECT * FROM t", "INVALID_SQL"),
                      ("SELECT * FROM nowhere.nothing", "NOT_FOUND"), ("SELECT * FROM system.users", "UNAUTHORIZED"),
                      (f"SELECT * FROM {private}", "UNAUTHORIZED")):
        answer = await client.subscribe("x", sql)
        assert answer["type"] == "error" and answer["subscription_id"] == "x", (sql, answer)
        assert answer["code"] in (code, "UNSUPPORTED") if code == "INVALID_SQL" else answer["code"] == code, (sql, answer)
    assert (await client.subscribe(" ", f"SELECT * FROM {table}"))["code"] == "INVALID_SUBSCRIPTION_ID"
    assert (await client.subscribe("x", f"SELECT * FROM {table}", {"batch_size": 5, "last_rows": 6}))["code"] == "UNSUPPORTED"
    await snapshot(client, "fine", f"SELECT * FROM {table}", {})
    await client.close()


async def test_a_subscription_survives_alter_and_ends_with_drop(world):
    ann, table = world.user(), world.table("USER")
    client = await ann.live()
    await snapshot(client, "s", f"SELECT * FROM {table}", {})
    world.root.message(f"ALTER TABLE {table} ADD COLUMN extra INT")
    ann.message(f"INSERT INTO {table} (id, extra) VALUES (1, 7)")
    (_, row, _), = await changes(client, 1)
    assert row["id"] == "1" and row["extra"] == 7, row
    world.root.message(f"DROP TABLE {table}")
    assert (await client.receive())["type"] == "error"
    await client.close()


async def test_rows_written_for_a_user_reach_that_user_only(world):
    service, ann, bob = world.user("service"), world.user(), world.user()
    table = world.table("USER")
    sockets = [await user.live() for user in (ann, bob, service)]
    for socket in sockets:
        await snapshot(socket, "s", f"SELECT * FROM {table}", {})
    service.message(f"EXECUTE AS USER '{ann.user}' (INSERT INTO {table} (id, body) VALUES (1, 'for ann'))")
    assert (await changes(sockets[0], 1))[0][1]["body"] == "for ann"
    assert await sockets[1].quiet(0.1) and await sockets[2].quiet(0.1)
    for socket in sockets:
        await socket.close()


async def test_before_signing_in_nothing_is_served(world):
    import websockets
    table = world.table("USER")
    socket = await websockets.connect(world.server.url(), ping_interval=None)
    await socket.send(json.dumps({"type": "subscribe", "subscription": {"id": "s", "sql": f"SELECT * FROM {table}"}}))
    answer = json.loads(await asyncio.wait_for(socket.recv(), 5))
    assert (answer["code"], answer["subscription_id"]) == ("AUTH_REQUIRED", "subscribe"), answer
    await socket.send(json.dumps({"type": "ping"}))
    await socket.send(json.dumps({"type": "authenticate", "method": "jwt", "token": "bad"}))
    answer = json.loads(await asyncio.wait_for(socket.recv(), 5))
    assert answer["type"] == "auth_error", answer
    await asyncio.wait_for(socket.wait_closed(), 5)
    assert socket.close_code == 1008


def test_subscribing_in_sql_tells_where_to_connect(world):
    ann, table = world.user(), world.table("USER")
    result = ann.result(f"SUBSCRIBE TO {table} WHERE id > 5 OPTIONS (last_rows = 10)")
    row = dict(zip([c["name"] for c in result["schema"]], result["rows"][0]))
    assert row["status"] == "active" and row["ws_url"].endswith("/v1/ws"), row
    wanted = json.loads(row["subscription"])
    assert wanted["id"].startswith("sub-") and "id > 5" in wanted["sql"] and table in wanted["sql"], wanted
    assert "ORDER BY" in ann.error(f"SUBSCRIBE TO SELECT * FROM {table} ORDER BY id")
    assert "Unknown subscription option: 'x'" in ann.error(f"SUBSCRIBE TO {table} OPTIONS (x = 1)")
    space, name = table.split(".")
    result = ann.result(f"SUBSCRIBE TO {name}", namespace=space)
    wanted = json.loads(dict(zip([c["name"] for c in result["schema"]], result["rows"][0]))["subscription"])
    assert table in wanted["sql"], wanted
    audit = world.root.rows(f"SELECT action FROM system.audit_log WHERE actor_user_id = '{ann.user}' AND action = 'SUBSCRIBE'")
    assert len(audit) == 2, audit


async def test_many_sockets_leave_sql_responsive(world):
    import time
    table = world.table("SHARED", options="ACCESS_LEVEL = 'PUBLIC'")
    users = [world.user() for _ in range(12)]
    sockets = []
    for user in users:
        for _ in range(5):
            client = await user.live()
            assert (await client.subscribe("s", f"SELECT * FROM {table}"))["type"] == "subscription_ack"
            sockets.append(client)
    begin = time.monotonic()
    for i in range(20):
        world.root.message(f"INSERT INTO {table} (id) VALUES ({i})")
        assert len(users[0].rows(f"SELECT id FROM {table}")) == i + 1
    assert time.monotonic() - begin < 10
    for client in sockets:
        assert [row["id"] for _, row, _ in await changes(client, 20)] == [str(i) for i in range(20)]
        await client.close()


async def test_a_large_snapshot_comes_whole_while_rows_change(world):
    ann, table = world.user(), world.table("USER")
    ann.message(f"INSERT INTO {table} (id, body) VALUES " + ", ".join(f"({i}, 'old')" for i in range(3000)))
    client = await ann.live()
    acknowledged = await client.subscribe("s", f"SELECT * FROM {table}", {"batch_size": 250})
    assert acknowledged["type"] == "subscription_ack", acknowledged
    rows, batches = {}, 0
    while True:
        message = await client.receive()
        if message["type"] == "change":
            row = message["rows"][0]
            rows[row["id"]] = row["body"]
            if len([body for body in rows.values() if body == "new"]) == 11:
                break
            continue
        batches += 1
        for row in message["rows"]:
            assert row["id"] not in rows, row
            rows[row["id"]] = row["body"]
        if batches < 12:
            ann.message(f"UPDATE {table} SET body = 'new' WHERE id = {3000 - batches}")
        if message["batch_control"]["has_more"]:
            await client.send({"type": "next_batch", "subscription_id": "s", "last_seq_id": message["batch_control"]["last_seq_id"]})
    assert len(rows) == 3000 and sorted(k for k, v in rows.items() if v == "new") == [str(i) for i in range(2989, 3000)]
    await client.close()

"""Who may do what: roles, users, own rows, access levels of shared tables, EXECUTE AS, and what refusals tell."""
import base64
import hashlib
import hmac
import json
import os
import time

SYSTEM_REFUSED = "System tables require 'dba' or 'system' role."


def test_users_see_change_and_delete_only_their_own_rows(world):
    root, ann, bob = world.root, world.user(), world.user()
    table = world.table("USER")
    for user in (ann, bob, root):
        user.message(f"INSERT INTO {table} (id, body) VALUES (1, '{user.user} 1'), (2, '{user.user} 2')")
    assert ann.rows(f"SELECT body FROM {table} ORDER BY id") == [[f"{ann.user} 1"], [f"{ann.user} 2"]]
    assert ann.message(f"UPDATE {table} SET body = 'mine' WHERE id > 0") == "Updated 2 row(s)"
    assert bob.message(f"DELETE FROM {table} WHERE id = 1") == "Deleted 1 row(s)"
    assert ann.rows(f"SELECT body FROM {table} ORDER BY id") == [["mine"], ["mine"]]
    assert bob.rows(f"SELECT body FROM {table}") == [[f"{bob.user} 2"]]
    assert root.rows(f"SELECT body FROM {table} ORDER BY id") == [["root 1"], ["root 2"]]
    stream = world.table("STREAM", options="TTL_SECONDS = 600")
    ann.message(f"INSERT INTO {stream} (id, body) VALUES (1, 'a')")
    assert bob.rows(f"SELECT * FROM {stream}") == [] and len(ann.rows(f"SELECT * FROM {stream}")) == 1


def test_system_tables_are_for_administrators_whatever_surrounds_them(world):
    for user in (world.user(), world.user("service")):
        for statement in ("SELECT * FROM system.users", "SELECT * FROM (SELECT user_id FROM system.users) u",
                          "WITH u AS (SELECT * FROM system.users) SELECT * FROM u",
                          "SELECT 'x' UNION SELECT user_id FROM system.users", "SELECT 1 WHERE EXISTS (SELECT 1 FROM system.users)",
                          "SELECT (SELECT count(*) FROM system.users)", "SELECT * FROM system.system_users",
                          "SELECT * FROM kalam.system.users", "SELECT 1; SELECT * FROM system.audit_log",
                          "SELECT * FROM system.jobs", "SELECT * FROM system.live", "SELECT * FROM system.stats"):
            assert SYSTEM_REFUSED in user.denied(statement), statement
        user.denied("EXPLAIN SELECT * FROM system.users")
        user.denied("CREATE VIEW default.v AS SELECT * FROM system.users")


def test_ordinary_users_see_the_tables_that_concern_them(world):
    ann, public, private = world.user(), world.table("SHARED", options="ACCESS_LEVEL = 'PUBLIC'"), world.table("SHARED")
    listed = {f"{r['namespace_id']}.{r['table_name']}" for r in ann.objects("SELECT * FROM system.tables")}
    assert public in listed and private not in listed and "system.users" not in listed
    assert ann.rows("SELECT name FROM system.namespaces LIMIT 1")
    shown = {f"{r['namespace_id']}.{r['table_name']}" for r in ann.objects("SHOW TABLES")}
    assert public in shown and private not in shown
    space = public.split(".")[0]
    assert [r["table_name"] for r in ann.objects(f"SHOW TABLES IN NAMESPACE {space}")] == ["t"]
    assert [r["table_name"] for r in ann.objects(f"SHOW TABLES IN {space}")] == ["t"]


def test_access_levels_of_shared_tables(world):
    sessions = {"user": world.user(), "service": world.user("service"), "dba": world.user("dba")}
    may_read = {"PUBLIC": "user service dba", "PRIVATE": "service dba", "RESTRICTED": "service dba", "DBA": "dba"}
    may_write = {"PUBLIC": "service dba", "PRIVATE": "service dba", "RESTRICTED": "service dba", "DBA": "dba"}
    for level in may_read:
        table = world.table("SHARED", options=f"ACCESS_LEVEL = '{level}'")
        for number, (role, session) in enumerate(sessions.items()):
            insert = f"INSERT INTO {table} (id) VALUES ({number})"
            if role in may_write[level].split():
                session.message(insert)
            else:
                message = session.denied(insert)
                refused = f"Access denied: Role '{role.capitalize()}' cannot access table '{table}'. Shared table write denied"
                assert refused in message, message
            if role in may_read[level].split():
                session.rows(f"SELECT * FROM {table}")
            else:
                assert f"Shared table access denied (access_level={level.capitalize() if level != 'DBA' else 'Dba'})" in \
                    session.denied(f"SELECT * FROM {table}")
    default = world.table("SHARED")
    sessions["user"].denied(f"SELECT * FROM {default}")
    sessions["service"].rows(f"SELECT * FROM {default}")


def test_what_each_role_may_define(world):
    user, service, space = world.user(), world.user("service"), world.namespace()
    user.message(f"CREATE USER TABLE {space}.mine (id INT PRIMARY KEY)")
    user.message(f"CREATE STREAM TABLE {space}.stream (id INT) WITH (TTL_SECONDS = 5)")
    user.denied(f"CREATE SHARED TABLE {space}.ours (id INT PRIMARY KEY)")
    service.message(f"CREATE SHARED TABLE {space}.ours (id INT PRIMARY KEY)")
    user.message(f"ALTER TABLE {space}.mine ADD COLUMN a INT")
    user.denied(f"ALTER TABLE {space}.ours ADD COLUMN a INT")
    service.message(f"ALTER TABLE {space}.ours ADD COLUMN a INT")
    for session in (user, service):
        for statement in (f"CREATE NAMESPACE {space}2", f"DROP NAMESPACE {space}", f"DROP TABLE {space}.mine",
                          f"CREATE USER '{space}' WITH PASSWORD 'x' ROLE 'user'", f"DROP USER '{user.user}'",
                          "ALTER USER 'root' SET PASSWORD 'x'", "KILL JOB 'x'", "KILL LIVE QUERY 'x'",
                          "CREATE STORAGE x TYPE filesystem PATH '/tmp/x'", "CREATE NAMESPACE",
                          f"ALTER NAMESPACE {space} SET OPTIONS (a = 1)"):
            session.denied(statement)
    user.rows("SHOW NAMESPACES"), user.rows("SHOW STORAGES"), user.rows(f"DESCRIBE TABLE {space}.mine")
    user.rows(f"SHOW STATS FOR TABLE {space}.mine")


def test_a_batch_with_something_forbidden_does_nothing(world):
    user, table = world.user(), world.table("USER")
    user.denied(f"INSERT INTO {table} (id) VALUES (1); CREATE NAMESPACE never; INSERT INTO {table} (id) VALUES (2)")
    user.denied(f"INSERT INTO {table} (id) VALUES (1); EXECUTE AS USER 'root' (SELECT 1)")
    assert user.rows(f"SELECT * FROM {table}") == []


def test_errors_tell_users_nothing_about_what_they_may_not_see(world):
    root, user = world.root, world.user()
    status, answer = user.answer("SELECT * FROM nowhere.nothing")
    assert status == 400 and answer["error"] == {"code": "SQL_EXECUTION_ERROR", "message": "SQL statement failed"}, answer
    status, answer = root.answer("SELECT * FROM nowhere.nothing")
    message = answer["error"]["message"]
    assert "nowhere" in message and "nothing" in message and answer["error"]["details"] == "SELECT * FROM nowhere.nothing", answer
    table = world.table("USER")
    assert "nothing" in user.error(f"SELECT nothing FROM {table}")
    assert "rimary key violation" in user.error(f"INSERT INTO {table} (id) VALUES (1), (1)")
    assert "details" not in user.answer("SELEC 1")[1]["error"]


def test_secrets_are_masked(world):
    root, user = world.root, world.user()
    for row in user.objects("SHOW STORAGES"):
        assert row["credentials"] in (None, "***"), row
    table = world.table("USER", "id INT PRIMARY KEY, password_hash TEXT, credentials TEXT")
    user.message(f"INSERT INTO {table} (id, password_hash) VALUES (1, 'secret')")
    assert user.rows(f"SELECT password_hash, credentials FROM {table}") == [["***", None]]
    root.message(f"INSERT INTO {table} (id, password_hash) VALUES (1, 'secret')")
    assert root.rows(f"SELECT password_hash FROM {table}") == [["secret"]]
    audit = json.dumps(root.rows("SELECT * FROM system.audit_log"))
    assert user.password not in audit
    root.message(f"ALTER USER '{user.user}' SET PASSWORD 'another-one-9'")
    audit = json.dumps(root.rows(f"SELECT * FROM system.audit_log WHERE target LIKE '%{user.user}%'"))
    assert "SetPassword([REDACTED])" in audit and "another-one-9" not in audit, audit


def test_acting_for_others(world):
    user, service, dba, ann = world.user(), world.user("service"), world.user("dba"), world.user()
    table = world.table("USER")

    for actor in (service, dba, world.root):
        text = f"EXECUTE AS USER '{ann.user}' (INSERT INTO {table} (id, body) VALUES (SNOWFLAKE_ID(), CURRENT_USER()))"
        assert actor.result(text) == {"row_count": 1, "message": "Inserted 1 row(s)", "as_user": ann.user}
        assert actor.rows(f"SELECT * FROM {table}") == []
    assert ann.rows(f"SELECT DISTINCT body FROM {table}") == [[ann.user]]
    assert service.rows(f"EXECUTE AS USER {ann.user} (SELECT count(*), CURRENT_ROLE() FROM {table})") == [["3", "user"]]
    assert service.message(f"EXECUTE AS USER '{ann.user}' (UPDATE {table} SET body = $1 WHERE body = $2)",
                           ["changed", ann.user]) == "Updated 3 row(s)"
    assert service.message(f"EXECUTE AS USER '{ann.user}' (DELETE FROM {table} WHERE body = 'changed')") == "Deleted 3 row(s)"
    message = user.denied(f"EXECUTE AS USER '{ann.user}' (SELECT 1)")
    assert f"actor '{user.user}' with role User cannot target '{ann.user}' with role User" in message, message
    user.rows(f"EXECUTE AS USER '{user.user}' (SELECT 1)")
    for actor, target in ((service, dba), (service, world.root), (dba, world.root)):
        actor.denied(f"EXECUTE AS USER '{target.user}' (SELECT 1)")
    dba.rows(f"EXECUTE AS USER '{service.user}' (SELECT 1)")
    # Somebody the server does not know is an ordinary user.
    unknown = world.name("unknown")
    assert service.rows(f"EXECUTE AS USER '{unknown}' (SELECT CURRENT_USER(), CURRENT_ROLE())") == [[unknown, "user"]]
    shared = world.table("SHARED", options="ACCESS_LEVEL = 'PUBLIC'")
    message = service.error(f"EXECUTE AS USER '{ann.user}' (INSERT INTO {shared} (id) VALUES (1))")
    assert message.endswith("AS USER impersonation is only supported for USER and STREAM tables."), message
    service.rows(f"EXECUTE AS USER '{ann.user}' (SELECT * FROM {shared})")
    private = world.table("SHARED")
    service.denied(f"EXECUTE AS USER '{ann.user}' (SELECT * FROM {private})")
    stream = world.table("STREAM", options="TTL_SECONDS = 600")
    service.message(f"EXECUTE AS USER '{ann.user}' (INSERT INTO {stream} (id) VALUES (1))")
    assert len(ann.rows(f"SELECT * FROM {stream}")) == 1
    for text, part in (("EXECUTE AS USER 'x' (SELECT 1; SELECT 2)", "single SQL statement"),
                       ("EXECUTE AS USER 'x' SELECT 1", "must wrap SQL in parentheses"),
                       ("EXECUTE AS USER 'x' (SELECT 1", "missing closing ')'"),
                       ("EXECUTE AS USER '' (SELECT 1)", "username cannot be empty"),
                       ("EXECUTE AS USER 'x' ()", "non-empty inner SQL"), ("EXECUTE AS USER 'a/b' (SELECT 1)", "")):
        assert part in service.error(text, code="INVALID_INPUT"), text


def test_acting_for_others_is_audited(world):
    service, dba, ann = world.user("service"), world.user("dba"), world.user()
    service.rows(f"EXECUTE AS USER '{ann.user}' (SELECT 1)")
    service.denied(f"EXECUTE AS USER '{dba.user}' (SELECT 1)")
    rows = world.root.rows("SELECT action, subject_user_id, details FROM system.audit_log "
                           f"WHERE actor_user_id = '{service.user}' AND action LIKE 'EXECUTE%' ORDER BY timestamp")
    assert [r[:2] for r in rows] == [["EXECUTE_AS_USER", ann.user], ["EXECUTE_AS_USER_DENIED", dba.user]], rows
    assert "role_not_allowed" in rows[1][2], rows


def test_the_life_of_a_user(world):
    root, name = world.root, world.name("person")
    create = f"CREATE USER '{name}' WITH PASSWORD 'first-pass-1' ROLE 'developer' EMAIL 'p@example.com'"
    assert root.message(create) == f"User '{name}' created"
    assert root.error(create) == f"Already exists: User '{name}' already exists"
    row = root.objects(f"SELECT * FROM system.users WHERE user_id = '{name}'")[0]
    assert (row["role"], row["email"], row["auth_type"], row["deleted_at"]) == ("service", "p@example.com", "Password", None), row
    assert row["password_hash"].startswith("$2"), row
    token = world.server.login(name, "first-pass-1")

    def works():
        return world.server.request("POST", "/v1/api/sql", {"sql": "SELECT 1"}, {
            "Authorization": "Bearer " + token, "Content-Type": "application/json"})[0] == 200

    assert works()
    assert root.message(f"ALTER USER '{name}' SET EMAIL 'q@example.com'") == f"User '{name}' updated" and works()
    root.message(f"ALTER USER '{name}' SET ROLE 'user'")
    assert not works()
    token = world.server.login(name, "first-pass-1")
    root.message(f"ALTER USER '{name}' SET PASSWORD 'second-pass-2'")
    assert not works()
    token = world.server.login(name, "second-pass-2")
    assert root.message(f"DROP USER '{name}'") == f"User '{name}' dropped (soft delete)"
    assert not works()
    assert world.server.request("POST", "/v1/api/auth/login", {"user": name, "password": "second-pass-2"})[0] == 401
    assert root.value(f"SELECT deleted_at IS NOT NULL FROM system.users WHERE user_id = '{name}'") is True
    assert root.message(f"DROP USER IF EXISTS '{name}x'") == f"User '{name}x' does not exist (skipped)"
    assert root.error(f"DROP USER '{name}x'") == f"Not found: User '{name}x' not found"
    assert "Invalid role 'boss'" in root.error(f"CREATE USER '{name}y' WITH PASSWORD 'x' ROLE 'boss'")
    for bad in ("a/b", "..", "a\\b", ""):
        root.error(f"CREATE USER '{bad}' WITH PASSWORD 'some-pass-1' ROLE 'user'")
    provider = '{"provider":"google","subject":"s-1"}'
    root.message(f"CREATE USER '{name}o' WITH OAUTH '{provider}' ROLE 'user'")
    assert root.value(f"SELECT auth_type FROM system.users WHERE user_id = '{name}o'") == "OAuth"
    assert world.server.request("POST", "/v1/api/auth/login", {"user": name + "o", "password": ""})[0] == 401
    assert "'provider' field" in root.error(f"CREATE USER '{name}p' WITH OAUTH '{{\"subject\":\"x\"}}' ROLE 'user'")
    dba = world.user("dba")
    dba.error(f"CREATE USER '{name}s' WITH PASSWORD 'some-pass-1' ROLE 'system'", status=403)
    dba.error("ALTER USER 'root' SET PASSWORD 'some-pass-1'", status=403)
    dba.error(f"ALTER USER '{dba.user}' SET ROLE 'system'", status=403)


def forged(claims, secret=b"x" * 32, header=None):
    def part(value):
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")
    text = part(header or {"typ": "JWT", "alg": "HS256"}) + b"." + part(claims)
    return (text + b"." + base64.urlsafe_b64encode(hmac.new(secret, text, hashlib.sha256).digest()).rstrip(b"=")).decode()


def test_tokens_that_are_not_good_are_refused(world):
    server, ann = world.server, world.user()
    with open(os.path.join(server.directory, "jwt_secret"), "rb") as file:
        secret = file.read().strip()
    now = int(time.time())
    good = {"sub": ann.user, "iss": "kalamdb", "iat": now, "exp": now + 600, "role": "user", "token_type": "access"}

    def answer(token):
        status, _, body = server.request("POST", "/v1/api/sql", {"sql": "SELECT 1"}, {
            "Authorization": "Bearer " + token, "Content-Type": "application/json"})
        return status, body["error"]["code"] if status != 200 else None

    assert answer(forged(good, secret))[0] == 200, "the secret of the data directory signs"
    for change in ({"role": "dba"}, {"sub": "nobody-here"}, {"sub": ""}, {"iss": "elsewhere"}, {"token_type": "refresh"},
                   {"nbf": now + 600}, {"iat": now + 600}):
        assert answer(forged(dict(good, **change), secret)) == (401, "INVALID_CREDENTIALS"), change
    assert answer(forged(dict(good, exp=now - 120), secret)) == (401, "TOKEN_EXPIRED")
    assert answer(forged(good)) == (401, "INVALID_CREDENTIALS")
    assert answer(forged(good, secret, {"typ": "JWT", "alg": "none"})) == (401, "INVALID_CREDENTIALS")
    assert answer(forged({k: v for k, v in good.items() if k != "sub"}, secret)) == (401, "INVALID_CREDENTIALS")
    assert answer(forged({k: v for k, v in good.items() if k != "exp"}, secret)) == (401, "INVALID_CREDENTIALS")
    assert answer("a.b.c") == (401, "INVALID_CREDENTIALS") and answer("x" * 5000)[0] == 401


def test_sign_in_does_not_tell_who_exists(world):
    ann = world.user()
    answers = [world.server.request("POST", "/v1/api/auth/login", {"user": user, "password": "wrong-password"})
               for user in (ann.user, "nobody-of-this-name")]
    assert answers[0][0] == answers[1][0] == 401 and answers[0][2] == answers[1][2], answers
    for body in ("", "{", "[]", '{"user":"x"}', '{"user":1,"password":2}', '{"user":"' + "x" * 200 + '","password":"y"}'):
        status = world.server.request("POST", "/v1/api/auth/login", body, raw=True)[0]
        assert 400 <= status < 500, (body, status)


def test_sql_that_is_too_long(world):
    text = "SELECT '" + "x" * (1 << 20) + "'"
    message = world.root.error(text, code="INVALID_SQL")
    assert message == f"SQL query too long: {len(text)} bytes (maximum 1048576 bytes)" or message.endswith(
        f"SQL query too long: {len(text)} bytes (maximum 1048576 bytes)"), message

"""HTTP over real sockets: health, sign-in, SQL answers and errors, limits, CORS, bad input."""
import json
import socket
import time

from server_process import FAST, ROOT_PASSWORD, UNLIMITED, ServerProcess, run_tests

JSON = {"Content-Type": "application/json"}


def exchange(server, data, seconds=5):
    """Sends raw bytes and returns everything until the server closes or is silent."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=seconds) as connection:
        connection.sendall(data)
        answer = b""
        try:
            while chunk := connection.recv(65536):
                answer += chunk
        except (socket.timeout, ConnectionResetError):
            pass
        return answer


def test_health_and_unknown_paths():
    with ServerProcess(FAST) as server:
        status, _, body = server.request("GET", "/health")
        assert status == 200 and body["status"] == "healthy" and body["api_version"] == "v1"
        assert server.request("GET", "/v1/api/healthcheck")[0] == 200
        status, _, body = server.request("GET", "/v1/api/cluster/health")
        assert status == 200 and body["is_cluster_mode"] is False and len(body["nodes"]) == 1
        status, _, body = server.request("GET", "/nothing")
        assert status == 404 and body["error"] == "NOT_FOUND"
        status, answer, body = server.request("DELETE", "/health")
        assert status == 405 and answer.getheader("Allow") == "GET" and "message" in body
        status, _, content = server.request("HEAD", "/health", raw=True)
        assert status == 200 and content == b""
        for method, path in (("POST", "/v1/api/topics/consume"), ("GET", "/ui/")):
            status, _, content = server.request(method, path, raw=True)
            assert status == 400 and b"NOT_AVAILABLE" in content, (path, content)
        # A proxy that names another client is not this machine.
        assert server.request("GET", "/health", headers={"X-Forwarded-For": "9.9.9.9"})[0] == 403


def test_setup_login_me_refresh_logout():
    with ServerProcess(FAST, {"KALAMDB_ROOT_PASSWORD": None}) as server:
        assert server.request("GET", "/v1/api/auth/status")[2]["needs_setup"] is True
        status, _, body = server.request("POST", "/v1/api/auth/login", {"user": "root", "password": ""})
        assert status == 428 and body["error"] == "setup_required", body
        setup = {"user": "ann", "password": "ann-password-1", "root_password": ROOT_PASSWORD, "email": "a@b.c"}
        assert server.request("POST", "/v1/api/auth/setup", dict(setup, password="short"))[2]["error"] == "weak_password"
        assert server.request("POST", "/v1/api/auth/setup", dict(setup, user="root"))[2]["error"] == "invalid_user"
        assert server.request("POST", "/v1/api/auth/setup", dict(setup, extra="x"))[0] == 400
        status, _, _ = server.request("POST", "/v1/api/auth/setup", setup, {"X-Forwarded-For": "9.9.9.9"})
        assert status == 403
        status, _, body = server.request("POST", "/v1/api/auth/setup", setup)
        assert status == 200 and body["user"]["id"] == "ann" and body["user"]["role"] == "dba", body
        assert server.request("POST", "/v1/api/auth/setup", setup)[2]["error"] == "already_configured"
        assert server.request("GET", "/v1/api/auth/status")[2]["needs_setup"] is False

        status, answer, body = server.request("POST", "/v1/api/auth/login",
                                              {"username": "ann", "password": "ann-password-1"})
        assert status == 200 and body["admin_ui_access"] is True, body
        cookies = answer.msg.get_all("Set-Cookie")
        assert len(cookies) == 2 and all("HttpOnly" in c and "SameSite=Strict" in c for c in cookies)
        assert "Secure" not in cookies[0]
        bearer = {"Authorization": "Bearer " + body["access_token"]}
        me = server.request("GET", "/v1/api/auth/me", headers=bearer)[2]
        assert me["user"]["id"] == "ann" and me["user"]["email"] == "a@b.c" and me["user"]["created_at"].endswith("+00:00")
        assert server.request("GET", "/v1/api/auth/me", headers={"Cookie": "kalamdb_auth=" + body["access_token"]})[0] == 200
        status, _, fresh = server.request("POST", "/v1/api/auth/refresh",
                                          headers={"Cookie": "x=y; kalamdb_refresh=" + body["refresh_token"]})
        assert status == 200 and fresh["user"]["id"] == "ann", fresh
        assert server.request("POST", "/v1/api/auth/refresh", headers=bearer)[0] == 401  # an access token
        assert server.request("POST", "/v1/api/auth/refresh")[0] == 401

        bearer = {"Authorization": "Bearer " + fresh["access_token"]}
        assert server.request("POST", "/v1/api/auth/logout", headers=bearer)[0] == 200
        assert server.request("GET", "/v1/api/auth/me", headers=bearer)[0] == 401
        assert server.request("POST", "/v1/api/sql", {"sql": "SELECT 1"}, dict(JSON, **bearer))[0] == 401
        status, _, body = server.request("POST", "/v1/api/auth/login", {"user": "ann", "password": "wrong"})
        assert status == 401 and body == {"error": "unauthorized", "message": "Invalid credentials"}
        assert server.request("POST", "/v1/api/auth/login", "{", raw=True)[0] == 400


def test_answers_of_sql():
    with ServerProcess(UNLIMITED) as server:
        root = server.login()
        server.sql(root, "CREATE NAMESPACE shop")
        server.sql(root, "CREATE TABLE shop.items (id BIGINT PRIMARY KEY, title TEXT, price DECIMAL(10,2), at TIMESTAMP) "
                         "WITH (TYPE='USER')")
        answer = server.sql(root, "INSERT INTO shop.items VALUES (42, 'Lamp', 19.9, '2026-01-01T00:00:00Z')")
        result = answer["results"][0]
        assert result == {"row_count": 1, "message": "Inserted 1 row(s)", "as_user": "root"} and "error" not in answer
        answer = server.sql(root, "SELECT id, title, price, at FROM items WHERE id = $1", [42], namespace="shop")
        assert answer["status"] == "success" and answer["error"] is None and answer["took"] >= 0
        result = answer["results"][0]
        assert result["schema"] == [
            {"name": "id", "data_type": "BigInt", "index": 0, "flags": ["pk", "nn", "uq"]},
            {"name": "title", "data_type": "Text", "index": 1},
            {"name": "price", "data_type": {"Decimal": {"precision": 10, "scale": 2}}, "index": 2},
            {"name": "at", "data_type": "Timestamp", "index": 3}]
        assert result["rows"] == [["42", "Lamp", "19.90", 1767225600000000]] and result["row_count"] == 1
        empty = server.sql(root, "SELECT id FROM shop.items WHERE id = 1")["results"][0]
        assert empty["rows"] == [] and empty["row_count"] == 0 and empty["schema"]
        batch = server.sql(root, "INSERT INTO shop.items (id) VALUES (1); CREATE NAMESPACE n2; "
                                 "INSERT INTO shop.items (id) VALUES (2)")
        assert [r["message"] for r in batch["results"]] == ["Namespace 'n2' created successfully", "Inserted 2 row(s)"]

        form = ("--b\r\nContent-Disposition: form-data; name=\"sql\"\r\n\r\nSELECT $1\r\n"
                "--b\r\nContent-Disposition: form-data; name=\"params\"\r\n\r\n[7]\r\n--b--\r\n")
        headers = {"Authorization": "Bearer " + root, "Content-Type": "multipart/form-data; boundary=b"}
        status, _, body = server.request("POST", "/v1/api/sql", form, headers)
        assert status == 200 and body["results"][0]["rows"] in ([["7"]], [[7]]), body


def test_large_results_stream():
    with ServerProcess(UNLIMITED) as server:
        root = server.login()
        server.sql(root, "CREATE NAMESPACE big")
        server.sql(root, "CREATE TABLE big.t (id BIGINT PRIMARY KEY, body TEXT) WITH (TYPE='USER')")
        for begin in range(0, 5000, 500):
            values = ", ".join(f"({i}, '{'x' * 200}')" for i in range(begin, begin + 500))
            server.sql(root, f"INSERT INTO big.t (id, body) VALUES {values}")
        status, answer, content = server.request(
            "POST", "/v1/api/sql", {"sql": "SELECT id, body FROM big.t ORDER BY id"},
            dict(JSON, Authorization="Bearer " + root), raw=True)
        assert status == 200 and answer.getheader("Transfer-Encoding") == "chunked"
        body = json.loads(content)
        result = body["results"][0]
        assert body["status"] == "success" and result["row_count"] == 5000
        assert [row[0] for row in result["rows"]] == [str(i) for i in range(5000)]
        # A client that goes away in the middle harms nobody.
        with socket.create_connection(("127.0.0.1", server.port)) as gone:
            text = json.dumps({"sql": "SELECT * FROM big.t"})
            gone.sendall((f"POST /v1/api/sql HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {root}\r\n"
                          f"Content-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n{text}").encode())
            gone.recv(100)
        assert server.request("GET", "/health")[0] == 200


def test_errors_of_sql():
    with ServerProcess(UNLIMITED) as server:
        root = server.login()
        server.sql(root, "CREATE USER 'bob' WITH PASSWORD 'bob-password-1' ROLE 'user'")
        bob = server.login("bob", "bob-password-1")

        def error(token, body, headers=None, expect=400):
            all_headers = dict(JSON, **({"Authorization": "Bearer " + token} if token else {}))
            all_headers.update(headers or {})
            status, _, answer = server.request("POST", "/v1/api/sql", body, all_headers)
            assert status == expect, (status, answer)
            assert answer["status"] == "error" and answer["results"] == [] and "took" in answer, answer
            return answer["error"]

        assert error("", {"sql": "SELECT 1"}, expect=401)["code"] == "MISSING_AUTHORIZATION"
        assert error("x.y.z", {"sql": "SELECT 1"}, expect=401)["code"] == "INVALID_CREDENTIALS"
        assert error("", {"sql": "SELECT 1"}, {"Authorization": "Basic cm9vdDp4"}, 401)["code"] == "INVALID_CREDENTIALS"
        assert error(root, "{", )["code"] == "INVALID_INPUT"
        assert error(root, "{}")["code"] == "INVALID_INPUT"
        assert error(root, {"sql": "SELECT 1"}, {"Content-Type": "text/plain"})["code"] == "INVALID_INPUT"
        assert error(root, {"sql": "  "})["code"] == "EMPTY_SQL"
        assert error(root, {"sql": "SELECT $1", "params": [[1]]})["code"] == "INVALID_PARAMETER"
        assert error(root, {"sql": "SELECT 1; SELECT $1", "params": [1]})["code"] == "PARAMS_WITH_BATCH"
        assert error(root, {"sql": "SELECT '" + "x" * (1 << 20) + "'"})["code"] == "INVALID_SQL"
        mine = error(root, {"sql": "SELECT * FROM no.such"})
        assert mine["code"] == "SQL_EXECUTION_ERROR" and mine["details"] == "SELECT * FROM no.such"
        theirs = error(bob, {"sql": "SELECT * FROM no.such"})
        assert theirs == {"code": "SQL_EXECUTION_ERROR", "message": "SQL statement failed"}, theirs
        assert error(bob, {"sql": "CREATE NAMESPACE x"}, expect=403)["code"] == "PERMISSION_DENIED"


def test_malformed_http():
    with ServerProcess(FAST + "[performance]\nclient_request_timeout = 1\n") as server:
        def status_of(data):
            answer = exchange(server, data)
            assert answer.startswith(b"HTTP/1.1 "), answer[:100]
            assert b"Connection: close" in answer and b'"message"' in answer, answer
            return int(answer[9:12])

        assert status_of(b"nonsense\r\n\r\n") == 400
        assert status_of(b"GET / HTTP/1.1\r\n\r\n") == 400
        assert status_of(b"GET / HTTP/4.0\r\nHost: h\r\n\r\n") == 505
        assert status_of(b"GET /" + b"a" * 20000 + b" HTTP/1.1\r\nHost: h\r\n\r\n") == 414
        assert status_of(b"GET / HTTP/1.1\r\nHost: h\r\nA: " + b"a" * 20000 + b"\r\n\r\n") == 431
        assert status_of(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999\r\n\r\n") == 413
        assert status_of(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nfffffff\r\n") == 413
        assert status_of(b"GET / HTTP/1.1\r\nHo") == 408  # never finished
        # HTTP/2 without asking: SETTINGS, then GOAWAY with HTTP_1_1_REQUIRED.
        answer = exchange(server, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        assert answer[3] == 4 and answer[9 + 3] == 7 and b"use HTTP/1.1" in answer, answer
        # Two requests at once, and a body that waits to be asked for.
        answer = exchange(server, b"GET /health HTTP/1.1\r\nHost: h\r\n\r\nGET /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        assert answer.index(b"200 OK") < answer.index(b"404 Not Found")
        with socket.create_connection(("127.0.0.1", server.port), timeout=5) as asking:
            asking.sendall(b"POST /v1/api/auth/login HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n"
                           b"Expect: 100-continue\r\n\r\n")
            assert asking.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
            asking.sendall(b"{}")
            assert asking.recv(100).startswith(b"HTTP/1.1 401")
        assert server.request("GET", "/health")[0] == 200


def test_cross_origin_rules():
    config = FAST + '[security.cors]\nallowed_origins = ["https://app.example"]\n'
    with ServerProcess(config) as server:
        origin = {"Origin": "https://app.example"}
        _, answer, _ = server.request("GET", "/health", headers=origin)
        assert answer.getheader("Access-Control-Allow-Origin") == "https://app.example"
        assert answer.getheader("Access-Control-Allow-Credentials") == "true"
        _, answer, _ = server.request("GET", "/health", headers={"Origin": "https://evil.example"})
        assert answer.getheader("Access-Control-Allow-Origin") is None
        status, answer, _ = server.request("OPTIONS", "/v1/api/sql", headers=dict(
            origin, **{"Access-Control-Request-Method": "POST"}), raw=True)
        assert status == 200 and "POST" in answer.getheader("Access-Control-Allow-Methods")
        assert answer.getheader("Access-Control-Max-Age") == "3600"
        status, _, _ = server.request("OPTIONS", "/v1/api/sql", headers={
            "Origin": "https://evil.example", "Access-Control-Request-Method": "POST"})
        assert status == 403


def test_limits_per_user_and_address():
    config = FAST + ("[rate_limit]\nmax_queries_per_sec = 3\nmax_requests_per_ip_per_sec = 5\n"
                     "max_auth_requests_per_ip_per_sec = 2\n")
    with ServerProcess(config) as server:
        root = server.login()
        headers = dict(JSON, Authorization="Bearer " + root)
        statuses = [server.request("POST", "/v1/api/sql", {"sql": "SELECT 1"}, headers)[0] for _ in range(6)]
        assert statuses[0] == 200 and 429 in statuses, statuses
        # This machine is exempt from limits per address; a client named by a proxy is not.
        far = {"X-Forwarded-For": "9.9.9.9"}
        assert all(server.request("GET", "/nothing")[0] == 404 for _ in range(20))
        answers = [server.request("GET", "/nothing", headers=far) for _ in range(30)]
        assert 429 in [a[0] for a in answers]
        last = answers[-1]
        assert last[2]["error"] == "IP_BANNED" and last[1].getheader("Retry-After") == "300", last[2]
        far = {"X-Forwarded-For": "9.9.9.8"}
        statuses = [server.request("POST", "/v1/api/auth/login", {"user": "x", "password": "y"}, far)[0] for _ in range(4)]
        assert statuses.count(429) >= 1, statuses


def private_bytes(server):
    with open(f"/proc/{server.process.pid}/smaps_rollup", encoding="ascii") as file:
        return sum(int(line.split()[1]) * 1024 for line in file if line.startswith("Private_Dirty"))


def test_clients_that_never_read_cost_little():
    with ServerProcess(FAST) as server:
        server.request("GET", "/health")
        before = private_bytes(server)
        many = b"GET /health HTTP/1.1\r\nHost: h\r\n\r\n" * 5000
        connections = []
        for _ in range(20):
            connection = socket.create_connection(("127.0.0.1", server.port))
            connection.setblocking(False)
            connections.append(connection)
            try:
                for _ in range(50):
                    connection.send(many)
            except BlockingIOError:
                pass
        status, _, _ = server.request("GET", "/health")
        assert status == 200
        grown = private_bytes(server) - before
        assert grown < 8 << 20, grown
        # Each gets all its answers once it reads.
        connections[0].setblocking(True)
        connections[0].settimeout(5)
        answers = b""
        while answers.count(b"200 OK") < 5000:
            chunk = connections[0].recv(65536)
            assert chunk, "closed early"
            answers += chunk
        for connection in connections:
            connection.close()


def test_stops_within_five_seconds_with_clients():
    with ServerProcess(FAST) as server:
        idle = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(50)]
        half = socket.create_connection(("127.0.0.1", server.port))
        half.sendall(b"POST /v1/api/sql HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nabc")
        time.sleep(0.1)
        code, seconds = server.stop()
        assert code == 0 and seconds < 5, (code, seconds)
        for connection in idle + [half]:
            connection.close()


if __name__ == "__main__":
    run_tests(globals())

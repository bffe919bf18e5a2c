"""The process from outside: configuration errors, exit codes, a taken port or directory, TLS, a lost root password."""
import http.client
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import time

from server_process import BINARIES, FAST, ROOT_PASSWORD, UNLIMITED, ServerProcess, run_tests

SERVER = os.path.join(BINARIES, "kalamdb-server")


def run(*arguments, environment=None, given=None):
    done = subprocess.run([SERVER, *arguments], capture_output=True, text=True, timeout=20, input=given,
                          env=dict(os.environ, **(environment or {})))
    return done.returncode, done.stdout, done.stderr


def test_configuration_errors(tmp="/tmp"):
    path = os.path.join(tmp, f"kalam-e2e-{os.getpid()}.toml")
    try:
        with open(path, "w", encoding="utf-8") as file:
            file.write("[server]\nprot = 1\n")
        code, _, text = run("--check-config", path)
        assert code == 2 and "line 2: unknown key server.prot; the nearest known one is server.port" in text, text
        with open(path, "w", encoding="utf-8") as file:
            file.write("[datafusion]\nbatch_size = 1\n[server]\nport = 1234\n")
        code, out, text = run("--check-config", "--config", path, environment={"KALAMDB_SERVER_HOST": "::1"})
        assert code == 0 and "server.port = 1234" in out and "server.host = ::1" in out and "datafusion" in text
        code, _, text = run("--check-config", path, environment={"KALAMDB_SERVER_HOST": "0.0.0.0"})
        assert code == 2 and "allowed_origins" in text
    finally:
        os.unlink(path)
    assert run("--config", "/does/not/exist")[0] == 2
    assert run("--nonsense")[0] == 2
    assert run("--version")[1].startswith("kalamdb-server ")


def test_a_taken_port_and_a_taken_directory():
    with ServerProcess(FAST) as server:
        code, _, text = run("--port", str(server.port), "--data-dir", server.directory + "2")
        assert code == 4 and "already in use" in text and not os.path.exists(server.directory + "2/rocksdb"), text
        code, _, text = run("--port", "0", "--data-dir", server.directory)
        assert code == 3 and "in use by another process" in text, (code, text)
        assert server.request("GET", "/health")[0] == 200
        for private in ("rocksdb", "jwt_secret"):
            assert os.stat(os.path.join(server.directory, private)).st_mode & 0o077 == 0, private
    code, _, text = run("--port", "0", "--data-dir", "/proc/nothing")
    assert code == 3 and "/proc/nothing" in text


def test_a_server_whose_directory_is_replaced_leaves_the_new_one_alone():
    with ServerProcess(UNLIMITED) as old:
        old.sql(old.login(), "CREATE NAMESPACE app")
        shutil.rmtree(old.directory)
        with ServerProcess(UNLIMITED, directory=old.directory) as new:
            root = new.login()
            new.sql(root, "CREATE NAMESPACE app")
            new.sql(root, "CREATE SHARED TABLE app.t (id BIGINT PRIMARY KEY, body TEXT)")
            for begin in range(0, 20000, 1000):
                new.sql(root, "INSERT INTO app.t VALUES " + ", ".join(
                    f"({i}, '{os.urandom(200).hex()}')" for i in range(begin, begin + 1000)))
            assert old.process.wait(20) == 3
            old.log_reader.join(5)
            assert any("data directory is gone" in line for line in old.log), old.log
            assert new.stop()[0] == 0
            new.start()
            assert new.rows(new.login(), "SELECT COUNT(*) FROM app.t") == [["20000"]]


def test_slow_statements_are_logged_without_their_secrets():
    with ServerProcess(FAST + "[logging]\nslow_query_threshold_ms = 0\n") as server:
        root = server.login()
        server.sql(root, "CREATE NAMESPACE logged")
        server.sql(root, "CREATE TABLE logged.t (id INT PRIMARY KEY) WITH (TYPE = 'SHARED')")
        server.sql(root, "INSERT INTO logged.t (id) VALUES (1), (2)")
        server.sql(root, "SELECT * FROM logged.t")
        server.sql(root, "CREATE USER 'ann' WITH PASSWORD 'very-secret-9' ROLE 'user'")
        assert server.stop()[0] == 0
        with open(os.path.join(server.directory, "logs", "slow.log"), encoding="utf-8") as file:
            lines = file.read().splitlines()
        wanted = r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}\] SLOW QUERY - user=root, table=logged\.t \(shared\), duration=\d+\.\d{3}s, "
        assert any(re.fullmatch(wanted + r"rows=2, query=SELECT \* FROM logged\.t", line) for line in lines), lines
        assert any("CREATE USER 'ann'" in line for line in lines), lines
        assert not any("very-secret-9" in line for line in lines)
        with open(os.path.join(server.directory, "logs", "server.log"), encoding="utf-8") as file:
            assert "very-secret-9" not in file.read()


def test_a_lost_root_password():
    with ServerProcess(FAST) as server:
        token = server.login()
        assert server.stop()[0] == 0
        assert oct(os.stat(os.path.join(server.directory, "jwt_secret")).st_mode & 0o777) == "0o600"
        code, _, text = run("reset-root-password", "--data-dir", server.directory, given="short\n")
        assert code != 0, text
        code, out, text = run("reset-root-password", "--data-dir", server.directory, given="another-password-2\n")
        assert code == 0, text
        server.start()
        status, _, _ = server.request("POST", "/v1/api/auth/login", {"user": "root", "password": ROOT_PASSWORD})
        assert status == 401
        assert server.login("root", "another-password-2")
        status, _, _ = server.request("GET", "/v1/api/auth/me", headers={"Authorization": "Bearer " + token})
        assert status == 401  # the old tokens are void


def certified(folder):
    """Makes a certificate in the folder; the settings that use it."""
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{folder}/key.pem", "-out",
                    f"{folder}/cert.pem", "-days", "2", "-subj", "/CN=localhost", "-addext",
                    "subjectAltName=DNS:localhost"], check=True, capture_output=True)
    return f'[server.tls]\ncert = "{folder}/cert.pem"\nkey = "{folder}/key.pem"\n'


def test_tls():
    with ServerProcess(FAST) as holder:
        folder = holder.temporary.name
        config = FAST + certified(folder)
        with ServerProcess(config) as server:
            context = ssl.create_default_context(cafile=f"{folder}/cert.pem")
            with socket.create_connection(("127.0.0.1", server.port), timeout=10) as plain:
                with context.wrap_socket(plain, server_hostname="localhost") as secure:
                    for _ in range(3):
                        secure.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
                        assert secure.recv(4096).startswith(b"HTTP/1.1 200 OK")
            # Plain HTTP on this port is not understood, and harms nobody.
            with socket.create_connection(("127.0.0.1", server.port), timeout=10) as plain:
                plain.sendall(b"GET /health HTTP/1.1\r\nHost: h\r\n\r\n")
                assert b"200 OK" not in plain.recv(4096)
            assert server.stop()[0] == 0
        broken = FAST + f'[server.tls]\ncert = "{folder}/key.pem"\nkey = "{folder}/key.pem"\n'
        with ServerProcess(broken, wait=False) as server:
            assert server.process.wait(10) == 2


def test_an_idle_tls_connection_keeps_no_buffer():
    clients = 200

    def private_kilobytes(server):
        os.sync()  # pages of a program that was just linked count as changed until they are written
        with open(f"/proc/{server.process.pid}/smaps_rollup", encoding="ascii") as rollup:
            return int(re.search(r"Private_Dirty:\s+(\d+)", rollup.read()).group(1))

    with ServerProcess(FAST) as holder, ServerProcess(UNLIMITED + certified(holder.temporary.name)) as server:
        context = ssl.create_default_context(cafile=f"{holder.temporary.name}/cert.pem")

        def ask(connection, path, body):
            connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json", "Authorization": f"Bearer {token}"})
            answer = connection.getresponse()
            text = answer.read()
            assert answer.status == 200, text
            return text

        def connect():
            return http.client.HTTPSConnection("localhost", server.port, context=context, timeout=20)

        token, first = "", connect()
        token = json.loads(ask(first, "/v1/api/auth/login", {"user": "root", "password": ROOT_PASSWORD}))["access_token"]
        ask(first, "/v1/api/sql", {"sql": "CREATE NAMESPACE app; CREATE SHARED TABLE app.big (id BIGINT PRIMARY KEY, body TEXT)"})
        rows = ", ".join(f"({i}, '{'x' * 1000}')" for i in range(300))
        ask(first, "/v1/api/sql", {"sql": f"INSERT INTO app.big (id, body) VALUES {rows}"})
        large = {"sql": "SELECT * FROM app.big -- " + "and a large request " * 2000}
        assert len(ask(first, "/v1/api/sql", large)) > 300_000
        before = private_kilobytes(server)
        idle = [connect() for _ in range(clients)]
        for connection in idle:
            ask(connection, "/v1/api/sql", large)
        # What a burst has freed is given back to the system some seconds after it.
        deadline = time.monotonic() + 20
        while (each := (private_kilobytes(server) - before) / clients) > 24 and time.monotonic() < deadline:
            time.sleep(0.5)
        print(f"        {each:.1f} KB for each idle connection that had a large request and answer", flush=True)
        assert each <= 24, each


if __name__ == "__main__":
    run_tests(globals())

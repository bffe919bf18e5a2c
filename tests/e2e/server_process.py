"""Starts the real server on a free port over a temporary directory, and speaks to it as clients do."""
import asyncio
import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time

# The client library is a Debian package; another python on the path may not see it.
sys.path.append("/usr/lib/python3/dist-packages")
import websockets  # noqa: E402

BINARIES = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else "build/dev")
ROOT_PASSWORD = "root-password-1"


def take_port():
    """A port for a server, and a socket that keeps it from other tests for as long as it is open. It is one that the kernel gives
    to nobody by itself, so that it is still free when the server starts again."""
    for port in random.sample(range(10000, 32000), 1000):
        taken = socket.socket(socket.AF_UNIX)
        try:
            taken.bind(f"\0kalam-e2e-port-{port}")
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", port))
            return port, taken
        except OSError:
            taken.close()
    raise AssertionError("no port is free")


class ServerProcess:
    """Owns one server process; `with` starts and stops it."""

    def __init__(self, config="", environment=None, arguments=None, directory=None, wait=True, program="kalamdb-server"):
        self.program = os.path.join(BINARIES, program)
        self.temporary = tempfile.TemporaryDirectory(prefix="kalam-e2e-")
        self.directory = directory or os.path.join(self.temporary.name, "data")
        self.config_path = os.path.join(self.temporary.name, "server.toml")
        with open(self.config_path, "w", encoding="utf-8") as file:
            file.write(config)
        self.environment = dict(os.environ, KALAMDB_ROOT_PASSWORD=ROOT_PASSWORD)
        self.environment.update(environment or {})
        self.environment = {name: value for name, value in self.environment.items() if value is not None}
        self.arguments = arguments or []
        self.wait = wait
        self.process = None
        self.log = []
        self.log_reader = None
        self.port, self.taken_port = take_port()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, failure, *_):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.temporary.cleanup()
        self.taken_port.close()
        if self.log_reader is None or failure is not None:
            return
        self.log_reader.join(5)
        kept = [line for line in self.log if "did not return to zero" in line]
        assert not kept, kept

    def start(self):
        # Every start takes the same port, so that clients find the server again.
        command = [self.program, "--config", self.config_path, "--port", str(self.port),
                   "--data-dir", self.directory] + self.arguments
        self.process = subprocess.Popen(command, env=self.environment, stderr=subprocess.PIPE, text=True,
                                        cwd=self.temporary.name)
        if not self.wait:
            return
        # The server says where it listens once it does.
        assert any("listening" in line for line in self.process.stderr), "the server did not start"
        # Nobody reads the log from here on; a full pipe must not stop the server.
        import threading
        self.log = []
        self.log_reader = threading.Thread(target=lambda: self.log.extend(self.process.stderr), daemon=True)
        self.log_reader.start()

    def stop(self, seconds=5):
        """Asks the server to stop; returns its exit code and the seconds it took."""
        begin = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(seconds)
        return code, time.monotonic() - begin

    def url(self, path="/v1/ws"):
        return f"ws://127.0.0.1:{self.port}{path}"

    def request(self, method, path, body=None, headers=None, raw=False):
        """One request on a connection of its own: status, headers, body (JSON unless `raw`)."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, answer, content if raw else json.loads(content or b"null")

    def login(self, user="root", password=ROOT_PASSWORD):
        status, _, body = self.request("POST", "/v1/api/auth/login", {"user": user, "password": password})
        assert status == 200, body
        return body["access_token"]

    def sql(self, token, text, params=None, expect=200, namespace=None):
        body = {"sql": text}
        if params is not None:
            body["params"] = params
        if namespace is not None:
            body["namespace_id"] = namespace
        status, _, answer = self.request("POST", "/v1/api/sql", body, {
            "Authorization": f"Bearer {token}", "Content-Type": "application/json"})
        assert status == expect, (text, status, answer)
        return answer

    def rows(self, token, text, params=None):
        return self.sql(token, text, params)["results"][0]["rows"]


# Without bcrypt's full cost, so that the tests spend their time on what they test.
FAST = "[auth]\nbcrypt_cost = 4\n"
UNLIMITED = FAST + "[rate_limit]\nmax_queries_per_sec = 0\nmax_messages_per_sec = 0\n"


class SmallDisk:
    """A file system of a few megabytes; where mounting is not allowed, a limit on the size of files stands in for it."""

    def __init__(self, megabytes):
        self.folder = tempfile.mkdtemp(prefix="kalam-small-")
        self.mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "none", self.folder],
                                      capture_output=True).returncode == 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.mounted:
            subprocess.run(["umount", "-l", self.folder], capture_output=True)
        subprocess.run(["rm", "-rf", self.folder])


class LiveClient:
    """A signed-in WebSocket with JSON messages."""

    def __init__(self, socket):
        self.socket = socket

    @classmethod
    async def connect(cls, server, token, compression="none"):
        socket = await websockets.connect(server.url(), ping_interval=None, max_size=None)
        client = cls(socket)
        await client.send({"type": "authenticate", "method": "jwt", "token": token,
                           "protocol": {"serialization": "json", "compression": compression}})
        answer = await client.receive()
        assert answer["type"] == "auth_success", answer
        return client

    async def send(self, message):
        await self.socket.send(json.dumps(message))

    async def receive(self, seconds=10):
        message = await asyncio.wait_for(self.socket.recv(), seconds)
        if isinstance(message, bytes):
            import gzip
            message = gzip.decompress(message)
        return json.loads(message)

    async def subscribe(self, name, sql, options=None):
        subscription = {"id": name, "sql": sql}
        if options is not None:
            subscription["options"] = options
        await self.send({"type": "subscribe", "subscription": subscription})
        return await self.receive()

    async def quiet(self, seconds=0.3):
        """True when nothing arrives for a while."""
        try:
            message = await asyncio.wait_for(self.socket.recv(), seconds)
            raise AssertionError(f"unexpected message: {message}")
        except asyncio.TimeoutError:
            return True

    async def close(self):
        await self.socket.close()


def run_tests(namespace):
    """Runs every function `test_*` of a module and reports; the exit code says whether all passed."""
    failed = 0
    for name, function in list(namespace.items()):
        if not name.startswith("test_"):
            continue
        begin = time.monotonic()
        try:
            outcome = function()
            if asyncio.iscoroutine(outcome):
                asyncio.run(outcome)
            print(f"ok      {name} ({time.monotonic() - begin:.2f} s)", flush=True)
        except Exception:  # noqa: BLE001 - a failing test must not hide the others
            import traceback
            failed += 1
            print(f"FAILED  {name}\n{traceback.format_exc()}", flush=True)
    sys.exit(1 if failed else 0)

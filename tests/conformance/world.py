"""One server for all checks of a run, and sessions that speak to it as clients do."""
import itertools
import os
import sys

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
from server_process import UNLIMITED, LiveClient, ServerProcess  # noqa: E402

PASSWORD = "a-password-of-theirs-1"
_numbers = itertools.count(1)


class Session:
    """A signed-in user; knows how to ask and what an answer looks like."""

    def __init__(self, server, token, user, password):
        self.server = server
        self.token = token
        self.user = user
        self.password = password

    def answer(self, text, params=None, namespace=None):
        """Status and body, whatever they are."""
        body = {"sql": text}
        if params is not None:
            body["params"] = params
        if namespace is not None:
            body["namespace_id"] = namespace
        status, _, answer = self.server.request("POST", "/v1/api/sql", body, {
            "Authorization": "Bearer " + self.token, "Content-Type": "application/json"})
        return status, answer

    def results(self, text, params=None, namespace=None):
        status, answer = self.answer(text, params, namespace)
        assert status == 200 and answer["status"] == "success", (text, status, answer.get("error"))
        return answer["results"]

    def result(self, text, params=None, namespace=None):
        results = self.results(text, params, namespace)
        assert len(results) == 1, (text, results)
        return results[0]

    def rows(self, text, params=None, namespace=None):
        return self.result(text, params, namespace)["rows"]

    def objects(self, text, params=None):
        """The rows as dictionaries."""
        result = self.result(text, params)
        names = [column["name"] for column in result["schema"]]
        return [dict(zip(names, row)) for row in result["rows"]]

    def value(self, text, params=None):
        rows = self.rows(text, params)
        assert len(rows) == 1 and len(rows[0]) == 1, (text, rows)
        return rows[0][0]

    def message(self, text, params=None, namespace=None):
        return self.result(text, params, namespace)["message"]

    def error(self, text, params=None, code=None, status=400, namespace=None):
        """The message of the failure; the statement must fail with `status` (and `code`)."""
        got, answer = self.answer(text, params, namespace)
        assert got == status, (text, got, answer)
        assert answer["status"] == "error" and answer["results"] == [], answer
        assert code is None or answer["error"]["code"] == code, (text, answer["error"])
        return answer["error"]["message"]

    def denied(self, text, namespace=None):
        return self.error(text, code="PERMISSION_DENIED", status=403, namespace=namespace)

    async def live(self):
        return await LiveClient.connect(self.server, self.token)

    def login_again(self):
        self.token = self.server.login(self.user, self.password)
        return self


class World:
    """The server under test, its administrator, and fresh names."""

    def __init__(self, server):
        self.server = server
        self.root = Session(server, server.login(), "root", None)

    def name(self, stem):
        return f"{stem}{next(_numbers)}"

    def namespace(self):
        name = self.name("space")
        self.root.message(f"CREATE NAMESPACE {name}")
        return name

    def user(self, role="user"):
        name = self.name(role)
        self.root.message(f"CREATE USER '{name}' WITH PASSWORD '{PASSWORD}' ROLE '{role}'")
        return Session(self.server, self.server.login(name, PASSWORD), name, PASSWORD)

    def table(self, kind, columns="id BIGINT PRIMARY KEY, body TEXT", options=""):
        """A new table in a namespace of its own; `options` go on after TYPE."""
        table = f"{self.namespace()}.t"
        self.root.message(f"CREATE TABLE {table} ({columns}) WITH (TYPE = '{kind}'{', ' + options if options else ''})")
        return table


def new_server():
    return ServerProcess(UNLIMITED)

"""The `kalam` shell against the real server: flags, formats, files, exit codes, and the interactive side through a pty.

    shell_test.py <folder of the binaries>
"""

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import tempfile
import termios
import time

from server_process import BINARIES, FAST, ROOT_PASSWORD, ServerProcess, run_tests

SETUP = """CREATE NAMESPACE app;
CREATE TABLE app.items (id BIGINT PRIMARY KEY, name TEXT, at TIMESTAMP) WITH (TYPE = 'SHARED', ACCESS_LEVEL = 'public')"""


class Shell:
    """Runs the binary with a home of its own."""

    def __init__(self, server):
        self.server = server
        self.url = f"http://127.0.0.1:{server.port}"
        self.home = tempfile.TemporaryDirectory(prefix="kalam_home_")
        self.binary = f"{BINARIES}/kalam"
        self.environment = dict(os.environ, HOME=self.home.name, TERM="xterm", LC_ALL="C.UTF-8", COLUMNS="100")

    def run(self, *arguments, input="", login=True):
        flags = ["-u", self.url, *(["--user", "root", f"--password={ROOT_PASSWORD}"] if login else [])]
        return subprocess.run([self.binary, *flags, *arguments], input=input, env=self.environment, text=True,
                              capture_output=True, timeout=60)

    def interactive(self, *arguments):
        return Terminal([self.binary, "-u", self.url, *arguments], self.environment)


class Terminal:
    """A program on a pseudo-terminal."""

    def __init__(self, command, environment):
        self.pid, self.descriptor = pty.fork()
        if self.pid == 0:
            os.execvpe(command[0], command, environment)
        fcntl.ioctl(self.descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 160, 0, 0))
        self.text = ""
        self.read_up_to = 0

    def expect(self, pattern, seconds=20):
        """Waits until what comes after the last match has `pattern`; returns the match."""
        deadline = time.monotonic() + seconds
        while True:
            found = re.search(pattern, self.text[self.read_up_to:], re.S)
            if found:
                self.read_up_to += found.end()
                return found
            left = deadline - time.monotonic()
            assert left > 0, f"no {pattern!r} in {self.text[self.read_up_to:]!r}"
            if select.select([self.descriptor], [], [], left)[0]:
                try:
                    self.text += os.read(self.descriptor, 65536).decode(errors="replace")
                except OSError:
                    raise AssertionError(f"the shell ended; no {pattern!r} in {self.text[self.read_up_to:]!r}") from None

    def type(self, text):
        os.write(self.descriptor, text.encode())

    def line(self, text):
        self.type(text + "\n")

    def exit_code(self):
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
            if select.select([self.descriptor], [], [], 0.05)[0]:
                try:
                    os.read(self.descriptor, 65536)
                except OSError:
                    pass
        os.kill(self.pid, signal.SIGKILL)
        raise AssertionError("the shell does not end")


def with_server(test):
    def start():
        with ServerProcess(FAST) as server:
            server.sql(server.login(), SETUP)
            test(Shell(server))
    return start


@with_server
def test_commands_formats_and_exit_codes(shell):
    made = shell.run("-c", "INSERT INTO app.items (id, name) VALUES (1, '你好'), (2, 'a;b'), (3, NULL)")
    assert made.returncode == 0 and "Query OK, 3 rows affected" in made.stdout, made
    table = shell.run("-c", "SELECT id, name FROM app.items ORDER BY id")
    assert table.returncode == 0, table
    assert ("┌────┬──────┐\n│ id │ name │\n├────┼──────┤\n│ 1  │ 你好 │\n│ 2  │ a;b  │\n│ 3  │ NULL │\n└────┴──────┘\n"
            "(3 rows)\n") in table.stdout, table.stdout
    assert "Took: " in table.stdout
    both = shell.run("-c", "SELECT 1 AS one; SELECT 'x;y' AS two")
    assert both.returncode == 0 and "one" in both.stdout and "x;y" in both.stdout, both
    # What ran before a failure is shown.
    half = shell.run("-c", "SELECT 'first' AS one; INSERT INTO app.items (id) VALUES (9); SELECT nonsense; SELECT 'last'")
    assert half.returncode == 1 and "first" in half.stdout and "Query OK, 1 rows" in half.stdout, half
    assert "nonsense" in half.stderr and "last" not in half.stdout, half
    half = shell.run("--json", "-c", "DELETE FROM app.items WHERE id = 9; SELECT 7 AS seven; SELECT nonsense")
    answer = json.loads(half.stdout)
    assert half.returncode == 1 and answer["results"][1]["rows"] in ([[7]], [["7"]]), half
    assert answer["status"] == "error" and "nonsense" in answer["error"]["message"], answer
    # A transaction stays one request, and USE holds for the statements after it.
    undone = shell.run("-c", "BEGIN; INSERT INTO app.items (id) VALUES (9); SELECT nonsense; COMMIT")
    assert undone.returncode == 1, undone
    used = shell.run("--csv", "-c", "USE app; SELECT COUNT(*) AS n FROM items")
    assert used.returncode == 0 and used.stdout == "n\n3\n", used
    answer = json.loads(shell.run("--json", "-c", "SELECT id FROM app.items ORDER BY id").stdout)
    assert answer["results"][0]["rows"] == [["1"], ["2"], ["3"]], answer
    csv = shell.run("--csv", "-c", "SELECT id, name FROM app.items ORDER BY id")
    assert csv.stdout == "id,name\n1,你好\n2,a;b\n3,NULL\n", csv.stdout
    failed = shell.run("-c", "SELECT * FROM app.nothing")
    assert failed.returncode == 1 and "ERROR" in failed.stderr, failed
    assert shell.run("-c", "SELECT 1", "-f", "x").returncode == 1
    refused = shell.run("--user", "root", "--password=wrong", "-c", "SELECT 1", login=False)
    assert refused.returncode == 1 and refused.stderr.startswith("Error: "), refused
    nobody = subprocess.run([shell.binary, "-u", "http://127.0.0.1:1", "--token", "x", "-c", "SELECT 1"],
                            env=shell.environment, text=True, capture_output=True, timeout=60)
    assert nobody.returncode == 1 and "127.0.0.1:1" in nobody.stderr, nobody
    version = subprocess.run([shell.binary, "--version"], env=shell.environment, text=True, capture_output=True)
    assert version.returncode == 0 and len(version.stdout.splitlines()) == 3, version
    assert "unknown" not in version.stdout.splitlines()[2], version
    hint = shell.run("--unsubscribe", "ann-1-s1", login=False)
    assert hint.returncode == 0 and "KILL LIVE QUERY 'ann-1-s1'" in hint.stdout, hint
    assert "system.live" in shell.run("--list-subscriptions", login=False).stdout
    consume = shell.run("--consume", "--topic", "a.b", "--from", "earliest", login=False)
    assert consume.returncode == 1 and "not available" in consume.stderr, consume


@with_server
def test_an_agent_project_is_written(shell):
    folder = f"{shell.home.name}/agent"
    flags = ["--init-agent", "--init-agent-non-interactive", "--agent-output", folder, "--agent-name", "titles",
             "--agent-table", "app.posts", "--agent-output-column", "title"]
    made = shell.run(*flags, login=False)
    assert made.returncode == 0 and folder in made.stdout, made
    files = {os.path.relpath(os.path.join(place, name), folder) for place, _, names in os.walk(folder) for name in names}
    assert files == {"package.json", "tsconfig.json", ".env.example", ".gitignore", "setup.sql", "setup.sh", "scripts/add.sh",
                     "src/agent.ts", "README.md"}, files
    with open(f"{folder}/package.json") as file:
        assert json.load(file)["name"] == "titles"
    with open(f"{folder}/src/agent.ts") as file:
        agent = file.read()
    assert shell.url in agent and "@" not in agent, agent
    # What the agent asks for is what the server understands.
    assert shell.run("-f", f"{folder}/setup.sql").returncode == 0
    added = shell.run("-c", "INSERT INTO app.posts (content) VALUES ('First. Second.')")
    assert added.returncode == 0, added
    query = re.search('query = "(.*)"', agent).group(1)
    assert "First. Second." in shell.run("-c", query).stdout
    again = shell.run(*flags, login=False)
    assert again.returncode == 1 and "already" in again.stderr, again
    refused = shell.run("--init-agent", "--agent-table", "no-dot", login=False)
    assert refused.returncode == 1 and "not a name" in refused.stderr, refused
    topic = shell.run("--init-agent", "--agent-topic", "blog.changes", login=False)
    assert topic.returncode == 1 and "not available" in topic.stderr, topic


@with_server
def test_files_and_pipes_run_statement_by_statement(shell):
    script = f"{shell.home.name}/script.sql"
    with open(script, "w") as file:
        file.write("-- a comment; with a semicolon\nINSERT INTO app.items (id, name) VALUES (1, 'a;b');\n"
                   "BEGIN; INSERT INTO app.items (id, name) VALUES (2, 'x');\n"
                   "UPDATE app.items SET name = 'in the transaction' WHERE id = 2; COMMIT;\n"
                   "SELECT name FROM app.items ORDER BY id;\n")
    ran = shell.run("-f", script)
    assert ran.returncode == 0 and "a;b" in ran.stdout and "in the transaction" in ran.stdout, ran
    piped = shell.run(input="SELECT 1 AS first;\nSELECT nonsense FROM app.items;\nSELECT 3 AS never;\n")
    assert piped.returncode == 1 and "first" in piped.stdout and "never" not in piped.stdout, piped
    # More text than one request may carry.
    many = "".join(f"INSERT INTO app.items (id, name) VALUES ({i}, '{'p' * 1000}');\n" for i in range(1000, 2200))
    large = shell.run(input=many)
    assert large.returncode == 0, large.stderr[-500:]
    counted = shell.run("--csv", "-c", "SELECT COUNT(*) AS n FROM app.items WHERE id >= 1000")
    assert counted.stdout == "n\n1200\n", counted


@with_server
def test_interactive_editing_completion_and_history(shell):
    terminal = shell.interactive("--user", "root", f"--password={ROOT_PASSWORD}")
    terminal.expect("root@")
    terminal.line("SELECT 1 AS one,")
    terminal.expect("(->|❯) ")
    terminal.line("'two;' AS two;")
    terminal.expect(r"two;.*\(1 row\)")
    terminal.type("SELECT name FROM app.it\t")
    terminal.expect("ems ")  # the rest of app.items
    terminal.line("WHERE id = 1;")
    terminal.expect(r"\(0 rows\)")
    terminal.line("\\dt")
    terminal.expect("items")
    terminal.expect("Took")
    terminal.line("\\d app.items")
    terminal.expect("column_name.*data_type.*_deleted.*Took")
    terminal.line("\\format csv")
    terminal.expect("Output format set to: csv")
    terminal.line("SELECT 5 AS five;")
    terminal.expect("five\r\n5")
    terminal.line("SELECT * FROM app.nothing;")
    terminal.expect("ERROR.*❯ ")
    terminal.type("\x1b[A")  # on an empty line the arrow up opens the menu
    terminal.expect("history.*> SELECT . FROM app.nothing")
    terminal.type("five")
    terminal.expect("history: five.*> SELECT 5 AS five;")
    terminal.type("\n")
    terminal.expect("SELECT.* 5.* five")
    terminal.type("\x15x\x1b[A")  # on another the arrow goes back line by line
    terminal.expect("app.nothing")
    terminal.type("\x03")
    terminal.expect("Use .quit or .q to exit.*❯ ")
    terminal.line("\\stats")
    # Only at the prompt does Ctrl+D reach the editor; while output runs the terminal itself eats it.
    terminal.expect("metric_name.*worker_queue_peak.*❯ ")
    terminal.type("\x04")
    terminal.expect("Goodbye!")
    assert terminal.exit_code() == 0
    assert oct(os.stat(f"{shell.home.name}/.kalam/history").st_mode & 0o777) == "0o600"
    again = shell.interactive("--user", "root", f"--password={ROOT_PASSWORD}")
    again.expect("root@")
    again.line("\\history")
    again.expect("> .*stats.*nothing")
    again.type("\x1b")
    again.expect("root@")
    again.type("\\q\n")
    again.expect("Goodbye!")
    assert again.exit_code() == 0


@with_server
def test_live_changes_in_the_terminal(shell):
    token = shell.server.login()
    shell.server.sql(token, "INSERT INTO app.items (id, name) VALUES (0, 'was here before')")
    terminal = shell.interactive("--user", "root", f"--password={ROOT_PASSWORD}")
    terminal.expect("root@")
    terminal.line("\\subscribe SELECT * FROM app.items OPTIONS (last_rows=5)")
    terminal.expect("SUBSCRIBED")
    terminal.expect("BATCH 0.*1 rows .complete.*was here before")
    shell.server.sql(token, "INSERT INTO app.items (id, name) VALUES (1, 'hello')")
    terminal.expect("INSERT.*hello")
    shell.server.sql(token, "UPDATE app.items SET name = 'changed' WHERE id = 1")
    terminal.expect("UPDATE.*changed")
    # The server goes and comes back: the shell resumes by itself.
    shell.server.stop()
    shell.server.start()
    shell.server.sql(shell.server.login(), "INSERT INTO app.items (id, name) VALUES (2, 'after the restart')")
    terminal.expect("INSERT.*after the restart", 30)
    shell.server.sql(shell.server.login(), "DELETE FROM app.items WHERE id = 1")
    terminal.expect("DELETE.*changed")
    terminal.type("q")
    terminal.expect("Unsubscribed")
    terminal.line("SELECT 1 AS one;")
    terminal.expect(r"\(1 row\)")
    terminal.line("\\q")
    terminal.expect("Goodbye!")
    assert terminal.exit_code() == 0
    timed = shell.run("--subscribe", "SELECT * FROM app.items", "--subscription-timeout", "1")
    assert timed.returncode == 0 and "after the restart" in timed.stdout, timed
    refused = shell.run("--subscribe", "SELECT * FROM app.nothing")
    assert refused.returncode == 1 and "NOT_FOUND" in refused.stderr, refused


def test_a_new_server_is_set_up_in_a_dialogue():
    with ServerProcess(FAST, environment={"KALAMDB_ROOT_PASSWORD": None}) as server:
        shell = Shell(server)
        unattended = shell.run("-c", "SELECT 1", login=False)
        assert unattended.returncode == 1 and "set up" in unattended.stderr, unattended
        terminal = shell.interactive()
        terminal.expect("Password for root: ")
        terminal.line("root-secret-9")
        terminal.expect("Repeat it: ")
        terminal.line("root-secret-8")
        terminal.expect("not the same.*Password for root: ")
        for secret in ("short", "root-secret-9"):
            terminal.line(secret)
            terminal.expect("Repeat it: ")
            terminal.line(secret)
            terminal.expect("User name: ")
            terminal.line("ann")
            terminal.expect("Password for ann: ")
            terminal.line("ann-secret-9")
            terminal.expect("Repeat it: ")
            terminal.line("ann-secret-9")
            terminal.expect("ann@" if secret != "short" else "refused: .*at least 8 characters.*Password for root: ")
        assert "secret-9" not in terminal.text, "a password was shown"
        terminal.line("SELECT CURRENT_USER() AS who;")
        terminal.expect("ann.*1 row")
        terminal.line("\\quit")
        assert terminal.exit_code() == 0
        stored = f"{shell.home.name}/.kalam/credentials.toml"
        assert oct(os.stat(stored).st_mode & 0o777) == "0o600"
        # The next start needs no password.
        again = shell.run("-c", "SELECT 7 AS seven", login=False)
        assert again.returncode == 0 and "seven" in again.stdout, again
        shown = shell.run("--show-credentials", login=False)
        assert "ann" in shown.stdout and "[redacted]" in shown.stdout, shown
        assert shell.run("--delete-credentials", login=False).returncode == 0
        assert shell.run("-c", "SELECT 7", login=False).returncode == 1


if __name__ == "__main__":
    run_tests(globals())

#!/usr/bin/python3
# Writes cmake/text_order.txt and cmake/text_order_smallest.txt: the functions that a start and an idle minute run, then those that the
# first statements run as well, so that the linker lays them side by side.
#
#   make build && cmake --build --preset release -- kalamdb-server-smallest && tools/text_order.py     (needs valgrind; takes minutes)
#
# The kernel maps program text in windows of 64 KB around every page that is touched; with what runs scattered over the file nearly all of
# it becomes resident (docs/adr/0009-text-order.md). Names that no longer exist are ignored by the linker.
import collections
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
STATEMENTS = [
    "CREATE NAMESPACE o", "CREATE USER TABLE o.t (id BIGINT PRIMARY KEY, body TEXT)",
    "INSERT INTO o.t (id, body) VALUES (1, 'a'), (2, 'b')", "UPDATE o.t SET body = 'c' WHERE id = 1",
    "SELECT * FROM o.t WHERE id = 1", "SELECT id FROM o.t WHERE body = 'c' ORDER BY id DESC LIMIT 3", "DELETE FROM o.t WHERE id = 2",
]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def post(port, path, body, token=""):
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", json.dumps(body).encode(), {"Content-Type": "application/json"})
    if token:
        request.add_header("Authorization", "Bearer " + token)
    return json.load(urllib.request.urlopen(request, timeout=60))


def drive(port, statements):
    deadline = time.monotonic() + 240
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=60).read()
            break
        except OSError:
            if time.monotonic() > deadline:
                sys.exit("the server did not start under valgrind")
            time.sleep(0.5)
    if statements:
        token = post(port, "/v1/api/auth/login", {"user": "root", "password": "text-order"})["access_token"]
    for statement in statements:
        post(port, "/v1/api/sql", {"sql": statement}, token)
    time.sleep(15)  # what an idle server does now and then


def profile(program, statements):
    with tempfile.TemporaryDirectory(prefix="text-order-") as folder:
        return run(folder, program, statements)


def run(folder, program, statements):
    # By one name, whatever the program, so that its functions are found in the profile.
    binary = os.path.join(folder, "kalamdb-server")
    # The debug information is newer than valgrind reads.
    subprocess.run(["objcopy", "--strip-debug", os.path.join(ROOT, "build/release", program), binary], check=True)
    out, port = os.path.join(folder, "callgrind"), free_port()
    environment = dict(os.environ, KALAMDB_ROOT_PASSWORD="text-order", KALAMDB_LOGS_DIR=os.path.join(folder, "logs"))
    server = subprocess.Popen(["valgrind", "--tool=callgrind", "--demangle=no", f"--callgrind-out-file={out}", binary, "--data-dir",
                               os.path.join(folder, "data"), "--port", str(port)], env=environment, stderr=subprocess.DEVNULL)
    try:
        drive(port, statements)
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait()
    with open(out) as file:
        return file.read()


def executed(callgrind):
    """Names of the functions of the server's own text, the most expensive first."""
    objects, names, cost = {}, {}, collections.Counter()
    here, skip, in_server = None, False, False
    for line in callgrind.splitlines():
        match = re.match(r"(c?ob|c?fn)=\((\d+)\)(?: (.*))?$", line)
        if match:
            kind, number, name = match.groups()
            table = objects if kind.endswith("ob") else names
            if name:
                table[number] = name
            if kind == "ob":
                in_server = objects[number].endswith("/kalamdb-server")
            elif kind == "fn":
                here = re.sub(r"'\d+$", "", names[number]) if in_server else None
        elif line.startswith("calls="):
            skip = True
        elif line[:1] in "+-*0123456789" and line:
            if not skip and here:
                cost[here] += int(line.split()[1])
            skip = False
    return [name for name, _ in cost.most_common()]


def one_name_per_section(names):
    """RocksDB is built with one text section a file: a single name moves all of it. A name that several files have for a function of
    their own would move all of them, two megabytes that nobody runs, and says nothing about which of them ran."""
    archive = "/usr/lib/x86_64-linux-gnu/librocksdb.a"
    sections_of, member = collections.defaultdict(set), ""
    for line in subprocess.run(["objdump", "-t", archive], capture_output=True, text=True, check=True).stdout.splitlines():
        if line.endswith("file format elf64-x86-64"):
            member = line.split(":")[0]
        elif "\t" in line and " .text\t" in line:
            sections_of[line.split()[-1]].add(member)
    seen, kept = set(), []
    for name in names:
        sections = sections_of.get(name, set())
        if len(sections) > 1 or (sections and sections <= seen):
            continue
        kept.append(name)
        seen |= sections
    return kept


def write_order(program, path):
    started = executed(profile(program, []))
    served = executed(profile(program, STATEMENTS))
    if len(started) < 500:
        sys.exit(f"only {len(started)} functions seen: is build/release/{program} built?")
    known = set(started)
    names = one_name_per_section(started + [name for name in served if name not in known])
    with open(os.path.join(ROOT, path), "w") as file:
        file.write("\n".join(names) + "\n")
    print(f"{path}: {len(names)} functions")


write_order("kalamdb-server", "cmake/text_order.txt")
write_order("kalamdb-server-smallest", "cmake/text_order_smallest.txt")

#!/usr/bin/python3
# Writes cmake/text_order.txt and cmake/text_order_smallest.txt: the functions that a start and an idle minute run, then those that the
# first statements run as well, so that the linker lays them side by side.
#
#   make build && cmake --build --preset release -- kalamdb-server-smallest && tools/text_order.py     (needs valgrind; takes minutes)
#
# The kernel maps program text in windows of 64 KB around every page that is touched; with what runs scattered over the file nearly all of
# it becomes resident (docs/adr/0009-text-order.md). Names that no longer exist are ignored by the linker.
import bisect
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
    server = subprocess.Popen(["valgrind", "--tool=callgrind", "--demangle=no", "--dump-instr=yes", "--compress-pos=no", "--compress-strings=no",
                               f"--callgrind-out-file={out}", binary, "--data-dir", os.path.join(folder, "data"), "--port", str(port)], env=environment, stderr=subprocess.DEVNULL)
    try:
        drive(port, statements)
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait()
    with open(out) as file:
        return executed(file.read(), binary)


def symbols(binary):
    """Address of each name that the program has once; of functions."""
    found, twice = {}, set()
    for line in subprocess.run(["nm", binary], capture_output=True, text=True, check=True).stdout.splitlines():
        fields = line.split()
        if len(fields) == 3 and fields[1] in "tTwW":
            (twice.add if fields[2] in found else lambda _: None)(fields[2])
            found[fields[2]] = int(fields[0], 16)
    return {name: address for name, address in found.items() if name not in twice}


def archive_sections(archive, addresses):
    """RocksDB is built with one text section a file. Where each lies in the program: [(begin, end, name)], found by a name that stands for
    it alone."""
    sizes, names, member = {}, {}, ""
    for line in subprocess.run(["objdump", "-h", "-t", archive], capture_output=True, text=True, check=True).stdout.splitlines():
        size = re.match(r"\s*\d+ \.text\s+([0-9a-f]+)", line)
        symbol = re.match(r"([0-9a-f]+) g\s+F \.text\t[0-9a-f]+ (?:\.hidden )?(\S+)$", line)
        if line.endswith("file format elf64-x86-64"):
            member = line.split(":")[0]
        elif size:
            sizes[member] = int(size.group(1), 16)
        elif symbol and symbol.group(2) in addresses and member not in names:
            names[member] = (symbol.group(2), int(symbol.group(1), 16))
    return sorted((addresses[name] - offset, addresses[name] - offset + sizes[of], name) for of, (name, offset) in names.items())


def executed(callgrind, binary):
    """Names of the functions of the program's own text, the most expensive first; of a section of RocksDB one name, which moves all of it.
    Sections are told by address: many of its files have functions of the same name."""
    addresses = symbols(binary)
    sections = archive_sections("/usr/lib/x86_64-linux-gnu/librocksdb.a", addresses)
    begins = [begin for begin, _, _ in sections]
    cost, name, shift, in_program, skip = collections.Counter(), "", None, False, False
    for line in callgrind.splitlines():
        if line.startswith("ob="):
            in_program = line.endswith("/" + os.path.basename(binary))
        elif line.startswith("fn="):
            name = re.sub(r"'\d+$", "", line[3:])
        elif line.startswith("calls="):
            skip = True
        elif line.startswith("0x"):
            address, _, instructions = line.split()[:3]
            if in_program and not skip:
                if shift is None and name == "main":
                    shift = int(address, 16) - addresses["main"]
                cost[(name, int(address, 16))] += int(instructions)
            skip = False
    by_name = collections.Counter()
    for (function, address), instructions in cost.items():
        at = bisect.bisect_right(begins, address - shift) - 1
        inside = at >= 0 and address - shift < sections[at][1]
        by_name[sections[at][2] if inside else function] += instructions
    return [function for function, _ in by_name.most_common()]


def write_order(program, path):
    started = profile(program, [])
    served = profile(program, STATEMENTS)
    if len(started) < 500:
        sys.exit(f"only {len(started)} functions seen: is build/release/{program} built?")
    known = set(started)
    names = started + [name for name in served if name not in known]
    with open(os.path.join(ROOT, path), "w") as file:
        file.write("\n".join(names) + "\n")
    print(f"{path}: {len(names)} functions", flush=True)


PROGRAMS = {"kalamdb-server": "cmake/text_order.txt", "kalamdb-server-smallest": "cmake/text_order_smallest.txt"}
for wanted in sys.argv[1:] or PROGRAMS:
    write_order(wanted, PROGRAMS[wanted])

#!/usr/bin/env python3
"""Checks the house rules that no compiler checks. Run it from anywhere; prints each break and exits 1 if there is any."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE_SUFFIXES = {".h", ".cpp", ".def"}
LINES_MAX = 600
BANNED_NAME_PARTS = ("manager", "helper", "util", "common", "misc")
# The only files that may include a library whose headers are heavy: "library include" -> allowed path prefixes.
HEAVY_INCLUDES = {
    r"<rocksdb/": ("src/storage/", "tests/support/"),
    r"[<\"]duckdb": ("src/analytics/",),
    r"<boost/": ("src/server/", "src/client/"),
    r"<hnswlib/": ("src/vectors/",),
    r"<nlohmann/": ("src/", "cli/", "bench/", "tests/"),
}


def tracked_files():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [line for line in listed.splitlines() if (ROOT / line).is_file()]


def check_source(path, text, problems):
    lines = text.splitlines()
    if not lines or not re.match(r"^// \S.{10,}", lines[0]):
        problems.append(f"{path}:1: the first line must say why the file exists")
    if len(lines) > LINES_MAX:
        problems.append(f"{path}: {len(lines)} lines; split it (at most {LINES_MAX})")
    stem = Path(path).stem.lower()
    if any(part in stem.split("_") for part in BANNED_NAME_PARTS):
        problems.append(f"{path}: name it after what it is, not {stem!r}")
    for number, line in enumerate(lines, 1):
        code = line.split("//")[0]
        if re.search(r'#include "\.\./', code):
            problems.append(f"{path}:{number}: no '../' in an include")
        if "NOLINT: the constructor is private" in line:
            pass
        elif re.search(r"(?<![\w.>])new [A-Za-z_:<]+[\w>]*\s*[({;]", code) or re.search(r"(?<![\w=] )\bdelete\s+[a-z_]\w*;", code):
            problems.append(f"{path}:{number}: no new/delete; use values or std::make_unique")
        if "co_await" in code and "{" in code.split("co_await", 1)[1].split(";")[0]:
            problems.append(f"{path}:{number}: no brace between co_await and its semicolon")
        if re.search(r"\b(TODO|FIXME|XXX)\b", line):
            problems.append(f"{path}:{number}: leftover mark")
        for pattern, allowed in HEAVY_INCLUDES.items():
            if re.search(r"#include " + pattern, code):
                if not path.startswith(allowed):
                    problems.append(f"{path}:{number}: this library stays inside {', '.join(allowed)}")
                elif path.endswith(".h") and path.startswith("src/") and "nlohmann" not in pattern:
                    if not re.search(r"(_internal|duckdb_|plugin)", path):
                        problems.append(f"{path}:{number}: heavy headers belong in .cpp files")


def check_error_codes(problems):
    kinds = re.findall(r'^KALAM_ERROR\((\w+),\s*(\d+),\s*"([A-Z_]+)"', (ROOT / "src/base/errors.def").read_text(), re.M)
    numbers = [number for _, number, _ in kinds]
    if len(set(numbers)) != len(numbers):
        problems.append("src/base/errors.def: a number is used twice")
    protocol = ROOT / "docs/protocol.md"
    text = protocol.read_text() if protocol.exists() else ""
    for code in sorted({code for _, _, code in kinds}):
        if f"`{code}`" not in text:
            problems.append(f"docs/protocol.md: the error code {code} is not described")


def check_layers(problems):
    for layer in sorted((ROOT / "src").iterdir()):
        if layer.is_dir() and any(layer.glob("*.cpp")) and not (layer / "README.md").exists():
            problems.append(f"src/{layer.name}: no README.md")
        listing = layer / "CMakeLists.txt"
        if not listing.exists():
            continue
        listed = listing.read_text()
        for source in sorted(layer.rglob("*.cpp")):
            if source.name not in listed:
                problems.append(f"{source.relative_to(ROOT)}: in no target")


def check_documents(files, problems):
    for path in files:
        if path.endswith(".md") and not path.startswith("node_modules"):
            titles = [line for line in re.sub(r"```.*?```", "", (ROOT / path).read_text(), flags=re.S).splitlines()
                      if line.startswith("# ")]
            if len(titles) != 1:
                problems.append(f"{path}: has {len(titles)} titles, needs exactly one")
    index = (ROOT / "docs/adr/README.md").read_text() if (ROOT / "docs/adr/README.md").exists() else ""
    for path in files:
        if re.match(r"docs/adr/\d{4}-.*\.md$", path) and Path(path).name not in index:
            problems.append(f"docs/adr/README.md: {Path(path).name} is missing")


def find_problems():
    problems = []
    files = tracked_files()
    for path in files:
        if Path(path).suffix in SOURCE_SUFFIXES and path.startswith(("src/", "cli/", "bench/", "tests/")):
            check_source(path, (ROOT / path).read_text(), problems)
    check_error_codes(problems)
    check_layers(problems)
    check_documents(files, problems)
    return problems


def self_test():
    """The rules must be able to fail."""
    for text in ("int x;\n", "// Too short\n" * 601, '// Why this file exists.\n#include "../a.h"\n',
                 "// Why this file exists.\nauto* p = new Thing(1);\n", "// Why this file exists.\n// TODO later\n",
                 "// Why this file exists.\nco_await F({1});\n", "// Why this file exists.\n#include <rocksdb/db.h>\n"):
        problems = []
        check_source("src/sql/probe.cpp", text, problems)
        if not problems:
            sys.exit(f"tidy_test: a broken rule went unseen:\n{text[:200]}")


if __name__ == "__main__":
    self_test()
    found = find_problems()
    for problem in found:
        print(problem)
    print(f"{len(found)} problem(s)" if found else "house rules hold")
    sys.exit(1 if found else 0)

#!/bin/sh
# Builds and runs every test: the house rules, all unit and SQL tests under ASan+UBSan, the concurrent parts under TSan, and
# the end-to-end tests against the release binaries.
set -eu
cd "$(dirname "$0")/.."

jobs=$(nproc)
build() {
  cmake --preset "$1" >/dev/null
  cmake --build --preset "$1" -- -j"$jobs"
}
# A test run must say what it did: no test found is a failure.
run() {
  preset=$1
  shift
  ctest --test-dir "build/$preset" --output-on-failure --no-tests=error -j"$jobs" "$@"
}

echo "== release: build, house rules, end to end"
build release
run release -L 'tidy|e2e'
echo "== address and undefined-behaviour sanitizers: unit, SQL and fuzz tests"
build asan
run asan -L 'unit|sql|fuzz'
echo "== thread sanitizer: the concurrent parts"
build tsan
run tsan -L 'concurrent'
echo "All tests passed."

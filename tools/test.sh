#!/bin/sh
# Builds and runs every test: the house rules, all unit and SQL tests under ASan+UBSan, the concurrent parts under TSan, and
# the end-to-end tests against the release binaries.
set -eu
cd "$(dirname "$0")/.."

jobs=$(nproc)
# build PRESET [target...]; all of it without targets. Tells how long it took.
build() {
  preset=$1
  shift
  begin=$(date +%s)
  cmake --preset "$preset" >/dev/null
  cmake --build --preset "$preset" ${1:+--target "$@"} -- -j"$jobs" --quiet
  echo "   built in $(($(date +%s) - begin)) s"
}
# A test run must say what it did: no test found is a failure.
run() {
  preset=$1
  shift
  ctest --test-dir "build/$preset" --output-on-failure --no-tests=error -j"$jobs" "$@"
}

echo "== release: build, house rules, end to end"
build release
build release kalamdb-reduced-servers
# Most of these wait more than they work; those that measure run alone (tests/CMakeLists.txt).
run release -L 'tidy|e2e' -j$((2 * jobs))
echo "== address and undefined-behaviour sanitizers: unit, SQL and fuzz tests, object stores"
build asan
tools/fetch_test_stores.sh
run asan -L 'unit|sql|fuzz|stores'
echo "== thread sanitizer: the concurrent parts"
export TSAN_OPTIONS="suppressions=$PWD/tests/tsan_suppressions.txt"
build tsan base_test auth_test jobs_test replication_test live_test
run tsan -L 'concurrent'
echo "All tests passed."

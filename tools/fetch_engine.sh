#!/bin/sh
# Fetches the analytical engine: its library by package-lock.json, its headers by a pinned archive. Idempotent.
set -eu

headers_version=1.4.4
headers_sha512='hEJJ5hyVF0VLj3dmOLpsWrQR0b3d4Ykqtygm6iUXjHJDDnSqg/USKxcb5qvNrOhFYPgktayU6dXCtgPqcmmpog=='
library_package=@duckdb/node-bindings-linux-x64

root=$(cd "$(dirname "$0")/.." && pwd)
library="$root/node_modules/$library_package/libduckdb.so"
library_stamp="$root/node_modules/.kalam-engine-lock"
include="$root/.deps/duckdb/include"
headers_stamp="$root/.deps/duckdb/version"

fail() {
  echo "fetch_engine: $1" >&2
  exit 1
}

need_library() {
  [ ! -f "$library" ] || ! cmp -s "$root/package-lock.json" "$library_stamp"
}

need_headers() {
  [ ! -f "$include/duckdb.hpp" ] || [ "$(cat "$headers_stamp" 2>/dev/null)" != "$headers_version" ]
}

need_library || need_headers || exit 0

command -v npm >/dev/null || fail "npm is not installed (Debian: apt-get install --no-install-recommends npm)"
[ "$(uname -s)-$(uname -m)" = Linux-x86_64 ] ||
  fail "the engine is pinned for Linux on x86_64 only; build with -DKALAM_WITH_ANALYTICS=OFF"

if need_library; then
  echo "fetch_engine: installing $library_package into node_modules"
  (cd "$root" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error) ||
    fail "npm ci failed: is the npm registry reachable?"
  [ -f "$library" ] || fail "$library_package came without libduckdb.so"
  cp "$root/package-lock.json" "$library_stamp"
fi

if need_headers; then
  echo "fetch_engine: unpacking the headers of duckdb@$headers_version into .deps"
  mkdir -p "$root/.deps"
  work=$(mktemp -d "$root/.deps/fetch.XXXXXX")
  trap 'rm -rf "$work"' EXIT INT TERM
  (cd "$work" && npm pack --silent "duckdb@$headers_version" >/dev/null) ||
    fail "npm pack duckdb@$headers_version failed: is the npm registry reachable?"
  archive="$work/duckdb-$headers_version.tgz"
  sum=$(node -p 'crypto.createHash("sha512").update(fs.readFileSync(process.argv[1])).digest("base64")' "$archive")
  [ "$sum" = "$headers_sha512" ] || fail "duckdb-$headers_version.tgz has checksum $sum, expected $headers_sha512"
  tar -xzf "$archive" -C "$work" package/src/duckdb/src/include package/LICENSE
  rm -rf "$root/.deps/duckdb"
  mkdir -p "$root/.deps/duckdb"
  mv "$work/package/src/duckdb/src/include" "$include"
  mv "$work/package/LICENSE" "$root/.deps/duckdb/LICENSE"
  echo "$headers_version" >"$headers_stamp"
fi

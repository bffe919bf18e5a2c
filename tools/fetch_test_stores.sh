#!/bin/sh
# Fetches the object stores that tests run against, pinned by tests/object_stores/package-lock.json. Idempotent.
set -eu

folder=$(cd "$(dirname "$0")/../tests/object_stores" && pwd)
stamp="$folder/node_modules/.kalam-lock"

cmp -s "$folder/package-lock.json" "$stamp" 2>/dev/null && exit 0
command -v npm >/dev/null || {
  echo "fetch_test_stores: npm is not installed (Debian: apt-get install --no-install-recommends npm)" >&2
  exit 1
}
echo "fetch_test_stores: installing the packages of tests/object_stores"
(cd "$folder" && npm ci --ignore-scripts --omit=optional --no-audit --no-fund --loglevel=error) || {
  echo "fetch_test_stores: npm ci failed: is the npm registry reachable?" >&2
  exit 1
}
cp "$folder/package-lock.json" "$stamp"

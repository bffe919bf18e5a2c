#!/bin/sh
# Starts the server that `make run` has built, and says what to type next.
set -eu
cd "$(dirname "$0")/.."

host=127.0.0.1
port=${KALAMDB_SERVER_PORT:-8080}
data=${KALAMDB_DATA_DIR:-./data}
shell=build/release/kalam
[ "$port" = 8080 ] || shell="$shell --url http://$host:$port"

cat <<TEXT

KalamDB listens on http://$host:$port, its data lives in $data. Stop it with Ctrl+C.
Three things to type next, in another terminal of this folder:

  1. Open the shell (at the first start it asks for a password for root and for your own account):
       $shell
  2. Make a table and a row of your own:
       CREATE NAMESPACE app;
       CREATE TABLE app.notes (id BIGINT PRIMARY KEY DEFAULT SNOWFLAKE_ID(), body TEXT) WITH (TYPE = 'USER');
       INSERT INTO app.notes (body) VALUES ('hello'); SELECT * FROM app.notes;
  3. Watch it change, while another shell inserts:
       \\subscribe SELECT * FROM app.notes

TEXT
# With KALAM_HEAP_PROFILE=1 an admin can ask for a profile of the heap (docs/operations.md, "Heap profile").
if [ -n "${KALAM_HEAP_PROFILE:-}" ]; then
  # Without the library the loader only warns, and the server would start without a profile.
  if LD_PRELOAD=libjemalloc.so.2 /bin/true 2>&1 | grep -q 'cannot be preloaded'; then
    echo "KALAM_HEAP_PROFILE needs jemalloc: apt-get install libjemalloc2" >&2
    exit 1
  fi
  export LD_PRELOAD=libjemalloc.so.2 MALLOC_CONF="${MALLOC_CONF:-prof:true,narenas:2}"
fi
exec build/release/kalamdb-server --host "$host" --port "$port" --data-dir "$data"

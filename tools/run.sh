#!/bin/sh
# Starts the server that `make run` has built, and says what to type next.
set -eu
cd "$(dirname "$0")/.."

host=127.0.0.1
port=${KALAMDB_SERVER_PORT:-8080}
data=${KALAMDB_DATA_DIR:-./data}

cat <<TEXT

KalamDB listens on http://$host:$port, its data lives in $data. Stop it with Ctrl+C.
Three things to type next, in another terminal of this folder:

  1. Open the shell (at the first start it asks for a password for root and for your own account):
       build/release/kalam
  2. Make a table and a row of your own:
       CREATE NAMESPACE app;
       CREATE TABLE app.notes (id BIGINT PRIMARY KEY DEFAULT SNOWFLAKE_ID(), body TEXT) WITH (TYPE = 'USER');
       INSERT INTO app.notes (body) VALUES ('hello'); SELECT * FROM app.notes;
  3. Watch it change, while another shell inserts:
       \\subscribe SELECT * FROM app.notes

TEXT
exec build/release/kalamdb-server --host "$host" --port "$port" --data-dir "$data"

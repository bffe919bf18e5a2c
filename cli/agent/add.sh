#!/bin/sh
# Adds a row for the agent to work on: scripts/add.sh 'some text'
set -eu
cd "$(dirname "$0")/.."
. ./.env
text=$(printf '%s' "$1" | sed "s/'/''/g")
kalam -u "$KALAMDB_URL" --user "$KALAMDB_USER" --password="$KALAMDB_PASSWORD" \
  -c "INSERT INTO @TABLE@ (@INPUT@) VALUES ('$text')"

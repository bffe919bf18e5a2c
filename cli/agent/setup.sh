#!/bin/sh
# Creates the table and installs what the agent needs.
set -eu
cd "$(dirname "$0")"
[ -f .env ] || cp .env.example .env
. ./.env
kalam -u "$KALAMDB_URL" --user "$KALAMDB_USER" --password="$KALAMDB_PASSWORD" -f setup.sql
npm install

#!/bin/sh
# Installs the Debian packages of tools/packages.txt that this machine lacks, and nothing else.
set -eu
cd "$(dirname "$0")/.."

missing=""
while read -r package provides; do
  case "$package" in ''|'#'*) continue ;; esac
  if dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed'; then continue; fi
  if [ -n "$provides" ] && command -v "$provides" >/dev/null 2>&1; then continue; fi
  missing="$missing $package"
done < tools/packages.txt
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null 2>&1; then
  echo "This machine has no apt-get. KalamDB is built on Debian 12; it needs:$missing" >&2
  exit 1
fi
if [ "$(id -u)" -eq 0 ]; then
  as_root=""
elif command -v sudo >/dev/null 2>&1; then
  as_root="sudo"
else
  echo "Packages are missing, and only root may install them. Run as root:" >&2
  echo "  apt-get install --no-install-recommends$missing" >&2
  exit 1
fi
echo "Installing:$missing"
$as_root apt-get update -qq
# shellcheck disable=SC2086
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null

#!/bin/bash
# Proves that a plain clone builds, runs and tests itself on a bare Debian 12: makes a minimal root with debootstrap, clones this
# repository into it, and types the README's commands there. Needs root, debootstrap and about 8 GB under the given folder.
#
#   tools/fresh_machine.sh [folder] [command...]        (default: build/fresh-machine make test)
set -euo pipefail
cd "$(dirname "$0")/.."

root=$(realpath -m "${1:-build/fresh-machine}")
shift || true
[ $# -gt 0 ] || set -- make test
mirror=${KALAM_DEBIAN_MIRROR:-http://deb.debian.org/debian}

[ "$(id -u)" -eq 0 ] || { echo "run this as root: it makes and enters a file system root" >&2; exit 1; }
command -v debootstrap >/dev/null || { echo "install debootstrap first" >&2; exit 1; }

cleanup() {
  for mounted in proc sys dev/pts dev; do mountpoint -q "$root/$mounted" && umount -l "$root/$mounted"; done
  return 0
}
trap cleanup EXIT

if [ ! -e "$root/etc/debian_version" ]; then
  # Only what a minimal Debian has: no compiler, no git, no certificates.
  debootstrap --variant=minbase bookworm "$root" "$mirror" >/dev/null
  # This root is thrown away: an fsync per file would only make unpacking slow.
  echo force-unsafe-io > "$root/etc/dpkg/dpkg.cfg.d/unsafe-io"
  cat > "$root/etc/apt/sources.list" <<LIST
deb $mirror bookworm main
deb $mirror bookworm-updates main
deb ${mirror/%debian/debian-security} bookworm-security main
LIST
fi
# The names, certificates and proxy settings with which this machine reaches the world.
cp -L /etc/resolv.conf "$root/etc/resolv.conf" 2>/dev/null || true
cp -L /etc/hosts "$root/etc/hosts"
mkdir -p "$root/usr/local/share/ca-certificates"
cp /usr/local/share/ca-certificates/*.crt "$root/usr/local/share/ca-certificates/" 2>/dev/null || true
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys" 2>/dev/null && mount --make-rslave "$root/sys" || true
mount --rbind /dev "$root/dev" && mount --make-rslave "$root/dev"

# What a newcomer has: git and make, and a clone.
in_root() { env -i HOME=/root TERM=dumb PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 chroot "$root" "$@"; }
in_root sh -c 'apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends git make ca-certificates >/dev/null'
git bundle create "$root/root/kalamdb.bundle" HEAD >/dev/null 2>&1
in_root sh -c 'rm -rf /root/kalamdb && git clone -q /root/kalamdb.bundle /root/kalamdb'
echo "== in a bare $(cat "$root/etc/debian_version"): $*"
in_root sh -c 'cd /root/kalamdb && exec "$@"' sh "$@"

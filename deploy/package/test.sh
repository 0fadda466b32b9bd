#!/bin/sh
# Installs the packages of target/dist in a clean Debian, runs what is in them, and removes them.
#
#   test.sh [SUITE [MIRROR]]      the Debian release and its mirror, by default this machine's
#
# Needs root and debootstrap; without them it says so and checks nothing.
set -eu
cd "$(dirname "$0")/../.."
dist=$(pwd)/target/dist
skip() { echo "not tested: the packages: $1" >&2; exit 0; }
[ "$(id -u)" -eq 0 ] || skip "this needs root"
command -v debootstrap >/dev/null || skip "debootstrap is not installed"
suite=${1:-$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)}
mirror=${2:-$(sed -n 's/^URIs: //p; s/^deb [^h]*\(http[^ ]*\).*/\1/p' /etc/apt/sources.list.d/debian.sources \
    /etc/apt/sources.list 2>/dev/null | head -n 1)}

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
chmod 755 "$root"
echo "Installing Debian $suite into a directory" >&2
debootstrap --variant=minbase --include=ca-certificates,man-db,bash-completion,systemd,libssl3 \
    "$suite" "$root" "${mirror:-http://deb.debian.org/debian}" >"$root.log" 2>&1 ||
    { tail -n 5 "$root.log" >&2; exit 1; }
rm -f "$root.log"
cp "$dist"/*.deb "$dist"/*.tar.gz "$root/tmp"

inside() { chroot "$root" env -i PATH="$path" LC_ALL=C.UTF-8 "$@"; }
path=/usr/sbin:/usr/bin:/sbin:/bin
installed() {
    inside pushctl --version
    inside man -w pushctl-send >/dev/null
    inside man pushctl | grep -q PUSHCTL
    inside bash -c '. /usr/share/bash-completion/bash_completion; _completion_loader pushctl
        complete -p pushctl >/dev/null'
    inside systemd-analyze verify pushctl-tick.service pushctl-tick.timer pushctl@layer3.service
    inside sh -c 'cd /tmp && pushctl audiences >/dev/null'
}

echo "The Debian package:" >&2
inside sh -c 'dpkg -i /tmp/*.deb' >/dev/null
installed
inside id pushctl >/dev/null
inside test ! -e /etc/systemd/system/timers.target.wants/pushctl-tick.timer
inside dpkg -r pushctl >/dev/null
if inside sh -c 'command -v pushctl'; then echo "error: the program is still there" >&2; exit 1; fi

echo "The tarball:" >&2
inside sh -c 'tar -xzf /tmp/*.tar.gz -C /usr/local --strip-components 1'
path=/usr/local/bin:$path
installed
echo "Both install, run, complete and are removed." >&2

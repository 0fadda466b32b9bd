# shellcheck shell=sh
# Shared functions of the scripts in this directory. Sourced, not run.

say() { printf '%s\n' "$*" >&2; }
die() { say "error: $1"; shift; for hint; do say "hint: $hint"; done; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }
is_root() { [ "$(id -u)" -eq 0 ]; }

# Runs a command as root, or fails where that would take a password.
as_root() {
    if is_root; then "$@"; elif have sudo; then sudo -n "$@"; else return 1; fi
}

# Whether apt_install may install something.
can_install() { have apt-get && as_root true 2>/dev/null; }

# openssl-sys finds OpenSSL by pkg-config, or where these say it is.
openssl_found() {
    [ -n "${OPENSSL_DIR:-}${OPENSSL_LIB_DIR:-}" ] || { have pkg-config && pkg-config --exists openssl; }
}

# apt_install PACKAGE…: fails quietly where there is no apt, or no right to use it.
# Starts no service, even if the package would.
apt_install() {
    can_install || return 1
    say "Installing $* with apt"
    policy=/usr/sbin/policy-rc.d
    [ ! -e $policy ] || policy=
    [ -z "$policy" ] || { printf '#!/bin/sh\nexit 101\n' | as_root tee $policy >/dev/null && as_root chmod 755 $policy; }
    # The package lists may be absent or old: fetched only when the first attempt fails.
    apt_status=0
    apt_get install "$@" || { apt_get update && apt_get install "$@"; } || apt_status=1
    [ -z "$policy" ] || as_root rm -f $policy
    return $apt_status
}

apt_get() {
    verb=$1; shift
    [ "$verb" != install ] || set -- --yes --no-install-recommends "$@"
    apt_log=$(mktemp) || return 1
    if (umask 022 && as_root env DEBIAN_FRONTEND=noninteractive apt-get -q "$verb" "$@") >"$apt_log" 2>&1 </dev/null; then
        rm -f "$apt_log"
    else
        [ "$verb" != update ] || tail -n 5 "$apt_log" >&2
        rm -f "$apt_log"
        return 1
    fi
}

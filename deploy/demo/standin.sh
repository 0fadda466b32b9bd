#!/bin/sh
# The push service's stand-in, for the demo: it accepts pushes on a loopback port; no phone receives one.
#
#   standin.sh start DIR PROGRAM SCRIPT   starts PROGRAM, unless it runs already; SCRIPT sets its failures
#   standin.sh get DIR NAME               prints its url, ca, credentials or log
#   standin.sh stop DIR                   ends it
#
# DIR/pid          its process                       DIR/accepted.log   what it accepted, a line a push
# DIR/ready.json   where it listens, once it does    DIR/service-account.json, DIR/ca.pem   what senders need
set -eu
umask 077
here=$(cd "$(dirname "$0")" && pwd -P)
. "$here/machine.sh"

main() {
    case ${1:-}:$# in
        start:4) mkdir -p "$2"; dir=$(cd "$2" && pwd -P); start "$3" "$4" ;;
        get:3) sed -n "s/.*\"$3\":\"\([^\"]*\)\".*/\1/p" "$2/ready.json" ;;
        stop:2) if [ -d "$2" ]; then dir=$(cd "$2" && pwd -P); stop; fi ;;
        *) sed -n '2,/^#$/!d; s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
    esac
}

start() {
    if is_running && [ -f "$dir/ready.json" ]; then return 0; fi
    stop
    rm -f "$dir/ready.json"
    # It outlives this shell and its terminal, and holds none of our streams open.
    nohup "$1" --dir "$dir" --script "$2" >"$dir/output" 2>&1 </dev/null &
    echo $! >"$dir/pid"
    waited=0
    until [ -f "$dir/ready.json" ]; do
        kill -0 "$(cat "$dir/pid")" 2>/dev/null || die "the stand-in did not start: $(tail -n 3 "$dir/output")"
        waited=$((waited + 1))
        [ $waited -le 300 ] || die "the stand-in is not ready after 30 s" "its output is in $dir/output"
        sleep 0.1
    done
}

stop() {
    if is_running; then
        kill "$pid"
        waited=0
        while is_running && [ $waited -lt 50 ]; do waited=$((waited + 1)); sleep 0.1; done
    fi
    rm -f "$dir/pid"
}

# The process of the pid file may be gone, and its number another's: ours was given this directory.
is_running() {
    pid=$(cat "$dir/pid" 2>/dev/null) && [ -n "$pid" ] || return 1
    if [ -d /proc/self ]; then
        tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -qF -- "--dir $dir "
    else
        ps -p "$pid" -o command= 2>/dev/null | grep -qF -- "--dir $dir"
    fi
}

main "$@"

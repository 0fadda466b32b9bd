#!/usr/bin/env bash
# Speed, CPU and memory of `pushctl send` with its ledger on, against the official Node SDK and h2load, all of them
# sending to the stand-in for the push service on this machine. Interleaved runs, medians, as Markdown.
#
#   benches/send.sh      COUNT=100000 RUNS=5 LARGE=1000000 CONTENDERS="h2load client sdk send"
#
# Everything it makes and installs stays in target/bench. LARGE=0 leaves the large run out.
set -euo pipefail
cd "$(dirname "$0")/.."
. deploy/demo/machine.sh
. benches/measure.sh
count=${COUNT:-100000} runs=${RUNS:-5} large=${LARGE:-1000000}
contenders=${CONTENDERS:-h2load client sdk send}
sdk_version=14.5.1 node_version=22.23.3 # the SDK wants this Node at least
path=/v1/projects/example-project/messages:send
title='[[var:name]], someone wants your shoes'
body='12 people want your Jordan 4'
link=https://tradeblock.us/closet

main() {
    local contender run
    prepare
    for run in $(seq 0 "$runs"); do # the first run of each warms up and is not counted
        for contender in $contenders; do
            say "$contender: run $run of $runs"
            measure "$contender" "$contender" "$run" "$count"
        done
    done
    case " $contenders " in *' send '*) [ "$large" -eq 0 ] || measure_large ;; esac
    report
}

prepare() {
    build
    find_gnu_time
    bench=$(cd "${CARGO_TARGET_DIR:-target}" && pwd -P)/bench
    mkdir -p "$bench"
    scratch=$(mktemp -d "$bench/run.XXXXXX")
    trap clean_up EXIT
    forget_configuration
    unset DATABASE_URL DATABASE_URL_FILE
    have h2load || apt_install nghttp2-client || leave_out h2load "h2load is not here and cannot be installed (Debian: nghttp2-client)"
    wanted sdk && install_sdk
    [ -n "$contenders" ] || die "no contender is left to measure"
    wanted send && write_audience "$count" "$scratch/audience.csv"
    start_stand_in
    printf '{"message":{"token":"%s","notification":{"title":"%s","body":"%s"},"data":{"click_action":"%s","url":"%s"},%s}}' \
        "$(token 1)" "${title/\[\[var:name\]\]/Ana}" "$body" "$link" "$link" \
        '"android":{"collapse_key":"bench","notification":{"tag":"bench"}},"apns":{"headers":{"apns-collapse-id":"bench"}}' \
        >"$scratch/message.json"
}

# The programs of the tests are built by themselves: what they add to the libraries must not get into pushctl.
build() {
    local flags release
    flags=$(deploy/demo/build-deps.sh)
    # shellcheck disable=SC2086 # words
    cargo build --release --locked --quiet $flags
    # shellcheck disable=SC2086
    cargo build --release --locked --quiet $flags --example fcm-standin --example fcm-load
    release=$(cd "${CARGO_TARGET_DIR:-target}/release" && pwd -P)
    pushctl=$release/pushctl stand_in=$release/examples/fcm-standin fcm_load=$release/examples/fcm-load
}

clean_up() {
    [ -z "${server:-}" ] || kill "$server" 2>/dev/null || true
    rm -rf "$scratch"
}

wanted() { case " $contenders " in *" $1 "*) ;; *) return 1 ;; esac; }

# leave_out CONTENDER WHY: the table goes without it.
leave_out() {
    local kept='' each
    say "Without $1: $2"
    for each in $contenders; do [ "$each" = "$1" ] || kept="$kept $each"; done
    contenders=${kept# }
}

# The SDK, and a Node that is new enough for it, into a cache of our own.
install_sdk() {
    local packages=("firebase-admin@$sdk_version") system machine
    have npm || apt_install nodejs npm || true
    have npm || { leave_out sdk "npm is not here and cannot be installed"; return; }
    sdk=$bench/firebase-admin-$sdk_version node=node
    if [ "$(node -p 'process.versions.node.split(".")[0]' 2>/dev/null || echo 0)" -lt "${node_version%%.*}" ]; then
        case $(uname -s) in Darwin) system=darwin ;; *) system=linux ;; esac
        case $(uname -m) in aarch64 | arm64) machine=arm64 ;; *) machine=x64 ;; esac
        packages+=("node-$system-$machine@$node_version")
        sdk=$sdk-with-node
        node=$sdk/node_modules/node-$system-$machine/bin/node
    fi
    if [ ! -e "$sdk/installed" ]; then
        say "Installing ${packages[*]} with npm"
        mkdir -p "$sdk"
        if ! (cd "$sdk" && npm install --prefix . --no-save --no-package-lock --no-audit --no-fund --ignore-scripts \
            --omit=optional --no-update-notifier --loglevel=error "${packages[@]}" >/dev/null </dev/null); then
            leave_out sdk "npm could not install ${packages[*]}"
            return
        fi
        touch "$sdk/installed"
    fi
    "$node" --version >/dev/null 2>&1 || leave_out sdk "$node does not run on this machine"
}

# token NUMBER: as long as a real one.
token() { printf 'dJ8sK2:APA91b%0130d' "$1"; }

# write_audience ROWS FILE
write_audience() {
    awk -v rows="$1" 'BEGIN {
        split("Ana Ben Chloe Dmitri Eleni Farid Grace Hiro", names, " ")
        print "user_id,name,token"
        for (row = 1; row <= rows; row++) printf "00000000-0000-4000-8000-%012d,%s,dJ8sK2:APA91b%0130d\n", row, names[row % 8 + 1], row }' >"$2"
}

start_stand_in() {
    local _
    service=$scratch/stand-in
    mkdir "$service"
    "$stand_in" --dir "$service" --lend >/dev/null 2>"$scratch/stand-in.said" </dev/null &
    server=$!
    for _ in $(seq 100); do
        [ ! -e "$service/ready.json" ] || break
        kill -0 "$server" 2>/dev/null || break
        sleep 0.1
    done
    [ -e "$service/ready.json" ] || { cat "$scratch/stand-in.said" >&2; die "the stand-in did not start"; }
    url=$(sed 's/.*"url":"\([^"]*\)".*/\1/' "$service/ready.json")
}

# measure NAME CONTENDER RUN COUNT: a line of NAME.time, namely messages a second, microseconds of CPU a message of the
# contender and of the stand-in, KiB of the peak, messages a second as the contender says itself, and how many cores
# other processes kept busy. Run 0 leaves none.
measure() {
    local name=$1 contender=$2 run=$3 count=$4 before after machine rate cpu peak own used wall
    : >"$service/accepted.log"
    before=$(server_ticks) machine=$(machine_ticks)
    "by_$contender" "$count"
    after=$(server_ticks) machine=$(($(machine_ticks) - machine))
    accepted_all "$contender" "$count"
    [ "$run" -eq 0 ] || awk -v rate="$rate" -v cpu="$cpu" -v server=$((after - before)) -v hertz="$(getconf CLK_TCK)" -v peak="$peak" \
        -v own="${own:-0}" -v machine="$machine" -v used="$used" -v wall="$wall" -v count="$count" \
        'BEGIN { print rate, cpu, server / hertz * 1e6 / count, peak, own, ((machine - server) / hertz - used) / wall }' \
        >>"$scratch/$name.time"
}

# CPU of the stand-in so far; 0 where there is no /proc.
server_ticks() { sed 's/.*) //' "/proc/$server/stat" 2>/dev/null | awk '{ ticks = $12 + $13 } END { print ticks + 0 }'; }

# CPU of everything so far.
machine_ticks() { awk '/^cpu / { ticks = $2 + $3 + $4 + $7 + $8 } END { print ticks + 0 }' /proc/stat 2>/dev/null || echo 0; }

# A contender that did not send every message exactly once is not measured.
accepted_all() {
    local lines
    lines=$(wc -l <"$service/accepted.log")
    [ "$lines" -eq "$2" ] || { tail -q -n 40 "$scratch/said" "$scratch/complaint" >&2; die "$1 got $((lines)) of $2 messages accepted"; }
    [ "$1" != send ] || [ -z "$(cut -f 3 "$service/accepted.log" | LC_ALL=C sort -S 64M | uniq -d | head -n 1)" ] || die "$1 sent a message twice"
}

# The contenders: each sets rate, cpu, peak, and own if it measures itself another way than we do.

by_h2load() {
    timed h2load -n "$1" -c 4 -m 100 -d "$scratch/message.json" -H 'content-type: application/json' \
        -H "authorization: Bearer $(cat "$service/bearer")" "$url$path"
    grep -q "^status codes: $1 2xx" "$scratch/said" || { cat "$scratch/said" >&2; die "h2load was refused"; }
    rate=$(sed -n 's/^finished in [^,]*, \([0-9.]*\) req.*/\1/p' "$scratch/said")
    cpu=$(cpu_a_message "$1")
}

by_client() {
    timed "$fcm_load" --dir "$service" --count "$1"
    rate=$(field messages_a_second <"$scratch/said")
    cpu=$(field cpu_microseconds_a_message <"$scratch/said")
}

by_sdk() {
    timed "$node" benches/send/node.mjs "$sdk" "$service" "$1"
    rate=$(field messages_a_second <"$scratch/said")
    cpu=$(field cpu_microseconds_a_message <"$scratch/said")
}

# The whole command, from its start to its end, on a new ledger.
by_send() {
    rm -rf "$scratch/state.db"* "$scratch/outcomes"
    timed env GOOGLE_APPLICATION_CREDENTIALS="$service/service-account.json" PUSHCTL_PUSH_URL="$url" PUSHCTL_PUSH_CA="$service/ca.pem" \
        "$pushctl" send --audience "${audience:-$scratch/audience.csv}" --layer 4 --title "$title" --body "$body" \
        --deep-link "$link" --rate 100000 --state "$scratch/state.db" --outcomes "$scratch/outcomes" --yes --json
    rate=$(awk -v count="$1" -v wall="$wall" 'BEGIN { print count / wall }')
    cpu=$(cpu_a_message "$1")
    own=$(field messages_per_second <"$scratch/said")
}

# timed COMMAND…: sets wall (s), used (s of CPU) and peak (KiB); what it prints goes to the file "said".
timed() {
    local began ended
    began=$EPOCHREALTIME
    "$gnu_time" -q -f '%U %S %M' -o "$scratch/used" "$@" </dev/null >"$scratch/said" 2>"$scratch/complaint" || {
        tail -q -n 20 "$scratch/said" "$scratch/complaint" >&2
        die "$contender failed"
    }
    ended=$EPOCHREALTIME
    wall=$(seconds "$began" "$ended")
    read -r used peak < <(awk '{ print $1 + $2, $3 }' "$scratch/used")
}

cpu_a_message() { awk -v used="$used" -v count="$1" 'BEGIN { print used * 1e6 / count }'; }

# One run of a large audience: memory must not grow with it.
measure_large() {
    local audience=$scratch/large.csv
    say "send: $large rows"
    write_audience "$large" "$audience"
    measure large send 1 "$large"
    rm -f "$audience"
}

report() {
    local contender
    echo "$(machine), $count messages, median of $runs interleaved runs. The senders and the stand-in share the cores."
    echo
    echo "| sender | messages/s | CPU a message | of the stand-in | cores busy | peak memory |"
    echo "| --- | ---: | ---: | ---: | ---: | ---: |"
    for contender in $contenders; do row "$contender" "$(label "$contender")"; done
    [ ! -e "$scratch/large.time" ] || row large "\`pushctl send\`, $large rows, one run"
    echo
    remarks
    goals
}

# Notes about the table.
remarks() {
    local own
    cat "$scratch"/*.time | awk '$6 > most { most = $6 } END {
        if (most > 0.2) printf "**Something else was running**: it kept up to %.1f cores busy. Such figures mean little.\n", most }'
    ! measured h2load || echo "The stand-in takes $(median h2load 1 | awk '{ printf "%d", $1 }') messages/s from a fast enough sender."
    ! measured sdk || echo "The SDK is timed by itself, from its first message to its last; nothing is read, personal or recorded."
    measured send || return 0
    own=$(median send 5 | awk '{ printf "%d", $1 }')
    echo "\`pushctl send\` is timed from its start to its end, with audience, ledger, cadence and outcome files$(
        [ "$own" = 0 ] || echo "; by its own count it sends $own messages/s")."
}

measured() { [ -e "$scratch/$1.time" ]; }

# The goals and the measured values.
goals() {
    measured send || return 0
    echo
    echo "| \`pushctl send\` | goal | measured |"
    echo "| --- | ---: | ---: |"
    if measured sdk; then
        goal "messages/s, as a multiple of the SDK's" "$(quotient send sdk 1)" least 4
        goal "CPU a message, as a share of the SDK's" "$(quotient send sdk 2)" most 0.2
    fi
    ! measured h2load || goal "messages/s, as a share of h2load's" "$(quotient send h2load 1)" least 0.5
    ! measured large || goal "peak memory with $large rows, MiB" "$(median large 4 | awk '{ print $1 / 1024 }')" most 64
}

# goal WHAT MEASURED least|most BOUND
goal() {
    awk -v what="$1" -v got="$2" -v side="$3" -v bound="$4" 'BEGIN {
        met = side == "least" ? got >= bound : got <= bound
        printf "| %s | at %s %s | %.2f%s |\n", what, side, bound, got, met ? "" : " (missed)" }'
}

# quotient NAME OTHER COLUMN
quotient() { awk -v a="$(median "$1" "$3")" -v b="$(median "$2" "$3")" 'BEGIN { print a / b }'; }

label() {
    case $1 in
        h2load) echo "\`h2load -c 4 -m 100\`, one message again and again" ;;
        client) echo "pushctl's client alone (\`fcm-load\`)" ;;
        sdk) echo "firebase-admin $sdk_version, Node $("$node" -p process.versions.node), \`sendEachForMulticast\`, 500, two in flight" ;;
        send) echo "\`pushctl send\`, ledger in SQLite" ;;
    esac
}

# row NAME LABEL
row() {
    awk -v label="$2" -v rate="$(median "$1" 1)" -v cpu="$(median "$1" 2)" -v server="$(median "$1" 3)" -v peak="$(median "$1" 4)" 'BEGIN {
        printf "| %s | %d | %.1f µs | %.1f µs | %.2f + %.2f | %.1f MiB |\n", label, rate, cpu, server, cpu * rate / 1e6,
            server * rate / 1e6, peak / 1024 }'
}

main

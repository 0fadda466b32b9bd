#!/usr/bin/env bash
# Speed and memory of `pushctl generate` against `psql` copying the rows of the same SQL, at a
# million people, over TLS, both reading one instant. Interleaved runs, medians, as Markdown.
#
#   benches/generate.sh      USERS=1000000 RUNS=5 AUDIENCES="layer2 nudges"
#
# The database `bench` stands in the demo's cluster and is used again for a day; make demo-stop removes it.
set -euo pipefail
cd "$(dirname "$0")/.."
. deploy/demo/machine.sh
. benches/measure.sh
users=${USERS:-1000000} runs=${RUNS:-5} startups=50
cluster=.demo/postgres
product=42f1e2fa-04bc-46d2-bd22-d11514db6623 # of seed.sql the most popular

main() {
    [ -n "${EPOCHREALTIME:-}" ] || die "this bash is too old to tell microseconds" "use bash 5 or newer"
    prepare
    describe
    echo
    echo "| audience | rows | \`pushctl\` | \`psql\` | ratio | memory of \`pushctl\` | of \`psql\` |"
    echo "| --- | ---: | ---: | ---: | ---: | ---: | ---: |"
    for audience in ${AUDIENCES:-layer2 layer3 showcase waterfall nudges}; do compare "$audience"; done
    echo
    echo "| start-up | median of $startups |"
    echo "| --- | ---: |"
    # shellcheck disable=SC2086 # words
    for command in --version audiences "completions bash"; do start_up "pushctl $command" "$pushctl" $command; done
    start_up true "$(type -P true)"
}

prepare() {
    flags=$(deploy/demo/build-deps.sh)
    # shellcheck disable=SC2086 # words
    cargo build --release --locked --quiet $flags
    pushctl=$(cd "${CARGO_TARGET_DIR:-target}/release" && pwd -P)/pushctl
    have psql || apt_install postgresql-client || die "psql is not here to compare with" "install PostgreSQL's client"
    find_gnu_time
    mkdir -p .demo
    say "Seeding $users people, unless they are there already"
    deploy/demo/postgres.sh load "$cluster" bench -c "market.users=$users" tests/market/schema.sql tests/market/seed.sql
    DATABASE_URL=$(deploy/demo/postgres.sh url "$cluster" bench)
    export DATABASE_URL
    as_of=$(date -u +%Y-%m-%dT%H:%M:%SZ)
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    forget_configuration
}

describe() {
    echo "$(machine)," \
        "PostgreSQL $(psql -XAtq "$DATABASE_URL" -c 'SHOW server_version' | cut -d ' ' -f 1) on the same machine, TLS," \
        "$users people, median of $runs interleaved runs."
}

# One row of the table.
compare() {
    local audience=$1 parameters=() run rows
    [ "$audience" != showcase ] || parameters=(--product-id "$product")
    script "$audience" >"$scratch/$audience.sql"
    rm -f "$scratch"/*.time
    # The first run of each warms the caches and is not counted.
    for run in $(seq 0 "$runs"); do
        say "$audience: run $run of $runs"
        timed pushctl "$run" "$pushctl" generate "$audience" "${parameters[@]}" --as-of "$as_of" \
            --output "$scratch/out" --name-suffix '' --on-empty ok --quiet
        timed psql "$run" psql -Xq -v ON_ERROR_STOP=1 -f "$scratch/$audience.sql" "$DATABASE_URL" -o "$scratch/psql.csv"
    done
    rows=$("$pushctl" generate "$audience" "${parameters[@]}" --as-of "$as_of" --dry-run --json --on-empty ok 2>/dev/null |
        tr ',{}' '\n' | awk -F: '/^ *"rows" *:/ { rows += $2 } END { print rows + 0 }')
    awk -v audience="$audience" -v rows="$rows" -v ours="$(median pushctl 1)" -v theirs="$(median psql 1)" \
        -v our_memory="$(median pushctl 2)" -v their_memory="$(median psql 2)" 'BEGIN {
            printf "| %s | %d | %.2f s | %.2f s | %.2f | %.1f MiB | %.1f MiB |\n", audience, rows, ours, theirs,
                ours / theirs, our_memory / 1024, their_memory / 1024 }'
}

# The audience as psql runs it, at the same instant.
script() {
    "$pushctl" audiences "$1" --sql |
        sed -e "s/'pushctl.as_of', now()::text/'pushctl.as_of', '$as_of'/" -e "s/<product_id>/$product/"
}

# timed WHAT RUN COMMAND…: seconds and KiB of the peak, as a line of WHAT.time; run 0 leaves none.
timed() {
    local what=$1 run=$2 began ended
    shift 2
    began=$EPOCHREALTIME
    "$gnu_time" -q -f %M -o "$scratch/peak" "$@" </dev/null >"$scratch/said" 2>&1 || {
        tail -n 20 "$scratch/said" >&2
        die "$what failed"
    }
    ended=$EPOCHREALTIME
    [ "$run" -eq 0 ] || echo "$(seconds "$began" "$ended") $(tail -n 1 "$scratch/peak")" >>"$scratch/$what.time"
}

# start_up LABEL COMMAND…
start_up() {
    local label=$1 began ended
    shift
    rm -f "$scratch/start.time"
    for _ in $(seq "$startups"); do
        began=$EPOCHREALTIME
        "$@" >/dev/null
        ended=$EPOCHREALTIME
        seconds "$began" "$ended" >>"$scratch/start.time"
    done
    awk -v what="$label" -v s="$(median start 1)" 'BEGIN { printf "| `%s` | %.1f ms |\n", what, s * 1000 }'
}

main

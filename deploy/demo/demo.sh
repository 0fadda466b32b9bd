#!/bin/sh
# The demo: a private PostgreSQL full of made-up people, and every audience out of it.
#
#   demo.sh [USERS]     builds, seeds and generates; what is there already is reused
#   demo.sh stop        stops the server and removes everything
#
# All that it makes is in .demo/ (and the build in target/).
set -eu
here=$(cd "$(dirname "$0")" && pwd -P)
cd "$here/../.."
. "$here/machine.sh"
cluster=.demo/postgres
audiences=.demo/audiences
# Of seed.sql: product 1, which most offers are made on, and people 1, 3 and 12, who get the test files.
product=42f1e2fa-04bc-46d2-bd22-d11514db6623
test_users='d6d77053-92bc-7af6-3332-8bea8c4c6904 134ad24e-9980-6ca1-1119-7065657dbf5e e62b8bcc-21d7-cf37-a1ab-f477863b0bd4'

main() {
    case ${1:-50000} in
        stop) stop ;;
        *[!0-9]* | 0*) die "USERS is not a number: $1" "make demo USERS=50000" ;;
        *) demo "${1:-50000}" ;;
    esac
}

demo() {
    step "Building pushctl"
    flags=$("$here/build-deps.sh")
    # shellcheck disable=SC2086 # words
    cargo build --release --locked $flags
    bin=$(cd "${CARGO_TARGET_DIR:-target}/release" && pwd -P)

    step "PostgreSQL with TLS, $1 made-up people (a minute or so for each 500,000)"
    mkdir -p .demo
    "$here/postgres.sh" load "$cluster" market -c "market.users=$1" tests/market/schema.sql tests/market/seed.sql
    "$here/postgres.sh" load "$cluster" history -c "market.users=$1" tests/market/history.sql
    write_settings
    # shellcheck source=/dev/null
    . ./.demo/env

    step "Every audience, into $audiences"
    rm -rf "$audiences"
    for audience in layer2 layer3 "showcase --product-id $product" waterfall nudges; do
        # shellcheck disable=SC2086 # words
        show generate $audience --output "$audiences"
    done

    step "One audience as a funnel: who remains after each step, and why the others left"
    show generate layer2 --dry-run --funnel

    person=$(sed -n '2s/,.*//p' "$audiences"/trending-closet-items_2*.csv 2>/dev/null || true)
    person=${person:-${test_users%% *}}
    step "One person: which conditions hold for them"
    show why layer2 --user "$person"

    step "Done. To try, from this directory:"
    cat >&2 <<EOF
    . .demo/env
    pushctl audiences
    pushctl generate layer3 --lookback-hours 24 --funnel
    pushctl generate waterfall --output - --file no-bio-new-user | head
    pushctl generate showcase --product-id $product --dry-run
    pushctl why layer3 --user $person
    pushctl audiences layer2 --sql
    pushctl config show

To stop the server and remove everything: make demo-stop
EOF
}

# What the commands need, so that they run as written in any directory and shell.
write_settings() {
    root=$(pwd -P)
    (umask 077 && cat >.demo/env) <<EOF
export DATABASE_URL='$("$here/postgres.sh" url "$cluster" market)'
export PUSH_CADENCE_DATABASE_URL='$("$here/postgres.sh" url "$cluster" history)'
export PUSHCTL_CONFIG='$root/.demo/pushctl.toml'
case :\$PATH: in *':$bin:'*) ;; *) PATH='$bin':\$PATH ;; esac
EOF
    {
        printf 'output = "%s"\ntest_users = [\n' "$root/$audiences"
        for id in $test_users; do printf '    "%s",\n' "$id"; done
        printf ']\n'
    } >.demo/pushctl.toml
}

stop() {
    "$here/postgres.sh" destroy "$cluster"
    "$here/postgres.sh" uninstall
    rm -rf .demo
}

step() { say "${bold}==> $*${plain}"; }
show() { say "${dim}\$ pushctl $*${plain}"; pushctl "$@"; }

bold='' dim='' plain=''
if [ -t 2 ] && [ -z "${NO_COLOR:-}" ]; then bold=$(printf '\033[1m') dim=$(printf '\033[2m') plain=$(printf '\033[0m'); fi
main "$@"

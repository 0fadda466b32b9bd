#!/bin/sh
# The demo: a private PostgreSQL with generated users, every audience of it, and pushes to a stand-in for the push
# service, so that no phone receives one.
#
#   demo.sh [USERS]     builds, seeds, generates and sends; reuses existing parts
#   demo.sh stop        stops both servers and removes everything
#
# All its files are in .demo/ (and the build in target/).
set -eu
here=$(cd "$(dirname "$0")" && pwd -P)
cd "$here/../.."
. "$here/machine.sh"
cluster=.demo/postgres
service=.demo/push-service
audiences=.demo/audiences
automations=.demo/automations
other=.demo/called-off.log
page=.demo/run.html
pages=.demo/runs.html
# From seed.sql: product 1, which has the most offers, and users 1, 3 and 12, who get the test files.
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
    "$here/needs.sh" demo
    say "The steps: build (minutes, the first time), database and push service, audiences, a push, an automation, a cancelled
one, and the pages of the runs. About three minutes after the build. Each step says what it took."
    begun=$(date +%s)
    build
    serve "$1"
    write_settings
    # shellcheck source=/dev/null
    . ./.demo/env
    generate
    send
    pipelines
    look
    next_steps
    say "It took $(took "$begun")."
}

build() {
    step "Building pushctl, and the push service's stand-in"
    flags=$("$here/build-deps.sh")
    # Separately: together, cargo would build features that only the stand-in needs into pushctl.
    # shellcheck disable=SC2086 # words
    cargo build --release --locked $flags
    # shellcheck disable=SC2086 # words
    cargo build --release --locked $flags --example fcm-standin
    bin=$(cd "${CARGO_TARGET_DIR:-target}/release" && pwd -P)
}

serve() {
    step "PostgreSQL with TLS, $1 made-up people (a minute or so for each 500,000)"
    mkdir -p .demo
    "$here/postgres.sh" load "$cluster" market -c "market.users=$1" tests/market/schema.sql tests/market/seed.sql
    # Recreated each time: after the pushes of the last demo, cadence would exclude most users.
    rm -f "$cluster/loaded.history"
    "$here/postgres.sh" load "$cluster" history -c "market.users=$1" tests/market/history.sql "$here/history-role.sql"
    "$here/standin.sh" start "$service" "$bin/examples/fcm-standin" "$here/push-service.toml"
}

generate() {
    step "Every audience, into $audiences"
    rm -rf "$audiences"
    for audience in layer2 layer3 "showcase --product-id $product" waterfall nudges; do
        # shellcheck disable=SC2086 # words
        show generate $audience --output "$audiences"
    done

    step "One audience as a funnel: users left after each stage, and why the others left"
    show generate layer2 --dry-run --funnel

    person=$(sed -n '2s/,.*//p' "$audiences"/trending-closet-items_2*.csv 2>/dev/null || true)
    person=${person:-${test_users%% *}}
    step "One person: which conditions hold for them"
    show why layer2 --user "$person"
}

send() {
    file=
    for each in "$audiences"/trending-closet-items_2*.csv; do [ ! -f "$each" ] || file=$each; done
    if [ -z "$file" ]; then say "No user owns a trending shoe, so there is nothing to send. Increase USERS."; return 0; fi
    set -- --audience "$file" --title '[[var:product_name|truncate:40]] is trending' \
        --body '[[var:variant_open_offers|number]] open offers name your pair. See them →'

    step "How a push reads, before anybody gets it"
    show preview "$@"

    # A separate occurrence: the same texts to the same users would be the same push.
    step "It is sent: checked, claimed, sent, recorded, each person once"
    status=0
    show send "$@" --layer 2 --occurrence "demo-$(date +%s)" --yes || status=$?
    case $status in
        0) ;;
        3)
            step "An answer was lost, so one push is in doubt: sending it again is your decision"
            show resume last --in-doubt retry --yes ;;
        *) exit "$status" ;;
    esac
}

pipelines() {
    mkdir -p "$automations"
    cp "$here"/automations/*.toml "$automations"
    step "An automation: audience, test push, a minute to cancel, the pushes, cleanup: two minutes in all"
    show check --automations "$automations"
    # Meanwhile another one with a longer cancellation window. It starts first, so that `last` is the one that is shown.
    pushctl run-pipeline called-off --now --automations "$automations" >"$other" 2>&1 &
    beside=$!
    trap 'kill $beside 2>/dev/null || true' EXIT
    until [ -s "$other" ] || ! kill -0 $beside 2>/dev/null; do sleep 0.1; done
    show_or_in_part run-pipeline at-once --now --automations "$automations"

    step "Another one runs beside it, in another process, and is cancelled in its window"
    say "${dim}\$ pushctl run-pipeline called-off --now --automations $automations &${plain}"
    show cancel called-off --reason 'wrong shoe'
    status=0
    wait $beside || status=$?
    trap - EXIT
    cat "$other" >&2
    say "Exit status $status."
}

look() {
    pushctl runs --help >/dev/null 2>&1 || return 0
    step "What there has been, and the last complete run as a page"
    show runs
    show runs show last --html "$page"
    show runs --html "$pages"
}

next_steps() {
    step "Done. To try, from this directory:"
    cat >&2 <<EOF
    . .demo/env
    pushctl audiences
    pushctl generate layer3 --lookback-hours 24 --funnel
    pushctl generate waterfall --output - --file no-bio-new-user | head
    pushctl why layer3 --user $person
    pushctl runs
    pushctl status
    pushctl check
    pushctl schedule show
    pushctl run-pipeline layer3 --mode real-dry-run
    pushctl config show
    pushctl doctor

The accepted pushes are listed in $service/accepted.log$([ ! -f "$page" ] || echo ", the page of a run is $page, that of all runs $pages").
To stop the servers and remove everything: make demo-stop
EOF
}

# Environment of the commands, so that they run as written in any directory and shell.
write_settings() {
    root=$(pwd -P)
    (umask 077 && cat >.demo/env) <<EOF
export DATABASE_URL='$("$here/postgres.sh" url "$cluster" market)'
export PUSH_CADENCE_DATABASE_URL='$("$here/postgres.sh" url "$cluster" history)'
export GOOGLE_APPLICATION_CREDENTIALS='$("$here/standin.sh" get "$service" credentials)'
export PUSHCTL_PUSH_URL='$("$here/standin.sh" get "$service" url)'
export PUSHCTL_PUSH_CA='$("$here/standin.sh" get "$service" ca)'
export PUSHCTL_STATE_URL='$root/.demo/state.db'
export PUSHCTL_OUTCOMES='$root/.demo/outcomes'
export PUSHCTL_AUTOMATIONS='$root/automations'
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
    "$here/standin.sh" stop "$service"
    "$here/postgres.sh" destroy "$cluster"
    "$here/postgres.sh" uninstall
    rm -rf .demo
}

# Names a step, after the time that the one before it took.
step() {
    [ -z "${step_begun:-}" ] || say "${dim}($(took "$step_begun"))${plain}"
    step_begun=$(date +%s)
    number=$((${number:-0} + 1))
    say "${bold}==> $number. $*${plain}"
}
took() { seconds=$(($(date +%s) - $1)); if [ $seconds -lt 60 ]; then echo "$seconds s"; else echo "$((seconds / 60)) min $((seconds % 60)) s"; fi; }
show() { say "${dim}\$ pushctl$(quoted "$@")${plain}"; pushctl "$@"; }
quoted() { for word; do case $word in *[!A-Za-z0-9_./:=,-]*) printf " '%s'" "$word" ;; *) printf ' %s' "$word" ;; esac; done; }
# Some pushes fail or are in doubt, because the stand-in simulates that.
show_or_in_part() { show "$@" || [ $? -eq 3 ]; }

bold='' dim='' plain=''
if [ -t 2 ] && [ -z "${NO_COLOR:-}" ]; then bold=$(printf '\033[1m') dim=$(printf '\033[2m') plain=$(printf '\033[0m'); fi
main "$@"

# shellcheck shell=bash
# How the scripts beside this one measure. Sourced, not run; wants machine.sh, and a directory $scratch, where
# NAME.time has a line of numbers for each run.
# shellcheck disable=SC2154 # scratch is set by the sourcing script

# Sets $gnu_time, which knows the peak memory of a command.
find_gnu_time() {
    gnu_time=$(type -P time || type -P gtime || true)
    if [ -z "$gnu_time" ]; then apt_install time || true; gnu_time=$(type -P time || true); fi
    "${gnu_time:-false}" -f %M true >/dev/null 2>&1 || die "GNU time is not here to read peak memory" "install the package time"
}

# Without the caller's configuration.
forget_configuration() {
    local name
    for name in $(compgen -e | grep -E '^(PUSHCTL_|FIREBASE_|GOOGLE_APPLICATION_|PUSH_CADENCE_|CADENCE_)' || true); do
        unset "$name"
    done
    export PUSHCTL_CONFIG=$scratch/pushctl.toml
    : >"$PUSHCTL_CONFIG"
}

# The day and the machine, as the start of a sentence.
machine() {
    local processor memory
    processor=$(awk -F ': ' '/^model name/ { print $2; exit }' /proc/cpuinfo 2>/dev/null || sysctl -n machdep.cpu.brand_string)
    memory=$(awk '/^MemTotal/ { printf "%.0f GB", $2 / 1048576 }' /proc/meminfo 2>/dev/null || true)
    echo "$(date -u +%Y-%m-%d), $(nproc 2>/dev/null || sysctl -n hw.ncpu) × ${processor:-$(uname -m)}, ${memory:-memory unknown}"
}

# median NAME COLUMN
median() {
    awk -v column="$2" '{ print $column }' "$scratch/$1.time" | sort -n |
        awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'
}

# Some locales write the decimal point as a comma.
seconds() { awk -v a="${1/,/.}" -v b="${2/,/.}" 'BEGIN { printf "%.6f\n", b - a }'; }

# field NAME: of the JSON objects on stdin the first such number, if there is one.
field() {
    tr ',{}' '\n' | awk -F : -v name="\"$1\"" '{ key = $1; gsub(/[ \t]/, "", key) } key == name { print $2 + 0; exit }'
}

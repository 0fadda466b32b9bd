#!/bin/sh
# Packs a built pushctl into target/dist: a tarball, a Debian package, and their checksums.
#
#   dist.sh BINARY
#
# The tarball has bin, share and lib as they go under /usr/local, so unpacking it there installs it. The package is made
# where cargo-deb is installed or can be. The units start nothing until the timer is enabled.
set -eu
umask 022
binary=$1
case $binary in /*) ;; *) binary=$(pwd)/$binary ;; esac
cd "$(dirname "$0")/../.."

version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
target=$(rustc -vV | sed -n 's/^host: //p')
dist=target/dist
name=pushctl-$version-$target
stage=$dist/$name

rm -rf "$dist"
mkdir -p "$stage/share/doc/pushctl" "$stage/lib/systemd/system" "$stage/lib/sysusers.d"
install -D -m 755 "$binary" "$stage/bin/pushctl"
deploy/package/share.sh "$stage/bin/pushctl" "$stage/share"
cp deploy/systemd/* "$stage/lib/systemd/system"
cp deploy/package/sysusers.conf "$stage/lib/sysusers.d/pushctl.conf"
cp LICENSE README.md CHANGELOG.md "$stage/share/doc/pushctl"
deploy/package/notices.sh >"$stage/share/doc/pushctl/THIRD-PARTY-NOTICES.txt"
# The same files give the same tarball, whenever and by whomever it is made.
tar --sort=name --owner=0 --group=0 --numeric-owner --mtime="@${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}" \
    -C "$dist" -cf - "$name" | gzip -n9 >"$dist/$name.tar.gz"

if ! command -v dpkg >/dev/null; then
    echo "not made: the Debian package: dpkg is not installed" >&2
elif cargo deb --version >/dev/null 2>&1 || cargo install --locked --quiet cargo-deb; then
    # Its files are the tarball's, under /usr instead of /usr/local, where Debian's zsh has another directory.
    rm -rf "$dist/debian"
    cp -r "$stage" "$dist/debian"
    sed -i 's|/usr/local/bin/|/usr/bin/|' "$dist"/debian/lib/systemd/system/*
    mv "$dist/debian/share/zsh/site-functions" "$dist/debian/share/zsh/vendor-completions"
    find "$dist/debian/share/man" -type f -exec gzip -n9 {} +
    cargo deb --quiet --locked --no-build --no-strip --output "$dist/"
    rm -rf "$dist/debian"
else
    echo "not made: the Debian package: cargo-deb is not installed and cannot be" >&2
fi
rm -rf "$stage"
cd "$dist"
sha256sum -- * >SHA256SUMS
ls -l >&2

#!/bin/sh
# Prints the licence texts of every crate that is compiled into pushctl, as their licences ask for; each text once.
#
# Their sources are in cargo's directory once pushctl is built. A crate without a licence file gets its SPDX expression
# from its manifest, which names the licence.
set -eu
cd "$(dirname "$0")/../.."
sources=${CARGO_HOME:-$HOME/.cargo}/registry/src

# Of licences to choose from all texts are printed.
printed=
echo "This program contains the following software, and SQLite, which is in the public domain."
cargo tree --locked --offline --edges normal --prefix none --format '{p}|{l}' |
    sed 's/ (proc-macro)//; s/ (\*)$//' | sort -u |
    while IFS='|' read -r package licence; do
        name=${package%% *}
        version=${package##* v}
        [ "$name" != pushctl ] || continue
        printf '\n%s\n%s %s: %s\n' ------------------------------------------------------------ \
            "$name" "$version" "$licence"
        for directory in "$sources"/*/"$name-$version"; do
            [ -d "$directory" ] || { echo "error: the source of $name $version is not in $sources" >&2; exit 1; }
            for file in "$directory"/LICEN[CS]E* "$directory"/COPYING* "$directory"/NOTICE* "$directory"/license*; do
                [ -f "$file" ] || continue
                sum=$(cksum <"$file")
                first=$(printf '%s\n' "$printed" | sed -n "s/^$sum //p")
                if [ -n "$first" ]; then
                    echo "${file##*/}: the text printed for $first"
                else
                    printed="$printed
$sum $name $version"
                    printf '\n%s:\n' "${file##*/}"
                    cat "$file"
                fi
            done
            break
        done
    done

#!/bin/sh
# Writes the manual pages and completions of a pushctl program.
#
#   share.sh BINARY DIR      into DIR/man and the directories in which bash, zsh and fish look for completions
set -eu
umask 022
[ $# -eq 2 ] || { sed -n '2,/^set/{/^#/s/^# \{0,1\}//p;}' "$0" >&2; exit 2; }
binary=$1 share=$2

mkdir -p "$share/man/man1"
"$binary" -q man --dir "$share/man/man1"
for each in bash:bash-completion/completions/pushctl zsh:zsh/site-functions/_pushctl \
    fish:fish/vendor_completions.d/pushctl.fish; do
    file=$share/${each#*:}
    mkdir -p "${file%/*}"
    "$binary" completions "${each%%:*}" >"$file"
done

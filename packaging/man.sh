#!/usr/bin/env bash
# Makes the manual pages of packaging/doc: postwhere.8 and postwhere.toml.5. The
# same text gives the same bytes: their date is that of the last change of the
# text, or SOURCE_DATE_EPOCH, where that is set. Needs Go, and git for the date.
#
# usage: packaging/man.sh FOLDER     (which is made, if need be)

set -euo pipefail

go_md2man=github.com/cpuguy83/go-md2man/v2@v2.0.7

fail() { printf 'packaging/man.sh: %s\n' "$*" >&2; exit 1; }

(($# == 1)) || fail "usage: packaging/man.sh FOLDER"
mkdir -p "$1"
folder=$(cd "$1" && pwd)
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/doc"

# A clone may belong to another user, of which git would else say nothing.
epoch=${SOURCE_DATE_EPOCH:-$(git -c safe.directory='*' log -1 --format=%ct -- . || true)}
[[ -n $epoch ]] || fail "this is no git clone: please set SOURCE_DATE_EPOCH to the date of the pages."
date=$(date -u -d "@$epoch" +%F)

for page in *.md; do
	sed "1s/@DATE@/$date/" "$page" | go run "$go_md2man" >"$folder/${page%.md}" ||
		fail "could not make ${page%.md}."
done

#!/usr/bin/env bash
# Makes the packages: postwhere_VERSION_amd64.deb, _arm64.deb and the same as .rpm.
# The same commit and the same Go give the same bytes, wherever it lies. Needs Go
# and git.
#
# usage: packaging/build.sh [FOLDER]     (default dist; it is made, if need be)
#
# The version is the tag, v1.2.3, or what git describe makes of the next one before.
# Where there is no git: POSTWHERE_VERSION and SOURCE_DATE_EPOCH.

set -euo pipefail

# Later ones want modules that are not to be had everywhere.
nfpm=github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.45.2
architectures=${POSTWHERE_ARCHITECTURES:-amd64 arm64}

fail() { printf 'packaging/build.sh: %s\n' "$*" >&2; exit 1; }

(($# <= 1)) || fail "usage: packaging/build.sh [FOLDER]"
root=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd)
out=${1:-$root/dist}
mkdir -p "$out"
out=$(cd "$out" && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
umask 022

# What the environment says of other builds is not for this one.
unset GOARCH GOOS GOEXPERIMENT
export CGO_ENABLED=0 GOWORK=off GOFLAGS='-mod=readonly -buildvcs=false' GOAMD64=v1 GOARM64=v8.0
export LC_ALL=C TZ=UTC

# A clone may belong to another user.
git() { command git -C "$root" -c safe.directory='*' "$@"; }

# version prints what both dpkg and rpm take for a version: no hyphen, and ~ for
# what comes before.
version() {
	local described dirty='' number
	git rev-parse HEAD >/dev/null 2>&1 || fail "this is no git clone: please set POSTWHERE_VERSION and SOURCE_DATE_EPOCH."
	[[ -z $(git status --porcelain --untracked-files=no) ]] || dirty=.dirty
	described=$(git describe --tags --long --abbrev=12 --match 'v[0-9]*' 2>/dev/null) || described=
	if [[ $described =~ ^v(.*)-([0-9]+)-g([0-9a-f]+)$ ]]; then
		number=${BASH_REMATCH[1]//-/\~} # v1.0.0-rc1 is before v1.0.0
		if ((BASH_REMATCH[2] > 0)) || [[ -n $dirty ]]; then
			number+="+git$(day).${BASH_REMATCH[2]}.${BASH_REMATCH[3]}"
		fi
		printf '%s%s\n' "$number" "$dirty"
	else
		printf '0.0.0~git%s.%d.%s%s\n' "$(day)" "$(git rev-list --count HEAD)" "$(git rev-parse --short=12 HEAD)" "$dirty"
	fi
}

day() { date -u -d "@$SOURCE_DATE_EPOCH" +%Y%m%d; }

if [[ -z ${SOURCE_DATE_EPOCH-} ]]; then
	SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null) || fail "this is no git clone: please set SOURCE_DATE_EPOCH."
fi
export SOURCE_DATE_EPOCH
VERSION=${POSTWHERE_VERSION:-$(version)}
[[ $VERSION =~ ^[0-9][A-Za-z0-9.+~]*$ ]] || fail "$VERSION is no version of a package: digits, letters, and . + ~"
MAINTAINER=${POSTWHERE_MAINTAINER:-The postwhere authors <postwhere@example.org>}
export VERSION MAINTAINER

main() {
	local arch
	cd "$root"
	mkdir -p "$scratch"/{bin,man,completions,debian,doc/examples}
	for arch in $architectures; do
		GOARCH=$arch compile "$scratch/bin/postwhere-$arch"
	done
	compile "$scratch/postwhere" # for this machine
	cp -r packaging/{nfpm.yaml,postwhere.toml,systemd,scripts} "$scratch"
	manuals
	completions
	documents
	debian
	# nfpm takes the modes of files and folders, which a clone has by its owner's umask.
	chmod -R u=rwX,go=rX,ug-s "$scratch"
	find "$scratch" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
	cd "$scratch"
	for ARCH in $architectures; do
		export ARCH
		UNITS=/lib/systemd/system package deb
		UNITS=/usr/lib/systemd/system package rpm
	done
}

compile() {
	go build -trimpath -ldflags "-s -w -buildid= -X main.version=$VERSION" -o "$1" ./cmd/postwhere
}

manuals() {
	packaging/man.sh "$scratch/man" || fail "the manual pages cannot be made."
	gzip -9n "$scratch"/man/*
}

completions() {
	local shell
	for shell in bash zsh fish; do
		"$scratch/postwhere" completion "$shell" >"$scratch/completions/$shell"
	done
}

# documents makes /usr/share/doc/postwhere. What attaches postwhere to the mail
# server is what the program says of the examples.
documents() {
	local doc=$scratch/doc way
	cp README.md packaging/README.SELinux "$doc"
	cp LICENSE "$scratch"
	gzip -9nc CHANGELOG.md >"$doc/NEWS.md.gz"
	libraries | gzip -9n >"$doc/libraries.gz"
	cp packaging/examples/* "$doc/examples"
	cp cmd/postwhere/attach/testdata/mesh.toml "$doc/examples/mesh.toml"
	for way in policy milter recipient-map map-only; do
		attach postwhere.toml "postfix --$way" "postfix-$way.sh"
	done
	attach chroot.toml "postfix" "postfix-chroot.sh"
	attach mesh.toml "postfix --mesh" "postfix-mesh.sh"
	attach postwhere.toml "sendmail" "sendmail.mc"
}

# attach has the program say how it is attached to a mail server, whichever there is
# on this machine.
attach() { # CONFIGURATION COMMAND FILE
	local said
	# shellcheck disable=SC2086 # it is a command and a flag
	said=$(cd "$scratch/doc/examples" && MAIL_CONFIG=/nonexistent "$scratch/postwhere" -c "$1" $2) || fail "$3 cannot be made."
	[[ $3 != *.sh ]] || echo "# For $1, and a Postfix as it comes; \`postwhere $2\` says it for yours." >"$scratch/doc/examples/$3"
	sed '/^# For a Postfix as it comes/d' <<<"$said" >>"$scratch/doc/examples/$3"
}

# libraries prints the licences of what is linked into the program.
libraries() {
	local path version dir file
	printf 'The licences of what is linked into postwhere, beside its own.\n'
	printf '\n== Go, https://go.dev\n\n'
	cat "$(go env GOROOT)/LICENSE"
	go list -deps -f '{{with .Module}}{{.Path}} {{.Version}} {{.Dir}}{{end}}' ./cmd/postwhere | sort -u |
		while read -r path version dir; do
			[[ -n $dir ]] || continue # our own
			for file in "$dir"/LICENSE* "$dir"/NOTICE*; do
				[[ -e $file ]] || continue
				printf '\n== %s %s\n\n' "$path" "$version"
				cat "$file"
			done
		done
}

# debian makes what only a deb has.
debian() {
	cp packaging/debian/* "$scratch/debian"
	{
		cat packaging/debian/copyright
		sed -n '/^Permission/,$s/^/ /p' LICENSE | sed 's/^ $/ ./'
	} >"$scratch/debian/copyright"
	{
		printf 'postwhere (%s) unstable; urgency=medium\n\n' "$VERSION"
		news
		printf '\n -- %s  %s\n' "$MAINTAINER" "$(date -u -R -d "@$SOURCE_DATE_EPOCH")"
	} | gzip -9n >"$scratch/debian/changelog.gz"
}

# news prints the newest section of CHANGELOG.md in the form of a Debian changelog.
news() {
	awk '
		function item() { if (text != "") print text; text = "" }
		/^## / { if (++sections > 1) exit; next }
		/^- / { item(); text = $0; next }
		/^  / { text = text substr($0, 2) }
		END { item() }
	' CHANGELOG.md | fold -s -w 72 | sed -e 's/^- /  * /; t' -e 's/^/    /' -e 's/ *$//'
}

package() { # FORMAT
	local file=$out/postwhere_${VERSION}_$ARCH.$1
	go run "$nfpm" package --packager "$1" --config nfpm.yaml --target "$file" >"$scratch/nfpm" 2>&1 || {
		cat "$scratch/nfpm" >&2
		fail "nfpm cannot make ${file##*/}."
	}
}

main

#!/usr/bin/env bash
# Checks all of this: format, vet, lint, and every test, with the real
# servers. Needs Go, and root, for the servers have users of their own. On
# Debian it installs what else is missing; it starts none of the system's
# services and touches no configuration of one that is installed.
#
# usage: packaging/test.sh     (from any directory)

set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."

# What has to be there: a program or a file, and the Debian packages with it.
# Go's race detector needs the compiler, its downloads the certificates.
needed='
adduser                             adduser
apparmor_parser                     apparmor
gcc                                 gcc libc6-dev
/etc/bash_completion                bash-completion
/etc/ssl/certs/ca-certificates.crt  ca-certificates
/usr/lib/dovecot/lmtp               dovecot-lmtpd
fish                                fish
git                                 git
ip                                  iproute2
lintian                             lintian
man                                 man-db groff-base
mandoc                              mandoc
miltertest                          miltertest
mount                               mount
postfix                             postfix
redis-server                        redis-server
rpm                                 rpm
rpmlint                             rpmlint
script                              bsdutils
shellcheck                          shellcheck
swaks                               swaks
systemd-analyze                     systemd
zsh                                 zsh
'
# Servers that Debian lets nobody install beside postfix, or has among its backports
# only. They are unpacked only, each with what it needs into a folder of the package's
# name, and run from there. After the package: the users that the server insists on.
unpacked='
exim4-daemon-light  Debian-exim
opensmtpd
sendmail-bin
valkey-server
'
# Where these folders are, from run to run: an absolute path, and not in a home,
# for the servers' users have to get in. realhost/package.go has the same default.
# Whoever wants newer servers removes it.
export POSTWHERE_SERVERS=${POSTWHERE_SERVERS:-/var/cache/postwhere-test}

golangci_lint=github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

# A clone may belong to another user, of which git would not tell go the version.
export GOFLAGS="${GOFLAGS:-} -buildvcs=false"
export PATH="$PATH:/usr/sbin:/sbin"

scratch=$(mktemp -d)
policy= # the file that was put in place by no_service_starts
half=   # the folder that unpack is filling
trap 'rm -rf "$scratch" ${policy:+"$policy"} ${half:+"$half"}' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

stage() { printf '\n== %s\n' "$*"; }
fail() { printf 'packaging/test.sh: %s\n' "$*" >&2; exit 1; }

main() {
	command -v go >/dev/null || fail "go is not installed; see https://go.dev/dl/ for the version in go.mod."
	install_missing
	unpack_missing
	stage gofmt
	check_format
	stage go vet
	go vet ./... || fail "go vet has found something."
	stage "golangci-lint ${golangci_lint##*@}"
	go run "$golangci_lint" run ./... || fail "golangci-lint has found something, or could not be built."
	stage ten million strangers # two minutes of two processors, without the race detector
	POSTWHERE_LARGE=1 go test -count=1 -timeout 1h -run TestDictionaryAttackIsSearchedForAndPushesOutNoOwner ./cache || fail "strangers have pushed out an owner."
	stage go test -race
	run_tests
}

# install_missing sees to it that all that is in $needed is there.
install_missing() {
	local what packages missing=() services=() service
	while read -r what packages; do
		# shellcheck disable=SC2206 # it is a list
		[[ -z $what || -e $what ]] || command -v "$what" >/dev/null || missing+=($packages)
	done <<<"$needed"
	if ((${#missing[@]} > 0)); then
		if ((EUID != 0)) || ! command -v apt-get >/dev/null; then
			fail "please install ${missing[*]} (the names of Debian's packages), or run this as root on Debian to have it done."
		fi
		stage "apt-get install ${missing[*]}"
		no_service_starts
		# No main.cf: then no Postfix starts with the next boot either.
		if [[ " ${missing[*]} " == *' postfix '* ]] && command -v debconf-set-selections >/dev/null; then
			echo 'postfix postfix/main_mailer_type select No configuration' | debconf-set-selections
		fi
		for service in apparmor dovecot redis-server; do
			[[ -e /etc/init.d/$service ]] || services+=("$service")
		done
		export DEBIAN_FRONTEND=noninteractive
		# --no-remove, for one mail server's package throws out another's.
		if ! { update_lists && quietly -y --no-remove --no-install-recommends install "${missing[@]}"; }; then
			cat "$scratch/apt"
			fail "could not install ${missing[*]} by apt-get; please do."
		fi
		# Nor does what was not here before.
		for service in "${services[@]}"; do
			if [[ -e /etc/init.d/$service ]]; then
				update-rc.d "$service" disable
			fi
		done
		if [[ -n $policy ]]; then
			rm -f "$policy"
			policy=
		fi
	fi
	((EUID == 0)) || fail "please run this as root: it starts real mail servers, which have users of their own."
}

# unpack_missing sees to it that all that is in $unpacked is there.
unpack_missing() {
	local package user users
	[[ $POSTWHERE_SERVERS == /* ]] || fail "POSTWHERE_SERVERS is not an absolute path: $POSTWHERE_SERVERS"
	while read -r package users; do
		for user in $users; do
			getent passwd "$user" >/dev/null || useradd --system --user-group --no-create-home \
				--home-dir /nonexistent --shell /usr/sbin/nologin "$user"
		done
		[[ -z $package || -d $POSTWHERE_SERVERS/$package ]] || unpack "$package"
	done <<<"$unpacked"
}

# unpack makes a package's folder.
unpack() {
	local package=$1 all deb
	command -v apt-get >/dev/null || fail "$package comes from Debian, of which this machine has no apt-get."
	stage "unpack $package into $POSTWHERE_SERVERS"
	if ! update_lists; then
		cat "$scratch/apt"
		fail "could not bring apt-get's lists up to date."
	fi
	local from=()
	[[ -n $(apt-cache madison "$package") ]] || from_backports
	# What apt-get would install, did it not only tell so (-s).
	all=$(apt-get "${from[@]}" -s -y --no-install-recommends install "$package" | sed -n 's/^Inst \([^ ]*\) .*/\1/p') || true
	[[ -n $all ]] || fail "apt-get does not say what $package needs."
	mkdir -p "$scratch/$package" "$POSTWHERE_SERVERS"
	# shellcheck disable=SC2086 # it is a list
	if ! (cd "$scratch/$package" && quietly "${from[@]}" -o APT::Sandbox::User=root download $all); then
		cat "$scratch/apt"
		fail "could not download" $all
	fi
	chmod 755 "$POSTWHERE_SERVERS"
	half=$(mktemp -d "$POSTWHERE_SERVERS/.$package-XXXXXX")
	for deb in "$scratch/$package"/*.deb; do
		dpkg-deb -x "$deb" "$half"
	done
	chmod 755 "$half"
	chmod -R ug-s "$half" # whoever runs it has the rights he has
	# A run at the same time may have been faster.
	mv -T "$half" "$POSTWHERE_SERVERS/$package" 2>/dev/null || [[ -d $POSTWHERE_SERVERS/$package ]] ||
		fail "could not make $POSTWHERE_SERVERS/$package."
	rm -rf "$half"
	half=
}

# from_backports makes $from what has apt-get look into Debian's backports. It leaves
# alone where the machine has its packages from, and what it knows of them.
from_backports() {
	local dir=$scratch/backports release
	# shellcheck source=/dev/null
	release=$(. /etc/os-release && [[ $ID == debian ]] && echo "$VERSION_CODENAME") ||
		fail "$package is not among this machine's packages, nor is it Debian, which has backports."
	mkdir -p "$dir/lists/partial" "$dir/cache/archives/partial"
	printf 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian %s main\n' \
		"$release" "$release-backports" >"$dir/sources.list"
	from=(-o Dir::Etc::sourcelist="$dir/sources.list" -o Dir::Etc::sourceparts=-
		-o Dir::State::lists="$dir/lists" -o Dir::Cache="$dir/cache" -o APT::Sandbox::User=root)
	if ! quietly "${from[@]}" update; then
		cat "$scratch/apt"
		fail "could not bring the lists of Debian's backports up to date."
	fi
}

# update_lists tells apt-get, once, what there is.
update_lists() {
	[[ -n ${updated-} ]] || quietly update || return
	updated=1
}

# quietly runs apt-get and keeps what it says in $scratch/apt.
quietly() { apt-get -qq -o DPkg::Lock::Timeout=300 "$@" >"$scratch/apt" 2>&1; }

# no_service_starts forbids packages to start their services, see
# invoke-rc.d(8), until $policy is removed. Where there is a policy already, as
# in containers, it stays.
no_service_starts() {
	if [[ ! -e /usr/sbin/policy-rc.d ]]; then
		policy=/usr/sbin/policy-rc.d
		printf '#!/bin/sh\nexit 101\n' >"$policy"
		chmod 755 "$policy"
	fi
}

check_format() {
	local unformatted
	unformatted=$(gofmt -l .)
	[[ -z $unformatted ]] || fail "gofmt would change: ${unformatted//$'\n'/ }"
}

# run_tests shows each package's line as it comes, what failed, and at the end
# the packages' lines again if there was something between.
run_tests() {
	local log=$scratch/log packages='^(ok|FAIL|\?)\s' status=0
	# -v, for skipped tests are not told of without it; -count=1, for what a
	# server said last time is no test of this one.
	POSTWHERE_REQUIRE_SERVERS=1 go test -race -v -count=1 ./... 2>&1 |
		tee "$log" | grep --line-buffered -E "$packages" || status=1
	if ((status)); then
		stage what failed
		grep -vE '^=== (RUN|PAUSE|CONT|NAME) |^ *--- PASS: |^PASS$|^ok\s' "$log" || true
		stage the packages
		grep -E "$packages" "$log" || true
		fail "a test has failed."
	fi
	if grep -F -e '--- SKIP: ' "$log"; then
		fail "the tests above were skipped; here none may be."
	fi
	printf '\n%d tests have passed, none was skipped.\n' "$(grep -cF -e '--- PASS: ' "$log")"
}

main "$@"

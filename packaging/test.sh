#!/usr/bin/env bash
# Checks all of this: format, vet, lint, and every test, with the real mail
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
gcc                                 gcc libc6-dev
/etc/ssl/certs/ca-certificates.crt  ca-certificates
postfix                             postfix
swaks                               swaks
'
golangci_lint=github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

# A clone may belong to another user, of which git would not tell go the version.
export GOFLAGS="${GOFLAGS:-} -buildvcs=false"
export PATH="$PATH:/usr/sbin:/sbin"

scratch=$(mktemp -d)
policy= # the file that was put in place by no_service_starts
trap 'rm -rf "$scratch" ${policy:+"$policy"}' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

stage() { printf '\n== %s\n' "$*"; }
fail() { printf 'packaging/test.sh: %s\n' "$*" >&2; exit 1; }

main() {
	command -v go >/dev/null || fail "go is not installed; see https://go.dev/dl/ for the version in go.mod."
	install_missing
	stage gofmt
	check_format
	stage go vet
	go vet ./... || fail "go vet has found something."
	stage "golangci-lint ${golangci_lint##*@}"
	go run "$golangci_lint" run ./... || fail "golangci-lint has found something, or could not be built."
	stage go test -race
	run_tests
}

# install_missing sees to it that all that is in $needed is there.
install_missing() {
	local what packages missing=()
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
		export DEBIAN_FRONTEND=noninteractive
		local quiet=(-qq -o DPkg::Lock::Timeout=300)
		# --no-remove, for one mail server's package throws out another's.
		if ! { apt-get "${quiet[@]}" update &&
			apt-get "${quiet[@]}" -y --no-remove --no-install-recommends install "${missing[@]}"; } >"$scratch/apt" 2>&1; then
			cat "$scratch/apt"
			fail "could not install ${missing[*]} by apt-get; please do."
		fi
		if [[ -n $policy ]]; then
			rm -f "$policy"
			policy=
		fi
	fi
	((EUID == 0)) || fail "please run this as root: it starts real mail servers, which have users of their own."
}

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

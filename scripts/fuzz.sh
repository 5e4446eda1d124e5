#!/usr/bin/env bash
# Copyright the vault-plugin-secrets-ci authors
# SPDX-License-Identifier: MPL-2.0
#
# Fuzzes what reads bytes from outside: the given packages, or all that have a target. Each target runs for
# FUZZTIME, a time (1m) or a number of inputs (20000x).
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"

packages() {
	if [ $# -gt 0 ]; then
		printf '%s\n' "$@"
	else
		git grep -lE '^func Fuzz' -- '*_test.go' | xargs -n1 dirname | sort -u
	fi
}

packages "$@" | while read -r package; do
	grep -hoE '^func Fuzz[A-Za-z0-9]+' "$package"/*_test.go | sed 's/^func //' | while read -r target; do
		echo "fuzz: $package $target"
		go test "./$package" -run '^$' -fuzz "^$target\$" -fuzztime "${FUZZTIME:-1m}" </dev/null
	done
done

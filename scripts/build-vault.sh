#!/usr/bin/env bash
# Copyright the vault-plugin-secrets-ci authors
# SPDX-License-Identifier: MPL-2.0
#
# Sees to it that there is a Vault for the tests: the `vault` on PATH where it is new enough, else one
# built from the Go module proxy into bin/vault, once for each state of bootstrap/vault/go.{mod,sum}.
#
#   scripts/build-vault.sh               build where needed, say what happens; the path is the last line
#   scripts/build-vault.sh --print-path  the same, but stdout holds only the path
set -euo pipefail

# The oldest Vault that the engine is proven on.
oldest=1.21.0

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
module=$root/bootstrap/vault
binary=$root/bin/vault
stamp=$root/bin/.vault.stamp

case ${1-} in
'') say() { echo "vault: $*"; } ;;
--print-path) say() { echo "vault: $*" >&2; } ;;
*)
	echo "usage: build-vault.sh [--print-path]" >&2
	exit 2
	;;
esac

finish() {
	echo "$1"
	exit 0
}

# version_of BINARY prints X.Y.Z, or nothing for what is no Vault.
version_of() {
	"$1" version 2>/dev/null | sed -n 's/^Vault v\([0-9][0-9.]*\).*/\1/p'
}

new_enough() {
	[ -n "$1" ] && [ "$(printf '%s\n' "$oldest" "$1" | sort -V | head -n 1)" = "$oldest" ]
}

if found=$(command -v vault); then
	version=$(version_of "$found" || true)
	if new_enough "$version"; then
		say "using $found from PATH, version $version"
		finish "$found"
	fi
	say "$found on PATH is version ${version:-unknown}, older than $oldest: not used"
fi

want=$(cat "$module/go.mod" "$module/go.sum" | sha256sum | cut -d' ' -f1)
if [ -x "$binary" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$want" ]; then
	say "bin/vault is up to date, version $(version_of "$binary")"
	finish "$binary"
fi

version=$(cd "$module" && go list -m -f '{{.Version}}' github.com/hashicorp/vault)
say "building $version into bin/vault: about 7 minutes on 2 cores the first time, a minute with a warm build cache"

mkdir -p "$root/bin"
work=$(mktemp -d "$root/bin/.vault.XXXXXX")
trap 'rm -rf "$work"' EXIT
started=$SECONDS
# "minimal" leaves out the cloud backends, which nothing here needs and which take most of the time.
(cd "$module" && go build -tags minimal -trimpath -ldflags '-s -w' -o "$work/vault" github.com/hashicorp/vault)
built=$(version_of "$work/vault" || true)
if [ "v$built" != "$version" ]; then
	say "what was built calls itself '${built:-nothing}', not $version"
	exit 1
fi

# The stamp goes first and comes last: whatever interrupts this, the old is never taken for the new.
rm -f "$stamp"
mv "$work/vault" "$binary"
echo "$want" >"$stamp"
say "built $version in $((SECONDS - started)) s"
finish "$binary"

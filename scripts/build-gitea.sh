#!/usr/bin/env bash
# Copyright the vault-plugin-secrets-ci authors
# SPDX-License-Identifier: MPL-2.0
#
# Sees to it that there is a Gitea for the tests: the `gitea` on PATH where there is one, else one
# built from the Go module proxy into bin/gitea, once for each state of bootstrap/gitea/go.{mod,sum}.
#
#   scripts/build-gitea.sh               build where needed, say what happens
#   scripts/build-gitea.sh --print-path  the same, then print the path of the binary on stdout
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
module=$root/bootstrap/gitea
binary=$root/bin/gitea
# A build without embedded assets reads its templates and locales from here.
assets=$root/bin/gitea-assets
stamp=$root/bin/.gitea.stamp

case ${1-} in
'' | --print-path) ;;
*)
	echo "usage: build-gitea.sh [--print-path]" >&2
	exit 2
	;;
esac

say() { echo "gitea: $*" >&2; }

finish() {
	if [ "${print_path:-}" ]; then echo "$1"; fi
	exit 0
}
[ "${1-}" = --print-path ] && print_path=yes

if found=$(command -v gitea); then
	say "using $found from PATH"
	finish "$found"
fi

want=$(cat "$module/go.mod" "$module/go.sum" | sha256sum | cut -d' ' -f1)
if [ -x "$binary" ] && [ -d "$assets" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$want" ]; then
	say "bin/gitea is up to date"
	finish "$binary"
fi

version=$(cd "$module" && go list -m -f '{{.Version}}' code.gitea.io/gitea)
say "building $version into bin/gitea: up to 5 minutes on 2 cores, once"
command -v gcc >/dev/null || {
	say "gcc is missing: Gitea's SQLite needs it"
	exit 1
}

mkdir -p "$root/bin"
work=$(mktemp -d "$root/bin/.gitea.XXXXXX")
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
started=$SECONDS
(
	cd "$module"
	CGO_ENABLED=1 go build -trimpath -tags 'sqlite sqlite_unlock_notify' \
		-ldflags "-s -w -X main.Version=${version#v}" -o "$work/gitea" code.gitea.io/gitea
	source=$(go list -m -f '{{.Dir}}' code.gitea.io/gitea)
	mkdir "$work/assets"
	cp -r "$source/options" "$source/templates" "$source/public" "$work/assets/"
)
# The module cache is read-only, Gitea's folder must not be.
chmod -R u+w "$work"

# The stamp goes first and comes last: whatever interrupts this, a half is never taken for whole.
rm -rf "$stamp" "$assets"
mv "$work/assets" "$assets"
mv "$work/gitea" "$binary"
echo "$want" >"$stamp"
say "built $version in $((SECONDS - started)) s"
finish "$binary"

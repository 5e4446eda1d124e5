#!/usr/bin/env bash
# Copyright the vault-plugin-secrets-ci authors
# SPDX-License-Identifier: MPL-2.0
#
# Sees to it that there are the linters: those on PATH, else built from the Go module proxy into bin/,
# once for each state of bootstrap/lint/go.{mod,sum}.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
module=$root/bootstrap/lint
stamp=$root/bin/.tools.stamp
want=$(cat "$module/go.mod" "$module/go.sum" | sha256sum | cut -d' ' -f1)

build() {
	local name=$1 package=$2
	if command -v "$name" >/dev/null; then
		echo "tools: using $(command -v "$name") from PATH"
		return
	fi
	if [ -x "$root/bin/$name" ] && [ "$(cat "$stamp.$name" 2>/dev/null)" = "$want" ]; then
		echo "tools: bin/$name is up to date"
		return
	fi
	echo "tools: building $name into bin/: up to 5 minutes on 2 cores, once"
	mkdir -p "$root/bin"
	rm -f "$stamp.$name"
	(cd "$module" && go build -trimpath -ldflags '-s -w' -o "$root/bin/.$name.new" "$package")
	mv "$root/bin/.$name.new" "$root/bin/$name"
	echo "$want" >"$stamp.$name"
}

build golangci-lint github.com/golangci/golangci-lint/v2/cmd/golangci-lint
build govulncheck golang.org/x/vuln/cmd/govulncheck

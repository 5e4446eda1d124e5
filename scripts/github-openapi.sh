#!/usr/bin/env bash
# Copyright the vault-plugin-secrets-ci authors
# SPDX-License-Identifier: MPL-2.0
#
# Writes the extract of GitHub's REST description that the simulator of GitHub is
# validated against, from the npm package that publishes it.
#
#   scripts/github-openapi.sh              write the extract
#   scripts/github-openapi.sh --check      fail if it is not what would be written
#   scripts/github-openapi.sh --fetch DIR  only put the whole package into DIR
#
# Needs npm and Go. Exit status 75: the package could not be fetched.
set -euo pipefail

package=@octokit/openapi@23.0.2
sha512=a55f0cecbf46636dc0c9b36f4e6a369f28e6a669edebedac444fedaabd192d070f4b8967c3bbb979918d9b044d9010b70fb8195db171e401f32d455105718386
root=$(cd "$(dirname "$0")/.." && pwd)
extract=$root/providers/github/githubtest/openapi.json

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fetch() {
  if ! npm pack --silent --pack-destination "$work" "$package" >"$work/name"; then
    echo "github-openapi: npm cannot fetch $package" >&2
    exit 75
  fi
  local tarball
  tarball=$work/$(tail -n 1 "$work/name")
  echo "$sha512  $tarball" | sha512sum --check --quiet
  mkdir -p "$1"
  tar -xzf "$tarball" -C "$1" --strip-components=1 package/LICENSE package/generated/api.github.com.json
}

# The licence travels beside the extract, as its terms ask.
generate() {
  fetch "$work/package"
  (cd "$root" && go run ./scripts/github-openapi "$work/package/generated/api.github.com.json" "$1")
  cp "$work/package/LICENSE" "$1.license"
  chmod 644 "$1" "$1.license"
}

case "${1-}" in
"") generate "$extract" ;;
--check)
  generate "$work/openapi.json"
  for suffix in "" .license; do
    if ! cmp "$extract$suffix" "$work/openapi.json$suffix"; then
      echo "github-openapi: run scripts/github-openapi.sh" >&2
      exit 1
    fi
  done
  ;;
--fetch) fetch "$2" ;;
*)
  sed -n '5,12s/^# \{0,1\}//p' "$0" >&2
  exit 2
  ;;
esac

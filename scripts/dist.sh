#!/usr/bin/env bash
# Copyright the vault-plugin-secrets-ci authors
# SPDX-License-Identifier: MPL-2.0
#
# Builds a release into dist/: each program for each system, an SBOM beside each, and SHA256SUMS over all.
# The same commit and the same Go give the same bytes, wherever it is built.
#
#   scripts/dist.sh
#   VERSION=v1.2.3             version, where it is not the one in backend/backend.go
#   PLATFORMS="linux/amd64"    systems
#   DIST=/some/where           folder
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
module=github.com/ci-identity/vault-plugin-secrets-ci
version=${VERSION:-$(sed -n 's/^var Version = "\(.*\)"$/\1/p' "$root/backend/backend.go")}
platforms=${PLATFORMS:-linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64}
dist=${DIST:-$root/dist}

# programs_for OS prints what is built for a system: citoken hands on signals that Windows does not have.
programs_for() {
	echo vault-plugin-secrets-ci
	[ "$1" = windows ] || echo citoken
}

[[ $version =~ ^v[0-9]+\.[0-9]+\.[0-9]+ ]] || {
	echo "dist: '$version' is not vX.Y.Z" >&2
	exit 1
}
cd "$root"
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || true)}
[ -n "$SOURCE_DATE_EPOCH" ] || {
	echo "dist: not in a git checkout: set SOURCE_DATE_EPOCH to the time of the release" >&2
	exit 1
}
export SOURCE_DATE_EPOCH

rm -rf "$dist"
mkdir -p "$dist"
sbom=$(mktemp -d)
trap 'rm -rf "$sbom"' EXIT
go build -o "$sbom/sbom" ./scripts/sbom

for platform in $platforms; do
	os=${platform%/*} arch=${platform#*/} suffix=
	[ "$os" != windows ] || suffix=.exe
	for program in $(programs_for "$os"); do
		name=${program}_${version}_${os}_${arch}$suffix
		GOOS=$os GOARCH=$arch CGO_ENABLED=0 GOFLAGS=-mod=readonly go build -trimpath \
			-ldflags "-s -w -buildid= -X $module/backend.Version=$version" -o "$dist/$name" "./cmd/$program"
		"$sbom/sbom" "$version" "$dist/$name" >"$dist/$name.cdx.json"
		echo "dist: $name"
	done
done

cp LICENSE "$dist/"
cd "$dist"
LC_ALL=C
files=(*)
if command -v sha256sum >/dev/null; then sha256sum "${files[@]}"; else shasum -a 256 "${files[@]}"; fi >SHA256SUMS
echo "dist: ${#files[@]} files in $dist, version $version"

#!/usr/bin/env bash
# Copyright the vault-plugin-secrets-ci authors
# SPDX-License-Identifier: MPL-2.0
#
# Brings a mount of the engine to where it should be, whatever it is now: nothing there yet, an older
# version with live leases, or all as it was left. Run it again at any time; what is right stays as it is.
# Every Vault node needs the program in its plugin_directory first.
set -euo pipefail

usage() {
	cat <<'END'
usage: bootstrap-mount.sh --version vX.Y.Z --program FILE [options]

  --version vX.Y.Z      version to run; the program must call itself so
  --program FILE        the program as it is in Vault's plugin_directory: its SHA-256 is taken from FILE,
                        its command is FILE's base name
  --sha256 HEX          in place of FILE's own, where --program only names it
  --mount PATH          where the engine is mounted (ci)
  --default-ttl TTL     of leases whose role and environment say nothing (a new mount: 15m)
  --max-ttl TTL         of any lease of the mount (a new mount: 6h)
  --role ROLE           a role whose credentials pipelines may read; may be given many times, and is the
                        whole list each time: jobs that log in lose a role that is not in it
  --audience URL        what jobs ask their identity token for ($VAULT_ADDR)

  --github-owner NAME --github-owner-id ID
                        let the jobs of this account of GitHub Actions log in, bound to their repository
                        (the id: gh api users/NAME --jq .id)
  --github-issuer URL   https://HOST/_services/token on GitHub Enterprise Server
  --gitlab-group PATH   let the jobs of this top-level group of GitLab log in, bound to their project
  --gitlab-issuer URL   https://HOST on an own GitLab

VAULT_ADDR and VAULT_TOKEN say where and as whom: the token must be able to manage plugins, mounts,
policies and auth methods, and to read MOUNT/info.
END
}

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
templates=$root/bootstrap/mount
plugin=vault-plugin-secrets-ci

version='' program='' sha256='' mount=ci default_ttl='' max_ttl='' roles='' audience=${VAULT_ADDR-}
owner='' owner_id='' group=''
github_issuer=https://token.actions.githubusercontent.com
gitlab_issuer=https://gitlab.com

say() { echo "bootstrap: $*"; }

fail() {
	echo "bootstrap: $*" >&2
	exit 1
}

# plain WHAT VALUE lets only plain values pass: they end up in policies.
plain() { [[ $2 =~ ^[A-Za-z0-9._:/@-]+$ ]] || fail "$1: '$2' has characters that do not belong there"; }

# take OPTION VALUE sets what belongs to the option.
take() {
	plain "$1" "$2"
	case $1 in
	--version) version=$2 ;;
	--program) program=$2 ;;
	--sha256) sha256=$2 ;;
	--mount) mount=${2%/} ;;
	--default-ttl) default_ttl=$2 ;;
	--max-ttl) max_ttl=$2 ;;
	--role) roles="$roles $2" ;;
	--audience) audience=$2 ;;
	--github-owner) owner=$2 ;;
	--github-owner-id) owner_id=$2 ;;
	--github-issuer) github_issuer=$2 ;;
	--gitlab-group) group=${2%/} ;;
	--gitlab-issuer) gitlab_issuer=$2 ;;
	*)
		usage >&2
		fail "there is no option $1"
		;;
	esac
}

check() {
	[ -n "${VAULT_ADDR-}" ] || fail "VAULT_ADDR says which Vault; it is not set"
	plain --audience "$audience"
	[[ $version =~ ^v[0-9]+\.[0-9]+\.[0-9]+ ]] || fail "--version vX.Y.Z is needed"
	[ -n "$program" ] || fail "--program FILE is needed"
	[ -n "$sha256" ] || [ -f "$program" ] || fail "--program: there is no file $program; --sha256 HEX does without it"
	[ -z "$owner" ] || [ -n "$owner_id" ] || fail "--github-owner-id is needed: a name can be taken over, its id cannot"
	[ -z "$owner$group" ] || [ -n "$roles" ] || fail "--role is needed: jobs that log in must be let to something"
	vault token lookup >/dev/null || fail "Vault does not answer, or does not know VAULT_TOKEN"
}

digest() {
	if command -v sha256sum >/dev/null; then sha256sum "$1"; else shasum -a 256 "$1"; fi | cut -d' ' -f1
}

# field PATH NAME reads one field of what is in Vault; nothing where there is nothing.
field() { vault read -field="$2" "$1" 2>/dev/null || true; }

register() {
	local command=${program##*/}
	[ -n "$sha256" ] || sha256=$(digest "$program")
	local known
	known=$(vault plugin info -field=sha256 -version="$version" secret "$plugin" 2>/dev/null || true)
	if [ "$known" = "$sha256" ]; then
		say "$plugin $version is registered"
		return
	fi
	[ -z "$known" ] || fail "$plugin $version is registered with another SHA-256, $known: a version never changes"
	vault plugin register -version="$version" -sha256="$sha256" -command="$command" secret "$plugin" >/dev/null
	say "registered $plugin $version"
}

enable_or_upgrade() {
	local type running
	type=$(field "sys/mounts/$mount" type)
	if [ -z "$type" ]; then
		# With its TTLs from the first moment: Vault's own are 32 days.
		vault secrets enable -path="$mount" -plugin-version="$version" \
			-default-lease-ttl="${default_ttl:-15m}" -max-lease-ttl="${max_ttl:-6h}" "$plugin" >/dev/null
		say "enabled $mount/ with $version"
		return
	fi
	[ "$type" = "$plugin" ] || fail "$mount/ is a mount of $type"
	running=$(field "sys/mounts/$mount" running_plugin_version)
	if [ "$running" = "$version" ]; then
		say "$mount/ runs $version"
		return
	fi
	upgrade "$running"
}

# `vault plugin reload -mounts` asks for a path that Vault 1.21 does not have; the API reloads one mount.
reload() { vault write sys/plugins/reload/backend mounts="$mount/" >/dev/null; }

# upgrade RUNNING changes the version under live leases: they stay with the mount and its storage, and the
# new version renews and revokes them. One that does not start gives way to the old again.
upgrade() {
	vault secrets tune -plugin-version="$version" "$mount/" >/dev/null
	if ! reload || [ -z "$(field "$mount/info" version)" ]; then
		vault secrets tune -plugin-version="$1" "$mount/" >/dev/null
		reload
		fail "$version does not start; $mount/ runs $1 again"
	fi
	say "upgraded $mount/ from $1 to $version"
}

# What is not said stays as it is.
tune() {
	[ -z "$default_ttl" ] || vault secrets tune -default-lease-ttl="$default_ttl" "$mount/" >/dev/null
	[ -z "$max_ttl" ] || vault secrets tune -max-lease-ttl="$max_ttl" "$mount/" >/dev/null
	"$root/scripts/tune-audit.sh" "$mount" >/dev/null
	say "tuned $mount/: leases $(ttl default_lease_ttl), at most $(ttl max_lease_ttl); audit keys"
}

ttl() { field "sys/mounts/$mount/tune" "$1"; }

# render FILE NAME=VALUE... prints a template with its @NAME@ filled in.
render() {
	local file=$1 pair script="s|@mount@|$mount|g"
	shift
	for pair; do script="$script;s|@${pair%%=*}@|${pair#*=}|g"; done
	sed -e "$script" "$templates/$file"
}

# policy NAME writes the policy on stdin, where it differs.
policy() {
	local name="${mount//\//-}-$1" text
	text=$(cat)
	if [ "$(vault policy read "$name" 2>/dev/null || true)" = "$text" ]; then
		say "policy $name is as it should be"
		return
	fi
	vault policy write "$name" - <<<"$text" >/dev/null
	say "wrote policy $name"
}

policies() {
	local name role
	for name in security platform-team revoke exposed introspect audit; do
		render "policies/$name.hcl" | policy "$name"
	done
	for role in $roles; do
		render policies/pipeline.hcl "role=$role" | policy "pipeline-$role"
	done
}

# gone POLICY prints the roles that the policy of a login is for, and that are not in the list any more.
gone() {
	local role
	for role in $(vault policy read "$1" 2>/dev/null | sed -n "s|^path \"$mount/creds/\(.*\)/{{.*|\1|p"); do
		[[ "$roles " == *" $role "* ]] || printf ' %s' "$role"
	done
}

# login AUTH ISSUER NAME=VALUE... lets the jobs of one CI system log in at auth/AUTH/: as role `job`, with
# the policy that binds each to its own repository, and as role `scanner`, which can only report tokens.
login() {
	local auth=$1 issuer=$2 accessor role lost prefix=${mount//\//-}
	shift 2
	accessor=$(field "sys/auth/$auth" accessor)
	if [ -z "$accessor" ]; then
		vault auth enable -path="$auth" jwt >/dev/null
		accessor=$(field "sys/auth/$auth" accessor)
		say "enabled auth/$auth/"
	fi
	if [ "$(field "auth/$auth/config" oidc_discovery_url)" != "$issuer" ]; then
		vault write "auth/$auth/config" oidc_discovery_url="$issuer" bound_issuer="$issuer" >/dev/null
		say "auth/$auth/ trusts $issuer"
	fi
	lost=$(gone "$prefix-repository-$auth")
	for role in $roles; do
		render policies/repository.hcl "role=$role" "accessor=$accessor"
	done | policy "repository-$auth"
	[ -z "$lost" ] || say "no longer for jobs of auth/$auth/:$lost"
	for role in job:repository-"$auth" scanner:exposed; do
		render "jwt/$auth.json" "policy=$prefix-${role#*:}" "audience=$audience" "$@" |
			vault write "auth/$auth/role/${role%:*}" - >/dev/null
	done
	say "jobs log in at auth/$auth/ as role job, scanners as role scanner"
}

while [ $# -gt 0 ]; do
	case $1 in
	-h | --help)
		usage
		exit 0
		;;
	--*=*)
		take "${1%%=*}" "${1#*=}"
		shift
		continue
		;;
	esac
	[ $# -ge 2 ] || fail "$1 needs a value"
	take "$1" "$2"
	shift 2
done
check
register
enable_or_upgrade
tune
policies
if [ -n "$owner" ]; then login github-actions "$github_issuer" "owner=$owner" "owner_id=$owner_id"; fi
if [ -n "$group" ]; then login gitlab "$gitlab_issuer" "group=$group"; fi
say "done"

#!/bin/sh
# Copyright the vault-plugin-secrets-ci authors
# SPDX-License-Identifier: MPL-2.0
#
# Runs a command with a credential that ends with it, in any CI system whose jobs have an identity.
#
#   step.sh ROLE[/REPOSITORY] COMMAND [ARGUMENT...]
#
# VAULT_ADDR is where Vault is, VAULT_AUTH the login of the CI system (github-actions, gitlab) and
# VAULT_ID_TOKEN the job's own token; VAULT_APPROVAL_ID is for a role that needs an approval. The
# command finds its credential in CI_TOKEN and CI_TOKEN_USERNAME. Needs vault and jq.
set -eu
set +x

if [ $# -lt 2 ]; then
	sed -n '5,11s/^# \{0,1\}//p' "$0" >&2
	exit 2
fi
: "${VAULT_ADDR:?says where Vault is}" "${VAULT_AUTH:?names the login}" "${VAULT_ID_TOKEN:?is the token of the job}"
vault_token='' child='' path=$1
shift

# The credential is the Vault token's: it dies with it, at the platform too.
finish() {
	status=$?
	trap - EXIT
	trap '' INT TERM HUP
	if [ -n "$vault_token" ] && ! VAULT_TOKEN=$vault_token vault token revoke -self >/dev/null; then
		echo "step: the token is not revoked; it ends with its lease" >&2
		[ "$status" -ne 0 ] || status=1
	fi
	exit "$status"
}

# stop STATUS ends the command first: it must not go on without its credential.
stop() {
	if [ -n "$child" ]; then
		kill -TERM "$child" 2>/dev/null || true
		wait "$child" || true
	fi
	exit "$1"
}

trap finish EXIT
trap 'stop 129' HUP
trap 'stop 130' INT
trap 'stop 143' TERM

vault_token=$(printf %s "$VAULT_ID_TOKEN" | VAULT_TOKEN='' vault write -field=token "auth/$VAULT_AUTH/login" role=job jwt=-)
credential=$(printf %s "$VAULT_ID_TOKEN" | VAULT_TOKEN=$vault_token vault write -format=json "ci/creds/$path" id_token=- \
	${VAULT_APPROVAL_ID:+"approval_id=$VAULT_APPROVAL_ID"})
CI_TOKEN=$(printf %s "$credential" | jq -er .data.token)
CI_TOKEN_USERNAME=$(printf %s "$credential" | jq -er .data.username)
export CI_TOKEN CI_TOKEN_USERNAME
unset VAULT_ID_TOKEN credential

# In the background, since a shell that waits for a command in front hears no signal.
exec 3<&0
"$@" <&3 3<&- &
child=$!
wait "$child"

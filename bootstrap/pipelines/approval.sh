#!/bin/sh
# Copyright the vault-plugin-secrets-ci authors
# SPDX-License-Identifier: MPL-2.0
#
# Asks for the approval that a role needs, waits until somebody has decided, and prints the approval_id.
#
#   approval.sh ROLE REASON
#
# VAULT_ADDR is where Vault is, VAULT_AUTH the login of the CI system (github-actions, gitlab) and
# VAULT_ID_TOKEN the job's own token. It looks every POLL_SECONDS (10). Needs vault.
set -eu
set +x

if [ $# -ne 2 ]; then
	sed -n '5,10s/^# \{0,1\}//p' "$0" >&2
	exit 2
fi
: "${VAULT_ADDR:?says where Vault is}" "${VAULT_AUTH:?names the login}" "${VAULT_ID_TOKEN:?is the token of the job}"

VAULT_TOKEN=$(printf %s "$VAULT_ID_TOKEN" | VAULT_TOKEN='' vault write -field=token "auth/$VAULT_AUTH/login" role=job jwt=-)
export VAULT_TOKEN
# The approval is the job's, not this login's: it is good for the next login of the same run.
trap 'vault token revoke -self >/dev/null' EXIT
trap 'exit 143' HUP INT TERM

id=$(printf %s "$VAULT_ID_TOKEN" | vault write -field=approval_id "ci/approvals/$1" reason="$2" id_token=-)
echo "approval: waiting for ci/approvals/$1/$id" >&2
while :; do
	status=$(vault read -field=status "ci/approvals/$1/$id")
	case $status in
	approved) break ;;
	pending) sleep "${POLL_SECONDS:-10}" ;;
	*)
		echo "approval: $status" >&2
		exit 1
		;;
	esac
	# People may take longer than a login lasts.
	vault token renew >/dev/null
done
echo "$id"

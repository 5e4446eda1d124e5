#!/usr/bin/env bash
# Copyright the vault-plugin-secrets-ci authors
# SPDX-License-Identifier: MPL-2.0
#
# Runs the job of a configuration in this folder, and ends its credential whatever becomes of it. Exits as
# the job does.
#
# usage: VAULT_ID_TOKEN=... run-job.sh job.hcl
set -euo pipefail

config=$1
revoke=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/revoke.sh

# A folder that is there belongs to another job.
(umask 077 && mkdir .ci-job)
# What cannot be revoked now dies with its lease, which nobody renews any more.
trap '"$revoke" .ci-job/token || echo "run-job: the credential lives until its lease ends" >&2; rm -rf .ci-job' EXIT
told=''
trap 'told=yes; kill -TERM "$!"' HUP INT TERM

(umask 077 && printf %s "$VAULT_ID_TOKEN" >.ci-job/id-token)
unset VAULT_ID_TOKEN
vault agent -log-level=warn -config="$config" &
code=0
wait "$!" || code=$?
# A signal ends a wait before the agent has ended.
while kill -0 "$!" 2>/dev/null; do
	code=0
	wait "$!" || code=$?
done
# An agent that is told to end ends the job, and well.
[ -z "$told" ] || code=143
exit "$code"

#!/usr/bin/env bash
# Copyright the vault-plugin-secrets-ci authors
# SPDX-License-Identifier: MPL-2.0
#
# Ends what a stopped Vault Agent leaves behind: its login, and with it every lease of it. The agent itself
# revokes nothing when it stops.
#
# usage: revoke.sh SINK
set -euo pipefail

sink=$1
[ -s "$sink" ] || exit 0
VAULT_TOKEN=$(<"$sink") vault token revoke -self
rm -f "$sink"

#!/usr/bin/env bash
# Copyright the vault-plugin-secrets-ci authors
# SPDX-License-Identifier: MPL-2.0
#
# Makes the audit device show in clear what an auditor joins by, and no secret: the response keys below.
#
#   scripts/tune-audit.sh [MOUNT]    with VAULT_ADDR and VAULT_TOKEN; MOUNT is ci
set -euo pipefail

mount=${1:-ci}

# The same list as world.AuditKeys in bootstrap/world/plugin.go; a test compares them.
keys='
token_id token_sha256 role stage environment owner purpose provider config organization
repositories permissions expires_at events next status where target action
approval_id approved_by decisions filter kill_id shut
request_id entity_id display_name issued_at lease_until revoked_at revoked_by
'

flags=()
for key in $keys; do flags+=("-audit-non-hmac-response-keys=$key"); done
vault secrets tune "${flags[@]}" "$mount/"

# Copyright the vault-plugin-secrets-ci authors
# SPDX-License-Identifier: MPL-2.0
#
# Vault Agent on a self-hosted runner: one credential of one role, in two files, kept alive by renewal.
# VAULT_ADDR, and VAULT_CACERT where it is needed, come from the environment.

auto_auth {
  method "approle" {
    config = {
      role_id_file_path   = "/etc/ci-agent/role-id"
      secret_id_file_path = "/run/credentials/ci-agent.service/secret-id"
      # Kept, since a restart logs in again.
      remove_secret_id_file_after_reading = false
    }
  }

  # What revoke.sh ends when the agent has stopped: its login, and with it the credential.
  sink "file" {
    config = {
      path = "/run/ci-agent/token"
      mode = 0600
    }
  }
}

template_config {
  # systemd starts it again; an agent that has given up must not look alive.
  exit_on_retry_failure = true
}

# Both templates read the very same path. The agent reads it once, and both files hold one token: a path that
# differs in anything, a ?ttl= included, would be another read and another token.
template {
  source               = "/etc/ci-agent/git-credentials.ctmpl"
  destination          = "/run/ci-agent/git-credentials"
  perms                = "0600"
  error_on_missing_key = true
}

template {
  source               = "/etc/ci-agent/environment.ctmpl"
  destination          = "/run/ci-agent/environment"
  perms                = "0600"
  error_on_missing_key = true
}

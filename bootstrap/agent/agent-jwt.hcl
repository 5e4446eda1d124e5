# Copyright the vault-plugin-secrets-ci authors
# SPDX-License-Identifier: MPL-2.0
#
# Vault Agent on a self-hosted runner: one credential of one role, in two files, kept alive by renewal.
# The machine logs in with an identity token that its platform keeps in a file.
# VAULT_ADDR, and VAULT_CACERT where it is needed, come from the environment.

auto_auth {
  method "jwt" {
    mount_path = "auth/jwt"
    config = {
      path = "/etc/ci-agent/id-token"
      role = "job"
      # Whoever writes the file keeps it fresh; a restart reads it again.
      remove_jwt_after_reading = false
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

# Copyright the vault-plugin-secrets-ci authors
# SPDX-License-Identifier: MPL-2.0
#
# One job as a child of Vault Agent, with a credential in its environment. run-job.sh runs this.
# Edit first: mount_path, which is the login of the CI system; in both templates the role and the repository,
# which must be the job's own; the command.

vault {
  retry {
    # A job that is refused shall say so in seconds.
    num_retries = 3
  }
}

auto_auth {
  method "jwt" {
    mount_path  = "auth/github-actions"
    exit_on_err = true
    config = {
      path = ".ci-job/id-token"
      role = "job"
    }
  }

  sink "file" {
    config = {
      path = ".ci-job/token"
      mode = 0600
    }
  }
}

template_config {
  exit_on_retry_failure = true
}

env_template "CI_TOKEN" {
  contents             = "{{ with secret \"ci/creds/build-any/acme/web\" }}{{ .Data.token }}{{ end }}"
  error_on_missing_key = true
}

env_template "CI_TOKEN_USERNAME" {
  contents             = "{{ with secret \"ci/creds/build-any/acme/web\" }}{{ .Data.username }}{{ end }}"
  error_on_missing_key = true
}

exec {
  command = ["./build.sh"]
  # A job is not a service: it ends once, by itself, or because it is told to.
  restart_on_secret_changes = "never"
  restart_stop_signal       = "SIGTERM"
}

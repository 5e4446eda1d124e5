output "creds_paths" {
  description = "What a pipeline reads, by role."
  value       = { for name, role in var.roles : name => "${var.mount}/creds/${name}" }
}

output "owners" {
  description = "The roles that each team answers for."
  value       = { for name, role in var.roles : role.owner => name... }
}

output "policies" {
  description = "Names of the Vault policies, to be given to groups and auth roles."
  value       = [for name, policy in var.policies : name]
}

output "key_commands" {
  description = "What whoever holds the secret of a config runs once, before the first apply: Terraform never sees it."
  value = {
    for name, config in var.configs : name => join(" ", concat(
      ["vault write ${var.mount}/config/${name}"],
      [for field, value in config : "${field}='${value}'" if contains(["provider", "base_url", "app_id", "organization", "installation_id", "username"], field) && value != null],
      # Several lines of PEM do not go into a command: they come from a file, as the key does.
      config.ca_cert != null ? ["ca_cert=@ca.pem"] : [],
      [{ github = "private_key=@key.pem", gitlab = "token=-", gitea = "password=-" }[config.provider]],
    ))
  }
}

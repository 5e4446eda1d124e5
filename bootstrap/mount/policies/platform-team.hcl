# Platform teams: who gets what, within what security allows. They own the roles, see what roles refer to,
# and try them out in a dry run.

path "@mount@/roles/*" {
  capabilities = ["create", "read", "update", "patch", "delete", "list"]
}

path "@mount@/config/*" {
  capabilities = ["read", "list"]
}

path "@mount@/stages/*" {
  capabilities = ["read", "list"]
}

path "@mount@/environments/*" {
  capabilities = ["read", "list"]
}

path "@mount@/issuers/*" {
  capabilities = ["read", "list"]
}

path "@mount@/explain/+" {
  capabilities = ["read", "update"]
}

path "@mount@/report" {
  capabilities = ["read"]
}

path "@mount@/info" {
  capabilities = ["read"]
}

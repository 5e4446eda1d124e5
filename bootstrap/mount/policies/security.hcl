# Security: what is possible at all. Owns the connections, stages, environments, issuers and settings,
# decides on approvals and sees everything. It neither writes roles nor gets credentials.

path "@mount@/config/*" {
  capabilities = ["create", "read", "update", "patch", "delete", "list"]
}

path "@mount@/rotate-root/+" {
  capabilities = ["update"]
}

path "@mount@/stages/*" {
  capabilities = ["create", "read", "update", "patch", "delete", "list"]
}

path "@mount@/environments/*" {
  capabilities = ["create", "read", "update", "patch", "delete", "list"]
}

path "@mount@/issuers/*" {
  capabilities = ["create", "read", "update", "patch", "delete", "list"]
}

path "@mount@/settings" {
  capabilities = ["read", "update", "patch", "delete"]
}

path "@mount@/roles/*" {
  capabilities = ["read", "list"]
}

path "@mount@/approvals/*" {
  capabilities = ["read", "list"]
}

path "@mount@/approvals/+/+/approve" {
  capabilities = ["update"]
}

path "@mount@/approvals/+/+/deny" {
  capabilities = ["update"]
}

path "@mount@/tokens/*" {
  capabilities = ["read", "list"]
}

path "@mount@/events" {
  capabilities = ["read", "update"]
}

path "@mount@/report" {
  capabilities = ["read"]
}

path "@mount@/info" {
  capabilities = ["read"]
}

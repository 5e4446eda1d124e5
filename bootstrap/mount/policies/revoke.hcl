# Whoever stops an incident: finds live tokens and kills them, one or all that match.

path "@mount@/revoke" {
  capabilities = ["update"]
}

path "@mount@/tokens/*" {
  capabilities = ["read", "list"]
}

path "@mount@/tokens/+/revoke" {
  capabilities = ["update"]
}

path "@mount@/report" {
  capabilities = ["read"]
}

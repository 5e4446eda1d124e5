# A SIEM, a dashboard, an auditor: reads what happened, and changes nothing.

path "@mount@/events" {
  capabilities = ["read", "update"]
}

path "@mount@/report" {
  capabilities = ["read"]
}

path "@mount@/tokens/*" {
  capabilities = ["read", "list"]
}

path "@mount@/metrics" {
  capabilities = ["read"]
}

path "@mount@/info" {
  capabilities = ["read"]
}

# A pipeline of one role, on all its repositories: gets credentials, asks why not, asks for approval, says
# what it used them for, and ends them early.

path "@mount@/creds/@role@" {
  capabilities = ["read", "update"]
}

path "@mount@/creds/@role@/*" {
  capabilities = ["read", "update"]
}

path "@mount@/explain/@role@" {
  capabilities = ["read", "update"]
}

path "@mount@/approvals/@role@" {
  capabilities = ["update"]
}

path "@mount@/approvals/@role@/+" {
  capabilities = ["read"]
}

# The engine looks at who records a use.
path "@mount@/tokens/+/use" {
  capabilities = ["update"]
}

path "sys/leases/revoke/@mount@/creds/@role@/*" {
  capabilities = ["update"]
}

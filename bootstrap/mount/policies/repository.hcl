# A job that logged in as its repository: the same as a pipeline of the role, but the path binds it to that
# one repository. The alias name is the repository that the login vouches for, such as acme/web.

path "@mount@/creds/@role@/{{identity.entity.aliases.@accessor@.name}}" {
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

path "sys/leases/revoke/@mount@/creds/@role@/{{identity.entity.aliases.@accessor@.name}}/*" {
  capabilities = ["update"]
}

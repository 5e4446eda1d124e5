# A service that is shown tokens: asks what one may do.

path "@mount@/introspect" {
  capabilities = ["update"]
}

# A secret scanner: hands in what it found. What is ours dies.

path "@mount@/exposed" {
  capabilities = ["update"]
}

// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package policy

// Caller is who asks, as Vault knows it.
type Caller struct {
	// RequestID is that of Vault's audit record.
	RequestID   string
	EntityID    string
	DisplayName string
	// Address is the caller's IP address as Vault sees it; may be empty.
	Address string
	// Mount is where the caller has the engine, with its last slash: "ci/".
	Mount string
}

// Name is the caller as the log shows it.
func (c Caller) Name() string {
	if c.EntityID != "" {
		return c.DisplayName + " (entity " + c.EntityID + ")"
	}
	return c.DisplayName
}

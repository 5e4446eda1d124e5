// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package worldtest

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/bootstrap/world"
)

// Caller makes API requests with one token. A request without an answer fails
// the test; any status is an answer.
type Caller struct {
	*world.Caller

	t testing.TB
}

// As is a caller with the token.
func (v *Vault) As(token string) *Caller { return &Caller{Caller: v.Vault.As(token), t: v.t} }

// Root is a caller with the root token.
func (v *Vault) Root() *Caller { return v.As(v.RootToken()) }

// On is a caller with the token to one node alone.
func (v *Vault) On(node *world.Node, token string) *Caller {
	return &Caller{Caller: node.As(token), t: v.t}
}

// Do makes the request.
func (c *Caller) Do(request world.Request) world.Answer {
	c.t.Helper()
	answer, err := c.Caller.Do(c.t.Context(), request)
	require.NoError(c.t, err)
	return answer
}

// Read makes a GET.
func (c *Caller) Read(path string) world.Answer {
	c.t.Helper()
	return c.answer(c.Caller.Read(c.t.Context(), path))
}

// List makes a LIST.
func (c *Caller) List(path string) world.Answer {
	c.t.Helper()
	return c.answer(c.Caller.List(c.t.Context(), path))
}

// Write makes a PUT.
func (c *Caller) Write(path string, body map[string]any) world.Answer {
	c.t.Helper()
	return c.answer(c.Caller.Write(c.t.Context(), path, body))
}

// Patch makes a PATCH with a JSON merge patch.
func (c *Caller) Patch(path string, body map[string]any) world.Answer {
	c.t.Helper()
	return c.answer(c.Caller.Patch(c.t.Context(), path, body))
}

// Delete makes a DELETE.
func (c *Caller) Delete(path string) world.Answer {
	c.t.Helper()
	return c.answer(c.Caller.Delete(c.t.Context(), path))
}

func (c *Caller) answer(answer world.Answer, err error) world.Answer {
	c.t.Helper()
	require.NoError(c.t, err)
	return answer
}

// Must is a write that has to succeed: the setting up of a test.
func (c *Caller) Must(path string, body map[string]any) world.Answer {
	c.t.Helper()
	answer := c.Write(path, body)
	require.NoError(c.t, answer.Failure(), "write %s", path)
	return answer
}

// Audit reads the audit file.
func (v *Vault) Audit() world.Audit {
	v.t.Helper()
	audit, err := v.Vault.Audit()
	require.NoError(v.t, err)
	require.NotEmpty(v.t, audit, "the audit file")
	return audit
}

// NoSecrets fails the test when any of the secrets is in the audit files or
// in a log. It does not print them.
func (v *Vault) NoSecrets(secrets ...string) {
	v.t.Helper()
	require.NoError(v.t, v.Leaks(secrets...))
}

// CLI runs `vault` with the root token and these arguments.
func (v *Vault) CLI(args ...string) world.Output {
	v.t.Helper()
	return v.Run(world.Command{Args: args})
}

// Run runs `vault`.
func (v *Vault) Run(command world.Command) world.Output {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(v.t.Context(), startTimeout)
	defer cancel()
	output, err := v.Vault.CLI(ctx, command)
	require.NoError(v.t, err)
	return output
}

// Policy writes an ACL policy.
func (v *Vault) Policy(name, rules string) {
	v.t.Helper()
	require.NoError(v.t, v.PutPolicy(v.t.Context(), name, rules))
}

// Users enables userpass at the path and logs each user in, in order.
func (v *Vault) Users(path string, users ...world.User) []world.Session {
	v.t.Helper()
	_, err := v.EnableUserpass(v.t.Context(), path, users...)
	require.NoError(v.t, err)
	var sessions []world.Session
	for _, user := range users {
		session, err := v.LoginUserpass(v.t.Context(), path, user)
		require.NoError(v.t, err)
		sessions = append(sessions, session)
	}
	return sessions
}

// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package backend

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"

	"github.com/hashicorp/vault/sdk/logical"
	"github.com/stretchr/testify/require"
)

// A secret in the wrong place of a request is still a secret: the answer names the
// field, and neither it nor what Vault would log says more.
func TestASecretOfTheWrongTypeIsNotRepeated(t *testing.T) {
	m := newMount(t)
	const secret = "5ecret-that-is-nobodys-business"
	looked := 0
	for _, path := range m.Paths {
		for name, field := range path.Fields {
			if field.DisplayAttrs == nil || !field.DisplayAttrs.Sensitive {
				continue
			}
			for op := range path.Operations {
				if op == logical.DeleteOperation || op == logical.ListOperation {
					continue
				}
				for _, value := range []any{[]any{secret}, map[string]any{"value": secret}, []any{map[string]any{"value": secret}}} {
					req := &logical.Request{Operation: op, Path: pathOf(path), Data: map[string]any{name: value}, Storage: m.storage}
					if op == logical.CreateOperation || op == logical.UpdateOperation {
						_, _, err := m.HandleExistenceCheck(t.Context(), req)
						require.NoError(t, err, "%s %s", op, path.Pattern)
					}
					got := m.ask(t.Context(), req)
					require.Equal(t, http.StatusBadRequest, got.status, "%s %s: %s", op, path.Pattern, got.err)
					require.Equal(t, name+": must be a text", got.err, "%s %s", op, path.Pattern)
					looked++
				}
			}
		}
	}
	require.Greater(t, looked, 20)
	require.NotContains(t, m.log.String(), secret)
}

// What is no number is not zero, what is no yes is not no, and half a second is not
// the default.
func TestValuesSayWhatTheyAreOrAreRefused(t *testing.T) {
	m := newMount(t)
	const whole, flag, time = "must be a whole number", "must be true or false", "must be a duration in whole seconds"
	for _, c := range []struct {
		field string
		value any
		says  string
	}{
		{"required_approvals", "", whole}, {"required_approvals", 0.5, whole}, {"required_approvals", true, whole},
		{"destructive_approvals", "", whole}, {"destructive_approvals", json.Number("0.9"), whole}, {"destructive_approvals", "none", whole},
		{"production", "", flag}, {"production", "yes", flag}, {"production", 2, flag}, {"require_identity", []any{true}, flag},
		{"max_ttl", "900ms", time}, {"max_ttl", json.Number("0.9"), time}, {"max_ttl", 90.5, time}, {"ttl", "-5m", time}, {"ttl", "soon", time},
		{"bound_claims", map[string]any{"a": "b"}, "must be a list of texts"},
	} {
		got := m.write("environments/odd", map[string]any{c.field: c.value})
		require.Equal(t, http.StatusBadRequest, got.status, "%s=%v", c.field, c.value)
		require.Contains(t, got.err, c.field+": "+c.says, "%s=%v", c.field, c.value)
	}
	require.Equal(t, http.StatusNotFound, m.read("environments/odd").status)

	m.must("environments/even", map[string]any{
		"required_approvals": "2", "destructive_approvals": json.Number("3"), "require_identity": "true",
		"ttl": "1.5m", "max_ttl": json.Number("900"), "allowed_stages": "build,test",
	})
	data := m.read("environments/even").data
	require.Equal(t, "2 3 true 90 900 [build test]", fmt.Sprint(data["required_approvals"], data["destructive_approvals"],
		data["require_identity"], data["ttl"], data["max_ttl"], data["allowed_stages"]))
}

// Null is what a template writes for a value that is not set.
func TestNullIsWhatWasLeftOut(t *testing.T) {
	m := newMount(t)
	m.must("environments/prod", map[string]any{"production": true, "require_identity": nil, "required_approvals": nil, "destructive_approvals": nil})
	data := m.read("environments/prod").data
	require.Equal(t, []any{true, 1.0, 1.0}, []any{data["require_identity"], data["required_approvals"], data["destructive_approvals"]})
	got := m.write("creds/build-dev", map[string]any{"ttl": nil, "repositories": nil, "permissions": nil})
	require.Equal(t, http.StatusOK, got.status, got.err)
}

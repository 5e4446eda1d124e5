// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package acceptance

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

// event finds the one event of that type that has the value in one of its fields.
func (s *stand) event(t testing.TB, kind, value string) map[string]any {
	t.Helper()
	var found []map[string]any
	after := ""
	for {
		answer := s.root.Write("ci/events", map[string]any{"after": after, "limit": 1000})
		require.NoError(t, answer.Failure())
		events := answer.Data["events"].([]any)
		if len(events) == 0 {
			break
		}
		for _, line := range events {
			var event map[string]any
			require.NoError(t, json.Unmarshal([]byte(line.(string)), &event))
			if event["type"] == kind && (event["token_id"] == value || event["approval_id"] == value) {
				found = append(found, event)
			}
		}
		after = answer.Data["next"].(string)
	}
	require.Len(t, found, 1, "events of type %s about %s", kind, value)
	return found[0]
}

// reported is a role's line in the report. What it counts is there within a second.
func (s *stand) reported(t testing.TB, role string) map[string]any {
	t.Helper()
	answer := s.root.Read("ci/report")
	require.NoError(t, answer.Failure())
	for _, line := range answer.Data["roles"].([]any) {
		if line := line.(map[string]any); line["name"] == role {
			return line
		}
	}
	require.Fail(t, "not in the report", role)
	return nil
}

// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package acceptance

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/bootstrap/world"
	"github.com/ci-identity/vault-plugin-secrets-ci/bootstrap/world/worldtest"
)

// issued is what a job holds.
type issued struct {
	id, token, lease string
}

// issue reads a credential that has to come.
func issue(t *testing.T, caller *worldtest.Caller, role string) issued {
	t.Helper()
	answer := caller.Read("ci/creds/" + role)
	require.NoError(t, answer.Failure())
	return issued{id: answer.Data["token_id"].(string), token: answer.Data["token"].(string), lease: answer.LeaseID}
}

// issueMany reads credentials side by side.
func issueMany(t *testing.T, caller *worldtest.Caller, role string, n int) []issued {
	t.Helper()
	all := make([]issued, n)
	var jobs sync.WaitGroup
	for i := range all {
		jobs.Go(func() {
			answer, err := caller.Caller.Read(t.Context(), "ci/creds/"+role)
			if err == nil && answer.Status == http.StatusOK {
				all[i] = issued{answer.Data["token_id"].(string), answer.Data["token"].(string), answer.LeaseID}
			}
		})
	}
	jobs.Wait()
	require.NotContains(t, all, issued{}, "a credential did not come")
	return all
}

// leaderless is how long nodes on a busy machine may be without a leader.
const leaderless = 30 * time.Second

// patiently asks until somebody answers.
func patiently(t *testing.T, ask func() (answered bool)) {
	t.Helper()
	for end := time.Now().Add(leaderless); !ask(); time.Sleep(50 * time.Millisecond) {
		require.True(t, time.Now().Before(end), "nobody leads")
	}
}

// record reads a token's record.
func record(t *testing.T, caller *worldtest.Caller, id string) map[string]any {
	t.Helper()
	var answer world.Answer
	patiently(t, func() bool {
		var err error
		answer, err = caller.Caller.Read(t.Context(), "ci/tokens/"+id)
		return err == nil && answer.Status < http.StatusInternalServerError
	})
	require.NoError(t, answer.Failure())
	return answer.Data
}

// listed are the ids of the tokens that the ledger does not know to be dead, or
// false while nobody answers.
func listed(t *testing.T, caller *worldtest.Caller) (ids []string, answered bool) {
	t.Helper()
	answer, err := caller.Caller.List(t.Context(), "ci/tokens")
	if err != nil || answer.Status != http.StatusOK && answer.Status != http.StatusNotFound {
		return nil, false
	}
	keys, _ := answer.Data["keys"].([]any)
	for _, key := range keys {
		ids = append(ids, key.(string))
	}
	return ids, true
}

// event is one event of the log.
type event map[string]any

func (e event) text(field string) string {
	text, _ := e[field].(string)
	return text
}

// follower reads the log as a collector does: page by page, from where it was.
type follower struct {
	next string
	seen []event
}

// read takes in what is new, false where nobody answers.
func (f *follower) read(t *testing.T, caller *worldtest.Caller, limit int) bool {
	t.Helper()
	for {
		answer, err := caller.Caller.Write(t.Context(), "ci/events", map[string]any{"after": f.next, "limit": limit})
		if err != nil || answer.Status != http.StatusOK {
			return false
		}
		page := answer.Data["events"].([]any)
		for _, line := range page {
			var e event
			require.NoError(t, json.Unmarshal([]byte(line.(string)), &e))
			f.seen = append(f.seen, e)
		}
		f.next = answer.Data["next"].(string)
		if len(page) < limit {
			return true
		}
	}
}

// eventsOf reads the whole log.
func eventsOf(t *testing.T, caller *worldtest.Caller) []event {
	t.Helper()
	f := &follower{}
	patiently(t, func() bool { return f.read(t, caller, 1000) })
	return f.seen
}

// timesTold counts the events of a type, of one token where an id is given.
func timesTold(events []event, kind, id string) (n int) {
	for _, e := range events {
		if e.text("type") == kind && (id == "" || e.text("token_id") == id) {
			n++
		}
	}
	return n
}

// requireTruth holds the log and the records of dead tokens against each other: the
// cursors rise, each token of the ledger was issued once and ended once, in that
// order, and its record says what the log says.
func requireTruth(t *testing.T, caller *worldtest.Caller, events []event) {
	t.Helper()
	at := map[string]map[string]int{}
	last := ""
	for i, e := range events {
		require.Greater(t, e.text("cursor"), last)
		last = e.text("cursor")
		id, kind := e.text("token_id"), e.text("type")
		if !slices.Contains([]string{"issued", "revoked", "expired"}, kind) {
			continue
		}
		if at[id] == nil {
			at[id] = map[string]int{}
		}
		if kind != "issued" {
			kind = "ended"
		}
		require.NotContains(t, at[id], kind, "token %s: %s twice", id, kind)
		at[id][kind] = i
	}
	for id, told := range at {
		require.Contains(t, told, "issued", id)
		require.Contains(t, told, "ended", id)
		require.Less(t, told["issued"], told["ended"], id)
		r, end := record(t, caller, id), events[told["ended"]]
		for _, field := range []string{"status", "revoked_by", "revoked_at", "token_sha256", "role"} {
			require.Equal(t, end[field], r[field], "%s of %s", field, id)
		}
	}
}

// number is a figure in an answer.
func number(t *testing.T, value any) int {
	t.Helper()
	n, err := strconv.Atoi(fmt.Sprint(value))
	require.NoError(t, err)
	return n
}

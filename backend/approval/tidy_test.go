// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package approval_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/approval"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/identity"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/policy"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/store"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

func TestOldOnesAreForgotten(t *testing.T) {
	d := newDesk(t)
	old := d.ask(alice, 1, nil)
	d.now = d.now.Add(29 * 24 * time.Hour)
	young := d.ask(alice, 1, nil)
	require.NoError(t, d.Tidy(t.Context()))
	require.Equal(t, approval.Expired, d.status(old), "it can still be looked at")
	d.now = d.now.Add(2 * 24 * time.Hour)
	require.NoError(t, d.Tidy(t.Context()))
	ids, err := d.List(t.Context(), "deploy")
	require.NoError(t, err)
	require.Equal(t, []string{young.ID}, ids)
	roles, err := d.Roles(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"deploy/"}, roles)
}

// tidy tidies and tells how often storage was read.
func (d *desk) tidy() int64 {
	d.t.Helper()
	before := d.storage.reads.Load()
	require.NoError(d.t, d.Tidy(d.t.Context()))
	return d.storage.reads.Load() - before
}

func TestTidyReadsOnlyWhatIsDue(t *testing.T) {
	d := newDesk(t)
	d.tidy() // the first one of a process finds what is on no day
	none := d.tidy()
	for n := range 1000 {
		d.ask(policy.Caller{EntityID: fmt.Sprint("e-", n)}, 1, nil)
	}
	require.Equal(t, none, d.tidy(), "a thousand that are not due cost nothing")
	d.start()
	require.Less(t, d.tidy(), int64(20), "nor does a start read each")
	d.now = d.now.Add(32 * 24 * time.Hour)
	d.tidy()
	for _, prefix := range []string{store.Approvals, store.ApprovalDays} {
		left, err := d.storage.InmemStorage.List(t.Context(), prefix)
		require.NoError(t, err)
		require.Empty(t, left, "below %s", prefix)
	}
}

func TestWhatIsOnNoDayIsTidiedToo(t *testing.T) {
	d := newDesk(t)
	a := d.ask(alice, 1, nil)
	key := store.ApprovalDays + "20300506/deploy/" + a.ID
	found, err := store.Get(t.Context(), d.storage, key, new(bool))
	require.NoError(t, err)
	require.True(t, found)
	require.NoError(t, store.Delete(t.Context(), d.storage, key))
	d.start()
	d.tidy()
	require.Equal(t, approval.Pending, d.status(a), "it is not due yet")
	d.now = d.now.Add(32 * 24 * time.Hour)
	d.tidy()
	_, err = d.Get(t.Context(), "deploy", a.ID)
	requireFault(t, err, fault.NotFound, "no such approval")
}

func TestWhoAsksTooOftenWaits(t *testing.T) {
	d := newDesk(t)
	again := func(change func(*approval.Request)) error {
		r := approval.Request{Role: "deploy", Reason: "release 1.2", Caller: alice, Required: 1, Basis: basis}
		change(&r)
		_, err := d.Ask(t.Context(), r)
		return err
	}
	same := func(*approval.Request) {}
	first := d.ask(alice, 1, nil)
	d.now = d.now.Add(time.Minute)
	second := d.ask(alice, 1, nil)
	for range 18 {
		d.ask(alice, 1, nil)
	}
	refused := func(why string) {
		t.Helper()
		requireFault(t, again(same), fault.Conflict, "20 requests of yours for role \"deploy\" are still to be decided; have one denied (vault write ci/approvals/deploy/<id>/deny)")
		require.ErrorContains(t, again(same), "or wait until "+why)
	}
	refused("2030-05-06T08:00:00Z")
	d.start()
	refused("2030-05-06T08:00:00Z") // a new process knows too

	for what, change := range map[string]func(*approval.Request){
		"somebody else":                func(r *approval.Request) { r.Caller = ci },
		"for another role":             func(r *approval.Request) { r.Role = "release" },
		"for the role as it is now":    func(r *approval.Request) { r.Basis = "as it is now" },
		"for a job of a repository":    func(r *approval.Request) { r.Identity = job(t, nil) },
		"for a job of another of them": func(r *approval.Request) { r.Identity = job(t, map[string]string{"repository": "acme/api"}) },
	} {
		require.NoError(t, again(change), what)
	}
	refused("2030-05-06T08:00:00Z")

	_, err := d.decide(second, "e-alice", false)
	require.NoError(t, err)
	require.NoError(t, again(same), "one was denied")
	refused("2030-05-06T08:00:00Z")
	d.approve(first, "e-bob")
	require.NoError(t, again(same), "one was approved")
	refused("2030-05-06T08:01:00Z")
	d.now = d.now.Add(time.Hour)
	d.tidy()
	require.NoError(t, again(same), "all have ended")
}

// A caller cannot get more in by asking in many ways at once.
func TestManyAskAtOnce(t *testing.T) {
	d := newDesk(t)
	proven := []*identity.Identity{job(t, nil), job(t, map[string]string{"run_id": "8"})}
	answers := make(chan error, 60)
	for n := range cap(answers) {
		go func() {
			_, err := d.Ask(t.Context(), approval.Request{Role: "deploy", Reason: "x", Caller: ci, Identity: proven[n%2], Required: 1, Basis: basis})
			answers <- err
		}()
	}
	admitted := 0
	for range cap(answers) {
		if err := <-answers; err == nil {
			admitted++
		} else {
			requireFault(t, err, fault.Conflict, "still to be decided")
		}
	}
	require.Equal(t, 20, admitted)
}

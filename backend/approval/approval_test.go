// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package approval_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/approval"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/identity"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/policy"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

func TestWhoMayApprove(t *testing.T) {
	for _, test := range []struct {
		what    string
		asker   policy.Caller
		job     bool
		decider string
		refused string // empty: may
	}{
		{"somebody else", alice, false, "e-bob", ""},
		{"the asker", alice, false, "e-alice", "you asked for it"},
		{"nobody known", alice, false, "", "who decides is not known"},
		{"somebody else, for a job", ci, true, "e-bob", ""},
		{"the job itself", ci, true, "e-ci", "you asked for it"},
		{"the job's actor, by an alias in another case", ci, true, "e-octocat", "you (octocat) started the job"},
		{"the job's actor, of a job without an entity", policy.Caller{DisplayName: "token"}, true, "e-octocat", "you (octocat) started the job"},
		{"somebody else, for a job without an entity", policy.Caller{DisplayName: "token"}, true, "e-bob", ""},
	} {
		t.Run(test.what, func(t *testing.T) {
			d := newDesk(t)
			var proven *identity.Identity
			if test.job {
				proven = job(t, nil)
			}
			a := d.ask(test.asker, 1, proven)
			status, err := d.decide(a, test.decider, true)
			if test.refused == "" {
				require.NoError(t, err)
				require.Equal(t, approval.Approved, status)
				return
			}
			requireFault(t, err, fault.Denied, test.refused)
			require.Equal(t, approval.Pending, d.status(a), "nothing counted")
		})
	}
}

func TestWhoMayAsk(t *testing.T) {
	d := newDesk(t)
	ask := func(change func(*approval.Request)) error {
		r := approval.Request{Role: "deploy", Reason: "release 1.2", Caller: alice, Required: 1, Basis: basis}
		change(&r)
		_, err := d.Ask(t.Context(), r)
		return err
	}
	require.NoError(t, ask(func(*approval.Request) {}))
	nobody := policy.Caller{DisplayName: "token"}
	requireFault(t, ask(func(r *approval.Request) { r.Caller = nobody }), fault.Denied, "who asks is not known")
	requireFault(t, ask(func(r *approval.Request) { r.Caller, r.Identity = nobody, job(t, map[string]string{"actor": ""}) }), fault.Denied, "who asks is not known")
	require.NoError(t, ask(func(r *approval.Request) { r.Caller, r.Identity = nobody, job(t, nil) }))
	for what, preset := range map[string]string{"GitHub's": identity.GitHubActions, "another issuer's": ""} {
		unnamed := job(t, map[string]string{"actor": ""})
		unnamed.Preset = preset
		requireFault(t, ask(func(r *approval.Request) { r.Identity = unnamed }), fault.Denied, "does not name who started the job")
		named := job(t, nil)
		named.Preset = preset
		require.NoError(t, ask(func(r *approval.Request) { r.Identity = named }), what)
	}
	requireFault(t, ask(func(r *approval.Request) { r.Identity = job(t, map[string]string{"run_id": ""}) }), fault.Denied, "has no claim run_id")
	requireFault(t, ask(func(r *approval.Request) { r.Reason = " \n" }), fault.Invalid, "reason: ")
	requireFault(t, ask(func(r *approval.Request) { r.Reason = strings.Repeat("x", 5000) }), fault.Invalid, "reason: ")
	requireFault(t, ask(func(r *approval.Request) { r.Required = 0 }), fault.Invalid, "needs no approval")
}

func TestDifferentPeopleAreCounted(t *testing.T) {
	d := newDesk(t)
	a := d.ask(alice, 2, nil)
	require.Equal(t, approval.Pending, d.approve(a, "e-bob"))
	_, err := d.decide(a, "e-bob", true)
	requireFault(t, err, fault.Denied, "you have decided already; 2 different people")
	require.Equal(t, approval.Approved, d.approve(a, "e-carol"))
	stored, err := d.Get(t.Context(), a.Role, a.ID)
	require.NoError(t, err)
	require.Equal(t, []string{"e-bob (entity e-bob)", "e-carol (entity e-carol)"}, stored.Approvers())
}

func TestManyDecideAtOnce(t *testing.T) {
	d := newDesk(t)
	a := d.ask(alice, 3, nil)
	var all sync.WaitGroup
	for _, who := range []string{"e-1", "e-2", "e-1", "e-2", "e-1", "e-2"} {
		all.Go(func() { _, _ = d.decide(a, who, true) })
	}
	all.Wait()
	require.Equal(t, approval.Pending, d.status(a), "two people are not three, however often they click")
	require.Equal(t, approval.Approved, d.approve(a, "e-3"))
}

func TestItEndsByItself(t *testing.T) {
	d := newDesk(t)
	undecided := d.ask(alice, 1, nil)
	require.Equal(t, d.now.Add(time.Hour), undecided.ExpiresAt())
	d.now = d.now.Add(time.Hour - time.Second)
	late := d.ask(alice, 1, nil)
	require.Equal(t, approval.Pending, d.status(undecided))
	d.now = d.now.Add(time.Second)
	require.Equal(t, approval.Expired, d.status(undecided))
	_, err := d.decide(undecided, "e-bob", true)
	requireFault(t, err, fault.Conflict, "is expired; ask anew")

	d.approve(late, "e-bob")
	d.now = d.now.Add(15*time.Minute - time.Second)
	require.Equal(t, approval.Approved, d.status(late))
	d.now = d.now.Add(time.Second)
	require.Equal(t, approval.Expired, d.status(late), "15 minutes to use it, whatever is left of the hour")
}

func TestADenyEndsIt(t *testing.T) {
	d := newDesk(t)
	for _, approvedBefore := range []bool{false, true} {
		a := d.ask(alice, 1, nil)
		if approvedBefore {
			d.approve(a, "e-bob")
		}
		status, err := d.decide(a, "e-carol", false)
		require.NoError(t, err)
		require.Equal(t, approval.Denied, status)
		_, err = d.decide(a, "e-dora", true)
		requireFault(t, err, fault.Conflict, "is denied")
	}
	own := d.ask(alice, 1, nil)
	status, err := d.decide(own, "e-alice", false)
	require.NoError(t, err, "the asker may think better of it")
	require.Equal(t, approval.Denied, status)
}

func TestItRestsOnWhatItWasAskedFor(t *testing.T) {
	d := newDesk(t)
	a := d.ask(alice, 1, nil)
	require.Equal(t, approval.Void, a.StatusAt(d.now, "as it is now"))
	_, err := d.Decide(t.Context(), a.Role, a.ID, "as it is now", approval.Decision{EntityID: "e-bob", Approve: true})
	requireFault(t, err, fault.Conflict, "is void")
}

func TestWhomItServes(t *testing.T) {
	d := newDesk(t)
	run := func(changes map[string]string) *identity.Run {
		r, err := job(t, changes).Run()
		require.NoError(t, err)
		return &r
	}
	plain, bound := d.ask(alice, 1, nil), d.ask(ci, 1, job(t, nil))
	nobody := d.ask(policy.Caller{DisplayName: "token"}, 1, job(t, nil))
	for _, test := range []struct {
		what   string
		of     *approval.Approval
		caller policy.Caller
		run    *identity.Run
		serves bool
	}{
		{"the asker", plain, alice, nil, true},
		{"somebody else", plain, ci, nil, false},
		{"nobody known", plain, policy.Caller{DisplayName: alice.DisplayName}, nil, false},
		{"the asker, where an issuer has come", plain, alice, run(nil), false},
		{"the run", bound, ci, run(nil), true},
		{"the asker without a run", bound, ci, nil, false},
		{"another run", bound, ci, run(map[string]string{"run_id": "8"}), false},
		{"another commit", bound, ci, run(map[string]string{"sha": "decaf"}), false},
		{"another ref", bound, ci, run(map[string]string{"ref": "refs/tags/v1"}), false},
		{"another repository", bound, ci, run(map[string]string{"repository": "acme/api"}), false},
		{"the run, of somebody else", bound, alice, run(nil), false},
		{"the run without an entity", nobody, policy.Caller{DisplayName: "token"}, run(nil), true},
		{"the run without an entity, by another login", nobody, policy.Caller{DisplayName: "approle"}, run(nil), false},
	} {
		ok, why := test.of.For(test.caller, test.run)
		require.Equal(t, test.serves, ok, test.what)
		require.Equal(t, test.serves, why == "", test.what)
	}
}

func TestWhoseJobUsesIt(t *testing.T) {
	d := newDesk(t)
	a := d.ask(ci, 2, job(t, nil))
	d.approve(a, "e-bob")
	d.approve(a, "e-carol")
	stored, err := d.Get(t.Context(), a.Role, a.ID)
	require.NoError(t, err)
	for actor, why := range map[string]string{
		"octocat":         "",
		"somebody":        "",
		"bob":             "e-bob has approved it and (as bob) started the job that uses it",
		"Bob@Example.com": "e-bob has approved it and (as Bob@Example.com)",
		"carol":           "e-carol has approved it",
		"":                "does not name who started the job",
	} {
		ok, says, err := d.Independent(stored, job(t, map[string]string{"actor": actor}).Job())
		require.NoError(t, err)
		require.Equal(t, why == "", ok, actor)
		require.Contains(t, says, why)
	}
}

func TestItIsUsedOnce(t *testing.T) {
	d := newDesk(t)
	a := d.ask(alice, 1, nil)
	d.approve(a, "e-bob")
	read, err := d.Get(t.Context(), a.Role, a.ID) // what every racer has read
	require.NoError(t, err)

	var racers sync.WaitGroup
	tokens := make(chan string, 20)
	for range 20 {
		racers.Go(func() {
			release, err := d.Claim(t.Context(), read)
			if err != nil {
				return
			}
			defer release()
			if d.Burn(t.Context(), read, "token") == nil {
				tokens <- "token"
			}
		})
	}
	racers.Wait()
	require.Len(t, tokens, 1)
	require.Equal(t, approval.Used, d.status(a))
	_, err = d.Claim(t.Context(), read)
	requireFault(t, err, fault.Denied, "has been used")

	require.NoError(t, d.Restore(t.Context(), read), "its token did not come about")
	require.Equal(t, approval.Approved, d.status(a))
	release, err := d.Claim(t.Context(), read)
	require.NoError(t, err)
	_, err = d.Claim(t.Context(), read)
	requireFault(t, err, fault.Denied, "is being used this moment")
	release()
}

func TestADenyStopsACredentialThatIsBeingMade(t *testing.T) {
	d := newDesk(t)
	a := d.ask(alice, 1, nil)
	d.approve(a, "e-bob")
	read, err := d.Get(t.Context(), a.Role, a.ID)
	require.NoError(t, err)
	release, err := d.Claim(t.Context(), read)
	require.NoError(t, err)
	defer release()
	_, err = d.decide(a, "e-carol", false)
	require.NoError(t, err)
	requireFault(t, d.Burn(t.Context(), read, "token"), fault.Denied, "was denied")
	require.Equal(t, approval.Denied, d.status(a))
}

func TestWhatIsNoIDIsNotLookedUp(t *testing.T) {
	d := newDesk(t)
	a := d.ask(alice, 1, nil)
	for _, id := range []string{"", "x", "../deploy/" + a.ID, a.ID + "/", "an invalid token", "deploy", "\x00"} {
		_, err := d.Get(t.Context(), "deploy", id)
		requireFault(t, err, fault.NotFound, `there is no such approval for role "deploy"`)
	}
	_, err := d.Get(t.Context(), "build", a.ID)
	requireFault(t, err, fault.NotFound, "no such approval")
}

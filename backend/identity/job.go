// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package identity

import (
	"maps"
	"strings"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

// Job is what the record of a token says about the job that it was made for. A
// field is empty where the issuer says nothing.
type Job struct {
	// Repository is its full name, owner first.
	Repository string `json:"repository,omitempty"`
	// Ref is the branch or tag, as the platform spells it.
	Ref string `json:"ref,omitempty"`
	// SHA is the commit.
	SHA string `json:"sha,omitempty"`
	// Environment is the platform's deployment environment, not ours.
	Environment string `json:"environment,omitempty"`
	// Workflow is the file that defines the job, with its ref.
	Workflow string `json:"workflow,omitempty"`
	// Run is the workflow run's id; on GitLab pipeline/job.
	Run string `json:"run,omitempty"`
	// Actor is who or what started the run.
	Actor string `json:"actor,omitempty"`
	// Runner is the kind of runner; on GitLab id/kind.
	Runner string `json:"runner,omitempty"`
}

// Facts are the fields that are set, by their JSON names.
func (j Job) Facts() map[string]string {
	all := map[string]string{
		"repository": j.Repository, "ref": j.Ref, "sha": j.SHA, "environment": j.Environment,
		"workflow": j.Workflow, "run": j.Run, "actor": j.Actor, "runner": j.Runner,
	}
	maps.DeleteFunc(all, func(_, value string) bool { return value == "" })
	return all
}

// Run is what an approval is good for: that very run of that commit and ref.
// Attempts and jobs of one run are the same Run. Two are compared with ==.
type Run struct {
	Issuer     string `json:"issuer"`
	Repository string `json:"repository"`
	ID         string `json:"id"`
	SHA        string `json:"sha"`
	Ref        string `json:"ref"`
}

// fact names the claims that make up one fact; several are joined with a slash.
type fact []string

// facts say where a kind of issuer puts what a Job holds.
type facts struct {
	repository, ref, sha, environment, workflow, run, actor, runner fact
	// pipeline is the claim that all attempts and jobs of one run share.
	pipeline string
}

// factsOf are the facts of a preset. Without one GitHub's names are tried, which
// others have copied.
func factsOf(preset string) facts {
	if p, ok := PresetOf(preset); ok {
		return p.facts
	}
	return actionsFacts()
}

func (f fact) of(claims Claims) string {
	var values []string
	for _, claim := range f {
		if value, ok := claims.Text(claim); ok && value != "" {
			values = append(values, value)
		}
	}
	return strings.Join(values, "/")
}

// Job is what to remember of the job.
func (i *Identity) Job() Job {
	f := factsOf(i.Preset)
	return Job{
		Repository:  f.repository.of(i.Claims),
		Ref:         f.ref.of(i.Claims),
		SHA:         f.sha.of(i.Claims),
		Environment: f.environment.of(i.Claims),
		Workflow:    f.workflow.of(i.Claims),
		Run:         f.run.of(i.Claims),
		Actor:       f.actor.of(i.Claims),
		Runner:      f.runner.of(i.Claims),
	}
}

// Run is the run that an approval can be tied to. It is fault.Denied when the token
// does not say which run it is: an approval must never be good for another one.
func (i *Identity) Run() (Run, error) {
	f := factsOf(i.Preset)
	run := Run{Issuer: i.Issuer}
	for _, part := range []struct {
		claim string
		value *string
	}{
		{f.repository[0], &run.Repository},
		{f.pipeline, &run.ID},
		{f.sha[0], &run.SHA},
		{f.ref[0], &run.Ref},
	} {
		value, ok := i.Claims.Text(part.claim)
		if !ok || value == "" {
			return Run{}, fault.New(fault.Denied,
				"identity: an approval is tied to one run, commit and ref, and this id_token has no claim %s", part.claim)
		}
		*part.value = value
	}
	return run, nil
}

// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/ci-identity/vault-plugin-secrets-ci/cmd/citoken/internal/cijob"
	"github.com/ci-identity/vault-plugin-secrets-ci/cmd/citoken/internal/credential"
	"github.com/ci-identity/vault-plugin-secrets-ci/cmd/citoken/internal/login"
)

// defaultLease is short because exec renews it: a runner that is killed renews no
// more, and its token dies with the lease.
const defaultLease = 2 * time.Minute

// The values of -repository that are none.
const (
	ownRepository   = "own"
	allRepositories = "all"
)

// environmentPrefix is what the variables of the flags begin with.
const environmentPrefix = "CITOKEN_"

// fromEnvironment sets the flags that were not given from their variables.
func fromEnvironment(flags *flag.FlagSet) error {
	given := map[string]bool{}
	flags.Visit(func(f *flag.Flag) { given[f.Name] = true })
	var failures []error
	flags.VisitAll(func(f *flag.Flag) {
		variable := environmentPrefix + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		if value := os.Getenv(variable); value != "" && !given[f.Name] {
			if err := f.Value.Set(value); err != nil {
				failures = append(failures, fmt.Errorf("%s: %w", variable, err))
			}
		}
	})
	return errors.Join(failures...)
}

// newFlags makes the flags of a command, with a usage line above them.
func newFlags(s streams, name, usage string) *flag.FlagSet {
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.SetOutput(s.err)
	flags.Usage = func() {
		fmt.Fprintf(flags.Output(), "Usage: citoken %s\n\n", usage)
		flags.PrintDefaults()
	}
	return flags
}

// connection is who citoken is to Vault.
type connection struct {
	login.Options
	mount string
}

func (c *connection) declare(flags *flag.FlagSet) {
	flags.StringVar(&c.mount, "mount", "ci", "where the engine is mounted")
	flags.StringVar(&c.Method, "auth", login.Auto, "how to log in: token (VAULT_TOKEN), approle (VAULT_ROLE_ID with VAULT_SECRET_ID or VAULT_SECRET_ID_FILE), jwt (the CI job's id_token), or auto: what is there, in this order")
	flags.StringVar(&c.Options.Mount, "auth-mount", "", "where the auth method is mounted; if left out, github-actions and gitlab for jobs of those, else under the name of the method")
	flags.StringVar(&c.Options.Role, "auth-role", "job", "role of the JWT auth method")
	flags.StringVar(&c.IDToken, "id-token", "auto", "the job's own id_token: auto (GitHub and Forgejo Actions; VAULT_ID_TOKEN), env:NAME, file:PATH or none")
	flags.StringVar(&c.Audience, "audience", "", "audience of the id_token, where the CI system makes it on demand")
}

func (c *connection) open(ctx context.Context) (*login.Session, error) {
	return login.Open(ctx, c.Options, cijob.Current())
}

func (c *connection) mountPath() string { return strings.Trim(c.mount, "/") }

// asking is which credential is wanted.
type asking struct {
	role, repository, approval string
	lease                      time.Duration
}

func (a *asking) declare(flags *flag.FlagSet) {
	flags.StringVar(&a.role, "role", "", "role to get a credential of; required")
	flags.StringVar(&a.repository, "repository", ownRepository, "the one repository to narrow the credential to; "+ownRepository+": the job's own where it logs in by its own identity; "+allRepositories+": those of the role")
	flags.StringVar(&a.approval, "approval-id", "", "approval to use, where the role needs one")
	flags.DurationVar(&a.lease, "lease", defaultLease, "life of the credential without renewal")
}

// get logs in and gets the credential. The session is there for the caller to end
// also when there is no credential.
func (a *asking) get(ctx context.Context, c *connection) (*login.Session, *credential.Credential, error) {
	if a.role == "" {
		return nil, nil, errors.New("-role is required")
	}
	session, err := c.open(ctx)
	if err != nil {
		return nil, nil, err
	}
	ask, err := a.ask(ctx, c, session)
	if err != nil {
		return session, nil, err
	}
	made, err := credential.Get(ctx, session.Client, ask)
	return session, made, err
}

// ask completes the wish with what the job is, where it is one.
func (a *asking) ask(ctx context.Context, c *connection, session *login.Session) (credential.Ask, error) {
	ask := credential.Ask{Mount: c.mountPath(), Role: a.role, Repository: a.repository, Approval: a.approval, TTL: a.lease}
	switch a.repository {
	case ownRepository:
		ask.Repository = session.Repository
	case allRepositories:
		ask.Repository = ""
	}
	token, err := cijob.Current().IDToken(ctx, c.IDToken, c.Audience)
	if err != nil && !errors.Is(err, cijob.ErrNoIdentity) {
		return ask, err
	}
	ask.IDToken = token
	return ask, nil
}

// texts is a flag that may be given more than once.
type texts []string

func (t *texts) String() string { return strings.Join(*t, " ") }

func (t *texts) Set(value string) error {
	*t = append(*t, strings.Fields(value)...)
	return nil
}

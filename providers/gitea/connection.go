// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package gitea

import (
	"context"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/hashicorp/go-hclog"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

// connection implements providers.Connection, Learner, Finder, Observer, Retirer
// and Rotator.
type connection struct {
	client *client
	logger hclog.Logger
	// learned is what the server can do, as far as it has been asked.
	learned atomic.Pointer[abilities]
}

// abilities are what differs between servers.
type abilities struct {
	// version is the server's own word for what it is.
	version string
	// narrows: a token can be limited to some of its account's repositories.
	narrows bool
}

// BaseURL implements providers.Connection: the server's address, below which git
// finds the repositories and the API is at /api/v1.
func (c *connection) BaseURL() string { return c.client.base }

// Verify implements providers.Connection. It proves what Mint needs: a site
// administrator whom the server lets deal with tokens by password.
func (c *connection) Verify(ctx context.Context) error {
	if _, err := c.learn(ctx); err != nil {
		return err
	}
	me, err := c.self(ctx)
	if err != nil {
		return err
	}
	if !me.IsAdmin {
		return fault.New(fault.Refused, "gitea: %s is no site administrator: it cannot make accounts and tokens; make it one, or name another in username", me.Login)
	}
	var tokens []token
	err = c.client.do(ctx, request{method: http.MethodGet, path: pathf("/users/%s/tokens", me.Login) + "?limit=1", out: &tokens})
	return unexpected(err, "the server does not show the tokens of %s", me.Login)
}

// self is the administrator's own account.
func (c *connection) self(ctx context.Context) (account, error) {
	var me account
	err := c.client.do(ctx, request{method: http.MethodGet, path: "/user", out: &me})
	if err != nil {
		return account{}, unexpected(err, "the server does not say whose password it is")
	}
	if me.Login == "" {
		return account{}, fault.New(fault.Nonsense, "gitea: the server does not say whose password it is; is base_url a Gitea?")
	}
	return me, nil
}

// Check implements providers.Connection. Whether the server can narrow a token is
// known here only after Learn, Verify or Mint has asked it; Mint refuses what Check
// could not know.
func (c *connection) Check(g providers.Grant) error {
	if g.Account == "" {
		return fault.InvalidField("repositories", "must name their owner: owner/name")
	}
	if len(g.Repositories) == 0 {
		return fault.InvalidField("repositories", "is required: name at least one repository")
	}
	for _, repository := range g.Repositories {
		if repository == "" || strings.Contains(repository, "/") {
			return fault.InvalidField("repositories", "%q is not the name of a repository", repository)
		}
	}
	if len(g.Permissions) == 0 {
		return fault.InvalidField("permissions", "is required: name at least one, such as repository=read")
	}
	for _, p := range g.Permissions {
		if err := (vocabulary{}).Check(p); err != nil {
			return err
		}
	}
	if can := c.learned.Load(); can != nil {
		return can.check(g)
	}
	return nil
}

// check refuses a grant that is narrower than its role where the server cannot
// limit a token: it would reach all that the role's account does.
func (a *abilities) check(g providers.Grant) error {
	if g.Narrowed && !a.narrows {
		return fault.InvalidField("repositories", "must be exactly those that the role names, without patterns and claims: "+
			"tokens of this server (%s) reach all repositories of the role, only Forgejo 15 and later can limit one; make a role for each set of repositories", a.version)
	}
	return nil
}

// Learn implements providers.Learner.
func (c *connection) Learn(ctx context.Context) error {
	_, err := c.learn(ctx)
	return err
}

// learn asks the server what it can do, once.
func (c *connection) learn(ctx context.Context) (*abilities, error) {
	if can := c.learned.Load(); can != nil {
		return can, nil
	}
	var answer struct {
		Version string `json:"version"`
	}
	err := c.client.do(ctx, request{method: http.MethodGet, path: "/version", out: &answer})
	if err != nil {
		return nil, unexpected(err, "the server does not say what it is; is base_url a Gitea?")
	}
	if answer.Version == "" {
		return nil, fault.New(fault.Nonsense, "gitea: the server does not say what it is; is base_url a Gitea?")
	}
	can := &abilities{version: answer.Version, narrows: narrows(answer.Version)}
	c.learned.Store(can)
	return can, nil
}

// forgejo is the version of a Forgejo, which also says what Gitea's API it speaks:
// 15.0.1+gitea-1.22.0.
var forgejo = regexp.MustCompile(`^(\d{1,4})\..*\+gitea-`)

// narrowsSince is the first Forgejo with tokens that are limited to repositories.
const narrowsSince = 15

func narrows(version string) bool {
	match := forgejo.FindStringSubmatch(version)
	if match == nil {
		return false
	}
	major, err := strconv.Atoi(match[1])
	return err == nil && major >= narrowsSince
}

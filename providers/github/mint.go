// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package github

import (
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/transport"
)

const (
	// username goes with any installation token for git over HTTPS.
	username = "x-access-token"
	// mintTimeout bounds a mint, and discardTimeout each try to kill its token, that
	// nobody waits for any more.
	mintTimeout    = 30 * time.Second
	discardTimeout = 10 * time.Second
)

// tokenRequest asks for a token. Its lists are sent as they are: a list that is
// left out would mean everything.
type tokenRequest struct {
	Repositories []string          `json:"repositories"`
	Permissions  map[string]string `json:"permissions"`
}

// Mint makes an installation token. Token.Repositories is ["*"] where GitHub says
// that the token is for all repositories of the installation.
func (c *connection) Mint(ctx context.Context, g providers.Grant) (*providers.Token, error) {
	if err := c.Check(g); err != nil {
		return nil, err
	}
	if err := checkNames(g.Repositories); err != nil {
		return nil, err
	}
	if id := c.fixed(g.Account); id != 0 {
		token, err := c.mintAt(ctx, id, g)
		return token, c.wrongInstallation(err, g.Account, id)
	}
	id, err := c.installations.id(ctx, g.Account)
	if err != nil {
		return nil, err
	}
	token, err := c.mintAt(ctx, id, g)
	if !errors.Is(err, errGone) && !errors.Is(err, errForeign) {
		return token, err
	}
	// The App was installed anew, or the account has another name now.
	c.installations.forget(g.Account, id)
	if id, err = c.installations.id(ctx, g.Account); err != nil {
		return nil, err
	}
	token, err = c.mintAt(ctx, id, g)
	if errors.Is(err, errGone) {
		c.installations.forget(g.Account, id)
		return nil, c.notInstalled(g.Account)
	}
	return token, c.wrongInstallation(err, g.Account, id)
}

// errGone and errForeign say that an installation id is not, or no longer, that of
// the account.
var (
	errGone    = fault.New(fault.Refused, "github: there is no such installation")
	errForeign = fault.New(fault.Refused, "github: the installation is on another account")
)

// wrongInstallation names the installation that turned out to be wrong.
func (c *connection) wrongInstallation(err error, account string, id int64) error {
	switch {
	case errors.Is(err, errGone):
		return fault.New(fault.Refused, "github: the App has no installation %d; was it uninstalled from %s?", id, account)
	case errors.Is(err, errForeign):
		return fault.New(fault.Refused, "github: installation %d is on another account than %s", id, account)
	}
	return err
}

// mintAt makes a token at an installation. The request goes on when the caller
// goes away: only so can a token be killed whose making could not be stopped.
func (c *connection) mintAt(ctx context.Context, id int64, g providers.Grant) (*providers.Token, error) {
	if err := ctx.Err(); err != nil {
		return nil, transport.Fault("github", err)
	}
	type result struct {
		token *providers.Token
		err   error
	}
	done := make(chan result, 1)
	go func() {
		detached, cancel := context.WithTimeout(context.WithoutCancel(ctx), mintTimeout)
		defer cancel()
		token, err := c.createToken(detached, id, g)
		done <- result{token, err}
	}()
	select {
	case r := <-done:
		if statusOf(r.err) != 0 {
			return nil, c.explain(ctx, id, g, r.err)
		}
		return r.token, r.err
	case <-ctx.Done():
		go func() {
			if r := <-done; r.token != nil {
				c.discard(r.token.Secret)
			}
		}()
		return nil, transport.Fault("github", ctx.Err())
	}
}

// createToken sends the request and judges the answer. A token in an answer that
// cannot be used is killed.
func (c *connection) createToken(ctx context.Context, id int64, g providers.Grant) (*providers.Token, error) {
	jwt, err := c.signer.jwt()
	if err != nil {
		return nil, err
	}
	body := tokenRequest{Repositories: g.Repositories, Permissions: map[string]string{}}
	for _, p := range g.Permissions {
		body.Permissions[p.Resource] = string(p.Level)
	}
	path := "app/installations/" + strconv.FormatInt(id, 10) + "/access_tokens"
	var granted grant
	err = c.client.send(ctx, call{method: "POST", path: path, body: body, bearer: jwt}, func(r io.Reader) error {
		if err := granted.read(r); err != nil {
			return err
		}
		return granted.complete()
	})
	var token *providers.Token
	if err == nil {
		token, err = granted.token(g)
	}
	if err != nil && isToken(granted.secret) {
		c.discard(granted.secret)
	}
	return token, err
}

// discard kills a token that nobody will ever hear of: at once and, where that
// fails, a few times more while the caller goes on. Where all fail the token ends
// within its hour: GitHub offers nothing more.
func (c *connection) discard(secret string) {
	handle := providers.Handle{Value: secret, MintedAt: c.now()}
	try := func() error {
		ctx, cancel := context.WithTimeout(context.Background(), discardTimeout)
		defer cancel()
		return c.Revoke(ctx, handle)
	}
	err := try()
	if err == nil {
		return
	}
	go func() {
		for _, wait := range c.retries {
			time.Sleep(max(wait, fault.RetryAfter(err)))
			if err = try(); err == nil {
				return
			}
		}
	}()
}

// token makes the contract's token of what GitHub says it granted.
func (a *grant) token(g providers.Grant) (*providers.Token, error) {
	token := &providers.Token{Secret: a.secret, Handle: a.secret, Username: username, ExpiresAt: a.expiresAt}
	for _, full := range a.repositories {
		owner, name, found := strings.Cut(full, "/")
		if !found {
			name = full
		} else if !strings.EqualFold(owner, g.Account) {
			return nil, errForeign
		}
		token.Repositories = append(token.Repositories, name)
	}
	if a.selection == "all" {
		token.Repositories = []string{"*"}
	}
	for _, resource := range slices.Sorted(maps.Keys(a.permissions)) {
		p := providers.Permission{Resource: resource, Level: providers.Level(a.permissions[resource])}
		token.Permissions = append(token.Permissions, p)
	}
	return token, nil
}

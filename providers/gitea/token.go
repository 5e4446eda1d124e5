// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package gitea

import (
	"context"
	"encoding/json"
	"net/http"
	"regexp"
	"time"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

// token is an access token as the server lists it, with its secret in the answer
// that made it.
type token struct {
	ID     int64    `json:"id"`
	Name   string   `json:"name"`
	Secret string   `json:"sha1"`
	Scopes []string `json:"scopes"`
	// Repositories are those that the token is limited to; nil where it is not.
	Repositories []struct {
		Name  string `json:"name"`
		Owner string `json:"owner"`
	} `json:"repositories"`
	Created  time.Time `json:"created_at"`
	LastUsed time.Time `json:"last_used_at"`
}

// tokenID is what the engine calls its tokens.
var tokenID = regexp.MustCompile(`^[0-9a-z][0-9a-z-]{9,63}$`)

// handle is what it takes to revoke a token.
type handle struct {
	Account string `json:"account"`
	ID      int64  `json:"id"`
}

func (h handle) String() string {
	text, _ := json.Marshal(h) // a string and a number: it cannot fail
	return string(text)
}

func parseHandle(value string) (handle, error) {
	var h handle
	if err := json.Unmarshal([]byte(value), &h); err != nil || h.Account == "" || h.ID <= 0 {
		return handle{}, fault.New(fault.Internal, "gitea: the handle names no token")
	}
	return h, nil
}

// Mint implements providers.Connection. A token whose making was not confirmed is
// killed where the server can still be asked, and found by its name otherwise.
func (c *connection) Mint(ctx context.Context, g providers.Grant) (*providers.Token, error) {
	if !tokenID.MatchString(g.TokenID) || g.Subject == "" {
		return nil, fault.New(fault.Internal, "gitea: a token needs a token id and a subject")
	}
	if err := c.Check(g); err != nil {
		return nil, err
	}
	can, err := c.learn(ctx)
	if err != nil {
		return nil, err
	}
	if err := can.check(g); err != nil {
		return nil, err
	}
	account, err := c.ensureAccount(ctx, g.Subject)
	if err != nil {
		return nil, err
	}
	if err := c.align(ctx, account, g); err != nil {
		return nil, err
	}
	made, err := c.create(ctx, account, g, can.narrows)
	if err != nil {
		return nil, err
	}
	minted, err := describe(made, account, g, can.narrows)
	if err == nil {
		err = c.confirm(ctx, account, g)
	}
	if err != nil {
		c.abandon(ctx, account, g.TokenID)
		return nil, err
	}
	return minted, nil
}

// create makes the token. Where one of that name is there already, it is what an
// earlier try made whose answer was lost: nobody knows its secret.
func (c *connection) create(ctx context.Context, account string, g providers.Grant, narrow bool) (token, error) {
	made, err := c.post(ctx, account, g, narrow)
	if fault.Is(err, fault.Refused) {
		if killed, again := c.kill(ctx, account, g.TokenID); again != nil || killed == 0 {
			return token{}, err
		}
		made, err = c.post(ctx, account, g, narrow)
	}
	if err != nil {
		c.abandon(ctx, account, g.TokenID)
		return token{}, err
	}
	return made, nil
}

func (c *connection) post(ctx context.Context, account string, g providers.Grant, narrow bool) (token, error) {
	in := map[string]any{"name": g.TokenID, "scopes": scopes(g.Permissions)}
	if narrow {
		targets := make([]map[string]string, len(g.Repositories))
		for i, name := range g.Repositories {
			targets[i] = map[string]string{"owner": g.Account, "name": name}
		}
		in["repositories"] = targets
	}
	var made token
	err := c.client.do(ctx, request{method: http.MethodPost, path: pathf("/users/%s/tokens", account), in: in, out: &made})
	return made, unexpected(err, "the account %s is gone", account)
}

// describe says what was granted, in the platform's words.
func describe(made token, account string, g providers.Grant, narrow bool) (*providers.Token, error) {
	if made.Secret == "" || made.ID <= 0 {
		return nil, fault.New(fault.Nonsense, "gitea: the answer to making a token holds none")
	}
	permissions, err := granted(made.Scopes)
	if err != nil {
		return nil, err
	}
	t := &providers.Token{
		Secret: made.Secret, Username: account, Permissions: permissions,
		// The account's reach was proven to be this a moment ago.
		Repositories: g.Repositories,
		Handle:       handle{Account: account, ID: made.ID}.String(),
	}
	if !narrow {
		return t, nil
	}
	if len(made.Repositories) == 0 {
		return nil, fault.New(fault.Refused, "gitea: the server did not limit the token to its repositories")
	}
	t.Repositories = make([]string, len(made.Repositories))
	for i, r := range made.Repositories {
		t.Repositories[i] = r.Name
		if key(r.Owner, "") != key(g.Account, "") {
			return nil, fault.New(fault.Refused, "gitea: the server gave the token the repository %s/%s, which was not asked for", r.Owner, r.Name)
		}
	}
	return t, nil
}

// abandon tries to kill a token of which we do not know whether it exists. When it
// cannot, the token can still be found by its name.
func (c *connection) abandon(ctx context.Context, account, id string) {
	if _, err := c.kill(ctx, account, id); err != nil {
		c.logger.Debug("a token of uncertain making will have to be found by its name", "token_id", id, "error", err)
	}
}

// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package example

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

// connection implements providers.Connection and Finder.
type connection struct {
	base, token string
	client      *http.Client
	logger      hclog.Logger
}

// answer is what the platform says of a token.
type answer struct {
	ID           int64     `json:"id"`
	Name         string    `json:"name"`
	Token        string    `json:"token"`
	User         string    `json:"user"`
	Repositories []string  `json:"repositories"`
	Permissions  []string  `json:"permissions"`
	ExpiresAt    time.Time `json:"expires_at"`
}

// BaseURL implements providers.Connection.
func (c *connection) BaseURL() string { return c.base }

// Verify implements providers.Connection.
func (c *connection) Verify(ctx context.Context) error {
	var me struct {
		Name string `json:"name"`
	}
	if err := c.call(ctx, http.MethodGet, "/me", nil, &me); err != nil {
		return err
	}
	if me.Name == "" {
		return fault.New(fault.Nonsense, "example: the platform does not say whose token it is; is base_url right?")
	}
	return nil
}

// Mint implements providers.Connection. A token whose answer cannot be used is killed
// by its name, now or by whoever looks for it later.
func (c *connection) Mint(ctx context.Context, g providers.Grant) (*providers.Token, error) {
	if err := c.Check(g); err != nil {
		return nil, err
	}
	var made answer
	err := c.call(ctx, http.MethodPost, "/tokens", map[string]any{
		"name": tokenName(g.Mount(), g.TokenID), "account": g.Account, "repositories": g.Repositories,
		"permissions": providers.FormatPermissions(g.Permissions), "expires_at": g.ExpiresAt.UTC(),
	}, &made)
	if err == nil && (made.ID <= 0 || made.Token == "" || made.User == "" || made.ExpiresAt.IsZero()) {
		err = fault.New(fault.Nonsense, "example: the answer for a new token lacks some of it")
	}
	var granted []providers.Permission
	if err == nil {
		granted, err = providers.ParsePermissions("permissions", made.Permissions)
	}
	if err != nil {
		c.undo(ctx, g)
		return nil, err
	}
	return &providers.Token{
		Secret: made.Token, Username: made.User, ExpiresAt: made.ExpiresAt.UTC(),
		Repositories: made.Repositories, Permissions: granted, Handle: strconv.FormatInt(made.ID, 10),
	}, nil
}

func (c *connection) undo(ctx context.Context, g providers.Grant) {
	found, err := c.Find(ctx, g.Mount(), everywhere)
	if handle, made := found[g.TokenID]; made {
		err = c.Revoke(ctx, providers.Handle{Value: handle})
	}
	if err != nil {
		c.logger.Debug("a token of uncertain making will have to be found by its name", "token_id", g.TokenID, "error", err)
	}
}

// Revoke implements providers.Connection: the platform's own word that there is no
// such token is the proof that it is dead.
func (c *connection) Revoke(ctx context.Context, h providers.Handle) error {
	if _, err := strconv.ParseInt(h.Value, 10, 64); err != nil {
		return fault.New(fault.Internal, "example: the handle names no token")
	}
	err := c.call(ctx, http.MethodDelete, "/tokens/"+url.PathEscape(h.Value), nil, nil)
	if errors.Is(err, errNotFound) {
		return nil
	}
	return err
}

// everywhere is the one place where tokens are: the service account.
const everywhere = "tokens"

// Place implements providers.Finder.
func (c *connection) Place(providers.Grant) string { return everywhere }

// Places implements providers.Finder.
func (c *connection) Places(context.Context, string) ([]string, error) {
	return []string{everywhere}, nil
}

// Find implements providers.Finder.
func (c *connection) Find(ctx context.Context, mount, _ string) (map[string]string, error) {
	var list []answer
	if err := c.call(ctx, http.MethodGet, "/tokens", nil, &list); err != nil {
		return nil, err
	}
	found := map[string]string{}
	for _, t := range list {
		if id := idOf(mount, t.Name); id != "" {
			found[id] = strconv.FormatInt(t.ID, 10)
		}
	}
	return found, nil
}

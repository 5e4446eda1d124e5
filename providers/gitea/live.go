// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package gitea

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers"
)

// kill revokes the account's tokens of that name and says how many there were.
func (c *connection) kill(ctx context.Context, account, id string) (int, error) {
	var ids []int64
	err := each(ctx, c.client, "", pathf("/users/%s/tokens", account), func(t token) bool {
		if t.Name == id {
			ids = append(ids, t.ID)
		}
		// Names are unique, unless two tries raced. New tokens come first.
		return len(ids) == 0
	})
	if err != nil {
		return 0, err
	}
	for _, id := range ids {
		if err := c.revoke(ctx, handle{Account: account, ID: id}); err != nil {
			return 0, err
		}
	}
	return len(ids), nil
}

// Revoke implements providers.Connection. A token is dead when the server has
// deleted it, does not know it, or does not know its account. Its number is never
// given again.
func (c *connection) Revoke(ctx context.Context, h providers.Handle) error {
	parsed, err := parseHandle(h.Value)
	if err != nil {
		return err
	}
	return c.revoke(ctx, parsed)
}

func (c *connection) revoke(ctx context.Context, h handle) error {
	path := pathf("/users/%s/tokens/%s", h.Account, strconv.FormatInt(h.ID, 10))
	err := c.client.do(ctx, request{method: http.MethodDelete, path: path})
	if errors.Is(err, errNotFound) {
		return nil
	}
	return err
}

// Place implements providers.Finder: the subject's account.
func (c *connection) Place(g providers.Grant) string { return accountName(g.Subject) }

// Places implements providers.Finder: the accounts that bear the mount's mark.
func (c *connection) Places(ctx context.Context, mount string) ([]string, error) {
	var places []string
	err := each(ctx, c.client, "", "/admin/users", func(a account) bool {
		if a.oursAt(mount) {
			places = append(places, a.Login)
		}
		return true
	})
	return places, unexpected(err, "the server does not list its accounts")
}

// Find implements providers.Finder: the live tokens of an account of the mount's. It
// sees what is there when it asks for each page; a token that moves between pages
// meanwhile is seen the next time.
func (c *connection) Find(ctx context.Context, mount, place string) (map[string]string, error) {
	found := map[string]string{}
	a, err := c.lookup(ctx, place)
	if errors.Is(err, errNotFound) || err == nil && !a.oursAt(mount) {
		return found, nil
	}
	if err != nil {
		return nil, err
	}
	err = each(ctx, c.client, "", pathf("/users/%s/tokens", place), func(t token) bool {
		if tokenID.MatchString(t.Name) {
			found[t.Name] = handle{Account: place, ID: t.ID}.String()
		}
		return true
	})
	if err != nil && !errors.Is(err, errNotFound) {
		return nil, err
	}
	return found, nil
}

// LastUsed implements providers.Observer. The server knows it to the second, and a
// token used in the second of its making looks unused.
func (c *connection) LastUsed(ctx context.Context, h providers.Handle) (time.Time, error) {
	parsed, err := parseHandle(h.Value)
	if err != nil {
		return time.Time{}, err
	}
	var used time.Time
	err = each(ctx, c.client, "", pathf("/users/%s/tokens", parsed.Account), func(t token) bool {
		if t.ID != parsed.ID {
			return true
		}
		if t.LastUsed.After(t.Created) {
			used = t.LastUsed.UTC()
		}
		return false
	})
	if err != nil && !errors.Is(err, errNotFound) {
		return time.Time{}, err
	}
	return used, nil
}

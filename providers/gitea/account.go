// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package gitea

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"strings"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

// account is a user of the server as an administrator sees it.
type account struct {
	Login         string `json:"login"`
	LoginName     string `json:"login_name"`
	SourceID      int64  `json:"source_id"`
	Description   string `json:"description"`
	IsAdmin       bool   `json:"is_admin"`
	Active        bool   `json:"active"`
	ProhibitLogin bool   `json:"prohibit_login"`
	Restricted    bool   `json:"restricted"`
}

// settled is the description of an account that has all its limits. Gitea sets it
// in one step with them and shows it, and does not show them.
const settled = "Owns the tokens of one role of a secrets engine for CI in Vault. Made, kept and removed by it."

// accountName is the name of the account that owns a subject's tokens. It is not
// long enough to be the only proof.
func accountName(subject string) string { return "ci-" + digest(subject)[:20] }

// marker proves an account to be ours: the name to log in with, which nobody but
// an administrator can set or change for an account that has a password.
func marker(subject string) string { return markerOf(mountOf(subject)) + digest(subject) }

// markerOf is how the markers of all the accounts of a mount begin.
func markerOf(mount string) string {
	return "vault-plugin-secrets-ci:" + digest(mount)[:20] + ":"
}

func mountOf(subject string) string { return providers.Grant{Subject: subject}.Mount() }

func digest(subject string) string {
	sum := sha256.Sum256([]byte(subject))
	return hex.EncodeToString(sum[:])
}

// ours reports whether we made this account for the subject.
func (a account) ours(subject string) bool {
	return a.SourceID == 0 && a.LoginName == marker(subject)
}

// oursAt reports whether we made this account for a role of the mount.
func (a account) oursAt(mount string) bool {
	return a.SourceID == 0 && strings.HasPrefix(a.LoginName, markerOf(mount))
}

// lookup is the account of a name; errNotFound where there is none.
func (c *connection) lookup(ctx context.Context, name string) (account, error) {
	var a account
	if err := c.client.do(ctx, request{method: http.MethodGet, path: pathf("/users/%s", name), out: &a}); err != nil {
		return account{}, err
	}
	if a.Login == "" {
		return account{}, fault.New(fault.Nonsense, "gitea: the answer about account %s names no account", name)
	}
	return a, nil
}

// ensureAccount makes sure that the subject has its account, and that the account
// is as limited as we make them. It returns the account's name.
func (c *connection) ensureAccount(ctx context.Context, subject string) (string, error) {
	name := accountName(subject)
	a, err := c.lookup(ctx, name)
	if errors.Is(err, errNotFound) {
		a, err = c.createAccount(ctx, name, subject)
	}
	if err != nil {
		return "", err
	}
	switch {
	case !a.ours(subject):
		return "", fault.New(fault.Refused, "gitea: the account %s was not made by this engine for this role, and is not taken over; rename or delete it", name)
	case !a.Active || a.ProhibitLogin:
		// Somebody closed it on purpose, and knows better.
		return "", fault.New(fault.Refused, "gitea: the account %s is blocked; unblock it at the server, or delete it to have it made anew", name)
	case a.IsAdmin || !a.Restricted || a.Description != settled:
		return name, c.settleAccount(ctx, name, subject)
	}
	return name, nil
}

// createAccount makes the account, or finds that someone else made it at the same
// time.
func (c *connection) createAccount(ctx context.Context, name, subject string) (account, error) {
	var a account
	password := newPassword()
	err := c.client.do(ctx, request{method: http.MethodPost, path: "/admin/users", secret: password, out: &a, in: map[string]any{
		"username":             name,
		"login_name":           marker(subject),
		"source_id":            0,
		"full_name":            shorten("CI tokens of "+subject, 100),
		"email":                name + "@vault-plugin-secrets-ci.invalid",
		"password":             password,
		"must_change_password": false,
		"restricted":           true,
		"send_notify":          false,
	}})
	if fault.Is(err, fault.Refused) {
		if existing, again := c.lookup(ctx, name); again == nil {
			return existing, nil
		}
	}
	if err != nil {
		return account{}, unexpected(err, "the server has no way to make accounts")
	}
	if a.Login == "" {
		return account{}, fault.New(fault.Nonsense, "gitea: the server made no account %s", name)
	}
	c.logger.Info("made an account", "account", name)
	return a, nil
}

// settleAccount gives the account its limits. Beside seeing only what it is given
// it can have no repositories and no organisations of its own.
func (c *connection) settleAccount(ctx context.Context, name, subject string) error {
	err := c.client.do(ctx, request{method: http.MethodPatch, path: pathf("/admin/users/%s", name), in: map[string]any{
		"login_name":                marker(subject),
		"source_id":                 0,
		"restricted":                true,
		"admin":                     false,
		"max_repo_creation":         0,
		"allow_create_organization": false,
		"allow_git_hook":            false,
		"allow_import_local":        false,
		"description":               settled,
	}})
	return unexpected(err, "the account %s is gone", name)
}

// newPassword is one that fits every rule that a server can have for passwords.
// For a role's account it is forgotten at once: nobody logs in there.
func newPassword() string { return rand.Text() + rand.Text() + "-aA1" }

func shorten(s string, most int) string {
	if runes := []rune(s); len(runes) > most {
		return string(runes[:most])
	}
	return s
}

// Retire implements providers.Retirer: the subject's account goes. It stays, and
// the error is Conflict, while a token of it lives; an account of that name that
// is not ours is left alone.
func (c *connection) Retire(ctx context.Context, subject string) error {
	name := accountName(subject)
	a, err := c.lookup(ctx, name)
	if errors.Is(err, errNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if !a.ours(subject) {
		c.logger.Warn("an account that is not ours is left alone", "account", name)
		return nil
	}
	live := 0
	err = each(ctx, c.client, "", pathf("/users/%s/tokens", name), func(token) bool {
		live++
		return true
	})
	if err != nil && !errors.Is(err, errNotFound) {
		return err
	}
	if live > 0 {
		return fault.New(fault.Conflict, "gitea: the account %s has %d live tokens", name, live)
	}
	err = c.client.do(ctx, request{method: http.MethodDelete, path: pathf("/admin/users/%s", name)})
	if err != nil && !errors.Is(err, errNotFound) {
		return err
	}
	c.logger.Info("removed an account", "account", name)
	return nil
}

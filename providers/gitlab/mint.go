// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package gitlab

import (
	"context"
	"net/http"
	"time"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

// accessUsername goes with an access token for git over HTTPS. GitLab takes any
// name there; this one is what its documentation uses.
const accessUsername = "oauth2"

// Mint makes one token. When the answer is lost or makes no sense, it kills what
// bears the token's name before it returns, as far as the context lets it.
func (c *connection) Mint(ctx context.Context, g providers.Grant) (*providers.Token, error) {
	if err := c.checkMintable(g); err != nil {
		return nil, err
	}
	p, err := planFor(g.Permissions)
	if err != nil {
		return nil, err
	}
	on, err := c.project(ctx, g.Account, g.Repositories[0])
	if err != nil {
		return nil, err
	}
	token, err := c.create(ctx, on, p, g)
	if err == nil {
		token.Repositories = []string{on.name}
		return token, nil
	}
	if isProjectGone(err) {
		full := g.Account + "/" + g.Repositories[0]
		c.projects.drop(full)
		return nil, invisible(full, err)
	}
	if kind := fault.KindOf(err); kind == fault.Unavailable || kind == fault.Nonsense || kind == fault.Internal {
		c.undo(ctx, on, p.kind, g)
	}
	return nil, err
}

func (c *connection) create(ctx context.Context, on project, p plan, g providers.Grant) (*providers.Token, error) {
	if p.kind == deployToken {
		return c.createDeploy(ctx, on, p, g)
	}
	return c.createAccess(ctx, on, p, g)
}

// createDeploy makes a deploy token: its end is a time, which GitLab holds to the
// second.
func (c *connection) createDeploy(ctx context.Context, on project, p plan, g providers.Grant) (*providers.Token, error) {
	var made deployAnswer
	_, err := c.call(ctx, request{
		method: http.MethodPost, path: projectPath(on.id, collection(p.kind)), want: http.StatusCreated,
		in: struct {
			Name      string   `json:"name"`
			Scopes    []string `json:"scopes"`
			ExpiresAt string   `json:"expires_at"`
		}{tokenName(g.Mount(), g.TokenID), p.scopes, nextSecond(g.ExpiresAt).Format(time.RFC3339)},
	}, &made)
	if err != nil {
		return nil, err
	}
	if made.ID <= 0 || made.Token == "" || made.Username == "" || len(made.Scopes) == 0 {
		return nil, incomplete(p.kind)
	}
	token := &providers.Token{
		Secret: made.Token, Username: made.Username,
		Permissions: p.granted(made.Scopes, 0),
		Handle:      handle{Kind: p.kind, Project: on.id, Token: made.ID}.String(),
	}
	if made.ExpiresAt != nil {
		token.ExpiresAt = made.ExpiresAt.UTC()
	}
	return token, nil
}

// createAccess makes a project access token: its end is a date, so that it may
// live until the next midnight UTC where nobody kills it.
func (c *connection) createAccess(ctx context.Context, on project, p plan, g providers.Grant) (*providers.Token, error) {
	var made accessAnswer
	_, err := c.call(ctx, request{
		method: http.MethodPost, path: projectPath(on.id, collection(p.kind)), want: http.StatusCreated,
		in: struct {
			Name        string   `json:"name"`
			Scopes      []string `json:"scopes"`
			AccessLevel int      `json:"access_level"`
			ExpiresAt   date     `json:"expires_at"`
		}{tokenName(g.Mount(), g.TokenID), p.scopes, p.access, firstDate(g.ExpiresAt)},
	}, &made)
	if refusalOf(err).status == http.StatusBadRequest {
		return nil, fault.New(fault.Refused, "gitlab: no project access token on %s/%s: it takes a personal access token of a Maintainer "+
			"(a group's or project's own token cannot make one), a group that allows them, and Premium on gitlab.com: %w", g.Account, on.name, err)
	}
	if err != nil {
		return nil, err
	}
	if made.ID <= 0 || made.UserID <= 0 || made.Token == "" || made.AccessLevel <= 0 || len(made.Scopes) == 0 {
		return nil, incomplete(p.kind)
	}
	return &providers.Token{
		Secret: made.Token, Username: accessUsername, ExpiresAt: made.expiry(),
		Permissions: p.granted(made.Scopes, made.AccessLevel),
		Handle:      accessHandle(on.id, made).String(),
	}, nil
}

func accessHandle(project int64, a accessAnswer) handle {
	return handle{Kind: projectToken, Project: project, Token: a.ID, Bot: a.UserID, API: a.hasAPI()}
}

func incomplete(kind string) error {
	return fault.New(fault.Nonsense, "gitlab: the answer for a new %s token lacks some of it", kind)
}

// undo kills what a creation may have made whose answer we cannot use.
func (c *connection) undo(ctx context.Context, on project, kind string, g providers.Grant) {
	if ctx.Err() != nil {
		return
	}
	found, err := c.findKind(ctx, on.id, kind, func(name string) bool { return name == tokenName(g.Mount(), g.TokenID) })
	for _, h := range found {
		if err == nil {
			err = c.kill(ctx, h)
		}
	}
	if err != nil {
		c.logger.Warn("gitlab: a token whose creation failed could not be looked for or killed yet", "token_id", g.TokenID, "error", err)
	}
}

// nextSecond is the first whole second that is not before t.
func nextSecond(t time.Time) time.Time {
	whole := t.UTC().Truncate(time.Second)
	if whole.Before(t) {
		whole = whole.Add(time.Second)
	}
	return whole
}

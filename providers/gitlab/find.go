// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package gitlab

import (
	"context"
	"net/http"
	"net/url"
	"regexp"
	"time"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

// tokenID is how the engine names tokens: the hour, then random hex.
var tokenID = regexp.MustCompile(`^[0-9]{10}-[0-9a-f]{24}$`)

// Find lists the live tokens of both kinds on the grant's projects whose name is
// one of the engine's, or the grant's own.
func (c *connection) Find(ctx context.Context, g providers.Grant) (map[string]string, error) {
	ours := func(name string) bool { return tokenID.MatchString(name) || name != "" && name == g.TokenID }
	found := map[string]string{}
	for _, repository := range g.Repositories {
		on, err := c.project(ctx, g.Account, repository)
		if err != nil {
			return nil, err
		}
		for _, kind := range []string{deployToken, projectToken} {
			handles, err := c.findKind(ctx, on.id, kind, ours)
			if kind == projectToken && c.lacksKind(g, err) {
				continue
			}
			if err != nil {
				return nil, err
			}
			for name, h := range handles {
				found[name] = h.String()
			}
		}
	}
	return found, nil
}

// lacksKind reports a GitLab without project access tokens (gitlab.com without
// Premium): it answers 401 for their list right after it has shown us the deploy
// tokens. That is no failure for a grant which needs none.
func (c *connection) lacksKind(g providers.Grant, err error) bool {
	p, planErr := planFor(g.Permissions)
	return planErr == nil && p.kind == deployToken && fault.Is(err, fault.Unauthorized)
}

// findKind lists the live tokens of one kind whose names are wanted.
func (c *connection) findKind(ctx context.Context, project int64, kind string, wanted func(string) bool) (map[string]handle, error) {
	found := map[string]handle{}
	if kind == deployToken {
		tokens, err := list[deployAnswer](ctx, c, projectPath(project, collection(kind)), url.Values{"active": {"true"}})
		if err != nil {
			return nil, err
		}
		for _, token := range tokens {
			if wanted(token.Name) && !token.Revoked {
				found[token.Name] = handle{Kind: kind, Project: project, Token: token.ID}
			}
		}
		return found, nil
	}
	tokens, err := c.activeTokens(ctx, project)
	if err != nil {
		return nil, err
	}
	for _, token := range tokens {
		if wanted(token.Name) {
			found[token.Name] = accessHandle(project, token)
		}
	}
	return found, nil
}

// LastUsed is when GitLab saw a project access token last; it writes that down at
// most every ten minutes. Of a deploy token it keeps nothing.
func (c *connection) LastUsed(ctx context.Context, h providers.Handle) (time.Time, error) {
	parsed, err := parseHandle(h.Value)
	if err != nil || parsed.Kind == deployToken {
		return time.Time{}, err
	}
	token, err := c.show(ctx, parsed)
	switch {
	case isGone(err), err == nil && token.LastUsedAt == nil:
		return time.Time{}, nil
	case err != nil:
		return time.Time{}, err
	}
	return token.LastUsedAt.UTC(), nil
}

// Verify proves that GitLab accepts our token and that it has the scope api.
func (c *connection) Verify(ctx context.Context) error {
	_, err := c.self(ctx, c.token)
	return err
}

// self reads what GitLab says of one of our own tokens.
func (c *connection) self(ctx context.Context, as string) (accessAnswer, error) {
	var own accessAnswer
	_, err := c.call(ctx, request{
		method: http.MethodGet, path: "/personal_access_tokens/self", as: as, want: http.StatusOK,
	}, &own)
	switch {
	case err != nil:
		return accessAnswer{}, err
	case own.ID <= 0 || own.UserID <= 0:
		return accessAnswer{}, fault.New(fault.Nonsense, "gitlab: the answer about our own token lacks some of it")
	case !own.Active:
		return accessAnswer{}, fault.New(fault.Unauthorized, "gitlab: our token is revoked or has expired: write a new one")
	case !own.hasAPI():
		return accessAnswer{}, fault.New(fault.Unauthorized, "gitlab: our token lacks the scope api: write one that has it")
	}
	return own, nil
}

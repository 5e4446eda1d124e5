// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package gitlab

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

// tokenID is how the engine names tokens: the hour, then random hex.
var tokenID = regexp.MustCompile(`^[0-9]{10}-[0-9a-f]{24}$`)

// tokenName is a token's name in GitLab: its id and a mark of the mount. Two mounts
// may well make tokens on one project, and each must know its own.
func tokenName(mount, id string) string {
	sum := sha256.Sum256([]byte(mount))
	return id + "." + hex.EncodeToString(sum[:6])
}

// idOf is the token id in the name of a token of the mount's; empty where it is none.
func idOf(mount, name string) string {
	id, _, _ := strings.Cut(name, ".")
	if !tokenID.MatchString(id) || name != tokenName(mount, id) {
		return ""
	}
	return id
}

// Place implements providers.Finder: the grant's one project.
func (c *connection) Place(g providers.Grant) string { return g.Account + "/" + g.Repositories[0] }

// Places implements providers.Finder: the projects, by id, where our user can make
// tokens.
func (c *connection) Places(ctx context.Context, _ string) ([]string, error) {
	projects, err := list[projectAnswer](ctx, c, "/projects", url.Values{
		"min_access_level": {strconv.Itoa(maintainer)}, "simple": {"true"}, "order_by": {"id"}, "sort": {"asc"},
	})
	if err != nil {
		return nil, err
	}
	places := make([]string, len(projects))
	for i, p := range projects {
		places[i] = strconv.FormatInt(p.ID, 10)
	}
	return places, nil
}

// Find implements providers.Finder: the live tokens of both kinds on a project. The
// place is an id or a path, as in GitLab's own API.
func (c *connection) Find(ctx context.Context, mount, place string) (map[string]string, error) {
	project, err := strconv.ParseInt(place, 10, 64)
	if err != nil {
		on, err := c.project(ctx, path.Dir(place), path.Base(place))
		if err != nil {
			return nil, err
		}
		project = on.id
	}
	found := map[string]string{}
	for _, kind := range []string{deployToken, projectToken} {
		handles, err := c.findKind(ctx, project, kind, func(name string) bool { return idOf(mount, name) != "" })
		if kind == projectToken && c.lacksKind(ctx, err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for name, h := range handles {
			found[idOf(mount, name)] = h.String()
		}
	}
	return found, nil
}

// lacksKind reports a GitLab without project access tokens (gitlab.com without
// Premium): it answers 401 for their list though it has just shown us the deploy
// tokens and accepts our own token still.
func (c *connection) lacksKind(ctx context.Context, err error) bool {
	return fault.Is(err, fault.Unauthorized) && c.Verify(ctx) == nil
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

// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package gitlab

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

// maxSuccessors bounds how often a bot's tokens are listed while killing them: who
// rotates faster than that is reported instead.
const maxSuccessors = 5

// Revoke kills a token and, where it could make some, its successors.
func (c *connection) Revoke(ctx context.Context, h providers.Handle) error {
	parsed, err := parseHandle(h.Value)
	if err != nil {
		return err
	}
	return c.kill(ctx, parsed)
}

func (c *connection) kill(ctx context.Context, h handle) error {
	err := c.delete(ctx, h)
	if err == nil && h.API {
		err = c.killSuccessors(ctx, h)
	}
	if isProjectGone(err) {
		return c.judgeInvisible(ctx, h, err)
	}
	return err
}

// delete kills the one token of the handle.
func (c *connection) delete(ctx context.Context, h handle) error {
	_, err := c.call(ctx, request{
		method: http.MethodDelete, path: tokenPath(h.Kind, h.Project, h.Token), want: http.StatusNoContent,
	}, nil)
	if isGone(err) {
		return nil
	}
	if h.Kind == projectToken && refusalOf(err).status == http.StatusBadRequest {
		return c.judgeRefusal(ctx, h, err)
	}
	return err
}

// judgeRefusal: GitLab answers 400 both where we may not kill the token and where
// it is dead and its bot gone from the project. The token itself tells.
func (c *connection) judgeRefusal(ctx context.Context, h handle, refused error) error {
	token, err := c.show(ctx, h)
	switch {
	case isGone(err), err == nil && !token.Active:
		return nil
	case err != nil:
		return err
	}
	return refused
}

// show reads a project access token.
func (c *connection) show(ctx context.Context, h handle) (accessAnswer, error) {
	var token accessAnswer
	_, err := c.call(ctx, request{
		method: http.MethodGet, path: tokenPath(h.Kind, h.Project, h.Token), want: http.StatusOK,
	}, &token)
	if err == nil && token.ID != h.Token {
		err = fault.New(fault.Nonsense, "gitlab: asked for a token, got another")
	}
	return token, err
}

// killSuccessors kills whatever the token's bot has left: with the scope api it
// can have rotated itself, and the old id is then dead while the new one lives.
func (c *connection) killSuccessors(ctx context.Context, h handle) error {
	for range maxSuccessors {
		tokens, err := c.activeTokens(ctx, h.Project)
		if err != nil {
			return err
		}
		left := 0
		for _, token := range tokens {
			if token.UserID != h.Bot {
				continue
			}
			left++
			successor := h
			successor.Token = token.ID
			if err := c.delete(ctx, successor); err != nil {
				return err
			}
		}
		if left == 0 {
			return nil
		}
	}
	return fault.New(fault.Unavailable, "gitlab: the token keeps rotating itself faster than it is killed")
}

// judgeInvisible decides on a project that is gone or that we may not see any
// more, which GitLab answers alike. With a project its bots go, and users are
// visible to all: no bot, no token. A deploy token has nothing of the kind, and a
// guess is not enough; it ends by its own time.
func (c *connection) judgeInvisible(ctx context.Context, h handle, gone error) error {
	unsure := fault.New(fault.Refused, "gitlab: project %d is gone, or our token's user does not see it any more; "+
		"the token cannot be killed there and is not known to be dead: add that user to the project, or let the token end: %w", h.Project, gone)
	if h.Kind == deployToken {
		return unsure
	}
	_, err := c.call(ctx, request{
		method: http.MethodGet, path: "/users/" + strconv.FormatInt(h.Bot, 10), want: http.StatusOK,
	}, nil)
	switch {
	case isGone(err):
		return nil
	case err == nil:
		return unsure
	}
	return err
}

// activeTokens lists a project's live access tokens.
func (c *connection) activeTokens(ctx context.Context, project int64) ([]accessAnswer, error) {
	tokens, err := list[accessAnswer](ctx, c, projectPath(project, collection(projectToken)), url.Values{"state": {"active"}})
	if err != nil {
		return nil, err
	}
	live := tokens[:0]
	for _, token := range tokens {
		// GitLab before 17.2 does not know the filter.
		if token.Active {
			live = append(live, token)
		}
	}
	return live, nil
}

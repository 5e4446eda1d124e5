// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package gitlab

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

// longestLife is the most that GitLab allows a personal access token by default.
const longestLife = 365

// Expires is when our own credential ends by itself; zero where it does not. Where
// it has a twin (see Rotate) it is the earlier end of the two.
func (c *connection) Expires(ctx context.Context) (time.Time, error) {
	own, err := c.self(ctx, c.token)
	if err != nil {
		return time.Time{}, err
	}
	end := own.expiry()
	other, found, err := c.twin(ctx, own)
	if err != nil {
		return time.Time{}, err
	}
	if found && !other.expiry().IsZero() && (end.IsZero() || other.expiry().Before(end)) {
		end = other.expiry()
	}
	return end, nil
}

// Rotate replaces our token. GitLab kills a token in the step that replaces it, so
// a token that replaces itself is lost with the answer. Therefore a twin is used
// where there is one: a second token of the same user and name, whose value nobody
// needs to know. Our token replaces the twin and learns its new value; once that
// is prepared, the twin replaces our token, which becomes the twin. Whichever
// answer is lost, a token that is written down works.
//
// Without a twin, prepare is first called with the present token, which proves
// that it can write, and again the moment the new one is there: what remains is a
// crash between GitLab's answer and that call.
func (c *connection) Rotate(ctx context.Context, prepare func(map[string]string) error) (map[string]string, error) {
	if prepare == nil {
		prepare = func(map[string]string) error { return nil }
	}
	own, err := c.self(ctx, c.token)
	if err != nil {
		return nil, err
	}
	other, found, err := c.twin(ctx, own)
	if err != nil {
		return nil, err
	}
	if !found {
		return c.rotateAlone(ctx, own, prepare)
	}
	renewed, err := c.replace(ctx, c.token, strconv.FormatInt(other.ID, 10), own)
	if err != nil {
		return nil, err
	}
	fields := map[string]string{fieldToken: renewed}
	if err := prepare(fields); err != nil {
		return nil, err
	}
	return fields, c.end(ctx, renewed, own)
}

// twin is the other live token of our user that has our token's name. Two others
// are refused: one of them would be somebody else's.
func (c *connection) twin(ctx context.Context, own accessAnswer) (accessAnswer, bool, error) {
	tokens, err := list[accessAnswer](ctx, c, "/personal_access_tokens",
		url.Values{"user_id": {strconv.FormatInt(own.UserID, 10)}, "state": {"active"}})
	if err != nil {
		return accessAnswer{}, false, err
	}
	var twins []accessAnswer
	for _, token := range tokens {
		if token.Name == own.Name && token.UserID == own.UserID && token.ID != own.ID && token.Active && token.hasAPI() {
			twins = append(twins, token)
		}
	}
	switch len(twins) {
	case 0:
		return accessAnswer{}, false, nil
	case 1:
		return twins[0], true, nil
	}
	return accessAnswer{}, false, fault.New(fault.Refused, "gitlab: our token's user has %d more tokens named %q: leave one, to be replaced in turn with ours",
		len(twins), own.Name)
}

// replace lets one token replace another of the same user, or itself ("self"), and
// returns the new value. The new one gets as many days as ours was made for.
func (c *connection) replace(ctx context.Context, as, id string, own accessAnswer) (string, error) {
	in := struct {
		ExpiresAt *date `json:"expires_at,omitempty"`
	}{c.nextExpiry(own)}
	var made accessAnswer
	_, err := c.call(ctx, request{
		method: http.MethodPost, path: "/personal_access_tokens/" + id + "/rotate", as: as, in: in, want: http.StatusOK,
	}, &made)
	if err != nil {
		return "", err
	}
	if made.Token == "" || !printable(made.Token) {
		return "", fault.New(fault.Nonsense, "gitlab: the answer for a rotated token holds none")
	}
	return made.Token, nil
}

// nextExpiry is the end of our token's successor; nil, which is GitLab's default,
// where ours has none.
func (c *connection) nextExpiry(own accessAnswer) *date {
	if own.expiry().IsZero() {
		return nil
	}
	today := c.now().UTC().Truncate(24 * time.Hour)
	days := int(own.expiry().Sub(own.CreatedAt.UTC().Truncate(24*time.Hour)) / (24 * time.Hour))
	return &date{today.AddDate(0, 0, max(1, min(days, longestLife)))}
}

// end lets the new token replace the old one; its new value is thrown away, it is
// the twin from now on. That the old one is dead counts, not whose answer said so.
func (c *connection) end(ctx context.Context, renewed string, old accessAnswer) error {
	id := strconv.FormatInt(old.ID, 10)
	_, err := c.replace(ctx, renewed, id, old)
	if err == nil {
		return nil
	}
	var now accessAnswer
	_, lookErr := c.call(ctx, request{
		method: http.MethodGet, path: "/personal_access_tokens/" + id, as: renewed, want: http.StatusOK,
	}, &now)
	if lookErr == nil && now.ID == old.ID && !now.Active {
		return nil
	}
	return fault.New(fault.KindOf(err), "gitlab: the new token works, but the old one may too; rotate again: %w", err)
}

// rotateAlone replaces our token by itself.
func (c *connection) rotateAlone(ctx context.Context, own accessAnswer, prepare func(map[string]string) error) (map[string]string, error) {
	if err := prepare(map[string]string{fieldToken: c.token}); err != nil {
		return nil, err
	}
	renewed, err := c.replace(ctx, c.token, "self", own)
	if err != nil {
		return nil, c.judgeRotation(ctx, err)
	}
	fields := map[string]string{fieldToken: renewed}
	// The old token is dead: the caller gets the new one even if it cannot keep it.
	return fields, prepare(fields)
}

// judgeRotation finds out whether a rotation without an answer took place. It only
// looks: to ask again with a token that has been replaced is theft in GitLab's
// eyes, and it kills the successor.
func (c *connection) judgeRotation(ctx context.Context, err error) error {
	if kind := fault.KindOf(err); kind != fault.Unavailable && kind != fault.Nonsense {
		return err
	}
	_, selfErr := c.self(ctx, c.token)
	if fault.Is(selfErr, fault.Unauthorized) {
		return fault.New(fault.Unauthorized, "gitlab: our token was replaced and the answer with the new one is lost: write a new token: %w", errors.Join(err, selfErr))
	}
	return err
}

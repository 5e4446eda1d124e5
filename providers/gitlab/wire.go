// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package gitlab

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

// deployAnswer is a deploy token in GitLab's words.
type deployAnswer struct {
	ID        int64      `json:"id"`
	Name      string     `json:"name"`
	Username  string     `json:"username"`
	ExpiresAt *time.Time `json:"expires_at"`
	Scopes    []string   `json:"scopes"`
	Revoked   bool       `json:"revoked"`
	Token     string     `json:"token"`
}

// accessAnswer is a personal or project access token in GitLab's words.
type accessAnswer struct {
	ID          int64      `json:"id"`
	Name        string     `json:"name"`
	UserID      int64      `json:"user_id"`
	Scopes      []string   `json:"scopes"`
	AccessLevel int        `json:"access_level"`
	CreatedAt   time.Time  `json:"created_at"`
	ExpiresAt   *date      `json:"expires_at"`
	LastUsedAt  *time.Time `json:"last_used_at"`
	Active      bool       `json:"active"`
	Token       string     `json:"token"`
}

// expiry is the instant at which GitLab ends the token; zero where it never does.
func (a accessAnswer) expiry() time.Time {
	if a.ExpiresAt == nil {
		return time.Time{}
	}
	return a.ExpiresAt.Time
}

// hasAPI reports whether the token has the whole API.
func (a accessAnswer) hasAPI() bool { return slices.Contains(a.Scopes, "api") }

// date is a day in GitLab's JSON: a token ends as the day begins, in UTC.
type date struct{ time.Time }

// UnmarshalJSON reads a day.
func (d *date) UnmarshalJSON(b []byte) error {
	var text string
	if err := json.Unmarshal(b, &text); err != nil {
		return err
	}
	day, err := time.ParseInLocation(time.DateOnly, text, time.UTC)
	d.Time = day
	return err
}

// MarshalJSON writes a day.
func (d date) MarshalJSON() ([]byte, error) { return json.Marshal(d.Format(time.DateOnly)) }

// firstDate is the earliest day whose beginning is not before t.
func firstDate(t time.Time) date {
	const day = 24 * time.Hour
	begin := t.UTC().Truncate(day)
	if begin.Before(t) {
		begin = begin.Add(day)
	}
	return date{begin}
}

// handle is what it takes to kill a token later, whatever has moved since.
type handle struct {
	Kind    string `json:"kind"`
	Project int64  `json:"project_id"`
	Token   int64  `json:"token_id"`
	// Bot is the user that GitLab made for a project access token.
	Bot int64 `json:"bot_id,omitempty"`
	// API marks a token that can make itself a successor: the scope api allows
	// self-rotation. Killing it means killing all that its bot has.
	API bool `json:"api,omitempty"`
}

func (h handle) String() string {
	b, _ := json.Marshal(h) // strings, numbers and a flag: cannot fail
	return string(b)
}

func parseHandle(value string) (handle, error) {
	var h handle
	if err := json.Unmarshal([]byte(value), &h); err != nil {
		return handle{}, fault.New(fault.Internal, "gitlab: the handle cannot be read: %w", err)
	}
	complete := h.Project > 0 && h.Token > 0 && (h.Kind == deployToken || h.Kind == projectToken && h.Bot > 0)
	if !complete {
		return handle{}, fault.New(fault.Internal, "gitlab: the handle does not name a token")
	}
	return h, nil
}

// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package gitlab

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/transport"
)

const (
	// defaultWait is how long to keep off where GitLab limits us and does not say
	// for how long: its limits are counted by the minute.
	defaultWait = time.Minute
	// longestWait is the most that is believed of an answer.
	longestWait = time.Hour
)

// refusal is an answer other than the wanted one.
type refusal struct {
	status int
	// message is GitLab's own, without secrets; empty where the answer does not
	// look like GitLab's.
	message string
}

func (r *refusal) Error() string {
	if r.message == "" {
		return fmt.Sprintf("status %d", r.status)
	}
	return fmt.Sprintf("status %d: %s", r.status, r.message)
}

// refusal turns an answer into an error of its kind.
func (c *connection) refusal(r request, resp *http.Response, body []byte) error {
	cause := &refusal{status: resp.StatusCode, message: transport.Clean(messageOf(body), c.token, r.as)}
	say := func(kind fault.Kind, advice string) error {
		return fault.New(kind, "gitlab: %s %s%s: %w", r.method, r.path, advice, cause)
	}
	switch status := resp.StatusCode; {
	case status == http.StatusUnauthorized:
		return say(fault.Unauthorized, ": GitLab does not accept our token, or its user is not Maintainer there")
	case status == http.StatusForbidden && strings.Contains(cause.message, "insufficient_scope"):
		return say(fault.Unauthorized, ": our token lacks the scope api")
	case status == http.StatusTooManyRequests:
		e := fault.New(fault.Limited, "gitlab: %s %s: %w", r.method, r.path, cause)
		e.RetryAfter, e.Guessed = waitOf(resp.Header, c.now())
		return e
	case status >= 500:
		e := fault.New(fault.Unavailable, "gitlab: %s %s: %w", r.method, r.path, cause)
		if resp.Header.Get("Retry-After") != "" {
			e.RetryAfter, _ = waitOf(resp.Header, c.now())
		}
		return e
	case status == http.StatusForbidden:
		return say(fault.Refused, ": our token's user must be Maintainer of the project")
	case slices.Contains([]int{http.StatusBadRequest, http.StatusNotFound, http.StatusConflict, http.StatusUnprocessableEntity}, status) && cause.message != "":
		return say(fault.Refused, "")
	}
	return say(fault.Nonsense, "")
}

// messageOf reads GitLab's message in each of its forms: a string, a list, a map
// of lists by field, or the validator's `error`. It is empty for anything else.
func messageOf(body []byte) string {
	var answer struct {
		Message     any    `json:"message"`
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}
	if json.Unmarshal(body, &answer) != nil {
		return ""
	}
	parts := slices.DeleteFunc([]string{flatten(answer.Message), answer.Error, answer.Description},
		func(s string) bool { return s == "" })
	return strings.Join(parts, ": ")
}

// flatten puts a message of any shape into one line.
func flatten(message any) string {
	switch m := message.(type) {
	case string:
		return m
	case []any:
		parts := make([]string, 0, len(m))
		for _, item := range m {
			parts = append(parts, flatten(item))
		}
		return strings.Join(parts, ", ")
	case map[string]any:
		parts := make([]string, 0, len(m))
		for field, item := range m {
			parts = append(parts, field+" "+flatten(item))
		}
		slices.Sort(parts)
		return strings.Join(parts, "; ")
	}
	return ""
}

// waitOf reads how long to wait: Retry-After in seconds or as a date, else the
// time in RateLimit-Reset, else a minute, which is our guess.
func waitOf(h http.Header, now time.Time) (wait time.Duration, guessed bool) {
	if seconds, err := strconv.ParseInt(h.Get("Retry-After"), 10, 32); err == nil {
		wait = time.Duration(seconds) * time.Second
	} else if at, err := http.ParseTime(h.Get("Retry-After")); err == nil {
		wait = at.Sub(now)
	} else if reset, err := strconv.ParseInt(h.Get("RateLimit-Reset"), 10, 64); err == nil {
		wait = time.Unix(reset, 0).Sub(now)
	}
	if wait <= 0 {
		return defaultWait, true
	}
	return min(wait, longestWait), false
}

// refusalOf is the platform's answer inside an error; its status is 0 where there
// was none.
func refusalOf(err error) refusal {
	if r, ok := errors.AsType[*refusal](err); ok {
		return *r
	}
	return refusal{}
}

// isProjectGone reports the answer for a project that is not there or that we may
// not see: GitLab makes no difference.
func isProjectGone(err error) bool {
	r := refusalOf(err)
	return r.status == http.StatusNotFound && strings.HasPrefix(r.message, "404 Project Not Found")
}

// isGone reports GitLab's own answer for a user that is not there, or a token that
// a visible project does not have. A 404 in anybody else's words proves nothing.
func isGone(err error) bool {
	r := refusalOf(err)
	if r.status != http.StatusNotFound || isProjectGone(err) {
		return false
	}
	return strings.HasPrefix(r.message, "404 ") || strings.HasPrefix(r.message, "Could not find")
}

// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package github

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

// longestWait bounds what an answer can make us wait: GitHub's limits are by the
// hour, and clocks differ.
const longestWait = 2 * time.Hour

// limited tells a limit from a plain no: both may be 403.
func limited(resp *http.Response, message, docs string) bool {
	switch resp.StatusCode {
	case http.StatusTooManyRequests:
		return true
	case http.StatusForbidden:
		_, told := retryAfter(resp)
		message = strings.ToLower(message)
		return told || resp.Header.Get("X-RateLimit-Remaining") == "0" ||
			strings.Contains(docs, "rate-limit") || strings.Contains(docs, "abuse-rate") ||
			strings.Contains(message, "rate limit") || strings.Contains(message, "abuse detection")
	}
	return false
}

// limitFault is a limit with the time that it holds: what Retry-After says, else
// until the primary limit is reset. Secondary limits often name none.
func (c *client) limitFault(resp *http.Response, refused error) error {
	if wait, told := c.wait(resp); told {
		return fault.LimitedFor(wait, "github: limits us: %s", refused)
	}
	return fault.LimitedSomehow("github: limits us: %s", refused)
}

func (c *client) wait(resp *http.Response) (wait time.Duration, told bool) {
	if wait, told := retryAfter(resp); told {
		return wait, true
	}
	if resp.Header.Get("X-RateLimit-Remaining") != "0" {
		return 0, false
	}
	reset, err := strconv.ParseInt(resp.Header.Get("X-RateLimit-Reset"), 10, 64)
	if err != nil {
		return 0, false
	}
	// The reset is a time of GitHub's clock: measure it from there.
	now := c.now().Add(-c.clockAhead(resp))
	return clamp(time.Unix(reset, 0).Sub(now)), true
}

// retryAfter reads the header of that name, in seconds.
func retryAfter(resp *http.Response) (time.Duration, bool) {
	seconds, err := strconv.ParseInt(strings.TrimSpace(resp.Header.Get("Retry-After")), 10, 64)
	if err != nil || seconds < 0 {
		return 0, false
	}
	return clamp(time.Duration(min(seconds, int64(longestWait/time.Second))) * time.Second), true
}

func clamp(wait time.Duration) time.Duration {
	return min(max(wait, time.Second), longestWait)
}

// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package github

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	// defaultWait is what GitHub asks for where a limit names no time.
	defaultWait = time.Minute
	// longestWait bounds what an answer can make us wait: GitHub's limits are by
	// the hour, and clocks differ.
	longestWait = 2 * time.Hour
)

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

// wait is how long a limit holds: what Retry-After says, else until the primary
// limit is reset, else a minute.
func (c *client) wait(resp *http.Response) time.Duration {
	if wait, told := retryAfter(resp); told {
		return wait
	}
	if resp.Header.Get("X-RateLimit-Remaining") != "0" {
		return defaultWait
	}
	reset, err := strconv.ParseInt(resp.Header.Get("X-RateLimit-Reset"), 10, 64)
	if err != nil {
		return defaultWait
	}
	// The reset is a time of GitHub's clock: measure it from there.
	now := c.now().Add(-c.clockAhead(resp))
	return clamp(time.Unix(reset, 0).Sub(now))
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

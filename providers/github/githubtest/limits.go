// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package githubtest

import (
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// shownLimit is the hourly limit that headers show where none is enforced.
const shownLimit = 15000

// limits count the requests of each identity in windows of an hour.
type limits struct {
	hourly  int // 0: not enforced
	mu      sync.Mutex
	windows map[string]*window
}

type window struct {
	used  int
	reset time.Time
}

func newLimits(hourly int) *limits { return &limits{hourly: hourly, windows: map[string]*window{}} }

// count counts one request and sets the headers that go with every answer. It
// returns a refusal when the limit is used up.
func (l *limits) count(identity string, now time.Time, header http.Header) *answer {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := l.windows[identity]
	if w == nil || !w.reset.After(now) {
		w = &window{reset: now.Add(time.Hour)}
		l.windows[identity] = w
	}
	w.used++
	limit, used := l.hourly, w.used
	if l.hourly == 0 {
		limit, used = shownLimit, used%shownLimit
	}
	exceeded := used > limit
	used = min(used, limit)
	header.Set("X-Ratelimit-Limit", strconv.Itoa(limit))
	header.Set("X-Ratelimit-Used", strconv.Itoa(used))
	header.Set("X-Ratelimit-Remaining", strconv.Itoa(limit-used))
	header.Set("X-Ratelimit-Reset", strconv.FormatInt(w.reset.Unix(), 10))
	header.Set("X-Ratelimit-Resource", "core")
	if exceeded {
		return refuse(http.StatusForbidden, fmt.Sprintf("API rate limit exceeded for %s.", identity))
	}
	return nil
}

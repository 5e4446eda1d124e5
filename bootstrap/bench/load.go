// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// mostCallers is how many connections to Vault are kept.
const mostCallers = 512

// caller reads credentials. It looks at no more than the status: what decoding
// costs is the client's, and the client runs on the same machine.
type caller struct {
	http  *http.Client
	base  string
	token string
}

func newCaller(address, token string) *caller {
	transport := &http.Transport{MaxIdleConns: mostCallers, MaxIdleConnsPerHost: mostCallers}
	return &caller{http: &http.Client{Transport: transport, Timeout: 2 * time.Minute}, base: address + "/v1/", token: token}
}

// ask is one request for a credential; a body makes it a write.
type ask struct {
	path string
	body []byte
}

func (c *caller) do(ctx context.Context, a ask) error {
	method := http.MethodGet
	if a.body != nil {
		method = http.MethodPut
	}
	request, err := http.NewRequestWithContext(ctx, method, c.base+a.path, bytes.NewReader(a.body))
	if err != nil {
		return err
	}
	request.Header.Set("X-Vault-Token", c.token)
	answer, err := c.http.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode == http.StatusOK {
		_, err = io.Copy(io.Discard, answer.Body)
		return err
	}
	text, _ := io.ReadAll(io.LimitReader(answer.Body, 1<<10))
	return fmt.Errorf("%s: status %d: %s", a.path, answer.StatusCode, bytes.TrimSpace(text))
}

// load is callers that ask one after the other, for a time or for a number of
// credentials, whichever ends first; zero is no bound.
type load struct {
	callers int
	time    time.Duration
	number  int
	// next gives the n-th request, from 0.
	next func(n int) ask
}

// sample is what came of a load.
type sample struct {
	// took are the times of the requests that were answered.
	took    []time.Duration
	elapsed time.Duration
	errors  int
	// failure is one of the errors.
	failure error
}

func (c *caller) drive(ctx context.Context, l load) sample {
	var asked atomic.Int64
	var all sync.WaitGroup
	start := time.Now()
	parts := make([]sample, l.callers)
	for i := range parts {
		all.Go(func() {
			part := &parts[i]
			for ctx.Err() == nil && (l.time == 0 || time.Since(start) < l.time) {
				n := int(asked.Add(1)) - 1
				if l.number > 0 && n >= l.number {
					return
				}
				begin := time.Now()
				if err := c.do(ctx, l.next(n)); err != nil {
					part.errors, part.failure = part.errors+1, err
					continue
				}
				part.took = append(part.took, time.Since(begin))
			}
		})
	}
	all.Wait()
	whole := sample{elapsed: time.Since(start)}
	for _, part := range parts {
		whole.add(part)
	}
	return whole
}

// add puts another sample to this one; elapsed is the caller's to add.
func (s *sample) add(other sample) {
	s.took = append(s.took, other.took...)
	s.errors += other.errors
	if s.failure == nil {
		s.failure = other.failure
	}
}

// rate is answers per second.
func (s *sample) rate() float64 {
	if s.elapsed <= 0 {
		return 0
	}
	return float64(len(s.took)) / s.elapsed.Seconds()
}

// percentile is the time within which that part of the requests was answered.
func (s *sample) percentile(part float64) time.Duration {
	if len(s.took) == 0 {
		return 0
	}
	slices.Sort(s.took)
	return s.took[min(len(s.took)-1, int(part*float64(len(s.took))))]
}

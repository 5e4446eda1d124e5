// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package gitlabtest

import (
	"net/http"
	"net/http/httptest"
	"strings"
)

// Fault makes requests go wrong.
type Fault struct {
	// Method and Path choose the requests: the method (empty: any) and a part of
	// the escaped path below /api/v4 (empty: any).
	Method, Path string
	// Skip lets that many of them pass first. Times is how many go wrong after
	// those; 0 means all.
	Skip, Times int
	// Status answers with it, Body and Header, and does nothing else.
	Status int
	Body   string
	Header http.Header
	// Drop does what was asked and breaks the connection in place of the answer.
	Drop bool
	// Hang does nothing and does not answer.
	Hang bool
	// Rewrite does what was asked and changes the answer's body.
	Rewrite func(body []byte) []byte
}

// Fail adds a fault. The first that fits a request is the one that it meets.
func (i *Instance) Fail(f Fault) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if f.Times == 0 {
		f.Times = -1
	}
	i.faults = append(i.faults, &f)
}

// Heal removes all faults.
func (i *Instance) Heal() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.faults = nil
}

// Limit makes all requests meet GitLab's limit. header may hold Retry-After or
// RateLimit-Reset; GitLab does not always send them.
func (i *Instance) Limit(header http.Header) {
	i.Fail(Fault{
		Status: http.StatusTooManyRequests, Header: header,
		Body: `{"message":{"error":"This endpoint has been requested too many times. Try again later."}}`,
	})
}

// faultFor finds and counts the fault that a request meets.
func (i *Instance) faultFor(r *http.Request) *Fault {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, f := range i.faults {
		if f.Times == 0 || f.Method != "" && f.Method != r.Method || !strings.Contains(r.URL.EscapedPath(), f.Path) {
			continue
		}
		if f.Skip > 0 {
			f.Skip--
			continue
		}
		f.Times--
		return f
	}
	return nil
}

// meet carries out a fault.
func (i *Instance) meet(f *Fault, w http.ResponseWriter, r *http.Request) {
	switch {
	case f.Hang:
		select {
		case <-r.Context().Done():
		case <-i.done:
		}
		panic(http.ErrAbortHandler)
	case f.Status != 0:
		for name, values := range f.Header {
			w.Header()[http.CanonicalHeaderKey(name)] = values
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(f.Status)
		_, _ = w.Write([]byte(f.Body))
		return
	}
	recorder := httptest.NewRecorder()
	i.mux.ServeHTTP(recorder, r)
	if f.Drop {
		panic(http.ErrAbortHandler)
	}
	for name, values := range recorder.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(recorder.Code)
	_, _ = w.Write(f.Rewrite(recorder.Body.Bytes()))
}

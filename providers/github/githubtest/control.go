// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package githubtest

import (
	"encoding/json"
	"net/http"
	"time"
)

// controlFault is a Fault as JSON writes it.
type controlFault struct {
	Match  string            `json:"match"`
	Times  int               `json:"times"`
	After  bool              `json:"after"`
	Delay  string            `json:"delay"`
	Reset  bool              `json:"reset"`
	Status int               `json:"status"`
	Header map[string]string `json:"header"`
	Body   string            `json:"body"`
}

// controlHandler lets another program look and break things:
//
//	GET    /_simulator/tokens    every token's state, by its SHA-256
//	GET    /_simulator/requests  what was seen
//	DELETE /_simulator/requests  forget it
//	GET    /_simulator/counts    how much was seen, and how many tokens live
//	POST   /_simulator/fail      a Fault from now on
//	DELETE /_simulator/fail      no Fault any more
func (s *Simulator) controlHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /_simulator/tokens", func(w http.ResponseWriter, _ *http.Request) {
		respond(http.StatusOK, object{"live": s.Live(), "tokens": s.Tokens()}).write(w)
	})
	mux.HandleFunc("GET /_simulator/requests", func(w http.ResponseWriter, _ *http.Request) {
		respond(http.StatusOK, object{"counts": s.Counts(), "max_concurrent": s.MaxConcurrent(), "requests": s.Requests()}).write(w)
	})
	mux.HandleFunc("DELETE /_simulator/requests", func(w http.ResponseWriter, _ *http.Request) {
		s.ClearRequests()
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("GET /_simulator/counts", func(w http.ResponseWriter, _ *http.Request) {
		respond(http.StatusOK, object{"counts": s.Counts(), "max_concurrent": s.MaxConcurrent(), "live": s.Live()}).write(w)
	})
	mux.HandleFunc("POST /_simulator/fail", s.controlFail)
	mux.HandleFunc("DELETE /_simulator/fail", func(w http.ResponseWriter, _ *http.Request) {
		s.ClearFaults()
		w.WriteHeader(http.StatusNoContent)
	})
	return mux
}

func (s *Simulator) controlFail(w http.ResponseWriter, r *http.Request) {
	var asked controlFault
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&asked); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	f := Fault{
		Match: asked.Match, Times: asked.Times, After: asked.After, Reset: asked.Reset,
		Status: asked.Status, Header: http.Header{}, Body: asked.Body,
	}
	for name, value := range asked.Header {
		f.Header.Set(name, value)
	}
	if asked.Delay != "" {
		delay, err := time.ParseDuration(asked.Delay)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		f.Delay = delay
	}
	s.Inject(f)
	w.WriteHeader(http.StatusNoContent)
}

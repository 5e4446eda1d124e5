// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

// Package exampletest is the platform of package example in memory: as strict as a
// real one would be about who may do what, and it ends tokens when they end.
package exampletest

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Server is one platform. It is an http.Handler.
type Server struct {
	// Token is our own credential there.
	Token string

	now          func() time.Time
	repositories []string

	mu     sync.Mutex
	lastID int64
	tokens []token
}

type token struct {
	ID           int64     `json:"id"`
	Name         string    `json:"name"`
	Token        string    `json:"token,omitempty"`
	User         string    `json:"user"`
	Repositories []string  `json:"repositories"`
	Permissions  []string  `json:"permissions"`
	ExpiresAt    time.Time `json:"expires_at"`
}

// New makes a platform with these repositories, each account/name.
func New(now func() time.Time, repositories ...string) *Server {
	return &Server{Token: "own-" + rand.Text(), now: now, repositories: repositories}
}

// Live are the tokens that work now.
func (s *Server) Live() (secrets []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.tokens {
		if s.now().Before(t.ExpiresAt) {
			secrets = append(secrets, t.Token)
		}
	}
	return secrets
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	status, answer := s.answer(r)
	if answer == nil {
		w.WriteHeader(status)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(answer)
}

func (s *Server) answer(r *http.Request) (int, any) {
	if r.Header.Get("Authorization") != "Bearer "+s.Token {
		return http.StatusUnauthorized, message("who are you?")
	}
	id, _ := strconv.ParseInt(strings.TrimPrefix(r.URL.Path, "/tokens/"), 10, 64)
	switch r.Method + " " + r.URL.Path {
	case "GET /me":
		return http.StatusOK, map[string]string{"name": "vault"}
	case "GET /tokens":
		return http.StatusOK, s.list()
	case "POST /tokens":
		return s.create(r)
	case "DELETE /tokens/" + strconv.FormatInt(id, 10):
		return s.remove(id)
	}
	return http.StatusNotFound, message("no such endpoint")
}

func message(text string) any { return map[string]string{"message": text} }

// list shows no secrets.
func (s *Server) list() []token {
	shown := []token{}
	for _, t := range s.tokens {
		t.Token = ""
		shown = append(shown, t)
	}
	return shown
}

func (s *Server) create(r *http.Request) (int, any) {
	var in struct {
		token
		Account string `json:"account"`
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil || in.Name == "" || len(in.Permissions) == 0 || len(in.Repositories) == 0 {
		return http.StatusBadRequest, message("a token needs name, repositories and permissions")
	}
	for _, name := range in.Repositories {
		if !slices.Contains(s.repositories, in.Account+"/"+name) {
			return http.StatusUnprocessableEntity, message("there is no repository " + in.Account + "/" + name)
		}
	}
	s.lastID++
	made := in.token
	made.ID, made.Token, made.User = s.lastID, "tok-"+rand.Text(), "ci-bot"
	s.tokens = append(s.tokens, made)
	return http.StatusCreated, made
}

func (s *Server) remove(id int64) (int, any) {
	before := len(s.tokens)
	s.tokens = slices.DeleteFunc(s.tokens, func(t token) bool { return t.ID == id })
	if len(s.tokens) == before {
		return http.StatusNotFound, message("there is no such token")
	}
	return http.StatusNoContent, nil
}

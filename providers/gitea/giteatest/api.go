// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package giteatest

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
)

// StatusError is an answer that is no success.
type StatusError struct {
	Status int
	Body   string
}

func (e *StatusError) Error() string { return fmt.Sprintf("status %d: %s", e.Status, e.Body) }

// API carries out a request as the administrator. path is what follows /api/v1; in
// and out are JSON, and may be nil. An answer that is no success is a StatusError.
func (s *Server) API(ctx context.Context, method, path string, in, out any) error {
	return s.do(ctx, method, path, in, out, func(r *http.Request) { r.SetBasicAuth(s.Admin, s.Password) })
}

// TokenAPI is API as the owner of a token.
func (s *Server) TokenAPI(ctx context.Context, token, method, path string, in, out any) error {
	return s.do(ctx, method, path, in, out, func(r *http.Request) { r.Header.Set("Authorization", "token "+token) })
}

func (s *Server) do(ctx context.Context, method, path string, in, out any, sign func(*http.Request)) error {
	var body io.Reader = http.NoBody
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("giteatest: %s %s: %w", method, path, err)
		}
		body = bytes.NewReader(text)
	}
	r, err := http.NewRequestWithContext(ctx, method, s.URL+"/api/v1"+path, body)
	if err != nil {
		return fmt.Errorf("giteatest: %w", err)
	}
	r.Header.Set("Content-Type", "application/json")
	sign(r)
	resp, err := s.client.Do(r)
	if err != nil {
		return fmt.Errorf("giteatest: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("giteatest: %s %s: %w", method, path, err)
	}
	if resp.StatusCode >= http.StatusMultipleChoices {
		return fmt.Errorf("giteatest: %s %s: %w", method, path, &StatusError{Status: resp.StatusCode, Body: string(text)})
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(text, out); err != nil {
		return fmt.Errorf("giteatest: %s %s: %w", method, path, err)
	}
	return nil
}

// CreateOrganization makes an organisation that everybody can see.
func (s *Server) CreateOrganization(ctx context.Context, name string) error {
	return s.API(ctx, http.MethodPost, "/orgs", map[string]string{"username": name}, nil)
}

// CreateUser makes an ordinary user and returns its password.
func (s *Server) CreateUser(ctx context.Context, name string) (password string, err error) {
	password = random()
	return password, s.API(ctx, http.MethodPost, "/admin/users", map[string]any{
		"username": name, "email": name + "@example.com", "password": password, "must_change_password": false,
	}, nil)
}

// CreateAdmin makes another site administrator and returns its password.
func (s *Server) CreateAdmin(ctx context.Context, name string) (password string, err error) {
	password, err = s.CreateUser(ctx, name)
	if err != nil {
		return "", err
	}
	return password, s.API(ctx, http.MethodPatch, "/admin/users/"+url.PathEscape(name), map[string]any{
		"login_name": name, "source_id": 0, "admin": true,
	}, nil)
}

// CreateRepository makes a private repository of an organisation with one commit
// on the branch main.
func (s *Server) CreateRepository(ctx context.Context, organization, name string) error {
	return s.API(ctx, http.MethodPost, "/orgs/"+url.PathEscape(organization)+"/repos", map[string]any{
		"name": name, "private": true, "auto_init": true, "default_branch": "main",
	}, nil)
}

// CommitFile adds a file to a repository's branch main.
func (s *Server) CommitFile(ctx context.Context, owner, name, path, content string) error {
	return s.API(ctx, http.MethodPost,
		"/repos/"+url.PathEscape(owner)+"/"+url.PathEscape(name)+"/contents/"+url.PathEscape(path),
		map[string]string{"content": base64.StdEncoding.EncodeToString([]byte(content)), "branch": "main", "message": "add " + path}, nil)
}

// CloneURL is where git finds a repository over HTTP.
func (s *Server) CloneURL(owner, name string) string {
	return s.URL + "/" + owner + "/" + name + ".git"
}

// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

// Package login makes a Vault client that is somebody: by a token that is there
// already, by AppRole, or by the CI job's own identity.
package login

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/ci-identity/vault-plugin-secrets-ci/cmd/citoken/internal/brief"
	"github.com/ci-identity/vault-plugin-secrets-ci/cmd/citoken/internal/cijob"
	"github.com/ci-identity/vault-plugin-secrets-ci/cmd/citoken/internal/keep"
)

// The methods, as they are written on the command line.
const (
	Auto    = "auto"
	Token   = "token"
	JWT     = "jwt"
	AppRole = "approle"
)

// Options say how to log in.
type Options struct {
	// Method is one of the constants above.
	Method string
	// Mount of the auth method; empty means the CI system's name for its jobs, else
	// that of the method.
	Mount string
	// Role of the JWT auth method.
	Role string
	// IDToken is where the job's own token comes from, as cijob takes it.
	IDToken string
	// Audience of that token, where it is made on demand.
	Audience string
}

// Session is a client that has logged in.
type Session struct {
	Client *api.Client
	// Repository is the one that the job is of, where the job's own identity has
	// logged in: what may be had without saying more.
	Repository string
	// own is the login that this program made, and so has to end.
	own *api.Secret
}

// Open logs in. VAULT_ADDR, VAULT_NAMESPACE, VAULT_CACERT and their like are taken
// from the environment as every client of Vault takes them.
func Open(ctx context.Context, o Options, job cijob.Job) (*Session, error) {
	config := api.DefaultConfig()
	if config.Error != nil {
		return nil, fmt.Errorf("login: %w", config.Error)
	}
	client, err := api.NewClient(config)
	if err != nil {
		return nil, fmt.Errorf("login: %w", err)
	}
	method := o.Method
	if method == Auto {
		if method, err = choose(job); err != nil {
			return nil, err
		}
	}
	if method == Token {
		return openWithToken(client, job)
	}
	client.ClearToken()
	body, err := proof(ctx, method, o, job)
	if err != nil {
		return nil, err
	}
	path := "auth/" + mountOf(method, o, job) + "/login"
	secret, err := client.Logical().WriteWithContext(ctx, path, body)
	if err != nil {
		return nil, fmt.Errorf("login: %w", brief.Error(err))
	}
	if secret == nil || secret.Auth == nil || secret.Auth.ClientToken == "" {
		return nil, fmt.Errorf("login: %s answers without a token", path)
	}
	client.SetToken(secret.Auth.ClientToken)
	session := &Session{Client: client, own: secret}
	if method == JWT {
		session.Repository = job.Repository()
	}
	return session, nil
}

func mountOf(method string, o Options, job cijob.Job) string {
	switch {
	case o.Mount != "":
		return strings.Trim(o.Mount, "/")
	case method == JWT && job.System() != "":
		return job.System()
	}
	return method
}

// choose takes what is most deliberate first.
func choose(job cijob.Job) (string, error) {
	switch {
	case job.Getenv("VAULT_TOKEN") != "":
		return Token, nil
	case job.Getenv("VAULT_ROLE_ID") != "":
		return AppRole, nil
	case job.HasIdentity():
		return JWT, nil
	case savedToken(job) != "":
		return Token, nil
	}
	return "", errors.New("login: set VAULT_TOKEN, or VAULT_ROLE_ID with VAULT_SECRET_ID, or give the CI job an id_token")
}

func openWithToken(client *api.Client, job cijob.Job) (*Session, error) {
	if client.Token() == "" {
		client.SetToken(savedToken(job))
	}
	if client.Token() == "" {
		return nil, errors.New("login: neither VAULT_TOKEN nor ~/.vault-token has a token")
	}
	return &Session{Client: client}, nil
}

// savedToken is where `vault login` leaves its token.
func savedToken(job cijob.Job) string {
	text, err := os.ReadFile(filepath.Join(job.Getenv("HOME"), ".vault-token"))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// proof is the body of the login.
func proof(ctx context.Context, method string, o Options, job cijob.Job) (map[string]any, error) {
	switch method {
	case AppRole:
		secretID := job.Getenv("VAULT_SECRET_ID")
		if path := job.Getenv("VAULT_SECRET_ID_FILE"); secretID == "" && path != "" {
			text, err := os.ReadFile(path)
			if err != nil {
				return nil, fmt.Errorf("login: secret id: %w", err)
			}
			secretID = strings.TrimSpace(string(text))
		}
		return map[string]any{"role_id": job.Getenv("VAULT_ROLE_ID"), "secret_id": secretID}, nil
	case JWT:
		token, err := job.IDToken(ctx, o.IDToken, o.Audience)
		if err != nil {
			return nil, fmt.Errorf("login: %w", err)
		}
		if token == "" {
			return nil, errors.New("login: -id-token none leaves nothing to log in with")
		}
		return map[string]any{"role": o.Role, "jwt": token}, nil
	}
	return nil, fmt.Errorf("login: method %q: want %s, %s, %s or %s", method, Auto, Token, JWT, AppRole)
}

// Owned tells whether this program made the login.
func (s *Session) Owned() bool { return s.own != nil }

// Keep renews the login until the context ends; it returns early, with the reason,
// when the login cannot be kept. A login that somebody else made is theirs to renew.
func (s *Session) Keep(ctx context.Context) error {
	if s.own == nil || !s.own.Auth.Renewable {
		<-ctx.Done()
		return nil
	}
	life := time.Duration(s.own.Auth.LeaseDuration) * time.Second
	return keep.Alive(ctx, life, func(ctx context.Context) (time.Duration, error) {
		renewed, err := s.Client.Auth().Token().RenewSelfWithContext(ctx, s.own.Auth.LeaseDuration)
		if err != nil {
			return 0, brief.Error(err)
		}
		return time.Duration(renewed.Auth.LeaseDuration) * time.Second, nil
	})
}

// End revokes the login, and with it everything that was leased to it.
func (s *Session) End(ctx context.Context) error {
	if s.own == nil {
		return nil
	}
	if err := s.Client.Auth().Token().RevokeSelfWithContext(ctx, ""); err != nil {
		return fmt.Errorf("log out: %w", brief.Error(err))
	}
	return nil
}

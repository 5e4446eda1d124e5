// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers/gitea/giteatest"
)

// giteaServer is a real Gitea.
type giteaServer struct {
	server *giteatest.Server
	dir    string
}

func (g *giteaServer) title() string { return "a real Gitea" }

const giteaAdmin = "vault-ci"

func (g *giteaServer) start(ctx context.Context) (err error) {
	if g.dir, err = os.MkdirTemp("", "ci-demo-"); err != nil {
		return err
	}
	if g.server, err = giteatest.Start(ctx); err != nil {
		return err
	}
	if err := g.server.CreateOrganization(ctx, "acme"); err != nil {
		return err
	}
	for _, name := range []string{"web", "api"} {
		if err := g.server.CreateRepository(ctx, "acme", name); err != nil {
			return err
		}
	}
	password, err := g.server.CreateAdmin(ctx, giteaAdmin)
	if err != nil {
		return err
	}
	return os.WriteFile(g.password(), []byte(password), 0o600)
}

func (g *giteaServer) password() string { return filepath.Join(g.dir, "password") }

func (g *giteaServer) config() []string {
	return []string{
		"write", "ci/config/gitea", "provider=gitea", "base_url=" + g.server.URL, "username=" + giteaAdmin, "password=@" + g.password(),
	}
}

func (g *giteaServer) role() []string {
	return releaseRole("gitea")
}

func (g *giteaServer) use(ctx context.Context, d *demo, username, token string) error {
	if err := commitAndPush(ctx, d, g.server.CloneURL("acme", "web"), username, token, filepath.Join(g.dir, "web")); err != nil {
		return err
	}
	if err := gitClone(ctx, g.server.CloneURL("acme", "api"), username, token, filepath.Join(g.dir, "api")); err == nil {
		return errors.New("the token reaches a repository that is not its role's")
	}
	d.note("git clone acme/api   refused: not even visible")
	return nil
}

func (g *giteaServer) dead(ctx context.Context, d *demo, token string) error {
	err := g.server.TokenAPI(ctx, token, http.MethodGet, "/repos/acme/web", nil, nil)
	status, answered := errors.AsType[*giteatest.StatusError](err)
	if !answered || status.Status != http.StatusUnauthorized {
		return fmt.Errorf("the token is not refused: %w", err)
	}
	d.note("GET /repos/acme/web  %d  the token is dead at the platform", status.Status)
	return nil
}

func (g *giteaServer) close() error {
	var failure error
	if g.server != nil {
		failure = g.server.Close()
	}
	return errors.Join(failure, os.RemoveAll(g.dir))
}

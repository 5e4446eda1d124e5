// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"errors"
	"net/http/httptest"
	"os"
	"path/filepath"
	"time"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers/gitlab/gitlabtest"
)

// gitLab is the GitLab simulator, which serves git too.
type gitLab struct {
	simulator *gitlabtest.Instance
	server    *httptest.Server
	dir       string
}

func (g *gitLab) title() string { return "a GitLab simulator" }

func (g *gitLab) start(ctx context.Context) (err error) {
	if g.dir, err = os.MkdirTemp("", "ci-demo-"); err != nil {
		return err
	}
	g.simulator = gitlabtest.New(time.Now)
	g.server = httptest.NewServer(g.simulator)
	user := g.simulator.AddUser("vault")
	g.simulator.SetMember(user, "acme", gitlabtest.Maintainer)
	g.simulator.AddProject("acme/web")
	g.simulator.AddProject("acme/api")
	if err := g.simulator.ServeGit(ctx, filepath.Join(g.dir, "repositories")); err != nil {
		return err
	}
	token := g.simulator.AddPersonalToken(user, "vault", []string{"api"}, time.Now().AddDate(0, 0, 30))
	return os.WriteFile(g.token(), []byte(token), 0o600)
}

func (g *gitLab) token() string { return filepath.Join(g.dir, "token") }

func (g *gitLab) config() []string {
	return []string{"write", "ci/config/gitlab", "provider=gitlab", "base_url=" + g.server.URL, "token=@" + g.token()}
}

func (g *gitLab) role() []string {
	return releaseRole("gitlab")
}

func (g *gitLab) use(ctx context.Context, d *demo, username, token string) error {
	if err := commitAndPush(ctx, d, g.server.URL+"/acme/web.git", username, token, filepath.Join(g.dir, "web")); err != nil {
		return err
	}
	if err := gitClone(ctx, g.server.URL+"/acme/api.git", username, token, filepath.Join(g.dir, "api")); err == nil {
		return errors.New("the token reaches a project that is not its role's")
	}
	d.note("git clone acme/api   refused: not even visible")
	return nil
}

func (g *gitLab) dead(_ context.Context, d *demo, token string) error {
	if g.simulator.IsLive(token) {
		return errors.New("the token still lives")
	}
	d.note("the token is dead at the platform")
	return nil
}

func (g *gitLab) close() error {
	if g.server != nil {
		g.simulator.Close()
		g.server.Close()
	}
	return os.RemoveAll(g.dir)
}

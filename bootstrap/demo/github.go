// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers/github/githubtest"
)

// gitHub is the GitHub simulator: GitHub itself cannot run here.
type gitHub struct {
	simulator *githubtest.Simulator
	app       githubtest.App
	dir       string
}

func (g *gitHub) title() string { return "a GitHub simulator" }

func (g *gitHub) start(context.Context) (err error) {
	if g.dir, err = os.MkdirTemp("", "ci-demo-"); err != nil {
		return err
	}
	if g.simulator, err = githubtest.New(githubtest.Options{Validate: true}); err != nil {
		return err
	}
	g.app, _ = g.simulator.Install("acme", map[string]string{"contents": "write", "statuses": "write", "administration": "write"}, "web", "api")
	return os.WriteFile(g.key(), []byte(g.app.PrivateKeyPEM()), 0o600)
}

func (g *gitHub) key() string { return filepath.Join(g.dir, "app.pem") }

func (g *gitHub) config() []string {
	return []string{
		"write", "ci/config/github", "provider=github", "base_url=" + g.simulator.URL(),
		"app_id=" + strconv.FormatInt(g.app.ID, 10), "private_key=@" + g.key(), "organization=acme",
	}
}

func (g *gitHub) role() []string {
	return []string{
		"write", "ci/roles/build-dev", "config=github", "stage=build", "environment=dev",
		"owner=team-web", "purpose=build the site", "repositories=web", "permissions=contents=read,statuses=write", "ttl=2m",
	}
}

func (g *gitHub) use(ctx context.Context, d *demo, username, token string) error {
	for _, call := range []struct {
		path string
		want int
		says string
	}{
		{"/repos/acme/web", http.StatusOK, "its repository: allowed"},
		{"/repos/acme/api", http.StatusNotFound, "any other: not even visible"},
	} {
		status, err := g.get(ctx, call.path, token)
		if err != nil {
			return err
		}
		if status != call.want {
			return fmt.Errorf("GET %s: %d instead of %d", call.path, status, call.want)
		}
		d.note("GET %-16s %d  %s", call.path, status, call.says)
	}
	if err := gitClone(ctx, g.simulator.GitURL("acme", "web"), username, token, filepath.Join(g.dir, "web")); err != nil {
		return err
	}
	d.note("git clone acme/web   cloned, over HTTPS-style basic auth as %s", username)
	return nil
}

func (g *gitHub) dead(ctx context.Context, d *demo, token string) error {
	status, err := g.get(ctx, "/repos/acme/web", token)
	if err != nil {
		return err
	}
	if status != http.StatusUnauthorized {
		return fmt.Errorf("the token still answers %d", status)
	}
	d.note("GET /repos/acme/web  %d  the token is dead at the platform", status)
	return nil
}

func (g *gitHub) get(ctx context.Context, path, token string) (int, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, g.simulator.URL()+path, nil)
	if err != nil {
		return 0, err
	}
	request.Header.Set("Authorization", "Bearer "+token)
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	return answer.StatusCode, nil
}

func (g *gitHub) close() error {
	if g.simulator != nil {
		g.simulator.Close()
	}
	return os.RemoveAll(g.dir)
}

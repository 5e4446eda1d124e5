// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

// Package githubapp_test holds the manifest against the ceilings that it is for.
package githubapp_test

import (
	"context"
	"encoding/json"
	"fmt"
	"html"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/bootstrap/snippets"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/github"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/github/githubtest"
)

func manifest(t *testing.T) (text []byte, permissions map[string]string) {
	t.Helper()
	text, err := os.ReadFile("manifest.json")
	require.NoError(t, err)
	var read struct {
		Public         bool
		HookAttributes struct{ Active bool } `json:"hook_attributes"`
		Events         []string              `json:"default_events"`
		Permissions    map[string]string     `json:"default_permissions"`
	}
	require.NoError(t, json.Unmarshal(text, &read))
	require.False(t, read.Public)
	require.False(t, read.HookAttributes.Active)
	require.Empty(t, read.Events)
	return text, read.Permissions
}

// union is the most that any built-in stage allows of each resource.
func union(t *testing.T) map[string]string {
	t.Helper()
	most := map[string]string{}
	for _, ceiling := range github.Platform().Ceilings {
		permissions, err := providers.ParsePermissions("permissions", ceiling)
		require.NoError(t, err)
		for _, p := range permissions {
			if most[p.Resource] != string(providers.Write) {
				most[p.Resource] = string(p.Level)
			}
		}
	}
	return most
}

func TestPermissionsAreThoseOfTheCeilings(t *testing.T) {
	_, permissions := manifest(t)
	require.Equal(t, union(t), permissions)
}

// TestEachCeilingCanBeMinted lets an App of the manifest make a token with all that
// each stage allows, and one that lacks any of it fail.
func TestEachCeilingCanBeMinted(t *testing.T) {
	_, permissions := manifest(t)
	require.Empty(t, mintCeilings(t, permissions))
	for resource := range permissions {
		if resource == "metadata" {
			continue // GitHub gives it to every App
		}
		less := maps.Clone(permissions)
		delete(less, resource)
		require.NotEmpty(t, mintCeilings(t, less), "%s is not needed", resource)
	}
}

// mintCeilings are the stages whose whole ceiling an App with the permissions
// cannot give.
func mintCeilings(t *testing.T, permissions map[string]string) []string {
	t.Helper()
	simulator := githubtest.Start(t, githubtest.Options{})
	app, _ := simulator.Install("acme", permissions, "web")
	connection, err := github.Platform().Connect(providers.Settings{
		BaseURL: simulator.URL(), Client: http.DefaultClient, Now: time.Now, Logger: hclog.NewNullLogger(),
		Values: map[string]string{"app_id": fmt.Sprint(app.ID), "private_key": app.PrivateKeyPEM(), "organization": "acme"},
	})
	require.NoError(t, err)
	var refused []string
	for stage, ceiling := range github.Platform().Ceilings {
		allowed, err := providers.ParsePermissions("permissions", ceiling)
		require.NoError(t, err)
		_, err = connection.Mint(t.Context(), providers.Grant{
			Account: "acme", Repositories: []string{"web"}, Permissions: allowed, ExpiresAt: time.Now().Add(time.Hour),
		})
		if err != nil {
			refused = append(refused, stage)
		}
	}
	slices.Sort(refused)
	return refused
}

var (
	form  = regexp.MustCompile(`<form method="post" action="([^"]+)">`)
	field = regexp.MustCompile(`<input type="hidden" name="manifest" value="([^"]+)">`)
)

func page(ctx context.Context, arguments ...string) (string, error) {
	output, err := exec.CommandContext(ctx, "./page.sh", arguments...).Output()
	return string(output), err
}

func TestThePageHandsOverTheManifest(t *testing.T) {
	text, _ := manifest(t)
	for _, organization := range []struct {
		arguments []string
		action    string
	}{
		{[]string{"acme"}, "https://github.com/organizations/acme/settings/apps/new"},
		{[]string{"acme", "https://github.example.com"}, "https://github.example.com/organizations/acme/settings/apps/new"},
	} {
		made, err := page(t.Context(), organization.arguments...)
		require.NoError(t, err)
		require.Equal(t, organization.action, form.FindStringSubmatch(made)[1])
		require.JSONEq(t, string(text), html.UnescapeString(field.FindStringSubmatch(made)[1]))
	}
	for _, arguments := range [][]string{{}, {`x"><script>`}, {"acme", "http://github.example.com"}} {
		_, err := page(t.Context(), arguments...)
		require.Error(t, err, "%q", arguments)
	}
}

func TestInstructions(t *testing.T) {
	snippets.Check(t, "README.md")
	text, err := os.ReadFile("README.md")
	require.NoError(t, err)
	_, permissions := manifest(t)
	rows := regexp.MustCompile(`(?m)^\| [A-Z][a-z ]+ \| (read|write) \|`).FindAllString(string(text), -1)
	require.Len(t, rows, len(permissions), "the table of permissions")
}

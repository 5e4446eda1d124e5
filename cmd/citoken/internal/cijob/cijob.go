// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

// Package cijob knows what a CI system tells a job about itself in its
// environment: the job's own identity, and how to keep a secret out of the log.
package cijob

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/hashicorp/go-retryablehttp"
)

// ErrNoIdentity says that nothing in the environment vouches for the job.
var ErrNoIdentity = errors.New("no id_token: in GitHub Actions give the job `permissions: id-token: write`, " +
	"in GitLab CI declare `id_tokens: VAULT_ID_TOKEN`, or name one with -id-token env:NAME or file:PATH")

// errSource does not repeat what was given: it may be the token itself.
var errSource = errors.New("id_token: that is no source of one: want auto, none, env:NAME or file:PATH")

// idTokenVariable is looked at where no source is named: GitLab has no name of its
// own for it, its documentation uses this one.
const idTokenVariable = "VAULT_ID_TOKEN"

// jwtStart is what a JWT begins with: {" in base64. No variable or file is named so.
const jwtStart = "eyJ"

// mostAnswer bounds what the identity endpoint may answer. A JWT has a few KB.
const mostAnswer = 64 << 10

// Job is the CI job that this process runs in, or none.
type Job struct {
	// Getenv looks a variable up, as os.Getenv does.
	Getenv func(string) string
}

// Current is the job of this process.
func Current() Job { return Job{Getenv: os.Getenv} }

// InActions tells whether the runner understands the workflow commands of GitHub
// Actions, which Forgejo's and Gitea's do too.
func (j Job) InActions() bool { return j.Getenv("GITHUB_ACTIONS") == "true" }

// InCI tells whether the output is a CI system's log.
func (j Job) InCI() bool {
	ci := j.Getenv("CI")
	return j.InActions() || (ci != "" && ci != "false")
}

// System is the CI system by the name that its login has in Vault; empty outside of
// those that are known.
func (j Job) System() string {
	switch {
	case j.InActions():
		return "github-actions"
	case j.Getenv("GITLAB_CI") == "true":
		return "gitlab"
	}
	return ""
}

// Repository is the one that the job is of, owner first; empty outside of CI.
func (j Job) Repository() string {
	switch j.System() {
	case "github-actions":
		return j.Getenv("GITHUB_REPOSITORY")
	case "gitlab":
		return j.Getenv("CI_PROJECT_PATH")
	}
	return ""
}

// HasIdentity tells whether IDToken would find a token without a source named.
func (j Job) HasIdentity() bool {
	return j.endpoint() != "" || j.Getenv(idTokenVariable) != ""
}

func (j Job) endpoint() string {
	if j.Getenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN") == "" {
		return ""
	}
	return j.Getenv("ACTIONS_ID_TOKEN_REQUEST_URL")
}

// IDToken is the job's own OIDC token. source is auto (the CI system's), env:NAME,
// file:PATH or none, which answers with the empty string. The audience goes into
// the token where the CI system makes it on demand.
func (j Job) IDToken(ctx context.Context, source, audience string) (string, error) {
	kind, name, _ := strings.Cut(source, ":")
	switch {
	case source == "none":
		return "", nil
	case strings.HasPrefix(name, jwtStart):
		return "", errSource
	case kind == "env" && name != "":
		if token := strings.TrimSpace(j.Getenv(name)); token != "" {
			return token, nil
		}
		return "", fmt.Errorf("id_token: variable %s is empty", name)
	case kind == "file" && name != "":
		text, err := os.ReadFile(name)
		if err != nil {
			return "", fmt.Errorf("id_token: %w", err)
		}
		return strings.TrimSpace(string(text)), nil
	case source != "auto":
		return "", errSource
	case j.endpoint() != "":
		return j.fetch(ctx, audience)
	}
	if token := strings.TrimSpace(j.Getenv(idTokenVariable)); token != "" {
		return token, nil
	}
	return "", ErrNoIdentity
}

// fetch asks the runner of GitHub Actions (or Forgejo's) for a token.
func (j Job) fetch(ctx context.Context, audience string) (string, error) {
	address, err := url.Parse(j.endpoint())
	if err != nil {
		return "", errors.New("id_token: ACTIONS_ID_TOKEN_REQUEST_URL is no URL")
	}
	if audience != "" {
		query := address.Query()
		query.Set("audience", audience)
		address.RawQuery = query.Encode()
	}
	request, err := retryablehttp.NewRequestWithContext(ctx, http.MethodGet, address.String(), nil)
	if err != nil {
		return "", fmt.Errorf("id_token: %w", err)
	}
	request.Header.Set("Authorization", "Bearer "+j.Getenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN"))
	client := retryablehttp.NewClient()
	client.Logger = nil
	answer, err := client.Do(request)
	if err != nil {
		return "", fmt.Errorf("id_token: %w", err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, mostAnswer))
	if err != nil {
		return "", fmt.Errorf("id_token: %w", err)
	}
	if answer.StatusCode != http.StatusOK {
		return "", fmt.Errorf("id_token: the runner's endpoint answers %s", answer.Status)
	}
	var made struct {
		Value string `json:"value"`
	}
	if err := json.Unmarshal(body, &made); err != nil || made.Value == "" {
		return "", errors.New("id_token: the runner's endpoint answers without a token")
	}
	return made.Value, nil
}

// HideInLog tells the runner to blot the secrets out of everything that the job
// prints from now on, where the runner can be told. It reads its commands on both
// streams; what is on stdout may be meant for a file.
func (j Job) HideInLog(stderr io.Writer, secrets ...string) error {
	if !j.InActions() {
		return nil
	}
	for _, secret := range secrets {
		if _, err := fmt.Fprintf(stderr, "::add-mask::%s\n", secret); err != nil {
			return fmt.Errorf("mask: %w", err)
		}
	}
	return nil
}

// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package scan

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/fatih/semgroup"
	"github.com/rs/zerolog"
	"github.com/zricethezav/gitleaks/v8/config"
	"github.com/zricethezav/gitleaks/v8/logging"
	"github.com/zricethezav/gitleaks/v8/regexp"
	"github.com/zricethezav/gitleaks/v8/sources"
)

const (
	// archiveDepth is how deep archives within archives are opened.
	archiveDepth = 3
	parallel     = 8
)

// Watch takes over the library's log: it only warns of what it passes over, and a
// scan that passes something over is not complete. It is for the whole process.
func (s *Scanner) Watch() {
	logging.Logger = zerolog.New(io.Discard).Level(zerolog.WarnLevel).
		Hook(zerolog.HookFunc(func(_ *zerolog.Event, level zerolog.Level, message string) {
			if level >= zerolog.WarnLevel && message != "" {
				s.fail(fmt.Errorf("incomplete: %s", message))
			}
		}))
}

// Tree looks through a file or a folder, archives included.
func (s *Scanner) Tree(ctx context.Context, path string) error {
	if _, err := os.Lstat(path); err != nil {
		return fmt.Errorf("scan: %w", err)
	}
	return s.Scan(ctx, &sources.Files{
		Path: path, MaxArchiveDepth: archiveDepth, Sema: semgroup.NewGroup(ctx, parallel),
		// git's objects are for History; what else lies in .git, such as a remote with
		// a token in it, is looked at.
		Config: &config.Config{Allowlists: []*config.Allowlist{{
			Paths: []*regexp.Regexp{regexp.MustCompile(`(?:^|/)\.git/(?:objects|lfs)$`)},
		}}},
	})
}

// History looks through every change of every branch, tag and stash of a repository.
func (s *Scanner) History(ctx context.Context, path string) error {
	command, err := sources.NewGitLogCmdContext(ctx, path, "")
	if err != nil {
		return fmt.Errorf("scan: git: %w", err)
	}
	return s.Scan(ctx, &sources.Git{
		Cmd: command, Config: &config.Config{}, Remote: &sources.RemoteInfo{},
		MaxArchiveDepth: archiveDepth, Sema: semgroup.NewGroup(ctx, parallel),
	})
}

// Stream looks through what is read, under a name.
func (s *Scanner) Stream(ctx context.Context, name string, in io.Reader) error {
	return s.Scan(ctx, &sources.File{Content: in, Path: name, MaxArchiveDepth: archiveDepth})
}

// ownVariables are those by which a runner gives a job the credentials of this very
// run: they are where they belong.
var ownVariables = []string{
	"ACTIONS_ID_TOKEN_REQUEST_TOKEN", "ACTIONS_RUNTIME_TOKEN", "GITHUB_TOKEN",
	"CI_BUILD_TOKEN", "CI_JOB_TOKEN", "CI_JOB_JWT", "CI_JOB_JWT_V2", "CI_DEPENDENCY_PROXY_PASSWORD", "CI_REGISTRY_PASSWORD",
	"CI_REPOSITORY_URL", "VAULT_ID_TOKEN", "VAULT_SECRET_ID", "VAULT_TOKEN",
}

// Variables looks through an environment of NAME=value, without those variables
// that the runner itself has set.
func (s *Scanner) Variables(ctx context.Context, environment []string) {
	for _, entry := range environment {
		name, value, _ := strings.Cut(entry, "=")
		if slices.Contains(ownVariables, name) {
			continue
		}
		// The name is part of what is looked at: it is the word that says token.
		s.look(ctx, sources.Fragment{FilePath: "variable " + name, Raw: name + "=" + value, StartLine: 1})
	}
}

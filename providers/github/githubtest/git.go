// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package githubtest

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// gitHost keeps the bare repositories, below one folder, by folded names.
type gitHost struct {
	root string
	now  func() time.Time
}

// gitEnvironment keeps the user's and the machine's settings out.
var gitEnvironment = []string{"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_TERMINAL_PROMPT=0"}

func (g *gitHost) path(owner, name string) string {
	return filepath.Join(g.root, fold(owner), fold(name)+".git")
}

// create makes a bare repository with one commit on main.
func (g *gitHost) create(owner, name string) (string, error) {
	dir, ctx := g.path(owner, name), context.Background()
	if _, err := g.run(ctx, nil, "init", "--quiet", "--bare", "--initial-branch=main", dir); err != nil {
		return "", err
	}
	readme, message := "# "+name+"\n", "Initial commit\n"
	var stream bytes.Buffer
	fmt.Fprintf(&stream, "commit refs/heads/main\ncommitter GitHub <noreply@github.com> %d +0000\n", g.now().Unix())
	fmt.Fprintf(&stream, "data %d\n%sM 100644 inline README.md\ndata %d\n%s\n", len(message), message, len(readme), readme)
	if _, err := g.run(ctx, stream.Bytes(), "-C", dir, "fast-import", "--quiet"); err != nil {
		return "", err
	}
	return dir, nil
}

func (g *gitHost) run(ctx context.Context, input []byte, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Env = append(cmd.Environ(), gitEnvironment...)
	cmd.Stdin = bytes.NewReader(input)
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("git %s: %w", strings.Join(args, " "), err)
	}
	return out, nil
}

// resolve is the commit that a branch, tag or SHA names; empty where there is none.
func (g *gitHost) resolve(ctx context.Context, r *repository, ref string) string {
	dir, err := r.bare()
	if err != nil {
		return ""
	}
	out, err := g.run(ctx, nil, "-C", dir, "rev-parse", "--verify", "--quiet", "--end-of-options", ref+"^{commit}")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

type gitFile struct {
	sha     string
	content []byte
}

// file reads a file at a ref; the empty ref is the default branch.
func (g *gitHost) file(ctx context.Context, r *repository, ref, path string) (*gitFile, error) {
	commit := g.resolve(ctx, r, ref)
	if ref == "" {
		commit = g.resolve(ctx, r, "main")
	}
	dir, err := r.bare()
	if err != nil {
		return nil, err
	}
	sha, err := g.run(ctx, nil, "-C", dir, "rev-parse", "--verify", "--quiet", commit+":"+path)
	if err != nil {
		return nil, err
	}
	id := strings.TrimSpace(string(sha))
	content, err := g.run(ctx, nil, "-C", dir, "cat-file", "blob", id)
	if err != nil {
		return nil, err
	}
	return &gitFile{sha: id, content: content}, nil
}

// Head is the commit that a branch of a repository is at; empty where there is none.
func (s *Simulator) Head(account, repository, branch string) string {
	r := s.world.find(account, repository)
	if r == nil {
		return ""
	}
	return s.git.resolve(context.Background(), r, "refs/heads/"+branch)
}

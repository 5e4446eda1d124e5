// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package scan

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/fatih/semgroup"
	"github.com/rs/zerolog"
	"github.com/zricethezav/gitleaks/v8/config"
	"github.com/zricethezav/gitleaks/v8/logging"
	"github.com/zricethezav/gitleaks/v8/sources"
)

const (
	// archiveDepth is how deep archives within archives are opened.
	archiveDepth = 3
	parallel     = 8
	// piece is how much of a file is looked at at once.
	piece = 100 << 10
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

// ofHistory are the folders of a tree that are for History. What else lies in .git,
// such as a remote with a token in it, is looked at.
var ofHistory = regexp.MustCompile(`(?:^|/)\.git/(?:objects|lfs)$`)

// Tree looks through a file or a folder, archives included. A link is followed where
// it is what was named. What cannot be read is told by Failures.
func (s *Scanner) Tree(ctx context.Context, path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("scan: %w", err)
	}
	if !info.IsDir() {
		return s.file(ctx, path)
	}
	group := semgroup.NewGroup(ctx, parallel)
	// The separator makes the walk begin at what a link leads to.
	err = filepath.WalkDir(path+string(filepath.Separator), func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			s.fail(fmt.Errorf("scan: %w", err))
		case entry.IsDir() && ofHistory.MatchString(filepath.ToSlash(path)):
			return filepath.SkipDir
		case entry.Type().IsRegular():
			group.Go(func() error {
				if err := s.file(ctx, path); err != nil {
					s.fail(err)
				}
				return nil
			})
		}
		return ctx.Err()
	})
	return errors.Join(err, group.Wait())
}

func (s *Scanner) file(ctx context.Context, path string) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("scan: %w", err)
	}
	defer file.Close()
	return s.Stream(ctx, path, file)
}

// historyOptions are those of git log: the library's own, and what it leaves out,
// which is what merges bring, as most stashes are, and stashes below the latest.
const historyOptions = "--full-history --all --reflog --diff-filter=tuxdb --diff-merges=first-parent"

// History looks through every change of every branch, tag and stash of a repository.
func (s *Scanner) History(ctx context.Context, path string) error {
	command, err := sources.NewGitLogCmdContext(ctx, path, historyOptions)
	if err != nil {
		return fmt.Errorf("scan: git: %w", err)
	}
	group := semgroup.NewGroup(ctx, parallel)
	source := &sources.Git{
		Cmd: command, Config: &config.Config{}, Remote: &sources.RemoteInfo{},
		MaxArchiveDepth: archiveDepth, Sema: group,
	}
	err = source.Fragments(ctx, s.take(ctx))
	if err := errors.Join(err, group.Wait()); err != nil {
		return fmt.Errorf("scan: git: %s: %w", path, err)
	}
	return nil
}

// Stream looks through what is read, under a name.
func (s *Scanner) Stream(ctx context.Context, name string, in io.Reader) error {
	again, ok := in.(io.Seeker)
	if ok {
		_, err := again.Seek(0, io.SeekCurrent)
		ok = err == nil
	}
	if !ok {
		buffered := bufio.NewReader(in)
		if _, err := buffered.Peek(1); errors.Is(err, io.EOF) {
			return nil
		}
		in = buffered
	}
	looked, take := false, s.take(ctx)
	source := &sources.File{Content: in, Path: name, MaxArchiveDepth: archiveDepth}
	err := source.Fragments(ctx, func(fragment sources.Fragment, err error) error {
		looked = true
		return take(fragment, err)
	})
	switch {
	case err != nil:
		return fmt.Errorf("scan: %s: %w", name, err)
	case looked:
		return nil
	case !ok:
		return fmt.Errorf("scan: %s: not looked at: it begins like a program or a document; name it as a file", name)
	}
	if _, err := again.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("scan: %s: %w", name, err)
	}
	return s.bytes(ctx, name, in)
}

// bytes looks through what the library passes over, programs and documents, for
// tokens of ours alone: among such bytes its rules find what is none.
func (s *Scanner) bytes(ctx context.Context, name string, in io.Reader) error {
	buffer := make([]byte, piece)
	for line := 1; ; {
		n, err := io.ReadFull(in, buffer)
		fragment := sources.Fragment{FilePath: name, Raw: string(buffer[:n]), StartLine: line}
		s.look(ctx, fragment, false)
		line += strings.Count(fragment.Raw, "\n")
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return nil
		case err != nil:
			return fmt.Errorf("scan: %s: %w", name, err)
		case ctx.Err() != nil:
			return ctx.Err()
		}
	}
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
		s.detect(ctx, sources.Fragment{FilePath: "variable " + name, Raw: name + "=" + value, StartLine: 1}, true)
	}
}

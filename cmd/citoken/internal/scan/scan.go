// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

// Package scan finds credentials in trees, in git's history, in variables and in
// logs. What it knows of other people's credentials it has from gitleaks.
package scan

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/zricethezav/gitleaks/v8/detect"
	"github.com/zricethezav/gitleaks/v8/report"
	"github.com/zricethezav/gitleaks/v8/sources"
)

// Finding is a credential in a place.
type Finding struct {
	Rule, Description string
	File              string
	Line, Column      int
	// Commit that brought it, where it was found in git's history.
	Commit string
	// Platform says that it has the form of a token that the engine hands out.
	Platform bool
	// Reported says that the engine was shown it.
	Reported bool
	// Verdict of the engine on it; nil where it was not asked, or could not say.
	Verdict *Verdict

	// secret is never shown.
	secret string
}

// Where is the place in one line.
func (f Finding) Where() string {
	where := f.File
	if f.Line > 0 {
		where += fmt.Sprintf(":%d", f.Line)
	}
	if f.Commit != "" {
		where += " in commit " + f.Commit
	}
	return where
}

// Scanner collects findings from any number of sources.
type Scanner struct {
	platform, general *detect.Detector

	mu       sync.Mutex
	findings []Finding
	failures []error
	// ends are the last bytes of each file's latest piece, as long as they do not
	// end a line: a credential may go on in the next piece.
	ends map[string]string
}

// New makes a scanner.
func New() (*Scanner, error) {
	platform, general, err := detectors()
	if err != nil {
		return nil, fmt.Errorf("scan: rules: %w", err)
	}
	return &Scanner{platform: platform, general: general, ends: map[string]string{}}, nil
}

// take looks at each piece of a source. What of it cannot be read is told by Failures.
func (s *Scanner) take(ctx context.Context) sources.FragmentsFunc {
	return func(fragment sources.Fragment, err error) error {
		if err != nil {
			s.fail(fmt.Errorf("%s: %w", fragment.FilePath, err))
			return nil
		}
		s.look(ctx, fragment, true)
		return nil
	}
}

// look looks at a piece, and at where it meets the one before it. Without general
// only tokens of ours are looked for.
func (s *Scanner) look(ctx context.Context, piece sources.Fragment, general bool) {
	s.detect(ctx, piece, general)
	if seam, ok := s.seam(piece); ok {
		s.detect(ctx, seam, general)
	}
}

func (s *Scanner) detect(ctx context.Context, piece sources.Fragment, general bool) {
	var found []Finding
	for _, one := range s.platform.DetectContext(ctx, detect.Fragment(piece)) { //nolint:staticcheck // the one type that this version's detector takes
		found = append(found, finding(one, true))
	}
	if general {
		for _, one := range s.general.DetectContext(ctx, detect.Fragment(piece)) { //nolint:staticcheck // the one type that this version's detector takes
			found = append(found, finding(one, false))
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.findings = append(s.findings, found...)
}

// longest is more than any credential that may be cut in two.
const longest = 4 << 10

// seam is where two pieces of a file meet, if they meet inside a line.
func (s *Scanner) seam(f sources.Fragment) (seam sources.Fragment, ok bool) {
	if f.CommitSHA != "" {
		return seam, false // pieces of a change are whole lines
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	end, ok := s.ends[f.FilePath]
	delete(s.ends, f.FilePath)
	if f.Raw != "" && !strings.HasSuffix(f.Raw, "\n") {
		s.ends[f.FilePath] = f.Raw[max(0, len(f.Raw)-longest):]
	}
	if !ok {
		return seam, false
	}
	// What is whole on either side was found there.
	end = end[strings.LastIndexByte(end, '\n')+1:]
	seam = f
	seam.Raw, seam.Bytes = end+f.Raw[:min(len(f.Raw), longest)], nil
	return seam, true
}

func finding(f report.Finding, platform bool) Finding {
	return Finding{
		Rule: f.RuleID, Description: f.Description, File: f.File, Line: f.StartLine, Column: f.StartColumn,
		Commit: f.Commit, Platform: platform, secret: f.Secret,
	}
}

// Findings are what was found, in order of place, each credential once a place.
func (s *Scanner) Findings() []Finding {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := slices.Clone(s.findings)
	slices.SortStableFunc(all, func(a, b Finding) int {
		return cmp.Or(
			cmp.Compare(a.File, b.File), cmp.Compare(a.Commit, b.Commit), cmp.Compare(a.Line, b.Line),
			// Ours first, then what says most: of those that are one, the first stays.
			boolean(b.Platform)-boolean(a.Platform), len(b.secret)-len(a.secret), cmp.Compare(a.Rule, b.Rule),
		)
	})
	var kept []Finding
	for _, f := range all {
		if !slices.ContainsFunc(kept, func(k Finding) bool { return k.covers(f) }) {
			kept = append(kept, f)
		}
	}
	return kept
}

// covers tells whether the other is the same credential in the same place, seen by
// another rule or in part.
func (f Finding) covers(other Finding) bool {
	return f.File == other.File && f.Commit == other.Commit && f.Line == other.Line &&
		(strings.Contains(f.secret, other.secret) || strings.Contains(other.secret, f.secret))
}

func boolean(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (s *Scanner) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failures = append(s.failures, err)
}

// Failures are what could not be looked at: a scan that has some has not shown that
// there is nothing.
func (s *Scanner) Failures() []error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.failures)
}

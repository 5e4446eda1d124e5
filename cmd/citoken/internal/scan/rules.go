// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package scan

import (
	"strings"

	"github.com/zricethezav/gitleaks/v8/config"
	"github.com/zricethezav/gitleaks/v8/detect"
	"github.com/zricethezav/gitleaks/v8/regexp"
)

// decodeDepth is how often what is found in base64 and the like is decoded again:
// a checkout step leaves its token as the base64 of a header.
const decodeDepth = 2

// platformTag marks what has the form of a token that the engine hands out.
const platformTag = "platform-token"

// platformRules find the tokens that the engine hands out. Unlike the library's
// rules they have no entropy, no stop words and no exempt paths: a token of ours is
// one wherever it lies and whatever it looks like.
func platformRules() []config.Rule {
	rule := func(id, description, expression string, keywords ...string) config.Rule {
		return config.Rule{
			RuleID: id, Description: description, Regex: regexp.MustCompile(expression),
			Keywords: keywords, Tags: []string{platformTag},
		}
	}
	return []config.Rule{
		// Both forms: 36 characters, and an App ID with a JWT of some 520. What stands
		// before it may be a letter: that of a terminal's colour, or of \n in JSON.
		rule("github-installation-token", "Token of a GitHub App installation", `(ghs_[A-Za-z0-9._-]{36,})`, "ghs_"),
		rule("gitlab-token", "GitLab project, group or personal access token, or deploy token", `(gl(?:pat|dt)-[A-Za-z0-9._-]{20,})`, "glpat-", "gldt-"),
		// 40 hexadecimal digits alone are a commit: it takes a word that says token.
		rule("gitea-token", "Gitea or Forgejo access token",
			`(?i)(?:://(?:[^\s/:@]{0,80}:)?([0-9a-f]{40})@`+
				`|(?:authorization|token|password|passwd|secret|gitea|forgejo)\w{0,20}["']?\s{0,3}[:=]{1,2}>?\s{0,3}["']?(?:(?:token|bearer)\s{1,3})?([0-9a-f]{40})\b)`,
			"://", "authorization", "token", "password", "passwd", "secret", "gitea", "forgejo"),
	}
}

// candidates are what a match may be of a token, likeliest first: prose puts a full
// stop behind it, and a longer word may begin with it.
func candidates(match string) []string {
	list := []string{match}
	add := func(text string) {
		for _, known := range list {
			if known == text {
				return
			}
		}
		list = append(list, text)
	}
	add(strings.TrimRight(match, "._-"))
	const classic, pat = len("ghs_") + 36, len("glpat-") + 20
	if strings.HasPrefix(match, "ghs_") && len(match) > classic {
		add(match[:classic])
	}
	if strings.HasPrefix(match, "glpat-") && len(match) > pat {
		add(match[:pat])
	}
	return list
}

// detectors are the one for tokens of ours, and the library's own for all others.
func detectors() (platform, general *detect.Detector, err error) {
	general, err = detect.NewDetectorDefaultConfig()
	if err != nil {
		return nil, nil, err
	}
	mine := config.Config{Rules: map[string]config.Rule{}, Keywords: map[string]struct{}{}}
	for _, rule := range platformRules() {
		mine.Rules[rule.RuleID] = rule
		for _, keyword := range rule.Keywords {
			mine.Keywords[keyword] = struct{}{}
		}
	}
	platform = detect.NewDetector(mine)
	// Whoever leaks a token may not say that it does not count.
	platform.IgnoreGitleaksAllow = true
	platform.MaxDecodeDepth, general.MaxDecodeDepth = decodeDepth, decodeDepth
	return platform, general, nil
}

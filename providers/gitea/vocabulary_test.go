// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package gitea_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/gitea"
)

func TestVocabulary(t *testing.T) {
	const (
		fine        = "fine"
		destructive = "destructive"
		impossible  = "impossible"
	)
	for written, judgement := range map[string]string{
		"repository=read": fine, "repository=write": fine, "repository=admin": impossible,
		"package=read": fine, "package=write": fine, "package=admin": impossible,
		"issue=read": fine, "issue=write": fine, "issue=admin": impossible,
		"notification=read": fine, "notification=write": fine,
		"misc=read": fine, "misc=write": fine,
		"activitypub=read": fine, "activitypub=write": fine,
		"organization=read": fine, "organization=write": destructive, "organization=admin": impossible,
		"user=read": fine, "user=write": impossible, "user=admin": impossible,
		"admin=read": impossible, "admin=write": impossible, "admin=admin": impossible,
		"all=read": impossible, "all=write": impossible, "all=admin": impossible,
		"contents=read": impossible, "sudo=write": impossible,
	} {
		p, err := providers.ParsePermission("permissions", written)
		require.NoError(t, err)
		v := gitea.Platform().Vocabulary
		err = v.Check(p)
		if judgement == impossible {
			require.Equal(t, fault.Invalid, fault.KindOf(err), written)
			require.ErrorContains(t, err, written)
			require.ErrorContains(t, err, "allowed are")
			continue
		}
		require.NoError(t, err, written)
		require.Equal(t, judgement == destructive, v.Destructive(p), written)
	}
}

// Every permission that we allow is one that Gitea has.
func TestVocabularyIsGiteas(t *testing.T) {
	w := newWorld(t)
	c := connect(t, w.settings)
	for _, resource := range []string{"repository", "package", "issue", "notification", "misc", "activitypub", "organization", "user"} {
		for _, level := range []providers.Level{providers.Read, providers.Write} {
			p := providers.Permission{Resource: resource, Level: level}
			if gitea.Platform().Vocabulary.Check(p) != nil {
				continue
			}
			token, _ := mint(t, c, w.grant(t, p.String()))
			require.Equal(t, []providers.Permission{p}, token.Permissions)
		}
	}
}

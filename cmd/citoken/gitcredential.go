// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ci-identity/vault-plugin-secrets-ci/cmd/citoken/internal/credential"
	"github.com/ci-identity/vault-plugin-secrets-ci/cmd/citoken/internal/gitcred"
)

func runGitCredential(ctx context.Context, args []string, s streams) int {
	var c connection
	var a asking
	var from string
	flags := newFlags(s, "git-credential", "git-credential -role ROLE [flags] get|store|erase")
	c.declare(flags)
	a.declare(flags)
	flags.StringVar(&from, "from", "", "use the credential in this file, which exec has written, instead of getting one")
	if code, ok := parsed(flags, args); !ok {
		return code
	}
	switch flags.Arg(0) {
	case "get":
	case "store", "erase":
		// Nothing is stored: each credential ends with its lease.
		return exitOK
	default:
		s.complain("git-credential: want get, store or erase")
		return exitTrouble
	}
	if err := serveGit(ctx, s, &c, &a, from); err != nil {
		s.complain("git-credential: %v", err)
		return exitTrouble
	}
	return exitOK
}

func serveGit(ctx context.Context, s streams, c *connection, a *asking, from string) error {
	request, err := gitcred.Parse(s.in)
	if err != nil {
		return err
	}
	if from != "" {
		made, err := readCredential(from)
		if err != nil {
			return err
		}
		return answerGit(s, request, made, a.lease)
	}
	if repository := request.Repository(); a.repository == ownRepository && repository != "" {
		a.repository = repository
	}
	session, made, err := a.get(ctx, c)
	if err == nil {
		err = answerGit(s, request, made, a.lease)
	}
	if err != nil && session != nil {
		// Nobody has got it. On success login and lease stay: git is about to use them.
		if session.Owned() {
			return errors.Join(err, session.End(ctx))
		}
		if made != nil {
			return errors.Join(err, made.Revoke(ctx, session.Client))
		}
	}
	return err
}

// answerGit gives the credential out for the platform that it is of, and to nobody
// else who may have found his way into git's configuration.
func answerGit(s streams, request gitcred.Request, made *credential.Credential, lease time.Duration) error {
	site, err := made.GitURL()
	if err != nil {
		return err
	}
	if request.Site() != site {
		return fmt.Errorf("role %q is of %s, git asks for %s", made.Role, site, request.Site())
	}
	return gitcred.Answer(s.out, made.Username, made.Token, time.Now().Add(lease))
}

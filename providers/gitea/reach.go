// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package gitea

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

// repository is one that an account reaches, and what it may do there.
type repository struct {
	Name  string `json:"name"`
	Owner struct {
		Login string `json:"login"`
	} `json:"owner"`
	Permissions struct {
		Admin bool `json:"admin"`
		Push  bool `json:"push"`
	} `json:"permissions"`
}

func (r repository) access() providers.Level {
	switch {
	case r.Permissions.Admin:
		return providers.Admin
	case r.Permissions.Push:
		return providers.Write
	default:
		return providers.Read
	}
}

// reach is the repositories of an account by key.
type reach map[string]repository

// key is a repository's name as Gitea compares it.
func key(owner, name string) string { return strings.ToLower(owner + "/" + name) }

// reachOf is all that an account was given, whoever gave it and however: as a
// collaborator, through a team, or as its own. What a restricted account sees
// besides is what everybody sees without an account.
func (c *connection) reachOf(ctx context.Context, account string) (reach, error) {
	found := reach{}
	nameless := false
	err := each(ctx, c.client, account, "/user/repos", func(r repository) bool {
		nameless = nameless || r.Name == "" || r.Owner.Login == ""
		found[key(r.Owner.Login, r.Name)] = r
		return true
	})
	if err != nil {
		return nil, unexpected(err, "the account %s is gone", account)
	}
	if nameless {
		return nil, fault.New(fault.Nonsense, "gitea: the server lists a repository without a name")
	}
	return found, nil
}

// align makes the account a collaborator on exactly the grant's repositories, with
// no more access than live tokens and the grant need, and proves it. Where the
// server narrows tokens and the grant is narrower than its role, others of the
// role may need more repositories: none is taken away.
func (c *connection) align(ctx context.Context, account string, g providers.Grant) error {
	have, err := c.reachOf(ctx, account)
	if err != nil {
		return err
	}
	level, lowers := needed(g.Permissions), false
	if have.exceeds(level) {
		if level, err = c.levelInUse(ctx, account, level); err != nil {
			return err
		}
		lowers = have.exceeds(level)
	}
	changed, err := c.mend(ctx, account, g, have, level)
	if err != nil {
		return err
	}
	if lowers {
		// A token that needs more may have been made meanwhile. Its maker looks for
		// what we did (confirm) as we look for what it did: one of us sees the other.
		if err := c.restore(ctx, account, g, level); err != nil {
			return err
		}
	}
	if changed {
		if have, err = c.reachOf(ctx, account); err != nil {
			return err
		}
	}
	return prove(account, g, have)
}

// restore gives back what was lowered to level where a live token needs more.
func (c *connection) restore(ctx context.Context, account string, g providers.Grant, level providers.Level) error {
	inUse, err := c.levelInUse(ctx, account, level)
	if err != nil || inUse == level {
		return err
	}
	_, err = c.setAccess(ctx, account, g, nil, inUse)
	return err
}

// exceeds reports whether there is more access in it than that.
func (r reach) exceeds(level providers.Level) bool {
	for _, repository := range r {
		if !level.Allows(repository.access()) {
			return true
		}
	}
	return false
}

// levelInUse is the access that the account needs at least: the given one, or more
// where a token that lives was made for more (a caller may ask for less than the
// role allows, and the role may have been cut).
func (c *connection) levelInUse(ctx context.Context, account string, least providers.Level) (providers.Level, error) {
	level := least
	err := each(ctx, c.client, "", pathf("/users/%s/tokens", account), func(t token) bool {
		// Scopes that cannot be read are none of ours and need nothing.
		if permissions, err := granted(t.Scopes); err == nil && needed(permissions) == providers.Write {
			level = providers.Write
		}
		return level != providers.Write
	})
	return level, unexpected(err, "the account %s is gone", account)
}

// confirm makes sure, after a token that writes was made, that nobody lowered the
// account's access between our look at it and the token's making.
func (c *connection) confirm(ctx context.Context, account string, g providers.Grant) error {
	level := needed(g.Permissions)
	if level == providers.Read {
		return nil
	}
	have, err := c.reachOf(ctx, account)
	if err != nil {
		return err
	}
	for _, name := range g.Repositories {
		if r, ok := have[key(g.Account, name)]; ok && !r.access().Allows(level) {
			if err := c.give(ctx, account, g.Account, name, level); err != nil {
				return err
			}
		}
	}
	return nil
}

// mend gives what is missing, takes what is too much, and reports whether there
// was anything to do.
func (c *connection) mend(ctx context.Context, account string, g providers.Grant, have reach, level providers.Level) (bool, error) {
	changed, err := c.setAccess(ctx, account, g, have, level)
	if err != nil || g.Narrowed {
		return changed, err
	}
	want := wanted(g)
	for k, r := range have {
		if want[k] {
			continue
		}
		changed = true
		c.logger.Warn("the account reached a repository that is not its role's", "account", account, "repository", k)
		if err := c.take(ctx, account, r); err != nil {
			return changed, err
		}
	}
	return changed, nil
}

// setAccess gives the account that access to each of the grant's repositories
// where it has another, and reports whether there was one.
func (c *connection) setAccess(ctx context.Context, account string, g providers.Grant, have reach, level providers.Level) (bool, error) {
	changed := false
	for _, name := range g.Repositories {
		if r, ok := have[key(g.Account, name)]; ok && r.access() == level {
			continue
		}
		changed = true
		if err := c.give(ctx, account, g.Account, name, level); err != nil {
			return changed, err
		}
	}
	return changed, nil
}

func (c *connection) give(ctx context.Context, account, owner, name string, level providers.Level) error {
	err := c.client.do(ctx, request{
		method: http.MethodPut, path: pathf("/repos/%s/%s/collaborators/%s", owner, name, account),
		in: map[string]string{"permission": string(level)},
	})
	return unexpected(err, "repositories: there is no repository %s/%s", owner, name)
}

func (c *connection) take(ctx context.Context, account string, r repository) error {
	err := c.client.do(ctx, request{
		method: http.MethodDelete, path: pathf("/repos/%s/%s/collaborators/%s", r.Owner.Login, r.Name, account),
	})
	if errors.Is(err, errNotFound) {
		return nil
	}
	return err
}

// prove refuses where the account reaches something else than it should. To have
// write access where read is enough is no reason: another token of the role may
// just be in the making that needs it, and what this one may do its scopes say.
// They would let an administrator of the repository do more than any role can.
func prove(account string, g providers.Grant, have reach) error {
	want := wanted(g)
	for k, r := range have {
		if !want[k] && !g.Narrowed {
			return fault.New(fault.Refused, "gitea: the account %s also reaches %s, and not as a collaborator; take it out of the team that gives it", account, k)
		}
		if want[k] && r.access() == providers.Admin {
			return fault.New(fault.Refused, "gitea: the account %s administers %s, and not as a collaborator; take it out of the team that lets it", account, k)
		}
	}
	for k := range want {
		if _, ok := have[k]; !ok {
			return fault.New(fault.Refused, "gitea: the account %s does not reach %s although it was given", account, k)
		}
	}
	return nil
}

func wanted(g providers.Grant) map[string]bool {
	want := make(map[string]bool, len(g.Repositories))
	for _, name := range g.Repositories {
		want[key(g.Account, name)] = true
	}
	return want
}

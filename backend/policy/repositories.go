// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package policy

import (
	"regexp"
	"strings"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/glob"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/identity"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

// Repository is one entry of a role's repositories.
type Repository struct {
	// Account owns it; Name is its name or pattern there.
	Account, Name string
	// Written keeps the spelling: answers speak the way the role does.
	Written string
	// Template is set, and Account and Name are not, where the entry names a claim
	// of the job.
	Template *identity.Template
}

// IsPattern reports whether only a caller's exact repository can resolve it.
func (r Repository) IsPattern() bool { return r.Template == nil && glob.IsPattern(r.Name) }

// fits reports whether a pattern allows the name. Letter case does not tell one
// repository from another on any platform.
func (r Repository) fits(name string) bool {
	if !r.IsPattern() {
		return false
	}
	pattern, err := glob.ParseFold(r.Name)
	return err == nil && pattern.Match(name)
}

var (
	repositoryName = regexp.MustCompile(`\A[A-Za-z0-9_.*-]{1,200}\z`)
	accountName    = regexp.MustCompile(`\A[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*\z`)
)

// ParseRepositories reads a role's repositories: `name`, `account/name`, a pattern
// in the name, or {{claims.<claim>}}. A name without an account belongs to the
// default one. All must belong to one account.
func ParseRepositories(list []string, defaultAccount string) ([]Repository, error) {
	repositories := make([]Repository, 0, len(list))
	account := ""
	for _, s := range list {
		r, err := parseRepository(s, defaultAccount)
		if err != nil {
			return nil, err
		}
		if r.Template == nil {
			if account != "" && !strings.EqualFold(account, r.Account) {
				return nil, fault.InvalidField("repositories", "%q belongs to %s, others to %s: one role, one account; make a role for each", s, r.Account, account)
			}
			account = r.Account
		}
		repositories = append(repositories, r)
	}
	return repositories, nil
}

func parseRepository(s, defaultAccount string) (Repository, error) {
	template, isTemplate, err := identity.ParseTemplate("repositories", s)
	if err != nil {
		return Repository{}, err
	}
	if isTemplate {
		return Repository{Template: &template, Written: s}, nil
	}
	account, name := defaultAccount, s
	if i := strings.LastIndexByte(s, '/'); i >= 0 {
		account, name = s[:i], s[i+1:]
	}
	if !repositoryName.MatchString(name) || name == "." || name == ".." {
		return Repository{}, fault.InvalidField("repositories", "%q is not a repository: write name, account/name, a pattern such as svc-*, or {{claims.repository}}", s)
	}
	if strings.Contains(name, "**") {
		return Repository{}, fault.InvalidField("repositories", "%q: write * once; a name holds no /", s)
	}
	if account == "" {
		return Repository{}, fault.InvalidField("repositories", "%q names no account and the config has no default one: write account/%s", s, name)
	}
	if !accountName.MatchString(account) {
		return Repository{}, fault.InvalidField("repositories", "%q: the account must be written out, without patterns", s)
	}
	return Repository{Account: account, Name: name, Written: s}, nil
}

// Reach is the exact set of repositories of one credential.
type Reach struct {
	Account string
	// Names are below the account; Written are the same in the role's spelling.
	Names, Written []string
	// Narrowed: fewer than the role's, or resolved from a pattern or a claim.
	Narrowed bool
}

func (r *Reach) add(account, name, written string) error {
	if r.Account == "" {
		r.Account = account
	}
	if !strings.EqualFold(r.Account, account) {
		return fault.New(fault.Denied, "repositories: %s and %s: one credential is for one account", r.Account, account)
	}
	for _, n := range r.Names {
		if strings.EqualFold(n, name) {
			return nil
		}
	}
	r.Names = append(r.Names, name)
	r.Written = append(r.Written, written)
	return nil
}

// ResolveTemplates replaces the entries that name a claim by the repository that
// the job's claim holds. A role without such entries needs no claims.
func ResolveTemplates(entries []Repository, claims identity.Claims) (resolved []Repository, any bool, err error) {
	for _, e := range entries {
		if e.Template == nil {
			resolved = append(resolved, e)
			continue
		}
		name, err := e.Template.Resolve(claims)
		if err != nil {
			return nil, true, err
		}
		r, err := parseRepository(name, "")
		if err != nil {
			return nil, true, fault.New(fault.Denied, "identity: %w", err)
		}
		resolved, any = append(resolved, r), true
	}
	return resolved, any, nil
}

// Narrow resolves what a role allows and what a caller asks to the exact
// repositories. entries have no claims left. named tells an empty list that the
// caller wrote from none at all.
func Narrow(role *Role, entries []Repository, asked []string, named bool) (Reach, error) {
	if !named {
		return all(role, entries)
	}
	if len(asked) == 0 {
		return Reach{}, fault.InvalidField("repositories", "is empty: none never means all; leave it out or name some")
	}
	var reach Reach
	for _, want := range asked {
		entry, name, err := find(role, entries, want)
		if err != nil {
			return Reach{}, err
		}
		if err := reach.add(entry.Account, name, spelled(entry, name)); err != nil {
			return Reach{}, err
		}
	}
	reach.Narrowed = len(reach.Names) < len(entries) || hasPattern(entries)
	return reach, nil
}

func all(role *Role, entries []Repository) (Reach, error) {
	var reach Reach
	for _, e := range entries {
		if e.IsPattern() {
			return Reach{}, fault.InvalidField("repositories", "%s allows by pattern (%s): name the repository, as in creds/%s/<repository>", role, e.Written, role.Name)
		}
		if err := reach.add(e.Account, e.Name, e.Written); err != nil {
			return Reach{}, err
		}
	}
	if len(reach.Names) == 0 {
		return Reach{}, fault.New(fault.Denied, "repositories: %s names none", role)
	}
	return reach, nil
}

// find gives the entry that allows want, and want's bare name.
func find(role *Role, entries []Repository, want string) (Repository, string, error) {
	account, name := "", want
	if i := strings.LastIndexByte(want, '/'); i >= 0 {
		account, name = want[:i], want[i+1:]
	}
	if glob.IsPattern(want) || !repositoryName.MatchString(name) || name == "." || name == ".." {
		return Repository{}, "", fault.InvalidField("repositories", "%q is not an exact repository: write name or account/name", want)
	}
	for _, e := range entries {
		if account != "" && !strings.EqualFold(account, e.Account) {
			continue
		}
		if strings.EqualFold(e.Name, name) {
			return e, e.Name, nil
		}
		if e.fits(name) {
			return e, name, nil
		}
	}
	return Repository{}, "", fault.New(fault.Denied, "repositories: %q is beyond %s; ask its owner (%s) to add it", want, role, role.Owner)
}

// spelled writes a repository as its role's entry does, with or without account.
func spelled(e Repository, name string) string {
	if !e.IsPattern() {
		return e.Written
	}
	if strings.Contains(e.Written, "/") {
		return e.Account + "/" + name
	}
	return name
}

func hasPattern(entries []Repository) bool {
	for _, e := range entries {
		if e.IsPattern() {
			return true
		}
	}
	return false
}

// FullName is a repository's name with its account, however it was written.
func FullName(account, written string) string {
	if strings.Contains(written, "/") {
		return written
	}
	return account + "/" + written
}

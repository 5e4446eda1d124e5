// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package giteatest

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Forgejo simulates the part of Forgejo 15 that Gitea does not have: tokens that
// are limited to repositories. It knows the calls that package gitea makes and is
// strict with them: a call or a field that it does not know is refused.
type Forgejo struct {
	// URL, Admin and Password are as in Server.
	URL      string
	Admin    string
	Password string

	// Version is what the server says it is.
	Version string
	// Deaf servers ignore which repositories a token shall be limited to.
	Deaf bool

	mu           sync.Mutex
	repositories map[string]bool
	accounts     map[string]*simulatedAccount
	lastID       int64
}

type simulatedAccount struct {
	Login         string `json:"login"`
	LoginName     string `json:"login_name"`
	SourceID      int64  `json:"source_id"`
	Description   string `json:"description"`
	IsAdmin       bool   `json:"is_admin"`
	Active        bool   `json:"active"`
	ProhibitLogin bool   `json:"prohibit_login"`
	Restricted    bool   `json:"restricted"`

	access map[string]string
	tokens []*simulatedToken
}

type simulatedToken struct {
	ID           int64                 `json:"id"`
	Name         string                `json:"name"`
	Secret       string                `json:"sha1,omitempty"`
	Scopes       []string              `json:"scopes"`
	Repositories []simulatedRepository `json:"repositories"`

	hash string
}

type simulatedRepository struct {
	Owner string `json:"owner"`
	Name  string `json:"name"`
}

// key is how both Gitea and Forgejo compare names of repositories.
func (r simulatedRepository) key() string { return strings.ToLower(r.Owner + "/" + r.Name) }

// NewForgejo starts a simulated Forgejo that ends with the test and has the given
// repositories, each owner/name.
func NewForgejo(t testing.TB, repositories ...string) *Forgejo {
	f := &Forgejo{
		Admin: admin, Password: random(), Version: "15.0.1+gitea-1.22.0",
		repositories: map[string]bool{}, accounts: map[string]*simulatedAccount{},
	}
	for _, repository := range repositories {
		f.repositories[strings.ToLower(repository)] = true
	}
	f.accounts[admin] = &simulatedAccount{Login: admin, IsAdmin: true, Active: true}
	server := httptest.NewServer(f.handler())
	t.Cleanup(server.Close)
	f.URL = server.URL
	return f
}

// Reaches reports whether a token lives and reaches a repository.
func (f *Forgejo) Reaches(secret, repository string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	repository = strings.ToLower(repository)
	for _, a := range f.accounts {
		for _, token := range a.tokens {
			if token.hash != secret || a.access[repository] == "" {
				continue
			}
			limited := token.Repositories != nil
			for _, r := range token.Repositories {
				if r.key() == repository {
					return true
				}
			}
			return !limited
		}
	}
	return false
}

// Live is the number of tokens that live.
func (f *Forgejo) Live() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	live := 0
	for _, a := range f.accounts {
		live += len(a.tokens)
	}
	return live
}

// Accounts are the names of all accounts, sorted.
func (f *Forgejo) Accounts() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Sorted(maps.Keys(f.accounts))
}

func (f *Forgejo) handler() http.Handler {
	mux := http.NewServeMux()
	for pattern, handle := range map[string]func(*http.Request) (int, any){
		"GET /version":                           f.getVersion,
		"GET /user":                              f.getUser,
		"GET /user/repos":                        f.listRepositories,
		"GET /users/{account}":                   f.getAccount,
		"GET /admin/users":                       f.listAccounts,
		"POST /admin/users":                      f.createAccount,
		"PATCH /admin/users/{account}":           f.editAccount,
		"DELETE /admin/users/{account}":          f.deleteAccount,
		"GET /users/{account}/tokens":            f.listTokens,
		"POST /users/{account}/tokens":           f.createToken,
		"DELETE /users/{account}/tokens/{token}": f.deleteToken,
		"PUT /repos/{owner}/{repository}/collaborators/{account}":    f.putCollaborator,
		"DELETE /repos/{owner}/{repository}/collaborators/{account}": f.deleteCollaborator,
	} {
		method, path, _ := strings.Cut(pattern, " ")
		mux.Handle(method+" /api/v1"+path, f.asAdmin(handle))
	}
	return mux
}

// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package giteatest

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// asAdmin answers the administrator and nobody else, one request at a time.
func (f *Forgejo) asAdmin(handle func(*http.Request) (int, any)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		defer f.mu.Unlock()
		status, answer := http.StatusUnauthorized, message("user does not exist or the password is wrong")
		if name, password, _ := r.BasicAuth(); name == f.Admin && password == f.Password {
			status, answer = handle(r)
		}
		if answer == nil {
			w.WriteHeader(status)
			return
		}
		w.Header().Set("Content-Type", "application/json;charset=utf-8")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(answer)
	})
}

func message(format string, args ...any) any {
	return map[string]string{"message": fmt.Sprintf(format, args...)}
}

func notFound() (int, any) { return http.StatusNotFound, message("not found") }

// decode reads a body that may hold the known fields and no others.
func decode(r *http.Request, into any) error {
	decoder := json.NewDecoder(r.Body)
	decoder.DisallowUnknownFields()
	return decoder.Decode(into)
}

// page is the part of a list that was asked for; everything is on the first one.
func page[T any](r *http.Request, list []T) []T {
	if p := r.FormValue("page"); p != "" && p != "1" || list == nil {
		return []T{}
	}
	return list
}

func (f *Forgejo) getVersion(*http.Request) (int, any) {
	return http.StatusOK, map[string]string{"version": f.Version}
}

func (f *Forgejo) getUser(*http.Request) (int, any) { return http.StatusOK, f.accounts[f.Admin] }

func (f *Forgejo) getAccount(r *http.Request) (int, any) {
	a := f.accounts[r.PathValue("account")]
	if a == nil {
		return notFound()
	}
	return http.StatusOK, a
}

func (f *Forgejo) listAccounts(r *http.Request) (int, any) {
	return http.StatusOK, page(r, slices.Collect(maps.Values(f.accounts)))
}

func (f *Forgejo) createAccount(r *http.Request) (int, any) {
	var in struct {
		Username   string `json:"username"`
		LoginName  string `json:"login_name"`
		SourceID   int64  `json:"source_id"`
		FullName   string `json:"full_name"`
		Email      string `json:"email"`
		Password   string `json:"password"`
		MustChange bool   `json:"must_change_password"`
		Restricted bool   `json:"restricted"`
		SendNotify bool   `json:"send_notify"`
	}
	if err := decode(r, &in); err != nil || in.Username == "" || in.Email == "" || len(in.Password) < 8 {
		return http.StatusUnprocessableEntity, message("bad account: %v", err)
	}
	if f.accounts[in.Username] != nil {
		return http.StatusUnprocessableEntity, message("user already exists [name: %s]", in.Username)
	}
	a := &simulatedAccount{
		Login: in.Username, LoginName: in.LoginName, SourceID: in.SourceID,
		Active: true, Restricted: in.Restricted, access: map[string]string{},
	}
	f.accounts[in.Username] = a
	return http.StatusCreated, a
}

func (f *Forgejo) editAccount(r *http.Request) (int, any) {
	var in struct {
		LoginName   string  `json:"login_name"`
		SourceID    int64   `json:"source_id"`
		Password    string  `json:"password"`
		MustChange  *bool   `json:"must_change_password"`
		Restricted  *bool   `json:"restricted"`
		Admin       *bool   `json:"admin"`
		MaxRepos    *int    `json:"max_repo_creation"`
		MakeOrgs    *bool   `json:"allow_create_organization"`
		GitHook     *bool   `json:"allow_git_hook"`
		ImportLocal *bool   `json:"allow_import_local"`
		Description *string `json:"description"`
	}
	a := f.accounts[r.PathValue("account")]
	if a == nil {
		return notFound()
	}
	if err := decode(r, &in); err != nil || in.LoginName == "" {
		return http.StatusUnprocessableEntity, message("bad edit: %v", err)
	}
	a.LoginName, a.SourceID = in.LoginName, in.SourceID
	set(&a.Restricted, in.Restricted)
	set(&a.IsAdmin, in.Admin)
	set(&a.Description, in.Description)
	if in.Password != "" && a.Login == f.Admin {
		f.Password = in.Password
	}
	return http.StatusOK, a
}

// set changes what an edit speaks of.
func set[T any](field, value *T) {
	if value != nil {
		*field = *value
	}
}

func (f *Forgejo) deleteAccount(r *http.Request) (int, any) {
	if f.accounts[r.PathValue("account")] == nil {
		return notFound()
	}
	delete(f.accounts, r.PathValue("account"))
	return http.StatusNoContent, nil
}

func (f *Forgejo) listRepositories(r *http.Request) (int, any) {
	a := f.accounts[r.Header.Get("Sudo")]
	if a == nil {
		return notFound()
	}
	var list []any
	for key, level := range a.access {
		owner, name, _ := strings.Cut(key, "/")
		list = append(list, map[string]any{
			"name": name, "owner": map[string]string{"login": owner},
			"permissions": map[string]bool{"admin": level == "admin", "push": level != "read", "pull": true},
		})
	}
	return http.StatusOK, page(r, list)
}

func (f *Forgejo) putCollaborator(r *http.Request) (int, any) {
	var in struct {
		Permission string `json:"permission"`
	}
	repository := simulatedRepository{Owner: r.PathValue("owner"), Name: r.PathValue("repository")}
	a := f.accounts[r.PathValue("account")]
	if a == nil || !f.repositories[repository.key()] {
		return notFound()
	}
	if err := decode(r, &in); err != nil || !slices.Contains([]string{"read", "write", "admin"}, in.Permission) {
		return http.StatusUnprocessableEntity, message("bad permission: %v", err)
	}
	a.access[repository.key()] = in.Permission
	return http.StatusNoContent, nil
}

func (f *Forgejo) deleteCollaborator(r *http.Request) (int, any) {
	repository := simulatedRepository{Owner: r.PathValue("owner"), Name: r.PathValue("repository")}
	a := f.accounts[r.PathValue("account")]
	if a == nil || !f.repositories[repository.key()] {
		return notFound()
	}
	delete(a.access, repository.key())
	return http.StatusNoContent, nil
}

func (f *Forgejo) listTokens(r *http.Request) (int, any) {
	a := f.accounts[r.PathValue("account")]
	if a == nil {
		return notFound()
	}
	return http.StatusOK, page(r, a.tokens)
}

func (f *Forgejo) createToken(r *http.Request) (int, any) {
	var in struct {
		Name         string                `json:"name"`
		Scopes       []string              `json:"scopes"`
		Repositories []simulatedRepository `json:"repositories"`
	}
	a := f.accounts[r.PathValue("account")]
	if a == nil {
		return notFound()
	}
	if err := decode(r, &in); err != nil || in.Name == "" || len(in.Scopes) == 0 {
		return http.StatusBadRequest, message("bad token: %v", err)
	}
	if slices.ContainsFunc(a.tokens, func(t *simulatedToken) bool { return t.Name == in.Name }) {
		return http.StatusBadRequest, message("access token name has been used already")
	}
	for _, repository := range in.Repositories {
		if a.access[repository.key()] == "" {
			return http.StatusBadRequest, message("repository %s/%s does not exist", repository.Owner, repository.Name)
		}
	}
	if f.Deaf {
		in.Repositories = nil
	}
	f.lastID++
	token := &simulatedToken{ID: f.lastID, Name: in.Name, Scopes: in.Scopes, Repositories: in.Repositories, hash: random()}
	a.tokens = append(a.tokens, token)
	answer := *token
	answer.Secret = token.hash
	return http.StatusCreated, answer
}

func (f *Forgejo) deleteToken(r *http.Request) (int, any) {
	a := f.accounts[r.PathValue("account")]
	if a == nil {
		return notFound()
	}
	id, err := strconv.ParseInt(r.PathValue("token"), 10, 64)
	before := len(a.tokens)
	a.tokens = slices.DeleteFunc(a.tokens, func(t *simulatedToken) bool { return t.ID == id })
	if err != nil || len(a.tokens) == before {
		return notFound()
	}
	return http.StatusNoContent, nil
}

// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package githubtest

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"
)

// object is a JSON object.
type object = map[string]any

// repository is a repository and how GitHub shows it.
type repository struct {
	id    int64
	owner string // login, as the account spells it
	name  string
	// json is the object that lists and mint answers hold, rendered once: a mint
	// shows it for each repository, and it is large.
	json func() []byte
	// bare is the path of the bare git repository, made when first asked for.
	bare func() (string, error)
}

func (r *repository) fullName() string { return r.owner + "/" + r.name }

func newRepository(s *Simulator, id int64, owner *account, name string) *repository {
	r := &repository{id: id, owner: owner.login, name: name}
	created := s.now()
	r.json = sync.OnceValue(func() []byte { return r.render(s.repositoryObject(r, owner, created)) })
	r.bare = sync.OnceValues(func() (string, error) { return s.git.create(r.owner, r.name) })
	return r
}

// render writes the names first, as GitHub does.
func (r *repository) render(rest object) []byte {
	names := struct {
		ID       int64  `json:"id"`
		NodeID   string `json:"node_id"`
		Name     string `json:"name"`
		FullName string `json:"full_name"`
	}{r.id, nodeID("R", r.id), r.name, r.fullName()}
	head := mustJSON(names)
	return append(append(head[:len(head)-1], ','), mustJSON(rest)[1:]...)
}

// repositoryAddresses are the addresses that a repository object lists, below its
// own: name=path.
const repositoryAddresses = `
archive_url=/{archive_format}{/ref}
assignees_url=/assignees{/user}
blobs_url=/git/blobs{/sha}
branches_url=/branches{/branch}
collaborators_url=/collaborators{/collaborator}
comments_url=/comments{/number}
commits_url=/commits{/sha}
compare_url=/compare/{base}...{head}
contents_url=/contents/{+path}
contributors_url=/contributors
deployments_url=/deployments
downloads_url=/downloads
events_url=/events
forks_url=/forks
git_commits_url=/git/commits{/sha}
git_refs_url=/git/refs{/sha}
git_tags_url=/git/tags{/sha}
hooks_url=/hooks
issue_comment_url=/issues/comments{/number}
issue_events_url=/issues/events{/number}
issues_url=/issues{/number}
keys_url=/keys{/key_id}
labels_url=/labels{/name}
languages_url=/languages
merges_url=/merges
milestones_url=/milestones{/number}
notifications_url=/notifications{?since,all,participating}
pulls_url=/pulls{/number}
releases_url=/releases{/id}
stargazers_url=/stargazers
statuses_url=/statuses/{sha}
subscribers_url=/subscribers
subscription_url=/subscription
tags_url=/tags
teams_url=/teams
trees_url=/git/trees{/sha}`

func (s *Simulator) repositoryObject(r *repository, owner *account, created time.Time) object {
	url, html := s.URL()+"/repos/"+r.fullName(), s.base+"/"+r.fullName()
	o := object{
		"owner": s.accountObject(owner), "private": true, "visibility": "private",
		"html_url": html, "url": url, "clone_url": html + ".git", "svn_url": html,
		"git_url": "git://" + strings.TrimPrefix(html, "http://") + ".git", "ssh_url": "git@github.com:" + r.fullName() + ".git",
		"mirror_url": nil, "homepage": nil, "language": "Go", "fork": false, "default_branch": "main",
		"description": "What " + r.name + " is, where it runs, who looks after it, how a change gets from a pull request to production, " +
			"and what to do when it does not: whom to call, where its dashboards are, and how to go back to the version before",
		"topics": []string{"continuous-integration", "deployment", "identity", "service"},
		"size":   108, "archived": false, "disabled": false, "is_template": false, "template_repository": nil,
		"forks": 0, "forks_count": 0, "stargazers_count": 0, "watchers": 0, "watchers_count": 0,
		"open_issues": 0, "open_issues_count": 0, "has_issues": true, "has_projects": true, "has_wiki": false,
		"has_pages": false, "has_downloads": true, "has_discussions": false, "allow_forking": false,
		"has_pull_requests": true, "pull_request_creation_policy": "all", "allow_auto_merge": false, "allow_merge_commit": true,
		"allow_rebase_merge": true, "allow_squash_merge": true, "allow_update_branch": false, "delete_branch_on_merge": true,
		"use_squash_pr_title_as_default": false, "squash_merge_commit_title": "COMMIT_OR_PR_TITLE",
		"squash_merge_commit_message": "COMMIT_MESSAGES", "merge_commit_title": "MERGE_MESSAGE", "merge_commit_message": "PR_TITLE",
		"web_commit_signoff_required": false, "created_at": stamp(created), "updated_at": stamp(created), "pushed_at": stamp(created),
		"license": object{
			"key": "mpl-2.0", "name": "Mozilla Public License 2.0", "spdx_id": "MPL-2.0",
			"url": s.URL() + "/licenses/mpl-2.0", "node_id": "MDc6TGljZW5zZTE0",
		},
		"permissions": object{"admin": false, "maintain": false, "push": false, "triage": false, "pull": false},
	}
	for line := range strings.Lines(strings.TrimSpace(repositoryAddresses)) {
		name, path, _ := strings.Cut(strings.TrimSpace(line), "=")
		o[name] = url + path
	}
	return o
}

func (s *Simulator) accountObject(a *account) object {
	url := s.URL() + "/users/" + a.login
	return object{
		"login": a.login, "id": a.id, "node_id": nodeID("U", a.id), "gravatar_id": "", "site_admin": false,
		"type": a.kind(), "url": url, "html_url": s.base + "/" + a.login,
		"avatar_url":    fmt.Sprintf("https://avatars.githubusercontent.com/u/%d?v=4", a.id),
		"followers_url": url + "/followers", "following_url": url + "/following{/other_user}",
		"gists_url": url + "/gists{/gist_id}", "starred_url": url + "/starred{/owner}{/repo}",
		"subscriptions_url": url + "/subscriptions", "organizations_url": url + "/orgs", "repos_url": url + "/repos",
		"events_url": url + "/events{/privacy}", "received_events_url": url + "/received_events",
	}
}

// botObject is the account in whose name an App acts.
func (s *Simulator) botObject(app *App) object {
	o := s.accountObject(&account{id: app.ID, login: app.Slug + "[bot]", user: true})
	o["type"] = "Bot"
	return o
}

func (s *Simulator) appObject(app *App, installations int) object {
	return object{
		"id": app.ID, "client_id": app.ClientID, "slug": app.Slug, "node_id": nodeID("A", app.ID), "name": app.Slug,
		"owner":       s.accountObject(&account{id: 1, login: "app-owner"}),
		"description": nil, "external_url": s.base, "html_url": s.base + "/apps/" + app.Slug,
		"created_at": "2024-01-01T00:00:00Z", "updated_at": "2024-01-01T00:00:00Z",
		"permissions": app.Permissions, "events": []string{}, "installations_count": installations,
	}
}

func (s *Simulator) installationObject(app *App, in *installation) object {
	url := fmt.Sprintf("%s/app/installations/%d", s.URL(), in.ID)
	o := object{
		"id": in.ID, "client_id": app.ClientID, "app_id": app.ID, "app_slug": app.Slug,
		"account": s.accountObject(in.account), "target_id": in.account.id, "target_type": in.account.kind(),
		"repository_selection": in.selection(), "permissions": in.Permissions, "events": []string{},
		"access_tokens_url": url + "/access_tokens", "repositories_url": s.URL() + "/installation/repositories",
		"html_url":   fmt.Sprintf("%s/organizations/%s/settings/installations/%d", s.base, in.Account, in.ID),
		"created_at": stamp(in.createdAt), "updated_at": stamp(in.createdAt),
		"single_file_name": nil, "has_multiple_single_files": false, "single_file_paths": []string{},
		"suspended_at": nil, "suspended_by": nil,
	}
	if !in.suspendedAt.IsZero() {
		o["suspended_at"], o["suspended_by"] = stamp(in.suspendedAt), s.accountObject(in.account)
	}
	return o
}

func nodeID(kind string, id int64) string { return fmt.Sprintf("%s_kgDO%08d", kind, id) }

// stamp writes a time as GitHub does: UTC, whole seconds.
func stamp(t time.Time) string { return t.UTC().Truncate(time.Second).Format(time.RFC3339) }

// mustJSON encodes values of our own making, which always encode.
func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package githubtest

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

type minted struct {
	Token        string
	ExpiresAt    time.Time `json:"expires_at"`
	Permissions  map[string]string
	Selection    string `json:"repository_selection"`
	Repositories []json.RawMessage
}

func (m minted) names(t testing.TB) []string {
	var names []string
	for _, raw := range m.Repositories {
		var r struct{ Name string }
		require.NoError(t, json.Unmarshal(raw, &r))
		names = append(names, r.Name)
	}
	return names
}

func TestMint(t *testing.T) {
	everything := maps.Clone(testPermissions)
	everything["metadata"] = "read"
	for name, test := range map[string]struct {
		request      any
		all          bool
		permissions  map[string]string
		selection    string
		repositories []string
	}{
		"nothing asked is everything": {nil, false, everything, "selected", nil},
		"nothing asked, all selected": {nil, true, everything, "all", nil},
		"empty lists are everything": {
			map[string]any{"repositories": []string{}, "permissions": map[string]string{}}, true, everything, "all", nil,
		},
		"one of each": {want("web", "contents", "read"), false, map[string]string{"contents": "read", "metadata": "read"}, "selected", []string{"web"}},
		"in any case, once": {
			map[string]any{"repositories": []string{"API", "web", "Web"}}, true, everything, "selected", []string{"api", "web"},
		},
		"a permission that is new": {want("web", "something_new", "read"), false, map[string]string{"something_new": "read", "metadata": "read"}, "selected", []string{"web"}},
		"write holds read":         {want("api", "statuses", "read"), false, map[string]string{"statuses": "read", "metadata": "read"}, "selected", []string{"api"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, Options{Validate: true})
			if test.all {
				s.SelectRepositories(s.installation.ID)
			}
			r := s.asApp("POST", s.mintPath(), test.request)
			require.Equal(t, http.StatusCreated, r.status, "%s", r.body)
			var got minted
			require.NoError(t, json.Unmarshal(r.body, &got))
			require.Equal(t, test.permissions, got.Permissions)
			require.Equal(t, test.selection, got.Selection)
			require.Equal(t, test.repositories, got.names(t))
			require.True(t, got.ExpiresAt.Equal(s.clock.Now().Add(time.Hour)))
			for _, object := range got.Repositories {
				require.InDelta(t, 6000, len(object), 1000, "the size of a repository object")
			}
			require.Equal(t, 1, s.Live())
			require.Equal(t, Live, s.StateOf(got.Token))
			require.Equal(t, test.repositories, s.Tokens()[0].Repositories)
			require.Equal(t, test.permissions, s.Tokens()[0].Permissions)
		})
	}
}

func TestMintByID(t *testing.T) {
	s := start(t, Options{Validate: true})
	api := s.world.find("acme", "api")
	r := s.asApp("POST", s.mintPath(), map[string]any{"repository_ids": []int64{api.id}})
	require.Equal(t, http.StatusCreated, r.status)
	require.Equal(t, []string{"api"}, s.Tokens()[0].Repositories)
	hidden := s.world.find("acme", "hidden")
	r = s.asApp("POST", s.mintPath(), map[string]any{"repository_ids": []int64{api.id, hidden.id}})
	require.Equal(t, http.StatusUnprocessableEntity, r.status)
	require.Equal(t, msgRepository, r.message())
}

func TestMintRefusals(t *testing.T) {
	s := start(t, Options{Validate: true})
	s.SetPermissions(s.installation.ID, map[string]string{"contents": "read", "statuses": "write"})
	suspended := s.AddInstallation(Installation{AppID: s.app.ID, Account: "asleep"})
	s.Suspend(suspended.ID)
	gone := s.AddInstallation(Installation{AppID: s.app.ID, Account: "gone"})
	s.Uninstall(gone.ID)
	many := make([]string, 501)
	for i := range many {
		many[i] = fmt.Sprintf("r%d", i)
	}
	of := func(id int64) string { return fmt.Sprintf("/app/installations/%d/access_tokens", id) }

	for name, test := range map[string]struct {
		path    string
		request any
		status  int
		message string
	}{
		"owner/repo":                        {s.mintPath(), want("acme/web"), 422, msgRepository},
		"not selected":                      {s.mintPath(), want("hidden"), 422, msgRepository},
		"an unknown repository":             {s.mintPath(), want("none"), 422, msgRepository},
		"a good one and an unknown":         {s.mintPath(), map[string]any{"repositories": []string{"web", "none"}}, 422, msgRepository},
		"more than 500":                     {s.mintPath(), map[string]any{"repositories": many}, 422, msgTooMany},
		"a level above":                     {s.mintPath(), want("web", "contents", "write"), 422, msgPermission},
		"the App has it, the account not":   {s.mintPath(), want("web", "deployments", "read"), 422, msgPermission},
		"a permission that nobody has":      {s.mintPath(), want("web", "secrets", "read"), 422, msgPermission},
		"a suspended installation":          {of(suspended.ID), nil, 403, msgSuspended},
		"an uninstalled one":                {of(gone.ID), nil, 404, msgNotFound},
		"one that never was":                {of(7), nil, 404, msgNotFound},
		"broken JSON":                       {s.mintPath(), `{"repositories": [`, 400, "Problems parsing JSON"},
		"a list that is none":               {s.mintPath(), `{"repositories": "web"}`, 422, "Invalid request.\n\nFor 'properties/repositories', string is not of the right type."},
		"a level that there is not for any": {s.mintPath(), want("web", "contents", "owner"), 422, msgPermission},
	} {
		t.Run(name, func(t *testing.T) {
			r := s.asApp("POST", test.path, test.request)
			require.Equal(t, test.status, r.status, "%s", r.body)
			require.Equal(t, test.message, r.message())
		})
	}
	require.Empty(t, s.Tokens())
	// The three last requests are not what GitHub describes.
	require.Len(t, s.Violations(), 3)
}

func TestMintNeedsTheApp(t *testing.T) {
	s := start(t, Options{Validate: true})
	require.Equal(t, http.StatusUnauthorized, s.do("POST", s.mintPath(), "", nil).status)
	require.Equal(t, http.StatusUnauthorized, s.asToken(s.token(nil), "POST", s.mintPath(), nil).status)
	_, foreign := s.Install("other", nil, "web")
	path := fmt.Sprintf("/app/installations/%d/access_tokens", foreign.ID)
	require.Equal(t, http.StatusNotFound, s.asApp("POST", path, nil).status)
}

func TestMintMore(t *testing.T) {
	for name, test := range map[string]struct {
		excess       Excess
		permissions  map[string]string
		selection    string
		repositories []string
	}{
		"permissions":  {Excess{Permissions: map[string]string{"administration": "write"}}, map[string]string{"contents": "read", "metadata": "read", "administration": "write"}, "selected", []string{"web"}},
		"a level":      {Excess{Permissions: map[string]string{"contents": "write"}}, map[string]string{"contents": "write", "metadata": "read"}, "selected", []string{"web"}},
		"repositories": {Excess{Repositories: []string{"hidden"}}, map[string]string{"contents": "read", "metadata": "read"}, "selected", []string{"web", "hidden"}},
		"all":          {Excess{AllRepositories: true}, map[string]string{"contents": "read", "metadata": "read"}, "all", nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, Options{Validate: true})
			s.Inject(Fault{Match: accessTokens, Times: 1, Excess: &test.excess})
			var got minted
			r := s.asApp("POST", s.mintPath(), want("web", "contents", "read"))
			require.NoError(t, json.Unmarshal(r.body, &got))
			require.Equal(t, test.permissions, got.Permissions)
			require.Equal(t, test.selection, got.Selection)
			require.Equal(t, test.repositories, got.names(t))
			// What it says it can, it can.
			for _, name := range test.repositories {
				require.Equal(t, http.StatusOK, s.asToken(got.Token, "GET", "/repos/acme/"+name, nil).status)
			}
			if test.repositories == nil {
				require.Equal(t, http.StatusOK, s.asToken(got.Token, "GET", "/repos/acme/hidden", nil).status)
			}
			r = s.asApp("POST", s.mintPath(), want("web", "contents", "read"))
			require.Equal(t, map[string]any{"contents": "read", "metadata": "read"}, r.object(t)["permissions"])
		})
	}
}

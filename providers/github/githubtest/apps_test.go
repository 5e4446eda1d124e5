// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package githubtest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestLookups(t *testing.T) {
	s := start(t, Options{Validate: true})
	s.AddUser("Mona")
	s.AddRepositories("Mona", "dotfiles")
	user := s.AddInstallation(Installation{AppID: s.app.ID, Account: "Mona"})
	stranger, foreign := s.Install("other", nil, "web")
	require.NotEqual(t, s.app.ID, stranger.ID)
	organization := s.installation.ID

	for path, id := range map[string]int64{
		fmt.Sprintf("/app/installations/%d", organization): organization,
		fmt.Sprintf("/app/installations/%d", user.ID):      user.ID,
		fmt.Sprintf("/app/installations/%d", foreign.ID):   0,
		"/app/installations/7":                             0,
		"/repos/Acme/web/installation":                     organization,
		"/repos/aCME/WEB/installation":                     organization,
		"/repos/acme/hidden/installation":                  0, // not selected
		"/repos/acme/none/installation":                    0,
		"/repos/mona/dotfiles/installation":                user.ID,
		"/repos/other/web/installation":                    0,
		"/orgs/ACME/installation":                          organization,
		"/orgs/mona/installation":                          0, // a person's
		"/orgs/nobody/installation":                        0,
		"/users/MONA/installation":                         user.ID,
		"/users/acme/installation":                         organization,
		"/users/nobody/installation":                       0,
	} {
		t.Run(path, func(t *testing.T) {
			r := s.asApp("GET", path, nil)
			if id == 0 {
				require.Equal(t, http.StatusNotFound, r.status, "%s", r.body)
				require.Equal(t, msgNotFound, r.message())
				return
			}
			require.Equal(t, http.StatusOK, r.status, "%s", r.body)
			require.EqualValues(t, id, r.object(t)["id"])
		})
	}
}

func TestInstallationObject(t *testing.T) {
	s := start(t, Options{Validate: true})
	path := fmt.Sprintf("/app/installations/%d", s.installation.ID)
	shown := s.asApp("GET", path, nil).object(t)
	require.Equal(t, "selected", shown["repository_selection"])
	require.Equal(t, "Organization", shown["target_type"])
	require.Nil(t, shown["suspended_at"])
	require.Equal(t, map[string]any{
		"contents": "write", "statuses": "write", "deployments": "write", "packages": "read",
		"something_new": "read", "metadata": "read",
	}, shown["permissions"])

	s.SelectRepositories(s.installation.ID)
	s.SetPermissions(s.installation.ID, map[string]string{"contents": "read"})
	require.Equal(t, http.StatusNoContent, s.asApp("PUT", path+"/suspended", nil).status)
	shown = s.asApp("GET", path, nil).object(t)
	require.Equal(t, "all", shown["repository_selection"])
	require.Equal(t, map[string]any{"contents": "read", "metadata": "read"}, shown["permissions"])
	require.Equal(t, stamp(s.clock.Now()), shown["suspended_at"])

	require.Equal(t, http.StatusNoContent, s.asApp("DELETE", path+"/suspended", nil).status)
	require.Nil(t, s.asApp("GET", path, nil).object(t)["suspended_at"])
	for _, method := range []string{"PUT", "DELETE"} {
		require.Equal(t, http.StatusNotFound, s.asApp(method, "/app/installations/7/suspended", nil).status)
	}
}

func TestInstallationPages(t *testing.T) {
	s := start(t, Options{Validate: true})
	for i := range 104 { // 105 with the one of acme
		s.AddInstallation(Installation{AppID: s.app.ID, Account: fmt.Sprintf("account-%d", i)})
	}
	next := regexp.MustCompile(`<([^>]+)>; rel="next"`)
	for query, sizes := range map[string][]int{
		"":              {30, 30, 30, 15},
		"?per_page=100": {100, 5},
		"?per_page=500": {100, 5},
		"?per_page=105": {100, 5},
		"?page=9":       {0},
	} {
		t.Run(query, func(t *testing.T) {
			var got []int
			for path := "/app/installations" + query; path != ""; {
				r := s.asApp("GET", path, nil)
				require.Equal(t, http.StatusOK, r.status)
				var list []map[string]any
				require.NoError(t, json.Unmarshal(r.body, &list))
				got = append(got, len(list))
				path = ""
				if link := next.FindStringSubmatch(r.header.Get("Link")); link != nil {
					path = link[1][len(s.URL()):]
				}
			}
			require.Equal(t, sizes, got)
		})
	}
}

func TestGetApp(t *testing.T) {
	s := start(t, Options{Validate: true})
	shown := s.asApp("GET", "/app", nil).object(t)
	require.EqualValues(t, s.app.ID, shown["id"])
	require.Equal(t, s.app.ClientID, shown["client_id"])
	require.EqualValues(t, 1, shown["installations_count"])
}

// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package githubtest

import (
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"strings"
)

// getApp shows the App itself.
func (s *Simulator) getApp(c *call) *answer {
	return respond(http.StatusOK, s.appObject(c.app, len(s.world.installationsOf(c.app.ID))))
}

// installation is the one that the path names, if it is the App's.
func (s *Simulator) installation(c *call) *installation {
	id, err := strconv.ParseInt(c.r.PathValue("installation_id"), 10, 64)
	if err != nil {
		return nil
	}
	if in := s.world.installation(id); in != nil && in.AppID == c.app.ID {
		return in
	}
	return nil
}

func (s *Simulator) listInstallations(c *call) *answer {
	list := []object{}
	for _, in := range paginate(s, c, s.world.installationsOf(c.app.ID)) {
		shown := s.installationObject(c.app, in)
		// The description wants an account in this list, and only here, to be a user
		// and an enterprise in one.
		maps.Copy(shown["account"].(object), object{
			"name": in.account.login, "slug": fold(in.account.login), "created_at": nil, "updated_at": nil,
		})
		list = append(list, shown)
	}
	return respond(http.StatusOK, list)
}

func (s *Simulator) getInstallation(c *call) *answer { return s.show(c, s.installation(c)) }

// show answers with an installation, or 404 where there is none.
func (s *Simulator) show(c *call, in *installation) *answer {
	if in == nil {
		return notFound()
	}
	return respond(http.StatusOK, s.installationObject(c.app, in))
}

// repositoryInstallation needs the repository to be one that the App can reach.
func (s *Simulator) repositoryInstallation(c *call) *answer {
	in := s.world.installedOn(c.app.ID, c.r.PathValue("owner"))
	if in != nil && s.world.repository(in, c.r.PathValue("repo")) == nil {
		in = nil
	}
	return s.show(c, in)
}

func (s *Simulator) organizationInstallation(c *call) *answer {
	in := s.world.installedOn(c.app.ID, c.r.PathValue("org"))
	if in != nil && in.account.user {
		in = nil
	}
	return s.show(c, in)
}

// userInstallation finds organisations too, as GitHub does.
func (s *Simulator) userInstallation(c *call) *answer {
	return s.show(c, s.world.installedOn(c.app.ID, c.r.PathValue("username")))
}

func (s *Simulator) suspend(c *call) *answer {
	in := s.installation(c)
	if in == nil {
		return notFound()
	}
	s.Suspend(in.ID)
	return &answer{status: http.StatusNoContent}
}

func (s *Simulator) unsuspend(c *call) *answer {
	in := s.installation(c)
	if in == nil {
		return notFound()
	}
	s.Unsuspend(in.ID)
	return &answer{status: http.StatusNoContent}
}

const (
	defaultPage = 30
	maxPage     = 100
)

// paginate cuts the page out of a list that the request asks for, and links to
// the others.
func paginate[T any](s *Simulator, c *call, list []T) []T {
	query := c.r.URL.Query()
	size, err := strconv.Atoi(query.Get("per_page"))
	if err != nil || size < 1 {
		size = defaultPage
	}
	size = min(size, maxPage)
	page, err := strconv.Atoi(query.Get("page"))
	if err != nil || page < 1 {
		page = 1
	}
	last := max(1, (len(list)+size-1)/size)
	var links []string
	link := func(rel string, n int) {
		query.Set("page", strconv.Itoa(n))
		links = append(links, fmt.Sprintf(`<%s%s?%s>; rel="%s"`, s.URL(), c.r.URL.Path, query.Encode(), rel))
	}
	if page > 1 {
		link("prev", min(page-1, last))
	}
	if page < last {
		link("next", page+1)
		link("last", last)
	}
	if page > 1 {
		link("first", 1)
	}
	if len(links) > 0 {
		c.header.Set("Link", strings.Join(links, ", "))
	}
	from := min((page-1)*size, len(list))
	return list[from:min(from+size, len(list))]
}

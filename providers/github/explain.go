// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package github

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

const (
	// maxAsked bounds the repositories that are asked for one by one when GitHub
	// says that one of them is missing but not which.
	maxAsked = 20
	// askedAtOnce are so few because GitHub counts requests at once.
	askedAtOnce = 5
)

// explain turns GitHub's no to a token request into a fault that says what is
// missing and who can change it.
func (c *connection) explain(ctx context.Context, id int64, g providers.Grant, err error) error {
	switch status := statusOf(err); {
	case isAbsent(err):
		return errGone
	case status == http.StatusForbidden || status == http.StatusUnprocessableEntity:
	default:
		return c.asFault("make a token", err)
	}
	in, lookupErr := c.installationByID(ctx, strconv.FormatInt(id, 10))
	switch {
	case statusOf(lookupErr) == http.StatusNotFound:
		return errGone
	case lookupErr != nil:
		// GitHub's own words are less clear, but they are an answer.
		return fault.New(fault.Refused, "github: make a token: %s", err)
	case in.SuspendedAt != nil:
		return in.suspended()
	case !strings.EqualFold(in.Account.Login, g.Account):
		return errForeign
	}
	if missing := lacking(in.Permissions, g.Permissions); len(missing) > 0 {
		return c.lackingPermissions(ctx, in, missing)
	}
	if missing := c.lackingRepositories(ctx, in.ID, g); len(missing) > 0 {
		return fault.New(fault.Refused, "github: %s: does not exist, or is not among the repositories that the App was given: an owner of %s selects it at %s",
			strings.Join(missing, ", "), in.Account.Login, in.settings())
	}
	return fault.New(fault.Refused, "github: make a token: %s; what the App may do on %s is at %s", err, in.Account.Login, in.settings())
}

// lacking are those of the wanted permissions that are not held.
func lacking(held map[string]string, wanted []providers.Permission) []providers.Permission {
	return slices.DeleteFunc(slices.Clone(wanted), func(p providers.Permission) bool {
		return providers.Level(held[p.Resource]).Allows(p.Level)
	})
}

// lackingPermissions says whether the App does not ask for a permission or an
// owner has not accepted it yet.
func (c *connection) lackingPermissions(ctx context.Context, in *installation, missing []providers.Permission) error {
	list := make([]string, len(missing))
	for i, p := range missing {
		list[i] = p.String()
		if level := in.Permissions[p.Resource]; level != "" {
			list[i] += " (has " + level + ")"
		}
	}
	what := strings.Join(list, ", ")
	asks := "the App must ask for it in its own settings, then "
	if found, err := c.describeApp(ctx); err == nil && len(lacking(found.Permissions, missing)) == 0 {
		asks = "the App asks for it already; "
	}
	return fault.New(fault.Refused, "github: the App's installation on %s lacks %s: %san owner of %s accepts it at %s",
		in.Account.Login, what, asks, in.Account.Login, in.settings())
}

// lackingRepositories asks which repositories the installation does not have.
func (c *connection) lackingRepositories(ctx context.Context, id int64, g providers.Grant) []string {
	asked := g.Repositories[:min(len(g.Repositories), maxAsked)]
	absent := make([]bool, len(asked))
	var group errgroup.Group
	group.SetLimit(askedAtOnce)
	for i, name := range asked {
		group.Go(func() error {
			var in installation
			err := c.get(ctx, "repos/"+url.PathEscape(g.Account)+"/"+url.PathEscape(name)+"/installation", &in)
			absent[i] = isAbsent(err) || err == nil && in.ID != id
			return nil
		})
	}
	_ = group.Wait() // a question that got no answer names nothing
	var missing []string
	for i, name := range asked {
		if absent[i] {
			missing = append(missing, g.Account+"/"+name)
		}
	}
	return missing
}

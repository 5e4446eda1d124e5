// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package github

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

// maxRepositories is GitHub's limit for one token.
const maxRepositories = 500

var (
	appIDForm      = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`)
	accountForm    = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$`)
	repositoryForm = regexp.MustCompile(`^[A-Za-z0-9._-]{1,100}$`)
	digits         = regexp.MustCompile(`^[1-9][0-9]{0,18}$`)
)

// connection is one App at one GitHub.
type connection struct {
	base          string
	appID         string
	organization  string
	installation  string
	client        *client
	signer        *signer
	installations *installations
	now           func() time.Time
	// pauses are the waits between tries to revoke a token that GitHub does not
	// know yet.
	pauses []time.Duration
	// retries are the waits between tries to kill a token that came to nothing.
	retries []time.Duration
}

var _ providers.Connection = (*connection)(nil)

func connect(s providers.Settings) (providers.Connection, error) {
	c, err := newConnection(s)
	if err != nil {
		return nil, err
	}
	return c, nil
}

func newConnection(s providers.Settings) (*connection, error) {
	base, err := apiURL(s.BaseURL)
	if err != nil {
		return nil, err
	}
	parsed, err := url.Parse(base + "/")
	if err != nil {
		return nil, fault.InvalidField("base_url", "is not a URL")
	}
	value := func(name string) string { return strings.TrimSpace(s.Values[name]) }
	c := &connection{
		base: base, now: s.Now,
		appID: value(fieldAppID), organization: value(fieldOrganization), installation: value(fieldInstallation),
		pauses:  []time.Duration{200 * time.Millisecond, 400 * time.Millisecond, 800 * time.Millisecond, 1200 * time.Millisecond, 1500 * time.Millisecond},
		retries: []time.Duration{time.Second, 5 * time.Second, time.Minute, 5 * time.Minute},
	}
	if err := c.checkFields(); err != nil {
		return nil, err
	}
	key, err := parseKey(s.Values[fieldPrivateKey])
	if err != nil {
		return nil, err
	}
	c.client = &client{http: s.Client, base: parsed, now: s.Now}
	c.signer = &signer{issuer: c.appID, key: key, now: s.Now}
	c.installations = newInstallations(c.findInstallation, s.Now)
	return c, nil
}

func (c *connection) checkFields() error {
	switch {
	case !appIDForm.MatchString(c.appID):
		return fault.InvalidField(fieldAppID, "must be the App ID (digits) or the client ID (such as Iv23li...) of the GitHub App")
	case c.organization != "" && !accountForm.MatchString(c.organization):
		return fault.InvalidField(fieldOrganization, "must be an account's name as in its address: letters, digits and -")
	case c.installation != "" && !digits.MatchString(c.installation):
		return fault.InvalidField(fieldInstallation, "must be digits: the last part of the installation's address")
	}
	return nil
}

// BaseURL is the API's address.
func (c *connection) BaseURL() string { return c.base }

// app is what GitHub says of an App.
type app struct {
	ID          int64             `json:"id"`
	Slug        string            `json:"slug"`
	Permissions map[string]string `json:"permissions"`
}

// Verify proves that GitHub knows the App and its key and, where the config names
// one, its installation.
func (c *connection) Verify(ctx context.Context) error {
	found, err := c.describeApp(ctx)
	if err != nil || c.installation == "" {
		return err
	}
	in, err := c.installationByID(ctx, c.installation)
	switch {
	case statusOf(err) == http.StatusNotFound:
		return fault.New(fault.Refused, "%s: the App %s has no installation %s", fieldInstallation, found.Slug, c.installation)
	case err != nil:
		return c.asFault("read the installation", err)
	case in.SuspendedAt != nil:
		return in.suspended()
	case c.organization != "" && !strings.EqualFold(in.Account.Login, c.organization):
		return fault.New(fault.Refused, "%s: installation %s is on %s, not on %s", fieldInstallation, c.installation, in.Account.Login, c.organization)
	}
	return nil
}

func (c *connection) describeApp(ctx context.Context) (*app, error) {
	var found app
	if err := c.get(ctx, "app", &found); err != nil {
		return nil, c.asFault("read the App", err)
	}
	if found.ID == 0 {
		return nil, fault.New(fault.Nonsense, "github: the answer of %s describes no App; is it a GitHub?", c.base)
	}
	return &found, nil
}

// Check says whether one token can do what the grant says.
func (c *connection) Check(g providers.Grant) error {
	if !accountForm.MatchString(g.Account) {
		return fault.InvalidField("repositories", "%q is not the name of a GitHub account", g.Account)
	}
	if len(g.Repositories) == 0 {
		return fault.InvalidField("repositories", "none are named; for GitHub that would mean all of the installation's")
	}
	if len(g.Repositories) > maxRepositories {
		return fault.InvalidField("repositories", "%d are named; a GitHub token has %d at most", len(g.Repositories), maxRepositories)
	}
	for _, name := range g.Repositories {
		if name == "" || strings.ContainsAny(name, "/ \t\r\n") {
			return fault.InvalidField("repositories", "%q is not a repository's name below its account", name)
		}
	}
	if len(g.Permissions) == 0 {
		return fault.InvalidField("permissions", "none are named; for GitHub that would mean all of the App's")
	}
	for _, p := range g.Permissions {
		if err := (Vocabulary{}).Check(p); err != nil {
			return err
		}
	}
	return nil
}

// checkNames refuses patterns: what is minted has names.
func checkNames(repositories []string) error {
	for _, name := range repositories {
		if !repositoryForm.MatchString(name) || name == "." || name == ".." {
			return fault.InvalidField("repositories", "%q is not a GitHub repository's name: letters, digits, . - and _", name)
		}
	}
	return nil
}

// get asks GitHub as the App.
func (c *connection) get(ctx context.Context, path string, into any) error {
	token, err := c.signer.jwt()
	if err != nil {
		return err
	}
	return c.client.send(ctx, call{method: "GET", path: path, bearer: token}, decodeInto(into))
}

// asFault turns GitHub's no to a request that we made as the App into a fault.
func (c *connection) asFault(what string, err error) error {
	refusal, ok := errors.AsType[*statusError](err)
	if !ok {
		return err
	}
	switch {
	case refusal.status == http.StatusUnauthorized:
		return c.unauthorized(refusal)
	case refusal.status == http.StatusNotFound && strings.Contains(refusal.message, "Integration"):
		return fault.New(fault.Unauthorized, "github: %s knows no App with %s %s", c.base, fieldAppID, c.appID)
	}
	return fault.New(fault.Refused, "github: %s: %s", what, refusal)
}

// unauthorized says why GitHub does not take us for the App.
func (c *connection) unauthorized(refusal *statusError) error {
	reason := fmt.Sprintf("is %s this App's (%s), and is %s one of its keys?", fieldAppID, c.appID, fieldPrivateKey)
	claim := strings.Contains(refusal.message, "'exp'") || strings.Contains(refusal.message, "'iat'")
	if ahead := refusal.clockAhead; claim || ahead.Abs() > jwtBackdate {
		reason = "this machine's clock is " + describeClock(ahead) + " GitHub's: set it"
	}
	return fault.New(fault.Unauthorized, "github: the App's credential is not accepted (%s): %s", refusal, reason)
}

func describeClock(ahead time.Duration) string {
	switch {
	case ahead > 0:
		return ahead.String() + " ahead of"
	case ahead < 0:
		return (-ahead).String() + " behind"
	default:
		return "not in step with"
	}
}

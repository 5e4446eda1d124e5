// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package githubtest

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// App is a GitHub App.
type App struct {
	// ID is the App ID; given by AddApp when zero.
	ID int64
	// ClientID also names the App in a JWT; given by AddApp when empty.
	ClientID string
	// Slug is the App's name in addresses; given by AddApp when empty.
	Slug string
	// Permissions are what the App asks its installations for.
	Permissions map[string]string
	// Keys are the private keys in use; AddApp makes one when there is none.
	Keys []*rsa.PrivateKey
}

// PrivateKeyPEM is the App's first key as GitHub hands it out: PKCS#1 in PEM.
func (a App) PrivateKeyPEM() string {
	der := x509.MarshalPKCS1PrivateKey(a.Keys[0])
	return string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: der}))
}

// Installation is an App installed on an account.
type Installation struct {
	// ID is given by AddInstallation when zero.
	ID int64
	// AppID is the App that is installed.
	AppID int64
	// Account is the login of the user or organisation.
	Account string
	// Permissions are what the account has granted; the App's when nil.
	// metadata=read is always among them.
	Permissions map[string]string
	// Repositories are the names of the selected ones; nil selects all that the
	// account has or will have.
	Repositories []string
}

// AddApp adds an App and returns it with what was given to it. It makes an RSA
// key of 2048 bits where there is none, which takes a moment.
func (s *Simulator) AddApp(app App) App {
	if len(app.Keys) == 0 {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			panic(fmt.Sprintf("githubtest: make a key: %v", err)) // the kernel has no randomness
		}
		app.Keys = []*rsa.PrivateKey{key}
	}
	app.Permissions = withMetadata(app.Permissions)
	return s.world.addApp(app)
}

// SetKeys replaces the keys of an App.
func (s *Simulator) SetKeys(appID int64, keys ...*rsa.PrivateKey) {
	s.world.changeApp(appID, func(app *App) { app.Keys = slices.Clone(keys) })
}

// AddUser makes the account of a person. Accounts that nobody made before their
// first repository or installation are organisations.
func (s *Simulator) AddUser(login string) { s.world.addUser(login) }

// AddRepositories adds private repositories to an account. Each has one commit on main.
func (s *Simulator) AddRepositories(account string, names ...string) {
	s.world.addRepositories(s, account, names)
}

// RemoveRepository deletes a repository.
func (s *Simulator) RemoveRepository(account, name string) { s.world.removeRepository(account, name) }

// AddInstallation installs an App on an account. It panics when there is no such
// App: that is a mistake in the test.
func (s *Simulator) AddInstallation(in Installation) Installation {
	return s.world.addInstallation(in, s.now())
}

// Install makes an App with these permissions, the repositories, and an
// installation on the organisation that has selected exactly them.
func (s *Simulator) Install(organization string, permissions map[string]string, repositories ...string) (App, Installation) {
	s.AddRepositories(organization, repositories...)
	app := s.AddApp(App{Permissions: permissions})
	return app, s.AddInstallation(Installation{AppID: app.ID, Account: organization, Repositories: repositories})
}

// SetPermissions replaces what an account has granted. Tokens lose at once what
// was taken away, and gain nothing.
func (s *Simulator) SetPermissions(installationID int64, permissions map[string]string) {
	s.world.changeInstallation(installationID, func(in *installation) {
		in.Permissions = withMetadata(permissions)
	})
}

// SelectRepositories replaces the selected repositories; none selects all.
func (s *Simulator) SelectRepositories(installationID int64, names ...string) {
	s.world.changeInstallation(installationID, func(in *installation) { in.Repositories = names })
}

// Suspend suspends an installation: nothing can be minted and its tokens do not
// work until Unsuspend.
func (s *Simulator) Suspend(installationID int64) {
	s.world.changeInstallation(installationID, func(in *installation) { in.suspendedAt = s.now() })
}

// Unsuspend takes Suspend back.
func (s *Simulator) Unsuspend(installationID int64) {
	s.world.changeInstallation(installationID, func(in *installation) { in.suspendedAt = time.Time{} })
}

// Uninstall removes an installation and kills its tokens.
func (s *Simulator) Uninstall(installationID int64) {
	s.world.removeInstallation(installationID)
	s.tokens.revokeAll(installationID, s.now())
}

// withMetadata is a copy with metadata=read, which every installation and every
// token has.
func withMetadata(permissions map[string]string) map[string]string {
	all := maps.Clone(permissions)
	if all == nil {
		all = map[string]string{}
	}
	all["metadata"] = "read"
	return all
}

// fold is the form in which names are compared: GitHub ignores their case.
func fold(name string) string { return strings.ToLower(name) }

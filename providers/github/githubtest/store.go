// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package githubtest

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"
)

// world is who there is. What its lookups return is never changed: a change puts
// a new value in the old one's place, so that no lock is held while answering.
type world struct {
	mu            sync.RWMutex
	lastID        int64
	apps          map[string]*App // by App ID and by client ID
	accounts      map[string]*account
	installations map[int64]*installation
}

type account struct {
	id    int64
	login string
	user  bool
	// repositories by folded name; guarded by world.mu.
	repositories map[string]*repository
}

func (a *account) kind() string {
	if a.user {
		return "User"
	}
	return "Organization"
}

type installation struct {
	Installation
	account     *account
	createdAt   time.Time
	suspendedAt time.Time
}

func (in *installation) selection() string {
	if in.Repositories == nil {
		return "all"
	}
	return "selected"
}

// selects says whether the repository of that folded name is one of the selected.
func (in *installation) selects(name string) bool {
	return in.Repositories == nil || slices.ContainsFunc(in.Repositories, func(s string) bool { return fold(s) == name })
}

func newWorld() *world {
	return &world{
		lastID: 1000, apps: map[string]*App{}, accounts: map[string]*account{}, installations: map[int64]*installation{},
	}
}

// nextID numbers everything in one row, so that no id fits two kinds of things.
func (w *world) nextID() int64 {
	w.lastID++
	return w.lastID
}

func (w *world) newID() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.nextID()
}

func (w *world) app(name string) *App {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.apps[name]
}

func (w *world) appByID(id int64) *App { return w.app(strconv.FormatInt(id, 10)) }

func (w *world) addApp(app App) App {
	w.mu.Lock()
	defer w.mu.Unlock()
	app.ID = cmp.Or(app.ID, w.nextID())
	app.ClientID = cmp.Or(app.ClientID, fmt.Sprintf("Iv23li%014d", app.ID))
	app.Slug = cmp.Or(app.Slug, fmt.Sprintf("ci-%d", app.ID))
	w.put(&app)
	return app
}

func (w *world) put(app *App) {
	w.apps[strconv.FormatInt(app.ID, 10)], w.apps[app.ClientID] = app, app
}

func (w *world) changeApp(id int64, change func(*App)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if old := w.apps[strconv.FormatInt(id, 10)]; old != nil {
		app := *old
		change(&app)
		w.put(&app)
	}
}

func (w *world) addUser(login string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.accountFor(login, true)
}

// accountFor finds an account or makes it; w.mu is held.
func (w *world) accountFor(login string, user bool) *account {
	a := w.accounts[fold(login)]
	if a == nil {
		a = &account{id: w.nextID(), login: login, user: user, repositories: map[string]*repository{}}
		w.accounts[fold(login)] = a
	}
	return a
}

func (w *world) addRepositories(s *Simulator, login string, names []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	a := w.accountFor(login, false)
	for _, name := range names {
		if a.repositories[fold(name)] == nil {
			a.repositories[fold(name)] = newRepository(s, w.nextID(), a, name)
		}
	}
}

func (w *world) removeRepository(login, name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if a := w.accounts[fold(login)]; a != nil {
		delete(a.repositories, fold(name))
	}
}

func (w *world) addInstallation(in Installation, now time.Time) Installation {
	app := w.appByID(in.AppID)
	if app == nil {
		panic(fmt.Sprintf("githubtest: there is no App %d to install", in.AppID))
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if in.Permissions == nil {
		in.Permissions = app.Permissions
	}
	in.Permissions = withMetadata(in.Permissions)
	in.ID = cmp.Or(in.ID, w.nextID())
	w.installations[in.ID] = &installation{Installation: in, account: w.accountFor(in.Account, false), createdAt: now}
	return in
}

func (w *world) changeInstallation(id int64, change func(*installation)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if old := w.installations[id]; old != nil {
		in := *old
		change(&in)
		w.installations[id] = &in
	}
}

func (w *world) removeInstallation(id int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.installations, id)
}

func (w *world) installation(id int64) *installation {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.installations[id]
}

// installationsOf are an App's, oldest first.
func (w *world) installationsOf(appID int64) []*installation {
	w.mu.RLock()
	defer w.mu.RUnlock()
	var list []*installation
	for _, id := range slices.Sorted(maps.Keys(w.installations)) {
		if in := w.installations[id]; in.AppID == appID {
			list = append(list, in)
		}
	}
	return list
}

// installedOn finds an App's installation on an account.
func (w *world) installedOn(appID int64, login string) *installation {
	for _, in := range w.installationsOf(appID) {
		if fold(in.Account) == fold(login) {
			return in
		}
	}
	return nil
}

// repository finds what an installation can reach under a name, whatever its case.
func (w *world) repository(in *installation, name string) *repository {
	w.mu.RLock()
	defer w.mu.RUnlock()
	name = fold(name)
	if !in.selects(name) {
		return nil
	}
	return in.account.repositories[name]
}

// find finds a repository by its owner, for the git side.
func (w *world) find(login, name string) *repository {
	w.mu.RLock()
	defer w.mu.RUnlock()
	if a := w.accounts[fold(login)]; a != nil {
		return a.repositories[fold(name)]
	}
	return nil
}

// repositories are all that an installation can reach, oldest first.
func (w *world) repositories(in *installation) []*repository {
	w.mu.RLock()
	defer w.mu.RUnlock()
	var list []*repository
	for name, repo := range in.account.repositories {
		if in.selects(name) {
			list = append(list, repo)
		}
	}
	slices.SortFunc(list, func(a, b *repository) int { return cmp.Compare(a.id, b.id) })
	return list
}

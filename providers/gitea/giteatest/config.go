// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package giteatest

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"text/template"
)

// binary is a Gitea to run.
type binary struct {
	path string
	// assets is the folder with templates and locales; empty for a Gitea that has
	// them embedded.
	assets string
}

// locate finds the Gitea of this repository, seen from wherever a test of it runs,
// or else the one on PATH.
func locate() (binary, error) {
	dir, err := os.Getwd()
	if err != nil {
		return binary{}, fmt.Errorf("giteatest: working folder: %w", err)
	}
	for {
		built := binary{path: filepath.Join(dir, "bin", "gitea"), assets: filepath.Join(dir, "bin", "gitea-assets")}
		if isFile(built.path) && isFile(filepath.Join(dir, "go.mod")) {
			return built, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			break
		}
		dir = parent
	}
	path, err := exec.LookPath("gitea")
	if err != nil {
		return binary{}, errors.New("giteatest: there is no gitea, neither bin/gitea nor on PATH: build it with `make gitea`")
	}
	return binary{path: path}, nil
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

func configPath(dir string) string { return filepath.Join(dir, "app.ini") }

// The password hash is the cheapest that Gitea offers: every request of an
// administrator is authenticated by password, and tests make thousands.
var config = template.Must(template.New("app.ini").Parse(`
WORK_PATH = {{.Dir}}
RUN_MODE = prod

[database]
DB_TYPE = sqlite3
PATH = {{.Dir}}/gitea.db
SQLITE_JOURNAL_MODE = WAL
SQLITE_TIMEOUT = 20000

[server]
PROTOCOL = http
HTTP_ADDR = 127.0.0.1
HTTP_PORT = {{.Port}}
ROOT_URL = http://127.0.0.1:{{.Port}}/
DISABLE_SSH = true
OFFLINE_MODE = true
{{- with .Assets}}
STATIC_ROOT_PATH = {{.}}
{{- end}}

[security]
INSTALL_LOCK = true
SECRET_KEY = {{.Secret}}
PASSWORD_HASH_ALGO = pbkdf2$1$50

[oauth2]
ENABLED = false

[service]
DISABLE_REGISTRATION = true

[session]
PROVIDER = memory

[actions]
ENABLED = false

[indexer]
ISSUE_INDEXER_TYPE = db

[cron]
ENABLED = false

[log]
LEVEL = Warn
MODE = console
`))

func writeConfig(dir string, port int, assets string) error {
	file, err := os.OpenFile(configPath(dir), os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("giteatest: app.ini: %w", err)
	}
	err = config.Execute(file, map[string]any{
		"Dir": dir, "Port": port, "Assets": assets, "Secret": rand.Text(),
	})
	if err := errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("giteatest: app.ini: %w", err)
	}
	return nil
}

// random is a password that any rule of Gitea's accepts.
func random() string { return rand.Text() + "aA1!" }

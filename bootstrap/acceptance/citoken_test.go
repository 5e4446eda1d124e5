// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package acceptance

import (
	"archive/zip"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/bootstrap/world"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/github/githubtest"
)

// citoken builds the companion once for all tests and returns its folder, for PATH.
var citoken = sync.OnceValues(func() (string, error) {
	root, err := world.Root()
	if err != nil {
		return "", err
	}
	folder := filepath.Join(root, "bin", "companion")
	return folder, world.BuildPlugin(context.Background(), "./cmd/citoken", filepath.Join(folder, "citoken"))
})

func TestCitoken(t *testing.T) {
	w := newWorkplace(t)
	folder, err := citoken()
	require.NoError(t, err)
	root, err := world.Root()
	require.NoError(t, err)
	logs := &logArchive{}
	logServer := httptest.NewServer(logs)
	t.Cleanup(logServer.Close)
	t.Run("sessions", func(t *testing.T) {
		testscript.Run(t, testscript.Params{
			Dir: filepath.Join(root, "cmd", "citoken", "testdata", "vault"),
			Setup: func(env *testscript.Env) error {
				env.Vars = append(env.Vars, w.ClientEnv()...)
				env.Vars = append(env.Vars, w.variables...)
				env.Vars = append(env.Vars, "HOME="+env.WorkDir, "LOGS_URL="+logServer.URL, "GIT_TERMINAL_PROMPT=0", "GIT_CONFIG_NOSYSTEM=1")
				env.Setenv("PATH", folder+string(os.PathListSeparator)+os.Getenv("PATH"))
				scripts, err := filepath.Glob(filepath.Join(env.WorkDir, "*.sh"))
				for _, script := range scripts {
					if err := os.Chmod(script, 0o700); err != nil {
						return err
					}
				}
				return err
			},
			Cmds: map[string]func(*testscript.TestScript, bool, []string){
				"appears": appears, "mint": w.mint, "live": w.live, "dead": w.dead, "outlives": w.outlives,
				"ledger": w.ledger, "events": events, "sarif": sarif, "logs": logs.set, "touch": touch,
			},
		})
	})
	t.Run("a push to a real Gitea", func(t *testing.T) { w.pushToGitea(t, folder) })
	w.root.Must("ci/revoke", map[string]any{"role": "build-dev"})
	eventually(t, time.Minute, "no token of build-web outlives its lease", func() bool { return w.github.Live() == 0 })
	w.NoSecrets(w.seen()...)
}

// soon is what a session waits for.
func soon(ts *testscript.TestScript, what string, condition func() bool) {
	for deadline := time.Now().Add(time.Minute); !condition(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			ts.Fatalf("in vain: %s", what)
		}
	}
}

// appears waits for a file.
func appears(ts *testscript.TestScript, _ bool, args []string) {
	soon(ts, args[0]+" appears", func() bool {
		_, err := os.Stat(ts.MkAbs(args[0]))
		return err == nil
	})
}

func touch(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), nil, 0o600))
}

// mint writes a new token of build-dev into a file.
func (w *workplace) mint(ts *testscript.TestScript, _ bool, args []string) {
	answer, err := w.root.Caller.Read(w.t.Context(), "ci/creds/build-dev")
	ts.Check(err)
	ts.Check(answer.Failure())
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(answer.Data["token"].(string)), 0o600))
}

// token reads a file and remembers what it held.
func (w *workplace) token(ts *testscript.TestScript, file string) string {
	secret := ts.ReadFile(file)
	if secret == "" {
		ts.Fatalf("%s is empty", file)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.secrets = append(w.secrets, secret)
	return secret
}

func (w *workplace) live(ts *testscript.TestScript, _ bool, args []string) {
	if state := w.github.StateOf(w.token(ts, args[0])); state != githubtest.Live {
		ts.Fatalf("%s is %v", args[0], state)
	}
}

func (w *workplace) dead(ts *testscript.TestScript, _ bool, args []string) {
	secret := w.token(ts, args[0])
	soon(ts, args[0]+" is dead at the platform", func() bool { return w.github.StateOf(secret) == githubtest.Revoked })
}

// outlives holds that a token lives through a time longer than its lease.
func (w *workplace) outlives(ts *testscript.TestScript, neg bool, args []string) {
	d, err := time.ParseDuration(args[1])
	ts.Check(err)
	for deadline := time.Now().Add(d); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		w.live(ts, neg, args)
	}
}

// ledger waits for a field of a token's record.
func (w *workplace) ledger(ts *testscript.TestScript, _ bool, args []string) {
	field, want := args[1], args[2]
	id := w.idOf(w.token(ts, args[0]))
	soon(ts, field+" is "+want, func() bool {
		record, err := w.root.Caller.Read(w.t.Context(), "ci/tokens/"+id)
		ts.Check(err)
		got, err := json.Marshal(record.Data[field])
		ts.Check(err)
		return strings.Trim(string(got), `"`) == want
	})
}

// events waits for a line of a type and a token; with ! it holds that there is none.
func events(ts *testscript.TestScript, neg bool, args []string) {
	file, kind, digest := ts.MkAbs(args[0]), args[1], digestOf(ts.ReadFile(args[2]))
	has := func() bool {
		text, err := os.ReadFile(file)
		if err != nil {
			return false
		}
		for line := range strings.Lines(string(text)) {
			var event struct {
				Type   string `json:"type"`
				SHA256 string `json:"token_sha256"`
			}
			if strings.HasSuffix(line, "\n") {
				ts.Check(json.Unmarshal([]byte(line), &event))
			}
			if event.Type == kind && event.SHA256 == digest {
				return true
			}
		}
		return false
	}
	if neg {
		if has() {
			ts.Fatalf("%s has a %s event of %s", args[0], kind, args[2])
		}
		return
	}
	soon(ts, kind+" event", has)
}

// sarif holds a file against what code scanning demands of SARIF.
func sarif(ts *testscript.TestScript, _ bool, args []string) {
	var log struct {
		Version string
		Runs    []struct {
			Tool struct {
				Driver struct{ Rules []struct{ ID string } }
			}
			Results []struct {
				RuleID, Level string
				Locations     []struct {
					PhysicalLocation struct {
						ArtifactLocation struct{ URI string }
						Region           struct{ StartLine int }
					}
				}
			}
		}
	}
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &log))
	if log.Version != "2.1.0" || len(log.Runs) != 1 || len(log.Runs[0].Results) != 3 {
		ts.Fatalf("not SARIF 2.1.0 with three results: %+v", log)
	}
	rules := map[string]bool{}
	for _, rule := range log.Runs[0].Tool.Driver.Rules {
		rules[rule.ID] = true
	}
	for _, result := range log.Runs[0].Results {
		place := result.Locations[0].PhysicalLocation
		if !rules[result.RuleID] || place.Region.StartLine < 1 || !strings.HasPrefix(place.ArtifactLocation.URI, "tree/") {
			ts.Fatalf("result %+v", result)
		}
	}
}

// logArchive is where GitHub and GitLab keep the log of one job.
type logArchive struct {
	mu  sync.Mutex
	log string
}

func (l *logArchive) set(ts *testscript.TestScript, _ bool, args []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.log = "cloning\nAuthorization: Bearer " + ts.ReadFile(args[0]) + "\n"
}

func (l *logArchive) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r.Header.Get("Authorization") != "Bearer reads-logs" && r.Header.Get("PRIVATE-TOKEN") != "reads-logs" && r.URL.Path != "/archive" {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	switch r.URL.Path {
	case "/repos/acme/web/actions/runs/4711/logs":
		http.Redirect(w, r, "/archive", http.StatusFound)
	case "/archive":
		archive := zip.NewWriter(w)
		file, _ := archive.Create("build/1_clone.txt") // a response takes any write
		_, _ = file.Write([]byte(l.log))
		_ = archive.Close()
	case "/api/v4/projects/7/pipelines/99/jobs":
		jobs := `[{"id": 12, "name": "clone"}]`
		if r.URL.Query().Get("page") != "1" {
			jobs = "[]"
		}
		_, _ = w.Write([]byte(jobs))
	case "/api/v4/projects/7/jobs/12/trace":
		_, _ = w.Write([]byte(l.log))
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

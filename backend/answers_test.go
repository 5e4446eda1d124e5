// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package backend

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"
	"github.com/stretchr/testify/require"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/identity/identitytest"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/github/githubtest"
)

// Each operation of each path is called here once with success; the harness holds
// every answer strictly against the declared schema.
func TestEachOperationAnswersAsItsSchemaSays(t *testing.T) {
	m := newMount(t)
	issuer := identitytest.New(t, identitytest.Options{Now: m.clock.now})
	m.must("issuers/ci", map[string]any{"public_keys": []string{issuer.PublicKey()}, "bound_issuer": issuer.URL(), "audiences": []string{identitytest.Audience}})
	m.role("approved", map[string]any{"required_approvals": 1})
	credential := m.issue("build-dev")
	token := credential.data["token"].(string)
	id := credential.data["token_id"].(string)
	asked := m.as("alice").write("approvals/approved", map[string]any{"reason": "a release"})
	other := m.as("alice").write("approvals/approved", map[string]any{"reason": "another"})
	definable := []string{"config/spare", "stages/spare", "environments/spare", "roles/spare", "issuers/spare"}
	bodies := map[string]map[string]any{
		"config/spare": m.config(nil), "stages/spare": {"description": "spare"}, "environments/spare": {"description": "spare"}, "roles/spare": roleData(nil),
		"issuers/spare": {"public_keys": []string{issuer.PublicKey()}, "bound_issuer": "https://ci.example.com", "audiences": []string{"vault"}},
	}
	called := map[string]bool{}
	call := func(m *mount, op logical.Operation, path string, body map[string]any) answer {
		t.Helper()
		req := &logical.Request{Operation: op, Path: path, Data: body}
		got := m.ask(t.Context(), req)
		require.Less(t, got.status, 400, "%s %s: %s", op, path, got.err)
		called[m.Route(path).Pattern+" "+string(req.Operation)] = true
		return got
	}
	for _, path := range definable {
		call(m, logical.UpdateOperation, path, bodies[path]) // creates
		call(m, logical.UpdateOperation, path, bodies[path])
		call(m, logical.PatchOperation, path, map[string]any{})
		call(m, logical.ReadOperation, path, nil)
		kind, _, _ := strings.Cut(path, "/")
		call(m, logical.ListOperation, kind+"/", nil)
	}
	for _, path := range definable {
		call(m, logical.DeleteOperation, path, nil)
	}
	for _, path := range []string{"creds/build-dev", "creds/build-dev/web", "explain/build-dev", "events"} {
		call(m, logical.ReadOperation, path, nil)
		call(m, logical.UpdateOperation, path, nil)
	}
	for _, path := range []string{"report", "metrics", "info", "settings", "tokens/" + id, "approvals/approved/" + asked.data["approval_id"].(string)} {
		call(m, logical.ReadOperation, path, nil)
	}
	for _, path := range []string{"tokens/", "approvals/", "approvals/approved/"} {
		call(m, logical.ListOperation, path, nil)
	}
	call(m.as("alice"), logical.UpdateOperation, "approvals/approved", map[string]any{"reason": "a third"})
	call(m.as("bob"), logical.UpdateOperation, "approvals/approved/"+asked.data["approval_id"].(string)+"/approve", map[string]any{"comment": "fine"})
	call(m.as("bob"), logical.UpdateOperation, "approvals/approved/"+other.data["approval_id"].(string)+"/deny", nil)
	call(m, logical.UpdateOperation, "tokens/"+id+"/use", map[string]any{"action": "push", "target": "acme/web", "token": token})
	call(m, logical.UpdateOperation, "introspect", map[string]any{"token": token})
	call(m, logical.UpdateOperation, "introspect", map[string]any{"token": "ghs_of-nobody"})
	call(m, logical.UpdateOperation, "exposed", map[string]any{"token": token, "where": "a log"})
	call(m, logical.UpdateOperation, "exposed", map[string]any{"token": "ghs_of-nobody"})
	call(m, logical.UpdateOperation, "tokens/"+id+"/revoke", nil)
	call(m, logical.ReadOperation, "tokens/"+id, nil)
	call(m, logical.UpdateOperation, "revoke", map[string]any{"role": "build-dev"})
	call(m, logical.ReadOperation, "report", nil)
	call(m, logical.UpdateOperation, "settings", map[string]any{"event_retention": 172800})
	call(m, logical.PatchOperation, "settings", map[string]any{"event_retention": 259200})
	call(m, logical.DeleteOperation, "settings", nil)

	for _, path := range m.Paths {
		for op := range path.Operations {
			if strings.Contains(path.Pattern, "rotate-root/") {
				continue // GitHub cannot; the platforms that can show it
			}
			require.True(t, called[path.Pattern+" "+string(op)], "%s %s was not called", op, path.Pattern)
		}
	}
}

// as is the same mount for another caller.
func (m *mount) as(entity string) *mount {
	other := *m
	other.caller = entity
	return &other
}

func TestEachPathExplainsItself(t *testing.T) {
	m := newMount(t)
	for _, path := range m.Paths {
		require.NotEmpty(t, path.HelpSynopsis, path.Pattern)
		require.NotEmpty(t, path.HelpDescription, path.Pattern)
		require.NotNil(t, path.DisplayAttrs, path.Pattern)
		require.NotEmpty(t, path.Operations, path.Pattern)
		for name, field := range path.Fields {
			require.NotEmpty(t, field.Description, "%s of %s", name, path.Pattern)
			if regexp.MustCompile(`^(token|id_token|private_key|password)$`).MatchString(name) {
				require.True(t, field.DisplayAttrs != nil && field.DisplayAttrs.Sensitive, "%s of %s is a secret", name, path.Pattern)
			}
		}
		for op, handler := range path.Operations {
			properties := handler.Properties()
			require.NotEmpty(t, properties.Summary, "%s %s", op, path.Pattern)
			require.NotEmpty(t, properties.Description, "%s %s", op, path.Pattern)
			require.Len(t, properties.Responses, 1, "%s %s", op, path.Pattern)
			require.True(t, properties.ForwardPerformanceStandby && properties.ForwardPerformanceSecondary, "%s %s", op, path.Pattern)
			for status, responses := range properties.Responses {
				require.Len(t, responses, 1)
				text := responses[0].MediaType == "text/plain"
				require.Equal(t, status == http.StatusOK && !text, responses[0].Fields != nil, "%s %s: a schema where there is a body", op, path.Pattern)
				for name, field := range responses[0].Fields {
					require.NotEmpty(t, field.Description, "%s in the answer of %s", name, path.Pattern)
					require.NotEqual(t, framework.TypeInvalid, field.Type)
				}
			}
		}
	}
}

// pathOf is a path that the pattern matches; every name in it is x.
func pathOf(path *framework.Path) string {
	name := regexp.MustCompile(`\(\?P<(\w+)>(?:[^()]|\([^()]*(?:\([^()]*\)[^()]*)*\))*\)`).ReplaceAllString(path.Pattern, "x")
	return strings.NewReplacer("/?$", "", "/?", "", "$", "", "^", "").Replace(name)
}

func TestUnknownFieldsAreErrorsOnEachPath(t *testing.T) {
	m := newMount(t)
	for _, path := range m.Paths {
		for op := range path.Operations {
			if op == logical.DeleteOperation {
				continue
			}
			name := pathOf(path)
			got := m.ask(t.Context(), &logical.Request{Operation: op, Path: name, Data: map[string]any{"no_such_field": "x"}})
			require.Equal(t, http.StatusBadRequest, got.status, "%s %s: %s", op, name, got.err)
			require.Contains(t, got.err, "no_such_field: is not a field of this path", "%s %s", op, name)
		}
	}
}

func TestAnAnswerNeverHoldsASecretButTheTokenThatItIsFor(t *testing.T) {
	m := newMount(t)
	credential := m.issue("build-dev")
	secrets := []string{credential.data["token"].(string), keyLine(m.app.PrivateKeyPEM())}
	m.github.Inject(githubtest.Fault{Match: "DELETE /installation/token", Times: 1, Status: http.StatusUnprocessableEntity, Body: fmt.Sprintf(`{"message":"no, %s"}`, secrets[0])})
	answers := []answer{
		m.revoke(credential), m.read("config/github"), m.read("tokens/" + credential.data["token_id"].(string)),
		m.do(logical.ListOperation, "tokens/", nil), m.read("events"), m.read("report"), m.read("explain/build-dev"),
		m.write("introspect", map[string]any{"token": secrets[0]}), m.write("exposed", map[string]any{"token": secrets[0], "where": "in " + secrets[0]}),
	}
	for i, got := range answers {
		for _, secret := range secrets {
			require.NotContains(t, fmt.Sprint(got.data, got.err, got.warnings), secret, "answer %d", i)
		}
	}
	for _, secret := range secrets {
		require.NotContains(t, m.log.String(), secret, "the log")
	}
	require.False(t, slices.ContainsFunc(answers, func(a answer) bool { return strings.Contains(a.err, "invalid token") }))
}

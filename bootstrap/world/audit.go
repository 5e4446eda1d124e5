// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package world

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Entry is one line of the audit file: a request, or the response to it.
type Entry struct {
	Time     time.Time     `json:"time"`
	Type     string        `json:"type"` // "request" or "response"
	Error    string        `json:"error"`
	Auth     EntryAuth     `json:"auth"`
	Request  EntryRequest  `json:"request"`
	Response EntryResponse `json:"response"`
	// Line as it is in the file.
	Line string `json:"-"`
}

// EntryAuth says who asked.
type EntryAuth struct {
	Accessor      string            `json:"accessor"`
	DisplayName   string            `json:"display_name"`
	EntityID      string            `json:"entity_id"`
	Policies      []string          `json:"policies"`
	TokenPolicies []string          `json:"token_policies"`
	TokenType     string            `json:"token_type"`
	Metadata      map[string]string `json:"metadata"`
}

// EntryRequest says what was asked.
type EntryRequest struct {
	ID            string         `json:"id"`
	Operation     string         `json:"operation"`
	Path          string         `json:"path"`
	MountPoint    string         `json:"mount_point"`
	MountType     string         `json:"mount_type"`
	RemoteAddress string         `json:"remote_address"`
	Data          map[string]any `json:"data"`
}

// EntryResponse says what was answered.
type EntryResponse struct {
	MountPoint string         `json:"mount_point"`
	Data       map[string]any `json:"data"`
	Secret     struct {
		LeaseID string `json:"lease_id"`
	} `json:"secret"`
	Warnings []string `json:"warnings"`
}

// Audit is what the audit device has written, oldest first.
type Audit []Entry

// Audit reads the audit file, and before it those that RotateAudit has put
// aside. A line that is not complete yet is left out.
func (v *Vault) Audit() (Audit, error) {
	text, err := v.auditText()
	if err != nil {
		return nil, err
	}
	var entries Audit
	for line := range bytes.Lines(text) {
		if !bytes.HasSuffix(line, []byte("\n")) {
			continue
		}
		entry := Entry{Line: string(bytes.TrimRight(line, "\n"))}
		if err := json.Unmarshal(line, &entry); err != nil {
			return nil, fmt.Errorf("audit: line %d: %w", len(entries)+1, err)
		}
		entries = append(entries, entry)
	}
	return entries, nil
}

// Leaks is an error when one of the secrets is in the audit files or in a
// server's log. It says which by its place in the arguments, not by its text.
func (v *Vault) Leaks(secrets ...string) error {
	texts := map[string][]byte{}
	if v.AuditPath != "" {
		text, err := v.auditText()
		if err != nil {
			return err
		}
		texts["the audit file"] = text
	}
	for _, node := range v.Nodes {
		text, err := os.ReadFile(node.LogPath())
		if err != nil {
			return err
		}
		texts["the log of "+node.Name] = text
	}
	for i, secret := range secrets {
		if secret == "" {
			return fmt.Errorf("leaks: secret %d is empty", i)
		}
		for place, text := range texts {
			if bytes.Contains(text, []byte(secret)) {
				return fmt.Errorf("leaks: secret %d is in %s", i, place)
			}
		}
	}
	return nil
}

// auditText joins the audit files, oldest first.
func (v *Vault) auditText() ([]byte, error) {
	if v.AuditPath == "" {
		return nil, errors.New("audit: this Vault was started without")
	}
	var all []byte
	for i := 1; ; i++ {
		text, err := os.ReadFile(v.rotatedAudit(i))
		if errors.Is(err, fs.ErrNotExist) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("audit: %w", err)
		}
		all = append(all, text...)
	}
	text, err := os.ReadFile(v.AuditPath)
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	return append(all, text...), nil
}

func (v *Vault) rotatedAudit(number int) string { return fmt.Sprintf("%s.%d", v.AuditPath, number) }

// RotateAudit does what logrotate does: it renames the audit file and has the
// servers open a new one.
func (v *Vault) RotateAudit(ctx context.Context) error {
	number := 1
	for ; ; number++ {
		if _, err := os.Stat(v.rotatedAudit(number)); errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	if err := os.Rename(v.AuditPath, v.rotatedAudit(number)); err != nil {
		return fmt.Errorf("rotate audit: %w", err)
	}
	for _, node := range v.Nodes {
		if pid := node.PID(); pid != 0 {
			if err := syscall.Kill(pid, syscall.SIGHUP); err != nil {
				return fmt.Errorf("rotate audit: %w", err)
			}
		}
	}
	return poll(ctx, "a new audit file", func() (bool, error) {
		_, err := os.Stat(v.AuditPath)
		return err == nil, nil
	})
}

// Where keeps the entries that the function says yes to.
func (a Audit) Where(keep func(Entry) bool) Audit {
	var kept Audit
	for _, entry := range a {
		if keep(entry) {
			kept = append(kept, entry)
		}
	}
	return kept
}

// Requests are the entries of requests.
func (a Audit) Requests() Audit {
	return a.Where(func(e Entry) bool { return e.Type == "request" })
}

// Responses are the entries of responses.
func (a Audit) Responses() Audit {
	return a.Where(func(e Entry) bool { return e.Type == "response" })
}

// Path are the entries of exactly this path.
func (a Audit) Path(path string) Audit {
	return a.Where(func(e Entry) bool { return e.Request.Path == path })
}

// Under are the entries whose path starts so.
func (a Audit) Under(prefix string) Audit {
	return a.Where(func(e Entry) bool { return strings.HasPrefix(e.Request.Path, prefix) })
}

// Operation are the entries of any of these operations: read, update, create,
// patch, delete, list, revoke, renew.
func (a Audit) Operation(operations ...string) Audit {
	return a.Where(func(e Entry) bool { return slices.Contains(operations, e.Request.Operation) })
}

// Request are the entries of one request: itself and its response.
func (a Audit) Request(id string) Audit {
	return a.Where(func(e Entry) bool { return e.Request.ID == id })
}

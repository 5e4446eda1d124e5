// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package scan

import (
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
)

// redacted stands where the credential would be.
const redacted = "REDACTED"

// Formats are the values of -format, in the order in which help shows them.
var Formats = []string{"text", "json", "sarif"}

// Write writes the findings in one of the Formats. No form of it holds a credential.
func Write(out io.Writer, format string, findings []Finding) error {
	switch format {
	case "text":
		return writeText(out, findings)
	case "json":
		return writeJSON(out, findings)
	case "sarif":
		return writeSARIF(out, findings)
	}
	return fmt.Errorf("format %q: want one of %v", format, Formats)
}

// tell says in words what is known of a finding.
func (f Finding) tell() string {
	v := f.Verdict
	switch {
	case v == nil && f.Reported:
		return f.Description + "; reported, but the engine could not say what became of it"
	case v == nil && f.Platform:
		return f.Description + "; nobody was asked whether it is ours"
	case v == nil:
		return f.Description + "; revoke it where it was made"
	case !v.Ours:
		return f.Description + "; not ours: revoke it where it was made"
	case v.WasLive:
		return fmt.Sprintf("%s; ours (role %s, owner %s, token %s): it was live and is %s now", f.Description, v.Role, v.Owner, v.TokenID, v.Status)
	}
	return fmt.Sprintf("%s; ours (role %s, owner %s, token %s): it was %s already", f.Description, v.Role, v.Owner, v.TokenID, v.Status)
}

func writeText(out io.Writer, findings []Finding) error {
	for _, f := range findings {
		if _, err := fmt.Fprintf(out, "%s: %s: %s\n", f.Where(), f.Rule, f.tell()); err != nil {
			return err
		}
	}
	return nil
}

type jsonFinding struct {
	Rule        string `json:"rule"`
	Description string `json:"description"`
	File        string `json:"file"`
	Line        int    `json:"line"`
	Column      int    `json:"column"`
	Commit      string `json:"commit,omitempty"`
	Secret      string `json:"secret"`
	Reported    bool   `json:"reported"`
	Ours        bool   `json:"ours"`
	WasLive     bool   `json:"was_live"`
	Status      string `json:"status,omitempty"`
	TokenID     string `json:"token_id,omitempty"`
	Role        string `json:"role,omitempty"`
	Owner       string `json:"owner,omitempty"`
}

func writeJSON(out io.Writer, findings []Finding) error {
	list := make([]jsonFinding, len(findings))
	for i, f := range findings {
		list[i] = jsonFinding{
			Rule: f.Rule, Description: f.Description, File: f.File, Line: f.Line, Column: f.Column, Commit: f.Commit,
			Secret: redacted, Reported: f.Reported,
		}
		if v := f.Verdict; v != nil {
			list[i].Ours, list[i].WasLive = v.Ours, v.WasLive
			list[i].Status, list[i].TokenID, list[i].Role, list[i].Owner = v.Status, v.TokenID, v.Role, v.Owner
		}
	}
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(list)
}

// uri is a file as SARIF wants it: relative, with slashes.
func uri(file string) string { return filepath.ToSlash(filepath.Clean(file)) }

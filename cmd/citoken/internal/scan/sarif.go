// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package scan

import (
	"encoding/json"
	"io"
	"net/url"
	"slices"
	"strings"
)

// What of SARIF 2.1.0 a list of findings needs, and what code scanning shows.
type (
	sarifLog struct {
		Schema  string     `json:"$schema"`
		Version string     `json:"version"`
		Runs    []sarifRun `json:"runs"`
	}
	sarifRun struct {
		Tool    sarifTool     `json:"tool"`
		Results []sarifResult `json:"results"`
	}
	sarifTool struct {
		Driver sarifDriver `json:"driver"`
	}
	sarifDriver struct {
		Name           string      `json:"name"`
		InformationURI string      `json:"informationUri"`
		Rules          []sarifRule `json:"rules"`
	}
	sarifRule struct {
		ID               string    `json:"id"`
		ShortDescription sarifText `json:"shortDescription"`
	}
	sarifText struct {
		Text string `json:"text"`
	}
	sarifResult struct {
		RuleID              string            `json:"ruleId"`
		Level               string            `json:"level"`
		Message             sarifText         `json:"message"`
		Locations           []sarifLocation   `json:"locations"`
		PartialFingerprints map[string]string `json:"partialFingerprints,omitempty"`
		Properties          map[string]any    `json:"properties,omitempty"`
	}
	sarifLocation struct {
		PhysicalLocation sarifPlace `json:"physicalLocation"`
	}
	sarifPlace struct {
		ArtifactLocation sarifArtifact `json:"artifactLocation"`
		Region           sarifRegion   `json:"region"`
	}
	sarifArtifact struct {
		URI string `json:"uri"`
	}
	sarifRegion struct {
		StartLine   int `json:"startLine"`
		StartColumn int `json:"startColumn,omitempty"`
	}
)

const (
	sarifSchema = "https://json.schemastore.org/sarif-2.1.0.json"
	homepage    = "https://github.com/ci-identity/vault-plugin-secrets-ci"
)

func writeSARIF(out io.Writer, findings []Finding) error {
	run := sarifRun{Results: []sarifResult{}}
	run.Tool.Driver = sarifDriver{Name: "citoken", InformationURI: homepage, Rules: []sarifRule{}}
	for _, f := range findings {
		rule := sarifRule{ID: f.Rule, ShortDescription: sarifText{f.Description}}
		if !slices.Contains(run.Tool.Driver.Rules, rule) {
			run.Tool.Driver.Rules = append(run.Tool.Driver.Rules, rule)
		}
		run.Results = append(run.Results, f.sarif())
	}
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(sarifLog{Schema: sarifSchema, Version: "2.1.0", Runs: []sarifRun{run}})
}

func (f Finding) sarif() sarifResult {
	result := sarifResult{RuleID: f.Rule, Level: "error", Message: sarifText{f.tell()}}
	result.Locations = []sarifLocation{{sarifPlace{
		ArtifactLocation: sarifArtifact{(&url.URL{Path: strings.TrimPrefix(uri(f.File), "./")}).String()},
		Region:           sarifRegion{StartLine: max(f.Line, 1), StartColumn: max(f.Column, 0)},
	}}}
	if f.Commit != "" {
		result.PartialFingerprints = map[string]string{"commitSha": f.Commit}
	}
	if v := f.Verdict; v != nil && v.Ours {
		result.Properties = map[string]any{"token_id": v.TokenID, "status": v.Status, "was_live": v.WasLive, "owner": v.Owner}
		if !v.WasLive {
			result.Level = "warning"
		}
	}
	return result
}

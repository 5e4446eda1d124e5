// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

// Package policy decides who may get what. It is pure: no I/O, no clock, no state.
// What it needs is handed in, and what it decides is an error of package fault
// (a gate that is shut, a field that is wrong) or nothing.
package policy

import (
	"slices"
	"strings"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

// Stage is a pipeline stage with its ceiling: for each platform the permissions
// that a role of that stage may have at most.
type Stage struct {
	Name        string              `json:"-"`
	Description string              `json:"description"`
	Ceilings    map[string][]string `json:"ceilings"`
	// Revision is another one with every write; empty for a built-in stage that was
	// never overridden.
	Revision string `json:"revision,omitempty"`
	// Restored: no stage, but what is left of an override that was deleted, so that
	// the built-in one comes back under a revision of its own.
	Restored bool `json:"restored,omitempty"`
}

// BuiltinStages are the stages that the platforms bring along.
func BuiltinStages(platforms []providers.Platform) map[string]*Stage {
	stages := map[string]*Stage{}
	for _, p := range platforms {
		for name, ceiling := range p.Ceilings {
			if stages[name] == nil {
				stages[name] = &Stage{Name: name, Description: "built in", Ceilings: map[string][]string{}}
			}
			stages[name].Ceilings[p.Name] = ceiling
		}
	}
	return stages
}

// CheckStage judges a stage as it is written: each ceiling must be one that its
// platform understands.
func CheckStage(s *Stage, platforms []providers.Platform) error {
	for _, p := range platforms {
		permissions, err := providers.ParsePermissions(p.Name, s.Ceilings[p.Name])
		if err != nil {
			return err
		}
		for _, permission := range permissions {
			if err := p.Vocabulary.Check(permission); err != nil {
				return fault.InvalidField(p.Name, "%w", err)
			}
		}
	}
	return nil
}

// Excess lists those of the asked permissions that the allowed ones do not cover,
// each with what is allowed there: "contents=write (at most contents=read)".
func Excess(allowed, asked []providers.Permission) []string {
	var excess []string
	for _, a := range asked {
		i := slices.IndexFunc(allowed, func(p providers.Permission) bool { return p.Resource == a.Resource })
		switch {
		case i < 0:
			excess = append(excess, a.String()+" (not allowed at all)")
		case !allowed[i].Level.Allows(a.Level):
			excess = append(excess, a.String()+" (at most "+allowed[i].String()+")")
		}
	}
	return excess
}

// overCeiling says which of a role's permissions are over its stage's ceiling.
func overCeiling(role *Role, stage *Stage, platform string) (string, error) {
	ceiling, err := providers.ParsePermissions("stage", stage.Ceilings[platform])
	if err != nil {
		return "", err
	}
	asked, err := providers.ParsePermissions("permissions", role.Permissions)
	if err != nil {
		return "", err
	}
	return strings.Join(Excess(ceiling, asked), ", "), nil
}

// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package paths

import (
	"context"

	"github.com/hashicorp/vault/sdk/framework"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/policy"
)

func stagePaths(e *Engine) []*framework.Path {
	platforms := e.Connections.Platforms()
	fields := map[string]*framework.FieldSchema{"description": text("What the stage is for.")}
	for _, p := range platforms {
		fields[p.Name] = texts("Ceiling for " + p.Title + ": the most that a role of this stage may have, as resource=level.")
	}
	return resource{
		path: "stages", kind: "stage",
		help:   "A pipeline stage and its ceiling on each platform.",
		text:   "build, test, release and deploy are built in. They can be overridden, and come back when deleted. A ceiling that is lowered holds for existing roles too: they are refused, not cut.",
		fields: fields, shown: fields,
		list: e.Catalog.StageNames,
		read: func(ctx context.Context, name string) (map[string]any, error) {
			s, err := e.Catalog.Stage(ctx, name)
			if err != nil || s == nil {
				return nil, err
			}
			data := map[string]any{"description": s.Description}
			for _, p := range platforms {
				data[p.Name] = list(s.Ceilings[p.Name])
			}
			return data, nil
		},
		write: func(ctx context.Context, name string, in *input, patch bool) ([]string, error) {
			stage := &policy.Stage{Ceilings: map[string][]string{}}
			if old, err := e.Catalog.Stage(ctx, name); err != nil {
				return nil, err
			} else if patch && old != nil {
				stage.Description = old.Description
				for platform, ceiling := range old.Ceilings {
					stage.Ceilings[platform] = ceiling
				}
			}
			in.text("description", &stage.Description)
			for _, p := range platforms {
				ceiling := stage.Ceilings[p.Name]
				in.texts(p.Name, &ceiling)
				stage.Ceilings[p.Name] = ceiling
			}
			if in.err != nil {
				return nil, in.err
			}
			if err := policy.CheckStage(stage, platforms); err != nil {
				return nil, err
			}
			return nil, e.Catalog.WriteStage(ctx, name, stage)
		},
		delete: e.Catalog.DeleteStage,
	}.paths()
}

// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package paths

import (
	"context"
	"net/http"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

// resource is something that operators define by name: written (which replaces),
// patched (which merges), read, listed and deleted.
type resource struct {
	path, kind string
	help, text string
	// fields can be written; shown are those of an answer.
	fields, shown map[string]*framework.FieldSchema

	list func(context.Context) ([]string, error)
	// read answers nil for what is not there.
	read func(ctx context.Context, name string) (map[string]any, error)
	// write stores; with patch it starts from what there is.
	write  func(ctx context.Context, name string, in *input, patch bool) (warnings []string, err error)
	delete func(ctx context.Context, name string) error
}

func (r resource) paths() []*framework.Path {
	fields := join(r.fields, map[string]*framework.FieldSchema{"name": name(r.kind)})
	return []*framework.Path{
		{
			Pattern:      r.path + "/?$",
			DisplayAttrs: display(r.path),
			Operations: map[logical.Operation]framework.OperationHandler{
				logical.ListOperation: operation("List the "+r.kind+"s.", r.handleList, http.StatusOK, listed()),
			},
			HelpSynopsis: "List the " + r.kind + "s.", HelpDescription: r.text,
		},
		{
			Pattern:      r.path + "/" + named("name"),
			DisplayAttrs: display(r.kind),
			Fields:       fields,
			Operations: map[logical.Operation]framework.OperationHandler{
				logical.ReadOperation:   operation("Read a "+r.kind+".", r.handleRead, http.StatusOK, r.shown),
				logical.CreateOperation: operation("Write a "+r.kind+".", r.handleWrite, http.StatusNoContent, nil),
				logical.UpdateOperation: operation("Replace a "+r.kind+".", r.handleWrite, http.StatusNoContent, nil),
				logical.PatchOperation:  operation("Change fields of a "+r.kind+".", r.handlePatch, http.StatusNoContent, nil),
				logical.DeleteOperation: operation("Delete a "+r.kind+".", r.handleDelete, http.StatusNoContent, nil),
			},
			ExistenceCheck: r.exists,
			HelpSynopsis:   r.help, HelpDescription: r.text,
		},
	}
}

func listed() map[string]*framework.FieldSchema {
	return map[string]*framework.FieldSchema{"keys": {Type: framework.TypeStringSlice, Description: "Names."}}
}

// listedWithInfo are the fields of a list that says something of each name.
func listedWithInfo() map[string]*framework.FieldSchema {
	return join(listed(), map[string]*framework.FieldSchema{
		"key_info": {Type: framework.TypeMap, Description: "A line of facts on each."},
	})
}

func (r resource) exists(ctx context.Context, _ *logical.Request, d *framework.FieldData) (bool, error) {
	data, err := r.read(ctx, d.Get("name").(string))
	return data != nil, err
}

func (r resource) handleList(ctx context.Context, _ *logical.Request, _ *framework.FieldData) (*logical.Response, error) {
	names, err := r.list(ctx)
	if err != nil {
		return nil, err
	}
	return logical.ListResponse(names), nil
}

func (r resource) handleRead(ctx context.Context, _ *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	data, err := r.read(ctx, d.Get("name").(string))
	if err != nil || data == nil {
		return nil, err
	}
	return &logical.Response{Data: data}, nil
}

func (r resource) handleWrite(ctx context.Context, _ *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	return r.store(ctx, d, false)
}

func (r resource) handlePatch(ctx context.Context, _ *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	name := d.Get("name").(string)
	data, err := r.read(ctx, name)
	if err != nil {
		return nil, err
	}
	if data == nil {
		return nil, fault.New(fault.NotFound, "there is no %s %q", r.kind, name)
	}
	return r.store(ctx, d, true)
}

func (r resource) store(ctx context.Context, d *framework.FieldData, patch bool) (*logical.Response, error) {
	warnings, err := r.write(ctx, d.Get("name").(string), &input{d: d}, patch)
	if err != nil || len(warnings) == 0 {
		return nil, err
	}
	return &logical.Response{Warnings: warnings}, nil
}

func (r resource) handleDelete(ctx context.Context, _ *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	return nil, r.delete(ctx, d.Get("name").(string))
}

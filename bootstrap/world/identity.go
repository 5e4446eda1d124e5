// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package world

import (
	"context"
	"fmt"
	"strings"

	"github.com/hashicorp/vault/api"
)

// Session is a token and who it stands for.
type Session struct {
	Token    string
	Accessor string
	EntityID string
	Policies []string
}

// User of a userpass mount.
type User struct {
	Name, Password string
	Policies       []string
}

// Entity is one who acts, with a name in each auth mount.
type Entity struct {
	Name     string
	Policies []string
	Metadata map[string]string
	// Aliases: the name that the entity has in each auth mount, by the
	// accessor of the mount.
	Aliases map[string]string
}

// PutPolicy writes an ACL policy.
func (v *Vault) PutPolicy(ctx context.Context, name, rules string) error {
	client, err := v.client()
	if err != nil {
		return err
	}
	if err := client.Sys().PutPolicyWithContext(ctx, name, rules); err != nil {
		return fmt.Errorf("policy %s: %w", name, err)
	}
	return nil
}

// EnableAuth enables an auth method (userpass, jwt, approle, cert) at the path
// and returns the mount's accessor, which aliases name it by.
func (v *Vault) EnableAuth(ctx context.Context, path, method string) (string, error) {
	client, err := v.client()
	if err != nil {
		return "", err
	}
	if err := client.Sys().EnableAuthWithOptionsWithContext(ctx, path, &api.MountInput{Type: method}); err != nil {
		return "", fmt.Errorf("auth %s: %w", path, err)
	}
	mounts, err := client.Sys().ListAuthWithContext(ctx)
	if err != nil {
		return "", fmt.Errorf("auth %s: %w", path, err)
	}
	mount := mounts[strings.TrimSuffix(path, "/")+"/"]
	if mount == nil {
		return "", fmt.Errorf("auth %s: it is not in the list", path)
	}
	return mount.Accessor, nil
}

// EnableUserpass enables userpass at the path with these users and returns its
// accessor. Each user gets an entity at the first login.
func (v *Vault) EnableUserpass(ctx context.Context, path string, users ...User) (string, error) {
	accessor, err := v.EnableAuth(ctx, path, "userpass")
	if err != nil {
		return "", err
	}
	for _, user := range users {
		err := v.put(ctx, "auth/"+path+"/users/"+user.Name, map[string]any{
			"password": user.Password, "token_policies": user.Policies,
		})
		if err != nil {
			return "", err
		}
	}
	return accessor, nil
}

// LoginUserpass logs a user in.
func (v *Vault) LoginUserpass(ctx context.Context, path string, user User) (Session, error) {
	return v.Login(ctx, "auth/"+path+"/login/"+user.Name, map[string]any{"password": user.Password})
}

// EnableJWT enables JWT auth at the path for tokens that the issuer signs, and
// returns its accessor.
func (v *Vault) EnableJWT(ctx context.Context, path string, issuer *Issuer) (string, error) {
	accessor, err := v.EnableAuth(ctx, path, "jwt")
	if err != nil {
		return "", err
	}
	return accessor, v.put(ctx, "auth/"+path+"/config", map[string]any{
		"jwt_validation_pubkeys": []string{issuer.PublicKeyPEM()},
		"bound_issuer":           issuer.URL,
	})
}

// PutJWTRole writes a role of a JWT mount; fields are Vault's own, and role_type
// is jwt where it is left out.
func (v *Vault) PutJWTRole(ctx context.Context, path, name string, fields map[string]any) error {
	body := map[string]any{"role_type": "jwt"}
	for key, value := range fields {
		body[key] = value
	}
	return v.put(ctx, "auth/"+path+"/role/"+name, body)
}

// LoginJWT logs in with a job's token.
func (v *Vault) LoginJWT(ctx context.Context, path, role, token string) (Session, error) {
	return v.Login(ctx, "auth/"+path+"/login", map[string]any{"role": role, "jwt": token})
}

// Login logs in at any login path.
func (v *Vault) Login(ctx context.Context, path string, body map[string]any) (Session, error) {
	answer, err := v.As("").Write(ctx, path, body)
	if err == nil {
		err = answer.Failure()
	}
	if err != nil {
		return Session{}, fmt.Errorf("login at %s: %w", path, err)
	}
	return session(answer), nil
}

// CreateToken makes a token below the root token. It has no entity: that takes a
// login.
func (v *Vault) CreateToken(ctx context.Context, request api.TokenCreateRequest) (Session, error) {
	answer, err := v.Root().Do(ctx, Request{Method: "POST", Path: "auth/token/create", Body: request})
	if err == nil {
		err = answer.Failure()
	}
	if err != nil {
		return Session{}, fmt.Errorf("create token: %w", err)
	}
	return session(answer), nil
}

// PutEntity writes an entity with its aliases and returns its ID.
func (v *Vault) PutEntity(ctx context.Context, entity Entity) (string, error) {
	path := "identity/entity/name/" + entity.Name
	err := v.put(ctx, path, map[string]any{"policies": entity.Policies, "metadata": entity.Metadata})
	if err != nil {
		return "", err
	}
	answer, err := v.Root().Read(ctx, path)
	if err == nil {
		err = answer.Failure()
	}
	if err != nil {
		return "", fmt.Errorf("entity %s: %w", entity.Name, err)
	}
	id, _ := answer.Data["id"].(string)
	for accessor, name := range entity.Aliases {
		err := v.put(ctx, "identity/entity-alias", map[string]any{
			"name": name, "mount_accessor": accessor, "canonical_id": id,
		})
		if err != nil {
			return "", err
		}
	}
	return id, nil
}

// put writes as root and takes a failing status for an error.
func (v *Vault) put(ctx context.Context, path string, body map[string]any) error {
	answer, err := v.Root().Write(ctx, path, body)
	if err == nil {
		err = answer.Failure()
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

func session(answer Answer) Session {
	text := func(key string) string {
		value, _ := answer.Auth[key].(string)
		return value
	}
	made := Session{Token: text("client_token"), Accessor: text("accessor"), EntityID: text("entity_id")}
	policies, _ := answer.Auth["policies"].([]any)
	for _, policy := range policies {
		if name, ok := policy.(string); ok {
			made.Policies = append(made.Policies, name)
		}
	}
	return made
}

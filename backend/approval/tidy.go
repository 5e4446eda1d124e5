// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package approval

import (
	"context"
	"strings"
	"time"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/store"
)

// dayOf is the folder of what was asked for at that time. Folders sort by time.
func dayOf(t time.Time) string { return t.UTC().Format("20060102") }

func dayKey(a *Approval) string {
	return store.ApprovalDays + dayOf(a.RequestedAt) + "/" + a.Role + "/" + a.ID
}

// create stores a new approval, on its day first: a crash between the two leaves a
// day that names nothing, and never an approval that tidy does not find.
func (s *Service) create(ctx context.Context, a *Approval) error {
	if err := store.Put(ctx, s.storage, dayKey(a), true); err != nil {
		return err
	}
	return s.put(ctx, a)
}

// Tidy removes approvals that were asked for long ago. It opens only the days that
// are due. One at a time may call it.
func (s *Service) Tidy(ctx context.Context) error {
	s.forgetEnded()
	if err := s.index(ctx); err != nil {
		return err
	}
	days, err := store.List(ctx, s.storage, store.ApprovalDays)
	if err != nil {
		return err
	}
	past := dayOf(s.now().Add(-keepFor))
	for _, day := range days {
		if strings.TrimSuffix(day, "/") >= past {
			continue
		}
		if err := s.eachOf(ctx, day, func(role, id string) error {
			if err := store.Delete(ctx, s.storage, store.Approvals+role+id); err != nil {
				return err
			}
			return store.Delete(ctx, s.storage, store.ApprovalDays+day+role+id)
		}); err != nil {
			return err
		}
	}
	return nil
}

// eachOf calls f with every approval of a day. The role ends with a slash.
func (s *Service) eachOf(ctx context.Context, day string, f func(role, id string) error) error {
	roles, err := store.List(ctx, s.storage, store.ApprovalDays+day)
	if err != nil {
		return err
	}
	for _, role := range roles {
		ids, err := store.List(ctx, s.storage, store.ApprovalDays+day+role)
		if err != nil {
			return err
		}
		for _, id := range ids {
			if err := f(role, id); err != nil {
				return err
			}
		}
	}
	return nil
}

// index puts the approvals on their days that were stored before there were any,
// once a process. It reads only those that are on none.
func (s *Service) index(ctx context.Context) error {
	if s.indexed {
		return nil
	}
	days, err := store.List(ctx, s.storage, store.ApprovalDays)
	if err != nil {
		return err
	}
	known := map[string]bool{}
	for _, day := range days {
		if err := s.eachOf(ctx, day, func(role, id string) error { known[role+id] = true; return nil }); err != nil {
			return err
		}
	}
	roles, err := s.Roles(ctx)
	if err != nil {
		return err
	}
	for _, role := range roles {
		ids, err := s.List(ctx, strings.TrimSuffix(role, "/"))
		if err != nil {
			return err
		}
		for _, id := range ids {
			if known[role+id] {
				continue
			}
			if err := s.indexOne(ctx, strings.TrimSuffix(role, "/"), id); err != nil {
				return err
			}
		}
	}
	s.indexed = true
	return nil
}

func (s *Service) indexOne(ctx context.Context, role, id string) error {
	a, err := s.stored(ctx, role, id)
	if err != nil || a == nil {
		return err
	}
	return store.Put(ctx, s.storage, dayKey(a), true)
}

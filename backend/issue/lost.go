// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package issue

import (
	"context"
	"errors"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/connect"
	"github.com/ci-identity/vault-plugin-secrets-ci/backend/ledger"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

// searchesAtOnce is how many places of one platform are looked at together: after a
// start there may be thousands, and the jobs that start now come first.
const searchesAtOnce = 4

// RevokeLost looks for tokens that are at a platform and not in the ledger, and
// revokes them: tokens whose answer never came, and after a start whatever a
// predecessor did not get to write down or an older snapshot has forgotten. Only
// platforms where tokens have names can be asked. What cannot be looked at stays to
// be looked at; a platform that is down delays no other.
func (s *Service) RevokeLost(ctx context.Context) {
	if err := s.suspectEverywhere(ctx); err != nil {
		s.logger.Warn("where tokens may have been lost is not known yet", "error", err)
		return
	}
	// First where there are places at all, then the places.
	for range 2 {
		var all sync.WaitGroup
		for site, places := range s.lost.due(s.now()) {
			all.Go(func() { s.lost.tell(site, s.searchSite(ctx, site, places), s.logger) })
		}
		all.Wait()
	}
}

// suspectEverywhere has every connection looked at as a whole, once after a start:
// nobody knows what a predecessor did last.
func (s *Service) suspectEverywhere(ctx context.Context) error {
	if s.lost.started() {
		return nil
	}
	links, err := s.connections.Links(ctx)
	if err != nil {
		return err
	}
	for _, link := range links {
		if _, finds := link.Connection.(providers.Finder); finds {
			s.lost.suspect(target{site: siteOf(link)}, s.now())
		}
	}
	s.lost.start()
	return nil
}

// searchSite looks at some places of one site, until it does not answer.
func (s *Service) searchSite(ctx context.Context, at site, places []string) error {
	link, err := s.connections.LinkAt(ctx, at.config, at.endpoint)
	if fault.Is(err, fault.Unauthorized) {
		s.logger.Warn("tokens that may have been lost are not looked for: the config is gone", "config", at.config, "base_url", at.endpoint)
		s.lost.drop(at)
		return nil
	}
	if err != nil {
		return err
	}
	finder, finds := link.Connection.(providers.Finder)
	if !finds {
		s.lost.drop(at)
		return nil
	}
	failures := make([]error, len(places))
	workers, ctx := errgroup.WithContext(ctx)
	workers.SetLimit(searchesAtOnce)
	for i, place := range places {
		workers.Go(func() error {
			if ctx.Err() != nil {
				return nil
			}
			began := s.now()
			err := s.searchPlace(ctx, link, finder, target{at, place})
			switch fault.KindOf(err) {
			case fault.Unavailable, fault.Limited, fault.Unauthorized:
				return err // the others would fail like it
			}
			if failures[i] = err; err == nil {
				s.lost.looked(target{at, place}, began)
			}
			return nil
		})
	}
	return errors.Join(workers.Wait(), errors.Join(failures...))
}

// searchPlace revokes what is at a place without a record. The place without a name
// is all of them: those are found out, to be looked at in turn.
func (s *Service) searchPlace(ctx context.Context, link *connect.Link, finder providers.Finder, t target) error {
	var places []string
	var found map[string]string
	err := link.Gate.Do(ctx, connect.Other, func(ctx context.Context) (err error) {
		if t.place == "" {
			places, err = finder.Places(ctx, s.roles.Mount())
			return err
		}
		found, err = finder.Find(ctx, s.roles.Mount(), t.place)
		return err
	})
	if fault.Is(err, fault.Refused) && t.place != "" {
		return nil // the place is gone, and what was there with it
	}
	if err != nil {
		return err
	}
	for _, place := range places {
		s.lost.suspectAlso(t, place)
	}
	var failures []error
	for id, handle := range found {
		failures = append(failures, s.revokeUnknown(ctx, link, t.place, id, handle))
	}
	return errors.Join(failures...)
}

// revokeUnknown revokes a token that the platform has and the ledger does not have as
// live.
func (s *Service) revokeUnknown(ctx context.Context, link *connect.Link, place, id, handle string) error {
	// In this order: a token that is being made is on record before it is not being
	// made any more.
	if s.lost.making(id) || !ledger.ValidID(id) {
		return nil
	}
	// One that is closed was dead when that was booked, so the platform listed it before.
	record, err := s.ledger.Find(ctx, id)
	known := err == nil
	switch {
	case known && (record.Status == ledger.Active || record.Status == ledger.Revoking):
		return nil
	case !known && !fault.Is(err, fault.NotFound):
		return err
	}
	err = link.Gate.Do(ctx, connect.Revoke, func(ctx context.Context) error {
		return link.Connection.Revoke(ctx, providers.Handle{Value: handle, MintedAt: s.now()})
	})
	if err != nil || known {
		return err
	}
	s.logger.Warn("revoked a token whose issue is not on record", "config", link.Name, "place", place, "token_id", id)
	return s.ledger.Tell(ctx, ledger.Event{Type: ledger.EventOrphanRevoked, Time: s.now(), More: map[string]any{
		"token_id": id, "provider": link.Platform.Name, "config": link.Name, "base_url": link.Connection.BaseURL(), "place": place,
	}})
}

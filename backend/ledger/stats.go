// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package ledger

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/ci-identity/vault-plugin-secrets-ci/backend/store"
)

// statDays is how many days back the report counts.
const statDays = 30

// stats are what the report counts by role. They are a fold of the log: a
// checkpoint on storage says how far, and a start folds in the rest.
type stats struct {
	storage logical.Storage

	mu    sync.Mutex
	seq   uint64
	roles map[string]*roleStats
	dirty map[string]bool
	// early are events of this process that wait until those of its predecessors
	// are folded in; replayed says that they are.
	early    []earlyStat
	replayed bool
}

type earlyStat struct {
	seq uint64
	stat
}

// roleStats are one role's figures.
type roleStats struct {
	// Seq is the last event that is in them.
	Seq        uint64               `json:"seq"`
	Days       map[string]*dayStats `json:"days"`
	LastIssued time.Time            `json:"last_issued"`
	// LastJob is the job that the last one was issued to, where it has proven itself.
	LastJob map[string]string `json:"last_job,omitempty"`
}

type dayStats struct {
	Issued int `json:"issued"`
	// Unused are tokens that ended without a use on record.
	Unused int `json:"unused"`
}

// stat is what one event means to the stats.
type stat struct {
	role   string
	at     time.Time
	issued bool
	unused bool
	job    map[string]string
}

func newStats(storage logical.Storage) *stats {
	return &stats{storage: storage, roles: map[string]*roleStats{}, dirty: map[string]bool{}}
}

func statOf(e Event) stat {
	if e.Record == nil {
		return stat{}
	}
	return stat{
		role: e.Record.Role, at: e.Time,
		issued: e.Type == EventIssued,
		unused: (e.Type == EventRevoked || e.Type == EventExpired) && e.Record.Uses == 0,
		job:    e.Record.Job,
	}
}

// storedEvent is the part of an event that a start reads back.
type storedEvent struct {
	Type      EventType         `json:"type"`
	Time      time.Time         `json:"time"`
	Role      string            `json:"role"`
	TokenID   string            `json:"token_id"`
	Uses      int               `json:"uses"`
	Status    Status            `json:"status"`
	RevokedBy Cause             `json:"revoked_by"`
	RevokedAt time.Time         `json:"revoked_at"`
	Job       map[string]string `json:"-"`
}

func parseEvent(b json.RawMessage) (storedEvent, error) {
	var raw struct {
		storedEvent
		RevokedAt string `json:"revoked_at"`
	}
	if err := json.Unmarshal(b, &raw); err != nil {
		return storedEvent{}, err
	}
	if raw.RevokedAt != "" {
		at, err := time.Parse(time.RFC3339, raw.RevokedAt)
		if err != nil {
			return storedEvent{}, err
		}
		raw.storedEvent.RevokedAt = at
	}
	if raw.Type != EventIssued {
		return raw.storedEvent, nil
	}
	var flat map[string]any
	if err := json.Unmarshal(b, &flat); err != nil {
		return storedEvent{}, err
	}
	raw.Job = jobOf(flat)
	return raw.storedEvent, nil
}

// jobOf reads back what Record.facts writes of a job.
func jobOf(flat map[string]any) map[string]string {
	job := map[string]string{}
	for name, value := range flat {
		fact, isJob := strings.CutPrefix(name, jobPrefix)
		if text, ok := value.(string); isJob && ok {
			job[fact] = text
		}
	}
	return job
}

func (e storedEvent) stat() stat {
	return stat{
		role: e.Role, at: e.Time,
		issued: e.Type == EventIssued,
		unused: (e.Type == EventRevoked || e.Type == EventExpired) && e.Uses == 0,
		job:    e.Job,
	}
}

// fold takes one event in, in its turn.
func (s *stats) fold(seq uint64, st stat) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.replayed {
		s.early = append(s.early, earlyStat{seq, st})
		return
	}
	s.add(seq, st)
}

// add takes one event in; one that is in already changes nothing. The caller holds mu.
func (s *stats) add(seq uint64, st stat) {
	s.seq = max(s.seq, seq)
	if st.role == "" || !st.issued && !st.unused {
		return
	}
	r := s.roles[st.role]
	if r == nil {
		r = &roleStats{Days: map[string]*dayStats{}}
		s.roles[st.role] = r
	}
	if seq <= r.Seq {
		return
	}
	r.Seq = seq
	day := r.day(st.at)
	if st.issued {
		day.Issued++
		r.LastIssued, r.LastJob = st.at, st.job
	}
	if st.unused {
		day.Unused++
	}
	s.dirty[st.role] = true
}

func (r *roleStats) day(at time.Time) *dayStats {
	name := at.UTC().Format(dayLayout)
	if r.Days[name] == nil {
		r.Days[name] = &dayStats{}
		days := slices.Sorted(maps.Keys(r.Days))
		for _, old := range days[:max(0, len(days)-statDays-1)] {
			delete(r.Days, old)
		}
	}
	return r.Days[name]
}

// replay takes in what is on storage: the figures as they were last written, and the
// events since then.
func (s *stats) replay(ctx context.Context, log *Log) error {
	roles, seq, err := s.load(ctx)
	if err != nil {
		return err
	}
	var later []earlyStat
	err = log.each(ctx, seq, func(seq uint64, e storedEvent) { later = append(later, earlyStat{seq, e.stat()}) })
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.roles, s.seq = roles, max(s.seq, seq)
	for _, e := range slices.Concat(later, s.early) {
		s.add(e.seq, e.stat)
	}
	s.early, s.replayed = nil, true
	return nil
}

// load reads the figures on storage and how far into the log they reach.
func (s *stats) load(ctx context.Context) (roles map[string]*roleStats, seq uint64, err error) {
	if _, err := store.Get(ctx, s.storage, store.StatsCheckpoint, &seq); err != nil {
		return nil, 0, err
	}
	names, err := store.List(ctx, s.storage, store.Stats)
	if err != nil {
		return nil, 0, err
	}
	roles = map[string]*roleStats{}
	for _, name := range names {
		var r roleStats
		found, err := store.Get(ctx, s.storage, store.Stats+name, &r)
		if err != nil {
			return nil, 0, err
		}
		if found {
			roles[name] = &r
		}
	}
	return roles, seq, nil
}

// save writes what has changed, then how far that reaches.
func (s *stats) save(ctx context.Context) error {
	s.mu.Lock()
	seq := s.seq
	changed := map[string]json.RawMessage{}
	for role := range s.dirty {
		encoded, err := json.Marshal(s.roles[role])
		if err != nil {
			s.mu.Unlock()
			return err
		}
		changed[role] = encoded
	}
	s.dirty = map[string]bool{}
	s.mu.Unlock()
	if len(changed) == 0 {
		return nil
	}
	for role, encoded := range changed {
		if err := store.Put(ctx, s.storage, store.Stats+role, encoded); err != nil {
			s.redo(changed)
			return err
		}
	}
	return store.Put(ctx, s.storage, store.StatsCheckpoint, seq)
}

func (s *stats) redo(changed map[string]json.RawMessage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for role := range changed {
		s.dirty[role] = true
	}
}

// RoleFigures are what the report says of a role's tokens.
type RoleFigures struct {
	Live       int
	Issued1d   int
	Issued7d   int
	Issued30d  int
	Unused30d  int
	LastIssued time.Time
	// LastJob is the job of the last issue; empty where no job has proven itself.
	LastJob map[string]string
}

// Figures are the figures of a role.
func (l *Ledger) Figures(role string) RoleFigures {
	now := l.now().UTC()
	f := RoleFigures{Live: l.LiveOf(role)}
	l.stats.mu.Lock()
	defer l.stats.mu.Unlock()
	r := l.stats.roles[role]
	if r == nil {
		return f
	}
	f.LastIssued, f.LastJob = r.LastIssued, r.LastJob
	for i := range statDays {
		day := r.Days[now.AddDate(0, 0, -i).Format(dayLayout)]
		if day == nil {
			continue
		}
		if i < 1 {
			f.Issued1d += day.Issued
		}
		if i < 7 {
			f.Issued7d += day.Issued
		}
		f.Issued30d += day.Issued
		f.Unused30d += day.Unused
	}
	return f
}

// SaveStats writes the stats that have changed.
func (l *Ledger) SaveStats(ctx context.Context) error { return l.stats.save(ctx) }

// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

// Package metrics is what the engine counts, as Prometheus text.
package metrics

import (
	"bytes"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
)

// Metrics are the figures of one mount.
type Metrics struct {
	registry    *prometheus.Registry
	calls       *prometheus.HistogramVec
	failures    *prometheus.CounterVec
	waits       *prometheus.HistogramVec
	refusals    *prometheus.CounterVec
	revocations *prometheus.CounterVec
}

// Figures are read at the time of asking.
type Figures struct {
	Live, QueueLength func() float64
	// QueueAge is the age of the oldest queued revocation in seconds.
	QueueAge func() float64
}

// New makes the figures of one mount.
func New() *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		calls: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "ci_platform_call_duration_seconds", Help: "Time at the platform by call (mint, revoke) and config.",
			Buckets: prometheus.ExponentialBuckets(0.005, 2, 12),
		}, []string{"call", "config"}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ci_platform_call_failures_total", Help: "Failed calls to the platform by kind of failure.",
		}, []string{"call", "config", "kind"}),
		waits: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "ci_limiter_wait_seconds", Help: "Time that a call waited for its turn (max_concurrency).",
			Buckets: prometheus.ExponentialBuckets(0.001, 4, 8),
		}, []string{"call", "config"}),
		refusals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ci_refusals_total", Help: "Reads of a credential that were refused, by kind.",
		}, []string{"role", "kind"}),
		revocations: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ci_closed_total", Help: "Tokens that are dead, by what ended them.",
		}, []string{"config", "by"}),
	}
	m.registry.MustRegister(m.calls, m.failures, m.waits, m.refusals, m.revocations)
	return m
}

// Watch adds the figures that are read at the time of asking. It is called once.
func (m *Metrics) Watch(f Figures) {
	gauge := func(name, help string, read func() float64) {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, read))
	}
	gauge("ci_live_tokens", "Tokens that are not known to be dead.", f.Live)
	gauge("ci_revocation_queue_length", "Revocations that the engine still owes.", f.QueueLength)
	gauge("ci_revocation_queue_age_seconds", "Age of the oldest revocation that the engine still owes.", f.QueueAge)
}

// Called counts one call to a platform.
func (m *Metrics) Called(call, config string, took time.Duration, err error) {
	m.calls.WithLabelValues(call, config).Observe(took.Seconds())
	if err != nil {
		m.failures.WithLabelValues(call, config, fault.KindOf(err).String()).Inc()
	}
}

// Waited counts the time that a call waited for its turn.
func (m *Metrics) Waited(call, config string, waited time.Duration) {
	m.waits.WithLabelValues(call, config).Observe(waited.Seconds())
}

// Refused counts a read of a credential that got none. A role that there is not has
// no label: callers could make up any number of them.
func (m *Metrics) Refused(role string, err error) {
	if fault.Is(err, fault.NotFound) {
		role = ""
	}
	m.refusals.WithLabelValues(role, fault.KindOf(err).String()).Inc()
}

// Closed counts a token that is dead.
func (m *Metrics) Closed(config, by string) { m.revocations.WithLabelValues(config, by).Inc() }

// Text is everything in the Prometheus text format.
func (m *Metrics) Text() (string, error) {
	families, err := m.registry.Gather()
	if err != nil {
		return "", err
	}
	var text bytes.Buffer
	for _, family := range families {
		if _, err := expfmt.MetricFamilyToText(&text, family); err != nil {
			return "", err
		}
	}
	return text.String(), nil
}

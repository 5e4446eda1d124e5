// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

// Package store is where the engine's data lies in Vault's storage: every key is
// built in this file, and every value is written with the version of its format.
package store

// Prefixes of the storage keys. What holds a secret is listed by SealWrapped.
const (
	// Configs holds config/<name>: a connection with its secrets.
	Configs = "config/"
	// Retired holds retired/<config>/<endpoint>: the newest credential for an
	// address that a config no longer points at but live tokens still need.
	Retired = "retired/"
	// Rotations holds rotation/<config>: a root credential on its way in, kept from
	// before the platform knows it until the config has it.
	Rotations = "rotation/"
	// Stages, Environments, Roles and Issuers hold what operators define.
	Stages       = "stage/"
	Environments = "environment/"
	Roles        = "role/"
	Issuers      = "issuer/"
	// Live holds live/<hour>/<x>/<suffix>: tokens that are not known to be dead, with
	// what is needed to kill them.
	Live = "live/"
	// Closed holds closed/<day>/<xx>/<suffix>: dead tokens, without any secret.
	Closed = "closed/"
	// Hashes holds hash/<hash>: the id of a token whose id had to be chosen before
	// the token was known.
	Hashes = "hash/"
	// Events holds events/<hour>/<minute>/<sequence>: pages of the ledger's log.
	Events = "events/"
	// Stats holds stats/<role>: what the report counts, folded from the log.
	Stats = "stats/"
	// StatsCheckpoint is how far into the log the stats are on storage.
	StatsCheckpoint = "stats-checkpoint"
	// Kills holds kill/<id>: an order to kill all tokens that match, until carried out.
	Kills = "kill/"
	// Approvals holds approval/<role>/<id>.
	Approvals = "approval/"
	// ApprovalDays holds approval-day/<day>/<role>/<id>: which approvals were asked
	// for on a day, so that tidy reads none that is not due.
	ApprovalDays = "approval-day/"
	// Seen holds seen/<hour>/<id>: job tokens that have had their one credential.
	Seen = "seen/"
	// Retirements holds retire/<config>/<role>: what a platform keeps for a role that
	// is gone, to be removed when no token of it lives.
	Retirements = "retire/"
	// Settings is the key of the settings.
	Settings = "settings"
)

// SealWrapped are the prefixes under which secrets lie.
func SealWrapped() []string { return []string{Configs, Retired, Rotations, Live} }

// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

// Package identity verifies the token by which a CI job proves who it is, and
// matches what that token claims against what a role and its environment bind.
//
// An Issuer says who may vouch for a job. A Verifier, one for each version of an
// issuer, checks signature, issuer, audience and time, and gives an Identity. A
// Bound says which claims an identity must have; a Template lets a role name the
// job's own repository; Job and Run are what is remembered of the job.
//
// Verifying is the only I/O here, and only for the issuer's keys: presets,
// patterns, templates and the job's facts are pure.
//
// What goes wrong is a fault: Invalid for what an operator wrote, Denied for a
// token that does not pass (the message names the gate), Unavailable when the
// issuer does not answer, or not with keys, and none of it can be used any more. No
// error holds a token or a part of its text.
package identity

// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

// Package fault is the one vocabulary of failure that the engine and its
// providers share. An error gets its kind where it arises; packages above wrap
// it with %w and never re-label it; the API maps a kind to a status in one place.
//
// No fault ever holds a key, a token or a password: what is put into a message
// is what its reader may see.
package fault

import (
	"errors"
	"fmt"
	"time"
)

// Kind says whose fault it is and so what the caller can do.
type Kind int

const (
	// Internal is the kind of every error that nobody gave a kind: a bug, or
	// storage that failed.
	Internal Kind = iota
	// Invalid: what the caller wrote is wrong. The message names the field and
	// what is allowed.
	Invalid
	// Denied: a gate is shut. The message names the gate and what opens it.
	Denied
	// NotFound: there is nothing of that name.
	NotFound
	// Conflict: right as such, but not in the present state of things.
	Conflict
	// Refused: the platform understood and said no to this grant. The message
	// says what is missing and where to allow it.
	Refused
	// Unauthorized: the platform does not accept our own credential.
	Unauthorized
	// Nonsense: the platform's answer makes no sense.
	Nonsense
	// Limited: the platform limits us. RetryAfter says for how long.
	Limited
	// Unavailable: the platform (or our own start-up) does not answer yet.
	Unavailable
	// Unproven: the platform answers, but not so that a token is known to be dead.
	Unproven
)

var names = map[Kind]string{
	Internal: "internal", Invalid: "invalid", Denied: "denied", NotFound: "not_found",
	Conflict: "conflict", Refused: "refused", Unauthorized: "unauthorized",
	Nonsense: "nonsense", Limited: "limited", Unavailable: "unavailable",
	Unproven: "unproven",
}

// String is the kind's name as metrics and records show it.
func (k Kind) String() string { return names[k] }

// Error is an error of a known kind.
type Error struct {
	Kind Kind
	// Field is the name of the field at fault, for Invalid; may be empty.
	Field string
	// RetryAfter is how long to wait before asking again, for Limited and,
	// where known, Unavailable.
	RetryAfter time.Duration
	// Guessed: the platform limits us but named no time; RetryAfter is ours. Who
	// meets such a limit again and again waits ever longer.
	Guessed bool
	msg     string
	cause   error
}

func (e *Error) Error() string {
	if e.Field != "" {
		return e.Field + ": " + e.msg
	}
	return e.msg
}

// Unwrap gives the cause, where there was one.
func (e *Error) Unwrap() error { return e.cause }

// New makes an error of the given kind. A %w in the format is kept as its cause.
func New(kind Kind, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Kind: kind, msg: err.Error(), cause: errors.Unwrap(err)}
}

// InvalidField says that what the caller wrote in a field is wrong. The message
// says what is allowed there.
func InvalidField(field, format string, args ...any) *Error {
	e := New(Invalid, format, args...)
	e.Field = field
	return e
}

// LimitedFor says that the platform wants us to wait for that long.
func LimitedFor(wait time.Duration, format string, args ...any) *Error {
	e := New(Limited, format, args...)
	e.RetryAfter = wait
	return e
}

// LimitedSomehow says that the platform limits us without saying for how long.
func LimitedSomehow(format string, args ...any) *Error {
	e := LimitedFor(leastWait, format, args...)
	e.Guessed = true
	return e
}

// leastWait is how long to leave a platform alone that named no time.
const leastWait = time.Minute

// KindOf is the kind of the outermost fault in err's chain; Internal where there
// is none.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return Internal
}

// Is reports whether err is a fault of that kind.
func Is(err error, kind Kind) bool { return err != nil && KindOf(err) == kind }

// RetryAfter is the wait that err asks for; zero where it asks for none.
func RetryAfter(err error) time.Duration {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.RetryAfter
	}
	return 0
}

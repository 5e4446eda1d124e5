// Copyright the vault-plugin-secrets-ci authors
// SPDX-License-Identifier: MPL-2.0

package transport

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/url"
	"strings"
	"unicode"

	"github.com/ci-identity/vault-plugin-secrets-ci/providers/fault"
	"github.com/ci-identity/vault-plugin-secrets-ci/providers/redact"
)

// Fault turns the error of a request that got no whole answer into a fault: one
// that is a fault already stays what it is, an answer too large is Nonsense, all
// else is Unavailable. The message names the host and never the rest of the URL;
// a cancelled or expired context stays visible to errors.Is. who is the platform's
// name: "github".
func Fault(who string, err error) error {
	if err == nil {
		return nil
	}
	if known, ok := errors.AsType[*fault.Error](err); ok {
		return fault.New(known.Kind, "%s: %w", who, known)
	}
	host := ""
	if u, ok := errors.AsType[*url.Error](err); ok {
		if parsed, parseErr := url.Parse(u.URL); parseErr == nil && parsed.Host != "" {
			host = " at " + origin(parsed)
		}
	}
	if errors.Is(err, ErrTooLarge) {
		return fault.New(fault.Nonsense, "%s%s: %w", who, host, ErrTooLarge)
	}
	return fault.New(fault.Unavailable, "%s%s: %w", who, host, reason(err))
}

// failure is a reason in our words with, for errors.Is, the context's error that
// it came from.
type failure struct {
	text  string
	cause error
}

func (f failure) Error() string { return f.text }
func (f failure) Unwrap() error { return f.cause }

// reason says what went wrong without repeating what an error of unknown making
// may hold.
func reason(err error) error {
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		return failure{text: "the host name " + dns.Name + " cannot be resolved: " + dns.Err}
	}
	if text, ok := tlsReason(err); ok {
		return failure{text: text}
	}
	if errors.Is(err, context.Canceled) {
		return failure{"the request was cancelled", context.Canceled}
	}
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() || errors.Is(err, context.DeadlineExceeded) {
		return failure{"no answer in time", context.DeadlineExceeded}
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return failure{text: "cannot " + op.Op + ": " + op.Err.Error()}
	}
	return failure{text: "the connection broke before the answer was complete"}
}

func tlsReason(err error) (string, bool) {
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "its certificate is signed by an authority that is not trusted; put that authority's certificate into ca_cert", true
	}
	if e, ok := errors.AsType[x509.HostnameError](err); ok {
		return "its certificate is for another host: " + e.Error(), true
	}
	if e, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		return "its certificate is not valid: " + e.Error(), true
	}
	if e, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return "its certificate is not accepted: " + e.Err.Error(), true
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return "it does not speak TLS on that port", true
	}
	return "", false
}

// longestMessage is how much of a platform's message is shown.
const longestMessage = 300

// Clean makes a message of the platform's fit for an error: one line, not long,
// and without the given secrets, which a proxy or a debug page may repeat, or what
// else looks like one.
func Clean(message string, secrets ...string) string {
	for _, secret := range secrets {
		if secret != "" {
			message = strings.ReplaceAll(message, secret, "[removed]")
		}
	}
	message = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, message)
	message = redact.Error(strings.Join(strings.Fields(message), " "))
	if runes := []rune(message); len(runes) > longestMessage {
		message = string(runes[:longestMessage]) + "..."
	}
	return message
}

// Package dnssec verifies DNSSEC: pure functions over records, keys and time.
package dnssec

import "github.com/shoji-dns/shoji/internal/dns"

// Status is the outcome of DNSSEC validation (RFC 4033 §5, RFC 4035 §4.3).
// Only this package makes a non-zero Status; the zero value is Indeterminate:
// nobody has checked. A Status is comparable, holds no pointer and may be copied.
type Status struct {
	outcome outcome
	reason  dns.ErrorCode
}

type outcome uint8

const (
	indeterminate outcome = iota
	insecure
	secure
	bogus
)

// IsIndeterminate reports that nothing was validated.
func (s Status) IsIndeterminate() bool { return s.outcome == indeterminate }

// IsInsecure reports a proof that the data need not be signed.
func (s Status) IsInsecure() bool { return s.outcome == insecure }

// IsSecure reports an unbroken chain from a trust anchor.
func (s Status) IsSecure() bool { return s.outcome == secure }

// IsBogus reports data that should verify and does not.
func (s Status) IsBogus() bool { return s.outcome == bogus }

// EDE is the Extended DNS Error (RFC 8914) that explains a bogus or an
// unsupported outcome; 0 (Other) where there is nothing to explain.
func (s Status) EDE() dns.ErrorCode { return s.reason }

// String names the outcome as RFC 4033 §5 does.
func (s Status) String() string {
	switch s.outcome {
	case insecure:
		return "insecure"
	case secure:
		return "secure"
	case bogus:
		return "bogus"
	}
	return "indeterminate"
}

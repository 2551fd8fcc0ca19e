package dnssec

import "github.com/shoji-dns/shoji/internal/dns"

// Status is the outcome of DNSSEC validation (RFC 4033 §5, RFC 4035 §4.3). Only this
// package makes a non-zero Status; the zero value is Indeterminate: nobody has checked.
// A Status is comparable, holds no pointer and may be copied.
type Status struct {
	outcome outcome
	cause   cause
}

type outcome uint8

// The outcomes that this package mints. Their order is no ranking; Weakest ranks.
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

// EDE is the Extended DNS Error (RFC 8914) that explains a bogus or an unsupported
// outcome; 0 (Other) where there is nothing to explain.
func (s Status) EDE() dns.ErrorCode { return s.cause.code() }

// Reason says in a few words why the outcome is what it is, fit for the EXTRA-TEXT of
// an Extended DNS Error; "" where there is nothing to explain.
func (s Status) Reason() string { return s.cause.String() }

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

// Weakest is what a whole is worth whose parts have the statuses a and b: bogus if
// either is, else indeterminate, else insecure, and secure only if both are. Of two
// equal outcomes the one that has a reason is kept, a's if both have.
func Weakest(a, b Status) Status {
	ra, rb := a.outcome.rank(), b.outcome.rank()
	if rb < ra || ra == rb && a.cause == causeNone {
		return b
	}
	return a
}

// rank orders outcomes from the weakest up.
func (o outcome) rank() int {
	switch o {
	case bogus:
		return 0
	case insecure:
		return 2
	case secure:
		return 3
	}
	return 1
}

// Exempt is the status of data below a negative trust anchor (RFC 7646) or in a zone
// that the operator's configuration declares insecure.
func Exempt() Status { return Status{insecure, causeExempt} }

// cause is why an outcome is what it is. It fixes the Extended DNS Error. Causes are
// ordered: where several signatures or proofs fail, the highest cause is told, the one
// that came nearest to success.
type cause uint8

const (
	causeNone cause = iota
	causeExempt
	causeOptOut
	causeDenialMissing
	causeDenialFails
	causeSignatureMissing
	causeForeignSigner
	causeMalformed
	causeAlgorithm
	causeDigest
	causeKeySize
	causeBackwards
	causeExpired
	causeEarly
	causeKeyMissing
	causeZoneBit
	causeSignature
	causeSynthesis
	causeIterations
	causeWork
)

func (c cause) code() dns.ErrorCode {
	switch c {
	case causeAlgorithm, causeKeySize:
		return dns.EDEUnsupportedDNSKEYAlgorithm
	case causeDigest:
		return dns.EDEUnsupportedDSDigestType
	case causeExpired:
		return dns.EDESignatureExpired
	case causeEarly:
		return dns.EDESignatureNotYetValid
	case causeBackwards:
		return dns.EDESignatureExpiredBeforeValid
	case causeKeyMissing:
		return dns.EDEDNSKEYMissing
	case causeSignatureMissing, causeForeignSigner:
		return dns.EDERRSIGsMissing
	case causeZoneBit:
		return dns.EDENoZoneKeyBitSet
	case causeDenialMissing, causeDenialFails:
		return dns.EDENSECMissing
	case causeIterations:
		return dns.EDEUnsupportedNSEC3Iterations
	case causeSignature, causeMalformed, causeSynthesis, causeWork:
		return dns.EDEDNSSECBogus
	}
	return dns.EDEOther
}

func (c cause) String() string {
	switch c {
	case causeExempt:
		return "negative trust anchor"
	case causeOptOut:
		return "NSEC3 opt-out"
	case causeDenialMissing:
		return "no NSEC or NSEC3 record"
	case causeDenialFails:
		return "NSEC or NSEC3 records do not prove it"
	case causeSignatureMissing:
		return "no RRSIG record"
	case causeForeignSigner:
		return "RRSIG not made by the zone"
	case causeMalformed:
		return "malformed record"
	case causeAlgorithm:
		return "no supported signature algorithm"
	case causeDigest:
		return "no supported DS digest"
	case causeKeySize:
		return "key size not supported"
	case causeBackwards:
		return "signature expires before its inception"
	case causeExpired:
		return "signature expired"
	case causeEarly:
		return "signature not yet valid"
	case causeKeyMissing:
		return "no matching DNSKEY record"
	case causeZoneBit:
		return "DNSKEY is not a zone key"
	case causeSignature:
		return "signature does not verify"
	case causeSynthesis:
		return "CNAME does not follow from DNAME"
	case causeIterations:
		return "too many NSEC3 iterations"
	case causeWork:
		return "validation work limit reached"
	}
	return ""
}

package dnssec

import (
	"encoding/binary"
	"time"

	"github.com/shoji-dns/shoji/internal/dns"
)

const rrsigFixed = 18 // octets of RRSIG RDATA before the signer's name, RFC 4034 §3.1

// rrsig is the RDATA of an RRSIG record. It shares the record's memory.
type rrsig struct {
	covered    dns.Type
	algorithm  Algorithm
	labels     int
	ttl        uint32 // original TTL
	expiration uint32
	inception  uint32
	tag        uint16
	fixed      []byte // the RDATA up to the signer's name
	signer     []byte // in wire form, letters as received
	signature  []byte
}

// parseRRSIG reads the RDATA of an RRSIG record.
func parseRRSIG(data []byte) (s rrsig, ok bool) {
	if len(data) < rrsigFixed {
		return s, false
	}
	n := nameLength(data[rrsigFixed:])
	if n == 0 {
		return s, false
	}
	s = rrsig{
		covered:    dns.Type(binary.BigEndian.Uint16(data)),
		algorithm:  Algorithm(data[2]),
		labels:     int(data[3]),
		ttl:        binary.BigEndian.Uint32(data[4:]),
		expiration: binary.BigEndian.Uint32(data[8:]),
		inception:  binary.BigEndian.Uint32(data[12:]),
		tag:        binary.BigEndian.Uint16(data[16:]),
		fixed:      data[:rrsigFixed],
		signer:     data[rrsigFixed : rrsigFixed+n],
		signature:  data[rrsigFixed+n:],
	}
	return s, true
}

// nameLength is the length of the uncompressed name at the start of b; 0 if there is
// none.
func nameLength[S ~string | ~[]byte](b S) int {
	for i := 0; i < len(b) && i < dns.MaxName; i += int(b[i]) + 1 {
		if b[i] == 0 {
			return i + 1
		}
		if b[i] > dns.MaxLabel {
			return 0
		}
	}
	return 0
}

// sameName compares a name in wire form to a canonical one without regard to case.
func sameName(b []byte, n dns.Name) bool {
	if len(b) != len(n) {
		return false
	}
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		if c != n[i] {
			return false
		}
	}
	return true
}

// signedLabels counts the labels of an owner name as the labels field of a signature
// does: neither the root nor a leading asterisk (RFC 4034 §3.1.3).
func signedLabels(n dns.Name) int {
	if isWildcard(n) {
		return n.Labels() - 1
	}
	return n.Labels()
}

// isWildcard reports whether the first label is a lone asterisk (RFC 4592 §2.1.1).
func isWildcard(n dns.Name) bool { return len(n) > 2 && n[0] == 1 && n[1] == '*' }

// wildcard is the wildcard directly below n.
func wildcard(n dns.Name) (dns.Name, bool) {
	if len(n) > dns.MaxName-2 {
		return "", false
	}
	return "\x01*" + n, true
}

// moment is a time as signatures hold it: seconds since 1970 modulo 2³², compared by
// serial number arithmetic (RFC 4034 §3.1.5, RFC 1982).
type moment uint32

func momentOf(t time.Time) moment { return moment(t.Unix()) }

// since is the signed distance from a to m in seconds.
func (m moment) since(a uint32) int64 { return int64(int32(uint32(m) - a)) }

// check says what is wrong with the validity period of a signature at now, give or take
// skew seconds; causeNone if nothing is.
func (s *rrsig) check(now moment, skew int64) cause {
	switch {
	case int32(s.expiration-s.inception) < 0:
		return causeBackwards
	case now.since(s.expiration) > skew:
		return causeExpired
	case now.since(s.inception) < -skew:
		return causeEarly
	}
	return causeNone
}

// Signer is the name of the zone that the first signature over the RRset of a name and
// type claims to be made by; records other than such signatures are skipped. Nothing is
// verified. It tells an iterating resolver which zone a server has answered from, where
// one server holds a zone and its child.
func Signer(name dns.Name, t dns.Type, records []dns.RR) (dns.Name, bool) {
	for i := range records {
		rr := &records[i]
		if rr.Type != dns.TypeRRSIG || !rr.Name.Equal(name) {
			continue
		}
		if s, ok := parseRRSIG(rr.Data); ok && s.covered == t {
			return dns.Name(s.signer).Canonical(), true
		}
	}
	return "", false
}

package serve

import (
	"net/netip"
	"strconv"

	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/filter"
)

// filtered answers a question whose name is listed, or whose answer leads to what is listed.
// Nothing in it comes from an original answer, and nothing depends on whether the name, an
// alias or an address decided but the entry's number.
//
//   - A and AAAA: the sinkhole's address, with EDE 4 (Forged Answer).
//   - Where the sinkhole has none, and for every other type, HTTPS and SVCB among them: no
//     data, with EDE 15 (Blocked).
//   - ANY: HINFO as for every other name (RFC 8482 §4.2), with EDE 15.
//
// The negative answer's SOA (RFC 2308) has the name that was asked as its owner. So it says
// nothing of other names: neither what else the same listing covers, nor, for a name that
// is listed by an alias, where that led. Its TTL and minimum are the block TTL.
//
// A client that validates cannot be shown a signature; it sees a failure, which is safe. AD
// is never set.
//
// The entry's number in the log is the EXTRA-TEXT.
//
//go:noinline
func (s *Server) filtered(q *dns.Query, out []byte, v filter.Verdict) []byte {
	start := len(out)
	out = begin(out, q, dns.RCodeSuccess)
	const prefix = "log entry "
	var room [len(prefix) + 20]byte // 2^64 has 20 digits
	why := explanation{true, dns.EDEBlocked, strconv.AppendUint(append(room[:0], prefix...), v.Entry, 10)}

	sinkhole := netip.Addr{}
	switch q.Type {
	case dns.TypeA:
		sinkhole = s.cfg.Sinkhole4
	case dns.TypeAAAA:
		sinkhole = s.cfg.Sinkhole6
	}
	switch {
	case sinkhole.IsValid():
		out = appendAddr(out, start, toQuestion, sinkhole, s.blockTTL)
		why.code = dns.EDEForgedAnswer
	case q.Type == dns.TypeANY:
		out = appendHINFO(out, start, s.blockTTL)
	default:
		out = appendSOA(out, start, toQuestion, s.blockTTL)
	}
	return appendOPT(out, start, q, dns.RCodeSuccess, why)
}

// appendAddr appends an A or AAAA record to the answer section.
func appendAddr(out []byte, start int, owner uint16, addr netip.Addr, ttl uint32) []byte {
	if addr.Is4() {
		b := addr.As4()
		out = append(appendRecord(out, owner, dns.TypeA, dns.ClassIN, ttl, len(b)), b[:]...)
	} else {
		b := addr.As16()
		out = append(appendRecord(out, owner, dns.TypeAAAA, dns.ClassIN, ttl, len(b)), b[:]...)
	}
	count(out, start, answerCount)
	return out
}

// appendHINFO appends the record that answers ANY (RFC 8482 §4.2).
func appendHINFO(out []byte, start int, ttl uint32) []byte {
	const data = "\x07RFC8482\x00"
	out = append(appendRecord(out, toQuestion, dns.TypeHINFO, dns.ClassIN, ttl, len(data)), data...)
	count(out, start, answerCount)
	return out
}

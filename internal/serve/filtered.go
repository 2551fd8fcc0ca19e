package serve

import (
	"net/netip"
	"sync/atomic"

	"github.com/shoji-dns/shoji/internal/citation"
	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/filter"
	"github.com/shoji-dns/shoji/internal/sde"
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
// The EXTRA-TEXT names the entry (package citation), and of which log where there are several. A
// client that asks for structured errors gets no forged address but no data for every type, and
// EDE 15 with package sde's text.
//
//go:noinline
func (s *Server) filtered(q *dns.Query, out []byte, v filter.Verdict) []byte {
	if v == rebound {
		return s.withheld(q, out)
	}
	s.filters[q.ID%filterCounts].n.Add(1)
	start := len(out)
	out = begin(out, q, dns.RCodeSuccess)
	if q.StructuredError {
		return s.structured(q, out, start, s.cfg.Structured.Load(), v)
	}
	var room [citation.MaxText]byte
	log := ""
	if len(s.cfg.Logs) > 1 && int(v.Log) < len(s.cfg.Logs) {
		log = s.cfg.Logs[v.Log]
	}
	why := explanation{true, dns.EDEBlocked, citation.Append(room[:0], v.Entry, log)}

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

// filterCounts is among how many places the count of filtered answers is spread: readers on
// several processors seldom meet in one.
const filterCounts = 16

type filterCount struct {
	n atomic.Uint64
	_ [56]byte // the rest of a cache line
}

// Filtered counts since the start in how many answers a listing decided.
func (s *Server) Filtered() uint64 {
	n := uint64(0)
	for i := range s.filters {
		n += s.filters[i].n.Load()
	}
	return n
}

// structured ends an answer to a client that asks for structured errors. It is an empty answer
// and no NXDOMAIN, since names below the one that was asked may exist and not be listed
// (RFC 8020).
//
//go:noinline
func (s *Server) structured(q *dns.Query, out []byte, start int, t *sde.Template, v filter.Verdict) []byte {
	if q.Type == dns.TypeANY {
		out = appendHINFO(out, start, s.blockTTL)
	} else {
		out = appendSOA(out, start, toQuestion, s.blockTTL)
	}
	var room [sde.MaxText]byte
	space := q.MaxReply - (len(out) - start) - optLen - q.Reply.Len() - edeLen
	return appendOPT(out, start, q, dns.RCodeSuccess, explanation{true, dns.EDEBlocked, t.Append(room[:0], int(v.Log), v.Entry, space)})
}

// mustTemplate makes a template of constants.
func mustTemplate(d sde.Detail) *sde.Template {
	t, err := sde.NewTemplate(d)
	if err != nil {
		panic("serve: " + err.Error())
	}
	return t
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

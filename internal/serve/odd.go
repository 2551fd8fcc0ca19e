package serve

import (
	"github.com/shoji-dns/shoji/internal/dns"
)

// anyTTL is the TTL of the HINFO record that answers ANY, in seconds (RFC 8482 §4.2 leaves
// it to the operator).
const anyTTL = 3600

// isOdd reports whether a query is other than the usual: a question of class IN for data,
// with recursion desired.
func isOdd(q *dns.Query) bool {
	return q.Class != dns.ClassIN || q.Type == 0 || q.Type.IsMeta() || !q.Flags.Has(dns.FlagRD)
}

// odd answers such a query, in both views alike but for ANY of a listed name.
//
//   - Class CH has the server's identity (RFC 4892) and status. Other classes are refused: no data is
//     known in them.
//   - OPT, NXNAME and type 0 cannot be asked for: FORMERR (RFC 6891 §6.1.1, RFC 9824 §3.3,
//     RFC 6895 §3.1). Transfers are refused (RFC 5936 §2.2.1: this server has no zone). Other
//     meta types are NOTIMP.
//   - Without RD, REFUSED with EDE 20, as RFC 8914 §4.21 asks for: a resolver that answered
//     from its cache would tell anyone what others had asked. Unbound, Knot Resolver and
//     PowerDNS refuse likewise. Local zones are answered, being no one's secret. An
//     operator may have them answered from memory (Config.Nonrecursive).
//   - ANY is answered by HINFO (RFC 8482 §4.2).
//
//go:noinline
func (s *Server) odd(q *dns.Query, out []byte) []byte {
	switch {
	case q.Class == dns.ClassCH:
		return s.chaos(q, out)
	case q.Class != dns.ClassIN:
		return empty(q, out, dns.RCodeRefused, dns.EDENotSupported, "class")
	}
	switch q.Type {
	case 0, dns.TypeOPT, dns.TypeNXNAME:
		return empty(q, out, dns.RCodeFormatError, dns.EDEInvalidQueryType, "")
	case dns.TypeAXFR, dns.TypeIXFR:
		return empty(q, out, dns.RCodeRefused, dns.EDENotAuthoritative, "")
	case dns.TypeANY:
	default:
		if q.Type.IsMeta() {
			return empty(q, out, dns.RCodeNotImplemented, dns.EDEInvalidQueryType, "")
		}
	}
	if at, zone := s.local.Load().find(q.Name()); zone != nil {
		if out, o := s.fromLocal(q, out, at, zone); o == answered {
			return out
		}
	}
	if !q.Flags.Has(dns.FlagRD) {
		return s.nonrecursive(q, out)
	}
	if list := s.snapshot().list; list != nil {
		if v, listed := list.Match(q.Name()); listed {
			return s.filtered(q, out, v)
		}
	}
	start := len(out)
	out = appendHINFO(begin(out, q, dns.RCodeSuccess), start, anyTTL)
	return appendOPT(out, start, q, dns.RCodeSuccess, explanation{})
}

// nonrecursive answers a query without RD: it is refused, or gets what memory has. What that
// does not have is an empty answer, without the SOA record that would make it a denial.
func (s *Server) nonrecursive(q *dns.Query, out []byte) []byte {
	if !s.cfg.Nonrecursive || q.Type == dns.TypeANY {
		return empty(q, out, dns.RCodeRefused, dns.EDENotAuthoritative, "recursion not desired")
	}
	if s.cfg.Required && s.waits() {
		return s.unready(q, out)
	}
	start := len(out)
	if reply, ok := s.hit(q, out, s.snapshot()); ok {
		return reply
	}
	return appendOPT(begin(out, q, dns.RCodeSuccess), start, q, dns.RCodeSuccess, explanation{})
}

// chaos answers a query in class CH: the server's identity and version, if they are told.
func (s *Server) chaos(q *dns.Query, out []byte) []byte {
	text := ""
	switch string(q.Name()) {
	case "\x02id\x06server\x00", "\x08hostname\x04bind\x00":
		text = s.cfg.Identity
	case "\x07version\x06server\x00", "\x07version\x04bind\x00":
		text = s.cfg.Version
	case statusName:
		return s.status(q, out)
	}
	if text == "" {
		return empty(q, out, dns.RCodeRefused, dns.EDENotSupported, "")
	}
	text = text[:min(len(text), 255)] // one string of a TXT record
	start := len(out)
	out = begin(out, q, dns.RCodeSuccess)
	if q.Type == dns.TypeTXT || q.Type == dns.TypeANY {
		out = appendRecord(out, toQuestion, dns.TypeTXT, dns.ClassCH, 0, 1+len(text))
		out = append(append(out, byte(len(text))), text...)
		count(out, start, answerCount)
	}
	return appendOPT(out, start, q, dns.RCodeSuccess, explanation{})
}

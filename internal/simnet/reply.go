package simnet

import (
	"strings"

	"github.com/miekg/dns"
)

// Sizes of UDP messages. The server never sends more than maxUDP octets, the
// limit of the DNS flag day 2020 that keeps clear of fragments.
const (
	minUDP = 512 // RFC 1035 §4.2.1
	maxUDP = 1232
	maxTCP = dns.MaxMsgSize
)

// headerSize is a message without any section (RFC 1035 §4.1.1).
const headerSize = 12

// authority is what an authoritative server has: zones by origin.
type authority struct {
	zones map[string]*Zone
}

// reply answers a query as an authoritative server for the zones would. It
// returns nil for what deserves no reply.
func (a *authority) reply(query []byte, tcp bool, f *Faults) []byte {
	if len(query) < headerSize || query[2]&0x80 != 0 {
		return nil // too short, or itself a reply (RFC 5625 §6.1 is the cautionary tale)
	}
	var q dns.Msg
	if err := q.Unpack(query); err != nil {
		return bare(query, dns.RcodeFormatError)
	}
	m := new(dns.Msg)
	m.SetReply(&q)
	m.RecursionDesired, m.CheckingDisabled = q.RecursionDesired, q.CheckingDisabled
	m.Compress = true
	limit := minUDP
	opt, code := readOPT(&q)
	switch {
	case opt != nil && f.EDNS == EDNSIgnored:
		opt = nil
	case opt != nil && f.EDNS == EDNSDropped:
		return nil
	case opt != nil && f.EDNS == EDNSFormErr:
		return bare(query, dns.RcodeFormatError)
	}
	if opt != nil {
		limit = min(max(int(opt.UDPSize()), minUDP), maxUDP)
		m.SetEdns0(maxUDP, opt.Do())
	}
	if tcp {
		limit = maxTCP
	}
	switch {
	case code != dns.RcodeSuccess:
		m.Rcode = code
	case q.Opcode != dns.OpcodeQuery:
		m.Rcode = dns.RcodeNotImplemented
	case len(q.Question) != 1:
		m.Rcode = dns.RcodeFormatError
	default:
		a.fill(m, opt != nil && opt.Do(), f)
	}
	return pack(m, query, limit)
}

// readOPT finds the query's OPT record (RFC 6891 §6.1.1) and what is wrong with it.
func readOPT(q *dns.Msg) (opt *dns.OPT, code int) {
	for _, rr := range q.Extra {
		o, ok := rr.(*dns.OPT)
		if !ok {
			continue
		}
		if opt != nil {
			return opt, dns.RcodeFormatError
		}
		opt = o
	}
	if opt != nil && opt.Version() != 0 {
		return opt, dns.RcodeBadVers
	}
	return opt, dns.RcodeSuccess
}

// fill answers the question of m.
func (a *authority) fill(m *dns.Msg, do bool, f *Faults) {
	q := m.Question[0]
	name := strings.ToLower(q.Name)
	z := a.choose(name, q.Qtype)
	switch {
	case f.Lame != NotLame:
		f.Lame.fill(m)
		return
	case z == nil || q.Qclass != dns.ClassINET, isTransfer(q.Qtype):
		m.Rcode = dns.RcodeRefused
		return
	}
	found := z.find(name, q.Name, q.Qtype, do)
	m.Rcode = found.rcode
	m.Authoritative = found.aa
	m.Answer, m.Ns = found.answer, found.authority
	m.Extra = append(found.extra, m.Extra...)
	if f.BrokenENT && found.rcode == dns.RcodeSuccess && len(found.answer) == 0 && !found.referral {
		m.Rcode = dns.RcodeNameError
	}
}

// choose finds the zone that a question belongs to: the deepest, and for DS the
// one above the cut where the server has both (RFC 4035 §3.1.4.1).
func (a *authority) choose(name string, qtype uint16) *Zone {
	if qtype == dns.TypeDS && name != "." && a.zones[name] != nil {
		if up := enclosing(a.zones, parent(name)); up != nil {
			return up
		}
	}
	return enclosing(a.zones, name)
}

// isTransfer tells zone transfers and the other meta types that are no data.
func isTransfer(t uint16) bool { return t >= dns.TypeTKEY && t <= dns.TypeMAILA }

// pack puts a message into at most limit octets: without additional records if
// they do not fit, else empty and marked as truncated (RFC 2181 §9). A referral
// needs its glue and is not sent without it (RFC 9471).
func pack(m *dns.Msg, query []byte, limit int) []byte {
	out, err := m.Pack()
	if err == nil && len(out) <= limit {
		return out
	}
	opt := m.IsEdns0()
	if m.Extra = nil; opt != nil {
		m.Extra = []dns.RR{opt}
	}
	if m.Authoritative {
		if out, err = m.Pack(); err == nil && len(out) <= limit {
			return out
		}
	}
	m.Answer, m.Ns, m.Truncated = nil, nil, true
	if out, err = m.Pack(); err != nil {
		return bare(query, dns.RcodeServerFailure)
	}
	return out
}

// bare is a header alone: an error reply to what could not be read.
func bare(query []byte, rcode byte) []byte {
	if len(query) < headerSize {
		return nil
	}
	out := make([]byte, headerSize)
	copy(out, query[:4])
	out[2] = out[2]&0x79 | 0x80 // QR on; opcode and RD as they were
	out[3] = rcode
	return out
}

// Lameness is a way of not answering for a zone that one has been delegated.
type Lameness uint8

const (
	NotLame      Lameness = iota
	LameRefused           // REFUSED
	LameServFail          // SERVFAIL
	LameUpward            // a referral to the root, as BIND 8 gave
	LameSilence           // an empty NOERROR without the AA bit
)

func (l Lameness) fill(m *dns.Msg) {
	switch l {
	case LameRefused:
		m.Rcode = dns.RcodeRefused
	case LameServFail:
		m.Rcode = dns.RcodeServerFailure
	case LameUpward:
		m.Ns = []dns.RR{&dns.NS{
			Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeNS, Class: dns.ClassINET, Ttl: defaultTTL},
			Ns:  "a.roots.",
		}}
	}
}

// EDNSFault is a way of mistreating queries that have an OPT record.
type EDNSFault uint8

const (
	EDNSFine    EDNSFault = iota
	EDNSIgnored           // answered as if it were not there (RFC 6891 §7 allows it)
	EDNSFormErr           // FORMERR without OPT
	EDNSDropped           // no reply
)

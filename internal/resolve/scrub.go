package resolve

import (
	"time"

	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/dnssec"
)

// link is what the servers of one zone said about one name of a chain: where it
// leads, or what is at its end.
type link struct {
	name    dns.Name // whose link it is; canonical
	zone    dns.Name // the zone that was asked
	rcode   dns.RCode
	records []dns.RR // the CNAME, with the DNAME before it where it was made from one; or the data; RRSIGs follow
	proof   []dns.RR // SOA of a negative answer; NSEC, NSEC3 and RRSIGs
	target  dns.Name // where it leads; "" at the end of the chain
	ttl     time.Duration
	status  dnssec.Status
	// proven marks a link made of denials that are kept: nobody said it, and it is not
	// put into memory.
	proven bool
	// recalled marks a link that memory had: it is not put there again.
	recalled bool
	// mingled marks a link of a reply whose proofs, or whose statuses, are of several links
	// and cannot be told apart: no part of such a chain is remembered by itself.
	mingled bool
	from    *server // whose reply it was; nil where it is recalled
}

// kind is what a reply amounts to.
type kind uint8

const (
	kindUseless  kind = iota // an error, or a server that does not serve the zone
	kindWeak                 // an answer to be used only where nothing better is had
	kindAnswer               // links, of which the last may lead on
	kindReferral             // a delegation further down
)

// finding is a scrubbed reply: what may be believed of it and nothing else.
type finding struct {
	kind  kind
	lame  bool // the server does not serve the zone
	links []link
	child *referral
}

// referral is a delegation as the parent's servers gave it.
type referral struct {
	zone dns.Name
	ttl  time.Duration
	ns   []dns.Name
	glue []glue
	ds   []dns.RR
}

type glue struct {
	ns   int
	addr dns.RR
}

// scrub takes from a reply of the servers of zone what answers q, by the rules of
// RFC 2181 §5.4.1 and of caution: only records of class IN, only names at or below
// the zone, only what lies on the way from the question. An unasked NS set beside
// an answer, unasked addresses, a sibling's glue for a name that is not a name
// server of the referral: none of them leaves this function.
type scrubber struct {
	zone    dns.Name
	q       question
	forward bool
	priming bool // the question is for the zone's own NS set (RFC 9609): the answer is a delegation
	m       *dns.Message
	// deeper reports that a name belongs to a zone below the one asked: then this
	// zone's servers have no say in it.
	deeper func(dns.Name) bool

	proof  []dns.RR // what denial returned
	proven bool
}

func (s *scrubber) scrub() finding {
	switch s.m.RCode {
	case dns.RCodeSuccess, dns.RCodeNameError, dns.RCodeYXDomain:
	case dns.RCodeRefused, dns.RCodeNotAuth:
		return finding{kind: kindUseless, lame: true}
	default:
		return finding{kind: kindUseless}
	}
	if len(s.m.Answer)+len(s.m.Authority) > maxRecords {
		return finding{kind: kindUseless}
	}
	links, cur, ok := s.chain()
	if !ok {
		return finding{kind: kindUseless}
	}
	if s.priming {
		return finding{kind: s.strength(), links: links, child: s.referral(s.zone, s.m.Answer)}
	}
	if n := len(links); n > 0 {
		if last := &links[n-1]; last.target != "" && s.ours(cur) {
			if l, ok := s.negative(cur, true); ok {
				links = append(links, l)
			}
		}
		mingle(links)
		return finding{kind: s.strength(), links: links}
	}
	return s.withoutAnswer()
}

// mingle marks the links of a reply that have proofs, if there are several.
func mingle(links []link) {
	n := 0
	for i := range links {
		if len(links[i].proof) > 0 {
			n++
		}
	}
	for i := range links {
		links[i].mingled = n > 1 && len(links[i].proof) > 0
	}
}

// strength tells an authoritative answer from that of a resolver that happens to
// stand where the zone's server should.
func (s *scrubber) strength() kind {
	if !s.forward && s.m.Flags.Has(dns.FlagRA) && !s.m.Flags.Has(dns.FlagAA) {
		return kindWeak
	}
	return kindAnswer
}

// ours reports that the zone asked has the say about a name.
func (s *scrubber) ours(name dns.Name) bool {
	return name.IsSubdomainOf(s.zone) && (name == s.q.name || !s.deeper(name))
}

// mayDeny reports that the owner of a SOA, NSEC or NSEC3 record may have a part in a
// denial: the zone asked, or any where a forward zone is but a part of a zone. These
// records only ever go with the answer, and prove nothing unless they are validated.
func (s *scrubber) mayDeny(owner dns.Name) bool { return s.forward || owner.IsSubdomainOf(s.zone) }

// chain follows the answer section from the question's name. It returns the links
// found and the name that the last leads to.
func (s *scrubber) chain() (links []link, cur dns.Name, ok bool) {
	cur = s.q.name
	for len(links) <= maxLinks && s.ours(cur) {
		l, ok := s.step(cur)
		if !ok {
			return nil, "", false
		}
		if l == nil {
			break
		}
		links = append(links, *l)
		if l.target == "" {
			return links, "", true
		}
		cur = l.target
	}
	return links, cur, true
}

// step finds the answer section's link for one name; nil where it has none.
func (s *scrubber) step(cur dns.Name) (*link, bool) {
	if s.q.typ == dns.TypeCNAME {
		if dname, n := s.dname(cur); n > 0 { // the CNAME asked for is made from it
			l, ok := s.dnameLink(cur, dname, n)
			if ok {
				l.target = ""
			}
			return l, ok
		}
	}
	if data, n := s.take(cur, s.q.typ); n > 0 {
		if n > maxRRset {
			return nil, false
		}
		l := s.link(cur, dns.RCodeSuccess, data)
		return l, true
	}
	if s.q.typ != dns.TypeANY {
		if dname, n := s.dname(cur); n > 0 {
			return s.dnameLink(cur, dname, n)
		}
		if cname, n := s.take(cur, dns.TypeCNAME); n > 0 {
			target, ok := cname[0].Target()
			if n > 1 || !ok { // RFC 1034 §3.6.2: one CNAME at a name
				return nil, false
			}
			l := s.link(cur, dns.RCodeSuccess, cname)
			l.target = target.Canonical()
			return l, true
		}
	}
	return nil, true
}

func (s *scrubber) link(name dns.Name, rcode dns.RCode, records []dns.RR) *link {
	l := &link{
		name: name, zone: s.zone, rcode: rcode, records: records,
		ttl: leastTTL(records, longestTTL),
	}
	if !atHome(records) {
		l.proof = s.denial()
	}
	return l
}

// atHome reports that signed records stand at their own name: they were not made from a
// wildcard's, so no denial goes with them (RFC 4035 §3.1.3.3), and one that the reply has
// for another link is not given out with them.
func atHome(records []dns.RR) bool {
	const labels = 3 // where the RDATA of an RRSIG counts them (RFC 4034 §3.1)
	for i := range records {
		rr := &records[i]
		if rr.Type == dns.TypeRRSIG && len(rr.Data) > labels && int(rr.Data[labels]) >= rr.Name.Labels() {
			return true
		}
	}
	return false
}

// take copies the records of a name and type from the answer section, RRSIGs that
// cover them last, with one TTL for all: the least (RFC 2181 §5.2). n counts the
// records without RRSIGs, each once (§5).
func (s *scrubber) take(name dns.Name, t dns.Type) (records []dns.RR, n int) {
	for i := range s.m.Answer {
		rr := &s.m.Answer[i]
		if matches(rr, t) && rr.Class == dns.ClassIN && rr.Name.Equal(name) {
			n++
		}
	}
	if n == 0 || n > maxRRset {
		return nil, n
	}
	records = gather(s.m.Answer, name, t)
	n = 0
	for i := range records {
		if matches(&records[i], t) {
			n++
		}
	}
	if n == len(records) && t != dns.TypeANY && t != dns.TypeRRSIG {
		records = s.signatures(records, name, t)
	}
	return records, n
}

// signatures appends the RRSIGs of an RRset that a server has put into another section than
// the RRset. Some do; what they are worth, verification says.
func (s *scrubber) signatures(records []dns.RR, name dns.Name, t dns.Type) []dns.RR {
	for _, section := range [2][]dns.RR{s.m.Additional, s.m.Authority} {
		for i := range section {
			rr := &section[i]
			if rr.Type != dns.TypeRRSIG || rr.Covered() != t || rr.Class != dns.ClassIN || !rr.Name.Equal(name) ||
				len(records) >= 2*maxRRset || holds(records, rr) {
				continue
			}
			c := *rr
			c.Name, c.TTL = name, records[0].TTL
			records = append(records, c)
		}
	}
	return records
}

// matches reports that a record is what the type asks for.
func matches(rr *dns.RR, t dns.Type) bool {
	return rr.Type == t || t == dns.TypeANY
}

// holds reports whether records of one name have one of the same type and data.
func holds(records []dns.RR, rr *dns.RR) bool {
	for i := range records {
		if records[i].Type == rr.Type && string(records[i].Data) == string(rr.Data) {
			return true
		}
	}
	return false
}

// gather copies the records of name and type and the RRSIGs that cover them. What
// stands there twice is copied once.
func gather(from []dns.RR, name dns.Name, t dns.Type) []dns.RR {
	var out []dns.RR
	for pass := range 2 {
		for i := range from {
			rr := &from[i]
			want := matches(rr, t)
			if pass == 1 {
				want = !want && rr.Type == dns.TypeRRSIG && rr.Covered() == t
			}
			if want && rr.Class == dns.ClassIN && rr.Name.Equal(name) && len(out) < 2*maxRRset && !holds(out, rr) {
				c := *rr
				c.Name = name
				c.TTL = saneTTL(rr.TTL)
				out = append(out, c)
			}
		}
	}
	if t != dns.TypeANY {
		least := uint32(longestTTL / time.Second)
		for i := range out {
			least = min(least, out[i].TTL)
		}
		for i := range out {
			out[i].TTL = least
		}
	}
	return out
}

// saneTTL caps a TTL. One with the top bit set counts as a long one (RFC 8767 §4).
func saneTTL(ttl uint32) uint32 { return min(ttl, uint32(longestTTL/time.Second)) }

func leastTTL(records []dns.RR, limit time.Duration) time.Duration {
	for i := range records {
		limit = min(limit, time.Duration(records[i].TTL)*time.Second)
	}
	return limit
}

// dname finds the DNAME above a name, with its RRSIGs.
func (s *scrubber) dname(cur dns.Name) (records []dns.RR, n int) {
	for i := range s.m.Answer {
		rr := &s.m.Answer[i]
		if rr.Type == dns.TypeDNAME && len(rr.Name) < len(cur) &&
			cur.IsSubdomainOf(rr.Name) && rr.Name.IsSubdomainOf(s.zone) {
			return s.take(rr.Name.Canonical(), dns.TypeDNAME)
		}
	}
	return nil, 0
}

// dnameLink makes the link of a name below a DNAME (RFC 6672 §3.1). The CNAME is
// always our own: what the server made of it is not looked at.
func (s *scrubber) dnameLink(cur dns.Name, dname []dns.RR, n int) (*link, bool) {
	owner := dname[0].Name
	target, ok := dname[0].Target()
	if n > 1 || !ok {
		return nil, false
	}
	target = target.Canonical()
	prefix := cur[:len(cur)-len(owner)]
	if len(prefix)+len(target) > dns.MaxName {
		return s.link(cur, dns.RCodeYXDomain, dname), true
	}
	to := prefix + target
	cname := dns.RR{Name: cur, Type: dns.TypeCNAME, Class: dns.ClassIN, TTL: dname[0].TTL, Data: []byte(to)}
	l := s.link(cur, dns.RCodeSuccess, append(dname, cname))
	if s.q.typ != dns.TypeCNAME { // which it answers
		l.target = to
	}
	return l, true
}

// denial copies NSEC and NSEC3 records with their RRSIGs from the authority
// section: the proofs that go with a negative or a wildcard's answer. All links of
// one reply share them.
func (s *scrubber) denial() []dns.RR {
	if s.proven {
		return s.proof
	}
	var out []dns.RR
	for i := range s.m.Authority {
		rr := &s.m.Authority[i]
		t := rr.Type
		if t == dns.TypeRRSIG {
			t = rr.Covered()
		}
		if (t == dns.TypeNSEC || t == dns.TypeNSEC3) && rr.Class == dns.ClassIN &&
			s.mayDeny(rr.Name) && len(out) < maxRRset {
			c := *rr
			c.Name, c.TTL = rr.Name.Canonical(), saneTTL(rr.TTL)
			out = append(out, c)
		}
	}
	s.proof, s.proven = out[:len(out):len(out)], true
	return s.proof
}

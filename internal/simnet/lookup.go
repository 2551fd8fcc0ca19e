package simnet

import (
	"strings"

	"github.com/miekg/dns"
)

// maxChase bounds how many aliases an authoritative server follows inside its
// own zone before it leaves the rest to the resolver; NSD and Knot bound it likewise.
const maxChase = 8

// finding is what a zone has to say to one question (RFC 1034 §4.3.2).
type finding struct {
	rcode     int
	aa        bool
	referral  bool
	answer    []dns.RR
	authority []dns.RR
	extra     []dns.RR

	next     string // where an alias leads that was not followed to its end; "" at an end
	wildcard bool   // some record was made from a wildcard
	opened   bool   // an opt-out span was needed for a proof: not provably secure
}

// search is one question's way through a zone.
type search struct {
	z     *Zone
	f     *finding
	qtype uint16
	do    bool // DNSSEC records are wanted (RFC 3225)
	shown map[*rrset]bool
}

// find answers a question about a name in the zone. The name is in lower case;
// asked is its spelling in the query, which owner names in the answer take over.
func (z *Zone) find(name, asked string, qtype uint16, do bool) *finding {
	s := &search{z: z, f: &finding{aa: true}, qtype: qtype, do: do && z.signing != nil, shown: map[*rrset]bool{}}
	seen := map[string]bool{}
	for range maxChase {
		if seen[name] {
			break // a loop of aliases
		}
		seen[name] = true
		s.f.next = ""
		target := s.step(name, asked)
		if target == "" {
			break
		}
		s.f.next = target
		if !dns.IsSubDomain(z.origin, target) {
			break
		}
		name, asked = target, target
	}
	return s.f
}

// step looks one name up. It returns the target of an alias, in lower case, if
// that is what it found.
func (s *search) step(name, asked string) string {
	encloser, cut := s.descend(name)
	if cut != nil && !(s.qtype == dns.TypeDS && cut.name == name) {
		s.refer(cut, name)
		return ""
	}
	if encloser.name == name {
		return s.at(encloser, encloser, asked)
	}
	if set := encloser.of(dns.TypeDNAME); set != nil {
		return s.substitute(set, encloser, asked)
	}
	if w := s.z.nodes[child("*", encloser.name)]; w != nil {
		s.f.wildcard = true
		s.deny(name, encloser)
		return s.at(w, encloser, asked)
	}
	s.f.rcode = dns.RcodeNameError
	s.soa()
	s.deny(name, encloser)
	s.denyWildcard(encloser)
	return ""
}

// descend walks from the apex towards name. It returns the closest encloser
// (RFC 4592 §3.3.1), or the delegation or DNAME owner that the way ends at.
func (s *search) descend(name string) (encloser, cut *node) {
	encloser = s.z.apex()
	starts := dns.Split(name)
	up := dns.CountLabel(s.z.origin)
	for i := len(starts) - up - 1; i >= 0; i-- {
		if encloser.of(dns.TypeDNAME) != nil {
			return encloser, nil
		}
		n := s.z.nodes[name[starts[i]:]]
		if n == nil {
			return encloser, nil
		}
		encloser = n
		if n.cut {
			return n, n
		}
	}
	return encloser, nil
}

// at answers from a node: the one asked for, or the wildcard that stands in for
// it, in which case encloser is its parent.
func (s *search) at(n, encloser *node, asked string) string {
	if set := n.of(dns.TypeCNAME); set != nil && s.follows(n) {
		s.show(&s.f.answer, set, asked)
		return dns.CanonicalName(set.rrs[0].(*dns.CNAME).Target)
	}
	found := false
	switch s.qtype {
	case dns.TypeANY:
		for _, t := range n.types() {
			s.show(&s.f.answer, n.sets[t], asked)
			found = true
		}
	case dns.TypeRRSIG:
		for _, t := range n.types() {
			for _, sig := range n.sets[t].sigs {
				s.f.answer = append(s.f.answer, renamed(sig, asked))
				found = true
			}
		}
	default:
		if set := n.of(s.qtype); set != nil {
			s.show(&s.f.answer, set, asked)
			s.addresses(set)
			found = true
		}
	}
	if !found {
		s.soa()
		if n == encloser {
			s.denyType(n)
		} else {
			s.denyWildcardType(n, encloser)
		}
	}
	return ""
}

// follows reports whether a node's CNAME answers for the type asked (RFC 1034
// §3.6.2). It does not for what may stand beside it (RFC 4034 §2.5 and §3).
func (s *search) follows(n *node) bool {
	switch s.qtype {
	case dns.TypeCNAME, dns.TypeANY, dns.TypeRRSIG:
		return false
	}
	return n.of(s.qtype) == nil
}

// substitute answers by a DNAME: the record, and the CNAME made from it (RFC 6672 §3.1).
func (s *search) substitute(set *rrset, owner *node, asked string) string {
	s.show(&s.f.answer, set, owner.name)
	prefix := asked[:len(asked)-len(owner.name)]
	if owner.name == "." {
		prefix = asked
	}
	target := set.rrs[0].(*dns.DNAME).Target
	if target == "." {
		target = ""
	}
	made := prefix + target
	var wire [256]byte
	if _, err := dns.PackDomainName(made, wire[:], 0, nil, false); err != nil {
		s.f.rcode = dns.RcodeYXDomain
		return ""
	}
	s.f.answer = append(s.f.answer, &dns.CNAME{
		Hdr: dns.RR_Header{Name: asked, Rrtype: dns.TypeCNAME, Class: dns.ClassINET,
			Ttl: set.rrs[0].Header().Ttl},
		Target: made,
	})
	if s.qtype == dns.TypeCNAME || s.qtype == dns.TypeANY {
		return ""
	}
	return dns.CanonicalName(made)
}

// refer hands over to the servers below a cut (RFC 4035 §3.1.4).
func (s *search) refer(cut *node, name string) {
	if len(s.f.answer) > 0 {
		s.f.next = name // an alias led out of the zone: the resolver goes on by itself
		return
	}
	s.f.aa, s.f.referral = false, true
	ns := cut.of(dns.TypeNS)
	s.f.authority = append(s.f.authority, ns.rrs...)
	if ds := cut.of(dns.TypeDS); ds != nil {
		if s.do {
			s.show(&s.f.authority, ds, cut.name)
		}
	} else {
		s.denyType(cut)
	}
	s.addresses(ns)
}

// addresses adds what the zone knows of the addresses of name servers (RFC 1034
// §4.3.2 step 6), glue included.
func (s *search) addresses(set *rrset) {
	for _, rr := range set.rrs {
		ns, ok := rr.(*dns.NS)
		if !ok {
			return
		}
		n := s.z.nodes[dns.CanonicalName(ns.Ns)]
		if n == nil {
			continue
		}
		for _, t := range []uint16{dns.TypeA, dns.TypeAAAA} {
			if addrs := n.of(t); addrs != nil {
				s.show(&s.f.extra, addrs, n.name)
			}
		}
	}
}

func (s *search) soa() {
	set := s.z.soa()
	if s.shown[set] {
		return
	}
	from := len(s.f.authority)
	s.show(&s.f.authority, set, s.z.origin)
	for i, rr := range s.f.authority[from:] {
		rr = dns.Copy(rr)
		rr.Header().Ttl = s.z.negativeTTL() // RFC 2308 §3
		s.f.authority[from+i] = rr
	}
}

// show adds an RRset, and its signatures where they are wanted, under the owner's
// name as asked; once a message unless it is an answer.
func (s *search) show(section *[]dns.RR, set *rrset, owner string) {
	if section != &s.f.answer {
		if s.shown[set] {
			return
		}
		s.shown[set] = true
	}
	for _, rr := range set.rrs {
		*section = append(*section, renamed(rr, owner))
	}
	if !s.do {
		return
	}
	for _, sig := range set.sigs {
		*section = append(*section, renamed(sig, owner))
	}
}

// renamed is a record under an owner's name; the record itself where that is its name.
func renamed(rr dns.RR, owner string) dns.RR {
	if rr.Header().Name == owner {
		return rr
	}
	rr = dns.Copy(rr)
	rr.Header().Name = owner
	return rr
}

// nextCloser is the name one label longer than the encloser on the way to name
// (RFC 5155 §1.3).
func nextCloser(name, encloser string) string {
	starts := dns.Split(name)
	i := len(starts) - dns.CountLabel(encloser) - 1
	if i < 0 || i >= len(starts) {
		return name
	}
	return strings.ToLower(name[starts[i]:])
}

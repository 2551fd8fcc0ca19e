package resolve

import (
	"encoding/binary"
	"time"

	"github.com/shoji-dns/shoji/internal/dns"
)

// withoutAnswer makes sense of a reply whose answer section says nothing about the
// question: no such name, no such data, a referral, or a server out of its place.
func (s *scrubber) withoutAnswer() finding {
	if l, ok := s.negative(s.q.name, false); ok {
		return finding{kind: s.strength(), links: []link{l}}
	}
	child, apex, sideways := s.delegation()
	aa := s.m.Flags.Has(dns.FlagAA)
	switch {
	case child != "" && s.m.RCode == dns.RCodeSuccess && !s.forward:
		if s.q.typ == dns.TypeDS && child == s.q.name {
			// A parent's server that refers the question for a DS record to the child
			// knows nothing of DNSSEC: there is no DS.
			return finding{kind: kindWeak, links: []link{s.bare()}}
		}
		return finding{kind: kindReferral, child: s.referral(child, s.m.Authority)}
	case (child != "" || sideways) && s.m.RCode == dns.RCodeSuccess && s.forward:
		return finding{kind: kindUseless, lame: true} // who refers does not resolve
	case s.m.RCode == dns.RCodeNameError && (aa || s.forward):
		return finding{kind: kindAnswer, links: []link{s.bare()}}
	case s.m.RCode == dns.RCodeNameError:
		return finding{kind: kindWeak, links: []link{s.bare()}}
	case s.forward, aa && apex:
		return finding{kind: kindAnswer, links: []link{s.bare()}}
	case apex, sideways:
		// The zone itself, one above it or one beside it: lame.
		return finding{kind: kindUseless, lame: true}
	}
	return finding{kind: kindWeak, links: []link{s.bare()}}
}

// bare is a negative answer without SOA.
func (s *scrubber) bare() link {
	l := *s.link(s.q.name, s.m.RCode, nil)
	if l.rcode == dns.RCodeYXDomain {
		l.rcode = dns.RCodeServerFailure // without its DNAME it is not an answer
	}
	l.ttl = noSOATTL
	return l
}

// negative finds the SOA that makes the reply a negative answer for a name (RFC
// 2308 §2): its owner is the zone asked or one between it and the name (for a forward zone, any
// zone that the name is in).
func (s *scrubber) negative(name dns.Name, chained bool) (link, bool) {
	if s.m.RCode == dns.RCodeYXDomain {
		return link{}, false
	}
	for i := range s.m.Authority {
		rr := &s.m.Authority[i]
		if rr.Type != dns.TypeSOA || rr.Class != dns.ClassIN ||
			!s.mayDeny(rr.Name) || !name.IsSubdomainOf(rr.Name) {
			continue
		}
		if s.q.typ == dns.TypeDS && rr.Name.Equal(name) && name != s.zone && !chained {
			continue // the child's SOA says nothing about its parent's DS
		}
		owner := rr.Name.Canonical()
		l := *s.link(name, s.m.RCode, nil)
		soa := gather(s.m.Authority, owner, dns.TypeSOA)
		ttl := negativeTTL(&soa[0])
		for i := range soa {
			soa[i].TTL = uint32(ttl / time.Second)
		}
		l.proof = append(soa, l.proof...)
		l.ttl = ttl
		return l, true
	}
	return link{}, false
}

// negativeTTL is the lesser of the SOA's own TTL and its MINIMUM field (RFC 2308 §5).
func negativeTTL(soa *dns.RR) time.Duration {
	ttl := saneTTL(soa.TTL)
	if n := len(soa.Data); n >= 4 {
		ttl = min(ttl, saneTTL(binary.BigEndian.Uint32(soa.Data[n-4:])))
	}
	return time.Duration(ttl) * time.Second
}

// delegation looks for NS records in the authority section: the deepest zone
// between the one asked and the question (child), the zone asked itself (apex), or
// any other (sideways).
func (s *scrubber) delegation() (child dns.Name, apex, sideways bool) {
	for i := range s.m.Authority {
		rr := &s.m.Authority[i]
		if rr.Type != dns.TypeNS || rr.Class != dns.ClassIN {
			continue
		}
		switch {
		case rr.Name.Equal(s.zone):
			apex = true
		case rr.Name.IsSubdomainOf(s.zone) && s.q.name.IsSubdomainOf(rr.Name):
			if len(rr.Name) > len(child) {
				child = rr.Name.Canonical()
			}
		default:
			sideways = true
		}
	}
	return child, apex, sideways
}

// referral reads the delegation of child in a section: NS names, the addresses given with it for those
// names as far as they lie in the bailiwick of the zone asked, and what the parent
// says of the child's keys.
func (s *scrubber) referral(child dns.Name, from []dns.RR) *referral {
	ref := &referral{zone: child, ttl: longestTTL}
	for i := range from {
		rr := &from[i]
		if rr.Class != dns.ClassIN {
			continue
		}
		switch t := rr.Type; {
		case t == dns.TypeNS && rr.Name.Equal(child):
			name, ok := rr.Target()
			if ok && len(ref.ns) < maxNS {
				ref.addNS(name.Canonical())
				ref.ttl = min(ref.ttl, time.Duration(saneTTL(rr.TTL))*time.Second)
			}
		case (t == dns.TypeDS || rr.Covered() == dns.TypeDS) && rr.Name.Equal(child) && len(ref.ds) < maxRRset:
			ref.ds = append(ref.ds, *rr)
		}
	}
	if len(ref.ds) == 0 {
		ref.ds = s.denial()
	}
	for i := range s.m.Additional {
		rr := &s.m.Additional[i]
		if rr.Class == dns.ClassIN && (rr.Type == dns.TypeA || rr.Type == dns.TypeAAAA) && rr.Name.IsSubdomainOf(s.zone) {
			ref.addGlue(rr)
		}
	}
	return ref
}

func (ref *referral) addNS(name dns.Name) {
	for _, have := range ref.ns {
		if have == name {
			return
		}
	}
	ref.ns = append(ref.ns, name)
}

func (ref *referral) addGlue(rr *dns.RR) {
	if len(ref.glue) >= maxTargets {
		return
	}
	for i, name := range ref.ns {
		if rr.Name.Equal(name) {
			ref.glue = append(ref.glue, glue{ns: i, addr: *rr})
			return
		}
	}
}

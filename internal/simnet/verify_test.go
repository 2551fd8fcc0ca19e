package simnet

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// sound reports whether a zone's signatures should verify at labNow.
func sound(z *Zone) bool {
	s := z.signing
	return s != nil && s.known() && s.Break&^(BreakDS|BreakDenial) == 0 && s.Expiration.After(labNow)
}

// verified checks that one of the signatures over an RRset is right.
func verified(z *Zone, rrs, sigs []dns.RR, now time.Time) error {
	var last error = fmt.Errorf("no signature over %s %s", rrs[0].Header().Name, dns.Type(rrs[0].Header().Rrtype))
	for _, rr := range sigs {
		sig := rr.(*dns.RRSIG)
		if !sig.ValidityPeriod(now) {
			last = fmt.Errorf("%s: signature from %d to %d", sig.Hdr.Name, sig.Inception, sig.Expiration)
			continue
		}
		for _, k := range z.apex().of(dns.TypeDNSKEY).rrs {
			key := k.(*dns.DNSKEY)
			if key.KeyTag() != sig.KeyTag {
				continue
			}
			if last = sig.Verify(key, rrs); last == nil {
				return nil
			}
		}
	}
	return last
}

// TestSignatures verifies every signature of the lab, and that the broken ones are broken.
func TestSignatures(t *testing.T) {
	tree := Lab(7, labNow).Tree()
	good, bad := 0, 0
	for _, z := range tree.Zones() {
		if z.signing == nil {
			continue
		}
		for _, n := range z.sorted() {
			for _, qtype := range n.types() {
				set := n.sets[qtype]
				if !n.signedType(qtype) {
					if len(set.sigs) > 0 {
						t.Errorf("%s %s is not the zone's and is signed", n.name, dns.Type(qtype))
					}
					continue
				}
				err := verified(z, set.rrs, set.sigs, labNow)
				if sound(z) != (err == nil) && !(qtype == dns.TypeDNSKEY && z.origin == "bogus.test.") {
					t.Errorf("%s %s: %v", n.name, dns.Type(qtype), err)
				}
				if err == nil {
					good++
				} else {
					bad++
				}
			}
		}
		for _, l := range z.denial {
			if err := verified(z, l.set.rrs, l.set.sigs, labNow); sound(z) != (err == nil) {
				t.Errorf("%v: %v", l.set.rrs[0], err)
			}
		}
		if up := tree.parent(z.origin); up != nil && z.hasDS {
			ds := up.nodes[z.origin].of(dns.TypeDS).rrs[0].(*dns.DS)
			right := z.keys.ksk.rr.ToDS(ds.DigestType)
			if (strings.EqualFold(right.Digest, ds.Digest)) == (z.signing.Break&BreakDS != 0) {
				t.Errorf("%s: DS %v, key %v", z.origin, ds, right)
			}
		}
	}
	if good < 200 || bad < 20 {
		t.Errorf("%d signatures verify and %d do not: too few to mean anything", good, bad)
	}
}

// before is canonical order by RFC 4034 §6.1, written otherwise than sortKey.
func before(a, b string) bool {
	la, lb := dns.SplitDomainName(a), dns.SplitDomainName(b)
	slices.Reverse(la)
	slices.Reverse(lb)
	return slices.Compare(la, lb) < 0
}

// proof is what a reply's authority section proves.
type proof struct {
	z      *Zone
	nsecs  []*dns.NSEC
	nsec3s []*dns.NSEC3
}

func (p *proof) covers(name string) bool {
	for _, n := range p.nsecs {
		owner, next := n.Hdr.Name, n.NextDomain
		if before(owner, name) && (before(name, next) || next == p.z.origin) {
			return true
		}
	}
	for _, n := range p.nsec3s {
		if n.Cover(name) {
			return true
		}
	}
	return false
}

// lacks reports whether the name is shown to have neither the type nor a CNAME.
func (p *proof) lacks(name string, qtype uint16) bool {
	without := func(types []uint16) bool {
		return !slices.Contains(types, qtype) && !slices.Contains(types, dns.TypeCNAME)
	}
	for _, n := range p.nsecs {
		if n.Hdr.Name == name && without(n.TypeBitMap) {
			return true
		}
		if before(n.Hdr.Name, name) && dns.IsSubDomain(name, n.NextDomain) && n.NextDomain != name {
			return true // an empty non-terminal
		}
	}
	for _, n := range p.nsec3s {
		if n.Match(name) && without(n.TypeBitMap) {
			return true
		}
	}
	return false
}

// encloser finds the closest encloser that the proof has, and the next closer name.
func (p *proof) encloser(name string) (up, next string) {
	if p.z.signing.NSEC3 == nil {
		for up, next = parent(name), name; up != "."; up, next = parent(up), up {
			for _, n := range p.nsecs {
				// The encloser is an ancestor of an end of the gap that the name is in.
				if dns.IsSubDomain(up, n.Hdr.Name) || dns.IsSubDomain(up, n.NextDomain) {
					return up, next
				}
			}
		}
		return up, next
	}
	for up, next = parent(name), name; up != "."; up, next = parent(up), up {
		for _, n := range p.nsec3s {
			if n.Match(up) && p.covers(next) {
				return up, next
			}
		}
	}
	return ".", next
}

// checker checks the replies of one zone. It remembers what has been verified.
type checker struct {
	z    *Zone
	seen map[string]bool
}

func newChecker(z *Zone) *checker { return &checker{z, map[string]bool{}} }

func (c *checker) verified(rrs, sigs []dns.RR) error {
	key := fmt.Sprint(rrs, sigs)
	if c.seen[key] {
		return nil
	}
	err := verified(c.z, rrs, sigs, labNow)
	c.seen[key] = err == nil
	return err
}

// check verifies the signatures and the denial of a reply from a signed zone.
func (c *checker) check(m *dns.Msg) error {
	z := c.z
	q := m.Question[0]
	name := strings.ToLower(q.Name)
	p := &proof{z: z}
	type rrkey struct {
		name  string
		rtype uint16
	}
	for _, section := range [][]dns.RR{m.Answer, m.Ns} {
		sets, sigs := map[rrkey][]dns.RR{}, map[rrkey][]dns.RR{}
		for _, rr := range section {
			k := rrkey{strings.ToLower(rr.Header().Name), rr.Header().Rrtype}
			if sig, ok := rr.(*dns.RRSIG); ok {
				k.rtype = sig.TypeCovered
				sigs[k] = append(sigs[k], rr)
				continue
			}
			sets[k] = append(sets[k], rr)
		}
		for k, rrs := range sets {
			if k.rtype == dns.TypeNS && !m.Authoritative || k.rtype == dns.TypeCNAME && fromDNAME(section, k.name) {
				continue
			}
			if err := c.verified(rrs, sigs[k]); err != nil {
				return err
			}
			for _, rr := range rrs {
				switch rr := rr.(type) {
				case *dns.NSEC:
					p.nsecs = append(p.nsecs, rr)
				case *dns.NSEC3:
					p.nsec3s = append(p.nsec3s, rr)
				}
			}
			for _, sig := range sigs[k] {
				if want := sig.(*dns.RRSIG).Labels; int(want) < dns.CountLabel(k.name) && !strings.HasPrefix(k.name, "*.") {
					starts := dns.Split(k.name)
					next := k.name[starts[len(starts)-int(want)-1]:]
					if !authorityCovers(z, m, next, k.name) {
						return fmt.Errorf("%s is from a wildcard, and nothing shows that it does not exist itself", k.name)
					}
				}
			}
		}
	}
	if q.Qtype == dns.TypeRRSIG || q.Qtype == dns.TypeANY {
		return nil
	}
	return p.checkDenial(m, name)
}

func authorityCovers(z *Zone, m *dns.Msg, next, name string) bool {
	p := &proof{z: z}
	for _, rr := range m.Ns {
		switch rr := rr.(type) {
		case *dns.NSEC:
			p.nsecs = append(p.nsecs, rr)
		case *dns.NSEC3:
			p.nsec3s = append(p.nsec3s, rr)
		}
	}
	if len(p.nsecs) > 0 {
		return p.covers(name)
	}
	return p.covers(next)
}

func fromDNAME(section []dns.RR, name string) bool {
	return slices.ContainsFunc(section, func(rr dns.RR) bool {
		h := rr.Header()
		return h.Rrtype == dns.TypeDNAME && dns.IsSubDomain(h.Name, name) && h.Name != name
	})
}

// leftOut reports whether a name is an empty non-terminal above nothing but
// unsigned delegations, which an opt-out chain need not have (RFC 5155 §7.1).
func (p *proof) leftOut(name string) bool {
	n := p.z.nodes[name]
	return n != nil && len(n.types()) == 0 && !p.z.needsNSEC3(n)
}

// checkDenial checks the proof of whatever the reply denies.
func (p *proof) checkDenial(m *dns.Msg, name string) error {
	q := m.Question[0]
	for _, rr := range m.Answer {
		if c, ok := rr.(*dns.CNAME); ok {
			name = strings.ToLower(c.Target)
		}
		if rr.Header().Rrtype == q.Qtype {
			return nil
		}
	}
	switch {
	case !dns.IsSubDomain(p.z.origin, name):
		return nil // another zone goes on
	case !m.Authoritative:
		cut := m.Ns[0].Header().Name
		if slices.ContainsFunc(m.Ns, func(rr dns.RR) bool { return rr.Header().Rrtype == dns.TypeDS }) || p.lacks(cut, dns.TypeDS) {
			return nil
		}
		if up, next := p.encloser(cut); p.nsec3s != nil && p.covers(next) && p.nsec3s[0].Flags&1 == 1 && up != "" {
			return nil
		}
		return fmt.Errorf("referral to %s: neither DS nor proof that there is none", cut)
	case m.Rcode == dns.RcodeNameError:
		up, next := p.encloser(name)
		if !p.covers(next) && !p.covers(name) || !p.covers(child("*", up)) {
			return fmt.Errorf("NXDOMAIN of %s: encloser %s; not proven by %v", name, up, m.Ns)
		}
	case len(m.Answer) > 0 && len(m.Ns) == 0:
		return nil // an alias into what is delegated
	default:
		if p.lacks(name, q.Qtype) {
			return nil
		}
		up, next := p.encloser(name)
		wildcard := p.lacks(child("*", up), q.Qtype) && (p.covers(next) || p.covers(name))
		spanned := p.nsec3s != nil && p.nsec3s[0].Flags&1 == 1 && p.covers(next) &&
			(q.Qtype == dns.TypeDS || p.leftOut(name) || p.leftOut(child("*", up)))
		if !wildcard && !spanned {
			return fmt.Errorf("NODATA of %s %s: encloser %s; not proven by %v", name, dns.Type(q.Qtype), up, m.Ns)
		}
	}
	return nil
}

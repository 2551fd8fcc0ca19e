package zonecopy

import (
	"errors"
	"slices"
	"time"

	"github.com/shoji-dns/shoji/internal/dns"
)

// zone is a zone in memory, never written to once it is made.
type zone struct {
	apex   dns.Name
	soa    dns.RR
	names  map[dns.Name]*node // canonical; empty non-terminals too
	denial denials
}

// node is what the zone has at a name.
type node struct {
	sets []rrset
}

// rrset is the records of one type, the RRSIGs that cover them last.
type rrset struct {
	typ     dns.Type
	records []dns.RR
}

func (n *node) set(t dns.Type) []dns.RR {
	for i := range n.sets {
		if n.sets[i].typ == t {
			return n.sets[i].records
		}
	}
	return nil
}

func (n *node) add(t dns.Type, rr dns.RR) {
	for i := range n.sets {
		if n.sets[i].typ == t {
			n.sets[i].records = append(n.sets[i].records, rr)
			return
		}
	}
	n.sets = append(n.sets, rrset{t, []dns.RR{rr}})
}

// newZone makes a zone of its records, in any order. What lies outside of it is left out.
func newZone(apex dns.Name, records []dns.RR) (*zone, error) {
	z := &zone{apex: apex, names: make(map[dns.Name]*node)}
	for _, signatures := range []bool{false, true} { // records first
		for i := range records {
			rr := records[i]
			if rr.Class != dns.ClassIN || !rr.Name.IsSubdomainOf(apex) || (rr.Type == dns.TypeRRSIG) != signatures {
				continue
			}
			rr.Name = rr.Name.Canonical()
			t := rr.Type
			if signatures {
				t = rr.Covered()
			}
			z.node(rr.Name).add(t, rr)
		}
	}
	top := z.names[apex]
	if top == nil || len(top.set(dns.TypeNS)) == 0 {
		return nil, errors.New("the zone has no NS record")
	}
	soa := top.set(dns.TypeSOA)
	if len(soa) == 0 || !isSOA(&soa[0], apex) || len(soa) > 1 && soa[1].Type == dns.TypeSOA {
		return nil, errors.New("the zone has not one SOA record")
	}
	z.soa = soa[0]
	z.denial = newDenials(z)
	return z, nil
}

// node is the one of a name, made with those between it and the apex where it is new.
func (z *zone) node(name dns.Name) *node {
	n := z.names[name]
	if n == nil {
		n = new(node)
		z.names[name] = n
		if name != z.apex {
			z.node(name.Parent())
		}
	}
	return n
}

// timer is one of the SOA record's times, within bounds.
func (z *zone) timer(field int, least, most time.Duration) time.Duration {
	return min(max(time.Duration(soaField(z.soa, field))*time.Second, least), most)
}

// reply answers a question by RFC 1034 §4.3.2 and RFC 4035 §3.1. CNAME and DNAME records
// are not followed: who asked does that.
func (z *zone) reply(name dns.Name, t dns.Type) *dns.Message {
	m := &dns.Message{
		Flags:    dns.FlagQR | dns.FlagAA,
		Question: []dns.Question{{Name: name, Type: t, Class: dns.ClassIN}},
	}
	if dname := z.names[z.apex].set(dns.TypeDNAME); dname != nil && name != z.apex {
		m.Answer = dname
		return m
	}
	for labels := z.apex.Labels() + 1; labels <= name.Labels(); labels++ {
		at := name.Suffix(labels)
		n := z.names[at]
		if n == nil {
			z.missing(m, name, t, at)
			return m
		}
		if n.set(dns.TypeNS) != nil && !(at == name && t == dns.TypeDS) {
			z.refer(m, at, n)
			return m
		}
		if dname := n.set(dns.TypeDNAME); dname != nil && at != name {
			m.Answer = dname
			return m
		}
	}
	n := z.names[name]
	if m.Answer = n.answer(t); m.Answer == nil {
		m.Authority = append(z.negative(), z.denial.noData(name, z.apex)...)
	}
	return m
}

// answer is what a node has for a type: the data or the CNAME record.
func (n *node) answer(t dns.Type) []dns.RR {
	if t == dns.TypeANY {
		var all []dns.RR
		for _, s := range n.sets {
			all = append(all, s.records...)
		}
		return all
	}
	if set := n.set(t); set != nil {
		return set
	}
	return n.set(dns.TypeCNAME)
}

// refer makes a referral of a delegation: NS records, DS records or their denial, glue.
func (z *zone) refer(m *dns.Message, at dns.Name, n *node) {
	m.Flags = dns.FlagQR
	ns := n.set(dns.TypeNS)
	m.Authority = slices.Clone(ns)
	if ds := n.set(dns.TypeDS); ds != nil {
		m.Authority = append(m.Authority, ds...)
	} else {
		m.Authority = append(m.Authority, z.denial.noData(at, z.apex)...)
	}
	for i := range ns {
		target, ok := ns[i].Target()
		if !ok {
			continue
		}
		if host := z.names[target.Canonical()]; host != nil {
			m.Additional = append(m.Additional, host.set(dns.TypeA)...)
			m.Additional = append(m.Additional, host.set(dns.TypeAAAA)...)
		}
	}
}

// missing answers for a name that does not exist, of which the part at is the first that
// does not: by a wildcard (RFC 4592) or by a denial.
func (z *zone) missing(m *dns.Message, name dns.Name, t dns.Type, at dns.Name) {
	wildcard := "\x01*" + at.Parent()
	n := z.names[wildcard]
	if n == nil {
		m.RCode = dns.RCodeNameError
		m.Authority = append(z.negative(), z.denial.noName(name, at, wildcard)...)
		return
	}
	data := n.answer(t)
	if data == nil {
		m.Authority = append(z.negative(), z.denial.noWildcardData(name, at, wildcard)...)
		return
	}
	m.Answer = slices.Clone(data)
	for i := range m.Answer {
		m.Answer[i].Name = name
	}
	m.Authority = z.denial.instead(name, at)
}

// negative is the SOA record of a negative answer.
func (z *zone) negative() []dns.RR { return slices.Clone(z.names[z.apex].set(dns.TypeSOA)) }

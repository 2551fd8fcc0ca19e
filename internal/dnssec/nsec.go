package dnssec

import (
	"github.com/shoji-dns/shoji/internal/dns"
)

// parseNSEC reads an NSEC record (RFC 4034 §4) of a zone. A record whose next name lies
// outside the zone is no record of the zone's chain.
func parseNSEC(rr *dns.RR, zone dns.Name) (Denial, bool) {
	n := nameLength(rr.Data)
	if n == 0 || nameLength(rr.Name) != len(rr.Name) {
		return Denial{}, false
	}
	d := Denial{
		zone:  zone,
		owner: rr.Name.Canonical(),
		rr:    *rr,
		next:  dns.Name(rr.Data[:n]).Canonical(),
		types: rr.Data[n:],
	}
	return d, d.owner.IsSubdomainOf(zone) && d.next.IsSubdomainOf(zone) && d.types.valid()
}

// covers reports whether a name of the zone sorts between the record's owner and the
// next name, and so is not an owner of records in this zone. It may still be an empty
// non-terminal. Below a delegation or a DNAME the record says nothing (RFC 6840 §4.1,
// RFC 6672 §5.3.4.1).
func (d *Denial) covers(name dns.Name) bool {
	if !name.IsSubdomainOf(d.zone) || d.owner.Compare(name) >= 0 {
		return false
	}
	if name.Compare(d.next) >= 0 && !d.next.Equal(d.zone) {
		return false
	}
	return !name.IsSubdomainOf(d.owner) || !d.types.delegates() && !d.types.has(dns.TypeDNAME)
}

// denies reports whether the record proves that a name does not exist: it is covered,
// and the next name is not below it.
func (d *Denial) denies(name dns.Name) bool {
	return d.covers(name) && !d.next.IsSubdomainOf(name)
}

// empties reports whether the record proves that a name is an empty non-terminal.
func (d *Denial) empties(name dns.Name) bool {
	return d.covers(name) && d.next.IsSubdomainOf(name)
}

// encloser is the closest encloser of a name that the record denies: the longest
// ancestor that the name shares with the owner or with the next name.
func (d *Denial) encloser(name dns.Name) dns.Name {
	a, b := ancestor(name, d.owner), ancestor(name, d.next)
	if len(a) >= len(b) {
		return a
	}
	return b
}

// ancestor is the longest suffix of name that other ends in too.
func ancestor(name, other dns.Name) dns.Name {
	for !other.IsSubdomainOf(name) {
		name = name.Parent()
	}
	return name
}

// at returns the verified NSEC record of a name.
func (p *proof) at(name dns.Name) *candidate {
	for i := range p.nsec {
		if c := &p.nsec[i]; c.owner.Equal(name) && p.good(c) {
			return c
		}
	}
	return nil
}

// denying returns a verified NSEC record that proves that a name does not exist.
func (p *proof) denying(name dns.Name) *candidate {
	for i := range p.nsec {
		if c := &p.nsec[i]; c.denies(name) && p.good(c) {
			return c
		}
	}
	return nil
}

// emptying returns a verified NSEC record that proves an empty non-terminal.
func (p *proof) emptying(name dns.Name) *candidate {
	for i := range p.nsec {
		if c := &p.nsec[i]; c.empties(name) && p.good(c) {
			return c
		}
	}
	return nil
}

// nsecNameError proves by NSEC that a name does not exist, nor a wildcard that would
// stand for it (RFC 4035 §5.4).
func (p *proof) nsecNameError(name dns.Name) bool {
	c := p.denying(name)
	if c == nil {
		return false
	}
	wild, ok := wildcard(c.encloser(name))
	return !ok || p.denying(wild) != nil
}

// nsecNoData proves by NSEC that a name has no data of a type, be it by itself, as an
// empty non-terminal, or by the wildcard that stands for it (RFC 4035 §3.1.3 and §5.4).
func (p *proof) nsecNoData(name dns.Name, t dns.Type) bool {
	if c := p.at(name); c != nil {
		return c.types.lacks(t, name)
	}
	if p.emptying(name) != nil {
		return true
	}
	c := p.denying(name)
	if c == nil {
		return false
	}
	wild, ok := wildcard(c.encloser(name))
	if !ok {
		return false
	}
	if c := p.at(wild); c != nil {
		return c.types.lacks(t, wild)
	}
	return p.emptying(wild) != nil
}

package dnssec

import (
	"time"

	"github.com/shoji-dns/shoji/internal/dns"
)

// Delegation is what a zone proves about a name that may be a child zone's.
type Delegation struct {
	// Status is secure with DS records, or secure without where no zone cut is at the
	// name; insecure where the child is proven to be unsigned, or signed in ways that
	// are not supported; bogus if nothing is proven.
	Status Status

	// Cut reports a zone cut, or under opt-out the chance of one. A referral to a name
	// at which a secure proof finds no cut is bogus.
	Cut bool

	// DS are the records to verify the child's keys by.
	DS []DS

	// TTL in seconds is how long this may be kept.
	TTL uint32

	// Denials are the NSEC and NSEC3 records that the proof leans on.
	Denials []Denial
}

// ProveDelegation finds out from the records of a referral, or of a response to a DS
// question, whether child is a secure delegation, an insecure one, or none (RFC 4035
// §5.2, RFC 5155 §8.9, RFC 6840 §4.4). keys are those of the parent zone; records may
// be several sections in a row.
func (v *Validator) ProveDelegation(keys *Keys, child dns.Name, records []dns.RR, now time.Time, w *Work) Delegation {
	if keys == nil {
		return Delegation{}
	}
	child = child.Canonical()
	if nameLength(child) != len(child) || child == keys.zone || !child.IsSubdomainOf(keys.zone) {
		return Delegation{Status: Status{bogus, causeMalformed}}
	}
	if set := pick(child, dns.TypeDS, records); len(set) > 0 {
		return v.signed(keys, set, records, now, w)
	}
	p := v.newProof(keys, records, now, w)
	var d Delegation
	if set := pick(child, dns.TypeCNAME, records); len(set) > 0 {
		d.Status = p.alias(child, set)
	} else {
		d.Status, d.Cut = p.delegation(child)
	}
	if !d.Status.IsBogus() {
		d.TTL, d.Denials = p.ttl, p.used()
	}
	return d
}

// signed is a delegation by DS records.
func (v *Validator) signed(keys *Keys, set, records []dns.RR, now time.Time, w *Work) Delegation {
	r := v.verifySet(keys, set, records, v.moment(now), w)
	switch {
	case !r.Status.IsSecure():
		return Delegation{Status: r.Status}
	case r.Encloser != "":
		// A wildcard delegates nothing (RFC 4592 §4.6).
		return Delegation{Status: Status{bogus, causeMalformed}}
	}
	d := Delegation{Status: r.Status, Cut: true, TTL: r.TTL}
	for i := range set {
		if ds, ok := ParseDS(set[i].Data); ok {
			d.DS = append(d.DS, ds)
		}
	}
	if kept, unsupported := v.usable(d.DS); len(kept) == 0 {
		if unsupported == causeNone {
			unsupported = causeMalformed
		}
		return Delegation{Status: Status{insecure, unsupported}, Cut: true, TTL: r.TTL}
	}
	return d
}

// alias is a CNAME at the name: no other zone begins there (RFC 1034 §3.6.2).
func (p *proof) alias(child dns.Name, set []dns.RR) Status {
	r := p.v.verifySet(p.keys, set, p.records, p.v.moment(p.now), p.w)
	p.ttl = min(p.ttl, r.TTL)
	if r.Status.IsSecure() && r.Encloser != "" {
		return p.wildcard(child.Suffix(r.Encloser.Labels() + 1))
	}
	return r.Status
}

// delegation proves that there is no DS record at a name, and whether a delegation.
func (p *proof) delegation(child dns.Name) (s Status, cut bool) {
	if c := p.at(child); c != nil {
		return p.unsigned(c, child)
	}
	if p.emptying(child) != nil || p.denying(child) != nil {
		return Status{outcome: secure}, false
	}
	if !p.hashable() {
		s := p.unhashed()
		return s, s.IsInsecure()
	}
	if c := p.matching(child); c != nil {
		return p.unsigned(c, child)
	}
	if _, next := p.closest(child); next != nil {
		return next.worth(), next.nsec3.optOut
	}
	return p.fails(), false
}

// unsigned reads the types at a name: no DS, and none of the child's own apex.
func (p *proof) unsigned(c *candidate, child dns.Name) (Status, bool) {
	switch {
	case !c.types.lacks(dns.TypeDS, child):
		return p.fails(), false
	case c.types.has(dns.TypeNS):
		return Status{outcome: insecure}, true
	}
	return Status{outcome: secure}, false
}

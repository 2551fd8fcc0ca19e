package dnssec

import (
	"slices"
	"time"

	"github.com/shoji-dns/shoji/internal/dns"
)

// Proofs is a store of the Denials of verified responses, as Synthesize needs it.
type Proofs interface {
	// Before returns the NSEC record of a zone whose owner is name, or else the last
	// one before it in canonical order.
	Before(zone, name dns.Name) (Denial, bool)

	// Hashed returns an NSEC3 record of a zone; which one does not matter. It tells the
	// chain's parameters.
	Hashed(zone dns.Name) (Denial, bool)

	// BeforeHash returns the NSEC3 record of a zone whose owner's hash is h, or else
	// the last one before it, on the circle of hashes: before the first comes the last.
	BeforeHash(zone dns.Name, h [20]byte) (Denial, bool)
}

// IsNSEC3 reports whether the record is an NSEC3 record.
func (d *Denial) IsNSEC3() bool { return d.rr.Type == dns.TypeNSEC3 }

// Owner is the owner's name in canonical form, by which NSEC records are ordered.
func (d *Denial) Owner() dns.Name { return d.owner }

// Hash is the hash of the owner's name, by which NSEC3 records are ordered.
func (d *Denial) Hash() [20]byte { return d.nsec3.owner }

// Synthesize answers a question from denials that other answers brought along (RFC
// 8198): no such name, or no data. It leaves wildcards that have data to the servers,
// and opt-out spans too (§5.2). zone is the zone that name is in; for type DS its
// parent. The result is secure, or ok is false. Hashes count against the request's
// work, up to MaxSynthesisHashes.
func Synthesize(proofs Proofs, zone, name dns.Name, t dns.Type, now time.Time, w *Work) (n Negative, ok bool) {
	zone, name = zone.Canonical(), name.Canonical()
	if nameLength(name) != len(name) || !name.IsSubdomainOf(zone) || t == dns.TypeANY || t == dns.TypeRRSIG {
		return n, false
	}
	s := &synthesis{proofs: proofs, p: proof{zone: zone, w: w, now: now, most: MaxSynthesisHashes}}
	if s.gatherNSEC(name); len(s.p.nsec) > 0 {
		if status, rcode := s.prove(name, t); status.IsSecure() {
			return s.negative(status, rcode), true
		}
	}
	s.p.nsec = nil
	if s.gatherNSEC3(name) {
		if status, rcode := s.prove(name, t); status.IsSecure() {
			return s.negative(status, rcode), true
		}
	}
	return n, false
}

// synthesis is a proof whose records come out of a store.
type synthesis struct {
	proofs Proofs
	p      proof
}

// prove tries a name error and then no data.
func (s *synthesis) prove(name dns.Name, t dns.Type) (Status, dns.RCode) {
	return s.p.negative(name, t, dns.RCodeNameError)
}

func (s *synthesis) negative(status Status, rcode dns.RCode) Negative {
	n := Negative{Status: status, RCode: rcode, TTL: maxTTL, Denials: s.p.used()}
	for i := range n.Denials {
		n.TTL = min(n.TTL, uint32(n.Denials[i].expires.Sub(s.p.now)/time.Second))
	}
	return n
}

// fresh reports that a record is of the zone and has not expired.
func (s *synthesis) fresh(d *Denial) bool { return d.zone == s.p.zone && d.expires.After(s.p.now) }

// add takes a record of the store that has not expired into the proof.
func (s *synthesis) add(list []candidate, d Denial, ok bool) []candidate {
	if !ok || !s.fresh(&d) {
		return list
	}
	if slices.ContainsFunc(list, func(c candidate) bool { return c.owner == d.owner }) {
		return list
	}
	return append(list, candidate{Denial: d, state: verified})
}

// gatherNSEC gets the records around a name and around the wildcard that may stand for
// it.
func (s *synthesis) gatherNSEC(name dns.Name) {
	d, ok := s.proofs.Before(s.p.zone, name)
	ok = ok && !d.IsNSEC3()
	s.p.nsec = s.add(nil, d, ok)
	if len(s.p.nsec) == 0 || !d.denies(name) {
		return
	}
	if wild, fits := wildcard(d.encloser(name)); fits {
		d, ok = s.proofs.Before(s.p.zone, wild)
		s.p.nsec = s.add(s.p.nsec, d, ok && !d.IsNSEC3())
	}
}

// gatherNSEC3 gets the record of a name, or those of its closest encloser, of the next
// closer name and of the wildcard, and no other (RFC 5155 §7.2). It goes down from the apex, and gives up at the
// first name that the store knows nothing about.
func (s *synthesis) gatherNSEC3(name dns.Name) bool {
	first, ok := s.proofs.Hashed(s.p.zone)
	if !ok || !first.IsNSEC3() || first.nsec3.iterations > MaxIterations {
		return false
	}
	s.p.hashes.chain = &first.nsec3
	for n := s.p.zone.Labels(); n <= name.Labels(); n++ {
		matches, covers := s.get(name.Suffix(n))
		if matches { // nothing is to be said of the enclosers above it
			s.p.nsec3 = s.p.nsec3[len(s.p.nsec3)-1:]
			continue
		}
		if wild, fits := wildcard(name.Suffix(n - 1)); covers && fits {
			s.get(wild)
		}
		return covers
	}
	return true
}

// get takes the record of a name, or the one that covers it, into the proof.
func (s *synthesis) get(name dns.Name) (matches, covers bool) {
	h, ok := s.p.hash(name)
	if !ok {
		return false, false
	}
	d, ok := s.proofs.BeforeHash(s.p.zone, h)
	if !ok || !s.fresh(&d) || !d.IsNSEC3() || !d.nsec3.sameChain(s.p.hashes.chain) {
		return false, false
	}
	matches = d.nsec3.owner == h
	covers = d.nsec3.covers(h) && !d.nsec3.optOut
	s.p.nsec3 = s.add(s.p.nsec3, d, matches || covers)
	return matches, covers
}

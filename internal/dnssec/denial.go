package dnssec

import (
	"bytes"
	"strings"
	"time"

	"github.com/shoji-dns/shoji/internal/dns"
)

// bitmap is the type bit maps field of an NSEC or NSEC3 record (RFC 4034 §4.1.2).
type bitmap []byte

// valid reports whether the windows are in order and of a legal size.
func (b bitmap) valid() bool {
	last := -1
	for len(b) > 0 {
		if len(b) < 2 || int(b[0]) <= last || b[1] < 1 || b[1] > 32 || len(b) < 2+int(b[1]) {
			return false
		}
		last = int(b[0])
		b = b[2+int(b[1]):]
	}
	return true
}

// has reports whether a type is in a valid bitmap.
func (b bitmap) has(t dns.Type) bool {
	window, octet, bit := byte(t>>8), int(t&0xFF)>>3, byte(0x80)>>(t&7)
	for len(b) >= 2 && len(b) >= 2+int(b[1]) {
		if b[0] == window {
			return octet < int(b[1]) && b[2+octet]&bit != 0
		}
		b = b[2+int(b[1]):]
	}
	return false
}

// bare reports whether a valid bitmap has no types but those that denial itself brings
// about.
func (b bitmap) bare() bool {
	for ; len(b) >= 2 && len(b) >= 2+int(b[1]); b = b[2+int(b[1]):] {
		for i, octet := range b[2 : 2+int(b[1])] {
			for bit := range 8 {
				t := dns.Type(int(b[0])<<8 | i<<3 | bit)
				if octet&(0x80>>bit) != 0 && t != dns.TypeNSEC && t != dns.TypeRRSIG && t != dns.TypeNXNAME {
					return false
				}
			}
		}
	}
	return true
}

// delegates reports that the owner is a delegation as its parent zone sees it. What
// such a record says about names below it and about most types at it is the child's to
// say (RFC 6840 §4.1).
func (b bitmap) delegates() bool { return b.has(dns.TypeNS) && !b.has(dns.TypeSOA) }

// lacks reports whether a record at an existing name proves that the name has no data
// of a type in this zone (RFC 4035 §5.4, RFC 5155 §8.5 and §8.6, RFC 6840 §4.1 and
// §4.3). The root alone has its DS nowhere above.
func (b bitmap) lacks(t dns.Type, name dns.Name) bool {
	switch {
	case b.has(t) || b.has(dns.TypeCNAME):
		return false
	case t == dns.TypeDS:
		return !b.has(dns.TypeSOA) || name == dns.Root
	case t == dns.TypeANY:
		return b.bare()
	}
	return !b.delegates()
}

// Denial is one verified NSEC or NSEC3 record: proof that names or types do not exist.
// Denials are immutable; only this package makes them. They can be kept for Synthesize
// (RFC 8198) until they expire.
type Denial struct {
	zone    dns.Name // canonical
	owner   dns.Name // canonical
	rr      dns.RR
	sig     dns.RR // the RRSIG by which it was verified
	expires time.Time
	types   bitmap
	next    dns.Name // NSEC
	nsec3   nsec3    // NSEC3
}

// Zone is the apex of the zone whose keys the record was verified by.
func (d *Denial) Zone() dns.Name { return d.zone }

// RR is the record.
func (d *Denial) RR() dns.RR { return d.rr }

// OptOut reports an NSEC3 record that covers unsigned delegations too (RFC 5155 §6).
func (d *Denial) OptOut() bool { return d.IsNSEC3() && d.nsec3.optOut }

// SameChain reports whether two NSEC3 records have the same parameters, or both are NSEC
// records: whether they can stand in one proof.
func (d *Denial) SameChain(e *Denial) bool {
	return d.IsNSEC3() == e.IsNSEC3() && (!d.IsNSEC3() || d.nsec3.sameChain(&e.nsec3))
}

// Sig is the RRSIG record by which the record was verified.
func (d *Denial) Sig() dns.RR { return d.sig }

// Keep is a copy that shares no memory with the response it is from, and that is used until
// the given time at the latest: a negative answer's denials are kept no longer than the
// answer itself (RFC 8198 §5.4, RFC 9077 §3.2).
func (d *Denial) Keep(until time.Time) Denial {
	rr, sig := d.rr, d.sig
	rr.Name, sig.Name = dns.Name(strings.Clone(string(rr.Name))), dns.Name(strings.Clone(string(sig.Name)))
	rr.Data, sig.Data = bytes.Clone(rr.Data), bytes.Clone(sig.Data)
	parse := parseNSEC
	if d.IsNSEC3() {
		parse = parseNSEC3
	}
	c, _ := parse(&rr, d.zone)
	c.zone = dns.Name(strings.Clone(string(d.zone)))
	c.sig, c.expires = sig, d.expires
	if until.Before(c.expires) {
		c.expires = until
	}
	return c
}

// Expires is when the record may no longer be used.
func (d *Denial) Expires() time.Time { return d.expires }

// candidate is a record of a response that may become a Denial. It is verified only
// when a proof leans on it, so that padding costs nothing.
type candidate struct {
	Denial
	position int // in the section
	state    uint8
}

const (
	unverified uint8 = iota
	verified
	refused
)

// proof looks for a proof in the NSEC and NSEC3 records of a response.
type proof struct {
	v       *Validator
	keys    *Keys
	zone    dns.Name
	records []dns.RR
	now     time.Time
	w       *Work
	nsec    []candidate
	nsec3   []candidate
	hashes  hashes
	most    int32  // hash chains that the request may have cost
	failure cause  // the most telling reason why a record was refused
	ttl     uint32 // the least of the records used
}

// newProof collects the well-formed NSEC and NSEC3 records of the zone.
func (v *Validator) newProof(keys *Keys, records []dns.RR, now time.Time, w *Work) *proof {
	p := &proof{v: v, keys: keys, zone: keys.zone, records: records, now: now, w: w, most: MaxHashes, ttl: maxTTL}
	for i := range records {
		rr := &records[i]
		if rr.Class != dns.ClassIN {
			continue
		}
		switch {
		case rr.Type == dns.TypeNSEC && len(p.nsec) < MaxDenials:
			if d, ok := parseNSEC(rr, p.zone); ok {
				p.nsec = append(p.nsec, candidate{Denial: d, position: i})
			}
		case rr.Type == dns.TypeNSEC3 && len(p.nsec3) < MaxDenials:
			if d, ok := parseNSEC3(rr, p.zone); ok {
				p.nsec3 = append(p.nsec3, candidate{Denial: d, position: i})
			}
		}
	}
	return p
}

const maxTTL = 1<<31 - 1 // seconds, RFC 2181 §8

// good verifies a record, once. A record that was itself expanded from a wildcard
// proves nothing about the place that it seems to be at.
func (p *proof) good(c *candidate) bool {
	if c.state == unverified {
		r := p.v.verifySet(p.keys, p.records[c.position:c.position+1], p.records, p.v.moment(p.now), p.w)
		switch {
		case !r.Status.IsSecure():
			p.failure = max(p.failure, r.Status.cause)
			c.state = refused
		case r.Encloser != "":
			c.state = refused
		default:
			c.state = verified
			c.sig = *r.sig
			c.expires = p.now.Add(time.Duration(r.TTL) * time.Second)
			p.ttl = min(p.ttl, r.TTL)
		}
	}
	return c.state == verified
}

// fails is the status of a response whose records prove too little.
func (p *proof) fails() Status {
	switch {
	case p.failure != causeNone:
		return Status{bogus, p.failure}
	case len(p.nsec)+len(p.nsec3) > 0:
		return Status{bogus, causeDenialFails}
	}
	return Status{bogus, causeDenialMissing}
}

// used returns the records that were verified.
func (p *proof) used() []Denial {
	var out []Denial
	for _, list := range [][]candidate{p.nsec, p.nsec3} {
		for i := range list {
			if list[i].state == verified {
				out = append(out, list[i].Denial)
			}
		}
	}
	return out
}

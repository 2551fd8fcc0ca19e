package resolve

import (
	"bytes"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/dnssec"
)

const (
	// maxDenials bounds the records of each of the two generations of the index of
	// denials: with about 600 octets a record, both hold 10 MB at most.
	maxDenials = 1 << 13

	// maxZoneDenials bounds those of one zone in a generation. The root has 1,500.
	maxZoneDenials = 1 << 11
)

// denials is an index of proven NSEC and NSEC3 records, by zone and in the order of each
// zone's chain, for answers to what they deny (RFC 8198).
//
// It has two generations. When the young one is full it becomes the old one, and what was
// old is forgotten; what is used in the old one enters the young one again. So it is
// bounded, and what is of use stays.
type denials struct {
	mu         sync.RWMutex
	young, old map[dns.Name]*zoneDenials
	n          int // records in young, and its zones

	most, mostOfZone int
}

// zoneDenials is what is proven of one zone.
type zoneDenials struct {
	nsec  []*dnssec.Denial // in canonical order of owners
	nsec3 []*dnssec.Denial // in order of hashes, all of one chain
	soa   []dns.RR         // SOA and RRSIG
	until time.Time        // when soa may no longer be used
}

func newDenials() *denials {
	return &denials{young: make(map[dns.Name]*zoneDenials), most: maxDenials, mostOfZone: maxZoneDenials}
}

// put enters the denials of a negative answer with the SOA that came with them, until the
// answer's end. NSEC3 records with opt-out deny too little to be kept (RFC 8198 §5.2).
func (d *denials) put(list []dnssec.Denial, soa []dns.RR, until time.Time) {
	if len(list) == 0 {
		return
	}
	zone := list[0].Zone()
	d.mu.Lock()
	defer d.mu.Unlock()
	z := d.young[zone]
	if z == nil {
		z = new(zoneDenials)
		d.young[dns.Name(strings.Clone(string(zone)))] = z
		d.n++
	}
	if z.until.Before(until) {
		z.soa, z.until = detached(soa), until
	}
	for i := range list {
		if e := &list[i]; e.Zone() == zone && !e.OptOut() {
			d.n += z.insert(e, until, d.mostOfZone)
		}
	}
	if d.n >= d.most {
		d.young, d.old, d.n = make(map[dns.Name]*zoneDenials), d.young, 0
	}
}

// detached copies records so that they share no memory with the reply they are from.
func detached(records []dns.RR) []dns.RR {
	out := slices.Clone(records)
	for i := range out {
		out[i].Name = dns.Name(strings.Clone(string(out[i].Name)))
		out[i].Data = bytes.Clone(out[i].Data)
	}
	return out
}

// insert enters one record and returns by how much the zone has grown. A zone that has
// too many, or that has changed the parameters of its chain, begins anew.
func (z *zoneDenials) insert(e *dnssec.Denial, until time.Time, most int) int {
	list := &z.nsec
	if e.IsNSEC3() {
		list = &z.nsec3
	}
	at, found := position(*list, e)
	if found {
		if have := (*list)[at]; have.Expires().Before(until) && have.Expires().Before(e.Expires()) || !have.SameChain(e) {
			kept := e.Keep(until)
			(*list)[at] = &kept
		}
		return 0
	}
	grown := 1
	if n := len(*list); n > 0 && (n >= most || !(*list)[0].SameChain(e)) {
		*list, at, grown = nil, 0, 1-n
	}
	kept := e.Keep(until)
	*list = slices.Insert(*list, at, &kept)
	return grown
}

// position is where a record stands in the order of its chain, or would stand.
func position(list []*dnssec.Denial, e *dnssec.Denial) (int, bool) {
	return slices.BinarySearchFunc(list, e, func(a, b *dnssec.Denial) int {
		if e.IsNSEC3() {
			x, y := a.Hash(), b.Hash()
			return bytes.Compare(x[:], y[:])
		}
		return a.Owner().Compare(b.Owner())
	})
}

// look finds the deepest zone of which something is kept, from a name up to a zone at the
// highest, and calls use with it while it does not change.
func (d *denials) look(name, highest dns.Name, use func(dns.Name, *proofs)) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if d.n == 0 && len(d.old) == 0 {
		return
	}
	for ; len(name) >= len(highest); name = name.Parent() {
		if young, old := d.young[name], d.old[name]; young != nil || old != nil {
			use(name, &proofs{young: young, old: old})
			return
		}
		if name == dns.Root {
			return
		}
	}
}

// proofs is what both generations hold of one zone. It is the store that Synthesize reads.
type proofs struct {
	young, old *zoneDenials
	aged       bool // something of the old generation was read
}

// soa is the zone's SOA that lasts longest, with its RRSIG.
func (p *proofs) soa() ([]dns.RR, time.Time) {
	switch {
	case p.old == nil, p.young != nil && !p.young.until.Before(p.old.until):
		return p.young.soa, p.young.until
	}
	p.aged = true
	return p.old.soa, p.old.until
}

// Before is the NSEC record at a name, or the last before it.
func (p *proofs) Before(zone, name dns.Name) (dnssec.Denial, bool) {
	last := func(z *zoneDenials) *dnssec.Denial {
		if z == nil {
			return nil
		}
		i := sort.Search(len(z.nsec), func(i int) bool { return z.nsec[i].Owner().Compare(name) > 0 })
		if i == 0 {
			return nil
		}
		return z.nsec[i-1]
	}
	return p.later(last(p.young), last(p.old), func(a, b *dnssec.Denial) bool { return a.Owner().Compare(b.Owner()) < 0 })
}

// Hashed is an NSEC3 record of the zone.
func (p *proofs) Hashed(zone dns.Name) (dnssec.Denial, bool) {
	for _, z := range []*zoneDenials{p.young, p.old} {
		if z != nil && len(z.nsec3) > 0 {
			return *z.nsec3[0], true
		}
	}
	return dnssec.Denial{}, false
}

// BeforeHash is the NSEC3 record of a hash, or the last before it on the circle of hashes.
func (p *proofs) BeforeHash(zone dns.Name, h [20]byte) (dnssec.Denial, bool) {
	last := func(z *zoneDenials) *dnssec.Denial {
		if z == nil || len(z.nsec3) == 0 {
			return nil
		}
		i := sort.Search(len(z.nsec3), func(i int) bool { x := z.nsec3[i].Hash(); return bytes.Compare(x[:], h[:]) > 0 })
		return z.nsec3[(i-1+len(z.nsec3))%len(z.nsec3)]
	}
	behind := func(d *dnssec.Denial) bool { x := d.Hash(); return bytes.Compare(x[:], h[:]) > 0 } // across the circle's seam
	return p.later(last(p.young), last(p.old), func(a, b *dnssec.Denial) bool {
		if behind(a) != behind(b) {
			return behind(a)
		}
		x, y := a.Hash(), b.Hash()
		return bytes.Compare(x[:], y[:]) < 0
	})
}

// later is the one of two records that stands later in the chain, the young one of equals.
func (p *proofs) later(young, old *dnssec.Denial, before func(a, b *dnssec.Denial) bool) (dnssec.Denial, bool) {
	switch {
	case young == nil && old == nil:
		return dnssec.Denial{}, false
	case old == nil, young != nil && !before(young, old):
		return *young, true
	}
	p.aged = true
	return *old, true
}

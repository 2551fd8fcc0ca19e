package simnet

import (
	"fmt"

	"github.com/miekg/dns"

	wire "github.com/shoji-dns/shoji/internal/dns"
)

// Anchor is a zone's trust anchor: what a validator is configured with.
type Anchor struct {
	DS     []wire.RR // as a parent would publish them
	DNSKEY []wire.RR // the keys that the DS records stand for (secure entry points)
}

// Anchor is the trust anchor of a signed zone; it is empty for an unsigned one.
func (t *Tree) Anchor(origin string) (Anchor, error) {
	z := t.Zone(origin)
	if z == nil || z.signing == nil {
		return Anchor{}, nil
	}
	return anchorOf(&z.keys, z.signing.digest())
}

// anchorOf makes the anchor of a zone's keys; no DS for a digest type that is
// unknown here.
func anchorOf(keys *keyring, digest uint8) (Anchor, error) {
	key, err := toWire(keys.ksk.rr)
	if err != nil {
		return Anchor{}, err
	}
	a := Anchor{DNSKEY: []wire.RR{key}}
	if ds := keys.ksk.rr.ToDS(digest); ds != nil {
		rr, err := toWire(ds)
		if err != nil {
			return Anchor{}, err
		}
		a.DS = []wire.RR{rr}
	}
	return a, nil
}

// toWire turns a record into the project's own form.
func toWire(rr dns.RR) (wire.RR, error) {
	h := rr.Header()
	name, err := wire.ParseName(h.Name)
	if err != nil {
		return wire.RR{}, fmt.Errorf("%s: %w", h.Name, err)
	}
	buf := make([]byte, dns.MaxMsgSize)
	n, err := dns.PackRR(rr, buf, 0, nil, false)
	if err != nil {
		return wire.RR{}, fmt.Errorf("%v: %w", rr, err)
	}
	const fixed = 10 // type, class, TTL and length stand between name and RDATA
	return wire.RR{Name: name, Type: wire.Type(h.Rrtype), Class: wire.Class(h.Class), TTL: h.Ttl,
		Data: buf[len(name)+fixed : n : n]}, nil
}

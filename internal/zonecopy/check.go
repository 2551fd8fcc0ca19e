package zonecopy

import (
	"bytes"
	"crypto/sha512"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"slices"
	"time"

	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/dnssec"
)

// check makes an edition of records where they pass what can be checked.
func (k *Copy) check(records []dns.RR, now time.Time) (*edition, error) {
	z, err := newZone(k.conf.Zone, records)
	if err != nil {
		return nil, err
	}
	if err := z.verifyDigest(records); err != nil {
		return nil, err
	}
	if ds := dnssec.AnchorsOf(k.conf.Zone, k.conf.Anchors); len(ds) > 0 {
		if err := z.validate(dnssec.New(k.conf.Validation), ds, now); err != nil {
			return nil, err
		}
	}
	return &edition{zone: z, serial: soaField(z.soa, soaSerial)}, nil
}

// validate verifies the zone's keys by trust anchors, and by the keys its SOA and ZONEMD
// records (RFC 8976 §4).
func (z *zone) validate(v *dnssec.Validator, ds []dnssec.DS, now time.Time) error {
	var w dnssec.Work
	keys, status := v.VerifyKeys(z.apex, ds, z.names[z.apex].set(dns.TypeDNSKEY), now, &w)
	if status.IsBogus() {
		return fmt.Errorf("the zone's keys do not verify by the trust anchor: %s", status.Reason())
	}
	if keys == nil {
		return nil
	}
	for _, t := range []dns.Type{dns.TypeSOA, dns.TypeZONEMD} {
		m := z.reply(z.apex, t)
		a := v.VerifyAnswer(keys, &dnssec.Response{Name: z.apex, Type: t, Answer: m.Answer, Authority: m.Authority}, now, &w)
		if a.Status.IsBogus() {
			return fmt.Errorf("the zone's %s record does not verify: %s", t, a.Status.Reason())
		}
	}
	return nil
}

// ZONEMD fields (RFC 8976 §2.2).
const (
	schemeSimple = 1
	digestSHA384 = 1
	digestSHA512 = 2
	digestAt     = 6
)

// verifyDigest compares the zone with its ZONEMD records of a kind that is supported (RFC
// 8976 §4): one that fits is enough, and none that does not. Of two of one kind neither
// counts.
func (z *zone) verifyDigest(records []dns.RR) error {
	var kinds [3][]dns.RR
	for _, rr := range z.names[z.apex].set(dns.TypeZONEMD) {
		if rr.Type != dns.TypeZONEMD || len(rr.Data) < digestAt || rr.Data[4] != schemeSimple || int(rr.Data[5]) >= len(kinds) {
			continue
		}
		kinds[rr.Data[5]] = append(kinds[rr.Data[5]], rr)
	}
	failed := error(nil)
	for kind, found := range kinds {
		if kind == 0 || len(found) != 1 {
			continue
		}
		switch d := found[0].Data; {
		case binary.BigEndian.Uint32(d) != soaField(z.soa, soaSerial):
			failed = errors.New("the zone's ZONEMD record is of another serial number")
		case !bytes.Equal(d[digestAt:], z.digest(kind, records)):
			failed = errors.New("the zone does not fit its ZONEMD record: the copy was changed or is not whole")
		default:
			return nil
		}
	}
	return failed
}

// digest is that of the zone by the scheme SIMPLE (RFC 8976 §3.3): its records in
// canonical form and order, without ZONEMD at the apex and its signatures, each once.
func (z *zone) digest(kind int, records []dns.RR) []byte {
	var h hash.Hash = sha512.New384()
	if kind == digestSHA512 {
		h = sha512.New()
	}
	type item struct {
		name dns.Name
		typ  dns.Type
		wire []byte
	}
	items := make([]item, 0, len(records))
	for _, rr := range records {
		apex := rr.Name.Equal(z.apex)
		switch {
		case rr.Class != dns.ClassIN || !rr.Name.IsSubdomainOf(z.apex):
		case apex && (rr.Type == dns.TypeZONEMD || rr.Covered() == dns.TypeZONEMD):
		default:
			items = append(items, item{rr.Name.Canonical(), rr.Type, rr.AppendCanonical(nil, rr.TTL)})
		}
	}
	slices.SortFunc(items, func(a, b item) int {
		if c := a.name.Compare(b.name); c != 0 {
			return c
		}
		if a.typ != b.typ {
			return int(a.typ) - int(b.typ)
		}
		fixed := len(a.name) + 10 // type, class, TTL and length
		return bytes.Compare(a.wire[fixed:], b.wire[fixed:])
	})
	for i := range items {
		if i == 0 || !bytes.Equal(items[i].wire, items[i-1].wire) {
			h.Write(items[i].wire)
		}
	}
	return h.Sum(nil)
}

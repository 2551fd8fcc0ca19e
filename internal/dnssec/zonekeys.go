package dnssec

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"slices"
	"time"

	"github.com/shoji-dns/shoji/internal/dns"
)

// Keys is the verified key set of one zone. It is immutable and may be used by any
// goroutine.
type Keys struct {
	zone    dns.Name // canonical
	keys    []key
	expires time.Time

	original uint32        // original TTL of the DNSKEY RRset in seconds
	left     time.Duration // until the signature over it expires
}

// key is one DNSKEY record, ready for use.
type key struct {
	tag       uint16
	algorithm Algorithm
	public    public
	id        [sha256.Size]byte
}

// Zone is the name of the zone's apex, in canonical form.
func (k *Keys) Zone() dns.Name { return k.zone }

// Expires is the moment from which the keys have to be fetched and verified again.
func (k *Keys) Expires() time.Time { return k.expires }

// VerifyKeys verifies a zone's DNSKEY RRset, which is in records with its RRSIGs,
// against the zone's DS records: a secure set from its parent, or trust anchors (RFC
// 4035 §5.2). Keys is set if the status is secure. It is insecure if all DS records are
// of algorithms, digest types or key sizes that are not supported.
func (v *Validator) VerifyKeys(zone dns.Name, ds []DS, records []dns.RR, now time.Time, w *Work) (*Keys, Status) {
	zone = zone.Canonical()
	ds, unsupported := v.usable(ds)
	if len(ds) == 0 {
		if unsupported == causeNone {
			return nil, Status{bogus, causeKeyMissing}
		}
		return nil, Status{insecure, unsupported}
	}
	set := pick(zone, dns.TypeDNSKEY, records)
	m := match{zone: zone, set: set}
	entry, failure := m.all(ds)
	if len(entry) == 0 {
		if failure == causeKeySize {
			return nil, Status{insecure, failure}
		}
		return nil, Status{bogus, failure}
	}
	r := v.verifySet(&Keys{zone: zone, keys: entry}, set, records, v.moment(now), w)
	if !r.Status.IsSecure() {
		return nil, r.Status
	}
	return &Keys{
		zone:     zone,
		keys:     v.parseKeys(entry, m.found, set),
		expires:  now.Add(time.Duration(r.TTL) * time.Second),
		original: r.original,
		left:     r.left,
	}, r.Status
}

// pick returns the records of one RRset. It is a part of records where they stand in a
// row.
func pick(name dns.Name, t dns.Type, records []dns.RR) []dns.RR {
	is := func(rr dns.RR) bool {
		return rr.Type == t && rr.Class == dns.ClassIN && rr.Name.Equal(name)
	}
	first := slices.IndexFunc(records, is)
	if first < 0 {
		return nil
	}
	end := first + 1
	for end < len(records) && is(records[end]) {
		end++
	}
	set := records[first:end:end]
	for _, rr := range records[end:] {
		if is(rr) {
			set = append(set, rr)
		}
	}
	return set
}

// match looks for the keys that a zone's DS records commit to.
type match struct {
	zone    dns.Name
	set     []dns.RR
	found   []int // positions in set of the keys found
	buf     []byte
	digests int
}

// all returns the keys that some DS record commits to: the zone's secure entry points.
// Without any, cause says why; it is causeKeySize only if each DS record has its key
// and no key is of a supported size.
func (m *match) all(ds []DS) (entry []key, failure cause) {
	failure = causeKeySize
	for _, d := range ds {
		i, c := m.one(d)
		if c == causeNone {
			if slices.Contains(m.found, i) {
				continue
			}
			public := parsePublic(d.Algorithm, m.set[i].Data[dnskeyFixed:])
			if public != nil {
				m.found = append(m.found, i)
				entry = append(entry, key{d.Tag, d.Algorithm, public, keyID(d.Algorithm, m.set[i].Data[dnskeyFixed:])})
			}
		} else if failure == causeKeySize || c > failure {
			failure = c
		}
	}
	return entry, failure
}

// one looks for the key that a DS record commits to and returns its position in the
// set.
func (m *match) one(d DS) (int, cause) {
	failure := causeKeyMissing
	for i := range m.set {
		data := m.set[i].Data
		if len(data) <= dnskeyFixed || Algorithm(data[3]) != d.Algorithm || keyTag(data) != d.Tag {
			continue
		}
		if c := keyUse(data); c != causeNone {
			failure = max(failure, c)
			continue
		}
		if m.digests == MaxDigests {
			return 0, causeWork
		}
		m.digests++
		m.buf = append(append(m.buf[:0], m.zone...), data...)
		var sum [sha512.Size384]byte
		if string(d.Type.sum(sum[:0], m.buf)) == d.Digest {
			return i, causeNone
		}
	}
	return 0, failure
}

// keyUse says why a DNSKEY record cannot sign a zone's data; causeNone if it can.
func keyUse(data []byte) cause {
	flags := binary.BigEndian.Uint16(data)
	switch {
	case flags&FlagZone == 0:
		return causeZoneBit
	case flags&FlagRevoke != 0, data[2] != dnskeyProtocol:
		return causeKeyMissing
	}
	return causeNone
}

// parseKeys readies the keys that can sign a zone's data, at most MaxKeys: first the
// secure entry points, which stand at the positions found, then the others of the set.
func (v *Validator) parseKeys(entry []key, found []int, set []dns.RR) []key {
	keys := make([]key, 0, min(len(set), MaxKeys))
	keys = append(keys, entry[:min(len(entry), MaxKeys)]...)
	for i := range set {
		data := set[i].Data
		if len(keys) == MaxKeys {
			break
		}
		if slices.Contains(found, i) || len(data) <= dnskeyFixed || keyUse(data) != causeNone || !v.supports(Algorithm(data[3])) {
			continue
		}
		if public := parsePublic(Algorithm(data[3]), data[dnskeyFixed:]); public != nil {
			keys = append(keys, key{keyTag(data), Algorithm(data[3]), public, keyID(Algorithm(data[3]), data[dnskeyFixed:])})
		}
	}
	return keys
}

package zonecopy

import (
	"bytes"
	"crypto/sha1"
	"encoding/base32"
	"slices"

	"github.com/shoji-dns/shoji/internal/dns"
)

// maxIterations is how many extra NSEC3 iterations are computed. Validators take zones
// with more for insecure (RFC 9276 §3.2), and then need no proof.
const maxIterations = 50

// denials finds the NSEC or NSEC3 records of a zone.
type denials struct {
	zone *zone
	nsec []dns.Name // owners of NSEC records, in canonical order

	nsec3      []hashed // by hash
	salt       []byte
	iterations int
}

type hashed struct {
	hash    [sha1.Size]byte
	records []dns.RR
}

// base32Hex is the text form of hashes in owner names (RFC 5155 §3.3), in lower case.
var base32Hex = base32.NewEncoding("0123456789abcdefghijklmnopqrstuv").WithPadding(base32.NoPadding)

func newDenials(z *zone) denials {
	d := denials{zone: z}
	param := z.names[z.apex].set(dns.TypeNSEC3PARAM)
	if len(param) > 0 && param[0].Type == dns.TypeNSEC3PARAM && len(param[0].Data) >= 5 && param[0].Data[0] == 1 {
		p := param[0].Data
		d.iterations, d.salt = int(p[2])<<8|int(p[3]), p[5:]
		if d.iterations > maxIterations || len(d.salt) != int(p[4]) {
			return d
		}
	}
	for name, n := range z.names {
		if n.set(dns.TypeNSEC) != nil {
			d.nsec = append(d.nsec, name)
		}
		set := n.set(dns.TypeNSEC3)
		if set == nil || len(param) == 0 || name.Parent() != z.apex {
			continue
		}
		if int(name[0]) != base32Hex.EncodedLen(sha1.Size) {
			continue // no hash; and more than the room for one
		}
		h := hashed{records: set}
		if n, err := base32Hex.Decode(h.hash[:], []byte(name[1:1+name[0]])); err == nil && n == sha1.Size {
			d.nsec3 = append(d.nsec3, h)
		}
	}
	slices.SortFunc(d.nsec, dns.Name.Compare)
	slices.SortFunc(d.nsec3, func(a, b hashed) int { return bytes.Compare(a.hash[:], b.hash[:]) })
	return d
}

// hash is that of a name (RFC 5155 §5).
func (d *denials) hash(name dns.Name) [sha1.Size]byte {
	h := sha1.Sum(append([]byte(name), d.salt...))
	for range d.iterations {
		h = sha1.Sum(append(h[:], d.salt...))
	}
	return h
}

// covering are the records whose span a name lies in, or those at the name itself.
func (d *denials) covering(name dns.Name) []dns.RR {
	switch {
	case len(d.nsec3) > 0:
		h := d.hash(name)
		i, found := slices.BinarySearchFunc(d.nsec3, h, func(e hashed, h [sha1.Size]byte) int { return bytes.Compare(e.hash[:], h[:]) })
		if !found {
			i = (i - 1 + len(d.nsec3)) % len(d.nsec3)
		}
		return d.nsec3[i].records
	case len(d.nsec) > 0:
		i, found := slices.BinarySearchFunc(d.nsec, name, dns.Name.Compare)
		if !found {
			i = (i - 1 + len(d.nsec)) % len(d.nsec)
		}
		return d.zone.names[d.nsec[i]].set(dns.TypeNSEC)
	}
	return nil
}

// proof is the records about several names, each record once.
func (d *denials) proof(names ...dns.Name) []dns.RR {
	var out []dns.RR
	var have [4]dns.Name
	n := 0
	for _, name := range names {
		set := d.covering(name)
		if len(set) > 0 && !slices.Contains(have[:n], set[0].Name) {
			have[n] = set[0].Name
			n++
			out = append(out, set...)
		}
	}
	return out
}

// noData denies a type at a name that exists (RFC 5155 §7.2.3, §7.2.4, §7.2.7). Below an
// opt-out the name may have no NSEC3 record: then the closest one above that has, and the
// span of the name below that.
func (d *denials) noData(name, apex dns.Name) []dns.RR {
	if len(d.nsec3) == 0 {
		return d.proof(name)
	}
	next := name
	for at := name; ; next, at = at, at.Parent() {
		set := d.covering(at)
		if d.owns(set, at) || at == apex {
			if at == name {
				return d.proof(name)
			}
			return d.proof(at, next)
		}
	}
}

// owns reports that NSEC3 records are those of a name, not of a span that it lies in.
func (d *denials) owns(set []dns.RR, name dns.Name) bool {
	h := d.hash(name)
	label := base32Hex.EncodeToString(h[:])
	return len(set) > 0 && string(set[0].Name[1:1+set[0].Name[0]]) == label
}

// noName denies a name, its part at and the wildcard that might be there instead (RFC
// 4035 §3.1.3.2, RFC 5155 §7.2.2).
func (d *denials) noName(name, at, wildcard dns.Name) []dns.RR {
	if len(d.nsec3) > 0 {
		return d.proof(at.Parent(), at, wildcard)
	}
	return d.proof(name, wildcard)
}

// noWildcardData denies a name, and a type at the wildcard (RFC 4035 §3.1.3.4, RFC 5155
// §7.2.5).
func (d *denials) noWildcardData(name, at, wildcard dns.Name) []dns.RR {
	return d.noName(name, at, wildcard)
}

// instead denies the name that a wildcard answers for (RFC 4035 §3.1.3.3, RFC 5155 §7.2.6).
func (d *denials) instead(name, at dns.Name) []dns.RR {
	if len(d.nsec3) > 0 {
		return d.proof(at)
	}
	return d.proof(name)
}

package dnssec

import (
	"encoding/binary"

	"github.com/shoji-dns/shoji/internal/dns"
)

// The bits of a DNSKEY record's flags field.
const (
	FlagZone   = 1 << 8 // RFC 4034 §2.1.1: the key may sign the zone's records
	FlagRevoke = 1 << 7 // RFC 5011 §7
	FlagSEP    = 1 << 0 // RFC 4034 §2.1.1: secure entry point, a hint

	dnskeyProtocol = 3 // the only value, RFC 4034 §2.1.2
	dnskeyFixed    = 4 // octets before the public key
	dsFixed        = 4 // octets before the digest
)

// DNSKEY is the RDATA of a DNSKEY record (RFC 4034 §2).
type DNSKEY struct {
	Flags     uint16
	Protocol  uint8
	Algorithm Algorithm
	PublicKey string // octets in the algorithm's own form
}

// ParseDNSKEY reads the RDATA of a DNSKEY record.
func ParseDNSKEY(data []byte) (DNSKEY, bool) {
	if len(data) <= dnskeyFixed {
		return DNSKEY{}, false
	}
	return DNSKEY{
		Flags:     binary.BigEndian.Uint16(data),
		Protocol:  data[2],
		Algorithm: Algorithm(data[3]),
		PublicKey: string(data[dnskeyFixed:]),
	}, true
}

// Append appends the record's RDATA to out.
func (k DNSKEY) Append(out []byte) []byte {
	out = binary.BigEndian.AppendUint16(out, k.Flags)
	out = append(out, k.Protocol, byte(k.Algorithm))
	return append(out, k.PublicKey...)
}

// Tag is the key tag (RFC 4034 appendix B). Setting the revoke bit changes it.
func (k DNSKEY) Tag() uint16 { return keyTag(k.Append(nil)) }

// DS is the delegation signer record that commits to the key of a zone; the zero DS for
// a digest type that is not supported.
func (k DNSKEY) DS(zone dns.Name, d Digest) DS {
	if d.size() == 0 {
		return DS{}
	}
	data := k.Append([]byte(zone.Canonical()))
	return DS{Tag: k.Tag(), Algorithm: k.Algorithm, Type: d, Digest: string(d.sum(nil, data))}
}

// keyTag is the key tag of DNSKEY RDATA. Algorithm 1 takes the tag from the modulus
// (RFC 4034 appendix B.1).
func keyTag(data []byte) uint16 {
	if len(data) > dnskeyFixed+3 && Algorithm(data[3]) == RSAMD5 {
		return binary.BigEndian.Uint16(data[len(data)-3:])
	}
	var sum uint32
	for len(data) >= 2 {
		sum += uint32(data[0])<<8 | uint32(data[1])
		data = data[2:]
	}
	if len(data) == 1 {
		sum += uint32(data[0]) << 8
	}
	return uint16(sum + sum>>16)
}

// DS is the RDATA of a delegation signer record (RFC 4034 §5).
type DS struct {
	Tag       uint16
	Algorithm Algorithm
	Type      Digest
	Digest    string // octets
}

// ParseDS reads the RDATA of a DS record.
func ParseDS(data []byte) (DS, bool) {
	if len(data) <= dsFixed {
		return DS{}, false
	}
	return DS{
		Tag:       binary.BigEndian.Uint16(data),
		Algorithm: Algorithm(data[2]),
		Type:      Digest(data[3]),
		Digest:    string(data[dsFixed:]),
	}, true
}

// Append appends the record's RDATA to out.
func (d DS) Append(out []byte) []byte {
	out = binary.BigEndian.AppendUint16(out, d.Tag)
	out = append(out, byte(d.Algorithm), byte(d.Type))
	return append(out, d.Digest...)
}

// usable keeps the DS records that a chain can be built on, in the order given. Without
// any, cause says what is missing. A SHA-1 digest is ignored beside a stronger one (RFC
// 4509 §3).
func (v *Validator) usable(set []DS) (kept []DS, c cause) {
	strong := false
	for _, ds := range set {
		switch {
		case ds.Type.size() == 0:
			c = max(c, causeDigest)
		case !v.supports(ds.Algorithm):
			c = max(c, causeAlgorithm)
		default:
			strong = strong || ds.Type != SHA1
			kept = append(kept, ds)
		}
	}
	if !strong {
		return kept, c
	}
	n := 0
	for _, ds := range kept {
		if ds.Type != SHA1 {
			kept[n] = ds
			n++
		}
	}
	return kept[:n], c
}

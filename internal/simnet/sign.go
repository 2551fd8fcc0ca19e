package simnet

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// Signing says how a zone is signed. The zero value of each field but the times
// is a good default: one ECDSA P-256 key, SHA-256 DS, NSEC.
type Signing struct {
	// Algorithm is a DNSSEC algorithm number. 5, 7, 8, 10, 13, 14 and 15 sign
	// truly; any other number gives keys and signatures of random octets, which is
	// what an algorithm looks like to a validator that does not know it. 0 means 13.
	Algorithm uint8
	// Split signs with a zone key beside the key-signing key.
	Split bool
	// Digest is the DS digest type; 0 means 2 (SHA-256).
	Digest uint8
	// NSEC3 hashes the denial chain; nil means NSEC.
	NSEC3 *NSEC3
	// Inception and Expiration bound the signatures' validity. Both must be set.
	Inception, Expiration time.Time
	// Break says what is wrong with the zone.
	Break Break
	// Twins adds as many keys of the same tag and algorithm as the zone key, and
	// FalseSignatures puts as many wrong signatures before each right one: the
	// material of CVE-2023-50387 (KeyTrap).
	Twins, FalseSignatures int
}

// NSEC3 is how owner names are hashed (RFC 5155 §3).
type NSEC3 struct {
	Iterations uint16
	Salt       string // hexadecimal; "" is none
	OptOut     bool   // unsigned delegations are left out of the chain
}

// Break is a set of faults in a zone's DNSSEC data. Each one but
// BreakDenial makes every name of the zone bogus.
type Break uint8

const (
	BreakSignatures    Break = 1 << iota // signatures over everything but the DNSKEY RRset do not verify
	BreakKeySignatures                   // the signature over the DNSKEY RRset does not verify
	BreakDS                              // the DS in the parent is of no key in the zone
	OmitSignatures                       // nothing but the DNSKEY RRset is signed
	BreakDenial                          // NSEC and NSEC3 records are never sent
)

func (s *Signing) algorithm() uint8 {
	if s.Algorithm == 0 {
		return dns.ECDSAP256SHA256
	}
	return s.Algorithm
}

func (s *Signing) digest() uint8 {
	if s.Digest == 0 {
		return dns.SHA256
	}
	return s.Digest
}

// known reports whether a validator of today knows the algorithm (RFC 8624 §3.1).
func (s *Signing) known() bool {
	switch s.algorithm() {
	case dns.RSASHA1, dns.RSASHA1NSEC3SHA1, dns.RSASHA256, dns.RSASHA512,
		dns.ECDSAP256SHA256, dns.ECDSAP384SHA384, dns.ED25519:
		return s.digest() == dns.SHA256 || s.digest() == dns.SHA384 || s.digest() == dns.SHA1
	}
	return false
}

// ds is the zone's delegation signer record for the parent.
func (z *Zone) ds() (*dns.DS, error) {
	digest := z.signing.digest()
	ds := z.keys.ksk.rr.ToDS(digest)
	if ds == nil { // a digest type unknown here
		if ds = z.keys.ksk.rr.ToDS(dns.SHA256); ds == nil {
			return nil, errors.New("no DS for the key of " + z.origin)
		}
		ds.DigestType = digest
	}
	ds.Hdr.Ttl = defaultTTL
	if z.signing.Break&BreakDS != 0 {
		last := len(ds.Digest) - 1
		flipped := byte('0')
		if ds.Digest[last] == flipped {
			flipped = '1'
		}
		ds.Digest = ds.Digest[:last] + string(flipped)
	}
	return ds, nil
}

// sign adds keys, the denial chain and signatures. The zone has its shape, and
// its secure delegations have their DS records.
func (z *Zone) sign() error {
	s := z.signing
	if s.Inception.IsZero() || s.Expiration.IsZero() {
		return fmt.Errorf("zone %s: signing needs inception and expiration", z.origin)
	}
	for _, rr := range z.keys.records() {
		if err := z.add(rr); err != nil {
			return err
		}
	}
	if s.NSEC3 != nil {
		if err := z.chainNSEC3(); err != nil {
			return err
		}
	} else {
		z.chainNSEC()
	}
	for _, n := range z.sorted() {
		for _, t := range n.types() {
			if t == dns.TypeNSEC || !n.signedType(t) {
				continue // NSEC sets are signed with the chain
			}
			if err := z.signSet(n.sets[t]); err != nil {
				return err
			}
		}
	}
	for _, l := range z.denial {
		if err := z.signSet(l.set); err != nil {
			return err
		}
	}
	return nil
}

// signSet signs one RRset with the key whose job it is.
func (z *Zone) signSet(set *rrset) error {
	h := set.rrs[0].Header()
	s := z.signing
	key, broken, omit := z.keys.zsk, s.Break&BreakSignatures != 0, s.Break&OmitSignatures != 0
	if h.Rrtype == dns.TypeDNSKEY {
		key, broken, omit = z.keys.ksk, s.Break&BreakKeySignatures != 0, false
	}
	if omit {
		return nil
	}
	sig := z.template(key, h.Ttl)
	if err := key.sign(sig, set.rrs); err != nil {
		return fmt.Errorf("zone %s: signing %s %s: %w", z.origin, h.Name, dns.Type(h.Rrtype), err)
	}
	if broken {
		sig.Signature = spoil(sig.Signature, 1)
	}
	for i := range s.FalseSignatures {
		bad := dns.Copy(sig).(*dns.RRSIG)
		bad.Signature = spoil(sig.Signature, i+2)
		set.sigs = append(set.sigs, bad)
	}
	set.sigs = append(set.sigs, sig)
	return nil
}

// sign fills in the signature.
func (k *signingKey) sign(sig *dns.RRSIG, rrs []dns.RR) error {
	if k.signer != nil {
		return sig.Sign(k.signer, rrs)
	}
	h := rrs[0].Header()
	sig.Hdr.Name, sig.Hdr.Rrtype, sig.Hdr.Class = h.Name, dns.TypeRRSIG, h.Class
	sig.TypeCovered, sig.OrigTtl = h.Rrtype, h.Ttl
	sig.Labels = uint8(dns.CountLabel(h.Name))
	if strings.HasPrefix(h.Name, "*.") {
		sig.Labels--
	}
	sig.Signature = base64.StdEncoding.EncodeToString(read(k.noise, 114))
	return nil
}

// spoil changes a signature so that it no longer verifies; each how gives another one.
func spoil(signature string, how int) string {
	raw, err := base64.StdEncoding.DecodeString(signature)
	if err != nil || len(raw) < 4 {
		return signature
	}
	raw[len(raw)-1] ^= byte(how)
	raw[len(raw)-2] ^= byte(how >> 8)
	raw[len(raw)/2] ^= 0x40
	return base64.StdEncoding.EncodeToString(raw)
}

// chainNSEC makes the NSEC chain (RFC 4034 §4, RFC 4035 §2.3).
func (z *Zone) chainNSEC() {
	var owners []*node
	for _, n := range z.sorted() {
		if !n.occluded && len(n.sets) > 0 {
			owners = append(owners, n)
		}
	}
	for i, n := range owners {
		types := []uint16{dns.TypeRRSIG, dns.TypeNSEC}
		for _, t := range n.types() {
			if !n.cut || t == dns.TypeNS || t == dns.TypeDS {
				types = append(types, t)
			}
		}
		slices.Sort(types)
		set := z.set(n.name, dns.TypeNSEC)
		set.rrs = []dns.RR{&dns.NSEC{
			Hdr:        dns.RR_Header{Name: n.name, Rrtype: dns.TypeNSEC, Class: dns.ClassINET, Ttl: z.negativeTTL()},
			NextDomain: owners[(i+1)%len(owners)].name,
			TypeBitMap: slices.Compact(types),
		}}
		z.denial = append(z.denial, link{sortKey(n.name), set})
	}
}

// chainNSEC3 makes the NSEC3 chain and its parameters (RFC 5155 §7.1).
func (z *Zone) chainNSEC3() error {
	p := z.signing.NSEC3
	param := &dns.NSEC3PARAM{
		Hdr:        dns.RR_Header{Name: z.origin, Rrtype: dns.TypeNSEC3PARAM, Class: dns.ClassINET},
		Hash:       dns.SHA1,
		Iterations: p.Iterations,
		SaltLength: uint8(len(p.Salt) / 2),
		Salt:       p.Salt,
	}
	if err := z.add(param); err != nil {
		return err
	}
	for _, n := range z.sorted() {
		if n.occluded || p.OptOut && !z.needsNSEC3(n) {
			continue
		}
		hash := z.hash(n.name)
		if hash == "" {
			return fmt.Errorf("zone %s: cannot hash %s with salt %q", z.origin, n.name, p.Salt)
		}
		rr := &dns.NSEC3{
			Hdr: dns.RR_Header{Name: child(strings.ToLower(hash), z.origin), Rrtype: dns.TypeNSEC3,
				Class: dns.ClassINET, Ttl: z.negativeTTL()},
			Hash: dns.SHA1, Iterations: p.Iterations, SaltLength: param.SaltLength, Salt: p.Salt,
			HashLength: 20, TypeBitMap: n.bitmapNSEC3(),
		}
		if p.OptOut {
			rr.Flags = 1
		}
		z.denial = append(z.denial, link{hash, &rrset{rrs: []dns.RR{rr}}})
	}
	slices.SortFunc(z.denial, func(a, b link) int { return strings.Compare(a.order, b.order) })
	for i, l := range z.denial {
		next := z.denial[(i+1)%len(z.denial)].order
		if next == l.order && len(z.denial) > 1 {
			return fmt.Errorf("zone %s: NSEC3 hash collision", z.origin)
		}
		l.set.rrs[0].(*dns.NSEC3).NextDomain = next
	}
	return nil
}

// needsNSEC3 reports whether an opt-out chain has the node: all but unsigned
// delegations and the empty non-terminals above nothing else (RFC 5155 §7.1).
func (z *Zone) needsNSEC3(n *node) bool {
	if n.cut {
		return n.of(dns.TypeDS) != nil
	}
	if len(n.sets) > 0 {
		return true
	}
	for _, m := range z.nodes {
		if m != n && !m.occluded && len(m.sets) > 0 && dns.IsSubDomain(n.name, m.name) && z.needsNSEC3(m) {
			return true
		}
	}
	return false
}

// bitmapNSEC3 lists the types at a node; RRSIG only where something is signed.
func (n *node) bitmapNSEC3() []uint16 {
	var types []uint16
	signed := false
	for _, t := range n.types() {
		if n.cut && t != dns.TypeNS && t != dns.TypeDS {
			continue
		}
		types = append(types, t)
		signed = signed || n.signedType(t)
	}
	if signed {
		types = append(types, dns.TypeRRSIG)
	}
	slices.Sort(types)
	return types
}

// hash is the NSEC3 hash of a name in base 32, upper case; "" where the salt is no hexadecimal.
func (z *Zone) hash(name string) string {
	p := z.signing.NSEC3
	return dns.HashName(name, dns.SHA1, p.Iterations, p.Salt)
}

// Sign makes a signature by the zone's own key over records of the caller's
// making, be they the zone's or not: what an owner of a zone can do who means
// harm. The records are one RRset; the signature's owner is theirs.
func (z *Zone) Sign(rrs ...dns.RR) (*dns.RRSIG, error) {
	if z.signing == nil || len(rrs) == 0 {
		return nil, fmt.Errorf("zone %s: nothing to sign with, or nothing to sign", z.origin)
	}
	h := rrs[0].Header()
	key := z.keys.zsk
	if h.Rrtype == dns.TypeDNSKEY {
		key = z.keys.ksk
	}
	sig := z.template(key, h.Ttl)
	return sig, key.sign(sig, rrs)
}

// template is a signature by a key of the zone before it is made.
func (z *Zone) template(key *signingKey, ttl uint32) *dns.RRSIG {
	return &dns.RRSIG{
		Hdr:        dns.RR_Header{Ttl: ttl},
		Algorithm:  key.rr.Algorithm,
		Inception:  uint32(z.signing.Inception.Unix()), // serial arithmetic, RFC 4034 §3.1.5
		Expiration: uint32(z.signing.Expiration.Unix()),
		KeyTag:     key.rr.KeyTag(),
		SignerName: z.origin,
	}
}

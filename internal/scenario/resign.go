package scenario

import (
	"crypto"
	"crypto/ed25519"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math/big"
	"strings"

	"github.com/miekg/dns"

	wire "github.com/shoji-dns/shoji/internal/dns"
)

// minRSA is the shortest modulus, in bits, that the standard library verifies by.
const minRSA = 1024

// newKey is a key of the story and the one in its place.
type newKey struct {
	was     *dns.DNSKEY
	now     *dns.DNSKEY
	private ed25519.PrivateKey
}

// needsNewKeys reports whether a key of the story is one that validators no longer take.
func (s *Scenario) needsNewKeys() bool {
	found := false
	s.records(func(rr *dns.RR) {
		k, ok := (*rr).(*dns.DNSKEY)
		if !ok {
			return
		}
		switch k.Algorithm {
		case dns.RSAMD5, dns.DSA, dns.DSANSEC3SHA1, dns.ECCGOST:
			found = true
		case dns.RSASHA1, dns.RSASHA1NSEC3SHA1, dns.RSASHA256, dns.RSASHA512:
			n, _ := rsaKey(k.PublicKey)
			found = found || n != nil && n.BitLen() < minRSA
		}
	})
	return found
}

// records yields every record of the story.
func (s *Scenario) records(yield func(*dns.RR)) {
	s.sections(func(section []dns.RR, _ *dns.Msg) {
		for i := range section {
			yield(&section[i])
		}
	})
}

// sections yields every section of every message.
func (s *Scenario) sections(yield func([]dns.RR, *dns.Msg)) {
	for _, e := range s.entries() {
		for _, m := range e.Messages {
			for _, section := range [][]dns.RR{m.Msg.Answer, m.Msg.Ns, m.Msg.Extra} {
				yield(section, m.Msg)
			}
		}
	}
}

// resigner gives a story new keys.
type resigner struct {
	keys   map[string][]*newKey  // by owner and tag
	signed map[string]*dns.RRSIG // the new signature, by the old one's text
}

// resign replaces the story's keys, DS records, trust anchors and signatures.
func (s *Scenario) resign() {
	r := &resigner{make(map[string][]*newKey), make(map[string]*dns.RRSIG)}
	s.records(func(rr *dns.RR) { r.addKey(*rr) })
	for i := range s.Settings {
		if rr := s.Settings[i].anchor(); rr != nil {
			r.addKey(rr)
		}
	}
	s.sections(r.signSection)
	s.records(func(rr *dns.RR) { *rr = r.replace(*rr) })
	for i := range s.Settings {
		if rr := s.Settings[i].anchor(); rr != nil {
			s.Settings[i].Value = r.replace(rr).String()
		}
	}
}

// anchor is the record of a trust-anchor setting.
func (s *Setting) anchor() dns.RR {
	if s.Key != "trust-anchor" {
		return nil
	}
	rr, err := zone{".", 3600}.record(withoutComment(s.Value))
	if err != nil {
		return nil
	}
	return rr
}

func keyID(owner string, tag uint16) string { return fmt.Sprintf("%s/%d", strings.ToLower(owner), tag) }

// addKey makes a new key for one of the story's, the same in every play.
func (r *resigner) addKey(rr dns.RR) {
	k, ok := rr.(*dns.DNSKEY)
	if !ok {
		return
	}
	id := keyID(k.Hdr.Name, k.KeyTag())
	for _, have := range r.keys[id] {
		if have.was.PublicKey == k.PublicKey && have.was.Flags == k.Flags {
			return
		}
	}
	was := *k
	now := *k
	seed := sha256.Sum256(fmt.Appendf(nil, "%s %d %s", strings.ToLower(k.Hdr.Name), k.Flags, k.PublicKey))
	private := ed25519.NewKeyFromSeed(seed[:])
	now.Algorithm, now.PublicKey = dns.ED25519, base64.StdEncoding.EncodeToString(private.Public().(ed25519.PublicKey))
	r.keys[id] = append(r.keys[id], &newKey{&was, &now, private})
}

// replace is a record as it is with the new keys.
func (r *resigner) replace(rr dns.RR) dns.RR {
	switch x := rr.(type) {
	case *dns.DNSKEY:
		for _, k := range r.keys[keyID(x.Hdr.Name, x.KeyTag())] {
			if k.was.PublicKey == x.PublicKey && k.was.Flags == x.Flags {
				c := *x
				c.Algorithm, c.PublicKey = k.now.Algorithm, k.now.PublicKey
				return &c
			}
		}
	case *dns.DS:
		for _, k := range r.keys[keyID(x.Hdr.Name, x.KeyTag)] {
			if c := k.replaceDS(x); c != nil {
				return c
			}
		}
	case *dns.RRSIG:
		return r.replaceSignature(x)
	}
	return rr
}

// replaceDS is a DS record of the new key; its digest is wrong where the old one was.
func (k *newKey) replaceDS(x *dns.DS) *dns.DS {
	was, now := k.was.ToDS(x.DigestType), k.now.ToDS(x.DigestType)
	if was == nil || now == nil || x.Algorithm != k.was.Algorithm {
		return nil
	}
	c := *x
	c.KeyTag, c.Algorithm, c.Digest = now.KeyTag, now.Algorithm, now.Digest
	if !strings.EqualFold(was.Digest, strings.ReplaceAll(x.Digest, " ", "")) {
		if b, err := hex.DecodeString(c.Digest); err == nil && len(b) > 0 {
			b[0] ^= 0xFF
			c.Digest = hex.EncodeToString(b)
		}
	}
	return &c
}

// replaceSignature is the new signature for a right one, and octets that verify nothing for a
// wrong one. One by a key that the story does not have stays.
func (r *resigner) replaceSignature(g *dns.RRSIG) dns.RR {
	c := *g
	if made := r.signed[signatureID(g)]; made != nil {
		c.Algorithm, c.KeyTag, c.Signature = made.Algorithm, made.KeyTag, made.Signature
		return &c
	}
	k := r.keys[keyID(g.SignerName, g.KeyTag)]
	if len(k) == 0 || g.Algorithm != k[0].was.Algorithm {
		return g
	}
	octets := sha512.Sum512([]byte(signatureID(g)))
	c.Algorithm, c.KeyTag, c.Signature = k[0].now.Algorithm, k[0].now.KeyTag(), base64.StdEncoding.EncodeToString(octets[:])
	return &c
}

func signatureID(g *dns.RRSIG) string {
	c := *g
	c.Hdr.Ttl, c.Hdr.Name = 0, strings.ToLower(c.Hdr.Name)
	return c.String()
}

// signSection makes a new signature for each of a section's that is right. Some stories have a
// signature in another section than what it signs.
func (r *resigner) signSection(section []dns.RR, m *dns.Msg) {
	for _, rr := range section {
		g, ok := rr.(*dns.RRSIG)
		if !ok || r.signed[signatureID(g)] != nil {
			continue
		}
		covered := pick(g, section)
		if len(covered) == 0 {
			covered = pick(g, m.Answer, m.Ns, m.Extra)
		}
		if len(covered) == 0 {
			continue
		}
		for _, k := range r.keys[keyID(g.SignerName, g.KeyTag)] {
			if k.verifies(g, covered) {
				var now []dns.RR
				for _, rr := range covered {
					now = append(now, r.replace(rr))
				}
				r.signed[signatureID(g)] = k.sign(g, now)
				break
			}
		}
	}
}

// pick copies the records that a signature covers.
func pick(g *dns.RRSIG, sections ...[]dns.RR) (set []dns.RR) {
	for _, section := range sections {
		for _, rr := range section {
			if rr.Header().Rrtype == g.TypeCovered && g.TypeCovered != dns.TypeRRSIG && sameName(rr.Header().Name, g.Hdr.Name) {
				set = append(set, dns.Copy(rr))
			}
		}
	}
	return set
}

// sign makes the new key's signature over a set.
func (k *newKey) sign(g *dns.RRSIG, set []dns.RR) *dns.RRSIG {
	c := *g
	c.Algorithm, c.KeyTag = k.now.Algorithm, k.now.KeyTag()
	c.Signature = base64.StdEncoding.EncodeToString(ed25519.Sign(k.private, signedData(&c, set)))
	return &c
}

// verifies reports whether a signature by the old key is right. Short keys and hashes that are
// broken are verified here and nowhere else: what counts is what the story's author had signed.
func (k *newKey) verifies(g *dns.RRSIG, set []dns.RR) bool {
	sig, err := base64.StdEncoding.DecodeString(g.Signature)
	if err != nil || g.Algorithm != k.was.Algorithm {
		return false
	}
	data := signedData(g, set)
	switch g.Algorithm {
	case dns.DSA, dns.DSANSEC3SHA1:
		return verifyDSA(k.was.PublicKey, sig, data)
	case dns.RSAMD5:
		h := md5.Sum(data)
		return verifyRSA(k.was.PublicKey, sig, crypto.MD5, h[:])
	case dns.RSASHA1, dns.RSASHA1NSEC3SHA1:
		h := sha1.Sum(data)
		return verifyRSA(k.was.PublicKey, sig, crypto.SHA1, h[:])
	case dns.RSASHA256:
		h := sha256.Sum256(data)
		return verifyRSA(k.was.PublicKey, sig, crypto.SHA256, h[:])
	case dns.RSASHA512:
		h := sha512.Sum512(data)
		return verifyRSA(k.was.PublicKey, sig, crypto.SHA512, h[:])
	}
	return g.Verify(k.was, set) == nil
}

// signedData is what a signature is made over (RFC 4034 §3.1.8.1).
func signedData(g *dns.RRSIG, set []dns.RR) []byte {
	c := *g
	c.Signature, c.SignerName, c.Hdr.Name = "", strings.ToLower(dns.Fqdn(g.SignerName)), "."
	const fixed = 11 // owner, type, class, TTL and length
	out := wireOf(&c)
	if len(out) < fixed {
		return nil
	}
	return append(out[fixed:], canonicalSet(set, int(g.Labels), g.OrigTtl)...)
}

// canonicalSet is an RRset in canonical form and order, wildcards as they were signed.
func canonicalSet(set []dns.RR, labels int, ttl uint32) []byte {
	var all [][]byte
	for _, rr := range set {
		c := dns.Copy(rr)
		if split := dns.SplitDomainName(c.Header().Name); len(split) > labels {
			c.Header().Name = dns.Fqdn(strings.Join(append([]string{"*"}, split[len(split)-labels:]...), "."))
		}
		own, err := toOwn(c)
		if err != nil {
			return nil
		}
		all = append(all, own.AppendCanonical(nil, ttl))
	}
	return joinSorted(all)
}

// toOwn is a record in the project's own form.
func toOwn(rr dns.RR) (wire.RR, error) {
	h := rr.Header()
	name, err := wire.ParseName(h.Name)
	if err != nil {
		return wire.RR{}, err
	}
	b := wireOf(rr)
	const fixed = 10 // type, class, TTL and length
	if len(b) < len(name)+fixed {
		return wire.RR{}, fmt.Errorf("%v cannot be packed", rr)
	}
	return wire.RR{Name: name, Type: wire.Type(h.Rrtype), Class: wire.Class(h.Class), TTL: h.Ttl, Data: b[len(name)+fixed:]}, nil
}

// verifyDSA verifies by FIPS 186-4 §4.7; keys and signatures have the form of RFC 2536. Some
// stories hold signatures in DER.
func verifyDSA(key string, sig, data []byte) bool {
	b, err := base64.StdEncoding.DecodeString(key)
	if err != nil || len(b) < 21 {
		return false
	}
	size := 64 + 8*int(b[0])
	if len(b) < 21+3*size {
		return false
	}
	number := func(b []byte) *big.Int { return new(big.Int).SetBytes(b) }
	q, p, g, y := number(b[1:21]), number(b[21:21+size]), number(b[21+size:21+2*size]), number(b[21+2*size:21+3*size])
	var rs struct{ R, S *big.Int }
	if len(sig) == 41 {
		rs.R, rs.S = number(sig[1:21]), number(sig[21:])
	} else if _, err := asn1.Unmarshal(sig, &rs); err != nil {
		return false
	}
	if rs.R.Sign() <= 0 || rs.S.Sign() <= 0 || p.Sign() <= 0 || q.Sign() <= 0 {
		return false
	}
	w := new(big.Int).ModInverse(rs.S, q)
	if w == nil {
		return false
	}
	h := sha1.Sum(data)
	u1 := number(h[:])
	u1.Mul(u1, w).Mod(u1, q)
	u2 := new(big.Int).Mul(rs.R, w)
	u2.Mod(u2, q)
	v := g.Exp(g, u1, p)
	v.Mul(v, y.Exp(y, u2, p)).Mod(v, p).Mod(v, q)
	return v.Cmp(rs.R) == 0
}

package simnet

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"math/big"
	"math/rand/v2"

	"github.com/miekg/dns"
)

// rsaBits is the size of RSA keys: the smallest that crypto/rsa works with, as
// finding larger primes would dominate the time that a lab takes to start.
const rsaBits = 1024

// rsaExponent is F4, the exponent of all DNSSEC keys in practice.
const rsaExponent = 65537

// maxTwins bounds the search for keys of equal tag (Signing.Twins).
const maxTwins = 1000

// signingKey is a DNSKEY with its private half; signer is nil for an algorithm
// that nobody can compute here.
type signingKey struct {
	rr     *dns.DNSKEY
	signer crypto.Signer
	noise  *rand.ChaCha8 // what an algorithm unknown here signs with
}

// keyring is a zone's keys: one does both jobs unless Signing.Split is set.
type keyring struct {
	ksk, zsk *signingKey
	twins    []*signingKey // same tag and algorithm as the zsk, other keys
}

// deterministic hides the random source from a signer: with none, ECDSA nonces
// come from the message (RFC 6979), and the same seed gives the same zone.
type deterministic struct{ crypto.Signer }

func (d deterministic) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return d.Signer.Sign(nil, digest, opts)
}

// stream is the random stream of one purpose: a function of the seed and the labels.
func stream(seed uint64, labels ...string) *rand.ChaCha8 {
	h := sha256.New()
	_ = binary.Write(h, binary.BigEndian, seed)
	for _, l := range labels {
		_ = binary.Write(h, binary.BigEndian, uint32(len(l)))
		h.Write([]byte(l))
	}
	return rand.NewChaCha8([32]byte(h.Sum(nil)))
}

// makeKeys derives a zone's keys from the seed.
func makeKeys(seed uint64, origin string, s *Signing) (keyring, error) {
	flags := uint16(dns.ZONE | dns.SEP)
	ksk, err := makeKey(stream(seed, "key", origin, "ksk"), origin, flags, s.algorithm())
	if err != nil {
		return keyring{}, fmt.Errorf("zone %s: %w", origin, err)
	}
	ring := keyring{ksk: ksk, zsk: ksk}
	if s.Split {
		ring.zsk, err = makeKey(stream(seed, "key", origin, "zsk"), origin, dns.ZONE, s.algorithm())
		if err != nil {
			return keyring{}, fmt.Errorf("zone %s: %w", origin, err)
		}
	}
	src := stream(seed, "key", origin, "twins")
	for range min(s.Twins, maxTwins) {
		twin, err := makeTwin(src, origin, ring.zsk.rr)
		if err != nil {
			return keyring{}, fmt.Errorf("zone %s: %w", origin, err)
		}
		ring.twins = append(ring.twins, twin)
	}
	return ring, nil
}

// records are the zone's DNSKEY records. Twins come first: a validator that
// tries keys in order meets the false ones before the true one.
func (k *keyring) records() []dns.RR {
	var out []dns.RR
	for _, t := range k.twins {
		out = append(out, t.rr)
	}
	if k.zsk != k.ksk {
		out = append(out, k.zsk.rr)
	}
	return append(out, k.ksk.rr)
}

// makeKey derives one key from a random stream.
func makeKey(src *rand.ChaCha8, origin string, flags uint16, alg uint8) (*signingKey, error) {
	k := &signingKey{rr: &dns.DNSKEY{
		Hdr:       dns.RR_Header{Name: origin, Rrtype: dns.TypeDNSKEY, Class: dns.ClassINET, Ttl: defaultTTL},
		Flags:     flags,
		Protocol:  3,
		Algorithm: alg,
	}}
	var public []byte
	var err error
	switch alg {
	case dns.ECDSAP256SHA256:
		k.signer, public, err = ecdsaKey(src, elliptic.P256(), 32)
	case dns.ECDSAP384SHA384:
		k.signer, public, err = ecdsaKey(src, elliptic.P384(), 48)
	case dns.ED25519:
		priv := ed25519.NewKeyFromSeed(read(src, ed25519.SeedSize))
		k.signer, public = priv, priv.Public().(ed25519.PublicKey)
	case dns.RSASHA1, dns.RSASHA1NSEC3SHA1, dns.RSASHA256, dns.RSASHA512:
		k.signer, public, err = rsaKey(src)
	default:
		public = read(src, 57)
		k.noise = src
	}
	if err != nil {
		return nil, err
	}
	k.rr.PublicKey = base64.StdEncoding.EncodeToString(public)
	return k, nil
}

// makeTwin finds another valid key whose tag equals that of like. A key tag is a
// sum (RFC 4034 appendix B) in which the flags are one summand, and all but
// three bits of the flags are without meaning: so a fitting value of the flags
// makes nearly any key a twin.
func makeTwin(src *rand.ChaCha8, origin string, like *dns.DNSKEY) (*signingKey, error) {
	const tries = 1000
	want := like.KeyTag()
	for range tries {
		k, err := makeKey(src, origin, dns.ZONE, like.Algorithm)
		if err != nil {
			return nil, err
		}
		for carry := range uint16(3) { // the sum's carries depend on the flags themselves
			k.rr.Flags = dns.ZONE
			k.rr.Flags += want - k.rr.KeyTag() + carry - 1
			if k.rr.KeyTag() == want && k.rr.Flags&dns.ZONE != 0 && k.rr.Flags&dns.REVOKE == 0 {
				return k, nil
			}
		}
	}
	return nil, fmt.Errorf("no twin key of tag %d in %d tries", want, tries)
}

func ecdsaKey(src *rand.ChaCha8, curve elliptic.Curve, size int) (crypto.Signer, []byte, error) {
	const tries = 8 // a scalar is out of range with a probability of 2^-32
	var err error
	for range tries {
		var priv *ecdsa.PrivateKey
		if priv, err = ecdsa.ParseRawPrivateKey(curve, read(src, size)); err != nil {
			continue
		}
		var point []byte
		if point, err = priv.PublicKey.Bytes(); err != nil {
			continue
		}
		return deterministic{priv}, point[1:], nil // without the octet that says "uncompressed"
	}
	return nil, nil, err
}

// rsaKey finds primes in the stream: crypto/rsa cannot make a key from a seed.
func rsaKey(src *rand.ChaCha8) (crypto.Signer, []byte, error) {
	e := big.NewInt(rsaExponent)
	one := big.NewInt(1)
	prime := func() *big.Int {
		for {
			b := read(src, rsaBits/16)
			b[0] |= 0xc0 // so that the product has all its bits
			b[len(b)-1] |= 1
			p := new(big.Int).SetBytes(b)
			if !p.ProbablyPrime(8) {
				continue
			}
			if new(big.Int).GCD(nil, nil, e, new(big.Int).Sub(p, one)).Cmp(one) == 0 {
				return p
			}
		}
	}
	p, q := prime(), prime()
	phi := new(big.Int).Mul(new(big.Int).Sub(p, one), new(big.Int).Sub(q, one))
	priv := &rsa.PrivateKey{
		PublicKey: rsa.PublicKey{N: new(big.Int).Mul(p, q), E: rsaExponent},
		D:         new(big.Int).ModInverse(e, phi),
		Primes:    []*big.Int{p, q},
	}
	priv.Precompute()
	if err := priv.Validate(); err != nil {
		return nil, nil, err
	}
	public := append([]byte{3}, 1, 0, 1) // exponent length and F4 (RFC 3110 §2)
	return deterministic{priv}, append(public, priv.N.Bytes()...), nil
}

func read(src *rand.ChaCha8, n int) []byte {
	b := make([]byte, n)
	_, _ = src.Read(b) // never fails
	return b
}

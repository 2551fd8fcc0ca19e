package dnssec

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"math/big"
)

// Algorithm is a DNSSEC signature algorithm, from IANA's registry "DNS Security
// Algorithm Numbers".
type Algorithm uint8

const (
	RSAMD5           Algorithm = 1  // RFC 2537, never supported: RFC 6725
	RSASHA1          Algorithm = 5  // RFC 3110
	RSASHA1NSEC3SHA1 Algorithm = 7  // RFC 5155
	RSASHA256        Algorithm = 8  // RFC 5702
	RSASHA512        Algorithm = 10 // RFC 5702
	ECDSAP256SHA256  Algorithm = 13 // RFC 6605
	ECDSAP384SHA384  Algorithm = 14 // RFC 6605
	Ed25519          Algorithm = 15 // RFC 8080
)

// Digest is a DS digest type, from IANA's registry "DNSSEC Delegation Signer (DS)
// Resource Record (RR) Type Digest Algorithms".
type Digest uint8

const (
	SHA1   Digest = 1 // RFC 4034 §5.1.3
	SHA256 Digest = 2 // RFC 4509
	SHA384 Digest = 4 // RFC 6605
)

// RSA key sizes in bits. crypto/rsa refuses less than 1024; RFC 3110 §2 ends at 4096,
// and so does the cost of one verification. It also refuses an exponent that is even, below
// 3 or above 31 bits. 2^32+1, which signers of the 2000s offered, is above it.
const (
	minRSABits        = 1024
	maxRSABits        = 4096
	maxExponentOctets = 5
	maxExponent       = 1<<31 - 1
	fermat5           = 1<<32 + 1
)

// supports reports whether signatures of an algorithm are verified (RFC 8624 §3.1, RFC
// 9904; RFC 9905 §2 on SHA-1).
func (v *Validator) supports(a Algorithm) bool {
	switch a {
	case RSASHA256, RSASHA512, ECDSAP256SHA256, ECDSAP384SHA384, Ed25519:
		return true
	case RSASHA1, RSASHA1NSEC3SHA1:
		return v.sha1
	}
	return false
}

// size is the length of a digest in octets; 0 for an unsupported type.
func (d Digest) size() int {
	switch d {
	case SHA1:
		return sha1.Size
	case SHA256:
		return sha256.Size
	case SHA384:
		return sha512.Size384
	}
	return 0
}

// sum appends the digest of data to out; nothing for an unsupported type.
func (d Digest) sum(out, data []byte) []byte {
	switch d {
	case SHA1:
		h := sha1.Sum(data)
		return append(out, h[:]...)
	case SHA256:
		h := sha256.Sum256(data)
		return append(out, h[:]...)
	case SHA384:
		h := sha512.Sum384(data)
		return append(out, h[:]...)
	}
	return out
}

// public is a public key, ready for use. verify may be called from any goroutine.
type public interface {
	verify(data, signature []byte) bool
}

// parsePublic reads the public key field of a DNSKEY record (RFC 3110 §2, RFC 6605 §4,
// RFC 8080 §3); nil for one that is malformed or of an unsupported size.
func parsePublic(a Algorithm, b []byte) public {
	switch a {
	case RSASHA1, RSASHA1NSEC3SHA1:
		return parseRSA(crypto.SHA1, b)
	case RSASHA256:
		return parseRSA(crypto.SHA256, b)
	case RSASHA512:
		return parseRSA(crypto.SHA512, b)
	case ECDSAP256SHA256:
		return parseECDSA(elliptic.P256(), b)
	case ECDSAP384SHA384:
		return parseECDSA(elliptic.P384(), b)
	case Ed25519:
		if len(b) == ed25519.PublicKeySize {
			return ed25519Key(append([]byte(nil), b...))
		}
	}
	return nil
}

type rsaKey struct {
	key     rsa.PublicKey
	hash    crypto.Hash
	fermat5 bool // the exponent is 2^32+1
}

func parseRSA(h crypto.Hash, b []byte) public {
	if len(b) < 1 {
		return nil
	}
	n, b := int(b[0]), b[1:]
	if n == 0 {
		if len(b) < 2 {
			return nil
		}
		n, b = int(b[0])<<8|int(b[1]), b[2:]
	}
	if n == 0 || n > maxExponentOctets || n >= len(b) {
		return nil
	}
	var e uint64
	for _, c := range b[:n] {
		e = e<<8 | uint64(c)
	}
	if e < 3 || e > maxExponent && e != fermat5 || e%2 == 0 || len(b)-n > maxRSABits/8+1 {
		return nil
	}
	modulus := new(big.Int).SetBytes(b[n:])
	if bits := modulus.BitLen(); bits < minRSABits || bits > maxRSABits || modulus.Bit(0) == 0 {
		return nil
	}
	k := &rsaKey{key: rsa.PublicKey{N: modulus}, hash: h, fermat5: e == fermat5}
	if !k.fermat5 { // which does not fit into an int everywhere
		k.key.E = int(e)
	}
	return k
}

func (k *rsaKey) verify(data, signature []byte) bool {
	var sum []byte
	var buf [sha512.Size]byte
	switch k.hash {
	case crypto.SHA1:
		h := sha1.Sum(data)
		sum = append(buf[:0], h[:]...)
	case crypto.SHA256:
		h := sha256.Sum256(data)
		sum = append(buf[:0], h[:]...)
	default:
		h := sha512.Sum512(data)
		sum = append(buf[:0], h[:]...)
	}
	if k.fermat5 {
		return k.verifyFermat5(sum, signature)
	}
	return rsa.VerifyPKCS1v15(&k.key, k.hash, sum, signature) == nil
}

// verifyFermat5 verifies with the exponent 2^32+1 (RFC 8017 §8.2.2). Everything in it is
// public, so it need not take the same time for all values.
func (k *rsaKey) verifyFermat5(sum, signature []byte) bool {
	// The DER of a DigestInfo up to the digest (RFC 8017 §9.2, note 1).
	info := "\x30\x21\x30\x09\x06\x05\x2b\x0e\x03\x02\x1a\x05\x00\x04\x14"
	switch k.hash {
	case crypto.SHA256:
		info = "\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20"
	case crypto.SHA512:
		info = "\x30\x51\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x03\x05\x00\x04\x40"
	}
	size := (k.key.N.BitLen() + 7) / 8
	s := new(big.Int).SetBytes(signature)
	if len(signature) != size || s.Cmp(k.key.N) >= 0 {
		return false
	}
	want := make([]byte, 0, size)
	want = append(want, 0, 1)
	for range size - 3 - len(info) - len(sum) {
		want = append(want, 0xFF)
	}
	want = append(append(append(want, 0), info...), sum...)
	got := s.Exp(s, new(big.Int).SetUint64(fermat5), k.key.N).FillBytes(make([]byte, size))
	return bytes.Equal(got, want)
}

type ecdsaKey struct {
	key  *ecdsa.PublicKey
	size int // octets of r, and of s
}

func parseECDSA(curve elliptic.Curve, b []byte) public {
	size := curve.Params().BitSize / 8
	if len(b) != 2*size {
		return nil
	}
	point := append(make([]byte, 0, 1+2*size), 4) // uncompressed, SEC 1 §2.3.3
	key, err := ecdsa.ParseUncompressedPublicKey(curve, append(point, b...))
	if err != nil {
		return nil
	}
	return &ecdsaKey{key, size}
}

func (k *ecdsaKey) verify(data, signature []byte) bool {
	if len(signature) != 2*k.size {
		return false
	}
	var buf [8 + 2*(1+sha512.Size384)]byte
	der := appendInteger(buf[:2], signature[:k.size])
	der = appendInteger(der, signature[k.size:])
	der[0], der[1] = 0x30, byte(len(der)-2) // at most 2·(2+1+48): a one-octet length
	if k.size == sha256.Size {
		h := sha256.Sum256(data)
		return ecdsa.VerifyASN1(k.key, h[:], der)
	}
	h := sha512.Sum384(data)
	return ecdsa.VerifyASN1(k.key, h[:], der)
}

// appendInteger appends an unsigned big-endian number as a DER INTEGER.
func appendInteger(der, b []byte) []byte {
	for len(b) > 1 && b[0] == 0 {
		b = b[1:]
	}
	if b[0]&0x80 != 0 {
		der = append(der, 2, byte(len(b)+1), 0)
	} else {
		der = append(der, 2, byte(len(b)))
	}
	return append(der, b...)
}

type ed25519Key []byte

func (k ed25519Key) verify(data, signature []byte) bool {
	return len(signature) == ed25519.SignatureSize && ed25519.Verify(ed25519.PublicKey(k), data, signature)
}

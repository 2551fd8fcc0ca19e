package scenario

import (
	"bytes"
	"crypto"
	"encoding/base64"
	"encoding/binary"
	"math/big"
	"slices"
)

// rsaKey reads an RSA public key in the form of RFC 3110 §2; nil where it is none.
func rsaKey(text string) (n, e *big.Int) {
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(b) < 3 {
		return nil, nil
	}
	size := int(b[0])
	b = b[1:]
	if size == 0 {
		size = int(binary.BigEndian.Uint16(b))
		b = b[2:]
	}
	if len(b) <= size {
		return nil, nil
	}
	return new(big.Int).SetBytes(b[size:]), new(big.Int).SetBytes(b[:size])
}

// maxExponent bounds the public exponent, in bits, so that no story takes long.
const maxExponent = 64

// verifyRSA verifies a signature of RSASSA-PKCS1-v1_5 (RFC 8017 §8.2.2) by a key of any length.
func verifyRSA(key string, sig []byte, h crypto.Hash, sum []byte) bool {
	n, e := rsaKey(key)
	if n == nil || n.Sign() <= 0 || e.BitLen() > maxExponent {
		return false
	}
	// The DER of DigestInfo up to the digest (RFC 8017 §9.2, note 1).
	info := map[crypto.Hash]string{
		crypto.MD5:    "\x30\x20\x30\x0c\x06\x08\x2a\x86\x48\x86\xf7\x0d\x02\x05\x05\x00\x04\x10",
		crypto.SHA1:   "\x30\x21\x30\x09\x06\x05\x2b\x0e\x03\x02\x1a\x05\x00\x04\x14",
		crypto.SHA256: "\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20",
		crypto.SHA512: "\x30\x51\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x03\x05\x00\x04\x40",
	}[h]
	size := (n.BitLen() + 7) / 8
	got := new(big.Int).Exp(new(big.Int).SetBytes(sig), e, n).Bytes()
	padding := size - 3 - len(info) - len(sum)
	if padding < 8 || len(got) != size-1 {
		return false
	}
	want := slices.Concat([]byte{1}, bytes.Repeat([]byte{0xFF}, padding), []byte{0}, []byte(info), sum)
	return bytes.Equal(got, want)
}

// joinSorted orders records of one set by RDATA (RFC 4034 §6.3), without repetitions: owner, type,
// class and TTL are the same in all.
func joinSorted(records [][]byte) []byte {
	if len(records) == 0 {
		return nil
	}
	data := 0
	for first := records[0]; first[data] != 0; {
		data += int(first[data]) + 1
	}
	data += 11
	slices.SortFunc(records, func(a, b []byte) int { return bytes.Compare(a[data:], b[data:]) })
	return bytes.Join(slices.CompactFunc(records, bytes.Equal), nil)
}

package filter

import (
	"encoding/binary"
	"math/bits"
)

// Limits of a name in wire form (RFC 1035 §2.3.4).
const (
	maxLabel  = 63
	maxLabels = 127
	maxWire   = 254 // the last octet that a label can begin at is before this
	topDepth  = 63  // labels from which on a depth is not told from a greater one
)

// hashLabel extends h, the hash of the labels to the right (the seed for none),
// by one label. A label is taken in numbers of 8 octets, little-endian: the
// whole ones in order and then, if octets are left, the last 8 octets of the
// label; of a label of 4 to 7 octets the first 4 and the last 4, which may
// overlap; of 1 to 3 the first, the middle (length/2) and the last octet. The
// label's length times mult is added to h, and then for each number
// h = fold((h xor number) · mult), where fold is the upper half of the 128-bit
// product xor the lower.
func hashLabel(h, mult uint64, label []byte) uint64 {
	n := len(label)
	h += uint64(n) * mult
	switch {
	case n >= 8:
		i := 0
		for ; i+8 <= n; i += 8 {
			h = fold(h^binary.LittleEndian.Uint64(label[i:]), mult)
		}
		if i == n {
			return h
		}
		return fold(h^binary.LittleEndian.Uint64(label[n-8:]), mult)
	case n >= 4:
		w := uint64(binary.LittleEndian.Uint32(label)) | uint64(binary.LittleEndian.Uint32(label[n-4:]))<<32
		return fold(h^w, mult)
	case n > 0:
		w := uint64(label[0]) | uint64(label[n>>1])<<8 | uint64(label[n-1])<<16
		return fold(h^w, mult)
	}
	return h
}

func fold(x, mult uint64) uint64 {
	hi, lo := bits.Mul64(x, mult)
	return hi ^ lo
}

// place is hi(h·n): h's place among n.
func place(h uint64, n int) int {
	hi, _ := bits.Mul64(h, uint64(n))
	return int(hi)
}

// filterMask is the bits that a record with hash h sets in the filter of its own line.
func filterMask(h uint64) uint64 {
	return 1<<(h&63) | 1<<(h>>6&63) | 1<<(h>>12&63)
}

// spillMask is the bits that it sets there besides where it is in another line.
func spillMask(h uint64) uint64 { return filterMask(h >> 18) }

// fingerprint is the part of h that a slot keeps.
func fingerprint(h uint64, bits uint) uint32 { return uint32(h>>24) & (1<<bits - 1) }

// maxKey is more than the longest key has: a name whose octets are all written as two.
const maxKey = 2 * (maxWire + 2)

// keyBuf builds a key from labels, the top one first.
type keyBuf struct {
	b [maxKey]byte
	n int
}

func (k *keyBuf) bytes() []byte { return k.b[:k.n] }

// push appends a label. What does not fit is no name and is dropped.
func (k *keyBuf) push(label []byte) {
	n := k.n // in a register
	if n > 0 && n < maxKey {
		k.b[n] = 0
		n++
	}
	for _, c := range label {
		if n+2 > maxKey {
			break
		}
		if c <= 1 {
			k.b[n] = 1
			n++
			c++
		}
		k.b[n] = c
		n++
	}
	k.n = n
}

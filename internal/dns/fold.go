package dns

import "encoding/binary"

// lowerOctet is the ASCII lower case of c (RFC 4343 §3).
func lowerOctet(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c | 0x20
	}
	return c
}

// lower puts b into ASCII lower case in place.
func lower(b []byte) {
	for len(b) >= 8 {
		binary.LittleEndian.PutUint64(b, lowerWord(binary.LittleEndian.Uint64(b)))
		b = b[8:]
	}
	for i, c := range b {
		b[i] = lowerOctet(c)
	}
}

// lowerWord is the ASCII lower case of eight octets at once. In each octet the low
// seven bits are added to so that bit 7 tells "at least A" and "above Z"; an octet
// beyond ASCII is left alone.
func lowerWord(w uint64) uint64 {
	const ones = 0x0101010101010101
	low := w &^ (0x80 * ones)
	letter := (low + (0x80-'A')*ones) &^ (low + (0x80-'Z'-1)*ones) &^ w & (0x80 * ones)
	return w | letter>>2
}

// equalFold compares octets, ASCII letters without case.
func equalFold[S, T ~string | ~[]byte](a S, b T) bool {
	if len(a) != len(b) {
		return false
	}
	for i := 0; i < len(a); i++ {
		if a[i] != b[i] && lowerOctet(a[i]) != lowerOctet(b[i]) {
			return false
		}
	}
	return true
}

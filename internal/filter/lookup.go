package filter

import (
	"bytes"
	"encoding/binary"
)

// word is the word of the filter for a hash.
func (l *List) word(h uint64) uint64 {
	at := place(h, len(l.filter)/8) * 8
	if at+8 > len(l.filter) {
		return 0
	}
	return binary.LittleEndian.Uint64(l.filter[at:])
}

// find looks a key with hash h up. The exact listing counts for the whole name
// only, and before its subtree.
func (l *List) find(h uint64, key []byte, whole bool) (v Verdict, ok bool) {
	bucket := place(h, len(l.dir)/4-1)
	first, last := number32(l.dir, bucket), number32(l.dir, bucket+1)
	if last < first || last-first > maxBucket {
		return v, false
	}
	finger := fingerprint(h, l.fingerBits())
	blockMask := uint32(1)<<l.blockBits - 1
	for i := first; i < last; i++ {
		slot := number32(l.slots, int(i))
		subtree := slot>>l.blockBits&1 != 0
		if slot>>(l.blockBits+1) != finger || !subtree && !whole {
			continue
		}
		entry, found := l.inBlock(int(slot&blockMask), key, subtree)
		switch {
		case !found:
		case !subtree:
			return Verdict{Entry: entry, Rule: Exact}, true
		default:
			v, ok = Verdict{Entry: entry, Rule: Subtree}, true
			if !whole {
				return v, true
			}
		}
	}
	return v, ok
}

// number32 is the i-th 32-bit number of b, 0 where there is none.
func number32(b []byte, i int) uint32 {
	if at := 4 * i; at >= 0 && at+4 <= len(b) {
		return binary.LittleEndian.Uint32(b[at:])
	}
	return 0
}

// inBlock looks in a block for the record with this key and scope.
func (l *List) inBlock(block int, key []byte, subtree bool) (entry uint64, ok bool) {
	if 4*block >= len(l.blocks) {
		return 0, false
	}
	r := blockReader{bits: bitReader{b: l.names, pos: 8 * uint(number32(l.blocks, block))}, entryBits: l.entryBits}
	left := l.records - perBlock*uint64(block)
	for range min(left, perBlock) {
		if !r.next() {
			return 0, false
		}
		if r.subtree == subtree && bytes.Equal(r.key[:r.n], key) {
			return r.entry, true
		}
	}
	return 0, false
}

// blockReader reads the records of a block one after the other.
type blockReader struct {
	bits      bitReader
	entryBits uint

	key     [maxKey]byte
	n       int // length of key
	subtree bool
	entry   uint64
}

// next reads the next record; false if there is damage.
func (r *blockReader) next() bool {
	head := r.bits.take(6)
	shared := int(head >> 1)
	if r.bits.bad || shared > r.n {
		return false
	}
	n, ok := r.bits.key(&r.key, shared)
	if !ok {
		return false
	}
	r.n, r.subtree = n, head&1 != 0
	r.entry = r.bits.take(r.entryBits)
	return !r.bits.bad
}

package filter

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"runtime"

	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/ledger"
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

// Has reports whether exactly this name is listed with exactly this scope, which
// is ledger.ScopeExact or ledger.ScopeSubtree.
func (l *List) Has(name dns.Name, scope ledger.Scope) bool {
	_, ok := l.Entry(name, scope)
	return ok
}

// Entry is the entry of the log that lists exactly this name with exactly this
// scope; false where none does.
func (l *List) Entry(name dns.Name, scope ledger.Scope) (uint64, bool) {
	if len(l.filter) == 0 {
		return 0, false
	}
	defer runtime.KeepAlive(l)
	key := appendKey(make([]byte, 0, maxKey), name.Canonical())
	h, _ := hashKey(l.seed, l.mult, key)
	if mask := filterMask(h); l.word(h)&mask != mask {
		return 0, false
	}
	bucket := place(h, len(l.dir)/4-1)
	finger, blockMask := fingerprint(h, l.fingerBits()), uint32(1)<<l.blockBits-1
	first, last := number32(l.dir, bucket), number32(l.dir, bucket+1)
	for i := first; i < min(last, first+maxBucket); i++ {
		slot := number32(l.slots, int(i))
		subtree := slot>>l.blockBits&1 != 0
		if slot>>(l.blockBits+1) != finger || subtree != (scope == ledger.ScopeSubtree) {
			continue
		}
		if entry, ok := l.inBlock(int(slot&blockMask), key, subtree); ok {
			return entry, true
		}
	}
	return 0, false
}

// HasPrefix reports whether exactly this prefix is listed.
func (l *List) HasPrefix(p netip.Prefix) bool {
	_, ok := l.PrefixEntry(p)
	return ok
}

// PrefixEntry is the entry of the log that lists exactly this prefix; false where none does.
func (l *List) PrefixEntry(p netip.Prefix) (uint64, bool) {
	defer runtime.KeepAlive(l)
	p = plain(p)
	for i := range l.groups {
		g := &l.groups[i]
		if int(g.bits) != p.Bits() || g.v6 != p.Addr().Is6() {
			continue
		}
		var n int
		var ok bool
		if b := p.Addr().As16(); g.v6 {
			n, ok = g.find6(binary.BigEndian.Uint64(b[:]), binary.BigEndian.Uint64(b[8:]))
		} else {
			n, ok = g.find4(binary.BigEndian.Uint32(b[12:]))
		}
		if !ok {
			return 0, false
		}
		return g.verdict(n).Entry, true
	}
	return 0, false
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

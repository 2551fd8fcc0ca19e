package filter

import (
	"encoding/binary"
	"net/netip"
	"runtime"

	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/ledger"
)

// line is a line of the table, from a number below len(l.table)/lineSize; nil where there is none.
func (l *List) line(n int) *[lineSize]byte {
	if at := n * lineSize; uint(at) < uint(len(l.table)) && len(l.table)-at >= lineSize {
		return (*[lineSize]byte)(l.table[at:])
	}
	return nil
}

// mayHold reports whether the filter lets a name with hash h through.
func (l *List) mayHold(h uint64) bool {
	line := l.line(place(h, len(l.table)/lineSize))
	mask := filterMask(h)
	return line != nil && binary.LittleEndian.Uint64(line[:])&mask == mask
}

// goneFurther reports whether a record with hash h whose own line this is may be in another.
func goneFurther(line *[lineSize]byte, h uint64) bool {
	mask := spillMask(h)
	return binary.LittleEndian.Uint32(line[lineSize-4:]) != 0 && binary.LittleEndian.Uint64(line[:])&mask == mask
}

// scopes says which listings of a name are looked for.
type scopes uint8

const (
	exactScope scopes = 1 << iota
	subtreeScope
)

// find looks a key with hash h up in the scopes wanted, the exact one before the subtree.
func (l *List) find(h uint64, key []byte, wanted scopes) (entry uint64, found scopes) {
	lines := len(l.table) / lineSize
	finger, placeMask := fingerprint(h, l.fingerBits()), uint32(1)<<l.placeBits-1
	above := (l.placeBits + 1) & 31 // of a slot is its fingerprint
	for at, left := h, maxSpill; left >= 0; left-- {
		line := l.line(place(at, lines))
		if line == nil {
			break
		}
		for i := lineHead; i < lineSize; i += 4 {
			slot := binary.LittleEndian.Uint32(line[i:])
			if slot>>above != finger || slot&maxIndex == 0 {
				continue
			}
			scope := exactScope << (slot >> l.placeBits & 1)
			if wanted&scope == 0 || found != 0 && scope == subtreeScope {
				continue
			}
			if e, ok := l.recordIs(slot&placeMask, key, scope == subtreeScope); ok {
				if entry, found = e, scope; wanted == scope || scope == exactScope {
					return entry, found
				}
			}
		}
		full := binary.LittleEndian.Uint32(line[lineSize-4:]) != 0
		if !full || left == maxSpill && !goneFurther(line, h) {
			break
		}
		at *= l.mult
	}
	return entry, found
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
	defer runtime.KeepAlive(l)
	key := appendKey(make([]byte, 0, maxKey), name.Canonical())
	h, _ := hashKey(l.seed, l.mult, key)
	if !l.mayHold(h) {
		return 0, false
	}
	wanted := exactScope
	if scope == ledger.ScopeSubtree {
		wanted = subtreeScope
	}
	entry, found := l.find(h, key, wanted)
	return entry, found != 0
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

package filter

import (
	"encoding/binary"
	"net/netip"
)

// group is the listed prefixes of one family and length.
type group struct {
	v6      bool
	bits    uint8
	count   int
	keys    []byte
	entries []byte
}

// keySize is the octets of one key.
func (g *group) keySize() int {
	if g.v6 {
		return 16
	}
	return 4
}

// readGroups reads the heads of the groups of a prefix region; false if there is
// damage.
func readGroups(b []byte) ([]group, bool) {
	le := binary.LittleEndian
	n := le.Uint32(b)
	if n > maxGroups || groupHead+groupSize*int(n) > len(b) {
		return nil, false
	}
	groups := make([]group, n)
	for i := range groups {
		head := b[groupHead+groupSize*i:]
		family, width := head[0], head[1]
		if family != 4 && family != 6 || width > 128 || family == 4 && width > 32 {
			return nil, false
		}
		g := group{v6: family == 6, bits: width, count: int(le.Uint32(head[4:]))}
		at, keys := le.Uint64(head[8:]), uint64(g.count)*uint64(g.keySize())
		entries := uint64(g.count) * entryOctet
		if at > uint64(len(b)) || keys+entries > uint64(len(b))-at {
			return nil, false
		}
		g.keys = b[at : at+keys]
		g.entries = b[at+keys : at+keys+entries]
		groups[i] = g
	}
	return groups, true
}

// matchAddr looks an address up that is not IPv4-mapped, the longest prefix first.
func (l *List) matchAddr(a netip.Addr) (Verdict, bool) {
	switch {
	case a.Is4():
		b := a.As4()
		v := binary.BigEndian.Uint32(b[:])
		for i := range l.groups {
			if g := &l.groups[i]; !g.v6 {
				if n, ok := g.find4(v &^ uint32(1<<(32-uint(g.bits))-1)); ok {
					return g.verdict(n), true
				}
			}
		}
	case a.Is6():
		b := a.As16()
		hi, lo := binary.BigEndian.Uint64(b[:]), binary.BigEndian.Uint64(b[8:])
		for i := range l.groups {
			if g := &l.groups[i]; g.v6 {
				if n, ok := g.find6(maskUpper(hi, lo, uint(g.bits))); ok {
					return g.verdict(n), true
				}
			}
		}
	}
	return Verdict{}, false
}

// maskUpper keeps the first n of 128 bits.
func maskUpper(hi, lo uint64, n uint) (uint64, uint64) {
	if n <= 64 {
		return hi &^ (1<<(64-n) - 1), 0
	}
	return hi, lo &^ (1<<(128-n) - 1)
}

func (g *group) verdict(n int) Verdict {
	return Verdict{Entry: binary.LittleEndian.Uint64(g.entries[entryOctet*n:]), Rule: Prefix, Size: g.bits}
}

func (g *group) key4(i int) uint32 { return binary.LittleEndian.Uint32(g.keys[4*i:]) }

func (g *group) find4(v uint32) (int, bool) {
	low, n := 0, g.count // the key is not before low, and among the n from there
	for n > 1 {
		half := n / 2
		if g.key4(low+half) <= v {
			low += half
		}
		n -= half
	}
	return low, n == 1 && g.key4(low) == v
}

func (g *group) key6(i int) (hi, lo uint64) {
	return binary.LittleEndian.Uint64(g.keys[16*i:]), binary.LittleEndian.Uint64(g.keys[16*i+8:])
}

func (g *group) find6(hi, lo uint64) (int, bool) {
	low, n := 0, g.count
	for n > 1 {
		half := n / 2
		if h, l := g.key6(low + half); h < hi || h == hi && l <= lo {
			low += half
		}
		n -= half
	}
	if n == 0 {
		return 0, false
	}
	h, l := g.key6(low)
	return low, h == hi && l == lo
}

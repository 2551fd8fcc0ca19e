package listen

import (
	"cmp"
	"encoding/binary"
	"net/netip"
	"slices"
)

// LocalPrefixes are the source prefixes that are served by default: loopback,
// private use (RFC 1918, RFC 4193), shared by one provider's customers (RFC 6598),
// and link-local (RFC 3927, RFC 4291 §2.5.6).
func LocalPrefixes() []netip.Prefix {
	return []netip.Prefix{
		netip.MustParsePrefix("127.0.0.0/8"),
		netip.MustParsePrefix("10.0.0.0/8"),
		netip.MustParsePrefix("172.16.0.0/12"),
		netip.MustParsePrefix("192.168.0.0/16"),
		netip.MustParsePrefix("169.254.0.0/16"),
		netip.MustParsePrefix("100.64.0.0/10"),
		netip.MustParsePrefix("::1/128"),
		netip.MustParsePrefix("fc00::/7"),
		netip.MustParsePrefix("fe80::/10"),
	}
}

// ranges is a set of addresses as ascending ranges that do not
// overlap, so that one binary search decides however many prefixes there were.
type ranges []addrRange

type addrRange struct{ first, last addr128 }

// addr128 is an IPv6 address, or an IPv4 address in its mapped form, as a number.
type addr128 struct{ hi, lo uint64 }

func newAddr128(a netip.Addr) addr128 {
	b := a.As16()
	return addr128{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

func (a addr128) less(b addr128) bool {
	return a.hi < b.hi || a.hi == b.hi && a.lo < b.lo
}

func (a addr128) compare(b addr128) int {
	return cmp.Or(cmp.Compare(a.hi, b.hi), cmp.Compare(a.lo, b.lo))
}

// lastOf is the last address of a prefix of bits that begins at first.
func lastOf(first addr128, bits int) addr128 {
	if bits <= 64 {
		return addr128{first.hi | ^uint64(0)>>bits, ^uint64(0)}
	}
	return addr128{first.hi, first.lo | ^uint64(0)>>(bits-64)}
}

// newRanges makes the set of all addresses in prefixes.
func newRanges(prefixes []netip.Prefix) ranges {
	all := make(ranges, 0, len(prefixes))
	for _, p := range prefixes {
		if !p.IsValid() {
			continue
		}
		bits := p.Bits()
		if p.Addr().Is4() {
			bits += 96
		}
		first := newAddr128(p.Masked().Addr())
		all = append(all, addrRange{first, lastOf(first, bits)})
	}
	slices.SortFunc(all, func(a, b addrRange) int { return a.first.compare(b.first) })
	merged := all[:0]
	for _, r := range all {
		if n := len(merged); n > 0 && !merged[n-1].last.less(r.first) {
			if merged[n-1].last.less(r.last) {
				merged[n-1].last = r.last
			}
			continue
		}
		merged = append(merged, r)
	}
	return merged
}

// contains reports whether a is in the set.
func (rs ranges) contains(a netip.Addr) bool {
	n := newAddr128(a)
	low, high := 0, len(rs)
	for low < high {
		mid := int(uint(low+high) / 2)
		if rs[mid].last.less(n) {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low < len(rs) && !n.less(rs[low].first)
}

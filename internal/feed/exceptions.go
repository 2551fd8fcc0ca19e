package feed

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/shoji-dns/shoji/internal/dns"
)

// Exceptions are what policy zones let pass: the triggers of PASSTHRU and TCP-ONLY policies.
// The precedence is that of draft-vixie-dnsop-dns-rpz §5: what an earlier zone says of a name
// or address counts, whatever a later one says; within a zone the exact name counts before
// *.NAME, the longer name before the shorter, the longer prefix before the shorter. That a
// QNAME trigger comes before an address trigger of the same zone cannot be kept where claims
// stand by themselves: an exception for a name does not take its addresses off the prefixes.
type Exceptions struct {
	exact    map[dns.Name]bool // the name alone
	subtree  map[dns.Name]bool // all names below it
	above    map[dns.Name]bool // every name that one of these is at or below
	prefixes []netip.Prefix    // sorted by comparePrefixes, where sorted says so
	sorted   bool
	prefix   map[netip.Prefix]bool
	bits     map[int]bool // lengths of prefixes
}

// NewExceptions makes none.
func NewExceptions() *Exceptions {
	return &Exceptions{
		exact: map[dns.Name]bool{}, subtree: map[dns.Name]bool{}, above: map[dns.Name]bool{},
		prefix: map[netip.Prefix]bool{}, bits: map[int]bool{},
	}
}

// Add adds what a claim names. It is not to be called beside the other methods.
func (x *Exceptions) Add(c Claim) {
	switch c.Scope {
	case Prefix:
		if !x.prefix[c.Prefix] {
			x.prefix[c.Prefix], x.bits[c.Prefix.Bits()], x.sorted = true, true, false
			x.prefixes = append(x.prefixes, c.Prefix)
		}
		return
	case Subtree:
		x.subtree[c.Name] = true
	default:
		x.exact[c.Name] = true
	}
	for n := c.Name; !x.above[n]; n = n.Parent() {
		x.above[n] = true
		if n == dns.Root {
			break
		}
	}
}

// maxExceptions bounds what one zone's exceptions may take in memory, in names, names above
// them and prefixes of some 50 octets each: a name has up to 127 above it.
const maxExceptions = 1 << 20

// size is how many names, names above them and prefixes there are.
func (x *Exceptions) size() int { return len(x.above) + len(x.prefixes) }

// Within reports whether one is a part of what a claim of the same zone is about, so that a
// claim, which holds no exception, would say more than the zone does.
func (x *Exceptions) Within(c Claim) bool {
	switch c.Scope {
	case Subtree:
		return x.above[c.Name]
	case Prefix:
		return x.inside(c.Prefix)
	}
	return false
}

// Against reports whether one is for any of what a claim of a later zone is about.
func (x *Exceptions) Against(c Claim) bool {
	switch {
	case c.Scope == Prefix:
		return x.around(c.Prefix) || x.inside(c.Prefix)
	case c.Scope == Subtree && x.above[c.Name], c.Scope != Subtree && x.exact[c.Name]:
		return true
	}
	for n := c.Name; n != dns.Root; {
		if n = n.Parent(); x.subtree[n] {
			return true
		}
	}
	return false
}

// around reports whether one holds all of p.
func (x *Exceptions) around(p netip.Prefix) bool {
	for bits := range x.bits {
		if bits > p.Bits() {
			continue
		}
		if wide, err := p.Addr().Prefix(bits); err == nil && x.prefix[wide] {
			return true
		}
	}
	return false
}

// inside reports whether one is a part of p, and not all of it.
func (x *Exceptions) inside(p netip.Prefix) bool {
	if !x.sorted {
		slices.SortFunc(x.prefixes, comparePrefixes)
		x.sorted = true
	}
	at, _ := slices.BinarySearchFunc(x.prefixes, netip.PrefixFrom(p.Addr(), p.Addr().BitLen()), comparePrefixes)
	return at < len(x.prefixes) && p.Contains(x.prefixes[at].Addr()) && x.prefixes[at].Bits() > p.Bits() ||
		x.next(at, p)
}

// next reports whether one behind those of p's own first address, of which there is one a length, is a part of p.
func (x *Exceptions) next(at int, p netip.Prefix) bool {
	for at < len(x.prefixes) && x.prefixes[at].Addr() == p.Addr() {
		at++
	}
	return at < len(x.prefixes) && p.Contains(x.prefixes[at].Addr())
}

// comparePrefixes puts prefixes in the order of their first addresses, the longer ones first.
func comparePrefixes(a, b netip.Prefix) int {
	return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(b.Bits(), a.Bits()))
}

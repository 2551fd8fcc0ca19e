package filter

import (
	"bytes"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/ledger"
)

// model is the list as a map: what Match must agree with.
type model map[ledger.Listing]uint64

func (m model) add(l ledger.Listing) {
	k := l
	k.Entry = 0
	m[k] = max(m[k], l.Entry)
}

func (m model) match(n dns.Name) (v Verdict, ok bool) {
	text := func(n dns.Name) string {
		if n == dns.Root {
			return "."
		}
		return strings.TrimSuffix(n.String(), ".")
	}
	if e, ok := m[exact(text(n), 0)]; ok {
		return Verdict{e, Exact, uint8(n.Labels()), 0}, true
	}
	for d := n.Labels(); d >= 0; d-- {
		if e, ok := m[subtree(text(n.Suffix(d)), 0)]; ok {
			return Verdict{e, Subtree, uint8(d), 0}, true
		}
	}
	return v, false
}

func (m model) matchAddr(a netip.Addr) (v Verdict, ok bool) {
	for bits := a.BitLen(); bits >= 0; bits-- {
		p, _ := a.Prefix(bits)
		if e, ok := m[ledger.Listing{Prefix: p, Scope: ledger.ScopePrefix}]; ok {
			return Verdict{e, Prefix, uint8(bits), 0}, true
		}
	}
	return v, false
}

// drawName draws from a small alphabet, so that names share suffixes.
func drawName(t *rapid.T) dns.Name {
	label := rapid.OneOf(rapid.SampledFrom([]string{"a", "b", "ab", "www", "example", "x-1_y", "0123456789abcdef", "verylonglabelverylonglabelverylonglabelverylonglabelverylonglab"}),
		rapid.StringOfN(rapid.RuneFrom([]rune("\x00\x01\x02.az\u00ff")), 1, 3, 8))
	labels := rapid.SliceOfN(label, 0, 5).Draw(t, "labels")
	name := dns.Root
	for _, l := range labels {
		if n, err := name.Child(l); err == nil {
			name = n.Canonical()
		}
	}
	return name
}

func drawPrefix(t *rapid.T) netip.Prefix {
	a := netip.AddrFrom4([4]byte{192, 0, rapid.Byte().Draw(t, "b"), rapid.Byte().Draw(t, "c")})
	if rapid.Bool().Draw(t, "v6") {
		b := [16]byte{0x20, 1, 0xd, 0xb8}
		b[7], b[8], b[15] = rapid.ByteMax(1).Draw(t, "7"), rapid.ByteMax(1).Draw(t, "8"), rapid.ByteMax(1).Draw(t, "15")
		a = netip.AddrFrom16(b)
	}
	p, _ := a.Prefix(rapid.IntRange(0, a.BitLen()).Draw(t, "bits"))
	return p
}

func TestAgreesWithModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := model{}
		var listings []ledger.Listing
		for range rapid.IntRange(0, 120).Draw(t, "n") {
			l := ledger.Listing{Entry: rapid.Uint64Range(0, 1<<rapid.IntRange(1, 53).Draw(t, "w")-1).Draw(t, "entry")}
			switch rapid.IntRange(0, 2).Draw(t, "scope") {
			case 0:
				l.Scope, l.Prefix = ledger.ScopePrefix, drawPrefix(t)
			case 1:
				l.Scope, l.Name = ledger.ScopeExact, text(drawName(t))
			default:
				l.Scope, l.Name = ledger.ScopeSubtree, text(drawName(t))
			}
			listings = append(listings, l)
			m.add(l)
		}
		var out bytes.Buffer
		if _, err := compile(&out, 1, [32]byte{}, len(listings), slices.Values(listings)); err != nil {
			t.Fatal(err)
		}
		l, err := parse(out.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if l.Count() != uint64(len(m)) {
			t.Fatalf("Count = %d, want %d", l.Count(), len(m))
		}
		ask := func(n dns.Name) {
			got, ok := l.Match([]byte(n))
			if want, wantOK := m.match(n); got != want || ok != wantOK {
				t.Fatalf("Match(%s) = %v, %v; want %v, %v", n, got, ok, want, wantOK)
			}
		}
		for _, li := range listings {
			if li.Prefix.IsValid() {
				for _, a := range []netip.Addr{li.Prefix.Addr(), li.Prefix.Addr().Next(), li.Prefix.Addr().Prev()} {
					got, ok := l.MatchAddr(a)
					if want, wantOK := m.matchAddr(a); got != want || ok != wantOK {
						t.Fatalf("MatchAddr(%s) = %v, %v; want %v, %v", a, got, ok, want, wantOK)
					}
				}
				continue
			}
			n := dns.MustName(li.Name)
			ask(n)
			ask(n.Parent())
			if c, err := n.Child("a"); err == nil {
				ask(c)
			}
		}
		for range 20 {
			ask(drawName(t))
		}
	})
}

func text(n dns.Name) string {
	if n == dns.Root {
		return "."
	}
	return strings.TrimSuffix(n.String(), ".")
}

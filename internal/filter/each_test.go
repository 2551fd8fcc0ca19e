package filter

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/ledger"
)

// What a list was compiled of is what it hands out: names in canonical order, the exact
// one before its subtree, labels with odd octets unharmed.
func TestNamesAndPrefixes(t *testing.T) {
	list, data := build(t,
		ledger.Listing{Name: "b.example", Scope: ledger.ScopeSubtree, Entry: 1},
		ledger.Listing{Name: "b.example", Scope: ledger.ScopeExact, Entry: 2},
		ledger.Listing{Name: `\000\001\..a.example`, Scope: ledger.ScopeExact, Entry: 3},
		ledger.Listing{Name: "example", Scope: ledger.ScopeSubtree, Entry: 4},
		ledger.Listing{Prefix: netip.MustParsePrefix("2001:db8::/32"), Scope: ledger.ScopePrefix, Entry: 5},
		ledger.Listing{Prefix: netip.MustParsePrefix("192.0.2.0/24"), Scope: ledger.ScopePrefix, Entry: 6},
		ledger.Listing{Prefix: netip.MustParsePrefix("192.0.2.1/32"), Scope: ledger.ScopePrefix, Entry: 7},
	)
	var got []string
	err := list.Names(func(n dns.Name, s ledger.Scope) bool {
		got = append(got, fmt.Sprint(n, " ", s))
		return true
	})
	list.Prefixes(func(p netip.Prefix) bool {
		got = append(got, p.String())
		return true
	})
	want := `[example. subtree \000\001\..a.example. exact b.example. exact b.example. subtree 192.0.2.1/32 192.0.2.0/24 2001:db8::/32]`
	if err != nil || fmt.Sprint(got) != want {
		t.Errorf("%v, %v, want %s", got, err, want)
	}
	n := 0
	if err := list.Names(func(dns.Name, ledger.Scope) bool { n++; return n < 2 }); err != nil || n != 2 {
		t.Errorf("stopped after %d names, %v", n, err)
	}

	for i := range data { // no octet that is damaged makes it panic, or hand out what is no name
		bad := append([]byte(nil), data...)
		bad[i] ^= 0x55
		l, err := parse(bad)
		if err != nil {
			continue
		}
		names := uint64(0)
		err = l.Names(func(n dns.Name, _ ledger.Scope) bool {
			if m, err := dns.ParseName(n.String()); err != nil || m != n {
				t.Errorf("octet %d damaged: %q is no name", i, n)
			}
			names++
			return true
		})
		if err == nil && names != l.records {
			t.Errorf("octet %d damaged: %d names of %d without an error", i, names, l.records)
		}
		l.Prefixes(func(netip.Prefix) bool { return true })
	}
	if err := new(List).Names(func(dns.Name, ledger.Scope) bool { return false }); err != nil {
		t.Error(err)
	}
}

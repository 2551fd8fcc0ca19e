package filter

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/ledger"
)

// A record is what Names hands out in its place, and Below is what IsSubdomainOf says.
func TestRecords(t *testing.T) {
	label := rapid.SampledFrom([]string{"a", "b", "ab", "a-b", "a\\.b", "\\000", "\\001", "z", "c2", "example"})
	rapid.Check(t, func(rt *rapid.T) {
		var all []ledger.Listing
		for i := range rapid.IntRange(0, 60).Draw(rt, "listings") {
			name := label.Draw(rt, "label")
			for range rapid.IntRange(0, 3).Draw(rt, "depth") {
				name += "." + label.Draw(rt, "label")
			}
			scope := rapid.SampledFrom([]ledger.Scope{ledger.ScopeExact, ledger.ScopeSubtree}).Draw(rt, "scope")
			all = append(all, ledger.Listing{Name: name, Scope: scope, Entry: uint64(i)})
		}
		list, _ := build(t, all...)
		var want []Record
		err := list.Names(func(n dns.Name, s ledger.Scope) bool {
			entry, _ := list.Entry(n, s)
			want = append(want, Record{n, s, entry})
			return true
		})
		if err != nil || uint64(len(want)) != list.Records() {
			rt.Fatalf("%d names of %d: %v", len(want), list.Records(), err)
		}
		asked := dns.MustName(label.Draw(rt, "asked"))
		if rapid.Bool().Draw(rt, "root") {
			asked = dns.Root
		}
		first, next := list.Below(asked)
		for n := range list.Records() {
			got, ok := list.Record(n)
			if !ok || got != want[n] {
				rt.Fatalf("record %d is %v, %v, not %v", n, got, ok, want[n])
			}
			if in := first <= n && n < next; in != got.Name.IsSubdomainOf(asked) {
				rt.Fatalf("%v below %v: %v", got.Name, asked, in)
			}
		}
		if _, ok := list.Record(list.Records()); ok {
			rt.Fatal("a record after the last")
		}
	})
}

func TestRecordsOfDamagedList(t *testing.T) {
	_, data := build(t, exact("a.example", 1), subtree("b.example", 2), exact("c.b.example", 3), exact("d.test", 4))
	for i := range data {
		bad := append([]byte(nil), data...)
		bad[i] ^= 0x55
		l, err := parse(bad)
		if err != nil {
			continue
		}
		for n := range uint64(8) {
			if r, ok := l.Record(n); ok {
				if m, err := dns.ParseName(r.Name.String()); err != nil || m != r.Name {
					t.Fatalf("octet %d damaged: %q is no name", i, r.Name)
				}
			}
		}
		if first, next := l.Below(dns.MustName("example.")); first > l.Records() || next > l.Records() {
			t.Fatalf("octet %d damaged: %d to %d of %d", i, first, next, l.Records())
		}
	}
}

func ExampleList_Below() {
	var empty List
	fmt.Println(empty.Below(dns.Root))
	// Output: 0 0
}

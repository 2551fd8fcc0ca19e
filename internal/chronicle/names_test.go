package chronicle

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"

	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/ledger"
)

// A search finds what a walk over all that is listed finds, whether it is in the index, was
// listed since, or was delisted since.
func TestSearchAgainstModel(t *testing.T) {
	label := rapid.StringMatching(`[a-c]{1,2}(-[a-c])?`)
	rapid.Check(t, func(rt *rapid.T) {
		l, x := newLog(), NewNames()
		listed := map[Found]bool{}
		n := uint64(0)
		step := func() {
			for range rapid.IntRange(0, 30).Draw(rt, "entries") {
				name := label.Draw(rt, "label") + "." + label.Draw(rt, "label")
				scope := rapid.SampledFrom([]ledger.Scope{ledger.ScopeExact, ledger.ScopeSubtree}).Draw(rt, "scope")
				kind := rapid.SampledFrom([]ledger.Kind{ledger.KindList, ledger.KindList, ledger.KindDelist}).Draw(rt, "kind")
				f := Found{Text: name, Scope: scope}
				if (kind == ledger.KindList) == listed[f] {
					continue // the log has nothing twice
				}
				listed[f] = kind == ledger.KindList
				e := about(kind, epochDay, name, scope, "one", "")
				l.add(e)
				x.Add(n, e)
				n++
			}
		}
		step()
		x.Swap(l.compile(t))
		if rapid.Bool().Draw(rt, "indexed") {
			index, err := NewIndex(x.List(), nil)
			if err != nil {
				rt.Fatal(err)
			}
			x.install(index)
		}
		step()
		x.Swap(l.compile(t))
		if !x.Ready() {
			x.fresh = nil // before there is an index, only what came meanwhile can be found
			return
		}
		prefix := rapid.StringMatching(`[a-c]{0,2}\.?[a-c]?`).Draw(rt, "prefix")
		per := rapid.IntRange(1, 5).Draw(rt, "page")
		var want []string
		for f, is := range listed {
			if is && strings.HasPrefix(f.Text, prefix) {
				want = append(want, fmt.Sprint(f.Text, " ", f.Scope))
			}
		}
		slices.Sort(want)
		var got []string
		last := Found{}
		for after, more := "", true; more; {
			var found []Found
			if found, more = x.Prefix(prefix, after, per); more && len(found) == 0 {
				rt.Fatal("nothing found, and more")
			}
			for _, f := range found {
				if cmp.Or(strings.Compare(f.Text, last.Text), strings.Compare(string(f.Scope), string(last.Scope))) <= 0 {
					rt.Fatalf("%v after %v", f, last)
				}
				last = f
				got = append(got, fmt.Sprint(f.Text, " ", f.Scope))
				if entry, ok := x.List().Entry(dns.MustName(f.Text), f.Scope); !ok || entry != f.Entry {
					rt.Fatalf("%v is not listed by it", f)
				}
			}
			if more {
				after = found[len(found)-1].Text
			}
		}
		if !slices.Equal(got, want) {
			rt.Fatalf("%q: %v, not %v", prefix, got, want)
		}
	})
}

// The index is made in the background, and made anew when much was listed since.
func TestIndexIsMadeAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		l, x := newLog(), NewNames()
		go x.Run(ctx, func() {}, func(err error) { t.Error(err) })
		synctest.Wait()
		if x.Ready() {
			t.Fatal("an index of no list")
		}
		add := func(n int) {
			e := about(ledger.KindList, epochDay, fmt.Sprintf("n%06d.example", n), ledger.ScopeExact, "one", "")
			l.add(e)
			x.Add(uint64(n), e)
		}
		add(0)
		x.Swap(l.compile(t))
		synctest.Wait()
		first := x.index
		for n := 1; n <= 2*maxFresh+3; n++ {
			add(n)
		}
		if len(x.fresh) != 2*maxFresh || x.lost == 0 {
			t.Fatalf("%d fresh names, %d lost", len(x.fresh), x.lost)
		}
		x.Swap(l.compile(t))
		synctest.Wait()
		if x.index == first || len(x.fresh) != 0 || x.lost != 0 {
			t.Fatalf("the same index: %v; %d fresh names, %d lost", x.index == first, len(x.fresh), x.lost)
		}
		found, more := x.Prefix(fmt.Sprintf("n%06d", 2*maxFresh+3), "", 10)
		if len(found) != 1 || more {
			t.Errorf("%v %v", found, more)
		}
		below, total := x.Below(dns.MustName("example."), 10, 5)
		if len(below) != 5 || total != 2*maxFresh+4 || below[0].Text != "n000010.example" {
			t.Errorf("%v of %d", below, total)
		}
		if below, total := x.Below(dns.MustName("other."), 0, 5); len(below) != 0 || total != 0 {
			t.Errorf("%v of %d", below, total)
		}
	})
}

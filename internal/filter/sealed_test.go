package filter

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/ledger"
)

// compiled is the list of a state.
func compiled(t *rapid.T, st *ledger.State) *List {
	var out bytes.Buffer
	if _, err := Compile(&out, st); err != nil {
		t.Fatal(err)
	}
	l, err := parse(out.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// hide makes a listing one whose name is not told.
func hide(e ledger.Entry, salt ledger.Salt) ledger.Entry {
	e.Salt, e.Commitment, e.Name = salt, ledger.Commit(salt, e.Scope, e.Name), ""
	return e
}

// Whichever names are told and whichever are not, the same names are filtered by the same
// entries.
func TestCommitmentsFilterLikeNames(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		label := rapid.SampledFrom([]string{"a", "b", "www", `x\.y`, `\000`, `\255z`, `\$`, "-_"})
		name := rapid.Custom(func(t *rapid.T) string {
			return strings.Join(rapid.SliceOfN(label, 1, 5).Draw(t, "labels"), ".")
		})
		var told, hidden []ledger.Entry
		seen := map[string]bool{}
		for range rapid.IntRange(0, 40).Draw(rt, "listings") {
			e := list(name.Draw(rt, "listed"), rapid.SampledFrom([]ledger.Scope{ledger.ScopeExact, ledger.ScopeSubtree}).Draw(rt, "scope"))
			if key := string(e.Scope) + e.Name; !seen[key] {
				seen[key] = true
				told = append(told, e)
				if strings.Contains(strings.ReplaceAll(e.Name, `\.`, ""), ".") && rapid.Bool().Draw(rt, "hide") {
					e = hide(e, ledger.Salt{rapid.ByteRange(1, ledger.MaxSalts).Draw(rt, "salt")})
				}
				hidden = append(hidden, e)
			}
		}
		want, got := compiled(rt, newShortLog(t, told...).state(t)), compiled(rt, newShortLog(t, hidden...).state(t))
		if got.Count() != want.Count() {
			rt.Fatalf("%d listings, want %d", got.Count(), want.Count())
		}
		for range 60 {
			q := []byte(dns.MustName(name.Draw(rt, "asked")))
			wantV, wantOK := want.Match(q)
			if v, ok := got.Match(q); v != wantV || ok != wantOK {
				rt.Fatalf("Match(%q) = %v, %v where some are not told; %v, %v where all are", q, v, ok, wantV, wantOK)
			}
		}
	})
}

// A list without commitments has no region of them, and one with too many salts is none.
func TestSalts(t *testing.T) {
	build := func(entries ...ledger.Entry) ([]byte, error) {
		var out bytes.Buffer
		_, err := Compile(&out, newShortLog(t, entries...).state(t))
		return out.Bytes(), err
	}
	plain, err := build(list("a.test", ledger.ScopeExact))
	if err != nil || !bytes.Equal(plain[192:248], make([]byte, 56)) {
		t.Errorf("%x, %v", plain[192:248], err)
	}
	var entries []ledger.Entry
	for i := range ledger.MaxSalts {
		entries = append(entries, hide(list("a.test", ledger.ScopeExact), ledger.Salt{byte(i + 1)}))
	}
	sealed, err := build(entries...)
	if err != nil || bytes.Equal(sealed[192:208], make([]byte, 16)) {
		t.Errorf("%x, %v", sealed[192:208], err)
	}
	if _, err := build(append(entries, hide(list("a.test", ledger.ScopeExact), ledger.Salt{99}))...); err == nil {
		t.Error("a list with more salts than the limit compiles")
	}
	l, err := parse(sealed)
	if err != nil {
		t.Fatal(err)
	}
	for i := range sealed { // whatever is damaged, nothing panics
		bad := bytes.Clone(sealed)
		bad[i] ^= 0x41
		if l, err := parse(bad); err == nil {
			l.Match([]byte(dns.MustName("www.a.test")))
		}
	}
	if entry, ok := l.CommittedEntry(entries[2].Commitment); !ok || entry != 2 {
		t.Errorf("CommittedEntry = %d, %v", entry, ok)
	}
	if _, ok := l.CommittedEntry(ledger.Commit(ledger.Salt{1}, ledger.ScopeExact, "b.test")); ok {
		t.Error("a commitment that is not listed is found")
	}
	const deep = "1.2.3.4.5.6.7.8.9.10.11.12.13.14.15"
	if sealed, err = build(hide(list(deep+".test", ledger.ScopeSubtree), ledger.Salt{1}), hide(list("0."+deep+".test", ledger.ScopeExact), ledger.Salt{1}), entries[1]); err != nil {
		t.Fatal(err)
	}
	if l, err = parse(sealed); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{deep + ".test": true, "x.y." + deep + ".test": true, "0." + deep + ".test": true, deep: false} {
		if v, ok := l.Match([]byte(dns.MustName(name))); ok != want || v.Entry != 0 {
			t.Errorf("Match(%s) = %v, %v", name, v, ok)
		}
	}
	if l, err = parse(mustBuild(t, build, entries...)); err != nil {
		t.Fatal(err)
	}
	var all []ledger.Commitment
	l.Commitments(func(c ledger.Commitment) bool { all = append(all, c); return true })
	if len(all) != ledger.MaxSalts || !slices.ContainsFunc(all, func(c ledger.Commitment) bool {
		return c == ledger.Commitment{Commitment: entries[1].Commitment, Salt: entries[1].Salt, Scope: ledger.ScopeExact, Entry: 1}
	}) {
		t.Errorf("%+v", all)
	}
}

func mustBuild(t *testing.T, build func(...ledger.Entry) ([]byte, error), entries ...ledger.Entry) []byte {
	t.Helper()
	b, err := build(entries...)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// sealedList is a list of n told names and as many that are not.
func sealedList(b testing.TB, n, hidden int) *List {
	b.Helper()
	g, err := gather(uint64(n), [32]byte{7}, n, mixed(n))
	if err != nil {
		b.Fatal(err)
	}
	for i := range hidden {
		c := ledger.Commitment{Salt: ledger.Salt{1}, Scope: ledger.ScopeSubtree, Entry: uint64(n + i)}
		c.Commitment = ledger.Commit(c.Salt, c.Scope, fmt.Sprintf("hidden-%d.example", i))
		g.addCommitment(c)
	}
	var out bytes.Buffer
	if _, err := g.write(&out, g.sorted()); err != nil {
		b.Fatal(err)
	}
	l, err := parse(out.Bytes())
	if err != nil {
		b.Fatal(err)
	}
	return l
}

// To open commitments allocates nothing.
func TestOpeningDoesNotAllocate(t *testing.T) {
	l := sealedList(t, 1000, 1000)
	listed, clean := []byte(dns.MustName("www.hidden-7.example")), []byte(dns.MustName("www.not-hidden.example"))
	if v, ok := l.Match(listed); !ok || v != (Verdict{1007, Subtree, 2, 0}) {
		t.Fatalf("Match = %v, %v", v, ok)
	}
	if n := testing.AllocsPerRun(100, func() {
		l.Match(listed)
		l.Match(clean)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkMatchSealed asks a list with 100,000 commitments beside 100,000 names for names of
// three labels that nothing lists, which is what a query costs once in an epoch. A server's
// memo of what passes is not in it.
func BenchmarkMatchSealed(b *testing.B) {
	l := sealedList(b, 100_000, 100_000)
	names := make([][]byte, 1<<12)
	for i := range names {
		names[i] = []byte(dns.MustName(fmt.Sprintf("www.host-%d.example", i)))
	}
	i := 0
	for b.Loop() {
		if _, ok := l.Match(names[i&(1<<12-1)]); ok {
			b.Fatal("it is listed")
		}
		i++
	}
}

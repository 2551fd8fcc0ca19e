package filter

import (
	"bytes"
	"errors"
	"io"
	"iter"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/ledger"
)

// drawEntry draws an entry that lists or delists one of few subjects, so that
// they come up again.
func drawEntry(t *rapid.T) ledger.Entry {
	var e ledger.Entry
	switch rapid.IntRange(0, 5).Draw(t, "kind") {
	case 0:
		e = list("", ledger.ScopePrefix)
		e.Prefix = rapid.SampledFrom([]netip.Prefix{
			netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("192.0.2.128/25"),
			netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("2001:db8::/48"),
		}).Draw(t, "prefix")
	case 1:
		return ledger.Entry{Kind: ledger.KindPolicy, Policy: ledger.Digest{1}, Version: "v1", Bytes: 7}
	default:
		label := rapid.SampledFrom([]string{"a", "b", "ab", "www", `\000`, `\001`, `\255`, "verylonglabelverylonglabelverylonglabelverylonglabelverylonglab"})
		name := label.Draw(t, "label") + "." + label.Draw(t, "label") + rapid.SampledFrom([]string{"", ".test", ".example"}).Draw(t, "top")
		e = list(name, rapid.SampledFrom([]ledger.Scope{ledger.ScopeExact, ledger.ScopeSubtree}).Draw(t, "scope"))
	}
	if e.Name != "" && strings.Contains(e.Name, ".") && rapid.IntRange(0, 3).Draw(t, "hide") == 0 {
		e.Salt = ledger.Salt{rapid.ByteRange(1, 2).Draw(t, "salt")}
		e.Commitment, e.Name = ledger.Commit(e.Salt, e.Scope, e.Name), ""
	}
	if rapid.IntRange(0, 2).Draw(t, "delist") == 0 {
		e.Kind, e.Cause, e.Evidence, e.Clause, e.Policy = ledger.KindDelist, "appeal", nil, "", ledger.Digest{}
	}
	return e
}

// Whatever a log holds and wherever it is cut, merging its tail into the list of
// its beginning gives the octets that compiling all of it gives.
func TestMergeIsCompile(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		entries := rapid.SliceOfN(rapid.Custom(drawEntry), 1, 120).Draw(rt, "entries")
		cut := rapid.IntRange(0, len(entries)).Draw(rt, "cut")
		whole := newShortLog(t, entries...)
		var want bytes.Buffer
		wantDigest, err := Compile(&want, whole.state(t))
		if err != nil {
			rt.Fatal(err)
		}
		var base *List
		var at ledger.Base
		if cut > 0 {
			before := newShortLog(t, entries[:cut]...).state(t)
			var old bytes.Buffer
			if _, err := Compile(&old, before); err != nil {
				rt.Fatal(err)
			}
			if base, err = parse(old.Bytes()); err != nil {
				rt.Fatal(err)
			}
			at = ledger.Base{Size: before.Size(), Root: before.RootHash(), Policy: before.Policy()}
		}
		tail, err := ledger.ReplayTail(t.Context(), whole, whole.log, at, nil)
		if err != nil {
			rt.Fatal(err)
		}
		var got bytes.Buffer
		digest, err := Merge(&got, base, tail)
		if err != nil {
			rt.Fatal(err)
		}
		if digest != wantDigest || !bytes.Equal(got.Bytes(), want.Bytes()) {
			rt.Fatalf("cut at %d of %d: the merged list differs from the compiled one", cut, len(entries))
		}
		checkMaps(rt, whole.state(t), want.Bytes(), base, tail)
	})
}

// The same with lists of many blocks.
func TestMergeOfManyNames(t *testing.T) {
	listed := maps.Collect(numbered(synthetic(5_000, ledger.ScopeExact)))
	next := uint64(len(listed))
	compiled := func() *bytes.Buffer {
		var out bytes.Buffer
		if _, err := compile(&out, next, [32]byte{byte(next)}, len(listed), maps.Keys(invert(listed))); err != nil {
			t.Fatal(err)
		}
		return &out
	}
	base, err := parse(compiled().Bytes())
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(rt *rapid.T) {
		defer func(old map[string]ledger.Listing, n uint64) { listed, next = old, n }(maps.Clone(listed), next)
		changes := map[string]ledger.Change{}
		for _, name := range rapid.SliceOf(rapid.SampledFrom(slices.Sorted(maps.Keys(listed))[:1000])).Draw(rt, "gone") {
			changes[name] = ledger.Change{Listing: ledger.Listing{Name: name, Scope: ledger.ScopeExact}}
			delete(listed, name)
		}
		for _, label := range rapid.SliceOf(rapid.StringMatching(`[a-z]{1,9}`)).Draw(rt, "new") {
			l := ledger.Listing{Name: label + ".com", Scope: ledger.ScopeExact, Entry: next}
			changes[l.Name] = ledger.Change{Listing: l, Listed: true}
			listed[l.Name] = l
			next++
		}
		if rapid.IntRange(0, 9).Draw(rt, "all") == 0 { // entry numbers of fewer bits
			for name, l := range listed {
				if l.Entry > 100 {
					changes[name] = ledger.Change{Listing: ledger.Listing{Name: name, Scope: ledger.ScopeExact}}
					delete(listed, name)
				}
			}
		}
		var got bytes.Buffer
		if _, err := (&builder{header: header{epoch: next, root: [32]byte{byte(next)}}}).merge(&got, base, len(changes), maps.Values(changes)); err != nil {
			rt.Fatal(err)
		}
		if !bytes.Equal(got.Bytes(), compiled().Bytes()) {
			rt.Fatal("the merged list differs from the compiled one")
		}
	})
}

// The same where one record of a few blocks goes, or one comes in behind it: first and last ones of
// blocks are among them.
func TestMergeAtEveryRecord(t *testing.T) {
	listed := slices.Collect(synthetic(200, ledger.ScopeExact))
	for i := 0; i < len(listed); i += 20 { // some that need two units
		listed[i].Name = strings.Repeat(strings.Repeat("\\255", 60)+".", 3) + listed[i].Name
	}
	next := uint64(len(listed)) + 1
	compiled := func(listings []ledger.Listing) []byte {
		var out bytes.Buffer
		if _, err := compile(&out, next, [32]byte{1}, len(listings), slices.Values(listings)); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	base, err := parse(compiled(listed))
	if err != nil {
		t.Fatal(err)
	}
	for i, l := range listed {
		behind := ledger.Listing{Name: "0." + l.Name, Scope: ledger.ScopeExact, Entry: next - 1}
		for _, c := range []struct {
			change ledger.Change
			after  []ledger.Listing
		}{
			{ledger.Change{Listing: l}, slices.Delete(slices.Clone(listed), i, i+1)},
			{ledger.Change{Listing: behind, Listed: true}, append(slices.Clone(listed), behind)},
		} {
			var got bytes.Buffer
			if _, err := (&builder{header: header{epoch: next, root: [32]byte{1}}}).merge(&got, base, 1, slices.Values([]ledger.Change{c.change})); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got.Bytes(), compiled(c.after)) {
				t.Errorf("%s changes, listed: %v: the merged list differs from the compiled one", l.Name, c.change.Listed)
			}
		}
	}
}

// numbered yields listings under their names.
func numbered(listings iter.Seq[ledger.Listing]) iter.Seq2[string, ledger.Listing] {
	return func(yield func(string, ledger.Listing) bool) {
		for l := range listings {
			if !yield(l.Name, l) {
				return
			}
		}
	}
}

// invert is the set of m's listings.
func invert(m map[string]ledger.Listing) map[ledger.Listing]bool {
	out := map[ledger.Listing]bool{}
	for _, l := range m {
		out[l] = true
	}
	return out
}

// A list of another beginning, and one whose names are damaged, are refused.
func TestMergeRefusesAnotherBase(t *testing.T) {
	entries := []ledger.Entry{list("a.test", ledger.ScopeExact), list("b.test", ledger.ScopeExact), list("c.test", ledger.ScopeExact)}
	whole, before := newShortLog(t, entries...), newShortLog(t, entries[:2]...).state(t)
	tail, err := ledger.ReplayTail(t.Context(), whole, whole.log, ledger.Base{Size: 2, Root: before.RootHash()}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	if _, err := Compile(&file, before); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*List){
		"another size": func(l *List) { l.epoch++ },
		"another root": func(l *List) { l.root[0]++ },
	} {
		base, _ := parse(bytes.Clone(file.Bytes()))
		change(base)
		if _, err := Merge(io.Discard, base, tail); !errors.Is(err, ErrNotBase) {
			t.Errorf("%s: %v", name, err)
		}
	}
	base, _ := parse(bytes.Clone(file.Bytes()))
	clear(base.names)
	base.names = base.names[:namesTail]
	if _, err := Merge(io.Discard, base, tail); !errors.Is(err, ErrFormat) {
		t.Errorf("damaged names: %v", err)
	}
}

// One name more on a list, without writing it to a disk.
func BenchmarkMerge(b *testing.B) {
	n := benchNames(b)
	base, err := Open(benchFile(b, n))
	if err != nil {
		b.Fatal(err)
	}
	one := ledger.Change{Listing: exact("added.reload-test.com", uint64(n)), Listed: true}
	before := status("VmRSS:")
	for b.Loop() {
		if _, err := (&builder{header: header{epoch: uint64(n) + 2, root: [32]byte{8}}}).merge(io.Discard, base, 1, slices.Values([]ledger.Change{one})); err != nil {
			b.Fatal(err)
		}
	}
	if most := status("VmHWM:"); most > before {
		b.ReportMetric(float64(most-before)/float64(n), "peak-B/name")
	}
}

// What is listed exactly so is told from what a name or an address merely matches.
func TestHas(t *testing.T) {
	l, _ := build(t, exact("a.test", 1), subtree("b.test", 2), exact("b.test", 3), subtree(`\000.test`, 4), prefix("192.0.2.0/24", 5), prefix("2001:db8::/32", 6))
	for _, c := range []struct {
		name  string
		scope ledger.Scope
		want  bool
	}{
		{"a.test", ledger.ScopeExact, true}, {"A.Test", ledger.ScopeExact, true}, {"a.test", ledger.ScopeSubtree, false},
		{"b.test", ledger.ScopeExact, true}, {"b.test", ledger.ScopeSubtree, true}, {"x.b.test", ledger.ScopeExact, false},
		{`\000.test`, ledger.ScopeSubtree, true}, {"test", ledger.ScopeExact, false}, {".", ledger.ScopeSubtree, false},
	} {
		if got := l.Has(dns.MustName(c.name), c.scope); got != c.want {
			t.Errorf("Has(%s, %s) = %t", c.name, c.scope, got)
		}
	}
	for p, want := range map[string]bool{"192.0.2.0/24": true, "192.0.2.0/25": false, "192.0.0.0/16": false, "2001:db8::/32": true, "2001:db8::/33": false} {
		if got := l.HasPrefix(netip.MustParsePrefix(p)); got != want {
			t.Errorf("HasPrefix(%s) = %t", p, got)
		}
	}
	if none := (&List{}); none.Has(dns.MustName("a.test"), ledger.ScopeExact) || none.HasPrefix(netip.MustParsePrefix("192.0.2.0/24")) {
		t.Error("an empty list has something")
	}
}

// checkMaps wants the map of a state, the one of the list compiled from it and the one
// merged from an older list's to be the same file.
func checkMaps(t *rapid.T, st *ledger.State, file []byte, base *List, tail *ledger.Tail) {
	list, err := parse(file)
	if err != nil {
		t.Fatal(err)
	}
	var ofState, ofList, ofBase, merged bytes.Buffer
	want, err1 := st.Map(&ofState)
	got, err2 := list.Map(&ofList)
	if err := errors.Join(err1, err2); err != nil || got != want || !bytes.Equal(ofState.Bytes(), ofList.Bytes()) {
		t.Fatalf("the state's map has root %s, the list's %s, %v", want, got, err)
	}
	if base == nil {
		return
	}
	if _, err := base.Map(&ofBase); err != nil {
		t.Fatal(err)
	}
	old, err := ledger.OpenMap(bytes.NewReader(ofBase.Bytes()), int64(ofBase.Len()))
	if err != nil {
		t.Fatal(err)
	}
	if got, err = list.MergeMap(&merged, old, tail); err != nil || got != want || !bytes.Equal(merged.Bytes(), ofList.Bytes()) {
		t.Fatalf("the merged map has root %s, the list's %s, %v", got, want, err)
	}
}

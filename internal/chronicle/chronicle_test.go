package chronicle

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/shoji-dns/shoji/ledger"
)

var epochDay = time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)

// about is a list or delist entry.
func about(kind ledger.Kind, at time.Time, name string, scope ledger.Scope, clause, family string) *ledger.Entry {
	e := &ledger.Entry{Kind: kind, Time: at, Scope: scope, Name: name}
	if p, err := netip.ParsePrefix(name); err == nil {
		e.Name, e.Prefix, e.Scope = "", p, ledger.ScopePrefix
	}
	if kind == ledger.KindDelist {
		e.Cause = "expired"
		return e
	}
	e.Clause, e.Policy = clause, ledger.Digest{1}
	e.Evidence = []ledger.Evidence{{Source: "a", Kind: "c2"}, {Source: "b", Kind: "c2", Family: family}}
	return e
}

// What a chronicle says after any entries is what counting all of them anew says.
func TestAgainstModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		c := New()
		type what struct{ clause, family string }
		listed := map[string]what{}
		now, latest := epochDay, epochDay
		came, went := map[time.Time]uint64{}, map[time.Time]uint64{}
		for n := range rapid.IntRange(0, 80).Draw(rt, "entries") {
			now = now.Add(time.Duration(rapid.IntRange(-20, 40).Draw(rt, "hours")) * time.Hour)
			if day := now.Truncate(24 * time.Hour); day.After(latest) || n == 0 {
				latest = day
			}
			name := rapid.SampledFrom([]string{"a.example", "b.example", "c.example", "192.0.2.0/24", "2001:db8::/32"}).Draw(rt, "name")
			scope := rapid.SampledFrom([]ledger.Scope{ledger.ScopeExact, ledger.ScopeSubtree}).Draw(rt, "scope")
			clause := rapid.SampledFrom([]string{"one", "two"}).Draw(rt, "clause")
			family := rapid.SampledFrom([]string{"", "Emotet", "Qakbot"}).Draw(rt, "family")
			kind := rapid.SampledFrom([]ledger.Kind{ledger.KindList, ledger.KindDelist}).Draw(rt, "kind")
			e := about(kind, now, name, scope, clause, family)
			key := fmt.Sprint(e.Name, e.Prefix, e.Scope)
			_, was := listed[key]
			if kind == ledger.KindList {
				if listed[key] = (what{clause, family}); !was {
					came[latest]++
				}
			} else if was {
				delete(listed, key)
				went[latest]++
			}
			if !c.Add(uint64(n), e) || c.Add(uint64(n), e) {
				rt.Fatal("an entry was not taken once")
			}
		}
		s := c.Summary(10)
		byClause, byFamily := map[string]uint64{}, map[string]uint64{}
		for _, w := range listed {
			byClause[w.clause]++
			byFamily[w.family]++
		}
		if s.Size != uint64(len(listed)) || s.Size != s.Listed-s.Delisted {
			rt.Fatalf("size %d, %d came, %d went; the model has %d", s.Size, s.Listed, s.Delisted, len(listed))
		}
		for _, tally := range s.Clauses {
			if tally.Now != byClause[tally.Name] {
				rt.Fatalf("clause %s: %d, not %d", tally.Name, tally.Now, byClause[tally.Name])
			}
		}
		for _, tally := range append(s.Families, s.Unnamed) {
			if tally.Now != byFamily[tally.Name] {
				rt.Fatalf("family %q: %d, not %d", tally.Name, tally.Now, byFamily[tally.Name])
			}
		}
		for i, d := range s.Days {
			if d.Listed != came[d.Date] || d.Delisted != went[d.Date] || i > 0 && !d.Date.After(s.Days[i-1].Date) {
				rt.Fatalf("day %v: %d came, %d went; the model has %d and %d", d.Date, d.Listed, d.Delisted, came[d.Date], went[d.Date])
			}
		}
	})
}

// Whatever a log holds, what is kept of it is bounded, and nothing that is counted is lost.
func TestBounds(t *testing.T) {
	c := New()
	n := uint64(0)
	add := func(e *ledger.Entry) {
		c.Add(n, e)
		n++
	}
	long := strings.Repeat("語", maxFamily)
	for i := range maxFamilies + 100 {
		at := epochDay.AddDate(0, 0, i)
		add(about(ledger.KindList, at, fmt.Sprintf("n%d.example", i), ledger.ScopeExact, fmt.Sprint("clause-", i), fmt.Sprint(i, long)))
		add(&ledger.Entry{Kind: ledger.KindPolicy, Time: at, Version: fmt.Sprint(i)})
		add(&ledger.Entry{Kind: ledger.KindSource, Time: at, Source: fmt.Sprint("s", i), Title: "a"})
		add(&ledger.Entry{Kind: ledger.KindCase, Time: at, Case: fmt.Sprint("c", i), Status: ledger.CaseReceived})
	}
	s := c.Summary(10)
	if len(s.Days) != maxDays || len(s.Clauses) > maxClauses || len(c.families.all) != maxFamilies || len(c.policies) != maxPolicies || len(c.sources) != maxSources {
		t.Errorf("%d days, %d clauses, %d families, %d policies, %d sources", len(s.Days), len(s.Clauses), len(c.families.all), len(c.policies), len(c.sources))
	}
	sum := s.More.Now + s.Unnamed.Now
	for _, f := range s.Families {
		sum += f.Now
		if len(f.Name) > maxFamily || strings.ContainsRune(f.Name, 0xfffd) {
			t.Errorf("family %q", f.Name)
		}
	}
	byClause := uint64(0)
	for _, clause := range s.Clauses {
		byClause += clause.Now
	}
	if sum != s.Size || byClause != s.Size || s.Listed != s.Size || s.Size != maxFamilies+100 {
		t.Errorf("%d by family, %d by clause, %d came, of %d", sum, byClause, s.Listed, s.Size)
	}
	if got := c.Policies(); got[len(got)-1].Version != fmt.Sprint(maxFamilies+99) {
		t.Errorf("the latest policy is %s", got[len(got)-1].Version)
	}
	if _, ok := c.Source(fmt.Sprint("s", maxFamilies+99)); !ok {
		t.Error("the latest source is forgotten")
	}
}

func TestCases(t *testing.T) {
	c := New()
	n := uint64(0)
	add := func(after time.Duration, id, status string) {
		c.Add(n, &ledger.Entry{Kind: ledger.KindCase, Time: epochDay.Add(after), Case: id, Status: status})
		n++
	}
	add(0, "a", ledger.CaseReceived)
	add(0, "b", ledger.CaseReceived)
	add(time.Second, "c", ledger.CaseReceived)
	add(2*time.Second, "a", ledger.CaseDelisted)
	add(3*time.Second, "b", ledger.CaseReferred)
	add(time.Hour, "b", ledger.CaseUpheld)
	add(time.Hour, "unheard-of", ledger.CaseUpheld)
	s := c.Summary(0)
	want := "delisted 1 [1 0 0 0 0] 2s, upheld 2 [0 0 1 0 0] 1h0m0s"
	var got []string
	for _, o := range s.Outcomes {
		got = append(got, fmt.Sprint(o.Status, " ", o.Count, " ", o.Spans, " ", o.Mean()))
	}
	if strings.Join(got, ", ") != want || s.Open != 1 {
		t.Errorf("%v and %d open, not %s", got, s.Open, want)
	}
	if d := s.Days[0]; d.Opened != 3 || d.Closed != 3 {
		t.Errorf("%+v", d)
	}
}

// A log is read in parts, and what it has more is read on.
func TestAdvance(t *testing.T) {
	l, c := newLog(), New()
	var seen []uint64
	pauses := 0
	read := func() {
		t.Helper()
		err := c.Advance(t.Context(), l, l.tip(t), func(n uint64, _ *ledger.Entry) { seen = append(seen, n) }, func() { pauses++ })
		if err != nil || c.Next() != uint64(l.size) || len(seen) != l.size {
			t.Fatalf("%d of %d entries, %d seen: %v", c.Next(), l.size, len(seen), err)
		}
	}
	for i := range 700 {
		l.add(about(ledger.KindList, epochDay, fmt.Sprintf("n%d.example", i), ledger.ScopeExact, "one", ""))
		if i == 100 {
			read()
		}
	}
	read()
	if pauses != 4 {
		t.Errorf("%d pauses", pauses)
	}
	tip := l.tip(t)
	bundle := l.File(ledger.BundlePath(1, 0))
	bundle[2000] ^= 1
	l.SetFile(ledger.BundlePath(1, 0), bundle)
	if err := New().Advance(t.Context(), l, tip, func(uint64, *ledger.Entry) {}, func() {}); err == nil {
		t.Error("a log that was changed is read to its end")
	}
}

func TestChanges(t *testing.T) {
	l := newLog()
	for i := range 600 {
		e := about(ledger.KindList, epochDay, fmt.Sprintf("n%d.example", i), ledger.ScopeExact, "one", "")
		if i%3 == 1 {
			e = about(ledger.KindDelist, epochDay, fmt.Sprintf("n%d.example", i-1), ledger.ScopeExact, "", "")
		}
		if i%3 == 2 {
			e = &ledger.Entry{Kind: ledger.KindCase, Time: epochDay, Case: fmt.Sprint("c", i), Status: ledger.CaseReceived}
		}
		l.add(e)
	}
	var all []uint64
	for before := uint64(1 << 40); before > 0; {
		found, next, err := Changes(t.Context(), l, l.tip(t), before, 70)
		if err != nil || len(found) > 70 || next >= before {
			t.Fatalf("%d found before %d, next %d: %v", len(found), before, next, err)
		}
		for _, f := range found {
			all = append(all, f.N)
		}
		before = next
	}
	if len(all) != 400 {
		t.Fatalf("%d changes", len(all))
	}
	for i, n := range all {
		if n%3 == 2 || i > 0 && n >= all[i-1] {
			t.Fatalf("entry %d after %d", n, all[i-1])
		}
	}
}

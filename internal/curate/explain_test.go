package curate

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/shoji-dns/shoji/internal/policy"
	"github.com/shoji-dns/shoji/ledger"
)

// What an explanation says would change a decision does change it.
func TestExplanationsHold(t *testing.T) {
	n := news(t)
	n.texts["a"], n.texts["b"] = lines("one.example", "two.example"), lines("one.example")
	n.update(UpdateOptions{})
	known, err := OpenState(t.Context(), n.dir, n.store, guard(t), n.sources)
	if err != nil {
		t.Fatal(err)
	}
	defer known.Close()
	s, _ := ParseAsked("ONE.example.")
	x, err := known.Explain(t.Context(), s, n.now)
	if err != nil || !x.Filtered || x.Listed != "one.example" || x.Listing.Clause != "c2-two-sources" || len(x.Evidence) != 2 {
		t.Fatalf("%+v, %v", x, err)
	}
	stale := x.What[0]
	if stale.At.IsZero() || stale.Decision.Outcome != policy.Spare {
		t.Fatalf("what would change it: %+v", x.What)
	}
	for _, l := range []struct {
		at   time.Time
		want int
	}{{stale.At.Add(-2 * time.Second), 1}, {stale.At.Add(ageStep), 0}} {
		n.now = l.at
		n.texts["a"], n.texts["b"] = "", "" // nobody says anything new
		n.update(UpdateOptions{Confirm: true})
		if count := inForce(t, n.dir).Count(); count != uint64(l.want) {
			t.Errorf("%s: %d listings, not %d", l.at, count, l.want)
		}
	}
	again, err := OpenState(t.Context(), n.dir, n.store, guard(t), n.sources)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	for asked, want := range map[string]bool{"one.example": true, "below.one.example": false, "two.example": false, "198.51.100.7": false} {
		s, _ := ParseAsked(asked)
		x, err := again.Explain(t.Context(), s, n.now)
		if err != nil || x.Filtered || (x.Ended != nil) != want || want && (x.Ended.Listed != asked || !x.Ended.Time.Equal(n.now)) {
			t.Errorf("%s: %+v, %v", asked, x.Ended, err)
		}
	}
}

func TestWhatAnEntryCovers(t *testing.T) {
	salt := ledger.Salt{1}
	for _, c := range []struct {
		e     ledger.Entry
		asked string
		want  string
	}{
		{ledger.Entry{Name: "evil.example", Scope: ledger.ScopeSubtree}, "c2.evil.example", "evil.example"},
		{ledger.Entry{Name: "evil.example", Scope: ledger.ScopeExact}, "c2.evil.example", ""},
		{ledger.Entry{Name: "evil.example", Scope: ledger.ScopeSubtree}, "xevil.example", ""},
		{ledger.Entry{Prefix: netip.MustParsePrefix("192.0.2.0/24"), Scope: ledger.ScopePrefix}, "192.0.2.9", "192.0.2.0/24"},
		{ledger.Entry{Prefix: netip.MustParsePrefix("192.0.2.0/24"), Scope: ledger.ScopePrefix}, "192.0.3.9", ""},
		{ledger.Entry{Commitment: ledger.Commit(salt, ledger.ScopeExact, "evil.example"), Salt: salt, Scope: ledger.ScopeExact}, "evil.example", "evil.example"},
		{ledger.Entry{Commitment: ledger.Commit(salt, ledger.ScopeExact, "evil.example"), Salt: salt, Scope: ledger.ScopeExact}, "other.example", ""},
	} {
		s, err := ParseAsked(c.asked)
		if err != nil {
			t.Fatal(err)
		}
		if what, ok := covers(&c.e, s); ok != (c.want != "") || ok && what != c.want {
			t.Errorf("%+v covers %s: %q %t", c.e, c.asked, what, ok)
		}
	}
}

func TestSpelling(t *testing.T) {
	for name, want := range map[string]struct {
		looks string
		mixed bool
	}{
		"plain.example": {"", false}, "xn--ypal-43d9g.example": {"раypal.example", true}, "xn--e1afmkfd.example": {"пример.example", false},
		"xn--wgv71a119e.example": {"日本語.example", false}, "xn--line-u47fy40l.example": {"", false},
	} {
		if looks, mixed := Spell(name); want.looks != "" && looks != want.looks || mixed != want.mixed {
			t.Errorf("%s: %q, mixed %t", name, looks, mixed)
		}
	}
}

func FuzzParseAsked(f *testing.F) {
	for _, s := range []string{"evil.example", "192.0.2.1", "раypal.example", "2001:db8::/32", "*.a.example", "."} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseAsked(text)
		if err != nil {
			return
		}
		if again, err := ParseAsked(subjectText(s)); err != nil || again != s {
			t.Errorf("%q: %+v reads back as %+v, %v", text, s, again, err)
		}
	})
}

// published is what the sources of a newsroom say over some days.
type published struct {
	hours []int
	texts []map[string][]string
}

var subjectsInTest = []string{"one.example", "*.one.example", "two.example", "www.one.example", "pages.example", "evil.pages.example", "known.example", "198.51.100.7", "com"}

func somePublished(r *rapid.T) published {
	var p published
	for range rapid.IntRange(1, 3).Draw(r, "days") {
		texts := map[string][]string{}
		for _, id := range []string{"a", "b", "ranks", "shared", "benign"} {
			texts[id] = rapid.SliceOfNDistinct(rapid.SampledFrom(subjectsInTest), 0, 4, rapid.ID[string]).Draw(r, id)
		}
		p.texts = append(p.texts, texts)
		p.hours = append(p.hours, rapid.IntRange(1, 60*24).Draw(r, "hours"))
	}
	return p
}

// Whatever sources say over some days: the list is what the policy makes of all of it at
// once, and another update changes nothing.
func TestUpdatesInPartsAreOneUpdate(t *testing.T) {
	for seed := range 8 {
		p := rapid.Custom(somePublished).Example(seed)
		n := news(t)
		for i, hours := range p.hours {
			for id, said := range p.texts[i] {
				n.texts[id] = lines(append(said, "nothing.example")...)
			}
			n.now = n.now.Add(time.Duration(hours) * time.Hour)
			n.update(UpdateOptions{Confirm: true})
		}
		if rep := n.update(UpdateOptions{}); rep.Listed+rep.Delisted != 0 {
			t.Fatalf("seed %d: a second update: %+v", seed, rep)
		}
		n.compareWithWhole(seed)
	}
}

// compareWithWhole holds that the list is what the policy makes of all evidence at once.
func (n *newsroom) compareWithWhole(seed int) {
	t := n.t
	t.Helper()
	reach, err := loadReach(t.Context(), n.store, groupsOf(n.sources))
	if err != nil {
		t.Fatal(err)
	}
	j := judge{policy: n.policy, guard: guard(t), groups: groupsOf(n.sources), reach: reach, now: n.now}
	want := map[string]bool{}
	for a, err := range n.store.Since(t.Context(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		v, ok, err := j.wanted(a)
		if err != nil || !ok {
			t.Fatal(err, ok)
		}
		want[v.key.String()] = v.Outcome == policy.List
	}
	w := open(t, n.dir)
	defer w.Close()
	for _, text := range subjectsInTest {
		s, err := ParseSubject(text)
		if err != nil {
			t.Fatal(err)
		}
		if w.listed(s) != want[s.String()] {
			t.Errorf("seed %d: %s: listed is %t", seed, s, !want[s.String()])
		}
	}
}

// The definition changes. What was listed by hand, of which no source says anything, is
// decided anew as well, and what the new one does not call malware is delisted by its clause.
func TestAnotherPolicyDecidesAnew(t *testing.T) {
	n := news(t)
	n.texts["a"], n.texts["b"] = lines("one.example"), lines("one.example")
	n.update(UpdateOptions{})
	w := open(t, n.dir)
	if _, err := w.Import(t.Context(), []File{text("hand.txt", "two.example\n198.51.100.7\n")}, claim, false); err != nil {
		t.Fatal(err)
	}
	w.Close()
	n.update(UpdateOptions{})
	if count := inForce(t, n.dir).Count(); count != 3 {
		t.Fatalf("%d listings", count)
	}
	strict := strings.ReplaceAll(string(n.policy.Document), `evidence.has("chosen") && evidence.has("c2")`, `evidence.has("chosen") && evidence.has("dga")`)
	at := strings.Index(strict, "  - note: listed by hand")
	var err error
	if n.policy, err = policy.Parse([]byte(strict[:at])); err != nil {
		t.Fatal(err)
	}
	rep := n.update(UpdateOptions{})
	if rep.Delisted != 2 || rep.First[0].Clause != "thin" {
		t.Errorf("%+v", rep)
	}
	n.listed("one.example")
}

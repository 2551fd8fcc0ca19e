package policy

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/shoji-dns/shoji/ledger"
)

func mustDefault(t testing.TB) *Policy {
	t.Helper()
	p, err := Default()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestEveryClauseOfTheDefaultDecidesAnExample holds the default policy to its own examples:
// no clause goes without one.
func TestEveryClauseOfTheDefaultDecidesAnExample(t *testing.T) {
	p := mustDefault(t)
	decided := make(map[string]bool)
	for _, x := range p.examples {
		decided[x.Clause] = true
	}
	for _, c := range p.Clauses {
		if !decided[c.ID] {
			t.Errorf("no example is decided by clause %s", c.ID)
		}
	}
}

// TestTheLogCarriesThePolicy: who reads the entry has the policy.
func TestTheLogCarriesThePolicy(t *testing.T) {
	p := mustDefault(t)
	b, err := p.Entry(exampleNow).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	e, err := ledger.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	q, err := Parse([]byte(e.Document))
	if err != nil {
		t.Fatal(err)
	}
	if q.Digest != p.Digest || q.Digest != e.Policy {
		t.Errorf("digest %s, entry %s, read back %s", p.Digest, e.Policy, q.Digest)
	}
}

// small is a document whose parts tests replace.
const small = `version: v1
title: {en: A, ja: あ}
ages: {fresh: 90d}
limits: {popular: 0.1, changed: 0.1}
clauses:
  - id: two
    title: {en: A, ja: あ}
    reason: {en: A, ja: あ}
    when: evidence.sources("c2", ages.fresh) >= 2
    then: list
  - id: rest
    title: {en: A, ja: あ}
    reason: {en: A, ja: あ}
    when: "true"
    then: spare
examples:
  - {note: one, name: a.example, evidence: [{kind: c2, source: s}], outcome: spare, clause: rest}
`

func TestBadDocumentsAreRefusedWithTheirFault(t *testing.T) {
	if _, err := Parse([]byte(small)); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{small + "\n---\n" + small: "a second document", "# nothing\n": "empty"} {
		if _, err := Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
	condition := `evidence.sources("c2", ages.fresh) >= 2`
	for _, tc := range []struct{ old, new, want string }{
		{"version: v1", "version: V 1", "version"},
		{"version: v1", "versoin: v1", "versoin"},
		{"ja: あ}\nages", "ja: ''}\nages", `no text in "ja"`},
		{"90d", "90 days", "write it like 90d"},
		{"fresh: 90d", "Fresh: 90d", "no name for an age"},
		{"popular: 0.1", "popular: 1.5", "limits.popular"},
		{condition, `evidence.sources("c2", ages.stale) >= 2`, "undeclared reference"},
		{condition, `evidence.sources("c3") >= 2`, `"c3" is no kind of evidence`},
		{condition, `evidence.sources(name) >= 2`, "the kind must be written out"},
		{condition, `evidence.only(["c2", name])`, "the kind must be written out"},
		{condition, `evidence.sources("c2")`, "not bool"},
		{condition, `rank > "a"`, "no matching overload"},
		{condition, `name.matches("(")`, "clause 1 (two): when"},
		{condition, `families.all(a, families.all(b, families.exists(c, c == a + b)))`, "nesting"},
		{condition, `families.all(a, families.exists(b, (a + b + name).contains(b + a + name)))`, "clause 1 (two): when"},
		{"then: list", "then: lost", "none of list, spare, review"},
		{"then: list", "then: list\n    scope: all", "none of claimed, exact, subtree"},
		{"then: list", "then: list\n    people: 0", "people: 0 is not between 1 and 5"},
		{"then: list", "then: list\n    people: 6", "people: 6 is not between 1 and 5"},
		{"limits: {", "appeals: {standing: perhaps}\nlimits: {", "bool"},
		{"then: spare", "then: spare\n    scope: exact", "a clause that spares has none"},
		{"id: rest", "id: two", "the id of an earlier one"},
		{"then: spare", "then: list", "the last clause"},
		{`when: "true"`, `when: rank == 0`, "the last clause"},
		{"outcome: spare", "outcome: list", "it is spare by clause rest, and should be list by clause rest"},
		{"clause: rest", "clause: none", `there is no clause "none"`},
		{"name: a.example", "name: A.example", "example 1 (one): name"},
		{"name: a.example", "prefix: 192.0.2.1", "example 1 (one): prefix"},
	} {
		doc := strings.Replace(small, tc.old, tc.new, 1)
		if doc == small {
			t.Fatalf("%q is not in the document", tc.old)
		}
		_, err := Parse([]byte(doc))
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s → %s: error %v, want one with %q", tc.old, tc.new, err, tc.want)
		}
	}
}

func TestACostlyConditionIsRefused(t *testing.T) {
	costly := strings.Replace(small, `evidence.sources("c2", ages.fresh) >= 2`,
		`families.all(f, (f + f + f + f + f + f).matches("(a+)+(b+)+(c+)+$"))`, 1)
	if _, err := Parse([]byte(costly)); err == nil || !strings.Contains(err.Error(), "steps, more than") {
		t.Errorf("error %v", err)
	}
}

func TestDocumentsAreBounded(t *testing.T) {
	long := append([]byte(small), bytes.Repeat([]byte("# filler\n"), MaxDocument/8)...)
	if _, err := Parse(long); err == nil || !strings.Contains(err.Error(), "longer than") {
		t.Errorf("error %v", err)
	}
	clauses := strings.Repeat("  - {id: x, title: {en: A, ja: B}, reason: {en: A, ja: B}, when: rank > 1, then: list}\n", MaxClauses)
	many := strings.Replace(small, "clauses:\n", "clauses:\n"+clauses, 1)
	if _, err := Parse([]byte(many)); err == nil || !strings.Contains(err.Error(), "more than 64") {
		t.Errorf("error %v", err)
	}
}

// TestALaterRulingCounts: a person may change their mind.
func TestALaterRulingCounts(t *testing.T) {
	p := mustDefault(t)
	at := func(kind string, days int) Evidence {
		e := Evidence{}
		e.Kind, e.Source, e.Reference, e.Last = kind, "staff", "popular", exampleNow.Add(time.Duration(-days)*24*time.Hour)
		return e
	}
	s := &Subject{Name: "cdn.example", Scope: ledger.ScopeExact, Evidence: []Evidence{
		seen(C2, "a", 1), seen(C2, "b", 1), {Evidence: ledger.Evidence{Kind: Popular, Source: "ranks", Reference: "7"}},
	}}
	for _, tc := range []struct {
		rulings []Evidence
		want    Outcome
	}{
		{nil, Review},
		{[]Evidence{at(Confirmed, 5)}, List},
		{[]Evidence{at(Confirmed, 5), at(Rejected, 2)}, Spare},
		{[]Evidence{at(Rejected, 5), at(Confirmed, 2)}, List},
		{[]Evidence{at(Confirmed, 2), at(Rejected, 5)}, List},
	} {
		with := *s
		with.Evidence = append(append([]Evidence(nil), s.Evidence...), tc.rulings...)
		d, err := p.Decide(&with, exampleNow)
		if err != nil || d.Outcome != tc.want || d.Clause.ID != "popular" {
			t.Errorf("%d rulings: %v by %v, error %v; want %v", len(tc.rulings), d.Outcome, d.Clause.ID, err, tc.want)
		}
	}
}

func seen(kind, source string, days int) Evidence {
	e := Evidence{}
	e.Kind, e.Source, e.Last = kind, source, exampleNow.Add(time.Duration(-days)*24*time.Hour)
	return e
}

// TestDecisionsDoNotDependOnOrder: evidence is a set.
func TestDecisionsDoNotDependOnOrder(t *testing.T) {
	p := mustDefault(t)
	rapid.Check(t, func(t *rapid.T) {
		evidence := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Evidence {
			e := seen(rapid.SampledFrom(kinds).Draw(t, "kind"), rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "source"), rapid.IntRange(0, 200).Draw(t, "days"))
			if rapid.Bool().Draw(t, "undated") {
				e.Last = time.Time{}
			}
			e.Reference = rapid.SampledFrom([]string{"", "5", "popular", "class-combined", strings.Repeat("a", 64)}).Draw(t, "reference")
			return e
		}), 0, 8).Draw(t, "evidence")
		s := &Subject{Name: "x.example", Scope: ledger.ScopeSubtree, Evidence: evidence}
		first, err := p.Decide(s, exampleNow)
		if err != nil {
			t.Fatal(err)
		}
		mixed := *s
		mixed.Evidence = rapid.Permutation(evidence).Draw(t, "order")
		again, err := p.Decide(&mixed, exampleNow)
		if err != nil || again.Clause != first.Clause || again.Scope != first.Scope || again.Outcome != first.Outcome {
			t.Fatalf("%+v, and in another order %+v, error %v", first, again, err)
		}
	})
}

// TestNothingIsListedWithoutCommand: whatever the evidence, a listing rests on command and
// control that some source saw, or is a canary.
func TestNothingIsListedWithoutCommand(t *testing.T) {
	p := mustDefault(t)
	rapid.Check(t, func(t *rapid.T) {
		s := &Subject{Name: "x.example", Scope: ledger.ScopeExact}
		for _, kind := range rapid.SliceOfDistinct(rapid.SampledFrom(kinds), rapid.ID).Draw(t, "kinds") {
			if kind == C2 || kind == Canary {
				continue
			}
			for _, source := range []string{"a", "b"} {
				s.Evidence = append(s.Evidence, seen(kind, source, 1))
			}
		}
		if d, err := p.Decide(s, exampleNow); err != nil || d.Outcome != Spare {
			t.Fatalf("%v by %s, error %v", d.Outcome, d.Clause.ID, err)
		}
	})
}

func TestSamples(t *testing.T) {
	md5, sha1, sha256 := strings.Repeat("0a", 16), strings.Repeat("0a", 20), strings.Repeat("0a", 32)
	for ref, want := range map[string]bool{
		md5: true, "sha256:" + sha256: true, "SHA1:" + sha1: true, "sha1:" + md5: false, sha256 + "00": false, "x" + md5: false, "": false, md5[1:]: false,
		"https://www.virustotal.com/gui/file/" + strings.ToUpper(sha256) + "/detection": true, "https://virustotal.com/en/file/" + sha256: true,
		"https://www.virustotal.com/gui/url/" + sha256: false, "https://www.virustotal.com/gui/domain/a.example": false,
		"https://virustotal.com.example/gui/file/" + sha256: false, "https://notvirustotal.com/gui/file/" + sha256: false,
		"https://www.virustotal.com/gui/file/" + sha256 + "/detection (one reference for several)": false,
		"https://bazaar.abuse.ch/sample/" + sha256 + "/":                                           true, "https://bazaar.abuse.ch/browse/tag/x/": false,
		"https://app.any.run/tasks/01234567-89ab-cdef-0123-456789abcdef/": true, "https://app.any.run/tasks/0123": false,
		"https://tria.ge/260101-abcdef1234/behavioral1": true, "https://tria.ge/docs": false, "https://tria.ge": false,
		"https://www.joesandbox.com/analysis/123456/0/html": true, "https://malshare.com/sample.php?action=detail&hash=" + md5: true,
		"https://github.com/org/repo/commit/" + sha1: false, "https://pivot.example/detail?type=hash&find=" + sha1: false,
		"https://news.example/article-12": false, "https://samples.example/file/" + sha1: false,
	} {
		if IsSample(ref) != want {
			t.Errorf("%q: %v, want %v", ref, !want, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(small))
	f.Add(defaultDocument[:2000])
	f.Add([]byte("version: &a [*a]\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 8192 {
			return
		}
		p, err := Parse(b)
		if err != nil {
			return
		}
		d, err := p.Decide(&Subject{Name: "a.example", Scope: ledger.ScopeExact}, exampleNow)
		if err != nil || d.Clause == nil {
			t.Errorf("an accepted policy does not decide: %v", err)
		}
	})
}

// BenchmarkDecide decides subjects as feeds yield them, four pieces of evidence each. It
// is not what reading the evidence from a database costs.
func BenchmarkDecide(b *testing.B) {
	p := mustDefault(b)
	var subjects []*Subject
	for i := range 1000 {
		s := &Subject{Name: fmt.Sprintf("host%d.example", i), Scope: ledger.ScopeExact}
		for k := range 4 {
			s.Evidence = append(s.Evidence, seen(kinds[(i+k)%8], fmt.Sprintf("source%d", k), k*10))
		}
		subjects = append(subjects, s)
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if _, err := p.Decide(subjects[i%len(subjects)], exampleNow); err != nil {
			b.Fatal(err)
		}
		i++
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/4, "ns/evidence")
}

// As many people have to agree as the strictest of the clauses asks for.
func TestPeople(t *testing.T) {
	p, err := Parse([]byte(strings.Replace(small, "then: list", "then: list\n    people: 3", 1)))
	if err != nil {
		t.Fatal(err)
	}
	for clauses, want := range map[string]int{"two": 3, "rest": 1, "rest two": 3, "gone": 1, "": 1} {
		if got := p.People(strings.Fields(clauses)...); got != want {
			t.Errorf("%q: %d people, not %d", clauses, got, want)
		}
	}
}

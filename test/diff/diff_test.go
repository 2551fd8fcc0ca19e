package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

var noon = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)

func TestTree(t *testing.T) {
	tr, err := makeTree(1, noon, tops()[:2]) // enough for every kind
	if err != nil {
		t.Fatal(err)
	}
	t.Run("records", func(t *testing.T) { testRecords(t, tr) })
	t.Run("rules", func(t *testing.T) { testRules(t, tr) })
}

// The tree has what its kinds say, also after the edits on the way into the zone files.
func testRecords(t *testing.T, tr *tree) {
	if len(tr.zones) < 80 {
		t.Errorf("%d zones", len(tr.zones))
	}
	count := func(origin string, is func(dns.RR) bool) (n int) {
		text, err := tr.records(tr.byName[origin])
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range strings.Split(strings.TrimSpace(text), "\n") {
			rr, err := dns.NewRR(line)
			if err != nil {
				t.Fatalf("%s: %s: %v", origin, line, err)
			}
			if is(rr) {
				n++
			}
		}
		return n
	}
	denies := func(rr dns.RR) bool { c := covers(rr); return c == dns.TypeNSEC || c == dns.TypeNSEC3 }
	ours := func(rr dns.RR) bool { sig, ok := rr.(*dns.RRSIG); return ok && sig.SignerName == "signer.aa." }
	for _, c := range []struct {
		origin   string
		is       func(dns.RR) bool
		min, max int
	}{
		{"p256.aa.", denies, 100, 1000}, {"nodenial.aa.", denies, 0, 0}, {"nodenial3.aa.", denies, 0, 0},
		{"signer.aa.", ours, 1, 1}, // over the keys alone
		{"plain.aa.", func(rr dns.RR) bool { return rr.Header().Rrtype == dns.TypeRRSIG }, 0, 0},
		{"aa.", func(rr dns.RR) bool { return rr.Header().Rrtype == dns.TypeDS && rr.Header().Name == "island.aa." }, 0, 0},
		{"aa.", func(rr dns.RR) bool { return rr.Header().Rrtype == dns.TypeDS && rr.Header().Name == "p256.aa." }, 1, 1},
	} {
		if n := count(c.origin, c.is); n < c.min || n > c.max {
			t.Errorf("%s: %d records of what was looked for, want %d to %d", c.origin, n, c.min, c.max)
		}
	}
	zones, path := tr.through(question{name: "farfar0.p256.aa.", qtype: dns.TypeA})
	if !slices.Contains(path, dns.TypeCNAME) || len(zones) < 4 {
		t.Errorf("the way of a chain: %v, %d zones", path, len(zones))
	}
}

func TestQuestions(t *testing.T) {
	tr := plan(tops())
	all := tr.questions(7, 2000, 3)
	if !slices.Equal(all, tr.questions(7, 2000, 3)) {
		t.Error("the same seed, other questions")
	}
	names, flags := map[string]bool{}, map[[3]bool]int{}
	for _, q := range all {
		names[q.name] = true
		flags[[3]bool{q.do, q.cd, q.ad}]++
		if q.do && !q.edns {
			t.Errorf("%s: DO without EDNS", q)
		}
	}
	if len(names) != 2000 || len(all) != 6000 || len(flags) != 8 {
		t.Errorf("%d names, %d questions, %d combinations of flags", len(names), len(all), len(flags))
	}
}

// said makes a reply of its RCODE, AD, and answer section.
func said(t *testing.T, rcode int, ad bool, answer ...string) *reply {
	t.Helper()
	m := new(dns.Msg)
	m.Rcode, m.AuthenticatedData = rcode, ad
	for _, line := range answer {
		rr, err := dns.NewRR(line)
		if err != nil {
			t.Fatal(err)
		}
		m.Answer = append(m.Answer, rr)
	}
	r := new(reply)
	r.read(m)
	return r
}

// Who stands alone against whom.
func TestDifferences(t *testing.T) {
	a, b := "x.aa. 60 A 192.0.2.1", "x.aa. 60 A 192.0.2.2"
	ok := func(answer ...string) *reply { return said(t, dns.RcodeSuccess, false, answer...) }
	failed := said(t, dns.RcodeServerFailure, false)
	for what, c := range map[string]struct {
		us, unbound, knot, filtered *reply
		want                        string
	}{
		"order, letter case and TTL do not count": {ok(a, b), ok(b, "X.aa. 61 A 192.0.2.1"), ok(a, b), ok(b, a), ""},
		"we alone":                    {ok(a), ok(b), ok(b), ok(a), "answer shoji alone unbound,knot"},
		"one peer":                    {ok(a), ok(a), ok(b), ok(a), "answer peers differ knot"},
		"nobody agrees":               {ok(a), ok(b), ok(a, b), ok(a), "answer no two agree unbound,knot"},
		"a failure hides the rest":    {ok(a), ok(b), failed, ok(a), "rcode peers differ knot; answer peers differ unbound"},
		"our failure":                 {failed, ok(a), ok(a), failed, "rcode shoji alone unbound,knot"},
		"AD":                          {ok(a), said(t, 0, true, a), said(t, 0, true, a), ok(a), "AD shoji alone unbound,knot"},
		"a TTL beyond what time does": {ok(a), ok("x.aa. 3600 A 192.0.2.1"), ok(a), ok(a), "TTL peers differ unbound"},
		"the views":                   {ok(a), ok(a), ok(a), ok(b), "views our own views filtered"},
	} {
		w := &witness{us: c.us, filtered: c.filtered, peers: []party{{unbound, c.unbound}, {knot, c.knot}}, elapsed: time.Second}
		var got []string
		for _, d := range w.differences() {
			got = append(got, string(d.field)+" "+string(d.side)+" "+strings.Join(d.against, ","))
		}
		if strings.Join(got, "; ") != c.want {
			t.Errorf("%s: %q, want %q", what, got, c.want)
		}
	}
}

// A rule explains what it names and nothing beside it.
func testRules(t *testing.T, tr *tree) {
	seen := map[string]bool{}
	for _, r := range rules() {
		if seen[r.name] || r.reason == "" {
			t.Errorf("%s: twice, or without a reason", r.name)
		}
		seen[r.name] = true
	}
	r := &run{tree: tr, began: time.Now(), peers: []peer{{name: unbound}, {name: knot}}}
	secure, insecure := said(t, 0, true), said(t, 0, false)
	for _, c := range []struct {
		name      string
		explained bool
	}{{"h1.rsasha1.aa.", true}, {"h1.n3refused.aa.", true}, {"h1.p256.aa.", false}} {
		w := &witness{q: question{name: c.name, qtype: dns.TypeA, do: true}, us: insecure, peers: []party{{unbound, secure}, {knot, secure}}}
		if out := r.judge([]*witness{w}, nil); (len(out.Unexplained) == 0) != c.explained || out.Agreed != 0 {
			t.Errorf("%s insecure with us alone: %d unexplained", c.name, len(out.Unexplained))
		}
	}
}

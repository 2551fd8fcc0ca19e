package audit

import (
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/shoji-dns/shoji/internal/dns"
)

// The right entry is cited, and the answer leads elsewhere than to the one sinkhole. The twin
// is honest and never accused.
func TestCrookedSinkhole(t *testing.T) {
	var count atomic.Int32
	real := map[string]string{"a.example": "8.8.8.1", "b.example": "8.8.8.2", "c.example": "8.8.8.3"}
	for name, tc := range map[string]struct {
		addr    func(r Route, q *dns.Message, name string) string // "" leaves the honest answer
		contact bool
		want    string // codes that there are
		detail  string
	}{
		"honest":                     {func(Route, *dns.Message, string) string { return "" }, false, "", ""},
		"honest, with contact":       {func(Route, *dns.Message, string) string { return "" }, true, "", ""},
		"real addresses":             {func(_ Route, _ *dns.Message, n string) string { return real[n] }, true, "filtered: not-filtered", "recursion finds the name"},
		"real addresses, unresolved": {func(_ Route, _ *dns.Message, n string) string { return real[n] }, false, "filtered: other-sinkhole", "others to 8.8.8."},
		"the real address of one for all": {func(Route, *dns.Message, string) string { return "8.8.8.1" }, true,
			"filtered: not-filtered", "leads to 8.8.8.1"},
		"one name elsewhere": {func(_ Route, _ *dns.Message, n string) string {
			return map[string]string{"b.example": "8.8.4.4"}[n]
		}, false, "filtered: other-sinkhole", "it leads to 8.8.4.4, others to " + aSinkhole},
		"one name to a service that others use": {func(_ Route, _ *dns.Message, n string) string {
			return map[string]string{"b.example": "93.184.5.1"}[n]
		}, false, "filtered: other-sinkhole", "it leads to 93.184.5.1, others to " + aSinkhole},
		"over TCP": {func(r Route, _ *dns.Message, _ string) string {
			return map[string]string{TCP: "8.8.4.4"}[r.Transport]
		}, false, "uniform: differs-by", "those over "},
		"another customer": {func(r Route, _ *dns.Message, _ string) string {
			return map[string]string{"198.51.100.2": "8.8.4.4"}[r.Source.String()]
		}, false, "uniform: differs-by", "those from 198.51.100."},
		"by EDNS": {func(_ Route, q *dns.Message, _ string) string {
			if q.EDNS != nil && q.EDNS.DO {
				return "8.8.4.4"
			}
			return ""
		}, false, "uniform: differs-by", "those asked with "},
		"random": {func(Route, *dns.Message, string) string { return fmt.Sprintf("8.8.4.%d", count.Add(1)%250) }, false,
			"uniform: differs-by", "others to "},
	} {
		t.Run(name, func(t *testing.T) {
			w, log, cfg := newWorld(t)
			for n, a := range real {
				w.inet[n+" A"] = []string{a}
			}
			cfg.Contact, cfg.Questions, cfg.Names = tc.contact, 400, []dns.Name{dns.MustName("b.example")}
			cfg.Sources = []netip.Addr{netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("198.51.100.2")}
			w.rule = func(r Route, q *dns.Message) (*dns.Message, error) {
				name := strings.ToLower(strings.TrimSuffix(q.Question[0].Name.String(), "."))
				m := w.honest(r, q)
				if r.Unfiltered || real[name] == "" || q.Question[0].Type != dns.TypeA {
					return m, nil
				}
				if a := tc.addr(r, q, name); a != "" && len(m.Answer) > 0 {
					m.Answer[0].Data = netip.MustParseAddr(a).AsSlice()
				}
				return m, nil
			}
			if err := Live(t.Context(), log, cfg, w.r); err != nil {
				t.Fatal(err)
			}
			if tc.want == "" {
				found(t, w.r, Verified, "")
				if got := strings.Join(w.r.Asked.Sinkholes, " "); got != aSinkhole {
					t.Errorf("filtered answers led to %q", got)
				}
				return
			}
			got, details := codes(w.r), fmt.Sprint(findings(w.r))
			if w.r.Verdict != Fault || !strings.Contains(got, tc.want) || strings.Contains(got, "twin:") || strings.Contains(got, "answered:") || !strings.Contains(details, tc.detail) {
				t.Errorf("%s: %s, want %s and %q in %s", w.r.Verdict, got, tc.want, tc.detail, details)
			}
		})
	}
}

// findings are all that a report shows.
func findings(r *Report) (out []Finding) {
	for _, c := range r.Checks {
		out = append(out, c.Findings...)
	}
	return out
}

// Filtered answers to one question say why alike: here, not over TCP.
func TestUniformErrors(t *testing.T) {
	w, log, cfg := newWorld(t)
	w.rule = func(r Route, q *dns.Message) (*dns.Message, error) {
		m := w.honest(r, q)
		if m.EDNS != nil && len(m.EDNS.Options) > 0 && r.Transport == TCP {
			m.EDNS.Options[0].Data[1] = byte(dns.EDECensored)
		}
		return m, nil
	}
	cfg.Questions = 400
	if err := Live(t.Context(), log, cfg, w.r); err != nil {
		t.Fatal(err)
	}
	if got := codes(w.r); w.r.Verdict != Fault || !strings.Contains(got, "uniform: differs-by") {
		t.Errorf("%s: %s", w.r.Verdict, got)
	}
}

// Where one listing alone is answered, its address may be any, and the twin is not judged by it.
func TestLoneSinkhole(t *testing.T) {
	w, log, cfg := newWorld(t)
	w.o.add(w.o.delist("b.example"))
	w.o.add(w.o.delist("c.example"))
	w.o.epoch()
	r, err := Run(t.Context(), log)
	if err != nil {
		t.Fatal(err)
	}
	w.r = r
	if err := Live(t.Context(), log, cfg, r); err != nil {
		t.Fatal(err)
	}
	found(t, r, Unchecked, "filtered: lone-sinkhole")
	if got := strings.Join(r.Asked.Sinkholes, " "); got != aSinkhole {
		t.Errorf("filtered answers led to %q", got)
	}
}

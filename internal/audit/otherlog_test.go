package audit

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/shoji-dns/shoji/internal/dns"
)

// filteredOf is a reply in due form that cites an entry of another log.
func filteredOf(w *world, q *dns.Message, log string) *dns.Message {
	m := filteredBy(w, q, "a.example")
	if m.EDNS != nil {
		why := "log entry 1 of " + log
		if asksStructured(q) {
			why = fmt.Sprintf(`{"j":"malware","s":1,"l":"en","fdbs":[{"db":%q,"id":"1"}]}`, log)
		}
		m.EDNS.Options = []dns.Option{dns.ErrorOption(dns.EDEBlocked, why)}
	}
	return m
}

// is reports whether a question is about a name, of any type.
func is(q *dns.Message, name string) bool { return q.Question[0].Name.Equal(dns.MustName(name)) }

// crooksOfOtherLogs say that another log filters, and two honest resolvers do.
func crooksOfOtherLogs() map[string]crooked {
	const shop, other = "www.shop-5.example", "other.example"
	of := func(name string, change func(r Route, q, m *dns.Message)) func(*world, Route, *dns.Message, *dns.Message, int) {
		return func(w *world, r Route, q, m *dns.Message, _ int) {
			if is(q, name) && !r.Unfiltered {
				*m = *filteredOf(w, q, other)
				change(r, q, m)
			}
		}
	}
	leads := func(to string) func(r Route, q, m *dns.Message) {
		return func(_ Route, _, m *dns.Message) {
			if len(m.Answer) == 1 && m.Answer[0].Type == dns.TypeA {
				m.Answer[0].Data = netip.MustParseAddr(to).AsSlice()
			}
		}
	}
	same := func(Route, *dns.Message, *dns.Message) {}
	return map[string]crooked{
		"follows another log too":   {of(shop, same), twoNames, Unchecked, "answered: other-log"},
		"follows another log first": {of("a.example", same), twoNames, Unchecked, "filtered: other-log"},
		"follows another log first that lists all": {func(w *world, r Route, q, m *dns.Message, _ int) {
			if _, listed := w.r.list.MatchName(q.Question[0].Name); listed && !r.Unfiltered {
				*m = *filteredOf(w, q, other)
			}
		}, twoNames, Unchecked, "filtered: other-log"},
		"follows another log first, which delists meanwhile": {func(w *world, r Route, q, m *dns.Message, nth int) {
			if is(q, "a.example") && !r.Unfiltered && nth <= 6 {
				*m = *filteredOf(w, q, other)
			}
		}, twoNames, Unchecked, "filtered: other-log"},
		"leads what another log lists elsewhere":       {of(shop, leads("8.8.8.8")), twoNames, Fault, "answered: other-sinkhole"},
		"leads what another log lists where it is":     {of(shop, leads("93.184.5.1")), twoNames, Fault, "answered: not-filtered"},
		"spares what he says that another log filters": {of("a.example", leads("8.8.8.8")), twoNames, Fault, "filtered: other-sinkhole"},
		"denies what another log lists": {of(shop, func(_ Route, _, m *dns.Message) {
			m.RCode, m.Answer = dns.RCodeNameError, nil
		}), twoNames, Fault, "answered: other-form"},
		"keeps what another log lists for a week": {of(shop, func(_ Route, _, m *dns.Message) {
			for i := range m.Answer {
				m.Answer[i].TTL = 7 * 86400
			}
		}), twoNames, Fault, "answered: kept-long"},
		"filters by another log for one customer": {func(w *world, r Route, q, m *dns.Message, _ int) {
			if is(q, shop) && !r.Unfiltered && r.Source == netip.MustParseAddr("198.51.100.2") {
				*m = *filteredOf(w, q, other)
			}
		}, twoCustomers, Fault, "uniform: differs-by"},
		"filters who cannot be told why": {func(w *world, r Route, q, m *dns.Message, _ int) {
			if is(q, shop) && !r.Unfiltered && q.EDNS == nil {
				*m = *filteredOf(w, q, other)
			}
		}, twoNames, Fault, "answered: filtered-unlisted"},
		"tells of another log who asks why alone": {func(w *world, r Route, q, m *dns.Message, _ int) {
			if is(q, shop) && !r.Unfiltered {
				if *m = *filteredOf(w, q, other); q.EDNS == nil && len(m.Answer) == 1 {
					leads("8.8.8.8")(r, q, m)
				}
			}
		}, twoNames, Unchecked, "answered: unexplained"},
		"marks customers by how the log is named": {of("a.example", func(r Route, q, m *dns.Message) {
			if m.EDNS != nil && !asksStructured(q) {
				m.EDNS.Options[0] = dns.ErrorOption(dns.EDEBlocked, "log entry 1"+map[bool]string{true: " of log.isp.example"}[r.Source == netip.MustParseAddr("198.51.100.2")])
			}
		}), twoCustomers, Fault, "uniform: differs-by"},
		"names another database": {func(w *world, r Route, q, m *dns.Message, _ int) {
			if is(q, "a.example") && asksStructured(q) && !r.Unfiltered {
				m.EDNS.Options[0] = dns.ErrorOption(dns.EDEBlocked, `{"s":1,"fdbs":[{"db":"other.example","id":"4711"}]}`)
			}
		}, twoNames, Unchecked, "filtered: other-log"},
		"names his database in his own way": {func(_ *world, r Route, q, m *dns.Message, _ int) {
			if asksStructured(q) && !r.Unfiltered && m.EDNS != nil && len(m.EDNS.Options) > 0 {
				text := string(m.EDNS.Options[0].Data[2:])
				m.EDNS.Options[0] = dns.ErrorOption(dns.EDEBlocked, strings.Replace(text, "log.isp.example", "filters of ISP", 1))
			}
		}, twoNames, Verified, ""},
	}
}

// What another log filters is counted by itself, by the log, and makes one finding of each check.
func TestOtherLog(t *testing.T) {
	w, log, cfg := newWorld(t)
	twoNames(w, &log, &cfg)
	cfg.Questions, cfg.Names = 400, append(cfg.Names, dns.MustName("www.shop-6.example"))
	w.rule = func(r Route, q *dns.Message) (*dns.Message, error) {
		if r.Unfiltered {
			return nil, nil
		}
		switch {
		case is(q, "www.shop-5.example"), is(q, "a.example"):
			return filteredOf(w, q, "other.example"), nil
		case is(q, "www.shop-6.example"):
			return filteredOf(w, q, "third.example+0c3f7a51"), nil
		}
		return nil, nil
	}
	if err := Live(t.Context(), log, cfg, w.r); err != nil {
		t.Fatal(err)
	}
	var subjects []string
	for _, c := range w.r.Checks {
		for _, f := range c.Findings {
			subjects = append(subjects, c.Name+" "+f.Code+" "+f.Subject)
		}
	}
	slices.Sort(subjects)
	if want := []string{"answered other-log other.example", "answered other-log third.example+0c3f7a51", "filtered other-log other.example"}; w.r.Verdict != Unchecked || !slices.Equal(subjects, want) {
		t.Errorf("%s: %q\n%v", w.r.Verdict, subjects, findings(w.r))
	}
	if got := slices.Sorted(maps.Keys(w.r.Asked.OtherLogs)); !slices.Equal(got, []string{"other.example", "third.example+0c3f7a51"}) || w.r.Asked.OtherLogs["other.example"] < 10 {
		t.Errorf("%v", w.r.Asked.OtherLogs)
	}
}

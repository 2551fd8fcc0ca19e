package audit

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoji-dns/shoji/internal/answer"
	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/ledger"
)

// filteredOf is a reply in due form that cites an entry of another log.
func filteredOf(w *world, q *dns.Message, log string, entry int) *dns.Message {
	m := filteredBy(w, q, "a.example")
	if m.EDNS != nil {
		why := fmt.Sprintf("log entry %d of %s", entry, log)
		if asksStructured(q) {
			why = fmt.Sprintf(`{"j":"malware","s":1,"l":"en","fdbs":[{"db":%q,"id":"%d"}]}`, log, entry)
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
				*m = *filteredOf(w, q, other, 1)
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
				*m = *filteredOf(w, q, other, 1)
			}
		}, twoNames, Unchecked, "filtered: other-log"},
		"follows another log first, which delists meanwhile": {func(w *world, r Route, q, m *dns.Message, nth int) {
			if is(q, "a.example") && !r.Unfiltered && nth <= 6 {
				*m = *filteredOf(w, q, other, 1)
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
				*m = *filteredOf(w, q, other, 1)
			}
		}, twoCustomers, Fault, "uniform: differs-by"},
		"filters who cannot be told why": {func(w *world, r Route, q, m *dns.Message, _ int) {
			if is(q, shop) && !r.Unfiltered && q.EDNS == nil {
				*m = *filteredOf(w, q, other, 1)
			}
		}, twoNames, Fault, "answered: filtered-unlisted"},
		"tells of another log who asks why alone": {func(w *world, r Route, q, m *dns.Message, _ int) {
			if is(q, shop) && !r.Unfiltered {
				if *m = *filteredOf(w, q, other, 1); q.EDNS == nil && len(m.Answer) == 1 {
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

// watched is an internet that tells what is asked for.
type watched struct {
	internet
	asked func(name dns.Name)
}

func (w watched) Resolve(ctx context.Context, name dns.Name, t dns.Type) *answer.Answer {
	w.asked(name)
	return w.internet.Resolve(ctx, name, t)
}

// Where the other log was given, what it filters is held against it, also when it changes meanwhile.
func TestOtherLogThatWasGiven(t *testing.T) {
	const shop = "www.shop-5.example"
	for name, tc := range map[string]struct {
		before, meanwhile []string // that it lists
		want              string
		code              string
	}{
		"lists it":                {[]string{shop}, nil, Verified, ""},
		"lists it meanwhile":      {nil, []string{shop}, Verified, ""},
		"lists it by another":     {[]string{"else.example", shop}, nil, Fault, "filtered: wrong-citation"},
		"lists another by that":   {[]string{"else.example"}, nil, Fault, "answered: filtered-unlisted"},
		"has no entry like that":  {nil, nil, Fault, "answered: filtered-unlisted"},
		"lists another meanwhile": {nil, []string{"else.example"}, Fault, "answered: filtered-unlisted"},
	} {
		t.Run(name, func(t *testing.T) {
			w, log, cfg := newWorld(t)
			twoNames(w, &log, &cfg)
			other := operatorOf(t, 2, "other.example")
			list := func(names []string) {
				for _, name := range names {
					other.add(other.list(name))
				}
				other.epoch()
			}
			other.add(other.policy.Entry(morning))
			list(tc.before)
			cfg.Others, cfg.Lag, cfg.Contact = followed(t, other), time.Nanosecond, len(tc.meanwhile) > 0
			listed := slices.Contains(tc.before, shop) // and so is malware's
			cfg.Recursion = watched{w.inet, func(name dns.Name) {
				if listed && name.Equal(dns.MustName(shop)) {
					t.Error("the own recursion contacts what the other log lists")
				}
			}}
			entry, asked := 1, 0
			if len(tc.meanwhile) > 0 {
				entry = len(other.raw)
			}
			w.rule = func(r Route, q *dns.Message) (*dns.Message, error) {
				if r.Unfiltered && is(q, shop) && listed {
					t.Error("the twin is asked for what the other log lists")
				}
				if r.Unfiltered || !is(q, shop) {
					return nil, nil
				}
				w.mu.Lock()
				defer w.mu.Unlock()
				if asked++; asked == 1 && len(tc.meanwhile) > 0 {
					list(tc.meanwhile)
				}
				return filteredOf(w, q, "other.example", entry), nil
			}
			if err := Live(t.Context(), log, cfg, w.r); err != nil {
				t.Fatal(err)
			}
			if got := codes(w.r); w.r.Verdict != tc.want || !strings.Contains(got, tc.code) || len(w.r.Asked.OtherLogs) != 0 {
				t.Errorf("%s: %s, %v\n%v", w.r.Verdict, got, w.r.Asked.OtherLogs, findings(w.r))
			}
		})
	}
}

// What is found at the other log while resolvers are asked stands in its report too, which may be the only one that is
// about it from then on: a list that accounts for answers there is none that nobody has verified.
func TestOtherLogIsVerifiedMeanwhile(t *testing.T) {
	const shop = "www.shop-5.example"
	for what, tc := range map[string]struct {
		change func(*ledger.Entry)
		want   string
		code   string
	}{
		"as the policy wants it": {func(*ledger.Entry) {}, Verified, ""},
		"without the sources":    {func(e *ledger.Entry) { e.Evidence = e.Evidence[:1] }, Fault, NotListed},
		"and does not tell": {func(e *ledger.Entry) {
			e.Salt = ledger.Salt{1}
			e.Name, e.Commitment = "", ledger.Commit(e.Salt, e.Scope, shop)
		}, Unchecked, Committed},
		"by an unknown policy": {func(e *ledger.Entry) { e.Policy[0] ^= 1 }, Fault, OtherPolicy},
	} {
		t.Run(what, func(t *testing.T) {
			w, log, cfg := newWorld(t)
			twoNames(w, &log, &cfg)
			other := operatorOf(t, 2, "other.example")
			other.add(other.policy.Entry(morning))
			other.epoch()
			cfg.Others, cfg.Lag, cfg.Contact = followed(t, other), time.Nanosecond, true
			entry, asked := len(other.raw), 0
			w.rule = func(r Route, q *dns.Message) (*dns.Message, error) {
				if r.Unfiltered || !is(q, shop) {
					return nil, nil
				}
				w.mu.Lock()
				defer w.mu.Unlock()
				if asked++; asked == 1 {
					e := other.list(shop)
					tc.change(e)
					other.add(e)
					other.epoch()
				}
				return filteredOf(w, q, "other.example", entry), nil
			}
			if err := Live(t.Context(), log, cfg, w.r); err != nil {
				t.Fatal(err)
			}
			if r := cfg.Others[0].Report; r.Verdict != tc.want || tc.code != "" && !r.Has(tc.code) {
				t.Errorf("%s: %s\n%v", r.Verdict, codes(r), findings(r))
			}
		})
	}
}

// A resolver that follows the other log's last change late, and in time, is in order.
func TestOtherLogIsFollowedLate(t *testing.T) {
	const shop = "www.shop-5.example"
	w, log, cfg := newWorld(t)
	twoNames(w, &log, &cfg)
	other := operatorOf(t, 2, "other.example")
	other.add(other.policy.Entry(morning), other.list(shop))
	other.add(other.delist(shop))
	other.add(other.hosts(4)...)
	other.epoch() // seven seconds after the log began; the first log's list is of the fourth
	cfg.Others, cfg.Lag = followed(t, other), 5*time.Second
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(morning.Add(10 * time.Second)))
		w.rule = func(r Route, q *dns.Message) (*dns.Message, error) {
			if r.Unfiltered || !is(q, shop) || time.Now().After(morning.Add(11*time.Second)) {
				return nil, nil
			}
			return filteredOf(w, q, "other.example", 1), nil
		}
		if err := Live(t.Context(), log, cfg, w.r); err != nil {
			t.Fatal(err)
		}
		found(t, w.r, Verified, "")
		if w.r.Asked.Lagged == 0 {
			t.Error("nothing was answered by the list before")
		}
	})
}

// A new list of the log at hand excuses nothing that is said of a log that nobody knows, whose entries have numbers too.
func TestListsExcuseNothingOfOtherLogs(t *testing.T) {
	const shop = "www.shop-5.example"
	w, log, cfg := newWorld(t)
	twoNames(w, &log, &cfg)
	cfg.Lag = time.Minute
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(morning.Add(10 * time.Second)))
		asked := false
		w.rule = func(r Route, q *dns.Message) (*dns.Message, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			if r.Unfiltered || !is(q, shop) || q.Question[0].Type != dns.TypeA || asked || q.EDNS == nil {
				return nil, nil
			}
			asked = true
			m := filteredOf(w, q, "other.example", 1)
			for i := range m.Answer {
				m.Answer[i].Data = netip.MustParseAddr("93.184.5.1").AsSlice()
			}
			return m, nil
		}
		if err := Live(t.Context(), log, cfg, w.r); err != nil {
			t.Fatal(err)
		}
		if w.r.Verdict != Fault || !strings.Contains(codes(w.r), "answered: not-filtered") || w.r.Asked.Lagged != 0 {
			t.Errorf("%s: %s, %d excused", w.r.Verdict, codes(w.r), w.r.Asked.Lagged)
		}
	})
}

// followed is an operator's log as one that resolvers follow too.
func followed(t *testing.T, o *operator) []Followed {
	t.Helper()
	m, err := OpenMemory(t.TempDir(), o.vkey)
	if err != nil {
		t.Fatal(err)
	}
	log := Config{Source: o, Key: o.key, Memory: m, Now: morning.Add(time.Hour)}
	r, err := Run(t.Context(), log)
	if err != nil || r.Verdict != Verified {
		t.Fatal(codes(r), err)
	}
	return []Followed{{log, r}}
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
			return filteredOf(w, q, "other.example", 1), nil
		case is(q, "www.shop-6.example"):
			return filteredOf(w, q, "third.example+0c3f7a51", 1), nil
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

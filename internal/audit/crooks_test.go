package audit

import (
	"encoding/binary"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/ledger"
)

// of makes a record of text: an address, or else a name.
func of(owner string, t dns.Type, data string) dns.RR {
	rr := dns.RR{Name: dns.MustName(owner), Type: t, Class: dns.ClassIN, TTL: 60}
	if a, err := netip.ParseAddr(data); err == nil {
		rr.Data = a.AsSlice()
	} else {
		rr.Data = []byte(dns.MustName(data))
	}
	return rr
}

// crooked says what a resolver does to one question: it changes the honest reply.
type crooked struct {
	does func(w *world, r Route, q, m *dns.Message, nth int) // nth counts what it was asked of the name and view
	set  func(w *world, log *Config, cfg *LiveConfig)
	want string // verdict
	code string
}

// asksFor reports whether a question is for the addresses of a name.
func asksFor(name string) func(q *dns.Message) bool {
	return func(q *dns.Message) bool {
		return q.Question[0].Type == dns.TypeA && q.Question[0].Name.Equal(dns.MustName(name))
	}
}

// twoNames are asked for in many ways, one of them listed.
func twoNames(w *world, _ *Config, cfg *LiveConfig) {
	cfg.Names = []dns.Name{dns.MustName("www.shop-5.example"), dns.MustName("a.example")}
}

// twoCustomers ask for them.
func twoCustomers(w *world, log *Config, cfg *LiveConfig) {
	twoNames(w, log, cfg)
	cfg.Sources = []netip.Addr{netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("198.51.100.2")}
}

// crooksOfOthers answer for what is not listed.
func crooksOfOthers() map[string]crooked {
	shop := asksFor("www.shop-5.example")
	return map[string]crooked{
		"leads an unsigned name elsewhere when it is asked for first": {func(_ *world, r Route, q, m *dns.Message, nth int) {
			if !r.Unfiltered && shop(q) && nth == 1 {
				m.Answer[0] = of("www.shop-5.example", dns.TypeA, "8.8.8.8")
			}
		}, twoNames, Unchecked, "answered: unexplained"},
		"filters an unlisted name when it is asked for first, and then fails": {func(w *world, r Route, q, m *dns.Message, nth int) {
			if r.Unfiltered || !shop(q) {
				return
			}
			if nth == 1 {
				*m = *filteredBy(w, q, "a.example")
				return
			}
			m.RCode, m.Answer = dns.RCodeServerFailure, nil
		}, twoNames, Fault, "answered: filtered-unlisted"},
		"filters by an alias of the twin's own making": {func(w *world, r Route, q, m *dns.Message, _ int) {
			switch {
			case !shop(q):
			case r.Unfiltered:
				m.Answer = []dns.RR{of("www.shop-5.example", dns.TypeCNAME, "a.example"), of("a.example", dns.TypeA, "93.184.5.1")}
			case q.EDNS != nil:
				*m = *filteredBy(w, q, "a.example")
			}
		}, twoNames, Unchecked, "answered: leads-elsewhere"},
		"filters by an address of the twin's own making": {func(w *world, r Route, q, m *dns.Message, _ int) {
			switch {
			case !shop(q):
			case r.Unfiltered:
				m.Answer = []dns.RR{of("www.shop-5.example", dns.TypeA, "203.0.113.66")}
			default:
				*m = *filteredBy(w, q, "203.0.113.0/24")
			}
		}, twoNames, Fault, "answered: filtered-unlisted"},
		"adds an address under another name": {func(_ *world, r Route, q, m *dns.Message, _ int) {
			if shop(q) && !r.Unfiltered {
				m.Answer = append(m.Answer, of("else.example", dns.TypeA, "8.8.8.8"))
			}
		}, twoNames, Fault, "answered: stray"},
		"adds an address beside an alias": {func(w *world, r Route, q, m *dns.Message, _ int) {
			if asksFor("alias.example")(q) {
				m.Answer = []dns.RR{of("alias.example", dns.TypeCNAME, "www.shop-5.example"), of("www.shop-5.example", dns.TypeA, "93.184.5.1")}
				if !r.Unfiltered {
					m.Answer = append(m.Answer, of("alias.example", dns.TypeA, "8.8.8.8"))
				}
			}
		}, func(w *world, _ *Config, cfg *LiveConfig) {
			w.inet["alias.example A"] = []string{"93.184.5.1"}
			cfg.Names = []dns.Name{dns.MustName("alias.example")}
		}, Fault, "answered: stray"},
	}
}

// crooksOfFiltered answer for what is listed, and what was.
func crooksOfFiltered() map[string]crooked {
	listed := asksFor("a.example")
	mixedCase := func(q *dns.Message) bool { return q.Question[0].Name != q.Question[0].Name.Canonical() }
	return map[string]crooked{
		"spares who mixes the case of letters": {func(w *world, r Route, q, m *dns.Message, _ int) {
			if listed(q) && mixedCase(q) && !r.Unfiltered {
				*m = dns.Message{EDNS: m.EDNS, Answer: []dns.RR{of("a.example", dns.TypeA, "8.8.8.8")}}
				if m.EDNS != nil {
					m.EDNS.Options = nil
				}
			}
		}, twoNames, Fault, "filtered: not-filtered"},
		"leads who asks for structured errors elsewhere": {func(w *world, r Route, q, m *dns.Message, _ int) {
			if listed(q) && asksStructured(q) && !r.Unfiltered {
				m.Authority, m.Answer = nil, []dns.RR{of("a.example", dns.TypeA, "8.8.8.8")}
			}
		}, twoNames, Fault, "filtered: other-sinkhole"},
		"names another entry in structured errors": {func(w *world, r Route, q, m *dns.Message, _ int) {
			if listed(q) && asksStructured(q) && !r.Unfiltered {
				m.EDNS.Options[0] = dns.ErrorOption(dns.EDEBlocked, `{"s":1,"fdbs":[{"db":"log.isp.example","id":"3"}]}`)
			}
		}, twoNames, Fault, "filtered: wrong-citation"},
		"denies what is listed": {func(w *world, r Route, q, m *dns.Message, _ int) {
			if listed(q) && !r.Unfiltered {
				m.RCode, m.Answer = dns.RCodeNameError, nil
			}
		}, twoNames, Fault, "filtered: other-form"},
		"has filtered answers kept for a week": {func(w *world, r Route, q, m *dns.Message, _ int) {
			if listed(q) && !r.Unfiltered && len(m.Answer) > 0 {
				m.Answer[0].TTL = 7 * 86400
			}
		}, twoNames, Fault, "filtered: kept-long"},
		"marks customers in the text of the error": {func(w *world, r Route, q, m *dns.Message, _ int) {
			if listed(q) && !r.Unfiltered && q.EDNS != nil && !asksStructured(q) {
				m.EDNS.Options[0] = dns.ErrorOption(dns.EDEBlocked, "log entry 1; customer "+r.Source.String())
			}
		}, twoCustomers, Fault, "uniform: differs-by"},
		"adds a second error for one customer": {func(w *world, r Route, q, m *dns.Message, _ int) {
			if listed(q) && r.Source == netip.MustParseAddr("198.51.100.2") && q.EDNS != nil && len(m.EDNS.Options) > 0 {
				m.EDNS.Options = append(m.EDNS.Options, dns.ErrorOption(dns.EDECensored, "you"))
			}
		}, twoCustomers, Fault, "uniform: differs-by"},
		"goes on filtering what a person took off long ago": {func(w *world, r Route, q, m *dns.Message, _ int) {
			if asksFor("released.example")(q) && !r.Unfiltered {
				*m = *filteredBy(w, q, "a.example")
			}
		}, func(w *world, log *Config, cfg *LiveConfig) {
			w.inet["released.example A"] = []string{"93.184.77.1"}
			w.o.add(w.o.list("released.example"))
			w.o.add(w.o.delist("released.example"))
			w.o.add(w.o.hosts(recentEntries + firstEntries)...)
			w.o.epoch()
			r, err := Run(w.t.Context(), *log)
			if err != nil {
				w.t.Fatal(err)
			}
			w.r = r
		}, Fault, "answered: filtered-unlisted"},
		"honest": {func(*world, Route, *dns.Message, *dns.Message, int) {}, twoNames, Verified, ""},
	}
}

// Operators who know how they are audited.
func TestCrooksWhoKnowTheRules(t *testing.T) {
	all := crooksOfOthers()
	maps.Copy(all, crooksOfFiltered())
	maps.Copy(all, crooksOfOtherLogs())
	for name, tc := range all {
		t.Run(name, func(t *testing.T) {
			w, log, cfg := newWorld(t)
			w.o.add(&ledger.Entry{
				Kind: ledger.KindList, Time: w.o.at(), Prefix: netip.MustParsePrefix("203.0.113.0/24"), Scope: ledger.ScopePrefix,
				Clause: "c2-two-sources", Policy: w.o.policy.Digest, Evidence: []ledger.Evidence{c2("feed-a"), c2("feed-b")},
			})
			w.o.epoch()
			r, err := Run(t.Context(), log)
			if err != nil {
				t.Fatal(err)
			}
			if w.r = r; r.Verdict != Verified {
				t.Fatal(codes(r))
			}
			cfg.Questions = 600
			if tc.set(w, &log, &cfg); w.r != r {
				r = w.r
			}
			count := map[string]int{}
			w.rule = func(r Route, q *dns.Message) (*dns.Message, error) {
				m := w.honest(r, q)
				w.mu.Lock()
				key := string(q.Question[0].Name.Canonical()) + q.Question[0].Type.String() + r.Server.String()
				count[key]++
				nth := count[key]
				w.mu.Unlock()
				tc.does(w, r, q, m, nth)
				return m, nil
			}
			if err := Live(t.Context(), log, cfg, r); err != nil {
				t.Fatal(err)
			}
			if got := codes(r); r.Verdict != tc.want || !strings.Contains(got, tc.code) {
				t.Errorf("%s: %s, want %s: %s\n%v", r.Verdict, got, tc.want, tc.code, findings(r))
			}
		})
	}
}

// filteredBy is a reply in due form that cites the entry of another subject.
func filteredBy(w *world, q *dns.Message, subject string) *dns.Message {
	like := *q
	like.Question = slices.Clone(q.Question)
	like.Question[0].Name = dns.MustName("a.example")
	m := w.honest(Route{}, &like)
	for i := range m.Answer {
		m.Answer[i].Name = q.Question[0].Name
	}
	for i := range m.Authority {
		m.Authority[i].Name = q.Question[0].Name
		m.Authority[i].Data = slices.Concat([]byte(q.Question[0].Name), m.Authority[i].Data[len(dns.MustName("a.example")):])
	}
	entry, _ := w.r.list.Entry(dns.MustName("a.example"), ledger.ScopeExact)
	if p, err := netip.ParsePrefix(subject); err == nil {
		entry, _ = w.r.list.PrefixEntry(p)
	}
	if m.EDNS != nil {
		m.EDNS.Options = []dns.Option{dns.ErrorOption(dns.EDEBlocked, fmt.Sprintf("log entry %d", entry))}
	}
	return m
}

// Many names of the user's own take all questions: that nothing listed was asked for is no proof
// that it is filtered.
func TestNothingAsked(t *testing.T) {
	w, log, cfg := newWorld(t)
	w.rule = func(r Route, q *dns.Message) (*dns.Message, error) { // filters nothing
		r.Unfiltered = true
		return w.honest(r, q), nil
	}
	for n := range w.inet {
		cfg.Names = append(cfg.Names, dns.MustName(strings.TrimSuffix(n, " A")))
	}
	cfg.Questions = 100
	if err := Live(t.Context(), log, cfg, w.r); err != nil {
		t.Fatal(err)
	}
	if got := codes(w.r); w.r.Verdict != Unchecked || !strings.Contains(got, "filtered: not-asked") {
		t.Errorf("%s: %s", w.r.Verdict, got)
	}
}

// A fault of the log does not go away by what is in order when the log is read again meanwhile.
func TestFaultMendedMeanwhile(t *testing.T) {
	w, log, cfg := newWorld(t)
	by := newWitness("nearby.example")
	policy, err := ledger.ParseWitnessPolicy([]byte(by.line() + "quorum nearby\n"))
	if err != nil {
		t.Fatal(err)
	}
	log.Witnesses = policy
	r, err := Run(t.Context(), log)
	if err != nil || r.Verdict != Fault {
		t.Fatal(r.Verdict, err)
	}
	w.r = r
	w.o.add(w.o.list("d.example"))
	w.o.epoch()
	by.cosign(w.o, log.Now)
	if err := Live(t.Context(), log, cfg, r); err != nil {
		t.Fatal(err)
	}
	if got := codes(r); r.Verdict != Fault || !strings.Contains(got, "witnesses: uncosigned") {
		t.Errorf("%s: %s", r.Verdict, got)
	}
}

// A signed HTTPS record holds the keys for Encrypted Client Hello: who takes them away, or puts his
// own there, reads what sites are visited.
func TestEncryptedClientHello(t *testing.T) {
	https := func(params ...string) []dns.RR {
		data := []byte{0, 1, 0}
		for _, p := range params {
			data = binary.BigEndian.AppendUint16(data, uint16(p[0]))
			data = binary.BigEndian.AppendUint16(data, uint16(len(p)-1))
			data = append(data, p[1:]...)
		}
		return []dns.RR{{Name: dns.MustName("www.shop.example"), Type: dns.TypeHTTPS, Class: dns.ClassIN, TTL: 60, Data: data}}
	}
	said := func(rrs []dns.RR) said {
		return readSaid(dns.MustName("www.shop.example"), dns.TypeHTTPS, dns.RCodeSuccess, rrs)
	}
	with, other, without := said(https("\x01\x02h2", "\x05keys")), said(https("\x01\x02h2", "\x05yeks")), said(https("\x01\x02h2"))
	if with.equal(&without) {
		t.Error("that the keys are gone is not seen")
	}
	if !with.equal(&other) || with.whole(&other) {
		t.Error("keys that are changed often are another answer, or other keys are the same where a signature has them")
	}
}

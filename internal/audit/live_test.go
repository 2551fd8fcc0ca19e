package audit

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoji-dns/shoji/internal/answer"
	"github.com/shoji-dns/shoji/internal/citation"
	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/dnssec"
	"github.com/shoji-dns/shoji/internal/forger"
)

// internet is what the own recursion finds: addresses by name and type, all unsigned.
type internet map[string][]string

func (i internet) Resolve(_ context.Context, name dns.Name, t dns.Type) *answer.Answer {
	p := answer.Parts{Name: name, Type: t, Status: dnssec.Exempt()}
	for _, data := range i[strings.ToLower(strings.TrimSuffix(name.String(), "."))+" "+t.String()] {
		rr := dns.RR{Name: name, Type: t, Class: dns.ClassIN, TTL: 60}
		if a, err := netip.ParseAddr(data); err == nil {
			rr.Data = a.AsSlice()
		} else {
			rr.Data = []byte(dns.MustName(data))
		}
		p.Answer = append(p.Answer, rr)
	}
	return answer.New(p)
}

func (i internet) Refresh(ctx context.Context, name dns.Name, t dns.Type, _ time.Duration) *answer.Answer {
	return i.Resolve(ctx, name, t)
}

// The rule for addresses that differ: each must be one that was found, or near one, or by its
// reverse name the same owner's.
func TestContentDelivery(t *testing.T) {
	world := internet{
		"www.shop.example A":            {"93.184.216.1", "93.184.216.2"},
		"1.216.184.93.in-addr.arpa PTR": {"edge1.delivery.example"}, "edge1.delivery.example A": {"93.184.216.1"},
		"9.8.8.8.in-addr.arpa PTR": {"edge9.delivery.example"}, "edge9.delivery.example A": {"8.8.8.9"},
		"7.8.8.8.in-addr.arpa PTR": {"edge7.delivery.example"}, // which does not lead back
		"6.8.8.8.in-addr.arpa PTR": {"host.other.example"}, "host.other.example A": {"8.8.8.6"},
		"5.8.8.8.in-addr.arpa PTR": {"www5.shop.example"}, "www5.shop.example A": {"8.8.8.5"},
		"b.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.6.8.4.1.0.0.2.ip6.arpa PTR": {"edge6.delivery.example"},
		"edge6.delivery.example AAAA": {"2001:4860::b"},
	}
	found := world.Resolve(t.Context(), dns.MustName("www.shop.example"), dns.TypeA)
	l := &live{cfg: &LiveConfig{Recursion: world}}
	for answers, want := range map[string]string{
		"93.184.216.1":         byAddress,
		"93.184.216.77":        byAddress, // the same site, as far as its prefix tells
		"93.184.216.1 8.8.8.6": "",        // one of them is not accounted for
		"8.8.8.9":              byReverse,
		"93.184.216.2 8.8.8.9": byReverse,
		"8.8.8.5":              byReverse, // of the owner of the name itself
		"8.8.8.7":              "",
		"8.8.8.6":              "",
		"8.8.8.4":              "",
		"127.0.0.1":            "",
		"10.0.0.1":             "",
		"8.8.8.9 8.8.4.9 8.8.3.9 8.8.2.9 8.8.1.9": "", // more than is looked up
		"2001:4860::b": byReverse,
		"93.184.216.1 93.184.216.2 93.184.216.3 8.8.8.9": byReverse,
	} {
		got := &said{}
		for _, text := range strings.Fields(answers) {
			got.addrs = append(got.addrs, netip.MustParseAddr(text))
		}
		if by := l.accounted(t.Context(), got, dns.TypeA, []*answer.Answer{found}); by != want {
			t.Errorf("%s: accounted for by %q, want %q", answers, by, want)
		}
	}
}

// topics are n names, every third of which is listed.
func topics(n int) []topic {
	out := make([]topic, n)
	for i := range out {
		out[i] = topic{name: dns.MustName(fmt.Sprintf("name-%d.example", i)), listed: i%3 == 0, twin: true}
	}
	return out
}

// What is asked, how, from where and when depends on chance alone, and not on what is listed.
func TestPlanDoesNotTell(t *testing.T) {
	cfg := &LiveConfig{
		Servers:    []Server{{netip.MustParseAddrPort("192.0.2.1:53"), false, ""}, {netip.MustParseAddrPort("192.0.2.2:53"), false, ""}, {netip.MustParseAddrPort("192.0.2.3:53"), true, ""}},
		Transports: Plain(), Sources: []netip.Addr{netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("198.51.100.2")}, Seed: 7,
	}
	shape := func(flip bool) (out []string, listed []bool) {
		all := topics(60)
		for i := range all {
			all[i].listed = all[i].listed != flip
		}
		for _, v := range newPlanner(cfg).round(all, 1000) {
			for _, q := range v {
				out = append(out, fmt.Sprint(q.name, q.typ, q.form, q.route.Server, q.route.Source, q.route.Transport))
			}
			listed = append(listed, v[0].listed)
		}
		return out, listed
	}
	one, listed := shape(false)
	if other, _ := shape(true); len(one) < 300 || !slices.Equal(one, other) {
		t.Error("the questions are others where other names are listed")
	}
	run, longest := 0, 0
	for _, l := range listed {
		if run++; !l {
			run = 0
		}
		longest = max(longest, run)
	}
	if longest > 10 {
		t.Errorf("%d listed names in a row, of %d visits", longest, len(listed))
	}
	// Each name meets both sources, both transports and three forms.
	for _, want := range []string{"198.51.100.1", "198.51.100.2", "UDP", "TCP"} {
		if n := len(slices.DeleteFunc(slices.Clone(one), func(s string) bool { return !strings.Contains(s, want) })); n < len(one)/4 {
			t.Errorf("%s: %d of %d questions", want, n, len(one))
		}
	}
}

// The octets of a question hold nothing but what an ordinary client's do.
func TestQuestionsAreOrdinary(t *testing.T) {
	for _, f := range forms() {
		q := question{&topic{name: dns.MustName("www.shop.example"), listed: true, chosen: true}, dns.TypeA, f, Route{}}
		b, err := q.query()
		if err != nil {
			t.Fatal(err)
		}
		var m dns.Message
		if err := m.Unpack(b); err != nil || m.Flags&^(dns.FlagAD|dns.FlagCD) != dns.FlagRD || len(m.Question) != 1 || len(m.Additional) != 0 {
			t.Errorf("%s: %v, %+v", f.name, err, m)
		}
		if m.EDNS == nil != !f.edns || f.edns && (m.EDNS.Version != 0 || len(m.EDNS.Options) > 1) {
			t.Errorf("%s: %+v", f.name, m.EDNS)
		}
	}
}

// world is a resolver that answers as the log of an operator and an internet have it, or as
// its rule says.
type world struct {
	t    *testing.T
	o    *operator
	r    *Report
	inet internet
	rule func(r Route, m *dns.Message) (*dns.Message, error) // nil, nil: the honest answer

	mu    sync.Mutex
	asked []time.Time
}

const aSinkhole = "198.51.100.53"

func (w *world) carry(_ context.Context, r Route, query []byte) ([]byte, error) {
	w.mu.Lock()
	w.asked = append(w.asked, time.Now())
	w.mu.Unlock()
	var q dns.Message
	if err := q.Unpack(query); err != nil {
		return nil, err
	}
	var reply *dns.Message
	var err error
	if w.rule != nil {
		reply, err = w.rule(r, &q)
	}
	if err != nil {
		return nil, err
	}
	if reply == nil {
		reply = w.honest(r, &q)
	}
	reply.ID, reply.Question, reply.Flags = q.ID, q.Question, dns.FlagQR|dns.FlagRA|dns.FlagRD
	return reply.Append(nil)
}

func (w *world) honest(r Route, q *dns.Message) *dns.Message {
	m := new(dns.Message)
	ask := q.Question[0]
	v, listed := w.r.list.MatchName(ask.Name)
	if q.EDNS != nil {
		m.EDNS = &dns.EDNS{UDPSize: 1232}
	}
	switch {
	case !listed || r.Unfiltered:
		if ask.Type != dns.TypeANY {
			m.Answer = w.inet.Resolve(context.Background(), ask.Name, ask.Type).Answer()
		}
		return m
	case ask.Type == dns.TypeA && !asksStructured(q):
		m.Answer = []dns.RR{{Name: ask.Name, Type: dns.TypeA, Class: dns.ClassIN, TTL: 10, Data: netip.MustParseAddr(aSinkhole).AsSlice()}}
	case ask.Type == dns.TypeANY:
		m.Answer = []dns.RR{{Name: ask.Name, Type: dns.TypeHINFO, Class: dns.ClassIN, TTL: 10, Data: []byte("\x07RFC8482\x00")}}
	default:
		soa := slices.Concat([]byte(ask.Name), []byte("\x06nobody\x07invalid\x00"), make([]byte, 20))
		m.Authority = []dns.RR{{Name: ask.Name, Type: dns.TypeSOA, Class: dns.ClassIN, TTL: 10, Data: soa}}
	}
	if m.EDNS != nil {
		why := fmt.Sprintf("log entry %d", v.Entry)
		if asksStructured(q) {
			why = fmt.Sprintf(`{"j":"malware","s":1,"l":"en","fdbs":[{"db":"log.isp.example","id":"%d"}]}`, v.Entry)
		}
		m.EDNS.Options = []dns.Option{dns.ErrorOption(dns.EDEBlocked, why)}
	}
	return m
}

func asksStructured(q *dns.Message) bool {
	return q.EDNS != nil && slices.ContainsFunc(q.EDNS.Options, func(o dns.Option) bool { return o.Code == dns.OptionStructuredError })
}

// newWorld is an honest log and resolver, seen by a customer.
func newWorld(t *testing.T) (*world, Config, LiveConfig) {
	o, c := honest(t), newCustomer(t)
	m, err := OpenMemory(c.dir, o.vkey)
	if err != nil {
		t.Fatal(err)
	}
	log := Config{Source: o, Key: o.key, Memory: m, Now: c.now}
	r, err := Run(t.Context(), log)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, o: o, r: r, inet: internet{}}
	cfg := LiveConfig{
		Servers:    []Server{{netip.MustParseAddrPort("192.0.2.1:53"), false, ""}, {netip.MustParseAddrPort("192.0.2.2:53"), true, ""}},
		Transports: []Transport{{UDP, w.carry}, {TCP, w.carry}}, Recursion: w.inet, Questions: 200, Rounds: 1, Seed: 3,
	}
	for i := range 20 {
		name := fmt.Sprintf("www.shop-%d.example", i)
		w.inet[name+" A"] = []string{fmt.Sprintf("93.184.%d.1", i)}
		cfg.Popular = append(cfg.Popular, dns.MustName(name))
	}
	return w, log, cfg
}

// An honest resolver passes; the questions are bounded, spread over the time given, and end
// with the context.
func TestPace(t *testing.T) {
	w, log, cfg := newWorld(t)
	synctest.Test(t, func(t *testing.T) {
		cfg.Over = time.Hour
		start := time.Now()
		if err := Live(t.Context(), log, cfg, w.r); err != nil {
			t.Fatal(err)
		}
		found(t, w.r, Verified, "")
		if n := len(w.asked); n < 100 || n > cfg.Questions || w.r.Asked.Questions != uint64(n) || w.r.Asked.Listed != 3 {
			t.Errorf("%d questions of at most %d: %+v", n, cfg.Questions, w.r.Asked)
		}
		if took := time.Since(start); took < 30*time.Minute || took > 2*time.Hour {
			t.Errorf("a round that should take an hour took %v", took)
		}
		gaps := map[time.Duration]bool{}
		for i := range w.asked[1:] {
			gaps[w.asked[i+1].Sub(w.asked[i])] = true
		}
		if len(gaps) < 50 {
			t.Errorf("only %d different gaps", len(gaps))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := Live(ctx, log, cfg, w.r); !errors.Is(err, context.DeadlineExceeded) || w.r.Verdict != Unchecked {
			t.Errorf("%v, %s", err, w.r.Verdict)
		}
	})
}

// What does not answer is soon given up, said, and no fault; nor is it when answers are lost.
func TestSilentResolver(t *testing.T) {
	w, log, cfg := newWorld(t)
	w.rule = func(Route, *dns.Message) (*dns.Message, error) { return nil, errors.New("nobody there") }
	if err := Live(t.Context(), log, cfg, w.r); err != nil {
		t.Fatal(err)
	}
	if w.r.Verdict != Unchecked || len(w.asked) > 50 || !w.r.Has(NoAnswer) {
		t.Errorf("%s after %d questions: %s", w.r.Verdict, len(w.asked), codes(w.r))
	}
	w, log, cfg = newWorld(t)
	lost := 0
	w.rule = func(Route, *dns.Message) (*dns.Message, error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		if lost++; lost%10 == 9 {
			return nil, errors.New("lost")
		}
		return nil, nil
	}
	if err := Live(t.Context(), log, cfg, w.r); err != nil {
		t.Fatal(err)
	}
	found(t, w.r, Verified, "")
}

// An answer that was wrong once stays a finding when it is right later.
func TestWrongOnce(t *testing.T) {
	w, log, cfg := newWorld(t)
	first := true
	w.rule = func(r Route, m *dns.Message) (*dns.Message, error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		if !first || r.Unfiltered || !m.Question[0].Name.Equal(dns.MustName("a.example")) || m.Question[0].Type != dns.TypeA {
			return nil, nil
		}
		first = false
		return &dns.Message{EDNS: m.EDNS, Answer: []dns.RR{{Name: m.Question[0].Name, Type: dns.TypeA, Class: dns.ClassIN, Data: []byte{8, 8, 8, 8}}}}, nil
	}
	if err := Live(t.Context(), log, cfg, w.r); err != nil {
		t.Fatal(err)
	}
	if got := codes(w.r); w.r.Verdict != Fault || !strings.HasPrefix(got, "filtered: not-filtered") {
		t.Errorf("%s: %s", w.r.Verdict, got)
	}
}

// Addresses that differ for an unsigned name are told apart by the rule.
func TestDifferentAddresses(t *testing.T) {
	for addr, want := range map[string]string{"93.184.5.200": Verified, "8.8.8.8": Unchecked, "127.0.0.1": Fault, aSinkhole: Fault} {
		w, log, cfg := newWorld(t)
		w.rule = func(r Route, m *dns.Message) (*dns.Message, error) {
			q := m.Question[0]
			if !q.Name.Equal(dns.MustName("www.shop-5.example")) || q.Type != dns.TypeA {
				return nil, nil
			}
			return &dns.Message{EDNS: m.EDNS, Answer: []dns.RR{{Name: q.Name, Type: dns.TypeA, Class: dns.ClassIN, Data: netip.MustParseAddr(addr).AsSlice()}}}, nil
		}
		if err := Live(t.Context(), log, cfg, w.r); err != nil {
			t.Fatal(err)
		}
		if w.r.Verdict != want {
			t.Errorf("%s: %s, want %s: %s", addr, w.r.Verdict, want, codes(w.r))
		}
		if delivered := w.r.Asked.Delivery[byAddress]; (want == Verified) != (delivered > 0) {
			t.Errorf("%s: %+v", addr, w.r.Asked)
		}
	}
}

// Malware's servers are not contacted through the twin or by the own recursion, unless asked.
func TestNoContact(t *testing.T) {
	for _, contact := range []bool{false, true} {
		w, log, cfg := newWorld(t)
		w.o.add(w.o.delist("b.example"))
		w.o.add(w.o.list("d.example"))
		stale := w.o.delist("c.example")
		stale.Cause, stale.Clause, stale.Policy = causePolicy, "thin", w.o.policy.Digest
		w.o.add(stale)
		w.o.epoch()
		r, err := Run(t.Context(), log)
		if err != nil {
			t.Fatal(err)
		}
		w.r, cfg.Contact, cfg.Names = r, contact, []dns.Name{dns.MustName("a.example")}
		twin := map[string]bool{}
		w.rule = func(r Route, m *dns.Message) (*dns.Message, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			if twin[m.Question[0].Name.String()] = twin[m.Question[0].Name.String()] || r.Unfiltered; !contact && r.Unfiltered && m.Question[0].Name.Equal("\x01a\x07example\x00") {
				t.Error("a listed name was asked for at the twin")
			}
			return nil, nil
		}
		if err := Live(t.Context(), log, cfg, r); err != nil {
			t.Fatal(err)
		}
		found(t, r, Verified, "")
		_, asked := twin["c.example."]
		if _, mended := twin["b.example."]; !mended || asked != contact || twin["a.example."] != contact {
			t.Errorf("contact %v: %v", contact, twin)
		}
	}
}

// Without a list there is nothing to hold resolvers against.
func TestNoListToHoldAgainst(t *testing.T) {
	_, log, cfg := newWorld(t)
	r := &Report{}
	if err := Live(t.Context(), log, cfg, r); err == nil || r.Verdict != Unchecked {
		t.Errorf("%v, %s", err, r.Verdict)
	}
}

// FuzzReply reads what a resolver may send: nothing in it ends the program, and no text passes
// for another number than it has.
func FuzzReply(f *testing.F) {
	key := forger.New(1).Key
	w := &world{inet: internet{"www.example A": {"192.0.2.1"}}, r: &Report{}}
	q := question{&topic{name: dns.MustName("www.example")}, dns.TypeHTTPS, forms()[1], Route{}}
	query, err := q.query()
	if err != nil {
		f.Fatal(err)
	}
	m := dns.Message{Question: []dns.Question{{Name: q.name, Type: q.typ, Class: dns.ClassIN}}, EDNS: &dns.EDNS{Options: []dns.Option{dns.ErrorOption(dns.EDEBlocked, "log entry 12")}}}
	m.Answer = append(w.inet.Resolve(context.Background(), q.name, dns.TypeA).Answer(), dns.RR{
		Name: q.name, Type: dns.TypeHTTPS, Class: dns.ClassIN, Data: []byte("\x00\x01\x00\x00\x04\x00\x04\xc0\x00\x02\x01")})
	b, err := m.Append(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add(query)
	f.Fuzz(func(t *testing.T, b []byte) {
		answers(query, b)
		var m dns.Message
		if m.Unpack(b) != nil {
			return
		}
		for _, typ := range []dns.Type{dns.TypeA, dns.TypeHTTPS, dns.TypeMX} {
			s := readSaid(q.name, typ, m.RCode, m.Answer)
			s.words(typ)
			besides(&m, q.name, typ)
			if !s.equal(&s) || len(s.addrs) > 0 && len(s.data) == 0 {
				t.Errorf("%+v", s)
			}
		}
		if s := readSignal(&m, key); s.cited != nil && (!s.given || s.cited.Certain && !strings.Contains(string(b), string(citation.Append(nil, s.cited.Entry, s.cited.Log)))) {
			t.Errorf("%+v was cited", s.cited)
		}
	})
}

// A reply counts only with the ID and the question that were sent.
func TestAnswers(t *testing.T) {
	q := question{&topic{name: dns.MustName("www.Example")}, dns.TypeA, forms()[0], Route{}}
	query, err := q.query()
	if err != nil {
		t.Fatal(err)
	}
	reply := slices.Clone(query)
	reply[2] |= 0x80
	if !answers(query, reply) || answers(query, query) || answers(query, reply[:len(reply)-1]) || answers(query, nil) {
		t.Error("what is a reply and what is none")
	}
	for _, at := range []int{0, 1, 13, len(reply) - 1} {
		other := slices.Clone(reply)
		other[at] ^= 0x20
		if answers(query, other) {
			t.Errorf("a reply with another octet %d", at)
		}
	}
	none := slices.Clone(reply)
	binary.BigEndian.PutUint16(none[4:], 0)
	if answers(query, none) {
		t.Error("a reply without a question")
	}
}

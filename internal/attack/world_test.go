package attack

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/shoji-dns/shoji/internal/answer"
	"github.com/shoji-dns/shoji/internal/cache"
	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/dnssec"
	"github.com/shoji-dns/shoji/internal/resolve"
	"github.com/shoji-dns/shoji/internal/simnet"
)

// What one client's request may cost, whatever the attack. These are the promises; the
// constants that keep them are the product's own, so that a test fails where one of
// those is raised.
const (
	mostQueries         = 100 // messages upstream: resolve's maxQueries
	mostFailures        = 16  // signatures that do not verify: dnssec.MaxFailures
	mostFailuresOfRRset = 8   // of them for one RRset: dnssec.MaxVerificationsPerRRset
	mostVerifications   = 512 // signatures: dnssec.MaxVerifications
	mostHashes          = 32  // NSEC3 hash chains: dnssec.MaxHashes
	mostIterations      = 50  // of one NSEC3 hash chain: dnssec.MaxIterations
	mostLinks           = 11  // of CNAME and DNAME: resolve's maxLinks
	mostNS              = 20  // of one delegation: resolve's maxNS
	mostWall            = 9 * time.Second

	// mostAnswers is how many answers a request may put into the cache: a whole chain,
	// the rest of it from each link on, each link, and the addresses of name servers.
	mostAnswers = 64
)

// Servers of the world.
const (
	rootServer = "198.18.0.1"
	testServer = "198.18.1.1"
	bankServer = "198.18.2.1"
	shopServer = "198.18.2.2"
	evilServer = "198.18.6.6" // the attacker's
	evilSecond = "198.18.6.7" // and another one
)

// forged is an address that no true record of the world has.
const forged = "203.0.113.66"

const worldRoot = `. SOA a.root. h. 1 1 1 1 60
. NS a.root.
a.root. A 198.18.0.1
test. NS ns.test.
ns.test. A 198.18.1.1
`

const worldTest = `test. SOA ns.test. h.test. 1 1 1 1 60
test. NS ns.test.
ns.test. A 198.18.1.1
www.test. A 192.0.2.1
bank.test. NS ns.bank.test.
ns.bank.test. A 198.18.2.1
shop.test. NS ns.shop.test.
ns.shop.test. A 198.18.2.2
`

const evilGlue = `evil.test. NS ns1.evil.test.
evil.test. NS ns2.evil.test.
ns1.evil.test. A 198.18.6.6
ns2.evil.test. A 198.18.6.7
`

const worldBank = `bank.test. SOA ns.bank.test. h.bank.test. 1 1 1 1 60
bank.test. NS ns.bank.test.
ns.bank.test. A 198.18.2.1
bank.test. A 192.0.2.20
www.bank.test. A 192.0.2.20
*.any.bank.test. A 192.0.2.21
`

const worldShop = `shop.test. SOA ns.shop.test. h.shop.test. 1 1 1 1 60
shop.test. NS ns.shop.test.
ns.shop.test. A 198.18.2.2
shop.test. A 192.0.2.10
www.shop.test. A 192.0.2.10
*.any.shop.test. A 192.0.2.11
`

const worldEvil = `evil.test. SOA ns1.evil.test. h.evil.test. 1 1 1 1 60
evil.test. NS ns1.evil.test.
evil.test. NS ns2.evil.test.
ns1.evil.test. A 198.18.6.6
ns2.evil.test. A 198.18.6.7
www.evil.test. A 192.0.2.66
`

// plan says how a world differs from the plain one.
type plan struct {
	test, bank, evil *simnet.Signing // how the zones are signed; evil.test is not unless told so
	testText         string          // records added to test.
	evilText         string          // records added to evil.test.
	noEvil           bool            // testText delegates evil.test, or nobody does
	config           func(*resolve.Config)
}

// world is a small Internet and a resolver as it runs: with package cache for its memory and
// validation from the root down. In it are a signed root and test., the victims bank.test
// (signed) and shop.test (not signed), and evil.test, the attacker's own.
type world struct {
	*testing.T
	in    *simnet.Internet
	tree  *simnet.Tree
	cache *cache.Cache
	core  *resolve.Resolver

	unvalidated bool // the resolver has no anchors

	mu   sync.Mutex
	sent []message
}

// message is a query as it left the resolver.
type message struct {
	server     string
	tcp        bool
	name, qtyp string
	bytes      []byte
}

// unvalidating is a resolver without trust anchors: what validation would refuse must be refused
// all the same, for most zones are not signed.
func unvalidating(c *resolve.Config) { c.Anchors = nil }

// play runs a test in a world of its own, in a bubble of its own time.
func play(t *testing.T, p plan, f func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(newWorld(t, p)) })
}

func valid(s *simnet.Signing) *simnet.Signing {
	if s == nil {
		return nil
	}
	c := *s
	c.Inception, c.Expiration = time.Now().Add(-time.Hour), time.Now().Add(30*24*time.Hour)
	return &c
}

func newWorld(t *testing.T, p plan) *world {
	t.Helper()
	signed := &simnet.Signing{}
	if p.test == nil {
		p.test = signed
	}
	if p.bank == nil {
		p.bank = signed
	}
	testText := worldTest + p.testText
	if !p.noEvil {
		testText += evilGlue
	}
	tree, err := simnet.Build(1,
		simnet.Spec{Origin: ".", Text: worldRoot, Signing: valid(signed)},
		simnet.Spec{Origin: "test.", Text: testText, Signing: valid(p.test)},
		simnet.Spec{Origin: "bank.test.", Text: worldBank, Signing: valid(p.bank)},
		simnet.Spec{Origin: "shop.test.", Text: worldShop},
		simnet.Spec{Origin: "evil.test.", Text: worldEvil + p.evilText, Signing: valid(p.evil)})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{T: t, in: simnet.New(1), tree: tree}
	for origin, addrs := range map[string][]string{
		".": {rootServer}, "test.": {testServer}, "bank.test.": {bankServer}, "shop.test.": {shopServer},
		"evil.test.": {evilServer, evilSecond},
	} {
		for _, a := range addrs {
			w.in.Serve([]*simnet.Zone{tree.Zone(origin)}, netip.MustParseAddr(a))
		}
	}
	w.in.SetFaults(simnet.Faults{Latency: 2 * time.Millisecond})
	w.in.SetTrace(w.note)
	w.start(p.config)
	return w
}

// start makes the resolver, with nothing in its memory.
func (w *world) start(change func(*resolve.Config)) {
	w.Helper()
	memory, err := cache.New(cache.Config{Bytes: cache.MinBytes})
	if err != nil {
		w.Fatal(err)
	}
	a, err := w.tree.Anchor(".")
	if err != nil {
		w.Fatal(err)
	}
	anchors, err := dnssec.ParseAnchors(a.DS[0].String())
	if err != nil {
		w.Fatal(err)
	}
	c := resolve.Config{
		Network: w.in, Memory: memory, Anchors: anchors, Aggressive: true,
		Hints: []resolve.Hint{{Name: dns.MustName("a.root"), Addrs: []netip.Addr{netip.MustParseAddr(rootServer)}}},
	}
	if change != nil {
		change(&c)
	}
	w.unvalidated = len(c.Anchors) == 0
	w.cache, w.core = memory, resolve.New(c)
}

// note keeps what is sent.
func (w *world) note(e simnet.Event) {
	if e.What != simnet.Sent && e.What != simnet.NoServer && e.What != simnet.Refused {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sent = append(w.sent, message{e.Server.String(), e.TCP, e.Name, e.Type, bytes.Clone(e.Bytes)})
}

// queries are those sent so far that fit.
func (w *world) queries(fits func(message) bool) []message {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []message
	for _, m := range w.sent {
		if fits(m) {
			out = append(out, m)
		}
	}
	return out
}

func (w *world) forget() {
	w.mu.Lock()
	w.sent = nil
	w.mu.Unlock()
}

// server puts a server of the attacker's making at an address.
func (w *world) server(addr string, h simnet.Handler) {
	w.in.Handle(h, netip.MustParseAddr(addr))
}

// evil puts one at both addresses of evil.test.
func (w *world) evil(h simnet.Handler) {
	w.server(evilServer, h)
	w.server(evilSecond, h)
}

// script is a server in terms of messages: what it returns is sent, compressed, truncated
// where it is too long for UDP.
func script(f func(q *mdns.Msg, tcp bool) []*mdns.Msg) simnet.Handler {
	return func(query simnet.Query) []simnet.Reply {
		q := new(mdns.Msg)
		if q.Unpack(query.Bytes) != nil {
			return nil
		}
		var out []simnet.Reply
		for _, m := range f(q, query.TCP) {
			m.Compress = true
			b, err := m.Pack()
			if err == nil && !query.TCP && len(b) > 1232 {
				m.Answer, m.Ns, m.Extra, m.Truncated = nil, nil, nil, true
				b, err = m.Pack()
			}
			if err != nil {
				panic(err)
			}
			out = append(out, simnet.Reply{Bytes: b})
		}
		return out
	}
}

// altering is the server of a zone whose replies are changed on their way.
func altering(z *simnet.Zone, change func(m *mdns.Msg)) simnet.Handler {
	honest := simnet.Authoritative(z)
	return func(q simnet.Query) []simnet.Reply {
		over := q
		over.TCP = true // whole, not truncated
		replies := honest(over)
		for i := range replies {
			m := new(mdns.Msg)
			if m.Unpack(replies[i].Bytes) != nil {
				continue
			}
			change(m)
			m.Compress = true
			if b, err := m.Pack(); err == nil {
				replies[i].Bytes = b
			}
		}
		return replies
	}
}

// reply is the beginning of an authoritative reply.
func reply(q *mdns.Msg) *mdns.Msg {
	m := new(mdns.Msg).SetReply(q)
	m.Authoritative = true
	if q.IsEdns0() != nil {
		m.SetEdns0(1232, true)
	}
	return m
}

func rr(text string) mdns.RR {
	r, err := mdns.NewRR(text)
	if err != nil {
		panic(err)
	}
	return r
}

// cost is what one request took.
type cost struct {
	queries, verifications, failures, hashes int
	answers                                  int // put into the cache
	took                                     time.Duration
}

func (c cost) String() string {
	return fmt.Sprintf("%d queries, %d verifications (%d failed), %d hashes, %d answers kept, %v",
		c.queries, c.verifications, c.failures, c.hashes, c.answers, c.took)
}

// ask puts a question and demands that it cost no more than any may.
func (w *world) ask(name string, t dns.Type) (*answer.Answer, cost) {
	w.Helper()
	before, held, start := w.core.Stats(), w.cache.Stats().Puts, time.Now()
	queries := w.in.Queries()
	a := w.core.Resolve(w.Context(), dns.MustName(name), t)
	c := cost{took: time.Since(start)}
	synctest.Wait()
	after := w.core.Stats()
	c.queries = int(w.in.Queries() - queries)
	c.verifications = int(after.Verifications - before.Verifications)
	c.failures = int(after.Failures - before.Failures)
	c.hashes = int(after.Hashes - before.Hashes)
	c.answers = int(w.cache.Stats().Puts - held)
	if c.queries > mostQueries || c.verifications > mostVerifications || c.failures > mostFailures ||
		c.hashes > mostHashes || c.answers > mostAnswers || c.took > mostWall+time.Second {
		w.Errorf("%s %s: %v: more than any request may", name, t, c)
	}
	return a, c
}

// denied asks a question that must find no answer that a validating client is given, and
// asks again at once: the failure is remembered.
func (w *world) denied(name string, t dns.Type) (*answer.Answer, cost) {
	w.Helper()
	a, c := w.ask(name, t)
	if a.RCode() != dns.RCodeServerFailure && !a.Status().IsBogus() {
		w.Errorf("%s %s: %s %s %v, want SERVFAIL", name, t, a.RCode(), a.Status(), texts(a.Answer()))
	}
	if _, again := w.ask(name, t); again.queries+again.verifications+again.hashes > 0 {
		w.Errorf("%s %s: asked again at once: %v", name, t, again)
	}
	return a, c
}

// truth asks a question and demands the true answer, with its status.
func (w *world) truth(name string, t dns.Type) cost {
	w.Helper()
	a, c := w.ask(name, t)
	if err := isTrue(a, w.tree, !w.unvalidated); err != nil {
		code, text, _ := a.Error()
		w.Errorf("%v (%s: %s)", err, code, text)
	}
	return c
}

// unpoisoned demands that nothing in memory leads to the forged address.
func (w *world) unpoisoned(names ...string) {
	w.Helper()
	for _, name := range names {
		for _, t := range []dns.Type{dns.TypeA, dns.TypeNS, dns.TypeCNAME} {
			a, _ := w.cache.Get(dns.MustName(name), t, time.Now())
			if a == nil {
				continue
			}
			if text := strings.Join(slices.Concat(texts(a.Answer()), texts(a.Authority())), "\n"); strings.Contains(text, forged) || strings.Contains(text, "forged") {
				w.Errorf("%s %s in the cache: %s", name, t, text)
			}
		}
	}
}

func texts(rrs []dns.RR) (out []string) {
	for i := range rrs {
		out = append(out, rrs[i].String())
	}
	return out
}

// presented is an answer section as the yardstick has it: no signatures, no TTLs.
func presented(a *answer.Answer) []string {
	var out []string
	for _, rr := range a.Answer() {
		if rr.Type == dns.TypeRRSIG && a.Type() != dns.TypeRRSIG {
			continue
		}
		m, _, err := mdns.UnpackRR(rr.AppendCanonical(nil, 0), 0)
		if err != nil {
			return []string{err.Error()}
		}
		out = append(out, plain(m.String()))
	}
	slices.Sort(out)
	return out
}

func plain(s string) string {
	f := strings.Fields(strings.ToLower(s))
	f[1] = ""
	return strings.Join(f, " ")
}

// isTrue compares an answer with what the zones hold, and its status where it was validated.
func isTrue(a *answer.Answer, tree *simnet.Tree, validated bool) error {
	truth, err := tree.Truth(a.Name().String(), a.Type().String(), time.Now())
	if err != nil {
		return err
	}
	var want []string
	for _, s := range truth.Answer {
		want = append(want, plain(s))
	}
	slices.Sort(want)
	// The keys of a zone whose other signatures are broken may themselves be in order.
	keys := a.Type() == dns.TypeDNSKEY && truth.Status == "bogus"
	if validated && !keys && a.Status().String() != truth.Status {
		return fmt.Errorf("%s %s: %s (%s), the zones say %s", a.Name(), a.Type(), a.Status(), a.Status().Reason(), truth.Status)
	}
	if got := presented(a); a.RCode().String() != truth.RCode || !slices.Equal(got, want) {
		return fmt.Errorf("%s %s: %s %q, the zones say %s %q", a.Name(), a.Type(), a.RCode(), got, truth.RCode, want)
	}
	return nil
}

// noFaults is a network without delays.
var noFaults simnet.Faults

type (
	simnetQuery = simnet.Query
	simnetReply = simnet.Reply
)

// pass lets time pass.
func (w *world) pass(d time.Duration) { time.Sleep(d) }

// slow lets a server think before each reply.
func (w *world) slow(addr string, by time.Duration) {
	w.in.Server(netip.MustParseAddr(addr)).SetFaults(simnet.Faults{Latency: 2 * time.Millisecond, Slow: by})
}

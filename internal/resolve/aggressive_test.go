package resolve

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/shoji-dns/shoji/internal/answer"
	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/dnssec"
	"github.com/shoji-dns/shoji/internal/simnet"
)

// denying is a resolver that uses denials, of the islands one. and two.
type denying struct {
	*testing.T
	in  *simnet.Internet
	mem *memory
	r   *Resolver
}

func newDenying(t *testing.T, one simnet.Signing, change ...func(*Config)) *denying {
	c, tree := islands(t, one, aDay())
	c.Anchors, c.Aggressive = anchorsOf(t, tree, false, "one.", "two."), true
	for _, f := range change {
		f(&c)
	}
	return &denying{t, c.Network.(*simnet.Internet), c.Memory.(*memory), New(c)}
}

// ask resolves and returns what it cost.
func (d *denying) ask(name string, t dns.Type) (*answer.Answer, uint64) {
	d.Helper()
	before := d.in.Queries()
	a := d.r.Resolve(d.Context(), dns.MustName(name), t)
	return a, d.in.Queries() - before
}

// want resolves a question that costs so many queries.
func (d *denying) want(name string, t dns.Type, rcode dns.RCode, queries uint64) *answer.Answer {
	d.Helper()
	a, n := d.ask(name, t)
	if a.RCode() != rcode || n != queries {
		d.Errorf("%s %s: %s %s after %d queries; want %s after %d", name, t, a.RCode(), a.Status(), n, rcode, queries)
	}
	return a
}

func (d *denying) pass(t time.Duration) {
	time.Sleep(t)
	synctest.Wait()
}

// One denial answers for every name in its span, with its proof, until its time is over,
// and without a place in memory.
func TestDenialsAnswerForOtherNames(t *testing.T) {
	story(t, func(t *testing.T) {
		d := newDenying(t, aDay())
		d.ask("www.one", dns.TypeA)
		d.want("p.one", dns.TypeA, dns.RCodeNameError, 1)
		d.pass(20 * time.Second)
		a := d.want("q.r.one", dns.TypeAAAA, dns.RCodeNameError, 0)
		var sections []string
		for _, rr := range a.Authority() {
			sections = append(sections, rr.Type.String())
			if rr.TTL != 40 {
				t.Errorf("%v has not 40 s to live", rr)
			}
		}
		if !a.Status().IsSecure() || a.TTL() != 40*time.Second || strings.Join(sections, " ") != "SOA RRSIG NSEC RRSIG NSEC RRSIG" {
			t.Errorf("%s for %v: %v", a.Status(), a.TTL(), a.Authority())
		}
		if _, ok := d.mem.Get(dns.MustName("q.r.one"), dns.TypeAAAA, time.Now()); ok {
			t.Error("it is in memory")
		}
		d.want("www.one", dns.TypeTXT, dns.RCodeSuccess, 1)
		d.want("www.one", dns.TypeMX, dns.RCodeSuccess, 0)
		if a := d.want("www.one", dns.TypeA, dns.RCodeSuccess, 0); len(a.Answer()) == 0 {
			t.Error("www.one is denied")
		}
		d.want("p.two", dns.TypeA, dns.RCodeNameError, 3) // its referral, its keys, and the question
		d.pass(41 * time.Second)
		d.want("q.one", dns.TypeA, dns.RCodeNameError, 1)
	})
}

// What is proven by NSEC3 is used too, but not where it leaves out unsigned delegations.
func TestHashedDenials(t *testing.T) {
	for _, optOut := range []bool{false, true} {
		story(t, func(t *testing.T) {
			s := aDay()
			s.NSEC3 = &simnet.NSEC3{OptOut: optOut}
			d := newDenying(t, s)
			d.ask("www.one", dns.TypeA)
			spared := 0
			for i := range 60 {
				a, n := d.ask(fmt.Sprintf("n%d.one", i), dns.TypeA)
				if a.RCode() != dns.RCodeNameError || a.Status().IsSecure() == optOut {
					t.Fatalf("%s: %s %s", a.Name(), a.RCode(), a.Status())
				}
				if n == 0 {
					spared++
				}
			}
			if optOut && spared > 0 || !optOut && spared < 40 {
				t.Errorf("opt-out %t: %d of 60 questions spared", optOut, spared)
			}
		})
	}
}

// A forwarder is not asked what its own denials have answered.
func TestDenialsFromAForwarder(t *testing.T) {
	story(t, func(t *testing.T) {
		d := newDenying(t, aDay(), func(c *Config) { c.Zones = forwarded("192.0.2.2") })
		d.ask("www.one", dns.TypeA)
		d.want("p.one", dns.TypeA, dns.RCodeNameError, 1)
		d.want("q.one", dns.TypeA, dns.RCodeNameError, 0)
	})
}

// What is switched off or exempt is asked.
func TestDenialsAreNotUsed(t *testing.T) {
	for what, change := range map[string]func(*Config){
		"switched off": func(c *Config) { c.Aggressive = false },
		"exempt":       func(c *Config) { c.Exempt = []dns.Name{dns.MustName("x.one")} },
	} {
		story(t, func(t *testing.T) {
			d := newDenying(t, aDay(), change)
			d.ask("www.one", dns.TypeA)
			d.ask("p.x.one", dns.TypeA)
			if _, n := d.ask("q.x.one", dns.TypeA); n == 0 {
				t.Errorf("%s: nobody was asked", what)
			}
		})
	}
}

// A flood of random names below a signed zone ends at the resolver.
func TestRandomNamesAreNotAsked(t *testing.T) {
	story(t, func(t *testing.T) {
		d := newDenying(t, aDay())
		d.ask("www.one", dns.TypeA)
		before := d.in.Queries()
		for i := range 2000 {
			d.ask(fmt.Sprintf("%x.one", i*7919), dns.TypeA)
		}
		if n := d.in.Queries() - before; n > 10 {
			t.Errorf("%d queries for 2,000 names", n)
		}
		if on := d.r.footing.Load(); on.denials.n > 10 {
			t.Errorf("%d denials kept", on.denials.n)
		}
	})
}

// Anchors that change take what stood on them along.
func TestDenialsGoWithTheirAnchor(t *testing.T) {
	story(t, func(t *testing.T) {
		d := newDenying(t, aDay())
		d.ask("www.one", dns.TypeA)
		d.ask("p.one", dns.TypeA)
		d.want("q.one", dns.TypeA, dns.RCodeNameError, 0)
		d.r.anchor(dns.MustName("one"), nil)
		if a := d.want("r.one", dns.TypeA, dns.RCodeNameError, 1); !a.Status().IsIndeterminate() {
			t.Errorf("%s", a.Status())
		}
	})
}

// flipping changes the RCODE of replies without data.
func flipping(rcode int) func(simnet.Handler) simnet.Handler {
	return func(h simnet.Handler) simnet.Handler {
		return func(q simnet.Query) []simnet.Reply {
			replies := h(q)
			for i := range replies {
				m := new(mdns.Msg)
				if m.Unpack(replies[i].Bytes) != nil || len(m.Answer) > 0 {
					continue
				}
				m.Rcode = rcode
				replies[i].Bytes, _ = m.Pack()
			}
			return replies
		}
	}
}

// The RCODE is not signed. Where a reply's proofs say that the name exists, NXDOMAIN is not
// passed on as secure.
func TestForgedRCode(t *testing.T) {
	story(t, func(t *testing.T) {
		c, tree := islands(t, aDay(), aDay())
		c.Anchors = anchorsOf(t, tree, false, "one.")
		c.Network.(*simnet.Internet).Handle(flipping(mdns.RcodeNameError)(simnet.Authoritative(tree.Zone("one."))), netip.MustParseAddr("192.0.2.2"))
		a := New(c).Resolve(t.Context(), dns.MustName("www.one"), dns.TypeTXT)
		if a.RCode() != dns.RCodeSuccess || !a.Status().IsSecure() {
			t.Errorf("%s %s", a.RCode(), a.Status())
		}
	})
}

// labQuestions are names of the lab that exist and names beside them that do not.
func labQuestions(in *simnet.Internet, rng *rand.Rand) []question {
	types := []dns.Type{dns.TypeA, dns.TypeAAAA, dns.TypeTXT, dns.TypeNS, dns.TypeDS, dns.TypeCNAME, dns.TypeDNSKEY, dns.TypeSOA}
	var out []question
	for _, z := range in.Tree().Zones() {
		for _, text := range z.Records() {
			name := dns.MustName(strings.Fields(text)[0]).Canonical()
			for range 3 {
				out = append(out, question{name, types[rng.IntN(len(types))]})
			}
			if child, err := name.Child(fmt.Sprintf("x%d", rng.IntN(100))); err == nil {
				out = append(out, question{child, dns.TypeA})
			}
		}
	}
	rng.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

// With denials used, every answer of the lab is still what its zones say, in any order of
// questions, and many are had without asking.
func TestDenialsTellTheTruth(t *testing.T) {
	spared := uint64(0)
	for seed := range uint64(6) {
		story(t, func(t *testing.T) {
			in := simnet.Lab(seed, time.Now())
			r := New(Config{Network: in, Memory: newMemory(), Hints: labHints(), Anchors: labAnchors(t, seed), Aggressive: true})
			for _, q := range labQuestions(in, rand.New(rand.NewPCG(seed, 1))) {
				a := r.Resolve(t.Context(), q.name, q.typ)
				if a.RCode() == dns.RCodeServerFailure || a.Status().IsBogus() {
					continue
				}
				if err := isTrue(a, in.Tree()); err != nil {
					t.Error(err)
				}
			}
			spared += r.Stats().Synthesised
		})
	}
	if spared < 100 {
		t.Errorf("%d answers from denials", spared)
	}
}

// BenchmarkColdBesideDenials is BenchmarkCold with trust anchors elsewhere, without and with
// the use of denials of another zone: what unsigned names pay for it. BenchmarkDenied is
// an answer out of denials; nobody is asked.
func BenchmarkColdBesideDenials(b *testing.B) {
	for _, on := range []bool{false, true} {
		b.Run(fmt.Sprint(on), func(b *testing.B) {
			r := New(Config{Network: newWildcard(), Memory: discard{}, Hints: hints(rootAddr), Anchors: someAnchor(b), Aggressive: on})
			if on {
				r.footing.Load().denials.put(chainOf(b, "a.", 20, false), nil, denialsBorn.Add(time.Hour))
			}
			name := make([]dns.Name, 1024)
			for i := range name {
				name[i] = dns.MustName(fmt.Sprintf("n%d.shop.test", i))
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if a := r.Resolve(b.Context(), name[i%len(name)], dns.TypeA); len(a.Answer()) != 1 {
					b.Fatal(a.RCode())
				}
			}
		})
	}
}

func someAnchor(t testing.TB) []dnssec.Anchor {
	anchors, err := dnssec.ParseAnchors("a. DS 1 13 2 " + strings.Repeat("ab", 32))
	if err != nil {
		t.Fatal(err)
	}
	return anchors
}

func BenchmarkDenied(b *testing.B) {
	now := time.Now()
	s := simnet.Signing{Inception: now.Add(-time.Hour), Expiration: now.Add(24 * time.Hour)}
	tree, err := simnet.Build(1, simnet.Spec{Origin: ".", Signing: &s, Text: ". SOA a.root. h. 1 1 1 1 3600\n. NS a.root.\na.root. A 192.0.2.1\nz. A 192.0.2.2\n"})
	if err != nil {
		b.Fatal(err)
	}
	in := simnet.New(1)
	in.Serve([]*simnet.Zone{tree.Zone(".")}, netip.MustParseAddr(rootAddr))
	anchor, err := tree.Anchor(".")
	if err != nil {
		b.Fatal(err)
	}
	anchors, err := dnssec.ParseAnchors(anchor.DS[0].String())
	if err != nil {
		b.Fatal(err)
	}
	r := New(Config{Network: in, Memory: newMemory(), Hints: hints(rootAddr), Anchors: anchors, Aggressive: true})
	name := dns.MustName("some.name.in.b")
	r.Resolve(b.Context(), name, dns.TypeA)
	b.ReportAllocs()
	for b.Loop() {
		if a := r.Resolve(b.Context(), name, dns.TypeTXT); a.RCode() != dns.RCodeNameError || !a.Status().IsSecure() {
			b.Fatal(a.RCode())
		}
	}
	if n := in.Queries(); n > 10 {
		b.Errorf("%d queries", n)
	}
}

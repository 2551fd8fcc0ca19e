package resolve

import (
	"context"
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
	"github.com/shoji-dns/shoji/internal/dns"
)

// story runs a test in a bubble of its own time.
func story(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}

func TestFromTheRootDown(t *testing.T) {
	story(t, func(t *testing.T) {
		l := newLab(t, standard())
		l.want(l.ask("WWW.shop.test", dns.TypeA), dns.RCodeSuccess, "www.shop.test. A 198.51.100.1")
		want := []asked{
			{rootAddr, ".", "NS", false, true},
			{rootAddr, "test.", "A", false, true},
			{testAddr, "shop.test.", "A", false, true},
			{shopAddr, "www.shop.test.", "A", false, true},
		}
		if got := l.net.queries(); !slices.Equal(got, want) {
			t.Errorf("asked %v\nwant %v", got, want)
		}
		l.net.forget()
		l.want(l.ask("www.shop.test", dns.TypeA), dns.RCodeSuccess, "www.shop.test. A 198.51.100.1")
		if n := len(l.net.queries()); n != 0 {
			t.Errorf("%d queries for an answer in memory", n)
		}
		l.want(l.ask("nope.shop.test", dns.TypeA), dns.RCodeNameError)
		if got := l.net.queries(); len(got) != 1 || got[0].server != shopAddr {
			t.Errorf("a known zone cut was not used: %v", got)
		}
	})
}

func TestGlueIsNoAnswer(t *testing.T) {
	story(t, func(t *testing.T) {
		n := standard()
		n.serve(shopAddr, strings.ReplaceAll(shopZone, "ns.shop.test. 3600 A 192.0.2.3", "ns.shop.test. 3600 A 192.0.2.33"))
		l := newLab(t, n)
		l.ask("www.shop.test", dns.TypeA)
		if l.mem.holds("192.0.2.3") {
			t.Error("glue is in memory")
		}
		l.want(l.ask("ns.shop.test", dns.TypeA), dns.RCodeSuccess, "ns.shop.test. A 192.0.2.33")
	})
}

func TestMissingGlueIsLookedUp(t *testing.T) {
	story(t, func(t *testing.T) {
		n := standard()
		n.serve(testAddr, testZone+"lone.test. 3600 NS dns.shop.test.\n")
		n.serve(shopAddr, shopZone+"dns.shop.test. 60 A 192.0.2.4\n")
		n.serve("192.0.2.4", "lone.test. 3600 SOA a. b. 1 1 1 1 60\nwww.lone.test. 300 A 198.51.100.9\n")
		l := newLab(t, n)
		l.want(l.ask("www.lone.test", dns.TypeA), dns.RCodeSuccess, "www.lone.test. A 198.51.100.9")
	})
}

func TestPoisonOutsideTheBailiwickIsIgnored(t *testing.T) {
	story(t, func(t *testing.T) {
		n := standard()
		honest := authority(shopZone)
		n.handle(shopAddr, func(q *mdns.Msg, tcp bool) []*mdns.Msg {
			m := honest(q, tcp)[0]
			for _, s := range []string{"www.bank.test. 300 A 203.0.113.66", "shop.test. 300 A 203.0.113.66"} {
				m.Answer = append(m.Answer, rr(s))
			}
			m.Ns = append(m.Ns, rr("test. 300 NS ns.evil.test."), rr("shop.test. 300 NS ns.evil.test."), rr("bank.test. 300 NS ns.evil.test."))
			m.Extra = append(m.Extra, rr("ns.evil.test. 300 A 203.0.113.66"), rr("ns.test. 300 A 203.0.113.66"), rr("ns.shop.test. 300 A 203.0.113.66"))
			return []*mdns.Msg{m}
		})
		l := newLab(t, n)
		l.want(l.ask("www.shop.test", dns.TypeA), dns.RCodeSuccess, "www.shop.test. A 198.51.100.1")
		l.ask("alias.shop.test", dns.TypeA)
		l.ask("nope.shop.test", dns.TypeA)
		l.want(l.ask("www.bank.test", dns.TypeA), dns.RCodeNameError)
		l.ask("nope.test", dns.TypeA)
		if l.mem.holds("203.0.113.66") || l.mem.holds("evil") {
			t.Error("poison is in memory")
		}
		if c := n.count(func(a asked) bool { return a.server == "203.0.113.66" }); c != 0 {
			t.Error("the forger's server was asked")
		}
	})
}

func TestLameServersAreSkipped(t *testing.T) {
	up := func(q *mdns.Msg, tcp bool) []*mdns.Msg { // refers to the root
		m := new(mdns.Msg).SetReply(q)
		m.Ns = append(m.Ns, rr(". 300 NS a.root."))
		return []*mdns.Msg{m}
	}
	same := func(q *mdns.Msg, tcp bool) []*mdns.Msg { // refers to itself
		m := new(mdns.Msg).SetReply(q)
		m.Ns = append(m.Ns, rr("shop.test. 300 NS ns.shop.test."))
		return []*mdns.Msg{m}
	}
	side := func(q *mdns.Msg, tcp bool) []*mdns.Msg {
		m := new(mdns.Msg).SetReply(q)
		m.Ns = append(m.Ns, rr("other.test. 300 NS ns.other.test."))
		return []*mdns.Msg{m}
	}
	refused := func(q *mdns.Msg, tcp bool) []*mdns.Msg {
		return []*mdns.Msg{new(mdns.Msg).SetRcode(q, mdns.RcodeRefused)}
	}
	recursive := func(q *mdns.Msg, tcp bool) []*mdns.Msg {
		m := new(mdns.Msg).SetReply(q)
		m.RecursionAvailable = true
		m.Answer = append(m.Answer, rr(q.Question[0].Name+" 300 A 203.0.113.1"))
		return []*mdns.Msg{m}
	}
	for name, h := range map[string]handler{"upward": up, "itself": same, "sideways": side, "refused": refused, "recursive": recursive} {
		t.Run(name, func(t *testing.T) {
			story(t, func(t *testing.T) {
				n := standard()
				n.serve(testAddr, testZone+"shop.test. 3600 NS ns2.shop.test.\nns2.shop.test. 3600 A 192.0.2.13\n")
				n.handle("192.0.2.13", h)
				l := newLab(t, n)
				for i := range 30 {
					l.want(l.ask(fmt.Sprintf("n%d.shop.test", i), dns.TypeTXT), dns.RCodeNameError)
				}
				if name == "recursive" {
					return // not lame for good: it is passed over at each question
				}
				if c := n.count(func(a asked) bool { return a.server == "192.0.2.13" }); c > 1 {
					t.Errorf("the lame server was asked %d times", c)
				}
			})
		})
	}
}

func TestAliasesAreFollowedAcrossZones(t *testing.T) {
	story(t, func(t *testing.T) {
		n := standard()
		n.serve(testAddr, testZone+"cdn.test. 3600 NS ns.cdn.test.\nns.cdn.test. 60 A 192.0.2.5\n")
		n.serve(shopAddr, shopZone+"img.shop.test. 60 CNAME edge.cdn.test.\n")
		n.serve("192.0.2.5", "cdn.test. 3600 SOA a. b. 1 1 1 1 60\nedge.cdn.test. 30 CNAME alias.shop.test.\n")
		l := newLab(t, n)
		chain := []string{
			"img.shop.test. CNAME edge.cdn.test.", "edge.cdn.test. CNAME alias.shop.test.",
			"alias.shop.test. CNAME www.shop.test.", "www.shop.test. A 198.51.100.1",
		}
		a := l.ask("img.shop.test", dns.TypeA)
		l.want(a, dns.RCodeSuccess, chain...)
		if a.TTL() != 30*time.Second {
			t.Errorf("TTL %v: want the chain's least", a.TTL())
		}
		n.forget()
		l.want(l.ask("edge.cdn.test", dns.TypeA), dns.RCodeSuccess, chain[1:]...)
		l.want(l.ask("alias.shop.test", dns.TypeA), dns.RCodeSuccess, chain[2:]...)
		l.want(l.ask("img.shop.test", dns.TypeCNAME), dns.RCodeSuccess, chain[0])
		l.want(l.ask("alias.shop.test", dns.TypeCNAME), dns.RCodeSuccess, chain[2])
		if got := n.queries(); len(got) != 0 {
			t.Errorf("asked again what the chain had told: %v", got)
		}
		// Another type: the links are known, the end is not.
		a = l.ask("img.shop.test", dns.TypeAAAA)
		l.want(a, dns.RCodeSuccess, chain[:3]...)
		if len(a.Authority()) == 0 || a.Authority()[0].Type != dns.TypeSOA {
			t.Error("no SOA with a negative end of a chain")
		}
		time.Sleep(31 * time.Second)
		n.forget()
		l.want(l.ask("img.shop.test", dns.TypeA), dns.RCodeSuccess, chain...)
		if c := n.count(func(a asked) bool { return a.server == "192.0.2.5" }); c != 1 {
			t.Errorf("the expired link was asked %d times", c)
		}
	})
}

func TestLoopsAndLongChainsEnd(t *testing.T) {
	story(t, func(t *testing.T) {
		n := standard()
		z := shopZone + "l1.shop.test. 60 CNAME l2.shop.test.\nl2.shop.test. 60 CNAME l1.shop.test.\nself.shop.test. 60 CNAME self.shop.test.\n" +
			"d.shop.test. 60 DNAME e.d.shop.test.\n"
		for i := range 20 {
			z += fmt.Sprintf("c%d.shop.test. 60 CNAME c%d.shop.test.\n", i, i+1)
		}
		n.serve(shopAddr, z)
		l := newLab(t, n)
		for _, name := range []string{"l1.shop.test", "self.shop.test", "c0.shop.test", "x.d.shop.test"} {
			n.forget()
			l.want(l.ask(name, dns.TypeA), dns.RCodeServerFailure)
			if c := len(n.queries()); c > 2*maxLinks {
				t.Errorf("%s: %d queries", name, c)
			}
			n.forget()
			l.want(l.ask(name, dns.TypeA), dns.RCodeServerFailure)
			if c := len(n.queries()); c != 0 {
				t.Errorf("%s: the failure was not remembered", name)
			}
		}
		l.want(l.ask("c10.shop.test", dns.TypeTXT), dns.RCodeNameError,
			"c10.shop.test. CNAME c11.shop.test.", "c11.shop.test. CNAME c12.shop.test.", "c12.shop.test. CNAME c13.shop.test.", "c13.shop.test. CNAME c14.shop.test.",
			"c14.shop.test. CNAME c15.shop.test.", "c15.shop.test. CNAME c16.shop.test.", "c16.shop.test. CNAME c17.shop.test.", "c17.shop.test. CNAME c18.shop.test.",
			"c18.shop.test. CNAME c19.shop.test.", "c19.shop.test. CNAME c20.shop.test.")
	})
}

func TestDNAME(t *testing.T) {
	story(t, func(t *testing.T) {
		n := standard()
		n.serve(shopAddr, shopZone+"old.shop.test. 60 DNAME shop.test.\nlong.shop.test. 60 DNAME "+strings.Repeat("a23456789012345678901234567890.", 7)+"shop.test.\n")
		l := newLab(t, n)
		a := l.ask("www.old.shop.test", dns.TypeA)
		l.want(a, dns.RCodeSuccess, "old.shop.test. DNAME shop.test.", "www.old.shop.test. CNAME www.shop.test.", "www.shop.test. A 198.51.100.1")
		if a.Answer()[1].TTL != 60 {
			t.Errorf("synthesised CNAME has TTL %d", a.Answer()[1].TTL)
		}
		l.want(l.ask("old.shop.test", dns.TypeDNAME), dns.RCodeSuccess, "old.shop.test. DNAME shop.test.")
		l.want(l.ask("old.shop.test", dns.TypeA), dns.RCodeSuccess)
		a = l.ask(strings.Repeat("b", 40)+".long.shop.test", dns.TypeA)
		if a.RCode() != dns.RCodeYXDomain {
			t.Errorf("name too long after DNAME: %s", a.RCode())
		}
	})
}

func TestNegativeAnswersLastAsTheSOASays(t *testing.T) {
	story(t, func(t *testing.T) {
		n := standard()
		l := newLab(t, n)
		for _, name := range []string{"nope.shop.test", "www.shop.test"} {
			a := l.ask(name, dns.TypeTXT)
			if a.TTL() != 600*time.Second || len(a.Authority()) != 1 || a.Authority()[0].TTL != 600 {
				t.Errorf("%s: TTL %v, authority %v", name, a.TTL(), a.Authority())
			}
		}
		n.forget()
		time.Sleep(599 * time.Second)
		l.want(l.ask("nope.shop.test", dns.TypeTXT), dns.RCodeNameError)
		if len(n.queries()) != 0 {
			t.Error("asked before the denial's time was over")
		}
		time.Sleep(2 * time.Second)
		l.want(l.ask("nope.shop.test", dns.TypeTXT), dns.RCodeNameError)
		if len(n.queries()) == 0 {
			t.Error("not asked after the denial's time was over")
		}
	})
}

func TestFailuresAreRememberedLongerEachTime(t *testing.T) {
	story(t, func(t *testing.T) {
		n := standard()
		n.handle(shopAddr, func(q *mdns.Msg, tcp bool) []*mdns.Msg {
			return []*mdns.Msg{new(mdns.Msg).SetRcode(q, mdns.RcodeServerFailure)}
		})
		l := newLab(t, n)
		var last time.Duration
		for range 8 {
			a := l.ask("www.shop.test", dns.TypeA)
			l.want(a, dns.RCodeServerFailure)
			if a.TTL() < time.Second || a.TTL() > maxFailure || a.TTL() < last {
				t.Errorf("failure lasts %v after %v", a.TTL(), last)
			}
			last = a.TTL()
			n.forget()
			l.want(l.ask("www.shop.test", dns.TypeA), dns.RCodeServerFailure)
			if len(n.queries()) != 0 {
				t.Error("asked again at once")
			}
			time.Sleep(a.TTL())
		}
		if last != maxFailure {
			t.Errorf("last failure lasts %v", last)
		}
	})
}

func TestTruncatedGoesToTCP(t *testing.T) {
	story(t, func(t *testing.T) {
		n := standard()
		h := authority(shopZone)
		n.handle(shopAddr, func(q *mdns.Msg, tcp bool) []*mdns.Msg {
			m := h(q, tcp)
			if !tcp {
				m[0].Truncated, m[0].Answer = true, nil
			}
			return m
		})
		l := newLab(t, n)
		l.want(l.ask("www.shop.test", dns.TypeA), dns.RCodeSuccess, "www.shop.test. A 198.51.100.1")
		if n.count(func(a asked) bool { return a.tcp }) != 1 {
			t.Errorf("asked %v", n.queries())
		}
	})
}

func TestABrokenAddressFamilyCostsNoAnswer(t *testing.T) {
	for _, silent := range []bool{true, false} {
		for _, dead := range []string{"6", "4"} {
			story(t, func(t *testing.T) {
				six := []string{"2001:db8::1", "2001:db8::2", "2001:db8::3"}
				n := newInternet()
				n.serve(rootAddr+" "+six[0], rootZone+"ns.test. 60 AAAA 2001:db8::2\na.root. 60 AAAA 2001:db8::1\n")
				n.serve(testAddr+" "+six[1], testZone+"ns.shop.test. 60 AAAA 2001:db8::3\n")
				n.serve(shopAddr+" "+six[2], shopZone)
				broken := six
				if dead == "4" {
					broken = []string{rootAddr, testAddr, shopAddr}
				}
				for _, a := range broken {
					delete(n.servers, netip.MustParseAddr(a))
					if silent {
						n.handle(a, func(*mdns.Msg, bool) []*mdns.Msg { return nil })
					}
				}
				l := newLab(t, n, func(c *Config) { c.Hints = hints(rootAddr, six[0]) })
				start := time.Now()
				l.want(l.ask("www.shop.test", dns.TypeA), dns.RCodeSuccess, "www.shop.test. A 198.51.100.1")
				if d := time.Since(start); d > 4*unknownRTO {
					t.Errorf("took %v with a broken IPv%s", d, dead)
				}
				for i := range 50 {
					l.want(l.ask(fmt.Sprintf("n%d.shop.test", i), dns.TypeTXT), dns.RCodeNameError)
				}
				start = time.Now()
				for i := range 100 {
					l.want(l.ask(fmt.Sprintf("m%d.shop.test", i), dns.TypeTXT), dns.RCodeNameError)
				}
				if d := time.Since(start); d > 10*unknownRTO {
					t.Errorf("100 answers took %v with a broken IPv%s", d, dead)
				}
			})
		}
	}
}

func TestEmptyNonTerminalsThatAreDenied(t *testing.T) {
	for _, mode := range []Minimise{MinimiseRelaxed, MinimiseStrict, MinimiseOff} {
		story(t, func(t *testing.T) {
			n := standard()
			h := authority(shopZone)
			n.handle(shopAddr, func(q *mdns.Msg, tcp bool) []*mdns.Msg {
				m := h(q, tcp)
				if len(m[0].Answer) == 0 {
					m[0].Rcode = mdns.RcodeNameError
				}
				return m
			})
			l := newLab(t, n, func(c *Config) { c.Minimise = mode })
			a := l.ask("a.b.c.shop.test", dns.TypeA)
			if mode == MinimiseStrict {
				l.want(a, dns.RCodeNameError)
				return
			}
			l.want(a, dns.RCodeSuccess, "a.b.c.shop.test. A 198.51.100.2")
			long := n.count(func(a asked) bool { return a.name == "a.b.c.shop.test." && a.server != shopAddr })
			if (long == 0) != (mode == MinimiseRelaxed) {
				t.Errorf("mode %d: the whole name went to %d servers above", mode, long)
			}
		})
	}
}

func TestMinimisationIsBounded(t *testing.T) {
	story(t, func(t *testing.T) {
		n := standard()
		n.serve(shopAddr, shopZone+strings.Repeat("x.", 100)+"shop.test. 60 A 198.51.100.7\n_a._b._c.shop.test. 60 TXT u\n")
		l := newLab(t, n)
		a := l.ask(strings.Repeat("x.", 100)+"shop.test", dns.TypeA)
		if a.RCode() != dns.RCodeSuccess || len(a.Answer()) != 1 {
			t.Fatalf("%v", a)
		}
		if c := len(n.queries()); c > maxMinimise+3 {
			t.Errorf("%d queries", c)
		}
		n.forget()
		l.want(l.ask("_a._b._c.shop.test", dns.TypeTXT), dns.RCodeSuccess, `_a._b._c.shop.test. TXT "u"`)
		if got := n.queries(); len(got) != 1 {
			t.Errorf("asked %v", got)
		}
	})
}

func TestIdenticalQuestionsAreAskedOnce(t *testing.T) {
	story(t, func(t *testing.T) {
		n := standard()
		for _, a := range []string{rootAddr, testAddr, shopAddr} {
			n.delay[netip.MustParseAddr(a)] = 20 * time.Millisecond
		}
		l := newLab(t, n)
		first, cancel := context.WithCancel(t.Context())
		answers := make([]*answer.Answer, 100)
		var wg sync.WaitGroup
		for i := range answers {
			wg.Go(func() {
				ctx := t.Context()
				if i == 0 {
					ctx = first
				}
				answers[i] = l.r.Resolve(ctx, dns.MustName("www.shop.test"), dns.TypeA)
			})
			synctest.Wait()
		}
		wg.Go(func() { l.ask("other.shop.test", dns.TypeA) })
		time.Sleep(50 * time.Millisecond)
		cancel() // the caller that does the work leaves
		wg.Wait()
		for i, a := range answers {
			if i > 0 {
				l.want(a, dns.RCodeSuccess, "www.shop.test. A 198.51.100.1")
			}
		}
		for _, q := range []asked{{rootAddr, ".", "NS", false, true}, {rootAddr, "test.", "A", false, true}} {
			if c := n.count(func(a asked) bool { return a == q }); c != 1 {
				t.Errorf("%v was asked %d times", q, c)
			}
		}
		if c := n.count(func(a asked) bool { return a.name == "www.shop.test." }); c != 1 {
			t.Errorf("the name was asked %d times", c)
		}
	})
}

func TestForwarding(t *testing.T) {
	story(t, func(t *testing.T) {
		n := newInternet()
		up := func(q *mdns.Msg, tcp bool) []*mdns.Msg {
			if !q.RecursionDesired {
				t.Error("RD not set")
			}
			m := new(mdns.Msg).SetReply(q)
			m.RecursionAvailable = true
			m.Answer = append(m.Answer, rr(q.Question[0].Name+" 300 CNAME www.shop.test."), rr("www.shop.test. 300 A 198.51.100.1"), rr("evil.test. 300 A 203.0.113.66"))
			return []*mdns.Msg{m}
		}
		n.handle("192.0.2.100", func(*mdns.Msg, bool) []*mdns.Msg { return nil })
		n.handle("192.0.2.101", up)
		l := newLab(t, n, func(c *Config) {
			c.Zones = forwarded("192.0.2.100", "192.0.2.101")
		})
		for i := range 20 {
			name := fmt.Sprintf("n%d.a.b.shop.test", i)
			l.want(l.ask(name, dns.TypeA), dns.RCodeSuccess, name+". CNAME www.shop.test.", "www.shop.test. A 198.51.100.1")
		}
		if l.mem.holds("203.0.113.66") {
			t.Error("unasked record in memory")
		}
		if c := n.count(func(a asked) bool { return a.server == "192.0.2.100" }); c > 5 {
			t.Errorf("the silent upstream was asked %d times", c)
		}
	})
}

// What goes to a resolver that is asked over an encrypted transport tells its length in steps
// of 128 octets, and bears neither a cookie nor letters in random case. Where it fails, and
// only then, the resolver goes to the root itself, if that is wanted.
func TestEncryptedForwarder(t *testing.T) {
	story(t, func(t *testing.T) {
		const far = "192.0.2.100"
		n := standard()
		down := false
		n.handle(far, func(q *mdns.Msg, tcp bool) []*mdns.Msg {
			opt, name := q.IsEdns0(), q.Question[0].Name
			if packed, err := q.Pack(); err != nil || len(packed)%128 != 0 || len(packed) > 384 {
				t.Errorf("%s: %d octets, %v", name, len(packed), err)
			}
			if len(opt.Option) != 1 || opt.Option[0].Option() != mdns.EDNS0PADDING || !tcp || name != strings.ToLower(name) || !q.RecursionDesired {
				t.Errorf("asked over TCP: %v\n%v", tcp, q)
			}
			if down {
				return nil
			}
			m := new(mdns.Msg).SetReply(q)
			m.Answer = append(m.Answer, rr(name+" 300 A 198.51.100.7"))
			return []*mdns.Msg{m}
		})
		for _, first := range []bool{false, true} {
			down = false
			l := newLab(t, n, func(c *Config) {
				c.Zones = forwarded(far)
				c.Zones[0].Encrypted, c.Zones[0].First = true, first
			})
			for i := range 140 {
				name := strings.Repeat("l.", i/2) + strings.Repeat("x", 1+i%50) + ".shop.test"
				l.want(l.ask(name, dns.TypeA), dns.RCodeSuccess, name+". A 198.51.100.7")
			}
			if c := n.count(func(a asked) bool { return a.server != far }); c != 0 {
				t.Errorf("others were asked %d times", c)
			}
			down = true
			if a := l.ask("www.shop.test", dns.TypeA); (a.RCode() == dns.RCodeSuccess) != first {
				t.Errorf("without its resolver, fallback %v: %s", first, a.RCode())
			}
		}
	})
}

// forwarded has everything forwarded to the servers at addrs.
func forwarded(addrs ...string) []Zone {
	z := Zone{Name: dns.Root, Forward: true}
	for _, a := range addrs {
		z.Servers = append(z.Servers, Upstream{Addr: netip.MustParseAddr(a)})
	}
	return []Zone{z}
}

func rr(s string) mdns.RR {
	r, err := mdns.NewRR(s)
	if err != nil {
		panic(err)
	}
	return r
}

package resolve

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/shoji-dns/shoji/internal/dns"
)

// upstreamOf counts the queries that one question cost and checks the budget.
func (l *lab) upstreamOf(name string, most int) {
	l.Helper()
	l.net.forget()
	start := time.Now()
	l.want(l.ask(name, dns.TypeA), dns.RCodeServerFailure)
	c := len(l.net.queries())
	if c > most {
		l.Errorf("%s cost %d queries, more than %d", name, c, most)
	}
	if d := time.Since(start); d > maxWall+time.Second {
		l.Errorf("%s took %v", name, d)
	}
	l.net.forget()
	l.want(l.ask(name, dns.TypeA), dns.RCodeServerFailure)
	if c := len(l.net.queries()); c > 0 {
		l.Errorf("%s: %d queries at once after the failure", name, c)
	}
}

// NXNSAttack (CVE-2020-12662): referrals to many name servers without glue, each
// of which refers to as many more.
func TestAmplificationByReferralsIsBounded(t *testing.T) {
	story(t, func(t *testing.T) {
		n := standard()
		evil := func(q *mdns.Msg, tcp bool) []*mdns.Msg {
			m := new(mdns.Msg).SetReply(q)
			labels := mdns.SplitDomainName(q.Question[0].Name)
			child := strings.Join(labels[max(0, len(labels)-3):], ".") + "."
			for i := range 50 {
				m.Ns = append(m.Ns, rr(fmt.Sprintf("%s 0 NS n%d.%s.shop.test.", child, i, labels[0])))
			}
			return []*mdns.Msg{m}
		}
		n.handle(shopAddr, evil)
		l := newLab(t, n)
		l.upstreamOf("a.shop.test", maxQueries)
	})
	story(t, func(t *testing.T) {
		n := standard()
		text := testZone
		for i := range 100 {
			text += fmt.Sprintf("evil.test. 60 NS v%d.shop.test.\n", i)
		}
		n.serve(testAddr, text)
		l := newLab(t, n)
		l.upstreamOf("www.evil.test", 4+4*maxFailedNS)
	})
}

// CAMP-like: chains of aliases, each through a fresh delegation without glue.
func TestRestartsDrawOnOneBudget(t *testing.T) {
	story(t, func(t *testing.T) {
		n := standard()
		n.handle(shopAddr, func(q *mdns.Msg, tcp bool) []*mdns.Msg {
			m := new(mdns.Msg).SetReply(q)
			labels := mdns.SplitDomainName(q.Question[0].Name)
			if len(labels) > 2 && strings.HasPrefix(labels[0], "c") {
				m.Authoritative = true
				m.Answer = append(m.Answer, rr(fmt.Sprintf("%s 0 CNAME c%s.x%s.shop.test.", q.Question[0].Name, labels[0], labels[0])))
				return []*mdns.Msg{m}
			}
			for i := range 20 {
				m.Ns = append(m.Ns, rr(fmt.Sprintf("%s 0 NS n%d.%s.shop.test.", q.Question[0].Name, i, labels[0])))
			}
			return []*mdns.Msg{m}
		})
		l := newLab(t, n)
		l.upstreamOf("c.shop.test", maxQueries)
	})
}

// TsuNAME: two zones whose name servers lie in each other; and one that lies in itself.
func TestCyclicDelegationsEnd(t *testing.T) {
	story(t, func(t *testing.T) {
		n := standard()
		n.serve(testAddr, testZone+"one.test. 60 NS ns.two.test.\ntwo.test. 60 NS ns.one.test.\nown.test. 60 NS ns.own.test.\n")
		l := newLab(t, n)
		for _, name := range []string{"www.one.test", "www.two.test", "www.own.test"} {
			l.upstreamOf(name, 12)
		}
	})
}

// Glue that points to the resolver's own host is not followed.
func TestLoopbackGlueIsNotAsked(t *testing.T) {
	story(t, func(t *testing.T) {
		n := standard()
		n.serve(testAddr, testZone+"own.test. 60 NS ns.own.test.\nns.own.test. 60 A 127.0.0.1\nns.own.test. 60 AAAA ::\nns.own.test. 60 A 0.0.0.0\n")
		n.serve("127.0.0.1 :: 0.0.0.0", "own.test. 60 SOA a. b. 1 1 1 1 60\nwww.own.test. 60 A 198.51.100.1\n")
		l := newLab(t, n)
		l.upstreamOf("www.own.test", 12)
		if c := n.count(func(a asked) bool { return netip.MustParseAddr(a.server).IsLoopback() }); c > 0 {
			t.Errorf("asked %v", n.queries())
		}
	})
}

func TestDeadServersCostLittle(t *testing.T) {
	story(t, func(t *testing.T) {
		n := standard()
		n.handle(shopAddr, func(*mdns.Msg, bool) []*mdns.Msg { return nil })
		l := newLab(t, n)
		l.upstreamOf("www.shop.test", 3+maxTries)
		n.forget()
		for i := range 50 {
			l.want(l.ask(fmt.Sprintf("n%d.shop.test", i), dns.TypeA), dns.RCodeServerFailure)
		}
		if c := len(n.queries()); c > 60 {
			t.Errorf("%d queries to a server known to be dead, for 50 questions", c)
		}
		n.serve(shopAddr, shopZone)
		time.Sleep(2 * maxFailure)
		l.want(l.ask("www.shop.test", dns.TypeA), dns.RCodeSuccess, "www.shop.test. A 198.51.100.1")
	})
}

// forge makes a forged reply beside the right one.
func forge(q *mdns.Msg, change func(*mdns.Msg)) *mdns.Msg {
	m := new(mdns.Msg).SetReply(q)
	m.Authoritative = true
	m.Answer = append(m.Answer, rr(q.Question[0].Name+" 300 A 203.0.113.66"))
	change(m)
	return m
}

func TestForgedAndMalformedRepliesAreIgnored(t *testing.T) {
	swap := func(s string) string {
		return strings.Map(func(c rune) rune {
			switch {
			case 'a' <= c && c <= 'z':
				return c - 32
			case 'A' <= c && c <= 'Z':
				return c + 32
			}
			return c
		}, s)
	}
	for name, c := range map[string]struct {
		change func(*mdns.Msg)
		copies int
		tcp    bool
	}{
		"wrong ID":          {func(m *mdns.Msg) { m.Id++ }, 2, false},
		"many wrong IDs":    {func(m *mdns.Msg) { m.Id += 7 }, 50, true},
		"wrong case":        {func(m *mdns.Msg) { m.Question[0].Name = swap(m.Question[0].Name) }, 1, true},
		"wrong name":        {func(m *mdns.Msg) { m.Question[0].Name = "xxx.shop.test." }, 50, false},
		"wrong type":        {func(m *mdns.Msg) { m.Question[0].Qtype = mdns.TypeAAAA }, 50, false},
		"wrong class":       {func(m *mdns.Msg) { m.Question[0].Qclass = mdns.ClassCHAOS }, 50, false},
		"no question":       {func(m *mdns.Msg) { m.Question = nil }, 50, false},
		"two questions":     {func(m *mdns.Msg) { m.Question = append(m.Question, m.Question[0]) }, 50, false},
		"a query":           {func(m *mdns.Msg) { m.Response = false }, 50, false},
		"another opcode":    {func(m *mdns.Msg) { m.Opcode = mdns.OpcodeNotify }, 50, false},
		"malformed":         {func(m *mdns.Msg) { m.Id = rawReply }, 50, false},
		"rejects its form":  {func(m *mdns.Msg) { m.Rcode, m.Answer, m.Question = mdns.RcodeFormatError, nil, nil }, 1, true},
		"rejects EDNS":      {func(m *mdns.Msg) { m.Rcode, m.Answer = mdns.RcodeFormatError, nil }, 1, true},
		"truncated nothing": {func(m *mdns.Msg) { m.Truncated, m.Answer = true, nil }, 1, true},
	} {
		t.Run(name, func(t *testing.T) {
			story(t, func(t *testing.T) {
				n := standard()
				h := authority(shopZone)
				n.handle(shopAddr, func(q *mdns.Msg, tcp bool) []*mdns.Msg {
					if tcp {
						return h(q, tcp)
					}
					var all []*mdns.Msg
					for range c.copies {
						all = append(all, forge(q, c.change))
					}
					return append(all, h(q, tcp)...)
				})
				l := newLab(t, n)
				l.want(l.ask("www.shop.test", dns.TypeA), dns.RCodeSuccess, "www.shop.test. A 198.51.100.1")
				if l.mem.holds("203.0.113.66") {
					t.Error("the forgery is in memory")
				}
				if got := n.count(func(a asked) bool { return a.tcp }) > 0; got != c.tcp {
					t.Errorf("TCP used: %v, want %v", got, c.tcp)
				}
				if n.count(func(a asked) bool { return !a.edns }) > 0 {
					t.Error("one unauthenticated reply switched EDNS off")
				}
			})
		})
	}
}

func TestServersWithoutEDNS(t *testing.T) {
	for _, tcpWorks := range []bool{true, false} {
		story(t, func(t *testing.T) {
			n := standard()
			h := authority(shopZone)
			n.handle(shopAddr, func(q *mdns.Msg, tcp bool) []*mdns.Msg {
				if tcp && !tcpWorks {
					return nil
				}
				if q.IsEdns0() != nil {
					return []*mdns.Msg{new(mdns.Msg).SetRcode(q, mdns.RcodeFormatError)}
				}
				return h(q, tcp)
			})
			l := newLab(t, n)
			l.want(l.ask("www.shop.test", dns.TypeA), dns.RCodeSuccess, "www.shop.test. A 198.51.100.1")
			synctest.Wait()
			n.forget()
			l.want(l.ask("nope.shop.test", dns.TypeA), dns.RCodeNameError)
			if c := len(n.queries()); c != 1 {
				t.Errorf("the server's lack of EDNS was not remembered: %v", n.queries())
			}
			time.Sleep(formTime)
			n.forget()
			l.want(l.ask("nope2.shop.test", dns.TypeA), dns.RCodeNameError)
			if n.count(func(a asked) bool { return a.edns }) == 0 {
				t.Error("EDNS is never tried again")
			}
		})
	}
}

func TestServersThatLowerTheCase(t *testing.T) {
	story(t, func(t *testing.T) {
		n := standard()
		h := authority(shopZone)
		n.handle(shopAddr, func(q *mdns.Msg, tcp bool) []*mdns.Msg {
			m := h(q, tcp)
			m[0].Question[0].Name = strings.ToLower(m[0].Question[0].Name)
			return m
		})
		l := newLab(t, n)
		for i := range 20 {
			l.want(l.ask(fmt.Sprintf("nope%d.shop.test", i), dns.TypeA), dns.RCodeNameError)
		}
		if c := n.count(func(a asked) bool { return a.tcp }); c == 0 || c > 1 {
			t.Errorf("%d queries over TCP: want the one that shows how the server is", c)
		}
	})
}

// Ghost domains: a delegation that the parent has taken back does not live on by
// what the zone says of itself.
func TestDelegationsEndWithTheParent(t *testing.T) {
	story(t, func(t *testing.T) {
		n := standard()
		n.serve(testAddr, strings.ReplaceAll(testZone, "shop.test. 3600 NS", "shop.test. 600 NS"))
		ghost := strings.ReplaceAll(shopZone, "3600", "86400") + "sub.shop.test. 86400 NS ns.shop.test.\n"
		n.serve(shopAddr, ghost, "sub.shop.test. 86400 SOA a. b. 1 1 1 1 1\nwww.sub.shop.test. 1 A 198.51.100.8\n")
		l := newLab(t, n)
		for i := range 10 {
			l.ask(fmt.Sprintf("n%d.shop.test", i), dns.TypeNS)
			l.ask("shop.test", dns.TypeNS)
			l.ask("ns.shop.test", dns.TypeA)
			l.ask("www.sub.shop.test", dns.TypeA)
			time.Sleep(50 * time.Second)
		}
		n.serve(testAddr, strings.Split(testZone, "shop.test. 3600 NS")[0])
		time.Sleep(101 * time.Second)
		l.want(l.ask("new.shop.test", dns.TypeA), dns.RCodeNameError)
		l.want(l.ask("www.sub.shop.test", dns.TypeA), dns.RCodeNameError)
		n.forget()
		l.ask("newer.shop.test", dns.TypeA)
		if c := n.count(func(a asked) bool { return a.server == shopAddr }); c > 0 {
			t.Error("the ghost's servers are still asked")
		}
	})
}

func TestHugeRRsetsAreRefused(t *testing.T) {
	story(t, func(t *testing.T) {
		n := standard()
		text := shopZone
		for i := range maxRRset + 1 {
			text += fmt.Sprintf("huge.shop.test. 60 A 10.0.%d.%d\n", i/250, i%250)
		}
		n.serve(shopAddr, text)
		l := newLab(t, n)
		l.want(l.ask("huge.shop.test", dns.TypeA), dns.RCodeServerFailure)
		l.want(l.ask("www.shop.test", dns.TypeA), dns.RCodeSuccess, "www.shop.test. A 198.51.100.1")
	})
}

package attack

import (
	"fmt"
	"strings"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/shoji-dns/shoji/internal/dns"
)

// firstLabel is the first label of a question's name, in lower case.
func firstLabel(q *mdns.Msg) string {
	label, _, _ := strings.Cut(strings.ToLower(q.Question[0].Name), ".")
	return label
}

// referral is a reply that delegates zone to servers named by name.
func referral(q *mdns.Msg, zone string, n int, name func(i int) string) *mdns.Msg {
	m := new(mdns.Msg).SetReply(q)
	for i := range n {
		m.Ns = append(m.Ns, rr(fmt.Sprintf("%s 300 NS %s", zone, name(i))))
	}
	return m
}

// to counts the queries to one server.
func (w *world) to(server string) int {
	return len(w.queries(func(m message) bool { return m.server == server }))
}

// NXNSAttack (CVE-2020-12662): a referral to many name servers without glue, whose names lie
// in the victim's zone and do not exist. What the victim gets for one query of the attacker
// stays far below the number of names.
func TestNXNS(t *testing.T) {
	for _, n := range []int{mostNS, 130, 380, 1500} {
		play(t, plan{}, func(w *world) {
			w.evil(script(func(q *mdns.Msg, tcp bool) []*mdns.Msg {
				label := firstLabel(q)
				return []*mdns.Msg{referral(q, label+".evil.test.", n, func(i int) string {
					return fmt.Sprintf("v%d-%s.shop.test.", i, label)
				})}
			}))
			_, c := w.denied("a.evil.test", dns.TypeA)
			// Up to five name servers are looked up in vain (maxFailedNS), each for A and AAAA.
			if got := w.to(shopServer); got > 2*5 {
				w.Errorf("%d names: %d queries to the victim for one of the attacker's", n, got)
			}
			if c.queries > 30 {
				w.Error(n, c)
			}
			w.truth("www.shop.test", dns.TypeA)
		})
	}
}

// The names may lie in further zones of the attacker, each of which is delegated the same way:
// a tree that would have 20^6 nodes.
func TestNXNSInLevels(t *testing.T) {
	play(t, plan{}, func(w *world) {
		n := 0
		w.evil(script(func(q *mdns.Msg, tcp bool) []*mdns.Msg {
			n++
			labels := mdns.SplitDomainName(strings.ToLower(q.Question[0].Name))
			if len(labels) < 3 {
				return []*mdns.Msg{reply(q)}
			}
			zone := strings.Join(labels[len(labels)-3:], ".") + "."
			return []*mdns.Msg{referral(q, zone, mostNS, func(i int) string {
				return fmt.Sprintf("ns.x%d-%d.evil.test.", n, i)
			})}
		}))
		_, c := w.denied("www.a.evil.test", dns.TypeA)
		if c.queries < 8 {
			w.Errorf("%v: the attack is none", c)
		}
		if c.queries > 2*20 { // maxNSLookups, each for a delegation and an address
			w.Errorf("%v: more than all look-ups of name servers may cost", c)
		}
		w.truth("www.bank.test", dns.TypeA)
	})
}

// NRDelegation (CVE-2022-3204): a delegation to many servers which exist, have many addresses
// each, and answer nothing but REFUSED, so that every one is tried.
func TestNRDelegation(t *testing.T) {
	play(t, plan{}, func(w *world) {
		refuse := script(func(q *mdns.Msg, tcp bool) []*mdns.Msg {
			return []*mdns.Msg{new(mdns.Msg).SetRcode(q, mdns.RcodeRefused)}
		})
		for i := range 200 {
			w.server(fmt.Sprintf("198.18.100.%d", i), refuse)
		}
		w.evil(script(func(q *mdns.Msg, tcp bool) []*mdns.Msg {
			m := reply(q)
			label := firstLabel(q)
			if !strings.HasPrefix(label, "ns") || label == "ns1" || label == "ns2" {
				return []*mdns.Msg{referral(q, label+".evil.test.", 380, func(i int) string { return fmt.Sprintf("ns1%d.evil.test.", i) })}
			}
			var k int
			fmt.Sscanf(label, "ns1%d", &k)
			for i := range 90 {
				m.Answer = append(m.Answer, rr(fmt.Sprintf("%s 300 A 198.18.100.%d", q.Question[0].Name, (90*k+i)%200)))
			}
			return []*mdns.Msg{m}
		}))
		_, c := w.denied("a.evil.test", dns.TypeA)
		servers := map[string]bool{}
		for _, m := range w.queries(func(m message) bool { return strings.HasPrefix(m.server, "198.18.100.") }) {
			servers[m.server] = true
		}
		if n := len(servers); n > 40 || n == 0 { // maxTargets
			w.Errorf("%d servers that refuse were asked", n)
		}
		if s := w.core.Stats(); s.Servers > 2*40+20 {
			w.Errorf("%d servers in mind after one query of the attacker", s.Servers)
		}
		if c.queries < 40 {
			w.Errorf("%v: the attack is none", c)
		}
		w.truth("www.bank.test", dns.TypeA)
	})
}

// A delegation to one name server with ninety addresses, all of which refuse.
func TestAddressesOfOneName(t *testing.T) {
	play(t, plan{}, func(w *world) {
		asked := map[string]bool{}
		for i := range 90 {
			addr := fmt.Sprintf("198.18.103.%d", i)
			w.server(addr, script(func(q *mdns.Msg, tcp bool) []*mdns.Msg {
				asked[addr] = true
				return []*mdns.Msg{new(mdns.Msg).SetRcode(q, mdns.RcodeRefused)}
			}))
		}
		w.evil(script(func(q *mdns.Msg, tcp bool) []*mdns.Msg {
			if firstLabel(q) != "host" {
				return []*mdns.Msg{referral(q, firstLabel(q)+".evil.test.", 1, func(int) string { return "host.evil.test." })}
			}
			m := reply(q)
			for i := range 90 {
				m.Answer = append(m.Answer, rr(fmt.Sprintf("%s 300 A 198.18.103.%d", q.Question[0].Name, i)))
			}
			return []*mdns.Msg{m}
		}))
		w.denied("a.evil.test", dns.TypeA)
		if n := len(asked); n > 8 || n == 0 { // maxTargetsPerNS
			w.Errorf("%d of the addresses were asked", n)
		}
	})
}

// CAMP: what multiplies is composed. Each link of a chain of aliases leads to a name with
// many labels, below a fresh delegation without glue, whose servers' names are aliases again.
// Minimised questions, restarts at each link and sub-requests share one budget.
func TestComposedAmplification(t *testing.T) {
	play(t, plan{}, func(w *world) {
		n := 0
		w.evil(script(func(q *mdns.Msg, tcp bool) []*mdns.Msg {
			n++
			name := strings.ToLower(q.Question[0].Name)
			labels := mdns.SplitDomainName(name)
			m := reply(q)
			switch {
			case len(labels) <= 2:
			case strings.HasPrefix(labels[0], "c"): // an alias to a deep name below a delegation
				m.Answer = append(m.Answer, rr(fmt.Sprintf("%s 0 CNAME c%d.a.b.d.e.f.g.h.i.z%d.evil.test.", name, n, n)))
			case strings.HasPrefix(labels[len(labels)-3], "z") && len(labels) == 3: // delegated
				m = referral(q, name, 10, func(i int) string { return fmt.Sprintf("c%d-%d.evil.test.", n, i) })
			default:
				m.Ns = append(m.Ns, rr("evil.test. 0 SOA a. b. 1 1 1 1 0"))
			}
			return []*mdns.Msg{m}
		}))
		_, c := w.denied("c.evil.test", dns.TypeA)
		if c.queries < 30 {
			w.Errorf("%v: the attack is none", c)
		}
		w.truth("www.bank.test", dns.TypeA)
	})
}

// A chain of aliases through zones that have forty servers each, of which all but the last
// one asked refuse: every link alone is within its bounds, and all together spend the budget.
func TestTheBudgetIsSpentOnce(t *testing.T) {
	play(t, plan{}, func(w *world) {
		const refusals = 25
		asked := map[string]int{}
		h := script(func(q *mdns.Msg, tcp bool) []*mdns.Msg {
			name := strings.ToLower(q.Question[0].Name)
			labels := mdns.SplitDomainName(name)
			zone := strings.Join(labels[max(0, len(labels)-3):], ".") + "."
			if len(labels) < 4 || asked[zone] == 0 { // evil.test itself delegates
				asked[zone] = 1
				m := referral(q, zone, mostNS, func(i int) string { return fmt.Sprintf("n%d.%s", i, zone) })
				for i := range 2 * mostNS {
					m.Extra = append(m.Extra, rr(fmt.Sprintf("n%d.%s 300 A 198.18.101.%d", i/2, zone, i)))
				}
				return []*mdns.Msg{m}
			}
			if asked[zone]++; asked[zone] < refusals {
				return []*mdns.Msg{new(mdns.Msg).SetRcode(q, mdns.RcodeRefused)}
			}
			m := reply(q)
			m.Answer = append(m.Answer, rr(fmt.Sprintf("%s 300 CNAME www.%sx.evil.test.", name, labels[len(labels)-3])))
			return []*mdns.Msg{m}
		})
		w.evil(h)
		for i := range 2 * mostNS {
			w.server(fmt.Sprintf("198.18.101.%d", i), h)
		}
		_, c := w.denied("www.x.evil.test", dns.TypeA)
		if c.queries != mostQueries {
			w.Errorf("%v: want %d queries, all that a request has", c, mostQueries)
		}
		w.truth("www.bank.test", dns.TypeA)
	})
}

// Zones whose servers lie in the next zone, whose servers lie in the next: a chain of look-ups
// within look-ups ends at a depth of six, though it would lead to an answer.
func TestDepthOfLookups(t *testing.T) {
	for zones, good := range map[int]bool{4: true, 15: false} {
		play(t, plan{}, func(w *world) {
			w.evil(script(func(q *mdns.Msg, tcp bool) []*mdns.Msg {
				name := strings.ToLower(q.Question[0].Name)
				labels := mdns.SplitDomainName(name)
				if len(labels) < 3 {
					return []*mdns.Msg{reply(q)}
				}
				var k int
				fmt.Sscanf(labels[len(labels)-3], "z%d", &k)
				if k < zones && len(labels) == 3 {
					return []*mdns.Msg{referral(q, name, 1, func(int) string { return fmt.Sprintf("ns.z%d.evil.test.", k+1) })}
				}
				m := reply(q)
				m.Answer = append(m.Answer, rr(name+" 300 A "+evilServer))
				return []*mdns.Msg{m}
			}))
			a, c := w.ask("www.z0.evil.test", dns.TypeA)
			if (a.RCode() == dns.RCodeSuccess) != good || c.queries > 40 {
				w.Errorf("%d zones: %s, %v", zones, a.RCode(), c)
			}
		})
	}
}

// However many name servers a delegation has, no more than twenty are considered, over all the
// questions that come while it lasts.
func TestNamesOfOneDelegation(t *testing.T) {
	play(t, plan{}, func(w *world) {
		w.evil(script(func(q *mdns.Msg, tcp bool) []*mdns.Msg {
			return []*mdns.Msg{referral(q, "big.evil.test.", 300, func(i int) string { return fmt.Sprintf("v%d.shop.test.", i) })}
		}))
		for i := range 60 {
			w.ask(fmt.Sprintf("n%d.big.evil.test", i), dns.TypeA)
		}
		names := map[string]bool{}
		for _, m := range w.queries(func(m message) bool { return m.server == shopServer }) {
			names[m.name] = true
		}
		if len(names) > mostNS || len(names) == 0 {
			w.Errorf("%d names of the victim's were asked for", len(names))
		}
	})
}

// A server that delegates one label after the other to itself leads down sixty-four times at most.
func TestHopsDown(t *testing.T) {
	play(t, plan{}, func(w *world) {
		depth := 2
		w.evil(script(func(q *mdns.Msg, tcp bool) []*mdns.Msg {
			labels := mdns.SplitDomainName(strings.ToLower(q.Question[0].Name))
			depth = min(depth+1, len(labels))
			zone := strings.Join(labels[len(labels)-depth:], ".") + "."
			m := referral(q, zone, 1, func(int) string { return "ns." + zone })
			m.Extra = append(m.Extra, rr("ns."+zone+" 300 A "+evilServer))
			return []*mdns.Msg{m}
		}))
		if _, c := w.denied(strings.Repeat("x.", 110)+"evil.test", dns.TypeA); c.queries > 64+10 || c.queries < 20 {
			w.Error(c)
		}
	})
}

// A fan-out in which every path costs the budget: hundreds of clients' questions for names
// that wait for each other's zones. Each request has its own budget, none has more.
func TestEachRequestHasOneBudget(t *testing.T) {
	play(t, plan{}, func(w *world) {
		w.evil(script(func(q *mdns.Msg, tcp bool) []*mdns.Msg {
			labels := mdns.SplitDomainName(strings.ToLower(q.Question[0].Name))
			if len(labels) < 3 {
				return []*mdns.Msg{reply(q)}
			}
			zone := strings.Join(labels[len(labels)-3:], ".") + "."
			return []*mdns.Msg{referral(q, zone, mostNS, func(i int) string { return fmt.Sprintf("ns.y%d.evil.test.", i) })}
		}))
		const clients = 40
		before := w.in.Queries()
		done := make(chan struct{})
		for i := range clients {
			go func() {
				defer func() { done <- struct{}{} }()
				w.core.Resolve(w.Context(), dns.MustName(fmt.Sprintf("www.y%d.evil.test", i%mostNS)), dns.TypeA)
			}()
		}
		for range clients {
			<-done
		}
		if n := w.in.Queries() - before; n > clients/2*mostQueries {
			w.Errorf("%d queries for %d different questions", n, clients/2)
		}
		w.truth("www.bank.test", dns.TypeA)
	})
}

// TsuNAME: zones whose servers lie in each other, in circles of one, two and three. Every name
// below them ends at once, and many names cost little more than one.
func TestCyclicDelegations(t *testing.T) {
	play(t, plan{noEvil: true, testText: "own.test. NS ns.own.test.\n" +
		"a2.test. NS ns.b2.test.\nb2.test. NS ns.a2.test.\n" +
		"a3.test. NS ns.b3.test.\nb3.test. NS ns.c3.test.\nc3.test. NS ns.a3.test.\n"}, func(w *world) {
		for _, zone := range []string{"own.test", "a2.test", "b2.test", "a3.test", "c3.test"} {
			if _, c := w.denied("www."+zone, dns.TypeA); c.queries > 20 {
				w.Errorf("%s: %v", zone, c)
			}
		}
		before := w.in.Queries()
		for i := range 50 {
			w.ask(fmt.Sprintf("n%d.a3.test", i), dns.TypeA)
		}
		if n := w.in.Queries() - before; n > 50 {
			w.Errorf("%d queries for 50 names below a circle that is known", n)
		}
		w.truth("www.bank.test", dns.TypeA)
	})
}

// Glue that points to the resolver's own host or to none; a server that delegates its zone to
// itself; and one that delegates every label anew, with itself as the glue.
func TestSelfPointedGlue(t *testing.T) {
	play(t, plan{noEvil: true, testText: "evil.test. NS ns.evil.test.\n" +
		"ns.evil.test. A 127.0.0.1\nns.evil.test. AAAA ::1\nns.evil.test. A 0.0.0.0\nns.evil.test. AAAA ::\n" +
		"ns.evil.test. A 169.254.1.1\nns.evil.test. A 224.0.0.1\nns.evil.test. A 255.255.255.255\nns.evil.test. AAAA ::ffff:127.0.0.1\n"}, func(w *world) {
		w.denied("www.evil.test", dns.TypeA)
		if out := w.queries(func(m message) bool { return !strings.HasPrefix(m.server, "198.18.") }); len(out) > 0 {
			w.Errorf("asked %v", out)
		}
	})
	for _, deep := range []bool{false, true} {
		play(t, plan{}, func(w *world) {
			w.evil(script(func(q *mdns.Msg, tcp bool) []*mdns.Msg {
				zone := "evil.test."
				if deep { // the next label down, whatever was asked
					zone = strings.ToLower(q.Question[0].Name)
				}
				m := referral(q, zone, 1, func(int) string { return "ns1." + zone })
				m.Extra = append(m.Extra, rr("ns1."+zone+" 300 A "+evilServer))
				return []*mdns.Msg{m}
			}))
			_, c := w.denied(strings.Repeat("x.", 110)+"evil.test", dns.TypeA)
			if s := w.core.Stats(); s.Zones > mostQueries {
				w.Errorf("%v, %d zone cuts", c, s.Zones)
			}
			w.truth("www.bank.test", dns.TypeA)
		})
	}
}

// Aliases in circles, in one zone and between two, chains without end, and DNAME records that
// lengthen the name each time.
func TestAliasLoops(t *testing.T) {
	text := "loop1 CNAME loop2.evil.test.\nloop2 CNAME loop1.evil.test.\nself CNAME self.evil.test.\n" +
		"grow DNAME x.grow.evil.test.\nturn DNAME back.evil.test.\nback DNAME turn.evil.test.\n"
	var all strings.Builder
	for line := range strings.Lines(text) {
		owner, rest, _ := strings.Cut(line, " ")
		fmt.Fprintf(&all, "%s.evil.test. %s", owner, rest)
	}
	play(t, plan{evilText: all.String()}, func(w *world) {
		for _, name := range []string{"loop1.evil.test", "self.evil.test", "a.grow.evil.test", "a.turn.evil.test"} {
			if _, c := w.denied(name, dns.TypeA); c.queries > 30 {
				w.Errorf("%s: %v", name, c)
			}
		}
	})
	for _, perReply := range []int{1, 3, 12, 200} {
		play(t, plan{}, func(w *world) {
			next := 0
			w.evil(script(func(q *mdns.Msg, tcp bool) []*mdns.Msg {
				m := reply(q)
				owner := q.Question[0].Name
				for range perReply {
					next++
					target := fmt.Sprintf("n%d.evil.test.", next)
					m.Answer = append(m.Answer, rr(owner+" 300 CNAME "+target))
					owner = target
				}
				return []*mdns.Msg{m}
			}))
			_, c := w.denied("a.evil.test", dns.TypeA)
			if c.queries > mostLinks+12 {
				w.Errorf("%d links in a reply: %v", perReply, c)
			}
			w.truth("www.bank.test", dns.TypeA)
		})
	}
	// The longest chain that is followed still is.
	var chain strings.Builder
	for i := range mostLinks {
		fmt.Fprintf(&chain, "l%d.evil.test. CNAME l%d.evil.test.\n", i, i+1)
	}
	fmt.Fprintf(&chain, "l%d.evil.test. A 192.0.2.9\n", mostLinks)
	play(t, plan{evilText: chain.String()}, func(w *world) { w.truth("l0.evil.test", dns.TypeA) })
}

// A failure is remembered for longer each time, up to half a minute, and no longer (RFC 9520).
func TestFailuresAreRemembered(t *testing.T) {
	play(t, plan{}, func(w *world) {
		w.evil(func(q simnetQuery) []simnetReply { return nil })
		last := time.Duration(0)
		for range 8 {
			a, _ := w.denied("www.evil.test", dns.TypeA)
			if a.TTL() < last || a.TTL() < time.Second || a.TTL() > 30*time.Second {
				w.Errorf("remembered for %v after %v", a.TTL(), last)
			}
			last = a.TTL()
			w.pass(a.TTL() + time.Millisecond)
		}
		if last != 30*time.Second {
			w.Errorf("remembered for %v at last", last)
		}
	})
}

// CacheFlush and huge RRsets: what one query of the attacker puts into the cache is bounded,
// in answers and in octets, and a flood of such queries does not drive out what others ask for.
func TestCacheFlush(t *testing.T) {
	play(t, plan{}, func(w *world) {
		w.evil(script(func(q *mdns.Msg, tcp bool) []*mdns.Msg {
			m := reply(q)
			owner := strings.ToLower(q.Question[0].Name)
			label := firstLabel(q)
			if strings.HasPrefix(label, "ns") { // a huge RRset, as large as is accepted
				for i := range 99 {
					m.Answer = append(m.Answer, rr(fmt.Sprintf("%s 86400 NS n%d.%s.evil.test.", owner, i, strings.Repeat("x", 60))))
				}
				return []*mdns.Msg{m}
			}
			for i := range mostLinks { // as long a chain as is followed
				target := fmt.Sprintf("%s-%d.%s.evil.test.", label, i, strings.Repeat("x", 60))
				m.Answer = append(m.Answer, rr(owner+" 86400 CNAME "+target))
				owner = target
			}
			m.Answer = append(m.Answer, rr(owner+" 86400 A 192.0.2.66"))
			return []*mdns.Msg{m}
		}))
		popular := []string{"www.bank.test", "www.shop.test", "www.test"}
		for range 3 {
			for _, name := range popular {
				w.truth(name, dns.TypeA)
			}
		}
		most, lost := 0, 0
		for i := range 1500 {
			typ, name := dns.TypeA, fmt.Sprintf("c%d.evil.test", i)
			if i%2 == 1 {
				typ, name = dns.TypeNS, fmt.Sprintf("ns%d.evil.test", i)
			}
			_, c := w.ask(name, typ)
			most = max(most, c.answers)
			for _, name := range popular {
				if c := w.truth(name, dns.TypeA); c.queries > 0 {
					lost++
				}
			}
		}
		if most > 2*mostLinks+4 {
			w.Errorf("one query put %d answers into the cache", most)
		}
		if lost > 6 {
			w.Errorf("what is popular had to be asked for again %d times", lost)
		}
		if s := w.cache.Stats(); s.Evicted == 0 || s.Bytes > 1<<20 {
			w.Errorf("%+v: the flood was none, or memory is not bounded", s)
		}
	})
}

// RRsets of more than a hundred records and messages of more than 400 are refused, whatever
// their section (CVE-2024-1737).
func TestHugeMessages(t *testing.T) {
	for _, c := range []struct {
		answers, authority int
		good               bool
	}{{100, 0, true}, {101, 0, false}, {3000, 0, false}, {1, 398, true}, {1, 1000, false}} {
		play(t, plan{}, func(w *world) {
			w.evil(script(func(q *mdns.Msg, tcp bool) []*mdns.Msg {
				m := reply(q)
				for i := range c.answers {
					m.Answer = append(m.Answer, rr(fmt.Sprintf("%s 300 A 10.1.%d.%d", q.Question[0].Name, i/250, i%250)))
				}
				for i := range c.authority {
					m.Ns = append(m.Ns, rr(fmt.Sprintf("evil.test. 300 NS n%d.evil.test.", i)))
				}
				return []*mdns.Msg{m}
			}))
			a, _ := w.ask("www.evil.test", dns.TypeA)
			if good := a.RCode() == dns.RCodeSuccess && len(a.Answer()) == c.answers; good != c.good {
				w.Errorf("%d answers, %d of authority: %s with %d records", c.answers, c.authority, a.RCode(), len(a.Answer()))
			}
			if len(a.Authority()) > 0 {
				w.Errorf("%d unasked records of authority are given on", len(a.Authority()))
			}
			w.truth("www.bank.test", dns.TypeA)
		})
	}
}

// The maps of the resolver's own hold no more than their limits, and a flood of delegations
// does not push out the zones that everybody uses.
func TestDelegationsFlood(t *testing.T) {
	play(t, plan{}, func(w *world) {
		w.in.SetFaults(noFaults)
		w.evil(script(func(q *mdns.Msg, tcp bool) []*mdns.Msg {
			labels := mdns.SplitDomainName(strings.ToLower(q.Question[0].Name))
			zone := strings.Join(labels[max(0, len(labels)-3):], ".") + "."
			if len(labels) == 4 {
				m := reply(q)
				m.Answer = append(m.Answer, rr(q.Question[0].Name+" 300 A 192.0.2.66"))
				return []*mdns.Msg{m}
			}
			m := referral(q, zone, 1, func(int) string { return "ns1.evil.test." })
			m.Extra = append(m.Extra, rr("ns1.evil.test. 300 A "+evilServer))
			return []*mdns.Msg{m}
		}))
		for i := range 40_000 {
			w.core.Resolve(w.Context(), dns.MustName(fmt.Sprintf("www.z%d.evil.test", i)), dns.TypeA)
			if i%1000 == 0 {
				w.core.Resolve(w.Context(), dns.MustName(fmt.Sprintf("n%d.any.bank.test", i)), dns.TypeA)
			}
		}
		s := w.core.Stats()
		if s.Zones > 1<<15 || s.Servers > 1<<15 || s.Trusts > 1<<13 || s.Open > 1<<14 || s.Failed > 1<<13 {
			w.Errorf("%+v", s)
		}
		if s.Zones < 1<<15-1<<10 {
			w.Errorf("%+v: the flood was none", s)
		}
		w.forget()
		if c := w.truth("last.any.bank.test", dns.TypeA); c.queries > 1 {
			w.Errorf("%v: the flood pushed out the delegation of a zone in use: %v", c, w.sent)
		}
	})
}

package attack

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/resolve"
	"github.com/shoji-dns/shoji/internal/simnet"
)

// Ghost domains: the attacker's zone keeps telling longer and longer TTLs of its own NS and
// address records, and has itself asked for them again and again. When the parent takes the
// delegation back, the zone is gone when the parent's TTL is over, and not later.
func TestGhostDomains(t *testing.T) {
	ghosts(t, func(w *world, i int) {
		for _, q := range []question{{"evil.test", dns.TypeNS}, {"ns1.evil.test", dns.TypeA}, {"ns2.evil.test", dns.TypeA},
			{dns.Name(fmt.Sprintf("n%d.evil.test", i)), dns.TypeNS}, {dns.Name(fmt.Sprintf("n%d.evil.test", i)), dns.TypeA}} {
			w.ask(string(q.name), q.typ)
		}
	})
}

// Phoenix domains: the same by way of zones below, each delegated by the one above shortly
// before that one's time is over, with name servers of the next one's names.
func TestPhoenixDomains(t *testing.T) {
	ghosts(t, func(w *world, i int) {
		name := "evil.test"
		for k := range i + 1 {
			name = fmt.Sprintf("p%d.", k) + name
			w.ask("www."+name, dns.TypeA)
			w.ask(name, dns.TypeNS)
			w.ask("ns."+name, dns.TypeA)
		}
	})
}

// ghosts plays a revocation: evil.test delegates whatever is asked for to itself with TTLs of a
// week, keep is called every minute for ten minutes, and the parent, whose TTL is 300 s, takes
// the delegation back after five.
func ghosts(t *testing.T, keep func(w *world, i int)) {
	t.Helper()
	for _, config := range []func(*resolve.Config){nil, unvalidating} {
		play(t, plan{config: config}, func(w *world) { w.ghost(keep) })
	}
}

func (w *world) ghost(keep func(w *world, i int)) {
	w.evil(script(func(q *mdns.Msg, tcp bool) []*mdns.Msg {
		name := strings.ToLower(q.Question[0].Name)
		m := reply(q)
		switch {
		case q.Question[0].Qtype == mdns.TypeNS:
			m.Answer = append(m.Answer, rr(name+" 604800 NS ns1.evil.test."), rr(name+" 604800 NS ns."+name))
		case strings.HasPrefix(name, "ns"):
			m.Answer = append(m.Answer, rr(name+" 604800 A "+evilServer))
		case strings.HasPrefix(name, "p"):
			m = referral(q, name, 1, func(int) string { return "ns." + name })
			m.Ns[0].Header().Ttl = 604800
			m.Extra = append(m.Extra, rr("ns."+name+" 604800 A "+evilServer))
			return []*mdns.Msg{m}
		default:
			m.Answer = append(m.Answer, rr(name+" 1 A 192.0.2.66"))
		}
		m.Ns = append(m.Ns, rr("evil.test. 604800 NS ns1.evil.test."))
		m.Extra = append(m.Extra, rr("ns1.evil.test. 604800 A "+evilServer))
		return []*mdns.Msg{m}
	}))
	gone := simnet.Authoritative(w.without("evil.test."))
	for i := range 10 {
		if i == 5 {
			w.server(testServer, gone)
		}
		keep(w, i)
		w.pass(time.Minute)
	}
	w.pass(time.Second)
	w.forget()
	for _, name := range []string{"new.evil.test", "www.p0.evil.test", "new.p3.p2.p1.p0.evil.test", "new.p8.p7.p6.p5.p4.p3.p2.p1.p0.evil.test"} {
		if a, _ := w.ask(name, dns.TypeA); a.RCode() != dns.RCodeNameError {
			w.Errorf("%s lives on: %s %v", name, a.RCode(), texts(a.Answer()))
		}
	}
	if n := w.to(evilServer) + w.to(evilSecond); n > 0 {
		w.Errorf("the ghost's servers were asked %d times", n)
	}
}

// without is the zone test. as it is when a delegation was taken back.
func (w *world) without(zone string) *simnet.Zone {
	w.Helper()
	text := strings.ReplaceAll(worldTest+evilGlue, zone+" NS", "unused.test. NS")
	tree, err := simnet.Build(1,
		simnet.Spec{Origin: ".", Text: worldRoot, Signing: valid(&simnet.Signing{})},
		simnet.Spec{Origin: "test.", Text: strings.ReplaceAll(text, ".evil.test. A", ".unused.test. A"), Signing: valid(&simnet.Signing{})},
		simnet.Spec{Origin: "bank.test.", Text: worldBank, Signing: valid(&simnet.Signing{})})
	if err != nil {
		w.Fatal(err)
	}
	return tree.Zone("test.")
}

// gauge is a network that knows how many exchanges are under way with each server.
type gauge struct {
	resolve.Network
	mu   sync.Mutex
	open map[netip.Addr]int
	most map[netip.Addr]int
}

func (g *gauge) Exchange(ctx context.Context, addr netip.Addr, port uint16, tcp bool, query []byte, accept func([]byte) bool) error {
	g.mu.Lock()
	g.open[addr]++
	g.most[addr] = max(g.most[addr], g.open[addr])
	g.mu.Unlock()
	defer func() {
		g.mu.Lock()
		g.open[addr]--
		g.mu.Unlock()
	}()
	return g.Network.Exchange(ctx, addr, port, tcp, query, accept)
}

// bad are servers that take time.
func bad() map[string]simnet.Faults {
	const latency = 2 * time.Millisecond
	return map[string]simnet.Faults{
		"dead":              {Latency: latency, Dead: true},
		"slow":              {Latency: latency, Slow: 5 * time.Second},
		"one octet a time":  {Latency: latency, Truncate: 1, ByteAtATime: time.Second},
		"lossy":             {Latency: latency, Loss: 0.97},
		"fast, then silent": {Latency: latency, Truncate: 1, Slow: 900 * time.Millisecond, ByteAtATime: 100 * time.Millisecond},
	}
}

// Slow and dead servers, and one that sends one octet a second over TCP: a question ends in time
// and costs few messages.
func TestSlowServersEndInTime(t *testing.T) {
	for name, f := range bad() {
		t.Run(name, func(t *testing.T) {
			play(t, plan{}, func(w *world) {
				w.in.Server(netip.MustParseAddr(evilServer)).SetFaults(f)
				w.in.Server(netip.MustParseAddr(evilSecond)).SetFaults(f)
				if _, c := w.denied("www.evil.test", dns.TypeA); c.queries > 24 {
					w.Error(c)
				}
				for i := range 40 { // names of a zone that is known to be so cost less each
					w.ask(fmt.Sprintf("n%d.evil.test", i), dns.TypeA)
				}
				w.truth("www.bank.test", dns.TypeA)
			})
		})
	}
}

// A zone with six servers, all dead: one question is put to them eight times, not twice to each.
func TestDeadServersAreTriedEightTimes(t *testing.T) {
	text := "evil.test. NS ns.evil.test.\n"
	for i := range 6 {
		text += fmt.Sprintf("ns.evil.test. A 198.18.102.%d\n", i)
	}
	play(t, plan{noEvil: true, testText: text}, func(w *world) {
		_, c := w.denied("www.evil.test", dns.TypeA)
		if n := len(w.queries(func(m message) bool { return strings.HasPrefix(m.server, "198.18.102.") })); n > 8 || n < 3 {
			w.Errorf("%d queries to dead servers; %v", n, c)
		}
	})
}

// Thousands of questions for names of such zones are under way: places at one zone are
// bounded, and others' questions take as long as ever.
func TestSlowZonesHoldUpNobody(t *testing.T) {
	for name, f := range bad() {
		t.Run(name, func(t *testing.T) {
			play(t, plan{}, func(w *world) {
				g := &gauge{Network: w.in, open: map[netip.Addr]int{}, most: map[netip.Addr]int{}}
				w.start(func(c *resolve.Config) { c.Network = g })
				w.truth("www.shop.test", dns.TypeA)
				evil := []netip.Addr{netip.MustParseAddr(evilServer), netip.MustParseAddr(evilSecond)}
				for _, addr := range evil {
					w.in.Server(addr).SetFaults(f)
				}
				const questions = 4000
				var wg sync.WaitGroup
				for i := range questions {
					wg.Go(func() {
						w.core.Resolve(w.Context(), dns.MustName(fmt.Sprintf("n%d.evil.test", i)), dns.TypeA)
					})
				}
				for i := range 50 {
					time.Sleep(20 * time.Millisecond)
					start := time.Now()
					name := fmt.Sprintf("n%d.any.shop.test", i)
					a := w.core.Resolve(w.Context(), dns.MustName(name), dns.TypeA)
					if err := isTrue(a, w.tree, true); err != nil {
						w.Error(err)
					}
					if d := time.Since(start); d > 20*time.Millisecond {
						w.Errorf("%s took %v", name, d)
					}
				}
				start := time.Now()
				wg.Wait()
				if d := time.Since(start); d > mostWall {
					w.Errorf("the last ended %v later", d)
				}
				synctest.Wait()
				g.mu.Lock()
				defer g.mu.Unlock()
				most := g.most[evil[0]] + g.most[evil[1]]
				// maxParallel servers for each of maxZoneInFlight questions, and those that are just ending.
				if most > 3*512+100 {
					w.Errorf("%d exchanges with the zone's servers at a time", most)
				}
				if most < 256 {
					w.Errorf("%d exchanges at a time: nothing was tested", most)
				}
				for addr, n := range g.open {
					if n > 0 {
						w.Errorf("%d exchanges with %v are left over", n, addr)
					}
				}
			})
		})
	}
}

package attack

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/shoji-dns/shoji/internal/cache"
	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/resolve"
	"github.com/shoji-dns/shoji/internal/serve"
	"github.com/shoji-dns/shoji/internal/simnet"
)

// maxRenewals is how many resolutions clients wait for only so long: serve's own.
const maxRenewals = 1024

// view is what clients see of a world: stale answers by RFC 8767's times, and prefetch.
type view struct {
	*world
	front *serve.Server
}

// watch plays a story in a world with a view.
func watch(t *testing.T, p plan, story func(v *view)) {
	t.Helper()
	play(t, p, func(w *world) {
		refresher := serve.NewRefresher(w.core)
		defer refresher.Close()
		ordinary, err := serve.NewLocal(serve.LocalConfig{Ordinary: []dns.Name{dns.MustName("test")}})
		if err != nil {
			t.Fatal(err)
		}
		story(&view{w, serve.New(serve.Config{
			Local: ordinary, Cache: w.cache, Resolver: w.core, Refresher: refresher, Prefetch: true,
			Stale: serve.Stale{MaxAge: serve.DefaultMaxAge, AnswerTTL: serve.DefaultAnswerTTL, ClientTimeout: serve.DefaultClientTimeout},
		})})
	})
}

// sees is the reply to a client.
func (v *view) sees(name string, typ uint16) *mdns.Msg {
	v.Helper()
	packet, err := new(mdns.Msg).SetQuestion(mdns.Fqdn(name), typ).SetEdns0(1232, false).Pack()
	if err != nil {
		v.Fatal(err)
	}
	var q dns.Query
	if err := q.Parse(packet); err != nil {
		v.Fatal(err)
	}
	q.MaxReply = 1232
	out, hit := v.front.Hit(&q, nil)
	if !hit {
		out = v.front.Miss(v.Context(), &q, nil)
	}
	m := new(mdns.Msg)
	if err := m.Unpack(out); err != nil {
		v.Fatal(err)
	}
	return m
}

// first is the address that a reply holds.
func first(m *mdns.Msg) string {
	for _, r := range m.Answer {
		if a, ok := r.(*mdns.A); ok {
			return a.A.String()
		}
	}
	return mdns.RcodeToString[m.Rcode]
}

// brief answers for evil.test: every name has the attacker's address for some seconds.
func brief(ttl int) func(q *mdns.Msg, tcp bool) []*mdns.Msg {
	return func(q *mdns.Msg, _ bool) []*mdns.Msg {
		m := reply(q)
		switch q.Question[0].Qtype {
		case mdns.TypeA:
			m.Answer = append(m.Answer, rr(fmt.Sprintf("%s %d A 192.0.2.66", q.Question[0].Name, ttl)))
		default:
			m.Ns = append(m.Ns, rr("evil.test. 60 SOA ns1.evil.test. h.evil.test. 1 1 1 1 60"))
		}
		return []*mdns.Msg{m}
	}
}

func mute(*mdns.Msg, bool) []*mdns.Msg { return nil }

// Ghosts in stale answers: the parent takes a delegation back, and the attacker's servers
// fall silent, since silence is what stale answers are given for. The name is gone when the
// delegation's TTL is over, however often it is asked for.
func TestStaleGhosts(t *testing.T) {
	for _, config := range []func(*resolve.Config){nil, unvalidating} {
		watch(t, plan{config: config}, func(v *view) {
			v.evil(script(brief(10)))
			if got := first(v.sees("www.evil.test", mdns.TypeA)); got != "192.0.2.66" {
				v.Fatalf("alive: %s", got)
			}
			v.evil(script(mute))
			v.world.server(testServer, simnet.Authoritative(v.without("evil.test.")))
			for range 40 { // 400 s, of a TTL of 300 s
				v.pass(10 * time.Second)
				v.sees("www.evil.test", mdns.TypeA)
			}
			for range 5 {
				if got := first(v.sees("www.evil.test", mdns.TypeA)); got != "NXDOMAIN" {
					v.Errorf("lives on: %s", got)
				}
			}
		})
	}
}

// Stale answers for a zone whose servers are silent cost one resolution a question, however
// many ask: while it is under way others wait for it, and its failure is remembered.
func TestStaleAnswersDoNotAmplify(t *testing.T) {
	watch(t, plan{}, func(v *view) {
		v.evil(script(brief(10)))
		v.sees("www.evil.test", mdns.TypeA)
		v.pass(20 * time.Second)
		v.evil(script(mute))
		v.forget()
		var clients sync.WaitGroup
		for range 2000 {
			clients.Go(func() {
				if got := first(v.sees("www.evil.test", mdns.TypeA)); got != "192.0.2.66" {
					v.Errorf("stale: %s", got)
				}
			})
		}
		clients.Wait()
		synctest.Wait()
		if n := v.to(evilServer) + v.to(evilSecond); n > mostQueries {
			v.Errorf("2000 clients of one stale answer cost %d messages", n)
		}
	})
}

// A flood of stale names of a zone that is silent fills the background's places, and no more
// than those; meanwhile others are answered, stale ones among them.
func TestStaleFlood(t *testing.T) {
	watch(t, plan{}, func(v *view) {
		v.evil(script(brief(10)))
		const names = maxRenewals + 500
		for i := range names {
			v.sees(fmt.Sprintf("n%d.evil.test", i), mdns.TypeA)
		}
		v.pass(20 * time.Second)
		v.evil(script(mute))
		var clients sync.WaitGroup
		for i := range names {
			name := fmt.Sprintf("n%d.evil.test", i)
			clients.Go(func() {
				start := time.Now()
				v.sees(name, mdns.TypeA)
				var e cache.Entry // the cache may have let the stale answer go
				kept := v.cache.FindAnswer(&e, []byte(dns.MustName(name)), dns.TypeA)
				if d := time.Since(start); kept && d > serve.DefaultClientTimeout+time.Second {
					v.Errorf("%s waited %v", name, d)
				}
			})
		}
		clients.Go(func() {
			if got := first(v.sees("www.shop.test", mdns.TypeA)); got != "192.0.2.10" {
				v.Errorf("a bystander got %s", got)
			}
		})
		clients.Wait()
	})
}

// An answer is renewed in the last tenth of its TTL once, however many ask; one of a second
// is not renewed for each question either.
func TestPrefetchDoesNotAmplify(t *testing.T) {
	for _, ttl := range []int{1, 100} {
		watch(t, plan{}, func(v *view) {
			v.evil(script(brief(ttl)))
			v.sees("www.evil.test", mdns.TypeA)
			v.forget()
			const rounds = 3
			for range rounds {
				v.pass(time.Duration(ttl)*time.Second - 50*time.Millisecond)
				var clients sync.WaitGroup
				for range 500 {
					clients.Go(func() { v.sees("www.evil.test", mdns.TypeA) })
				}
				clients.Wait()
				synctest.Wait()
			}
			if n := v.to(evilServer) + v.to(evilSecond); n == 0 || n > 2*rounds {
				v.Errorf("a TTL of %d s: %d messages for %d renewals", ttl, n, rounds)
			}
		})
	}
}

// What a renewal brings is believed no more than any reply: unasked records and bogus data
// do not replace what is in memory.
func TestRenewalsAreCheckedAsRepliesAre(t *testing.T) {
	watch(t, plan{}, func(v *view) {
		if got := first(v.sees("www.bank.test", mdns.TypeA)); got != "192.0.2.20" {
			v.Fatalf("before: %s", got)
		}
		v.world.server(bankServer, altering(v.tree.Zone("bank.test."), func(m *mdns.Msg) {
			for _, r := range m.Answer {
				if a, ok := r.(*mdns.A); ok {
					a.A = rr("x. A " + forged).(*mdns.A).A
				}
			}
			m.Extra = append(m.Extra, rr("www.shop.test. A "+forged))
		}))
		for range 200 { // past the TTL, and far into being stale
			v.pass(time.Minute)
			if m := v.sees("www.bank.test", mdns.TypeA); strings.Contains(m.String(), forged) {
				v.Fatalf("forged: %s", m)
			}
		}
		v.unpoisoned("www.shop.test")
		if got := first(v.sees("www.shop.test", mdns.TypeA)); got != "192.0.2.10" {
			v.Errorf("another name: %s", got)
		}
	})
}

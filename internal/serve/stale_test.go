package serve

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoji-dns/shoji/internal/cache"
	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/dnssec"
	"github.com/shoji-dns/shoji/internal/filter"
	"github.com/shoji-dns/shoji/internal/resolve"
	"github.com/shoji-dns/shoji/internal/simnet"
)

// shop is both views over one resolver, which asks a simulated Internet: a signed root, and
// the signed zone shop., whose owner can change it, lose its server or break its signatures.
type shop struct {
	*testing.T
	in        *simnet.Internet
	server    *simnet.Server // of zone shop.
	zone      atomic.Pointer[simnet.Handler]
	cache     *cache.Cache
	refresher *Refresher
	live      *filter.Live
	filtered  *Server
	twin      *Server
}

const (
	shopRoot = ". SOA a.root. h. 1 1 1 1 60\n. NS a.root.\na.root. A 192.0.2.1\nshop. 1000 NS ns.shop.\nns.shop. 1000 A 192.0.2.2\n"
	shopZone = "shop. 60 SOA ns h. 1 1 1 1 60\nshop. 1000 NS ns.shop.\nns.shop. 1000 A 192.0.2.2\n" +
		"www.shop. 100 A 198.51.100.1\nbrief.shop. 5 A 198.51.100.5\nalias.shop. 1000 CNAME www.shop.\n"
)

// rfc8767 is what the RFC suggests.
var rfc8767 = Stale{MaxAge: DefaultMaxAge, AnswerTTL: DefaultAnswerTTL, ClientTimeout: DefaultClientTimeout}

// inShop plays a story in each view, in a bubble of its own time.
func inShop(t *testing.T, stale Stale, story func(s *shop, view *Server)) {
	t.Helper()
	for _, view := range []string{"filtered", "unfiltered"} {
		t.Run(view, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := openShop(t, stale)
				defer s.refresher.Close()
				if view == "filtered" {
					story(s, s.filtered)
				} else {
					story(s, s.twin)
				}
			})
		})
	}
}

func (s *shop) tree(zone string, breakage simnet.Signing) *simnet.Tree {
	s.Helper()
	good := simnet.Signing{Inception: time.Now().Add(-time.Hour), Expiration: time.Now().Add(30 * 24 * time.Hour)}
	breakage.Inception, breakage.Expiration = good.Inception, good.Expiration
	tree, err := simnet.Build(1, simnet.Spec{Origin: ".", Signing: &good, Text: shopRoot},
		simnet.Spec{Origin: "shop.", Signing: &breakage, Text: zone})
	if err != nil {
		s.Fatal(err)
	}
	return tree
}

// publish changes the zone.
func (s *shop) publish(zone string, breakage simnet.Signing) {
	h := simnet.Authoritative(s.tree(zone, breakage).Zone("shop."))
	s.zone.Store(&h)
}

func openShop(t *testing.T, stale Stale) *shop {
	s := &shop{T: t, in: simnet.New(1), live: live(t)}
	tree := s.tree(shopZone, simnet.Signing{})
	s.in.Serve([]*simnet.Zone{tree.Zone(".")}, netip.MustParseAddr("192.0.2.1"))
	s.publish(shopZone, simnet.Signing{})
	s.server = s.in.Handle(func(q simnet.Query) []simnet.Reply { return (*s.zone.Load())(q) }, netip.MustParseAddr("192.0.2.2"))
	s.in.SetFaults(simnet.Faults{Latency: 10 * time.Millisecond})
	anchor, err := tree.Anchor(".")
	if err != nil {
		t.Fatal(err)
	}
	anchors, err := dnssec.ParseAnchors(anchor.DS[0].String())
	if err != nil {
		t.Fatal(err)
	}
	if s.cache, err = cache.New(cache.Config{Bytes: cache.MinBytes}); err != nil {
		t.Fatal(err)
	}
	resolver := resolve.New(resolve.Config{Network: s.in, Memory: s.cache, Anchors: anchors,
		Hints: []resolve.Hint{{Name: dns.MustName("a.root"), Addrs: []netip.Addr{netip.MustParseAddr("192.0.2.1")}}}})
	s.refresher = NewRefresher(resolver)
	cfg := Config{Cache: s.cache, Resolver: resolver, Refresher: s.refresher, Stale: stale, Prefetch: true,
		Sinkhole4: netip.MustParseAddr("127.83.72.1")}
	s.twin = New(cfg)
	cfg.Live = s.live
	s.filtered = New(cfg)
	return s
}

// silence makes the zone's server unreachable; speak ends that.
func (s *shop) silence() { s.server.SetFaults(simnet.Faults{Dead: true}) }
func (s *shop) speak()   { s.server.ClearFaults() }

// ask is what a client gets, and whether it came from memory at once. It compares the reply
// with the lines wanted; a single one is the first.
func (s *shop) ask(v *Server, question, want string) (hit bool) {
	s.Helper()
	q := parse(s.T, question)
	out, hit := v.Hit(q, nil)
	if !hit {
		out = v.Miss(s.Context(), q, nil)
	}
	var lines []string
	for line := range strings.SplitSeq(strings.TrimSpace(want), "\n") {
		lines = append(lines, strings.TrimSpace(line))
	}
	got := said(s.T, out)
	if len(lines) == 1 {
		got, _, _ = strings.Cut(got, "\n")
	}
	if got != strings.Join(lines, "\n") {
		s.Errorf("%s\ngot\n%s\nwant\n%s", question, got, strings.Join(lines, "\n"))
	}
	return hit
}

// said is a reply in text, without the room for an explanation's text.
func said(t *testing.T, out []byte) string { return strings.TrimSpace(show(t, out)) }

// Replies to "www.shop A ad edns".
const (
	freshWWW = "NOERROR ad\nwww.shop. 100 IN A 198.51.100.1\nEDNS 1232"
	staleWWW = "NOERROR ad\nwww.shop. 30 IN A 198.51.100.1\nEDNS 1232, Stale Answer:"
	movedWWW = "NOERROR ad\nwww.shop. 100 IN A 203.0.113.1\nEDNS 1232"
	askWWW   = "www.shop A ad edns"
)

// learned has the answer to askWWW in memory, for some time.
func (s *shop) learned(v *Server, age time.Duration) {
	s.Helper()
	s.ask(v, askWWW, freshWWW)
	time.Sleep(age)
}

// took checks how long something took, in the bubble's time.
func (s *shop) took(since time.Time, least, most time.Duration) {
	s.Helper()
	if d := time.Since(since); d < least || d > most {
		s.Errorf("took %v, want %v to %v", d, least, most)
	}
}

// The client response timer: a client waits for a fresh answer 1.8 s and no longer. A client
// that comes while the resolution is that old already does not wait at all.
func TestClientResponseTimer(t *testing.T) {
	inShop(t, rfc8767, func(s *shop, v *Server) {
		s.learned(v, 101*time.Second)
		s.silence()
		asked := time.Now()
		s.ask(v, askWWW, staleWWW)
		s.took(asked, DefaultClientTimeout, DefaultClientTimeout)
		s.ask(v, askWWW, staleWWW)
		s.took(asked, DefaultClientTimeout, DefaultClientTimeout)
	})
}

// The query resolution timer: what a client did not wait for goes on, ends after 9 s at
// most, and what it finds is remembered.
func TestQueryResolutionTimer(t *testing.T) {
	inShop(t, rfc8767, func(s *shop, v *Server) {
		s.server.SetFaults(simnet.Faults{Slow: time.Second})
		s.learned(v, 101*time.Second)
		s.server.SetFaults(simnet.Faults{Slow: 2 * time.Second})
		s.publish(strings.ReplaceAll(shopZone, "198.51.100.1", "203.0.113.1"), simnet.Signing{})
		s.ask(v, askWWW, staleWWW)
		time.Sleep(6 * time.Second)
		asked := s.in.Queries()
		q := parse(s.T, askWWW)
		if out, ok := v.Hit(q, nil); !ok || !strings.Contains(said(s.T, out), "203.0.113.1\nEDNS 1232") || s.in.Queries() != asked {
			s.Error("the resolution did not go on")
		}
		time.Sleep(101 * time.Second)
		s.silence()
		s.ask(v, askWWW, "NOERROR ad\nwww.shop. 30 IN A 203.0.113.1\nEDNS 1232, Stale Answer:")
		time.Sleep(9 * time.Second)
		asked = s.in.Queries()
		time.Sleep(time.Minute)
		if s.in.Queries() != asked {
			s.Error("the resolution still goes on")
		}
	})
}

// The failure recheck timer: while a failure is remembered, nobody is asked, and nobody
// waits. Afterwards the zone is asked again.
func TestFailureRecheckTimer(t *testing.T) {
	inShop(t, rfc8767, func(s *shop, v *Server) {
		s.learned(v, 101*time.Second)
		s.silence()
		s.ask(v, askWWW, staleWWW)
		name := []byte(dns.MustName("www.shop"))
		for !s.cache.Failing(name, dns.TypeA, time.Now()) {
			time.Sleep(10 * time.Millisecond)
		}
		asked := s.in.Queries()
		if !s.ask(v, askWWW, staleWWW) || s.in.Queries() != asked {
			s.Error("asked again before the failure's time was over")
		}
		for s.cache.Failing(name, dns.TypeA, time.Now()) {
			time.Sleep(10 * time.Millisecond)
		}
		s.speak()
		s.ask(v, askWWW, freshWWW)
	})
}

// The maximum stale timer: an answer that is too old is not given.
func TestMaximumStaleTimer(t *testing.T) {
	inShop(t, rfc8767, func(s *shop, v *Server) {
		s.learned(v, 100*time.Second+DefaultMaxAge-2*time.Second)
		s.silence()
		s.ask(v, askWWW, staleWWW)
		time.Sleep(time.Hour)
		s.ask(v, askWWW, "SERVFAIL")
	})
}

// A zone whose servers fail at once costs its clients no wait.
func TestStaleAtOnceWhereResolutionFails(t *testing.T) {
	inShop(t, rfc8767, func(s *shop, v *Server) {
		s.learned(v, 101*time.Second)
		s.zone.Store(new(simnet.Handler(refuse)))
		asked := time.Now()
		s.ask(v, askWWW, staleWWW)
		s.took(asked, 0, time.Second)
	})
}

// refuse answers REFUSED.
func refuse(q simnet.Query) []simnet.Reply {
	const qr, refused = 0x80, 5
	b := slices.Clone(q.Bytes)
	b[2] |= qr
	b[3] = refused
	return []simnet.Reply{{Bytes: b}}
}

// With no patience at all, the stale answer comes from memory while it is renewed.
func TestStaleBeforeAsking(t *testing.T) {
	inShop(t, Stale{MaxAge: time.Hour, AnswerTTL: DefaultAnswerTTL}, func(s *shop, v *Server) {
		s.learned(v, 101*time.Second)
		s.publish(strings.ReplaceAll(shopZone, "198.51.100.1", "203.0.113.1"), simnet.Signing{})
		before := s.server.Queries()
		for range 3 {
			if !s.ask(v, askWWW, staleWWW) {
				s.Error("not from memory")
			}
		}
		time.Sleep(time.Second)
		s.ask(v, askWWW, movedWWW)
		if n := s.server.Queries() - before; n != 1 {
			s.Errorf("%d queries for one renewal", n)
		}
		time.Sleep(2 * time.Hour)
		if s.ask(v, askWWW, movedWWW) {
			s.Error("an answer that is too old was given")
		}
	})
}

// What stale answers look like besides.
func TestFormOfStaleAnswers(t *testing.T) {
	inShop(t, rfc8767, func(s *shop, v *Server) {
		for _, question := range []string{"www.shop A", "brief.shop A", "nope.shop A", "www.shop TXT", "alias.shop A"} {
			v.Miss(s.Context(), parse(s.T, question+" edns"), nil)
		}
		time.Sleep(2 * time.Hour)
		s.silence()
		soa := "shop. 30 IN SOA ns.shop. h. 1 1 1 1 60"
		for _, c := range []struct{ question, want string }{
			{"www.shop A", "NOERROR\nwww.shop. 30 IN A 198.51.100.1\n"},
			{"WWW.shop A edns", "NOERROR\nwww.shop. 30 IN A 198.51.100.1\nEDNS 1232, Stale Answer:"},
			{"brief.shop A edns", "NOERROR\nbrief.shop. 5 IN A 198.51.100.5\nEDNS 1232, Stale Answer:"},
			{"nope.shop A edns", "NXDOMAIN\n" + soa + "\nEDNS 1232, Stale NXDOMAIN Answer:"},
			{"www.shop TXT edns", "NOERROR\n" + soa + "\nEDNS 1232, Stale Answer:"},
			{"alias.shop A edns", "NOERROR\nalias.shop. 30 IN CNAME www.shop.\nwww.shop. 30 IN A 198.51.100.1\nEDNS 1232, Stale Answer:"},
		} {
			s.ask(v, c.question, strings.Replace(c.want, "www.shop. 30 IN A", spelled(c.question)+" 30 IN A", 1))
		}
	})
}

// spelled is how a reply spells www.shop: as the question does.
func spelled(question string) string {
	if strings.HasPrefix(question, "WWW") {
		return "WWW.shop."
	}
	return "www.shop."
}

// The list in force decides about stale answers as about others, from the next packet on.
func TestListChangesWhileAnswersAreStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openShop(t, rfc8767)
		defer s.refresher.Close()
		s.learned(s.filtered, 101*time.Second)
		s.silence()
		const sink = "NOERROR\nwww.shop. 10 IN A 127.83.72.1\nEDNS 1232, Forged Answer: log entry 0"
		both := func(filtered string) {
			t.Helper()
			s.ask(s.filtered, askWWW, filtered)
			s.ask(s.twin, askWWW, staleWWW)
		}
		both(staleWWW)
		s.live.Swap(listOf(t, "www.shop"))
		both(sink)
		s.live.Swap(listOf(t, "198.51.100.0/24"))
		both(sink)
		s.live.Swap(listOf(t))
		both(staleWWW)
		name := []byte(dns.MustName("www.shop"))
		for !s.cache.Failing(name, dns.TypeA, time.Now()) {
			time.Sleep(10 * time.Millisecond)
		}
		s.live.Swap(listOf(t, "198.51.100.0/24"))
		both(sink)
		s.live.Swap(listOf(t))
		both(staleWWW)
	})
}

// A zone that breaks its signatures, or is being forged, keeps its last valid answers. The
// bogus ones are for those who ask with CD, and are never given as stale.
func TestBogusDataAndStaleAnswers(t *testing.T) {
	inShop(t, rfc8767, func(s *shop, v *Server) {
		s.learned(v, 101*time.Second)
		broken := strings.ReplaceAll(shopZone, "198.51.100.1", "203.0.113.66") + "new.shop. 10 A 203.0.113.66\n"
		s.publish(broken, simnet.Signing{Break: simnet.BreakSignatures})
		time.Sleep(1000 * time.Second) // keys are learned anew
		s.ask(v, askWWW, staleWWW)
		s.ask(v, askWWW, staleWWW) // from memory of the failure
		q := parse(s.T, "www.shop A cd")
		if out := said(s.T, v.Miss(s.Context(), q, nil)); !strings.Contains(out, "203.0.113.66") {
			s.Errorf("with CD: %s", out)
		}
		if out := said(s.T, v.Miss(s.Context(), parse(s.T, "new.shop A"), nil)); out != "SERVFAIL" {
			s.Errorf("bogus, and nothing valid is known: %s", out)
		}
		time.Sleep(time.Minute)
		s.silence()
		for range 2 {
			if out := said(s.T, v.Miss(s.Context(), parse(s.T, "new.shop A"), nil)); out != "SERVFAIL" {
				s.Errorf("bogus data is given as stale: %s", out)
			}
		}
		s.ask(v, askWWW, staleWWW)
	})
}

// Turned off, nothing is given past its time.
func TestNoStaleAnswers(t *testing.T) {
	inShop(t, Stale{}, func(s *shop, v *Server) {
		s.learned(v, 101*time.Second)
		s.silence()
		s.ask(v, askWWW, "SERVFAIL")
		s.ask(v, askWWW, "SERVFAIL")
	})
}

// A client that leaves gets what there is, and does not end what others wait for.
func TestAClientThatLeaves(t *testing.T) {
	inShop(t, rfc8767, func(s *shop, v *Server) {
		s.learned(v, 101*time.Second)
		s.server.SetFaults(simnet.Faults{Slow: time.Second})
		ctx, cancel := context.WithTimeout(s.Context(), 100*time.Millisecond)
		defer cancel()
		if got := said(s.T, v.Miss(ctx, parse(s.T, askWWW), nil)); got != staleWWW {
			s.Errorf("got %s", got)
		}
		s.ask(v, askWWW, freshWWW)
	})
}

// The end of the server ends what goes on in the background, at once.
func TestCloseEndsTheBackground(t *testing.T) {
	inShop(t, rfc8767, func(s *shop, v *Server) {
		s.learned(v, 101*time.Second)
		s.silence()
		s.ask(v, askWWW, staleWWW)
		closed := time.Now()
		s.refresher.Close()
		s.took(closed, 0, 0)
		asked := s.in.Queries()
		time.Sleep(time.Minute)
		if s.in.Queries() != asked {
			s.Error("something goes on")
		}
	})
}

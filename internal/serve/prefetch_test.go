package serve

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoji-dns/shoji/internal/answer"
	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/simnet"
)

// www is a reply to askWWW.
func www(ttl int, addr string) string {
	return fmt.Sprintf("NOERROR ad\nwww.shop. %d IN A %s\nEDNS 1232", ttl, addr)
}

// A name in use is renewed in the last tenth of its TTL: whoever asks then gets the old
// answer at once, and whoever asks next the new one. Nobody waits.
func TestPrefetch(t *testing.T) {
	inShop(t, rfc8767, func(s *shop, v *Server) {
		s.learned(v, 89*time.Second)
		s.publish(strings.ReplaceAll(shopZone, "198.51.100.1", "203.0.113.1"), simnet.Signing{})
		before := s.in.Queries()
		s.ask(v, askWWW, www(11, "198.51.100.1"))
		time.Sleep(time.Second)
		if s.in.Queries() != before {
			s.Error("renewed before the last tenth")
		}
		for range 100 {
			if !s.ask(v, askWWW, www(10, "198.51.100.1")) {
				s.Error("a client has to wait")
			}
		}
		time.Sleep(time.Second)
		if n := s.in.Queries() - before; n != 1 {
			s.Errorf("%d queries to renew one answer that 100 ask for", n)
		}
		for _, view := range []*Server{s.filtered, s.twin} {
			if !s.ask(view, askWWW, www(100, "203.0.113.1")) {
				s.Error("not renewed")
			}
		}
		if got := s.refresher.Stats(); got != (RefreshStats{Done: 1}) {
			s.Errorf("%+v", got)
		}
	})
}

// A name that nobody asks for is left to end, and so is one with a tiny TTL, a name whose
// answer leads to what is listed, and anything where prefetch is off.
func TestWhatIsNotPrefetched(t *testing.T) {
	inShop(t, rfc8767, func(s *shop, v *Server) {
		s.publish(shopZone+"tiny.shop. 9 A 198.51.100.9\n", simnet.Signing{})
		before := func(question string, age time.Duration) uint64 {
			v.Miss(s.Context(), parse(s.T, question), nil)
			time.Sleep(age)
			return s.in.Queries()
		}
		n := before("www.shop A", 95*time.Second)
		time.Sleep(4 * time.Second)
		if s.in.Queries() != n {
			s.Error("renewed though nobody asked")
		}
		n = before("tiny.shop A", 8500*time.Millisecond)
		s.ask(v, "tiny.shop A", "NOERROR\ntiny.shop. 1 IN A 198.51.100.9")
		if time.Sleep(100 * time.Millisecond); s.in.Queries() != n {
			s.Error("renewed in spite of a tiny TTL")
		}
		n = before("brief.shop TXT", 59*time.Second)
		v.cfg.Prefetch = false
		s.ask(v, "brief.shop TXT", "NOERROR\nshop. 1 IN SOA ns.shop. h. 1 1 1 1 60")
		if time.Sleep(100 * time.Millisecond); s.in.Queries() != n {
			s.Error("renewed though that is off")
		}
		v.cfg.Prefetch = true
		s.ask(v, "brief.shop TXT", "NOERROR\nshop. 1 IN SOA ns.shop. h. 1 1 1 1 60")
		if time.Sleep(100 * time.Millisecond); s.in.Queries() == n {
			s.Error("a negative answer is not renewed")
		}
		if v == s.filtered {
			n = before("www.shop A", 95*time.Second)
			s.live.Swap(listOf(s.T, "198.51.100.0/24"))
			s.ask(v, "www.shop A", "NOERROR\nwww.shop. 10 IN A 127.83.72.1")
			if time.Sleep(100 * time.Millisecond); s.in.Queries() != n {
				s.Error("renewed though it is filtered")
			}
		}
	})
}

// Where the network is down, the old answer serves to its end and then as a stale one. A
// renewal that failed is not tried at each query.
func TestPrefetchWithoutANetwork(t *testing.T) {
	inShop(t, rfc8767, func(s *shop, v *Server) {
		s.learned(v, 91*time.Second)
		s.silence()
		before := s.in.Queries()
		for left := 9; left > 0; left-- {
			if !s.ask(v, askWWW, www(left, "198.51.100.1")) {
				s.Error("a client has to wait")
			}
			time.Sleep(time.Second)
		}
		if n := s.in.Queries() - before; n == 0 || n > 40 {
			s.Errorf("%d queries to a dead server", n)
		}
		s.ask(v, askWWW, staleWWW)
		s.speak()
		time.Sleep(30 * time.Second)
		s.ask(v, askWWW, freshWWW)
	})
}

// Renewing an alias renews what it leads to.
func TestPrefetchOfAnAlias(t *testing.T) {
	inShop(t, rfc8767, func(s *shop, v *Server) {
		s.ask(v, "alias.shop A", "NOERROR\nalias.shop. 1000 IN CNAME www.shop.\nwww.shop. 100 IN A 198.51.100.1")
		time.Sleep(95 * time.Second)
		s.ask(v, "alias.shop A", "NOERROR\nalias.shop. 905 IN CNAME www.shop.\nwww.shop. 5 IN A 198.51.100.1")
		before := s.in.Queries()
		time.Sleep(time.Second)
		s.ask(v, "alias.shop A", "NOERROR\nalias.shop. 1000 IN CNAME www.shop.\nwww.shop. 100 IN A 198.51.100.1")
		if n := s.in.Queries() - before; n > 1 {
			s.Errorf("%d queries", n)
		}
	})
}

// stuck resolves nothing until it is closed.
type stuck struct{}

func (r *stuck) Refresh(ctx context.Context, name dns.Name, t dns.Type, ahead time.Duration) *answer.Answer {
	<-ctx.Done()
	return answer.New(answer.Parts{Name: name, Type: t, RCode: dns.RCodeServerFailure})
}

// What goes on in the background is bounded, whatever is asked; the rest is counted and
// dropped, and Close ends everything.
func TestRefresherIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRefresher(new(stuck))
		q := parse(t, askWWW)
		r.offer(q, 1<<63|1, 0)
		r.offer(q, 1<<63|1, 0)
		synctest.Wait()
		if len(r.queue) != 0 {
			t.Error("one answer was handed over twice")
		}
		offered := 1
		for i := range 2 * maxClaims {
			r.offer(q, 1<<63|uint64(i), 0)
			offered++
			if i%32 == 0 {
				synctest.Wait()
			}
		}
		if n := len(r.queue); n != maxErrands || r.Stats().Dropped == 0 {
			t.Errorf("%d questions wait; %+v", n, r.Stats())
		}
		held := 0
		for i := range r.claims {
			if r.claims[i].Load() != 0 {
				held++
			}
		}
		if held != maxErrands+errandWorkers {
			t.Errorf("%d answers are held, %d are under way or wait", held, maxErrands+errandWorkers)
		}
		for i := range maxRenewals {
			if r.renew(dns.MustName(fmt.Sprintf("n%d.test", i)), dns.TypeA, time.Now()) == nil {
				t.Fatalf("no place for renewal %d", i)
			}
		}
		if r.renew(dns.MustName("one-more.test"), dns.TypeA, time.Now()) != nil {
			t.Error("one renewal too many")
		}
		if r.renew(dns.MustName("n0.test"), dns.TypeA, time.Now()) == nil {
			t.Error("no place for one that is under way")
		}
		r.Close()
		if r.renew(dns.MustName("n0.test"), dns.TypeA, time.Now()) != nil {
			t.Error("something begins after the end")
		}
	})
}

// Where the background is full, a client waits no longer than usual.
func TestStaleAnswersWhereTheBackgroundIsFull(t *testing.T) {
	inShop(t, rfc8767, func(s *shop, v *Server) {
		s.learned(v, 101*time.Second)
		s.silence()
		full := NewRefresher(new(stuck))
		defer full.Close()
		for i := range maxRenewals {
			full.renew(dns.MustName(fmt.Sprintf("n%d.test", i)), dns.TypeA, time.Now())
		}
		v.cfg.Refresher = full
		asked := time.Now()
		s.ask(v, askWWW, staleWWW)
		s.took(asked, DefaultClientTimeout, DefaultClientTimeout)
	})
}

// Memory's answers cost no allocation where they are handed over to be renewed, are stale,
// or stand in for a failure.
func TestAgedHitsDoNotAllocate(t *testing.T) {
	s := openShop(t, Stale{MaxAge: time.Hour, AnswerTTL: DefaultAnswerTTL})
	defer s.refresher.Close()
	full := NewRefresher(new(stuck))
	defer full.Close()
	var now time.Time
	for _, v := range []*Server{s.filtered, s.twin} {
		v.cfg.Now = func() time.Time { return now }
		v.cfg.Refresher = full
	}
	born := time.Now()
	name := dns.MustName("www.test")
	put := func(name dns.Name, rcode dns.RCode, born time.Time, ttl time.Duration) {
		s.cache.Put(answer.New(answer.Parts{Name: name, Type: dns.TypeA, RCode: rcode, Born: born, TTL: ttl,
			Answer: []dns.RR{{Name: name, Type: dns.TypeA, Class: dns.ClassIN, TTL: 100, Data: []byte{192, 0, 2, 1}}}}), born)
	}
	put(name, dns.RCodeSuccess, born, 100*time.Second)
	q := parse(t, "www.test A edns")
	out := make([]byte, 0, 1232)
	for _, age := range []time.Duration{time.Second, 95 * time.Second, 101 * time.Second, 200 * time.Second} {
		now = born.Add(age)
		if age == 200*time.Second {
			put(name, dns.RCodeServerFailure, now, time.Second)
		}
		for _, v := range []*Server{s.filtered, s.twin} {
			if n := testing.AllocsPerRun(100, func() {
				if _, ok := v.Hit(q, out); !ok {
					t.Fatalf("%v: not from memory", age)
				}
			}); n != 0 {
				t.Errorf("%v: %v allocations", age, n)
			}
		}
	}
}

package resolve

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoji-dns/shoji/internal/answer"
	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/simnet"
)

// bounded is a lab whose resolver bounds TTLs.
func bounded(t *testing.T, ttls TTLs) *lab {
	n := standard()
	n.serve(shopAddr, shopZone+`
zero.shop.test. 0 A 198.51.100.7
long.shop.test. 1209600 A 198.51.100.8
huge.shop.test. 4294967295 A 198.51.100.9
link.shop.test. 3600 CNAME zero.shop.test.
`)
	return newLab(t, n, func(c *Config) { c.TTLs = ttls })
}

// wantTTL checks how long an answer is remembered, and that every record says so.
func (l *lab) wantTTL(a *answer.Answer, want time.Duration) {
	l.Helper()
	if a.TTL() != want {
		l.Errorf("%s %s is kept for %v, want %v", a.Name(), a.Type(), a.TTL(), want)
	}
	for _, rr := range append(a.Answer(), a.Authority()...) {
		if time.Duration(rr.TTL)*time.Second != want {
			l.Errorf("%s: want a TTL of %v", rr, want)
		}
	}
}

func TestTTLsHaveBounds(t *testing.T) {
	for _, c := range []struct {
		name string
		ttls TTLs
		ask  string
		want time.Duration
	}{
		{"as it is", TTLs{}, "www", 300 * time.Second},
		{"zero is not remembered", TTLs{}, "zero", 0},
		{"a day by default", TTLs{}, "long", 24 * time.Hour},
		{"the top bit is a long time", TTLs{}, "huge", 24 * time.Hour},
		{"a week at most", TTLs{Max: 30 * 24 * time.Hour}, "huge", 7 * 24 * time.Hour},
		{"most", TTLs{Max: 10 * time.Second}, "www", 10 * time.Second},
		{"least", TTLs{Min: time.Hour}, "www", time.Hour},
		{"least of zero", TTLs{Min: time.Minute}, "zero", time.Minute},
		{"most beats least", TTLs{Min: time.Hour, Max: time.Minute}, "www", time.Minute},
		{"negative", TTLs{Min: 2 * time.Hour}, "nope", 600 * time.Second},
		{"most negative", TTLs{Max: 15 * time.Second, MaxNegative: 10 * time.Second}, "nope", 10 * time.Second},
		{"most of all", TTLs{Max: 15 * time.Second}, "nope", 15 * time.Second},
		{"least negative", TTLs{MinNegative: 20 * time.Minute}, "nope", 20 * time.Minute},
		{"most negative beats least", TTLs{MinNegative: 20 * time.Minute, MaxNegative: time.Minute}, "nope", time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := bounded(t, c.ttls)
				l.wantTTL(l.ask(c.ask+".shop.test", dns.TypeA), c.want)
				l.wantTTL(l.ask(c.ask+".shop.test", dns.TypeA), c.want) // from memory where it is there
			})
		})
	}
}

// An alias and what it leads to are bounded each for itself; together they last as
// long as the shorter-lived.
func TestTTLsOfAChainHaveBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := bounded(t, TTLs{Min: time.Minute, Max: 10 * time.Minute})
		a := l.ask("link.shop.test", dns.TypeA)
		if a.TTL() != time.Minute || a.Answer()[0].TTL != 600 || a.Answer()[1].TTL != 60 {
			t.Errorf("%v: %v", a.TTL(), a.Answer())
		}
	})
}

// An owner who moves away takes effect when the parent says, whatever the bounds: a
// least TTL does not prolong a delegation, and a greatest TTL shortens it.
func TestDelegationsAreNotProlonged(t *testing.T) {
	for _, c := range []struct {
		name  string
		ttls  TTLs
		after time.Duration
		moved bool
	}{
		{"least", TTLs{Min: time.Hour}, 61 * time.Second, true},
		{"most", TTLs{Max: 30 * time.Second}, 31 * time.Second, true},
		{"in time", TTLs{Min: time.Hour}, 59 * time.Second, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := standard()
				short := strings.ReplaceAll(testZone, "shop.test. 3600", "shop.test. 60")
				n.serve(testAddr, short)
				l := newLab(t, n, func(conf *Config) { conf.TTLs = c.ttls })
				l.want(l.ask("www.shop.test", dns.TypeA), dns.RCodeSuccess, "www.shop.test. A 198.51.100.1")
				n.serve(testAddr, strings.ReplaceAll(short, "192.0.2.3", "192.0.2.30"))
				n.serve("192.0.2.30", strings.ReplaceAll(shopZone, "198.51.100.2", "203.0.113.2"))
				time.Sleep(c.after)
				want := "a.b.c.shop.test. A 198.51.100.2"
				if c.moved {
					want = "a.b.c.shop.test. A 203.0.113.2"
				}
				l.want(l.ask("a.b.c.shop.test", dns.TypeA), dns.RCodeSuccess, want)
			})
		})
	}
}

// What is signed lasts no longer than its owner signed it for.
func TestSecureAnswersAreNotProlonged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, c := signedLab(t, simnet.Signing{}, honest)
		c.TTLs = TTLs{Min: 5 * time.Hour, MinNegative: 5 * time.Hour}
		r := New(c)
		for _, typ := range []dns.Type{dns.TypeA, dns.TypeTXT} {
			a := r.Resolve(t.Context(), dns.MustName("www.bank.test"), typ)
			if !a.Status().IsSecure() || a.TTL() > time.Hour {
				t.Errorf("%s: %s, kept for %v", typ, a.Status(), a.TTL())
			}
			for _, rr := range a.Answer() {
				if time.Duration(rr.TTL)*time.Second > a.TTL() {
					t.Errorf("%s: kept for %v", rr, a.TTL())
				}
			}
		}
	})
}

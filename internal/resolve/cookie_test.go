package resolve

import (
	"encoding/hex"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/shoji-dns/shoji/internal/dns"
)

const serverPart = "0102030405060708"

// cookieServer does cookies; notes holds the cookies that it was sent.
type cookieServer struct {
	zone  handler
	part  string // the server's, in hexadecimal
	badly bool   // asks for its part with BADCOOKIE
	notes []string
	tcp   int
}

func cookieOf(m *mdns.Msg) string {
	if opt := m.IsEdns0(); opt != nil {
		for _, o := range opt.Option {
			if c, ok := o.(*mdns.EDNS0_COOKIE); ok {
				return c.Cookie
			}
		}
	}
	return ""
}

func withCookie(m *mdns.Msg, cookie string) *mdns.Msg {
	if m.IsEdns0() == nil {
		m.SetEdns0(1232, true)
	}
	m.IsEdns0().Option = append(m.IsEdns0().Option, &mdns.EDNS0_COOKIE{Code: mdns.EDNS0COOKIE, Cookie: cookie})
	return m
}

func (s *cookieServer) handle(q *mdns.Msg, tcp bool) []*mdns.Msg {
	c := cookieOf(q)
	s.notes = append(s.notes, c)
	if tcp {
		s.tcp++
	}
	out := s.zone(q, tcp)
	if len(c) < 16 {
		return out
	}
	if s.badly && c[16:] != s.part && !tcp {
		m := new(mdns.Msg).SetReply(q)
		m.Rcode = mdns.RcodeBadCookie
		out = []*mdns.Msg{m}
	}
	withCookie(out[0], c[:16]+s.part)
	return out
}

// The server's part is kept and sent again; the client's part is another for each
// server, and another on the next day.
func TestCookiesAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := standard()
		s := &cookieServer{zone: authority(shopZone), part: serverPart}
		tld := &cookieServer{zone: authority(testZone), part: serverPart}
		n.handle(shopAddr, s.handle)
		n.handle(testAddr, tld.handle)
		l := newLab(t, n)
		for i := range 3 {
			l.ask(fmt.Sprintf("n%d.shop.test", i), dns.TypeA)
		}
		if len(s.notes[0]) != 16 || s.notes[1] != s.notes[0]+serverPart || s.notes[2] != s.notes[1] || s.tcp != 0 {
			t.Errorf("cookies sent: %q, %d times over TCP", s.notes, s.tcp)
		}
		if tld.notes[0] == s.notes[0] {
			t.Error("two servers were sent the same cookie")
		}
		time.Sleep(cookieTime)
		l.ask("later.shop.test", dns.TypeA)
		if last := s.notes[len(s.notes)-1]; len(last) != 16 || last == s.notes[0] {
			t.Errorf("after a day: %q", last)
		}
		l = newLab(t, n, func(c *Config) { c.NoCookies = true })
		l.ask("n.shop.test", dns.TypeA)
		if last := s.notes[len(s.notes)-1]; last != "" {
			t.Errorf("switched off: %q", last)
		}
	})
}

// A forger guesses everything but the cookie. With a wrong one his reply is ignored;
// without one it is not believed of a server that does cookies.
func TestForgeryWithoutTheCookie(t *testing.T) {
	story(t, func(t *testing.T) {
		for _, forged := range []string{"", "ffffffffffffffff" + serverPart, "ffff"} {
			n := standard()
			s := &cookieServer{zone: authority(shopZone), part: serverPart}
			n.handle(shopAddr, s.handle)
			l := newLab(t, n)
			l.ask("first.shop.test", dns.TypeA)
			n.handle(shopAddr, func(q *mdns.Msg, tcp bool) []*mdns.Msg {
				m := new(mdns.Msg).SetReply(q)
				m.Authoritative = true
				m.Answer = []mdns.RR{rr("www.shop.test. 300 A 203.0.113.66")}
				if m.SetEdns0(1232, true); forged != "" {
					withCookie(m, forged)
				}
				out := s.handle(q, tcp)
				if !tcp {
					out = append([]*mdns.Msg{m}, out...)
				}
				return out
			})
			l.want(l.ask("www.shop.test", dns.TypeA), dns.RCodeSuccess, "www.shop.test. A 198.51.100.1")
			if wants := map[bool]int{true: 1, false: 0}[forged == ""]; s.tcp != wants {
				t.Errorf("%q: %d queries over TCP", forged, s.tcp)
			}
		}
	})
}

// A server whose part of the cookie has changed says so, and is asked once more.
func TestBadCookie(t *testing.T) {
	story(t, func(t *testing.T) {
		n := standard()
		s := &cookieServer{zone: authority(shopZone), part: serverPart, badly: true}
		n.handle(shopAddr, s.handle)
		l := newLab(t, n)
		l.want(l.ask("www.shop.test", dns.TypeA), dns.RCodeSuccess, "www.shop.test. A 198.51.100.1")
		s.part = hex.EncodeToString([]byte("another part"))
		l.want(l.ask("a.b.c.shop.test", dns.TypeA), dns.RCodeSuccess, "a.b.c.shop.test. A 198.51.100.2")
		if s.tcp != 0 {
			t.Errorf("%d queries over TCP", s.tcp)
		}
		// One that is never content is asked over TCP.
		n.handle(shopAddr, func(q *mdns.Msg, tcp bool) []*mdns.Msg {
			s.part = fmt.Sprintf("%016x", len(s.notes))
			return s.handle(q, tcp)
		})
		l.want(l.ask("alias.shop.test", dns.TypeCNAME), dns.RCodeSuccess, "alias.shop.test. CNAME www.shop.test.")
	})
}

// A server that stops doing cookies is asked over TCP once, and over UDP from then on.
func TestServerStopsDoingCookies(t *testing.T) {
	story(t, func(t *testing.T) {
		n := standard()
		s := &cookieServer{zone: authority(shopZone), part: serverPart}
		n.handle(shopAddr, s.handle)
		l := newLab(t, n)
		l.ask("first.shop.test", dns.TypeA)
		n.serve(shopAddr, shopZone)
		for i := range 3 {
			l.want(l.ask(fmt.Sprintf("n%d.shop.test", i), dns.TypeA), dns.RCodeNameError)
		}
		if c := n.count(func(a asked) bool { return a.tcp }); c != 1 {
			t.Errorf("%d queries over TCP", c)
		}
	})
}

// A server that knows EDNS and no options rejects the query; it is asked without a
// cookie, and is from then on.
func TestServerChokesOnCookies(t *testing.T) {
	story(t, func(t *testing.T) {
		n := standard()
		h := authority(shopZone)
		n.handle(shopAddr, func(q *mdns.Msg, tcp bool) []*mdns.Msg {
			if cookieOf(q) != "" {
				return []*mdns.Msg{new(mdns.Msg).SetRcode(q, mdns.RcodeFormatError)}
			}
			if q.IsEdns0() == nil {
				t.Error("asked without EDNS")
			}
			return h(q, tcp)
		})
		l := newLab(t, n)
		l.want(l.ask("www.shop.test", dns.TypeA), dns.RCodeSuccess, "www.shop.test. A 198.51.100.1")
		n.forget()
		l.want(l.ask("a.b.c.shop.test", dns.TypeA), dns.RCodeSuccess, "a.b.c.shop.test. A 198.51.100.2")
		for _, a := range n.queries() {
			if a.tcp || !a.edns {
				t.Errorf("asked like this afterwards: %+v", a)
			}
		}
	})
}

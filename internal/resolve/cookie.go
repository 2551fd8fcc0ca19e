package resolve

import (
	"crypto/rand"
	"encoding/binary"
	"time"

	"github.com/shoji-dns/shoji/internal/dns"
)

const (
	// clientCookieLen and maxCookie are the lengths of a client's cookie and of both
	// together (RFC 7873 §4).
	clientCookieLen = 8
	minBothCookies  = 16
	maxCookie       = 40

	// cookieTime is how long a client cookie is used (RFC 7873 §7.1 recommends at
	// most 26 hours).
	cookieTime = 24 * time.Hour
)

// cookie is the content of a COOKIE option (RFC 7873): the client's part, drawn at
// random for each server address (RFC 9018 §3), and the server's where it is known.
type cookie struct {
	octets [maxCookie]byte
	n      uint8 // 0: no cookies
}

// whole reports that the server's part is known: the server does cookies.
func (c *cookie) whole() bool { return c.n > clientCookieLen }

func (c *cookie) bytes() []byte { return c.octets[:c.n] }

// append writes the option.
func (c *cookie) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, dns.OptionCookie)
	b = binary.BigEndian.AppendUint16(b, uint16(c.n))
	return append(b, c.bytes()...)
}

// cookieHearing is what the cookie of a reply says of it.
type cookieHearing uint8

const (
	cookieNone   cookieHearing = iota // none was sent, or none came back
	cookieFits                        // the server, or somebody who sees what we send
	cookieForged                      // somebody who does not know what we sent
)

// judge compares the cookie of a reply with the one sent (RFC 7873 §5.3).
func (c *cookie) judge(m *dns.Message) cookieHearing {
	if c.n == 0 {
		return cookieNone
	}
	got, ok := m.EDNS.Option(dns.OptionCookie)
	switch {
	case !ok:
		return cookieNone
	case len(got) < clientCookieLen || string(got[:clientCookieLen]) != string(c.octets[:clientCookieLen]):
		return cookieForged
	}
	return cookieFits
}

// cookieLocked is the cookie to send, made anew when its time is over.
func (s *server) cookieLocked(now time.Time) cookie {
	if s.cookie.n == 0 || now.Sub(s.baked) >= cookieTime {
		s.cookie, s.baked = cookie{n: clientCookieLen}, now
		rand.Read(s.cookie.octets[:clientCookieLen])
	}
	return s.cookie
}

// renewed is the cookie to send after a reply whose client's part fits; ok is false
// where it stays as it is. A reply over TCP without a cookie shows that the server
// has stopped doing cookies.
func (c *cookie) renewed(m *dns.Message, tcp bool) (next cookie, ok bool) {
	got, ok := m.EDNS.Option(dns.OptionCookie)
	switch {
	case ok && len(got) >= minBothCookies && len(got) <= maxCookie:
		if string(got) == string(c.bytes()) {
			return *c, false
		}
	case ok || !tcp || !c.whole():
		return *c, false
	default:
		got = c.octets[:clientCookieLen]
	}
	next.n = uint8(copy(next.octets[:], got))
	return next, true
}

// noteCookie keeps a cookie, unless its client's part has been drawn anew since.
func (s *server) noteCookie(c cookie) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if string(s.cookie.octets[:clientCookieLen]) == string(c.octets[:clientCookieLen]) {
		s.cookie = c
	}
}

// noteCookieless records that a server understands EDNS, but not with a cookie.
func (s *server) noteCookieless(now time.Time) {
	s.mu.Lock()
	s.cookieless = now.Add(formTime)
	s.mu.Unlock()
}

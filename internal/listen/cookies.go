package listen

import (
	"crypto/rand"
	"encoding/binary"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shoji-dns/shoji/internal/dns"
)

// CookieSecret is the key of server cookies (RFC 9018 §4.4).
type CookieSecret [16]byte

const (
	// cookieVersion is the version of server cookies that servers of all makes can share
	// (RFC 9018 §4.2).
	cookieVersion = 1
	// cookieExpiry is the age from which a server cookie is not valid, and cookieAhead
	// how far from the future it may be (RFC 9018 §4.3).
	cookieExpiry = time.Hour
	cookieAhead  = 5 * time.Minute
	// cookieRenewal is the age from which a valid cookie is replaced (RFC 9018 §4.3).
	cookieRenewal = 30 * time.Minute
	// secretLife is how long a random secret mints cookies: a day, as RFC 7873 §7.1 has
	// it of secrets that change by themselves. The one before is still known.
	secretLife = 24 * time.Hour
)

// cookies are the server's side of DNS cookies (RFC 7873, RFC 9018). A server cookie is bound
// to the client's cookie and address, so whoever shows a valid one receives what is sent to
// that address. It decides about rate limiting, and about nothing else.
type cookies struct {
	secrets atomic.Pointer[secrets]
	rolling sync.Mutex
}

// secrets are the keys of one time.
type secrets struct {
	mint  CookieSecret
	known []CookieSecret // older ones, whose cookies are valid too
	until time.Time      // when mint is replaced; zero for one that was configured
}

// newCookies makes cookies of the given secrets, of which the first mints, or of random
// ones that are replaced from time to time.
func newCookies(given []CookieSecret) *cookies {
	c := new(cookies)
	s := new(secrets)
	if len(given) > 0 {
		s.mint, s.known = given[0], given[1:]
	} else {
		rand.Read(s.mint[:])
		s.until = time.Now().Add(secretLife)
	}
	c.secrets.Store(s)
	return c
}

// at are the secrets of a time.
func (c *cookies) at(now time.Time) *secrets {
	s := c.secrets.Load()
	if s.until.IsZero() || now.Before(s.until) {
		return s
	}
	return c.roll(now)
}

// roll replaces a random secret whose life is over.
//
//go:noinline
func (c *cookies) roll(now time.Time) *secrets {
	c.rolling.Lock()
	defer c.rolling.Unlock()
	s := c.secrets.Load()
	if now.Before(s.until) {
		return s
	}
	next := &secrets{known: []CookieSecret{s.mint}, until: now.Add(secretLife)}
	rand.Read(next.mint[:])
	c.secrets.Store(next)
	return next
}

// check answers the COOKIE option of q: it has the reply carry a server cookie, and reports
// whether the one that came was valid.
func (c *cookies) check(q *dns.Query, from netip.Addr) (valid bool) {
	s := c.at(q.Received)
	now := uint32(q.Received.Unix())
	q.Reply.HasCookie = true
	if came := q.ServerCookie(); len(came) == len(q.Reply.Cookie) && came[0] == cookieVersion {
		age := time.Duration(int32(now-binary.BigEndian.Uint32(came[4:]))) * time.Second // serial numbers, RFC 1982
		if -cookieAhead <= age && age <= cookieExpiry {
			if s.mint.isOf(q, from, came) {
				valid = true
				if age <= cookieRenewal {
					copy(q.Reply.Cookie[:], came)
					return true
				}
			}
			for i := range s.known {
				valid = valid || s.known[i].isOf(q, from, came)
			}
		}
	}
	fresh := &q.Reply.Cookie
	*fresh = [len(fresh)]byte{cookieVersion}
	binary.BigEndian.PutUint32(fresh[4:], now)
	binary.LittleEndian.PutUint64(fresh[8:], s.mint.hash(q, from, fresh[:8]))
	return valid
}

// isOf reports whether a server cookie was minted by this secret for the client of q.
func (k *CookieSecret) isOf(q *dns.Query, from netip.Addr, came []byte) bool {
	// Not in constant time: a guess can be tried once a query, and the hash is keyed.
	return binary.LittleEndian.Uint64(came[8:]) == k.hash(q, from, came[:8])
}

// hash is a server cookie's last part: the hash of the client's cookie, the server cookie's
// first part and the client's address (RFC 9018 §4.4).
func (k *CookieSecret) hash(q *dns.Query, from netip.Addr, first []byte) uint64 {
	var room [8 + 8 + 16]byte
	b := append(append(room[:0], q.ClientCookie[:]...), first...)
	if from = from.Unmap(); from.Is4() {
		a := from.As4()
		b = append(b, a[:]...)
	} else {
		a := from.As16()
		b = append(b, a[:]...)
	}
	return sipHash((*[16]byte)(k), b)
}

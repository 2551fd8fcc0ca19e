package listen

import (
	"errors"
	"net/netip"
	"slices"
	"time"

	"github.com/shoji-dns/shoji/internal/dns"
)

// outcome is what becomes of a query that was read.
type outcome uint8

const (
	silent       outcome = iota // no reply
	ready                       // a reply was appended
	needed                      // Miss is needed
	neededProven                // likewise, by a client that proved its address
)

const (
	// queryStride and replyStride are how far a worker's buffers lie apart: an odd
	// number of cache lines, so that the first lines of a batch fall into
	// different sets of a cache. A reply of MaxUDPReply fits with room to build in.
	queryStride = maxUDPQuery + 64
	replyStride = MaxUDPReply + 112
)

// ReflectorPorts are the UDP ports of services that answer whatever comes in:
// echo, daytime, chargen, time and kpasswd. A query that seems to come from one
// is forged, to make two servers talk to each other. BIND drops the same.
func ReflectorPorts() []uint16 { return []uint16{7, 13, 19, 37, 464} }

// datagram decides about one packet that came from a UDP source and appends
// the reply, if there is one now, to out. now is when it was read.
func (s *Server) datagram(q *dns.Query, packet []byte, from netip.AddrPort, now time.Time, out []byte, t *tally) ([]byte, outcome) {
	port := from.Port()
	if port == 0 || slices.Contains(s.cfg.IgnorePorts, port) {
		t.ignored++
		return out, silent
	}
	addr := from.Addr()
	if !s.allow.contains(addr) {
		return refuse(q, packet, out, t)
	}
	verdict := limitPass
	if s.limiter != nil && !addr.IsLoopback() {
		verdict = s.limiter.take(addr, now)
	}
	parsed := parse(q, packet, &out, t)
	proven := parsed && s.stamp(q, addr, now)
	if verdict != limitPass && !proven {
		t.limited++
		return limit(q, verdict, parsed, out)
	}
	if !parsed {
		return out, settled(out)
	}
	q.MaxReply = min(q.MaxReply, MaxUDPReply)
	if reply, ok := s.cfg.Handler.Hit(q, out); ok {
		t.hits++
		return reply, ready
	}
	if proven {
		return out, neededProven
	}
	return out, needed
}

// stamp says of a query when it came, and has its reply carry a cookie and the server's
// identifier if it asks for them. It reports whether its own cookie shows that the client
// receives what is sent to its address.
func (s *Server) stamp(q *dns.Query, from netip.Addr, now time.Time) (proven bool) {
	q.Received = now
	if q.NSID {
		q.Reply.NSID = s.cfg.NSID
	}
	return q.HasCookie && s.cookies.check(q, from)
}

// settled is the outcome of a query that parse has dealt with: it appended an
// error reply to an empty out, or nothing.
func settled(out []byte) outcome {
	if len(out) == 0 {
		return silent
	}
	return ready
}

// parse reads packet into q. It reports false if there is nothing to ask a
// handler: a bare error reply was appended to out, or nothing for what must not
// be answered.
func parse(q *dns.Query, packet []byte, out *[]byte, t *tally) bool {
	err := q.Parse(packet)
	if err == nil {
		return true
	}
	if errors.Is(err, dns.ErrDrop) {
		t.ignored++
		return false
	}
	rcode := dns.RCodeFormatError
	if e, ok := err.(dns.Error); ok {
		rcode = e.RCode()
	}
	t.malformed++
	*out = dns.AppendError(*out, q, rcode)
	return false
}

// submitDatagram gives a query that needs Miss to the pool, which sends the reply through to. Where the pool
// does not take it, it is counted as shed, and the reply is appended to out. The reply goes to from; it is client
// that asks.
func (s *Server) submitDatagram(q *dns.Query, to replier, from netip.AddrPort, client netip.Addr, local *control, o outcome, out []byte, t *tally) ([]byte, outcome) {
	m := s.misses.get()
	m.q, m.h, m.to, m.from, m.control = *q, s.cfg.Handler, to, from, *local
	m.source = missSource(client, o == neededProven)
	if why := s.misses.submit(m); why != "" {
		t.shed++
		return appendOverloaded(out, q, why), ready
	}
	t.misses++
	return out, silent
}

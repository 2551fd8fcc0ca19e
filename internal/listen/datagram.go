package listen

import (
	"errors"
	"net/netip"
	"slices"

	"github.com/shoji-dns/shoji/internal/dns"
)

// outcome is what becomes of a query that was read.
type outcome uint8

const (
	silent outcome = iota // no reply
	ready                 // a reply was appended
	needed                // Miss is needed
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
// the reply, if there is one now, to out.
func (s *Server) datagram(q *dns.Query, packet []byte, from netip.AddrPort, out []byte, t *tally) ([]byte, outcome) {
	port := from.Port()
	if port == 0 || slices.Contains(s.cfg.IgnorePorts, port) {
		t.ignored++
		return out, silent
	}
	addr := from.Addr()
	if !s.allow.contains(addr) {
		return refuse(q, packet, out, t)
	}
	if s.limiter != nil && !addr.IsLoopback() {
		switch s.limiter.take(addr) {
		case limitDrop:
			t.limited++
			return out, silent
		case limitTruncate:
			t.limited++
			return truncate(q, packet, out, t)
		}
	}
	if !parse(q, packet, &out, t) {
		return out, settled(out)
	}
	q.MaxReply = min(q.MaxReply, MaxUDPReply)
	if reply, ok := s.cfg.Handler.Hit(q, out); ok {
		t.hits++
		return reply, ready
	}
	return out, needed
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

// submitDatagram gives a query to the pool, which sends the reply through to. It
// reports false, and has counted the query as shed, if there is no place.
func (s *Server) submitDatagram(q *dns.Query, to replier, from netip.AddrPort, local *control, t *tally) bool {
	m := s.misses.get()
	m.q, m.to, m.from, m.control = *q, to, from, *local
	if !s.misses.submit(m) {
		t.shed++
		return false
	}
	t.misses++
	return true
}

package listen

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"github.com/shoji-dns/shoji/internal/dns"
)

// What Answer returns where there is no reply.
var (
	// ErrNoQuery: the message is no query, and nothing may be answered.
	ErrNoQuery = errors.New("not a DNS query")
	// ErrKeepalive: it has an edns-tcp-keepalive option, which has no place on a connection
	// of this kind (RFC 9250 §5.5.2).
	ErrKeepalive = errors.New("a query with edns-tcp-keepalive, over QUIC")
)

// Guest is a query that came over another transport than those of this package: it has sockets
// and connections of its own, and all else is here.
type Guest struct {
	From netip.Addr
	View int // in Config.Secure.Views

	// Dedicated has queries refused that the protocol calls fatal errors (RFC 9250 §4.3.3).
	Dedicated bool

	oblivious bool // who asks is not known, From is a proxy, and the reply is padded by who encrypts it
}

// Admit takes a connection of a guest in, and reports false where its source is not served or
// there is no place for it. Each that was taken in is to be dismissed once. A balancer is not served: guests
// read no PROXY headers.
func (s *Server) Admit(from netip.Addr) bool {
	t := tally{conns: 1}
	defer func() {
		s.guests.Lock()
		defer s.guests.Unlock()
		s.guestCounters.publish(&t)
	}()
	switch {
	case !s.allow.contains(from) || s.behind(from):
		t.refused++
		return false
	case !s.conns.addGuest(from):
		t.noPlace++
		return false
	}
	return true
}

// Dismiss ends what Admit began.
func (s *Server) Dismiss(from netip.Addr) { s.conns.removeGuest(from) }

// Answer appends the reply to a guest's query, padded. It waits where the network is needed,
// until ctx ends. ttl is how long the reply may be kept, in seconds.
func (s *Server) Answer(ctx context.Context, g Guest, packet, out []byte) (reply []byte, ttl uint32, err error) {
	var t tally
	defer func() {
		s.guests.Lock()
		defer s.guests.Unlock()
		s.guestCounters.publish(&t)
	}()
	d := s.desks.Get().(*desk)
	defer s.desks.Put(d)
	start := len(out)
	if parse(&d.q, packet, &out, &t) {
		if g.Dedicated && d.q.Keepalive {
			return nil, 0, ErrKeepalive
		}
		s.stampStream(&d.q, g.From, time.Now(), g.oblivious)
		var hit bool
		if out, hit = s.cfg.Secure.Views[g.View].Handler.Hit(&d.q, out); hit {
			t.hits++
		} else if out, err = s.answerLater(ctx, g, &d.q, out, &t); err != nil {
			return nil, 0, err
		}
	}
	if len(out) == start {
		return nil, 0, ErrNoQuery
	}
	if !g.oblivious {
		out = dns.PadMessage(out, start, replyBlock, maxTCPMessage)
	}
	return out, dns.LeastTTL(out[start:]), nil
}

// answerLater has the pool answer q. What nobody waits for any more keeps its place until it
// ends, so that a client gains nothing by cancelling.
func (s *Server) answerLater(ctx context.Context, g Guest, q *dns.Query, out []byte, t *tally) ([]byte, error) {
	w := make(waiting, 1)
	m := s.misses.get()
	m.q, m.h, m.to, m.source = *q, s.cfg.Secure.Views[g.View].Handler, w, missSource(g.From, true)
	if why := s.misses.submit(m); why != "" {
		t.shed++
		return appendOverloaded(out, q, why), nil
	}
	t.misses++
	select {
	case message := <-w:
		return append(out, message...), nil
	case <-ctx.Done():
		return out, ctx.Err()
	}
}

// waiting is told the reply to one query.
type waiting chan []byte

func (w waiting) reply(_ *miss, message []byte) { w <- append([]byte(nil), message...) }

// addGuest takes a guest's connection in, as add does.
func (c *conns) addGuest(from netip.Addr) bool {
	source := sourceOf(from)
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.stopped.IsZero() || !c.place(source) {
		return false
	}
	c.guests++
	c.sources[source]++
	return true
}

func (c *conns) removeGuest(from netip.Addr) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.guests--
	c.leave(sourceOf(from))
}

// place reports whether there is a place for one more connection of a source.
func (c *conns) place(source netip.Prefix) bool {
	return len(c.open)+c.guests < c.max && (!source.IsValid() || c.sources[source] < max(1, c.max/sourceShare))
}

// leave frees a place of a source.
func (c *conns) leave(source netip.Prefix) {
	if !source.IsValid() {
		return
	}
	if c.sources[source]--; c.sources[source] == 0 {
		delete(c.sources, source)
	}
}

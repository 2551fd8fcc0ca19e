package listen

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"
)

// sourceShare is which part of all TCP connections one source may hold: a quarter.
const sourceShare = 4

// The wait after a connection could not be accepted, at first and at most.
const (
	acceptPause    = 5 * time.Millisecond
	maxAcceptPause = time.Second
)

// conns are the connections that are open, bounded in all and for each source.
type conns struct {
	max int

	mu      sync.Mutex
	open    map[*stream]netip.Prefix
	guests  int                  // connections of other transports
	sources map[netip.Prefix]int // never more entries than there are connections
	stopped time.Time            // the deadline that ends reading; zero before stop
	none    sync.Cond
}

func newConns(max int) *conns {
	c := &conns{max: max, open: make(map[*stream]netip.Prefix), sources: make(map[netip.Prefix]int)}
	c.none.L = &c.mu
	return c
}

// add takes st in, or reports false if there is no place for it. Where from is not valid, it is not yet known whose
// connection it is.
func (c *conns) add(st *stream, from netip.Addr) bool {
	source := sourceOf(from)
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.stopped.IsZero() || !c.place(source) {
		return false
	}
	c.open[st] = source
	if source.IsValid() {
		c.sources[source]++
	}
	return true
}

// secured has st go on over TLS. It reports false where reading has ended meanwhile.
func (c *conns) secured(st *stream, over net.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	st.conn, st.tls = over, true
	return c.stopped.IsZero()
}

func (c *conns) remove(st *stream) {
	c.mu.Lock()
	defer c.mu.Unlock()
	source, ok := c.open[st]
	if !ok {
		return
	}
	delete(c.open, st)
	c.leave(source)
	if len(c.open) == 0 {
		c.none.Broadcast()
	}
}

// accept takes connections from d until it is closed.
func (s *Server) accept(d door) error {
	pause := acceptPause
	for {
		c, err := d.AcceptTCP()
		switch {
		case err == nil:
			pause = acceptPause
			s.admit(c, d)
		case s.stopping.Load():
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("listen: accept on %s: %w", d.Addr(), err)
		default: // such as no file descriptor left: others will end
			time.Sleep(pause)
			pause = min(2*pause, maxAcceptPause)
		}
	}
}

// admit serves a connection in a goroutine of its own, or closes it.
func (s *Server) admit(c net.Conn, d door) {
	t := tally{conns: 1}
	st := newStream(s, c, peer(c))
	from, behind := st.from, s.behind(st.from)
	if behind { // a header will say whose it is
		from = netip.Addr{}
	}
	switch {
	case !behind && !s.served(st, d.tls != nil):
		t.refused++
	case !s.conns.add(st, from):
		t.noPlace++
	default:
		s.tcpCounters.publish(&t)
		go s.begin(st, d, behind)
		return
	}
	s.tcpCounters.publish(&t)
	s.part(st)
	c.Close()
}

// begin serves a connection that was taken in.
func (s *Server) begin(st *stream, d door, behind bool) {
	if behind && !s.introduced(st, d.tls != nil) {
		s.conns.remove(st)
		s.part(st)
		st.conn.Close()
		s.refusals.Add(1)
		return
	}
	if d.tls != nil {
		s.welcome(st, d)
		return
	}
	defer s.conns.remove(st)
	st.serve()
}

// idle is how long a connection may be silent now: the whole time while half of
// the places are free, then an eighth, so that silent clients make room.
func (c *conns) idle(whole time.Duration) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if 2*(len(c.open)+c.guests) <= c.max {
		return whole
	}
	return whole / 8
}

// count is how many are open.
func (c *conns) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.open)
}

// of is how many of a source are open.
func (c *conns) of(from netip.Addr) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sources[sourceOf(from)]
}

// stop ends reading on every connection.
func (c *conns) stop(past time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopped = past
	for st := range c.open {
		st.conn.SetReadDeadline(past)
	}
}

// cut closes every connection.
func (c *conns) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for st := range c.open {
		st.raw.Close()
	}
}

// wait returns when no connection is open.
func (c *conns) wait() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.open) > 0 {
		c.none.Wait()
	}
}

// sourceOf is what counts as one source of connections: an IPv4 address, or
// what an IPv6 access usually gets, a /56 (RFC 6177).
func sourceOf(a netip.Addr) netip.Prefix {
	if !a.IsValid() {
		return netip.Prefix{}
	}
	a = a.Unmap()
	bits := 32
	if a.Is6() {
		bits = limitBits6
	}
	p, _ := a.Prefix(bits)
	return p
}

// peer is the address of a connection's other end.
func peer(c net.Conn) netip.Addr {
	if a, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		return a.AddrPort().Addr().WithZone("")
	}
	return netip.Addr{}
}

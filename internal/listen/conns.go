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

// conns are the TCP connections that are open, bounded in all and for each source.
type conns struct {
	max int

	mu      sync.Mutex
	open    map[*stream]netip.Prefix
	sources map[netip.Prefix]int // never more entries than open has
	stopped time.Time            // the deadline that ends reading; zero before stop
	none    sync.Cond
}

func newConns(max int) *conns {
	c := &conns{max: max, open: make(map[*stream]netip.Prefix), sources: make(map[netip.Prefix]int)}
	c.none.L = &c.mu
	return c
}

// add takes st in, or reports false if there is no place for it.
func (c *conns) add(st *stream, from netip.Addr) bool {
	source := sourceOf(from)
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.stopped.IsZero() || len(c.open) >= c.max || c.sources[source] >= max(1, c.max/sourceShare) {
		return false
	}
	c.open[st] = source
	c.sources[source]++
	return true
}

func (c *conns) remove(st *stream) {
	c.mu.Lock()
	defer c.mu.Unlock()
	source, ok := c.open[st]
	if !ok {
		return
	}
	delete(c.open, st)
	if c.sources[source]--; c.sources[source] == 0 {
		delete(c.sources, source)
	}
	if len(c.open) == 0 {
		c.none.Broadcast()
	}
}

// accept takes connections from l until it is closed.
func (s *Server) accept(l *net.TCPListener) error {
	pause := acceptPause
	for {
		c, err := l.Accept()
		switch {
		case err == nil:
			pause = acceptPause
			s.admit(c)
		case s.stopping.Load():
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("listen: accept on %s: %w", l.Addr(), err)
		default: // such as no file descriptor left: others will end
			time.Sleep(pause)
			pause = min(2*pause, maxAcceptPause)
		}
	}
}

// admit serves a connection in a goroutine of its own, or closes it.
func (s *Server) admit(c net.Conn) {
	t := tally{conns: 1}
	st := newStream(s, c)
	from := peer(c)
	switch {
	case !s.allow.contains(from):
		t.refused++
	case !s.conns.add(st, from):
		t.noPlace++
	default:
		s.tcpCounters.publish(&t)
		go func() {
			defer s.conns.remove(st)
			st.serve()
		}()
		return
	}
	s.tcpCounters.publish(&t)
	c.Close()
}

// idle is how long a connection may be silent now: the whole time while half of
// the places are free, then an eighth, so that silent clients make room.
func (c *conns) idle(whole time.Duration) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if 2*len(c.open) <= c.max {
		return whole
	}
	return whole / 8
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
		st.conn.Close()
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

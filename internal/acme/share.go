package acme

import (
	"net"
	"net/netip"
	"sync"
)

// httpShare is how many connections for http-01 one source may have: a quarter. An authority comes once or a few
// times for each name, which are two or three.
const httpShare = httpConns / 4

// shared is a listener of which each source has a share at most; who comes for more is closed at once.
type shared struct {
	net.Listener

	mu   sync.Mutex
	open map[netip.Prefix]int // never more entries than there are connections
}

// Accept implements net.Listener.
func (l *shared) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		source := sourceOf(c.RemoteAddr())
		if l.enter(source) {
			return &held{c, sync.OnceFunc(func() { l.leave(source) })}, nil
		}
		c.Close()
	}
}

func (l *shared) enter(source netip.Prefix) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[source] >= httpShare {
		return false
	}
	l.open[source]++
	return true
}

func (l *shared) leave(source netip.Prefix) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[source]--; l.open[source] == 0 {
		delete(l.open, source)
	}
}

// held is a connection that counts until it is closed.
type held struct {
	net.Conn
	leave func()
}

// Close implements net.Conn.
func (c *held) Close() error {
	defer c.leave()
	return c.Conn.Close()
}

// sourceOf is what counts as one source, as for connections with queries (package listen): an IPv4 address, or a /56.
func sourceOf(a net.Addr) netip.Prefix {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}
	}
	addr, bits := tcp.AddrPort().Addr().Unmap(), 32
	if addr.Is6() {
		bits = 56
	}
	source, _ := addr.Prefix(bits)
	return source
}

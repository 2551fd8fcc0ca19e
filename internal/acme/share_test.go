package acme

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
)

// come are connections from these addresses, and then the end.
type come struct {
	net.Listener
	from []string
	all  []*from
}

type from struct {
	net.Conn
	addr   net.Addr
	closed bool
}

func (c *from) RemoteAddr() net.Addr { return c.addr }

func (c *from) Close() error { c.closed = true; return nil }

func (l *come) Accept() (net.Conn, error) {
	if len(l.from) == 0 {
		return nil, net.ErrClosed
	}
	c := &from{addr: net.TCPAddrFromAddrPort(netip.MustParseAddrPort(l.from[0]))}
	l.from, l.all = l.from[1:], append(l.all, c)
	return c, nil
}

// TestOneSourceHasItsShare: who holds connections for http-01 leaves places for others; what it closes, it may
// open again.
func TestOneSourceHasItsShare(t *testing.T) {
	several := func(format string, n int) (out []string) {
		for i := range n {
			out = append(out, fmt.Sprintf(format, i))
		}
		return out
	}
	below := &come{}
	l := &shared{Listener: below, open: make(map[netip.Prefix]int)}
	accept := func(from []string) (taken []net.Conn) {
		below.from = from
		for {
			c, err := l.Accept()
			if errors.Is(err, net.ErrClosed) {
				return taken
			}
			taken = append(taken, c)
		}
	}
	var taken []net.Conn
	for _, c := range []struct {
		format string
		want   int
	}{
		{"192.0.2.1:%d", httpShare}, {"[::ffff:192.0.2.1]:%d", 0}, {"192.0.2.2:%d", httpShare},
		{"[2001:db8:0:1%02x::1]:1", httpShare}, {"[2001:db8:0:200::%x]:1", httpShare},
	} {
		got := accept(several(c.format, httpConns))
		if len(got) != c.want {
			t.Errorf("%s: %d places, not %d", c.format, len(got), c.want)
		}
		taken = append(taken, got...)
	}
	open := 0
	for _, c := range below.all {
		if !c.closed {
			open++
		}
	}
	if open != len(taken) || len(l.open) != 4 {
		t.Errorf("%d open, %d taken, of %d sources", open, len(taken), len(l.open))
	}
	for _, c := range taken {
		c.Close()
		c.Close() // as servers do
	}
	if len(l.open) != 0 {
		t.Errorf("after the end: %v", l.open)
	}
	if n := len(accept(several("192.0.2.1:%d", httpConns))); n != httpShare {
		t.Errorf("%d places again", n)
	}
}

// TestAConnectionIsForOneRequest: nobody keeps a connection for http-01 by asking again and again; one of a source
// too many is closed without an answer.
func TestAConnectionIsForOneRequest(t *testing.T) {
	_, cfg := overHTTP(t, 0)
	m := manager(t, cfg)
	at := m.Addrs()[0].String()
	var idle []net.Conn
	for range httpShare {
		c, err := net.Dial("tcp", at)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		idle = append(idle, c)
	}
	const request = "GET / HTTP/1.1\r\nHost: dns1.example\r\n\r\n"
	ask := func(c net.Conn) string {
		io.WriteString(c, request)
		b, _ := io.ReadAll(c)
		return string(b)
	}
	if c, err := net.Dial("tcp", at); err != nil || ask(c) != "" {
		t.Errorf("one too many is answered, %v", err)
	}
	for _, c := range idle {
		if text := ask(c); !strings.Contains(text, http.StatusText(http.StatusNotFound)) || !strings.Contains(text, "Connection: close") {
			t.Errorf("%q", text)
		}
	}
}

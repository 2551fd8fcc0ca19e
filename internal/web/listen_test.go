package web

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// serving is a site on a free port of loopback.
func serving(t *testing.T, conf Config) (addr string) { return servingSite(t, testSite(t, conf)) }

func servingSite(t *testing.T, site *Site) (addr string) {
	t.Helper()
	s, err := Listen(site, []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return strings.TrimSuffix(strings.TrimPrefix(s.URLs()[0], "http://"), "/")
}

// dial connects from an address of loopback.
func dial(t *testing.T, from, to string) net.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: 20 * time.Second}
	c, err := d.Dial("tcp", to)
	if err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(20 * time.Second))
	t.Cleanup(func() { c.Close() })
	return c
}

// ask sends what it is given, and returns the reply.
func ask(t *testing.T, c net.Conn, text string) (*http.Response, string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	r, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r, string(body)
}

const plainGet = "GET /echo?text=hello HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"

// Whoever opens connections and says nothing, or a header a little at a time, loses the oldest of
// his own, and others are answered meanwhile.
func TestManyConnections(t *testing.T) {
	addr := serving(t, Config{})
	var slow []net.Conn
	for i := range networkConnections + 50 {
		c := dial(t, fmt.Sprintf("127.1.1.%d", 1+i%200), addr) // one /24
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: lo")
		slow = append(slow, c)
	}
	if r, body := ask(t, dial(t, "127.9.9.9", addr), plainGet); r.StatusCode != 200 || !strings.Contains(body, "said hello") {
		t.Errorf("another network gets %d", r.StatusCode)
	}
	if r, _ := ask(t, dial(t, "127.1.1.1", addr), plainGet); r.StatusCode != 200 {
		t.Errorf("a new connection of the same network gets %d", r.StatusCode)
	}
	if _, err := slow[0].Read(make([]byte, 1)); err == nil {
		t.Error("the oldest connection is still open")
	}
}

// What is no request of ours is refused by whoever reads it first, and nothing of it is repeated.
func TestOddRequests(t *testing.T) {
	addr := serving(t, Config{})
	for name, c := range map[string]struct {
		text   string
		status int
	}{
		"no host":                   {"GET /echo HTTP/1.1\r\n\r\n", 400},
		"two hosts":                 {"GET /echo HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n", 400},
		"a host with a space":       {"GET /echo HTTP/1.1\r\nHost: local host\r\n\r\n", 400},
		"a fold in a header":        {"GET /echo HTTP/1.1\r\nHost: localhost\r\n x: y\r\n\r\n", 400},
		"two lengths":               {"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400},
		"a chunked body of a lie":   {"POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: identity\r\n\r\n", 501},
		"a long header":             {"GET /echo HTTP/1.1\r\nHost: localhost\r\nX: " + strings.Repeat("a", 2*maxHeader) + "\r\n\r\n", 431},
		"many headers":              {"GET /echo HTTP/1.1\r\nHost: localhost\r\n" + strings.Repeat("X: a\r\n", maxHeader) + "\r\n", 431},
		"another host by its name":  {"GET http://evil.example/echo HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 421},
		"a tunnel":                  {"CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\nConnection: close\r\n\r\n", 421},
		"everything":                {"OPTIONS * HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 404},
		"HTTP/2 without TLS":        {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 421},
		"an upgrade":                {"GET /echo HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, close\r\nUpgrade: h2c\r\n\r\n", 200},
		"a method of its own":       {"BREW /echo HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 405},
		"a form longer than it may": {fmt.Sprintf("POST /echo HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\ntext=%s", MaxBody+6, strings.Repeat("a", MaxBody+1)), 413},
		"raw octets in a query":     {"GET /echo?text=\xff\xfe HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 400},
	} {
		r, body := ask(t, dial(t, "127.2.3.4", addr), c.text)
		if r.StatusCode != c.status || strings.Contains(body, "evil") || r.Header.Get("X") != "" {
			t.Errorf("%s: %d, not %d: %.200s", name, r.StatusCode, c.status, body)
		}
	}
}

// A flood of whole requests of one network is refused from the first on that is too many, is
// told when to come again, and leaves the others' turns alone. The clock stands still meanwhile.
func TestFloodOfOneNetwork(t *testing.T) {
	const more = 30
	var seconds atomic.Int64
	site := testSite(t, Config{Now: func() time.Time { return time.Unix(seconds.Load(), 0) }})
	addr := servingSite(t, site)
	flood, other := "127.5.5.5", "127.6.6.6"
	for i := 7; site.turns.network(netip.MustParseAddr(other)) == site.turns.network(netip.MustParseAddr(flood)); i++ {
		other = fmt.Sprintf("127.6.%d.6", i) // networks may share a place
	}
	ask := func(from string) *http.Response {
		t.Helper()
		r, _ := ask(t, dial(t, from, addr), plainGet)
		return r
	}
	for i := range burst + more {
		want := http.StatusOK
		if i >= burst {
			want = http.StatusTooManyRequests
		}
		if r := ask(flood); r.StatusCode != want || i >= burst && r.Header.Get("Retry-After") == "" {
			t.Fatalf("request %d gets %d and %v, want %d", i, r.StatusCode, r.Header, want)
		}
	}
	if r := ask(other); r.StatusCode != http.StatusOK {
		t.Errorf("another network gets %d", r.StatusCode)
	}
	seconds.Add(1)
	for i := range perSecond + 1 {
		want := http.StatusOK
		if i == perSecond {
			want = http.StatusTooManyRequests
		}
		if r := ask(flood); r.StatusCode != want {
			t.Errorf("a second later, request %d gets %d, want %d", i, r.StatusCode, want)
		}
	}
}

package listen

import (
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/listen/balancer"
)

// speaksFor is the PROXY header of a balancer for a client; for itself where that is "".
func speaksFor(client string, datagram bool) []byte {
	b := []byte("\r\n\r\n\x00\r\nQUIT\n")
	if client == "" {
		return append(b, 0x20, 0, 0, 0)
	}
	addr, protocol := netip.MustParseAddr(client), byte(1)
	if datagram {
		protocol = 2
	}
	family, size := byte(0x10), 4
	if addr.Is6() {
		family, size = 0x20, 16
	}
	b = binary.BigEndian.AppendUint16(append(b, 0x21, family|protocol), uint16(2*size+4))
	b = append(append(b, addr.AsSlice()...), make([]byte, size)...)
	return append(b, 0x30, 0x39, 0, 53) // port 12345
}

// balanced has 127.0.0.2 and 127.0.0.3 be balancers, of clients in two networks and on this machine.
func balanced(cfg Config) Config {
	cfg.Balancers = []netip.Prefix{netip.MustParsePrefix("127.0.0.2/31")}
	cfg.Allow = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32"), netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/32")}
	return cfg
}

// A balancer's datagrams are answered as its clients': served or not, limited, and with cookies of the client's
// address. One without a header, and one with a header from anybody else, gets nothing.
func TestBalancedDatagrams(t *testing.T) {
	for name, open := range paths() {
		t.Run(name, func(t *testing.T) {
			s := start(t, open, balanced(Config{}))
			trusted, other := dial(t, "udp", "127.0.0.2", s.Addrs()[0]), dial(t, "udp", "127.0.0.1", s.Addrs()[0])
			id := uint16(0)
			bad := speaksFor("192.0.2.7", true)
			bad[12] = 0x31 // another version
			for _, c := range []struct {
				from   net.Conn
				header []byte
				rcode  dns.RCode
				silent bool
			}{
				{from: trusted, header: speaksFor("192.0.2.7", true)}, {from: trusted, header: speaksFor("2001:db8::7", true)}, {from: trusted, header: speaksFor("192.0.2.7", false)},
				{from: trusted, header: speaksFor("198.51.100.7", true), rcode: dns.RCodeRefused}, {from: trusted, header: speaksFor("", true)},
				{from: trusted, silent: true}, {from: trusted, header: bad, silent: true},
				{from: other, header: speaksFor("192.0.2.7", true), silent: true}, {from: other}, {from: trusted, header: speaksFor("192.0.2.7", true)},
			} {
				for _, asked := range []string{"hit.example", "miss.example"} {
					id++
					c.from.Write(append(slices.Clone(c.header), packet(t, id, asked, true)...))
					if c.silent { // the next query's reply is the next one
						continue
					}
					if m := unpack(t, next(t, c.from)); m.ID != id || m.RCode != c.rcode {
						t.Errorf("%x, %s: %d %s, want %d %s", c.header, asked, m.ID, m.RCode, id, c.rcode)
					}
				}
			}
			if n := s.Stats().Ignored; n != 6 {
				t.Errorf("%d dropped", n)
			}
		})
	}
}

// The rate is the client's, not the balancer's.
func TestBalancedRate(t *testing.T) {
	s := newServer(balanced(Config{Handler: new(labHandler), RateLimit: 1}))
	from := netip.MustParseAddrPort("127.0.0.2:53000")
	var q dns.Query
	var ta tally
	ask := func(client string) outcome {
		who, p, ok := s.speaker(from, append(speaksFor(client, true), packet(t, 1, "hit.example", false)...))
		if !ok {
			t.Fatal("a good header is refused")
		}
		_, o := s.datagram(&q, p, who, time.Unix(1<<40, 0), nil, &ta)
		return o
	}
	for _, client := range []string{"192.0.2.7", "2001:db8::7"} {
		if o := ask(client); o != ready {
			t.Errorf("%s: the first query: %d", client, o)
		}
		for range 4 {
			ask(client)
		}
	}
	if ta.limited != 8 || ta.hits != 2 {
		t.Errorf("%d limited, %d answered", ta.limited, ta.hits)
	}
}

// Over TCP and TLS the header stands before all else.
func TestBalancedConnections(t *testing.T) {
	cfg := balanced(secured(t))
	cfg.Addrs, cfg.Handler = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}, new(labHandler)
	s := serveSecure(t, cfg)
	for _, c := range []struct {
		from   string
		header []byte
		served bool
	}{
		{"127.0.0.2", speaksFor("192.0.2.7", false), true}, {"127.0.0.3", speaksFor("2001:db8::7", true), true}, {"127.0.0.2", speaksFor("", false), true},
		{"127.0.0.2", speaksFor("198.51.100.7", false), false}, {"127.0.0.2", nil, false}, {"127.0.0.1", speaksFor("192.0.2.7", false), false}, {"127.0.0.1", nil, true},
	} {
		for what, to := range map[string]netip.AddrPort{"TCP": s.Addrs()[0], "TLS": s.DoTAddrs()[0]} {
			conn := dial(t, "tcp", c.from, to)
			var over net.Conn = conn
			first := c.header
			if what == "TLS" {
				conn.Write(first)
				first, over = nil, tls.Client(conn, clientTLS("one.example"))
			}
			over.Write(append(slices.Clone(first), frame(packet(t, 5, "miss.example", true))...))
			var head [2]byte
			_, err := io.ReadFull(over, head[:])
			if (err == nil) != c.served {
				t.Errorf("%s from %s with %x: %v", what, c.from, c.header, err)
			}
			conn.Close()
		}
	}
}

// dnsdist sends the header within TLS: with the query in one record, or before it, or in pieces.
func TestHeaderWithinTLS(t *testing.T) {
	s := serveSecure(t, balanced(secured(t)))
	query := frame(packet(t, 5, "miss.example", true))
	good := speaksFor("192.0.2.7", false)
	for what, c := range map[string]struct {
		from   string
		writes [][]byte
		served bool
	}{
		"in one record":    {"127.0.0.2", [][]byte{slices.Concat(good, query)}, true},
		"with two":         {"127.0.0.2", [][]byte{slices.Concat(good, query, query), query}, true},
		"with a half":      {"127.0.0.2", [][]byte{slices.Concat(good, query[:20]), query[20:]}, true},
		"before it":        {"127.0.0.2", [][]byte{good, query}, true},
		"in pieces":        {"127.0.0.2", [][]byte{good[:7], good[7:20], slices.Concat(good[20:], query)}, true},
		"for itself":       {"127.0.0.2", [][]byte{slices.Concat(speaksFor("", false), query)}, true},
		"for another":      {"127.0.0.2", [][]byte{slices.Concat(speaksFor("198.51.100.7", false), query)}, false},
		"without":          {"127.0.0.2", [][]byte{query}, false},
		"from no balancer": {"127.0.0.1", [][]byte{slices.Concat(good, query)}, false},
	} {
		conn := dialTLS(t, s.DoTAddrs()[0], clientTLS("one.example"), c.from)
		for _, b := range c.writes {
			conn.Write(b)
		}
		var head [2]byte
		if _, err := io.ReadFull(conn, head[:]); (err == nil) != c.served {
			t.Errorf("%s: %v", what, err)
		}
		conn.Close()
	}
	c := dialTLS(t, s.DoHAddrs()[0], &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}}, "127.0.0.2")
	c.Write(slices.Concat(good, []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")))
	var frame [9]byte
	if _, err := io.ReadFull(c, frame[:]); err != nil || frame[3] != 4 {
		t.Errorf("HTTP/2: %v, %x", err, frame)
	}
}

// A header has to come whole and in time, octet by octet or not; a balancer's connections are those of its clients.
func TestSlowHeaderIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(balanced(Config{Handler: new(labHandler)}))
		s.misses.ctx = t.Context()
		client, server := net.Pipe()
		st := newStream(s, server, netip.MustParseAddr("127.0.0.2"))
		if !s.conns.add(st, netip.Addr{}) {
			t.Fatal("no place")
		}
		done := make(chan struct{})
		began := time.Now()
		go func() { s.begin(st, door{}, true); close(done) }()
		for _, b := range speaksFor("192.0.2.7", false) {
			time.Sleep(time.Second)
			if _, err := client.Write([]byte{b}); err != nil {
				break
			}
		}
		<-done
		if d := time.Since(began); d < messageTimeout || d > messageTimeout+time.Second {
			t.Errorf("cut after %v", d)
		}
		if n := s.conns.count(); n != 0 || len(s.conns.sources) != 0 || s.Stats().Refused != 1 {
			t.Errorf("%d connections, sources %v, %d refused", n, s.conns.sources, s.Stats().Refused)
		}
	})
}

// One client has its part of the connections however many balancers bring it.
func TestBalancedConnectionsAreBounded(t *testing.T) {
	c := newConns(8)
	from, other := netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("192.0.2.8")
	for i := range 3 {
		st := new(stream)
		if !c.add(st, netip.Addr{}) {
			t.Fatal("no place")
		}
		if got := c.settle(st, from); got != (i < 2) {
			t.Errorf("connection %d: %t", i, got)
		}
	}
	last := new(stream)
	if !c.add(last, netip.Addr{}) || !c.settle(last, other) {
		t.Error("another client has no place")
	}
	c.remove(last)
	if c.count() != 3 || c.sources[sourceOf(from)] != 2 {
		t.Errorf("%d connections, %v", c.count(), c.sources)
	}
}

// What a balancer brings from a datagram has the places of those who may be forged, over TCP too.
func TestForgeableOverTCP(t *testing.T) {
	h := &labHandler{release: make(chan struct{})}
	s := start(t, newReaders, balanced(Config{Handler: h, MaxMisses: 16}))
	defer close(h.release)
	shed := func(datagram bool) (n int) {
		c := dial(t, "tcp", "127.0.0.2", s.Addrs()[0])
		c.Write(speaksFor("192.0.2.7", datagram))
		for id := range uint16(2 * 16 / provenShare) {
			c.Write(frame(packet(t, id, "hold.example", true)))
		}
		c.Write(frame(packet(t, 99, "hit.example", true))) // leaves after those that were turned away
		for {
			m := unpack(t, nextFrame(t, c))
			if m.ID == 99 {
				return n
			}
			n++
		}
	}
	if got, want := shed(true), 2*16/provenShare-2*16/forgeableShare; got != want {
		t.Errorf("of a datagram: %d turned away, want %d", got, want)
	}
	if got := shed(false); got != 0 {
		t.Errorf("of a stream: %d turned away", got)
	}
}

// FuzzSpeaker: whatever a balancer sends, and whoever else, a client's address comes from a header that is whole.
func FuzzSpeaker(f *testing.F) {
	s := newServer(balanced(Config{Handler: new(labHandler)}))
	f.Add(append(speaksFor("192.0.2.7", true), "query"...))
	f.Add([]byte("query"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, from := range []string{"127.0.0.2:7", "127.0.0.1:7"} {
			peer := netip.MustParseAddrPort(from)
			who, rest, ok := s.speaker(peer, b)
			if trusted := from == "127.0.0.2:7"; ok && trusted != balancer.Begins(b) || ok && who != peer && !trusted || len(rest) > len(b) {
				t.Errorf("%s: %s, %d octets, %t", from, who, len(rest), ok)
			}
		}
	})
}

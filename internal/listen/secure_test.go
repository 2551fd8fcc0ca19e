package listen

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoji-dns/shoji/internal/dns"
)

// certificate is a self-signed one for the two views of tests.
func certificate(t testing.TB) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"one.example", "two.example"}, NotAfter: time.Now().Add(24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// secured is a configuration of one DoT address with two views, which answer differently.
func secured(t testing.TB) Config {
	own := []tls.Certificate{certificate(t)}
	return Config{Secure: Secure{
		DoT: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")},
		DoH: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")},
		TLS: func() *tls.Config { return &tls.Config{Certificates: own} },
		Views: []View{
			{Name: "one.example", Path: "/dns-query", Handler: new(labHandler)},
			{Name: "two.example", Path: "/dns-fully", Handler: otherHandler{}},
		},
	}}
}

// otherHandler answers everything with NXDOMAIN, from memory or not as labHandler does.
type otherHandler struct{}

func (otherHandler) Hit(q *dns.Query, out []byte) ([]byte, bool) {
	if string(q.Name()[1:4]) != "hit" {
		return out, false
	}
	return dns.AppendError(out, q, dns.RCodeNameError), true
}

func (otherHandler) Miss(_ context.Context, q *dns.Query, out []byte) []byte {
	return dns.AppendError(out, q, dns.RCodeNameError)
}

// serveSecure serves cfg until the test ends.
func serveSecure(t testing.TB, cfg Config) *Server {
	t.Helper()
	s, err := Listen(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return s
}

// client is how a test greets a server.
func clientTLS(name string) *tls.Config {
	return &tls.Config{ServerName: name, InsecureSkipVerify: true, NextProtos: []string{"dot"}}
}

func dialTLS(t testing.TB, to netip.AddrPort, c *tls.Config, from ...string) *tls.Conn {
	t.Helper()
	conn := tls.Client(dial(t, "tcp", strings.Join(from, ""), to), c)
	conn.SetDeadline(time.Now().Add(patience))
	if err := conn.Handshake(); err != nil {
		t.Fatal(err)
	}
	return conn
}

// Which view answers is said by the server name, inside of the handshake; whoever names none
// gets the first. Replies of both have one length.
func TestViewsByServerName(t *testing.T) {
	s := serveSecure(t, secured(t))
	for name, rcode := range map[string]dns.RCode{"one.example": 0, "two.example": dns.RCodeNameError, "TWO.Example": dns.RCodeNameError, "three.example": 0, "": 0} {
		c := dialTLS(t, s.DoTAddrs()[0], clientTLS(name))
		if p := c.ConnectionState(); p.NegotiatedProtocol != "dot" || p.Version != tls.VersionTLS13 {
			t.Errorf("%q: %s, version %x", name, p.NegotiatedProtocol, p.Version)
		}
		for id, asked := range []string{"hit.example", "miss.example"} {
			c.Write(frame(packet(t, uint16(id), asked, true)))
			b := nextFrame(t, c)
			if m := unpack(t, b); m.RCode != rcode || m.ID != uint16(id) {
				t.Errorf("%q, %s: %s", name, asked, m.RCode)
			}
			if len(b) != replyBlock {
				t.Errorf("%q, %s: %d octets, want %d", name, asked, len(b), replyBlock)
			}
		}
	}
}

// A client without EDNS gets a reply that cannot be padded.
func TestRepliesWithoutEDNSAreNotPadded(t *testing.T) {
	s := serveSecure(t, secured(t))
	c := dialTLS(t, s.DoTAddrs()[0], clientTLS("one.example"))
	for _, asked := range []string{"hit.example", "miss.example"} {
		c.Write(frame(packet(t, 1, asked, false)))
		if b := nextFrame(t, c); len(b) > 100 || unpack(t, b).EDNS != nil {
			t.Errorf("%s: %d octets", asked, len(b))
		}
	}
}

// What cannot agree on TLS 1.3 and DoT is turned away, and takes no place.
func TestHandshakesThatFail(t *testing.T) {
	cfg := secured(t)
	cfg.MaxConns = 4
	s := serveSecure(t, cfg)
	for range 8 {
		for what, c := range map[string]*tls.Config{
			"TLS 1.2":  {MaxVersion: tls.VersionTLS12, InsecureSkipVerify: true},
			"no DoT":   {NextProtos: []string{"h2"}, InsecureSkipVerify: true},
			"no trust": {ServerName: "one.example"},
		} {
			conn := tls.Client(dial(t, "tcp", "", s.DoTAddrs()[0]), c)
			if err := conn.Handshake(); err == nil {
				t.Errorf("%s: agreed", what)
			}
			conn.NetConn().Close()
		}
		plain := dial(t, "tcp", "", s.DoTAddrs()[0])
		plain.Write(frame(packet(t, 1, "hit.example", true)))
		if b, _ := io.ReadAll(plain); len(b) > 20 { // an alert
			t.Errorf("a query without TLS was answered by %d octets", len(b))
		}
		plain.Close()
	}
	for s.conns.count() > 0 { // until the server has seen each close
	}
}

// gatherer holds back what is written while hold is set, and counts the records that are read.
type gatherer struct {
	net.Conn
	hold bool
	held []byte
	in   []byte
}

func (g *gatherer) Write(b []byte) (int, error) {
	if !g.hold {
		return g.Conn.Write(b)
	}
	g.held = append(g.held, b...)
	return len(b), nil
}

func (g *gatherer) Read(b []byte) (int, error) {
	n, err := g.Conn.Read(b)
	g.in = append(g.in, b[:n]...)
	return n, err
}

// The replies to queries that came together leave together, however many records they came in.
func TestRepliesShareRecords(t *testing.T) {
	const queries = 60
	s := serveSecure(t, secured(t))
	g := &gatherer{Conn: dial(t, "tcp", "", s.DoTAddrs()[0])}
	c := tls.Client(g, clientTLS("one.example"))
	ask := func(id int) {
		if _, err := c.Write(frame(packet(t, uint16(id), "hit.example", true))); err != nil {
			t.Fatal(err)
		}
	}
	ask(0)
	nextFrame(t, c)
	g.in, g.hold = nil, true
	for id := range queries {
		ask(id)
	}
	if n := len(recordEnds(g.held)); n != queries {
		t.Fatalf("%d queries are in %d records", queries, n)
	}
	g.Conn.Write(g.held)
	for id := range queries {
		if m := unpack(t, nextFrame(t, c)); m.ID != uint16(id) {
			t.Fatalf("reply %d is to %d", id, m.ID)
		}
	}
	if n := len(recordEnds(g.in)); n > queries/6 {
		t.Errorf("%d replies came in %d records", queries, n)
	}
}

// What comes together with the end of the handshake, or after the beginning of a message, is read to
// its end, however long its record is: the queries in it are all answered without another one.
func TestLongRecords(t *testing.T) {
	s := serveSecure(t, secured(t))
	one := frame(packet(t, 7, "hit.example", false))
	for what, c := range map[string]struct{ early, cut int }{
		"with the handshake": {16384, 0}, "after the beginning of a message": {0, len(one) / 2}, "after that of a long one": {0, 16000},
	} {
		g := &gatherer{Conn: dial(t, "tcp", "", s.DoTAddrs()[0])}
		conf := clientTLS("one.example")
		conf.DynamicRecordSizingDisabled = true
		conf.VerifyConnection = func(tls.ConnectionState) error { g.hold = c.early > 0; return nil } // before its last message
		conn := tls.Client(g, conf)
		if err := conn.Handshake(); err != nil {
			t.Fatal(err)
		}
		g.hold = true
		many := bytes.Repeat(one, (c.cut+16384)/len(one))
		if c.cut > len(one) { // a message of 65535 octets, which is none
			many = append([]byte{255, 255}, make([]byte, 65535)...)
		}
		conn.Write(many[:c.cut])
		conn.Write(many[c.cut:])
		go g.Conn.Write(g.held)
		if c.cut > len(one) {
			if m := unpack(t, nextFrame(t, conn)); m.RCode != dns.RCodeFormatError {
				t.Errorf("%s: %s", what, m.RCode)
			}
			g.Conn.Close()
			continue
		}
		for i := range len(many) / len(one) {
			if m := unpack(t, nextFrame(t, conn)); m.ID != 7 {
				t.Fatalf("%s: reply %d is to %d", what, i, m.ID)
			}
		}
		g.Conn.Close()
	}
}

// A client that says nothing, or never ends its handshake, loses its place in time.
func TestSlowHandshakeIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(secured(t))
		s.misses.ctx = t.Context()
		client, server := net.Pipe()
		st := newStream(s, server, netip.IPv6Loopback())
		s.conns.add(st, netip.MustParseAddr("192.0.2.1"))
		began := time.Now()
		go s.welcome(st, door{tls: s.cfg.Secure.TLS()})
		client.Write([]byte{22, 3, 1, 2, 0, 1}) // the beginning of a ClientHello
		if _, err := client.Read(make([]byte, 1)); err != io.EOF {
			t.Error(err)
		}
		if d := time.Since(began); d != handshakeTimeout {
			t.Errorf("closed after %v", d)
		}
		synctest.Wait()
		if n := s.conns.count(); n != 0 {
			t.Errorf("%d places are taken", n)
		}
	})
}

// A query that does not come to its end in time ends the connection, over TLS too.
func TestSlowQueryOverTLSIsCut(t *testing.T) {
	for _, parts := range []int{1, 100} {
		synctest.Test(t, func(t *testing.T) {
			s := newServer(secured(t))
			s.misses.ctx = t.Context()
			client, server := net.Pipe()
			st := newStream(s, server, netip.IPv6Loopback())
			s.conns.add(st, netip.MustParseAddr("192.0.2.1"))
			go s.welcome(st, door{tls: s.cfg.Secure.TLS()})
			c := tls.Client(client, &tls.Config{InsecureSkipVerify: true})
			if err := c.Handshake(); err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			var wg sync.WaitGroup
			wg.Go(func() {
				for range parts {
					if _, err := c.Write([]byte{1}); err != nil { // a length of 257, and what has it
						return
					}
					time.Sleep(time.Second / 2)
				}
			})
			if _, err := c.Read(make([]byte, 1)); err == nil {
				t.Error("answered")
			}
			if d := time.Since(began); d < messageTimeout || d > messageTimeout+time.Second {
				t.Errorf("%d parts: closed after %v", parts, d)
			}
			client.Close()
			wg.Wait()
		})
	}
}

// However the octets of records are cut into reads, they come out as they are, no read goes
// beyond a record, and everything is out when dry is called.
func FuzzRecords(f *testing.F) {
	f.Add([]byte{23, 3, 3, 0, 3, 1, 2, 3, 23, 3, 3, 0, 0, 23, 3, 3, 1, 0}, []byte{1, 7, 3})
	f.Add(bytes.Repeat([]byte{23, 3, 3, 0, 2, 9, 9}, 600), []byte{255, 255})
	f.Fuzz(func(t *testing.T, sent, cuts []byte) {
		from := new(memory)
		for rest, i := sent, 0; len(rest) > 0; i++ {
			n := len(rest)
			if i < len(cuts) {
				n = min(n, 1+int(cuts[i]))
			}
			from.parts = append(from.parts, rest[:n])
			rest = rest[n:]
		}
		total := 0
		for _, p := range from.parts {
			total += len(p)
		}
		var got []byte
		r := newRecords(from, &sync.Pool{New: func() any { return new([maxRecord]byte) }}, nil)
		r.dry = func() bool {
			left := 0
			for _, p := range from.parts {
				left += len(p)
			}
			if len(got)+left != total {
				t.Fatalf("dry with %d of %d octets given out and %d to come", len(got), total, left)
			}
			return true
		}
		ends := recordEnds(sent)
		b := make([]byte, maxRecord)
		for {
			n, err := r.Read(b)
			before := len(got)
			got = append(got, b[:n]...)
			for _, e := range ends {
				if before < e && e < len(got) {
					t.Fatalf("a read from %d to %d goes beyond a record that ends at %d", before, len(got), e)
				}
			}
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(got, sent) {
			t.Fatalf("%d octets came out of %d", len(got), len(sent))
		}
	})
}

// recordEnds are where the records in b end.
func recordEnds(b []byte) (ends []int) {
	for at := 0; at+recordHeader <= len(b); {
		at += recordHeader + int(b[at+3])<<8 + int(b[at+4])
		ends = append(ends, at)
	}
	return slices.Compact(ends)
}

package upstream

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// certificate is one for dns.example and 127.0.0.1, and who has signed it: itself.
func certificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"dns.example"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// query is a header with an ID, and a text in place of a question.
func query(id uint16, text string) []byte {
	q := make([]byte, headerLen, headerLen+len(text))
	binary.BigEndian.PutUint16(q, id)
	return append(q, text...)
}

// answer is what the servers of these tests say to a query.
func answer(q []byte) []byte { return append(bytes.Clone(q), " answered"...) }

// servers starts one of each transport, and counts connections to the one over TLS.
func servers(t *testing.T, cert tls.Certificate) map[string]netip.AddrPort {
	t.Helper()
	out := make(map[string]netip.AddrPort)
	addr := func(a net.Addr) netip.AddrPort { return netip.MustParseAddrPort(a.String()) }
	security := func(protocol string) *tls.Config {
		return &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{protocol}}
	}

	dot, err := tls.Listen("tcp", "127.0.0.1:0", security("dot"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dot.Close() })
	go accept(dot, func(c net.Conn) { echo(c, c) })
	out[TLS] = addr(dot.Addr())

	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.Method != http.MethodPost || r.URL.Path != "/dns-query" || r.ProtoMajor < 2 || len(body) < 2 || body[0]|body[1] != 0 {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", mediaType)
		w.Write(answer(body))
	})
	doh := httptest.NewUnstartedServer(handler)
	doh.EnableHTTP2 = true
	doh.Config.ErrorLog = log.New(io.Discard, "", 0)
	doh.TLS = security("h2")
	doh.StartTLS()
	t.Cleanup(doh.Close)
	out[HTTPS] = addr(doh.Listener.Addr())

	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h3 := &http3.Server{Handler: handler, TLSConfig: http3.ConfigureTLSConfig(security("h3"))}
	go h3.Serve(udp)
	t.Cleanup(func() { h3.Close(); udp.Close() })
	out[HTTP3] = addr(udp.LocalAddr())

	doq, err := quic.ListenAddr("127.0.0.1:0", security("doq"), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { doq.Close() })
	go func() {
		for {
			c, err := doq.Accept(context.Background())
			if err != nil {
				return
			}
			go func() {
				for {
					s, err := c.AcceptStream(context.Background())
					if err != nil {
						return
					}
					go func() { echo(s, s); s.Close() }()
				}
			}()
		}
	}()
	out[QUIC] = addr(doq.Addr())
	return out
}

func accept(l net.Listener, serve func(net.Conn)) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go serve(c)
	}
}

// echo answers framed queries until the other side ends.
func echo(r io.Reader, w io.Writer) { echoBy(r, w, answer) }

func echoBy(r io.Reader, w io.Writer, answer func([]byte) []byte) {
	var head [2]byte
	for {
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return
		}
		q := make([]byte, binary.BigEndian.Uint16(head[:]))
		if _, err := io.ReadFull(r, q); err != nil {
			return
		}
		w.Write(framed(answer(q)))
	}
}

func framed(msg []byte) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(msg))), msg...)
}

// TestTransports asks over each transport, many questions at once: each gets its own answer
// under its own ID, and what is not for a resolver goes to the plain network.
func TestTransports(t *testing.T) {
	cert, roots := certificate(t)
	for transport, at := range servers(t, cert) {
		t.Run(transport, func(t *testing.T) {
			path := ""
			if transport == HTTPS || transport == HTTP3 {
				path = "/dns-query"
			}
			r, err := Parse(transport + "://" + at.String() + path + "#dns.example")
			if err != nil {
				t.Fatal(err)
			}
			var plain plainly
			n, err := New(Config{Plain: &plain, Resolvers: []Resolver{r}, Roots: roots})
			if err != nil {
				t.Fatal(err)
			}
			defer n.Close()
			var all sync.WaitGroup
			for i := range 200 {
				all.Go(func() {
					q := query(uint16(i/2), strings.Repeat("x", i)) // IDs that stand there twice
					var got []byte
					err := n.Exchange(t.Context(), at.Addr(), at.Port(), i%2 == 0, q, func(b []byte) bool { got = bytes.Clone(b); return true })
					if err != nil || !bytes.Equal(got, answer(q)) {
						t.Errorf("question %d: %q, %v", i, got, err)
					}
				})
			}
			all.Wait()
			err = n.Exchange(t.Context(), at.Addr(), at.Port(), true, query(1, ""), func([]byte) bool { return false })
			if err == nil {
				t.Error("a reply that was not accepted counts as one")
			}
			if err := n.Exchange(t.Context(), at.Addr(), at.Port()+1, true, query(1, ""), nil); err != errPlain || plain.asked.Load() != 1 {
				t.Errorf("another port: %v, %d", err, plain.asked.Load())
			}
			if err := n.Exchange(t.Context(), at.Addr(), at.Port(), true, make([]byte, 3), nil); err != errTooLong {
				t.Errorf("three octets: %v", err)
			}
		})
	}
}

var errPlain = errors.New("the plain network was asked")

type plainly struct{ asked atomic.Int32 }

func (p *plainly) Exchange(context.Context, netip.Addr, uint16, bool, []byte, func([]byte) bool) error {
	p.asked.Add(1)
	return errPlain
}

// TestCertificates: who cannot show a certificate for the name, by somebody who is trusted, is not asked.
func TestCertificates(t *testing.T) {
	cert, roots := certificate(t)
	_, others := certificate(t)
	for transport, at := range servers(t, cert) {
		path := ""
		if transport == HTTPS || transport == HTTP3 {
			path = "/dns-query"
		}
		for _, c := range []struct {
			name  string
			roots *x509.CertPool
			works bool
		}{{"#dns.example", roots, true}, {"", roots, true}, {"#other.example", roots, false}, {"#dns.example", others, false}} {
			r, err := Parse(transport + "://" + at.String() + path + c.name)
			if err != nil {
				t.Fatal(err)
			}
			heard := false
			err = Ask(t.Context(), r, c.roots, query(7, "q"), func([]byte) bool { heard = true; return true })
			if (err == nil) != c.works || heard != c.works {
				t.Errorf("%s by %q: %v, heard %v", transport, c.name, err, heard)
			}
			_, shaken := errors.AsType[*HandshakeError](err)
			if _, untrusted := errors.AsType[*tls.CertificateVerificationError](err); !c.works && !(shaken && untrusted) {
				t.Errorf("%s by %q: %v does not say what failed", transport, c.name, err)
			}
		}
	}
}

// TestClosedConnection: a server closes its connection after each answer; who comes next is
// answered over a new one. Where it closes before the answer, it is asked twice, and no more.
func TestClosedConnection(t *testing.T) {
	cert, roots := certificate(t)
	for _, answers := range []int{1, 0} {
		l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		var conns atomic.Int32
		go accept(l, func(c net.Conn) {
			conns.Add(1)
			defer c.Close()
			buf := make([]byte, 512)
			n, err := c.Read(buf)
			if answers > 0 && err == nil {
				c.Write(framed(answer(buf[2:n])))
			}
		})
		r, err := Parse("tls://" + l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		n, err := New(Config{Resolvers: []Resolver{r}, Roots: roots})
		if err != nil {
			t.Fatal(err)
		}
		defer n.Close()
		for i := range 5 {
			err := n.Exchange(t.Context(), r.Addr.Addr(), r.Addr.Port(), true, query(uint16(i), "q"), func([]byte) bool { return true })
			if (err == nil) != (answers == 1) {
				t.Errorf("%d answers a connection, question %d: %v", answers, i, err)
			}
		}
		if n := conns.Load(); n < 5 || n > 10 {
			t.Errorf("%d answers a connection: %d connections for 5 questions", answers, n)
		}
	}
}

// TestOutOfOrder: replies come in another order, one twice and one that nobody asked for.
func TestOutOfOrder(t *testing.T) {
	client, server := net.Pipe()
	p := newPipeline(client)
	defer p.Close()
	go func() {
		var got [][]byte
		for range 2 {
			var head [2]byte
			io.ReadFull(server, head[:])
			q := make([]byte, binary.BigEndian.Uint16(head[:]))
			io.ReadFull(server, q)
			got = append(got, answer(q))
		}
		stray := answer(query(0x7777, "stray"))
		for _, msg := range [][]byte{stray, {1}, {}, got[1], got[1], got[0]} {
			server.Write(framed(msg))
		}
	}()
	var all sync.WaitGroup
	for _, text := range []string{"one", "two"} {
		all.Go(func() {
			q := query(99, text)
			if err := p.ask(t.Context(), q, func(b []byte) bool { return bytes.Equal(b, answer(q)) }); err != nil {
				t.Errorf("%s: %v", text, err)
			}
		})
	}
	all.Wait()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		io.ReadFull(server, make([]byte, headerLen))
		cancel()
		io.Copy(io.Discard, server)
	}()
	if err := p.ask(ctx, query(1, "never answered"), nil); err == nil {
		t.Error("a question that was called off has an answer")
	}
}

// TestUnderWayIsBounded: a resolver that does not answer holds maxUnderWay questions.
func TestUnderWayIsBounded(t *testing.T) {
	client, server := net.Pipe()
	defer server.Close()
	p := newPipeline(client)
	defer p.Close()
	for i := range maxUnderWay {
		if _, _, err := p.enter(); err != nil {
			t.Fatalf("question %d: %v", i, err)
		}
	}
	if _, _, err := p.enter(); err != errFull {
		t.Errorf("one more: %v", err)
	}
	p.leave(17)
	if id, _, err := p.enter(); err != nil || id == 17 {
		t.Errorf("after one has left: ID %d, %v", id, err)
	}
}

func TestParse(t *testing.T) {
	for text, want := range map[string]Resolver{
		"tls://192.0.2.1":                          {Transport: TLS, Addr: netip.MustParseAddrPort("192.0.2.1:853"), Name: "192.0.2.1", Path: "", ECH: ""},
		"tls://192.0.2.1:8853#dns.example":         {Transport: TLS, Addr: netip.MustParseAddrPort("192.0.2.1:8853"), Name: "dns.example", Path: "", ECH: ""},
		"https://[2001:db8::1]/dns-query":          {Transport: HTTPS, Addr: netip.MustParseAddrPort("[2001:db8::1]:443"), Name: "2001:db8::1", Path: "/dns-query", ECH: ""},
		"h3://192.0.2.1/a%20b/c#dns.example":       {Transport: HTTP3, Addr: netip.MustParseAddrPort("192.0.2.1:443"), Name: "dns.example", Path: "/a%20b/c", ECH: ""},
		"tls://192.0.2.1#dns.example&ech=auto":     {Transport: TLS, Addr: netip.MustParseAddrPort("192.0.2.1:853"), Name: "dns.example", Path: "", ECH: "auto"},
		"tls://192.0.2.1#&ech=auto":                {Transport: TLS, Addr: netip.MustParseAddrPort("192.0.2.1:853"), Name: "192.0.2.1", Path: "", ECH: "auto"},
		"quic://[::ffff:192.0.2.1]:853#2001:db8::": {Transport: QUIC, Addr: netip.MustParseAddrPort("192.0.2.1:853"), Name: "2001:db8::", Path: "", ECH: ""},
		"odoh://192.0.2.1/q#dns.example via https://198.51.100.7:8443/proxy#proxy.example": {
			Transport: ODoH, Addr: netip.MustParseAddrPort("192.0.2.1:443"), Name: "dns.example", Path: "/q",
			Proxy: Proxy{HTTPS, netip.MustParseAddrPort("198.51.100.7:8443"), "proxy.example", "/proxy", ""},
		},
		"odoh://192.0.2.1/q?view=unfiltered via h3://[2001:db8::7]/proxy": {
			Transport: ODoH, Addr: netip.MustParseAddrPort("192.0.2.1:443"), Name: "192.0.2.1", Path: "/q", View: Unfiltered,
			Proxy: Proxy{HTTP3, netip.MustParseAddrPort("[2001:db8::7]:443"), "2001:db8::7", "/proxy", ""},
		},
	} {
		got, err := Parse(text)
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
		if again, err := Parse(got.String()); err != nil || again != got {
			t.Errorf("%s and back: %s %+v, %v", text, got, again, err)
		}
	}
	for text, want := range map[string]string{
		"tls://dns.example":                                     "tls://192.0.2.1#dns.example",
		"https://dns.example/q":                                 "https://192.0.2.1/q#dns.example",
		"https://192.0.2.1":                                     "no path",
		"tls://192.0.2.1/path":                                  "a path belongs to https",
		"ftp://192.0.2.1":                                       "none of tls, https, h3, quic, odoh",
		"tls://user@192.0.2.1":                                  "neither user",
		"https://192.0.2.1/?dns=1":                              "neither user",
		"tls://192.0.2.1:0":                                     "port",
		"tls://192.0.2.1:70000":                                 "port",
		"tls://192.0.2.1#a/b":                                   "no name of a host",
		"tls://192.0.2.1%zz":                                    "no URL",
		"https://192.0.2.1/x#a%00b":                             "no name of a host",
		"tls://[fe80::1%25eth0]":                                "no address",
		"tls://192.0.2.1#dns example":                           "no name of a host",
		"tls://192.0.2.1#d.e&ech=":                              "length does not fit",
		"tls://192.0.2.1#d.e&ech=on":                            "base64",
		"odoh://192.0.2.1/q":                                    "has its proxy",
		"https://192.0.2.1/q via https://192.0.2.2/p":           "has its proxy",
		"odoh://192.0.2.1/q via tls://192.0.2.2":                "over https or h3",
		"odoh://192.0.2.1/q via https://192.0.2.1/p":            "its own target",
		"odoh://192.0.2.1/q?view=both via https://192.0.2.2/p":  "the view",
		"https://192.0.2.1/q?view=filtered":                     "neither user",
		"odoh://192.0.2.1/q via https://192.0.2.2/p#x&ech=auto": "answers no questions",
	} {
		if _, err := Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func TestTwoAtOneAddress(t *testing.T) {
	r, err := Parse("tls://192.0.2.1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := New(Config{Resolvers: []Resolver{r, r}}); err == nil || !strings.Contains(err.Error(), "same address") {
		t.Error(err)
	}
}

// FuzzParse: what is read is written so that it is read as the same.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"tls://192.0.2.1#dns.example", "https://[2001:db8::1]:8443/dns-query#x", "quic://1.2.3.4", "h3://[::1%25lo]/q", "tls://", "tls://1.2.3.4#a.b&ech=auto", "odoh://1.2.3.4/q?view=filtered#x via h3://1.2.3.5/p#y"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := Parse(text)
		if err != nil {
			return
		}
		again, err := Parse(r.String())
		if err != nil || again != r {
			t.Errorf("%q is read as %+v, written %q and read as %+v, %v", text, r, r, again, err)
		}
	})
}

// FuzzReplies: whatever a server sends, questions end and nothing panics.
func FuzzReplies(f *testing.F) {
	f.Add(framed(answer(query(0, "q"))))
	f.Add([]byte{0, 1, 0, 0, 0, 0, 2})
	f.Fuzz(func(t *testing.T, stream []byte) {
		client, server := net.Pipe()
		p := newPipeline(client)
		go func() {
			io.ReadFull(server, make([]byte, 2+headerLen))
			server.Write(stream)
			server.Close()
		}()
		p.ask(t.Context(), query(5, ""), func(b []byte) bool {
			if len(b) < headerLen || binary.BigEndian.Uint16(b) != 5 {
				t.Errorf("handed over: %x", b)
			}
			return true
		})
		p.Close()
	})
}

package doq

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/listen"
)

// patience is how long a test waits for what must come.
const patience = 20 * time.Second

// says answers with a response code, from memory or not as the name says.
type says struct {
	rcode   dns.RCode
	release chan struct{}
}

func (s says) Hit(q *dns.Query, out []byte) ([]byte, bool) {
	if string(q.Name()[1:4]) != "hit" {
		return out, false
	}
	return dns.AppendError(out, q, s.rcode), true
}

func (s says) Miss(ctx context.Context, q *dns.Query, out []byte) []byte {
	if string(q.Name()[1:5]) == "hold" {
		select {
		case <-s.release:
		case <-ctx.Done():
		}
	}
	return dns.AppendError(out, q, s.rcode)
}

// start serves two views over QUIC until the test ends.
func start(t *testing.T, change func(*listen.Config)) (*Server, *listen.Server) {
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
	own := []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}
	cfg := listen.Config{Secure: listen.Secure{
		TLS: func() *tls.Config { return &tls.Config{Certificates: own} },
		Views: []listen.View{
			{Name: "one.example", Path: "/dns-query", Handler: says{0, make(chan struct{})}},
			{Name: "two.example", Path: "/dns-fully", Handler: says{dns.RCodeNameError, nil}},
		},
	}}
	if change != nil {
		change(&cfg)
	}
	l, err := listen.Listen(cfg)
	if err != nil {
		t.Fatal(err)
	}
	free := []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}
	s, err := Listen(Config{Listen: l, Secure: cfg.Secure, DoQ: free, DoH: free, IdleTimeout: cfg.IdleTimeout})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 2)
	go func() { done <- l.Serve(ctx) }()
	go func() { done <- s.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		for range 2 {
			if err := <-done; err != nil {
				t.Errorf("Serve: %v", err)
			}
		}
	})
	return s, l
}

func dial(t *testing.T, to netip.AddrPort, name string) (*quic.Conn, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := quic.DialAddr(ctx, to.String(), &tls.Config{ServerName: name, InsecureSkipVerify: true, NextProtos: []string{"doq"}}, nil)
	if err == nil {
		t.Cleanup(func() { c.CloseWithError(0, "") })
	}
	return c, err
}

func packet(t *testing.T, id uint16, name string, edns *dns.EDNS) []byte {
	t.Helper()
	m := dns.Message{ID: id, Flags: dns.FlagRD, Question: []dns.Question{{Name: dns.MustName(name), Type: dns.TypeA, Class: dns.ClassIN}}, EDNS: edns}
	b, err := m.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// send writes octets on a stream of their own, ends it, and reads what comes back.
func send(t *testing.T, c *quic.Conn, b []byte) ([]byte, error) {
	t.Helper()
	s, err := c.OpenStreamSync(t.Context())
	if err != nil {
		return nil, err
	}
	s.SetDeadline(time.Now().Add(patience))
	s.Write(b)
	s.Close()
	return io.ReadAll(s)
}

func frame(b []byte) []byte { return append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...) }

// The server name chooses the view; replies are padded to one length, and streams do not wait
// for one another.
func TestDedicatedConnections(t *testing.T) {
	s, _ := start(t, nil)
	for name, rcode := range map[string]dns.RCode{"one.example": 0, "two.example": dns.RCodeNameError, "three.example": 0} {
		c, err := dial(t, s.DoQAddrs()[0], name)
		if err != nil {
			t.Fatal(err)
		}
		for _, asked := range []string{"hit.example", "miss.example"} {
			b, err := send(t, c, frame(packet(t, 0, asked, &dns.EDNS{UDPSize: 1232})))
			var m dns.Message
			if err != nil || len(b) != 2+468 || int(binary.BigEndian.Uint16(b)) != 468 || m.Unpack(b[2:]) != nil || m.RCode != rcode {
				t.Errorf("%s, %s: %v, %d octets, %s", name, asked, err, len(b), m.RCode)
			}
		}
	}
}

// What the protocol calls a fatal error ends the connection by its code.
func TestProtocolErrors(t *testing.T) {
	s, _ := start(t, nil)
	good := packet(t, 0, "hit.example", nil)
	for what, b := range map[string][]byte{
		"a length too long":  append([]byte{0, byte(len(good) + 1)}, good...),
		"octets after it":    append(frame(good), 0),
		"two queries":        append(frame(good), frame(good)...),
		"no length":          {0},
		"an ID":              frame(packet(t, 1, "hit.example", nil)),
		"a keepalive option": frame(packet(t, 0, "hit.example", &dns.EDNS{UDPSize: 1232, Options: []dns.Option{{Code: dns.OptionKeepalive}}})),
		"no query":           frame([]byte{0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0}),
	} {
		c, err := dial(t, s.DoQAddrs()[0], "one.example")
		if err != nil {
			t.Fatal(err)
		}
		_, err = send(t, c, b)
		var app *quic.ApplicationError
		if !errors.As(err, &app) || app.ErrorCode != protocolError {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// A client that opens streams and cancels them gains nothing: what it began keeps its place,
// and its source's part of the pool is what it can have.
func TestCancelledQueriesKeepTheirPlaces(t *testing.T) {
	s, l := start(t, func(c *listen.Config) { c.MaxMisses = 16 })
	c, err := dial(t, s.DoQAddrs()[0], "one.example")
	if err != nil {
		t.Fatal(err)
	}
	for range 300 {
		st, err := c.OpenStreamSync(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		st.Write(frame(packet(t, 0, "hold.example", nil)))
		st.Close()
		st.CancelRead(3)
	}
	for l.Stats().Misses+l.Stats().Shed < 16 { // until some have been read
		runtime.Gosched()
	}
	if n := l.Stats().Misses; n > 32 {
		t.Errorf("%d queries of one client are under way, of 32 places", n)
	}
	if b, err := send(t, c, frame(packet(t, 0, "hit.example", nil))); err != nil || len(b) < 14 {
		t.Errorf("who is in memory is not answered: %d octets, %v", len(b), err)
	}
}

// Connections are bounded for each source, and their places come back.
func TestConnectionsAreBounded(t *testing.T) {
	s, l := start(t, func(c *listen.Config) { c.MaxConns = 8 })
	var open []*quic.Conn
	for range 2 {
		c, err := dial(t, s.DoQAddrs()[0], "one.example")
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, c)
	}
	if _, err := dial(t, s.DoQAddrs()[0], "one.example"); err == nil {
		t.Error("a third connection where one source may have 2")
	}
	if l.Stats().NoPlace == 0 {
		t.Error("it is not counted")
	}
	open[0].CloseWithError(0, "")
	for {
		if _, err := dial(t, s.DoQAddrs()[0], "one.example"); err == nil {
			break // once the server has seen the close
		}
	}
}

func TestOthersAreTurnedAway(t *testing.T) {
	s, l := start(t, func(c *listen.Config) { c.Allow = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")} })
	if _, err := dial(t, s.DoQAddrs()[0], "one.example"); err == nil || l.Stats().Refused == 0 {
		t.Errorf("%v, %+v", err, l.Stats())
	}
}

// Over HTTP/3 the path chooses the view, and replies are those of HTTP/2.
func TestHTTP3(t *testing.T) {
	s, _ := start(t, nil)
	tr := &http3.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	t.Cleanup(func() { tr.Close() })
	c := http.Client{Transport: tr, Timeout: patience}
	ask := func(method, path, contentType string, body []byte) (int, http.Header, []byte) {
		url, r := fmt.Sprintf("https://%s%s", s.DoHAddrs()[0], path), io.Reader(bytes.NewReader(body))
		if method == "GET" {
			url, r = url+"?dns="+base64.RawURLEncoding.EncodeToString(body), nil
		}
		req, err := http.NewRequest(method, url, r)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", contentType)
		res, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, res.Header, b
	}
	const message = "application/dns-message"
	for path, rcode := range map[string]dns.RCode{"/dns-query": 0, "/dns-fully": dns.RCodeNameError} {
		for _, method := range []string{"GET", "POST"} {
			for _, name := range []string{"hit.example", "miss.example"} {
				status, h, b := ask(method, path, message, packet(t, 0, name, &dns.EDNS{UDPSize: 1232}))
				var m dns.Message
				if status != 200 || len(b) != 468 || m.Unpack(b) != nil || m.RCode != rcode || h.Get("Cache-Control") != "max-age=0000000000" || h.Get("Content-Type") != message {
					t.Errorf("%s %s, %s: %d, %v, %d octets", method, path, name, status, h, len(b))
				}
			}
		}
	}
	for want, status := range map[int]func() (int, http.Header, []byte){
		404: func() (int, http.Header, []byte) { return ask("GET", "/", message, []byte("q")) },
		405: func() (int, http.Header, []byte) { return ask("PUT", "/dns-query", message, []byte("q")) },
		415: func() (int, http.Header, []byte) { return ask("POST", "/dns-query", "text/plain", []byte("q")) },
		400: func() (int, http.Header, []byte) { return ask("POST", "/dns-query", message, []byte("q")) },
	} {
		if got, _, _ := status(); got != want {
			t.Errorf("status %d, want %d", got, want)
		}
	}
}

// FuzzReadQuery: what is read is a whole stream of one query.
func FuzzReadQuery(f *testing.F) {
	f.Add([]byte{0, 3, 0, 0, 1})
	f.Add([]byte{0, 3, 0, 0, 1, 1})
	f.Add([]byte{0})
	f.Fuzz(func(t *testing.T, b []byte) {
		q, err := readQuery(bytes.NewReader(b))
		if err == nil && !bytes.Equal(frame(q), b) {
			t.Fatalf("% x was read from % x", q, b)
		}
		if err == nil && strings.HasPrefix(string(q), "\x00\x00") == false {
			t.Fatal("an ID")
		}
	})
}

package listen

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoji-dns/shoji/internal/dns"
)

// webClient is the standard library's client, over HTTP/2. read counts the octets that come in.
func webClient(t testing.TB, to netip.AddrPort, read *int) *http.Client {
	tr := &http.Transport{
		ForceAttemptHTTP2: true,
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true},
	}
	if read != nil {
		tr.DialTLSContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			c := tls.Client(&counting{dial(t, "tcp", "", to), read}, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
			return c, c.HandshakeContext(ctx)
		}
	}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: patience}
}

// counting counts what is read.
type counting struct {
	net.Conn
	n *int
}

func (c *counting) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	*c.n += n
	return n, err
}

// fetch asks by POST or GET.
func fetch(t testing.TB, c *http.Client, method string, to netip.AddrPort, path string, message []byte) (*http.Response, []byte) {
	t.Helper()
	url, body := fmt.Sprintf("https://%s%s", to, path), io.Reader(bytes.NewReader(message))
	if method == "GET" {
		url, body = url+"?dns="+base64.RawURLEncoding.EncodeToString(message), nil
	}
	r, err := http.NewRequest(method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	if method == "POST" {
		r.Header.Set("Content-Type", "application/dns-message")
	}
	reply, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer reply.Body.Close()
	b, err := io.ReadAll(reply.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply, b
}

// Which view answers is said by the path, inside of the encryption. Replies of both, with EDNS
// or without, by either method, say how long they may be kept, and have one length.
func TestViewsByPath(t *testing.T) {
	s := serveSecure(t, secured(t))
	to := s.DoHAddrs()[0]
	c := webClient(t, to, nil)
	for path, rcode := range map[string]dns.RCode{"/dns-query": 0, "/dns-fully": dns.RCodeNameError} {
		for _, method := range []string{"GET", "POST"} {
			for i, name := range []string{"hit.example", "miss.example", "hit.example", "miss.example"} {
				reply, b := fetch(t, c, method, to, path, packet(t, 0, name, i < 2))
				if reply.StatusCode != 200 || reply.Proto != "HTTP/2.0" || reply.Header.Get("Content-Type") != "application/dns-message" {
					t.Fatalf("%s %s: %+v", method, path, reply)
				}
				if m := unpack(t, b); m.RCode != rcode {
					t.Errorf("%s %s, %s: %s", method, path, name, m.RCode)
				}
				if want := map[bool]string{true: "max-age=0000000060", false: "max-age=0000000000"}[rcode == 0]; reply.Header.Get("Cache-Control") != want {
					t.Errorf("%s %s: %s, want %s", method, path, reply.Header.Get("Cache-Control"), want)
				}
				if i < 2 && len(b) != replyBlock {
					t.Errorf("%s %s, %s: %d octets", method, path, name, len(b))
				}
			}
		}
	}
	if reply, _ := fetch(t, c, "GET", to, "/dns-other", packet(t, 0, "hit.example", true)); reply.StatusCode != 404 {
		t.Errorf("an unknown path: %s", reply.Status)
	}
	for _, junk := range []string{"short", "\x00\x00\x80\x00\x00\x01\x00\x00\x00\x00\x00\x00"} {
		if reply, _ := fetch(t, c, "POST", to, "/dns-query", []byte(junk)); reply.StatusCode != 400 {
			t.Errorf("%q: %s", junk, reply.Status)
		}
	}
}

// On the wire a reply of one view is as long as one of the other, to the octet.
func TestRepliesOfOneLengthOnTheWire(t *testing.T) {
	s := serveSecure(t, secured(t))
	to := s.DoHAddrs()[0]
	for _, edns := range []bool{true, false} {
		seen := map[int][]string{}
		for _, path := range []string{"/dns-query", "/dns-fully"} {
			read := 0
			c := webClient(t, to, &read)
			fetch(t, c, "POST", to, path, packet(t, 0, "hit.example", edns))
			for _, name := range []string{"hit.example", "miss.example", "hit.a.longer.name.example"} {
				before := read
				fetch(t, c, "POST", to, path, packet(t, 0, name, edns))
				seen[read-before] = append(seen[read-before], path+" "+name)
			}
		}
		if len(seen) != 1 {
			t.Errorf("EDNS %t: octets on the wire: %v", edns, seen)
		}
	}
}

// Many requests at once, of which some wait, are each answered by their own reply.
func TestManyRequestsOverHTTP(t *testing.T) {
	s := serveSecure(t, secured(t))
	to := s.DoHAddrs()[0]
	c := webClient(t, to, nil)
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			for j, name := range []string{"hit.example", "miss.example"} {
				_, b := fetch(t, c, "POST", to, "/dns-query", packet(t, uint16(2*i+j), name, true))
				if m := unpack(t, b); m.ID != uint16(2*i+j) || m.Question[0].Name != dns.MustName(name) {
					t.Errorf("%s: %+v", name, m)
				}
			}
		})
	}
	wg.Wait()
}

// A body that does not come to its end in time ends the connection, however its octets come.
func TestSlowBodyIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(secured(t))
		s.misses.ctx = t.Context()
		if err := s.cfg.Secure.check(); err != nil {
			t.Fatal(err)
		}
		s.routes = s.cfg.Secure.routes()
		client, server := net.Pipe()
		st := newStream(s, server, netip.IPv6Loopback())
		st.overHTTP()
		s.conns.add(st, netip.MustParseAddr("192.0.2.1"))
		go st.serve()
		go io.Copy(io.Discard, client)
		began := time.Now()
		client.Write([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"))
		// HEADERS: POST, https, the path as a literal, and the content type.
		block := "\x83\x87\x04\x0a/dns-query\x0f\x10\x17application/dns-message"
		client.Write(append([]byte{0, 0, byte(len(block)), 1, 4, 0, 0, 0, 1}, block...))
		for {
			time.Sleep(time.Second / 2)
			if _, err := client.Write([]byte{0, 0, 1, 0, 0, 0, 0, 0, 1, 'x'}); err != nil {
				break
			}
		}
		if d := time.Since(began); d < messageTimeout || d > messageTimeout+time.Second {
			t.Errorf("cut after %v", d)
		}
	})
}

// A connection without a query for the idle time is closed, whatever else comes on it: pings, also such as are cut so that
// something has always begun, and requests that are taken back. Queries keep it.
func TestOnlyQueriesKeepAConnection(t *testing.T) {
	const ping = "\x00\x00\x08\x06\x00\x00\x00\x00\x0012345678"
	const block = "\x83\x87\x04\x0a/dns-query\x0f\x10\x17application/dns-message"
	query := packet(t, 0, "hit.example", true)
	for what, c := range map[string]struct {
		send  func(i int) string
		kept  bool
		extra time.Duration // beyond the idle time
	}{
		"nothing": {send: func(int) string { return "" }},
		"pings":   {send: func(int) string { return ping }},
		"cut pings": {extra: messageTimeout, send: func(i int) string {
			if i == 0 {
				return ping[:4]
			}
			return ping[4:] + ping[:4]
		}},
		"resets": {extra: messageTimeout, send: func(i int) string {
			id := string([]byte{0, 0, byte(i >> 7), byte(2*i + 1)})
			return "\x00\x00" + string(byte(len(block))) + "\x01\x04" + id + block + "\x00\x00\x04\x03\x00" + id + "\x00\x00\x00\x08"
		}},
		"queries": {kept: true, send: func(i int) string {
			id := string([]byte{0, 0, byte(i >> 7), byte(2*i + 1)})
			return "\x00\x00" + string(byte(len(block))) + "\x01\x04" + id + block + "\x00\x00" + string(byte(len(query))) + "\x00\x01" + id + string(query)
		}},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { keep(t, c.send, c.kept, c.extra) })
		})
	}
}

// keep has a client send something every two seconds, and sees when its connection is closed.
func keep(t *testing.T, send func(i int) string, kept bool, extra time.Duration) {
	s := newServer(secured(t))
	s.misses.ctx = t.Context()
	s.routes = s.cfg.Secure.routes()
	client, server := net.Pipe()
	st := newStream(s, server, netip.IPv6Loopback())
	s.conns.add(st, netip.MustParseAddr("192.0.2.1"))
	config := s.cfg.Secure.TLS()
	config.NextProtos = []string{protocolHTTP}
	go s.welcome(st, door{tls: config, http: true})
	conn := tls.Client(client, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{protocolHTTP}})
	if err := conn.Handshake(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	ended := make(chan time.Duration, 1)
	go func() {
		io.Copy(io.Discard, conn)
		ended <- time.Since(began)
	}()
	io.WriteString(conn, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")
	for i := range 20 {
		time.Sleep(2 * time.Second)
		if _, err := io.WriteString(conn, send(i)); err != nil {
			break
		}
	}
	synctest.Wait()
	switch {
	case kept && len(ended) > 0:
		t.Errorf("closed after %v", <-ended)
	case !kept && len(ended) == 0:
		t.Error("kept")
	case !kept:
		if d := <-ended; d < DefaultIdleTimeout || d > DefaultIdleTimeout+extra {
			t.Errorf("closed after %v", d)
		}
	}
	client.Close()
	synctest.Wait()
}

func TestPathsThatTellAreRefused(t *testing.T) {
	for what, paths := range map[string][2]string{
		"length": {"/dns-query", "/unfiltered"}, "code": {"/dns-query", "/dns-clear"}, "same": {"/a", "/a"}, "no path": {"a", "b"}, "query": {"/a?", "/b?"},
	} {
		cfg := secured(t)
		cfg.Secure.Views[0].Path, cfg.Secure.Views[1].Path = paths[0], paths[1]
		if s, err := Listen(cfg); err == nil {
			s.Close()
			t.Errorf("%s: %v are taken", what, paths)
		}
	}
}

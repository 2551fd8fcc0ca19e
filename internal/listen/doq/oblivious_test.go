package doq

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/listen"
	"github.com/shoji-dns/shoji/internal/listen/doh"
	"github.com/shoji-dns/shoji/internal/odoh"
)

// echo is a proxy of tests.
type echo struct{}

func (echo) Carry(_ context.Context, query string, message []byte) doh.Relayed {
	if query == "stale" {
		return doh.Relayed{Status: 401, Cause: doh.CauseTarget}
	}
	return doh.Relayed{Status: 200, Cause: doh.CauseOK, Message: append([]byte(query+" "), message...)}
}

// asking sends requests over HTTP/3.
func asking(t *testing.T, to netip.AddrPort) func(method, path, contentType string, body []byte) (*http.Response, []byte) {
	t.Helper()
	tr := &http3.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	t.Cleanup(func() { tr.Close() })
	c := &http.Client{Transport: tr, Timeout: patience}
	return func(method, path, contentType string, body []byte) (*http.Response, []byte) {
		t.Helper()
		r, err := http.NewRequest(method, fmt.Sprintf("https://%s%s", to, path), bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", contentType)
		res, err := c.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res, b
	}
}

// Over HTTP/3 a target and a proxy do what they do over HTTP/2.
func TestOblivious(t *testing.T) {
	key, err := odoh.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	other, err := odoh.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	s, _ := start(t, func(c *listen.Config) {
		c.Secure.Oblivious = func() odoh.Keys { return odoh.Keys{key} }
		c.Secure.Relay, c.Secure.RelayPath = echo{}, "/proxy"
	})
	ask := asking(t, s.DoHAddrs()[0])
	if res, b := ask("GET", odoh.ConfigsPath, "", nil); res.StatusCode != 200 || !bytes.Equal(b, odoh.Keys{key}.Configs()) {
		t.Errorf("configs: %s, %x", res.Status, b)
	}
	lengths := make(map[int]bool)
	for view, rcode := range map[byte]dns.RCode{0: 0, 1: dns.RCodeNameError} {
		for _, name := range []string{"hit.example", "miss.example"} {
			q, ok := dns.AddOption(packet(t, 0, name, &dns.EDNS{UDPSize: 1232}), odoh.ViewOption, []byte{view})
			if !ok {
				t.Fatal("no option")
			}
			sealed, asked, err := key.Seal(q)
			if err != nil {
				t.Fatal(err)
			}
			res, b := ask("POST", "/dns-query", doh.TypeOblivious, sealed)
			message, err := asked.Open(b)
			var m dns.Message
			if err != nil || m.Unpack(message) != nil || m.RCode != rcode || res.Header.Get("Cache-Control") != "no-store" || res.Header.Get("Content-Type") != doh.TypeOblivious {
				t.Errorf("%s in view %d: %s, %s, %v", name, view, res.Status, m.RCode, err)
			}
			lengths[len(b)] = true
		}
	}
	if len(lengths) != 1 {
		t.Errorf("lengths of replies: %v", lengths)
	}
	stale, _, err := other.Seal([]byte("query"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		method, path, contentType, body string
		status                          int
		proxied                         string
	}{
		{"POST", "/dns-query", doh.TypeOblivious, string(stale), 401, ""}, {"POST", "/dns-query", doh.TypeOblivious, "junk", 400, ""}, {"POST", "/dns-query", doh.TypeOblivious, "", 400, ""},
		{"GET", "/dns-query", doh.TypeOblivious, "", 400, ""}, {"POST", odoh.ConfigsPath, "", "x", 405, ""},
		{"POST", "/proxy?a", doh.TypeOblivious, "octets", 200, "received-status=200"}, {"POST", "/proxy?stale", doh.TypeOblivious, "octets", 401, "received-status=401"},
		{"POST", "/proxy?a", doh.TypeMessage, "octets", 415, "http_request_error"}, {"GET", "/proxy?a", "", "", 405, "http_request_error"}, {"POST", "/proxy?a", doh.TypeOblivious, "", 400, "http_request_error"},
		{"POST", "/proxy?a", doh.TypeOblivious, strings.Repeat("x", doh.MaxMessage+1), 400, "http_request_error"},
	} {
		if res, b := ask(c.method, c.path, c.contentType, []byte(c.body)); res.StatusCode != c.status || !strings.Contains(res.Header.Get("Proxy-Status"), c.proxied) || c.status == 200 && string(b) != "a octets" {
			t.Errorf("%s %s: %s, %s, %q", c.method, c.path, res.Status, res.Header.Get("Proxy-Status"), b)
		}
	}
}

// Nothing that is sent before the handshake has ended is taken (0-RTT), also of a client that comes again: it could
// be sent again by who recorded it.
func TestNoEarlyData(t *testing.T) {
	s, _ := start(t, nil)
	security := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{http3.NextProtoH3}, ClientSessionCache: tls.NewLRUClientSessionCache(1)}
	for range 20 { // until a ticket has come in time
		c, err := quic.DialAddrEarly(t.Context(), s.DoHAddrs()[0].String(), security, nil)
		if err != nil {
			t.Fatal(err)
		}
		select {
		case <-c.HandshakeComplete():
		case <-t.Context().Done():
			t.Fatal("no handshake")
		}
		state := c.ConnectionState()
		if state.Used0RTT {
			t.Fatal("early data was taken")
		}
		if _, err := c.AcceptUniStream(t.Context()); err != nil {
			t.Fatal(err)
		}
		c.CloseWithError(0, "")
		if state.TLS.DidResume {
			return
		}
	}
	t.Error("no connection was resumed")
}

package upstream

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"github.com/shoji-dns/shoji/internal/discovery"
	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/ech"
)

// hidden is a resolver that knows its clients' names by Encrypted Client Hello alone, over every
// transport.
type hidden struct {
	t     *testing.T
	cert  tls.Certificate
	roots *x509.CertPool
	at    map[string]netip.AddrPort

	mu      sync.Mutex
	keys    []tls.EncryptedClientHelloKey
	told    []byte   // in SVCB records; nil: none
	silent  bool     // it does not answer who asks for those
	clear   []string // the names that were said in the clear
	fetches int
}

// newKey is a key and what is told of it.
func newKey(t *testing.T) (tls.EncryptedClientHelloKey, []byte) {
	t.Helper()
	private, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c, err := ech.New(1, private.PublicKey(), "dns.example", 11)
	if err != nil {
		t.Fatal(err)
	}
	return tls.EncryptedClientHelloKey{Config: c.Bytes(), PrivateKey: private.Bytes(), SendAsRetry: true}, ech.List(c.Bytes())
}

// answer is what it says to a query on any connection.
func (h *hidden) answer(q []byte) []byte {
	var m dns.Message
	if m.Unpack(q) != nil || len(m.Question) != 1 || m.Question[0].Type != dns.TypeSVCB {
		return answer(q)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.fetches++
	m.Flags |= dns.FlagQR
	m.Additional, m.EDNS = nil, nil
	if h.silent {
		m.RCode = dns.RCodeServerFailure
	} else if h.told != nil {
		e := discovery.Endpoint{Priority: 1, Target: dns.MustName("dns.example"), ALPN: []string{"dot"}, Port: 853, ECH: h.told}
		records, err := e.Named()
		if err != nil {
			h.t.Error(err)
		}
		m.Answer = records
	}
	out, err := m.Append(nil)
	if err != nil {
		h.t.Error(err)
	}
	return out
}

// security is the server's for one protocol.
func (h *hidden) security(protocol string) *tls.Config {
	return &tls.Config{
		Certificates: []tls.Certificate{h.cert}, NextProtos: []string{protocol}, MinVersion: tls.VersionTLS13,
		GetEncryptedClientHelloKeys: func(*tls.ClientHelloInfo) ([]tls.EncryptedClientHelloKey, error) {
			h.mu.Lock()
			defer h.mu.Unlock()
			return append([]tls.EncryptedClientHelloKey{}, h.keys...), nil
		},
		VerifyConnection: func(s tls.ConnectionState) error {
			h.mu.Lock()
			defer h.mu.Unlock()
			if !s.ECHAccepted && s.ServerName != "" {
				h.clear = append(h.clear, s.ServerName)
			}
			return nil
		},
	}
}

func startHidden(t *testing.T) *hidden {
	cert, roots := certificate(t)
	h := &hidden{t: t, cert: cert, roots: roots, at: make(map[string]netip.AddrPort)}
	addr := func(a net.Addr) netip.AddrPort { return netip.MustParseAddrPort(a.String()) }
	dot, err := tls.Listen("tcp", "127.0.0.1:0", h.security("dot"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dot.Close() })
	go accept(dot, func(c net.Conn) { echoBy(c, c, h.answer) })
	h.at[TLS] = addr(dot.Addr())
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Type", mediaType)
		w.Write(h.answer(body))
	})
	doh := httptest.NewUnstartedServer(handler)
	doh.EnableHTTP2, doh.TLS = true, h.security("h2")
	doh.StartTLS()
	t.Cleanup(doh.Close)
	h.at[HTTPS] = addr(doh.Listener.Addr())
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h3 := &http3.Server{Handler: handler, TLSConfig: http3.ConfigureTLSConfig(h.security("h3"))}
	go h3.Serve(udp)
	t.Cleanup(func() { h3.Close(); udp.Close() })
	h.at[HTTP3] = addr(udp.LocalAddr())
	doq, err := quic.ListenAddr("127.0.0.1:0", h.security("doq"), nil)
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
					go func() { echoBy(s, s, h.answer); s.Close() }()
				}
			}()
		}
	}()
	h.at[QUIC] = addr(doq.Addr())
	return h
}

// resolver is how it is written, over a transport.
func (h *hidden) resolver(transport, text string) Resolver {
	h.t.Helper()
	path := ""
	if transport == HTTPS || transport == HTTP3 {
		path = "/dns-query"
	}
	r, err := Parse(transport + "://" + h.at[transport].String() + path + "#dns.example" + text)
	if err != nil {
		h.t.Fatal(err)
	}
	return r
}

// said takes the names that were said in the clear since it was asked last.
func (h *hidden) said() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := h.clear
	h.clear = nil
	return out
}

func (h *hidden) set(change func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	change()
}

// transports are all four.
var transports = [...]string{TLS, HTTPS, HTTP3, QUIC}

// asks puts one query to a network, and reports how that went.
func asks(t *testing.T, n *Network, r Resolver) error {
	t.Helper()
	q := query(1, "q")
	return n.Exchange(t.Context(), r.Addr.Addr(), r.Addr.Port(), true, q, func(b []byte) bool { return bytes.Equal(b, answer(q)) })
}

// TestNameIsNotSaid: by a configuration that is written down or that is asked for, no name is said in
// the clear, over no transport, and it is asked for once.
func TestNameIsNotSaid(t *testing.T) {
	h := startHidden(t)
	key, list := newKey(t)
	h.keys, h.told = []tls.EncryptedClientHelloKey{key}, list
	for _, transport := range transports {
		for _, text := range []string{"&ech=auto", "&ech=" + ech.Text(list)} {
			r := h.resolver(transport, text)
			n, err := New(Config{Resolvers: []Resolver{r}, Roots: h.roots})
			if err != nil {
				t.Fatal(err)
			}
			h.set(func() { h.fetches = 0 })
			for range 3 {
				if err := asks(t, n, r); err != nil {
					t.Errorf("%s: %v", r, err)
				}
			}
			n.Close()
			if said := h.said(); said != nil {
				t.Errorf("%s: said in the clear: %q", r, said)
			}
			if got, err := FetchECH(t.Context(), r, h.roots); err != nil || !bytes.Equal(got, list) || h.said() != nil {
				t.Errorf("%s: it tells %x, %v", r, got, err)
			}
			h.set(func() { h.fetches-- })
			if want := strings.Count(text, AutoECH); h.fetches != want {
				t.Errorf("%s: asked for %d times, want %d", r, h.fetches, want)
			}
		}
		if r := h.resolver(transport, ""); Ask(t.Context(), r, h.roots, query(1, "q"), func([]byte) bool { return true }) != nil || len(h.said()) != 1 {
			t.Errorf("%s: without, the test sees no name", transport)
		}
	}
}

// TestKeysChange: a server has other keys and tells them; the client goes on with those, over
// a connection of its own, and says no name.
func TestKeysChange(t *testing.T) {
	h := startHidden(t)
	_, old := newKey(t)
	key, list := newKey(t)
	h.keys, h.told = []tls.EncryptedClientHelloKey{key}, old
	for _, transport := range transports {
		for _, text := range []string{"&ech=auto", "&ech=" + ech.Text(old)} {
			r := h.resolver(transport, text)
			if err := Ask(t.Context(), r, h.roots, query(1, "q"), func([]byte) bool { return true }); err != nil {
				t.Errorf("%s: %v", r, err)
			}
			// What a refused client sees of the server is under the public name, which here is the same.
			h.said()
		}
	}
	// Who refuses and tells keys that it has not is asked no third time.
	broken := key
	_, other := newKey(t)
	broken.Config = other[2:]
	h.set(func() { h.keys = []tls.EncryptedClientHelloKey{broken} })
	r := h.resolver(TLS, "&ech="+ech.Text(list))
	var refused *tls.ECHRejectionError
	if err := Ask(t.Context(), r, h.roots, query(1, "q"), func([]byte) bool { return true }); !errors.As(err, &refused) {
		t.Errorf("%v", err)
	}
}

// TestSwitchedOff: where a server has switched it off, auto goes on without, and a written
// configuration is not given up.
func TestSwitchedOff(t *testing.T) {
	h := startHidden(t)
	_, list := newKey(t)
	for _, transport := range transports {
		for told, text := range map[bool]string{false: "&ech=auto", true: "&ech=" + ech.Text(list)} {
			r := h.resolver(transport, text)
			err := Ask(t.Context(), r, h.roots, query(1, "q"), func([]byte) bool { return true })
			if told != (err != nil) || told && !strings.Contains(err.Error(), "switched") {
				t.Errorf("%s: %v", r, err)
			}
		}
	}
	h.told = list // it tells what it does not have
	if err := Ask(t.Context(), h.resolver(TLS, "&ech=auto"), h.roots, query(1, "q"), func([]byte) bool { return true }); err != nil {
		t.Error(err)
	}
}

// TestHindered: who hinders that the configuration is asked for does not have the name said.
func TestHindered(t *testing.T) {
	h := startHidden(t)
	h.silent = true
	_, others := certificate(t)
	for _, transport := range transports {
		for _, roots := range []*x509.CertPool{h.roots, others} {
			r := h.resolver(transport, "&ech=auto")
			err := Ask(t.Context(), r, roots, query(1, "q"), func([]byte) bool { return true })
			if err == nil || !strings.Contains(err.Error(), "does not say whether") {
				t.Errorf("%s: %v", r, err)
			}
			if said := h.said(); said != nil {
				t.Errorf("%s: said in the clear: %q", r, said)
			}
		}
	}
}

// TestOneLength: what a client says first has one length, whichever of two names of one length it
// asks for.
func TestOneLength(t *testing.T) {
	_, list := newKey(t)
	said := func(name string, list []byte) (n int) {
		client, server := net.Pipe()
		go tls.Client(client, &tls.Config{ServerName: name, NextProtos: []string{"dot"}, EncryptedClientHelloConfigList: list}).Handshake()
		defer client.Close()
		var head [5]byte
		if _, err := io.ReadFull(server, head[:]); err != nil {
			t.Fatal(err)
		}
		return int(head[3])<<8 | int(head[4])
	}
	if a, b := said("dns1.example", list), said("dns2.example", list); a != b {
		t.Errorf("%d octets and %d", a, b)
	}
	if a, b := said("dns1.example", nil), said("dns.filtered.example", nil); a == b {
		t.Error("without, names of different lengths do not show: the test sees nothing")
	}
}

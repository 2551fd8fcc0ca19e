package acme

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
	"github.com/miekg/dns"
)

// The names that certificates are for in these tests.
const one, two = "dns1.example", "dns2.example"

// nameServer answers every name with 127.0.0.1, for the authority.
func nameServer(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") // the authority asks over TCP
	if err != nil {
		t.Fatal(err)
	}
	s := &dns.Server{Listener: l, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		if q.Question[0].Qtype == dns.TypeA {
			m.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 1}, A: net.IPv4(127, 0, 0, 1)}}
		}
		w.WriteMsg(m)
	})}
	go s.ActivateAndServe()
	t.Cleanup(func() { s.Shutdown() })
	return l.Addr().String()
}

// authority is Let's Encrypt's test server, which takes nothing that the RFCs do not allow and
// refuses one in twenty nonces.
type authority struct {
	directory string
	roots     *x509.CertPool // of its own certificate, which is for ca.example
	asked     atomic.Int32   // requests
	down      atomic.Bool
	log       strings.Builder
}

// startAuthority has one that comes to these ports for challenges.
func startAuthority(t *testing.T, httpPort, tlsPort int, life uint64) *authority {
	t.Helper()
	t.Setenv("PEBBLE_VA_NOSLEEP", "1")
	t.Setenv("PEBBLE_AUTHZREUSE", "0")
	a := new(authority)
	var mu sync.Mutex
	logger := log.New(writer(func(b []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		return a.log.Write(b)
	}), "", 0)
	t.Cleanup(func() {
		mu.Lock()
		defer mu.Unlock()
		if t.Failed() {
			t.Log(a.log.String())
		}
	})
	store := db.NewMemoryStore()
	signer := ca.New(logger, store, "", "ecdsa", 0, 1, map[string]ca.Profile{"default": {Description: "default", ValidityPeriod: life}})
	front := wfe.New(logger, store, va.New(logger, httpPort, tlsPort, true, nameServer(t), store), signer, []string{"ca.example"}, true, false, 1, 1)
	handler := front.Handler()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.asked.Add(1)
		if a.down.Load() {
			http.Error(w, "down", http.StatusServiceUnavailable)
			return
		}
		handler.ServeHTTP(w, r)
	}))
	cert := certificateFor(t, "ca.example")
	s.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	a.roots = x509.NewCertPool()
	a.roots.AddCert(cert.Leaf)
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	a.directory = "https://ca.example:" + u.Port() + wfe.DirectoryPath
	return a
}

type writer func([]byte) (int, error)

func (w writer) Write(b []byte) (int, error) { return w(b) }

func certificateFor(t *testing.T, name string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// config is for an authority, with its name resolved by the test.
func (a *authority) config(t *testing.T) Config {
	return Config{
		Directory: a.directory, Email: "hostmaster@isp.example", Names: []string{one, two}, Folder: filepath.Join(t.TempDir(), "acme"), Roots: a.roots,
		Resolve: func(_ context.Context, host string) ([]netip.Addr, error) {
			if host != "ca.example" {
				return nil, errors.New("another name is resolved: " + host)
			}
			return []netip.Addr{netip.MustParseAddr("::1"), netip.MustParseAddr("127.0.0.1")}, nil
		},
		Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
}

// overHTTP is an authority and a manager that answers over HTTP.
func overHTTP(t *testing.T, life uint64) (*authority, Config) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := netip.MustParseAddrPort(l.Addr().String())
	l.Close()
	a := startAuthority(t, int(at.Port()), 1, life)
	cfg := a.config(t)
	cfg.HTTP = []netip.AddrPort{at}
	return a, cfg
}

// manager runs its sockets until the test ends.
func manager(t *testing.T, cfg Config) *Manager {
	t.Helper()
	m, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { m.serve(ctx); close(done) }()
	t.Cleanup(func() { cancel(); <-done; m.Close() })
	return m
}

// TestIssued: one certificate for both names is issued by challenges over HTTP, kept in files that nobody
// else can read, and not asked for again while it is good.
func TestIssued(t *testing.T) {
	_, cfg := overHTTP(t, 0)
	m := manager(t, cfg)
	if wait := m.step(t.Context()); wait != lookEvery || m.failures > 0 {
		t.Fatalf("again in %s, %d failures", wait, m.failures)
	}
	leaf := m.current()
	if leaf == nil || len(leaf.DNSNames) != 2 || leaf.VerifyHostname(one) != nil || leaf.VerifyHostname(two) != nil {
		t.Fatalf("%+v", leaf)
	}
	files, err := filepath.Glob(filepath.Join(cfg.Folder, "*"))
	if err != nil || len(files) != 2 {
		t.Errorf("%q, %v", files, err)
	}
	for _, f := range files {
		if info, err := os.Stat(f); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", f, info.Mode(), err)
		}
	}
	cfg.TLS, cfg.HTTP = true, nil // the sockets are taken
	if again := manager(t, cfg); again.step(t.Context()) <= time.Hour || again.current().SerialNumber.Cmp(leaf.SerialNumber) != 0 {
		t.Error("after the next start another certificate is asked for")
	}
	// Another name is another certificate, by the same account.
	m.cfg.Names = append(m.cfg.Names, "dns.example")
	if m.step(t.Context()); m.failures > 0 || m.current() == nil || len(m.current().DNSNames) != 3 {
		t.Errorf("%d failures, %+v", m.failures, m.current())
	}
	if files, _ := filepath.Glob(filepath.Join(cfg.Folder, "account-*.pem")); len(files) != 1 {
		t.Errorf("%q", files)
	}
}

// TestIssuedOverTLS: challenges are answered within TLS, beside other clients.
func TestIssuedOverTLS(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a := startAuthority(t, 1, l.Addr().(*net.TCPAddr).Port, 0)
	cfg := a.config(t)
	cfg.TLS = true
	m := manager(t, cfg)
	own := certificateFor(t, one)
	server := tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{own}, NextProtos: []string{"h2"}, GetConfigForClient: m.ForClient})
	go func() {
		for {
			c, err := server.Accept()
			if err != nil {
				return
			}
			go func() { c.(*tls.Conn).Handshake(); c.Close() }()
		}
	}()
	if m.step(t.Context()); m.failures > 0 || m.current() == nil {
		t.Fatalf("%d failures", m.failures)
	}
	for protocol, works := range map[string]bool{"h2": true, Protocol: false} {
		c, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{ServerName: one, InsecureSkipVerify: true, NextProtos: []string{protocol}})
		if (err == nil) != works {
			t.Errorf("%s, when no challenge is under way: %v", protocol, err)
		}
		if err == nil {
			c.Close()
		}
	}
}

// TestRenewed: a certificate with a third of its life left is replaced, by another key.
func TestRenewed(t *testing.T) {
	_, cfg := overHTTP(t, 3*3600)
	m := manager(t, cfg)
	if wait := m.step(t.Context()); m.failures > 0 || wait > 2*time.Hour || wait < time.Hour {
		t.Fatalf("again in %s, %d failures", wait, m.failures)
	}
	first := m.current()
	if at := m.renewal(first); at.Sub(first.NotBefore).Round(time.Minute) != 2*time.Hour {
		t.Errorf("renewed at %s of %s to %s", at, first.NotBefore, first.NotAfter)
	}
	old := &x509.Certificate{NotBefore: time.Now().Add(-179 * time.Minute), NotAfter: time.Now().Add(time.Minute)} // by a clock that is ahead
	if at := m.renewal(old); time.Until(at).Round(time.Minute) != 30*time.Minute {
		t.Errorf("one that was just issued is renewed at %s", at)
	}
	m.suggested = first.NotBefore.Add(time.Minute) // the authority says sooner
	if at := m.renewal(first); at != m.suggested {
		t.Errorf("renewed at %s", at)
	}
	// One that is nearly over, in the place of the first one.
	pair := certificateFor(t, one)
	m.cfg.Names, m.rest = []string{one}, time.Time{}
	pair.Leaf.NotBefore = time.Now().Add(-24 * time.Hour)
	if at := m.renewal(pair.Leaf); time.Until(at) > 0 {
		t.Errorf("renewed at %s", at)
	}
	leaf, err := m.obtain(t.Context(), first)
	if err != nil || leaf.SerialNumber.Cmp(first.SerialNumber) == 0 || leaf.PublicKey.(*ecdsa.PublicKey).Equal(first.PublicKey) {
		t.Errorf("%v", err)
	}
}

// TestFailures: while the authority is down, or comes to where nobody answers, the certificate stays, that is
// said loudly, and it is not asked all the time.
func TestFailures(t *testing.T) {
	a, cfg := overHTTP(t, 0)
	var told strings.Builder
	cfg.Log = slog.New(slog.NewTextHandler(&told, nil))
	m := manager(t, cfg)
	if m.step(t.Context()); m.failures > 0 {
		t.Fatal(told.String())
	}
	before, err := os.ReadFile(m.File())
	if err != nil {
		t.Fatal(err)
	}
	m.cfg.Names = append(m.cfg.Names, "dns.example")
	if last := retries(1000); last != 4*time.Hour {
		t.Errorf("after a thousand failures again in %s", last)
	}
	for i, want := range []time.Duration{time.Minute, 5 * time.Minute, 15 * time.Minute} {
		told.Reset()
		a.down.Store(i%2 == 0)
		m.cfg.HTTP = nil
		m.doors = nil // nobody answers
		wait := m.step(t.Context())
		if wait != want || strings.Count(told.String(), "level=ERROR") != 1 || !strings.Contains(told.String(), "dns.example") {
			t.Errorf("failure %d: again in %s, told: %s", i+1, wait, told.String())
		}
	}
	if after, err := os.ReadFile(m.File()); err != nil || string(after) != string(before) {
		t.Errorf("the certificate is another one: %v", err)
	}
	if n := a.asked.Load(); n == 0 || n > 500 {
		t.Errorf("%d requests", n)
	}
}

// TestNameIsNotResolved: without the authority's address there is an error that says so.
func TestNameIsNotResolved(t *testing.T) {
	_, cfg := overHTTP(t, 0)
	cfg.Resolve = func(context.Context, string) ([]netip.Addr, error) { return nil, errors.New("SERVFAIL") }
	cfg.Directory = strings.Replace(cfg.Directory, "ca.example", "nobody.example", 1)
	m := manager(t, cfg)
	if _, err := m.obtain(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "resolving nobody.example: SERVFAIL") {
		t.Error(err)
	}
}

// TestDamagedFiles: a damaged account key is named, and a damaged certificate is replaced.
func TestDamagedFiles(t *testing.T) {
	_, cfg := overHTTP(t, 0)
	m := manager(t, cfg)
	if err := os.WriteFile(m.File(), []byte("garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	if m.step(t.Context()); m.failures > 0 || m.current() == nil {
		t.Fatalf("%d failures", m.failures)
	}
	accounts, err := filepath.Glob(filepath.Join(cfg.Folder, "account-*.pem"))
	if err != nil || len(accounts) != 1 {
		t.Fatal(accounts, err)
	}
	if err := os.WriteFile(accounts[0], []byte("garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := m.obtain(t.Context(), nil); err == nil || !strings.Contains(err.Error(), accounts[0]) || !strings.Contains(err.Error(), "restore the file") {
		t.Error(err)
	}
	if _, err := m.keep([]byte("no chain"), nil); err == nil {
		t.Error("what is no certificate is kept")
	}
}

// TestNothingElseIsServed: who comes over HTTP for anything but a challenge gets nothing, however often.
func TestNothingElseIsServed(t *testing.T) {
	_, cfg := overHTTP(t, 0)
	m := manager(t, cfg)
	at := "http://" + m.Addrs()[0].String()
	for range 3 * httpConns {
		for _, path := range []string{"/", "/.well-known/acme-challenge/", "/.well-known/acme-challenge/x", "/../etc/passwd"} {
			res, err := http.Get(at + path)
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			if res.StatusCode != http.StatusNotFound {
				t.Fatalf("%s: status %d", path, res.StatusCode)
			}
		}
	}
}

// FuzzAccountKey: nothing panics, and what is read can sign.
func FuzzAccountKey(f *testing.F) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	text, err := encodeKey(key)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Fuzz(func(t *testing.T, text []byte) {
		key, err := parseAccountKey(text)
		if err != nil {
			return
		}
		if _, err := key.Sign(rand.Reader, make([]byte, 32), nil); err != nil && !strings.Contains(err.Error(), "hash") {
			t.Fatal(err)
		}
	})
}

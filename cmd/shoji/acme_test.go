package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
)

// authority is Let's Encrypt's test server under the name ca.example, which comes to a port of ours
// for challenges and resolves names by us. It returns its port, and the file of who vouches for itself
// and the certificates that it issues.
func authority(t *testing.T, tlsPort int, resolver, dir string) (port int, trust string) {
	t.Helper()
	t.Setenv("PEBBLE_VA_NOSLEEP", "1")
	quiet := log.New(io.Discard, "", 0)
	store := db.NewMemoryStore()
	signer := ca.New(quiet, store, "", "ecdsa", 0, 1, map[string]ca.Profile{"default": {}})
	front := wfe.New(quiet, store, va.New(quiet, 1, tlsPort, true, resolver, store), signer, []string{"ca.example"}, true, false, 1, 1)
	s := httptest.NewUnstartedServer(front.Handler())
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"ca.example"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	s.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	s.Config.ErrorLog = quiet
	s.StartTLS()
	t.Cleanup(s.Close)
	trust = filepath.Join(dir, "trust.pem")
	text := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), signer.GetRootCert(0).PEM()...)
	if err := os.WriteFile(trust, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return s.Listener.Addr().(*net.TCPAddr).Port, trust
}

// TestACME starts serve without a certificate, where it is the only resolver that its authority and it
// have: plain DNS is answered at once, a certificate is issued over the port of DNS over HTTPS, and
// clients verify it, with their name hidden or not.
func TestACME(t *testing.T) {
	dir := t.TempDir()
	plain, web, dot := freePort(t), freePort(t), freePort(t)
	port, trust := authority(t, web, fmt.Sprintf("127.0.0.1:%d", plain), dir)
	conf := filepath.Join(dir, "shoji.yaml")
	from, typ, at := "127.0.0.1", "A", ""
	if c, err := net.Listen("tcp", fmt.Sprintf("[::1]:%d", web)); err == nil { // the authority then comes from where no client may
		c.Close()
		from, typ, at = "::1", "AAAA", fmt.Sprintf(`, "[::1]:%d"`, web)
	}
	text := fmt.Sprintf(`listen: {filtered: ["127.0.0.1:0"], unfiltered: ["127.0.0.1:%d"], allow: [127.0.0.0/8]}
encrypted:
  dot: ["127.0.0.1:%d"]
  doh: ["127.0.0.1:%d"%s]
  filtered: {name: dns1.example}
  unfiltered: {name: dns2.example}
  acme: {directory: "https://ca.example:%d%s", agree: true, email: hostmaster@isp.example, ca: '%s'}
local_zones:
  - {name: ca.example, kind: static, records: ["ca.example. 60 IN A 127.0.0.1"]}
  - {name: dns1.example, kind: static, records: ["dns1.example. 60 IN %s %s"]}
  - {name: dns2.example, kind: static, records: ["dns2.example. 60 IN %s %s"]}
log: {listen: []}
reporting: {level: error}
`, plain, dot, web, at, port, wfe.DirectoryPath, trust, typ, from, typ, from)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	banner := startServe(t, "--lab", "--config", conf, "--state", filepath.Join(dir, "state"))
	if !strings.Contains(banner, "certificate none yet") {
		t.Errorf("the banner:\n%s", banner)
	}
	if r := ask(t, fmt.Sprintf("127.0.0.1:%d", plain), "www.shop.test"); len(r.Answer) != 1 {
		t.Errorf("plain DNS waits for the certificate: %+v", r)
	}
	server := fmt.Sprintf("tls://127.0.0.1:%d#dns2.example", dot)
	for try := 0; ; try++ { // until the certificate was issued, and its file seen
		out, status := shoji(t, "", "query", "c2.evil.test", "--server", server, "--trust", trust)
		if status == exitOK {
			if !strings.Contains(out, "192.0.2.66") || !strings.Contains(out, "dns1.example, dns2.example") {
				t.Error(out)
			}
			break
		}
		if try == 5000 {
			t.Fatalf("no certificate is in force: %s", out)
		}
	}
	for _, server := range []string{server, fmt.Sprintf("h3://127.0.0.1:%d/dns-fully#dns1.example", web), fmt.Sprintf("https://127.0.0.1:%d/dns-fully#dns1.example", web)} {
		if out, status := shoji(t, "", "query", "c2.evil.test", "--server", server, "--trust", trust, "--ech", "auto"); status != exitOK || !strings.Contains(out, "ECH accepted") {
			t.Errorf("%s: status %d, %s", server, status, out)
		}
	}
}

package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shoji-dns/shoji/internal/config"
	"github.com/shoji-dns/shoji/internal/credential"
	"github.com/shoji-dns/shoji/internal/serve"
)

// TestEncryptedViews asks both views over each encrypted transport: by server name or by path,
// each answers what it answers over UDP, and every reply has one length.
func TestEncryptedViews(t *testing.T) {
	banner := startLabWith(t, `encrypted:
  dot: ["127.0.0.1:0"]
  doh: ["127.0.0.1:0"]
  doq: ["127.0.0.1:0"]
  filtered: {name: dns1.example}
  unfiltered: {name: dns2.example}
`).banner
	tls, quic, web := addresses(banner, "TLS"), addresses(banner, "QUIC"), addresses(banner, "HTTPS")
	pin := regexp.MustCompile(`pin (sha256/\S+)`).FindStringSubmatch(banner)
	if len(tls) != 1 || len(quic) != 1 || len(web) != 1 || pin == nil {
		t.Fatalf("the banner:\n%s", banner)
	}
	for filtered, unfiltered := range map[string]string{
		"tls://" + tls[0] + "#dns1.example":      "tls://" + tls[0] + "#dns2.example",
		"tls://" + tls[0]:                        "tls://" + tls[0] + "#dns2.example",
		"quic://" + quic[0] + "#dns1.example":    "quic://" + quic[0] + "#dns2.example",
		"https://" + web[0] + "/dns-query":       "https://" + web[0] + "/dns-fully",
		"h3://" + web[0] + "/dns-query":          "h3://" + web[0] + "/dns-fully",
		"https://" + web[0] + "/dns-query#other": "https://" + web[0] + "/dns-fully#other",
	} {
		for server, data := range map[string]string{filtered: "127.83.72.1", unfiltered: "192.0.2.66"} {
			for _, flags := range [][]string{nil, {"--dnssec"}} {
				r := ask(t, server, "c2.evil.test", append(flags, "--pin", pin[1])...)
				if len(r.Answer) != 1 || !strings.HasSuffix(r.Answer[0], "\t"+data) || (len(r.Errors) == 1) != (server == filtered) {
					t.Errorf("%s: %+v", server, r)
				}
			}
			out, status := shoji(t, "", "query", "c2.evil.test", "--server", server, "--pin", pin[1])
			if want := regexp.MustCompile(`query 128 octets \(padding [1-9]\d*\), reply 468 octets \(padding [1-9]\d*\)`); status != exitOK || !want.MatchString(out) || !strings.Contains(out, "dns1.example, dns2.example") ||
				strings.Contains(out, "times: connect") == (strings.HasPrefix(server, "h3") || strings.HasPrefix(server, "quic")) {
				t.Errorf("%s: status %d, %s, want %q", server, status, out, want)
			}
		}
	}
	for _, args := range [][]string{{"--server", "tls://" + tls[0], "--pin", "sha256/AAAA"}, {"--server", "tls://" + tls[0]}} {
		if out, status := shoji(t, "", append([]string{"query", "c2.evil.test"}, args...)...); status != exitFailure {
			t.Errorf("an unknown key is trusted: %v: status %d, %s", args, status, out)
		}
	}
}

// TestUntrusted: who asks a server that nobody vouches for is told what can be done.
func TestUntrusted(t *testing.T) {
	unknown := &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}
	if got := untrusted(fmt.Errorf("no answer: %w", unknown)); !strings.Contains(got, "--pin") || untrusted(errors.New("no answer")) != "" {
		t.Errorf("%q", got)
	}
}

// TestDiscovery asks each view on plain DNS for its encrypted addresses: it tells of its own.
func TestDiscovery(t *testing.T) {
	ports := [2]int{freePort(t), freePort(t)} // as a port that is yet to be picked is not told of
	l := startLabWith(t, fmt.Sprintf(`encrypted:
  dot: ["127.0.0.1:%d"]
  doh: ["127.0.0.1:%d"]
  filtered: {name: dns1.example}
  unfiltered: {name: dns2.example}
`, ports[0], ports[1]))
	for at, want := range map[string]string{l.filtered[0]: `dns1.example. alpn="h2,h3" port="%d" ipv4hint="127.0.0.1" ech="`, l.unfiltered[0]: `dns2.example. alpn="h2,h3" port="%d" ipv4hint="127.0.0.1" ech="`} {
		r := ask(t, at, "_dns.resolver.arpa SVCB")
		if got := strings.ReplaceAll(strings.Join(r.Answer, "\n"), `"`, ""); len(r.Answer) != 2 || !strings.Contains(got, strings.ReplaceAll(fmt.Sprintf(want, ports[1]), `"`, "")) {
			t.Errorf("%s: %v, want %s", at, r.Answer, fmt.Sprintf(want, ports[1]))
		}
		if r := ask(t, at, "_dns.resolver.arpa A"); r.RCode != "NOERROR" || len(r.Answer) != 0 {
			t.Errorf("%s: %+v", at, r)
		}
	}
	out, status := shoji(t, "", "discovery", "--config", l.conf)
	if status != exitOK || !strings.Contains(out, "option 162") || !strings.Contains(out, "dns2.example.") {
		t.Errorf("status %d: %s", status, out)
	}
}

// freePort is a port of loopback that is free for TCP and for UDP.
func freePort(t *testing.T) int {
	t.Helper()
	for range 100 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		u, err := net.ListenPacket("udp", l.Addr().String())
		l.Close()
		if err == nil {
			u.Close()
			return l.Addr().(*net.TCPAddr).Port
		}
	}
	t.Fatal("no port is free for TCP and UDP")
	return 0
}

// TestECH asks both views by their names over each transport, and no name is seen: by the
// configuration that records tell, and by one of another server, which is put right on the way.
func TestECH(t *testing.T) {
	ports := []any{freePort(t), freePort(t), freePort(t)}
	l := startLabWith(t, fmt.Sprintf(`encrypted:
  dot: ["127.0.0.1:%d"]
  doh: ["127.0.0.1:%d"]
  doq: ["127.0.0.1:%d"]
  filtered: {name: dns1.example}
  unfiltered: {name: dns2.example}
`, ports...))
	ca := filepath.Join(l.state, "tls", "self-signed.pem")
	list := regexp.MustCompile(`ech="?([0-9A-Za-z+/=]+)`)
	var told []string
	for _, at := range []string{l.filtered[0], l.unfiltered[0]} { // both views tell of both names
		for _, question := range []string{"_dns.dns1.example SVCB", "_dns.dns2.example SVCB", "_dns.resolver.arpa SVCB", fmt.Sprintf("_%d._https.dns1.example HTTPS", ports[1])} {
			r := ask(t, at, question)
			m := list.FindStringSubmatch(strings.Join(r.Answer, "\n"))
			if m == nil {
				t.Fatalf("%s at %s: %v", question, at, r.Answer)
			}
			told = append(told, m[1])
		}
	}
	if told = slices.Compact(told); len(told) != 1 {
		t.Errorf("several configurations are told: %q", told)
	}
	stale, err := credential.OpenECH(credential.ECHConfig{Folder: t.TempDir(), PublicName: "dns1.example", Longest: 12, Every: time.Hour, Old: 1})
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string]string{"dns1.example": "127.83.72.1", "dns2.example": "192.0.2.66"} {
		path := map[string]string{"dns1.example": "/dns-query", "dns2.example": "/dns-fully"}[name]
		for _, server := range []string{
			fmt.Sprintf("tls://127.0.0.1:%d#%s", ports[0], name), fmt.Sprintf("https://127.0.0.1:%d%s#%s", ports[1], path, name),
			fmt.Sprintf("h3://127.0.0.1:%d%s#%s", ports[1], path, name), fmt.Sprintf("quic://127.0.0.1:%d#%s", ports[2], name),
		} {
			for _, how := range []string{"auto", told[0], base64.StdEncoding.EncodeToString(stale.List())} {
				out, status := shoji(t, "", "query", "c2.evil.test", "--server", server, "--trust", ca, "--ech", how)
				if status != exitOK || !strings.Contains(out, "ECH accepted") || !strings.Contains(out, data) {
					t.Errorf("%s, %s: status %d, %s", server, how, status, out)
				}
			}
			if out, _ := shoji(t, "", "query", "c2.evil.test", "--server", server, "--trust", ca); !strings.Contains(out, "readable on the way") || !strings.Contains(out, data) {
				t.Errorf("%s, without: %s", server, out)
			}
		}
	}
	out, status := shoji(t, "", "query", "c2.evil.test", "--server", fmt.Sprintf("tls://127.0.0.1:%d", ports[0]), "--ech", "auto", "--pin", "sha256/AAAA")
	if status == exitOK {
		t.Errorf("another key is trusted: %s", out)
	}
	if out, status := shoji(t, "", "discovery", "--config", l.conf, "--state", l.state); status != exitOK || !strings.Contains(out, told[0]) || !strings.Contains(out, "the key of Encrypted Client Hello") {
		t.Errorf("status %d: %s", status, out)
	}
}

// TestDamagedECHKey: serve says which file is damaged, and what to do, and begins with another key.
func TestDamagedECHKey(t *testing.T) {
	conf, err := config.Parse([]byte("encrypted: {dot: ['127.0.0.1:0'], filtered: {name: dns1.example}}"))
	if err != nil {
		t.Fatal(err)
	}
	conf.State = t.TempDir()
	if err := os.MkdirAll(echFolder(conf), 0o700); err != nil {
		t.Fatal(err)
	}
	const file = "00000000-20260101T000000Z.pem"
	if err := os.WriteFile(filepath.Join(echFolder(conf), file), []byte("garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	var told strings.Builder
	n := &node{conf: conf, log: slog.New(slog.NewTextHandler(&told, nil))}
	if err := n.openECH(); err != nil || n.echList() == nil {
		t.Fatal(err)
	}
	if text := told.String(); !strings.Contains(text, file) || !strings.Contains(text, "Remove the file") {
		t.Errorf("told: %s", text)
	}
}

// TestCheckRefusesOfEncryption: what of encrypted addresses serve refuses, config check does, in the same words.
func TestCheckRefusesOfEncryption(t *testing.T) {
	dir := t.TempDir()
	own, other := filepath.Join(dir, "own.pem"), filepath.Join(dir, "other.pem")
	for _, path := range []string{own, other} { // a certificate and its key in one file
		folder := t.TempDir()
		if _, err := credential.Open(credential.Config{Names: []string{"dns1.example"}, Dir: folder}); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(folder, "self-signed.pem"), path); err != nil {
			t.Fatal(err)
		}
	}
	files := func(cert, key string) string { return fmt.Sprintf("certificate: '%s', key: '%s', ", cert, key) }
	const authority = "acme: {directory: 'https://ca.example/dir', agree: true, http: ['127.0.0.1:0']}, "
	for what, c := range map[string]struct{ more, want string }{
		"no files":            {files(filepath.Join(dir, "none.pem"), own), "none.pem"},
		"not of one another":  {files(own, other), "does not match"},
		"another name":        {files(own, own) + "unfiltered: {name: dns2.example}, ", "dns2.example"},
		"paths that tell":     {"unfiltered: {path: /unfiltered}, ", "can be told apart"},
		"the same path":       {"unfiltered: {path: /dns-query}, ", "two views have the path"},
		"no path":             {"unfiltered: {path: '/dns-quer?'}, ", "is no path"},
		"a path in use":       {"oblivious: {proxy_path: /dns-query, proxy_for: ['https://192.0.2.2/q']}, ", "has a use already"},
		"with files":          {files(own, own), ""},
		"self-signed":         {"", ""},
		"by an authority":     {authority, ""},
		"by one, and in use":  {authority + "oblivious: {proxy_path: /dns-fully, proxy_for: ['https://192.0.2.2/q']}, ", "has a use already"},
		"a proxy's own path":  {"oblivious: {proxy_for: ['https://192.0.2.2/q']}, ", ""},
		"two of one alphabet": {"unfiltered: {path: /yns-querd}, ", ""},
	} {
		t.Run(what, func(t *testing.T) {
			conf, err := config.Parse([]byte("encrypted: {doh: ['127.0.0.1:0'], filtered: {name: dns1.example}, " + c.more + "}"))
			if err != nil {
				t.Fatal(err)
			}
			conf.State = t.TempDir()
			n := &node{conf: conf, log: slog.New(slog.DiscardHandler)}
			serves := n.openEncrypted(new(serve.Server), new(serve.Server))
			n.encrypted.close()
			checks := convertible(conf)
			if fmt.Sprint(serves) != fmt.Sprint(checks) || (c.want == "") != (checks == nil) || checks != nil && !strings.Contains(checks.Error(), c.want) {
				t.Errorf("serve: %v\nconfig check: %v, want %q", serves, checks, c.want)
			}
		})
	}
}

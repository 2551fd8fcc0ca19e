package credential

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// files writes a certificate for names, from a time on, and its key.
func files(t *testing.T, dir string, from time.Time, names ...string) Config {
	t.Helper()
	text, err := sign(Config{Names: names}, nil, from)
	if err != nil {
		t.Fatal(err)
	}
	c := Config{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem"), Names: names}
	cert, key, _ := bytes.Cut(text, []byte("-----BEGIN PRIVATE"))
	write(t, c.Cert, string(cert))
	write(t, c.Key, "-----BEGIN PRIVATE"+string(key))
	return c
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// journal is a log that is read while it is written.
type journal struct {
	mu   sync.Mutex
	text []byte
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.text = append(j.text, b...)
	return len(b), nil
}

// take empties it.
func (j *journal) take() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	text := string(j.text)
	j.text = nil
	return text
}

// A certificate that is replaced comes into force by itself; what cannot be used does not,
// and is told of.
func TestReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told journal
		dir := t.TempDir()
		cfg := files(t, dir, time.Now(), "one.example")
		cfg.Log = slog.New(slog.NewTextHandler(&told, nil))
		s, err := Open(cfg)
		if err != nil {
			t.Fatal(err)
		}
		go s.Run(t.Context())
		first := s.Pin()
		time.Sleep(ReloadEvery / 2) // from here on never at the time of a look
		// A fake clock's files have the machine's times: what differs here is their size too.
		for what, spoil := range map[string]func(){
			"garbage":      func() { write(t, cfg.Cert, "garbage") },
			"no file":      func() { os.Remove(cfg.Key) },
			"another key":  func() { text, _ := sign(Config{}, nil, time.Now()); write(t, cfg.Key, string(text)) },
			"another name": func() { files(t, dir, time.Now(), "somebody.else.example") },
			"over":         func() { files(t, dir, time.Now().Add(-selfLife-time.Hour), "one.example") },
			"not yet":      func() { files(t, dir, time.Now().Add(48*time.Hour), "one.example") },
		} {
			told.take()
			spoil()
			time.Sleep(2 * ReloadEvery)
			synctest.Wait()
			if s.Pin() != first {
				t.Fatalf("%s: came into force", what)
			}
			if text := told.take(); strings.Count(text, "level=ERROR") != 1 {
				t.Errorf("%s: told: %s", what, text)
			}
			time.Sleep(AlarmEvery + ReloadEvery)
			synctest.Wait()
			if text := told.take(); strings.Count(text, "level=ERROR") != 1 {
				t.Errorf("%s: told in another hour: %s", what, text)
			}
		}
		files(t, dir, time.Now(), "one.example")
		time.Sleep(2 * ReloadEvery)
		synctest.Wait()
		if s.Pin() == first {
			t.Error("a good certificate did not come into force")
		}
	})
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	good := files(t, dir, time.Now(), "one.example")
	for want, c := range map[string]Config{
		"go together": {Cert: good.Cert},
		"two.example": {Cert: good.Cert, Key: good.Key, Names: []string{"one.example", "two.example"}},
		"no such":     {Cert: filepath.Join(dir, "none"), Key: good.Key},
	} {
		if _, err := Open(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	// One whose time is over is better than none.
	if _, err := Open(files(t, t.TempDir(), time.Now().Add(-selfLife-time.Hour), "one.example")); err != nil {
		t.Error(err)
	}
}

// TestLater: where the files come while the server runs, handshakes fail before and work after; a
// certificate that is over stays in force as long as what comes is no better.
func TestLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told journal
		dir := t.TempDir()
		cfg := Config{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem"), Names: []string{"one.example"}, Later: true, Log: slog.New(slog.NewTextHandler(&told, nil))}
		s, err := Open(cfg)
		if err != nil || s.Pin() != "" || !s.Until().IsZero() {
			t.Fatalf("%v, %q", err, s.Pin())
		}
		if c, err := s.Server().GetCertificate(nil); c != nil || err == nil {
			t.Errorf("%v, %v", c, err)
		}
		go s.Run(t.Context())
		time.Sleep(3 * ReloadEvery)
		synctest.Wait()
		if text := told.take(); text != "" {
			t.Errorf("told before there is one: %s", text)
		}
		files(t, dir, time.Now().Add(-selfLife-time.Hour), "one.example") // over
		s.Look()
		synctest.Wait()
		if s.Pin() != "" || !strings.Contains(told.take(), "level=ERROR") {
			t.Error("one that is over came into force, or nobody was told")
		}
		files(t, dir, time.Now(), "one.example", "two.example")
		s.Look()
		synctest.Wait()
		if c, err := s.Server().GetCertificate(nil); c == nil || err != nil {
			t.Errorf("%v, %v", c, err)
		}
		// At the next start it is for one name too few: better than none, and told.
		cfg.Names = append(cfg.Names, "three.example")
		if s, err = Open(cfg); err != nil || s.Pin() == "" || !strings.Contains(told.take(), "three.example") {
			t.Errorf("%v", err)
		}
	})
}

// A self-signed certificate is the same at the next start, and another for other names or when it
// ends soon, with the same pin. A damaged one is not replaced.
func TestSelfSignedIsKept(t *testing.T) {
	c := Config{Names: []string{"one.example"}, Addrs: []netip.Addr{netip.MustParseAddr("192.0.2.1")}, Dir: filepath.Join(t.TempDir(), "tls")}
	open := func() string {
		s, err := Open(c)
		if err != nil || !s.SelfSigned() {
			t.Fatal(err)
		}
		leaf := s.current.Load().Leaf
		for _, name := range []string{"one.example", "192.0.2.1"} {
			if err := leaf.VerifyHostname(name); err != nil {
				t.Error(err)
			}
		}
		return s.Pin()
	}
	first := open()
	if open() != first {
		t.Error("another certificate at the next start")
	}
	c.Addrs = append(c.Addrs, netip.IPv6Loopback())
	if open() != first {
		t.Error("an address more, and another pin")
	}
	more, err := selfSigned(c, nil, time.Now())
	if err != nil || more.Leaf.VerifyHostname("::1") != nil {
		t.Errorf("an address more, and the same certificate: %v", err)
	}
	for what, now := range map[string]time.Time{"ends soon": time.Now().Add(selfLife - selfRenew), "from a clock that was ahead": time.Now().Add(-48 * time.Hour)} {
		later, err := selfSigned(c, nil, now)
		if err != nil || !now.Before(later.Leaf.NotAfter.Add(-selfRenew)) || later.Leaf.NotBefore.After(now) || !bytes.Equal(later.Leaf.RawSubjectPublicKeyInfo, more.Leaf.RawSubjectPublicKeyInfo) {
			t.Errorf("one that %s: %v to %v, %v", what, later.Leaf.NotBefore, later.Leaf.NotAfter, err)
		}
	}
	path := filepath.Join(c.Dir, selfFile)
	for _, text := range []string{"", "-----BEGIN CERTIFICATE-----\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(c); err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "remove it") {
			t.Errorf("a damaged file: %v", err)
		}
		if left, err := os.ReadFile(path); err != nil || string(left) != text {
			t.Errorf("a damaged file became %d octets, %v", len(left), err)
		}
	}
}

// A self-signed certificate is renewed while the server runs, with the same pin; where that cannot be written, the one
// in force stays and it is told each hour.
func TestSelfSignedIsRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told journal
		cfg := Config{Names: []string{"one.example"}, Dir: filepath.Join(t.TempDir(), "tls"), Log: slog.New(slog.NewTextHandler(&told, nil))}
		const left = time.Hour // until it is time
		if _, err := selfSigned(cfg, nil, time.Now().Add(selfRenew-selfLife+left)); err != nil {
			t.Fatal(err)
		}
		s, err := Open(cfg)
		if err != nil {
			t.Fatal(err)
		}
		first := s.current.Load()
		go s.Run(t.Context())
		time.Sleep(left - ReloadEvery)
		synctest.Wait()
		if s.current.Load() != first {
			t.Error("renewed before its time")
		}
		path := filepath.Join(cfg.Dir, selfFile)
		good, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		write(t, path, "garbage")
		time.Sleep(2 * AlarmEvery)
		synctest.Wait()
		if text := told.take(); strings.Count(text, "level=ERROR") != 2 || s.current.Load() != first {
			t.Errorf("a damaged file: %s", text)
		}
		write(t, path, string(good))
		time.Sleep(2 * ReloadEvery)
		synctest.Wait()
		renewed := s.current.Load()
		if !lasts(renewed.Leaf, time.Now()) || !bytes.Equal(renewed.Leaf.RawSubjectPublicKeyInfo, first.Leaf.RawSubjectPublicKeyInfo) || renewed.Leaf.VerifyHostname("one.example") != nil {
			t.Errorf("until %v", renewed.Leaf.NotAfter)
		}
		if kept, err := tls.LoadX509KeyPair(path, path); err != nil || !bytes.Equal(kept.Certificate[0], renewed.Certificate[0]) {
			t.Errorf("another one is on disk: %v", err)
		}
		if err := os.RemoveAll(cfg.Dir); err != nil { // the key is in memory still
			t.Fatal(err)
		}
		for _, dir := range []string{cfg.Dir, ""} {
			s.cfg.Dir = dir
			before := s.Until()
			if s.look(before); !s.Until().After(before) || s.Pin() != pin(first) {
				t.Errorf("in folder %q: until %v", dir, s.Until())
			}
		}
	})
}

// resumes shakes hands and reports whether that resumed what a ticket is for.
func resumes(t *testing.T, server, client *tls.Config) bool {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		s := tls.Server(c, server)
		s.Write([]byte{1})
		s.Close()
	}()
	c, err := tls.Dial("tcp", l.Addr().String(), client)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.Read(make([]byte, 1)) // and with it the ticket
	return c.ConnectionState().DidResume
}

// A session is resumed while the key of its ticket lasts and never after, over several
// configurations alike.
func TestTicketsEndWithTheirKey(t *testing.T) {
	s, err := Open(Config{Names: []string{"one.example"}})
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(s.current.Load().Leaf)
	a, b := s.Server(), s.Server()
	client := &tls.Config{RootCAs: roots, ServerName: "one.example", ClientSessionCache: tls.NewLRUClientSessionCache(1)}
	for i, want := range []bool{false, true, true} {
		if got := resumes(t, []*tls.Config{a, b, a}[i], client); got != want {
			t.Errorf("connection %d: resumed %t", i, got)
		}
	}
	s.rotate()
	if resumes(t, a, client) {
		t.Error("a ticket outlived its key")
	}
	if !resumes(t, b, client) {
		t.Error("the new key is not in use everywhere")
	}
}

package credential

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoji-dns/shoji/internal/ech"
)

func echConfig(t testing.TB) ECHConfig {
	return ECHConfig{Folder: filepath.Join(t.TempDir(), "ech"), PublicName: "dns1.example", Longest: 12, Every: 24 * time.Hour, Old: 2, Log: slog.New(slog.DiscardHandler)}
}

func openECH(t testing.TB, cfg ECHConfig) *ECH {
	t.Helper()
	e, err := OpenECH(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// server is one with keys of Encrypted Client Hello, on loopback until the test ends.
func server(t testing.TB, e *ECH) (addr string, roots *x509.CertPool) {
	t.Helper()
	s, err := Open(Config{Names: []string{"dns1.example", "dns2.example"}, ECH: e})
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", s.Server())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				if c.(*tls.Conn).Handshake() == nil {
					c.Write([]byte(c.(*tls.Conn).ConnectionState().ServerName))
				}
			}()
		}
	}()
	roots = x509.NewCertPool()
	roots.AddCert(s.current.Load().Leaf)
	return l.Addr().String(), roots
}

// greet shakes hands as a client with a list, and reads by which name the server knows it.
func greet(addr string, roots *x509.CertPool, list []byte) (name string, err error) {
	c, err := tls.Dial("tcp", addr, &tls.Config{ServerName: "dns2.example", RootCAs: roots, EncryptedClientHelloConfigList: list})
	if err != nil {
		return "", err
	}
	defer c.Close()
	if c.ConnectionState().ECHAccepted != (list != nil) {
		return "", errors.New("a handshake that is not what was asked for")
	}
	b := make([]byte, 64)
	n, err := c.Read(b)
	return string(b[:n]), err
}

// TestECHIsKept: keys are the same after the next start, in files that nobody else can read,
// and openssl and others read them too, by RFC 9934.
func TestECHIsKept(t *testing.T) {
	cfg := echConfig(t)
	if list, err := PublishedECH(cfg.Folder); list != nil || err != nil {
		t.Errorf("before the first start: %x, %v", list, err)
	}
	first := openECH(t, cfg).List()
	if again := openECH(t, cfg).List(); !bytes.Equal(first, again) {
		t.Error("another key after the next start")
	}
	if list, err := PublishedECH(cfg.Folder); !bytes.Equal(list, first) || err != nil {
		t.Errorf("%x, %v", list, err)
	}
	files, err := os.ReadDir(cfg.Folder)
	if err != nil || len(files) != 1 {
		t.Fatalf("%v, %v", files, err)
	}
	info, err := files[0].Info()
	if err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	text, err := os.ReadFile(filepath.Join(cfg.Folder, files[0].Name()))
	if err != nil || !strings.HasPrefix(string(text), "-----BEGIN PRIVATE KEY-----\n") || !strings.Contains(string(text), "-----BEGIN ECHCONFIG-----\n") {
		t.Errorf("%v: %s", err, text)
	}
	// Another public name is another configuration; the key before is taken still.
	cfg.PublicName = "dns.example"
	e := openECH(t, cfg)
	if bytes.Equal(e.List(), first) {
		t.Error("the public name is another, and is not told")
	}
	addr, roots := server(t, e)
	if name, err := greet(addr, roots, first); name != "dns2.example" {
		t.Errorf("%q, %v", name, err)
	}
}

// TestStaleKeys: a client with a key before the newest is served; one with a key that has gone is told
// the newest by who has the public name, and served then.
func TestStaleKeys(t *testing.T) {
	cfg := echConfig(t)
	e := openECH(t, cfg)
	addr, roots := server(t, e)
	now := time.Now()
	lists := [][]byte{e.List()}
	for range 3 {
		now = now.Add(cfg.Every)
		e.rotate(now, func(list []byte) { lists = append(lists, list) })
	}
	if len(lists) != 4 {
		t.Fatalf("%d lists", len(lists))
	}
	for i, list := range lists {
		name, err := greet(addr, roots, list)
		if i > 0 {
			if name != "dns2.example" {
				t.Errorf("key %d: %q, %v", i, name, err)
			}
			continue
		}
		var refused *tls.ECHRejectionError
		if !errors.As(err, &refused) || !bytes.Equal(refused.RetryConfigList, lists[3]) {
			t.Fatalf("key 0: %v, and the newest is not told", err)
		}
		if name, err = greet(addr, roots, refused.RetryConfigList); name != "dns2.example" {
			t.Errorf("by what was told: %q, %v", name, err)
		}
	}
	// And after the next start. The keys are of days that are to come.
	cfg.Every *= 100
	addr, roots = server(t, openECH(t, cfg))
	for i, list := range lists {
		if _, err := greet(addr, roots, list); (err == nil) != (i > 0) {
			t.Errorf("key %d after the next start: %v", i, err)
		}
	}
	if files, err := os.ReadDir(cfg.Folder); err != nil || len(files) != 3 {
		t.Errorf("%d files, %v", len(files), err)
	}
}

// TestRotationUnderLoad: while keys are replaced, no client that learns of each new one fails.
func TestRotationUnderLoad(t *testing.T) {
	cfg := echConfig(t)
	e := openECH(t, cfg)
	addr, roots := server(t, e)
	var stop atomic.Bool
	var shaken [4]atomic.Int32
	var clients sync.WaitGroup
	for i := range shaken {
		clients.Go(func() {
			for !stop.Load() {
				if name, err := greet(addr, roots, e.List()); name != "dns2.example" {
					t.Errorf("%q, %v", name, err)
				}
				shaken[i].Add(1)
			}
		})
	}
	now := time.Now()
	for range 40 {
		now = now.Add(cfg.Every)
		e.rotate(now, func([]byte) {})
		for i := range shaken { // no handshake lasts longer than the old keys
			for before := shaken[i].Load(); shaken[i].Load() == before; {
				runtime.Gosched()
			}
		}
	}
	stop.Store(true)
	clients.Wait()
}

// TestGREASE: a client that has no configuration and pretends to have one, as browsers do (RFC 9849
// §6.2), is served in the clear, and told one.
func TestGREASE(t *testing.T) {
	e := openECH(t, echConfig(t))
	foreign := openECH(t, echConfig(t))
	addr, roots := server(t, e)
	_, err := greet(addr, roots, foreign.List())
	var refused *tls.ECHRejectionError
	if !errors.As(err, &refused) || !bytes.Equal(refused.RetryConfigList, e.List()) {
		t.Errorf("%v", err)
	}
	if name, err := greet(addr, roots, nil); name != "dns2.example" {
		t.Errorf("without any: %q, %v", name, err)
	}
}

// TestDamagedKeysAreNamed: of a key file that cannot be used it is told which, and what to do, and another key is made; it
// and files of others are left alone.
func TestDamagedKeysAreNamed(t *testing.T) {
	var told journal
	cfg := echConfig(t)
	cfg.Log = slog.New(slog.NewTextHandler(&told, nil))
	first := openECH(t, cfg).List()
	files, err := os.ReadDir(cfg.Folder)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(cfg.Folder, files[0].Name())
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(cfg.Folder, "README"), "not a key")
	private, _, _ := bytes.Cut(good, []byte("-----BEGIN ECH"))
	other := echConfig(t)
	openECH(t, other)
	names, err := filepath.Glob(filepath.Join(other.Folder, "*.pem"))
	if err != nil || len(names) != 1 {
		t.Fatal(names, err)
	}
	theirs, err := os.ReadFile(names[0])
	if err != nil {
		t.Fatal(err)
	}
	_, config, _ := bytes.Cut(theirs, []byte("-----END PRIVATE KEY-----\n"))
	signing, err := sign(Config{}, nil, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	_, signing, _ = bytes.Cut(signing, []byte("-----END CERTIFICATE-----\n"))
	for want, text := range map[string]string{
		"does not begin with a private key":           "garbage",
		"no ECHCONFIG":                                string(private),
		"not that of its private key":                 string(private) + string(config),
		"not of X25519":                               string(signing) + string(config),
		"cut short":                                   strings.Replace(string(good), "-----BEGIN ECHCONFIG-----\nA", "-----BEGIN ECHCONFIG-----\nB", 1),
		"are more than":                               strings.Repeat(" ", maxECHFile+1),
		"it does not begin with a private key in PEM": "",
	} {
		write(t, path, text)
		told.take()
		list := openECH(t, cfg).List()
		said := told.take()
		if want == "cut short" && strings.Contains(said, "does not fit") {
			want = "does not fit"
		}
		if !strings.Contains(said, "level=ERROR") || !strings.Contains(said, want) || !strings.Contains(said, path) || !strings.Contains(said, "Remove the file") || !strings.Contains(said, "README") {
			t.Errorf("told %s, want %q", said, want)
		}
		if again := openECH(t, cfg).List(); bytes.Equal(list, first) || !bytes.Equal(again, list) {
			t.Errorf("%s: another key at each start", want)
		}
		if kept, err := os.ReadFile(path); err != nil || string(kept) != text {
			t.Errorf("%s: the file was changed: %v", want, err)
		}
		all, err := filepath.Glob(filepath.Join(cfg.Folder, "*.pem"))
		if err != nil || len(all) != 2 {
			t.Fatal(all, err)
		}
		if err := os.Remove(all[1]); err != nil {
			t.Fatal(err)
		}
	}
}

// TestOldKeysGo: keys that are no longer taken are removed, however many there are, at a start and with each new key; what
// is none of them stays, and none of it makes a start fail.
func TestOldKeysGo(t *testing.T) {
	var told journal
	cfg := echConfig(t)
	cfg.Log = slog.New(slog.NewTextHandler(&told, nil))
	e := openECH(t, cfg)
	good, err := os.ReadFile(e.path(e.held[0]))
	if err != nil {
		t.Fatal(err)
	}
	file := func(number int, text string) {
		write(t, filepath.Join(cfg.Folder, fmt.Sprintf("%08d-%s.pem", number, time.Now().UTC().Format(echTime))), text)
	}
	const many = 2 * MaxECHKeys
	for i := range many {
		file(99999990+i, string(good)) // also of nine digits
	}
	file(7, "garbage")
	write(t, filepath.Join(cfg.Folder, "12345678-20261332T000000Z.pem"), string(good)) // no day
	write(t, filepath.Join(cfg.Folder, "notes.txt"), "keys of last year")
	kept := func() (numbers []uint64, names []string) {
		t.Helper()
		keys, err := echFiles(cfg.Folder)
		names, err2 := others(cfg.Folder)
		if err != nil || err2 != nil {
			t.Fatal(err, err2)
		}
		for _, k := range keys {
			numbers = append(numbers, k.number)
		}
		return numbers, names
	}
	e = openECH(t, cfg)
	last := uint64(99999990 + many - 1)
	want := []uint64{last, last - 1, last - 2, 7}
	if numbers, names := kept(); !slices.Equal(numbers, want) || len(names) != 2 {
		t.Errorf("after a start: %d, %q", numbers, names)
	}
	if text := told.take(); !strings.Contains(text, "notes.txt") || strings.Contains(text, "level=ERROR") {
		t.Errorf("told: %s", text)
	}
	file(9, string(good))
	e.rotate(time.Now().Add(cfg.Every), func([]byte) {})
	want = []uint64{last + 1, last, last - 1, 7}
	if numbers, names := kept(); !slices.Equal(numbers, want) || len(names) != 2 {
		t.Errorf("after a new key: %d, %q", numbers, names)
	}
	// Where keys come from elsewhere, so does their end.
	cfg.Every = 0
	file(9, string(good))
	openECH(t, cfg)
	if numbers, _ := kept(); !slices.Contains(numbers, 9) {
		t.Errorf("of another machine: %d", numbers)
	}
}

// TestRotationByTheClock: there is a new key each Every and no sooner, and where none can be
// written, or the folder is gone, the one in force stays and that is told each hour.
func TestRotationByTheClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told journal
		cfg := echConfig(t)
		cfg.Log = slog.New(slog.NewTextHandler(&told, nil))
		e := openECH(t, cfg)
		var changes atomic.Int32
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { e.Run(ctx, func([]byte) { changes.Add(1) }); close(done) }()
		time.Sleep(cfg.Every - time.Minute)
		synctest.Wait()
		if changes.Load() != 0 {
			t.Error("a new key before its time")
		}
		time.Sleep(2*time.Minute + 2*cfg.Every)
		synctest.Wait()
		if n := changes.Load(); n != 3 {
			t.Errorf("%d new keys in three days", n)
		}
		last := e.List()
		if err := os.RemoveAll(cfg.Folder); err != nil {
			t.Fatal(err)
		}
		told.take()
		time.Sleep(cfg.Every + 3*AlarmEvery)
		synctest.Wait()
		if n := strings.Count(told.take(), "level=ERROR"); n < 26 || n > 28 {
			t.Errorf("told %d times in 27 hours", n)
		}
		if !bytes.Equal(e.List(), last) || changes.Load() != 3 {
			t.Error("a key that is not on disk is told")
		}
		cancel()
		<-done
	})
}

// TestStartOnAFullDisk: a start when a new key cannot be written goes on with those that there are, and says so; without any,
// or with a public name that cannot be, it fails.
func TestStartOnAFullDisk(t *testing.T) {
	var told journal
	cfg := echConfig(t)
	cfg.Log = slog.New(slog.NewTextHandler(&told, nil))
	e := openECH(t, cfg)
	last, later := e.List(), time.Now().Add(cfg.Every)
	if err := os.RemoveAll(cfg.Folder); err != nil {
		t.Fatal(err)
	}
	if err := e.begin(later); err != nil || !bytes.Equal(e.List(), last) || strings.Count(told.take(), "level=ERROR") != 1 {
		t.Errorf("%v", err)
	}
	e.cfg.PublicName = "dns"
	if err := e.begin(later); err == nil {
		t.Error("a bad public name is taken")
	}
	e.cfg.PublicName, e.held = cfg.PublicName, nil
	if err := e.begin(later); err == nil {
		t.Error("a start without keys")
	}
}

// TestKeysFromElsewhere: a machine that makes no keys takes those of another one, as they are put into
// its folder, and none that is damaged.
func TestKeysFromElsewhere(t *testing.T) {
	cfg := echConfig(t)
	maker := openECH(t, cfg)
	here := echConfig(t)
	here.Every = 0
	e := openECH(t, here) // a key of its own to begin with
	addr, roots := server(t, e)
	now := time.Now()
	var changes int
	take := func() { e.rotate(now, func([]byte) { changes++ }) }
	for range 3 {
		now = now.Add(cfg.Every)
		maker.rotate(now, func([]byte) {})
		if err := os.RemoveAll(here.Folder); err != nil {
			t.Fatal(err)
		}
		if err := os.CopyFS(here.Folder, os.DirFS(cfg.Folder)); err != nil {
			t.Fatal(err)
		}
		take()
		if name, err := greet(addr, roots, maker.List()); name != "dns2.example" || !bytes.Equal(e.List(), maker.List()) {
			t.Errorf("%q, %v", name, err)
		}
	}
	write(t, filepath.Join(here.Folder, "00000099-20260101T000000Z.pem"), "garbage")
	take()
	take()
	if name, err := greet(addr, roots, maker.List()); name != "dns2.example" || changes != 3 {
		t.Errorf("%q, %v, told %d times", name, err, changes)
	}
	if err := os.RemoveAll(here.Folder); err != nil {
		t.Fatal(err)
	}
	take()
	if name, err := greet(addr, roots, maker.List()); name != "dns2.example" {
		t.Errorf("without files: %q, %v", name, err)
	}
}

// FuzzKeyFile: nothing panics, and what is read belongs together.
func FuzzKeyFile(f *testing.F) {
	cfg := echConfig(f)
	openECH(f, cfg)
	names, err := filepath.Glob(filepath.Join(cfg.Folder, "*.pem"))
	if err != nil || len(names) != 1 {
		f.Fatal(names, err)
	}
	text, err := os.ReadFile(names[0])
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Fuzz(func(t *testing.T, text []byte) {
		config, secret, err := parseECH(text)
		if err != nil {
			return
		}
		if len(secret) != 32 {
			t.Fatalf("a key of %d octets", len(secret))
		}
		if _, err := ech.Usable(ech.List(config.Bytes())); err != nil {
			t.Fatal(err)
		}
	})
}

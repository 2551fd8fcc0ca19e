package listen

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/listen/doh"
	"github.com/shoji-dns/shoji/internal/odoh"
)

// targeted is secured with a key for oblivious queries.
func targeted(t testing.TB) (Config, *odoh.Key) {
	key, err := odoh.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	cfg := secured(t)
	cfg.Secure.Oblivious = func() odoh.Keys { return odoh.Keys{key} }
	return cfg, key
}

// send sends an oblivious message by POST.
func send(t testing.TB, c *http.Client, to netip.AddrPort, path string, sealed []byte) (*http.Response, []byte) {
	t.Helper()
	r, err := http.NewRequest("POST", fmt.Sprintf("https://%s%s", to, path), bytes.NewReader(sealed))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", doh.TypeOblivious)
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

// viewed is a query that names a view inside; with view -1 none.
func viewed(t testing.TB, name string, view int) []byte {
	t.Helper()
	q := packet(t, 0, name, true)
	if view < 0 {
		return q
	}
	q, ok := dns.AddOption(q, odoh.ViewOption, []byte{byte(view)})
	if !ok {
		t.Fatal("no option")
	}
	return q
}

// The view is what the query says inside of the encryption, else what its path says; from outside each reply has the same
// length, and nobody may keep it. The key is where clients look for it.
func TestObliviousTarget(t *testing.T) {
	cfg, key := targeted(t)
	s := serveSecure(t, cfg)
	to := s.DoHAddrs()[0]
	c := webClient(t, to, nil)
	got, configs := fetch(t, c, "GET", to, odoh.ConfigsPath, nil)
	if got.StatusCode != 200 || !bytes.HasPrefix(configs, (odoh.Keys{key}).Configs()) {
		t.Fatalf("configs: %s, %x", got.Status, configs)
	}
	lengths := make(map[int]bool)
	for path, byPath := range map[string]int{"/dns-query": 0, "/dns-fully": 1} {
		for _, view := range []int{-1, 0, 1} {
			for _, name := range []string{"hit.example", "miss.example", "hit.longer.name.example"} {
				sealed, asked, err := key.Seal(viewed(t, name, view))
				if err != nil {
					t.Fatal(err)
				}
				reply, b := send(t, c, to, path, sealed)
				if reply.StatusCode != 200 || reply.Header.Get("Content-Type") != doh.TypeOblivious || reply.Header.Get("Cache-Control") != "no-store" {
					t.Fatalf("%s: %+v", name, reply)
				}
				message, err := asked.Open(b)
				if err != nil {
					t.Fatal(err)
				}
				want := dns.RCode(0)
				if view == 1 || view < 0 && byPath == 1 {
					want = dns.RCodeNameError
				}
				if m := unpack(t, message); m.RCode != want || m.Question[0].Name != dns.MustName(name) {
					t.Errorf("%s, view %d, %s: %s", path, view, name, m.RCode)
				}
				lengths[len(b)] = true
			}
		}
	}
	if len(lengths) != 1 {
		t.Errorf("lengths of replies: %v", lengths)
	}
}

// What cannot be opened gets 401 where the key is not known, and else 400; the connection goes on. A cookie is
// not answered.
func TestObliviousTargetRefuses(t *testing.T) {
	cfg, key := targeted(t)
	s := serveSecure(t, cfg)
	to := s.DoHAddrs()[0]
	c := webClient(t, to, nil)
	other, err := odoh.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	seal := func(k *odoh.Key, message []byte) []byte {
		b, _, err := k.Seal(message)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	good := seal(key, packet(t, 0, "hit.example", true))
	for what, c2 := range map[string]struct {
		sealed []byte
		status int
	}{
		"a stale key": {seal(other, packet(t, 0, "hit.example", true)), 401}, "cut off": {good[:len(good)-1], 400}, "changed": {append(bytes.Clone(good[:len(good)-1]), good[len(good)-1]^1), 400},
		"no message": {[]byte("hello"), 400}, "no query inside": {seal(key, []byte("hello")), 400}, "a reply inside": {seal(key, []byte("\x00\x00\x80\x00\x00\x01\x00\x00\x00\x00\x00\x00")), 400},
		"an unknown view": {seal(key, viewed(t, "hit.example", 2)), 400}, "an answer": {append([]byte{2}, good[1:]...), 400}, "good": {good, 200}, "replayed": {good, 200},
	} {
		if reply, _ := send(t, c, to, "/dns-query", c2.sealed); reply.StatusCode != c2.status {
			t.Errorf("%s: %s", what, reply.Status)
		}
	}
	if reply, _ := send(t, c, to, odoh.ConfigsPath, good); reply.StatusCode != 405 {
		t.Errorf("to the configs: %s", reply.Status)
	}
	m := dns.Message{Question: []dns.Question{{Name: dns.MustName("hit.example"), Type: dns.TypeA, Class: dns.ClassIN}},
		EDNS: &dns.EDNS{UDPSize: 1232, Options: []dns.Option{{Code: dns.OptionCookie, Data: make([]byte, 8)}}}}
	b, err := m.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	sealed, asked, err := key.Seal(b)
	if err != nil {
		t.Fatal(err)
	}
	_, b = send(t, c, to, "/dns-query", sealed)
	if b, err = asked.Open(b); err != nil {
		t.Fatal(err)
	}
	if _, ok := unpack(t, b).EDNS.Option(dns.OptionCookie); ok {
		t.Error("the reply has a cookie")
	}
}

// Without keys oblivious queries are not taken.
func TestNoTarget(t *testing.T) {
	_, key := targeted(t)
	s := serveSecure(t, secured(t))
	to := s.DoHAddrs()[0]
	c := webClient(t, to, nil)
	sealed, _, err := key.Seal(packet(t, 0, "hit.example", true))
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]int{"/dns-query": 415, "/proxy": 404, odoh.ConfigsPath: 404} {
		if reply, _ := send(t, c, to, path, sealed); reply.StatusCode != want {
			t.Errorf("%s: %s", path, reply.Status)
		}
	}
}

// carrier is a proxy of tests: it says of itself what it was asked, or holds it.
type carrier struct {
	release chan struct{}
	entered chan struct{}
}

func (c *carrier) Carry(ctx context.Context, query string, message []byte) doh.Relayed {
	switch query {
	case "hold":
		c.entered <- struct{}{}
		select {
		case <-c.release:
		case <-ctx.Done():
		}
		return doh.Relayed{Status: 504, Cause: doh.CauseTimeout}
	case "stale":
		return doh.Relayed{Status: 401, Cause: doh.CauseTarget}
	}
	return doh.Relayed{Status: 200, Cause: doh.CauseOK, Message: []byte(query + " " + string(message))}
}

func relaying(t testing.TB) (Config, *carrier) {
	c := &carrier{make(chan struct{}), make(chan struct{}, 2*maxRelays)}
	cfg := secured(t)
	cfg.Secure.Relay, cfg.Secure.RelayPath = c, "/proxy"
	return cfg, c
}

// A proxy hands on what came of a request, and says where its status is from.
func TestObliviousProxy(t *testing.T) {
	cfg, _ := relaying(t)
	s := serveSecure(t, cfg)
	to := s.DoHAddrs()[0]
	c := webClient(t, to, nil)
	for path, want := range map[string]string{
		"/proxy?a=b&c": "200 application/oblivious-dns-message no-store shoji; received-status=200 a=b&c octets",
		"/proxy":       "200 application/oblivious-dns-message no-store shoji; received-status=200  octets",
		"/proxy?stale": "401   shoji; received-status=401 ",
	} {
		reply, b := send(t, c, to, path, []byte("octets"))
		h := reply.Header
		if got := fmt.Sprintf("%d %s %s %s %s", reply.StatusCode, h.Get("Content-Type"), h.Get("Cache-Control"), h.Get("Proxy-Status"), b); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
	for _, method := range []string{"GET", "POST"} { // of another type
		reply, _ := fetch(t, c, method, to, "/proxy", []byte("octets"))
		if want := map[string]int{"GET": 405, "POST": 415}[method]; reply.StatusCode != want || !strings.Contains(reply.Header.Get("Proxy-Status"), "http_request_error") {
			t.Errorf("%s: %s, %s", method, reply.Status, reply.Header.Get("Proxy-Status"))
		}
	}
	for n, status := range map[int]int{maxCarried: 200, maxCarried + 1: 413, doh.MaxMessage: 413} {
		if reply, b := send(t, c, to, "/proxy?x", bytes.Repeat([]byte{7}, n)); reply.StatusCode != status || status == 200 && len(b) != 2+n {
			t.Errorf("%d octets: %s, %d octets come back", n, reply.Status, len(b))
		}
		if r, err := s.Carry(t.Context(), netip.IPv6Loopback(), "x", make([]byte, n)); err != nil || r.Status != status {
			t.Errorf("%d octets of a guest: %+v, %v", n, r.Status, err)
		}
	}
}

// A target that hangs costs places of the proxy's own: queries are answered as ever, and what is too much is
// turned away.
func TestRelaysAreBounded(t *testing.T) {
	cfg, hold := relaying(t)
	cfg.Secure.Relay = hold
	s := serveSecure(t, cfg)
	to := s.DoHAddrs()[0]
	c := webClient(t, to, nil)
	var wg sync.WaitGroup
	for range 2 * doh.MaxStreams {
		wg.Go(func() {
			r, err := http.NewRequest("POST", fmt.Sprintf("https://%s/proxy?hold", to), strings.NewReader("x"))
			if err != nil {
				t.Error(err)
				return
			}
			r.Header.Set("Content-Type", doh.TypeOblivious)
			if reply, err := c.Do(r); err == nil {
				reply.Body.Close()
			}
		})
	}
	for range doh.MaxStreams {
		<-hold.entered
	}
	other := webClient(t, to, nil)
	for _, name := range []string{"hit.example", "miss.example"} {
		if reply, _ := fetch(t, other, "POST", to, "/dns-query", packet(t, 0, name, true)); reply.StatusCode != 200 {
			t.Errorf("%s: %s", name, reply.Status)
		}
	}
	close(hold.release)
	wg.Wait()
}

// One source has a part of the proxy's places, and of those to one target, of which package oblivious has 256.
func TestRelaysOfOneSource(t *testing.T) {
	cfg, hold := relaying(t)
	s := serveSecure(t, cfg)
	from := netip.MustParseAddr("192.0.2.7")
	if of := 2 * maxRelays / relayShare; of > 256/4 {
		t.Errorf("%d places of one source are more than a quarter of a target's", of)
	}
	var wg sync.WaitGroup
	for range 2 * maxRelays / relayShare {
		wg.Go(func() {
			if r, err := s.Carry(t.Context(), from, "hold", []byte("x")); err != nil || r.Status != 504 {
				t.Errorf("%+v, %v", r, err)
			}
		})
	}
	for range 2 * maxRelays / relayShare {
		<-hold.entered
	}
	if r, err := s.Carry(t.Context(), from, "x", []byte("x")); err != nil || r.Status != statusFull || r.Cause != doh.CauseFull {
		t.Errorf("one more: %+v, %v", r, err)
	}
	if r, err := s.Carry(t.Context(), netip.MustParseAddr("198.51.100.7"), "x", []byte("x")); err != nil || r.Status != 200 {
		t.Errorf("of another source: %+v, %v", r, err)
	}
	close(hold.release)
	wg.Wait()
}

// A path has one use.
func TestRelayPath(t *testing.T) {
	for _, path := range []string{"/dns-query", odoh.ConfigsPath, "proxy", "/a?b"} {
		cfg, _ := relaying(t)
		cfg.Secure.RelayPath = path
		if s, err := Listen(cfg); err == nil {
			s.Close()
			t.Errorf("%s is taken", path)
		}
	}
}

// A query takes a place while it is opened, and gives it back, also where it does not open. There are fewer places than
// processors.
func TestOpeningTakesAPlace(t *testing.T) {
	cfg, key := targeted(t)
	var s *Server
	taken := 0
	cfg.Secure.Oblivious = func() odoh.Keys {
		taken = len(s.opens)
		return odoh.Keys{key}
	}
	s, err := Listen(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if want := max(1, runtime.GOMAXPROCS(0)-1); cap(s.opens) != want {
		t.Errorf("%d places, want %d", cap(s.opens), want)
	}
	config, err := odoh.ParseConfigs((odoh.Keys{key}).Configs())
	if err != nil {
		t.Fatal(err)
	}
	sealed, _, err := config.Seal(packet(t, 0, "hit.example", true))
	if err != nil {
		t.Fatal(err)
	}
	for _, message := range [][]byte{sealed, sealed[:40]} {
		taken = 0
		s.unseal(0, message)
		if taken != 1 || len(s.opens) != 0 {
			t.Errorf("%d places taken, and %d afterwards", taken, len(s.opens))
		}
	}
}

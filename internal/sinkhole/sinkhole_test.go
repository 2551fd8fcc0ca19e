package sinkhole

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

var loopback = netip.MustParseAddrPort("127.0.0.1:0")

// running is a sinkhole on free ports of loopback, ended by end.
func running(t *testing.T, replies func(port uint16) map[uint16]Reply, change ...func(*Config)) (s *Server, end func()) {
	t.Helper()
	conf := Config{TCP: []netip.AddrPort{loopback}, UDP: []netip.AddrPort{loopback}, Dir: t.TempDir()}
	for _, c := range change {
		c(&conf)
	}
	s, err := Listen(conf)
	if err != nil {
		t.Fatal(err)
	}
	if replies != nil {
		s.conf.Replies = replies(s.TCPAddrs()[0].Port())
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	ended := false
	end = func() {
		if ended {
			return
		}
		ended = true
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(end)
	return s, end
}

func pageReply(t *testing.T) []byte {
	t.Helper()
	page, err := Page("https://desk.example/lookup?name=")
	if err != nil {
		t.Fatal(err)
	}
	return page
}

// say sends text to the sinkhole and returns all that it answers.
func say(t *testing.T, s *Server, text string) []byte {
	t.Helper()
	c, err := net.Dial("tcp", s.TCPAddrs()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Whoever calls gets the page, an HTTP client as a page and others as octets; what they
// said is in the report, by its first octets, and who they were is nowhere.
func TestEverybodyGetsThePage(t *testing.T) {
	page := pageReply(t)
	s, end := running(t, func(port uint16) map[uint16]Reply { return map[uint16]Reply{port: {Octets: page}} })
	r, err := http.Get("http://" + s.TCPAddrs()[0].String() + "/gate.php?id=1")
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(r.Body)
	r.Body.Close()
	if err != nil || r.StatusCode != http.StatusForbidden || !bytes.HasSuffix(page, body) || len(body) == 0 {
		t.Fatalf("status %d, %d octets, %v", r.StatusCode, len(body), err)
	}
	for _, text := range []string{"", "\x16\x03\x01\x02\x00", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\x00\x00\x00\x85\xffSMB", "GET / HTTP/1.1\r\n\r\n"} {
		if got := say(t, s, text); !bytes.Equal(got, page) {
			t.Errorf("%q was answered %d octets", text, len(got))
		}
	}
	end()
	rep, err := ReadReport(s.conf.Dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(rep.Ports) != 1 || rep.Ports[0].Connections != 6 || rep.Captures != 5 || rep.Ports[0].Captures != 5 || len(rep.Families) != 5 || len(rep.Torn) != 0 {
		t.Errorf("the report: %+v", rep)
	}
	if len(rep.Days) == 0 || rep.Days[0].Sources != 1 {
		t.Errorf("distinct sources: %+v", rep.Days)
	}
	noAddress(t, s.conf.Dir)
}

// noAddress holds that no file of a folder has the client's address, which is 127.0.0.1:
// in octets, as mapped into IPv6, or in text without a request's own Host.
func noAddress(t *testing.T, dir string) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no segments: %v", err)
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(b, []byte{127, 0, 0, 1}) {
			t.Errorf("%s holds the client's address", name)
		}
	}
}

func TestPortsThatCloseReadNothing(t *testing.T) {
	s, end := running(t, func(port uint16) map[uint16]Reply { return map[uint16]Reply{port: {Close: true}} })
	c, err := net.Dial("tcp", s.TCPAddrs()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("read %d, %v", n, err)
	}
	end()
	rep, err := ReadReport(s.conf.Dir)
	if err != nil || rep.Captures != 0 || len(rep.Ports) != 1 || rep.Ports[0].Connections != 1 {
		t.Errorf("%+v, %v", rep, err)
	}
}

// A datagram is kept and never answered.
func TestDatagramsAreKeptAndNotAnswered(t *testing.T) {
	s, end := running(t, nil)
	c, err := net.Dial("udp", s.UDPAddrs()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write(bytes.Repeat([]byte("x"), 1000)); err != nil {
		t.Fatal(err)
	}
	port := &s.counts.ports[1][s.UDPAddrs()[0].Port()]
	for deadline := time.Now().Add(10 * time.Second); port.kept.Load() == 0 && time.Now().Before(deadline); {
		c.SetReadDeadline(time.Now().Add(time.Millisecond))
		if n, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("answered %d octets, %v", n, err)
		}
	}
	end()
	rep, err := ReadReport(s.conf.Dir)
	if err != nil || len(rep.Families) != 1 || rep.Families[0].Captures != 1 || len(rep.Ports) != 1 || rep.Ports[0].Octets != 1000 || rep.Ports[0].Transport != "udp" {
		t.Errorf("%+v, %v", rep, err)
	}
}

// One octet at a time, or a flood: no more is read than the bounds say.
func TestWhatIsReadIsBounded(t *testing.T) {
	for _, piece := range []int{1, 100, 512, 1 << 20} {
		var got octets
		p := &script{text: make([]byte, 1<<20), piece: piece}
		answer(p, nil, &got, time.Unix(1, 0), 0)
		if got.total > MaxRead || got.reads > maxReads {
			t.Errorf("pieces of %d: %d octets in %d reads", piece, got.total, got.reads)
		}
	}
}

// A peer that says nothing is gone when its lifetime is over.
func TestSilentPeerIsEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		defer client.Close()
		start := time.Now()
		var got octets
		answer(halfClosing{server}, nil, &got, start, 0)
		if lasted := time.Since(start); lasted != Lifetime {
			t.Errorf("lasted %v", lasted)
		}
	})
}

// Peers that say nothing and came together do not end together.
func TestSilentPeersEndOneAfterTheOther(t *testing.T) {
	s := newSources(MaxConnections)
	ends := map[time.Duration]int{}
	for i := range MaxConnections {
		c := &connection{peer: nowhere{}}
		s.enter(c, netip.AddrFrom4([4]byte{192, 0, byte(i >> 8), byte(i)}), time.Unix(1, 0))
		more := c.patience()
		if more < 0 || more >= Spread {
			t.Fatalf("connection %d is waited for %v more", i, more)
		}
		ends[more.Truncate(10*time.Millisecond)]++
	}
	for at, n := range ends {
		if n > MaxConnections/64 {
			t.Errorf("%d end within 10 ms after %v", n, at)
		}
	}
}

// nowhere is a peer that is gone.
type nowhere struct{ peer }

func (nowhere) Close() error { return nil }

// An operator with a legal basis may keep networks, and no more of an address.
func TestNetworksAreKeptWhereTold(t *testing.T) {
	s, end := running(t, nil, func(c *Config) { c.Networks = true })
	say(t, s, "hello")
	end()
	rep, err := ReadReport(s.conf.Dir)
	if err != nil || len(rep.Networks) != 1 || rep.Networks[0].Prefix.String() != "127.0.0.0/24" || rep.Networks[0].Captures != 1 {
		t.Errorf("%+v, %v", rep.Networks, err)
	}
	noAddress(t, s.conf.Dir)
	if !strings.Contains(s.Describe(), "/24") {
		t.Errorf("it does not say so: %s", s.Describe())
	}
}

type halfClosing struct{ net.Conn }

func (halfClosing) CloseWrite() error { return nil }

func TestPage(t *testing.T) {
	page := string(pageReply(t))
	for _, want := range []string{"HTTP/1.1 403 ", "no-store", "default-src 'none'", "script-src 'sha256-", `lang="ja"`, `lang="en"`, `href="https://desk.example/lookup?name="`, "location.hostname"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page has no %q", want)
		}
	}
	if strings.Contains(page, "{{") || len(page) > MaxReply {
		t.Errorf("%d octets, or a place left open", len(page))
	}
	bare, err := Page("")
	if err != nil || strings.Contains(string(bare), "<script>") || strings.Contains(string(bare), "href") || strings.Contains(string(bare), "{{") || !strings.Contains(string(bare), "</html>") {
		t.Errorf("without a desk: %v\n%s", err, bare)
	}
	for _, bad := range []string{"javascript:alert(1)", "https://x/\"onclick=", "https://x/ y", "https://x/<", "//x", "https://" + strings.Repeat("x", maxDesk)} {
		if _, err := Page(bad); err == nil {
			t.Errorf("took %q for a desk's address", bad)
		}
	}
}

func TestConfigurationErrors(t *testing.T) {
	tcp := []netip.AddrPort{loopback}
	for name, c := range map[string]Config{
		"nowhere to listen": {Dir: t.TempDir()},
		"no folder":         {TCP: tcp},
		"a tiny disk":       {TCP: tcp, Dir: t.TempDir(), Disk: 1000},
		"a short retention": {TCP: tcp, Dir: t.TempDir(), Retain: time.Second},
		"a long reply":      {TCP: tcp, Dir: t.TempDir(), Replies: map[uint16]Reply{1: {Octets: make([]byte, MaxReply+1)}}},
		"a foreign address": {TCP: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:0")}, Dir: t.TempDir()},
	} {
		if s, err := Listen(c); err == nil {
			s.Close()
			t.Errorf("%s: no error", name)
		}
	}
}

package listen

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"

	"github.com/shoji-dns/shoji/internal/dns"
)

// When the pool and its queue are full, queries for the network are answered
// SERVFAIL at once, and those from memory as ever.
func TestOverloadSheds(t *testing.T) {
	for path, open := range paths() {
		t.Run(path, func(t *testing.T) {
			h := &labHandler{release: make(chan struct{}), entered: make(chan string, 2)}
			s := start(t, open, Config{Handler: h, MaxMisses: 2, Workers: 1})
			c := dial(t, "udp", "", s.Addrs()[0])
			for id := range uint16(4) { // two run, two queue
				c.Write(packet(t, id, fmt.Sprintf("hold%d.example", id), true))
			}
			<-h.entered
			<-h.entered
			m := unpack(t, ask(t, c, packet(t, 100, "miss.example", true)))
			if got := errorOf(m); m.ID != 100 || got != `SERVFAIL Other Error "overloaded"` {
				t.Errorf("%d %s", m.ID, got)
			}
			m = unpack(t, ask(t, c, packet(t, 101, "miss.example", false)))
			if m.RCode != dns.RCodeServerFailure || m.EDNS != nil {
				t.Errorf("without EDNS: %+v", m)
			}
			tcp := dial(t, "tcp", "", s.Addrs()[0])
			tcp.Write(frame(packet(t, 102, "miss.example", true)))
			if got := errorOf(unpack(t, nextFrame(t, tcp))); got != `SERVFAIL Other Error "overloaded"` {
				t.Errorf("TCP: %s", got)
			}
			if m = unpack(t, ask(t, c, packet(t, 103, "hit.example", true))); len(m.Answer) != 1 {
				t.Errorf("%+v", m)
			}
			close(h.release)
			for range 4 {
				if m = unpack(t, next(t, c)); m.ID > 3 || len(m.Answer) != 1 {
					t.Errorf("%+v", m)
				}
			}
			if n := s.Stats(); n.Shed != 3 || n.Misses != 4 || n.Hits != 1 {
				t.Errorf("%+v", n)
			}
		})
	}
}

// serveUntil serves cfg and returns what ends it and what waits for the end.
func serveUntil(t *testing.T, open opener, cfg Config) (s *Server, end func(), wait func() error) {
	t.Helper()
	cfg.Addrs = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}
	s, err := listen(cfg, open)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	return s, cancel, func() error { return <-done }
}

// What is under way when the server is stopped is still answered, and then the port is free.
func TestShutdownFinishesWhatIsUnderWay(t *testing.T) {
	for path, open := range paths() {
		t.Run(path, func(t *testing.T) {
			h := &labHandler{release: make(chan struct{}), entered: make(chan string)}
			s, end, wait := serveUntil(t, open, Config{Handler: h, Drain: patience})
			udp, tcp := dial(t, "udp", "", s.Addrs()[0]), dial(t, "tcp", "", s.Addrs()[0])
			udp.Write(packet(t, 1, "hold.example", false))
			<-h.entered
			tcp.Write(frame(packet(t, 2, "hold.example", false)))
			<-h.entered
			end()
			for !s.stopping.Load() {
			}
			close(h.release)
			if m := unpack(t, next(t, udp)); m.ID != 1 || len(m.Answer) != 1 {
				t.Errorf("UDP: %+v", m)
			}
			if m := unpack(t, nextFrame(t, tcp)); m.ID != 2 || len(m.Answer) != 1 {
				t.Errorf("TCP: %+v", m)
			}
			if err := wait(); err != nil {
				t.Error(err)
			}
			again, err := listen(Config{Handler: h, Addrs: s.Addrs()}, open)
			if err != nil {
				t.Fatal(err)
			}
			again.Close()
		})
	}
}

// A handler that takes longer than the drain is told to end, and clients get what it then says.
func TestShutdownEndsWhatTakesTooLong(t *testing.T) {
	h := &labHandler{release: make(chan struct{}), entered: make(chan string)}
	s, end, wait := serveUntil(t, newReaders, Config{Handler: h, Drain: 1})
	c := dial(t, "udp", "", s.Addrs()[0])
	c.Write(packet(t, 1, "hold.example", false))
	<-h.entered
	end()
	if err := wait(); err != nil {
		t.Error(err)
	}
	if m := unpack(t, next(t, c)); m.RCode != dns.RCodeServerFailure {
		t.Errorf("%+v", m)
	}
}

// Idle connections do not hold up the end.
func TestShutdownClosesIdleConnections(t *testing.T) {
	s, end, wait := serveUntil(t, newReaders, Config{Handler: new(labHandler), Drain: patience})
	c := dial(t, "tcp", "", s.Addrs()[0])
	c.Write(frame(packet(t, 1, "hit.example", false)))
	nextFrame(t, c)
	end()
	if err := wait(); err != nil {
		t.Error(err)
	}
	if n, err := c.Read(make([]byte, 1)); !ended(err) {
		t.Errorf("%d, %v", n, err)
	}
}

// A port that another program holds is named, also where that program would share it.
func TestPortInUse(t *testing.T) {
	for path, open := range paths() {
		for _, workers := range []int{1, 3} {
			cfg := Config{Handler: new(labHandler), Workers: workers, Addrs: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}}
			first, err := listen(cfg, open)
			if err != nil {
				t.Fatal(err)
			}
			cfg.Addrs = first.Addrs()
			_, err = listen(cfg, open)
			if err == nil || !strings.Contains(err.Error(), cfg.Addrs[0].String()) || !strings.Contains(err.Error(), "another program") {
				t.Errorf("%s, %d workers: %v", path, workers, err)
			}
			first.Close()
		}
	}
}

func TestErrorsSayWhatToDo(t *testing.T) {
	for _, c := range []struct {
		addr string
		err  error
		want string
	}{
		{"192.0.2.1:53", &net.OpError{Op: "listen", Err: syscall.EACCES}, "setcap"},
		{"192.0.2.1:853", syscall.EADDRINUSE, "sport = :853"},
		{"192.0.2.1:5300", syscall.EADDRNOTAVAIL, "no interface"},
		{"192.0.2.1:5300", syscall.EMFILE, syscall.EMFILE.Error()},
	} {
		got := Explain("UDP", netip.MustParseAddrPort(c.addr), c.err).Error()
		if !strings.Contains(got, c.want) || !strings.Contains(got, c.addr) || strings.Count(got, c.addr) != 1 {
			t.Errorf("%v: %s", c.err, got)
		}
	}
	if _, err := Listen(Config{Handler: new(labHandler), Addrs: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:0")}}); err == nil {
		t.Error("an address of no interface")
	}
	if _, err := Listen(Config{}); err == nil {
		t.Error("nothing to listen on")
	}
}

// A set of ranges holds what its prefixes hold.
func TestRanges(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		var prefixes []netip.Prefix
		for range r.IntN(12) {
			if r.IntN(2) == 0 {
				prefixes = append(prefixes, netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(r.IntN(4)), byte(r.IntN(3) * 100), 0, byte(r.IntN(256))}), r.IntN(33)))
			} else {
				prefixes = append(prefixes, netip.PrefixFrom(netip.AddrFrom16([16]byte{byte(r.IntN(3) * 127), byte(r.IntN(2)), 15: byte(r.IntN(4))}), r.IntN(129)))
			}
		}
		set := newRanges(prefixes)
		for range 100 {
			a := netip.AddrFrom4([4]byte{byte(r.IntN(5)), byte(r.IntN(3) * 100), 0, byte(r.IntN(256))})
			if r.IntN(2) == 0 {
				a = netip.AddrFrom16([16]byte{byte(r.IntN(3) * 127), byte(r.IntN(2)), 15: byte(r.IntN(4))})
			}
			want := false
			for _, p := range prefixes {
				want = want || p.Contains(a)
			}
			// A short IPv6 prefix covers the mapped form of IPv4, which Contains keeps apart.
			if got := set.contains(a); got != want && !(a.Is4() && got) {
				t.Fatalf("%v in %v: %v", a, prefixes, got)
			}
		}
	}
	local := newRanges(LocalPrefixes())
	for a, want := range map[string]bool{
		"127.0.0.1": true, "10.255.255.255": true, "11.0.0.0": false, "172.31.255.255": true, "172.32.0.0": false, "192.168.0.0": true,
		"9.255.255.255": false, "8.8.8.8": false, "::1": true, "::2": false, "fd00::1": true, "fe80::1": true, "2001:db8::1": false, "255.255.255.255": false,
	} {
		if got := local.contains(netip.MustParseAddr(a)); got != want {
			t.Errorf("%s: %v", a, got)
		}
	}
}

package exchange

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// query is a message for name, in wire form.
func query(t testing.TB, name string) []byte {
	t.Helper()
	m := new(dns.Msg).SetQuestion(name, dns.TypeA)
	b, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// start runs a foreign server over UDP and TCP on one loopback port.
func start(t testing.TB, host string, h dns.HandlerFunc) (netip.Addr, uint16) {
	t.Helper()
	var pc net.PacketConn
	var l net.Listener
	for range 100 { // until a port is free for both
		var err error
		if pc, err = net.ListenPacket("udp", net.JoinHostPort(host, "0")); err != nil {
			t.Skipf("no %s here: %v", host, err)
		}
		if l, err = net.Listen("tcp", pc.LocalAddr().String()); err == nil {
			break
		}
		pc.Close()
	}
	if l == nil {
		t.Fatal("no port is free for UDP and TCP")
	}
	for _, s := range []*dns.Server{{PacketConn: pc, Handler: h}, {Listener: l, Handler: h}} {
		up := make(chan struct{})
		s.NotifyStartedFunc = func() { close(up) }
		go s.ActivateAndServe()
		<-up
		t.Cleanup(func() { s.Shutdown() })
	}
	a := netip.MustParseAddrPort(pc.LocalAddr().String())
	return a.Addr(), a.Port()
}

func echo(w dns.ResponseWriter, q *dns.Msg) {
	m := new(dns.Msg).SetReply(q)
	rr, _ := dns.NewRR(q.Question[0].Name + " 60 A 198.51.100.1")
	m.Answer = append(m.Answer, rr)
	w.WriteMsg(m)
}

func TestReplyOverEachTransport(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "::1"} {
		addr, port := start(t, host, echo)
		n := New()
		defer n.Close()
		for _, tcp := range []bool{false, true, true} {
			q := query(t, "www.shop.test.")
			var got []byte
			err := n.Exchange(t.Context(), addr, port, tcp, q, func(r []byte) bool { got = bytes.Clone(r); return true })
			if err != nil {
				t.Fatalf("%s tcp=%v: %v", host, tcp, err)
			}
			m := new(dns.Msg)
			if err := m.Unpack(got); err != nil || len(m.Answer) != 1 {
				t.Errorf("%s tcp=%v: %v %v", host, tcp, m, err)
			}
		}
	}
}

func TestWaitGoesOnUntilAccepted(t *testing.T) {
	addr, port := start(t, "127.0.0.1", func(w dns.ResponseWriter, q *dns.Msg) {
		for range 3 {
			echo(w, q)
		}
	})
	for _, tcp := range []bool{false, true} {
		seen := 0
		n := New()
		err := n.Exchange(t.Context(), addr, port, tcp, query(t, "a.test."), func([]byte) bool { seen++; return seen == 3 })
		if err != nil || seen != 3 {
			t.Errorf("tcp=%v: %d messages, %v", tcp, seen, err)
		}
		n.Close()
	}
}

func TestEveryQueryHasItsOwnPort(t *testing.T) {
	var mu sync.Mutex
	ports := make(map[int]int)
	addr, port := start(t, "127.0.0.1", func(w dns.ResponseWriter, q *dns.Msg) {
		mu.Lock()
		ports[w.RemoteAddr().(*net.UDPAddr).Port]++
		mu.Unlock()
		echo(w, q)
	})
	n := New()
	const queries = 400
	for range queries {
		if err := n.Exchange(t.Context(), addr, port, false, query(t, "a.test."), func([]byte) bool { return true }); err != nil {
			t.Fatal(err)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	low, high := 1<<16, 0
	for p := range ports {
		low, high = min(low, p), max(high, p)
	}
	// Of 400 draws from 64,512 about 1.2 repeat; 390 distinct ones leave room.
	if len(ports) < 390 || low < minPort || low > 8000 || high < 58000 {
		t.Errorf("%d ports from %d to %d", len(ports), low, high)
	}
}

func TestPortsAreSpreadEvenly(t *testing.T) {
	const draws = 64512
	var buckets [63]int // of 1024 ports each
	for range draws {
		p := randomPort()
		if p < minPort {
			t.Fatalf("port %d", p)
		}
		buckets[(int(p)-minPort)/1024]++
	}
	for i, n := range buckets {
		if n < 1024-200 || n > 1024+200 { // over six standard deviations
			t.Errorf("%d draws in bucket %d", n, i)
		}
	}
}

func TestStrangersAreNotHeard(t *testing.T) {
	stranger, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	addr, port := start(t, "127.0.0.1", func(w dns.ResponseWriter, q *dns.Msg) {
		if _, err := stranger.WriteTo([]byte("forged"), w.RemoteAddr()); err != nil {
			t.Error(err)
		}
		echo(w, q)
	})
	err = New().Exchange(t.Context(), addr, port, false, query(t, "a.test."), func(r []byte) bool {
		if string(r) == "forged" {
			t.Error("a datagram from another port was handed on")
		}
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestTheDeadlineEndsTheWait(t *testing.T) {
	silent, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	a := netip.MustParseAddrPort(silent.LocalAddr().String())
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	err = New().Exchange(ctx, a.Addr(), a.Port(), false, query(t, "a.test."), func([]byte) bool { return true })
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestCancellingEndsTheWait(t *testing.T) {
	for _, tcp := range []bool{false, true} {
		ctx, cancel := context.WithCancel(t.Context())
		addr, port := start(t, "127.0.0.1", func(w dns.ResponseWriter, q *dns.Msg) { cancel() })
		err := New().Exchange(ctx, addr, port, tcp, query(t, "a.test."), func([]byte) bool { return true })
		if !errors.Is(err, context.Canceled) {
			t.Errorf("tcp=%v: got %v", tcp, err)
		}
	}
}

func TestARefusedPortIsKnownAtOnce(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("port unreachable is not reported everywhere")
	}
	l, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	a := netip.MustParseAddrPort(l.LocalAddr().String())
	l.Close()
	for _, tcp := range []bool{false, true} {
		err := New().Exchange(t.Context(), a.Addr(), a.Port(), tcp, query(t, "a.test."), func([]byte) bool { return true })
		if err == nil || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("tcp=%v: got %v", tcp, err)
		}
	}
}

func TestFloodsAreBounded(t *testing.T) {
	addr, port := start(t, "127.0.0.1", func(w dns.ResponseWriter, q *dns.Msg) {
		for range 20 * maxDatagrams {
			echo(w, q)
		}
	})
	seen := 0
	err := New().Exchange(t.Context(), addr, port, false, query(t, "a.test."), func([]byte) bool { seen++; return false })
	if seen > maxDatagrams || err == nil {
		t.Errorf("%d datagrams handed on, %v", seen, err)
	}
}

// listenTCP runs f for each connection to a loopback port.
func listenTCP(t *testing.T, f func(c net.Conn, n int32)) (netip.Addr, uint16) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var conns atomic.Int32
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go f(c, conns.Add(1))
		}
	}()
	t.Cleanup(func() { l.Close() })
	a := netip.MustParseAddrPort(l.Addr().String())
	return a.Addr(), a.Port()
}

// frame reads a framed query and returns it framed, as its own reply.
func frame(c net.Conn) ([]byte, error) {
	var head [2]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		return nil, err
	}
	b := make([]byte, 2+int(binary.BigEndian.Uint16(head[:])))
	copy(b, head[:])
	_, err := io.ReadFull(c, b[2:])
	return b, err
}

func TestConnectionsAreUsedAgain(t *testing.T) {
	var conns atomic.Int32
	addr, port := listenTCP(t, func(c net.Conn, n int32) {
		conns.Store(n)
		for {
			b, err := frame(c)
			if err != nil {
				return
			}
			c.Write(b)
		}
	})
	n := New()
	defer n.Close()
	for range 5 {
		if err := n.Exchange(t.Context(), addr, port, true, query(t, "a.test."), func([]byte) bool { return true }); err != nil {
			t.Fatal(err)
		}
	}
	if c := conns.Load(); c != 1 {
		t.Errorf("%d connections for 5 queries", c)
	}
}

func TestAClosedIdleConnectionCostsNoAnswer(t *testing.T) {
	addr, port := listenTCP(t, func(c net.Conn, n int32) {
		if b, err := frame(c); err == nil {
			c.Write(b)
		}
		c.Close()
	})
	n := New()
	defer n.Close()
	for i := range 5 {
		if err := n.Exchange(t.Context(), addr, port, true, query(t, "a.test."), func([]byte) bool { return true }); err != nil {
			t.Fatalf("query %d: %v", i, err)
		}
	}
}

func TestIdleConnectionsAreBounded(t *testing.T) {
	n := New()
	var peers []net.Conn
	for i := range 3 * maxIdle {
		ours, theirs := net.Pipe()
		peers = append(peers, theirs)
		n.idle.keep(server{netip.AddrFrom4([4]byte{10, 0, byte(i / 4), 1}), 53}, &conn{Conn: ours})
	}
	if n.idle.total > maxIdle {
		t.Errorf("%d idle connections", n.idle.total)
	}
	for s, list := range n.idle.conns {
		if len(list) > maxIdlePerServer {
			t.Errorf("%v has %d", s, len(list))
		}
	}
	n.Close()
	for _, p := range peers {
		if _, err := p.Read(make([]byte, 1)); err != io.EOF {
			t.Fatalf("a connection was left open: %v", err)
		}
	}
}

func TestOneOctetAtATimeEndsAtTheDeadline(t *testing.T) {
	for name, slow := range map[string]bool{"drips": true, "says little of much": false} {
		addr, port := listenTCP(t, func(c net.Conn, n int32) {
			defer c.Close()
			if _, err := frame(c); err != nil {
				return
			}
			c.Write([]byte{0xff, 0xff})
			for {
				if _, err := c.Write([]byte{0}); err != nil {
					return
				}
				if slow {
					continue
				}
				io.Copy(io.Discard, c)
				return
			}
		})
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		err := New().Exchange(ctx, addr, port, true, query(t, "a.test."), func([]byte) bool { return false })
		cancel()
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// A server that never says a word holds a bounded number of connections. The one too many
// fails at once, and the error says that the server is not to blame.
func TestOneServerHoldsFewConnections(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	at := netip.MustParseAddrPort(l.Addr().String())
	n := New()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var wg sync.WaitGroup
	defer wg.Wait()
	ask := func() error {
		return n.Exchange(ctx, at.Addr(), at.Port(), true, query(t, "www.shop.test."), func([]byte) bool { return true })
	}
	for range maxOpenTo {
		wg.Go(func() { ask() })
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	err = ask()
	own, ok := errors.AsType[localError](err)
	if !ok || !own.Local() || !errors.Is(err, errFull) {
		t.Errorf("error %v", err)
	}
	cancel()
	wg.Wait()
	if n.open.all != 0 || len(n.open.to) != 0 {
		t.Errorf("%d connections counted as open, to %d servers", n.open.all, len(n.open.to))
	}
}

func TestNoRouteIsAnErrorAtOnce(t *testing.T) {
	// 240.0.0.0/4 is reserved: no kernel sends there; where one tries, the deadline ends it.
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := New().Exchange(ctx, netip.MustParseAddr("255.255.255.255"), 53, false, query(t, "a.test."), func([]byte) bool { return true }); err == nil {
		t.Error("no error")
	}
}

func TestNothingLeaks(t *testing.T) {
	addr, port := start(t, "127.0.0.1", echo)
	n := New()
	before := openFiles(t)
	for range 200 {
		if err := n.Exchange(t.Context(), addr, port, false, query(t, "a.test."), func([]byte) bool { return true }); err != nil {
			t.Fatal(err)
		}
	}
	if after := openFiles(t); after > before {
		t.Errorf("%d files open, %d before", after, before)
	}
}

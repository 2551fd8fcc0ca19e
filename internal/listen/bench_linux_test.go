package listen

import (
	"net"
	"net/netip"
	"runtime"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/shoji-dns/shoji/internal/dns"
)

// client sends and receives whole batches on one connected socket, so that the
// server is what a benchmark measures.
type client struct {
	conn   *net.UDPConn
	raw    syscall.RawConn
	tx, rx [batch]unix.Mmsghdr
	iov    [2 * batch]unix.Iovec
	in     [batch][512]byte
}

func newClient(t testing.TB, to netip.AddrPort, query []byte) *client {
	c := &client{conn: dial(t, "udp", "", to).(*net.UDPConn)}
	c.raw, _ = c.conn.SyscallConn()
	for i := range batch {
		c.iov[i].Base = &query[0]
		c.iov[i].SetLen(len(query))
		c.iov[batch+i].Base = &c.in[i][0]
		c.iov[batch+i].SetLen(len(c.in[i]))
		c.tx[i].Hdr.Iov, c.rx[i].Hdr.Iov = &c.iov[i], &c.iov[batch+i]
		c.tx[i].Hdr.SetIovlen(1)
		c.rx[i].Hdr.SetIovlen(1)
	}
	return c
}

func (c *client) send(n int) {
	c.raw.Write(func(fd uintptr) bool {
		_, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&c.tx)), uintptr(n), unix.MSG_DONTWAIT, 0, 0)
		return errno != unix.EAGAIN
	})
}

func (c *client) receive(n int) error {
	for got := 0; got < n; {
		err := c.raw.Read(func(fd uintptr) bool {
			r, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&c.rx)), uintptr(n-got), unix.MSG_DONTWAIT, 0, 0)
			if errno == 0 {
				got += int(r)
			}
			return errno != unix.EAGAIN
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// BenchmarkUDP moves queries over loopback, a batch at a time, client included:
// it compares the readers with each other and with plain echoes, and is not what a
// server can answer a second (for that see test/bench).
func BenchmarkUDP(b *testing.B) {
	query := packet(b, 1, "www.shop.test", false)
	for name, open := range paths() {
		b.Run(name, func(b *testing.B) {
			s := start(b, open, Config{Handler: trivial{}, Workers: 1})
			benchUDP(b, newClient(b, s.Addrs()[0], query))
		})
	}
	b.Run("misses", func(b *testing.B) {
		s := start(b, newReaders, Config{Handler: away{}, Workers: 1})
		benchUDP(b, newClient(b, s.Addrs()[0], query))
	})
	b.Run("echo", func(b *testing.B) {
		c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			b.Fatal(err)
		}
		defer c.Close()
		go func() {
			buf := make([]byte, 2048)
			for {
				n, from, err := c.ReadFromUDPAddrPort(buf)
				if err != nil {
					return
				}
				c.WriteToUDPAddrPort(buf[:n], from)
			}
		}()
		benchUDP(b, newClient(b, c.LocalAddr().(*net.UDPAddr).AddrPort(), query))
	})
}

func benchUDP(b *testing.B, c *client) {
	b.ReportAllocs()
	for left := b.N; left > 0; left -= batch {
		n := min(left, batch)
		c.send(n)
		if err := c.receive(n); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDatagram is one query without its system calls.
func BenchmarkDatagram(b *testing.B) {
	s := newServer(Config{Handler: trivial{}, Addrs: []netip.AddrPort{{}}})
	query := packet(b, 1, "www.shop.test", true)
	from := netip.MustParseAddrPort("127.0.0.1:53000")
	var q dns.Query
	var t tally
	out := make([]byte, 0, replyStride)
	b.ReportAllocs()
	for b.Loop() {
		s.datagram(&q, query, from, time.Now(), out, &t)
	}
}

// A hit allocates nothing from the socket and back to it, on wildcard sockets too.
func TestHitsAllocateNothing(t *testing.T) {
	for _, addr := range []string{"127.0.0.1:0", "0.0.0.0:0", "[::]:0"} {
		s, err := Listen(Config{Handler: trivial{}, Workers: 1, RateLimit: 1000, Addrs: []netip.AddrPort{netip.MustParseAddrPort(addr)}})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		to := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), s.Addrs()[0].Port())
		if s.Addrs()[0].Addr().Is6() {
			to = netip.AddrPortFrom(netip.IPv6Loopback(), to.Port())
		}
		c := newClient(t, to, packet(t, 1, "www.shop.test", true))
		w := s.udp[0].(*worker).own
		answered := 0
		round := func(fd uintptr) {
			n, _ := w.receive(fd)
			w.answer(n)
			w.send(fd)
			answered += n
		}
		var before, after runtime.MemStats
		var allocs uint64
		for range 100 {
			c.send(batch)
			runtime.ReadMemStats(&before)
			w.raw.Control(round)
			runtime.ReadMemStats(&after)
			allocs += after.Mallocs - before.Mallocs
			if err := c.receive(batch); err != nil {
				t.Fatal(err)
			}
		}
		if answered != 100*batch {
			t.Errorf("%s: %d answered", addr, answered)
		}
		if allocs > 50 { // what the runtime does beside it; the queries are 3,200
			t.Errorf("%s: %d allocations for %d queries", addr, allocs, answered)
		}
	}
}

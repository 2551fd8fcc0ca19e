package exchange

import (
	"context"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"
)

// reflector answers every datagram with itself, as cheaply as Go can.
func reflector(b *testing.B) (netip.Addr, uint16) {
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Close() })
	go func() {
		buf := make([]byte, 2048)
		for {
			n, a, err := c.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			c.WriteToUDPAddrPort(buf[:n], a)
		}
	}()
	a := netip.MustParseAddrPort(c.LocalAddr().String())
	return a.Addr(), a.Port()
}

// BenchmarkUDP is one exchange over loopback: socket, bind, connect, send, wait,
// receive, close. It is not the cost of this side alone: the reflector's system
// calls run on the same machine and are in it.
func BenchmarkUDP(b *testing.B) {
	addr, port := reflector(b)
	n, q := New(), query(b, "www.shop.test.")
	accept := func([]byte) bool { return true }
	b.Run("deadline", func(b *testing.B) {
		b.ReportAllocs()
		defer cpu(b)()
		for b.Loop() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			if err := n.Exchange(ctx, addr, port, false, q, accept); err != nil {
				b.Fatal(err)
			}
			cancel()
		}
	})
	b.Run("bare", func(b *testing.B) {
		b.ReportAllocs()
		defer cpu(b)()
		for b.Loop() {
			if err := n.Exchange(context.Background(), addr, port, false, q, accept); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("dialed", func(b *testing.B) {
		b.ReportAllocs()
		defer cpu(b)()
		for b.Loop() {
			if err := dialed(addr, port, q); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("parallel", func(b *testing.B) {
		b.ReportAllocs()
		defer cpu(b)()
		b.SetParallelism(32)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if err := n.Exchange(context.Background(), addr, port, false, q, accept); err != nil {
					b.Error(err)
				}
			}
		})
	})
}

// cpu reports the processor time of the whole process, which other load on the
// machine leaves alone.
func cpu(b *testing.B) func() {
	used := func() (t time.Duration) {
		var r syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
			b.Fatal(err)
		}
		return time.Duration(r.Utime.Nano() + r.Stime.Nano())
	}
	before := used()
	return func() { b.ReportMetric(float64((used()-before).Nanoseconds())/float64(b.N), "cpu-ns/op") }
}

// dialed is the same by package net, for comparison.
func dialed(addr netip.Addr, port uint16, q []byte) error {
	remote := net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr, port))
	c, err := net.DialUDP("udp4", &net.UDPAddr{Port: int(randomPort())}, remote)
	for err != nil { // the port is taken
		c, err = net.DialUDP("udp4", &net.UDPAddr{Port: int(randomPort())}, remote)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Second))
	if _, err := c.Write(q); err != nil {
		return err
	}
	var buf [2048]byte
	_, err = c.Read(buf[:])
	return err
}

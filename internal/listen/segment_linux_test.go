package listen

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// A batch of queries of several lengths from several clients is answered as if
// each had come alone, also where the kernel refuses to cut messages.
func TestBatchesAreAnsweredOneByOne(t *testing.T) {
	for _, addr := range []string{"127.0.0.1:0", "0.0.0.0:0", "[::1]:0", "[::]:0"} {
		for _, refuse := range []bool{false, true} {
			at := netip.MustParseAddrPort(addr)
			if refuse && at.Addr().Is6() {
				continue // IPv6 has no datagrams without a checksum
			}
			t.Run(fmt.Sprint(addr, " refused ", refuse), func(t *testing.T) {
				s, err := Listen(Config{Handler: hits{}, Workers: 1, Addrs: []netip.AddrPort{at}})
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				w := s.udp[0].(*worker)
				could := w.own.segments
				if refuse {
					// Without checksums of its own a socket gets nothing cut.
					w.raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_NO_CHECK, 1) })
					if err != nil {
						t.Fatal(err)
					}
				}
				loopback := "127.0.0.1"
				if at.Addr().Is6() {
					loopback = "::1"
				}
				to := netip.AddrPortFrom(netip.MustParseAddr(loopback), s.Addrs()[0].Port())
				var clients []net.Conn
				for range 3 {
					clients = append(clients, dial(t, "udp", "", to))
				}
				for round := range 2 * maxRefused {
					batchRound(t, w, clients, round)
				}
				if n := s.Stats(); n.Unsent != 0 || n.Hits != uint64(2*maxRefused*batch) {
					t.Errorf("%+v", n)
				}
				if want := could && !refuse; w.own.segments != want {
					t.Errorf("asks the kernel to cut: %v, want %v", w.own.segments, want)
				}
			})
		}
	}
}

// batchRound sends one batch from clients in turn, serves it, and checks what each gets.
func batchRound(t *testing.T, w *worker, clients []net.Conn, round int) {
	want := make([][][]byte, len(clients))
	for i := range batch {
		c := (i*7 + round) % len(clients)
		query := packet(t, uint16(i), "hit"+string(bytes.Repeat([]byte("x"), i%4))+".example", i%2 == 0)
		if _, err := clients[c].Write(query); err != nil {
			t.Fatal(err)
		}
		want[c] = append(want[c], labReplyTo(t, query))
	}
	w.raw.Control(func(fd uintptr) { w.serve(fd) })
	byID := func(a, b []byte) int { return int(binary.BigEndian.Uint16(a)) - int(binary.BigEndian.Uint16(b)) }
	for c := range clients {
		var got [][]byte
		for range want[c] {
			got = append(got, next(t, clients[c]))
		}
		slices.SortFunc(got, byID)
		if !slices.EqualFunc(got, want[c], bytes.Equal) {
			t.Fatalf("client %d got %x, want %x", c, got, want[c])
		}
	}
}

package listen

import (
	"context"
	"io"
	"net/netip"
	"slices"
	"testing"

	"github.com/shoji-dns/shoji/internal/dns"
)

// trivial answers with the query itself: what is measured is the sockets, the
// parser and nothing behind it.
type trivial struct{ hits }

func (trivial) Hit(q *dns.Query, out []byte) ([]byte, bool) {
	return dns.AppendError(out, q, dns.RCodeSuccess), true
}

// BenchmarkTCP pipelines queries over one loopback connection, 32 at a time, client
// included. It is not what a server can answer a second (see docs/performance.md).
func BenchmarkTCP(b *testing.B) {
	const pipelined = 32
	s := start(b, newReaders, Config{Handler: trivial{}, Workers: 1})
	c := dial(b, "tcp", "", s.Addrs()[0])
	one := frame(packet(b, 1, "www.shop.test", true))
	query := slices.Repeat(one, pipelined)
	c.Write(one)
	in := make([]byte, pipelined*(2+len(nextFrame(b, c))))
	size := len(in) / pipelined
	b.ReportAllocs()
	for left := b.N; left > 0; left -= pipelined {
		n := min(left, pipelined)
		if _, err := c.Write(query[:n*len(one)]); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(c, in[:n*size]); err != nil {
			b.Fatal(err)
		}
	}
}

// away answers nothing from memory, and everything at once where it may wait.
type away struct{}

func (away) Hit(q *dns.Query, out []byte) ([]byte, bool) { return out, false }
func (away) Miss(_ context.Context, q *dns.Query, out []byte) []byte {
	return dns.AppendError(out, q, dns.RCodeSuccess)
}

// BenchmarkPool is what a query that needs the network costs outside of the handler, without
// system calls: the way into the pool, to a goroutine, and to the reply.
func BenchmarkPool(b *testing.B) {
	s := newServer(Config{Handler: away{}, Addrs: []netip.AddrPort{{}}})
	s.misses.ctx = b.Context()
	query := packet(b, 1, "www.shop.test", true)
	from := netip.MustParseAddrPort("127.0.0.1:53000")
	back := make(backTo)
	var q dns.Query
	var t tally
	if err := q.Parse(query); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		s.submitDatagram(&q, back, from, from.Addr(), new(control), needed, nil, &t)
		<-back
	}
}

// backTo is told of each reply.
type backTo chan struct{}

func (c backTo) reply(*miss, []byte) { c <- struct{}{} }

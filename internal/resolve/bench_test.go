package resolve

import (
	"context"
	"encoding/binary"
	"net/netip"
	"strconv"
	"testing"
	"time"

	"github.com/shoji-dns/shoji/internal/answer"
	"github.com/shoji-dns/shoji/internal/dns"
)

// wildcard is a network of one server with three zones, made to cost next to
// nothing: "." refers to "test.", "test." to "shop.test.", and every name there has
// an address.
type wildcard struct{ root, tld, leaf []byte }

func (n *wildcard) Exchange(ctx context.Context, addr netip.Addr, port uint16, tcp bool, query []byte, accept func([]byte) bool) error {
	var buf [1232]byte
	out := append(buf[:0], query[:len(query)-11-4-8]...)
	out[2] |= 0x84 // QR, AA
	out[11] = 0
	tail := n.leaf
	switch addr.As4()[3] {
	case 1:
		tail = n.root
	case 2:
		tail = n.tld
	}
	if tail[3] == 1 {
		out[2] &^= 0x04 // a referral is not authoritative
	}
	binary.BigEndian.PutUint16(out[6:], binary.BigEndian.Uint16(tail))
	binary.BigEndian.PutUint16(out[8:], binary.BigEndian.Uint16(tail[2:]))
	binary.BigEndian.PutUint16(out[10:], binary.BigEndian.Uint16(tail[4:]))
	out = append(out, tail[6:]...)
	accept(out)
	return ctx.Err()
}

const optRecord = "\x00\x00\x29\x04\xd0\x00\x00\x80\x00\x00\x00"

// delegate is the end of a reply that refers to a zone and its one server: three
// counts, then records without compression.
func delegate(zone string, server string) []byte {
	z, ns := dns.MustName(zone), dns.MustName("ns."+zone)
	out := []byte("\x00\x00\x00\x01\x00\x02")
	out = dns.RR{Name: z, Type: dns.TypeNS, Class: dns.ClassIN, Data: []byte(ns)}.AppendCanonical(out, 3600)
	out = dns.RR{Name: ns, Type: dns.TypeA, Class: dns.ClassIN, Data: netip.MustParseAddr(server).AsSlice()}.AppendCanonical(out, 3600)
	return append(out, optRecord...)
}

func newWildcard() *wildcard {
	return &wildcard{
		root: delegate("test", testAddr),
		tld:  delegate("shop.test", shopAddr),
		// A compression pointer to the question at offset 12, type A, class IN, TTL 60.
		leaf: []byte("\x00\x01\x00\x00\x00\x01" + "\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\xc6\x33\x64\x01" + optRecord),
	}
}

// discard is a Memory that forgets, so that every question is new.
type discard struct{}

func (discard) Get(dns.Name, dns.Type, time.Time) (*answer.Answer, bool) { return nil, false }
func (discard) Put(*answer.Answer, time.Time)                            {}

// BenchmarkCold resolves names nobody has asked for, in a zone whose cut is known:
// one upstream query each. Network and memory cost nothing, so the figure is the
// resolver's own part: parsing, choosing, racing, scrubbing, composing. It is not the cost
// of a recursion, to which sockets, cache and the client's side belong.
func BenchmarkCold(b *testing.B) {
	n := newWildcard()
	r := New(Config{Network: n, Memory: discard{}, Hints: hints(rootAddr)})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	names := make([]dns.Name, 1024)
	for i := range names {
		names[i] = dns.MustName("n" + strconv.Itoa(i) + ".shop.test")
	}
	if a := r.Resolve(ctx, names[0], dns.TypeA); len(a.Answer()) != 1 {
		_, text, _ := a.Error()
		b.Fatal(a.RCode(), text)
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		r.Resolve(ctx, names[i%len(names)], dns.TypeA)
		i++
	}
}

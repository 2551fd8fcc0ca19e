package simnet

import (
	"context"
	"testing"

	"github.com/miekg/dns"
)

// BenchmarkLab is the time until a lab is ready, signing of all zones included.
func BenchmarkLab(b *testing.B) {
	for range b.N {
		Lab(7, labNow)
	}
}

// BenchmarkExchange is what one query costs over a network without delay: the
// part of a resolver's benchmark over simnet that is not the resolver's.
func BenchmarkExchange(b *testing.B) {
	in := Lab(7, labNow)
	in.SetFaults(Faults{})
	q := new(dns.Msg)
	q.SetQuestion("www.bank.test.", dns.TypeA)
	q.SetEdns0(1232, true)
	query, err := q.Pack()
	if err != nil {
		b.Fatal(err)
	}
	root := LabHints()[0].Addrs[0]
	b.ReportAllocs()
	for b.Loop() {
		if err := in.Exchange(context.Background(), root, 53, false, query, func([]byte) bool { return true }); err != nil {
			b.Fatal(err)
		}
	}
}

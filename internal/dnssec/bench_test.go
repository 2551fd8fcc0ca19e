package dnssec

import (
	"fmt"
	"slices"
	"testing"

	foreign "github.com/miekg/dns"

	"github.com/shoji-dns/shoji/internal/dns"
)

// The figures are of the validator alone: no parsing of messages, no network, no cache.
// Most of them is the standard library's cryptography; BenchmarkCrypto is that part
// alone.

func BenchmarkVerifyRRset(b *testing.B) {
	for _, a := range algorithms {
		b.Run(fmt.Sprintf("%s-%d", foreign.AlgorithmToString[a.number], a.bits), func(b *testing.B) {
			k := newKey(b, "example.", a.number, a.bits)
			rrs := k.signed(b, "www.example. 300 IN A 192.0.2.1", "www.example. 300 IN A 192.0.2.2")
			v, keys := New(Config{SHA1: true}), k.keys(b)
			v.memo = nil
			b.ReportAllocs()
			for b.Loop() {
				if r := v.VerifyRRset(keys, rrs[:2], rrs[2:], testNow, new(Work)); !r.Status.IsSecure() {
					b.Fatal(r.Status)
				}
			}
		})
	}
}

// BenchmarkCrypto is the verification of 128 octets by a parsed key.
func BenchmarkCrypto(b *testing.B) {
	for _, a := range algorithms {
		b.Run(fmt.Sprintf("%s-%d", foreign.AlgorithmToString[a.number], a.bits), func(b *testing.B) {
			k := newKey(b, "example.", a.number, a.bits)
			rrs := k.signed(b, "www.example. 300 IN A 192.0.2.1")
			s, _ := parseRRSIG(rrs[1].Data)
			v, keys := New(Config{SHA1: true}), k.keys(b)
			at := &attempt{v: v, keys: keys, w: new(Work), rrset: rrs[:1]}
			data := at.signedData(&s)
			b.ReportAllocs()
			for b.Loop() {
				if !keys.keys[0].public.verify(data, s.signature) {
					b.Fatal("does not verify")
				}
			}
		})
	}
}

// null is a key by which everything verifies: what is left is this package's own cost.
type null struct{}

func (null) verify(_, _ []byte) bool { return true }

// BenchmarkOwnCost is verification with the cryptography left out.
func BenchmarkOwnCost(b *testing.B) {
	k := newKey(b, "example.", foreign.ED25519, 256)
	v, keys := New(Config{}), k.keys(b)
	keys.keys[0].public = null{}
	for _, n := range []int{1, 4, 40} {
		b.Run(fmt.Sprintf("RRset-%d", n), func(b *testing.B) {
			var lines []string
			for i := range n {
				lines = append(lines, fmt.Sprintf("www.example. 300 IN A 192.0.2.%d", 200-i))
			}
			rrs := k.signed(b, lines...)
			w := new(Work)
			b.ReportAllocs()
			for b.Loop() {
				w.verifications.Store(0)
				v.VerifyRRset(keys, rrs[:n], rrs[n:], testNow, w)
			}
		})
	}
	for _, nsec3 := range []bool{false, true} {
		b.Run(fmt.Sprintf("NameError-nsec3-%v", nsec3), func(b *testing.B) {
			z := newLab(b, k, nsec3, false, "www.example. 300 IN A 192.0.2.1", "a.example. 300 IN A 192.0.2.1", "z.example. 300 IN A 192.0.2.1")
			m := z.response(z.query("nothing.example.", foreign.TypeA), "nothing.example.", foreign.TypeA)
			b.ReportAllocs()
			for b.Loop() {
				if a := v.VerifyAnswer(keys, m, testNow, new(Work)); a.RCode != dns.RCodeNameError || !a.Status.IsSecure() {
					b.Fatal(a.Status)
				}
			}
		})
	}
}

func BenchmarkHashName(b *testing.B) {
	name, salt := dns.MustName("a.long.name.of.usual.length.example."), []byte{1, 2, 3, 4}
	for _, iterations := range []uint16{0, 10, MaxIterations} {
		b.Run(fmt.Sprint(iterations), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				hashName(name, salt, iterations)
			}
		})
	}
}

func BenchmarkVerifyKeys(b *testing.B) {
	k, zsk := newKey(b, "example.", foreign.ECDSAP256SHA256, 256), newKey(b, "example.", foreign.ECDSAP256SHA256, 256)
	set := []foreign.RR{k.public, zsk.public}
	rrs := records(b, append(slices.Clone(set), k.sign(b, set))...)
	ds, v := []DS{k.ds(b, 2)}, New(Config{})
	b.ReportAllocs()
	for b.Loop() {
		if _, status := v.VerifyKeys(dns.MustName("example."), ds, rrs, testNow, new(Work)); !status.IsSecure() {
			b.Fatal(status)
		}
	}
}

package resolve

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	mdns "github.com/miekg/dns"
	"pgregory.net/rapid"

	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/dnssec"
)

var denialsBorn = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// ours turns foreign records into ours, by way of the wire.
func ours(t testing.TB, rrs ...mdns.RR) []dns.RR {
	t.Helper()
	b, err := (&mdns.Msg{Answer: rrs}).Pack()
	var m dns.Message
	if err == nil {
		err = m.Unpack(b)
	}
	if err != nil {
		t.Fatal(err)
	}
	return m.Answer
}

// chainOf is the denials of a zone with n names, proven one by one.
func chainOf(t testing.TB, zone string, n int, hashed bool) []dnssec.Denial {
	t.Helper()
	key := newRootKey(t, mdns.ZONE|mdns.SEP)
	key.public.Hdr.Name = zone
	sign := func(set ...mdns.RR) []dns.RR {
		s := &mdns.RRSIG{
			Algorithm: key.public.Algorithm, KeyTag: key.public.KeyTag(), SignerName: zone, Hdr: mdns.RR_Header{Ttl: 3600},
			Inception: uint32(denialsBorn.Unix()) - 60, Expiration: uint32(denialsBorn.Unix()) + 86400,
		}
		if err := s.Sign(key.secret, set); err != nil {
			t.Fatal(err)
		}
		return ours(t, append(set, s)...)
	}
	v := dnssec.New(dnssec.Config{})
	ds, _ := dnssec.ParseDS(ours(t, key.public.ToDS(mdns.SHA256))[0].Data)
	keys, status := v.VerifyKeys(dns.MustName(zone), []dnssec.DS{ds}, sign(key.public), denialsBorn, new(dnssec.Work))
	if !status.IsSecure() {
		t.Fatal(status.Reason())
	}
	var out []dnssec.Denial
	for i := range n {
		name := fmt.Sprintf("n%03d.%s", i, zone)
		text := fmt.Sprintf("%s 3600 IN NSEC n%03d.%s A NSEC RRSIG", name, i+1, zone)
		if hashed {
			text = fmt.Sprintf("%s.%s 3600 IN NSEC3 1 0 0 - 00000000000000000000000000000000 A", mdns.HashName(name, mdns.SHA1, 0, ""), zone)
		}
		rr, err := mdns.NewRR(text)
		if err != nil {
			t.Fatal(err)
		}
		p := v.ProveNegative(keys, dns.MustName(name), dns.TypeTXT, dns.RCodeSuccess, sign(rr), denialsBorn, new(dnssec.Work))
		if !p.Status.IsSecure() || len(p.Denials) != 1 {
			t.Fatalf("%s: %s", text, p.Status.Reason())
		}
		out = append(out, p.Denials...)
	}
	return out
}

// However many denials of however many zones there are, the index holds few.
func TestDenialsAreBounded(t *testing.T) {
	d := newDenials()
	d.most, d.mostOfZone = 40, 16
	for i := range 12 {
		for _, e := range chainOf(t, fmt.Sprintf("z%d.", i), 30, i%2 == 1) {
			d.put([]dnssec.Denial{e}, nil, denialsBorn.Add(time.Hour))
		}
		held := 0
		for _, generation := range []map[dns.Name]*zoneDenials{d.young, d.old} {
			for zone, z := range generation {
				held += 1 + len(z.nsec) + len(z.nsec3)
				if n := len(z.nsec) + len(z.nsec3); n > d.mostOfZone {
					t.Errorf("%d records of %s", n, zone)
				}
			}
		}
		if held > 2*d.most || i > 2 && held < d.most/2 {
			t.Errorf("after zone %d: %d records held", i, held)
		}
	}
}

// What stands before a name or a hash is found over both generations as by looking at each.
func TestDenialsAreFound(t *testing.T) {
	plain, hashed := chainOf(t, "a.", 40, false), chainOf(t, "a.", 40, true)
	zone := dns.MustName("a.")
	rapid.Check(t, func(t *rapid.T) {
		d := newDenials()
		d.most, d.mostOfZone = rapid.IntRange(2, 60).Draw(t, "most"), 100
		for range rapid.IntRange(0, 80).Draw(t, "puts") {
			i := rapid.IntRange(0, 39).Draw(t, "which")
			list := plain
			if rapid.Bool().Draw(t, "hashed") {
				list = hashed
			}
			d.put(list[i:i+1], nil, denialsBorn.Add(time.Duration(i+1)*time.Minute))
		}
		var nsec, nsec3 []*dnssec.Denial
		for _, generation := range []map[dns.Name]*zoneDenials{d.young, d.old} {
			if z := generation[zone]; z != nil {
				nsec, nsec3 = append(nsec, z.nsec...), append(nsec3, z.nsec3...)
			}
		}
		name := dns.MustName(fmt.Sprintf("n%03d%s.a.", rapid.IntRange(0, 40).Draw(t, "name"), strings.Repeat("x", rapid.IntRange(0, 1).Draw(t, "longer"))))
		h := hashed[rapid.IntRange(0, 39).Draw(t, "hash")].Hash()
		h[19] += byte(rapid.IntRange(0, 2).Draw(t, "off"))
		d.look(name, zone, func(_ dns.Name, p *proofs) {
			got, ok := p.Before(zone, name)
			var want dns.Name
			for _, e := range nsec {
				if e.Owner().Compare(name) <= 0 && (want == "" || want.Compare(e.Owner()) < 0) {
					want = e.Owner()
				}
			}
			if ok != (want != "") || ok && got.Owner() != want {
				t.Fatalf("before %s: %v, want %v", name, got.Owner(), want)
			}
			got, ok = p.BeforeHash(zone, h)
			var best, last *dnssec.Denial
			for _, e := range nsec3 {
				x := e.Hash()
				if bytes.Compare(x[:], h[:]) <= 0 && (best == nil || lessHash(best, e)) {
					best = e
				}
				if last == nil || lessHash(last, e) {
					last = e
				}
			}
			if best == nil {
				best = last
			}
			if ok != (best != nil) || ok && got.Hash() != best.Hash() {
				t.Fatalf("before %x: %x", h, got.Hash())
			}
			if any, ok := p.Hashed(zone); ok != (len(nsec3) > 0) || ok && !any.IsNSEC3() {
				t.Fatalf("an NSEC3 record: %v", ok)
			}
		})
	})
}

func lessHash(a, b *dnssec.Denial) bool {
	x, y := a.Hash(), b.Hash()
	return bytes.Compare(x[:], y[:]) < 0
}

package resolve

import (
	"testing"
	"time"

	"github.com/shoji-dns/shoji/internal/dns"
)

// FuzzReply feeds a reply of any octets to the judge of replies and to the scrubber.
// Nothing may panic; what is accepted has the query's ID and question; what is kept
// lies in the bailiwick of the zone asked.
func FuzzReply(f *testing.F) {
	q := question{dns.MustName("www.shop.test"), dns.TypeA}
	zone := dns.MustName("shop.test")
	a := new(attempt)
	a.prepare(q, &form{edns: true}, false, false)
	rr := func(name string, t dns.Type, data string) dns.RR {
		return dns.RR{Name: dns.MustName(name), Type: t, Class: dns.ClassIN, TTL: 60, Data: []byte(data)}
	}
	evil, ns := string(dns.MustName("evil.test")), string(dns.MustName("ns.sub.shop.test"))
	for _, m := range []dns.Message{
		{Answer: []dns.RR{rr("www.shop.test", dns.TypeA, "\x01\x02\x03\x04"), rr("evil.test", dns.TypeA, "\x01\x02\x03\x04")}},
		{Answer: []dns.RR{rr("www.shop.test", dns.TypeCNAME, evil), rr("evil.test", dns.TypeA, "\x01\x02\x03\x04")}},
		{Answer: []dns.RR{rr("shop.test", dns.TypeDNAME, evil)}},
		{Authority: []dns.RR{rr("www.shop.test", dns.TypeNS, ns)}, Additional: []dns.RR{rr("ns.sub.shop.test", dns.TypeA, "\x01\x02\x03\x04")}},
		{Authority: []dns.RR{rr("test", dns.TypeNS, evil)}},
		{RCode: dns.RCodeNameError, Authority: []dns.RR{rr("shop.test", dns.TypeSOA, evil+evil+"\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x01")}},
	} {
		m.ID, m.Flags = uint16(a.query[0])<<8|uint16(a.query[1]), dns.FlagQR|dns.FlagAA
		m.Question = []dns.Question{{Name: q.name, Type: q.typ, Class: dns.ClassIN}}
		b, err := m.Append(nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, false)
		f.Add(b[:len(b)-3], true)
	}
	f.Fuzz(func(t *testing.T, reply []byte, forward bool) {
		if len(reply) > 2 { // the ID is not what there is to find out
			copy(reply, a.query[:2])
		}
		a.heard, a.msg = hearNothing, nil
		if !a.accept(reply) || a.heard != hearReply {
			return
		}
		if m := a.msg; len(m.Question) != 1 || m.Question[0].Name != q.name || m.Question[0].Type != q.typ {
			t.Fatalf("accepted a reply to %v", m.Question)
		}
		s := scrubber{zone: zone, q: q, forward: forward, m: a.msg, deeper: func(dns.Name) bool { return false }}
		check(t, s.scrub(), q, zone, forward)
	})
}

func check(t *testing.T, found finding, q question, zone dns.Name, forward bool) {
	cur := q.name
	for i, l := range found.links {
		if l.name != cur || !cur.IsSubdomainOf(zone) {
			t.Fatalf("link %d is of %s, the way leads to %s", i, l.name, cur)
		}
		for i, rr := range append(l.records, l.proof...) {
			proof := forward && i >= len(l.records) // may be of a zone above
			if !rr.Name.IsSubdomainOf(zone) && !proof || rr.Class != dns.ClassIN || rr.TTL > uint32(longestTTL/time.Second) {
				t.Fatalf("kept %v", rr)
			}
		}
		cur = l.target
	}
	if len(found.links) > maxLinks+2 || found.kind >= kindWeak && found.kind != kindReferral && len(found.links) == 0 {
		t.Fatalf("%d links of kind %d", len(found.links), found.kind)
	}
	if c := found.child; c != nil {
		if !c.zone.IsSubdomainOf(zone) || c.zone == zone || !q.name.IsSubdomainOf(c.zone) || len(c.ns) > maxNS || len(c.glue) > maxTargets {
			t.Fatalf("referral to %s with %d servers", c.zone, len(c.ns))
		}
		for _, g := range c.glue {
			if !g.addr.Name.IsSubdomainOf(zone) || !g.addr.Name.Equal(c.ns[g.ns]) {
				t.Fatalf("glue %v", g.addr)
			}
		}
	}
}

package dnssec

import (
	"slices"
	"strings"
	"testing"

	foreign "github.com/miekg/dns"

	"github.com/shoji-dns/shoji/internal/dns"
)

func TestProveDelegation(t *testing.T) {
	k := newKey(t, "example.", foreign.ED25519, 256)
	child := newKey(t, "sub.example.", foreign.ED25519, 256)
	keys, v := k.keys(t), New(Config{})
	digest := strings.Repeat("ab", 32)
	ds := func(fields string) []dns.RR { return k.signed(t, "sub.example. 300 IN DS "+fields) }
	nsec := func(line string) []dns.RR { return k.signed(t, line) }
	alias := k.signed(t, "sub.example. 300 IN CNAME www.example.")
	wild := k.signed(t, "*.example. 300 IN CNAME www.example.")
	for i := range wild {
		wild[i].Name = dns.MustName("sub.example.")
	}
	short := ds("1 15 2 " + digest)
	short[0].Data = short[0].Data[:3]
	for _, c := range []struct {
		what    string
		child   string
		records []dns.RR
		want    string
		cut     bool
		ds      int
		ttl     uint32
	}{
		{"DS", "sub.example.", ds("1 15 2 " + digest), "secure", true, 1, 300},
		{"DS, name in other letters", "SUB.Example.", ds("1 15 2 " + digest), "secure", true, 1, 300},
		{"DS of an unknown algorithm", "sub.example.", ds("1 250 2 " + digest), "insecure: no supported signature algorithm", true, 0, 300},
		{"DS of an unknown digest", "sub.example.", ds("1 15 99 " + digest), "insecure: no supported DS digest", true, 0, 300},
		{"unsigned DS", "sub.example.", ds("1 15 2 " + digest)[:1], "bogus: no RRSIG record", false, 0, 0},
		{"DS cut short", "sub.example.", short, "bogus: signature does not verify", false, 0, 0},
		{"DS signed by the child", "sub.example.", child.signed(t, "sub.example. 300 IN DS 1 15 2 "+digest), "bogus: RRSIG not made by the zone", false, 0, 0},
		{"no DS at a delegation", "sub.example.", nsec("sub.example. 60 IN NSEC z.example. NS RRSIG NSEC"), "insecure", true, 0, 60},
		{"no DS, and no delegation", "sub.example.", nsec("sub.example. 60 IN NSEC z.example. A RRSIG NSEC"), "secure", false, 0, 60},
		{"DS denied by a record that lists it", "sub.example.", nsec("sub.example. 60 IN NSEC z.example. NS DS RRSIG NSEC"), "bogus: NSEC or NSEC3 records do not prove it", false, 0, 0},
		{"DS denied by a record of an apex", "sub.example.", nsec("sub.example. 60 IN NSEC z.example. NS SOA RRSIG NSEC"), "bogus: NSEC or NSEC3 records do not prove it", false, 0, 0},
		{"no such name", "sub.example.", nsec("a.example. 60 IN NSEC z.example. A RRSIG NSEC"), "secure", false, 0, 60},
		{"an empty non-terminal", "sub.example.", nsec("a.example. 60 IN NSEC x.sub.example. A RRSIG NSEC"), "secure", false, 0, 60},
		{"below another delegation", "sub.a.example.", nsec("a.example. 60 IN NSEC z.example. NS RRSIG NSEC"), "bogus: NSEC or NSEC3 records do not prove it", false, 0, 0},
		{"nothing", "sub.example.", nil, "bogus: no NSEC or NSEC3 record", false, 0, 0},
		{"an alias", "sub.example.", alias, "secure", false, 0, 300},
		{"an unsigned alias", "sub.example.", alias[:1], "bogus: no RRSIG record", false, 0, 0},
		{"an alias out of a wildcard", "sub.example.", slices.Concat(wild, nsec("a.example. 60 IN NSEC z.example. A RRSIG NSEC")), "secure", false, 0, 60},
		{"an alias out of a wildcard, not proven", "sub.example.", wild, "bogus: no NSEC or NSEC3 record", false, 0, 0},
		{"the zone itself", "example.", nsec("example. 60 IN NSEC z.example. NS SOA RRSIG NSEC"), "bogus: malformed record", false, 0, 0},
		{"another zone", "example.net.", nil, "bogus: malformed record", false, 0, 0},
	} {
		d := v.ProveDelegation(keys, dns.MustName(c.child), c.records, testNow, new(Work))
		demand(t, c.what, d.Status, c.want)
		if d.Cut != c.cut || len(d.DS) != c.ds || d.TTL != c.ttl {
			t.Errorf("%s: cut %v, %d DS, TTL %d; want %v, %d, %d", c.what, d.Cut, len(d.DS), d.TTL, c.cut, c.ds, c.ttl)
		}
	}
	if d := v.ProveDelegation(nil, dns.MustName("sub.example."), nil, testNow, new(Work)); !d.Status.IsIndeterminate() {
		t.Errorf("without keys: %v", d.Status)
	}
}

// Denials that come out of a proof tell what a cache has to know of them.
func TestDenial(t *testing.T) {
	k := newKey(t, "example.", foreign.ED25519, 256)
	rrs := k.signed(t, "A.example. 60 IN NSEC z.example. A RRSIG NSEC")
	d := New(Config{}).ProveDelegation(k.keys(t), dns.MustName("sub.example."), rrs, testNow, new(Work)).Denials
	if len(d) != 1 {
		t.Fatalf("%d denials", len(d))
	}
	if d[0].Zone() != dns.MustName("example.") || d[0].Owner() != dns.MustName("a.example.") || d[0].IsNSEC3() {
		t.Errorf("%v", d[0])
	}
	if got := d[0].RR(); got.Type != dns.TypeNSEC || !d[0].Expires().Equal(testNow.Add(60e9)) {
		t.Errorf("%v, expires %v", got, d[0].Expires())
	}
}

func TestBitmap(t *testing.T) {
	for _, c := range []struct {
		b     bitmap
		valid bool
	}{
		{nil, true},
		{bitmap{0, 1, 0x40}, true},
		{bitmap{0, 1, 0x40, 1, 1, 0x40}, true},
		{bitmap{1, 1, 0x40, 0, 1, 0x40}, false},
		{bitmap{0, 1, 0x40, 0, 1, 0x40}, false},
		{bitmap{0, 0}, false},
		{bitmap{0, 33}, false},
		{bitmap{0, 2, 0x40}, false},
		{bitmap{0}, false},
	} {
		if c.b.valid() != c.valid {
			t.Errorf("%x: valid %v", c.b, !c.valid)
		}
		for _, typ := range []dns.Type{0, 1, 255, 256, 65535} {
			c.b.has(typ) // must not panic
		}
		c.b.bare()
	}
	b := bitmap(records(t, parse(t, "a. 0 IN NSEC . A MX RRSIG NSEC TYPE1234 TYPE65534")...)[0].Data[1:])
	for typ, want := range map[dns.Type]bool{dns.TypeA: true, dns.TypeMX: true, dns.TypeNS: false, 1234: true, 1235: false, 65534: true, 65535: false, 256: false} {
		if b.has(typ) != want {
			t.Errorf("%v: %v", typ, !want)
		}
	}
}

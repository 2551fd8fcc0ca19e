package dnssec

import (
	"slices"
	"strings"
	"testing"

	foreign "github.com/miekg/dns"

	"github.com/shoji-dns/shoji/internal/dns"
)

// shape is the answer's records as "owner TYPE", signatures left out.
func shape(rrs []dns.RR) string {
	var out []string
	for _, rr := range rrs {
		if rr.Type != dns.TypeRRSIG {
			out = append(out, rr.Name.String()+" "+rr.Type.String())
		}
	}
	return strings.Join(out, ", ")
}

func TestVerifyAnswer(t *testing.T) {
	k := newKey(t, "example.", foreign.ED25519, 256)
	child := newKey(t, "sub.example.", foreign.ED25519, 256)
	keys, v := k.keys(t), New(Config{})
	long := strings.Repeat("l", 60) + "." + strings.Repeat("m", 60) + "." + strings.Repeat("n", 60)
	a := k.signed(t, "www.example. 300 IN A 192.0.2.1")
	out := k.signed(t, "out.example. 300 IN CNAME www.example.net.")
	in := k.signed(t, "in.example. 300 IN CNAME WWW.example.")
	loop := append(k.signed(t, "l1.example. 300 IN CNAME l2.example."), k.signed(t, "l2.example. 300 IN CNAME l1.example.")...)
	dname := k.signed(t, "d.example. 300 IN DNAME example.")
	grow := k.signed(t, "g.example. 300 IN DNAME "+long+".example.")
	synthesised := records(t, parse(t, "www.d.example. 300 IN CNAME www.example.")...)
	forged := records(t, parse(t, "www.d.example. 300 IN CNAME www.example.net.")...)
	soa := k.signed(t, "example. 300 IN SOA ns.example.net. a.example.net. 1 3600 600 86400 300")
	noData := k.signed(t, "www.example. 300 IN NSEC example. A RRSIG NSEC")
	join := slices.Concat[[]dns.RR]
	for _, c := range []struct {
		what, name        string
		qtype             dns.Type
		rcode             dns.RCode
		answer, authority []dns.RR
		want, shape       string
		next, cut         string
		gotRCode          dns.RCode
	}{
		{what: "data", name: "WWW.example.", qtype: dns.TypeA, answer: a, want: "secure", shape: "www.example. A"},
		{what: "alias out of the zone", name: "out.example.", qtype: dns.TypeA, answer: join(out, forged), want: "secure", shape: "out.example. CNAME", next: "www.example.net."},
		{what: "alias in the zone", name: "in.example.", qtype: dns.TypeA, answer: join(a, in), want: "secure", shape: "in.example. CNAME, www.example. A"},
		{what: "alias in the zone, the rest not told", name: "in.example.", qtype: dns.TypeA, answer: in, want: "secure", shape: "in.example. CNAME", next: "www.example."},
		{what: "alias to no data", name: "in.example.", qtype: dns.TypeAAAA, answer: in, authority: join(soa, noData), want: "secure", shape: "in.example. CNAME"},
		{what: "type CNAME", name: "in.example.", qtype: dns.TypeCNAME, answer: in, want: "secure", shape: "in.example. CNAME"},
		{what: "loop", name: "l1.example.", qtype: dns.TypeA, answer: loop, want: "secure", shape: "l1.example. CNAME, l2.example. CNAME", next: "l1.example."},
		{what: "DNAME", name: "www.d.example.", qtype: dns.TypeA, answer: join(dname, synthesised, a), want: "secure", shape: "d.example. DNAME, www.d.example. CNAME, www.example. A"},
		{what: "DNAME without its CNAME", name: "www.d.example.", qtype: dns.TypeA, answer: join(dname, a), want: "secure", shape: "d.example. DNAME, www.d.example. CNAME, www.example. A"},
		{what: "DNAME, type CNAME", name: "www.d.example.", qtype: dns.TypeCNAME, answer: join(dname, synthesised), want: "secure", shape: "d.example. DNAME, www.d.example. CNAME"},
		{what: "DNAME, type DNAME", name: "d.example.", qtype: dns.TypeDNAME, answer: dname, want: "secure", shape: "d.example. DNAME"},
		{what: "CNAME that the DNAME does not make", name: "www.d.example.", qtype: dns.TypeA, answer: join(dname, forged), want: "bogus: CNAME does not follow from DNAME"},
		{what: "DNAME to a name too long", name: long + ".g.example.", qtype: dns.TypeA, rcode: dns.RCodeYXDomain, answer: grow, want: "secure", shape: "g.example. DNAME", gotRCode: dns.RCodeYXDomain},
		{what: "unsigned CNAME", name: "in.example.", qtype: dns.TypeA, answer: join(in[:1], a), want: "bogus: no RRSIG record"},
		{what: "two CNAMEs", name: "in.example.", qtype: dns.TypeA, answer: join(in, records(t, parse(t, "in.example. 300 IN CNAME x.example.")...)), want: "bogus: malformed record"},
		{what: "no data", name: "www.example.", qtype: dns.TypeAAAA, authority: join(soa, noData), want: "secure"},
		{what: "no data claimed to be no name", name: "www.example.", qtype: dns.TypeAAAA, rcode: dns.RCodeNameError, authority: join(soa, noData), want: "secure"},
		{what: "no data, SOA unsigned", name: "www.example.", qtype: dns.TypeAAAA, authority: join(soa[:1], noData), want: "bogus: no RRSIG record"},
		{what: "no data, no proof", name: "www.example.", qtype: dns.TypeAAAA, authority: soa, want: "bogus: no NSEC or NSEC3 record"},
		{what: "no data of a type that is there", name: "www.example.", qtype: dns.TypeA, authority: join(soa, noData), want: "bogus: NSEC or NSEC3 records do not prove it"},
		{what: "data of the zone below", name: "www.sub.example.", qtype: dns.TypeA, answer: child.signed(t, "www.sub.example. 300 IN A 192.0.2.1"), want: "secure", next: "www.sub.example.", cut: "sub.example."},
		{what: "no data of the zone below", name: "www.sub.example.", qtype: dns.TypeAAAA, authority: child.signed(t, "sub.example. 300 IN SOA ns.example.net. a.example.net. 1 3600 600 86400 300"), want: "secure", next: "www.sub.example.", cut: "sub.example."},
		{what: "DS by the zone that it is about", name: "sub.example.", qtype: dns.TypeDS, answer: child.signed(t, "sub.example. 300 IN DS 1 15 2 "+strings.Repeat("ab", 32)), want: "bogus: RRSIG not made by the zone"},
		{what: "type ANY", name: "www.example.", qtype: dns.TypeANY, answer: join(a, k.signed(t, "www.example. 300 IN TXT x"), in), want: "secure", shape: "www.example. A, www.example. TXT"},
		{what: "type ANY, one part unsigned", name: "www.example.", qtype: dns.TypeANY, answer: join(a, records(t, parse(t, "www.example. 300 IN TXT x")...)), want: "bogus: no RRSIG record"},
		{what: "type ANY, denied", name: "www.example.", qtype: dns.TypeANY, authority: join(soa, noData), want: "bogus: NSEC or NSEC3 records do not prove it"},
		{what: "a name of another zone", name: "www.example.net.", qtype: dns.TypeA, answer: a, want: "secure", next: "www.example.net."},
	} {
		m := &Response{Name: dns.MustName(c.name), Type: c.qtype, RCode: c.rcode, Answer: c.answer, Authority: c.authority}
		got := v.VerifyAnswer(keys, m, testNow, new(Work))
		demand(t, c.what, got.Status, c.want)
		if s := shape(got.Records); s != c.shape {
			t.Errorf("%s: records %s; want %s", c.what, s, c.shape)
		}
		if got.Status.IsSecure() && got.RCode != c.gotRCode {
			t.Errorf("%s: %v, want %v", c.what, got.RCode, c.gotRCode)
		}
		if next, cut := present(got.Next), present(got.Cut); next != c.next || cut != c.cut {
			t.Errorf("%s: next %q, cut %q; want %q, %q", c.what, next, cut, c.next, c.cut)
		}
	}
	if got := v.VerifyAnswer(nil, &Response{}, testNow, new(Work)); !got.Status.IsIndeterminate() {
		t.Errorf("without keys: %v", got.Status)
	}
}

// present is a name as text, "" for none.
func present(n dns.Name) string {
	if n == "" {
		return ""
	}
	return n.String()
}

// A compact denial (RFC 9824) is no data, whatever the name.
func TestCompactDenial(t *testing.T) {
	k := newKey(t, "example.", foreign.ED25519, 256)
	soa := k.signed(t, "example. 300 IN SOA ns.example.net. a.example.net. 1 3600 600 86400 300")
	nsec := k.signed(t, `nothing.example. 300 IN NSEC \000.nothing.example. RRSIG NSEC TYPE128`)
	for _, qtype := range []dns.Type{dns.TypeA, dns.TypeTXT, dns.TypeANY} {
		m := &Response{Name: dns.MustName("nothing.example."), Type: qtype, Authority: slices.Concat(soa, nsec)}
		got := New(Config{}).VerifyAnswer(k.keys(t), m, testNow, new(Work))
		demand(t, qtype.String(), got.Status, "secure")
		if got.RCode != dns.RCodeSuccess || got.TTL != 300 || len(got.Denials) != 1 {
			t.Errorf("%v, TTL %d, %d denials", got.RCode, got.TTL, len(got.Denials))
		}
	}
}

// The TTL of an answer is the least of all that it leans on (RFC 4035 §5.3.3, RFC
// 9077).
func TestTTLOfAnswer(t *testing.T) {
	k := newKey(t, "example.", foreign.ED25519, 256)
	nsec := k.signed(t, "example. 77 IN NSEC z.example. NS SOA RRSIG NSEC")
	wild := k.signed(t, "*.example. 900 IN A 192.0.2.1")
	for i := range wild {
		wild[i].Name = dns.MustName("a.example.")
	}
	m := &Response{Name: dns.MustName("a.example."), Type: dns.TypeA, Answer: wild, Authority: nsec}
	if got := New(Config{}).VerifyAnswer(k.keys(t), m, testNow, new(Work)); !got.Status.IsSecure() || got.TTL != 77 {
		t.Errorf("wildcard: %v, TTL %d", got.Status, got.TTL)
	}
	for _, c := range []struct {
		minimum string
		want    uint32
	}{{"300", 77}, {"60", 60}} {
		soa := k.signed(t, "example. 3600 IN SOA ns.example.net. a.example.net. 1 3600 600 86400 "+c.minimum)
		m = &Response{Name: dns.MustName("a.example."), Type: dns.TypeA, RCode: dns.RCodeNameError, Authority: slices.Concat(soa, nsec)}
		if got := New(Config{}).VerifyAnswer(k.keys(t), m, testNow, new(Work)); !got.Status.IsSecure() || got.TTL != c.want {
			t.Errorf("name error, SOA minimum %s: %v, TTL %d; want %d", c.minimum, got.Status, got.TTL, c.want)
		}
	}
}

// In a zone with opt-out, a response that says that a name does not exist needs the proof
// about the wildcard like any other: without one of its records it is bogus, and no denial of
// the type alone.
func TestNameErrorUnderOptOutIsWhole(t *testing.T) {
	key, keys := modelKey(t)
	z := newLab(t, key, true, true, "www.example. 300 IN A 192.0.2.1", "a.b.example. 300 IN A 192.0.2.1", "z.example. 300 IN A 192.0.2.1")
	refused := 0
	for _, name := range []string{"nothing.example.", "x.b.example.", "y.www.example."} {
		m := z.response(z.query(name, foreign.TypeA), name, foreign.TypeA)
		whole := New(Config{}).VerifyAnswer(keys, m, testNow, new(Work))
		if whole.Status.IsBogus() || whole.RCode != dns.RCodeNameError {
			t.Fatalf("%s: %s, %s", name, whole.Status, whole.RCode)
		}
		for i := range m.Authority {
			if m.Authority[i].Type != dns.TypeNSEC3 {
				continue
			}
			part := *m
			part.Authority = slices.Delete(slices.Clone(m.Authority), i, i+1)
			a := New(Config{}).VerifyAnswer(keys, &part, testNow, new(Work))
			if !a.Status.IsBogus() {
				t.Errorf("%s without %v: %s, %s", name, m.Authority[i].Name, a.Status, a.RCode)
			}
			refused++
		}
	}
	if refused < 4 {
		t.Errorf("%d responses cut", refused)
	}
}

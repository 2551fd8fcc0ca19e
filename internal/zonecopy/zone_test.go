package zonecopy

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/dnssec"
	"github.com/shoji-dns/shoji/internal/simnet"
	"github.com/shoji-dns/shoji/internal/zonefile"
)

const sample = `test. 300 SOA ns.test. host.test. 7 1800 900 604800 60
test. NS ns.test.
ns.test. A 192.0.2.1
www.test. A 198.51.100.1
alias.test. CNAME www.test.
old.test. DNAME new.test.
a.b.c.test. TXT "below empty non-terminals"
*.w.test. A 198.51.100.2
deep.w.test. TXT "beside the wildcard"
signed.test. NS ns.signed.test.
signed.test. DS 12345 13 2 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f
ns.signed.test. A 192.0.2.2
plain.test. NS ns.plain.test.
ns.plain.test. A 192.0.2.3
ns.plain.test. AAAA 2001:db8::3
`

func records(t *testing.T, text string) []dns.RR {
	t.Helper()
	var out []dns.RR
	for rr, err := range zonefile.Records(strings.NewReader(text), dns.Root) {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, rr)
	}
	return out
}

// signedZone is the sample, signed, with a trust anchor.
func signedZone(t *testing.T, s simnet.Signing) (all []dns.RR, anchors []dnssec.Anchor) {
	t.Helper()
	s.Inception, s.Expiration = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	tree, err := simnet.Build(1, simnet.Spec{Origin: "test.", Signing: &s, Text: sample})
	if err != nil {
		t.Fatal(err)
	}
	anchor, err := tree.Anchor("test.")
	if err != nil {
		t.Fatal(err)
	}
	if anchors, err = dnssec.ParseAnchors(anchor.DS[0].String()); err != nil {
		t.Fatal(err)
	}
	return records(t, strings.Join(tree.Zone("test.").Records(), "\n")), anchors
}

func show(m *dns.Message) string {
	var b strings.Builder
	fmt.Fprint(&b, m.RCode)
	for _, section := range [][]dns.RR{m.Answer, m.Authority, m.Additional} {
		b.WriteString(" |")
		for _, rr := range section {
			if rr.Type != dns.TypeRRSIG && rr.Type != dns.TypeNSEC && rr.Type != dns.TypeNSEC3 {
				fmt.Fprintf(&b, " %s %s", rr.Name, rr.Type)
			}
		}
	}
	return b.String()
}

// Each kind of answer, and each proven by what is with it, by NSEC and by NSEC3.
func TestReplies(t *testing.T) {
	for name, signing := range map[string]simnet.Signing{
		"NSEC": {}, "NSEC3": {NSEC3: new(simnet.NSEC3)}, "NSEC3 opt-out": {NSEC3: &simnet.NSEC3{OptOut: true}},
	} {
		all, anchors := signedZone(t, signing)
		apex := dns.MustName("test")
		z, err := newZone(apex, all)
		if err != nil {
			t.Fatal(err)
		}
		v, now := dnssec.New(dnssec.Config{}), time.Now()
		var w dnssec.Work
		keys, status := v.VerifyKeys(apex, dnssec.AnchorsOf(apex, anchors), z.names[apex].set(dns.TypeDNSKEY), now, &w)
		if keys == nil {
			t.Fatal(status)
		}
		for _, c := range []struct {
			name string
			typ  dns.Type
			want string
		}{
			{"www.test", dns.TypeA, "NOERROR | www.test. A | |"},
			{"WWW.test", dns.TypeA, "NOERROR | www.test. A | |"},
			{"www.test", dns.TypeMX, "NOERROR | | test. SOA |"},
			{"alias.test", dns.TypeA, "NOERROR | alias.test. CNAME | |"},
			{"x.old.test", dns.TypeA, "NOERROR | old.test. DNAME | |"},
			{"b.c.test", dns.TypeTXT, "NOERROR | | test. SOA |"},
			{"x.b.c.test", dns.TypeTXT, "NXDOMAIN | | test. SOA |"},
			{"x.y.test", dns.TypeA, "NXDOMAIN | | test. SOA |"},
			{"x.y.w.test", dns.TypeA, "NOERROR | x.y.w.test. A | |"},
			{"x.w.test", dns.TypeMX, "NOERROR | | test. SOA |"},
			{"deep.w.test", dns.TypeA, "NOERROR | | test. SOA |"},
			{"signed.test", dns.TypeDS, "NOERROR | signed.test. DS | |"},
			{"plain.test", dns.TypeDS, "NOERROR | | test. SOA |"},
			{"x.signed.test", dns.TypeA, "NOERROR | | signed.test. NS signed.test. DS | ns.signed.test. A"},
			{"plain.test", dns.TypeA, "NOERROR | | plain.test. NS | ns.plain.test. A ns.plain.test. AAAA"},
			{"ns.plain.test", dns.TypeA, "NOERROR | | plain.test. NS | ns.plain.test. A ns.plain.test. AAAA"},
			{"test", dns.TypeNS, "NOERROR | test. NS | |"},
		} {
			q := dns.MustName(c.name)
			m := z.reply(q.Canonical(), c.typ)
			if got := show(m); got != c.want {
				t.Errorf("%s: %s %s:\ngot  %s\nwant %s", name, c.name, c.typ, got, c.want)
				continue
			}
			var w dnssec.Work
			if len(m.Answer) == 0 && m.Authority[0].Type == dns.TypeNS { // a referral
				d := v.ProveDelegation(keys, m.Authority[0].Name, m.Authority, now, &w)
				if signed := strings.HasPrefix(m.Authority[0].Name.String(), "signed"); !d.Cut || d.Status.IsSecure() != signed || d.Status.IsBogus() {
					t.Errorf("%s: %s: delegation %s, cut %v", name, c.name, d.Status, d.Cut)
				}
				continue
			}
			a := v.VerifyAnswer(keys, &dnssec.Response{Name: q.Canonical(), Type: c.typ, RCode: m.RCode, Answer: m.Answer, Authority: m.Authority}, now, &w)
			if !a.Status.IsSecure() && !(signing.NSEC3 != nil && signing.NSEC3.OptOut && a.Status.IsInsecure()) {
				t.Errorf("%s: %s %s: %s %s", name, c.name, c.typ, a.Status, a.Status.Reason())
			}
		}
	}
}

// The example of RFC 8976 appendix A.1.
const digested = `example. 86400 IN SOA ns1.example. admin.example. 2018031900 1800 900 604800 86400
example. 86400 IN NS ns1.example.
example. 86400 IN NS ns2.example.
example. 86400 IN ZONEMD 2018031900 1 1 c68090d90a7aed716bc459f9340e3d7c1370d4d24b7e2fc3a1ddc0b9a87153b9a9713b3c9ae5cc27777f98b8e730044c
ns1.example. 3600 IN A 203.0.113.63
ns2.example. 3600 IN AAAA 2001:db8::63
`

func TestDigest(t *testing.T) {
	good := records(t, digested)
	slices.Reverse(good) // the order does not matter, nor what is not of the zone
	good = append(good, records(t, "ns1.example. 3600 IN A 203.0.113.63\nother. 3600 IN A 203.0.113.64\n")...)
	for what, c := range map[string]struct {
		records []dns.RR
		fits    bool
	}{
		"as published":        {good, true},
		"an address changed":  {records(t, strings.Replace(digested, "113.63", "113.66", 1)), false},
		"a record added":      {append(slices.Clone(good), records(t, "evil.example. 60 IN A 203.0.113.66\n")...), false},
		"another serial":      {records(t, strings.Replace(digested, "admin.example. 2018031900", "admin.example. 2018031901", 1)), false},
		"an unknown scheme":   {records(t, strings.Replace(digested, "2018031900 1 1", "2018031900 240 1", 1)), true},
		"two of the one kind": {append(slices.Clone(good), records(t, "example. 86400 IN ZONEMD 2018031900 1 1 "+strings.Repeat("00", 48)+"\n")...), true},
	} {
		z, err := newZone(dns.MustName("example"), c.records)
		if err != nil {
			t.Fatal(err)
		}
		if err := z.verifyDigest(c.records); (err == nil) != c.fits {
			t.Errorf("%s: %v", what, err)
		}
	}
}

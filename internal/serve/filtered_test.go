package serve

import (
	"bytes"
	"fmt"
	"net/netip"
	"testing"
)

const world = `
	www.shop.example A
	www.shop.example. 60 IN A 192.0.2.7

	cdn.shop.example A
	cdn.shop.example. 60 IN CNAME c2.evil.example.
	c2.evil.example. 60 IN A 192.0.2.66

	cdn.shop.example HTTPS
	cdn.shop.example. 60 IN HTTPS 1 c2.evil.example. ipv4hint=192.0.2.66

	far.shop.example A
	far.shop.example. 60 IN A 192.0.2.8
	far.shop.example. 60 IN A 203.0.113.9

	far.shop.example AAAA
	far.shop.example. 60 IN AAAA 2001:db8:bad::9

	hint.shop.example HTTPS
	hint.shop.example. 60 IN HTTPS 1 . ipv4hint=203.0.113.9

	under.shop.example A
	shop.example. 60 IN DNAME deep.evil.example.
	under.shop.example. 60 IN CNAME under.deep.evil.example.
	under.deep.evil.example. 60 IN A 192.0.2.66

	cdn.bank.example A ad
	cdn.bank.example. 60 IN CNAME c2.evil.example.
	cdn.bank.example. 60 IN RRSIG CNAME 13 3 60 20300101000000 20200101000000 1 bank.example. AAAA
	c2.evil.example. 60 IN A 192.0.2.66

	bogus.example A bogus
	bogus.example. 60 IN CNAME c2.evil.example.
	c2.evil.example. 60 IN A 192.0.2.66

	listed-and-bogus.example A bogus
	listed-and-bogus.example. 60 IN A 192.0.2.66

	www.bank.example A ad
	www.bank.example. 60 IN A 192.0.2.9
	www.bank.example. 60 IN RRSIG A 13 3 60 20300101000000 20200101000000 1 bank.example. AAAA

	nothing.shop.example A NXDOMAIN
	shop.example. 60 IN SOA ns.shop.example. hostmaster.shop.example. 7 2 3 4 60

	nothing.bank.example A NXDOMAIN ad
	bank.example. 60 IN SOA ns.bank.example. hostmaster.bank.example. 7 2 3 4 60
	bank.example. 60 IN RRSIG SOA 13 2 60 20300101000000 20200101000000 1 bank.example. AAAA
	a.bank.example. 60 IN NSEC z.bank.example. A RRSIG NSEC
	a.bank.example. 60 IN RRSIG NSEC 13 3 60 20300101000000 20200101000000 1 bank.example. AAAA
`

var listings = []string{"*.evil.example", "exact.shop.example", "203.0.113.0/24", "2001:db8:bad::/48", "listed-and-bogus.example"}

// Each line of what a filtered answer is.
func TestFilteredAnswer(t *testing.T) {
	for _, c := range []struct{ why, question, want string }{
		{"A leads to the sinkhole, with a short TTL", "c2.evil.example A edns", `
			NOERROR
			c2.evil.example. 10 IN A 198.51.100.1
			EDNS 1232, Forged Answer: log entry 0`},
		{"and AAAA", "c2.evil.example AAAA edns", `
			NOERROR
			c2.evil.example. 10 IN AAAA 2001:db8::1
			EDNS 1232, Forged Answer: log entry 0`},
		{"HTTPS has no data", "c2.evil.example HTTPS edns", `
			NOERROR
			c2.evil.example. 10 IN SOA c2.evil.example. nobody.invalid. 1 3600 1200 604800 10
			EDNS 1232, Blocked: log entry 0`},
		{"SVCB has none", "_dns.evil.example SVCB edns", `
			NOERROR
			_dns.evil.example. 10 IN SOA _dns.evil.example. nobody.invalid. 1 3600 1200 604800 10
			EDNS 1232, Blocked: log entry 0`},
		{"nor has any other type", "evil.example MX edns", `
			NOERROR
			evil.example. 10 IN SOA evil.example. nobody.invalid. 1 3600 1200 604800 10
			EDNS 1232, Blocked: log entry 0`},
		{"known or unknown", "evil.example TYPE65280 edns", `
			NOERROR
			evil.example. 10 IN SOA evil.example. nobody.invalid. 1 3600 1200 604800 10
			EDNS 1232, Blocked: log entry 0`},
		{"DS is no way around", "evil.example DS edns", `
			NOERROR
			evil.example. 10 IN SOA evil.example. nobody.invalid. 1 3600 1200 604800 10
			EDNS 1232, Blocked: log entry 0`},
		{"ANY is as RFC 8482 says", "evil.example ANY edns", `
			NOERROR
			evil.example. 10 IN HINFO "RFC8482" ""
			EDNS 1232, Blocked: log entry 0`},
		{"without EDNS there is no error option", "c2.evil.example A", `
			NOERROR
			c2.evil.example. 10 IN A 198.51.100.1`},
		{"over TCP it is the same", "c2.evil.example A edns tcp", `
			NOERROR
			c2.evil.example. 10 IN A 198.51.100.1
			EDNS 1232, Forged Answer: log entry 0`},
		{"with DO too, and AD is not set", "c2.evil.example A do ad", `
			NOERROR
			c2.evil.example. 10 IN A 198.51.100.1
			EDNS 1232 do, Forged Answer: log entry 0`},
		{"and with CD", "c2.evil.example A cd edns", `
			NOERROR cd
			c2.evil.example. 10 IN A 198.51.100.1
			EDNS 1232, Forged Answer: log entry 0`},
		{"an exact listing", "exact.shop.example A edns", `
			NOERROR
			exact.shop.example. 10 IN A 198.51.100.1
			EDNS 1232, Forged Answer: log entry 1`},
		{"the question is as it was asked", "C2.eViL.example A edns", `
			NOERROR
			C2.eViL.example. 10 IN A 198.51.100.1
			EDNS 1232, Forged Answer: log entry 0`},
		{"listed by an alias: for the name that was asked", "cdn.shop.example A edns", `
			NOERROR
			cdn.shop.example. 10 IN A 198.51.100.1
			EDNS 1232, Forged Answer: log entry 0`},
		{"by a service's target", "cdn.shop.example HTTPS edns", `
			NOERROR
			cdn.shop.example. 10 IN SOA cdn.shop.example. nobody.invalid. 1 3600 1200 604800 10
			EDNS 1232, Blocked: log entry 0`},
		{"by a DNAME", "under.shop.example A edns", `
			NOERROR
			under.shop.example. 10 IN A 198.51.100.1
			EDNS 1232, Forged Answer: log entry 0`},
		{"by an address, whatever stands beside it", "far.shop.example A edns", `
			NOERROR
			far.shop.example. 10 IN A 198.51.100.1
			EDNS 1232, Forged Answer: log entry 2`},
		{"of either family", "far.shop.example AAAA edns", `
			NOERROR
			far.shop.example. 10 IN AAAA 2001:db8::1
			EDNS 1232, Forged Answer: log entry 3`},
		{"by an address hint", "hint.shop.example HTTPS edns", `
			NOERROR
			hint.shop.example. 10 IN SOA hint.shop.example. nobody.invalid. 1 3600 1200 604800 10
			EDNS 1232, Blocked: log entry 2`},
		{"signed data that leads there: no signature is left", "cdn.bank.example A do ad", `
			NOERROR
			cdn.bank.example. 10 IN A 198.51.100.1
			EDNS 1232 do, Forged Answer: log entry 0`},
		{"bogus is SERVFAIL before anything is judged", "bogus.example A edns", `
			SERVFAIL
			EDNS 1232, DNSKEY Missing: no matching DNSKEY record`},
		{"but who takes what is bogus gets it judged", "bogus.example A cd edns", `
			NOERROR cd
			bogus.example. 10 IN A 198.51.100.1
			EDNS 1232, Forged Answer: log entry 0`},
		{"a listed name needs no validation", "listed-and-bogus.example A edns", `
			NOERROR
			listed-and-bogus.example. 10 IN A 198.51.100.1
			EDNS 1232, Forged Answer: log entry 4`},
	} {
		t.Run(c.why, func(t *testing.T) {
			v := newViews(t, listings...)
			v.zone(world)
			expect(t, v.filtered, c.question, c.want)
			expect(t, v.filtered, c.question, c.want) // from memory
			ask(t, v.twin, c.question)                // what the twin learns changes nothing
			expect(t, v.filtered, c.question, c.want)
		})
	}
}

func TestListedNameAsksNobody(t *testing.T) {
	v := newViews(t, listings...)
	v.zone(world)
	for _, typ := range []string{"A", "AAAA", "HTTPS", "TXT", "NS", "SOA", "DS", "DNSKEY", "ANY", "RRSIG"} {
		for _, name := range []string{"c2.evil.example", "a.b.c.evil.example", "exact.shop.example"} {
			ask(t, v.filtered, name+" "+typ+" do")
		}
	}
	if n := v.asked.Load(); n != 0 {
		t.Errorf("the Internet was asked %d times", n)
	}
	ask(t, v.filtered, "not.exact.shop.example A")
	if v.asked.Load() == 0 {
		t.Error("a name that is not listed was not asked for")
	}
}

func TestSinkholeOfOneFamily(t *testing.T) {
	v := newViews(t, listings...)
	cfg := v.filtered.cfg
	cfg.Sinkhole6 = netip.Addr{}
	s := New(cfg)
	expect(t, s, "evil.example A edns", `
		NOERROR
		evil.example. 10 IN A 198.51.100.1
		EDNS 1232, Forged Answer: log entry 0`)
	expect(t, s, "evil.example AAAA edns", `
		NOERROR
		evil.example. 10 IN SOA evil.example. nobody.invalid. 1 3600 1200 604800 10
		EDNS 1232, Blocked: log entry 0`)
}

// A change of the list is in force with the next packet, for what is in memory too.
func TestListChanges(t *testing.T) {
	v := newViews(t)
	v.zone(world)
	for _, question := range []string{"www.shop.example A", "cdn.shop.example A", "far.shop.example A"} {
		open := show(t, ask(t, v.filtered, question))
		if twin := show(t, ask(t, v.twin, question)); twin != open {
			t.Errorf("%s, nothing listed\nfiltered\n%s\ntwin\n%s", question, open, twin)
		}
		for range 3 {
			v.live.Swap(listOf(t, "*.evil.example", "203.0.113.0/24", "www.shop.example"))
			if got := show(t, ask(t, v.filtered, question)); got == open || !bytes.Contains([]byte(got), []byte("198.51.100.1")) {
				t.Errorf("%s, listed:\n%s", question, got)
			}
			v.live.Swap(listOf(t, "other.example"))
			if got := show(t, ask(t, v.filtered, question)); got != open {
				t.Errorf("%s, delisted:\n%s", question, got)
			}
		}
	}
}

func TestUnlistedIsTheSameInBothViews(t *testing.T) {
	v := newViews(t, listings...)
	v.zone(world)
	for _, c := range []struct{ why, question, want string }{
		{"an address", "www.shop.example A", `
			NOERROR
			www.shop.example. 60 IN A 192.0.2.7`},
		{"signed, not asked for", "www.bank.example A", `
			NOERROR
			www.bank.example. 60 IN A 192.0.2.9`},
		{"signed, AD asked for", "www.bank.example A ad", `
			NOERROR ad
			www.bank.example. 60 IN A 192.0.2.9`},
		{"signed, DO", "www.bank.example A do", `
			NOERROR ad
			www.bank.example. 60 IN A 192.0.2.9
			www.bank.example. 60 IN RRSIG A 13 3 60 20300101000000 20200101000000 1 bank.example. AAAA
			EDNS 1232 do`},
		{"no such name", "nothing.shop.example A edns", `
			NXDOMAIN
			shop.example. 60 IN SOA ns.shop.example. hostmaster.shop.example. 7 2 3 4 60
			EDNS 1232`},
		{"no such name, signed, DO", "nothing.bank.example A do", `
			NXDOMAIN ad
			bank.example. 60 IN SOA ns.bank.example. hostmaster.bank.example. 7 2 3 4 60
			bank.example. 60 IN RRSIG SOA 13 2 60 20300101000000 20200101000000 1 bank.example. AAAA
			a.bank.example. 60 IN NSEC z.bank.example. A RRSIG NSEC
			a.bank.example. 60 IN RRSIG NSEC 13 3 60 20300101000000 20200101000000 1 bank.example. AAAA
			EDNS 1232 do`},
		{"no such name, signed, no DO", "nothing.bank.example A edns", `
			NXDOMAIN
			bank.example. 60 IN SOA ns.bank.example. hostmaster.bank.example. 7 2 3 4 60
			EDNS 1232`},
		{"a failure, and why", "unknown.example A edns", `
			SERVFAIL
			EDNS 1232, No Reachable Authority: nobody at home`},
		{"a failure, without EDNS", "unknown.example A", "SERVFAIL"},
	} {
		t.Run(c.why, func(t *testing.T) {
			for range 2 {
				expect(t, v.filtered, c.question, c.want)
				expect(t, v.twin, c.question, c.want)
			}
		})
	}
	// What leads to the listed is as the Internet says it, in the twin.
	expect(t, v.twin, "cdn.shop.example A edns", `
		NOERROR
		cdn.shop.example. 60 IN CNAME c2.evil.example.
		c2.evil.example. 60 IN A 192.0.2.66
		EDNS 1232`)
	expect(t, v.twin, "bogus.example A edns", `
		SERVFAIL
		EDNS 1232, DNSKEY Missing: no matching DNSKEY record`)
	expect(t, v.twin, "bogus.example A cd", `
		NOERROR cd
		bogus.example. 60 IN CNAME c2.evil.example.
		c2.evil.example. 60 IN A 192.0.2.66`)
}

// A reply is a function of the query's bytes: the ID is all that two servers' replies to
// the same question differ in.
func TestUniformity(t *testing.T) {
	one, two := newViews(t, listings...), newViews(t, listings...)
	one.zone(world)
	two.zone(world)
	for _, name := range []string{"www.shop.example", "cdn.shop.example", "far.shop.example", "evil.example", "bogus.example", "WWW.bank.example", "localhost", "version.bind"} {
		for _, typ := range []string{"A", "AAAA", "HTTPS", "ANY", "DS"} {
			for _, flags := range []string{"", "edns", "do", "do cd", "ad", "tcp", "norecurse", "ch"} {
				question := fmt.Sprintf("%s %s %s", name, typ, flags)
				for _, s := range [][2]*Server{{one.filtered, two.filtered}, {one.twin, two.twin}} {
					a := ask(t, s[0], question)
					b := ask(t, s[1], question)
					if !bytes.Equal(a, b) {
						t.Errorf("%s:\n%s\nand\n%s", question, show(t, a), show(t, b))
					}
					q := parse(t, question)
					q.ID ^= 0xFFFF
					c, ok := s[0].Hit(q, nil)
					if !ok {
						t.Fatalf("%s: not in memory", question)
					}
					if !bytes.Equal(a[2:], c[2:]) || bytes.Equal(a[:2], c[:2]) {
						t.Errorf("%s with another ID:\n%s\nand\n%s", question, show(t, a), show(t, c))
					}
				}
			}
		}
	}
}

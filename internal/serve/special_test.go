package serve

import (
	"fmt"
	"strings"
	"testing"

	"github.com/shoji-dns/shoji/internal/dns"
)

func TestSpecialUseNames(t *testing.T) {
	const nobody = ". nobody.invalid. 1 3600 1200 604800 10800"
	for _, c := range []struct{ question, want string }{
		// RFC 6761 §6.3
		{"localhost A", "NOERROR aa\nlocalhost. 10800 IN A 127.0.0.1"},
		{"a.LocalHost AAAA", "NOERROR aa\na.LocalHost. 10800 IN AAAA ::1"},
		{"localhost MX", "NOERROR aa\nlocalhost. 10800 IN SOA localhost" + nobody},
		{"a.localhost MX", "NOERROR aa\nlocalhost. 10800 IN SOA localhost" + nobody},
		{"localhost ANY", "NOERROR aa\nlocalhost. 10800 IN HINFO \"RFC8482\" \"\""},
		// §6.4, §6.2
		{"www.invalid A", "NXDOMAIN aa\ninvalid. 10800 IN SOA invalid" + nobody},
		{"invalid ANY", "NXDOMAIN aa\ninvalid. 10800 IN SOA invalid" + nobody},
		{"www.test A", "NXDOMAIN aa\ntest. 10800 IN SOA test" + nobody},
		// RFC 7686 §2
		{"duckduckgo.onion AAAA edns", "NXDOMAIN aa\nonion. 10800 IN SOA onion" + nobody + "\nEDNS 1232"},
		// RFC 6762 §22.1
		{"printer.local A", "NXDOMAIN aa\nlocal. 10800 IN SOA local" + nobody},
		{"254.169.in-addr.arpa SOA", "NOERROR aa\n254.169.in-addr.arpa. 10800 IN SOA 254.169.in-addr.arpa" + nobody},
		// Firefox's canary
		{"use-application-dns.net A", "NXDOMAIN aa\nuse-application-dns.net. 10800 IN SOA use-application-dns.net" + nobody},
		// RFC 8375
		{"home.arpa A", "NOERROR aa\nhome.arpa. 10800 IN SOA home.arpa" + nobody},
		{"printer.home.arpa A", "NXDOMAIN aa\nhome.arpa. 10800 IN SOA home.arpa" + nobody},
		{"home.arpa NS", "NOERROR aa\nhome.arpa. 10800 IN NS home.arpa."},
		// RFC 6303
		{"1.0.168.192.in-addr.arpa PTR", "NXDOMAIN aa\n168.192.in-addr.arpa. 10800 IN SOA 168.192.in-addr.arpa" + nobody},
		{"1.1.16.172.in-addr.arpa PTR", "NXDOMAIN aa\n16.172.in-addr.arpa. 10800 IN SOA 16.172.in-addr.arpa" + nobody},
		{"1.1.64.100.in-addr.arpa PTR", "NXDOMAIN aa\n64.100.in-addr.arpa. 10800 IN SOA 64.100.in-addr.arpa" + nobody},
		{"1.0.d.f.ip6.arpa PTR", "NXDOMAIN aa\nd.f.ip6.arpa. 10800 IN SOA d.f.ip6.arpa" + nobody},
		// RFC 9462 §6.4
		{"_dns.resolver.arpa SVCB", "NOERROR aa\nresolver.arpa. 10800 IN SOA resolver.arpa" + nobody},
		// without recursion, too
		{"localhost A norecurse", "NOERROR aa\nlocalhost. 10800 IN A 127.0.0.1"},
		{"home.arpa DS norecurse", "NOERROR aa\nhome.arpa. 10800 IN SOA home.arpa" + nobody},
	} {
		v := newViews(t, "*.localhost", "*.test", "*.home.arpa")
		expect(t, v.filtered, c.question, c.want)
		expect(t, v.twin, c.question, c.want)
		if v.asked.Load() != 0 {
			t.Errorf("%s: somebody was asked", c.question)
		}
	}
}

func TestOrdinaryNames(t *testing.T) {
	v := newViews(t)
	cfg := v.twin.cfg
	var err error
	if cfg.Local, err = NewLocal(LocalConfig{Lab: true, Ordinary: []dns.Name{
		dns.MustName("10.IN-addr.arpa"), dns.MustName("172.in-addr.arpa"), dns.MustName("8.168.192.in-addr.arpa"), dns.MustName("corp.home.arpa")}}); err != nil {
		t.Fatal(err)
	}
	lab := New(cfg)
	for _, question := range []string{
		"ipv4only.arpa AAAA", // RFC 8880 §7.1
		"xlocalhost A", "localhost.example A", "notonion A", "test.example A", "local.net A", "a.net A", "arpa NS", "in-addr.arpa NS",
		"xuse-application-dns.net A", "1.0.172.in-addr.arpa PTR", "1.32.172.in-addr.arpa PTR", "1.63.100.in-addr.arpa PTR",
		"1.0.0.0.1.ip6.arpa PTR", `a\009localhost A`, `a\005onion A`, ". NS",
		"home.arpa DS", "10.in-addr.arpa DS", // the parent's
	} {
		before := v.asked.Load()
		ask(t, v.twin, question)
		if v.asked.Load() == before {
			t.Errorf("%s: nobody was asked", question)
		}
	}
	for _, question := range []string{"www.test A", "test SOA", "1.2.3.10.in-addr.arpa PTR", "1.16.172.in-addr.arpa PTR", "1.8.168.192.in-addr.arpa PTR", "a.corp.home.arpa A"} {
		before := v.asked.Load()
		ask(t, lab, question)
		if v.asked.Load() == before {
			t.Errorf("%s in the lab: nobody was asked", question)
		}
	}
	for _, question := range []string{"1.9.168.192.in-addr.arpa PTR", "home.arpa A"} { // beside what is ordinary
		before := v.asked.Load()
		ask(t, lab, question)
		if v.asked.Load() != before {
			t.Errorf("%s: somebody was asked", question)
		}
	}
}

func TestOddQueries(t *testing.T) {
	const notSupported, wrongType = "\nEDNS 1232, Not Supported: ", "\nEDNS 1232, : "
	for _, c := range []struct{ question, want string }{
		{"version.bind TXT ch", "NOERROR\nversion.bind. 0 CH TXT \"shoji 1\""},
		{"Version.Server TXT ch", "NOERROR\nVersion.Server. 0 CH TXT \"shoji 1\""},
		{"id.server TXT ch edns", "NOERROR\nid.server. 0 CH TXT \"here\"\nEDNS 1232"},
		{"hostname.bind ANY ch", "NOERROR\nhostname.bind. 0 CH TXT \"here\""},
		{"hostname.bind A ch", "NOERROR"},
		{"authors.bind TXT ch edns", "REFUSED" + notSupported},
		{"www.shop.example A hs edns", "REFUSED" + notSupported + "class"},
		{"www.shop.example ANY edns", "NOERROR\nwww.shop.example. 3600 IN HINFO \"RFC8482\" \"\"\nEDNS 1232"},
		{"www.shop.example A norecurse edns", "REFUSED\nEDNS 1232, Not Authoritative: recursion not desired"},
		{"www.shop.example A norecurse", "REFUSED"},
		{"shop.example AXFR edns", "REFUSED\nEDNS 1232, Not Authoritative: "},
		{"shop.example IXFR edns", "REFUSED\nEDNS 1232, Not Authoritative: "},
		{"shop.example OPT", "FORMERR"},
		{"shop.example TYPE0", "FORMERR"},
		{"shop.example NXNAME", "FORMERR"},
		{"shop.example TKEY", "NOTIMP"},
		{"shop.example MAILB", "NOTIMP"},
		{"shop.example TYPE200", "NOTIMP"},
	} {
		v := newViews(t, listings...)
		v.zone(world)
		ask(t, v.twin, "www.shop.example A") // it is in memory
		before := v.asked.Load()
		for _, s := range []*Server{v.filtered, v.twin} {
			got := show(t, ask(t, s, c.question))
			if got != c.want {
				t.Errorf("%s\ngot\n%s\nwant\n%s", c.question, got, c.want)
			}
		}
		if v.asked.Load() != before {
			t.Errorf("%s: somebody was asked", c.question)
		}
	}
	v := newViews(t, listings...)
	expect(t, v.filtered, "evil.example A norecurse edns", "REFUSED\nEDNS 1232, Not Authoritative: recursion not desired")
}

// A reply that is too long is cut to its question, and TC says so.
func TestTruncation(t *testing.T) {
	v := newViews(t)
	var text strings.Builder
	fmt.Fprintln(&text, "big.example A")
	for i := range 60 { // 960 octets of records
		fmt.Fprintf(&text, "big.example. 60 IN A 192.0.2.%d\n", i)
	}
	fmt.Fprintf(&text, "\nhuge.example TXT\nhuge.example. 60 IN TXT%s\n", strings.Repeat(" "+strings.Repeat("x", 250), 200))
	v.zone(text.String())
	for _, c := range []struct {
		question string
		records  int
		first    string
	}{
		{"big.example A", 0, "NOERROR tc"},
		{"big.example A edns", 60, "NOERROR"},
		{"big.example A tcp", 60, "NOERROR"},
		{"huge.example TXT do", 0, "NOERROR tc"},
		{"huge.example TXT tcp", 1, "NOERROR"},
	} {
		reply := ask(t, v.twin, c.question)
		got := strings.Split(show(t, reply), "\n")
		records := 0
		for _, line := range got[1:] {
			if !strings.HasPrefix(line, "EDNS") {
				records++
			}
		}
		if got[0] != c.first || records != c.records {
			t.Errorf("%s: %s with %d records", c.question, got[0], records)
		}
		if has := strings.HasPrefix(got[len(got)-1], "EDNS"); has != (strings.Contains(c.question, "edns") || strings.Contains(c.question, "do")) {
			t.Errorf("%s: OPT %t", c.question, has)
		}
	}
}

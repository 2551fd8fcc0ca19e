package serve

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/shoji-dns/shoji/internal/dns"
)

// The examples of RFC 6052 §2.4.
func TestEmbed(t *testing.T) {
	for prefix, want := range map[string]string{
		"2001:db8::/32": "2001:db8:c000:221::", "2001:db8:100::/40": "2001:db8:1c0:2:21::",
		"2001:db8:122::/48": "2001:db8:122:c000:2:2100::", "2001:db8:122:300::/56": "2001:db8:122:3c0:0:221::",
		"2001:db8:122:344::/64": "2001:db8:122:344:c0:2:2100::", "2001:db8:122:344::/96": "2001:db8:122:344::192.0.2.33",
		"64:ff9b::/96": "64:ff9b::192.0.2.33",
	} {
		d := &DNS64{Prefix: netip.MustParsePrefix(prefix)}
		a := netip.MustParseAddr("192.0.2.33")
		got, ok := d.embed(a)
		if !ok || got != netip.MustParseAddr(want) || d.extract(got) != a || d.Check() != nil {
			t.Errorf("%s: %s, back %s, %v; want %s", prefix, got, d.extract(got), d.Check(), want)
		}
	}
	if got, ok := (&DNS64{Prefix: wellKnownNAT64}).embed(netip.MustParseAddr("10.1.1.1")); ok {
		t.Errorf("the well-known prefix embeds a private address: %s", got)
	}
	for _, prefix := range []string{"64:ff9b::/95", "192.0.2.0/24", "2001:db8::1/32", "2001:db8:1:2:0300::/96"} {
		if (&DNS64{Prefix: netip.MustParsePrefix(prefix)}).Check() == nil {
			t.Errorf("%s is taken", prefix)
		}
	}
}

const legacy = `
	four.example A
	four.example. 300 IN A 192.0.2.33
	four.example. 300 IN A 10.1.1.1

	four.example AAAA
	example. 100 IN SOA ns.example. me.example. 1 2 3 4 80

	six.example AAAA
	six.example. 300 IN AAAA 2001:db8:1::1

	six.example A
	six.example. 300 IN A 192.0.2.34

	mixed.example AAAA
	mixed.example. 300 IN AAAA 2001:db8:1::1
	mixed.example. 300 IN AAAA ::ffff:192.0.2.1

	mapped.example AAAA
	mapped.example. 300 IN AAAA ::ffff:192.0.2.1

	mapped.example A
	mapped.example. 3000 IN A 192.0.2.33

	alias.example AAAA
	alias.example. 300 IN CNAME four.example.
	example. 100 IN SOA ns.example. me.example. 1 2 3 4 80

	alias.example A
	alias.example. 50 IN CNAME four.example.
	four.example. 40 IN A 192.0.2.33

	none.example AAAA
	example. 100 IN SOA ns.example. me.example. 1 2 3 4 80

	none.example A
	example. 100 IN SOA ns.example. me.example. 1 2 3 4 80

	gone.example AAAA NXDOMAIN
	example. 100 IN SOA ns.example. me.example. 1 2 3 4 80

	bad.example AAAA
	example. 100 IN SOA ns.example. me.example. 1 2 3 4 80

	bad.example A
	bad.example. 300 IN A 203.0.113.9

	forged.example AAAA
	example. 100 IN SOA ns.example. me.example. 1 2 3 4 80

	forged.example A bogus
	forged.example. 300 IN A 192.0.2.33

	broken.example A
	broken.example. 300 IN A 192.0.2.33

	33.3.0.192.in-addr.arpa PTR
	33.3.0.192.in-addr.arpa. 300 IN PTR four.example.

	secure.example AAAA ad
	secure.example. 300 IN AAAA 2001:db8:1::1
`

func TestDNS64(t *testing.T) {
	const soa = "example. 100 IN SOA ns.example. me.example. 1 2 3 4 80"
	v := newViews(t, append([]string{"listed.example"}, listings...)...)
	v.zone(legacy)
	d := &DNS64{Prefix: wellKnownNAT64}
	l, err := NewLocal(LocalConfig{DNS64: d})
	if err != nil {
		t.Fatal(err)
	}
	v.rebuild(func(cfg *Config) { cfg.DNS64, cfg.Local = d, l })
	reverse := func(last string) string { // of an address in 64:ff9b::/96
		return last + strings.Repeat(".0", 16) + ".b.9.f.f.4.6.0.0.ip6.arpa"
	}
	for _, c := range []struct{ question, want string }{
		{"four.example AAAA", "NOERROR\nfour.example. 80 IN AAAA 64:ff9b::c000:221"},
		{"four.example AAAA edns", "NOERROR\nfour.example. 80 IN AAAA 64:ff9b::c000:221\nEDNS 1232, Synthesized: DNS64"},
		{"four.example AAAA ad", "NOERROR\nfour.example. 80 IN AAAA 64:ff9b::c000:221"},
		{"four.example AAAA cd do", "NOERROR cd\n" + soa + "\nEDNS 1232 do"},
		{"four.example A", "NOERROR\nfour.example. 300 IN A 192.0.2.33\nfour.example. 300 IN A 10.1.1.1"},
		{"six.example AAAA", "NOERROR\nsix.example. 300 IN AAAA 2001:db8:1::1"},
		{"secure.example AAAA ad", "NOERROR ad\nsecure.example. 300 IN AAAA 2001:db8:1::1"},
		{"mixed.example AAAA", "NOERROR\nmixed.example. 300 IN AAAA 2001:db8:1::1"},
		{"mapped.example AAAA", "NOERROR\nmapped.example. 600 IN AAAA 64:ff9b::c000:221"},
		{"alias.example AAAA", "NOERROR\nalias.example. 50 IN CNAME four.example.\nfour.example. 40 IN AAAA 64:ff9b::c000:221"},
		{"none.example AAAA", "NOERROR\n" + soa},
		{"gone.example AAAA", "NXDOMAIN\n" + soa},
		{"forged.example AAAA", "SERVFAIL"},
		{"broken.example AAAA", "NOERROR\nbroken.example. 300 IN AAAA 64:ff9b::c000:221"},
		{"ipv4only.arpa AAAA", "NOERROR aa\nipv4only.arpa. 10800 IN AAAA 64:ff9b::c000:aa\nipv4only.arpa. 10800 IN AAAA 64:ff9b::c000:ab"},
		{"ipv4only.arpa A", "NOERROR aa\nipv4only.arpa. 10800 IN A 192.0.0.170\nipv4only.arpa. 10800 IN A 192.0.0.171"},
		{"x.ipv4only.arpa A", "NXDOMAIN aa\nipv4only.arpa. 10800 IN SOA ipv4only.arpa. nobody.invalid. 1 3600 1200 604800 10800"},
		{"170.0.0.192.in-addr.arpa PTR", "NOERROR aa\n170.0.0.192.in-addr.arpa. 10800 IN PTR ipv4only.arpa."},
		{reverse("1.2.3.0.0.0.0.c") + " PTR", "NOERROR\n" + reverse("1.2.3.0.0.0.0.c") + ". 3600 IN CNAME 33.3.0.192.in-addr.arpa.\n33.3.0.192.in-addr.arpa. 300 IN PTR four.example."},
		{reverse("a.a.0.0.0.0.0.c") + " PTR", "NOERROR\n" + reverse("a.a.0.0.0.0.0.c") + ". 3600 IN CNAME 170.0.0.192.in-addr.arpa.\n170.0.0.192.in-addr.arpa. 10800 IN PTR ipv4only.arpa."},
	} {
		for range 2 {
			expect(t, v.filtered, c.question, c.want)
			expect(t, v.twin, c.question, c.want)
		}
	}
	for range 2 { // the IPv4 address is listed
		if got := show(t, ask(t, v.filtered, "bad.example AAAA edns")); !strings.HasPrefix(got, "NOERROR\nbad.example. 10 IN AAAA 2001:db8::1\nEDNS 1232, Forged Answer: log entry") {
			t.Errorf("a listed IPv4 address: %s", got)
		}
	}
	before := v.asked.Load()
	expect(t, v.filtered, "listed.example AAAA", "NOERROR\nlisted.example. 10 IN AAAA 2001:db8::1")
	if v.asked.Load() != before {
		t.Error("a listed name was asked for")
	}
}

func TestDNS64ForAll(t *testing.T) {
	v := newViews(t)
	v.zone(legacy)
	v.rebuild(func(cfg *Config) {
		cfg.DNS64 = &DNS64{Prefix: netip.MustParsePrefix("2001:db8:64::/96"), All: true}
	})
	for range 2 {
		expect(t, v.twin, "six.example AAAA", "NOERROR\nsix.example. 300 IN AAAA 2001:db8:64::c000:222")
		expect(t, v.twin, "secure.example AAAA", "NOERROR\nsecure.example. 300 IN AAAA 2001:db8:1::1")
	}
}

// Names that look like reverse names of the prefix.
func FuzzReverse64(f *testing.F) {
	f.Add([]byte(dns.MustName("1.2.2.0.0.0.0.c" + strings.Repeat(".0", 16) + ".b.9.f.f.4.6.0.0.ip6.arpa")))
	f.Add([]byte(dns.MustName("ip6.arpa")))
	d := &DNS64{Prefix: wellKnownNAT64}
	f.Fuzz(func(t *testing.T, name []byte) {
		if _, rest, ok := dns.ReadName(name); !ok || len(rest) > 0 {
			return
		}
		if target, ok := d.reverse(name); ok && !target.IsSubdomainOf(dns.MustName("in-addr.arpa")) {
			t.Fatalf("%s", target)
		}
	})
}

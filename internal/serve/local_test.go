package serve

import (
	"strings"
	"testing"

	"github.com/shoji-dns/shoji/internal/dns"
)

// localZones reads zones: a line "NAME KIND" and then its records; an empty line ends one.
func localZones(t testing.TB, text string) []LocalZone {
	t.Helper()
	var zones []LocalZone
	for block := range strings.SplitSeq(strings.TrimSpace(text), "\n\n") {
		lines := strings.Split(strings.TrimSpace(block), "\n")
		words := strings.Fields(lines[0])
		kind, err := ParseLocalKind(words[1])
		if err != nil {
			t.Fatal(err)
		}
		z := LocalZone{Name: dns.MustName(words[0]), Kind: kind}
		for _, line := range lines[1:] {
			z.Records = append(z.Records, record(t, line))
		}
		zones = append(zones, z)
	}
	return zones
}

// newLocalViews are views that share local zones.
func newLocalViews(t testing.TB, zones string, subjects ...string) *views {
	t.Helper()
	v := newViews(t, subjects...)
	l, err := NewLocal(LocalConfig{Zones: localZones(t, zones)})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []**Server{&v.filtered, &v.twin} {
		cfg := (*s).cfg
		cfg.Local = l
		*s = New(cfg)
	}
	return v
}

const household = `
	Home.Example static
	home.example. 60 IN SOA ns.home.example. me.home.example. 5 1 2 3 30
	printer.home.example. 60 IN A 192.168.1.9
	printer.home.example. 60 IN A 192.168.1.10
	a.deep.home.example. 60 IN TXT "x"
	*.wild.home.example. 60 IN A 192.168.1.11
	own.wild.home.example. 60 IN TXT "y"
	web.home.example. 60 IN CNAME printer.home.example.
	shop.home.example. 60 IN CNAME www.shop.example.
	bad.home.example. 60 IN CNAME www.evil.example.
	far.home.example. 60 IN CNAME far.shop.example.
	gone.home.example. 60 IN CNAME nowhere.home.example.
	bogus.home.example. 60 IN CNAME bogus.example.

	half.example transparent
	www.half.example. 60 IN A 192.168.2.1

	type.example typetransparent
	www.type.example. 60 IN A 192.168.2.2

	safe.example redirect
	safe.example. 60 IN A 192.168.2.3

	engine.example redirect
	engine.example. 60 IN CNAME www.shop.example.

	closed.example refuse
	open.closed.example. 60 IN A 192.168.2.4

	gone.example nxdomain

	168.192.in-addr.arpa nodefault

	5.10.in-addr.arpa nodefault

	www.listed.example transparent
	www.listed.example. 60 IN A 192.0.2.200
`

// What an operator wrote is what both views say, whatever the list has.
func TestLocalZones(t *testing.T) {
	const soa = "home.example. 30 IN SOA ns.home.example. me.home.example. 5 1 2 3 30"
	nobody := func(zone string) string {
		return zone + " 10800 IN SOA " + zone + " nobody.invalid. 1 3600 1200 604800 10800"
	}
	const edns = "\nEDNS 1232, Synthesized: local zone"
	v := newLocalViews(t, household, "*.example", "192.168.0.0/16")
	for _, c := range []struct{ question, want string }{
		{"printer.HOME.example A", "NOERROR aa\nprinter.HOME.example. 60 IN A 192.168.1.9\nprinter.HOME.example. 60 IN A 192.168.1.10"},
		{"printer.home.example A edns", "NOERROR aa\nprinter.home.example. 60 IN A 192.168.1.9\nprinter.home.example. 60 IN A 192.168.1.10" + edns},
		{"printer.home.example A ad", "NOERROR aa\nprinter.home.example. 60 IN A 192.168.1.9\nprinter.home.example. 60 IN A 192.168.1.10"},
		{"printer.home.example AAAA", "NOERROR aa\n" + soa},
		{"printer.home.example ANY", "NOERROR aa\nprinter.home.example. 10800 IN HINFO \"RFC8482\" \"\""},
		{"home.example SOA", "NOERROR aa\nhome.example. 60 IN SOA ns.home.example. me.home.example. 5 1 2 3 30"},
		{"deep.home.example TXT", "NOERROR aa\n" + soa}, // an empty non-terminal
		{"none.home.example A edns", "NXDOMAIN aa\n" + soa + edns},
		{"x.printer.home.example A", "NXDOMAIN aa\n" + soa},
		{"a.b.wild.home.example A", "NOERROR aa\na.b.wild.home.example. 60 IN A 192.168.1.11"},
		{"b.own.wild.home.example A", "NXDOMAIN aa\n" + soa},
		{"own.wild.home.example A", "NOERROR aa\n" + soa},
		{"web.home.example CNAME", "NOERROR aa\nweb.home.example. 60 IN CNAME printer.home.example."},
		{"web.home.example A", "NOERROR aa\nweb.home.example. 60 IN CNAME printer.home.example.\nprinter.home.example. 60 IN A 192.168.1.9\nprinter.home.example. 60 IN A 192.168.1.10"},
		{"web.home.example MX", "NOERROR aa\nweb.home.example. 60 IN CNAME printer.home.example.\n" + soa},
		{"gone.home.example A", "NXDOMAIN aa\ngone.home.example. 60 IN CNAME nowhere.home.example.\n" + soa},
		{"web.home.example A norecurse", "NOERROR aa\nweb.home.example. 60 IN CNAME printer.home.example."},
		{"www.half.example AAAA", "NOERROR aa\n" + nobody("half.example.")},
		{"any.safe.example A", "NOERROR aa\nany.safe.example. 60 IN A 192.168.2.3"},
		{"any.safe.example AAAA", "NOERROR aa\n" + nobody("safe.example.")},
		{"open.closed.example A", "NOERROR aa\nopen.closed.example. 60 IN A 192.168.2.4"},
		{"www.closed.example A edns", "REFUSED" + edns},
		{"www.gone.example A", "NXDOMAIN aa\n" + nobody("gone.example.")},
		{"www.listed.example A", "NOERROR aa\nwww.listed.example. 60 IN A 192.0.2.200"},
	} {
		expect(t, v.filtered, c.question, c.want)
		expect(t, v.twin, c.question, c.want)
		if v.asked.Load() != 0 {
			t.Errorf("%s: somebody was asked", c.question)
		}
	}
}

// A local alias leads on to the Internet, and what is found there is judged.
func TestLocalAliasesOut(t *testing.T) {
	v := newLocalViews(t, household, listings...)
	v.zone(world)
	const shop = "NOERROR aa\nshop.home.example. 60 IN CNAME www.shop.example.\nwww.shop.example. 60 IN A 192.0.2.7"
	expect(t, v.twin, "shop.home.example A", shop)
	expect(t, v.filtered, "shop.home.example A", shop)
	expect(t, v.filtered, "any.engine.example A edns", "NOERROR aa\nany.engine.example. 60 IN CNAME www.shop.example.\nwww.shop.example. 60 IN A 192.0.2.7\nEDNS 1232, Synthesized: local zone")
	v.now = v.now.Add(20e9)
	expect(t, v.twin, "shop.home.example A", strings.Replace(shop, "www.shop.example. 60 IN A", "www.shop.example. 40 IN A", 1))
	before := v.asked.Load()
	for question, owner := range map[string]string{"bad.home.example A edns": "bad.home.example.", "far.home.example A edns": "far.home.example."} {
		if got := show(t, ask(t, v.filtered, question)); !strings.HasPrefix(got, "NOERROR\n"+owner+" 10 IN A 198.51.100.1\nEDNS 1232, Forged Answer: log entry ") {
			t.Errorf("%s: %s", question, got)
		}
	}
	if got := v.asked.Load() - before; got != 1 {
		t.Errorf("%d were asked: a listed target needs nobody, an address one", got)
	}
	if got := show(t, ask(t, v.filtered, "bogus.home.example A")); got != "SERVFAIL" {
		t.Errorf("a bogus target: %s", got)
	}
}

func TestLocalZonesLetOthersThrough(t *testing.T) {
	v := newLocalViews(t, household)
	for _, question := range []string{
		"other.half.example A", "half.example A", "www.type.example AAAA", "xhome.example A", "example A", ". NS", "a A",
		"1.1.168.192.in-addr.arpa PTR", "1.5.10.in-addr.arpa PTR", "home.example DS",
	} {
		before := v.asked.Load()
		ask(t, v.twin, question)
		if v.asked.Load() == before {
			t.Errorf("%s: nobody was asked", question)
		}
	}
	expect(t, v.twin, "1.6.10.in-addr.arpa PTR", "NXDOMAIN aa\n10.in-addr.arpa. 10800 IN SOA 10.in-addr.arpa. nobody.invalid. 1 3600 1200 604800 10800")
}

// The root, and names shorter than a tail, are zones like others.
func TestLocalZonesOfFewOctets(t *testing.T) {
	v := newLocalViews(t, ". refuse\n\nab static\nx.ab. 60 IN A 192.0.2.1\n\nlan transparent\nnas.lan. 60 IN A 192.0.2.2")
	expect(t, v.twin, "www.example.com A", "REFUSED")
	expect(t, v.twin, ". NS", "REFUSED")
	expect(t, v.twin, "x.ab A", "NOERROR aa\nx.ab. 60 IN A 192.0.2.1")
	expect(t, v.twin, "nas.lan A", "NOERROR aa\nnas.lan. 60 IN A 192.0.2.2")
	expect(t, v.twin, "localhost A", "NOERROR aa\nlocalhost. 10800 IN A 127.0.0.1")
}

func TestLocalChainsEnd(t *testing.T) {
	v := newLocalViews(t, "loop.example static\na.loop.example. 60 IN CNAME b.loop.example.\nb.loop.example. 60 IN CNAME a.loop.example.")
	expect(t, v.twin, "a.loop.example A edns", "SERVFAIL\nEDNS 1232, Other: local CNAMEs lead on and on")
}

func TestLocalTruncation(t *testing.T) {
	text := "big.example static\n"
	for i := range 40 {
		text += "big.example. 60 IN TXT \"" + strings.Repeat("x", 100) + strings.Repeat("y", i) + "\"\n"
	}
	v := newLocalViews(t, text)
	if got := show(t, ask(t, v.twin, "big.example TXT edns")); !strings.HasPrefix(got, "NOERROR tc") {
		t.Errorf("got %s", got)
	}
	if got := show(t, ask(t, v.twin, "big.example TXT tcp")); !strings.HasPrefix(got, "NOERROR aa\nbig.example. 60 IN TXT") {
		t.Errorf("got %s", got)
	}
}

func TestLocalZonesInError(t *testing.T) {
	for text, want := range map[string]string{
		"a.example static\nb.example. 60 IN A 192.0.2.1":                                             "not in the zone",
		"a.example static\n\nA.example static":                                                       "twice",
		"a.example nxdomain\na.example. 60 IN A 192.0.2.1":                                           "has no records",
		"a.example redirect\nb.a.example. 60 IN A 192.0.2.1":                                         "own name alone",
		"a.example static\na.example. 60 CH TXT x":                                                   "class",
		"a.example static\na.example. 60 IN DNAME b.example.":                                        "redirect with a CNAME",
		"a.example static\na.example. 60 IN NSEC b.example. A":                                       "not signed",
		"a.example static\nw.a.example. 60 IN CNAME b.example.\nw.a.example. 60 IN A 192.0.2.1":      "beside other data",
		"a.example static\nw.a.example. 60 IN A 192.0.2.1\nw.a.example. 60 IN CNAME b.example.":      "beside other data",
		"a.example static\nw.a.example. 60 IN CNAME b.example.\nw.a.example. 60 IN CNAME c.example.": "one CNAME",
		"a.example static\nx.b.a.example. 60 IN A 192.0.2.1\n\nb.a.example static":                   "write its records there",
		"a.example static\na.example. 60 IN SOA . . 1 1 1 1 1\na.example. 60 IN SOA . . 2 1 1 1 1":   "one SOA",
	} {
		if _, err := NewLocal(LocalConfig{Zones: localZones(t, text)}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want one with %q", text, err, want)
		}
	}
}

// A local answer costs no allocation, and neither does a name that is none's.
func TestLocalHitAllocatesNothing(t *testing.T) {
	v := newLocalViews(t, household)
	v.zone(world)
	ask(t, v.twin, "www.shop.example A")
	out := make([]byte, 0, 1232)
	for _, question := range []string{"printer.home.example A edns", "x.y.wild.home.example A", "none.home.example A", "www.shop.example A", "1.1.10.in-addr.arpa PTR"} {
		q := parse(t, question)
		if n := testing.AllocsPerRun(100, func() {
			if _, ok := v.twin.Hit(q, out); !ok {
				t.Fatalf("%s: not in memory", question)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", question, n)
		}
	}
}

package serve

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/shoji-dns/shoji/internal/dns"
)

// rebuild gives both views another configuration.
func (v *views) rebuild(change func(cfg *Config)) {
	for _, s := range []**Server{&v.filtered, &v.twin} {
		cfg := (*s).cfg
		change(&cfg)
		*s = New(cfg)
	}
}

const inside = `
	router.rebind.example A
	router.rebind.example. 60 IN A 192.168.1.1

	both.rebind.example A
	both.rebind.example. 60 IN A 192.0.2.1
	both.rebind.example. 60 IN A 10.0.0.1

	six.rebind.example AAAA
	six.rebind.example. 60 IN AAAA fd00::1

	mapped.rebind.example AAAA
	mapped.rebind.example. 60 IN AAAA ::ffff:127.0.0.1

	nat.rebind.example AAAA
	nat.rebind.example. 60 IN AAAA 64:ff9b::192.168.1.1

	hint.rebind.example HTTPS
	hint.rebind.example. 60 IN HTTPS 1 . ipv4hint=172.16.0.1

	alias.rebind.example A
	alias.rebind.example. 60 IN CNAME router.home.example.
	router.home.example. 60 IN A 192.168.1.1

	listed.rebind.example A
	listed.rebind.example. 60 IN A 192.168.1.1
	listed.rebind.example. 60 IN A 203.0.113.9

	fine.rebind.example A
	fine.rebind.example. 60 IN A 192.0.2.1

	a.plex.example A
	a.plex.example. 60 IN A 192.168.1.5

	bogus.rebind.example A bogus
	bogus.rebind.example. 60 IN A 192.168.1.1
`

// A public name is not led to a private address, in both views, with and without a list,
// from the network and from memory; it is where that is allowed.
func TestRebinding(t *testing.T) {
	v := newViews(t, append([]string{"192.168.0.0/24"}, listings...)...)
	v.zone(inside)
	v.rebuild(func(cfg *Config) { cfg.Rebinding = &Rebinding{Allow: []dns.Name{dns.MustName("Plex.example")}} })
	for _, question := range []string{
		"router.rebind.example A", "both.rebind.example A", "six.rebind.example AAAA", "mapped.rebind.example AAAA",
		"nat.rebind.example AAAA", "hint.rebind.example HTTPS", "alias.rebind.example A",
	} {
		name, _, _ := strings.Cut(question, " ")
		want := "NOERROR\n" + name + ". 60 IN SOA " + name + ". nobody.invalid. 1 3600 1200 604800 60\nEDNS 1232, Blocked: a public name with a private address"
		for range 2 {
			expect(t, v.filtered, question+" edns", want)
			expect(t, v.twin, question+" edns", want)
		}
	}
	for _, s := range []*Server{v.filtered, v.twin} {
		expect(t, s, "fine.rebind.example A", "NOERROR\nfine.rebind.example. 60 IN A 192.0.2.1")
		expect(t, s, "a.plex.example A", "NOERROR\na.plex.example. 60 IN A 192.168.1.5")
		expect(t, s, "bogus.rebind.example A", "SERVFAIL")
	}
	// The list is asked first.
	for range 2 {
		if got := show(t, ask(t, v.filtered, "listed.rebind.example A edns")); !strings.Contains(got, "Forged Answer: log entry") {
			t.Errorf("got %s", got)
		}
	}
}

// Without it such names are answered.
func TestRebindingIsOffByDefault(t *testing.T) {
	v := newViews(t)
	v.zone(inside)
	expect(t, v.twin, "router.rebind.example A", "NOERROR\nrouter.rebind.example. 60 IN A 192.168.1.1")
}

// What an operator wrote is exempt, and so is where it leads; a sinkhole is, too.
func TestRebindingExemptsWhatIsTheOperators(t *testing.T) {
	v := newLocalViews(t, "home.example static\nnas.home.example. 60 IN A 192.168.1.2\nr.home.example. 60 IN CNAME router.rebind.example.", "evil.example")
	v.zone(inside)
	v.rebuild(func(cfg *Config) {
		cfg.Rebinding = &Rebinding{}
		cfg.Sinkhole4 = netip.MustParseAddr("127.83.72.1")
	})
	expect(t, v.filtered, "nas.home.example A", "NOERROR aa\nnas.home.example. 60 IN A 192.168.1.2")
	expect(t, v.filtered, "r.home.example A", "NOERROR aa\nr.home.example. 60 IN CNAME router.rebind.example.\nrouter.rebind.example. 60 IN A 192.168.1.1")
	expect(t, v.filtered, "evil.example A", "NOERROR\nevil.example. 10 IN A 127.83.72.1")
}

// An answer is judged once: afterwards a hit is remembered to pass, in both views.
func TestRebindingIsJudgedOnce(t *testing.T) {
	v := newViews(t)
	v.zone(inside)
	v.rebuild(func(cfg *Config) { cfg.Rebinding = &Rebinding{} })
	ask(t, v.twin, "fine.rebind.example A") // learned
	ask(t, v.twin, "fine.rebind.example A") // judged
	q, out := parse(t, "fine.rebind.example A"), make([]byte, 0, 1232)
	v.twin.rebinding.prefixes = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")} // a second look would find it
	if n := testing.AllocsPerRun(100, func() { v.twin.Hit(q, out) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if reply, ok := v.twin.Hit(q, out); !ok || !strings.Contains(show(t, reply), "192.0.2.1") {
		t.Errorf("it was judged again")
	}
}

package resolve

import (
	"net/netip"
	"testing"

	mdns "github.com/miekg/dns"

	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/simnet"
)

const (
	corpAddr = "192.0.2.50"
	deepAddr = "192.0.2.51"
	hostAddr = "192.0.2.52"
)

const corpZone = `
corp.test. 3600 SOA ns.corp.test. host.corp.test. 1 1800 900 604800 600
corp.test. 3600 NS ns.corp.test.
ns.corp.test. 3600 A 192.0.2.52
printer.corp.test. 300 A 198.51.100.50
out.corp.test. 300 CNAME www.shop.test.
down.corp.test. 300 CNAME www.deep.corp.test.
www.deep.corp.test. 300 A 203.0.113.66
`

const deepZone = `
deep.corp.test. 3600 SOA ns.deep.corp.test. host.corp.test. 1 1800 900 604800 600
deep.corp.test. 3600 NS ns.deep.corp.test.
www.deep.corp.test. 300 A 198.51.100.51
`

func at(addr string) []Upstream { return []Upstream{{Addr: netip.MustParseAddr(addr)}} }

func stub(name, addr string) Zone { return Zone{Name: dns.MustName(name), Servers: at(addr)} }

func forwardZone(name, addr string) Zone {
	return Zone{Name: dns.MustName(name), Servers: at(addr), Forward: true}
}

func withZones(zones ...Zone) func(*Config) { return func(c *Config) { c.Zones = zones } }

// recursor answers as a resolver does that knows some records and chains them.
func recursor(t *testing.T, records ...string) handler {
	return func(q *mdns.Msg, tcp bool) []*mdns.Msg {
		if !q.RecursionDesired || !q.CheckingDisabled {
			t.Error("a forwarder is asked without RD or CD")
		}
		m := new(mdns.Msg).SetReply(q)
		m.RecursionAvailable = true
		for _, text := range records {
			m.Answer = append(m.Answer, rr(text))
		}
		return []*mdns.Msg{m}
	}
}

// A stub zone's names are asked of its servers, without RD, and nothing of them of
// the public tree; one zone in another has its own servers.
func TestStubZones(t *testing.T) {
	story(t, func(t *testing.T) {
		n := standard()
		corp := authority(corpZone)
		n.handle(corpAddr, func(q *mdns.Msg, tcp bool) []*mdns.Msg {
			if q.RecursionDesired {
				t.Error("a stub zone's server is asked with RD")
			}
			return corp(q, tcp)
		})
		n.serve(deepAddr, deepZone)
		l := newLab(t, n, withZones(stub("Corp.test", corpAddr), stub("deep.corp.test", deepAddr)))
		l.want(l.ask("printer.corp.test", dns.TypeA), dns.RCodeSuccess, "printer.corp.test. A 198.51.100.50")
		l.want(l.ask("nothing.corp.test", dns.TypeA), dns.RCodeNameError)
		if c := n.count(func(a asked) bool { return a.server != corpAddr }); c != 0 {
			t.Errorf("%d queries left the stub zone: %v", c, n.queries())
		}
		l.want(l.ask("out.corp.test", dns.TypeA), dns.RCodeSuccess, "out.corp.test. CNAME www.shop.test.", "www.shop.test. A 198.51.100.1")
		// What the outer zone's server says of names in the inner one is not believed.
		l.want(l.ask("down.corp.test", dns.TypeA), dns.RCodeSuccess, "down.corp.test. CNAME www.deep.corp.test.", "www.deep.corp.test. A 198.51.100.51")
		if l.mem.holds("203.0.113.66") {
			t.Error("a record of the wrong path is in memory")
		}
	})
}

// MaginotDNS: a forwarder says more than it was asked, about names that are iterated
// for, and the servers of a public zone about names that are forwarded. Neither is
// believed: a name's answer comes by its own path alone.
func TestForwardedAndIteratedAnswersDoNotMix(t *testing.T) {
	story(t, func(t *testing.T) {
		n := standard()
		n.handle(corpAddr, recursor(t, "out.corp.test. 300 CNAME www.shop.test.", "www.shop.test. 300 A 203.0.113.66", "test. 300 NS ns.evil.", "shop.test. 300 NS ns.evil."))
		n.serve(testAddr, testZone+"in.test. 300 CNAME printer.corp.test.\nprinter.corp.test. 300 A 203.0.113.66\ncorp.test. 300 NS ns.corp.test.\nns.corp.test. 300 A 203.0.113.66\n")
		l := newLab(t, n, withZones(forwardZone("corp.test", corpAddr)))
		l.want(l.ask("out.corp.test", dns.TypeA), dns.RCodeSuccess, "out.corp.test. CNAME www.shop.test.", "www.shop.test. A 198.51.100.1")
		n.handle(corpAddr, recursor(t, "printer.corp.test. 300 A 198.51.100.50"))
		l.want(l.ask("in.test", dns.TypeA), dns.RCodeSuccess, "in.test. CNAME printer.corp.test.", "printer.corp.test. A 198.51.100.50")
		l.want(l.ask("www.shop.test", dns.TypeA), dns.RCodeSuccess, "www.shop.test. A 198.51.100.1")
		if l.mem.holds("203.0.113.66") || l.mem.holds("ns.evil") {
			t.Error("a record of the wrong path is in memory")
		}
	})
}

func TestFirstFallsBackToOrdinaryResolution(t *testing.T) {
	story(t, func(t *testing.T) {
		for _, forward := range []bool{false, true} {
			n := standard()
			n.serve(testAddr, testZone+"corp.test. 3600 NS ns.corp.test.\nns.corp.test. 3600 A "+hostAddr+"\n")
			n.serve(hostAddr, corpZone)
			z := forwardZone("corp.test", corpAddr)
			z.Forward = forward
			n.handle(corpAddr, func(q *mdns.Msg, tcp bool) []*mdns.Msg {
				return []*mdns.Msg{new(mdns.Msg).SetRcode(q, mdns.RcodeServerFailure)}
			})
			l := newLab(t, n, withZones(z))
			l.want(l.ask("printer.corp.test", dns.TypeA), dns.RCodeServerFailure)
			z.First = true
			l = newLab(t, n, withZones(z))
			l.want(l.ask("printer.corp.test", dns.TypeA), dns.RCodeSuccess, "printer.corp.test. A 198.51.100.50")
			// What was learned on the second path does not take the place of the first.
			n.handle(corpAddr, recursorOrZone(t, forward))
			l.want(l.ask("ns.corp.test", dns.TypeA), dns.RCodeSuccess, "ns.corp.test. A 198.51.100.77")
		}
	})
}

func recursorOrZone(t *testing.T, forward bool) handler {
	if forward {
		return recursor(t, "ns.corp.test. 300 A 198.51.100.77")
	}
	return authority("corp.test. 3600 SOA ns.corp.test. h. 1 1 1 1 60\nns.corp.test. 300 A 198.51.100.77\n")
}

// The root as a forward zone, with the root's own servers behind it.
func TestForwardingTheRootFirst(t *testing.T) {
	story(t, func(t *testing.T) {
		n := standard()
		z := forwardZone(".", corpAddr)
		z.First = true
		l := newLab(t, n, withZones(z)) // nothing is at corpAddr
		l.want(l.ask("www.shop.test", dns.TypeA), dns.RCodeSuccess, "www.shop.test. A 198.51.100.1")
	})
}

func TestStubZoneOverTCPAndByName(t *testing.T) {
	story(t, func(t *testing.T) {
		n := standard()
		n.serve(testAddr, testZone+"ns.elsewhere.test. 3600 A "+corpAddr+"\n")
		n.serve(corpAddr, corpZone)
		z := Zone{Name: dns.MustName("corp.test"), Hosts: []dns.Name{dns.MustName("ns.elsewhere.test")}, TCP: true}
		l := newLab(t, n, withZones(z))
		l.want(l.ask("printer.corp.test", dns.TypeA), dns.RCodeSuccess, "printer.corp.test. A 198.51.100.50")
		if c := n.count(func(a asked) bool { return a.server == corpAddr && !a.tcp }); c != 0 {
			t.Errorf("%d queries over UDP", c)
		}
	})
}

// A stub zone's NS set is asked for, and its servers from there on.
func TestPrimingAStubZone(t *testing.T) {
	story(t, func(t *testing.T) {
		n := standard()
		n.serve(corpAddr, corpZone)
		n.serve(hostAddr, corpZone)
		z := stub("corp.test", corpAddr)
		z.Prime = true
		l := newLab(t, n, withZones(z))
		for _, name := range []string{"printer.corp.test", "out.corp.test"} {
			if a := l.ask(name, dns.TypeA); a.RCode() != dns.RCodeSuccess {
				t.Fatal(a.RCode())
			}
		}
		if c := n.count(func(a asked) bool { return a.server == corpAddr && a.name != "corp.test." && a.name != "ns.corp.test." }); c != 0 {
			t.Errorf("%d questions went to the server that only leads to the others: %v", c, n.queries())
		}
	})
}

// A zone's configured servers may be on loopback, and what they delegate too; the
// rest of the world may not.
func TestLoopbackServers(t *testing.T) {
	story(t, func(t *testing.T) {
		n := standard()
		n.serve("127.0.0.1", corpZone+"sub.corp.test. 300 NS ns.sub.corp.test.\nns.sub.corp.test. 300 A 127.0.0.2\n")
		n.serve("127.0.0.2", "sub.corp.test. 300 SOA ns h. 1 1 1 1 60\nwww.sub.corp.test. 300 A 198.51.100.9\n")
		n.serve(testAddr, testZone+"evil.test. 300 NS ns.evil.test.\nns.evil.test. 300 A 127.0.0.3\n")
		n.serve("127.0.0.3", "evil.test. 300 SOA ns h. 1 1 1 1 60\nwww.evil.test. 300 A 198.51.100.66\n")
		l := newLab(t, n, withZones(stub("corp.test", "127.0.0.1")))
		l.want(l.ask("www.sub.corp.test", dns.TypeA), dns.RCodeSuccess, "www.sub.corp.test. A 198.51.100.9")
		l.want(l.ask("www.evil.test", dns.TypeA), dns.RCodeServerFailure)
		l = newLab(t, n, func(c *Config) { c.Loopback = true })
		l.want(l.ask("www.evil.test", dns.TypeA), dns.RCodeSuccess, "www.evil.test. A 198.51.100.66")
	})
}

// A private zone below a signed one is bogus, since nothing proves it unsigned, until
// the operator says so; a forward zone at a name where no zone begins is validated
// as part of the zone above.
func TestValidationInConfiguredZones(t *testing.T) {
	story(t, func(t *testing.T) {
		in, c := signedLab(t, simnet.Signing{}, honest)
		private, err := simnet.Build(1, simnet.Spec{Origin: "corp.test.", Text: "corp.test. SOA ns h. 1 1 1 1 60\ncorp.test. NS ns.corp.test.\nns.corp.test. A 192.0.2.50\n"})
		if err != nil {
			t.Fatal(err)
		}
		in.Serve([]*simnet.Zone{private.Zone("corp.test.")}, netip.MustParseAddr(corpAddr))
		c.Zones = []Zone{stub("corp.test", corpAddr)}
		if a := New(c).Resolve(t.Context(), dns.MustName("ns.corp.test"), dns.TypeA); !a.Status().IsBogus() {
			t.Errorf("without an exemption: %s", a.Status())
		}
		c.Memory, c.Exempt = newMemory(), []dns.Name{dns.MustName("corp.test")}
		if a := New(c).Resolve(t.Context(), dns.MustName("ns.corp.test"), dns.TypeA); !a.Status().IsInsecure() {
			t.Errorf("with an exemption: %s", a.Status())
		}
		c.Memory, c.Exempt = newMemory(), nil
		c.Zones = []Zone{stub("ns1.bank.test", "192.0.2.3")}
		if a := New(c).Resolve(t.Context(), dns.MustName("ns1.bank.test"), dns.TypeA); !a.Status().IsSecure() {
			t.Errorf("at a name within a zone: %s %s", a.Status(), a.Status().Reason())
		}
	})
}

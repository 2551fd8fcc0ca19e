package attack

import (
	"net/netip"
	"strings"
	"testing"

	mdns "github.com/miekg/dns"

	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/resolve"
	"github.com/shoji-dns/shoji/internal/simnet"
)

// MaginotDNS (CVE-2021-25220): one resolver forwards a zone and iterates for the rest. Whoever
// answers in the forwarder's place, or is it, says things about other names, in every section and
// by aliases that lead there: none of that enters memory for names that are iterated for.
func TestForwardZoneSaysMoreThanItsOwn(t *testing.T) {
	const upstream = "198.18.9.9"
	for _, forward := range []bool{true, false} {
		for _, way := range []string{"answer", "alias", "DNAME", "denial", "referral"} {
			for _, config := range []func(*resolve.Config){nil, unvalidating} {
				play(t, plan{}, func(w *world) {
					w.start(func(c *resolve.Config) {
						c.Zones = []resolve.Zone{{Name: dns.MustName("corp.test"), Forward: forward, Servers: []resolve.Upstream{{Addr: netip.MustParseAddr(upstream)}}}}
						if config != nil {
							config(c)
						}
					})
					w.server(upstream, script(func(q *mdns.Msg, tcp bool) []*mdns.Msg {
						name := strings.ToLower(q.Question[0].Name)
						m := reply(q)
						m.RecursionAvailable = true
						switch way {
						case "answer":
							m.Answer = append(m.Answer, rr(name+" 300 A 192.0.2.9"))
						case "alias":
							m.Answer = append(m.Answer, rr(name+" 300 CNAME www.shop.test."), rr("www.shop.test. 300 A "+forged))
						case "DNAME":
							m.Answer = append(m.Answer, rr("corp.test. 300 DNAME shop.test."), rr("test. 300 DNAME evil.test."))
						case "denial":
							m.Rcode = mdns.RcodeNameError
							m.Ns = append(m.Ns, rr("test. 300 SOA a. b. 1 1 1 1 300"))
						case "referral":
							m = referral(q, "shop.test.", 2, func(int) string { return "forged.corp.test." })
						}
						an, ns, ex := poison()
						m.Answer, m.Ns, m.Extra = append(m.Answer, an...), append(m.Ns, ns...), append(m.Extra, ex...)
						return []*mdns.Msg{m}
					}))
					for _, name := range []string{"www.corp.test", "a.b.corp.test", "corp.test"} {
						w.ask(name, dns.TypeA)
						w.ask(name, dns.TypeNS)
					}
					w.unharmed()
					if w.Failed() {
						w.Fatal(forward, way)
					}
				})
			}
		}
	}
}

// Denials that are used for other names (RFC 8198) do not take the hash chains that a long name's
// own denial needs.
func TestSynthesisLeavesHashesToProofs(t *testing.T) {
	s := &simnet.Signing{NSEC3: &simnet.NSEC3{}}
	play(t, plan{test: s, bank: s}, func(w *world) {
		for _, label := range []string{"a", "b", "c", "d", "e", "f"} {
			w.truth(label+".bank.test", dns.TypeA)
			w.truth(label+".test", dns.TypeA)
			for _, labels := range []int{10, 32, 100} {
				w.truth(label+strings.Repeat(".x", labels)+".bank.test", dns.TypeA)
				w.truth(label+strings.Repeat(".x", labels)+".test", dns.TypeA)
			}
		}
	})
}

package attack

import (
	"fmt"
	"strings"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/simnet"
)

// What a request could not find out because its own budget was spent says nothing about the
// names that it had come to. An attacker who leads such requests to a victim's name would
// otherwise have the failure remembered, and shut the name off for everybody.

// A request that has used up its failed verifications goes on to the victim: by an alias, or
// because the victim's name is that of a name server. The victim's keys and names are not bogus
// for that, nor failed.
func TestSpentVerificationsAreNotTheVictims(t *testing.T) {
	for _, last := range []string{"l4.evil.test. CNAME www.bank.test.\n", "l4.evil.test. CNAME www.sub.evil.test.\nsub.evil.test. NS www.bank.test.\n"} {
		var text strings.Builder
		for i := range 4 {
			fmt.Fprintf(&text, "l%d.evil.test. CNAME l%d.evil.test.\n", i, i+1)
		}
		text.WriteString(last)
		play(t, plan{evil: &simnet.Signing{FalseSignatures: 40}, evilText: text.String()}, func(w *world) {
			w.evil(w.rightKeys())
			for _, warm := range []bool{false, true} { // the victim's keys are known, or not
				if warm {
					w.truth("old.any.bank.test", dns.TypeA)
				}
				_, c := w.denied("l0.evil.test", dns.TypeA)
				if c.failures != mostFailures {
					w.Errorf("%v: the attack is none", c)
				}
				w.truth("www.bank.test", dns.TypeA)
				w.truth("new.any.bank.test", dns.TypeA)
				w.start(nil)
			}
		})
	}
}

// glueless is a victim whose servers' names lie in another zone.
const glueless = "less.test. NS ns.any.bank.test.\n"

// victim puts the glueless zone's server at the address that its name has.
func (w *world) victim(after time.Duration) {
	answer := script(func(q *mdns.Msg, tcp bool) []*mdns.Msg {
		m := reply(q)
		m.Answer = append(m.Answer, rr(q.Question[0].Name+" 300 A 192.0.2.77"))
		return []*mdns.Msg{m}
	})
	w.server("192.0.2.21", func(q simnet.Query) []simnet.Reply {
		out := answer(q)
		for i := range out {
			out[i].After = after
		}
		return out
	})
}

// lives demands that the victim's names are answered.
func (w *world) lives(when string) {
	w.Helper()
	for _, name := range []string{"www.less.test", "other.less.test"} {
		if a, _ := w.ask(name, dns.TypeA); a.RCode() != dns.RCodeSuccess || len(a.Answer()) != 1 {
			_, text, _ := a.Error()
			w.Errorf("%s: %s is %s: %s", when, name, a.RCode(), text)
		}
	}
}

// Zones whose servers lie in the next one lead, at every depth, to a victim whose own servers
// have yet to be looked up. At some depth there is no room for that.
func TestDepthIsNotTheVictims(t *testing.T) {
	for zones := range 10 {
		play(t, plan{testText: glueless}, func(w *world) {
			w.victim(0)
			w.evil(script(func(q *mdns.Msg, tcp bool) []*mdns.Msg {
				name := strings.ToLower(q.Question[0].Name)
				labels := mdns.SplitDomainName(name)
				if len(labels) != 3 {
					return []*mdns.Msg{reply(q)}
				}
				var k int
				fmt.Sscanf(labels[0], "z%d", &k)
				return []*mdns.Msg{referral(q, name, 1, func(int) string {
					if k >= zones {
						return "www.less.test."
					}
					return fmt.Sprintf("ns.z%d.evil.test.", k+1)
				})}
			}))
			w.ask("www.z0.evil.test", dns.TypeA)
			w.lives(fmt.Sprintf("after %d zones", zones))
		})
	}
}

// The attacker's servers take their time, so that the request comes to the victim with little of
// it left, shorter than the victim's server is away.
func TestSpentTimeIsNotTheVictims(t *testing.T) {
	for slow := 500 * time.Millisecond; slow < 3*time.Second; slow += 100 * time.Millisecond {
		play(t, plan{testText: glueless}, func(w *world) {
			w.victim(150 * time.Millisecond)
			w.lives("before")
			w.evil(script(func(q *mdns.Msg, tcp bool) []*mdns.Msg {
				name := strings.ToLower(q.Question[0].Name)
				m := reply(q)
				var k int
				if fmt.Sscanf(name, "c%d.", &k); k < 9 {
					m.Answer = append(m.Answer, rr(fmt.Sprintf("%s 300 CNAME c%d.evil.test.", name, k+1)))
				} else {
					m.Answer = append(m.Answer, rr(name+" 300 CNAME late.less.test."))
				}
				return []*mdns.Msg{m}
			}))
			for _, addr := range []string{evilServer, evilSecond} {
				w.slow(addr, slow)
			}
			for i := range 6 {
				w.ask(fmt.Sprintf("x%d.evil.test", i), dns.TypeA)
			}
			w.lives(fmt.Sprintf("servers %v slow", slow))
			if a, _ := w.ask("late.less.test", dns.TypeA); a.RCode() != dns.RCodeSuccess {
				w.Errorf("servers %v slow: late.less.test is %s", slow, a.RCode())
			}
		})
	}
}

// A request that has used up its look-ups of name servers comes to the victim's name as that of
// a name server.
func TestSpentLookupsAreNotTheVictims(t *testing.T) {
	for links := 3; links <= mostLinks; links++ {
		play(t, plan{testText: glueless}, func(w *world) {
			w.victim(0)
			w.evil(script(func(q *mdns.Msg, tcp bool) []*mdns.Msg {
				name := strings.ToLower(q.Question[0].Name)
				labels := mdns.SplitDomainName(name)
				if len(labels) < 3 {
					return []*mdns.Msg{reply(q)}
				}
				var k int
				fmt.Sscanf(labels[len(labels)-3], "z%d", &k)
				m := reply(q)
				switch {
				case strings.HasPrefix(labels[0], "good"): // a server of the attacker's
					m.Answer = append(m.Answer, rr(name+" 300 A "+evilServer))
				case strings.HasPrefix(labels[0], "bad"): // a name without address
				case len(labels) == 3: // each zone has servers without address, and one with
					return []*mdns.Msg{referral(q, name, 4, func(i int) string {
						switch {
						case k >= links:
							return "www.less.test."
						case i == 0:
							return fmt.Sprintf("good%d.evil.test.", k)
						}
						return fmt.Sprintf("bad%d-%d.evil.test.", k, i)
					})}
				default:
					m.Answer = append(m.Answer, rr(fmt.Sprintf("%s 300 CNAME www.z%d.evil.test.", name, k+1)))
				}
				return []*mdns.Msg{m}
			}))
			w.ask("www.z0.evil.test", dns.TypeA)
			w.lives(fmt.Sprintf("after %d links", links))
		})
	}
}

package attack

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/resolve"
	"github.com/shoji-dns/shoji/internal/simnet"
)

// poison is everything that a reply could smuggle in beside its answer.
func poison() (answer, authority, additional []mdns.RR) {
	for _, zone := range []string{"bank.test.", "shop.test.", "test.", "."} {
		authority = append(authority, rr(zone+" 86400 NS forged.evil.test."))
	}
	for _, name := range []string{"www.bank.test.", "www.shop.test.", "ns.bank.test.", "ns.shop.test.", "ns.test.", "a.root."} {
		answer = append(answer, rr(name+" 86400 A "+forged))
		additional = append(additional, rr(name+" 86400 A "+forged))
	}
	return answer, authority, additional
}

// victims are names whose answers poison would change.
var victims = []string{"www.bank.test", "www.shop.test", "bank.test", "shop.test", "ns.bank.test", "ns.shop.test", "test", "www.test", "ns.test"}

// unharmed demands that the victims' answers are what their zones say, from memory and anew.
func (w *world) unharmed() {
	w.Helper()
	w.unpoisoned(victims...)
	for _, name := range victims {
		w.truth(name, dns.TypeA)
		w.truth(name, dns.TypeNS)
	}
	if out := w.queries(func(m message) bool { return m.server == forged }); len(out) > 0 {
		w.Errorf("the forged server was asked %v", out)
	}
}

// A server of the attacker's answers, denies or delegates, and adds records for other zones to
// each section (CVE-2025-40778), NS records of its own zone's parents to the authority
// section (CVE-2025-11411), and addresses for their servers. None is believed.
func TestUnaskedRecords(t *testing.T) {
	kinds := map[string]func(q *mdns.Msg) *mdns.Msg{
		"answer": func(q *mdns.Msg) *mdns.Msg {
			m := reply(q)
			m.Answer = append(m.Answer, rr(q.Question[0].Name+" 300 A 192.0.2.66"))
			return m
		},
		"alias to the victim": func(q *mdns.Msg) *mdns.Msg {
			m := reply(q)
			m.Answer = append(m.Answer, rr(q.Question[0].Name+" 300 CNAME www.shop.test."))
			return m
		},
		"DNAME to the victim": func(q *mdns.Msg) *mdns.Msg {
			m := reply(q)
			m.Answer = append(m.Answer, rr("evil.test. 300 DNAME shop.test."), rr(q.Question[0].Name+" 300 CNAME www.bank.test."))
			return m
		},
		"denial": func(q *mdns.Msg) *mdns.Msg {
			m := reply(q)
			m.Rcode = mdns.RcodeNameError
			m.Ns = append(m.Ns, rr("evil.test. 300 SOA a. b. 1 1 1 1 60"))
			return m
		},
		"denial by the victim's SOA": func(q *mdns.Msg) *mdns.Msg {
			m := reply(q)
			m.Rcode = mdns.RcodeNameError
			m.Ns = append(m.Ns, rr("test. 300 SOA a. b. 1 1 1 1 60"), rr("shop.test. 300 SOA a. b. 1 1 1 1 60"))
			return m
		},
		"referral": func(q *mdns.Msg) *mdns.Msg {
			return referral(q, "sub.evil.test.", 1, func(int) string { return "ns.shop.test." })
		},
		"referral upwards": func(q *mdns.Msg) *mdns.Msg { return new(mdns.Msg).SetReply(q) },
	}
	for name, kind := range kinds {
		for _, config := range []func(*resolve.Config){nil, unvalidating} {
			play(t, plan{config: config}, func(w *world) {
				w.evil(script(func(q *mdns.Msg, tcp bool) []*mdns.Msg {
					m := kind(q)
					an, ns, ex := poison()
					m.Answer, m.Ns, m.Extra = append(m.Answer, an...), append(m.Ns, ns...), append(m.Extra, ex...)
					return []*mdns.Msg{m}
				}))
				for _, q := range []struct {
					name string
					t    dns.Type
				}{{"www.evil.test", dns.TypeA}, {"a.sub.evil.test", dns.TypeA}, {"evil.test", dns.TypeNS}, {"evil.test", dns.TypeANY}, {"b.sub.evil.test", dns.TypeMX}} {
					a, _ := w.ask(q.name, q.t)
					for _, r := range a.Authority() {
						if !r.Name.IsSubdomainOf(dns.MustName("evil.test")) && !strings.HasSuffix(name, "to the victim") {
							w.Errorf("%s %s is given on with %s", q.name, q.t, r)
						}
					}
				}
				w.unharmed()
				if w.Failed() {
					w.Fatal(name)
				}
			})
		}
	}
}

// The victim's own reply has been tampered with, as where the second fragment of a long reply
// is the attacker's (the first holds ID, port and question): its authority and additional
// sections say what he likes. Answers come from the answer section alone.
func TestForgedSecondFragment(t *testing.T) {
	for _, config := range []func(*resolve.Config){nil, unvalidating} {
		play(t, plan{config: config}, func(w *world) {
			for server, zone := range map[string]string{shopServer: "shop.test.", bankServer: "bank.test."} {
				w.server(server, altering(w.tree.Zone(zone), func(m *mdns.Msg) {
					if !m.Authoritative || len(m.Answer) == 0 {
						return
					}
					_, ns, ex := poison()
					m.Ns, m.Extra = append(m.Ns, ns...), append(ex, m.Extra...)
				}))
			}
			for range 3 {
				w.unharmed()
				w.truth("new.any.shop.test", dns.TypeA)
				w.truth("new.any.bank.test", dns.TypeA)
			}
			// No query invites a reply that needs fragments: 1232 octets pass everywhere.
			for _, m := range w.queries(func(m message) bool { return !m.tcp }) {
				q := new(mdns.Msg)
				if err := q.Unpack(m.bytes); err != nil {
					t.Fatal(err)
				}
				if o := q.IsEdns0(); o != nil && o.UDPSize() > 1232 {
					t.Errorf("%d octets offered", o.UDPSize())
				}
			}
		})
	}
}

// Glue tells where to ask, and is no answer: a parent (or whoever writes the second fragment of
// its referral) that gives the victim's servers wrong addresses does not change what they are
// known as.
func TestGlueIsNoAnswer(t *testing.T) {
	for _, config := range []func(*resolve.Config){nil, unvalidating} {
		play(t, plan{config: config}, func(w *world) {
			w.server(testServer, altering(w.tree.Zone("test."), func(m *mdns.Msg) {
				if !m.Authoritative && strings.HasSuffix(strings.ToLower(m.Question[0].Name), "bank.test.") {
					m.Extra = append(m.Extra, rr("ns.shop.test. 86400 A "+forged), rr("www.shop.test. 86400 A "+forged), rr("www.bank.test. 86400 A "+forged))
				}
			}))
			w.truth("www.bank.test", dns.TypeA)
			w.unharmed()
		})
	}
}

// MaginotDNS: what a forwarder says, or the attacker in its place, is believed of nothing but
// the question: the cache of the names beside it stays clean, and a forwarding resolver's
// memory is its own.
func TestForwarderSaysMoreThanWasAsked(t *testing.T) {
	const upstream = "198.18.9.9"
	forward := func(c *resolve.Config) {
		c.Zones = []resolve.Zone{{Name: dns.Root, Forward: true, Servers: []resolve.Upstream{{Addr: netip.MustParseAddr(upstream)}}}}
	}
	play(t, plan{}, func(w *world) {
		far := w.core
		w.start(forward)
		w.server(upstream, script(func(q *mdns.Msg, tcp bool) []*mdns.Msg {
			name := strings.ToLower(q.Question[0].Name)
			a := far.Resolve(w.Context(), dns.MustName(name), dns.Type(q.Question[0].Qtype))
			m := reply(q)
			m.Authoritative, m.RecursionAvailable, m.Rcode = false, true, int(a.RCode())
			for i, section := range [][]dns.RR{a.Answer(), a.Authority()} {
				to := []*[]mdns.RR{&m.Answer, &m.Ns}[i]
				for _, text := range texts(section) {
					*to = append(*to, rr(text))
				}
			}
			an, ns, ex := poison()
			for _, r := range an {
				if r.Header().Name != name {
					m.Answer = append(m.Answer, r)
				}
			}
			m.Ns, m.Extra = append(m.Ns, ns...), append(m.Extra, ex...)
			return []*mdns.Msg{m}
		}))
		w.ask("www.evil.test", dns.TypeA)
		w.unpoisoned(victims...)
		w.unharmed()
	})
}

// Kaminsky's attack: a flood of questions for names that do not exist, for each of which the
// attacker sends forged replies that would take over the zone. He knows question, letter case
// and address, and has found the port (SAD DNS); the ID he must guess. He gets three guesses
// a query, then the question goes over TCP.
func TestKaminsky(t *testing.T) {
	play(t, plan{}, func(w *world) {
		rng := rand.New(rand.NewPCG(1, 1))
		honest := simnet.Authoritative(w.tree.Zone("shop.test."))
		w.server(shopServer, func(q simnet.Query) []simnet.Reply {
			if q.TCP {
				return honest(q)
			}
			var out []simnet.Reply
			for range 200 {
				m := new(mdns.Msg)
				if m.Unpack(q.Bytes) != nil {
					return nil
				}
				id := m.Id
				m = reply(m)
				for m.Id == id {
					m.Id = uint16(rng.Uint32())
				}
				m.Answer = append(m.Answer, rr(m.Question[0].Name+" 86400 A "+forged))
				m.Ns = append(m.Ns, rr("shop.test. 86400 NS www.shop.test."))
				m.Extra = append(m.Extra, rr("www.shop.test. 86400 A "+forged))
				b, err := m.Pack()
				if err != nil {
					panic(err)
				}
				out = append(out, simnet.Reply{Bytes: b})
			}
			return append(out, honest(q)...)
		})
		const rounds = 100
		guesses := 0
		w.in.SetTrace(func(e simnet.Event) {
			if e.What == simnet.Delivered && !e.TCP && e.Server.String() == shopServer {
				guesses++
			}
			w.note(e)
		})
		for i := range rounds {
			w.truth(fmt.Sprintf("r%d.shop.test", i), dns.TypeA)
		}
		w.unharmed()
		if sent := len(w.queries(func(m message) bool { return m.server == shopServer && !m.tcp })); guesses > 4*sent || guesses == 0 {
			w.Errorf("%d guesses were heard at %d queries", guesses, sent)
		}
		if over := len(w.queries(func(m message) bool { return m.server == shopServer && m.tcp })); over < rounds {
			w.Errorf("%d questions of %d went over TCP", over, rounds)
		}
	})
}

// What an attacker has to guess: IDs and letter case differ from query to query, and identical
// questions under way are one query, so that there is no birthday to hit. No query carries a
// client's subnet, by which identical questions would differ (RebirthDay, CVE-2025-5994).
func TestNothingToGuessBy(t *testing.T) {
	play(t, plan{}, func(w *world) {
		const questions, clients = 200, 50
		done := make(chan struct{})
		w.truth("www.shop.test", dns.TypeA)
		w.forget()
		for i := range questions {
			name := dns.MustName(fmt.Sprintf("birthday%d.any.shop.test", i))
			for range clients {
				go func() {
					w.core.Resolve(w.Context(), name, dns.TypeA)
					done <- struct{}{}
				}()
			}
			for range clients {
				<-done
			}
		}
		ids, cases := map[uint16]int{}, map[string]int{}
		perName := map[string]int{}
		for _, m := range w.sent {
			ids[binary.BigEndian.Uint16(m.bytes)]++
			q := new(mdns.Msg)
			if err := q.Unpack(m.bytes); err != nil {
				t.Fatal(err)
			}
			perName[m.name]++
			cases[strings.Map(func(r rune) rune {
				if '0' <= r && r <= '9' {
					return -1
				}
				return r
			}, q.Question[0].Name)]++
			if o := q.IsEdns0(); o != nil {
				for _, opt := range o.Option {
					if opt.Option() == mdns.EDNS0SUBNET {
						t.Error("a client's subnet was sent")
					}
				}
			}
		}
		for name, n := range perName {
			if n > 1 {
				t.Errorf("%s was asked %d times at once", name, n)
			}
		}
		if len(perName) < questions || len(ids) < questions*9/10 || len(cases) < questions*9/10 {
			t.Errorf("%d names, %d IDs, %d letter cases in %d queries", len(perName), len(ids), len(cases), len(w.sent))
		}
	})
}

// TuDoor: replies out of form or place arrive before the right one. They are ignored, the wait
// goes on, nothing else is asked, and the answer is the right one.
func TestMalformedReplies(t *testing.T) {
	for name, spoil := range malformed() {
		t.Run(name, func(t *testing.T) {
			play(t, plan{}, func(w *world) {
				honest := simnet.Authoritative(w.tree.Zone("shop.test."))
				w.truth("www.bank.test", dns.TypeA)
				w.server(shopServer, func(q simnet.Query) []simnet.Reply {
					var out []simnet.Reply
					for _, r := range honest(q) {
						for range 20 {
							out = append(out, simnet.Reply{Bytes: spoil(append([]byte(nil), r.Bytes...)), After: time.Millisecond})
						}
						r.After = 10 * time.Millisecond
						out = append(out, r)
					}
					return out
				})
				w.forget()
				w.truth("www.shop.test", dns.TypeA)
				if n := len(w.queries(func(m message) bool { return m.server == shopServer })); n > 2 {
					w.Errorf("%d queries: %v", n, w.sent)
				}
				for _, m := range w.sent {
					if m.tcp {
						w.Errorf("a reply that anybody could send moved %s to TCP", m.name)
					}
				}
			})
		})
	}
}

// malformed are ways to spoil a reply that fits otherwise.
func malformed() map[string]func([]byte) []byte {
	set := func(at int, v byte) func([]byte) []byte {
		return func(b []byte) []byte { b[at] = v; return b }
	}
	return map[string]func([]byte) []byte{
		"empty":             func(b []byte) []byte { return nil },
		"one octet":         func(b []byte) []byte { return b[:1] },
		"eleven octets":     func(b []byte) []byte { return b[:11] },
		"header alone":      func(b []byte) []byte { return b[:12] },
		"a query":           func(b []byte) []byte { b[2] &^= 0x80; return b },
		"opcode":            func(b []byte) []byte { b[2] |= 0x28; return b },
		"no question":       set(5, 0),
		"two questions":     set(5, 2),
		"65535 answers":     func(b []byte) []byte { b[6], b[7] = 255, 255; return b },
		"an answer missing": func(b []byte) []byte { b[7]++; return b },
		"trailing octets":   func(b []byte) []byte { return append(b, 0, 0, 0) },
		"cut":               func(b []byte) []byte { return b[:len(b)-3] },
		"pointer loop":      func(b []byte) []byte { return append(b[:12:12], 0xc0, 12, 0, 1, 0, 1) },
		"pointer in the answer": func(b []byte) []byte {
			end := 12
			for b[end] != 0 {
				end += int(b[end]) + 1
			}
			b[end+5], b[end+6] = 0xff, 0xff
			return b
		},
		"another class": func(b []byte) []byte { return inQuestion(b, 3, 3) },
		"another type":  func(b []byte) []byte { return inQuestion(b, 1, 28) },
		"another name":  func(b []byte) []byte { b[13] ^= 3; return b },
		"two OPT":       func(b []byte) []byte { return twice(b) },
		"random octets": func(b []byte) []byte {
			for i := range b {
				b[i] ^= byte(i*7 + 1)
			}
			return b
		},
		"FORMERR, alone": func(b []byte) []byte { b = b[:12]; b[0] ^= 1; b[3] = 1; clear(b[4:]); return b },
	}
}

// inQuestion sets an octet of the question's type and class.
func inQuestion(b []byte, at int, v byte) []byte {
	end := 12
	for b[end] != 0 {
		end += int(b[end]) + 1
	}
	b[end+1+at] = v
	return b
}

// twice repeats the OPT record at the end of a reply.
func twice(b []byte) []byte {
	b[11]++
	return append(b, 0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0)
}

// EDNS downgrade by one forged reply (CVE-2026-52690): no single reply over UDP makes the
// resolver give up EDNS, and with it DO, whatever it says and however often the question is put.
// Nor does silence.
func TestOneReplyDoesNotSwitchEDNSOff(t *testing.T) {
	for _, rcode := range []int{mdns.RcodeFormatError, mdns.RcodeNotImplemented, mdns.RcodeBadVers, mdns.RcodeServerFailure, mdns.RcodeRefused} {
		for _, bare := range []bool{false, true} {
			play(t, plan{}, func(w *world) {
				honest := simnet.Authoritative(w.tree.Zone("bank.test."))
				once := map[string]bool{}
				w.server(bankServer, func(q simnet.Query) []simnet.Reply {
					m := new(mdns.Msg)
					if q.TCP || m.Unpack(q.Bytes) != nil {
						return honest(q)
					}
					key := strings.ToLower(m.Question[0].String())
					if once[key] || !strings.Contains(key, "any.bank") {
						return honest(q)
					}
					once[key] = true
					m = new(mdns.Msg).SetRcode(m, rcode&15)
					if bare {
						m.Question = nil
					}
					b, err := m.Pack()
					if err != nil {
						panic(err)
					}
					return append([]simnet.Reply{{Bytes: b}}, honest(q)...)
				})
				for i := range 30 {
					w.ask(fmt.Sprintf("n%d.any.bank.test", i), dns.TypeA)
				}
				for _, m := range w.sent {
					if m.bytes[11] == 0 {
						w.Fatalf("%s, no question %v: a query without EDNS: %v", mdns.RcodeToString[rcode], bare, m.name)
					}
				}
				w.pass(time.Minute)
				w.truth("www.bank.test", dns.TypeA)
			})
		}
	}
	play(t, plan{}, func(w *world) {
		w.in.SetFaults(simnet.Faults{Loss: 0.5, Latency: time.Millisecond})
		for i := range 60 {
			w.ask(fmt.Sprintf("n%d.any.bank.test", i), dns.TypeA)
		}
		for _, m := range w.sent {
			if m.bytes[11] == 0 {
				w.Fatalf("loss was taken for a lack of EDNS: %v", m.name)
			}
		}
	})
}

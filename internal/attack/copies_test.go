package attack

import (
	"testing"
	"time"

	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/resolve"
)

// rogue is a local copy of a zone from a primary that lies: every name of the zone has the
// forged address, and records of other zones stand beside it.
type rogue struct {
	section func(m *dns.Message) *[]dns.RR
}

func (rogue) Current(time.Time) bool { return true }

func (r rogue) Reply(name dns.Name, t dns.Type, _ time.Time) *dns.Message {
	m := &dns.Message{Flags: dns.FlagQR | dns.FlagAA, Question: []dns.Question{{Name: name, Type: t, Class: dns.ClassIN}}}
	if t == dns.TypeA {
		m.Answer = []dns.RR{{Name: name, Type: t, Class: dns.ClassIN, TTL: 300, Data: []byte{203, 0, 113, 66}}}
	}
	at := r.section(m)
	for _, other := range []string{"www.shop.test", "bank.test", "ns.bank.test", "test", "ns.test", "a.root"} {
		*at = append(*at, dns.RR{Name: dns.MustName(other), Type: dns.TypeA, Class: dns.ClassIN, TTL: 300, Data: []byte{203, 0, 113, 66}})
	}
	*at = append(*at, dns.RR{Name: dns.Root, Type: dns.TypeNS, Class: dns.ClassIN, TTL: 300, Data: []byte(dns.MustName("ns.evil.test"))})
	return m
}

// A copy is believed of its own zone alone, and no more than a server of the zone would be:
// what it says of other zones is not kept, and where its zone is signed, nor is a lie.
func TestCopyOfALyingPrimary(t *testing.T) {
	for what, section := range map[string]func(m *dns.Message) *[]dns.RR{
		"answer":     func(m *dns.Message) *[]dns.RR { return &m.Answer },
		"authority":  func(m *dns.Message) *[]dns.RR { return &m.Authority },
		"additional": func(m *dns.Message) *[]dns.RR { return &m.Additional },
	} {
		for _, zone := range []string{"evil.test", "bank.test"} {
			t.Run(what+" of "+zone, func(t *testing.T) {
				config := func(c *resolve.Config) {
					c.Copies = []resolve.Copy{{Zone: dns.MustName(zone), From: rogue{section}}}
				}
				play(t, plan{config: config}, func(w *world) {
					a, _ := w.ask("www."+zone, dns.TypeA)
					if zone == "bank.test" && !a.Status().IsBogus() && a.RCode() != dns.RCodeServerFailure {
						isTrue := len(texts(a.Answer())) > 0 && a.Status().IsSecure()
						if !isTrue {
							w.Errorf("a signed zone: %s %s %v", a.RCode(), a.Status(), texts(a.Answer()))
						}
					}
					w.unpoisoned("www.shop.test", "ns.bank.test", "test", "ns.test", "a.root", ".")
					w.truth("www.shop.test", dns.TypeA)
					w.truth("www.test", dns.TypeA)
					if zone != "bank.test" {
						w.truth("www.bank.test", dns.TypeA)
					}
				})
			})
		}
	}
}

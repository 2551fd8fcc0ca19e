package attack

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	mdns "github.com/miekg/dns"

	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/simnet"
)

// KeyTrap (CVE-2023-50387): many keys of one tag, and before each right signature many
// wrong ones, over the key set too.
func TestKeyTrap(t *testing.T) {
	for _, twins := range []int{0, 6} {
		play(t, plan{evil: &simnet.Signing{Twins: twins, FalseSignatures: 40}}, func(w *world) {
			_, c := w.denied("www.evil.test", dns.TypeA)
			if c.failures > mostFailures || c.failures == 0 {
				w.Errorf("twins %d: %v", twins, c)
			}
			if _, c := w.ask("other.evil.test", dns.TypeA); c.failures > 0 {
				w.Errorf("twins %d: the key set is tried again for the next name: %v", twins, c)
			}
			w.truth("www.bank.test", dns.TypeA)
		})
	}
}

// One RRset with forty false signatures, from the zone's only server.
func TestKeyTrapInOneRRset(t *testing.T) {
	one := "evil.test. NS ns1.evil.test.\nns1.evil.test. A 198.18.6.6\n"
	play(t, plan{noEvil: true, testText: one, evil: &simnet.Signing{Twins: 6, FalseSignatures: 40}}, func(w *world) {
		w.evil(w.rightKeys())
		_, c := w.denied("www.evil.test", dns.TypeA)
		if c.failures != mostFailuresOfRRset {
			w.Errorf("%v: want %d failures", c, mostFailuresOfRRset)
		}
		w.truth("www.bank.test", dns.TypeA)
	})
}

// rightKeys is evil.test with its key set rightly signed, and nothing else.
func (w *world) rightKeys() simnet.Handler {
	z := w.tree.Zone("evil.test.")
	return altering(z, func(m *mdns.Msg) {
		if m.Question[0].Qtype == mdns.TypeDNSKEY {
			m.Answer = w.records("evil.test.", "DNSKEY")
			sig, err := z.Sign(m.Answer...)
			if err != nil {
				panic(err)
			}
			m.Answer = append(m.Answer, sig)
		}
	})
}

// The same with a key set in order: every RRset of a chain is a trap, and the budget of the
// request is one for all, the retries at the zone's second server included.
func TestKeyTrapInEveryLink(t *testing.T) {
	const links = 10
	var text strings.Builder
	for i := range links {
		fmt.Fprintf(&text, "l%d.evil.test. CNAME l%d.evil.test.\n", i, i+1)
	}
	fmt.Fprintf(&text, "l%d.evil.test. A 192.0.2.9\n", links)
	play(t, plan{evil: &simnet.Signing{Twins: 8, FalseSignatures: 40}, evilText: text.String()}, func(w *world) {
		w.evil(w.rightKeys())
		_, c := w.denied("l0.evil.test", dns.TypeA)
		if c.failures != mostFailures {
			w.Errorf("%v: want %d failures, all that a request has", c, mostFailures)
		}
		for i := range links {
			w.ask(fmt.Sprintf("l%d.evil.test", i), dns.TypeA)
		}
		w.truth("www.bank.test", dns.TypeA)
	})
}

// records are a zone's own of one type, without signatures.
func (w *world) records(origin, typ string) (out []mdns.RR) {
	for _, text := range w.tree.Zone(origin).Records() {
		if r := rr(text); mdns.TypeToString[r.Header().Rrtype] == typ {
			out = append(out, r)
		}
	}
	return out
}

// The other side of KeyTrap: many DS records, or many keys of the one tag that the DS
// record names. The digests are bounded before any signature is looked at.
func TestManyDSRecords(t *testing.T) {
	var text strings.Builder
	for i := range 90 {
		fmt.Fprintf(&text, "evil.test. DS %d 13 2 %s\n", i%3, strings.Repeat(fmt.Sprintf("%02x", i), 32))
	}
	for _, p := range []plan{
		{testText: text.String(), evil: &simnet.Signing{Twins: 40, FalseSignatures: 40}},
		{evil: &simnet.Signing{Twins: 40, FalseSignatures: 40}},
	} {
		play(t, p, func(w *world) {
			if _, c := w.denied("www.evil.test", dns.TypeA); c.failures > 0 {
				w.Errorf("%v: signatures were tried by keys that no DS record could be matched with", c)
			}
			w.truth("www.bank.test", dns.TypeA)
		})
	}
}

// NSEC3 CPU exhaustion (CVE-2023-50868): iteration counts above the limit are not computed,
// neither for a denial nor for the delegation of an unsigned zone, and make it insecure
// (RFC 9276 §3.2). At the limit they are.
func TestNSEC3Iterations(t *testing.T) {
	for _, iterations := range []uint16{mostIterations, mostIterations + 1, 2500} {
		s := &simnet.Signing{NSEC3: &simnet.NSEC3{Iterations: iterations}}
		play(t, plan{test: s, bank: s}, func(w *world) {
			for _, name := range []string{"nothing.bank.test", "www.shop.test", "a.any.bank.test", "nothing.test"} {
				a, c := w.ask(name, dns.TypeA)
				within := iterations <= mostIterations
				if a.RCode() == dns.RCodeServerFailure || a.Status().IsBogus() || a.Status().IsSecure() != (within && name != "www.shop.test") {
					w.Errorf("%d iterations, %s: %s %s", iterations, name, a.RCode(), a.Status())
				}
				if (c.hashes > 0) != within {
					w.Errorf("%d iterations, %s: %d hash chains", iterations, name, c.hashes)
				}
			}
		})
	}
}

// Denials for names with a hundred labels, with every NSEC3 record of the zone but those
// that would end the search for a closest encloser; and aliases from one such name to the
// next, which draw on the same budget.
func TestNSEC3HashesOfDeepNames(t *testing.T) {
	var text strings.Builder
	for i := range 10 {
		fmt.Fprintf(&text, "n%d.evil.test. A 192.0.2.9\n", i)
	}
	s := &simnet.Signing{NSEC3: &simnet.NSEC3{Iterations: mostIterations}}
	play(t, plan{evil: s, evilText: text.String()}, func(w *world) {
		z := w.tree.Zone("evil.test.")
		apex := strings.ToLower(mdns.HashName("evil.test.", mdns.SHA1, mostIterations, ""))
		var chain []mdns.RR
		for _, text := range z.Records() {
			r := rr(text)
			s, _ := r.(*mdns.RRSIG)
			if !strings.HasPrefix(r.Header().Name, apex) && (r.Header().Rrtype == mdns.TypeNSEC3 || s != nil && s.TypeCovered == mdns.TypeNSEC3) {
				chain = append(chain, r)
			}
		}
		w.evil(altering(z, func(m *mdns.Msg) {
			if name := strings.ToLower(m.Question[0].Name); strings.Count(name, ".") > 20 {
				m.Rcode = mdns.RcodeNameError
				m.Answer, m.Ns = nil, append(m.Ns[:0:0], chain...)
			}
		}))
		_, c := w.denied(strings.Repeat("x.", 100)+"evil.test", dns.TypeA)
		if c.hashes != mostHashes {
			w.Errorf("%v: want %d hashes, all that a request has", c, mostHashes)
		}
		w.truth("www.bank.test", dns.TypeA)
	})
}

// A denial padded with every record of the chain costs no verification of what proves nothing;
// where the padding comes first, the proof is not looked for beyond 24 records.
func TestPaddedDenials(t *testing.T) {
	var text strings.Builder
	for i := range 60 {
		fmt.Fprintf(&text, "n%d.evil.test. A 192.0.2.9\n", i)
	}
	for _, n3 := range []*simnet.NSEC3{nil, {}} {
		play(t, plan{evil: &simnet.Signing{NSEC3: n3}, evilText: text.String()}, func(w *world) {
			z := w.tree.Zone("evil.test.")
			var chain []mdns.RR
			for _, text := range z.Records() {
				switch r := rr(text).(type) {
				case *mdns.NSEC, *mdns.NSEC3:
					chain = append(chain, r)
				case *mdns.RRSIG:
					if r.TypeCovered == mdns.TypeNSEC || r.TypeCovered == mdns.TypeNSEC3 {
						r.Signature = strings.Repeat("A", len(r.Signature)) // a trap as well
						chain = append(chain, r)
					}
				}
			}
			w.evil(altering(z, func(m *mdns.Msg) {
				if strings.HasPrefix(strings.ToLower(m.Question[0].Name), "nothing") {
					m.Ns = append(m.Ns, chain...)
				}
				if strings.HasPrefix(strings.ToLower(m.Question[0].Name), "hidden") {
					pads := slices.DeleteFunc(slices.Clone(chain), func(r mdns.RR) bool {
						return slices.ContainsFunc(m.Ns, func(n mdns.RR) bool { return n.Header().Name == r.Header().Name })
					})
					m.Ns = slices.Concat(pads[:2*30], m.Ns) // 30 records with their signatures
				}
			}))
			if _, c := w.denied("hidden.evil.test", dns.TypeA); c.verifications > 8 {
				w.Errorf("%v: padding is verified", c)
			}
			a, c := w.ask("nothing.evil.test", dns.TypeA)
			if !a.Status().IsSecure() || c.verifications > 16 || c.failures > 0 {
				w.Errorf("%s, %v: padding is verified", a.Status(), c)
			}
			w.truth("www.bank.test", dns.TypeA)
		})
	}
}

// A signature with fewer labels than its signer's name stands for a wildcard above the zone:
// *.test. signed by evil.test. It must prove nothing (RFC 4035 §5.3.1).
func TestWildcardAboveItsSigner(t *testing.T) {
	play(t, plan{evil: &simnet.Signing{}}, func(w *world) {
		z := w.tree.Zone("evil.test.")
		w.evil(altering(z, func(m *mdns.Msg) {
			name := strings.ToLower(m.Question[0].Name)
			if !strings.HasPrefix(name, "www.") || m.Question[0].Qtype != mdns.TypeA {
				return
			}
			sig, err := z.Sign(rr("*.test. 300 A " + forged))
			if err != nil {
				panic(err)
			}
			sig.Hdr.Name = name
			m.Answer = []mdns.RR{rr(name + " 300 A " + forged), sig}
		}))
		w.denied("www.evil.test", dns.TypeA)
		w.truth("www.bank.test", dns.TypeA)
	})
}

// An NSEC record whose next name lies outside the zone, signed by the zone itself, would deny
// the names of its neighbours.
func TestNextNameOutsideOfTheZone(t *testing.T) {
	for _, next := range []string{"zzz.test.", "test.", "."} {
		play(t, plan{evil: &simnet.Signing{}}, func(w *world) {
			z := w.tree.Zone("evil.test.")
			w.evil(altering(z, func(m *mdns.Msg) {
				if !strings.HasPrefix(strings.ToLower(m.Question[0].Name), "nothing") {
					return
				}
				nsec := rr("evil.test. 300 NSEC " + next + " A NS SOA RRSIG NSEC DNSKEY")
				sig, err := z.Sign(nsec)
				if err != nil {
					panic(err)
				}
				m.Ns = slices.DeleteFunc(m.Ns, func(r mdns.RR) bool {
					s, ok := r.(*mdns.RRSIG)
					return r.Header().Rrtype == mdns.TypeNSEC || ok && s.TypeCovered == mdns.TypeNSEC
				})
				m.Ns = append(m.Ns, nsec, sig)
			}))
			w.denied("nothing.evil.test", dns.TypeA)
			// Nor does it deny them from memory (RFC 8198).
			w.truth("www.shop.test", dns.TypeA)
			w.truth("www.test", dns.TypeA)
		})
	}
}

// Somebody on the way to test. answers for a delegation with what the child says of its apex:
// there is no DS in the child. Were that a proof, the signed child would be insecure.
func TestChildsDenialAsParentsProof(t *testing.T) {
	for _, n3 := range []*simnet.NSEC3{nil, {}} {
		play(t, plan{bank: &simnet.Signing{NSEC3: n3}, test: &simnet.Signing{NSEC3: n3}}, func(w *world) {
			apex := denials(w.tree.Zone("bank.test."))
			w.server(testServer, altering(w.tree.Zone("test."), func(m *mdns.Msg) {
				if !strings.HasSuffix(strings.ToLower(m.Question[0].Name), "bank.test.") {
					return
				}
				ns := slices.DeleteFunc(m.Ns, func(r mdns.RR) bool { return r.Header().Rrtype != mdns.TypeNS })
				if m.Question[0].Qtype == mdns.TypeDS {
					m.Answer, ns = nil, nil
				}
				m.Ns = append(ns, apex...)
			}))
			w.server(bankServer, script(func(q *mdns.Msg, tcp bool) []*mdns.Msg {
				m := reply(q) // without signatures, as of an unsigned zone
				m.Answer = append(m.Answer, rr(q.Question[0].Name+" 300 A "+forged))
				return []*mdns.Msg{m}
			}))
			a, _ := w.ask("www.bank.test", dns.TypeA)
			if a.RCode() != dns.RCodeServerFailure && !a.Status().IsBogus() {
				w.Errorf("nsec3 %v: %s %v", n3 != nil, a.Status(), texts(a.Answer()))
			}
		})
	}
}

// The other way round: the parent's record at the cut says NS and no A, and its neighbour
// covers what is below. Neither denies the child's names (RFC 6840 §4.1).
func TestParentsDenialInTheChild(t *testing.T) {
	for _, n3 := range []*simnet.NSEC3{nil, {}} {
		play(t, plan{bank: &simnet.Signing{NSEC3: n3}, test: &simnet.Signing{NSEC3: n3}}, func(w *world) {
			up := denials(w.tree.Zone("test."))
			for _, rcode := range []int{mdns.RcodeSuccess, mdns.RcodeNameError} {
				w.start(nil)
				w.server(bankServer, altering(w.tree.Zone("bank.test."), func(m *mdns.Msg) {
					if m.Question[0].Qtype == mdns.TypeA {
						m.Rcode, m.Answer, m.Ns = rcode, nil, slices.Clone(up)
					}
				}))
				w.denied("www.bank.test", dns.TypeA)
				w.denied("bank.test", dns.TypeA)
			}
		})
	}
}

// The parent's servers, or somebody before them, say the same themselves, in place of a referral:
// the record at the cut is theirs, the data that it seems to deny is the child's.
func TestParentDeniesTheChildsData(t *testing.T) {
	for _, n3 := range []*simnet.NSEC3{nil, {}} {
		for _, rcode := range []int{mdns.RcodeSuccess, mdns.RcodeNameError} {
			play(t, plan{bank: &simnet.Signing{NSEC3: n3}, test: &simnet.Signing{NSEC3: n3}}, func(w *world) {
				z := w.tree.Zone("test.")
				soa := w.records("test.", "SOA")
				sig, err := z.Sign(soa...)
				if err != nil {
					t.Fatal(err)
				}
				up := append(append(denials(z), soa...), sig)
				w.server(testServer, altering(z, func(m *mdns.Msg) {
					if strings.HasSuffix(strings.ToLower(m.Question[0].Name), "bank.test.") && m.Question[0].Qtype == mdns.TypeA {
						m.Rcode, m.Authoritative, m.Answer, m.Ns, m.Extra = rcode, true, nil, slices.Clone(up), nil
						m.SetEdns0(1232, true)
					}
				}))
				for _, name := range []string{"bank.test", "www.bank.test"} {
					if a, _ := w.ask(name, dns.TypeA); !isFailure(a) {
						w.truth(name, dns.TypeA)
					}
				}
			})
		}
	}
}

// denials are the NSEC and NSEC3 records of a zone with their signatures.
func denials(z *simnet.Zone) (out []mdns.RR) {
	for _, text := range z.Records() {
		switch r := rr(text).(type) {
		case *mdns.NSEC, *mdns.NSEC3:
			out = append(out, r)
		case *mdns.RRSIG:
			if r.TypeCovered == mdns.TypeNSEC || r.TypeCovered == mdns.TypeNSEC3 {
				out = append(out, r)
			}
		}
	}
	return out
}

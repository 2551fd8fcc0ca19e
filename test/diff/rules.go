package main

import (
	"slices"
	"time"

	"github.com/miekg/dns"

	"github.com/shoji-dns/shoji/internal/simnet"
)

// rule explains differences of one kind.
type rule struct {
	name    string
	applies func(d *difference) bool
	reason  string // with the RFC section that leaves the choice, or requires ours
}

// valBogusTTL is Unbound's val-bogus-ttl by default, in seconds.
const valBogusTTL = 60

// The peers by the names that run.sh gives them.
const (
	unbound = "unbound"
	knot    = "knot"
	bind    = "bind"
)

// rules are all explanations, in the order in which they are tried.
func rules() []rule {
	return slices.Concat(choicesOfOurs(), onePeer(), unboundAlone(), knotAlone(), bindAlone())
}

// choicesOfOurs are differences that we want.
func choicesOfOurs() []rule {
	return []rule{
		{"any-is-hinfo", func(d *difference) bool {
			return d.q.qtype == dns.TypeANY
		}, "RFC 8482 §4.2: a question for ANY is answered by HINFO with us, for every name alike; Unbound gives what it has or finds, Knot Resolver SERVFAIL"},
		{"nsec3-at-an-alias", func(d *difference) bool {
			return d.q.qtype == dns.TypeNSEC3 && slices.Contains(kindsOfAlias, d.firstLeads())
		}, "RFC 5155 §7.2.8: a name has no NSEC3 record of its own. NSD answers so at an alias too; who remembers the alias follows it (RFC 1034 §4.3.2)"},
		{"sha1-is-insecure", func(d *difference) bool {
			return d.field == fieldAD && !d.us.ad && d.leadsThrough(func(z *zone) bool { return z.algorithm() == dns.RSASHA1NSEC3SHA1 })
		}, "RFC 9905 §2: validators treat RSA/SHA-1 as unsupported, and such zones are insecure (RFC 4035 §5.2); Debian's releases are older than that"},
		{"iterations-are-insecure", func(d *difference) bool {
			return d.field == fieldAD && !d.us.ad && d.leadsThrough(manyIterations)
		}, "RFC 9276 §3.2: NSEC3 with more iterations than a limit makes denials insecure; ours is 50, that of Unbound 1.17 is 150"},
		{"ad-with-cd", func(d *difference) bool {
			return d.field == fieldAD && d.q.cd && d.us.ad
		}, "RFC 4035 §3.2.2 and RFC 6840 §5.9: CD turns the refusal of bogus data off, not the checking; what we have checked anyhow says AD. Knot Resolver does not check such queries, Unbound only where it had checked before"},
		{"whole-answers-age-together", func(d *difference) bool {
			return d.field == fieldTTL && d.us.rcode != "SERVFAIL" && d.ttlsBetween(ttlNegative)
		}, "RFC 2181 §8 lets a cache shorten a TTL: the records of one reply say how long the answer is kept, which is no longer than its denial is"},
		{"bogus-is-forgotten-soon", func(d *difference) bool {
			return d.field == fieldTTL && d.q.cd && d.leadsThrough(isBogus) && d.ttlsBetween(0)
		}, "RFC 4035 §4.7: bogus data has a small TTL: 30 s with us, 60 s with Unbound; Knot Resolver does not know that it is bogus under CD"},
		{"proof-as-given", func(d *difference) bool {
			return d.field == fieldDenial && !d.us.ad && d.answers(dns.TypeDNAME) && within(d.us.denial, d.against1().denial)
		}, "NSD 4.6 leaves out a proof behind a DNAME within a zone: where it is needed for validation we ask for the target itself, as the peers always do; elsewhere what the server said is passed on"},
		{"unsigned-proof-of-bogus", func(d *difference) bool {
			return d.field == fieldDenial && d.q.cd && d.leadsThrough(isBogus) && within(d.against1().denial, d.us.denial)
		}, "RFC 4035 §3.2.2: with CD the asker judges for itself, so a proof is passed on that has no signatures"},
		{"no-more-proof-than-needed", func(d *difference) bool {
			return d.field == fieldDenial && d.one() && d.side == sidePeers && (within(d.us.denial, d.against1().denial) || within(d.against1().denial, d.us.denial))
		}, "RFC 5155 §7.2.3 and §7.2.6: the record that matches a name, or covers the next closer name of a wildcard's answer, is proof enough. NSD adds that of the closest encloser at times, which is passed on; Knot Resolver adds it to what it puts together from its cache"},
		{"nsec-asked-for", func(d *difference) bool {
			return d.field == fieldDenial && (d.q.qtype == dns.TypeNSEC || d.q.qtype == dns.TypeNSEC3) && !d.q.do && within(d.against1().denial, d.us.denial)
		}, "RFC 4035 §3.2.1: without DO, NSEC records are left out unless they are explicitly requested, as here; the peers differ in whether that holds for the authority section"},
	}
}

// onePeer are differences from any one peer, the others being with us.
func onePeer() []rule {
	return []rule{
		{"class-ch", func(d *difference) bool {
			return d.one() && d.q.class == dns.ClassCHAOS && d.us.rcode == "REFUSED"
		}, "RFC 1035 §3.2.4: nobody has data of that class; Unbound and we refuse, Knot Resolver answers SERVFAIL"},
		{"signatures-asked-for", func(d *difference) bool {
			return d.one() && d.q.qtype == dns.TypeRRSIG
		}, "RFC 4035 §2.2: no signature covers an RRSIG RRset, so nothing says how a reply of signatures alone is validated, or which of a denial's belong to it without DO; Unbound passes bogus ones"},
		{"slow-on-bogus", func(d *difference) bool {
			return d.field == fieldReply && d.one() && d.us.err == nil && d.leadsThrough(isBogus)
		}, "RFC 4035 §4.7: some ask for bogus data again and again, one server after another, for longer than we wait here"},
		{"servfail-with-records", func(d *difference) bool {
			return d.one() && d.us.rcode == "SERVFAIL" && d.field != fieldRCode && !d.us.holdsRecords()
		}, "RFC 2308 §7.1: a reply that says SERVFAIL answers nothing: Knot Resolver leaves what it had found in it, bogus data too, and BIND the links of a circle of aliases, with AD"},
		{"soa-as-of-denials", func(d *difference) bool {
			return d.one() && d.field == fieldTTL && d.answers(dns.TypeSOA)
		}, "RFC 2308 §3 and §5: the TTL of the SOA in a denial is at most its MINIMUM; Knot Resolver and BIND answer a question for the SOA with the one that came with a denial"},
	}
}

// bindAlone are differences in which BIND stands alone.
func bindAlone() []rule {
	return []rule{
		{"bind-wildcard-ttl", func(d *difference) bool {
			return d.only(bind) && d.field == fieldTTL && !d.ttlsBetween(ttlNegative)
		}, "RFC 2181 §8 lets a cache shorten a TTL: BIND gives what a wildcard has for a name no longer than the denial of the name lasts"},
		{"bind-nsec-behind-alias", func(d *difference) bool {
			return d.only(bind) && d.q.qtype == dns.TypeNSEC && d.aliased()
		}, "RFC 4035 §2.5: a name with a CNAME in a zone with NSEC3 has no NSEC record, and the question goes on at the target; BIND answers SERVFAIL"},
	}
}

// unboundAlone are differences in which Unbound stands alone, against both of us.
func unboundAlone() []rule {
	return []rule{
		{"unbound-synthesised-cname-ttl-0", func(d *difference) bool {
			return d.only(unbound) && d.field == fieldTTL && d.answers(dns.TypeDNAME)
		}, "RFC 6672 §3.1: a CNAME made from a DNAME has its TTL; Unbound keeps to the 0 of RFC 2672 §4.1"},
		{"unbound-takes-for-bogus-at-first", func(d *difference) bool {
			if !d.only(unbound) || d.field != fieldTTL {
				return false
			}
			for key, ttl := range d.peer(unbound).ttl {
				if ours := d.us.ttl[key]; ttl > valBogusTTL && ttl+uint32((d.elapsed+slack)/time.Second) < ours {
					return false
				}
			}
			return true
		}, "Unbound gives records that it took for bogus, rightly or not, val-bogus-ttl to live (60 s), and does not raise that once they verify"},
		{"unbound-follows-alias-for-nsec", func(d *difference) bool {
			return d.only(unbound) && d.q.qtype == dns.TypeNSEC && (d.answers(dns.TypeCNAME) || d.us.deniesBeside(dns.TypeCNAME))
		}, "RFC 4035 §2.5: a name with a CNAME has an NSEC record of its own, which answers a question for NSEC; Unbound follows a CNAME that it remembers, and at times fails over it"},
		{"unbound-cname-asked-for", func(d *difference) bool {
			return d.only(unbound) && (d.q.qtype == dns.TypeCNAME && d.aliased() || d.q.qtype == dns.TypeDNAME && d.belowDNAME())
		}, "RFC 1034 §4.3.2 and RFC 6672 §3.2: a question for CNAME ends at the CNAME, also at one made from a wildcard or a DNAME, and one for DNAME follows it; Unbound goes on at the target, loses the SOA of the end, or fails to validate it"},
		{"unbound-denial-without-proof", func(d *difference) bool {
			theirs := d.peer(unbound)
			return d.only(unbound) && (d.field == fieldSOA || d.field == fieldDenial) && d.aliased() && len(theirs.soa)+len(theirs.denial) == 0 && len(d.us.soa) > 0
		}, "RFC 2308 §2.1: the denial of an alias's target has its SOA; Unbound leaves the authority section out of some replies put together from its cache"},
		{"unbound-fails-behind-alias", func(d *difference) bool {
			return d.only(unbound) && d.field == fieldRCode && d.peer(unbound).rcode == "SERVFAIL" && d.aliased()
		}, "Knot Resolver and we find and prove what Unbound 1.17 does not: it answers SERVFAIL where the reply that it put together from its cache has lost its proofs"},
		{"unbound-drops-bogus-dname", func(d *difference) bool {
			return d.only(unbound) && d.field == fieldAnswer && d.q.cd && d.leadsThrough(isBogus) && d.answers(dns.TypeDNAME) && within(d.peer(unbound).answer, d.us.answer)
		}, "RFC 6672 §3.1: the DNAME goes with the CNAME made from it; Unbound leaves it out where it is bogus"},
	}
}

// knotAlone are differences in which Knot Resolver stands alone.
func knotAlone() []rule {
	return []rule{
		{"knot-drops-unvalidated-denial", func(d *difference) bool {
			return d.only(knot) && d.field == fieldDenial && within(d.peer(knot).denial, d.us.denial) && !d.us.ad
		}, "RFC 4035 §3.1.3: the proof goes with a wildcard's answer; Knot Resolver gives it out only where it was validated"},
		{"knot-takes-another-signer", func(d *difference) bool {
			return d.only(knot) && d.leadsThrough(func(z *zone) bool { return z.name == "signer" })
		}, "RFC 4035 §5.3.1: the signer's name is that of the zone with the RRset; Knot Resolver 5.6 takes such data for unsigned, or for secure"},
		{"knot-takes-bogus", func(d *difference) bool {
			return d.only(knot) && d.field == fieldRCode && d.us.rcode == "SERVFAIL" && d.leadsThrough(isBogus)
		}, "RFC 4035 §5.4 and §5.5: Knot Resolver 5.6 lets the end of a chain pass unchecked once another part of it is insecure, and a denial without signatures"},
		{"knot-fails-wildcard-alias", func(d *difference) bool {
			return d.only(knot) && d.field == fieldRCode && d.peer(knot).rcode == "SERVFAIL" && slices.Contains(d.path, dns.TypeCNAME)
		}, "RFC 6604 §3: the response code is that of the end of a chain; Knot Resolver 5.6 fails at some aliases made from a wildcard whose target does not exist"},
		{"knot-fails-wildcard-denial", func(d *difference) bool {
			return d.only(knot) && d.field == fieldRCode && d.peer(knot).rcode == "SERVFAIL" && d.leadsThrough(func(z *zone) bool { return z.iterations() > 0 })
		}, "RFC 5155 §8.7: a wildcard without the type is proven; Knot Resolver 5.6 fails at some in zones with NSEC3 iterations"},
		{"knot-drops-dname", func(d *difference) bool {
			return d.only(knot) && d.field != fieldRCode && d.belowDNAME() && len(d.peer(knot).answer) < len(d.us.answer) && within(d.peer(knot).answer, d.us.answer)
		}, "RFC 6672 §3.1: the DNAME and the CNAME made from it are part of the answer; Knot Resolver 5.6 leaves out one or both where the answer comes from its cache, and for questions for CNAME"},
		{"knot-iterations-spoil-the-zone", func(d *difference) bool {
			return d.only(knot) && d.field == fieldAD && d.us.ad && d.leadsThrough(manyIterations)
		}, "RFC 9276 §3.2 speaks of the NSEC3 records: an answer without them verifies. Knot Resolver takes the whole zone for insecure"},
		{"knot-writes-longer", func(d *difference) bool {
			return d.only(knot) && d.field == fieldTC && d.peer(knot).tc && slices.Equal(d.us.answer, d.peer(knot).answer)
		}, "RFC 1035 §4.1.4 leaves compression to the sender: the same records fit into 1232 octets with us, not with Knot Resolver"},
	}
}

// only reports that one peer alone differs from us, and the others do not.
func (d *difference) only(name string) bool { return len(d.against) == 1 && d.against[0] == name }

// one reports that one peer alone differs from us.
func (d *difference) one() bool { return len(d.against) == 1 }

// peer is the reply of the named party, empty if it took no part.
func (d *difference) peer(name string) *reply {
	for _, p := range d.parties {
		if p.name == name {
			return p.reply
		}
	}
	return &reply{}
}

// leadsThrough reports that one of the zones that the question leads through is so.
func (d *difference) leadsThrough(so func(*zone) bool) bool { return slices.ContainsFunc(d.zones, so) }

// answers reports that anybody's answer has a record of a type.
func (d *difference) answers(t uint16) bool {
	has := func(r *reply) bool {
		return r.raw != nil && slices.ContainsFunc(r.raw.Answer, func(rr dns.RR) bool { return rr.Header().Rrtype == t })
	}
	return has(d.us) || slices.ContainsFunc(d.parties, func(p party) bool { return has(p.reply) })
}

func (r *reply) holdsRecords() bool {
	return len(r.answer)+len(r.soa)+len(r.denial)+len(r.authority) > 0
}

// within reports that all of part is in whole.
func within(part, whole []string) bool {
	return !slices.ContainsFunc(part, func(s string) bool { return !slices.Contains(whole, s) })
}

// against1 is the reply of the first peer that differs.
func (d *difference) against1() *reply { return d.peer(d.against[0]) }

// ttlsBetween reports that none of our TTLs is above a peer's, nor below the least in
// seconds, as far as time has not passed.
func (d *difference) ttlsBetween(least uint32) bool {
	passed := uint32((d.elapsed + slack) / time.Second)
	for _, name := range d.against {
		theirs := d.peer(name).ttl
		for key, ttl := range d.us.ttl {
			if other, ok := theirs[key]; ok && (ttl > other+passed || ttl+passed < min(least, other)) {
				return false
			}
		}
	}
	return true
}

// deniesBeside reports that the answer is an NSEC record that shows a type at its owner.
func (r *reply) deniesBeside(t uint16) bool {
	return r.raw != nil && slices.ContainsFunc(r.raw.Answer, func(rr dns.RR) bool {
		nsec, ok := rr.(*dns.NSEC)
		return ok && slices.Contains(nsec.TypeBitMap, t)
	})
}

// aliased reports that the tree leads the question on.
func (d *difference) aliased() bool { return d.answers(dns.TypeCNAME) || len(d.path) > 1 }

// kindsOfAlias are the types that lead a question on.
var kindsOfAlias = []uint16{dns.TypeCNAME, dns.TypeDNAME}

// firstLeads is the type of the first record on the question's way; 0 where it has none.
func (d *difference) firstLeads() uint16 {
	for _, t := range d.path {
		if t != dns.TypeRRSIG {
			return t
		}
	}
	return 0
}

// belowDNAME reports that the question's name lies below a DNAME.
func (d *difference) belowDNAME() bool { return slices.Contains(d.path, dns.TypeDNAME) }

// signing is how a zone is signed; nil where it is not.
func (z *zone) signing() *simnet.Signing {
	if z.sign == nil {
		return nil
	}
	s := &simnet.Signing{}
	z.sign(s)
	return s
}

// iterations are those of the zone's NSEC3 records.
func (z *zone) iterations() uint16 {
	if s := z.signing(); s != nil && s.NSEC3 != nil {
		return s.NSEC3.Iterations
	}
	return 0
}

// algorithm is that of the zone's keys.
func (z *zone) algorithm() uint8 {
	if s := z.signing(); s != nil {
		return s.Algorithm
	}
	return 0
}

func manyIterations(z *zone) bool { return z.iterations() > iterationsTaken }

func isBogus(z *zone) bool { return z.bogus || z.edit != nil }

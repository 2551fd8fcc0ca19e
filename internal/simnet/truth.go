package simnet

import (
	"fmt"
	"time"

	"github.com/miekg/dns"
)

// maxTruthChain is how many aliases across zones Truth follows; resolvers stop
// at eleven to sixteen.
const maxTruthChain = 16

// Truth is what a perfect resolver finds out. Where Status is bogus, RCode and
// Answer are what one sees with validation off (CD); with it on, SERVFAIL.
type Truth struct {
	RCode  string   // NOERROR, NXDOMAIN, ...; SERVFAIL for a loop and for a delegation that leads nowhere
	Answer []string // the answer section without signatures, in presentation form, aliases first
	Status string   // "secure", "insecure" or "bogus"
}

// Truth answers a question from the zones themselves, with no network and no
// server in between: it is what an answer over the faultiest network must equal,
// unless that is SERVFAIL. It knows nothing of servers that are dead or lame, and
// expects every zone below another one to be delegated there.
//
// Of two matters of choice it takes the common view: signatures of an algorithm
// or digest unknown to RFC 8624 make a zone insecure, and a proof from an
// opt-out span leaves a name insecure (RFC 5155 §9.2).
func (t *Tree) Truth(name, qtype string, now time.Time) (Truth, error) {
	name = dns.CanonicalName(name)
	number, ok := dns.StringToType[qtype]
	if _, valid := dns.IsDomainName(name); !ok || !valid {
		return Truth{}, fmt.Errorf("no question: %s %s", name, qtype)
	}
	truth := Truth{RCode: dns.RcodeToString[dns.RcodeServerFailure], Status: "secure"}
	a := &authority{zones: t.zones}
	asked := map[string]bool{}
	for range maxTruthChain {
		z := a.choose(name, number)
		if z == nil || asked[name] {
			return truth, nil
		}
		asked[name] = true
		f := z.find(name, name, number, true)
		for _, rr := range f.answer {
			if number == dns.TypeRRSIG || rr.Header().Rrtype != dns.TypeRRSIG {
				truth.Answer = append(truth.Answer, rr.String())
			}
		}
		truth.Status = weaker(truth.Status, t.status(z, f, now))
		if f.referral {
			return truth, nil
		}
		if f.next == "" {
			truth.RCode = dns.RcodeToString[f.rcode]
			return truth, nil
		}
		name = f.next
	}
	return truth, nil
}

// status is what a validator makes of one zone's part of an answer.
func (t *Tree) status(z *Zone, f *finding, now time.Time) string {
	status := t.zoneStatus(z, now)
	if status != "secure" {
		return status
	}
	denies := len(f.answer) == 0 || f.rcode != dns.RcodeSuccess || f.wildcard
	switch {
	case denies && z.signing.Break&BreakDenial != 0:
		return "bogus"
	case f.opened:
		return "insecure"
	}
	return status
}

// zoneStatus follows the chain of trust from the root of the tree to a zone.
func (t *Tree) zoneStatus(z *Zone, now time.Time) string {
	up := t.parent(z.origin)
	if up != nil {
		if status := t.zoneStatus(up, now); status != "secure" {
			return status
		}
		if !z.hasDS {
			return "insecure"
		}
	}
	s := z.signing
	switch {
	case s == nil:
		return "insecure" // the root of the tree: no anchor
	case !s.known():
		return "insecure"
	case s.Break&^BreakDenial != 0, now.Before(s.Inception), now.After(s.Expiration):
		return "bogus"
	}
	return "secure"
}

// weaker is the worse of two outcomes.
func weaker(a, b string) string {
	for _, s := range []string{"bogus", "insecure"} {
		if a == s || b == s {
			return s
		}
	}
	return a
}

package dnssec

import (
	"time"

	"github.com/shoji-dns/shoji/internal/dns"
)

// Negative is what the NSEC or NSEC3 records of a response prove about a question.
type Negative struct {
	// Status is secure, insecure (an opt-out span, too many NSEC3 iterations) or bogus.
	Status Status

	// RCode is what is proven: NXDOMAIN or NOERROR, for no data. A response that claims
	// NXDOMAIN where the name turns out to exist is right to be served as no data.
	RCode dns.RCode

	// TTL in seconds is the least of the records that the proof leans on. A negative
	// answer is kept no longer than this, the SOA record's own TTL and the SOA's
	// MINIMUM field (RFC 2308 §5, RFC 9077 §3).
	TTL uint32

	// Denials are the records that the proof leans on.
	Denials []Denial
}

// ProveNegative looks in the records of a response, as a rule its authority section,
// for the proof that its negative answer is true (RFC 4035 §5.4, RFC 5155 §8.4 to
// §8.7). For rcode NXDOMAIN the proof is of the name, or else of the type; for NOERROR
// of the type. keys are those of the zone that the name is in; for DS those of the
// parent zone.
func (v *Validator) ProveNegative(
	keys *Keys, name dns.Name, t dns.Type, rcode dns.RCode, records []dns.RR, now time.Time, w *Work,
) Negative {
	if keys == nil {
		return Negative{RCode: rcode}
	}
	name = name.Canonical()
	if nameLength(name) != len(name) || !name.IsSubdomainOf(keys.zone) {
		return Negative{Status: Status{bogus, causeMalformed}, RCode: rcode}
	}
	p := v.newProof(keys, records, now, w)
	status, proven := p.negative(name, t, rcode)
	n := Negative{Status: status, RCode: proven}
	if !status.IsBogus() {
		n.TTL, n.Denials = p.ttl, p.used()
	}
	return n
}

// negative tries NSEC and then NSEC3, a name error and then no data.
func (p *proof) negative(name dns.Name, t dns.Type, rcode dns.RCode) (Status, dns.RCode) {
	if len(p.nsec) > 0 {
		if rcode == dns.RCodeNameError && p.nsecNameError(name) {
			return Status{outcome: secure}, rcode
		}
		if p.nsecNoData(name, t) {
			return Status{outcome: secure}, dns.RCodeSuccess
		}
	}
	if !p.hashable() {
		return p.unhashed(), rcode
	}
	if rcode == dns.RCodeNameError {
		if s, ok := p.nsec3NameError(name); ok {
			return s, rcode
		}
	}
	if s, ok := p.nsec3NoData(name, t, rcode); ok {
		return s, dns.RCodeSuccess
	}
	return p.fails(), rcode
}

// hashable readies the NSEC3 records of a response; false if there are none or their
// iterations are too many.
func (p *proof) hashable() bool {
	if len(p.nsec3) == 0 {
		return false
	}
	p.singleChain()
	return p.nsec3[0].nsec3.iterations <= p.rounds()
}

// rounds is the most iterations that are computed. Synthesis has no Validator, and keeps to
// the least.
func (p *proof) rounds() uint16 {
	if p.v == nil {
		return MaxIterations
	}
	return p.v.rounds
}

// unhashed is the status of a response that NSEC does not prove and NSEC3 cannot.
func (p *proof) unhashed() Status {
	if p.excessive() {
		return Status{insecure, causeIterations}
	}
	return p.fails()
}

// ProveWildcard proves that an RRset at name was rightly expanded from the wildcard
// below encloser: the next closer name, one label longer than encloser, does not exist
// (RFC 4035 §5.3.4, RFC 5155 §8.8). The RCode of the result is NOERROR.
func (v *Validator) ProveWildcard(keys *Keys, name, encloser dns.Name, records []dns.RR, now time.Time, w *Work) Negative {
	if keys == nil {
		return Negative{}
	}
	name, encloser = name.Canonical(), encloser.Canonical()
	if nameLength(name) != len(name) || name == encloser || !name.IsSubdomainOf(encloser) || !encloser.IsSubdomainOf(keys.zone) {
		return Negative{Status: Status{bogus, causeMalformed}}
	}
	p := v.newProof(keys, records, now, w)
	status := p.wildcard(name.Suffix(encloser.Labels() + 1))
	n := Negative{Status: status}
	if !status.IsBogus() {
		n.TTL, n.Denials = p.ttl, p.used()
	}
	return n
}

func (p *proof) wildcard(nextCloser dns.Name) Status {
	if p.denying(nextCloser) != nil {
		return Status{outcome: secure}
	}
	if !p.hashable() {
		return p.unhashed()
	}
	if c := p.covering(nextCloser); c != nil {
		return c.worth()
	}
	return p.fails()
}

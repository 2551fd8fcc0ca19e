package dnssec

import (
	"bytes"
	"encoding/binary"
	"slices"
	"time"

	"github.com/shoji-dns/shoji/internal/dns"
)

// Answer is what a response is worth that came from a zone's servers.
type Answer struct {
	// Status is the weakest of everything that Records and the denial consist of.
	Status Status

	// RCode is NOERROR, or NXDOMAIN or YXDOMAIN where those are proven. With a Next it
	// is NOERROR.
	RCode dns.RCode

	// Records are the records of the answer section that belong to the answer, in the
	// order of the chain, each RRset followed by its RRSIGs. The CNAME that a DNAME
	// brings about, unsigned, follows the DNAME; it is made where the response has
	// none.
	Records []dns.RR

	// TTL in seconds bounds every part of the answer, the denial included.
	TTL uint32

	// Next is set if the chain of aliases goes on at a name that this response or this
	// zone does not speak about: the resolver asks for it. Otherwise it is "".
	Next dns.Name

	// Cut is set if a part of the response was signed by a zone below, which is thus
	// the zone that was to be asked about: the name of that zone. The resolver gets its
	// keys, and verifies the response again from Next with them.
	Cut dns.Name

	// Denials are the NSEC and NSEC3 records that the answer leans on.
	Denials []Denial

	// SOA is the zone's SOA record and the RRSIG that it was verified by, where a negative
	// answer came with them; otherwise it is nil.
	SOA []dns.RR
}

// Response is a response as VerifyAnswer needs it.
type Response struct {
	Name      dns.Name // the question
	Type      dns.Type
	RCode     dns.RCode
	Answer    []dns.RR
	Authority []dns.RR
}

// VerifyAnswer verifies a whole response by the keys of the zone that the question's
// name is in (RFC 4035 §5). It follows aliases as long as they stay in the zone and the
// response goes on; it proves wildcards and denials; records that the question does not
// lead to are left out. A referral is a matter for ProveDelegation. Without keys the
// outcome is indeterminate and nothing is said.
func (v *Validator) VerifyAnswer(keys *Keys, m *Response, now time.Time, w *Work) Answer {
	if keys == nil {
		return Answer{RCode: m.RCode}
	}
	c := &chain{v: v, keys: keys, m: m, now: now, w: w, name: m.Name.Canonical()}
	c.Status = Status{outcome: secure}
	c.TTL = maxTTL
	for range MaxAliases + 1 {
		if !c.step() {
			return c.Answer
		}
	}
	c.next()
	return c.Answer
}

// chain is a response on its way from the question's name to the end.
type chain struct {
	Answer
	v    *Validator
	keys *Keys
	m    *Response
	now  time.Time
	w    *Work
	name dns.Name // where the chain has come to, canonical
}

// step verifies what the response says about c.name and reports whether the chain goes
// on in this response.
func (c *chain) step() bool {
	if !c.name.IsSubdomainOf(c.keys.zone) || nameLength(c.name) != len(c.name) || c.loops() {
		c.next()
		return false
	}
	if c.m.Type == dns.TypeANY {
		return c.any()
	}
	if set, ok := c.dname(); ok { // nothing else can be below a DNAME: RFC 6672 §2.4
		return c.redirect(set)
	}
	if set := pick(c.name, c.m.Type, c.m.Answer); len(set) > 0 {
		if c.m.Type == dns.TypeRRSIG { // signatures are not signed: RFC 4035 §2.2
			c.Status = Status{outcome: insecure}
			c.Records = append(c.Records, set...)
			return false
		}
		c.accept(set)
		return false
	}
	set := pick(c.name, dns.TypeCNAME, c.m.Answer)
	if len(set) == 0 {
		c.end()
		return false
	}
	target, ok := onlyTarget(set)
	if !ok {
		c.fail(Status{bogus, causeMalformed})
		return false
	}
	if !c.accept(set[:1]) {
		return false
	}
	c.name = target.Canonical()
	return true
}

// onlyTarget is the target of the one CNAME or DNAME that a name can have (RFC 1034
// §3.6.2, RFC 6672 §2.4). The same record twice counts once.
func onlyTarget(set []dns.RR) (dns.Name, bool) {
	for i := range set {
		if !bytes.Equal(set[i].Data, set[0].Data) {
			return "", false
		}
	}
	return set[0].Target()
}

// loops reports that the answer holds an alias at the name already.
func (c *chain) loops() bool {
	return slices.ContainsFunc(c.Records, func(rr dns.RR) bool {
		return rr.Type == dns.TypeCNAME && rr.Name.Equal(c.name)
	})
}

// accept verifies an RRset and the wildcard that it may have come from, and adds it to
// the answer.
func (c *chain) accept(set []dns.RR) bool {
	owner, t := set[0].Name, set[0].Type
	r := c.v.verifySet(c.keys, set, c.m.Answer, c.v.moment(c.now), c.w)
	if !r.Status.IsSecure() {
		if zone, ok := Signer(owner, t, c.m.Answer); ok && c.below(zone, owner) && (t != dns.TypeDS || !owner.Equal(zone)) {
			c.cut(zone)
			return false
		}
		c.fail(r.Status)
		return false
	}
	c.TTL = min(c.TTL, r.TTL)
	if r.Encloser != "" {
		n := c.v.ProveWildcard(c.keys, owner, r.Encloser, c.m.Authority, c.now, c.w)
		if n.Status.IsBogus() {
			c.fail(n.Status)
			return false
		}
		c.lean(n)
	}
	c.add(set)
	return true
}

// below reports whether a name is that of a zone below this one that owner may be in.
func (c *chain) below(zone, owner dns.Name) bool {
	return zone != c.keys.zone && zone.IsSubdomainOf(c.keys.zone) && owner.IsSubdomainOf(zone)
}

// cut ends the chain where a zone below has to be asked about.
func (c *chain) cut(zone dns.Name) {
	c.Cut = zone
	c.next()
}

// next ends the chain where another response has to go on.
func (c *chain) next() {
	c.Next = c.name
	c.RCode = dns.RCodeSuccess
}

// fail ends the chain. Nothing that came before counts any more.
func (c *chain) fail(s Status) {
	c.Answer = Answer{Status: s, RCode: c.m.RCode}
}

// lean adds what a proof yielded to the answer.
func (c *chain) lean(n Negative) {
	c.Status = Weakest(c.Status, n.Status)
	c.TTL = min(c.TTL, n.TTL)
	c.Denials = append(c.Denials, n.Denials...)
}

// add puts an RRset and its signatures into the answer.
func (c *chain) add(set []dns.RR) {
	c.Records = append(c.Records, set...)
	for i := range c.m.Answer {
		if rr := &c.m.Answer[i]; rr.Covered() == set[0].Type && rr.Name.Equal(set[0].Name) {
			c.Records = append(c.Records, *rr)
		}
	}
}

// any verifies every RRset at the name; there may be as many as the zone's owner
// pleases (RFC 8482), so each counts against the request's work.
func (c *chain) any() bool {
	var done []dns.Type
	for i := range c.m.Answer {
		rr := &c.m.Answer[i]
		if rr.Type == dns.TypeRRSIG || !rr.Name.Equal(c.name) || slices.Contains(done, rr.Type) {
			continue
		}
		done = append(done, rr.Type)
		if !c.accept(pick(c.name, rr.Type, c.m.Answer)) {
			return false
		}
	}
	if len(done) == 0 {
		c.end()
	}
	return false
}

// dname finds a DNAME in the answer above the name.
func (c *chain) dname() ([]dns.RR, bool) {
	for i := range c.m.Answer {
		rr := &c.m.Answer[i]
		if rr.Type != dns.TypeDNAME || rr.Class != dns.ClassIN {
			continue
		}
		if c.name.IsSubdomainOf(rr.Name) && !c.name.Equal(rr.Name) && rr.Name.IsSubdomainOf(c.keys.zone) {
			return pick(rr.Name, dns.TypeDNAME, c.m.Answer), true
		}
	}
	return nil, false
}

// redirect follows a DNAME. The CNAME beside it needs no signature, and has to be what
// the DNAME makes of the name (RFC 6672 §5.3.1); where there is none, it is made. A
// name that grows too long ends in YXDOMAIN (§2.2).
func (c *chain) redirect(set []dns.RR) bool {
	to, ok := onlyTarget(set)
	if !ok {
		c.fail(Status{bogus, causeMalformed})
		return false
	}
	if !c.accept(set[:1]) {
		return false
	}
	target, fits := substitute(c.name, set[0].Name, to)
	if !fits {
		c.RCode = dns.RCodeYXDomain
		return false
	}
	alias := dns.RR{Name: c.name, Type: dns.TypeCNAME, Class: dns.ClassIN, TTL: set[0].TTL, Data: []byte(target)}
	if given := pick(c.name, dns.TypeCNAME, c.m.Answer); len(given) > 0 {
		got, ok := onlyTarget(given)
		if !ok || !got.Equal(target) {
			c.fail(Status{bogus, causeSynthesis})
			return false
		}
		alias = given[0]
		c.TTL = min(c.TTL, alias.TTL)
	}
	c.Records = append(c.Records, alias)
	c.name = target.Canonical()
	return c.m.Type != dns.TypeCNAME
}

// substitute replaces the end of name that is owner by target (RFC 6672 §2.2).
func substitute(name, owner, target dns.Name) (dns.Name, bool) {
	head := len(name) - len(owner)
	if head < 0 || head+len(target) > dns.MaxName {
		return "", false
	}
	return name[:head] + target, true
}

// end is a chain that ends without data. After an alias, a response that says no more
// leaves the rest to the resolver.
func (c *chain) end() {
	soa := slices.IndexFunc(c.m.Authority, func(rr dns.RR) bool {
		return rr.Type == dns.TypeSOA && c.name.IsSubdomainOf(rr.Name)
	})
	denies := slices.ContainsFunc(c.m.Authority, func(rr dns.RR) bool {
		return rr.Type == dns.TypeNSEC || rr.Type == dns.TypeNSEC3
	})
	if len(c.Records) > 0 && soa < 0 && (!denies || c.m.RCode != dns.RCodeNameError) {
		c.next()
		return
	}
	if soa >= 0 {
		zone := c.m.Authority[soa].Name.Canonical()
		if c.below(zone, c.name) {
			c.cut(zone)
			return
		}
		set := pick(zone, dns.TypeSOA, c.m.Authority)
		r := c.v.verifySet(c.keys, set, c.m.Authority, c.v.moment(c.now), c.w)
		if !r.Status.IsSecure() {
			c.fail(r.Status)
			return
		}
		c.TTL = min(c.TTL, r.TTL)
		c.SOA = []dns.RR{set[0], *r.sig}
		if minimum := c.m.Authority[soa].Data; len(minimum) >= 4 { // RFC 2308 §5
			c.TTL = min(c.TTL, binary.BigEndian.Uint32(minimum[len(minimum)-4:]))
		}
	}
	n := c.v.ProveNegative(c.keys, c.name, c.m.Type, c.m.RCode, c.m.Authority, c.now, c.w)
	if n.Status.IsBogus() {
		c.fail(n.Status)
		return
	}
	c.RCode = n.RCode
	c.lean(n)
}

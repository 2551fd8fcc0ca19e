package simnet

import (
	"net/netip"
	"time"
)

// What the lab's network is like: short ways, so that a demonstration is not a
// wait, and yet ways, so that a cached answer is seen to be faster.
const (
	labLatency = 4 * time.Millisecond
	labJitter  = 2 * time.Millisecond
	labSlow    = 700 * time.Millisecond // how long the slow server thinks
)

// unassignedAlgorithm is a DNSSEC algorithm number that no validator knows.
const unassignedAlgorithm = 200

// Lab makes the Internet of the lab: a root, the TLDs test. and example., and
// below them zones that each show something. now decides which signatures are
// valid; they stay so for 400 days. The seed decides the keys, and whatever
// chance decides: faults are all off and may be dialled in with SetFaults.
//
// It panics if the lab's own zones are at fault, which the tests exclude.
func Lab(seed uint64, now time.Time) *Internet {
	zones := labZones(now)
	specs := make([]Spec, len(zones))
	for i, z := range zones {
		specs[i] = z.spec
	}
	tree, err := Build(seed, specs...)
	if err != nil {
		panic("simnet: the lab's zones: " + err.Error())
	}
	in := New(seed)
	in.tree = tree
	in.SetFaults(Faults{Latency: labLatency, Jitter: labJitter})
	for _, z := range zones {
		for _, h := range z.hosts {
			in.host(tree.Zone(z.spec.Origin), h)
		}
	}
	return in
}

// host puts a zone on a server, one that has other zones already or a new one.
func (in *Internet) host(z *Zone, h labHost) {
	addrs := h.parsed()
	s := in.Server(addrs[0])
	if s == nil {
		s = in.Serve(nil, addrs...)
	}
	s.zones.zones[z.origin] = z
	if h.faults != nil {
		f := *h.faults
		f.Latency, f.Jitter = labLatency, labJitter
		s.SetFaults(f)
	}
}

// Hint is a root server as root hints name it (RFC 9609).
type Hint struct {
	Name  string
	Addrs []netip.Addr
}

// LabHints are the lab's root servers.
func LabHints() []Hint {
	return []Hint{
		{"a.roots.", []netip.Addr{netip.MustParseAddr("198.18.0.1"), netip.MustParseAddr("2001:db8::1")}},
		{"b.roots.", []netip.Addr{netip.MustParseAddr("198.18.0.2"), netip.MustParseAddr("2001:db8::2")}},
	}
}

// LabAnchor is the trust anchor of the lab's root, without the cost of a lab.
func LabAnchor(seed uint64) (Anchor, error) {
	s := labSigning(time.Time{}, nil)
	keys, err := makeKeys(seed, ".", s)
	if err != nil {
		return Anchor{}, err
	}
	return anchorOf(&keys, s.digest())
}

// Subject is something that the lab's list has.
type Subject struct {
	Name   string       // lower case, no trailing dot; "" for a prefix
	Scope  string       // "exact", "subtree" or "prefix"
	Prefix netip.Prefix // where Scope is "prefix"
}

// LabList is what the lab's own list has.
func LabList() []Subject {
	return []Subject{
		{Name: "c2.evil.test", Scope: "subtree"},
		{Name: "exact.evil.test", Scope: "exact"},
		{Scope: "prefix", Prefix: netip.MustParsePrefix("203.0.113.0/24")},
		{Scope: "prefix", Prefix: netip.MustParsePrefix("2001:db8:113::/48")},
	}
}

// Try is a question to put to the lab, and what one should see.
type Try struct {
	Name, Type string
	See        string // for people, in a few words

	RCode  string // of an unfiltered, validating resolver's answer
	Has    string // stands in the answer section, or "" for none
	Status string // "secure", "insecure", "bogus", or "" where no server can be asked
	Listed bool   // the filtered view does not say so
}

// LabTries is a short tour of the lab. The first three are the ones to show.
func LabTries() []Try {
	return []Try{
		{"www.shop.test", "A", "an address", "NOERROR", "192.0.2.10", "insecure", false},
		{"www.bank.test", "A", "an address, authenticated (AD)", "NOERROR", "192.0.2.20", "secure", false},
		{"c2.evil.test", "A", "a listed name: the sinkhole, or its address in the unfiltered view", "NOERROR", "192.0.2.66", "insecure", true},
		{"any.thing.c2.evil.test", "A", "below a listed name", "NOERROR", "192.0.2.67", "insecure", true},
		{"exact.evil.test", "A", "listed, but only itself", "NOERROR", "192.0.2.68", "insecure", true},
		{"sub.exact.evil.test", "A", "below a name that is listed only itself", "NOERROR", "192.0.2.69", "insecure", false},
		{"cdn.shop.test", "A", "an alias of a listed name", "NOERROR", "192.0.2.66", "insecure", true},
		{"c2.mirror.shop.test", "A", "a DNAME that leads to a listed name", "NOERROR", "192.0.2.66", "insecure", true},
		{"far.shop.test", "A", "an address in a listed prefix", "NOERROR", "203.0.113.66", "insecure", true},
		{"far.shop.test", "AAAA", "an IPv6 address in a listed prefix", "NOERROR", "2001:db8:113::66", "insecure", true},
		{"hint.shop.test", "HTTPS", "an address hint in a listed prefix", "NOERROR", "203.0.113.80", "insecure", true},
		{"www.shop.test", "HTTPS", "service parameters with address hints", "NOERROR", "192.0.2.10", "insecure", false},
		{"shop.test", "MX", "a mail exchanger", "NOERROR", "mail.shop.test.", "insecure", false},
		{"big.shop.test", "TXT", "an answer that needs TCP", "NOERROR", "11 xxx", "insecure", false},
		{"step1.shop.test", "A", "a chain of aliases", "NOERROR", "192.0.2.10", "insecure", false},
		{"chain.shop.test", "A", "a chain of aliases through four zones", "NOERROR", "192.0.2.46", "insecure", false},
		{"chain.bank.test", "A", "the same from its signed part on", "NOERROR", "192.0.2.46", "secure", false},
		{"www.old.bank.test", "A", "an alias made from a DNAME", "NOERROR", "192.0.2.20", "secure", false},
		{"www.legacy.test", "A", "a whole zone that is another", "NOERROR", "192.0.2.20", "secure", false},
		{"some.branch.bank.test", "A", "a wildcard, with proof", "NOERROR", "192.0.2.22", "secure", false},
		{"nothing.bank.test", "A", "no such name, with proof", "NXDOMAIN", "", "secure", false},
		{"b.c.bank.test", "A", "an empty non-terminal", "NOERROR", "", "secure", false},
		{"www.hashed.test", "A", "a zone with NSEC3", "NOERROR", "192.0.2.33", "secure", false},
		{"nothing.hashed.test", "A", "no such name, by NSEC3", "NXDOMAIN", "", "secure", false},
		{"www.rsa.test", "A", "signed with RSA", "NOERROR", "192.0.2.34", "secure", false},
		{"www.ed.test", "A", "signed with Ed25519", "NOERROR", "192.0.2.35", "secure", false},
		{"bogus.test", "A", "broken signatures: SERVFAIL", "SERVFAIL", "", "bogus", false},
		{"www.bogus.test", "A", "broken signatures: SERVFAIL", "SERVFAIL", "", "bogus", false},
		{"www.expired.test", "A", "expired signatures: SERVFAIL", "SERVFAIL", "", "bogus", false},
		{"www.badds.test", "A", "a DS of no key: SERVFAIL", "SERVFAIL", "", "bogus", false},
		{"tobad.bank.test", "A", "a signed alias of a bogus name: SERVFAIL", "SERVFAIL", "", "bogus", false},
		{"www.alien.test", "A", "an algorithm that nobody knows", "NOERROR", "192.0.2.32", "insecure", false},
		{"www.island.test", "A", "signed, and no DS in the parent", "NOERROR", "192.0.2.43", "insecure", false},
		{"www.plain.example", "A", "an unsigned zone below an opt-out span", "NOERROR", "192.0.2.44", "insecure", false},
		{"www.d4.d3.d2.d1.deep.example", "A", "six delegations deep", "NOERROR", "192.0.2.54", "secure", false},
		{"www.six.example", "A", "a zone whose only server has IPv6 alone", "NOERROR", "192.0.2.45", "secure", false},
		{"www.dual.example", "A", "a server whose IPv6 is dead", "NOERROR", "192.0.2.46", "secure", false},
		{"www.glueless.test", "A", "name servers in another zone", "NOERROR", "192.0.2.41", "insecure", false},
		{"www.lame.test", "A", "one of two servers is lame", "NOERROR", "192.0.2.37", "insecure", false},
		{"www.slow.test", "A", "a server that thinks for 700 ms", "NOERROR", "192.0.2.39", "insecure", false},
		{"www.nobody.test", "A", "all servers are lame: SERVFAIL", "SERVFAIL", "", "", false},
		{"www.dead.test", "A", "all servers are dead: SERVFAIL", "SERVFAIL", "", "", false},
		{"loop.shop.test", "A", "aliases in a circle: SERVFAIL", "SERVFAIL", "", "", false},
	}
}

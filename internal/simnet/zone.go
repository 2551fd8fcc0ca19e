package simnet

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// Limits of zone text: a simulated zone is written by a test, not by a
// stranger, and these only turn a runaway generator into an error.
const (
	maxZoneRecords = 200_000
	defaultTTL     = 300 // seconds, where the text has no $TTL
)

// Zone is one zone's content, as its primary server holds it. A Zone is made by
// Build and not changed afterwards, so any number of servers may share it.
type Zone struct {
	origin  string // lower case, fully qualified
	nodes   map[string]*node
	signing *Signing // nil: unsigned
	keys    keyring
	denial  []link // NSEC or NSEC3 records in chain order; empty when unsigned
	hasDS   bool   // the parent (in the same Tree) publishes a DS for it
}

// node is an owner name with its RRsets. A node without RRsets is an empty
// non-terminal (RFC 4592 §2.2.2).
type node struct {
	name     string // lower case, fully qualified
	sets     map[uint16]*rrset
	cut      bool // delegation: NS below the apex
	occluded bool // below a cut or a DNAME: not authoritative data
}

// rrset is one RRset with the signatures over it.
type rrset struct {
	rrs  []dns.RR
	sigs []dns.RR
}

// link is one record of the chain that denies existence.
type link struct {
	order string // sortKey of the owner (NSEC) or the owner's hash (NSEC3)
	set   *rrset
}

// Origin is the zone's name, in lower case, with a trailing dot.
func (z *Zone) Origin() string { return z.origin }

// Signed reports whether the zone has signatures, whether they verify or not.
func (z *Zone) Signed() bool { return z.signing != nil }

// Records are all records of the zone in presentation form, the generated ones
// (DNSKEY, RRSIG, NSEC, NSEC3) too, in canonical order of owner names.
func (z *Zone) Records() []string {
	var out []string
	for _, n := range z.sorted() {
		for _, t := range n.types() {
			set := n.sets[t]
			for _, rr := range slices.Concat(set.rrs, set.sigs) {
				out = append(out, rr.String())
			}
		}
	}
	for _, l := range z.denial {
		if l.set.rrs[0].Header().Rrtype != dns.TypeNSEC3 {
			break
		}
		for _, rr := range slices.Concat(l.set.rrs, l.set.sigs) {
			out = append(out, rr.String())
		}
	}
	return out
}

// parseZone reads master-file text (RFC 1035 §5.1). A zone without a SOA gets one.
func parseZone(origin, text string) (*Zone, error) {
	origin = dns.CanonicalName(origin)
	z := &Zone{origin: origin, nodes: map[string]*node{}}
	zp := dns.NewZoneParser(strings.NewReader(text), origin, "")
	zp.SetDefaultTTL(defaultTTL)
	count := 0
	for rr, ok := zp.Next(); ok; rr, ok = zp.Next() {
		if count++; count > maxZoneRecords {
			return nil, fmt.Errorf("zone %s: more than %d records", origin, maxZoneRecords)
		}
		if err := z.add(rr); err != nil {
			return nil, fmt.Errorf("zone %s: %w", origin, err)
		}
	}
	if err := zp.Err(); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("zone %s: %w", origin, err)
	}
	if z.apex() == nil || z.apex().of(dns.TypeSOA) == nil {
		soa, err := dns.NewRR(fmt.Sprintf("%s %d IN SOA ns1.%s hostmaster.%s 1 7200 3600 1209600 %d",
			origin, defaultTTL, trimRoot(origin), trimRoot(origin), defaultTTL))
		if err != nil {
			return nil, fmt.Errorf("zone %s: %w", origin, err)
		}
		if err := z.add(soa); err != nil {
			return nil, err
		}
	}
	return z, nil
}

// trimRoot makes an origin fit behind a relative name and a dot.
func trimRoot(origin string) string {
	if origin == "." {
		return ""
	}
	return origin
}

// add puts one record into the zone. It goes over the wire once, so that names
// and RDATA are in one spelling, and fails where a record cannot be packed.
func (z *Zone) add(rr dns.RR) error {
	buf := make([]byte, dns.Len(rr))
	n, err := dns.PackRR(rr, buf, 0, nil, false)
	if err != nil {
		return fmt.Errorf("%v: %w", rr, err)
	}
	rr, _, err = dns.UnpackRR(buf[:n], 0)
	if err != nil {
		return fmt.Errorf("%v: %w", rr, err)
	}
	h := rr.Header()
	h.Name = strings.ToLower(h.Name)
	if !dns.IsSubDomain(z.origin, h.Name) {
		return fmt.Errorf("%s is not in the zone", h.Name)
	}
	if sig, ok := rr.(*dns.RRSIG); ok {
		// Signatures written in the text stand beside the generated ones: that is
		// how a test plants a false one.
		covered := z.set(h.Name, sig.TypeCovered)
		covered.sigs = append(covered.sigs, sig)
		return nil
	}
	set := z.set(h.Name, h.Rrtype)
	for _, have := range set.rrs {
		if dns.IsDuplicate(have, rr) {
			return nil
		}
		h.Ttl = have.Header().Ttl // one TTL in an RRset (RFC 2181 §5.2)
	}
	set.rrs = append(set.rrs, rr)
	return nil
}

// set returns the RRset of an owner name and type, made if need be.
func (z *Zone) set(owner string, t uint16) *rrset {
	n := z.nodes[owner]
	if n == nil {
		n = &node{name: owner, sets: map[uint16]*rrset{}}
		z.nodes[owner] = n
	}
	s := n.sets[t]
	if s == nil {
		s = &rrset{}
		n.sets[t] = s
	}
	return s
}

func (z *Zone) apex() *node { return z.nodes[z.origin] }

func (z *Zone) soa() *rrset { return z.apex().sets[dns.TypeSOA] }

// negativeTTL is how long a denial may be kept (RFC 2308 §5, RFC 9077).
func (z *Zone) negativeTTL() uint32 {
	soa := z.soa().rrs[0].(*dns.SOA)
	return min(soa.Hdr.Ttl, soa.Minttl)
}

// shape completes the tree: it adds empty non-terminals and marks delegations
// and what they hide.
func (z *Zone) shape() {
	for _, n := range z.sorted() {
		for name := parent(n.name); name != z.origin && dns.IsSubDomain(z.origin, name); name = parent(name) {
			if z.nodes[name] == nil {
				z.nodes[name] = &node{name: name, sets: map[uint16]*rrset{}}
			}
		}
	}
	for _, n := range z.nodes {
		n.cut = n.name != z.origin && n.of(dns.TypeNS) != nil
	}
	for _, n := range z.nodes {
		for name := n.name; name != z.origin; {
			name = parent(name)
			if up := z.nodes[name]; up.cut || up.of(dns.TypeDNAME) != nil {
				n.occluded = true
				break
			}
		}
	}
}

// sorted lists the nodes in canonical order (RFC 4034 §6.1).
func (z *Zone) sorted() []*node {
	type keyed struct {
		key string
		n   *node
	}
	list := make([]keyed, 0, len(z.nodes))
	for _, n := range z.nodes {
		list = append(list, keyed{sortKey(n.name), n})
	}
	slices.SortFunc(list, func(a, b keyed) int { return strings.Compare(a.key, b.key) })
	out := make([]*node, len(list))
	for i, k := range list {
		out[i] = k.n
	}
	return out
}

// of is the node's RRset of type t, or nil.
func (n *node) of(t uint16) *rrset {
	if s := n.sets[t]; s != nil && len(s.rrs) > 0 {
		return s
	}
	return nil
}

// types lists the node's RR types in ascending order.
func (n *node) types() []uint16 {
	out := make([]uint16, 0, len(n.sets))
	for t, s := range n.sets {
		if len(s.rrs) > 0 {
			out = append(out, t)
		}
	}
	slices.Sort(out)
	return out
}

// signedType reports whether the zone's signer signs the node's RRset of type t:
// all authoritative data; at a delegation only what is the parent's own.
func (n *node) signedType(t uint16) bool {
	if n.occluded {
		return false
	}
	return !n.cut || t == dns.TypeDS || t == dns.TypeNSEC
}

// parent is the name one label up; the root is its own parent.
func parent(name string) string {
	i, end := dns.NextLabel(name, 0)
	if end || i >= len(name) {
		return "."
	}
	return name[i:]
}

// child puts a label before a name.
func child(label, name string) string {
	if name == "." {
		return label + "."
	}
	return label + "." + name
}

// sortKey maps a lower-case name to a string whose byte order is the canonical
// order of names: labels from the root down, each octet 0 or 1 escaped so that
// the separator sorts below everything.
func sortKey(name string) string {
	var wire [256]byte
	n, err := dns.PackDomainName(name, wire[:], 0, nil, false)
	if err != nil {
		return ""
	}
	var starts []int
	for i := 0; i < n-1; i += int(wire[i]) + 1 {
		starts = append(starts, i)
	}
	key := make([]byte, 0, n+8)
	for _, i := range slices.Backward(starts) {
		for _, c := range wire[i+1 : i+1+int(wire[i])] {
			if c <= 1 {
				key = append(key, 1, c+1)
				continue
			}
			key = append(key, c)
		}
		key = append(key, 0)
	}
	return string(key)
}

package dnssec

import (
	"bytes"
	"crypto/sha1"
	"encoding/binary"
	"slices"

	"github.com/shoji-dns/shoji/internal/dns"
)

const (
	nsec3SHA1     = 1 // the only hash algorithm, RFC 5155 §11
	nsec3OptOut   = 1 // the only flag, RFC 5155 §3.1.2.1
	nsec3Fixed    = 5 // octets of RDATA up to the salt's length, RFC 5155 §3.2
	nsec3LabelLen = 32
)

// hash is a hashed owner name.
type hash [sha1.Size]byte

// nsec3 is what is particular to an NSEC3 record (RFC 5155 §3).
type nsec3 struct {
	owner      hash
	next       hash
	optOut     bool
	iterations uint16
	salt       []byte
}

// parseNSEC3 reads an NSEC3 record of a zone. Records with unknown hash algorithms or
// flags are to be ignored (RFC 5155 §8.1 and §8.2).
func parseNSEC3(rr *dns.RR, zone dns.Name) (Denial, bool) {
	b := rr.Data
	if nameLength(rr.Name) != len(rr.Name) || !rr.Name.Parent().Equal(zone) || rr.Name == dns.Root {
		return Denial{}, false
	}
	if len(b) < nsec3Fixed || b[0] != nsec3SHA1 || b[1]&^nsec3OptOut != 0 {
		return Denial{}, false
	}
	d := Denial{zone: zone, owner: rr.Name.Canonical(), rr: *rr}
	n := &d.nsec3
	n.optOut = b[1]&nsec3OptOut != 0
	n.iterations = binary.BigEndian.Uint16(b[2:])
	salt := int(b[4])
	b = b[nsec3Fixed:]
	if len(b) < salt+1+sha1.Size || b[salt] != sha1.Size {
		return Denial{}, false
	}
	n.salt = b[:salt]
	copy(n.next[:], b[salt+1:])
	d.types = bitmap(b[salt+1+sha1.Size:])
	if d.owner[0] != nsec3LabelLen || !decodeHash(&n.owner, d.owner[1:1+nsec3LabelLen]) {
		return Denial{}, false
	}
	return d, d.types.valid()
}

// decodeHash reads 32 digits of base 32 with the extended hex alphabet in lower case
// (RFC 4648 §7): eight digits make five octets.
func decodeHash(h *hash, s dns.Name) bool {
	for i := 0; i < nsec3LabelLen/8; i++ {
		var v uint64
		for _, c := range []byte(s[8*i : 8*i+8]) {
			switch {
			case '0' <= c && c <= '9':
				v = v<<5 | uint64(c-'0')
			case 'a' <= c && c <= 'v':
				v = v<<5 | uint64(c-'a'+10)
			default:
				return false
			}
		}
		for j := range 5 {
			h[5*i+j] = byte(v >> (32 - 8*j))
		}
	}
	return true
}

// hashName is the hash of a canonical name (RFC 5155 §5).
func hashName(name dns.Name, salt []byte, iterations uint16) (h hash) {
	var buf [dns.MaxName + 255]byte
	n := copy(buf[:], name)
	n += copy(buf[n:], salt)
	h = sha1.Sum(buf[:n])
	n = sha1.Size + copy(buf[sha1.Size:], salt)
	for range iterations {
		copy(buf[:], h[:])
		h = sha1.Sum(buf[:n])
	}
	return h
}

// covers reports whether a hash lies strictly between the owner's and the next one, on
// the circle that the zone's hashes form.
func (n *nsec3) covers(h hash) bool {
	after := bytes.Compare(n.owner[:], h[:]) < 0
	before := bytes.Compare(h[:], n.next[:]) < 0
	if bytes.Compare(n.owner[:], n.next[:]) < 0 {
		return after && before
	}
	return after || before
}

// sameChain reports whether two records have the same parameters.
func (n *nsec3) sameChain(m *nsec3) bool {
	return n.iterations == m.iterations && bytes.Equal(n.salt, m.salt)
}

// hashes computes hashes for one response, each name once.
type hashes struct {
	chain *nsec3 // whose parameters count
	names []dns.Name
	sums  []hash
	spent bool // the request's budget ran out
}

// hash is the hash of a canonical name by the parameters of the response's chain.
func (p *proof) hash(name dns.Name) (hash, bool) {
	for i, n := range p.hashes.names {
		if n == name {
			return p.hashes.sums[i], true
		}
	}
	if !p.w.hash(p.most) {
		p.hashes.spent = true
		p.failure = causeWork
		return hash{}, false
	}
	h := hashName(name, p.hashes.chain.salt, p.hashes.chain.iterations)
	p.hashes.names = append(p.hashes.names, name)
	p.hashes.sums = append(p.hashes.sums, h)
	return h, true
}

// singleChain drops the records whose parameters differ from the first one's: all
// records of a response belong to one chain (RFC 5155 §7.2).
func (p *proof) singleChain() {
	chain := p.nsec3[0].nsec3
	p.hashes.chain = &chain
	p.nsec3 = slices.DeleteFunc(p.nsec3, func(c candidate) bool { return !c.nsec3.sameChain(&chain) })
}

// excessive reports that the chain has more iterations than are computed and that a
// signature vouches for it (RFC 9276 §3.2): such a response is insecure.
func (p *proof) excessive() bool {
	for i := range p.nsec3 {
		if p.nsec3[i].nsec3.iterations > p.rounds() && p.good(&p.nsec3[i]) {
			return true
		}
	}
	return false
}

// owned returns the record of a canonical name, verified or not, that was not refused.
func (p *proof) owned(name dns.Name) *candidate {
	h, ok := p.hash(name)
	if !ok {
		return nil
	}
	for i := range p.nsec3 {
		if c := &p.nsec3[i]; c.nsec3.owner == h && c.state != refused {
			return c
		}
	}
	return nil
}

// matching returns the verified NSEC3 record of a canonical name.
func (p *proof) matching(name dns.Name) *candidate {
	for {
		if c := p.owned(name); c == nil || p.good(c) {
			return c
		}
	}
}

// covering returns a verified NSEC3 record that covers a canonical name. Where several
// do, one without opt-out is taken: it proves more.
func (p *proof) covering(name dns.Name) *candidate {
	h, ok := p.hash(name)
	if !ok {
		return nil
	}
	for _, optOut := range [2]bool{false, true} {
		for i := range p.nsec3 {
			if c := &p.nsec3[i]; c.nsec3.optOut == optOut && c.nsec3.covers(h) && p.good(c) {
				return c
			}
		}
	}
	return nil
}

// closest proves the closest encloser of a name that does not exist (RFC 5155 §8.3): an
// ancestor that has a record, and the next closer name below it covered.
//
// The search goes from the apex down. It stops where the next closer name is covered,
// so a long name below a high encloser costs two hashes (CVE-2023-50868), and records
// that do not make up a pair are not verified. An ancestor that is a delegation or a
// DNAME encloses nothing of this zone.
func (p *proof) closest(name dns.Name) (encloser dns.Name, next *candidate) {
	labels := name.Labels()
	for n := p.zone.Labels(); n < labels && !p.hashes.spent; n++ {
		encloser = name.Suffix(n)
		c := p.owned(encloser)
		if c == nil {
			continue
		}
		if next = p.covering(name.Suffix(n + 1)); next == nil {
			continue
		}
		if c = p.matching(encloser); c == nil {
			continue
		}
		if c.types.delegates() || c.types.has(dns.TypeDNAME) {
			return "", nil
		}
		return encloser, next
	}
	return "", nil
}

// nsec3NameError proves by NSEC3 that a name does not exist, nor a wildcard that would
// stand for it (RFC 5155 §8.4). Under opt-out an unsigned delegation may be there: the
// outcome is insecure (RFC 5155 §9.2).
func (p *proof) nsec3NameError(name dns.Name) (Status, bool) {
	encloser, next := p.closest(name)
	if next == nil {
		return Status{}, false
	}
	if wild, ok := wildcard(encloser); ok && p.covering(wild) == nil {
		return Status{}, false
	}
	return next.worth(), true
}

// worth is what a proof is worth that leans on the record covering a name.
func (d *Denial) worth() Status {
	if d.nsec3.optOut {
		return Status{insecure, causeOptOut}
	}
	return Status{outcome: secure}
}

// nsec3NoData proves by NSEC3 that a name has no data of a type: by its own record (RFC
// 5155 §8.5, §8.6), by that of the wildcard that stands for it (§8.7), or, insecurely,
// by an opt-out span that hides it (§8.6; for empty non-terminals that lead to unsigned
// delegations alone, erratum 3441).
//
// An opt-out span proves no name to exist: a response that claims that the name does not,
// and shows no more than the span, is short of the proof about a wildcard.
func (p *proof) nsec3NoData(name dns.Name, t dns.Type, claimed dns.RCode) (Status, bool) {
	if c := p.matching(name); c != nil {
		return Status{outcome: secure}, c.types.lacks(t, name)
	}
	encloser, next := p.closest(name)
	if next == nil {
		return Status{}, false
	}
	if wild, ok := wildcard(encloser); ok {
		if c := p.matching(wild); c != nil && c.types.lacks(t, wild) {
			return next.worth(), true
		}
	}
	return Status{insecure, causeOptOut}, next.nsec3.optOut && claimed != dns.RCodeNameError
}

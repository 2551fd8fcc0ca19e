package dnssec

import (
	"cmp"
	"slices"
	"strings"
	"testing"

	foreign "github.com/miekg/dns"

	"github.com/shoji-dns/shoji/internal/dns"
)

// lab is a zone and its authoritative server in a few lines: what RFC 4035 §3.1 and RFC
// 5155 §7.2 have a server say. It knows the truth that proofs are held against.
type lab struct {
	t      testing.TB
	key    *testKey
	apex   string
	data   map[string][]foreign.RR // by owner in lower case
	chain  []foreign.RR            // NSEC or NSEC3 records in order
	nsec3  bool
	optOut bool
	iter   uint16
	salt   string
	sigs   map[string]*foreign.RRSIG
}

// newLab builds a zone of zone file lines. The apex gets SOA and NS records.
func newLab(t testing.TB, key *testKey, nsec3, optOut bool, lines ...string) *lab {
	z := &lab{t: t, key: key, apex: key.zone, nsec3: nsec3, optOut: optOut, iter: 3, salt: "aabb",
		data: map[string][]foreign.RR{}, sigs: map[string]*foreign.RRSIG{}}
	lines = append(lines,
		z.apex+" 300 IN SOA ns.example.net. host.example.net. 1 3600 600 86400 300",
		z.apex+" 300 IN NS ns.example.net.")
	for _, rr := range parse(t, lines...) {
		owner := strings.ToLower(rr.Header().Name)
		z.data[owner] = append(z.data[owner], rr)
	}
	z.link()
	return z
}

func (z *lab) rrset(owner string, t uint16) (set []foreign.RR) {
	for _, rr := range z.data[owner] {
		if rr.Header().Rrtype == t {
			set = append(set, rr)
		}
	}
	return set
}

// parents yields a name and its ancestors up to the apex.
func (z *lab) parents(name string) (out []string) {
	for n := name; ; n = n[strings.IndexByte(n, '.')+1:] {
		out = append(out, n)
		if n == z.apex || n == "" {
			return out
		}
	}
}

// cut is the delegation that a name is at or below, or "".
func (z *lab) cut(name string) string {
	found := ""
	for _, n := range z.parents(name) {
		if n != z.apex && len(z.rrset(n, foreign.TypeNS)) > 0 {
			found = n
		}
	}
	return found
}

// dname is the DNAME that a name is below, or "".
func (z *lab) dname(name string) string {
	found := ""
	for _, n := range z.parents(name)[1:] {
		if len(z.rrset(n, foreign.TypeDNAME)) > 0 {
			found = n
		}
	}
	return found
}

// hidden reports whether a name's data is not the zone's to give.
func (z *lab) hidden(name string) bool {
	return z.cut(name) != "" && z.cut(name) != name || z.dname(name) != ""
}

// unsigned reports a delegation without DS.
func (z *lab) unsigned(name string) bool {
	return z.cut(name) == name && len(z.rrset(name, foreign.TypeDS)) == 0
}

// exists reports whether a name is in the zone's tree: it owns records or is above one
// that does.
func (z *lab) exists(name string) bool {
	for owner := range z.data {
		if !z.hidden(owner) && foreign.IsSubDomain(name, owner) {
			return true
		}
	}
	return false
}

// types are the types at an owner, in order.
func (z *lab) types(owner string) (out []uint16) {
	for _, rr := range z.data[owner] {
		if t := rr.Header().Rrtype; !slices.Contains(out, t) {
			out = append(out, t)
		}
	}
	if len(out) > 0 && !z.unsigned(owner) {
		out = append(out, foreign.TypeRRSIG)
	}
	return out
}

// link builds the zone's NSEC or NSEC3 chain.
func (z *lab) link() {
	names := map[string]bool{}
	for owner := range z.data {
		switch {
		case z.hidden(owner), z.optOut && z.unsigned(owner):
		case !z.nsec3:
			names[owner] = true
		default:
			for _, n := range z.parents(owner) {
				names[n] = true
			}
		}
	}
	if z.nsec3 {
		z.linkNSEC3(names)
	} else {
		z.linkNSEC(names)
	}
}

func (z *lab) linkNSEC(names map[string]bool) {
	var order []dns.Name
	for n := range names {
		order = append(order, dns.MustName(n))
	}
	slices.SortFunc(order, dns.Name.Compare)
	for i, n := range order {
		owner := n.String()
		types := append(z.types(owner), foreign.TypeNSEC)
		if z.unsigned(owner) {
			types = append(types, foreign.TypeRRSIG)
		}
		slices.Sort(types)
		z.chain = append(z.chain, &foreign.NSEC{
			Hdr:        foreign.RR_Header{Name: owner, Rrtype: foreign.TypeNSEC, Class: foreign.ClassINET, Ttl: 300},
			NextDomain: order[(i+1)%len(order)].String(), TypeBitMap: types,
		})
	}
}

func (z *lab) hash(name string) string {
	return strings.ToLower(foreign.HashName(name, foreign.SHA1, z.iter, z.salt))
}

func (z *lab) linkNSEC3(names map[string]bool) {
	for n := range names {
		types := z.types(n)
		slices.Sort(types)
		r := &foreign.NSEC3{
			Hdr:  foreign.RR_Header{Name: z.hash(n) + "." + strings.TrimPrefix(z.apex, "."), Rrtype: foreign.TypeNSEC3, Class: foreign.ClassINET, Ttl: 300},
			Hash: foreign.SHA1, Iterations: z.iter, SaltLength: uint8(len(z.salt) / 2), Salt: z.salt, HashLength: 20, TypeBitMap: types,
		}
		if z.optOut {
			r.Flags = 1
		}
		z.chain = append(z.chain, r)
	}
	slices.SortFunc(z.chain, func(a, b foreign.RR) int { return cmp.Compare(a.Header().Name, b.Header().Name) })
	for i, rr := range z.chain {
		next := z.chain[(i+1)%len(z.chain)].Header().Name
		rr.(*foreign.NSEC3).NextDomain = strings.ToUpper(next[:strings.IndexByte(next, '.')])
	}
}

// match is the denial record of a name, or nil.
func (z *lab) match(name string) foreign.RR {
	for _, rr := range z.chain {
		if n, ok := rr.(*foreign.NSEC3); ok && n.Match(name) || !z.nsec3 && rr.Header().Name == name {
			return rr
		}
	}
	return nil
}

// cover is the denial record that covers a name, or nil.
func (z *lab) cover(name string) (found foreign.RR) {
	for _, rr := range z.chain {
		if n, ok := rr.(*foreign.NSEC3); ok {
			if n.Cover(name) && !n.Match(name) {
				return rr
			}
		} else if dns.MustName(rr.Header().Name).Compare(dns.MustName(name)) < 0 {
			found = rr
		}
	}
	if z.match(name) != nil {
		return nil
	}
	return found
}

// signedRR is an RRset followed by its signature, made once.
func (z *lab) signedRR(set ...foreign.RR) []foreign.RR {
	h := set[0].Header()
	id := h.Name + foreign.TypeToString[h.Rrtype]
	if z.sigs[id] == nil {
		z.sigs[id] = z.key.sign(z.t, set)
	}
	return append(slices.Clone(set), z.sigs[id])
}

// reply is a response in the making.
type reply struct {
	rcode             int
	answer, authority []foreign.RR
	kind              string // "data", "alias", "nodata", "nxdomain", "referral"
	insecure          bool   // a proof leans on an opt-out span
	denials           []string
}

// deny adds denial records to the authority section, each once.
func (z *lab) deny(r *reply, rrs ...foreign.RR) {
	for _, rr := range rrs {
		if rr != nil && !slices.Contains(r.denials, rr.Header().Name) {
			r.denials = append(r.denials, rr.Header().Name)
			r.authority = append(r.authority, z.signedRR(rr)...)
		}
	}
}

// encloser is the closest encloser of a name and the next closer name. Under opt-out it
// is the closest provable one.
func (z *lab) encloser(name string) (encloser, next string) {
	up := z.parents(name)
	for i := 1; i < len(up); i++ {
		if z.exists(up[i]) && (!z.nsec3 || z.match(up[i]) != nil) {
			return up[i], up[i-1]
		}
	}
	z.t.Fatalf("no encloser of %s in %s", name, z.apex)
	return "", ""
}

// denyName adds the proof that a name does not exist, wildcards aside.
func (z *lab) denyName(r *reply, name string) (encloser string) {
	encloser, next := z.encloser(name)
	if z.nsec3 {
		z.deny(r, z.match(encloser), z.cover(next))
		r.insecure = r.insecure || z.optOut
	} else {
		z.deny(r, z.cover(name))
	}
	return encloser
}

// soa adds the SOA record of a negative answer.
func (z *lab) soa(r *reply) {
	r.authority = append(r.authority, z.signedRR(z.rrset(z.apex, foreign.TypeSOA)...)...)
}

// query answers a question about a name in the zone.
func (z *lab) query(name string, t uint16) *reply {
	r := &reply{}
	var seen []string
	for len(seen) < 4 && !slices.Contains(seen, name) {
		seen = append(seen, name)
		next, more := z.step(r, strings.ToLower(name), t)
		if !more {
			return r
		}
		if name = next; !foreign.IsSubDomain(z.apex, name) {
			break
		}
	}
	r.kind = "alias"
	return r
}

// step answers about one name of a chain.
func (z *lab) step(r *reply, name string, t uint16) (next string, more bool) {
	if d := z.dname(name); d != "" && z.cut(d) == "" {
		set := z.rrset(d, foreign.TypeDNAME)
		r.answer = append(r.answer, z.signedRR(set...)...)
		next = strings.TrimSuffix(name, d) + set[0].(*foreign.DNAME).Target
		r.answer = append(r.answer, &foreign.CNAME{Hdr: foreign.RR_Header{Name: name, Rrtype: foreign.TypeCNAME, Class: foreign.ClassINET, Ttl: 300}, Target: next})
		r.kind = "data"
		return next, t != foreign.TypeCNAME
	}
	if c := z.cut(name); c != "" && (c != name || t != foreign.TypeDS) {
		if len(r.answer) > 0 {
			r.kind = "alias" // the referral after it is left to the resolver
			return "", false
		}
		z.refer(r, c)
		return "", false
	}
	if set := z.data[name]; len(set) > 0 {
		return z.found(r, name, name, t)
	}
	if z.exists(name) {
		z.noData(r, name)
		return "", false
	}
	encloser := z.denyName(r, name)
	real := encloser
	if z.optOut {
		real, _ = z.trueEncloser(name)
	}
	if real != encloser && z.exists("*."+strings.TrimPrefix(encloser, ".")) {
		// An empty non-terminal that has no record, and a wildcard above it: no records
		// of the zone tell that the wildcard does not apply.
		r.kind = "unprovable"
		return "", false
	}
	wild := "*." + strings.TrimPrefix(real, ".")
	if len(z.data[wild]) > 0 && z.cut(wild) == "" {
		if real != encloser {
			z.t.Fatalf("wildcard below %s, but %s is the closest provable encloser", real, encloser)
		}
		return z.found(r, wild, name, t)
	}
	if z.exists(wild) {
		r.kind = "nodata"
		z.soa(r)
		z.denyEmpty(r, wild)
		return "", false
	}
	r.kind, r.rcode = "nxdomain", foreign.RcodeNameError
	z.soa(r)
	z.deny(r, z.cover("*."+strings.TrimPrefix(encloser, ".")))
	return "", false
}

// trueEncloser is the closest encloser, be it provable or not.
func (z *lab) trueEncloser(name string) (encloser, next string) {
	up := z.parents(name)
	for i := 1; i < len(up); i++ {
		if z.exists(up[i]) {
			return up[i], up[i-1]
		}
	}
	return z.apex, ""
}

// found answers from records at owner, which is name or the wildcard that stands for
// it.
func (z *lab) found(r *reply, owner, name string, t uint16) (next string, more bool) {
	give := func(t uint16) bool {
		set := z.rrset(owner, t)
		if len(set) == 0 {
			return false
		}
		for _, rr := range z.signedRR(set...) {
			rr = foreign.Copy(rr)
			rr.Header().Name = name
			r.answer = append(r.answer, rr)
		}
		return true
	}
	switch {
	case give(t):
		z.forget(r, owner, name)
		r.kind = "data"
	case give(foreign.TypeCNAME):
		z.forget(r, owner, name)
		return z.rrset(owner, foreign.TypeCNAME)[0].(*foreign.CNAME).Target, true
	default:
		r.kind = "nodata"
		z.soa(r)
		if z.deny(r, z.match(owner)); z.match(owner) == nil {
			z.denyName(r, owner) // the DS of an unsigned delegation in an opt-out span
		}
	}
	return "", false
}

// forget drops the closest encloser's record from a wildcard answer, where by RFC 5155
// §7.2.6 the next closer name's record is enough.
func (z *lab) forget(r *reply, owner, name string) {
	if owner == name || !z.nsec3 {
		return
	}
	encloser, next := z.encloser(name)
	if rr := z.match(encloser); rr != z.cover(next) {
		spare := rr.Header().Name
		r.authority = slices.DeleteFunc(r.authority, func(x foreign.RR) bool { return x.Header().Name == spare })
		r.denials = slices.DeleteFunc(r.denials, func(x string) bool { return x == spare })
	}
}

func (z *lab) noData(r *reply, name string) {
	r.kind = "nodata"
	z.soa(r)
	z.denyEmpty(r, name)
}

// denyEmpty proves that a name that owns nothing is an empty non-terminal.
func (z *lab) denyEmpty(r *reply, name string) {
	switch {
	case !z.nsec3:
		z.deny(r, z.cover(name))
	case z.match(name) != nil:
		z.deny(r, z.match(name))
	default: // only unsigned delegations below: erratum 3441 of RFC 5155
		z.denyName(r, name)
	}
}

// refer answers with a referral.
func (z *lab) refer(r *reply, cut string) {
	r.kind = "referral"
	r.authority = append(r.authority, z.rrset(cut, foreign.TypeNS)...)
	switch ds := z.rrset(cut, foreign.TypeDS); {
	case len(ds) > 0:
		r.authority = append(r.authority, z.signedRR(ds...)...)
	case z.match(cut) != nil:
		z.deny(r, z.match(cut))
	default:
		z.denyName(r, cut)
	}
}

// response is a reply as the validator takes it.
func (z *lab) response(r *reply, name string, t uint16) *Response {
	return &Response{
		Name: dns.MustName(name), Type: dns.Type(t), RCode: dns.RCode(r.rcode),
		Answer: records(z.t, r.answer...), Authority: records(z.t, r.authority...),
	}
}

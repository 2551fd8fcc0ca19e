package serve

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/shoji-dns/shoji/internal/answer"
	"github.com/shoji-dns/shoji/internal/cache"
	"github.com/shoji-dns/shoji/internal/dns"
)

// DNS64 makes AAAA records of A records, for networks of IPv6 alone behind a NAT64 (RFC 6147).
//
// Memory holds what the Internet said; AAAA records are made on the way out, in Miss. Hit
// answers what needs none made. A listed IPv4 address is filtered embedded, too. A query with
// DO and CD gets the Internet's own answer: its sender validates, and synthesises itself
// (§5.5). What was made has no AD.
type DNS64 struct {
	// Prefix embeds the IPv4 addresses; its length is one of RFC 6052 §2.2.
	Prefix netip.Prefix
	// Exclude are AAAA records that count as none; nil is the IPv4-mapped ones (§5.1.4).
	Exclude []netip.Prefix
	// All makes AAAA records of A records even where a name has its own.
	All bool
}

// dns64NoSOA bounds the TTL of what is made where the negative answer had no SOA to say one,
// in seconds (RFC 6147 §5.1.7).
const dns64NoSOA = 600

// reverse64TTL is the TTL of the CNAME that a reverse name gets, in seconds. It says nothing
// that could change.
const reverse64TTL = 3600

// The IPv4 addresses of ipv4only.arpa (RFC 7050 §8.2).
var ipv4Only = []netip.Addr{netip.MustParseAddr("192.0.0.170"), netip.MustParseAddr("192.0.0.171")}

// Check says what of d cannot work.
func (d *DNS64) Check() error {
	switch bits := d.Prefix.Bits(); {
	case !d.Prefix.IsValid() || !d.Prefix.Addr().Is6() || d.Prefix.Addr().Is4In6():
		return errors.New("the prefix is none of IPv6")
	case !slices.Contains([]int{32, 40, 48, 56, 64, 96}, bits):
		return fmt.Errorf("a prefix of %d bits embeds no address: its length is 32, 40, 48, 56, 64 or 96 (RFC 6052 §2.2)", bits)
	case d.Prefix.Masked() != d.Prefix:
		return fmt.Errorf("%s has bits behind the prefix: write %s", d.Prefix, d.Prefix.Masked())
	case bits == 96 && d.Prefix.Addr().As16()[8] != 0:
		return errors.New("bits 64 to 71 of the prefix are not zero (RFC 6052 §2.2)")
	}
	return nil
}

// excludes reports whether an AAAA record counts as none.
func (d *DNS64) excludes(a netip.Addr) bool {
	if d.Exclude == nil {
		return a.Is4In6()
	}
	return slices.ContainsFunc(d.Exclude, func(p netip.Prefix) bool { return p.Contains(a) })
}

// embed is an IPv4 address in the prefix: behind it, but for bits 64 to 71 (RFC 6052 §2.2).
// The well-known prefix embeds no address without a public meaning (§3.1).
func (d *DNS64) embed(a netip.Addr) (netip.Addr, bool) {
	private := func(p netip.Prefix) bool { return p.Contains(a) }
	if d.Prefix == wellKnownNAT64 && slices.ContainsFunc(PrivatePrefixes(), private) {
		return netip.Addr{}, false
	}
	b, v4 := d.Prefix.Addr().As16(), a.As4()
	at := d.Prefix.Bits() / 8
	for _, c := range v4 {
		if at == 8 {
			at++
		}
		b[at] = c
		at++
	}
	return netip.AddrFrom16(b), true
}

// extract is the IPv4 address that embed put into a.
func (d *DNS64) extract(a netip.Addr) netip.Addr {
	b := a.As16()
	var v4 [4]byte
	at := d.Prefix.Bits() / 8
	for i := range v4 {
		if at == 8 {
			at++
		}
		v4[i] = b[at]
		at++
	}
	return netip.AddrFrom4(v4)
}

// reverse is the name in in-addr.arpa that a reverse name in the prefix stands for (RFC 6147
// §5.3.1); ok is false for other names.
func (d *DNS64) reverse(name []byte) (target dns.Name, ok bool) {
	const zone = "\x03ip6\x04arpa\x00"
	const nibbles = 32
	if len(name) != 2*nibbles+len(zone) || string(name[2*nibbles:]) != zone {
		return "", false
	}
	var b [16]byte
	for i := range nibbles {
		label := name[2*(nibbles-1-i) : 2*(nibbles-i)]
		digit := slices.Index([]byte("0123456789abcdef"), label[1])
		if label[0] != 1 || digit < 0 {
			return "", false
		}
		b[i/2] = b[i/2]<<4 | byte(digit)
	}
	addr := netip.AddrFrom16(b)
	if !d.Prefix.Contains(addr) {
		return "", false
	}
	return reverse4(d.extract(addr)), true
}

// reverse4 is the reverse name of an IPv4 address.
func reverse4(a netip.Addr) dns.Name {
	b := a.As4()
	return dns.MustName(fmt.Sprintf("%d.%d.%d.%d.in-addr.arpa", b[3], b[2], b[1], b[0]))
}

// zones are the names that a resolver with NAT64 answers itself (RFC 8880 §7.1, §7.2).
func (d *DNS64) zones() []LocalZone {
	name := dns.MustName("ipv4only.arpa")
	only := LocalZone{Name: name, Kind: LocalStatic}
	record := func(owner dns.Name, t dns.Type, data []byte) dns.RR {
		return dns.RR{Name: owner, Type: t, Class: dns.ClassIN, TTL: localTTL, Data: data}
	}
	var zones []LocalZone
	for _, a := range ipv4Only {
		b, _ := d.embed(a)
		only.Records = append(only.Records, record(name, dns.TypeA, a.AsSlice()), record(name, dns.TypeAAAA, b.AsSlice()))
		owner := reverse4(a)
		zones = append(zones, LocalZone{Name: owner, Kind: LocalStatic, Records: []dns.RR{record(owner, dns.TypePTR, []byte(name))}})
	}
	only.Records = append(only.Records, record(name, dns.TypeNS, []byte(name)))
	return append(zones, only)
}

// synthesises reports whether q is one whose answer may have to be made: for AAAA, unless its
// sender validates and synthesises itself (RFC 6147 §5.5), or for a reverse name.
func (d *DNS64) synthesises(q *dns.Query) bool {
	switch q.Type {
	case dns.TypeAAAA:
		return !q.DO || !q.Flags.Has(dns.FlagCD)
	case dns.TypePTR:
		_, ok := d.reverse(q.Name())
		return ok
	}
	return false
}

// hit64 answers a question that synthesises from memory, where nothing has to be made.
func (s *Server) hit64(q *dns.Query, out []byte, snap *snapshot) ([]byte, bool) {
	var e cache.Entry
	if snap.list != nil {
		if v, listed := snap.list.Match(q.Name()); listed {
			return s.filtered(q, out, v), true
		}
	}
	if q.Type != dns.TypeAAAA || !s.cfg.Cache.Find(&e, q.Name(), q.Type, s.now(q)) {
		return out, false
	}
	var room [leadsRoom]byte
	leads, ok := e.Leads(room[:])
	if !ok || e.RCode() == dns.RCodeNameError {
		return s.hit(q, out, snap)
	}
	own := 0
	for len(leads) > 0 {
		var addr netip.Addr
		if _, addr, leads = cache.NextLead(leads); !addr.IsValid() {
			continue
		}
		if own++; s.cfg.DNS64.excludes(addr) {
			return out, false
		}
	}
	if own == 0 || s.cfg.DNS64.All {
		return out, false
	}
	return s.hit(q, out, snap)
}

// miss64 answers a question that synthesises (RFC 6147 §5.1).
func (s *Server) miss64(ctx context.Context, q *dns.Query, out []byte) []byte {
	d, snap := s.cfg.DNS64, s.snapshot()
	if out, ok := s.hit64(q, out, snap); ok {
		return out
	}
	name := dns.Name(q.Name())
	if q.Type == dns.TypePTR {
		target, _ := d.reverse(q.Name())
		link := dns.RR{Name: dns.Name(q.RawName()), Type: dns.TypeCNAME, Class: dns.ClassIN, TTL: reverse64TTL, Data: []byte(target)}
		return s.lead(ctx, q, out, answer.Parts{Name: name, Type: q.Type, Born: s.cfg.Now(), Answer: []dns.RR{link}}, target)
	}
	a := s.cfg.Resolver.Resolve(ctx, name, q.Type)
	checked := !q.Flags.Has(dns.FlagCD)
	own, rest := d.own(a)
	if a.Status().IsBogus() && checked || a.RCode() == dns.RCodeNameError || own && !rest && !d.All {
		return s.give(q, out, a, snap)
	}
	if own && !d.All { // without those that are excluded
		return s.give64(q, out, d.without(a), a, snap)
	}
	a4 := s.cfg.Resolver.Resolve(ctx, name, dns.TypeA)
	switch made := d.make(a, a4, s.cfg.Now()); {
	case a4.Status().IsBogus() && checked:
		return s.give(q, out, a4, snap)
	case made == nil:
		return s.give(q, out, a, snap)
	default:
		return s.give64(q, out, made, a4, snap)
	}
}

// give64 writes an answer that was made of another one, by which it is judged.
func (s *Server) give64(q *dns.Query, out []byte, made, of *answer.Answer, snap *snapshot) []byte {
	if v, listed := s.judgeAnswer(snap, q.Name(), of); listed {
		return s.filtered(q, out, v)
	}
	return s.give(q, out, made, snap)
}

// own reports whether an answer has AAAA records that count, and whether it has others.
func (d *DNS64) own(a *answer.Answer) (own, excluded bool) {
	for _, r := range a.Answer() {
		if addr, ok := r.Addr(); ok && r.Type == dns.TypeAAAA {
			own, excluded = own || !d.excludes(addr), excluded || d.excludes(addr)
		}
	}
	return own, excluded
}

// without is an answer without the AAAA records that do not count, nor signatures.
func (d *DNS64) without(a *answer.Answer) *answer.Answer {
	p := answer.Parts{Name: a.Name(), Type: a.Type(), RCode: a.RCode(), Born: a.Born(), TTL: a.TTL()}
	for _, r := range a.Answer() {
		if addr, ok := r.Addr(); r.Type != dns.TypeRRSIG && !(ok && d.excludes(addr)) {
			p.Answer = append(p.Answer, r)
		}
	}
	return answer.New(p)
}

// make makes an answer of that for A, where the one for AAAA has no data that counts; nil
// where that for A has none either. Aliases stay, signatures go. TTLs are bounded by how long
// the absence of AAAA records is known (RFC 6147 §5.1.7).
func (d *DNS64) make(a, a4 *answer.Answer, now time.Time) *answer.Answer {
	p := answer.Parts{
		Name: a.Name(), Type: a.Type(), RCode: dns.RCodeSuccess, Born: a4.Born(), TTL: a4.TTL(),
		HasError: true, ErrorCode: dns.EDESynthesized, ErrorText: "DNS64",
	}
	most := uint32(dns64NoSOA)
	for _, r := range a.Authority() {
		if r.Type == dns.TypeSOA && len(r.Data) >= 4 {
			left := max(min(r.TTL, binary.BigEndian.Uint32(r.Data[len(r.Data)-4:])), 1)
			most = left - min(left-1, uint32(max(now.Sub(a.Born()), 0)/time.Second))
		}
	}
	age := uint32(max(now.Sub(a4.Born()), 0) / time.Second)
	found := false
	for _, r := range a4.Answer() {
		switch r.Type {
		case dns.TypeRRSIG:
			continue
		case dns.TypeA:
			v4, ok := r.Addr()
			if !ok {
				continue
			}
			addr, ok := d.embed(v4)
			if !ok {
				continue
			}
			found = true
			r = dns.RR{Name: r.Name, Type: dns.TypeAAAA, Class: r.Class, TTL: min(r.TTL, most+age), Data: addr.AsSlice()}
		}
		p.Answer = append(p.Answer, r)
	}
	if !found {
		return nil
	}
	return answer.New(p)
}

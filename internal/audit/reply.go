package audit

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/shoji-dns/shoji/internal/answer"
	"github.com/shoji-dns/shoji/internal/citation"
	"github.com/shoji-dns/shoji/internal/dns"
)

// said is what a reply comes to: what of it is compared.
type said struct {
	rcode dns.RCode
	data  []string     // RDATA of the type asked, in canonical form, sorted; see plain
	full  []string     // the same, whole
	stray []string     // other records that a stub may take for an answer
	addrs []netip.Addr // of A and AAAA records and of hints, sorted
	end   dns.Name     // where the aliases lead
}

// maxAliases bounds the aliases that are followed in one message.
const maxAliases = 32

// readSaid reads the answer section of a reply to a question.
func readSaid(name dns.Name, t dns.Type, rcode dns.RCode, rrs []dns.RR) said {
	s := said{rcode: rcode, end: name}
	taken := make([]bool, len(rrs))
	for range maxAliases {
		at := slices.IndexFunc(rrs, func(rr dns.RR) bool { return rr.Type == dns.TypeCNAME && rr.Name.Equal(s.end) })
		if at < 0 || t == dns.TypeCNAME {
			break
		}
		target, ok := rrs[at].Target()
		if !ok {
			break
		}
		s.end, taken[at] = target, true
	}
	for i := range rrs {
		if rr := &rrs[i]; rr.Type == t && rr.Name.Equal(s.end) {
			s.data = append(s.data, plain(rr))
			s.full = append(s.full, string(dns.AppendCanonicalData(nil, rr.Type, rr.Data)))
			for a := range rr.Addrs() {
				s.addrs = append(s.addrs, a.Unmap())
			}
		} else if !taken[i] && t != dns.TypeANY && misleads(rr.Type, t) {
			s.stray = append(s.stray, rr.String())
		}
	}
	slices.Sort(s.data)
	s.data = slices.Compact(s.data)
	slices.Sort(s.full)
	s.full = slices.Compact(s.full)
	slices.SortFunc(s.addrs, netip.Addr.Compare)
	s.addrs = slices.Compact(s.addrs)
	return s
}

// misleads reports whether a record of this type, of a name that the question does not lead to,
// is taken for the answer by common stubs: some look at types alone.
func misleads(t, asked dns.Type) bool {
	switch t {
	case asked, dns.TypeA, dns.TypeAAAA, dns.TypeCNAME:
		return true
	}
	return false
}

// plain is a record's RDATA in canonical form. Of SVCB and HTTPS records it leaves out
// the address hints, which are judged as addresses, and of the ECH configuration all but that
// there is one: its keys are changed often.
func plain(rr *dns.RR) string {
	data := dns.AppendCanonicalData(nil, rr.Type, rr.Data)
	if rr.Type != dns.TypeSVCB && rr.Type != dns.TypeHTTPS || len(data) < 2 {
		return string(data)
	}
	_, params, ok := dns.ReadName(data[2:])
	if !ok {
		return string(data)
	}
	const ipv4hint, ech, ipv6hint = 4, 5, 6 // RFC 9460 §14.3.2, RFC 9848
	out := bytes.Clone(data[:len(data)-len(params)])
	for len(params) >= 4 {
		key, n := binary.BigEndian.Uint16(params), 4+int(binary.BigEndian.Uint16(params[2:]))
		if n > len(params) {
			break
		}
		switch key {
		case ipv4hint, ipv6hint:
		case ech:
			out = append(out, params[:2]...)
		default:
			out = append(out, params[:n]...)
		}
		params = params[n:]
	}
	return string(out)
}

func (s *said) equal(o *said) bool {
	return s.rcode == o.rcode && slices.Equal(s.data, o.data) && slices.Equal(s.addrs, o.addrs)
}

// whole reports whether s and o have the same records to the octet.
func (s *said) whole(o *said) bool { return slices.Equal(s.full, o.full) }

// differInAddresses reports whether what s and o differ in are addresses alone.
func differInAddresses(t dns.Type, s, o *said) bool {
	switch t {
	case dns.TypeA, dns.TypeAAAA:
		return len(s.addrs) > 0 && len(o.addrs) > 0
	case dns.TypeSVCB, dns.TypeHTTPS:
		return slices.Equal(s.data, o.data) && len(s.addrs) > 0
	}
	return false
}

// words is what was said, for people.
func (s *said) words(t dns.Type) string {
	switch {
	case len(s.data) == 0 && s.rcode == dns.RCodeSuccess:
		return "no data"
	case len(s.data) == 0:
		return s.rcode.String()
	}
	const most = 4
	var out []string
	for _, d := range s.data[:min(len(s.data), most)] {
		line := dns.RR{Name: dns.Root, Type: t, Class: dns.ClassIN, Data: []byte(d)}.String()
		out = append(out, line[strings.LastIndex(line, "\t")+1:])
	}
	if len(s.data) > most {
		out = append(out, "…")
	}
	if len(s.addrs) > 0 && t != dns.TypeA && t != dns.TypeAAAA {
		out = append(out, "hints "+addressWords(s.addrs))
	}
	return strings.Join(out, ", ")
}

func addressWords(addrs []netip.Addr) string {
	var out []string
	for _, a := range addrs {
		out = append(out, a.String())
	}
	return strings.Join(out, " ")
}

// signal is what a reply says of its being filtered.
type signal struct {
	given bool
	cited *citation.Citation // nil: it names no entry
	own   bool               // cited is of the log in question, as far as its name tells
}

// readSignal reads what a reply says of its being filtered, to be held against the log of a key.
func readSignal(m *dns.Message, key citation.Key) signal {
	given, all := citation.Read(m)
	cited := citation.Choose(all, key)
	return signal{given, cited, cited != nil && cited.Of(key)}
}

// names reports whether a signal may name an entry of the log in question.
func (s signal) names(entry uint64) bool {
	return s.cited != nil && s.cited.Entry == entry && (s.own || !s.cited.Certain)
}

// errorsOf are all Extended DNS Errors (RFC 8914 §2) of a reply, to the octet.
func errorsOf(m *dns.Message) (all string) {
	if m.EDNS == nil {
		return ""
	}
	for _, o := range m.EDNS.Options {
		if o.Code == dns.OptionEDE && len(o.Data) >= 2 {
			all += fmt.Sprintf("%d %d %s\n", len(o.Data), binary.BigEndian.Uint16(o.Data), o.Data[2:])
		}
	}
	return all
}

// besides says what a filtered reply holds that it should not: anything of the original.
func besides(m *dns.Message, name dns.Name, t dns.Type) string {
	want := 0
	switch t {
	case dns.TypeA, dns.TypeAAAA, dns.TypeANY:
		want = 1
	}
	for i := range m.Answer {
		rr := &m.Answer[i]
		if i >= want || !rr.Name.Equal(name) || rr.Type != t && !(t == dns.TypeANY && rr.Type == dns.TypeHINFO) {
			return rr.String()
		}
	}
	for i := range m.Authority {
		if rr := &m.Authority[i]; rr.Type != dns.TypeSOA || !rr.Name.Equal(name) {
			return rr.String()
		}
	}
	if len(m.Additional) > 0 {
		return m.Additional[0].String()
	}
	return ""
}

// maxKept is the longest TTL of what is filtered, in seconds: for so long a delisting has no
// effect where the answer was kept.
const maxKept = 3600

// keptLong says which record of a filtered reply outlives a delisting; "" where none does.
func keptLong(m *dns.Message) string {
	for _, section := range [][]dns.RR{m.Answer, m.Authority} {
		for i := range section {
			if rr := &section[i]; rr.TTL > maxKept {
				return rr.String()
			}
		}
	}
	return ""
}

// asAnswer is a reply as an answer that a list can judge.
func asAnswer(q *question, m *dns.Message) *answer.Answer {
	return answer.New(answer.Parts{Name: q.name.Canonical(), Type: q.typ, RCode: m.RCode, Answer: m.Answer})
}

// isSpecial reports whether an address is of a range that no public name leads to (IANA
// registries of special-purpose addresses, RFC 6890).
func isSpecial(a netip.Addr) bool {
	if a = a.Unmap(); !a.IsGlobalUnicast() || a.IsPrivate() {
		return true
	}
	for _, text := range []string{
		"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4",
		"2001:db8::/32", "3fff::/20", "100::/64", "5f00::/16",
	} {
		if netip.MustParsePrefix(text).Contains(a) {
			return true
		}
	}
	return false
}

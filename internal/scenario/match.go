package scenario

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// question is a message's first question; the zero Question where it has none.
func question(m *dns.Msg) dns.Question {
	if len(m.Question) == 0 {
		return dns.Question{}
	}
	return m.Question[0]
}

// takes reports whether a query that the resolver sent fits the entry.
func (e *Entry) takes(q *dns.Msg, tcp bool, d Dialect) bool {
	want, m := e.first(), e.Match
	if e.IsRaw && len(m) == 0 {
		return true
	}
	wq, gq := question(want), question(q)
	whole := m["question"] || m["all"] || m["all_noedns"]
	opt := q.IsEdns0()
	switch {
	case m["opcode"] && q.Opcode != want.Opcode,
		(m["qtype"] || whole) && wq.Qtype != gq.Qtype,
		(m["qname"] || whole) && !sameName(wq.Name, gq.Name),
		whole && wq.Qclass != gq.Qclass,
		m["qcase"] && wq.Name != gq.Name,
		m["subdomain"] && len(want.Question) > 0 && !dns.IsSubDomain(strings.ToLower(wq.Name), strings.ToLower(gq.Name)),
		m["UDP"] && tcp, m["TCP"] && !tcp,
		m["DO"] && (opt == nil || !opt.Do()),
		m["noedns"] && opt != nil,
		m["ednsdata"] && !bytes.Equal(optionsOf(opt), e.Messages[0].Options),
		m["serial"] && !hasSerial(q, e.Serial),
		d == Deckard && m["rcode"] && q.Rcode != want.Rcode,
		d == Deckard && m["flags"] && flags(q) != flags(want):
		return false
	}
	return true
}

func hasSerial(q *dns.Msg, serial uint32) bool {
	return slices.ContainsFunc(q.Ns, func(rr dns.RR) bool {
		soa, ok := rr.(*dns.SOA)
		return ok && soa.Serial == serial
	})
}

// optionsOf is the RDATA of an OPT record.
func optionsOf(o *dns.OPT) []byte {
	const fixed = 11 // owner, type, class, TTL and length
	if o == nil {
		return nil
	}
	buf := make([]byte, dns.MaxMsgSize)
	n, err := dns.PackRR(o, buf, 0, nil, false)
	if err != nil || n < fixed {
		return nil
	}
	return buf[fixed:n]
}

// flags are a header's flags as text.
func flags(m *dns.Msg) string {
	var on []string
	for _, f := range []struct {
		set  bool
		name string
	}{{m.Response, "QR"}, {m.Authoritative, "AA"}, {m.Truncated, "TC"}, {m.RecursionDesired, "RD"},
		{m.RecursionAvailable, "RA"}, {m.AuthenticatedData, "AD"}, {m.CheckingDisabled, "CD"}} {
		if f.set {
			on = append(on, f.name)
		}
	}
	return strings.Join(on, " ")
}

// differences are what is wrong with an answer, in words.
type differences struct {
	all  []string // everything that the entry asks for
	core []string // of it, what any resolver must have right
}

func (d *differences) must(format string, a ...any) {
	d.may(format, a...)
	d.core = append(d.core, d.all[len(d.all)-1])
}

func (d *differences) may(format string, a ...any) { d.all = append(d.all, fmt.Sprintf(format, a...)) }

// better reports whether an answer with these differences fits better than one with those.
func (d *differences) better(than *differences) bool {
	return len(d.core) < len(than.core) || len(d.core) == len(than.core) && len(d.all) < len(than.all)
}

// compare compares an answer to the client with what the entry asks for.
func (e *Entry) compare(got *dns.Msg, wire []byte, dialect Dialect) *differences {
	d := new(differences)
	if e.IsRaw {
		if !bytes.Equal(e.Raw, wire) {
			d.must("octets differ")
		}
		return d
	}
	m := e.asks(dialect)
	e.compareHeader(d, m, got)
	want := e.first()
	if m["answer"] && !sameRecords(want.Answer, got.Answer, m["ttl"]) {
		d.must("answer %s, want %s", text(got.Answer), text(want.Answer))
	}
	if m["authority"] && !sameRecords(want.Ns, got.Ns, m["ttl"]) {
		d.may("authority %s, want %s", text(got.Ns), text(want.Ns))
	}
	if m["additional"] && !sameRecords(want.Extra, got.Extra, m["ttl"]) {
		d.may("additional %s, want %s", text(got.Extra), text(want.Extra))
	}
	e.compareOptions(d, m, got.IsEdns0())
	return d
}

// asks lists what is compared: "all" stands for most of it.
func (e *Entry) asks(dialect Dialect) map[string]bool {
	if !e.Match["all"] && !e.Match["all_noedns"] {
		return e.Match
	}
	m := map[string]bool{"opcode": true, "flags": true, "rcode": true, "answer": true, "authority": true, "additional": true}
	if dialect == Deckard {
		m["qtype"], m["qname"] = true, true
		return m
	}
	m["question"] = true
	for _, k := range []string{"ednsdata", "server_cookie", "client_cookie", "DO", "ttl"} {
		m[k] = e.Match[k]
	}
	return m
}

func (e *Entry) compareHeader(d *differences, m map[string]bool, got *dns.Msg) {
	want := e.first()
	wq, gq := question(want), question(got)
	if (m["qtype"] || m["question"]) && wq.Qtype != gq.Qtype {
		d.must("question for %s, want %s", dns.Type(gq.Qtype), dns.Type(wq.Qtype))
	}
	if (m["qname"] || m["question"]) && !sameName(wq.Name, gq.Name) || m["qcase"] && wq.Name != gq.Name {
		d.must("question for %s, want %s", gq.Name, wq.Name)
	}
	if m["opcode"] && want.Opcode != got.Opcode {
		d.must("opcode %d, want %d", got.Opcode, want.Opcode)
	}
	if m["rcode"] && want.Rcode != got.Rcode {
		d.must("RCODE %s, want %s", dns.RcodeToString[got.Rcode], dns.RcodeToString[want.Rcode])
	}
	if !m["flags"] || flags(want) == flags(got) {
		return
	}
	if want.Response != got.Response || want.Truncated != got.Truncated || want.AuthenticatedData != got.AuthenticatedData || want.RecursionAvailable != got.RecursionAvailable {
		d.must("flags %s, want %s", flags(got), flags(want))
	} else {
		d.may("flags %s, want %s", flags(got), flags(want))
	}
}

func (e *Entry) compareOptions(d *differences, m map[string]bool, opt *dns.OPT) {
	if m["DO"] && (opt == nil || !opt.Do()) {
		d.may("no DO")
	}
	if code, ok := errorCode(opt); e.Code != noCode && (!ok || e.Code != anyCode && code != e.Code) {
		d.may("Extended DNS Error %d (%t), want %d", code, ok, e.Code)
	}
	if m["ednsdata"] && !bytes.Equal(optionsOf(opt), e.Messages[0].Options) {
		d.must("EDNS options %x, want %x", optionsOf(opt), e.Messages[0].Options)
	}
	for name, octets := range map[string]int{"client_cookie": 8, "server_cookie": 24} {
		if m[name] && cookieLength(opt) != octets {
			d.must("no %s", name)
		}
	}
}

func errorCode(o *dns.OPT) (code int, ok bool) {
	if o == nil {
		return 0, false
	}
	for _, x := range o.Option {
		if e, ok := x.(*dns.EDNS0_EDE); ok {
			return int(e.InfoCode), true
		}
	}
	return 0, false
}

func cookieLength(o *dns.OPT) int {
	if o == nil {
		return 0
	}
	for _, x := range o.Option {
		if c, ok := x.(*dns.EDNS0_COOKIE); ok {
			return len(c.Cookie) / 2
		}
	}
	return 0
}

// form is a record as it is compared: without its TTL, names in lower case where the type's
// names are compared so.
func form(rr dns.RR) string {
	c := dns.Copy(rr)
	c.Header().Ttl = 0
	wire := string(wireOf(c))
	switch rr.Header().Rrtype {
	case dns.TypeNS, dns.TypeCNAME, dns.TypeDNAME, dns.TypeSOA, dns.TypeMX, dns.TypePTR, dns.TypeSRV, dns.TypeNSEC, dns.TypeNAPTR:
		return strings.ToLower(wire)
	}
	return wire
}

// tolerance is by how many seconds TTLs may differ.
const tolerance = 2

// sameRecords compares two sections as sets.
func sameRecords(want, got []dns.RR, ttl bool) bool {
	left := make(map[string]uint32)
	for _, rr := range want {
		if rr.Header().Rrtype != dns.TypeOPT {
			left[form(rr)] = rr.Header().Ttl
		}
	}
	found := make(map[string]bool)
	for _, rr := range got {
		if rr.Header().Rrtype == dns.TypeOPT {
			continue
		}
		f := form(rr)
		w, ok := left[f]
		if g := rr.Header().Ttl; !ok || ttl && max(w, g)-min(w, g) > tolerance {
			return false
		}
		found[f] = true
	}
	return len(found) == len(left)
}

// text is a section in one line.
func text(section []dns.RR) string {
	var out []string
	for _, rr := range section {
		if rr.Header().Rrtype == dns.TypeOPT {
			continue
		}
		const width = 76
		line := strings.Join(strings.Fields(rr.String()), " ")
		out = append(out, line[:min(len(line), width)])
	}
	slices.Sort(out)
	return "[" + strings.Join(out, " | ") + "]"
}

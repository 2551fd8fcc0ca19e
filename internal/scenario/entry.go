package scenario

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// entryReader reads one entry, line by line.
type entryReader struct {
	*lines
	e       *Entry
	m       *Message
	section string
}

// readEntry reads up to ENTRY_END.
func readEntry(l *lines) (*Entry, error) {
	m := &Message{Msg: new(dns.Msg)}
	e := &Entry{Line: l.at, Match: make(map[string]bool), Adjust: make(map[string]bool), Code: noCode, Messages: []*Message{m}}
	r := &entryReader{lines: l, e: e, m: m}
	for {
		w, ok := l.words()
		if !ok {
			return nil, l.errorf("no ENTRY_END")
		}
		if w[0] == "ENTRY_END" {
			e.addOptions()
			return e, nil
		}
		if err := r.line(w); err != nil {
			return nil, err
		}
	}
}

func (r *entryReader) line(w []string) error {
	switch w[0] {
	case "MATCH":
		r.match(w[1:])
	case "ADJUST":
		r.adjust(w[1:])
	case "REPLY", "FLAGS":
		for _, f := range w[1:] {
			r.flag(f)
		}
	case "SECTION":
		if len(w) < 2 {
			return r.errorf("SECTION without a name")
		}
		r.section = w[1]
	case "EXTRA_PACKET":
		r.m = &Message{Msg: new(dns.Msg)}
		r.e.Messages = append(r.e.Messages, r.m)
	case "HEX_ANSWER_BEGIN":
		var err error
		r.m.Wire, err = r.octets("HEX_ANSWER_END")
		return err
	case "HEX_EDNSDATA_BEGIN":
		var err error
		r.m.HasOptions = true
		r.m.Options, err = r.octets("HEX_EDNSDATA_END")
		return err
	case "RAW":
		return r.raw()
	case "$ORIGIN", "$TTL":
		r.directive(w)
	case "MANDATORY", "TSIG":
	default:
		r.record(w)
	}
	return nil
}

func (r *entryReader) match(words []string) {
	for _, w := range words {
		switch key, val, _ := strings.Cut(w, "="); key {
		case "serial":
			serial, _ := strconv.ParseUint(val, 10, 32)
			r.e.Serial = uint32(serial)
			r.e.Match["serial"] = true
		case "ede":
			if r.e.Code = anyCode; val != "any" {
				r.e.Code, _ = strconv.Atoi(val)
			}
		default:
			r.e.Match[w] = true
		}
	}
}

func (r *entryReader) adjust(words []string) {
	for _, w := range words {
		key, val, _ := strings.Cut(w, "=")
		seconds, _ := strconv.ParseUint(val, 10, 16)
		switch key {
		case "sleep":
			r.e.After = time.Duration(seconds) * time.Second
		case "packet_sleep":
			r.m.After = time.Duration(seconds) * time.Second
		default:
			r.e.Adjust[w] = true
		}
	}
}

// flag sets a flag of the header, an RCODE or an opcode.
func (r *entryReader) flag(f string) {
	m := r.m.Msg
	switch f {
	case "QR":
		m.Response = true
	case "AA":
		m.Authoritative = true
	case "TC":
		m.Truncated = true
	case "RD":
		m.RecursionDesired = true
	case "RA":
		m.RecursionAvailable = true
	case "AD":
		m.AuthenticatedData = true
	case "CD":
		m.CheckingDisabled = true
	case "DO":
		r.e.DO = true
	case "CO":
		r.e.CO = true
	case "NOTIMPL", "NOTIMP":
		m.Rcode = dns.RcodeNotImplemented
	default:
		if code, ok := dns.StringToRcode[f]; ok {
			m.Rcode = code
		} else if code, ok := dns.StringToOpcode[f]; ok {
			m.Opcode = code
		}
	}
}

// octets reads lines of hexadecimal digits.
func (r *entryReader) octets(end string) ([]byte, error) {
	var digits strings.Builder
	for {
		line, ok := r.next()
		if !ok {
			return nil, r.errorf("no %s", end)
		}
		if strings.HasPrefix(line, end) {
			break
		}
		if i := strings.IndexAny(line, ";#"); i >= 0 {
			line = line[:i]
		}
		for _, w := range strings.Fields(line) {
			digits.WriteString(w)
		}
	}
	b, err := hex.DecodeString(digits.String())
	if err != nil {
		return nil, r.errorf("octets before %s: %w", end, err)
	}
	return b, nil
}

func (r *entryReader) raw() error {
	w, ok := r.words()
	if !ok {
		return r.errorf("RAW without octets")
	}
	b, err := hex.DecodeString(w[0])
	if err != nil {
		return r.errorf("RAW: %w", err)
	}
	r.e.Raw, r.e.IsRaw = b, true
	return nil
}

// record reads a question or a record. What cannot be read is noted: some files have faults in
// entries that are never used.
func (r *entryReader) record(w []string) {
	m := r.m.Msg
	if r.section == "QUESTION" || r.section == "" {
		q, err := r.question(w)
		if err != nil {
			r.fault(err)
			return
		}
		m.Question = append(m.Question, q)
		return
	}
	rr, err := r.zone.record(strings.TrimSpace(withoutComment(r.all[r.at-1])))
	if err != nil {
		r.fault(err)
		return
	}
	switch r.section {
	case "ANSWER":
		m.Answer = append(m.Answer, rr)
	case "AUTHORITY":
		m.Ns = append(m.Ns, rr)
	case "ADDITIONAL":
		m.Extra = append(m.Extra, rr)
	}
}

func (r *entryReader) fault(err error) {
	if r.e.Fault == "" {
		r.e.Fault = r.errorf("%w", err).Error()
	}
}

// question reads "name [class] type".
func (r *entryReader) question(w []string) (dns.Question, error) {
	q := dns.Question{Name: absolute(w[0], r.origin), Qclass: dns.ClassINET}
	if _, ok := dns.IsDomainName(q.Name); !ok {
		return q, fmt.Errorf("%q is no name", w[0])
	}
	for _, x := range w[1:] {
		x = strings.ToUpper(x)
		if class, ok := numbered(x, "CLASS", dns.StringToClass); ok && x != "ANY" {
			q.Qclass = class
			continue
		}
		if t, ok := numbered(x, "TYPE", dns.StringToType); ok {
			q.Qtype = t
			return q, nil
		}
	}
	return q, fmt.Errorf("question %q has no type", strings.Join(w, " "))
}

// numbered reads a mnemonic or its form with a number (RFC 3597 §5).
func numbered(word, prefix string, known map[string]uint16) (uint16, bool) {
	if v, ok := known[word]; ok {
		return v, true
	}
	if digits, ok := strings.CutPrefix(word, prefix); ok {
		v, err := strconv.ParseUint(digits, 10, 16)
		return uint16(v), err == nil
	}
	return 0, false
}

// absolute is a name under the origin.
func absolute(name, origin string) string {
	switch {
	case name == "@":
		return origin
	case dns.IsFqdn(name):
		return name
	case origin == ".":
		return name + "."
	}
	return name + "." + origin
}

// clientSize is the UDP size in the OPT records of scripted messages and of queries.
const clientSize = 1232

// addOptions gives the messages their OPT record, if the entry asks for one.
func (e *Entry) addOptions() {
	for _, m := range e.Messages {
		if !e.DO && !e.CO && !m.HasOptions {
			continue
		}
		o := &dns.OPT{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeOPT}}
		o.SetUDPSize(clientSize)
		if e.DO {
			o.SetDo()
		}
		for d := m.Options; len(d) >= 4; {
			code, n := uint16(d[0])<<8|uint16(d[1]), int(d[2])<<8|int(d[3])
			if len(d) < 4+n {
				break
			}
			o.Option = append(o.Option, &dns.EDNS0_LOCAL{Code: code, Data: d[4 : 4+n]})
			d = d[4+n:]
		}
		m.Msg.Extra = append(m.Msg.Extra, o)
	}
}

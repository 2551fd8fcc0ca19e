package main

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/shoji-dns/shoji/internal/curate"
	"github.com/shoji-dns/shoji/internal/dns"
	"github.com/shoji-dns/shoji/internal/sde"
)

// extendedErrors reads the Extended DNS Errors (RFC 8914 §2) of a reply.
func extendedErrors(m *dns.Message) []extendedError {
	var out []extendedError
	if m.EDNS == nil {
		return nil
	}
	for _, o := range m.EDNS.Options {
		if o.Code == dns.OptionEDE && len(o.Data) >= 2 {
			code := dns.ErrorCode(binary.BigEndian.Uint16(o.Data))
			e := extendedError{Code: uint16(code), Meaning: code.String(), Text: string(o.Data[2:])}
			if d, err := sde.Parse(code, e.Text); err == nil {
				e.Structured = &d
			}
			out = append(out, e)
		}
	}
	return out
}

type extendedError struct {
	Code    uint16 `json:"code"`
	Meaning string `json:"meaning"`
	Text    string `json:"text,omitempty"`

	Structured *sde.Detail `json:"structured,omitempty"` // nil: the text is for people
}

// spelled is a name of a reply that people read in another form than it is sent in.
type spelled struct {
	Name  string `json:"name"`
	Looks string `json:"unicode"`
	Mixed bool   `json:"mixed_scripts"` // as names that imitate others do
}

// spellings are the names in a reply's question and answer that have A-labels.
func spellings(m *dns.Message) []spelled {
	var names []string
	for _, q := range m.Question {
		names = append(names, q.Name.String())
	}
	for _, rr := range m.Answer {
		names = append(names, rr.Name.String())
		if target, ok := rr.Target(); ok {
			names = append(names, target.String())
		}
	}
	out := []spelled{}
	for i, name := range names {
		name = strings.TrimSuffix(name, ".")
		if looks, mixed := curate.Spell(name); looks != "" && !slices.Contains(names[:i], names[i]) {
			out = append(out, spelled{name, looks, mixed})
		}
	}
	return out
}

// printReply writes the reply for people.
func printReply(to io.Writer, a *answered, p *proof, lang string) error {
	w := queryWords[lang]
	var b strings.Builder
	m := a.reply
	fmt.Fprintf(&b, w["reply"]+"\n", m.RCode, a.server, a.transport, brief(a.phases.all()), flagWords(m, w))
	for _, s := range spellings(m) {
		fmt.Fprintf(&b, w["reads"]+"\n", printable(s.Name), printable(s.Looks))
		if s.Mixed {
			b.WriteString("  " + w["mixed"] + "\n")
		}
	}
	for _, s := range []struct {
		title string
		rrs   []dns.RR
	}{{"", m.Answer}, {"authority", m.Authority}, {"additional", m.Additional}} {
		if s.title != "" && len(s.rrs) > 0 {
			fmt.Fprintf(&b, "%s:\n", w[s.title])
		}
		for _, rr := range s.rrs {
			fmt.Fprintf(&b, "  %s\n", rr)
		}
	}
	if len(m.Answer) == 0 && m.RCode == dns.RCodeSuccess {
		b.WriteString("  " + w["no-data"] + "\n")
	}
	for _, e := range extendedErrors(m) {
		b.WriteString(e.words(a.transport, lang))
	}
	if a.phases.connect+a.phases.handshake > 0 {
		b.WriteString(a.phases.words(w))
	}
	b.WriteString(a.secured.words(w))
	b.WriteString(p.words(lang))
	_, err := io.WriteString(to, b.String())
	return err
}

// words are the lines of an Extended DNS Error for people.
func (e *extendedError) words(transport, lang string) string {
	var b strings.Builder
	fmt.Fprintf(&b, queryWords[lang]["reason"], e.Meaning, e.Code)
	switch {
	case e.Structured != nil:
		b.WriteString(structuredWords(e.Structured, transport, lang))
	case e.Text != "":
		fmt.Fprintf(&b, ": %s", printable(e.Text))
	}
	if text := errorWords[lang][dns.ErrorCode(e.Code)]; text != "" {
		b.WriteString("\n  " + text)
	}
	b.WriteByte('\n')
	return b.String()
}

// words say how long each phase took.
func (p phases) words(w map[string]string) string {
	var parts []string
	for _, one := range []struct {
		key  string
		took time.Duration
	}{{"connect", p.connect}, {"handshake", p.handshake}, {"answer", p.reply}} {
		if one.took > 0 {
			parts = append(parts, w[one.key]+" "+brief(one.took))
		}
	}
	return w["times"] + strings.Join(parts, w["comma"]) + "\n"
}

func brief(d time.Duration) string { return d.Round(10 * time.Microsecond).String() }

// words are some lines for people.
func (s *secured) words(w map[string]string) string {
	if s == nil {
		return ""
	}
	var b strings.Builder
	name := w["name-seen"]
	if s.ECH {
		name = w["name-hidden"]
	}
	fmt.Fprintf(&b, w["connection"]+"\n", strings.Join(slices.DeleteFunc([]string{s.Version, s.Cipher, s.Protocol}, func(t string) bool { return t == "" }), ", "), name)
	fmt.Fprintf(&b, w["lengths"]+"\n", s.QueryLen, s.QueryPadding, s.ReplyLen, s.PaddingLen)
	for i, cert := range s.Certificate {
		title := "issuer"
		if i == 0 {
			title = "certificate"
		}
		b.WriteString(cert.words(w[title], w))
	}
	switch last := s.Certificate[len(s.Certificate)-1]; {
	case s.Anchor != nil:
		b.WriteString(s.Anchor.words(w["issuer"], w))
	case last.Issuer != last.Subject:
		fmt.Fprintf(&b, "%s %s\n", w["issuer"], printable(last.Issuer))
	}
	b.WriteString(w["trusted-"+s.Trusted] + "\n")
	return b.String()
}

// words are a line about one certificate.
func (c *certified) words(title string, w map[string]string) string {
	text := title + " " + printable(c.Subject)
	if len(c.Names) > 0 {
		text += fmt.Sprintf(w["for"], printable(strings.Join(c.Names, ", ")))
	}
	return text + fmt.Sprintf(w["valid"], c.From.Format(time.DateOnly), c.Until.Format(time.DateOnly), c.Key, c.Pin) + "\n"
}

// printable keeps a stranger's text from steering the terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return '\uFFFD'
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
}

func flagWords(m *dns.Message, w map[string]string) string {
	text := ""
	for _, f := range []struct {
		flag dns.Flags
		word string
	}{{dns.FlagAA, "authoritative"}, {dns.FlagTC, "truncated"}, {dns.FlagAD, "validated"}, {dns.FlagCD, "unchecked"}} {
		if m.Flags&f.flag != 0 {
			text += w["comma"] + w[f.word]
		}
	}
	return text
}

func printJSON(w io.Writer, a *answered, p *proof) error {
	m := a.reply
	if len(m.Question) != 1 {
		return errors.New("the reply repeats no question")
	}
	lines := func(rrs []dns.RR) []string {
		out := []string{}
		for _, rr := range rrs {
			out = append(out, rr.String())
		}
		return out
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	out := map[string]any{
		"server": a.server, "transport": strings.ToLower(a.transport), "microseconds": a.phases.all().Microseconds(),
		"phases": map[string]int64{
			"connect_microseconds": a.phases.connect.Microseconds(), "handshake_microseconds": a.phases.handshake.Microseconds(),
			"reply_microseconds": a.phases.reply.Microseconds(),
		},
		"name": m.Question[0].Name.String(), "type": m.Question[0].Type.String(), "rcode": m.RCode.String(), "spellings": spellings(m),
		"validated": m.Flags&dns.FlagAD != 0, "truncated": m.Flags&dns.FlagTC != 0,
		"answer": lines(m.Answer), "authority": lines(m.Authority), "additional": lines(m.Additional),
		"errors": append([]extendedError{}, extendedErrors(m)...),
	}
	if a.secured != nil {
		out["security"] = a.secured
	}
	if p != nil {
		out["proof"] = p.object()
	}
	return enc.Encode(out)
}

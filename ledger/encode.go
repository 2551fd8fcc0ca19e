package ledger

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"
)

// timeLayout is how an entry writes a time.
const timeLayout = "2006-01-02T15:04:05Z"

// encoder writes the members of one object in the order of its calls.
type encoder struct {
	b     []byte
	start int // where the object begins
	err   error
}

func (w *encoder) open() {
	w.start = len(w.b)
	w.b = append(w.b, '{')
}

func (w *encoder) key(name string) {
	if len(w.b) > w.start+1 {
		w.b = append(w.b, ',')
	}
	w.b = append(w.b, '"')
	w.b = append(w.b, name...)
	w.b = append(w.b, '"', ':')
}

// text writes a member unless it is empty.
func (w *encoder) text(name, s string) {
	if s == "" {
		return
	}
	w.key(name)
	w.quote(name, s)
}

func (w *encoder) quote(name, s string) {
	if !utf8.ValidString(s) && w.err == nil {
		w.err = fmt.Errorf("member %q: text is not UTF-8", name)
	}
	w.b = appendString(w.b, s)
}

func (w *encoder) digits(name string, b []byte, present bool) {
	if present {
		w.key(name)
		w.b = append(w.b, '"')
		w.b = hex.AppendEncode(w.b, b)
		w.b = append(w.b, '"')
	}
}

func (w *encoder) number(name string, n uint64, present bool) {
	if present {
		w.key(name)
		w.b = strconv.AppendUint(w.b, n, 10)
	}
}

func (w *encoder) time(name string, t time.Time, present bool) {
	if !present {
		return
	}
	if (t.Location() != time.UTC || t.Nanosecond() != 0) && w.err == nil {
		w.err = fmt.Errorf("member %q: %s is not in UTC and whole seconds", name, t)
	}
	w.key(name)
	w.b = append(w.b, '"')
	w.b = t.AppendFormat(w.b, timeLayout)
	w.b = append(w.b, '"')
}

func (w *encoder) close() { w.b = append(w.b, '}') }

// encode appends e's members in their canonical order. It writes what is there;
// whether that makes an entry is for record.read to say.
func (e *Entry) encode(out []byte) ([]byte, error) {
	w := &encoder{b: out}
	w.open()
	epoch := e.Kind == KindEpoch
	w.number("bytes", e.Bytes, epoch || e.Bytes != 0 || e.Kind == KindPolicy)
	w.text("case", e.Case)
	w.text("cause", e.Cause)
	w.claims(e.Claims)
	w.text("clause", e.Clause)
	committed := !e.Commitment.IsZero()
	w.digits("commitment", e.Commitment[:], committed)
	w.number("count", e.Count, epoch || e.Count != 0)
	w.digits("digest", e.Digest[:], !e.Digest.IsZero())
	w.text("document", e.Document)
	w.evidence(e.Evidence)
	w.text("format", e.Format)
	w.text("group", e.Group)
	w.number("interval", e.Interval, e.Interval != 0)
	w.text("kind", string(e.Kind))
	w.number("layout", uint64(e.Layout), epoch || e.Layout != 0)
	w.text("license", e.License)
	if e.Listing != nil {
		w.number("listing", *e.Listing, true)
	}
	w.text("location", e.Location)
	w.digits("map", e.Map[:], !e.Map.IsZero())
	w.text("name", e.Name)
	w.text("note", e.Note)
	w.digits("policy", e.Policy[:], !e.Policy.IsZero())
	if e.Prefix != (netip.Prefix{}) {
		w.text("prefix", e.Prefix.String())
	}
	w.digits("salt", e.Salt[:], committed || e.Salt != Salt{})
	w.text("scope", string(e.Scope))
	w.number("size", e.Size, epoch || e.Size != 0)
	w.text("source", e.Source)
	w.text("status", e.Status)
	w.time("time", e.Time, true)
	w.text("title", e.Title)
	w.text("version", e.Version)
	w.close()
	if w.err == nil && len(w.b)-len(out) > MaxEntry {
		w.err = fmt.Errorf("an entry of %d octets; the longest is %d", len(w.b)-len(out), MaxEntry)
	}
	return w.b, w.err
}

func (w *encoder) claims(claims []string) {
	if len(claims) == 0 {
		return
	}
	w.key("claims")
	sep := byte('[')
	for _, c := range claims {
		w.b = append(w.b, sep)
		w.quote("claims", c)
		sep = ','
	}
	w.b = append(w.b, ']')
}

func (w *encoder) evidence(evidence []Evidence) {
	if len(evidence) == 0 {
		return
	}
	if len(evidence) > MaxEvidence && w.err == nil {
		w.err = fmt.Errorf("%d pieces of evidence; the most is %d", len(evidence), MaxEvidence)
	}
	w.key("evidence")
	outer := w.start
	sep := byte('[')
	for i := range evidence {
		ev := &evidence[i]
		w.b = append(w.b, sep)
		w.open()
		w.text("family", ev.Family)
		w.time("first", ev.First, !ev.First.IsZero())
		w.text("kind", ev.Kind)
		w.time("last", ev.Last, !ev.Last.IsZero())
		w.text("reference", ev.Reference)
		w.text("source", ev.Source)
		w.close()
		sep = ','
	}
	w.start = outer
	w.b = append(w.b, ']')
}

// appendString appends s as RFC 8785 §3.2.2.2 writes a string.
func appendString(out []byte, s string) []byte {
	const digits = "0123456789abcdef"
	out = append(out, '"')
	from := 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		out = append(out, s[from:i]...)
		from = i + 1
		if short := shortEscape(c); short != 0 {
			out = append(out, '\\', short)
		} else {
			out = append(out, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
		}
	}
	out = append(out, s[from:]...)
	return append(out, '"')
}

// shortEscape is the letter of c's two-character escape, 0 where it has none.
func shortEscape(c byte) byte {
	switch c {
	case '"', '\\':
		return c
	case '\b':
		return 'b'
	case '\t':
		return 't'
	case '\n':
		return 'n'
	case '\f':
		return 'f'
	case '\r':
		return 'r'
	}
	return 0
}

// SortClaims brings claims into the order that an entry wants, each once.
func SortClaims(claims []string) []string {
	slices.Sort(claims)
	return slices.Compact(claims)
}

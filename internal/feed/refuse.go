package feed

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Refused is the error for a file that is not used at all.
type Refused struct {
	Report *Report
	Why    string // what was found
	Empty  bool   // nothing but blank lines and comments, or nothing at all
}

func (e *Refused) Error() string {
	name := e.Report.File
	if name == "" {
		name = "list"
	}
	return name + ": refused: " + e.Why
}

// binaryPercent is the share of control octets in a file's head from which it
// is taken for binary. Text has none but tabs and line ends.
const binaryPercent = 10

// unreadable says why a file that starts with head is no text, or "".
func unreadable(head []byte) string {
	switch {
	case len(head) == 0:
		return "it is empty"
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		return "it is compressed (gzip); unpack it first"
	case bytes.HasPrefix(head, []byte("PK\x03\x04")):
		return "it is an archive (zip); unpack it first"
	case bytes.HasPrefix(head, []byte{0xff, 0xfe}), bytes.HasPrefix(head, []byte{0xfe, 0xff}):
		return "it is UTF-16 text; a list is UTF-8"
	}
	start := strings.ToLower(string(bytes.TrimSpace(trimBOM(head[:min(len(head), 256)]))))
	if strings.HasPrefix(start, "<!doctype") || strings.HasPrefix(start, "<html") || strings.HasPrefix(start, "<?xml") {
		return "it is a web page, not a list"
	}
	control := 0
	for _, c := range head {
		if c < ' ' && c != '\t' && c != '\r' && c != '\n' && c != '\f' {
			control++
		}
	}
	if control*100 > len(head)*binaryPercent {
		return fmt.Sprintf("it is binary: %d of its first %d octets are control characters", control, len(head))
	}
	return ""
}

// garbage says why a file that was read to its end is no list, or "".
func (r *Report) garbage() string {
	judged := r.Malformed + r.Used
	for _, n := range r.Skipped {
		judged += n
	}
	switch {
	case judged == 0:
		return fmt.Sprintf("it holds no entry: all of its %d lines are blank or comments", r.Lines)
	case r.Malformed == judged, r.Malformed >= GarbageLines && r.Malformed*100 > judged*GarbagePercent:
	default:
		return ""
	}
	why := fmt.Sprintf("%d of %d entries are malformed (format %s)", r.Malformed, judged, r.Format)
	if len(r.First) > 0 {
		m := r.First[0]
		why += fmt.Sprintf("; first, line %d: %s: %q", m.Line, m.Reason, m.Text)
	}
	return why
}

func (r *Report) malformed(line int, text []byte, reason string) {
	r.Malformed++
	if len(r.First) < MaxMalformed {
		r.First = append(r.First, Malformed{Line: line, Text: excerpt(text), Reason: reason})
	}
}

// excerpt is the start of a line with everything escaped that could move a
// terminal's cursor or hide text (C0, C1, bidi controls, invalid UTF-8).
func excerpt(b []byte) string {
	cut := len(b) > MaxText
	var s strings.Builder
	for len(b) > 0 && s.Len() < MaxText {
		r, n := utf8.DecodeRune(b)
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&s, `\x%02x`, b[0])
		case strconv.IsPrint(r):
			s.WriteRune(r)
		default:
			q := strconv.QuoteRuneToASCII(r)
			s.WriteString(q[1 : len(q)-1])
		}
		b = b[n:]
	}
	if cut || len(b) > 0 {
		s.WriteString("…")
	}
	return s.String()
}

// bounded is s without control characters, cut at max octets on a rune's edge.
func bounded(s string, max int) string {
	s = strings.TrimSpace(strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !strconv.IsPrint(r) {
			return -1
		}
		return r
	}, s[:min(len(s), 4*max)]))
	if len(s) <= max {
		return s
	}
	for max > 0 && !utf8.RuneStart(s[max]) {
		max--
	}
	return s[:max]
}
